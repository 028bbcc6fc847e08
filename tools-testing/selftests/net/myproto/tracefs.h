/* SPDX-License-Identifier: GPL-2.0 */
/* A trace instance of its own, for programs that look at tracepoints. */
#ifndef MYPROTO_TRACEFS_H
#define MYPROTO_TRACEFS_H

#include <sys/stat.h>

#include "util.h"

#define TRACEFS		"/sys/kernel/tracing"

static char tracefs_instance[64];
static pid_t tracefs_owner;

static inline int tracefs_open(const char *name, int flags)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", tracefs_instance, name);
	return open(path, flags);
}

/* Write to a file of the instance: errno */
static inline int tracefs_write(const char *name, const char *text)
{
	int fd = tracefs_open(name, O_WRONLY | O_TRUNC);
	int err = err_of(write(fd, text, strlen(text)));

	close(fd);
	return err;
}

/* Read all of the trace as text; false if it is longer than @len */
static inline bool tracefs_trace(char *buf, size_t len)
{
	int fd = tracefs_open("trace", O_RDONLY);
	size_t total = 0;
	ssize_t n;

	while ((n = read(fd, buf + total, len - 1 - total)) > 0)
		total += n;
	close(fd);
	buf[total] = 0;
	return !n && total < len - 1;
}

/* The instance goes with the program, which the harness ends. */
static inline void tracefs_end(void)
{
	if (getpid() == tracefs_owner && rmdir(tracefs_instance))
		perror(tracefs_instance);
}

/* For main(): make the instance, or skip all tests where it cannot be */
static inline void tracefs_begin(void)
{
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

	snprintf(tracefs_instance, sizeof(tracefs_instance),
		 TRACEFS "/instances/myproto-%d", getpid());
	if (mkdir(tracefs_instance, 0700))
		ksft_exit_skip("no trace instance: %s\n", strerror(errno));
	tracefs_owner = getpid();
	atexit(tracefs_end);
}

#endif /* MYPROTO_TRACEFS_H */
