/* SPDX-License-Identifier: GPL-2.0 */
/* AF_MYPROTO: what the files of the family share */

#ifndef _MYPROTO_H
#define _MYPROTO_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/net.h>
#include <linux/rhashtable-types.h>
#include <linux/skbuff.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>
#include <net/sock.h>

#include "drop.h"

struct ctl_table_header;
struct pipe_inode_info;
struct scm_cookie;
struct seq_file;

/* What bind() hands out for MYPROTO_CHANNEL_ANY; never privileged */
#define MYPROTO_DYNAMIC_FIRST	0x80000000U
#define MYPROTO_DYNAMIC_LAST	U32_MAX

/**
 * DOC: locks and lifetimes
 *
 * The socket lock, lock_sock(), orders the calls that make a socket what it is:
 * bind(), listen(), connect() and shutdown(), and those that read from a
 * SOCK_STREAM socket. It is held while such a call works and let go while it
 * sleeps, so that others have their turn.
 *
 * The queue lock, sk_receive_queue.lock, is for what others do to a socket:
 * sk_shutdown, sk_err, the connections that wait in a listening socket, and the
 * data that was sent and what is charged for it. It is a plain spinlock, for
 * nothing here runs in interrupts. It nests inside the socket lock, and the
 * sk_peer_lock and the locks of wait queues inside it. Nobody ever holds two
 * queue locks, and nobody is woken or touches user memory under one.
 *
 * What is sent is charged to the receiver, in sk_rmem_alloc against sk_rcvbuf,
 * and nothing to the sender: a receiver that does not read stops nobody but who
 * sends to it. A message is on sk_receive_queue until it is read, and so are
 * the bytes of a stream until a reader takes them over to sk_write_queue: since
 * nothing waits at the sender, that one is free for readers, under the socket
 * lock alone.
 *
 * A sender that finds no room sleeps at its own socket, where shutdown() finds
 * it too, and leaves a relay at the receiver's room_wait, see
 * myproto_relay_init(). The lock of room_wait nests inside the queue lock of
 * the sender, and is held while the relays call sk_write_space().
 *
 * All sockets are in a table for those who want to see what there is, from when
 * they are made until they are closed, bound or not. Its locks, one for each
 * bucket, nest inside the socket lock, and the queue lock nests inside them. A
 * socket leaves the table before anything else of it is taken away, and so who
 * holds the lock of its bucket can look at it.
 *
 * sk_state becomes TCP_LISTEN, and TCP_CLOSE at the end, under the queue lock.
 *
 * Each end of a connection holds a reference to the other from the moment it is
 * connected until it is itself closed: so a socket can be used by its peer
 * after it was closed, and what is written there says that it was. The peer of
 * a SOCK_DGRAM socket, with a reference too, is the one that it is associated
 * with. That can change, under the queue lock, so others read it under RCU and
 * sockets of this type are freed by RCU.
 *
 * A connection that waits for accept() belongs to the listening socket, which
 * closes it when it is closed itself. A file that is open keeps its socket from
 * being closed, and so every system call can rely on the socket it was given.
 */

/**
 * struct myproto_net - what a network namespace has of its own
 * @sysctl: handle of the sysctls
 * @default_channel: sysctl net.myproto.default_channel; never 0
 * @unprivileged_start: sysctl net.myproto.unprivileged_channel_start: to bind
 *	to a channel below it takes CAP_NET_BIND_SERVICE
 * @stats: what was dropped, see enum myproto_stat; drops are rare, and so there
 *	is not one for each CPU
 *
 * The sysctls are written at any time and read with READ_ONCE().
 */
struct myproto_net {
	struct ctl_table_header	*sysctl;
	unsigned int		default_channel;
	unsigned int		unprivileged_start;
	atomic_long_t		stats[MYPROTO_STAT_NUM];
};

extern unsigned int myproto_net_id;

static inline struct myproto_net *myproto_net(const struct net *net)
{
	return net_generic(net, myproto_net_id);
}

static inline u32 myproto_default_channel(const struct net *net)
{
	return READ_ONCE(myproto_net(net)->default_channel);
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

/* How much a socket can be sent without memory: this does not make it larger
 * than those of other families.
 */
#define MYPROTO_LINE_SIZE	64U

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
 * @room_wait: where others wait for room, in @accept_queue if the socket
 *	listens, in the receive buffer otherwise
 * @room_relay: wakes who polls this socket when @peer has room; it moves from
 *	one peer to another under the queue lock. Nobody can poll before
 *	accept(), until when it links the socket in @accept_queue
 * @rx_waiting: how many readers of a stream sleep; under the queue lock
 * @rx_total: how many bytes have been received in all, modulo 2^32; written
 *	under the queue lock
 * @rx_read: how many of them have been read; written under the socket lock if
 *	it is a stream, the queue lock otherwise
 * @rx_full: the receive buffer of a stream was full, and less than half of it
 *	has become free since; written under the queue lock, see
 *	myproto_rx_takes()
 * @aborted: it has been aborted, or its peer has, see myproto_abort(); written
 *	under the queue lock
 * @line_in: how many bytes have been put into @line in all, modulo 2^8; written
 *	under the queue lock
 * @line_out: how many of them have been taken out; written under the socket
 *	lock
 * @line: small data of a stream, a ring: older than what is in the queue, newer
 *	than what a reader has taken over, without credentials, and not charged
 *
 * The channel table holds no reference: a socket leaves it when it is closed,
 * before the last reference is gone, and is freed after a grace period. Whoever
 * finds a socket there does so under RCU and takes a reference, unless there
 * are none left.
 */
struct myproto_sock {
	struct sock		sk;
	struct rhash_head	node;
	u32			bound;
	u32			channel;
	struct sock __rcu	*peer;
	struct list_head	accept_queue;
	wait_queue_head_t	room_wait;
	wait_queue_entry_t	room_relay;
	u32			rx_waiting;
	u32			rx_total;
	u32			rx_read;
	bool			rx_full;
	bool			aborted;
	u8			line_in;
	u8			line_out;
	u8			line[MYPROTO_LINE_SIZE];
};

/**
 * struct myproto_cb - what goes with data, in the cb[] of an skb
 * @pid: the sender's process, with a reference, or NULL when it is not told
 * @uid: its user ID, if it is
 * @gid: its group ID
 * @channel: of a message, the sender's channel, or 0 if it has none
 * @read: of a stream, how many bytes of it have been read
 * @eor: of a message, whether it was sent with MSG_EOR
 */
struct myproto_cb {
	struct pid	*pid;
	kuid_t		uid;
	kgid_t		gid;
	union {
		u32	channel;
		u32	read;
	};
	bool		eor;
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
 * Context: Any.
 * Return: the peer, which stays at least as long as @sk is not closed, or NULL
 * when @sk is not connected.
 */
static inline struct sock *myproto_peer(const struct sock *sk)
{
	return rcu_dereference_check(myproto_sk(sk)->peer,
				     sk->sk_type != SOCK_DGRAM);
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
 * charged can exceed the buffer once. When the buffer of a stream is full, half
 * of it must become free first, or sender and reader would wake one another for
 * each piece.
 *
 * Context: Any.
 * Return: whether it does, if it has not been shut down.
 */
static inline bool myproto_rx_takes(const struct sock *sk)
{
	int rcvbuf = READ_ONCE(sk->sk_rcvbuf);
	int room = rcvbuf - sk_rmem_alloc_get(sk);

	/* Pairs with smp_wmb() in myproto_tx_state(). */
	smp_rmb();
	if (READ_ONCE(myproto_sk(sk)->rx_full))
		return room >= rcvbuf / 2;
	return room > 0;
}

/**
 * myproto_line_suits - whether something may go to the line of a socket
 * @sk: the receiver
 * @scm: the credentials that go with it, or NULL
 *
 * Context: Any; it may change at any time.
 * Return: whether it may: the line has no place for who sent it and when.
 */
static inline bool myproto_line_suits(const struct sock *sk,
				      const struct scm_cookie *scm)
{
	return !scm && !(READ_ONCE(sk->sk_flags) & SK_FLAGS_TIMESTAMP);
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

/**
 * struct myproto_info - what is told of a socket
 * @rqueue: how many bytes it has been sent and has not read; if it listens, how
 *	many connections wait for accept()
 * @wqueue: how many bytes the peer has not read, 0 with SOCK_DGRAM; if it
 *	listens, the backlog
 * @peer_channel: the peer's channel, or 0 if it has none or there is no peer
 * @peer_ino: the inode of its socket, or 0 if it has been closed or waits for
 *	accept()
 * @peer_cookie: its cookie
 * @has_peer: whether there is a peer
 * @state: TCP_CLOSE, TCP_LISTEN or TCP_ESTABLISHED
 */
struct myproto_info {
	u32	rqueue;
	u32	wqueue;
	u32	peer_channel;
	u32	peer_ino;
	u32	peer_cookie[2];
	bool	has_peer;
	u8	state;
};

/* af_myproto.c */
struct sock *myproto_sk_alloc(struct net *net, struct socket *sock, int type,
			      int kern);

/* channel.c */
int myproto_channel_init(void);
void myproto_channel_exit(void);
int myproto_addr_channel(const struct sockaddr_unsized *addr, int addr_len,
			 u32 *channel);
int myproto_channel_bind(struct sock *sk, u32 channel);
int myproto_channel_autobind(struct sock *sk, u32 channel);
struct sock *myproto_channel_lookup(const struct net *net, u32 channel);
void myproto_channel_unbind(struct sock *sk);
#if IS_ENABLED(CONFIG_KUNIT)
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
void myproto_set_peercred(struct sock *sk);
void myproto_copy_peercred(struct sock *sk, struct sock *from);
int __myproto_scm_send(struct socket *sock, struct msghdr *msg,
		       struct scm_cookie **scm, bool wanted);
void myproto_scm_recv(struct socket *sock, struct msghdr *msg,
		      struct sk_buff *skb, int flags);
void myproto_skb_set_scm(struct sk_buff *skb, const struct scm_cookie *scm);

/**
 * myproto_scm_send - see which credentials go with what is sent
 * @sock: the sender
 * @peer: the receiver
 * @msg: what is sent
 * @scm: where to store them, for the caller to give up with scm_destroy();
 *	becomes NULL if there are none
 *
 * Credentials go with it when either side has SO_PASSCRED (or SO_PASSSEC) set,
 * or may set it before it reads because it has not been accepted yet, or when
 * the sender names them.
 *
 * Context: Process context. May sleep.
 * Return: 0, -EINVAL for a control message that is not known, SCM_RIGHTS among
 * it, or not well formed, -EPERM for the credentials of others, or -ESRCH.
 */
static inline int myproto_scm_send(struct socket *sock, const struct sock *peer,
				   struct msghdr *msg, struct scm_cookie **scm)
{
	bool wanted = READ_ONCE(sock->sk->sk_scm_recv_flags) ||
		      READ_ONCE(peer->sk_scm_recv_flags) ||
		      !READ_ONCE(peer->sk_socket);

	if (wanted || msg->msg_controllen)
		return __myproto_scm_send(sock, msg, scm, wanted);

	*scm = NULL;
	return 0;
}

/* message.c */
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
void myproto_relay_init(wait_queue_entry_t *relay, struct sock *sk);
void myproto_relay_del(wait_queue_entry_t *relay, struct sock *peer);
int myproto_wait_room(struct sock *sk, struct sock *peer, long *timeo);
void myproto_wake_room(struct sock *sk);
struct sk_buff *myproto_skb_alloc(struct sock *sk, struct msghdr *msg, int len,
				  int size, const struct scm_cookie *scm,
				  int *err);
int myproto_skb_read(const struct sk_buff *skb, int off, struct msghdr *msg,
		     int len);
int myproto_tx_look(const struct sock *sk, struct sock *peer);
int myproto_publish(struct sock *sk, struct sock *peer, struct sk_buff *skb);
u32 myproto_tail_size(const struct sock *sk);
int myproto_publish_small(struct sock *sk, struct sock *peer, const void *data,
			  int len, const struct scm_cookie *scm, int *size);
bool myproto_writable(struct sock *sk);
bool myproto_readable(const struct sock *sk);
int myproto_sk_ioctl(struct sock *sk, int cmd, int *karg);
void myproto_set_rcvbuf(struct sock *sk, int val);
int myproto_set_rcvlowat(struct sock *sk, int val);

/* sockets.c */
void myproto_sockets_init(void);
void myproto_sockets_add(struct sock *sk);
void myproto_sockets_del(struct sock *sk);
struct sock *myproto_sockets_find(const struct net *net, loff_t *pos);
struct sock *myproto_sockets_next(const struct net *net, struct sock *sk,
				  loff_t *pos);
void myproto_sockets_end(const struct sock *sk);
void myproto_get_info(struct sock *sk, struct myproto_info *info);

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

#endif /* _MYPROTO_H */
