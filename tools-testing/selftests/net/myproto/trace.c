// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO tracepoints: a short connection on channel 4242 leaves a line for
 * every operation, with the channel and, for data, the length; and so does what
 * is dropped, with the reason. Each socket is made once and released once.
 */
#include <linux/filter.h>

#include "tracefs.h"

#define CHANNEL		4242
#define SENT		7	/* by the server, which is on the channel */
#define RECEIVED	13

/* What getsockopt() says of the sockets of the first connection, ... */
static __u64 listener_cookie, client_cookie, server_cookie, netns_cookie;

/* ... of a socketpair(), and of a SOCK_DGRAM socket and its peer */
static __u64 pair_cookie[2], dgram_cookie[2];

static int bound(int type, __u32 channel)
{
	int fd = socket(AF_MYPROTO, type, 0);

	my_bind(fd, channel);
	return fd;
}

static void short_connection(void)
{
	int listener, client, server, pair[2];
	char buf[RECEIVED] = "";

	/* What fails here is missing in the trace. */
	listener = bound(SOCK_STREAM, CHANNEL);
	listen(listener, 7);
	client = bound(SOCK_STREAM, CHANNEL + 1);
	my_connect(client, CHANNEL);
	server = accept(listener, NULL, NULL);
	listener_cookie = cookie_opt(listener, SO_COOKIE);
	client_cookie = cookie_opt(client, SO_COOKIE);
	server_cookie = cookie_opt(server, SO_COOKIE);
	netns_cookie = cookie_opt(server, SO_NETNS_COOKIE);
	send(client, buf, RECEIVED, 0);
	recv(server, buf, RECEIVED, MSG_DONTWAIT);
	send(server, buf, SENT, 0);
	recv(client, buf, SENT, MSG_DONTWAIT);
	shutdown(server, SHUT_RDWR);
	close(client);
	close(server);
	close(listener);

	client = socket(AF_MYPROTO, SOCK_STREAM, 0);
	my_connect(client, CHANNEL + 1);
	close(client);
	if (!socketpair(AF_MYPROTO, SOCK_STREAM, 0, pair)) {
		pair_cookie[0] = cookie_opt(pair[0], SO_COOKIE);
		pair_cookie[1] = cookie_opt(pair[1], SO_COOKIE);
		close(pair[0]);
		close(pair[1]);
	}
}

static void drop_messages(void)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	struct sock_fprog prog = { .len = 1, .filter = code };
	int client = bound(SOCK_DGRAM, CHANNEL + 1), val = 1;
	int server = bound(SOCK_DGRAM, CHANNEL);
	char buf[12] = "";

	/* Or a small message has no skb. */
	setsockopt(server, SOL_SOCKET, SO_RXQ_OVFL, &val, sizeof(val));
	setsockopt(server, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
	my_sendto(client, CHANNEL, buf, 11, 0);
	setsockopt(server, SOL_SOCKET, SO_DETACH_FILTER, &val, sizeof(val));
	my_sendto(client, CHANNEL, buf, 12, 0);
	recv(server, (void *)8, 12, MSG_DONTWAIT);
	my_sendto(client, CHANNEL, buf, 0, 0);
	dgram_cookie[0] = cookie_opt(client, SO_COOKIE);
	dgram_cookie[1] = cookie_opt(server, SO_COOKIE);
	my_connect(client, CHANNEL);
	close(client);
	close(server);
}

static void drop_streams(void)
{
	int client, listener, server;
	char buf[9000] = "";

	listener = bound(SOCK_STREAM, CHANNEL);
	listen(listener, 1);
	client = bound(SOCK_STREAM, CHANNEL + 1);
	my_connect(client, CHANNEL);
	server = accept(listener, NULL, NULL);
	send(client, buf, 13, 0);
	send(client, buf, 9000, 0);
	close(server);
	close(client);

	client = socket(AF_MYPROTO, SOCK_STREAM, 0);
	my_connect(client, CHANNEL);
	send(client, buf, 9000, 0);
	close(listener);
	close(client);
}

static char trace[65536];
static char *lines[512];
static int count;

/* Record the events of this process alone: what others do is left out. Returns
 * what went wrong, or NULL.
 */
static const char *record(void)
{
	char pid[16], *line;

	snprintf(pid, sizeof(pid), "%d", getpid());
	if (tracefs_write("set_event_pid", pid))
		return "set_event_pid cannot be written";
	if (tracefs_write("events/myproto/enable", "1"))
		return "events/myproto cannot be enabled";
	/* Of the skbs that are dropped, those without a socket are many. */
	if (tracefs_write("events/skb/kfree_skb/filter", "rx_sk != 0") ||
	    tracefs_write("events/skb/kfree_skb/enable", "1"))
		return "skb:kfree_skb cannot be enabled";
	short_connection();
	drop_messages();
	drop_streams();
	if (tracefs_write("events/enable", "0"))
		return "events cannot be disabled";
	if (!tracefs_trace(trace, sizeof(trace)))
		return "trace cannot be read, or is too long";
	for (line = strtok(trace, "\n"); line; line = strtok(NULL, "\n")) {
		if (count == ARRAY_SIZE(lines))
			return "trace has too many lines";
		lines[count++] = line;
	}
	return NULL;
}

/* Whether @line has @field, and not just as a part of another one */
static bool has_field(const char *line, const char *field)
{
	size_t len = strlen(field);
	const char *p = line;

	while ((p = strstr(p, field))) {
		if (p != line && p[-1] == ' ' && (!p[len] || p[len] == ' '))
			return true;
		p += len;
	}
	return false;
}

/* How many of the first @n lines are of @event, with the fields @a, @b and @c
 * or those of them that are there
 */
static int count_lines(int n, const char *event, const char *a, const char *b,
		       const char *c)
{
	char name[64];
	int found = 0;

	snprintf(name, sizeof(name), " myproto_%s: ", event);
	while (n--)
		found += strstr(lines[n], name) &&
			 (!a || has_field(lines[n], a)) &&
			 (!b || has_field(lines[n], b)) &&
			 (!c || has_field(lines[n], c));
	return found;
}

/* The word that comes after @name in @line */
static const char *word(const char *line, const char *name)
{
	const char *p = strstr(line, name);

	if (!p)
		return "";
	p += strlen(name);
	return strndup(p, strcspn(p, " "));
}

/* A field with a number */
static const char *number(const char *name, __u64 val)
{
	char *text = NULL;

	if (asprintf(&text, "%s=%llu", name, val) < 0)
		abort();
	return text;
}

TEST(events)
{
	static const char * const events[][4] = {
		/* It has no channel yet. */
		{ "create", "channel=0" },
		{ "socketpair", "channel=0" },
		{ "bind", "type=SOCK_DGRAM", "addr=4242", "ret=0" },
		{ "listen", "channel=4242", "backlog=7", "ret=0" },
		{ "connect", "addr=4242", "peer=4242", "ret=0" },
		{ "connect", "addr=4243", "peer_cookie=0", "ret=-111" },
		{ "accept", "channel=4242", "peer=4243", "ret=0" },
		{ "shutdown", "channel=4242", "how=2", "ret=0" },
		{ "release", "type=SOCK_STREAM", "channel=4242", "peer=4243" },
		{ "sendmsg", "channel=4242", "len=7", "ret=7" },
		{ "recvmsg", "channel=4242", "len=13", "ret=13" },
		{ "drop", "from=4243", "len=11", "reason=SOCKET_FILTER" },
		{ "drop", "from=4243", "len=12", "reason=SKB_UCOPY_FAULT" },
		{ "drop", "channel=4242", "len=0", "reason=SOCKET_CLOSE" },
		/* 13 of these bytes are in the socket, the others in an skb. */
		{ "drop", "from=4243", "len=9013", "reason=SOCKET_CLOSE" },
		{ "drop", "channel=4242", "len=9000",
		  "reason=SOCKET_UNACCEPTED" },
	};
	const char * const *e;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(events); i++) {
		e = events[i];
		EXPECT_LT(0, count_lines(count, e[0], e[1], e[2], e[3]))
			TH_LOG("no %s with %s %s %s", e[0], e[1], e[2] ?: "",
			       e[3] ?: "");
	}
}

/* Each event names the socket, its type and its channel, and the namespace. */
TEST(names_socket)
{
	const char *netns = number("netns_cookie", netns_cookie);
	int i, events = 0;

	for (i = 0; i < count; i++) {
		if (!strstr(lines[i], " myproto_"))
			continue;
		EXPECT_TRUE(has_field(lines[i], netns) &&
			    strstr(lines[i], " skaddr=") &&
			    strstr(lines[i], " cookie=") &&
			    !has_field(lines[i], "cookie=0") &&
			    strstr(lines[i], " type=SOCK_") &&
			    strstr(lines[i], " channel="))
			TH_LOG("%s", lines[i]);
		events++;
	}
	EXPECT_LT(30, events);
}

/* What makes a connection names both ends, by what getsockopt() calls them. */
TEST(names_both_ends)
{
	EXPECT_EQ(1, count_lines(count, "connect",
				 number("cookie", client_cookie),
				 number("peer_cookie", server_cookie), NULL));
	EXPECT_EQ(1, count_lines(count, "accept",
				 number("cookie", listener_cookie),
				 number("new_cookie", server_cookie),
				 number("peer_cookie", client_cookie)));
	EXPECT_EQ(1, count_lines(count, "socketpair",
				 number("cookie", pair_cookie[0]),
				 number("peer_cookie", pair_cookie[1]), NULL));
	EXPECT_EQ(1, count_lines(count, "connect",
				 number("cookie", dgram_cookie[0]),
				 number("peer_cookie", dgram_cookie[1]), NULL));
}

/* Each of these drops is an skb:kfree_skb too, of the same socket and for the
 * same reason.
 */
TEST(kfree_skb)
{
	const char *sk = NULL, *reason = NULL;
	int i, drops = 0;

	for (i = 0; i < count; i++) {
		if (strstr(lines[i], " myproto_drop: ")) {
			/* The last had one. */
			EXPECT_EQ(NULL, sk);
			reason = word(lines[i], " reason=");
			sk = word(lines[i], " skaddr=");
		} else if (sk && strstr(lines[i], " kfree_skb: ") &&
			   !strcmp(word(lines[i], " rx_sk="), sk)) {
			EXPECT_STREQ(reason, word(lines[i], " reason: "));
			sk = NULL;
			drops++;
		}
	}
	EXPECT_EQ(NULL, sk);
	EXPECT_EQ(5, drops);
}

/* Each socket is made before anything else is said of it, and released at last,
 * those too that connect() makes for accept().
 */
TEST(each_once)
{
	const char *cookie;
	int made, i;

	for (i = 0; i < count; i++) {
		/* What close() drops comes after the release. */
		if (!strstr(lines[i], " myproto_") ||
		    strstr(lines[i], " myproto_drop: "))
			continue;
		cookie = strstr(lines[i], " cookie=");
		ASSERT_NE(NULL, cookie);
		cookie = strndup(cookie + 1, strcspn(cookie + 1, " "));
		EXPECT_EQ(1, count_lines(i + 1, "create", cookie, NULL, NULL))
			TH_LOG("%s", lines[i]);
		EXPECT_EQ(0, count_lines(i, "release", cookie, NULL, NULL))
			TH_LOG("%s", lines[i]);
	}
	made = count_lines(count, "create", NULL, NULL, NULL);
	EXPECT_LT(0, made);
	EXPECT_EQ(made, count_lines(count, "release", NULL, NULL, NULL));
}

int main(int argc, char **argv)
{
	const char *error;

	/* The events come with the module. */
	my_start();
	/* The trace is made once, before the tests: to set up an instance takes
	 * long. They all look at the text.
	 */
	tracefs_begin();
	error = record();
	if (error)
		ksft_exit_fail_msg("%s\n", error);
	return test_harness_run(argc, argv);
}
