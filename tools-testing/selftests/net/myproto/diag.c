// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO and sock_diag: dumps and their filters, single sockets, what is
 * refused, and SOCK_DESTROY.
 */
#include <netinet/tcp.h>
#include <stddef.h>

#include "destroy.h"
#include "link.h"
#include "many.h"
#include "pair.h"
#include "type.h"

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
	size_t offset, len;
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

static struct request dump_req(void)
{
	struct request r = one_req(0, NULL);

	r.nlh.nlmsg_flags |= NLM_F_DUMP;
	r.req.mdiag_show = SHOW_ALL;
	return r;
}

static void parse(struct __test_metadata *_metadata,
		  const struct nlmsghdr *nlh, struct told *t)
{
	const char *p = NLMSG_DATA(nlh), *end = (char *)nlh + nlh->nlmsg_len;
	const struct nlattr *nla;

	ASSERT_EQ(SOCK_DIAG_BY_FAMILY, nlh->nlmsg_type);
	memcpy(&t->msg, p, sizeof(t->msg));
	EXPECT_EQ(AF_MYPROTO, t->msg.mdiag_family);
	t->shown = 0;
	for (p += sizeof(t->msg); p < end; p += NLA_ALIGN(nla->nla_len)) {
		nla = (void *)p;
		ASSERT_GT(ARRAY_SIZE(attrs), nla->nla_type);
		ASSERT_EQ(NLA_HDRLEN + attrs[nla->nla_type].len, nla->nla_len);
		memcpy((char *)t + attrs[nla->nla_type].offset, p + NLA_HDRLEN,
		       attrs[nla->nla_type].len);
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
	bool dump = r->nlh.nlmsg_flags & NLM_F_DUMP, more = true;
	static char buf[1 << 16];
	struct nlmsghdr *nlh;
	int left, count = 0;

	ASSERT_EQ(r->nlh.nlmsg_len, send(nl, r, r->nlh.nlmsg_len, 0));
	while (more) {
		left = recv(nl, buf, diag_read_len, 0);
		ASSERT_LT(0, left);
		for (nlh = (void *)buf; more && NLMSG_OK(nlh, left);
		     nlh = NLMSG_NEXT(nlh, left)) {
			EXPECT_EQ(4711, nlh->nlmsg_seq);
			more = dump && nlh->nlmsg_type == SOCK_DIAG_BY_FAMILY;
			if (nlh->nlmsg_type == NLMSG_ERROR)
				count = *(int *)NLMSG_DATA(nlh);
			else if (nlh->nlmsg_type != NLMSG_DONE)
				parse(_metadata, nlh, &told[count++]);
		}
	}
	close(nl);
	return count;
}

/* What a dump tells of @fd, NULL if nothing */
static struct told *find(struct __test_metadata *_metadata,
			 const struct request *r, int fd)
{
	int count = diag(_metadata, r);
	__u32 ino = inode(_metadata, fd);

	EXPECT_LE(0, count);
	while (count-- > 0)
		if (told[count].msg.mdiag_ino == ino)
			return &told[count];
	return NULL;
}

static struct told *dumped(struct __test_metadata *_metadata, int fd)
{
	struct request r = dump_req();
	struct told *t = find(_metadata, &r, fd);

	ASSERT_NE(NULL, t);
	return t;
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

	EXPECT_EQ(my_type, t->msg.mdiag_type);
	EXPECT_EQ(state, t->msg.mdiag_state);
	EXPECT_EQ(shutdown, t->msg.mdiag_shutdown);
	EXPECT_EQ(my_channel(_metadata, fd), t->msg.mdiag_channel);
	EXPECT_EQ(cookie_opt(fd, SO_COOKIE), cookie_of(t->msg.mdiag_cookie));
	EXPECT_EQ(attrs_of(show), t->shown);
	EXPECT_EQ(get_int_opt(_metadata, fd, SO_RCVBUF),
		  t->meminfo[SK_MEMINFO_RCVBUF]);
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
	ASSERT_EQ(0, shutdown(fd[0], SHUT_RD));
	expect_told(_metadata, fd[0], TCP_ESTABLISHED, 1, fd[1]);
	expect_told(_metadata, fd[1], TCP_ESTABLISHED, dgram ? 0 : 2, fd[0]);

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
TEST_F(pair, shows_listener_and_filters)
{
	static const int state[] = { TCP_CLOSE, TCP_ESTABLISHED, TCP_LISTEN,
				     TCP_SYN_SENT };
	int fd[4] = { -1, self->fd[1] }, client, i;
	struct request r = dump_req();
	struct told *t;
	__u32 channel;

	fd[2] = my_listener(_metadata, 0, &channel);
	expect_told(_metadata, fd[2], TCP_LISTEN, 0, -1);
	client = my_client(_metadata, channel);
	fd[3] = my_socket(_metadata);
	set_nonblock(_metadata, fd[3]);
	EXPECT_EQ(EINPROGRESS, err_of(my_connect(fd[3], channel)));
	/* The other end that it has made is not seen yet. */
	r.req.mdiag_states = 1 << TCP_CLOSE;
	EXPECT_EQ(0, diag(_metadata, &r));
	t = dumped(_metadata, fd[2]);
	EXPECT_EQ(1, t->rqueue);
	EXPECT_EQ(0, t->wqueue);
	t = dumped(_metadata, fd[3]);
	EXPECT_EQ(channel, t->peer_channel);
	EXPECT_EQ(attrs_of(SHOW_ALL & ~MDIAG_SHOW_PEER) |
		  1 << MYPROTO_DIAG_PEER_CHANNEL, t->shown);

	fd[0] = my_socket(_metadata);
	for (i = 0; i < 4; i++) {
		r.req.mdiag_states = ALL_STATES & ~(1 << state[i]);
		EXPECT_EQ(NULL, find(_metadata, &r, fd[i]));
		r.req.mdiag_states = 1 << state[i];
		t = find(_metadata, &r, fd[i]);
		ASSERT_NE(NULL, t);
		EXPECT_EQ(state[i], t->msg.mdiag_state);
	}
	r.req.mdiag_states = 0;
	r.req.mdiag_types = ALL_TYPES & ~(1 << my_type);
	EXPECT_EQ(NULL, find(_metadata, &r, fd[0]));
	r.req.mdiag_types = 1 << my_type;
	EXPECT_NE(NULL, find(_metadata, &r, fd[0]));

	t = dumped(_metadata, client);
	EXPECT_EQ(channel, t->peer_channel);
	EXPECT_EQ(0, t->peer_ino);
	EXPECT_NE(cookie_opt(fd[2], SO_COOKIE), cookie_of(t->peer_cookie));
	r = one_req(0, t->peer_cookie);
	r.req.mdiag_show = SHOW_ALL;
	ASSERT_EQ(1, diag(_metadata, &r));
	EXPECT_EQ(0, told->msg.mdiag_ino);
	EXPECT_EQ(TCP_ESTABLISHED, told->msg.mdiag_state);
	EXPECT_EQ(channel, told->msg.mdiag_channel);
	EXPECT_EQ(inode(_metadata, client), told->peer_ino);
}

static __u32 shown_uid(struct __test_metadata *_metadata, int fd)
{
	return dumped(_metadata, fd)->uid;
}

/* By its inode, its channel, and its cookie alone */
TEST(get)
{
	struct request dump = dump_req(), r;
	__u32 *half = r.req.mdiag_cookie;
	int fd, i, j, stale;

	for (i = 0; i < 3; i++) {
		stale = i == 2 ? -ENOENT : -ESTALE;
		fd = my_bound_socket(_metadata, 5000);
		r = one_req(i == 0 ? inode(_metadata, fd) : 0, NULL);
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
		for (j = 0; j < 2; j++) {
			half[j]++;
			EXPECT_EQ(stale, diag(_metadata, &r));
			half[j]--;
		}
		ASSERT_EQ(1, diag(_metadata, &r));
		EXPECT_EQ(inode(_metadata, fd), told->msg.mdiag_ino);
		EXPECT_EQ(0, told->shown);

		/* From another namespace it is not seen. */
		ASSERT_EQ(0, unshare(CLONE_NEWNET));
		EXPECT_EQ(0, diag(_metadata, &dump));
		EXPECT_EQ(-ENOENT, diag(_metadata, &r));
		EXPECT_EQ(ENOENT, destroy_req(r));
		/* Another one takes its place. */
		close(fd);
		fd = my_bound_socket(_metadata, 5000);
		EXPECT_EQ(i == 1 ? -ESTALE : -ENOENT, diag(_metadata, &r));
		close(fd);
	}
}

/* Who looks at a socket, or past it, without its peer gives that no cookie. */
TEST(gives_no_cookies)
{
	bool clean = false;
	struct request r;
	int fd[2], round;
	cpu_set_t cpus;
	__u64 next;

	/* On one CPU each cookie is one more than the last. */
	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpus), &cpus));
	/* Others may get cookies meanwhile, but hardly each time. */
	for (round = 0; round < 20 && !clean; round++) {
		my_connection(_metadata, fd);
		next = cookie_opt(fd[1], SO_COOKIE) + 1;
		/* This reads all lines. */
		proc_number("/proc/net/myproto", "none");

		r = dump_req();
		r.req.mdiag_channel = 1;
		EXPECT_EQ(NULL, find(_metadata, &r, fd[1]));
		r.req.mdiag_show &= ~MDIAG_SHOW_PEER;
		r.req.mdiag_channel = my_channel(_metadata, fd[1]);
		EXPECT_NE(NULL, find(_metadata, &r, fd[1]));

		r = one_req(inode(_metadata, fd[1]), NULL);
		r.req.mdiag_show = SHOW_ALL & ~MDIAG_SHOW_PEER;
		EXPECT_EQ(1, diag(_metadata, &r));
		/* Nobody has this cookie, so all are looked at. */
		r = one_req(0, (__u32[2]) { 1, ~0U });
		EXPECT_EQ(-ENOENT, diag(_metadata, &r));
		clean = cookie_opt(my_socket(_metadata), SO_COOKIE) == next;
	}
	EXPECT_TRUE(clean);
}

/* Whether the header says that it is answered */
static bool is_valid(const struct request *r)
{
	int flags = r->nlh.nlmsg_flags & ~(NLM_F_REQUEST | NLM_F_ACK);
	const struct myproto_diag_req *req = &r->req;
	const __u32 *half = req->mdiag_cookie;
	bool any = half[0] == half[1] && (!half[0] || !~half[0]);

	if (r->nlh.nlmsg_len != NLMSG_LENGTH(sizeof(*req)) ||
	    (flags && flags != NLM_F_DUMP) || req->sdiag_protocol ||
	    req->mdiag_types & ~ALL_TYPES || req->mdiag_states & ~ALL_STATES ||
	    req->mdiag_show & ~SHOW_ALL)
		return false;
	if (r->nlh.nlmsg_type == SOCK_DESTROY && (flags || req->mdiag_show))
		return false;
	if (flags)
		return !req->mdiag_ino && any;
	return !req->mdiag_types && !req->mdiag_states &&
	       !(req->mdiag_ino && req->mdiag_channel) &&
	       (req->mdiag_ino || req->mdiag_channel || !any);
}

static void expect_judged(struct __test_metadata *_metadata, struct request r)
{
	int ret;

	r.nlh.nlmsg_flags |= NLM_F_ACK;
	ret = diag(_metadata, &r);
	EXPECT_EQ(!is_valid(&r), ret == -EINVAL)
		TH_LOG("%d: type %d flags %#x len %u, %x %x %x %x %x %x", ret,
		       r.nlh.nlmsg_type, r.nlh.nlmsg_flags, r.nlh.nlmsg_len,
		       r.word[0], r.word[1], r.word[2], r.word[3], r.word[4],
		       r.word[5]);
}

/* Requests of each kind with one bit changed, with another length, and with an
 * attribute, of which there are none for requests
 */
TEST(each_bit)
{
	struct request kind[6] = { dump_req(), dump_req() }, r;
	__u64 cookie;
	int fd, i, j;

	my_type = SOCK_DGRAM;
	/* A cookie of one bit would be among the changes. */
	do {
		fd = my_socket(_metadata);
		cookie = cookie_opt(fd, SO_COOKIE);
	} while (!(cookie & (cookie - 1)));
	memset(kind[1].req.mdiag_cookie, 0xff, sizeof(__u32[2]));
	kind[2] = one_req(0, NULL);
	kind[3] = one_req(inode(_metadata, fd), NULL);
	kind[4] = kind[3];
	kind[4].nlh.nlmsg_type = SOCK_DESTROY;
	/* What is destroyed is one, even if NLM_F_DUMP comes with its name. */
	kind[5] = kind[4];
	kind[5].nlh.nlmsg_flags |= NLM_F_DUMP;
	for (i = 0; i < 6; i++) {
		for (j = 0; j < 8 * sizeof(r.req); j++) {
			r = kind[i];
			r.word[j / 32] ^= 1U << j % 32;
			if (r.req.sdiag_family == AF_MYPROTO)
				expect_judged(_metadata, r);
		}
		r = kind[i];
		for (j = 0; j < 16; j++) {
			r.nlh.nlmsg_flags = kind[i].nlh.nlmsg_flags ^ 1 << j;
			if (!((NLM_F_REQUEST | NLM_F_ACK) & 1 << j))
				expect_judged(_metadata, r);
		}
		r = kind[i];
		r.nla.nla_len = NLA_HDRLEN + sizeof(__u32);
		r.nla.nla_type = MYPROTO_DIAG_UID;
		for (j = 2; j <= sizeof(r.word); j++) {
			r.nlh.nlmsg_len = NLMSG_LENGTH(j);
			if (j != sizeof(r.req))
				expect_judged(_metadata, r);
		}
	}
	EXPECT_EQ(EAGAIN, try_recv(fd));
}

static void show_all(struct __test_metadata *_metadata)
{
	struct request r = dump_req();
	int count;

	/* In turn, the least that programs are to read, and more */
	diag_read_len = diag_read_len == 8192 ? 1 << 16 : 8192;
	count = diag(_metadata, &r);
	while (count-- > 0)
		many_shown(told[count].msg.mdiag_ino);
}

/* Makes, connects, dissolves and closes sockets on the channel 5000. */
static void *flip(void *arg)
{
	__u32 channel = *(__u32 *)arg;
	int fd, i, n = 0;

	for (;;) {
		fd = socket(AF_MYPROTO, SOCK_DGRAM, 0);
		my_bind(fd, 5000);
		for (i = 0; i < n; i++) {
			my_connect(fd, channel);
			my_dissolve(fd);
		}
		close(fd);
		n = (n + 1) % 8;
	}
	return NULL;
}

/* A record has the state that was asked for, and a peer just if it is
 * connected; and what is told of when asked for alone is there: it has an
 * inode. To meet a change takes many requests: as many as there is time for.
 */
TEST(while_it_changes)
{
	struct request dump = dump_req(), one = one_req(0, NULL);
	int round, i, state, count, seen = 0;
	long end = now_ms() + WAIT_MS;
	pthread_t thread;
	__u32 channel;
	bool peer;

	type_bound(_metadata, SOCK_DGRAM, &channel);
	ASSERT_EQ(0, pthread_create(&thread, NULL, flip, &channel));
	one.req.mdiag_channel = 5000;
	for (round = 0; round < 5000 && now_ms() < end; round++) {
		count = diag(_metadata, &one);
		ASSERT_TRUE(count == 1 || count == -ENOENT);
		if (count == 1) {
			seen++;
			EXPECT_NE(0, told->msg.mdiag_ino);
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

/* What was sent before can be read. Each end is told once, though close() with
 * unread data would tell its peer, too. Of DGRAM the peer is not told, but it
 * can send no more.
 */
TEST_F(type, destroy)
{
	enum { OWN, PEER, PEER_BEFORE } closed;
	int fd[2];

	for (closed = OWN; closed <= PEER_BEFORE; closed++) {
		my_connection(_metadata, fd);
		expect_send(_metadata, fd[0], "abc");
		expect_send(_metadata, fd[1], "def");
		if (closed == PEER_BEFORE)
			close(fd[1]);
		ASSERT_EQ(0, destroy_req(one_req(inode(_metadata, fd[0]),
						 NULL)));
		if (closed == PEER)
			close(fd[1]);
		if (closed != OWN) {
			expect_recv(_metadata, fd[0], "def");
			expect_ended(_metadata, fd[0], ECONNABORTED);
			EXPECT_EQ(ENOENT, my_destroy(fd[0]));
			expect_eof(_metadata, fd[0]);
			continue;
		}

		expect_recv(_metadata, fd[1], "abc");
		if (my_type == SOCK_DGRAM) {
			EXPECT_EQ(EAGAIN, try_recv(fd[1]));
			EXPECT_EQ(EPIPE, try_send(fd[1]));
			continue;
		}
		EXPECT_EQ(ENOENT, my_destroy(fd[1]));
		expect_ended(_metadata, fd[1], ECONNRESET);
		close(fd[0]);
		expect_eof(_metadata, fd[1]);
	}
}

/* Of DGRAM the peer is not told, but one that waits for room is woken. */
TEST_F(type, destroy_wakes)
{
	int fd[2], i, count, sends;
	pid_t pid[2];
	char c = 'x';

	for (sends = 0; sends < 2; sends++) {
		count = my_type == SOCK_DGRAM && !sends ? 1 : 2;
		my_connection(_metadata, fd);
		for (i = 0; i < count; i++) {
			if (sends)
				my_fill(_metadata, fd[i], 1000);
			pid[i] = sleeping_child(err_of(sends ?
					send(fd[i], &c, 1, MSG_NOSIGNAL) :
					recv(fd[i], &c, 1, 0)));
		}
		ASSERT_EQ(0, my_destroy(fd[0]));
		for (i = 0; i < count; i++)
			EXPECT_EQ(sends ? EPIPE : i ? ECONNRESET : ECONNABORTED,
				  my_wait(pid[i]));
	}
}

TEST_F(pair, destroy_refused)
{
	int fd = my_socket(_metadata);

	/* Another user may look at it, though. */
	EXPECT_EQ(EPERM, in_child(setresuid(1234, 1234, 1234) ||
				  !dumped(_metadata, self->fd[0]) ? 0 :
				  my_destroy(self->fd[0])));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[0]));

	/* There is nothing to end yet, and nothing comes of that. */
	EXPECT_EQ(ENOENT, my_destroy(fd));
	EXPECT_EQ(POLLOUT | POLLHUP, poll_now(fd));
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
	ASSERT_EQ(0, my_destroy(listener));
	expect_ended(_metadata, client, ECONNRESET);
	EXPECT_EQ(POLLIN | POLLRDHUP | POLLHUP | POLLERR, poll_now(listener));
	EXPECT_EQ(EINVAL, err_of(accept(listener, NULL, NULL)));
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(my_socket(_metadata), 5000)));

	/* The channel is still its own. */
	EXPECT_EQ(EADDRINUSE, err_of(my_bind(my_socket(_metadata), 5000)));
	ASSERT_EQ(0, listen(listener, 1));
	EXPECT_EQ(0, poll_now(listener));
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
		r = one_req(0, dumped(_metadata, client)->peer_cookie);
		ASSERT_EQ(0, destroy_req(r));
		expect_ended(_metadata, client, ECONNRESET);
		if (accepted)
			expect_ended(_metadata, my_accept(_metadata, listener),
				     ECONNABORTED);
		close(listener);
		expect_eof(_metadata, client);
	}
}

static bool stop;

/* Makes a connection, or with DGRAM what comes of such calls. */
static void *use(void *arg)
{
	static const int types[] = { SOCK_DGRAM, SOCK_STREAM, SOCK_SEQPACKET };
	__u32 channel = (long)arg;
	int fd[3], i, j;
	char c;

	for (i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
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
		while (count-- > 0) {
			r = one_req(0, told[count].msg.mdiag_cookie);
			err = destroy_req(r);
			/* It may be closed by now, or its peer was ended. */
			EXPECT_EQ(err ? ENOENT : 0, err);
		}
		EXPECT_EQ(EPIPE, try_send(fd[0]));
		EXPECT_EQ(EPIPE, try_send(fd[1]));
		close(fd[0]);
		close(fd[1]);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
	EXPECT_EQ(0, diag(_metadata, &all));
}

TEST(autoload)
{
	struct request r = dump_req();

	if (access("/sys/module/myproto_diag/initstate", F_OK))
		SKIP(return, "myproto_diag is built in");
	if (access("/sbin/modprobe", X_OK))
		SKIP(return, "no autoload");

	ASSERT_EQ(0, syscall(SYS_delete_module, "myproto_diag", O_NONBLOCK));
	EXPECT_LE(0, diag(_metadata, &r));
}

int main(int argc, char **argv)
{
	/* This loads the module of the family, and that of diag. */
	int fd = socket(AF_MYPROTO, SOCK_DGRAM, 0), err = my_destroy(fd);

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
