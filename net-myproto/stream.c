// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: SOCK_STREAM data. Small writes go to the buffers of small.c,
 * others to skbs. A reader moves all skbs to sk_write_queue and copies from
 * them without the queue lock.
 */

#include <linux/errno.h>
#include <linux/minmax.h>
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

/* Space is freed only when a whole skb has been read. So an skb should be small
 * compared to the receive buffer, but large compared to its cost.
 */
#define MYPROTO_SKB_SIZE	SZ_64K

/* The pages are not copied: the reader may see later writes to them. */
static struct sk_buff *myproto_skb_splice(struct sock *sk, struct sock *peer,
					  struct msghdr *msg, int len,
					  int *err)
{
	struct mem_cgroup *old;
	struct sk_buff *skb;
	int pinned;
	gfp_t gfp;

	*err = -ENOBUFS;
	old = myproto_charge_begin(sk, peer, &gfp);
	skb = alloc_skb(0, gfp);
	myproto_charge_end(old);
	if (!skb)
		return NULL;

	skb->ip_summed = CHECKSUM_UNNECESSARY;
	*err = skb_splice_from_iter(skb, &msg->msg_iter, len);
	if (*err < 0) {
		consume_skb(skb);
		return NULL;
	}

	/* One byte pins the whole page, so charge all of it. */
	pinned = skb_shinfo(skb)->nr_frags * PAGE_SIZE;
	if (pinned > skb->len)
		skb->truesize += pinned - skb->len;
	return skb;
}

/* Returns the number of bytes sent, -EAGAIN without space, or an error. */
static int myproto_send_some(struct sock *sk, struct sock *peer,
			     struct msghdr *msg, struct scm_cookie *scm)
{
	bool splice = msg->msg_flags & MSG_SPLICE_PAGES;
	struct sk_buff *skb;
	int len, err;

	len = min(READ_ONCE(peer->sk_rcvbuf), MYPROTO_SKB_SIZE);
	len = min_t(size_t, len, msg_data_left(msg));
	if (!splice && !scm) {
		err = myproto_small_send(sk, peer, msg, len, false);
		if (err)
			return err;
	}
	if (!myproto_rx_space(peer))
		return -EAGAIN;

	if (splice)
		skb = myproto_skb_splice(sk, peer, msg, len, &err);
	else
		skb = myproto_skb_alloc(sk, peer, msg, len, &err);
	if (!skb)
		return err;

	len = skb->len;
	err = myproto_enqueue(sk, peer, skb, scm);
	if (!err)
		return len;
	iov_iter_revert(&msg->msg_iter, len);
	consume_skb(skb);
	return err;
}

static int myproto_stream_send(struct sock *sk, struct sock *peer,
			       struct msghdr *msg, struct scm_cookie *scm)
{
	int sent = 0, err = 0;
	bool waited = false;
	long timeo;

	if (READ_ONCE(sk->sk_shutdown) & SEND_SHUTDOWN)
		return -EPIPE;

	while (msg_data_left(msg)) {
		err = myproto_send_some(sk, peer, msg, scm);
		if (err > 0) {
			sent += err;
			continue;
		}
		if (err != -EAGAIN)
			break;
		if (!waited)
			timeo = sock_sndtimeo(sk,
					      msg->msg_flags & MSG_DONTWAIT);
		waited = true;
		err = myproto_wait_room(sk, peer, &timeo);
		if (err)
			break;
	}

	/* The wake-up was exclusive, and there may be space for more. */
	if (waited)
		myproto_wake_room(peer);
	if (err == -ENOBUFS)
		myproto_tx_short(sk, peer);
	return sent ? : err;
}

int myproto_stream_sendmsg(struct socket *sock, struct msghdr *msg, size_t len)
{
	struct sock *sk = sock->sk, *peer = myproto_peer(sk);
	struct scm_cookie cookie, *scm = &cookie;
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

	err = myproto_stream_send(sk, peer, msg, scm);
	if (scm)
		scm_destroy(scm);
	if (err == -EPIPE && !(msg->msg_flags & MSG_NOSIGNAL))
		send_sig(SIGPIPE, current, 0);
out:
	trace_myproto_sendmsg(sk, 0, len, msg->msg_flags, err);
	return err;
}

/* State of a read */
struct myproto_read {
	struct msghdr		*msg;		/* for recvmsg() */
	struct pipe_inode_info	*pipe;		/* for splice() */
	struct sk_buff		*first;		/* skb of the sender */
	struct scm_fp_list	*fpl;		/* files that were received */
	int			len;		/* bytes requested */
	int			skip;		/* bytes that a peek skips */
	int			copied;		/* bytes copied */
	u32			seen;		/* rx_total at the last check */
	bool			peek;
	bool			flush;		/* the reader needs skbs */
	bool			stuck;		/* too full to wake senders */
	bool			full;		/* the read must end */
};

/* Read bytes from the first small buffer. Called with the socket lock and the
 * queue lock held. The queue lock is released meanwhile. Returns 1 or -EFAULT.
 */
static int myproto_rx_small(struct sock *sk, struct myproto_read *rd,
			    struct myproto_small **buf)
{
	int len = rd->len - rd->copied;
	const void *data = myproto_small_bytes(sk, &len);
	bool done;

	spin_unlock(&sk->sk_receive_queue.lock);
	done = copy_to_iter_full(data, len, &rd->msg->msg_iter);
	spin_lock(&sk->sk_receive_queue.lock);
	if (!done)
		return -EFAULT;

	*buf = myproto_small_done(sk, len);
	rd->copied += len;
	return 1;
}

/* Move received skbs to sk_write_queue, or read data from a small buffer.
 * Called with the socket lock held.
 *
 * Returns an error, 1 if there is data to read or if data was read, or 0. If 0,
 * @end says whether the stream has ended or has an error. Both are checked
 * under one lock: data before the end must be read first. Sets @taken if the
 * buffers and the receive queue are empty.
 */
static int myproto_rx_take(struct sock *sk, struct myproto_read *rd,
			   bool *taken, bool *end)
{
	struct sk_buff_head *queue = &sk->sk_receive_queue;
	struct myproto_sock *msk = myproto_sk(sk);
	struct myproto_small *buf = NULL;
	bool small, flushed;
	int err = 0;

	spin_lock(&queue->lock);
	flushed = msk->small_head && rd->flush;
	small = msk->small_head && !rd->flush;
	if (flushed)
		err = myproto_small_flush(sk, true);
	else if (small)
		err = myproto_rx_small(sk, rd, &buf);
	if (!msk->small_head)
		skb_queue_splice_tail_init(queue, &sk->sk_write_queue);
	*taken = err <= 0 || (!msk->small_head &&
			      skb_queue_empty(&sk->sk_write_queue));
	*end = sk->sk_shutdown & RCV_SHUTDOWN || READ_ONCE(sk->sk_err);
	if (rd->peek)
		rd->skip = max(READ_ONCE(sk->sk_peek_off), 0);
	rd->seen = msk->rx_total;
	rd->stuck = !myproto_rx_writable(sk);
	spin_unlock(&queue->lock);

	if (buf)
		myproto_small_put(buf);
	/* Data that was appended to an skb is charged less there. */
	if (small || flushed)
		myproto_wake_made_room(sk);
	/* New skbs are charged more. If senders cannot send more now, readers
	 * must be woken for less data than SO_RCVLOWAT.
	 */
	if (flushed && rd->stuck)
		myproto_wake_readers(sk);
	return err ? : !skb_queue_empty(&sk->sk_write_queue);
}

/* A read that has returned data ends before data with files. A read that has
 * returned files ends with their data. If the reader asks for credentials, a
 * read does not combine data of different senders.
 */
static bool myproto_read_fits(const struct sock *sk, struct myproto_read *rd,
			      struct sk_buff *skb)
{
	if (!rd->msg)
		return true;

	rd->full |= rd->copied && MYPROTO_CB(skb)->fpl;
	if (rd->full)
		return false;

	if (!rd->first) {
		if (rd->copied)
			return true;
		if (MYPROTO_CB(skb)->fpl || myproto_asks_cred(sk) ||
		    READ_ONCE(sk->sk_flags) & SK_FLAGS_TIMESTAMP)
			rd->first = skb_get(skb);
		return true;
	}

	rd->full = myproto_asks_cred(sk) &&
		   !myproto_cred_eq(&MYPROTO_CB(skb)->cred,
				    &MYPROTO_CB(rd->first)->cred);
	return !rd->full;
}

/* Returns the number of bytes, less than @len only if the pipe is full, or an
 * error.
 */
static int myproto_read_chunk(struct sock *sk, struct myproto_read *rd,
			      struct sk_buff *skb, int off, int len)
{
	int err;

	if (rd->msg)
		return myproto_skb_read(skb, off, rd->msg, len) ? : len;

	err = skb_splice_bits(skb, sk, off, rd->pipe, len, 0) ? : -ENOMEM;
	rd->full = err < len;
	return err;
}

/* Called when the first byte of @skb, which has files, has been read. A pipe
 * cannot hold files, so they are closed.
 */
static void myproto_read_rights(struct sock *sk, struct myproto_read *rd,
				struct sk_buff *skb)
{
	if (!rd->peek)
		myproto_rights_off(sk, skb);
	if (rd->msg) {
		rd->fpl = myproto_rights_recv(skb, rd->msg, rd->peek);
		rd->full = true;
	} else {
		myproto_rights_close(skb);
	}
}

/* Called with the socket lock held. Returns 0 or an error. */
static int myproto_rx_copy(struct sock *sk, struct myproto_read *rd)
{
	int read = 0, freed = 0, skip = rd->skip, before = rd->copied, err = 0;
	struct sk_buff *skb, *next;

	skb_queue_walk_safe(&sk->sk_write_queue, skb, next) {
		struct myproto_cb *cb = MYPROTO_CB(skb);
		int off = cb->read;

		if (skip >= (int)skb->len - off) {
			skip -= skb->len - off;
			continue;
		}
		off += skip;
		skip = 0;
		if (!myproto_read_fits(sk, rd, skb))
			break;
		err = myproto_read_chunk(sk, rd, skb, off,
					 min_t(int, skb->len - off,
					       rd->len - rd->copied));
		if (err < 0)
			break;
		if (cb->fpl && !off && err)
			myproto_read_rights(sk, rd, skb);

		rd->copied += err;
		read += err;
		off += err;
		err = 0;
		if (!rd->peek)
			cb->read = off;
		if (off < skb->len)
			break;
		if (rd->peek)
			continue;

		__skb_unlink(skb, &sk->sk_write_queue);
		freed += skb->truesize;
		consume_skb(skb);
		/* Do not let senders wait for the end of a long read. */
		if (freed >= READ_ONCE(sk->sk_rcvbuf) / 4) {
			myproto_rx_done(sk, read, freed);
			myproto_wake_room(sk);
			read = 0;
			freed = 0;
		}
		if (rd->copied == rd->len)
			break;
	}

	if (rd->peek)
		return err;
	sk_peek_offset_bwd(sk, rd->copied - before);
	if (read)
		myproto_rx_done(sk, read, freed);
	if (freed)
		myproto_wake_room(sk);
	return err;
}

/* Sleep until there is data, or for a peek new data, or the stream has ended.
 * @rd can be NULL if the read is not a peek. Returns the remaining timeout, and
 * with the queue lock held.
 */
static long myproto_wait_data(struct sock *sk, const struct myproto_read *rd,
			      long timeo)
{
	struct myproto_sock *msk = myproto_sk(sk);
	DEFINE_WAIT_FUNC(wait, myproto_reader_wake);
	const bool peek = rd && rd->peek;
	bool ready;

	spin_lock(&sk->sk_receive_queue.lock);
	msk->rx_waiting++;
	/* model: recv_register, recv_check */
	prepare_to_wait(sk_sleep(sk), &wait, TASK_INTERRUPTIBLE);
	for (;;) {
		/* Not the queue: data may be left in sk_write_queue. */
		ready = peek ? msk->rx_total != rd->seen ||
				(rd->copied && !myproto_rx_writable(sk)) :
				myproto_inq(sk);
		if (ready || sk->sk_shutdown & RCV_SHUTDOWN ||
		    READ_ONCE(sk->sk_err) || !timeo || signal_pending(current))
			break;

		/* Senders enqueue under the lock, then check for sleepers. */
		spin_unlock(&sk->sk_receive_queue.lock);
		timeo = schedule_timeout(timeo);
		spin_lock(&sk->sk_receive_queue.lock);
		/* Usually there is data after a wake-up. */
		if (!peek && myproto_inq(sk))
			break;
		prepare_to_wait(sk_sleep(sk), &wait, TASK_INTERRUPTIBLE);
	}
	msk->rx_waiting--;
	finish_wait(sk_sleep(sk), &wait);
	return timeo;
}

/* Start a peek again: other threads may have read the data meanwhile. */
static void myproto_read_start(struct myproto_read *rd)
{
	if (rd->copied)
		iov_iter_revert(&rd->msg->msg_iter, rd->copied);
	rd->copied = 0;
	consume_skb(rd->first);
	rd->first = NULL;
}

/* Read from skbs that were moved, or else call myproto_rx_take(). Called with
 * the socket lock held. Returns whether there was data, or an error.
 */
static int myproto_read_step(struct sock *sk, struct myproto_read *rd,
			     bool *taken, bool *end)
{
	int more = 1, before = rd->copied;

	if (rd->peek || skb_queue_empty(&sk->sk_write_queue)) {
		more = myproto_rx_take(sk, rd, taken, end);
		/* After ENOBUFS, part of the data may have been moved. */
		if (rd->copied != before ||
		    skb_queue_empty(&sk->sk_write_queue))
			return more;
	}
	return myproto_rx_copy(sk, rd) ? : more;
}

/* Read without the socket lock if the first small buffer has all the data that
 * the read needs, the data is short, and rx_busy is not set. Called with the
 * queue lock held, so the user pages must be present. Returns the number of
 * bytes, or 0.
 */
static int myproto_read_locked(struct sock *sk, struct msghdr *msg, int want,
			       int target, struct myproto_small **buf)
{
	struct myproto_sock *msk = myproto_sk(sk);
	const void *data;
	int len = want;
	bool done;

	if (!msk->small_head || !skb_queue_empty_lockless(&sk->sk_write_queue))
		return 0;
	/* Pairs with smp_wmb() in myproto_read_lock(). */
	smp_rmb();
	/* Pairs with smp_store_release() in myproto_read_unlock(). */
	if (smp_load_acquire(&msk->rx_busy))
		return 0;

	data = myproto_small_bytes(sk, &len);
	if (len > MYPROTO_SMALL_LOCKED)
		return 0;
	/* Less than @want must be all unread data, and at least @target. */
	if (len < want && (len < target || len != myproto_inq(sk)))
		return 0;

	pagefault_disable();
	done = copy_to_iter_full(data, len, &msg->msg_iter);
	pagefault_enable();
	if (!done)
		return 0;
	*buf = myproto_small_done(sk, len);
	return len;
}

/* Read small data without the socket lock. If there is no data, waits first and
 * updates @timeo. Returns the number of bytes, -EAGAIN, or 0 if this is not
 * possible.
 */
static int myproto_read_small(struct sock *sk, struct msghdr *msg, int want,
			      int flags, long *timeo)
{
	struct myproto_small *buf = NULL;
	u32 inq = myproto_inq(sk);
	int len, target;

	if (myproto_needs_skb(sk, flags))
		return 0;

	if (inq) {
		/* In skbs, or too long for myproto_read_locked() */
		if (!READ_ONCE(myproto_sk(sk)->small_tail) ||
		    min_t(u32, want, inq) > MYPROTO_SMALL_LOCKED)
			return 0;
		spin_lock(&sk->sk_receive_queue.lock);
	} else {
		if (myproto_rx_special(sk))
			return 0;
		if (!*timeo)
			return -EAGAIN;
		myproto_busy_poll(sk);
		*timeo = myproto_wait_data(sk, NULL, *timeo);
	}
	target = sock_rcvlowat(sk, flags & MSG_WAITALL, want);
	len = myproto_read_locked(sk, msg, want, target, &buf);
	spin_unlock(&sk->sk_receive_queue.lock);
	if (buf)
		myproto_small_put(buf);
	if (len)
		myproto_wake_made_room(sk);
	return len;
}

static void myproto_read_lock(struct sock *sk)
{
	lock_sock(sk);
	WRITE_ONCE(myproto_sk(sk)->rx_busy, true);
	/* Pairs with smp_rmb() in myproto_read_locked(): a thread that sees
	 * sk_write_queue empty sees rx_busy.
	 */
	smp_wmb();
}

static void myproto_read_unlock(struct sock *sk)
{
	/* Pairs with smp_load_acquire() in myproto_read_locked(). */
	smp_store_release(&myproto_sk(sk)->rx_busy, false);
	release_sock(sk);
}

static int myproto_stream_read(struct sock *sk, struct myproto_read *rd,
			       int flags, long timeo)
{
	bool taken = false, end;
	int target, err;

	/* splice() passes on any data, without SO_RCVLOWAT. */
	target = rd->pipe ? 1 :
		 sock_rcvlowat(sk, flags & MSG_WAITALL, rd->len);
	rd->peek = flags & MSG_PEEK;
	rd->flush = rd->pipe || myproto_needs_skb(sk, flags);

	if (timeo)
		myproto_busy_poll(sk);
	myproto_read_lock(sk);
	for (;;) {
		if (rd->peek)
			myproto_read_start(rd);

		err = myproto_read_step(sk, rd, &taken, &end);
		if (err < 0 || rd->full || (err && rd->copied == rd->len) ||
		    (rd->copied >= target && taken))
			break;
		if (err && !rd->peek)
			continue;

		/* Too full to wake senders: a peek gets no more data. */
		if (rd->peek && rd->copied && rd->stuck)
			break;
		if (end) {
			/* Data that a peek skips comes before the error. */
			err = rd->copied || myproto_inq(sk) ?
			      0 : sock_error(sk);
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

		myproto_read_unlock(sk);
		timeo = myproto_wait_data(sk, rd, timeo);
		spin_unlock(&sk->sk_receive_queue.lock);
		/* More data may have arrived: check again for all of it. */
		taken = false;
		myproto_read_lock(sk);
	}
	if (rd->peek)
		sk_peek_offset_fwd(sk, rd->copied);
	myproto_read_unlock(sk);

	/* The read is short, but there is more data. */
	if (err == -ENOBUFS && rd->copied)
		myproto_wake_readers(sk);

	return rd->copied ? : min(err, 0);
}

/* Report the number of unread bytes in SCM_INQ and in msg_inq, which is for
 * io_uring. At the end of the stream msg_inq is 1, because io_uring would wait
 * otherwise.
 */
static void myproto_recv_inq(struct sock *sk, struct msghdr *msg, int err)
{
	bool cmsg = READ_ONCE(myproto_sk(sk)->inq) && err >= 0;
	int inq;

	if (!cmsg && !msg->msg_get_inq)
		return;

	inq = myproto_inq(sk);
	if (cmsg)
		put_cmsg(msg, SOL_SOCKET, SCM_INQ, sizeof(inq), &inq);
	msg->msg_inq = inq ? : !!(READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN);
}

/* The slow path of recvmsg() */
static noinline int myproto_stream_read_msg(struct socket *sock,
					    struct msghdr *msg, int len,
					    int flags, long timeo)
{
	struct myproto_read rd = { .msg = msg, .len = len };
	int err = myproto_stream_read(sock->sk, &rd, flags, timeo);

	if (rd.first) {
		if (err > 0)
			myproto_scm_recv(sock, msg, rd.first, rd.fpl, flags);
		consume_skb(rd.first);
	}
	return err;
}

int myproto_stream_recvmsg(struct socket *sock, struct msghdr *msg, size_t len,
			   int flags)
{
	struct sock *sk = sock->sk;
	long timeo = sock_rcvtimeo(sk, flags & MSG_DONTWAIT);
	int want = min_t(size_t, len, INT_MAX);
	int err = myproto_recv_flags(flags);

	if (!err && !myproto_peer(sk))
		err = -ENOTCONN;
	if (!err)
		err = myproto_read_small(sk, msg, want, flags, &timeo);
	if (!err)
		err = myproto_stream_read_msg(sock, msg, want, flags, timeo);
	myproto_recv_inq(sk, msg, err);
	trace_myproto_recvmsg(sk, 0, len, flags, err);
	return err;
}

ssize_t myproto_stream_splice_read(struct socket *sock, loff_t *ppos,
				   struct pipe_inode_info *pipe, size_t len,
				   unsigned int flags)
{
	int dontwait = sock->file->f_flags & O_NONBLOCK ||
		       flags & SPLICE_F_NONBLOCK ? MSG_DONTWAIT : 0;
	struct myproto_read rd = {
		.pipe	= pipe,
		.len	= min_t(size_t, len, INT_MAX),
	};
	struct sock *sk = sock->sk;
	int err = -ENOTCONN;

	if (*ppos)
		return -ESPIPE;

	if (myproto_peer(sk))
		err = myproto_stream_read(sk, &rd, dontwait,
					  sock_rcvtimeo(sk, dontwait));
	trace_myproto_recvmsg(sk, 0, len, dontwait, err);
	return err;
}
