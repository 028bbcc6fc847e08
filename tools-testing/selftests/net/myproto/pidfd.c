// SPDX-License-Identifier: GPL-2.0
/*
 * Pidfds of those who send by AF_MYPROTO, and of peers, above all when they are
 * gone.
 */
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

	pidfd = expect_cmsg(_metadata, fd, text, flags, &got, SCM_PIDFD,
			    sizeof(*pidfd));
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

/* A process that does @what, which returns 0, and is gone */
#define do_and_go(what)	ASSERT_EQ(CODE, in_child((what) ? 1 : CODE))

/* The receiver asks for it before it is sent, or the sender does. */
TEST_F(any, of_a_sender)
{
	struct link *link = &self->link;
	int to = link->fd[1], next, fd, i;
	struct got got;

	EXPECT_EQ(0, get_int_opt(_metadata, to, SO_PASSPIDFD));
	link_expect_send(_metadata, link, 0, "abc");
	expect_bare(_metadata, to, "abc");

	set_int_opt(_metadata, link->fd[0], SO_PASSPIDFD, 1);
	do_and_go(link_try_send(link, 0));
	set_int_opt(_metadata, to, SO_PASSPIDFD, 1);
	EXPECT_EQ(1, get_int_opt(_metadata, to, SO_PASSPIDFD));
	expect_gone(_metadata, receive_pidfd(_metadata, to, "x", 0));

	set_int_opt(_metadata, link->fd[0], SO_PASSPIDFD, 0);
	link_expect_send(_metadata, link, 0, "abc");
	for (i = 0; i < 2; i++) {
		fd = receive_pidfd(_metadata, to, "abc", i ? 0 : MSG_PEEK);
		EXPECT_EQ(getpid(), fdinfo_number(fd, "Pid:"));
		close(fd);
	}
	for (i = 0; i < 2; i++)
		do_and_go(link_try_send(link, 0));
	for (i = 0; i < 2; i++)
		expect_gone(_metadata, receive_pidfd(_metadata, to, "x", 0));

	/* No room: none is opened. */
	next = dup(0);
	close(next);
	for (i = 0; i < 2; i++) {
		link_expect_send(_metadata, link, 0, "abc");
		EXPECT_EQ(3, recv_got(to, &got, i * CMSG_LEN(0), 0));
		EXPECT_EQ(MSG_CTRUNC, got.msg.msg_flags & MSG_CTRUNC);
	}
	EXPECT_EQ(next, dup(0));
}

static void expect_peer_gone(struct __test_metadata *_metadata, int fd)
{
	expect_gone(_metadata, get_int_opt(_metadata, fd, SO_PEERPIDFD));
}

/* Processes that are gone listen, connect, and send before accept(), when
 * nobody can have asked for it, as there is no descriptor yet.
 */
TEST_F(type, peers_that_are_gone)
{
	int listener, client = my_socket(_metadata), fd;
	__u32 channel;

	listener = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
	channel = my_channel(_metadata, listener);
	do_and_go(listen(listener, 5));
	do_and_go(my_connect(client, channel));
	do_and_go(try_send(client));
	fd = my_accept(_metadata, listener);
	set_int_opt(_metadata, fd, SO_PASSPIDFD, 1);
	expect_gone(_metadata, receive_pidfd(_metadata, fd, "x", 0));
	expect_peer_gone(_metadata, client);
	expect_peer_gone(_metadata, fd);
	expect_peer_gone(_metadata, listener);
}

/* A child whose sockets come back to the test, by AF_UNIX */
TEST(maker_of_a_socketpair_that_is_gone)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	struct link back = { .type = SOCK_DGRAM };
	int pair[2], i, *fd;
	struct got got;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, back.fd));
	for (i = 0; i < 3; i++) {
		do_and_go(socketpair(AF_MYPROTO, types[i], 0, pair) ||
			  send_cmsg(&back, "x", SOL_SOCKET, SCM_RIGHTS, pair,
				    sizeof(pair)) != 1);
		fd = expect_cmsg(_metadata, back.fd[1], "x", 0, &got,
				 SCM_RIGHTS, sizeof(pair));
		ASSERT_NE(NULL, fd);
		expect_peer_gone(_metadata, fd[0]);
		expect_peer_gone(_metadata, fd[1]);
	}
}

TEST_HARNESS_MAIN
