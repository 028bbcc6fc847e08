// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: channels, and the sockets that are bound to them */

#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/jhash.h>
#include <linux/jiffies.h>
#include <linux/myproto.h>
#include <linux/random.h>
#include <linux/rhashtable.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <net/net_namespace.h>
#include <net/netns/hash.h>
#include <net/sock.h>

#include "myproto.h"

/* Maximum time that bind() waits for memory, much longer than reclaim takes */
#define MYPROTO_NOMEM_WAIT	(HZ / 10)

static u32 myproto_hash(const struct net *net, u32 channel, u32 seed)
{
	return jhash_2words(channel, net_hash_mix(net), seed);
}

static u32 myproto_key_hash(const void *data, u32 len, u32 seed)
{
	const struct myproto_key *key = data;

	return myproto_hash(key->net, key->channel, seed);
}

static u32 myproto_sock_hash(const void *data, u32 len, u32 seed)
{
	const struct sock *sk = data;

	return myproto_hash(sock_net(sk), myproto_bound(sk)->channel, seed);
}

static int myproto_key_cmp(struct rhashtable_compare_arg *arg, const void *obj)
{
	const struct myproto_key *key = arg->key;
	const struct sock *sk = obj;

	return READ_ONCE(myproto_bound(sk)->channel) != key->channel ||
	       !net_eq(sock_net(sk), key->net) ||
	       (key->lookup && myproto_channel(sk) != key->channel);
}

/* The key is not a field of the socket: the network namespace is in sk. */
static const struct rhashtable_params myproto_table_params = {
	.head_offset		= offsetof(struct sock, sk_nulls_node),
	.key_len		= sizeof(struct myproto_key),
	.hashfn			= myproto_key_hash,
	.obj_hashfn		= myproto_sock_hash,
	.obj_cmpfn		= myproto_key_cmp,
	.automatic_shrinking	= true,
};

/* One table for all network namespaces: a namespace without bound sockets needs
 * no memory.
 */
VISIBLE_IF_KUNIT struct rhashtable myproto_table;
EXPORT_SYMBOL_IF_KUNIT(myproto_table);

int __init myproto_channel_init(void)
{
	return rhashtable_init(&myproto_table, &myproto_table_params);
}

void myproto_channel_exit(void)
{
	rhashtable_destroy(&myproto_table);
}

/* Check an address from user space and store its channel. Padding and extra
 * bytes must be 0, so that they can get a meaning later. Returns 0, -EINVAL, or
 * -EAFNOSUPPORT.
 */
int myproto_addr_channel(const struct sockaddr_unsized *addr, int addr_len,
			 u32 *channel)
{
	const struct sockaddr_my *smy = (const struct sockaddr_my *)addr;

	if (addr_len < (int)sizeof(*smy))
		return -EINVAL;
	if (smy->smy_family != AF_MYPROTO)
		return -EAFNOSUPPORT;
	if (smy->__smy_pad ||
	    memchr_inv(smy + 1, 0, addr_len - sizeof(*smy)))
		return -EINVAL;

	*channel = smy->smy_channel;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(myproto_addr_channel);

/* As myproto_addr_channel(), for an address to connect or send to: -EINVAL for
 * channel 0.
 */
int myproto_addr_peer(const struct sockaddr_unsized *addr, int addr_len,
		      u32 *channel)
{
	int err = myproto_addr_channel(addr, addr_len, channel);

	return !err && *channel == MYPROTO_CHANNEL_ANY ? -EINVAL : err;
}

VISIBLE_IF_KUNIT int myproto_table_insert(struct sock *sk)
{
	const struct myproto_key key = {
		.net		= sock_net(sk),
		.channel	= myproto_bound(sk)->channel,
	};

	KUNIT_STATIC_STUB_REDIRECT(myproto_table_insert, sk);
	return rhashtable_lookup_insert_key(&myproto_table, &key,
					    &myproto_bound(sk)->node,
					    myproto_table_params);
}
EXPORT_SYMBOL_IF_KUNIT(myproto_table_insert);

/* Insert @sk with @channel. Returns 0, -EEXIST, -E2BIG when the table is full,
 * -ENOMEM, or -EINTR on a fatal signal.
 */
static int myproto_channel_insert(struct sock *sk, u32 channel)
{
	unsigned long deadline = jiffies + MYPROTO_NOMEM_WAIT;
	int err;

	/* Sockets that have it as their peer use it under RCU. */
	if (sk->sk_type == SOCK_DGRAM)
		sock_set_flag(sk, SOCK_RCU_FREE);
	WRITE_ONCE(myproto_bound(sk)->channel, channel);
	for (;;) {
		err = myproto_table_insert(sk);
		/* Wait for the worker of rhashtable. -EBUSY: it is rehashing
		 * the table. -ENOMEM: a GFP_ATOMIC allocation failed, and the
		 * worker uses GFP_KERNEL.
		 */
		if (err != -EBUSY &&
		    (err != -ENOMEM || time_after(jiffies, deadline)))
			break;
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		schedule_timeout_killable(1);
	}

	if (err) {
		WRITE_ONCE(myproto_bound(sk)->channel, MYPROTO_CHANNEL_ANY);
		return err;
	}
	WRITE_ONCE(myproto_sk(sk)->channel, channel);
	return 0;
}

/* Try all channels from @first to @last, beginning at a random one, so that
 * channels are hard to guess and collisions are rare. Returns 0, -EEXIST, or
 * see myproto_channel_insert().
 */
VISIBLE_IF_KUNIT
int myproto_channel_insert_any(struct sock *sk, u32 first, u32 last)
{
	u32 start = get_random_u32_inclusive(first, last);
	u32 channel = start;
	int err;

	KUNIT_STATIC_STUB_REDIRECT(myproto_channel_insert_any, sk, first, last);
	do {
		err = myproto_channel_insert(sk, channel);
		if (err != -EEXIST)
			return err;
		if (fatal_signal_pending(current))
			return -EINTR;
		channel = channel == last ? first : channel + 1;
		cond_resched();
	} while (channel != start);

	return -EEXIST;
}
EXPORT_SYMBOL_IF_KUNIT(myproto_channel_insert_any);

/**
 * myproto_channel_bind - bind a socket to a channel
 * @sk: a socket without a channel
 * @channel: the channel, or MYPROTO_CHANNEL_ANY for any free one
 *
 * The channel table holds no reference to @sk.
 *
 * Context: Process context, with the socket lock held. May sleep.
 * Return: 0, -EACCES, -EADDRINUSE, -ENOMEM, or -EINTR on a fatal signal.
 */
int myproto_channel_bind(struct sock *sk, u32 channel)
{
	struct net *net = sock_net(sk);
	int err;

	sock_owned_by_me(sk);

	if (channel == MYPROTO_CHANNEL_ANY)
		err = myproto_channel_insert_any(sk, MYPROTO_DYNAMIC_FIRST,
						 MYPROTO_DYNAMIC_LAST);
	else if (channel < READ_ONCE(myproto_net(net)->unprivileged_start) &&
		 !ns_capable(net->user_ns, CAP_NET_BIND_SERVICE))
		err = -EACCES;
	else
		err = myproto_channel_insert(sk, channel);

	return err == -EEXIST || err == -E2BIG ? -EADDRINUSE : err;
}

/* Bind @sk unless it has a channel. Caller holds the socket lock. */
int myproto_channel_autobind(struct sock *sk, u32 channel)
{
	if (myproto_sk(sk)->channel)
		return 0;

	return myproto_channel_bind(sk, channel);
}

/**
 * myproto_channel_lookup - find the socket that is bound to a channel
 * @net: the network namespace
 * @channel: the channel
 *
 * Context: Any.
 * Return: the socket with a reference, or NULL. It may be closed at any time.
 */
struct sock *myproto_channel_lookup(const struct net *net, u32 channel)
{
	const struct myproto_key key = {
		.net		= net,
		.channel	= channel,
		.lookup		= true,
	};
	struct rhashtable_compare_arg arg = { .key = &key };
	struct sock *sk;

	rcu_read_lock();
	while ((sk = rhashtable_lookup(&myproto_table, &key,
				       myproto_table_params))) {
		/* The memory may have become another socket meanwhile, and
		 * what matched may be of both. Acquire: check the key of the
		 * socket that the reference is for.
		 */
		if (!refcount_inc_not_zero_acquire(&sk->sk_refcnt))
			continue;
		if (!myproto_key_cmp(&arg, sk))
			break;
		sock_put(sk);
	}
	rcu_read_unlock();

	return sk;
}
EXPORT_SYMBOL_GPL(myproto_channel_lookup);

/* Remove @sk from the table. Threads that have found @sk keep their reference
 * to it.
 */
void myproto_channel_unbind(struct sock *sk)
{
	struct myproto_bound *bound = myproto_bound(sk);

	if (bound->channel != MYPROTO_CHANNEL_ANY)
		rhashtable_remove_fast(&myproto_table, &bound->node,
				       myproto_table_params);
}
EXPORT_SYMBOL_IF_KUNIT(myproto_channel_unbind);
