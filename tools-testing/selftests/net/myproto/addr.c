// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO addresses, which are the same for all types: the sockaddr, bind(),
 * privileged channels and their sysctl, getsockname() and getpeername(). And
 * what no type has.
 */
#include <netinet/in.h>
#include <stddef.h>
#include <sys/mman.h>

#include "link.h"
#include "type.h"

/* The lowest one by default */
#define UNPRIVILEGED	1024

FIXTURE_VARIANT_ADD(type, dgram) { SOCK_DGRAM };

/* The numbers and the layout that programs have compiled in */
TEST(abi)
{
	EXPECT_EQ(46, AF_MYPROTO);
	EXPECT_EQ(AF_MYPROTO, PF_MYPROTO);
	EXPECT_EQ(288, SOL_MYPROTO);
	EXPECT_EQ(1, MYPROTO_MESSAGE_MAX);
	EXPECT_EQ(0, MYPROTO_CHANNEL_ANY);
	EXPECT_EQ(999, MYPROTO_CHANNEL_DEFAULT);
	EXPECT_EQ(8U, sizeof(struct sockaddr_my));
	EXPECT_EQ(0U, offsetof(struct sockaddr_my, smy_family));
	EXPECT_EQ(4U, offsetof(struct sockaddr_my, smy_channel));
}

/* Types, protocols, options, ioctls and mappings that do not exist */
TEST_F(type, unknown)
{
	static const int opts[][2] = {
		{ SOL_SOCKET, 9999 }, { SOL_MYPROTO, 9999 }, { IPPROTO_TCP, 1 },
	};
	int fd = my_socket(_metadata), i;

	EXPECT_EQ(ESOCKTNOSUPPORT, err_of(socket(AF_MYPROTO, SOCK_RAW, 0)));
	EXPECT_EQ(EPROTONOSUPPORT, err_of(socket(AF_MYPROTO, my_type, 1)));
	EXPECT_EQ(EPROTONOSUPPORT,
		  err_of(socket(AF_MYPROTO, my_type, AF_MYPROTO)));
	for (i = 0; i < ARRAY_SIZE(opts); i++) {
		EXPECT_EQ(ENOPROTOOPT,
			  int_opt_err(fd, opts[i][0], opts[i][1], 1));
		EXPECT_EQ(ENOPROTOOPT, get_opt_err(fd, opts[i][0], opts[i][1]));
	}
	EXPECT_EQ(-ENOTTY, ioctl_len(fd, _IO(0, 127)));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_EQ(ENODEV, errno);
}

/* The checks of an address that bind(), connect() and sendto() share */
static const struct row {
	const char *name;
	socklen_t len;
	sa_family_t family;
	__u16 pad;
	int tail;	/* a nonzero byte after the address, from 1 */
	int err;
} rows[] = {
	{ "no address", 0, AF_MYPROTO, 0, 0, EINVAL },
	{ "length 7", 7, AF_INET, 0, 0, EINVAL },
	{ "AF_INET, pad and tail", 16, AF_INET, 1, 1, EAFNOSUPPORT },
	{ "AF_UNSPEC", 8, AF_UNSPEC, 0, 0, EAFNOSUPPORT },
	{ "pad", 8, AF_MYPROTO, 0x8000, 0, EINVAL },
	{ "length 8", 8, AF_MYPROTO, 0, 0, 0 },
	{ "length 128", 128, AF_MYPROTO, 0, 0, 0 },
	/* Reserved, must be 0 */
	{ "tail", 9, AF_MYPROTO, 0, 1, EINVAL },
	{ "tail's end", 128, AF_MYPROTO, 0, 120, EINVAL },
};

TEST_F(type, checks_address)
{
	bool dgram = my_type == SOCK_DGRAM;
	const struct row *row;
	int fd, err;

	for (row = rows; row < rows + ARRAY_SIZE(rows); row++) {
		struct sockaddr_my a[16] = {};
		struct sockaddr *addr = (struct sockaddr *)a;

		/* Nobody has this channel any more. */
		fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
		*a = my_addr(my_channel(_metadata, fd));
		close(fd);
		a->smy_family = row->family;
		a->__smy_pad = row->pad;
		if (row->tail)
			((char *)&a[1])[row->tail - 1] = 1;

		/* To sendto(), length 0 is a destination that is not given. */
		err = row->err ?: ECONNREFUSED;
		if (dgram && row->len)
			EXPECT_EQ(err, err_of(sendto(my_socket(_metadata), "x",
						     1, 0, addr, row->len)));
		/* It ends the association of a DGRAM socket, if any. */
		if (row->family == AF_UNSPEC)
			err = dgram ? 0 : EINVAL;
		fd = my_socket(_metadata);
		EXPECT_EQ(err, err_of(connect(fd, addr, row->len)));
		/* A refused bind() leaves the socket as it was. */
		fd = my_socket(_metadata);
		EXPECT_EQ(row->err, err_of(bind(fd, addr, row->len)));
		EXPECT_EQ(row->err ? 0 : a->smy_channel,
			  my_channel(_metadata, fd));
		EXPECT_EQ(row->err ? 0 : EINVAL, err_of(my_bind(fd, 0)));
		ASSERT_TRUE(__test_passed(_metadata)) TH_LOG("%s", row->name);
	}
}

/* All types share the channels. */
TEST_F(type, bind)
{
	static const __u32 channels[] = {
		UNPRIVILEGED, DYNAMIC_START - 1, DYNAMIC_START, UINT32_MAX,
	};
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	__s64 channel, last = 0;
	int fd, other, i;

	for (i = 0; i < ARRAY_SIZE(channels); i++) {
		my_type = variant->type;
		fd = my_bound_socket(_metadata, channels[i]);
		EXPECT_EQ(channels[i], my_channel(_metadata, fd));
		my_type = types[i % 3];
		other = my_socket(_metadata);
		EXPECT_EQ(EADDRINUSE, err_of(my_bind(other, channels[i])));
		EXPECT_EQ(0, my_channel(_metadata, other));
		/* It is free at once, for the one that failed as well. */
		close(fd);
		EXPECT_EQ(0, my_bind(other, channels[i]));
		EXPECT_EQ(channels[i], my_channel(_metadata, other));
		close(other);
	}
	for (i = 0; i < 50; i++) {
		fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
		channel = my_channel(_metadata, fd);
		ASSERT_LE(DYNAMIC_START, channel);
		/* The start is random each time. */
		EXPECT_NE(last + 1, channel);
		last = channel;
	}
}

static int bind_err(__u32 channel)
{
	return err_of(my_bind(socket(AF_MYPROTO, my_type, 0), channel));
}

/* listen() without a bind(), or what that does for DGRAM */
static int listen_err(void)
{
	if (my_type == SOCK_DGRAM)
		return bind_err(MYPROTO_CHANNEL_DEFAULT);
	return err_of(listen(socket(AF_MYPROTO, my_type, 0), 1));
}

/* A child without CAP_NET_BIND_SERVICE, or in new namespaces @ns: it has all
 * capabilities there, but not where an old network namespace belongs. What can
 * it bind to, if @start is the lowest unprivileged channel?
 */
static void expect_binds(struct __test_metadata *_metadata, int ns, __u32 start)
{
	int err = ns & CLONE_NEWNET ? 0 : EACCES, service;
	pid_t pid;

	service = my_bound_socket(_metadata, 400);
	if (my_type != SOCK_DGRAM)
		ASSERT_EQ(0, listen(service, 1));
	pid = my_fork(_metadata);
	if (!pid) {
		ASSERT_EQ(0, ns ? unshare(ns) :
				  my_drop_cap(CAP_NET_BIND_SERVICE));
		if (start)
			EXPECT_EQ(err, bind_err(start - 1));
		EXPECT_EQ(0, bind_err(start ?: 1));
		EXPECT_EQ(0, bind_err(MYPROTO_CHANNEL_ANY));
		EXPECT_EQ(start > MYPROTO_CHANNEL_DEFAULT ? err : 0,
			  listen_err());
		/* connect() does not need the privilege. */
		if (err)
			my_client(_metadata, 400);
		_exit(_metadata->exit_code);
	}
	EXPECT_EQ(0, my_wait(pid))
		TH_LOG("namespaces %#x, start %u", ns, start);
	close(service);
}

TEST_F(type, unprivileged)
{
	expect_binds(_metadata, 0, UNPRIVILEGED);
	if (!access("/proc/self/ns/user", F_OK)) {
		expect_binds(_metadata, CLONE_NEWUSER, UNPRIVILEGED);
		expect_binds(_metadata, CLONE_NEWUSER | CLONE_NEWNET,
			     UNPRIVILEGED);
	}
	EXPECT_EQ(0, bind_err(UNPRIVILEGED - 1));
	EXPECT_EQ(0, listen_err());
}

TEST(sysctl_unprivileged_channel_start)
{
	static const char * const name = "unprivileged_channel_start";
	static const char * const values[] = { "500", "0", "2147483648" };
	__u32 start;
	int i;

	if (!has_sysctls())
		SKIP(return, "no sysctls");
	/* For this test only */
	ASSERT_EQ(0, unshare(CLONE_NEWNET));

	/* The dynamic channels are for everybody. */
	EXPECT_EQ(EINVAL, sysctl_set(name, "2147483649"));
	EXPECT_EQ(1024, sysctl_get(name));
	for (i = 0; i < ARRAY_SIZE(values); i++) {
		ASSERT_EQ(0, sysctl_set(name, values[i]));
		start = strtoul(values[i], NULL, 10);
		EXPECT_EQ(start, sysctl_get(name));
		expect_binds(_metadata, 0, start);
	}
}

/* The client has a channel before it connects, or is given one. */
TEST_F(type, names)
{
	bool dgram = my_type == SOCK_DGRAM;
	int service, fd[2], bound, i;
	__s64 channel[2];

	my_socketpair(_metadata, fd);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, my_channel(_metadata, fd[i]));
		EXPECT_EQ(0, my_peer(_metadata, fd[i]));
	}
	for (bound = 0; bound < 2; bound++) {
		service = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
		channel[1] = my_channel(_metadata, service);
		if (!dgram)
			ASSERT_EQ(0, listen(service, 1));
		fd[0] = bound ? my_bound_socket(_metadata, 5000) :
				my_socket(_metadata);
		EXPECT_EQ(ENOTCONN, my_peer_err(fd[0]));
		ASSERT_EQ(0, my_connect(fd[0], channel[1]));
		channel[0] = my_channel(_metadata, fd[0]);
		EXPECT_TRUE(bound ? channel[0] == 5000 :
				    channel[0] >= DYNAMIC_START);
		EXPECT_NE(channel[1], channel[0]);
		/* It knows its peer before anyone accepts. */
		EXPECT_EQ(channel[1], my_peer(_metadata, fd[0]));
		EXPECT_EQ(ENOTCONN, my_peer_err(service));

		if (dgram)
			ASSERT_EQ(0, my_connect(service, channel[0]));
		fd[1] = dgram ? service : my_accept(_metadata, service);
		for (i = 0; i < 2; i++) {
			EXPECT_EQ(EINVAL, err_of(my_bind(fd[i], 5001)));
			EXPECT_EQ(channel[i], my_channel(_metadata, fd[i]));
			EXPECT_EQ(channel[!i], my_peer(_metadata, fd[i]));
		}
		/* The same when one end is closed */
		close(fd[bound]);
		EXPECT_EQ(channel[!bound], my_channel(_metadata, fd[!bound]));
		EXPECT_EQ(channel[bound], my_peer(_metadata, fd[!bound]));
	}
	/* What the ends could not get is free. */
	my_bound_socket(_metadata, 5001);
}

TEST_HARNESS_MAIN
