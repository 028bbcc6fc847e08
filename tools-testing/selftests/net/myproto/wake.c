// SPDX-License-Identifier: GPL-2.0
/*
 * Whom AF_MYPROTO wakes: a thread that waits for data is not woken by space,
 * nor one that waits for space by data. A message wakes one thread that can
 * take it, space one that can use it, and what one of them leaves goes to the
 * next. An edge comes after each send that was not taken whole.
 */
#include "fault.h"
#include "link.h"
#include "pair.h"
#include "worker.h"

/* Small enough that a few messages fill it */
#define RCVBUF		4096
#define LEN		1000
#define SMALL		100

#define ROUNDS		100
#define FEW_ROUNDS	30

FIXTURE_VARIANT_ADD(pair, stream) { .type = SOCK_STREAM };
FIXTURE_VARIANT_ADD(pair, seqpacket) { .type = SOCK_SEQPACKET };
FIXTURE_VARIANT_ADD(pair, dgram) { .type = SOCK_DGRAM };

/*
 * Wait until senders may sleep: a stream waits until half is free, a message
 * until anything is.
 */
static bool becomes_full(struct __test_metadata *_metadata, int fd)
{
	int rcvbuf = get_int_opt(_metadata, fd, SO_RCVBUF);
	int full = my_type == SOCK_STREAM ? rcvbuf - rcvbuf / 2 + 1 : rcvbuf;

	return wait_until((int)mem_charged(_metadata, fd) >= full);
}

static bool becomes_empty(int fd)
{
	return wait_until(!(poll_now(fd) & POLLIN));
}

/* Threads and pollers of one socket */

/* Have the socket @fd[0] get what @event tells of, or take all of it away. */
static void bring(struct __test_metadata *_metadata, const int *fd, int event)
{
	if (event == EPOLLIN)
		expect_send(_metadata, fd[1], "abc");
	else
		EXPECT_LT(0U, my_drain(_metadata, fd[1]));
}

static void take_away(struct __test_metadata *_metadata, const int *fd,
		      int event)
{
	if (event == EPOLLOUT)
		my_fill(_metadata, fd[0], LEN);
	else
		my_drain(_metadata, fd[0]);
}

/* What @event tells of does not wake @sleeper, who is first in line but not in
 * the way of others.
 */
static void beside_sleeper(struct __test_metadata *_metadata, const int *fd,
			   int event, struct worker *sleeper)
{
	long before;
	int i, epoll;

	set_rcvbuf(_metadata, fd[1], RCVBUF);
	sleeper->fd = fd[0];
	sleeper->len = LEN;
	take_away(_metadata, fd, EPOLLIN + EPOLLOUT - event);
	worker_start(_metadata, sleeper);
	worker_sleep(_metadata, sleeper);
	take_away(_metadata, fd, event);
	before = workers_switches(sleeper, 1);
	for (i = 0; i < ROUNDS; i++) {
		bring(_metadata, fd, event);
		take_away(_metadata, fd, event);
		ASSERT_TRUE(workers_settle(sleeper, 1));
	}
	EXPECT_GT(ROUNDS / 5, workers_switches(sleeper, 1) - before);

	for (i = 0; i < 2; i++) {
		epoll = make_epoll(_metadata, fd[0], event | EPOLLEXCLUSIVE |
				   (i ? EPOLLET : 0));
		EXPECT_EQ(0, next_event(epoll, 0));
		bring(_metadata, fd, event);
		EXPECT_EQ(event, next_event(epoll, WAIT_MS));
		take_away(_metadata, fd, event);
		close(epoll);
	}
	bring(_metadata, fd, EPOLLIN + EPOLLOUT - event);
	EXPECT_TRUE(worker_finish(sleeper));
}

TEST_F(pair, space_beside_reader)
{
	struct worker reader = { .call = call_recv };

	beside_sleeper(_metadata, self->fd, EPOLLOUT, &reader);
	EXPECT_EQ(3, reader.ret);
}

TEST_F(pair, data_beside_sender)
{
	struct worker sender = { .call = call_send };

	beside_sleeper(_metadata, self->fd, EPOLLIN, &sender);
	EXPECT_EQ(LEN, sender.ret);
}

/* Space for all wakes all who sleep in send(), and at least one poller. */
static void pollers_beside_senders(struct __test_metadata *_metadata,
				   const int *fd, __u32 flags)
{
	static long (* const call[])(struct worker *worker) = {
		call_recv, call_send, call_send, call_epoll, call_epoll,
	};
	/* Some threads go on after this. */
	struct worker *all = calloc(5, sizeof(*all));
	struct worker *sender = &all[1], *poller = &all[3];
	int i, round;

	set_rcvbuf(_metadata, fd[1], 4 * RCVBUF);
	for (i = 0; i < 5; i++) {
		all[i].call = call[i];
		all[i].fd = fd[0];
		/* So little that poll() still says that there is space */
		all[i].len = SMALL;
		if (i >= 3)
			all[i].epoll = make_epoll(_metadata, fd[0], EPOLLOUT |
						  EPOLLEXCLUSIVE | flags);
		worker_start(_metadata, &all[i]);
	}
	/* They are all in line before the pollers. */
	worker_sleep(_metadata, &all[0]);
	for (round = 0; round < 20; round++) {
		my_fill(_metadata, fd[0], LEN);
		for (i = 0; i < 2; i++) {
			worker_sleep(_metadata, &sender[i]);
			/* An event of the time before it was full */
			if (flags)
				next_event(poller[i].epoll, 0);
			if (worker_idle(&poller[i]))
				worker_sleep(_metadata, &poller[i]);
		}
		my_drain(_metadata, fd[1]);
		for (i = 0; i < 2; i++) {
			ASSERT_TRUE(worker_finish(&sender[i]));
			ASSERT_EQ(SMALL, sender[i].ret);
		}
		ASSERT_TRUE(workers_settle(all, 5));
		ASSERT_TRUE(worker_idle(&poller[0]) || worker_idle(&poller[1]))
			TH_LOG("round %d: no event, %u charged", round,
			       mem_charged(_metadata, fd[1]));
		for (i = 0; i < 2; i++)
			if (worker_idle(&poller[i]))
				ASSERT_EQ(EPOLLOUT, poller[i].ret);
	}
}

TEST_F(pair, pollers_beside_senders)
{
	int fd[2];

	pollers_beside_senders(_metadata, self->fd, 0);
	my_connection(_metadata, fd);
	pollers_beside_senders(_metadata, fd, EPOLLET);
}

/* Waits for a message, then takes all there are */
static long call_poll_and_recv(struct worker *worker)
{
	long events = call_epoll(worker);

	while (recv(worker->fd, worker->buf, worker->len, MSG_DONTWAIT) > 0)
		;
	return events;
}

/*
 * The reader takes one message and no more, or none since a signal comes: the
 * poller gets the others.
 */
static void poller_beside_reader(struct __test_metadata *_metadata,
				 const int *fd, __u32 flags)
{
	struct worker *all = calloc(2, sizeof(*all));
	int round;

	catch_usr1(_metadata);
	workers_start(_metadata, &all[0], 1, (struct worker) {
		.call = call_recv, .fd = fd[0], .len = 1,
	});
	workers_start(_metadata, &all[1], 1, (struct worker) {
		.call = call_poll_and_recv,
		.fd = fd[0],
		.epoll = make_epoll(_metadata, fd[0],
				    EPOLLIN | EPOLLEXCLUSIVE | flags),
		.len = 1,
		.loop = true,
	});
	for (round = 0; round < FEW_ROUNDS; round++) {
		if (worker_idle(&all[0]))
			worker_sleep(_metadata, &all[0]);
		ASSERT_TRUE(workers_settle(all, 2));
		expect_send(_metadata, fd[1], "a");
		if (round % 2)
			pthread_kill(all[0].thread, SIGUSR1);
		else
			expect_send(_metadata, fd[1], "b");
		ASSERT_TRUE(becomes_empty(fd[0]))
			TH_LOG("round %d: nobody reads", round);
		if (round % 2)
			ASSERT_TRUE(worker_finish(&all[0]));
	}
}

TEST_F(pair, poller_beside_reader)
{
	int fd[2];

	poller_beside_reader(_metadata, self->fd, 0);
	my_connection(_metadata, fd);
	poller_beside_reader(_metadata, fd, EPOLLET);
}

/* Several threads in recv() of one socket */

#define READERS	4

TEST_F(pair, one_reader_gets_it)
{
	struct worker worker[READERS];
	int i, done = 0;
	long before;

	workers_start(_metadata, worker, READERS, (struct worker) {
		.call = call_recv, .fd = self->fd[0], .len = LEN, .loop = true,
	});
	ASSERT_TRUE(workers_settle(worker, READERS));
	before = workers_switches(worker, READERS);
	for (i = 0; i < FEW_ROUNDS; i++) {
		expect_send(_metadata, self->fd[1], "abc");
		ASSERT_TRUE(becomes_empty(self->fd[0]));
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
TEST_F(pair, signal_passes_message_on)
{
	struct worker worker[READERS], *last = &worker[READERS - 1];
	int round;

	catch_usr1(_metadata);
	workers_start(_metadata, worker, READERS, (struct worker) {
		.call = call_recv, .fd = self->fd[0], .len = LEN,
	});
	for (round = 0; round < FEW_ROUNDS; round++) {
		workers_sleep(_metadata, worker, READERS);
		interrupt(worker, 0, round % READERS);
		spin(round);
		expect_send(_metadata, self->fd[1], "abc");
		interrupt(worker, round % READERS, READERS - 1);
		ASSERT_TRUE(workers_finish(worker, READERS - 1));
		ASSERT_TRUE(becomes_empty(self->fd[0]))
			TH_LOG("round %d: nobody reads", round);

		ASSERT_TRUE(workers_settle(last, 1));
		if (!worker_idle(last))
			expect_send(_metadata, self->fd[1], "abc");
		ASSERT_TRUE(worker_finish(last));
	}
}

/* Several threads in send() to one socket */

#define SENDERS	8

FIXTURE(senders)
{
	struct worker worker[SENDERS];
	size_t len;
	__u32 channel;
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
	if (variant->own) {
		self->channel = my_channel(_metadata, fd[1]);
		ASSERT_EQ(0, my_dissolve(fd[1]));
	}
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
	close(self->receiver);
	close(self->fd);
}

static void senders_start(struct __test_metadata *_metadata,
			  struct _test_data_senders *self, bool loop)
{
	int i;

	for (i = 0; i < SENDERS; i++)
		workers_start(_metadata, &self->worker[i], 1, (struct worker) {
			.call = call_send,
			.len = self->len,
			.fd = self->channel ? my_client(_metadata,
							self->channel) :
					      self->fd,
			.loop = loop,
		});
}

/* Read one message, or all that a stream takes at a time. */
static ssize_t read_one(int fd)
{
	static char buf[1 << 16];

	return recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
}

TEST_F(senders, read_wakes_few)
{
	long before;
	int i;

	my_fill(_metadata, self->fd, self->len);
	senders_start(_metadata, self, true);
	ASSERT_TRUE(workers_settle(self->worker, SENDERS));
	before = workers_switches(self->worker, SENDERS);
	for (i = 0; i < FEW_ROUNDS; i++) {
		ASSERT_EQ((ssize_t)self->len, read_one(self->receiver));
		ASSERT_TRUE(becomes_full(_metadata, self->receiver))
			TH_LOG("all sleep after message %d", i);
		ASSERT_TRUE(workers_settle(self->worker, SENDERS));
	}
	EXPECT_GE(3 * FEW_ROUNDS,
		  workers_switches(self->worker, SENDERS) - before);
}

/* All but the last have left: there is no space that this one could use. */
static void expect_last(struct __test_metadata *_metadata,
			struct _test_data_senders *self, int round)
{
	struct worker *last = &self->worker[SENDERS - 1];

	ASSERT_TRUE(workers_finish(self->worker, SENDERS - 1));
	ASSERT_TRUE(becomes_full(_metadata, self->receiver))
		TH_LOG("round %d: the last one sleeps", round);
	my_drain(_metadata, self->receiver);
	ASSERT_TRUE(worker_finish(last));
	ASSERT_EQ((ssize_t)last->len, last->ret);
	my_drain(_metadata, self->receiver);
}

/* All but one leave by a signal just when there is space. */
TEST_F(senders, signal_passes_space_on)
{
	struct worker *worker = self->worker;
	int round, first;

	senders_start(_metadata, self, false);
	for (round = 0; round < FEW_ROUNDS; round++) {
		first = round % SENDERS;
		my_fill(_metadata, self->fd, self->len);
		workers_sleep(_metadata, worker, SENDERS);
		interrupt(worker, 0, first);
		spin(round);
		ASSERT_LT(0, read_one(self->receiver));
		interrupt(worker, first, SENDERS - 1);
		expect_last(_metadata, self, round);
	}
}

#define TIMEOUT_MS	40

/* The same with a time that is over just then */
TEST_F(senders, timeout_passes_space_on)
{
	struct worker *worker = self->worker;
	int i, round;

	senders_start(_metadata, self, false);
	for (round = 0; round < 20; round++) {
		my_fill(_metadata, self->fd, self->len);
		/* A call looks at it when it begins. */
		for (i = 0; i < SENDERS - 1; i++) {
			set_timeout(_metadata, worker[i].fd, SO_SNDTIMEO,
				    TIMEOUT_MS);
			worker_tell(&worker[i]);
		}
		ASSERT_TRUE(workers_settle(worker, SENDERS - 1));
		set_timeout(_metadata, worker[i].fd, SO_SNDTIMEO, 0);
		worker_sleep(_metadata, &worker[i]);
		usleep((TIMEOUT_MS - round) * 1000);
		ASSERT_LT(0, read_one(self->receiver));
		expect_last(_metadata, self, round);
	}
}

/* The same with processes, all but one of which are killed */
TEST_F(senders, kill_passes_space_on)
{
	static const char buf[1 << 16];
	pid_t pid[SENDERS];
	int i, round, code;

	for (round = 0; round < 10; round++) {
		my_fill(_metadata, self->fd, self->len);
		/* A socket of its own is closed when the process ends. */
		for (i = 0; i < SENDERS; i++)
			pid[i] = sleeping_child(err_of(send(self->channel ?
				my_client(_metadata, self->channel) : self->fd,
				buf, self->len, MSG_NOSIGNAL)));
		for (i = 0; i < SENDERS; i++) {
			if (i == round % SENDERS)
				ASSERT_LT(0, read_one(self->receiver));
			if (i < SENDERS - 1)
				kill(pid[i], SIGKILL);
		}
		for (i = 0; i < SENDERS - 1; i++) {
			code = my_wait(pid[i]);
			ASSERT_TRUE(!code || code == -SIGKILL);
		}
		ASSERT_TRUE(becomes_full(_metadata, self->receiver))
			TH_LOG("round %d: the last one sleeps", round);
		my_drain(_metadata, self->receiver);
		ASSERT_EQ(0, my_wait(pid[i]));
		my_drain(_metadata, self->receiver);
	}
}

/*
 * The reader of a stream asks for more than there is room for: it gets what
 * there is, or the sender sends more. They must not both sleep.
 */

static size_t wanting_total;	/* how much to send before the end */

/* With MSG_DONTWAIT it waits for an edge when it has to */
static long call_send_on(struct worker *worker)
{
	ssize_t n = call_send(worker);

	if (n < 0 && errno != EAGAIN)
		return n;
	if (n > 0)
		worker->total += n;
	if (worker->total >= wanting_total)
		return shutdown(worker->fd, SHUT_WR);
	return n == (ssize_t)worker->len ? n : worker_ready(worker, POLLOUT);
}

/* A new connection in @fd, to which the sender sends; returns SO_RCVBUF */
static int wanting_start(struct __test_metadata *_metadata,
			 struct worker *sender, int i, int fd[2])
{
	static const size_t len[] = { SMALL, LEN, 70000 };

	my_type = SOCK_STREAM;
	my_connection(_metadata, fd);
	set_rcvbuf(_metadata, fd[1], RCVBUF);
	*sender = (struct worker) {
		.call = call_send_on,
		.fd = fd[0],
		.epoll = make_epoll(_metadata, fd[0], EPOLLOUT | EPOLLET),
		.len = len[i % 3],
		.flags = i < 3 ? 0 : MSG_DONTWAIT,
		.loop = true,
	};
	next_event(sender->epoll, 0);
	worker_start(_metadata, sender);
	return get_int_opt(_metadata, fd[1], SO_RCVBUF);
}

TEST(wanting_rcvlowat)
{
	int fd[2], rcvbuf, epoll, i;
	struct worker sender;
	char buf[700];
	size_t total;
	ssize_t n;

	for (i = 0; i < 6; i++) {
		wanting_total = (i % 3 ? 500 : 200) * LEN;
		rcvbuf = wanting_start(_metadata, &sender, i, fd);
		set_int_opt(_metadata, fd[1], SO_RCVLOWAT, rcvbuf / 10 * 9);
		epoll = make_epoll(_metadata, fd[1],
				   i < 3 ? EPOLLIN : EPOLLIN | EPOLLET);
		total = 0;
		do {
			ASSERT_EQ(EPOLLIN, EPOLLIN & next_event(epoll, WAIT_MS))
				TH_LOG("case %d: both sleep after %zu bytes", i,
				       total);
			do {
				n = recv(fd[1], buf, sizeof(buf), MSG_DONTWAIT);
				if (n > 0)
					total += n;
				/* Another edge comes only when all was read. */
			} while (n > 0 && i >= 3);
		} while (n > 0 || (n < 0 && errno == EAGAIN));
		ASSERT_EQ(0, n);
		ASSERT_EQ(0, pthread_join(sender.thread, NULL));
		EXPECT_EQ(sender.total, total);
		EXPECT_LE(wanting_total, total);
	}
}

/* A peek at more than there may be, and somebody who reads meanwhile */
TEST(wanting_peek_waitall)
{
	struct worker sender, peeker = {
		.call = call_recv,
		.len = 1 << 16,
		.flags = MSG_PEEK | MSG_WAITALL,
	};
	int fd[2], i, round;
	char buf[700];

	worker_start(_metadata, &peeker);
	/* It does not end before the other end does. */
	wanting_total = SIZE_MAX;
	for (i = 0; i < 6; i++) {
		peeker.len = 2 * wanting_start(_metadata, &sender, i, fd);
		peeker.fd = fd[1];
		for (round = 0; round < 200; round++) {
			worker_tell(&peeker);
			recv(fd[1], buf, sizeof(buf), MSG_DONTWAIT);
			ASSERT_TRUE(worker_finish(&peeker))
				TH_LOG("case %d, round %d: the peek goes on", i,
				       round);
			ASSERT_LT(0, peeker.ret);
		}
		ASSERT_EQ(0, shutdown(fd[1], SHUT_RD));
		ASSERT_EQ(0, pthread_join(sender.thread, NULL));
		EXPECT_EQ(EPIPE, sender.err);
	}
}

/*
 * A send that ends early for lack of memory: an edge says when to go on, since
 * it may have been the last chance to ask for one.
 */

#define PIECE		65536
#define MAX_NTH		100

static const struct shortage {
	int type;
	size_t queued;	/* what there is before, in one send() */
	size_t len;	/* what is sent then */
	bool splice;
	bool drain;	/* the reader takes all */
} shortages[] = {
	/* A large piece gets smaller pages instead, and the small one fails. */
	{ SOCK_STREAM, 0, PIECE + LEN, .drain = false },
	{ SOCK_STREAM, 2000, 2000, .drain = false },
	{ SOCK_STREAM, 0, 4 * PIECE, .splice = true },
	/* More than half is taken, so that there has to be a read before. */
	{ SOCK_STREAM, 4 * PIECE, PIECE + LEN, .drain = true },
	{ SOCK_STREAM, 4 * PIECE, PIECE * 3 / 2, .splice = true,
	  .drain = true },
	{ SOCK_SEQPACKET, 2000, 2000, .drain = false },
	{ SOCK_SEQPACKET, 2000, 2000, .drain = true },
	{ SOCK_DGRAM, 2000, 2000, .drain = true },
};

/* Send with the @nth allocation failing; false if there are not so many. */
static bool shortage_try(struct __test_metadata *_metadata,
			 struct fault *fault, const struct shortage *shortage,
			 int nth, int *cut)
{
	static const char buf[4 * PIECE];
	ssize_t n, len = shortage->len;
	int fd[2], epoll, pipefd[2], err;
	bool failed;

	my_connection(_metadata, fd);
	/* Enough for all that is sent, and half of it not */
	if (my_type == SOCK_STREAM)
		set_rcvbuf(_metadata, fd[1], 212992);
	epoll = make_epoll(_metadata, fd[0], EPOLLOUT | EPOLLET);
	EXPECT_EQ(EPOLLOUT, next_event(epoll, 0));
	if (shortage->queued)
		ASSERT_LT(0, send(fd[0], buf, shortage->queued, MSG_DONTWAIT));
	ASSERT_EQ(0, pipe(pipefd));
	ASSERT_LE(len, fcntl(pipefd[1], F_SETPIPE_SZ, 2 * len));
	ASSERT_EQ(len, write(pipefd[1], buf, len));
	EXPECT_EQ(0, next_event(epoll, 0));

	fault_arm(fault, nth);
	n = shortage->splice ? splice(pipefd[0], NULL, fd[0], NULL, len,
				      SPLICE_F_NONBLOCK) :
			       send(fd[0], buf, len, MSG_DONTWAIT);
	err = err_of(n);
	failed = !fault_unused(fault);
	if (n != len) {
		++*cut;
		EXPECT_TRUE(failed);
		if (n < 0)
			EXPECT_EQ(ENOBUFS, err);
		if (shortage->drain)
			my_drain(_metadata, fd[1]);
		ASSERT_EQ(EPOLLOUT, next_event(epoll, WAIT_MS))
			TH_LOG("allocation %d: %zd sent", nth, n);
	}
	close(fd[0]);
	close(fd[1]);
	close(epoll);
	close(pipefd[0]);
	close(pipefd[1]);
	return failed;
}

TEST_F(fault, edge_after_short_send)
{
	int i, nth, cut;

	for (i = 0; i < ARRAY_SIZE(shortages); i++) {
		my_type = shortages[i].type;
		for (cut = 0, nth = 1; nth < MAX_NTH; nth++)
			if (!shortage_try(_metadata, &self->fault,
					  &shortages[i], nth, &cut))
				break;
		EXPECT_GT(MAX_NTH, nth)
			TH_LOG("case %d", i);
		EXPECT_LT(0, cut)
			TH_LOG("case %d was never cut short", i);
	}
}

/* A message that is there is seen while somebody peeks at it. */
TEST_F(pair, peek_and_poll)
{
	struct worker peeker = {
		.call = call_recv,
		.fd = self->fd[1],
		.len = 1,
		.flags = MSG_PEEK,
	};
	int round, missed = 0;

	worker_start(_metadata, &peeker);
	for (round = 0; round < 1000; round++) {
		expect_send(_metadata, self->fd[0], "x");
		worker_tell(&peeker);
		while (!worker_idle(&peeker))
			missed += !(poll_now(self->fd[1]) & POLLIN);
		expect_recv(_metadata, self->fd[1], "x");
	}
	EXPECT_EQ(0, missed);
}

/* What peeking moves elsewhere, and charges less there, makes room. */
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
