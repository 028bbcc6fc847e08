// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO calls that meet: two processes with the same descriptors call at
 * the same moment, over and over, and each time the outcome must be one of
 * those that a serial order gives. Then many processes and many sockets.
 */
#include <sys/mman.h>
#include <sys/syscall.h>

#include <linux/sched.h>

#include "pair.h"

#define ROUNDS		100
#define RACE_MS		700	/* fewer rounds on a slow machine */

/* Two processes that meet */

struct race {
	__u32 channel[2];
	int fd[4];
	int err[2];	/* what left() and right() returned */
	int arrived;	/* the barrier: how many came, ever */
	int stop;
};

/* The four parts of a race; left() and right() run at the same time. */
struct race_ops {
	void (*prepare)(struct __test_metadata *_metadata, struct race *race);
	int (*left)(struct race *race);
	int (*right)(struct race *race);
	void (*check)(struct __test_metadata *_metadata, struct race *race);
};

/* Both wait here until the other one has come. */
static void race_meet(struct race *race)
{
	int ticket = __atomic_add_fetch(&race->arrived, 1, __ATOMIC_SEQ_CST);
	int both = (ticket + 1) / 2 * 2, spins = 0;

	while (__atomic_load_n(&race->arrived, __ATOMIC_SEQ_CST) < both)
		if (++spins > 1000)
			sched_yield();
}

/* Come a little early or late, to try many offsets */
static void race_jitter(unsigned int *state)
{
	unsigned int i;

	*state = *state * 1103515245 + 12345;
	for (i = (*state >> 16) % 2000; i; i--)
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void race_child(struct race *race, const struct race_ops *ops)
{
	unsigned int state = 1;

	for (;;) {
		race_meet(race);
		if (race->stop)
			_exit(0);
		race_jitter(&state);
		race->err[1] = ops->right(race);
		race_meet(race);
	}
}

/* A child that shares the descriptors, so that both close the same ones */
static pid_t race_clone(struct __test_metadata *_metadata)
{
	struct clone_args args = {
		.flags = CLONE_FILES,
		.exit_signal = SIGCHLD,
	};
	pid_t pid = syscall(SYS_clone3, &args, sizeof(args));

	ASSERT_LE(0, pid);
	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static void race_run(struct __test_metadata *_metadata,
		     const struct race_ops *ops)
{
	long end = now_ms() + RACE_MS;
	unsigned int state = 2;
	struct race *race;
	int i, round;
	pid_t pid;

	race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, race);

	pid = race_clone(_metadata);
	if (!pid)
		race_child(race, ops);

	for (round = 0; round < ROUNDS && now_ms() < end &&
	     !_metadata->exit_code; round++) {
		for (i = 0; i < 4; i++)
			race->fd[i] = -1;
		ops->prepare(_metadata, race);
		race_meet(race);
		race_jitter(&state);
		race->err[0] = ops->left(race);
		race_meet(race);
		ops->check(_metadata, race);
		for (i = 0; i < 4; i++)
			close(race->fd[i]);
	}

	race->stop = 1;
	race_meet(race);
	EXPECT_EQ(0, my_wait(pid));
	EXPECT_LT(0, round);
}

static bool one_of(int err, int a, int b)
{
	return err == a || err == b;
}

/* Close a descriptor that another process may be using */
static int race_close(int *fd)
{
	int err = err_of(close(*fd));

	*fd = -1;
	return err;
}

/* What several races start from */

static void prepare_pair(struct __test_metadata *_metadata, struct race *race)
{
	my_connection(_metadata, race->fd);
}

static void prepare_full_pair(struct __test_metadata *_metadata,
			      struct race *race)
{
	int small = 1;

	my_connection(_metadata, race->fd);
	ASSERT_EQ(0, setsockopt(race->fd[1], SOL_SOCKET, SO_RCVBUF, &small,
				sizeof(small)));
	my_fill(_metadata, race->fd[0], 1000);
}

/* fd[0] is not bound, fd[1] listens on channel[1] */
static void prepare_connect(struct __test_metadata *_metadata,
			    struct race *race)
{
	race->fd[0] = my_socket(_metadata);
	race->fd[1] = my_listener(_metadata, 5, &race->channel[1]);
}

static int send_byte(struct race *race)
{
	return err_of(send(race->fd[0], "x", 1, MSG_NOSIGNAL));
}

static int recv_byte(struct race *race)
{
	char c;
	ssize_t n = recv(race->fd[0], &c, 1, 0);

	return n < 0 ? errno : n ? 0 : ENODATA;
}

static int peer_sends_byte(struct race *race)
{
	return err_of(send(race->fd[1], "x", 1, MSG_NOSIGNAL));
}

static int peer_drains(struct race *race)
{
	char buf[4096];

	while (recv(race->fd[1], buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
	return 0;
}

static int peer_closes(struct race *race)
{
	return race_close(&race->fd[1]);
}

static int peer_shuts_rd(struct race *race)
{
	return err_of(shutdown(race->fd[1], SHUT_RD));
}

static int shuts_wr(struct race *race)
{
	return err_of(shutdown(race->fd[0], SHUT_WR));
}

static int connects(struct race *race)
{
	return err_of(my_connect(race->fd[0], race->channel[1]));
}

static int accepts(struct race *race)
{
	race->fd[2] = accept(race->fd[1], NULL, NULL);
	return err_of(race->fd[2]);
}

static void check_both_succeed(struct __test_metadata *_metadata,
			       struct race *race)
{
	EXPECT_EQ(0, race->err[0]);
	EXPECT_EQ(0, race->err[1]);
}

/* bind */

static void prepare_two(struct __test_metadata *_metadata, struct race *race)
{
	race->fd[0] = my_socket(_metadata);
	race->fd[1] = my_socket(_metadata);
}

static int bind_first(struct race *race)
{
	return err_of(my_bind(race->fd[0], 5000));
}

static int bind_second(struct race *race)
{
	return err_of(my_bind(race->fd[1], 5000));
}

static void check_one_bound(struct __test_metadata *_metadata,
			    struct race *race)
{
	int winner = race->err[0] ? 1 : 0;

	EXPECT_EQ(0, race->err[winner]);
	EXPECT_EQ(EADDRINUSE, race->err[!winner]);
	EXPECT_EQ(5000, my_channel(_metadata, race->fd[winner]));
	EXPECT_EQ(0, my_channel(_metadata, race->fd[!winner]));
}

TEST(bind_two_sockets_to_one_channel)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_two, bind_first, bind_second, check_one_bound });
}

static int bind_first_elsewhere(struct race *race)
{
	return err_of(my_bind(race->fd[0], 5001));
}

static void check_bound_once(struct __test_metadata *_metadata,
			     struct race *race)
{
	EXPECT_EQ(EINVAL, race->err[0] + race->err[1]);
	EXPECT_EQ(race->err[0] ? 5001 : 5000,
		  my_channel(_metadata, race->fd[0]));

	/* The loser took no channel. */
	EXPECT_EQ(0, my_bind(race->fd[1], race->err[0] ? 5000 : 5001));
}

TEST(bind_one_socket_to_two_channels)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_two, bind_first, bind_first_elsewhere,
		check_bound_once });
}

static void check_bind_or_autobind(struct __test_metadata *_metadata,
				   struct race *race)
{
	__s64 channel = my_channel(_metadata, race->fd[0]);

	EXPECT_EQ(0, race->err[0]);
	EXPECT_TRUE(one_of(race->err[1], 0, EINVAL));
	EXPECT_TRUE(race->err[1] ? channel >= DYNAMIC_START : channel == 5000);
	ASSERT_EQ(0, accepts(race));
	EXPECT_EQ(channel, my_peer(_metadata, race->fd[2]));
}

TEST(bind_and_connect_one_socket)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_connect, connects, bind_first,
		check_bind_or_autobind });
}

static void prepare_bound_and_free(struct __test_metadata *_metadata,
				   struct race *race)
{
	race->fd[0] = my_socket(_metadata);
	race->fd[1] = my_bound_socket(_metadata, 5000);
}

static void check_bind_and_close(struct __test_metadata *_metadata,
				 struct race *race)
{
	EXPECT_TRUE(one_of(race->err[0], 0, EADDRINUSE));
	if (race->err[0])
		EXPECT_EQ(0, bind_first(race));
}

TEST(bind_and_close_of_holder)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_bound_and_free, bind_first, peer_closes,
		check_bind_and_close });
}

/* connect and listen */

static void prepare_two_listeners(struct __test_metadata *_metadata,
				  struct race *race)
{
	prepare_connect(_metadata, race);
	race->fd[2] = my_listener(_metadata, 5, &race->channel[0]);
	set_nonblock(_metadata, race->fd[1]);
	set_nonblock(_metadata, race->fd[2]);
}

static int connects_elsewhere(struct race *race)
{
	return err_of(my_connect(race->fd[0], race->channel[0]));
}

static void check_connected_once(struct __test_metadata *_metadata,
				 struct race *race)
{
	int winner = race->err[0] ? 1 : 0;

	EXPECT_EQ(0, race->err[winner]);
	EXPECT_EQ(EISCONN, race->err[!winner]);

	/* The listener of the loser has nothing. */
	race->fd[3] = accept(race->fd[winner ? 2 : 1], NULL, NULL);
	EXPECT_LE(0, race->fd[3]);
	EXPECT_EQ(EAGAIN, err_of(accept(race->fd[winner ? 1 : 2], NULL, NULL)));
}

TEST(connect_one_socket_to_two_listeners)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_two_listeners, connects, connects_elsewhere,
		check_connected_once });
}

static int listens(struct race *race)
{
	return err_of(listen(race->fd[0], 1));
}

static void prepare_bound_connect(struct __test_metadata *_metadata,
				  struct race *race)
{
	prepare_connect(_metadata, race);
	ASSERT_EQ(0, my_bind(race->fd[0], 5000));
}

static void check_listening_or_connected(struct __test_metadata *_metadata,
					 struct race *race)
{
	EXPECT_EQ(EINVAL, race->err[0] + race->err[1]);
	EXPECT_EQ(!race->err[1],
		  get_int_opt(_metadata, race->fd[0], SO_ACCEPTCONN));
	set_nonblock(_metadata, race->fd[1]);
	EXPECT_EQ(race->err[0] ? EAGAIN : 0, accepts(race));
}

TEST(connect_and_listen_one_socket)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_bound_connect, connects, listens,
		check_listening_or_connected });
}

static void check_refused_or_reset(struct __test_metadata *_metadata,
				   struct race *race)
{
	EXPECT_TRUE(one_of(race->err[0], 0, ECONNREFUSED));
	EXPECT_EQ(0, race->err[1]);
	if (race->err[0]) {
		EXPECT_EQ(ENOTCONN, try_recv(race->fd[0]));
		return;
	}
	EXPECT_EQ(ECONNRESET, try_recv(race->fd[0]));
	expect_eof(_metadata, race->fd[0]);
}

TEST(connect_and_close_of_listener)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_connect, connects, peer_closes,
		check_refused_or_reset });
}

static void check_refused_or_waiting(struct __test_metadata *_metadata,
				     struct race *race)
{
	EXPECT_TRUE(one_of(race->err[0], 0, ECONNREFUSED));
	EXPECT_EQ(0, race->err[1]);
	EXPECT_EQ(ECONNREFUSED,
		  err_of(my_connect(my_socket(_metadata), race->channel[1])));
	EXPECT_EQ(0, peer_closes(race));
	EXPECT_EQ(race->err[0] ? ENOTCONN : ECONNRESET, try_recv(race->fd[0]));
}

TEST(connect_and_shutdown_of_listener)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_connect, connects, peer_shuts_rd,
		check_refused_or_waiting });
}

/* Sleepers that must not miss what they wait for */

static void prepare_full_backlog(struct __test_metadata *_metadata,
				 struct race *race)
{
	race->fd[0] = my_socket(_metadata);
	race->fd[1] = my_listener(_metadata, 0, &race->channel[1]);
	race->fd[3] = my_client(_metadata, race->channel[1]);
}

TEST(connect_waits_and_accept_makes_room)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_full_backlog, connects, accepts,
		check_both_succeed });
}

TEST(accept_waits_and_connect_comes)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_connect, accepts, connects, check_both_succeed });
}

TEST(recv_waits_and_send_comes)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_pair, recv_byte, peer_sends_byte,
		check_both_succeed });
}

TEST(send_waits_and_drain_makes_room)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_full_pair, send_byte, peer_drains,
		check_both_succeed });
}

static int polls_in(struct race *race)
{
	return poll_for(race->fd[0], POLLIN, WAIT_MS) == POLLIN ? 0 : ETIME;
}

TEST(poll_waits_and_send_comes)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_pair, polls_in, peer_sends_byte, check_both_succeed });
}

static int polls_out(struct race *race)
{
	return poll_for(race->fd[0], POLLOUT, WAIT_MS) == POLLOUT ? 0 : ETIME;
}

TEST(poll_waits_and_drain_makes_room)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_full_pair, polls_out, peer_drains,
		check_both_succeed });
}

/* accept */

static void prepare_waiting(struct __test_metadata *_metadata,
			    struct race *race)
{
	race->fd[1] = my_listener(_metadata, 1, &race->channel[1]);
	race->fd[0] = my_client(_metadata, race->channel[1]);
	set_nonblock(_metadata, race->fd[1]);
}

static int closes(struct race *race)
{
	return race_close(&race->fd[0]);
}

static void check_accepted_eof(struct __test_metadata *_metadata,
			       struct race *race)
{
	EXPECT_EQ(0, race->err[0]);
	EXPECT_EQ(0, race->err[1]);
	expect_eof(_metadata, race->fd[2]);
}

TEST(accept_and_close_of_client)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_waiting, accepts, closes, check_accepted_eof });
}

static void check_accepted_or_reset(struct __test_metadata *_metadata,
				    struct race *race)
{
	EXPECT_TRUE(one_of(race->err[0], 0, EBADF));
	EXPECT_EQ(race->err[0] ? ECONNRESET : EAGAIN, try_recv(race->fd[0]));
}

TEST(accept_and_close_of_listener)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_waiting, accepts, peer_closes,
		check_accepted_or_reset });
}

static int accepts_too(struct race *race)
{
	race->fd[3] = accept(race->fd[1], NULL, NULL);
	return err_of(race->fd[3]);
}

static void check_accepted_once(struct __test_metadata *_metadata,
				struct race *race)
{
	EXPECT_EQ(EAGAIN, race->err[0] + race->err[1]);
}

TEST(accept_and_accept)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_waiting, accepts, accepts_too, check_accepted_once });
}

static void check_accepted_or_einval(struct __test_metadata *_metadata,
				     struct race *race)
{
	EXPECT_TRUE(one_of(race->err[0], 0, EINVAL));
	EXPECT_EQ(0, race->err[1]);
}

static void prepare_accept(struct __test_metadata *_metadata,
			   struct race *race)
{
	race->fd[1] = my_listener(_metadata, 1, &race->channel[1]);
}

TEST(accept_waits_and_shutdown_comes)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_accept, accepts, peer_shuts_rd,
		check_accepted_or_einval });
}

/* Data and the end of a connection: nothing a send() took may vanish */

static void check_sent_or_epipe(struct __test_metadata *_metadata,
				struct race *race)
{
	EXPECT_TRUE(one_of(race->err[0], 0, EPIPE));
	EXPECT_EQ(0, race->err[1]);

	/* The peer closed with the byte unread, or without it. */
	if (!race->err[0])
		EXPECT_EQ(ECONNRESET, try_recv(race->fd[0]));
	expect_eof(_metadata, race->fd[0]);
}

TEST(send_and_close_of_peer)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_pair, send_byte, peer_closes, check_sent_or_epipe });
}

static void check_peer_got_what_was_sent(struct __test_metadata *_metadata,
					 struct race *race)
{
	EXPECT_TRUE(one_of(race->err[0], 0, EPIPE));
	EXPECT_EQ(0, race->err[1]);
	if (!race->err[0])
		expect_recv(_metadata, race->fd[1], "x");
	expect_eof(_metadata, race->fd[1]);
}

TEST(send_and_shutdown_rd_of_peer)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_pair, send_byte, peer_shuts_rd,
		check_peer_got_what_was_sent });
}

TEST(send_and_own_shutdown_wr)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_pair, send_byte, shuts_wr,
		check_peer_got_what_was_sent });
}

static int peer_sends_and_closes(struct race *race)
{
	return peer_sends_byte(race) ?: peer_closes(race);
}

static void check_received_then_eof(struct __test_metadata *_metadata,
				    struct race *race)
{
	EXPECT_EQ(0, race->err[0]);
	EXPECT_EQ(0, race->err[1]);
	expect_eof(_metadata, race->fd[0]);
}

TEST(recv_and_last_send_and_close)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_pair, recv_byte, peer_sends_and_closes,
		check_received_then_eof });
}

static void check_recv_eof(struct __test_metadata *_metadata,
			   struct race *race)
{
	EXPECT_EQ(ENODATA, race->err[0]);
	EXPECT_EQ(0, race->err[1]);
}

TEST(recv_waits_and_close_of_peer)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_pair, recv_byte, peer_closes, check_recv_eof });
}

/* A full queue: the sender waits when the peer closes with all of it unread */
static void check_send_epipe(struct __test_metadata *_metadata,
			     struct race *race)
{
	EXPECT_EQ(EPIPE, race->err[0]);
	EXPECT_EQ(0, race->err[1]);
}

TEST(send_waits_and_close_of_peer)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_full_pair, send_byte, peer_closes, check_send_epipe });
}

TEST(send_waits_and_shutdown_rd_of_peer)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_full_pair, send_byte, peer_shuts_rd,
		check_send_epipe });
}

TEST(close_of_both_ends)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_full_pair, closes, peer_closes, check_both_succeed });
}

static void prepare_unread_pair(struct __test_metadata *_metadata,
				struct race *race)
{
	my_socketpair(_metadata, race->fd);
	expect_send(_metadata, race->fd[0], "unread");
	expect_send(_metadata, race->fd[1], "unread");
}

TEST(close_of_both_ends_with_unread)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_unread_pair, closes, peer_closes,
		check_both_succeed });
}

static int shuts_rdwr(struct race *race)
{
	return err_of(shutdown(race->fd[0], SHUT_RDWR));
}

static int peer_shuts_rdwr(struct race *race)
{
	return err_of(shutdown(race->fd[1], SHUT_RDWR));
}

static void check_both_hup(struct __test_metadata *_metadata,
			   struct race *race)
{
	check_both_succeed(_metadata, race);
	EXPECT_TRUE(poll_now(race->fd[0]) & POLLHUP);
	EXPECT_TRUE(poll_now(race->fd[1]) & POLLHUP);
}

TEST(shutdown_of_both_ends)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_pair, shuts_rdwr, peer_shuts_rdwr, check_both_hup });
}

static void check_shutdown_and_close(struct __test_metadata *_metadata,
				     struct race *race)
{
	EXPECT_TRUE(one_of(race->err[0], 0, ENOTCONN));
	EXPECT_EQ(0, race->err[1]);
	EXPECT_TRUE(poll_now(race->fd[0]) & POLLHUP);
}

TEST(shutdown_and_close_of_peer)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_pair, shuts_rdwr, peer_closes,
		check_shutdown_and_close });
}

static int asks_names(struct race *race)
{
	struct sockaddr_my addr;
	socklen_t len = sizeof(addr);

	if (getsockname(race->fd[0], (struct sockaddr *)&addr, &len))
		return errno;
	return err_of(getpeername(race->fd[0], (struct sockaddr *)&addr, &len));
}

static void check_names(struct __test_metadata *_metadata, struct race *race)
{
	EXPECT_TRUE(one_of(race->err[0], 0, ENOTCONN));
	EXPECT_EQ(0, race->err[1]);
	EXPECT_EQ(0, asks_names(race));
}

TEST(getpeername_and_connect)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_connect, asks_names, connects, check_names });
}

static void check_name_stays(struct __test_metadata *_metadata,
			     struct race *race)
{
	check_both_succeed(_metadata, race);
	EXPECT_EQ(0, asks_names(race));
}

TEST(getpeername_and_close_of_peer)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_pair, asks_names, peer_closes, check_name_stays });
}

/* Two readers of one socket */

static void prepare_two_bytes(struct __test_metadata *_metadata,
			      struct race *race)
{
	my_connection(_metadata, race->fd);
	expect_send(_metadata, race->fd[1], "ab");
}

/* Returns the byte, of a socket that has one for each. */
static int recv_value(struct race *race)
{
	char c;

	return recv(race->fd[0], &c, 1, 0) == 1 ? c : 0;
}

static void check_each_got_one(struct __test_metadata *_metadata,
			       struct race *race)
{
	EXPECT_EQ('a' + 'b', race->err[0] + race->err[1]);
	EXPECT_EQ(EAGAIN, try_recv(race->fd[0]));
}

TEST(recv_and_recv)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_two_bytes, recv_value, recv_value,
		check_each_got_one });
}

/* Many sockets and processes */

#define CONNECTIONS	500

/* Every connection says its own thing, and all are open at the same time. */
TEST(connections_500_at_once)
{
	__u32 channel, value, index;
	int fd[CONNECTIONS];
	int listener, i;
	pid_t pid;

	/* One half in each process: the usual limit is 1024 descriptors. */
	listener = my_listener(_metadata, 50, &channel);
	pid = my_fork(_metadata);
	if (!pid) {
		close(listener);
		for (index = 0; index < CONNECTIONS; index++) {
			fd[index] = socket(AF_MYPROTO, SOCK_STREAM, 0);
			if (my_connect(fd[index], channel) ||
			    write(fd[index], &index, sizeof(index)) < 0)
				_exit(1);
		}
		for (index = 0; index < CONNECTIONS; index++) {
			if (read(fd[index], &value, sizeof(value)) !=
			    sizeof(value) || value != ~index)
				_exit(2);
		}
		_exit(0);
	}

	for (i = 0; i < CONNECTIONS; i++) {
		fd[i] = accept(listener, NULL, NULL);
		ASSERT_LE(0, fd[i]);
	}
	/* All are open now; answer in another order. */
	for (i = CONNECTIONS - 1; i >= 0; i--) {
		ASSERT_EQ((ssize_t)sizeof(value),
			  read(fd[i], &value, sizeof(value)));
		EXPECT_EQ((__u32)i, value);
		value = ~value;
		ASSERT_EQ((ssize_t)sizeof(value),
			  write(fd[i], &value, sizeof(value)));
	}
	EXPECT_EQ(0, my_wait(pid));
}

#define CLIENTS		6
#define CONNECTS	50

/* Exits with 0 when each connection echoed its greeting */
static void client_loop(__u32 channel, __u32 id)
{
	__u32 value, i;
	int fd;

	for (i = 0; i < CONNECTS; i++) {
		fd = socket(AF_MYPROTO, SOCK_STREAM, 0);
		if (my_connect(fd, channel))
			_exit(1);
		value = id * CONNECTS + i;
		if (write(fd, &value, sizeof(value)) != sizeof(value))
			_exit(2);
		if (read(fd, &value, sizeof(value)) != sizeof(value))
			_exit(3);
		if (value != ~(id * CONNECTS + i))
			_exit(4);
		close(fd);
	}
	_exit(0);
}

/* Serve until the listener is shut down; exits with 0 then */
static void server_loop(int listener, int *served)
{
	__u32 value;
	int fd;

	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		if (read(fd, &value, sizeof(value)) != sizeof(value))
			_exit(1);
		value = ~value;
		if (write(fd, &value, sizeof(value)) != sizeof(value))
			_exit(2);
		close(fd);
		__atomic_add_fetch(served, 1, __ATOMIC_SEQ_CST);
	}
	_exit(errno == EINVAL ? 0 : 3);
}

/* A backlog far too small, two servers on one listener, many clients */
TEST(many_clients_of_one_listener)
{
	pid_t client[CLIENTS], server[2];
	__u32 channel, i;
	int listener;
	int *served;

	served = mmap(NULL, sizeof(*served), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, served);
	listener = my_listener(_metadata, 1, &channel);

	for (i = 0; i < ARRAY_SIZE(server); i++) {
		server[i] = my_fork(_metadata);
		if (!server[i])
			server_loop(listener, served);
	}
	for (i = 0; i < CLIENTS; i++) {
		client[i] = my_fork(_metadata);
		if (!client[i])
			client_loop(channel, i);
	}

	for (i = 0; i < CLIENTS; i++)
		EXPECT_EQ(0, my_wait(client[i]));
	ASSERT_EQ(0, shutdown(listener, SHUT_RD));
	for (i = 0; i < ARRAY_SIZE(server); i++)
		EXPECT_EQ(0, my_wait(server[i]));
	EXPECT_EQ(CLIENTS * CONNECTS, *served);
}

#define LETTERS		4
#define PER_LETTER	20000

/* Write @letter PER_LETTER times, in pieces */
static void writer(int fd, char letter)
{
	char buf[100];
	int i;

	memset(buf, letter, sizeof(buf));
	for (i = 0; i < PER_LETTER; i += sizeof(buf))
		if (write(fd, buf, sizeof(buf)) != sizeof(buf))
			_exit(1);
	_exit(0);
}

/* Count the letters until the end, into memory shared with other readers */
static void reader(int fd, int *count)
{
	char buf[333];
	ssize_t n, i;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (i = 0; i < n; i++)
			__atomic_add_fetch(&count[buf[i] & 0xff], 1,
					   __ATOMIC_RELAXED);
	_exit(n ? 1 : 0);
}

/* Whoever gets them: as many letters come out as were put in. */
TEST_F(pair, many_writers_and_readers)
{
	pid_t out[LETTERS], in[LETTERS];
	int *count, i;

	count = mmap(NULL, 256 * sizeof(*count), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, count);

	for (i = 0; i < LETTERS; i++) {
		out[i] = my_fork(_metadata);
		if (!out[i])
			writer(self->fd[0], 'a' + i);
		in[i] = my_fork(_metadata);
		if (!in[i])
			reader(self->fd[1], count);
	}
	for (i = 0; i < LETTERS; i++)
		EXPECT_EQ(0, my_wait(out[i]));
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_WR));
	for (i = 0; i < LETTERS; i++)
		EXPECT_EQ(0, my_wait(in[i]));

	for (i = 0; i < 256; i++)
		EXPECT_EQ(i >= 'a' && i < 'a' + LETTERS ? PER_LETTER : 0,
			  count[i]);
}

/* A peer killed in the middle of what it does leaves an end, never a hang. */
TEST(killed_peer_ends_connection)
{
	char buf[5000] = "";
	int fd[2], i;
	ssize_t n;
	pid_t pid;

	for (i = 0; i < 30; i++) {
		my_connection(_metadata, fd);
		pid = my_fork(_metadata);
		if (!pid) {
			close(fd[0]);
			for (;;)
				if (write(fd[1], buf, sizeof(buf)) < 0 ||
				    recv(fd[1], buf, 100, MSG_DONTWAIT) == 0)
					_exit(1);
		}
		close(fd[1]);
		ASSERT_EQ(0, err_of(send(fd[0], buf, 1 + i * 7, MSG_NOSIGNAL)));
		ASSERT_LT(0, read(fd[0], buf, sizeof(buf)));
		EXPECT_EQ(-SIGKILL, my_kill(pid));

		do {
			n = recv(fd[0], buf, sizeof(buf), MSG_DONTWAIT);
		} while (n > 0);
		if (n < 0)
			EXPECT_EQ(ECONNRESET, errno);
		expect_eof(_metadata, fd[0]);
		close(fd[0]);
	}
}

/* Sockets of every state, made and left behind by several processes */
static void churn(__u32 channel, unsigned int seed)
{
	long end = now_ms() + 1000;
	int fd[2], i;

	for (i = 0; now_ms() < end; i++) {
		switch ((i + seed) % 4) {
		case 0:
			if (socketpair(AF_MYPROTO, SOCK_STREAM, 0, fd))
				_exit(1);
			if (write(fd[0], "abc", 3) != 3)
				_exit(2);
			close(fd[0]);
			close(fd[1]);
			break;
		case 1:
			fd[0] = socket(AF_MYPROTO, SOCK_STREAM | SOCK_NONBLOCK,
				       0);
			if (my_connect(fd[0], channel) && errno != EAGAIN)
				_exit(3);
			close(fd[0]);
			break;
		case 2:
			fd[0] = socket(AF_MYPROTO, SOCK_STREAM, 0);
			if (my_bind(fd[0], MYPROTO_CHANNEL_ANY) ||
			    listen(fd[0], 1))
				_exit(4);
			close(fd[0]);
			break;
		case 3:
			fd[0] = socket(AF_MYPROTO, SOCK_STREAM, 0);
			if (my_connect(fd[0], 5000) && errno != ECONNREFUSED)
				_exit(5);
			close(fd[0]);
			break;
		}
	}
	_exit(0);
}

TEST(churn_leaves_no_socket)
{
	int before, listener, fd, i;
	long end = now_ms();
	__u32 channel;
	pid_t pid[4];

	if (unshare(CLONE_NEWNET))
		SKIP(return, "no new netns: %s", strerror(errno));

	before = sockets_in_use();
	ASSERT_EQ(0, before);
	listener = my_listener(_metadata, 5, &channel);
	EXPECT_EQ(1, sockets_in_use());
	set_nonblock(_metadata, listener);
	for (i = 0; i < 4; i++) {
		pid[i] = my_fork(_metadata);
		if (!pid[i])
			churn(channel, i);
	}

	/* Accept some, and leave some for close(). */
	for (end += 1000; now_ms() < end;) {
		poll_for(listener, POLLIN, 10);
		fd = accept(listener, NULL, NULL);
		if (fd >= 0)
			close(fd);
	}
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, my_wait(pid[i]));
	close(listener);

	/* Sockets go after a grace period. */
	end = now_ms() + WAIT_MS;
	while (sockets_in_use() > before && now_ms() < end)
		usleep(10000);
	EXPECT_EQ(before, sockets_in_use());
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
