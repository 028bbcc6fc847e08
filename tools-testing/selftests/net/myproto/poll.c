// SPDX-License-Identifier: GPL-2.0
/*
 * What poll(), select() and epoll say about AF_MYPROTO sockets: which events
 * each state has, that writability tells the truth, that edges come once and
 * are not lost, and that sleepers are woken.
 */
#include <sys/epoll.h>
#include <sys/select.h>

#include "pair.h"

/* The events of a state, asked for with poll() */

TEST(unconnected_out_hup)
{
	int fd = my_socket(_metadata);

	EXPECT_EQ(POLLOUT | POLLHUP, poll_now(fd));
	ASSERT_EQ(0, my_bind(fd, 5000));
	EXPECT_EQ(POLLOUT | POLLHUP, poll_now(fd));
}

TEST(listener_in_when_connection_waits)
{
	__u32 channel;
	int listener;

	listener = my_listener(_metadata, 2, &channel);
	EXPECT_EQ(0, poll_now(listener));
	my_client(_metadata, channel);
	EXPECT_EQ(POLLIN, poll_now(listener));
	my_client(_metadata, channel);
	ASSERT_LE(0, accept(listener, NULL, NULL));
	EXPECT_EQ(POLLIN, poll_now(listener));
	ASSERT_LE(0, accept(listener, NULL, NULL));
	EXPECT_EQ(0, poll_now(listener));
}

TEST(listener_shutdown_rd_in)
{
	__u32 channel;
	int listener;

	listener = my_listener(_metadata, 2, &channel);
	ASSERT_EQ(0, shutdown(listener, SHUT_RD));
	/* accept() does not block: it returns EINVAL. */
	EXPECT_TRUE(poll_now(listener) & POLLIN);
}

TEST_F(pair, idle_out)
{
	EXPECT_EQ(POLLOUT, poll_now(self->fd[0]));
	EXPECT_EQ(POLLOUT, poll_now(self->fd[1]));
}

TEST_F(pair, data_in)
{
	expect_send(_metadata, self->fd[0], "abc");
	EXPECT_EQ(POLLIN | POLLOUT, poll_now(self->fd[1]));
	EXPECT_EQ(POLLOUT, poll_now(self->fd[0]));

	/* As long as something is left */
	EXPECT_EQ(0, try_recv(self->fd[1]));
	EXPECT_EQ(POLLIN | POLLOUT, poll_now(self->fd[1]));
	expect_recv(_metadata, self->fd[1], "bc");
	EXPECT_EQ(POLLOUT, poll_now(self->fd[1]));
}

TEST_F(pair, send_zero_no_in)
{
	EXPECT_EQ(0, send(self->fd[0], NULL, 0, 0));
	EXPECT_EQ(POLLOUT, poll_now(self->fd[1]));
}

TEST_F(pair, normal_and_band_events)
{
	int all = POLLRDNORM | POLLRDBAND | POLLWRNORM | POLLPRI;

	EXPECT_EQ(POLLWRNORM, poll_for(self->fd[1], all, 0));
	expect_send(_metadata, self->fd[0], "abc");
	EXPECT_EQ(POLLRDNORM | POLLWRNORM, poll_for(self->fd[1], all, 0));
}

TEST_F(pair, shutdown_wr_peer_in_rdhup)
{
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_WR));
	EXPECT_EQ(POLLIN | POLLRDHUP | POLLOUT, poll_now(self->fd[1]));
	expect_eof(_metadata, self->fd[1]);
	EXPECT_EQ(POLLIN | POLLRDHUP | POLLOUT, poll_now(self->fd[1]));

	/* This end can still read. */
	EXPECT_EQ(0, poll_now(self->fd[0]) & (POLLIN | POLLRDHUP | POLLHUP));
}

TEST_F(pair, shutdown_rd_own_in_rdhup)
{
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_RD));
	EXPECT_EQ(POLLIN | POLLRDHUP | POLLOUT, poll_now(self->fd[0]));
	EXPECT_EQ(0, poll_now(self->fd[1]) & (POLLIN | POLLRDHUP | POLLHUP));
}

TEST_F(pair, shutdown_rdwr_hup)
{
	int hup = POLLIN | POLLRDHUP | POLLHUP;

	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_RDWR));
	EXPECT_EQ(hup, poll_now(self->fd[0]) & (hup | POLLERR));
	EXPECT_EQ(hup, poll_now(self->fd[1]) & (hup | POLLERR));
}

TEST_F(pair, shutdown_wr_by_both_hup)
{
	int hup = POLLIN | POLLRDHUP | POLLHUP;

	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_WR));
	ASSERT_EQ(0, shutdown(self->fd[1], SHUT_WR));
	EXPECT_EQ(hup, poll_now(self->fd[0]) & (hup | POLLERR));
	EXPECT_EQ(hup, poll_now(self->fd[1]) & (hup | POLLERR));
}

TEST_F(pair, close_in_rdhup_hup)
{
	int hup = POLLIN | POLLRDHUP | POLLHUP;

	expect_send(_metadata, self->fd[0], "last");
	close_end(&self->fd[0]);
	EXPECT_EQ(hup, poll_now(self->fd[1]) & (hup | POLLERR));
	expect_recv(_metadata, self->fd[1], "last");
	EXPECT_EQ(hup, poll_now(self->fd[1]) & (hup | POLLERR));
	expect_eof(_metadata, self->fd[1]);
	EXPECT_EQ(hup, poll_now(self->fd[1]) & (hup | POLLERR));
}

TEST_F(pair, close_with_unread_err_until_read)
{
	int hup = POLLIN | POLLRDHUP | POLLHUP;

	expect_send(_metadata, self->fd[1], "unread");
	close_end(&self->fd[0]);
	EXPECT_EQ(hup | POLLERR, poll_now(self->fd[1]) & (hup | POLLERR));
	EXPECT_EQ(ECONNRESET, try_recv(self->fd[1]));
	EXPECT_EQ(hup, poll_now(self->fd[1]) & (hup | POLLERR));
}

TEST(close_listener_client_err_hup)
{
	int all = POLLIN | POLLRDHUP | POLLHUP | POLLERR;
	int listener, client;
	__u32 channel;

	listener = my_listener(_metadata, 1, &channel);
	client = my_client(_metadata, channel);
	EXPECT_EQ(POLLOUT, poll_now(client));
	close(listener);
	EXPECT_EQ(all, poll_now(client) & all);
}

/* Writability */

TEST_F(pair, full_no_out)
{
	my_fill(_metadata, self->fd[0], 4096);
	EXPECT_EQ(0, poll_now(self->fd[0]));
	EXPECT_EQ(POLLIN | POLLOUT, poll_now(self->fd[1]));
}

TEST_F(pair, drained_out_again)
{
	int i;

	for (i = 0; i < 10; i++) {
		my_fill(_metadata, self->fd[0], 4096);
		EXPECT_EQ(0, poll_now(self->fd[0]));
		my_drain(_metadata, self->fd[1]);
		EXPECT_EQ(POLLOUT, poll_now(self->fd[0]));
	}
}

/* POLLOUT if and only if a send() queues something, at every fill level */

FIXTURE(out_iff_sendable)
{
	int fd[2];
};

FIXTURE_VARIANT(out_iff_sendable)
{
	int rcvbuf;
	size_t chunk;
};

FIXTURE_VARIANT_ADD(out_iff_sendable, default_16k)
{
	.chunk = 16384,
};

FIXTURE_VARIANT_ADD(out_iff_sendable, default_3000)
{
	.chunk = 3000,
};

FIXTURE_VARIANT_ADD(out_iff_sendable, minimal_100)
{
	.rcvbuf = 1,
	.chunk = 100,
};

FIXTURE_SETUP(out_iff_sendable)
{
	my_connection(_metadata, self->fd);
	ASSERT_EQ(0, variant->rcvbuf &&
		  setsockopt(self->fd[1], SOL_SOCKET, SO_RCVBUF,
			     &variant->rcvbuf, sizeof(variant->rcvbuf)));
}

FIXTURE_TEARDOWN(out_iff_sendable)
{
	close(self->fd[0]);
	close(self->fd[1]);
}

TEST_F(out_iff_sendable, while_filling)
{
	char buf[16384] = "";
	bool out;
	ssize_t n;

	do {
		out = poll_now(self->fd[0]) & POLLOUT;
		n = send(self->fd[0], buf, variant->chunk, MSG_DONTWAIT);
		ASSERT_EQ(out, n > 0);
	} while (n > 0);
}

TEST_F(out_iff_sendable, while_draining)
{
	bool out = false;
	char buf[16384];

	my_fill(_metadata, self->fd[0], variant->chunk);
	while (recv(self->fd[1], buf, variant->chunk, MSG_DONTWAIT) > 0) {
		out = poll_now(self->fd[0]) & POLLOUT;
		ASSERT_EQ(out, !try_send(self->fd[0]));
		/* A sender that is let on takes the room again: no more. */
		if (out)
			break;
	}
	EXPECT_TRUE(out);
	my_drain(_metadata, self->fd[1]);
	EXPECT_EQ(POLLOUT, poll_now(self->fd[0]));
}

/* select() takes its own way through the same code. */
TEST_F(pair, select)
{
	fd_set in, out;
	struct timeval tv = {};
	int max = self->fd[0] > self->fd[1] ? self->fd[0] : self->fd[1];

	expect_send(_metadata, self->fd[0], "abc");
	my_fill(_metadata, self->fd[1], 4096);
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(self->fd[1], &in);
	FD_SET(self->fd[0], &out);
	FD_SET(self->fd[1], &out);
	EXPECT_EQ(2, select(max + 1, &in, &out, NULL, &tv));
	EXPECT_TRUE(FD_ISSET(self->fd[1], &in));
	EXPECT_TRUE(FD_ISSET(self->fd[0], &out));
	EXPECT_FALSE(FD_ISSET(self->fd[1], &out));
}

/* epoll */

static int epoll_of(struct __test_metadata *_metadata, int fd, __u32 events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };
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

TEST_F(pair, epoll_level_repeats)
{
	int epoll = epoll_of(_metadata, self->fd[1], EPOLLIN);

	EXPECT_EQ(0, epoll_now(epoll));
	expect_send(_metadata, self->fd[0], "abc");
	EXPECT_EQ(EPOLLIN, epoll_now(epoll));
	EXPECT_EQ(EPOLLIN, epoll_now(epoll));
	expect_recv(_metadata, self->fd[1], "abc");
	EXPECT_EQ(0, epoll_now(epoll));
}

TEST_F(pair, epoll_edge_in_once_for_each_send)
{
	int epoll = epoll_of(_metadata, self->fd[1], EPOLLIN | EPOLLET);
	int i;

	EXPECT_EQ(0, epoll_now(epoll));
	for (i = 0; i < 5; i++) {
		/* What is queued already does not hide what comes. */
		expect_send(_metadata, self->fd[0], "abc");
		EXPECT_EQ(EPOLLIN, epoll_now(epoll));
		EXPECT_EQ(0, epoll_now(epoll));
	}
	my_drain(_metadata, self->fd[1]);
	EXPECT_EQ(0, epoll_now(epoll));
}

/* A reader that has left data behind gets an edge for what follows. */
TEST_F(pair, epoll_edge_in_after_partial_read)
{
	int epoll = epoll_of(_metadata, self->fd[1], EPOLLIN | EPOLLET);

	expect_send(_metadata, self->fd[0], "abc");
	EXPECT_EQ(EPOLLIN, epoll_now(epoll));
	EXPECT_EQ(0, try_recv(self->fd[1]));
	EXPECT_EQ(0, epoll_now(epoll));
	expect_send(_metadata, self->fd[0], "def");
	EXPECT_EQ(EPOLLIN, epoll_now(epoll));
	expect_recv(_metadata, self->fd[1], "bcdef");
}

TEST_F(pair, epoll_edge_out_after_drain)
{
	int epoll = epoll_of(_metadata, self->fd[0], EPOLLOUT | EPOLLET);
	int i;

	EXPECT_EQ(EPOLLOUT, epoll_now(epoll));
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(0, epoll_now(epoll));
		my_fill(_metadata, self->fd[0], 4096);
		EXPECT_EQ(0, epoll_now(epoll));
		my_drain(_metadata, self->fd[1]);
		EXPECT_EQ(EPOLLOUT, epoll_now(epoll));
	}
}

/* The room may come in steps: the sender hears of it before the end. */
TEST_F(pair, epoll_edge_out_while_draining)
{
	int epoll = epoll_of(_metadata, self->fd[0], EPOLLOUT | EPOLLET);
	int events = 0;
	char buf[1024];

	my_fill(_metadata, self->fd[0], 4096);
	EXPECT_EQ(0, epoll_now(epoll) & ~EPOLLOUT);
	EXPECT_EQ(0, epoll_now(epoll));
	while (!events &&
	       recv(self->fd[1], buf, sizeof(buf), MSG_DONTWAIT) > 0)
		events = epoll_now(epoll);
	EXPECT_EQ(EPOLLOUT, events);
	EXPECT_EQ(0, try_send(self->fd[0]));
}

TEST_F(pair, epoll_edge_shutdown_wr)
{
	int epoll = epoll_of(_metadata, self->fd[1],
			     EPOLLIN | EPOLLRDHUP | EPOLLET);

	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_WR));
	EXPECT_EQ(EPOLLIN | EPOLLRDHUP, epoll_now(epoll));
	EXPECT_EQ(0, epoll_now(epoll));
}

TEST_F(pair, epoll_edge_close)
{
	int epoll = epoll_of(_metadata, self->fd[1],
			     EPOLLIN | EPOLLRDHUP | EPOLLET);

	close_end(&self->fd[0]);
	EXPECT_EQ(EPOLLIN | EPOLLRDHUP | EPOLLHUP, epoll_now(epoll));
	EXPECT_EQ(0, epoll_now(epoll));
}

TEST(epoll_edge_listener_once_for_each_connection)
{
	__u32 channel;
	int epoll, i;

	epoll = epoll_of(_metadata, my_listener(_metadata, 5, &channel),
			 EPOLLIN | EPOLLET);
	EXPECT_EQ(0, epoll_now(epoll));
	for (i = 0; i < 3; i++) {
		my_client(_metadata, channel);
		EXPECT_EQ(EPOLLIN, epoll_now(epoll));
		EXPECT_EQ(0, epoll_now(epoll));
	}
}

/* connect() turns OUT|HUP into OUT for who waits on the socket. */
TEST(epoll_before_connect)
{
	int epoll, fd = my_socket(_metadata);
	__u32 channel;

	epoll = epoll_of(_metadata, fd, EPOLLIN | EPOLLOUT);
	EXPECT_EQ(EPOLLOUT | EPOLLHUP, epoll_now(epoll));
	my_listener(_metadata, 1, &channel);
	ASSERT_EQ(0, my_connect(fd, channel));
	EXPECT_EQ(EPOLLOUT, epoll_now(epoll));
}

TEST(epoll_edge_out_by_connect)
{
	int epoll, fd = my_socket(_metadata);
	__u32 channel;

	epoll = epoll_of(_metadata, fd, EPOLLOUT | EPOLLET);
	EXPECT_EQ(EPOLLOUT | EPOLLHUP, epoll_now(epoll));
	EXPECT_EQ(0, epoll_now(epoll));
	my_listener(_metadata, 1, &channel);
	ASSERT_EQ(0, my_connect(fd, channel));
	EXPECT_EQ(EPOLLOUT, epoll_now(epoll));
}

/* A socket already in an epoll set when listen() makes it a listener */
TEST(epoll_before_listen)
{
	int epoll, fd = my_bound_socket(_metadata, 5000);

	epoll = epoll_of(_metadata, fd, EPOLLIN);
	ASSERT_EQ(0, listen(fd, 1));
	EXPECT_EQ(0, epoll_now(epoll));
	my_client(_metadata, 5000);
	EXPECT_EQ(EPOLLIN, epoll_now(epoll));
}

TEST_F(pair, epoll_oneshot)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT };
	int epoll = epoll_of(_metadata, self->fd[1], event.events);

	expect_send(_metadata, self->fd[0], "abc");
	EXPECT_EQ(EPOLLIN, epoll_now(epoll));
	expect_send(_metadata, self->fd[0], "def");
	EXPECT_EQ(0, epoll_now(epoll));
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_MOD, self->fd[1], &event));
	EXPECT_EQ(EPOLLIN, epoll_now(epoll));
}

/* Waking sleepers: a child does something once this process sleeps */

enum event {
	DATA, SHUTDOWN_WR, CLOSE, CLOSE_UNREAD, ROOM, NO_READER, CLOSE_FULL,
	CONNECTION, LISTENER_SHUTDOWN,
};

struct ends {
	__u32 channel;	/* of a listener */
	int other;
	int fd;		/* what the sleeper waits for */
};

FIXTURE(wake)
{
	struct ends ends;
};

FIXTURE_VARIANT(wake)
{
	enum event event;
	int wait_for;	/* what the sleeper asks for */
	int expected;	/* a bit it gets */
};

FIXTURE_VARIANT_ADD(wake, by_data)
{
	.event = DATA,
	.wait_for = POLLIN,
	.expected = POLLIN,
};

FIXTURE_VARIANT_ADD(wake, by_shutdown_wr)
{
	.event = SHUTDOWN_WR,
	.wait_for = POLLIN,
	.expected = POLLIN,
};

FIXTURE_VARIANT_ADD(wake, by_shutdown_wr_rdhup_only)
{
	.event = SHUTDOWN_WR,
	.wait_for = POLLRDHUP,
	.expected = POLLRDHUP,
};

FIXTURE_VARIANT_ADD(wake, by_close)
{
	.event = CLOSE,
	.wait_for = POLLIN,
	.expected = POLLHUP,
};

/* POLLHUP need not be asked for. */
FIXTURE_VARIANT_ADD(wake, by_close_hup_only)
{
	.event = CLOSE,
	.wait_for = 0,
	.expected = POLLHUP,
};

FIXTURE_VARIANT_ADD(wake, by_close_with_unread)
{
	.event = CLOSE_UNREAD,
	.wait_for = 0,
	.expected = POLLERR,
};

FIXTURE_VARIANT_ADD(wake, by_room)
{
	.event = ROOM,
	.wait_for = POLLOUT,
	.expected = POLLOUT,
};

/* A send() would return EPIPE, hence not block. */
FIXTURE_VARIANT_ADD(wake, full_by_peer_shutdown_rd)
{
	.event = NO_READER,
	.wait_for = POLLOUT,
	.expected = POLLOUT | POLLHUP | POLLERR,
};

FIXTURE_VARIANT_ADD(wake, full_by_close)
{
	.event = CLOSE_FULL,
	.wait_for = POLLOUT,
	.expected = POLLHUP,
};

FIXTURE_VARIANT_ADD(wake, by_connection)
{
	.event = CONNECTION,
	.wait_for = POLLIN,
	.expected = POLLIN,
};

FIXTURE_VARIANT_ADD(wake, by_listener_shutdown)
{
	.event = LISTENER_SHUTDOWN,
	.wait_for = POLLIN,
	.expected = POLLIN,
};

FIXTURE_SETUP(wake)
{
	int pair[2];

	self->ends.fd = -1;
	self->ends.other = -1;

	switch (variant->event) {
	case CONNECTION:
	case LISTENER_SHUTDOWN:
		self->ends.fd = my_listener(_metadata, 1, &self->ends.channel);
		break;
	default:
		my_connection(_metadata, pair);
		self->ends.fd = pair[0];
		self->ends.other = pair[1];
		break;
	}

	switch (variant->event) {
	case ROOM:
	case NO_READER:
	case CLOSE_FULL:
		my_fill(_metadata, self->ends.fd, 4096);
		break;
	case CLOSE_UNREAD:
		expect_send(_metadata, self->ends.fd, "unread");
		break;
	default:
		break;
	}
}

FIXTURE_TEARDOWN(wake)
{
	close(self->ends.fd);
	close(self->ends.other);
}

static void make_event(struct __test_metadata *_metadata,
		       struct ends *ends, enum event event)
{
	switch (event) {
	case DATA:
		expect_send(_metadata, ends->other, "abc");
		break;
	case SHUTDOWN_WR:
		EXPECT_EQ(0, shutdown(ends->other, SHUT_WR));
		break;
	case NO_READER:
		EXPECT_EQ(0, shutdown(ends->other, SHUT_RD));
		break;
	case CLOSE:
	case CLOSE_UNREAD:
	case CLOSE_FULL:
		EXPECT_EQ(0, close(ends->other));
		break;
	case ROOM:
		EXPECT_LT(0U, my_drain(_metadata, ends->other));
		break;
	case CONNECTION:
		my_client(_metadata, ends->channel);
		break;
	case LISTENER_SHUTDOWN:
		EXPECT_EQ(0, shutdown(ends->fd, SHUT_RD));
		break;
	}
}

/* The child holds what it opened until it is killed. */
static pid_t event_child(struct __test_metadata *_metadata,
			 struct ends *ends, enum event event)
{
	pid_t sleeper = getpid(), pid = my_fork(_metadata);

	if (!pid) {
		if (!wait_asleep(sleeper))
			_exit(KSFT_FAIL);
		make_event(_metadata, ends, event);
		pause();
		_exit(KSFT_FAIL);
	}
	if (ends->other >= 0)
		close_end(&ends->other);
	return pid;
}

TEST_F(wake, poll)
{
	pid_t pid = event_child(_metadata, &self->ends, variant->event);
	int events;

	events = poll_for(self->ends.fd, variant->wait_for, WAIT_MS);
	EXPECT_TRUE(events & variant->expected);
	my_kill(pid);
}

TEST_F(wake, epoll_edge)
{
	int epoll = epoll_of(_metadata, self->ends.fd,
			     variant->wait_for | EPOLLET);
	struct epoll_event event = {};
	pid_t pid;

	EXPECT_EQ(0, epoll_now(epoll));
	pid = event_child(_metadata, &self->ends, variant->event);
	EXPECT_EQ(1, epoll_wait(epoll, &event, 1, WAIT_MS));
	EXPECT_NE(0U, event.events & variant->expected);
	my_kill(pid);
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
