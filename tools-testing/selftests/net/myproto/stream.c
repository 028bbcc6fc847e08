// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO stream data: what send() and recv() do and refuse, how much recv()
 * returns and leaves, and that large transfers and small data arrive intact.
 */
#include <linux/sockios.h>

#include "cmsg.h"
#include "pair.h"
#include "worker.h"

#define PAGE_LEN	0x10000	/* a multiple of every page size */

FIXTURE_VARIANT_ADD(pair, connection) { .type = SOCK_STREAM };

/* The end of two pages of memory, where it faults */
static char *fault_after(struct __test_metadata *_metadata)
{
	char *p = mmap(NULL, 3 * PAGE_LEN, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 2 * PAGE_LEN;

	ASSERT_EQ(0, mprotect(p, PAGE_LEN, PROT_NONE));
	return p;
}

/* What is refused or has no bytes delivers nothing, and takes nothing. */
TEST_F(pair, refused_or_empty)
{
	char *bad = fault_after(_metadata), c;
	int out = self->fd[0], in = self->fd[1];

	EXPECT_EQ(EISCONN, err_of(my_sendto(out, 5000, "x", 1, 0)));
	EXPECT_EQ(EOPNOTSUPP, err_of(send(out, "x", 1, MSG_OOB)));
	EXPECT_EQ(EFAULT, err_of(send(out, bad, 100, 0)));
	EXPECT_EQ(EFAULT, err_of(send(out, bad, PAGE_LEN, 0)));
	EXPECT_EQ(0, send(out, NULL, 0, 0));
	/* There is no queue of errors to wait for. */
	EXPECT_EQ(EAGAIN, err_of(recv(in, &c, 1, MSG_ERRQUEUE)));
	expect_nothing(_metadata, in);

	expect_send(_metadata, out, "abc");
	EXPECT_EQ(0, send(out, NULL, 0, 0));
	EXPECT_EQ(EOPNOTSUPP, err_of(recv(in, &c, 1, MSG_OOB)));
	EXPECT_EQ(EAGAIN, err_of(recv(in, &c, 1, MSG_ERRQUEUE)));
	EXPECT_EQ(EFAULT, err_of(recv(in, bad, 100, 0)));
	expect_recv(_metadata, in, "abc");
	EXPECT_EQ(EAGAIN, try_recv(in));
}

TEST_F(pair, no_boundaries)
{
	char head[4] = "", tail[16] = "", zeros[100] = "";
	struct iovec vec_out[] = { { "a", 1 }, { NULL, 0 }, { "bcdef", 5 } };
	struct iovec vec_in[] = { { head, 3 }, { tail, sizeof(tail) - 1 } };
	int out = self->fd[0], in = self->fd[1];
	struct got got;

	EXPECT_EQ(6, writev(out, vec_out, ARRAY_SIZE(vec_out)));
	expect_send(_metadata, out, "ghi");
	EXPECT_EQ(9, readv(in, vec_in, ARRAY_SIZE(vec_in)));
	EXPECT_STREQ("abc", head);
	EXPECT_STREQ("defghi", tail);

	/* The rest stays queued, hence no MSG_TRUNC. */
	ASSERT_EQ(100, send(out, zeros, sizeof(zeros), 0));
	EXPECT_EQ(63, recv_got(in, &got, sizeof(got.control), 0));
	EXPECT_EQ(0, got.msg.msg_flags);
	EXPECT_EQ(0U, got.msg.msg_controllen);
	EXPECT_EQ(37U, my_drain(_metadata, in));
}

/* What was copied before a fault counts. The stream goes on after it. */
TEST_F(pair, fault_after_some_bytes)
{
	static char data[1 << 20], buf[1 << 20];
	int out = self->fd[0], in = self->fd[1];
	const ssize_t len = 100000;
	ssize_t n, queued;
	char *page;

	page = fault_after(_metadata) - len;
	fill_pattern(page, len, 1);
	n = send(out, page, 2 * len, 0);
	ASSERT_LT(0, n);
	ASSERT_GE(len, n);
	EXPECT_EQ(n, recv(in, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_EQ(0, memcmp(buf, page, n));
	EXPECT_EQ(EAGAIN, try_recv(in));

	fill_pattern(data, sizeof(data), 1);
	queued = send(out, data, sizeof(data), MSG_DONTWAIT);
	ASSERT_LT(len, queued);
	n = recv(in, page, 2 * len, 0);
	ASSERT_LT(0, n);
	ASSERT_GE(len, n);
	EXPECT_EQ(0, memcmp(page, data, n));
	EXPECT_EQ(queued - n, recv(in, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_EQ(0, memcmp(buf, data + n, queued - n));

	ASSERT_EQ(len, send(out, data, len, 0));
	/* The peek moves it to the reader's list, where "abc" does not go. */
	EXPECT_EQ(1, recv(in, buf, 1, MSG_PEEK));
	expect_send(_metadata, out, "abc");
	EXPECT_EQ(len, recv(in, page, 2 * len, MSG_PEEK | MSG_WAITALL));
	EXPECT_EQ(len + 3, my_drain(_metadata, in));
	EXPECT_EQ(0U, mem_charged(_metadata, in));
}

/* Who sleeps on with "abc" until that is enough, or more comes, or the end */
TEST_F(pair, waits_for_enough)
{
	static const struct {
		int flags, lowat, len;
		bool more;
	} cases[] = {
		{ MSG_WAITALL,			1,  6, true },
		{ MSG_WAITALL | MSG_PEEK,	1,  6, true },
		{ 0,				4, 10, true },
		{ MSG_WAITALL,			1,  6, false },
	}, *c;
	int out = self->fd[0], in = self->fd[1];
	char buf[16];
	pid_t pid;

	set_int_opt(_metadata, in, SO_RCVLOWAT, 4);
	expect_send(_metadata, out, "abc");
	pid = sleeping_child(poll_for(in, POLLIN, WAIT_MS) != POLLIN);
	set_int_opt(_metadata, in, SO_RCVLOWAT, 3);
	EXPECT_EQ(0, my_wait(pid));
	expect_recv(_metadata, in, "abc");

	for (c = cases; c < cases + ARRAY_SIZE(cases); c++) {
		set_int_opt(_metadata, in, SO_RCVLOWAT, c->lowat);
		pid = sleeping_child(recv(in, buf, c->len, c->flags));
		expect_send(_metadata, out, "abc");
		EXPECT_TRUE(wait_asleep(pid));
		if (c->more)
			expect_send(_metadata, out, "def");
		else
			shutdown(out, SHUT_WR);
		EXPECT_EQ(c->more ? 6 : 3, my_wait(pid))
			TH_LOG("case %zd", c - cases);
		if (c->flags & MSG_PEEK)
			expect_recv(_metadata, in, "abcdef");
	}
}

/* More than the receive buffer takes, or than can ever be there */
TEST_F(pair, waits_for_more_than_fits)
{
	int out = self->fd[0], in = self->fd[1];
	static char buf[BIG];
	ssize_t total;
	pid_t pid;

	set_timeout(_metadata, in, SO_RCVTIMEO, 30);
	expect_send(_metadata, out, "abc");
	EXPECT_EQ(3, recv(in, buf, 6, MSG_WAITALL));
	set_timeout(_metadata, in, SO_RCVTIMEO, 0);
	pid = sleeping_child(send(out, buf, BIG, 0) != BIG);
	EXPECT_EQ(BIG, recv(in, buf, BIG, MSG_WAITALL));
	EXPECT_EQ(0, my_wait(pid));

	/* What there is room for must do. */
	total = my_fill(_metadata, out, 4096);
	EXPECT_EQ(total, recv(in, buf, BIG, MSG_PEEK | MSG_WAITALL));
}

/* recv() of no bytes waits for data like any other, and leaves it. */
static void expect_zero(struct __test_metadata *_metadata, int fd, int err)
{
	static const int flags[] = { 0, MSG_PEEK, MSG_WAITALL };
	int i;

	for (i = 0; i < 3; i++)
		EXPECT_EQ(err, err_of(recv(fd, NULL, 0, flags[i] |
					   (err ? MSG_DONTWAIT : 0))));
}

TEST_F(pair, recv_of_no_bytes)
{
	int out = self->fd[0], in = self->fd[1], end;
	pid_t pid;
	char c;

	for (end = 0; end < 2; end++) {
		expect_zero(_metadata, in, EAGAIN);
		pid = sleeping_child(recv(in, NULL, 0, 0));
		EXPECT_EQ(0, end ? shutdown(out, SHUT_WR) : try_send(out));
		EXPECT_EQ(0, my_wait(pid));
		expect_zero(_metadata, in, 0);
		EXPECT_EQ(!end, recv(in, &c, 1, MSG_PEEK));
		expect_recv(_metadata, in, end ? "" : "x");
	}
}

/* Several readers: what one leaves, or has only peeked at, the others get. */
TEST_F(pair, readers_share)
{
	int out = self->fd[0], in = self->fd[1], i;
	pid_t pid[2];
	char buf[3];

	for (i = 0; i < 2; i++)
		pid[i] = sleeping_child(recv(in, buf, 3, 0));
	expect_send(_metadata, out, "abcdef");
	for (i = 0; i < 2; i++)
		EXPECT_EQ(3, my_wait(pid[i]));

	pid[0] = my_fork(_metadata);
	if (!pid[0]) {
		while (recv(in, buf, 1, 0) == 1 && send(in, buf, 1, 0) == 1)
			;
		_exit(KSFT_PASS);
	}
	for (i = 0; i < 100; i++) {
		expect_send(_metadata, out, "x");
		recv(in, buf, 1, MSG_PEEK | MSG_DONTWAIT);
		ASSERT_NE(0, poll_for(out, POLLIN, WAIT_MS))
			TH_LOG("the reader sleeps over data, round %d", i);
		expect_recv(_metadata, out, "x");
	}
	ASSERT_EQ(0, shutdown(out, SHUT_WR));
	EXPECT_EQ(KSFT_PASS, my_wait(pid[0]));
}

/* A larger receive buffer wakes the sender; a smaller one loses nothing. */
TEST_F(pair, rcvbuf_grows_and_shrinks)
{
	int out = self->fd[0], in = self->fd[1], i;
	size_t total;
	pid_t pid;

	for (i = 0; i < 2; i++) {
		total = my_fill(_metadata, out, i ? 64 : 1 << 20);
		pid = sleeping_child(send(out, "x", 1, 0) != 1);
		/* Half of it is free then: the kernel doubles the value. */
		set_int_opt(_metadata, in, SO_RCVBUFFORCE,
			    2 * get_int_opt(_metadata, in, SO_RCVBUF));
		EXPECT_EQ(0, try_send(out));
		EXPECT_EQ(0, my_wait(pid));

		set_rcvbuf(_metadata, in, 1);
		EXPECT_EQ(EAGAIN, try_send(out));
		EXPECT_EQ(total + 2, my_drain(_metadata, in));
	}
}

#define SIZE_BITS	18	/* a call has up to this many bits of bytes */

/* What is sent, from the first byte on */
static char pattern[16 << 20];

/* As many small sizes as large ones, below @limit */
static size_t random_size(size_t limit)
{
	size_t len = (random() & ((1U << random() % (SIZE_BITS + 1)) - 1)) + 1;

	return len < limit ? len : random() % limit + 1;
}

static const struct transfer {
	size_t out_max, in_max;	/* largest send and recv */
	size_t total;
	int rcvbuf;
} transfers[] = {
	{ 1 << SIZE_BITS, 1 << SIZE_BITS, sizeof(pattern), 0 },
	{ 32, 1 << SIZE_BITS, 20000, 0 },
	{ 1 << SIZE_BITS, 32, 20000, 0 },
	{ 128, 512, 200000, 0 },
	{ 1 << 14, 1 << 14, 200000, 1 },
};

static const struct transfer *row = transfers;

static long call_write(struct worker *worker)
{
	size_t left = row->total - worker->total;
	ssize_t len = random_size(worker->len < left ? worker->len : left);

	/* A blocking send() takes all. */
	if (send(worker->fd, pattern + worker->total, len, MSG_NOSIGNAL) != len)
		return -1;
	worker->total += len;
	return len < left ? len : shutdown(worker->fd, SHUT_WR);
}

static long call_read(struct worker *worker)
{
	ssize_t len = random_size(worker->len);
	ssize_t n = recv(worker->fd, worker->buf, len, 0);

	if (n < 0 || n > len ||
	    memcmp(worker->buf, pattern + worker->total, n))
		return -1;
	worker->total += n;
	return n;
}

/* Two threads for one direction, and two for the other one at the same time */
TEST_F_TIMEOUT(pair, transfers, 120)
{
	struct worker worker[4];
	int fd[2], i;

	fill_pattern(pattern, sizeof(pattern), 1);
	for (; row < transfers + ARRAY_SIZE(transfers); row++) {
		my_connection(_metadata, fd);
		for (i = 0; row->rcvbuf && i < 2; i++)
			set_rcvbuf(_metadata, fd[i], row->rcvbuf);
		for (i = 0; i < 4; i++)
			workers_start(_metadata, &worker[i], 1,
				      (struct worker) {
				.call = i % 2 ? call_read : call_write,
				.fd = fd[i / 2 ^ i % 2],
				.len = i % 2 ? row->in_max : row->out_max,
				.loop = true,
			});
		for (i = 0; i < 4; i++) {
			ASSERT_EQ(0, pthread_join(worker[i].thread, NULL));
			EXPECT_EQ(0, worker[i].ret)
				TH_LOG("case %zd: %s", row - transfers,
				       strerror(worker[i].err));
			EXPECT_EQ(row->total, worker[i].total);
		}
		for (i = 0; i < 2; i++)
			EXPECT_EQ(0U, mem_charged(_metadata, fd[i]));
	}
}

/* Random small sends and reads of all kinds: it stays one stream. */
TEST_F(pair, small_data_in_every_way)
{
	ssize_t sent = 0, received = 0, there, len, n;
	int in = self->fd[1], ends[2], way;
	bool peek, splicing;
	char buf[512];

	fill_pattern(pattern, sizeof(pattern), 1);
	ASSERT_EQ(0, pipe(ends));
	while (received < 500000) {
		there = sent - received;
		ASSERT_EQ(there, ioctl_len(in, SIOCINQ));
		len = random_size(sizeof(buf));
		way = random() % 20;
		if (way < 8) {
			n = there > 5000 ? 0 : len;
			ASSERT_EQ(n, send(self->fd[0], pattern + sent, n,
					  MSG_DONTWAIT));
			sent += n;
			continue;
		}
		peek = way >= 16;
		splicing = way == 8;
		if (splicing)
			n = splice(in, NULL, ends[1], NULL, len,
				   SPLICE_F_NONBLOCK);
		else
			n = recv(in, buf, len,
				 MSG_DONTWAIT | (peek ? MSG_PEEK : 0));
		ASSERT_EQ(there ? 0 : EAGAIN, err_of(n));
		if (!there)
			continue;
		/* A pipe has no more than 16 places. */
		if (splicing)
			len = read(ends[0], buf, n);
		ASSERT_LT(0, n);
		ASSERT_EQ(len < there ? len : there, n);
		ASSERT_EQ(0, memcmp(buf, pattern + received, n));
		if (!peek)
			received += n;
	}
	EXPECT_EQ(sent - received, my_drain(_metadata, in));
	expect_nothing(_metadata, in);
}

TEST_HARNESS_MAIN

static int set_inq(int fd, int val, socklen_t len)
{
	return err_of(setsockopt(fd, SOL_SOCKET, SO_INQ, &val, len));
}

/* Receive up to 63 bytes, and return what SCM_INQ says, -1: nothing */
static int recv_inq(int fd, int flags)
{
	struct got got;
	int *inq;

	if (recv_got(fd, &got, sizeof(got.control), flags) < 0)
		return -errno;
	inq = find_cmsg(&got, SO_INQ, sizeof(*inq));
	return inq ? *inq : -1;
}

TEST(inq)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	int listener, out, in, left, i;
	char buf[100] = "";
	__u32 channel;

	/* Of what the listener accepts, too, as all options */
	listener = my_listener(_metadata, 1, &channel);
	ASSERT_EQ(0, set_inq(listener, 1, sizeof(int)));
	out = my_client(_metadata, channel);
	in = my_accept(_metadata, listener);
	ASSERT_EQ(100, send(out, buf, sizeof(buf), 0));
	EXPECT_EQ(100, recv_inq(in, MSG_PEEK));
	EXPECT_EQ(37, recv_inq(in, 0));
	/* A second skb, and a third that nobody has taken over */
	my_fill(_metadata, out, 100);
	left = ioctl_len(in, SIOCINQ) - 63;
	EXPECT_EQ(left, recv_inq(in, 0));
	my_drain(_metadata, in);
	EXPECT_EQ(-EAGAIN, recv_inq(in, 0));
	/* At the end there is nothing. */
	close(out);
	EXPECT_EQ(0, recv_inq(in, 0));

	EXPECT_EQ(EINVAL, set_inq(in, 2, sizeof(int)));
	EXPECT_EQ(EINVAL, set_inq(in, -1, sizeof(int)));
	EXPECT_EQ(EINVAL, set_inq(in, 1, 1));
	EXPECT_EQ(EFAULT, err_of(setsockopt(in, SOL_SOCKET, SO_INQ, NULL,
					    sizeof(int))));
	EXPECT_EQ(0, recv_inq(in, 0));
	ASSERT_EQ(0, set_inq(in, 0, sizeof(int)));
	EXPECT_EQ(-1, recv_inq(in, 0));
	for (i = 0; i < 3; i++) {
		my_type = types[i];
		EXPECT_EQ(i ? ENOPROTOOPT : 0,
			  set_inq(my_socket(_metadata), 1, sizeof(int)));
	}
}

TEST_F(pair, small_data_one_by_one)
{
	char out[3000], buf[sizeof(out)] = "";
	int in = self->fd[1];
	pid_t pid;
	size_t i;

	/* Who is woken for a write gets all of it, wherever its place ends. */
	for (i = 0; i < 10; i++) {
		pid = sleeping_child(recv(in, buf, 60, 0));
		ASSERT_EQ(40, send(self->fd[0], buf, 40, 0));
		EXPECT_EQ(40, my_wait(pid));
	}

	/* Who waits for a whole record peeks until it is there: that each byte
	 * was looked at alone must not make it take more room.
	 */
	fill_pattern(out, sizeof(out), 1);
	for (i = 0; i < sizeof(out); i++) {
		ASSERT_EQ(1, send(self->fd[0], out + i, 1, MSG_DONTWAIT));
		ASSERT_EQ((ssize_t)i + 1, recv(in, buf, sizeof(buf),
					       MSG_DONTWAIT | MSG_PEEK));
	}
	EXPECT_EQ((ssize_t)sizeof(buf), recv(in, buf, sizeof(buf),
					     MSG_DONTWAIT));
	EXPECT_EQ(0, memcmp(buf, out, sizeof(out)));
	EXPECT_EQ(0U, mem_charged(_metadata, in));

	set_int_opt(_metadata, in, SO_PEEK_OFF, 5);
	expect_send(_metadata, self->fd[0], "abcdefghij");
	ASSERT_EQ(4, recv(in, buf, 4, MSG_DONTWAIT));
	EXPECT_EQ(1, get_int_opt(_metadata, in, SO_PEEK_OFF));
}
