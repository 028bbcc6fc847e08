// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: KUnit tests of reads, of the charge, and of poll() conditions */

#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/net.h>
#include <linux/poll.h>
#include <linux/sizes.h>
#include <linux/skbuff.h>
#include <linux/socket.h>
#include <kunit/test.h>
#include <net/sock.h>

#include "../myproto.h"
#include "tests.h"

/* Limits of the code: space in the socket itself, maximum that is copied under
 * the queue lock, maximum of a stream and of a message without an skb, and
 * maximum in one skb of a stream
 */
#define INLINE		((int)MYPROTO_SMALL_INLINE)
#define LOCKED		MYPROTO_SMALL_LOCKED
#define SMALL		((int)MYPROTO_SMALL_MAX)
#define MESSAGE		((int)MYPROTO_SMALL_MESSAGE)
#define PIECE		65536

/* The largest skb without pages: its head fills the memory from kmalloc(). */
#define LINEAR		((int)SKB_WITH_OVERHEAD(MAX(SZ_8K, PAGE_SIZE)))

/* More than any case below sends */
#define ALL		(3 * PIECE)

#define STEPS		6

/* Returns the memory of an skb: the struct, the head and the pages. */
static int memory_of(const struct sk_buff *skb)
{
	int i, sum = SKB_TRUESIZE(skb_end_offset(skb));

	for (i = 0; i < skb_shinfo(skb)->nr_frags; i++)
		sum += page_size(skb_frag_page(&skb_shinfo(skb)->frags[i]));
	return sum;
}

static int memory_of_queue(const struct sk_buff_head *queue)
{
	const struct sk_buff *skb;
	int sum = 0;

	skb_queue_walk(queue, skb)
		sum += memory_of(skb);
	return sum;
}

static int unread(const struct kunit *test)
{
	const struct myproto_test *t = test->priv;

	return t->sent - t->received;
}

/* Returns the charge of unread data in small buffers. */
static int charge_of_small(const struct sock *sk)
{
	const struct myproto_small *buf = myproto_sk(sk)->small_head;
	int sum = 0;

	for (; buf; buf = buf->next)
		sum += buf->in - buf->out + buf->slack;
	return sum;
}

/* Returns the memory of small buffers, without the one in the socket. */
static int memory_of_small(const struct sock *sk)
{
	const struct myproto_small *buf = myproto_sk(sk)->small_head;
	int sum = 0;

	for (; buf; buf = buf->next)
		sum += buf->size;
	return sum;
}

/* The charge is the memory of all skbs plus the charge of small buffers. It is
 * not less than the number of unread bytes.
 */
static void expect_charge(struct kunit *test, const struct sock *sk)
{
	int charge = sk_rmem_alloc_get(sk);

	KUNIT_EXPECT_EQ(test, charge, memory_of_queue(&sk->sk_receive_queue) +
				      memory_of_queue(&sk->sk_write_queue) +
				      charge_of_small(sk));
	KUNIT_EXPECT_GE(test, charge, unread(test));
	KUNIT_EXPECT_EQ(test, myproto_inq(sk), unread(test));
}

static void expect_empty(struct kunit *test, const struct sock *sk)
{
	KUNIT_EXPECT_EQ(test, unread(test), 0);
	KUNIT_EXPECT_EQ(test, myproto_inq(sk), 0);
	KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), 0);
	KUNIT_EXPECT_EQ(test, -EAGAIN, myproto_test_recv(test, 1, 0));
}

/* Returns the poll() events of socket @i of the pair. */
static __poll_t poll_of(const struct kunit *test, int i)
{
	const struct myproto_test *t = test->priv;

	return t->sock[i]->ops->poll(NULL, t->sock[i], NULL);
}

static bool writable(const struct kunit *test)
{
	return poll_of(test, 0) & EPOLLOUT;
}

static bool readable(const struct kunit *test)
{
	return poll_of(test, 1) & EPOLLIN;
}

/* Steps: send this number of bytes, or read them if it is negative. */
static const struct stream_case {
	const char *name;
	int step[STEPS];
} stream_cases[] = {
	{ "one_byte", { 1 } },
	{ "inline", { INLINE } },
	{ "inline_and_one", { INLINE + 1 } },
	{ "inline_in_two", { INLINE - 1, 1 } },
	{ "inline_too_full", { INLINE - 1, 2 } },
	{ "inline_full", { INLINE, 1 } },
	{ "inline_not_again", { INLINE, -10, 10 } },
	{ "inline_empty_again", { 40, -40, INLINE } },
	{ "inline_buffer", { 10, 300, 10 } },
	{ "buffer_full", { 300, 180, 20 } },
	{ "buffer_after_part_read", { 300, -100, 300 } },
	{ "buffers", { 1000, 3000, 2000, -3500, 500 } },
	{ "locked", { LOCKED, LOCKED } },
	{ "locked_and_one", { LOCKED + 1, LOCKED + 1 } },
	{ "small", { SMALL, SMALL } },
	{ "small_and_one", { SMALL + 1 } },
	{ "small_after_skb", { SMALL + 1, 10 } },
	{ "skb_after_small", { 10, SMALL + 1, -100, 10, 5 } },
	{ "small_skb_read_small", { 10, SMALL + 1, -(SMALL + 11), 10 } },
	{ "piece", { PIECE } },
	{ "piece_and_one", { PIECE + 1 } },
	{ "two_pieces", { 2 * PIECE } },
	{ "one_piece_each", { PIECE - 1, PIECE, 1 } },
	{ "part_of_piece", { PIECE + 10, -1000, 100, -60000, 7 } },
};

KUNIT_ARRAY_PARAM_DESC(stream, stream_cases, name);

static void do_steps(struct kunit *test, const struct sock *sk)
{
	const struct stream_case *c = test->param_value;
	int i, ret;

	for (i = 0; i < STEPS && c->step[i]; i++) {
		if (c->step[i] > 0)
			ret = myproto_test_send(test, c->step[i]);
		else
			ret = -myproto_test_recv(test, -c->step[i], 0);
		KUNIT_ASSERT_EQ(test, ret, c->step[i]);
		expect_charge(test, sk);
	}
}

/* Read all data at once. A peek returns the same bytes before. */
static void stream_read_test(struct kunit *test)
{
	struct sock *sk = myproto_test_pair(test, SOCK_STREAM);
	int left;

	do_steps(test, sk);
	left = unread(test);
	KUNIT_EXPECT_EQ(test, left, myproto_test_recv(test, ALL, MSG_PEEK));
	expect_charge(test, sk);
	KUNIT_EXPECT_EQ(test, left, myproto_test_recv(test, ALL, 0));
	expect_empty(test, sk);
}

/* Read a few bytes at a time, more each time, so that reads do not end at the
 * end of a buffer or skb.
 */
static void stream_read_parts_test(struct kunit *test)
{
	struct sock *sk = myproto_test_pair(test, SOCK_STREAM);
	int len, left, charge;

	do_steps(test, sk);
	for (len = 3; (left = unread(test)); len += 4) {
		charge = sk_rmem_alloc_get(sk);
		KUNIT_ASSERT_EQ(test, myproto_test_recv(test, len, 0),
				min(len, left));
		expect_charge(test, sk);
		KUNIT_ASSERT_LE(test, sk_rmem_alloc_get(sk), charge);
	}
	expect_empty(test, sk);
}

/* Peek, send and read in turn. */
static void stream_peek_parts_test(struct kunit *test)
{
	struct sock *sk = myproto_test_pair(test, SOCK_STREAM);
	int i;

	do_steps(test, sk);
	for (i = 1; i <= 20; i++) {
		KUNIT_ASSERT_EQ(test, myproto_test_recv(test, 30 * i, MSG_PEEK),
				min(30 * i, unread(test)));
		expect_charge(test, sk);
		KUNIT_ASSERT_EQ(test, i, myproto_test_send(test, i));
		KUNIT_ASSERT_EQ(test, 1, myproto_test_recv(test, 1, 0));
		expect_charge(test, sk);
	}
	i = unread(test);
	KUNIT_EXPECT_EQ(test, i, myproto_test_recv(test, ALL, 0));
	expect_empty(test, sk);
}

/* Send each length that fits in the socket, and read it in two parts. */
static void stream_inline_test(struct kunit *test)
{
	struct sock *sk = myproto_test_pair(test, SOCK_STREAM);
	int len, part, rest;

	for (len = 1; len <= INLINE; len++) {
		part = len / 2;
		/* Together with @len one byte more than fits */
		rest = INLINE + 1 - len;
		KUNIT_ASSERT_EQ(test, len, myproto_test_send(test, len));
		KUNIT_ASSERT_EQ(test, part, myproto_test_recv(test, part, 0));
		KUNIT_ASSERT_EQ(test, myproto_inq(sk), len - part);
		KUNIT_ASSERT_EQ(test, rest, myproto_test_send(test, rest));
		KUNIT_ASSERT_EQ(test, INLINE + 1 - part,
				myproto_test_recv(test, ALL, 0));
	}
	expect_empty(test, sk);
}

/* Peek at data in the socket itself, again and again. */
static void stream_inline_peek_test(struct kunit *test)
{
	struct sock *sk = myproto_test_pair(test, SOCK_STREAM);
	int i;

	for (i = 0; i < 3; i++) {
		KUNIT_ASSERT_EQ(test, INLINE, myproto_test_send(test, INLINE));
		KUNIT_ASSERT_EQ(test, INLINE,
				myproto_test_recv(test, ALL, MSG_PEEK));
		expect_charge(test, sk);
		KUNIT_ASSERT_EQ(test, INLINE, myproto_test_recv(test, ALL, 0));
		KUNIT_ASSERT_EQ(test, 1, myproto_test_send(test, 1));
		KUNIT_ASSERT_EQ(test, 1, myproto_test_recv(test, 1, 0));
	}
	expect_empty(test, sk);
}

/* Send @len bytes at a time to a stream until its buffer is full. */
static const struct small_case {
	const char *name;
	int len;
	int rcvbuf;
} small_cases[] = {
	{ "one_byte", 1, SZ_64K },
	{ "inline", INLINE, SZ_64K },
	{ "inline_and_one", INLINE + 1, SZ_64K },
	{ "locked", LOCKED, SZ_64K },
	{ "one_byte_small_rcvbuf", 1, SZ_4K },
	{ "locked_small_rcvbuf", LOCKED, SZ_4K },
};

KUNIT_ARRAY_PARAM_DESC(small, small_cases, name);

/* Small writes share buffers: a full receive buffer has data for at least a
 * quarter of SO_RCVBUF. With an skb for each, one byte would cost several
 * hundred.
 */
static void stream_small_test(struct kunit *test)
{
	struct sock *sk = myproto_test_pair(test, SOCK_STREAM);
	const struct small_case *c = test->param_value;
	int ret;

	sk->sk_rcvbuf = c->rcvbuf;
	while ((ret = myproto_test_send(test, c->len)) == c->len)
		KUNIT_ASSERT_LT(test, unread(test), 2 * c->rcvbuf);
	KUNIT_EXPECT_EQ(test, -EAGAIN, ret);
	KUNIT_EXPECT_GE(test, sk_rmem_alloc_get(sk), c->rcvbuf);
	KUNIT_EXPECT_GE(test, unread(test), c->rcvbuf / 4);
	expect_charge(test, sk);

	ret = unread(test);
	KUNIT_EXPECT_EQ(test, ret, myproto_test_recv(test, ALL, 0));
	expect_empty(test, sk);
}

struct type {
	const char *name;
	int type;
};

static const struct type types[] = {
	{ "stream", SOCK_STREAM },
	{ "seqpacket", SOCK_SEQPACKET },
	{ "dgram", SOCK_DGRAM },
};

static const struct type message_types[] = {
	{ "seqpacket", SOCK_SEQPACKET },
	{ "dgram", SOCK_DGRAM },
};

KUNIT_ARRAY_PARAM_DESC(type, types, name);
KUNIT_ARRAY_PARAM_DESC(message, message_types, name);

/* The charge is less than twice the length plus two pages. It is not less than
 * the length, and not less than the memory of buffers that are not shared.
 */
static void charge_test(struct kunit *test)
{
	static const int lens[] = {
		INLINE + 1, SZ_1K, LOCKED + 1, SZ_4K, LINEAR - 1, LINEAR,
		LINEAR + 1, SMALL, SMALL + 1, SZ_16K, MESSAGE, MESSAGE + 1,
		SZ_32K, SZ_32K + 1, PIECE - 1, PIECE,
	};
	const struct type *type = test->param_value;
	struct sock *sk = myproto_test_pair(test, type->type);
	int i;

	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		KUNIT_ASSERT_EQ(test, lens[i],
				myproto_test_send(test, lens[i]));
		KUNIT_EXPECT_GE(test, sk_rmem_alloc_get(sk), lens[i]);
		KUNIT_EXPECT_LT(test, sk_rmem_alloc_get(sk),
				2 * (lens[i] + (int)PAGE_SIZE));
		if (lens[i] > LOCKED)
			KUNIT_EXPECT_GE(test, sk_rmem_alloc_get(sk),
					memory_of_small(sk));
		expect_charge(test, sk);
		KUNIT_ASSERT_EQ(test, lens[i],
				myproto_test_recv(test, ALL, 0));
		expect_empty(test, sk);
	}
}

/* Send @count writes of 1000 bytes to a stream, and set SO_RCVBUF so that they
 * fill it. Return the charge of each write.
 */
static int fill_stream(struct kunit *test, struct sock *sk, int count)
{
	int i, charge;

	KUNIT_ASSERT_EQ(test, 1000, myproto_test_send(test, 1000));
	charge = sk_rmem_alloc_get(sk);
	sk->sk_rcvbuf = count * charge;
	for (i = 2; i <= count; i++) {
		KUNIT_ASSERT_EQ(test, 1000, myproto_test_send(test, 1000));
		KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), i * charge);
	}
	return charge;
}

/* A stream accepts data while there is any space. But it is writable only when
 * exactly half of the buffer or more is free.
 */
static void stream_limit_test(struct kunit *test)
{
	struct sock *sk = myproto_test_pair(test, SOCK_STREAM);
	int charge;

	KUNIT_EXPECT_TRUE(test, writable(test));
	charge = fill_stream(test, sk, 4);
	KUNIT_EXPECT_EQ(test, -EAGAIN, myproto_test_send(test, 1000));
	KUNIT_EXPECT_EQ(test, -EAGAIN, myproto_test_send(test, 1));
	KUNIT_EXPECT_FALSE(test, writable(test));
	sk->sk_rcvbuf++;
	KUNIT_EXPECT_FALSE(test, writable(test));
	KUNIT_EXPECT_EQ(test, 1000, myproto_test_send(test, 1000));
	KUNIT_EXPECT_EQ(test, -EAGAIN, myproto_test_send(test, 1));
	sk->sk_rcvbuf--;

	/* Reads free space. */
	KUNIT_EXPECT_EQ(test, 1999, myproto_test_recv(test, 1999, 0));
	KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), 5 * charge - 1999);
	KUNIT_EXPECT_EQ(test, 1, myproto_test_recv(test, 1, 0));
	KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), 3 * charge);
	KUNIT_EXPECT_FALSE(test, writable(test));
	KUNIT_EXPECT_EQ(test, 1000, myproto_test_recv(test, 1000, 0));
	KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), 2 * charge);
	KUNIT_EXPECT_TRUE(test, writable(test));
	sk->sk_rcvbuf -= 2;
	KUNIT_EXPECT_FALSE(test, writable(test));
	sk->sk_rcvbuf += 2;

	KUNIT_EXPECT_EQ(test, 1000, myproto_test_send(test, 1000));
	KUNIT_EXPECT_FALSE(test, writable(test));
	KUNIT_EXPECT_EQ(test, 1000, myproto_test_send(test, 1000));
	KUNIT_EXPECT_EQ(test, -EAGAIN, myproto_test_send(test, 1000));
	expect_charge(test, sk);
	KUNIT_EXPECT_EQ(test, 4000, myproto_test_recv(test, ALL, 0));
	KUNIT_EXPECT_TRUE(test, writable(test));
	expect_empty(test, sk);
}

/* A stream with less data than SO_RCVLOWAT is readable only when its sender has
 * to wait, so that reader and sender never wait for each other.
 */
static void stream_lowat_test(struct kunit *test)
{
	struct sock *sk = myproto_test_pair(test, SOCK_STREAM);
	int i, charge, rcvbuf;

	lock_sock(sk);
	KUNIT_EXPECT_EQ(test, 0,
			sk->sk_socket->ops->set_rcvlowat(sk, 5000));
	release_sock(sk);
	KUNIT_EXPECT_FALSE(test, readable(test));
	charge = fill_stream(test, sk, 4);
	KUNIT_EXPECT_TRUE(test, readable(test));

	rcvbuf = 8 * charge;
	for (i = -4; i <= 4; i += 2) {
		sk->sk_rcvbuf = rcvbuf + i;
		KUNIT_EXPECT_EQ_MSG(test, readable(test), i < 0, "%d", i);
		KUNIT_EXPECT_EQ_MSG(test, writable(test), i >= 0, "%d", i);
	}
	KUNIT_EXPECT_EQ(test, 999, myproto_test_send(test, 999));
	sk->sk_rcvbuf = 4 * rcvbuf;
	KUNIT_EXPECT_FALSE(test, readable(test));
	KUNIT_EXPECT_EQ(test, 1, myproto_test_send(test, 1));
	KUNIT_EXPECT_TRUE(test, readable(test));

	/* Without data it is not readable, however small the buffer. */
	KUNIT_EXPECT_EQ(test, 5000, myproto_test_recv(test, ALL, 0));
	sk->sk_rcvbuf = 0;
	KUNIT_EXPECT_FALSE(test, readable(test));
	expect_empty(test, sk);
}

/* A receiver accepts a message while there is any space. */
static void message_limit_test(struct kunit *test)
{
	const struct type *type = test->param_value;
	struct sock *sk = myproto_test_pair(test, type->type);
	int charge;

	KUNIT_ASSERT_EQ(test, 1000, myproto_test_send(test, 1000));
	charge = sk_rmem_alloc_get(sk);
	KUNIT_ASSERT_EQ(test, 1000, myproto_test_send(test, 1000));
	KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), 2 * charge);

	sk->sk_rcvbuf = 2 * charge;
	KUNIT_EXPECT_EQ(test, -EAGAIN, myproto_test_send(test, 1000));
	KUNIT_EXPECT_EQ(test, -EAGAIN, myproto_test_send(test, 0));
	KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), 2 * charge);
	KUNIT_EXPECT_FALSE(test, writable(test));
	sk->sk_rcvbuf = 2 * charge + 1;
	KUNIT_EXPECT_TRUE(test, writable(test));
	KUNIT_EXPECT_EQ(test, 1000, myproto_test_send(test, 1000));
	KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), 3 * charge);
	KUNIT_EXPECT_EQ(test, -EAGAIN, myproto_test_send(test, 0));

	KUNIT_EXPECT_EQ(test, 1000, myproto_test_recv(test, 1000, 0));
	KUNIT_EXPECT_EQ(test, 1000, myproto_test_send(test, 1000));
	KUNIT_EXPECT_EQ(test, -EAGAIN, myproto_test_send(test, 0));
	KUNIT_EXPECT_EQ(test, myproto_inq(sk), 3000);
	KUNIT_EXPECT_EQ(test, 1000, myproto_test_recv(test, 1000, 0));
	KUNIT_EXPECT_EQ(test, 1000, myproto_test_recv(test, 1000, 0));
	KUNIT_EXPECT_EQ(test, 1000, myproto_test_recv(test, 1000, 0));
	expect_empty(test, sk);
}

/* Empty messages are received, and are charged. */
static void message_empty_test(struct kunit *test)
{
	const struct type *type = test->param_value;
	struct sock *sk = myproto_test_pair(test, type->type);
	int charge;

	KUNIT_ASSERT_EQ(test, 0, myproto_test_send(test, 0));
	charge = sk_rmem_alloc_get(sk);
	KUNIT_EXPECT_GT(test, charge, 0);
	KUNIT_ASSERT_EQ(test, 7, myproto_test_send(test, 7));
	KUNIT_ASSERT_EQ(test, 0, myproto_test_send(test, 0));
	KUNIT_EXPECT_GE(test, sk_rmem_alloc_get(sk), 3 * charge);
	expect_charge(test, sk);

	KUNIT_EXPECT_EQ(test, 0, myproto_test_recv(test, 10, 0));
	KUNIT_EXPECT_EQ(test, 7, myproto_test_recv(test, 10, 0));
	KUNIT_EXPECT_EQ(test, myproto_inq(sk), 0);
	KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), charge);
	KUNIT_EXPECT_TRUE(test, readable(test));
	KUNIT_EXPECT_EQ(test, 0, myproto_test_recv(test, 10, 0));
	expect_empty(test, sk);
}

/* After a read that truncates a message, all of it is uncharged. */
static void message_cut_test(struct kunit *test)
{
	const struct type *type = test->param_value;
	struct sock *sk = myproto_test_pair(test, type->type);
	struct myproto_test *t = test->priv;

	KUNIT_ASSERT_EQ(test, 20000, myproto_test_send(test, 20000));
	KUNIT_ASSERT_EQ(test, 10, myproto_test_send(test, 10));
	KUNIT_EXPECT_EQ(test, 3, myproto_test_recv(test, 3, MSG_PEEK));
	KUNIT_EXPECT_EQ(test, myproto_inq(sk), 20010);
	KUNIT_EXPECT_EQ(test, 3, myproto_test_recv(test, 3, 0));
	t->received = 20000;
	expect_charge(test, sk);
	KUNIT_EXPECT_EQ(test, 10, myproto_test_recv(test, 20000, 0));
	expect_empty(test, sk);
}

/* The limit of a message that does not depend on the buffers */
static void message_longest_test(struct kunit *test)
{
	const struct type *type = test->param_value;
	struct sock *sk = myproto_test_pair(test, type->type);

	KUNIT_EXPECT_EQ(test, -EMSGSIZE,
			myproto_test_send(test, SZ_512K + 1));
	KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), 0);
	KUNIT_ASSERT_EQ(test, SZ_512K, myproto_test_send(test, SZ_512K));
	expect_charge(test, sk);
	KUNIT_EXPECT_EQ(test, SZ_512K, myproto_test_recv(test, SZ_512K, 0));
	expect_empty(test, sk);
}

/* close() of the receiver frees and uncharges unread data. */
static void close_unread_test(struct kunit *test)
{
	const struct type *type = test->param_value;
	struct sock *sk = myproto_test_pair(test, type->type);

	KUNIT_ASSERT_EQ(test, 10, myproto_test_send(test, 10));
	KUNIT_ASSERT_EQ(test, 300, myproto_test_send(test, 300));
	KUNIT_ASSERT_EQ(test, 5, myproto_test_recv(test, 5, 0));
	KUNIT_ASSERT_EQ(test, PIECE, myproto_test_send(test, PIECE));
	KUNIT_EXPECT_GT(test, sk_rmem_alloc_get(sk), PIECE);
	myproto_test_close(test, sk);
	KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), 0);
	KUNIT_EXPECT_EQ(test, myproto_inq(sk), 0);
}

/* A send that is refused changes nothing. */
static void refused_test(struct kunit *test)
{
	static const int lens[] = {
		1, 1000, LOCKED + 1, SMALL + 1, MESSAGE + 1, PIECE + 1,
	};
	const struct type *type = test->param_value;
	struct sock *sk = myproto_test_pair(test, type->type);
	int i;

	WRITE_ONCE(sk->sk_shutdown, RCV_SHUTDOWN);
	for (i = 0; i < ARRAY_SIZE(lens); i++)
		KUNIT_EXPECT_EQ(test, -EPIPE, myproto_test_send(test, lens[i]));
	KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), 0);
}

static struct kunit_case data_cases[] = {
	KUNIT_CASE_PARAM(stream_read_test, stream_gen_params),
	KUNIT_CASE_PARAM(stream_read_parts_test, stream_gen_params),
	KUNIT_CASE_PARAM(stream_peek_parts_test, stream_gen_params),
	KUNIT_CASE(stream_inline_test),
	KUNIT_CASE(stream_inline_peek_test),
	KUNIT_CASE_PARAM(stream_small_test, small_gen_params),
	KUNIT_CASE_PARAM(charge_test, type_gen_params),
	KUNIT_CASE(stream_limit_test),
	KUNIT_CASE(stream_lowat_test),
	KUNIT_CASE_PARAM(message_limit_test, message_gen_params),
	KUNIT_CASE_PARAM(message_empty_test, message_gen_params),
	KUNIT_CASE_PARAM(message_cut_test, message_gen_params),
	KUNIT_CASE_PARAM(message_longest_test, message_gen_params),
	KUNIT_CASE_PARAM(refused_test, type_gen_params),
	KUNIT_CASE_PARAM(close_unread_test, type_gen_params),
	{}
};

static struct kunit_suite data_suite = {
	.name		= "myproto_data",
	.init		= myproto_test_init,
	.exit		= myproto_test_exit,
	.test_cases	= data_cases,
};

kunit_test_suite(data_suite);
