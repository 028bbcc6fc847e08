// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO tracepoints: a short connection on channel 4242 leaves a line for
 * every operation, with the channel and, for data, the length.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include "util.h"

#define TRACEFS		"/sys/kernel/tracing"
#define CHANNEL		4242
#define SENT		7	/* by the server, which is on the channel */
#define RECEIVED	13

/*
 * The trace is made once, before the tests: to set up an instance takes long.
 * They all look at the text, or are skipped for this reason.
 */
static char trace[16384];
static const char *no_trace;

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
	.fields = { "channel=4242" },
};

FIXTURE_VARIANT_ADD(trace, connect)
{
	.event = "myproto_connect",
	/* The client's own channel is a dynamic one. */
	.fields = { "addr=4242", "ret=0" },
};

FIXTURE_VARIANT_ADD(trace, connect_refused)
{
	.event = "myproto_connect",
	.fields = { "addr=4243", "ret=-111" },
};

FIXTURE_VARIANT_ADD(trace, accept)
{
	.event = "myproto_accept",
	.fields = { "channel=4242" },
};

FIXTURE_VARIANT_ADD(trace, shutdown)
{
	.event = "myproto_shutdown",
	.fields = { "channel=4242" },
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

static void short_connection(void)
{
	int listener, client, server, pair[2];
	char buf[RECEIVED] = "";

	/* What fails here is missing in the trace. */
	listener = socket(AF_MYPROTO, SOCK_STREAM, 0);
	my_bind(listener, CHANNEL);
	listen(listener, 1);
	client = socket(AF_MYPROTO, SOCK_STREAM, 0);
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

static const char *record(void)
{
	const char *error = NULL;
	char instance[64];
	int fd;

	if (geteuid())
		return "tracing needs root";

	/* The events come with the module. */
	fd = socket(AF_MYPROTO, SOCK_STREAM, 0);
	if (fd < 0)
		return "no AF_MYPROTO";
	close(fd);

	if (access(TRACEFS "/events", F_OK) &&
	    mount("tracefs", TRACEFS, "tracefs", 0, NULL))
		return "no tracefs";
	if (access(TRACEFS "/events/myproto", F_OK))
		return "no myproto events: tracepoints not built in?";

	/* An instance: what others trace is left alone. */
	snprintf(instance, sizeof(instance),
		 TRACEFS "/instances/myproto-%d", getpid());
	if (mkdir(instance, 0700))
		return "no trace instance";

	if (trace_file(instance, "events/myproto/enable", O_WRONLY, "1", 1))
		error = "events cannot be enabled";
	short_connection();
	if (trace_file(instance, "trace", O_RDONLY, trace, sizeof(trace) - 1))
		error = "trace cannot be read";
	trace_file(instance, "events/myproto/enable", O_WRONLY, "0", 1);
	rmdir(instance);
	return error;
}

FIXTURE_SETUP(trace)
{
	if (no_trace)
		SKIP(return, "%s", no_trace);
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
		/* Each line of the family's events names the channel. */
		if (match)
			EXPECT_NE(NULL, strstr(line, " channel="))
				TH_LOG("%s", line);
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

int main(int argc, char **argv)
{
	no_trace = record();
	return my_test_main(argc, argv);
}
