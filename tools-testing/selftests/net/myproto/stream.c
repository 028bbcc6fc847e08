// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO stream data: what send() and recv() do and refuse, how much recv()
 * returns and what it leaves, what the receive buffer bounds, and that large
 * transfers and mixtures of small data arrive intact.
 */
#include <sys/epoll.h>

#include <linux/sockios.h>

#include "cmsg.h"
#include "pair.h"

#define PAGE_LEN	0x10000	/* a multiple of every page size */

FIXTURE_VARIANT_ADD(pair, connection)
{
	.type = SOCK_STREAM,
};

/* Memory of which @len bytes, a multiple of PAGE_LEN, do not fault */
static char *half_mapped(struct __test_metadata *_metadata, size_t len)
{
	char *p = mmap(NULL, len + PAGE_LEN, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mprotect(p + len, PAGE_LEN, PROT_NONE));
	return p;
}

/* A child that receives @len bytes with @flags; exits with how many it got */
static pid_t fork_reader(struct __test_metadata *_metadata, int fd, size_t len,
			 int flags)
{
	char buf[64];
	pid_t pid;

	pid = my_fork(_metadata);
	if (!pid) {
		ssize_t n = recv(fd, buf, len, flags);

		_exit(n < 0 ? 255 : n);
	}
	EXPECT_TRUE(wait_asleep(pid));
	return pid;
}

TEST(unconnected)
{
	__u32 channel;
	int fd[3], i;
	char c;

	fd[0] = my_socket(_metadata);
	fd[1] = my_bound_socket(_metadata, 5000);
	fd[2] = my_listener(_metadata, 1, &channel);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(ENOTCONN, try_send(fd[i]));
		EXPECT_EQ(ENOTCONN, err_of(write(fd[i], "x", 1)));
		EXPECT_EQ(ENOTCONN, try_recv(fd[i]));
		EXPECT_EQ(ENOTCONN, err_of(read(fd[i], &c, 1)));
	}
	EXPECT_EQ(EOPNOTSUPP, err_of(my_sendto(fd[0], channel, "x", 1, 0)));
}

/* What is refused or has no bytes delivers nothing, and takes nothing. */
TEST_F(pair, refused_or_empty)
{
	char *bad = half_mapped(_metadata, PAGE_LEN) + PAGE_LEN, c;
	int out = self->fd[0], in = self->fd[1];

	EXPECT_EQ(EISCONN, err_of(my_sendto(out, 5000, "x", 1, 0)));
	EXPECT_EQ(EAGAIN, try_recv(in));
	EXPECT_EQ(EOPNOTSUPP, err_of(send(out, "x", 1, MSG_OOB)));
	EXPECT_EQ(EAGAIN, try_recv(in));
	EXPECT_EQ(EFAULT, err_of(send(out, bad, 100, 0)));
	EXPECT_EQ(EFAULT, err_of(send(out, bad, PAGE_LEN, 0)));
	EXPECT_EQ(EAGAIN, try_recv(in));
	EXPECT_EQ(0, send(out, NULL, 0, 0));
	EXPECT_EQ(0, write(out, "", 0));
	EXPECT_EQ(EAGAIN, try_recv(in));
	EXPECT_EQ(EAGAIN, err_of(recv(in, &c, 0, MSG_DONTWAIT)));
	EXPECT_EQ(0U, mem_charged(_metadata, in));

	expect_send(_metadata, out, "abc");
	EXPECT_EQ(0, send(out, NULL, 0, 0));
	EXPECT_EQ(EOPNOTSUPP, err_of(recv(in, &c, 1, MSG_OOB)));
	EXPECT_EQ(EFAULT, err_of(recv(in, bad, 100, 0)));
	EXPECT_EQ(0, recv(in, &c, 0, 0));
	expect_recv(_metadata, in, "abc");
	EXPECT_EQ(EAGAIN, try_recv(in));
}

TEST_F(pair, no_boundaries)
{
	char head[4] = "", tail[16] = "", zeros[100] = "";
	struct iovec vec_out[] = {
		{ "a", 1 }, { NULL, 0 }, { "bcdef", 5 }, { "gh", 2 },
	};
	struct iovec vec_in[] = { { head, 3 }, { tail, sizeof(tail) - 1 } };
	int out = self->fd[0], in = self->fd[1];
	struct got got;

	expect_send(_metadata, out, "a");
	expect_send(_metadata, out, "bcd");
	expect_send(_metadata, in, "back");
	EXPECT_EQ(2, write(out, "ef", 2));
	expect_recv(_metadata, in, "abcdef");
	expect_recv(_metadata, out, "back");

	expect_send(_metadata, out, "abcdef");
	EXPECT_EQ(2, recv(in, tail, 2, 0));
	EXPECT_STREQ("ab", tail);
	EXPECT_EQ(3, read(in, tail, 3));
	EXPECT_STREQ("cde", tail);
	expect_recv(_metadata, in, "f");
	EXPECT_EQ(EAGAIN, try_recv(in));

	EXPECT_EQ(8, writev(out, vec_out, ARRAY_SIZE(vec_out)));
	EXPECT_EQ(8, readv(in, vec_in, ARRAY_SIZE(vec_in)));
	EXPECT_STREQ("abc", head);
	EXPECT_STREQ("defgh", tail);

	/* The rest stays queued, hence no MSG_TRUNC. */
	ASSERT_EQ(100, send(out, zeros, sizeof(zeros), 0));
	EXPECT_EQ(63, recv_got(in, &got, sizeof(got.control), 0));
	EXPECT_EQ(0, got.msg.msg_flags);
	EXPECT_EQ(0U, got.msg.msg_controllen);
	EXPECT_EQ(37U, my_drain(_metadata, in));
}

/* What was sent before the fault counts, in the pieces the kernel makes. */
TEST_F(pair, send_fault_after_some_bytes)
{
	char *page = half_mapped(_metadata, 2 * PAGE_LEN), buf[100000];
	ssize_t n, len = sizeof(buf);

	page += 2 * PAGE_LEN - len;
	fill_pattern(page, len, 1);
	n = send(self->fd[0], page, 2 * len, 0);
	ASSERT_LT(0, n);
	ASSERT_GE(len, n);
	EXPECT_EQ(n, recv(self->fd[1], buf, len, MSG_DONTWAIT));
	EXPECT_EQ(0, memcmp(buf, page, n));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[1]));
}

/* What was copied before the fault counts, at the granularity the kernel
 * chooses. In any case the stream goes on with the byte after it.
 */
TEST_F(pair, recv_fault_after_some_bytes)
{
	static const struct {
		ssize_t size;	/* of what is sent, of which ... */
		ssize_t len;	/* ... this many bytes can be copied */
	} cases[] = { { 8192, 6000 }, { 1 << 20, 2 * PAGE_LEN } };
	static char out[1 << 20], in[1 << 20];
	char *mapped = half_mapped(_metadata, 2 * PAGE_LEN), *page;
	ssize_t n, queued, len;
	size_t i;

	fill_pattern(out, sizeof(out), 1);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		len = cases[i].len;
		page = mapped + 2 * PAGE_LEN - len;
		queued = send(self->fd[0], out, cases[i].size, MSG_DONTWAIT);
		ASSERT_LT(len, queued);

		n = recv(self->fd[1], page, len + PAGE_LEN, 0);
		if (n < 0) {
			EXPECT_EQ(EFAULT, errno);
			/* The second is far more than any granularity. */
			ASSERT_EQ(0U, i);
			n = 0;
		}
		ASSERT_GE(len, n);
		EXPECT_EQ(0, memcmp(page, out, n));
		EXPECT_EQ(queued - n, recv(self->fd[1], in, sizeof(in),
					   MSG_DONTWAIT));
		EXPECT_EQ(0, memcmp(in, out + n, queued - n));
	}
}

/* A fault ends the call, with what was copied before it. */
TEST_F(pair, peek_waitall_fault)
{
	char *p = half_mapped(_metadata, PAGE_LEN);

	ASSERT_EQ(PAGE_LEN, send(self->fd[0], p, PAGE_LEN, 0));
	/* Take over what is there, so that the rest is apart from it. */
	EXPECT_EQ(1, recv(self->fd[1], p, 1, MSG_PEEK));
	expect_send(_metadata, self->fd[0], "abc");

	EXPECT_EQ(PAGE_LEN, recv(self->fd[1], p, 2 * PAGE_LEN,
				 MSG_PEEK | MSG_WAITALL));
	EXPECT_EQ(PAGE_LEN + 3, my_drain(_metadata, self->fd[1]));
}

TEST_F(pair, peek)
{
	int out = self->fd[0], in = self->fd[1];
	char buf[16] = "";

	expect_send(_metadata, out, "abcdef");
	EXPECT_EQ(3, recv(in, buf, 3, MSG_PEEK));
	EXPECT_STREQ("abc", buf);
	EXPECT_EQ(6, recv(in, buf, sizeof(buf), MSG_PEEK));
	EXPECT_STREQ("abcdef", buf);
	expect_send(_metadata, out, "gh");
	EXPECT_EQ(2, recv(in, buf, 2, 0));
	EXPECT_EQ(6, recv(in, buf, sizeof(buf), MSG_PEEK));
	EXPECT_STREQ("cdefgh", buf);
	expect_recv(_metadata, in, "cdefgh");
	EXPECT_EQ(EAGAIN, try_recv(in));
	EXPECT_EQ(EAGAIN, err_of(recv(in, buf, 1, MSG_PEEK | MSG_DONTWAIT)));

	close_end(&self->fd[0]);
	EXPECT_EQ(0, recv(in, buf, 1, MSG_PEEK));
	expect_eof(_metadata, in);
}

/* A reader that sleeps on with "abc", until more comes or the end */
TEST_F(pair, waits_for_enough)
{
	static const struct {
		int flags, lowat, len;
		const char *more;
		int result;
	} cases[] = {
		{ MSG_WAITALL,			1,  6, "def",	6 },
		{ MSG_WAITALL | MSG_PEEK,	1,  6, "def",	6 },
		{ 0,				4, 10, "def",	6 },
		{ MSG_WAITALL,			1,  6, NULL,	3 },
	};
	size_t i;
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		set_int_opt(_metadata, self->fd[1], SO_RCVLOWAT,
			    cases[i].lowat);
		pid = fork_reader(_metadata, self->fd[1], cases[i].len,
				  cases[i].flags);
		expect_send(_metadata, self->fd[0], "abc");
		EXPECT_TRUE(wait_asleep(pid));
		if (cases[i].more)
			expect_send(_metadata, self->fd[0], cases[i].more);
		else
			shutdown(self->fd[0], SHUT_WR);
		EXPECT_EQ(cases[i].result, my_wait(pid))
			TH_LOG("case %zu", i);
		if (cases[i].flags & MSG_PEEK)
			expect_recv(_metadata, self->fd[1], "abcdef");
	}
}

TEST_F(pair, waitall_timeout_and_large)
{
	size_t len = 1 << 20;
	char *buf = calloc(1, len);
	pid_t pid;

	ASSERT_NE(NULL, buf);
	set_timeout(_metadata, self->fd[1], SO_RCVTIMEO, 30);
	expect_send(_metadata, self->fd[0], "abc");
	EXPECT_EQ(3, recv(self->fd[1], buf, 6, MSG_WAITALL));

	/* More than the receive buffer takes */
	set_timeout(_metadata, self->fd[1], SO_RCVTIMEO, 0);
	pid = my_fork(_metadata);
	if (!pid)
		_exit(send(self->fd[0], buf, len, 0) != (ssize_t)len);
	EXPECT_EQ((ssize_t)len, recv(self->fd[1], buf, len, MSG_WAITALL));
	EXPECT_EQ(0, my_wait(pid));
	free(buf);
}

TEST_F(pair, lowat_poll)
{
	int out = self->fd[0], in = self->fd[1];
	pid_t pid;

	set_int_opt(_metadata, in, SO_RCVLOWAT, 4);
	expect_send(_metadata, out, "abc");
	EXPECT_EQ(0, poll_now(in) & POLLIN);
	pid = my_fork(_metadata);
	if (!pid)
		_exit(poll_for(in, POLLIN, WAIT_MS) != POLLIN);
	EXPECT_TRUE(wait_asleep(pid));
	set_int_opt(_metadata, in, SO_RCVLOWAT, 3);
	EXPECT_EQ(0, my_wait(pid));

	set_int_opt(_metadata, in, SO_RCVLOWAT, 4);
	EXPECT_EQ(0, poll_now(in) & POLLIN);
	expect_send(_metadata, out, "d");
	EXPECT_NE(0, poll_now(in) & POLLIN);

	/* The end is enough, too. */
	set_int_opt(_metadata, in, SO_RCVLOWAT, 5);
	EXPECT_EQ(0, poll_now(in) & POLLIN);
	shutdown(out, SHUT_WR);
	EXPECT_NE(0, poll_now(in) & POLLIN);
	expect_recv(_metadata, in, "abcd");
}

/* More than there can ever be: what there is room for must do. */
TEST_F(pair, waits_for_more_than_fits)
{
	char *buf = calloc(1, BIG);
	ssize_t total;

	ASSERT_NE(NULL, buf);
	set_int_opt(_metadata, self->fd[1], SO_RCVLOWAT, BIG);
	total = my_fill(_metadata, self->fd[0], 4096);
	EXPECT_NE(0, poll_now(self->fd[1]) & POLLIN);
	EXPECT_EQ(total, recv(self->fd[1], buf, BIG, MSG_PEEK));
	set_int_opt(_metadata, self->fd[1], SO_RCVLOWAT, 1);
	EXPECT_EQ(total, recv(self->fd[1], buf, BIG, MSG_PEEK | MSG_WAITALL));
	free(buf);
}

/* Several readers: what one leaves, the others get. */

TEST_F(pair, two_readers_share_one_send)
{
	pid_t one = fork_reader(_metadata, self->fd[1], 3, 0);
	pid_t two = fork_reader(_metadata, self->fd[1], 3, 0);

	expect_send(_metadata, self->fd[0], "abcdef");
	EXPECT_EQ(3, my_wait(one));
	EXPECT_EQ(3, my_wait(two));
}

TEST_F(pair, reader_gets_what_another_peeked)
{
	pid_t pid = my_fork(_metadata);
	char c;
	int i;

	if (!pid) {
		for (i = 0; i < 100; i++)
			if (recv(self->fd[1], &c, 1, 0) != 1 ||
			    send(self->fd[1], &c, 1, 0) != 1)
				_exit(KSFT_FAIL);
		_exit(KSFT_PASS);
	}
	for (i = 0; i < 100; i++) {
		expect_send(_metadata, self->fd[0], "x");
		recv(self->fd[1], &c, 1, MSG_PEEK | MSG_DONTWAIT);
		ASSERT_NE(0, poll_for(self->fd[0], POLLIN, WAIT_MS))
			TH_LOG("the reader sleeps over data, round %d", i);
		expect_recv(_metadata, self->fd[0], "x");
	}
	EXPECT_EQ(KSFT_PASS, my_wait(pid));
}

/* Memory: the receiver's SO_RCVBUF bounds what can be queued for it */

static void bounded_and_given_back(struct __test_metadata *_metadata,
				   int out, int in, size_t chunk)
{
	size_t rcvbuf = get_int_opt(_metadata, in, SO_RCVBUF);
	size_t first = 0, total;
	int i;

	for (i = 0; i < 6; i++) {
		EXPECT_EQ(0U, mem_charged(_metadata, in));
		total = my_fill(_metadata, out, chunk);
		EXPECT_LT(0U, mem_charged(_metadata, in));
		EXPECT_LE(rcvbuf / 4, total);
		EXPECT_GE(2 * rcvbuf + 65536, total);

		/* Nothing leaks. But where a page ends may differ. */
		first = first ?: total;
		EXPECT_LE(first / 2, total);
		EXPECT_GE(first * 2, total);

		/* There is room in the other direction. */
		expect_send(_metadata, in, "abc");
		expect_recv(_metadata, out, "abc");
		EXPECT_EQ(0U, mem_charged(_metadata, out));
		EXPECT_EQ(total, my_drain(_metadata, in));
	}
	EXPECT_EQ(0U, mem_charged(_metadata, in));
}

/* What was full takes more when any of it is free; poll() waits for half. */
static void tells_half(struct __test_metadata *_metadata, int out, int in,
		       size_t chunk)
{
	int rcvbuf = get_int_opt(_metadata, in, SO_RCVBUF);
	bool took = false;
	char buf[500];
	size_t left;
	ssize_t n;
	int space;

	left = my_fill(_metadata, out, chunk);
	for (;;) {
		space = rcvbuf - (int)mem_charged(_metadata, in);
		if (space >= rcvbuf / 2)
			break;
		ASSERT_EQ(0, poll_now(out));
		ASSERT_EQ(space > 0 ? 0 : EAGAIN, try_send(out));
		took |= space > 0;
		n = recv(in, buf, sizeof(buf), MSG_DONTWAIT);
		ASSERT_LT(0, n);
		left -= n - (space > 0);
	}
	/* There is always a moment, but with the smallest chunks. */
	EXPECT_TRUE(took || chunk == 64);
	EXPECT_EQ(POLLOUT, poll_now(out));
	EXPECT_EQ(left, my_drain(_metadata, in));
}

/* A larger buffer wakes the sender; a smaller one loses nothing. */
static void grows_and_shrinks(struct __test_metadata *_metadata, int out,
			      int in, size_t chunk)
{
	/* Half of it is free then: the kernel doubles the value. */
	int large = 2 * get_int_opt(_metadata, in, SO_RCVBUF);
	size_t total;
	pid_t pid;

	total = my_fill(_metadata, out, chunk);
	pid = my_fork(_metadata);
	if (!pid)
		_exit(send(out, "x", 1, 0) != 1);
	EXPECT_TRUE(wait_asleep(pid));
	set_int_opt(_metadata, in, SO_RCVBUFFORCE, large);
	EXPECT_EQ(0, try_send(out));
	EXPECT_EQ(0, my_wait(pid));

	set_rcvbuf(_metadata, in, 1);
	EXPECT_EQ(EAGAIN, try_send(out));
	EXPECT_EQ(total + 2, my_drain(_metadata, in));
	EXPECT_EQ(0, try_send(out));
}

TEST(memory)
{
	static const struct {
		int rcvbuf;	/* 0: the default */
		size_t chunk;
	} cases[] = { { 0, 1000 }, { 0, 1 << 20 }, { 1, 64 } };
	int fd[2];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		TH_LOG("chunks of %zu", cases[i].chunk);
		my_connection(_metadata, fd);
		if (cases[i].rcvbuf)
			set_rcvbuf(_metadata, fd[1], cases[i].rcvbuf);
		bounded_and_given_back(_metadata, fd[0], fd[1], cases[i].chunk);
		tells_half(_metadata, fd[0], fd[1], cases[i].chunk);
		grows_and_shrinks(_metadata, fd[0], fd[1], cases[i].chunk);
	}
}

/*
 * Transfers. The stream repeats a pattern whose length is a prime, so that
 * byte i is pattern[i % PATTERN_LEN] and no lost, doubled or misplaced piece
 * looks right.
 */
#define PATTERN_LEN	1048583
#define SIZE_BITS	18	/* a call has up to this many bits of bytes */

static unsigned char pattern[PATTERN_LEN + (1 << SIZE_BITS)];

static void make_pattern(void)
{
	fill_pattern(pattern, PATTERN_LEN, 1);
	memcpy(pattern + PATTERN_LEN, pattern, 1 << SIZE_BITS);
}

/* As many small sizes as large ones */
static size_t random_size(int max_bits)
{
	int bits = random() % (max_bits + 1);

	return (random() & ((1U << bits) - 1)) + 1;
}

enum waits { BLOCK, POLL, EPOLL_EDGE };

/* One end of a transfer, both directions of which may be in use */
struct end {
	enum waits wait;
	int out_bits, in_bits;	/* largest send and recv */
	size_t to_send, sent, received;
	bool eof;
	int fd, epoll;
};

/* These return 0, -EAGAIN, or what went wrong. */

static int send_some(struct end *end)
{
	unsigned char *p = pattern + end->sent % PATTERN_LEN;
	size_t left = end->to_send - end->sent;
	size_t len = random_size(end->out_bits);
	ssize_t n;

	len = len < left ? len : left;
	n = send(end->fd, p, len, 0);
	if (n < 0)
		return -errno;
	/* A blocking send() takes all. */
	if (!n || n > (ssize_t)len ||
	    (end->wait == BLOCK && n != (ssize_t)len))
		return -EPROTO;
	end->sent += n;
	if (end->sent == end->to_send && shutdown(end->fd, SHUT_WR))
		return -errno;
	return 0;
}

static int recv_some(struct end *end)
{
	static unsigned char buf[1 << SIZE_BITS];
	size_t len = random_size(end->in_bits);
	ssize_t n;

	n = recv(end->fd, buf, len, 0);
	if (n < 0)
		return -errno;
	if (n > (ssize_t)len)
		return -EPROTO;
	if (memcmp(buf, pattern + end->received % PATTERN_LEN, n))
		return -EBADMSG;
	end->received += n;
	end->eof = !n;
	return 0;
}

static int wait_ready(struct end *end)
{
	bool out = end->sent < end->to_send;
	struct epoll_event event;
	int ret;

	if (end->wait == EPOLL_EDGE)
		ret = epoll_wait(end->epoll, &event, 1, WAIT_MS);
	else
		ret = poll_for(end->fd, POLLIN | (out ? POLLOUT : 0), WAIT_MS);
	return ret > 0 ? 0 : -ETIMEDOUT;
}

/* Send and receive in turn until both are done */
static int run_end(struct end *end)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
	};
	int in, out;

	end->epoll = epoll_create1(0);
	if (epoll_ctl(end->epoll, EPOLL_CTL_ADD, end->fd, &event))
		return -errno;
	/* Both ends draw different sizes. */
	srandom(getpid());
	while (end->sent < end->to_send || !end->eof) {
		out = end->sent < end->to_send ? send_some(end) : -EAGAIN;
		if (out && out != -EAGAIN)
			return out;
		in = end->eof ? -EAGAIN : recv_some(end);
		if (in == -EAGAIN && out == -EAGAIN)
			in = wait_ready(end);
		if (in && in != -EAGAIN)
			return in;
	}
	close(end->epoll);
	return 0;
}

static const struct transfer {
	const char *name;
	enum waits wait;
	int out_bits, in_bits;
	size_t total;
	int rcvbuf;
} transfers[] = {
	{ "blocking",	BLOCK, SIZE_BITS, SIZE_BITS, 16 << 20, 0 },
	{ "poll",	POLL, SIZE_BITS, SIZE_BITS, 4 << 20, 0 },
	{ "epoll",	EPOLL_EDGE, SIZE_BITS, SIZE_BITS, 4 << 20, 0 },
	{ "small sends", BLOCK, 5, SIZE_BITS, 20000, 0 },
	{ "small recvs", BLOCK, SIZE_BITS, 5, 20000, 0 },
	{ "small both",	BLOCK, 7, 9, 200000, 0 },
	{ "small rcvbuf", BLOCK, 14, 14, 200000, 1 },
	{ "small rcvbuf, epoll", EPOLL_EDGE, 14, 14, 200000, 1 },
};

static void transfer(struct __test_metadata *_metadata,
		     const struct transfer *t, enum waits wait, size_t total,
		     bool both)
{
	struct end end = {
		.wait = wait,
		.out_bits = t->out_bits,
		.in_bits = t->in_bits,
	};
	int fd[2], i, err;
	pid_t pid;

	my_connection(_metadata, fd);
	for (i = 0; i < 2; i++) {
		if (wait != BLOCK)
			set_nonblock(_metadata, fd[i]);
		if (t->rcvbuf)
			set_rcvbuf(_metadata, fd[i], t->rcvbuf);
	}

	pid = my_fork(_metadata);
	end.fd = fd[pid != 0];
	end.to_send = both || !pid ? total : 0;
	end.eof = !both && !pid;
	if (pid)
		close(fd[0]);
	err = run_end(&end);
	if (!pid)
		_exit(err ? -err : both && end.received != total);

	EXPECT_EQ(0, err)
		TH_LOG("%s: after %zu bytes: %s", t->name, end.received,
		       strerror(-err));
	EXPECT_EQ(total, end.received);
	EXPECT_EQ(0, err ? my_kill(pid) : my_wait(pid))
		TH_LOG("%s", t->name);
	EXPECT_EQ(0U, mem_charged(_metadata, fd[1]));
	close(fd[1]);
}

TEST_F_TIMEOUT(pair, transfers, 120)
{
	const struct transfer *t;

	make_pattern();
	for (t = transfers; t < transfers + ARRAY_SIZE(transfers); t++) {
		transfer(_metadata, t, t->wait, t->total, false);
		/* Blocking ends could wait for each other. */
		if (t->wait == BLOCK)
			transfer(_metadata, t, POLL, t->total / 8, true);
		else
			transfer(_metadata, t, t->wait, t->total / 2, true);
	}
}

/*
 * Small data. Where it is kept depends on its size, on what is there already
 * and on who reads it how: whatever the mixture, it stays one stream.
 */

struct small {
	int fd[2], pipe[2];
	size_t sent, received;
};

enum how { RECV, PEEK, SPLICE };

static void small_take(struct __test_metadata *_metadata, struct small *s,
		       size_t len, enum how how)
{
	size_t there = s->sent - s->received;
	unsigned char buf[1024];
	ssize_t n;

	if (how == SPLICE) {
		n = splice(s->fd[1], NULL, s->pipe[1], NULL, len,
			   SPLICE_F_NONBLOCK);
		if (n > 0)
			n = read(s->pipe[0], buf, n);
	} else {
		n = recv(s->fd[1], buf, len,
			 MSG_DONTWAIT | (how == PEEK ? MSG_PEEK : 0));
	}
	if (!there) {
		ASSERT_EQ(EAGAIN, err_of(n));
		return;
	}
	ASSERT_LT(0, n);
	/* A pipe has no more than 16 places. */
	if (how != SPLICE)
		ASSERT_EQ((ssize_t)(len < there ? len : there), n);
	ASSERT_EQ(0, memcmp(buf, pattern + s->received, n));
	if (how != PEEK)
		s->received += n;
}

static void small_step(struct __test_metadata *_metadata, struct small *s)
{
	size_t len = random_size(9);

	switch (random() % 8) {
	case 0 ... 2:
		if (s->sent - s->received > 5000)
			break;
		ASSERT_EQ((ssize_t)len,
			  send(s->fd[0], pattern + s->sent, len, MSG_DONTWAIT));
		s->sent += len;
		break;
	case 3 ... 5:
		small_take(_metadata, s, len, random() % 8 ? RECV : SPLICE);
		break;
	case 6:
		small_take(_metadata, s, len, PEEK);
		break;
	case 7:
		ASSERT_EQ((int)(s->sent - s->received),
			  ioctl_len(s->fd[1], SIOCINQ));
	}
}

TEST_F(pair, small_data_in_every_way)
{
	struct small s = { .fd = { self->fd[0], self->fd[1] } };

	make_pattern();
	ASSERT_EQ(0, pipe(s.pipe));
	while (s.sent < PATTERN_LEN / 2)
		small_step(_metadata, &s);
	while (s.received < s.sent)
		small_take(_metadata, &s, 1000, RECV);
	EXPECT_EQ(0U, mem_charged(_metadata, s.fd[1]));
	EXPECT_EQ(EAGAIN, try_recv(s.fd[1]));
}

/* Who is woken for a write gets all of it, wherever its place ends. */
TEST_F(pair, small_data_wakes_for_all_of_it)
{
	char buf[40] = "";
	pid_t pid;
	int i;

	for (i = 0; i < 10; i++) {
		pid = fork_reader(_metadata, self->fd[1], 60, 0);
		ASSERT_EQ((ssize_t)sizeof(buf),
			  send(self->fd[0], buf, sizeof(buf), 0));
		EXPECT_EQ((int)sizeof(buf), my_wait(pid));
	}
}

TEST_F(pair, small_data_moves_peek_off)
{
	char buf[4];

	set_int_opt(_metadata, self->fd[1], SO_PEEK_OFF, 5);
	expect_send(_metadata, self->fd[0], "abcdefghij");
	ASSERT_EQ(4, recv(self->fd[1], buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_EQ(1, get_int_opt(_metadata, self->fd[1], SO_PEEK_OFF));
}

/* Who waits for a whole record peeks until it is there: that each byte was
 * looked at alone must not make it take more room.
 */
TEST_F(pair, small_data_peeked_at_each_time)
{
	char out[3000], in[sizeof(out)];
	size_t i;

	fill_pattern(out, sizeof(out), 1);
	for (i = 0; i < sizeof(out); i++) {
		ASSERT_EQ(1, send(self->fd[0], out + i, 1, MSG_DONTWAIT));
		ASSERT_EQ((ssize_t)i + 1, recv(self->fd[1], in, sizeof(in),
					       MSG_DONTWAIT | MSG_PEEK));
	}
	EXPECT_EQ((ssize_t)sizeof(in), recv(self->fd[1], in, sizeof(in),
					    MSG_DONTWAIT));
	EXPECT_EQ(0, memcmp(in, out, sizeof(out)));
	EXPECT_EQ(0U, mem_charged(_metadata, self->fd[1]));
}

/* The place for small data does not know who sent it. */
TEST_F(pair, small_data_then_passcred)
{
	struct ucred *cred;
	struct got got;
	int i;

	expect_send(_metadata, self->fd[0], "abc");
	set_int_opt(_metadata, self->fd[1], SO_PASSCRED, 1);
	expect_send(_metadata, self->fd[0], "def");
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(3, recv_got(self->fd[1], &got, sizeof(got.control),
				      0));
		EXPECT_STREQ(i ? "def" : "abc", got.data);
		cred = find_cmsg(&got, SCM_CREDENTIALS, sizeof(*cred));
		ASSERT_NE(NULL, cred);
		EXPECT_EQ(i ? getpid() : 0, cred->pid);
	}
}

/* SO_INQ */

static int set_inq(int fd, int val, socklen_t len)
{
	return err_of(setsockopt(fd, SOL_SOCKET, SO_INQ, &val, len));
}

/* Receive up to 63 bytes, and tell what SCM_INQ says, -1: nothing */
static int recv_inq(int fd, int flags)
{
	struct got got;
	int *inq;

	if (recv_got(fd, &got, sizeof(got.control), flags) < 0)
		return -errno;
	inq = find_cmsg(&got, SO_INQ, sizeof(*inq));
	return inq ? *inq : -1;
}

/* Of what the listener accepts, too, as all options */
TEST(inq)
{
	int listener, out, in, left;
	char buf[100] = "";
	__u32 channel;

	listener = my_listener(_metadata, 1, &channel);
	ASSERT_EQ(0, set_inq(listener, 1, sizeof(int)));
	out = my_client(_metadata, channel);
	in = accept(listener, NULL, NULL);
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
	ASSERT_EQ(0, set_inq(in, 0, sizeof(int)));
	EXPECT_EQ(-1, recv_inq(in, 0));
}

TEST(inq_option)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	int fd = my_socket(_metadata), i;

	EXPECT_EQ(EINVAL, set_inq(fd, 2, sizeof(int)));
	EXPECT_EQ(EINVAL, set_inq(fd, -1, sizeof(int)));
	EXPECT_EQ(EINVAL, set_inq(fd, 1, 1));
	EXPECT_EQ(EFAULT, err_of(setsockopt(fd, SOL_SOCKET, SO_INQ, NULL,
					    sizeof(int))));
	for (i = 0; i < 3; i++) {
		my_type = types[i];
		EXPECT_EQ(i ? ENOPROTOOPT : 0,
			  set_inq(my_socket(_metadata), 1, sizeof(int)));
	}
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
