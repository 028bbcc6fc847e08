// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO addresses, which are the same for all types: the sockaddr, bind(),
 * privileged channels and their sysctl, the default channel, getsockname() and
 * getpeername().
 */
#include <sys/syscall.h>

#include <linux/capability.h>

#include "type.h"

/* Below the first unprivileged channel */
#define PRIVILEGED	1023
#define UNPRIVILEGED	1024

static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };

FIXTURE_VARIANT_ADD(type, dgram)
{
	.type = SOCK_DGRAM,
};

/* The numbers and the layout that programs have compiled in */
TEST(abi)
{
	struct {
		__u16 family;
		__u16 pad;
		__u32 channel;
	} addr = { 46, 0, 5000 };
	socklen_t len = sizeof(addr);
	int fd = socket(46, SOCK_STREAM, 0);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, bind(fd, (struct sockaddr *)&addr, 8));
	EXPECT_EQ(5000, my_channel(_metadata, fd));

	/* listen() without bind() takes the default channel. */
	fd = socket(46, SOCK_STREAM, 0);
	ASSERT_EQ(0, listen(fd, 1));
	ASSERT_EQ(0, getsockname(fd, (struct sockaddr *)&addr, &len));
	EXPECT_EQ(8U, len);
	EXPECT_EQ(46, addr.family);
	EXPECT_EQ(0, addr.pad);
	EXPECT_EQ(999U, addr.channel);

	/* To bind(), channel 0 is any. */
	addr.channel = 0;
	fd = socket(46, SOCK_STREAM, 0);
	ASSERT_EQ(0, bind(fd, (struct sockaddr *)&addr, 8));
	EXPECT_LE(0x80000000LL, my_channel(_metadata, fd));
}

/* socket() */

TEST(socket_other_type_esocktnosupport)
{
	EXPECT_EQ(ESOCKTNOSUPPORT, err_of(socket(AF_MYPROTO, SOCK_RAW, 0)));
	EXPECT_EQ(ESOCKTNOSUPPORT, err_of(socket(AF_MYPROTO, SOCK_RDM, 0)));
}

TEST_F(type, socket_properties)
{
	int fd = my_socket(_metadata);

	EXPECT_EQ(AF_MYPROTO, get_int_opt(_metadata, fd, SO_DOMAIN));
	EXPECT_EQ(my_type, get_int_opt(_metadata, fd, SO_TYPE));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_PROTOCOL));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ACCEPTCONN));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ERROR));
	EXPECT_EQ(0, close(fd));
}

TEST_F(type, socket_flags)
{
	int fd;

	fd = socket(AF_MYPROTO, my_type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
	EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

TEST_F(type, socket_protocol_eprotonosupport)
{
	EXPECT_EQ(EPROTONOSUPPORT, err_of(socket(AF_MYPROTO, my_type, 1)));
	EXPECT_EQ(EPROTONOSUPPORT, err_of(socket(AF_MYPROTO, my_type, -1)));
	EXPECT_EQ(EPROTONOSUPPORT,
		  err_of(socket(AF_MYPROTO, my_type, AF_MYPROTO)));
}

/* The checks of an address that bind(), connect() and sendto() share */

static const struct address {
	const char *name;
	socklen_t len;
	sa_family_t family;
	__u16 pad;
	int tail;	/* 1 + which byte after the address is not 0 */
	int bind_err;
	int connect_err;
	int dgram_connect_err;
} addresses[] = {
	{ "no address", 0, AF_MYPROTO, 0, 0, EINVAL, EINVAL, EINVAL },
	{ "length 1", 1, AF_MYPROTO, 0, 0, EINVAL, EINVAL, EINVAL },
	{ "length 2", 2, AF_MYPROTO, 0, 0, EINVAL, EINVAL, EINVAL },
	{ "length 7", 7, AF_MYPROTO, 0, 0, EINVAL, EINVAL, EINVAL },
	{ "length 7, AF_INET", 7, AF_INET, 0, 0, EINVAL, EINVAL, EINVAL },
	{ "AF_INET", 8, AF_INET, 0, 0,
	  EAFNOSUPPORT, EAFNOSUPPORT, EAFNOSUPPORT },
	{ "AF_UNIX and pad", 8, AF_UNIX, 1, 0,
	  EAFNOSUPPORT, EAFNOSUPPORT, EAFNOSUPPORT },
	{ "AF_INET and tail", 16, AF_INET, 0, 1,
	  EAFNOSUPPORT, EAFNOSUPPORT, EAFNOSUPPORT },
	/* Ends the association of a DGRAM socket, if any */
	{ "AF_UNSPEC", 8, AF_UNSPEC, 0, 0, EAFNOSUPPORT, EINVAL, 0 },
	{ "pad", 8, AF_MYPROTO, 1, 0, EINVAL, EINVAL, EINVAL },
	{ "pad's other byte", 8, AF_MYPROTO, 0x8000, 0,
	  EINVAL, EINVAL, EINVAL },
	{ "length 8", 8, AF_MYPROTO, 0, 1, 0, ECONNREFUSED, ECONNREFUSED },
	{ "length 9", 9, AF_MYPROTO, 0, 2, 0, ECONNREFUSED, ECONNREFUSED },
	{ "length 128", 128, AF_MYPROTO, 0, 0, 0, ECONNREFUSED, ECONNREFUSED },
	{ "length 129", 129, AF_MYPROTO, 0, 0, EINVAL, EINVAL, EINVAL },
	{ "length -1", -1, AF_MYPROTO, 0, 0, EINVAL, EINVAL, EINVAL },
	/* It may get a meaning. */
	{ "tail", 9, AF_MYPROTO, 0, 1, EINVAL, EINVAL, EINVAL },
	{ "tail's end", 128, AF_MYPROTO, 0, 120, EINVAL, EINVAL, EINVAL },
};

/* The bytes of an address with a channel that was free just now */
static void address_bytes(struct __test_metadata *_metadata,
			  const struct address *address,
			  unsigned char bytes[sizeof(struct sockaddr_storage)])
{
	struct sockaddr_my addr = {
		.smy_family = address->family,
		.__smy_pad = address->pad,
	};
	int fd;

	fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
	addr.smy_channel = my_channel(_metadata, fd);
	close(fd);

	memset(bytes, 0, sizeof(struct sockaddr_storage));
	memcpy(bytes, &addr, sizeof(addr));
	if (address->tail)
		bytes[sizeof(addr) + address->tail - 1] = 1;
}

TEST_F(type, bind_checks_address)
{
	unsigned char bytes[sizeof(struct sockaddr_storage)];
	const struct address *address;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(addresses); i++) {
		address = &addresses[i];
		address_bytes(_metadata, address, bytes);
		fd = my_socket(_metadata);
		EXPECT_EQ(address->bind_err,
			  err_of(bind(fd, (struct sockaddr *)bytes,
				      address->len)))
			TH_LOG("%s", address->name);

		/* A refused bind() leaves the socket as it was. */
		if (address->bind_err) {
			EXPECT_EQ(0, my_channel(_metadata, fd));
			EXPECT_EQ(0, my_bind(fd, MYPROTO_CHANNEL_ANY));
		}
		close(fd);
	}
}

TEST_F(type, connect_checks_address)
{
	unsigned char bytes[sizeof(struct sockaddr_storage)];
	const struct address *address;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(addresses); i++) {
		address = &addresses[i];
		address_bytes(_metadata, address, bytes);
		fd = my_socket(_metadata);
		EXPECT_EQ(my_type == SOCK_DGRAM ? address->dgram_connect_err :
						  address->connect_err,
			  err_of(connect(fd, (struct sockaddr *)bytes,
					 address->len)))
			TH_LOG("%s", address->name);
		close(fd);
	}
}

TEST(sendto_checks_address)
{
	unsigned char bytes[sizeof(struct sockaddr_storage)];
	const struct address *address;
	size_t i;
	int fd;

	my_type = SOCK_DGRAM;
	for (i = 0; i < ARRAY_SIZE(addresses); i++) {
		address = &addresses[i];
		/* To sendto() this is a destination that is not given. */
		if (!address->len)
			continue;

		address_bytes(_metadata, address, bytes);
		fd = my_socket(_metadata);
		EXPECT_EQ(address->bind_err ?: ECONNREFUSED,
			  err_of(sendto(fd, "x", 1, MSG_DONTWAIT,
					(struct sockaddr *)bytes,
					address->len)))
			TH_LOG("%s", address->name);
		close(fd);
	}
}

TEST_F(type, bad_pointer_efault)
{
	int fd = my_socket(_metadata);

	EXPECT_EQ(EFAULT, err_of(bind(fd, (struct sockaddr *)8, 8)));
	EXPECT_EQ(EFAULT, err_of(connect(fd, (struct sockaddr *)8, 8)));
	EXPECT_EQ(0, my_channel(_metadata, fd));
}

/* bind() */

static const __u32 channels[] = {
	UNPRIVILEGED, 123456, DYNAMIC_START - 1, DYNAMIC_START, UINT32_MAX,
};

TEST_F(type, bind_and_getsockname)
{
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(channels); i++) {
		fd = my_bound_socket(_metadata, channels[i]);
		EXPECT_EQ(channels[i], my_channel(_metadata, fd));
	}
}

/* All types share the channels. */
TEST_F(type, bind_taken_eaddrinuse)
{
	size_t i, j;
	int fd;

	for (i = 0; i < ARRAY_SIZE(channels); i++) {
		my_type = variant->type;
		my_bound_socket(_metadata, channels[i]);
		for (j = 0; j < ARRAY_SIZE(types); j++) {
			my_type = types[j];
			fd = my_socket(_metadata);
			EXPECT_EQ(EADDRINUSE, err_of(my_bind(fd, channels[i])));
			EXPECT_EQ(0, my_channel(_metadata, fd));
			close(fd);
		}
	}
}

TEST_F(type, bind_again_after_close)
{
	size_t i;
	int fd;

	for (i = 0; i < 30; i++) {
		fd = my_bound_socket(_metadata,
				     channels[i % ARRAY_SIZE(channels)]);
		close(fd);
	}
	for (i = 0; i < 10; i++) {
		my_type = types[i % ARRAY_SIZE(types)];
		close(my_bound_socket(_metadata, 5000));
	}
}

static int by_value(const void *a, const void *b)
{
	__u32 x = *(__u32 *)a, y = *(__u32 *)b;

	return x < y ? -1 : x > y;
}

TEST_F(type, bind_any_gives_distinct_dynamic)
{
	__u32 channel[50];
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

TEST_F(type, bind_twice_einval)
{
	int fd = my_bound_socket(_metadata, 5000);

	EXPECT_EQ(EINVAL, err_of(my_bind(fd, 5001)));
	EXPECT_EQ(EINVAL, err_of(my_bind(fd, 5000)));
	EXPECT_EQ(EINVAL, err_of(my_bind(fd, MYPROTO_CHANNEL_ANY)));
	EXPECT_EQ(5000, my_channel(_metadata, fd));

	/* The channel of the failed attempt stayed free. */
	my_bound_socket(_metadata, 5001);
}

TEST_F(type, bind_connected_einval)
{
	int fd[2];

	my_connection(_metadata, fd);
	EXPECT_EQ(EINVAL, err_of(my_bind(fd[0], 5000)));
	EXPECT_EQ(EINVAL, err_of(my_bind(fd[1], 5000)));
	my_bound_socket(_metadata, 5000);
}

TEST_F(type, bind_after_failed_bind)
{
	int fd = my_socket(_metadata);

	my_bound_socket(_metadata, 5000);
	EXPECT_EQ(EADDRINUSE, err_of(my_bind(fd, 5000)));
	EXPECT_EQ(0, my_bind(fd, 5001));
	EXPECT_EQ(5001, my_channel(_metadata, fd));
}

/* A channel belongs to the socket, not to one descriptor of it. */
TEST_F(type, bind_held_by_dup)
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

TEST_F(type, bind_held_by_child)
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
static void bind_while_accepted_lives(struct __test_metadata *_metadata)
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

TEST(bind_while_accepted_stream_lives)
{
	bind_while_accepted_lives(_metadata);
}

TEST(bind_while_accepted_seqpacket_lives)
{
	my_type = SOCK_SEQPACKET;
	bind_while_accepted_lives(_metadata);
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

FIXTURE(unprivileged) {};

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
	if (variant->drop == enter_user_ns &&
	    access("/proc/self/ns/user", F_OK))
		SKIP(return, "no user namespaces");
}

FIXTURE_TEARDOWN(unprivileged)
{
}

static int bind_new(__u32 channel)
{
	return my_bind(socket(AF_MYPROTO, my_type, 0), channel);
}

static int listen_new(__u32 backlog)
{
	return listen(socket(AF_MYPROTO, my_type, 0), backlog);
}

static int connect_new(__u32 channel)
{
	return my_connect(socket(AF_MYPROTO, my_type, 0), channel);
}

struct expected_call {
	int (*call)(__u32 arg);
	__u32 arg;
	int err;
};

/* Make calls, up to one that is NULL, in a child that gave up its privileges */
static void expect_calls(struct __test_metadata *_metadata, void (*drop)(void),
			 const struct expected_call *calls)
{
	pid_t pid = my_fork(_metadata);

	if (!pid) {
		drop();
		for (; calls->call; calls++)
			EXPECT_EQ(calls->err, err_of(calls->call(calls->arg)))
				TH_LOG("type %d, argument %u", my_type,
				       calls->arg);
		_exit(_metadata->exit_code);
	}
	EXPECT_EQ(0, my_wait(pid));
}

TEST_F(unprivileged, bind)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		my_type = types[i];
		expect_calls(_metadata, variant->drop,
			     (struct expected_call []) {
			{ bind_new, PRIVILEGED, EACCES },
			{ bind_new, 1, EACCES },
			{ bind_new, UNPRIVILEGED, 0 },
			{ bind_new, MYPROTO_CHANNEL_ANY, 0 },
			{}
		});
		EXPECT_EQ(0, bind_new(PRIVILEGED - i));
	}
}

TEST_F(unprivileged, listen_default)
{
	size_t i;

	for (i = 0; i < 2; i++) {
		my_type = types[i];
		expect_calls(_metadata, variant->drop,
			     (struct expected_call []) {
			{ listen_new, 1, EACCES },
			{}
		});
	}
	EXPECT_EQ(0, listen_new(1));
}

/* Privilege is for those who offer a service, not for their clients. */
TEST_F(unprivileged, connect_privileged)
{
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		my_type = types[i];
		fd = my_bound_socket(_metadata, PRIVILEGED - i);
		if (my_type != SOCK_DGRAM)
			ASSERT_EQ(0, listen(fd, 1));
		expect_calls(_metadata, variant->drop,
			     (struct expected_call []) {
			{ connect_new, PRIVILEGED - i, 0 },
			{}
		});
	}
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

/* The default channel, where listen() listens, and nobody goes by not naming a
 * channel: an address that was not filled in reaches nobody.
 */

TEST_F(type, channel_0_einval)
{
	int fd = my_socket(_metadata), service;

	service = my_bound_socket(_metadata, MYPROTO_CHANNEL_DEFAULT);
	if (my_type != SOCK_DGRAM)
		ASSERT_EQ(0, listen(service, 1));
	EXPECT_EQ(EINVAL, err_of(my_connect(fd, MYPROTO_CHANNEL_ANY)));
	if (my_type == SOCK_DGRAM)
		EXPECT_EQ(EINVAL, err_of(my_sendto(fd, MYPROTO_CHANNEL_ANY,
						   "abc", 3, 0)));
	EXPECT_EQ(0, my_channel(_metadata, fd));
	EXPECT_EQ(0, poll_now(service) & POLLIN);
	EXPECT_EQ(0, my_connect(fd, MYPROTO_CHANNEL_DEFAULT));
}

TEST(default_channel_listen_taken_eaddrinuse)
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

/* A test of these sets what it likes: the parent puts it back. */
FIXTURE(sysctl) {};

FIXTURE_SETUP(sysctl)
{
	if (!has_sysctls())
		SKIP(return, "no sysctls");
}

FIXTURE_TEARDOWN_PARENT(sysctl)
{
	EXPECT_EQ(0, sysctl_set("unprivileged_channel_start", "1024"));
}

TEST_F(sysctl, value)
{
	EXPECT_EQ(1024, sysctl_get("unprivileged_channel_start"));
}

TEST_F(sysctl, bad_values_einval)
{
	EXPECT_EQ(EINVAL, sysctl_set("unprivileged_channel_start", "-1"));
	EXPECT_EQ(EINVAL, sysctl_set("unprivileged_channel_start", "abc"));
	/* The dynamic channels are for everybody. */
	EXPECT_EQ(EINVAL,
		  sysctl_set("unprivileged_channel_start", "2147483649"));

	EXPECT_EQ(1024, sysctl_get("unprivileged_channel_start"));
}

TEST_F(sysctl, unprivileged_channel_start)
{
	ASSERT_EQ(0, sysctl_set("unprivileged_channel_start", "500"));
	expect_calls(_metadata, become_nobody, (struct expected_call []) {
		{ bind_new, 499, EACCES },
		{ bind_new, 500, 0 },
		{ listen_new, 1, 0 },
		{}
	});

	ASSERT_EQ(0, sysctl_set("unprivileged_channel_start", "5000"));
	expect_calls(_metadata, become_nobody, (struct expected_call []) {
		{ bind_new, 4999, EACCES },
		{ bind_new, 5000, 0 },
		{ bind_new, MYPROTO_CHANNEL_ANY, 0 },
		{}
	});

	ASSERT_EQ(0, sysctl_set("unprivileged_channel_start", "0"));
	expect_calls(_metadata, become_nobody, (struct expected_call []) {
		{ bind_new, 1, 0 },
		{}
	});
}

/* getsockname() and getpeername() */

TEST_F(type, getsockname_unbound)
{
	int fd = my_socket(_metadata);

	EXPECT_EQ(0, my_channel(_metadata, fd));
}

TEST_F(type, getsockname_short_buffer)
{
	struct sockaddr_my addr = { .smy_channel = 77 };
	int fd = my_bound_socket(_metadata, 5000);
	socklen_t len = 2;

	ASSERT_EQ(0, getsockname(fd, (struct sockaddr *)&addr, &len));
	EXPECT_EQ(sizeof(addr), len);
	EXPECT_EQ(AF_MYPROTO, addr.smy_family);
	EXPECT_EQ(77U, addr.smy_channel);
}

/* What one can connect() to, on a dynamic channel */
static int service_on(struct __test_metadata *_metadata, __u32 *channel)
{
	int fd;

	if (my_type != SOCK_DGRAM)
		return my_listener(_metadata, 2, channel);
	fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
	*channel = my_channel(_metadata, fd);
	return fd;
}

TEST_F(type, getsockname_after_connect_is_dynamic)
{
	__u32 channel;
	int client;

	service_on(_metadata, &channel);
	client = my_client(_metadata, channel);
	EXPECT_LE(DYNAMIC_START, my_channel(_metadata, client));
	EXPECT_NE(channel, my_channel(_metadata, client));
}

TEST_F(type, getsockname_bound_client_keeps_channel)
{
	int client = my_bound_socket(_metadata, 5000);
	__u32 channel;

	service_on(_metadata, &channel);
	ASSERT_EQ(0, my_connect(client, channel));
	EXPECT_EQ(5000, my_channel(_metadata, client));
}

TEST_F(type, getpeername_unconnected_enotconn)
{
	struct sockaddr_my addr;
	socklen_t len = sizeof(addr);
	int fd = my_socket(_metadata);

	EXPECT_EQ(ENOTCONN, err_of(getpeername(fd, (struct sockaddr *)&addr,
					       &len)));
	ASSERT_EQ(0, my_bind(fd, 5000));
	EXPECT_EQ(ENOTCONN, err_of(getpeername(fd, (struct sockaddr *)&addr,
					       &len)));
	if (my_type == SOCK_DGRAM)
		return;
	ASSERT_EQ(0, listen(fd, 1));
	EXPECT_EQ(ENOTCONN, err_of(getpeername(fd, (struct sockaddr *)&addr,
					       &len)));
}

TEST_F(type, names_of_connection)
{
	int client, server;
	__u32 channel;

	server = service_on(_metadata, &channel);
	client = my_client(_metadata, channel);
	/* The client knows its peer before anyone accepts. */
	EXPECT_EQ(channel, my_peer(_metadata, client));

	if (my_type == SOCK_DGRAM) {
		ASSERT_EQ(0, my_connect(server, my_channel(_metadata, client)));
	} else {
		server = accept(server, NULL, NULL);
		ASSERT_LE(0, server);
	}
	EXPECT_EQ(channel, my_channel(_metadata, server));
	EXPECT_EQ(my_channel(_metadata, client), my_peer(_metadata, server));
}

TEST_F(type, names_after_peer_closed)
{
	__s64 channel[2];
	int fd[2], i;

	for (i = 0; i < 2; i++) {
		my_connection(_metadata, fd);
		channel[0] = my_channel(_metadata, fd[0]);
		channel[1] = my_channel(_metadata, fd[1]);
		close(fd[i]);
		EXPECT_EQ(channel[!i], my_channel(_metadata, fd[!i]));
		EXPECT_EQ(channel[i], my_peer(_metadata, fd[!i]));
	}
}

TEST_F(type, names_of_socketpair)
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
