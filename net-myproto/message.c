// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: the messages of SOCK_SEQPACKET and SOCK_DGRAM
 *
 * A message is one skb, or a record in a buffer of small.c if it is small. A
 * sender waits when there is no receive buffer space.
 */

#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/myproto.h>
#include <linux/net.h>
#include <linux/sched/signal.h>
#include <linux/security.h>
#include <linux/sizes.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <net/scm.h>
#include <net/sock.h>
#include <net/tcp_states.h>

#include "myproto.h"
#include "trace.h"

/* The fragments of an skb hold this much in every configuration. A send fails
 * with ENOBUFS when memory is too fragmented.
 */
#define MYPROTO_MESSAGE_LIMIT	SZ_512K

/* Maximum length of a message from splice() */
#define MYPROTO_SPLICE_MAX	SZ_64K

static struct sk_buff *myproto_message_alloc(struct sock *sk,
					     struct sock *peer,
					     struct msghdr *msg, int len,
					     int *err)
{
	struct sk_buff *skb;

	skb = myproto_skb_alloc(sk, peer, msg, len, err);
	if (!skb)
		return NULL;

	MYPROTO_CB(skb)->channel = myproto_channel(sk);
	MYPROTO_CB(skb)->eor = sk->sk_type == SOCK_SEQPACKET &&
			       msg->msg_flags & MSG_EOR;
	return skb;
}

/* See myproto_may_send(). */
int __myproto_may_send(struct sock *sk, struct sock *peer)
{
	int err = security_sock_local_send(sk, peer);

	/* After these, the caller would wait or use an skb. */
	return err == -EAGAIN || err == -ESTALE ? -EACCES : err;
}

/* Send a message without an skb. Returns @len, 0 if an skb is needed, or an
 * error. @timeo is updated.
 */
static int myproto_message_send_small(struct sock *sk, struct sock *peer,
				      struct msghdr *msg, int len, long *timeo)
{
	struct myproto_small *buf;
	int err;

	do {
		err = myproto_small_send(sk, peer, msg, len, false);
		if (err != -EAGAIN || *timeo)
			break;
		err = myproto_wait_room(sk, peer, timeo);
	} while (!err);
	if (err != -EAGAIN || !*timeo)
		return err;

	/* See myproto_message_send(). */
	buf = myproto_small_alloc(sk, peer, msg, len, false, &err);
	if (!buf)
		goto out;
	do {
		err = myproto_may_send(sk, peer) ? :
		      myproto_small_enqueue(sk, peer, buf, msg, len);
		if (err != -EAGAIN)
			break;
		err = myproto_wait_room(sk, peer, timeo);
	} while (!err);
	myproto_wake_room(peer);
	if (!err)
		return len;

	iov_iter_revert(&msg->msg_iter, len);
	kfree(buf);
out:
	return err == -ESTALE ? 0 : err;
}

/* Send @len bytes of @msg with the control data @scm. Returns @len, or an error
 * with @msg unchanged, so that the caller can try again.
 */
static int myproto_message_send(struct sock *sk, struct sock *peer,
				struct msghdr *msg, int len,
				struct scm_cookie *scm)
{
	long timeo = sock_sndtimeo(sk, msg->msg_flags & MSG_DONTWAIT);
	bool waited = false;
	struct sk_buff *skb;
	int err;

	if (!scm && !(msg->msg_flags & MSG_SPLICE_PAGES)) {
		err = myproto_message_send_small(sk, peer, msg, len, &timeo);
		if (err == -ENOBUFS)
			goto out;
		if (err)
			return err;
	}

	/* A nonblocking send checks for space before it copies the data. A
	 * blocking send copies first: its wake-up is exclusive, so it must be
	 * ready to enqueue at once.
	 */
	if (!timeo && !myproto_rx_space(peer)) {
		err = myproto_wait_room(sk, peer, &timeo);
		if (err)
			return err;
	}

	skb = myproto_message_alloc(sk, peer, msg, len, &err);
	if (!skb)
		goto out;

	do {
		err = myproto_may_send(sk, peer) ? :
		      myproto_enqueue(sk, peer, skb, scm);
		if (err != -EAGAIN)
			break;
		waited = true;
		err = myproto_wait_room(sk, peer, &timeo);
	} while (!err);
	/* The wake-up was exclusive, but there may be space for more. */
	if (waited)
		myproto_wake_room(peer);
	if (!err)
		return len;

	iov_iter_revert(&msg->msg_iter, len);
	consume_skb(skb);
out:
	if (err == -ENOBUFS)
		myproto_tx_short(sk, peer);
	return err;
}

static int myproto_max_len(const struct sock *sk, const struct sock *peer)
{
	return min3(READ_ONCE(sk->sk_sndbuf), READ_ONCE(peer->sk_rcvbuf),
		    MYPROTO_MESSAGE_LIMIT);
}

/**
 * myproto_message_max - get the option MYPROTO_MESSAGE_MAX
 * @sk: a socket that is not SOCK_STREAM
 *
 * Return: the maximum length of a message in bytes, or -ENOTCONN.
 */
int myproto_message_max(const struct sock *sk)
{
	const struct sock *peer;
	int max;

	rcu_read_lock();
	peer = rcu_dereference(myproto_sk(sk)->peer);
	max = peer ? myproto_max_len(sk, peer) : -ENOTCONN;
	rcu_read_unlock();
	return max;
}

static int myproto_message_sendmsg(struct socket *sock, struct sock *peer,
				   struct msghdr *msg, size_t len)
{
	struct sock *sk = sock->sk;
	struct scm_cookie cookie, *scm = &cookie;
	int err, max;

	if (READ_ONCE(sk->sk_shutdown) & SEND_SHUTDOWN)
		return -EPIPE;

	/* First: a denied sender must not learn about the receive buffer. */
	err = myproto_may_send(sk, peer);
	if (err)
		return err;

	max = myproto_max_len(sk, peer);
	/* Data from a pipe has no message boundaries, so it can be split. */
	if (msg->msg_flags & MSG_SPLICE_PAGES)
		len = min_t(size_t, len, min(max, MYPROTO_SPLICE_MAX));
	if (len > max)
		return -EMSGSIZE;

	err = myproto_scm_send(sock, peer, msg, &scm);
	if (err)
		return err;
	err = myproto_message_send(sk, peer, msg, len, scm);
	if (scm)
		scm_destroy(scm);
	return err;
}

int myproto_seqpacket_sendmsg(struct socket *sock, struct msghdr *msg,
			      size_t len)
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
		err = myproto_message_sendmsg(sock, peer, msg, len);

	if (err == -EPIPE && !(msg->msg_flags & MSG_NOSIGNAL))
		send_sig(SIGPIPE, current, 0);
	trace_myproto_sendmsg(sk, 0, len, msg->msg_flags, err);
	return err;
}

/* Look up the SOCK_DGRAM socket at @channel. Takes a reference. */
static struct sock *myproto_dgram_lookup(struct sock *sk, u32 channel)
{
	struct sock *peer = myproto_channel_lookup(sock_net(sk), channel);

	if (!peer)
		return ERR_PTR(-ECONNREFUSED);
	if (peer->sk_type != SOCK_DGRAM) {
		sock_put(peer);
		return ERR_PTR(-EPROTOTYPE);
	}
	return peer;
}

/* Find the receiver of @msg and take a reference. If @msg has an address, store
 * its channel in @channel.
 */
static struct sock *myproto_dgram_dest(struct sock *sk,
				       const struct msghdr *msg, u32 *channel)
{
	struct sock *peer;
	int err;

	if (!msg->msg_namelen) {
		rcu_read_lock();
		/* A peer without references has been replaced: try again. */
		do {
			peer = rcu_dereference(myproto_sk(sk)->peer);
		} while (peer && !refcount_inc_not_zero(&peer->sk_refcnt));
		rcu_read_unlock();
		return peer ? : ERR_PTR(-EDESTADDRREQ);
	}

	err = myproto_addr_peer(msg->msg_name, msg->msg_namelen, channel);
	if (err)
		return ERR_PTR(err);

	/* The receiver needs an address to reply to. */
	if (!myproto_channel(sk)) {
		lock_sock(sk);
		err = myproto_channel_autobind(sk, MYPROTO_CHANNEL_ANY);
		release_sock(sk);
		if (err)
			return ERR_PTR(err);
	}
	return myproto_dgram_lookup(sk, *channel);
}

/* Send a small message without a reference to the peer. Returns @len, 0 if this
 * is not possible, or the error of a security module.
 */
static int myproto_dgram_send_small(struct sock *sk, struct msghdr *msg,
				    size_t len)
{
	struct sock *peer;
	int err = 0;

	if (msg->msg_namelen || msg->msg_controllen ||
	    msg->msg_flags & MSG_SPLICE_PAGES ||
	    READ_ONCE(sk->sk_shutdown) & SEND_SHUTDOWN)
		return 0;

	/* The peer is put after a grace period: myproto_dgram_associate(). */
	rcu_read_lock();
	peer = rcu_dereference(myproto_sk(sk)->peer);
	/* No buffer has a limit as low as MYPROTO_SMALL_LOCKED. */
	if (peer && len && len <= MYPROTO_SMALL_LOCKED &&
	    myproto_rx_space(peer) && myproto_small_suits(sk, peer)) {
		err = myproto_may_send(sk, peer);
		if (!err) {
			pagefault_disable();
			err = max(0, myproto_small_send(sk, peer, msg, len,
							true));
			pagefault_enable();
		}
	}
	rcu_read_unlock();
	return err;
}

int myproto_dgram_sendmsg(struct socket *sock, struct msghdr *msg, size_t len)
{
	struct sock *sk = sock->sk, *peer;
	u32 channel = 0;
	int err;

	if (msg->msg_flags & MSG_OOB) {
		err = -EOPNOTSUPP;
		goto out;
	}

	err = myproto_dgram_send_small(sk, msg, len);
	if (err)
		goto out;

	peer = myproto_dgram_dest(sk, msg, &channel);
	if (IS_ERR(peer)) {
		err = PTR_ERR(peer);
		goto out;
	}
	err = myproto_message_sendmsg(sock, peer, msg, len);
	sock_put(peer);
out:
	trace_myproto_sendmsg(sk, channel, len, msg->msg_flags, err);
	return err;
}

/* Whether the peek offset @off is past the end of @skb. For an empty message,
 * whether it has been peeked at.
 */
static bool myproto_peek_past(const struct sk_buff *skb, int off)
{
	return off >= (int)skb->len && (off || skb->peeked);
}

/* A message for a reader: an skb, or a record in a small buffer */
struct myproto_message {
	struct sk_buff			*skb;
	const struct myproto_record	*rec;
	struct myproto_small		*buf;
	int				off;	/* offset of a peek in @skb */
};

/* Returns the queue with the oldest skb. For a peek without small buffers, this
 * queue has all skbs then, because SO_PEEK_OFF may skip some of them. Caller
 * holds the queue lock. The oldest message has an skb.
 */
static struct sk_buff_head *myproto_message_queue(struct sock *sk, bool peek)
{
	struct sk_buff_head *old = &sk->sk_write_queue;

	if (skb_queue_empty(old))
		return &sk->sk_receive_queue;
	if (peek && !myproto_sk(sk)->small_head)
		skb_queue_splice_tail_init(&sk->sk_receive_queue, old);
	return old;
}

/* myproto_message_take() for skbs. Caller holds the queue lock. */
static bool myproto_message_take_skb(struct sock *sk, bool peek, int len,
				     struct myproto_message *m, int *err)
{
	struct sk_buff_head *queue = myproto_message_queue(sk, peek);
	struct sk_buff *skb = skb_peek(queue);
	int skip = -1;

	/* If data is left in buffers, SO_PEEK_OFF was set after the flush. */
	if (peek && !myproto_sk(sk)->small_head)
		skip = READ_ONCE(sk->sk_peek_off);

	while (skip >= 0 && skb && myproto_peek_past(skb, skip)) {
		skip -= skb->len;
		skb = skb_peek_next(skb, queue);
	}

	/* Messages that a peek has skipped still come before the error. */
	if (skb_queue_empty(queue) && READ_ONCE(sk->sk_err)) {
		*err = sock_error(sk);
	} else if (!skb) {
		*err = sk->sk_shutdown & RCV_SHUTDOWN ? 0 : -EAGAIN;
	} else if (peek) {
		skb_get(skb);
		skb->peeked = 1;
		m->off = max(skip, 0);
		if (skip >= 0)
			sk_peek_offset_fwd(sk, min_t(int, skb->len - m->off,
						     len));
	} else {
		__skb_unlink(skb, queue);
		if (MYPROTO_CB(skb)->fpl)
			myproto_rights_off(sk, skb);
		myproto_rx_done(sk, skb->len, skb->truesize);
		sk_peek_offset_bwd(sk, skb->len);
	}
	m->skb = skb;
	return skb;
}

/* Take the next message from the claimed buffer, if this is possible. Needs no
 * lock.
 */
static noinline bool myproto_message_claimed(struct sock *sk, int flags,
					     struct myproto_message *m)
{
	if (myproto_needs_skb(sk, flags) || READ_ONCE(sk->sk_peek_off) >= 0)
		return false;
	m->rec = myproto_small_claimed(sk, &m->buf);
	return m->rec;
}

/* Dequeue the next message of @sk, or take a reference to it for MSG_PEEK. With
 * SO_PEEK_OFF, sets @m->off, and the next peek starts @len bytes later. Returns
 * false, with the reason in *@err, if there is no message.
 */
static bool myproto_message_take(struct sock *sk, int flags, int len,
				 struct myproto_message *m, int *err)
{
	bool peek = flags & MSG_PEEK, got = false;
	struct myproto_sock *msk = myproto_sk(sk);

	*m = (struct myproto_message) {};
	*err = 0;
	if (unlikely(READ_ONCE(msk->small_claim)) &&
	    myproto_message_claimed(sk, flags, m))
		return true;
	spin_lock(&sk->sk_receive_queue.lock);
	/* Pairs with smp_store_release() in myproto_small_claimed(). */
	if (unlikely(smp_load_acquire(&msk->small_claim)))
		myproto_small_unclaim(sk);
	if (msk->small_head && myproto_needs_skb(sk, flags))
		*err = myproto_small_flush(sk, peek &&
					   READ_ONCE(sk->sk_peek_off) >= 0);
	if (msk->small_head && skb_queue_empty(&sk->sk_write_queue) && !*err) {
		m->rec = myproto_small_take(sk, &m->buf);
		got = true;
	} else if (!*err) {
		got = myproto_message_take_skb(sk, peek, len, m, err);
	}
	spin_unlock(&sk->sk_receive_queue.lock);

	if (got && !peek)
		myproto_wake_made_room(sk);
	return got;
}

/* Wait for a message. Returns as myproto_message_take() does. */
static bool myproto_message_wait(struct sock *sk, int flags, int len,
				 struct myproto_message *m, long timeo,
				 int *err)
{
	DEFINE_WAIT_FUNC(wait, myproto_reader_wake);
	bool peek = flags & MSG_PEEK, got;
	int why = 0;

	myproto_busy_poll(sk);
	for (;;) {
		/* model: recv_register. A peek leaves the message in the queue,
		 * so its wake-up must not be exclusive.
		 */
		if (peek)
			prepare_to_wait(sk_sleep(sk), &wait,
					TASK_INTERRUPTIBLE);
		else
			prepare_to_wait_exclusive(sk_sleep(sk), &wait,
						  TASK_INTERRUPTIBLE);
		/* model: recv_take */
		got = myproto_message_take(sk, flags, len, m, err);
		if (got || *err != -EAGAIN)
			break;
		why = timeo ? sock_intr_errno(timeo) : -EAGAIN;
		if (!timeo || signal_pending(current))
			break;
		/* model: recv_sleep */
		timeo = schedule_timeout(timeo);
		/* The wake-up has removed the entry, so there is no second one
		 * that this thread would have to pass on.
		 */
		if (list_empty_careful(&wait.entry)) {
			got = myproto_message_take(sk, flags, len, m, err);
			/* No memory: wake another reader for the message. */
			if (*err == -ENOBUFS)
				break;
			if (got || *err != -EAGAIN)
				return got;
		}
	}
	finish_wait(sk_sleep(sk), &wait);
	if (got || *err != -EAGAIN) {
		/* model: recv_pass. This thread may have consumed a wake-up for
		 * another message: wake the next reader.
		 */
		if (!peek && !myproto_rx_empty(sk))
			myproto_wake_readers(sk);
		return got;
	}

	/* A wake-up after the last check was for this thread: check again. */
	got = myproto_message_take(sk, flags, len, m, err);
	if (!got && *err == -EAGAIN)
		*err = why;
	else if (*err == -ENOBUFS && !peek)
		myproto_wake_readers(sk);
	return got;
}

static bool myproto_message_get(struct sock *sk, int len, int flags,
				struct myproto_message *m, int *err)
{
	long timeo;

	/* Without the queue lock, which senders need */
	if (myproto_rx_empty(sk) && !myproto_rx_special(sk))
		*err = -EAGAIN;
	else if (myproto_message_take(sk, flags, len, m, err))
		return true;
	if (*err != -EAGAIN)
		return false;

	timeo = sock_rcvtimeo(sk, flags & MSG_DONTWAIT);
	return timeo && myproto_message_wait(sk, flags, len, m, timeo, err);
}

static void myproto_message_name(struct msghdr *msg, u32 channel, bool eor)
{
	DECLARE_SOCKADDR(struct sockaddr_my *, smy, msg->msg_name);

	if (eor)
		msg->msg_flags |= MSG_EOR;
	if (smy && channel) {
		*smy = (struct sockaddr_my) {
			.smy_family	= AF_MYPROTO,
			.smy_channel	= channel,
		};
		msg->msg_namelen = sizeof(*smy);
	}
}

/* myproto_message_copy() for a message without an skb */
static int myproto_small_copy(struct socket *sock, struct msghdr *msg,
			      const struct myproto_message *m, int len,
			      int flags)
{
	const struct myproto_record *rec = m->rec;
	int all = rec->len, copied = min(all, len);

	if (!copy_to_iter_full(rec->data, copied, &msg->msg_iter)) {
		myproto_drop_small(sock->sk, rec,
				   SKB_DROP_REASON_SKB_UCOPY_FAULT);
		copied = -EFAULT;
	} else {
		if (copied < all)
			msg->msg_flags |= MSG_TRUNC;
		myproto_message_name(msg, rec->channel, rec->eor);
		if (flags & MSG_TRUNC)
			copied = all;
	}
	myproto_small_put(m->buf);
	return copied;
}

/* Copy the message @skb from @off on, with its control data, to @msg. Consumes
 * the caller's reference. Returns as recvmsg() does.
 */
static int myproto_message_copy(struct socket *sock, struct msghdr *msg,
				struct sk_buff *skb, int off, int len,
				int flags)
{
	int left = skb->len - off, copied = min(left, len), err;
	struct scm_fp_list *fpl = NULL;
	bool peek = flags & MSG_PEEK;

	err = myproto_skb_read(skb, off, msg, copied);
	if (err) {
		if (peek) {
			sk_peek_offset_bwd(sock->sk, copied);
			consume_skb(skb);
		} else {
			myproto_drop(sock->sk, skb,
				     SKB_DROP_REASON_SKB_UCOPY_FAULT);
		}
		return err;
	}

	if (copied < left)
		msg->msg_flags |= MSG_TRUNC;
	myproto_message_name(msg, MYPROTO_CB(skb)->channel,
			     MYPROTO_CB(skb)->eor);
	/* Threads that peek may use the files, too. */
	if (MYPROTO_CB(skb)->fpl)
		fpl = myproto_rights_recv(skb, msg, peek || skb_shared(skb));
	myproto_scm_recv(sock, msg, skb, fpl, flags);
	consume_skb(skb);

	return flags & MSG_TRUNC ? left : copied;
}

static int myproto_message_recvmsg(struct socket *sock, struct msghdr *msg,
				   int len, int flags)
{
	struct sock *sk = sock->sk;
	struct myproto_message m;
	int err;

	if (myproto_message_get(sk, len, flags, &m, &err))
		err = m.skb ? myproto_message_copy(sock, msg, m.skb, m.off, len,
						   flags) :
			      myproto_small_copy(sock, msg, &m, len, flags);
	/* Only a flag for more messages or EOF: with a byte count, io_uring
	 * would merge several messages into one receive.
	 */
	if (msg->msg_get_inq)
		msg->msg_inq = READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN ||
			!myproto_rx_empty(sk);
	return err;
}

int myproto_seqpacket_recvmsg(struct socket *sock, struct msghdr *msg,
			      size_t len, int flags)
{
	struct sock *sk = sock->sk;
	int err = myproto_recv_flags(flags);

	if (!err && !myproto_peer(sk))
		err = -ENOTCONN;
	if (!err)
		err = myproto_message_recvmsg(sock, msg,
					      min_t(size_t, len, INT_MAX),
					      flags);
	trace_myproto_recvmsg(sk, 0, len, flags, err);
	return err;
}

int myproto_dgram_recvmsg(struct socket *sock, struct msghdr *msg, size_t len,
			  int flags)
{
	int err = myproto_recv_flags(flags);

	if (!err)
		err = myproto_message_recvmsg(sock, msg,
					      min_t(size_t, len, INT_MAX),
					      flags);
	trace_myproto_recvmsg(sock->sk, 0, len, flags, err);
	return err;
}

/* Connect @sk to @peer, or disconnect it if that is NULL. Consumes the caller's
 * reference to @peer.
 */
static void myproto_dgram_associate(struct sock *sk, struct sock *peer)
{
	struct myproto_sock *msk = myproto_sk(sk);
	struct sock *old;

	spin_lock(&sk->sk_receive_queue.lock);
	old = myproto_peer_locked(sk);
	if (old)
		myproto_relay_del(sk, old);
	rcu_assign_pointer(msk->peer, peer);
	WRITE_ONCE(sk->sk_state, peer ? TCP_ESTABLISHED : TCP_CLOSE);
	spin_unlock(&sk->sk_receive_queue.lock);

	/* Wake pollers, and senders that have to check the peer again. */
	sk->sk_state_change(sk);
	wake_up_interruptible_all(&msk->peer_wait);
	if (!old)
		return;
	/* Threads that send may use the old peer under RCU. */
	if (!sock_flag(old, SOCK_RCU_FREE))
		synchronize_rcu();
	sock_put(old);
}

/* Look up @channel and check that @sk can connect. Takes a reference. */
static struct sock *myproto_dgram_find_peer(struct sock *sk, u32 channel)
{
	struct sock *peer = myproto_dgram_lookup(sk, channel);
	struct sock *other;
	int err;

	if (IS_ERR(peer))
		return peer;

	err = myproto_may_send(sk, peer);
	other = rcu_access_pointer(myproto_sk(peer)->peer);
	if (!err && other && other != sk)
		err = -EPERM;
	if (err) {
		sock_put(peer);
		return ERR_PTR(err);
	}
	return peer;
}

/* The peer is the socket that is bound to the channel now, not one that is
 * bound to it later. Messages that are already queued stay.
 */
int myproto_dgram_connect(struct socket *sock, struct sockaddr_unsized *addr,
			  int addr_len, int flags)
{
	struct sock *sk = sock->sk, *peer = NULL;
	u32 channel = 0;
	int err = 0;

	lock_sock(sk);
	if (addr_len < (int)sizeof(addr->sa_family) ||
	    addr->sa_family != AF_UNSPEC) {
		err = myproto_addr_peer(addr, addr_len, &channel);
		if (err)
			goto out;
		err = myproto_channel_autobind(sk, MYPROTO_CHANNEL_ANY);
		if (err)
			goto out;
		peer = myproto_dgram_find_peer(sk, channel);
		if (IS_ERR(peer)) {
			err = PTR_ERR(peer);
			goto out;
		}
	}
	myproto_dgram_associate(sk, peer);
out:
	release_sock(sk);
	trace_myproto_connect(sk, channel, err);
	return err;
}
