// SPDX-License-Identifier: GPL-2.0
/*
 * Two programs that talk over AF_MYPROTO, in one: a server on channel 123 and
 * a client that sends it a message and prints the answer.
 *
 *	myproto_hello [message]
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/myproto.h>
#include <linux/socket.h>

#define CHANNEL		123
#define MESSAGE_MAX	1000

static const char *me;

static void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("%s: ", me);
	vprintf(format, args);
	putchar('\n');
	va_end(args);
}

static void die(const char *what)
{
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

static struct sockaddr_my address(unsigned int channel)
{
	struct sockaddr_my addr = {
		.smy_family = AF_MYPROTO,
		.smy_channel = channel,
	};

	return addr;
}

/* Read until the other side has shut down its direction. */
static void read_all(int fd, char *buf, size_t size)
{
	size_t total = 0;
	ssize_t n;

	while (total < size - 1) {
		n = read(fd, buf + total, size - 1 - total);
		if (n < 0)
			die("read");
		if (!n)
			break;
		total += n;
	}
	buf[total] = '\0';
}

static void write_all(int fd, const char *text)
{
	size_t len = strlen(text);
	ssize_t n;

	for (; len; len -= n, text += n) {
		n = write(fd, text, len);
		if (n < 0)
			die("write");
	}
	if (shutdown(fd, SHUT_WR))
		die("shutdown");
}

/* @ready is told when clients may connect. */
static void server(int ready)
{
	struct sockaddr_my addr = address(CHANNEL);
	char answer[MESSAGE_MAX + 64], buf[MESSAGE_MAX];
	socklen_t len = sizeof(addr);
	int listener, fd;

	say("socket");
	listener = socket(AF_MYPROTO, SOCK_STREAM, 0);
	if (listener < 0)
		die("socket");

	say("bind to channel %u", addr.smy_channel);
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)))
		die("bind");

	say("listen");
	if (listen(listener, 1))
		die("listen");
	if (write(ready, "", 1) != 1)
		die("write to pipe");

	fd = accept(listener, (struct sockaddr *)&addr, &len);
	if (fd < 0)
		die("accept");
	say("accepted a connection from channel %u", addr.smy_channel);

	read_all(fd, buf, sizeof(buf));
	say("read \"%s\"", buf);

	snprintf(answer, sizeof(answer), "You wrote \"%s\"", buf);
	say("answer");
	write_all(fd, answer);

	close(fd);
	close(listener);
}

static void client(const char *message)
{
	struct sockaddr_my addr = address(CHANNEL);
	char buf[MESSAGE_MAX + 64];
	int fd;

	say("socket");
	fd = socket(AF_MYPROTO, SOCK_STREAM, 0);
	if (fd < 0)
		die("socket");

	say("connect to channel %u", addr.smy_channel);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		die("connect");

	say("write \"%s\"", message);
	write_all(fd, message);

	read_all(fd, buf, sizeof(buf));
	say("read \"%s\"", buf);
	close(fd);
}

int main(int argc, char **argv)
{
	const char *message = argc > 1 ? argv[1] : "abc";
	int ready[2], status;
	pid_t pid;
	char c;

	if (argc > 2 || strlen(message) >= MESSAGE_MAX) {
		fprintf(stderr, "usage: %s [message]\n", argv[0]);
		return EXIT_FAILURE;
	}

	/* Lines of the two processes come in the order they are written. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	me = "client";

	if (pipe(ready))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		me = "server";
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		server(ready[1]);
		return EXIT_SUCCESS;
	}

	/* The pipe ends without a byte when the server failed. */
	close(ready[1]);
	if (read(ready[0], &c, 1) == 1)
		client(message);
	if (waitpid(pid, &status, 0) < 0)
		die("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}
