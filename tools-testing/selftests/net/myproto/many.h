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

/* Those that are there all the time, sorted, and how often each was shown */
struct lasting {
	__u32 ino[LASTING];
	int times[LASTING];
};

static inline int lasting_compare(const void *a, const void *b)
{
	__u32 x = *(__u32 *)a, y = *(__u32 *)b;

	return x < y ? -1 : x > y;
}

/* @ino was shown: whether it is one of them */
static inline bool lasting_shown(struct lasting *lasting, __u32 ino)
{
	__u32 *found = bsearch(&ino, lasting->ino, LASTING,
			       sizeof(lasting->ino[0]), lasting_compare);

	if (found)
		lasting->times[found - lasting->ino]++;
	return found;
}

/* Each was shown once. They may be shown again. */
static inline void expect_each_once(struct __test_metadata *_metadata,
				    struct lasting *lasting)
{
	int i;

	for (i = 0; i < LASTING; i++)
		ASSERT_EQ(1, lasting->times[i]);
	memset(lasting->times, 0, sizeof(lasting->times));
}

static bool churn_stop;

/* Makes and closes sockets of the type @arg. */
static inline void *churn(void *arg)
{
	int fd[100];
	size_t i;

	while (!__atomic_load_n(&churn_stop, __ATOMIC_RELAXED)) {
		for (i = 0; i < ARRAY_SIZE(fd); i += 2)
			if (socketpair(AF_MYPROTO, (long)arg, 0, &fd[i]))
				return "socketpair() failed";
		for (i = 0; i < ARRAY_SIZE(fd); i++)
			close(fd[i]);
	}
	return NULL;
}

FIXTURE(many)
{
	struct lasting lasting;
	pthread_t thread[2];
};

FIXTURE_SETUP(many)
{
	struct rlimit limit = { 2 * LASTING, 2 * LASTING };
	const long types[] = { SOCK_STREAM, SOCK_DGRAM };
	struct lasting *lasting = &self->lasting;
	int i;

	if (setrlimit(RLIMIT_NOFILE, &limit))
		SKIP(return, "many open files need root");

	for (i = 0; i < LASTING; i++)
		lasting->ino[i] = inode(_metadata, my_socket(_metadata));
	qsort(lasting->ino, LASTING, sizeof(lasting->ino[0]), lasting_compare);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&self->thread[i], NULL, churn,
					    (void *)types[i]));
}

FIXTURE_TEARDOWN(many)
{
	void *error;
	int i;

	__atomic_store_n(&churn_stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, pthread_join(self->thread[i], &error));
		EXPECT_EQ(NULL, error);
	}
}

#endif /* MYPROTO_MANY_H */
