// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO and network namespaces: each has channels, sysctls and counts of
 * its own, and a socket stays in the one it was made in.
 */
#include "util.h"

#define SYSCTL	"unprivileged_channel_start"

static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };

/* Two new ones. A test starts in the first. */
FIXTURE(netns)
{
	int ns[2];
};

FIXTURE_SETUP(netns)
{
	self->ns[1] = my_netns();
	ASSERT_LE(0, self->ns[1]);
	self->ns[0] = my_netns();
	ASSERT_LE(0, self->ns[0]);
}

FIXTURE_TEARDOWN(netns)
{
}

static void enter(struct __test_metadata *_metadata, int ns)
{
	ASSERT_EQ(0, setns(ns, CLONE_NEWNET));
}

/* The same channel in both: connect() and sendto() reach the own one. */
TEST_F(netns, channels)
{
	int fd[2], err, i, j;
	__u32 channel;
	bool dgram;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		my_type = types[i];
		dgram = my_type == SOCK_DGRAM;
		/* The first listener gets it without bind(). */
		channel = i ? 5000 + i : MYPROTO_CHANNEL_DEFAULT;
		for (j = 0; j < 2; j++) {
			enter(_metadata, self->ns[j]);
			err = err_of(my_connect(my_socket(_metadata), channel));
			EXPECT_EQ(ECONNREFUSED, err);
			err = err_of(my_sendto(my_socket(_metadata), channel,
					       "x", 1, 0));
			EXPECT_EQ(dgram ? ECONNREFUSED : EOPNOTSUPP, err);

			fd[j] = i ? my_bound_socket(_metadata, channel) :
				    my_socket(_metadata);
			set_nonblock(_metadata, fd[j]);
			if (!dgram)
				ASSERT_EQ(0, listen(fd[j], 1));
			err = err_of(my_bind(my_socket(_metadata), channel));
			EXPECT_EQ(EADDRINUSE, err);
		}

		if (dgram) {
			EXPECT_EQ(3, my_sendto(my_socket(_metadata), channel,
					       "abc", 3, 0));
			EXPECT_EQ(EAGAIN, try_recv(fd[0]));
			expect_recv(_metadata, fd[1], "abc");
		} else {
			my_client(_metadata, channel);
			EXPECT_EQ(EAGAIN, err_of(accept(fd[0], NULL, NULL)));
			EXPECT_LE(0, accept(fd[1], NULL, NULL));
		}
		enter(_metadata, self->ns[0]);
		my_client(_metadata, channel);
	}
}

/* The namespace of the socket counts, not that of the caller. */
TEST_F(netns, socket_stays_where_it_was_made)
{
	int fd[2], late = my_socket(_metadata), listener;

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

	/* When nobody is in it, it lives on for its sockets. */
	enter(_metadata, self->ns[1]);
	close(self->ns[0]);
	ASSERT_EQ(0, my_connect(late, 5000));
	fd[0] = accept(listener, NULL, NULL);
	ASSERT_LE(0, fd[0]);
	expect_send(_metadata, late, "abc");
	expect_recv(_metadata, fd[0], "abc");
}

TEST_F(netns, sysctl)
{
	int fd = my_socket(_metadata);

	if (!has_sysctls())
		SKIP(return, "no sysctls");
	ASSERT_EQ(0, sysctl_set(SYSCTL, "10"));
	enter(_metadata, self->ns[1]);
	EXPECT_EQ(1024, sysctl_get(SYSCTL));
	ASSERT_EQ(0, sysctl_set(SYSCTL, "20"));
	enter(_metadata, self->ns[0]);
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

TEST_F(netns, proc_net_protocols)
{
	int fd[2], i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		my_type = types[i];
		my_socketpair(_metadata, fd);
		EXPECT_EQ(2 * (i + 1), sockets_in_use());
	}
	enter(_metadata, self->ns[1]);
	EXPECT_EQ(0, sockets_in_use());
	close(fd[0]);
	close(fd[1]);
	enter(_metadata, self->ns[0]);
	EXPECT_EQ(4, sockets_settle_at(4));
}

/* Namespaces go with all kinds of sockets still in them. */
TEST(made_and_left)
{
	int fd[2], i;
	__u32 channel;
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		pid = my_fork(_metadata);
		if (!pid) {
			ASSERT_EQ(0, unshare(CLONE_NEWNET));
			my_type = types[i];
			my_bound_socket(_metadata, 5000);
			my_socketpair(_metadata, fd);
			expect_send(_metadata, fd[0], "unread");
			my_connection(_metadata, fd);
			my_fill(_metadata, fd[0], 1000);
			if (my_type != SOCK_DGRAM) {
				my_listener(_metadata, 1, &channel);
				my_client(_metadata, channel);
			}
			_exit(_metadata->exit_code);
		}
		ASSERT_EQ(0, my_wait(pid));
	}
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
