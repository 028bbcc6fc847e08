// SPDX-License-Identifier: GPL-2.0
/*
 * module hold		open an AF_MYPROTO socket, say so, and keep it open until
 *			standard input ends
 * module repeatedly	open and close sockets until then, whether the family is
 *			there or not
 * module load FILE TRACE
 *			load the module, with each of its allocations failing
 *
 * Exits with 2 if there is no such family, with 1 if something else fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/socket.h>

#define MANY	100000

static int nth;		/* /proc/thread-self/fail-nth */
static const char *path, *trace;	/* files: the module, and events */

/* Have the @n-th allocation from now on fail; 0: none */
static void fault_arm(int n)
{
	if (dprintf(nth, "%d", n) < 0)
		abort();
}

/* Load the module with the @n-th allocation failing, if there are so many: how
 * many are missing is @left. Returns errno.
 */
static int load(int n, int *left)
{
	char text[16] = "";
	int fd, err = 0;

	close(open(trace, O_WRONLY | O_TRUNC));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;

	fault_arm(n);
	if (syscall(SYS_finit_module, fd, "", 0))
		err = errno;
	if (pread(nth, text, sizeof(text) - 1, 0) < 0)
		abort();
	fault_arm(0);
	*left = atoi(text);
	close(fd);
	return err;
}

/* Whether @file has a line with @text. */
static bool has_line(const char *file, const char *text)
{
	FILE *f = fopen(file, "r");
	bool found = false;
	char line[256];

	if (!f)
		abort();
	while (fgets(line, sizeof(line), f))
		found |= !!strstr(line, text);
	fclose(f);
	return found;
}

static int unload(void)
{
	int i;

	for (i = 0; i < 100; i++) {
		if (!syscall(SYS_delete_module, "myproto", O_NONBLOCK))
			return 0;
		usleep(10000);
	}
	return errno;
}

/* What is not as it has to be after load() returned @err, or NULL */
static const char *wrong(int err)
{
	int fd = socket(AF_MYPROTO, SOCK_STREAM, 0);
	bool there = fd >= 0;

	close(fd);
	if (err && err != ENOMEM && err != ENOBUFS)
		return strerror(err);
	if (there == !!err)
		return "socket()";
	if (has_line("/proc/net/protocols", "MYSOCK ") == !!err)
		return "/proc/net/protocols";
	return !err && unload() ? "unload" : NULL;
}

/*
 * Load the module once, to count its allocations. Then load it with the last one
 * failing, with the one before, and so on. The first load that fails without an
 * event module_load in the trace is the end: the allocations up to there are the
 * module loader's. After a load that failed, nothing of the family may be there;
 * after one that did not, all of it.
 */
static int load_failing(void)
{
	int n, left = 0, err, total = 0, failures = 0;
	const char *what;

	nth = open("/proc/thread-self/fail-nth", O_RDWR);
	if (nth < 0)
		return 1;

	/* How many there are: none of them fails at first. */
	for (n = MANY; n > 0; n--) {
		err = load(n, &left);
		/* The kernel says so when what is left is the module's own. */
		if (err && !has_line(trace, "module_load: myproto"))
			break;
		what = wrong(err);
		if (what) {
			printf("# allocation %d: %s\n", n, what);
			return 1;
		}
		failures += !!err;
		if (n == MANY) {
			total = n - left;
			n = total + 1;
		}
	}
	printf("# allocations %d to %d: %d failures\n", n + 1, total,
	       failures);
	return !failures;
}

static bool input_ended(int timeout)
{
	struct pollfd pfd = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&pfd, 1, timeout) > 0;
}

static int hold(bool repeatedly)
{
	int fd;

	do {
		fd = socket(AF_MYPROTO, SOCK_STREAM, 0);
		if (fd < 0 && (!repeatedly || errno != EAFNOSUPPORT))
			return errno == EAFNOSUPPORT ? 2 : 1;
		if (repeatedly)
			close(fd);
	} while (repeatedly && !input_ended(0));

	puts("open");
	fflush(stdout);
	while (!input_ended(-1))
		;
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2)
		return hold(!strcmp(argv[1], "repeatedly"));
	if (argc != 4)
		return 1;
	path = argv[2];
	trace = argv[3];
	return load_failing();
}
