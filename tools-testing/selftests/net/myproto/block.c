// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO calls that wait: recv(), send(), accept() and connect() of each
 * type that has them. Each sleeps until it can go on, and ends early for
 * O_NONBLOCK, a timeout, a signal, shutdown() and close().
 */
#include "link.h"
#include "worker.h"

/* Long enough to see that a call slept, short enough to test many */
#define TIMEOUT_MS	40

static enum op { RECV, SEND, ACCEPT, CONNECT } op;

/* The call is made on the first one. The second: its peer or its listener */
static struct link ends;
static int *fd = ends.fd;
static __u32 channel;

FIXTURE(block) {};

FIXTURE_VARIANT(block)
{
	int type;
	enum op op;
	enum made made;
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
FIXTURE_VARIANT_ADD(block, dgram_sendto) { SOCK_DGRAM, SEND, BY_ADDRESS };

/* The call would block from here on. */
static void prepare(struct __test_metadata *_metadata)
{
	fd[1] = -1;
	if (op == ACCEPT) {
		fd[0] = my_listener(_metadata, 1, &channel);
	} else if (op == CONNECT) {
		fd[1] = my_listener(_metadata, 0, &channel);
		my_client(_metadata, channel);
		fd[0] = my_socket(_metadata);
	} else {
		link_make(_metadata, &ends, my_type, ends.made);
	}
	if (op == SEND)
		link_fill(_metadata, &ends, 0, 4096);
}

FIXTURE_SETUP(block)
{
	my_type = variant->type;
	op = variant->op;
	ends.made = variant->made;
}

FIXTURE_TEARDOWN(block)
{
}

/* Another caller: a connect() needs a socket of its own. */
static void another(struct __test_metadata *_metadata)
{
	if (op == CONNECT)
		fd[0] = my_socket(_metadata);
}

/* Make the call that would block; returns its errno. */
static int call(void)
{
	char c;

	switch (op) {
	case RECV:
		return err_of(recv(fd[0], &c, 1, 0));
	case SEND:
		return err_of(link_send(&ends, 0, "x", 1, 0));
	case ACCEPT:
		return err_of(accept(fd[0], NULL, NULL));
	default:
		return err_of(my_connect(fd[0], channel));
	}
}

/* The call in a child, where it sleeps: the exit code is its errno. */
static pid_t call_in_child(struct __test_metadata *_metadata)
{
	/* The parent's descriptor of the other side is the only one. */
	return sleeping_child((close(fd[1]), call()));
}

/* Do what the call waits for. */
static void satisfy(struct __test_metadata *_metadata)
{
	if (op == RECV)
		link_expect_send(_metadata, &ends, 1, "x");
	else if (op == SEND)
		link_drain(_metadata, &ends, 1);
	else if (op == ACCEPT)
		my_client(_metadata, channel);
	else
		my_accept(_metadata, fd[1]);
}

/* Limit how long the call may wait. */
static void limit(struct __test_metadata *_metadata, int ms)
{
	set_timeout(_metadata, fd[0], op == RECV || op == ACCEPT ?
				      SO_RCVTIMEO : SO_SNDTIMEO, ms);
}

/* One waits until it can go on: each direction has a timeout of its own. That
 * must not hold up another, which may not wait, or not so long.
 */
TEST_F(block, waits)
{
	long start;
	pid_t pid;
	int i;

	for (i = 0; i < 2; i++) {
		prepare(_metadata);
		set_timeout(_metadata, fd[0], SO_RCVTIMEO, 1);
		set_timeout(_metadata, fd[0], SO_SNDTIMEO, 1);
		limit(_metadata, 10 * WAIT_MS);
		pid = call_in_child(_metadata);
		another(_metadata);
		if (i)
			limit(_metadata, TIMEOUT_MS);
		else
			set_nonblock(_metadata, fd[0]);
		start = now_ms();
		EXPECT_EQ(op == CONNECT ? EINPROGRESS : EAGAIN, call());
		EXPECT_LE(i * TIMEOUT_MS, now_ms() - start);
		EXPECT_GT(WAIT_MS, now_ms() - start);
		satisfy(_metadata);
		EXPECT_EQ(0, my_wait(pid));
		satisfy(_metadata);
		EXPECT_EQ(0, call());
	}
}

/* SIGUSR1 ends a call, SIGUSR2 restarts it. The socket can still be used. */
TEST_F(block, signals)
{
	pid_t first, pid;

	prepare(_metadata);
	catch_usr1(_metadata);
	/* This sets SA_RESTART. */
	signal(SIGUSR2, on_signal);
	first = call_in_child(_metadata);
	another(_metadata);
	pid = call_in_child(_metadata);
	ASSERT_EQ(0, kill(first, SIGUSR2));
	ASSERT_TRUE(wait_asleep(first));
	ASSERT_EQ(0, kill(pid, SIGUSR1));
	EXPECT_EQ(EINTR, my_wait(pid));
	/* It goes on to connect. */
	if (op == CONNECT)
		EXPECT_EQ(0, poll_now(fd[0]));
	pid = call_in_child(_metadata);
	EXPECT_EQ(-SIGKILL, my_kill(pid));

	/* With a timeout it does not restart, as it would wait anew. */
	limit(_metadata, 10 * WAIT_MS);
	pid = call_in_child(_metadata);
	ASSERT_EQ(0, kill(pid, SIGUSR2));
	EXPECT_EQ(EINTR, my_wait(pid));
	if (op == CONNECT)
		EXPECT_EQ(0, poll_now(fd[0]));
	satisfy(_metadata);
	EXPECT_EQ(0, my_wait(first));
	satisfy(_metadata);
	EXPECT_EQ(0, call());
}

enum { CLOSE = -1, CONNECT_ELSEWHERE = -2, NO_CASE = -3 };

static const struct {
	enum op op;
	int end;	/* whose shutdown() or other call ends the wait */
	int how;
	int err[2];	/* of connections, of DGRAM */
} endings[] = {
	{ RECV, 0, SHUT_RD, { 0, 0 } },
	{ RECV, 1, SHUT_WR, { 0, NO_CASE } },
	{ RECV, 1, CLOSE, { 0, NO_CASE } },
	{ SEND, 0, SHUT_WR, { EPIPE, EPIPE } },
	{ SEND, 1, SHUT_RD, { EPIPE, EPIPE } },
	{ SEND, 1, CLOSE, { EPIPE, ECONNREFUSED } },
	{ SEND, 1, CONNECT_ELSEWHERE, { NO_CASE, EPERM } },
	{ ACCEPT, 0, SHUT_RD, { EINVAL, NO_CASE } },
	/* For others see connecting.c. */
	{ CONNECT, 1, SHUT_RD, { ECONNREFUSED, NO_CASE } },
};

/* Sleepers must not be lost when several wait for the same thing. */
TEST_F(block, ended)
{
	int i, j, end, how, err;
	pid_t pid[2];

	for (i = 0; i < ARRAY_SIZE(endings); i++) {
		err = endings[i].err[my_type == SOCK_DGRAM];
		if (endings[i].op != op || err == NO_CASE)
			continue;
		prepare(_metadata);
		for (j = 0; j < 2; j++) {
			another(_metadata);
			pid[j] = call_in_child(_metadata);
		}
		how = endings[i].how;
		end = fd[endings[i].end];
		if (how == CONNECT_ELSEWHERE)
			type_bound(_metadata, my_type, &channel);
		ASSERT_EQ(0, how == CONNECT_ELSEWHERE ?
			     my_connect(end, channel) : how == CLOSE ?
			     close(end) : shutdown(end, how));
		for (j = 0; j < 2; j++)
			EXPECT_EQ(err, my_wait(pid[j]))
				TH_LOG("case %d", i);
	}
}

/* A STREAM send() larger than the room tells how much it queued. */
TEST(partial_send)
{
	struct worker sender = { .call = call_send, .len = BIG };
	int i;

	catch_usr1(_metadata);
	worker_start(_metadata, &sender);
	for (i = 0; i < 2; i++) {
		my_connection(_metadata, fd);
		sender.fd = fd[0];
		worker_sleep(_metadata, &sender);
		ASSERT_EQ(0, i ? shutdown(fd[1], SHUT_RD) :
				 pthread_kill(sender.thread, SIGUSR1));
		ASSERT_TRUE(worker_finish(&sender));
		EXPECT_LT(0, sender.ret);
		EXPECT_GT(BIG, sender.ret);
		EXPECT_EQ(i ? EPIPE : EAGAIN, try_send(fd[0]));
		EXPECT_EQ(sender.ret, my_drain(_metadata, fd[1]));
	}
}

/* poll() waits for space at the peer that the socket has now. */
TEST(poll_follows_connect)
{
	int peer, i;
	pid_t pid;

	my_type = SOCK_DGRAM;
	fd[0] = my_socket(_metadata);
	for (i = 0; i < 2; i++) {
		peer = type_bound(_metadata, SOCK_DGRAM, &channel);
		ASSERT_EQ(0, my_connect(fd[0], channel));
		my_fill(_metadata, fd[0], 4096);
		EXPECT_EQ(0, poll_for(fd[0], POLLOUT, 0));
	}
	pid = sleeping_child(poll_for(fd[0], POLLOUT, WAIT_MS) != POLLOUT);
	my_drain(_metadata, peer);
	EXPECT_EQ(0, my_wait(pid));
}

TEST_HARNESS_MAIN
