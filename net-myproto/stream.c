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
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/skbuff.h>
#include <linux/splice.h>
#include <linux/uio.h>
#include <linux/wait.h>
#include <net/scm.h>
#include <net/sock.h>

#include "myproto.h"
#include "trace.h"

/* An skb goes back as a whole, so it should be small against a receive buffer,
 * and large against what it costs to handle one.
 */
#define MYPROTO_SKB_SIZE	SZ_64K

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

	skb_len_add(skb, len);
	return true;
}

/* Whether what is sent to @sk now may become one with what is in @skb: it is
 * one to the reader, who may want to know who sent it and when.
 */
static bool myproto_skb_mergeable(const struct sock *sk,
				  const struct sk_buff *skb,
				  const struct scm_cookie *scm)
{
	const struct myproto_cb *cb = MYPROTO_CB(skb);

	return cb->pid == scm->pid && uid_eq(cb->uid, scm->creds.uid) &&
	       gid_eq(cb->gid, scm->creds.gid) &&
	       !(READ_ONCE(sk->sk_flags) & SK_FLAGS_TIMESTAMP);
}

/* Account for @len bytes and @charge bytes of memory that @sk was sent. Called
 * with its queue lock held. Returns whether to tell the reader: not if it wants
 * more, unless it sleeps and knows better.
 */
static bool myproto_rx_add(struct sock *sk, int len, int charge)
{
	struct myproto_sock *msk = myproto_sk(sk);

	myproto_rx_charge(sk, charge);
	WRITE_ONCE(msk->inq, msk->inq + len);
	msk->rx_total += len;

	return msk->rx_waiting || msk->inq >= READ_ONCE(sk->sk_rcvlowat) ||
	       myproto_rx_room(sk) <= 0;
}

/* Give @peer the @len bytes at the end of @frag as part of the last skb that it
 * has not taken yet. Returns 0, -EPIPE when @peer takes no more, or -ENOBUFS
 * when there is no such skb.
 */
static int myproto_publish_frag(struct sock *peer, struct page_frag *frag,
				int len, const struct scm_cookie *scm)
{
	struct sk_buff_head *queue = &peer->sk_receive_queue;
	struct sk_buff *tail;
	bool ready = false;
	int err = 0;

	/* Nothing there is most often known without the lock. */
	if (skb_queue_empty_lockless(queue))
		return -ENOBUFS;

	spin_lock(&queue->lock);
	tail = skb_peek_tail(queue);
	if (peer->sk_shutdown & RCV_SHUTDOWN)
		err = -EPIPE;
	else if (tail && myproto_skb_mergeable(peer, tail, scm) &&
		 myproto_skb_append(tail, frag, len))
		ready = myproto_rx_add(peer, len, len);
	else
		err = -ENOBUFS;
	spin_unlock(&queue->lock);

	if (ready)
		peer->sk_data_ready(peer);
	return err;
}

/* Give @peer the data in @skb. Consumes @skb unless it returns -EPIPE. */
static int myproto_publish_skb(struct sock *peer, struct sk_buff *skb)
{
	struct sk_buff_head *queue = &peer->sk_receive_queue;
	bool ready = false;
	int err = 0;

	if (READ_ONCE(peer->sk_flags) & SK_FLAGS_TIMESTAMP)
		__net_timestamp(skb);

	spin_lock(&queue->lock);
	if (peer->sk_shutdown & RCV_SHUTDOWN) {
		err = -EPIPE;
	} else {
		__skb_queue_tail(queue, skb);
		ready = myproto_rx_add(peer, skb->len, skb->truesize);
	}
	spin_unlock(&queue->lock);

	if (ready)
		peer->sk_data_ready(peer);
	return err;
}

/* Send what fits into the page fragment and into @room. Returns how many bytes
 * it was, or an error. Called with tx_mutex held.
 */
static int myproto_send_copy(struct sock *sk, struct sock *peer,
			     struct msghdr *msg, int room,
			     const struct scm_cookie *scm)
{
	struct page_frag *frag = &sk->sk_frag;
	struct sk_buff *skb;
	int len, err;

	if (!myproto_frag_refill(sk, msg_data_left(msg)))
		return -ENOMEM;

	len = min_t(size_t, msg_data_left(msg), frag->size - frag->offset);
	len = min3(len, room, MYPROTO_SKB_SIZE);
	len = copy_page_from_iter(frag->page, frag->offset, len,
				  &msg->msg_iter);
	if (!len)
		return -EFAULT;

	err = myproto_publish_frag(peer, frag, len, scm);
	if (err == -ENOBUFS) {
		err = -ENOMEM;
		skb = alloc_skb(0, sk->sk_allocation);
		if (skb) {
			myproto_skb_set_scm(skb, scm);
			myproto_skb_append(skb, frag, len);
			err = myproto_publish_skb(peer, skb);
			if (err)
				kfree_skb(skb);
		}
	}
	if (err) {
		iov_iter_revert(&msg->msg_iter, len);
		return err;
	}

	frag->offset += len;
	return len;
}

/* Send pages that @msg has, by reference: what is written there later the
 * reader may see. Returns how many bytes it was, or an error. Called with
 * tx_mutex held.
 */
static int myproto_send_pages(struct sock *sk, struct sock *peer,
			      struct msghdr *msg, const struct scm_cookie *scm)
{
	struct sk_buff *skb = alloc_skb(0, sk->sk_allocation);
	int len, pinned, err;

	if (!skb)
		return -ENOMEM;

	myproto_skb_set_scm(skb, scm);
	skb->ip_summed = CHECKSUM_UNNECESSARY;
	len = skb_splice_from_iter(skb, &msg->msg_iter,
				   min_t(size_t, msg_data_left(msg),
					 MYPROTO_SKB_SIZE));
	if (len < 0) {
		err = len;
		goto err_free;
	}

	/* A byte of a page keeps all of it. */
	pinned = skb_shinfo(skb)->nr_frags * PAGE_SIZE;
	if (pinned > len)
		skb->truesize += pinned - len;

	err = myproto_publish_skb(peer, skb);
	if (err) {
		iov_iter_revert(&msg->msg_iter, len);
		goto err_free;
	}
	return len;

err_free:
	kfree_skb(skb);
	return err;
}

/* Send until @msg is empty, there is an error, or there is no time left. */
static int myproto_stream_send(struct sock *sk, struct sock *peer,
			       struct msghdr *msg,
			       const struct scm_cookie *scm)
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
			/* Others may try meanwhile. */
			mutex_unlock(&msk->tx_mutex);
			err = myproto_wait_room(sk, peer, &timeo);
			mutex_lock(&msk->tx_mutex);
			continue;
		}

		if (msg->msg_flags & MSG_SPLICE_PAGES)
			err = myproto_send_pages(sk, peer, msg, scm);
		else
			err = myproto_send_copy(sk, peer, msg, room, scm);
		if (err > 0) {
			sent += err;
			err = 0;
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
 * what myproto_scm_send() says, -EFAULT or -ENOMEM.
 */
int myproto_stream_sendmsg(struct socket *sock, struct msghdr *msg, size_t len)
{
	struct sock *sk = sock->sk, *peer = myproto_peer(sk);
	struct scm_cookie scm;
	int err;

	if (msg->msg_flags & MSG_OOB)
		err = -EOPNOTSUPP;
	else if (msg->msg_namelen)
		err = peer ? -EISCONN : -EOPNOTSUPP;
	else if (!peer)
		err = -ENOTCONN;
	else
		err = myproto_scm_send(sock, peer, msg, &scm);
	if (err)
		goto out;

	err = myproto_stream_send(sk, peer, msg, &scm);
	scm_destroy(&scm);
	if (err == -EPIPE && !(msg->msg_flags & MSG_NOSIGNAL))
		send_sig(SIGPIPE, current, 0);
out:
	trace_myproto_sendmsg(sk, 0, len, msg->msg_flags, err);
	return err;
}

/* A read: where it goes to and how far it has got */
struct myproto_read {
	struct msghdr		*msg;		/* either this... */
	struct pipe_inode_info	*pipe;		/* ...or that */
	struct sk_buff		*first;		/* whose sender to tell */
	int			len;		/* bytes that are wanted */
	int			skip;		/* bytes not to be peeked at */
	int			copied;		/* bytes that were copied */
	u32			seen;		/* bytes received until then */
	bool			peek;
	bool			stuck;		/* no more can be received */
	bool			full;		/* takes no more */
};

/* Take over what has been sent to @sk. Called with rx_mutex held.
 *
 * Returns whether there is something to read. When there is not, @end says
 * whether there will ever be, or whether there is an error to report: at the
 * same moment, since data that came before the end must be read first.
 */
static bool myproto_rx_take(struct sock *sk, struct myproto_read *rd, bool *end)
{
	struct myproto_sock *msk = myproto_sk(sk);

	spin_lock(&sk->sk_receive_queue.lock);
	skb_queue_splice_tail_init(&sk->sk_receive_queue, &msk->rx_queue);
	*end = sk->sk_shutdown & RCV_SHUTDOWN || READ_ONCE(sk->sk_err);
	rd->seen = msk->rx_total;
	rd->stuck = myproto_rx_room(sk) <= 0;
	spin_unlock(&sk->sk_receive_queue.lock);

	return !skb_queue_empty(&msk->rx_queue);
}

/* Whether @skb can go to the same read as what was there before it: with
 * SO_PASSCRED, not if somebody else sent it.
 */
static bool myproto_read_fits(const struct sock *sk, struct myproto_read *rd,
			      struct sk_buff *skb)
{
	const struct myproto_cb *cb = MYPROTO_CB(skb), *first;

	if (!rd->msg)
		return true;

	if (!rd->first) {
		if (READ_ONCE(sk->sk_scm_recv_flags) ||
		    READ_ONCE(sk->sk_flags) & SK_FLAGS_TIMESTAMP)
			rd->first = skb_get(skb);
		return true;
	}

	first = MYPROTO_CB(rd->first);
	rd->full = READ_ONCE(sk->sk_scm_recv_flags) &&
		   (cb->pid != first->pid || !uid_eq(cb->uid, first->uid) ||
		    !gid_eq(cb->gid, first->gid));
	return !rd->full;
}

/* Move @len bytes at @off of @skb to where the read wants them. Returns how
 * many it took, which is fewer only if it takes no more, or -EFAULT.
 */
static int myproto_read_chunk(struct sock *sk, struct myproto_read *rd,
			      struct sk_buff *skb, int off, int len)
{
	int err;

	if (rd->msg)
		return skb_copy_datagram_msg(skb, off, rd->msg, len) ? : len;

	err = skb_splice_bits(skb, sk, off, rd->pipe, len, 0);
	rd->full = err < len;
	return err;
}

/* Read what has been taken over, up to the length wanted, and drop it unless it
 * is only peeked at. Called with rx_mutex held. Returns 0 or an error.
 */
static int myproto_rx_copy(struct sock *sk, struct myproto_read *rd)
{
	int read = 0, freed = 0, skip = rd->skip, before = rd->copied, err = 0;
	struct myproto_sock *msk = myproto_sk(sk);
	struct sk_buff *skb, *next;
	int off = msk->rx_off;

	skb_queue_walk_safe(&msk->rx_queue, skb, next) {
		int left = skb->len - off;

		if (skip >= left) {
			skip -= left;
			off = 0;
			continue;
		}
		if (!myproto_read_fits(sk, rd, skb))
			break;
		err = myproto_read_chunk(sk, rd, skb, off + skip,
					 min(left - skip,
					     rd->len - rd->copied));
		if (err < 0)
			break;

		rd->copied += err;
		read += err;
		off += skip + err;
		skip = 0;
		err = 0;
		if (off < skb->len)
			break;
		off = 0;
		if (rd->peek)
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
		if (rd->copied == rd->len)
			break;
	}

	if (rd->peek)
		return err;
	sk_peek_offset_bwd(sk, rd->copied - before);
	msk->rx_off = off;
	if (read)
		myproto_rx_done(sk, read, freed);
	return err;
}

/* Sleep until there is something for @sk to read, and if @rd peeks something
 * that it has not seen, or an end to it. Return what is left of @timeo.
 */
static long myproto_wait_data(struct sock *sk, const struct myproto_read *rd,
			      long timeo)
{
	struct myproto_sock *msk = myproto_sk(sk);
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	bool ready;

	add_wait_queue(sk_sleep(sk), &wait);
	spin_lock(&sk->sk_receive_queue.lock);
	msk->rx_waiting++;
	for (;;) {
		/* Not the queue: another reader may have taken it over and
		 * left something.
		 */
		ready = rd->peek ? msk->rx_total != rd->seen : msk->inq;
		if (ready || sk->sk_shutdown & RCV_SHUTDOWN ||
		    READ_ONCE(sk->sk_err) || !timeo || signal_pending(current))
			break;

		/* The sender adds data under the lock and looks for sleepers
		 * after that.
		 */
		spin_unlock(&sk->sk_receive_queue.lock);
		timeo = wait_woken(&wait, TASK_INTERRUPTIBLE, timeo);
		spin_lock(&sk->sk_receive_queue.lock);
	}
	msk->rx_waiting--;
	spin_unlock(&sk->sk_receive_queue.lock);
	remove_wait_queue(sk_sleep(sk), &wait);
	return timeo;
}

/* Begin a peek, again if others may have read what was peeked at. */
static void myproto_read_start(struct sock *sk, struct myproto_read *rd,
			       int flags)
{
	if (rd->copied)
		iov_iter_revert(&rd->msg->msg_iter, rd->copied);
	rd->copied = 0;
	rd->skip = max(sk_peek_offset(sk, flags), 0);
	consume_skb(rd->first);
	rd->first = NULL;
}

/* Read until there is enough, an end, an error, or no time left. */
static int myproto_stream_read(struct sock *sk, struct myproto_read *rd,
			       int flags)
{
	struct myproto_sock *msk = myproto_sk(sk);
	bool more, taken = false, end;
	int target, err;
	long timeo;

	timeo = sock_rcvtimeo(sk, flags & MSG_DONTWAIT);
	/* Whoever reads the pipe is to have what is there. */
	target = rd->pipe ? 1 :
		 sock_rcvlowat(sk, flags & MSG_WAITALL, rd->len);
	rd->peek = flags & MSG_PEEK;

	mutex_lock(&msk->rx_mutex);
	for (;;) {
		if (rd->peek)
			myproto_read_start(sk, rd, flags);
		more = !skb_queue_empty(&msk->rx_queue);
		if (rd->peek || !more) {
			more = myproto_rx_take(sk, rd, &end);
			taken = true;
		}

		err = more ? myproto_rx_copy(sk, rd) : 0;
		if (err || rd->full || rd->copied == rd->len ||
		    (rd->copied >= target && taken))
			break;
		if (more && !rd->peek)
			continue;

		/* No more comes to a peek if what there is takes the room. */
		if (rd->peek && rd->copied && rd->stuck)
			break;
		if (end) {
			err = rd->copied ? 0 : sock_error(sk);
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
		timeo = myproto_wait_data(sk, rd, timeo);
		mutex_lock(&msk->rx_mutex);
	}
	if (rd->peek)
		sk_peek_offset_fwd(sk, rd->copied);
	mutex_unlock(&msk->rx_mutex);

	return rd->copied ? : err;
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
	struct myproto_read rd = {
		.msg	= msg,
		.len	= min_t(size_t, len, INT_MAX),
	};
	struct sock *sk = sock->sk;
	int err = 0;

	if (flags & MSG_OOB)
		err = -EOPNOTSUPP;
	else if (!myproto_peer(sk))
		err = -ENOTCONN;
	else if (len)
		err = myproto_stream_read(sk, &rd, flags);

	if (rd.first) {
		if (err > 0)
			myproto_scm_recv(sock, msg, rd.first, flags);
		consume_skb(rd.first);
	}
	trace_myproto_recvmsg(sk, 0, len, flags, err);
	return err;
}

/**
 * myproto_stream_splice_read - splice(2) from a socket
 * @sock: a connected socket
 * @ppos: must be 0, for a socket has no offset
 * @pipe: where the data goes to: its pages, and no copy of them
 * @len: how many bytes at most
 * @flags: SPLICE_F_NONBLOCK matters
 *
 * Context: Process context, with @pipe locked. May sleep.
 * Return: how many bytes there are in @pipe now, 0 at the end of the stream,
 * -ESPIPE when there is an offset, what @pipe says, or see
 * myproto_stream_recvmsg().
 */
ssize_t myproto_stream_splice_read(struct socket *sock, loff_t *ppos,
				   struct pipe_inode_info *pipe, size_t len,
				   unsigned int flags)
{
	bool nonblock = sock->file->f_flags & O_NONBLOCK ||
			flags & SPLICE_F_NONBLOCK;
	struct myproto_read rd = {
		.pipe	= pipe,
		.len	= min_t(size_t, len, INT_MAX),
	};
	struct sock *sk = sock->sk;
	int err = -ENOTCONN;

	if (*ppos)
		return -ESPIPE;

	if (myproto_peer(sk))
		err = myproto_stream_read(sk, &rd, nonblock ? MSG_DONTWAIT : 0);
	trace_myproto_recvmsg(sk, 0, len, nonblock ? MSG_DONTWAIT : 0, err);
	return err;
}
