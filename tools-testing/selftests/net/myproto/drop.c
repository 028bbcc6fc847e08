// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO: what was sent and nobody reads is dropped, with the reason why,
 * and nothing else is. The tracepoint myproto_drop tells, of the sockets of
 * this network namespace.
 */
#include "any.h"
#include "cmsg.h"
#include "destroy.h"
#include "tracefs.h"

/* More than what is copied into an skb that is there, or into the socket */
#define LARGE	9000

/* Since the last time, @count were dropped for @reason, of @bytes in all. */
static void expect_drops(struct __test_metadata *_metadata, const char *reason,
			 int count, unsigned int bytes)
{
	FILE *f = fopen("trace", "r");
	char line[512], told[32], *p;
	unsigned int len;

	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f)) {
		p = strstr(line, " len=");
		if (!p)
			continue;
		ASSERT_TRUE(sscanf(p, " len=%u reason=%31s", &len, told) == 2);
		EXPECT_STREQ(reason, told);
		bytes -= len;
		count--;
	}
	fclose(f);
	ASSERT_EQ(0, write_file(".", "trace", ""));
	EXPECT_EQ(0, count);
	EXPECT_EQ(0U, bytes);
}

static void send_large(struct __test_metadata *_metadata, struct link *link)
{
	static char buf[LARGE];

	ASSERT_EQ(LARGE, link_send(link, 0, buf, LARGE, MSG_DONTWAIT));
}

/* What is read is no drop, nor what was only peeked at before, nor what a send
 * has kept for want of room. If a send fails, the sender is told, with a filter
 * too, whatever that says.
 */
TEST_F(any, no_drops)
{
	struct link *link = &self->link;
	int gone = link->type == SOCK_DGRAM ? ECONNREFUSED : EPIPE;
	int other = type_socket(_metadata, SOCK_DGRAM), fd = link->fd[1];
	char buf[8];

	EXPECT_EQ(EFAULT, err_of(link_send(link, 0, (void *)8, 3, 0)));
	EXPECT_EQ(EFAULT, err_of(link_send(link, 0, (void *)8, LARGE, 0)));
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(3, recv(fd, buf, 3, MSG_DONTWAIT));
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(3, recv(fd, buf, 8, MSG_DONTWAIT | MSG_PEEK));
	send_large(_metadata, link);
	link_fill(_metadata, link, 0, 1000);
	link_drain(_metadata, link, 1);

	ASSERT_EQ(0, my_filter(fd, 0));
	/* One with a peer takes nothing from others. */
	if (link->made == BY_PAIR) {
		ASSERT_EQ(0, my_bind(fd, 5000));
		EXPECT_EQ(EPERM, err_of(my_sendto(other, 5000, "x", 1, 0)));
	}
	ASSERT_EQ(0, shutdown(fd, SHUT_RD));
	EXPECT_EQ(EPIPE, link_try_send(link, 0));
	EXPECT_EQ(0, my_meminfo(_metadata, fd, SK_MEMINFO_DROPS));
	link_close(link, 1);
	EXPECT_EQ(gone, link_try_send(link, 0));
	expect_drops(_metadata, NULL, 0, 0);
}

/* Of a stream, some of it is in the socket, where no skb is, and its reader has
 * taken over more than it has read. What is beyond the reader's buffer is no
 * drop if it is of a message: the reader knows.
 */
TEST_F(any, unread)
{
	bool stream = variant->type == SOCK_STREAM;
	struct link *link = &self->link;
	__u32 channel;
	char buf[100];
	int fd;

	/* Both ends, one after the other */
	link_expect_send(_metadata, link, 0, "abc");
	send_large(_metadata, link);
	if (!stream)
		link_expect_send(_metadata, link, 0, "");
	link_expect_send(_metadata, link, 1, stream ? "defgh" : "");
	link_close(link, 0);
	expect_drops(_metadata, "SOCKET_CLOSE", 1, stream ? 5 : 0);
	link_close(link, 1);
	expect_drops(_metadata, "SOCKET_CLOSE", stream ? 1 : 3, 3 + LARGE);

	link_make(_metadata, link, variant->type, variant->made);
	send_large(_metadata, link);
	send_large(_metadata, link);
	ASSERT_EQ(100, recv(link->fd[1], buf, 100, MSG_DONTWAIT));
	link_expect_send(_metadata, link, 0, "abc");
	link_close(link, 1);
	expect_drops(_metadata, "SOCKET_CLOSE", stream ? 1 : 2,
		     stream ? 2 * LARGE - 97 : LARGE + 3);

	if (variant->made != BY_CONNECT)
		return;
	/* Connections that wait for accept() */
	my_type = variant->type;
	fd = my_listener(_metadata, 5, &channel);
	expect_send(_metadata, my_client(_metadata, channel), "abc");
	expect_send(_metadata, my_client(_metadata, channel), "defg");
	close(fd);
	expect_drops(_metadata, "SOCKET_UNACCEPTED", 2, 7);
}

/* A filter is run for messages only. And a message is gone when it could not be
 * copied, the data of a stream is not; a peek takes nothing.
 */
TEST_F(any, filtered_and_faulted)
{
	bool stream = variant->type == SOCK_STREAM;
	struct link *link = &self->link;
	void *bad = (void *)8;
	int fd = link->fd[1];
	struct got got;
	__u32 *ovfl;

	set_int_opt(_metadata, fd, SO_RXQ_OVFL, 1);
	ASSERT_EQ(0, my_filter(fd, 0));
	if (!stream) {
		link_expect_send(_metadata, link, 0, "abc");
		link_expect_send(_metadata, link, 0, "");
		expect_drops(_metadata, "SOCKET_FILTER", 2, 3);
	}
	set_int_opt(_metadata, fd, SO_DETACH_FILTER, 1);
	link_expect_send(_metadata, link, 0, stream ? "x" : "abc");
	EXPECT_EQ(EFAULT, err_of(recv(fd, bad, 8, MSG_DONTWAIT | MSG_PEEK)));
	EXPECT_EQ(EFAULT, err_of(recv(fd, bad, 8, MSG_DONTWAIT)));
	if (!stream)
		expect_drops(_metadata, "SKB_UCOPY_FAULT", 1, 3);
	else
		EXPECT_EQ(0, try_recv(fd));
	link_expect_send(_metadata, link, 0, "x");
	ovfl = expect_cmsg(_metadata, fd, "x", 0, &got, SO_RXQ_OVFL,
			   sizeof(*ovfl));
	EXPECT_EQ(stream ? 0 : 3, ovfl ? *ovfl : 0);
	EXPECT_EQ(stream ? 0 : 3, my_meminfo(_metadata, fd, SK_MEMINFO_DROPS));
	expect_drops(_metadata, NULL, 0, 0);
}

int main(int argc, char **argv)
{
	int fd = socket(AF_MYPROTO, SOCK_STREAM, 0);
	char filter[64];

	tracefs_begin();
	snprintf(filter, sizeof(filter), "netns_cookie == %llu",
		 cookie_opt(fd, SO_NETNS_COOKIE));
	if (write_file(".", "events/myproto/myproto_drop/filter", filter) ||
	    write_file(".", "events/myproto/myproto_drop/enable", "1"))
		ksft_exit_fail_msg("myproto_drop cannot be traced\n");
	return test_harness_run(argc, argv);
}
