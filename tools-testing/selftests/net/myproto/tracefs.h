/* SPDX-License-Identifier: GPL-2.0 */
/* A trace instance of its own, for programs that look at tracepoints. */
#ifndef MYPROTO_TRACEFS_H
#define MYPROTO_TRACEFS_H

#include <sys/stat.h>

#include "util.h"

#define TRACEFS		"/sys/kernel/tracing"

static char tracefs_instance[64];

/* The instance goes with the program. Tests end by _exit(). */
static inline void tracefs_end(void)
{
	if (rmdir(tracefs_instance))
		perror(tracefs_instance);
}

/* For main(): make the instance and go there, or skip all tests */
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

	snprintf(tracefs_instance, sizeof(tracefs_instance),
		 TRACEFS "/instances/myproto-%d", getpid());
	if (mkdir(tracefs_instance, 0700) || chdir(tracefs_instance))
		ksft_exit_skip("no trace instance: %s\n", strerror(errno));
	atexit(tracefs_end);
}

#endif /* MYPROTO_TRACEFS_H */
