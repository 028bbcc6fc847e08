// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: data that goes without an skb
 *
 * To allocate and free an skb takes longer than all else that is done for a
 * small send. So what needs none goes to plain buffers: little data to the one
 * that is part of the socket, or to the end of the last one as long as that has
 * space, and otherwise to a new one. A buffer is freed when all of it has been
 * read, so an idle socket has none.
 */

#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/minmax.h>
#include <linux/net.h>
#include <linux/refcount.h>
#include <linux/sizes.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <net/sock.h>

#include "myproto.h"
#include "trace.h"

/* The least that a buffer is allocated with that others can add to: when there
 * may be no more, and when there is
 */
#define MYPROTO_SMALL_FEW	SZ_512
#define MYPROTO_SMALL_MANY	SZ_4K

static u32 myproto_record_size(const struct sock *sk, u32 len)
{
	if (sk->sk_type == SOCK_STREAM)
		return len;
	return sizeof(struct myproto_record) +
	       round_up(len, __alignof__(struct myproto_record));
}

static u32 myproto_small_space(const struct myproto_small *buf)
{
	u32 size = buf->size ? buf->size - sizeof(*buf) : MYPROTO_SMALL_INLINE;

	return size - buf->in;
}

/* Whether the buffer that is part of @msk can be used: no data and no reader is
 * in it.
 */
static bool myproto_small_inline(const struct myproto_sock *msk)
{
	return !READ_ONCE(msk->small_tail) &&
	       !atomic_read_acquire(&msk->small_inline.users.refs);
}

/* Whether @peer takes data without an skb: that has no place for who sent it
 * and when, no filter sees it, and it is older than what is in the queue.
 */
static inline bool myproto_small_suits(const struct sock *sk, const struct sock *peer)
{
	return skb_queue_empty_lockless(&peer->sk_receive_queue) &&
	       !(READ_ONCE(peer->sk_flags) & MYPROTO_SKB_FLAGS) &&
	       !rcu_access_pointer(peer->sk_filter) &&
	       !myproto_wants_cred(sk, peer);
}

/* Copy the next @len bytes of @msg to @to, as one message unless it is a
 * stream. Returns whether all could be copied; if not, @msg is as it was.
 */
static inline bool myproto_small_fill(const struct sock *sk, void *to,
			       struct msghdr *msg, u32 len)
{
	struct myproto_record *rec = to;

	if (sk->sk_type == SOCK_STREAM)
		return copy_from_iter_full(to, len, &msg->msg_iter);

	rec->len = len;
	rec->eor = sk->sk_type == SOCK_SEQPACKET && msg->msg_flags & MSG_EOR;
	rec->channel = myproto_channel(sk);
	return copy_from_iter_full(rec->data, len, &msg->msg_iter);
}

/* Make a buffer with the next @len bytes of @msg, for @peer, who pays. Stores
 * -ESTALE in @err when it takes an skb, which can have many small pages.
 */
static struct myproto_small *myproto_small_alloc(struct sock *sk,
						 struct sock *peer,
						 struct msghdr *msg, u32 len,
						 int *err)
{
	const struct myproto_sock *msk = myproto_sk(peer);
	u32 need = myproto_record_size(sk, len), size;
	bool shared = need <= MYPROTO_SMALL_LOCKED;
	struct myproto_small *buf;
	struct mem_cgroup *old;
	gfp_t gfp;

	size = sizeof(*buf) + need;
	if (shared)
		size = max_t(u32, size, READ_ONCE(msk->small_tail) &&
					READ_ONCE(msk->small_more) ?
					MYPROTO_SMALL_MANY : MYPROTO_SMALL_FEW);
	size = kmalloc_size_roundup(size);
	*err = -ENOBUFS;
	old = myproto_charge_begin(sk, peer, &gfp);
	if (size > KMALLOC_MAX_CACHE_SIZE) {
		gfp |= __GFP_NORETRY;
		*err = -ESTALE;
	}
	buf = kmalloc(size, gfp);
	myproto_charge_end(old);
	if (!buf)
		return NULL;

	buf->next = NULL;
	refcount_set(&buf->users, 1);
	buf->size = size;
	buf->slack = shared ? 0 : size - need;
	buf->in = need;
	buf->out = 0;
	if (!myproto_small_fill(sk, myproto_small_data(buf), msg, len)) {
		*err = -EFAULT;
		kfree(buf);
		return NULL;
	}
	return buf;
}

/* Add @buf to what @peer has been sent. Called with the queue lock held. */
static void myproto_small_link(struct sock *peer, struct myproto_small *buf)
{
	struct myproto_sock *msk = myproto_sk(peer);

	WRITE_ONCE(msk->small_more,
		   msk->small_tail && buf->in <= MYPROTO_SMALL_LOCKED);
	if (msk->small_tail)
		msk->small_tail->next = buf;
	else
		msk->small_head = buf;
	WRITE_ONCE(msk->small_tail, buf);
	WRITE_ONCE(msk->small_space, myproto_small_space(buf));
	/* Not for what is left at its end to add to, or has been read: so a
	 * read makes as much room as a send takes.
	 */
	atomic_add(buf->in + buf->slack, &peer->sk_rmem_alloc);
}

/* Add the next @len bytes of @msg to the last buffer of @peer, or what is in
 * the new buffer @from if that is not NULL. Called with the queue lock held, so
 * that the pages of the sender have to be there. Returns whether they were, and
 * there was space.
 */
static bool myproto_small_append(struct sock *sk, struct sock *peer,
				 struct msghdr *msg, u32 len,
				 const struct myproto_small *from)
{
	struct myproto_sock *msk = myproto_sk(peer);
	struct myproto_small *buf = msk->small_tail;
	u32 need = myproto_record_size(sk, len);
	bool first = !buf, done = true;
	void *to;

	if (first) {
		if (!myproto_small_inline(msk))
			return false;
		buf = &msk->small_inline;
		buf->next = NULL;
		buf->in = 0;
		buf->out = 0;
	}
	if (myproto_small_space(buf) < need)
		return false;

	to = myproto_small_data(buf) + buf->in;
	if (from) {
		memcpy(to, myproto_small_data(from), need);
	} else {
		pagefault_disable();
		done = myproto_small_fill(sk, to, msg, len);
		pagefault_enable();
	}
	if (!done)
		return false;

	buf->in += need;
	if (first) {
		refcount_set(&buf->users, 1);
		myproto_small_link(peer, buf);
	} else {
		WRITE_ONCE(msk->small_space, myproto_small_space(buf));
		atomic_add(need, &peer->sk_rmem_alloc);
	}
	return true;
}

/* Whether to try myproto_small_append(), as far as one sees without the lock */
static bool myproto_small_appends(const struct sock *peer, u32 need)
{
	const struct myproto_sock *msk = myproto_sk(peer);

	if (need > MYPROTO_SMALL_LOCKED)
		return false;
	if (READ_ONCE(msk->small_tail))
		return need <= READ_ONCE(msk->small_space);
	return need <= MYPROTO_SMALL_INLINE && myproto_small_inline(msk);
}

/* Give @peer @buf, or if that is NULL the next @len bytes of @msg.
 * Returns 0, -ESTALE when it takes an skb, -EFAULT when it takes a buffer, or
 * see myproto_publish().
 */
static int myproto_small_publish(struct sock *sk, struct sock *peer,
				 struct myproto_small *buf, struct msghdr *msg,
				 int len)
{
	bool ready = false, added = false;
	int err;

	/* model: send_enqueue */
	spin_lock(&peer->sk_receive_queue.lock);
	err = myproto_tx_state(sk, peer);
	if (!err && !myproto_small_suits(sk, peer))
		err = -ESTALE;
	/* Also what is in a buffer, or threads whose pages are not there could
	 * fill memory with buffers that have a byte each.
	 */
	if (!err && (!buf || buf->in <= MYPROTO_SMALL_LOCKED))
		added = myproto_small_append(sk, peer, msg, len, buf);
	if (!err && !added) {
		if (buf)
			myproto_small_link(peer, buf);
		else
			err = -EFAULT;
	}
	if (!err) {
		myproto_rx_count(peer, len);
		ready = myproto_rx_ready(peer);
	}
	spin_unlock(&peer->sk_receive_queue.lock);

	/* model: send_wake */
	if (ready)
		peer->sk_data_ready(peer);
	if (added && buf)
		kfree(buf);
	return err;
}

/**
 * myproto_small_send - send data without an skb
 * @sk: the sender
 * @peer: the receiver
 * @msg: the data
 * @len: how many bytes of it
 *
 * Context: Process context. May sleep.
 * Return: @len, 0 when it takes an skb, -EFAULT, -ENOBUFS, or see
 * myproto_publish(), with @msg as it was if it is not @len.
 */
int myproto_small_send(struct sock *sk, struct sock *peer, struct msghdr *msg,
		       int len)
{
	int max = sk->sk_type == SOCK_STREAM ? MYPROTO_SMALL_MAX :
					       MYPROTO_SMALL_MESSAGE;
	struct myproto_small *buf;
	int err;

	if (!len || len > max || !myproto_small_suits(sk, peer))
		return 0;
	if (!myproto_rx_takes(peer))
		return -EAGAIN;

	if (myproto_small_appends(peer, myproto_record_size(sk, len))) {
		err = myproto_small_publish(sk, peer, NULL, msg, len);
		if (err != -EFAULT)
			goto out;
	}
	buf = myproto_small_alloc(sk, peer, msg, len, &err);
	if (!buf)
		goto out;
	err = myproto_small_publish(sk, peer, buf, msg, len);
	if (err) {
		iov_iter_revert(&msg->msg_iter, len);
		kfree(buf);
	}
out:
	if (err == -ESTALE)
		return 0;
	return err ? : len;
}

/**
 * myproto_small_put - give up a buffer
 * @buf: the buffer
 *
 * Context: Any.
 */
void myproto_small_put(struct myproto_small *buf)
{
	/* The one in the socket has no size. */
	bool allocated = buf->size;

	if (refcount_dec_and_test(&buf->users) && allocated)
		kfree(buf);
}

/* Take @size bytes off the first buffer of @sk. Returns that if it was all that
 * is there, for the caller to give up. Called with the queue lock held.
 */
static struct myproto_small *myproto_small_drop(struct sock *sk, int size)
{
	struct myproto_sock *msk = myproto_sk(sk);
	struct myproto_small *buf = msk->small_head;

	buf->out += size;
	if (buf->out < buf->in) {
		atomic_sub(size, &sk->sk_rmem_alloc);
		return NULL;
	}

	atomic_sub(size + buf->slack, &sk->sk_rmem_alloc);
	msk->small_head = buf->next;
	if (!buf->next)
		WRITE_ONCE(msk->small_tail, NULL);
	return buf;
}

/* The next message of @sk. Called with the queue lock held, when there is one
 * that has no skb.
 */
static const struct myproto_record *myproto_small_record(const struct sock *sk)
{
	const struct myproto_small *buf = myproto_sk(sk)->small_head;

	return myproto_small_data(buf) + buf->out;
}

/**
 * myproto_small_take - take a message
 * @sk: the receiver
 * @buf: where to store in which buffer it is, for myproto_small_put()
 *
 * Context: With the queue lock held, when the next message has no skb.
 * Return: the message.
 */
const struct myproto_record *myproto_small_take(struct sock *sk,
						struct myproto_small **buf)
{
	const struct myproto_record *rec = myproto_small_record(sk);

	*buf = myproto_sk(sk)->small_head;
	if (!myproto_small_drop(sk, myproto_record_size(sk, rec->len)))
		refcount_inc(&(*buf)->users);
	myproto_rx_done(sk, rec->len, 0);
	sk_peek_offset_bwd(sk, rec->len);
	return rec;
}

/**
 * myproto_small_done - the next bytes of a stream have been read
 * @sk: the receiver
 * @len: how many
 *
 * Context: With the queue lock held.
 * Return: a buffer for myproto_small_put(), or NULL.
 */
struct myproto_small *myproto_small_done(struct sock *sk, int len)
{
	struct myproto_small *buf = myproto_small_drop(sk, len);

	myproto_rx_done(sk, len, 0);
	sk_peek_offset_bwd(sk, len);
	if (!buf || buf->size)
		return buf;
	/* A stream has one reader at a time. */
	refcount_set(&buf->users, 0);
	return NULL;
}

/**
 * myproto_small_len - how long the next message is
 * @sk: the receiver
 *
 * Context: With the queue lock held, when it has no skb.
 * Return: how many bytes it has.
 */
u32 myproto_small_len(const struct sock *sk)
{
	return myproto_small_record(sk)->len;
}

/* Move the next message of @sk, or what there is of a stream in one place, to
 * @skb, which is new unless it is on sk_write_queue. Returns whether there was
 * something and space for it. Called with the queue lock held.
 */
static bool myproto_small_move(struct sock *sk, struct sk_buff *skb, bool new)
{
	const struct myproto_record *rec;
	struct myproto_small *buf;
	int len = INT_MAX;
	const void *data;

	if (!myproto_sk(sk)->small_head)
		return false;
	if (sk->sk_type == SOCK_STREAM) {
		data = myproto_small_bytes(sk, &len);
	} else {
		rec = myproto_small_record(sk);
		data = rec->data;
		len = rec->len;
		MYPROTO_CB(skb)->channel = rec->channel;
		MYPROTO_CB(skb)->eor = rec->eor;
	}
	if (len > skb_tailroom(skb))
		return false;

	__skb_put_data(skb, data, len);
	buf = myproto_small_drop(sk, myproto_record_size(sk, len));
	if (buf)
		myproto_small_put(buf);
	if (new) {
		atomic_add(skb->truesize, &sk->sk_rmem_alloc);
		__skb_queue_tail(&sk->sk_write_queue, skb);
	}
	return true;
}

/* The skb to whose end bytes of a stream can go: nobody is to be told who sent
 * what is there, or when.
 */
static struct sk_buff *myproto_small_tail(struct sock *sk)
{
	struct sk_buff *skb = skb_peek_tail(&sk->sk_write_queue);

	if (sk->sk_type != SOCK_STREAM || !skb || skb->tstamp ||
	    MYPROTO_CB(skb)->cred.pid || MYPROTO_CB(skb)->fpl)
		return NULL;
	return skb;
}

/* How much space a new skb is to have for what is moved next. Called with the
 * queue lock held.
 */
static int myproto_small_room(struct sock *sk)
{
	int len = INT_MAX;

	if (sk->sk_type != SOCK_STREAM)
		return myproto_small_len(sk);
	/* Who peeks at each byte may do so for long. */
	myproto_small_bytes(sk, &len);
	return skb_queue_empty(&sk->sk_write_queue) ?
	       len : max(len, (int)SKB_WITH_OVERHEAD(SZ_4K));
}

/**
 * myproto_small_spill - move what has no skb to skbs, for readers who need them
 * @sk: the receiver
 * @all: not only the next message of several
 *
 * They go to the end of sk_write_queue, which holds the oldest.
 *
 * Context: With the queue lock held, which is given up meanwhile, and of a
 * stream the socket lock. May sleep.
 * Return: 0 or -ENOBUFS.
 */
int myproto_small_spill(struct sock *sk, bool all)
{
	struct mem_cgroup *old;
	struct sk_buff *skb;
	int len, err = 0;
	gfp_t gfp;

	while (!err && myproto_sk(sk)->small_head &&
	       (all || skb_queue_empty(&sk->sk_write_queue))) {
		skb = myproto_small_tail(sk);
		if (skb && myproto_small_move(sk, skb, false))
			continue;
		len = myproto_small_room(sk);
		spin_unlock(&sk->sk_receive_queue.lock);
		/* The reader may be about to sleep for want of a message. */
		__set_current_state(TASK_RUNNING);
		old = myproto_charge_begin(sk, sk, &gfp);
		skb = alloc_skb(len, gfp);
		myproto_charge_end(old);
		spin_lock(&sk->sk_receive_queue.lock);
		/* Others may have read, or sent more, meanwhile. */
		if (!skb)
			err = -ENOBUFS;
		else if (!myproto_small_move(sk, skb, true))
			consume_skb(skb);
	}
	return err;
}

/**
 * myproto_small_purge - drop what has no skb
 * @sk: a socket that is being closed, with its peer still known
 * @reason: why
 *
 * Context: Process context, when nobody else reads from @sk or sends to it.
 */
void myproto_small_purge(struct sock *sk, enum skb_drop_reason reason)
{
	const struct myproto_record *rec;
	struct myproto_small *buf;
	u32 size;

	while ((buf = myproto_sk(sk)->small_head)) {
		if (sk->sk_type == SOCK_STREAM) {
			size = buf->in - buf->out;
		} else {
			rec = myproto_small_record(sk);
			size = myproto_record_size(sk, rec->len);
			trace_myproto_drop(sk, rec->channel, rec->len, reason);
		}
		buf = myproto_small_drop(sk, size);
		if (buf)
			myproto_small_put(buf);
	}
}
