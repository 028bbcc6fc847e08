// SPDX-License-Identifier: GPL-2.0
/*
 * What poll(), epoll and SIGIO say about AF_MYPROTO sockets: which events each
 * state has, that writability tells the truth, that edges come once and are not
 * lost, and that sleepers are woken.
 */
#include <limits.h>

#include "link.h"
#include "pair.h"
#include "type.h"
#include "worker.h"

FIXTURE_VARIANT_ADD(pair, stream) { .type = SOCK_STREAM };
FIXTURE_VARIANT_ADD(pair, seqpacket) { .type = SOCK_SEQPACKET };
FIXTURE_VARIANT_ADD(type, dgram) { SOCK_DGRAM };

#define EOF_EVENTS	(POLLIN | POLLRDHUP | POLLOUT)
#define HUP_EVENTS	(EOF_EVENTS | POLLHUP)

/* What an edge-triggered epoll tells, once */
static void expect_edge(struct __test_metadata *_metadata, int epoll,
			int events)
{
	EXPECT_EQ(events, next_event(epoll, 0));
	EXPECT_EQ(0, next_event(epoll, 0));
}

/* Sockets with connections: the events of each state */

TEST_F(pair, listener)
{
	int fd = my_bound_socket(_metadata, 5000), level, edge, client, i;
	__u32 channel;

	EXPECT_EQ(POLLOUT | POLLHUP, poll_now(fd));
	level = make_epoll(_metadata, fd, EPOLLIN);
	ASSERT_EQ(0, listen(fd, 5));
	EXPECT_EQ(0, next_event(level, 0));
	edge = make_epoll(_metadata, fd, EPOLLIN | EPOLLET);
	EXPECT_EQ(0, next_event(edge, 0));
	EXPECT_EQ(0, poll_now(fd));
	for (i = 0; i < 3; i++) {
		my_client(_metadata, 5000);
		expect_edge(_metadata, edge, EPOLLIN);
		EXPECT_EQ(EPOLLIN, next_event(level, 0));
	}
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(POLLIN, poll_now(fd));
		my_accept(_metadata, fd);
	}
	EXPECT_EQ(0, poll_now(fd));

	/* accept() does not block: it returns EINVAL. */
	ASSERT_EQ(0, shutdown(fd, SHUT_RD));
	EXPECT_EQ(POLLIN | POLLRDHUP, poll_now(fd));

	fd = my_listener(_metadata, 1, &channel);
	client = my_client(_metadata, channel);
	EXPECT_EQ(POLLOUT, poll_now(client));
	close(fd);
	EXPECT_EQ(HUP_EVENTS | POLLERR, poll_now(client));
}

/* connect() turns OUT|HUP into OUT for who waits on the socket. */
TEST_F(pair, connect)
{
	int fd = my_socket(_metadata), level, edge;
	__u32 channel;

	EXPECT_EQ(POLLOUT | POLLHUP, poll_now(fd));
	level = make_epoll(_metadata, fd, EPOLLIN | EPOLLOUT);
	edge = make_epoll(_metadata, fd, EPOLLOUT | EPOLLET);
	EXPECT_EQ(EPOLLOUT | EPOLLHUP, next_event(level, 0));
	expect_edge(_metadata, edge, EPOLLOUT | EPOLLHUP);
	my_listener(_metadata, 1, &channel);
	ASSERT_EQ(0, my_connect(fd, channel));
	EXPECT_EQ(EPOLLOUT, next_event(level, 0));
	EXPECT_EQ(EPOLLOUT, next_event(edge, 0));
}

TEST_F(pair, queued)
{
	int all = POLLRDNORM | POLLRDBAND | POLLWRNORM | POLLPRI;
	int from = self->fd[0], to = self->fd[1], level, edge, i;

	level = make_epoll(_metadata, to, EPOLLIN);
	edge = make_epoll(_metadata, to, EPOLLIN | EPOLLET);
	EXPECT_EQ(0, next_event(level, 0));
	EXPECT_EQ(0, next_event(edge, 0));
	EXPECT_EQ(POLLOUT, poll_now(from));
	EXPECT_EQ(POLLOUT, poll_now(to));
	EXPECT_EQ(POLLWRNORM, poll_for(to, all, 0));
	for (i = 0; i < 5; i++) {
		/* What is queued already does not hide what comes. */
		expect_send(_metadata, from, "abc");
		expect_edge(_metadata, edge, EPOLLIN);
		/* To read a part of it is no event. */
		EXPECT_EQ(0, try_recv(to));
		EXPECT_EQ(0, next_event(edge, 0));
		expect_send(_metadata, from, "def");
		EXPECT_EQ(EPOLLIN, next_event(edge, 0));
		EXPECT_EQ(EPOLLIN, next_event(level, 0));
		EXPECT_EQ(EPOLLIN, next_event(level, 0));
		EXPECT_EQ(POLLIN | POLLOUT, poll_now(to));
		EXPECT_EQ(POLLOUT, poll_now(from));
		EXPECT_EQ(POLLRDNORM | POLLWRNORM, poll_for(to, all, 0));
	}
	my_drain(_metadata, to);
	EXPECT_EQ(0, next_event(level, 0));
	EXPECT_EQ(0, next_event(edge, 0));
	EXPECT_EQ(POLLOUT, poll_now(to));

	/* Nothing for a STREAM, but a message like another for SEQPACKET */
	EXPECT_EQ(0, send(from, NULL, 0, 0));
	EXPECT_EQ(POLLOUT | (my_type == SOCK_STREAM ? 0 : POLLIN),
		  poll_now(to));
}

TEST_F(pair, shutdown)
{
	int a = self->fd[0], b = self->fd[1], fd[2];
	int epoll = make_epoll(_metadata, b, EPOLLIN | EPOLLRDHUP | EPOLLET);

	ASSERT_EQ(0, shutdown(a, SHUT_WR));
	expect_edge(_metadata, epoll, EPOLLIN | EPOLLRDHUP);
	EXPECT_EQ(POLLOUT, poll_now(a));
	EXPECT_EQ(EOF_EVENTS, poll_now(b));
	expect_eof(_metadata, b);
	EXPECT_EQ(EOF_EVENTS, poll_now(b));
	ASSERT_EQ(0, shutdown(b, SHUT_WR));
	EXPECT_EQ(HUP_EVENTS, poll_now(a));
	EXPECT_EQ(HUP_EVENTS, poll_now(b));

	my_connection(_metadata, fd);
	ASSERT_EQ(0, shutdown(fd[0], SHUT_RD));
	EXPECT_EQ(EOF_EVENTS, poll_now(fd[0]));
	EXPECT_EQ(POLLOUT, poll_now(fd[1]));
	ASSERT_EQ(0, shutdown(fd[0], SHUT_RDWR));
	EXPECT_EQ(HUP_EVENTS, poll_now(fd[0]));
	EXPECT_EQ(HUP_EVENTS, poll_now(fd[1]));
}

TEST_F(pair, close)
{
	int to = self->fd[1], epoll, fd[2];

	expect_send(_metadata, self->fd[0], "last");
	epoll = make_epoll(_metadata, to, EPOLLIN | EPOLLRDHUP | EPOLLET);
	EXPECT_EQ(EPOLLIN, next_event(epoll, 0));
	close_end(&self->fd[0]);
	expect_edge(_metadata, epoll, EPOLLIN | EPOLLRDHUP | EPOLLHUP);
	EXPECT_EQ(HUP_EVENTS, poll_now(to));
	expect_recv(_metadata, to, "last");
	EXPECT_EQ(HUP_EVENTS, poll_now(to));
	expect_eof(_metadata, to);
	EXPECT_EQ(HUP_EVENTS, poll_now(to));

	/* What the closed end had not read is an error until it is told. */
	my_connection(_metadata, fd);
	expect_send(_metadata, fd[1], "unread");
	close(fd[0]);
	EXPECT_EQ(HUP_EVENTS | POLLERR, poll_now(fd[1]));
	EXPECT_EQ(ECONNRESET, try_recv(fd[1]));
	EXPECT_EQ(HUP_EVENTS, poll_now(fd[1]));
}

/* Waking sleepers: something happens once a thread sleeps. */

static const struct wake {
	const char *name;
	/* What the other end, a client or the listener does */
	enum {
		STOP_READ = SHUT_RD, STOP_WRITE = SHUT_WR,
		SEND, DRAIN, CLOSE, CONNECT,
	} act;
	enum { EMPTY, SOME, FULL, LISTENER } queued;	/* for the other end */
	int wait_for;		/* what the sleeper asks for */
	int expected;		/* what it gets, and maybe more */
	bool dgram;		/* DGRAM sockets hear of it too */
} wakes[] = {
	{ "data", SEND, EMPTY, POLLIN, POLLIN, true },
	{ "room", DRAIN, FULL, POLLOUT, POLLOUT, true },
	/* A send() would return EPIPE or ECONNREFUSED, hence not block. */
	{ "nobody reads", STOP_READ, FULL, POLLOUT, POLLOUT, true },
	{ "close when full", CLOSE, FULL, POLLOUT, POLLOUT, true },
	{ "end", STOP_WRITE, EMPTY, POLLRDHUP, POLLRDHUP, false },
	/* POLLHUP need not be asked for. */
	{ "close", CLOSE, EMPTY, 0, POLLHUP, false },
	{ "close with unread", CLOSE, SOME, 0, POLLERR, false },
	{ "connection", CONNECT, LISTENER, POLLIN, POLLIN, false },
	{ "listener shutdown", STOP_READ, LISTENER, POLLIN, POLLIN, false },
};

static long call_poll(struct worker *worker)
{
	return poll_for(worker->fd, worker->flags, WAIT_MS);
}

static void wake_up(struct __test_metadata *_metadata, struct worker *worker,
		    const struct wake *wake)
{
	__u32 channel;
	int fd[2];

	if (wake->queued == LISTENER)
		fd[0] = my_listener(_metadata, 1, &channel);
	else
		my_connection(_metadata, fd);
	if (wake->queued == SOME)
		expect_send(_metadata, fd[0], "unread");
	if (wake->queued == FULL)
		my_fill(_metadata, fd[0], 4096);
	worker->fd = fd[0];
	worker->flags = wake->wait_for;
	worker->epoll = make_epoll(_metadata, fd[0], worker->flags | EPOLLET);
	worker_sleep(_metadata, worker);

	if (wake->act == SEND)
		expect_send(_metadata, fd[1], "abc");
	if (wake->act == DRAIN)
		EXPECT_LT(0U, my_drain(_metadata, fd[1]));
	if (wake->act == CLOSE)
		close(fd[1]);
	if (wake->act == CONNECT)
		my_client(_metadata, channel);
	if (wake->act <= STOP_WRITE)
		EXPECT_EQ(0, shutdown(wake->queued == LISTENER ? fd[0] : fd[1],
				      wake->act));
	ASSERT_TRUE(worker_finish(worker))
		TH_LOG("not woken by %s", wake->name);
	EXPECT_EQ(wake->expected, worker->ret & wake->expected)
		TH_LOG("%s: %#lx", wake->name, worker->ret);
}

TEST_F(type, sleeper_wakes)
{
	struct worker by_poll = { .call = call_poll };
	struct worker by_edge = { .call = call_epoll };
	int i;

	worker_start(_metadata, &by_poll);
	worker_start(_metadata, &by_edge);
	for (i = 0; i < ARRAY_SIZE(wakes); i++) {
		if (my_type == SOCK_DGRAM && !wakes[i].dgram)
			continue;
		wake_up(_metadata, &by_poll, &wakes[i]);
		wake_up(_metadata, &by_edge, &wakes[i]);
	}
}

/* Room: a flow has one receiver, and several senders if that can be. */

#define SENDERS	3

struct flow {
	int sender[SENDERS];
	int epoll[SENDERS];	/* one for each of them */
	int receiver;
	int n;
};

static void flow_open(struct __test_metadata *_metadata, struct flow *flow)
{
	int pair[2];

	my_connection(_metadata, pair);
	flow->receiver = pair[1];
	flow->sender[0] = pair[0];
	flow->n = 1;
	if (my_type != SOCK_DGRAM)
		return;
	ASSERT_EQ(0, my_dissolve(flow->receiver));
	while (flow->n < SENDERS)
		flow->sender[flow->n++] =
			my_client(_metadata, my_peer(_metadata, pair[0]));
}

/* Fill the receiver, and let every sender see that it is full. */
static void flow_fill(struct __test_metadata *_metadata, struct flow *flow)
{
	int i;

	my_fill(_metadata, flow->sender[0], 4096);
	for (i = flow->n; i--;)
		ASSERT_EQ(EAGAIN, try_send(flow->sender[i]));
}

static void flow_watch(struct __test_metadata *_metadata, struct flow *flow,
		       __u32 flags)
{
	int i;

	for (i = 0; i < flow->n; i++)
		flow->epoll[i] = make_epoll(_metadata, flow->sender[i],
					    EPOLLOUT | flags);
}

/* What epoll says of each sender */
static void flow_expect(struct __test_metadata *_metadata, struct flow *flow,
			int events, int row)
{
	int i;

	for (i = 0; i < flow->n; i++)
		EXPECT_EQ(events, next_event(flow->epoll[i], 0))
			TH_LOG("case %d, sender %d", row, i);
}

static void flow_expect_poll(struct __test_metadata *_metadata,
			     struct flow *flow, int events)
{
	int i;

	for (i = 0; i < flow->n; i++)
		EXPECT_EQ(events, poll_now(flow->sender[i]));
}

static const struct {
	__u32 flags;
	bool ask;	/* poll() when full, which could use up the event */
	bool late;	/* it is added when no send() will fail any more */
} rooms[] = {
	{ 0, .ask = true },
	{ EPOLLET, .ask = false },
	{ EPOLLET, .ask = true },
	{ EPOLLET, .late = true },
};

TEST_F(type, room)
{
	int i, round, again;
	struct flow flow;

	flow_open(_metadata, &flow);
	for (i = 0; i < ARRAY_SIZE(rooms); i++) {
		again = rooms[i].flags ? 0 : EPOLLOUT;
		for (round = 0; round < 10; round++) {
			if (!round && !rooms[i].late) {
				flow_watch(_metadata, &flow, rooms[i].flags);
				flow_expect(_metadata, &flow, EPOLLOUT, i);
				flow_expect(_metadata, &flow, again, i);
			}
			flow_fill(_metadata, &flow);
			if (rooms[i].late)
				flow_watch(_metadata, &flow, rooms[i].flags);
			if (rooms[i].late || rooms[i].ask)
				flow_expect(_metadata, &flow, 0, i);
			if (rooms[i].ask)
				flow_expect_poll(_metadata, &flow, 0);
			my_drain(_metadata, flow.receiver);
			flow_expect(_metadata, &flow, EPOLLOUT, i);
			flow_expect(_metadata, &flow, again, i);
		}
	}
}

/*
 * While the receiver reads step by step: no event before a send() works, with
 * and without a poll() each time. Then all who sleep are woken.
 */
TEST_F(type, not_before_room)
{
	struct worker worker[SENDERS];
	int i, ask, events;
	struct flow flow;
	char buf[1024];

	flow_open(_metadata, &flow);
	for (ask = 0; ask < 2; ask++) {
		my_drain(_metadata, flow.receiver);
		flow_watch(_metadata, &flow, EPOLLET);
		flow_expect(_metadata, &flow, EPOLLOUT, ask);
		flow_fill(_metadata, &flow);
		do {
			ASSERT_LT(0, recv(flow.receiver, buf, sizeof(buf),
					  MSG_DONTWAIT));
			events = next_event(flow.epoll[0], 0);
			if (ask)
				flow_expect_poll(_metadata, &flow, events);
		} while (!events);
		EXPECT_EQ(EPOLLOUT, events);
		for (i = 0; i < flow.n; i++)
			EXPECT_EQ(0, try_send(flow.sender[i]));
	}

	flow_fill(_metadata, &flow);
	for (i = 0; i < flow.n; i++) {
		worker[i] = (struct worker) {
			.call = call_poll,
			.fd = flow.sender[i],
			.flags = POLLOUT,
		};
		worker_start(_metadata, &worker[i]);
		worker_sleep(_metadata, &worker[i]);
	}
	my_drain(_metadata, flow.receiver);
	ASSERT_TRUE(workers_finish(worker, flow.n));
	for (i = 0; i < flow.n; i++)
		EXPECT_EQ(POLLOUT, worker[i].ret);
}

/*
 * POLLOUT at every fill level. Messages: if and only if one can be sent.
 * STREAM: while half of the buffer is free. A send() queues something then, and
 * also when less is free.
 */
static bool writable(struct __test_metadata *_metadata, const int fd[2],
		     int *space)
{
	int rcvbuf = get_int_opt(_metadata, fd[1], SO_RCVBUF);
	bool out = poll_now(fd[0]) & POLLOUT;

	*space = rcvbuf - (int)mem_charged(_metadata, fd[1]);
	EXPECT_EQ(*space >= (my_type == SOCK_STREAM ? rcvbuf / 2 : 1), out)
		TH_LOG("%d of %d are free", *space, rcvbuf);
	return out;
}

static void fill_and_drain(struct __test_metadata *_metadata, int rcvbuf,
			   size_t chunk)
{
	static char buf[60000];
	bool out, took = false;
	int fd[2], space;
	ssize_t n;

	my_connection(_metadata, fd);
	if (rcvbuf)
		set_rcvbuf(_metadata, fd[1], rcvbuf);
	do {
		out = writable(_metadata, fd, &space);
		n = send(fd[0], buf, chunk, MSG_DONTWAIT);
		if (out || my_type != SOCK_STREAM)
			ASSERT_EQ(out, n > 0);
	} while (n > 0);
	ASSERT_EQ(EAGAIN, errno);

	/* A STREAM has no POLLOUT just because a send() would succeed. */
	do {
		ASSERT_LT(0, recv(fd[1], buf, 500, MSG_DONTWAIT));
		out = writable(_metadata, fd, &space);
		took |= !out && space > 0;
		ASSERT_EQ(space > 0 ? 0 : EAGAIN, try_send(fd[0]));
	} while (!out);
	/* With a large buffer there always is such a moment. */
	if (my_type == SOCK_STREAM && !rcvbuf)
		EXPECT_TRUE(took);
	my_drain(_metadata, fd[1]);
	EXPECT_EQ(POLLOUT, poll_now(fd[0]));
}

TEST_F(type, writable)
{
	fill_and_drain(_metadata, 0, 1000);
	fill_and_drain(_metadata, 0, 3000);
	fill_and_drain(_metadata, 0, 60000);
	/* The smallest buffer there is */
	fill_and_drain(_metadata, 1, 64);
	fill_and_drain(_metadata, 1, 100);
}

/* SIGIO, as a real-time signal that tells the events and queues */

static void make_async(struct __test_metadata *_metadata, int fd, int sig)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &set, NULL));
	ASSERT_EQ(0, fcntl(fd, F_SETOWN, getpid()));
	ASSERT_EQ(0, fcntl(fd, F_SETSIG, sig));
	ASSERT_EQ(0, fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK));
}

/* Whether there is a signal that tells @event within @seconds */
static bool async_event(int sig, int event, int seconds)
{
	struct timespec ts = { .tv_sec = seconds };
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	while (sigtimedwait(&set, &info, &ts) == sig)
		if (info.si_band & event)
			return true;
	return false;
}

TEST_F(type, sigio)
{
	int last = SIGRTMIN + SENDERS, i, round;
	struct flow flow;

	flow_open(_metadata, &flow);
	for (i = 0; i < flow.n; i++)
		make_async(_metadata, flow.sender[i], SIGRTMIN + i);
	make_async(_metadata, flow.receiver, last);
	for (round = 0; round < 3; round++) {
		EXPECT_FALSE(async_event(last, POLLIN, 0));
		expect_send(_metadata, flow.sender[0], "abc");
		EXPECT_TRUE(async_event(last, POLLIN, WAIT_MS / 1000));
	}

	/* Filling would give more signals than can queue. */
	ASSERT_EQ(0, fcntl(flow.receiver, F_SETFL, O_NONBLOCK));
	for (round = 0; round < 3; round++) {
		flow_fill(_metadata, &flow);
		EXPECT_FALSE(async_event(SIGRTMIN, POLLOUT, 0));
		my_drain(_metadata, flow.receiver);
		for (i = 0; i < flow.n; i++)
			EXPECT_TRUE(async_event(SIGRTMIN + i, POLLOUT,
						WAIT_MS / 1000))
				TH_LOG("round %d, sender %d", round, i);
	}
}

/*
 * Threads that send or receive until they are ended, and never block but in
 * poll() or epoll_wait(), where they get stuck if one wakeup is lost
 */

#define THREADS		4	/* in each direction */

static long stress_end = LONG_MAX;	/* when those that send stop */
static unsigned long sum[2];		/* of the bytes received and sent */

/* Account for @n bytes sent or received, and wait if there are none. */
static long moved(struct worker *worker, ssize_t n, int events)
{
	unsigned long bytes = 0;
	ssize_t i;

	if (n < 0)
		return errno == EAGAIN ? worker_ready(worker, events) : n;
	for (i = 0; i < n; i++)
		bytes += (unsigned char)worker->buf[i];
	__atomic_add_fetch(&sum[events == POLLOUT], bytes, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&worker->total, n, __ATOMIC_SEQ_CST);
	return n;
}

static long call_write(struct worker *worker)
{
	if (now_ms() >= __atomic_load_n(&stress_end, __ATOMIC_SEQ_CST))
		return 0;
	memset(worker->buf, worker->total / worker->len, worker->len);
	return moved(worker, send(worker->fd, worker->buf, worker->len,
				  MSG_DONTWAIT | MSG_NOSIGNAL), POLLOUT);
}

static long call_read(struct worker *worker)
{
	return moved(worker, recv(worker->fd, worker->buf, worker->len,
				  MSG_DONTWAIT), POLLIN);
}

/* With @flags, or else poll(), level and edge in turn */
static void movers_start(struct __test_metadata *_metadata,
			 struct worker *worker, long (*call)(struct worker *),
			 int fd, __u32 flags)
{
	__u32 event = call == call_write ? EPOLLOUT : EPOLLIN;
	int i;

	for (i = 0; i < THREADS; i++) {
		worker[i] = (struct worker) {
			.call = call,
			.fd = fd,
			.epoll = -1,
			.len = flags ? 1 : 64,
			.loop = true,
		};
		if (flags || i % 3)
			worker[i].epoll = make_epoll(_metadata, fd, event |
				(flags ?: i % 3 == 1 ? 0 : EPOLLET));
		worker_start(_metadata, &worker[i]);
	}
}

/* How many bytes they have moved when all have ended */
static size_t movers_join(struct __test_metadata *_metadata,
			  struct worker *worker)
{
	size_t total = 0;
	int i, err;

	for (i = 0; i < THREADS; i++) {
		ASSERT_EQ(0, pthread_join(worker[i].thread, NULL));
		err = worker[i].err;
		EXPECT_TRUE(!err || err == EPIPE || err == ECONNRESET ||
			    err == ECONNREFUSED)
			TH_LOG("thread %d: %s", i, strerror(err));
		total += worker[i].total;
		close(worker[i].epoll);
	}
	return total;
}

TEST_F(type, stress)
{
	struct worker reader[THREADS], writer[SENDERS][THREADS];
	struct flow flow;
	size_t sent = 0;
	int i;

	flow_open(_metadata, &flow);
	/* Full and empty as often as can be */
	set_rcvbuf(_metadata, flow.receiver, 1);
	movers_start(_metadata, reader, call_read, flow.receiver, 0);
	for (i = 0; i < flow.n; i++)
		movers_start(_metadata, writer[i], call_write, flow.sender[i],
			     0);
	__atomic_store_n(&stress_end, now_ms() + 300, __ATOMIC_SEQ_CST);
	for (i = 0; i < flow.n; i++)
		sent += movers_join(_metadata, writer[i]);
	/* A DGRAM receiver does not hear of senders that go. */
	ASSERT_EQ(0, my_type == SOCK_DGRAM ?
		     shutdown(flow.receiver, SHUT_RD) :
		     shutdown(flow.sender[0], SHUT_WR));
	EXPECT_LT(0U, sent);
	EXPECT_EQ(sent, movers_join(_metadata, reader));
	EXPECT_EQ(sum[1], sum[0]);
}

/*
 * The other side goes at any moment: who waits is told each time. For DGRAM,
 * only who sends hears of it.
 */
TEST_F(type, stress_ended)
{
	struct worker worker[THREADS];
	int fd[2], round;
	bool in;

	for (round = 0; round < 12; round++) {
		my_connection(_metadata, fd);
		set_rcvbuf(_metadata, fd[1], 1);
		in = round & 1 && my_type != SOCK_DGRAM;
		movers_start(_metadata, worker, in ? call_read : call_write,
			     fd[0], 0);
		usleep(round * 300);
		if (in)
			expect_send(_metadata, fd[1], "abc");
		else
			my_drain(_metadata, fd[1]);
		EXPECT_EQ(0, round & 2 ?
			  shutdown(fd[1], in ? SHUT_WR : SHUT_RD) :
			  close(fd[1]));
		movers_join(_metadata, worker);
	}
}

/* EPOLLEXCLUSIVE: several wait, and each event wakes at least one of them. */

/* How many bytes they have moved so far */
static int movers_total(const struct worker *worker)
{
	int total = 0, i;

	for (i = 0; i < THREADS; i++)
		total += __atomic_load_n(&worker[i].total, __ATOMIC_SEQ_CST);
	return total;
}

TEST_F(type, exclusive_in)
{
	struct worker worker[2][THREADS];
	int fd[2], edge, i;

	for (edge = 0; edge < 2; edge++) {
		my_connection(_metadata, fd);
		movers_start(_metadata, worker[edge], call_read, fd[1],
			     EPOLLEXCLUSIVE | (edge ? EPOLLET : 0));
		/* One by one: each has to wake somebody. */
		for (i = 1; i <= 10; i++) {
			ASSERT_TRUE(workers_settle(worker[edge], THREADS));
			expect_send(_metadata, fd[0], "x");
			ASSERT_TRUE(wait_until(movers_total(worker[edge]) ==
					       i));
		}
		/* All at once: none is left over. */
		for (i = 0; i < 100; i++)
			ASSERT_EQ(1, send(fd[0], "x", 1, 0));
		EXPECT_TRUE(wait_until(movers_total(worker[edge]) == 110));
		EXPECT_EQ(EAGAIN, try_recv(fd[1]));
	}
}

/*
 * Many DGRAM senders that wait in send(), one receiver: each gets its turn, and
 * no one is through before all have begun.
 */

#define FAN_IN		8
#define FAN_IN_EACH	300

static long call_fan_in(struct worker *worker)
{
	unsigned int message[50] = { worker->len, worker->total };

	if (send(worker->fd, message, sizeof(message), 0) < 0)
		return -1;
	return FAN_IN_EACH - ++worker->total;
}

TEST(fan_in)
{
	unsigned int message[50], seq[FAN_IN] = {}, total = 0, begun = 0;
	struct worker worker[FAN_IN];
	__u32 channel;
	int fd, i;

	my_type = SOCK_DGRAM;
	fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
	channel = my_channel(_metadata, fd);
	set_rcvbuf(_metadata, fd, 1);
	my_fill(_metadata, my_client(_metadata, channel), 100);
	for (i = 0; i < FAN_IN; i++) {
		worker[i] = (struct worker) {
			.call = call_fan_in,
			.fd = my_client(_metadata, channel),
			.len = i,
			.loop = true,
		};
		worker_start(_metadata, &worker[i]);
	}
	/* All of them wait when the receiver begins to read. */
	ASSERT_TRUE(workers_settle(worker, FAN_IN));
	set_timeout(_metadata, fd, SO_RCVTIMEO, WAIT_MS);
	while (total < FAN_IN * FAN_IN_EACH) {
		ssize_t n = recv(fd, message, sizeof(message), 0);

		ASSERT_LE(0, n)
			TH_LOG("after %u messages: %s", total, strerror(errno));
		if (n != sizeof(message))
			continue;
		ASSERT_GT(FAN_IN, message[0]);
		ASSERT_EQ(seq[message[0]]++, message[1]);
		total++;
		begun += !message[1];
		if (message[1] == FAN_IN_EACH - 1)
			ASSERT_EQ(FAN_IN, begun);
	}
	for (i = 0; i < FAN_IN; i++) {
		ASSERT_EQ(0, pthread_join(worker[i].thread, NULL));
		EXPECT_EQ(0, worker[i].ret);
	}
	EXPECT_EQ(EAGAIN, try_recv(fd));
}

TEST_HARNESS_MAIN
