// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO addresses: the sockaddr, bind(), privileged and default channels
 * and their sysctls, getsockname() and getpeername().
 */
#include <stddef.h>
#include <sys/syscall.h>

#include <linux/capability.h>

#include "util.h"

/* Below the first unprivileged channel */
#define PRIVILEGED	1023
#define UNPRIVILEGED	1024

TEST(abi)
{
	EXPECT_EQ(46, AF_MYPROTO);
	EXPECT_EQ(AF_MYPROTO, PF_MYPROTO);
	EXPECT_EQ(0, MYPROTO_CHANNEL_ANY);
	EXPECT_EQ(999, MYPROTO_CHANNEL_DEFAULT);
	EXPECT_EQ(8U, sizeof(struct sockaddr_my));
	EXPECT_EQ(0U, offsetof(struct sockaddr_my, smy_family));
	EXPECT_EQ(4U, offsetof(struct sockaddr_my, smy_channel));
}

/* socket() */

TEST(socket_stream)
{
	int fd = my_socket(_metadata);

	EXPECT_EQ(AF_MYPROTO, get_int_opt(_metadata, fd, SO_DOMAIN));
	EXPECT_EQ(SOCK_STREAM, get_int_opt(_metadata, fd, SO_TYPE));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_PROTOCOL));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ACCEPTCONN));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ERROR));
	EXPECT_EQ(0, close(fd));
}

TEST(socket_flags)
{
	int fd;

	fd = socket(AF_MYPROTO, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
	EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

TEST(socket_raw_esocktnosupport)
{
	EXPECT_EQ(ESOCKTNOSUPPORT, err_of(socket(AF_MYPROTO, SOCK_RAW, 0)));
}

TEST(socket_rdm_esocktnosupport)
{
	EXPECT_EQ(ESOCKTNOSUPPORT, err_of(socket(AF_MYPROTO, SOCK_RDM, 0)));
}

TEST(socket_protocol_eprotonosupport)
{
	EXPECT_EQ(EPROTONOSUPPORT, err_of(socket(AF_MYPROTO, SOCK_STREAM, 1)));
	EXPECT_EQ(EPROTONOSUPPORT, err_of(socket(AF_MYPROTO, SOCK_STREAM, -1)));
	EXPECT_EQ(EPROTONOSUPPORT,
		  err_of(socket(AF_MYPROTO, SOCK_STREAM, AF_MYPROTO)));
}

/* The checks of an address that bind() and connect() have in common */

FIXTURE(address)
{
	unsigned char bytes[sizeof(struct sockaddr_storage)];
	int fd;
};

FIXTURE_VARIANT(address)
{
	socklen_t len;
	sa_family_t family;
	__u16 pad;
	int bind_err;
	int connect_err;
};

FIXTURE_VARIANT_ADD(address, len_0_einval)
{
	.len = 0,
	.family = AF_MYPROTO,
	.bind_err = EINVAL,
	.connect_err = EINVAL,
};

FIXTURE_VARIANT_ADD(address, len_1_einval)
{
	.len = 1,
	.family = AF_MYPROTO,
	.bind_err = EINVAL,
	.connect_err = EINVAL,
};

FIXTURE_VARIANT_ADD(address, len_2_einval)
{
	.len = 2,
	.family = AF_MYPROTO,
	.bind_err = EINVAL,
	.connect_err = EINVAL,
};

FIXTURE_VARIANT_ADD(address, len_7_einval)
{
	.len = 7,
	.family = AF_MYPROTO,
	.bind_err = EINVAL,
	.connect_err = EINVAL,
};

FIXTURE_VARIANT_ADD(address, len_7_wrong_family_einval)
{
	.len = 7,
	.family = AF_INET,
	.bind_err = EINVAL,
	.connect_err = EINVAL,
};

FIXTURE_VARIANT_ADD(address, wrong_family_eafnosupport)
{
	.len = 8,
	.family = AF_INET,
	.bind_err = EAFNOSUPPORT,
	.connect_err = EAFNOSUPPORT,
};

FIXTURE_VARIANT_ADD(address, wrong_family_and_pad_eafnosupport)
{
	.len = 8,
	.family = AF_UNIX,
	.pad = 1,
	.bind_err = EAFNOSUPPORT,
	.connect_err = EAFNOSUPPORT,
};

FIXTURE_VARIANT_ADD(address, unspec)
{
	.len = 8,
	.family = AF_UNSPEC,
	.bind_err = EAFNOSUPPORT,
	.connect_err = EINVAL,
};

FIXTURE_VARIANT_ADD(address, unspec_len_2_einval)
{
	.len = 2,
	.family = AF_UNSPEC,
	.bind_err = EINVAL,
	.connect_err = EINVAL,
};

FIXTURE_VARIANT_ADD(address, pad_einval)
{
	.len = 8,
	.family = AF_MYPROTO,
	.pad = 1,
	.bind_err = EINVAL,
	.connect_err = EINVAL,
};

FIXTURE_VARIANT_ADD(address, pad_high_byte_einval)
{
	.len = 8,
	.family = AF_MYPROTO,
	.pad = 0x8000,
	.bind_err = EINVAL,
	.connect_err = EINVAL,
};

FIXTURE_VARIANT_ADD(address, len_8)
{
	.len = 8,
	.family = AF_MYPROTO,
	.connect_err = ECONNREFUSED,
};

FIXTURE_VARIANT_ADD(address, len_9_accepted)
{
	.len = 9,
	.family = AF_MYPROTO,
	.connect_err = ECONNREFUSED,
};

FIXTURE_VARIANT_ADD(address, len_128_accepted)
{
	.len = 128,
	.family = AF_MYPROTO,
	.connect_err = ECONNREFUSED,
};

FIXTURE_VARIANT_ADD(address, len_129_einval)
{
	.len = 129,
	.family = AF_MYPROTO,
	.bind_err = EINVAL,
	.connect_err = EINVAL,
};

FIXTURE_VARIANT_ADD(address, len_negative_einval)
{
	.len = -1,
	.family = AF_MYPROTO,
	.bind_err = EINVAL,
	.connect_err = EINVAL,
};

FIXTURE_SETUP(address)
{
	struct sockaddr_my addr = {
		.smy_family = variant->family,
		.__smy_pad = variant->pad,
	};
	int fd;

	/* A channel that was free just now */
	fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
	addr.smy_channel = my_channel(_metadata, fd);
	close(fd);

	/* Bytes after the address are not looked at. */
	memset(self->bytes, 0xff, sizeof(self->bytes));
	memcpy(self->bytes, &addr, sizeof(addr));
	self->fd = my_socket(_metadata);
}

FIXTURE_TEARDOWN(address)
{
	close(self->fd);
}

TEST_F(address, bind)
{
	EXPECT_EQ(variant->bind_err,
		  err_of(bind(self->fd, (struct sockaddr *)self->bytes,
			      variant->len)));

	/* A refused bind() leaves the socket as it was. */
	if (variant->bind_err) {
		EXPECT_EQ(0, my_channel(_metadata, self->fd));
		EXPECT_EQ(0, my_bind(self->fd, MYPROTO_CHANNEL_ANY));
	}
}

TEST_F(address, connect)
{
	EXPECT_EQ(variant->connect_err,
		  err_of(connect(self->fd, (struct sockaddr *)self->bytes,
				 variant->len)));
}

TEST(bind_bad_pointer_efault)
{
	int fd = my_socket(_metadata);

	EXPECT_EQ(EFAULT, err_of(bind(fd, (struct sockaddr *)8, 8)));
	EXPECT_EQ(EFAULT, err_of(connect(fd, (struct sockaddr *)8, 8)));
	EXPECT_EQ(0, my_channel(_metadata, fd));
}

/* bind() */

FIXTURE(channel) {};

FIXTURE_VARIANT(channel)
{
	__u32 channel;
};

FIXTURE_VARIANT_ADD(channel, first_unprivileged)
{
	.channel = UNPRIVILEGED,
};

FIXTURE_VARIANT_ADD(channel, ordinary)
{
	.channel = 123456,
};

FIXTURE_VARIANT_ADD(channel, last_static)
{
	.channel = DYNAMIC_START - 1,
};

FIXTURE_VARIANT_ADD(channel, first_dynamic)
{
	.channel = DYNAMIC_START,
};

FIXTURE_VARIANT_ADD(channel, last)
{
	.channel = UINT32_MAX,
};

FIXTURE_SETUP(channel)
{
}

FIXTURE_TEARDOWN(channel)
{
}

TEST_F(channel, bind_and_getsockname)
{
	int fd = my_bound_socket(_metadata, variant->channel);

	EXPECT_EQ(variant->channel, my_channel(_metadata, fd));
}

TEST_F(channel, bind_taken_eaddrinuse)
{
	int fd = my_socket(_metadata);

	my_bound_socket(_metadata, variant->channel);
	EXPECT_EQ(EADDRINUSE, err_of(my_bind(fd, variant->channel)));
	EXPECT_EQ(0, my_channel(_metadata, fd));
}

TEST_F(channel, bind_again_after_close)
{
	int i, fd;

	for (i = 0; i < 100; i++) {
		fd = my_bound_socket(_metadata, variant->channel);
		close(fd);
	}
}

TEST(bind_any_gives_dynamic)
{
	int fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);

	EXPECT_LE(DYNAMIC_START, my_channel(_metadata, fd));
}

static int by_value(const void *a, const void *b)
{
	__u32 x = *(__u32 *)a, y = *(__u32 *)b;

	return x < y ? -1 : x > y;
}

TEST(bind_any_gives_distinct)
{
	__u32 channel[200];
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(channel); i++) {
		fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
		channel[i] = my_channel(_metadata, fd);
	}

	qsort(channel, ARRAY_SIZE(channel), sizeof(*channel), by_value);
	ASSERT_LE(DYNAMIC_START, channel[0]);
	for (i = 1; i < ARRAY_SIZE(channel); i++)
		ASSERT_LT(channel[i - 1], channel[i]);
}

/* bind() to any steps over channels that are taken. */
TEST(bind_any_skips_taken)
{
	__u32 channel;
	int fd, i;

	fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
	channel = my_channel(_metadata, fd);

	/* Where a counter would go on next */
	for (i = 1; i <= 10; i++) {
		fd = my_socket(_metadata);
		if (my_bind(fd, channel + i))
			ASSERT_EQ(EADDRINUSE, errno);
	}
	for (i = 0; i < 20; i++) {
		fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
		EXPECT_LE(DYNAMIC_START, my_channel(_metadata, fd));
	}
}

TEST(bind_twice_einval)
{
	int fd = my_bound_socket(_metadata, 5000);

	EXPECT_EQ(EINVAL, err_of(my_bind(fd, 5001)));
	EXPECT_EQ(EINVAL, err_of(my_bind(fd, 5000)));
	EXPECT_EQ(EINVAL, err_of(my_bind(fd, MYPROTO_CHANNEL_ANY)));
	EXPECT_EQ(5000, my_channel(_metadata, fd));

	/* The channel of the failed attempt stayed free. */
	my_bound_socket(_metadata, 5001);
}

TEST(bind_connected_einval)
{
	int fd[2];

	my_connection(_metadata, fd);
	EXPECT_EQ(EINVAL, err_of(my_bind(fd[0], 5000)));
	EXPECT_EQ(EINVAL, err_of(my_bind(fd[1], 5000)));
	my_bound_socket(_metadata, 5000);
}

TEST(bind_after_failed_bind)
{
	int fd = my_socket(_metadata);

	my_bound_socket(_metadata, 5000);
	EXPECT_EQ(EADDRINUSE, err_of(my_bind(fd, 5000)));
	EXPECT_EQ(0, my_bind(fd, 5001));
	EXPECT_EQ(5001, my_channel(_metadata, fd));
}

/* A channel belongs to the socket, not to one descriptor of it. */
TEST(bind_held_by_dup)
{
	int fd = my_bound_socket(_metadata, 5000);
	int copy = dup(fd);
	int other = my_socket(_metadata);

	ASSERT_LE(0, copy);
	close(fd);
	EXPECT_EQ(EADDRINUSE, err_of(my_bind(other, 5000)));
	close(copy);
	EXPECT_EQ(0, my_bind(other, 5000));
}

TEST(bind_held_by_child)
{
	int fd = my_bound_socket(_metadata, 5000);
	int other = my_socket(_metadata);
	pid_t pid;

	pid = my_fork(_metadata);
	if (!pid) {
		pause();
		_exit(0);
	}

	close(fd);
	EXPECT_EQ(EADDRINUSE, err_of(my_bind(other, 5000)));
	EXPECT_EQ(-SIGKILL, my_kill(pid));
	EXPECT_EQ(0, my_bind(other, 5000));
}

/* Connections a listener accepted do not keep its channel. */
TEST(bind_while_accepted_lives)
{
	int listener, client, server;

	listener = my_bound_socket(_metadata, 5000);
	ASSERT_EQ(0, listen(listener, 1));
	client = my_client(_metadata, 5000);
	server = accept(listener, NULL, NULL);
	ASSERT_LE(0, server);
	close(listener);

	listener = my_bound_socket(_metadata, 5000);
	ASSERT_EQ(0, listen(listener, 1));
	EXPECT_EQ(5000, my_channel(_metadata, server));
	EXPECT_EQ(5000, my_peer(_metadata, client));

	/* ... and closing one does not take it away. */
	close(server);
	my_client(_metadata, 5000);
}

/* Privileged channels */

static void drop_net_bind_service(void)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};

	if (syscall(SYS_capget, &head, data))
		_exit(KSFT_FAIL);
	data[0].effective &= ~(1U << CAP_NET_BIND_SERVICE);
	data[0].permitted &= ~(1U << CAP_NET_BIND_SERVICE);
	if (syscall(SYS_capset, &head, data))
		_exit(KSFT_FAIL);
}

static void become_nobody(void)
{
	if (setresuid(65534, 65534, 65534))
		_exit(KSFT_FAIL);
}

static void enter_user_ns(void)
{
	if (unshare(CLONE_NEWUSER))
		_exit(KSFT_FAIL);
}

FIXTURE(unprivileged)
{
	bool root;
};

FIXTURE_VARIANT(unprivileged)
{
	void (*drop)(void);
};

FIXTURE_VARIANT_ADD(unprivileged, no_net_bind_service)
{
	.drop = drop_net_bind_service,
};

FIXTURE_VARIANT_ADD(unprivileged, nobody)
{
	.drop = become_nobody,
};

/* All capabilities, but not in the user namespace that owns the netns */
FIXTURE_VARIANT_ADD(unprivileged, root_of_other_user_ns)
{
	.drop = enter_user_ns,
};

FIXTURE_SETUP(unprivileged)
{
	if (geteuid())
		SKIP(return, "needs root to start from");
	if (variant->drop == enter_user_ns &&
	    access("/proc/self/ns/user", F_OK))
		SKIP(return, "no user namespaces");

	/* Where the sysctls and the default channel are as expected */
	if (unshare(CLONE_NEWNET))
		SKIP(return, "no new netns: %s", strerror(errno));
}

FIXTURE_TEARDOWN(unprivileged)
{
}

/* errno of call(@arg) in a child that gave up its privileges */
static int unprivileged_err(struct __test_metadata *_metadata,
			    void (*drop)(void), int (*call)(__u32 arg),
			    __u32 arg)
{
	pid_t pid = my_fork(_metadata);

	if (!pid) {
		drop();
		_exit(err_of(call(arg)));
	}
	return my_wait(pid);
}

static int bind_new(__u32 channel)
{
	return my_bind(socket(AF_MYPROTO, SOCK_STREAM, 0), channel);
}

static int listen_new(__u32 backlog)
{
	return listen(socket(AF_MYPROTO, SOCK_STREAM, 0), backlog);
}

static int connect_new(__u32 channel)
{
	return my_connect(socket(AF_MYPROTO, SOCK_STREAM, 0), channel);
}

TEST_F(unprivileged, bind_privileged_eacces)
{
	EXPECT_EQ(EACCES, unprivileged_err(_metadata, variant->drop, bind_new,
					   PRIVILEGED));
	EXPECT_EQ(EACCES, unprivileged_err(_metadata, variant->drop, bind_new,
					   1));
	EXPECT_EQ(0, bind_new(PRIVILEGED));
}

TEST_F(unprivileged, bind_unprivileged)
{
	EXPECT_EQ(0, unprivileged_err(_metadata, variant->drop, bind_new,
				      UNPRIVILEGED));
	EXPECT_EQ(0, unprivileged_err(_metadata, variant->drop, bind_new,
				      MYPROTO_CHANNEL_ANY));
}

TEST_F(unprivileged, listen_default_eacces)
{
	EXPECT_EQ(EACCES, unprivileged_err(_metadata, variant->drop,
					   listen_new, 1));
	EXPECT_EQ(0, listen_new(1));
}

/* Privilege is for those who offer a service, not for their clients. */
TEST_F(unprivileged, connect_privileged)
{
	int fd = my_bound_socket(_metadata, PRIVILEGED);

	ASSERT_EQ(0, listen(fd, 1));
	EXPECT_EQ(0, unprivileged_err(_metadata, variant->drop, connect_new,
				      PRIVILEGED));
}

/* Root of a user namespace is root of the network namespaces it owns. */
TEST(bind_privileged_in_own_user_ns)
{
	pid_t pid = my_fork(_metadata);
	int ret;

	if (!pid) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
			_exit(KSFT_SKIP);
		_exit(bind_new(PRIVILEGED) || listen_new(1) ? KSFT_FAIL : 0);
	}
	ret = my_wait(pid);
	if (ret == KSFT_SKIP)
		SKIP(return, "no new user and network namespaces");
	EXPECT_EQ(0, ret);
}

/* The default channel, and then the sysctls */

FIXTURE(defaults) {};

FIXTURE_SETUP(defaults)
{
	if (unshare(CLONE_NEWNET))
		SKIP(return, "no new netns: %s", strerror(errno));
}

FIXTURE_TEARDOWN(defaults)
{
}

TEST_F(defaults, listen_and_connect)
{
	int listener = my_socket(_metadata);
	int client;

	ASSERT_EQ(0, listen(listener, 1));
	EXPECT_EQ(MYPROTO_CHANNEL_DEFAULT, my_channel(_metadata, listener));

	client = my_client(_metadata, MYPROTO_CHANNEL_ANY);
	EXPECT_EQ(MYPROTO_CHANNEL_DEFAULT, my_peer(_metadata, client));
	EXPECT_LE(0, accept(listener, NULL, NULL));
}

TEST_F(defaults, listen_taken_eaddrinuse)
{
	int fd = my_socket(_metadata);
	int holder;

	holder = my_bound_socket(_metadata, MYPROTO_CHANNEL_DEFAULT);
	EXPECT_EQ(EADDRINUSE, err_of(listen(fd, 1)));
	EXPECT_EQ(0, my_channel(_metadata, fd));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ACCEPTCONN));

	close(holder);
	EXPECT_EQ(0, listen(fd, 1));
}

TEST_F(defaults, connect_nobody_econnrefused)
{
	EXPECT_EQ(ECONNREFUSED, err_of(connect_new(MYPROTO_CHANNEL_ANY)));
}

FIXTURE(sysctl) {};

FIXTURE_SETUP(sysctl)
{
	if (!has_sysctls())
		SKIP(return, "no sysctls");
	if (unshare(CLONE_NEWNET))
		SKIP(return, "no new netns: %s", strerror(errno));
}

FIXTURE_TEARDOWN(sysctl)
{
}

TEST_F(sysctl, values)
{
	EXPECT_EQ(MYPROTO_CHANNEL_DEFAULT, sysctl_get("default_channel"));
	EXPECT_EQ(1024, sysctl_get("unprivileged_channel_start"));
}

TEST_F(sysctl, bad_values_einval)
{
	EXPECT_EQ(EINVAL, sysctl_set("default_channel", "-1"));
	EXPECT_EQ(EINVAL, sysctl_set("default_channel", "abc"));
	EXPECT_EQ(EINVAL, sysctl_set("default_channel", "4294967296"));
	EXPECT_EQ(EINVAL, sysctl_set("unprivileged_channel_start", "-1"));
	EXPECT_EQ(EINVAL, sysctl_set("unprivileged_channel_start", "abc"));
	/* The dynamic channels are for everybody. */
	EXPECT_EQ(EINVAL,
		  sysctl_set("unprivileged_channel_start", "2147483649"));

	EXPECT_EQ(MYPROTO_CHANNEL_DEFAULT, sysctl_get("default_channel"));
	EXPECT_EQ(1024, sysctl_get("unprivileged_channel_start"));
}

TEST_F(sysctl, default_channel)
{
	int listener = my_socket(_metadata);
	int client;

	ASSERT_EQ(0, sysctl_set("default_channel", "4000"));
	EXPECT_EQ(4000, sysctl_get("default_channel"));

	ASSERT_EQ(0, listen(listener, 1));
	EXPECT_EQ(4000, my_channel(_metadata, listener));
	client = my_client(_metadata, MYPROTO_CHANNEL_ANY);
	EXPECT_EQ(4000, my_peer(_metadata, client));
	EXPECT_EQ(ECONNREFUSED, err_of(connect_new(MYPROTO_CHANNEL_DEFAULT)));
}

/* errno of call(@arg) by a user without privileges */
static int nobody_err(struct __test_metadata *_metadata,
		      int (*call)(__u32 arg), __u32 arg)
{
	return unprivileged_err(_metadata, become_nobody, call, arg);
}

TEST_F(sysctl, unprivileged_start_lowered)
{
	ASSERT_EQ(0, sysctl_set("unprivileged_channel_start", "500"));
	EXPECT_EQ(0, nobody_err(_metadata, bind_new, 500));
	EXPECT_EQ(EACCES, nobody_err(_metadata, bind_new, 499));
	EXPECT_EQ(0, nobody_err(_metadata, listen_new, 1));
}

TEST_F(sysctl, unprivileged_start_raised)
{
	ASSERT_EQ(0, sysctl_set("unprivileged_channel_start", "5000"));
	EXPECT_EQ(EACCES, nobody_err(_metadata, bind_new, 4999));
	EXPECT_EQ(0, nobody_err(_metadata, bind_new, 5000));
	EXPECT_EQ(0, nobody_err(_metadata, bind_new, MYPROTO_CHANNEL_ANY));
}

TEST_F(sysctl, unprivileged_start_zero)
{
	ASSERT_EQ(0, sysctl_set("unprivileged_channel_start", "0"));
	EXPECT_EQ(0, nobody_err(_metadata, bind_new, 1));
}

/* getsockname() and getpeername() */

TEST(getsockname_unbound)
{
	int fd = my_socket(_metadata);

	EXPECT_EQ(0, my_channel(_metadata, fd));
}

TEST(getsockname_short_buffer)
{
	struct sockaddr_my addr = { .smy_channel = 77 };
	int fd = my_bound_socket(_metadata, 5000);
	socklen_t len = 2;

	ASSERT_EQ(0, getsockname(fd, (struct sockaddr *)&addr, &len));
	EXPECT_EQ(sizeof(addr), len);
	EXPECT_EQ(AF_MYPROTO, addr.smy_family);
	EXPECT_EQ(77U, addr.smy_channel);
}

TEST(getsockname_after_connect_is_dynamic)
{
	__u32 channel;
	int client;

	my_listener(_metadata, 1, &channel);
	client = my_client(_metadata, channel);
	EXPECT_LE(DYNAMIC_START, my_channel(_metadata, client));
	EXPECT_NE(channel, my_channel(_metadata, client));
}

TEST(getsockname_bound_client_keeps_channel)
{
	int client = my_bound_socket(_metadata, 5000);
	__u32 channel;

	my_listener(_metadata, 1, &channel);
	ASSERT_EQ(0, my_connect(client, channel));
	EXPECT_EQ(5000, my_channel(_metadata, client));
}

TEST(getpeername_unconnected_enotconn)
{
	struct sockaddr_my addr;
	socklen_t len = sizeof(addr);
	int fd = my_socket(_metadata);

	EXPECT_EQ(ENOTCONN, err_of(getpeername(fd, (struct sockaddr *)&addr,
					       &len)));
	ASSERT_EQ(0, my_bind(fd, 5000));
	EXPECT_EQ(ENOTCONN, err_of(getpeername(fd, (struct sockaddr *)&addr,
					       &len)));
	ASSERT_EQ(0, listen(fd, 1));
	EXPECT_EQ(ENOTCONN, err_of(getpeername(fd, (struct sockaddr *)&addr,
					       &len)));
}

TEST(names_of_connection)
{
	int listener = my_bound_socket(_metadata, 5000);
	int client, server;

	ASSERT_EQ(0, listen(listener, 1));
	client = my_client(_metadata, 5000);
	/* The client knows its peer before anyone accepts. */
	EXPECT_EQ(5000, my_peer(_metadata, client));

	server = accept(listener, NULL, NULL);
	ASSERT_LE(0, server);
	EXPECT_EQ(5000, my_channel(_metadata, server));
	EXPECT_EQ(my_channel(_metadata, client), my_peer(_metadata, server));
}

TEST(names_after_peer_closed)
{
	int listener, fd[2];
	__s64 client_channel;
	__u32 channel;

	listener = my_listener(_metadata, 2, &channel);
	fd[0] = my_client(_metadata, channel);
	fd[1] = accept(listener, NULL, NULL);
	ASSERT_LE(0, fd[1]);

	close(fd[1]);
	EXPECT_EQ(channel, my_peer(_metadata, fd[0]));
	client_channel = my_channel(_metadata, fd[0]);

	close(fd[0]);
	fd[0] = my_client(_metadata, channel);
	fd[1] = accept(listener, NULL, NULL);
	ASSERT_LE(0, fd[1]);
	EXPECT_NE(0, client_channel);

	client_channel = my_channel(_metadata, fd[0]);
	close(fd[0]);
	EXPECT_EQ(client_channel, my_peer(_metadata, fd[1]));
	EXPECT_EQ(channel, my_channel(_metadata, fd[1]));
}

TEST(names_of_socketpair)
{
	int fd[2], i;

	my_socketpair(_metadata, fd);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, my_channel(_metadata, fd[i]));
		EXPECT_EQ(0, my_peer(_metadata, fd[i]));
	}
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
