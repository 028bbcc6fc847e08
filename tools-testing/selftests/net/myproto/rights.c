// SPDX-License-Identifier: GPL-2.0
/*
 * Descriptors that are passed over AF_MYPROTO: which are, to whom, what becomes
 * of those that nobody receives, and that none is ever left open. The write end
 * of a pipe tells: when the last descriptor of it is closed, the read end says
 * POLLHUP.
 */
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <linux/filter.h>
#include <linux/io_uring.h>

#include "any.h"
#include "cmsg.h"
#include "type.h"

#define MAX_FD		253	/* SCM_MAX_FD of the kernel */
#define OTHER_ID	12345	/* a user that is nobody's but the tests' */

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS	83
#endif

static void opt_in(struct __test_metadata *_metadata, struct link *link, int on)
{
	set_int_opt(_metadata, link->fd[1], SO_PASSRIGHTS, on);
}

static ssize_t send_fds(struct link *link, const char *text, const int *fds,
			int n)
{
	return send_cmsg(link, text, SOL_SOCKET, SCM_RIGHTS, fds,
			 n * sizeof(*fds));
}

/* Send the write end of a pipe, which is open there alone then. errno, and the
 * read end in @end
 */
static int send_pipe(struct __test_metadata *_metadata, struct link *link,
		     const char *text, int *end)
{
	int fd[2], err;

	ASSERT_EQ(0, pipe(fd));
	err = err_of(send_fds(link, text, &fd[1], 1));
	close(fd[1]);
	*end = fd[0];
	return err;
}

static bool is_open(int end)
{
	return !poll_for(end, POLLIN, 0);
}

static void expect_closed(struct __test_metadata *_metadata, int end)
{
	EXPECT_EQ(POLLHUP, poll_for(end, POLLIN, WAIT_MS));
	close(end);
}

/* Close the descriptors in what was received; tells how many there were */
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

	EXPECT_EQ(strlen(text), recv_got(link->fd[1], &got,
					 sizeof(got.control), flags));
	EXPECT_STREQ(text, got.data);
	EXPECT_EQ(n, close_fds(&got));
	EXPECT_EQ(0, got.msg.msg_flags & MSG_CTRUNC);
}

/* As fdinfo tells */
static int queued_fds(int fd)
{
	char text[512] = "", *line;
	int info, count = -1;

	snprintf(text, sizeof(text), "/proc/self/fdinfo/%d", fd);
	info = open(text, O_RDONLY);
	if (read(info, text, sizeof(text) - 1) > 0) {
		line = strstr(text, "scm_fds:");
		if (line)
			sscanf(line, "scm_fds: %d", &count);
	}
	close(info);
	return count;
}

TEST_F(any, receiver_opts_in)
{
	struct link *link = &self->link;
	int end[2];

	EXPECT_EQ(0, get_int_opt(_metadata, link->fd[1], SO_PASSRIGHTS));
	EXPECT_EQ(EPERM, send_pipe(_metadata, link, "abc", &end[0]));
	expect_closed(_metadata, end[0]);
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	/* The sender's own option has no part in it. */
	set_int_opt(_metadata, link->fd[0], SO_PASSRIGHTS, 1);
	EXPECT_EQ(EPERM, send_pipe(_metadata, link, "abc", &end[0]));

	opt_in(_metadata, link, 1);
	EXPECT_EQ(1, get_int_opt(_metadata, link->fd[1], SO_PASSRIGHTS));
	EXPECT_EQ(0, send_pipe(_metadata, link, "abc", &end[0]));
	opt_in(_metadata, link, 0);
	EXPECT_EQ(EPERM, send_pipe(_metadata, link, "def", &end[1]));
	/* What has come stays. */
	expect_fds(_metadata, link, "abc", 1, 0);
	expect_closed(_metadata, end[0]);
	/* Nobody waits for room in vain. */
	link_fill(_metadata, link, 0, 4096);
	EXPECT_EQ(EPERM, send_pipe(_metadata, link, "abc", &end[0]));
}

/* Peeking duplicates them. fdinfo counts those that are queued, and the
 * receiver pays for the list of them.
 */
TEST_F(any, peeked_and_counted)
{
	static const int flags[] = { MSG_PEEK, MSG_PEEK | MSG_CMSG_CLOEXEC, 0 };
	struct link *link = &self->link;
	int fds[] = { 0, 1, 2 }, end, i, *fd;
	struct ucred *cred;
	struct got got[3];
	__u32 before;

	opt_in(_metadata, link, 1);
	link_expect_send(_metadata, link, 0, "abc");
	before = mem_charged(_metadata, link->fd[1]);
	EXPECT_EQ(3, recv_got(link->fd[1], &got[0], 256, 0));
	EXPECT_EQ(0U, got[0].msg.msg_controllen);
	EXPECT_EQ(0, queued_fds(link->fd[1]));

	ASSERT_EQ(0, send_pipe(_metadata, link, "abc", &end));
	EXPECT_LT(before + MAX_FD * sizeof(void *),
		  mem_charged(_metadata, link->fd[1]));
	set_int_opt(_metadata, link->fd[1], SO_PASSCRED, 1);
	EXPECT_EQ(3, send_fds(link, "def", fds, 3));
	EXPECT_EQ(0, queued_fds(link->fd[0]));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(4, queued_fds(link->fd[1]));
		EXPECT_EQ(3, recv_got(link->fd[1], &got[i], 256, flags[i]));
		EXPECT_STREQ("abc", got[i].data);
		fd = find_cmsg(&got[i], SCM_RIGHTS, sizeof(*fd));
		ASSERT_NE(NULL, fd);
		EXPECT_EQ(i == 1 ? FD_CLOEXEC : 0, fcntl(*fd, F_GETFD));
	}
	EXPECT_EQ(3, queued_fds(link->fd[1]));
	for (i = 0; i < 3; i++) {
		EXPECT_TRUE(is_open(end));
		EXPECT_EQ(1, close_fds(&got[i]));
	}
	expect_closed(_metadata, end);

	EXPECT_EQ(3, recv_got(link->fd[1], &got[0], 256, 0));
	cred = find_cmsg(&got[0], SCM_CREDENTIALS, sizeof(*cred));
	EXPECT_TRUE(cred && cred->pid == getpid());
	EXPECT_EQ(3, close_fds(&got[0]));
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	EXPECT_EQ(0, queued_fds(link->fd[1]));
	EXPECT_EQ(0, mem_charged(_metadata, link->fd[1]));
}

TEST_F(any, which_and_how_many)
{
	struct io_uring_params params = {};
	int uring = syscall(__NR_io_uring_setup, 1, &params);
	int unix_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct link *link = &self->link;
	int fds[MAX_FD + 1], end[2], i;
	char path[64];

	/* It refers to the inode of a socket, not to the socket. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", unix_fd);
	ASSERT_EQ(0, pipe(end));
	const struct {
		int fd, err;
	} files[] = {
		{ unix_fd, EINVAL },
		{ socket(AF_UNIX, SOCK_DGRAM, 0), EINVAL },
		{ socket(AF_MYPROTO, SOCK_STREAM, 0), EINVAL },
		{ socket(AF_MYPROTO, SOCK_SEQPACKET, 0), EINVAL },
		{ socket(AF_MYPROTO, SOCK_DGRAM, 0), EINVAL },
		{ link->fd[0], EINVAL },
		{ link->fd[1], EINVAL },
		/* A kernel may have no io_uring. */
		{ uring, uring < 0 ? EBADF : EINVAL },
		{ 1023, EBADF },
		{ -1, EBADF },
		{ socket(AF_INET, SOCK_STREAM, 0), 0 },
		{ eventfd(0, 0), 0 },
		{ epoll_create1(0), 0 },
		{ open(path, O_PATH), 0 },
		{ end[0], 0 },
	};

	opt_in(_metadata, link, 1);
	for (i = 0; i <= MAX_FD; i++)
		fds[i] = end[1];
	EXPECT_EQ(EINVAL, err_of(send_fds(link, "x", fds, MAX_FD + 1)));
	EXPECT_EQ(1, send_fds(link, "x", fds, MAX_FD));
	expect_fds(_metadata, link, "x", MAX_FD, 0);

	for (i = 0; i < ARRAY_SIZE(files); i++) {
		fds[1] = files[i].fd;
		EXPECT_EQ(files[i].err, err_of(send_fds(link, "x", fds + 1, 1)))
			TH_LOG("file %d", i);
		EXPECT_EQ(files[i].err, err_of(send_fds(link, "y", fds, 2)))
			TH_LOG("file %d", i);
		if (!files[i].err) {
			expect_fds(_metadata, link, "x", 1, 0);
			expect_fds(_metadata, link, "y", 2, 0);
		}
		EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	}
	close(end[1]);
	expect_closed(_metadata, end[0]);
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
	int i;

	opt_in(_metadata, link, 1);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, other.fd));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	ASSERT_EQ(0, setresuid(OTHER_ID, OTHER_ID, OTHER_ID));
	for (i = 0; i < 5; i++)
		EXPECT_EQ(1, send_fds(&other, "x", &fd, 1));
	/* As with AF_UNIX, one more than the limit */
	EXPECT_EQ(21 - 5, flood(link));
	/* One goes, and one has its place. */
	EXPECT_EQ(1, recv_got(link->fd[1], &got, 0, 0));
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
	struct sock_filter code = { .code = BPF_RET | BPF_K };
	struct sock_fprog drop_all = { .len = 1, .filter = &code };
	const bool stream = variant->type == SOCK_STREAM;
	struct link *link = &self->link;
	int end[2], fds[2], i;
	struct got got;

	opt_in(_metadata, link, 1);
	ASSERT_EQ(0, send_pipe(_metadata, link, "abc", &end[0]));
	expect_recv(_metadata, link->fd[1], "abc");
	expect_closed(_metadata, end[0]);

	/* No room, and room for the first of two */
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, pipe(end));
		fds[0] = STDERR_FILENO;
		fds[i] = end[1];
		EXPECT_EQ(3, send_fds(link, "abc", fds, i + 1));
		close(end[1]);
		EXPECT_EQ(3, recv_got(link->fd[1], &got,
				      i * CMSG_LEN(sizeof(int)), 0));
		EXPECT_EQ(MSG_CTRUNC, got.msg.msg_flags & MSG_CTRUNC);
		expect_closed(_metadata, end[0]);
		EXPECT_EQ(i, close_fds(&got));
	}

	/* A message that cannot be copied is lost, a stream loses nothing. */
	ASSERT_EQ(0, send_pipe(_metadata, link, "abc", &end[0]));
	EXPECT_EQ(EFAULT, err_of(recv(link->fd[1], (void *)8, 8, 0)));
	if (stream)
		expect_fds(_metadata, link, "abc", 1, 0);
	expect_closed(_metadata, end[0]);

	/* In a stream they need a byte that they come with. */
	EXPECT_EQ(stream ? EINVAL : 0, send_pipe(_metadata, link, "", end));
	if (!stream)
		expect_fds(_metadata, link, "", 1, 0);
	expect_closed(_metadata, end[0]);
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	if (stream)
		return;

	ASSERT_EQ(0, setsockopt(link->fd[1], SOL_SOCKET, SO_ATTACH_FILTER,
				&drop_all, sizeof(drop_all)));
	EXPECT_EQ(0, send_pipe(_metadata, link, "abc", &end[0]));
	expect_closed(_metadata, end[0]);
	EXPECT_EQ(0, queued_fds(link->fd[1]));
}

TEST_F(any, shutdown_and_close)
{
	struct link *link = &self->link;
	int end[2], i;

	opt_in(_metadata, link, 1);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, send_pipe(_metadata, link, "abc", &end[i]));
	ASSERT_EQ(0, shutdown(link->fd[1], SHUT_RDWR));
	expect_fds(_metadata, link, "abc", 1, 0);
	expect_closed(_metadata, end[0]);
	EXPECT_EQ(EPIPE, send_pipe(_metadata, link, "abc", &end[0]));
	expect_closed(_metadata, end[0]);
	link_close(link, 0);
	EXPECT_TRUE(is_open(end[1]));
	link_close(link, 1);
	expect_closed(_metadata, end[1]);
}

/* A child that sends a descriptor and waits for room; tells the read end */
static int send_in_child(struct __test_metadata *_metadata, struct link *link,
			 pid_t *pid)
{
	struct iovec iov = { .iov_base = "abc", .iov_len = 3 };
	struct {
		struct cmsghdr head;
		int fd;
	} control = {
		.head.cmsg_len = CMSG_LEN(sizeof(int)),
		.head.cmsg_level = SOL_SOCKET,
		.head.cmsg_type = SCM_RIGHTS,
	};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int end[2];

	ASSERT_EQ(0, pipe(end));
	control.fd = end[1];
	link_address(link, 0, &msg);
	*pid = my_fork(_metadata);
	if (!*pid)
		_exit(err_of(sendmsg(link->fd[0], &msg, 0)));
	close(end[1]);
	EXPECT_TRUE(wait_asleep(*pid));
	return end[0];
}

TEST_F(any, waits_for_room)
{
	long limit = now_ms() + WAIT_MS;
	struct link *link = &self->link;
	struct got got;
	pid_t pid;
	int end;

	opt_in(_metadata, link, 1);
	link_fill(_metadata, link, 0, 4096);
	EXPECT_EQ(EAGAIN, send_pipe(_metadata, link, "abc", &end));
	expect_closed(_metadata, end);
	end = send_in_child(_metadata, link, &pid);
	EXPECT_TRUE(is_open(end));
	my_kill(pid);
	expect_closed(_metadata, end);
	EXPECT_EQ(0, queued_fds(link->fd[1]));

	/* It counts what the receiver wants when there is room. */
	end = send_in_child(_metadata, link, &pid);
	opt_in(_metadata, link, 0);
	link_drain(_metadata, link, 1);
	EXPECT_EQ(EPERM, my_wait(pid));
	expect_closed(_metadata, end);
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));

	opt_in(_metadata, link, 1);
	link_fill(_metadata, link, 0, 4096);
	end = send_in_child(_metadata, link, &pid);
	do {
		poll_for(link->fd[1], POLLIN, WAIT_MS);
		recv_got(link->fd[1], &got, 256, 0);
	} while (strcmp(got.data, "abc") && now_ms() < limit);
	EXPECT_EQ(0, my_wait(pid));
	EXPECT_TRUE(is_open(end));
	EXPECT_EQ(1, close_fds(&got));
	expect_closed(_metadata, end);

	/* Sockets that are closed with descriptors in them */
	link_drain(_metadata, link, 1);
	ASSERT_EQ(0, send_pipe(_metadata, link, "abc", &end));
	link_destroy(link);
	expect_closed(_metadata, end);
}

TEST_F(type, not_accepted)
{
	struct link link = { .type = variant->type };
	int listener, end, step;
	__u32 channel;

	/* 0: without the option; 1: with it; 2: and never accepted */
	for (step = 0; step < 3; step++) {
		listener = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
		channel = my_channel(_metadata, listener);
		set_int_opt(_metadata, listener, SO_PASSRIGHTS, !!step);
		ASSERT_EQ(0, listen(listener, 5));
		link.fd[0] = my_client(_metadata, channel);
		EXPECT_EQ(step ? 0 : EPERM,
			  send_pipe(_metadata, &link, "abc", &end));
		EXPECT_EQ(!!step, queued_fds(listener));
		EXPECT_EQ(!!step, is_open(end));
		if (step == 1) {
			link.fd[1] = accept(listener, NULL, NULL);
			EXPECT_EQ(0, queued_fds(listener));
			EXPECT_EQ(1, get_int_opt(_metadata, link.fd[1],
						 SO_PASSRIGHTS));
			expect_fds(_metadata, &link, "abc", 1, 0);
		}
		close(listener);
		expect_closed(_metadata, end);
	}
}

/* Each read has the descriptors of its first byte, and bytes of that send. */
TEST(stream_reads_are_cut)
{
	int end[2], round, flags;
	struct link link;

	link_make(_metadata, &link, SOCK_STREAM, BY_PAIR);
	opt_in(_metadata, &link, 1);
	for (round = 0; round < 3; round++) {
		flags = round == 1 ? MSG_WAITALL : 0;
		/* Also where the bytes are in an skb, not in the socket */
		if (round == 2)
			set_int_opt(_metadata, link.fd[1], SO_TIMESTAMP, 1);
		link_expect_send(_metadata, &link, 0, "ab");
		ASSERT_EQ(0, send_pipe(_metadata, &link, "cd", &end[0]));
		ASSERT_EQ(0, send_pipe(_metadata, &link, "ef", &end[1]));
		link_expect_send(_metadata, &link, 0, "gh");
		expect_fds(_metadata, &link, "ab", 0, flags | MSG_PEEK);
		expect_fds(_metadata, &link, "ab", 0, flags);
		expect_fds(_metadata, &link, "cd", 1, flags | MSG_PEEK);
		EXPECT_TRUE(is_open(end[0]));
		expect_fds(_metadata, &link, "cd", 1, flags);
		expect_closed(_metadata, end[0]);
		expect_fds(_metadata, &link, "ef", 1, flags);
		expect_closed(_metadata, end[1]);
		expect_fds(_metadata, &link, "gh", 0, 0);
	}
}

TEST(stream_first_byte)
{
	ssize_t sent, n, total = 0;
	static char buf[1 << 20];
	struct link link;
	int end, fd[2];
	struct got got;

	ASSERT_EQ(0, pipe(fd));
	link_make(_metadata, &link, SOCK_STREAM, BY_PAIR);
	opt_in(_metadata, &link, 1);
	ASSERT_EQ(0, send_pipe(_metadata, &link, "abc", &end));
	set_int_opt(_metadata, link.fd[1], SO_PEEK_OFF, 1);
	expect_fds(_metadata, &link, "bc", 0, MSG_PEEK);
	EXPECT_EQ(0, recv(link.fd[1], buf, 0, MSG_DONTWAIT));
	expect_fds(_metadata, &link, "abc", 1, 0);
	expect_closed(_metadata, end);

	/* One byte more than what is received at once */
	memset(buf, 'x', sizeof(got.data));
	ASSERT_EQ(0, send_pipe(_metadata, &link, buf, &end));
	link_expect_send(_metadata, &link, 0, "abc");
	EXPECT_EQ(sizeof(got.data) - 1, recv_got(link.fd[1], &got, 256, 0));
	EXPECT_EQ(1, close_fds(&got));
	expect_closed(_metadata, end);
	expect_fds(_metadata, &link, "xabc", 0, 0);

	/* A write that goes in pieces has them once. */
	memset(buf, 'x', sizeof(buf) - 1);
	sent = send_fds(&link, buf, &fd[0], 1);
	EXPECT_LT(1 << 16, sent);
	EXPECT_LT(sent, (ssize_t)sizeof(buf) - 1);
	while ((n = recv_got(link.fd[1], &got, 256, 0)) > 0) {
		EXPECT_EQ(!total, close_fds(&got));
		total += n;
	}
	EXPECT_EQ(EAGAIN, err_of(n));
	EXPECT_EQ(sent, total);

	/* splice() takes the bytes only. */
	ASSERT_EQ(0, send_pipe(_metadata, &link, "abc", &end));
	EXPECT_EQ(3, splice(link.fd[1], NULL, fd[1], NULL, 64, 0));
	expect_closed(_metadata, end);
	EXPECT_EQ(0, queued_fds(link.fd[1]));
}

static bool peeker_stop;

static void *peeker(void *arg)
{
	struct got got;

	while (!__atomic_load_n(&peeker_stop, __ATOMIC_RELAXED))
		if (recv_got(*(int *)arg, &got, 256, MSG_PEEK) >= 0)
			close_fds(&got);
	return NULL;
}

/* Each message is read once with its descriptor, whoever looks at it. */
TEST_F(any, peeked_while_it_is_read)
{
	struct link *link = &self->link;
	pthread_t thread;
	int end[2], i;

	opt_in(_metadata, link, 1);
	ASSERT_EQ(0, pipe(end));
	ASSERT_EQ(0, pthread_create(&thread, NULL, peeker, &link->fd[1]));
	for (i = 0; i < 2500; i++) {
		ASSERT_EQ(3, send_fds(link, "abc", &end[1], 1));
		expect_fds(_metadata, link, "abc", 1, 0);
	}
	__atomic_store_n(&peeker_stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, queued_fds(link->fd[1]));
	close(end[1]);
	expect_closed(_metadata, end[0]);
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
