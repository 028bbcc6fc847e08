// SPDX-License-Identifier: GPL-2.0
/*
 * Pidfds of those who send by AF_MYPROTO, and of peers, above all when they are
 * gone.
 */
#include <sys/ioctl.h>

#include "any.h"
#include "cmsg.h"
#include "type.h"

/* What that has besides is in conflict with the C library's. */
#define _ASM_GENERIC_FCNTL_H
#include <linux/pidfd.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD	76
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD	77
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD	0x04
#endif

/* What processes that have gone exit with */
#define CODE	42

/* Receive @text, and the pidfd that comes with it */
static int receive_pidfd(struct __test_metadata *_metadata, int fd,
			 const char *text, int flags)
{
	struct got got;
	int *pidfd;

	EXPECT_EQ((ssize_t)strlen(text), recv_got(fd, &got, 256, flags));
	EXPECT_STREQ(text, got.data);
	pidfd = find_cmsg(&got, SCM_PIDFD, sizeof(*pidfd));
	ASSERT_NE(NULL, pidfd);
	return *pidfd;
}

/* @pidfd is of a process that has exited and been reaped, with CODE. */
static void expect_gone(struct __test_metadata *_metadata, int pidfd)
{
	struct pidfd_info info = { .mask = PIDFD_INFO_EXIT };

	EXPECT_EQ(0, ioctl(pidfd, PIDFD_GET_INFO, &info));
	EXPECT_NE(0U, info.mask & PIDFD_INFO_EXIT);
	EXPECT_EQ(CODE, WEXITSTATUS(info.exit_code));
	close(pidfd);
}

/* A process that sends @text and is gone */
static void send_and_go(struct __test_metadata *_metadata, struct link *link,
			const char *text)
{
	pid_t pid = my_fork(_metadata);

	if (!pid)
		_exit(link_send(link, 0, text, strlen(text), 0) < 0 ? 1 : CODE);
	ASSERT_EQ(CODE, my_wait(pid));
}

/* The receiver asks for it before it is sent, or the sender does. */
TEST_F(any, of_a_sender)
{
	struct link *link = &self->link;
	int to = link->fd[1], fd, i;
	struct got got;

	EXPECT_EQ(0, get_int_opt(_metadata, to, SO_PASSPIDFD));
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(3, recv_got(to, &got, 256, 0));
	EXPECT_EQ(0U, got.msg.msg_controllen);

	set_int_opt(_metadata, link->fd[0], SO_PASSPIDFD, 1);
	send_and_go(_metadata, link, "abc");
	set_int_opt(_metadata, to, SO_PASSPIDFD, 1);
	EXPECT_EQ(1, get_int_opt(_metadata, to, SO_PASSPIDFD));
	expect_gone(_metadata, receive_pidfd(_metadata, to, "abc", 0));

	set_int_opt(_metadata, link->fd[0], SO_PASSPIDFD, 0);
	link_expect_send(_metadata, link, 0, "abc");
	for (i = 0; i < 2; i++) {
		fd = receive_pidfd(_metadata, to, "abc", i ? 0 : MSG_PEEK);
		EXPECT_EQ(getpid(), pidfd_pid(fd));
		close(fd);
	}
	send_and_go(_metadata, link, "abc");
	send_and_go(_metadata, link, "de");
	expect_gone(_metadata, receive_pidfd(_metadata, to, "abc", 0));
	expect_gone(_metadata, receive_pidfd(_metadata, to, "de", 0));
}

TEST_F(any, no_room_ctrunc)
{
	struct link *link = &self->link;
	int next = dup(0), i;
	struct got got;

	close(next);
	set_int_opt(_metadata, link->fd[1], SO_PASSPIDFD, 1);
	for (i = 0; i < 2; i++) {
		link_expect_send(_metadata, link, 0, "abc");
		EXPECT_EQ(3, recv_got(link->fd[1], &got, i * CMSG_LEN(0), 0));
		EXPECT_EQ(MSG_CTRUNC, got.msg.msg_flags & MSG_CTRUNC);
	}
	/* And none was opened. */
	EXPECT_EQ(next, dup(0));
}

static int peer_pidfd(struct __test_metadata *_metadata, int fd)
{
	int pidfd = get_int_opt(_metadata, fd, SO_PEERPIDFD);

	ASSERT_LE(0, pidfd);
	return pidfd;
}

/* Processes that are gone listen, connect, and send before accept(), when
 * nobody can have asked for it, as there is no descriptor yet.
 */
TEST_F(type, peers_that_are_gone)
{
	struct link link = { .type = variant->type };
	int listener, i;
	__u32 channel;
	pid_t pid;

	listener = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
	channel = my_channel(_metadata, listener);
	link.fd[0] = my_socket(_metadata);
	for (i = 0; i < 2; i++) {
		pid = my_fork(_metadata);
		if (!pid && (i ? my_connect(link.fd[0], channel) :
				 listen(listener, 5)))
			_exit(1);
		if (!pid)
			_exit(CODE);
		ASSERT_EQ(CODE, my_wait(pid));
	}
	send_and_go(_metadata, &link, "abc");
	link.fd[1] = accept(listener, NULL, NULL);
	ASSERT_LE(0, link.fd[1]);
	set_int_opt(_metadata, link.fd[1], SO_PASSPIDFD, 1);
	expect_gone(_metadata, receive_pidfd(_metadata, link.fd[1], "abc", 0));
	for (i = 0; i < 2; i++)
		expect_gone(_metadata, peer_pidfd(_metadata, link.fd[i]));
	expect_gone(_metadata, peer_pidfd(_metadata, listener));
}

/* A child whose sockets come back to the test, by AF_UNIX */
TEST(maker_of_a_socketpair_that_is_gone)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	struct link back = { .type = SOCK_DGRAM }, link;
	struct got got;
	int i, *fd;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, back.fd));
	for (i = 0; i < 3; i++) {
		pid = my_fork(_metadata);
		if (!pid) {
			link_make(_metadata, &link, types[i], BY_PAIR);
			_exit(send_cmsg(&back, "x", SOL_SOCKET, SCM_RIGHTS,
					link.fd, sizeof(link.fd)) == 1 ?
			      CODE : 1);
		}
		ASSERT_EQ(CODE, my_wait(pid));
		ASSERT_EQ(1, recv_got(back.fd[1], &got, 256, 0));
		fd = find_cmsg(&got, SCM_RIGHTS, sizeof(link.fd));
		ASSERT_NE(NULL, fd);
		expect_gone(_metadata, peer_pidfd(_metadata, fd[0]));
		expect_gone(_metadata, peer_pidfd(_metadata, fd[1]));
	}
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
