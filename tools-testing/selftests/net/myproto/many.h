/* SPDX-License-Identifier: GPL-2.0 */
/* Tests of what shows all sockets: with many that are there all the time, while
 * others come and go, and with another user's.
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

/* A socket with the inode @ino was shown. */
static inline void many_shown(__u32 ino)
{
	int i;

	for (i = 0; i < LASTING; i++)
		many_times[i] += many_ino[i] == ino;
}

/* Who includes this has these: show all, and tell what is shown as its user. */
static void show_all(struct __test_metadata *_metadata);
static __u32 shown_uid(struct __test_metadata *_metadata, int fd);

TEST(each_once)
{
	struct rlimit limit = { 2 * LASTING, 2 * LASTING };
	pthread_t thread;
	int i, round;

	if (setrlimit(RLIMIT_NOFILE, &limit))
		SKIP(return, "many open files need root");
	for (i = 0; i < LASTING; i++)
		many_ino[i] = inode(_metadata, my_socket(_metadata));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&thread, NULL, churn, NULL));
	for (round = 0; round < 4; round++) {
		memset(many_times, 0, sizeof(many_times));
		show_all(_metadata);
		for (i = 0; i < LASTING; i++)
			ASSERT_EQ(1, many_times[i]);
	}
}

TEST(shows_uid)
{
	int fd;

	ASSERT_EQ(0, seteuid(1234));
	fd = my_socket(_metadata);
	ASSERT_EQ(0, seteuid(0));
	EXPECT_EQ(1234, shown_uid(_metadata, fd));

	/* Who does not know the user sees the overflow ID. */
	if (unshare(CLONE_NEWUSER))
		SKIP(return, "there are no user namespaces");
	EXPECT_EQ(65534, shown_uid(_metadata, fd));
}

#endif /* MYPROTO_MANY_H */
