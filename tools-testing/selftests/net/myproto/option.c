// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO: socket options, control messages and ioctls of all types: who is
 * at the other end and who sent what, time stamps, filters, SO_PEEK_OFF,
 * SO_RCVLOWAT. And splice(), which for a stream moves pages without a copy.
 */
#include <grp.h>
#include <limits.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/timerfd.h>

#include <asm/ioctls.h>
#include <linux/filter.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>

#include "any.h"
#include "cmsg.h"
#include "type.h"

/* An id that is nobody's but the tests' */
#define OTHER_ID	12345

#define OVERFLOW_ID	65534

/* glibc has no struct for these. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD	77
#endif

static const gid_t other_groups[] = { 111, 222, 333 };

/* Become somebody without rights */
static int drop_rights(void)
{
	return setgroups(ARRAY_SIZE(other_groups), other_groups) ||
	       setresgid(OTHER_ID, OTHER_ID, OTHER_ID) ||
	       setresuid(OTHER_ID, OTHER_ID, OTHER_ID);
}

/* SO_PASSCRED and SCM_CREDENTIALS */

/* Receive @text with credentials, and see whose they are. */
static void expect_creds(struct __test_metadata *_metadata, int fd,
			 const char *text, pid_t pid, uid_t uid, gid_t gid)
{
	struct ucred *cred;
	struct got got;

	ASSERT_EQ((ssize_t)strlen(text), recv_got(fd, &got, 256, 0))
		TH_LOG("%s", strerror(errno));
	EXPECT_STREQ(text, got.data);
	cred = find_cmsg(&got, SCM_CREDENTIALS, sizeof(*cred));
	ASSERT_NE(NULL, cred);
	EXPECT_EQ(pid, cred->pid);
	EXPECT_EQ(uid, cred->uid);
	EXPECT_EQ(gid, cred->gid);
	EXPECT_EQ(0, got.msg.msg_flags & MSG_CTRUNC);
}

static void expect_own_creds(struct __test_metadata *_metadata, int fd,
			     const char *text)
{
	expect_creds(_metadata, fd, text, getpid(), getuid(), getgid());
}

/* Receive @text without any control message */
static void expect_bare(struct __test_metadata *_metadata, int fd,
			const char *text)
{
	struct got got;

	EXPECT_EQ((ssize_t)strlen(text), recv_got(fd, &got, 256, 0));
	EXPECT_STREQ(text, got.data);
	EXPECT_EQ(0U, got.msg.msg_controllen);
	EXPECT_EQ(0, got.msg.msg_flags & MSG_CTRUNC);
}

static ssize_t send_creds(struct link *link, const char *text, pid_t pid,
			  uid_t uid, gid_t gid)
{
	struct ucred cred = { .pid = pid, .uid = uid, .gid = gid };

	return send_cmsg(link, text, SOL_SOCKET, SCM_CREDENTIALS, &cred,
			 sizeof(cred));
}

/* Send @text in a child with the ids @id; tells which process that was */
static pid_t send_in_child(struct __test_metadata *_metadata,
			   struct link *link, const char *text, int id)
{
	pid_t pid = my_fork(_metadata);

	if (!pid) {
		if (id && (setresgid(id, id, id) || setresuid(id, id, id)))
			_exit(1);
		_exit(link_send(link, 0, text, strlen(text), 0) < 0);
	}
	EXPECT_EQ(0, my_wait(pid));
	return pid;
}

static const struct {
	const char *name;
	bool sender;	/* The sender has SO_PASSCRED, */
	bool receiver;	/* the receiver has it when the data is sent, */
	bool reader;	/* and when it is read. */
	bool named;	/* The sender names its credentials. */
	bool known;	/* A reader that asks is told them, not nobody's. */
} passcred[] = {
	{ "nobody asks", .named = true },
	{ "receiver", .receiver = true, .reader = true, .known = true },
	{ "off again", .receiver = true },
	{ "too late", .reader = true },
	{ "sender", .sender = true, .reader = true, .known = true },
	{ "named", .named = true, .reader = true, .known = true },
};

TEST_F(any, passcred)
{
	struct link *link = &self->link;
	int to = link->fd[1];
	size_t i;

	EXPECT_EQ(0, get_int_opt(_metadata, to, SO_PASSCRED));
	link_expect_send(_metadata, link, 0, "abc");
	expect_bare(_metadata, to, "abc");

	for (i = 0; i < ARRAY_SIZE(passcred); i++) {
		set_int_opt(_metadata, link->fd[0], SO_PASSCRED,
			    passcred[i].sender);
		set_int_opt(_metadata, to, SO_PASSCRED, passcred[i].receiver);
		if (passcred[i].named) {
			EXPECT_EQ(3, send_creds(link, "abc", getpid(), getuid(),
						getgid()));
		} else {
			link_expect_send(_metadata, link, 0, "abc");
		}
		set_int_opt(_metadata, to, SO_PASSCRED, passcred[i].reader);
		EXPECT_EQ(passcred[i].reader,
			  get_int_opt(_metadata, to, SO_PASSCRED));
		if (!passcred[i].reader)
			expect_bare(_metadata, to, "abc");
		else if (passcred[i].known)
			expect_own_creds(_metadata, to, "abc");
		else
			expect_creds(_metadata, to, "abc", 0, OVERFLOW_ID,
				     OVERFLOW_ID);
		ASSERT_TRUE(__test_passed(_metadata))
			TH_LOG("%s", passcred[i].name);
	}
	/* One direction only */
	link_expect_send(_metadata, link, 1, "back");
	expect_bare(_metadata, link->fd[0], "back");
}

TEST_F(any, creds_peeked_and_cut_off)
{
	const size_t rooms[] = { 0, CMSG_LEN(4) };
	struct link *link = &self->link;
	struct ucred *cred;
	struct got got;
	int i;

	set_int_opt(_metadata, link->fd[1], SO_PASSCRED, 1);
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(3, recv_got(link->fd[1], &got, 256, MSG_PEEK));
	cred = find_cmsg(&got, SCM_CREDENTIALS, sizeof(*cred));
	ASSERT_NE(NULL, cred);
	EXPECT_EQ(getpid(), cred->pid);
	expect_own_creds(_metadata, link->fd[1], "abc");

	for (i = 0; i < 2; i++) {
		link_expect_send(_metadata, link, 0, "abc");
		EXPECT_EQ(3, recv_got(link->fd[1], &got, rooms[i], 0));
		EXPECT_EQ(MSG_CTRUNC, got.msg.msg_flags & MSG_CTRUNC);
		EXPECT_STREQ("abc", got.data);
	}
}

/* It is who writes that counts, not whose the socket is. */
TEST_F(any, creds_of_each_writer)
{
	static const char * const text[] = { "first", "second", "third" };
	struct link *link = &self->link;
	pid_t pid[3];
	int i;

	set_int_opt(_metadata, link->fd[1], SO_PASSCRED, 1);
	for (i = 0; i < 3; i++)
		pid[i] = send_in_child(_metadata, link, text[i], i);
	/* The stream is cut where the writer changes. */
	for (i = 0; i < 3; i++)
		expect_creds(_metadata, link->fd[1], text[i], pid[i], i, i);
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

TEST(creds_of_stream)
{
	struct link link;
	struct got got;
	pid_t pid;
	int fd, i;

	link_make(_metadata, &link, SOCK_STREAM, BY_PAIR);
	fd = link.fd[1];
	set_int_opt(_metadata, fd, SO_PASSCRED, 1);

	/* MSG_WAITALL ends at the other writer. */
	link_expect_send(_metadata, &link, 0, "abc");
	pid = send_in_child(_metadata, &link, "def", 0);
	EXPECT_EQ(3, recv_got(fd, &got, 256, MSG_PEEK | MSG_WAITALL));
	EXPECT_STREQ("abc", got.data);
	EXPECT_EQ(3, recv_got(fd, &got, 256, MSG_WAITALL));
	EXPECT_STREQ("abc", got.data);
	expect_creds(_metadata, fd, "def", pid, getuid(), getgid());

	/* Reads that end in the middle of a write */
	for (i = 0; i < 2; i++)
		link_expect_send(_metadata, &link, 0, "abc");
	pid = send_in_child(_metadata, &link, "def", 0);
	for (i = 0; i < 7; i++) {
		EXPECT_EQ(1, recv(fd, got.data, 1, MSG_DONTWAIT));
		EXPECT_EQ("abcabcd"[i], got.data[0]);
	}
	expect_creds(_metadata, fd, "ef", pid, getuid(), getgid());

	/* Without SO_PASSCRED of the reader it is one stream. */
	set_int_opt(_metadata, link.fd[0], SO_PASSCRED, 1);
	set_int_opt(_metadata, fd, SO_PASSCRED, 0);
	link_expect_send(_metadata, &link, 0, "abc");
	send_in_child(_metadata, &link, "def", 0);
	expect_recv(_metadata, fd, "abcdef");
}

TEST_F(any, creds_of_others)
{
	struct link *link = &self->link;
	int to = link->fd[1];
	pid_t pid;

	set_int_opt(_metadata, to, SO_PASSCRED, 1);
	EXPECT_EQ(3, send_creds(link, "abc", 1, OTHER_ID, OTHER_ID + 1));
	expect_creds(_metadata, to, "abc", 1, OTHER_ID, OTHER_ID + 1);
	/* There must be such a process. */
	EXPECT_EQ(ESRCH, err_of(send_creds(link, "x", 0x3ffffff, 0, 0)));

	pid = my_fork(_metadata);
	if (!pid) {
		ASSERT_EQ(0, drop_rights());
		pid = getpid();
		EXPECT_EQ(EPERM, err_of(send_creds(link, "a", 1, OTHER_ID,
						   OTHER_ID)));
		EXPECT_EQ(EPERM, err_of(send_creds(link, "b", pid, 0,
						   OTHER_ID)));
		EXPECT_EQ(EPERM, err_of(send_creds(link, "c", pid, OTHER_ID,
						   0)));
		EXPECT_EQ(1, send_creds(link, "d", pid, OTHER_ID, OTHER_ID));
		_exit(_metadata->exit_code);
	}
	EXPECT_EQ(0, my_wait(pid));
	expect_creds(_metadata, to, "d", pid, OTHER_ID, OTHER_ID);
	EXPECT_EQ(EAGAIN, try_recv(to));
}

/* Nothing is sent with a control message that is not taken. */
TEST_F(any, bad_control_messages)
{
	struct ucred cred = { .pid = getpid() };
	struct link *link = &self->link;
	static const struct {
		int level, type, len, err;
	} rows[] = {
		{ SOL_SOCKET, SCM_CREDENTIALS, sizeof(cred) - 4, EINVAL },
		{ SOL_SOCKET, SCM_CREDENTIALS, 0, EINVAL },
		{ SOL_SOCKET, SCM_CREDENTIALS + 100, sizeof(int), EINVAL },
		/* It is for somebody else. */
		{ IPPROTO_IP, 1, sizeof(int), 0 },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		EXPECT_EQ(rows[i].err,
			  err_of(send_cmsg(link, "x", rows[i].level,
					   rows[i].type, &cred,
					   rows[i].len)))
			TH_LOG("case %d", i);
		EXPECT_EQ(rows[i].err ? EAGAIN : 0, try_recv(link->fd[1]));
	}
}

TEST_F(any, options)
{
	static const int unknown[] = { SOL_SOCKET, SOL_MYPROTO, IPPROTO_TCP };
	int fd = self->link.fd[0], i;
	char c;

	for (i = 0; i < ARRAY_SIZE(unknown); i++) {
		EXPECT_EQ(ENOPROTOOPT, int_opt_err(fd, unknown[i], 9999, 1));
		EXPECT_EQ(ENOPROTOOPT, get_opt_err(fd, unknown[i], 9999));
	}
	EXPECT_EQ(EOPNOTSUPP, int_opt_err(fd, SOL_SOCKET, SO_ZEROCOPY, 1));
	EXPECT_EQ(EOPNOTSUPP, int_opt_err(fd, SOL_SOCKET, SO_REUSEPORT, 1));
	EXPECT_EQ(-ENOTTY, ioctl_len(fd, _IO('M', 0x7f)));
	EXPECT_EQ(-ENOTTY, ioctl_len(fd, SIOCATMARK));

	for (i = 0; i < 2; i++) {
		fd = self->link.fd[i];
		EXPECT_EQ(variant->type, get_int_opt(_metadata, fd, SO_TYPE));
		EXPECT_EQ(AF_MYPROTO, get_int_opt(_metadata, fd, SO_DOMAIN));
		EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_PROTOCOL));
		EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ACCEPTCONN));
		EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ERROR));
		set_timeout(_metadata, fd, SO_RCVTIMEO, 30);
		EXPECT_EQ(EAGAIN, err_of(recv(fd, &c, 1, 0)));
	}
}

/* Who is at the other end */

static void expect_peer(struct __test_metadata *_metadata, int fd, pid_t pid,
			uid_t uid, gid_t gid)
{
	struct ucred cred = { 0x55, 0x55, 0x55 };
	socklen_t len = sizeof(cred);

	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len));
	EXPECT_EQ(pid, cred.pid);
	EXPECT_EQ(uid, cred.uid);
	EXPECT_EQ(gid, cred.gid);
}

static int get_groups(int fd, gid_t *groups, socklen_t *len)
{
	return getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, len);
}

static void expect_no_peer(struct __test_metadata *_metadata, int fd)
{
	gid_t groups[8];
	socklen_t len = sizeof(groups);

	expect_peer(_metadata, fd, 0, -1, -1);
	EXPECT_EQ(ENODATA, err_of(get_groups(fd, groups, &len)));
	EXPECT_EQ(ENODATA, get_opt_err(fd, SOL_SOCKET, SO_PEERPIDFD));
}

TEST_F(any, peer)
{
	struct link pair;
	int i;

	link_make(_metadata, &pair, variant->type, BY_PAIR);
	for (i = 0; i < 2; i++) {
		expect_peer(_metadata, pair.fd[i], getpid(), 0, 0);
		if (variant->made == BY_ADDRESS)
			expect_no_peer(_metadata, self->link.fd[i]);
		else
			expect_peer(_metadata, self->link.fd[i], getpid(), 0,
				    0);
	}
	expect_no_peer(_metadata, type_socket(_metadata, variant->type));
	if (variant->type != SOCK_DGRAM)
		return;
	/* Whoever is bound there now is not who sends. */
	link_make(_metadata, &pair, SOCK_DGRAM, BY_CONNECT);
	for (i = 0; i < 2; i++)
		expect_no_peer(_metadata, pair.fd[i]);
}

/* The last who called listen() is the peer of who connects. */
TEST_F(type, peer_is_who_listened)
{
	int listener = my_bound_socket(_metadata, 5000), fd[2];
	pid_t pid = my_fork(_metadata);

	if (!pid)
		_exit(drop_rights() || listen(listener, 5));
	EXPECT_EQ(0, my_wait(pid));
	fd[0] = my_client(_metadata, 5000);
	/* Before accept(), and after it */
	expect_peer(_metadata, fd[0], pid, OTHER_ID, OTHER_ID);
	ASSERT_LE(0, accept(listener, NULL, NULL));
	expect_peer(_metadata, fd[0], pid, OTHER_ID, OTHER_ID);

	ASSERT_EQ(0, listen(listener, 5));
	fd[1] = my_client(_metadata, 5000);
	expect_peer(_metadata, fd[1], getpid(), 0, 0);
	expect_peer(_metadata, fd[0], pid, OTHER_ID, OTHER_ID);
}

TEST_F(type, peer_is_who_connected)
{
	gid_t groups[8] = {};
	socklen_t len = sizeof(groups);
	int listener, fd, pidfd = -1;
	__u32 channel;
	pid_t pid;

	listener = my_listener(_metadata, 5, &channel);
	pid = my_fork(_metadata);
	if (!pid) {
		ASSERT_EQ(0, drop_rights());
		my_client(_metadata, channel);
		pause();
		_exit(0);
	}
	fd = accept(listener, NULL, NULL);
	ASSERT_LE(0, fd);
	expect_peer(_metadata, fd, pid, OTHER_ID, OTHER_ID);
	expect_peer(_metadata, listener, getpid(), 0, 0);
	EXPECT_EQ(1, get_int_opt(_metadata, listener, SO_ACCEPTCONN));

	EXPECT_EQ(0, get_groups(fd, groups, &len));
	EXPECT_EQ(sizeof(other_groups), len);
	EXPECT_EQ(0, memcmp(other_groups, groups, sizeof(other_groups)));
	/* Too little room: how much it would take */
	len = sizeof(gid_t);
	EXPECT_EQ(ERANGE, err_of(get_groups(fd, groups, &len)));
	EXPECT_EQ(sizeof(other_groups), len);

	len = sizeof(pidfd);
	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len));
	EXPECT_EQ(pid, pidfd_pid(pidfd));
	EXPECT_EQ(0, poll_for(pidfd, POLLIN, 0));
	my_kill(pid);
	EXPECT_EQ(POLLIN, poll_for(pidfd, POLLIN, WAIT_MS) & POLLIN);
	expect_peer(_metadata, fd, pid, OTHER_ID, OTHER_ID);
}

TEST_F(type, passcred_of_accepted)
{
	int listener, client, fd;
	__u32 channel;

	/* Nobody can have set it on a socket that has no descriptor yet. */
	listener = my_listener(_metadata, 5, &channel);
	client = my_client(_metadata, channel);
	expect_send(_metadata, client, "abc");
	fd = accept(listener, NULL, NULL);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_PASSCRED));
	set_int_opt(_metadata, fd, SO_PASSCRED, 1);
	expect_own_creds(_metadata, fd, "abc");

	set_int_opt(_metadata, listener, SO_PASSCRED, 1);
	client = my_client(_metadata, channel);
	fd = accept(listener, NULL, NULL);
	ASSERT_LE(0, fd);
	EXPECT_EQ(1, get_int_opt(_metadata, fd, SO_PASSCRED));
	expect_send(_metadata, client, "abc");
	expect_own_creds(_metadata, fd, "abc");
}

/* Time stamps */

static double wall_time(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* A clock that ticks in microseconds may seem to go back by one. */
#define TICK	0.000002

/* A timer that is cancelled when somebody sets the clock */
static int watch_clock(struct __test_metadata *_metadata)
{
	struct itimerspec spec = { .it_value.tv_sec = INT_MAX };
	int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);

	ASSERT_EQ(0, timerfd_settime(fd, TFD_TIMER_ABSTIME |
				     TFD_TIMER_CANCEL_ON_SET, &spec, NULL));
	return fd;
}

/* @time is between the two of @sent, unless the clock was set. */
static void expect_sent(struct __test_metadata *_metadata, int watch,
			const double sent[2], double time)
{
	__u64 count;

	if (err_of(read(watch, &count, sizeof(count))) == ECANCELED)
		SKIP(return, "the clock was set");
	EXPECT_TRUE(sent[0] - TICK <= time && time <= sent[1] + TICK)
		TH_LOG("%f, not %f to %f", time, sent[0], sent[1]);
}

static void send_timed(struct __test_metadata *_metadata, struct link *link,
		       double sent[2])
{
	sent[0] = wall_time();
	link_expect_send(_metadata, link, 0, "abc");
	sent[1] = wall_time();
	usleep(2000);
}

/* What the control message of an option says, 0 if it is not there */
static double got_time(struct got *got, int opt)
{
	long *time = find_cmsg(got, opt, 2 * sizeof(*time));

	if (!time)
		return 0;
	return time[0] + time[1] / (opt == SO_TIMESTAMP_OLD ? 1e6 : 1e9);
}

TEST_F(any, timestamp)
{
	static const int opts[][2] = {
		{ SO_TIMESTAMP_OLD, 1 },
		{ SO_TIMESTAMPNS_OLD, 1 },
		{ SO_TIMESTAMPING_OLD, SOF_TIMESTAMPING_RX_SOFTWARE |
				       SOF_TIMESTAMPING_SOFTWARE },
	};
	int watch = watch_clock(_metadata), *fd = self->link.fd, i, j;
	struct link *link = &self->link;
	double sent[2][2];
	struct got got;

	for (i = 0; i < ARRAY_SIZE(opts); i++) {
		set_int_opt(_metadata, fd[1], opts[i][0], opts[i][1]);
		for (j = 0; j < 2; j++)
			send_timed(_metadata, link, sent[j]);
		/* A stream gives the time of the first byte. */
		EXPECT_EQ(variant->type == SOCK_STREAM ? 6 : 3,
			  recv_got(fd[1], &got, 256, MSG_PEEK));
		expect_sent(_metadata, watch, sent[0],
			    got_time(&got, opts[i][0]));
		EXPECT_EQ(3, recv(fd[1], got.data, 3, 0));
		EXPECT_EQ(3, recv_got(fd[1], &got, 256, 0));
		expect_sent(_metadata, watch, sent[1],
			    got_time(&got, opts[i][0]));

		/* Not any more, and the other end's option does nothing here */
		set_int_opt(_metadata, fd[1], opts[i][0], 0);
		for (j = 0; j < 2; j++) {
			link_expect_send(_metadata, link, 0, "abc");
			expect_bare(_metadata, fd[1], "abc");
			set_int_opt(_metadata, fd[0], opts[i][0], opts[i][1]);
		}
	}
}

TEST_F(any, siocgstamp)
{
	int watch = watch_clock(_metadata), fd = self->link.fd[1];
	struct timeval tv = {};
	double sent[2];

	/* The first call turns it on. */
	EXPECT_EQ(ENOENT, err_of(ioctl(fd, SIOCGSTAMP_OLD, &tv)));
	send_timed(_metadata, &self->link, sent);
	expect_recv(_metadata, fd, "abc");
	EXPECT_EQ(0, ioctl(fd, SIOCGSTAMP_OLD, &tv));
	expect_sent(_metadata, watch, sent, tv.tv_sec + tv.tv_usec / 1e6);
}

/* How much is queued */

static void expect_queued(struct __test_metadata *_metadata, struct link *link,
			  int inq, int outq)
{
	EXPECT_EQ(inq, ioctl_len(link->fd[1], SIOCINQ));
	EXPECT_EQ(outq, ioctl_len(link->fd[0], SIOCOUTQ));
	EXPECT_EQ(0, ioctl_len(link->fd[0], SIOCINQ));
	EXPECT_EQ(0, ioctl_len(link->fd[1], SIOCOUTQ));
}

TEST_F(any, inq_and_outq)
{
	bool dgram = variant->type == SOCK_DGRAM;
	struct link *link = &self->link;
	int to = link->fd[1], rest, fd;
	__u32 channel;
	char buf[16];

	fd = type_bound(_metadata, variant->type, &channel);
	EXPECT_EQ(0, ioctl_len(fd, SIOCINQ));
	EXPECT_EQ(0, ioctl_len(fd, SIOCOUTQ));
	if (!dgram)
		ASSERT_EQ(0, listen(fd, 1));
	EXPECT_EQ(dgram ? 0 : -EINVAL, ioctl_len(fd, SIOCINQ));
	EXPECT_EQ(dgram ? 0 : -EINVAL, ioctl_len(fd, SIOCOUTQ));
	EXPECT_EQ(EFAULT, err_of(ioctl(to, SIOCINQ, NULL)));
	EXPECT_EQ(EFAULT, err_of(ioctl(to, SIOCOUTQ, NULL)));

	expect_queued(_metadata, link, 0, 0);
	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "defgh");
	expect_queued(_metadata, link, dgram ? 3 : 8, dgram ? 0 : 8);
	EXPECT_EQ(3, recv(to, buf, 3, 0));
	expect_queued(_metadata, link, 5, dgram ? 0 : 5);
	EXPECT_EQ(1, recv(to, buf, 1, MSG_PEEK));
	expect_queued(_metadata, link, 5, dgram ? 0 : 5);

	/* The rest of a message goes with it. */
	rest = variant->type == SOCK_STREAM ? 4 : 0;
	EXPECT_EQ(1, recv(to, buf, 1, 0));
	expect_queued(_metadata, link, rest, rest);

	link_expect_send(_metadata, link, 0, "ijk");
	ASSERT_EQ(0, shutdown(to, SHUT_RD));
	EXPECT_EQ(rest + 3, ioctl_len(to, SIOCINQ));
	expect_recv(_metadata, to, rest ? "efghijk" : "ijk");
	EXPECT_EQ(0, ioctl_len(to, SIOCINQ));
}

/* SO_PEEK_OFF */

/* A peek at up to @len bytes gives @text, and fails with EAGAIN for NULL. */
static void expect_peek(struct __test_metadata *_metadata, int fd, int len,
			const char *text)
{
	char buf[16] = "";
	ssize_t n = recv(fd, buf, len, MSG_PEEK | MSG_DONTWAIT);

	if (!text) {
		EXPECT_EQ(EAGAIN, err_of(n));
		return;
	}
	EXPECT_EQ((ssize_t)strlen(text), n);
	EXPECT_STREQ(text, buf);
}

TEST_F(any, peek_off)
{
	struct link *link = &self->link;
	int fd = link->fd[1];

	EXPECT_EQ(-1, get_int_opt(_metadata, fd, SO_PEEK_OFF));
	link_expect_send(_metadata, link, 0, "abcdef");
	set_int_opt(_metadata, fd, SO_PEEK_OFF, 1);
	expect_peek(_metadata, fd, 2, "bc");
	EXPECT_EQ(3, get_int_opt(_metadata, fd, SO_PEEK_OFF));
	expect_peek(_metadata, fd, 2, "de");
	expect_peek(_metadata, fd, 2, "f");
	expect_peek(_metadata, fd, 1, NULL);
	set_int_opt(_metadata, fd, SO_PEEK_OFF, 4);
	expect_peek(_metadata, fd, 8, "ef");
	set_int_opt(_metadata, fd, SO_PEEK_OFF, -1);
	expect_peek(_metadata, fd, 8, "abcdef");
	expect_peek(_metadata, fd, 8, "abcdef");
	expect_recv(_metadata, fd, "abcdef");

	/* A peek ends with the message that it begins in. */
	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "def");
	set_int_opt(_metadata, fd, SO_PEEK_OFF, 0);
	if (variant->type == SOCK_STREAM) {
		expect_peek(_metadata, fd, 8, "abcdef");
	} else {
		expect_peek(_metadata, fd, 8, "abc");
		expect_peek(_metadata, fd, 8, "def");
	}
	expect_peek(_metadata, fd, 1, NULL);
	EXPECT_EQ(6, get_int_opt(_metadata, fd, SO_PEEK_OFF));
	link_expect_send(_metadata, link, 0, "ghi");
	expect_peek(_metadata, fd, 8, "ghi");
}

/* What is read is no longer before the offset. */
TEST_F(any, peek_off_moves_back)
{
	struct link *link = &self->link;
	int fd = link->fd[1];
	char buf[16];
	pid_t pid;

	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "def");
	set_int_opt(_metadata, fd, SO_PEEK_OFF, 4);
	expect_peek(_metadata, fd, 1, "e");
	EXPECT_EQ(3, recv(fd, buf, 3, MSG_DONTWAIT));
	EXPECT_EQ(2, get_int_opt(_metadata, fd, SO_PEEK_OFF));
	expect_peek(_metadata, fd, 8, "f");
	/* Never below 0 */
	EXPECT_EQ(3, recv(fd, buf, 3, MSG_DONTWAIT));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_PEEK_OFF));

	/* Who waits to peek sees what comes where the offset is then. */
	link_expect_send(_metadata, link, 0, "0123456789");
	set_int_opt(_metadata, fd, SO_PEEK_OFF, 10);
	pid = my_fork(_metadata);
	if (!pid)
		_exit(recv(fd, buf, sizeof(buf), MSG_PEEK));
	EXPECT_TRUE(wait_asleep(pid));
	EXPECT_EQ(10, recv(fd, buf, 10, MSG_DONTWAIT));
	link_expect_send(_metadata, link, 0, "abcde");
	EXPECT_EQ(5, my_wait(pid));
	EXPECT_EQ(5, get_int_opt(_metadata, fd, SO_PEEK_OFF));
}

/* SO_RCVLOWAT and SIGIO */

static int sigio_count;

static void on_sigio(int sig)
{
	sigio_count++;
}

/* SO_RCVLOWAT is for streams: a message is enough by itself. */
TEST_F(any, rcvlowat_and_sigio)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	bool stream = variant->type == SOCK_STREAM;
	struct link *link = &self->link;
	struct sigaction action = { .sa_handler = on_sigio };
	int epoll = epoll_create1(0), i;

	ASSERT_EQ(0, sigaction(SIGIO, &action, NULL));
	ASSERT_EQ(0, fcntl(link->fd[1], F_SETOWN, getpid()));
	ASSERT_EQ(0, fcntl(link->fd[1], F_SETFL, O_ASYNC | O_NONBLOCK));
	for (i = 1; i <= 3; i++) {
		link_expect_send(_metadata, link, 0, "abc");
		EXPECT_EQ(i, sigio_count);
	}
	link_drain(_metadata, link, 1);

	set_int_opt(_metadata, link->fd[1], SO_RCVLOWAT, 4);
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, link->fd[1], &event));
	sigio_count = 0;
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(stream ? 0 : POLLIN, poll_for(link->fd[1], POLLIN, 0));
	EXPECT_EQ(!stream, epoll_wait(epoll, &event, 1, 0));
	EXPECT_EQ(!stream, sigio_count);

	sigio_count = 0;
	link_expect_send(_metadata, link, 0, "d");
	EXPECT_EQ(POLLIN, poll_for(link->fd[1], POLLIN, 0));
	EXPECT_EQ(1, epoll_wait(epoll, &event, 1, 0));
	EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 0));
	EXPECT_EQ(1, sigio_count);
	expect_recv(_metadata, link->fd[1], stream ? "abcd" : "abc");
}

/* What there is will do when there is no room for more. */
TEST(rcvbuf_shrunk_below_rcvlowat_wakes_poll)
{
	char buf[1000] = "";
	int fd[2], i;
	pid_t pid;

	my_socketpair(_metadata, fd);
	set_int_opt(_metadata, fd[1], SO_RCVLOWAT, 100000);
	for (i = 0; i < 30; i++)
		ASSERT_EQ((ssize_t)sizeof(buf), write(fd[0], buf, sizeof(buf)));
	pid = my_fork(_metadata);
	if (!pid)
		_exit(!(poll_for(fd[1], POLLIN, WAIT_MS) & POLLIN));
	EXPECT_TRUE(wait_asleep(pid));
	set_int_opt(_metadata, fd[1], SO_RCVBUF, 4096);
	EXPECT_EQ(0, my_wait(pid));
	EXPECT_EQ(POLLIN, poll_now(fd[1]) & POLLIN);
}

/* SO_ATTACH_FILTER, for messages: run when one is sent */

static void attach_filter(struct __test_metadata *_metadata, int fd,
			  const struct sock_filter *code, int len)
{
	struct sock_fprog prog = {
		.len = len,
		.filter = (struct sock_filter *)code,
	};

	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog,
				sizeof(prog)));
}

/* Let the first @len bytes of each message pass: 0 drops it */
static void attach_cut(struct __test_metadata *_metadata, int fd, __u32 len)
{
	struct sock_filter code = BPF_STMT(BPF_RET | BPF_K, len);

	attach_filter(_metadata, fd, &code, 1);
}

static const struct {
	struct sock_filter code[4];
	int len;
	const char *sent[3];
	const char *got[3];
} filters[] = {
	{ { BPF_STMT(BPF_RET | BPF_K, 0) }, 1, { "abc", "" }, {} },
	{ { BPF_STMT(BPF_RET | BPF_K, -1) }, 1, { "abc", "" }, { "abc", "" } },
	{ { BPF_STMT(BPF_RET | BPF_K, 4) }, 1, { "abcdefgh", "ij" },
	  { "abcd", "ij" } },
	/* Those that begin with an 'a' pass. */
	{ {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'a', 0, 1),
		BPF_STMT(BPF_RET | BPF_K, -1),
		BPF_STMT(BPF_RET | BPF_K, 0),
	  }, 4, { "bcd", "", "abc" }, { "abc" } },
};

TEST_F(any, filter)
{
	bool stream = variant->type == SOCK_STREAM;
	struct link *link = &self->link;
	const char * const *got;
	int fd = link->fd[1], i, j;
	struct got in;

	for (i = 0; i < ARRAY_SIZE(filters); i++) {
		attach_filter(_metadata, fd, filters[i].code, filters[i].len);
		got = filters[i].got;
		for (j = 0; j < 3 && filters[i].sent[j]; j++) {
			link_expect_send(_metadata, link, 0,
					 filters[i].sent[j]);
			/* It never runs. */
			if (stream && filters[i].sent[j][0])
				expect_recv(_metadata, fd, filters[i].sent[j]);
		}
		EXPECT_EQ(*got && !stream ? POLLIN : 0,
			  poll_for(fd, POLLIN, 0));
		for (; *got && !stream; got++) {
			EXPECT_EQ((ssize_t)strlen(*got),
				  recv_got(fd, &in, 0, MSG_TRUNC));
			EXPECT_STREQ(*got, in.data)
				TH_LOG("filter %d", i);
			EXPECT_EQ(0, in.msg.msg_flags & MSG_TRUNC);
		}
		EXPECT_EQ(EAGAIN, try_recv(fd));
		EXPECT_EQ(0, ioctl_len(fd, SIOCINQ));
		EXPECT_EQ(0U, mem_charged(_metadata, fd));
	}
	/* The other direction has a filter of its own. */
	link_expect_send(_metadata, link, 1, "back");
	expect_recv(_metadata, link->fd[0], "back");
}

TEST_F(any, filter_changes)
{
	struct link *link = &self->link;
	static char out[200000], in[200000];
	int fd = link->fd[1], i;

	if (variant->type == SOCK_STREAM)
		return;

	/* What is queued has passed. */
	link_expect_send(_metadata, link, 0, "before");
	attach_cut(_metadata, fd, 0);
	link_expect_send(_metadata, link, 0, "dropped");
	attach_cut(_metadata, fd, 2);
	link_expect_send(_metadata, link, 0, "cut");
	EXPECT_EQ(0, int_opt_err(fd, SOL_SOCKET, SO_DETACH_FILTER, 0));
	link_expect_send(_metadata, link, 0, "after");
	expect_recv(_metadata, fd, "before");
	EXPECT_EQ(variant->type == SOCK_DGRAM ? 2 : 7, ioctl_len(fd, SIOCINQ));
	expect_recv(_metadata, fd, "cu");
	expect_recv(_metadata, fd, "after");
	EXPECT_EQ(ENOENT, int_opt_err(fd, SOL_SOCKET, SO_DETACH_FILTER, 0));

	/* In the middle of a page */
	fill_pattern(out, sizeof(out), 1);
	attach_cut(_metadata, fd, 70001);
	EXPECT_EQ(200000, link_send(link, 0, out, sizeof(out), 0));
	EXPECT_EQ(70001, recv(fd, in, sizeof(in), MSG_DONTWAIT));
	EXPECT_EQ(0, memcmp(in, out, 70001));
	EXPECT_EQ(0U, mem_charged(_metadata, fd));

	/* What is dropped leaves no room taken. */
	set_rcvbuf(_metadata, fd, 10000);
	attach_cut(_metadata, fd, 0);
	for (i = 0; i < 100; i++)
		ASSERT_EQ(1000, link_send(link, 0, out, 1000, MSG_DONTWAIT));
	EXPECT_EQ(0U, mem_charged(_metadata, fd));

	attach_cut(_metadata, fd, 2);
	set_int_opt(_metadata, fd, SO_LOCK_FILTER, 1);
	EXPECT_EQ(EPERM, int_opt_err(fd, SOL_SOCKET, SO_DETACH_FILTER, 0));
	link_expect_send(_metadata, link, 0, "abc");
	expect_recv(_metadata, fd, "ab");
}

/* splice() and sendfile() */

/* Receive what is queued, which is @data, in however many pieces */
static void expect_data(struct __test_metadata *_metadata, int fd,
			const char *data, size_t len)
{
	static char buf[1 << 16];
	size_t done = 0;
	ssize_t n;

	while ((n = recv(fd, buf + done, sizeof(buf) - done, MSG_DONTWAIT)) > 0)
		done += n;
	EXPECT_EQ(EAGAIN, err_of(n));
	EXPECT_EQ(len, done);
	EXPECT_EQ(0, memcmp(buf, data, len));
	EXPECT_EQ(0U, mem_charged(_metadata, fd));
}

TEST_F(any, splice)
{
	int file = memfd_create("myproto", 0), *fd = self->link.fd, p[2];
	static char data[30000], in[30000];
	off_t offset = 24000;
	size_t done = 0;
	ssize_t n;

	ASSERT_EQ(0, pipe(p));
	fill_pattern(data, sizeof(data), 1);
	ASSERT_EQ(30000, link_send(&self->link, 0, data, sizeof(data), 0));
	while (done < sizeof(in)) {
		n = splice(fd[1], NULL, p[1], NULL, sizeof(in), 0);
		ASSERT_LT(0, n);
		ASSERT_EQ(n, read(p[0], in + done, n));
		done += n;
	}
	EXPECT_EQ(0, memcmp(in, data, sizeof(data)));
	/* SPLICE_F_NONBLOCK would be about the pipe alone for messages. */
	set_nonblock(_metadata, fd[1]);
	EXPECT_EQ(EAGAIN, err_of(splice(fd[1], NULL, p[1], NULL, 100, 0)));
	EXPECT_EQ(0U, mem_charged(_metadata, fd[1]));

	if (variant->made == BY_ADDRESS)
		ASSERT_EQ(0, my_connect(fd[0], my_channel(_metadata, fd[1])));
	ASSERT_EQ(6, write(p[1], "abcdef", 6));
	EXPECT_EQ(4, splice(p[0], NULL, fd[0], NULL, 4, 0));
	expect_data(_metadata, fd[1], "abcd", 4);
	EXPECT_EQ(2, splice(p[0], NULL, fd[0], NULL, 100, 0));
	expect_data(_metadata, fd[1], "ef", 2);

	ASSERT_EQ(30000, pwrite(file, data, sizeof(data), 0));
	EXPECT_EQ(20000, sendfile(fd[0], file, NULL, 20000));
	expect_data(_metadata, fd[1], data, 20000);
	EXPECT_EQ(5, sendfile(fd[0], file, &offset, 5));
	EXPECT_EQ(24005, offset);
	expect_data(_metadata, fd[1], data + 24000, 5);
	EXPECT_EQ(5995, sendfile(fd[0], file, &offset, 100000));
	expect_data(_metadata, fd[1], data + 24005, 5995);
	EXPECT_EQ(0, sendfile(fd[0], file, &offset, 100000));
}

/* Streams: pages go by reference */

FIXTURE(splice)
{
	struct link link;
	int pipe[2];
	int file;
	char *page;
	size_t len;
};

FIXTURE_SETUP(splice)
{
	self->len = 16 * sysconf(_SC_PAGESIZE);
	link_make(_metadata, &self->link, SOCK_STREAM, BY_CONNECT);
	ASSERT_EQ(0, pipe(self->pipe));
	self->file = memfd_create("myproto", 0);
	ASSERT_EQ(0, ftruncate(self->file, self->len));
	self->page = mmap(NULL, self->len, PROT_READ | PROT_WRITE, MAP_SHARED,
			  self->file, 0);
	ASSERT_NE(MAP_FAILED, self->page);
	memset(self->page, 'a', self->len);
}

FIXTURE_TEARDOWN(splice)
{
	link_destroy(&self->link);
}

/* From the file to the socket, and from the socket to the pipe */
static ssize_t file_in(struct _test_data_splice *self, off_t offset, size_t len)
{
	return sendfile(self->link.fd[0], self->file, &offset, len);
}

static ssize_t pipe_out(struct _test_data_splice *self, size_t len, int flags)
{
	return splice(self->link.fd[1], NULL, self->pipe[1], NULL, len, flags);
}

static void expect_pipe(struct __test_metadata *_metadata, int fd,
			const char *text)
{
	char buf[16] = "";

	EXPECT_EQ((ssize_t)strlen(text), read(fd, buf, sizeof(buf)));
	EXPECT_STREQ(text, buf);
}

/* What is written to the page still arrives. */
TEST_F(splice, does_not_copy)
{
	struct iovec iov = { .iov_base = self->page, .iov_len = 4 };

	ASSERT_EQ(4, file_in(self, 0, 4));
	memcpy(self->page, "file", 4);
	expect_recv(_metadata, self->link.fd[1], "file");

	ASSERT_EQ(4, vmsplice(self->pipe[1], &iov, 1, 0));
	ASSERT_EQ(4, splice(self->pipe[0], NULL, self->link.fd[0], NULL, 4,
			    0));
	memcpy(self->page, "user", 4);
	expect_recv(_metadata, self->link.fd[1], "user");

	/* ... nor on the way out. */
	ASSERT_EQ(4, file_in(self, 0, 4));
	ASSERT_EQ(4, pipe_out(self, 4, 0));
	memcpy(self->page, "pipe", 4);
	expect_pipe(_metadata, self->pipe[0], "pipe");
}

TEST_F(splice, mixed_with_send)
{
	struct link *link = &self->link;
	int i;

	/* What follows is not written to a page of somebody else. */
	ASSERT_EQ(3, file_in(self, 0, 3));
	link_expect_send(_metadata, link, 0, "xyz");
	link_expect_send(_metadata, link, 0, "xyz");
	expect_recv(_metadata, link->fd[1], "aaaxyzxyz");
	EXPECT_EQ(0, memcmp(self->page, "aaaaaaaaaa", 10));

	memcpy(self->page, "0123456789", 10);
	for (i = 0; i < 10; i++) {
		link_expect_send(_metadata, link, 0, "-");
		ASSERT_EQ(1, file_in(self, i, 1));
	}
	expect_recv(_metadata, link->fd[1], "-0-1-2-3-4-5-6-7-8-9");

	i = type_socket(_metadata, SOCK_STREAM);
	EXPECT_EQ(ENOTCONN, err_of(sendfile(i, self->file, NULL, 10)));
	close(i);
	/* Closed with pages on the queue */
	for (i = 0; i < 5; i++)
		ASSERT_EQ(100, file_in(self, 0, 100));
	link_close(link, 1);
	signal(SIGPIPE, SIG_IGN);
	EXPECT_EQ(EPIPE, err_of(file_in(self, 0, 10)));
	link_close(link, 0);
	EXPECT_EQ('0', self->page[0]);
	EXPECT_EQ(0, sockets_settle_at(0));
}

TEST_F(splice, out)
{
	int fd = type_socket(_metadata, SOCK_STREAM), other[2];
	struct link *link = &self->link;
	pid_t pid;

	EXPECT_EQ(ENOTCONN, err_of(splice(fd, NULL, self->pipe[1], NULL, 100,
					  0)));
	EXPECT_EQ(EAGAIN, err_of(pipe_out(self, 10, SPLICE_F_NONBLOCK)));
	pid = my_fork(_metadata);
	if (!pid)
		_exit(pipe_out(self, 100, 0) != 3);
	EXPECT_TRUE(wait_asleep(pid));
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(0, my_wait(pid));
	expect_pipe(_metadata, self->pipe[0], "abc");

	/* The pipe keeps what it got when the sender's own page goes on. */
	link_expect_send(_metadata, link, 0, "abc");
	ASSERT_EQ(3, pipe_out(self, 100, 0));
	link_expect_send(_metadata, link, 0, "def");
	expect_recv(_metadata, link->fd[1], "def");
	link_expect_send(_metadata, link, 0, "ghi");
	expect_pipe(_metadata, self->pipe[0], "abc");
	expect_recv(_metadata, link->fd[1], "ghi");

	/* Two pipes see the same, and so does the reader after them. */
	link_expect_send(_metadata, link, 0, "abc");
	ASSERT_EQ(3, pipe_out(self, 100, 0));
	ASSERT_EQ(0, pipe(other));
	ASSERT_EQ(3, tee(self->pipe[0], other[1], 100, 0));
	ASSERT_EQ(3, splice(other[0], NULL, link->fd[1], NULL, 100, 0));
	expect_recv(_metadata, link->fd[0], "abc");
	expect_pipe(_metadata, self->pipe[0], "abc");

	/* A part, and the end of the stream */
	link_expect_send(_metadata, link, 0, "abcdef");
	EXPECT_EQ(2, pipe_out(self, 2, 0));
	EXPECT_EQ(4, ioctl_len(link->fd[1], SIOCINQ));
	expect_recv(_metadata, link->fd[1], "cdef");
	expect_pipe(_metadata, self->pipe[0], "ab");
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
	link_expect_send(_metadata, link, 0, "abc");
	link_close(link, 0);
	EXPECT_EQ(3, pipe_out(self, 100, 0));
	EXPECT_EQ(0, pipe_out(self, 100, 0));
}

/* A full pipe takes no more: what it did not take stays in the socket. */
TEST_F(splice, out_pipe_full)
{
	static char out[100000], in[100000];
	size_t total = sizeof(out), done = 0;
	struct link *link = &self->link;
	ssize_t n, piped;

	ASSERT_EQ(8192, fcntl(self->pipe[1], F_SETPIPE_SZ, 8192));
	fill_pattern(out, total, 1);
	ASSERT_EQ((ssize_t)total, link_send(link, 0, out, total, 0));
	while (done < total) {
		piped = 0;
		while ((n = pipe_out(self, total, SPLICE_F_NONBLOCK)) > 0)
			piped += n;
		ASSERT_EQ(EAGAIN, err_of(n));
		ASSERT_LT(0, piped);
		ASSERT_EQ((int)(total - done - piped),
			  ioctl_len(link->fd[1], SIOCINQ));
		ASSERT_EQ(piped, read(self->pipe[0], in + done, total - done));
		done += piped;
	}
	EXPECT_EQ(0, memcmp(in, out, total));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
}

TEST_F(splice, in_full_socket)
{
	struct link *link = &self->link;
	size_t total = 0, drained = 0;
	pid_t pid;
	ssize_t n;

	set_nonblock(_metadata, link->fd[0]);
	while ((n = file_in(self, 0, self->len)) > 0) {
		total += n;
		ASSERT_GE(8U << 20, total);
	}
	EXPECT_EQ(EAGAIN, err_of(n));
	EXPECT_LT(self->len, total);
	EXPECT_EQ(0, poll_for(link->fd[0], POLLOUT, 0));

	ASSERT_EQ(0, fcntl(link->fd[0], F_SETFL, 0));
	pid = my_fork(_metadata);
	if (!pid)
		_exit(file_in(self, 0, 100) != 100);
	EXPECT_TRUE(wait_asleep(pid));
	while (wait_asleep(pid) && poll_for(link->fd[1], POLLIN, 0))
		drained += my_drain(_metadata, link->fd[1]);
	EXPECT_EQ(0, my_wait(pid));
	drained += my_drain(_metadata, link->fd[1]);
	EXPECT_EQ(total + 100, drained);
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
