// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: receive queues, and waiting for data or receive buffer space */

#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/filter.h>
#include <linux/memcontrol.h>
#include <linux/minmax.h>
#include <linux/net.h>
#include <linux/pid.h>
#include <linux/pidfs.h>
#include <linux/poll.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>
#include <linux/sizes.h>
#include <linux/skbuff.h>
#include <linux/sockios.h>
#include <linux/task_work.h>
#include <linux/uio.h>
#include <linux/wait.h>
#include <asm/ioctls.h>
#include <net/busy_poll.h>
#include <net/scm.h>
#include <net/sock.h>
#include <net/tcp_states.h>
#include <trace/events/sock.h>

#include "myproto.h"

/* Size of one skb fragment */
#define MYPROTO_FRAG_SIZE	(PAGE_SIZE << PAGE_ALLOC_COSTLY_ORDER)

/* Up to this size, memory from kmalloc() is cheaper than pages. */
#define MYPROTO_LINEAR_MAX	((int)SKB_WITH_OVERHEAD(MAX(SZ_8K, PAGE_SIZE)))

/* sk_data_ready() without the barrier of sock_def_readable(). The caller has
 * it: myproto_rx_count() or myproto_wake_readers().
 */
void myproto_data_ready(struct sock *sk)
{
	struct socket_wq *wq;

	trace_sk_data_ready(sk);

	rcu_read_lock();
	wq = rcu_dereference(sk->sk_wq);
	/* No barrier, see above. */
	if (wq && waitqueue_active(&wq->wait))
		wake_up_interruptible_sync_poll(&wq->wait,
						EPOLLIN | EPOLLRDNORM);
	sk_wake_async_rcu(sk, SOCK_WAKE_WAITD, POLL_IN);
	rcu_read_unlock();
}

/* With SO_BUSY_POLL, wait for data without sleeping. Stop if another task needs
 * the CPU, as it may be the sender, and if there is work for the return to user
 * mode, as CPU bandwidth control throttles tasks there.
 */
void myproto_busy_poll(struct sock *sk)
{
	unsigned long start;

	if (!sk_can_busy_loop(sk))
		return;

	start = busy_loop_current_time();
	while (myproto_rx_empty(sk) && !myproto_rx_special(sk) &&
	       !signal_pending(current) && !task_work_pending(current) &&
	       single_task_running() && !sk_busy_loop_timeout(sk, start)) {
		cpu_relax();
		cond_resched_tasks_rcu_qs();
	}
}

/* Wake function of readers: ignore wake-ups for space at the peer. */
int myproto_reader_wake(wait_queue_entry_t *entry, unsigned int mode, int flags,
			void *key)
{
	if (key && !(key_to_poll(key) & (EPOLLIN | EPOLLERR)))
		return 0;
	return autoremove_wake_function(entry, mode, flags, key);
}

/* For a thread that waits for space, at its own socket: wake it only for
 * changes of the socket state, which have no key.
 */
static int myproto_state_wake(wait_queue_entry_t *entry, unsigned int mode,
			      int flags, void *key)
{
	return key ? 0 : default_wake_function(entry, mode, flags, key);
}

/* model: relay_fire. The next poll() adds the relay again. */
static int myproto_relay_wake(wait_queue_entry_t *entry, unsigned int mode,
			      int flags, void *key)
{
	struct sock *sk = entry->private;

	list_del_init(&entry->entry);
	sk->sk_write_space(sk);
	return 1;
}

/* A relay in peer_wait of a receiver calls sk_write_space() of @sk once. While
 * it is there, @sk holds a reference to the receiver. @sk removes it before
 * close.
 */
void myproto_relay_init(wait_queue_entry_t *relay)
{
	init_waitqueue_func_entry(relay, myproto_relay_wake);
	INIT_LIST_HEAD(&relay->entry);
}

/* Add the relay of @sk to peer_wait of @peer for one wake-up. The caller must
 * check for space after this. Caller holds the queue lock of @sk.
 */
static void myproto_relay_add(struct sock *sk, struct sock *peer)
{
	wait_queue_entry_t *relay = &myproto_sk(sk)->peer_relay;
	wait_queue_head_t *wait = &myproto_sk(peer)->peer_wait;

	relay->private = sk;
	spin_lock_irq(&wait->lock);
	if (list_empty(&relay->entry))
		__add_wait_queue(wait, relay);
	spin_unlock_irq(&wait->lock);

	/* Pairs with wq_has_sleeper() in myproto_wake_room(). */
	smp_mb();
}

/* The relay of @sk is not in use afterwards. Called after the peer of @sk was
 * cleared, or with the queue lock of @sk held.
 */
void myproto_relay_del(struct sock *sk, struct sock *peer)
{
	wait_queue_entry_t *relay = &myproto_sk(sk)->peer_relay;
	wait_queue_head_t *wait = &myproto_sk(peer)->peer_wait;

	/* Do not test whether it is in the list: the wake-up that removed it
	 * may still be running.
	 */
	if (!relay->private)
		return;

	spin_lock_irq(&wait->lock);
	list_del_init(&relay->entry);
	spin_unlock_irq(&wait->lock);
}

static int myproto_tx_look(const struct sock *sk, struct sock *peer)
{
	int err;

	spin_lock(&peer->sk_receive_queue.lock);
	err = myproto_tx_state(sk, peer);
	spin_unlock(&peer->sk_receive_queue.lock);
	return err;
}

/* Arm the relay of @sk, then check for space at its peer, model: poll_arm. If
 * @want is not NULL and not the peer, nothing is armed or checked, and -EAGAIN
 * is returned. With @half, also returns -EAGAIN if there is less space than
 * poll() needs.
 */
static int myproto_tx_arm(struct sock *sk, const struct sock *want, bool half)
{
	struct sock *peer;
	int err;

	/* Before the check: there may be space at once. */
	sk_set_bit(SOCKWQ_ASYNC_NOSPACE, sk);

	spin_lock(&sk->sk_receive_queue.lock);
	peer = myproto_peer_locked(sk);
	if (want && want != peer)
		peer = NULL;
	if (peer) {
		sock_hold(peer);
		myproto_relay_add(sk, peer);
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

/* Called after a send failed with -ENOBUFS. After a short send the caller waits
 * for space as after -EAGAIN. If there is space already, possibly no reader
 * frees more, so report the space now.
 */
void myproto_tx_short(struct sock *sk, struct sock *peer)
{
	if (myproto_tx_arm(sk, peer, false) != -EAGAIN)
		sk->sk_write_space(sk);
}

/* If this returns false, sk_write_space() will be called when there is space.
 * If a send would fail, this returns true.
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

static int myproto_sleep_room(struct sock *sk, struct sock *peer, long *timeo)
{
	wait_queue_head_t *room = &myproto_sk(peer)->peer_wait;
	/* Not autoremove: the thread keeps its place while it waits. If it is
	 * already awake, the wake-up goes to the next one.
	 */
	DEFINE_WAIT_FUNC(wait, default_wake_function);
	DEFINE_WAIT_FUNC(state, myproto_state_wake);
	int err;

	add_wait_queue(sk_sleep(sk), &state);
	for (;;) {
		/* model: send_register. Pairs with wq_has_sleeper() in
		 * myproto_wake_room(), and with skwq_has_sleeper() in
		 * sock_def_wakeup() when @sk is shut down.
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
 * myproto_wait_room - wait until a send can be tried again
 * @sk: the sender
 * @peer: the receiver; the caller or @sk holds a reference
 * @timeo: timeout in jiffies, updated
 *
 * After -EAGAIN or a signal, if @sk is connected to @peer, sk_write_space() is
 * called when there is space. If @timeo was not 0, the caller may have consumed
 * an exclusive wake-up and must call myproto_wake_room() at its end.
 *
 * Return: 0 if there is space, -EAGAIN after the timeout, -EPIPE if @sk is shut
 * down, the error of a signal, or see myproto_enqueue().
 */
int myproto_wait_room(struct sock *sk, struct sock *peer, long *timeo)
{
	int err;

	if (*timeo)
		err = myproto_sleep_room(sk, peer, timeo);
	else
		err = myproto_tx_look(sk, peer);

	if (err == -EAGAIN)
		return myproto_tx_arm(sk, peer, false);
	/* After a signal the call may return what was sent so far. */
	if (err && err != -EPIPE)
		myproto_tx_short(sk, peer);
	return err;
}

/* Wake all pollers and one sleeping sender, which calls this again after it has
 * sent or given up, model: recv_wake, send_pass. Called without locks that a
 * wake-up may take.
 */
void myproto_wake_room(struct sock *sk)
{
	struct myproto_sock *msk = myproto_sk(sk);

	/* The barrier of wq_has_sleeper() comes before the check. */
	if (wq_has_sleeper(&msk->peer_wait) && myproto_rx_writable(sk))
		wake_up_interruptible(&msk->peer_wait);
}

#ifdef CONFIG_MEMCG
struct mem_cgroup *__myproto_charge_begin(const struct sock *peer, gfp_t *gfp)
{
	/* Pairs with smp_wmb() in myproto_accept(). */
	bool accepted = smp_load_acquire(&peer->sk_socket);
	/* Once set, it does not change while @peer exists. */
	struct mem_cgroup *memcg = mem_cgroup_from_sk(peer);

	if (!accepted || !myproto_rx_space(peer))
		return current->active_memcg;

	if (memcg) {
		/* Do not reclaim for long in the cgroup of the receiver. */
		*gfp = (*gfp & ~__GFP_RETRY_MAYFAIL) | __GFP_NORETRY;
		return set_active_memcg(memcg);
	}
	if (cgroup_subsys_on_dfl(memory_cgrp_subsys))
		*gfp &= ~__GFP_ACCOUNT;
	return current->active_memcg;
}
#endif

/* The pages are not highmem, so whole fragments can be copied. */
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

/* Use few large pages: round up the last one, or alloc_skb_with_frags() would
 * split it into smaller ones.
 */
static struct sk_buff *myproto_skb_alloc_pages(int len, gfp_t gfp, int *err)
{
	int rest = len % MYPROTO_FRAG_SIZE, size = len - rest;
	struct sk_buff *skb;

	if (rest)
		size += PAGE_SIZE << get_order(rest);
	skb = alloc_skb_with_frags(0, size, PAGE_ALLOC_COSTLY_ORDER, err, gfp);
	if (!skb) {
		/* If there are only small pages, do not round up. */
		size = PAGE_ALIGN(len);
		skb = alloc_skb_with_frags(0, size, PAGE_ALLOC_COSTLY_ORDER,
					   err, gfp);
	}
	if (!skb)
		return NULL;

	skb->len = size;
	skb->data_len = size;
	/* This cannot fail: the skb is not shared. */
	pskb_trim(skb, len);
	return skb;
}

/* Charges @peer. On error, -ENOBUFS or -EFAULT, @msg is not consumed. */
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

int myproto_skb_read(const struct sk_buff *skb, int off, struct msghdr *msg,
		     int len)
{
	if (skb_is_nonlinear(skb))
		return skb_copy_datagram_msg(skb, off, msg, len);

	return copy_to_iter_full(skb->data + off, len, &msg->msg_iter) ?
		0 : -EFAULT;
}

/* A message that the socket filter drops counts as sent. In other cases the
 * caller keeps @skb and returns the error.
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

/* Returns -ESTALE if @peer needs credentials and @cred has none. For other
 * errors see myproto_enqueue().
 */
static int myproto_try_enqueue(struct sock *sk, struct sock *peer,
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
		if (READ_ONCE(peer->sk_flags) & SK_FLAGS_TIMESTAMP)
			__net_timestamp(skb);
		if (cred->pid)
			myproto_skb_set_cred(skb, cred);
		if (files)
			myproto_rights_send(peer, skb, scm);
		sock_skb_set_dropcount(peer, skb);
		__skb_queue_tail(queue, skb);
		myproto_rx_count(peer, skb->len, skb->truesize);
		ready = myproto_rx_ready(peer);
	}
	spin_unlock(&queue->lock);

	/* model: send_wake */
	if (ready)
		peer->sk_data_ready(peer);
	return reason ? myproto_filtered(peer, skb, reason) : err;
}

/**
 * myproto_enqueue - enqueue an skb at a receiver
 * @sk: the sender
 * @peer: the receiver
 * @skb: the data; consumed on success
 * @scm: credentials and files, or NULL; the files are moved to @skb on success
 *
 * The options and the socket filter of @peer are checked under the queue lock.
 *
 * Return: 0, -EAGAIN without space, -EPIPE after shutdown, -ECONNREFUSED if
 * @peer is SOCK_DGRAM and closed, -EPERM if it is connected to another socket
 * or accepts no files, -ETOOMANYREFS if too many files are in flight, -EACCES
 * if a security module denies it, or -ENOBUFS without memory or if @skb is
 * pfmemalloc.
 */
int myproto_enqueue(struct sock *sk, struct sock *peer, struct sk_buff *skb,
		    struct scm_cookie *scm)
{
	struct myproto_cred cred;
	int err;

	do {
		cred.pid = NULL;
		/* Not under the queue lock: security modules may sleep. */
		if (scm || myproto_wants_cred(sk, peer))
			cred = myproto_send_cred(sk, peer, scm);
		/* A pidfd may be requested after the process has exited. */
		if (cred.pid && pidfs_register_pid(cred.pid))
			return -ENOBUFS;
		err = myproto_try_enqueue(sk, peer, skb, scm, &cred);
	} while (err == -ESTALE);
	return err;
}

bool myproto_readable(const struct sock *sk)
{
	u32 inq = myproto_inq(sk);

	if (sk->sk_type != SOCK_STREAM)
		return !myproto_rx_empty(sk);

	/* Do not check the queues: a reader may be moving data. If there is too
	 * little space to wake senders, data below SO_RCVLOWAT is enough.
	 */
	return inq && (inq >= READ_ONCE(sk->sk_rcvlowat) ||
		       !myproto_rx_writable(sk));
}

static int myproto_next_len(struct sock *sk)
{
	struct sk_buff *skb;
	int len;

	spin_lock(&sk->sk_receive_queue.lock);
	myproto_small_unclaim(sk);
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

/* SIOCOUTQ is 0 for SOCK_DGRAM: the receiver owns what was sent. */
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

void myproto_set_rcvbuf(struct sock *sk, int val)
{
	/* Under the queue lock: either a sender sees the new size, or its data
	 * is seen below. With more space senders can continue. With less, data
	 * below SO_RCVLOWAT may be enough.
	 */
	spin_lock(&sk->sk_receive_queue.lock);
	WRITE_ONCE(sk->sk_rcvbuf, val);
	spin_unlock(&sk->sk_receive_queue.lock);
	myproto_wake_room(sk);
	if (myproto_readable(sk))
		myproto_wake_readers(sk);
}

int myproto_set_rcvlowat(struct sock *sk, int val)
{
	/* Under the queue lock: either a sender sees the new value, or its data
	 * is seen below.
	 */
	spin_lock(&sk->sk_receive_queue.lock);
	WRITE_ONCE(sk->sk_rcvlowat, val ? : 1);
	spin_unlock(&sk->sk_receive_queue.lock);
	if (myproto_readable(sk))
		myproto_wake_readers(sk);
	return 0;
}
