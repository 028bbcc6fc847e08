// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO tracepoints: a short connection on channel 4242 leaves a line for
 * every operation, with the channel and, for data, the length; and so does what
 * is dropped, with the reason. Each socket is made once and released once.
 */
#include "destroy.h"
#include "tracefs.h"

#define CHANNEL		4242
#define SENT		7	/* by the server, which is on the channel */
#define RECEIVED	13

/* What SO_COOKIE says of the sockets of the first connection, of a
 * socketpair(), and of a SOCK_DGRAM socket and its peer; and SO_NETNS_COOKIE
 */
enum { LISTENER, CLIENT, SERVER, PAIR, DGRAM = PAIR + 2, NETNS = DGRAM + 2 };
static __u64 cookies[NETNS + 1];

static void store_cookie(int i, int fd)
{
	cookies[i] = cookie_opt(fd, SO_COOKIE);
	cookies[NETNS] = cookie_opt(fd, SO_NETNS_COOKIE);
}

static int bound(int type, __u32 channel)
{
	int fd = socket(AF_MYPROTO, type, 0);

	my_bind(fd, channel);
	return fd;
}

/* What fails in these is missing in the trace. */

static int connection(int *listener, int *client)
{
	*listener = bound(SOCK_STREAM, CHANNEL);
	listen(*listener, 7);
	*client = bound(SOCK_STREAM, CHANNEL + 1);
	my_connect(*client, CHANNEL);
	return accept(*listener, NULL, NULL);
}

static void short_connection(void)
{
	int listener, client, server = connection(&listener, &client), pair[2];
	char buf[RECEIVED] = "";

	store_cookie(LISTENER, listener);
	store_cookie(CLIENT, client);
	store_cookie(SERVER, server);
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
		store_cookie(PAIR, pair[0]);
		store_cookie(PAIR + 1, pair[1]);
		close(pair[0]);
		close(pair[1]);
	}
}

static void drop_messages(void)
{
	int client = bound(SOCK_DGRAM, CHANNEL + 1), val = 1;
	int server = bound(SOCK_DGRAM, CHANNEL);
	char buf[12] = "";

	/* Or a small message has no skb. */
	setsockopt(server, SOL_SOCKET, SO_RXQ_OVFL, &val, sizeof(val));
	my_filter(server, 0);
	my_sendto(client, CHANNEL, buf, 11, 0);
	setsockopt(server, SOL_SOCKET, SO_DETACH_FILTER, &val, sizeof(val));
	my_sendto(client, CHANNEL, buf, 12, 0);
	recv(server, (void *)8, 12, MSG_DONTWAIT);
	my_sendto(client, CHANNEL, buf, 0, 0);
	store_cookie(DGRAM, client);
	store_cookie(DGRAM + 1, server);
	my_connect(client, CHANNEL);
	close(client);
	close(server);
}

static void drop_streams(void)
{
	int client, listener, server = connection(&listener, &client);
	char buf[9000] = "";

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

/* Record the events of this process alone: what others do is left out. Of the
 * skbs that are dropped, those without a socket are many.
 */
static bool record(void)
{
	char pid[16], *line;

	snprintf(pid, sizeof(pid), "%d", getpid());
	if (tracefs_write("set_event_pid", pid) ||
	    tracefs_write("events/myproto/enable", "1") ||
	    tracefs_write("events/skb/kfree_skb/filter", "rx_sk != 0") ||
	    tracefs_write("events/skb/kfree_skb/enable", "1"))
		return false;
	short_connection();
	drop_messages();
	drop_streams();
	if (tracefs_write("events/enable", "0") ||
	    !tracefs_trace(trace, sizeof(trace)))
		return false;
	for (line = strtok(trace, "\n"); line; line = strtok(NULL, "\n")) {
		if (count == ARRAY_SIZE(lines))
			return false;
		lines[count++] = line;
	}
	return true;
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

/* A field with a cookie */
static const char *cookie(const char *name, int i)
{
	char *text = NULL;

	if (asprintf(&text, "%s=%llu", name, cookies[i]) < 0)
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

/* Each event names the socket, its type and its channel, and the namespace. A
 * socket is made before anything else is said of it, and released at last; so
 * are those that connect() makes for accept().
 */
TEST(each_socket)
{
	const char *netns = cookie("netns_cookie", NETNS), *field;
	int made, i, events = 0;

	for (i = 0; i < count; i++) {
		if (!strstr(lines[i], " myproto_"))
			continue;
		field = strstr(lines[i], " cookie=");
		EXPECT_TRUE(has_field(lines[i], netns) &&
			    strstr(lines[i], " skaddr=") && field &&
			    !has_field(lines[i], "cookie=0") &&
			    strstr(lines[i], " type=SOCK_") &&
			    strstr(lines[i], " channel="))
			TH_LOG("%s", lines[i]);
		events++;
		/* What close() drops comes after the release. */
		if (strstr(lines[i], " myproto_drop: "))
			continue;
		ASSERT_NE(NULL, field);
		field = strndup(field + 1, strcspn(field + 1, " "));
		EXPECT_EQ(1, count_lines(i + 1, "create", field, NULL, NULL) -
			     count_lines(i, "release", field, NULL, NULL))
			TH_LOG("%s", lines[i]);
	}
	EXPECT_LT(30, events);
	made = count_lines(count, "create", NULL, NULL, NULL);
	EXPECT_LT(0, made);
	EXPECT_EQ(made, count_lines(count, "release", NULL, NULL, NULL));
}

/* What makes a connection names both ends, by what getsockopt() calls them. */
TEST(names_both_ends)
{
	EXPECT_EQ(1, count_lines(count, "connect", cookie("cookie", CLIENT),
				 cookie("peer_cookie", SERVER), NULL));
	EXPECT_EQ(1, count_lines(count, "accept", cookie("cookie", LISTENER),
				 cookie("new_cookie", SERVER),
				 cookie("peer_cookie", CLIENT)));
	EXPECT_EQ(1, count_lines(count, "socketpair", cookie("cookie", PAIR),
				 cookie("peer_cookie", PAIR + 1), NULL));
	EXPECT_EQ(1, count_lines(count, "connect", cookie("cookie", DGRAM),
				 cookie("peer_cookie", DGRAM + 1), NULL));
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

int main(int argc, char **argv)
{
	/* The trace is made once, before the tests: to set up an instance takes
	 * long. They all look at the text.
	 */
	tracefs_begin();
	if (!record())
		ksft_exit_fail_msg("no trace: %s\n", strerror(errno));
	return test_harness_run(argc, argv);
}
