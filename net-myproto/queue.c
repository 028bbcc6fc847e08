// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: what a socket has been sent, and who waits for it or for room */

#include <linux/errno.h>
#include <linux/net.h>
#include <linux/sched/signal.h>
#include <linux/skbuff.h>
#include <linux/sockios.h>
#include <linux/wait.h>
#include <asm/ioctls.h>
#include <net/sock.h>
#include <net/tcp_states.h>

#include "myproto.h"

static int myproto_relay_wake(wait_queue_entry_t *entry, unsigned int mode,
			      int flags, void *key)
{
	struct myproto_relay *relay = container_of(entry, struct myproto_relay,
						   entry);

	/* Who polls puts it back; who sleeps keeps its place, but one wake-up
	 * is enough for it.
	 */
	if (!(entry->flags & WQ_FLAG_EXCLUSIVE))
		list_del_init(&entry->entry);
	else if (relay->woken)
		return 0;

	relay->woken = true;
	relay->sk->sk_write_space(relay->sk);
	return 1;
}

/**
 * myproto_relay_init - prepare a relay
 * @relay: the relay
 * @sk: whom it wakes
 *
 * Context: Any.
 */
void myproto_relay_init(struct myproto_relay *relay, struct sock *sk)
{
	init_waitqueue_func_entry(&relay->entry, myproto_relay_wake);
	INIT_LIST_HEAD(&relay->entry.entry);
	relay->sk = sk;
}

/* Have @relay at @peer's room_wait, for one more wake-up. It is only then that
 * the caller may look whether there is room.
 */
static void myproto_relay_add(struct myproto_relay *relay, struct sock *peer,
			      bool exclusive)
{
	wait_queue_head_t *wait = &myproto_sk(peer)->room_wait;

	spin_lock_irq(&wait->lock);
	relay->woken = false;
	if (!list_empty(&relay->entry.entry))
		;
	else if (exclusive)
		__add_wait_queue_entry_tail_exclusive(wait, &relay->entry);
	else
		__add_wait_queue(wait, &relay->entry);
	spin_unlock_irq(&wait->lock);

	/* Pairs with wq_has_sleeper() of who has made room, and with
	 * skwq_has_sleeper() of who has shut the sender down.
	 */
	smp_mb();
}

/**
 * myproto_relay_del - take a relay away
 * @relay: the relay, there or not
 * @peer: where it was put, if it was
 *
 * Afterwards nobody uses @relay any more.
 *
 * Context: Process context.
 */
void myproto_relay_del(struct myproto_relay *relay, struct sock *peer)
{
	wait_queue_head_t *wait = &myproto_sk(peer)->room_wait;

	spin_lock_irq(&wait->lock);
	list_del_init(&relay->entry.entry);
	spin_unlock_irq(&wait->lock);
}

/**
 * myproto_tx_state - whether a socket can be sent something
 * @sk: the sender
 * @peer: the receiver
 *
 * Context: With the queue lock of @peer held.
 * Return: 0, -EAGAIN when it has no room, -EPIPE when it takes no more,
 * -ECONNREFUSED instead when it is a closed SOCK_DGRAM socket, or -EPERM when
 * it is associated with another one.
 */
int myproto_tx_state(const struct sock *sk, const struct sock *peer)
{
	const struct sock *other;

	if (peer->sk_shutdown & RCV_SHUTDOWN)
		return peer->sk_type == SOCK_DGRAM &&
		       sock_flag(peer, SOCK_DEAD) ? -ECONNREFUSED : -EPIPE;

	other = myproto_peer_locked(peer);
	if (other && other != sk)
		return -EPERM;

	return myproto_rx_room(peer) > 0 ? 0 : -EAGAIN;
}

static int myproto_tx_look(const struct sock *sk, struct sock *peer)
{
	int err;

	spin_lock(&peer->sk_receive_queue.lock);
	err = myproto_tx_state(sk, peer);
	spin_unlock(&peer->sk_receive_queue.lock);
	return err;
}

/* Look whether @sk could send to its peer. If it would have to wait, -EAGAIN,
 * then sk_write_space() says when it no longer would. This is about the peer
 * @want alone, unless that is NULL: of others it says -EAGAIN and no more.
 */
static int myproto_tx_arm(struct sock *sk, const struct sock *want)
{
	struct myproto_sock *msk = myproto_sk(sk);
	struct sock *peer;
	int err;

	/* First, since there may be room at once. */
	sk_set_bit(SOCKWQ_ASYNC_NOSPACE, sk);

	spin_lock(&sk->sk_receive_queue.lock);
	peer = myproto_peer_locked(sk);
	if (want && want != peer)
		peer = NULL;
	if (peer) {
		sock_hold(peer);
		myproto_relay_add(&msk->room_relay, peer, false);
	}
	spin_unlock(&sk->sk_receive_queue.lock);
	if (!peer)
		return want ? -EAGAIN : 0;

	err = myproto_tx_look(sk, peer);
	sock_put(peer);
	return err;
}

/**
 * myproto_writable - whether a send would not have to wait
 * @sk: a socket that cannot be closed meanwhile
 *
 * If it would have to wait, sk_write_space() says when it no longer would.
 *
 * Context: Process context.
 * Return: true also when all it would get is an error.
 */
bool myproto_writable(struct sock *sk)
{
	struct sock *peer;
	bool room;

	if (READ_ONCE(sk->sk_shutdown) & SEND_SHUTDOWN)
		return true;

	rcu_read_lock();
	peer = rcu_dereference(myproto_sk(sk)->peer);
	room = !peer || myproto_rx_room(peer) > 0;
	rcu_read_unlock();

	return room || myproto_tx_arm(sk, NULL) != -EAGAIN;
}

/* Sleep until @sk can send to @peer or has to give up. */
static int myproto_sleep_room(struct sock *sk, struct sock *peer, long *timeo)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	struct myproto_relay relay;
	int err;

	myproto_relay_init(&relay, sk);
	add_wait_queue(sk_sleep(sk), &wait);
	for (;;) {
		myproto_relay_add(&relay, peer, true);
		if (READ_ONCE(sk->sk_shutdown) & SEND_SHUTDOWN) {
			err = -EPIPE;
			break;
		}
		err = myproto_tx_look(sk, peer);
		if (err != -EAGAIN || !*timeo)
			break;
		if (signal_pending(current)) {
			err = sock_intr_errno(*timeo);
			break;
		}
		*timeo = wait_woken(&wait, TASK_INTERRUPTIBLE, *timeo);
	}
	myproto_relay_del(&relay, peer);
	remove_wait_queue(sk_sleep(sk), &wait);

	/* The wake-up was for one: when it is of no use here, pass it on. */
	if (err)
		myproto_wake_room(peer);
	return err;
}

/**
 * myproto_wait_room - wait until there is something to be said to a send
 * @sk: the sender
 * @peer: the receiver, with a reference held by the caller or by @sk
 * @timeo: how many jiffies to wait at most; what is left is stored there
 *
 * If it returns -EAGAIN and @peer is the peer of @sk, then sk_write_space()
 * will tell when there is room.
 *
 * Context: Process context. May sleep.
 * Return: 0 when there was room, -EAGAIN when there was no time left, what a
 * signal gives, -EPIPE when @sk is shut down, or see myproto_tx_state().
 */
int myproto_wait_room(struct sock *sk, struct sock *peer, long *timeo)
{
	int err;

	if (*timeo)
		err = myproto_sleep_room(sk, peer, timeo);
	else
		err = myproto_tx_look(sk, peer);

	return err == -EAGAIN ? myproto_tx_arm(sk, peer) : err;
}

/**
 * myproto_wake_room - wake who waits for room, if there is
 * @sk: the receiver
 *
 * Wakes all who poll, and one of those who sleep. Where they may be from more
 * than one socket, that one calls this again when it has sent.
 *
 * Context: Process context, with no lock held that a wake-up might take.
 */
void myproto_wake_room(struct sock *sk)
{
	struct myproto_sock *msk = myproto_sk(sk);

	if (myproto_rx_room(sk) > 0 && wq_has_sleeper(&msk->room_wait))
		wake_up_interruptible(&msk->room_wait);
}

/**
 * myproto_rx_done - account for what has been read
 * @sk: the receiver
 * @copied: how many bytes have been read
 * @freed: how many bytes of memory that gave back
 *
 * Wakes the sender if there is room for it.
 *
 * Context: Process context.
 */
void myproto_rx_done(struct sock *sk, int copied, int freed)
{
	struct myproto_sock *msk = myproto_sk(sk);

	spin_lock(&sk->sk_receive_queue.lock);
	WRITE_ONCE(msk->inq, msk->inq - copied);
	myproto_rx_charge(sk, -freed);
	spin_unlock(&sk->sk_receive_queue.lock);

	if (freed)
		myproto_wake_room(sk);
}

/**
 * myproto_readable - whether there is enough for a read not to wait
 * @sk: a socket that cannot be closed meanwhile
 *
 * Context: Any.
 * Return: whether there is; with SOCK_STREAM that is up to SO_RCVLOWAT.
 */
bool myproto_readable(const struct sock *sk)
{
	u32 inq = READ_ONCE(myproto_sk(sk)->inq);

	if (sk->sk_type != SOCK_STREAM)
		return !skb_queue_empty_lockless(&sk->sk_receive_queue);

	/* Not the queues, which a reader may just be moving. Where there is
	 * no room for as much as SO_RCVLOWAT asks for, what is there will do.
	 */
	return inq && (inq >= READ_ONCE(sk->sk_rcvlowat) ||
		       myproto_rx_room(sk) <= 0);
}

/* How many bytes the message has that will be read next. */
static int myproto_next_len(struct sock *sk)
{
	struct sk_buff *skb;
	int len;

	spin_lock(&sk->sk_receive_queue.lock);
	skb = skb_peek(&sk->sk_receive_queue);
	len = skb ? skb->len : 0;
	spin_unlock(&sk->sk_receive_queue.lock);
	return len;
}

/**
 * myproto_sk_ioctl - SIOCINQ and SIOCOUTQ, also for io_uring
 * @sk: the socket
 * @cmd: SIOCINQ: how many bytes there are to read, with SOCK_DGRAM in the next
 *	message; SIOCOUTQ: how many the peer has not read, with SOCK_DGRAM 0,
 *	for what was sent is not the sender's any more
 * @karg: where to store it
 *
 * Context: Process context.
 * Return: 0, -EINVAL when @sk listens, or -ENOIOCTLCMD for any other @cmd.
 */
int myproto_sk_ioctl(struct sock *sk, int cmd, int *karg)
{
	bool dgram = sk->sk_type == SOCK_DGRAM;
	const struct sock *peer;

	if (cmd != SIOCINQ && cmd != SIOCOUTQ)
		return -ENOIOCTLCMD;
	if (READ_ONCE(sk->sk_state) == TCP_LISTEN)
		return -EINVAL;

	*karg = 0;
	if (cmd == SIOCINQ) {
		*karg = dgram ? myproto_next_len(sk) :
				READ_ONCE(myproto_sk(sk)->inq);
	} else if (!dgram) {
		peer = myproto_peer(sk);
		if (peer)
			*karg = READ_ONCE(myproto_sk(peer)->inq);
	}
	return 0;
}

/**
 * myproto_set_rcvbuf - SO_RCVBUF has been set
 * @sk: the socket
 * @val: the new size in bytes
 *
 * Context: Process context, with the socket lock held.
 */
void myproto_set_rcvbuf(struct sock *sk, int val)
{
	/* There may be room where there was none, or none where there was, so
	 * that what is there will do. A listening socket has others at its
	 * room_wait, whom this does not concern or harm.
	 */
	myproto_wake_room(sk);
	if (myproto_readable(sk))
		sk->sk_data_ready(sk);
}

/**
 * myproto_set_rcvlowat - set SO_RCVLOWAT
 * @sk: the socket
 * @val: how many bytes there must be for a read not to wait; 0 is 1
 *
 * Context: Process context, with the socket lock held.
 * Return: 0.
 */
int myproto_set_rcvlowat(struct sock *sk, int val)
{
	WRITE_ONCE(sk->sk_rcvlowat, val ? : 1);
	/* It may be enough now. */
	if (myproto_readable(sk))
		sk->sk_data_ready(sk);
	return 0;
}
