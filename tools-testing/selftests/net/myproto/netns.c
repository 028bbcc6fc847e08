// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO and network namespaces: each has channels, sysctls and counts of
 * its own, and a socket stays in the one it was made in.
 */
#include "util.h"

FIXTURE(netns)
{
	int ns[2];	/* both new, the test starts in the first */
};

static int new_netns(void)
{
	if (unshare(CLONE_NEWNET))
		return -1;
	return open("/proc/self/ns/net", O_RDONLY);
}

FIXTURE_SETUP(netns)
{
	self->ns[1] = new_netns();
	self->ns[0] = new_netns();
	if (self->ns[0] < 0 || self->ns[1] < 0)
		SKIP(return, "no new netns: %s", strerror(errno));
}

FIXTURE_TEARDOWN(netns)
{
	close(self->ns[0]);
	close(self->ns[1]);
}

static void enter(struct __test_metadata *_metadata, int ns)
{
	ASSERT_EQ(0, setns(ns, CLONE_NEWNET));
}

TEST_F(netns, same_channel_in_both)
{
	my_bound_socket(_metadata, 5000);
	enter(_metadata, self->ns[1]);
	my_bound_socket(_metadata, 5000);
	enter(_metadata, self->ns[0]);
	EXPECT_EQ(EADDRINUSE, err_of(my_bind(my_socket(_metadata), 5000)));
}

TEST_F(netns, connect_across_econnrefused)
{
	int listener = my_bound_socket(_metadata, 5000);
	int fd;

	ASSERT_EQ(0, listen(listener, 1));
	enter(_metadata, self->ns[1]);
	fd = my_socket(_metadata);
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, 5000)));

	enter(_metadata, self->ns[0]);
	my_client(_metadata, 5000);
}

TEST_F(netns, connect_reaches_own)
{
	int listener[2], i;

	for (i = 0; i < 2; i++) {
		enter(_metadata, self->ns[i]);
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
		enter(_metadata, self->ns[i]);
		EXPECT_EQ(ECONNREFUSED,
			  err_of(my_connect(my_socket(_metadata), 0)));
		ASSERT_EQ(0, listen(my_socket(_metadata), 1));
		my_client(_metadata, 0);
	}
}

/* The namespace of the socket counts, not that of the caller. */
TEST_F(netns, socket_stays_where_it_was_made)
{
	int fd[2], listener;

	fd[0] = my_socket(_metadata);
	fd[1] = my_socket(_metadata);
	enter(_metadata, self->ns[1]);

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
	enter(_metadata, self->ns[0]);
	EXPECT_EQ(EADDRINUSE, err_of(my_bind(my_socket(_metadata), 5000)));
}

TEST_F(netns, sysctls_are_separate)
{
	if (!has_sysctls())
		SKIP(return, "no sysctls");

	ASSERT_EQ(0, sysctl_set("default_channel", "4000"));
	ASSERT_EQ(0, sysctl_set("unprivileged_channel_start", "10"));
	enter(_metadata, self->ns[1]);
	EXPECT_EQ(MYPROTO_CHANNEL_DEFAULT, sysctl_get("default_channel"));
	EXPECT_EQ(1024, sysctl_get("unprivileged_channel_start"));

	ASSERT_EQ(0, sysctl_set("default_channel", "3000"));
	enter(_metadata, self->ns[0]);
	EXPECT_EQ(4000, sysctl_get("default_channel"));
	EXPECT_EQ(10, sysctl_get("unprivileged_channel_start"));
}

/* A new namespace starts with the built-in values, not with copies. */
TEST_F(netns, sysctls_not_inherited)
{
	if (!has_sysctls())
		SKIP(return, "no sysctls");

	ASSERT_EQ(0, sysctl_set("default_channel", "4000"));
	ASSERT_EQ(0, sysctl_set("unprivileged_channel_start", "10"));
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	EXPECT_EQ(MYPROTO_CHANNEL_DEFAULT, sysctl_get("default_channel"));
	EXPECT_EQ(1024, sysctl_get("unprivileged_channel_start"));
}

/* The sysctl of the socket's namespace decides. */
TEST_F(netns, sysctl_of_socket)
{
	int fd = my_socket(_metadata);

	if (!has_sysctls())
		SKIP(return, "no sysctls");

	ASSERT_EQ(0, sysctl_set("default_channel", "4000"));
	enter(_metadata, self->ns[1]);
	ASSERT_EQ(0, listen(fd, 1));
	EXPECT_EQ(4000, my_channel(_metadata, fd));
}

/* Waits for sockets that go after a grace period. */
static int sockets_settle_at(int count)
{
	long end = now_ms() + WAIT_MS;

	while (sockets_in_use() != count && now_ms() < end)
		usleep(10000);
	return sockets_in_use();
}

TEST_F(netns, proc_net_protocols)
{
	int fd[2];

	EXPECT_EQ(0, sockets_in_use());
	my_socketpair(_metadata, fd);
	EXPECT_EQ(2, sockets_in_use());
	enter(_metadata, self->ns[1]);
	EXPECT_EQ(0, sockets_in_use());

	close(fd[0]);
	close(fd[1]);
	enter(_metadata, self->ns[0]);
	EXPECT_EQ(0, sockets_settle_at(0));
}

/* A namespace that nobody is in lives on for its sockets. */
TEST_F(netns, sockets_outlive_their_processes)
{
	int listener = my_bound_socket(_metadata, 5000);
	int client = my_socket(_metadata);
	int server;

	ASSERT_EQ(0, listen(listener, 1));
	enter(_metadata, self->ns[1]);
	close(self->ns[0]);
	self->ns[0] = -1;

	ASSERT_EQ(0, my_connect(client, 5000));
	server = accept(listener, NULL, NULL);
	ASSERT_LE(0, server);
	expect_send(_metadata, client, "abc");
	expect_recv(_metadata, server, "abc");
}

/* Namespaces go with all kinds of sockets still in them. */
TEST_F(netns, made_and_left_10_times)
{
	int fd[2], i;
	__u32 channel;
	pid_t pid;

	for (i = 0; i < 10; i++) {
		pid = my_fork(_metadata);
		if (!pid) {
			ASSERT_EQ(0, unshare(CLONE_NEWNET));
			my_bound_socket(_metadata, 5000);
			my_listener(_metadata, 1, &channel);
			my_client(_metadata, channel);
			my_socketpair(_metadata, fd);
			expect_send(_metadata, fd[0], "unread");
			_exit(0);
		}
		ASSERT_EQ(0, my_wait(pid));
	}
	EXPECT_EQ(0, sockets_in_use());
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
