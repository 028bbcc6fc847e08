// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO tracepoints: a short connection on channel 4242 leaves a line for
 * every operation, with the channel and, for data, the length; and so does what
 * is dropped, with the reason. Each socket is made once and released once.
 */
#include <fnmatch.h>
#include <stdarg.h>

#include "destroy.h"
#include "tracefs.h"

#define CHANNEL		4242

/* What SO_COOKIE and SO_NETNS_COOKIE say */
static struct {
	__u64 netns, listener, client, server, pair[2], from, to;
} cookies;

static int bound(int type, __u32 channel)
{
	int fd = socket(AF_MYPROTO, type, 0);

	my_bind(fd, channel);
	return fd;
}

/* What fails in these is missing in the trace. */

static void streams(void)
{
	int listener = bound(SOCK_STREAM, CHANNEL), client, server;
	char buf[9000] = "";

	client = bound(SOCK_STREAM, CHANNEL + 1);
	listen(listener, 7);
	my_connect(client, CHANNEL + 2);
	my_connect(client, CHANNEL);
	server = accept(listener, NULL, NULL);
	cookies.netns = cookie_opt(listener, SO_NETNS_COOKIE);
	cookies.listener = cookie_opt(listener, SO_COOKIE);
	cookies.client = cookie_opt(client, SO_COOKIE);
	cookies.server = cookie_opt(server, SO_COOKIE);
	send(client, buf, 13, 0);
	recv(server, buf, 13, MSG_DONTWAIT);
	send(server, buf, 7, 0);
	recv(client, buf, 7, MSG_DONTWAIT);

	/* 13 of these bytes are in the socket, the others in an skb. */
	send(client, buf, 13, 0);
	send(client, buf, 9000, 0);
	shutdown(server, SHUT_RDWR);
	close(server);
	close(client);
	client = socket(AF_MYPROTO, SOCK_STREAM, 0);
	my_connect(client, CHANNEL);
	send(client, buf, 9000, 0);
	close(listener);
	close(client);
}

static void messages(void)
{
	int client = bound(SOCK_DGRAM, CHANNEL + 1), val = 1, pair[2];
	int server = bound(SOCK_DGRAM, CHANNEL);
	char buf[12] = "";

	cookies.from = cookie_opt(client, SO_COOKIE);
	cookies.to = cookie_opt(server, SO_COOKIE);
	/* Or a small message has no skb. */
	setsockopt(server, SOL_SOCKET, SO_RXQ_OVFL, &val, sizeof(val));
	my_sendto(client, CHANNEL, buf, 12, 0);
	recv(server, (void *)8, 12, MSG_DONTWAIT);
	my_sendto(client, CHANNEL, buf, 0, 0);
	my_connect(client, CHANNEL);
	close(client);
	close(server);

	socketpair(AF_MYPROTO, SOCK_SEQPACKET, 0, pair);
	cookies.pair[0] = cookie_opt(pair[0], SO_COOKIE);
	cookies.pair[1] = cookie_opt(pair[1], SO_COOKIE);
	close(pair[0]);
	close(pair[1]);
}

static char lines[512][512];
static int count;

/* Record the events of this process alone: what others do is left out. Of the
 * skbs that are dropped, those without a socket are many.
 */
static bool record(void)
{
	char pid[16];
	FILE *f;

	snprintf(pid, sizeof(pid), "%d", getpid());
	if (write_file(".", "set_event_pid", pid) ||
	    write_file(".", "events/myproto/enable", "1") ||
	    write_file(".", "events/skb/kfree_skb/filter", "rx_sk != 0") ||
	    write_file(".", "events/skb/kfree_skb/enable", "1"))
		return false;
	streams();
	messages();
	if (write_file(".", "events/enable", "0"))
		return false;
	f = fopen("trace", "r");
	if (!f)
		return false;
	while (count < ARRAY_SIZE(lines) &&
	       fscanf(f, "%511[^\n]\n", lines[count]) == 1)
		count++;
	fclose(f);
	return count < ARRAY_SIZE(lines);
}

/* How many of the lines from @i to @end are of such an event; "*" in @event
 * stands for anything
 */
static int count_lines(int i, int end, const char *event, ...)
{
	char pattern[256] = "* myproto_";
	size_t len = strlen(pattern);
	int found = 0;
	va_list args;

	va_start(args, event);
	vsnprintf(pattern + len, sizeof(pattern) - len, event, args);
	va_end(args);
	for (; i < end; i++)
		found += !fnmatch(pattern, lines[i], 0);
	return found;
}

/* What makes a connection names both ends, by what getsockopt() calls them. */
TEST(events)
{
	const struct {
		const char *event;
		__u64 cookie, other;
	} rows[] = {
		{ "create: * cookie=%llu * channel=0 peer=0 peer_cookie=0",
		  cookies.client },
		{ "bind: * type=SOCK_DGRAM channel=4242 addr=4242 ret=0" },
		{ "listen: * channel=4242 backlog=7 ret=0" },
		{ "connect: * addr=4244 peer=0 peer_cookie=0 ret=-111" },
		{ "connect: *STREAM channel=4243 addr=4242 peer=4242 *" },
		{ "connect: *DGRAM channel=4243 addr=4242 peer=4242 *" },
		{ "connect: * cookie=%llu * peer_cookie=%llu ret=0",
		  cookies.client, cookies.server },
		{ "connect: * cookie=%llu * peer_cookie=%llu ret=0",
		  cookies.from, cookies.to },
		{ "accept: * cookie=%llu * channel=4242 new_cookie=%llu *",
		  cookies.listener, cookies.server },
		{ "accept: * peer=4243 peer_cookie=%llu ret=0",
		  cookies.client },
		{ "socketpair: * cookie=%llu * channel=0 * peer_cookie=%llu",
		  cookies.pair[0], cookies.pair[1] },
		{ "shutdown: * channel=4242 peer=4243 how=2 ret=0" },
		{ "release: * type=SOCK_STREAM channel=4242 peer=4243 *" },
		{ "sendmsg: * channel=4242 peer=4243 addr=0 len=7 * ret=7" },
		{ "recvmsg: * channel=4242 peer=4243 addr=0 len=13 * ret=13" },
		{ "drop: * from=4243 len=12 reason=SKB_UCOPY_FAULT" },
		{ "drop: * channel=4242 * len=0 reason=SOCKET_CLOSE" },
		{ "drop: * from=4243 len=9013 reason=SOCKET_CLOSE" },
		{ "drop: * channel=4242 * len=9000 reason=SOCKET_UNACCEPTED" },
	}, *row;

	for (row = rows; row < rows + ARRAY_SIZE(rows); row++) {
		EXPECT_EQ(1, count_lines(0, count, row->event, row->cookie,
					 row->other))
			TH_LOG("%s", row->event);
	}
}

/* Each event names the socket, its type and its channel, and the namespace. A
 * socket is made before anything else is said of it, and released at last; so
 * are those that connect() makes for accept(). And each of these drops is an
 * skb:kfree_skb too, of the same socket and for the same reason.
 */
TEST(each_line)
{
	static const char each[] =
		"*skaddr=* cookie=%llu netns_cookie=%llu type=SOCK_* channel=*";
	char sk[32], wanted[128] = "";
	unsigned long long cookie;
	int i, drops = 0;
	const char *p;

	for (i = 0; i < count; i++) {
		if (!strstr(lines[i], " myproto_")) {
			if (!fnmatch(wanted, lines[i], 0)) {
				wanted[0] = 0;
				drops++;
			}
			continue;
		}
		p = strstr(lines[i], " cookie=");
		cookie = p ? strtoull(p + 8, NULL, 10) : 0;
		EXPECT_NE(0, cookie);
		EXPECT_EQ(1, count_lines(i, i + 1, each, cookie,
					 cookies.netns))
			TH_LOG("%s", lines[i]);
		p = strstr(lines[i], " myproto_drop: ");
		if (p) {
			/* The last had one. */
			EXPECT_STREQ("", wanted);
			ASSERT_TRUE(sscanf(p, " myproto_drop: skaddr=%31s",
					   sk) == 1);
			snprintf(wanted, sizeof(wanted),
				 "* kfree_skb: * rx_sk=%s * reason: %s", sk,
				 strrchr(p, '=') + 1);
			/* What close() drops comes after the release. */
			continue;
		}
		EXPECT_EQ(1, count_lines(0, i + 1, "create: * cookie=%llu *",
					 cookie) -
			     count_lines(0, i, "release: * cookie=%llu *",
					 cookie));
	}
	EXPECT_STREQ("", wanted);
	EXPECT_EQ(4, drops);
	EXPECT_EQ(count_lines(0, count, "create: *"),
		  count_lines(0, count, "release: *"));
}

int main(int argc, char **argv)
{
	/* All tests look at one trace: to set up an instance takes long. */
	tracefs_begin();
	if (!record())
		ksft_exit_fail_msg("no trace: %s\n", strerror(errno));
	return test_harness_run(argc, argv);
}
