// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO and sock_diag: dumps and their filters, single sockets, what is
 * refused, and SOCK_DESTROY.
 */
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

#include <linux/myproto_diag.h>
#include <linux/netlink.h>

#include "cmsg.h"
#include "link.h"
#include "many.h"
#include "type.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS	83
#endif

#define MODULE		"/sys/module/myproto_diag"

#define SHOW_ALL	(MDIAG_SHOW_PEER | MDIAG_SHOW_RQLEN | \
			 MDIAG_SHOW_MEMINFO | MDIAG_SHOW_UID)

enum {
	ALL_TYPES = 1 << SOCK_STREAM | 1 << SOCK_DGRAM | 1 << SOCK_SEQPACKET,
	ALL_STATES = 1 << TCP_CLOSE | 1 << TCP_LISTEN | 1 << TCP_SYN_SENT |
		     1 << TCP_ESTABLISHED,
};

FIXTURE_VARIANT_ADD(type, dgram)
{
	.type = SOCK_DGRAM,
};

/* What was told of a socket. Attributes that were not there are NULL. */
struct told {
	const struct myproto_diag_msg *msg;
	const __u32 *attr[MYPROTO_DIAG_MAX + 1];
};

/* How many numbers an attribute has */
static const int attr_len[MYPROTO_DIAG_MAX + 1] = {
	[MYPROTO_DIAG_PEER_CHANNEL]	= 1,
	[MYPROTO_DIAG_PEER_INO]		= 1,
	[MYPROTO_DIAG_PEER_COOKIE]	= 2,
	[MYPROTO_DIAG_RQUEUE]		= 1,
	[MYPROTO_DIAG_WQUEUE]		= 1,
	[MYPROTO_DIAG_MEMINFO]		= SK_MEMINFO_VARS,
	[MYPROTO_DIAG_UID]		= 1,
};

/* The attributes that @show asks for, as a mask */
static int attrs_of(__u32 show)
{
	int mask = 0;

	if (show & MDIAG_SHOW_PEER)
		mask |= 1 << MYPROTO_DIAG_PEER_CHANNEL |
			1 << MYPROTO_DIAG_PEER_INO |
			1 << MYPROTO_DIAG_PEER_COOKIE;
	if (show & MDIAG_SHOW_RQLEN)
		mask |= 1 << MYPROTO_DIAG_RQUEUE | 1 << MYPROTO_DIAG_WQUEUE;
	if (show & MDIAG_SHOW_MEMINFO)
		mask |= 1 << MYPROTO_DIAG_MEMINFO;
	if (show & MDIAG_SHOW_UID)
		mask |= 1 << MYPROTO_DIAG_UID;
	return mask;
}

/* Takes each socket that is told of; returns whether it is one of those counted
 */
typedef bool (*told_fn)(const struct told *told, void *data);

/* Requests */

static struct myproto_diag_req dump_req(void)
{
	return (struct myproto_diag_req) {
		.sdiag_family = AF_MYPROTO,
		.mdiag_types = ALL_TYPES,
		.mdiag_states = ALL_STATES,
		.mdiag_show = SHOW_ALL,
	};
}

/* For one socket, with any cookie */
static struct myproto_diag_req one_req(__u32 ino)
{
	return (struct myproto_diag_req) {
		.sdiag_family = AF_MYPROTO,
		.mdiag_ino = ino,
		.mdiag_cookie = { MYPROTO_DIAG_NOCOOKIE,
				  MYPROTO_DIAG_NOCOOKIE },
	};
}

static void diag_send(struct __test_metadata *_metadata, int nl, int type,
		      int flags, const void *req, size_t len)
{
	char buf[256] = "";
	struct nlmsghdr *nlh = (void *)buf;

	nlh->nlmsg_len = NLMSG_LENGTH(len);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = 4711;
	memcpy(NLMSG_DATA(nlh), req, len);
	ASSERT_EQ(nlh->nlmsg_len, send(nl, nlh, nlh->nlmsg_len, 0));
}

static void parse_attrs(struct __test_metadata *_metadata,
			const struct nlmsghdr *nlh, struct told *told)
{
	const char *p = NLMSG_DATA(nlh);
	const char *end = (char *)nlh + nlh->nlmsg_len;
	const struct nlattr *nla;

	for (p += NLMSG_ALIGN(sizeof(*told->msg)); p < end;
	     p += NLA_ALIGN(nla->nla_len)) {
		nla = (void *)p;
		ASSERT_LT(0, nla->nla_type);
		ASSERT_GE(MYPROTO_DIAG_MAX, nla->nla_type);
		ASSERT_EQ(NLA_HDRLEN + attr_len[nla->nla_type] * sizeof(__u32),
			  nla->nla_len)
			TH_LOG("attribute %d", nla->nla_type);
		told->attr[nla->nla_type] = (void *)(p + NLA_HDRLEN);
	}
}

/* The most to read at once, of which a dump makes its messages as long */
static size_t diag_read_len = 1 << 16;

/* Send a request and read what comes. Returns how many sockets @fn counted, or
 * the negative errno.
 */
static int diag(struct __test_metadata *_metadata, int type, int flags,
		const void *req, size_t len, told_fn fn, void *data)
{
	int nl = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG), count = 0;
	static char buf[1 << 16];
	struct nlmsghdr *nlh;
	struct told told;
	int left;

	ASSERT_LE(0, nl);
	/* An answer that does not come is not to be waited for. */
	set_timeout(_metadata, nl, SO_RCVTIMEO, WAIT_MS);
	diag_send(_metadata, nl, type, flags, req, len);
	for (;;) {
		left = recv(nl, buf, diag_read_len, MSG_TRUNC);
		ASSERT_LT(0, left);
		ASSERT_GE(diag_read_len, left);
		for (nlh = (void *)buf; NLMSG_OK(nlh, left);
		     nlh = NLMSG_NEXT(nlh, left)) {
			EXPECT_EQ(4711, nlh->nlmsg_seq);
			if (nlh->nlmsg_type == NLMSG_DONE)
				goto out;
			if (nlh->nlmsg_type == NLMSG_ERROR) {
				count = *(int *)NLMSG_DATA(nlh);
				goto out;
			}
			ASSERT_EQ(SOCK_DIAG_BY_FAMILY, nlh->nlmsg_type);
			told = (struct told) { .msg = NLMSG_DATA(nlh) };
			EXPECT_EQ(AF_MYPROTO, told.msg->mdiag_family);
			parse_attrs(_metadata, nlh, &told);
			count += fn(&told, data);
			if (!(flags & NLM_F_DUMP))
				goto out;
		}
	}
out:
	close(nl);
	return count;
}

static int diag_dump(struct __test_metadata *_metadata,
		     const struct myproto_diag_req *req, told_fn fn, void *data)
{
	return diag(_metadata, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, req,
		    sizeof(*req), fn, data);
}

/* The last socket that was told of, kept */
struct kept {
	__u32 ino;	/* the one that is wanted, 0 for any */
	struct myproto_diag_msg msg;
	__u32 peer_channel;
	__u32 peer_ino;
	__u32 peer_cookie[2];
	__u32 rqueue;
	__u32 wqueue;
	__u32 meminfo[SK_MEMINFO_VARS];
	__u32 uid;
	int shown;	/* which attributes there were, as a mask */
};

static void keep_attr(const struct told *told, struct kept *kept, int type,
		      __u32 *val)
{
	if (!told->attr[type])
		return;
	memcpy(val, told->attr[type], attr_len[type] * sizeof(*val));
	kept->shown |= 1 << type;
}

static bool keep(const struct told *told, void *data)
{
	struct kept *kept = data;

	if (kept->ino && told->msg->mdiag_ino != kept->ino)
		return false;
	kept->msg = *told->msg;
	kept->shown = 0;
	keep_attr(told, kept, MYPROTO_DIAG_PEER_CHANNEL, &kept->peer_channel);
	keep_attr(told, kept, MYPROTO_DIAG_PEER_INO, &kept->peer_ino);
	keep_attr(told, kept, MYPROTO_DIAG_PEER_COOKIE, kept->peer_cookie);
	keep_attr(told, kept, MYPROTO_DIAG_RQUEUE, &kept->rqueue);
	keep_attr(told, kept, MYPROTO_DIAG_WQUEUE, &kept->wqueue);
	keep_attr(told, kept, MYPROTO_DIAG_MEMINFO, kept->meminfo);
	keep_attr(told, kept, MYPROTO_DIAG_UID, &kept->uid);
	return true;
}

/* Whether a dump by @req tells of @fd */
static bool is_told(struct __test_metadata *_metadata,
		    const struct myproto_diag_req *req, int fd)
{
	struct kept kept = { .ino = inode(_metadata, fd) };
	int count = diag_dump(_metadata, req, keep, &kept);

	EXPECT_LE(0, count);
	EXPECT_GE(1, count);
	return count == 1;
}

/* What a dump tells of @fd */
static struct kept dumped(struct __test_metadata *_metadata, int fd)
{
	struct kept kept = { .ino = inode(_metadata, fd) };
	struct myproto_diag_req req = dump_req();

	ASSERT_EQ(1, diag_dump(_metadata, &req, keep, &kept));
	return kept;
}

/* Ask for one socket: 0 or the errno */
static int get(struct __test_metadata *_metadata,
	       const struct myproto_diag_req *req, struct kept *kept)
{
	int ret;

	*kept = (struct kept) {};
	ret = diag(_metadata, SOCK_DIAG_BY_FAMILY, 0, req, sizeof(*req), keep,
		   kept);
	return ret == 1 ? 0 : -ret;
}

/* End a socket: 0 or the errno */
static int destroy_req(struct __test_metadata *_metadata,
		       const struct myproto_diag_req *req)
{
	return -diag(_metadata, SOCK_DESTROY, NLM_F_ACK, req, sizeof(*req),
		     NULL, NULL);
}

static int destroy(struct __test_metadata *_metadata, int fd)
{
	struct myproto_diag_req req = one_req(inode(_metadata, fd));

	return destroy_req(_metadata, &req);
}

static __u64 cookie(const __u32 half[2])
{
	return half[0] | (__u64)half[1] << 32;
}

static void cookie_put(struct myproto_diag_req *req, __u64 cookie)
{
	req->mdiag_cookie[0] = cookie;
	req->mdiag_cookie[1] = cookie >> 32;
}

static __u64 so_cookie(struct __test_metadata *_metadata, int fd)
{
	__u64 val = 0;
	socklen_t len = sizeof(val);

	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_COOKIE, &val, &len));
	return val;
}

/* Dumps: the fields */

TEST_F(type, shows_unbound)
{
	int fd = my_socket(_metadata);
	struct kept kept = dumped(_metadata, fd);

	EXPECT_EQ(variant->type, kept.msg.mdiag_type);
	EXPECT_EQ(TCP_CLOSE, kept.msg.mdiag_state);
	EXPECT_EQ(0, kept.msg.mdiag_shutdown);
	EXPECT_EQ(0, kept.msg.mdiag_channel);
	EXPECT_EQ(so_cookie(_metadata, fd), cookie(kept.msg.mdiag_cookie));
	EXPECT_EQ(attrs_of(SHOW_ALL & ~MDIAG_SHOW_PEER), kept.shown);
	EXPECT_EQ(geteuid(), kept.uid);
}

TEST_F(type, shows_bound)
{
	int fd = my_bound_socket(_metadata, 0xfffffff0);

	EXPECT_EQ(0xfffffff0, dumped(_metadata, fd).msg.mdiag_channel);
}

TEST_F(type, shows_connection)
{
	struct kept kept;
	int fd[2], i;

	my_connection(_metadata, fd);
	expect_send(_metadata, fd[0], "abcdefg");
	for (i = 0; i < 2; i++) {
		kept = dumped(_metadata, fd[i]);
		EXPECT_EQ(TCP_ESTABLISHED, kept.msg.mdiag_state);
		EXPECT_EQ(my_channel(_metadata, fd[i]), kept.msg.mdiag_channel);
		EXPECT_EQ(attrs_of(SHOW_ALL), kept.shown);
		EXPECT_EQ(my_peer(_metadata, fd[i]), kept.peer_channel);
		EXPECT_EQ(inode(_metadata, fd[!i]), kept.peer_ino);
		EXPECT_EQ(so_cookie(_metadata, fd[!i]),
			  cookie(kept.peer_cookie));
		EXPECT_EQ(i ? 7 : 0, kept.rqueue);
		EXPECT_EQ(i || variant->type == SOCK_DGRAM ? 0 : 7,
			  kept.wqueue);
		EXPECT_EQ(mem_charged(_metadata, fd[i]),
			  kept.meminfo[SK_MEMINFO_RMEM_ALLOC]);
		EXPECT_EQ(get_int_opt(_metadata, fd[i], SO_RCVBUF),
			  kept.meminfo[SK_MEMINFO_RCVBUF]);
	}
}

TEST_F(type, shows_pair)
{
	struct kept kept;
	int fd[2], i;

	my_socketpair(_metadata, fd);
	for (i = 0; i < 2; i++) {
		kept = dumped(_metadata, fd[i]);
		EXPECT_EQ(TCP_ESTABLISHED, kept.msg.mdiag_state);
		EXPECT_EQ(0, kept.msg.mdiag_channel);
		EXPECT_EQ(0, kept.peer_channel);
		EXPECT_EQ(inode(_metadata, fd[!i]), kept.peer_ino);
	}
}

TEST_F(type, shows_shutdown)
{
	int fd[2];

	my_socketpair(_metadata, fd);
	ASSERT_EQ(0, shutdown(fd[0], SHUT_RD));
	EXPECT_EQ(1, dumped(_metadata, fd[0]).msg.mdiag_shutdown);
	EXPECT_EQ(variant->type == SOCK_DGRAM ? 0 : 2,
		  dumped(_metadata, fd[1]).msg.mdiag_shutdown);
	ASSERT_EQ(0, shutdown(fd[0], SHUT_WR));
	EXPECT_EQ(3, dumped(_metadata, fd[0]).msg.mdiag_shutdown);
}

/* Types that listen */
FIXTURE(listen) {};

FIXTURE_VARIANT(listen)
{
	int type;
};

FIXTURE_VARIANT_ADD(listen, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(listen, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_SETUP(listen)
{
	my_type = variant->type;
}

FIXTURE_TEARDOWN(listen)
{
}

/* A connection that waits for accept() has no inode, but a peer that tells. */
TEST_F(listen, shows_listener)
{
	struct myproto_diag_req req = one_req(0);
	struct kept kept;
	int fd, client;
	__u32 channel;

	fd = my_listener(_metadata, 7, &channel);
	client = my_client(_metadata, channel);
	kept = dumped(_metadata, fd);
	EXPECT_EQ(TCP_LISTEN, kept.msg.mdiag_state);
	EXPECT_EQ(attrs_of(SHOW_ALL & ~MDIAG_SHOW_PEER), kept.shown);
	EXPECT_EQ(1, kept.rqueue);
	EXPECT_EQ(7, kept.wqueue);

	kept = dumped(_metadata, client);
	EXPECT_EQ(channel, kept.peer_channel);
	EXPECT_EQ(0, kept.peer_ino);
	memcpy(req.mdiag_cookie, kept.peer_cookie, sizeof(__u32[2]));
	req.mdiag_show = SHOW_ALL;
	ASSERT_EQ(0, get(_metadata, &req, &kept));
	EXPECT_EQ(0, kept.msg.mdiag_ino);
	EXPECT_EQ(TCP_ESTABLISHED, kept.msg.mdiag_state);
	EXPECT_EQ(channel, kept.msg.mdiag_channel);
	EXPECT_EQ(inode(_metadata, client), kept.peer_ino);
}

/* Where it connects to, and not yet a peer */
TEST_F(listen, shows_connecting)
{
	struct myproto_diag_req req = dump_req();
	struct kept kept;
	__u32 channel;
	int fd, listener;

	listener = my_listener(_metadata, 0, &channel);
	my_client(_metadata, channel);
	fd = my_socket(_metadata);
	set_nonblock(_metadata, fd);
	ASSERT_EQ(EINPROGRESS, err_of(my_connect(fd, channel)));

	kept = dumped(_metadata, fd);
	EXPECT_EQ(TCP_SYN_SENT, kept.msg.mdiag_state);
	EXPECT_EQ(channel, kept.peer_channel);
	EXPECT_EQ((attrs_of(SHOW_ALL) & ~attrs_of(MDIAG_SHOW_PEER)) |
		  1 << MYPROTO_DIAG_PEER_CHANNEL, kept.shown);
	req.mdiag_states = 1 << TCP_SYN_SENT;
	EXPECT_TRUE(is_told(_metadata, &req, fd));
	EXPECT_FALSE(is_told(_metadata, &req, listener));

	ASSERT_LE(0, accept(listener, NULL, NULL));
	kept = dumped(_metadata, fd);
	EXPECT_EQ(TCP_ESTABLISHED, kept.msg.mdiag_state);
	EXPECT_EQ(attrs_of(SHOW_ALL), kept.shown);
}

TEST(shows_uid)
{
	int fd, code;
	pid_t pid;

	if (seteuid(1234))
		SKIP(return, "to become another user needs root");
	fd = my_socket(_metadata);
	ASSERT_EQ(0, seteuid(0));
	EXPECT_EQ(1234, dumped(_metadata, fd).uid);

	/* Who does not know the user sees the overflow ID. */
	pid = my_fork(_metadata);
	if (!pid) {
		if (unshare(CLONE_NEWUSER))
			_exit(KSFT_SKIP);
		_exit(dumped(_metadata, fd).uid == 65534 ? 0 : KSFT_FAIL);
	}
	code = my_wait(pid);
	if (code == KSFT_SKIP)
		SKIP(return, "there are no user namespaces");
	EXPECT_EQ(0, code);
}

/* Dumps: what is asked for */

TEST_F(type, show_flags)
{
	struct kept kept;
	struct myproto_diag_req req = dump_req();
	__u32 show;
	int fd[2];

	my_socketpair(_metadata, fd);
	kept.ino = inode(_metadata, fd[0]);
	for (show = 0; show <= SHOW_ALL; show++) {
		req.mdiag_show = show;
		ASSERT_EQ(1, diag_dump(_metadata, &req, keep, &kept));
		EXPECT_EQ(attrs_of(show), kept.shown);
	}
}

TEST_F(type, filter_type)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
	struct myproto_diag_req req = dump_req();
	int fd = my_socket(_metadata);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		req.mdiag_types = 1 << types[i];
		EXPECT_EQ(types[i] == variant->type,
			  is_told(_metadata, &req, fd));
		req.mdiag_types ^= ALL_TYPES;
		EXPECT_EQ(types[i] != variant->type,
			  is_told(_metadata, &req, fd));
	}
	req.mdiag_types = 0;
	EXPECT_TRUE(is_told(_metadata, &req, fd));
}

TEST_F(type, filter_state)
{
	int state[3] = { TCP_CLOSE, TCP_ESTABLISHED, TCP_LISTEN };
	struct myproto_diag_req req = dump_req();
	int fd[3], pair[2], count = 3, i, j;
	__u32 channel;

	fd[0] = my_socket(_metadata);
	my_socketpair(_metadata, pair);
	fd[1] = pair[0];
	if (variant->type == SOCK_DGRAM)
		count = 2;
	else
		fd[2] = my_listener(_metadata, 1, &channel);
	for (i = 0; i < 3; i++) {
		req.mdiag_states = 1 << state[i];
		for (j = 0; j < count; j++)
			EXPECT_EQ(i == j, is_told(_metadata, &req, fd[j]))
				TH_LOG("%d %d", i, j);
	}
	req.mdiag_states = 0;
	for (j = 0; j < count; j++)
		EXPECT_TRUE(is_told(_metadata, &req, fd[j]));
}

TEST_F(type, filter_channel)
{
	struct myproto_diag_req req = dump_req();
	int fd[2];

	my_connection(_metadata, fd);
	req.mdiag_channel = my_channel(_metadata, fd[1]);
	EXPECT_FALSE(is_told(_metadata, &req, fd[0]));
	EXPECT_TRUE(is_told(_metadata, &req, fd[1]));
	req.mdiag_channel--;
	EXPECT_FALSE(is_told(_metadata, &req, fd[1]));
}

static bool count_all(const struct told *told, void *data)
{
	return true;
}

TEST_F(type, other_netns)
{
	struct myproto_diag_req req = dump_req();
	struct kept kept;
	int fd[2];

	my_socketpair(_metadata, fd);
	my_connection(_metadata, fd);
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	EXPECT_EQ(0, diag_dump(_metadata, &req, count_all, NULL));
	my_socket(_metadata);
	EXPECT_EQ(1, diag_dump(_metadata, &req, count_all, NULL));

	req = one_req(inode(_metadata, fd[0]));
	EXPECT_EQ(ENOENT, get(_metadata, &req, &kept));
	EXPECT_EQ(ENOENT, destroy(_metadata, fd[0]));
	req = one_req(0);
	req.mdiag_channel = my_channel(_metadata, fd[0]);
	EXPECT_EQ(ENOENT, get(_metadata, &req, &kept));
}

/* One socket */

TEST_F(type, get_by_inode)
{
	int fd = my_bound_socket(_metadata, 5000);
	struct myproto_diag_req req = one_req(inode(_metadata, fd));
	struct kept kept;

	ASSERT_EQ(0, get(_metadata, &req, &kept));
	EXPECT_EQ(5000, kept.msg.mdiag_channel);
	EXPECT_EQ(variant->type, kept.msg.mdiag_type);
	EXPECT_EQ(0, kept.shown);

	memcpy(req.mdiag_cookie, kept.msg.mdiag_cookie, sizeof(__u32[2]));
	EXPECT_EQ(0, get(_metadata, &req, &kept));
	req.mdiag_cookie[0]++;
	EXPECT_EQ(ESTALE, get(_metadata, &req, &kept));
	req.mdiag_cookie[0]--;
	req.mdiag_cookie[1]++;
	EXPECT_EQ(ESTALE, get(_metadata, &req, &kept));

	close(fd);
	EXPECT_EQ(ENOENT, get(_metadata, &req, &kept));
}

TEST_F(type, get_by_channel)
{
	struct myproto_diag_req req = one_req(0);
	struct kept kept;
	int fd[2];

	fd[0] = my_bound_socket(_metadata, 5000);
	req.mdiag_channel = 5000;
	ASSERT_EQ(0, get(_metadata, &req, &kept));
	EXPECT_EQ(inode(_metadata, fd[0]), kept.msg.mdiag_ino);
	memcpy(req.mdiag_cookie, kept.msg.mdiag_cookie, sizeof(__u32[2]));
	EXPECT_EQ(0, get(_metadata, &req, &kept));

	/* Another one took its place. */
	close(fd[0]);
	fd[0] = my_bound_socket(_metadata, 5000);
	EXPECT_EQ(ESTALE, get(_metadata, &req, &kept));
	close(fd[0]);
	EXPECT_EQ(ENOENT, get(_metadata, &req, &kept));
}

TEST_F(type, get_by_cookie)
{
	int fd = my_socket(_metadata);
	__u64 val = so_cookie(_metadata, fd);
	struct myproto_diag_req req = one_req(0);
	struct kept kept;

	cookie_put(&req, val);
	ASSERT_EQ(0, get(_metadata, &req, &kept));
	EXPECT_EQ(inode(_metadata, fd), kept.msg.mdiag_ino);
	close(fd);
	EXPECT_EQ(ENOENT, get(_metadata, &req, &kept));
}

/* Both ways to say that any cookie will do, in all requests */
TEST_F(type, any_cookie)
{
	static const __u32 any[] = { 0, MYPROTO_DIAG_NOCOOKIE };
	struct myproto_diag_req req;
	struct kept kept;
	int fd[2];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(any); i++) {
		my_socketpair(_metadata, fd);
		req = dump_req();
		req.mdiag_cookie[0] = any[i];
		req.mdiag_cookie[1] = any[i];
		EXPECT_TRUE(is_told(_metadata, &req, fd[0]));

		req.mdiag_types = 0;
		req.mdiag_states = 0;
		req.mdiag_ino = inode(_metadata, fd[0]);
		EXPECT_EQ(0, get(_metadata, &req, &kept));
		EXPECT_EQ(req.mdiag_ino, kept.msg.mdiag_ino);
		req.mdiag_show = 0;
		EXPECT_EQ(0, destroy_req(_metadata, &req));
		EXPECT_EQ(ECONNABORTED, try_recv(fd[0]));

		/* One half is not enough, */
		req.mdiag_cookie[1] = ~any[i];
		EXPECT_EQ(ESTALE, get(_metadata, &req, &kept));
		/* and that does not name a socket. */
		req.mdiag_cookie[1] = any[i];
		req.mdiag_ino = 0;
		EXPECT_EQ(EINVAL, get(_metadata, &req, &kept));
	}
}

/* Who gets a cookie */

FIXTURE(cookie) {};

FIXTURE_VARIANT(cookie)
{
	/* @fd has @cookie, its peer has none yet. */
	void (*look)(struct __test_metadata *_metadata, int fd, __u64 cookie);
};

FIXTURE_SETUP(cookie)
{
	cpu_set_t cpus;

	/* On one CPU each cookie is one more than the last. */
	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpus), &cpus));
}

FIXTURE_TEARDOWN(cookie)
{
}

static void look_proc(struct __test_metadata *_metadata, int fd, __u64 cookie)
{
	char buf[4096];
	int proc;

	proc = open("/proc/net/myproto", O_RDONLY);
	ASSERT_LE(0, proc)
		TH_LOG("/proc/net/myproto: %s", strerror(errno));
	while (read(proc, buf, sizeof(buf)) > 0)
		;
	close(proc);
}

FIXTURE_VARIANT_ADD(cookie, proc)
{
	.look = look_proc,
};

static void look_dump(struct __test_metadata *_metadata, int fd, __u64 cookie)
{
	struct myproto_diag_req req = dump_req();

	req.mdiag_show &= ~MDIAG_SHOW_PEER;
	req.mdiag_channel = my_channel(_metadata, fd);
	EXPECT_TRUE(is_told(_metadata, &req, fd));
}

FIXTURE_VARIANT_ADD(cookie, dump_without_peer)
{
	.look = look_dump,
};

static void look_get(struct __test_metadata *_metadata, int fd, __u64 cookie)
{
	struct myproto_diag_req req = one_req(inode(_metadata, fd));
	struct kept kept;

	req.mdiag_show = SHOW_ALL & ~MDIAG_SHOW_PEER;
	EXPECT_EQ(0, get(_metadata, &req, &kept));
}

FIXTURE_VARIANT_ADD(cookie, get_without_peer)
{
	.look = look_get,
};

/* Only the peers of those that are told of get cookies. */
static void look_filtered(struct __test_metadata *_metadata, int fd,
			  __u64 cookie)
{
	struct myproto_diag_req req = dump_req();

	req.mdiag_channel = 1;
	EXPECT_FALSE(is_told(_metadata, &req, fd));
}

FIXTURE_VARIANT_ADD(cookie, dump_of_others)
{
	.look = look_filtered,
};

/* Nobody has the cookie, so all are looked at. */
static void look_cookie(struct __test_metadata *_metadata, int fd, __u64 cookie)
{
	struct myproto_diag_req req = one_req(0);
	struct kept kept;

	cookie_put(&req, ~cookie);
	EXPECT_EQ(ENOENT, get(_metadata, &req, &kept));
}

FIXTURE_VARIANT_ADD(cookie, get_by_cookie)
{
	.look = look_cookie,
};

/* Others may get cookies meanwhile, but hardly each time. */
TEST_F(cookie, none_given)
{
	int fd[2], other, round, clean = 0;
	__u64 first, next;

	for (round = 0; round < 20; round++) {
		my_connection(_metadata, fd);
		first = so_cookie(_metadata, fd[1]);
		variant->look(_metadata, fd[1], first);
		other = my_socket(_metadata);
		next = so_cookie(_metadata, other);
		clean += next == first + 1;
		close(other);
		close(fd[0]);
		close(fd[1]);
	}
	EXPECT_LT(0, clean);
}

/* Requests that are refused */

/* Each bit of the masks that has no meaning */
TEST(invalid_bits)
{
	struct myproto_diag_req req;
	int i, ret;

	for (i = 0; i < 32; i++) {
		req = dump_req();
		req.mdiag_states = 1U << i;
		ret = diag_dump(_metadata, &req, count_all, NULL);
		EXPECT_EQ(req.mdiag_states & ALL_STATES ? 0 : -EINVAL, ret)
			TH_LOG("state %d", i);
		req = dump_req();
		req.mdiag_show = 1U << i;
		ret = diag_dump(_metadata, &req, count_all, NULL);
		EXPECT_EQ(req.mdiag_show & SHOW_ALL ? 0 : -EINVAL, ret)
			TH_LOG("show %d", i);
		if (i >= 16)
			continue;
		req = dump_req();
		req.mdiag_types = 1U << i;
		ret = diag_dump(_metadata, &req, count_all, NULL);
		EXPECT_EQ(req.mdiag_types & ALL_TYPES ? 0 : -EINVAL, ret)
			TH_LOG("type %d", i);
	}
}

/* There are no attributes for requests, of whatever type. */
TEST(invalid_attribute)
{
	static const __u16 types[] = { 0, 1, MYPROTO_DIAG_UID, 0x3fff,
				       NLA_F_NESTED | 1 };
	int fd = my_socket(_metadata);
	struct {
		struct myproto_diag_req req;
		struct nlattr nla;
		__u32 val;
	} req = { .nla = { .nla_len = NLA_HDRLEN + sizeof(__u32) } };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		req.nla.nla_type = types[i];
		req.req = dump_req();
		EXPECT_EQ(-EINVAL, diag(_metadata, SOCK_DIAG_BY_FAMILY,
					NLM_F_DUMP, &req, sizeof(req),
					count_all, NULL));
		req.req = one_req(inode(_metadata, fd));
		EXPECT_EQ(-EINVAL, diag(_metadata, SOCK_DIAG_BY_FAMILY, 0,
					&req, sizeof(req), count_all, NULL));
		EXPECT_EQ(-EINVAL, diag(_metadata, SOCK_DESTROY, 0, &req,
					sizeof(req), count_all, NULL));
	}
}

/* Flags that have no meaning here, half of NLM_F_DUMP among them; and what is
 * destroyed is one socket, even if NLM_F_DUMP comes with its name.
 */
TEST(invalid_flags)
{
	struct myproto_diag_req all = dump_req(), one;
	int fd[2], i, flag;

	my_socketpair(_metadata, fd);
	one = one_req(inode(_metadata, fd[0]));
	for (i = 0; i < 16; i++) {
		flag = 1 << i;
		if (flag & (NLM_F_REQUEST | NLM_F_ACK))
			continue;
		EXPECT_EQ(-EINVAL, diag(_metadata, SOCK_DIAG_BY_FAMILY, flag,
					&one, sizeof(one), count_all, NULL));
		EXPECT_EQ(-EINVAL, diag(_metadata, SOCK_DESTROY, flag, &one,
					sizeof(one), count_all, NULL));
		if (flag & NLM_F_DUMP)
			continue;
		EXPECT_EQ(-EINVAL, diag(_metadata, SOCK_DIAG_BY_FAMILY,
					NLM_F_DUMP | flag, &all, sizeof(all),
					count_all, NULL));
	}
	EXPECT_EQ(-EINVAL, diag(_metadata, SOCK_DESTROY, NLM_F_DUMP, &one,
				sizeof(one), count_all, NULL));
	EXPECT_EQ(EAGAIN, try_recv(fd[0]));
}

/* A request with an errno or none, by what the header says of it */
struct random_req {
	int type;
	int flags;
	size_t len;
	union {
		struct myproto_diag_req req;
		__u32 word[10];
	};
};

static bool is_valid(const struct random_req *r)
{
	const struct myproto_diag_req *req = &r->req;
	const __u32 *half = req->mdiag_cookie;
	bool any = half[0] == half[1] && (!half[0] || !~half[0]);
	bool dump = (r->flags & NLM_F_DUMP) == NLM_F_DUMP;

	if (r->len != sizeof(*req) || r->flags & ~(NLM_F_ACK | NLM_F_DUMP) ||
	    !dump != !(r->flags & NLM_F_DUMP) || req->sdiag_protocol ||
	    req->mdiag_types & ~ALL_TYPES || req->mdiag_states & ~ALL_STATES ||
	    req->mdiag_show & ~SHOW_ALL)
		return false;
	if (r->type == SOCK_DESTROY && (dump || req->mdiag_show))
		return false;
	if (dump)
		return !req->mdiag_ino && any;
	return !req->mdiag_types && !req->mdiag_states &&
	       !(req->mdiag_ino && req->mdiag_channel) &&
	       (req->mdiag_ino || req->mdiag_channel || !any);
}

/* What is wrong with it is at most a little. */
static struct random_req random_req(void)
{
	static const int lens[] = { 2, 4, 27, 29, 31, 32, 36, 40 };
	struct random_req r = {
		.type = rand() % 3 ? SOCK_DIAG_BY_FAMILY : SOCK_DESTROY,
		.flags = rand() % 4 * NLM_F_ROOT,
		.len = rand() % 8 ? sizeof(r.req) : lens[rand() % 8],
	};
	int i;

	if (r.flags == NLM_F_DUMP) {
		r.req.mdiag_types = rand() & ALL_TYPES;
		r.req.mdiag_states = rand() & ALL_STATES;
	}
	if (r.type == SOCK_DIAG_BY_FAMILY)
		r.req.mdiag_show = rand() & SHOW_ALL;
	for (i = rand() % 3; i; i--)
		r.word[rand() % 10] = rand() % 2 ? ~0U : rand() % 4096;
	if (r.req.mdiag_cookie[0] && rand() % 2)
		r.req.mdiag_cookie[1] = r.req.mdiag_cookie[0];
	if (!(rand() % 8))
		r.flags ^= 1 << (2 + rand() % 14);
	r.req.sdiag_family = AF_MYPROTO;
	return r;
}

/* Each request is answered or refused as the header says. */
TEST(random_requests)
{
	int seen[2] = {}, i, ret;
	struct random_req r;

	srand(4711);
	my_socket(_metadata);
	for (i = 0; i < 5000; i++) {
		r = random_req();
		ret = diag(_metadata, r.type, r.flags | NLM_F_ACK, &r.req,
			   r.len, count_all, NULL);
		EXPECT_EQ(!is_valid(&r), ret == -EINVAL)
			TH_LOG("type %d flags %#x len %zu: %d", r.type,
			       r.flags, r.len, ret);
		seen[is_valid(&r)]++;
	}
	EXPECT_LT(500, seen[0]);
	EXPECT_LT(500, seen[1]);
}

/* Many sockets, while others come and go */

static bool count_lasting(const struct told *told, void *data)
{
	return lasting_shown(data, told->msg->mdiag_ino);
}

TEST_F(many, each_once)
{
	struct myproto_diag_req req = dump_req();
	int round;

	for (round = 0; round < 4; round++) {
		/* The least that programs are to read is 8 KiB. */
		diag_read_len = round % 2 ? 1 << 16 : 8192;
		EXPECT_EQ(LASTING, diag_dump(_metadata, &req, count_lasting,
					     &self->lasting));
		expect_each_once(_metadata, &self->lasting);
	}
}

/* A socket that is told of is there: it has an inode. */
static bool reopen_stop;

static void *reopen(void *arg)
{
	int fd;

	while (!__atomic_load_n(&reopen_stop, __ATOMIC_RELAXED)) {
		fd = socket(AF_MYPROTO, SOCK_DGRAM, 0);
		my_bind(fd, 5000);
		close(fd);
	}
	return NULL;
}

TEST(get_while_closed)
{
	struct myproto_diag_req req = one_req(0);
	int i, err, seen = 0, gone = 0;
	long end = now_ms() + WAIT_MS;
	pthread_t thread;
	struct kept kept;

	ASSERT_EQ(0, pthread_create(&thread, NULL, reopen, NULL));
	req.mdiag_channel = 5000;
	for (i = 0; i < 5000 && now_ms() < end; i++) {
		err = get(_metadata, &req, &kept);
		if (err)
			ASSERT_EQ(ENOENT, err);
		seen += !err;
		gone += !err && !kept.msg.mdiag_ino;
	}
	__atomic_store_n(&reopen_stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_LT(0, seen);
	EXPECT_EQ(0, gone);
}

/* The state of a record */

static bool flip_stop;

/* Connects and dissolves the DGRAM socket *@arg. */
static void *flip(void *arg)
{
	int *fd = arg;
	long count = 0;
	socklen_t len = sizeof(struct sockaddr_my);
	struct sockaddr_my addr;

	if (getsockname(fd[1], (struct sockaddr *)&addr, &len))
		return NULL;
	while (!__atomic_load_n(&flip_stop, __ATOMIC_RELAXED)) {
		count += !my_connect(fd[0], addr.smy_channel);
		my_dissolve(fd[0]);
	}
	return (void *)count;
}

struct flips {
	__u32 states;
	int outside;	/* of the mask */
	int torn;	/* connected, and no peer, or the reverse */
};

static bool check_state(const struct told *told, void *data)
{
	bool connected = told->msg->mdiag_state == TCP_ESTABLISHED;
	struct flips *flips = data;

	flips->outside += !(flips->states & 1 << told->msg->mdiag_state);
	flips->torn += connected != !!told->attr[MYPROTO_DIAG_PEER_INO];
	return true;
}

/* No record has a state that was not asked for, though it changes all the time.
 * To meet that takes many dumps: as many as there is time for.
 */
TEST(state_changes)
{
	static const int states[] = { TCP_CLOSE, TCP_ESTABLISHED };
	struct myproto_diag_req req = dump_req();
	long end = now_ms() + WAIT_MS;
	struct flips flips = {};
	int fd[2], i, seen = 0;
	pthread_t thread;
	void *count;

	my_type = SOCK_DGRAM;
	for (i = 0; i < 2; i++)
		fd[i] = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
	ASSERT_EQ(0, pthread_create(&thread, NULL, flip, fd));
	for (i = 0; i < 4000 && now_ms() < end; i++) {
		flips.states = 1 << states[i % 2];
		req.mdiag_states = flips.states;
		seen += diag_dump(_metadata, &req, check_state, &flips);
	}
	__atomic_store_n(&flip_stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, &count));
	EXPECT_NE(NULL, count);
	/* The other one does not change. */
	EXPECT_LE(i / 2, seen);
	EXPECT_EQ(0, flips.outside);
	EXPECT_EQ(0, flips.torn);
}

/* SOCK_DESTROY */

FIXTURE(destroy)
{
	int fd[2];
};

FIXTURE_VARIANT(destroy)
{
	int type;
};

FIXTURE_VARIANT_ADD(destroy, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(destroy, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_SETUP(destroy)
{
	my_type = variant->type;
	my_connection(_metadata, self->fd);
}

FIXTURE_TEARDOWN(destroy)
{
	close(self->fd[0]);
	close(self->fd[1]);
}

/* A child that receives from @fd, and ends with the errno */
static pid_t fork_recv(struct __test_metadata *_metadata, int fd)
{
	pid_t pid = my_fork(_metadata);
	char c;

	if (!pid)
		_exit(err_of(recv(fd, &c, 1, 0)));
	ASSERT_TRUE(wait_asleep(pid));
	return pid;
}

static pid_t fork_send(struct __test_metadata *_metadata, int fd)
{
	pid_t pid = my_fork(_metadata);

	if (!pid)
		_exit(err_of(send(fd, "x", 1, MSG_NOSIGNAL)));
	ASSERT_TRUE(wait_asleep(pid));
	return pid;
}

/* @fd has ended with @err to be told, once. */
static void expect_ended(struct __test_metadata *_metadata, int fd, int err)
{
	EXPECT_EQ(POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR,
		  poll_now(fd));
	EXPECT_EQ(EPIPE, try_send(fd));
	EXPECT_EQ(err, try_recv(fd));
	expect_eof(_metadata, fd);
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ERROR));
}

TEST_F(destroy, both_ends)
{
	ASSERT_EQ(0, destroy(_metadata, self->fd[0]));
	expect_ended(_metadata, self->fd[0], ECONNABORTED);
	expect_ended(_metadata, self->fd[1], ECONNRESET);
	EXPECT_EQ(3, dumped(_metadata, self->fd[0]).msg.mdiag_shutdown);

	/* That was the end of it. */
	EXPECT_EQ(ENOENT, destroy(_metadata, self->fd[0]));
	EXPECT_EQ(ENOENT, destroy(_metadata, self->fd[1]));
	EXPECT_EQ(0, try_recv(self->fd[0]));
	EXPECT_EQ(0, try_recv(self->fd[1]));
}

/* As who ends all that there are does it */
TEST_F(destroy, one_after_the_other)
{
	ASSERT_EQ(0, destroy(_metadata, self->fd[0]));
	EXPECT_EQ(ENOENT, destroy(_metadata, self->fd[1]));
	expect_ended(_metadata, self->fd[0], ECONNABORTED);
	expect_ended(_metadata, self->fd[1], ECONNRESET);
}

/* The peer is told once, though what is unread would be told at close(). */
TEST_F(destroy, closed_with_unread_data)
{
	expect_send(_metadata, self->fd[1], "abc");
	ASSERT_EQ(0, destroy(_metadata, self->fd[0]));
	EXPECT_EQ(ECONNRESET, try_recv(self->fd[1]));
	ASSERT_EQ(0, close(self->fd[0]));
	self->fd[0] = -1;
	EXPECT_EQ(0, try_recv(self->fd[1]));
}

/* And this end is not told of what the peer leaves unread. */
TEST_F(destroy, peer_closes_with_unread_data)
{
	expect_send(_metadata, self->fd[0], "abc");
	ASSERT_EQ(0, destroy(_metadata, self->fd[0]));
	ASSERT_EQ(0, close(self->fd[1]));
	self->fd[1] = -1;
	expect_ended(_metadata, self->fd[0], ECONNABORTED);
}

TEST_F(destroy, socketpair)
{
	int fd[2];

	my_socketpair(_metadata, fd);
	ASSERT_EQ(0, destroy(_metadata, fd[1]));
	expect_ended(_metadata, fd[1], ECONNABORTED);
	expect_ended(_metadata, fd[0], ECONNRESET);
}

TEST_F(destroy, after_unread_data)
{
	expect_send(_metadata, self->fd[0], "abc");
	expect_send(_metadata, self->fd[1], "def");
	ASSERT_EQ(0, destroy(_metadata, self->fd[0]));
	expect_recv(_metadata, self->fd[0], "def");
	expect_recv(_metadata, self->fd[1], "abc");
	EXPECT_EQ(ECONNABORTED, try_recv(self->fd[0]));
	EXPECT_EQ(ECONNRESET, try_recv(self->fd[1]));
}

/* They are there as long as the data, in which they can still be read. */
TEST_F(destroy, after_unread_descriptors)
{
	struct link link = { .fd = { self->fd[0], self->fd[1] } };
	struct got got;
	int fd[2], *in;

	ASSERT_EQ(0, pipe(fd));
	set_int_opt(_metadata, self->fd[1], SO_PASSRIGHTS, 1);
	EXPECT_EQ(1, send_cmsg(&link, "a", SOL_SOCKET, SCM_RIGHTS, &fd[1],
			       sizeof(int)));
	EXPECT_EQ(1, send_cmsg(&link, "b", SOL_SOCKET, SCM_RIGHTS, &fd[1],
			       sizeof(int)));
	close(fd[1]);
	ASSERT_EQ(0, destroy(_metadata, self->fd[1]));
	EXPECT_EQ(1, recv_got(self->fd[1], &got, 256, 0));
	in = find_cmsg(&got, SCM_RIGHTS, sizeof(int));
	ASSERT_NE(NULL, in);
	close(*in);
	EXPECT_EQ(0, poll_for(fd[0], POLLIN, 0));
	close(self->fd[1]);
	self->fd[1] = -1;
	EXPECT_EQ(POLLHUP, poll_for(fd[0], POLLIN, WAIT_MS));
}

/* Those of connections that nobody has accepted are closed at once. */
TEST_F(destroy, unaccepted_descriptors)
{
	struct link link = { .type = variant->type };
	int fd[2], listener;
	__u32 channel;

	ASSERT_EQ(0, pipe(fd));
	listener = type_listener(_metadata, variant->type, &channel);
	set_int_opt(_metadata, listener, SO_PASSRIGHTS, 1);
	link.fd[0] = type_socket(_metadata, variant->type);
	ASSERT_EQ(0, my_connect(link.fd[0], channel));
	EXPECT_EQ(1, send_cmsg(&link, "a", SOL_SOCKET, SCM_RIGHTS, &fd[1],
			       sizeof(int)));
	close(fd[1]);
	EXPECT_EQ(0, poll_for(fd[0], POLLIN, 0));
	ASSERT_EQ(0, destroy(_metadata, listener));
	EXPECT_EQ(POLLHUP, poll_for(fd[0], POLLIN, WAIT_MS));
}

TEST_F(destroy, so_error)
{
	ASSERT_EQ(0, destroy(_metadata, self->fd[0]));
	EXPECT_EQ(ECONNABORTED,
		  get_int_opt(_metadata, self->fd[0], SO_ERROR));
	EXPECT_EQ(ECONNRESET, get_int_opt(_metadata, self->fd[1], SO_ERROR));
	expect_eof(_metadata, self->fd[0]);
	expect_eof(_metadata, self->fd[1]);
}

TEST_F(destroy, peer_closed)
{
	expect_send(_metadata, self->fd[1], "abc");
	close(self->fd[1]);
	ASSERT_EQ(0, destroy(_metadata, self->fd[0]));
	expect_recv(_metadata, self->fd[0], "abc");
	EXPECT_EQ(ECONNABORTED, try_recv(self->fd[0]));
}

TEST_F(destroy, wakes_recv)
{
	pid_t pid[2];
	int i;

	for (i = 0; i < 2; i++)
		pid[i] = fork_recv(_metadata, self->fd[i]);
	ASSERT_EQ(0, destroy(_metadata, self->fd[0]));
	EXPECT_EQ(ECONNABORTED, my_wait(pid[0]));
	EXPECT_EQ(ECONNRESET, my_wait(pid[1]));
}

TEST_F(destroy, wakes_send)
{
	pid_t pid[2];
	int i;

	for (i = 0; i < 2; i++) {
		my_fill(_metadata, self->fd[i], 1000);
		pid[i] = fork_send(_metadata, self->fd[i]);
	}
	ASSERT_EQ(0, destroy(_metadata, self->fd[0]));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(EPIPE, my_wait(pid[i]));
}

TEST_F(destroy, wakes_poll)
{
	pid_t pid[2];
	int i;

	for (i = 0; i < 2; i++) {
		pid[i] = my_fork(_metadata);
		if (!pid[i])
			_exit(poll_for(self->fd[i], POLLRDHUP, WAIT_MS) ==
			      (POLLRDHUP | POLLHUP | POLLERR) ? 0 : KSFT_FAIL);
		ASSERT_TRUE(wait_asleep(pid[i]));
	}
	ASSERT_EQ(0, destroy(_metadata, self->fd[0]));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, my_wait(pid[i]));
}

TEST_F(destroy, unconnected_enoent)
{
	int fd = my_bound_socket(_metadata, 5000);
	__u32 channel;
	int listener = my_listener(_metadata, 1, &channel);

	EXPECT_EQ(ENOENT, destroy(_metadata, fd));

	/* Nothing came of that. */
	EXPECT_EQ(0, my_connect(fd, channel));
	ASSERT_LE(0, accept(listener, NULL, NULL));
	EXPECT_EQ(EAGAIN, try_recv(fd));
}

TEST_F(destroy, stale_cookie)
{
	struct myproto_diag_req req = one_req(inode(_metadata, self->fd[0]));

	/* That of its peer */
	cookie_put(&req, so_cookie(_metadata, self->fd[1]));
	EXPECT_EQ(ESTALE, destroy_req(_metadata, &req));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[0]));
}

TEST_F(destroy, without_cap_net_admin)
{
	pid_t pid = my_fork(_metadata);

	if (!pid) {
		if (setresuid(1234, 1234, 1234))
			_exit(0);
		/* It may look at it, though. */
		dumped(_metadata, self->fd[0]);
		_exit(destroy(_metadata, self->fd[0]));
	}
	EXPECT_EQ(EPERM, my_wait(pid));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[0]));
}

TEST_F(destroy, listener)
{
	__u32 channel;
	int listener = my_listener(_metadata, 1, &channel);
	int client = my_client(_metadata, channel);

	ASSERT_EQ(0, destroy(_metadata, listener));
	expect_ended(_metadata, client, ECONNRESET);
	EXPECT_EQ(POLLIN | POLLRDHUP | POLLHUP | POLLERR, poll_now(listener));
	EXPECT_EQ(EINVAL, err_of(accept(listener, NULL, NULL)));
	EXPECT_EQ(ECONNREFUSED,
		  err_of(my_connect(my_socket(_metadata), channel)));

	/* The channel is still its own, and it can begin anew. */
	EXPECT_EQ(EADDRINUSE,
		  err_of(my_bind(my_socket(_metadata), channel)));
	ASSERT_EQ(0, listen(listener, 1));
	EXPECT_EQ(0, poll_now(listener));
	EXPECT_EQ(0, dumped(_metadata, listener).rqueue);
	client = my_client(_metadata, channel);
	EXPECT_LE(0, accept(listener, NULL, NULL));
	EXPECT_EQ(EAGAIN, try_recv(client));
}

TEST_F(destroy, wakes_accept_and_connect)
{
	int listener[2], i;
	__u32 channel[2];
	pid_t pid[2];

	for (i = 0; i < 2; i++)
		listener[i] = my_listener(_metadata, 0, &channel[i]);
	my_client(_metadata, channel[1]);
	for (i = 0; i < 2; i++) {
		pid[i] = my_fork(_metadata);
		if (!pid[i])
			_exit(err_of(i ? my_connect(my_socket(_metadata),
						    channel[1]) :
				     accept(listener[0], NULL, NULL)));
		ASSERT_TRUE(wait_asleep(pid[i]));
		ASSERT_EQ(0, destroy(_metadata, listener[i]));
	}
	EXPECT_EQ(EINVAL, my_wait(pid[0]));
	EXPECT_EQ(ECONNREFUSED, my_wait(pid[1]));
}

/* Ends the peer of @fd, which has no inode. Returns the errno. */
static int destroy_peer(struct __test_metadata *_metadata, int fd)
{
	struct kept kept = dumped(_metadata, fd);
	struct myproto_diag_req req = one_req(0);

	memcpy(req.mdiag_cookie, kept.peer_cookie, sizeof(__u32[2]));
	return destroy_req(_metadata, &req);
}

/* accept() still returns it, like one that the client has ended. */
TEST_F(destroy, waiting_connection)
{
	__u32 channel;
	int listener = my_listener(_metadata, 1, &channel);
	int client = my_client(_metadata, channel);
	int server;

	ASSERT_EQ(0, destroy_peer(_metadata, client));
	expect_ended(_metadata, client, ECONNRESET);
	server = accept(listener, NULL, NULL);
	ASSERT_LE(0, server);
	expect_ended(_metadata, server, ECONNABORTED);
}

/* Nor is it told again when nobody has accepted it. */
TEST_F(destroy, waiting_connection_then_listener_closes)
{
	__u32 channel;
	int listener = my_listener(_metadata, 1, &channel);
	int client = my_client(_metadata, channel);

	ASSERT_EQ(0, destroy_peer(_metadata, client));
	EXPECT_EQ(ECONNRESET, try_recv(client));
	ASSERT_EQ(0, close(listener));
	EXPECT_EQ(0, try_recv(client));
}

FIXTURE(dgram)
{
	struct link link;
};

FIXTURE_SETUP(dgram)
{
	my_type = SOCK_DGRAM;
	link_make(_metadata, &self->link, SOCK_DGRAM, BY_ADDRESS);
}

FIXTURE_TEARDOWN(dgram)
{
	link_destroy(&self->link);
}

TEST_F(dgram, destroyed)
{
	int fd = self->link.fd[0];
	__u32 channel = my_channel(_metadata, fd);

	link_expect_send(_metadata, &self->link, 1, "abc");
	ASSERT_EQ(0, destroy(_metadata, fd));
	EXPECT_EQ(POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR,
		  poll_now(fd));
	expect_recv(_metadata, fd, "abc");
	EXPECT_EQ(ECONNABORTED, try_recv(fd));
	expect_eof(_metadata, fd);

	/* Nobody else is told, but who sends to it. */
	EXPECT_EQ(EAGAIN, try_recv(self->link.fd[1]));
	EXPECT_EQ(EPIPE, link_try_send(&self->link, 0));
	EXPECT_EQ(EPIPE, link_try_send(&self->link, 1));
	EXPECT_EQ(EADDRINUSE, err_of(my_bind(my_socket(_metadata), channel)));
}

TEST_F(dgram, unbound_destroyed)
{
	int fd = my_socket(_metadata);

	ASSERT_EQ(0, destroy(_metadata, fd));
	EXPECT_EQ(ECONNABORTED, try_recv(fd));
}

TEST_F(dgram, destroy_wakes)
{
	int fd[2];
	pid_t pid[3];

	my_connection(_metadata, fd);
	my_fill(_metadata, fd[0], 1000);
	pid[0] = fork_send(_metadata, fd[0]);
	ASSERT_EQ(0, destroy(_metadata, fd[1]));
	EXPECT_EQ(EPIPE, my_wait(pid[0]));

	my_connection(_metadata, fd);
	my_fill(_metadata, fd[0], 1000);
	pid[1] = fork_send(_metadata, fd[0]);
	pid[2] = fork_recv(_metadata, fd[0]);
	ASSERT_EQ(0, destroy(_metadata, fd[0]));
	EXPECT_EQ(EPIPE, my_wait(pid[1]));
	EXPECT_EQ(ECONNABORTED, my_wait(pid[2]));
}

/* Everything is destroyed while it is used, made and closed. */
static bool use_stop;

static void use_sockets(int type)
{
	int listener, client, server, fd[2];
	struct sockaddr_my addr;
	socklen_t len = sizeof(addr);
	char c;

	if (!socketpair(AF_MYPROTO, type | SOCK_NONBLOCK, 0, fd)) {
		send(fd[0], "x", 1, MSG_NOSIGNAL);
		recv(fd[1], &c, 1, 0);
		close(fd[0]);
		close(fd[1]);
	}
	listener = socket(AF_MYPROTO, type | SOCK_NONBLOCK, 0);
	client = socket(AF_MYPROTO, type | SOCK_NONBLOCK, 0);
	my_bind(listener, MYPROTO_CHANNEL_ANY);
	listen(listener, 5);
	getsockname(listener, (struct sockaddr *)&addr, &len);
	my_connect(client, addr.smy_channel);
	send(client, "x", 1, MSG_NOSIGNAL);
	server = accept(listener, NULL, NULL);
	recv(server, &c, 1, 0);
	close(listener);
	close(client);
	close(server);
}

static void *use(void *arg)
{
	while (!__atomic_load_n(&use_stop, __ATOMIC_RELAXED)) {
		use_sockets(SOCK_STREAM);
		use_sockets(SOCK_SEQPACKET);
		use_sockets(SOCK_DGRAM);
	}
	return NULL;
}

struct cookies {
	__u32 cookie[64][2];
	size_t count;
};

static bool keep_cookie(const struct told *told, void *data)
{
	struct cookies *all = data;

	if (all->count < ARRAY_SIZE(all->cookie))
		memcpy(all->cookie[all->count++], told->msg->mdiag_cookie,
		       sizeof(__u32[2]));
	return true;
}

/* Ends all that there are; returns how many that were */
static int destroy_all(struct __test_metadata *_metadata)
{
	struct myproto_diag_req req = dump_req();
	struct cookies cookies = {};
	int err, destroyed = 0;
	size_t i;

	EXPECT_LE(0, diag_dump(_metadata, &req, keep_cookie, &cookies));
	for (i = 0; i < cookies.count; i++) {
		req = one_req(0);
		memcpy(req.mdiag_cookie, cookies.cookie[i], sizeof(__u32[2]));
		err = destroy_req(_metadata, &req);
		destroyed += !err;
		/* Or it is closed by now, or its peer was ended. */
		if (err)
			EXPECT_EQ(ENOENT, err);
	}
	return destroyed;
}

TEST(destroy_in_use)
{
	struct myproto_diag_req all = dump_req();
	pthread_t thread[2];
	int round, fd[2];
	size_t i;

	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, use, NULL));
	for (round = 0; round < 100; round++) {
		/* Others may be gone before they are ended, not these. */
		my_socketpair(_metadata, fd);
		EXPECT_LT(0, destroy_all(_metadata));
		EXPECT_EQ(EPIPE, try_send(fd[0]));
		EXPECT_EQ(EPIPE, try_send(fd[1]));
		close(fd[0]);
		close(fd[1]);
	}
	__atomic_store_n(&use_stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
	EXPECT_EQ(0, diag_dump(_metadata, &all, count_all, NULL));
}

/* The module */

static bool can_load(void)
{
	char helper[256] = "";
	int fd = open("/proc/sys/kernel/modprobe", O_RDONLY);
	ssize_t n = read(fd, helper, sizeof(helper) - 1);

	close(fd);
	if (n <= 0)
		return false;
	helper[strcspn(helper, "\n")] = 0;
	return !access(helper, X_OK);
}

TEST(autoload)
{
	struct myproto_diag_req req = dump_req();

	if (geteuid())
		SKIP(return, "to unload a module needs root");
	if (access(MODULE "/initstate", F_OK))
		SKIP(return, "myproto_diag is built in");
	if (!can_load())
		SKIP(return, "no autoload");

	ASSERT_EQ(0, syscall(SYS_delete_module, "myproto_diag", O_NONBLOCK));
	ASSERT_NE(0, access(MODULE, F_OK));
	EXPECT_LE(0, diag_dump(_metadata, &req, count_all, NULL));
	EXPECT_EQ(0, access(MODULE "/initstate", F_OK));
}

/* errno of a dump, which loads the module */
static int probe(void)
{
	struct {
		struct nlmsghdr nlh;
		struct myproto_diag_req req;
	} msg = {
		.nlh = {
			.nlmsg_len = sizeof(msg),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		},
		.req = { .sdiag_family = AF_MYPROTO },
	};
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG), err;
	char buf[8192];
	struct nlmsghdr *nlh = (void *)buf;

	if (fd < 0)
		return errno;
	err = err_of(send(fd, &msg, sizeof(msg), 0));
	if (!err)
		err = err_of(recv(fd, buf, sizeof(buf), 0));
	if (!err && nlh->nlmsg_type == NLMSG_ERROR)
		err = -*(int *)NLMSG_DATA(nlh);
	close(fd);
	return err;
}

int main(int argc, char **argv)
{
	int err;

	/* Without the family there is no diag. */
	my_start();
	err = probe();
	if (err)
		ksft_exit_skip("%s: CONFIG_MYPROTO_DIAG not set?\n",
			       strerror(err));
	return test_harness_run(argc, argv);
}
