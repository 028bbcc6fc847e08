// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO calls that wait: recv(), send(), accept() and connect() of each
 * type that has them. Each sleeps until it can go on, and ends early for
 * O_NONBLOCK, a timeout, a signal, shutdown() and close().
 */
#include "util.h"

/* Long enough to see that a call slept, short enough to test many */
#define TIMEOUT_MS	40

enum op { SENDTO, RECV, SEND, ACCEPT, CONNECT };

static const struct {
	const char *name;
	int timeout;		/* the option that limits the wait */
	int shutdown;		/* the shutdown() that ends the wait */
	int shutdown_err;	/* what the call returns then */
} ops[] = {
	[SENDTO] = { "sendto", SO_SNDTIMEO, SHUT_WR, EPIPE },
	[RECV] = { "recv", SO_RCVTIMEO, SHUT_RD, 0 },
	[SEND] = { "send", SO_SNDTIMEO, SHUT_WR, EPIPE },
	[ACCEPT] = { "accept", SO_RCVTIMEO, SHUT_RD, EINVAL },
	/* It is the listener that is shut down. */
	[CONNECT] = { "connect", SO_SNDTIMEO, SHUT_RD, ECONNREFUSED },
};

/* A call that would block, and what can let it go on */
struct call {
	__u32 channel;	/* of the other side, for SENDTO, ACCEPT, CONNECT */
	int other;	/* the other side */
	enum op op;
	int fd;		/* the call is made on this one */
};

FIXTURE(block)
{
	struct call call;
	int next;	/* the op after that */
};

FIXTURE_VARIANT(block)
{
	int type;
	enum op first;
	enum op last;
};

FIXTURE_VARIANT_ADD(block, stream)
{
	.type = SOCK_STREAM,
	.first = RECV,
	.last = CONNECT,
};

FIXTURE_VARIANT_ADD(block, seqpacket)
{
	.type = SOCK_SEQPACKET,
	.first = RECV,
	.last = CONNECT,
};

FIXTURE_VARIANT_ADD(block, dgram)
{
	.type = SOCK_DGRAM,
	.first = SENDTO,
	.last = SEND,
};

FIXTURE_SETUP(block)
{
	my_type = variant->type;
	self->next = variant->first;
}

FIXTURE_TEARDOWN(block)
{
	if (_metadata->exit_code != KSFT_PASS)
		TH_LOG("with %s()", ops[self->call.op].name);
}

static void call_prepare(struct __test_metadata *_metadata,
			 struct call *call, enum op op)
{
	int pair[2];

	*call = (struct call) { .op = op, .other = -1 };
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
		my_fill(_metadata, my_client(_metadata, call->channel), 4096);
		break;
	case ACCEPT:
		call->fd = my_listener(_metadata, 1, &call->channel);
		break;
	case CONNECT:
		call->other = my_listener(_metadata, 0, &call->channel);
		my_client(_metadata, call->channel);
		call->fd = my_socket(_metadata);
		break;
	}
}

/* Prepare for the next call of the type; false when there was the last. */
static bool call_next(struct __test_metadata *_metadata,
		      struct _test_data_block *self, enum op last)
{
	if (self->next > last)
		return false;
	call_prepare(_metadata, &self->call, self->next++);
	return true;
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

	switch (call->op) {
	case RECV:
		return err_of(recv(call->fd, &c, 1, 0));
	case SEND:
		return err_of(send(call->fd, &c, 1, MSG_NOSIGNAL));
	case SENDTO:
		return err_of(my_sendto(call->fd, call->channel, &c, 1, 0));
	case ACCEPT:
		return err_of(accept(call->fd, NULL, NULL));
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
		ASSERT_LE(0, accept(call->other, NULL, NULL));
		break;
	}
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

/* Each direction has a timeout of its own, and may end before it. */
TEST_F(block, waits)
{
	struct call *call = &self->call;
	int own, other;
	pid_t pid;

	while (call_next(_metadata, self, variant->last)) {
		own = ops[call->op].timeout;
		other = own == SO_RCVTIMEO ? SO_SNDTIMEO : SO_RCVTIMEO;
		set_timeout(_metadata, call->fd, own, 10 * WAIT_MS);
		set_timeout(_metadata, call->fd, other, 1);
		pid = call_in_child(_metadata, call);
		usleep(20000);
		ASSERT_TRUE(wait_asleep(pid));
		call_satisfy(_metadata, call);
		ASSERT_EQ(0, my_wait(pid));
	}
}

/* Also while another waits, who must not hold this one up */
TEST_F(block, nonblock)
{
	struct call *call = &self->call;
	pid_t pid;

	while (call_next(_metadata, self, variant->last)) {
		pid = call_in_child(_metadata, call);
		call_again(_metadata, call);
		set_nonblock(_metadata, call->fd);
		ASSERT_EQ(would_block(call), call_err(call));
		call_satisfy(_metadata, call);
		ASSERT_EQ(0, my_wait(pid));
		call_satisfy(_metadata, call);
		ASSERT_EQ(0, call_err(call));
	}
}

TEST_F(block, timeout)
{
	struct call *call = &self->call;
	long start;

	while (call_next(_metadata, self, variant->last)) {
		set_timeout(_metadata, call->fd, ops[call->op].timeout,
			    TIMEOUT_MS);
		start = now_ms();
		ASSERT_EQ(would_block(call), call_err(call));
		ASSERT_LE(TIMEOUT_MS, now_ms() - start);
		call_satisfy(_metadata, call);
		ASSERT_EQ(0, call_err(call));
	}
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

/* Also with another who waits, and has made nobody else uninterruptible */
TEST_F(block, signal_eintr)
{
	struct call *call = &self->call;
	pid_t pid, second;
	int fd;

	catch_signal(_metadata, 0);
	while (call_next(_metadata, self, variant->last)) {
		pid = call_in_child(_metadata, call);
		send_signal(_metadata, pid);
		ASSERT_EQ(EINTR, my_wait(pid));

		/* One can go on with the socket, and after a fatal signal. */
		pid = call_in_child(_metadata, call);
		ASSERT_EQ(-SIGKILL, my_kill(pid));
		call_satisfy(_metadata, call);
		ASSERT_EQ(0, call_err(call));

		call_prepare(_metadata, call, call->op);
		fd = call->fd;
		pid = call_in_child(_metadata, call);
		call_again(_metadata, call);
		second = call_in_child(_metadata, call);
		send_signal(_metadata, second);
		ASSERT_EQ(EINTR, my_wait(second));
		call->fd = fd;
		call_satisfy(_metadata, call);
		ASSERT_EQ(0, my_wait(pid));
	}
}

/* With a timeout the call does not restart, as it would wait anew. */
TEST_F(block, signal_restart)
{
	struct call *call = &self->call;
	pid_t pid;

	catch_signal(_metadata, SA_RESTART);
	while (call_next(_metadata, self, variant->last)) {
		pid = call_in_child(_metadata, call);
		send_signal(_metadata, pid);
		ASSERT_TRUE(wait_asleep(pid));
		call_satisfy(_metadata, call);
		ASSERT_EQ(0, my_wait(pid));

		call_prepare(_metadata, call, call->op);
		set_timeout(_metadata, call->fd, ops[call->op].timeout,
			    10 * WAIT_MS);
		pid = call_in_child(_metadata, call);
		send_signal(_metadata, pid);
		ASSERT_EQ(EINTR, my_wait(pid));
	}
}

/* Sleepers must not be lost when several wait for the same thing. */
TEST_F(block, woken_by_shutdown)
{
	struct call *call = &self->call;
	pid_t pid[2];
	int i;

	while (call_next(_metadata, self, variant->last)) {
		for (i = 0; i < 2; i++) {
			call_again(_metadata, call);
			pid[i] = call_in_child(_metadata, call);
		}
		ASSERT_EQ(0, shutdown(call->op == CONNECT ? call->other :
				      call->fd, ops[call->op].shutdown));
		for (i = 0; i < 2; i++)
			ASSERT_EQ(ops[call->op].shutdown_err, my_wait(pid[i]));
	}
}

#define NO_CASE	-1

static const struct {
	enum op op;
	int how;	/* the other side's shutdown(), or close() when -1 */
	int err;	/* of connections */
	int dgram_err;
} endings[] = {
	{ RECV, SHUT_WR, 0, NO_CASE },
	{ RECV, -1, 0, NO_CASE },
	{ SEND, SHUT_RD, EPIPE, EPIPE },
	{ SEND, -1, EPIPE, ECONNREFUSED },
	{ CONNECT, -1, ECONNREFUSED, NO_CASE },
	{ SENDTO, SHUT_RD, NO_CASE, EPIPE },
	{ SENDTO, -1, NO_CASE, ECONNREFUSED },
};

TEST_F(block, ended_by_other_side)
{
	struct call *call = &self->call;
	int i, err;
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(endings); i++) {
		err = my_type == SOCK_DGRAM ? endings[i].dgram_err :
					      endings[i].err;
		if (err == NO_CASE)
			continue;
		call_prepare(_metadata, call, endings[i].op);
		pid = call_in_child(_metadata, call);
		ASSERT_EQ(0, endings[i].how < 0 ?
			  close(call->other) :
			  shutdown(call->other, endings[i].how));
		ASSERT_EQ(err, my_wait(pid));
	}
}

/* Who waits to send where it may no longer send, does not go on waiting. */
TEST(dgram_receiver_connects_elsewhere)
{
	static const enum op senders[] = { SEND, SENDTO };
	struct call call;
	pid_t pid;
	int fd, i;

	my_type = SOCK_DGRAM;
	for (i = 0; i < 2; i++) {
		call_prepare(_metadata, &call, senders[i]);
		fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
		pid = call_in_child(_metadata, &call);
		ASSERT_EQ(0, my_connect(call.other, my_channel(_metadata, fd)));
		my_drain(_metadata, call.other);
		EXPECT_EQ(EPERM, my_wait(pid));
	}
}

/* A STREAM send() larger than the room tells how much it queued. */

enum { BY_SIGNAL, BY_TIMEOUT, BY_CLOSE, BY_SHUTDOWN, BY_READER };

/* The child tells what send() returned, and exits with what the next says. */
static pid_t partial_child(struct __test_metadata *_metadata, const int fd[2],
			   int told)
{
	static const char buf[BIG];
	pid_t pid = my_fork(_metadata);
	ssize_t n;

	if (pid)
		return pid;
	close(fd[1]);
	n = send(fd[0], buf, BIG, MSG_NOSIGNAL);
	if (write(told, &n, sizeof(n)) != sizeof(n))
		_exit(KSFT_FAIL);
	_exit(try_send(fd[0]));
}

static void partial_end(struct __test_metadata *_metadata, int how, int fd,
			pid_t pid)
{
	size_t total = 0;

	if (how == BY_TIMEOUT)
		return;
	ASSERT_TRUE(wait_asleep(pid));
	if (how == BY_SIGNAL)
		send_signal(_metadata, pid);
	if (how == BY_CLOSE)
		ASSERT_EQ(0, close(fd));
	if (how == BY_SHUTDOWN)
		ASSERT_EQ(0, shutdown(fd, SHUT_RD));
	/* Not partial: a blocking send() goes on while there comes room. */
	while (how == BY_READER && total < BIG) {
		ASSERT_LT(0, poll_for(fd, POLLIN, WAIT_MS));
		total += my_drain(_metadata, fd);
	}
}

TEST(partial_send)
{
	int told[2], fd[2], how, err;
	ssize_t n;
	pid_t pid;

	catch_signal(_metadata, 0);
	ASSERT_EQ(0, pipe(told));
	for (how = BY_SIGNAL; how <= BY_READER; how++) {
		my_connection(_metadata, fd);
		if (how == BY_TIMEOUT)
			set_timeout(_metadata, fd[0], SO_SNDTIMEO, TIMEOUT_MS);
		pid = partial_child(_metadata, fd, told[1]);
		partial_end(_metadata, how, fd[1], pid);
		ASSERT_EQ((ssize_t)sizeof(n), read(told[0], &n, sizeof(n)));
		err = my_wait(pid);
		if (how == BY_READER) {
			EXPECT_EQ(BIG, n);
			/* There may be room for the next one already. */
			EXPECT_TRUE(!err || err == EAGAIN);
			continue;
		}
		EXPECT_LT(0, n);
		EXPECT_GT(BIG, n);
		EXPECT_EQ(how >= BY_CLOSE ? EPIPE : EAGAIN, err)
			TH_LOG("case %d", how);
		if (how != BY_CLOSE)
			EXPECT_EQ((size_t)n, my_drain(_metadata, fd[1]));
	}
}

/* A thread that waits to send does not wait on when it may no longer send. */
TEST(receiver_connects_elsewhere)
{
	static const enum op op[] = { SEND, SENDTO };
	struct call call;
	pid_t pid;
	int i, fd;

	my_type = SOCK_DGRAM;
	for (i = 0; i < ARRAY_SIZE(op); i++) {
		call_prepare(_metadata, &call, op[i]);
		fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
		pid = call_in_child(_metadata, &call);
		ASSERT_EQ(0, my_connect(call.other, my_channel(_metadata, fd)));
		EXPECT_EQ(EPERM, my_wait(pid));
	}
}

/* poll() waits for space at the peer that the socket has now. */
TEST(poll_follows_connect)
{
	__u32 full, next;
	int fd, other;
	pid_t pid;

	my_type = SOCK_DGRAM;
	other = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
	full = my_channel(_metadata, other);
	fd = my_client(_metadata, full);
	my_fill(_metadata, fd, 4096);
	EXPECT_EQ(0, poll_for(fd, POLLOUT, 0));

	other = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
	next = my_channel(_metadata, other);
	my_fill(_metadata, my_client(_metadata, next), 4096);
	ASSERT_EQ(0, my_connect(fd, next));
	pid = my_fork(_metadata);
	if (!pid)
		_exit(poll_for(fd, POLLOUT, WAIT_MS) != POLLOUT);
	ASSERT_TRUE(wait_asleep(pid));
	my_drain(_metadata, other);
	EXPECT_EQ(0, my_wait(pid));
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
