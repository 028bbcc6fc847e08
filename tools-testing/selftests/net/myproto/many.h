/* SPDX-License-Identifier: GPL-2.0 */
/* A fixture for tests of what shows all sockets: many that are there all the
 * time, while others come and go.
 */
#ifndef MYPROTO_MANY_H
#define MYPROTO_MANY_H

#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "util.h"

/* More than are in a bucket of the table, and than a page of /proc/net/myproto
 * or a netlink message holds
 */
#define LASTING		3000

static inline __u32 inode(struct __test_metadata *_metadata, int fd)
{
	struct stat st;

	ASSERT_EQ(0, fstat(fd, &st));
	return st.st_ino;
}

/* Makes and closes sockets, until the test ends: it is a process. */
static inline void *churn(void *arg)
{
	int fd[100];
	size_t i;

	for (;;) {
		for (i = 0; i < ARRAY_SIZE(fd); i += 2)
			if (socketpair(AF_MYPROTO, SOCK_STREAM, 0, &fd[i]))
				abort();
		for (i = 0; i < ARRAY_SIZE(fd); i++)
			close(fd[i]);
	}
}

/* Those that are there all the time, and how often each was shown */
static __u32 many_ino[LASTING];
static int many_times[LASTING];

FIXTURE(many) {};

FIXTURE_SETUP(many)
{
	struct rlimit limit = { 2 * LASTING, 2 * LASTING };
	pthread_t thread;
	int i;

	if (setrlimit(RLIMIT_NOFILE, &limit))
		SKIP(return, "many open files need root");
	for (i = 0; i < LASTING; i++)
		many_ino[i] = inode(_metadata, my_socket(_metadata));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&thread, NULL, churn, NULL));
}

FIXTURE_TEARDOWN(many)
{
}

/* A socket with the inode @ino was shown. */
static inline void many_shown(__u32 ino)
{
	int i;

	for (i = 0; i < LASTING; i++)
		many_times[i] += many_ino[i] == ino;
}

/* Each was shown once. They may be shown again. */
static inline void many_expect_once(struct __test_metadata *_metadata)
{
	int i;

	for (i = 0; i < LASTING; i++)
		ASSERT_EQ(1, many_times[i]);
	memset(many_times, 0, sizeof(many_times));
}

#endif /* MYPROTO_MANY_H */
