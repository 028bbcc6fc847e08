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

/* Each socket has a reference to the module until it is freed. This test comes
 * first: what others leave is freed a little after them.
 */
TEST_F(type, nothing_is_left)
{
	static const char refs[] = "/sys/module/myproto/refcnt";
	int fd[4], i;
	long before;

	make_full(_metadata);
	before = proc_number(refs, "");
	for (i = 0; i < 4; i++)
		fd[i] = connecting(_metadata);
	close(fd[1]);
	EXPECT_EQ(0, shutdown(fd[2], SHUT_RDWR));
	close(listener);
	for (i = 0; i < 4; i++)
		close(fd[i]);
	EXPECT_EQ(1, sockets_settle_at(1));
	EXPECT_TRUE(wait_until(proc_number(refs, "") <= before));
}

/* SO_PEERCRED: the client sees the user of listen(), the other end that of
 * connect().
 */
TEST_F(type, meanwhile_and_completed)
{
	int fd, server;

	make_full(_metadata);
	ASSERT_EQ(0, seteuid(65534));
	fd = connecting(_metadata);
	ASSERT_EQ(0, seteuid(0));
	EXPECT_EQ(EALREADY, err_of(my_connect(fd, channel)));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ERROR));
	EXPECT_EQ(ENOTCONN, try_send(fd));
	EXPECT_EQ(ENOTCONN, try_recv(fd));
	EXPECT_EQ(ENOTCONN, my_peer_err(fd));
	EXPECT_EQ(EINVAL, err_of(my_dissolve(fd)));
	EXPECT_EQ(EINVAL, err_of(my_bind(fd, 5000)));
	EXPECT_EQ(EINVAL, err_of(listen(fd, 1)));
	EXPECT_EQ(EINVAL, accept_err(fd));
	/* This does not make it listen less. */
	ASSERT_EQ(0, shutdown(listener, SHUT_WR));

	/* None of it did any harm. */
	EXPECT_EQ(0, poll_now(fd));
	accepts(_metadata, first);
	EXPECT_EQ(POLLOUT, poll_now(fd));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ERROR));
	EXPECT_EQ(channel, my_peer(_metadata, fd));
	EXPECT_EQ(0U, my_peercred(_metadata, fd).uid);
	EXPECT_EQ(0, err_of(my_connect(fd, channel)));
	EXPECT_EQ(EISCONN, err_of(my_connect(fd, channel)));

	/* It need not wait for its own accept(). */
	expect_send(_metadata, fd, "early");
	server = accepts(_metadata, fd);
	EXPECT_EQ(65534U, my_peercred(_metadata, server).uid);
	expect_recv(_metadata, server, "early");
	expect_exchange(_metadata, fd, server);
}

/* listen() admits as many as fit; who is closed has left the line. */
TEST_F(type, line)
{
	int fd[6], i;

	make_full(_metadata);
	for (i = 0; i < 5; i++)
		fd[i] = connecting(_metadata);
	/* Who gives up after a time stays in the line, too. */
	fd[5] = my_socket(_metadata);
	set_timeout(_metadata, fd[5], SO_SNDTIMEO, 40);
	EXPECT_EQ(EINPROGRESS, err_of(my_connect(fd[5], channel)));
	EXPECT_EQ(EALREADY, err_of(my_connect(fd[5], channel)));
	close(fd[0]);
	close(fd[4]);
	ASSERT_EQ(0, listen(listener, 2));
	for (i = 1; i < 4; i++)
		EXPECT_EQ(i < 3 ? POLLOUT : 0, poll_now(fd[i]));

	/* With fewer places the others wait until there is one. */
	ASSERT_EQ(0, listen(listener, 0));
	accepts(_metadata, first);
	accepts(_metadata, fd[1]);
	EXPECT_EQ(0, poll_now(fd[3]));
	accepts(_metadata, fd[2]);
	EXPECT_EQ(POLLOUT, poll_now(fd[3]));
	EXPECT_EQ(0, poll_now(fd[5]));
	accepts(_metadata, fd[3]);
	EXPECT_EQ(POLLOUT, poll_now(fd[5]));
	accepts(_metadata, fd[5]);
	EXPECT_EQ(EAGAIN, accept_err(listener));
}

static long call_connect(struct worker *worker)
{
	return my_connect(worker->fd, worker->channel);
}

/* @flags: first it waits for one event. */
static long call_accept(struct worker *worker)
{
	if (worker->flags && call_epoll(worker) != EPOLLIN)
		return -1;
	return accept(worker->fd, NULL, NULL);
}

/* What ends the waiting: a call on the listener, or on each socket that is
 * connecting. NULL means shutdown(@how).
 */
struct ending {
	const char *name;
	bool own;
	int (*call)(int fd);
	int how;
	int err;	/* that they are told */
};

/* Two are non-blocking, and one has two processes in connect(); and each time
 * the socket can be used again.
 */
static void test_endings(struct __test_metadata *_metadata,
			 const struct ending *e, int n)
{
	int all = POLLOUT | POLLHUP, fd[3], told[2], epoll, own, i;
	pid_t pid[2];
	__u32 again;

	for (; n--; e++) {
		make_full(_metadata);
		fd[0] = connecting(_metadata);
		fd[1] = connecting(_metadata);
		fd[2] = my_socket(_metadata);
		epoll = make_epoll(_metadata, fd[0], EPOLLOUT | EPOLLET);
		/* The parent's descriptor of the listener is the only one. */
		for (i = 0; i < 2; i++)
			pid[i] = sleeping_child(close(listener) ?:
				err_of(my_connect(fd[2], channel)));
		for (i = 0; i < (e->own ? 3 : 1); i++) {
			own = e->own ? fd[i] : listener;
			ASSERT_EQ(0, e->call ? e->call(own) :
					       shutdown(own, e->how));
		}

		EXPECT_EQ(all | POLLERR, next_event(epoll, 0));
		EXPECT_EQ(all | POLLERR, poll_now(fd[0]));
		EXPECT_EQ(e->err, get_int_opt(_metadata, fd[0], SO_ERROR));
		EXPECT_EQ(0, get_int_opt(_metadata, fd[0], SO_ERROR));
		EXPECT_EQ(all, poll_now(fd[0]));
		listener = my_listener(_metadata, 100, &again);
		EXPECT_EQ(0, err_of(my_connect(fd[0], again)));
		expect_exchange(_metadata, fd[0], accepts(_metadata, fd[0]));

		/* The next call tells it, if nobody asked for SO_ERROR. */
		EXPECT_EQ(e->err, err_of(my_connect(fd[1], again)));
		EXPECT_EQ(0, err_of(my_connect(fd[1], again)));
		accepts(_metadata, fd[1]);

		/* Both calls fail, at least one of them with this error. */
		for (i = 0; i < 2; i++) {
			told[i] = my_wait(pid[i]);
			EXPECT_LT(0, told[i]);
		}
		EXPECT_TRUE(e->err == told[0] || e->err == told[1]);
		ASSERT_TRUE(__test_passed(_metadata)) TH_LOG("%s", e->name);
	}
}

TEST_F(type, ended)
{
	static const struct ending endings[] = {
		{ "listener closed", false, close, 0, ECONNREFUSED },
		{ "listener SHUT_RD", false, NULL, SHUT_RD, ECONNREFUSED },
		{ "listener SHUT_RDWR", false, NULL, SHUT_RDWR, ECONNREFUSED },
		{ "own SHUT_RD", true, NULL, SHUT_RD, ECONNRESET },
		{ "own SHUT_WR", true, NULL, SHUT_WR, ECONNRESET },
	};

	test_endings(_metadata, endings, ARRAY_SIZE(endings));
}

/* In order of arrival: who is connected is woken, and nobody else. */

#define WAITERS	10

TEST_F(type, in_order_one_woken)
{
	struct worker worker[WAITERS];
	long switches;
	int i;

	make_full(_metadata);
	workers_start(_metadata, worker, WAITERS, (struct worker) {
		.call = call_connect, .channel = channel,
	});
	for (i = 0; i < WAITERS; i++) {
		worker[i].fd = my_socket(_metadata);
		worker_sleep(_metadata, &worker[i]);
	}
	switches = workers_switches(worker, WAITERS);
	for (i = 0; i < WAITERS; i++) {
		accepts(_metadata, i ? worker[i - 1].fd : first);
		ASSERT_TRUE(worker_finish(&worker[i]));
		EXPECT_EQ(0, worker[i].err);
		EXPECT_EQ(POLLOUT, poll_now(worker[i].fd));
		if (i + 1 < WAITERS)
			EXPECT_EQ(0, poll_now(worker[i + 1].fd));
	}
	ASSERT_TRUE(workers_settle(worker, WAITERS));
	/* Once each. A page fault can make a thread wait, too. If each
	 * accept() woke all, it would be some fifty.
	 */
	switches = workers_switches(worker, WAITERS) - switches;
	EXPECT_LE(WAITERS, switches);
	EXPECT_GE(2 * WAITERS, switches);
}

static void start_acceptors(struct __test_metadata *_metadata,
			    struct worker worker[3], bool by_epoll)
{
	int fd = my_listener(_metadata, 0, &channel), i;

	for (i = 0; i < 3; i++)
		workers_start(_metadata, &worker[i], 1, (struct worker) {
			.call = call_accept,
			.flags = by_epoll,
			.fd = fd,
			.epoll = make_epoll(_metadata, fd,
					    EPOLLIN | EPOLLEXCLUSIVE),
		});
}

/* They sleep until there is one to accept: the second gets the one that the
 * first has admitted, and so on.
 */
TEST_F(type, sleeping_acceptors)
{
	struct worker worker[2][3];
	int by_epoll, i, round, fd[3];

	for (by_epoll = 0; by_epoll < 2; by_epoll++) {
		start_acceptors(_metadata, worker[by_epoll], by_epoll);
		for (round = 0; round < FEW_ROUNDS; round++) {
			workers_sleep(_metadata, worker[by_epoll], 3);
			for (i = 0; i < 3; i++) {
				fd[i] = my_socket(_metadata);
				set_nonblock(_metadata, fd[i]);
				if (my_connect(fd[i], channel))
					ASSERT_EQ(EINPROGRESS, errno);
				if (round % 2)
					spin(round);
			}
			ASSERT_TRUE(workers_finish(worker[by_epoll], 3))
				TH_LOG("round %d: one is left", round);
			for (i = 0; i < 3; i++) {
				ASSERT_LE(0, worker[by_epoll][i].ret);
				close(worker[by_epoll][i].ret);
				close(fd[i]);
			}
		}
	}
}

/* All but one leave by a signal just when the connection comes. */
TEST_F(type, signal_passes_connection_on)
{
	struct worker worker[3] = {};
	int i, round, taken;

	catch_usr1(_metadata);
	start_acceptors(_metadata, worker, false);
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
	struct worker worker[2];
	int i, fd, in, out;

	make_full(_metadata);
	in = make_epoll(_metadata, listener, EPOLLIN | EPOLLET);
	EXPECT_EQ(EPOLLIN, next_event(in, 0));
	fd = connecting(_metadata);
	out = make_epoll(_metadata, fd, EPOLLIN | EPOLLOUT | EPOLLET);
	for (i = 0; i < 2; i++)
		workers_start(_metadata, &worker[i], 1, (struct worker) {
			.call = call_epoll,
			.epoll = make_epoll(_metadata, fd, EPOLLOUT |
					    EPOLLEXCLUSIVE),
		});
	workers_sleep(_metadata, worker, 2);
	EXPECT_EQ(EALREADY, err_of(my_connect(fd, channel)));
	EXPECT_EQ(0, next_event(out, 0));
	/* One that waits is nothing that accept() could have. */
	EXPECT_EQ(0, next_event(in, 0));

	accepts(_metadata, first);
	EXPECT_EQ(EPOLLOUT, next_event(out, 0));
	EXPECT_EQ(0, next_event(out, 0));
	ASSERT_TRUE(workers_settle(worker, 2));
	EXPECT_LE(1, worker_done(&worker[0]) + worker_done(&worker[1]));
	EXPECT_EQ(EPOLLIN, next_event(in, 0));
	EXPECT_EQ(POLLIN, poll_now(listener));
	accepts(_metadata, fd);
	EXPECT_EQ(0, next_event(in, 0));
	EXPECT_EQ(0, poll_now(listener));
}

/* One is connected, the other refused. */
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
	accepts(_metadata, first);
	EXPECT_EQ(SIGIO, sigtimedwait(&set, NULL, &timeout));
	ASSERT_EQ(0, shutdown(listener, SHUT_RD));
	EXPECT_EQ(SIGIO, sigtimedwait(&set, NULL, &timeout));
}

TEST_F(type, uring)
{
	struct io_uring_sqe sqe;
	struct sockaddr_my addr;
	struct ring ring = {};
	int i;

	ring_init(return, &ring);
	make_full(_metadata);
	addr = my_addr(channel);
	for (i = 0; i < 2; i++) {
		sqe = make_sqe(IORING_OP_CONNECT, my_socket(_metadata), &addr,
			       0);
		sqe.addr2 = sizeof(addr);
		submit(_metadata, &ring, &sqe);
		EXPECT_TRUE(still_waits(&ring));
		if (i)
			close(listener);
		else
			accepts(_metadata, first);
		EXPECT_EQ(i ? -ECONNREFUSED : 0, wait_result(_metadata, &ring));
	}
}

/* A thousand, of which some are closed while they wait in the second round */

static int crowd[1000];

static long call_crowd(struct worker *worker)
{
	int *fd = &crowd[worker->channel], i;

	for (i = 0; i < 250; i++) {
		fd[i] = socket(AF_MYPROTO, my_type | SOCK_NONBLOCK, 0);
		if (my_connect(fd[i], channel) && errno != EINPROGRESS)
			return -1;
		if (worker->flags && i % 2) {
			close(fd[i / 2]);
			fd[i / 2] = -1;
		}
	}
	return 0;
}

TEST_F(type, thousand)
{
	int i, fd, round, served, accepted;
	struct rlimit limit = { 4000, 4000 };
	struct worker client[4];
	bool done;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	listener = my_listener(_metadata, 1, &channel);
	set_nonblock(_metadata, listener);
	for (round = 0; round < 2; round++) {
		workers_start(_metadata, client, 4, (struct worker) {
			.call = call_crowd, .flags = round,
		});
		for (i = 0; i < 4; i++) {
			client[i].channel = i * 250;
			worker_tell(&client[i]);
		}
		accepted = 0;
		do {
			for (done = true, i = 0; i < 4; i++)
				done &= worker_idle(&client[i]);
			while ((fd = accept(listener, NULL, NULL)) >= 0) {
				accepted++;
				try_send(fd);
			}
			ASSERT_EQ(EAGAIN, errno);
			/* Let some wait. */
			usleep(1000);
		} while (!done);
		for (i = 0; i < 4; i++)
			EXPECT_EQ(0, client[i].ret);
		/* Who was not closed is connected, and has got one byte. */
		for (i = 0, served = 0; i < 1000; i++) {
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
		EXPECT_EQ(round ? 500 : 1000, served);
		EXPECT_LE(served, accepted);
		EXPECT_GE(1000, accepted);
	}
}

/* Accept as soon as poll() reports the shutdown. */
static int accept_after_shutdown(void)
{
	int err = poll_for(listener, POLLRDHUP, WAIT_MS) <= 0;

	while (!err)
		err = accept_err(listener);
	return err;
}

/* accept() admits nobody to a listener that refuses those who wait. */
TEST_F(type, shutdown_refuses_in_order)
{
	int i, round, fd[200];
	pid_t pid;

	for (round = 0; round < 20; round++) {
		make_full(_metadata);
		for (i = 0; i < 200; i++)
			fd[i] = connecting(_metadata);
		pid = sleeping_child(accept_after_shutdown());
		ASSERT_EQ(0, shutdown(listener, SHUT_RD));
		EXPECT_EQ(EINVAL, my_wait(pid));
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
