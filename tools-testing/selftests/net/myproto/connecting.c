// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO sockets that are connecting: connect() has found the backlog full,
 * and they wait in line for a place. How that begins, goes on and ends, in what
 * order and who is woken.
 */
#include <sys/resource.h>

#include "destroy.h"
#include "ring.h"
#include "type.h"
#include "worker.h"

#define TIMEOUT_MS	40
#define FEW_ROUNDS	30

/* A listener whose backlog is full */
FIXTURE(full)
{
	__u32 channel;
	int listener;
	int first;	/* who fills it */
};

FIXTURE_VARIANT(full)
{
	int type;
};

FIXTURE_VARIANT_ADD(full, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(full, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_SETUP(full)
{
	my_type = variant->type;
	self->listener = my_listener(_metadata, 0, &self->channel);
	self->first = my_client(_metadata, self->channel);
	set_nonblock(_metadata, self->listener);
}

FIXTURE_TEARDOWN(full)
{
	close(self->listener);
	close(self->first);
}

/* A socket that is connecting, and does not block */
static int connecting(struct __test_metadata *_metadata, __u32 channel)
{
	int fd = my_socket(_metadata);

	set_nonblock(_metadata, fd);
	EXPECT_EQ(EINPROGRESS, err_of(my_connect(fd, channel)));
	return fd;
}

static int accept_err(int listener)
{
	return err_of(accept(listener, NULL, NULL));
}

/* accept() gives the connection of @fd; returns the other end */
static int accepts(struct __test_metadata *_metadata, int listener, int fd)
{
	int server = accept(listener, NULL, NULL);

	ASSERT_LE(0, server)
		TH_LOG("%s", strerror(errno));
	EXPECT_EQ(my_channel(_metadata, fd), my_peer(_metadata, server));
	return server;
}

static void expect_exchange(struct __test_metadata *_metadata, int a, int b)
{
	expect_send(_metadata, a, "there");
	expect_recv(_metadata, b, "there");
	expect_send(_metadata, b, "back");
	expect_recv(_metadata, a, "back");
}

static int make_epoll_of(struct __test_metadata *_metadata, int fd,
			 __u32 events)
{
	int epoll = make_epoll(_metadata, fd, events);

	/* What there was before is no news. */
	next_event(epoll, 0);
	return epoll;
}

TEST_F(full, meanwhile_and_completed)
{
	int fd = connecting(_metadata, self->channel), val, server;
	struct sockaddr_my addr;
	socklen_t len = sizeof(addr);

	EXPECT_EQ(0, poll_now(fd));
	EXPECT_EQ(EALREADY, err_of(my_connect(fd, self->channel)));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ERROR));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ACCEPTCONN));
	EXPECT_EQ(ENOTCONN, try_send(fd));
	EXPECT_EQ(ENOTCONN, try_recv(fd));
	EXPECT_EQ(ENOTCONN, err_of(getpeername(fd, (struct sockaddr *)&addr,
					       &len)));
	EXPECT_EQ(EINVAL, err_of(my_bind(fd, 5000)));
	EXPECT_EQ(EINVAL, err_of(listen(fd, 1)));
	EXPECT_EQ(EINVAL, accept_err(fd));
	len = sizeof(val);
	EXPECT_EQ(my_type == SOCK_STREAM ? ENOPROTOOPT : ENOTCONN,
		  err_of(getsockopt(fd, SOL_MYPROTO, MYPROTO_MESSAGE_MAX, &val,
				    &len)));
	/* This does not make it listen less. */
	ASSERT_EQ(0, shutdown(self->listener, SHUT_WR));

	/* None of it did any harm. */
	EXPECT_EQ(0, poll_now(fd));
	accepts(_metadata, self->listener, self->first);
	EXPECT_EQ(POLLOUT, poll_now(fd));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ERROR));
	EXPECT_EQ(self->channel, my_peer(_metadata, fd));
	EXPECT_EQ(0, err_of(my_connect(fd, self->channel)));
	EXPECT_EQ(EISCONN, err_of(my_connect(fd, self->channel)));

	/* It need not wait for its own accept(). */
	expect_send(_metadata, fd, "early");
	server = accepts(_metadata, self->listener, fd);
	expect_recv(_metadata, server, "early");
	expect_exchange(_metadata, fd, server);
}

TEST_F(full, listen_admits_as_many_as_fit)
{
	int fd[5], i;

	for (i = 0; i < 5; i++)
		fd[i] = connecting(_metadata, self->channel);
	ASSERT_EQ(0, listen(self->listener, 3));
	for (i = 0; i < 5; i++)
		EXPECT_EQ(i < 3 ? POLLOUT : 0, poll_now(fd[i]));

	/* With fewer places the others wait until there is one. */
	ASSERT_EQ(0, listen(self->listener, 1));
	for (i = 0; i < 3; i++)
		accepts(_metadata, self->listener, i ? fd[i - 1] : self->first);
	EXPECT_EQ(POLLOUT, poll_now(fd[3]));
	EXPECT_EQ(0, poll_now(fd[4]));
	for (i = 2; i < 5; i++)
		accepts(_metadata, self->listener, fd[i]);
	EXPECT_EQ(EAGAIN, accept_err(self->listener));
}

enum { CLOSE = -1, DESTROY = -2 };

static const struct ending {
	const char *name;
	bool own;	/* the connecting socket does it, not the listener */
	int how;	/* shutdown(), CLOSE or DESTROY */
	int err;
} endings[] = {
	{ "listener closed", false, CLOSE, ECONNREFUSED },
	{ "listener SHUT_RD", false, SHUT_RD, ECONNREFUSED },
	{ "listener SHUT_RDWR", false, SHUT_RDWR, ECONNREFUSED },
	{ "listener destroyed", false, DESTROY, ECONNREFUSED },
	{ "own SHUT_RD", true, SHUT_RD, ECONNRESET },
	{ "own SHUT_WR", true, SHUT_WR, ECONNRESET },
	{ "own SHUT_RDWR", true, SHUT_RDWR, ECONNRESET },
	{ "own destroyed", true, DESTROY, ECONNABORTED },
};

/* The @n sockets at @fd are connecting to @listener. */
static void end(struct __test_metadata *_metadata, const struct ending *e,
		int listener, int *fd, int n)
{
	int i, err;

	for (i = 0; i < (e->own ? n : 1); i++) {
		if (!e->own)
			fd = &listener;
		if (e->how == DESTROY)
			err = my_destroy(fd[i]);
		else
			err = err_of(e->how == CLOSE ? close(fd[i]) :
						       shutdown(fd[i], e->how));
		ASSERT_EQ(0, err);
	}
}

static long call_connect(struct worker *worker)
{
	return my_connect(worker->fd, worker->channel);
}

static long call_accept(struct worker *worker)
{
	return accept(worker->fd, NULL, NULL);
}

/* ...and each time the socket can be used again. */
TEST_F(type, ended)
{
	int all = POLLOUT | POLLHUP, fd[3], epoll, listener, other, i;
	struct worker worker[2] = {}, *told;
	const struct ending *e;
	__u32 channel, again;

	other = my_listener(_metadata, 100, &again);
	for (i = 0; i < 2; i++) {
		worker[i].call = call_connect;
		worker_start(_metadata, &worker[i]);
	}
	for (e = endings; e < endings + ARRAY_SIZE(endings); e++) {
		TH_LOG("%s", e->name);
		listener = my_listener(_metadata, 0, &channel);
		my_client(_metadata, channel);
		fd[0] = connecting(_metadata, channel);
		fd[1] = connecting(_metadata, channel);
		fd[2] = my_socket(_metadata);
		epoll = make_epoll_of(_metadata, fd[0], EPOLLOUT | EPOLLET);
		for (i = 0; i < 2; i++) {
			worker[i].fd = fd[2];
			worker[i].channel = channel;
			worker_sleep(_metadata, &worker[i]);
		}
		end(_metadata, e, listener, fd, 3);

		EXPECT_EQ(all | POLLERR, next_event(epoll, 0));
		EXPECT_EQ(all | POLLERR, poll_now(fd[0]));
		EXPECT_EQ(e->err, get_int_opt(_metadata, fd[0], SO_ERROR));
		EXPECT_EQ(0, get_int_opt(_metadata, fd[0], SO_ERROR));
		EXPECT_EQ(all, poll_now(fd[0]));
		EXPECT_EQ(0, err_of(my_connect(fd[0], again)));
		EXPECT_EQ(EISCONN, err_of(my_connect(fd[0], again)));
		expect_exchange(_metadata, fd[0],
				accepts(_metadata, other, fd[0]));

		/* The next call tells it, if nobody asked for SO_ERROR. */
		EXPECT_EQ(e->err, err_of(my_connect(fd[1], again)));
		EXPECT_EQ(0, err_of(my_connect(fd[1], again)));
		accepts(_metadata, other, fd[1]);

		/* Two threads in connect() with one socket: either is told. */
		for (i = 0; i < 2; i++)
			ASSERT_TRUE(worker_finish(&worker[i]));
		told = &worker[worker[0].err != e->err];
		EXPECT_EQ(e->err, told->err);
		EXPECT_NE(0, worker[0].err);
		EXPECT_NE(0, worker[1].err);
	}
}

TEST_F(full, close_leaves_line)
{
	int fd[5], i;

	for (i = 0; i < 5; i++)
		fd[i] = connecting(_metadata, self->channel);
	for (i = 0; i < 5; i += 2)
		close(fd[i]);
	accepts(_metadata, self->listener, self->first);
	EXPECT_EQ(POLLOUT, poll_now(fd[1]));
	accepts(_metadata, self->listener, fd[1]);
	accepts(_metadata, self->listener, fd[3]);
	EXPECT_EQ(EAGAIN, accept_err(self->listener));
}

/* How many references there are to the module, which each socket has until it
 * is freed; -1 if it is built in
 */
static long module_refs(void)
{
	FILE *f = fopen("/sys/module/myproto/refcnt", "r");
	long refs = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%ld", &refs) != 1)
		refs = -1;
	fclose(f);
	return refs;
}

TEST_F(full, nothing_is_left)
{
	long refs = module_refs(), end = now_ms() + WAIT_MS;
	int fd[4], i;

	for (i = 0; i < 4; i++)
		fd[i] = connecting(_metadata, self->channel);
	close(fd[1]);
	EXPECT_EQ(0, shutdown(fd[2], SHUT_RDWR));
	close(self->listener);
	self->listener = -1;
	for (i = 0; i < 4; i++)
		if (i != 1)
			close(fd[i]);
	EXPECT_EQ(1, sockets_settle_at(1));
	while (module_refs() > refs && now_ms() < end)
		usleep(10000);
	EXPECT_LE(module_refs(), refs);
}

/* Those of the listener for the one end, of connect() for the other */
TEST_F(full, credentials)
{
	struct ucred cred = {};
	socklen_t len = sizeof(cred);
	int server;
	pid_t pid;

	pid = my_fork(_metadata);
	if (!pid) {
		int fd = my_socket(_metadata);

		if (setresuid(65534, 65534, 65534) ||
		    my_connect(fd, self->channel) ||
		    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
			_exit(KSFT_FAIL);
		_exit(cred.pid != getppid() || cred.uid);
	}
	ASSERT_TRUE(wait_asleep(pid));
	accepts(_metadata, self->listener, self->first);
	EXPECT_EQ(0, my_wait(pid));
	server = accept(self->listener, NULL, NULL);
	ASSERT_LE(0, server);
	ASSERT_EQ(0, getsockopt(server, SOL_SOCKET, SO_PEERCRED, &cred, &len));
	EXPECT_EQ(pid, cred.pid);
	EXPECT_EQ(65534U, cred.uid);
}

/* Calls that end before it does: it goes on. */

static void expect_goes_on(struct __test_metadata *_metadata, int fd,
			   int listener, int first)
{
	EXPECT_EQ(0, poll_now(fd));
	accepts(_metadata, listener, first);
	EXPECT_EQ(POLLOUT, poll_now(fd));
	accepts(_metadata, listener, fd);
}

TEST_F(full, timeout_goes_on)
{
	int fd = my_socket(_metadata);
	long start = now_ms();

	set_timeout(_metadata, fd, SO_SNDTIMEO, TIMEOUT_MS);
	EXPECT_EQ(EINPROGRESS, err_of(my_connect(fd, self->channel)));
	EXPECT_EQ(EALREADY, err_of(my_connect(fd, self->channel)));
	EXPECT_LE(2 * TIMEOUT_MS, now_ms() - start);
	expect_goes_on(_metadata, fd, self->listener, self->first);
	EXPECT_EQ(0, my_connect(fd, self->channel));
	EXPECT_EQ(EISCONN, err_of(my_connect(fd, self->channel)));
}

TEST_F(full, signal_goes_on)
{
	struct worker worker = {
		.call = call_connect,
		.channel = self->channel,
		.fd = my_socket(_metadata),
	};

	catch_usr1(_metadata);
	worker_start(_metadata, &worker);
	worker_sleep(_metadata, &worker);
	interrupt(&worker, 0, 1);
	ASSERT_TRUE(worker_finish(&worker));
	EXPECT_EQ(EINTR, worker.err);

	/* Another one waits on. */
	worker_sleep(_metadata, &worker);
	expect_goes_on(_metadata, worker.fd, self->listener, self->first);
	ASSERT_TRUE(worker_finish(&worker));
	EXPECT_EQ(0, worker.err);
}

/* Order of arrival, and who is woken */

#define WAITERS	20

TEST_F(full, in_order_one_woken)
{
	struct worker worker[WAITERS] = {};
	int fd[WAITERS], i, blocked = 0;
	long before;

	for (i = 0; i < WAITERS; i++) {
		fd[i] = my_socket(_metadata);
		worker[i].call = call_connect;
		worker[i].channel = self->channel;
		worker[i].fd = fd[i];
		worker_start(_metadata, &worker[i]);
		/* Every third one does not block. */
		if (i % 3 == 2)
			set_nonblock(_metadata, fd[i]);
		else
			blocked++;
		worker_tell(&worker[i]);
		ASSERT_TRUE(workers_settle(&worker[i], 1));
	}
	before = workers_switches(worker, WAITERS);
	for (i = 0; i < WAITERS; i++) {
		accepts(_metadata, self->listener, i ? fd[i - 1] : self->first);
		ASSERT_TRUE(worker_finish(&worker[i]));
		EXPECT_EQ(i % 3 == 2 ? EINPROGRESS : 0, worker[i].err);
		EXPECT_EQ(POLLOUT, poll_now(fd[i]));
		if (i + 1 < WAITERS)
			EXPECT_EQ(0, poll_now(fd[i + 1]));
	}
	ASSERT_TRUE(workers_settle(worker, WAITERS));
	/* Once each. A page fault can make a thread wait, too. If each
	 * accept() woke all, it would be some hundred.
	 */
	EXPECT_LE(blocked, workers_switches(worker, WAITERS) - before);
	EXPECT_GE(2 * blocked, workers_switches(worker, WAITERS) - before);
}

/* Waits for one event, and takes one connection */
static long call_epoll_accept(struct worker *worker)
{
	return call_epoll(worker) == EPOLLIN ? call_accept(worker) : -1;
}

static int start_acceptors(struct __test_metadata *_metadata,
			   struct worker *worker, int n,
			   long (*call)(struct worker *worker), __u32 *channel)
{
	int listener = my_listener(_metadata, 0, channel), i;

	for (i = 0; i < n; i++) {
		worker[i].call = call;
		worker[i].fd = listener;
		worker[i].epoll = make_epoll(_metadata, listener, EPOLLIN |
					     EPOLLEXCLUSIVE);
		worker_start(_metadata, &worker[i]);
	}
	return listener;
}

/* Two sleep until there is one to accept: the second gets the one that the
 * first has admitted.
 */
static void acceptors_test(struct __test_metadata *_metadata,
			   long (*call)(struct worker *worker))
{
	struct worker worker[2] = {};
	int i, round, fd[2];
	__u32 channel;

	start_acceptors(_metadata, worker, 2, call, &channel);
	for (round = 0; round < FEW_ROUNDS; round++) {
		workers_sleep(_metadata, worker, 2);
		for (i = 0; i < 2; i++) {
			fd[i] = my_socket(_metadata);
			set_nonblock(_metadata, fd[i]);
			if (my_connect(fd[i], channel))
				ASSERT_EQ(EINPROGRESS, errno);
			if (round & 1)
				spin(round);
		}
		for (i = 0; i < 2; i++) {
			ASSERT_TRUE(worker_finish(&worker[i]))
				TH_LOG("round %d: one is left", round);
			ASSERT_LE(0, worker[i].ret);
			close(fd[i]);
			close(worker[i].ret);
		}
	}
}

TEST_F(type, sleeping_acceptors)
{
	acceptors_test(_metadata, call_accept);
	acceptors_test(_metadata, call_epoll_accept);
}

/* All but one leave by a signal just when the connection comes. */
TEST_F(type, signal_passes_connection_on)
{
	struct worker worker[3] = {}, *last = &worker[2];
	int i, round, taken;
	__u32 channel;

	catch_usr1(_metadata);
	start_acceptors(_metadata, worker, 3, call_accept, &channel);
	for (round = 0; round < FEW_ROUNDS; round++) {
		workers_sleep(_metadata, worker, 3);
		interrupt(worker, 0, round % 3);
		spin(round);
		close(my_client(_metadata, channel));
		interrupt(worker, round % 3, 2);
		for (i = 0, taken = 0; i < 2; i++) {
			ASSERT_TRUE(worker_finish(&worker[i]));
			taken += worker[i].ret >= 0;
			close(worker[i].ret);
		}
		if (taken)
			close(my_client(_metadata, channel));
		ASSERT_TRUE(worker_finish(last))
			TH_LOG("round %d: the last one sleeps", round);
		close(last->ret);
	}
}

TEST_F(full, epoll_of_both_ends)
{
	int i, fd, level, edge, in_level, in_edge;
	struct worker worker[2] = {};

	in_level = make_epoll(_metadata, self->listener, EPOLLIN);
	in_edge = make_epoll_of(_metadata, self->listener, EPOLLIN | EPOLLET);
	fd = connecting(_metadata, self->channel);
	level = make_epoll_of(_metadata, fd, EPOLLIN | EPOLLOUT);
	edge = make_epoll_of(_metadata, fd, EPOLLIN | EPOLLOUT | EPOLLET);
	for (i = 0; i < 2; i++) {
		worker[i].call = call_epoll;
		worker[i].epoll = make_epoll(_metadata, fd, EPOLLOUT |
					     EPOLLEXCLUSIVE);
		worker_start(_metadata, &worker[i]);
	}
	workers_sleep(_metadata, worker, 2);
	EXPECT_EQ(0, next_event(level, 0));
	EXPECT_EQ(0, next_event(edge, 0));
	EXPECT_EQ(EALREADY, err_of(my_connect(fd, self->channel)));
	EXPECT_EQ(0, next_event(edge, 0));
	/* One that waits is nothing that accept() could have. */
	EXPECT_EQ(0, next_event(in_edge, 0));

	accepts(_metadata, self->listener, self->first);
	EXPECT_EQ(EPOLLOUT, next_event(edge, 0));
	EXPECT_EQ(0, next_event(edge, 0));
	EXPECT_EQ(EPOLLOUT, next_event(level, 0));
	EXPECT_EQ(EPOLLOUT, next_event(level, 0));
	ASSERT_TRUE(workers_settle(worker, 2));
	EXPECT_LE(1, worker_done(&worker[0]) + worker_done(&worker[1]));

	EXPECT_EQ(EPOLLIN, next_event(in_edge, 0));
	EXPECT_EQ(EPOLLIN, next_event(in_level, 0));
	accepts(_metadata, self->listener, fd);
	EXPECT_EQ(0, next_event(in_edge, 0));
	EXPECT_EQ(0, next_event(in_level, 0));
}

TEST_F(full, sigio)
{
	const struct timespec timeout = { .tv_sec = WAIT_MS / 1000 };
	int i, fd[2];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &set, NULL));
	for (i = 0; i < 2; i++) {
		fd[i] = connecting(_metadata, self->channel);
		ASSERT_EQ(0, fcntl(fd[i], F_SETOWN, getpid()));
		ASSERT_EQ(0, fcntl(fd[i], F_SETFL, O_ASYNC));
	}
	/* One is connected, the other refused. */
	accepts(_metadata, self->listener, self->first);
	EXPECT_EQ(SIGIO, sigtimedwait(&set, NULL, &timeout));
	ASSERT_EQ(0, shutdown(self->listener, SHUT_RD));
	EXPECT_EQ(SIGIO, sigtimedwait(&set, NULL, &timeout));
}

/* io_uring */

/* A connect() that waits in @ring; @addr must live as long */
static int uring_connecting(struct __test_metadata *_metadata,
			    struct ring *ring, const struct sockaddr_my *addr)
{
	int fd = my_socket(_metadata);
	struct io_uring_sqe sqe = make_sqe(IORING_OP_CONNECT, fd, addr, 0);

	sqe.addr2 = sizeof(*addr);
	sqe.user_data = 1;
	submit(_metadata, ring, &sqe);
	EXPECT_TRUE(still_waits(ring));
	return fd;
}

TEST_F(type, uring_ended)
{
	const struct ending *e;
	struct sockaddr_my addr;
	struct ring ring;
	int fd, listener;
	__u32 channel;

	ring_init(_metadata, &ring);
	for (e = endings; e < endings + ARRAY_SIZE(endings); e++) {
		listener = my_listener(_metadata, 0, &channel);
		my_client(_metadata, channel);
		addr = my_addr(channel);
		fd = uring_connecting(_metadata, &ring, &addr);
		end(_metadata, e, listener, &fd, 1);
		EXPECT_EQ(-e->err, wait_result(_metadata, &ring))
			TH_LOG("%s", e->name);
	}
}

TEST_F(full, uring_completed_or_cancelled)
{
	struct io_uring_sqe cancel = make_sqe(IORING_OP_ASYNC_CANCEL, -1,
					      (void *)1, 0);
	struct sockaddr_my addr = my_addr(self->channel);
	struct io_uring_cqe cqe;
	struct ring ring;
	int i, fd[3];

	ring_init(_metadata, &ring);
	fd[0] = uring_connecting(_metadata, &ring, &addr);
	accepts(_metadata, self->listener, self->first);
	EXPECT_EQ(0, wait_result(_metadata, &ring));

	/* What is cancelled goes on. */
	fd[1] = uring_connecting(_metadata, &ring, &addr);
	submit(_metadata, &ring, &cancel);
	for (i = 0; i < 2; i++) {
		wait_cqe(_metadata, &ring, &cqe);
		EXPECT_EQ(cqe.user_data ? -ECANCELED : 0, cqe.res);
	}
	/* The same when the ring goes */
	fd[2] = uring_connecting(_metadata, &ring, &addr);
	close(ring.fd);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(POLLOUT, poll_now(fd[i]));
		expect_exchange(_metadata, fd[i],
				accepts(_metadata, self->listener, fd[i]));
	}
}

TEST_F(full, uring_accept_multishot)
{
	struct io_uring_sqe sqe = make_sqe(IORING_OP_ACCEPT, self->listener,
					   NULL, 0);
	struct ring ring;
	int i;

	for (i = 0; i < 5; i++)
		connecting(_metadata, self->channel);
	ring_init(_metadata, &ring);
	sqe.ioprio = IORING_ACCEPT_MULTISHOT;
	submit(_metadata, &ring, &sqe);
	for (i = 0; i < 6; i++)
		EXPECT_LE(0, wait_result(_metadata, &ring));
	EXPECT_EQ(EAGAIN, accept_err(self->listener));
}

/* A thousand */

#define CROWD		1000
#define THREADS		4
#define EACH		(CROWD / THREADS)

struct crowd {
	pthread_t thread;
	__u32 channel;
	unsigned int seed;
	bool closes;	/* some of its sockets while they wait */
	bool done;
	int fd[EACH];
	const char *error;
};

static void *crowd_connect(void *arg)
{
	struct crowd *crowd = arg;
	int i, victim;

	for (i = 0; i < EACH; i++) {
		crowd->fd[i] = socket(AF_MYPROTO, my_type | SOCK_NONBLOCK, 0);
		if (my_connect(crowd->fd[i], crowd->channel) &&
		    errno != EINPROGRESS)
			crowd->error = strerror(errno);
		victim = rand_r(&crowd->seed) % (2 * EACH);
		if (!crowd->closes || victim > i || crowd->fd[victim] < 0)
			continue;
		close(crowd->fd[victim]);
		crowd->fd[victim] = -1;
	}
	__atomic_store_n(&crowd->done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Each that was not closed is connected, and has got one byte. */
static int count_served(struct __test_metadata *_metadata,
			struct crowd *crowd)
{
	int i, count = 0;

	for (i = 0; i < EACH; i++) {
		if (crowd->fd[i] < 0)
			continue;
		count++;
		ASSERT_EQ(POLLIN | POLLOUT, poll_now(crowd->fd[i]));
		ASSERT_EQ(0, get_int_opt(_metadata, crowd->fd[i], SO_ERROR));
		ASSERT_EQ(0, try_recv(crowd->fd[i]));
		ASSERT_EQ(EAGAIN, try_recv(crowd->fd[i]));
		close(crowd->fd[i]);
	}
	return count;
}

TEST_F(type, thousand_by_threads)
{
	struct rlimit limit = { 4 * CROWD, 4 * CROWD };
	int i, round, fd, listener, accepted, served;
	struct crowd crowd[THREADS];
	__u32 channel;
	bool done;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	listener = my_listener(_metadata, 1, &channel);
	set_nonblock(_metadata, listener);
	for (round = 0; round < 2; round++) {
		memset(crowd, 0, sizeof(crowd));
		for (i = 0; i < THREADS; i++) {
			crowd[i].channel = channel;
			crowd[i].seed = i;
			crowd[i].closes = round;
			ASSERT_EQ(0, pthread_create(&crowd[i].thread, NULL,
						    crowd_connect, &crowd[i]));
		}
		/* What is there when all have called connect(), is not lost. */
		for (done = false, accepted = 0; !done;) {
			for (done = true, i = 0; i < THREADS; i++)
				done &= __atomic_load_n(&crowd[i].done,
							__ATOMIC_SEQ_CST);
			while ((fd = accept(listener, NULL, NULL)) >= 0) {
				accepted++;
				try_send(fd);
			}
			ASSERT_EQ(EAGAIN, errno);
			/* Let some wait. */
			usleep(1000);
		}
		for (i = 0, served = 0; i < THREADS; i++) {
			ASSERT_EQ(0, pthread_join(crowd[i].thread, NULL));
			EXPECT_EQ(NULL, crowd[i].error);
			served += count_served(_metadata, &crowd[i]);
		}
		EXPECT_LE(served, accepted);
		EXPECT_GE(CROWD, accepted);
		EXPECT_EQ(round, served < CROWD);
	}
}

/* Accept as soon as poll() tells of the shutdown. */
static void *accept_after_shutdown(void *arg)
{
	struct pollfd poll_fd = { .fd = *(int *)arg, .events = POLLRDHUP };

	poll(&poll_fd, 1, WAIT_MS);
	while (!accept_err(poll_fd.fd))
		;
	return NULL;
}

/* accept() admits nobody to a listener that refuses those who wait. */
TEST_F(full, shutdown_refuses_in_order)
{
	int i, fd[200];
	pthread_t thread;

	for (i = 0; i < 200; i++)
		fd[i] = connecting(_metadata, self->channel);
	ASSERT_EQ(0, pthread_create(&thread, NULL, accept_after_shutdown,
				    &self->listener));
	usleep(10000);
	ASSERT_EQ(0, shutdown(self->listener, SHUT_RD));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	for (i = 0; i < 200; i++)
		EXPECT_EQ(ECONNREFUSED,
			  get_int_opt(_metadata, fd[i], SO_ERROR));
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
