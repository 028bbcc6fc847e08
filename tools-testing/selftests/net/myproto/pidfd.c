// SPDX-License-Identifier: GPL-2.0
/*
 * Pidfds of those who send by AF_MYPROTO, and of peers, above all when they are
 * gone.
 */
#include <sys/ioctl.h>

#include "any.h"
#include "cmsg.h"

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

	ASSERT_LE(0, pidfd)
		TH_LOG("%s", strerror(-pidfd));
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

TEST_F(any, off_by_default)
{
	struct link *link = &self->link;
	struct got got;

	EXPECT_EQ(0, get_int_opt(_metadata, link->fd[1], SO_PASSPIDFD));
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(3, recv_got(link->fd[1], &got, 256, 0));
	EXPECT_EQ(0U, got.msg.msg_controllen);
}

TEST_F(any, of_a_sender)
{
	struct link *link = &self->link;
	int fd[2], i;

	set_int_opt(_metadata, link->fd[1], SO_PASSPIDFD, 1);
	EXPECT_EQ(1, get_int_opt(_metadata, link->fd[1], SO_PASSPIDFD));
	link_expect_send(_metadata, link, 0, "abc");
	fd[0] = receive_pidfd(_metadata, link->fd[1], "abc", MSG_PEEK);
	fd[1] = receive_pidfd(_metadata, link->fd[1], "abc", 0);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(getpid(), pidfd_pid(fd[i]));
		close(fd[i]);
	}
}

TEST_F(any, of_a_sender_that_is_gone)
{
	struct link *link = &self->link;

	set_int_opt(_metadata, link->fd[1], SO_PASSPIDFD, 1);
	send_and_go(_metadata, link, "abc");
	send_and_go(_metadata, link, "de");
	expect_gone(_metadata,
		    receive_pidfd(_metadata, link->fd[1], "abc", 0));
	expect_gone(_metadata, receive_pidfd(_metadata, link->fd[1], "de", 0));
}

/* The sender may want that, too. */
TEST_F(any, set_by_the_sender)
{
	struct link *link = &self->link;

	set_int_opt(_metadata, link->fd[0], SO_PASSPIDFD, 1);
	send_and_go(_metadata, link, "abc");
	set_int_opt(_metadata, link->fd[1], SO_PASSPIDFD, 1);
	expect_gone(_metadata,
		    receive_pidfd(_metadata, link->fd[1], "abc", 0));
}

/* Nobody can have set it on a socket that has no descriptor yet. */
static void before_accept(struct __test_metadata *_metadata, int type)
{
	struct link link = { .type = type };
	int listener, client;
	__u32 channel;

	listener = type_listener(_metadata, type, &channel);
	client = type_socket(_metadata, type);
	ASSERT_EQ(0, my_connect(client, channel));
	link.fd[0] = client;
	send_and_go(_metadata, &link, "abc");
	link.fd[1] = accept(listener, NULL, NULL);
	set_int_opt(_metadata, link.fd[1], SO_PASSPIDFD, 1);
	expect_gone(_metadata, receive_pidfd(_metadata, link.fd[1], "abc", 0));
}

TEST(sent_before_accept)
{
	before_accept(_metadata, SOCK_STREAM);
	before_accept(_metadata, SOCK_SEQPACKET);
}

TEST_F(any, no_room_ctrunc)
{
	struct link *link = &self->link;
	struct got got;
	int next = dup(0);

	close(next);
	set_int_opt(_metadata, link->fd[1], SO_PASSPIDFD, 1);
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(3, recv_got(link->fd[1], &got, 0, 0));
	EXPECT_EQ(MSG_CTRUNC, got.msg.msg_flags & MSG_CTRUNC);
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(3, recv_got(link->fd[1], &got, CMSG_LEN(0), 0));
	EXPECT_EQ(MSG_CTRUNC, got.msg.msg_flags & MSG_CTRUNC);
	/* And none was opened. */
	EXPECT_EQ(next, dup(0));
}

/* Peers */

static int peer_pidfd(int fd)
{
	socklen_t len = sizeof(int);
	int pidfd = -1;

	return getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) ?
	       -errno : pidfd;
}

static void peers(struct __test_metadata *_metadata, int type)
{
	int listener, fd[2];
	__u32 channel;
	pid_t pid;

	listener = type_bound(_metadata, type, &channel);
	fd[0] = type_socket(_metadata, type);
	pid = my_fork(_metadata);
	if (!pid)
		_exit(listen(listener, 5) ? 1 : CODE);
	ASSERT_EQ(CODE, my_wait(pid));
	pid = my_fork(_metadata);
	if (!pid)
		_exit(my_connect(fd[0], channel) ? 1 : CODE);
	ASSERT_EQ(CODE, my_wait(pid));
	fd[1] = accept(listener, NULL, NULL);
	expect_gone(_metadata, peer_pidfd(listener));
	expect_gone(_metadata, peer_pidfd(fd[0]));
	expect_gone(_metadata, peer_pidfd(fd[1]));
}

TEST(peers_that_are_gone)
{
	peers(_metadata, SOCK_STREAM);
	peers(_metadata, SOCK_SEQPACKET);
}

/* A child whose sockets come back to the test, by AF_UNIX */
TEST(maker_of_a_socketpair_that_is_gone)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	struct link back = { .type = SOCK_DGRAM }, link;
	struct got got;
	pid_t pid;
	int i, *fd;

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
		expect_gone(_metadata, peer_pidfd(fd[0]));
		expect_gone(_metadata, peer_pidfd(fd[1]));
	}
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
