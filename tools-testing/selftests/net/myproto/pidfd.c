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

#ifndef SCM_PIDFD
#define SCM_PIDFD	0x04
#endif

/* What processes that have gone exit with */
#define CODE	42

/* @pidfd is of a process that has exited and been reaped, with CODE. */
static void expect_gone(struct __test_metadata *_metadata, int pidfd)
{
	struct pidfd_info info = { .mask = PIDFD_INFO_EXIT };

	EXPECT_EQ(0, ioctl(pidfd, PIDFD_GET_INFO, &info));
	EXPECT_NE(0U, info.mask & PIDFD_INFO_EXIT);
	EXPECT_EQ(CODE, WEXITSTATUS(info.exit_code));
}

/* Receive "x"; returns the pidfd of its sender */
static int recv_pidfd(struct __test_metadata *_metadata, int fd, int flags)
{
	struct got got;
	int *pidfd;

	pidfd = expect_cmsg(_metadata, fd, "x", flags, &got, SCM_PIDFD,
			    sizeof(*pidfd));
	ASSERT_NE(NULL, pidfd);
	return *pidfd;
}

static void expect_sender_gone(struct __test_metadata *_metadata, int fd,
			       int flags)
{
	expect_gone(_metadata, recv_pidfd(_metadata, fd, flags));
}

static void expect_peer_gone(struct __test_metadata *_metadata, int fd)
{
	expect_gone(_metadata, get_int_opt(_metadata, fd, SO_PEERPIDFD));
}

/* A process that does @what, which returns 0, and is gone */
#define do_and_go(what)	ASSERT_EQ(CODE, in_child((what) ? 1 : CODE))

/* The sender asks for it, or the receiver does before it is sent. */
TEST_F(any, of_a_sender)
{
	struct link *link = &self->link;
	int to = link->fd[1], asks, i;

	for (asks = 1; asks >= 0; asks--) {
		set_int_opt(_metadata, link->fd[0], SO_PASSPIDFD, asks);
		for (i = 0; i < 2; i++)
			do_and_go(link_try_send(link, 0));
		set_int_opt(_metadata, to, SO_PASSPIDFD, 1);
		expect_sender_gone(_metadata, to, MSG_PEEK);
		for (i = 0; i < 2; i++)
			expect_sender_gone(_metadata, to, 0);
	}
	/* One that is alive */
	link_expect_send(_metadata, link, 0, "x");
	EXPECT_EQ(getpid(), fdinfo_number(recv_pidfd(_metadata, to, 0),
					  "Pid:"));
}

/* Processes that are gone listen, connect, and send before accept(), when
 * nobody can have asked for it, as there is no descriptor yet.
 */
TEST_F(type, peers_that_are_gone)
{
	int listener, client = my_socket(_metadata), fd;
	__u32 channel;

	listener = type_bound(_metadata, my_type, &channel);
	do_and_go(listen(listener, 5));
	do_and_go(my_connect(client, channel));
	do_and_go(try_send(client));
	fd = my_accept(_metadata, listener);
	set_int_opt(_metadata, fd, SO_PASSPIDFD, 1);
	expect_sender_gone(_metadata, fd, 0);
	expect_peer_gone(_metadata, client);
	expect_peer_gone(_metadata, fd);
	expect_peer_gone(_metadata, listener);
}

/* A child makes it, and its sockets come back to the test, by AF_UNIX. */
TEST_F(any, maker_of_a_socketpair_that_is_gone)
{
	struct link back = { .type = SOCK_DGRAM };
	struct got got;
	int pair[2], *fd;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, back.fd));
	do_and_go(socketpair(AF_MYPROTO, variant->type, 0, pair) ||
		  send_cmsg(&back, "x", SOL_SOCKET, SCM_RIGHTS, pair,
			    sizeof(pair)) != 1);
	fd = expect_cmsg(_metadata, back.fd[1], "x", 0, &got, SCM_RIGHTS,
			 sizeof(pair));
	ASSERT_NE(NULL, fd);
	expect_peer_gone(_metadata, fd[0]);
	expect_peer_gone(_metadata, fd[1]);
}

TEST_HARNESS_MAIN
