// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO tracepoints: a short connection on channel 4242 leaves a line for
 * every operation, with the channel and, for data, the length; and so does what
 * is dropped, with the reason. Each socket is made once and released once.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include <linux/filter.h>

#include "util.h"

#define TRACEFS		"/sys/kernel/tracing"
#define CHANNEL		4242
#define SENT		7	/* by the server, which is on the channel */
#define RECEIVED	13

/* The trace is made once, before the tests: to set up an instance takes long.
 * They all look at the text.
 */
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
	.fields = { "channel=4242", "addr=4242", "ret=0" },
};

FIXTURE_VARIANT_ADD(trace, listen)
{
	.event = "myproto_listen",
	.fields = { "channel=4242", "backlog=7", "ret=0" },
};

FIXTURE_VARIANT_ADD(trace, connect)
{
	.event = "myproto_connect",
	.fields = { "channel=4243", "addr=4242", "ret=0" },
};

FIXTURE_VARIANT_ADD(trace, connect_refused)
{
	.event = "myproto_connect",
	.fields = { "addr=4243", "ret=-111" },
};

FIXTURE_VARIANT_ADD(trace, accept)
{
	.event = "myproto_accept",
	.fields = { "channel=4242", "newpeer=4243", "ret=0" },
};

FIXTURE_VARIANT_ADD(trace, shutdown)
{
	.event = "myproto_shutdown",
	.fields = { "channel=4242", "how=2", "ret=0" },
};

FIXTURE_VARIANT_ADD(trace, release)
{
	.event = "myproto_release",
	.fields = { "channel=4242" },
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
	.fields = { "from=4243", "len=12", "reason=MYPROTO_DROP_FAULT" },
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
	.fields = { "channel=4242", "len=1000",
		    "reason=MYPROTO_DROP_UNACCEPTED" },
};

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
		close(pair[0]);
		close(pair[1]);
	}
}

static void drop_messages(void)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	struct sock_fprog prog = { .len = 1, .filter = code };
	int client = bound(SOCK_DGRAM, CHANNEL + 1), val = 0;
	int server = bound(SOCK_DGRAM, CHANNEL);
	char buf[12] = "";

	setsockopt(server, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
	my_sendto(client, CHANNEL, buf, 11, 0);
	setsockopt(server, SOL_SOCKET, SO_DETACH_FILTER, &val, sizeof(val));
	my_sendto(client, CHANNEL, buf, 12, 0);
	recv(server, (void *)8, 12, MSG_DONTWAIT);
	my_sendto(client, CHANNEL, buf, 0, 0);
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
	send(client, buf, 1000, 0);
	close(listener);
	close(client);
}

/* Write to a file of the instance, or read all of it */
static int trace_file(const char *instance, const char *name, int flags,
		      char *buf, size_t len)
{
	size_t total = 0;
	ssize_t n = -1;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", instance, name);
	fd = open(path, flags);
	if (flags == O_WRONLY)
		n = write(fd, buf, len);
	else
		while ((n = read(fd, buf + total, len - total)) > 0)
			total += n;
	close(fd);
	return n < 0 ? -1 : 0;
}

/* Set up an instance, and record the events of this process alone there: what
 * others trace is left alone, and what others do is left out. Returns what went
 * wrong, or NULL.
 */
static const char *record(const char *instance)
{
	char pid[16];
	int len = snprintf(pid, sizeof(pid), "%d", getpid());

	if (trace_file(instance, "set_event_pid", O_WRONLY, pid, len))
		return "set_event_pid cannot be written";
	if (trace_file(instance, "events/myproto/enable", O_WRONLY, "1", 1))
		return "events/myproto cannot be enabled";
	/* Of the skbs that are dropped, those without a socket are many. */
	if (trace_file(instance, "events/skb/kfree_skb/filter", O_WRONLY,
		       "rx_sk != 0", 10) ||
	    trace_file(instance, "events/skb/kfree_skb/enable", O_WRONLY,
		       "1", 1))
		return "skb:kfree_skb cannot be enabled";
	short_connection();
	drop_messages();
	drop_streams();
	if (trace_file(instance, "events/enable", O_WRONLY, "0", 1))
		return "events cannot be disabled";
	if (trace_file(instance, "trace", O_RDONLY, trace, sizeof(trace) - 1))
		return "trace cannot be read";
	if (strlen(trace) == sizeof(trace) - 1)
		return "trace is too long";
	return NULL;
}

/* Record the trace; skips all tests where nothing can be traced */
static void record_trace(void)
{
	const char *error;
	char instance[64];

	/* Where it is not mounted, it is mounted for this process alone. */
	if (access(TRACEFS "/events", F_OK) &&
	    (my_private_mounts() ||
	     mount("tracefs", TRACEFS, "tracefs", 0, NULL)))
		ksft_exit_skip("no tracefs: %s\n", strerror(errno));
	/* All events come with CONFIG_EVENT_TRACING. */
	if (access(TRACEFS "/events/skb/kfree_skb", F_OK))
		ksft_exit_skip("no events of the network\n");
	if (access(TRACEFS "/events/myproto", F_OK))
		ksft_exit_fail_msg("there are events, but not of myproto\n");

	snprintf(instance, sizeof(instance),
		 TRACEFS "/instances/myproto-%d", getpid());
	if (mkdir(instance, 0700))
		ksft_exit_skip("no trace instance: %s\n", strerror(errno));
	error = record(instance);
	if (rmdir(instance) && !error)
		error = "the trace instance cannot be removed";
	if (error)
		ksft_exit_fail_msg("%s\n", error);
}

FIXTURE_SETUP(trace)
{
}

FIXTURE_TEARDOWN(trace)
{
}

/* Whether @line has @field, and not just as the start of another one */
static bool has_field(const char *line, const char *field)
{
	const char *p = strstr(line, field);

	if (!p || (p != line && p[-1] != ' '))
		return false;
	return !p[strlen(field)] || strchr(" ,", p[strlen(field)]);
}

TEST_F(trace, event)
{
	bool seen = false, match;
	char name[64];
	char *line;
	size_t i;

	/* Changing it is harmless: each test is a process. */
	snprintf(name, sizeof(name), " %s:", variant->event);
	for (line = strtok(trace, "\n"); line; line = strtok(NULL, "\n")) {
		match = strstr(line, name);
		/* Each line of the family's events names the socket and its
		 * channel.
		 */
		if (match) {
			EXPECT_NE(NULL, strstr(line, " sk="))
				TH_LOG("%s", line);
			EXPECT_NE(NULL, strstr(line, " channel="))
				TH_LOG("%s", line);
		}
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

/* The word after @name in @line, the last of which it ends */
static char *word_after(char *line, const char *name)
{
	char *p = strstr(line, name);

	return p ? strtok(p + strlen(name), " ") : NULL;
}

/* Each drop is an skb:kfree_skb too, of the same socket and for the same
 * reason, which has a name there if it is one of the core.
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
			sk = word_after(drop, " sk=");
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
		if (strncmp(reason, "MYPROTO_", 8)) {
			EXPECT_STREQ(reason, why);
		} else {
			EXPECT_EQ(0, strncmp(why, "0x", 2))
				TH_LOG("%s", why);
		}
		sk = NULL;
		count++;
	}
	EXPECT_EQ(NULL, sk);
	EXPECT_EQ(5, count);
}

/* Sockets that have been made and not released, by the word after sk= */
static char *alive[32];

static char **alive_find(const char *sk)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(alive); i++)
		if (sk ? alive[i] && !strcmp(alive[i], sk) : !alive[i])
			return &alive[i];
	return NULL;
}

/* Each socket is made before anything else is said of it, and released at last,
 * those too that connect() makes for accept().
 */
TEST(each_once)
{
	static const char * const names[] = {
		" sk=", " newsk=", " peersk=",
	};
	int made = 0, released = 0;
	char *line, *next, *sk;
	char copy[512];
	char **slot;
	size_t i;

	for (line = trace; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		/* What close() drops comes after the release. */
		if (!strstr(line, " myproto_") ||
		    strstr(line, " myproto_drop: "))
			continue;

		if (strstr(line, " myproto_create: ")) {
			sk = word_after(line, " sk=");
			ASSERT_EQ(NULL, alive_find(sk))
				TH_LOG("%s is made twice", sk);
			slot = alive_find(NULL);
			ASSERT_NE(NULL, slot);
			*slot = sk;
			made++;
			continue;
		}
		for (i = 0; i < ARRAY_SIZE(names); i++) {
			snprintf(copy, sizeof(copy), "%.500s", line);
			sk = word_after(copy, names[i]);
			/* %p of NULL, where accept() fails */
			if (!sk || !strtoull(sk, NULL, 16))
				continue;
			slot = alive_find(sk);
			ASSERT_NE(NULL, slot)
				TH_LOG("%s has not been made: %s", sk, line);
			if (strstr(line, " myproto_release: ")) {
				*slot = NULL;
				released++;
			}
		}
	}
	EXPECT_LT(0, made);
	EXPECT_EQ(made, released);
}

/* Both ends of a socketpair() are told of, which are released after it. */
TEST(socketpair_ends)
{
	char *line = strstr(trace, " myproto_socketpair: ");
	char end[2][64] = {}, sk[64];
	int released = 0, n;

	ASSERT_NE(NULL, line);
	n = sscanf(line, " myproto_socketpair: sk=%63s peersk=%63s",
		   end[0], end[1]);
	ASSERT_EQ(2, n);
	EXPECT_STRNE(end[0], end[1]);
	while ((line = strstr(line + 1, " myproto_release: "))) {
		n = sscanf(line, " myproto_release: sk=%63s", sk);
		ASSERT_EQ(1, n);
		released += !strcmp(sk, end[0]) || !strcmp(sk, end[1]);
	}
	EXPECT_LE(2, released);
}

int main(int argc, char **argv)
{
	/* The events come with the module. */
	my_start();
	record_trace();
	return test_harness_run(argc, argv);
}
