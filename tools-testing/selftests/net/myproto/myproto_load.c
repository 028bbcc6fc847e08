// SPDX-License-Identifier: GPL-2.0
/*
 * For myproto_module.sh: load the module in the file given, again and again,
 * the first time with the last allocation of it failing, then with the one
 * before, and so on as long as these are the module's own: what comes earlier
 * is the kernel's, which does not take it calmly. The trace given tells, by the
 * event module_load. Where that makes the load fail, nothing of the family may
 * be there; where it does not, all of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/module.h>
#include <linux/socket.h>

#define NAME		"myproto"
#define MANY		100000
#define UNLOAD_TRIES	100

static int nth;		/* /proc/thread-self/fail-nth */
static const char *trace;

/* Have the @n-th allocation from now on fail; 0: none */
static void fault_arm(int n)
{
	char text[16];
	int len;

	len = snprintf(text, sizeof(text), "%d", n);
	if (pwrite(nth, text, len, 0) != len)
		abort();
}

/* Disarm it again; tells how many are left until the one that is to fail */
static int fault_disarm(void)
{
	char text[16] = "";

	if (pread(nth, text, sizeof(text) - 1, 0) < 0)
		abort();
	fault_arm(0);
	return atoi(text);
}

/* Load the module at @path with the @n-th allocation failing, if there are so
 * many: how many are missing is @left. Returns errno.
 */
static int load(const char *path, int n, int *left)
{
	const char *suffix = strrchr(path, '.');
	int flags, fd, err = 0;

	flags = suffix && !strcmp(suffix, ".ko") ? 0 :
		MODULE_INIT_COMPRESSED_FILE;
	close(open(trace, O_WRONLY | O_TRUNC));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;

	fault_arm(n);
	if (syscall(SYS_finit_module, fd, "", flags))
		err = errno;
	*left = fault_disarm();
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

/* The kernel says so when all that is left to do is the module's own. */
static bool was_its_own(void)
{
	return has_line(trace, "module_load: " NAME);
}

static int unload(void)
{
	int i;

	for (i = 0; i < UNLOAD_TRIES; i++) {
		if (!syscall(SYS_delete_module, NAME, O_NONBLOCK))
			return 0;
		usleep(10000);
	}
	return errno;
}

static bool has_sockets(void)
{
	int fd = socket(AF_MYPROTO, SOCK_STREAM, 0);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static bool wrong(const char *what, int n, int err)
{
	printf("# allocation %d: %s: %s\n", n, what, strerror(err));
	return true;
}

/* Whether the family is not as it has to be after load() returned @err. */
static bool is_wrong(int n, int err)
{
	if (err && err != ENOMEM && err != ENOBUFS)
		return wrong("load", n, err);
	if (has_line("/proc/net/protocols", "MYSOCK ") == !!err)
		return wrong("/proc/net/protocols", n, err);
	if (has_sockets() == !!err)
		return wrong("socket", n, err);
	if (err)
		return false;

	err = unload();
	return err && wrong("unload", n, err);
}

/* Returns whether something was wrong. */
static bool walk(const char *path)
{
	int n, left, err, total, failures = 0;

	/* How many there are: none of them fails. */
	err = load(path, MANY, &left);
	if (err)
		return wrong("load", 0, err);
	if (is_wrong(0, 0))
		return true;

	total = MANY - left;
	for (n = total; n > 0; n--) {
		err = load(path, n, &left);
		if (err && !was_its_own())
			break;
		if (is_wrong(n, err))
			return true;
		failures += !!err;
	}
	printf("# allocations %d to %d: %d failures\n", n + 1, total,
	       failures);
	return !failures;
}

int main(int argc, char **argv)
{
	nth = open("/proc/thread-self/fail-nth", O_RDWR);
	if (argc != 3 || nth < 0)
		return 2;

	trace = argv[2];
	return walk(argv[1]);
}
