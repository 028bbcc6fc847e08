// SPDX-License-Identifier: GPL-2.0
/* Whom AF_MYPROTO wakes: a thread that waits for data is not woken by space,
 * nor one that waits for space by data. A message wakes one thread that can
 * take it, space one that can use it, and what one of them leaves goes to the
 * next. An edge comes after each send that was not taken whole.
 */
#include "fault.h"
#include "link.h"
#include "type.h"
#include "worker.h"

/* Small enough that a few messages fill it */
#define RCVBUF		4096
#define LEN		1000
#define SMALL		100

#define READERS		4
#define SENDERS		8
#define ROUNDS		100
#define FEW_ROUNDS	30
#define TIMEOUT_MS	40

FIXTURE_VARIANT_ADD(type, dgram) { SOCK_DGRAM };

/* Read one message, or all that a stream takes at a time. */
static ssize_t read_one(int fd)
{
	static char buf[1 << 16];

	return recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
}

/* Have the socket @fd[0] get what @event tells of. */
static void bring(struct __test_metadata *_metadata, const int *fd, int event)
{
	if (event == EPOLLIN)
		expect_send(_metadata, fd[1], "abc");
	else
		EXPECT_LT(0U, my_drain(_metadata, fd[1]));
}

/* Two for @event, the second one edge-triggered */
static void make_epolls(struct __test_metadata *_metadata, int fd, int event,
			int epoll[2])
{
	event |= EPOLLEXCLUSIVE;
	epoll[0] = make_epoll(_metadata, fd, event);
	epoll[1] = make_epoll(_metadata, fd, event | EPOLLET);
}

/* What @event tells of does not wake a thread in @call, which is first in line
 * but not in the way of others. Returns what the call does in the end.
 */
static long beside_sleeper(struct __test_metadata *_metadata,
			   long (*call)(struct worker *worker), int event)
{
	/* The thread goes on after this. */
	struct worker *sleeper = calloc(1, sizeof(*sleeper));
	int fd[2], epoll[2], i;
	long before;

	my_connection(_metadata, fd);
	set_rcvbuf(_metadata, fd[1], RCVBUF);
	my_fill(_metadata, fd[0], LEN);
	workers_start(_metadata, sleeper, 1, (struct worker) {
		.call = call, .fd = fd[0], .len = LEN,
	});
	worker_sleep(_metadata, sleeper);
	before = workers_switches(sleeper, 1);
	make_epolls(_metadata, fd[0], event, epoll);
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, next_event(epoll[0], 0));
		ASSERT_EQ(0, next_event(epoll[1], 0));
		bring(_metadata, fd, event);
		ASSERT_EQ(event, next_event(epoll[0], WAIT_MS));
		ASSERT_EQ(event, next_event(epoll[1], WAIT_MS));
		if (event == EPOLLIN)
			my_drain(_metadata, fd[0]);
		else
			my_fill(_metadata, fd[0], LEN);
		ASSERT_TRUE(workers_settle(sleeper, 1));
	}
	EXPECT_GT(ROUNDS / 5, workers_switches(sleeper, 1) - before);
	bring(_metadata, fd, EPOLLIN + EPOLLOUT - event);
	EXPECT_TRUE(worker_finish(sleeper));
	return sleeper->ret;
}

TEST_F(type, beside_sleeper)
{
	EXPECT_EQ(3, beside_sleeper(_metadata, call_recv, EPOLLOUT));
	EXPECT_EQ(LEN, beside_sleeper(_metadata, call_send, EPOLLIN));
}

/* Space for all wakes all who sleep in send(), and who polls: one read wakes
 * one sender, which has to wake the other.
 */
TEST_F(type, pollers_beside_senders)
{
	int fd[2], epoll[2], i, round, rcvbuf;
	struct worker sender[2];

	my_connection(_metadata, fd);
	set_rcvbuf(_metadata, fd[1], RCVBUF);
	rcvbuf = get_int_opt(_metadata, fd[1], SO_RCVBUF);
	make_epolls(_metadata, fd[0], EPOLLOUT, epoll);
	/* So little that poll() still says that there is space */
	workers_start(_metadata, sender, 2, (struct worker) {
		.call = call_send, .fd = fd[0], .len = SMALL,
	});
	for (round = 0; round < 20; round++) {
		/* Messages that need an skb take another way. */
		set_int_opt(_metadata, fd[1], SO_RXQ_OVFL, round % 2);
		my_fill(_metadata, fd[0], rcvbuf);
		workers_sleep(_metadata, sender, 2);
		/* There may be one of the time before it was full. */
		next_event(epoll[1], 0);
		EXPECT_EQ(0, next_event(epoll[0], 0));
		ASSERT_EQ(rcvbuf, read_one(fd[1]));
		ASSERT_TRUE(workers_finish(sender, 2));
		for (i = 0; i < 2; i++) {
			ASSERT_EQ(SMALL, sender[i].ret);
			ASSERT_EQ(EPOLLOUT, next_event(epoll[i], WAIT_MS));
		}
		my_drain(_metadata, fd[1]);
	}
}

/* The reader takes one message and no more, or none since a signal comes: the
 * pollers, who are behind it, hear of the others.
 */
TEST_F(type, pollers_beside_reader)
{
	int fd[2], epoll[2], i, in, round;
	struct worker reader;

	catch_usr1(_metadata);
	my_connection(_metadata, fd);
	workers_start(_metadata, &reader, 1, (struct worker) {
		.call = call_recv, .fd = fd[0], .len = 1,
	});
	for (round = 0; round < FEW_ROUNDS; round++) {
		worker_sleep(_metadata, &reader);
		make_epolls(_metadata, fd[0], EPOLLIN, epoll);
		expect_send(_metadata, fd[1], "a");
		if (round % 2)
			pthread_kill(reader.thread, SIGUSR1);
		else
			expect_send(_metadata, fd[1], "b");
		ASSERT_TRUE(worker_finish(&reader));
		in = poll_now(fd[0]) & POLLIN;
		for (i = 0; i < 2; i++) {
			ASSERT_EQ(in, next_event(epoll[i], in ? WAIT_MS : 0));
			close(epoll[i]);
		}
		my_drain(_metadata, fd[0]);
	}
}

TEST_F(type, one_reader_gets_it)
{
	struct worker worker[READERS];
	int fd[2], i, done = 0;
	long before;

	my_connection(_metadata, fd);
	workers_start(_metadata, worker, READERS, (struct worker) {
		.call = call_recv, .fd = fd[0], .len = LEN, .loop = true,
	});
	ASSERT_TRUE(workers_settle(worker, READERS));
	before = workers_switches(worker, READERS);
	for (i = 0; i < FEW_ROUNDS; i++) {
		expect_send(_metadata, fd[1], "abc");
		ASSERT_TRUE(wait_until(!(poll_now(fd[0]) & POLLIN)));
		ASSERT_TRUE(workers_settle(worker, READERS));
	}
	/* A stream wakes all its readers. */
	if (my_type != SOCK_STREAM)
		EXPECT_GT(2 * FEW_ROUNDS,
			  workers_switches(worker, READERS) - before);
	for (i = 0; i < READERS; i++)
		done += worker_done(&worker[i]);
	EXPECT_EQ(FEW_ROUNDS, done);
}

/* All but one leave by a signal just when the message comes. */
TEST_F(type, signal_passes_message_on)
{
	struct worker worker[READERS], *last = &worker[READERS - 1];
	int fd[2], round;

	catch_usr1(_metadata);
	my_connection(_metadata, fd);
	workers_start(_metadata, worker, READERS, (struct worker) {
		.call = call_recv, .fd = fd[0], .len = LEN,
	});
	for (round = 0; round < FEW_ROUNDS; round++) {
		workers_sleep(_metadata, worker, READERS);
		interrupt(worker, 0, round % READERS);
		spin(round);
		expect_send(_metadata, fd[1], "abc");
		interrupt(worker, round % READERS, READERS - 1);
		ASSERT_TRUE(workers_finish(worker, READERS - 1));
		ASSERT_TRUE(wait_until(!(poll_now(fd[0]) & POLLIN)));
		ASSERT_TRUE(workers_settle(last, 1));
		if (!worker_idle(last))
			expect_send(_metadata, fd[1], "abc");
		ASSERT_TRUE(worker_finish(last));
	}
}

/* Several threads in send() to one socket */

FIXTURE(senders)
{
	struct worker worker[SENDERS];
	size_t len;
	int receiver;
	int fd;		/* the socket of them all */
};

FIXTURE_VARIANT(senders)
{
	int type;
	bool own;	/* each has a socket of its own */
	bool skb;	/* each message needs an skb */
};

FIXTURE_VARIANT_ADD(senders, stream) { SOCK_STREAM, false };
FIXTURE_VARIANT_ADD(senders, seqpacket) { SOCK_SEQPACKET, false };
FIXTURE_VARIANT_ADD(senders, dgram) { SOCK_DGRAM, false };
FIXTURE_VARIANT_ADD(senders, dgram_own) { SOCK_DGRAM, true };
FIXTURE_VARIANT_ADD(senders, dgram_own_skb) { SOCK_DGRAM, true, true };

FIXTURE_SETUP(senders)
{
	int fd[2];

	my_type = variant->type;
	my_connection(_metadata, fd);
	self->fd = fd[0];
	self->receiver = fd[1];
	if (variant->own)
		ASSERT_EQ(0, my_dissolve(fd[1]));
	set_rcvbuf(_metadata, self->receiver, RCVBUF);
	if (variant->skb)
		set_int_opt(_metadata, self->receiver, SO_RXQ_OVFL, 1);
	/* All that a stream takes at a time */
	self->len = my_type != SOCK_STREAM ? LEN :
		    get_int_opt(_metadata, self->receiver, SO_RCVBUF);
	catch_usr1(_metadata);
}

FIXTURE_TEARDOWN(senders)
{
}

static void senders_start(struct __test_metadata *_metadata,
			  struct _test_data_senders *self, bool own, bool loop)
{
	__u32 channel = my_peer(_metadata, self->fd);
	int i;

	for (i = 0; i < SENDERS; i++)
		workers_start(_metadata, &self->worker[i], 1, (struct worker) {
			.call = call_send, .len = self->len, .loop = loop,
			.fd = own ? my_client(_metadata, channel) : self->fd,
		});
}

TEST_F(senders, read_wakes_few)
{
	long before;
	int i;

	my_fill(_metadata, self->fd, self->len);
	senders_start(_metadata, self, variant->own, true);
	ASSERT_TRUE(workers_settle(self->worker, SENDERS));
	before = workers_switches(self->worker, SENDERS);
	for (i = 0; i < FEW_ROUNDS; i++) {
		ASSERT_EQ((ssize_t)self->len, read_one(self->receiver));
		/* Not all sleep. */
		ASSERT_TRUE(wait_until(!(poll_now(self->fd) & POLLOUT)));
		ASSERT_TRUE(workers_settle(self->worker, SENDERS));
	}
	EXPECT_GE(3 * FEW_ROUNDS,
		  workers_switches(self->worker, SENDERS) - before);
}

/* All but the last leave just when there is space, by a signal or because their
 * time is over: then there is none that the last one could use.
 */
TEST_F(senders, space_is_passed_on)
{
	struct worker *worker = self->worker, *last = &worker[SENDERS - 1];
	int i, round, first, timeout;

	senders_start(_metadata, self, variant->own, false);
	for (round = 0; round < 2 * FEW_ROUNDS; round++) {
		timeout = round % 2 ? TIMEOUT_MS : 0;
		first = timeout ? SENDERS - 1 : round / 2 % SENDERS;
		my_fill(_metadata, self->fd, self->len);
		/* A call looks at it when it begins. */
		for (i = 0; i < SENDERS - 1; i++) {
			set_timeout(_metadata, worker[i].fd, SO_SNDTIMEO,
				    timeout);
			worker_tell(&worker[i]);
		}
		ASSERT_TRUE(workers_settle(worker, SENDERS - 1));
		set_timeout(_metadata, last->fd, SO_SNDTIMEO, 0);
		worker_sleep(_metadata, last);
		if (timeout)
			usleep((timeout - round / 3) * 1000);
		else
			interrupt(worker, 0, first);
		spin(round);
		ASSERT_LT(0, read_one(self->receiver));
		interrupt(worker, first, SENDERS - 1);
		ASSERT_TRUE(workers_finish(worker, SENDERS - 1));
		ASSERT_TRUE(wait_until(!(poll_now(self->fd) & POLLOUT)))
			TH_LOG("round %d: the last one sleeps", round);
		my_drain(_metadata, self->receiver);
		ASSERT_TRUE(worker_finish(last));
		ASSERT_EQ((ssize_t)last->len, last->ret);
		my_drain(_metadata, self->receiver);
	}
}

/* The reader of a stream asks for more than there is room for: it gets what
 * there is, or the sender sends more. They must not both sleep.
 */

/* With MSG_DONTWAIT it waits for an edge when it has to */
static long call_send_on(struct worker *worker)
{
	ssize_t n = call_send(worker);

	if (n < 0 && errno != EAGAIN)
		return n;
	return n == (ssize_t)worker->len ? n : worker_ready(worker, POLLOUT);
}

TEST(wanting)
{
	static const size_t len[] = { SMALL, LEN, 70000 };
	int fd[2], epoll, i, round, n, total;
	struct worker sender, peeker = {
		.call = call_recv, .len = 4 * RCVBUF,
		.flags = MSG_PEEK | MSG_WAITALL,
	};
	char buf[700];

	worker_start(_metadata, &peeker);
	for (i = 0; i < 6; i++) {
		my_connection(_metadata, fd);
		set_rcvbuf(_metadata, fd[1], RCVBUF);
		epoll = make_epoll(_metadata, fd[0], EPOLLOUT | EPOLLET);
		next_event(epoll, 0);
		workers_start(_metadata, &sender, 1, (struct worker) {
			.call = call_send_on, .fd = fd[0], .epoll = epoll,
			.len = len[i % 3], .flags = i < 3 ? 0 : MSG_DONTWAIT,
			.loop = true,
		});

		/* A peek at more than there may be, while somebody reads */
		peeker.fd = fd[1];
		for (round = 0; round < 200; round++) {
			worker_tell(&peeker);
			recv(fd[1], buf, sizeof(buf), MSG_DONTWAIT);
			ASSERT_TRUE(worker_finish(&peeker))
				TH_LOG("case %d: the peek goes on", i);
			ASSERT_LT(0, peeker.ret);
		}

		set_int_opt(_metadata, fd[1], SO_RCVLOWAT, 2 * RCVBUF / 10 * 9);
		epoll = make_epoll(_metadata, fd[1],
				   i < 3 ? EPOLLIN : EPOLLIN | EPOLLET);
		for (total = 0; total < 300 * LEN;) {
			ASSERT_EQ(EPOLLIN, next_event(epoll, WAIT_MS))
				TH_LOG("case %d: both sleep", i);
			/* Another edge comes only when all was read. */
			do {
				n = recv(fd[1], buf, sizeof(buf), MSG_DONTWAIT);
				total += n < 0 ? 0 : n;
			} while (n > 0 && i >= 3 && total < 300 * LEN);
		}

		/* The sender goes on until there is no reader. */
		ASSERT_EQ(0, shutdown(fd[1], SHUT_RD));
		ASSERT_EQ(0, pthread_join(sender.thread, NULL));
		EXPECT_EQ(EPIPE, sender.err);
	}
}

/* A send that ends early for lack of memory: an edge says when to go on, since
 * it may have been the last chance to ask for one.
 */

#define PIECE		65536

static const struct {
	int type;
	int queued;	/* what there is before, in one send() */
	int len;	/* what is sent then */
	bool skb;	/* each message needs an skb */
} shortages[] = {
	/* A large piece gets smaller pages instead, and the small one fails. */
	{ SOCK_STREAM, 0, PIECE + LEN },
	{ SOCK_STREAM, 2000, 2000 },
	/* More than half is taken, so that there has to be a read before. */
	{ SOCK_STREAM, 4 * PIECE, PIECE + LEN },
	{ SOCK_SEQPACKET, 2000, 2000 },
	{ SOCK_DGRAM, 2000, 2000 },
	{ SOCK_SEQPACKET, 2000, 2000, true },
	{ SOCK_DGRAM, 2000, 2000, true },
};

TEST_F(fault, edge_after_short_send)
{
	static const char buf[4 * PIECE];
	int fd[2], epoll, i, nth, cut, err;
	bool failed;
	ssize_t n;

	for (i = 0; i < ARRAY_SIZE(shortages); i++) {
		my_type = shortages[i].type;
		cut = 0;
		for (nth = 1, failed = true; failed; nth++) {
			my_connection(_metadata, fd);
			/* Enough for all that is sent, and half of it not */
			if (my_type == SOCK_STREAM)
				set_rcvbuf(_metadata, fd[1], 212992);
			if (shortages[i].skb)
				set_int_opt(_metadata, fd[1], SO_RXQ_OVFL, 1);
			epoll = make_epoll(_metadata, fd[0],
					   EPOLLOUT | EPOLLET);
			EXPECT_EQ(EPOLLOUT, next_event(epoll, 0));
			send(fd[0], buf, shortages[i].queued, MSG_DONTWAIT);
			EXPECT_EQ(0, next_event(epoll, 0));

			fault_arm(&self->fault, nth);
			n = send(fd[0], buf, shortages[i].len, MSG_DONTWAIT);
			err = err_of(n);
			failed = !fault_unused(&self->fault);
			if (n != shortages[i].len) {
				cut++;
				EXPECT_TRUE(failed);
				EXPECT_EQ(n < 0 ? ENOBUFS : 0, err);
				if (shortages[i].queued > PIECE)
					my_drain(_metadata, fd[1]);
				ASSERT_EQ(EPOLLOUT, next_event(epoll, WAIT_MS))
					TH_LOG("case %d", i);
			}
			close(fd[0]);
			close(fd[1]);
			close(epoll);
		}
		EXPECT_LT(0, cut)
			TH_LOG("case %d was never cut short", i);
	}
}

/* The same after one that a signal has ended. */
TEST(edge_after_interrupted_send)
{
	struct worker sender = { .call = call_send, .len = BIG };
	int fd[2], epoll;

	catch_usr1(_metadata);
	my_connection(_metadata, fd);
	epoll = make_epoll(_metadata, fd[0], EPOLLOUT | EPOLLET);
	EXPECT_EQ(EPOLLOUT, next_event(epoll, 0));
	sender.fd = fd[0];
	worker_start(_metadata, &sender);
	worker_sleep(_metadata, &sender);
	pthread_kill(sender.thread, SIGUSR1);
	ASSERT_TRUE(worker_finish(&sender));
	EXPECT_LT(0, sender.ret);
	EXPECT_EQ(0, next_event(epoll, 0));
	EXPECT_EQ(sender.ret, my_drain(_metadata, fd[1]));
	EXPECT_EQ(EPOLLOUT, next_event(epoll, WAIT_MS));
}

/* A message that is there is seen while somebody peeks at it. */
TEST_F(type, peek_and_poll)
{
	struct worker peeker = {
		.call = call_recv, .len = 1, .flags = MSG_PEEK,
	};
	int fd[2], round, missed = 0;

	my_connection(_metadata, fd);
	peeker.fd = fd[1];
	worker_start(_metadata, &peeker);
	for (round = 0; round < 1000; round++) {
		expect_send(_metadata, fd[0], "x");
		worker_tell(&peeker);
		while (!worker_idle(&peeker))
			missed += !(poll_now(fd[1]) & POLLIN);
		expect_recv(_metadata, fd[1], "x");
	}
	EXPECT_EQ(0, missed);
}

static long call_echo(struct worker *worker)
{
	char c;

	return recv(worker->fd, &c, 1, 0) == 1 ? send(worker->fd, &c, 1, 0) : 0;
}

static void run_on(struct __test_metadata *_metadata, pid_t tid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	ASSERT_EQ(0, sched_setaffinity(tid, sizeof(set), &set));
}

/* With SO_BUSY_POLL a reader does not sleep for each message. */
TEST_F(type, busy_poll)
{
	struct worker server = { .call = call_echo, .loop = true };
	int fd[2], cpu[2], i, n = 0;
	cpu_set_t set;
	long before;
	char c;

	ASSERT_EQ(0, sched_getaffinity(0, sizeof(set), &set));
	for (i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &set))
			cpu[n++] = i;
	if (n < 2)
		SKIP(return, "needs two CPUs");
	my_connection(_metadata, fd);
	for (i = 0; i < 2; i++)
		set_int_opt(_metadata, fd[i], SO_BUSY_POLL, 1000 * 1000);
	server.fd = fd[1];
	worker_start(_metadata, &server);
	run_on(_metadata, 0, cpu[0]);
	run_on(_metadata, server.tid, cpu[1]);
	/* It does sleep when another task needs the CPU. */
	for (n = 0; n < 20; n++) {
		before = workers_switches(&server, 1);
		for (i = 0; i < ROUNDS; i++) {
			expect_send(_metadata, fd[0], "x");
			ASSERT_EQ(1, recv(fd[0], &c, 1, 0));
		}
		if (workers_switches(&server, 1) - before < ROUNDS / 2)
			break;
	}
	EXPECT_GT(20, n);
}

/* A peek that appends data to an skb frees space. */
TEST(peek_makes_room)
{
	int fd[2], epoll, charged;
	char buf[1000] = "";

	my_type = SOCK_STREAM;
	my_connection(_metadata, fd);
	ASSERT_EQ(600, send(fd[0], buf, 600, 0));
	ASSERT_EQ(1, recv(fd[1], buf, 1, MSG_PEEK));
	charged = mem_charged(_metadata, fd[1]);
	set_int_opt(_metadata, fd[1], SO_RCVBUF, charged + 10);
	ASSERT_EQ(20, send(fd[0], buf, 20, 0));
	epoll = make_epoll(_metadata, fd[0], EPOLLOUT | EPOLLET);
	EXPECT_EQ(0, next_event(epoll, 0));
	ASSERT_EQ(620, recv(fd[1], buf, sizeof(buf), MSG_PEEK));
	EXPECT_EQ(EPOLLOUT, next_event(epoll, WAIT_MS));
}

TEST_HARNESS_MAIN
