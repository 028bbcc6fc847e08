/* SPDX-License-Identifier: GPL-2.0 */
/* Let the n-th allocation of the calling thread fail. */
#ifndef MYPROTO_FAULT_H
#define MYPROTO_FAULT_H

#include "util.h"

#define DEBUGFS		"/sys/kernel/debug"

/* fail-nth selects the thread. These settings are global: which allocations can
 * fail, and what is logged, each with its value while the test runs.
 */
static const char * const fault_knobs[][2] = {
	{ DEBUGFS "/failslab/ignore-gfp-wait", "N" },
	{ DEBUGFS "/failslab/verbose", "0" },
	{ DEBUGFS "/fail_page_alloc/ignore-gfp-wait", "N" },
	{ DEBUGFS "/fail_page_alloc/ignore-gfp-highmem", "N" },
	{ DEBUGFS "/fail_page_alloc/min-order", "0" },
	{ DEBUGFS "/fail_page_alloc/verbose", "0" },
};

struct fault {
	char old[ARRAY_SIZE(fault_knobs)][16];
	int nth;	/* /proc/thread-self/fail-nth */
};

/* Write @value, and store what was there in @old. */
static inline bool fault_knob(int i, const char *value, char old[16])
{
	int fd = open(fault_knobs[i][0], O_RDWR);
	bool done = read(fd, old, 15) > 0 &&
		    write(fd, value, strlen(value)) >= 0;

	close(fd);
	return done;
}

/* Before main(). What is mounted here goes with the program. */
static void __attribute__((constructor)) fault_mount(void)
{
	if (access(DEBUGFS "/failslab", F_OK) && !my_private_mounts())
		mount("none", DEBUGFS, "debugfs", 0, NULL);
}

/* For FIXTURE_TEARDOWN_PARENT: also when the test does not come to its end */
static inline void fault_exit(struct fault *fault)
{
	char now[16];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fault_knobs); i++)
		if (fault->old[i][0])
			fault_knob(i, fault->old[i], now);
}

/* Have the @n-th allocation from now on fail; 0: none */
static inline void fault_arm(struct fault *fault, int n)
{
	dprintf(fault->nth, "%d", n);
}

/* Disarm it again; returns whether it was not reached */
static inline bool fault_unused(struct fault *fault)
{
	char text[16] = "";

	if (pread(fault->nth, text, sizeof(text) - 1, 0) < 0)
		abort();
	fault_arm(fault, 0);
	return atoi(text) != 0;
}

FIXTURE(fault)
{
	struct fault fault;
};

FIXTURE_SETUP(fault)
{
	struct fault *fault = &self->fault;
	size_t i;

	fault->nth = open("/proc/thread-self/fail-nth", O_RDWR);
	if (fault->nth < 0)
		SKIP(return, "no fail-nth: %s", strerror(errno));
	for (i = 0; i < ARRAY_SIZE(fault_knobs); i++)
		if (!fault_knob(i, fault_knobs[i][1], fault->old[i])) {
			fault_exit(fault);
			SKIP(return, "no %s: CONFIG_FAULT_INJECTION?",
			     fault_knobs[i][0]);
		}
}

FIXTURE_TEARDOWN_PARENT(fault)
{
	fault_exit(&self->fault);
}

#endif /* MYPROTO_FAULT_H */
