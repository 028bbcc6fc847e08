// SPDX-License-Identifier: GPL-2.0
/*
 * Descriptors that are passed over AF_MYPROTO: which are, to whom, what becomes
 * of those that nobody receives, and that none is ever left open. The write end
 * of a pipe tells: when the last descriptor of it is closed, the read end says
 * POLLHUP.
 */
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <linux/filter.h>
#include <linux/io_uring.h>

#include "any.h"
#include "cmsg.h"

#define MAX_FD	253	/* SCM_MAX_FD of the kernel */

/* A user that is nobody's but the tests' */
#define OTHER_ID	12345

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS	83
#endif

static void opt_in(struct __test_metadata *_metadata, struct link *link)
{
	set_int_opt(_metadata, link->fd[1], SO_PASSRIGHTS, 1);
}

static ssize_t send_fds(struct link *link, const char *text, const int *fds,
			int n)
{
	return send_cmsg(link, text, SOL_SOCKET, SCM_RIGHTS, fds,
			 n * sizeof(*fds));
}

/* Send the write end of a pipe, which is open there alone then. errno, and the
 * read end in @pipe_end
 */
static int send_pipe(struct __test_metadata *_metadata, struct link *link,
		     const char *text, int *pipe_end)
{
	int fd[2], err;

	ASSERT_EQ(0, pipe(fd));
	err = err_of(send_fds(link, text, &fd[1], 1));
	close(fd[1]);
	*pipe_end = fd[0];
	return err;
}

static bool is_open(int pipe_end)
{
	return !poll_for(pipe_end, POLLIN, 0);
}

static void expect_closed(struct __test_metadata *_metadata, int pipe_end)
{
	EXPECT_EQ(POLLHUP, poll_for(pipe_end, POLLIN, WAIT_MS));
	close(pipe_end);
}

/* The descriptors in what was received, and how many there are */
static int got_fds(struct got *got, int fds[MAX_FD])
{
	struct cmsghdr *cmsg;
	size_t len;

	for (cmsg = CMSG_FIRSTHDR(&got->msg); cmsg;
	     cmsg = CMSG_NXTHDR(&got->msg, cmsg)) {
		if (cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		len = cmsg->cmsg_len - CMSG_LEN(0);
		memcpy(fds, CMSG_DATA(cmsg), len);
		return len / sizeof(*fds);
	}
	return 0;
}

/* Receive @text with @n descriptors, and tell the last of them */
static int expect_fds(struct __test_metadata *_metadata, int fd,
		      const char *text, int n, int flags)
{
	int fds[MAX_FD] = { -1 };
	struct got got;

	EXPECT_EQ((ssize_t)strlen(text),
		  recv_got(fd, &got, sizeof(got.control), flags));
	EXPECT_STREQ(text, got.data);
	EXPECT_EQ(n, got_fds(&got, fds));
	EXPECT_EQ(0, got.msg.msg_flags & MSG_CTRUNC);
	return n ? fds[n - 1] : -1;
}

/* Receive 3 bytes with @room for control messages, and close what comes with
 * them. Tells how many descriptors it was.
 */
static int receive_and_close(struct __test_metadata *_metadata, int fd,
			     size_t room, int flags)
{
	int fds[MAX_FD], n, i;
	struct got got;

	ASSERT_EQ(3, recv_got(fd, &got, room, flags));
	n = got_fds(&got, fds);
	for (i = 0; i < n; i++)
		close(fds[i]);
	return n;
}

static int open_files(void)
{
	int count = 0, fd;

	for (fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static long queued_fds(struct __test_metadata *_metadata, int fd)
{
	char path[64], line[128];
	long value = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f))
		sscanf(line, "scm_fds: %ld", &value);
	fclose(f);
	return value;
}

/* To whom */

TEST_F(any, off_by_default_eperm)
{
	struct link *link = &self->link;
	int end;

	EXPECT_EQ(0, get_int_opt(_metadata, link->fd[1], SO_PASSRIGHTS));
	EXPECT_EQ(EPERM, send_pipe(_metadata, link, "abc", &end));
	expect_closed(_metadata, end);
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	/* The sender's own option has no part in it. */
	set_int_opt(_metadata, link->fd[0], SO_PASSRIGHTS, 1);
	EXPECT_EQ(EPERM, send_pipe(_metadata, link, "abc", &end));
	link_expect_send(_metadata, link, 0, "abc");
	expect_recv(_metadata, link->fd[1], "abc");
	/* Nobody waits for room in vain. */
	link_fill(_metadata, link, 0, 4096);
	EXPECT_EQ(EPERM, send_pipe(_metadata, link, "abc", &end));
}

TEST_F(any, off_again)
{
	struct link *link = &self->link;
	int end[2];

	opt_in(_metadata, link);
	EXPECT_EQ(1, get_int_opt(_metadata, link->fd[1], SO_PASSRIGHTS));
	EXPECT_EQ(0, send_pipe(_metadata, link, "abc", &end[0]));
	set_int_opt(_metadata, link->fd[1], SO_PASSRIGHTS, 0);
	EXPECT_EQ(EPERM, send_pipe(_metadata, link, "def", &end[1]));
	/* What has come stays. */
	close(expect_fds(_metadata, link->fd[1], "abc", 1, 0));
	expect_closed(_metadata, end[0]);
}

static void arrives(struct __test_metadata *_metadata, struct link *link,
		    int flags, int cloexec)
{
	int file = memfd_create("rights", 0), fd;
	struct stat st[2];

	EXPECT_EQ(3, send_fds(link, "abc", &file, 1));
	fd = expect_fds(_metadata, link->fd[1], "abc", 1, flags);
	EXPECT_EQ(0, fstat(file, &st[0]));
	EXPECT_EQ(0, fstat(fd, &st[1]));
	EXPECT_NE(file, fd);
	EXPECT_EQ(st[0].st_ino, st[1].st_ino);
	EXPECT_EQ(st[0].st_dev, st[1].st_dev);
	EXPECT_EQ(cloexec, fcntl(fd, F_GETFD));
	close(file);
	close(fd);
}

TEST_F(any, arrive)
{
	opt_in(_metadata, &self->link);
	arrives(_metadata, &self->link, 0, 0);
	arrives(_metadata, &self->link, MSG_CMSG_CLOEXEC, FD_CLOEXEC);
}

/* Neither is there for the other. */
TEST_F(any, with_and_without_credentials)
{
	struct link *link = &self->link;
	struct ucred *cred;
	int end, fds[MAX_FD];
	struct got got;

	opt_in(_metadata, link);
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(3, recv_got(link->fd[1], &got, 256, 0));
	EXPECT_EQ(0U, got.msg.msg_controllen);

	set_int_opt(_metadata, link->fd[1], SO_PASSCRED, 1);
	EXPECT_EQ(0, send_pipe(_metadata, link, "def", &end));
	EXPECT_EQ(3, recv_got(link->fd[1], &got, 256, 0));
	cred = find_cmsg(&got, SCM_CREDENTIALS, sizeof(*cred));
	ASSERT_NE(NULL, cred);
	EXPECT_EQ(getpid(), cred->pid);
	ASSERT_EQ(1, got_fds(&got, fds));
	close(fds[0]);
	expect_closed(_metadata, end);
}

/* Which */

static int uring_fd(void)
{
	struct io_uring_params params = {};

	return syscall(__NR_io_uring_setup, 1, &params);
}

TEST_F(any, sockets_and_io_uring_einval)
{
	struct link *link = &self->link;
	int bad[] = {
		socket(AF_UNIX, SOCK_STREAM, 0),
		socket(AF_UNIX, SOCK_DGRAM, 0),
		socket(AF_UNIX, SOCK_SEQPACKET, 0),
		socket(AF_MYPROTO, SOCK_STREAM, 0),
		socket(AF_MYPROTO, SOCK_SEQPACKET, 0),
		socket(AF_MYPROTO, SOCK_DGRAM, 0),
		link->fd[0],
		link->fd[1],
		uring_fd(),
	};
	int fds[2], good[2];
	size_t i;

	opt_in(_metadata, link);
	ASSERT_EQ(0, pipe(good));
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		/* A kernel without io_uring */
		if (bad[i] < 0)
			continue;
		fds[0] = good[1];
		fds[1] = bad[i];
		EXPECT_EQ(EINVAL, err_of(send_fds(link, "x", &bad[i], 1)))
			TH_LOG("file %zu", i);
		EXPECT_EQ(EINVAL, err_of(send_fds(link, "x", fds, 2)));
	}
	close(good[1]);
	expect_closed(_metadata, good[0]);
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

TEST_F(any, other_files)
{
	struct link *link = &self->link;
	int unix_fd = socket(AF_UNIX, SOCK_STREAM, 0), end[2];
	char path[64];
	size_t i;

	ASSERT_EQ(0, pipe(end));
	/* It refers to the inode of a socket, not to the socket. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", unix_fd);
	int good[] = {
		socket(AF_INET, SOCK_STREAM, 0),
		socket(AF_NETLINK, SOCK_RAW, 0),
		memfd_create("rights", 0),
		eventfd(0, 0),
		epoll_create1(0),
		open("/proc/self/ns/net", O_RDONLY),
		open("/", O_PATH),
		open(path, O_PATH),
		end[0],
	};

	opt_in(_metadata, link);
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		EXPECT_EQ(1, send_fds(link, "x", &good[i], 1))
			TH_LOG("file %zu: %s", i, strerror(errno));
		close(expect_fds(_metadata, link->fd[1], "x", 1, 0));
	}
}

TEST_F(any, no_file_ebadf)
{
	int fds[] = { 0, 1023 };

	opt_in(_metadata, &self->link);
	close(fds[1]);
	EXPECT_EQ(EBADF, err_of(send_fds(&self->link, "x", fds, 2)));
	fds[1] = -1;
	EXPECT_EQ(EBADF, err_of(send_fds(&self->link, "x", fds, 2)));
	EXPECT_EQ(EAGAIN, try_recv(self->link.fd[1]));
}

/* How many */

TEST_F(any, as_many_as_unix)
{
	struct link *link = &self->link;
	int fds[MAX_FD + 1], i, pipe_fd[2], before;
	struct got got;

	ASSERT_EQ(0, pipe(pipe_fd));
	for (i = 0; i <= MAX_FD; i++)
		fds[i] = pipe_fd[1];
	opt_in(_metadata, link);
	EXPECT_EQ(EINVAL, err_of(send_fds(link, "x", fds, MAX_FD + 1)));
	EXPECT_EQ(1, send_fds(link, "y", fds, MAX_FD));
	close(pipe_fd[1]);

	before = open_files();
	EXPECT_EQ(1, recv_got(link->fd[1], &got, sizeof(got.control), 0));
	ASSERT_EQ(MAX_FD, got_fds(&got, fds));
	EXPECT_EQ(before + MAX_FD, open_files());
	for (i = 0; i < MAX_FD; i++)
		close(fds[i]);
	expect_closed(_metadata, pipe_fd[0]);
}

/* How many sends of one descriptor go before there are too many in flight */
static int flood(struct link *link)
{
	const int fd = STDERR_FILENO;
	int count = 0;

	while (send_fds(link, "x", &fd, 1) == 1)
		count++;
	return errno == ETOOMANYREFS ? count : -1;
}

/* For the user, whatever socket they are in: AF_UNIX's count too. */
TEST_F(any, too_many_in_flight)
{
	struct link *link = &self->link, other = { .type = SOCK_DGRAM };
	struct rlimit limit = { 20, 20 };
	const int fd = STDERR_FILENO;
	struct got got;
	pid_t pid;
	int i;

	opt_in(_metadata, link);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, other.fd));
	pid = my_fork(_metadata);
	if (!pid) {
		/* Before the rights to have more are gone */
		if (setrlimit(RLIMIT_NOFILE, &limit) ||
		    setresuid(OTHER_ID, OTHER_ID, OTHER_ID))
			_exit(1);
		for (i = 0; i < 5; i++)
			if (send_fds(&other, "x", &fd, 1) != 1)
				_exit(2);
		/* As with AF_UNIX, one more than the limit */
		if (flood(link) != 21 - 5)
			_exit(3);
		/* One goes, and one has its place. */
		if (recv_got(link->fd[1], &got, 0, 0) != 1 || flood(link) != 1)
			_exit(4);
		if (recv_got(other.fd[1], &got, 0, 0) != 1 || flood(link) != 1)
			_exit(5);
		/* Peeking changes nothing. */
		if (recv_got(link->fd[1], &got, 256, MSG_PEEK) != 1 ||
		    flood(link) != 0)
			_exit(6);
		/* Without descriptors it goes. */
		if (link_send(link, 0, "x", 1, MSG_DONTWAIT) != 1)
			_exit(7);
		_exit(0);
	}
	EXPECT_EQ(0, my_wait(pid));
}

/* What becomes of those that are not received */

TEST_F(any, closed_with_the_receiver)
{
	int end, i;

	opt_in(_metadata, &self->link);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, send_pipe(_metadata, &self->link, "abc", &end));
	EXPECT_TRUE(is_open(end));
	link_close(&self->link, 0);
	EXPECT_TRUE(is_open(end));
	link_close(&self->link, 1);
	expect_closed(_metadata, end);
}

TEST_F(any, no_control_buffer_ctrunc)
{
	struct link *link = &self->link;
	struct got got;
	char buf[8];
	int end;

	opt_in(_metadata, link);
	ASSERT_EQ(0, send_pipe(_metadata, link, "abc", &end));
	EXPECT_EQ(3, recv(link->fd[1], buf, sizeof(buf), 0));
	expect_closed(_metadata, end);

	ASSERT_EQ(0, send_pipe(_metadata, link, "abc", &end));
	EXPECT_EQ(3, recv_got(link->fd[1], &got, 0, 0));
	EXPECT_EQ(MSG_CTRUNC, got.msg.msg_flags & MSG_CTRUNC);
	expect_closed(_metadata, end);
}

TEST_F(any, short_control_buffer_ctrunc)
{
	struct link *link = &self->link;
	int pipe_fd[2][2], fds[MAX_FD], i;
	struct got got;

	opt_in(_metadata, link);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, pipe(pipe_fd[i]));
		fds[i] = pipe_fd[i][1];
	}
	EXPECT_EQ(3, send_fds(link, "abc", fds, 2));
	for (i = 0; i < 2; i++)
		close(pipe_fd[i][1]);

	EXPECT_EQ(3, recv_got(link->fd[1], &got, CMSG_LEN(sizeof(int)), 0));
	EXPECT_EQ(MSG_CTRUNC, got.msg.msg_flags & MSG_CTRUNC);
	EXPECT_EQ(1, got_fds(&got, fds));
	EXPECT_TRUE(is_open(pipe_fd[0][0]));
	expect_closed(_metadata, pipe_fd[1][0]);
}

TEST_F(any, peek_duplicates)
{
	struct link *link = &self->link;
	int end, fd[3], i;

	opt_in(_metadata, link);
	ASSERT_EQ(0, send_pipe(_metadata, link, "abc", &end));
	for (i = 0; i < 2; i++)
		fd[i] = expect_fds(_metadata, link->fd[1], "abc", 1, MSG_PEEK);
	fd[2] = expect_fds(_metadata, link->fd[1], "abc", 1, 0);
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	for (i = 0; i < 3; i++) {
		EXPECT_TRUE(is_open(end));
		close(fd[i]);
	}
	expect_closed(_metadata, end);
}

/* A message that cannot be copied is lost, and what is in a stream is not. */
TEST_F(any, fault)
{
	struct link *link = &self->link;
	int end;

	opt_in(_metadata, link);
	ASSERT_EQ(0, send_pipe(_metadata, link, "abc", &end));
	EXPECT_EQ(EFAULT, err_of(recv(link->fd[1], (void *)8, 8, 0)));
	if (variant->type == SOCK_STREAM)
		close(expect_fds(_metadata, link->fd[1], "abc", 1, 0));
	expect_closed(_metadata, end);
}

TEST_F(any, shutdown_then_read)
{
	struct link *link = &self->link;
	int end;

	opt_in(_metadata, link);
	ASSERT_EQ(0, send_pipe(_metadata, link, "abc", &end));
	ASSERT_EQ(0, shutdown(link->fd[1], SHUT_RDWR));
	close(expect_fds(_metadata, link->fd[1], "abc", 1, 0));
	expect_closed(_metadata, end);
	EXPECT_EQ(EPIPE, send_pipe(_metadata, link, "abc", &end));
	expect_closed(_metadata, end);
}

/* Sends that have to wait */

TEST_F(any, full_eagain)
{
	struct link *link = &self->link;
	int end[2];

	opt_in(_metadata, link);
	link_fill(_metadata, link, 0, 4096);
	EXPECT_EQ(EAGAIN, send_pipe(_metadata, link, "abc", &end[0]));
	expect_closed(_metadata, end[0]);
	EXPECT_EQ(0, queued_fds(_metadata, link->fd[1]));
	link_drain(_metadata, link, 1);
	EXPECT_EQ(0, send_pipe(_metadata, link, "def", &end[1]));
	close(expect_fds(_metadata, link->fd[1], "def", 1, 0));
	expect_closed(_metadata, end[1]);
}

/* A child that sends a descriptor and waits for room. Returns the other end of
 * the pipe.
 */
static int send_in_child(struct __test_metadata *_metadata, struct link *link,
			 pid_t *pid)
{
	struct iovec iov = { .iov_base = "abc", .iov_len = 3 };
	union control control = {};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(sizeof(int)),
	};
	int fd[2];

	ASSERT_EQ(0, pipe(fd));
	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.align), &fd[1], sizeof(int));
	*pid = my_fork(_metadata);
	if (!*pid) {
		link_address(link, 0, &msg);
		_exit(err_of(sendmsg(link->fd[0], &msg, 0)));
	}
	close(fd[1]);
	EXPECT_TRUE(wait_asleep(*pid));
	return fd[0];
}

TEST_F(any, killed_while_it_waits)
{
	struct link *link = &self->link;
	pid_t pid;
	int end;

	opt_in(_metadata, link);
	link_fill(_metadata, link, 0, 4096);
	end = send_in_child(_metadata, link, &pid);
	EXPECT_TRUE(is_open(end));
	my_kill(pid);
	expect_closed(_metadata, end);
}

TEST_F(any, comes_after_a_wait)
{
	struct link *link = &self->link;
	char buf[4096];
	pid_t pid;
	int end;

	opt_in(_metadata, link);
	link_fill(_metadata, link, 0, 4096);
	end = send_in_child(_metadata, link, &pid);
	while (recv(link->fd[1], buf, sizeof(buf), MSG_DONTWAIT) > 3)
		;
	EXPECT_EQ(0, my_wait(pid));
	/* It may have been among what was read. */
	link_drain(_metadata, link, 1);
	expect_closed(_metadata, end);
}

/* It counts what the receiver wants when there is room. */
TEST_F(any, off_while_it_waits_eperm)
{
	struct link *link = &self->link;
	pid_t pid;
	int end;

	opt_in(_metadata, link);
	link_fill(_metadata, link, 0, 4096);
	end = send_in_child(_metadata, link, &pid);
	set_int_opt(_metadata, link->fd[1], SO_PASSRIGHTS, 0);
	link_drain(_metadata, link, 1);
	EXPECT_EQ(EPERM, my_wait(pid));
	expect_closed(_metadata, end);
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

/* What is told of them */

/* The receiver pays for the list of them, too. */
TEST_F(any, are_charged)
{
	struct link *link = &self->link;
	int fds[] = { 0, 1, 2 };
	__u32 before;

	opt_in(_metadata, link);
	link_expect_send(_metadata, link, 0, "abc");
	before = mem_charged(_metadata, link->fd[1]);
	expect_recv(_metadata, link->fd[1], "abc");
	EXPECT_EQ(3, send_fds(link, "abc", fds, 3));
	EXPECT_LT(before + 253 * sizeof(void *),
		  mem_charged(_metadata, link->fd[1]));
	link_drain(_metadata, link, 1);
	EXPECT_EQ(0, mem_charged(_metadata, link->fd[1]));
}

TEST_F(any, fdinfo)
{
	struct link *link = &self->link;
	struct got got;
	int fds[] = { 0, 1, 2 };

	opt_in(_metadata, link);
	EXPECT_EQ(0, queued_fds(_metadata, link->fd[1]));
	EXPECT_EQ(3, send_fds(link, "abc", fds, 3));
	EXPECT_EQ(3, send_fds(link, "def", fds, 1));
	EXPECT_EQ(4, queued_fds(_metadata, link->fd[1]));
	EXPECT_EQ(0, queued_fds(_metadata, link->fd[0]));
	EXPECT_EQ(3, recv_got(link->fd[1], &got, 0, MSG_PEEK));
	EXPECT_EQ(4, queued_fds(_metadata, link->fd[1]));
	EXPECT_EQ(3, recv_got(link->fd[1], &got, 0, 0));
	EXPECT_EQ(1, queued_fds(_metadata, link->fd[1]));
	EXPECT_EQ(3, recv_got(link->fd[1], &got, 0, 0));
	EXPECT_EQ(0, queued_fds(_metadata, link->fd[1]));
}

/* Connections that have not been accepted */

static void before_accept(struct __test_metadata *_metadata, int type, int on)
{
	struct link link = { .type = type, .fd = { -1, -1 } };
	__u32 channel;
	int end, listener;

	listener = type_bound(_metadata, type, &channel);
	set_int_opt(_metadata, listener, SO_PASSRIGHTS, on);
	ASSERT_EQ(0, listen(listener, 5));
	link.fd[0] = type_socket(_metadata, type);
	ASSERT_EQ(0, my_connect(link.fd[0], channel));
	EXPECT_EQ(on ? 0 : EPERM, send_pipe(_metadata, &link, "abc", &end));
	EXPECT_EQ(on, queued_fds(_metadata, listener));
	if (on) {
		link.fd[1] = accept(listener, NULL, NULL);
		ASSERT_LE(0, link.fd[1]);
		EXPECT_EQ(0, queued_fds(_metadata, listener));
		EXPECT_EQ(1, get_int_opt(_metadata, link.fd[1],
					 SO_PASSRIGHTS));
		close(expect_fds(_metadata, link.fd[1], "abc", 1, 0));
	}
	expect_closed(_metadata, end);
	close(listener);
	link_destroy(&link);
}

static void never_accepted(struct __test_metadata *_metadata, int type)
{
	struct link link = { .type = type, .fd = { -1, -1 } };
	__u32 channel;
	int end, listener;

	listener = type_bound(_metadata, type, &channel);
	set_int_opt(_metadata, listener, SO_PASSRIGHTS, 1);
	ASSERT_EQ(0, listen(listener, 5));
	link.fd[0] = type_socket(_metadata, type);
	ASSERT_EQ(0, my_connect(link.fd[0], channel));
	EXPECT_EQ(0, send_pipe(_metadata, &link, "abc", &end));
	EXPECT_TRUE(is_open(end));
	close(listener);
	expect_closed(_metadata, end);
	link_destroy(&link);
}

TEST(not_accepted)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET };
	int i;

	for (i = 0; i < 2; i++) {
		before_accept(_metadata, types[i], 0);
		before_accept(_metadata, types[i], 1);
		never_accepted(_metadata, types[i]);
	}
}

/* Messages */

static const int message_types[] = { SOCK_SEQPACKET, SOCK_DGRAM };

TEST(empty_message)
{
	struct link link;
	int end, i;

	for (i = 0; i < 2; i++) {
		link_make(_metadata, &link, message_types[i], BY_PAIR);
		opt_in(_metadata, &link);
		EXPECT_EQ(0, send_pipe(_metadata, &link, "", &end));
		close(expect_fds(_metadata, link.fd[1], "", 1, 0));
		expect_closed(_metadata, end);
		link_destroy(&link);
	}
}

TEST(filtered_message)
{
	struct sock_filter code = { .code = BPF_RET | BPF_K };
	struct sock_fprog prog = { .len = 1, .filter = &code };
	struct link link;
	int end, i;

	for (i = 0; i < 2; i++) {
		link_make(_metadata, &link, message_types[i], BY_PAIR);
		opt_in(_metadata, &link);
		ASSERT_EQ(0, setsockopt(link.fd[1], SOL_SOCKET,
					SO_ATTACH_FILTER, &prog, sizeof(prog)));
		EXPECT_EQ(0, send_pipe(_metadata, &link, "abc", &end));
		expect_closed(_metadata, end);
		EXPECT_EQ(0, queued_fds(_metadata, link.fd[1]));
		link_destroy(&link);
	}
}

/* A stream */

FIXTURE(stream)
{
	struct link link;
	int end;
};

FIXTURE_SETUP(stream)
{
	link_make(_metadata, &self->link, SOCK_STREAM, BY_PAIR);
	opt_in(_metadata, &self->link);
	self->end = -1;
}

FIXTURE_TEARDOWN(stream)
{
	link_destroy(&self->link);
	close(self->end);
}

TEST_F(stream, nothing_goes_without_a_byte)
{
	EXPECT_EQ(EINVAL, send_pipe(_metadata, &self->link, "", &self->end));
	EXPECT_EQ(POLLHUP, poll_for(self->end, POLLIN, WAIT_MS));
	EXPECT_EQ(EAGAIN, try_recv(self->link.fd[1]));
}

/* Each read has the descriptors of its first byte, and bytes of that send. */
static void reads_are_cut(struct __test_metadata *_metadata, struct link *link,
			  int flags)
{
	int end[2];

	link_expect_send(_metadata, link, 0, "ab");
	ASSERT_EQ(0, send_pipe(_metadata, link, "cd", &end[0]));
	ASSERT_EQ(0, send_pipe(_metadata, link, "ef", &end[1]));
	link_expect_send(_metadata, link, 0, "gh");
	expect_fds(_metadata, link->fd[1], "ab", 0, flags | MSG_PEEK);
	expect_fds(_metadata, link->fd[1], "ab", 0, flags);
	close(expect_fds(_metadata, link->fd[1], "cd", 1, flags | MSG_PEEK));
	EXPECT_TRUE(is_open(end[0]));
	close(expect_fds(_metadata, link->fd[1], "cd", 1, flags));
	expect_closed(_metadata, end[0]);
	close(expect_fds(_metadata, link->fd[1], "ef", 1, flags));
	expect_closed(_metadata, end[1]);
	expect_fds(_metadata, link->fd[1], "gh", 0, 0);
}

TEST_F(stream, reads_are_cut)
{
	reads_are_cut(_metadata, &self->link, 0);
	reads_are_cut(_metadata, &self->link, MSG_WAITALL);
	/* Also where the bytes are in an skb rather than in the socket */
	set_int_opt(_metadata, self->link.fd[1], SO_TIMESTAMP, 1);
	reads_are_cut(_metadata, &self->link, 0);
}

TEST_F(stream, peek_off_behind_the_first_byte)
{
	ASSERT_EQ(0, send_pipe(_metadata, &self->link, "abc", &self->end));
	set_int_opt(_metadata, self->link.fd[1], SO_PEEK_OFF, 1);
	expect_fds(_metadata, self->link.fd[1], "bc", 0, MSG_PEEK);
	close(expect_fds(_metadata, self->link.fd[1], "abc", 1, 0));
}

/* recvmsg() of at most @len bytes, and whether a descriptor came, now closed */
static ssize_t receive(int fd, void *buf, size_t len, bool *came)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	int fds[MAX_FD];
	struct got got;
	ssize_t n;

	got.msg = (struct msghdr) {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = got.control.buf,
		.msg_controllen = sizeof(got.control),
	};
	n = recvmsg(fd, &got.msg, MSG_DONTWAIT);
	*came = n >= 0 && got_fds(&got, fds);
	if (*came)
		close(fds[0]);
	return n;
}

TEST_F(stream, come_with_the_first_byte)
{
	bool came;
	char c;

	ASSERT_EQ(0, send_pipe(_metadata, &self->link, "abc", &self->end));
	link_expect_send(_metadata, &self->link, 0, "def");
	/* Nothing was asked for, and so nothing comes. */
	EXPECT_EQ(0, receive(self->link.fd[1], &c, 0, &came));
	EXPECT_FALSE(came);
	EXPECT_EQ(1, receive(self->link.fd[1], &c, 1, &came));
	EXPECT_TRUE(came);
	EXPECT_EQ(POLLHUP, poll_for(self->end, POLLIN, WAIT_MS));
	expect_fds(_metadata, self->link.fd[1], "bcdef", 0, 0);
}

/* Of a write that goes in pieces, once */
TEST_F(stream, large_write)
{
	ssize_t sent, n, total = 0;
	static char buf[1 << 20];
	int fd = STDERR_FILENO;
	bool came;

	memset(buf, 'x', sizeof(buf) - 1);
	sent = send_fds(&self->link, buf, &fd, 1);
	EXPECT_LT(1 << 16, sent);
	EXPECT_LT(sent, (ssize_t)sizeof(buf) - 1);
	do {
		n = receive(self->link.fd[1], buf, 1 << 14, &came);
		EXPECT_EQ(!total, came);
		total += n;
	} while (n > 0);
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(sent, total + 1);
}

TEST_F(stream, splice_closes_them)
{
	int fd[2];

	ASSERT_EQ(0, pipe(fd));
	ASSERT_EQ(0, send_pipe(_metadata, &self->link, "abc", &self->end));
	EXPECT_EQ(3, splice(self->link.fd[1], NULL, fd[1], NULL, 64, 0));
	EXPECT_EQ(POLLHUP, poll_for(self->end, POLLIN, WAIT_MS));
	EXPECT_EQ(0, queued_fds(_metadata, self->link.fd[1]));
}

/* Many */

#define ROUNDS	2500	/* for each of the four links */

TEST_F(any, none_is_left_open)
{
	const size_t room = sizeof(union control);
	struct link *link = &self->link;
	int fd[2], fds[4], files, i, n;

	ASSERT_EQ(0, pipe(fd));
	for (i = 0; i < 4; i++)
		fds[i] = fd[1];
	files = open_files();
	for (i = 0; i < ROUNDS; i++) {
		n = 1 + i % 4;
		if (!(i % 50)) {
			/* With descriptors in it */
			link_destroy(link);
			link_make(_metadata, link, variant->type,
				  variant->made);
			opt_in(_metadata, link);
		}
		ASSERT_EQ(3, send_fds(link, "abc", fds, n));
		if (!(i % 5))
			ASSERT_EQ(n, receive_and_close(_metadata, link->fd[1],
						       room, MSG_PEEK));
		ASSERT_EQ(i % 3 ? n : 0,
			  receive_and_close(_metadata, link->fd[1],
					    i % 3 ? room : 0, 0));
		ASSERT_EQ(3, send_fds(link, "abc", fds, n));
		if (i % 50 != 49)
			ASSERT_EQ(3, recv(link->fd[1], &n, 3, 0));
	}
	EXPECT_EQ(files, open_files());
	close(fd[1]);
	link_destroy(link);
	expect_closed(_metadata, fd[0]);
}

static bool peeker_stop;

static void *peeker(void *arg)
{
	int fds[MAX_FD], n;
	struct got got;

	while (!__atomic_load_n(&peeker_stop, __ATOMIC_RELAXED)) {
		if (recv_got(*(int *)arg, &got, 256, MSG_PEEK) < 0)
			continue;
		n = got_fds(&got, fds);
		while (n)
			close(fds[--n]);
	}
	return NULL;
}

/* Each message is read once with its descriptor, whoever looks at it. */
TEST_F(any, peeked_while_it_is_read)
{
	struct link *link = &self->link;
	pthread_t thread;
	int fd[2], i;

	opt_in(_metadata, link);
	ASSERT_EQ(0, pipe(fd));
	ASSERT_EQ(0, pthread_create(&thread, NULL, peeker, &link->fd[1]));
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(3, send_fds(link, "abc", &fd[1], 1));
		ASSERT_EQ(1, receive_and_close(_metadata, link->fd[1], 256, 0));
	}
	__atomic_store_n(&peeker_stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, queued_fds(_metadata, link->fd[1]));
	close(fd[1]);
	expect_closed(_metadata, fd[0]);
}

/* What it is good for */

/* A child that calls @serve with the descriptor that it is sent */
static pid_t start_server(struct __test_metadata *_metadata, struct link *link,
			  int (*serve)(int fd))
{
	pid_t pid = my_fork(_metadata);
	struct pollfd pfd = { .fd = link->fd[1], .events = POLLIN };
	int fds[MAX_FD] = { -1 };
	struct got got;

	if (pid)
		return pid;
	poll(&pfd, 1, WAIT_MS);
	if (recv_got(link->fd[1], &got, 256, 0) < 0 || got_fds(&got, fds) != 1)
		_exit(2);
	_exit(serve(fds[0]));
}

/* Answer in the memory */
static int serve_memory(int fd)
{
	char *mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (mem == MAP_FAILED || strcmp(mem, "question"))
		return 3;
	strcpy(mem, "answer");
	return 0;
}

TEST_F(any, shared_memory)
{
	int fd = memfd_create("rights", 0);
	char buf[16] = "";
	pid_t pid;

	opt_in(_metadata, &self->link);
	pid = start_server(_metadata, &self->link, serve_memory);
	ASSERT_EQ(0, ftruncate(fd, 4096));
	ASSERT_EQ(8, pwrite(fd, "question", 8, 0));
	ASSERT_EQ(1, send_fds(&self->link, "x", &fd, 1));
	EXPECT_EQ(0, my_wait(pid));
	EXPECT_EQ(sizeof(buf), pread(fd, buf, sizeof(buf), 0));
	EXPECT_STREQ("answer", buf);
}

static int serve_tcp(int fd)
{
	int conn = accept(fd, NULL, NULL);

	return conn < 0 || write(conn, "served", 7) != 7;
}

static void loopback_up(struct __test_metadata *_metadata)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	ASSERT_EQ(0, ioctl(fd, SIOCSIFFLAGS, &ifr));
	close(fd);
}

/* As a server does that restarts: it hands the listening socket on. */
TEST_F(any, tcp_listener)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0), client;
	socklen_t len = sizeof(addr);
	char buf[8] = "";
	pid_t pid;

	loopback_up(_metadata);
	opt_in(_metadata, &self->link);
	pid = start_server(_metadata, &self->link, serve_tcp);
	ASSERT_EQ(0, bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	ASSERT_EQ(0, listen(fd, 1));
	ASSERT_EQ(0, getsockname(fd, (struct sockaddr *)&addr, &len));
	ASSERT_EQ(1, send_fds(&self->link, "x", &fd, 1));
	close(fd);

	client = socket(AF_INET, SOCK_STREAM, 0);
	ASSERT_EQ(0, connect(client, (struct sockaddr *)&addr, len));
	EXPECT_EQ(7, recv(client, buf, sizeof(buf), MSG_WAITALL));
	EXPECT_STREQ("served", buf);
	EXPECT_EQ(0, my_wait(pid));
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
