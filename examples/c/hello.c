// SPDX-License-Identifier: GPL-2.0
/*
 * Two programs that talk over AF_MYPROTO, in one: a server on channel 123 and
 * a client that sends it a message and prints the answer.
 *
 *	hello [message]
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/myproto.h>
#include <linux/socket.h>

#define CHANNEL		123
#define MESSAGE_MAX	1000

#define say(format, ...) printf("%s: " format "\n", me, ##__VA_ARGS__)

static const char *me = "server";

static struct sockaddr_my addr = {
	.smy_family = AF_MYPROTO,
	.smy_channel = CHANNEL,
};

/* What a call returned, unless it failed */
static int check(const char *what, int ret)
{
	if (ret >= 0)
		return ret;
	fprintf(stderr, "%s: %s: %s\n", me, what, strerror(errno));
	if (errno == EAFNOSUPPORT)
		fprintf(stderr, "Is the module there? Try: modprobe myproto\n");
	if (errno == EACCES)
		fprintf(stderr,
			"Channel %d is privileged: be root, or set the sysctl\n"
			"net.myproto.unprivileged_channel_start to %d.\n",
			CHANNEL, CHANNEL);
	exit(EXIT_FAILURE);
}

/* Read until the other side has shut down its direction. */
static void read_all(int fd, char *buf, size_t size)
{
	buf[check("read", recv(fd, buf, size - 1, MSG_WAITALL))] = '\0';
	say("read \"%s\"", buf);
}

static void write_all(int fd, const char *text)
{
	check("write", write(fd, text, strlen(text)));
	check("shutdown", shutdown(fd, SHUT_WR));
}

static void server(int listener)
{
	char buf[MESSAGE_MAX], answer[MESSAGE_MAX + 64];
	socklen_t len = sizeof(addr);
	int fd;

	fd = check("accept", accept(listener, (struct sockaddr *)&addr, &len));
	say("accepted a connection from channel %u", addr.smy_channel);
	read_all(fd, buf, sizeof(buf));
	snprintf(answer, sizeof(answer), "You wrote \"%s\"", buf);
	say("answer");
	write_all(fd, answer);
}

static void client(const char *message)
{
	char buf[MESSAGE_MAX + 64];
	int fd;

	say("socket");
	fd = check("socket", socket(AF_MYPROTO, SOCK_STREAM, 0));
	say("connect to channel %u", addr.smy_channel);
	check("connect", connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
	say("write \"%s\"", message);
	write_all(fd, message);
	read_all(fd, buf, sizeof(buf));
}

int main(int argc, char **argv)
{
	const char *message = argc > 1 ? argv[1] : "abc";
	int listener, status;

	if (argc > 2 || strlen(message) >= MESSAGE_MAX) {
		fprintf(stderr, "usage: %s [message]\n", argv[0]);
		return EXIT_FAILURE;
	}
	/* Lines of the two processes come in the order they are written. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);

	say("socket");
	listener = check("socket", socket(AF_MYPROTO, SOCK_STREAM, 0));
	say("bind to channel %u", addr.smy_channel);
	check("bind", bind(listener, (struct sockaddr *)&addr, sizeof(addr)));
	say("listen");
	check("listen", listen(listener, 1));

	/* Now clients may connect. */
	if (!check("fork", fork())) {
		server(listener);
		return EXIT_SUCCESS;
	}
	close(listener);
	me = "client";
	client(message);
	check("wait", wait(&status));
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}
