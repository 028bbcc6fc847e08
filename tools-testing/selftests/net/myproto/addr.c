// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO addresses, which are the same for all types: the sockaddr, bind(),
 * privileged channels and their sysctl, the default channel, getsockname() and
 * getpeername().
 */
#include <sys/syscall.h>

#include <linux/capability.h>

#include "type.h"

/* The highest one by default */
#define PRIVILEGED	1023

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

TEST_F(type, socket)
{
	int fd;

	EXPECT_EQ(ESOCKTNOSUPPORT, err_of(socket(AF_MYPROTO, SOCK_RAW, 0)));
	EXPECT_EQ(ESOCKTNOSUPPORT, err_of(socket(AF_MYPROTO, SOCK_RDM, 0)));
	EXPECT_EQ(EPROTONOSUPPORT, err_of(socket(AF_MYPROTO, my_type, 1)));
	EXPECT_EQ(EPROTONOSUPPORT, err_of(socket(AF_MYPROTO, my_type, -1)));
	EXPECT_EQ(EPROTONOSUPPORT,
		  err_of(socket(AF_MYPROTO, my_type, AF_MYPROTO)));

	fd = socket(AF_MYPROTO, my_type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
	EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	EXPECT_EQ(AF_MYPROTO, get_int_opt(_metadata, fd, SO_DOMAIN));
	EXPECT_EQ(my_type, get_int_opt(_metadata, fd, SO_TYPE));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_PROTOCOL));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ACCEPTCONN));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ERROR));
}

/* The checks of an address that bind(), connect() and sendto() share */
static const struct address {
	const char *name;
	socklen_t len;
	sa_family_t family;
	__u16 pad;
	int tail;	/* 1 + which byte after the address is not 0 */
	int err;
} addresses[] = {
	{ "no address", 0, AF_MYPROTO, 0, 0, EINVAL },
	{ "length 1", 1, AF_MYPROTO, 0, 0, EINVAL },
	{ "length 2", 2, AF_MYPROTO, 0, 0, EINVAL },
	{ "length 7", 7, AF_MYPROTO, 0, 0, EINVAL },
	{ "length 7, AF_INET", 7, AF_INET, 0, 0, EINVAL },
	{ "AF_INET", 8, AF_INET, 0, 0, EAFNOSUPPORT },
	{ "AF_UNIX and pad", 8, AF_UNIX, 1, 0, EAFNOSUPPORT },
	{ "AF_INET and tail", 16, AF_INET, 0, 1, EAFNOSUPPORT },
	{ "AF_UNSPEC", 8, AF_UNSPEC, 0, 0, EAFNOSUPPORT },
	{ "pad", 8, AF_MYPROTO, 1, 0, EINVAL },
	{ "pad's other byte", 8, AF_MYPROTO, 0x8000, 0, EINVAL },
	{ "length 8", 8, AF_MYPROTO, 0, 1, 0 },
	{ "length 9", 9, AF_MYPROTO, 0, 2, 0 },
	{ "length 128", 128, AF_MYPROTO, 0, 0, 0 },
	{ "length 129", 129, AF_MYPROTO, 0, 0, EINVAL },
	{ "length -1", -1, AF_MYPROTO, 0, 0, EINVAL },
	/* It may get a meaning. */
	{ "tail", 9, AF_MYPROTO, 0, 1, EINVAL },
	{ "tail's end", 128, AF_MYPROTO, 0, 120, EINVAL },
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
	int fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);

	addr.smy_channel = my_channel(_metadata, fd);
	close(fd);

	memset(bytes, 0, sizeof(struct sockaddr_storage));
	memcpy(bytes, &addr, sizeof(addr));
	if (address->tail)
		bytes[sizeof(addr) + address->tail - 1] = 1;
}

TEST_F(type, checks_address)
{
	unsigned char bytes[sizeof(struct sockaddr_storage)];
	struct sockaddr *addr = (struct sockaddr *)bytes;
	bool dgram = my_type == SOCK_DGRAM;
	const struct address *address;
	int fd, err, i;

	for (i = 0; i < ARRAY_SIZE(addresses); i++) {
		address = &addresses[i];
		address_bytes(_metadata, address, bytes);

		/* To sendto(), length 0 is a destination that is not given. */
		fd = my_socket(_metadata);
		err = address->err ?: ECONNREFUSED;
		if (dgram && address->len)
			EXPECT_EQ(err, err_of(sendto(fd, "x", 1, MSG_DONTWAIT,
						     addr, address->len)))
				TH_LOG("sendto(): %s", address->name);

		/* It ends the association of a DGRAM socket, if any. */
		if (address->family == AF_UNSPEC)
			err = dgram ? 0 : EINVAL;
		fd = my_socket(_metadata);
		EXPECT_EQ(err, err_of(connect(fd, addr, address->len)))
			TH_LOG("connect(): %s", address->name);

		/* A refused bind() leaves the socket as it was. */
		fd = my_socket(_metadata);
		EXPECT_EQ(address->err, err_of(bind(fd, addr, address->len)))
			TH_LOG("bind(): %s", address->name);
		if (address->err) {
			EXPECT_EQ(0, my_channel(_metadata, fd));
			EXPECT_EQ(0, my_bind(fd, MYPROTO_CHANNEL_ANY));
		}
	}

	fd = my_socket(_metadata);
	EXPECT_EQ(EFAULT, err_of(bind(fd, (struct sockaddr *)8, 8)));
	EXPECT_EQ(EFAULT, err_of(connect(fd, (struct sockaddr *)8, 8)));
	EXPECT_EQ(0, my_channel(_metadata, fd));
}

/* All types share the channels. */
TEST_F(type, bind)
{
	static const __u32 channels[] = {
		PRIVILEGED + 1, 123456, DYNAMIC_START - 1, DYNAMIC_START,
		UINT32_MAX,
	};
	int fd, other, i, j;

	for (i = 0; i < ARRAY_SIZE(channels); i++) {
		my_type = variant->type;
		fd = my_bound_socket(_metadata, channels[i]);
		EXPECT_EQ(channels[i], my_channel(_metadata, fd));
		for (j = 0; j < ARRAY_SIZE(types); j++) {
			my_type = types[j];
			other = my_socket(_metadata);
			EXPECT_EQ(EADDRINUSE,
				  err_of(my_bind(other, channels[i])));
			EXPECT_EQ(0, my_channel(_metadata, other));
		}
		/* It is free at once, for the one that failed as well. */
		close(fd);
		for (j = 0; j < ARRAY_SIZE(types); j++) {
			my_type = types[j];
			close(my_bound_socket(_metadata, channels[i]));
		}
		EXPECT_EQ(0, my_bind(other, channels[i]));
		EXPECT_EQ(channels[i], my_channel(_metadata, other));
	}
}

TEST_F(type, bind_any_gives_distinct_dynamic)
{
	__s64 channel[50];
	int fd, i, j;

	for (i = 0; i < ARRAY_SIZE(channel); i++) {
		fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
		channel[i] = my_channel(_metadata, fd);
		ASSERT_LE(DYNAMIC_START, channel[i]);
		for (j = 0; j < i; j++)
			ASSERT_NE(channel[j], channel[i]);
	}
}

TEST_F(type, bind_again_einval)
{
	int fd = my_bound_socket(_metadata, 5000), pair[2];

	EXPECT_EQ(EINVAL, err_of(my_bind(fd, 5001)));
	EXPECT_EQ(EINVAL, err_of(my_bind(fd, 5000)));
	EXPECT_EQ(EINVAL, err_of(my_bind(fd, MYPROTO_CHANNEL_ANY)));
	EXPECT_EQ(5000, my_channel(_metadata, fd));

	my_connection(_metadata, pair);
	EXPECT_EQ(EINVAL, err_of(my_bind(pair[0], 5001)));
	EXPECT_EQ(EINVAL, err_of(my_bind(pair[1], 5001)));

	/* The channel of the failed attempts stayed free. */
	my_bound_socket(_metadata, 5001);
}

/* A channel belongs to the socket, not to one descriptor of it. */
TEST_F(type, bind_held_by_dup_and_child)
{
	int fd = my_bound_socket(_metadata, 5000), copy = dup(fd);
	int other = my_socket(_metadata);
	pid_t pid;

	ASSERT_LE(0, copy);
	close(fd);
	EXPECT_EQ(EADDRINUSE, err_of(my_bind(other, 5000)));
	pid = my_fork(_metadata);
	if (!pid) {
		pause();
		_exit(0);
	}
	close(copy);
	EXPECT_EQ(EADDRINUSE, err_of(my_bind(other, 5000)));
	EXPECT_EQ(-SIGKILL, my_kill(pid));
	EXPECT_EQ(0, my_bind(other, 5000));
}

/* Connections a listener accepted do not keep its channel. */
TEST_F(type, bind_while_accepted_lives)
{
	int listener, client, server;

	if (my_type == SOCK_DGRAM)
		return;
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

static int drop_net_bind_service(void)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};

	if (syscall(SYS_capget, &head, data))
		return -1;
	data[0].effective &= ~(1U << CAP_NET_BIND_SERVICE);
	data[0].permitted &= ~(1U << CAP_NET_BIND_SERVICE);
	return syscall(SYS_capset, &head, data);
}

static int become_nobody(void)
{
	return setresuid(65534, 65534, 65534);
}

static int enter_user_ns(void)
{
	return unshare(CLONE_NEWUSER);
}

static int (* const drops[])(void) = {
	drop_net_bind_service,
	become_nobody,
	/* All capabilities, but not where the network namespace belongs */
	enter_user_ns,
};

static int bind_err(__u32 channel)
{
	return err_of(my_bind(socket(AF_MYPROTO, my_type, 0), channel));
}

static int listen_err(void)
{
	return err_of(listen(socket(AF_MYPROTO, my_type, 0), 1));
}

TEST_F(type, unprivileged)
{
	bool dgram = my_type == SOCK_DGRAM;
	int fd = my_bound_socket(_metadata, 500), i;
	pid_t pid;

	if (!dgram)
		ASSERT_EQ(0, listen(fd, ARRAY_SIZE(drops)));
	for (i = 0; i < ARRAY_SIZE(drops); i++) {
		if (drops[i] == enter_user_ns &&
		    access("/proc/self/ns/user", F_OK))
			continue;
		pid = my_fork(_metadata);
		if (!pid) {
			ASSERT_EQ(0, drops[i]());
			EXPECT_EQ(EACCES, bind_err(PRIVILEGED));
			EXPECT_EQ(EACCES, bind_err(1));
			EXPECT_EQ(0, bind_err(PRIVILEGED + 1));
			EXPECT_EQ(0, bind_err(MYPROTO_CHANNEL_ANY));
			EXPECT_EQ(dgram ? EOPNOTSUPP : EACCES, listen_err());
			/* It is for those who offer a service. */
			my_client(_metadata, 500);
			_exit(_metadata->exit_code);
		}
		EXPECT_EQ(0, my_wait(pid))
			TH_LOG("privileges dropped in way %d", i);
	}
	EXPECT_EQ(0, bind_err(PRIVILEGED));
	EXPECT_EQ(dgram ? EOPNOTSUPP : 0, listen_err());
}

/* Root of a user namespace is root of the network namespaces it owns. */
TEST(bind_privileged_in_own_user_ns)
{
	pid_t pid = my_fork(_metadata);
	int ret;

	if (!pid) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
			_exit(KSFT_SKIP);
		_exit(bind_err(PRIVILEGED) || listen_err() ? KSFT_FAIL : 0);
	}
	ret = my_wait(pid);
	if (ret == KSFT_SKIP)
		SKIP(return, "no new user and network namespaces");
	EXPECT_EQ(0, ret);
}

TEST(sysctl_unprivileged_channel_start)
{
	static const char * const name = "unprivileged_channel_start";
	static const __u32 starts[] = { 500, 5000, 0, DYNAMIC_START };
	char value[16];
	pid_t pid;
	int i;

	if (!has_sysctls())
		SKIP(return, "no sysctls");
	/* For this test only */
	ASSERT_EQ(0, unshare(CLONE_NEWNET));

	EXPECT_EQ(1024, sysctl_get(name));
	EXPECT_EQ(EINVAL, sysctl_set(name, "-1"));
	EXPECT_EQ(EINVAL, sysctl_set(name, "abc"));
	/* The dynamic channels are for everybody. */
	EXPECT_EQ(EINVAL, sysctl_set(name, "2147483649"));
	EXPECT_EQ(1024, sysctl_get(name));

	for (i = 0; i < ARRAY_SIZE(starts); i++) {
		snprintf(value, sizeof(value), "%u", starts[i]);
		ASSERT_EQ(0, sysctl_set(name, value));
		pid = my_fork(_metadata);
		if (!pid) {
			ASSERT_EQ(0, become_nobody());
			if (starts[i])
				EXPECT_EQ(EACCES, bind_err(starts[i] - 1));
			EXPECT_EQ(0, bind_err(starts[i] ?: 1));
			EXPECT_EQ(starts[i] > 999 ? EACCES : 0, listen_err());
			EXPECT_EQ(0, bind_err(MYPROTO_CHANNEL_ANY));
			_exit(_metadata->exit_code);
		}
		EXPECT_EQ(0, my_wait(pid))
			TH_LOG("start %u", starts[i]);
	}
}

/* listen() listens there. Nobody goes there by not naming a channel: an address
 * that was not filled in reaches nobody.
 */
TEST_F(type, default_channel)
{
	int fd = my_socket(_metadata), service;

	service = my_bound_socket(_metadata, MYPROTO_CHANNEL_DEFAULT);
	if (my_type == SOCK_DGRAM) {
		EXPECT_EQ(EINVAL, err_of(my_sendto(fd, MYPROTO_CHANNEL_ANY,
						   "abc", 3, 0)));
	} else {
		EXPECT_EQ(EADDRINUSE, err_of(listen(fd, 1)));
		EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ACCEPTCONN));
		close(service);
		service = my_socket(_metadata);
		ASSERT_EQ(0, listen(service, 1));
	}
	EXPECT_EQ(EINVAL, err_of(my_connect(fd, MYPROTO_CHANNEL_ANY)));
	EXPECT_EQ(0, my_channel(_metadata, fd));
	EXPECT_EQ(0, poll_now(service) & POLLIN);
	EXPECT_EQ(0, my_connect(fd, MYPROTO_CHANNEL_DEFAULT));
}

/* getsockname() and getpeername() */

static int peer_err(int fd)
{
	struct sockaddr_my addr;
	socklen_t len = sizeof(addr);

	return err_of(getpeername(fd, (struct sockaddr *)&addr, &len));
}

TEST_F(type, names_without_channel_or_peer)
{
	struct sockaddr_my addr = { .smy_channel = 77 };
	int fd = my_socket(_metadata), pair[2], i;
	socklen_t len = 2;

	my_socketpair(_metadata, pair);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, my_channel(_metadata, pair[i]));
		EXPECT_EQ(0, my_peer(_metadata, pair[i]));
	}

	EXPECT_EQ(0, my_channel(_metadata, fd));
	EXPECT_EQ(ENOTCONN, peer_err(fd));
	ASSERT_EQ(0, my_bind(fd, 5000));
	EXPECT_EQ(ENOTCONN, peer_err(fd));

	/* A buffer that is too short */
	ASSERT_EQ(0, getsockname(fd, (struct sockaddr *)&addr, &len));
	EXPECT_EQ(sizeof(addr), len);
	EXPECT_EQ(AF_MYPROTO, addr.smy_family);
	EXPECT_EQ(77U, addr.smy_channel);

	if (my_type == SOCK_DGRAM)
		return;
	ASSERT_EQ(0, listen(fd, 1));
	EXPECT_EQ(ENOTCONN, peer_err(fd));
}

/* The client has a channel before it connects, or is given one. */
TEST_F(type, names_of_connection)
{
	int service, fd[2], bound, i;
	__s64 channel[2];

	for (bound = 0; bound < 2; bound++) {
		service = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
		channel[1] = my_channel(_metadata, service);
		if (my_type != SOCK_DGRAM)
			ASSERT_EQ(0, listen(service, 1));
		fd[0] = my_socket(_metadata);
		if (bound)
			ASSERT_EQ(0, my_bind(fd[0], 5000));
		ASSERT_EQ(0, my_connect(fd[0], channel[1]));
		channel[0] = my_channel(_metadata, fd[0]);
		EXPECT_TRUE(bound ? channel[0] == 5000 :
				    channel[0] >= DYNAMIC_START);
		EXPECT_NE(channel[1], channel[0]);
		/* It knows its peer before anyone accepts. */
		EXPECT_EQ(channel[1], my_peer(_metadata, fd[0]));

		if (my_type == SOCK_DGRAM) {
			ASSERT_EQ(0, my_connect(service, channel[0]));
			fd[1] = service;
		} else {
			fd[1] = accept(service, NULL, NULL);
			ASSERT_LE(0, fd[1]);
		}
		for (i = 0; i < 2; i++) {
			EXPECT_EQ(channel[i], my_channel(_metadata, fd[i]));
			EXPECT_EQ(channel[!i], my_peer(_metadata, fd[i]));
		}
		/* The same when one end is closed */
		close(fd[bound]);
		EXPECT_EQ(channel[!bound], my_channel(_metadata, fd[!bound]));
		EXPECT_EQ(channel[bound], my_peer(_metadata, fd[!bound]));
	}
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
