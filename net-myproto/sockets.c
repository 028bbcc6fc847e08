// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: the sockets of a network namespace, for who wants to see them */

#include <linux/errno.h>
#include <linux/export.h>
#include <linux/hash.h>
#include <linux/list.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sock_diag.h>
#include <linux/spinlock.h>
#include <kunit/visibility.h>
#include <net/net_debug.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include <net/tcp_states.h>

#include "myproto.h"

/* A table has so many locks that those who make and close sockets at the same
 * time rarely meet, and takes 2 KiB.
 */
#define MYPROTO_BUCKET_BITS	7
#define MYPROTO_BUCKETS		BIT(MYPROTO_BUCKET_BITS)

/* A position is a bucket, and unless it is the beginning of that, the number of
 * the socket there.
 */
#define MYPROTO_POS_SHIFT	33
#define MYPROTO_POS_INSIDE	BIT_ULL(32)

/* Some of the sockets, linked by their sk_node, the newest first. Each has a
 * number in sk_hash, which is one more than that of the one after it had: this
 * is how a walk finds its place again, wherever sockets have come and gone.
 */
struct myproto_bucket {
	spinlock_t		lock;	/* for all of this and the numbers */
	u32			last;	/* number given last, modulo 2^32 */
	struct hlist_head	head;
};

/**
 * myproto_sockets_init - make the table of the sockets of a network namespace
 * @net: the namespace
 *
 * It does not grow, for nothing is looked up in it.
 *
 * Context: Process context. May sleep.
 * Return: 0 or -ENOMEM.
 */
int myproto_sockets_init(struct net *net)
{
	struct myproto_bucket *buckets;
	u32 i;

	buckets = kvzalloc_objs(*buckets, MYPROTO_BUCKETS, GFP_KERNEL_ACCOUNT);
	if (!buckets)
		return -ENOMEM;

	for (i = 0; i < MYPROTO_BUCKETS; i++)
		spin_lock_init(&buckets[i].lock);
	myproto_net(net)->buckets = buckets;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(myproto_sockets_init);

/**
 * myproto_sockets_exit - undo myproto_sockets_init()
 * @net: the namespace, in which no sockets are left: those of user space keep
 *	it, and those of the kernel have to be closed before
 *
 * Context: Process context. May sleep.
 */
void myproto_sockets_exit(struct net *net)
{
	struct myproto_bucket *buckets = myproto_net(net)->buckets;
	u32 i;

	for (i = 0; i < MYPROTO_BUCKETS; i++)
		DEBUG_NET_WARN_ON_ONCE(!hlist_empty(&buckets[i].head));
	kvfree(buckets);
}
EXPORT_SYMBOL_IF_KUNIT(myproto_sockets_exit);

static struct myproto_bucket *myproto_bucket(const struct sock *sk)
{
	struct myproto_bucket *buckets = myproto_net(sock_net(sk))->buckets;

	return &buckets[hash_ptr(sk, MYPROTO_BUCKET_BITS)];
}

/**
 * myproto_sockets_add - have a socket seen
 * @sk: a new socket
 *
 * The table holds no reference.
 *
 * Context: Process context.
 */
void myproto_sockets_add(struct sock *sk)
{
	struct myproto_bucket *bucket = myproto_bucket(sk);

	spin_lock(&bucket->lock);
	sk->sk_hash = ++bucket->last;
	hlist_add_head(&sk->sk_node, &bucket->head);
	spin_unlock(&bucket->lock);
}

/**
 * myproto_sockets_del - undo myproto_sockets_add()
 * @sk: a socket that is being closed, before anything is taken from it
 *
 * Context: Process context.
 */
void myproto_sockets_del(struct sock *sk)
{
	struct myproto_bucket *bucket = myproto_bucket(sk);

	spin_lock(&bucket->lock);
	hlist_del(&sk->sk_node);
	spin_unlock(&bucket->lock);
}

/* Whether @sk is to be seen. The other end of a connection is not until
 * connect() has made it one.
 */
static bool myproto_is_seen(const struct sock *sk)
{
	/* Pairs with rcu_assign_pointer() in myproto_establish(). */
	return sock_i_ino(sk) || smp_load_acquire(&myproto_sk(sk)->peer);
}

/* The first socket to be seen that is @sk or comes after it. Called with the
 * lock of bucket number @bucket held, to which @sk belongs unless it is NULL.
 */
static struct sock *myproto_sockets_seek(const struct net *net, u32 bucket,
					 struct sock *sk, loff_t *pos)
{
	struct myproto_bucket *buckets = myproto_net(net)->buckets;

	for (;;) {
		while (sk && !myproto_is_seen(sk))
			sk = sk_next(sk);
		*pos = (loff_t)bucket << MYPROTO_POS_SHIFT;
		if (sk) {
			*pos |= MYPROTO_POS_INSIDE | sk->sk_hash;
			return sk;
		}

		spin_unlock(&buckets[bucket].lock);
		cond_resched();
		if (++bucket == MYPROTO_BUCKETS ||
		    fatal_signal_pending(current))
			break;
		spin_lock(&buckets[bucket].lock);
		sk = sk_head(&buckets[bucket].head);
	}
	*pos = (loff_t)MYPROTO_BUCKETS << MYPROTO_POS_SHIFT;
	return NULL;
}

/**
 * myproto_sockets_find - begin a walk over all sockets, or go on with it
 * @net: the network namespace whose sockets are wanted
 * @pos: where to begin: 0, or what was stored here before the walk paused;
 *	the position of the socket is stored here
 *
 * A walk meets every socket once that is there from its beginning to its end,
 * however often it pauses. Those that come or go meanwhile it may miss. Numbers
 * are compared as jiffies are: 2^31 sockets between two neighbours in a bucket
 * would be too many.
 *
 * Context: Process context.
 * Return: a socket, with the lock of its bucket held until it is given to
 * myproto_sockets_next() or myproto_sockets_end(), so that it is not closed
 * meanwhile; or NULL when there are no more.
 */
struct sock *myproto_sockets_find(const struct net *net, loff_t *pos)
{
	struct myproto_bucket *buckets = myproto_net(net)->buckets;
	u32 bucket = *pos >> MYPROTO_POS_SHIFT;
	struct sock *sk;

	if (bucket >= MYPROTO_BUCKETS)
		return NULL;

	spin_lock(&buckets[bucket].lock);
	sk = sk_head(&buckets[bucket].head);
	/* Past those that are newer than where it paused */
	if (*pos & MYPROTO_POS_INSIDE)
		while (sk && (s32)(sk->sk_hash - (u32)*pos) > 0)
			sk = sk_next(sk);
	return myproto_sockets_seek(net, bucket, sk, pos);
}
EXPORT_SYMBOL_GPL(myproto_sockets_find);

/**
 * myproto_sockets_next - go to the next socket of a walk
 * @net: the network namespace
 * @sk: the socket where the walk is
 * @pos: its position; that of the next one is stored here
 *
 * Context: Process context, with the lock that came with @sk held.
 * Return: see myproto_sockets_find(); @sk is not the caller's any more.
 */
struct sock *myproto_sockets_next(const struct net *net, struct sock *sk,
				  loff_t *pos)
{
	return myproto_sockets_seek(net, *pos >> MYPROTO_POS_SHIFT,
				    sk_next(sk), pos);
}
EXPORT_SYMBOL_GPL(myproto_sockets_next);

/**
 * myproto_sockets_end - end a walk, or pause it
 * @sk: the socket where the walk is, which is not the caller's any more unless
 *	they have taken a reference; or NULL
 *
 * Context: Process context, with the lock that came with @sk held.
 */
void myproto_sockets_end(const struct sock *sk)
{
	if (sk)
		spin_unlock(&myproto_bucket(sk)->lock);
}
EXPORT_SYMBOL_GPL(myproto_sockets_end);

/* The channel that @sk, which is connecting, wants to be connected to */
static u32 myproto_listener_channel(const struct sock *sk)
{
	const struct sock *listener;
	u32 channel;

	/* The listener is freed by RCU. */
	rcu_read_lock();
	listener = READ_ONCE(myproto_sk(sk)->listener);
	channel = listener ? myproto_channel(listener) : 0;
	rcu_read_unlock();
	return channel;
}

/* Called with the queue lock of @sk held, which keeps @peer. */
static void myproto_get_peer_info(const struct sock *sk, struct sock *peer,
				  struct myproto_info *info, bool cookie)
{
	info->has_peer = true;
	info->peer_channel = myproto_channel(peer);
	/* Inodes of sockets have 32 bits, see get_next_ino(). */
	info->peer_ino = sock_i_ino(peer);
	if (cookie)
		sock_diag_save_cookie(peer, info->peer_cookie);
	if (sk->sk_type != SOCK_DGRAM)
		info->wqueue = myproto_inq(peer);
}

/**
 * myproto_get_info - take a snapshot of a socket
 * @sk: the socket, which the caller has a reference to or meets on a walk
 * @info: where to store it
 * @cookie: whether the cookie of the peer is wanted, which gives it one
 *
 * Context: Process context. Takes the queue lock.
 */
void myproto_get_info(struct sock *sk, struct myproto_info *info, bool cookie)
{
	struct sk_buff_head *queue = &sk->sk_receive_queue;
	struct sock *peer;

	*info = (struct myproto_info) {};
	spin_lock(&queue->lock);
	peer = myproto_peer_locked(sk);
	/* connect() does not take the lock, but sets the peer last. Pairs with
	 * rcu_assign_pointer() in myproto_establish().
	 */
	smp_rmb();
	info->state = READ_ONCE(sk->sk_state);
	info->shutdown = READ_ONCE(sk->sk_shutdown);
	info->channel = myproto_channel(sk);
	info->memory = sk_rmem_alloc_get(sk);
	if (info->state == TCP_LISTEN) {
		info->rqueue = READ_ONCE(sk->sk_ack_backlog);
		info->wqueue = READ_ONCE(sk->sk_max_ack_backlog);
	} else {
		info->rqueue = myproto_inq(sk);
	}

	/* It is connected when it has both. Who closes it changes the state
	 * first.
	 */
	if (info->state == TCP_ESTABLISHED) {
		if (peer)
			myproto_get_peer_info(sk, peer, info, cookie);
		else
			info->state = TCP_SYN_SENT;
	}
	if (info->state == TCP_SYN_SENT)
		info->peer_channel = myproto_listener_channel(sk);
	spin_unlock(&queue->lock);
}
EXPORT_SYMBOL_GPL(myproto_get_info);
