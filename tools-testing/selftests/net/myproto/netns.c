// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO and network namespaces: each has channels, sysctls and counts of
 * its own, and a socket stays in the one it was made in.
 */
#include "type.h"

#define SYSCTL	"unprivileged_channel_start"

FIXTURE_VARIANT_ADD(type, dgram) { SOCK_DGRAM };

/* Make two new ones: the caller is in ns[0] then. */
static void make_two(struct __test_metadata *_metadata, int ns[2])
{
	ns[1] = my_netns();
	ns[0] = my_netns();
	ASSERT_LE(0, ns[0]);
	ASSERT_LE(0, ns[1]);
}

static void enter(struct __test_metadata *_metadata, int ns)
{
	ASSERT_EQ(0, setns(ns, CLONE_NEWNET));
}

/* The same channel in both: connect() and sendto() reach the own one. */
TEST_F(type, channels)
{
	__u32 channel = MYPROTO_CHANNEL_DEFAULT;
	bool dgram = my_type == SOCK_DGRAM;
	int ns[2], fd[2], i;

	make_two(_metadata, ns);
	for (i = 0; i < 2; i++) {
		enter(_metadata, ns[i]);
		EXPECT_EQ(ECONNREFUSED,
			  err_of(my_connect(my_socket(_metadata), channel)));
		EXPECT_EQ(dgram ? ECONNREFUSED : EOPNOTSUPP,
			  err_of(my_sendto(my_socket(_metadata), channel, "x",
					   1, 0)));
		/* listen() gets it without bind(). */
		fd[i] = dgram ? my_bound_socket(_metadata, channel) :
				my_socket(_metadata);
		if (!dgram)
			ASSERT_EQ(0, listen(fd[i], 1));
		set_nonblock(_metadata, fd[i]);
		EXPECT_EQ(EADDRINUSE,
			  err_of(my_bind(my_socket(_metadata), channel)));
	}

	if (dgram) {
		EXPECT_EQ(3, my_sendto(my_socket(_metadata), channel, "abc", 3,
				       0));
		EXPECT_EQ(EAGAIN, try_recv(fd[0]));
		expect_recv(_metadata, fd[1], "abc");
	} else {
		my_client(_metadata, channel);
		EXPECT_EQ(EAGAIN, err_of(accept(fd[0], NULL, NULL)));
		my_accept(_metadata, fd[1]);
	}
	enter(_metadata, ns[0]);
	my_client(_metadata, channel);
}

/* The namespace of the socket counts, not that of the caller. */
TEST(socket_stays_where_it_was_made)
{
	int ns[2], fd[3], listener, i;

	make_two(_metadata, ns);
	for (i = 0; i < 3; i++)
		fd[i] = my_socket(_metadata);
	enter(_metadata, ns[1]);

	/* bind() and connect() from the other one */
	my_bound_socket(_metadata, 5000);
	listener = fd[0];
	ASSERT_EQ(0, my_bind(listener, 5000));
	ASSERT_EQ(0, listen(listener, 1));
	EXPECT_EQ(0, my_connect(fd[1], 5000));
	expect_exchange(_metadata, fd[1], my_accept(_metadata, listener));

	/* ... where no channel was taken. */
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(my_socket(_metadata), 5000)));
	enter(_metadata, ns[0]);
	EXPECT_EQ(EADDRINUSE, err_of(my_bind(my_socket(_metadata), 5000)));

	/* When nobody is in it, it lives on for its sockets. */
	enter(_metadata, ns[1]);
	close(ns[0]);
	ASSERT_EQ(0, my_connect(fd[2], 5000));
	expect_exchange(_metadata, fd[2], my_accept(_metadata, listener));
}

TEST(sysctl)
{
	int ns[2], fd;

	if (!has_sysctls())
		SKIP(return, "no sysctls");
	make_two(_metadata, ns);
	fd = my_socket(_metadata);
	ASSERT_EQ(0, sysctl_set(SYSCTL, "10"));
	enter(_metadata, ns[1]);
	EXPECT_EQ(1024, sysctl_get(SYSCTL));
	ASSERT_EQ(0, sysctl_set(SYSCTL, "20"));
	enter(_metadata, ns[0]);
	EXPECT_EQ(10, sysctl_get(SYSCTL));
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
	int fd[2], ns[2];

	make_two(_metadata, ns);
	my_socketpair(_metadata, fd);
	EXPECT_EQ(2, sockets_in_use());
	enter(_metadata, ns[1]);
	EXPECT_EQ(0, sockets_in_use());
	close(fd[0]);
	enter(_metadata, ns[0]);
	EXPECT_EQ(1, sockets_settle_at(1));
}

TEST_HARNESS_MAIN
