// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO calls that meet: two processes with the same descriptors call at
 * the same moment, over and over, and each time the outcome must be one of
 * those that a serial order gives. Then many threads. No socket may be left.
 * MYPROTO_STRESS_SECONDS=N: they share N seconds, rather than race_ms for each.
 * MYPROTO_SEED=N: what the random numbers begin with.
 */
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/sched.h>
#include <linux/sockios.h>

#include "type.h"

FIXTURE_VARIANT_ADD(type, dgram) { SOCK_DGRAM };

static long race_ms = 100;
static unsigned int seed;
static int running;		/* the line of the race */

enum op {		/* 0: the end of a list */
	BIND = 1, CONNECT, SENDTO,	/* arg: the channel */
	LISTEN, SHUTDOWN,		/* arg: that of the call */
	ACCEPT,		/* arg: where to store the descriptor */
	CLOSE,
	DESTROY,
	SEND,		/* arg: bytes, 0: one. They begin with 'a', then 'b' */
	FILL,		/* arg: bytes at a time */
	RECV,		/* arg: bytes, 0: one. Gives the first, 0 at the end */
	SPLICE,		/* arg: the other socket */
	HUP,		/* arg: how long to wait. Gives POLLHUP or 0 */
	NAME, PEER,	/* gives its channel, or DYNAMIC */
	OPTION,		/* arg: the option. Gives its value */
	OUTQ,		/* wait until it is 0. Gives SO_ERROR */
	RCVBUF, LOWAT, PEEK_OFF, IOCTL,	/* arg: the bytes, the command */
	SOCKET, DISSOLVE, SEND_CLOSE, PEEK, DRAIN, NONBLOCK,
};

#define DYNAMIC	1	/* some channel of the dynamic range */

struct call {
	enum op op;
	int fd;		/* which of the sockets */
	int arg;
	int want;	/* what it returns, negative: errno */
};

struct sockets {
	int fd[5];
	int sent;
};

static int call_send(struct sockets *s, int fd, int len, __u32 channel)
{
	char buf[1000] = { 'a' + s->sent++ };
	ssize_t n;

	if (channel)
		n = my_sendto(fd, channel, buf, len, 0);
	else
		n = send(fd, buf, len, MSG_NOSIGNAL);
	return n == len ? 0 : n < 0 ? -errno : n;
}

static int call_recv(int fd, int len, int flags)
{
	char buf[1000];
	ssize_t n = recv(fd, buf, len, flags);

	return n > 0 ? buf[0] : -err_of(n);
}

static int call_close(int *fd)
{
	int err = err_of(close(*fd));

	*fd = -1;
	return -err;
}

/* Whatever does not fit is lost. */
static int call_splice(int in, int out)
{
	int pipes[2], err = pipe(pipes);
	ssize_t n;

	n = splice(in, NULL, pipes[1], NULL, 1000, SPLICE_F_NONBLOCK);
	if (n > 0)
		n = splice(pipes[0], NULL, out, NULL, n, SPLICE_F_NONBLOCK);
	err = err ?: err_of(n);
	close(pipes[0]);
	close(pipes[1]);
	return -err;
}

static int call_option(int fd, int option)
{
	socklen_t len = sizeof(int);
	int val = 0;

	return -err_of(getsockopt(fd, SOL_SOCKET, option, &val, &len)) ?: val;
}

static int (*destroy)(int fd);	/* gives an errno */

static int do_call(struct sockets *s, const struct call *call)
{
	int *fd = &s->fd[call->fd], arg = call->arg, val;
	struct sockaddr_my addr = {};
	socklen_t len = sizeof(addr);

	switch (call->op) {
	case SOCKET:
		*fd = socket(AF_MYPROTO, my_type, 0);
		return -err_of(*fd);
	case BIND:
		return -err_of(my_bind(*fd, arg));
	case LISTEN:
		return -err_of(listen(*fd, arg));
	case CONNECT:
		return -err_of(my_connect(*fd, arg));
	case DISSOLVE:
		return -err_of(my_dissolve(*fd));
	case ACCEPT:
		s->fd[arg] = accept4(*fd, NULL, NULL, SOCK_NONBLOCK);
		return -err_of(s->fd[arg]);
	case SHUTDOWN:
		return -err_of(shutdown(*fd, arg));
	case CLOSE:
		return call_close(fd);
	case DESTROY:
		return -destroy(*fd);
	case SEND:
		return call_send(s, *fd, arg ?: 1, 0);
	case SENDTO:
		return call_send(s, *fd, 1, arg);
	case SEND_CLOSE:
		return call_send(s, *fd, 1, 0) ?: call_close(fd);
	case FILL:
		while (send(*fd, (char [4096]) {}, arg, MSG_DONTWAIT) > 0)
			;
		return errno == EAGAIN ? 0 : -errno;
	case RECV:
		return call_recv(*fd, arg ?: 1, 0);
	case PEEK:
		return call_recv(*fd, 1000, MSG_PEEK | MSG_DONTWAIT);
	case DRAIN:
		while (call_recv(*fd, 1000, MSG_DONTWAIT) >= 0)
			;
		return 0;
	case SPLICE:
		return call_splice(*fd, s->fd[arg]);
	case HUP:
		return poll_for(*fd, POLLIN | POLLOUT, arg) & POLLHUP;
	case NAME:
	case PEER:
		if ((call->op == PEER ? getpeername : getsockname)
		    (*fd, (struct sockaddr *)&addr, &len))
			return -errno;
		return addr.smy_channel < DYNAMIC_START ?
		       addr.smy_channel : DYNAMIC;
	case OUTQ:
		do {
			if (ioctl(*fd, SIOCOUTQ, &val))
				return -errno;
		} while (val);
		return call_option(*fd, SO_ERROR);
	case OPTION:
		return call_option(*fd, arg);
	case RCVBUF:
	case LOWAT:
	case PEEK_OFF:
		val = call->op == RCVBUF ? SO_RCVBUF :
		      call->op == LOWAT ? SO_RCVLOWAT : SO_PEEK_OFF;
		return -err_of(setsockopt(*fd, SOL_SOCKET, val, &arg,
					  sizeof(arg)));
	case NONBLOCK:
		return -err_of(fcntl(*fd, F_SETFL, O_RDWR | O_NONBLOCK));
	case IOCTL:
		return -err_of(ioctl(*fd, arg, &val));
	}
	return 0;
}

static void expect_calls(struct __test_metadata *_metadata, struct sockets *s,
			 const struct call *call, int max)
{
	for (; max-- && call->op; call++)
		ASSERT_EQ(call->want, do_call(s, call))
			TH_LOG("line %d: op %d, socket %d", running, call->op,
			       call->fd);
}

struct outcome {
	int left, right;	/* what the calls returned, negative: errno */
	struct call then[5];
};

#define TYPE(type)	(1 << (type))
#define CONN	(TYPE(SOCK_STREAM) | TYPE(SOCK_SEQPACKET))
#define DGRAM	TYPE(SOCK_DGRAM)
#define ANY	(CONN | DGRAM)

/* What a race starts from. The first socket is not bound, the second and the
 * third are, to 5001 and 5002. From LINKED on the first two are connected.
 */
enum setup {
	SOCKETS, TWO_UNBOUND, LISTENER, BOUND, LISTENERS, BACKLOG, WAITING,
	CONNECTING, ASSOCIATED, MUTUAL, LINKED, FULL, LARGE, TWO_BYTES, PEEKED,
};

static const struct call setups[][5] = {
	[TWO_UNBOUND] = { { SOCKET, 3 } },
	[LISTENER] = { { LISTEN, 1, 5 } },
	[BOUND] = { { BIND, 0, 5000 }, { LISTEN, 1, 5 } },
	[LISTENERS] = { { LISTEN, 1, 5 }, { LISTEN, 2, 5 } },
	[BACKLOG] = { { LISTEN, 1, 0 }, { CONNECT, 2, 5001 } },
	[WAITING] = { { LISTEN, 1, 1 }, { CONNECT, 0, 5001 }, { NONBLOCK, 1 } },
	[CONNECTING] = { { LISTEN, 1, 0 }, { CONNECT, 2, 5001 },
			 { NONBLOCK, 0 }, { NONBLOCK, 1 },
			 { CONNECT, 0, 5001, -EINPROGRESS } },
	[ASSOCIATED] = { { CONNECT, 0, 5001 } },
	[MUTUAL] = { { BIND, 0, 5000 }, { CONNECT, 0, 5001 },
		     { CONNECT, 1, 5000 } },
	[FULL] = { { RCVBUF, 1, 1 }, { FILL, 0, 1000 }, { SEND, 1 } },
	[LARGE] = { { FILL, 0, 4096 } },
	[TWO_BYTES] = { { SEND, 1 }, { SEND, 1 } },
	[PEEKED] = { { PEEK_OFF, 1 }, { SEND, 0 }, { PEEK, 1, 0, 'a' },
		     { SEND, 0 } },
};

struct race {
	int line;	/* its name */
	int types;
	enum setup setup;
	struct call left, right;	/* at the same time */
	/* If both can succeed, that comes first. */
	struct outcome first, second;
	struct call then[3];		/* after any outcome */
	void (*check)(struct __test_metadata *_metadata, struct sockets *s,
		      int left);
};

static struct {
	struct sockets sockets;
	int right;	/* what it returned */
	int arrived;	/* the barrier: how many came, ever */
} *arena;		/* shared */

/* Both wait here until the other one has come. */
static void race_meet(void)
{
	int ticket = __atomic_add_fetch(&arena->arrived, 1, __ATOMIC_SEQ_CST);
	int both = (ticket + 1) / 2 * 2, spins = 0;

	while (__atomic_load_n(&arena->arrived, __ATOMIC_SEQ_CST) < both)
		if (++spins > 1000)
			sched_yield();
}

/* Come a little early or late, to try many offsets */
static void race_jitter(unsigned int *state)
{
	unsigned int i;

	for (i = rand_r(state) % 2000; i; i--)
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* A child that shares the descriptors, so that both close the same ones. Not a
 * thread: User-Mode Linux runs one of a process at a time.
 */
static pid_t race_clone(struct __test_metadata *_metadata,
			const struct call *right)
{
	struct clone_args args = {
		.flags = CLONE_FILES, .exit_signal = SIGCHLD,
	};
	pid_t pid = syscall(SYS_clone3, &args, sizeof(args));
	unsigned int state = seed + 1;

	ASSERT_LE(0, pid);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		race_meet();
		race_jitter(&state);
		arena->right = do_call(&arena->sockets, right);
		race_meet();
	}
}

static void race_setup(struct __test_metadata *_metadata, struct sockets *s,
		       enum setup setup)
{
	*s = (struct sockets) { .fd = { -1, -1, -1, -1, -1 } };
	if (setup >= LINKED) {
		my_connection(_metadata, s->fd);
	} else {
		s->fd[0] = my_socket(_metadata);
		s->fd[1] = my_bound_socket(_metadata, 5001);
		s->fd[2] = my_bound_socket(_metadata, 5002);
	}
	expect_calls(_metadata, s, setups[setup], ARRAY_SIZE(setups[setup]));
}

static void race_check(struct __test_metadata *_metadata, struct sockets *s,
		       const struct race *race, int left, int right)
{
	bool first = left == race->first.left && right == race->first.right;
	const struct outcome *outcome = first ? &race->first : &race->second;
	int i;

	/* An empty @second matches nothing: two successes are @first. */
	ASSERT_TRUE(first || (left == outcome->left &&
			      right == outcome->right && (left || right)))
		TH_LOG("line %d: %d and %d", running, left, right);

	/* From here on nothing waits. */
	for (i = 0; i < ARRAY_SIZE(s->fd); i++)
		fcntl(s->fd[i], F_SETFL, O_RDWR | O_NONBLOCK);
	expect_calls(_metadata, s, outcome->then, ARRAY_SIZE(outcome->then));
	expect_calls(_metadata, s, race->then, ARRAY_SIZE(race->then));
	if (race->check)
		race->check(_metadata, s, left);
}

static void race_run(struct __test_metadata *_metadata, const struct race *race)
{
	unsigned int state = seed;
	struct sockets *s;
	long end = 0;
	int left, i;
	pid_t pid;

	arena = mmap(NULL, sizeof(*arena), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)arena);
	s = &arena->sockets;
	pid = race_clone(_metadata, &race->right);
	do {
		race_setup(_metadata, s, race->setup);
		race_meet();
		race_jitter(&state);
		left = do_call(s, &race->left);
		race_meet();
		race_check(_metadata, s, race, left, arena->right);
		for (i = 0; i < ARRAY_SIZE(s->fd); i++)
			close(s->fd[i]);
		/* The first round does not count: the child had to start. */
		end = end ?: now_ms() + race_ms;
	} while (now_ms() < end && __test_passed(_metadata));

	EXPECT_EQ(-SIGKILL, my_kill(pid));
}

/* What the returned numbers do not tell */

/* accept() admitted the one that was connecting, or that had ended before. */
static void check_admitted_or_ended(struct __test_metadata *_metadata,
				    struct sockets *s, int left)
{
	int fd = accept4(s->fd[1], NULL, NULL, SOCK_NONBLOCK);

	/* What was admitted has an end; the other can try again. */
	if (fd >= 0) {
		EXPECT_EQ(POLLHUP, poll_now(fd) & POLLHUP);
		try_recv(fd);
		expect_eof(_metadata, fd);
		close(fd);
		return;
	}
	EXPECT_EQ(EAGAIN, errno);
	if (s->fd[0] >= 0) {
		EXPECT_NE(0, my_connect(s->fd[0], 5001));
		EXPECT_EQ(0, my_connect(s->fd[0], 5001));
	}
}

/* The listener ended: it was connecting until then, or just admitted. */
static void check_refused_or_ended(struct __test_metadata *_metadata,
				   struct sockets *s, int left)
{
	int err = get_int_opt(_metadata, s->fd[0], SO_ERROR);

	EXPECT_TRUE(err == ECONNREFUSED || (err == ECONNRESET && !left));
	EXPECT_EQ(0, get_int_opt(_metadata, s->fd[0], SO_ERROR));
	EXPECT_EQ(POLLHUP, poll_now(s->fd[0]) & POLLHUP);
}

/* Both came from the one channel that the sender was bound to. */
static void check_both_arrived(struct __test_metadata *_metadata,
			       struct sockets *s, int left)
{
	struct sockaddr_my from = {};
	socklen_t len = sizeof(from);
	char c;
	int i;

	for (i = 0; i < 2; i++) {
		EXPECT_EQ(1, recvfrom(s->fd[1], &c, 1, 0,
				      (struct sockaddr *)&from, &len));
		EXPECT_EQ(my_channel(_metadata, s->fd[0]), from.smy_channel);
	}
}

static void check_arrived_at_one(struct __test_metadata *_metadata,
				 struct sockets *s, int left)
{
	EXPECT_EQ(1U, my_drain(_metadata, s->fd[1]) +
		      my_drain(_metadata, s->fd[2]));
}

static const struct race races[] = {
	{ __LINE__, ANY, TWO_UNBOUND, { BIND, 0, 5000 }, { BIND, 3, 5000 },
	  { 0, -EADDRINUSE, { { NAME, 0, 0, 5000 }, { NAME, 3 } } },
	  { -EADDRINUSE, 0, { { NAME, 0 }, { NAME, 3, 0, 5000 } } } },
	/* The loser took no channel. */
	{ __LINE__, ANY, TWO_UNBOUND, { BIND, 0, 5000 }, { BIND, 0, 5003 },
	  { 0, -EINVAL, { { NAME, 0, 0, 5000 }, { BIND, 3, 5003 } } },
	  { -EINVAL, 0, { { NAME, 0, 0, 5003 }, { BIND, 3, 5000 } } } },
	{ __LINE__, ANY, SOCKETS, { BIND, 0, 5001 }, { CLOSE, 1 }, {},
	  { -EADDRINUSE, 0, { { BIND, 0, 5001 } } } },
	/* Sleepers must not miss what they wait for. */
	{ __LINE__, ANY, LINKED, { RECV, 0 }, { SEND, 1 }, { 'a' } },
	{ __LINE__, ANY, FULL, { SEND, 0 }, { DRAIN, 1 } },
	{ __LINE__, ANY, FULL, { SEND, 0 }, { SHUTDOWN, 1, SHUT_RD },
	  { -EPIPE } },
	{ __LINE__, ANY, LINKED, { SEND, 0 }, { SHUTDOWN, 1, SHUT_RD },
	  { 0, 0, { { RECV, 1, 0, 'a' } } }, { -EPIPE }, { { RECV, 1 } } },
	{ __LINE__, ANY, TWO_BYTES, { RECV, 0 }, { RECV, 0 }, { 'a', 'b' },
	  { 'b', 'a' }, { { RECV, 0, 0, -EAGAIN } } },
	{ __LINE__, CONN, LISTENER, { CONNECT, 0, 5001 }, { BIND, 0, 5000 },
	  { 0, 0, { { NAME, 0, 0, 5000 }, { ACCEPT, 1, 3 },
	    { PEER, 3, 0, 5000 } } },
	  { 0, -EINVAL, { { NAME, 0, 0, DYNAMIC }, { ACCEPT, 1, 3 },
	    { PEER, 3, 0, DYNAMIC } } } },
	/* The listener of the loser has nothing. */
	{ __LINE__, CONN, LISTENERS, { CONNECT, 0, 5001 }, { CONNECT, 0, 5002 },
	  { 0, -EISCONN, { { ACCEPT, 1, 3 }, { ACCEPT, 2, 4, -EAGAIN } } },
	  { -EISCONN, 0, { { ACCEPT, 1, 3, -EAGAIN }, { ACCEPT, 2, 4 } } } },
	{ __LINE__, CONN, BOUND, { CONNECT, 0, 5001 }, { LISTEN, 0, 1 },
	  { 0, -EINVAL, { { OPTION, 0, SO_ACCEPTCONN }, { ACCEPT, 1, 3 } } },
	  { -EINVAL, 0, { { OPTION, 0, SO_ACCEPTCONN, 1 },
	    { ACCEPT, 1, 3, -EAGAIN } } } },
	{ __LINE__, CONN, LISTENER, { CONNECT, 0, 5001 }, { CLOSE, 1 },
	  { 0, 0, { { RECV, 0, 0, -ECONNRESET }, { RECV, 0 } } },
	  { -ECONNREFUSED, 0, { { RECV, 0, 0, -ENOTCONN } } } },
	{ __LINE__, CONN, LISTENER, { CONNECT, 0, 5001 },
	  { SHUTDOWN, 1, SHUT_RD },
	  { 0, 0, { { CLOSE, 1 }, { RECV, 0, 0, -ECONNRESET } } },
	  { -ECONNREFUSED, 0, { { RECV, 0, 0, -ENOTCONN } } },
	  { { CONNECT, 2, 5001, -ECONNREFUSED } } },
	{ __LINE__, CONN, BACKLOG, { CONNECT, 0, 5001 }, { ACCEPT, 1, 3 } },
	{ __LINE__, CONN, BACKLOG, { CONNECT, 0, 5001 }, { LISTEN, 1, 1 } },
	{ __LINE__, CONN, BACKLOG, { CONNECT, 0, 5001 }, { CLOSE, 1 },
	  { -ECONNREFUSED } },
	{ __LINE__, CONN, BACKLOG, { CONNECT, 0, 5001 },
	  { SHUTDOWN, 1, SHUT_RD }, { -ECONNREFUSED } },
	{ __LINE__, CONN, LISTENER, { ACCEPT, 1, 3 }, { CONNECT, 0, 5001 } },
	{ __LINE__, CONN, LISTENER, { ACCEPT, 1, 3 }, { SHUTDOWN, 1, SHUT_RD },
	  { -EINVAL } },
	{ __LINE__, CONN, WAITING, { ACCEPT, 1, 3 }, { ACCEPT, 1, 4 },
	  { 0, -EAGAIN }, { -EAGAIN } },
	{ __LINE__, CONN, WAITING, { ACCEPT, 1, 3 }, { CLOSE, 0 },
	  { 0, 0, { { RECV, 3 } } } },
	{ __LINE__, CONN, WAITING, { ACCEPT, 1, 3 }, { CLOSE, 1 },
	  { 0, 0, { { RECV, 0, 0, -EAGAIN } } },
	  { -EBADF, 0, { { RECV, 0, 0, -ECONNRESET } } } },
	{ __LINE__, CONN, CONNECTING, { ACCEPT, 1, 3 }, { CLOSE, 0 },
	  .check = check_admitted_or_ended },
	{ __LINE__, CONN, CONNECTING, { ACCEPT, 1, 3 },
	  { SHUTDOWN, 0, SHUT_RDWR }, .check = check_admitted_or_ended },
	{ __LINE__, CONN, CONNECTING, { ACCEPT, 1, 3 }, { CLOSE, 1 }, {},
	  { -EBADF }, {}, check_refused_or_ended },
	/* Both end it, and it does so once. */
	{ __LINE__, CONN, CONNECTING, { SHUTDOWN, 0, SHUT_RDWR }, { CLOSE, 1 },
	  { 0, 0, { { OPTION, 0, SO_ERROR, ECONNRESET } } },
	  { -ENOTCONN, 0, { { OPTION, 0, SO_ERROR, ECONNREFUSED } } } },
	{ __LINE__, CONN, LISTENER, { PEER, 0 }, { CONNECT, 0, 5001 }, { 5001 },
	  { -ENOTCONN }, { { PEER, 0, 0, 5001 } } },
	{ __LINE__, CONN, LINKED, { RECV, 0 }, { CLOSE, 1 } },
	{ __LINE__, CONN, FULL, { SEND, 0 }, { CLOSE, 1 }, { -EPIPE } },
	/* Nothing that a send() took may vanish. */
	{ __LINE__, CONN, LINKED, { SEND, 0 }, { CLOSE, 1 },
	  { 0, 0, { { RECV, 0, 0, -ECONNRESET } } }, { -EPIPE },
	  { { RECV, 0 } } },
	{ __LINE__, CONN, LINKED, { SEND, 0 }, { SHUTDOWN, 0, SHUT_WR },
	  { 0, 0, { { RECV, 1, 0, 'a' } } }, { -EPIPE }, { { RECV, 1 } } },
	{ __LINE__, CONN, LINKED, { RECV, 0 }, { SEND_CLOSE, 1 },
	  { 'a', 0, { { RECV, 0 } } } },
	/* Both have unread data. */
	{ __LINE__, CONN, FULL, { CLOSE, 0 }, { CLOSE, 1 } },
	/* When what the peer has not read is gone, there is an error. */
	{ __LINE__, CONN, LARGE, { OUTQ, 0 }, { CLOSE, 1 }, { ECONNRESET } },
	{ __LINE__, CONN, LINKED, { SHUTDOWN, 0, SHUT_RDWR },
	  { SHUTDOWN, 1, SHUT_RDWR },
	  { 0, 0, { { HUP, 0, 0, POLLHUP }, { HUP, 1, 0, POLLHUP } } } },
	{ __LINE__, CONN, LINKED, { SHUTDOWN, 0, SHUT_RDWR }, { CLOSE, 1 },
	  { 0, 0, { { HUP, 0, 0, POLLHUP } } } },
	{ __LINE__, DGRAM, SOCKETS, { SENDTO, 0, 5001 }, { BIND, 0, 5000 },
	  { 0, 0, { { NAME, 0, 0, 5000 } } },
	  { 0, -EINVAL, { { NAME, 0, 0, DYNAMIC } } },
	  { { RECV, 1, 0, 'a' } } },
	{ __LINE__, DGRAM, SOCKETS, { SENDTO, 0, 5001 }, { SENDTO, 0, 5001 },
	  .check = check_both_arrived },
	{ __LINE__, DGRAM, SOCKETS, { SENDTO, 0, 5001 }, { CLOSE, 1 }, {},
	  { -ECONNREFUSED } },
	{ __LINE__, DGRAM, ASSOCIATED, { SEND, 0 }, { CLOSE, 1 }, {},
	  { -ECONNREFUSED } },
	{ __LINE__, DGRAM, SOCKETS, { CONNECT, 0, 5001 }, { CLOSE, 1 }, {},
	  { -ECONNREFUSED } },
	{ __LINE__, DGRAM, SOCKETS, { SENDTO, 0, 5001 }, { CONNECT, 1, 5002 },
	  { 0, 0, { { RECV, 1, 0, 'a' } } },
	  { -EPERM, 0, { { RECV, 1, 0, -EAGAIN } } } },
	{ __LINE__, DGRAM, ASSOCIATED, { SEND, 0 }, { CONNECT, 0, 5002 },
	  .check = check_arrived_at_one },
	{ __LINE__, DGRAM, ASSOCIATED, { SEND, 0 }, { DISSOLVE, 0 },
	  { 0, 0, { { RECV, 1, 0, 'a' } } },
	  { -EDESTADDRREQ, 0, { { RECV, 1, 0, -EAGAIN } } } },
	{ __LINE__, DGRAM, FULL, { DISSOLVE, 0 }, { CLOSE, 1 } },
	{ __LINE__, DGRAM, SOCKETS, { CONNECT, 0, 5001 }, { CONNECT, 0, 5002 },
	  { 0, 0, { { SEND, 0 } } }, .check = check_arrived_at_one },
	{ __LINE__, DGRAM, SOCKETS, { CONNECT, 1, 5002 }, { CONNECT, 2, 5001 },
	  { 0, 0, { { SEND, 1 }, { RECV, 2, 0, 'a' }, { SEND, 2 },
	    { RECV, 1, 0, 'b' }, { CONNECT, 0, 5001, -EPERM } } } },
	{ __LINE__, DGRAM, FULL, { SEND, 0 }, { CLOSE, 1 }, { -ECONNREFUSED } },
	{ __LINE__, ANY, PEEKED, { PEEK, 1 }, { RECV, 1 }, { 'b', 'a' } },
};

static void on_alarm(int sig)
{
	ksft_print_msg("line %d: does not end\n", running);
	_exit(KSFT_FAIL);
}

static void run_races(struct __test_metadata *_metadata,
		      const struct race *race, int n)
{
	signal(SIGALRM, on_alarm);
	for (; n--; race++) {
		if (!(race->types & TYPE(my_type)))
			continue;
		running = race->line;
		alarm((WAIT_MS + race_ms) / 1000);
		race_run(_metadata, race);
	}
	alarm(0);
	EXPECT_EQ(0, sockets_settle_at(0));
}

TEST_F(type, races)
{
	run_races(_metadata, races, ARRAY_SIZE(races));
}

/*
 * Threads that make all kinds of calls on the same descriptors. A descriptor
 * may be closed and made anew at any time, also under a call that sleeps.
 */

#define SLOTS		8
#define THREADS		5

static int slots[SLOTS];
static long storm_end;

/* The calls, with the lowest argument and how many there are from there on */
static const struct { enum op op; int arg, count; } storm_calls[] = {
	{ SOCKET, 0, 2 }, { SOCKET, 0, 2 }, { BIND, 5000, 6 },
	{ BIND, 5000, 6 }, { LISTEN, 2, 1 }, { CONNECT, 5000, 6 },
	{ CONNECT, 5000, 6 }, { CONNECT, 5000, 6 }, { DISSOLVE, 0, 1 },
	{ ACCEPT, 2, 1 }, { ACCEPT, 2, 1 }, { SEND, 0, 1000 },
	{ SEND, 0, 1000 }, { SEND, 0, 1000 }, { SENDTO, 5000, 6 },
	{ RECV, 0, 1000 }, { RECV, 0, 1000 }, { RECV, 0, 1000 },
	{ PEEK, 0, 1 }, { HUP, 0, 2 }, { SHUTDOWN, 0, 3 }, { SPLICE, 1, 1 },
	{ PEER, 0, 1 }, { IOCTL, SIOCINQ, 1 }, { IOCTL, SIOCOUTQ, 1 },
};

/* That a call says how things are, and not how they cannot be */
static const int storm_errors[] = {
	EAGAIN, EINVAL, EADDRINUSE, ECONNREFUSED, EISCONN, ENOTCONN, EPIPE,
	ECONNRESET, EPROTOTYPE, EDESTADDRREQ, EOPNOTSUPP, EPERM, EINPROGRESS,
	EALREADY,
};

/* Make a socket, or a pair, now and then of another type. Calls that block do
 * so for a moment only.
 */
static int storm_sockets(unsigned int *state, int fd[2], bool pair)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	int type = rand_r(state) % 4 ? my_type : types[rand_r(state) % 3];
	struct timeval tv = { .tv_usec = 2000 };
	int small = 1, i;

	if (rand_r(state) % 2)
		type |= SOCK_NONBLOCK;
	if (!pair)
		fd[0] = socket(AF_MYPROTO, type, 0);
	else if (socketpair(AF_MYPROTO, type, 0, fd))
		return -errno;
	for (i = 0; i <= pair; i++) {
		setsockopt(fd[i], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		setsockopt(fd[i], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
		setsockopt(fd[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	}
	return -err_of(fd[0]);
}

static int storm_slot(unsigned int *state)
{
	return slots[rand_r(state) % SLOTS];
}

static int storm_call(unsigned int *state, struct call *call)
{
	struct sockets s = {
		.fd = { storm_slot(state), storm_slot(state), -1, -1, -1 },
	};
	int i = rand_r(state) % ARRAY_SIZE(storm_calls), ret;

	call->op = storm_calls[i].op;
	call->arg = storm_calls[i].arg +
		    rand_r(state) % storm_calls[i].count;
	if (call->op == SOCKET)
		ret = storm_sockets(state, &s.fd[2], call->arg);
	else
		ret = do_call(&s, call);

	/* What is new takes a slot; what that had is closed. */
	for (i = 2; i < 4; i++) {
		if (s.fd[i] >= 0) {
			dup2(s.fd[i], storm_slot(state));
			close(s.fd[i]);
		}
	}
	return ret;
}

static void *storm_run(void *arg)
{
	unsigned int state = __atomic_add_fetch(&seed, 1, __ATOMIC_SEQ_CST);
	struct __test_metadata *_metadata = arg;
	struct call call = {};
	int ret, i;

	while (now_ms() < storm_end && __test_passed(_metadata)) {
		ret = storm_call(&state, &call);
		for (i = 0; ret < 0 && i < ARRAY_SIZE(storm_errors); i++)
			if (ret == -storm_errors[i])
				ret = 0;
		EXPECT_LE(0, ret)
			TH_LOG("op %d: %s", call.op, strerror(-ret));
	}
	return NULL;
}

TEST_F(type, storm)
{
	pthread_t thread[THREADS];
	unsigned int state = seed;
	int i;

	signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < SLOTS; i++)
		ASSERT_EQ(0, storm_sockets(&state, &slots[i], false));
	storm_end = now_ms() + 4 * race_ms;
	for (i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, storm_run,
					    _metadata));
	for (i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
	for (i = 0; i < SLOTS; i++)
		EXPECT_EQ(0, close(slots[i]));
	EXPECT_EQ(0, sockets_settle_at(0));
}

/*
 * One thread sends numbers and one receives them, while others do what must not
 * disturb that: each number arrives once, and in order.
 */

#define NUMBERS	64	/* in one message at most */

static struct {
	__u64 received;
	int wrong;
	bool done;	/* for those that disturb */
	struct sockets sockets;
} numbers;

static const struct call disturbing[] = {
	{ HUP, 0 }, { HUP, 1 }, { PEEK, 1 }, { PEER, 0 }, { PEER, 1 },
	{ IOCTL, 0, SIOCINQ }, { IOCTL, 1, SIOCINQ },
	{ IOCTL, 0, SIOCOUTQ }, { IOCTL, 1, SIOCOUTQ },
	/* Refused, and without an effect */
	{ BIND, 0, 5003 }, { BIND, 1, 5003 }, { SHUTDOWN, 0, 3 },
	{ SHUTDOWN, 1, 3 },
	/* Room comes and goes. */
	{ RCVBUF, 1, 4000 }, { LOWAT, 1, 100 }, { RCVBUF, 1, 8000 },
	{ LOWAT, 1, 1 }, { RCVBUF, 1, 0 },
	/* MUTUAL: the receiver goes, and comes back to the same peer. */
	{ DISSOLVE, 1 }, { CONNECT, 1, 5000 },
};

static void *numbers_receive(void *arg)
{
	int flags = my_type == SOCK_STREAM ? MSG_WAITALL : 0, i;
	struct __test_metadata *_metadata = arg;
	__u64 data[NUMBERS];
	ssize_t n;

	while ((n = recv(numbers.sockets.fd[1], data, sizeof(data), flags)) > 0)
		for (i = 0; i < n / (int)sizeof(*data); i++)
			numbers.wrong += data[i] != numbers.received++;
	EXPECT_EQ(0, n);
	return NULL;
}

static void *numbers_disturb(void *arg)
{
	int count = ARRAY_SIZE(disturbing) - (my_type == SOCK_DGRAM ? 0 : 2);
	int i;

	while (!__atomic_load_n(&numbers.done, __ATOMIC_SEQ_CST))
		for (i = 0; i < count; i++)
			do_call(&numbers.sockets, &disturbing[i]);
	return NULL;
}

TEST_F(type, numbers_in_order)
{
	int i, len = 0, *fd = numbers.sockets.fd;
	bool dgram = my_type == SOCK_DGRAM;
	__u64 data[NUMBERS], sent = 0;
	pthread_t thread[3];
	long end, bytes;

	race_setup(_metadata, &numbers.sockets, dgram ? MUTUAL : LINKED);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, i ?
					    numbers_disturb : numbers_receive,
					    _metadata));
	end = now_ms() + 2 * race_ms;
	do {
		len = len % NUMBERS + 1;
		for (i = 0; i < len; i++)
			data[i] = sent++;
		bytes = len * sizeof(*data);
		ASSERT_EQ(bytes, send(fd[0], data, bytes, MSG_NOSIGNAL));
	} while (now_ms() < end);

	/* What was sent is read until the end comes. */
	EXPECT_EQ(0, shutdown(fd[dgram], dgram ? SHUT_RD : SHUT_WR));
	__atomic_store_n(&numbers.done, true, __ATOMIC_SEQ_CST);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
	EXPECT_EQ(0, numbers.wrong);
	EXPECT_EQ(sent, numbers.received);
}

int main(int argc, char **argv)
{
	long seconds = atol(getenv("MYPROTO_STRESS_SECONDS") ?: "0");
	struct __fixture_metadata *fixture;
	struct __test_metadata *test;

	/* A race has two types, and what else there is takes as long as 24. A
	 * test has many races: it may take as long as all do.
	 */
	if (seconds > 0)
		race_ms = seconds * 1000 / (2 * ARRAY_SIZE(races) + 24);
	for (fixture = __fixture_list; fixture; fixture = fixture->next)
		for (test = fixture->tests; test; test = test->next)
			test->timeout += seconds;
	seed = strtoul(getenv("MYPROTO_SEED") ?: "0", NULL, 0) ?: now_ms();
	ksft_print_msg("MYPROTO_SEED=%u\n", seed);

	return test_harness_run(argc, argv);
}

#include "destroy.h"

static const struct race destroy_races[] = {
	{ __LINE__, CONN, CONNECTING, { ACCEPT, 1, 3 }, { DESTROY, 0 },
	  .check = check_admitted_or_ended },
	{ __LINE__, CONN, CONNECTING, { ACCEPT, 1, 3 }, { DESTROY, 1 }, {},
	  { -EINVAL }, {}, check_refused_or_ended },
};

TEST_F(type, destroy_races)
{
	destroy = my_destroy;
	run_races(_metadata, destroy_races, ARRAY_SIZE(destroy_races));
}
