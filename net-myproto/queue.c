// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: what a socket has been sent, and who waits for it or for room */

#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/minmax.h>
#include <linux/net.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/skbuff.h>
#include <linux/sockios.h>
#include <linux/uio.h>
#include <linux/wait.h>
#include <asm/ioctls.h>
#include <net/scm.h>
#include <net/sock.h>
#include <net/tcp_states.h>

#include "myproto.h"

/* How much one fragment of an skb holds */
#define MYPROTO_FRAG_SIZE	(PAGE_SIZE << PAGE_ALLOC_COSTLY_ORDER)

/* Up to that, memory from kmalloc() is cheaper than pages. */
#define MYPROTO_LINEAR_MAX	((int)SKB_WITH_OVERHEAD(MAX(SZ_8K, PAGE_SIZE)))

/* How much an skb holds that others will be added to */
#define MYPROTO_TAIL_SIZE	SKB_WITH_OVERHEAD(SZ_4K)

static int myproto_relay_wake(wait_queue_entry_t *entry, unsigned int mode,
			      int flags, void *key)
{
	struct sock *sk = entry->private;

	/* Who polls puts it back; who sleeps keeps its place, but one wake-up
	 * is enough for it.
	 */
	if (!(entry->flags & WQ_FLAG_EXCLUSIVE))
		list_del_init(&entry->entry);
	else if (entry->flags & WQ_FLAG_WOKEN)
		return 0;

	entry->flags |= WQ_FLAG_WOKEN;
	sk->sk_write_space(sk);
	return 1;
}

/**
 * myproto_relay_init - prepare a relay, which wakes a sender when there is room
 * @relay: the relay, to be left at a receiver's room_wait
 * @sk: the sender, whose sk_write_space() is called
 *
 * The sender keeps the receiver from being freed as long as the relay is there,
 * and takes it away before it is itself closed.
 *
 * Context: Any.
 */
void myproto_relay_init(wait_queue_entry_t *relay, struct sock *sk)
{
	init_waitqueue_func_entry(relay, myproto_relay_wake);
	relay->private = sk;
	INIT_LIST_HEAD(&relay->entry);
}

/* Have @relay at @peer's room_wait, for one more wake-up. It is only then that
 * the caller may look whether there is room.
 */
static void myproto_relay_add(wait_queue_entry_t *relay, struct sock *peer,
			      bool exclusive)
{
	wait_queue_head_t *wait = &myproto_sk(peer)->room_wait;

	spin_lock_irq(&wait->lock);
	relay->flags &= ~WQ_FLAG_WOKEN;
	if (!list_empty(&relay->entry))
		;
	else if (exclusive)
		__add_wait_queue_entry_tail_exclusive(wait, relay);
	else
		__add_wait_queue(wait, relay);
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
void myproto_relay_del(wait_queue_entry_t *relay, struct sock *peer)
{
	wait_queue_head_t *wait = &myproto_sk(peer)->room_wait;

	spin_lock_irq(&wait->lock);
	list_del_init(&relay->entry);
	spin_unlock_irq(&wait->lock);
}

/* Whether @peer can be sent something by @sk. Returns 0, -EAGAIN when it has no
 * room, -EPIPE when it takes no more, -ECONNREFUSED instead when it is a closed
 * SOCK_DGRAM socket, or -EPERM when it is associated with another one. Called
 * with the queue lock of @peer held.
 */
static int myproto_tx_state(const struct sock *sk, struct sock *peer)
{
	struct myproto_sock *mpeer = myproto_sk(peer);
	const struct sock *other;
	bool takes;

	if (peer->sk_shutdown & RCV_SHUTDOWN)
		return peer->sk_type == SOCK_DGRAM &&
		       sock_flag(peer, SOCK_DEAD) ? -ECONNREFUSED : -EPIPE;

	other = myproto_peer_locked(peer);
	if (other && other != sk)
		return -EPERM;

	takes = myproto_rx_takes(peer);
	if (mpeer->rx_full == takes && peer->sk_type == SOCK_STREAM) {
		WRITE_ONCE(mpeer->rx_full, !takes);
		/* Before more is charged. Pairs with smp_rmb() of
		 * myproto_rx_takes(): who sees the charge sees this.
		 */
		smp_wmb();
	}
	return takes ? 0 : -EAGAIN;
}

/**
 * myproto_tx_look - look whether a send could succeed now
 * @sk: the sender
 * @peer: the receiver, with a reference held by the caller or by @sk
 *
 * Context: Process context.
 * Return: what myproto_publish() would return.
 */
int myproto_tx_look(const struct sock *sk, struct sock *peer)
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
	room = !peer || myproto_rx_takes(peer);
	rcu_read_unlock();

	return room || myproto_tx_arm(sk, NULL) != -EAGAIN;
}

/* Sleep until @sk can send to @peer or has to give up. */
static int myproto_sleep_room(struct sock *sk, struct sock *peer, long *timeo)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	wait_queue_entry_t relay;
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
 * signal gives, -EPIPE when @sk is shut down, or what myproto_publish() gives.
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
 * Wakes all who poll, and one of those who sleep, who calls this again when it
 * has sent.
 *
 * Context: Process context, with no lock held that a wake-up might take.
 */
void myproto_wake_room(struct sock *sk)
{
	struct myproto_sock *msk = myproto_sk(sk);

	if (myproto_rx_takes(sk) && wq_has_sleeper(&msk->room_wait))
		wake_up_interruptible(&msk->room_wait);
}

/* Count @len bytes that @sk is sent, before it can read them. Called with its
 * queue lock held.
 */
static void myproto_rx_count(struct sock *sk, int len)
{
	struct myproto_sock *msk = myproto_sk(sk);

	WRITE_ONCE(msk->rx_total, msk->rx_total + len);
}

/* Whether to tell the reader of @sk that it has been sent something: not if it
 * wants more, unless it sleeps and knows better. Called with the queue lock
 * held.
 */
static bool myproto_rx_ready(const struct sock *sk)
{
	const struct myproto_sock *msk = myproto_sk(sk);

	return sk->sk_type != SOCK_STREAM || msk->rx_waiting ||
	       myproto_inq(sk) >= READ_ONCE(sk->sk_rcvlowat) ||
	       !myproto_rx_takes(sk);
}

/* Copy what @skb has room for. The pages are not highmem, and so a whole
 * fragment can be copied at once.
 */
static int myproto_fill_pages(struct sk_buff *skb, struct iov_iter *from)
{
	int i;

	for (i = 0; i < skb_shinfo(skb)->nr_frags; i++) {
		skb_frag_t *frag = &skb_shinfo(skb)->frags[i];

		if (!copy_from_iter_full(skb_frag_address(frag),
					 skb_frag_size(frag), from))
			return -EFAULT;
	}
	return 0;
}

/* Make an skb with @len bytes in pages: in few of them, as large as are cheap
 * to get, so that the last is not cut down to what is left.
 */
static struct sk_buff *myproto_skb_alloc_pages(struct msghdr *msg, int len,
					       gfp_t gfp, int *err)
{
	int rest = len % MYPROTO_FRAG_SIZE, size = len - rest;
	struct sk_buff *skb;

	if (rest)
		size += PAGE_SIZE << get_order(rest);
	skb = alloc_skb_with_frags(0, size, PAGE_ALLOC_COSTLY_ORDER, err, gfp);
	if (!skb) {
		/* Of small ones there should be no more than needed. */
		size = PAGE_ALIGN(len);
		skb = alloc_skb_with_frags(0, size, PAGE_ALLOC_COSTLY_ORDER,
					   err, gfp);
	}
	if (!skb)
		return NULL;

	skb->len = size;
	skb->data_len = size;
	*err = pskb_trim(skb, len);
	if (!*err)
		*err = myproto_fill_pages(skb, &msg->msg_iter);
	return skb;
}

/**
 * myproto_skb_alloc - make an skb of what is sent
 * @sk: the sender
 * @msg: the data
 * @len: how many bytes of it
 * @size: how many bytes the skb shall have room for at least, if it is linear
 * @scm: the credentials that go with it, or NULL
 * @err: where to store the error
 *
 * Context: Process context. May sleep.
 * Return: the skb, or NULL with -ENOBUFS or -EFAULT in @err.
 */
struct sk_buff *myproto_skb_alloc(struct sock *sk, struct msghdr *msg, int len,
				  int size, const struct scm_cookie *scm,
				  int *err)
{
	size_t left = msg_data_left(msg);
	struct sk_buff *skb;

	*err = -ENOBUFS;
	if (len > MYPROTO_LINEAR_MAX) {
		skb = myproto_skb_alloc_pages(msg, len, sk->sk_allocation, err);
		if (!skb)
			return NULL;
	} else {
		skb = alloc_skb(max(len, size), sk->sk_allocation);
		if (!skb)
			return NULL;
		*err = copy_from_iter_full(__skb_put(skb, len), len,
					   &msg->msg_iter) ? 0 : -EFAULT;
	}
	if (*err) {
		iov_iter_revert(&msg->msg_iter, left - msg_data_left(msg));
		consume_skb(skb);
		return NULL;
	}
	if (scm)
		myproto_skb_set_scm(skb, scm);
	return skb;
}

/**
 * myproto_skb_read - copy from an skb to a reader
 * @skb: the skb
 * @off: where to begin in it
 * @msg: where to copy to
 * @len: how many bytes
 *
 * Context: Process context. May sleep.
 * Return: 0 or -EFAULT.
 */
int myproto_skb_read(const struct sk_buff *skb, int off, struct msghdr *msg,
		     int len)
{
	if (skb_is_nonlinear(skb))
		return skb_copy_datagram_msg(skb, off, msg, len);

	return copy_to_iter_full(skb->data + off, len, &msg->msg_iter) ?
		0 : -EFAULT;
}

/**
 * myproto_publish - give an skb to a socket
 * @sk: the sender
 * @peer: the receiver
 * @skb: what is sent; the receiver's if it returns 0
 *
 * Context: Process context.
 * Return: 0, -EAGAIN when @peer has no room, -EPIPE when it takes no more,
 * -ECONNREFUSED instead when it is a closed SOCK_DGRAM socket, or -EPERM when
 * it is associated with another one.
 */
int myproto_publish(struct sock *sk, struct sock *peer, struct sk_buff *skb)
{
	struct sk_buff_head *queue = &peer->sk_receive_queue;
	bool ready = false;
	int err;

	if (READ_ONCE(peer->sk_flags) & SK_FLAGS_TIMESTAMP)
		__net_timestamp(skb);

	spin_lock(&queue->lock);
	err = myproto_tx_state(sk, peer);
	if (!err) {
		sock_skb_set_dropcount(peer, skb);
		atomic_add(skb->truesize, &peer->sk_rmem_alloc);
		myproto_rx_count(peer, skb->len);
		__skb_queue_tail(queue, skb);
		ready = myproto_rx_ready(peer);
	}
	spin_unlock(&queue->lock);

	if (ready)
		peer->sk_data_ready(peer);
	return err;
}

/* Whether what is sent to @sk now may become one with what is in @skb: it is
 * one to the reader, who may want to know who sent it and when.
 */
static bool myproto_skb_mergeable(const struct sock *sk,
				  const struct sk_buff *skb,
				  const struct scm_cookie *scm)
{
	const struct myproto_cb *cb = MYPROTO_CB(skb);

	if (READ_ONCE(sk->sk_flags) & SK_FLAGS_TIMESTAMP)
		return false;
	if (!scm)
		return !cb->pid;
	return cb->pid == scm->pid && uid_eq(cb->uid, scm->creds.uid) &&
	       gid_eq(cb->gid, scm->creds.gid);
}

/* Add @len bytes at @data to the line of @sk, if there is room for them. Called
 * with the queue lock held.
 */
static bool myproto_line_add(struct sock *sk, const void *data, u32 len)
{
	struct myproto_sock *msk = myproto_sk(sk);
	u32 at = msk->line_in % MYPROTO_LINE_SIZE, first;
	u8 used;

	/* Pairs with smp_store_release() in myproto_line_drop(). */
	used = msk->line_in - smp_load_acquire(&msk->line_out);
	if (used + len > MYPROTO_LINE_SIZE)
		return false;

	first = min(len, MYPROTO_LINE_SIZE - at);
	memcpy(msk->line + at, data, first);
	if (first < len)
		memcpy(msk->line, data + first, len - first);
	myproto_rx_count(sk, len);
	/* Pairs with smp_load_acquire() in myproto_line_len(): who reads it
	 * takes no lock.
	 */
	smp_store_release(&msk->line_in, (u8)(msk->line_in + len));
	return true;
}

/**
 * myproto_tail_size - how much room small data gets when there may be more
 * @sk: the receiver
 *
 * Context: Any.
 * Return: the size of an skb's head in bytes.
 */
u32 myproto_tail_size(const struct sock *sk)
{
	return min_t(u32, MYPROTO_TAIL_SIZE, READ_ONCE(sk->sk_rcvbuf) / 4);
}

/* Add @len bytes at @data to @tail, which is at the end of @peer's queue. If it
 * is full, there may be more to come, and @size becomes that of an skb for it.
 */
static bool myproto_tail_add(struct sock *peer, struct sk_buff *tail,
			     const void *data, int len, int *size)
{
	if (skb_tailroom(tail) < len) {
		*size = myproto_tail_size(peer);
		return false;
	}
	__skb_put_data(tail, data, len);
	myproto_rx_count(peer, len);
	return true;
}

/**
 * myproto_publish_small - add data to what a SOCK_STREAM socket has been sent
 * @sk: the sender
 * @peer: the receiver
 * @data: what is sent
 * @len: how many bytes
 * @scm: the credentials that go with it, or NULL
 * @size: where to store for how many bytes there should be room in an skb for
 *	it, if the last one was full, for there may be more to come
 *
 * Context: Process context.
 * Return: 0, -ENOBUFS when it takes an skb, or see myproto_publish().
 */
int myproto_publish_small(struct sock *sk, struct sock *peer, const void *data,
			  int len, const struct scm_cookie *scm, int *size)
{
	struct sk_buff_head *queue = &peer->sk_receive_queue;
	bool added, ready = false;
	struct sk_buff *tail;
	int err;

	spin_lock(&queue->lock);
	err = myproto_tx_state(sk, peer);
	if (!err) {
		tail = skb_peek_tail(queue);
		if (tail)
			added = myproto_skb_mergeable(peer, tail, scm) &&
				myproto_tail_add(peer, tail, data, len, size);
		else
			added = myproto_line_suits(peer, scm) &&
				myproto_line_add(peer, data, len);
		if (added)
			ready = myproto_rx_ready(peer);
		else
			err = -ENOBUFS;
	}
	spin_unlock(&queue->lock);

	if (ready)
		peer->sk_data_ready(peer);
	return err;
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
	u32 inq = myproto_inq(sk);

	if (sk->sk_type != SOCK_STREAM)
		return !skb_queue_empty_lockless(&sk->sk_receive_queue);

	/* Not the queues, which a reader may just be moving. Where there is
	 * no room for as much as SO_RCVLOWAT asks for, what is there will do.
	 */
	return inq && (inq >= READ_ONCE(sk->sk_rcvlowat) ||
		       !myproto_rx_takes(sk));
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
				myproto_inq(sk);
	} else if (!dgram) {
		peer = myproto_peer(sk);
		if (peer)
			*karg = myproto_inq(peer);
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
	spin_lock(&sk->sk_receive_queue.lock);
	WRITE_ONCE(myproto_sk(sk)->rx_full, false);
	spin_unlock(&sk->sk_receive_queue.lock);
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
	/* Under the lock, so that either a sender sees it or what was sent is
	 * seen below. It may be enough now.
	 */
	spin_lock(&sk->sk_receive_queue.lock);
	WRITE_ONCE(sk->sk_rcvlowat, val ? : 1);
	spin_unlock(&sk->sk_receive_queue.lock);
	if (myproto_readable(sk))
		sk->sk_data_ready(sk);
	return 0;
}
