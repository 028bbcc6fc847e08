// SPDX-License-Identifier: GPL-2.0
/*
 * For myproto_module.sh: open an AF_MYPROTO socket, say so, and keep it open
 * until standard input ends. With an argument, open and close sockets until
 * then, whether the family is there or not.
 *
 * Exits with 2 if there is no such family, with 1 if socket() fails otherwise.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/socket.h>

static bool input_ended(int timeout)
{
	struct pollfd pfd = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&pfd, 1, timeout) > 0;
}

int main(int argc, char **argv)
{
	int fd;

	do {
		fd = socket(AF_MYPROTO, SOCK_STREAM, 0);
		if (fd < 0 && (argc == 1 || errno != EAFNOSUPPORT))
			return errno == EAFNOSUPPORT ? 2 : 1;
		if (argc > 1)
			close(fd);
	} while (argc > 1 && !input_ended(0));

	puts("open");
	fflush(stdout);
	while (!input_ended(-1))
		;
	return 0;
}
