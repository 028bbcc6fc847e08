/* SPDX-License-Identifier: GPL-2.0 */
/* AF_MYPROTO: what the files of the family share */

#ifndef _MYPROTO_H
#define _MYPROTO_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/net.h>
#include <linux/rhashtable-types.h>
#include <linux/skbuff.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>
#include <net/sock.h>
#include <net/tcp_states.h>

struct ctl_table_header;

/* What bind() hands out for MYPROTO_CHANNEL_ANY; never privileged */
#define MYPROTO_DYNAMIC_FIRST	0x80000000U
#define MYPROTO_DYNAMIC_LAST	U32_MAX

/**
 * DOC: locks and lifetimes
 *
 * The socket lock, lock_sock(), orders the calls that make a socket what it is:
 * bind(), listen(), connect() and shutdown(). It is held while such a call
 * works and let go while it sleeps.
 *
 * The queue lock, sk_receive_queue.lock, is for what others do to a socket:
 * sk_shutdown, sk_err, the connections that wait in a listening socket, and the
 * data that was sent and what is charged for it. It is a plain spinlock, for
 * nothing here runs in interrupts. Nobody ever holds two of them, and nobody is
 * woken or touches user memory under it.
 *
 * The mutexes tx_mutex and rx_mutex each let one thread at a time send from a
 * socket and read from it. Whoever sleeps for room or for data lets them go,
 * and others have their turn. The queue lock nests inside each of them and
 * inside the socket lock; nobody holds two of these.
 *
 * Received data is on sk_receive_queue until a reader takes it over to
 * rx_queue, which is its alone. Both are charged to the receiver, in
 * sk_rmem_alloc against sk_rcvbuf, and nothing to the sender: a receiver that
 * does not read stops nobody but who sends to it. A sender that finds no room
 * says so in tx_waiting; the reader that makes room clears it and calls the
 * sender's sk_write_space().
 *
 * sk_state becomes TCP_LISTEN, and TCP_CLOSE at the end, under the queue lock,
 * and TCP_ESTABLISHED with release semantics, see myproto_peer().
 *
 * Each end of a connection holds a reference to the other from the moment it is
 * connected until it is itself closed: so a socket can be used by its peer
 * after it was closed, and what is written there says that it was. Nobody
 * follows the peer pointer of a socket that is not its own.
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
 *
 * The sysctls are written at any time and read with READ_ONCE().
 */
struct myproto_net {
	struct ctl_table_header	*sysctl;
	unsigned int		default_channel;
	unsigned int		unprivileged_start;
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
 * @net: the network namespace; the socket holds the reference
 * @channel: the channel in it, or MYPROTO_CHANNEL_ANY: not in the table
 */
struct myproto_key {
	const struct net	*net;
	u32			channel;
};

/**
 * struct myproto_sock - an AF_MYPROTO socket
 * @sk: the network layer's part; must be first
 * @node: links the socket in the channel table
 * @key: where in the table; constant while it is there, otherwise under the
 *	socket lock
 * @channel: what getsockname() says, 0 if none; written under the socket lock
 *	when @key has been entered in the table for good, read at any time; an
 *	accepted socket has its listener's
 * @peer: the other end of the connection, with a reference; see myproto_peer()
 * @accept_queue: of a listening socket, the connections that wait for accept(),
 *	each with its first reference; under the queue lock
 * @accept_node: links a connection in @accept_queue; under the queue lock of
 *	the listening socket
 * @room_wait: where others wait for room in @accept_queue
 * @tx_mutex: orders senders; protects sk_frag
 * @rx_mutex: orders readers; protects @rx_queue and @rx_off
 * @rx_queue: received data that a reader has taken over
 * @rx_off: how many bytes of the first skb there have been read
 * @inq: how many bytes have been received and not read, in both queues; under
 *	the queue lock, read at any time
 * @tx_waiting: whether the peer found no room here; under the queue lock
 *
 * The channel table holds no reference: a socket leaves it when it is closed,
 * before the last reference is gone, and is freed after a grace period. Whoever
 * finds a socket there does so under RCU and takes a reference, unless there
 * are none left.
 */
struct myproto_sock {
	struct sock		sk;
	struct rhash_head	node;
	struct myproto_key	key;
	u32			channel;
	struct sock		*peer;
	struct list_head	accept_queue;
	struct list_head	accept_node;
	wait_queue_head_t	room_wait;
	struct mutex		tx_mutex;	/* one sender at a time */
	struct mutex		rx_mutex;	/* one reader at a time */
	struct sk_buff_head	rx_queue;
	u32			rx_off;
	u32			inq;
	bool			tx_waiting;
};

#define myproto_sk(ptr) container_of_const(ptr, struct myproto_sock, sk)

static inline u32 myproto_channel(const struct sock *sk)
{
	return READ_ONCE(myproto_sk(sk)->channel);
}

/**
 * myproto_peer - the other end of a connection
 * @sk: a socket that cannot be closed meanwhile
 *
 * Context: Any.
 * Return: the peer, which stays at least as long as @sk is not closed, or NULL
 * when @sk is not connected.
 */
static inline struct sock *myproto_peer(const struct sock *sk)
{
	/* Pairs with myproto_establish(). */
	if (smp_load_acquire(&sk->sk_state) != TCP_ESTABLISHED)
		return NULL;

	return myproto_sk(sk)->peer;
}

/**
 * myproto_peer_channel - the channel at the other end
 * @sk: a socket that cannot be closed meanwhile
 *
 * Context: Any.
 * Return: the peer's channel, or 0 when it has none or there is no peer.
 */
static inline u32 myproto_peer_channel(const struct sock *sk)
{
	const struct sock *peer = myproto_peer(sk);

	return peer ? myproto_channel(peer) : 0;
}

/* af_myproto.c */
struct sock *myproto_sk_alloc(struct net *net, struct socket *sock, int type,
			      int kern);

/* channel.c */
int myproto_channel_init(void);
void myproto_channel_exit(void);
int myproto_addr_channel(const struct sockaddr_unsized *addr, int addr_len,
			 u32 *channel);
int myproto_channel_bind(struct sock *sk, u32 channel);
struct sock *myproto_channel_lookup(const struct net *net, u32 channel);
void myproto_channel_unbind(struct sock *sk);

/* conn.c */
int myproto_listen(struct socket *sock, int backlog);
int myproto_connect(struct socket *sock, struct sockaddr_unsized *addr,
		    int addr_len, int flags);
int myproto_accept(struct socket *sock, struct socket *newsock,
		   struct proto_accept_arg *arg);
int myproto_socketpair(struct socket *sock1, struct socket *sock2);
int myproto_shutdown(struct socket *sock, int how);
void myproto_close(struct sock *sk, bool reset);
__poll_t myproto_poll(struct file *file, struct socket *sock,
		      struct poll_table_struct *wait);

/* stream.c */
int myproto_stream_sendmsg(struct socket *sock, struct msghdr *msg,
			   size_t len);
int myproto_stream_recvmsg(struct socket *sock, struct msghdr *msg, size_t len,
			   int flags);
__poll_t myproto_stream_poll(struct sock *sk, struct sock *peer,
			     const struct poll_table_struct *wait);
void myproto_set_rcvbuf(struct sock *sk, int val);
int myproto_set_rcvlowat(struct sock *sk, int val);

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
