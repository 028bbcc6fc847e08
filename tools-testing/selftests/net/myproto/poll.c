// SPDX-License-Identifier: GPL-2.0
/* What poll(), epoll and SIGIO say about AF_MYPROTO sockets: the events of each
 * state, that edges come once and are not lost, and that sleepers are woken.
 */
#include "link.h"
#include "type.h"
#include "worker.h"

FIXTURE_VARIANT_ADD(type, dgram) { SOCK_DGRAM };

#define IN_OUT		(POLLIN | POLLOUT)
#define HUP		(POLLHUP | POLLRDHUP | IN_OUT)

/* What an edge-triggered epoll tells, once */
static void expect_edge(struct __test_metadata *_metadata, int epoll,
			int events)
{
	EXPECT_EQ(events, next_event(epoll, 0));
	EXPECT_EQ(0, next_event(epoll, 0));
}

/* connect() turns OUT|HUP into OUT for who waits on the socket. */
TEST(listen_and_connect)
{
	int listener = my_bound_socket(_metadata, 5000), in, fd, out, i;

	EXPECT_EQ(POLLOUT | POLLHUP, poll_now(listener));
	ASSERT_EQ(0, listen(listener, 5));
	in = make_epoll(_metadata, listener, EPOLLIN | EPOLLET);
	EXPECT_EQ(0, next_event(in, 0));
	EXPECT_EQ(0, poll_now(listener));
	for (i = 0; i < 2; i++) {
		fd = my_socket(_metadata);
		out = make_epoll(_metadata, fd, EPOLLOUT | EPOLLET);
		expect_edge(_metadata, out, EPOLLOUT | EPOLLHUP);
		ASSERT_EQ(0, my_connect(fd, 5000));
		expect_edge(_metadata, out, EPOLLOUT);
		expect_edge(_metadata, in, EPOLLIN);
	}
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(POLLIN, poll_now(listener));
		my_accept(_metadata, listener);
	}
	EXPECT_EQ(0, poll_now(listener));
}

/* For messages see boundaries_and_order in message.c. */
TEST(queued)
{
	int all = POLLRDNORM | POLLRDBAND | POLLWRNORM | POLLPRI;
	int fd[2], edge, i;

	my_connection(_metadata, fd);
	edge = make_epoll(_metadata, fd[1], EPOLLIN | EPOLLET);
	EXPECT_EQ(0, next_event(edge, 0));
	EXPECT_EQ(POLLOUT, poll_now(fd[1]));
	EXPECT_EQ(POLLWRNORM, poll_for(fd[1], all, 0));
	for (i = 0; i < 2; i++) {
		/* What is queued already does not hide what comes. */
		expect_send(_metadata, fd[0], "abc");
		expect_edge(_metadata, edge, EPOLLIN);
		EXPECT_EQ(IN_OUT, poll_now(fd[1]));
		EXPECT_EQ(POLLOUT, poll_now(fd[0]));
		EXPECT_EQ(POLLRDNORM | POLLWRNORM, poll_for(fd[1], all, 0));
	}
	/* To read a part of it is no event. */
	EXPECT_EQ(0, try_recv(fd[1]));
	EXPECT_EQ(0, next_event(edge, 0));
	my_drain(_metadata, fd[1]);
	EXPECT_EQ(POLLOUT, poll_now(fd[1]));

	EXPECT_EQ(0, send(fd[0], NULL, 0, 0));
	EXPECT_EQ(POLLOUT, poll_now(fd[1]));
}

/* Waking sleepers: something happens once a thread sleeps. */

static const struct wake {
	/* What the other end, a client or the listener does */
	enum {
		STOP_READ = SHUT_RD, STOP_WRITE = SHUT_WR,
		SEND, DRAIN, CLOSE, CONNECT,
	} act;
	enum { EMPTY, SOME, FULL, LISTENER } queued;	/* for the other end */
	int wait_for;	/* what the sleeper asks for */
	int after;	/* all events that there are then */
	int dgram;	/* the same of DGRAM, 0 if that does not hear of it */
} wakes[] = {
	{ SEND, EMPTY, POLLIN, IN_OUT, IN_OUT },
	{ DRAIN, FULL, POLLOUT, POLLOUT, POLLOUT },
	/* A send() would return EPIPE or ECONNREFUSED, hence not block. */
	{ STOP_READ, FULL, POLLOUT, POLLOUT, POLLOUT },
	{ CLOSE, FULL, POLLOUT, HUP | POLLERR, POLLOUT },
	{ STOP_WRITE, EMPTY, POLLRDHUP, POLLRDHUP | IN_OUT },
	/* POLLHUP need not be asked for. */
	{ CLOSE, EMPTY, 0, HUP },
	{ CLOSE, SOME, 0, HUP | POLLERR },
	{ CONNECT, LISTENER, POLLIN, POLLIN },
	{ STOP_READ, LISTENER, POLLIN, POLLRDHUP | POLLIN },
};

static long call_poll(struct worker *worker)
{
	return poll_for(worker->fd, worker->flags, WAIT_MS);
}

static void wake_up(struct __test_metadata *_metadata, struct worker *worker,
		    const struct wake *wake)
{
	int after = my_type == SOCK_DGRAM ? wake->dgram : wake->after;
	__u32 channel = 0;
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
		TH_LOG("case %zd: not woken", wake - wakes);
	EXPECT_EQ(after & (wake->wait_for | POLLHUP | POLLERR), worker->ret)
		TH_LOG("case %zd", wake - wakes);
	EXPECT_EQ(after, poll_now(fd[0]));
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

static struct {
	int sender[SENDERS];
	int epoll[SENDERS];	/* one for each of them */
	int receiver;
	int n;
} flow;

static void flow_open(struct __test_metadata *_metadata)
{
	int pair[2];

	my_connection(_metadata, pair);
	flow.receiver = pair[1];
	flow.sender[0] = pair[0];
	flow.n = 1;
	if (my_type != SOCK_DGRAM)
		return;
	ASSERT_EQ(0, my_dissolve(flow.receiver));
	while (flow.n < SENDERS)
		flow.sender[flow.n++] =
			my_client(_metadata, my_peer(_metadata, pair[0]));
}

/* Fill the receiver, and let every sender see that it is full. */
static void flow_fill(struct __test_metadata *_metadata)
{
	int i;

	my_fill(_metadata, flow.sender[0], 4096);
	for (i = flow.n; i--;)
		ASSERT_EQ(EAGAIN, try_send(flow.sender[i]));
}

/* Have an epoll of each sender, which is writable. */
static void flow_watch(struct __test_metadata *_metadata)
{
	int i;

	for (i = 0; i < flow.n; i++)
		flow.epoll[i] = make_epoll(_metadata, flow.sender[i],
					   EPOLLOUT | EPOLLET);
}

/* One event for each sender, and not before its send() works. poll() before
 * that could use it up. Or epoll comes when no send() will fail any more.
 */
TEST_F(type, room)
{
	enum { DO_NOT_ASK, ASK, WATCH_LATE } how;
	int i, round, out;
	char buf[1024];

	flow_open(_metadata);
	for (how = DO_NOT_ASK; how <= WATCH_LATE; how++) {
		my_drain(_metadata, flow.receiver);
		flow_watch(_metadata);
		for (i = 0; i < flow.n; i++)
			expect_edge(_metadata, flow.epoll[i], EPOLLOUT);
		for (round = 0; round < 4; round++) {
			flow_fill(_metadata);
			if (how == WATCH_LATE)
				flow_watch(_metadata);
			do {
				out = next_event(flow.epoll[0], 0);
				for (i = 0; how == ASK && i < flow.n; i++)
					EXPECT_EQ(out,
						  poll_now(flow.sender[i]));
			} while (!out && recv(flow.receiver, buf, sizeof(buf),
					      MSG_DONTWAIT) > 0);
			for (i = 0; i < flow.n; i++) {
				if (i)
					out = next_event(flow.epoll[i], 0);
				EXPECT_EQ(EPOLLOUT, out);
				EXPECT_EQ(0, next_event(flow.epoll[i], 0));
				EXPECT_EQ(0, try_send(flow.sender[i]));
			}
		}
	}
}

/* POLLOUT at every fill level. Messages: if and only if one can be sent.
 * STREAM: while half of the buffer is free, but a send() works with less.
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

TEST_F(type, writable)
{
	/* SO_RCVBUF, 1 for the smallest there is, and how much to send */
	static const int rows[][2] = {
		{ 200000, 1000 }, { 200000, 60000 }, { 1, 64 },
	};
	static char buf[60000];
	int fd[2], i, space;
	ssize_t n;
	bool out;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		my_connection(_metadata, fd);
		set_rcvbuf(_metadata, fd[1], rows[i][0]);
		do {
			out = writable(_metadata, fd, &space);
			n = send(fd[0], buf, rows[i][1], MSG_DONTWAIT);
			if (out || my_type != SOCK_STREAM)
				ASSERT_EQ(out, n > 0);
		} while (n > 0);
		ASSERT_EQ(EAGAIN, errno);

		do {
			ASSERT_LT(0, recv(fd[1], buf, 500, MSG_DONTWAIT));
			out = writable(_metadata, fd, &space);
			ASSERT_EQ(space > 0 ? 0 : EAGAIN, try_send(fd[0]));
		} while (!out);
	}
}

/* SIGIO, as a real-time signal for each sender */
TEST_F(type, sigio)
{
	const struct timespec none = {}, some = { .tv_sec = WAIT_MS / 1000 };
	siginfo_t info;
	sigset_t set;
	int i, round;

	flow_open(_metadata);
	sigemptyset(&set);
	for (i = 0; i < flow.n; i++) {
		sigaddset(&set, SIGRTMIN + i);
		ASSERT_EQ(0, fcntl(flow.sender[i], F_SETOWN, getpid()));
		ASSERT_EQ(0, fcntl(flow.sender[i], F_SETSIG, SIGRTMIN + i));
		ASSERT_EQ(0, fcntl(flow.sender[i], F_SETFL, O_ASYNC));
	}
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &set, NULL));
	for (round = 0; round < 3; round++) {
		flow_fill(_metadata);
		EXPECT_EQ(-1, sigtimedwait(&set, &info, &none));
		my_drain(_metadata, flow.receiver);
		for (i = 0; i < flow.n; i++) {
			EXPECT_EQ(SIGRTMIN + i,
				  sigtimedwait(&set, &info, &some));
			EXPECT_EQ(POLLOUT, info.si_band & POLLOUT);
		}
	}
}

/* Threads that send or receive until they are ended, and never block but in
 * poll() or epoll_wait(), where they get stuck if one wakeup is lost
 */

#define THREADS		4	/* in each direction */

static size_t stress_each = SIZE_MAX;	/* how many bytes each one sends */

/* Account for @n bytes sent or received, and wait if there are none. */
static long moved(struct worker *worker, ssize_t n, int events)
{
	if (n < 0)
		return errno == EAGAIN ? worker_ready(worker, events) : n;
	worker->total += n;
	return n;
}

static long call_write(struct worker *worker)
{
	if (worker->total >= stress_each)
		return 0;
	return moved(worker, call_send(worker), POLLOUT);
}

static long call_read(struct worker *worker)
{
	return moved(worker, call_recv(worker), POLLIN);
}

/* With poll(), level and edge in turn */
static void movers_start(struct __test_metadata *_metadata,
			 struct worker *worker, long (*call)(struct worker *),
			 int fd)
{
	__u32 event = call == call_write ? EPOLLOUT : EPOLLIN;
	int i;

	for (i = 0; i < THREADS; i++)
		workers_start(_metadata, &worker[i], 1, (struct worker) {
			.call = call, .fd = fd, .len = 64,
			.flags = MSG_DONTWAIT, .loop = true,
			.epoll = !(i % 3) ? -1 :
				 make_epoll(_metadata, fd, i % 3 == 1 ?
					    event : event | EPOLLET),
		});
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
	size_t sent = 0;
	int i;

	flow_open(_metadata);
	/* Full and empty as often as can be */
	set_rcvbuf(_metadata, flow.receiver, 1);
	stress_each = 20000;
	movers_start(_metadata, reader, call_read, flow.receiver);
	for (i = 0; i < flow.n; i++)
		movers_start(_metadata, writer[i], call_write, flow.sender[i]);
	for (i = 0; i < flow.n; i++)
		sent += movers_join(_metadata, writer[i]);
	ASSERT_EQ(0, shutdown(flow.receiver, SHUT_RD));
	EXPECT_EQ(sent, movers_join(_metadata, reader));
}

/* The other side goes at any moment: who waits is told each time. For DGRAM,
 * only who sends hears of it.
 */
TEST_F(type, stress_ended)
{
	struct worker worker[THREADS];
	int fd[2], round, i;
	char buf[64];
	bool in;

	for (round = 0; round < 12; round++) {
		my_connection(_metadata, fd);
		set_rcvbuf(_metadata, fd[1], 1);
		in = round & 1 && my_type != SOCK_DGRAM;
		movers_start(_metadata, worker, in ? call_read : call_write,
			     fd[0]);
		usleep(round * 300);
		if (in)
			expect_send(_metadata, fd[1], "abc");
		/* Not until it is empty: the others go on sending. */
		for (i = 0; i < 100 && !in; i++)
			recv(fd[1], buf, sizeof(buf), MSG_DONTWAIT);
		EXPECT_EQ(0, round & 2 ?
			  shutdown(fd[1], in ? SHUT_WR : SHUT_RD) :
			  close(fd[1]));
		movers_join(_metadata, worker);
	}
}

/* Many threads wait in send(), one receives: each gets its turn, and no one is
 * through before all have begun.
 */

#define FAN_IN		8
#define FAN_IN_EACH	300

static long call_fan_in(struct worker *worker)
{
	int message[50] = { worker->total };

	if (send(worker->fd, message, sizeof(message), 0) < 0)
		return -1;
	return FAN_IN_EACH - ++worker->total;
}

TEST(fan_in)
{
	int fd[2], message[50], i, begun = 0, through = 0;
	struct worker worker[FAN_IN];

	my_type = SOCK_DGRAM;
	my_connection(_metadata, fd);
	set_rcvbuf(_metadata, fd[1], 1);
	workers_start(_metadata, worker, FAN_IN, (struct worker) {
		.call = call_fan_in, .fd = fd[0], .loop = true,
	});
	/* All of them wait when the receiver begins to read. */
	ASSERT_TRUE(workers_settle(worker, FAN_IN));
	set_timeout(_metadata, fd[1], SO_RCVTIMEO, WAIT_MS);
	while (through < FAN_IN) {
		ASSERT_EQ(sizeof(message),
			  recv(fd[1], message, sizeof(message), 0))
			TH_LOG("%d are through: %s", through, strerror(errno));
		begun += !message[0];
		through += message[0] == FAN_IN_EACH - 1;
		if (through)
			ASSERT_EQ(FAN_IN, begun);
	}
	for (i = 0; i < FAN_IN; i++) {
		ASSERT_EQ(0, pthread_join(worker[i].thread, NULL));
		EXPECT_EQ(0, worker[i].ret);
	}
	EXPECT_EQ(EAGAIN, try_recv(fd[1]));
}

TEST_HARNESS_MAIN
