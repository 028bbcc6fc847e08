// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: a table of all sockets of a network namespace */

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

/* Enough locks to avoid contention, in a table of 2 KiB */
#define MYPROTO_BUCKET_BITS	7
#define MYPROTO_BUCKETS		BIT(MYPROTO_BUCKET_BITS)

/* The upper bits of a position are the number of a bucket. With
 * MYPROTO_POS_INSIDE, the lower 32 bits are the number of a socket in it.
 */
#define MYPROTO_POS_SHIFT	33
#define MYPROTO_POS_INSIDE	BIT_ULL(32)

/* Sockets, linked by @entry, the newest first. sk_hash is the number of the
 * socket: an iteration uses it to find its position again after sockets were
 * added or removed.
 */
struct myproto_bucket {
	spinlock_t		lock;	/* protects the list and the numbers */
	u32			last;	/* last number, modulo 2^32 */
	struct hlist_head	head;
};

/* The table does not grow: there are no lookups by key. */
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

/* Kernel sockets hold no reference to @net. They must be closed already. */
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

/* The table holds no reference to @sk. */
void myproto_sockets_add(struct sock *sk)
{
	struct myproto_bucket *bucket = myproto_bucket(sk);

	spin_lock(&bucket->lock);
	sk->sk_hash = ++bucket->last;
	hlist_add_head(&myproto_sk(sk)->entry, &bucket->head);
	spin_unlock(&bucket->lock);
}

/* Must be called before close() changes anything of @sk. */
void myproto_sockets_del(struct sock *sk)
{
	struct myproto_bucket *bucket = myproto_bucket(sk);

	spin_lock(&bucket->lock);
	hlist_del(&myproto_sk(sk)->entry);
	spin_unlock(&bucket->lock);
}

static struct sock *myproto_sockets_first(const struct myproto_bucket *bucket)
{
	struct myproto_sock *msk = hlist_entry_safe(bucket->head.first,
						    struct myproto_sock, entry);

	return msk ? &msk->sk : NULL;
}

static struct sock *myproto_sockets_after(const struct sock *sk)
{
	struct myproto_sock *msk = hlist_entry_safe(myproto_sk(sk)->entry.next,
						    struct myproto_sock, entry);

	return msk ? &msk->sk : NULL;
}

/* A socket that connect() makes for accept() is visible once it has a peer. */
static bool myproto_is_seen(const struct sock *sk)
{
	/* Pairs with rcu_assign_pointer() in myproto_establish(). */
	return sock_i_ino(sk) || smp_load_acquire(&myproto_sk(sk)->peer);
}

/* Returns the first visible socket from @sk on, with its bucket lock held, and
 * stores its position in @pos. Returns NULL without a lock if there is none.
 * Caller holds the lock of @bucket. @sk is in this bucket, or NULL at its end.
 */
static struct sock *myproto_sockets_seek(const struct net *net, u32 bucket,
					 struct sock *sk, loff_t *pos)
{
	struct myproto_bucket *buckets = myproto_net(net)->buckets;

	for (;;) {
		while (sk && !myproto_is_seen(sk))
			sk = myproto_sockets_after(sk);
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
		sk = myproto_sockets_first(&buckets[bucket]);
	}
	*pos = (loff_t)MYPROTO_BUCKETS << MYPROTO_POS_SHIFT;
	return NULL;
}

/**
 * myproto_sockets_find - start or continue an iteration over all sockets
 * @net: the network namespace
 * @pos: 0, or the position where the iteration was paused; is updated
 *
 * Finds every socket that exists during the whole iteration exactly once.
 * Numbers wrap: fewer than 2^32 sockets must be added to a bucket while its
 * oldest one exists.
 *
 * Return: a socket, or NULL. Its bucket lock is held, so that it cannot be
 * closed, until myproto_sockets_next() or myproto_sockets_end().
 */
struct sock *myproto_sockets_find(const struct net *net, loff_t *pos)
{
	struct myproto_bucket *buckets = myproto_net(net)->buckets;
	u32 bucket = *pos >> MYPROTO_POS_SHIFT, last;
	struct sock *sk;

	if (bucket >= MYPROTO_BUCKETS)
		return NULL;

	spin_lock(&buckets[bucket].lock);
	last = buckets[bucket].last;
	sk = myproto_sockets_first(&buckets[bucket]);
	/* Skip sockets that are newer than the position. */
	if (*pos & MYPROTO_POS_INSIDE)
		while (sk && last - sk->sk_hash < last - (u32)*pos)
			sk = myproto_sockets_after(sk);
	return myproto_sockets_seek(net, bucket, sk, pos);
}
EXPORT_SYMBOL_GPL(myproto_sockets_find);

/**
 * myproto_sockets_next - get the next socket of an iteration
 * @net: the network namespace
 * @sk: the current socket, with its bucket lock held; is released
 * @pos: its position; is updated
 *
 * Return: see myproto_sockets_find().
 */
struct sock *myproto_sockets_next(const struct net *net, struct sock *sk,
				  loff_t *pos)
{
	return myproto_sockets_seek(net, *pos >> MYPROTO_POS_SHIFT,
				    myproto_sockets_after(sk), pos);
}
EXPORT_SYMBOL_GPL(myproto_sockets_next);

/**
 * myproto_sockets_end - end or pause an iteration
 * @sk: the current socket, whose bucket lock is released, or NULL
 */
void myproto_sockets_end(const struct sock *sk)
{
	if (sk)
		spin_unlock(&myproto_bucket(sk)->lock);
}
EXPORT_SYMBOL_GPL(myproto_sockets_end);

/* The channel that @sk is connecting to */
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

/* Caller holds the queue lock of @sk, so that @peer stays. */
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
 * @sk: the socket, with a reference or with its bucket lock held
 * @info: where to store it
 * @cookie: store the cookie of the peer, and generate it if there is none
 */
void myproto_get_info(struct sock *sk, struct myproto_info *info, bool cookie)
{
	struct sk_buff_head *queue = &sk->sk_receive_queue;
	struct sock *peer;

	*info = (struct myproto_info) {};
	spin_lock(&queue->lock);
	peer = myproto_peer_locked(sk);
	/* Pairs with rcu_assign_pointer() in myproto_establish(). */
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

	/* In TCP_ESTABLISHED without a peer, @sk is still connecting. It is not
	 * being closed: close() changes the state before it clears the peer.
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
