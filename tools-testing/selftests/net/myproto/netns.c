// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO and network namespaces: each has channels, sysctls and counts of
 * its own, and a socket stays in the one it was made in.
 */
#include "type.h"

#define SYSCTL	"unprivileged_channel_start"

FIXTURE_VARIANT_ADD(type, dgram) { SOCK_DGRAM };

/* The same channel in both: what counts is where the socket was made, and not
 * where the caller is.
 */
TEST_F(type, channels)
{
	bool dgram = my_type == SOCK_DGRAM;
	int ns[2], server[2], client[2], i;

	for (i = 0; i < 2; i++) {
		ns[i] = my_netns();
		ASSERT_LE(0, ns[i]);
		server[i] = my_socket(_metadata);
		client[i] = my_socket(_metadata);
	}
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(ECONNREFUSED, err_of(my_connect(client[i], 5000)));
		ASSERT_EQ(0, my_bind(server[i], 5000));
		if (!dgram)
			ASSERT_EQ(0, listen(server[i], 1));
	}
	EXPECT_EQ(EADDRINUSE, err_of(my_bind(my_socket(_metadata), 5000)));

	/* When nobody is in it, it lives on for its sockets. */
	close(ns[0]);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, my_connect(client[i], 5000));
		if (dgram)
			expect_send(_metadata, client[i], "abc");
		EXPECT_EQ(POLLIN, poll_for(server[i], POLLIN, 0));
		if (dgram)
			expect_recv(_metadata, server[i], "abc");
		else
			expect_exchange(_metadata, client[i],
					my_accept(_metadata, server[i]));
	}
}

TEST(sysctl)
{
	int fd = my_socket(_metadata);

	if (!has_sysctls())
		SKIP(return, "no sysctls");
	ASSERT_EQ(0, sysctl_set(SYSCTL, "10"));
	/* A new one begins with the built-in value, not with a copy. */
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	EXPECT_EQ(1024, sysctl_get(SYSCTL));

	/* That of the socket's namespace decides. */
	ASSERT_EQ(0, setresuid(65534, 65534, 65534));
	EXPECT_EQ(EACCES, err_of(my_bind(my_socket(_metadata), 10)));
	EXPECT_EQ(EACCES, err_of(my_bind(fd, 9)));
	EXPECT_EQ(0, my_bind(fd, 10));
}

/* Namespaces count the sockets of all types. */
TEST_F(type, counts)
{
	int fd[2], ns = open("/proc/self/ns/net", O_RDONLY);

	my_socketpair(_metadata, fd);
	EXPECT_EQ(2, sockets_in_use());
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	EXPECT_EQ(0, sockets_in_use());
	close(fd[0]);
	EXPECT_EQ(0, sockets_in_use());
	ASSERT_EQ(0, setns(ns, CLONE_NEWNET));
	EXPECT_EQ(1, sockets_settle_at(1));
}

TEST_HARNESS_MAIN
