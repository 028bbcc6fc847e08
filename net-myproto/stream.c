// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: the data of SOCK_STREAM
 *
 * The sender copies into a page of its own, and then hands the bytes over under
 * the receiver's queue lock, most often by letting the last fragment of the
 * last skb grow: a small write allocates nothing. The receiver takes the whole
 * queue over and copies from it without a lock.
 */

#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/net.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/skbuff.h>
#include <linux/uio.h>
#include <linux/wait.h>
#include <net/sock.h>

#include "myproto.h"
#include "trace.h"

/* An skb goes back as a whole, so it should be small against a receive buffer,
 * and large against what it costs to handle one.
 */
#define MYPROTO_SKB_SIZE	SZ_64K

/* How much more @sk may be sent. There is one sender at a time: when it is that
 * sender who asks, it only becomes more, unless SO_RCVBUF is made smaller.
 */
static int myproto_rx_room(const struct sock *sk)
{
	return READ_ONCE(sk->sk_rcvbuf) - sk_rmem_alloc_get(sk);
}

/* Change what @sk is charged. Called with its queue lock held, which is why
 * this need not be an atomic operation.
 */
static void myproto_rx_charge(struct sock *sk, int bytes)
{
	atomic_set(&sk->sk_rmem_alloc, sk_rmem_alloc_get(sk) + bytes);
}

/* Whether @sk can send to @peer: 0, -EPIPE if that has come to an end, or
 * -EAGAIN if there is no room, in which case @peer will call @sk's
 * sk_write_space() as soon as there is.
 */
static int myproto_tx_check(struct sock *sk, struct sock *peer)
{
	int err = 0;

	/* Whether the end has come, it says when it is given something. */
	if (myproto_rx_room(peer) > 0)
		return 0;

	/* First, since @peer may make room at once. */
	sk_set_bit(SOCKWQ_ASYNC_NOSPACE, sk);

	spin_lock(&peer->sk_receive_queue.lock);
	if (peer->sk_shutdown & RCV_SHUTDOWN) {
		err = -EPIPE;
	} else if (myproto_rx_room(peer) <= 0) {
		err = -EAGAIN;
		myproto_sk(peer)->tx_waiting = true;
	}
	spin_unlock(&peer->sk_receive_queue.lock);
	return err;
}

/* Sleep until @sk can send to @peer, or has to give up. Called with tx_mutex
 * held, which is let go for the sleep.
 */
static int myproto_wait_room(struct sock *sk, struct sock *peer, long *timeo)
{
	struct myproto_sock *msk = myproto_sk(sk);
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	int err;

	/* Added before looking, and the waker looks for sleepers after it has
	 * held the lock that myproto_tx_check() takes.
	 */
	add_wait_queue(sk_sleep(sk), &wait);
	while ((err = myproto_tx_check(sk, peer)) == -EAGAIN && *timeo) {
		if (signal_pending(current)) {
			err = sock_intr_errno(*timeo);
			break;
		}
		mutex_unlock(&msk->tx_mutex);
		*timeo = wait_woken(&wait, TASK_INTERRUPTIBLE, *timeo);
		mutex_lock(&msk->tx_mutex);
	}
	remove_wait_queue(sk_sleep(sk), &wait);
	return err;
}

/* Have at least one byte of room in the page fragment that @sk copies to.
 *
 * It is the socket's own and not the task's: only this stream is in it, so what
 * a slow receiver pins is what it was sent, however the task's writes to other
 * sockets are mixed with it. Who only makes small writes gets a small page,
 * since an idle socket keeps the last one.
 */
static bool myproto_frag_refill(struct sock *sk, size_t len)
{
	struct page_frag *frag = &sk->sk_frag;

	if (frag->page && page_ref_count(frag->page) == 1)
		frag->offset = 0;
	if (len > PAGE_SIZE ||
	    (frag->page && frag->offset < frag->size))
		return skb_page_frag_refill(1, frag, sk->sk_allocation);

	if (frag->page)
		put_page(frag->page);
	frag->offset = 0;
	frag->size = PAGE_SIZE;
	frag->page = alloc_page(sk->sk_allocation);
	return frag->page;
}

/* Append @len bytes at the end of @frag to @skb, if they can be. Called with
 * the queue lock held, or before anybody else knows of @skb.
 */
static bool myproto_skb_append(struct sk_buff *skb, struct page_frag *frag,
			       int len)
{
	int i = skb_shinfo(skb)->nr_frags;

	if (skb->len + len > MYPROTO_SKB_SIZE)
		return false;

	if (skb_can_coalesce(skb, i, frag->page, frag->offset)) {
		skb_frag_size_add(&skb_shinfo(skb)->frags[i - 1], len);
	} else if (i < MAX_SKB_FRAGS) {
		get_page(frag->page);
		skb_fill_page_desc(skb, i, frag->page, frag->offset, len);
	} else {
		return false;
	}

	skb->len += len;
	skb->data_len += len;
	skb->truesize += len;
	return true;
}

/* Give @peer the @len bytes at the end of @frag: in the last skb it has not
 * taken yet, or else in *@skb, which is then consumed.
 *
 * Returns 0, -EPIPE when @peer takes no more, or -ENOBUFS when an skb is needed
 * and there is none.
 */
static int myproto_publish(struct sock *peer, struct page_frag *frag, int len,
			   struct sk_buff **skb)
{
	struct sk_buff_head *queue = &peer->sk_receive_queue;
	struct myproto_sock *mpeer = myproto_sk(peer);
	struct sk_buff *tail;
	int err = 0;

	spin_lock(&queue->lock);
	tail = skb_peek_tail(queue);
	if (peer->sk_shutdown & RCV_SHUTDOWN) {
		err = -EPIPE;
	} else if (tail && myproto_skb_append(tail, frag, len)) {
		myproto_rx_charge(peer, len);
	} else if (*skb) {
		myproto_skb_append(*skb, frag, len);
		myproto_rx_charge(peer, (*skb)->truesize);
		__skb_queue_tail(queue, *skb);
		*skb = NULL;
	} else {
		err = -ENOBUFS;
	}
	if (!err)
		WRITE_ONCE(mpeer->inq, mpeer->inq + len);
	spin_unlock(&queue->lock);
	return err;
}

/* Send what fits into the page fragment and into @room. Returns how many bytes
 * it was, or an error. Called with tx_mutex held.
 */
static int myproto_send_chunk(struct sock *sk, struct sock *peer,
			      struct msghdr *msg, int room)
{
	struct page_frag *frag = &sk->sk_frag;
	struct sk_buff *skb = NULL;
	int len, err = -ENOBUFS;

	if (!myproto_frag_refill(sk, msg_data_left(msg)))
		return -ENOMEM;

	len = min_t(size_t, msg_data_left(msg), frag->size - frag->offset);
	len = min3(len, room, MYPROTO_SKB_SIZE);
	len = copy_page_from_iter(frag->page, frag->offset, len,
				  &msg->msg_iter);
	if (!len)
		return -EFAULT;

	/* An empty queue means that it takes an skb; otherwise ask first. */
	if (!skb_queue_empty_lockless(&peer->sk_receive_queue))
		err = myproto_publish(peer, frag, len, &skb);
	if (err == -ENOBUFS) {
		skb = alloc_skb(0, sk->sk_allocation);
		err = skb ? myproto_publish(peer, frag, len, &skb) : -ENOMEM;
		/* Not needed after all, or not wanted any more */
		consume_skb(skb);
	}
	if (err) {
		iov_iter_revert(&msg->msg_iter, len);
		return err;
	}

	frag->offset += len;
	return len;
}

/* Send until @msg is empty, there is an error, or there is no time left. */
static int myproto_stream_send(struct sock *sk, struct sock *peer,
			       struct msghdr *msg)
{
	struct myproto_sock *msk = myproto_sk(sk);
	int room, sent = 0, err = 0;
	long timeo;

	timeo = sock_sndtimeo(sk, msg->msg_flags & MSG_DONTWAIT);

	mutex_lock(&msk->tx_mutex);
	if (READ_ONCE(sk->sk_shutdown) & SEND_SHUTDOWN)
		err = -EPIPE;
	while (!err && msg_data_left(msg)) {
		room = myproto_rx_room(peer);
		if (room <= 0) {
			err = myproto_wait_room(sk, peer, &timeo);
			continue;
		}

		err = myproto_send_chunk(sk, peer, msg, room);
		if (err > 0) {
			sent += err;
			err = 0;
			peer->sk_data_ready(peer);
		}
	}
	mutex_unlock(&msk->tx_mutex);

	return sent ? : err;
}

/**
 * myproto_stream_sendmsg - send(2) and its relatives
 * @sock: a connected socket
 * @msg: the data; no address
 * @len: its length in bytes
 *
 * What is sent is charged to the receiver, against its SO_RCVBUF.
 *
 * Context: Process context. May sleep.
 * Return: how many bytes were sent, which is fewer than @len when there was an
 * error after the first, or -ENOTCONN, -EISCONN or -EOPNOTSUPP when an address
 * was given, -EOPNOTSUPP for MSG_OOB, -EPIPE with SIGPIPE when the peer takes
 * no more, -EAGAIN when there is no room and no time left, what a signal gives,
 * -EFAULT or -ENOMEM.
 */
int myproto_stream_sendmsg(struct socket *sock, struct msghdr *msg, size_t len)
{
	struct sock *sk = sock->sk, *peer = myproto_peer(sk);
	int err;

	if (msg->msg_flags & MSG_OOB)
		err = -EOPNOTSUPP;
	else if (msg->msg_namelen)
		err = peer ? -EISCONN : -EOPNOTSUPP;
	else if (!peer)
		err = -ENOTCONN;
	else
		err = myproto_stream_send(sk, peer, msg);

	if (err == -EPIPE && !(msg->msg_flags & MSG_NOSIGNAL))
		send_sig(SIGPIPE, current, 0);
	trace_myproto_sendmsg(sk, len, msg->msg_flags, err);
	return err;
}

/* Take over what has been sent to @sk. Called with rx_mutex held.
 *
 * Returns whether there is something to read. When there is not, @end says
 * whether there will ever be, or whether there is an error to report: at the
 * same moment, since data that came before the end must be read first.
 */
static bool myproto_rx_take(struct sock *sk, bool *end)
{
	struct myproto_sock *msk = myproto_sk(sk);

	spin_lock(&sk->sk_receive_queue.lock);
	skb_queue_splice_tail_init(&sk->sk_receive_queue, &msk->rx_queue);
	*end = sk->sk_shutdown & RCV_SHUTDOWN || READ_ONCE(sk->sk_err);
	spin_unlock(&sk->sk_receive_queue.lock);

	return !skb_queue_empty(&msk->rx_queue);
}

/* Account for @copied bytes that have been read and for @freed bytes of memory
 * that this gave back, and wake the sender if that makes room for it.
 */
static void myproto_rx_done(struct sock *sk, int copied, int freed)
{
	struct myproto_sock *msk = myproto_sk(sk);
	struct sock *peer = msk->peer;
	bool wake;

	spin_lock(&sk->sk_receive_queue.lock);
	WRITE_ONCE(msk->inq, msk->inq - copied);
	myproto_rx_charge(sk, -freed);
	wake = msk->tx_waiting && myproto_rx_room(sk) > 0;
	if (wake)
		msk->tx_waiting = false;
	spin_unlock(&sk->sk_receive_queue.lock);

	if (wake)
		peer->sk_write_space(peer);
}

/* Copy what has been taken over until @len bytes have been copied, @copied of
 * them before, and drop it unless it is only peeked at. Called with rx_mutex
 * held. Returns 0 or -EFAULT.
 */
static int myproto_rx_copy(struct sock *sk, struct msghdr *msg, int len,
			   int *copied, bool peek)
{
	struct myproto_sock *msk = myproto_sk(sk);
	int read = 0, freed = 0, err = 0;
	struct sk_buff *skb, *next;
	int off = msk->rx_off;

	skb_queue_walk_safe(&msk->rx_queue, skb, next) {
		int chunk = min_t(int, skb->len - off, len - *copied);

		err = skb_copy_datagram_msg(skb, off, msg, chunk);
		if (err)
			break;

		*copied += chunk;
		read += chunk;
		off += chunk;
		if (off < skb->len)
			break;
		off = 0;
		if (peek)
			continue;

		__skb_unlink(skb, &msk->rx_queue);
		freed += skb->truesize;
		consume_skb(skb);
		/* The sender is not to wait for the end of a long read. */
		if (freed >= READ_ONCE(sk->sk_rcvbuf) / 4) {
			myproto_rx_done(sk, read, freed);
			read = 0;
			freed = 0;
		}
		if (*copied == len)
			break;
	}

	if (peek)
		return err;
	msk->rx_off = off;
	if (read)
		myproto_rx_done(sk, read, freed);
	return err;
}

/* Sleep until there is more for @sk to read than the @seen bytes that have been
 * peeked at, or an end to it, and return what is left of @timeo.
 */
static long myproto_wait_data(struct sock *sk, long timeo, u32 seen)
{
	struct myproto_sock *msk = myproto_sk(sk);
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	bool ready;

	/* Added before looking: the sender adds data under the lock and looks
	 * for sleepers after that.
	 */
	add_wait_queue(sk_sleep(sk), &wait);
	for (;;) {
		/* Not the queue: another reader may have taken it over and
		 * left something.
		 */
		spin_lock(&sk->sk_receive_queue.lock);
		ready = msk->inq != seen || sk->sk_shutdown & RCV_SHUTDOWN ||
			READ_ONCE(sk->sk_err);
		spin_unlock(&sk->sk_receive_queue.lock);

		if (ready || !timeo || signal_pending(current))
			break;
		timeo = wait_woken(&wait, TASK_INTERRUPTIBLE, timeo);
	}
	remove_wait_queue(sk_sleep(sk), &wait);
	return timeo;
}

/* Read until there is enough, an end, an error, or no time left. */
static int myproto_stream_recv(struct sock *sk, struct msghdr *msg, int len,
			       int flags)
{
	struct myproto_sock *msk = myproto_sk(sk);
	bool more, taken = false, end;
	bool peek = flags & MSG_PEEK;
	int copied = 0, target, err;
	long timeo;

	timeo = sock_rcvtimeo(sk, flags & MSG_DONTWAIT);
	target = sock_rcvlowat(sk, flags & MSG_WAITALL, len);

	mutex_lock(&msk->rx_mutex);
	for (;;) {
		more = !skb_queue_empty(&msk->rx_queue);
		if (peek || !more) {
			more = myproto_rx_take(sk, &end);
			taken = true;
		}

		err = more ? myproto_rx_copy(sk, msg, len, &copied, peek) : 0;
		if (err || copied == len || (copied >= target && taken))
			break;
		if (more && !peek)
			continue;

		/* Everything there was has been read, or peeked at: in which
		 * case no more comes if it takes all the room.
		 */
		if (copied && myproto_rx_room(sk) <= 0)
			break;
		if (end) {
			err = copied ? 0 : sock_error(sk);
			break;
		}
		if (!timeo) {
			err = -EAGAIN;
			break;
		}
		if (signal_pending(current)) {
			err = sock_intr_errno(timeo);
			break;
		}

		mutex_unlock(&msk->rx_mutex);
		timeo = myproto_wait_data(sk, timeo, peek ? copied : 0);
		mutex_lock(&msk->rx_mutex);

		/* Others may have read what was only peeked at. */
		if (peek) {
			iov_iter_revert(&msg->msg_iter, copied);
			copied = 0;
		}
	}
	mutex_unlock(&msk->rx_mutex);

	return copied ? : err;
}

/**
 * myproto_stream_recvmsg - recv(2) and its relatives
 * @sock: a connected socket
 * @msg: where to copy to
 * @len: how many bytes at most
 * @flags: MSG_DONTWAIT, MSG_PEEK and MSG_WAITALL matter
 *
 * Context: Process context. May sleep.
 * Return: how many bytes were copied, 0 at the end of the stream, or -ENOTCONN,
 * -EOPNOTSUPP for MSG_OOB, -ECONNRESET when the peer was closed with data
 * unread, -EAGAIN when there is nothing to read and no time left, what a signal
 * gives, or -EFAULT.
 */
int myproto_stream_recvmsg(struct socket *sock, struct msghdr *msg, size_t len,
			   int flags)
{
	struct sock *sk = sock->sk;
	int err = 0;

	if (flags & MSG_OOB)
		err = -EOPNOTSUPP;
	else if (!myproto_peer(sk))
		err = -ENOTCONN;
	else if (len)
		err = myproto_stream_recv(sk, msg, min_t(size_t, len, INT_MAX),
					  flags);
	trace_myproto_recvmsg(sk, len, flags, err);
	return err;
}

/**
 * myproto_stream_poll - what poll(2) says of a connected socket
 * @sk: the socket
 * @peer: its peer
 * @wait: whom to wake; already on the socket's wait queue
 *
 * Context: Process context.
 * Return: EPOLLIN and EPOLLOUT with their relatives, as far as they apply.
 */
__poll_t myproto_stream_poll(struct sock *sk, struct sock *peer,
			     const struct poll_table_struct *wait)
{
	u32 inq = READ_ONCE(myproto_sk(sk)->inq);
	__poll_t mask = 0;

	/* Not the queues, which a reader may just be moving. Where there is
	 * no room for as much as SO_RCVLOWAT asks for, what is there will do.
	 */
	if (inq && (inq >= READ_ONCE(sk->sk_rcvlowat) ||
		    myproto_rx_room(sk) <= 0))
		mask |= EPOLLIN | EPOLLRDNORM;

	/* To ask for room has a price, so ask only for who wants to know. */
	if (!(poll_requested_events(wait) & (EPOLLOUT | EPOLLWRNORM)))
		return mask;

	/* A send that fails does not wait either. */
	if (myproto_tx_check(sk, peer) != -EAGAIN)
		mask |= EPOLLOUT | EPOLLWRNORM;
	return mask;
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
	/* There may be room where there was none. */
	if (myproto_peer(sk))
		myproto_rx_done(sk, 0, 0);
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
	sk->sk_data_ready(sk);
	return 0;
}
