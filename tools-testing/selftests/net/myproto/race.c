// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO calls that meet: two processes with the same descriptors call at
 * the same moment, over and over, and each time the outcome must be one of
 * those that a serial order gives. Then many processes, threads and sockets,
 * and at the end no socket may be left.
 *
 * Each race takes a fraction of a second. With MYPROTO_STRESS_SECONDS=N in the
 * environment they share N seconds. MYPROTO_SEED=N sets what the random numbers
 * begin with.
 */
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <linux/sched.h>
#include <linux/sockios.h>

#include "destroy.h"
#include "type.h"

/* How long a race takes */
static long race_ms = 100;

/* What the random numbers begin with */
static unsigned int seed;

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

static unsigned int random_below(unsigned int *state, unsigned int n)
{
	*state = *state * 1103515245 + 12345;
	return (*state >> 16) % n;
}

/* Come a little early or late, to try many offsets */
static void race_jitter(unsigned int *state)
{
	unsigned int i;

	for (i = random_below(state, 2000); i; i--)
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void race_child(struct race *race, const struct race_ops *ops)
{
	unsigned int state = seed + 1;

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
	unsigned int state = seed;
	struct race *race;
	long end = 0;
	pid_t pid;
	int i;

	race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, race);

	pid = race_clone(_metadata);
	if (!pid)
		race_child(race, ops);

	do {
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
		/* The first round does not count: the child had to start. */
		end = end ?: now_ms() + race_ms;
	} while (now_ms() < end && !_metadata->exit_code);

	race->stop = 1;
	race_meet(race);
	EXPECT_EQ(0, my_wait(pid));
}

static bool one_of(int err, int a, int b)
{
	return err == a || err == b;
}

/* One of two calls succeeded and the other failed; tells which succeeded. */
static int expect_one_fails(struct __test_metadata *_metadata,
			    const struct race *race, int err)
{
	int winner = race->err[0] ? 1 : 0;

	EXPECT_EQ(0, race->err[winner]);
	EXPECT_EQ(err, race->err[!winner]);
	return winner;
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
	my_connection(_metadata, race->fd);
	set_rcvbuf(_metadata, race->fd[1], 1);
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
	int winner = expect_one_fails(_metadata, race, EADDRINUSE);

	EXPECT_EQ(5000, my_channel(_metadata, race->fd[winner]));
	EXPECT_EQ(0, my_channel(_metadata, race->fd[!winner]));
}

TEST_F(type, bind_two_sockets_to_one_channel)
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
	static const __u32 channel[] = { 5000, 5001 };
	int winner = expect_one_fails(_metadata, race, EINVAL);

	EXPECT_EQ(channel[winner], my_channel(_metadata, race->fd[0]));

	/* The loser took no channel. */
	EXPECT_EQ(0, my_bind(race->fd[1], channel[!winner]));
}

TEST_F(type, bind_one_socket_to_two_channels)
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

TEST_F(type, bind_and_connect_one_socket)
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

TEST_F(type, bind_and_close_of_holder)
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
	int winner = expect_one_fails(_metadata, race, EISCONN);

	/* The listener of the loser has nothing. */
	race->fd[3] = accept(race->fd[winner ? 2 : 1], NULL, NULL);
	EXPECT_LE(0, race->fd[3]);
	EXPECT_EQ(EAGAIN, err_of(accept(race->fd[winner ? 1 : 2], NULL, NULL)));
}

TEST_F(type, connect_one_socket_to_two_listeners)
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
	int winner = expect_one_fails(_metadata, race, EINVAL);

	EXPECT_EQ(winner, get_int_opt(_metadata, race->fd[0], SO_ACCEPTCONN));
	set_nonblock(_metadata, race->fd[1]);
	EXPECT_EQ(winner ? EAGAIN : 0, accepts(race));
}

TEST_F(type, connect_and_listen_one_socket)
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

TEST_F(type, connect_and_close_of_listener)
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
	race->fd[3] = my_socket(_metadata);
	EXPECT_EQ(ECONNREFUSED,
		  err_of(my_connect(race->fd[3], race->channel[1])));
	EXPECT_EQ(0, peer_closes(race));
	EXPECT_EQ(race->err[0] ? ENOTCONN : ECONNRESET, try_recv(race->fd[0]));
}

TEST_F(type, connect_and_shutdown_of_listener)
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

TEST_F(type, connect_waits_and_accept_makes_room)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_full_backlog, connects, accepts,
		check_both_succeed });
}

static int listens_longer(struct race *race)
{
	return err_of(listen(race->fd[1], 1));
}

TEST_F(type, connect_waits_and_listen_makes_room)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_full_backlog, connects, listens_longer,
		check_both_succeed });
}

static void check_refused(struct __test_metadata *_metadata,
			  struct race *race)
{
	EXPECT_EQ(ECONNREFUSED, race->err[0]);
	EXPECT_EQ(0, race->err[1]);
}

TEST_F(type, connect_waits_and_close_of_listener)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_full_backlog, connects, peer_closes, check_refused });
}

TEST_F(type, connect_waits_and_shutdown_of_listener)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_full_backlog, connects, peer_shuts_rd, check_refused });
}

TEST_F(type, accept_waits_and_connect_comes)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_connect, accepts, connects, check_both_succeed });
}

TEST_F(type, recv_waits_and_send_comes)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_pair, recv_byte, peer_sends_byte,
		check_both_succeed });
}

TEST_F(type, send_waits_and_drain_makes_room)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_full_pair, send_byte, peer_drains,
		check_both_succeed });
}

static int polls_in(struct race *race)
{
	return poll_for(race->fd[0], POLLIN, WAIT_MS) == POLLIN ? 0 : ETIME;
}

TEST_F(type, poll_waits_and_send_comes)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_pair, polls_in, peer_sends_byte, check_both_succeed });
}

static int polls_out(struct race *race)
{
	return poll_for(race->fd[0], POLLOUT, WAIT_MS) == POLLOUT ? 0 : ETIME;
}

TEST_F(type, poll_waits_and_drain_makes_room)
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

TEST_F(type, accept_and_close_of_client)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_waiting, accepts, closes, check_accepted_eof });
}

/* accept() admits fd[0], which is connecting, or that ends before. */

static void prepare_connecting(struct __test_metadata *_metadata,
			       struct race *race)
{
	prepare_full_backlog(_metadata, race);
	set_nonblock(_metadata, race->fd[0]);
	set_nonblock(_metadata, race->fd[1]);
	ASSERT_EQ(EINPROGRESS, connects(race));
}

static int shuts_rdwr(struct race *race)
{
	return err_of(shutdown(race->fd[0], SHUT_RDWR));
}

static int destroys(struct race *race)
{
	return my_destroy(race->fd[0]);
}

static int destroys_peer(struct race *race)
{
	return my_destroy(race->fd[1]);
}

static void check_admitted_or_ended(struct __test_metadata *_metadata,
				    struct race *race)
{
	int fd, err;

	EXPECT_EQ(0, race->err[0]);
	EXPECT_EQ(0, race->err[1]);
	fd = accept(race->fd[1], NULL, NULL);
	err = err_of(fd);
	EXPECT_TRUE(one_of(err, 0, EAGAIN));
	/* What was admitted has an end; the other can try again. */
	if (!err) {
		EXPECT_EQ(POLLHUP, poll_now(fd) & POLLHUP);
		try_recv(fd);
		expect_eof(_metadata, fd);
		close(fd);
	} else if (race->fd[0] >= 0) {
		EXPECT_NE(0, connects(race));
		EXPECT_EQ(0, connects(race));
	}
}

TEST_F(type, accept_and_close_of_connecting)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_connecting, accepts, closes, check_admitted_or_ended });
}

TEST_F(type, accept_and_shutdown_of_connecting)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_connecting, accepts, shuts_rdwr,
		check_admitted_or_ended });
}

TEST_F(type, accept_and_destroy_of_connecting)
{
	if (geteuid())
		SKIP(return, "SOCK_DESTROY needs root");
	race_run(_metadata, &(struct race_ops) {
		prepare_connecting, accepts, destroys,
		check_admitted_or_ended });
}

/* The listener ends: it was connecting until then, or just admitted. */
static void check_refused_or_ended(struct __test_metadata *_metadata,
				   struct race *race)
{
	int err;

	EXPECT_TRUE(one_of(race->err[0], 0, EBADF) || race->err[0] == EINVAL);
	EXPECT_EQ(0, race->err[1]);
	EXPECT_EQ(POLLHUP, poll_now(race->fd[0]) & POLLHUP);
	err = get_int_opt(_metadata, race->fd[0], SO_ERROR);
	EXPECT_TRUE(one_of(err, ECONNREFUSED, ECONNRESET));
	if (err == ECONNRESET)
		EXPECT_EQ(0, race->err[0]);
	EXPECT_EQ(0, get_int_opt(_metadata, race->fd[0], SO_ERROR));
}

TEST_F(type, accept_and_close_with_connecting)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_connecting, accepts, peer_closes,
		check_refused_or_ended });
}

TEST_F(type, accept_and_destroy_with_connecting)
{
	if (geteuid())
		SKIP(return, "SOCK_DESTROY needs root");
	race_run(_metadata, &(struct race_ops) {
		prepare_connecting, accepts, destroys_peer,
		check_refused_or_ended });
}

/* Both end it, and it does so once. */
static void check_ended_once(struct __test_metadata *_metadata,
			     struct race *race)
{
	EXPECT_EQ(0, race->err[1]);
	EXPECT_TRUE(one_of(race->err[0], 0, ENOTCONN));
	EXPECT_EQ(race->err[0] ? ECONNREFUSED : ECONNRESET,
		  get_int_opt(_metadata, race->fd[0], SO_ERROR));
}

TEST_F(type, shutdown_and_close_with_connecting)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_connecting, shuts_rdwr, peer_closes,
		check_ended_once });
}

static void check_accepted_or_reset(struct __test_metadata *_metadata,
				    struct race *race)
{
	EXPECT_TRUE(one_of(race->err[0], 0, EBADF));
	EXPECT_EQ(race->err[0] ? ECONNRESET : EAGAIN, try_recv(race->fd[0]));
}

TEST_F(type, accept_and_close_of_listener)
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
	expect_one_fails(_metadata, race, EAGAIN);
}

TEST_F(type, accept_and_accept)
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

TEST_F(type, accept_waits_and_shutdown_comes)
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

TEST_F(type, send_and_close_of_peer)
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

TEST_F(type, send_and_shutdown_rd_of_peer)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_pair, send_byte, peer_shuts_rd,
		check_peer_got_what_was_sent });
}

TEST_F(type, send_and_own_shutdown_wr)
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

TEST_F(type, recv_and_last_send_and_close)
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

TEST_F(type, recv_waits_and_close_of_peer)
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

TEST_F(type, send_waits_and_close_of_peer)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_full_pair, send_byte, peer_closes, check_send_epipe });
}

TEST_F(type, send_waits_and_shutdown_rd_of_peer)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_full_pair, send_byte, peer_shuts_rd,
		check_send_epipe });
}

TEST_F(type, close_of_both_ends)
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

TEST_F(type, close_of_both_ends_with_unread)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_unread_pair, closes, peer_closes,
		check_both_succeed });
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

TEST_F(type, shutdown_of_both_ends)
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

TEST_F(type, shutdown_and_close_of_peer)
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

TEST_F(type, getpeername_and_connect)
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

TEST_F(type, getpeername_and_close_of_peer)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_pair, asks_names, peer_closes, check_name_stays });
}

/* Two readers of one socket */

static void prepare_two_bytes(struct __test_metadata *_metadata,
			      struct race *race)
{
	my_connection(_metadata, race->fd);
	expect_send(_metadata, race->fd[1], "a");
	expect_send(_metadata, race->fd[1], "b");
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
	EXPECT_TRUE(one_of(race->err[0], 'a', 'b'));
	EXPECT_EQ(race->err[0] == 'a' ? 'b' : 'a', race->err[1]);
	EXPECT_EQ(EAGAIN, try_recv(race->fd[0]));
}

TEST_F(type, recv_and_recv)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_two_bytes, recv_value, recv_value,
		check_each_got_one });
}

/* DGRAM: fd[0] sends, fd[1] and fd[2] are bound to channel[1] and channel[0] */

FIXTURE(dgram) {};

FIXTURE_SETUP(dgram)
{
	my_type = SOCK_DGRAM;
}

FIXTURE_TEARDOWN(dgram)
{
}

static void prepare_dgram(struct __test_metadata *_metadata,
			  struct race *race)
{
	race->fd[0] = my_socket(_metadata);
	race->fd[1] = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
	race->fd[2] = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
	race->channel[1] = my_channel(_metadata, race->fd[1]);
	race->channel[0] = my_channel(_metadata, race->fd[2]);
}

/* fd[0] is associated with fd[1], which receives from everybody. */
static void prepare_associated(struct __test_metadata *_metadata,
			       struct race *race)
{
	prepare_dgram(_metadata, race);
	ASSERT_EQ(0, connects(race));
}

static void prepare_full_dgram(struct __test_metadata *_metadata,
			       struct race *race)
{
	prepare_associated(_metadata, race);
	set_rcvbuf(_metadata, race->fd[1], 1);
	my_fill(_metadata, race->fd[0], 1000);
}

static int sends_to(struct race *race)
{
	return err_of(my_sendto(race->fd[0], race->channel[1], "x", 1, 0));
}

static int dissolves(struct race *race)
{
	return err_of(my_dissolve(race->fd[0]));
}

static int peer_connects_elsewhere(struct race *race)
{
	return err_of(my_connect(race->fd[1], race->channel[0]));
}

TEST_F(dgram, bind_two_sockets_to_one_channel)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_two, bind_first, bind_second, check_one_bound });
}

static void prepare_two_types(struct __test_metadata *_metadata,
			      struct race *race)
{
	my_type = SOCK_SEQPACKET;
	race->fd[0] = my_socket(_metadata);
	my_type = SOCK_DGRAM;
	race->fd[1] = my_socket(_metadata);
}

TEST_F(dgram, bind_two_types_to_one_channel)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_two_types, bind_first, bind_second,
		check_one_bound });
}

static void check_bound_or_autobound(struct __test_metadata *_metadata,
				     struct race *race)
{
	__s64 channel = my_channel(_metadata, race->fd[0]);

	EXPECT_EQ(0, race->err[0]);
	EXPECT_TRUE(one_of(race->err[1], 0, EINVAL));
	EXPECT_TRUE(race->err[1] ? channel >= DYNAMIC_START : channel == 5000);
	expect_recv(_metadata, race->fd[1], "x");
}

TEST_F(dgram, sendto_and_bind_one_socket)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_dgram, sends_to, bind_first,
		check_bound_or_autobound });
}

static void check_both_arrived(struct __test_metadata *_metadata,
			       struct race *race)
{
	struct sockaddr_my from = {};
	socklen_t len;
	char c;
	int i;

	check_both_succeed(_metadata, race);
	for (i = 0; i < 2; i++) {
		len = sizeof(from);
		EXPECT_EQ(1, recvfrom(race->fd[1], &c, 1, MSG_DONTWAIT,
				      (struct sockaddr *)&from, &len));
		EXPECT_EQ(my_channel(_metadata, race->fd[0]),
			  from.smy_channel);
	}
}

/* Both find the socket unbound: it gets one channel. */
TEST_F(dgram, sendto_and_sendto_of_unbound)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_dgram, sends_to, sends_to, check_both_arrived });
}

static void check_sent_or_refused(struct __test_metadata *_metadata,
				  struct race *race)
{
	EXPECT_TRUE(one_of(race->err[0], 0, ECONNREFUSED));
	EXPECT_EQ(0, race->err[1]);
	EXPECT_EQ(ECONNREFUSED, sends_to(race));
	EXPECT_EQ(EAGAIN, try_recv(race->fd[0]));
}

TEST_F(dgram, sendto_and_close_of_receiver)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_dgram, sends_to, peer_closes,
		check_sent_or_refused });
}

TEST_F(dgram, send_and_close_of_receiver)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_associated, send_byte, peer_closes,
		check_sent_or_refused });
}

TEST_F(dgram, connect_and_close_of_receiver)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_dgram, connects, peer_closes,
		check_sent_or_refused });
}

static void check_queued_or_eperm(struct __test_metadata *_metadata,
				  struct race *race)
{
	EXPECT_TRUE(one_of(race->err[0], 0, EPERM));
	EXPECT_EQ(0, race->err[1]);
	EXPECT_EQ(race->err[0] ? EAGAIN : 0, try_recv(race->fd[1]));
	EXPECT_EQ(EPERM, sends_to(race));
}

TEST_F(dgram, sendto_and_receiver_connects_elsewhere)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_dgram, sends_to, peer_connects_elsewhere,
		check_queued_or_eperm });
}

static void check_arrived_at_one(struct __test_metadata *_metadata,
				 struct race *race)
{
	int err[2] = { try_recv(race->fd[1]), try_recv(race->fd[2]) };

	check_both_succeed(_metadata, race);
	EXPECT_EQ(0, err[0] ? err[1] : err[0]);
	EXPECT_EQ(EAGAIN, err[0] ?: err[1]);
	EXPECT_EQ(EAGAIN, try_recv(race->fd[1]));
	EXPECT_EQ(EAGAIN, try_recv(race->fd[2]));
}

TEST_F(dgram, send_and_reconnect)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_associated, send_byte, connects_elsewhere,
		check_arrived_at_one });
}

static void check_sent_or_edestaddrreq(struct __test_metadata *_metadata,
				       struct race *race)
{
	EXPECT_TRUE(one_of(race->err[0], 0, EDESTADDRREQ));
	EXPECT_EQ(0, race->err[1]);
	EXPECT_EQ(race->err[0] ? EAGAIN : 0, try_recv(race->fd[1]));
	EXPECT_EQ(EDESTADDRREQ, try_send(race->fd[0]));
}

TEST_F(dgram, send_and_dissolve)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_associated, send_byte, dissolves,
		check_sent_or_edestaddrreq });
}

TEST_F(dgram, dissolve_and_close_of_receiver)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_full_dgram, dissolves, peer_closes,
		check_both_succeed });
}

static void check_connected_to_one(struct __test_metadata *_metadata,
				   struct race *race)
{
	int i;

	check_both_succeed(_metadata, race);
	i = my_peer(_metadata, race->fd[0]) == race->channel[1] ? 1 : 2;
	EXPECT_EQ(0, try_send(race->fd[0]));
	EXPECT_EQ(0, try_recv(race->fd[i]));
}

TEST_F(dgram, connect_and_connect)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_dgram, connects, connects_elsewhere,
		check_connected_to_one });
}

static int first_to_second(struct race *race)
{
	return err_of(my_connect(race->fd[1], race->channel[0]));
}

static int second_to_first(struct race *race)
{
	return err_of(my_connect(race->fd[2], race->channel[1]));
}

static void check_associated(struct __test_metadata *_metadata,
			     struct race *race)
{
	check_both_succeed(_metadata, race);
	expect_send(_metadata, race->fd[1], "there");
	expect_recv(_metadata, race->fd[2], "there");
	expect_send(_metadata, race->fd[2], "back");
	expect_recv(_metadata, race->fd[1], "back");
	EXPECT_EQ(EPERM, connects(race));
}

TEST_F(dgram, connect_each_other)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_dgram, first_to_second, second_to_first,
		check_associated });
}

TEST_F(dgram, send_and_shutdown_rd_of_receiver)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_associated, send_byte, peer_shuts_rd,
		check_peer_got_what_was_sent });
}

static int peer_receives(struct race *race)
{
	char c;

	return err_of(recv(race->fd[1], &c, 1, 0));
}

TEST_F(dgram, recv_waits_and_sendto_comes)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_dgram, sends_to, peer_receives, check_both_succeed });
}

TEST_F(dgram, send_waits_and_drain_makes_room)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_full_dgram, send_byte, peer_drains,
		check_both_succeed });
}

TEST_F(dgram, sendto_waits_and_drain_makes_room)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_full_dgram, sends_to, peer_drains,
		check_both_succeed });
}

TEST_F(dgram, poll_waits_and_drain_makes_room)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_full_dgram, polls_out, peer_drains,
		check_both_succeed });
}

static void check_send_refused(struct __test_metadata *_metadata,
			       struct race *race)
{
	EXPECT_EQ(ECONNREFUSED, race->err[0]);
	EXPECT_EQ(0, race->err[1]);
}

TEST_F(dgram, send_waits_and_close_of_receiver)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_full_dgram, send_byte, peer_closes,
		check_send_refused });
}

TEST_F(dgram, send_waits_and_shutdown_rd_of_receiver)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_full_dgram, send_byte, peer_shuts_rd,
		check_send_epipe });
}

TEST_F(dgram, recv_and_recv)
{
	race_run(_metadata, &(struct race_ops) {
		prepare_two_bytes, recv_value, recv_value,
		check_each_got_one });
}

/* Many sockets and processes */

static void *shared_memory(struct __test_metadata *_metadata, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, p);
	return p;
}

#define CONNECTIONS	50

/* Every connection says its own thing, and all are open at the same time. */
TEST_F(type, connections_50_at_once)
{
	__u32 channel, value, index;
	int fd[CONNECTIONS];
	int listener, i;
	pid_t pid;

	listener = my_listener(_metadata, 10, &channel);
	pid = my_fork(_metadata);
	if (!pid) {
		close(listener);
		for (index = 0; index < CONNECTIONS; index++) {
			fd[index] = socket(AF_MYPROTO, my_type, 0);
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

#define CLIENTS		4

/* Exits with 0 when each connection echoed its greeting */
static void client_loop(__u32 channel, __u32 id, long end, int *asked)
{
	__u32 value, i;
	int fd;

	for (i = 0; now_ms() < end; i++) {
		fd = socket(AF_MYPROTO, my_type, 0);
		if (my_connect(fd, channel))
			_exit(1);
		value = id << 24 | i;
		if (write(fd, &value, sizeof(value)) != sizeof(value))
			_exit(2);
		if (read(fd, &value, sizeof(value)) != sizeof(value))
			_exit(3);
		if (value != ~(id << 24 | i))
			_exit(4);
		close(fd);
		__atomic_add_fetch(asked, 1, __ATOMIC_SEQ_CST);
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
		/* Before the client knows, that the counts agree in the end */
		__atomic_add_fetch(served, 1, __ATOMIC_SEQ_CST);
		if (write(fd, &value, sizeof(value)) != sizeof(value))
			_exit(2);
		close(fd);
	}
	_exit(errno == EINVAL ? 0 : 3);
}

/* A backlog far too small, two servers on one listener, many clients */
TEST_F(type, many_clients_of_one_listener)
{
	int *count = shared_memory(_metadata, 2 * sizeof(*count));
	pid_t client[CLIENTS], server[2];
	long end = now_ms() + race_ms;
	__u32 channel, i;
	int listener;

	listener = my_listener(_metadata, 1, &channel);
	for (i = 0; i < ARRAY_SIZE(server); i++) {
		server[i] = my_fork(_metadata);
		if (!server[i])
			server_loop(listener, &count[0]);
	}
	for (i = 0; i < CLIENTS; i++) {
		client[i] = my_fork(_metadata);
		if (!client[i])
			client_loop(channel, i, end, &count[1]);
	}

	for (i = 0; i < CLIENTS; i++)
		EXPECT_EQ(0, my_wait(client[i]));
	ASSERT_EQ(0, shutdown(listener, SHUT_RD));
	for (i = 0; i < ARRAY_SIZE(server); i++)
		EXPECT_EQ(0, my_wait(server[i]));
	EXPECT_EQ(count[1], count[0]);
}

/* A peer killed in the middle of what it does leaves an end, never a hang. */
TEST_F(type, killed_peer_ends_connection)
{
	long end = now_ms() + race_ms;
	char buf[5000] = "";
	int fd[2], i;
	ssize_t n;
	pid_t pid;

	for (i = 0; i < 3 || now_ms() < end; i++) {
		my_connection(_metadata, fd);
		pid = my_fork(_metadata);
		if (!pid) {
			close(fd[0]);
			for (;;)
				if (write(fd[1], buf, 1000) < 0 ||
				    recv(fd[1], buf, 100, MSG_DONTWAIT) == 0)
					_exit(1);
		}
		close(fd[1]);
		ASSERT_EQ(0, err_of(send(fd[0], buf, 1 + i * 7 % 3000,
					 MSG_NOSIGNAL)));
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

/*
 * Threads that make all kinds of calls on the same descriptors. A descriptor
 * may be closed and made anew at any time, also under a call that sleeps.
 */

#define SLOTS		8
#define THREADS		5
#define CHANNELS	6

struct storm {
	int slot[SLOTS];
	int type;		/* of new sockets, 0 for any */
	int error;		/* one that no call should return */
	const char *call;	/* the one that returned it */
	long end;
};

struct storm_thread {
	pthread_t thread;
	struct storm *storm;
	unsigned int state;
	int pipe[2];
};

FIXTURE(storm) {};

FIXTURE_VARIANT(storm)
{
	int type;
};

FIXTURE_VARIANT_ADD(storm, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(storm, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(storm, dgram)
{
	.type = SOCK_DGRAM,
};

FIXTURE_VARIANT_ADD(storm, all_types)
{
};

FIXTURE_SETUP(storm)
{
}

FIXTURE_TEARDOWN(storm)
{
}

static unsigned int storm_random(struct storm_thread *thread, unsigned int n)
{
	return random_below(&thread->state, n);
}

static __u32 storm_channel(struct storm_thread *thread)
{
	return 5000 + storm_random(thread, CHANNELS);
}

/* Calls that block do so for a moment only. */
static int storm_socket(struct storm_thread *thread, int *other)
{
	static const int types[] = {
		SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM,
	};
	struct timeval tv = { .tv_usec = 2000 };
	int type = thread->storm->type ?: types[storm_random(thread, 3)];
	int small = 1, fd[2], i;

	if (storm_random(thread, 2))
		type |= SOCK_NONBLOCK;
	fd[1] = -1;
	if (!other)
		fd[0] = socket(AF_MYPROTO, type, 0);
	else if (socketpair(AF_MYPROTO, type, 0, fd))
		return -1;
	for (i = 0; i < 2; i++) {
		setsockopt(fd[i], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		setsockopt(fd[i], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
		setsockopt(fd[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	}
	if (other)
		*other = fd[1];
	return fd[0];
}

/* What a slot had is closed. */
static int storm_put(struct storm_thread *thread, int new)
{
	int i = storm_random(thread, SLOTS);
	int ret;

	if (new < 0)
		return new;
	ret = dup2(new, thread->storm->slot[i]);
	close(new);
	return ret;
}

static int storm_pair(struct storm_thread *thread)
{
	int other, fd = storm_socket(thread, &other);

	if (fd < 0)
		return fd;
	storm_put(thread, other);
	return storm_put(thread, fd);
}

static int storm_splice(struct storm_thread *thread, int in, int out)
{
	ssize_t n;

	n = splice(in, NULL, thread->pipe[1], NULL, 1000, SPLICE_F_NONBLOCK);
	if (n <= 0)
		return n;
	/* Whatever does not fit is lost. */
	n = splice(thread->pipe[0], NULL, out, NULL, n, SPLICE_F_NONBLOCK);
	while (read(thread->pipe[0], (char [1000]) {}, 1000) > 0)
		;
	return n;
}

#define STORM_CALL(text, expression) \
	do { \
		call = text; \
		ret = expression; \
	} while (0)

static const char *storm_call(struct storm_thread *thread, int *err)
{
	int fd = thread->storm->slot[storm_random(thread, SLOTS)];
	int other = thread->storm->slot[storm_random(thread, SLOTS)];
	__u32 channel = storm_channel(thread);
	struct sockaddr_my addr;
	socklen_t len = sizeof(addr);
	const char *call = NULL;
	char buf[1000] = "";
	int val, ret = 0;

	switch (storm_random(thread, 24)) {
	case 0:
		STORM_CALL("socket", storm_put(thread,
					       storm_socket(thread, NULL)));
		break;
	case 1:
		STORM_CALL("socketpair", storm_pair(thread));
		break;
	case 2:
	case 3:
		STORM_CALL("bind", my_bind(fd, channel));
		break;
	case 4:
		STORM_CALL("listen", listen(fd, 2));
		break;
	case 5:
	case 6:
	case 7:
		STORM_CALL("connect", my_connect(fd, channel));
		break;
	case 8:
		STORM_CALL("dissolve", my_dissolve(fd));
		break;
	case 9:
	case 10:
		STORM_CALL("accept", storm_put(thread, accept4(fd, NULL, NULL,
							       SOCK_NONBLOCK)));
		break;
	case 11:
	case 12:
	case 13:
		STORM_CALL("send", send(fd, buf,
					storm_random(thread, sizeof(buf)),
					MSG_NOSIGNAL));
		break;
	case 14:
		STORM_CALL("sendto", my_sendto(fd, channel, buf, 100, 0));
		break;
	case 15:
	case 16:
	case 17:
		STORM_CALL("recv", recv(fd, buf,
					storm_random(thread, sizeof(buf)), 0));
		break;
	case 18:
		STORM_CALL("peek", recv(fd, buf, sizeof(buf),
					MSG_PEEK | MSG_DONTWAIT));
		break;
	case 19:
		STORM_CALL("poll", poll_for(fd, POLLIN | POLLOUT | POLLRDHUP,
					    storm_random(thread, 2)));
		break;
	case 20:
		STORM_CALL("shutdown", shutdown(fd, storm_random(thread, 3)));
		break;
	case 21:
		STORM_CALL("splice", storm_splice(thread, fd, other));
		break;
	case 22:
		STORM_CALL("getpeername",
			   getpeername(fd, (struct sockaddr *)&addr, &len));
		break;
	case 23:
		STORM_CALL("ioctl", ioctl(fd, storm_random(thread, 2) ?
					  SIOCINQ : SIOCOUTQ, &val));
		break;
	}
	*err = err_of(ret);
	return call;
}

/* That a call says how things are, and not how they cannot be */
static bool storm_may_return(int err)
{
	static const int expected[] = {
		0, EAGAIN, EINVAL, EADDRINUSE, ECONNREFUSED, EISCONN, ENOTCONN,
		EPIPE, ECONNRESET, EPROTOTYPE, EDESTADDRREQ, EOPNOTSUPP, EPERM,
		EINPROGRESS, EALREADY,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(expected); i++)
		if (err == expected[i])
			return true;
	return false;
}

static void *storm_thread(void *arg)
{
	struct storm_thread *thread = arg;
	struct storm *storm = thread->storm;
	const char *call;
	int err;

	while (now_ms() < storm->end) {
		call = storm_call(thread, &err);
		if (!storm_may_return(err)) {
			storm->call = call;
			storm->error = err;
		}
	}
	return NULL;
}

TEST_F(storm, all_calls)
{
	struct storm storm = { .type = variant->type };
	struct storm_thread thread[THREADS];
	int i;

	signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < THREADS; i++) {
		thread[i].storm = &storm;
		thread[i].state = seed + i;
	}
	for (i = 0; i < SLOTS; i++) {
		storm.slot[i] = storm_socket(&thread[0], NULL);
		ASSERT_LE(0, storm.slot[i]);
	}
	storm.end = now_ms() + 3 * race_ms;
	for (i = 0; i < THREADS; i++) {
		ASSERT_EQ(0, pipe2(thread[i].pipe, O_NONBLOCK));
		ASSERT_EQ(0, pthread_create(&thread[i].thread, NULL,
					    storm_thread, &thread[i]));
	}
	for (i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_join(thread[i].thread, NULL));
	EXPECT_EQ(0, storm.error)
		TH_LOG("%s: %s", storm.call, strerror(storm.error));

	for (i = 0; i < SLOTS; i++)
		EXPECT_EQ(0, close(storm.slot[i]));
	EXPECT_EQ(0, sockets_settle_at(0));
}

/*
 * One thread sends numbers and one receives them, while others do what must not
 * disturb that: each number arrives once, and in order.
 */

#define NUMBERS	64	/* in one message at most */

struct numbers {
	__u64 sent;
	__u64 received;
	const char *error;
	bool done;	/* for those that disturb */
	long end;
	int fd[2];
};

static void *numbers_send(void *arg)
{
	struct numbers *numbers = arg;
	unsigned int len = 0, i;
	__u64 data[NUMBERS];
	ssize_t n;

	do {
		len = len % NUMBERS + 1;
		for (i = 0; i < len; i++)
			data[i] = numbers->sent + i;
		n = send(numbers->fd[0], data, len * sizeof(*data),
			 MSG_NOSIGNAL);
		if (n != (ssize_t)(len * sizeof(*data))) {
			numbers->error = n < 0 ? strerror(errno) : "sent less";
			break;
		}
		numbers->sent += len;
	} while (now_ms() < numbers->end && !numbers->error);
	return NULL;
}

/* A STREAM is also read with splice(), in turn. */
static ssize_t numbers_read(int fd, void *data, size_t len, int pipe[2],
			    bool spliced)
{
	ssize_t n;

	if (!spliced)
		return recv(fd, data, len, my_type == SOCK_STREAM ?
			    MSG_WAITALL : 0);
	n = splice(fd, NULL, pipe[1], NULL, len, 0);
	return n > 0 ? read(pipe[0], data, n) : n;
}

static void *numbers_receive(void *arg)
{
	struct numbers *numbers = arg;
	char data[NUMBERS * sizeof(__u64)];
	size_t have = 0, i;
	bool spliced = false;
	int pipes[2];
	__u64 value;
	ssize_t n;

	if (pipe(pipes))
		return NULL;
	for (;;) {
		n = numbers_read(numbers->fd[1], data + have,
				 sizeof(data) - have, pipes, spliced);
		if (n <= 0)
			break;
		have += n;
		for (i = 0; i + sizeof(value) <= have; i += sizeof(value)) {
			memcpy(&value, data + i, sizeof(value));
			if (value != numbers->received++)
				numbers->error = "out of order";
		}
		have -= i;
		memmove(data, data + i, have);
		spliced = my_type == SOCK_STREAM && !spliced;
	}
	if (n < 0)
		numbers->error = strerror(errno);
	close(pipes[0]);
	close(pipes[1]);
	return NULL;
}

static void *numbers_disturb(void *arg)
{
	struct numbers *numbers = arg;
	unsigned int i = 0, which;
	struct sockaddr_my addr;
	socklen_t len;
	char buf[100];
	int val;

	while (!__atomic_load_n(&numbers->done, __ATOMIC_SEQ_CST)) {
		which = i++ % 2;
		len = sizeof(addr);
		poll_now(numbers->fd[which]);
		recv(numbers->fd[1], buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
		getpeername(numbers->fd[which], (struct sockaddr *)&addr, &len);
		ioctl(numbers->fd[which], SIOCINQ, &val);
		ioctl(numbers->fd[which], SIOCOUTQ, &val);
		/* Refused, and without an effect */
		my_bind(numbers->fd[which], 5000);
		shutdown(numbers->fd[which], 3);
		/* Room comes and goes. */
		val = i % 3 * 4000;
		setsockopt(numbers->fd[1], SOL_SOCKET, SO_RCVBUF, &val,
			   sizeof(val));
		val = i % 7 ? 1 : 100;
		setsockopt(numbers->fd[1], SOL_SOCKET, SO_RCVLOWAT, &val,
			   sizeof(val));
		if (my_type != SOCK_DGRAM)
			continue;
		/* The receiver goes, and comes back to the same peer. */
		if (i % 4)
			my_dissolve(numbers->fd[1]);
		else if (!getsockname(numbers->fd[0], (struct sockaddr *)&addr,
				      &len))
			my_connect(numbers->fd[1], addr.smy_channel);
	}
	return NULL;
}

TEST_F(storm, numbers_in_order)
{
	pthread_t sender, receiver, disturber[2];
	struct numbers numbers = { .end = now_ms() + 2 * race_ms };
	int i;

	my_type = variant->type ?: SOCK_STREAM;
	if (variant->type)
		my_connection(_metadata, numbers.fd);
	else
		my_socketpair(_metadata, numbers.fd);

	ASSERT_EQ(0, pthread_create(&receiver, NULL, numbers_receive,
				    &numbers));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&disturber[i], NULL,
					    numbers_disturb, &numbers));
	ASSERT_EQ(0, pthread_create(&sender, NULL, numbers_send, &numbers));
	ASSERT_EQ(0, pthread_join(sender, NULL));
	__atomic_store_n(&numbers.done, true, __ATOMIC_SEQ_CST);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_join(disturber[i], NULL));

	/* What was sent is read until the end comes. */
	EXPECT_EQ(0, my_type == SOCK_DGRAM ? shutdown(numbers.fd[1], SHUT_RD) :
					     shutdown(numbers.fd[0], SHUT_WR));
	ASSERT_EQ(0, pthread_join(receiver, NULL));
	EXPECT_EQ(NULL, numbers.error)
		TH_LOG("%s", numbers.error);
	EXPECT_LT(0U, numbers.sent);
	EXPECT_EQ(numbers.sent, numbers.received);
	close(numbers.fd[0]);
	close(numbers.fd[1]);
}

/* The last test of all */

FIXTURE(end) {};

FIXTURE_SETUP(end)
{
}

FIXTURE_TEARDOWN(end)
{
}

TEST_F(end, no_socket_left)
{
	EXPECT_EQ(0, sockets_settle_at(0));
}

/* Share the time out: each test has its part, and may take that much longer. */
static void share_time(long seconds)
{
	struct __fixture_variant_metadata *variant;
	struct __fixture_metadata *fixture;
	struct __test_metadata *test;
	long races = 0;

	for (fixture = __fixture_list; fixture; fixture = fixture->next)
		for (test = fixture->tests; test; test = test->next) {
			test->timeout += seconds;
			races += !fixture->variant;
			variant = fixture->variant;
			for (; variant; variant = variant->next)
				races++;
		}
	race_ms = seconds * 1000 / races;
}

int main(int argc, char **argv)
{
	const char *seconds = getenv("MYPROTO_STRESS_SECONDS");
	const char *value = getenv("MYPROTO_SEED");

	if (seconds && atol(seconds) > 0)
		share_time(atol(seconds));
	seed = value ? strtoul(value, NULL, 0) : (unsigned int)now_ms();
	ksft_print_msg("MYPROTO_SEED=%u\n", seed);

	return my_test_main(argc, argv);
}
