// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO stream data: what send() and recv() do and refuse, how much recv()
 * returns and what it leaves, what the receive buffer bounds, and that large
 * transfers arrive intact.
 */
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include <linux/sock_diag.h>
#include <linux/sockios.h>

#include "pair.h"

FIXTURE_VARIANT_ADD(pair, connection)
{
	.type = SOCK_STREAM,
};

/* Neither end connected */

TEST(unconnected_enotconn)
{
	int fd = my_socket(_metadata);
	__u32 channel;
	char c;

	EXPECT_EQ(ENOTCONN, try_send(fd));
	EXPECT_EQ(ENOTCONN, err_of(write(fd, "x", 1)));
	EXPECT_EQ(ENOTCONN, try_recv(fd));
	EXPECT_EQ(ENOTCONN, err_of(read(fd, &c, 1)));
	ASSERT_EQ(0, my_bind(fd, 5000));
	EXPECT_EQ(ENOTCONN, try_send(fd));
	EXPECT_EQ(ENOTCONN, try_recv(fd));

	fd = my_listener(_metadata, 1, &channel);
	EXPECT_EQ(ENOTCONN, try_send(fd));
	EXPECT_EQ(ENOTCONN, try_recv(fd));
}

TEST(sendto_unconnected_eopnotsupp)
{
	__u32 channel;

	my_listener(_metadata, 1, &channel);
	EXPECT_EQ(EOPNOTSUPP,
		  err_of(my_sendto(my_socket(_metadata), channel, "x", 1, 0)));
}

TEST_F(pair, sendto_connected_eisconn)
{
	EXPECT_EQ(EISCONN, err_of(my_sendto(self->fd[0], 5000, "x", 1, 0)));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[1]));
}

/* Flags and lengths */

TEST_F(pair, send_oob_eopnotsupp)
{
	EXPECT_EQ(EOPNOTSUPP, err_of(send(self->fd[0], "x", 1, MSG_OOB)));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[1]));
}

TEST_F(pair, recv_oob_eopnotsupp)
{
	char c;

	expect_send(_metadata, self->fd[0], "x");
	EXPECT_EQ(EOPNOTSUPP, err_of(recv(self->fd[1], &c, 1, MSG_OOB)));
	expect_recv(_metadata, self->fd[1], "x");
}

TEST_F(pair, send_zero_delivers_nothing)
{
	EXPECT_EQ(0, send(self->fd[0], NULL, 0, 0));
	EXPECT_EQ(0, write(self->fd[0], "", 0));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[1]));
	expect_send(_metadata, self->fd[0], "abc");
	EXPECT_EQ(0, send(self->fd[0], NULL, 0, 0));
	expect_recv(_metadata, self->fd[1], "abc");
	EXPECT_EQ(EAGAIN, try_recv(self->fd[1]));
}

TEST_F(pair, recv_zero)
{
	char c;

	EXPECT_EQ(EAGAIN, err_of(recv(self->fd[1], &c, 0, MSG_DONTWAIT)));
	expect_send(_metadata, self->fd[0], "abc");
	EXPECT_EQ(0, recv(self->fd[1], &c, 0, 0));
	expect_recv(_metadata, self->fd[1], "abc");
}

/* It is a stream: the reader sees no boundaries. */

TEST_F(pair, several_sends_one_recv)
{
	expect_send(_metadata, self->fd[0], "a");
	expect_send(_metadata, self->fd[0], "bcd");
	expect_send(_metadata, self->fd[0], "ef");
	expect_recv(_metadata, self->fd[1], "abcdef");
}

TEST_F(pair, one_send_several_recvs)
{
	char buf[8] = "";

	expect_send(_metadata, self->fd[0], "abcdef");
	EXPECT_EQ(2, recv(self->fd[1], buf, 2, 0));
	EXPECT_STREQ("ab", buf);
	EXPECT_EQ(3, recv(self->fd[1], buf, 3, 0));
	EXPECT_STREQ("cde", buf);
	expect_recv(_metadata, self->fd[1], "f");
	EXPECT_EQ(EAGAIN, try_recv(self->fd[1]));
}

TEST_F(pair, read_and_write)
{
	char buf[8] = "";

	EXPECT_EQ(3, write(self->fd[0], "abc", 3));
	EXPECT_EQ(3, read(self->fd[1], buf, sizeof(buf)));
	EXPECT_STREQ("abc", buf);
}

TEST_F(pair, writev_and_readv)
{
	struct iovec out[] = {
		{ .iov_base = "a", .iov_len = 1 },
		{ .iov_base = NULL, .iov_len = 0 },
		{ .iov_base = "bcdef", .iov_len = 5 },
		{ .iov_base = "gh", .iov_len = 2 },
	};
	char head[4] = "", tail[16] = "";
	struct iovec in[] = {
		{ .iov_base = head, .iov_len = sizeof(head) - 1 },
		{ .iov_base = tail, .iov_len = sizeof(tail) - 1 },
	};

	EXPECT_EQ(8, writev(self->fd[0], out, ARRAY_SIZE(out)));
	EXPECT_EQ(8, readv(self->fd[1], in, ARRAY_SIZE(in)));
	EXPECT_STREQ("abc", head);
	EXPECT_STREQ("defgh", tail);
}

TEST_F(pair, recvmsg_fields)
{
	char control[64], buf[8] = "";
	struct iovec iov = { .iov_base = buf, .iov_len = 2 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
		.msg_flags = -1,
	};

	expect_send(_metadata, self->fd[0], "abc");
	EXPECT_EQ(2, recvmsg(self->fd[1], &msg, 0));
	EXPECT_STREQ("ab", buf);
	/* The rest stays queued, hence no MSG_TRUNC. */
	EXPECT_EQ(0, msg.msg_flags);
	EXPECT_EQ(0U, msg.msg_controllen);
}

TEST_F(pair, directions_are_separate)
{
	expect_send(_metadata, self->fd[0], "there");
	expect_send(_metadata, self->fd[1], "back");
	expect_recv(_metadata, self->fd[0], "back");
	expect_recv(_metadata, self->fd[1], "there");
}

/* Bad user memory */

#define PAGE_LEN	0x10000	/* a multiple of every page size */

/* @len bytes, a multiple of PAGE_LEN, and after them some that fault */
static char *half_mapped(struct __test_metadata *_metadata, size_t len)
{
	char *p = mmap(NULL, len + PAGE_LEN, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mprotect(p + len, PAGE_LEN, PROT_NONE));
	return p;
}

TEST_F(pair, send_bad_pointer_efault)
{
	char *bad = half_mapped(_metadata, PAGE_LEN) + PAGE_LEN;

	EXPECT_EQ(EFAULT, err_of(send(self->fd[0], bad, 100, 0)));
	EXPECT_EQ(EFAULT, err_of(send(self->fd[0], bad, PAGE_LEN, 0)));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[1]));

	/* ... nor is anything charged for it. */
	expect_send(_metadata, self->fd[0], "abc");
	expect_recv(_metadata, self->fd[1], "abc");
}

TEST_F(pair, recv_bad_pointer_efault)
{
	char *bad = half_mapped(_metadata, PAGE_LEN) + PAGE_LEN;

	expect_send(_metadata, self->fd[0], "abc");
	EXPECT_EQ(EFAULT, err_of(recv(self->fd[1], bad, 100, 0)));

	/* The data is not lost. */
	expect_recv(_metadata, self->fd[1], "abc");
}

/* What was sent before the fault counts, in the pieces the kernel makes. */
TEST_F(pair, send_fault_after_some_bytes)
{
	char *page = half_mapped(_metadata, 2 * PAGE_LEN);
	int len = 100000, i;
	char buf[100000];
	ssize_t n;

	page += 2 * PAGE_LEN - len;
	for (i = 0; i < len; i++)
		page[i] = i % 251;

	n = send(self->fd[0], page, 2 * len, 0);
	ASSERT_LT(0, n);
	ASSERT_GE(len, n);
	EXPECT_EQ(n, recv(self->fd[1], buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_EQ(0, memcmp(buf, page, n));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[1]));
}

/*
 * What was copied before the fault counts, at the granularity the kernel
 * chooses. In any case the stream goes on with the byte after it.
 */
TEST_F(pair, recv_fault_after_some_bytes)
{
	size_t i, len = 6000, done = 0;
	char out[8192], in[8192];
	char *page;
	ssize_t n;

	page = half_mapped(_metadata, PAGE_LEN) + PAGE_LEN - len;
	for (i = 0; i < sizeof(out); i++)
		out[i] = i % 251;
	ASSERT_EQ((ssize_t)sizeof(out),
		  send(self->fd[0], out, sizeof(out), MSG_DONTWAIT));

	n = recv(self->fd[1], page, PAGE_LEN, 0);
	if (n > 0)
		done = n;
	EXPECT_TRUE(n > 0 || err_of(n) == EFAULT);
	ASSERT_GE(len, done);
	EXPECT_EQ(0, memcmp(page, out, done));

	EXPECT_EQ((ssize_t)(sizeof(out) - done),
		  recv(self->fd[1], in, sizeof(in), MSG_DONTWAIT));
	EXPECT_EQ(0, memcmp(in, out + done, sizeof(out) - done));
}

/* Far more than any granularity: some of it must count. */
TEST_F(pair, recv_fault_after_many_bytes)
{
	ssize_t i, n, queued, size = 1 << 20, len = 2 * PAGE_LEN;
	char *page, *out, *in;

	page = half_mapped(_metadata, len);
	out = malloc(size);
	in = malloc(size);
	ASSERT_TRUE(out && in);
	for (i = 0; i < size; i++)
		out[i] = i % 251;

	/* The default buffer has room for that. */
	queued = send(self->fd[0], out, size, MSG_DONTWAIT);
	ASSERT_LT(len, queued);

	n = recv(self->fd[1], page, len + PAGE_LEN, 0);
	ASSERT_LT(0, n);
	ASSERT_GE(len, n);
	EXPECT_EQ(0, memcmp(page, out, n));
	EXPECT_EQ(queued - n, recv(self->fd[1], in, size, MSG_DONTWAIT));
	EXPECT_EQ(0, memcmp(in, out + n, queued - n));
	free(out);
	free(in);
}

static void set_lowat(struct __test_metadata *_metadata, int fd, int val)
{
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &val,
				sizeof(val)));
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

/* MSG_PEEK */

TEST_F(pair, peek_leaves_data)
{
	char buf[16];

	expect_send(_metadata, self->fd[0], "abcdef");
	EXPECT_EQ(3, recv(self->fd[1], buf, 3, MSG_PEEK));
	EXPECT_EQ(0, memcmp(buf, "abc", 3));
	EXPECT_EQ(6, recv(self->fd[1], buf, sizeof(buf), MSG_PEEK));
	EXPECT_EQ(0, memcmp(buf, "abcdef", 6));
	expect_recv(_metadata, self->fd[1], "abcdef");
	EXPECT_EQ(EAGAIN, try_recv(self->fd[1]));
	EXPECT_EQ(EAGAIN, err_of(recv(self->fd[1], buf, 1,
				      MSG_PEEK | MSG_DONTWAIT)));
}

TEST_F(pair, peek_sees_later_sends_and_partial_reads)
{
	char buf[16];

	expect_send(_metadata, self->fd[0], "abc");
	EXPECT_EQ(3, recv(self->fd[1], buf, sizeof(buf), MSG_PEEK));
	expect_send(_metadata, self->fd[0], "def");
	EXPECT_EQ(2, recv(self->fd[1], buf, 2, 0));
	EXPECT_EQ(4, recv(self->fd[1], buf, sizeof(buf), MSG_PEEK));
	EXPECT_EQ(0, memcmp(buf, "cdef", 4));
	expect_recv(_metadata, self->fd[1], "cdef");
}

TEST_F(pair, peek_end_of_stream)
{
	char c;

	close_end(&self->fd[0]);
	EXPECT_EQ(0, recv(self->fd[1], &c, 1, MSG_PEEK));
	expect_eof(_metadata, self->fd[1]);
}

/* MSG_WAITALL and SO_RCVLOWAT */

TEST_F(pair, waitall_waits_for_all)
{
	pid_t pid = fork_reader(_metadata, self->fd[1], 6, MSG_WAITALL);

	expect_send(_metadata, self->fd[0], "abc");
	EXPECT_TRUE(wait_asleep(pid));
	expect_send(_metadata, self->fd[0], "def");
	EXPECT_EQ(6, my_wait(pid));
}

TEST_F(pair, waitall_ends_with_stream)
{
	pid_t pid = fork_reader(_metadata, self->fd[1], 6, MSG_WAITALL);

	expect_send(_metadata, self->fd[0], "abc");
	shutdown(self->fd[0], SHUT_WR);
	EXPECT_EQ(3, my_wait(pid));
}

TEST_F(pair, waitall_timeout_partial)
{
	char buf[6];

	set_timeout(_metadata, self->fd[1], SO_RCVTIMEO, 30);
	expect_send(_metadata, self->fd[0], "abc");
	EXPECT_EQ(3, recv(self->fd[1], buf, sizeof(buf), MSG_WAITALL));
}

TEST_F(pair, waitall_larger_than_buffer)
{
	size_t len = 1 << 20;
	char *buf = calloc(1, len);
	pid_t pid;

	ASSERT_NE(NULL, buf);
	pid = my_fork(_metadata);
	if (!pid)
		_exit(send(self->fd[0], buf, len, 0) != (ssize_t)len);
	EXPECT_EQ((ssize_t)len, recv(self->fd[1], buf, len, MSG_WAITALL));
	EXPECT_EQ(0, my_wait(pid));
	free(buf);
}

TEST_F(pair, peek_waitall_waits_for_all)
{
	pid_t pid = fork_reader(_metadata, self->fd[1], 6,
				MSG_PEEK | MSG_WAITALL);

	expect_send(_metadata, self->fd[0], "abc");
	EXPECT_TRUE(wait_asleep(pid));
	expect_send(_metadata, self->fd[0], "def");
	EXPECT_EQ(6, my_wait(pid));
	expect_recv(_metadata, self->fd[1], "abcdef");
}

TEST_F(pair, lowat_waits_for_enough)
{
	pid_t pid;

	set_lowat(_metadata, self->fd[1], 4);
	pid = fork_reader(_metadata, self->fd[1], 10, 0);
	expect_send(_metadata, self->fd[0], "abc");
	EXPECT_TRUE(wait_asleep(pid));
	expect_send(_metadata, self->fd[0], "def");
	EXPECT_EQ(6, my_wait(pid));
}

TEST_F(pair, lowat_poll)
{
	set_lowat(_metadata, self->fd[1], 4);
	expect_send(_metadata, self->fd[0], "abc");
	EXPECT_EQ(0, poll_now(self->fd[1]) & POLLIN);
	expect_send(_metadata, self->fd[0], "d");
	EXPECT_NE(0, poll_now(self->fd[1]) & POLLIN);
}

/* More than there can ever be: what there is room for must do. */
TEST_F(pair, lowat_poll_larger_than_buffer)
{
	set_lowat(_metadata, self->fd[1], BIG);
	my_fill(_metadata, self->fd[0], 4096);
	EXPECT_NE(0, poll_now(self->fd[1]) & POLLIN);
}

static void peek_full(struct __test_metadata *_metadata, int fd[2], int flags)
{
	char *buf = calloc(1, BIG);
	ssize_t total;

	ASSERT_NE(NULL, buf);
	total = my_fill(_metadata, fd[0], 4096);
	EXPECT_EQ(total, recv(fd[1], buf, BIG, MSG_PEEK | flags));
	free(buf);
}

TEST_F(pair, lowat_peek_larger_than_buffer)
{
	set_lowat(_metadata, self->fd[1], BIG);
	peek_full(_metadata, self->fd, 0);
}

TEST_F(pair, peek_waitall_larger_than_buffer)
{
	peek_full(_metadata, self->fd, MSG_WAITALL);
}

TEST_F(pair, lower_lowat_wakes_poll)
{
	pid_t pid;

	set_lowat(_metadata, self->fd[1], 4);
	expect_send(_metadata, self->fd[0], "abc");
	pid = my_fork(_metadata);
	if (!pid)
		_exit(poll_for(self->fd[1], POLLIN, WAIT_MS) != POLLIN);
	EXPECT_TRUE(wait_asleep(pid));
	set_lowat(_metadata, self->fd[1], 3);
	EXPECT_EQ(0, my_wait(pid));
}

TEST_F(pair, lowat_shutdown_poll)
{
	set_lowat(_metadata, self->fd[1], 4);
	expect_send(_metadata, self->fd[0], "abc");
	shutdown(self->fd[0], SHUT_WR);
	EXPECT_NE(0, poll_now(self->fd[1]) & POLLIN);
	expect_recv(_metadata, self->fd[1], "abc");
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
	char buf[16];
	pid_t pid;
	int i;

	pid = my_fork(_metadata);
	if (!pid) {
		for (i = 0; i < 100; i++) {
			if (recv(self->fd[1], buf, 1, 0) != 1 ||
			    send(self->fd[1], buf, 1, 0) != 1)
				_exit(KSFT_FAIL);
		}
		_exit(KSFT_PASS);
	}

	for (i = 0; i < 100; i++) {
		expect_send(_metadata, self->fd[0], "x");
		recv(self->fd[1], buf, 1, MSG_PEEK | MSG_DONTWAIT);
		ASSERT_NE(0, poll_for(self->fd[0], POLLIN, WAIT_MS))
			TH_LOG("the reader sleeps over data, round %d", i);
		expect_recv(_metadata, self->fd[0], "x");
	}
	EXPECT_EQ(KSFT_PASS, my_wait(pid));
}

/* Room can also come from SO_RCVBUF. */
TEST_F(pair, larger_rcvbuf_wakes_sender)
{
	/* Half of it is free then: the kernel doubles the value. */
	int val = 2 * get_int_opt(_metadata, self->fd[1], SO_RCVBUF);
	pid_t pid;

	my_fill(_metadata, self->fd[0], 4096);
	pid = my_fork(_metadata);
	if (!pid)
		_exit(send(self->fd[0], "x", 1, 0) != 1);
	EXPECT_TRUE(wait_asleep(pid));
	ASSERT_EQ(0, setsockopt(self->fd[1], SOL_SOCKET, SO_RCVBUFFORCE, &val,
				sizeof(val)));
	EXPECT_EQ(0, my_wait(pid));
}

/* Memory: the receiver's SO_RCVBUF bounds what can be queued for it */

FIXTURE(memory)
{
	int fd[2];
};

FIXTURE_VARIANT(memory)
{
	int rcvbuf;	/* 0: the default */
	size_t chunk;
};

FIXTURE_VARIANT_ADD(memory, default_1000)
{
	.chunk = 1000,
};

FIXTURE_VARIANT_ADD(memory, default_1m)
{
	.chunk = 1 << 20,
};

FIXTURE_VARIANT_ADD(memory, rcvbuf_minimal_64)
{
	.rcvbuf = 1,
	.chunk = 64,
};

FIXTURE_SETUP(memory)
{
	my_connection(_metadata, self->fd);
	if (variant->rcvbuf)
		set_rcvbuf(_metadata, self->fd[1], variant->rcvbuf);
}

FIXTURE_TEARDOWN(memory)
{
	close(self->fd[0]);
	close(self->fd[1]);
}

static __u32 mem_info(struct __test_metadata *_metadata, int fd, int what)
{
	__u32 info[SK_MEMINFO_VARS] = {};
	socklen_t len = sizeof(info);

	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len));
	return info[what];
}

TEST_F(memory, queue_is_bounded)
{
	size_t rcvbuf = get_int_opt(_metadata, self->fd[1], SO_RCVBUF);
	size_t total;

	total = my_fill(_metadata, self->fd[0], variant->chunk);
	EXPECT_LE(rcvbuf / 4, total);
	EXPECT_GE(2 * rcvbuf + 65536, total);
	EXPECT_EQ(total, my_drain(_metadata, self->fd[1]));
}

TEST_F(memory, charged_and_given_back)
{
	__u32 before = mem_info(_metadata, self->fd[1], SK_MEMINFO_RMEM_ALLOC);
	__u32 full;
	int i;

	EXPECT_EQ(0U, before);
	for (i = 0; i < 3; i++) {
		my_fill(_metadata, self->fd[0], variant->chunk);
		full = mem_info(_metadata, self->fd[1], SK_MEMINFO_RMEM_ALLOC);
		EXPECT_LT(0U, full);
		my_drain(_metadata, self->fd[1]);
		EXPECT_EQ(0U, mem_info(_metadata, self->fd[1],
				       SK_MEMINFO_RMEM_ALLOC));
	}
}

/* Nothing leaks from one round to the next: the room stays the same. */
TEST_F(memory, same_room_every_time)
{
	size_t first, again;
	int i;

	first = my_fill(_metadata, self->fd[0], variant->chunk);
	my_drain(_metadata, self->fd[1]);
	for (i = 0; i < 5; i++) {
		again = my_fill(_metadata, self->fd[0], variant->chunk);
		/* Where a page ends may differ. */
		EXPECT_LE(first / 2, again);
		EXPECT_GE(first * 2, again);
		my_drain(_metadata, self->fd[1]);
	}
}

TEST_F(memory, directions_are_independent)
{
	my_fill(_metadata, self->fd[0], variant->chunk);
	expect_send(_metadata, self->fd[1], "abc");
	expect_recv(_metadata, self->fd[0], "abc");
	EXPECT_EQ(0U, mem_info(_metadata, self->fd[0], SK_MEMINFO_RMEM_ALLOC));
}

/* What was full takes more when any of it is free; poll() waits for half. */
TEST_F(memory, full_takes_any_and_tells_half)
{
	int rcvbuf = get_int_opt(_metadata, self->fd[1], SO_RCVBUF);
	bool took = false;
	char buf[500];
	size_t left;
	ssize_t n;
	int space;

	left = my_fill(_metadata, self->fd[0], variant->chunk);
	for (;;) {
		space = rcvbuf - (int)mem_info(_metadata, self->fd[1],
					       SK_MEMINFO_RMEM_ALLOC);
		if (space >= rcvbuf / 2)
			break;
		ASSERT_EQ(0, poll_now(self->fd[0]));
		ASSERT_EQ(space > 0 ? 0 : EAGAIN, try_send(self->fd[0]));
		took |= space > 0;
		n = recv(self->fd[1], buf, sizeof(buf), MSG_DONTWAIT);
		ASSERT_LT(0, n);
		left -= n - (space > 0);
	}
	EXPECT_TRUE(took || variant->rcvbuf);
	EXPECT_EQ(POLLOUT, poll_now(self->fd[0]));
	EXPECT_EQ(left, my_drain(_metadata, self->fd[1]));
}

TEST_F(memory, shrinking_rcvbuf_keeps_data)
{
	size_t total;

	total = my_fill(_metadata, self->fd[0], variant->chunk);
	set_rcvbuf(_metadata, self->fd[1], 1);
	EXPECT_EQ(EAGAIN, try_send(self->fd[0]));
	EXPECT_EQ(total, my_drain(_metadata, self->fd[1]));
	EXPECT_EQ(0, try_send(self->fd[0]));
}

/* A larger buffer lets the sender go on at once. */
TEST_F(memory, growing_rcvbuf_makes_room)
{
	int large = 2 * get_int_opt(_metadata, self->fd[1], SO_RCVBUF);

	my_fill(_metadata, self->fd[0], variant->chunk);
	ASSERT_EQ(0, setsockopt(self->fd[1], SOL_SOCKET, SO_RCVBUFFORCE,
				&large, sizeof(large)));
	EXPECT_EQ(0, try_send(self->fd[0]));
}

TEST_F(pair, nonblocking_send_is_partial)
{
	char *buf = calloc(1, BIG);
	ssize_t n;

	ASSERT_NE(NULL, buf);
	n = send(self->fd[0], buf, BIG, MSG_DONTWAIT);
	EXPECT_LT(0, n);
	EXPECT_GT(BIG, n);
	EXPECT_EQ(EAGAIN, err_of(send(self->fd[0], buf, BIG, MSG_DONTWAIT)));
	EXPECT_EQ((size_t)n, my_drain(_metadata, self->fd[1]));
	free(buf);
}

/*
 * Transfers. The stream repeats a pattern whose length is a prime, so that
 * byte i is pattern[i % PATTERN_LEN] and no lost, doubled or misplaced piece
 * looks right.
 */
#define PATTERN_LEN	1048583
#define SIZE_BITS	18	/* a call has up to this many bits of bytes */

static unsigned char pattern[PATTERN_LEN + (1 << SIZE_BITS)];

static __u32 random_state;

static __u32 random_u32(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

/* As many small sizes as large ones */
static size_t random_size(int max_bits)
{
	__u32 bits = random_u32() % (max_bits + 1);

	return (random_u32() & ((1U << bits) - 1)) + 1;
}

static void make_pattern(void)
{
	size_t i;

	random_state = 1;
	for (i = 0; i < PATTERN_LEN; i++)
		pattern[i] = random_u32() >> 24;
	for (i = PATTERN_LEN; i < sizeof(pattern); i++)
		pattern[i] = pattern[i - PATTERN_LEN];
}

enum wait { BLOCK, POLL, EPOLL_EDGE };

struct mode {
	enum wait wait;
	int out_bits;	/* largest send */
	int in_bits;	/* largest recv */
};

FIXTURE(transfer)
{
	int fd[2];
};

FIXTURE_VARIANT(transfer)
{
	struct mode mode;
	size_t total;
	int rcvbuf;
};

FIXTURE_VARIANT_ADD(transfer, blocking)
{
	.mode = { BLOCK, SIZE_BITS, SIZE_BITS },
	.total = 16 << 20,
};

FIXTURE_VARIANT_ADD(transfer, poll)
{
	.mode = { POLL, SIZE_BITS, SIZE_BITS },
	.total = 4 << 20,
};

FIXTURE_VARIANT_ADD(transfer, epoll_edge)
{
	.mode = { EPOLL_EDGE, SIZE_BITS, SIZE_BITS },
	.total = 4 << 20,
};

FIXTURE_VARIANT_ADD(transfer, small_sends)
{
	.mode = { BLOCK, 5, SIZE_BITS },
	.total = 20000,
};

FIXTURE_VARIANT_ADD(transfer, small_recvs)
{
	.mode = { BLOCK, SIZE_BITS, 5 },
	.total = 20000,
};

FIXTURE_VARIANT_ADD(transfer, small_rcvbuf_blocking)
{
	.mode = { BLOCK, 14, 14 },
	.total = 200000,
	.rcvbuf = 1,
};

FIXTURE_VARIANT_ADD(transfer, small_rcvbuf_epoll_edge)
{
	.mode = { EPOLL_EDGE, 14, 14 },
	.total = 200000,
	.rcvbuf = 1,
};

FIXTURE_SETUP(transfer)
{
	int i;

	make_pattern();
	my_connection(_metadata, self->fd);
	for (i = 0; i < 2; i++) {
		if (variant->mode.wait != BLOCK)
			set_nonblock(_metadata, self->fd[i]);
		if (variant->rcvbuf)
			set_rcvbuf(_metadata, self->fd[i], variant->rcvbuf);
	}
}

FIXTURE_TEARDOWN(transfer)
{
	close(self->fd[0]);
	close(self->fd[1]);
}

/* One end of a transfer, both directions of which may be in use */
struct end {
	struct mode mode;
	size_t sent, to_send;
	size_t received;
	bool eof;
	int fd;
	int epoll;
};

static struct end make_end(const struct mode *mode, int fd, size_t to_send)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
	};
	struct end end = {
		.mode = *mode,
		.to_send = to_send,
		.fd = fd,
		.epoll = epoll_create1(0),
	};

	if (epoll_ctl(end.epoll, EPOLL_CTL_ADD, fd, &event))
		_exit(KSFT_FAIL);
	/* Both sides draw different sizes. */
	random_state = getpid();
	return end;
}

/* Split @len bytes at @p into a few pieces; tells into how many */
static int split(struct iovec iov[4], unsigned char *p, size_t len)
{
	size_t piece;
	int i;

	for (i = 0; i < 3 && len; i++) {
		piece = random_u32() % (len + 1);
		iov[i] = (struct iovec) { .iov_base = p, .iov_len = piece };
		p += piece;
		len -= piece;
	}
	iov[i] = (struct iovec) { .iov_base = p, .iov_len = len };
	return i + 1;
}

/* These return 0, -EAGAIN, or what went wrong. */

static int send_some(struct end *end)
{
	size_t len = random_size(end->mode.out_bits);
	struct iovec iov[4];
	ssize_t n;

	if (len > end->to_send - end->sent)
		len = end->to_send - end->sent;
	n = writev(end->fd, iov,
		   split(iov, pattern + end->sent % PATTERN_LEN, len));
	if (n < 0)
		return -errno;

	/* A blocking send() takes all. */
	if (!n || n > (ssize_t)len)
		return -EPROTO;
	if (end->mode.wait == BLOCK && n != (ssize_t)len)
		return -EPROTO;

	end->sent += n;
	if (end->sent == end->to_send && shutdown(end->fd, SHUT_WR))
		return -errno;
	return 0;
}

static int recv_some(struct end *end)
{
	static unsigned char buf[1 << SIZE_BITS];
	size_t len = random_size(end->mode.in_bits);
	struct iovec iov[4];
	ssize_t n;

	n = readv(end->fd, iov, split(iov, buf, len));
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

static int wait_ready(struct end *end, bool out)
{
	int events = POLLIN | (out ? POLLOUT : 0);
	struct epoll_event event;
	int ret;

	if (end->mode.wait == EPOLL_EDGE)
		ret = epoll_wait(end->epoll, &event, 1, WAIT_MS);
	else
		ret = poll_for(end->fd, events, WAIT_MS);
	return ret > 0 ? 0 : -ETIMEDOUT;
}

/* Send and receive in turn until both are done */
static int run_end(struct end *end)
{
	int in = end->eof ? -EAGAIN : 0, out = 0;

	while (end->sent < end->to_send || !end->eof) {
		out = -EAGAIN;
		if (end->sent < end->to_send)
			out = send_some(end);
		if (out && out != -EAGAIN)
			return out;

		in = -EAGAIN;
		if (!end->eof)
			in = recv_some(end);
		if (in && in != -EAGAIN)
			return in;

		if (in != -EAGAIN || out != -EAGAIN)
			continue;
		in = wait_ready(end, end->sent < end->to_send);
		if (in)
			return in;
	}
	return 0;
}

TEST_F(transfer, one_way)
{
	size_t total = variant->total;
	struct end end;
	pid_t pid;
	int err;

	pid = my_fork(_metadata);
	if (!pid) {
		end = make_end(&variant->mode, self->fd[0], total);
		end.eof = true;
		_exit(-run_end(&end));
	}

	close_end(&self->fd[0]);
	end = make_end(&variant->mode, self->fd[1], 0);
	err = run_end(&end);
	EXPECT_EQ(0, err)
		TH_LOG("after %zu bytes: %s", end.received, strerror(-err));
	EXPECT_EQ(total, end.received);
	EXPECT_EQ(0, err ? my_kill(pid) : my_wait(pid));
	EXPECT_EQ(0U, mem_info(_metadata, self->fd[1], SK_MEMINFO_RMEM_ALLOC));
}

/* Both ways at once: blocking ends could wait for each other. */
TEST_F(transfer, both_ways)
{
	struct mode mode = variant->mode;
	size_t total = variant->total / 2;
	struct end end;
	pid_t pid;
	int err;

	if (mode.wait == BLOCK) {
		set_nonblock(_metadata, self->fd[0]);
		set_nonblock(_metadata, self->fd[1]);
		mode.wait = POLL;
		total /= 4;
	}

	pid = my_fork(_metadata);
	if (!pid) {
		end = make_end(&mode, self->fd[0], total);
		err = run_end(&end);
		_exit(err ? -err : end.received != total);
	}

	close_end(&self->fd[0]);
	end = make_end(&mode, self->fd[1], total);
	err = run_end(&end);
	EXPECT_EQ(0, err)
		TH_LOG("after %zu bytes: %s", end.received, strerror(-err));
	EXPECT_EQ(total, end.received);
	EXPECT_EQ(0, err ? my_kill(pid) : my_wait(pid));
}

/*
 * Small data. Where it is kept depends on its size, on what is there already
 * and on who reads it how: whatever the mixture, it stays one stream.
 */

struct small {
	int fd[2];
	int pipe[2];
	size_t sent;
	size_t received;
};

static bool small_is_next(const struct small *s, const void *buf, size_t len)
{
	return !memcmp(buf, pattern + s->received, len);
}

/* Up to @len bytes, all that there are: with recv() or by way of a pipe */
static ssize_t small_read(struct small *s, void *buf, size_t len,
			  bool splice_it)
{
	ssize_t n;

	if (!splice_it)
		return recv(s->fd[1], buf, len, MSG_DONTWAIT);

	n = splice(s->fd[1], NULL, s->pipe[1], NULL, len, SPLICE_F_NONBLOCK);
	return n < 0 ? n : read(s->pipe[0], buf, n);
}

static void small_receive(struct __test_metadata *_metadata, struct small *s,
			  size_t len, bool splice_it)
{
	size_t there = s->sent - s->received;
	unsigned char buf[1024];
	ssize_t n;

	n = small_read(s, buf, len, splice_it);
	if (!there) {
		ASSERT_EQ(EAGAIN, err_of(n));
		return;
	}
	/* A pipe has no more than 16 places. */
	ASSERT_LT(0, n);
	if (!splice_it)
		ASSERT_EQ((ssize_t)(len < there ? len : there), n);
	ASSERT_TRUE(small_is_next(s, buf, n));
	s->received += n;
}

static void small_peek(struct __test_metadata *_metadata, struct small *s,
		       size_t len)
{
	size_t there = s->sent - s->received;
	unsigned char buf[1024];
	ssize_t n;

	n = recv(s->fd[1], buf, len, MSG_DONTWAIT | MSG_PEEK);
	if (!there) {
		ASSERT_EQ(EAGAIN, err_of(n));
		return;
	}
	ASSERT_EQ((ssize_t)(len < there ? len : there), n);
	ASSERT_TRUE(small_is_next(s, buf, n));
}

static void small_step(struct __test_metadata *_metadata, struct small *s)
{
	size_t len = random_size(9);
	int inq;

	switch (random_u32() % 8) {
	case 0 ... 2:
		if (s->sent - s->received > 5000)
			break;
		ASSERT_EQ((ssize_t)len,
			  send(s->fd[0], pattern + s->sent, len, MSG_DONTWAIT));
		s->sent += len;
		break;
	case 3 ... 5:
		small_receive(_metadata, s, len, random_u32() % 8 == 0);
		break;
	case 6:
		small_peek(_metadata, s, len);
		break;
	case 7:
		ASSERT_EQ(0, ioctl(s->fd[1], SIOCINQ, &inq));
		ASSERT_EQ(s->sent - s->received, (size_t)inq);
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
		small_receive(_metadata, &s, 1000, false);
	EXPECT_EQ(0U, mem_info(_metadata, s.fd[1], SK_MEMINFO_RMEM_ALLOC));
	EXPECT_EQ(EAGAIN, try_recv(s.fd[1]));
	close(s.pipe[0]);
	close(s.pipe[1]);
}

/* Who reads while it is written sees the same. */
TEST_F(pair, small_data_at_once)
{
	size_t len, sent = 0, total = 200000;
	struct small s = { };
	unsigned char buf[512];
	ssize_t n;
	pid_t pid;

	make_pattern();
	pid = my_fork(_metadata);
	if (!pid) {
		while (sent < total) {
			len = random_size(7);
			n = send(self->fd[0], pattern + sent, len, 0);
			if (n != (ssize_t)len)
				_exit(1);
			sent += n;
		}
		_exit(0);
	}

	close_end(&self->fd[0]);
	random_state = 2;
	for (;;) {
		len = random_size(9);
		n = recv(self->fd[1], buf, len, 0);
		if (n <= 0)
			break;
		ASSERT_TRUE(small_is_next(&s, buf, n));
		s.received += n;
	}
	EXPECT_EQ(0, n);
	EXPECT_LE(total, s.received);
	EXPECT_EQ(0, my_wait(pid));
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
	int off = 5;
	char buf[4];

	ASSERT_EQ(0, setsockopt(self->fd[1], SOL_SOCKET, SO_PEEK_OFF, &off,
				sizeof(off)));
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

	for (i = 0; i < sizeof(out); i++) {
		out[i] = i % 251;
		ASSERT_EQ(1, send(self->fd[0], out + i, 1, MSG_DONTWAIT));
		ASSERT_EQ((ssize_t)i + 1, recv(self->fd[1], in, sizeof(in),
					       MSG_DONTWAIT | MSG_PEEK));
	}
	EXPECT_EQ((ssize_t)sizeof(in), recv(self->fd[1], in, sizeof(in),
					    MSG_DONTWAIT));
	EXPECT_EQ(0, memcmp(in, out, sizeof(out)));
	EXPECT_EQ(0U, mem_info(_metadata, self->fd[1],
			       SK_MEMINFO_RMEM_ALLOC));
}

/* The place for small data does not know who sent it. */
TEST_F(pair, small_data_then_passcred)
{
	union {
		char buf[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	char buf[16];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct ucred *cred;
	int one = 1;

	expect_send(_metadata, self->fd[0], "abc");
	ASSERT_EQ(0, setsockopt(self->fd[1], SOL_SOCKET, SO_PASSCRED, &one,
				sizeof(one)));
	expect_send(_metadata, self->fd[0], "def");

	ASSERT_EQ(3, recvmsg(self->fd[1], &msg, 0));
	EXPECT_EQ(0, memcmp(buf, "abc", 3));
	cred = (struct ucred *)CMSG_DATA(&control.align);
	EXPECT_EQ(0, cred->pid);
	msg.msg_controllen = sizeof(control);
	ASSERT_EQ(3, recvmsg(self->fd[1], &msg, 0));
	EXPECT_EQ(0, memcmp(buf, "def", 3));
	EXPECT_EQ(getpid(), cred->pid);
}

/* SO_INQ */

#ifndef SO_INQ
#define SO_INQ	84
#endif

/* Receive up to @len bytes, and tell what SCM_INQ says, -1: nothing */
static int recv_inq(int fd, size_t len, int flags)
{
	char data[64], control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = { .iov_base = data, .iov_len = len };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;
	int inq = -1;

	if (recvmsg(fd, &msg, flags | MSG_DONTWAIT) < 0)
		return -errno;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SO_INQ)
		memcpy(&inq, CMSG_DATA(cmsg), sizeof(inq));
	return inq;
}

static int ioctl_inq(int fd)
{
	int inq = -1;

	ioctl(fd, SIOCINQ, &inq);
	return inq;
}

static int set_inq(int fd, int val, socklen_t len)
{
	return err_of(setsockopt(fd, SOL_SOCKET, SO_INQ, &val, len));
}

TEST_F(pair, inq)
{
	expect_send(_metadata, self->fd[0], "abcdef");
	EXPECT_EQ(-1, recv_inq(self->fd[1], 1, 0));
	ASSERT_EQ(0, set_inq(self->fd[1], 1, sizeof(int)));
	EXPECT_EQ(5, recv_inq(self->fd[1], 2, MSG_PEEK));
	EXPECT_EQ(3, recv_inq(self->fd[1], 2, 0));
	/* A second skb, and a third that nobody has taken over */
	my_fill(_metadata, self->fd[0], 100);
	EXPECT_EQ(ioctl_inq(self->fd[1]) - 1, recv_inq(self->fd[1], 1, 0));
	my_drain(_metadata, self->fd[1]);
	EXPECT_EQ(-EAGAIN, recv_inq(self->fd[1], 1, 0));
	/* At the end there is nothing. */
	close_end(&self->fd[0]);
	EXPECT_EQ(0, recv_inq(self->fd[1], 1, 0));
	ASSERT_EQ(0, set_inq(self->fd[1], 0, sizeof(int)));
	EXPECT_EQ(-1, recv_inq(self->fd[1], 1, 0));
}

TEST_F(pair, inq_option)
{
	static const int types[] = { SOCK_SEQPACKET, SOCK_DGRAM };
	int i;

	EXPECT_EQ(EINVAL, set_inq(self->fd[0], 2, sizeof(int)));
	EXPECT_EQ(EINVAL, set_inq(self->fd[0], -1, sizeof(int)));
	EXPECT_EQ(EINVAL, set_inq(self->fd[0], 1, 1));
	EXPECT_EQ(EFAULT, err_of(setsockopt(self->fd[0], SOL_SOCKET, SO_INQ,
					    NULL, sizeof(int))));
	for (i = 0; i < 2; i++) {
		my_type = types[i];
		EXPECT_EQ(ENOPROTOOPT,
			  set_inq(my_socket(_metadata), 1, sizeof(int)));
	}
}

/* As all options */
TEST(inq_of_listener)
{
	__u32 channel;
	int listener = my_listener(_metadata, 1, &channel), client, fd;

	ASSERT_EQ(0, set_inq(listener, 1, sizeof(int)));
	client = my_client(_metadata, channel);
	fd = accept(listener, NULL, NULL);
	expect_send(_metadata, client, "abc");
	EXPECT_EQ(2, recv_inq(fd, 1, 0));
	/* And of one that was accepted, too */
	ASSERT_EQ(0, set_inq(fd, 0, sizeof(int)));
	EXPECT_EQ(-1, recv_inq(fd, 1, 0));
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
