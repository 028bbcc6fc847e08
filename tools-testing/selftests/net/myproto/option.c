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
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include <asm/ioctls.h>
#include <linux/bpf.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>

#include "any.h"
#include "cmsg.h"

/* An id that is nobody's but the tests' */
#define OTHER_ID	12345

#define OVERFLOW_ID	65534

/* glibc has no struct for these. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD	77
#endif

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

static ssize_t send_creds(struct link *link, const char *text, pid_t pid,
			  uid_t uid, gid_t gid)
{
	struct ucred cred = { .pid = pid, .uid = uid, .gid = gid };

	return send_cmsg(link, text, SOL_SOCKET, SCM_CREDENTIALS, &cred,
			 sizeof(cred));
}

/* Become somebody without rights */
static int drop_rights(void)
{
	return setgroups(0, NULL) || setresgid(OTHER_ID, OTHER_ID, OTHER_ID) ||
	       setresuid(OTHER_ID, OTHER_ID, OTHER_ID);
}

/* SO_PASSCRED and SCM_CREDENTIALS */

TEST_F(any, passcred_is_off)
{
	struct got got;

	EXPECT_EQ(0, get_int_opt(_metadata, self->link.fd[1], SO_PASSCRED));
	link_expect_send(_metadata, &self->link, 0, "abc");
	EXPECT_EQ(3, recv_got(self->link.fd[1], &got, 256, 0));
	EXPECT_EQ(0U, got.msg.msg_controllen);
	EXPECT_EQ(0, got.msg.msg_flags & MSG_CTRUNC);
}

TEST_F(any, passcred_gives_ids)
{
	struct link *link = &self->link;

	set_int_opt(_metadata, link->fd[1], SO_PASSCRED, 1);
	EXPECT_EQ(1, get_int_opt(_metadata, link->fd[1], SO_PASSCRED));
	link_expect_send(_metadata, link, 0, "abc");
	expect_own_creds(_metadata, link->fd[1], "abc");
	/* One direction only */
	link_expect_send(_metadata, link, 1, "back");
	expect_recv(_metadata, link->fd[0], "back");
}

TEST_F(any, passcred_off_again)
{
	struct link *link = &self->link;
	struct got got;

	set_int_opt(_metadata, link->fd[1], SO_PASSCRED, 1);
	link_expect_send(_metadata, link, 0, "abc");
	set_int_opt(_metadata, link->fd[1], SO_PASSCRED, 0);
	EXPECT_EQ(3, recv_got(link->fd[1], &got, 256, 0));
	EXPECT_EQ(0U, got.msg.msg_controllen);
}

/* Nobody asked when it was sent: nobody knows any more. */
TEST_F(any, passcred_too_late)
{
	link_expect_send(_metadata, &self->link, 0, "abc");
	set_int_opt(_metadata, self->link.fd[1], SO_PASSCRED, 1);
	expect_creds(_metadata, self->link.fd[1], "abc", 0, OVERFLOW_ID,
		     OVERFLOW_ID);
}

TEST_F(any, passcred_of_sender)
{
	set_int_opt(_metadata, self->link.fd[0], SO_PASSCRED, 1);
	link_expect_send(_metadata, &self->link, 0, "abc");
	set_int_opt(_metadata, self->link.fd[1], SO_PASSCRED, 1);
	expect_own_creds(_metadata, self->link.fd[1], "abc");
}

TEST_F(any, creds_named_by_sender)
{
	EXPECT_EQ(3, send_creds(&self->link, "abc", getpid(), getuid(),
				getgid()));
	set_int_opt(_metadata, self->link.fd[1], SO_PASSCRED, 1);
	expect_own_creds(_metadata, self->link.fd[1], "abc");
}

TEST_F(any, creds_named_without_passcred)
{
	struct got got;

	EXPECT_EQ(3, send_creds(&self->link, "abc", getpid(), getuid(),
				getgid()));
	EXPECT_EQ(3, recv_got(self->link.fd[1], &got, 256, 0));
	EXPECT_EQ(0U, got.msg.msg_controllen);
}

TEST_F(any, creds_peeked)
{
	struct ucred *cred;
	struct got got;

	set_int_opt(_metadata, self->link.fd[1], SO_PASSCRED, 1);
	link_expect_send(_metadata, &self->link, 0, "abc");
	EXPECT_EQ(3, recv_got(self->link.fd[1], &got, 256, MSG_PEEK));
	cred = find_cmsg(&got, SCM_CREDENTIALS, sizeof(*cred));
	ASSERT_NE(NULL, cred);
	EXPECT_EQ(getpid(), cred->pid);
	expect_own_creds(_metadata, self->link.fd[1], "abc");
}

TEST_F(any, creds_no_room_ctrunc)
{
	struct link *link = &self->link;
	struct got got;

	set_int_opt(_metadata, link->fd[1], SO_PASSCRED, 1);
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(3, recv_got(link->fd[1], &got, 0, 0));
	EXPECT_EQ(MSG_CTRUNC, got.msg.msg_flags & MSG_CTRUNC);
	EXPECT_STREQ("abc", got.data);

	/* Room for a part */
	link_expect_send(_metadata, link, 0, "def");
	EXPECT_EQ(3, recv_got(link->fd[1], &got, CMSG_LEN(4), 0));
	EXPECT_EQ(MSG_CTRUNC, got.msg.msg_flags & MSG_CTRUNC);
	EXPECT_STREQ("def", got.data);
}

/* It is who writes that counts, not whose the socket is. */
TEST_F(any, creds_of_each_writer)
{
	static const char * const text[] = { "first", "second", "third" };
	struct link *link = &self->link;
	pid_t pid[3];
	int i;

	set_int_opt(_metadata, link->fd[1], SO_PASSCRED, 1);
	for (i = 0; i < 3; i++) {
		pid[i] = my_fork(_metadata);
		if (!pid[i]) {
			if (i && setresgid(i, i, i) | setresuid(i, i, i))
				_exit(1);
			_exit(link_send(link, 0, text[i], strlen(text[i]),
					0) < 0);
		}
		EXPECT_EQ(0, my_wait(pid[i]));
	}
	/* The stream is cut where the writer changes. */
	for (i = 0; i < 3; i++)
		expect_creds(_metadata, link->fd[1], text[i], pid[i], i, i);
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

TEST_F(any, forged_ids_as_root)
{
	struct link *link = &self->link;

	set_int_opt(_metadata, link->fd[1], SO_PASSCRED, 1);
	EXPECT_EQ(3, send_creds(link, "abc", 1, OTHER_ID, OTHER_ID + 1));
	expect_creds(_metadata, link->fd[1], "abc", 1, OTHER_ID,
		     OTHER_ID + 1);
	/* There must be such a process. */
	EXPECT_EQ(ESRCH, err_of(send_creds(link, "x", 0x3ffffff, 0, 0)));
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

TEST_F(any, forged_ids_eperm)
{
	struct link *link = &self->link;
	pid_t pid;

	pid = my_fork(_metadata);
	if (!pid) {
		if (drop_rights())
			_exit(1);
		if (err_of(send_creds(link, "a", 1, OTHER_ID, OTHER_ID)) !=
		    EPERM)
			_exit(2);
		if (err_of(send_creds(link, "b", getpid(), 0, OTHER_ID)) !=
		    EPERM)
			_exit(3);
		if (err_of(send_creds(link, "c", getpid(), OTHER_ID, 0)) !=
		    EPERM)
			_exit(4);
		if (send_creds(link, "d", getpid(), OTHER_ID, OTHER_ID) != 1)
			_exit(5);
		_exit(0);
	}
	EXPECT_EQ(0, my_wait(pid));
	expect_recv(_metadata, link->fd[1], "d");
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

/* Control messages that are not taken: nothing is sent with them. */
TEST_F(any, bad_control_messages_einval)
{
	struct link *link = &self->link;
	struct ucred cred = { .pid = getpid() };
	int val = 0;

	EXPECT_EQ(EINVAL, err_of(send_cmsg(link, "x", SOL_SOCKET,
					   SCM_CREDENTIALS, &cred,
					   sizeof(cred) - 4)));
	EXPECT_EQ(EINVAL, err_of(send_cmsg(link, "x", SOL_SOCKET,
					   SCM_CREDENTIALS, &cred, 0)));
	EXPECT_EQ(EINVAL, err_of(send_cmsg(link, "x", SOL_SOCKET,
					   SCM_CREDENTIALS + 100, &val,
					   sizeof(val))));
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

TEST_F(any, malformed_control_message_einval)
{
	struct iovec iov = { .iov_base = "x", .iov_len = 1 };
	union control control = {};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(struct cmsghdr),
	};

	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_len = sizeof(struct cmsghdr) - 1;
	EXPECT_EQ(EINVAL,
		  err_of(sendmsg(self->link.fd[0],
				 link_address(&self->link, 0, &msg), 0)));
	EXPECT_EQ(EAGAIN, try_recv(self->link.fd[1]));
}

TEST_F(any, other_level_control_message_ignored)
{
	int val = 1;

	EXPECT_EQ(3, send_cmsg(&self->link, "abc", IPPROTO_IP, 1, &val,
			       sizeof(val)));
	expect_recv(_metadata, self->link.fd[1], "abc");
}

TEST_F(any, options_of_others)
{
	int fd = self->link.fd[0];

	EXPECT_EQ(EOPNOTSUPP, int_opt_err(fd, SOL_SOCKET, SO_ZEROCOPY, 1));
	EXPECT_EQ(ENOPROTOOPT, int_opt_err(fd, SOL_SOCKET, 9999, 1));
	EXPECT_EQ(ENOPROTOOPT, get_opt_err(fd, SOL_SOCKET, 9999));
	EXPECT_EQ(ENOPROTOOPT, int_opt_err(fd, SOL_MYPROTO, 9999, 1));
	EXPECT_EQ(ENOPROTOOPT, get_opt_err(fd, SOL_MYPROTO, 9999));
	EXPECT_EQ(ENOPROTOOPT, int_opt_err(fd, IPPROTO_TCP, 1, 1));
	EXPECT_EQ(ENOPROTOOPT, get_opt_err(fd, IPPROTO_TCP, 1));
	EXPECT_EQ(-ENOTTY, ioctl_len(fd, _IO('M', 0x7f)));
	EXPECT_EQ(-ENOTTY, ioctl_len(fd, SIOCATMARK));
}

TEST_F(any, identity)
{
	int fd = self->link.fd[0];
	__u64 cookie[2] = {};
	socklen_t len;
	int i;

	EXPECT_EQ(variant->type, get_int_opt(_metadata, fd, SO_TYPE));
	EXPECT_EQ(AF_MYPROTO, get_int_opt(_metadata, fd, SO_DOMAIN));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_PROTOCOL));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ACCEPTCONN));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ERROR));
	for (i = 0; i < 2; i++) {
		len = sizeof(cookie[i]);
		EXPECT_EQ(0, getsockopt(self->link.fd[i], SOL_SOCKET,
					SO_COOKIE, &cookie[i], &len));
	}
	EXPECT_NE(0U, cookie[0]);
	EXPECT_NE(cookie[0], cookie[1]);
}

/* Options that mean little are taken, and do no harm. */
TEST_F(any, harmless_options)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 5 };
	static const int opts[] = {
		SO_REUSEADDR, SO_BROADCAST, SO_DONTROUTE, SO_KEEPALIVE,
		SO_OOBINLINE, SO_PRIORITY, SO_NO_CHECK,
	};
	struct link *link = &self->link;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(opts); i++) {
		set_int_opt(_metadata, link->fd[0], opts[i], 1);
		EXPECT_EQ(1, get_int_opt(_metadata, link->fd[0], opts[i]))
			TH_LOG("option %d", opts[i]);
	}
	EXPECT_EQ(EOPNOTSUPP,
		  int_opt_err(link->fd[0], SOL_SOCKET, SO_REUSEPORT, 1));
	EXPECT_EQ(0, setsockopt(link->fd[0], SOL_SOCKET, SO_LINGER, &linger,
				sizeof(linger)));
	link_expect_send(_metadata, link, 0, "abc");
	link_close(link, 0);
	expect_recv(_metadata, link->fd[1], "abc");
}

TEST_F(any, timeouts)
{
	struct timeval tv = {};
	socklen_t len = sizeof(tv);
	static const int opts[] = { SO_RCVTIMEO, SO_SNDTIMEO };
	long start;
	size_t i;
	char c;

	for (i = 0; i < 2; i++) {
		set_timeout(_metadata, self->link.fd[1], opts[i], 1500);
		EXPECT_EQ(0, getsockopt(self->link.fd[1], SOL_SOCKET, opts[i],
					&tv, &len));
		EXPECT_EQ(1, tv.tv_sec);
		EXPECT_EQ(500000, tv.tv_usec);
	}
	set_timeout(_metadata, self->link.fd[1], SO_RCVTIMEO, 30);
	start = now_ms();
	EXPECT_EQ(EAGAIN, err_of(recv(self->link.fd[1], &c, 1, 0)));
	EXPECT_LE(30, now_ms() - start);
}

/* Who is at the other end */

static int get_peercred(int fd, struct ucred *cred)
{
	socklen_t len = sizeof(*cred);

	memset(cred, 0x55, sizeof(*cred));
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, cred, &len);
}

static void expect_peer(struct __test_metadata *_metadata, int fd, pid_t pid,
			uid_t uid, gid_t gid)
{
	struct ucred cred;

	ASSERT_EQ(0, get_peercred(fd, &cred));
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
	int i;

	for (i = 0; i < 2; i++) {
		if (variant->made == BY_ADDRESS)
			expect_no_peer(_metadata, self->link.fd[i]);
		else
			expect_peer(_metadata, self->link.fd[i], getpid(),
				    geteuid(), getegid());
	}
}

TEST(peer_of_none)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	int i;

	for (i = 0; i < 3; i++)
		expect_no_peer(_metadata, type_socket(_metadata, types[i]));
}

/* Whoever is bound there now is not who sends. */
TEST(peer_of_dgram_by_connect)
{
	struct link link;

	link_make(_metadata, &link, SOCK_DGRAM, BY_CONNECT);
	expect_no_peer(_metadata, link.fd[0]);
	expect_no_peer(_metadata, link.fd[1]);
}

TEST(peer_of_socketpair)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	struct link link;
	int i, j;

	for (i = 0; i < 3; i++) {
		link_make(_metadata, &link, types[i], BY_PAIR);
		for (j = 0; j < 2; j++)
			expect_peer(_metadata, link.fd[j], getpid(),
				    geteuid(), getegid());
	}
}

FIXTURE(peer)
{
	int listener;
	__u32 channel;
};

FIXTURE_VARIANT(peer)
{
	int type;
};

FIXTURE_VARIANT_ADD(peer, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(peer, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_SETUP(peer)
{
	self->listener = type_bound(_metadata, variant->type, &self->channel);
}

FIXTURE_TEARDOWN(peer)
{
	close(self->listener);
}

/* A child with other ids that calls listen() on the socket and ends */
static pid_t listen_in_child(struct __test_metadata *_metadata, int fd)
{
	pid_t pid = my_fork(_metadata);

	if (!pid)
		_exit(drop_rights() || listen(fd, 5));
	EXPECT_EQ(0, my_wait(pid));
	return pid;
}

TEST_F(peer, connector_sees_who_listened)
{
	int fd = type_socket(_metadata, variant->type);
	pid_t pid = listen_in_child(_metadata, self->listener);

	ASSERT_EQ(0, my_connect(fd, self->channel));
	/* Before accept(), and after it */
	expect_peer(_metadata, fd, pid, OTHER_ID, OTHER_ID);
	ASSERT_LE(0, accept(self->listener, NULL, NULL));
	expect_peer(_metadata, fd, pid, OTHER_ID, OTHER_ID);
}

TEST_F(peer, last_listen_counts)
{
	int fd[2], i;
	pid_t pid;

	for (i = 0; i < 2; i++)
		fd[i] = type_socket(_metadata, variant->type);
	ASSERT_EQ(0, listen(self->listener, 5));
	ASSERT_EQ(0, my_connect(fd[0], self->channel));
	pid = listen_in_child(_metadata, self->listener);
	ASSERT_EQ(0, my_connect(fd[1], self->channel));
	expect_peer(_metadata, fd[0], getpid(), 0, getegid());
	expect_peer(_metadata, fd[1], pid, OTHER_ID, OTHER_ID);
}

/* A child that connects and stays until it is killed */
static pid_t connect_in_child(struct __test_metadata *_metadata, int type,
			      __u32 channel, bool groups)
{
	gid_t list[] = { 111, 222, 333 };
	pid_t pid = my_fork(_metadata);
	int fd;

	if (pid)
		return pid;
	if (drop_rights() && !groups)
		_exit(1);
	if (groups && (setresuid(0, 0, 0), setgroups(3, list)))
		_exit(2);
	fd = socket(AF_MYPROTO, type, 0);
	if (my_connect(fd, channel))
		_exit(3);
	pause();
	_exit(0);
}

TEST_F(peer, accepted_sees_who_connected)
{
	pid_t pid;
	int fd;

	ASSERT_EQ(0, listen(self->listener, 5));
	pid = connect_in_child(_metadata, variant->type, self->channel, false);
	fd = accept(self->listener, NULL, NULL);
	ASSERT_LE(0, fd);
	expect_peer(_metadata, fd, pid, OTHER_ID, OTHER_ID);
	/* Also when that one is gone */
	my_kill(pid);
	expect_peer(_metadata, fd, pid, OTHER_ID, OTHER_ID);
}

TEST_F(peer, groups)
{
	gid_t list[] = { 111, 222, 333 }, groups[8] = {};
	socklen_t len = sizeof(groups);
	pid_t pid;
	int fd;

	ASSERT_EQ(0, listen(self->listener, 5));
	ASSERT_EQ(0, setgroups(3, list));
	pid = my_fork(_metadata);
	if (!pid) {
		fd = socket(AF_MYPROTO, variant->type, 0);
		my_connect(fd, self->channel);
		pause();
		_exit(0);
	}
	ASSERT_EQ(0, setgroups(0, NULL));
	fd = accept(self->listener, NULL, NULL);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, get_groups(fd, groups, &len));
	EXPECT_EQ(sizeof(list), len);
	EXPECT_EQ(0, memcmp(list, groups, sizeof(list)));

	/* Too little room: how much it would take */
	len = sizeof(gid_t);
	EXPECT_EQ(ERANGE, err_of(get_groups(fd, groups, &len)));
	EXPECT_EQ(sizeof(list), len);
	my_kill(pid);
}

TEST_F(peer, pidfd)
{
	int fd, pidfd = -1;
	socklen_t len = sizeof(pidfd);
	pid_t pid;

	ASSERT_EQ(0, listen(self->listener, 5));
	pid = connect_in_child(_metadata, variant->type, self->channel, false);
	fd = accept(self->listener, NULL, NULL);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len));
	EXPECT_EQ(pid, pidfd_pid(pidfd));
	EXPECT_EQ(0, poll_for(pidfd, POLLIN, 0));
	my_kill(pid);
	EXPECT_EQ(POLLIN, poll_for(pidfd, POLLIN, WAIT_MS) & POLLIN);
}

TEST_F(peer, listener_has_none_that_connected)
{
	pid_t pid;

	ASSERT_EQ(0, listen(self->listener, 5));
	pid = connect_in_child(_metadata, variant->type, self->channel, false);
	close(accept(self->listener, NULL, NULL));
	expect_peer(_metadata, self->listener, getpid(), 0, getegid());
	EXPECT_EQ(1, get_int_opt(_metadata, self->listener, SO_ACCEPTCONN));
	my_kill(pid);
}

/* Nobody can have set SO_PASSCRED on a socket that has no descriptor yet. */
TEST_F(peer, creds_of_data_before_accept)
{
	int client = type_socket(_metadata, variant->type), fd;

	ASSERT_EQ(0, listen(self->listener, 5));
	ASSERT_EQ(0, my_connect(client, self->channel));
	expect_send(_metadata, client, "abc");
	fd = accept(self->listener, NULL, NULL);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_PASSCRED));
	set_int_opt(_metadata, fd, SO_PASSCRED, 1);
	expect_own_creds(_metadata, fd, "abc");
}

TEST_F(peer, accepted_takes_passcred_over)
{
	int client = type_socket(_metadata, variant->type), fd;

	set_int_opt(_metadata, self->listener, SO_PASSCRED, 1);
	ASSERT_EQ(0, listen(self->listener, 5));
	ASSERT_EQ(0, my_connect(client, self->channel));
	fd = accept(self->listener, NULL, NULL);
	ASSERT_LE(0, fd);
	EXPECT_EQ(1, get_int_opt(_metadata, fd, SO_PASSCRED));
	expect_send(_metadata, client, "abc");
	expect_own_creds(_metadata, fd, "abc");
}

/* A stream with credentials */

TEST(stream_creds_waitall_ends_at_other_writer)
{
	struct link link;
	struct got got;
	pid_t pid;

	link_make(_metadata, &link, SOCK_STREAM, BY_PAIR);
	set_int_opt(_metadata, link.fd[1], SO_PASSCRED, 1);
	link_expect_send(_metadata, &link, 0, "abc");
	pid = my_fork(_metadata);
	if (!pid)
		_exit(link_send(&link, 0, "def", 3, 0) != 3);
	EXPECT_EQ(0, my_wait(pid));

	EXPECT_EQ(3, recv_got(link.fd[1], &got, 256, MSG_PEEK | MSG_WAITALL));
	EXPECT_STREQ("abc", got.data);
	EXPECT_EQ(3, recv_got(link.fd[1], &got, 256, MSG_WAITALL));
	EXPECT_STREQ("abc", got.data);
	expect_creds(_metadata, link.fd[1], "def", pid, getuid(), getgid());
}

/* With read(), or without SO_PASSCRED, it is one stream. */
TEST(stream_without_passcred_is_not_cut)
{
	struct link link;
	pid_t pid;

	link_make(_metadata, &link, SOCK_STREAM, BY_PAIR);
	set_int_opt(_metadata, link.fd[0], SO_PASSCRED, 1);
	link_expect_send(_metadata, &link, 0, "abc");
	pid = my_fork(_metadata);
	if (!pid)
		_exit(link_send(&link, 0, "def", 3, 0) != 3);
	EXPECT_EQ(0, my_wait(pid));
	expect_recv(_metadata, link.fd[1], "abcdef");
}

TEST(stream_creds_of_each_part)
{
	struct link link;
	struct got got;
	pid_t pid;
	int i;

	link_make(_metadata, &link, SOCK_STREAM, BY_PAIR);
	set_int_opt(_metadata, link.fd[1], SO_PASSCRED, 1);
	for (i = 0; i < 2; i++)
		link_expect_send(_metadata, &link, 0, "abc");
	pid = my_fork(_metadata);
	if (!pid)
		_exit(link_send(&link, 0, "def", 3, 0) != 3);
	EXPECT_EQ(0, my_wait(pid));

	/* Reads that end in the middle of a write */
	for (i = 0; i < 6; i++) {
		EXPECT_EQ(1, recv(link.fd[1], got.data, 1, MSG_DONTWAIT));
		EXPECT_EQ("abc"[i % 3], got.data[0]);
	}
	EXPECT_EQ(1, recv(link.fd[1], got.data, 1, MSG_DONTWAIT));
	expect_creds(_metadata, link.fd[1], "ef", pid, getuid(), getgid());
}

/* Time stamps */

static double wall_time(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* What the control message of an option says, 0 if it is not there */
static double got_time(struct got *got, int type)
{
	bool micro = type == SO_TIMESTAMP_OLD || type == SO_TIMESTAMP_NEW;
	bool wide = type == SO_TIMESTAMP_NEW || type == SO_TIMESTAMPNS_NEW;
	long old[2];	/* struct timeval or timespec of the old ones */
	__s64 new[2];
	void *data;

	data = find_cmsg(got, type, wide ? sizeof(new) : sizeof(old));
	if (!data)
		return 0;
	if (wide) {
		memcpy(new, data, sizeof(new));
	} else {
		memcpy(old, data, sizeof(old));
		new[0] = old[0];
		new[1] = old[1];
	}
	return new[0] + new[1] / (micro ? 1e6 : 1e9);
}

/* A clock that ticks in microseconds may seem to go back by one. */
#define TICK	0.000002

/* A timer that is cancelled when somebody sets the clock */
static int watch_clock(struct __test_metadata *_metadata)
{
	struct itimerspec spec = { .it_value.tv_sec = INT_MAX };
	int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, timerfd_settime(fd, TFD_TIMER_ABSTIME |
				     TFD_TIMER_CANCEL_ON_SET, &spec, NULL));
	return fd;
}

/* @time is not before @from nor after @to, unless the clock was set. */
static void expect_between(struct __test_metadata *_metadata, int watch,
			   double from, double time, double to)
{
	__u64 count;

	if (err_of(read(watch, &count, sizeof(count))) == ECANCELED)
		SKIP(return, "the clock was set");
	EXPECT_TRUE(from - TICK <= time && time <= to + TICK)
		TH_LOG("%f is not between %f and %f", time, from, to);
}

static void expect_time(struct __test_metadata *_metadata, struct link *link,
			int type)
{
	int watch = watch_clock(_metadata);
	double before, after;
	struct got got;

	before = wall_time();
	link_expect_send(_metadata, link, 0, "abc");
	after = wall_time();
	usleep(2000);
	EXPECT_EQ(3, recv_got(link->fd[1], &got, 256, 0));
	expect_between(_metadata, watch, before, got_time(&got, type), after);
	close(watch);
}

TEST_F(any, timestamp)
{
	static const int opts[] = {
		SO_TIMESTAMP_OLD, SO_TIMESTAMPNS_OLD, SO_TIMESTAMP_NEW,
		SO_TIMESTAMPNS_NEW,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(opts); i++) {
		set_int_opt(_metadata, self->link.fd[1], opts[i], 1);
		EXPECT_EQ(1, get_int_opt(_metadata, self->link.fd[1],
					 opts[i]));
		expect_time(_metadata, &self->link, opts[i]);
		set_int_opt(_metadata, self->link.fd[1], opts[i], 0);
	}
}

TEST_F(any, timestamp_off)
{
	struct link *link = &self->link;
	struct got got;

	set_int_opt(_metadata, link->fd[1], SO_TIMESTAMP_OLD, 1);
	set_int_opt(_metadata, link->fd[1], SO_TIMESTAMP_OLD, 0);
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(3, recv_got(link->fd[1], &got, 256, 0));
	EXPECT_EQ(0U, got.msg.msg_controllen);
	/* The other end's affair */
	set_int_opt(_metadata, link->fd[0], SO_TIMESTAMP_OLD, 1);
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(3, recv_got(link->fd[1], &got, 256, 0));
	EXPECT_EQ(0U, got.msg.msg_controllen);
}

/* One for each write, which are kept apart in a stream, too */
TEST_F(any, timestamp_of_each_send)
{
	struct link *link = &self->link;
	int watch = watch_clock(_metadata), i;
	double before[2], after[2];
	struct got got;

	set_int_opt(_metadata, link->fd[1], SO_TIMESTAMPNS_OLD, 1);
	for (i = 0; i < 2; i++) {
		before[i] = wall_time();
		link_expect_send(_metadata, link, 0, "abc");
		after[i] = wall_time();
		usleep(2000);
	}
	for (i = 0; i < 2; i++) {
		ASSERT_LE(3, recv(link->fd[1], &got, 3, MSG_PEEK));
		got.iov.iov_len = 3;
		memset(&got, 0, sizeof(got));
		got.iov = (struct iovec) {
			.iov_base = got.data,
			.iov_len = 3,
		};
		got.msg = (struct msghdr) {
			.msg_iov = &got.iov,
			.msg_iovlen = 1,
			.msg_control = got.control.buf,
			.msg_controllen = sizeof(got.control),
		};
		EXPECT_EQ(3, recvmsg(link->fd[1], &got.msg, 0));
		expect_between(_metadata, watch, before[i],
			       got_time(&got, SO_TIMESTAMPNS_OLD), after[i]);
	}
}

TEST_F(any, timestamping_software)
{
	struct scm_timestamping *stamps;
	struct link *link = &self->link;
	int watch = watch_clock(_metadata);
	double before, time;
	struct got got;

	set_int_opt(_metadata, link->fd[1], SO_TIMESTAMPING_OLD,
		    SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
	before = wall_time();
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(3, recv_got(link->fd[1], &got, 256, 0));
	stamps = find_cmsg(&got, SO_TIMESTAMPING_OLD, sizeof(*stamps));
	ASSERT_NE(NULL, stamps);
	time = stamps->ts[0].tv_sec + stamps->ts[0].tv_nsec / 1e9;
	expect_between(_metadata, watch, before, time, wall_time());
}

TEST_F(any, siocgstamp)
{
	struct link *link = &self->link;
	struct timeval tv = {};
	int watch = watch_clock(_metadata);
	double before, after, time;
	char buf[8];

	/* The first call turns it on. */
	ioctl(link->fd[1], SIOCGSTAMP_OLD, &tv);
	before = wall_time();
	link_expect_send(_metadata, link, 0, "abc");
	after = wall_time();
	usleep(2000);
	EXPECT_EQ(3, recv(link->fd[1], buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_EQ(0, ioctl(link->fd[1], SIOCGSTAMP_OLD, &tv));
	time = tv.tv_sec + tv.tv_usec / 1e6;
	expect_between(_metadata, watch, before, time, after);
}

/* How much is queued */

TEST_F(any, inq_and_outq)
{
	bool dgram = variant->type == SOCK_DGRAM;
	struct link *link = &self->link;
	char buf[16];

	EXPECT_EQ(0, ioctl_len(link->fd[1], SIOCINQ));
	EXPECT_EQ(0, ioctl_len(link->fd[0], SIOCOUTQ));
	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "defgh");
	EXPECT_EQ(dgram ? 3 : 8, ioctl_len(link->fd[1], SIOCINQ));
	EXPECT_EQ(dgram ? 0 : 8, ioctl_len(link->fd[0], SIOCOUTQ));
	EXPECT_EQ(0, ioctl_len(link->fd[0], SIOCINQ));
	EXPECT_EQ(0, ioctl_len(link->fd[1], SIOCOUTQ));

	EXPECT_EQ(3, recv(link->fd[1], buf, 3, 0));
	EXPECT_EQ(5, ioctl_len(link->fd[1], SIOCINQ));
	EXPECT_EQ(dgram ? 0 : 5, ioctl_len(link->fd[0], SIOCOUTQ));

	/* The rest of a message goes with it. */
	EXPECT_EQ(1, recv(link->fd[1], buf, 1, 0));
	EXPECT_EQ(variant->type == SOCK_STREAM ? 4 : 0,
		  ioctl_len(link->fd[1], SIOCINQ));
}

TEST_F(any, inq_after_peek_and_shutdown)
{
	struct link *link = &self->link;
	char buf[16];

	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(3, recv(link->fd[1], buf, sizeof(buf), MSG_PEEK));
	EXPECT_EQ(3, ioctl_len(link->fd[1], SIOCINQ));
	ASSERT_EQ(0, shutdown(link->fd[1], SHUT_RD));
	EXPECT_EQ(3, ioctl_len(link->fd[1], SIOCINQ));
	expect_recv(_metadata, link->fd[1], "abc");
	EXPECT_EQ(0, ioctl_len(link->fd[1], SIOCINQ));
}

TEST(inq_outq_not_connected)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	__u32 channel;
	int i, fd;

	for (i = 0; i < 3; i++) {
		fd = type_bound(_metadata, types[i], &channel);
		EXPECT_EQ(0, ioctl_len(fd, SIOCINQ));
		EXPECT_EQ(0, ioctl_len(fd, SIOCOUTQ));
		if (types[i] == SOCK_DGRAM)
			continue;
		ASSERT_EQ(0, listen(fd, 1));
		EXPECT_EQ(-EINVAL, ioctl_len(fd, SIOCINQ));
		EXPECT_EQ(-EINVAL, ioctl_len(fd, SIOCOUTQ));
	}
}

TEST_F(any, inq_efault)
{
	EXPECT_EQ(EFAULT, err_of(ioctl(self->link.fd[0], SIOCINQ, NULL)));
	EXPECT_EQ(EFAULT, err_of(ioctl(self->link.fd[0], SIOCOUTQ, NULL)));
}

/* SO_PEEK_OFF */

static void expect_peek(struct __test_metadata *_metadata, int fd, int len,
			const char *text)
{
	char buf[16] = "";

	EXPECT_EQ((ssize_t)strlen(text),
		  recv(fd, buf, len, MSG_PEEK | MSG_DONTWAIT));
	EXPECT_STREQ(text, buf);
}

TEST_F(any, peek_off_moves)
{
	struct link *link = &self->link;
	int fd = link->fd[1];
	char c;

	EXPECT_EQ(-1, get_int_opt(_metadata, fd, SO_PEEK_OFF));
	link_expect_send(_metadata, link, 0, "abcdef");
	set_int_opt(_metadata, fd, SO_PEEK_OFF, 1);
	expect_peek(_metadata, fd, 2, "bc");
	EXPECT_EQ(3, get_int_opt(_metadata, fd, SO_PEEK_OFF));
	expect_peek(_metadata, fd, 2, "de");
	expect_peek(_metadata, fd, 2, "f");
	EXPECT_EQ(EAGAIN, err_of(recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT)));
	set_int_opt(_metadata, fd, SO_PEEK_OFF, 4);
	expect_peek(_metadata, fd, 8, "ef");
	set_int_opt(_metadata, fd, SO_PEEK_OFF, -1);
	expect_peek(_metadata, fd, 8, "abcdef");
	expect_peek(_metadata, fd, 8, "abcdef");
	expect_recv(_metadata, fd, "abcdef");
}

TEST_F(any, peek_off_moves_back)
{
	struct link *link = &self->link;
	int fd = link->fd[1];
	char buf[8];

	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "def");
	set_int_opt(_metadata, fd, SO_PEEK_OFF, 4);
	expect_peek(_metadata, fd, 1, "e");
	/* What is read is no longer before the offset. */
	EXPECT_EQ(3, recv(fd, buf, 3, MSG_DONTWAIT));
	EXPECT_EQ(2, get_int_opt(_metadata, fd, SO_PEEK_OFF));
	expect_peek(_metadata, fd, 8, "f");
	/* Never below 0 */
	EXPECT_EQ(3, recv(fd, buf, 3, MSG_DONTWAIT));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_PEEK_OFF));
}

/* Who waits for something to peek at sees what comes where the offset is. */
TEST_F(any, peek_off_moves_back_for_waiter)
{
	struct link *link = &self->link;
	int fd = link->fd[1];
	char buf[16];
	pid_t pid;

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

/* A peek ends with the message that it begins in. */
TEST_F(any, peek_off_over_messages)
{
	struct link *link = &self->link;
	int fd = link->fd[1];
	char c;

	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "def");
	set_int_opt(_metadata, fd, SO_PEEK_OFF, 0);
	if (variant->type == SOCK_STREAM) {
		expect_peek(_metadata, fd, 8, "abcdef");
	} else {
		expect_peek(_metadata, fd, 8, "abc");
		expect_peek(_metadata, fd, 8, "def");
	}
	EXPECT_EQ(EAGAIN, err_of(recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT)));
	EXPECT_EQ(6, get_int_opt(_metadata, fd, SO_PEEK_OFF));
	link_expect_send(_metadata, link, 0, "ghi");
	expect_peek(_metadata, fd, 8, "ghi");
}

/* SO_RCVLOWAT is for streams: a message is enough by itself. */

TEST_F(any, rcvlowat)
{
	struct link *link = &self->link;
	bool stream = variant->type == SOCK_STREAM;

	set_int_opt(_metadata, link->fd[1], SO_RCVLOWAT, 4);
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(stream ? 0 : POLLIN, poll_for(link->fd[1], POLLIN, 0));
	link_expect_send(_metadata, link, 0, "d");
	EXPECT_EQ(POLLIN, poll_for(link->fd[1], POLLIN, 0));
	EXPECT_EQ(stream ? 4 : 3, recv(link->fd[1], (char[8]) {}, 8,
				       MSG_DONTWAIT));
}

TEST_F(any, rcvlowat_edge)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	bool stream = variant->type == SOCK_STREAM;
	struct link *link = &self->link;
	int epoll = epoll_create1(0);

	set_int_opt(_metadata, link->fd[1], SO_RCVLOWAT, 4);
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, link->fd[1], &event));
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(!stream, epoll_wait(epoll, &event, 1, 0));
	link_expect_send(_metadata, link, 0, "d");
	EXPECT_EQ(1, epoll_wait(epoll, &event, 1, 0));
	EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 0));
}

static int sigio_count;

static void on_sigio(int sig)
{
	sigio_count++;
}

static void want_sigio(struct __test_metadata *_metadata, int fd)
{
	struct sigaction action = { .sa_handler = on_sigio };

	ASSERT_EQ(0, sigaction(SIGIO, &action, NULL));
	ASSERT_EQ(0, fcntl(fd, F_SETOWN, getpid()));
	ASSERT_EQ(0, fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK));
	sigio_count = 0;
}

TEST_F(any, sigio)
{
	struct link *link = &self->link;
	int i;

	want_sigio(_metadata, link->fd[1]);
	for (i = 1; i <= 3; i++) {
		link_expect_send(_metadata, link, 0, "abc");
		EXPECT_EQ(i, sigio_count);
	}
}

TEST_F(any, sigio_rcvlowat)
{
	struct link *link = &self->link;

	set_int_opt(_metadata, link->fd[1], SO_RCVLOWAT, 4);
	want_sigio(_metadata, link->fd[1]);
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(variant->type != SOCK_STREAM, sigio_count);
	sigio_count = 0;
	link_expect_send(_metadata, link, 0, "d");
	EXPECT_EQ(1, sigio_count);
}

TEST(sigio_room)
{
	struct link link;

	link_make(_metadata, &link, SOCK_STREAM, BY_PAIR);
	want_sigio(_metadata, link.fd[0]);
	link_fill(_metadata, &link, 0, 4096);
	sigio_count = 0;
	my_drain(_metadata, link.fd[1]);
	EXPECT_LT(0, sigio_count);
}

/* SO_ATTACH_FILTER and SO_ATTACH_BPF, for messages: run when one is sent */

FIXTURE(filter)
{
	struct link link;
};

FIXTURE_VARIANT(filter)
{
	int type;
	enum made made;
};

FIXTURE_VARIANT_ADD(filter, seqpacket)
{
	.type = SOCK_SEQPACKET,
	.made = BY_CONNECT,
};

FIXTURE_VARIANT_ADD(filter, dgram_socketpair)
{
	.type = SOCK_DGRAM,
	.made = BY_PAIR,
};

FIXTURE_VARIANT_ADD(filter, dgram_unconnected)
{
	.type = SOCK_DGRAM,
	.made = BY_ADDRESS,
};

FIXTURE_SETUP(filter)
{
	link_make(_metadata, &self->link, variant->type, variant->made);
}

FIXTURE_TEARDOWN(filter)
{
	link_destroy(&self->link);
}

/* Let the first @len bytes of each message pass: 0 drops it */
static void attach_cut(struct __test_metadata *_metadata, int fd, __u32 len)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_RET | BPF_K, len),
	};
	struct sock_fprog prog = { .len = 1, .filter = code };

	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog,
				sizeof(prog)));
}

/* Let the messages pass that begin with an 'a' */
static void attach_only_a(struct __test_metadata *_metadata, int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'a', 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = { .len = 4, .filter = code };

	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog,
				sizeof(prog)));
}

TEST_F(filter, drops)
{
	struct link *link = &self->link;

	attach_cut(_metadata, link->fd[1], 0);
	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "");
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	EXPECT_EQ(0, poll_for(link->fd[1], POLLIN, 0));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
	EXPECT_EQ(0, ioctl_len(link->fd[1], SIOCINQ));
	/* The other direction has a filter of its own. */
	link_expect_send(_metadata, link, 1, "back");
	expect_recv(_metadata, link->fd[0], "back");
}

TEST_F(filter, passes)
{
	struct link *link = &self->link;

	attach_cut(_metadata, link->fd[1], 0xffffffff);
	link_expect_send(_metadata, link, 0, "abc");
	expect_recv(_metadata, link->fd[1], "abc");
}

TEST_F(filter, cuts)
{
	struct link *link = &self->link;
	struct got got;

	attach_cut(_metadata, link->fd[1], 4);
	link_expect_send(_metadata, link, 0, "abcdefgh");
	link_expect_send(_metadata, link, 0, "ij");
	EXPECT_EQ(variant->type == SOCK_DGRAM ? 4 : 6,
		  ioctl_len(link->fd[1], SIOCINQ));
	EXPECT_EQ(4, recv_got(link->fd[1], &got, 0, MSG_TRUNC));
	EXPECT_STREQ("abcd", got.data);
	EXPECT_EQ(0, got.msg.msg_flags & MSG_TRUNC);
	expect_recv(_metadata, link->fd[1], "ij");
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
}

TEST_F(filter, cuts_large_message)
{
	struct link *link = &self->link;
	char *out = malloc(200000), *in = malloc(200000);

	ASSERT_TRUE(out && in);
	fill_pattern(out, 200000, 1);
	attach_cut(_metadata, link->fd[1], 70001);
	EXPECT_EQ(200000, link_send(link, 0, out, 200000, 0));
	EXPECT_EQ(70001, recv(link->fd[1], in, 200000, MSG_DONTWAIT));
	EXPECT_EQ(0, memcmp(in, out, 70001));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
	free(in);
	free(out);
}

TEST_F(filter, looks_inside)
{
	struct link *link = &self->link;

	attach_only_a(_metadata, link->fd[1]);
	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "bcd");
	link_expect_send(_metadata, link, 0, "");
	link_expect_send(_metadata, link, 0, "a");
	expect_recv(_metadata, link->fd[1], "abc");
	expect_recv(_metadata, link->fd[1], "a");
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

/* What is queued has passed. */
TEST_F(filter, comes_and_goes)
{
	struct link *link = &self->link;
	int val = 0;

	link_expect_send(_metadata, link, 0, "before");
	attach_cut(_metadata, link->fd[1], 0);
	link_expect_send(_metadata, link, 0, "dropped");
	attach_cut(_metadata, link->fd[1], 2);
	link_expect_send(_metadata, link, 0, "cut");
	ASSERT_EQ(0, setsockopt(link->fd[1], SOL_SOCKET, SO_DETACH_FILTER,
				&val, sizeof(val)));
	link_expect_send(_metadata, link, 0, "after");
	expect_recv(_metadata, link->fd[1], "before");
	expect_recv(_metadata, link->fd[1], "cu");
	expect_recv(_metadata, link->fd[1], "after");
	EXPECT_EQ(ENOENT, int_opt_err(link->fd[1], SOL_SOCKET,
				      SO_DETACH_FILTER, 0));
}

TEST_F(filter, locked)
{
	struct link *link = &self->link;

	attach_cut(_metadata, link->fd[1], 2);
	set_int_opt(_metadata, link->fd[1], SO_LOCK_FILTER, 1);
	EXPECT_EQ(EPERM, int_opt_err(link->fd[1], SOL_SOCKET,
				     SO_DETACH_FILTER, 0));
	link_expect_send(_metadata, link, 0, "abc");
	expect_recv(_metadata, link->fd[1], "ab");
}

TEST_F(filter, dropped_leaves_no_room_taken)
{
	struct link *link = &self->link;
	char buf[1000] = "";
	int i;

	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 10000);
	attach_cut(_metadata, link->fd[1], 0);
	for (i = 0; i < 100; i++)
		ASSERT_EQ(1000, link_send(link, 0, buf, 1000, MSG_DONTWAIT));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
}

/* r0 = length of the message / 2, by the program type of its own */
TEST_F(filter, bpf_program)
{
	static const struct bpf_insn code[] = {
		{ BPF_LDX | BPF_W | BPF_MEM, 0, 1, 0, 0 },
		{ BPF_ALU64 | BPF_RSH | BPF_K, 0, 0, 0, 1 },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insns = (uintptr_t)code,
		.insn_cnt = ARRAY_SIZE(code),
		.license = (uintptr_t)"GPL",
	};
	struct link *link = &self->link;
	int prog;

	prog = syscall(__NR_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	if (prog < 0)
		SKIP(return, "bpf(): %s", strerror(errno));
	set_int_opt(_metadata, link->fd[1], SO_ATTACH_BPF, prog);
	close(prog);
	link_expect_send(_metadata, link, 0, "abcdefgh");
	link_expect_send(_metadata, link, 0, "x");
	link_expect_send(_metadata, link, 0, "yz");
	expect_recv(_metadata, link->fd[1], "abcd");
	expect_recv(_metadata, link->fd[1], "y");
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

/* splice() and sendfile() */

static int memory_file(struct __test_metadata *_metadata, const void *data,
		       size_t len)
{
	int fd = memfd_create("myproto", 0);

	ASSERT_LE(0, fd);
	ASSERT_EQ((ssize_t)len, write(fd, data, len));
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	return fd;
}

/* Receive @len bytes, in however many pieces; tells whether they are @data */
static void expect_data(struct __test_metadata *_metadata, int fd,
			const char *data, size_t len)
{
	char *buf = malloc(len + 1);
	size_t done = 0;
	ssize_t n;

	ASSERT_NE(NULL, buf);
	while (done < len) {
		n = recv(fd, buf + done, len - done + 1, MSG_DONTWAIT);
		ASSERT_LT(0, n)
			TH_LOG("after %zu bytes: %s", done, strerror(errno));
		done += n;
	}
	EXPECT_EQ(len, done);
	EXPECT_EQ(0, memcmp(buf, data, len));
	free(buf);
}

/* Have who does not name its receiver with each send know one */
static void connect_ends(struct __test_metadata *_metadata, struct link *link)
{
	if (link->made == BY_ADDRESS)
		ASSERT_EQ(0, my_connect(link->fd[0],
					link->name[1].smy_channel));
}

TEST_F(any, sendfile)
{
	struct link *link = &self->link;
	char data[20000];
	int file;

	connect_ends(_metadata, link);
	fill_pattern(data, sizeof(data), 1);
	file = memory_file(_metadata, data, sizeof(data));
	EXPECT_EQ((ssize_t)sizeof(data),
		  sendfile(link->fd[0], file, NULL, sizeof(data)));
	expect_data(_metadata, link->fd[1], data, sizeof(data));
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
}

TEST_F(any, sendfile_part)
{
	struct link *link = &self->link;
	off_t offset = 4000;
	char data[10000];
	int file;

	connect_ends(_metadata, link);
	fill_pattern(data, sizeof(data), 1);
	file = memory_file(_metadata, data, sizeof(data));
	EXPECT_EQ(5, sendfile(link->fd[0], file, &offset, 5));
	EXPECT_EQ(4005, offset);
	expect_data(_metadata, link->fd[1], data + 4000, 5);
	EXPECT_EQ(5995, sendfile(link->fd[0], file, &offset, 100000));
	expect_data(_metadata, link->fd[1], data + 4005, 5995);
	EXPECT_EQ(0, sendfile(link->fd[0], file, &offset, 100000));
}

TEST_F(any, splice_in)
{
	struct link *link = &self->link;
	int p[2];

	connect_ends(_metadata, link);
	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(6, write(p[1], "abcdef", 6));
	EXPECT_EQ(4, splice(p[0], NULL, link->fd[0], NULL, 4, 0));
	expect_recv(_metadata, link->fd[1], "abcd");
	EXPECT_EQ(2, splice(p[0], NULL, link->fd[0], NULL, 100, 0));
	expect_recv(_metadata, link->fd[1], "ef");
}

TEST_F(any, splice_out)
{
	struct link *link = &self->link;
	char buf[16] = "";
	int p[2];

	ASSERT_EQ(0, pipe(p));
	link_expect_send(_metadata, link, 0, "abcdef");
	EXPECT_EQ(6, splice(link->fd[1], NULL, p[1], NULL, 100, 0));
	EXPECT_EQ(6, read(p[0], buf, sizeof(buf)));
	EXPECT_STREQ("abcdef", buf);
	/* SPLICE_F_NONBLOCK would be about the pipe alone for messages. */
	set_nonblock(_metadata, link->fd[1]);
	EXPECT_EQ(EAGAIN, err_of(splice(link->fd[1], NULL, p[1], NULL, 100,
					0)));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
}

TEST_F(any, splice_out_large)
{
	struct link *link = &self->link;
	char out[30000], in[30000];
	size_t done = 0;
	ssize_t n;
	int p[2];

	ASSERT_EQ(0, pipe(p));
	fill_pattern(out, sizeof(out), 1);
	ASSERT_EQ((ssize_t)sizeof(out), link_send(link, 0, out, sizeof(out),
						  0));
	while (done < sizeof(in)) {
		n = splice(link->fd[1], NULL, p[1], NULL, sizeof(in), 0);
		ASSERT_LT(0, n);
		ASSERT_EQ(n, read(p[0], in + done, n));
		done += n;
	}
	EXPECT_EQ(0, memcmp(in, out, sizeof(out)));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
}

/* Streams: pages go by reference */

FIXTURE(splice)
{
	struct link link;
	int pipe[2];
	int file;
	char *page;
};

FIXTURE_SETUP(splice)
{
	size_t len = sysconf(_SC_PAGESIZE);

	link_make(_metadata, &self->link, SOCK_STREAM, BY_CONNECT);
	ASSERT_EQ(0, pipe(self->pipe));
	self->file = memfd_create("myproto", 0);
	ASSERT_LE(0, self->file);
	ASSERT_EQ(0, ftruncate(self->file, 16 * len));
	self->page = mmap(NULL, 16 * len, PROT_READ | PROT_WRITE, MAP_SHARED,
			  self->file, 0);
	ASSERT_NE(MAP_FAILED, self->page);
	memset(self->page, 'a', 16 * len);
}

FIXTURE_TEARDOWN(splice)
{
	link_destroy(&self->link);
	close(self->pipe[0]);
	close(self->pipe[1]);
	close(self->file);
}

/* Nothing was copied: what is written to the page still arrives. */
TEST_F(splice, sendfile_does_not_copy)
{
	EXPECT_EQ(4, sendfile(self->link.fd[0], self->file, NULL, 4));
	memcpy(self->page, "later", 5);
	expect_recv(_metadata, self->link.fd[1], "late");
}

TEST_F(splice, vmsplice_does_not_copy)
{
	struct iovec iov = { .iov_base = self->page, .iov_len = 4 };

	ASSERT_EQ(4, vmsplice(self->pipe[1], &iov, 1, 0));
	ASSERT_EQ(4, splice(self->pipe[0], NULL, self->link.fd[0], NULL, 4,
			    0));
	memcpy(self->page, "later", 5);
	expect_recv(_metadata, self->link.fd[1], "late");
}

/* ... nor on the way out. */
TEST_F(splice, splice_out_does_not_copy)
{
	char buf[8] = "";

	ASSERT_EQ(4, sendfile(self->link.fd[0], self->file, NULL, 4));
	ASSERT_EQ(4, splice(self->link.fd[1], NULL, self->pipe[1], NULL, 4,
			    0));
	memcpy(self->page, "later", 5);
	EXPECT_EQ(4, read(self->pipe[0], buf, sizeof(buf)));
	EXPECT_STREQ("late", buf);
}

/* What follows in the stream is not written to a page of somebody else. */
TEST_F(splice, send_after_sendfile_keeps_file)
{
	ASSERT_EQ(3, sendfile(self->link.fd[0], self->file, NULL, 3));
	link_expect_send(_metadata, &self->link, 0, "xyz");
	link_expect_send(_metadata, &self->link, 0, "xyz");
	expect_recv(_metadata, self->link.fd[1], "aaaxyzxyz");
	EXPECT_EQ(0, memcmp(self->page, "aaaaaaaaaa", 10));
}

TEST_F(splice, send_and_sendfile_in_order)
{
	off_t offset = 0;
	int i;

	memcpy(self->page, "0123456789", 10);
	for (i = 0; i < 10; i++) {
		link_expect_send(_metadata, &self->link, 0, "-");
		ASSERT_EQ(1, sendfile(self->link.fd[0], self->file, &offset,
				      1));
	}
	expect_recv(_metadata, self->link.fd[1], "-0-1-2-3-4-5-6-7-8-9");
}

/* What is in the pipe stays when the sender's own page goes on. */
TEST_F(splice, pipe_keeps_what_it_got)
{
	char buf[8] = "";

	link_expect_send(_metadata, &self->link, 0, "abc");
	ASSERT_EQ(3, splice(self->link.fd[1], NULL, self->pipe[1], NULL, 100,
			    0));
	link_expect_send(_metadata, &self->link, 0, "def");
	expect_recv(_metadata, self->link.fd[1], "def");
	link_expect_send(_metadata, &self->link, 0, "ghi");
	EXPECT_EQ(3, read(self->pipe[0], buf, sizeof(buf)));
	EXPECT_STREQ("abc", buf);
	expect_recv(_metadata, self->link.fd[1], "ghi");
}

TEST_F(splice, out_part)
{
	char buf[8] = "";

	link_expect_send(_metadata, &self->link, 0, "abcdef");
	EXPECT_EQ(2, splice(self->link.fd[1], NULL, self->pipe[1], NULL, 2,
			    0));
	EXPECT_EQ(4, ioctl_len(self->link.fd[1], SIOCINQ));
	expect_recv(_metadata, self->link.fd[1], "cdef");
	EXPECT_EQ(2, read(self->pipe[0], buf, sizeof(buf)));
	EXPECT_STREQ("ab", buf);
	EXPECT_EQ(0U, mem_charged(_metadata, self->link.fd[1]));
}

TEST_F(splice, out_end_of_stream)
{
	link_expect_send(_metadata, &self->link, 0, "abc");
	link_close(&self->link, 0);
	EXPECT_EQ(3, splice(self->link.fd[1], NULL, self->pipe[1], NULL, 100,
			    0));
	EXPECT_EQ(0, splice(self->link.fd[1], NULL, self->pipe[1], NULL, 100,
			    0));
}

TEST_F(splice, out_nonblock_eagain)
{
	int fd = self->link.fd[1];

	EXPECT_EQ(EAGAIN, err_of(splice(fd, NULL, self->pipe[1], NULL, 10,
					SPLICE_F_NONBLOCK)));
	set_nonblock(_metadata, fd);
	EXPECT_EQ(EAGAIN, err_of(splice(fd, NULL, self->pipe[1], NULL, 10,
					0)));
}

TEST_F(splice, out_waits)
{
	pid_t pid = my_fork(_metadata);

	if (!pid)
		_exit(splice(self->link.fd[1], NULL, self->pipe[1], NULL, 100,
			     0) != 3);
	EXPECT_TRUE(wait_asleep(pid));
	link_expect_send(_metadata, &self->link, 0, "abc");
	EXPECT_EQ(0, my_wait(pid));
}

TEST_F(splice, out_not_connected_enotconn)
{
	int fd = type_socket(_metadata, SOCK_STREAM);

	EXPECT_EQ(ENOTCONN, err_of(splice(fd, NULL, self->pipe[1], NULL, 100,
					  0)));
}

TEST_F(splice, in_not_connected_enotconn)
{
	int fd = type_socket(_metadata, SOCK_STREAM);

	EXPECT_EQ(ENOTCONN, err_of(sendfile(fd, self->file, NULL, 10)));
}

TEST_F(splice, in_peer_closed_epipe)
{
	signal(SIGPIPE, SIG_IGN);
	link_close(&self->link, 1);
	EXPECT_EQ(EPIPE, err_of(sendfile(self->link.fd[0], self->file, NULL,
					 10)));
}

/* A full pipe takes no more: what it did not take stays in the socket. */
TEST_F(splice, out_pipe_full)
{
	struct link *link = &self->link;
	size_t total = 100000, done = 0;
	char *out = malloc(total), *in = malloc(total);
	ssize_t n, piped;

	ASSERT_TRUE(out && in);
	ASSERT_EQ(8192, fcntl(self->pipe[1], F_SETPIPE_SZ, 8192));
	fill_pattern(out, total, 1);
	ASSERT_EQ((ssize_t)total, link_send(link, 0, out, total, 0));

	while (done < total) {
		piped = 0;
		while ((n = splice(link->fd[1], NULL, self->pipe[1], NULL,
				   total, SPLICE_F_NONBLOCK)) > 0)
			piped += n;
		ASSERT_EQ(EAGAIN, err_of(n));
		ASSERT_LT(0, piped);
		ASSERT_EQ((int)(total - done - piped),
			  ioctl_len(link->fd[1], SIOCINQ));
		ASSERT_EQ(piped, read(self->pipe[0], in + done, total));
		done += piped;
	}
	EXPECT_EQ(0, memcmp(in, out, total));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
	free(in);
	free(out);
}

TEST_F(splice, in_full_socket)
{
	struct link *link = &self->link;
	size_t total = 0, page = sysconf(_SC_PAGESIZE);
	off_t offset;
	ssize_t n;

	set_nonblock(_metadata, link->fd[0]);
	do {
		offset = 0;
		n = sendfile(link->fd[0], self->file, &offset, 16 * page);
		if (n > 0)
			total += n;
		ASSERT_GE(8U << 20, total);
	} while (n > 0);
	EXPECT_EQ(EAGAIN, err_of(n));
	EXPECT_LT(16 * page, total);
	EXPECT_EQ(0, poll_for(link->fd[0], POLLOUT, 0));
	EXPECT_EQ(total, my_drain(_metadata, link->fd[1]));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
}

TEST_F(splice, in_waits_for_room)
{
	struct link *link = &self->link;
	pid_t pid;

	link_fill(_metadata, link, 0, 4096);
	pid = my_fork(_metadata);
	if (!pid)
		_exit(sendfile(link->fd[0], self->file, NULL, 100) != 100);
	EXPECT_TRUE(wait_asleep(pid));
	while (wait_asleep(pid) && poll_for(link->fd[1], POLLIN, 0))
		my_drain(_metadata, link->fd[1]);
	EXPECT_EQ(0, my_wait(pid));
}

/* 4 MiB from a file, through the socket, a pipe and into a file */
TEST_F(splice, file_to_file)
{
	size_t len = 4 << 20, done = 0;
	char *data = malloc(len);
	ssize_t n, m;
	char *copy;
	int in, out;
	pid_t pid;

	ASSERT_NE(NULL, data);
	fill_pattern(data, len, 1);
	in = memory_file(_metadata, data, len);
	out = memfd_create("out", 0);
	pid = my_fork(_metadata);
	if (!pid) {
		while (done < len) {
			n = sendfile(self->link.fd[0], in, NULL, len - done);
			if (n <= 0)
				_exit(1);
			done += n;
		}
		_exit(0);
	}
	link_close(&self->link, 0);
	while ((n = splice(self->link.fd[1], NULL, self->pipe[1], NULL, len,
			   0)) > 0) {
		done += n;
		for (; n; n -= m) {
			m = splice(self->pipe[0], NULL, out, NULL, n, 0);
			ASSERT_LT(0, m);
		}
	}
	EXPECT_EQ(0, n);
	EXPECT_EQ(len, done);
	EXPECT_EQ(0, my_wait(pid));
	copy = mmap(NULL, len, PROT_READ, MAP_SHARED, out, 0);
	ASSERT_NE(MAP_FAILED, copy);
	EXPECT_EQ(0, memcmp(copy, data, len));
	EXPECT_EQ(0U, mem_charged(_metadata, self->link.fd[1]));
	free(data);
}

/* Two pipes see the same, and so does the reader after them. */
TEST_F(splice, tee_of_spliced)
{
	char buf[8] = "";
	int other[2];

	ASSERT_EQ(0, pipe(other));
	link_expect_send(_metadata, &self->link, 0, "abc");
	ASSERT_EQ(3, splice(self->link.fd[1], NULL, self->pipe[1], NULL, 100,
			    0));
	ASSERT_EQ(3, tee(self->pipe[0], other[1], 100, 0));
	ASSERT_EQ(3, splice(other[0], NULL, self->link.fd[1], NULL, 100, 0));
	expect_recv(_metadata, self->link.fd[0], "abc");
	EXPECT_EQ(3, read(self->pipe[0], buf, sizeof(buf)));
	EXPECT_STREQ("abc", buf);
}

TEST_F(splice, close_with_pages_queued)
{
	int i;

	for (i = 0; i < 5; i++)
		ASSERT_EQ(100, sendfile(self->link.fd[0], self->file, NULL,
					100));
	link_destroy(&self->link);
	EXPECT_EQ('a', self->page[0]);
	EXPECT_EQ(0, sockets_settle_at(0));
}

/* What there is will do when there is no room for more. */
TEST(rcvbuf_shrunk_below_rcvlowat_wakes_poll)
{
	char buf[1000] = "";
	int fd[2], i;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_MYPROTO, SOCK_STREAM, 0, fd));
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

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
