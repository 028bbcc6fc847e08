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
#define RCVBUF	4096
#define LEN	1000
#define SMALL	100

/*
 * Whether senders may sleep: a stream waits until half is free, a message
 * until anything is.
 */
static bool is_full(struct __test_metadata *_metadata, int fd)
{
	int rcvbuf = get_int_opt(_metadata, fd, SO_RCVBUF);
	int charged = mem_charged(_metadata, fd);

	return my_type == SOCK_STREAM ? charged > rcvbuf - rcvbuf / 2 :
					charged >= rcvbuf;
}

static bool becomes_full(struct __test_metadata *_metadata, int fd)
{
	long end = now_ms() + WAIT_MS;
	int i;

	for (i = 0; !is_full(_metadata, fd); i++)
		if (!look_again(i, end))
			return false;
	return true;
}

/* Threads and pollers of one socket */

FIXTURE_VARIANT_ADD(pair, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(pair, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(pair, dgram)
{
	.type = SOCK_DGRAM,
};

#define ROUNDS		100
#define FEW_ROUNDS	30

TEST_F(pair, reader_sleeps_through_space)
{
	struct worker reader = {
		.call = call_recv, .fd = self->fd[0], .len = LEN,
	};
	long before;
	int i;

	set_rcvbuf(_metadata, self->fd[1], RCVBUF);
	worker_start(_metadata, &reader);
	worker_sleep(_metadata, &reader);
	before = worker_switches(&reader);
	for (i = 0; i < ROUNDS; i++) {
		my_fill(_metadata, self->fd[0], LEN);
		EXPECT_LT(0, my_drain(_metadata, self->fd[1]));
		ASSERT_TRUE(workers_settle(&reader, 1));
	}
	EXPECT_GT(ROUNDS / 5, worker_switches(&reader) - before);

	expect_send(_metadata, self->fd[1], "abc");
	EXPECT_TRUE(worker_finish(&reader));
	EXPECT_EQ(3, reader.ret);
}

TEST_F(pair, sender_sleeps_through_data)
{
	struct worker sender = {
		.call = call_send, .fd = self->fd[0], .len = LEN,
	};
	long before;
	int i;

	set_rcvbuf(_metadata, self->fd[1], RCVBUF);
	my_fill(_metadata, self->fd[0], LEN);
	worker_start(_metadata, &sender);
	worker_sleep(_metadata, &sender);
	before = worker_switches(&sender);
	for (i = 0; i < ROUNDS; i++) {
		expect_send(_metadata, self->fd[1], "abc");
		expect_recv(_metadata, self->fd[0], "abc");
		ASSERT_TRUE(workers_settle(&sender, 1));
	}
	EXPECT_GT(ROUNDS / 5, worker_switches(&sender) - before);

	my_drain(_metadata, self->fd[1]);
	EXPECT_TRUE(worker_finish(&sender));
	EXPECT_EQ(LEN, sender.ret);
}

/* The thread was first in line, and has no use for space. */
TEST_F(pair, exclusive_out_beside_reader)
{
	const int flags[] = { 0, EPOLLET };
	struct worker reader = {
		.call = call_recv, .fd = self->fd[0], .len = LEN,
	};
	size_t i;
	int epoll;

	set_rcvbuf(_metadata, self->fd[1], RCVBUF);
	worker_start(_metadata, &reader);
	worker_sleep(_metadata, &reader);
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		epoll = make_epoll(_metadata, self->fd[0],
				   EPOLLOUT | EPOLLEXCLUSIVE | flags[i]);
		EXPECT_EQ(EPOLLOUT, next_event(epoll, 0));
		my_fill(_metadata, self->fd[0], LEN);
		EXPECT_EQ(0, next_event(epoll, 0));
		my_drain(_metadata, self->fd[1]);
		EXPECT_EQ(EPOLLOUT, next_event(epoll, WAIT_MS));
		close(epoll);
	}
}

TEST_F(pair, exclusive_in_beside_sender)
{
	const int flags[] = { 0, EPOLLET };
	struct worker sender = {
		.call = call_send, .fd = self->fd[0], .len = LEN,
	};
	size_t i;
	int epoll;

	set_rcvbuf(_metadata, self->fd[1], RCVBUF);
	my_fill(_metadata, self->fd[0], LEN);
	worker_start(_metadata, &sender);
	worker_sleep(_metadata, &sender);
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		epoll = make_epoll(_metadata, self->fd[0],
				   EPOLLIN | EPOLLEXCLUSIVE | flags[i]);
		EXPECT_EQ(0, next_event(epoll, 0));
		expect_send(_metadata, self->fd[1], "abc");
		EXPECT_EQ(EPOLLIN, next_event(epoll, WAIT_MS));
		expect_recv(_metadata, self->fd[0], "abc");
		close(epoll);
	}
}

/* Space for all wakes all who sleep in send(), and a poller at least. */
static void pollers_beside_senders(struct __test_metadata *_metadata,
				   const int *fd, __u32 flags)
{
	struct worker all[5] = {}, *reader = &all[0];
	struct worker *sender = &all[1], *poller = &all[3];
	int i, round;

	set_rcvbuf(_metadata, fd[1], 4 * RCVBUF);
	for (i = 0; i < 5; i++) {
		all[i].fd = fd[0];
		/* So little that poll() still says that there is space */
		all[i].len = SMALL;
		all[i].call = i < 1 ? call_recv : i < 3 ? call_send :
							  call_epoll;
		if (i >= 3)
			all[i].epoll = make_epoll(_metadata, fd[0], EPOLLOUT |
						  EPOLLEXCLUSIVE | flags);
		worker_start(_metadata, &all[i]);
	}
	/* They are all in line before the pollers. */
	worker_sleep(_metadata, reader);
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

TEST_F(pair, exclusive_out_beside_senders_level)
{
	pollers_beside_senders(_metadata, self->fd, 0);
}

TEST_F(pair, exclusive_out_beside_senders_edge)
{
	pollers_beside_senders(_metadata, self->fd, EPOLLET);
}

/* Waits for a message, then takes all there are */
static long call_poll_and_recv(struct worker *worker)
{
	long events = call_epoll(worker);

	while (recv(worker->fd, worker->buf, worker->len, MSG_DONTWAIT) > 0)
		;
	return events;
}

static bool becomes_empty(int fd)
{
	long end = now_ms() + WAIT_MS;
	int i;

	for (i = 0; poll_now(fd) & POLLIN; i++)
		if (!look_again(i, end))
			return false;
	return true;
}

/*
 * The reader takes one message and no more, or none since a signal comes: the
 * poller gets the others.
 */
static void poller_beside_reader(struct __test_metadata *_metadata,
				 const int *fd, __u32 flags)
{
	struct worker all[2] = {
		{ .call = call_recv, .fd = fd[0], .len = 1 },
		{ .call = call_poll_and_recv, .fd = fd[0], .len = 1 },
	};
	int round;

	catch_usr1(_metadata);
	all[1].epoll = make_epoll(_metadata, fd[0],
				  EPOLLIN | EPOLLEXCLUSIVE | flags);
	all[1].loop = true;
	worker_start(_metadata, &all[0]);
	worker_start(_metadata, &all[1]);
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

TEST_F(pair, exclusive_in_beside_reader_level)
{
	poller_beside_reader(_metadata, self->fd, 0);
}

TEST_F(pair, exclusive_in_beside_reader_edge)
{
	poller_beside_reader(_metadata, self->fd, EPOLLET);
}

/* Several threads in recv() of one socket */

#define READERS	4

FIXTURE(readers)
{
	struct worker worker[READERS];
	int fd[2];
};

FIXTURE_VARIANT(readers)
{
	int type;
};

FIXTURE_VARIANT_ADD(readers, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(readers, dgram)
{
	.type = SOCK_DGRAM,
};

FIXTURE_SETUP(readers)
{
	int i;

	my_type = variant->type;
	my_connection(_metadata, self->fd);
	catch_usr1(_metadata);
	for (i = 0; i < READERS; i++) {
		self->worker[i].call = call_recv;
		self->worker[i].fd = self->fd[0];
		self->worker[i].len = LEN;
	}
}

FIXTURE_TEARDOWN(readers)
{
	close(self->fd[0]);
	close(self->fd[1]);
}

TEST_F(readers, message_wakes_one)
{
	int i, done = 0;
	long before;

	for (i = 0; i < READERS; i++) {
		self->worker[i].loop = true;
		worker_start(_metadata, &self->worker[i]);
	}
	ASSERT_TRUE(workers_settle(self->worker, READERS));
	before = workers_switches(self->worker, READERS);
	for (i = 0; i < FEW_ROUNDS; i++) {
		expect_send(_metadata, self->fd[1], "abc");
		ASSERT_TRUE(becomes_empty(self->fd[0]));
		ASSERT_TRUE(workers_settle(self->worker, READERS));
	}
	EXPECT_GT(2 * FEW_ROUNDS,
		  workers_switches(self->worker, READERS) - before);
	for (i = 0; i < READERS; i++)
		done += worker_done(&self->worker[i]);
	EXPECT_EQ(FEW_ROUNDS, done);
}

/* All but one leave by a signal just when the message comes. */
TEST_F(readers, signal_passes_message_on)
{
	struct worker *last = &self->worker[READERS - 1];
	int i, round;

	for (i = 0; i < READERS; i++)
		worker_start(_metadata, &self->worker[i]);
	for (round = 0; round < FEW_ROUNDS; round++) {
		workers_sleep(_metadata, self->worker, READERS);
		interrupt(self->worker, 0, round % READERS);
		spin(round);
		expect_send(_metadata, self->fd[1], "abc");
		interrupt(self->worker, round % READERS, READERS - 1);
		for (i = 0; i < READERS - 1; i++)
			ASSERT_TRUE(worker_finish(&self->worker[i]));
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
	__u32 channel;
	int receiver;
	int fd;		/* the socket of them all */
};

FIXTURE_VARIANT(senders)
{
	int type;
	bool own;	/* each has a socket of its own */
};

FIXTURE_VARIANT_ADD(senders, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(senders, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(senders, dgram)
{
	.type = SOCK_DGRAM,
};

FIXTURE_VARIANT_ADD(senders, dgram_own)
{
	.type = SOCK_DGRAM,
	.own = true,
};

FIXTURE_SETUP(senders)
{
	size_t len = LEN;
	int fd[2], i;

	my_type = variant->type;
	if (variant->own) {
		self->receiver = my_bound_socket(_metadata,
						 MYPROTO_CHANNEL_ANY);
		self->channel = my_channel(_metadata, self->receiver);
		self->fd = my_client(_metadata, self->channel);
	} else {
		my_connection(_metadata, fd);
		self->fd = fd[0];
		self->receiver = fd[1];
	}
	set_rcvbuf(_metadata, self->receiver, RCVBUF);
	/* All that a stream takes at a time */
	if (my_type == SOCK_STREAM)
		len = get_int_opt(_metadata, self->receiver, SO_RCVBUF);

	for (i = 0; i < SENDERS; i++) {
		self->worker[i].call = call_send;
		self->worker[i].len = len;
		self->worker[i].fd = variant->own ?
			my_client(_metadata, self->channel) : self->fd;
	}
	catch_usr1(_metadata);
}

FIXTURE_TEARDOWN(senders)
{
	close(self->receiver);
	close(self->fd);
}

TEST_F(senders, read_wakes_few)
{
	size_t len = self->worker[0].len;
	char *buf = calloc(1, len);
	long before;
	int i;

	ASSERT_NE(NULL, buf);
	my_fill(_metadata, self->fd, len);
	for (i = 0; i < SENDERS; i++) {
		self->worker[i].loop = true;
		worker_start(_metadata, &self->worker[i]);
	}
	ASSERT_TRUE(workers_settle(self->worker, SENDERS));
	before = workers_switches(self->worker, SENDERS);
	for (i = 0; i < FEW_ROUNDS; i++) {
		ASSERT_EQ((ssize_t)len, recv(self->receiver, buf, len, 0));
		ASSERT_TRUE(becomes_full(_metadata, self->receiver))
			TH_LOG("all sleep after message %d", i);
		ASSERT_TRUE(workers_settle(self->worker, SENDERS));
	}
	EXPECT_GE(3 * FEW_ROUNDS,
		  workers_switches(self->worker, SENDERS) - before);
}

/* Read one message, or all that a stream takes at a time. */
static void read_one(struct __test_metadata *_metadata, int fd)
{
	static char buf[1 << 16];

	ASSERT_LT(0, recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
}

/* All but the last have left: there is no space that this one could use. */
static void senders_check(struct __test_metadata *_metadata,
			  struct worker *worker, int receiver, int round)
{
	int i;

	for (i = 0; i < SENDERS - 1; i++)
		ASSERT_TRUE(worker_finish(&worker[i]));
	ASSERT_TRUE(becomes_full(_metadata, receiver))
		TH_LOG("round %d: the last one sleeps", round);

	my_drain(_metadata, receiver);
	ASSERT_TRUE(worker_finish(&worker[SENDERS - 1]));
	ASSERT_EQ((ssize_t)worker->len, worker[SENDERS - 1].ret);
	my_drain(_metadata, receiver);
}

/* All but one leave by a signal just when there is space. */
TEST_F(senders, signal_passes_space_on)
{
	int i, round;

	for (i = 0; i < SENDERS; i++)
		worker_start(_metadata, &self->worker[i]);
	for (round = 0; round < FEW_ROUNDS; round++) {
		my_fill(_metadata, self->fd, self->worker[0].len);
		workers_sleep(_metadata, self->worker, SENDERS);
		interrupt(self->worker, 0, round % SENDERS);
		spin(round);
		read_one(_metadata, self->receiver);
		interrupt(self->worker, round % SENDERS, SENDERS - 1);
		senders_check(_metadata, self->worker, self->receiver, round);
	}
}

#define TIMEOUT_MS	40

/* The same with a time that is over just then */
TEST_F(senders, timeout_passes_space_on)
{
	int i, round;

	for (i = 0; i < SENDERS; i++)
		worker_start(_metadata, &self->worker[i]);
	for (round = 0; round < 20; round++) {
		my_fill(_metadata, self->fd, self->worker[0].len);
		/* A call looks at it when it begins. */
		for (i = 0; i < SENDERS - 1; i++) {
			set_timeout(_metadata, self->worker[i].fd, SO_SNDTIMEO,
				    TIMEOUT_MS);
			worker_tell(&self->worker[i]);
		}
		ASSERT_TRUE(workers_settle(self->worker, SENDERS - 1));
		set_timeout(_metadata, self->worker[i].fd, SO_SNDTIMEO, 0);
		worker_sleep(_metadata, &self->worker[i]);
		usleep((TIMEOUT_MS - round) * 1000);
		read_one(_metadata, self->receiver);
		senders_check(_metadata, self->worker, self->receiver, round);
	}
}

static pid_t sender_child(struct __test_metadata *_metadata, int fd,
			  __u32 channel, size_t len)
{
	char *buf = calloc(1, len);
	pid_t pid;

	ASSERT_NE(NULL, buf);
	pid = my_fork(_metadata);
	if (pid) {
		free(buf);
		return pid;
	}
	/* A socket that is closed when its process ends */
	if (channel) {
		fd = socket(AF_MYPROTO, my_type, 0);
		if (my_connect(fd, channel))
			_exit(errno);
	}
	_exit(err_of(send(fd, buf, len, MSG_NOSIGNAL)));
}

/* The same with processes, all but one of which are killed */
TEST_F(senders, kill_passes_space_on)
{
	size_t len = self->worker[0].len;
	pid_t pid[SENDERS];
	int i, round, code;

	for (round = 0; round < 10; round++) {
		my_fill(_metadata, self->fd, len);
		for (i = 0; i < SENDERS; i++) {
			pid[i] = sender_child(_metadata, self->fd,
					      self->channel, len);
			ASSERT_TRUE(wait_asleep(pid[i]));
		}
		for (i = 0; i < SENDERS - 1; i++) {
			if (i == round % SENDERS)
				read_one(_metadata, self->receiver);
			kill(pid[i], SIGKILL);
		}
		if (round % SENDERS >= SENDERS - 1)
			read_one(_metadata, self->receiver);
		for (i = 0; i < SENDERS - 1; i++) {
			code = my_wait(pid[i]);
			ASSERT_TRUE(!code || code == -SIGKILL);
		}
		ASSERT_TRUE(becomes_full(_metadata, self->receiver))
			TH_LOG("round %d: the last one sleeps", round);
		my_drain(_metadata, self->receiver);
		ASSERT_EQ(0, my_wait(pid[SENDERS - 1]));
		my_drain(_metadata, self->receiver);
	}
}

/*
 * A stream whose reader wants more than there may be: either this is enough, or
 * the sender goes on.
 */

FIXTURE(wanting)
{
	struct worker sender;
	int fd[2];
	int rcvbuf;
};

FIXTURE_VARIANT(wanting)
{
	size_t len;	/* of each send() */
	bool edge;
};

FIXTURE_VARIANT_ADD(wanting, level)
{
	.len = LEN,
};

FIXTURE_VARIANT_ADD(wanting, level_small)
{
	.len = SMALL,
};

FIXTURE_VARIANT_ADD(wanting, level_large)
{
	.len = 70000,
};

FIXTURE_VARIANT_ADD(wanting, edge)
{
	.len = LEN,
	.edge = true,
};

FIXTURE_VARIANT_ADD(wanting, edge_small)
{
	.len = SMALL,
	.edge = true,
};

FIXTURE_VARIANT_ADD(wanting, edge_large)
{
	.len = 70000,
	.edge = true,
};

/* Sends all, then the end; with an epoll it waits for an edge when it has to */
static long call_send_all(struct worker *worker)
{
	size_t sent = 0;
	ssize_t n;

	while (sent < worker->total) {
		n = send(worker->fd, worker->buf, worker->len,
			 worker->flags | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return n;
		if (n > 0)
			sent += n;
		if (n == (ssize_t)worker->len)
			continue;
		if (next_event(worker->epoll, WAIT_MS) != EPOLLOUT) {
			errno = ETIMEDOUT;
			return -1;
		}
	}
	return shutdown(worker->fd, SHUT_WR) ? -1 : (long)sent;
}

FIXTURE_SETUP(wanting)
{
	struct worker *sender = &self->sender;

	my_type = SOCK_STREAM;
	my_connection(_metadata, self->fd);
	set_rcvbuf(_metadata, self->fd[1], RCVBUF);
	self->rcvbuf = get_int_opt(_metadata, self->fd[1], SO_RCVBUF);
	sender->fd = self->fd[0];
	sender->len = variant->len;
	if (variant->edge) {
		sender->flags = MSG_DONTWAIT;
		sender->epoll = make_epoll(_metadata, self->fd[0],
					   EPOLLOUT | EPOLLET);
		next_event(sender->epoll, 0);
	}
}

FIXTURE_TEARDOWN(wanting)
{
	close(self->fd[0]);
	close(self->fd[1]);
}

TEST_F(wanting, rcvlowat)
{
	struct worker *sender = &self->sender;
	int lowat = self->rcvbuf / 10 * 9, epoll;
	size_t total = 0;
	char buf[700];
	ssize_t n;

	sender->call = call_send_all;
	sender->total = variant->len < LEN ? 200 * LEN : 500 * LEN;
	set_int_opt(_metadata, self->fd[1], SO_RCVLOWAT, lowat);
	epoll = make_epoll(_metadata, self->fd[1],
			   EPOLLIN | (variant->edge ? EPOLLET : 0));
	worker_start(_metadata, sender);
	worker_tell(sender);
	do {
		ASSERT_EQ(EPOLLIN, EPOLLIN & next_event(epoll, WAIT_MS))
			TH_LOG("both sleep after %zu bytes", total);
		do {
			n = recv(self->fd[1], buf, sizeof(buf), MSG_DONTWAIT);
			if (n > 0)
				total += n;
			/* Another edge comes only when all was read. */
		} while (n > 0 && variant->edge);
	} while (n > 0 || (n < 0 && errno == EAGAIN));
	ASSERT_EQ(0, n);
	ASSERT_TRUE(worker_finish(sender));
	EXPECT_EQ(sender->ret, (long)total);
	EXPECT_LE(sender->total, total);
}

/* A peek at more than there may be, and somebody who reads meanwhile */
TEST_F(wanting, peek_waitall)
{
	struct worker peeker = {
		.call = call_recv,
		.fd = self->fd[1],
		.len = 2 * self->rcvbuf,
		.flags = MSG_PEEK | MSG_WAITALL,
	};
	struct worker *sender = &self->sender;
	char buf[700];
	int round;

	/* It does not end before the test. */
	sender->call = call_send_all;
	sender->total = SIZE_MAX;
	worker_start(_metadata, sender);
	worker_start(_metadata, &peeker);
	worker_tell(sender);
	for (round = 0; round < 200; round++) {
		worker_tell(&peeker);
		recv(self->fd[1], buf, sizeof(buf), MSG_DONTWAIT);
		ASSERT_TRUE(worker_finish(&peeker))
			TH_LOG("round %d: the peek does not end", round);
		ASSERT_LT(0, peeker.ret);
	}
	ASSERT_FALSE(worker_idle(sender))
		TH_LOG("%ld: %s", sender->ret, strerror(sender->err));
}

/*
 * A send that ends early for lack of memory: an edge says when to go on, since
 * it may have been the last chance to ask for one.
 */

#define PIECE		65536
#define MAX_NTH		100

FIXTURE(shortage)
{
	struct fault fault;
};

FIXTURE_VARIANT(shortage)
{
	int type;
	size_t queued;	/* what there is before, in one send() */
	size_t len;	/* what is sent then */
	bool splice;
	bool drain;	/* the reader takes all */
};

/* A large piece gets smaller pages instead, and the small one fails. */
FIXTURE_VARIANT_ADD(shortage, stream)
{
	.type = SOCK_STREAM,
	.len = PIECE + LEN,
};

/* More than half is taken, so that there has to be a read before. */
FIXTURE_VARIANT_ADD(shortage, stream_drained)
{
	.type = SOCK_STREAM,
	.queued = 4 * PIECE,
	.len = PIECE + LEN,
	.drain = true,
};

FIXTURE_VARIANT_ADD(shortage, stream_small)
{
	.type = SOCK_STREAM,
	.queued = 2000,
	.len = 2000,
};

FIXTURE_VARIANT_ADD(shortage, stream_splice)
{
	.type = SOCK_STREAM,
	.len = 4 * PIECE,
	.splice = true,
};

FIXTURE_VARIANT_ADD(shortage, stream_splice_drained)
{
	.type = SOCK_STREAM,
	.queued = 4 * PIECE,
	.len = PIECE + PIECE / 2,
	.splice = true,
	.drain = true,
};

FIXTURE_VARIANT_ADD(shortage, seqpacket)
{
	.type = SOCK_SEQPACKET,
	.queued = 2000,
	.len = 2000,
};

FIXTURE_VARIANT_ADD(shortage, seqpacket_drained)
{
	.type = SOCK_SEQPACKET,
	.queued = 2000,
	.len = 2000,
	.drain = true,
};

FIXTURE_VARIANT_ADD(shortage, dgram_drained)
{
	.type = SOCK_DGRAM,
	.queued = 2000,
	.len = 2000,
	.drain = true,
};

FIXTURE_SETUP(shortage)
{
	my_type = variant->type;
	fault_init(_metadata, &self->fault);
}

FIXTURE_TEARDOWN(shortage)
{
	fault_exit(&self->fault);
}

/* From the pipe whose read end is in @epoll */
static long call_splice(struct worker *worker)
{
	return splice(worker->epoll, NULL, worker->fd, NULL, worker->len,
		      SPLICE_F_NONBLOCK);
}

static int full_pipe(struct __test_metadata *_metadata, const char *buf,
		     size_t len)
{
	int fd[2];

	ASSERT_EQ(0, pipe(fd));
	ASSERT_LE((int)len, fcntl(fd[1], F_SETPIPE_SZ, 2 * len));
	ASSERT_EQ((ssize_t)len, write(fd[1], buf, len));
	close(fd[1]);
	return fd[0];
}

TEST_F(shortage, edge_after_short_send)
{
	char *buf = calloc(1, variant->len + variant->queued);
	struct worker sender = {
		.len = variant->len,
		.flags = MSG_DONTWAIT,
		.buf = buf,
		.epoll = -1,
		.call = variant->splice ? call_splice : call_send,
	};
	int n, fd[2], epoll, rcvbuf, cut = 0;
	bool failed;

	ASSERT_NE(NULL, buf);
	for (n = 1; n < MAX_NTH; n++) {
		my_connection(_metadata, fd);
		sender.fd = fd[0];
		/* Enough for all that is sent, and half of it not */
		rcvbuf = get_int_opt(_metadata, fd[1], SO_RCVBUF);
		if (my_type == SOCK_STREAM)
			set_rcvbuf(_metadata, fd[1], 212992);
		EXPECT_LE(rcvbuf, get_int_opt(_metadata, fd[1], SO_RCVBUF));
		epoll = make_epoll(_metadata, fd[0], EPOLLOUT | EPOLLET);
		EXPECT_EQ(EPOLLOUT, next_event(epoll, 0));
		if (variant->queued)
			ASSERT_EQ((ssize_t)variant->queued,
				  send(fd[0], buf, variant->queued,
				       MSG_DONTWAIT));
		if (variant->splice)
			sender.epoll = full_pipe(_metadata, buf, variant->len);
		EXPECT_EQ(0, next_event(epoll, 0));

		fault_arm(&self->fault, n);
		sender.ret = sender.call(&sender);
		sender.err = err_of(sender.ret);
		failed = !fault_unused(&self->fault);
		if (!failed)
			EXPECT_EQ((long)variant->len, sender.ret);
		if (sender.ret != (long)variant->len) {
			cut++;
			if (sender.ret < 0)
				EXPECT_EQ(ENOBUFS, sender.err);
			if (variant->drain)
				my_drain(_metadata, fd[1]);
			ASSERT_EQ(EPOLLOUT, next_event(epoll, WAIT_MS))
				TH_LOG("allocation %d: %ld sent", n,
				       sender.ret);
		}
		close(fd[0]);
		close(fd[1]);
		close(epoll);
		close(sender.epoll);
		if (!failed)
			break;
	}
	/* It was cut short at least once, and not for another reason. */
	EXPECT_LT(0, cut);
	EXPECT_FALSE(failed);
	free(buf);
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

struct peek {
	int fd;
	int go;		/* the round; -1 is the end */
	int done;
};

static void *peek_each_round(void *arg)
{
	struct peek *peek = arg;
	int go, last = 0;
	char c;

	for (;;) {
		go = __atomic_load_n(&peek->go, __ATOMIC_SEQ_CST);
		if (go < 0)
			return NULL;
		if (go == last) {
			sched_yield();
			continue;
		}
		last = go;
		recv(peek->fd, &c, 1, MSG_PEEK);
		__atomic_store_n(&peek->done, go, __ATOMIC_SEQ_CST);
	}
}

/* A message that is there is seen while somebody peeks at it. */
static void peek_and_poll(struct __test_metadata *_metadata, int type)
{
	struct peek peek = {};
	pthread_t thread;
	int fd[2], round, missed = 0;

	my_type = type;
	my_socketpair(_metadata, fd);
	peek.fd = fd[1];
	ASSERT_EQ(0, pthread_create(&thread, NULL, peek_each_round, &peek));
	for (round = 1; round <= 1000; round++) {
		expect_send(_metadata, fd[0], "x");
		__atomic_store_n(&peek.go, round, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&peek.done, __ATOMIC_SEQ_CST) != round)
			missed += !(poll_now(fd[1]) & POLLIN);
		expect_recv(_metadata, fd[1], "x");
	}
	__atomic_store_n(&peek.go, -1, __ATOMIC_SEQ_CST);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, missed);
}

TEST(seqpacket_peek_and_poll)
{
	peek_and_poll(_metadata, SOCK_SEQPACKET);
}

TEST(dgram_peek_and_poll)
{
	peek_and_poll(_metadata, SOCK_DGRAM);
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
