// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO: how much recv() returns and what it leaves, by flags and
 * SO_RCVLOWAT, and several readers of one socket.
 */
#include <sys/mman.h>

#include "pair.h"

#define PAGE_LEN	4096

static ssize_t recv_flags(int fd, char *buf, size_t len, int flags)
{
	ssize_t n = recv(fd, buf, len, flags);

	return n < 0 ? -errno : n;
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
}

TEST_F(pair, peek_nothing_eagain)
{
	char c;

	EXPECT_EQ(-EAGAIN, recv_flags(self->fd[1], &c, 1,
				      MSG_PEEK | MSG_DONTWAIT));
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

	set_timeout(_metadata, self->fd[1], SO_RCVTIMEO, 100);
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
	char *p = mmap(NULL, 2 * PAGE_LEN, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(PAGE_LEN, send(self->fd[0], p, PAGE_LEN, 0));
	/* Take over what is there, so that the rest is apart from it. */
	EXPECT_EQ(1, recv(self->fd[1], p, 1, MSG_PEEK));
	expect_send(_metadata, self->fd[0], "abc");

	ASSERT_EQ(0, mprotect(p + PAGE_LEN, PAGE_LEN, PROT_NONE));
	EXPECT_EQ(PAGE_LEN, recv(self->fd[1], p, 2 * PAGE_LEN,
				 MSG_PEEK | MSG_WAITALL));
	EXPECT_EQ(PAGE_LEN + 3, my_drain(_metadata, self->fd[1]));
	munmap(p, 2 * PAGE_LEN);
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
		for (i = 0; i < 500; i++) {
			if (recv(self->fd[1], buf, 1, 0) != 1 ||
			    send(self->fd[1], buf, 1, 0) != 1)
				_exit(KSFT_FAIL);
		}
		_exit(KSFT_PASS);
	}

	for (i = 0; i < 500; i++) {
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
	int val = get_int_opt(_metadata, self->fd[1], SO_RCVBUF);
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

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
