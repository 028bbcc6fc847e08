// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO addresses, which are the same for all types: the sockaddr, bind(),
 * privileged channels and their sysctl, the default channel, getsockname() and
 * getpeername().
 */
#include <stddef.h>

#include "type.h"

/* The highest one by default */
#define PRIVILEGED	1023

static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };

FIXTURE_VARIANT_ADD(type, dgram) { SOCK_DGRAM };

/* The numbers and the layout that programs have compiled in */
TEST(abi)
{
	EXPECT_EQ(46, AF_MYPROTO);
	EXPECT_EQ(288, SOL_MYPROTO);
	EXPECT_EQ(1, MYPROTO_MESSAGE_MAX);
	EXPECT_EQ(0, MYPROTO_CHANNEL_ANY);
	EXPECT_EQ(999, MYPROTO_CHANNEL_DEFAULT);
	EXPECT_EQ(8U, sizeof(struct sockaddr_my));
	EXPECT_EQ(0U, offsetof(struct sockaddr_my, smy_family));
	EXPECT_EQ(4U, offsetof(struct sockaddr_my, smy_channel));
}

TEST_F(type, socket)
{
	static const struct {
		int type, protocol, err;
	} rows[] = {
		{ SOCK_RAW, 0, ESOCKTNOSUPPORT },
		{ SOCK_RDM, 0, ESOCKTNOSUPPORT },
		{ 0, 1, EPROTONOSUPPORT },
		{ 0, -1, EPROTONOSUPPORT },
		{ 0, AF_MYPROTO, EPROTONOSUPPORT },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		EXPECT_EQ(rows[i].err,
			  err_of(socket(AF_MYPROTO, rows[i].type ?: my_type,
					rows[i].protocol)));
}

/* The checks of an address that bind(), connect() and sendto() share */
static const struct {
	const char *name;
	socklen_t len;
	sa_family_t family;
	__u16 pad;
	int tail;	/* a nonzero byte after the address, from 1 */
	int err;
} rows[] = {
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
	/* Reserved, must be 0 */
	{ "tail", 9, AF_MYPROTO, 0, 1, EINVAL },
	{ "tail's end", 128, AF_MYPROTO, 0, 120, EINVAL },
};

TEST_F(type, checks_address)
{
	struct {
		struct sockaddr_my addr;
		char tail[120];
	} a;
	struct sockaddr *addr = (struct sockaddr *)&a;
	int fd, err, i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
		memset(&a, 0, sizeof(a));
		a.addr.smy_family = rows[i].family;
		a.addr.__smy_pad = rows[i].pad;
		a.addr.smy_channel = my_channel(_metadata, fd);
		if (rows[i].tail)
			a.tail[rows[i].tail - 1] = 1;
		/* Nobody has it any more. */
		close(fd);

		/* To sendto(), length 0 is a destination that is not given. */
		err = rows[i].err ?: ECONNREFUSED;
		if (my_type == SOCK_DGRAM && rows[i].len)
			EXPECT_EQ(err, err_of(sendto(my_socket(_metadata), "x",
						     1, MSG_DONTWAIT, addr,
						     rows[i].len)))
				TH_LOG("sendto(): %s", rows[i].name);
		/* It ends the association of a DGRAM socket, if any. */
		if (rows[i].family == AF_UNSPEC)
			err = my_type == SOCK_DGRAM ? 0 : EINVAL;
		EXPECT_EQ(err, err_of(connect(my_socket(_metadata), addr,
					      rows[i].len)))
			TH_LOG("connect(): %s", rows[i].name);
		/* A refused bind() leaves the socket as it was. */
		fd = my_socket(_metadata);
		EXPECT_EQ(rows[i].err, err_of(bind(fd, addr, rows[i].len)))
			TH_LOG("bind(): %s", rows[i].name);
		EXPECT_EQ(rows[i].err ? 0 : a.addr.smy_channel,
			  my_channel(_metadata, fd));
		EXPECT_EQ(rows[i].err ? 0 : EINVAL,
			  err_of(my_bind(fd, MYPROTO_CHANNEL_ANY)));
	}
}

/* All types share the channels. */
TEST_F(type, bind)
{
	static const __u32 channels[] = {
		PRIVILEGED + 1, 123456, DYNAMIC_START - 1, DYNAMIC_START,
		UINT32_MAX,
	};
	__s64 any[50];
	int fd, other, i, j;

	for (i = 0; i < 3 * ARRAY_SIZE(channels); i++) {
		my_type = variant->type;
		fd = my_bound_socket(_metadata, channels[i / 3]);
		EXPECT_EQ(channels[i / 3], my_channel(_metadata, fd));
		my_type = types[i % 3];
		other = my_socket(_metadata);
		EXPECT_EQ(EADDRINUSE, err_of(my_bind(other, channels[i / 3])));
		EXPECT_EQ(0, my_channel(_metadata, other));
		/* It is free at once, for the one that failed as well. */
		close(fd);
		EXPECT_EQ(0, my_bind(other, channels[i / 3]));
		EXPECT_EQ(channels[i / 3], my_channel(_metadata, other));
		close(other);
	}

	for (i = 0; i < ARRAY_SIZE(any); i++) {
		fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
		any[i] = my_channel(_metadata, fd);
		ASSERT_LE(DYNAMIC_START, any[i]);
		for (j = 0; j < i; j++)
			ASSERT_NE(any[j], any[i]);
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

/* A channel belongs to the socket, not to one process that has it open, and not
 * to the connections that a listener accepted.
 */
TEST_F(type, bind_held)
{
	int fd = my_bound_socket(_metadata, 5000), client, server;
	pid_t pid = sleeping_child(pause());

	close(fd);
	fd = my_socket(_metadata);
	EXPECT_EQ(EADDRINUSE, err_of(my_bind(fd, 5000)));
	EXPECT_EQ(-SIGKILL, my_kill(pid));
	EXPECT_EQ(0, my_bind(fd, 5000));
	if (my_type == SOCK_DGRAM)
		return;

	ASSERT_EQ(0, listen(fd, 1));
	client = my_client(_metadata, 5000);
	server = my_accept(_metadata, fd);
	close(fd);
	ASSERT_EQ(0, listen(my_bound_socket(_metadata, 5000), 1));
	EXPECT_EQ(5000, my_channel(_metadata, server));
	EXPECT_EQ(5000, my_peer(_metadata, client));
	/* ... and closing one does not take it away. */
	close(server);
	my_client(_metadata, 5000);
}

/* Privileged channels */

static int drop_net_bind_service(void)
{
	return my_drop_cap(CAP_NET_BIND_SERVICE);
}

static int become_nobody(void)
{
	return setresuid(65534, 65534, 65534);
}

/* All capabilities, but not where the network namespace belongs */
static int enter_user_ns(void)
{
	return unshare(CLONE_NEWUSER);
}

static int enter_both_ns(void)
{
	return unshare(CLONE_NEWUSER | CLONE_NEWNET);
}

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
	static int (* const become[])(void) = {
		drop_net_bind_service, become_nobody, enter_user_ns,
		enter_both_ns,
	};
	int fd = my_bound_socket(_metadata, 500), i, err;
	bool dgram = my_type == SOCK_DGRAM;
	pid_t pid;

	if (!dgram)
		ASSERT_EQ(0, listen(fd, ARRAY_SIZE(become)));
	for (i = 0; i < ARRAY_SIZE(become); i++) {
		if (i >= 2 && access("/proc/self/ns/user", F_OK))
			break;
		err = become[i] == enter_both_ns ? 0 : EACCES;
		pid = my_fork(_metadata);
		if (!pid) {
			ASSERT_EQ(0, become[i]());
			EXPECT_EQ(err, bind_err(PRIVILEGED));
			EXPECT_EQ(err, bind_err(1));
			EXPECT_EQ(0, bind_err(PRIVILEGED + 1));
			EXPECT_EQ(0, bind_err(MYPROTO_CHANNEL_ANY));
			EXPECT_EQ(dgram ? EOPNOTSUPP : err, listen_err());
			/* connect() does not need the privilege. */
			if (err)
				my_client(_metadata, 500);
			_exit(_metadata->exit_code);
		}
		EXPECT_EQ(0, my_wait(pid))
			TH_LOG("privileges dropped in way %d", i);
	}
	EXPECT_EQ(0, bind_err(PRIVILEGED));
	EXPECT_EQ(dgram ? EOPNOTSUPP : 0, listen_err());
}

TEST(sysctl_unprivileged_channel_start)
{
	static const char * const name = "unprivileged_channel_start";
	/* The dynamic channels are for everybody. */
	static const char * const bad[] = { "-1", "abc", "2147483649" };
	static const char * const good[] = { "500", "5000", "0", "2147483648" };
	__u32 start;
	pid_t pid;
	int i;

	if (!has_sysctls())
		SKIP(return, "no sysctls");
	/* For this test only */
	ASSERT_EQ(0, unshare(CLONE_NEWNET));

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(EINVAL, sysctl_set(name, bad[i]));
		EXPECT_EQ(1024, sysctl_get(name));
	}
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		ASSERT_EQ(0, sysctl_set(name, good[i]));
		start = sysctl_get(name);
		pid = my_fork(_metadata);
		if (!pid) {
			ASSERT_EQ(0, become_nobody());
			EXPECT_EQ(strtoul(good[i], NULL, 10), start);
			if (start)
				EXPECT_EQ(EACCES, bind_err(start - 1));
			EXPECT_EQ(0, bind_err(start ?: 1));
			EXPECT_EQ(start > 999 ? EACCES : 0, listen_err());
			EXPECT_EQ(0, bind_err(MYPROTO_CHANNEL_ANY));
			_exit(_metadata->exit_code);
		}
		EXPECT_EQ(0, my_wait(pid)) TH_LOG("start %s", good[i]);
	}
}

/* listen() binds an unbound socket to it. connect() and sendto() to channel 0
 * fail: an address that was not filled in reaches nobody.
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
		EXPECT_EQ(MYPROTO_CHANNEL_DEFAULT,
			  my_channel(_metadata, service));
	}
	EXPECT_EQ(EINVAL, err_of(my_connect(fd, MYPROTO_CHANNEL_ANY)));
	EXPECT_EQ(0, my_channel(_metadata, fd));
	EXPECT_EQ(0, poll_now(service) & POLLIN);
	EXPECT_EQ(0, my_connect(fd, MYPROTO_CHANNEL_DEFAULT));
}

/* getsockname() and getpeername() */

TEST_F(type, names_without_channel_or_peer)
{
	int fd = my_socket(_metadata), pair[2], i;

	my_socketpair(_metadata, pair);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, my_channel(_metadata, pair[i]));
		EXPECT_EQ(0, my_peer(_metadata, pair[i]));
	}

	EXPECT_EQ(ENOTCONN, my_peer_err(fd));
	ASSERT_EQ(0, my_bind(fd, 5000));
	EXPECT_EQ(ENOTCONN, my_peer_err(fd));
	if (my_type != SOCK_DGRAM)
		ASSERT_EQ(0, listen(fd, 1));
	EXPECT_EQ(ENOTCONN, my_peer_err(fd));
}

/* The client has a channel before it connects, or is given one. */
TEST_F(type, names_of_connection)
{
	bool dgram = my_type == SOCK_DGRAM;
	int service, fd[2], bound, i;
	__s64 channel[2];

	for (bound = 0; bound < 2; bound++) {
		service = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
		channel[1] = my_channel(_metadata, service);
		if (!dgram)
			ASSERT_EQ(0, listen(service, 1));
		fd[0] = bound ? my_bound_socket(_metadata, 5000) :
				my_socket(_metadata);
		ASSERT_EQ(0, my_connect(fd[0], channel[1]));
		channel[0] = my_channel(_metadata, fd[0]);
		EXPECT_TRUE(bound ? channel[0] == 5000 :
				    channel[0] >= DYNAMIC_START);
		EXPECT_NE(channel[1], channel[0]);
		/* It knows its peer before anyone accepts. */
		EXPECT_EQ(channel[1], my_peer(_metadata, fd[0]));

		if (dgram)
			ASSERT_EQ(0, my_connect(service, channel[0]));
		fd[1] = dgram ? service : my_accept(_metadata, service);
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

TEST_HARNESS_MAIN
