// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO messages, which SEQPACKET and DGRAM have in common: boundaries,
 * lengths, flags, what a full receiver does to its senders, and what poll()
 * says about it. Then what each of the two types has of its own.
 */
#include <sys/epoll.h>
#include <sys/mman.h>

#include "link.h"

/* More than a page on any machine, and a multiple of each page size */
#define PAGE_LEN	0x10000

/* No message is ever longer. */
#define LONGEST		(512 << 10)

/* Long enough to see that a call slept, short enough to test many */
#define TIMEOUT_MS	100

FIXTURE(message)
{
	struct link link;
};

FIXTURE_VARIANT(message)
{
	int type;
	enum made made;
};

FIXTURE_VARIANT_ADD(message, seqpacket_connection)
{
	.type = SOCK_SEQPACKET,
	.made = BY_CONNECT,
};

FIXTURE_VARIANT_ADD(message, dgram_unconnected)
{
	.type = SOCK_DGRAM,
	.made = BY_ADDRESS,
};

FIXTURE_SETUP(message)
{
	link_make(_metadata, &self->link, variant->type, variant->made);
}

FIXTURE_TEARDOWN(message)
{
	link_destroy(&self->link);
}

/* With a receiver that poll() knows */
FIXTURE(connected)
{
	struct link link;
};

FIXTURE_VARIANT(connected)
{
	int type;
	enum made made;
};

FIXTURE_VARIANT_ADD(connected, seqpacket_socketpair)
{
	.type = SOCK_SEQPACKET,
	.made = BY_PAIR,
};

FIXTURE_VARIANT_ADD(connected, dgram_by_channel)
{
	.type = SOCK_DGRAM,
	.made = BY_CONNECT,
};

FIXTURE_VARIANT_ADD(connected, dgram_socketpair)
{
	.type = SOCK_DGRAM,
	.made = BY_PAIR,
};

FIXTURE_SETUP(connected)
{
	link_make(_metadata, &self->link, variant->type, variant->made);
}

FIXTURE_TEARDOWN(connected)
{
	link_destroy(&self->link);
}

/* recvmsg() of at most @len bytes; what it returns, and its msg_flags */
static ssize_t recv_flags(int fd, void *buf, size_t len, int flags,
			  int *msg_flags)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_flags = -1,
	};
	ssize_t n;

	n = recvmsg(fd, &msg, flags | MSG_DONTWAIT);
	*msg_flags = msg.msg_flags;
	return n;
}

/* Boundaries and order */

TEST_F(message, boundaries)
{
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 0, "a");
	link_expect_send(_metadata, link, 0, "bcd");
	link_expect_send(_metadata, link, 0, "ef");
	expect_recv(_metadata, link->fd[1], "a");
	expect_recv(_metadata, link->fd[1], "bcd");
	expect_recv(_metadata, link->fd[1], "ef");
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

TEST_F(message, order)
{
	struct link *link = &self->link;
	int i, n;

	for (i = 0; i < 100; i++)
		ASSERT_EQ((ssize_t)sizeof(i), link_send(link, 0, &i, sizeof(i),
							MSG_DONTWAIT));
	for (i = 0; i < 100; i++) {
		ASSERT_EQ((ssize_t)sizeof(n), recv(link->fd[1], &n, sizeof(n),
						   MSG_DONTWAIT));
		ASSERT_EQ(i, n);
	}
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

TEST_F(message, directions_are_separate)
{
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 0, "there");
	link_expect_send(_metadata, link, 1, "back");
	expect_recv(_metadata, link->fd[0], "back");
	expect_recv(_metadata, link->fd[1], "there");
	EXPECT_EQ(EAGAIN, try_recv(link->fd[0]));
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

/* Lengths */

/* A message of @len bytes arrives as it was sent, and alone. */
static void expect_passes(struct __test_metadata *_metadata,
			  struct link *link, size_t len)
{
	char *out = malloc(len + 1), *in = malloc(len + 100);
	int flags;

	ASSERT_TRUE(out && in);
	fill_pattern(out, len, len);
	memset(in, 0, len + 100);
	EXPECT_EQ((ssize_t)len, link_send(link, 0, out, len, MSG_DONTWAIT))
		TH_LOG("length %zu: %s", len, strerror(errno));
	EXPECT_EQ((ssize_t)len, recv_flags(link->fd[1], in, len + 100, 0,
					   &flags));
	EXPECT_EQ(0, flags & ~MSG_EOR);
	EXPECT_EQ(0, memcmp(out, in, len));
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	free(out);
	free(in);
}

TEST_F(message, small_lengths)
{
	size_t len;

	for (len = 0; len <= 130; len++)
		expect_passes(_metadata, &self->link, len);
}

TEST_F(message, lengths_at_page_edges)
{
	size_t page = sysconf(_SC_PAGESIZE), n;
	int i;

	for (n = page / 2; n <= LONGEST / 4; n *= 2)
		for (i = -2; i <= 2; i++)
			expect_passes(_metadata, &self->link, n + i);
}

/* What does not fit in a page together with what the kernel adds */
TEST_F(message, lengths_near_page_edges)
{
	size_t page = sysconf(_SC_PAGESIZE), n, i;

	for (n = 1; n <= 9; n += 4)
		for (i = 32; i < 800; i += 64)
			expect_passes(_metadata, &self->link, n * page - i);
}

TEST_F(message, odd_lengths)
{
	static const size_t lens[] = {
		333, 1500, 9001, 32767, 50000, 65535, 65536, 65537, 100003,
		131071, 131072, 200001,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lens); i++)
		expect_passes(_metadata, &self->link, lens[i]);
}

TEST_F(message, default_longest)
{
	size_t max = get_int_opt(_metadata, self->link.fd[0], SO_SNDBUF);

	EXPECT_LE(65536 * 2, max);
	expect_passes(_metadata, &self->link, max - 32);
	expect_passes(_metadata, &self->link, max - 1);
	expect_passes(_metadata, &self->link, max);
}

/* Zero is a length like any other. */

TEST_F(message, zero_arrives)
{
	struct link *link = &self->link;
	char c = 'c';

	EXPECT_EQ(0, link_send(link, 0, NULL, 0, 0));
	EXPECT_EQ(POLLIN, poll_for(link->fd[1], POLLIN, 0));
	EXPECT_EQ(0, recv(link->fd[1], &c, 1, MSG_DONTWAIT));
	EXPECT_EQ('c', c);
	EXPECT_EQ(0, poll_for(link->fd[1], POLLIN, 0));
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

TEST_F(message, zero_between_others)
{
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 0, "");
	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "");
	link_expect_send(_metadata, link, 0, "");
	link_expect_send(_metadata, link, 0, "d");
	expect_recv(_metadata, link->fd[1], "");
	expect_recv(_metadata, link->fd[1], "abc");
	expect_recv(_metadata, link->fd[1], "");
	expect_recv(_metadata, link->fd[1], "");
	expect_recv(_metadata, link->fd[1], "d");
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

TEST_F(message, zero_peeked)
{
	struct link *link = &self->link;
	char c;

	link_expect_send(_metadata, link, 0, "");
	EXPECT_EQ(0, recv(link->fd[1], &c, 1, MSG_PEEK | MSG_DONTWAIT));
	EXPECT_EQ(0, recv(link->fd[1], &c, 1, MSG_PEEK | MSG_DONTWAIT));
	EXPECT_EQ(0, recv(link->fd[1], &c, 1, MSG_DONTWAIT));
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

TEST_F(message, zero_flags)
{
	struct link *link = &self->link;
	int flags;
	char c;

	link_expect_send(_metadata, link, 0, "");
	EXPECT_EQ(0, recv_flags(link->fd[1], &c, 0, MSG_TRUNC, &flags));
	EXPECT_EQ(0, flags);
}

TEST_F(message, zero_wakes_reader)
{
	struct link *link = &self->link;
	pid_t pid;
	char c;

	pid = my_fork(_metadata);
	if (!pid)
		_exit(recv(link->fd[1], &c, 1, 0) != 0);
	EXPECT_TRUE(wait_asleep(pid));
	EXPECT_EQ(0, link_send(link, 0, NULL, 0, 0));
	EXPECT_EQ(0, my_wait(pid));
}

TEST_F(message, zero_fills)
{
	struct link *link = &self->link;
	size_t count;

	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 10000);
	count = link_fill(_metadata, link, 0, 0);
	EXPECT_LT(1U, count);
	EXPECT_EQ(count, link_drain(_metadata, link, 1));
	EXPECT_EQ(0, link_send(link, 0, NULL, 0, MSG_DONTWAIT));
}

/* Too little room to receive in */

TEST_F(message, rest_is_dropped)
{
	struct link *link = &self->link;
	char buf[8] = "";
	int flags;

	link_expect_send(_metadata, link, 0, "abcdef");
	link_expect_send(_metadata, link, 0, "next");
	EXPECT_EQ(3, recv_flags(link->fd[1], buf, 3, 0, &flags));
	EXPECT_STREQ("abc", buf);
	EXPECT_EQ(MSG_TRUNC, flags);
	expect_recv(_metadata, link->fd[1], "next");
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

TEST_F(message, trunc_tells_length)
{
	struct link *link = &self->link;
	char buf[8] = "";
	int flags;

	link_expect_send(_metadata, link, 0, "abcdef");
	link_expect_send(_metadata, link, 0, "next");
	EXPECT_EQ(6, recv_flags(link->fd[1], buf, 3, MSG_TRUNC, &flags));
	EXPECT_STREQ("abc", buf);
	EXPECT_EQ(MSG_TRUNC, flags);
	expect_recv(_metadata, link->fd[1], "next");
}

TEST_F(message, exact_room_no_trunc)
{
	char buf[8] = "";
	int flags;

	link_expect_send(_metadata, &self->link, 0, "abc");
	EXPECT_EQ(3, recv_flags(self->link.fd[1], buf, 3, MSG_TRUNC, &flags));
	EXPECT_EQ(0, flags);
}

TEST_F(message, more_room_no_trunc)
{
	char buf[8] = "";
	int flags;

	link_expect_send(_metadata, &self->link, 0, "abc");
	EXPECT_EQ(3, recv_flags(self->link.fd[1], buf, 8, MSG_TRUNC, &flags));
	EXPECT_EQ(0, flags);
}

TEST_F(message, no_room_drops_all)
{
	struct link *link = &self->link;
	int flags;
	char c;

	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "next");
	EXPECT_EQ(0, recv_flags(link->fd[1], &c, 0, 0, &flags));
	EXPECT_EQ(MSG_TRUNC, flags);
	expect_recv(_metadata, link->fd[1], "next");
}

TEST_F(message, large_cut_to_small)
{
	struct link *link = &self->link;
	char *out = malloc(150000), in[5001];
	int flags;

	ASSERT_NE(NULL, out);
	fill_pattern(out, 150000, 1);
	ASSERT_EQ(150000, link_send(link, 0, out, 150000, MSG_DONTWAIT));
	EXPECT_EQ(150000, recv_flags(link->fd[1], in, sizeof(in), MSG_TRUNC,
				     &flags));
	EXPECT_EQ(MSG_TRUNC, flags);
	EXPECT_EQ(0, memcmp(in, out, sizeof(in)));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
	free(out);
}

/* read() cannot tell that it left something out. */
TEST_F(message, read_drops_rest)
{
	struct link *link = &self->link;
	char buf[8] = "";

	link_expect_send(_metadata, link, 0, "abcdef");
	EXPECT_EQ(2, read(link->fd[1], buf, 2));
	EXPECT_STREQ("ab", buf);
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

/* MSG_PEEK */

TEST_F(message, peek_leaves_message)
{
	struct link *link = &self->link;
	char buf[16] = "";
	int i;

	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "next");
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(3, recv(link->fd[1], buf, sizeof(buf),
				  MSG_PEEK | MSG_DONTWAIT));
		EXPECT_STREQ("abc", buf);
	}
	expect_recv(_metadata, link->fd[1], "abc");
	expect_recv(_metadata, link->fd[1], "next");
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

TEST_F(message, peek_part_keeps_all)
{
	struct link *link = &self->link;
	char buf[16] = "";
	int flags;

	link_expect_send(_metadata, link, 0, "abcdef");
	EXPECT_EQ(2, recv_flags(link->fd[1], buf, 2, MSG_PEEK, &flags));
	EXPECT_STREQ("ab", buf);
	EXPECT_EQ(MSG_TRUNC, flags);
	expect_recv(_metadata, link->fd[1], "abcdef");
}

/* The usual way to learn how long the next message is */
TEST_F(message, peek_trunc_tells_length)
{
	struct link *link = &self->link;
	char c;

	link_expect_send(_metadata, link, 0, "abcdef");
	EXPECT_EQ(6, recv(link->fd[1], &c, 0,
			  MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT));
	expect_recv(_metadata, link->fd[1], "abcdef");
}

TEST_F(message, peek_nothing_eagain)
{
	char c;

	EXPECT_EQ(EAGAIN, err_of(recv(self->link.fd[1], &c, 1,
				      MSG_PEEK | MSG_DONTWAIT)));
}

TEST_F(message, peek_waits)
{
	struct link *link = &self->link;
	pid_t pid;
	char c;

	pid = my_fork(_metadata);
	if (!pid)
		_exit(recv(link->fd[1], &c, 1, MSG_PEEK) != 1);
	EXPECT_TRUE(wait_asleep(pid));
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(0, my_wait(pid));
	expect_recv(_metadata, link->fd[1], "abc");
}

/* Flags that mean little here */

TEST_F(message, waitall_ignored)
{
	struct link *link = &self->link;
	char buf[16];

	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "def");
	EXPECT_EQ(3, recv(link->fd[1], buf, sizeof(buf), MSG_WAITALL));
	expect_recv(_metadata, link->fd[1], "def");
}

TEST_F(message, peek_waitall_ignored)
{
	char buf[16];

	link_expect_send(_metadata, &self->link, 0, "abc");
	EXPECT_EQ(3, recv(self->link.fd[1], buf, sizeof(buf),
			  MSG_WAITALL | MSG_PEEK));
}

TEST_F(message, more_does_not_join)
{
	struct link *link = &self->link;

	EXPECT_EQ(3, link_send(link, 0, "abc", 3, MSG_MORE));
	expect_recv(_metadata, link->fd[1], "abc");
	EXPECT_EQ(3, link_send(link, 0, "def", 3, MSG_MORE));
	EXPECT_EQ(3, link_send(link, 0, "ghi", 3, 0));
	expect_recv(_metadata, link->fd[1], "def");
	expect_recv(_metadata, link->fd[1], "ghi");
}

TEST_F(message, cmsg_cloexec_harmless)
{
	char buf[8] = "";
	int flags;

	link_expect_send(_metadata, &self->link, 0, "abc");
	EXPECT_EQ(3, recv_flags(self->link.fd[1], buf, sizeof(buf),
				MSG_CMSG_CLOEXEC, &flags));
	EXPECT_STREQ("abc", buf);
	EXPECT_EQ(0, flags & ~MSG_CMSG_CLOEXEC);
}

TEST_F(message, send_oob_eopnotsupp)
{
	EXPECT_EQ(EOPNOTSUPP, err_of(link_send(&self->link, 0, "x", 1,
					       MSG_OOB)));
	EXPECT_EQ(EAGAIN, try_recv(self->link.fd[1]));
}

TEST_F(message, recv_oob_eopnotsupp)
{
	char c;

	link_expect_send(_metadata, &self->link, 0, "abc");
	EXPECT_EQ(EOPNOTSUPP, err_of(recv(self->link.fd[1], &c, 1, MSG_OOB)));
	expect_recv(_metadata, self->link.fd[1], "abc");
}

TEST_F(message, nonblock_eagain)
{
	struct link *link = &self->link;
	char c;

	set_nonblock(_metadata, link->fd[1]);
	EXPECT_EQ(EAGAIN, err_of(recv(link->fd[1], &c, 1, 0)));
	EXPECT_EQ(EAGAIN, err_of(read(link->fd[1], &c, 1)));
	link_expect_send(_metadata, link, 0, "x");
	EXPECT_EQ(1, read(link->fd[1], &c, 1));
}

/* Several pieces of memory, several messages in a call */

TEST_F(message, gather)
{
	struct iovec iov[] = {
		{ .iov_base = "a", .iov_len = 1 },
		{ .iov_base = NULL, .iov_len = 0 },
		{ .iov_base = "bcdef", .iov_len = 5 },
		{ .iov_base = "gh", .iov_len = 2 },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov) };

	EXPECT_EQ(8, sendmsg(self->link.fd[0],
			     link_address(&self->link, 0, &msg), 0));
	expect_recv(_metadata, self->link.fd[1], "abcdefgh");
}

TEST_F(message, scatter)
{
	char head[4] = "", tail[16] = "";
	struct iovec iov[] = {
		{ .iov_base = head, .iov_len = 3 },
		{ .iov_base = NULL, .iov_len = 0 },
		{ .iov_base = tail, .iov_len = 15 },
	};

	link_expect_send(_metadata, &self->link, 0, "abcdefgh");
	EXPECT_EQ(8, readv(self->link.fd[1], iov, ARRAY_SIZE(iov)));
	EXPECT_STREQ("abc", head);
	EXPECT_STREQ("defgh", tail);
}

TEST_F(message, gather_1024_pieces)
{
	struct iovec iov[1024];
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov) };
	char out[3 * 1024], in[4096];
	size_t i;

	fill_pattern(out, sizeof(out), 1);
	for (i = 0; i < ARRAY_SIZE(iov); i++)
		iov[i] = (struct iovec) {
			.iov_base = out + 3 * i,
			.iov_len = 3,
		};
	EXPECT_EQ((ssize_t)sizeof(out),
		  sendmsg(self->link.fd[0],
			  link_address(&self->link, 0, &msg), 0));
	EXPECT_EQ((ssize_t)sizeof(out),
		  recv(self->link.fd[1], in, sizeof(in), MSG_DONTWAIT));
	EXPECT_EQ(0, memcmp(in, out, sizeof(out)));
}

TEST_F(message, no_pieces)
{
	struct msghdr msg = {};

	EXPECT_EQ(0, sendmsg(self->link.fd[0],
			     link_address(&self->link, 0, &msg), 0));
	expect_recv(_metadata, self->link.fd[1], "");
	EXPECT_EQ(EAGAIN, try_recv(self->link.fd[1]));
}

#define MANY	8

struct many {
	struct mmsghdr hdr[MANY];
	struct iovec iov[MANY];
	char buf[MANY][16];
};

/* For sendmmsg(): message i has i letters. For recvmmsg(): empty buffers */
static struct mmsghdr *make_many(struct link *link, struct many *many,
				 bool send)
{
	int i;

	memset(many, 0, sizeof(*many));
	for (i = 0; i < MANY; i++) {
		many->iov[i].iov_base = many->buf[i];
		many->iov[i].iov_len = send ? i : 16;
		many->hdr[i].msg_hdr.msg_iov = &many->iov[i];
		many->hdr[i].msg_hdr.msg_iovlen = 1;
		if (send) {
			memset(many->buf[i], 'a' + i, i);
			link_address(link, 0, &many->hdr[i].msg_hdr);
		}
	}
	return many->hdr;
}

static void expect_many(struct __test_metadata *_metadata, struct many *many,
			int n)
{
	int i, j;

	for (i = 0; i < n; i++) {
		EXPECT_EQ((unsigned int)i, many->hdr[i].msg_len);
		for (j = 0; j < i; j++)
			EXPECT_EQ('a' + i, many->buf[i][j]);
	}
}

TEST_F(message, sendmmsg_recvmmsg)
{
	struct link *link = &self->link;
	struct many many;

	EXPECT_EQ(MANY, sendmmsg(link->fd[0], make_many(link, &many, true),
				 MANY, 0));
	expect_many(_metadata, &many, MANY);
	EXPECT_EQ(MANY, recvmmsg(link->fd[1], make_many(link, &many, false),
				 MANY, 0, NULL));
	expect_many(_metadata, &many, MANY);
}

TEST_F(message, recvmmsg_dontwait_some)
{
	struct link *link = &self->link;
	struct many many;

	EXPECT_EQ(3, sendmmsg(link->fd[0], make_many(link, &many, true), 3,
			      0));
	EXPECT_EQ(3, recvmmsg(link->fd[1], make_many(link, &many, false),
			      MANY, MSG_DONTWAIT, NULL));
	expect_many(_metadata, &many, 3);
	EXPECT_EQ(EAGAIN, err_of(recvmmsg(link->fd[1], many.hdr, MANY,
					  MSG_DONTWAIT, NULL)));
}

TEST_F(message, recvmmsg_waitforone)
{
	struct link *link = &self->link;
	struct many many;

	EXPECT_EQ(2, sendmmsg(link->fd[0], make_many(link, &many, true), 2,
			      0));
	EXPECT_EQ(2, recvmmsg(link->fd[1], make_many(link, &many, false),
			      MANY, MSG_WAITFORONE, NULL));
	expect_many(_metadata, &many, 2);
}

TEST_F(message, sendmmsg_until_full)
{
	struct link *link = &self->link;
	struct many many;
	size_t count;
	int n, more;

	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 1);
	n = sendmmsg(link->fd[0], make_many(link, &many, true), MANY,
		     MSG_DONTWAIT);
	EXPECT_LT(0, n);
	count = n;
	for (;;) {
		more = sendmmsg(link->fd[0], many.hdr, MANY, MSG_DONTWAIT);
		if (more < 0)
			break;
		count += more;
	}
	EXPECT_EQ(EAGAIN, err_of(more));
	EXPECT_EQ(count, link_drain(_metadata, link, 1));
}

/* Bad user memory */

/* @len bytes, a multiple of PAGE_LEN, and after them some that fault */
static char *half_mapped(struct __test_metadata *_metadata, size_t len)
{
	char *p = mmap(NULL, len + PAGE_LEN, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mprotect(p + len, PAGE_LEN, PROT_NONE));
	return p;
}

TEST_F(message, send_bad_pointer_efault)
{
	char *bad = half_mapped(_metadata, PAGE_LEN) + PAGE_LEN;
	struct link *link = &self->link;

	EXPECT_EQ(EFAULT, err_of(link_send(link, 0, bad, 100, 0)));
	EXPECT_EQ(EFAULT, err_of(link_send(link, 0, bad, PAGE_LEN, 0)));
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
	link_expect_send(_metadata, link, 0, "abc");
	expect_recv(_metadata, link->fd[1], "abc");
}

/* A message is sent whole or not at all. */
TEST_F(message, send_fault_in_the_middle)
{
	char *page = half_mapped(_metadata, PAGE_LEN);
	struct link *link = &self->link;

	EXPECT_EQ(EFAULT, err_of(link_send(link, 0, page + PAGE_LEN - 50, 100,
					   0)));
	EXPECT_EQ(EFAULT, err_of(link_send(link, 0, page, PAGE_LEN + 1, 0)));
	EXPECT_EQ(EFAULT, err_of(link_send(link, 0, page, 2 * PAGE_LEN, 0)));
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
}

TEST_F(message, recv_fault_loses_message)
{
	char *bad = half_mapped(_metadata, PAGE_LEN) + PAGE_LEN;
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "next");
	EXPECT_EQ(EFAULT, err_of(recv(link->fd[1], bad, 100, MSG_DONTWAIT)));
	expect_recv(_metadata, link->fd[1], "next");
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
}

TEST_F(message, recv_fault_in_the_middle)
{
	char *page = half_mapped(_metadata, PAGE_LEN);
	struct link *link = &self->link;
	char *out = calloc(1, 3 * PAGE_LEN);

	ASSERT_NE(NULL, out);
	ASSERT_EQ(3 * PAGE_LEN, link_send(link, 0, out, 3 * PAGE_LEN, 0));
	link_expect_send(_metadata, link, 0, "next");
	EXPECT_EQ(EFAULT, err_of(recv(link->fd[1], page, 2 * PAGE_LEN, 0)));
	expect_recv(_metadata, link->fd[1], "next");
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
	free(out);
}

TEST_F(message, peek_fault_keeps_message)
{
	char *bad = half_mapped(_metadata, PAGE_LEN) + PAGE_LEN;
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(EFAULT, err_of(recv(link->fd[1], bad, 100,
				      MSG_PEEK | MSG_DONTWAIT)));
	expect_recv(_metadata, link->fd[1], "abc");
}

/* Too long */

static void expect_emsgsize(struct __test_metadata *_metadata,
			    struct link *link, size_t len)
{
	char *buf = calloc(1, len);

	ASSERT_NE(NULL, buf);
	EXPECT_EQ(EMSGSIZE, err_of(link_send(link, 0, buf, len, 0)));
	EXPECT_EQ(EMSGSIZE, err_of(link_send(link, 0, buf, len,
					     MSG_DONTWAIT)));
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
	free(buf);
}

TEST_F(message, sndbuf_bounds_length)
{
	struct link *link = &self->link;
	size_t max;

	set_int_opt(_metadata, link->fd[0], SO_SNDBUF, 10000);
	max = get_int_opt(_metadata, link->fd[0], SO_SNDBUF);
	expect_passes(_metadata, link, max);
	expect_emsgsize(_metadata, link, max + 1);
	/* The other end has its own. */
	EXPECT_EQ(EMSGSIZE, err_of(link_send(link, 0, half_mapped(_metadata,
								  PAGE_LEN),
					     PAGE_LEN, 0)));
	EXPECT_EQ(PAGE_LEN, link_send(link, 1, half_mapped(_metadata,
							   PAGE_LEN),
				      PAGE_LEN, 0));
}

TEST_F(message, least_sndbuf)
{
	struct link *link = &self->link;
	size_t max;

	set_int_opt(_metadata, link->fd[0], SO_SNDBUF, 0);
	max = get_int_opt(_metadata, link->fd[0], SO_SNDBUF);
	expect_passes(_metadata, link, max);
	expect_emsgsize(_metadata, link, max + 1);
}

TEST_F(message, rcvbuf_bounds_length)
{
	struct link *link = &self->link;
	size_t max;

	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 10000);
	max = get_int_opt(_metadata, link->fd[1], SO_RCVBUF);
	expect_passes(_metadata, link, max);
	expect_emsgsize(_metadata, link, max + 1);
}

TEST_F(message, least_rcvbuf)
{
	struct link *link = &self->link;
	size_t max;

	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 0);
	max = get_int_opt(_metadata, link->fd[1], SO_RCVBUF);
	expect_passes(_metadata, link, max);
	expect_emsgsize(_metadata, link, max + 1);
}

TEST_F(message, half_mib_with_large_buffers)
{
	struct link *link = &self->link;

	set_int_opt(_metadata, link->fd[0], SO_SNDBUFFORCE, 4 * LONGEST);
	set_int_opt(_metadata, link->fd[1], SO_RCVBUFFORCE, 4 * LONGEST);
	expect_passes(_metadata, link, LONGEST - 4096);
	expect_passes(_metadata, link, LONGEST - 1);
	expect_passes(_metadata, link, LONGEST);
	expect_emsgsize(_metadata, link, LONGEST + 1);
	expect_emsgsize(_metadata, link, BIG);
}

/* MYPROTO_MESSAGE_MAX, or the negative errno */
static int message_max(int fd, socklen_t len)
{
	int val[2];

	if (getsockopt(fd, SOL_MYPROTO, MYPROTO_MESSAGE_MAX, val, &len))
		return -errno;
	return len == sizeof(val[0]) ? val[0] : -EPROTO;
}

TEST_F(connected, message_max)
{
	struct link *link = &self->link;
	int max = message_max(link->fd[0], sizeof(int));

	EXPECT_EQ(max, message_max(link->fd[0], 2 * sizeof(int)));
	expect_passes(_metadata, link, max);
	expect_emsgsize(_metadata, link, max + 1);

	/* The least of the three */
	set_int_opt(_metadata, link->fd[0], SO_SNDBUFFORCE, 4 * LONGEST);
	set_int_opt(_metadata, link->fd[1], SO_RCVBUFFORCE, 4 * LONGEST);
	EXPECT_EQ(LONGEST, message_max(link->fd[0], sizeof(int)));
	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 20000);
	EXPECT_EQ(get_int_opt(_metadata, link->fd[1], SO_RCVBUF),
		  message_max(link->fd[0], sizeof(int)));
	set_int_opt(_metadata, link->fd[0], SO_SNDBUF, 10000);
	max = get_int_opt(_metadata, link->fd[0], SO_SNDBUF);
	EXPECT_EQ(max, message_max(link->fd[0], sizeof(int)));
	EXPECT_NE(max, message_max(link->fd[1], sizeof(int)));
	expect_passes(_metadata, link, max);
	expect_emsgsize(_metadata, link, max + 1);
}

TEST_F(connected, message_max_errors)
{
	int fd = self->link.fd[0];

	EXPECT_EQ(-EINVAL, message_max(fd, sizeof(int) - 1));
	EXPECT_EQ(-EINVAL, message_max(fd, 0));
	EXPECT_EQ(ENOPROTOOPT, int_opt_err(fd, SOL_MYPROTO,
					   MYPROTO_MESSAGE_MAX, 1));
	EXPECT_EQ(-ENOTCONN, message_max(type_socket(_metadata, variant->type),
					 sizeof(int)));
	EXPECT_EQ(-ENOPROTOOPT, message_max(type_socket(_metadata, SOCK_STREAM),
					    sizeof(int)));
}

/* It could never be sent: that there is no room now makes no difference. */
TEST_F(message, too_long_when_full)
{
	struct link *link = &self->link;
	size_t max, count;
	char *buf;

	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 10000);
	max = get_int_opt(_metadata, link->fd[1], SO_RCVBUF);
	buf = calloc(1, max + 1);
	ASSERT_NE(NULL, buf);
	count = link_fill(_metadata, link, 0, 1000);
	EXPECT_EQ(EMSGSIZE, err_of(link_send(link, 0, buf, max + 1, 0)));
	EXPECT_EQ(EAGAIN, err_of(link_send(link, 0, buf, max, MSG_DONTWAIT)));
	EXPECT_EQ(count, link_drain(_metadata, link, 1));
	free(buf);
}

/* A full receiver */

static void full(struct __test_metadata *_metadata, struct link *link)
{
	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 10000);
	EXPECT_LT(1U, link_fill(_metadata, link, 0, 1000));
}

TEST_F(message, full_eagain_until_drained)
{
	struct link *link = &self->link;
	size_t count;
	int i;

	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 10000);
	for (i = 0; i < 5; i++) {
		count = link_fill(_metadata, link, 0, 1000);
		EXPECT_EQ(EAGAIN, link_try_send(link, 0));
		EXPECT_EQ(count, link_drain(_metadata, link, 1));
		EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
	}
}

/* Large messages fill it as well, and each of them arrives whole. */
TEST_F(message, full_of_large_ones)
{
	struct link *link = &self->link;
	size_t count, len = 60000;
	char *buf = malloc(len + 1);

	ASSERT_NE(NULL, buf);
	count = link_fill(_metadata, link, 0, len);
	EXPECT_LE(2U, count);
	EXPECT_GE(5U, count);
	while (count--)
		EXPECT_EQ((ssize_t)len, recv(link->fd[1], buf, len + 1,
					     MSG_DONTWAIT));
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	free(buf);
}

TEST_F(message, full_nonblock_eagain)
{
	struct link *link = &self->link;

	full(_metadata, link);
	set_nonblock(_metadata, link->fd[0]);
	EXPECT_EQ(EAGAIN, err_of(link_send(link, 0, "x", 1, 0)));
}

TEST_F(message, full_is_one_direction)
{
	struct link *link = &self->link;

	full(_metadata, link);
	link_expect_send(_metadata, link, 1, "back");
	expect_recv(_metadata, link->fd[0], "back");
}

/* A child that sends a message that does not fit; exits with its errno */
static pid_t fork_sender(struct __test_metadata *_metadata, struct link *link)
{
	pid_t pid = my_fork(_metadata);

	if (!pid) {
		close(link->fd[1]);
		_exit(err_of(link_send(link, 0, "x", 1, 0)));
	}
	EXPECT_TRUE(wait_asleep(pid));
	return pid;
}

/* What full() sent, and @n messages of those who waited, in whatever order */
static void expect_waited(struct __test_metadata *_metadata,
			  struct link *link, int n)
{
	char buf[1001];
	ssize_t len;

	set_timeout(_metadata, link->fd[1], SO_RCVTIMEO, WAIT_MS);
	while (n) {
		len = recv(link->fd[1], buf, sizeof(buf), 0);
		ASSERT_TRUE(len == 1000 || len == 1)
			TH_LOG("%zd, %d still to come", len, n);
		if (len == 1)
			n--;
	}
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

TEST_F(message, sender_waits_for_room)
{
	struct link *link = &self->link;
	pid_t pid;

	full(_metadata, link);
	pid = fork_sender(_metadata, link);
	expect_waited(_metadata, link, 1);
	EXPECT_EQ(0, my_wait(pid));
}

TEST_F(connected, many_senders_wait_for_room)
{
	struct link *link = &self->link;
	pid_t pid[4];
	size_t i;

	full(_metadata, link);
	for (i = 0; i < ARRAY_SIZE(pid); i++)
		pid[i] = fork_sender(_metadata, link);
	expect_waited(_metadata, link, ARRAY_SIZE(pid));
	for (i = 0; i < ARRAY_SIZE(pid); i++)
		EXPECT_EQ(0, my_wait(pid[i]));
}

TEST_F(message, larger_rcvbuf_wakes_sender)
{
	struct link *link = &self->link;
	pid_t pid;

	full(_metadata, link);
	pid = fork_sender(_metadata, link);
	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 30000);
	EXPECT_EQ(0, my_wait(pid));
}

TEST_F(message, sender_timeout_eagain)
{
	struct link *link = &self->link;
	long start;

	full(_metadata, link);
	set_timeout(_metadata, link->fd[0], SO_SNDTIMEO, TIMEOUT_MS);
	start = now_ms();
	EXPECT_EQ(EAGAIN, err_of(link_send(link, 0, "x", 1, 0)));
	EXPECT_LE(TIMEOUT_MS, now_ms() - start);
	link_drain(_metadata, link, 1);
	EXPECT_EQ(1, link_send(link, 0, "x", 1, 0));
}

TEST_F(message, reader_timeout_eagain)
{
	struct link *link = &self->link;
	long start;
	char c;

	set_timeout(_metadata, link->fd[1], SO_RCVTIMEO, TIMEOUT_MS);
	start = now_ms();
	EXPECT_EQ(EAGAIN, err_of(recv(link->fd[1], &c, 1, 0)));
	EXPECT_LE(TIMEOUT_MS, now_ms() - start);
	link_expect_send(_metadata, link, 0, "x");
	EXPECT_EQ(1, recv(link->fd[1], &c, 1, 0));
}

static void on_signal(int sig)
{
}

static void catch_signal(struct __test_metadata *_metadata, int flags)
{
	struct sigaction action = {
		.sa_handler = on_signal,
		.sa_flags = flags,
	};

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
}

TEST_F(message, sender_signal_eintr)
{
	struct link *link = &self->link;
	pid_t pid;

	full(_metadata, link);
	catch_signal(_metadata, 0);
	pid = fork_sender(_metadata, link);
	kill(pid, SIGUSR1);
	EXPECT_EQ(EINTR, my_wait(pid));

	/* It has left nothing behind. */
	link_drain(_metadata, link, 1);
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	EXPECT_EQ(0, link_try_send(link, 0));
}

TEST_F(message, sender_signal_restart)
{
	struct link *link = &self->link;
	pid_t pid;

	full(_metadata, link);
	catch_signal(_metadata, SA_RESTART);
	pid = fork_sender(_metadata, link);
	kill(pid, SIGUSR1);
	usleep(20000);
	EXPECT_TRUE(wait_asleep(pid));
	expect_waited(_metadata, link, 1);
	EXPECT_EQ(0, my_wait(pid));
}

/* A child that receives one message; exits with its length or 100 + errno */
static pid_t fork_reader(struct __test_metadata *_metadata, struct link *link)
{
	char buf[16];
	pid_t pid;
	ssize_t n;

	pid = my_fork(_metadata);
	if (!pid) {
		close(link->fd[0]);
		n = recv(link->fd[1], buf, sizeof(buf), 0);
		_exit(n < 0 ? 100 + errno : n);
	}
	EXPECT_TRUE(wait_asleep(pid));
	return pid;
}

TEST_F(message, reader_waits)
{
	pid_t pid = fork_reader(_metadata, &self->link);

	link_expect_send(_metadata, &self->link, 0, "abc");
	EXPECT_EQ(3, my_wait(pid));
}

TEST_F(message, readers_get_one_each)
{
	struct link *link = &self->link;
	pid_t pid[3];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(pid); i++)
		pid[i] = fork_reader(_metadata, link);
	for (i = 0; i < ARRAY_SIZE(pid); i++)
		link_expect_send(_metadata, link, 0, "abc");
	for (i = 0; i < ARRAY_SIZE(pid); i++)
		EXPECT_EQ(3, my_wait(pid[i]));
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

TEST_F(message, reader_signal_eintr)
{
	pid_t pid;

	catch_signal(_metadata, 0);
	pid = fork_reader(_metadata, &self->link);
	kill(pid, SIGUSR1);
	EXPECT_EQ(100 + EINTR, my_wait(pid));
	link_expect_send(_metadata, &self->link, 0, "abc");
	expect_recv(_metadata, self->link.fd[1], "abc");
}

TEST_F(message, reader_signal_restart)
{
	pid_t pid;

	catch_signal(_metadata, SA_RESTART);
	pid = fork_reader(_metadata, &self->link);
	kill(pid, SIGUSR1);
	usleep(20000);
	EXPECT_TRUE(wait_asleep(pid));
	link_expect_send(_metadata, &self->link, 0, "abc");
	EXPECT_EQ(3, my_wait(pid));
}

/*
 * Several processes send through the same socket to a reader that is always
 * nearly full: nothing is lost, and what one of them sends stays in order.
 */
TEST_F(message, several_senders_in_order)
{
	struct link *link = &self->link;
	struct { int who, n; } in, out;
	int next[4] = {}, rounds = 60, i;
	pid_t pid[4];

	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 5000);
	for (i = 0; i < 4; i++) {
		pid[i] = my_fork(_metadata);
		if (pid[i])
			continue;
		out.who = i;
		for (out.n = 0; out.n < rounds; out.n++)
			if (link_send(link, 0, &out, sizeof(out), 0) < 0)
				_exit(errno);
		_exit(0);
	}

	set_timeout(_metadata, link->fd[1], SO_RCVTIMEO, WAIT_MS);
	for (i = 0; i < 4 * rounds; i++) {
		ASSERT_EQ((ssize_t)sizeof(in),
			  recv(link->fd[1], &in, sizeof(in), 0));
		ASSERT_TRUE(in.who >= 0 && in.who < 4);
		ASSERT_EQ(next[in.who]++, in.n);
	}
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, my_wait(pid[i]));
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

/* Messages of all lengths through a small buffer, in both directions at once */
TEST_F(message, ping_pong_of_all_lengths)
{
	struct link *link = &self->link;
	static char out[20000], in[20001];
	unsigned int seed = 1;
	size_t len;
	ssize_t n;
	pid_t pid;
	int i;

	for (i = 0; i < 2; i++)
		set_int_opt(_metadata, link->fd[i], SO_RCVBUF, sizeof(out));
	pid = my_fork(_metadata);
	if (!pid) {
		for (i = 0; i < 120; i++) {
			n = recv(link->fd[1], in, sizeof(in), 0);
			if (n < 0 || link_send(link, 1, in, n, 0) != n)
				_exit(KSFT_FAIL);
		}
		_exit(KSFT_PASS);
	}

	set_timeout(_metadata, link->fd[0], SO_RCVTIMEO, WAIT_MS);
	for (i = 0; i < 120; i++) {
		seed = seed * 1103515245 + 12345;
		len = (seed >> 8) % sizeof(out);
		if (i % 2)
			len %= 200;
		fill_pattern(out, len, i);
		ASSERT_EQ((ssize_t)len, link_send(link, 0, out, len, 0));
		ASSERT_EQ((ssize_t)len, recv(link->fd[0], in, sizeof(in), 0));
		ASSERT_EQ(0, memcmp(in, out, len));
	}
	EXPECT_EQ(KSFT_PASS, my_wait(pid));
}

/* shutdown(), as far as both types agree */

TEST_F(message, shutdown_rd_reads_queued_then_end)
{
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 0, "queued");
	link_expect_send(_metadata, link, 0, "too");
	ASSERT_EQ(0, shutdown(link->fd[1], SHUT_RD));
	expect_recv(_metadata, link->fd[1], "queued");
	expect_recv(_metadata, link->fd[1], "too");
	expect_eof(_metadata, link->fd[1]);
	expect_eof(_metadata, link->fd[1]);
}

TEST_F(message, shutdown_rd_send_to_it_epipe)
{
	struct link *link = &self->link;

	ASSERT_EQ(0, shutdown(link->fd[1], SHUT_RD));
	EXPECT_EQ(EPIPE, link_try_send(link, 0));
	EXPECT_EQ(EPIPE, link_try_send(link, 0));
	expect_eof(_metadata, link->fd[1]);
}

TEST_F(message, shutdown_rd_can_still_send)
{
	struct link *link = &self->link;

	ASSERT_EQ(0, shutdown(link->fd[1], SHUT_RD));
	link_expect_send(_metadata, link, 1, "abc");
	expect_recv(_metadata, link->fd[0], "abc");
}

TEST_F(message, shutdown_wr_own_send_epipe)
{
	struct link *link = &self->link;

	ASSERT_EQ(0, shutdown(link->fd[0], SHUT_WR));
	EXPECT_EQ(EPIPE, link_try_send(link, 0));
	EXPECT_EQ(EPIPE, link_try_send(link, 0));
}

TEST_F(message, shutdown_wr_can_still_receive)
{
	struct link *link = &self->link;

	ASSERT_EQ(0, shutdown(link->fd[0], SHUT_WR));
	link_expect_send(_metadata, link, 1, "abc");
	expect_recv(_metadata, link->fd[0], "abc");
	EXPECT_EQ(EAGAIN, try_recv(link->fd[0]));
}

TEST_F(message, shutdown_bad_how_einval)
{
	struct link *link = &self->link;

	EXPECT_EQ(EINVAL, err_of(shutdown(link->fd[0], 3)));
	EXPECT_EQ(EINVAL, err_of(shutdown(link->fd[0], -1)));
	link_expect_send(_metadata, link, 0, "abc");
	expect_recv(_metadata, link->fd[1], "abc");
}

TEST_F(message, shutdown_rd_wakes_reader)
{
	pid_t pid = fork_reader(_metadata, &self->link);

	ASSERT_EQ(0, shutdown(self->link.fd[1], SHUT_RD));
	EXPECT_EQ(0, my_wait(pid));
}

TEST_F(message, shutdown_rd_wakes_sender_epipe)
{
	pid_t pid;

	full(_metadata, &self->link);
	pid = fork_sender(_metadata, &self->link);
	ASSERT_EQ(0, shutdown(self->link.fd[1], SHUT_RD));
	EXPECT_EQ(EPIPE, my_wait(pid));
}

TEST_F(message, shutdown_wr_wakes_own_sender_epipe)
{
	pid_t pid;

	full(_metadata, &self->link);
	pid = fork_sender(_metadata, &self->link);
	ASSERT_EQ(0, shutdown(self->link.fd[0], SHUT_WR));
	EXPECT_EQ(EPIPE, my_wait(pid));
}

/* A sender that waits finds the receiver gone. */
TEST_F(message, close_wakes_sender)
{
	pid_t pid;

	full(_metadata, &self->link);
	pid = fork_sender(_metadata, &self->link);
	link_close(&self->link, 1);
	EXPECT_EQ(variant->type == SOCK_SEQPACKET ? EPIPE : ECONNREFUSED,
		  my_wait(pid));
}

TEST_F(message, close_then_send)
{
	link_close(&self->link, 1);
	EXPECT_EQ(variant->type == SOCK_SEQPACKET ? EPIPE : ECONNREFUSED,
		  link_try_send(&self->link, 0));
}

/* Messages that were sent before the sender is closed can be read. */
TEST_F(message, close_leaves_what_was_sent)
{
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "");
	link_expect_send(_metadata, link, 0, "last");
	link_close(link, 0);
	expect_recv(_metadata, link->fd[1], "abc");
	expect_recv(_metadata, link->fd[1], "");
	expect_recv(_metadata, link->fd[1], "last");
}

/* poll() and epoll */

#define IN_OUT	(POLLIN | POLLOUT)

TEST_F(message, poll_idle)
{
	EXPECT_EQ(POLLOUT, poll_now(self->link.fd[0]));
	EXPECT_EQ(POLLOUT, poll_now(self->link.fd[1]));
}

TEST_F(message, poll_in_while_messages_wait)
{
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "def");
	EXPECT_EQ(IN_OUT, poll_now(link->fd[1]));
	EXPECT_EQ(0, try_recv(link->fd[1]));
	EXPECT_EQ(IN_OUT, poll_now(link->fd[1]));
	EXPECT_EQ(0, try_recv(link->fd[1]));
	EXPECT_EQ(POLLOUT, poll_now(link->fd[1]));
}

/* Who names the receiver with each send could send to somebody else. */
TEST_F(message, poll_full)
{
	struct link *link = &self->link;

	full(_metadata, link);
	EXPECT_EQ(variant->made == BY_ADDRESS ? POLLOUT : 0,
		  poll_now(link->fd[0]));
	EXPECT_EQ(IN_OUT, poll_now(link->fd[1]));
	link_drain(_metadata, link, 1);
	EXPECT_EQ(POLLOUT, poll_now(link->fd[0]));
}

TEST_F(connected, poll_out_iff_sendable)
{
	struct link *link = &self->link;
	bool out = true;
	char buf[1000];
	ssize_t n;

	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 10000);
	do {
		out = poll_now(link->fd[0]) & POLLOUT;
		n = link_send(link, 0, buf, 700, MSG_DONTWAIT);
		ASSERT_EQ(out, n > 0);
	} while (n > 0);

	while (recv(link->fd[1], buf, 700, MSG_DONTWAIT) > 0) {
		out = poll_now(link->fd[0]) & POLLOUT;
		ASSERT_EQ(out, !link_try_send(link, 0));
		if (out)
			break;
	}
	EXPECT_TRUE(out);
}

TEST_F(message, poll_in_wakes)
{
	struct link *link = &self->link;
	pid_t pid = my_fork(_metadata);

	if (!pid)
		_exit(poll_for(link->fd[1], POLLIN, WAIT_MS) != POLLIN);
	EXPECT_TRUE(wait_asleep(pid));
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(0, my_wait(pid));
}

TEST_F(connected, poll_out_wakes)
{
	struct link *link = &self->link;
	pid_t pid;

	full(_metadata, link);
	pid = my_fork(_metadata);
	if (!pid)
		_exit(poll_for(link->fd[0], POLLOUT, WAIT_MS) != POLLOUT);
	EXPECT_TRUE(wait_asleep(pid));
	link_drain(_metadata, link, 1);
	EXPECT_EQ(0, my_wait(pid));
}

static int epoll_of(struct __test_metadata *_metadata, int fd, __u32 events)
{
	struct epoll_event event = { .events = events };
	int epoll = epoll_create1(0);

	ASSERT_LE(0, epoll);
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	return epoll;
}

/* The events epoll has now, 0 for none */
static int epoll_now(int epoll)
{
	struct epoll_event event;
	int n = epoll_wait(epoll, &event, 1, 0);

	return n < 0 ? -1 : n ? (int)event.events : 0;
}

TEST_F(message, edge_in_for_each_message)
{
	struct link *link = &self->link;
	int epoll = epoll_of(_metadata, link->fd[1], EPOLLIN | EPOLLET);
	int i;

	EXPECT_EQ(0, epoll_now(epoll));
	for (i = 0; i < 5; i++) {
		link_expect_send(_metadata, link, 0, i % 2 ? "abc" : "");
		EXPECT_EQ(EPOLLIN, epoll_now(epoll));
		EXPECT_EQ(0, epoll_now(epoll));
	}
	link_drain(_metadata, link, 1);
	EXPECT_EQ(0, epoll_now(epoll));
}

/* Once EAGAIN has been seen: nobody asked poll() again. */
TEST_F(connected, edge_out_after_eagain)
{
	struct link *link = &self->link;
	int epoll = epoll_of(_metadata, link->fd[0], EPOLLOUT | EPOLLET);
	int i;

	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 10000);
	EXPECT_EQ(EPOLLOUT, epoll_now(epoll));
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(0, epoll_now(epoll));
		link_fill(_metadata, link, 0, 700);
		link_drain(_metadata, link, 1);
		EXPECT_EQ(EPOLLOUT, epoll_now(epoll));
	}
}

/* Not before there is room */
TEST_F(connected, edge_out_only_with_room)
{
	struct link *link = &self->link;
	int epoll = epoll_of(_metadata, link->fd[0], EPOLLOUT | EPOLLET);
	int events = 0;
	char buf[700];

	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 10000);
	EXPECT_EQ(EPOLLOUT, epoll_now(epoll));
	link_fill(_metadata, link, 0, 700);
	EXPECT_EQ(0, epoll_now(epoll));
	EXPECT_EQ(0, epoll_now(epoll));
	while (!events && recv(link->fd[1], buf, 700, MSG_DONTWAIT) > 0)
		events = epoll_now(epoll);
	EXPECT_EQ(EPOLLOUT, events);
	EXPECT_EQ(0, link_try_send(link, 0));
}

TEST_F(message, level_in_repeats)
{
	struct link *link = &self->link;
	int epoll = epoll_of(_metadata, link->fd[1], EPOLLIN);

	link_expect_send(_metadata, link, 0, "");
	EXPECT_EQ(EPOLLIN, epoll_now(epoll));
	EXPECT_EQ(EPOLLIN, epoll_now(epoll));
	expect_recv(_metadata, link->fd[1], "");
	EXPECT_EQ(0, epoll_now(epoll));
}

TEST_F(message, poll_shutdown_rd)
{
	struct link *link = &self->link;

	ASSERT_EQ(0, shutdown(link->fd[1], SHUT_RD));
	EXPECT_EQ(POLLIN | POLLRDHUP,
		  poll_now(link->fd[1]) & (POLLIN | POLLRDHUP | POLLHUP));
	EXPECT_EQ(0, poll_now(link->fd[0]) & (POLLIN | POLLRDHUP | POLLHUP));
}

TEST_F(message, poll_shutdown_rdwr_hup)
{
	struct link *link = &self->link;
	int hup = POLLIN | POLLRDHUP | POLLHUP;

	ASSERT_EQ(0, shutdown(link->fd[1], SHUT_RDWR));
	EXPECT_EQ(hup, poll_now(link->fd[1]) & (hup | POLLERR));
	/* DGRAM: it is this end's affair alone. */
	EXPECT_EQ(variant->type == SOCK_SEQPACKET ? hup : 0,
		  poll_now(link->fd[0]) & (hup | POLLERR));
}

TEST_F(message, poll_peer_closed)
{
	struct link *link = &self->link;
	int hup = POLLIN | POLLRDHUP | POLLHUP;

	link_close(link, 1);
	EXPECT_EQ(variant->type == SOCK_SEQPACKET ? hup : 0,
		  poll_now(link->fd[0]) & (hup | POLLERR));
}

/* The sender's address */

/* recvfrom() with @room bytes for the address; tells its length */
static int recv_name(struct __test_metadata *_metadata, int fd, int flags,
		     struct sockaddr_my *name, socklen_t room)
{
	char c;

	memset(name, 0xff, sizeof(*name));
	EXPECT_EQ(1, recvfrom(fd, &c, 1, flags | MSG_DONTWAIT,
			      (struct sockaddr *)name, &room));
	return room;
}

TEST_F(message, sender_address)
{
	struct link *link = &self->link;
	struct sockaddr_my name;
	socklen_t len;

	link_expect_send(_metadata, link, 0, "x");
	len = recv_name(_metadata, link->fd[1], 0, &name, sizeof(name));
	EXPECT_EQ(sizeof(name), len);
	EXPECT_EQ(AF_MYPROTO, name.smy_family);
	EXPECT_EQ(0, name.__smy_pad);
	EXPECT_EQ(my_channel(_metadata, link->fd[0]), name.smy_channel);
	EXPECT_LE(DYNAMIC_START, name.smy_channel);
}

TEST_F(message, sender_address_peeked)
{
	struct link *link = &self->link;
	struct sockaddr_my peeked, name;
	socklen_t len;

	link_expect_send(_metadata, link, 0, "x");
	len = recv_name(_metadata, link->fd[1], MSG_PEEK, &peeked,
			sizeof(peeked));
	EXPECT_EQ((int)len, recv_name(_metadata, link->fd[1], 0, &name,
				      sizeof(name)));
	EXPECT_EQ(sizeof(name), len);
	EXPECT_EQ(0, memcmp(&name, &peeked, len));
}

/* Cut to the room there is, the length is the true one. */
TEST_F(message, sender_address_cut)
{
	struct link *link = &self->link;
	struct sockaddr_my name;

	link_expect_send(_metadata, link, 0, "x");
	EXPECT_EQ((int)sizeof(name), recv_name(_metadata, link->fd[1], 0,
					       &name, 4));
	EXPECT_EQ(AF_MYPROTO, name.smy_family);
	EXPECT_EQ(0xffffffffU, name.smy_channel);
}

/* ... of the accepted end as well, which has its listener's. */
TEST_F(message, answer_address)
{
	struct link *link = &self->link;
	struct sockaddr_my name;
	socklen_t len;

	link_expect_send(_metadata, link, 1, "x");
	len = recv_name(_metadata, link->fd[0], 0, &name, sizeof(name));
	EXPECT_EQ(sizeof(name), len);
	EXPECT_EQ(my_channel(_metadata, link->fd[1]), name.smy_channel);
}

/* ... and of sockets without a channel there is none. */
TEST_F(connected, socketpair_no_address)
{
	struct link *link = &self->link;
	struct sockaddr_my name;

	link_expect_send(_metadata, link, 0, "x");
	EXPECT_EQ(variant->made == BY_PAIR ? 0 : (int)sizeof(name),
		  recv_name(_metadata, link->fd[1], 0, &name, sizeof(name)));
}

TEST_F(connected, boundaries_and_lengths)
{
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 0, "a");
	link_expect_send(_metadata, link, 0, "");
	link_expect_send(_metadata, link, 0, "bcd");
	expect_recv(_metadata, link->fd[1], "a");
	expect_recv(_metadata, link->fd[1], "");
	expect_recv(_metadata, link->fd[1], "bcd");
	expect_passes(_metadata, link, 4096);
	expect_passes(_metadata, link, 212992);
	expect_emsgsize(_metadata, link, LONGEST + 1);
}

/* The address stays known when its owner is gone. */
TEST_F(message, sender_address_after_close)
{
	struct link *link = &self->link;
	struct sockaddr_my name;
	__u32 channel;

	channel = my_channel(_metadata, link->fd[0]);
	link_expect_send(_metadata, link, 0, "x");
	link_close(link, 0);
	EXPECT_EQ((int)sizeof(name), recv_name(_metadata, link->fd[1], 0,
					       &name, sizeof(name)));
	EXPECT_EQ(channel, name.smy_channel);
}

/* Many sockets, one after the other: nothing is left of them. */
TEST_F(message, closed_with_messages_queued)
{
	struct link link;
	int i;

	for (i = 0; i < 15; i++) {
		link_make(_metadata, &link, variant->type, variant->made);
		link_expect_send(_metadata, &link, 0, "unread");
		link_expect_send(_metadata, &link, 1, "unread");
		link_destroy(&link);
	}
	link_expect_send(_metadata, &self->link, 0, "abc");
	expect_recv(_metadata, self->link.fd[1], "abc");
}

/* SEQPACKET only */

FIXTURE(seqpacket)
{
	struct link link;
};

FIXTURE_VARIANT(seqpacket)
{
	enum made made;
};

FIXTURE_VARIANT_ADD(seqpacket, connection)
{
	.made = BY_CONNECT,
};

FIXTURE_VARIANT_ADD(seqpacket, socketpair)
{
	.made = BY_PAIR,
};

FIXTURE_SETUP(seqpacket)
{
	link_make(_metadata, &self->link, SOCK_SEQPACKET, variant->made);
}

FIXTURE_TEARDOWN(seqpacket)
{
	link_destroy(&self->link);
}

static int recv_eor(int fd, int flags)
{
	int msg_flags;
	char buf[8];

	if (recv_flags(fd, buf, sizeof(buf), flags, &msg_flags) < 0)
		return -1;
	return msg_flags;
}

TEST_F(seqpacket, eor_carried)
{
	struct link *link = &self->link;

	EXPECT_EQ(3, link_send(link, 0, "abc", 3, MSG_EOR));
	EXPECT_EQ(3, link_send(link, 0, "abc", 3, 0));
	EXPECT_EQ(0, link_send(link, 0, "", 0, MSG_EOR));
	EXPECT_EQ(0, link_send(link, 0, "", 0, 0));
	EXPECT_EQ(MSG_EOR, recv_eor(link->fd[1], 0));
	EXPECT_EQ(0, recv_eor(link->fd[1], 0));
	EXPECT_EQ(MSG_EOR, recv_eor(link->fd[1], 0));
	EXPECT_EQ(0, recv_eor(link->fd[1], 0));
}

TEST_F(seqpacket, eor_peeked)
{
	struct link *link = &self->link;

	EXPECT_EQ(3, link_send(link, 0, "abc", 3, MSG_EOR));
	EXPECT_EQ(MSG_EOR, recv_eor(link->fd[1], MSG_PEEK));
	EXPECT_EQ(MSG_EOR, recv_eor(link->fd[1], MSG_PEEK));
	EXPECT_EQ(MSG_EOR, recv_eor(link->fd[1], 0));
}

TEST_F(seqpacket, eor_of_cut_message)
{
	struct link *link = &self->link;
	int flags;
	char c;

	EXPECT_EQ(3, link_send(link, 0, "abc", 3, MSG_EOR));
	EXPECT_EQ(1, recv_flags(link->fd[1], &c, 1, 0, &flags));
	EXPECT_EQ(MSG_EOR | MSG_TRUNC, flags);
}

TEST_F(seqpacket, eor_of_large_message)
{
	struct link *link = &self->link;
	char *buf = calloc(1, 100000);
	int flags;

	ASSERT_NE(NULL, buf);
	EXPECT_EQ(100000, link_send(link, 0, buf, 100000, MSG_EOR));
	EXPECT_EQ(100000, recv_flags(link->fd[1], buf, 100000, 0, &flags));
	EXPECT_EQ(MSG_EOR, flags);
	free(buf);
}

TEST_F(seqpacket, eor_by_sendmmsg)
{
	struct link *link = &self->link;
	struct many many;

	EXPECT_EQ(2, sendmmsg(link->fd[0], make_many(link, &many, true), 2,
			      MSG_EOR));
	EXPECT_EQ(MSG_EOR, recv_eor(link->fd[1], 0));
	EXPECT_EQ(MSG_EOR, recv_eor(link->fd[1], 0));
}

/* The socket layer adds MSG_EOR to what is written: see sock_write_iter(). */
TEST_F(seqpacket, write_is_a_record)
{
	struct link *link = &self->link;

	EXPECT_EQ(3, write(link->fd[0], "abc", 3));
	EXPECT_EQ(3, write(link->fd[0], "def", 3));
	EXPECT_EQ(MSG_EOR, recv_eor(link->fd[1], 0));
	EXPECT_EQ(MSG_EOR, recv_eor(link->fd[1], 0));
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

TEST_F(seqpacket, shutdown_wr_peer_reads_then_end)
{
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 0, "last");
	link_expect_send(_metadata, link, 0, "");
	ASSERT_EQ(0, shutdown(link->fd[0], SHUT_WR));
	expect_recv(_metadata, link->fd[1], "last");
	expect_recv(_metadata, link->fd[1], "");
	expect_eof(_metadata, link->fd[1]);
	expect_eof(_metadata, link->fd[1]);
}

/* The zero-length message and the end look alike but for what poll() says. */
TEST_F(seqpacket, shutdown_wr_poll)
{
	struct link *link = &self->link;
	int end = POLLIN | POLLRDHUP | POLLOUT;

	link_expect_send(_metadata, link, 0, "");
	EXPECT_EQ(POLLIN | POLLOUT, poll_now(link->fd[1]));
	ASSERT_EQ(0, shutdown(link->fd[0], SHUT_WR));
	EXPECT_EQ(end, poll_now(link->fd[1]));
	expect_recv(_metadata, link->fd[1], "");
	EXPECT_EQ(end, poll_now(link->fd[1]));
	EXPECT_EQ(0, poll_now(link->fd[0]) & (POLLIN | POLLRDHUP | POLLHUP));
}

TEST_F(seqpacket, shutdown_rdwr_both_see_the_end)
{
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 0, "there");
	link_expect_send(_metadata, link, 1, "back");
	ASSERT_EQ(0, shutdown(link->fd[0], SHUT_RDWR));
	EXPECT_EQ(EPIPE, link_try_send(link, 0));
	EXPECT_EQ(EPIPE, link_try_send(link, 1));
	expect_recv(_metadata, link->fd[0], "back");
	expect_recv(_metadata, link->fd[1], "there");
	expect_eof(_metadata, link->fd[0]);
	expect_eof(_metadata, link->fd[1]);
}

TEST_F(seqpacket, close_peer_reads_then_end)
{
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 0, "last");
	link_close(link, 0);
	expect_recv(_metadata, link->fd[1], "last");
	expect_eof(_metadata, link->fd[1]);
	expect_eof(_metadata, link->fd[1]);
}

TEST_F(seqpacket, close_with_unread_peer_econnreset_once)
{
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 1, "unread");
	link_close(link, 0);
	EXPECT_EQ(ECONNRESET, try_recv(link->fd[1]));
	expect_eof(_metadata, link->fd[1]);
	expect_eof(_metadata, link->fd[1]);
}

TEST_F(seqpacket, close_with_unread_zero_peer_econnreset_once)
{
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 1, "");
	link_close(link, 0);
	EXPECT_EQ(ECONNRESET, try_recv(link->fd[1]));
	expect_eof(_metadata, link->fd[1]);
}

/* Cut short it is read: nothing of it is left. */
TEST_F(seqpacket, close_with_cut_message_peer_end)
{
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 1, "abc");
	EXPECT_EQ(0, try_recv(link->fd[0]));
	link_close(link, 0);
	expect_eof(_metadata, link->fd[1]);
}

TEST_F(seqpacket, close_with_peeked_message_peer_econnreset)
{
	struct link *link = &self->link;
	char c;

	link_expect_send(_metadata, link, 1, "abc");
	EXPECT_EQ(1, recv(link->fd[0], &c, 1, MSG_PEEK));
	link_close(link, 0);
	EXPECT_EQ(ECONNRESET, try_recv(link->fd[1]));
	expect_eof(_metadata, link->fd[1]);
}

TEST_F(seqpacket, close_with_unread_peer_reads_own_queue_first)
{
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 1, "unread");
	link_expect_send(_metadata, link, 0, "last");
	link_close(link, 0);
	expect_recv(_metadata, link->fd[1], "last");
	EXPECT_EQ(ECONNRESET, try_recv(link->fd[1]));
	expect_eof(_metadata, link->fd[1]);
}

TEST_F(seqpacket, close_with_unread_poll_err)
{
	struct link *link = &self->link;
	int hup = POLLIN | POLLRDHUP | POLLHUP;

	link_expect_send(_metadata, link, 1, "");
	link_close(link, 0);
	EXPECT_EQ(hup | POLLERR, poll_now(link->fd[1]) & (hup | POLLERR));
	EXPECT_EQ(ECONNRESET, get_int_opt(_metadata, link->fd[1], SO_ERROR));
	EXPECT_EQ(hup, poll_now(link->fd[1]) & (hup | POLLERR));
	expect_eof(_metadata, link->fd[1]);
}

TEST_F(seqpacket, close_wakes_reader)
{
	pid_t pid = fork_reader(_metadata, &self->link);

	link_close(&self->link, 0);
	EXPECT_EQ(0, my_wait(pid));
}

TEST_F(seqpacket, close_with_unread_wakes_reader_econnreset)
{
	struct link *link = &self->link;
	pid_t pid;

	link_expect_send(_metadata, link, 1, "abc");
	pid = fork_reader(_metadata, link);
	link_close(link, 0);
	EXPECT_EQ(100 + ECONNRESET, my_wait(pid));
	expect_eof(_metadata, link->fd[1]);
}

TEST_F(seqpacket, shutdown_wr_wakes_reader)
{
	pid_t pid = fork_reader(_metadata, &self->link);

	ASSERT_EQ(0, shutdown(self->link.fd[0], SHUT_WR));
	EXPECT_EQ(0, my_wait(pid));
}

TEST_F(seqpacket, edge_in_by_close)
{
	struct link *link = &self->link;
	int epoll = epoll_of(_metadata, link->fd[1],
			     EPOLLIN | EPOLLRDHUP | EPOLLET);

	link_close(link, 0);
	EXPECT_EQ(EPOLLIN | EPOLLRDHUP | EPOLLHUP, epoll_now(epoll));
	EXPECT_EQ(0, epoll_now(epoll));
}

TEST_F_SIGNAL(seqpacket, sigpipe_own_shutdown, SIGPIPE)
{
	shutdown(self->link.fd[0], SHUT_WR);
	send(self->link.fd[0], "x", 1, 0);
}

TEST_F_SIGNAL(seqpacket, sigpipe_peer_shutdown, SIGPIPE)
{
	shutdown(self->link.fd[1], SHUT_RD);
	send(self->link.fd[0], "x", 1, 0);
}

TEST_F_SIGNAL(seqpacket, sigpipe_peer_closed, SIGPIPE)
{
	link_close(&self->link, 1);
	send(self->link.fd[0], "", 0, 0);
}

TEST_F_SIGNAL(seqpacket, sigpipe_by_write, SIGPIPE)
{
	link_close(&self->link, 1);
	if (write(self->link.fd[0], "x", 1) > 0)
		TH_LOG("write() succeeded");
}

TEST_F(seqpacket, sigpipe_ignored_epipe)
{
	signal(SIGPIPE, SIG_IGN);
	link_close(&self->link, 1);
	EXPECT_EQ(EPIPE, err_of(write(self->link.fd[0], "x", 1)));
}

TEST_F(seqpacket, nosignal_epipe)
{
	link_close(&self->link, 1);
	EXPECT_EQ(EPIPE, err_of(send(self->link.fd[0], "x", 1, MSG_NOSIGNAL)));
}

/* What is too long says so, and does not wait for the peer to be gone. */
TEST_F(seqpacket, too_long_no_signal)
{
	char *buf = calloc(1, BIG);

	ASSERT_NE(NULL, buf);
	EXPECT_EQ(EMSGSIZE, err_of(send(self->link.fd[0], buf, BIG, 0)));
	free(buf);
}

TEST_F(seqpacket, sendto_eisconn)
{
	EXPECT_EQ(EISCONN, err_of(my_sendto(self->link.fd[0], 5000, "x", 1,
					    0)));
	EXPECT_EQ(EAGAIN, try_recv(self->link.fd[1]));
}

/* SEQPACKET sockets that are not connected */

TEST(seqpacket_unconnected_sendto_eopnotsupp)
{
	int fd = type_socket(_metadata, SOCK_SEQPACKET);
	__u32 channel;

	type_listener(_metadata, SOCK_SEQPACKET, &channel);
	EXPECT_EQ(EOPNOTSUPP, err_of(my_sendto(fd, channel, "x", 1, 0)));
}

TEST(seqpacket_unconnected_enotconn)
{
	int fd = type_socket(_metadata, SOCK_SEQPACKET);

	EXPECT_EQ(ENOTCONN, try_send(fd));
	EXPECT_EQ(ENOTCONN, try_recv(fd));
	EXPECT_EQ(ENOTCONN, err_of(send(fd, "", 0, 0)));
	EXPECT_EQ(ENOTCONN, err_of(shutdown(fd, SHUT_RDWR)));
	ASSERT_EQ(0, my_bind(fd, MYPROTO_CHANNEL_ANY));
	EXPECT_EQ(ENOTCONN, try_send(fd));
	EXPECT_EQ(ENOTCONN, try_recv(fd));
}

TEST(seqpacket_listening_enotconn)
{
	__u32 channel;
	int fd = type_listener(_metadata, SOCK_SEQPACKET, &channel);

	EXPECT_EQ(ENOTCONN, try_send(fd));
	EXPECT_EQ(ENOTCONN, try_recv(fd));
}

TEST(seqpacket_unconnected_getpeername_enotconn)
{
	struct sockaddr_my addr;
	socklen_t len = sizeof(addr);
	int fd = type_socket(_metadata, SOCK_SEQPACKET);

	EXPECT_EQ(ENOTCONN, err_of(getpeername(fd, (struct sockaddr *)&addr,
					       &len)));
}

TEST(seqpacket_unconnected_poll)
{
	int fd = type_socket(_metadata, SOCK_SEQPACKET);

	EXPECT_EQ(POLLOUT | POLLHUP, poll_now(fd));
}

/* What was sent before accept() is there after it, message by message. */
TEST(seqpacket_send_before_accept)
{
	int listener, client, server;
	__u32 channel;

	listener = type_listener(_metadata, SOCK_SEQPACKET, &channel);
	client = type_socket(_metadata, SOCK_SEQPACKET);
	ASSERT_EQ(0, my_connect(client, channel));
	expect_send(_metadata, client, "abc");
	expect_send(_metadata, client, "");
	expect_send(_metadata, client, "def");
	server = accept(listener, NULL, NULL);
	ASSERT_LE(0, server);
	expect_recv(_metadata, server, "abc");
	expect_recv(_metadata, server, "");
	expect_recv(_metadata, server, "def");
	EXPECT_EQ(EAGAIN, try_recv(server));
}

TEST(seqpacket_close_listener_client_econnreset_once)
{
	int listener, client;
	__u32 channel;

	listener = type_listener(_metadata, SOCK_SEQPACKET, &channel);
	client = type_socket(_metadata, SOCK_SEQPACKET);
	ASSERT_EQ(0, my_connect(client, channel));
	expect_send(_metadata, client, "unread");
	close(listener);
	EXPECT_EQ(ECONNRESET, try_recv(client));
	expect_eof(_metadata, client);
	EXPECT_EQ(EPIPE, try_send(client));
}

TEST(seqpacket_connect_unspec_einval)
{
	struct sockaddr_my addr = { .smy_family = AF_UNSPEC };
	struct link link;

	link_make(_metadata, &link, SOCK_SEQPACKET, BY_CONNECT);
	EXPECT_EQ(EINVAL, err_of(connect(link.fd[0], (struct sockaddr *)&addr,
					 sizeof(addr))));
	link_expect_send(_metadata, &link, 0, "abc");
	expect_recv(_metadata, link.fd[1], "abc");
}

/* connect() to, and from, each of the types */

FIXTURE(types)
{
	int target;
	__u32 channel;
};

FIXTURE_VARIANT(types)
{
	int type;	/* of who calls */
	int target;	/* of who is called */
	bool listens;
	int err;
};

FIXTURE_VARIANT_ADD(types, stream_to_stream)
{
	.type = SOCK_STREAM,
	.target = SOCK_STREAM,
	.listens = true,
};

FIXTURE_VARIANT_ADD(types, stream_to_seqpacket)
{
	.type = SOCK_STREAM,
	.target = SOCK_SEQPACKET,
	.listens = true,
	.err = EPROTOTYPE,
};

FIXTURE_VARIANT_ADD(types, stream_to_dgram)
{
	.type = SOCK_STREAM,
	.target = SOCK_DGRAM,
	.err = EPROTOTYPE,
};

FIXTURE_VARIANT_ADD(types, seqpacket_to_stream)
{
	.type = SOCK_SEQPACKET,
	.target = SOCK_STREAM,
	.listens = true,
	.err = EPROTOTYPE,
};

FIXTURE_VARIANT_ADD(types, seqpacket_to_seqpacket)
{
	.type = SOCK_SEQPACKET,
	.target = SOCK_SEQPACKET,
	.listens = true,
};

FIXTURE_VARIANT_ADD(types, seqpacket_to_bound_seqpacket)
{
	.type = SOCK_SEQPACKET,
	.target = SOCK_SEQPACKET,
	.err = ECONNREFUSED,
};

FIXTURE_VARIANT_ADD(types, seqpacket_to_dgram)
{
	.type = SOCK_SEQPACKET,
	.target = SOCK_DGRAM,
	.err = EPROTOTYPE,
};

FIXTURE_VARIANT_ADD(types, dgram_to_stream)
{
	.type = SOCK_DGRAM,
	.target = SOCK_STREAM,
	.listens = true,
	.err = EPROTOTYPE,
};

FIXTURE_VARIANT_ADD(types, dgram_to_seqpacket)
{
	.type = SOCK_DGRAM,
	.target = SOCK_SEQPACKET,
	.listens = true,
	.err = EPROTOTYPE,
};

FIXTURE_VARIANT_ADD(types, dgram_to_bound_seqpacket)
{
	.type = SOCK_DGRAM,
	.target = SOCK_SEQPACKET,
	.err = EPROTOTYPE,
};

FIXTURE_VARIANT_ADD(types, dgram_to_dgram)
{
	.type = SOCK_DGRAM,
	.target = SOCK_DGRAM,
};

FIXTURE_SETUP(types)
{
	if (variant->listens)
		self->target = type_listener(_metadata, variant->target,
					     &self->channel);
	else
		self->target = type_bound(_metadata, variant->target,
					  &self->channel);
}

FIXTURE_TEARDOWN(types)
{
	close(self->target);
}

TEST_F(types, connect)
{
	int fd = type_socket(_metadata, variant->type);

	EXPECT_EQ(variant->err, err_of(my_connect(fd, self->channel)));
	/* One that was refused can still be used. */
	if (variant->err) {
		__u32 channel;

		if (variant->type == SOCK_DGRAM)
			type_bound(_metadata, SOCK_DGRAM, &channel);
		else
			type_listener(_metadata, variant->type, &channel);
		EXPECT_EQ(0, my_connect(fd, channel));
	}
}

/* All three types share the channels. */
TEST(bind_same_channel_eaddrinuse)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	__u32 channel;
	int i, j;

	for (i = 0; i < 3; i++) {
		type_bound(_metadata, types[i], &channel);
		for (j = 0; j < 3; j++)
			EXPECT_EQ(EADDRINUSE,
				  err_of(my_bind(type_socket(_metadata,
							     types[j]),
						 channel)));
	}
}

/* DGRAM: with addresses */

static ssize_t send_addr(int fd, __u32 channel, const void *buf, size_t len,
			 int flags)
{
	struct sockaddr_my addr = my_addr(channel);

	return sendto(fd, buf, len, flags, (struct sockaddr *)&addr,
		      sizeof(addr));
}

/* errno of sending one byte to @channel without waiting */
static int try_sendto(int fd, __u32 channel)
{
	return err_of(send_addr(fd, channel, "x", 1, MSG_DONTWAIT));
}

static void expect_sendto(struct __test_metadata *_metadata, int fd,
			  __u32 channel, const char *text)
{
	ssize_t len = strlen(text);

	EXPECT_EQ(len, send_addr(fd, channel, text, len, MSG_DONTWAIT))
		TH_LOG("%s", strerror(errno));
}

/* Receive @text; tells the sender's channel, -1 for no address */
static __s64 recv_from(struct __test_metadata *_metadata, int fd,
		       const char *text)
{
	ssize_t len = strlen(text);
	struct sockaddr_my addr;
	socklen_t addr_len = sizeof(addr);
	char buf[64] = "";

	EXPECT_EQ(len, recvfrom(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT,
				(struct sockaddr *)&addr, &addr_len));
	EXPECT_STREQ(text, buf);
	if (!addr_len)
		return -1;
	EXPECT_EQ(sizeof(addr), addr_len);
	EXPECT_EQ(AF_MYPROTO, addr.smy_family);
	return addr.smy_channel;
}

/* Three sockets, each with a channel, not connected */
FIXTURE(dgram)
{
	__u32 channel[3];
	int fd[3];
};

FIXTURE_SETUP(dgram)
{
	int i;

	for (i = 0; i < 3; i++)
		self->fd[i] = type_bound(_metadata, SOCK_DGRAM,
					 &self->channel[i]);
}

FIXTURE_TEARDOWN(dgram)
{
	int i;

	for (i = 0; i < 3; i++)
		close(self->fd[i]);
}

/* A channel that nobody has */
static __u32 free_channel(struct __test_metadata *_metadata)
{
	__u32 channel;

	close(type_bound(_metadata, SOCK_DGRAM, &channel));
	return channel;
}

TEST_F(dgram, sendto)
{
	expect_sendto(_metadata, self->fd[0], self->channel[1], "abc");
	EXPECT_EQ(self->channel[0], recv_from(_metadata, self->fd[1], "abc"));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[2]));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[0]));
}

TEST_F(dgram, sendto_several_receivers)
{
	expect_sendto(_metadata, self->fd[0], self->channel[1], "one");
	expect_sendto(_metadata, self->fd[0], self->channel[2], "two");
	expect_recv(_metadata, self->fd[2], "two");
	expect_recv(_metadata, self->fd[1], "one");
}

TEST_F(dgram, several_senders_one_receiver)
{
	expect_sendto(_metadata, self->fd[0], self->channel[2], "one");
	expect_sendto(_metadata, self->fd[1], self->channel[2], "two");
	expect_sendto(_metadata, self->fd[0], self->channel[2], "three");
	EXPECT_EQ(self->channel[0], recv_from(_metadata, self->fd[2], "one"));
	EXPECT_EQ(self->channel[1], recv_from(_metadata, self->fd[2], "two"));
	EXPECT_EQ(self->channel[0], recv_from(_metadata, self->fd[2],
					      "three"));
}

TEST_F(dgram, sendto_oneself)
{
	expect_sendto(_metadata, self->fd[0], self->channel[0], "abc");
	EXPECT_EQ(IN_OUT, poll_now(self->fd[0]));
	EXPECT_EQ(self->channel[0], recv_from(_metadata, self->fd[0], "abc"));
}

TEST_F(dgram, connect_oneself)
{
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[0]));
	expect_send(_metadata, self->fd[0], "abc");
	EXPECT_EQ(EPERM, try_sendto(self->fd[1], self->channel[0]));
	EXPECT_EQ(self->channel[0], recv_from(_metadata, self->fd[0], "abc"));
	EXPECT_EQ(self->channel[0], my_peer(_metadata, self->fd[0]));
}

TEST_F(dgram, connect_oneself_full)
{
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[0]));
	set_int_opt(_metadata, self->fd[0], SO_RCVBUF, 10000);
	my_fill(_metadata, self->fd[0], 1000);
	EXPECT_EQ(POLLIN, poll_now(self->fd[0]));
	my_drain(_metadata, self->fd[0]);
	EXPECT_EQ(POLLOUT, poll_now(self->fd[0]));
}

TEST_F(dgram, unbound_sender_is_bound)
{
	int fd = type_socket(_metadata, SOCK_DGRAM);
	__s64 channel;

	EXPECT_EQ(0, my_channel(_metadata, fd));
	expect_sendto(_metadata, fd, self->channel[1], "abc");
	channel = my_channel(_metadata, fd);
	EXPECT_LE(DYNAMIC_START, channel);
	EXPECT_EQ(channel, recv_from(_metadata, self->fd[1], "abc"));

	/* Once: the next send is from the same channel. */
	expect_sendto(_metadata, fd, self->channel[2], "def");
	EXPECT_EQ(channel, recv_from(_metadata, self->fd[2], "def"));
}

TEST_F(dgram, unbound_connector_is_bound)
{
	int fd = type_socket(_metadata, SOCK_DGRAM);
	__s64 channel;

	ASSERT_EQ(0, my_connect(fd, self->channel[1]));
	channel = my_channel(_metadata, fd);
	EXPECT_LE(DYNAMIC_START, channel);
	expect_send(_metadata, fd, "abc");
	EXPECT_EQ(channel, recv_from(_metadata, self->fd[1], "abc"));
}

TEST_F(dgram, reply_to_sender)
{
	int fd = type_socket(_metadata, SOCK_DGRAM);

	expect_sendto(_metadata, fd, self->channel[1], "question");
	expect_sendto(_metadata, self->fd[1],
		      recv_from(_metadata, self->fd[1], "question"), "answer");
	EXPECT_EQ(self->channel[1], recv_from(_metadata, fd, "answer"));
}

/* The address as it was given to recvfrom() serves sendto() unchanged. */
TEST_F(dgram, echo_with_returned_address)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	char c;

	expect_sendto(_metadata, self->fd[0], self->channel[1], "x");
	ASSERT_EQ(1, recvfrom(self->fd[1], &c, 1, 0, (struct sockaddr *)&addr,
			      &len));
	EXPECT_EQ(sizeof(struct sockaddr_my), len);
	EXPECT_EQ(1, sendto(self->fd[1], &c, 1, 0, (struct sockaddr *)&addr,
			    len));
	expect_recv(_metadata, self->fd[0], "x");
}

TEST_F(dgram, longer_address)
{
	struct {
		struct sockaddr_my addr;
		char more[24];
	} addr = { .addr = my_addr(self->channel[1]) };

	EXPECT_EQ(1, sendto(self->fd[0], "x", 1, 0, (struct sockaddr *)&addr,
			    sizeof(addr)));
	expect_recv(_metadata, self->fd[1], "x");
}

TEST_F(dgram, bad_addresses)
{
	struct sockaddr_my addr = my_addr(self->channel[1]);
	struct sockaddr *sa = (struct sockaddr *)&addr;
	int fd = self->fd[0];

	EXPECT_EQ(EINVAL, err_of(sendto(fd, "x", 1, 0, sa, 1)));
	EXPECT_EQ(EINVAL, err_of(sendto(fd, "x", 1, 0, sa, 7)));
	addr.__smy_pad = 1;
	EXPECT_EQ(EINVAL, err_of(sendto(fd, "x", 1, 0, sa, 8)));
	EXPECT_EQ(EINVAL, err_of(connect(fd, sa, 8)));
	addr.__smy_pad = 0;
	addr.smy_family = AF_INET;
	EXPECT_EQ(EAFNOSUPPORT, err_of(sendto(fd, "x", 1, 0, sa, 8)));
	EXPECT_EQ(EAFNOSUPPORT, err_of(connect(fd, sa, 8)));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[1]));
}

TEST_F(dgram, no_destination_edestaddrreq)
{
	EXPECT_EQ(EDESTADDRREQ, try_send(self->fd[0]));
	EXPECT_EQ(EDESTADDRREQ, err_of(write(self->fd[0], "x", 1)));
	EXPECT_EQ(EDESTADDRREQ, try_send(type_socket(_metadata, SOCK_DGRAM)));
	EXPECT_EQ(EDESTADDRREQ, err_of(send(self->fd[0], "", 0, 0)));
}

TEST_F(dgram, nobody_there_econnrefused)
{
	__u32 channel = free_channel(_metadata);

	EXPECT_EQ(ECONNREFUSED, try_sendto(self->fd[0], channel));
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(self->fd[0], channel)));
	/* Nothing was changed by that. */
	EXPECT_EQ(EDESTADDRREQ, try_send(self->fd[0]));
	expect_sendto(_metadata, self->fd[1], self->channel[0], "abc");
}

TEST_F(dgram, other_type_eprototype)
{
	__u32 stream, seqpacket, bound;

	type_listener(_metadata, SOCK_STREAM, &stream);
	type_listener(_metadata, SOCK_SEQPACKET, &seqpacket);
	type_bound(_metadata, SOCK_STREAM, &bound);
	EXPECT_EQ(EPROTOTYPE, try_sendto(self->fd[0], stream));
	EXPECT_EQ(EPROTOTYPE, try_sendto(self->fd[0], seqpacket));
	EXPECT_EQ(EPROTOTYPE, try_sendto(self->fd[0], bound));
}

TEST_F(dgram, listen_accept_eopnotsupp)
{
	EXPECT_EQ(EOPNOTSUPP, err_of(listen(self->fd[0], 1)));
	EXPECT_EQ(EOPNOTSUPP, err_of(accept(self->fd[0], NULL, NULL)));
	EXPECT_EQ(EOPNOTSUPP, err_of(listen(type_socket(_metadata, SOCK_DGRAM),
					    1)));
}

/* Neither replaces what it is connected to. */
TEST_F(dgram, channel_0_leaves_association)
{
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	EXPECT_EQ(EINVAL, err_of(my_connect(self->fd[0], 0)));
	EXPECT_EQ(EINVAL, try_sendto(self->fd[0], 0));
	expect_send(_metadata, self->fd[0], "abc");
	EXPECT_EQ(self->channel[0], recv_from(_metadata, self->fd[1], "abc"));
}

TEST_F(dgram, closed_receiver_econnrefused)
{
	expect_sendto(_metadata, self->fd[0], self->channel[1], "abc");
	close(self->fd[1]);
	EXPECT_EQ(ECONNREFUSED, try_sendto(self->fd[0], self->channel[1]));
	self->fd[1] = -1;
}

/* Without an association the channel is what counts, not who had it. */
TEST_F(dgram, sendto_next_owner_of_channel)
{
	close(self->fd[1]);
	self->fd[1] = type_socket(_metadata, SOCK_DGRAM);
	ASSERT_EQ(0, my_bind(self->fd[1], self->channel[1]));
	expect_sendto(_metadata, self->fd[0], self->channel[1], "abc");
	expect_recv(_metadata, self->fd[1], "abc");
}

TEST_F(dgram, recv_unbound_waits)
{
	int fd = type_socket(_metadata, SOCK_DGRAM);
	char c;

	EXPECT_EQ(EAGAIN, try_recv(fd));
	set_timeout(_metadata, fd, SO_RCVTIMEO, 20);
	EXPECT_EQ(EAGAIN, err_of(recv(fd, &c, 1, 0)));
	EXPECT_EQ(POLLOUT, poll_now(fd));
}

TEST_F(dgram, read_and_write)
{
	char buf[8] = "";

	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	EXPECT_EQ(3, write(self->fd[0], "abc", 3));
	EXPECT_EQ(3, read(self->fd[1], buf, sizeof(buf)));
	EXPECT_STREQ("abc", buf);
}

TEST_F(dgram, sendmmsg_to_several)
{
	struct sockaddr_my name[2] = {
		my_addr(self->channel[1]), my_addr(self->channel[2]),
	};
	struct iovec iov = { .iov_base = "abc", .iov_len = 3 };
	struct mmsghdr hdr[3] = {};
	int i;

	for (i = 0; i < 3; i++) {
		hdr[i].msg_hdr.msg_iov = &iov;
		hdr[i].msg_hdr.msg_iovlen = 1;
		hdr[i].msg_hdr.msg_name = &name[i % 2];
		hdr[i].msg_hdr.msg_namelen = sizeof(name[0]);
	}
	EXPECT_EQ(3, sendmmsg(self->fd[0], hdr, 3, 0));
	expect_recv(_metadata, self->fd[1], "abc");
	expect_recv(_metadata, self->fd[1], "abc");
	expect_recv(_metadata, self->fd[2], "abc");
}

/* What went before the error counts; the error comes with the next call. */
TEST_F(dgram, sendmmsg_stops_at_error)
{
	struct sockaddr_my name[2] = {
		my_addr(self->channel[1]), my_addr(free_channel(_metadata)),
	};
	struct iovec iov = { .iov_base = "abc", .iov_len = 3 };
	struct mmsghdr hdr[2] = {};
	int i;

	for (i = 0; i < 2; i++) {
		hdr[i].msg_hdr.msg_iov = &iov;
		hdr[i].msg_hdr.msg_iovlen = 1;
		hdr[i].msg_hdr.msg_name = &name[i];
		hdr[i].msg_hdr.msg_namelen = sizeof(name[0]);
	}
	EXPECT_EQ(1, sendmmsg(self->fd[0], hdr, 2, 0));
	EXPECT_EQ(ECONNREFUSED, err_of(sendmmsg(self->fd[0], hdr + 1, 1, 0)));
	expect_recv(_metadata, self->fd[1], "abc");
}

/* DGRAM: associations */

TEST_F(dgram, getpeername)
{
	struct sockaddr_my addr;
	socklen_t len = sizeof(addr);

	EXPECT_EQ(ENOTCONN, err_of(getpeername(self->fd[0],
					       (struct sockaddr *)&addr,
					       &len)));
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	EXPECT_EQ(self->channel[1], my_peer(_metadata, self->fd[0]));
	/* The other end was not asked and does not know. */
	EXPECT_EQ(ENOTCONN, err_of(getpeername(self->fd[1],
					       (struct sockaddr *)&addr,
					       &len)));
}

TEST_F(dgram, connected_receives_from_peer_only)
{
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	EXPECT_EQ(EPERM, try_sendto(self->fd[2], self->channel[0]));
	EXPECT_EQ(EPERM, err_of(my_connect(self->fd[2], self->channel[0])));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[0]));

	expect_sendto(_metadata, self->fd[1], self->channel[0], "abc");
	EXPECT_EQ(self->channel[1], recv_from(_metadata, self->fd[0], "abc"));
	EXPECT_EQ(0, my_connect(self->fd[1], self->channel[0]));
}

/* It is not the one who sends whose association counts. */
TEST_F(dgram, connected_sender_to_anybody)
{
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	expect_sendto(_metadata, self->fd[0], self->channel[2], "elsewhere");
	expect_send(_metadata, self->fd[0], "peer");
	expect_recv(_metadata, self->fd[2], "elsewhere");
	expect_recv(_metadata, self->fd[1], "peer");
	EXPECT_EQ(self->channel[1], my_peer(_metadata, self->fd[0]));
}

TEST_F(dgram, third_party_becomes_filtered)
{
	ASSERT_EQ(0, my_connect(self->fd[2], self->channel[0]));
	expect_send(_metadata, self->fd[2], "before");
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	EXPECT_EQ(EPERM, try_send(self->fd[2]));
	ASSERT_EQ(0, my_dissolve(self->fd[0]));
	expect_send(_metadata, self->fd[2], "after");
	expect_recv(_metadata, self->fd[0], "before");
	expect_recv(_metadata, self->fd[0], "after");
}

TEST_F(dgram, queued_before_connect_stays)
{
	expect_sendto(_metadata, self->fd[2], self->channel[0], "queued");
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	expect_sendto(_metadata, self->fd[1], self->channel[0], "new");
	EXPECT_EQ(self->channel[2], recv_from(_metadata, self->fd[0],
					      "queued"));
	EXPECT_EQ(self->channel[1], recv_from(_metadata, self->fd[0], "new"));
}

TEST_F(dgram, reconnect_moves)
{
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	expect_send(_metadata, self->fd[0], "one");
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[2]));
	EXPECT_EQ(self->channel[2], my_peer(_metadata, self->fd[0]));
	expect_send(_metadata, self->fd[0], "two");
	expect_recv(_metadata, self->fd[1], "one");
	expect_recv(_metadata, self->fd[2], "two");
	EXPECT_EQ(EPERM, try_sendto(self->fd[1], self->channel[0]));
	EXPECT_EQ(0, try_sendto(self->fd[2], self->channel[0]));
}

TEST_F(dgram, reconnect_same)
{
	int i;

	for (i = 0; i < 10; i++)
		ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	expect_send(_metadata, self->fd[0], "abc");
	expect_recv(_metadata, self->fd[1], "abc");
	EXPECT_EQ(self->channel[1], my_peer(_metadata, self->fd[0]));
}

/* A connect() that fails leaves what was. */
TEST_F(dgram, failed_reconnect_keeps_peer)
{
	__u32 stream;

	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	type_listener(_metadata, SOCK_STREAM, &stream);
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(self->fd[0],
						  free_channel(_metadata))));
	EXPECT_EQ(EPROTOTYPE, err_of(my_connect(self->fd[0], stream)));
	EXPECT_EQ(self->channel[1], my_peer(_metadata, self->fd[0]));
	expect_send(_metadata, self->fd[0], "abc");
	expect_recv(_metadata, self->fd[1], "abc");
}

TEST_F(dgram, unspec_dissolves)
{
	struct sockaddr_my addr;
	socklen_t len = sizeof(addr);

	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	ASSERT_EQ(0, my_dissolve(self->fd[0]));
	EXPECT_EQ(ENOTCONN, err_of(getpeername(self->fd[0],
					       (struct sockaddr *)&addr,
					       &len)));
	EXPECT_EQ(EDESTADDRREQ, try_send(self->fd[0]));
	EXPECT_EQ(0, try_sendto(self->fd[2], self->channel[0]));
	EXPECT_EQ(self->channel[0], my_channel(_metadata, self->fd[0]));
}

TEST_F(dgram, unspec_without_association)
{
	EXPECT_EQ(0, my_dissolve(self->fd[0]));
	EXPECT_EQ(0, my_dissolve(self->fd[0]));
	EXPECT_EQ(0, my_dissolve(type_socket(_metadata, SOCK_DGRAM)));
	expect_sendto(_metadata, self->fd[1], self->channel[0], "abc");
	expect_recv(_metadata, self->fd[0], "abc");
}

/* connect(2) asks for no more than the family then. */
TEST_F(dgram, unspec_short_address)
{
	struct sockaddr addr = { .sa_family = AF_UNSPEC };

	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	EXPECT_EQ(0, connect(self->fd[0], &addr, sizeof(addr.sa_family)));
	EXPECT_EQ(EDESTADDRREQ, try_send(self->fd[0]));
}

TEST_F(dgram, connect_to_unconnected_is_one_sided)
{
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[2]));
	ASSERT_EQ(0, my_connect(self->fd[1], self->channel[2]));
	expect_send(_metadata, self->fd[0], "one");
	expect_send(_metadata, self->fd[1], "two");
	expect_recv(_metadata, self->fd[2], "one");
	expect_recv(_metadata, self->fd[2], "two");
	EXPECT_EQ(EDESTADDRREQ, try_send(self->fd[2]));
	expect_sendto(_metadata, self->fd[2], self->channel[0], "back");
	expect_recv(_metadata, self->fd[0], "back");
}

/* An association is with a socket: who takes its channel is not it. */
TEST_F(dgram, closed_peer_econnrefused_until_connect)
{
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	close(self->fd[1]);
	EXPECT_EQ(ECONNREFUSED, try_send(self->fd[0]));

	self->fd[1] = type_socket(_metadata, SOCK_DGRAM);
	ASSERT_EQ(0, my_bind(self->fd[1], self->channel[1]));
	EXPECT_EQ(ECONNREFUSED, try_send(self->fd[0]));
	EXPECT_EQ(EPERM, try_sendto(self->fd[1], self->channel[0]));

	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	expect_send(_metadata, self->fd[0], "abc");
	expect_recv(_metadata, self->fd[1], "abc");
	EXPECT_EQ(0, try_sendto(self->fd[1], self->channel[0]));
}

TEST_F(dgram, closed_peer_then_unspec)
{
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	close(self->fd[1]);
	self->fd[1] = -1;
	ASSERT_EQ(0, my_dissolve(self->fd[0]));
	EXPECT_EQ(EDESTADDRREQ, try_send(self->fd[0]));
	expect_sendto(_metadata, self->fd[2], self->channel[0], "abc");
	expect_recv(_metadata, self->fd[0], "abc");
}

/* There is no end of a stream here: the reader goes on waiting. */
TEST_F(dgram, closed_peer_reader_waits)
{
	char c;

	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	ASSERT_EQ(0, my_connect(self->fd[1], self->channel[0]));
	expect_send(_metadata, self->fd[1], "last");
	close(self->fd[1]);
	self->fd[1] = -1;
	expect_recv(_metadata, self->fd[0], "last");
	EXPECT_EQ(EAGAIN, try_recv(self->fd[0]));
	set_timeout(_metadata, self->fd[0], SO_RCVTIMEO, 20);
	EXPECT_EQ(EAGAIN, err_of(recv(self->fd[0], &c, 1, 0)));
}

TEST_F(dgram, closed_peer_does_not_wake_reader)
{
	char c;
	pid_t pid;

	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	pid = my_fork(_metadata);
	if (!pid) {
		close(self->fd[1]);
		_exit(recv(self->fd[0], &c, 1, 0) != 1);
	}
	EXPECT_TRUE(wait_asleep(pid));
	close(self->fd[1]);
	usleep(20000);
	EXPECT_TRUE(wait_asleep(pid));

	/* Somebody else can still send, once that is allowed. */
	ASSERT_EQ(0, my_dissolve(self->fd[0]));
	expect_sendto(_metadata, self->fd[2], self->channel[0], "x");
	EXPECT_EQ(0, my_wait(pid));
	self->fd[1] = -1;
}

TEST_F(dgram, closed_with_unread_nobody_is_told)
{
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	expect_send(_metadata, self->fd[0], "unread");
	close(self->fd[1]);
	self->fd[1] = -1;
	EXPECT_EQ(EAGAIN, try_recv(self->fd[0]));
	EXPECT_EQ(0, get_int_opt(_metadata, self->fd[0], SO_ERROR));
	EXPECT_EQ(0, poll_now(self->fd[0]) & (POLLERR | POLLHUP | POLLIN));
}

/* A closed peer keeps nobody from sending: the send fails at once. */
TEST_F(dgram, closed_full_peer_out)
{
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	set_int_opt(_metadata, self->fd[1], SO_RCVBUF, 10000);
	my_fill(_metadata, self->fd[0], 1000);
	EXPECT_EQ(0, poll_now(self->fd[0]));
	close(self->fd[1]);
	self->fd[1] = -1;
	EXPECT_EQ(POLLOUT, poll_now(self->fd[0]) & POLLOUT);
	EXPECT_EQ(ECONNREFUSED, try_send(self->fd[0]));
}

/* Who moves away from a full receiver need not wait for it. */
TEST_F(dgram, reconnect_from_full_peer)
{
	int epoll;

	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	set_int_opt(_metadata, self->fd[1], SO_RCVBUF, 10000);
	epoll = epoll_of(_metadata, self->fd[0], EPOLLOUT);
	my_fill(_metadata, self->fd[0], 1000);
	EXPECT_EQ(0, epoll_now(epoll));
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[2]));
	EXPECT_EQ(EPOLLOUT, epoll_now(epoll));
	expect_send(_metadata, self->fd[0], "abc");
	expect_recv(_metadata, self->fd[2], "abc");
}

TEST_F(dgram, unspec_from_full_peer)
{
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	set_int_opt(_metadata, self->fd[1], SO_RCVBUF, 10000);
	my_fill(_metadata, self->fd[0], 1000);
	EXPECT_EQ(0, poll_now(self->fd[0]));
	ASSERT_EQ(0, my_dissolve(self->fd[0]));
	EXPECT_EQ(POLLOUT, poll_now(self->fd[0]));
}

/* A sender in its sleep is told when it is no longer wanted. */
TEST_F(dgram, waiting_sender_becomes_filtered)
{
	pid_t pid;

	set_int_opt(_metadata, self->fd[0], SO_RCVBUF, 10000);
	ASSERT_EQ(0, my_connect(self->fd[2], self->channel[0]));
	my_fill(_metadata, self->fd[2], 1000);
	pid = my_fork(_metadata);
	if (!pid)
		_exit(err_of(send(self->fd[2], "x", 1, 0)));
	EXPECT_TRUE(wait_asleep(pid));
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	my_drain(_metadata, self->fd[0]);
	EXPECT_EQ(EPERM, my_wait(pid));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[0]));
}

/* sendto() a full receiver, by one who is not connected */
TEST_F(dgram, sendto_waits_for_room)
{
	struct sockaddr_my addr;
	socklen_t len = sizeof(addr);
	char buf[1000];
	pid_t pid;
	ssize_t n;

	set_int_opt(_metadata, self->fd[1], SO_RCVBUF, 10000);
	while (send_addr(self->fd[0], self->channel[1], buf, sizeof(buf),
			 MSG_DONTWAIT) > 0)
		;
	EXPECT_EQ(EAGAIN, try_sendto(self->fd[2], self->channel[1]));
	pid = my_fork(_metadata);
	if (!pid)
		_exit(err_of(send_addr(self->fd[2], self->channel[1], "x", 1,
				       0)));
	EXPECT_TRUE(wait_asleep(pid));
	/* Elsewhere there is room. */
	EXPECT_EQ(0, try_sendto(self->fd[2], self->channel[0]));

	do {
		n = recvfrom(self->fd[1], buf, sizeof(buf), 0,
			     (struct sockaddr *)&addr, &len);
	} while (n == sizeof(buf));
	EXPECT_EQ(1, n);
	EXPECT_EQ(self->channel[2], addr.smy_channel);
	EXPECT_EQ(0, my_wait(pid));
}

/* Many sockets send to one that is nearly always full. */
TEST_F(dgram, many_senders_all_arrive)
{
	struct { int who, n; } in, out;
	int next[6] = {}, rounds = 40, i, fd;
	pid_t pid[6];

	set_int_opt(_metadata, self->fd[1], SO_RCVBUF, 5000);
	for (i = 0; i < 6; i++) {
		pid[i] = my_fork(_metadata);
		if (pid[i])
			continue;
		fd = socket(AF_MYPROTO, SOCK_DGRAM, 0);
		if (i % 2 && my_connect(fd, self->channel[1]))
			_exit(errno);
		out.who = i;
		for (out.n = 0; out.n < rounds; out.n++)
			if (send_addr(fd, self->channel[1], &out, sizeof(out),
				      0) < 0)
				_exit(errno);
		_exit(0);
	}

	set_timeout(_metadata, self->fd[1], SO_RCVTIMEO, WAIT_MS);
	for (i = 0; i < 6 * rounds; i++) {
		ASSERT_EQ((ssize_t)sizeof(in),
			  recv(self->fd[1], &in, sizeof(in), 0));
		ASSERT_TRUE(in.who >= 0 && in.who < 6);
		ASSERT_EQ(next[in.who]++, in.n);
	}
	for (i = 0; i < 6; i++)
		EXPECT_EQ(0, my_wait(pid[i]));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[1]));
}

/* Each of several connected senders hears of the room by poll(). */
TEST_F(dgram, room_wakes_all_pollers)
{
	pid_t pid[2];
	int i;

	set_int_opt(_metadata, self->fd[2], SO_RCVBUF, 10000);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, my_connect(self->fd[i], self->channel[2]));
	my_fill(_metadata, self->fd[0], 1000);
	for (i = 0; i < 2; i++) {
		pid[i] = my_fork(_metadata);
		if (!pid[i])
			_exit(poll_for(self->fd[i], POLLOUT, WAIT_MS) !=
			      POLLOUT);
		EXPECT_TRUE(wait_asleep(pid[i]));
	}
	my_drain(_metadata, self->fd[2]);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, my_wait(pid[i]));
}

/* ... and by an edge after EAGAIN, which each of them has seen. */
TEST_F(dgram, room_is_an_edge_for_all)
{
	int epoll[2], i;

	set_int_opt(_metadata, self->fd[2], SO_RCVBUF, 10000);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, my_connect(self->fd[i], self->channel[2]));
		epoll[i] = epoll_of(_metadata, self->fd[i],
				    EPOLLOUT | EPOLLET);
		EXPECT_EQ(EPOLLOUT, epoll_now(epoll[i]));
	}
	for (i = 0; i < 2; i++)
		my_fill(_metadata, self->fd[i], 1000);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, epoll_now(epoll[i]));
	my_drain(_metadata, self->fd[2]);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(EPOLLOUT, epoll_now(epoll[i]));
}

/* DGRAM: shutdown() is about this end alone */

TEST_F(dgram, shutdown_without_association)
{
	EXPECT_EQ(0, shutdown(self->fd[0], SHUT_WR));
	EXPECT_EQ(EPIPE, try_sendto(self->fd[0], self->channel[1]));
	EXPECT_EQ(0, try_sendto(self->fd[1], self->channel[0]));
	EXPECT_EQ(0, shutdown(self->fd[0], SHUT_RD));
	EXPECT_EQ(EPIPE, try_sendto(self->fd[1], self->channel[0]));
	EXPECT_EQ(0, shutdown(type_socket(_metadata, SOCK_DGRAM), SHUT_RDWR));
}

TEST_F(dgram, shutdown_rd_refuses_everybody)
{
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_RD));
	EXPECT_EQ(EPIPE, try_sendto(self->fd[1], self->channel[0]));
	EXPECT_EQ(EPIPE, try_sendto(self->fd[2], self->channel[0]));
	EXPECT_EQ(EPIPE, try_sendto(self->fd[0], self->channel[0]));
	expect_eof(_metadata, self->fd[0]);
}

/* The end is told rather than that there is no room. */
TEST_F(dgram, shutdown_rd_of_full_queue_epipe)
{
	while (!try_sendto(self->fd[1], self->channel[0]))
		;
	ASSERT_EQ(EAGAIN, try_sendto(self->fd[1], self->channel[0]));
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[2]));
	EXPECT_EQ(EPERM, try_sendto(self->fd[1], self->channel[0]));
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_RD));
	EXPECT_EQ(EPIPE, try_sendto(self->fd[1], self->channel[0]));
}

TEST_F(dgram, shutdown_wr_peer_sees_nothing)
{
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	ASSERT_EQ(0, my_connect(self->fd[1], self->channel[0]));
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_WR));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[1]));
	EXPECT_EQ(POLLOUT, poll_now(self->fd[1]));
	expect_send(_metadata, self->fd[1], "abc");
	expect_recv(_metadata, self->fd[0], "abc");
}

TEST_F(dgram, shutdown_poll)
{
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_WR));
	EXPECT_EQ(0, poll_now(self->fd[0]) & (POLLIN | POLLRDHUP | POLLHUP));
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_RD));
	EXPECT_EQ(POLLIN | POLLRDHUP | POLLHUP,
		  poll_now(self->fd[0]) & (POLLIN | POLLRDHUP | POLLHUP));
}

TEST_F(dgram, shutdown_rdwr_wakes_poll)
{
	pid_t pid = my_fork(_metadata);

	if (!pid)
		_exit(!(poll_for(self->fd[0], 0, WAIT_MS) & POLLHUP));
	EXPECT_TRUE(wait_asleep(pid));
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_RDWR));
	EXPECT_EQ(0, my_wait(pid));
}

/* A new association does not undo it. */
TEST_F(dgram, shutdown_then_connect)
{
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_WR));
	EXPECT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	EXPECT_EQ(EPIPE, try_send(self->fd[0]));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[1]));
}

/* SIGPIPE would end the test. */
TEST_F(dgram, never_sigpipe)
{
	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	ASSERT_EQ(0, shutdown(self->fd[1], SHUT_RD));
	EXPECT_EQ(EPIPE, err_of(send(self->fd[0], "x", 1, 0)));
	EXPECT_EQ(EPIPE, err_of(write(self->fd[0], "x", 1)));
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_WR));
	EXPECT_EQ(EPIPE, err_of(send(self->fd[0], "x", 1, 0)));
	EXPECT_EQ(EPIPE, err_of(write(self->fd[0], "x", 1)));
	EXPECT_EQ(EPIPE, err_of(send_addr(self->fd[0], self->channel[2], "x",
					  1, 0)));
	close(self->fd[1]);
	self->fd[1] = -1;
	EXPECT_TRUE(send(self->fd[0], "x", 1, 0) < 0);
}

/* DGRAM: socketpair() */

TEST_F(dgram, socketpair_has_no_channels)
{
	int fd[2];

	ASSERT_EQ(0, socketpair(AF_MYPROTO, SOCK_DGRAM, 0, fd));
	expect_send(_metadata, fd[0], "abc");
	EXPECT_EQ(-1, recv_from(_metadata, fd[1], "abc"));
	EXPECT_EQ(0, my_channel(_metadata, fd[0]));
	EXPECT_EQ(0, my_channel(_metadata, fd[1]));
	EXPECT_EQ(0, my_peer(_metadata, fd[0]));
}

TEST_F(dgram, socketpair_end_sends_elsewhere)
{
	__s64 channel;
	int fd[2];

	ASSERT_EQ(0, socketpair(AF_MYPROTO, SOCK_DGRAM, 0, fd));
	expect_sendto(_metadata, fd[0], self->channel[1], "abc");
	channel = my_channel(_metadata, fd[0]);
	EXPECT_LE(DYNAMIC_START, channel);
	EXPECT_EQ(channel, recv_from(_metadata, self->fd[1], "abc"));
	EXPECT_EQ(0, my_channel(_metadata, fd[1]));

	/* It is still one of a pair, and only its peer can send to it. */
	EXPECT_EQ(EPERM, try_sendto(self->fd[1], channel));
	expect_send(_metadata, fd[0], "def");
	EXPECT_EQ(channel, recv_from(_metadata, fd[1], "def"));
	expect_send(_metadata, fd[1], "ghi");
	EXPECT_EQ(-1, recv_from(_metadata, fd[0], "ghi"));
}

TEST_F(dgram, socketpair_end_connects_elsewhere)
{
	int fd[2];

	ASSERT_EQ(0, socketpair(AF_MYPROTO, SOCK_DGRAM, 0, fd));
	ASSERT_EQ(0, my_connect(fd[0], self->channel[1]));
	expect_send(_metadata, fd[0], "abc");
	expect_recv(_metadata, self->fd[1], "abc");
	EXPECT_EQ(EPERM, try_send(fd[1]));
	EXPECT_EQ(EAGAIN, try_recv(fd[0]));
}

TEST_F(dgram, socketpair_end_dissolved)
{
	int fd[2];

	ASSERT_EQ(0, socketpair(AF_MYPROTO, SOCK_DGRAM, 0, fd));
	ASSERT_EQ(0, my_dissolve(fd[0]));
	EXPECT_EQ(EDESTADDRREQ, try_send(fd[0]));
	/* The other end has not been asked. */
	expect_send(_metadata, fd[1], "abc");
	expect_recv(_metadata, fd[0], "abc");
}

TEST_F(dgram, socketpair_ends_are_filtered)
{
	__u32 channel;
	int fd[2];

	ASSERT_EQ(0, socketpair(AF_MYPROTO, SOCK_DGRAM, 0, fd));
	ASSERT_EQ(0, my_bind(fd[0], MYPROTO_CHANNEL_ANY));
	channel = my_channel(_metadata, fd[0]);
	EXPECT_EQ(EPERM, try_sendto(self->fd[0], channel));
	EXPECT_EQ(EPERM, err_of(my_connect(self->fd[0], channel)));
	expect_send(_metadata, fd[1], "abc");
	expect_recv(_metadata, fd[0], "abc");
}

TEST(unconnected_recv_oob_eopnotsupp)
{
	static const int types[] = { SOCK_SEQPACKET, SOCK_DGRAM };
	char c;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++)
		EXPECT_EQ(EOPNOTSUPP,
			  err_of(recv(type_socket(_metadata, types[i]), &c, 1,
				      MSG_OOB | MSG_DONTWAIT)));
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
