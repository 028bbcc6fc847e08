// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO and sock_diag: dumps and their filters, single sockets, what is
 * refused, and SOCK_DESTROY.
 */
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "destroy.h"
#include "link.h"
#include "many.h"
#include "pair.h"
#include "type.h"

#define MODULE		"/sys/module/myproto_diag"

#define SHOW_ALL	(MDIAG_SHOW_PEER | MDIAG_SHOW_RQLEN | \
			 MDIAG_SHOW_MEMINFO | MDIAG_SHOW_UID)

enum {
	ALL_TYPES = 1 << SOCK_STREAM | 1 << SOCK_DGRAM | 1 << SOCK_SEQPACKET,
	ALL_STATES = 1 << TCP_CLOSE | 1 << TCP_LISTEN | 1 << TCP_SYN_SENT |
		     1 << TCP_ESTABLISHED,
};

FIXTURE_VARIANT_ADD(type, dgram) { SOCK_DGRAM };
FIXTURE_VARIANT_ADD(pair, stream) { SOCK_STREAM, false };
FIXTURE_VARIANT_ADD(pair, seqpacket) { SOCK_SEQPACKET, false };

/* The sockets that the last answer told of */
static struct told {
	struct myproto_diag_msg msg;
	__u32 peer_channel, peer_ino, peer_cookie[2];
	__u32 rqueue, wqueue, meminfo[SK_MEMINFO_VARS], uid;
	int shown;	/* which attributes there were, as a mask */
} told[8192];

#define AT(field)	offsetof(struct told, field)

/* Where an attribute goes, and what asks for it */
static const struct {
	size_t offset;
	size_t len;
	__u32 show;
} attrs[] = {
	[MYPROTO_DIAG_PEER_CHANNEL] = { AT(peer_channel), 4, MDIAG_SHOW_PEER },
	[MYPROTO_DIAG_PEER_INO] = { AT(peer_ino), 4, MDIAG_SHOW_PEER },
	[MYPROTO_DIAG_PEER_COOKIE] = { AT(peer_cookie), 8, MDIAG_SHOW_PEER },
	[MYPROTO_DIAG_RQUEUE] = { AT(rqueue), 4, MDIAG_SHOW_RQLEN },
	[MYPROTO_DIAG_WQUEUE] = { AT(wqueue), 4, MDIAG_SHOW_RQLEN },
	[MYPROTO_DIAG_MEMINFO] = { AT(meminfo), sizeof(told->meminfo),
				   MDIAG_SHOW_MEMINFO },
	[MYPROTO_DIAG_UID] = { AT(uid), 4, MDIAG_SHOW_UID },
};

/* The attributes that @show asks for, as a mask */
static int attrs_of(__u32 show)
{
	int mask = 0, i;

	for (i = 1; i < ARRAY_SIZE(attrs); i++)
		if (show & attrs[i].show)
			mask |= 1 << i;
	return mask;
}

struct request {
	int type;
	int flags;
	size_t len;
	union {
		struct myproto_diag_req req;
		__u32 word[10];
	};
};

static struct request dump_req(void)
{
	return (struct request) {
		.type = SOCK_DIAG_BY_FAMILY,
		.flags = NLM_F_DUMP,
		.len = sizeof(struct myproto_diag_req),
		.req.sdiag_family = AF_MYPROTO,
		.req.mdiag_types = ALL_TYPES,
		.req.mdiag_states = ALL_STATES,
		.req.mdiag_show = SHOW_ALL,
	};
}

/* For one socket, with any cookie */
static struct request one_req(__u32 ino)
{
	return (struct request) {
		.type = SOCK_DIAG_BY_FAMILY,
		.len = sizeof(struct myproto_diag_req),
		.req.sdiag_family = AF_MYPROTO,
		.req.mdiag_ino = ino,
	};
}

static struct request cookie_req(const __u32 cookie[2])
{
	struct request r = one_req(0);

	memcpy(r.req.mdiag_cookie, cookie, sizeof(r.req.mdiag_cookie));
	return r;
}

static void parse(struct __test_metadata *_metadata,
		  const struct nlmsghdr *nlh, struct told *t)
{
	const char *p = NLMSG_DATA(nlh), *end = (char *)nlh + nlh->nlmsg_len;
	const struct nlattr *nla;
	int len;

	ASSERT_EQ(SOCK_DIAG_BY_FAMILY, nlh->nlmsg_type);
	memcpy(&t->msg, p, sizeof(t->msg));
	EXPECT_EQ(AF_MYPROTO, t->msg.mdiag_family);
	t->shown = 0;
	for (p += NLMSG_ALIGN(sizeof(t->msg)); p < end; p += NLA_ALIGN(len)) {
		nla = (void *)p;
		len = nla->nla_len;
		ASSERT_LT(0, nla->nla_type);
		ASSERT_GT(ARRAY_SIZE(attrs), nla->nla_type);
		ASSERT_EQ(NLA_HDRLEN + attrs[nla->nla_type].len, len)
			TH_LOG("attribute %d", nla->nla_type);
		memcpy((char *)t + attrs[nla->nla_type].offset, p + NLA_HDRLEN,
		       len - NLA_HDRLEN);
		t->shown |= 1 << nla->nla_type;
	}
}

/* The most to read at once, of which a dump makes its messages as long */
static size_t diag_read_len = 1 << 16;

/* Send a request and read what comes. Returns how many sockets @told has, or
 * the negative errno.
 */
static int diag(struct __test_metadata *_metadata, const struct request *r)
{
	int nl = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
	struct {
		struct nlmsghdr nlh;
		__u32 word[ARRAY_SIZE(r->word)];
	} out = {
		.nlh = {
			.nlmsg_len = NLMSG_LENGTH(r->len),
			.nlmsg_type = r->type,
			.nlmsg_flags = NLM_F_REQUEST | r->flags,
			.nlmsg_seq = 4711,
		},
	};
	static char buf[1 << 16];
	struct nlmsghdr *nlh;
	int left, count = 0;

	ASSERT_LE(0, nl);
	/* An answer that does not come is not to be waited for. */
	set_timeout(_metadata, nl, SO_RCVTIMEO, WAIT_MS);
	memcpy(out.word, r->word, sizeof(out.word));
	ASSERT_EQ(out.nlh.nlmsg_len, send(nl, &out, out.nlh.nlmsg_len, 0));
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
			ASSERT_GT(ARRAY_SIZE(told), count);
			parse(_metadata, nlh, &told[count++]);
			if (!(r->flags & NLM_F_DUMP))
				goto out;
		}
	}
out:
	close(nl);
	return count;
}

/* What a dump tells of @fd, NULL if nothing */
static struct told *find(struct __test_metadata *_metadata,
			 const struct request *r, int fd)
{
	int count = diag(_metadata, r), i;
	__u32 ino = inode(_metadata, fd);
	struct told *found = NULL;

	EXPECT_LE(0, count);
	for (i = 0; i < count; i++) {
		if (told[i].msg.mdiag_ino != ino)
			continue;
		EXPECT_EQ(NULL, found);
		found = &told[i];
	}
	return found;
}

static struct told *dumped(struct __test_metadata *_metadata, int fd)
{
	struct request r = dump_req();
	struct told *t = find(_metadata, &r, fd);

	ASSERT_NE(NULL, t);
	return t;
}

/* End the socket that @r names: 0 or the errno */
static int destroy_req(struct __test_metadata *_metadata, struct request r)
{
	r.type = SOCK_DESTROY;
	r.flags = NLM_F_ACK;
	return -diag(_metadata, &r);
}

static __u64 cookie_of(const __u32 half[2])
{
	return half[0] | (__u64)half[1] << 32;
}

/* A dump tells of @fd what other calls do, and of @peer, -1 if it has none. */
static struct told *expect_told(struct __test_metadata *_metadata, int fd,
				int state, int shutdown, int peer)
{
	struct told *t = dumped(_metadata, fd);
	__u32 show = peer < 0 ? SHOW_ALL & ~MDIAG_SHOW_PEER : SHOW_ALL;

	EXPECT_EQ(get_int_opt(_metadata, fd, SO_TYPE), t->msg.mdiag_type);
	EXPECT_EQ(state, t->msg.mdiag_state);
	EXPECT_EQ(shutdown, t->msg.mdiag_shutdown);
	EXPECT_EQ(my_channel(_metadata, fd), t->msg.mdiag_channel);
	EXPECT_EQ(cookie_opt(fd, SO_COOKIE), cookie_of(t->msg.mdiag_cookie));
	EXPECT_EQ(attrs_of(show), t->shown);
	EXPECT_EQ(mem_charged(_metadata, fd),
		  t->meminfo[SK_MEMINFO_RMEM_ALLOC]);
	EXPECT_EQ(get_int_opt(_metadata, fd, SO_RCVBUF),
		  t->meminfo[SK_MEMINFO_RCVBUF]);
	EXPECT_EQ(geteuid(), t->uid);
	if (peer >= 0) {
		EXPECT_EQ(my_peer(_metadata, fd), t->peer_channel);
		EXPECT_EQ(inode(_metadata, peer), t->peer_ino);
		EXPECT_EQ(cookie_opt(peer, SO_COOKIE),
			  cookie_of(t->peer_cookie));
	}
	return t;
}

TEST_F(type, shows)
{
	bool dgram = variant->type == SOCK_DGRAM;
	struct request r = dump_req();
	struct told *t;
	int fd[2], i;

	fd[0] = my_socket(_metadata);
	expect_told(_metadata, fd[0], TCP_CLOSE, 0, -1);
	ASSERT_EQ(0, my_bind(fd[0], 0xfffffff0));
	expect_told(_metadata, fd[0], TCP_CLOSE, 0, -1);

	my_connection(_metadata, fd);
	expect_send(_metadata, fd[0], "abcdefg");
	t = expect_told(_metadata, fd[0], TCP_ESTABLISHED, 0, fd[1]);
	EXPECT_EQ(0, t->rqueue);
	EXPECT_EQ(dgram ? 0 : 7, t->wqueue);
	t = expect_told(_metadata, fd[1], TCP_ESTABLISHED, 0, fd[0]);
	EXPECT_EQ(7, t->rqueue);
	EXPECT_EQ(0, t->wqueue);

	my_socketpair(_metadata, fd);
	expect_told(_metadata, fd[1], TCP_ESTABLISHED, 0, fd[0]);
	ASSERT_EQ(0, shutdown(fd[0], SHUT_RD));
	expect_told(_metadata, fd[0], TCP_ESTABLISHED, 1, fd[1]);
	expect_told(_metadata, fd[1], TCP_ESTABLISHED, dgram ? 0 : 2, fd[0]);
	ASSERT_EQ(0, shutdown(fd[0], SHUT_WR));
	expect_told(_metadata, fd[0], TCP_ESTABLISHED, 3, fd[1]);

	for (i = 0; i <= SHOW_ALL; i++) {
		r.req.mdiag_show = i;
		t = find(_metadata, &r, fd[0]);
		ASSERT_NE(NULL, t);
		EXPECT_EQ(attrs_of(i), t->shown);
	}
}

/* A connection that waits for accept() has no inode, but a peer that tells;
 * and what waits for room in the backlog knows where to, but has no peer yet.
 */
TEST_F(pair, shows_listener)
{
	struct request r = dump_req(), one;
	int fd, client[2], i;
	struct told *t;
	__u32 channel;

	fd = my_listener(_metadata, 0, &channel);
	for (i = 0; i < 2; i++) {
		client[i] = my_socket(_metadata);
		set_nonblock(_metadata, client[i]);
		EXPECT_EQ(i ? EINPROGRESS : 0,
			  err_of(my_connect(client[i], channel)));
	}
	t = expect_told(_metadata, fd, TCP_LISTEN, 0, -1);
	EXPECT_EQ(1, t->rqueue);
	EXPECT_EQ(0, t->wqueue);

	t = dumped(_metadata, client[0]);
	EXPECT_EQ(channel, t->peer_channel);
	EXPECT_EQ(0, t->peer_ino);
	one = cookie_req(t->peer_cookie);
	one.req.mdiag_show = SHOW_ALL;
	ASSERT_EQ(1, diag(_metadata, &one));
	EXPECT_EQ(0, told->msg.mdiag_ino);
	EXPECT_EQ(TCP_ESTABLISHED, told->msg.mdiag_state);
	EXPECT_EQ(channel, told->msg.mdiag_channel);
	EXPECT_EQ(inode(_metadata, client[0]), told->peer_ino);

	t = dumped(_metadata, client[1]);
	EXPECT_EQ(TCP_SYN_SENT, t->msg.mdiag_state);
	EXPECT_EQ(channel, t->peer_channel);
	EXPECT_EQ(attrs_of(SHOW_ALL & ~MDIAG_SHOW_PEER) |
		  1 << MYPROTO_DIAG_PEER_CHANNEL, t->shown);
	r.req.mdiag_states = 1 << TCP_SYN_SENT;
	EXPECT_NE(NULL, find(_metadata, &r, client[1]));
	EXPECT_EQ(NULL, find(_metadata, &r, fd));

	my_accept(_metadata, fd);
	ASSERT_EQ(0, listen(fd, 7));
	EXPECT_EQ(7, dumped(_metadata, fd)->wqueue);
	t = dumped(_metadata, client[1]);
	EXPECT_EQ(TCP_ESTABLISHED, t->msg.mdiag_state);
	EXPECT_EQ(attrs_of(SHOW_ALL), t->shown);
}

TEST(shows_uid)
{
	int fd, code;

	if (seteuid(1234))
		SKIP(return, "to become another user needs root");
	fd = my_socket(_metadata);
	ASSERT_EQ(0, seteuid(0));
	EXPECT_EQ(1234, dumped(_metadata, fd)->uid);

	/* Who does not know the user sees the overflow ID. */
	code = in_child(unshare(CLONE_NEWUSER) ? KSFT_SKIP :
			dumped(_metadata, fd)->uid != 65534);
	if (code == KSFT_SKIP)
		SKIP(return, "there are no user namespaces");
	EXPECT_EQ(0, code);
}

TEST_F(type, filters_and_netns)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
	static const int state[] = { TCP_CLOSE, TCP_ESTABLISHED, TCP_LISTEN };
	int fd[3], pair[2], count = variant->type == SOCK_DGRAM ? 2 : 3, i, j;
	struct request r = dump_req();
	__u32 channel;

	fd[0] = my_socket(_metadata);
	my_connection(_metadata, pair);
	fd[1] = pair[1];
	if (count == 3)
		fd[2] = my_listener(_metadata, 1, &channel);
	for (i = 0; i < 3; i++) {
		r.req.mdiag_types = 1 << types[i];
		EXPECT_EQ(variant->type == types[i],
			  !!find(_metadata, &r, fd[0]));
	}
	r.req.mdiag_types = 0;
	for (i = 0; i < 3; i++) {
		r.req.mdiag_states = 1 << state[i];
		for (j = 0; j < count; j++)
			EXPECT_EQ(i == j, !!find(_metadata, &r, fd[j]))
				TH_LOG("%d %d", i, j);
	}
	r.req.mdiag_states = 0;
	for (j = 0; j < count; j++)
		EXPECT_NE(NULL, find(_metadata, &r, fd[j]));

	r.req.mdiag_channel = my_channel(_metadata, pair[1]);
	EXPECT_EQ(NULL, find(_metadata, &r, pair[0]));
	EXPECT_NE(NULL, find(_metadata, &r, pair[1]));
	r.req.mdiag_channel--;
	EXPECT_EQ(NULL, find(_metadata, &r, pair[1]));

	/* From another namespace, none of them is seen. */
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	r = dump_req();
	EXPECT_EQ(0, diag(_metadata, &r));
	my_socket(_metadata);
	EXPECT_EQ(1, diag(_metadata, &r));
	r = one_req(inode(_metadata, pair[1]));
	EXPECT_EQ(-ENOENT, diag(_metadata, &r));
	EXPECT_EQ(ENOENT, destroy_req(_metadata, r));
	r = one_req(0);
	r.req.mdiag_channel = my_channel(_metadata, pair[1]);
	EXPECT_EQ(-ENOENT, diag(_metadata, &r));
}

/* By its inode, its channel, and its cookie alone */
TEST_F(type, get)
{
	struct request r;
	__u32 *half = r.req.mdiag_cookie;
	int fd, i, j, stale;

	for (i = 0; i < 3; i++) {
		stale = i == 2 ? -ENOENT : -ESTALE;
		fd = my_bound_socket(_metadata, 5000);
		r = one_req(i == 0 ? inode(_metadata, fd) : 0);
		r.req.mdiag_channel = i == 1 ? 5000 : 0;
		for (j = 0; j < 2; j++) {
			/* Any cookie will do, but one half is not enough. */
			half[0] = j ? MYPROTO_DIAG_NOCOOKIE : 0;
			half[1] = half[0];
			EXPECT_EQ(i == 2 ? -EINVAL : 1, diag(_metadata, &r));
			half[1]++;
			EXPECT_EQ(stale, diag(_metadata, &r));
		}

		memcpy(half, dumped(_metadata, fd)->msg.mdiag_cookie,
		       sizeof(__u32[2]));
		ASSERT_EQ(1, diag(_metadata, &r));
		EXPECT_EQ(inode(_metadata, fd), told->msg.mdiag_ino);
		EXPECT_EQ(5000, told->msg.mdiag_channel);
		EXPECT_EQ(variant->type, told->msg.mdiag_type);
		EXPECT_EQ(0, told->shown);
		for (j = 0; j < 2; j++) {
			half[j]++;
			EXPECT_EQ(stale, diag(_metadata, &r));
			half[j]--;
		}

		/* Another one takes its place. */
		close(fd);
		fd = my_bound_socket(_metadata, 5000);
		EXPECT_EQ(i == 1 ? -ESTALE : -ENOENT, diag(_metadata, &r));
		close(fd);
		EXPECT_EQ(-ENOENT, diag(_metadata, &r));
	}
}

/* Who looks at a socket, or past it, without its peer gives that no cookie. */
TEST(gives_no_cookies)
{
	struct request dump, one;
	int fd[2], proc, round, clean = 0;
	char buf[4096];
	cpu_set_t cpus;
	__u64 first;

	/* On one CPU each cookie is one more than the last. */
	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpus), &cpus));
	for (round = 0; round < 20; round++) {
		my_connection(_metadata, fd);
		first = cookie_opt(fd[1], SO_COOKIE);

		proc = open("/proc/net/myproto", O_RDONLY);
		ASSERT_LT(0, read(proc, buf, sizeof(buf)));
		close(proc);

		dump = dump_req();
		dump.req.mdiag_channel = 1;
		EXPECT_EQ(NULL, find(_metadata, &dump, fd[1]));
		dump.req.mdiag_show &= ~MDIAG_SHOW_PEER;
		dump.req.mdiag_channel = my_channel(_metadata, fd[1]);
		EXPECT_NE(NULL, find(_metadata, &dump, fd[1]));

		one = one_req(inode(_metadata, fd[1]));
		one.req.mdiag_show = SHOW_ALL & ~MDIAG_SHOW_PEER;
		EXPECT_EQ(1, diag(_metadata, &one));
		/* Nobody has this cookie, so all are looked at. */
		one = cookie_req((__u32[2]) { 1, ~0U });
		EXPECT_EQ(-ENOENT, diag(_metadata, &one));

		clean += cookie_opt(my_socket(_metadata), SO_COOKIE) ==
			 first + 1;
		close(fd[0]);
		close(fd[1]);
	}
	/* Others may get cookies meanwhile, but hardly each time. */
	EXPECT_LT(0, clean);
}

/* Whether the header says that it is answered */
static bool is_valid(const struct request *r)
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

static void expect_judged(struct __test_metadata *_metadata, struct request r)
{
	int ret;

	r.flags |= NLM_F_ACK;
	ret = diag(_metadata, &r);
	EXPECT_EQ(!is_valid(&r), ret == -EINVAL)
		TH_LOG("type %d flags %#x len %zu, %x %x %x %x %x %x %x: %d",
		       r.type, r.flags, r.len, r.word[0], r.word[1], r.word[2],
		       r.word[3], r.word[4], r.word[5], r.word[6], ret);
}

/* Requests of each kind with one bit changed, with another length, and with an
 * attribute, of which there are none for requests
 */
TEST(each_bit)
{
	static const __u16 nla_types[] = { 0, 1, MYPROTO_DIAG_UID, 0x3fff,
					   NLA_F_NESTED | 1 };
	struct nlattr nla = { .nla_len = NLA_HDRLEN + sizeof(__u32) };
	int fd = socket(AF_MYPROTO, SOCK_DGRAM, 0), i, j;
	struct request kind[6], r;

	kind[0] = dump_req();
	kind[1] = one_req(inode(_metadata, fd));
	kind[2] = one_req(0);
	kind[3] = kind[1];
	kind[3].type = SOCK_DESTROY;
	/* What is destroyed is one, even if NLM_F_DUMP comes with its name. */
	kind[4] = kind[3];
	kind[4].flags = NLM_F_DUMP;
	kind[5] = kind[0];
	memset(kind[5].req.mdiag_cookie, 0xff, sizeof(__u32[2]));
	for (i = 0; i < 6; i++) {
		for (j = 0; j < 8 * sizeof(r.req); j++) {
			r = kind[i];
			r.word[j / 32] ^= 1U << j % 32;
			if (r.req.sdiag_family == AF_MYPROTO)
				expect_judged(_metadata, r);
		}
		r = kind[i];
		for (j = 0; j < 16; j++) {
			r.flags = kind[i].flags ^ 1 << j;
			if (!((NLM_F_REQUEST | NLM_F_ACK) & 1 << j))
				expect_judged(_metadata, r);
		}
		r.flags = kind[i].flags;
		for (r.len = 2; r.len <= sizeof(r.word); r.len++)
			if (r.len != sizeof(r.req))
				expect_judged(_metadata, r);
		r.len = sizeof(r.req) + sizeof(nla) + sizeof(__u32);
		for (j = 0; j < ARRAY_SIZE(nla_types); j++) {
			nla.nla_type = nla_types[j];
			memcpy(&r.word[7], &nla, sizeof(nla));
			expect_judged(_metadata, r);
		}
	}
	EXPECT_EQ(EAGAIN, try_recv(fd));
}

TEST_F(many, each_once)
{
	struct request r = dump_req();
	int round, count, i, lasting;

	for (round = 0; round < 4; round++) {
		/* The least that programs are to read is 8 KiB. */
		diag_read_len = round % 2 ? 1 << 16 : 8192;
		count = diag(_metadata, &r);
		for (i = 0, lasting = 0; i < count; i++)
			lasting += lasting_shown(&self->lasting,
						 told[i].msg.mdiag_ino);
		EXPECT_EQ(LASTING, lasting);
		expect_each_once(_metadata, &self->lasting);
	}
}

/* Sockets that change */

/* Makes, connects, dissolves and closes a DGRAM socket on the channel 5000. */
static void *flip(void *arg)
{
	__u32 channel = *(__u32 *)arg;
	long count = 0;
	int fd, i;

	while (!__atomic_load_n(&churn_stop, __ATOMIC_RELAXED)) {
		fd = socket(AF_MYPROTO, SOCK_DGRAM, 0);
		my_bind(fd, 5000);
		for (i = 0; i < count % 8; i++) {
			my_connect(fd, channel);
			my_dissolve(fd);
		}
		close(fd);
		count++;
	}
	return (void *)count;
}

/* A record has the state that was asked for, and a peer just if it is
 * connected; and what is told of when asked for alone is there: it has an
 * inode. To meet a change takes many requests: as many as there is time for.
 */
TEST(while_it_changes)
{
	struct request dump = dump_req(), one = one_req(0);
	int round, i, state, count, seen = 0;
	long end = now_ms() + WAIT_MS;
	pthread_t thread;
	__u32 channel;
	void *flips;
	bool peer;

	my_type = SOCK_DGRAM;
	channel = my_channel(_metadata,
			     my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY));
	ASSERT_EQ(0, pthread_create(&thread, NULL, flip, &channel));
	one.req.mdiag_channel = 5000;
	for (round = 0; round < 5000 && now_ms() < end; round++) {
		count = diag(_metadata, &one);
		if (count == 1) {
			seen++;
			EXPECT_NE(0, told->msg.mdiag_ino);
		} else {
			ASSERT_EQ(-ENOENT, count);
		}

		state = round % 2 ? TCP_ESTABLISHED : TCP_CLOSE;
		dump.req.mdiag_states = 1 << state;
		count = diag(_metadata, &dump);
		/* The other socket does not change. */
		EXPECT_LE(state == TCP_CLOSE, count);
		for (i = 0; i < count; i++) {
			peer = told[i].shown & 1 << MYPROTO_DIAG_PEER_INO;
			ASSERT_EQ(state, told[i].msg.mdiag_state);
			ASSERT_EQ(state == TCP_ESTABLISHED, peer);
		}
	}
	__atomic_store_n(&churn_stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, &flips));
	EXPECT_NE(NULL, flips);
	EXPECT_LT(0, seen);
}

/* SOCK_DESTROY */

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

TEST_F(pair, destroy)
{
	int fd[2] = { self->fd[0], self->fd[1] }, i, round;
	struct request r;

	for (round = 0; round < 2; round++) {
		if (round)
			my_socketpair(_metadata, fd);
		r = one_req(inode(_metadata, fd[0]));
		/* Any cookie, in either way */
		memset(r.req.mdiag_cookie, round ? 0xff : 0, sizeof(__u32[2]));
		ASSERT_EQ(0, destroy_req(_metadata, r));
		/* As for who ends all that there are */
		EXPECT_EQ(ENOENT, my_destroy(fd[1]));
		expect_ended(_metadata, fd[0], ECONNABORTED);
		expect_ended(_metadata, fd[1], ECONNRESET);
		EXPECT_EQ(3, dumped(_metadata, fd[0])->msg.mdiag_shutdown);
		for (i = 0; i < 2; i++) {
			EXPECT_EQ(ENOENT, my_destroy(fd[i]));
			expect_eof(_metadata, fd[i]);
		}
	}

	my_socketpair(_metadata, fd);
	ASSERT_EQ(0, my_destroy(fd[0]));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(i ? ECONNRESET : ECONNABORTED,
			  get_int_opt(_metadata, fd[i], SO_ERROR));
		expect_eof(_metadata, fd[i]);
	}
}

/* What was sent before can be read. Each end is told once, though close() with
 * unread data would tell its peer, too.
 */
TEST_F(pair, destroy_with_unread_data)
{
	int *fd = self->fd;

	expect_send(_metadata, fd[0], "abc");
	expect_send(_metadata, fd[1], "def");
	ASSERT_EQ(0, my_destroy(fd[0]));
	expect_recv(_metadata, fd[1], "abc");
	EXPECT_EQ(ECONNRESET, try_recv(fd[1]));
	close(fd[0]);
	expect_eof(_metadata, fd[1]);

	/* The other is closed, with unread data, after this or before. */
	my_connection(_metadata, fd);
	expect_send(_metadata, fd[0], "abc");
	expect_send(_metadata, fd[1], "def");
	ASSERT_EQ(0, my_destroy(fd[0]));
	close(fd[1]);
	expect_recv(_metadata, fd[0], "def");
	expect_ended(_metadata, fd[0], ECONNABORTED);

	my_connection(_metadata, fd);
	expect_send(_metadata, fd[1], "abc");
	close(fd[1]);
	ASSERT_EQ(0, my_destroy(fd[0]));
	expect_recv(_metadata, fd[0], "abc");
	EXPECT_EQ(ECONNABORTED, try_recv(fd[0]));
}

enum { RECV, SEND, POLL };

static int wait_in(int call, int fd)
{
	char c = 'x';

	if (call == RECV)
		return err_of(recv(fd, &c, 1, 0));
	if (call == SEND)
		return err_of(send(fd, &c, 1, MSG_NOSIGNAL));
	return poll_for(fd, POLLRDHUP, WAIT_MS) !=
	       (POLLRDHUP | POLLHUP | POLLERR);
}

/* Of DGRAM the peer is not told, but one that waits for room is woken. */
TEST_F(type, destroy_wakes)
{
	static const int ret[][2] = {
		[RECV] = { ECONNABORTED, ECONNRESET },
		[SEND] = { EPIPE, EPIPE },
		[POLL] = { 0, 0 },
	};
	int fd[2], i, count, call;
	pid_t pid[2];

	for (call = RECV; call <= POLL; call++) {
		count = my_type == SOCK_DGRAM && call != SEND ? 1 : 2;
		my_connection(_metadata, fd);
		for (i = 0; i < count; i++) {
			if (call == SEND)
				my_fill(_metadata, fd[i], 1000);
			pid[i] = sleeping_child(wait_in(call, fd[i]));
		}
		ASSERT_EQ(0, my_destroy(fd[0]));
		for (i = 0; i < count; i++)
			EXPECT_EQ(ret[call][i], my_wait(pid[i]))
				TH_LOG("call %d, end %d", call, i);
	}
}

TEST_F(pair, destroy_refused)
{
	struct request r = one_req(inode(_metadata, self->fd[0]));
	int fd = my_bound_socket(_metadata, 5000), listener;
	__u32 channel;

	/* The cookie is that of the peer. */
	memcpy(r.req.mdiag_cookie,
	       dumped(_metadata, self->fd[1])->msg.mdiag_cookie,
	       sizeof(r.req.mdiag_cookie));
	EXPECT_EQ(ESTALE, destroy_req(_metadata, r));

	/* Another user may look at it, though. */
	EXPECT_EQ(EPERM, in_child(setresuid(1234, 1234, 1234) ||
				  !dumped(_metadata, self->fd[0]) ? 0 :
				  my_destroy(self->fd[0])));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[0]));

	/* There is nothing to end yet, and nothing comes of that. */
	EXPECT_EQ(ENOENT, my_destroy(fd));
	listener = my_listener(_metadata, 1, &channel);
	EXPECT_EQ(0, my_connect(fd, channel));
	my_accept(_metadata, listener);
	EXPECT_EQ(EAGAIN, try_recv(fd));
}

TEST_F(pair, destroy_listener)
{
	int listener = my_bound_socket(_metadata, 5000), client;
	pid_t pid;

	ASSERT_EQ(0, listen(listener, 0));
	pid = sleeping_child(err_of(accept(listener, NULL, NULL)));
	ASSERT_EQ(0, my_destroy(listener));
	EXPECT_EQ(EINVAL, my_wait(pid));

	/* It can begin anew. What nobody has accepted is closed with it. */
	ASSERT_EQ(0, listen(listener, 0));
	client = my_client(_metadata, 5000);
	pid = sleeping_child(err_of(my_connect(my_socket(_metadata), 5000)));
	ASSERT_EQ(0, my_destroy(listener));
	EXPECT_EQ(ECONNREFUSED, my_wait(pid));
	expect_ended(_metadata, client, ECONNRESET);
	EXPECT_EQ(POLLIN | POLLRDHUP | POLLHUP | POLLERR, poll_now(listener));
	EXPECT_EQ(EINVAL, err_of(accept(listener, NULL, NULL)));
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(my_socket(_metadata), 5000)));

	/* The channel is still its own. */
	EXPECT_EQ(EADDRINUSE, err_of(my_bind(my_socket(_metadata), 5000)));
	ASSERT_EQ(0, listen(listener, 1));
	EXPECT_EQ(0, poll_now(listener));
	EXPECT_EQ(0, dumped(_metadata, listener)->rqueue);
	client = my_client(_metadata, 5000);
	expect_exchange(_metadata, client, my_accept(_metadata, listener));
}

/* accept() still returns it, like one that the client has ended. And the client
 * is told once, if nobody accepts it, too.
 */
TEST_F(pair, destroy_waiting_connection)
{
	int listener, client, accepted;
	struct request r;
	__u32 channel;

	for (accepted = 0; accepted < 2; accepted++) {
		listener = my_listener(_metadata, 1, &channel);
		client = my_client(_metadata, channel);
		r = cookie_req(dumped(_metadata, client)->peer_cookie);
		ASSERT_EQ(0, destroy_req(_metadata, r));
		expect_ended(_metadata, client, ECONNRESET);
		if (accepted)
			expect_ended(_metadata, my_accept(_metadata, listener),
				     ECONNABORTED);
		close(listener);
		expect_eof(_metadata, client);
	}
}

TEST(destroy_dgram)
{
	struct link link;
	__u32 channel;
	int fd;

	my_type = SOCK_DGRAM;
	link_make(_metadata, &link, SOCK_DGRAM, BY_ADDRESS);
	fd = link.fd[0];
	channel = my_channel(_metadata, fd);
	link_expect_send(_metadata, &link, 1, "abc");
	ASSERT_EQ(0, my_destroy(fd));
	EXPECT_EQ(POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR,
		  poll_now(fd));
	expect_recv(_metadata, fd, "abc");
	EXPECT_EQ(ECONNABORTED, try_recv(fd));
	expect_eof(_metadata, fd);

	/* Nobody else is told, but who sends to it. */
	EXPECT_EQ(EAGAIN, try_recv(link.fd[1]));
	EXPECT_EQ(EPIPE, link_try_send(&link, 0));
	EXPECT_EQ(EPIPE, link_try_send(&link, 1));
	EXPECT_EQ(EADDRINUSE, err_of(my_bind(my_socket(_metadata), channel)));

	fd = my_socket(_metadata);
	ASSERT_EQ(0, my_destroy(fd));
	EXPECT_EQ(ECONNABORTED, try_recv(fd));
}

/* Makes a connection, or with DGRAM what comes of such calls. */
static void *use(void *arg)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	__u32 channel = (long)arg;
	int fd[3], i, j;
	char c;

	for (i = 0; !__atomic_load_n(&churn_stop, __ATOMIC_RELAXED); i++) {
		for (j = 0; j < 2; j++)
			fd[j] = socket(AF_MYPROTO, types[i % 3] | SOCK_NONBLOCK,
				       0);
		my_bind(fd[0], channel);
		listen(fd[0], 5);
		my_connect(fd[1], channel);
		send(fd[1], "x", 1, MSG_NOSIGNAL);
		fd[2] = accept(fd[0], NULL, NULL);
		recv(fd[2], &c, 1, 0);
		for (j = 0; j < 3; j++)
			close(fd[j]);
	}
	return NULL;
}

/* Everything is destroyed while it is used, made and closed. */
TEST(destroy_in_use)
{
	struct request all = dump_req(), r;
	int round, count, err, fd[2], i;
	pthread_t thread[2];

	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, use,
					    (void *)(5000L + i)));
	for (round = 0; round < 100; round++) {
		/* Others may be gone before they are ended, not these. */
		my_socketpair(_metadata, fd);
		count = diag(_metadata, &all);
		EXPECT_LE(2, count);
		while (count-- > 0) {
			r = cookie_req(told[count].msg.mdiag_cookie);
			err = destroy_req(_metadata, r);
			/* It may be closed by now, or its peer was ended. */
			if (err)
				EXPECT_EQ(ENOENT, err);
		}
		EXPECT_EQ(EPIPE, try_send(fd[0]));
		EXPECT_EQ(EPIPE, try_send(fd[1]));
		close(fd[0]);
		close(fd[1]);
	}
	__atomic_store_n(&churn_stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
	EXPECT_EQ(0, diag(_metadata, &all));
}

TEST(autoload)
{
	struct request r = dump_req();

	if (access(MODULE "/initstate", F_OK))
		SKIP(return, "myproto_diag is built in");
	if (access("/sbin/modprobe", X_OK))
		SKIP(return, "no autoload");

	ASSERT_EQ(0, syscall(SYS_delete_module, "myproto_diag", O_NONBLOCK));
	ASSERT_NE(0, access(MODULE, F_OK));
	EXPECT_LE(0, diag(_metadata, &r));
	EXPECT_EQ(0, access(MODULE "/initstate", F_OK));
}

int main(int argc, char **argv)
{
	int fd, err;

	/* This loads the module of the family, and that of diag. */
	fd = socket(AF_MYPROTO, SOCK_DGRAM, 0);
	err = my_destroy(fd);
	close(fd);
	if (err)
		ksft_exit_skip("%s: CONFIG_MYPROTO_DIAG not set?\n",
			       strerror(err));
	return test_harness_run(argc, argv);
}

#include "cmsg.h"

/* Send the only descriptor of a pipe's end for writing; returns the other. */
static int send_pipe(struct __test_metadata *_metadata, int sock)
{
	struct link link = { .fd = { sock } };
	int fd[2];

	ASSERT_EQ(0, pipe(fd));
	EXPECT_EQ(1, send_cmsg(&link, "a", SOL_SOCKET, SCM_RIGHTS, &fd[1],
			       sizeof(fd[1])));
	close(fd[1]);
	EXPECT_EQ(0, poll_for(fd[0], POLLIN, 0));
	return fd[0];
}

/* Descriptors are there as long as the data. */
TEST_F(pair, destroy_with_descriptors)
{
	int pipe[3], *in, i, listener;
	struct got got;
	__u32 channel;

	set_int_opt(_metadata, self->fd[1], SO_PASSRIGHTS, 1);
	for (i = 0; i < 2; i++)
		pipe[i] = send_pipe(_metadata, self->fd[0]);
	ASSERT_EQ(0, my_destroy(self->fd[0]));
	in = expect_cmsg(_metadata, self->fd[1], "a", 0, &got, SCM_RIGHTS,
			 sizeof(int));
	ASSERT_NE(NULL, in);
	close(*in);
	EXPECT_EQ(POLLHUP, poll_for(pipe[0], POLLIN, WAIT_MS));
	EXPECT_EQ(0, poll_for(pipe[1], POLLIN, 0));
	close_end(&self->fd[1]);
	EXPECT_EQ(POLLHUP, poll_for(pipe[1], POLLIN, WAIT_MS));

	listener = my_listener(_metadata, 0, &channel);
	set_int_opt(_metadata, listener, SO_PASSRIGHTS, 1);
	pipe[2] = send_pipe(_metadata, my_client(_metadata, channel));
	ASSERT_EQ(0, my_destroy(listener));
	EXPECT_EQ(POLLHUP, poll_for(pipe[2], POLLIN, WAIT_MS));
}
