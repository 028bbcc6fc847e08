// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: KUnit tests of where data is until it is read, and its charge */

#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/sizes.h>
#include <linux/skbuff.h>
#include <linux/socket.h>
#include <kunit/test.h>
#include <net/sock.h>

#include "../myproto.h"
#include "tests.h"

/* What is documented of a stream: up to how many bytes go to the line, or to
 * the end of an skb, and how many an skb has at most
 */
#define LINE		64
#define SMALL		256
#define PIECE		65536

/* The largest skb without pages, which fills what kmalloc() gives it */
#define LINEAR		((int)SKB_WITH_OVERHEAD(MAX(SZ_8K, PAGE_SIZE)))

/* More than any case below sends */
#define ALL		(3 * PIECE)

#define STEPS		6
#define SKBS		3

static int line_len(const struct sock *sk)
{
	const struct myproto_sock *msk = myproto_sk(sk);

	return (u8)(msk->line_in - msk->line_out);
}

/* What a charge has to cover: an skb, its head and its pages */
static int memory_of(const struct sk_buff *skb)
{
	int i, sum = SKB_TRUESIZE(skb_end_offset(skb));

	for (i = 0; i < skb_shinfo(skb)->nr_frags; i++)
		sum += page_size(skb_frag_page(&skb_shinfo(skb)->frags[i]));
	return sum;
}

static void expect_charge(struct kunit *test, const struct sock *sk)
{
	const struct sk_buff *skb;
	int sum = 0;

	skb_queue_walk(&sk->sk_receive_queue, skb) {
		KUNIT_EXPECT_EQ(test, skb->truesize, memory_of(skb));
		sum += skb->truesize;
	}
	skb_queue_walk(&sk->sk_write_queue, skb)
		sum += skb->truesize;
	KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), sum);
}

static void expect_empty(struct kunit *test, const struct sock *sk)
{
	const struct myproto_test *t = test->priv;

	KUNIT_EXPECT_EQ(test, t->sent, t->received);
	KUNIT_EXPECT_EQ(test, myproto_inq(sk), 0);
	KUNIT_EXPECT_EQ(test, line_len(sk), 0);
	KUNIT_EXPECT_TRUE(test, skb_queue_empty(&sk->sk_receive_queue));
	KUNIT_EXPECT_TRUE(test, skb_queue_empty(&sk->sk_write_queue));
	KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), 0);
	KUNIT_EXPECT_EQ(test, -EAGAIN, myproto_test_recv(test, 1, 0));
}

static void expect_lengths(struct kunit *test, const struct sk_buff_head *queue,
			   const int want[SKBS])
{
	const struct sk_buff *skb;
	int i = 0;

	skb_queue_walk(queue, skb) {
		KUNIT_ASSERT_LT(test, i, SKBS);
		KUNIT_EXPECT_EQ_MSG(test, skb->len, want[i], "skb %d", i);
		i++;
	}
	if (i < SKBS)
		KUNIT_EXPECT_EQ_MSG(test, want[i], 0, "no skb %d", i);
}

/* What is sent to a stream (what is read of it meanwhile, if negative), and
 * where it is then, from the oldest to the newest: skbs that a reader has taken
 * over, the line, and skbs that it has not.
 */
static const struct stream_case {
	const char *name;
	int step[STEPS];
	int taken[SKBS];
	int line;
	int queue[SKBS];
} stream_cases[] = {
	{ "one_byte", { 1 }, .line = 1 },
	{ "line", { LINE }, .line = LINE },
	{ "line_and_one", { LINE + 1 }, .queue = { LINE + 1 } },
	{ "line_in_two", { LINE - 1, 1 }, .line = LINE },
	{ "line_has_no_room", { LINE - 1, 2 }, .line = LINE - 1,
	  .queue = { 2 } },
	{ "line_is_full", { LINE, 1 }, .line = LINE, .queue = { 1 } },
	{ "line_has_room_again", { LINE, -10, 10 }, .line = LINE },
	{ "line_room_too_small", { LINE, -10, 11 }, .line = LINE - 10,
	  .queue = { 11 } },
	{ "line_wraps", { 40, -40, LINE }, .line = LINE },
	{ "line_wraps_part", { 40, -20, LINE - 20 }, .line = LINE },
	{ "line_wraps_no_room", { 40, -20, LINE - 19 }, .line = 20,
	  .queue = { LINE - 19 } },
	{ "no_line_after_skb", { LINE + 1, 1 }, .queue = { LINE + 2 } },
	{ "line_then_skb", { 10, 300, 10 }, .line = 10, .queue = { 310 } },
	{ "line_after_read", { 300, -300, 10 }, .line = 10 },
	{ "line_after_part_read", { 300, -100, 10 }, .taken = { 300 },
	  .line = 10 },
	{ "taken_line_skb", { 300, -100, 10, 300, 5 }, .taken = { 300 },
	  .line = 10, .queue = { 305 } },
	{ "taken_skb", { 300, -100, 300 }, .taken = { 300 },
	  .queue = { 300 } },
	{ "small_into_skb", { LINEAR / 2, SMALL },
	  .queue = { LINEAR / 2 + SMALL } },
	{ "piece", { PIECE }, .queue = { PIECE } },
	{ "piece_and_one", { PIECE + 1 }, .queue = { PIECE, 1 } },
	{ "two_pieces", { 2 * PIECE }, .queue = { PIECE, PIECE } },
	{ "one_piece_each", { PIECE - 1, PIECE, 1 },
	  .queue = { PIECE - 1, PIECE, 1 } },
};

KUNIT_ARRAY_PARAM_DESC(stream, stream_cases, name);

static void stream_place_test(struct kunit *test)
{
	const struct stream_case *c = test->param_value;
	struct sock *sk = myproto_test_pair(test, SOCK_STREAM);
	struct myproto_test *t = test->priv;
	int i, ret;

	for (i = 0; i < STEPS && c->step[i]; i++) {
		if (c->step[i] > 0)
			ret = myproto_test_send(test, c->step[i]);
		else
			ret = -myproto_test_recv(test, -c->step[i], 0);
		KUNIT_ASSERT_EQ(test, ret, c->step[i]);
	}

	expect_lengths(test, &sk->sk_write_queue, c->taken);
	KUNIT_EXPECT_EQ(test, line_len(sk), c->line);
	expect_lengths(test, &sk->sk_receive_queue, c->queue);
	KUNIT_EXPECT_EQ(test, myproto_inq(sk), t->sent - t->received);
	expect_charge(test, sk);

	/* All of it at once, then nothing. A peek comes to the same bytes. */
	ret = t->sent - t->received;
	KUNIT_EXPECT_EQ(test, ret, myproto_test_recv(test, ALL, MSG_PEEK));
	expect_charge(test, sk);
	KUNIT_EXPECT_EQ(test, ret, myproto_test_recv(test, ALL, 0));
	expect_empty(test, sk);
}

static void stream_pieces_read_test(struct kunit *test)
{
	const struct stream_case *c = test->param_value;
	struct sock *sk = myproto_test_pair(test, SOCK_STREAM);
	struct myproto_test *t = test->priv;
	int i, left, len;

	for (i = 0; i < STEPS && c->step[i]; i++) {
		if (c->step[i] > 0)
			myproto_test_send(test, c->step[i]);
		else
			myproto_test_recv(test, -c->step[i], 0);
	}

	/* By few bytes at first, which do not end where anything else does */
	for (len = 3; (left = t->sent - t->received); len += 4) {
		KUNIT_ASSERT_EQ(test, myproto_test_recv(test, len, 0),
				min(len, left));
		KUNIT_ASSERT_EQ(test, myproto_inq(sk), t->sent - t->received);
		expect_charge(test, sk);
	}
	expect_empty(test, sk);
}

/* Move where the line begins by @len bytes. */
static void line_move(struct kunit *test, int len)
{
	KUNIT_ASSERT_EQ(test, len, myproto_test_send(test, len));
	KUNIT_ASSERT_EQ(test, len, myproto_test_recv(test, len, 0));
}

/* Every length from every place, also past where the counters wrap */
static void line_wrap_test(struct kunit *test)
{
	struct sock *sk = myproto_test_pair(test, SOCK_STREAM);
	int start, len, part;

	for (len = 1; len <= LINE; len++) {
		part = len / 2;
		for (start = 0; start < LINE; start++) {
			KUNIT_ASSERT_EQ(test, len,
					myproto_test_send(test, len));
			KUNIT_ASSERT_EQ(test, line_len(sk), len);
			KUNIT_ASSERT_EQ(test, part,
					myproto_test_recv(test, part, 0));
			KUNIT_ASSERT_EQ(test, line_len(sk), len - part);
			KUNIT_ASSERT_EQ(test, len - part,
					myproto_test_recv(test, LINE, 0));
			/* By one in all */
			line_move(test, LINE + 1 - len);
		}
	}
	expect_empty(test, sk);
}

/* A peek moves the line to an skb, which is charged. */
static void line_spill_test(struct kunit *test)
{
	struct sock *sk = myproto_test_pair(test, SOCK_STREAM);
	const int taken[SKBS] = { LINE };
	int start;

	for (start = 0; start < LINE; start++) {
		KUNIT_ASSERT_EQ(test, LINE, myproto_test_send(test, LINE));
		KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), 0);
		KUNIT_ASSERT_EQ(test, LINE,
				myproto_test_recv(test, ALL, MSG_PEEK));
		KUNIT_EXPECT_EQ(test, line_len(sk), 0);
		expect_lengths(test, &sk->sk_write_queue, taken);
		KUNIT_EXPECT_GT(test, sk_rmem_alloc_get(sk), LINE);
		expect_charge(test, sk);
		KUNIT_ASSERT_EQ(test, LINE, myproto_test_recv(test, ALL, 0));
		line_move(test, 1);
	}
	expect_empty(test, sk);
}

/* Send a little at a time until the last skb has room for @room bytes. */
static struct sk_buff *fill_tail(struct kunit *test, struct sock *sk, int room)
{
	struct sk_buff *skb = skb_peek_tail(&sk->sk_receive_queue);
	int len;

	KUNIT_ASSERT_GE(test, skb_tailroom(skb), room);
	while ((len = min(SMALL, skb_tailroom(skb) - room)))
		KUNIT_ASSERT_EQ(test, len, myproto_test_send(test, len));
	KUNIT_EXPECT_EQ(test, skb_tailroom(skb), room);
	KUNIT_ASSERT_PTR_EQ(test, skb,
			    skb_peek_tail(&sk->sk_receive_queue));
	return skb;
}

/* What fits at the end of the last skb goes there, and the next one is larger:
 * as large as the receive buffer lets it be.
 */
static void tail_room_test(struct kunit *test)
{
	struct sock *sk = myproto_test_pair(test, SOCK_STREAM);
	struct sk_buff_head *queue = &sk->sk_receive_queue;
	struct sk_buff *skb;

	KUNIT_ASSERT_EQ(test, LINE + 1, myproto_test_send(test, LINE + 1));
	fill_tail(test, sk, 1);
	KUNIT_ASSERT_EQ(test, 1, myproto_test_send(test, 1));
	KUNIT_EXPECT_EQ(test, skb_queue_len(queue), 1);
	KUNIT_EXPECT_EQ(test, skb_tailroom(skb_peek_tail(queue)), 0);

	KUNIT_ASSERT_EQ(test, 1, myproto_test_send(test, 1));
	KUNIT_EXPECT_EQ(test, skb_queue_len(queue), 2);
	skb = skb_peek_tail(queue);
	KUNIT_EXPECT_EQ(test, skb->len, 1);
	KUNIT_EXPECT_GE(test, skb_tailroom(skb), SKB_WITH_OVERHEAD(SZ_4K) - 1);

	/* One byte too many: none of it goes there. */
	fill_tail(test, sk, 10);
	KUNIT_ASSERT_EQ(test, 11, myproto_test_send(test, 11));
	KUNIT_EXPECT_EQ(test, skb_queue_len(queue), 3);
	KUNIT_EXPECT_EQ(test, skb_tailroom(skb), 10);
	KUNIT_EXPECT_EQ(test, skb_peek_tail(queue)->len, 11);

	expect_charge(test, sk);
	KUNIT_EXPECT_GT(test, myproto_test_recv(test, ALL, 0), SZ_4K / 2);
	expect_empty(test, sk);
}

/* Up to SMALL bytes go there, and not one more. */
static void tail_small_test(struct kunit *test)
{
	struct sock *sk = myproto_test_pair(test, SOCK_STREAM);
	struct sk_buff_head *queue = &sk->sk_receive_queue;
	struct sk_buff *skb;

	KUNIT_ASSERT_EQ(test, LINE + 1, myproto_test_send(test, LINE + 1));
	fill_tail(test, sk, 0);
	KUNIT_ASSERT_EQ(test, 1, myproto_test_send(test, 1));
	skb = skb_peek_tail(queue);
	KUNIT_ASSERT_GT(test, skb_tailroom(skb), 2 * SMALL);

	KUNIT_ASSERT_EQ(test, SMALL, myproto_test_send(test, SMALL));
	KUNIT_EXPECT_EQ(test, skb_queue_len(queue), 2);
	KUNIT_EXPECT_EQ(test, skb->len, 1 + SMALL);
	KUNIT_ASSERT_EQ(test, SMALL + 1, myproto_test_send(test, SMALL + 1));
	KUNIT_EXPECT_EQ(test, skb_queue_len(queue), 3);
	KUNIT_EXPECT_EQ(test, skb->len, 1 + SMALL);
	KUNIT_EXPECT_EQ(test, skb_peek_tail(queue)->len, SMALL + 1);

	expect_charge(test, sk);
	KUNIT_EXPECT_GT(test, myproto_test_recv(test, ALL, 0), 2 * SMALL);
	expect_empty(test, sk);
}

/* An skb for more to come is no larger than a small receive buffer lets it. */
static void tail_rcvbuf_test(struct kunit *test)
{
	struct sock *sk = myproto_test_pair(test, SOCK_STREAM);
	struct sk_buff *skb;

	KUNIT_ASSERT_EQ(test, LINE + 1, myproto_test_send(test, LINE + 1));
	fill_tail(test, sk, 0);
	sk->sk_rcvbuf = SZ_4K;
	KUNIT_ASSERT_EQ(test, 1, myproto_test_send(test, 1));
	skb = skb_peek_tail(&sk->sk_receive_queue);
	KUNIT_EXPECT_EQ(test, skb->len, 1);
	KUNIT_EXPECT_GE(test, skb_tailroom(skb), SZ_1K - 1);
	KUNIT_EXPECT_LT(test, skb_tailroom(skb), SZ_4K / 2);
	expect_charge(test, sk);
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

/* Up to LINEAR bytes are in the head of an skb, more are in pages alone. */
static void memory_test(struct kunit *test)
{
	static const int lens[] = {
		LINE + 1, SZ_1K, LINEAR - 1, LINEAR, LINEAR + 1, SZ_32K - 1,
		SZ_32K, SZ_32K + 1, PIECE - 1, PIECE,
	};
	const struct type *type = test->param_value;
	struct sock *sk = myproto_test_pair(test, type->type);
	const struct sk_buff *skb;
	int i;

	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		KUNIT_ASSERT_EQ(test, lens[i],
				myproto_test_send(test, lens[i]));
		KUNIT_ASSERT_EQ(test, skb_queue_len(&sk->sk_receive_queue), 1);
		skb = skb_peek(&sk->sk_receive_queue);
		KUNIT_EXPECT_EQ(test, skb->len, lens[i]);
		KUNIT_EXPECT_EQ_MSG(test, skb_headlen(skb),
				    lens[i] <= LINEAR ? lens[i] : 0,
				    "of %d bytes", lens[i]);
		if (lens[i] == LINEAR)
			KUNIT_EXPECT_EQ(test, skb_tailroom(skb), 0);
		KUNIT_EXPECT_GT(test, sk_rmem_alloc_get(sk), lens[i]);
		KUNIT_EXPECT_EQ(test, myproto_inq(sk), lens[i]);
		expect_charge(test, sk);
		KUNIT_ASSERT_EQ(test, lens[i],
				myproto_test_recv(test, ALL, 0));
		expect_empty(test, sk);
	}
}

/* A stream whose buffer was full takes nothing until half of it is free; what
 * is freed are whole skbs.
 */
static void stream_limit_test(struct kunit *test)
{
	struct sock *sk = myproto_test_pair(test, SOCK_STREAM);
	int i, charge;

	KUNIT_ASSERT_EQ(test, 1000, myproto_test_send(test, 1000));
	charge = sk_rmem_alloc_get(sk);
	sk->sk_rcvbuf = 4 * charge;
	for (i = 2; i <= 4; i++) {
		KUNIT_ASSERT_EQ(test, 1000, myproto_test_send(test, 1000));
		KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), i * charge);
	}
	KUNIT_EXPECT_EQ(test, -EAGAIN, myproto_test_send(test, 1000));
	KUNIT_EXPECT_EQ(test, -EAGAIN, myproto_test_send(test, 1));

	KUNIT_EXPECT_EQ(test, 1000, myproto_test_recv(test, 1000, 0));
	KUNIT_EXPECT_EQ(test, 999, myproto_test_recv(test, 999, 0));
	KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), 3 * charge);
	KUNIT_EXPECT_EQ(test, -EAGAIN, myproto_test_send(test, 1));
	KUNIT_EXPECT_EQ(test, 1, myproto_test_recv(test, 1, 0));
	KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), 2 * charge);

	/* From here on any room will do. */
	KUNIT_EXPECT_EQ(test, 1000, myproto_test_send(test, 1000));
	KUNIT_EXPECT_EQ(test, 1000, myproto_test_send(test, 1000));
	KUNIT_EXPECT_EQ(test, -EAGAIN, myproto_test_send(test, 1000));
	KUNIT_EXPECT_EQ(test, myproto_inq(sk), 4000);
	KUNIT_EXPECT_EQ(test, 4000, myproto_test_recv(test, ALL, 0));
	expect_empty(test, sk);
}

/* A message is taken while there is a byte of room. */
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
	sk->sk_rcvbuf = 2 * charge + 1;
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

/* Messages without a byte are there, and are charged. */
static void message_empty_test(struct kunit *test)
{
	const struct type *type = test->param_value;
	struct sock *sk = myproto_test_pair(test, type->type);
	const int queue[SKBS] = { 0, 7, 0 };
	int charge;

	KUNIT_ASSERT_EQ(test, 0, myproto_test_send(test, 0));
	charge = sk_rmem_alloc_get(sk);
	KUNIT_EXPECT_GT(test, charge, 0);
	KUNIT_ASSERT_EQ(test, 7, myproto_test_send(test, 7));
	KUNIT_ASSERT_EQ(test, 0, myproto_test_send(test, 0));
	KUNIT_EXPECT_EQ(test, skb_queue_len(&sk->sk_receive_queue), 3);
	expect_lengths(test, &sk->sk_receive_queue, queue);
	KUNIT_EXPECT_EQ(test, myproto_inq(sk), 7);
	expect_charge(test, sk);

	KUNIT_EXPECT_EQ(test, 0, myproto_test_recv(test, 10, 0));
	KUNIT_EXPECT_EQ(test, 7, myproto_test_recv(test, 10, 0));
	KUNIT_EXPECT_EQ(test, myproto_inq(sk), 0);
	KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), charge);
	KUNIT_EXPECT_EQ(test, 0, myproto_test_recv(test, 10, 0));
	expect_empty(test, sk);
}

/* What does not fit into the reader's buffer is not charged any more. */
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
	KUNIT_EXPECT_EQ(test, myproto_inq(sk), 10);
	expect_charge(test, sk);
	t->received = 20000;
	KUNIT_EXPECT_EQ(test, 10, myproto_test_recv(test, 20000, 0));
	expect_empty(test, sk);
}

/* The longest message there is, whatever the buffers are */
static void message_longest_test(struct kunit *test)
{
	const struct type *type = test->param_value;
	struct sock *sk = myproto_test_pair(test, type->type);

	KUNIT_EXPECT_EQ(test, -EMSGSIZE,
			myproto_test_send(test, SZ_512K + 1));
	KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(sk), 0);
	KUNIT_ASSERT_EQ(test, SZ_512K, myproto_test_send(test, SZ_512K));
	KUNIT_EXPECT_EQ(test, myproto_inq(sk), SZ_512K);
	expect_charge(test, sk);
	KUNIT_EXPECT_EQ(test, SZ_512K, myproto_test_recv(test, SZ_512K, 0));
	expect_empty(test, sk);
}

/* What nobody reads is given back when the receiver is closed. */
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
	KUNIT_EXPECT_TRUE(test, skb_queue_empty(&sk->sk_receive_queue));
	KUNIT_EXPECT_TRUE(test, skb_queue_empty(&sk->sk_write_queue));
}

static struct kunit_case data_cases[] = {
	KUNIT_CASE_PARAM(stream_place_test, stream_gen_params),
	KUNIT_CASE_PARAM(stream_pieces_read_test, stream_gen_params),
	KUNIT_CASE(line_wrap_test),
	KUNIT_CASE(line_spill_test),
	KUNIT_CASE(tail_room_test),
	KUNIT_CASE(tail_small_test),
	KUNIT_CASE(tail_rcvbuf_test),
	KUNIT_CASE_PARAM(memory_test, type_gen_params),
	KUNIT_CASE(stream_limit_test),
	KUNIT_CASE_PARAM(message_limit_test, message_gen_params),
	KUNIT_CASE_PARAM(message_empty_test, message_gen_params),
	KUNIT_CASE_PARAM(message_cut_test, message_gen_params),
	KUNIT_CASE_PARAM(message_longest_test, message_gen_params),
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
