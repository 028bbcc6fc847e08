// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: what a socket has been sent, and who waits for it or for room */

#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/filter.h>
#include <linux/memcontrol.h>
#include <linux/minmax.h>
#include <linux/net.h>
#include <linux/pid.h>
#include <linux/pidfs.h>
#include <linux/poll.h>
#include <linux/sched/mm.h>
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

/**
 * myproto_reader_wake - wake a thread that waits for data
 * @entry: its entry on the wait queue of its socket
 * @mode: see autoremove_wake_function()
 * @flags: the same
 * @key: the events, or NULL when the state of the socket has changed
 *
 * Return: 0 when the wake-up is for somebody else: room at the peer.
 */
int myproto_reader_wake(wait_queue_entry_t *entry, unsigned int mode, int flags,
			void *key)
{
	if (key && !(key_to_poll(key) & (EPOLLIN | EPOLLERR)))
		return 0;
	return autoremove_wake_function(entry, mode, flags, key);
}

/* The same for a thread that waits for room, at its own socket: it wants to
 * know when that is shut down, and of nothing that has a key.
 */
static int myproto_state_wake(wait_queue_entry_t *entry, unsigned int mode,
			      int flags, void *key)
{
	return key ? 0 : default_wake_function(entry, mode, flags, key);
}

/* model: relay_fire. Whoever polls puts it back. */
static int myproto_relay_wake(wait_queue_entry_t *entry, unsigned int mode,
			      int flags, void *key)
{
	struct sock *sk = entry->private;

	list_del_init(&entry->entry);
	sk->sk_write_space(sk);
	return 1;
}

/**
 * myproto_relay_init - prepare a relay, which wakes pollers when there is room
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

/* Have @relay at @peer's room_wait, for one wake-up. It is only then that the
 * caller may look whether there is room.
 */
static void myproto_relay_add(wait_queue_entry_t *relay, struct sock *peer)
{
	wait_queue_head_t *wait = &myproto_sk(peer)->room_wait;

	spin_lock_irq(&wait->lock);
	if (list_empty(&relay->entry))
		__add_wait_queue(wait, relay);
	spin_unlock_irq(&wait->lock);

	/* Pairs with wq_has_sleeper() in myproto_wake_room(). */
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

/* What myproto_publish() would return now. */
static int myproto_tx_look(const struct sock *sk, struct sock *peer)
{
	int err;

	spin_lock(&peer->sk_receive_queue.lock);
	err = myproto_tx_state(sk, peer);
	spin_unlock(&peer->sk_receive_queue.lock);
	return err;
}

/* Have sk_write_space() called when there is room at the peer of @sk, and look
 * whether there is, model: poll_arm. This is about the peer @want alone, unless
 * that is NULL: of others it says -EAGAIN and no more. Says -EAGAIN too when
 * @half is set and there is less room than poll() asks for.
 */
static int myproto_tx_arm(struct sock *sk, const struct sock *want, bool half)
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
		myproto_relay_add(&msk->room_relay, peer);
	}
	spin_unlock(&sk->sk_receive_queue.lock);
	if (!peer)
		return want ? -EAGAIN : 0;

	err = myproto_tx_look(sk, peer);
	if (!err && half && !myproto_rx_writable(peer))
		err = -EAGAIN;
	sock_put(peer);
	return err;
}

/**
 * myproto_tx_short - a send has ended for a lack of memory
 * @sk: the sender
 * @peer: the receiver
 *
 * It may have been short, and then its caller waits for room as after -EAGAIN.
 * If there is room already, perhaps nobody will make any: so tell at once.
 *
 * Context: Process context.
 */
void myproto_tx_short(struct sock *sk, struct sock *peer)
{
	if (myproto_tx_arm(sk, peer, false) != -EAGAIN)
		sk->sk_write_space(sk);
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
	room = !peer || myproto_rx_writable(peer);
	rcu_read_unlock();

	/* model: poll_check */
	return room || myproto_tx_arm(sk, NULL, true) != -EAGAIN;
}

/* Sleep until @sk can send to @peer or has to give up. */
static int myproto_sleep_room(struct sock *sk, struct sock *peer, long *timeo)
{
	wait_queue_head_t *room = &myproto_sk(peer)->room_wait;
	/* It keeps its place while it waits. When it is awake already, the
	 * wake-up goes to the next one.
	 */
	DEFINE_WAIT_FUNC(wait, default_wake_function);
	DEFINE_WAIT_FUNC(state, myproto_state_wake);
	int err;

	add_wait_queue(sk_sleep(sk), &state);
	for (;;) {
		/* model: send_register. Pairs with wq_has_sleeper() in
		 * myproto_wake_room() and skwq_has_sleeper() of who shuts @sk
		 * down.
		 */
		prepare_to_wait_exclusive(room, &wait, TASK_INTERRUPTIBLE);
		/* model: send_check */
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
		/* model: send_sleep */
		*timeo = schedule_timeout(*timeo);
	}
	finish_wait(room, &wait);
	remove_wait_queue(sk_sleep(sk), &state);
	return err;
}

/**
 * myproto_wait_room - wait until there is something to be said to a send
 * @sk: the sender
 * @peer: the receiver, with a reference held by the caller or by @sk
 * @timeo: how many jiffies to wait at most; what is left is stored there
 *
 * If it returns -EAGAIN and @peer is the peer of @sk, then sk_write_space()
 * will tell when there is room. Whatever it returns, the caller has been given
 * a wake-up that was for one sender, and calls myproto_wake_room() at its end.
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

	return err == -EAGAIN ? myproto_tx_arm(sk, peer, false) : err;
}

/**
 * myproto_wake_room - wake who waits for room, if there is
 * @sk: the receiver
 *
 * Wakes all who poll, and one of those who sleep, who calls this again when it
 * has sent, or has given up. Model: recv_wake, send_pass.
 *
 * Context: Process context, with no lock held that a wake-up might take.
 */
void myproto_wake_room(struct sock *sk)
{
	struct myproto_sock *msk = myproto_sk(sk);

	if (myproto_rx_writable(sk) && wq_has_sleeper(&msk->room_wait))
		wake_up_interruptible(&msk->room_wait);
}

#ifdef CONFIG_MEMCG
/**
 * __myproto_charge_begin - do what myproto_charge_begin() says
 * @peer: the receiver
 * @gfp: how to allocate, is changed here
 *
 * Context: Process context.
 * Return: see myproto_charge_begin().
 */
struct mem_cgroup *__myproto_charge_begin(const struct sock *peer, gfp_t *gfp)
{
	/* Pairs with smp_wmb() in myproto_accept(). */
	bool accepted = smp_load_acquire(&peer->sk_socket);
	/* Once it is set it stays as long as @peer. */
	struct mem_cgroup *memcg = mem_cgroup_from_sk(peer);

	if (!accepted || !myproto_rx_takes(peer))
		return current->active_memcg;

	if (memcg) {
		/* Reclaim in the cgroup of somebody else has to end soon. */
		*gfp = (*gfp & ~__GFP_RETRY_MAYFAIL) | __GFP_NORETRY;
		return set_active_memcg(memcg);
	}
	if (cgroup_subsys_on_dfl(memory_cgrp_subsys))
		*gfp &= ~__GFP_ACCOUNT;
	return current->active_memcg;
}
#endif

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
static struct sk_buff *myproto_skb_alloc_pages(int len, gfp_t gfp, int *err)
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
	/* It is not shared, and so this does not fail. */
	pskb_trim(skb, len);
	return skb;
}

/**
 * myproto_skb_alloc - make an skb of what is sent
 * @sk: the sender
 * @peer: the receiver, who pays
 * @msg: the data
 * @len: how many bytes of it
 * @err: where to store the error
 *
 * Context: Process context. May sleep.
 * Return: the skb, or NULL with -ENOBUFS or -EFAULT in @err.
 */
struct sk_buff *myproto_skb_alloc(struct sock *sk, struct sock *peer,
				  struct msghdr *msg, int len, int *err)
{
	bool pages = len > MYPROTO_LINEAR_MAX;
	size_t left = msg_data_left(msg);
	struct mem_cgroup *old;
	struct sk_buff *skb;
	gfp_t gfp;

	*err = -ENOBUFS;
	old = myproto_charge_begin(sk, peer, &gfp);
	skb = pages ? myproto_skb_alloc_pages(len, gfp, err) :
		      alloc_skb(len, gfp);
	myproto_charge_end(old);
	if (!skb)
		return NULL;

	if (pages)
		*err = myproto_fill_pages(skb, &msg->msg_iter);
	else
		*err = copy_from_iter_full(__skb_put(skb, len), len,
					   &msg->msg_iter) ? 0 : -EFAULT;
	if (*err) {
		iov_iter_revert(&msg->msg_iter, left - msg_data_left(msg));
		consume_skb(skb);
		return NULL;
	}
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

/* What becomes of @skb, which the filter of @peer or a security module has not
 * let in. What the filter drops has been sent all the same; for other reasons
 * it is the caller's, to say so.
 */
static int myproto_filtered(struct sock *peer, struct sk_buff *skb,
			    enum skb_drop_reason reason)
{
	switch (reason) {
	case SKB_DROP_REASON_SOCKET_FILTER:
		myproto_drop(peer, skb, reason);
		return 0;
	case SKB_DROP_REASON_PFMEMALLOC:
		return -ENOBUFS;
	default:
		return -EACCES;
	}
}

/* Do what myproto_publish() says with the credentials @cred. Returns -ESTALE
 * when these are no longer what is wanted.
 */
static int myproto_try_publish(struct sock *sk, struct sock *peer,
			       struct sk_buff *skb, struct scm_cookie *scm,
			       const struct myproto_cred *cred)
{
	struct sk_buff_head *queue = &peer->sk_receive_queue;
	const bool files = scm && scm->fp;
	enum skb_drop_reason reason = SKB_NOT_DROPPED_YET;
	bool ready = false;
	int err;

	if (files && scm_too_many_fds())
		return -ETOOMANYREFS;

	if (READ_ONCE(peer->sk_flags) & SK_FLAGS_TIMESTAMP)
		__net_timestamp(skb);

	/* model: send_enqueue */
	spin_lock(&queue->lock);
	err = myproto_tx_state(sk, peer);
	if (!err && files && !peer->sk_scm_rights)
		err = -EPERM;
	if (!err && !cred->pid && myproto_wants_cred(sk, peer))
		err = -ESTALE;
	if (!err && peer->sk_type != SOCK_STREAM)
		reason = sk_filter_reason(peer, skb);
	if (!err && !reason) {
		if (cred->pid)
			myproto_skb_set_cred(skb, cred);
		if (files)
			myproto_rights_send(peer, skb, scm);
		sock_skb_set_dropcount(peer, skb);
		atomic_add(skb->truesize, &peer->sk_rmem_alloc);
		myproto_rx_count(peer, skb->len);
		__skb_queue_tail(queue, skb);
		ready = myproto_rx_ready(peer);
	}
	spin_unlock(&queue->lock);

	/* model: send_wake */
	if (ready)
		peer->sk_data_ready(peer);
	return reason ? myproto_filtered(peer, skb, reason) : err;
}

/**
 * myproto_publish - give an skb to a socket
 * @sk: the sender
 * @peer: the receiver
 * @skb: what is sent; the receiver's if it returns 0
 * @scm: the credentials that the sender names, and the files, which it no
 *	longer has when they have been sent; or NULL
 *
 * Who is told about the sender, whether @peer takes files, and whether its
 * filter lets a message in, is decided at the moment when it is queued.
 *
 * Context: Process context. May sleep.
 * Return: 0, -EAGAIN when @peer has no room, -EPIPE when it takes no more,
 * -ECONNREFUSED instead when it is a closed SOCK_DGRAM socket, -EPERM when it
 * is associated with another one or takes no files, -ETOOMANYREFS when the
 * caller's user has too many in flight, -EACCES when a security module denies
 * it, or -ENOBUFS when @skb is of memory that is kept for other uses, or there
 * is none.
 */
int myproto_publish(struct sock *sk, struct sock *peer, struct sk_buff *skb,
		    struct scm_cookie *scm)
{
	struct myproto_cred cred;
	int err;

	do {
		cred.pid = NULL;
		/* Not under the queue lock: security modules may sleep. */
		if (scm || myproto_wants_cred(sk, peer))
			cred = myproto_send_cred(sk, peer, scm);
		/* There may be no other time at which a pidfd can be had. */
		if (cred.pid && pidfs_register_pid(cred.pid))
			return -ENOBUFS;
		err = myproto_try_publish(sk, peer, skb, scm, &cred);
	} while (err == -ESTALE);
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
		return !myproto_rx_empty(sk);

	/* Not the queues, which a reader may just be moving. Where nobody is
	 * woken to send as much as SO_RCVLOWAT asks for, what is there will do.
	 */
	return inq && (inq >= READ_ONCE(sk->sk_rcvlowat) ||
		       !myproto_rx_writable(sk));
}

/* How many bytes the message has that will be read next. */
static int myproto_next_len(struct sock *sk)
{
	struct sk_buff *skb;
	int len;

	spin_lock(&sk->sk_receive_queue.lock);
	skb = skb_peek(&sk->sk_write_queue);
	if (!skb && myproto_sk(sk)->small_head) {
		len = myproto_small_len(sk);
	} else {
		skb = skb ? : skb_peek(&sk->sk_receive_queue);
		len = skb ? skb->len : 0;
	}
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
	/* Under the lock, so that either a sender sees it or what was sent is
	 * seen below. There may be room where there was none, or none where
	 * there was, so that what is there will do.
	 */
	spin_lock(&sk->sk_receive_queue.lock);
	WRITE_ONCE(sk->sk_rcvbuf, val);
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
