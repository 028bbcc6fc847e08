// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: data without an skb. An skb takes a large part of the time of a
 * small send, so small data goes to plain buffers: the one in the socket, the
 * last one if it has space, or a new one. A buffer is freed when all of its
 * data has been read.
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

/* Minimum size of a buffer for several sends, and when other data is unread */
#define MYPROTO_SMALL_FEW	SZ_512
#define MYPROTO_SMALL_MANY	SZ_4K

/* Minimum bytes of messages for myproto_small_claim() */
#define MYPROTO_SMALL_CLAIM	SZ_64

/* myproto_small_data() of the buffer in the socket */
static_assert(offsetof(struct myproto_sock, small_data) ==
	      offsetofend(struct myproto_sock, small_inline));

static u32 myproto_record_size(const struct sock *sk, u32 len)
{
	if (sk->sk_type == SOCK_STREAM)
		return len;
	return sizeof(struct myproto_record) +
	       round_up(len, __alignof__(struct myproto_record));
}

static u32 myproto_small_space(const struct myproto_small *buf)
{
	u32 size = buf->size ? buf->size - MYPROTO_SMALL_HEAD :
			       MYPROTO_SMALL_INLINE;

	return size - buf->in;
}

/* Whether the buffer in the socket can be used: no buffer has data, and it has
 * no reader. The acquire pairs with refcount_dec_and_test() in
 * myproto_small_put().
 */
static bool myproto_small_inline(const struct myproto_sock *msk)
{
	return !READ_ONCE(msk->small_tail) &&
	       !atomic_read_acquire(&msk->small_inline.users.refs);
}

/* Copy @len bytes of @msg, as a record unless it is a stream. On failure @msg
 * is not consumed.
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

/* Allocate and fill a buffer, without sleeping if @nowait. The memory cgroup of
 * @peer is charged. Sets *@err to -ESTALE if there is no memory for a large
 * buffer, without reclaim: an skb can use small pages.
 */
struct myproto_small *myproto_small_alloc(struct sock *sk, struct sock *peer,
					  struct msghdr *msg, u32 len,
					  bool nowait, int *err)
{
	const struct myproto_sock *msk = myproto_sk(peer);
	u32 need = myproto_record_size(sk, len), size;
	/* The data of a stream starts where that of a record would. */
	u32 start = sk->sk_type == SOCK_STREAM ?
		    sizeof(struct myproto_record) : 0;
	bool shared = need <= MYPROTO_SMALL_LOCKED, more;
	struct myproto_small *buf;
	struct mem_cgroup *old;
	gfp_t gfp;

	size = MYPROTO_SMALL_HEAD + start + need;
	/* A sender that waits holds no more than necessary. */
	more = READ_ONCE(msk->small_tail) && myproto_rx_space(peer);
	if (shared)
		size = max_t(u32, size, more ? MYPROTO_SMALL_MANY :
					       MYPROTO_SMALL_FEW);
	size = kmalloc_size_roundup(size);
	*err = -ENOBUFS;
	old = myproto_charge_begin(sk, peer, &gfp);
	if (size > KMALLOC_MAX_CACHE_SIZE) {
		gfp &= ~(__GFP_DIRECT_RECLAIM | __GFP_RETRY_MAYFAIL);
		*err = -ESTALE;
	}
	if (nowait)
		gfp = (gfp & ~__GFP_DIRECT_RECLAIM) | __GFP_NOWARN;
	buf = kmalloc(size, gfp);
	myproto_charge_end(old);
	if (!buf)
		return NULL;

	buf->next = NULL;
	refcount_set(&buf->users, 1);
	buf->size = size;
	buf->slack = shared ? 0 : size - need;
	buf->in = start + need;
	buf->out = start;
	if (!myproto_small_fill(sk, myproto_small_data(buf) + start, msg,
				len)) {
		*err = -EFAULT;
		kfree(buf);
		return NULL;
	}
	return buf;
}

/* Called with the queue lock held. Returns the bytes to charge. */
static int myproto_small_link(struct sock *peer, struct myproto_small *buf)
{
	struct myproto_sock *msk = myproto_sk(peer);

	if (msk->small_tail)
		msk->small_tail->next = buf;
	else
		msk->small_head = buf;
	WRITE_ONCE(msk->small_tail, buf);
	WRITE_ONCE(msk->small_space, myproto_small_space(buf));
	/* Charge used bytes only, so that reading data frees as much space as
	 * sending it took.
	 */
	return buf->in - buf->out + buf->slack;
}

/* Append the data of @from, or @len bytes of @msg if @from is NULL, to the last
 * buffer of @peer, and set *@charge to the bytes to charge. Called with the
 * queue lock held. Returns false if there is no space or if user pages are not
 * present.
 */
static bool myproto_small_append(struct sock *sk, struct sock *peer,
				 struct msghdr *msg, u32 len,
				 const struct myproto_small *from, int *charge)
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
		memcpy(to, myproto_small_data(from) + from->out, need);
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
		*charge = myproto_small_link(peer, buf);
	} else {
		u32 slack = min_t(u32, need, buf->slack);

		WRITE_ONCE(msk->small_space, myproto_small_space(buf));
		/* Unused bytes may be charged already. */
		buf->slack -= slack;
		*charge = need - slack;
	}
	return true;
}

/* Whether to try myproto_small_append(), checked without the lock */
static bool myproto_small_appends(const struct sock *peer, u32 need)
{
	const struct myproto_sock *msk = myproto_sk(peer);

	if (need > MYPROTO_SMALL_LOCKED)
		return false;
	if (READ_ONCE(msk->small_tail))
		return need <= READ_ONCE(msk->small_space);
	return need <= MYPROTO_SMALL_INLINE && myproto_small_inline(msk);
}

/* Enqueue @buf, or @len bytes of @msg if @buf is NULL. Returns -ESTALE if the
 * data needs an skb, -EFAULT if it needs a new buffer, or see
 * myproto_enqueue().
 */
int myproto_small_enqueue(struct sock *sk, struct sock *peer,
			  struct myproto_small *buf, struct msghdr *msg,
			  int len)
{
	bool ready = false, added = false;
	int err, charge;

	/* model: send_enqueue */
	spin_lock(&peer->sk_receive_queue.lock);
	err = myproto_tx_state(sk, peer);
	/* Even without space, so that the sender waits with the skb. */
	if ((!err || err == -EAGAIN) && !myproto_small_suits(sk, peer))
		err = -ESTALE;
	/* Append the data of a small @buf, too. Otherwise a sender whose pages
	 * are not present could queue large buffers with one charged byte each.
	 */
	if (!err && (!buf || buf->in - buf->out <= MYPROTO_SMALL_LOCKED))
		added = myproto_small_append(sk, peer, msg, len, buf, &charge);
	if (!err && !added) {
		if (buf)
			charge = myproto_small_link(peer, buf);
		else
			err = -EFAULT;
	}
	if (!err) {
		myproto_rx_count(peer, len, charge);
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
 * @msg: the data; consumed only on success
 * @len: number of bytes
 * @nowait: do not sleep; the caller has disabled page faults
 *
 * Return: @len, 0 if an skb is needed, -EFAULT, -ENOBUFS, or see
 * myproto_enqueue().
 */
int myproto_small_send(struct sock *sk, struct sock *peer, struct msghdr *msg,
		       int len, bool nowait)
{
	int max = sk->sk_type == SOCK_STREAM ? MYPROTO_SMALL_MAX :
					       MYPROTO_SMALL_MESSAGE;
	struct myproto_small *buf;
	int err;

	if (!len || len > max)
		return 0;
	if (myproto_small_appends(peer, myproto_record_size(sk, len))) {
		err = myproto_small_enqueue(sk, peer, NULL, msg, len);
		if (err != -EFAULT)
			goto out;
	}
	if (!myproto_small_suits(sk, peer))
		return 0;
	if (!myproto_rx_space(peer))
		return -EAGAIN;
	buf = myproto_small_alloc(sk, peer, msg, len, nowait, &err);
	if (!buf)
		goto out;
	err = myproto_may_send(sk, peer) ? :
	      myproto_small_enqueue(sk, peer, buf, msg, len);
	if (err) {
		iov_iter_revert(&msg->msg_iter, len);
		kfree(buf);
	}
out:
	if (err == -ESTALE)
		return 0;
	return err ? : len;
}

void myproto_small_put(struct myproto_small *buf)
{
	/* The buffer in the socket has size 0. */
	bool allocated = buf->size;

	if (refcount_dec_and_test(&buf->users) && allocated)
		kfree(buf);
}

/* Take the first buffer off the list. Called with the queue lock held. */
static void myproto_small_unlink(struct sock *sk)
{
	struct myproto_sock *msk = myproto_sk(sk);

	msk->small_head = msk->small_head->next;
	if (!msk->small_head)
		WRITE_ONCE(msk->small_tail, NULL);
}

/* Remove @size bytes from the first buffer. If it is empty then, takes it off
 * the list and returns it, and the caller must release it with
 * myproto_small_put(). Called with the queue lock held.
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
	myproto_small_unlink(sk);
	return buf;
}

/* Called with the queue lock held, if the next message has no skb. */
static const struct myproto_record *myproto_small_record(const struct sock *sk)
{
	const struct myproto_small *buf = myproto_sk(sk)->small_head;

	return myproto_small_data(buf) + buf->out;
}

/* Take the first buffer off the list, so that readers of its messages do not
 * contend with senders for the queue lock, but only with each other for the
 * lock of sk_write_queue. Sending to or reading from the list continues when
 * small_claim is NULL. Called with the queue lock held.
 */
static void myproto_small_claim(struct sock *sk)
{
	struct myproto_sock *msk = myproto_sk(sk);
	struct myproto_small *buf = msk->small_head;

	myproto_small_unlink(sk);
	/* Readers do not have to wake senders for this space later. */
	atomic_sub(buf->in - buf->out + buf->slack, &sk->sk_rmem_alloc);
	buf->slack = 0;
	/* Pairs with smp_load_acquire() in myproto_small_claimed(). */
	smp_store_release(&msk->small_claim, buf);
}

/* Put the claimed buffer, if any, back for an operation on the list. Called
 * with the queue lock held, or on close.
 */
void myproto_small_unclaim(struct sock *sk)
{
	struct myproto_sock *msk = myproto_sk(sk);
	struct myproto_small *buf;

	if (sk->sk_type == SOCK_STREAM)
		return;

	spin_lock(&sk->sk_write_queue.lock);
	buf = msk->small_claim;
	WRITE_ONCE(msk->small_claim, NULL);
	spin_unlock(&sk->sk_write_queue.lock);
	if (!buf)
		return;

	buf->next = msk->small_head;
	msk->small_head = buf;
	if (!buf->next) {
		WRITE_ONCE(msk->small_tail, buf);
		WRITE_ONCE(msk->small_space, myproto_small_space(buf));
	}
	atomic_add(buf->in - buf->out, &sk->sk_rmem_alloc);
}

/* Take the next message of the claimed buffer. Returns as myproto_small_take()
 * does, or NULL if there is no such buffer.
 */
const struct myproto_record *myproto_small_claimed(struct sock *sk,
						   struct myproto_small **buf)
{
	struct myproto_sock *msk = myproto_sk(sk);
	const struct myproto_record *rec = NULL;
	struct myproto_small *claim;

	spin_lock(&sk->sk_write_queue.lock);
	/* Pairs with smp_store_release() in myproto_small_claim(). */
	claim = smp_load_acquire(&msk->small_claim);
	if (claim) {
		rec = myproto_small_data(claim) + claim->out;
		claim->out += myproto_record_size(sk, rec->len);
		myproto_rx_done(sk, rec->len, 0);
		if (claim->out < claim->in) {
			refcount_inc(&claim->users);
		} else {
			/* Last: the next reader changes rx_read under the queue
			 * lock. Pairs with smp_load_acquire() in
			 * myproto_message_take().
			 */
			smp_store_release(&msk->small_claim, NULL);
		}
	}
	spin_unlock(&sk->sk_write_queue.lock);
	*buf = claim;
	return rec;
}

/* Take the next message if it has no skb. Called with the queue lock held. The
 * caller releases @buf with myproto_small_put().
 */
const struct myproto_record *myproto_small_take(struct sock *sk,
						struct myproto_small **buf)
{
	const struct myproto_record *rec = myproto_small_record(sk);
	struct myproto_small *first = myproto_sk(sk)->small_head;
	bool last = myproto_small_drop(sk, myproto_record_size(sk, rec->len));

	myproto_rx_done(sk, rec->len, 0);
	sk_peek_offset_bwd(sk, rec->len);
	if (!last) {
		refcount_inc(&first->users);
		/* A read from a claimed buffer does not move the offset. */
		if (first->in - first->out >= MYPROTO_SMALL_CLAIM &&
		    READ_ONCE(sk->sk_peek_off) < 0)
			myproto_small_claim(sk);
	}
	*buf = first;
	return rec;
}

/* @len bytes of a stream have been read. Called with the queue lock held.
 * Returns a buffer to release with myproto_small_put(), or NULL.
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

/* Called with the queue lock held, if the next message has no skb. */
u32 myproto_small_len(const struct sock *sk)
{
	return myproto_small_record(sk)->len;
}

/* Move the next message, or contiguous bytes of a stream, to @skb. If @new, add
 * @skb to sk_write_queue. Returns false if there is no data in small buffers or
 * @skb has not enough space. Called with the queue lock held.
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

/* Returns the last skb if stream data can be appended to it, or NULL. Such an
 * skb has no sender, timestamp or files.
 */
static struct sk_buff *myproto_small_tail(struct sock *sk)
{
	struct sk_buff *skb = skb_peek_tail(&sk->sk_write_queue);

	if (sk->sk_type != SOCK_STREAM || !skb || skb->tstamp ||
	    MYPROTO_CB(skb)->cred.pid || MYPROTO_CB(skb)->fpl)
		return NULL;
	return skb;
}

/* Size of a new skb for the next data. Called with the queue lock held. */
static int myproto_small_room(struct sock *sk)
{
	int len = INT_MAX;

	if (sk->sk_type != SOCK_STREAM)
		return myproto_small_len(sk);
	/* A thread may peek after each byte, so leave space for more data. */
	myproto_small_bytes(sk, &len);
	return skb_queue_empty(&sk->sk_write_queue) ?
	       len : max(len, (int)SKB_WITH_OVERHEAD(SZ_4K));
}

static bool myproto_small_needs_flush(const struct sock *sk, bool all)
{
	return myproto_sk(sk)->small_head &&
	       (all || skb_queue_empty(&sk->sk_write_queue));
}

/**
 * myproto_small_flush - move data to skbs for a reader that needs them
 * @sk: the receiver
 * @all: flush all messages, not only the next one
 *
 * Appends the skbs to sk_write_queue.
 *
 * Context: Queue lock held, but released meanwhile. Socket lock held if stream.
 * May sleep.
 * Return: 0 or -ENOBUFS.
 */
int myproto_small_flush(struct sock *sk, bool all)
{
	struct mem_cgroup *old;
	struct sk_buff *skb;
	int len, err = 0;
	gfp_t gfp;

	while (!err && myproto_small_needs_flush(sk, all)) {
		skb = myproto_small_tail(sk);
		if (skb && myproto_small_move(sk, skb, false))
			continue;
		len = myproto_small_room(sk);
		spin_unlock(&sk->sk_receive_queue.lock);
		/* The reader may have called prepare_to_wait() already. */
		__set_current_state(TASK_RUNNING);
		old = myproto_charge_begin(sk, sk, &gfp);
		/* Usually the cgroup is that of the reader, so reclaim. */
		gfp &= ~__GFP_NORETRY;
		skb = alloc_skb(len, gfp | __GFP_RETRY_MAYFAIL);
		myproto_charge_end(old);
		spin_lock(&sk->sk_receive_queue.lock);
		myproto_small_unclaim(sk);
		/* Other threads may have read the message meanwhile. */
		if (!skb)
			err = -ENOBUFS;
		else if (!myproto_small_move(sk, skb, true))
			consume_skb(skb);
	}
	/* Other threads may have taken or moved the data instead. */
	return myproto_small_needs_flush(sk, all) ? err : 0;
}

/* Drop all data on close. The peer is still set. No thread reads or sends. */
void myproto_small_purge(struct sock *sk, enum skb_drop_reason reason)
{
	const struct myproto_record *rec;
	struct myproto_small *buf;
	u32 size;

	myproto_small_unclaim(sk);
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
