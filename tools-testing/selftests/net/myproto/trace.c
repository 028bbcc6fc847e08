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

static char trace[65536];

FIXTURE(trace) {};

FIXTURE_VARIANT(trace)
{
	const char *event;
	const char *fields[3];
};

FIXTURE_VARIANT_ADD(trace, create)
{
	.event = "myproto_create",
	/* It has none yet. */
	.fields = { "channel=0" },
};

FIXTURE_VARIANT_ADD(trace, socketpair)
{
	.event = "myproto_socketpair",
	.fields = { "channel=0" },
};

FIXTURE_VARIANT_ADD(trace, bind)
{
	.event = "myproto_bind",
	.fields = { "type=SOCK_DGRAM", "addr=4242", "ret=0" },
};

FIXTURE_VARIANT_ADD(trace, listen)
{
	.event = "myproto_listen",
	.fields = { "channel=4242", "backlog=7", "ret=0" },
};

FIXTURE_VARIANT_ADD(trace, connect)
{
	.event = "myproto_connect",
	.fields = { "addr=4242", "peer=4242", "ret=0" },
};

FIXTURE_VARIANT_ADD(trace, connect_refused)
{
	.event = "myproto_connect",
	.fields = { "addr=4243", "peer_cookie=0", "ret=-111" },
};

FIXTURE_VARIANT_ADD(trace, accept)
{
	.event = "myproto_accept",
	.fields = { "channel=4242", "peer=4243", "ret=0" },
};

FIXTURE_VARIANT_ADD(trace, shutdown)
{
	.event = "myproto_shutdown",
	.fields = { "channel=4242", "how=2", "ret=0" },
};

FIXTURE_VARIANT_ADD(trace, release)
{
	.event = "myproto_release",
	.fields = { "type=SOCK_STREAM", "channel=4242", "peer=4243" },
};

FIXTURE_VARIANT_ADD(trace, sendmsg)
{
	.event = "myproto_sendmsg",
	.fields = { "channel=4242", "len=7", "ret=7" },
};

FIXTURE_VARIANT_ADD(trace, recvmsg)
{
	.event = "myproto_recvmsg",
	.fields = { "channel=4242", "len=13", "ret=13" },
};

FIXTURE_VARIANT_ADD(trace, drop_filtered)
{
	.event = "myproto_drop",
	.fields = { "from=4243", "len=11", "reason=SOCKET_FILTER" },
};

FIXTURE_VARIANT_ADD(trace, drop_faulted)
{
	.event = "myproto_drop",
	.fields = { "from=4243", "len=12", "reason=SKB_UCOPY_FAULT" },
};

FIXTURE_VARIANT_ADD(trace, drop_empty_message)
{
	.event = "myproto_drop",
	.fields = { "channel=4242", "len=0", "reason=SOCKET_CLOSE" },
};

/* The 13 bytes are in the socket, the others in an skb. */
FIXTURE_VARIANT_ADD(trace, drop_stream)
{
	.event = "myproto_drop",
	.fields = { "from=4243", "len=9013", "reason=SOCKET_CLOSE" },
};

FIXTURE_VARIANT_ADD(trace, drop_unaccepted)
{
	.event = "myproto_drop",
	.fields = { "channel=4242", "len=9000", "reason=SOCKET_UNACCEPTED" },
};

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

/* Record the events of this process alone: what others do is left out. Returns
 * what went wrong, or NULL.
 */
static const char *record(void)
{
	char pid[16];

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
	return NULL;
}

FIXTURE_SETUP(trace)
{
}

FIXTURE_TEARDOWN(trace)
{
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

/* The next line of the trace that is an event of the family. Changing the text
 * is harmless: each test is a process.
 */
static char *next_event(char *from)
{
	char *line;

	while ((line = strtok(from, "\n"))) {
		if (strstr(line, " myproto_"))
			return line;
		from = NULL;
	}
	return NULL;
}

TEST_F(trace, event)
{
	bool seen = false, match;
	char name[64];
	char *line;
	size_t i;

	snprintf(name, sizeof(name), " %s:", variant->event);
	for (line = next_event(trace); line; line = next_event(NULL)) {
		match = strstr(line, name);
		for (i = 0; i < ARRAY_SIZE(variant->fields); i++)
			if (match && variant->fields[i])
				match = has_field(line, variant->fields[i]);
		seen |= match;
	}
	EXPECT_TRUE(seen)
		TH_LOG("no %s with %s %s %s", variant->event,
		       variant->fields[0], variant->fields[1] ?: "",
		       variant->fields[2] ?: "");
}

/* Each event names the socket, its type and its channel, and the namespace. */
TEST(names_socket)
{
	char *line, netns[64];
	int count = 0;

	snprintf(netns, sizeof(netns), "netns_cookie=%llu", netns_cookie);
	for (line = next_event(trace); line; line = next_event(NULL)) {
		EXPECT_TRUE(has_field(line, netns) &&
			    strstr(line, " skaddr=") &&
			    strstr(line, " cookie=") &&
			    !has_field(line, "cookie=0") &&
			    strstr(line, " type=SOCK_") &&
			    strstr(line, " channel="))
			TH_LOG("%s", line);
		count++;
	}
	EXPECT_LT(30, count);
}

/* How many lines of @event there are with three cookies, by their names */
static int count_ends(const char *event, __u64 cookie, const char *name,
		      __u64 other, __u64 peer)
{
	char text[sizeof(trace)], fields[3][64];
	char *line;
	int count = 0;

	snprintf(fields[0], 64, "cookie=%llu", cookie);
	snprintf(fields[1], 64, "%s=%llu", name, other);
	snprintf(fields[2], 64, "peer_cookie=%llu", peer);
	strcpy(text, trace);
	for (line = next_event(text); line; line = next_event(NULL))
		count += strstr(line, event) && has_field(line, fields[0]) &&
			 has_field(line, fields[1]) &&
			 has_field(line, fields[2]);
	return count;
}

/* What makes a connection names both ends, by what getsockopt() calls them. */
TEST(names_both_ends)
{
	__u64 netns = netns_cookie;

	EXPECT_EQ(1, count_ends(" myproto_connect: ", client_cookie,
				"netns_cookie", netns, server_cookie));
	EXPECT_EQ(1, count_ends(" myproto_accept: ", listener_cookie,
				"new_cookie", server_cookie, client_cookie));
	EXPECT_EQ(1, count_ends(" myproto_socketpair: ", pair_cookie[0],
				"netns_cookie", netns, pair_cookie[1]));
	EXPECT_EQ(1, count_ends(" myproto_connect: ", dgram_cookie[0],
				"netns_cookie", netns, dgram_cookie[1]));
}

/* The word after @name in @line, the last of which it ends */
static char *word_after(char *line, const char *name)
{
	char *p = strstr(line, name);

	return p ? strtok(p + strlen(name), " ") : NULL;
}

/* Each of these drops is an skb:kfree_skb too, of the same socket and for the
 * same reason.
 */
TEST(kfree_skb)
{
	char *line, *next, *drop, *sk = NULL, *reason = NULL, *rx_sk, *why;
	int count = 0;

	for (line = trace; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;

		drop = strstr(line, " myproto_drop: ");
		if (drop) {
			/* The last had one. */
			EXPECT_EQ(NULL, sk);
			reason = word_after(drop, " reason=");
			sk = word_after(drop, " skaddr=");
			continue;
		}
		if (!sk || !strstr(line, " kfree_skb: "))
			continue;

		why = word_after(line, " reason: ");
		rx_sk = word_after(line, " rx_sk=");
		ASSERT_NE(NULL, why);
		ASSERT_NE(NULL, rx_sk);
		if (strcmp(rx_sk, sk))
			continue;
		EXPECT_STREQ(reason, why);
		sk = NULL;
		count++;
	}
	EXPECT_EQ(NULL, sk);
	EXPECT_EQ(5, count);
}

/* Sockets that have been made and not released, by their cookies */
static char *alive[32];

static char **alive_find(const char *cookie)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(alive); i++)
		if (cookie ? alive[i] && !strcmp(alive[i], cookie) : !alive[i])
			return &alive[i];
	return NULL;
}

/* Each socket is made before anything else is said of it, and released at last,
 * those too that connect() makes for accept().
 */
TEST(each_once)
{
	int made = 0, released = 0;
	char *line, *next, *cookie;
	char **slot;

	for (line = trace; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		/* What close() drops comes after the release. */
		if (!strstr(line, " myproto_") ||
		    strstr(line, " myproto_drop: "))
			continue;

		cookie = strstr(line, " cookie=");
		ASSERT_NE(NULL, cookie);
		cookie = strndup(cookie + 8, strcspn(cookie + 8, " "));
		slot = alive_find(cookie);
		if (strstr(line, " myproto_create: ")) {
			ASSERT_EQ(NULL, slot)
				TH_LOG("%s is made twice", cookie);
			slot = alive_find(NULL);
			ASSERT_NE(NULL, slot);
			*slot = cookie;
			made++;
			continue;
		}
		ASSERT_NE(NULL, slot)
			TH_LOG("%s has not been made: %s", cookie, line);
		if (strstr(line, " myproto_release: ")) {
			*slot = NULL;
			released++;
		}
	}
	EXPECT_LT(0, made);
	EXPECT_EQ(made, released);
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
