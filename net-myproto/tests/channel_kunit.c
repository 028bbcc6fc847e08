// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: KUnit tests of addresses and of the channel table */

#include <linux/completion.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/limits.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/myproto.h>
#include <linux/net.h>
#include <linux/rhashtable.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/socket.h>
#include <linux/string.h>
#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "../myproto.h"
#include "tests.h"

#define CHANNEL		0x7e570000U

#define RANGE_MAX	3

/* When a test gives up */
#define GIVE_UP		(10 * HZ)

/* The address as programs see it: family, pad and channel. @more must be 0. */
struct address {
	u16 family;
	u16 pad;
	u32 channel;
	u8 more[8];
};

/* Call myproto_addr_channel() with the first @len bytes of @from. They are in
 * an allocation of this size, so that KASAN finds a read beyond the end.
 */
static int check_addr(struct kunit *test, const struct address *from, int len,
		      u32 *channel)
{
	void *addr = kunit_kmalloc(test, len, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, addr);
	memcpy(addr, from, len);
	return myproto_addr_channel(addr, len, channel);
}

static void addr_length_test(struct kunit *test)
{
	const struct address from = {
		.family		= 46,
		.channel	= CHANNEL,
	};
	u32 channel;
	int len;

	channel = 1;
	for (len = 0; len < 8; len++)
		KUNIT_EXPECT_EQ_MSG(test, -EINVAL,
				    check_addr(test, &from, len, &channel),
				    "%d bytes", len);
	KUNIT_EXPECT_EQ(test, -EINVAL,
			myproto_addr_channel((void *)&from, -1, &channel));
	KUNIT_EXPECT_EQ(test, channel, 1);

	for (; len <= sizeof(from); len++) {
		channel = 1;
		KUNIT_EXPECT_EQ_MSG(test, 0,
				    check_addr(test, &from, len, &channel),
				    "%d bytes", len);
		KUNIT_EXPECT_EQ(test, channel, CHANNEL);
	}
}

static void addr_family_test(struct kunit *test)
{
	static const u16 families[] = {
		AF_UNSPEC, AF_UNIX, AF_INET, 46 - 1, 46 + 1, 46 | 0x100,
		46 << 8, U16_MAX,
	};
	struct address from = { .channel = CHANNEL };
	u32 channel = 1;
	int i;

	for (i = 0; i < ARRAY_SIZE(families); i++) {
		from.family = families[i];
		KUNIT_EXPECT_EQ_MSG(test, -EAFNOSUPPORT,
				    check_addr(test, &from, 8, &channel),
				    "family %d", families[i]);
	}
	KUNIT_EXPECT_EQ(test, channel, 1);
}

static void addr_pad_test(struct kunit *test)
{
	struct address from = { .family = 46, .channel = CHANNEL };
	u32 channel = 1;
	int i;

	for (i = 0; i < 16; i++) {
		from.pad = 1 << i;
		KUNIT_EXPECT_EQ_MSG(test, -EINVAL,
				    check_addr(test, &from, 8, &channel),
				    "bit %d", i);
	}
	KUNIT_EXPECT_EQ(test, channel, 1);
}

/* Bytes after the address must be 0, up to the given length. */
static void addr_tail_test(struct kunit *test)
{
	struct address from = { .family = 46, .channel = CHANNEL };
	u32 channel = 1;
	int i;

	for (i = 0; i < sizeof(from.more); i++) {
		memset(from.more, 0, sizeof(from.more));
		from.more[i] = 0x80;
		KUNIT_EXPECT_EQ_MSG(test, -EINVAL,
				    check_addr(test, &from, 9 + i, &channel),
				    "byte %d", i);
		KUNIT_EXPECT_EQ(test, channel, 1);
		KUNIT_EXPECT_EQ_MSG(test, 0,
				    check_addr(test, &from, 8 + i, &channel),
				    "byte %d", i);
		KUNIT_EXPECT_EQ(test, channel, CHANNEL);
		channel = 1;
	}
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

/* Returns the socket that is bound to @channel, or NULL. Takes no reference. */
static struct sock *find(struct kunit *test, u32 channel)
{
	const struct myproto_test *t = test->priv;
	struct sock *sk = myproto_channel_lookup(t->net[0], channel);
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
	KUNIT_EXPECT_EQ(test, myproto_bound(sk)->channel, 0);
	KUNIT_EXPECT_EQ(test, myproto_channel(sk), 0);
}

static void collision_test(struct kunit *test)
{
	struct sock *one = myproto_test_socket(test, SOCK_STREAM);
	struct sock *other = myproto_test_socket(test, SOCK_DGRAM);

	KUNIT_ASSERT_EQ(test, 0, bind_to(one, CHANNEL));
	KUNIT_EXPECT_EQ(test, -EADDRINUSE, bind_to(other, CHANNEL));
	expect_unbound(test, other);
	KUNIT_EXPECT_PTR_EQ(test, one, find(test, CHANNEL));
	KUNIT_EXPECT_EQ(test, -EINVAL, bind_to(one, CHANNEL + 1));

	/* After a failed bind(), another channel works, and later this one. */
	KUNIT_EXPECT_EQ(test, 0, bind_to(other, CHANNEL + 1));
	KUNIT_EXPECT_PTR_EQ(test, other, find(test, CHANNEL + 1));
	myproto_test_close(test, one);
	KUNIT_EXPECT_NULL(test, find(test, CHANNEL));
	other = myproto_test_socket(test, SOCK_DGRAM);
	KUNIT_EXPECT_EQ(test, 0, bind_to(other, CHANNEL));
	KUNIT_EXPECT_PTR_EQ(test, other, find(test, CHANNEL));
}

/* A lookup takes a reference, and does not return a socket whose bind() has not
 * succeeded: only its key is set.
 */
static void unfinished_test(struct kunit *test)
{
	struct myproto_test *t = test->priv;
	struct sock *sk = myproto_test_entry(test, t->net[0]);

	KUNIT_ASSERT_EQ(test, 0, myproto_channel_insert_any(sk, CHANNEL,
							    CHANNEL));
	refcount_set(&sk->sk_refcnt, 1);
	KUNIT_EXPECT_PTR_EQ(test, sk,
			    myproto_channel_lookup(t->net[0], CHANNEL));
	KUNIT_EXPECT_EQ(test, refcount_read(&sk->sk_refcnt), 2);

	WRITE_ONCE(myproto_sk(sk)->channel, 0);
	KUNIT_EXPECT_NULL(test, myproto_channel_lookup(t->net[0], CHANNEL));
	KUNIT_EXPECT_EQ(test, refcount_read(&sk->sk_refcnt), 2);
}

/* The same channel in two network namespaces. It has the same hash in both, so
 * only the comparison of keys can tell them apart.
 */
static void namespace_test(struct kunit *test)
{
	struct sock *here = myproto_test_socket(test, SOCK_DGRAM), *there;
	struct net *net = myproto_test_net(test);

	there = myproto_test_entry(test, net);
	refcount_set(&there->sk_refcnt, 1);
	KUNIT_ASSERT_EQ(test, 0, bind_to(here, CHANNEL));
	KUNIT_EXPECT_NULL(test, myproto_channel_lookup(net, CHANNEL));

	KUNIT_EXPECT_EQ(test, 0, myproto_channel_insert_any(there, CHANNEL,
							    CHANNEL));
	KUNIT_EXPECT_PTR_EQ(test, here, find(test, CHANNEL));
	KUNIT_EXPECT_PTR_EQ(test, there, myproto_channel_lookup(net, CHANNEL));

	myproto_test_close(test, here);
	KUNIT_EXPECT_NULL(test, find(test, CHANNEL));
	KUNIT_EXPECT_PTR_EQ(test, there, myproto_channel_lookup(net, CHANNEL));
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

/* Bind sockets to all channels of the range, and store them in @at in order. */
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
		at[i] = find(test, r->first + i);
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
	KUNIT_EXPECT_EQ(test, -EEXIST,
			myproto_channel_insert_any(sk, r->first, r->last));
	expect_unbound(test, sk);
}

/* The search finds the only free channel, wherever it begins. The first channel
 * is random, so there are enough rounds to begin at each one.
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
			KUNIT_ASSERT_NULL(test, find(test, r->first + i));
			KUNIT_ASSERT_EQ(test, 0,
					myproto_channel_insert_any(at[i],
								   r->first,
								   r->last));
			KUNIT_ASSERT_EQ(test, myproto_channel(at[i]),
					r->first + i);
			KUNIT_ASSERT_PTR_EQ(test, at[i],
					    find(test, r->first + i));
		}
	}
}

/* A task that is being killed does not search all of the range. */
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

/* The first @times inserts fail with @err, the next one succeeds. @want is the
 * result of the bind.
 */
static const struct insert_case {
	const char *name;
	int err;
	int times;
	int want;
} insert_cases[] = {
	{ "busy", -EBUSY, 3, 0 },
	{ "no_memory_for_a_moment", -ENOMEM, 2, 0 },
	{ "no_memory", -ENOMEM, INT_MAX, -ENOMEM },
	{ "full", -E2BIG, INT_MAX, -E2BIG },
};

KUNIT_ARRAY_PARAM_DESC(insert, insert_cases, name);

static int insert_calls;

static int insert_stub(struct sock *sk)
{
	const struct insert_case *c = kunit_get_current_test()->param_value;

	if (insert_calls++ < c->times)
		return insert_calls > 1000 ? -EIO : c->err;
	return 0;
}

/* -EBUSY and -ENOMEM are tried again, -E2BIG ends the search for a channel. */
static void insert_error_test(struct kunit *test)
{
	const struct insert_case *c = test->param_value;
	struct myproto_test *t = test->priv;
	struct sock *sk = myproto_test_entry(test, t->net[0]);
	u32 channel;

	insert_calls = 0;
	kunit_activate_static_stub(test, myproto_table_insert, insert_stub);
	KUNIT_EXPECT_EQ(test, c->want,
			myproto_channel_insert_any(sk, MYPROTO_DYNAMIC_FIRST,
						   MYPROTO_DYNAMIC_LAST));
	kunit_deactivate_static_stub(test, myproto_table_insert);

	channel = myproto_channel(sk);
	KUNIT_EXPECT_EQ(test, channel, myproto_bound(sk)->channel);
	KUNIT_EXPECT_EQ(test, !channel, !!c->want);
	if (c->err == -E2BIG)
		KUNIT_EXPECT_EQ(test, insert_calls, 1);
	else if (c->want)
		KUNIT_EXPECT_GT(test, insert_calls, 2);
	else
		KUNIT_EXPECT_EQ(test, insert_calls, c->times + 1);

	/* It is not in the table. */
	myproto_bound(sk)->channel = 0;
}

static int insert_any_stub(struct sock *sk, u32 first, u32 last)
{
	return first == 0x80000000U && last == U32_MAX ? -EEXIST : 0;
}

/* There is no free channel. */
static void no_channel_test(struct kunit *test)
{
	struct sock *sk = myproto_test_socket(test, SOCK_STREAM);

	kunit_activate_static_stub(test, myproto_channel_insert_any,
				   insert_any_stub);
	KUNIT_EXPECT_EQ(test, -EADDRINUSE, bind_to(sk, MYPROTO_CHANNEL_ANY));
}

static void set_max_elems(void *max_elems)
{
	WRITE_ONCE(myproto_table.max_elems, (unsigned long)max_elems);
}

/* There are free channels, but the table is full. */
static void table_full_test(struct kunit *test)
{
	struct sock *sk = myproto_test_socket(test, SOCK_STREAM);
	struct sock *other = myproto_test_socket(test, SOCK_STREAM);
	unsigned long old = myproto_table.max_elems;

	KUNIT_ASSERT_EQ(test, 0, bind_to(sk, CHANNEL));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, set_max_elems,
						  (void *)old));
	set_max_elems((void *)1);
	KUNIT_EXPECT_EQ(test, -EADDRINUSE, bind_to(other, CHANNEL + 1));
	KUNIT_EXPECT_EQ(test, -EADDRINUSE, bind_to(other, CHANNEL));
	KUNIT_EXPECT_EQ(test, -EADDRINUSE,
			bind_to(other, MYPROTO_CHANNEL_ANY));
	expect_unbound(test, other);
	KUNIT_EXPECT_PTR_EQ(test, sk, find(test, CHANNEL));

	set_max_elems((void *)old);
	KUNIT_EXPECT_EQ(test, 0, bind_to(other, CHANNEL + 1));
}

/* Returns the table for inserts: the newest one during a rehash. */
static struct bucket_table *newest_table(void)
{
	struct rhashtable *ht = &myproto_table;
	struct bucket_table *tbl = rht_dereference(ht->tbl, ht), *next;

	while ((next = rht_dereference(tbl->future_tbl, ht)))
		tbl = next;
	return tbl;
}

/* Returns the first channel that is in bucket 0 of @tbl, @channel or later. */
static u32 next_collision(const struct bucket_table *tbl, const struct net *net,
			  u32 channel)
{
	struct myproto_key key = { .net = net, .channel = channel };

	while (rht_key_hashfn(&myproto_table, tbl, &key, myproto_table.p))
		key.channel++;
	return key.channel;
}

/* Insert channels that collide. This starts a rehash, and then an insert fails
 * with -EBUSY. Return the channel of this insert, or 0 if there was none.
 */
static u32 make_busy(const struct myproto_test *t, int entries)
{
	u32 channel = CHANNEL;
	struct sock *sk;
	int i, err;

	for (i = 0; i < entries; i++) {
		channel = next_collision(newest_table(), t->net[0],
					 channel + 1);
		sk = t->entry[i];
		myproto_bound(sk)->channel = channel;
		err = myproto_table_insert(sk);
		if (!err)
			continue;
		myproto_bound(sk)->channel = 0;
		return err == -EBUSY ? channel : 0;
	}
	return 0;
}

struct binder {
	struct sock *sk;
	u32 channel;
	int err;
	struct completion started;
	struct completion done;
};

static int binder_thread(void *data)
{
	struct binder *b = data;

	allow_signal(SIGKILL);
	complete(&b->started);
	if (b->channel)
		b->err = myproto_channel_insert_any(b->sk, b->channel,
						    b->channel);
	complete(&b->done);
	return 0;
}

static const struct busy_case {
	const char *name;
	bool kill;
} busy_cases[] = {
	{ "wait", false },
	{ "killed", true },
};

KUNIT_ARRAY_PARAM_DESC(busy, busy_cases, name);

/* An insert waits until the rehash of the table has ended, or until the task is
 * killed.
 */
static void busy_test(struct kunit *test)
{
	const struct busy_case *c = test->param_value;
	struct myproto_test *t = test->priv;
	struct binder b = { .err = 1 };
	struct task_struct *task;
	bool done = false;
	int i;

	for (i = 0; i < MYPROTO_TEST_ENTRIES - 1; i++)
		myproto_test_entry(test, t->net[0]);
	b.sk = myproto_test_entry(test, t->net[0]);
	init_completion(&b.started);
	init_completion(&b.done);
	task = kthread_create(binder_thread, &b, "myproto_kunit");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	get_task_struct(task);

	/* A rehash cannot complete without this mutex. */
	mutex_lock(&myproto_table.mutex);
	b.channel = make_busy(t, i);
	wake_up_process(task);
	if (b.channel) {
		wait_for_completion(&b.started);
		if (c->kill)
			send_sig(SIGKILL, task, 1);
		done = wait_for_completion_timeout(&b.done, c->kill ? GIVE_UP :
							    HZ / 10);
	}
	mutex_unlock(&myproto_table.mutex);

	if (!done)
		wait_for_completion(&b.done);
	kthread_stop_put(task);
	KUNIT_ASSERT_NE(test, b.channel, 0);
	KUNIT_EXPECT_EQ(test, done, c->kill);
	KUNIT_EXPECT_EQ(test, b.err, c->kill ? -EINTR : 0);
	KUNIT_EXPECT_EQ(test, myproto_channel(b.sk), c->kill ? 0 : b.channel);
	KUNIT_EXPECT_EQ(test, myproto_bound(b.sk)->channel,
			c->kill ? 0 : b.channel);
}

static struct kunit_case channel_cases[] = {
	KUNIT_CASE(addr_length_test),
	KUNIT_CASE(addr_family_test),
	KUNIT_CASE(addr_pad_test),
	KUNIT_CASE(addr_tail_test),
	KUNIT_CASE(collision_test),
	KUNIT_CASE(unfinished_test),
	KUNIT_CASE(namespace_test),
	KUNIT_CASE_PARAM(range_exhausted_test, range_gen_params),
	KUNIT_CASE_PARAM(range_wraps_test, range_gen_params),
	KUNIT_CASE_PARAM(range_killed_test, range_gen_params),
	KUNIT_CASE_PARAM(insert_error_test, insert_gen_params),
	KUNIT_CASE(no_channel_test),
	KUNIT_CASE(table_full_test),
	KUNIT_CASE_PARAM(busy_test, busy_gen_params),
	{}
};

static struct kunit_suite channel_suite = {
	.name		= "myproto_channel",
	.init		= myproto_test_init,
	.exit		= myproto_test_exit,
	.test_cases	= channel_cases,
};

kunit_test_suite(channel_suite);
