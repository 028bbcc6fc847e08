// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO and network namespaces: each has channels, sysctls and counts of
 * its own, and a socket stays in the one it was made in.
 */
#include "util.h"

/*
 * Both are new. To make one takes long, hence all tests share them: what a
 * test leaves there is gone with its process, but for the sysctls.
 */
static int netns[2];

static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };

FIXTURE(netns) {};

FIXTURE_SETUP(netns)
{
	ASSERT_LE(0, netns[0]);
	ASSERT_LE(0, netns[1]);
}

FIXTURE_TEARDOWN(netns)
{
}

static void enter(struct __test_metadata *_metadata, int ns)
{
	ASSERT_EQ(0, setns(ns, CLONE_NEWNET));
}

TEST_F(netns, same_channel_in_both)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		my_type = types[i];
		my_bound_socket(_metadata, 5000 + i);
		enter(_metadata, netns[1]);
		my_bound_socket(_metadata, 5000 + i);
		enter(_metadata, netns[0]);
		EXPECT_EQ(EADDRINUSE,
			  err_of(my_bind(my_socket(_metadata), 5000 + i)));
	}
}

TEST_F(netns, connect_across_econnrefused)
{
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		my_type = types[i];
		enter(_metadata, netns[0]);
		fd = my_bound_socket(_metadata, 5000 + i);
		if (my_type != SOCK_DGRAM)
			ASSERT_EQ(0, listen(fd, 1));

		enter(_metadata, netns[1]);
		fd = my_socket(_metadata);
		EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, 5000 + i)));
		if (my_type == SOCK_DGRAM)
			EXPECT_EQ(ECONNREFUSED,
				  err_of(my_sendto(fd, 5000 + i, "x", 1, 0)));

		enter(_metadata, netns[0]);
		my_client(_metadata, 5000 + i);
	}
}

TEST_F(netns, sendto_reaches_own)
{
	int fd[2], i;

	my_type = SOCK_DGRAM;
	for (i = 0; i < 2; i++) {
		enter(_metadata, netns[i]);
		fd[i] = my_bound_socket(_metadata, 5000);
	}
	EXPECT_EQ(3, my_sendto(my_socket(_metadata), 5000, "abc", 3, 0));
	EXPECT_EQ(EAGAIN, try_recv(fd[0]));
	expect_recv(_metadata, fd[1], "abc");
}

TEST_F(netns, connect_reaches_own)
{
	int listener[2], i;

	for (i = 0; i < 2; i++) {
		enter(_metadata, netns[i]);
		listener[i] = my_bound_socket(_metadata, 5000);
		ASSERT_EQ(0, listen(listener[i], 1));
		set_nonblock(_metadata, listener[i]);
	}
	my_client(_metadata, 5000);
	EXPECT_EQ(EAGAIN, err_of(accept(listener[0], NULL, NULL)));
	EXPECT_LE(0, accept(listener[1], NULL, NULL));
}

TEST_F(netns, default_channel_in_both)
{
	int i;

	for (i = 0; i < 2; i++) {
		enter(_metadata, netns[i]);
		EXPECT_EQ(ECONNREFUSED,
			  err_of(my_connect(my_socket(_metadata),
					    MYPROTO_CHANNEL_DEFAULT)));
		ASSERT_EQ(0, listen(my_socket(_metadata), 1));
		my_client(_metadata, MYPROTO_CHANNEL_DEFAULT);
	}
}

/* The namespace of the socket counts, not that of the caller. */
TEST_F(netns, socket_stays_where_it_was_made)
{
	int fd[2], listener;

	fd[0] = my_socket(_metadata);
	fd[1] = my_socket(_metadata);
	enter(_metadata, netns[1]);

	/* bind() and connect() from the other one */
	my_bound_socket(_metadata, 5000);
	ASSERT_EQ(0, my_bind(fd[0], 5000));
	ASSERT_EQ(0, listen(fd[0], 1));
	EXPECT_EQ(0, my_connect(fd[1], 5000));
	listener = fd[0];
	fd[0] = accept(listener, NULL, NULL);
	ASSERT_LE(0, fd[0]);
	expect_send(_metadata, fd[0], "abc");
	expect_recv(_metadata, fd[1], "abc");

	/* ... where no channel was taken. */
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(my_socket(_metadata), 5000)));
	enter(_metadata, netns[0]);
	EXPECT_EQ(EADDRINUSE, err_of(my_bind(my_socket(_metadata), 5000)));
}

/* Of those that change sysctls: the parent puts them back. */
FIXTURE(sysctl) {};

FIXTURE_SETUP(sysctl)
{
	ASSERT_LE(0, netns[0]);
	ASSERT_LE(0, netns[1]);
	if (!has_sysctls())
		SKIP(return, "no sysctls");
}

FIXTURE_TEARDOWN_PARENT(sysctl)
{
	int i;

	for (i = 1; i >= 0; i--) {
		enter(_metadata, netns[i]);
		EXPECT_EQ(0, sysctl_set("unprivileged_channel_start", "1024"));
	}
}

/* Nor does a new one begin with copies, but with the built-in values. */
TEST_F(sysctl, separate)
{
	ASSERT_EQ(0, sysctl_set("unprivileged_channel_start", "10"));
	enter(_metadata, netns[1]);
	EXPECT_EQ(1024, sysctl_get("unprivileged_channel_start"));

	ASSERT_EQ(0, sysctl_set("unprivileged_channel_start", "20"));
	enter(_metadata, netns[0]);
	EXPECT_EQ(10, sysctl_get("unprivileged_channel_start"));

	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	EXPECT_EQ(1024, sysctl_get("unprivileged_channel_start"));
	enter(_metadata, netns[0]);
}

/* The sysctl of the socket's namespace decides. */
TEST_F(sysctl, of_socket)
{
	int fd = my_socket(_metadata);

	ASSERT_EQ(0, sysctl_set("unprivileged_channel_start", "10"));
	enter(_metadata, netns[1]);
	ASSERT_EQ(0, setresuid(65534, 65534, 65534));
	EXPECT_EQ(EACCES, err_of(my_bind(my_socket(_metadata), 10)));
	EXPECT_EQ(EACCES, err_of(my_bind(fd, 9)));
	EXPECT_EQ(0, my_bind(fd, 10));
}

TEST_F(netns, proc_net_protocols)
{
	int fd[2], count = 0;
	size_t i;

	/* Those of the tests before this one */
	EXPECT_EQ(0, sockets_settle_at(0));
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		my_type = types[i];
		my_socketpair(_metadata, fd);
		count += 2;
		EXPECT_EQ(count, sockets_in_use());
	}
	enter(_metadata, netns[1]);
	EXPECT_EQ(0, sockets_settle_at(0));

	close(fd[0]);
	close(fd[1]);
	enter(_metadata, netns[0]);
	EXPECT_EQ(count - 2, sockets_settle_at(count - 2));
}

/* A namespace that nobody is in lives on for its sockets. */
TEST_F(netns, sockets_outlive_their_processes)
{
	int listener, client, server;

	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	listener = my_bound_socket(_metadata, 5000);
	client = my_socket(_metadata);
	ASSERT_EQ(0, listen(listener, 1));
	enter(_metadata, netns[1]);

	ASSERT_EQ(0, my_connect(client, 5000));
	server = accept(listener, NULL, NULL);
	ASSERT_LE(0, server);
	expect_send(_metadata, client, "abc");
	expect_recv(_metadata, server, "abc");
}

/* Namespaces go with all kinds of sockets still in them. */
TEST_F(netns, made_and_left)
{
	int fd[2], i;
	__u32 channel;
	pid_t pid;

	for (i = 0; i < 3; i++) {
		pid = my_fork(_metadata);
		if (!pid) {
			ASSERT_EQ(0, unshare(CLONE_NEWNET));
			my_type = types[i];
			my_bound_socket(_metadata, 5000);
			my_socketpair(_metadata, fd);
			expect_send(_metadata, fd[0], "unread");
			my_connection(_metadata, fd);
			my_fill(_metadata, fd[0], 1000);
			if (my_type == SOCK_DGRAM)
				_exit(_metadata->exit_code);
			my_listener(_metadata, 1, &channel);
			my_client(_metadata, channel);
			_exit(_metadata->exit_code);
		}
		ASSERT_EQ(0, my_wait(pid));
	}
}

int main(int argc, char **argv)
{
	netns[1] = my_netns();
	my_start();
	/* The tests start in this one. */
	netns[0] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return test_harness_run(argc, argv);
}
