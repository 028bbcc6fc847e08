// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO: what was sent and nobody reads is dropped, with the reason why,
 * and nothing else is. The tracepoint myproto_drop tells, of the sockets of
 * this network namespace.
 */
#include <linux/filter.h>

#include "any.h"
#include "tracefs.h"

/* More than what is copied into an skb that is there, or into the socket */
#define LARGE	9000

/* What has been dropped since the last time, all of it for @reason: @count
 * times, and @bytes in all
 */
static void expect_drops(struct __test_metadata *_metadata, const char *reason,
			 int count, unsigned int bytes)
{
	char text[8192], *line, *p;

	ASSERT_TRUE(tracefs_trace(text, sizeof(text)));
	ASSERT_EQ(0, tracefs_write("trace", ""));
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		if (!strstr(line, " myproto_drop: "))
			continue;
		p = strstr(line, " len=");
		ASSERT_NE(NULL, p);
		bytes -= atoi(p + 5);
		p = strstr(line, " reason=");
		ASSERT_NE(NULL, p);
		EXPECT_STREQ(reason, p + 8);
		count--;
	}
	EXPECT_EQ(0, count);
	EXPECT_EQ(0U, bytes);
}

static void expect_no_drops(struct __test_metadata *_metadata)
{
	expect_drops(_metadata, NULL, 0, 0);
}

/* What SO_MEMINFO says was dropped */
static __u32 drops(struct __test_metadata *_metadata, int fd)
{
	__u32 info[SK_MEMINFO_VARS] = {};
	socklen_t len = sizeof(info);

	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len));
	return info[SK_MEMINFO_DROPS];
}

/* What SO_RXQ_OVFL says with the message "x", 0 if nothing */
static __u32 recv_ovfl(struct __test_metadata *_metadata, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(__u32))];
		struct cmsghdr align;
	} control;
	char data[2] = "";
	struct iovec iov = { .iov_base = data, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;
	__u32 count = 0;

	EXPECT_EQ(1, recvmsg(fd, &msg, MSG_DONTWAIT));
	EXPECT_STREQ("x", data);
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg) {
		EXPECT_EQ(SOL_SOCKET, cmsg->cmsg_level);
		EXPECT_EQ(SO_RXQ_OVFL, cmsg->cmsg_type);
		memcpy(&count, CMSG_DATA(cmsg), sizeof(count));
	}
	return count;
}

/* A filter that drops all */
static void attach_drop(struct __test_metadata *_metadata, int fd)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	struct sock_fprog prog = { .len = 1, .filter = code };

	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog,
				sizeof(prog)));
}

static void send_large(struct __test_metadata *_metadata, struct link *link)
{
	static char buf[LARGE];

	ASSERT_EQ(LARGE, link_send(link, 0, buf, LARGE, MSG_DONTWAIT));
}

/* What is read is no drop, nor what was only peeked at before, nor what a send
 * has kept for want of room.
 */
TEST_F(any, read)
{
	struct link *link = &self->link;
	char buf[8];

	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(3, recv(link->fd[1], buf, 8, MSG_DONTWAIT | MSG_PEEK));
	send_large(_metadata, link);
	link_fill(_metadata, link, 0, 1000);
	link_drain(_metadata, link, 1);
	/* The end too reads all that there is. */
	link_expect_send(_metadata, link, 0, "abc");
	link_close(link, 0);
	expect_recv(_metadata, link->fd[1], "abc");
	EXPECT_EQ(0U, drops(_metadata, link->fd[1]));
	link_close(link, 1);
	expect_no_drops(_metadata);
}

/* The sender is told. */
TEST_F(any, failed_send)
{
	struct link *link = &self->link;
	bool dgram = link->type == SOCK_DGRAM;

	EXPECT_EQ(EFAULT, err_of(link_send(link, 0, (void *)8, 3, 0)));
	EXPECT_EQ(EFAULT, err_of(link_send(link, 0, (void *)8, LARGE, 0)));
	link_close(link, 1);
	EXPECT_EQ(dgram ? ECONNREFUSED : EPIPE, link_try_send(link, 0));
	expect_no_drops(_metadata);
}

TEST_F(any, unread)
{
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 0, "abc");
	send_large(_metadata, link);
	if (link->type != SOCK_STREAM)
		link_expect_send(_metadata, link, 0, "");
	link_close(link, 1);
	if (link->type == SOCK_STREAM)
		expect_drops(_metadata, "SOCKET_CLOSE", 1, 3 + LARGE);
	else
		expect_drops(_metadata, "SOCKET_CLOSE", 3, 3 + LARGE);
}

/* Of a stream, some of it is in the socket, where no skb is. */
TEST_F(any, unread_small)
{
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 0, "abcde");
	link_close(link, 1);
	expect_drops(_metadata, "SOCKET_CLOSE", 1, 5);
}

/* Of a stream the reader has taken over more than it has read. What is beyond
 * the reader's buffer is no drop if it is of a message: the reader knows.
 */
TEST_F(any, partly_read)
{
	struct link *link = &self->link;
	char buf[100];

	send_large(_metadata, link);
	send_large(_metadata, link);
	ASSERT_EQ(100, recv(link->fd[1], buf, 100, MSG_DONTWAIT));
	link_expect_send(_metadata, link, 0, "abc");
	link_close(link, 1);
	if (link->type == SOCK_STREAM)
		expect_drops(_metadata, "SOCKET_CLOSE", 1, 2 * LARGE - 97);
	else
		expect_drops(_metadata, "SOCKET_CLOSE", 2, LARGE + 3);
}

/* Both ends, one after the other */
TEST_F(any, unread_both)
{
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 1, "defgh");
	link_destroy(link);
	expect_drops(_metadata, "SOCKET_CLOSE", 2, 8);
}

/* What fails without a filter fails with one, whatever that says. */
TEST_F(any, failed_send_with_filter)
{
	struct link *link = &self->link;

	attach_drop(_metadata, link->fd[1]);
	ASSERT_EQ(0, shutdown(link->fd[1], SHUT_RD));
	EXPECT_EQ(EPIPE, link_try_send(link, 0));
	EXPECT_EQ(0U, drops(_metadata, link->fd[1]));
	link_close(link, 1);
	EXPECT_EQ(link->type == SOCK_DGRAM ? ECONNREFUSED : EPIPE,
		  link_try_send(link, 0));
	expect_no_drops(_metadata);
}

TEST(excluded_sender_with_filter)
{
	__u32 channel[3];
	int fd[3], i;

	my_type = SOCK_DGRAM;
	for (i = 0; i < 3; i++) {
		fd[i] = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
		channel[i] = my_channel(_metadata, fd[i]);
	}
	ASSERT_EQ(0, my_connect(fd[0], channel[1]));
	attach_drop(_metadata, fd[0]);
	EXPECT_EQ(EPERM, err_of(my_sendto(fd[2], channel[0], "x", 1, 0)));
	EXPECT_EQ(0U, drops(_metadata, fd[0]));
	expect_no_drops(_metadata);
	EXPECT_EQ(0, err_of(my_sendto(fd[1], channel[0], "x", 1, 0)));
	expect_drops(_metadata, "SOCKET_FILTER", 1, 1);
	for (i = 0; i < 3; i++)
		close(fd[i]);
}

/* A filter is run for messages only. */
TEST_F(any, filtered)
{
	struct link *link = &self->link;
	int fd = link->fd[1], one = 1;
	__u32 count = 0;

	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &one,
				sizeof(one)));
	attach_drop(_metadata, fd);
	if (link->type != SOCK_STREAM) {
		link_expect_send(_metadata, link, 0, "abc");
		link_expect_send(_metadata, link, 0, "");
		count = 2;
	}
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &one,
				sizeof(one)));
	link_expect_send(_metadata, link, 0, "x");
	EXPECT_EQ(count, recv_ovfl(_metadata, fd));
	EXPECT_EQ(count, drops(_metadata, fd));
	expect_drops(_metadata, "SOCKET_FILTER", count, count ? 3 : 0);
}

/* A message is gone when it could not be copied, the data of a stream is not;
 * a peek takes nothing.
 */
TEST_F(any, faulted)
{
	struct link *link = &self->link;
	__u32 count = link->type != SOCK_STREAM;
	int fd = link->fd[1], one = 1;
	void *bad = (void *)8;

	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &one,
				sizeof(one)));
	if (count)
		link_expect_send(_metadata, link, 0, "abc");
	else
		link_expect_send(_metadata, link, 0, "x");
	EXPECT_EQ(EFAULT, err_of(recv(fd, bad, 8, MSG_DONTWAIT | MSG_PEEK)));
	expect_no_drops(_metadata);
	EXPECT_EQ(EFAULT, err_of(recv(fd, bad, 8, MSG_DONTWAIT)));
	if (count)
		link_expect_send(_metadata, link, 0, "x");
	EXPECT_EQ(count, recv_ovfl(_metadata, fd));
	EXPECT_EQ(count, drops(_metadata, fd));
	expect_drops(_metadata, "SKB_UCOPY_FAULT", count, 3 * count);
}

/* Connections that wait for accept() when the listening socket is closed */
static void leave_unaccepted(struct __test_metadata *_metadata, int type)
{
	int client[2], listener, i;
	__u32 channel;

	my_type = type;
	listener = my_listener(_metadata, 5, &channel);
	for (i = 0; i < 2; i++) {
		client[i] = my_client(_metadata, channel);
		expect_send(_metadata, client[i], "abc");
	}
	close(listener);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(ECONNRESET, try_recv(client[i]));
}

TEST(unaccepted)
{
	leave_unaccepted(_metadata, SOCK_STREAM);
	expect_drops(_metadata, "SOCKET_UNACCEPTED", 2, 6);
	leave_unaccepted(_metadata, SOCK_SEQPACKET);
	expect_drops(_metadata, "SOCKET_UNACCEPTED", 2, 6);
}

int main(int argc, char **argv)
{
	char filter[64];
	int fd;

	my_start();
	tracefs_begin();
	fd = socket(AF_MYPROTO, SOCK_STREAM, 0);
	snprintf(filter, sizeof(filter), "netns_cookie == %llu",
		 cookie_opt(fd, SO_NETNS_COOKIE));
	close(fd);
	if (tracefs_write("events/myproto/myproto_drop/filter", filter) ||
	    tracefs_write("events/myproto/myproto_drop/enable", "1"))
		ksft_exit_fail_msg("myproto_drop cannot be traced\n");
	return test_harness_run(argc, argv);
}
