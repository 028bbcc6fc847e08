/* SPDX-License-Identifier: GPL-2.0 */
/* AF_MYPROTO: declarations shared between the files of the family */

#ifndef _MYPROTO_H
#define _MYPROTO_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/memcontrol.h>
#include <linux/net.h>
#include <linux/rhashtable-types.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/skbuff.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>
#include <net/sock.h>

struct ctl_table_header;
struct myproto_bucket;
struct pipe_inode_info;
struct scm_cookie;
struct scm_fp_list;
struct seq_file;

/* bind() to MYPROTO_CHANNEL_ANY picks one of these; never privileged */
#define MYPROTO_DYNAMIC_FIRST	0x80000000U
#define MYPROTO_DYNAMIC_LAST	U32_MAX

/**
 * DOC: locks and lifetimes
 *
 * The socket lock serializes bind(), listen(), connect(), and the readers of a
 * SOCK_STREAM socket, except for short reads of small data. It is released
 * while they sleep.
 *
 * The queue lock, sk_receive_queue.lock, protects sk_shutdown, sk_err, the
 * queues of a listening socket, and received data with its charge. It is a
 * plain spinlock because nothing runs in interrupt context. Lock order: socket
 * lock, bucket lock (sockets.c), queue lock, then sk_peer_lock, the lock of
 * sk_write_queue and wait queue locks. Never take two queue locks or wake a
 * thread under one. Access user memory under one only with page faults
 * disabled.
 *
 * Data is charged to the receiver only: sk_rmem_alloc against sk_rcvbuf. It is,
 * oldest first, in sk_write_queue, the buffers of small.c (without an skb), and
 * sk_receive_queue. A reader of a stream moves skbs to sk_write_queue, which it
 * then uses under the socket lock alone. For messages, sk_write_queue has skbs
 * that were created or moved for readers. The queue lock protects it then. A
 * reader of messages can take a buffer out of this order, see
 * myproto_small_claim(): it is older than all of these, and not charged.
 *
 * Readers and pollers wait on sk_sleep() of their own socket. Threads that need
 * receive buffer space wait on peer_wait of the receiver. For pollers, a socket
 * adds a relay there, see myproto_relay_init(), which wakes its own wait queue.
 * So a wake-up is never consumed by a thread that waits for something else. The
 * lock of peer_wait nests inside the sender's queue lock and is held while the
 * relays, whose number has no limit, call sk_write_space().
 *
 * While the backlog is full, a connecting socket (TCP_SYN_SENT) waits in
 * @connect_queue of the listening socket. It enters this state under its socket
 * lock, and leaves it under the queue lock of the listening socket. The changes
 * to TCP_LISTEN, and to TCP_CLOSE on close, need the queue lock, too. connect()
 * creates the other end, so that accept() cannot fail.
 *
 * Labels after "model:" in comments name steps of a model that was searched for
 * lost wake-ups.
 *
 * Each end of a connection holds a reference to the other until it is closed
 * itself. A SOCK_DGRAM socket can change its peer under the queue lock, so
 * others read it under RCU. The channel table holds no references: lookups use
 * RCU. Listening sockets and bound SOCK_DGRAM sockets are freed by RCU. The
 * memory of others can be reused at once, for AF_MYPROTO sockets only, until a
 * grace period has passed. So a lookup that has taken a reference must check
 * the key again. The listening socket owns connections that wait for accept().
 * On close, a socket leaves the table of sockets.c first, so it is complete
 * under the bucket lock. An open file keeps its socket from being closed during
 * a system call.
 */

/**
 * struct myproto_net - per network namespace data
 * @buckets: table of all sockets, see sockets.c
 * @sysctl: sysctl handle
 * @unprivileged_start: lower channels need CAP_NET_BIND_SERVICE; READ_ONCE()
 */
struct myproto_net {
	struct myproto_bucket	*buckets;
	struct ctl_table_header	*sysctl;
	unsigned int		unprivileged_start;
};

extern unsigned int myproto_net_id;

static inline struct myproto_net *myproto_net(const struct net *net)
{
	return net_generic(net, myproto_net_id);
}

/**
 * struct myproto_key - key of the channel table
 * @net: the network namespace
 * @channel: the channel
 * @lookup: match only a socket whose bind() has succeeded: one that is being
 *	bound can use memory that a lookup reads as an entry of the table
 */
struct myproto_key {
	const struct net	*net;
	u32			channel;
	bool			lookup;
};

/**
 * struct myproto_small - a buffer of bytes or records, without an skb
 * @next: next newer buffer
 * @users: number of readers, plus 1 while it is in the list of the socket
 * @size: allocated size, 0 for the buffer in struct myproto_sock
 * @slack: unused bytes that are charged until the buffer is empty
 * @in: offset where the next data is written
 * @out: offset of the oldest data
 *
 * Protected by the queue lock, or in small_claim of a socket by the lock of
 * sk_write_queue. Enqueued data does not change, so it can be read without a
 * lock.
 */
struct myproto_small {
	struct myproto_small	*next;
	refcount_t		users;
	u16			size;
	u16			slack;
	u16			in;
	u16			out;
};

/* A message without an skb. @channel is the sender's channel or 0. */
struct myproto_record {
	u16			len;
	bool			eor;
	u32			channel;
	u8			data[];
};

/* Offset of the data in an allocated buffer. A record's data then starts at a
 * cache line: on x86, REP MOVS to an unaligned address takes longer.
 */
#define MYPROTO_SMALL_HEAD	(SZ_64 - sizeof(struct myproto_record))

/* Largest data without an skb. Stream: the largest kmalloc() cache. More data
 * goes to skbs, because splice() can move their pages. Message: a size that the
 * page allocator can provide at low cost, also if a reader needs an skb.
 */
#define MYPROTO_SMALL_MAX	(SZ_8K - MYPROTO_SMALL_HEAD - \
				 sizeof(struct myproto_record))
#define MYPROTO_SMALL_MESSAGE	SKB_WITH_OVERHEAD(SZ_32K)

/* Most bytes that are copied under the queue lock: a record of 1 KiB */
#define MYPROTO_SMALL_LOCKED	((int)(SZ_1K + sizeof(struct myproto_record)))

/* Space in the socket itself: a record of 64 bytes */
#define MYPROTO_SMALL_INLINE	(SZ_64 + sizeof(struct myproto_record))

/**
 * struct myproto_bound - entry of a socket in the channel table
 * @node: link to the next entry
 * @channel: key, or MYPROTO_CHANNEL_ANY; socket lock
 *
 * This is sk_nulls_node of the socket. A lookup can still follow @node after
 * the memory is reused, so sk_alloc() and sk_clone() do not change this
 * pointer. Both clear @channel.
 */
struct myproto_bound {
	struct rhash_head	node;
	u32			channel;
};

static_assert(sizeof(struct myproto_bound) <=
	      sizeof_field(struct sock, sk_nulls_node));
static_assert(offsetof(struct myproto_bound, channel) ==
	      offsetof(struct hlist_nulls_node, pprev));

/**
 * struct myproto_sock - an AF_MYPROTO socket
 * @sk: must be first
 * @entry: link in the table of sockets.c
 * @channel: channel for getsockname(): the one in struct myproto_bound, or
 *	copied from the listener
 * @peer: the other end, with a reference; see myproto_peer()
 * @accept_queue: connections that wait for accept(); owns them; queue lock
 * @connect_queue: connecting sockets, with a reference; queue lock
 * @listener: listening socket while connecting, without a reference; its queue
 *	lock; RCU
 * @child: the other end while connecting; owned; queue lock of @listener
 * @peer_wait: threads and relays that wait for receive buffer space here
 * @peer_relay: entry in @peer_wait of @peer (queue lock); before the socket is
 *	connected and accepted, entry in @accept_queue or @connect_queue
 * @rx_total: bytes received, modulo 2^32; written under the queue lock
 * @rx_read: bytes read, modulo 2^32; see myproto_rx_done()
 * @rx_waiting: number of sleeping readers of a stream; queue lock
 * @scm_fds: number of received file descriptors that were not read
 * @small_head: oldest buffer of data without an skb, see small.c; queue lock
 * @small_tail: newest buffer
 * @small_space: space in @small_tail
 * @small_inline: the buffer that is part of the socket
 * @small_data: data of @small_inline
 * @rx_busy: a reader of a stream holds the socket lock, so that others must
 *	take it, too
 * @small_claim: see myproto_small_claim(); set under the queue lock, used and
 *	cleared under the lock of sk_write_queue
 * @aborted: see myproto_abort(); written under the queue lock
 * @inq: SO_INQ is set
 *
 * @accept_queue and @connect_queue share a union with the small buffers, which
 * a listening socket does not need. Check for TCP_LISTEN under the queue lock
 * before using the queues.
 */
struct myproto_sock {
	struct sock		sk;
	struct hlist_node	entry;
	u32			channel;
	struct sock __rcu	*peer;
	struct sock		*listener;
	struct sock		*child;
	wait_queue_head_t	peer_wait;
	wait_queue_entry_t	peer_relay;
	atomic_t		scm_fds;
	u16			small_space;
	bool			aborted;
	bool			inq;
	/* 64 bytes to the data of a record in small_data */
	u32			rx_total ____cacheline_aligned;
	u32			rx_read;
	union {
		/* SOCK_STREAM */
		struct {
			u32	rx_waiting;
			bool	rx_busy;
		};
		/* messages */
		struct myproto_small *small_claim;
	};
	union {
		struct {
			struct list_head accept_queue;
			struct list_head connect_queue;
		};
		struct {
			struct myproto_small *small_head;
			struct myproto_small *small_tail;
			struct myproto_small small_inline;
			u8 small_data[MYPROTO_SMALL_INLINE];
		};
	};
};

/**
 * struct myproto_cred - credentials of a sender
 * @pid: process, NULL if the credentials are not recorded
 * @uid: user ID
 * @gid: group ID
 * @secid: security label of the socket or 0
 */
struct myproto_cred {
	struct pid	*pid;
	kuid_t		uid;
	kgid_t		gid;
	u32		secid;
};

static inline bool myproto_cred_eq(const struct myproto_cred *a,
				   const struct myproto_cred *b)
{
	return a->pid == b->pid && uid_eq(a->uid, b->uid) &&
	       gid_eq(a->gid, b->gid) && a->secid == b->secid;
}

/**
 * struct myproto_cb - control block of an skb
 * @cred: sender; holds a reference to the pid
 * @channel: message: channel of the sender or 0
 * @read: stream: bytes read from this skb
 * @fpl: files that belong to the data, or NULL; owned by the skb
 * @eor: message: sent with MSG_EOR
 */
struct myproto_cb {
	struct myproto_cred	cred;
	union {
		u32		channel;
		u32		read;
	};
	bool			eor;
	struct scm_fp_list	*fpl;
};

#define MYPROTO_CB(skb) ((struct myproto_cb *)(skb)->cb)

#define myproto_sk(ptr) container_of_const(ptr, struct myproto_sock, sk)

static inline struct myproto_bound *myproto_bound(const struct sock *sk)
{
	return (struct myproto_bound *)&sk->sk_nulls_node;
}

static inline u32 myproto_channel(const struct sock *sk)
{
	return READ_ONCE(myproto_sk(sk)->channel);
}

/* Not for SOCK_DGRAM. The peer is set once and kept until close(). The caller
 * must prevent close(), usually with an open file.
 */
static inline struct sock *myproto_peer(const struct sock *sk)
{
	return rcu_dereference_check(myproto_sk(sk)->peer,
				     sk->sk_type != SOCK_DGRAM &&
				     !sock_flag(sk, SOCK_DEAD));
}

/* For all types. Called with the queue lock of @sk held. */
static inline struct sock *myproto_peer_locked(const struct sock *sk)
{
	/* It is cleared under this lock, but connect() sets it without. */
	return rcu_dereference_check(myproto_sk(sk)->peer,
			lockdep_is_held(&sk->sk_receive_queue.lock));
}

static inline u32 myproto_peer_channel(const struct sock *sk)
{
	const struct sock *peer;
	u32 channel;

	rcu_read_lock();
	peer = rcu_dereference(myproto_sk(sk)->peer);
	channel = peer ? myproto_channel(peer) : 0;
	rcu_read_unlock();
	return channel;
}

/* A send needs only some free space: the charge may exceed sk_rcvbuf once. */
static inline bool myproto_rx_space(const struct sock *sk)
{
	/* Unsigned: the charge may exceed INT_MAX then. */
	return (u32)READ_ONCE(sk->sk_rcvbuf) > (u32)sk_rmem_alloc_get(sk);
}

/* Whether to wake threads that wait for space. Half of a stream's buffer must
 * be free, or sender and reader would wake each other for every piece.
 * myproto_readable() uses it, too, so that they do not wait for each other.
 */
static inline bool myproto_rx_writable(const struct sock *sk)
{
	u32 rcvbuf = READ_ONCE(sk->sk_rcvbuf);
	u32 used = sk_rmem_alloc_get(sk);

	if (sk->sk_type == SOCK_STREAM)
		return used <= rcvbuf - rcvbuf / 2;
	return used < rcvbuf;
}

/* True with SO_PASSCRED, SO_PASSSEC or SO_PASSPIDFD. sk_scm_recv_flags cannot
 * be used, because it contains SO_PASSRIGHTS, too.
 */
static inline bool myproto_asks_cred(const struct sock *sk)
{
	return sk->sk_scm_credentials || sk->sk_scm_security ||
	       sk->sk_scm_pidfd;
}

/* True before accept(): @peer may still set SO_PASSCRED or SO_PASSSEC. */
static inline bool myproto_wants_cred(const struct sock *sk,
				      const struct sock *peer)
{
	/* First: options are set only after accept(). Pairs with sock_graft()
	 * in myproto_accept().
	 */
	if (!smp_load_acquire(&peer->sk_socket))
		return true;
	return myproto_asks_cred(sk) || myproto_asks_cred(peer);
}

/* Options of a receiver that need an skb for each message */
#define MYPROTO_SKB_FLAGS	(SK_FLAGS_TIMESTAMP | BIT(SOCK_RXQ_OVFL))

/* Data without an skb cannot be peeked at, and has no sender or timestamp. */
static inline bool myproto_needs_skb(const struct sock *sk, int flags)
{
	return flags & MSG_PEEK || myproto_asks_cred(sk) ||
	       READ_ONCE(sk->sk_flags) & MYPROTO_SKB_FLAGS;
}

/* Whether data from @sk to @peer needs no skb. Without one it has no sender or
 * timestamp, bypasses socket filters and the security hook of sk_filter(), and
 * is older than all skbs in sk_receive_queue.
 */
static inline bool myproto_small_suits(const struct sock *sk,
				       const struct sock *peer)
{
	return skb_queue_empty_lockless(&peer->sk_receive_queue) &&
	       !(READ_ONCE(peer->sk_flags) & MYPROTO_SKB_FLAGS) &&
	       !rcu_access_pointer(peer->sk_filter) &&
	       !myproto_wants_cred(sk, peer);
}

/* The number of unread bytes, or a few more while a thread reads */
static inline u32 myproto_inq(const struct sock *sk)
{
	const struct myproto_sock *msk = myproto_sk(sk);
	/* Load this first, or it could be ahead of rx_total. Pairs with
	 * smp_store_release() in myproto_rx_done().
	 */
	u32 read = smp_load_acquire(&msk->rx_read);

	return READ_ONCE(msk->rx_total) - read;
}

static inline bool myproto_rx_empty(const struct sock *sk)
{
	/* Check this first: the number of bytes does not change when a reader
	 * moves messages between the queues. An empty message is moved only
	 * behind one that has bytes.
	 */
	if (myproto_inq(sk))
		return false;
	return skb_queue_empty_lockless(&sk->sk_receive_queue) &&
	       skb_queue_empty_lockless(&sk->sk_write_queue);
}

/* Whether recvmsg() must take the queue lock although there is no data. For
 * SIGIO, there is no barrier after fcntl(). An application that has read all
 * data then relies on the signal.
 */
static inline bool myproto_rx_special(const struct sock *sk)
{
	return READ_ONCE(sk->sk_err) || sock_flag(sk, SOCK_FASYNC) ||
	       READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN;
}

/* Called with the queue lock held, after the data was enqueued. */
static inline void myproto_rx_count(struct sock *sk, int len, int charge)
{
	struct myproto_sock *msk = myproto_sk(sk);

	WRITE_ONCE(msk->rx_total, msk->rx_total + len);
	atomic_add(charge, &sk->sk_rmem_alloc);
	/* Pairs with poll_wait(): a poller sees the data, or
	 * myproto_data_ready() sees the poller.
	 */
	smp_mb__after_atomic();
}

/* Wake readers and pollers after a change that is not myproto_rx_count(). */
static inline void myproto_wake_readers(struct sock *sk)
{
	/* Pairs with poll_wait(), as in myproto_rx_count(). */
	smp_mb();
	sk->sk_data_ready(sk);
}

/* Called with the queue lock held, or for SOCK_STREAM with the socket lock, or
 * with the lock of sk_write_queue for messages in small_claim.
 */
static inline void myproto_rx_done(struct sock *sk, int copied, int freed)
{
	struct myproto_sock *msk = myproto_sk(sk);

	/* Pairs with smp_load_acquire() in myproto_inq(). */
	smp_store_release(&msk->rx_read, msk->rx_read + copied);
	if (freed)
		atomic_sub(freed, &sk->sk_rmem_alloc);
}

/* Whether @sk can send to @peer. Returns 0, -EAGAIN without space, -EPIPE after
 * shutdown, -ECONNREFUSED if @peer is SOCK_DGRAM and closed, or -EPERM if it is
 * connected to another socket. Called with the queue lock of @peer held.
 */
static inline int myproto_tx_state(const struct sock *sk, struct sock *peer)
{
	const struct sock *other;

	if (peer->sk_shutdown & RCV_SHUTDOWN)
		return peer->sk_type == SOCK_DGRAM &&
		       sock_flag(peer, SOCK_DEAD) ? -ECONNREFUSED : -EPIPE;

	other = myproto_peer_locked(peer);
	if (other && other != sk)
		return -EPERM;

	return myproto_rx_space(peer) ? 0 : -EAGAIN;
}

/* Whether to wake readers of @sk. Below SO_RCVLOWAT only if one sleeps, as it
 * may need less, or if there is too little space to wake senders. Called with
 * the queue lock held.
 */
static inline bool myproto_rx_ready(const struct sock *sk)
{
	const struct myproto_sock *msk = myproto_sk(sk);

	return sk->sk_type != SOCK_STREAM || msk->rx_waiting ||
	       myproto_inq(sk) >= READ_ONCE(sk->sk_rcvlowat) ||
	       !myproto_rx_writable(sk);
}

static inline void *myproto_small_data(const struct myproto_small *buf)
{
	return (void *)buf + (buf->size ? MYPROTO_SMALL_HEAD : sizeof(*buf));
}

/* Returns the next contiguous bytes of a stream that are in a small buffer, and
 * sets *@len, at most the old value. Called with the queue lock held. The bytes
 * stay valid without it until they are read.
 */
static inline const void *myproto_small_bytes(const struct sock *sk, int *len)
{
	const struct myproto_small *buf = myproto_sk(sk)->small_head;

	*len = min(*len, buf->in - buf->out);
	return myproto_small_data(buf) + buf->out;
}

/* Like myproto_wake_room(), but after space was freed under the queue lock. A
 * thread that waits for space checks under this lock after it has registered.
 */
static inline void myproto_wake_made_room(struct sock *sk)
{
	struct myproto_sock *msk = myproto_sk(sk);

	/* No barrier: the queue lock orders this, see above. */
	if (waitqueue_active(&msk->peer_wait) && myproto_rx_writable(sk))
		wake_up_interruptible(&msk->peer_wait);
}

/* There is no error queue, so MSG_ERRQUEUE must not return data. */
static inline int myproto_recv_flags(int flags)
{
	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	return flags & MSG_ERRQUEUE ? -EAGAIN : 0;
}

/**
 * struct myproto_info - a snapshot of a socket
 * @channel: own channel or 0
 * @rqueue: unread bytes; if listening, connections that wait for accept()
 * @wqueue: bytes that the peer has not read, 0 for SOCK_DGRAM; if listening,
 *	the backlog
 * @memory: bytes charged
 * @peer_channel: channel of the peer, or of the listener if connecting, or 0
 * @peer_ino: inode of the peer; 0 if it is closed or not accepted
 * @peer_cookie: cookie of the peer, if requested
 * @has_peer: whether there is a peer; implies TCP_ESTABLISHED
 * @state: TCP_CLOSE, TCP_LISTEN, TCP_SYN_SENT or TCP_ESTABLISHED
 * @shutdown: RCV_SHUTDOWN, SEND_SHUTDOWN or both
 */
struct myproto_info {
	u32	channel;
	u32	rqueue;
	u32	wqueue;
	int	memory;
	u32	peer_channel;
	u32	peer_ino;
	u32	peer_cookie[2];
	bool	has_peer;
	u8	state;
	u8	shutdown;
};

/* af_myproto.c */
struct sock *myproto_sk_clone(struct sock *listener);

/* channel.c */
int myproto_channel_init(void);
void myproto_channel_exit(void);
int myproto_addr_channel(const struct sockaddr_unsized *addr, int addr_len,
			 u32 *channel);
int myproto_addr_peer(const struct sockaddr_unsized *addr, int addr_len,
		      u32 *channel);
int myproto_channel_bind(struct sock *sk, u32 channel);
int myproto_channel_autobind(struct sock *sk, u32 channel);
struct sock *myproto_channel_lookup(const struct net *net, u32 channel);
void myproto_channel_unbind(struct sock *sk);
#if IS_ENABLED(CONFIG_KUNIT)
extern struct rhashtable myproto_table;
int myproto_table_insert(struct sock *sk);
int myproto_channel_insert_any(struct sock *sk, u32 first, u32 last);
#endif

/* conn.c */
int myproto_listen(struct socket *sock, int backlog);
int myproto_connect(struct socket *sock, struct sockaddr_unsized *addr,
		    int addr_len, int flags);
int myproto_accept(struct socket *sock, struct socket *newsock,
		   struct proto_accept_arg *arg);
int myproto_socketpair(struct socket *sock1, struct socket *sock2);
int myproto_shutdown(struct socket *sock, int how);
void myproto_close(struct sock *sk, bool reset);
int myproto_abort(struct sock *sk, int err);
__poll_t myproto_poll(struct file *file, struct socket *sock,
		      struct poll_table_struct *wait);

/* cred.c */
int myproto_set_peercred(struct sock *sk);
void myproto_copy_peercred(struct sock *sk, struct sock *from);
int __myproto_scm_send(struct socket *sock, const struct sock *peer,
		       struct msghdr *msg, struct scm_cookie **scm);
void myproto_scm_recv(struct socket *sock, struct msghdr *msg,
		      struct sk_buff *skb, struct scm_fp_list *fpl, int flags);
struct myproto_cred myproto_send_cred(const struct sock *sk,
				      const struct sock *peer,
				      const struct scm_cookie *scm);
void myproto_skb_destruct(struct sk_buff *skb);
void myproto_skb_set_cred(struct sk_buff *skb,
			  const struct myproto_cred *cred);

/* @scm points to the cookie to fill in, which the caller releases with
 * scm_destroy(). *@scm becomes NULL if there are no credentials and no files.
 */
static inline int myproto_scm_send(struct socket *sock, const struct sock *peer,
				   struct msghdr *msg, struct scm_cookie **scm)
{
	if (msg->msg_controllen)
		return __myproto_scm_send(sock, peer, msg, scm);

	*scm = NULL;
	return 0;
}

/* drop.c */
void myproto_drop(struct sock *sk, struct sk_buff *skb,
		  enum skb_drop_reason reason);
void myproto_drop_small(struct sock *sk, const struct myproto_record *rec,
			enum skb_drop_reason reason);
void myproto_drop_unread(struct sock *sk, u32 len,
			 enum skb_drop_reason reason);

/* message.c */
int __myproto_may_send(struct sock *sk, struct sock *peer);

/* Ask security modules about a message to @peer. For SOCK_SEQPACKET the check
 * in connect() is enough. Each SOCK_DGRAM message is checked, also after it was
 * copied or has waited, so that a change of labels or rules takes effect at
 * once, as with AF_UNIX.
 */
static inline int myproto_may_send(struct sock *sk, struct sock *peer)
{
	return sk->sk_type == SOCK_DGRAM ? __myproto_may_send(sk, peer) : 0;
}

int myproto_message_max(const struct sock *sk);
int myproto_dgram_connect(struct socket *sock, struct sockaddr_unsized *addr,
			  int addr_len, int flags);
int myproto_dgram_sendmsg(struct socket *sock, struct msghdr *msg, size_t len);
int myproto_dgram_recvmsg(struct socket *sock, struct msghdr *msg, size_t len,
			  int flags);
int myproto_seqpacket_sendmsg(struct socket *sock, struct msghdr *msg,
			      size_t len);
int myproto_seqpacket_recvmsg(struct socket *sock, struct msghdr *msg,
			      size_t len, int flags);

/* proc.c */
#ifdef CONFIG_PROC_FS
int myproto_proc_register(struct net *net);
void myproto_proc_unregister(struct net *net);
void myproto_show_fdinfo(struct seq_file *seq, struct socket *sock);
#else
static inline int myproto_proc_register(struct net *net)
{
	return 0;
}

static inline void myproto_proc_unregister(struct net *net)
{
}

#define myproto_show_fdinfo	NULL
#endif

/* queue.c */
void myproto_data_ready(struct sock *sk);
void myproto_busy_poll(struct sock *sk);
int myproto_reader_wake(wait_queue_entry_t *entry, unsigned int mode, int flags,
			void *key);
void myproto_relay_init(wait_queue_entry_t *relay);
void myproto_relay_del(struct sock *sk, struct sock *peer);
int myproto_wait_room(struct sock *sk, struct sock *peer, long *timeo);
void myproto_wake_room(struct sock *sk);
#ifdef CONFIG_MEMCG
struct mem_cgroup *__myproto_charge_begin(const struct sock *peer, gfp_t *gfp);

/* Charge the memory cgroup of the receiver. Charge the sender instead while
 * @peer has no space (the sender holds the data while it waits), while @peer is
 * not accepted, and with cgroup v1 or cgroup.memory=nosocket. A receiver in the
 * root cgroup is not charged. Returns the cgroup for myproto_charge_end().
 */
static inline struct mem_cgroup *myproto_charge_begin(const struct sock *sk,
						      const struct sock *peer,
						      gfp_t *gfp)
{
	*gfp = sk->sk_allocation;
	return mem_cgroup_sockets_enabled ?
		__myproto_charge_begin(peer, gfp) : current->active_memcg;
}

static inline void myproto_charge_end(struct mem_cgroup *old)
{
	if (mem_cgroup_sockets_enabled)
		set_active_memcg(old);
}
#else
static inline struct mem_cgroup *myproto_charge_begin(const struct sock *sk,
						      const struct sock *peer,
						      gfp_t *gfp)
{
	*gfp = sk->sk_allocation;
	return NULL;
}

static inline void myproto_charge_end(struct mem_cgroup *old)
{
}
#endif

struct sk_buff *myproto_skb_alloc(struct sock *sk, struct sock *peer,
				  struct msghdr *msg, int len, int *err);
int myproto_skb_read(const struct sk_buff *skb, int off, struct msghdr *msg,
		     int len);
void myproto_tx_short(struct sock *sk, struct sock *peer);
int myproto_enqueue(struct sock *sk, struct sock *peer, struct sk_buff *skb,
		    struct scm_cookie *scm);
bool myproto_writable(struct sock *sk);
bool myproto_readable(const struct sock *sk);
int myproto_sk_ioctl(struct sock *sk, int cmd, int *karg);
void myproto_set_rcvbuf(struct sock *sk, int val);
int myproto_set_rcvlowat(struct sock *sk, int val);

/* rights.c */
int myproto_rights_check(const struct sock *peer, const struct msghdr *msg,
			 const struct scm_fp_list *fpl);
void myproto_rights_send(struct sock *peer, struct sk_buff *skb,
			 struct scm_cookie *scm);
void myproto_rights_off(struct sock *sk, const struct sk_buff *skb);
struct scm_fp_list *myproto_rights_recv(struct sk_buff *skb,
					struct msghdr *msg, bool share);
void myproto_rights_close(struct sk_buff *skb);

/* small.c */
struct myproto_small *myproto_small_alloc(struct sock *sk, struct sock *peer,
					  struct msghdr *msg, u32 len,
					  bool nowait, int *err);
int myproto_small_enqueue(struct sock *sk, struct sock *peer,
			  struct myproto_small *buf, struct msghdr *msg,
			  int len);
int myproto_small_send(struct sock *sk, struct sock *peer, struct msghdr *msg,
		       int len, bool nowait);
void myproto_small_put(struct myproto_small *buf);
const struct myproto_record *myproto_small_take(struct sock *sk,
						struct myproto_small **buf);
struct myproto_small *myproto_small_done(struct sock *sk, int len);
void myproto_small_unclaim(struct sock *sk);
const struct myproto_record *myproto_small_claimed(struct sock *sk,
						   struct myproto_small **buf);
u32 myproto_small_len(const struct sock *sk);
int myproto_small_flush(struct sock *sk, bool all);
void myproto_small_purge(struct sock *sk, enum skb_drop_reason reason);

/* sockets.c */
int myproto_sockets_init(struct net *net);
void myproto_sockets_exit(struct net *net);
void myproto_sockets_add(struct sock *sk);
void myproto_sockets_del(struct sock *sk);
struct sock *myproto_sockets_find(const struct net *net, loff_t *pos);
struct sock *myproto_sockets_next(const struct net *net, struct sock *sk,
				  loff_t *pos);
void myproto_sockets_end(const struct sock *sk);
void myproto_get_info(struct sock *sk, struct myproto_info *info,
		      bool cookie);

/* stream.c */
int myproto_stream_sendmsg(struct socket *sock, struct msghdr *msg,
			   size_t len);
int myproto_stream_recvmsg(struct socket *sock, struct msghdr *msg, size_t len,
			   int flags);
ssize_t myproto_stream_splice_read(struct socket *sock, loff_t *ppos,
				   struct pipe_inode_info *pipe, size_t len,
				   unsigned int flags);

/* sysctl.c */
#ifdef CONFIG_SYSCTL
int myproto_sysctl_register(struct net *net);
void myproto_sysctl_unregister(struct net *net);
#else
static inline int myproto_sysctl_register(struct net *net)
{
	return 0;
}

static inline void myproto_sysctl_unregister(struct net *net)
{
}
#endif

/* trace.c */
u64 myproto_cookie(struct sock *sk);
u64 myproto_peer_cookie(const struct sock *sk, u32 *channel);

#endif /* _MYPROTO_H */
