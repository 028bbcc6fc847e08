// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO calls that wait: recv(), send(), accept() and connect() of each
 * type that has them. Each sleeps until it can go on, and ends early for
 * O_NONBLOCK, a timeout, a signal, shutdown() and close().
 */
#include "util.h"

/* Long enough to see that a call slept, short enough to test many */
#define TIMEOUT_MS	40

enum op { RECV, SEND, SENDTO, ACCEPT, CONNECT };

/* A call that would block, and what can let it go on */
struct call {
	__u32 channel;	/* of the other side, for SENDTO, ACCEPT, CONNECT */
	int filler;	/* CONNECT: what fills the backlog */
	int other;	/* the other side */
	enum op op;
	int fd;		/* the call is made on this one */
};

FIXTURE(block)
{
	struct call call;
};

FIXTURE_VARIANT(block)
{
	int type;
	enum op op;
	int timeout;		/* the option that limits the wait */
	int shutdown;		/* the shutdown() that ends the wait */
	int shutdown_err;	/* what the call returns then */
};

FIXTURE_VARIANT_ADD(block, stream_recv)
{
	.type = SOCK_STREAM,
	.op = RECV,
	.timeout = SO_RCVTIMEO,
	.shutdown = SHUT_RD,
	.shutdown_err = 0,
};

FIXTURE_VARIANT_ADD(block, stream_send)
{
	.type = SOCK_STREAM,
	.op = SEND,
	.timeout = SO_SNDTIMEO,
	.shutdown = SHUT_WR,
	.shutdown_err = EPIPE,
};

FIXTURE_VARIANT_ADD(block, stream_accept)
{
	.type = SOCK_STREAM,
	.op = ACCEPT,
	.timeout = SO_RCVTIMEO,
	.shutdown = SHUT_RD,
	.shutdown_err = EINVAL,
};

FIXTURE_VARIANT_ADD(block, stream_connect)
{
	.type = SOCK_STREAM,
	.op = CONNECT,
	.timeout = SO_SNDTIMEO,
	.shutdown = SHUT_RD,
	.shutdown_err = ECONNREFUSED,
};

FIXTURE_VARIANT_ADD(block, seqpacket_recv)
{
	.type = SOCK_SEQPACKET,
	.op = RECV,
	.timeout = SO_RCVTIMEO,
	.shutdown = SHUT_RD,
	.shutdown_err = 0,
};

FIXTURE_VARIANT_ADD(block, seqpacket_send)
{
	.type = SOCK_SEQPACKET,
	.op = SEND,
	.timeout = SO_SNDTIMEO,
	.shutdown = SHUT_WR,
	.shutdown_err = EPIPE,
};

FIXTURE_VARIANT_ADD(block, seqpacket_accept)
{
	.type = SOCK_SEQPACKET,
	.op = ACCEPT,
	.timeout = SO_RCVTIMEO,
	.shutdown = SHUT_RD,
	.shutdown_err = EINVAL,
};

FIXTURE_VARIANT_ADD(block, seqpacket_connect)
{
	.type = SOCK_SEQPACKET,
	.op = CONNECT,
	.timeout = SO_SNDTIMEO,
	.shutdown = SHUT_RD,
	.shutdown_err = ECONNREFUSED,
};

FIXTURE_VARIANT_ADD(block, dgram_recv)
{
	.type = SOCK_DGRAM,
	.op = RECV,
	.timeout = SO_RCVTIMEO,
	.shutdown = SHUT_RD,
	.shutdown_err = 0,
};

FIXTURE_VARIANT_ADD(block, dgram_send)
{
	.type = SOCK_DGRAM,
	.op = SEND,
	.timeout = SO_SNDTIMEO,
	.shutdown = SHUT_WR,
	.shutdown_err = EPIPE,
};

FIXTURE_VARIANT_ADD(block, dgram_sendto)
{
	.type = SOCK_DGRAM,
	.op = SENDTO,
	.timeout = SO_SNDTIMEO,
	.shutdown = SHUT_WR,
	.shutdown_err = EPIPE,
};

static void call_prepare(struct __test_metadata *_metadata,
			 struct call *call, enum op op)
{
	int pair[2];

	*call = (struct call) {
		.filler = -1,
		.other = -1,
		.op = op,
		.fd = -1,
	};

	switch (op) {
	case RECV:
	case SEND:
		my_connection(_metadata, pair);
		call->fd = pair[0];
		call->other = pair[1];
		if (op == SEND)
			my_fill(_metadata, call->fd, 4096);
		break;
	case SENDTO:
		call->fd = my_socket(_metadata);
		call->other = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
		call->channel = my_channel(_metadata, call->other);
		/* Somebody else has filled it. */
		call->filler = my_client(_metadata, call->channel);
		my_fill(_metadata, call->filler, 4096);
		break;
	case ACCEPT:
		call->fd = my_listener(_metadata, 1, &call->channel);
		break;
	case CONNECT:
		call->other = my_listener(_metadata, 0, &call->channel);
		call->filler = my_client(_metadata, call->channel);
		call->fd = my_socket(_metadata);
		break;
	}
}

static void call_cleanup(struct call *call)
{
	close(call->fd);
	close(call->other);
	close(call->filler);
}

/* Another caller: a connect() needs a socket of its own. */
static void call_again(struct __test_metadata *_metadata, struct call *call)
{
	if (call->op == CONNECT)
		call->fd = my_socket(_metadata);
}

/* Make the call that would block; returns its errno. */
static int call_err(struct call *call)
{
	char c = 'x';
	int fd;

	switch (call->op) {
	case RECV:
		return err_of(recv(call->fd, &c, 1, 0));
	case SEND:
		return err_of(send(call->fd, &c, 1, MSG_NOSIGNAL));
	case SENDTO:
		return err_of(my_sendto(call->fd, call->channel, &c, 1, 0));
	case ACCEPT:
		fd = accept(call->fd, NULL, NULL);
		if (fd >= 0)
			close(fd);
		return err_of(fd);
	case CONNECT:
		return err_of(my_connect(call->fd, call->channel));
	}
	return -1;
}

/* What the call says when it may not wait (any longer) */
static int would_block(const struct call *call)
{
	return call->op == CONNECT ? EINPROGRESS : EAGAIN;
}

/* Do what the call waits for. */
static void call_satisfy(struct __test_metadata *_metadata, struct call *call)
{
	switch (call->op) {
	case RECV:
		expect_send(_metadata, call->other, "x");
		break;
	case SEND:
	case SENDTO:
		my_drain(_metadata, call->other);
		break;
	case ACCEPT:
		my_client(_metadata, call->channel);
		break;
	case CONNECT:
		EXPECT_LE(0, accept(call->other, NULL, NULL));
		break;
	}
}

/* shutdown() of the waiting socket; a connect() is ended by the listener */
static int call_shutdown(struct call *call, int how)
{
	return shutdown(call->op == CONNECT ? call->other : call->fd, how);
}

/* Start the call in a child, which exits with its errno, and see it sleep. */
static pid_t call_in_child(struct __test_metadata *_metadata,
			   struct call *call)
{
	pid_t pid = my_fork(_metadata);

	if (!pid) {
		/* The parent's descriptor is then the only one. */
		close(call->other);
		_exit(call_err(call));
	}
	ASSERT_TRUE(wait_asleep(pid));
	return pid;
}

FIXTURE_SETUP(block)
{
	my_type = variant->type;
	call_prepare(_metadata, &self->call, variant->op);
}

FIXTURE_TEARDOWN(block)
{
	call_cleanup(&self->call);
}

/* Each direction has a timeout of its own, and may end before it. */
TEST_F(block, waits)
{
	int other = variant->timeout == SO_RCVTIMEO ? SO_SNDTIMEO : SO_RCVTIMEO;
	pid_t pid;

	set_timeout(_metadata, self->call.fd, variant->timeout, 10 * WAIT_MS);
	set_timeout(_metadata, self->call.fd, other, 1);
	pid = call_in_child(_metadata, &self->call);
	usleep(20000);
	ASSERT_TRUE(wait_asleep(pid));
	call_satisfy(_metadata, &self->call);
	EXPECT_EQ(0, my_wait(pid));
}

/* Also while another waits, who must not hold this one up */
TEST_F(block, nonblock)
{
	pid_t pid = call_in_child(_metadata, &self->call);

	call_again(_metadata, &self->call);
	set_nonblock(_metadata, self->call.fd);
	EXPECT_EQ(would_block(&self->call), call_err(&self->call));

	call_satisfy(_metadata, &self->call);
	EXPECT_EQ(0, my_wait(pid));
	call_satisfy(_metadata, &self->call);
	EXPECT_EQ(0, call_err(&self->call));
}

TEST_F(block, timeout)
{
	long start;

	set_timeout(_metadata, self->call.fd, variant->timeout, TIMEOUT_MS);
	start = now_ms();
	EXPECT_EQ(would_block(&self->call), call_err(&self->call));
	EXPECT_LE(TIMEOUT_MS, now_ms() - start);

	call_satisfy(_metadata, &self->call);
	EXPECT_EQ(0, call_err(&self->call));
}

/* Signals */

static int handled[2];

static void handler(int sig)
{
	if (write(handled[1], &sig, 1) != 1)
		_exit(KSFT_FAIL);
}

/* Catch SIGUSR1, in the child as well; each call writes one byte to a pipe */
static void catch_signal(struct __test_metadata *_metadata, int flags)
{
	struct sigaction action = {
		.sa_handler = handler,
		.sa_flags = flags,
	};

	ASSERT_EQ(0, pipe(handled));
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
}

static void send_signal(struct __test_metadata *_metadata, pid_t pid)
{
	char c;

	ASSERT_EQ(0, kill(pid, SIGUSR1));
	ASSERT_EQ(1, read(handled[0], &c, 1));
}

TEST_F(block, signal_eintr)
{
	pid_t pid;

	catch_signal(_metadata, 0);
	pid = call_in_child(_metadata, &self->call);
	send_signal(_metadata, pid);
	EXPECT_EQ(EINTR, my_wait(pid));

	/* One can go on with the socket, and after a fatal signal too. */
	pid = call_in_child(_metadata, &self->call);
	EXPECT_EQ(-SIGKILL, my_kill(pid));
	call_satisfy(_metadata, &self->call);
	EXPECT_EQ(0, call_err(&self->call));
}

TEST_F(block, signal_restart)
{
	pid_t pid;

	catch_signal(_metadata, SA_RESTART);
	pid = call_in_child(_metadata, &self->call);
	send_signal(_metadata, pid);
	ASSERT_TRUE(wait_asleep(pid));
	call_satisfy(_metadata, &self->call);
	EXPECT_EQ(0, my_wait(pid));
}

/* With a timeout the call does not restart, as it would wait anew. */
TEST_F(block, signal_with_timeout_eintr)
{
	pid_t pid;

	catch_signal(_metadata, SA_RESTART);
	set_timeout(_metadata, self->call.fd, variant->timeout, 10 * WAIT_MS);
	pid = call_in_child(_metadata, &self->call);
	send_signal(_metadata, pid);
	EXPECT_EQ(EINTR, my_wait(pid));
}

/* Who waits must not hold up others with what makes them uninterruptible. */
TEST_F(block, second_waiter_signal_eintr)
{
	int fd = self->call.fd;
	pid_t pid[2];

	catch_signal(_metadata, 0);
	pid[0] = call_in_child(_metadata, &self->call);
	call_again(_metadata, &self->call);
	pid[1] = call_in_child(_metadata, &self->call);

	send_signal(_metadata, pid[1]);
	EXPECT_EQ(EINTR, my_wait(pid[1]));

	self->call.fd = fd;
	call_satisfy(_metadata, &self->call);
	EXPECT_EQ(0, my_wait(pid[0]));
}

/* Sleepers must not be lost when several wait for the same thing. */
TEST_F(block, woken_by_shutdown)
{
	pid_t pid[2];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(pid); i++) {
		call_again(_metadata, &self->call);
		pid[i] = call_in_child(_metadata, &self->call);
	}

	ASSERT_EQ(0, call_shutdown(&self->call, variant->shutdown));
	for (i = 0; i < ARRAY_SIZE(pid); i++)
		EXPECT_EQ(variant->shutdown_err, my_wait(pid[i]));
}

/* The cases that only some of the calls have */

FIXTURE(ended)
{
	struct call call;
};

FIXTURE_VARIANT(ended)
{
	int type;
	enum op op;
	int shutdown;	/* the other side does this, or close() when -1 */
	int err;
};

FIXTURE_VARIANT_ADD(ended, stream_recv_by_peer_shutdown_wr)
{
	.type = SOCK_STREAM,
	.op = RECV,
	.shutdown = SHUT_WR,
	.err = 0,
};

FIXTURE_VARIANT_ADD(ended, stream_recv_by_peer_close)
{
	.type = SOCK_STREAM,
	.op = RECV,
	.shutdown = -1,
	.err = 0,
};

FIXTURE_VARIANT_ADD(ended, stream_send_by_peer_shutdown_rd_epipe)
{
	.type = SOCK_STREAM,
	.op = SEND,
	.shutdown = SHUT_RD,
	.err = EPIPE,
};

FIXTURE_VARIANT_ADD(ended, stream_send_by_peer_close_epipe)
{
	.type = SOCK_STREAM,
	.op = SEND,
	.shutdown = -1,
	.err = EPIPE,
};

FIXTURE_VARIANT_ADD(ended, stream_connect_by_listener_close_econnrefused)
{
	.type = SOCK_STREAM,
	.op = CONNECT,
	.shutdown = -1,
	.err = ECONNREFUSED,
};

FIXTURE_VARIANT_ADD(ended, seqpacket_recv_by_peer_shutdown_wr)
{
	.type = SOCK_SEQPACKET,
	.op = RECV,
	.shutdown = SHUT_WR,
	.err = 0,
};

FIXTURE_VARIANT_ADD(ended, seqpacket_recv_by_peer_close)
{
	.type = SOCK_SEQPACKET,
	.op = RECV,
	.shutdown = -1,
	.err = 0,
};

FIXTURE_VARIANT_ADD(ended, seqpacket_send_by_peer_shutdown_rd_epipe)
{
	.type = SOCK_SEQPACKET,
	.op = SEND,
	.shutdown = SHUT_RD,
	.err = EPIPE,
};

FIXTURE_VARIANT_ADD(ended, seqpacket_send_by_peer_close_epipe)
{
	.type = SOCK_SEQPACKET,
	.op = SEND,
	.shutdown = -1,
	.err = EPIPE,
};

FIXTURE_VARIANT_ADD(ended, seqpacket_connect_by_listener_close_econnrefused)
{
	.type = SOCK_SEQPACKET,
	.op = CONNECT,
	.shutdown = -1,
	.err = ECONNREFUSED,
};

FIXTURE_VARIANT_ADD(ended, dgram_send_by_peer_shutdown_rd_epipe)
{
	.type = SOCK_DGRAM,
	.op = SEND,
	.shutdown = SHUT_RD,
	.err = EPIPE,
};

FIXTURE_VARIANT_ADD(ended, dgram_send_by_peer_close_econnrefused)
{
	.type = SOCK_DGRAM,
	.op = SEND,
	.shutdown = -1,
	.err = ECONNREFUSED,
};

FIXTURE_VARIANT_ADD(ended, dgram_sendto_by_peer_shutdown_rd_epipe)
{
	.type = SOCK_DGRAM,
	.op = SENDTO,
	.shutdown = SHUT_RD,
	.err = EPIPE,
};

FIXTURE_VARIANT_ADD(ended, dgram_sendto_by_peer_close_econnrefused)
{
	.type = SOCK_DGRAM,
	.op = SENDTO,
	.shutdown = -1,
	.err = ECONNREFUSED,
};

FIXTURE_SETUP(ended)
{
	my_type = variant->type;
	call_prepare(_metadata, &self->call, variant->op);
}

FIXTURE_TEARDOWN(ended)
{
	call_cleanup(&self->call);
}

TEST_F(ended, call)
{
	pid_t pid = call_in_child(_metadata, &self->call);

	if (variant->shutdown < 0) {
		close(self->call.other);
		self->call.other = -1;
	} else {
		ASSERT_EQ(0, shutdown(self->call.other, variant->shutdown));
	}
	EXPECT_EQ(variant->err, my_wait(pid));
}

/* Who waits to send where it may no longer send, does not go on waiting. */
FIXTURE(moved) {};

FIXTURE_VARIANT(moved)
{
	enum op op;
};

FIXTURE_VARIANT_ADD(moved, send)
{
	.op = SEND,
};

FIXTURE_VARIANT_ADD(moved, sendto)
{
	.op = SENDTO,
};

FIXTURE_SETUP(moved)
{
	my_type = SOCK_DGRAM;
}

FIXTURE_TEARDOWN(moved)
{
}

TEST_F(moved, receiver_connects_elsewhere_eperm)
{
	struct call call;
	__u32 channel;
	pid_t pid;
	int fd;

	call_prepare(_metadata, &call, variant->op);
	fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
	channel = my_channel(_metadata, fd);

	pid = call_in_child(_metadata, &call);
	ASSERT_EQ(0, my_connect(call.other, channel));
	my_drain(_metadata, call.other);
	EXPECT_EQ(EPERM, my_wait(pid));
}

/*
 * A STREAM send() larger than the room tells how much it queued when it ends
 * early.
 */

FIXTURE(partial)
{
	char *buf;
	int fd[2];
	pid_t pid;
	int told;	/* pipe on which the child tells what send() returned */
};

FIXTURE_SETUP(partial)
{
	ssize_t n;
	int p[2];

	self->buf = calloc(1, BIG);
	ASSERT_NE(NULL, self->buf);
	my_connection(_metadata, self->fd);
	ASSERT_EQ(0, pipe(p));
	self->told = p[0];

	catch_signal(_metadata, 0);
	self->pid = my_fork(_metadata);
	if (!self->pid) {
		close(self->fd[1]);
		n = send(self->fd[0], self->buf, BIG, MSG_NOSIGNAL);
		if (write(p[1], &n, sizeof(n)) != sizeof(n))
			_exit(KSFT_FAIL);
		/* What the next one says */
		_exit(try_send(self->fd[0]));
	}
	ASSERT_TRUE(wait_asleep(self->pid));
}

FIXTURE_TEARDOWN(partial)
{
	kill(self->pid, SIGKILL);
	close(self->fd[0]);
	close(self->fd[1]);
	free(self->buf);
}

static ssize_t partial_told(struct __test_metadata *_metadata, int fd)
{
	ssize_t n = -1;

	ASSERT_EQ((ssize_t)sizeof(n), read(fd, &n, sizeof(n)));
	return n;
}

TEST_F(partial, signal)
{
	ssize_t n;

	send_signal(_metadata, self->pid);
	n = partial_told(_metadata, self->told);
	EXPECT_LT(0, n);
	EXPECT_GT(BIG, n);
	EXPECT_EQ(EAGAIN, my_wait(self->pid));
	EXPECT_EQ((size_t)n, my_drain(_metadata, self->fd[1]));
}

TEST_F(partial, peer_close)
{
	ssize_t n;

	close(self->fd[1]);
	self->fd[1] = -1;
	n = partial_told(_metadata, self->told);
	EXPECT_LT(0, n);
	EXPECT_GT(BIG, n);
	EXPECT_EQ(EPIPE, my_wait(self->pid));
}

TEST_F(partial, peer_shutdown_rd)
{
	ssize_t n;

	ASSERT_EQ(0, shutdown(self->fd[1], SHUT_RD));
	n = partial_told(_metadata, self->told);
	EXPECT_LT(0, n);
	EXPECT_GT(BIG, n);
	EXPECT_EQ(EPIPE, my_wait(self->pid));
	EXPECT_EQ((size_t)n, my_drain(_metadata, self->fd[1]));
}

/* Not partial: a blocking send() goes on while the reader makes room. */
TEST_F(partial, reader_takes_all)
{
	size_t total = 0;
	int err;

	while (total < BIG) {
		ASSERT_LT(0, poll_for(self->fd[1], POLLIN, WAIT_MS));
		total += my_drain(_metadata, self->fd[1]);
	}
	EXPECT_EQ(BIG, partial_told(_metadata, self->told));
	/* Whether there was room for the next one already is another thing. */
	err = my_wait(self->pid);
	EXPECT_TRUE(!err || err == EAGAIN);
}

TEST(send_timeout_partial)
{
	char *buf = calloc(1, BIG);
	ssize_t n;
	int fd[2];

	ASSERT_NE(NULL, buf);
	my_connection(_metadata, fd);
	set_timeout(_metadata, fd[0], SO_SNDTIMEO, TIMEOUT_MS);

	n = send(fd[0], buf, BIG, 0);
	EXPECT_LT(0, n);
	EXPECT_GT(BIG, n);
	EXPECT_EQ(EAGAIN, err_of(send(fd[0], buf, BIG, 0)));
	EXPECT_EQ((size_t)n, my_drain(_metadata, fd[1]));
	free(buf);
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
