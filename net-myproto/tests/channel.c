// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: KUnit tests of addresses and of the channel table */

#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/module.h>
#include <linux/myproto.h>
#include <linux/net.h>
#include <linux/sched/signal.h>
#include <linux/socket.h>
#include <linux/string.h>
#include <kunit/test.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "../myproto.h"
#include "tests.h"

/* A channel that nobody is likely to use */
#define CHANNEL		0x7e570000U

#define RANGE_MAX	3

static void layout_test(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, AF_MYPROTO, 46);
	KUNIT_EXPECT_EQ(test, PF_MYPROTO, AF_MYPROTO);
	KUNIT_EXPECT_EQ(test, MYPROTO_CHANNEL_ANY, 0);
	KUNIT_EXPECT_EQ(test, MYPROTO_CHANNEL_DEFAULT, 999);
	KUNIT_EXPECT_EQ(test, MYPROTO_DYNAMIC_FIRST, 0x80000000);
	KUNIT_EXPECT_EQ(test, sizeof(struct sockaddr_my), 8);
	KUNIT_EXPECT_EQ(test, offsetof(struct sockaddr_my, smy_family), 0);
	KUNIT_EXPECT_EQ(test, offsetof(struct sockaddr_my, __smy_pad), 2);
	KUNIT_EXPECT_EQ(test, offsetof(struct sockaddr_my, smy_channel), 4);
}

static void proto_test(struct kunit *test)
{
	struct sock *sk = myproto_test_socket(test, SOCK_STREAM);

	KUNIT_EXPECT_STREQ(test, sk->sk_prot->name, "MYSOCK");
	KUNIT_EXPECT_EQ(test, sk->sk_family, AF_MYPROTO);
	/* What user space copies to and from is the line, and no more. */
	KUNIT_EXPECT_EQ(test, sk->sk_prot->useroffset,
			offsetof(struct myproto_sock, line));
	KUNIT_EXPECT_EQ(test, sk->sk_prot->usersize,
			sizeof_field(struct myproto_sock, line));
}

/* What myproto_addr_channel() says of the first @len bytes of @from; KASAN
 * would find it reading more.
 */
static int check_addr(struct kunit *test, const void *from, int len,
		      u32 *channel)
{
	void *addr = kunit_kmalloc(test, len, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, addr);
	memcpy(addr, from, len);
	return myproto_addr_channel(addr, len, channel);
}

static void addr_length_test(struct kunit *test)
{
	const struct sockaddr_my from[2] = {
		{ .smy_family = AF_MYPROTO, .smy_channel = CHANNEL },
		{ .smy_family = U16_MAX, .smy_channel = U32_MAX },
	};
	u32 channel;
	int len;

	channel = 1;
	for (len = 0; len < 8; len++)
		KUNIT_EXPECT_EQ_MSG(test, -EINVAL,
				    check_addr(test, from, len, &channel),
				    "%d bytes", len);
	KUNIT_EXPECT_EQ(test, -EINVAL,
			myproto_addr_channel((void *)from, -1, &channel));
	KUNIT_EXPECT_EQ(test, channel, 1);

	for (; len <= 16; len++) {
		channel = 1;
		KUNIT_EXPECT_EQ_MSG(test, 0,
				    check_addr(test, from, len, &channel),
				    "%d bytes", len);
		KUNIT_EXPECT_EQ(test, channel, CHANNEL);
	}
}

static void addr_family_test(struct kunit *test)
{
	static const u16 families[] = {
		AF_UNSPEC, AF_UNIX, AF_INET, AF_MYPROTO - 1, AF_MYPROTO + 1,
		AF_MYPROTO | 0x100, AF_MYPROTO << 8, U16_MAX,
	};
	struct sockaddr_my from = { .smy_channel = CHANNEL };
	u32 channel = 1;
	int i;

	for (i = 0; i < ARRAY_SIZE(families); i++) {
		from.smy_family = families[i];
		KUNIT_EXPECT_EQ_MSG(test, -EAFNOSUPPORT,
				    check_addr(test, &from, sizeof(from),
					       &channel),
				    "family %d", families[i]);
	}
	KUNIT_EXPECT_EQ(test, channel, 1);
}

static void addr_pad_test(struct kunit *test)
{
	struct sockaddr_my from = {
		.smy_family	= AF_MYPROTO,
		.smy_channel	= CHANNEL,
	};
	u32 channel = 1;
	int i;

	for (i = 0; i < 16; i++) {
		from.__smy_pad = 1 << i;
		KUNIT_EXPECT_EQ_MSG(test, -EINVAL,
				    check_addr(test, &from, sizeof(from),
					       &channel),
				    "bit %d", i);
	}
	KUNIT_EXPECT_EQ(test, channel, 1);
}

static int bind_to(struct sock *sk, u32 channel)
{
	struct sockaddr_my addr = {
		.smy_family	= AF_MYPROTO,
		.smy_channel	= channel,
	};

	return kernel_bind(sk->sk_socket, (struct sockaddr_unsized *)&addr,
			   sizeof(addr));
}

/* Who is at @channel of @net, by a lookup that takes a reference or finds
 * nobody
 */
static struct sock *find(struct kunit *test, const struct net *net, u32 channel)
{
	struct sock *sk = myproto_channel_lookup(net, channel);
	int refs;

	if (sk) {
		refs = refcount_read(&sk->sk_refcnt);
		sock_put(sk);
		KUNIT_EXPECT_EQ(test, refcount_read(&sk->sk_refcnt), refs - 1);
	}
	return sk;
}

static void expect_unbound(struct kunit *test, struct sock *sk)
{
	KUNIT_EXPECT_EQ(test, myproto_sk(sk)->bound, 0);
	KUNIT_EXPECT_EQ(test, myproto_channel(sk), 0);
}

static void collision_test(struct kunit *test)
{
	struct sock *one = myproto_test_socket(test, SOCK_STREAM);
	struct sock *other = myproto_test_socket(test, SOCK_DGRAM);

	KUNIT_ASSERT_EQ(test, 0, bind_to(one, CHANNEL));
	KUNIT_EXPECT_EQ(test, -EADDRINUSE, bind_to(other, CHANNEL));
	expect_unbound(test, other);
	KUNIT_EXPECT_PTR_EQ(test, one, find(test, &init_net, CHANNEL));
	KUNIT_EXPECT_EQ(test, -EINVAL, bind_to(one, CHANNEL + 1));

	/* Who was refused can be bound elsewhere, or there later. */
	KUNIT_EXPECT_EQ(test, 0, bind_to(other, CHANNEL + 1));
	KUNIT_EXPECT_PTR_EQ(test, other, find(test, &init_net, CHANNEL + 1));
	myproto_test_close(test, one);
	KUNIT_EXPECT_NULL(test, find(test, &init_net, CHANNEL));
	other = myproto_test_socket(test, SOCK_DGRAM);
	KUNIT_EXPECT_EQ(test, 0, bind_to(other, CHANNEL));
	KUNIT_EXPECT_PTR_EQ(test, other, find(test, &init_net, CHANNEL));
}

static void default_channel_test(struct kunit *test)
{
	struct sock *sk = myproto_test_socket(test, SOCK_STREAM);

	KUNIT_EXPECT_NULL(test, find(test, &init_net, MYPROTO_CHANNEL_ANY));
	KUNIT_ASSERT_EQ(test, 0, bind_to(sk, MYPROTO_CHANNEL_DEFAULT));
	KUNIT_EXPECT_PTR_EQ(test, sk,
			    find(test, &init_net, MYPROTO_CHANNEL_ANY));
}

/* The last reference is gone, and the socket is still in the table. */
static void dying_test(struct kunit *test)
{
	struct sock *sk = myproto_test_socket(test, SOCK_STREAM);
	int refs;

	KUNIT_ASSERT_EQ(test, 0, bind_to(sk, CHANNEL));
	refs = refcount_read(&sk->sk_refcnt);
	refcount_set(&sk->sk_refcnt, 0);
	KUNIT_EXPECT_NULL(test, myproto_channel_lookup(&init_net, CHANNEL));
	KUNIT_EXPECT_EQ(test, refcount_read(&sk->sk_refcnt), 0);
	refcount_set(&sk->sk_refcnt, refs);
	KUNIT_EXPECT_PTR_EQ(test, sk, find(test, &init_net, CHANNEL));
}

/* The same channel in another network namespace: not a real one, but all that
 * the table looks at. Its hash is the same, so that it takes a comparison to
 * tell them apart.
 */
static void namespace_test(struct kunit *test)
{
	struct sock *here, *there;
	struct net *net;

	if (!IS_ENABLED(CONFIG_NET_NS))
		kunit_skip(test, "no network namespaces");

	net = kunit_kzalloc(test, sizeof(*net), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, net);
	net->hash_mix = init_net.hash_mix;
	here = myproto_test_socket(test, SOCK_DGRAM);
	there = myproto_test_socket(test, SOCK_DGRAM);
	KUNIT_ASSERT_EQ(test, 0, bind_to(here, CHANNEL));
	KUNIT_EXPECT_NULL(test, find(test, net, CHANNEL));

	sock_net_set(there, net);
	KUNIT_EXPECT_EQ(test, 0, myproto_channel_insert_any(there, CHANNEL,
							    CHANNEL));
	KUNIT_EXPECT_PTR_EQ(test, here, find(test, &init_net, CHANNEL));
	KUNIT_EXPECT_PTR_EQ(test, there, find(test, net, CHANNEL));
	myproto_channel_unbind(there);
	KUNIT_EXPECT_PTR_EQ(test, here, find(test, &init_net, CHANNEL));
	KUNIT_EXPECT_NULL(test, find(test, net, CHANNEL));
	sock_net_set(there, &init_net);
}

static const struct channel_range {
	const char *name;
	u32 first, last;
} ranges[] = {
	{ "one", CHANNEL, CHANNEL },
	{ "two", CHANNEL, CHANNEL + 1 },
	{ "three", CHANNEL, CHANNEL + RANGE_MAX - 1 },
	{ "last", U32_MAX, U32_MAX },
	{ "last_three", U32_MAX - RANGE_MAX + 1, U32_MAX },
};

KUNIT_ARRAY_PARAM_DESC(range, ranges, name);

/* Have all channels of the range taken; at[] tells by whom. */
static void fill_range(struct kunit *test, struct sock *at[RANGE_MAX])
{
	const struct channel_range *r = test->param_value;
	struct sock *sk;
	u32 i;

	for (i = 0; i <= r->last - r->first; i++) {
		sk = myproto_test_socket(test, SOCK_STREAM);
		KUNIT_ASSERT_EQ(test, 0,
				myproto_channel_insert_any(sk, r->first,
							   r->last));
		KUNIT_ASSERT_GE(test, myproto_channel(sk), r->first);
		KUNIT_ASSERT_LE(test, myproto_channel(sk), r->last);
	}
	for (i = 0; i <= r->last - r->first; i++) {
		at[i] = find(test, &init_net, r->first + i);
		KUNIT_ASSERT_NOT_NULL(test, at[i]);
		KUNIT_EXPECT_EQ(test, myproto_channel(at[i]), r->first + i);
	}
}

static void range_exhausted_test(struct kunit *test)
{
	const struct channel_range *r = test->param_value;
	struct sock *at[RANGE_MAX], *sk;

	fill_range(test, at);
	sk = myproto_test_socket(test, SOCK_DGRAM);
	KUNIT_EXPECT_EQ(test, -EADDRINUSE,
			myproto_channel_insert_any(sk, r->first, r->last));
	expect_unbound(test, sk);
}

/* The one channel that is free is found from wherever the search begins: often
 * enough for it to begin everywhere.
 */
static void range_wraps_test(struct kunit *test)
{
	const struct channel_range *r = test->param_value;
	struct sock *at[RANGE_MAX];
	int round;
	u32 i;

	fill_range(test, at);
	for (round = 0; round < 64; round++) {
		for (i = 0; i <= r->last - r->first; i++) {
			myproto_channel_unbind(at[i]);
			KUNIT_ASSERT_NULL(test, find(test, &init_net,
						     r->first + i));
			KUNIT_ASSERT_EQ(test, 0,
					myproto_channel_insert_any(at[i],
								   r->first,
								   r->last));
			KUNIT_ASSERT_EQ(test, myproto_channel(at[i]),
					r->first + i);
			KUNIT_ASSERT_PTR_EQ(test, at[i],
					    find(test, &init_net,
						 r->first + i));
		}
	}
}

/* Who is being killed does not look through all of the range. */
static void range_killed_test(struct kunit *test)
{
	const struct channel_range *r = test->param_value;
	struct sock *at[RANGE_MAX], *sk;
	int err;

	fill_range(test, at);
	sk = myproto_test_socket(test, SOCK_DGRAM);
	allow_signal(SIGKILL);
	send_sig(SIGKILL, current, 1);
	err = myproto_channel_insert_any(sk, r->first, r->last);
	flush_signals(current);
	disallow_signal(SIGKILL);
	KUNIT_EXPECT_EQ(test, -EINTR, err);
	expect_unbound(test, sk);
}

static struct kunit_case channel_cases[] = {
	KUNIT_CASE(layout_test),
	KUNIT_CASE(proto_test),
	KUNIT_CASE(addr_length_test),
	KUNIT_CASE(addr_family_test),
	KUNIT_CASE(addr_pad_test),
	KUNIT_CASE(collision_test),
	KUNIT_CASE(default_channel_test),
	KUNIT_CASE(dying_test),
	KUNIT_CASE(namespace_test),
	KUNIT_CASE_PARAM(range_exhausted_test, range_gen_params),
	KUNIT_CASE_PARAM(range_wraps_test, range_gen_params),
	KUNIT_CASE_PARAM(range_killed_test, range_gen_params),
	{}
};

static struct kunit_suite channel_suite = {
	.name		= "myproto_channel",
	.init		= myproto_test_init,
	.exit		= myproto_test_exit,
	.test_cases	= channel_cases,
};

kunit_test_suite(channel_suite);

MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
