/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two AF_MYPROTO sockets of any type that can send to each other, made in any
 * way there is, and what the tests of all types do with them.
 */
#ifndef MYPROTO_LINK_H
#define MYPROTO_LINK_H

#include <sys/ioctl.h>
#include <sys/uio.h>

#include <linux/sock_diag.h>

#include "util.h"

enum made {
	BY_CONNECT,	/* through a listener; DGRAM: each to the other */
	BY_PAIR,	/* socketpair() */
	BY_ADDRESS,	/* DGRAM: not connected, each send names the other */
};

/* @fd[0] is the one that connected, @fd[1] was accepted. */
struct link {
	int fd[2];
	int type;
	enum made made;
	struct sockaddr_my name[2];	/* BY_ADDRESS: the ends' own */
};

/* Sockets of any type */

static inline int type_socket(struct __test_metadata *_metadata, int type)
{
	int fd = socket(AF_MYPROTO, type, 0);

	ASSERT_LE(0, fd);
	return fd;
}

/* Bound to a channel from the dynamic range, which is stored in @channel */
static inline int type_bound(struct __test_metadata *_metadata, int type,
			     __u32 *channel)
{
	int fd = type_socket(_metadata, type);

	ASSERT_EQ(0, my_bind(fd, MYPROTO_CHANNEL_ANY));
	*channel = my_channel(_metadata, fd);
	return fd;
}

static inline int type_listener(struct __test_metadata *_metadata, int type,
				__u32 *channel)
{
	int fd = type_bound(_metadata, type, channel);

	ASSERT_EQ(0, listen(fd, 5));
	return fd;
}

static inline void set_int_opt(struct __test_metadata *_metadata, int fd,
			       int opt, int val)
{
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, opt, &val, sizeof(val)))
		TH_LOG("option %d: %s", opt, strerror(errno));
}

static inline int int_opt_err(int fd, int level, int opt, int val)
{
	return err_of(setsockopt(fd, level, opt, &val, sizeof(val)));
}

static inline int get_opt_err(int fd, int level, int opt)
{
	socklen_t len = sizeof(int);
	int val;

	return err_of(getsockopt(fd, level, opt, &val, &len));
}

/* Links */

static inline void link_make(struct __test_metadata *_metadata,
			     struct link *link, int type, enum made made)
{
	int i, own_type = my_type;
	__u32 channel;

	*link = (struct link) {
		.fd = { -1, -1 },
		.type = type,
		.made = made,
	};
	my_type = type;
	if (made == BY_PAIR)
		my_socketpair(_metadata, link->fd);
	if (made == BY_CONNECT)
		my_connection(_metadata, link->fd);
	for (i = 0; made == BY_ADDRESS && i < 2; i++) {
		link->fd[i] = type_bound(_metadata, type, &channel);
		link->name[i] = my_addr(channel);
	}
	my_type = own_type;
}

/* close() one end now rather than in the teardown */
static inline void link_close(struct link *link, int i)
{
	close(link->fd[i]);
	link->fd[i] = -1;
}

static inline void link_destroy(struct link *link)
{
	link_close(link, 0);
	link_close(link, 1);
}

/* Put the other end's address in @msg if the end @from has to name it */
static inline struct msghdr *link_address(struct link *link, int from,
					  struct msghdr *msg)
{
	if (link->made == BY_ADDRESS) {
		msg->msg_name = &link->name[!from];
		msg->msg_namelen = sizeof(link->name[!from]);
	}
	return msg;
}

static inline ssize_t link_send(struct link *link, int from, const void *buf,
				size_t len, int flags)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	return sendmsg(link->fd[from], link_address(link, from, &msg),
		       flags | MSG_NOSIGNAL);
}

static inline void link_expect_send(struct __test_metadata *_metadata,
				    struct link *link, int from,
				    const char *text)
{
	ssize_t len = strlen(text);

	EXPECT_EQ(len, link_send(link, from, text, len, MSG_DONTWAIT))
		TH_LOG("%s", strerror(errno));
}

/* errno of sending one byte without waiting */
static inline int link_try_send(struct link *link, int from)
{
	return err_of(link_send(link, from, "x", 1, MSG_DONTWAIT));
}

/* Send @chunk bytes at a time until no more fit; returns how many sends did */
static inline size_t link_fill(struct __test_metadata *_metadata,
			       struct link *link, int from, size_t chunk)
{
	char *buf = calloc(1, chunk + 1);
	size_t count = 0;

	ASSERT_NE(NULL, buf);
	while (link_send(link, from, buf, chunk, MSG_DONTWAIT) >= 0)
		count++;
	ASSERT_EQ(EAGAIN, errno);
	free(buf);
	return count;
}

/* Receive all that is queued; returns how many calls it took */
static inline size_t link_drain(struct __test_metadata *_metadata,
				struct link *link, int to)
{
	static char buf[1 << 18];
	size_t count = 0;

	while (recv(link->fd[to], buf, sizeof(buf), MSG_DONTWAIT) >= 0)
		count++;
	ASSERT_EQ(EAGAIN, errno);
	return count;
}

static inline __u32 mem_charged(struct __test_metadata *_metadata, int fd)
{
	return my_meminfo(_metadata, fd, SK_MEMINFO_RMEM_ALLOC);
}

/* The length that an ioctl tells, or the negative errno */
static inline int ioctl_len(int fd, unsigned long cmd)
{
	int val = -1;

	return ioctl(fd, cmd, &val) ? -errno : val;
}

/* Nothing is queued at @fd, connected or DGRAM, and nothing charged to it. */
static inline void expect_nothing(struct __test_metadata *_metadata, int fd)
{
	EXPECT_EQ(EAGAIN, try_recv(fd));
	EXPECT_EQ(0, poll_for(fd, POLLIN, 0));
	EXPECT_EQ(0, ioctl_len(fd, FIONREAD));
	EXPECT_EQ(0U, mem_charged(_metadata, fd));
}

/* Bytes that are unlikely to look right in another place */
static inline void fill_pattern(void *buf, size_t len, unsigned int seed)
{
	unsigned char *p = buf;
	size_t i;

	for (i = 0; i < len; i++) {
		seed = seed * 1103515245 + 12345;
		p[i] = seed >> 16;
	}
}

#endif /* MYPROTO_LINK_H */
