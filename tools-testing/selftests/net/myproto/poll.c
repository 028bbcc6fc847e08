// SPDX-License-Identifier: GPL-2.0
/*
 * What poll(), select() and epoll say about AF_MYPROTO sockets: which events
 * each state has, that writability tells the truth, that edges come once and
 * are not lost, and that sleepers are woken. SIGIO too. For all types, those
 * with connections first.
 */
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>

#include "link.h"
#include "pair.h"
#include "type.h"

FIXTURE_VARIANT_ADD(pair, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(pair, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

/* The events of a state, asked for with poll() */

TEST_F(type, unconnected_out_hup)
{
	int fd = my_socket(_metadata);

	EXPECT_EQ(POLLOUT | POLLHUP, poll_now(fd));
	ASSERT_EQ(0, my_bind(fd, 5000));
	EXPECT_EQ(POLLOUT | POLLHUP, poll_now(fd));
}

TEST_F(type, listener_in_when_connection_waits)
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

TEST_F(type, listener_shutdown_rd_in)
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
	expect_send(_metadata, self->fd[0], "def");
	EXPECT_EQ(0, try_recv(self->fd[1]));
	EXPECT_EQ(POLLIN | POLLOUT, poll_now(self->fd[1]));
	my_drain(_metadata, self->fd[1]);
	EXPECT_EQ(POLLOUT, poll_now(self->fd[1]));
}

/* Nothing for a STREAM, but a message like another for SEQPACKET */
TEST_F(pair, send_zero)
{
	int in = my_type == SOCK_STREAM ? 0 : POLLIN;

	EXPECT_EQ(0, send(self->fd[0], NULL, 0, 0));
	EXPECT_EQ(in | POLLOUT, poll_now(self->fd[1]));
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

TEST_F(type, close_listener_client_err_hup)
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

/*
 * POLLOUT at every fill level. Messages: if and only if one can be sent.
 * STREAM: while half of the buffer is free. A send() queues something then, and
 * also when less is free.
 */

FIXTURE(writable)
{
	int fd[2];
};

FIXTURE_VARIANT(writable)
{
	int type;
	int rcvbuf;
	size_t chunk;
};

FIXTURE_VARIANT_ADD(writable, stream_16k)
{
	.type = SOCK_STREAM,
	.chunk = 16384,
};

FIXTURE_VARIANT_ADD(writable, stream_100_minimal)
{
	.type = SOCK_STREAM,
	.rcvbuf = 1,
	.chunk = 100,
};

FIXTURE_VARIANT_ADD(writable, seqpacket_3000)
{
	.type = SOCK_SEQPACKET,
	.chunk = 3000,
};

FIXTURE_VARIANT_ADD(writable, seqpacket_100_minimal)
{
	.type = SOCK_SEQPACKET,
	.rcvbuf = 1,
	.chunk = 100,
};

FIXTURE_VARIANT_ADD(writable, dgram_3000)
{
	.type = SOCK_DGRAM,
	.chunk = 3000,
};

FIXTURE_VARIANT_ADD(writable, dgram_100_minimal)
{
	.type = SOCK_DGRAM,
	.rcvbuf = 1,
	.chunk = 100,
};

FIXTURE_SETUP(writable)
{
	my_type = variant->type;
	my_connection(_metadata, self->fd);
	if (variant->rcvbuf)
		set_rcvbuf(_metadata, self->fd[1], variant->rcvbuf);
}

FIXTURE_TEARDOWN(writable)
{
	close(self->fd[0]);
	close(self->fd[1]);
}

/* What poll() says of the sender, which must be what it has to say */
static bool writable(struct __test_metadata *_metadata, const int fd[2])
{
	bool out = poll_now(fd[0]) & POLLOUT;
	int rcvbuf = get_int_opt(_metadata, fd[1], SO_RCVBUF);
	int space = rcvbuf - (int)mem_charged(_metadata, fd[1]);

	EXPECT_EQ(space >= (my_type == SOCK_STREAM ? rcvbuf / 2 : 1), out)
		TH_LOG("%d of %d are free", space, rcvbuf);
	return out;
}

TEST_F(writable, while_filling)
{
	char buf[16384] = "";
	bool out;
	ssize_t n;

	do {
		out = writable(_metadata, self->fd);
		n = send(self->fd[0], buf, variant->chunk, MSG_DONTWAIT);
		if (out || my_type != SOCK_STREAM)
			ASSERT_EQ(out, n > 0);
	} while (n > 0);
	EXPECT_EQ(EAGAIN, errno);
}

TEST_F(writable, while_draining)
{
	bool out = false, space;
	char buf[16384];

	my_fill(_metadata, self->fd[0], variant->chunk);
	while (recv(self->fd[1], buf, variant->chunk, MSG_DONTWAIT) > 0) {
		out = writable(_metadata, self->fd);
		space = (int)mem_charged(_metadata, self->fd[1]) <
			get_int_opt(_metadata, self->fd[1], SO_RCVBUF);
		ASSERT_EQ(space, !try_send(self->fd[0]));
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
		/* To read a part of it is no event. */
		EXPECT_EQ(0, try_recv(self->fd[1]));
		EXPECT_EQ(0, epoll_now(epoll));
		expect_send(_metadata, self->fd[0], "def");
		EXPECT_EQ(EPOLLIN, epoll_now(epoll));
	}
	my_drain(_metadata, self->fd[1]);
	EXPECT_EQ(0, epoll_now(epoll));
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

TEST_F(type, epoll_edge_listener_once_for_each_connection)
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
TEST_F(type, epoll_before_connect)
{
	int epoll, fd = my_socket(_metadata);
	__u32 channel;

	epoll = epoll_of(_metadata, fd, EPOLLIN | EPOLLOUT);
	EXPECT_EQ(EPOLLOUT | EPOLLHUP, epoll_now(epoll));
	my_listener(_metadata, 1, &channel);
	ASSERT_EQ(0, my_connect(fd, channel));
	EXPECT_EQ(EPOLLOUT, epoll_now(epoll));
}

TEST_F(type, epoll_edge_out_by_connect)
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
TEST_F(type, epoll_before_listen)
{
	int epoll, fd = my_bound_socket(_metadata, 5000);

	epoll = epoll_of(_metadata, fd, EPOLLIN);
	ASSERT_EQ(0, listen(fd, 1));
	EXPECT_EQ(0, epoll_now(epoll));
	my_client(_metadata, 5000);
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
	int type;
	enum event event;
	int wait_for;	/* what the sleeper asks for */
	int expected;	/* a bit it gets */
};

FIXTURE_VARIANT_ADD(wake, stream_by_data)
{
	.type = SOCK_STREAM,
	.event = DATA,
	.wait_for = POLLIN,
	.expected = POLLIN,
};

FIXTURE_VARIANT_ADD(wake, stream_by_shutdown_wr)
{
	.type = SOCK_STREAM,
	.event = SHUTDOWN_WR,
	.wait_for = POLLRDHUP,
	.expected = POLLRDHUP,
};

/* POLLHUP need not be asked for. */
FIXTURE_VARIANT_ADD(wake, stream_by_close)
{
	.type = SOCK_STREAM,
	.event = CLOSE,
	.wait_for = 0,
	.expected = POLLHUP,
};

FIXTURE_VARIANT_ADD(wake, stream_by_close_with_unread)
{
	.type = SOCK_STREAM,
	.event = CLOSE_UNREAD,
	.wait_for = 0,
	.expected = POLLERR,
};

FIXTURE_VARIANT_ADD(wake, stream_by_room)
{
	.type = SOCK_STREAM,
	.event = ROOM,
	.wait_for = POLLOUT,
	.expected = POLLOUT,
};

/* A send() would return EPIPE, hence not block. */
FIXTURE_VARIANT_ADD(wake, stream_full_by_peer_shutdown_rd)
{
	.type = SOCK_STREAM,
	.event = NO_READER,
	.wait_for = POLLOUT,
	.expected = POLLOUT | POLLHUP | POLLERR,
};

FIXTURE_VARIANT_ADD(wake, stream_full_by_close)
{
	.type = SOCK_STREAM,
	.event = CLOSE_FULL,
	.wait_for = POLLOUT,
	.expected = POLLHUP,
};

FIXTURE_VARIANT_ADD(wake, stream_by_connection)
{
	.type = SOCK_STREAM,
	.event = CONNECTION,
	.wait_for = POLLIN,
	.expected = POLLIN,
};

FIXTURE_VARIANT_ADD(wake, stream_by_listener_shutdown)
{
	.type = SOCK_STREAM,
	.event = LISTENER_SHUTDOWN,
	.wait_for = POLLIN,
	.expected = POLLIN,
};

FIXTURE_VARIANT_ADD(wake, seqpacket_by_data)
{
	.type = SOCK_SEQPACKET,
	.event = DATA,
	.wait_for = POLLIN,
	.expected = POLLIN,
};

FIXTURE_VARIANT_ADD(wake, seqpacket_by_shutdown_wr)
{
	.type = SOCK_SEQPACKET,
	.event = SHUTDOWN_WR,
	.wait_for = POLLRDHUP,
	.expected = POLLRDHUP,
};

FIXTURE_VARIANT_ADD(wake, seqpacket_by_close)
{
	.type = SOCK_SEQPACKET,
	.event = CLOSE,
	.wait_for = 0,
	.expected = POLLHUP,
};

FIXTURE_VARIANT_ADD(wake, seqpacket_by_close_with_unread)
{
	.type = SOCK_SEQPACKET,
	.event = CLOSE_UNREAD,
	.wait_for = 0,
	.expected = POLLERR,
};

FIXTURE_VARIANT_ADD(wake, seqpacket_by_room)
{
	.type = SOCK_SEQPACKET,
	.event = ROOM,
	.wait_for = POLLOUT,
	.expected = POLLOUT,
};

FIXTURE_VARIANT_ADD(wake, seqpacket_full_by_peer_shutdown_rd)
{
	.type = SOCK_SEQPACKET,
	.event = NO_READER,
	.wait_for = POLLOUT,
	.expected = POLLOUT | POLLHUP | POLLERR,
};

FIXTURE_VARIANT_ADD(wake, seqpacket_full_by_close)
{
	.type = SOCK_SEQPACKET,
	.event = CLOSE_FULL,
	.wait_for = POLLOUT,
	.expected = POLLHUP,
};

FIXTURE_VARIANT_ADD(wake, seqpacket_by_connection)
{
	.type = SOCK_SEQPACKET,
	.event = CONNECTION,
	.wait_for = POLLIN,
	.expected = POLLIN,
};

FIXTURE_VARIANT_ADD(wake, seqpacket_by_listener_shutdown)
{
	.type = SOCK_SEQPACKET,
	.event = LISTENER_SHUTDOWN,
	.wait_for = POLLIN,
	.expected = POLLIN,
};

FIXTURE_VARIANT_ADD(wake, dgram_by_data)
{
	.type = SOCK_DGRAM,
	.event = DATA,
	.wait_for = POLLIN,
	.expected = POLLIN,
};

FIXTURE_VARIANT_ADD(wake, dgram_by_room)
{
	.type = SOCK_DGRAM,
	.event = ROOM,
	.wait_for = POLLOUT,
	.expected = POLLOUT,
};

/* A send() would return EPIPE or ECONNREFUSED. */
FIXTURE_VARIANT_ADD(wake, dgram_full_by_peer_shutdown_rd)
{
	.type = SOCK_DGRAM,
	.event = NO_READER,
	.wait_for = POLLOUT,
	.expected = POLLOUT,
};

FIXTURE_VARIANT_ADD(wake, dgram_full_by_close)
{
	.type = SOCK_DGRAM,
	.event = CLOSE_FULL,
	.wait_for = POLLOUT,
	.expected = POLLOUT,
};

FIXTURE_SETUP(wake)
{
	int pair[2];

	my_type = variant->type;
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
		if (!_metadata->exit_code)
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
	EXPECT_EQ(-SIGKILL, my_kill(pid));
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
	EXPECT_EQ(-SIGKILL, my_kill(pid));
}

/* Room: a flow has one or several senders and one receiver. */

#define SENDERS	3

FIXTURE(flow)
{
	int sender[SENDERS];
	int receiver;
	int n;
};

FIXTURE_VARIANT(flow)
{
	int type;
	int senders;
};

FIXTURE_VARIANT_ADD(flow, stream)
{
	.type = SOCK_STREAM,
	.senders = 1,
};

FIXTURE_VARIANT_ADD(flow, seqpacket)
{
	.type = SOCK_SEQPACKET,
	.senders = 1,
};

FIXTURE_VARIANT_ADD(flow, dgram)
{
	.type = SOCK_DGRAM,
	.senders = 1,
};

/* All of them wait for the same receiver. */
FIXTURE_VARIANT_ADD(flow, dgram_several_senders)
{
	.type = SOCK_DGRAM,
	.senders = SENDERS,
};

FIXTURE_SETUP(flow)
{
	__u32 channel;
	int pair[2];

	my_type = variant->type;
	if (variant->senders == 1) {
		my_connection(_metadata, pair);
		self->sender[0] = pair[0];
		self->receiver = pair[1];
		self->n = 1;
		return;
	}

	self->receiver = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
	channel = my_channel(_metadata, self->receiver);
	while (self->n < variant->senders)
		self->sender[self->n++] = my_client(_metadata, channel);
}

FIXTURE_TEARDOWN(flow)
{
	while (self->n)
		close(self->sender[--self->n]);
	close(self->receiver);
}

/* Fill the receiver, and let every sender see that it is full. */
static void flow_fill(struct __test_metadata *_metadata, const int *sender,
		      int n)
{
	my_fill(_metadata, sender[0], 4096);
	while (n)
		ASSERT_EQ(EAGAIN, try_send(sender[--n]));
}

TEST_F(flow, level_out_while_room)
{
	int epoll[SENDERS], i;

	for (i = 0; i < self->n; i++) {
		epoll[i] = epoll_of(_metadata, self->sender[i], EPOLLOUT);
		EXPECT_EQ(EPOLLOUT, epoll_now(epoll[i]));
		EXPECT_EQ(EPOLLOUT, epoll_now(epoll[i]));
	}
	flow_fill(_metadata, self->sender, self->n);
	for (i = 0; i < self->n; i++)
		EXPECT_EQ(0, epoll_now(epoll[i]));
	my_drain(_metadata, self->receiver);
	for (i = 0; i < self->n; i++) {
		EXPECT_EQ(EPOLLOUT, epoll_now(epoll[i]));
		EXPECT_EQ(EPOLLOUT, epoll_now(epoll[i]));
	}
}

/* Nobody asks poll() between the EAGAIN and the event. */
TEST_F(flow, edge_out_after_eagain)
{
	int epoll[SENDERS], i, round;

	for (i = 0; i < self->n; i++) {
		epoll[i] = epoll_of(_metadata, self->sender[i],
				    EPOLLOUT | EPOLLET);
		EXPECT_EQ(EPOLLOUT, epoll_now(epoll[i]));
	}
	for (round = 0; round < 5; round++) {
		flow_fill(_metadata, self->sender, self->n);
		my_drain(_metadata, self->receiver);
		for (i = 0; i < self->n; i++) {
			EXPECT_EQ(EPOLLOUT, epoll_now(epoll[i]))
				TH_LOG("round %d, sender %d", round, i);
			EXPECT_EQ(0, epoll_now(epoll[i]));
		}
	}
}

/* The same with a poll() in between, which could use up the event */
TEST_F(flow, edge_out_after_eagain_and_poll)
{
	int epoll[SENDERS], i, round;

	for (i = 0; i < self->n; i++) {
		epoll[i] = epoll_of(_metadata, self->sender[i],
				    EPOLLOUT | EPOLLET);
		EXPECT_EQ(EPOLLOUT, epoll_now(epoll[i]));
	}
	for (round = 0; round < 5; round++) {
		flow_fill(_metadata, self->sender, self->n);
		for (i = 0; i < self->n; i++) {
			EXPECT_EQ(0, epoll_now(epoll[i]));
			EXPECT_EQ(0, poll_now(self->sender[i]));
		}
		my_drain(_metadata, self->receiver);
		for (i = 0; i < self->n; i++)
			EXPECT_EQ(EPOLLOUT, epoll_now(epoll[i]))
				TH_LOG("round %d, sender %d", round, i);
	}
}

/* poll() first and only then the send() that fails: also an order there is */
TEST_F(flow, edge_out_added_when_full)
{
	int epoll[SENDERS], i;

	flow_fill(_metadata, self->sender, self->n);
	for (i = 0; i < self->n; i++) {
		epoll[i] = epoll_of(_metadata, self->sender[i],
				    EPOLLOUT | EPOLLET);
		EXPECT_EQ(0, epoll_now(epoll[i]));
	}
	my_drain(_metadata, self->receiver);
	for (i = 0; i < self->n; i++)
		EXPECT_EQ(EPOLLOUT, epoll_now(epoll[i]));
}

/* While the receiver reads step by step: no event before a send() works. */
TEST_F(flow, edge_out_not_before_room)
{
	int epoll[SENDERS], i, events = 0;
	char buf[4096];

	for (i = 0; i < self->n; i++) {
		epoll[i] = epoll_of(_metadata, self->sender[i],
				    EPOLLOUT | EPOLLET);
		EXPECT_EQ(EPOLLOUT, epoll_now(epoll[i]));
	}
	flow_fill(_metadata, self->sender, self->n);
	while (!events &&
	       recv(self->receiver, buf, sizeof(buf), MSG_DONTWAIT) > 0) {
		events = epoll_now(epoll[0]);
		for (i = 0; i < self->n; i++)
			EXPECT_EQ(events, poll_now(self->sender[i]));
	}
	EXPECT_EQ(EPOLLOUT, events);
	for (i = 0; i < self->n; i++)
		EXPECT_EQ(0, try_send(self->sender[i]));
}

TEST_F(flow, oneshot_out)
{
	struct epoll_event event = { .events = EPOLLOUT | EPOLLONESHOT };
	int epoll[SENDERS], i;

	flow_fill(_metadata, self->sender, self->n);
	for (i = 0; i < self->n; i++)
		epoll[i] = epoll_of(_metadata, self->sender[i], event.events);
	my_drain(_metadata, self->receiver);
	for (i = 0; i < self->n; i++)
		EXPECT_EQ(EPOLLOUT, epoll_now(epoll[i]));

	/* Once: what happens after that is not told. */
	flow_fill(_metadata, self->sender, self->n);
	my_drain(_metadata, self->receiver);
	for (i = 0; i < self->n; i++) {
		EXPECT_EQ(0, epoll_now(epoll[i]));
		ASSERT_EQ(0, epoll_ctl(epoll[i], EPOLL_CTL_MOD, self->sender[i],
				       &event));
		EXPECT_EQ(EPOLLOUT, epoll_now(epoll[i]));
	}
}

TEST_F(flow, oneshot_in)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT };
	int epoll = epoll_of(_metadata, self->receiver, event.events);

	expect_send(_metadata, self->sender[0], "abc");
	EXPECT_EQ(EPOLLIN, epoll_now(epoll));
	expect_send(_metadata, self->sender[0], "def");
	EXPECT_EQ(0, epoll_now(epoll));
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_MOD, self->receiver, &event));
	EXPECT_EQ(EPOLLIN, epoll_now(epoll));
}

/* Sleepers: each of the senders waits in a process of its own. */
TEST_F(flow, sleeping_senders_wake)
{
	pid_t pid[SENDERS];
	int i;

	flow_fill(_metadata, self->sender, self->n);
	for (i = 0; i < self->n; i++) {
		pid[i] = my_fork(_metadata);
		if (!pid[i])
			_exit(poll_for(self->sender[i], POLLOUT, WAIT_MS) !=
			      POLLOUT);
		ASSERT_TRUE(wait_asleep(pid[i]));
	}
	my_drain(_metadata, self->receiver);
	for (i = 0; i < self->n; i++)
		EXPECT_EQ(0, my_wait(pid[i]));
}

/* SIGIO, as a real-time signal that tells the events and queues */

static void make_async(struct __test_metadata *_metadata, int fd)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &set, NULL));
	ASSERT_EQ(0, fcntl(fd, F_SETOWN, getpid()));
	ASSERT_EQ(0, fcntl(fd, F_SETSIG, SIGRTMIN));
	ASSERT_EQ(0, fcntl(fd, F_SETFL,
			   fcntl(fd, F_GETFL) | O_ASYNC | O_NONBLOCK));
}

/* Wait for a signal that tells @event of each of @fd; false if one has none */
static bool async_event(const int *fd, int n, int event, int ms)
{
	struct timespec ts = {
		.tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000,
	};
	int seen = 0, i;
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	while (seen != (1 << n) - 1 &&
	       sigtimedwait(&set, &info, &ts) == SIGRTMIN)
		for (i = 0; i < n; i++)
			if (info.si_fd == fd[i] && (info.si_band & event))
				seen |= 1 << i;
	return seen == (1 << n) - 1;
}

TEST_F(flow, sigio_data)
{
	int i;

	make_async(_metadata, self->receiver);
	for (i = 0; i < 3; i++) {
		EXPECT_FALSE(async_event(&self->receiver, 1, POLLIN, 0));
		expect_send(_metadata, self->sender[0], "abc");
		EXPECT_TRUE(async_event(&self->receiver, 1, POLLIN, WAIT_MS));
	}
}

TEST_F(flow, sigio_room)
{
	int i, round;

	for (i = 0; i < self->n; i++)
		make_async(_metadata, self->sender[i]);
	for (round = 0; round < 3; round++) {
		flow_fill(_metadata, self->sender, self->n);
		EXPECT_FALSE(async_event(self->sender, 1, POLLOUT, 0));
		my_drain(_metadata, self->receiver);
		EXPECT_TRUE(async_event(self->sender, self->n, POLLOUT,
					WAIT_MS))
			TH_LOG("round %d", round);
	}
}

/* EPOLLEXCLUSIVE: several wait, and each event wakes at least one of them. */

#define WAITERS	4

struct shared {
	int taken;	/* how often a waiter did what it had waited for */
	int waiting;	/* how many of them are about to wait */
	int stop;
};

FIXTURE(exclusive)
{
	struct shared *shared;
	pid_t pid[WAITERS];
	int fd[2];
};

FIXTURE_VARIANT(exclusive)
{
	int type;
	__u32 flags;
};

FIXTURE_VARIANT_ADD(exclusive, stream_level)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(exclusive, stream_edge)
{
	.type = SOCK_STREAM,
	.flags = EPOLLET,
};

FIXTURE_VARIANT_ADD(exclusive, seqpacket_level)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(exclusive, seqpacket_edge)
{
	.type = SOCK_SEQPACKET,
	.flags = EPOLLET,
};

FIXTURE_VARIANT_ADD(exclusive, dgram_level)
{
	.type = SOCK_DGRAM,
};

FIXTURE_VARIANT_ADD(exclusive, dgram_edge)
{
	.type = SOCK_DGRAM,
	.flags = EPOLLET,
};

static void *shared_memory(struct __test_metadata *_metadata, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, p);
	return p;
}

FIXTURE_SETUP(exclusive)
{
	my_type = variant->type;
	my_connection(_metadata, self->fd);
	self->shared = shared_memory(_metadata, sizeof(*self->shared));
}

FIXTURE_TEARDOWN(exclusive)
{
	int i;

	for (i = 0; i < WAITERS; i++)
		if (self->pid[i] > 0)
			my_kill(self->pid[i]);
	close(self->fd[0]);
	close(self->fd[1]);
}

/* Start the waiters, each of which has its own epoll for the same socket. */
static void exclusive_start(struct __test_metadata *_metadata,
			    pid_t pid[WAITERS], struct shared *shared, int fd,
			    __u32 events, int (*take)(int fd))
{
	struct epoll_event event;
	int epoll, i;

	for (i = 0; i < WAITERS; i++) {
		pid[i] = my_fork(_metadata);
		if (pid[i])
			continue;
		epoll = epoll_of(_metadata, fd, events | EPOLLEXCLUSIVE);
		for (;;) {
			while (!take(fd))
				__atomic_add_fetch(&shared->taken, 1,
						   __ATOMIC_SEQ_CST);
			epoll_wait(epoll, &event, 1, -1);
		}
	}
	for (i = 0; i < WAITERS; i++)
		ASSERT_TRUE(wait_asleep(pid[i]));
}

/* Wait until @count have been taken; the last value seen */
static int exclusive_taken(struct shared *shared, int count)
{
	long end = now_ms() + WAIT_MS;
	int taken;

	do {
		taken = __atomic_load_n(&shared->taken, __ATOMIC_SEQ_CST);
		if (taken >= count)
			break;
		usleep(500);
	} while (now_ms() < end);
	return taken;
}

TEST_F(exclusive, each_send_wakes_one)
{
	int i, sent = 0;

	exclusive_start(_metadata, self->pid, self->shared, self->fd[1],
			EPOLLIN | variant->flags, try_recv);

	/* One by one: each has to wake somebody. */
	for (i = 0; i < 10; i++) {
		expect_send(_metadata, self->fd[0], "x");
		ASSERT_EQ(++sent, exclusive_taken(self->shared, sent));
	}
	/* All at once: none is left over. */
	for (i = 0; i < 100; i++, sent++)
		ASSERT_EQ(1, send(self->fd[0], "x", 1, 0));
	EXPECT_EQ(sent, exclusive_taken(self->shared, sent));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[1]));
}

TEST_F(exclusive, each_drain_wakes_one)
{
	int i, j;

	set_rcvbuf(_metadata, self->fd[1], 1);
	my_fill(_metadata, self->fd[0], 1000);
	exclusive_start(_metadata, self->pid, self->shared, self->fd[0],
			EPOLLOUT | variant->flags, try_send);
	for (i = 0; i < 10; i++) {
		my_drain(_metadata, self->fd[1]);
		ASSERT_NE(0, poll_for(self->fd[1], POLLIN, WAIT_MS))
			TH_LOG("nobody sends, round %d", i);
		/* Until it is full again, and they all sleep */
		my_fill(_metadata, self->fd[0], 1);
		for (j = 0; j < WAITERS; j++)
			ASSERT_TRUE(wait_asleep(self->pid[j]));
	}
}

/*
 * Several connect to a listener: each connection is accepted, by one waiter.
 */
static int try_accept(int fd)
{
	int new = accept4(fd, NULL, NULL, SOCK_NONBLOCK);

	if (new < 0)
		return errno;
	close(new);
	return 0;
}

TEST_F(type, exclusive_accept)
{
	pid_t pid[WAITERS];
	int i, listener;
	__u32 channel;

	struct shared *shared = shared_memory(_metadata, sizeof(*shared));

	listener = my_listener(_metadata, 5, &channel);
	set_nonblock(_metadata, listener);
	exclusive_start(_metadata, pid, shared, listener, EPOLLIN, try_accept);
	for (i = 1; i <= 10; i++) {
		close(my_client(_metadata, channel));
		ASSERT_EQ(i, exclusive_taken(shared, i));
	}
	for (i = 0; i < WAITERS; i++)
		my_kill(pid[i]);
}

/*
 * Stress: threads that never block, but in poll() or epoll_wait(), and get
 * stuck there if one wakeup is lost.
 */

enum wait_by { BY_POLL, BY_LEVEL, BY_EDGE, WAITS };

struct worker {
	pthread_t thread;
	struct load *load;
	unsigned int id;
	enum wait_by by;
	bool in;
	int epoll;
	int fd;
	bool ended;	/* by what the other side did */
	const char *error;
};

#define WORKERS		4	/* in each direction */
#define LOAD_LEN	64

struct load {
	struct worker worker[2 * WORKERS];
	size_t sent[WORKERS];
	size_t received;
	unsigned long sum;	/* of the bytes sent and not yet received */
	long end;		/* when the writers stop */
};

/* Sleep until @fd may be used; false if it is not, though it should be */
static bool worker_wait(struct worker *worker)
{
	struct epoll_event event;
	int events = worker->in ? POLLIN : POLLOUT;

	if (worker->by == BY_POLL)
		return poll_for(worker->fd, events, WAIT_MS) > 0;
	return epoll_wait(worker->epoll, &event, 1, WAIT_MS) > 0;
}

static void worker_open(struct __test_metadata *_metadata, struct load *load,
			unsigned int id, bool in, int fd)
{
	struct worker *worker = &load->worker[in ? WORKERS + id : id];

	*worker = (struct worker) {
		.load = load,
		.id = id,
		.by = id % WAITS,
		.in = in,
		.fd = fd,
	};
	worker->epoll = epoll_of(_metadata, fd, (in ? EPOLLIN : EPOLLOUT) |
				 (worker->by == BY_EDGE ? EPOLLET : 0));
}

/* What ends a load from the other side */
static bool is_end(int err)
{
	return err == EPIPE || err == ECONNRESET || err == ECONNREFUSED;
}

/* Send until the time is over, or until nobody is there to receive it. */
static void *load_writer(void *arg)
{
	unsigned char message[LOAD_LEN], value = 0;
	struct worker *worker = arg;
	struct load *load = worker->load;
	ssize_t n;

	while (now_ms() < load->end) {
		memset(message, ++value, sizeof(message));
		n = send(worker->fd, message, sizeof(message),
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			__atomic_add_fetch(&load->sum, n * value,
					   __ATOMIC_SEQ_CST);
			load->sent[worker->id] += n;
		} else if (errno != EAGAIN) {
			worker->error = is_end(errno) ? NULL : strerror(errno);
			worker->ended = true;
			break;
		} else if (!worker_wait(worker)) {
			worker->error = "never became writable";
			break;
		}
	}
	return NULL;
}

/* Receive until the end. */
static void *load_reader(void *arg)
{
	struct worker *worker = arg;
	struct load *load = worker->load;
	unsigned char message[LOAD_LEN];
	unsigned long sum;
	ssize_t n, i;

	for (;;) {
		n = recv(worker->fd, message, sizeof(message), MSG_DONTWAIT);
		if (n > 0) {
			for (sum = 0, i = 0; i < n; i++)
				sum += message[i];
			__atomic_sub_fetch(&load->sum, sum, __ATOMIC_SEQ_CST);
			__atomic_add_fetch(&load->received, n,
					   __ATOMIC_SEQ_CST);
		} else if (!n || errno != EAGAIN) {
			if (n && !is_end(errno))
				worker->error = strerror(errno);
			worker->ended = true;
			break;
		} else if (!worker_wait(worker)) {
			worker->error = "never became readable";
			break;
		}
	}
	return NULL;
}

static void load_start(struct __test_metadata *_metadata, struct load *load,
		       bool in, const int *fd, int n)
{
	struct worker *worker = &load->worker[in ? WORKERS : 0];
	int i;

	for (i = 0; i < WORKERS; i++, worker++) {
		worker_open(_metadata, load, i, in, fd[i % n]);
		ASSERT_EQ(0, pthread_create(&worker->thread, NULL,
					    in ? load_reader : load_writer,
					    worker));
	}
}

static void load_join(struct __test_metadata *_metadata, struct load *load,
		      bool in)
{
	struct worker *worker = &load->worker[in ? WORKERS : 0];
	int i;

	for (i = 0; i < WORKERS; i++, worker++) {
		ASSERT_EQ(0, pthread_join(worker->thread, NULL));
		EXPECT_EQ(NULL, worker->error)
			TH_LOG("%s %d: %s", in ? "reader" : "writer", i,
			       worker->error);
		close(worker->epoll);
	}
}

/* Ends what the readers wait for, without taking anything from them */
static void flow_finish(struct __test_metadata *_metadata, int sender,
			int receiver)
{
	/* A DGRAM receiver does not hear of senders that go. */
	if (my_type == SOCK_DGRAM)
		ASSERT_EQ(0, shutdown(receiver, SHUT_RD));
	if (my_type != SOCK_DGRAM)
		ASSERT_EQ(0, shutdown(sender, SHUT_WR));
}

TEST_F(flow, stress)
{
	struct load load = { .end = now_ms() + 300 };
	size_t sent = 0;
	int i;

	/* Full and empty as often as can be */
	set_rcvbuf(_metadata, self->receiver, 1);
	load_start(_metadata, &load, true, &self->receiver, 1);
	load_start(_metadata, &load, false, self->sender, self->n);
	load_join(_metadata, &load, false);
	flow_finish(_metadata, self->sender[0], self->receiver);
	load_join(_metadata, &load, true);

	for (i = 0; i < WORKERS; i++)
		sent += load.sent[i];
	EXPECT_LT(0U, sent);
	EXPECT_EQ(sent, load.received);
	EXPECT_EQ(0UL, load.sum);
}

/* The other side goes at any moment: who waits is told each time. */

TEST_F(type, stress_ended)
{
	struct load load;
	int fd[2], round;
	bool in;

	for (round = 0; round < 12; round++) {
		/* Those that wait have fd[0]. */
		my_connection(_metadata, fd);
		set_rcvbuf(_metadata, fd[1], 1);
		in = round & 1;
		load = (struct load) { .end = now_ms() + 10 * WAIT_MS };
		load_start(_metadata, &load, in, fd, 1);

		usleep(round * 300);
		if (in)
			expect_send(_metadata, fd[1], "abc");
		if (!in)
			my_drain(_metadata, fd[1]);
		EXPECT_EQ(0, round & 2 ?
			  shutdown(fd[1], in ? SHUT_WR : SHUT_RD) :
			  close(fd[1]));

		load_join(_metadata, &load, in);
		close(fd[0]);
		if (round & 2)
			close(fd[1]);
	}
}

/* For DGRAM, only who sends hears of it, and it is shutdown() or close(). */
TEST(dgram_stress_ended)
{
	struct load load;
	int fd[2], round;

	my_type = SOCK_DGRAM;
	for (round = 0; round < 8; round++) {
		my_connection(_metadata, fd);
		set_rcvbuf(_metadata, fd[1], 1);
		load = (struct load) { .end = now_ms() + 10 * WAIT_MS };
		load_start(_metadata, &load, false, fd, 1);

		usleep(round * 300);
		my_drain(_metadata, fd[1]);
		EXPECT_EQ(0, round & 1 ? shutdown(fd[1], SHUT_RD) :
					 close(fd[1]));

		load_join(_metadata, &load, false);
		close(fd[0]);
		if (round & 1)
			close(fd[1]);
	}
}

/* Many DGRAM senders, one receiver: each gets its turn. */

#define FAN_IN		8
#define FAN_IN_EACH	300

enum fan_in_by { FAN_IN_BLOCK, FAN_IN_POLL, FAN_IN_EDGE };

struct fan_in_message {
	unsigned int id;
	unsigned int seq;
	char data[200];
};

FIXTURE(fan_in)
{
	pid_t pid[FAN_IN];
	int *waiting;	/* how many senders found it full */
	int receiver;
};

FIXTURE_VARIANT(fan_in)
{
	enum fan_in_by by;
};

FIXTURE_VARIANT_ADD(fan_in, blocking)
{
	.by = FAN_IN_BLOCK,
};

FIXTURE_VARIANT_ADD(fan_in, poll)
{
	.by = FAN_IN_POLL,
};

FIXTURE_VARIANT_ADD(fan_in, epoll_edge)
{
	.by = FAN_IN_EDGE,
};

/* Send all, one after the other; exits with 0 then */
static void fan_in_send(struct __test_metadata *_metadata, unsigned int id,
			enum fan_in_by by, __u32 channel, int *waiting)
{
	int flags = by == FAN_IN_BLOCK ? 0 : MSG_DONTWAIT;
	struct fan_in_message message = { .id = id };
	struct epoll_event event;
	bool told = false;
	int epoll, fd;

	fd = my_client(_metadata, channel);
	epoll = epoll_of(_metadata, fd, EPOLLOUT | EPOLLET);
	while (message.seq < FAN_IN_EACH) {
		if (!told && try_send(fd) == EAGAIN) {
			__atomic_add_fetch(waiting, 1, __ATOMIC_SEQ_CST);
			told = true;
		}
		if (send(fd, &message, sizeof(message), flags) > 0)
			message.seq++;
		else if (errno != EAGAIN)
			_exit(2);
		else if (by == FAN_IN_POLL &&
			 poll_for(fd, POLLOUT, WAIT_MS) != POLLOUT)
			_exit(3);
		else if (by == FAN_IN_EDGE &&
			 epoll_wait(epoll, &event, 1, WAIT_MS) != 1)
			_exit(4);
	}
	_exit(0);
}

FIXTURE_SETUP(fan_in)
{
	int filler, i;
	__u32 channel;

	my_type = SOCK_DGRAM;
	self->waiting = shared_memory(_metadata, sizeof(*self->waiting));
	self->receiver = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
	channel = my_channel(_metadata, self->receiver);
	set_rcvbuf(_metadata, self->receiver, 1);

	/* All of them wait when the receiver begins to read. */
	filler = my_client(_metadata, channel);
	my_fill(_metadata, filler, 100);
	close(filler);
	for (i = 0; i < FAN_IN; i++) {
		self->pid[i] = my_fork(_metadata);
		if (!self->pid[i])
			fan_in_send(_metadata, i, variant->by, channel,
				    self->waiting);
	}
}

FIXTURE_TEARDOWN(fan_in)
{
	int i;

	for (i = 0; i < FAN_IN; i++)
		if (self->pid[i] > 0)
			my_kill(self->pid[i]);
	close(self->receiver);
}

TEST_F(fan_in, every_message_once_in_order)
{
	unsigned int seq[FAN_IN] = {}, total = 0, least;
	struct fan_in_message message;
	bool first = true;
	ssize_t n;
	int i;

	while (__atomic_load_n(self->waiting, __ATOMIC_SEQ_CST) < FAN_IN)
		usleep(1000);

	set_timeout(_metadata, self->receiver, SO_RCVTIMEO, WAIT_MS);
	while (total < FAN_IN * FAN_IN_EACH) {
		n = recv(self->receiver, &message, sizeof(message), 0);
		ASSERT_LE(0, n)
			TH_LOG("after %u messages: %s", total, strerror(errno));
		if (n != sizeof(message))
			continue;
		ASSERT_GT(FAN_IN, message.id);
		ASSERT_EQ(seq[message.id], message.seq);
		total++;
		if (++seq[message.id] < FAN_IN_EACH || !first)
			continue;

		/*
		 * Nobody has to wait until others are through, where who waits
		 * is served in turn. Those who poll compete.
		 */
		first = false;
		if (variant->by != FAN_IN_BLOCK)
			continue;
		for (least = FAN_IN_EACH, i = 0; i < FAN_IN; i++)
			if (seq[i] < least)
				least = seq[i];
		EXPECT_LT(0U, least);
	}
	for (i = 0; i < FAN_IN; i++) {
		EXPECT_EQ(0, my_wait(self->pid[i]));
		self->pid[i] = 0;
	}
	EXPECT_EQ(EAGAIN, try_recv(self->receiver));
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
