// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO calls that wait: recv(), send(), accept() and connect() of each
 * type that has them. Each sleeps until it can go on, and ends early for
 * O_NONBLOCK, a timeout, a signal, shutdown() and close().
 */
#include "util.h"
#include "worker.h"

/* Long enough to see that a call slept, short enough to test many */
#define TIMEOUT_MS	40

enum op { SENDTO, RECV, SEND, ACCEPT, CONNECT };

static const struct {
	int timeout;		/* the option that limits the wait */
	int shutdown;		/* the shutdown() that ends the wait */
	int shutdown_err;	/* what the call returns then */
	int would_block;	/* what it says when it may not wait */
} ops[] = {
	[SENDTO] = { SO_SNDTIMEO, SHUT_WR, EPIPE, EAGAIN },
	[RECV] = { SO_RCVTIMEO, SHUT_RD, 0, EAGAIN },
	[SEND] = { SO_SNDTIMEO, SHUT_WR, EPIPE, EAGAIN },
	[ACCEPT] = { SO_RCVTIMEO, SHUT_RD, EINVAL, EAGAIN },
	/* It is the listener that is shut down. */
	[CONNECT] = { SO_SNDTIMEO, SHUT_RD, ECONNREFUSED, EINPROGRESS },
};

/* A call that would block, and what can let it go on */
FIXTURE(block)
{
	enum op op;
	int fd;		/* the call is made on this one */
	int other;	/* the other side, and its channel */
	__u32 channel;
};

FIXTURE_VARIANT(block)
{
	int type;
	enum op op;
};

FIXTURE_VARIANT_ADD(block, stream_recv) { SOCK_STREAM, RECV };
FIXTURE_VARIANT_ADD(block, stream_send) { SOCK_STREAM, SEND };
FIXTURE_VARIANT_ADD(block, stream_accept) { SOCK_STREAM, ACCEPT };
FIXTURE_VARIANT_ADD(block, stream_connect) { SOCK_STREAM, CONNECT };
FIXTURE_VARIANT_ADD(block, seqpacket_recv) { SOCK_SEQPACKET, RECV };
FIXTURE_VARIANT_ADD(block, seqpacket_send) { SOCK_SEQPACKET, SEND };
FIXTURE_VARIANT_ADD(block, seqpacket_accept) { SOCK_SEQPACKET, ACCEPT };
FIXTURE_VARIANT_ADD(block, seqpacket_connect) { SOCK_SEQPACKET, CONNECT };
FIXTURE_VARIANT_ADD(block, dgram_recv) { SOCK_DGRAM, RECV };
FIXTURE_VARIANT_ADD(block, dgram_send) { SOCK_DGRAM, SEND };
FIXTURE_VARIANT_ADD(block, dgram_sendto) { SOCK_DGRAM, SENDTO };

static void prepare(struct __test_metadata *_metadata,
		    struct _test_data_block *self)
{
	int pair[2];

	self->other = -1;
	switch (self->op) {
	case RECV:
	case SEND:
		my_connection(_metadata, pair);
		self->fd = pair[0];
		self->other = pair[1];
		if (self->op == SEND)
			my_fill(_metadata, self->fd, 4096);
		break;
	case SENDTO:
		self->fd = my_socket(_metadata);
		self->other = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
		self->channel = my_channel(_metadata, self->other);
		/* Somebody else has filled it. */
		my_fill(_metadata, my_client(_metadata, self->channel), 4096);
		break;
	case ACCEPT:
		self->fd = my_listener(_metadata, 1, &self->channel);
		break;
	case CONNECT:
		self->other = my_listener(_metadata, 0, &self->channel);
		my_client(_metadata, self->channel);
		self->fd = my_socket(_metadata);
		break;
	}
}

FIXTURE_SETUP(block)
{
	my_type = variant->type;
	self->op = variant->op;
	prepare(_metadata, self);
}

FIXTURE_TEARDOWN(block)
{
}

/* Another caller: a connect() needs a socket of its own. */
static void another(struct __test_metadata *_metadata,
		    struct _test_data_block *self)
{
	if (self->op == CONNECT)
		self->fd = my_socket(_metadata);
}

/* Make the call that would block; returns its errno. */
static int call(const struct _test_data_block *self)
{
	char c = 'x';

	switch (self->op) {
	case RECV:
		return err_of(recv(self->fd, &c, 1, 0));
	case SEND:
		return err_of(send(self->fd, &c, 1, MSG_NOSIGNAL));
	case SENDTO:
		return err_of(my_sendto(self->fd, self->channel, &c, 1, 0));
	case ACCEPT:
		return err_of(accept(self->fd, NULL, NULL));
	case CONNECT:
		return err_of(my_connect(self->fd, self->channel));
	}
	return -1;
}

/* Do what the call waits for. */
static void satisfy(struct __test_metadata *_metadata,
		    const struct _test_data_block *self)
{
	if (self->op == RECV)
		expect_send(_metadata, self->other, "x");
	else if (self->op == ACCEPT)
		my_client(_metadata, self->channel);
	else if (self->op == CONNECT)
		my_accept(_metadata, self->other);
	else
		my_drain(_metadata, self->other);
}

/* The call in a child, where it sleeps: the exit code is its errno. */
static pid_t call_in_child(struct __test_metadata *_metadata,
			   const struct _test_data_block *self)
{
	/* The parent's descriptor of the other side is the only one. */
	return sleeping_child((close(self->other), call(self)));
}

/* Each direction has a timeout of its own, and may end before it. */
TEST_F(block, waits)
{
	int own = ops[self->op].timeout;
	pid_t pid;

	set_timeout(_metadata, self->fd, own, 10 * WAIT_MS);
	set_timeout(_metadata, self->fd, own == SO_RCVTIMEO ? SO_SNDTIMEO :
							      SO_RCVTIMEO, 1);
	pid = call_in_child(_metadata, self);
	usleep(20000);
	ASSERT_TRUE(wait_asleep(pid));
	satisfy(_metadata, self);
	EXPECT_EQ(0, my_wait(pid));
}

/* Also while another waits, who must not hold this one up */
TEST_F(block, nonblock)
{
	pid_t pid = call_in_child(_metadata, self);

	another(_metadata, self);
	set_nonblock(_metadata, self->fd);
	EXPECT_EQ(ops[self->op].would_block, call(self));
	satisfy(_metadata, self);
	EXPECT_EQ(0, my_wait(pid));
	satisfy(_metadata, self);
	EXPECT_EQ(0, call(self));
}

TEST_F(block, timeout)
{
	long start = now_ms();

	set_timeout(_metadata, self->fd, ops[self->op].timeout, TIMEOUT_MS);
	EXPECT_EQ(ops[self->op].would_block, call(self));
	EXPECT_LE(TIMEOUT_MS, now_ms() - start);
	EXPECT_GT(WAIT_MS, now_ms() - start);
	satisfy(_metadata, self);
	EXPECT_EQ(0, call(self));
}

/* Also while another call waits, which must not make it uninterruptible */
TEST_F(block, signal_eintr)
{
	pid_t pid, second;
	int fd;

	catch_usr1(_metadata);
	pid = call_in_child(_metadata, self);
	ASSERT_EQ(0, kill(pid, SIGUSR1));
	EXPECT_EQ(EINTR, my_wait(pid));

	/* One can go on with the socket, and after a fatal signal. */
	pid = call_in_child(_metadata, self);
	EXPECT_EQ(-SIGKILL, my_kill(pid));
	satisfy(_metadata, self);
	EXPECT_EQ(0, call(self));

	prepare(_metadata, self);
	fd = self->fd;
	pid = call_in_child(_metadata, self);
	another(_metadata, self);
	second = call_in_child(_metadata, self);
	ASSERT_EQ(0, kill(second, SIGUSR1));
	EXPECT_EQ(EINTR, my_wait(second));
	self->fd = fd;
	satisfy(_metadata, self);
	EXPECT_EQ(0, my_wait(pid));
}

static int handled[2];

static void handler(int sig)
{
	if (write(handled[1], &sig, 1) != 1)
		_exit(KSFT_FAIL);
}

/* With a timeout the call does not restart, as it would wait anew. */
TEST_F(block, signal_restart)
{
	struct sigaction action = {
		.sa_handler = handler,
		.sa_flags = SA_RESTART,
	};
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(handled));
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	pid = call_in_child(_metadata, self);
	ASSERT_EQ(0, kill(pid, SIGUSR1));
	ASSERT_EQ(1, read(handled[0], &c, 1));
	ASSERT_TRUE(wait_asleep(pid));
	satisfy(_metadata, self);
	EXPECT_EQ(0, my_wait(pid));

	prepare(_metadata, self);
	set_timeout(_metadata, self->fd, ops[self->op].timeout,
		    10 * WAIT_MS);
	pid = call_in_child(_metadata, self);
	ASSERT_EQ(0, kill(pid, SIGUSR1));
	EXPECT_EQ(EINTR, my_wait(pid));
}

/* Sleepers must not be lost when several wait for the same thing. */
TEST_F(block, woken_by_shutdown)
{
	pid_t pid[2];
	int i;

	for (i = 0; i < 2; i++) {
		another(_metadata, self);
		pid[i] = call_in_child(_metadata, self);
	}
	ASSERT_EQ(0, shutdown(self->op == CONNECT ? self->other : self->fd,
			      ops[self->op].shutdown));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(ops[self->op].shutdown_err, my_wait(pid[i]));
}

enum { CLOSE = -1, CONNECT_ELSEWHERE = -2, NO_CASE = -3 };

static const struct {
	enum op op;
	int how;	/* the other side's shutdown(), or another call */
	int err;	/* of connections */
	int dgram_err;
} endings[] = {
	{ RECV, SHUT_WR, 0, NO_CASE },
	{ RECV, CLOSE, 0, NO_CASE },
	{ SEND, SHUT_RD, EPIPE, EPIPE },
	{ SEND, CLOSE, EPIPE, ECONNREFUSED },
	{ SEND, CONNECT_ELSEWHERE, NO_CASE, EPERM },
	{ CONNECT, CLOSE, ECONNREFUSED, NO_CASE },
	{ SENDTO, SHUT_RD, NO_CASE, EPIPE },
	{ SENDTO, CLOSE, NO_CASE, ECONNREFUSED },
	{ SENDTO, CONNECT_ELSEWHERE, NO_CASE, EPERM },
};

TEST_F(block, ended_by_other_side)
{
	int i, how, err, fd, cases = 0;
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(endings); i++) {
		how = endings[i].how;
		err = my_type == SOCK_DGRAM ? endings[i].dgram_err :
					      endings[i].err;
		if (endings[i].op != self->op || err == NO_CASE)
			continue;
		cases++;
		prepare(_metadata, self);
		pid = call_in_child(_metadata, self);
		if (how == CONNECT_ELSEWHERE) {
			fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
			ASSERT_EQ(0, my_connect(self->other,
						my_channel(_metadata, fd)));
		} else {
			ASSERT_EQ(0, how == CLOSE ? close(self->other) :
						    shutdown(self->other, how));
		}
		EXPECT_EQ(err, my_wait(pid))
			TH_LOG("case %d", i);
	}
	if (!cases)
		SKIP(return, "the other side cannot end it");
}

/* A STREAM send() larger than the room tells how much it queued. */
TEST(partial_send)
{
	enum { SIGNAL, TIMEOUT, CLOSED, SHUTDOWN } how;
	struct worker sender = { .call = call_send, .len = BIG };
	int fd[2];

	catch_usr1(_metadata);
	worker_start(_metadata, &sender);
	for (how = SIGNAL; how <= SHUTDOWN; how++) {
		my_connection(_metadata, fd);
		sender.fd = fd[0];
		if (how == TIMEOUT) {
			set_timeout(_metadata, fd[0], SO_SNDTIMEO, TIMEOUT_MS);
			worker_tell(&sender);
		} else {
			worker_sleep(_metadata, &sender);
		}
		if (how == SIGNAL)
			ASSERT_EQ(0, pthread_kill(sender.thread, SIGUSR1));
		if (how == CLOSED)
			ASSERT_EQ(0, close(fd[1]));
		if (how == SHUTDOWN)
			ASSERT_EQ(0, shutdown(fd[1], SHUT_RD));

		ASSERT_TRUE(worker_finish(&sender));
		EXPECT_LT(0, sender.ret);
		EXPECT_GT(BIG, sender.ret);
		EXPECT_EQ(how >= CLOSED ? EPIPE : EAGAIN, try_send(fd[0]))
			TH_LOG("case %d", how);
		if (how != CLOSED)
			EXPECT_EQ(sender.ret, my_drain(_metadata, fd[1]));
	}
}

/* poll() waits for space at the peer that the socket has now. */
TEST(poll_follows_connect)
{
	int fd, other[2], i;
	pid_t pid;

	my_type = SOCK_DGRAM;
	fd = my_socket(_metadata);
	for (i = 0; i < 2; i++) {
		other[i] = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
		ASSERT_EQ(0, my_connect(fd, my_channel(_metadata, other[i])));
		my_fill(_metadata, fd, 4096);
		EXPECT_EQ(0, poll_for(fd, POLLOUT, 0));
	}
	pid = sleeping_child(poll_for(fd, POLLOUT, WAIT_MS) != POLLOUT);
	my_drain(_metadata, other[1]);
	EXPECT_EQ(0, my_wait(pid));
}

TEST_HARNESS_MAIN
