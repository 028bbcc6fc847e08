/* SPDX-License-Identifier: GPL-2.0 */
/* AF_MYPROTO: what the files of the family share */

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

/* What bind() hands out for MYPROTO_CHANNEL_ANY; never privileged */
#define MYPROTO_DYNAMIC_FIRST	0x80000000U
#define MYPROTO_DYNAMIC_LAST	U32_MAX

/**
 * DOC: locks and lifetimes
 *
 * The socket lock, lock_sock(), orders the calls that make a socket what it is:
 * bind(), listen() and connect(), and those that read from a SOCK_STREAM
 * socket. It is held while such a call works and let go while it
 * sleeps, so that others have their turn.
 *
 * The queue lock, sk_receive_queue.lock, is for what others do to a socket:
 * sk_shutdown, sk_err, the connections that wait in a listening socket, and the
 * data that was sent and what is charged for it. It is a plain spinlock, for
 * nothing here runs in interrupts. It nests inside the socket lock, and the
 * sk_peer_lock and the locks of wait queues inside it. Nobody ever holds two
 * queue locks, nobody is woken under one, and user memory is touched under one
 * only with page faults disabled.
 *
 * What is sent is charged to the receiver, in sk_rmem_alloc against sk_rcvbuf,
 * and nothing to the sender: a receiver that does not read stops nobody but who
 * sends to it. A message is on sk_receive_queue until it is read, and so are
 * the bytes of a stream until a reader takes them over to sk_write_queue: since
 * nothing waits at the sender, that one is free for readers, under the socket
 * lock alone. What is in no skb, see small.c, is older than what is on the one
 * queue and newer than what is on the other. Of messages, the skbs that readers
 * have had made of it are on sk_write_queue, under the queue lock.
 *
 * Who waits for what: threads that wait for data, and whoever polls, are on the
 * wait queue of their socket, sk_sleep(). A thread that waits for room is on
 * room_wait of the receiver. A socket that is polled for room leaves a relay
 * there, see myproto_relay_init(), which wakes its own wait queue. So room
 * wakes a thread that waits for room, data one that waits for data, and neither
 * takes the wake-up of a poller. Comments that begin with "model:" name the
 * steps of the model in which all orders of these steps have been searched for
 * one that leaves somebody asleep.
 *
 * The lock of room_wait nests inside the queue lock of the sender, and is held
 * while the relays call sk_write_space(). How many relays there are is up to
 * unprivileged programs, as with the peer_wait of AF_UNIX.
 *
 * The sockets of a network namespace are in a table for those who want to see
 * what there is, from when they are made until they are closed, bound or not.
 * Its locks, one for each bucket, nest inside the socket lock, and the queue
 * lock nests inside them. A socket leaves the table before anything else of it
 * is taken away, and so who holds the lock of its bucket can look at it.
 *
 * sk_state becomes TCP_LISTEN, and TCP_CLOSE at the end, under the queue lock.
 *
 * A socket whose connect() finds the backlog full is connecting, TCP_SYN_SENT,
 * and waits in the listening socket, in order. It gets into that state under
 * its socket lock, and out of it under the queue lock of the listening socket:
 * by accept() or listen() there, which connect it, or when that is shut down or
 * closed, or by its own close(), shutdown() or SOCK_DESTROY, which end it. The
 * other end is made by connect(), so that accept() cannot fail.
 *
 * Each end of a connection holds a reference to the other from the moment it is
 * connected until it is itself closed: so a socket can be used by its peer
 * after it was closed, and what is written there says that it was. The peer of
 * a SOCK_DGRAM socket, with a reference too, is the one that it is associated
 * with. That can change, under the queue lock, so others read it under RCU.
 *
 * A socket that is bound is freed by RCU, for others find it under RCU. One
 * that is not is found by nobody but its peer, which has a reference.
 *
 * A connection that waits for accept() belongs to the listening socket, which
 * closes it when it is closed itself. A file that is open keeps its socket from
 * being closed, and so every system call can rely on the socket it was given.
 */

/**
 * struct myproto_net - what a network namespace has of its own
 * @buckets: the sockets, see sockets.c
 * @sysctl: handle of the sysctl
 * @unprivileged_start: sysctl net.myproto.unprivileged_channel_start: to bind
 *	to a channel below it takes CAP_NET_BIND_SERVICE
 *
 * The sysctl is written at any time and read with READ_ONCE().
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
 * struct myproto_key - what the channel table is searched by
 * @net: the network namespace
 * @channel: the channel in it
 */
struct myproto_key {
	const struct net	*net;
	u32			channel;
};

/**
 * struct myproto_small - a buffer of data that has no skb
 * @next: the next one, or NULL
 * @users: readers, and the socket as long as it is there
 * @size: how many bytes it takes in all
 * @slack: how many of them are charged, too, until it is empty
 * @in: how many bytes have been put in
 * @out: how many of them have been read
 *
 * After it come bytes of a stream, or messages, each a struct myproto_record.
 * All but what has been sent already is under the queue lock.
 */
struct myproto_small {
	struct myproto_small	*next;
	refcount_t		users;
	u16			size;
	u16			slack;
	u16			in;
	u16			out;
};

/**
 * struct myproto_record - a message that has no skb
 * @len: how many bytes it has
 * @eor: whether it was sent with MSG_EOR
 * @channel: the sender's channel, or 0 if it has none
 * @data: the message
 */
struct myproto_record {
	u16			len;
	bool			eor;
	u32			channel;
	u8			data[];
};

/* What goes without an skb at most. Of a stream: what kmalloc() has from a
 * cache, since splice() can move pages of an skb. A message: what the page
 * allocator has at hand.
 */
#define MYPROTO_SMALL_MAX	(SZ_8K - sizeof(struct myproto_small))
#define MYPROTO_SMALL_MESSAGE	(SZ_32K - sizeof(struct myproto_small) - \
				 sizeof(struct myproto_record))

/* What is copied under the queue lock at most: a record of 1 KiB */
#define MYPROTO_SMALL_LOCKED	((int)(SZ_1K + sizeof(struct myproto_record)))

/* What a socket has space for itself: a record of 64 bytes */
#define MYPROTO_SMALL_INLINE	(SZ_64 + sizeof(struct myproto_record))

/**
 * struct myproto_sock - an AF_MYPROTO socket
 * @sk: the network layer's part; must be first
 * @node: links the socket in the channel table
 * @bound: the channel under which it is there, or MYPROTO_CHANNEL_ANY if it is
 *	not; under the socket lock
 * @channel: what getsockname() says, 0 if none; written under the socket lock
 *	when @bound has been entered in the table for good, read at any time; an
 *	accepted socket has its listener's
 * @peer: the other end of the connection, or the socket that this one is
 *	associated with; with a reference; see myproto_peer()
 * @accept_queue: of a listening socket, the connections that wait for accept(),
 *	linked by their @room_relay, each with its first reference; under the
 *	queue lock
 * @connect_queue: of a listening socket, the sockets that are connecting and
 *	wait for a place in @accept_queue, linked by their @room_relay, each
 *	with a reference; under the queue lock
 * @listener: of a connecting socket, in whose @connect_queue it is; without a
 *	reference; under the queue lock of the listener, and read under RCU
 * @child: of a connecting socket, the other end, with its first reference;
 *	under the queue lock of the listener
 * @room_wait: where others wait for room in the receive buffer
 * @room_relay: wakes who polls this socket when @peer has room; it moves from
 *	one peer to another under the queue lock. It is not needed for that
 *	before the socket is connected and accepted, until when it links it in
 *	one of the two queues
 * @rx_waiting: how many readers of a stream sleep; under the queue lock
 * @rx_total: how many bytes have been received in all, modulo 2^32; written
 *	under the queue lock
 * @rx_read: how many of them have been read; written under the socket lock if
 *	it is a stream, the queue lock otherwise
 * @scm_fds: how many descriptors have been sent to it and not been read
 * @small_head: what it was sent without an skb, see small.c: older than what is
 *	in the queue, newer than sk_write_queue; under the queue lock
 * @small_tail: the last of these buffers
 * @small_space: how many bytes that has space for
 * @small_more: it is not the first, so the next one is to be larger
 * @small_inline: a buffer that is part of the socket
 * @small_data: the data in that
 * @rx_busy: somebody reads from a stream with the socket lock held
 * @aborted: it has been aborted, or its peer has, see myproto_abort(); written
 *	under the queue lock
 * @inq: whether SO_INQ is set; written at any time
 *
 * A listening socket is never sent anything, so its queues are in the place of
 * what others have been sent. Only what finds TCP_LISTEN under the queue lock
 * may look at them.
 *
 * The channel table holds no reference: a socket leaves it when it is closed,
 * before the last reference is gone. Whoever finds a socket there does so under
 * RCU and takes a reference, unless there are none left.
 */
struct myproto_sock {
	struct sock		sk;
	struct rhash_head	node;
	u32			bound;
	u32			channel;
	struct sock __rcu	*peer;
	struct sock		*listener;
	struct sock		*child;
	wait_queue_head_t	room_wait;
	wait_queue_entry_t	room_relay;
	u32			rx_waiting;
	u32			rx_total;
	u32			rx_read;
	atomic_t		scm_fds;
	bool			rx_busy;
	bool			aborted;
	bool			inq;
	bool			small_more;
	u16			small_space;
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
 * struct myproto_cred - who sent something
 * @pid: the process, or NULL when it is not told
 * @uid: its user ID, if it is
 * @gid: its group ID
 * @secid: the label of its socket, or 0 when no security module gives one
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
 * struct myproto_cb - what goes with data, in the cb[] of an skb
 * @cred: who sent it; has a reference to the process
 * @channel: of a message, the sender's channel, or 0 if it has none
 * @read: of a stream, how many bytes of it have been read
 * @fpl: the files that go with its first byte, or NULL; owned
 * @eor: of a message, whether it was sent with MSG_EOR
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

static inline u32 myproto_channel(const struct sock *sk)
{
	return READ_ONCE(myproto_sk(sk)->channel);
}

/**
 * myproto_peer - the other end of a connection
 * @sk: a socket that cannot be closed meanwhile, and not of type SOCK_DGRAM
 *
 * The peer of a connection is set once, and only close() takes it away. The
 * caller's file keeps @sk from being closed, and so the reference that @sk
 * holds protects the peer.
 *
 * Context: Any.
 * Return: the peer, which stays at least as long as @sk is not closed, or NULL
 * when @sk is not connected.
 */
static inline struct sock *myproto_peer(const struct sock *sk)
{
	return rcu_dereference_check(myproto_sk(sk)->peer,
				     sk->sk_type != SOCK_DGRAM &&
				     !sock_flag(sk, SOCK_DEAD));
}

/**
 * myproto_peer_locked - the peer of a socket of any type
 * @sk: the socket
 *
 * Context: With the queue lock of @sk held.
 * Return: the peer, as long as that is held, or NULL if there is none.
 */
static inline struct sock *myproto_peer_locked(const struct sock *sk)
{
	/* Nobody else takes it away, but connect() sets it without the lock. */
	return rcu_dereference_check(myproto_sk(sk)->peer,
			lockdep_is_held(&sk->sk_receive_queue.lock));
}

/**
 * myproto_peer_channel - the channel of the peer
 * @sk: a socket that cannot be closed meanwhile
 *
 * Context: Any.
 * Return: the peer's channel, or 0 when it has none or there is no peer.
 */
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

/**
 * myproto_rx_takes - whether a socket takes what it is sent
 * @sk: the receiver
 *
 * It does while there is any room, and takes the whole then, so that what is
 * charged can exceed the buffer once.
 *
 * Context: Any.
 * Return: whether it does, if it has not been shut down.
 */
static inline bool myproto_rx_takes(const struct sock *sk)
{
	return READ_ONCE(sk->sk_rcvbuf) > sk_rmem_alloc_get(sk);
}

/**
 * myproto_rx_writable - whether who waits for room at a socket is to be woken
 * @sk: the receiver
 *
 * Half of the buffer of a stream must be free for that, or sender and reader
 * would wake one another for each piece. Nothing of this is stored: what a
 * sender waits for and what poll() tells a reader by is the same, so that they
 * do not wait for one another.
 *
 * Context: Any.
 * Return: whether poll() says so, if the receiver has not been shut down.
 */
static inline bool myproto_rx_writable(const struct sock *sk)
{
	int rcvbuf = READ_ONCE(sk->sk_rcvbuf);
	int room = rcvbuf - sk_rmem_alloc_get(sk);

	return sk->sk_type == SOCK_STREAM ? room >= rcvbuf / 2 : room > 0;
}

/* Whether a socket has asked to be told who sends to it. SO_PASSRIGHTS, which
 * is among the sk_scm_recv_flags, is another matter.
 */
static inline bool myproto_asks_cred(const struct sock *sk)
{
	return sk->sk_scm_credentials || sk->sk_scm_security ||
	       sk->sk_scm_pidfd;
}

/**
 * myproto_wants_cred - whether a receiver is to be told who sent something
 * @sk: the sender
 * @peer: the receiver
 *
 * That is so when either side has SO_PASSCRED or SO_PASSSEC set, or may set
 * them before it reads because it has not been accepted yet.
 *
 * Context: Any; it may change at any time.
 * Return: whether it is.
 */
static inline bool myproto_wants_cred(const struct sock *sk,
				      const struct sock *peer)
{
	/* First: once it is accepted, it may set the option. */
	if (!smp_load_acquire(&peer->sk_socket))
		return true;
	return myproto_asks_cred(sk) || myproto_asks_cred(peer);
}

/* Options of a receiver that wants to know of each message what its skb has */
#define MYPROTO_SKB_FLAGS	(SK_FLAGS_TIMESTAMP | BIT(SOCK_RXQ_OVFL))

/* Whether a reader with @flags needs skbs: what has none cannot be peeked at,
 * and does not say who sent it and when.
 */
static inline bool myproto_needs_skb(const struct sock *sk, int flags)
{
	return flags & MSG_PEEK || myproto_asks_cred(sk) ||
	       READ_ONCE(sk->sk_flags) & MYPROTO_SKB_FLAGS;
}

/**
 * myproto_inq - how much a socket has been sent and has not read
 * @sk: the socket
 *
 * Context: Any.
 * Return: how many bytes, or a few more if some are being read at this moment.
 */
static inline u32 myproto_inq(const struct sock *sk)
{
	const struct myproto_sock *msk = myproto_sk(sk);
	/* First, or there could be more read than received. Pairs with
	 * smp_store_release() in myproto_rx_done().
	 */
	u32 read = smp_load_acquire(&msk->rx_read);

	return READ_ONCE(msk->rx_total) - read;
}

/* Whether there is no message for @sk. Any context. */
static inline bool myproto_rx_empty(const struct sock *sk)
{
	/* First: it does not change when a reader moves them, and a message
	 * without a byte is moved only behind one that counts here.
	 */
	if (myproto_inq(sk))
		return false;
	return skb_queue_empty_lockless(&sk->sk_receive_queue) &&
	       skb_queue_empty_lockless(&sk->sk_write_queue);
}

/* Count @len bytes that @sk is sent, before it can read them. Called with its
 * queue lock held.
 */
static inline void myproto_rx_count(struct sock *sk, int len)
{
	struct myproto_sock *msk = myproto_sk(sk);

	WRITE_ONCE(msk->rx_total, msk->rx_total + len);
}

/**
 * myproto_rx_done - account for what has been read
 * @sk: the receiver
 * @copied: how many bytes have been read
 * @freed: how many bytes of memory that gave back
 *
 * Context: With what orders readers held: the socket lock if it is SOCK_STREAM,
 * the queue lock otherwise.
 */
static inline void myproto_rx_done(struct sock *sk, int copied, int freed)
{
	struct myproto_sock *msk = myproto_sk(sk);

	/* Pairs with smp_load_acquire() in myproto_inq(). */
	smp_store_release(&msk->rx_read, msk->rx_read + copied);
	if (freed)
		atomic_sub(freed, &sk->sk_rmem_alloc);
}

/* Whether @peer can be sent something by @sk. Returns 0, -EAGAIN when it has no
 * room, -EPIPE when it takes no more, -ECONNREFUSED instead when it is a closed
 * SOCK_DGRAM socket, or -EPERM when it is associated with another one. Called
 * with the queue lock of @peer held.
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

	return myproto_rx_takes(peer) ? 0 : -EAGAIN;
}

/* Whether to tell the reader of @sk that it has been sent something: not if it
 * wants more, unless it sleeps and knows better. Called with the queue lock
 * held.
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
	return (void *)(buf + 1);
}

/**
 * myproto_small_bytes - the next bytes of a stream
 * @sk: the receiver
 * @len: how many are wanted at most; becomes how many there are in one place
 *
 * Context: With the queue lock held, when they are in no skb. They stay as long
 * as nobody else reads.
 * Return: the bytes.
 */
static inline const void *myproto_small_bytes(const struct sock *sk, int *len)
{
	const struct myproto_small *buf = myproto_sk(sk)->small_head;

	*len = min(*len, buf->in - buf->out);
	return myproto_small_data(buf) + buf->out;
}

/**
 * myproto_wake_made_room - do what myproto_wake_room() does
 * @sk: the receiver, of which room has been made under the queue lock
 *
 * Who waits for room takes the queue lock to look, after it has registered: so
 * either it has seen the room, or it is seen here, and no barrier is needed.
 *
 * Context: Process context, with no lock held that a wake-up might take.
 */
static inline void myproto_wake_made_room(struct sock *sk)
{
	struct myproto_sock *msk = myproto_sk(sk);

	/* Without a barrier: the queue lock orders this, see above. */
	if (waitqueue_active(&msk->room_wait) && myproto_rx_writable(sk))
		wake_up_interruptible(&msk->room_wait);
}

/* What recvmsg() has to say to @flags, for sockets of every type: there is no
 * error queue, and who asks for it must not get data.
 */
static inline int myproto_recv_flags(int flags)
{
	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	return flags & MSG_ERRQUEUE ? -EAGAIN : 0;
}

/**
 * struct myproto_info - a snapshot of a socket, see myproto_get_info()
 * @channel: its channel, or 0 if it has none
 * @rqueue: how many bytes it has been sent and has not read; if it listens, how
 *	many connections wait for accept()
 * @wqueue: how many bytes the peer has not read, 0 with SOCK_DGRAM; if it
 *	listens, the backlog
 * @memory: how many bytes are charged to it
 * @peer_channel: the peer's channel, or the one that the socket is connecting
 *	to; 0 if there is none
 * @peer_ino: the inode of its socket, or 0 if it has been closed or waits for
 *	accept()
 * @peer_cookie: its cookie, if that was asked for
 * @has_peer: whether there is a peer; only if @state is TCP_ESTABLISHED
 * @state: TCP_CLOSE, TCP_LISTEN, TCP_SYN_SENT while it is connecting, or
 *	TCP_ESTABLISHED
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
int myproto_table_insert(struct myproto_sock *msk);
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

/**
 * myproto_scm_send - see which credentials a sender names, and which files
 * @sock: the sender
 * @peer: the receiver
 * @msg: what is sent
 * @scm: where to store them, for the caller to give up with scm_destroy();
 *	becomes NULL if there are none
 *
 * Context: Process context. May sleep.
 * Return: 0, -EINVAL for a control message that is not known or not well formed
 * and for files that cannot be sent, -EPERM for the credentials of others,
 * -ESRCH, -EBADF or -ENOMEM.
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
int myproto_reader_wake(wait_queue_entry_t *entry, unsigned int mode, int flags,
			void *key);
void myproto_relay_init(wait_queue_entry_t *relay, struct sock *sk);
void myproto_relay_del(wait_queue_entry_t *relay, struct sock *peer);
int myproto_wait_room(struct sock *sk, struct sock *peer, long *timeo);
void myproto_wake_room(struct sock *sk);
#ifdef CONFIG_MEMCG
struct mem_cgroup *__myproto_charge_begin(const struct sock *peer, gfp_t *gfp);

/**
 * myproto_charge_begin - have the memory cgroup of a receiver pay
 * @sk: who allocates
 * @peer: the receiver
 * @gfp: how to allocate, is stored here
 *
 * A receiver pays for what it is sent. The sender pays as long as @peer takes
 * no more, for what it will hold while it waits, and until accept(), since
 * there is no receiver yet. It does also where the memory controller does not
 * know whose a socket is: with cgroup v1, or cgroup.memory=nosocket. A receiver
 * in the root cgroup pays nothing.
 *
 * Context: Process context.
 * Return: what to give to myproto_charge_end(), soon.
 */
static inline struct mem_cgroup *myproto_charge_begin(const struct sock *sk,
						      const struct sock *peer,
						      gfp_t *gfp)
{
	*gfp = sk->sk_allocation;
	return mem_cgroup_sockets_enabled ?
		__myproto_charge_begin(peer, gfp) : current->active_memcg;
}

/**
 * myproto_charge_end - undo myproto_charge_begin()
 * @old: what that returned
 *
 * Context: Process context.
 */
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
int myproto_publish(struct sock *sk, struct sock *peer, struct sk_buff *skb,
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
int myproto_small_send(struct sock *sk, struct sock *peer, struct msghdr *msg,
		       int len);
void myproto_small_put(struct myproto_small *buf);
const struct myproto_record *myproto_small_take(struct sock *sk,
						struct myproto_small **buf);
struct myproto_small *myproto_small_done(struct sock *sk, int len);
u32 myproto_small_len(const struct sock *sk);
int myproto_small_spill(struct sock *sk, bool all);
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
