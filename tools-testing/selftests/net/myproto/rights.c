// SPDX-License-Identifier: GPL-2.0
/*
 * Descriptors that are passed over AF_MYPROTO: which are, to whom, what becomes
 * of those that nobody receives, and that none is ever left open. Most are the
 * write end of a pipe: the read end has POLLHUP once the last one is closed.
 */
#include <sys/resource.h>

#include <linux/io_uring.h>

#include "any.h"
#include "cmsg.h"
#include "type.h"

#define MAX_FD		253	/* SCM_MAX_FD of the kernel */
#define OTHER_ID	12345	/* a user that is nobody's but the tests' */

static ssize_t send_fds(struct link *link, const char *text, const int *fds,
			int n)
{
	return send_cmsg(link, text, SOL_SOCKET, SCM_RIGHTS, fds,
			 n * sizeof(*fds));
}

static ssize_t send_and_wait(struct link *link, int fd)
{
	return send_cmsg_flags(link, "abc", SOL_SOCKET, SCM_RIGHTS, &fd,
			       sizeof(fd), 0);
}

static void expect_closed(struct __test_metadata *_metadata, int end)
{
	EXPECT_EQ(POLLHUP, poll_for(end, POLLIN, WAIT_MS));
	close(end);
}

/* Send the write end of a pipe, which is open there alone then, or closed if
 * that fails with @err. Returns the read end.
 */
static int send_pipe(struct __test_metadata *_metadata, struct link *link,
		     const char *text, int err)
{
	int fd[2];

	ASSERT_EQ(0, pipe(fd));
	EXPECT_EQ(err, err_of(send_fds(link, text, &fd[1], 1)));
	close(fd[1]);
	if (err)
		expect_closed(_metadata, fd[0]);
	return fd[0];
}

/* Close the descriptors in what was received; returns how many there were */
static int close_fds(struct got *got)
{
	int n = 0, *fds;

	while ((fds = find_cmsg(got, SCM_RIGHTS, (n + 1) * sizeof(*fds))))
		close(fds[n++]);
	return n;
}

/* Receive @text with @n descriptors, which are closed then */
static void expect_fds(struct __test_metadata *_metadata, struct link *link,
		       const char *text, int n, int flags)
{
	struct got got;

	expect_cmsg(_metadata, link->fd[1], text, flags, &got, 0, 0);
	EXPECT_EQ(n, close_fds(&got));
}

/* Receive @text with the write end of a pipe, which was open there alone */
static void expect_pipe(struct __test_metadata *_metadata, struct link *link,
			const char *text, int flags, int end)
{
	EXPECT_EQ(0, poll_for(end, POLLIN, 0));
	expect_fds(_metadata, link, text, 1, flags);
	expect_closed(_metadata, end);
}

static long queued_fds(int fd)
{
	return fdinfo_number(fd, "scm_fds:");
}

TEST_F(any, receiver_opts_in)
{
	struct link *link = &self->link;
	int to = link->fd[1], end[2], i;
	pid_t pid;

	EXPECT_EQ(0, get_int_opt(_metadata, to, SO_PASSRIGHTS));
	/* The sender's own option has no part in it. */
	set_int_opt(_metadata, link->fd[0], SO_PASSRIGHTS, 1);
	send_pipe(_metadata, link, "abc", EPERM);
	EXPECT_EQ(EAGAIN, try_recv(to));

	set_int_opt(_metadata, to, SO_PASSRIGHTS, 1);
	end[0] = send_pipe(_metadata, link, "abc", 0);
	set_int_opt(_metadata, to, SO_PASSRIGHTS, 0);
	/* What has come stays. Nobody waits for room in vain. */
	link_fill(_metadata, link, 0, 4096);
	send_pipe(_metadata, link, "def", EPERM);
	expect_pipe(_metadata, link, "abc", 0, end[0]);

	/* It counts what the receiver wants when there is room. */
	for (i = 0; i < 2; i++) {
		set_int_opt(_metadata, to, SO_PASSRIGHTS, 1);
		link_fill(_metadata, link, 0, 4096);
		send_pipe(_metadata, link, "abc", EAGAIN);
		ASSERT_EQ(0, pipe(end));
		pid = sleeping_child(err_of(send_and_wait(link, end[1])));
		close(end[1]);
		EXPECT_EQ(0, queued_fds(to));
		set_int_opt(_metadata, to, SO_PASSRIGHTS, i);
		set_int_opt(_metadata, to, SO_RCVBUFFORCE,
			    2 * get_int_opt(_metadata, to, SO_RCVBUF));
		EXPECT_EQ(i ? 0 : EPERM, my_wait(pid));
		EXPECT_EQ(i, queued_fds(to));
		EXPECT_EQ(i ? 0 : POLLHUP, poll_for(end[0], POLLIN, 0));
		link_drain(_metadata, link, 1);
		expect_closed(_metadata, end[0]);
	}
}

/* Peeking duplicates them. fdinfo counts those that are queued, and the
 * receiver pays for the list of them.
 */
TEST_F(any, peeked_and_counted)
{
	static const int flags[] = { MSG_PEEK, MSG_PEEK | MSG_CMSG_CLOEXEC, 0 };
	struct link *link = &self->link;
	int to = link->fd[1], end, i, *fd;
	struct ucred *cred;
	struct got got[3];
	__u32 before;

	set_int_opt(_metadata, to, SO_PASSRIGHTS, 1);
	link_expect_send(_metadata, link, 0, "abc");
	before = mem_charged(_metadata, to);
	expect_bare(_metadata, to, "abc");
	EXPECT_EQ(0, queued_fds(to));

	end = send_pipe(_metadata, link, "abc", 0);
	/* The list is more than half of what kmalloc() makes of it. */
	EXPECT_LT(before + 2 * MAX_FD * sizeof(void *),
		  mem_charged(_metadata, to));
	set_int_opt(_metadata, to, SO_PASSCRED, 1);
	EXPECT_EQ(3, send_fds(link, "def", (int []) { 0, 1, 2 }, 3));
	EXPECT_EQ(0, queued_fds(link->fd[0]));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(4, queued_fds(to));
		fd = expect_cmsg(_metadata, to, "abc", flags[i], &got[i],
				 SCM_RIGHTS, sizeof(*fd));
		ASSERT_NE(NULL, fd);
		EXPECT_EQ(i == 1 ? FD_CLOEXEC : 0, fcntl(*fd, F_GETFD));
	}
	EXPECT_EQ(3, queued_fds(to));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, poll_for(end, POLLIN, 0));
		EXPECT_EQ(1, close_fds(&got[i]));
	}
	expect_closed(_metadata, end);

	cred = expect_cmsg(_metadata, to, "def", 0, &got[0], SCM_CREDENTIALS,
			   sizeof(*cred));
	EXPECT_TRUE(cred && cred->pid == getpid());
	EXPECT_EQ(3, close_fds(&got[0]));
	expect_nothing(_metadata, to);
	EXPECT_EQ(0, queued_fds(to));
}

/* Of several files, the last one is looked at, too. */
TEST_F(any, which)
{
	struct io_uring_params params = {};
	int uring = syscall(__NR_io_uring_setup, 1, &params);
	int unix_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct link *link = &self->link;
	int end[2], i;
	char path[64];

	/* It refers to the inode of a socket, not to the socket. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", unix_fd);
	ASSERT_EQ(0, pipe(end));
	const struct {
		int fd, err;
	} files[] = {
		{ unix_fd, EINVAL },
		{ type_socket(_metadata, variant->type), EINVAL },
		/* A kernel may have no io_uring. */
		{ uring, uring < 0 ? EBADF : EINVAL },
		{ socket(AF_INET, SOCK_STREAM, 0), 0 },
		{ open(path, O_PATH), 0 },
	};

	set_int_opt(_metadata, link->fd[1], SO_PASSRIGHTS, 1);
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		EXPECT_EQ(files[i].err, err_of(send_fds(link, "x", (int []) {
			end[1], files[i].fd,
		}, 2)))
			TH_LOG("file %d", i);
		if (!files[i].err)
			expect_fds(_metadata, link, "x", 2, 0);
		EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	}
	close(end[1]);
	expect_closed(_metadata, end[0]);
}

/* How many sends of one descriptor go before there are too many in flight */
static int flood(struct link *link)
{
	int count = 0;

	while (send_fds(link, "x", (int []) { 0 }, 1) == 1)
		count++;
	return errno == ETOOMANYREFS ? count : -1;
}

/* For the user, whatever socket they are in: AF_UNIX counts them, too. */
TEST_F(any, too_many_in_flight)
{
	struct link *link = &self->link, other = { .type = SOCK_DGRAM };
	struct rlimit limit = { 20, 20 };
	struct got got;
	int i;

	set_int_opt(_metadata, link->fd[1], SO_PASSRIGHTS, 1);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, other.fd));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	ASSERT_EQ(0, setresuid(OTHER_ID, OTHER_ID, OTHER_ID));
	for (i = 0; i < 5; i++)
		EXPECT_EQ(1, send_fds(&other, "x", (int []) { 0 }, 1));
	/* As with AF_UNIX, one more than the limit */
	EXPECT_EQ(21 - 5, flood(link));
	EXPECT_EQ(0, flood(&other));
	/* One goes, for lack of room, and one has its place. */
	EXPECT_EQ(1, recv_got(link->fd[1], &got, 0, 0));
	EXPECT_EQ(MSG_CTRUNC, got.msg.msg_flags & MSG_CTRUNC);
	EXPECT_EQ(1, flood(link));
	EXPECT_EQ(1, recv_got(other.fd[1], &got, 0, 0));
	EXPECT_EQ(1, flood(link));
	expect_fds(_metadata, link, "x", 1, MSG_PEEK);
	EXPECT_EQ(0, flood(link));
	/* Without descriptors it goes. */
	EXPECT_EQ(0, link_try_send(link, 0));
}

TEST_F(any, not_received_is_closed)
{
	bool stream = variant->type == SOCK_STREAM;
	struct link *link = &self->link;
	int to = link->fd[1], end[3], i;
	struct got got;

	set_int_opt(_metadata, to, SO_PASSRIGHTS, 1);
	end[0] = send_pipe(_metadata, link, "abc", 0);
	expect_recv(_metadata, to, "abc");
	expect_closed(_metadata, end[0]);

	/* Room for the first of two */
	ASSERT_EQ(0, pipe(end));
	EXPECT_EQ(3, send_fds(link, "abc", (int []) { 0, end[1] }, 2));
	close(end[1]);
	EXPECT_EQ(3, recv_got(to, &got, CMSG_LEN(sizeof(int)), 0));
	EXPECT_EQ(MSG_CTRUNC, got.msg.msg_flags & MSG_CTRUNC);
	expect_closed(_metadata, end[0]);
	EXPECT_EQ(1, close_fds(&got));

	/* A message that cannot be copied is lost, a stream loses nothing. */
	end[0] = send_pipe(_metadata, link, "abc", 0);
	EXPECT_EQ(EFAULT, err_of(recv(to, (void *)8, 8, 0)));
	if (stream)
		expect_fds(_metadata, link, "abc", 1, 0);
	expect_closed(_metadata, end[0]);

	/* In a stream they need a byte that they come with. */
	end[0] = send_pipe(_metadata, link, "", stream ? EINVAL : 0);
	if (!stream)
		expect_pipe(_metadata, link, "", 0, end[0]);
	EXPECT_EQ(EAGAIN, try_recv(to));

	/* What a filter drops */
	ASSERT_EQ(0, my_filter(to, 0));
	end[0] = send_pipe(_metadata, link, "abc", 0);
	if (stream)
		expect_fds(_metadata, link, "abc", 1, 0);
	expect_closed(_metadata, end[0]);
	set_int_opt(_metadata, to, SO_DETACH_FILTER, 0);

	/* shutdown() leaves what has come, close() closes it. */
	for (i = 0; i < 3; i++)
		end[i] = send_pipe(_metadata, link, "abc", 0);
	ASSERT_EQ(0, shutdown(to, SHUT_RDWR));
	expect_pipe(_metadata, link, "abc", 0, end[0]);
	send_pipe(_metadata, link, "abc", EPIPE);
	link_close(link, 0);
	for (i = 1; i < 3; i++)
		EXPECT_EQ(0, poll_for(end[i], POLLIN, 0));
	link_close(link, 1);
	for (i = 1; i < 3; i++)
		expect_closed(_metadata, end[i]);
}

TEST_F(type, not_accepted)
{
	struct link link = { .type = variant->type };
	__u32 channel;
	int listener = my_listener(_metadata, 5, &channel), end[2], i;

	link.fd[0] = my_client(_metadata, channel);
	send_pipe(_metadata, &link, "abc", EPERM);
	my_accept(_metadata, listener);
	/* From now on they have the option, too. */
	set_int_opt(_metadata, listener, SO_PASSRIGHTS, 1);
	for (i = 0; i < 2; i++) {
		link.fd[0] = my_client(_metadata, channel);
		end[i] = send_pipe(_metadata, &link, "abc", 0);
	}
	EXPECT_EQ(2, queued_fds(listener));
	link.fd[1] = my_accept(_metadata, listener);
	EXPECT_EQ(1, queued_fds(listener));
	expect_pipe(_metadata, &link, "abc", 0, end[0]);
	EXPECT_EQ(0, poll_for(end[1], POLLIN, 0));
	close(listener);
	expect_closed(_metadata, end[1]);
}

TEST(stream)
{
	ssize_t sent, n, total = 0;
	int end[2], fd[2], i, flags;
	static char buf[1 << 20];
	struct link link;
	struct got got;

	ASSERT_EQ(0, pipe(fd));
	link_make(_metadata, &link, SOCK_STREAM, BY_PAIR);
	set_int_opt(_metadata, link.fd[1], SO_PASSRIGHTS, 1);
	end[0] = send_pipe(_metadata, &link, "abc", 0);
	set_int_opt(_metadata, link.fd[1], SO_PEEK_OFF, 1);
	expect_fds(_metadata, &link, "bc", 0, MSG_PEEK);
	EXPECT_EQ(0, recv(link.fd[1], buf, 0, MSG_DONTWAIT));
	expect_pipe(_metadata, &link, "abc", 0, end[0]);
	set_int_opt(_metadata, link.fd[1], SO_PEEK_OFF, -1);

	/* One byte more than what is received at once */
	memset(buf, 'x', sizeof(got.data));
	end[0] = send_pipe(_metadata, &link, buf, 0);
	link_expect_send(_metadata, &link, 0, "abc");
	buf[sizeof(got.data) - 1] = 0;
	expect_pipe(_metadata, &link, buf, 0, end[0]);
	expect_fds(_metadata, &link, "xabc", 0, 0);

	/* A write that goes in pieces has them once. */
	memset(buf, 'x', sizeof(buf) - 1);
	sent = send_fds(&link, buf, &fd[0], 1);
	EXPECT_LT(1 << 16, sent);
	while ((n = recv_got(link.fd[1], &got, 256, 0)) > 0) {
		EXPECT_EQ(!total, close_fds(&got));
		total += n;
	}
	EXPECT_EQ(sent, total);

	/* splice() takes the bytes only. */
	end[0] = send_pipe(_metadata, &link, "abc", 0);
	EXPECT_EQ(3, splice(link.fd[1], NULL, fd[1], NULL, 64, 0));
	expect_closed(_metadata, end[0]);
	EXPECT_EQ(0, queued_fds(link.fd[1]));

	/* Each read has the descriptors of its first byte, and bytes of that
	 * send.
	 */
	for (i = 0; i < 3; i++) {
		flags = i == 1 ? MSG_WAITALL : 0;
		/* Also where the bytes are in an skb, not in the socket */
		if (i == 2)
			set_int_opt(_metadata, link.fd[1], SO_TIMESTAMP, 1);
		link_expect_send(_metadata, &link, 0, "ab");
		end[0] = send_pipe(_metadata, &link, "cd", 0);
		end[1] = send_pipe(_metadata, &link, "ef", 0);
		link_expect_send(_metadata, &link, 0, "gh");
		expect_fds(_metadata, &link, "ab", 0, flags | MSG_PEEK);
		expect_fds(_metadata, &link, "ab", 0, flags);
		expect_fds(_metadata, &link, "cd", 1, flags | MSG_PEEK);
		expect_pipe(_metadata, &link, "cd", flags, end[0]);
		expect_pipe(_metadata, &link, "ef", flags, end[1]);
		expect_fds(_metadata, &link, "gh", 0, 0);
	}
}

/* Each message is read once with its descriptor, whoever looks at it. */
TEST_F(any, peeked_while_it_is_read)
{
	struct link *link = &self->link;
	int end[2], i;
	struct got got;
	pid_t pid;

	set_int_opt(_metadata, link->fd[1], SO_PASSRIGHTS, 1);
	pid = my_fork(_metadata);
	while (!pid)
		if (recv_got(link->fd[1], &got, 256, MSG_PEEK) >= 0)
			close_fds(&got);
	ASSERT_EQ(0, pipe(end));
	for (i = 0; i < 2500; i++) {
		ASSERT_EQ(3, send_fds(link, "abc", &end[1], 1));
		expect_fds(_metadata, link, "abc", 1, 0);
	}
	my_kill(pid);
	EXPECT_EQ(0, queued_fds(link->fd[1]));
	close(end[1]);
	expect_closed(_metadata, end[0]);
}

TEST_HARNESS_MAIN
