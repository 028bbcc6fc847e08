// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO sockets that are connecting: connect() has found the backlog full,
 * and they wait in line for a place. How that begins, goes on and ends, in what
 * order and who is woken.
 */
#include <sys/resource.h>

#include "ring.h"
#include "type.h"
#include "worker.h"

#define TIMEOUT_MS	40
#define FEW_ROUNDS	30

/* A listener whose backlog is full, its channel, and who fills it */
static int listener, first;
static __u32 channel;

static void make_full(struct __test_metadata *_metadata)
{
	listener = my_listener(_metadata, 0, &channel);
	first = my_client(_metadata, channel);
	set_nonblock(_metadata, listener);
}

/* A socket that is connecting, and does not block */
static int connecting(struct __test_metadata *_metadata)
{
	int fd = my_socket(_metadata);

	set_nonblock(_metadata, fd);
	EXPECT_EQ(EINPROGRESS, err_of(my_connect(fd, channel)));
	return fd;
}

static int accept_err(int fd)
{
	return err_of(accept(fd, NULL, NULL));
}

/* accept() gives the connection of @fd; returns the other end */
static int accepts(struct __test_metadata *_metadata, int fd)
{
	int server = my_accept(_metadata, listener);

	EXPECT_EQ(my_channel(_metadata, fd), my_peer(_metadata, server));
	return server;
}

/* What there was before is no news. */
static int make_epoll_of(struct __test_metadata *_metadata, int fd,
			 __u32 events)
{
	int epoll = make_epoll(_metadata, fd, events);

	next_event(epoll, 0);
	return epoll;
}

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

TEST_F(type, meanwhile_and_completed)
{
	socklen_t len = sizeof(struct sockaddr_my);
	struct sockaddr_my addr;
	int fd, server;

	make_full(_metadata);
	fd = connecting(_metadata);
	EXPECT_EQ(0, poll_now(fd));
	EXPECT_EQ(EALREADY, err_of(my_connect(fd, channel)));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ERROR));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ACCEPTCONN));
	EXPECT_EQ(ENOTCONN, try_send(fd));
	EXPECT_EQ(ENOTCONN, try_recv(fd));
	EXPECT_EQ(ENOTCONN, err_of(getpeername(fd, (struct sockaddr *)&addr,
					       &len)));
	EXPECT_EQ(EINVAL, err_of(my_bind(fd, 5000)));
	EXPECT_EQ(EINVAL, err_of(listen(fd, 1)));
	EXPECT_EQ(EINVAL, accept_err(fd));
	len = sizeof(int);
	EXPECT_EQ(my_type == SOCK_STREAM ? ENOPROTOOPT : ENOTCONN,
		  err_of(getsockopt(fd, SOL_MYPROTO, MYPROTO_MESSAGE_MAX, &addr,
				    &len)));
	/* This does not make it listen less. */
	ASSERT_EQ(0, shutdown(listener, SHUT_WR));

	/* None of it did any harm. */
	EXPECT_EQ(0, poll_now(fd));
	accepts(_metadata, first);
	EXPECT_EQ(POLLOUT, poll_now(fd));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ERROR));
	EXPECT_EQ(channel, my_peer(_metadata, fd));
	EXPECT_EQ(0, err_of(my_connect(fd, channel)));
	EXPECT_EQ(EISCONN, err_of(my_connect(fd, channel)));

	/* It need not wait for its own accept(). */
	expect_send(_metadata, fd, "early");
	server = accepts(_metadata, fd);
	expect_recv(_metadata, server, "early");
	expect_exchange(_metadata, fd, server);
}

/* listen() admits as many as fit; who is closed has left the line. */
TEST_F(type, line)
{
	int fd[7], i;

	make_full(_metadata);
	for (i = 0; i < 6; i++)
		fd[i] = connecting(_metadata);
	/* Who gives up after a time stays in the line, too. */
	fd[6] = my_socket(_metadata);
	set_timeout(_metadata, fd[6], SO_SNDTIMEO, TIMEOUT_MS);
	EXPECT_EQ(EINPROGRESS, err_of(my_connect(fd[6], channel)));
	EXPECT_EQ(EALREADY, err_of(my_connect(fd[6], channel)));
	close(fd[0]);
	close(fd[5]);
	ASSERT_EQ(0, listen(listener, 3));
	for (i = 1; i < 5; i++)
		EXPECT_EQ(i < 4 ? POLLOUT : 0, poll_now(fd[i]));

	/* With fewer places the others wait until there is one. */
	ASSERT_EQ(0, listen(listener, 1));
	for (i = 0; i < 3; i++)
		accepts(_metadata, i ? fd[i] : first);
	EXPECT_EQ(POLLOUT, poll_now(fd[4]));
	EXPECT_EQ(0, poll_now(fd[6]));
	accepts(_metadata, fd[3]);
	EXPECT_EQ(POLLOUT, poll_now(fd[6]));
	accepts(_metadata, fd[4]);
	accepts(_metadata, fd[6]);
	EXPECT_EQ(EAGAIN, accept_err(listener));
}

static long call_connect(struct worker *worker)
{
	return my_connect(worker->fd, worker->channel);
}

static long call_accept(struct worker *worker)
{
	return accept(worker->fd, NULL, NULL);
}

/* What ends the waiting: a call on the listener, or on each socket that is
 * connecting. @call returns 0 if it succeeds; NULL means shutdown(@how).
 */
struct ending {
	const char *name;
	bool own;
	int (*call)(int fd);
	int how;
	int err;	/* that they are told */
};

static void end(struct __test_metadata *_metadata, const struct ending *e,
		int *fd, int n)
{
	int i;

	for (i = 0; i < n; i++)
		ASSERT_EQ(0, e->call ? e->call(fd[i]) : shutdown(fd[i], e->how))
			TH_LOG("%s", e->name);
}

/* Two non-blocking ones, one with two threads in connect(), and one in a ring;
 * and each time the socket can be used again.
 */
static void test_ending(struct __test_metadata *_metadata,
			const struct ending *e, struct worker worker[2])
{
	int all = POLLOUT | POLLHUP, fd[4], epoll, i, n = 3;
	struct sockaddr_my addr;
	struct ring ring;
	__u32 again;

	make_full(_metadata);
	fd[0] = connecting(_metadata);
	fd[1] = connecting(_metadata);
	fd[2] = my_socket(_metadata);
	epoll = make_epoll_of(_metadata, fd[0], EPOLLOUT | EPOLLET);
	for (i = 0; i < 2; i++) {
		worker[i].fd = fd[2];
		worker[i].channel = channel;
		worker_sleep(_metadata, &worker[i]);
	}
	addr = my_addr(channel);
	if (!ring_open(&ring))
		fd[n++] = uring_connecting(_metadata, &ring, &addr);
	end(_metadata, e, e->own ? fd : &listener, e->own ? n : 1);

	EXPECT_EQ(all | POLLERR, next_event(epoll, 0));
	EXPECT_EQ(all | POLLERR, poll_now(fd[0]));
	EXPECT_EQ(e->err, get_int_opt(_metadata, fd[0], SO_ERROR))
		TH_LOG("%s", e->name);
	EXPECT_EQ(0, get_int_opt(_metadata, fd[0], SO_ERROR));
	EXPECT_EQ(all, poll_now(fd[0]));
	listener = my_listener(_metadata, 100, &again);
	EXPECT_EQ(0, err_of(my_connect(fd[0], again)));
	EXPECT_EQ(EISCONN, err_of(my_connect(fd[0], again)));
	expect_exchange(_metadata, fd[0], accepts(_metadata, fd[0]));

	/* The next call tells it, if nobody asked for SO_ERROR. */
	EXPECT_EQ(e->err, err_of(my_connect(fd[1], again)));
	EXPECT_EQ(0, err_of(my_connect(fd[1], again)));
	accepts(_metadata, fd[1]);

	/* Both calls fail, at least one of them with this error. */
	for (i = 0; i < 2; i++) {
		ASSERT_TRUE(worker_finish(&worker[i]));
		EXPECT_NE(0, worker[i].err);
	}
	EXPECT_TRUE(e->err == worker[0].err || e->err == worker[1].err)
		TH_LOG("%s", e->name);
	if (n == 4)
		EXPECT_EQ(-e->err, wait_result(_metadata, &ring));
}

static void test_endings(struct __test_metadata *_metadata,
			 const struct ending *e, int n)
{
	struct worker worker[2] = {};
	int i;

	for (i = 0; i < 2; i++) {
		worker[i].call = call_connect;
		worker_start(_metadata, &worker[i]);
	}
	for (i = 0; i < n; i++)
		test_ending(_metadata, &e[i], worker);
}

TEST_F(type, ended)
{
	static const struct ending endings[] = {
		{ "listener closed", false, close, 0, ECONNREFUSED },
		{ "listener SHUT_RD", false, NULL, SHUT_RD, ECONNREFUSED },
		{ "listener SHUT_RDWR", false, NULL, SHUT_RDWR, ECONNREFUSED },
		{ "own SHUT_RD", true, NULL, SHUT_RD, ECONNRESET },
		{ "own SHUT_WR", true, NULL, SHUT_WR, ECONNRESET },
		{ "own SHUT_RDWR", true, NULL, SHUT_RDWR, ECONNRESET },
	};

	test_endings(_metadata, endings, ARRAY_SIZE(endings));
}

/* Each socket has a reference to the module until it is freed. */
static long module_refs(void)
{
	return proc_number("/sys/module/myproto/refcnt", "");
}

TEST_F(type, nothing_is_left)
{
	long refs;
	int fd[4], i;

	make_full(_metadata);
	refs = module_refs();
	for (i = 0; i < 4; i++)
		fd[i] = connecting(_metadata);
	close(fd[1]);
	EXPECT_EQ(0, shutdown(fd[2], SHUT_RDWR));
	close(listener);
	for (i = 0; i < 4; i++)
		close(fd[i]);
	EXPECT_EQ(1, sockets_settle_at(1));
	EXPECT_TRUE(wait_until(module_refs() <= refs));
}

/* The client sees those of listen(), the other end those of connect(). */
TEST_F(type, credentials)
{
	struct ucred cred;
	pid_t pid;
	int fd;

	make_full(_metadata);
	pid = my_fork(_metadata);
	if (!pid) {
		fd = my_socket(_metadata);
		if (setresuid(65534, 65534, 65534) || my_connect(fd, channel))
			_exit(KSFT_FAIL);
		cred = my_peercred(_metadata, fd);
		_exit(cred.pid != getppid() || cred.uid);
	}
	ASSERT_TRUE(wait_asleep(pid));
	accepts(_metadata, first);
	EXPECT_EQ(0, my_wait(pid));
	cred = my_peercred(_metadata, my_accept(_metadata, listener));
	EXPECT_EQ(pid, cred.pid);
	EXPECT_EQ(65534U, cred.uid);
}

/* Order of arrival, and who is woken */

#define WAITERS	20

TEST_F(type, in_order_one_woken)
{
	struct worker worker[WAITERS] = {};
	int i, blocked = 0, fd;
	long switches;

	make_full(_metadata);
	for (i = 0; i < WAITERS; i++) {
		worker[i].call = call_connect;
		worker[i].channel = channel;
		worker[i].fd = my_socket(_metadata);
		worker_start(_metadata, &worker[i]);
		/* Every third one does not block. */
		if (i % 3 == 2)
			set_nonblock(_metadata, worker[i].fd);
		else
			blocked++;
		worker_tell(&worker[i]);
		ASSERT_TRUE(workers_settle(&worker[i], 1));
	}
	switches = workers_switches(worker, WAITERS);
	for (i = 0, fd = first; i < WAITERS; fd = worker[i++].fd) {
		accepts(_metadata, fd);
		ASSERT_TRUE(worker_finish(&worker[i]));
		EXPECT_EQ(i % 3 == 2 ? EINPROGRESS : 0, worker[i].err);
		EXPECT_EQ(POLLOUT, poll_now(worker[i].fd));
		if (i + 1 < WAITERS)
			EXPECT_EQ(0, poll_now(worker[i + 1].fd));
	}
	ASSERT_TRUE(workers_settle(worker, WAITERS));
	/* Once each. A page fault can make a thread wait, too. If each
	 * accept() woke all, it would be some hundred.
	 */
	switches = workers_switches(worker, WAITERS) - switches;
	EXPECT_LE(blocked, switches);
	EXPECT_GE(2 * blocked, switches);
}

/* Waits for one event, and takes one connection */
static long call_epoll_accept(struct worker *worker)
{
	return call_epoll(worker) == EPOLLIN ? call_accept(worker) : -1;
}

static void start_acceptors(struct __test_metadata *_metadata,
			    struct worker worker[3],
			    long (*call)(struct worker *worker))
{
	int fd = my_listener(_metadata, 0, &channel), i;

	for (i = 0; i < 3; i++) {
		worker[i].call = call;
		worker[i].fd = fd;
		worker[i].epoll = make_epoll(_metadata, fd, EPOLLIN |
					     EPOLLEXCLUSIVE);
		worker_start(_metadata, &worker[i]);
	}
}

/* They sleep until there is one to accept: the second gets the one that the
 * first has admitted, and so on.
 */
TEST_F(type, sleeping_acceptors)
{
	struct worker worker[6] = {}, *acceptor;
	int i, round, fd[3];
	__u32 channels[2];

	for (i = 0; i < 2; i++) {
		start_acceptors(_metadata, &worker[3 * i],
				i ? call_epoll_accept : call_accept);
		channels[i] = channel;
	}
	for (round = 0; round < 2 * FEW_ROUNDS; round++) {
		acceptor = &worker[3 * (round % 2)];
		workers_sleep(_metadata, acceptor, 3);
		for (i = 0; i < 3; i++) {
			fd[i] = my_socket(_metadata);
			set_nonblock(_metadata, fd[i]);
			if (my_connect(fd[i], channels[round % 2]))
				ASSERT_EQ(EINPROGRESS, errno);
			if (round & 2)
				spin(round);
		}
		for (i = 0; i < 3; i++) {
			ASSERT_TRUE(worker_finish(&acceptor[i]))
				TH_LOG("round %d: one is left", round);
			ASSERT_LE(0, acceptor[i].ret);
			close(fd[i]);
			close(acceptor[i].ret);
		}
	}
}

/* All but one leave by a signal just when the connection comes. */
TEST_F(type, signal_passes_connection_on)
{
	struct worker worker[3] = {};
	int i, round, taken;

	catch_usr1(_metadata);
	start_acceptors(_metadata, worker, call_accept);
	for (round = 0; round < FEW_ROUNDS; round++) {
		workers_sleep(_metadata, worker, 3);
		interrupt(worker, 0, round % 3);
		spin(round);
		close(my_client(_metadata, channel));
		interrupt(worker, round % 3, 2);
		for (i = 0, taken = 0; i < 3; i++) {
			if (i == 2 && taken)
				close(my_client(_metadata, channel));
			ASSERT_TRUE(worker_finish(&worker[i]))
				TH_LOG("round %d: %d sleeps", round, i);
			taken += worker[i].ret >= 0;
			close(worker[i].ret);
		}
	}
}

TEST_F(type, epoll_of_both_ends)
{
	int i, fd, level, edge, in_level, in_edge;
	struct worker worker[2] = {};

	make_full(_metadata);
	in_level = make_epoll(_metadata, listener, EPOLLIN);
	in_edge = make_epoll_of(_metadata, listener, EPOLLIN | EPOLLET);
	fd = connecting(_metadata);
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
	EXPECT_EQ(EALREADY, err_of(my_connect(fd, channel)));
	EXPECT_EQ(0, next_event(edge, 0));
	/* One that waits is nothing that accept() could have. */
	EXPECT_EQ(0, next_event(in_edge, 0));

	accepts(_metadata, first);
	EXPECT_EQ(EPOLLOUT, next_event(edge, 0));
	EXPECT_EQ(0, next_event(edge, 0));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(EPOLLOUT, next_event(level, 0));
	ASSERT_TRUE(workers_settle(worker, 2));
	EXPECT_LE(1, worker_done(&worker[0]) + worker_done(&worker[1]));

	EXPECT_EQ(EPOLLIN, next_event(in_edge, 0));
	EXPECT_EQ(EPOLLIN, next_event(in_level, 0));
	accepts(_metadata, fd);
	EXPECT_EQ(0, next_event(in_edge, 0));
	EXPECT_EQ(0, next_event(in_level, 0));
}

TEST_F(type, sigio)
{
	const struct timespec timeout = { .tv_sec = WAIT_MS / 1000 };
	sigset_t set;
	int i, fd;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &set, NULL));
	make_full(_metadata);
	for (i = 0; i < 2; i++) {
		fd = connecting(_metadata);
		ASSERT_EQ(0, fcntl(fd, F_SETOWN, getpid()));
		ASSERT_EQ(0, fcntl(fd, F_SETFL, O_ASYNC));
	}
	/* One is connected, the other refused. */
	accepts(_metadata, first);
	EXPECT_EQ(SIGIO, sigtimedwait(&set, NULL, &timeout));
	ASSERT_EQ(0, shutdown(listener, SHUT_RD));
	EXPECT_EQ(SIGIO, sigtimedwait(&set, NULL, &timeout));
}

TEST_F(type, uring)
{
	struct io_uring_sqe sqe = make_sqe(IORING_OP_ASYNC_CANCEL, -1,
					   (void *)1, 0);
	struct io_uring_cqe cqe;
	struct sockaddr_my addr;
	struct ring ring;
	int i, fd[3];

	ring_init(return, &ring);
	make_full(_metadata);
	addr = my_addr(channel);
	fd[0] = uring_connecting(_metadata, &ring, &addr);
	accepts(_metadata, first);
	EXPECT_EQ(0, wait_result(_metadata, &ring));

	/* What is cancelled goes on. */
	fd[1] = uring_connecting(_metadata, &ring, &addr);
	submit(_metadata, &ring, &sqe);
	for (i = 0; i < 2; i++) {
		wait_cqe(_metadata, &ring, &cqe);
		EXPECT_EQ(cqe.user_data ? -ECANCELED : 0, cqe.res);
	}
	/* The same when the ring goes */
	fd[2] = uring_connecting(_metadata, &ring, &addr);
	close(ring.fd);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(POLLOUT, poll_now(fd[i]));
		expect_exchange(_metadata, fd[i], accepts(_metadata, fd[i]));
	}

	/* A multishot accept returns all, also those admitted later. */
	for (i = 0; i < 6; i++)
		if (i)
			connecting(_metadata);
		else
			my_client(_metadata, channel);
	ring_init(return, &ring);
	sqe = make_sqe(IORING_OP_ACCEPT, listener, NULL, 0);
	sqe.ioprio = IORING_ACCEPT_MULTISHOT;
	submit(_metadata, &ring, &sqe);
	for (i = 0; i < 6; i++)
		EXPECT_LE(0, wait_result(_metadata, &ring));
	EXPECT_EQ(EAGAIN, accept_err(listener));
}

/* A thousand */

#define CROWD		1000
#define THREADS		4
#define EACH		(CROWD / THREADS)

static int crowd[CROWD], crowd_done;
static bool crowd_closes;	/* some of its sockets while they wait */

static void *crowd_connect(void *arg)
{
	int *fd = arg, i;

	for (i = 0; i < EACH; i++) {
		fd[i] = socket(AF_MYPROTO, my_type | SOCK_NONBLOCK, 0);
		if (my_connect(fd[i], channel) && errno != EINPROGRESS)
			return "connect() failed";
		if (crowd_closes && i % 2) {
			close(fd[i / 2]);
			fd[i / 2] = -1;
		}
	}
	__atomic_add_fetch(&crowd_done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Accept until nobody is left; returns how many, each of which gets a byte. */
static int crowd_accept(struct __test_metadata *_metadata)
{
	int fd, accepted = 0;
	bool done;

	do {
		/* What is there when all have called connect(), is not lost. */
		done = __atomic_load_n(&crowd_done, __ATOMIC_SEQ_CST) ==
		       THREADS;
		while ((fd = accept(listener, NULL, NULL)) >= 0) {
			accepted++;
			try_send(fd);
		}
		ASSERT_EQ(EAGAIN, errno);
		/* Let some wait. */
		usleep(1000);
	} while (!done);
	return accepted;
}

TEST_F(type, thousand_by_threads)
{
	struct rlimit limit = { 4 * CROWD, 4 * CROWD };
	int i, round, accepted, served;
	pthread_t thread[THREADS];
	void *error;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	listener = my_listener(_metadata, 1, &channel);
	set_nonblock(_metadata, listener);
	for (round = 0; round < 2; round++) {
		crowd_closes = round;
		crowd_done = 0;
		for (i = 0; i < THREADS; i++)
			ASSERT_EQ(0, pthread_create(&thread[i], NULL,
						    crowd_connect,
						    &crowd[i * EACH]));
		accepted = crowd_accept(_metadata);
		for (i = 0; i < THREADS; i++) {
			ASSERT_EQ(0, pthread_join(thread[i], &error));
			EXPECT_EQ(NULL, error);
		}
		/* Who was not closed is connected, and has got one byte. */
		for (i = 0, served = 0; i < CROWD; i++) {
			if (crowd[i] < 0)
				continue;
			served++;
			ASSERT_EQ(POLLIN | POLLOUT, poll_now(crowd[i]));
			ASSERT_EQ(0, get_int_opt(_metadata, crowd[i],
						 SO_ERROR));
			ASSERT_EQ(0, try_recv(crowd[i]));
			ASSERT_EQ(EAGAIN, try_recv(crowd[i]));
			close(crowd[i]);
		}
		EXPECT_EQ(round ? CROWD / 2 : CROWD, served);
		EXPECT_LE(served, accepted);
		EXPECT_GE(CROWD, accepted);
	}
}

/* Accept as soon as poll() reports the shutdown. */
static long call_accept_after_shutdown(struct worker *worker)
{
	if (poll_for(worker->fd, POLLRDHUP, WAIT_MS) <= 0)
		return -1;
	while (!accept_err(worker->fd))
		;
	return 0;
}

/* accept() admits nobody to a listener that refuses those who wait. */
TEST_F(type, shutdown_refuses_in_order)
{
	struct worker worker = { .call = call_accept_after_shutdown };
	int i, round, fd[200];

	worker_start(_metadata, &worker);
	for (round = 0; round < 20; round++) {
		make_full(_metadata);
		for (i = 0; i < 200; i++)
			fd[i] = connecting(_metadata);
		worker.fd = listener;
		worker_sleep(_metadata, &worker);
		ASSERT_EQ(0, shutdown(listener, SHUT_RD));
		ASSERT_TRUE(worker_finish(&worker));
		EXPECT_EQ(0, worker.ret);
		for (i = 0; i < 200; i++) {
			ASSERT_EQ(ECONNREFUSED,
				  get_int_opt(_metadata, fd[i], SO_ERROR));
			close(fd[i]);
		}
		close(listener);
	}
}

TEST_HARNESS_MAIN

#include "destroy.h"

TEST_F(type, destroyed)
{
	static const struct ending endings[] = {
		{ "listener", false, my_destroy, 0, ECONNREFUSED },
		{ "own", true, my_destroy, 0, ECONNABORTED },
	};

	test_endings(_metadata, endings, ARRAY_SIZE(endings));
}
