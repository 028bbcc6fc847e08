// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO messages, which SEQPACKET and DGRAM have in common: boundaries,
 * lengths, flags, what a full receiver does to its senders, and what poll()
 * says about it. Then what each of the two types has of its own.
 */
#include <sys/mman.h>

#define ANY_MESSAGE
#include "any.h"
#include "worker.h"

/* More than a page on any machine, and a multiple of each page size */
#define PAGE_LEN	0x10000

/* No message is ever longer. */
#define LONGEST		(512 << 10)

/* What is sent where only the length matters */
static char big[BIG];

#define IN_OUT		(POLLIN | POLLOUT)
#define END		(POLLIN | POLLRDHUP)
#define HUP		(END | POLLHUP)

FIXTURE_VARIANT_ADD(any, seqpacket_socketpair) { SOCK_SEQPACKET, BY_PAIR };

/* recvmsg() of at most @len bytes; what it returns, and its msg_flags */
static ssize_t recv_flags(int fd, void *buf, size_t len, int flags,
			  int *msg_flags)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_flags = -1,
	};
	ssize_t n = recvmsg(fd, &msg, flags);

	*msg_flags = msg.msg_flags & ~MSG_CMSG_CLOEXEC;
	return n;
}

/* With an event for each message, also for those without a byte */
TEST_F(any, boundaries_and_order)
{
	static const char * const texts[] = { "a", "", "bcd", "", "", "ef" };
	int to = self->link.fd[1], edge, level, i, n;
	struct link *link = &self->link;

	edge = make_epoll(_metadata, to, EPOLLIN | EPOLLET);
	level = make_epoll(_metadata, to, EPOLLIN);
	EXPECT_EQ(POLLOUT, poll_now(to));
	link_expect_send(_metadata, link, 1, "back");
	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		EXPECT_EQ(0, next_event(edge, 0));
		n = strlen(texts[i]);
		EXPECT_EQ(n, link_send(link, 0, texts[i], n,
				       i % 2 ? MSG_MORE : 0));
		EXPECT_EQ(EPOLLIN, next_event(edge, 0));
	}
	for (i = 0; i < 100; i++)
		ASSERT_EQ(4, link_send(link, 0, &i, 4, MSG_DONTWAIT));

	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		EXPECT_EQ(EPOLLIN, next_event(level, 0));
		EXPECT_EQ(IN_OUT, poll_now(to));
		expect_recv(_metadata, to, texts[i]);
	}
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(4, recv(to, &n, 4, MSG_DONTWAIT));
		ASSERT_EQ(i, n);
	}
	expect_nothing(_metadata, to);
	EXPECT_EQ(EAGAIN, err_of(recv(to, &n, 4, MSG_PEEK | MSG_DONTWAIT)));
	EXPECT_EQ(0, next_event(level, 0));
	expect_recv(_metadata, link->fd[0], "back");
	EXPECT_EQ(EAGAIN, try_recv(link->fd[0]));
}

/* The MSG_EOR that comes with a message sent with @flags: DGRAM has none. */
static int eor_of(const struct link *link, int flags)
{
	return link->type == SOCK_SEQPACKET ? flags & MSG_EOR : 0;
}

/* Send @len bytes; receive with room to spare, with exact room, cut to half */
static void expect_passes(struct __test_metadata *_metadata,
			  struct link *link, size_t len)
{
	char *out = malloc(len + 1), *in = malloc(len + 100);
	ssize_t rooms[] = { len + 100, len, len / 2 }, n;
	int flags, i;

	ASSERT_TRUE(out && in);
	fill_pattern(out, len, len);
	for (i = 0; i < 3; i++) {
		memset(in, 0, len);
		n = link_send(link, 0, out, len, MSG_DONTWAIT | MSG_EOR);
		EXPECT_EQ((ssize_t)len, n)
			TH_LOG("length %zu: %s", len, strerror(errno));
		n = recv_flags(link->fd[1], in, rooms[i],
			       MSG_TRUNC | MSG_DONTWAIT, &flags);
		EXPECT_EQ((ssize_t)len, n);
		if (n > rooms[i])
			n = rooms[i];
		EXPECT_EQ((n < len ? MSG_TRUNC : 0) | eor_of(link, MSG_EOR),
			  flags);
		EXPECT_EQ(0, memcmp(out, in, n));
		expect_nothing(_metadata, link->fd[1]);
	}
	free(out);
	free(in);
}

TEST_F(any, lengths)
{
	static const size_t lens[] = { 1500, 9001, 50000, 100003, 200001 };
	size_t page = sysconf(_SC_PAGESIZE), n, i;
	struct link *link = &self->link;

	for (n = 0; n <= 130; n++)
		expect_passes(_metadata, link, n);
	for (n = page / 2; n <= LONGEST / 4; n *= 2)
		for (i = 0; i < 5; i++)
			expect_passes(_metadata, link, n - 2 + i);
	/* What does not fit in a page together with what the kernel adds */
	for (n = 1; n <= 9; n += 4)
		for (i = 32; i < 800; i += 64)
			expect_passes(_metadata, link, n * page - i);
	for (i = 0; i < ARRAY_SIZE(lens); i++)
		expect_passes(_metadata, link, lens[i]);
}

/* MYPROTO_MESSAGE_MAX, or the negative errno */
static int message_max(int fd, socklen_t len)
{
	int val[2];

	if (getsockopt(fd, SOL_MYPROTO, MYPROTO_MESSAGE_MAX, val, &len))
		return -errno;
	return len == sizeof(val[0]) ? val[0] : -EPROTO;
}

/* The sender's SO_SNDBUF, the receiver's SO_RCVBUF and LONGEST bound it. */
TEST_F(any, longest)
{
	static const struct {
		int end, opt, val;
	} steps[] = {
		{ 0, SO_SNDBUF, 10000 },
		{ 0, SO_SNDBUF, 0 },
		{ 0, SO_SNDBUFFORCE, 4 * LONGEST },
		{ 1, SO_RCVBUF, 10000 },
		{ 1, SO_RCVBUF, 0 },
		{ 1, SO_RCVBUFFORCE, 4 * LONGEST },
		{ 0, SO_SNDBUF, 10000 },
	};
	bool known = variant->made != BY_ADDRESS;
	int max, back, i = 0, j, *fd = self->link.fd;
	struct link *link = &self->link;

	back = known ? get_int_opt(_metadata, fd[1], SO_SNDBUF) : -ENOTCONN;
	EXPECT_LE(65536 * 2, get_int_opt(_metadata, fd[0], SO_SNDBUF));
	do {
		max = get_int_opt(_metadata, fd[0], SO_SNDBUF);
		if (max > get_int_opt(_metadata, fd[1], SO_RCVBUF))
			max = get_int_opt(_metadata, fd[1], SO_RCVBUF);
		if (max > LONGEST)
			max = LONGEST;
		EXPECT_EQ(known ? max : -ENOTCONN, message_max(fd[0], 4));
		expect_passes(_metadata, link, max - max / 128);
		expect_passes(_metadata, link, max - 32);
		expect_passes(_metadata, link, max - 1);
		expect_passes(_metadata, link, max);
		for (j = 0; j < 4; j++)
			EXPECT_EQ(EMSGSIZE,
				  err_of(link_send(link, 0, big,
						   j % 2 ? BIG : max + 1,
						   j / 2 ? MSG_DONTWAIT : 0)));
		expect_nothing(_metadata, fd[1]);

		/* The other direction has its own. */
		EXPECT_EQ(back, message_max(fd[1], 4));
		EXPECT_EQ(PAGE_LEN, link_send(link, 1, big, PAGE_LEN, 0));
		EXPECT_EQ(1U, link_drain(_metadata, link, 0));

		if (i < ARRAY_SIZE(steps))
			set_int_opt(_metadata, fd[steps[i].end], steps[i].opt,
				    steps[i].val);
	} while (i++ < ARRAY_SIZE(steps));
	EXPECT_EQ(back, message_max(fd[1], 8));
	EXPECT_EQ(-EINVAL, message_max(fd[1], 3));
	EXPECT_EQ(-EINVAL, message_max(fd[1], 0));
	EXPECT_EQ(ENOPROTOOPT,
		  int_opt_err(fd[1], SOL_MYPROTO, MYPROTO_MESSAGE_MAX, 1));
}

/* Room to receive in, and flags */

struct cut {
	size_t room;
	int flags;
	ssize_t ret;
	int msg_flags;
};

/* Receive what @text is cut to. */
static void expect_cut(struct __test_metadata *_metadata, int fd,
		       const char *text, const struct cut *cut, int flags,
		       int eor)
{
	size_t len = strlen(text) < cut->room ? strlen(text) : cut->room;
	char buf[17];
	int msg_flags;

	memset(buf, '#', sizeof(buf));
	EXPECT_EQ(cut->ret, recv_flags(fd, buf, cut->room, cut->flags | flags,
				       &msg_flags))
		TH_LOG("room %zu, flags %#x", cut->room, cut->flags | flags);
	EXPECT_EQ(cut->msg_flags | eor, msg_flags);
	EXPECT_EQ(0, memcmp(text, buf, len));
	EXPECT_EQ('#', buf[len]);
}

TEST_F(any, room_and_flags)
{
	static const struct cut cuts[] = {
		{ 0, 0, 0, MSG_TRUNC },
		{ 0, MSG_TRUNC, 6, MSG_TRUNC },
		{ 5, 0, 5, MSG_TRUNC },
		{ 5, MSG_TRUNC, 6, MSG_TRUNC },
		{ 6, 0, 6, 0 },
		{ 6, MSG_TRUNC, 6, 0 },
		{ 7, MSG_TRUNC, 6, 0 },
		{ 16, MSG_WAITALL, 6, 0 },
		{ 16, MSG_CMSG_CLOEXEC, 6, 0 },
		/* Of a message without a byte */
		{ 0, MSG_TRUNC, 0, 0 },
		{ 1, 0, 0, 0 },
	};
	struct link *link = &self->link;
	int fd = link->fd[1], i, peek, eor, len;
	const struct cut *cut;
	const char *text;
	char buf[2];

	/* Only what has never been peeked at is read from where it was put. */
	for (i = 0; i < 4 * ARRAY_SIZE(cuts); i++) {
		cut = &cuts[i / 4];
		text = i / 4 < 9 ? "abcdef" : "";
		len = strlen(text);
		eor = i & 2 ? MSG_EOR : 0;
		EXPECT_EQ(len, link_send(link, 0, text, len, eor));
		link_expect_send(_metadata, link, 0, "next");
		eor = eor_of(link, eor);
		for (peek = 0; peek < i % 2 * 3; peek++)
			expect_cut(_metadata, fd, text, cut,
				   MSG_PEEK | (peek ? MSG_DONTWAIT : 0), eor);
		expect_cut(_metadata, fd, text, cut, 0, eor);
		EXPECT_EQ(2, read(fd, buf, 2));
		EXPECT_EQ(0, memcmp(buf, "ne", 2));
		EXPECT_EQ(EAGAIN, try_recv(fd));
	}
}

TEST_F(any, oob_and_pieces)
{
	char head[4] = "", tail[16] = "";
	struct iovec from[] = { { "a", 1 }, { NULL, 0 }, { "bcdef", 5 } };
	struct iovec to[] = { { head, 3 }, { tail, 15 } };
	struct msghdr msg = { .msg_iov = from, .msg_iovlen = ARRAY_SIZE(from) };
	struct link *link = &self->link;
	int fd = link->fd[1];

	EXPECT_EQ(EOPNOTSUPP, err_of(link_send(link, 0, "x", 1, MSG_OOB)));
	EXPECT_EQ(EAGAIN, try_recv(fd));
	EXPECT_EQ(6, sendmsg(link->fd[0], link_address(link, 0, &msg), 0));
	EXPECT_EQ(EOPNOTSUPP, err_of(recv(fd, head, 1, MSG_OOB)));
	EXPECT_EQ(6, readv(fd, to, ARRAY_SIZE(to)));
	EXPECT_STREQ("abc", head);
	EXPECT_STREQ("def", tail);
	msg.msg_iovlen = 0;
	EXPECT_EQ(0, sendmsg(link->fd[0], &msg, 0));
	expect_recv(_metadata, fd, "");
	EXPECT_EQ(EAGAIN, try_recv(fd));
	EXPECT_EQ(EOPNOTSUPP,
		  err_of(recv(type_socket(_metadata, variant->type), head, 1,
			      MSG_OOB | MSG_DONTWAIT)));
}

/* A message is sent whole or not at all. After EFAULT from a read it is lost,
 * after EFAULT from a peek it is still queued.
 */
TEST_F(any, efault)
{
	static const struct {
		size_t off, len;
	} out[] = {
		{ PAGE_LEN, 100 },
		{ PAGE_LEN, PAGE_LEN },
		{ PAGE_LEN - 50, 100 },
		{ 0, PAGE_LEN + 1 },
		{ 0, 2 * PAGE_LEN },
	}, in[] = {
		{ PAGE_LEN, 3 },
		{ PAGE_LEN - 1, 3 },
		{ 0, 3 * PAGE_LEN },
	};
	struct link *link = &self->link;
	int fd = link->fd[1], i;
	ssize_t len;
	char *page;

	page = mmap(NULL, 2 * PAGE_LEN, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	ASSERT_EQ(0, mprotect(page + PAGE_LEN, PAGE_LEN, PROT_NONE));
	for (i = 0; i < ARRAY_SIZE(out); i++) {
		EXPECT_EQ(EFAULT, err_of(link_send(link, 0, page + out[i].off,
						   out[i].len, 0)));
		expect_nothing(_metadata, fd);
	}
	for (i = 0; i < 2 * ARRAY_SIZE(in); i++) {
		char *to = page + in[i / 2].off;

		len = in[i / 2].len;
		ASSERT_EQ(len, link_send(link, 0, big, len, 0));
		link_expect_send(_metadata, link, 0, "next");
		if (i % 2) {
			EXPECT_EQ(EFAULT, err_of(recv(fd, to, 2 * PAGE_LEN,
						      MSG_PEEK)));
			EXPECT_EQ(len, recv(fd, big, len, MSG_PEEK));
		}
		EXPECT_EQ(EFAULT, err_of(recv(fd, to, 2 * PAGE_LEN, 0)));
		expect_recv(_metadata, fd, "next");
		expect_nothing(_metadata, fd);
	}
}

/* A full receiver */

TEST_F(any, full_until_drained)
{
	static const size_t chunks[] = { 0, 1000, 1000 };
	struct link *link = &self->link;
	int *fd = link->fd, max, i;

	set_rcvbuf(_metadata, fd[1], 10000);
	max = get_int_opt(_metadata, fd[1], SO_RCVBUF);
	for (i = 0; i < ARRAY_SIZE(chunks); i++) {
		EXPECT_EQ(POLLOUT, poll_now(fd[0]));
		EXPECT_LT(1U, link_fill(_metadata, link, 0, chunks[i]));
		/* It could never be sent: that it is full does not matter. */
		EXPECT_EQ(EMSGSIZE, err_of(link_send(link, 0, big, max + 1,
						     0)));
		EXPECT_EQ(EAGAIN, err_of(link_send(link, 0, big, max,
						   MSG_DONTWAIT)));
		/* Who names the receiver could send to somebody else. */
		EXPECT_EQ(variant->made == BY_ADDRESS ? POLLOUT : 0,
			  poll_now(fd[0]));
		EXPECT_EQ(IN_OUT, poll_now(fd[1]));
		link_drain(_metadata, link, 1);
		expect_nothing(_metadata, fd[1]);
	}
}

/* A child that sends a message that does not fit; exits with its errno */
static pid_t full_sender(struct __test_metadata *_metadata, struct link *link)
{
	set_rcvbuf(_metadata, link->fd[1], 10000);
	EXPECT_LT(1U, link_fill(_metadata, link, 0, 1000));
	return sleeping_child(err_of(link_send(link, 0, "x", 1, 0)));
}

TEST_F(any, waits)
{
	static const char * const texts[] = { "abc", "" };
	struct link *link = &self->link;
	int to = link->fd[1], i, n = 0;
	char buf[1001];
	pid_t pid;

	for (i = 0; i < 2; i++) {
		pid = sleeping_child(recv(to, buf, sizeof(buf), 0));
		link_expect_send(_metadata, link, 0, texts[i]);
		EXPECT_EQ(strlen(texts[i]), my_wait(pid));
		EXPECT_EQ(EAGAIN, try_recv(to));
		pid = sleeping_child(recv(to, buf, sizeof(buf), MSG_PEEK));
		link_expect_send(_metadata, link, 0, texts[i]);
		EXPECT_EQ(strlen(texts[i]), my_wait(pid));
		expect_recv(_metadata, to, texts[i]);
	}

	/* Room is made by a read, or in another way. */
	for (i = 0; i < 2; i++) {
		pid = full_sender(_metadata, link);
		if (i)
			set_rcvbuf(_metadata, to, 30000);
		else
			EXPECT_EQ(1000, recv(to, buf, sizeof(buf), 0));
		EXPECT_EQ(0, my_wait(pid));
		while (n != 1) {
			n = recv(to, buf, sizeof(buf), MSG_DONTWAIT);
			ASSERT_TRUE(n == 1000 || n == 1);
		}
		n = 0;
		EXPECT_EQ(EAGAIN, try_recv(to));
	}

	/* Who is interrupted leaves nothing behind. */
	catch_usr1(_metadata);
	pid = full_sender(_metadata, link);
	kill(pid, SIGUSR1);
	EXPECT_EQ(EINTR, my_wait(pid));
	link_drain(_metadata, link, 1);
	EXPECT_EQ(0U, mem_charged(_metadata, to));
	EXPECT_EQ(0, link_try_send(link, 0));
}

/* shutdown() and close(). Those of DGRAM do not shut down the peer. */

#define CLOSE	3	/* instead of SHUT_... */

static const struct ended {
	int type, end, how;
	/* What each end gets then, unless it is closed: */
	int send[2];	/* errno */
	int recv[2];	/* errno when all has been read, 0 for the end */
	int poll[2];	/* besides POLLOUT */
} ended[] = {
	{ SOCK_SEQPACKET, 1, SHUT_RD, { EPIPE, 0 }, { EAGAIN, 0 }, { 0, END } },
	{ SOCK_SEQPACKET, 0, SHUT_WR, { EPIPE, 0 }, { EAGAIN, 0 }, { 0, END } },
	{ SOCK_SEQPACKET, 1, SHUT_RDWR, { EPIPE, EPIPE }, {}, { HUP, HUP } },
	{ SOCK_SEQPACKET, 0, CLOSE, { 0, EPIPE }, {}, { 0, HUP } },
	{ SOCK_DGRAM, 1, SHUT_RD, { EPIPE, 0 }, { EAGAIN, 0 }, { 0, END } },
	{ SOCK_DGRAM, 0, SHUT_WR, { EPIPE, 0 }, { EAGAIN, EAGAIN }, {} },
	{ SOCK_DGRAM, 1, SHUT_RDWR, { EPIPE, EPIPE }, { EAGAIN, 0 },
		{ 0, HUP } },
	{ SOCK_DGRAM, 0, CLOSE, { 0, ECONNREFUSED }, { 0, EAGAIN }, {} },
};

static void expect_ended(struct __test_metadata *_metadata, struct link *link,
			 int end, const struct ended *row)
{
	int fd = link->fd[end], len;

	/* A message without a byte is like the end but for poll(). */
	EXPECT_EQ(row->poll[end] | IN_OUT, poll_now(fd));
	expect_recv(_metadata, fd, "queued");
	expect_recv(_metadata, fd, "");
	EXPECT_EQ(row->poll[end] | POLLOUT, poll_now(fd));
	if (!row->recv[end])
		expect_eof(_metadata, fd);
	EXPECT_EQ(row->recv[end], try_recv(fd));
	for (len = 0; len < 2; len++)
		EXPECT_EQ(row->send[end],
			  err_of(link_send(link, end, "x", len, MSG_DONTWAIT)))
			TH_LOG("end %d, how %d", row->end, row->how);
}

TEST_F(any, ended)
{
	struct link *link = &self->link;
	const struct ended *row;
	int i;

	for (row = ended; row < ended + ARRAY_SIZE(ended); row++) {
		if (row->type != variant->type)
			continue;
		link_destroy(link);
		link_make(_metadata, link, variant->type, variant->made);
		/* Unread by who closes it would be an error. */
		for (i = 0; i < (row->how == CLOSE ? 1 : 2); i++) {
			link_expect_send(_metadata, link, i, "queued");
			link_expect_send(_metadata, link, i, "");
		}
		if (row->how == CLOSE)
			link_close(link, row->end);
		else
			ASSERT_EQ(0, shutdown(link->fd[row->end], row->how));
		for (i = 0; i < 2; i++)
			if (link->fd[i] >= 0)
				expect_ended(_metadata, link, i, row);
	}
	EXPECT_EQ(EINVAL, err_of(shutdown(link->fd[1], 3)));
	EXPECT_EQ(EINVAL, err_of(shutdown(link->fd[1], -1)));
}

/* Receive @text; returns the sender's channel, 0 for no address */
static __u32 recv_from(struct __test_metadata *_metadata, int fd, int flags,
		       const char *text)
{
	struct sockaddr_my addr;
	socklen_t addr_len = sizeof(addr);
	ssize_t len = strlen(text);
	char buf[64] = "";

	memset(&addr, 0xff, sizeof(addr));
	EXPECT_EQ(len, recvfrom(fd, buf, sizeof(buf) - 1, flags | MSG_DONTWAIT,
				(struct sockaddr *)&addr, &addr_len));
	EXPECT_STREQ(text, buf);
	if (!addr_len)
		return 0;
	EXPECT_EQ(sizeof(addr), addr_len);
	EXPECT_EQ(AF_MYPROTO, addr.smy_family);
	EXPECT_EQ(0, addr.__smy_pad);
	return addr.smy_channel;
}

/* A socketpair() has no channels. */
TEST_F(any, sender_address)
{
	struct link *link = &self->link;
	__u32 channel;
	int i;

	for (i = 0; i < 2; i++) {
		channel = my_channel(_metadata, link->fd[i]);
		EXPECT_EQ(variant->made != BY_PAIR, channel >= DYNAMIC_START);
		link_expect_send(_metadata, link, i, "x");
		link_expect_send(_metadata, link, i, "y");
		EXPECT_EQ(channel, recv_from(_metadata, link->fd[!i], 0, "x"));
		EXPECT_EQ(channel, recv_from(_metadata, link->fd[!i], MSG_PEEK,
					     "y"));
		EXPECT_EQ(channel, recv_from(_metadata, link->fd[!i], 0, "y"));
	}

	/* It stays known when its owner is gone. */
	channel = my_channel(_metadata, link->fd[0]);
	link_expect_send(_metadata, link, 0, "last");
	link_close(link, 0);
	EXPECT_EQ(channel, recv_from(_metadata, link->fd[1], 0, "last"));
}

/* SEQPACKET only */

/* For who waits there is an error, once, when anything was not read. */
TEST(seqpacket_close_with_unread)
{
	static const struct {
		const char *sent;
		int flags;	/* of a receive of one byte, -1 for none */
		int err;
	} rows[] = {
		{ "unread", -1, ECONNRESET },
		{ "", -1, ECONNRESET },
		{ "peeked", MSG_PEEK, ECONNRESET },
		{ "cut short it is read", 0, 0 },
	};
	struct link link;
	pid_t pid;
	char c;
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		link_make(_metadata, &link, SOCK_SEQPACKET, BY_CONNECT);
		link_expect_send(_metadata, &link, 1, rows[i].sent);
		if (rows[i].flags >= 0)
			EXPECT_EQ(1, recv(link.fd[0], &c, 1, rows[i].flags));
		pid = sleeping_child(close(link.fd[0]) ?:
				     err_of(recv(link.fd[1], &c, 1, 0)));
		link_close(&link, 0);
		EXPECT_EQ(rows[i].err, my_wait(pid)) TH_LOG("%s", rows[i].sent);
		EXPECT_EQ(HUP | POLLOUT, poll_now(link.fd[1]));
		expect_eof(_metadata, link.fd[1]);
	}
}

TEST(seqpacket_errors)
{
	int fd = type_socket(_metadata, SOCK_SEQPACKET), flags;
	struct link link;
	__u32 channel;
	char buf[8];

	type_listener(_metadata, SOCK_SEQPACKET, &channel);
	EXPECT_EQ(-ENOTCONN, message_max(fd, 4));
	EXPECT_EQ(-ENOPROTOOPT,
		  message_max(type_socket(_metadata, SOCK_STREAM), 4));

	link_make(_metadata, &link, SOCK_SEQPACKET, BY_CONNECT);
	EXPECT_EQ(EISCONN, err_of(my_sendto(link.fd[0], channel, "x", 1, 0)));
	/* The socket layer adds MSG_EOR: see sock_write_iter(). */
	EXPECT_EQ(3, write(link.fd[0], "abc", 3));
	EXPECT_EQ(3, recv_flags(link.fd[1], buf, 8, MSG_DONTWAIT, &flags));
	EXPECT_EQ(MSG_EOR, flags);
	EXPECT_EQ(EAGAIN, try_recv(link.fd[1]));
}

/* All three types share the channels, but one does not reach another. */
TEST(connect_types)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	__u32 channel[3], bound;
	int i, j, fd;

	type_listener(_metadata, SOCK_STREAM, &channel[0]);
	type_listener(_metadata, SOCK_SEQPACKET, &channel[1]);
	type_bound(_metadata, SOCK_DGRAM, &channel[2]);
	type_bound(_metadata, SOCK_SEQPACKET, &bound);
	for (i = 0; i < 3; i++) {
		for (j = 0; j < 3; j++) {
			fd = type_socket(_metadata, types[i]);
			EXPECT_EQ(i == j ? 0 : EPROTOTYPE,
				  err_of(my_connect(fd, channel[j])))
				TH_LOG("%d to %d", types[i], types[j]);
			/* One that was refused can still be used. */
			if (i != j)
				EXPECT_EQ(0, my_connect(fd, channel[i]));
		}
		fd = type_socket(_metadata, types[i]);
		EXPECT_EQ(i == 1 ? ECONNREFUSED : EPROTOTYPE,
			  err_of(my_connect(fd, bound)));
	}
}

/* DGRAM only: three sockets, each with a channel, not connected */

FIXTURE(dgram)
{
	__u32 channel[3];
	int fd[3];
};

FIXTURE_SETUP(dgram)
{
	int i;

	for (i = 0; i < 3; i++)
		self->fd[i] = type_bound(_metadata, SOCK_DGRAM,
					 &self->channel[i]);
}

/* The process ends. */
FIXTURE_TEARDOWN(dgram)
{
}

/* errno of sending one byte to @channel without waiting */
static int try_sendto(int fd, __u32 channel)
{
	return err_of(my_sendto(fd, channel, "x", 1, MSG_DONTWAIT));
}

/* What is sent from @fd to @dest, or to its peer if that is 0, is what arrives
 * next at @to, and from @channel.
 */
static void expect_goes(struct __test_metadata *_metadata, int fd, __u32 dest,
			int to, __u32 channel)
{
	EXPECT_EQ(0, dest ? try_sendto(fd, dest) : try_send(fd));
	EXPECT_EQ(channel, recv_from(_metadata, to, 0, "x"));
}

static void fill_peer(struct __test_metadata *_metadata, int fd, int peer)
{
	set_rcvbuf(_metadata, peer, 10000);
	my_fill(_metadata, fd, 1000);
}

/* Each sends to each: @peer is the only one that it may come from, or ANY. */
#define ANY	-1

static void expect_sends(struct __test_metadata *_metadata,
			 struct _test_data_dgram *self, const int peer[3])
{
	__u32 *channel = self->channel;
	int *fd = self->fd, i, j, from;

	for (i = 0; i < 9; i++) {
		from = i / 3;
		j = i % 3;
		if (peer[j] == ANY || peer[j] == from)
			expect_goes(_metadata, fd[from], channel[j], fd[j],
				    channel[from]);
		else
			EXPECT_EQ(EPERM, try_sendto(fd[from], channel[j]))
				TH_LOG("%d to %d", from, j);
		for (j = 0; j < 3; j++)
			EXPECT_EQ(EAGAIN, try_recv(fd[j]));
	}
}

TEST_F(dgram, sendto)
{
	__u32 *channel = self->channel;
	int *fd = self->fd, i;

	expect_sends(_metadata, self, (int []) { ANY, ANY, ANY });
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, try_sendto(fd[i], channel[2]));
	EXPECT_EQ(IN_OUT, poll_now(fd[2]));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(channel[i], recv_from(_metadata, fd[2], 0, "x"));

	/* The channel is what counts, not who had it. */
	EXPECT_EQ(0, try_sendto(fd[0], channel[1]));
	close(fd[1]);
	EXPECT_EQ(ECONNREFUSED, try_sendto(fd[0], channel[1]));
	fd[1] = type_socket(_metadata, SOCK_DGRAM);
	ASSERT_EQ(0, my_bind(fd[1], channel[1]));
	expect_sends(_metadata, self, (int []) { ANY, ANY, ANY });
}

TEST_F(dgram, unbound)
{
	int fd = type_socket(_metadata, SOCK_DGRAM), i;
	__u32 channel;

	EXPECT_EQ(0, my_dissolve(fd));
	EXPECT_EQ(EDESTADDRREQ, try_send(fd));
	EXPECT_EQ(EAGAIN, try_recv(fd));
	EXPECT_EQ(POLLOUT, poll_now(fd));
	EXPECT_EQ(0, my_channel(_metadata, fd));

	/* A send binds it, but only the first. */
	EXPECT_EQ(0, try_sendto(fd, self->channel[0]));
	channel = my_channel(_metadata, fd);
	EXPECT_LE(DYNAMIC_START, channel);
	for (i = 1; i < 3; i++) {
		expect_goes(_metadata, fd, self->channel[i], self->fd[i],
			    channel);
		expect_goes(_metadata, self->fd[i], channel, fd,
			    self->channel[i]);
	}
	EXPECT_EQ(channel, recv_from(_metadata, self->fd[0], 0, "x"));

	/* So does connect(). */
	fd = type_socket(_metadata, SOCK_DGRAM);
	ASSERT_EQ(0, my_connect(fd, self->channel[1]));
	channel = my_channel(_metadata, fd);
	EXPECT_LE(DYNAMIC_START, channel);
	expect_goes(_metadata, fd, 0, self->fd[1], channel);

	EXPECT_EQ(0, shutdown(type_socket(_metadata, SOCK_DGRAM), SHUT_RDWR));
}

/* What fails leaves the sender as it was, first without, then with a peer. */
TEST_F(dgram, refused)
{
	static const int err[] = {
		ECONNREFUSED, EPROTOTYPE, EPROTOTYPE, EPROTOTYPE, EPERM, EINVAL,
	};
	__u32 *channel = self->channel, other[6] = {};
	int *fd = self->fd, connected, i;

	/* A channel that nobody has, those of other types, who has a peer, 0 */
	close(type_bound(_metadata, SOCK_DGRAM, &other[0]));
	type_listener(_metadata, SOCK_STREAM, &other[1]);
	type_listener(_metadata, SOCK_SEQPACKET, &other[2]);
	type_bound(_metadata, SOCK_STREAM, &other[3]);
	ASSERT_EQ(0, my_connect(fd[2], channel[1]));
	other[4] = channel[2];

	for (connected = 0; connected < 2; connected++) {
		if (connected)
			ASSERT_EQ(0, my_connect(fd[0], channel[1]));
		for (i = 0; i < ARRAY_SIZE(err); i++) {
			EXPECT_EQ(err[i], try_sendto(fd[0], other[i]));
			EXPECT_EQ(err[i], err_of(my_connect(fd[0], other[i])))
				TH_LOG("case %d", i);
		}
		EXPECT_EQ(connected ? 0 : EDESTADDRREQ, try_send(fd[0]));
		EXPECT_EQ(connected ? 0 : ENOTCONN, my_peer_err(fd[0]));
		EXPECT_EQ(connected ? EPERM : 0,
			  try_sendto(fd[2], channel[0]));
	}
	EXPECT_EQ(channel[1], my_peer(_metadata, fd[0]));
	EXPECT_EQ(channel[0], recv_from(_metadata, fd[1], 0, "x"));
	EXPECT_EQ(EAGAIN, try_recv(fd[1]));
	EXPECT_EQ(EAGAIN, try_recv(fd[2]));
}

/* DGRAM: associations */

TEST_F(dgram, receives_from_peer_only)
{
	/* connect(2) asks for no more than the family to dissolve it. */
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };
	__u32 *channel = self->channel;
	int *fd = self->fd, i;

	/* From now on: what was sent before stays. */
	ASSERT_EQ(0, my_connect(fd[2], channel[0]));
	expect_send(_metadata, fd[2], "before");
	ASSERT_EQ(0, my_connect(fd[0], channel[1]));
	EXPECT_EQ(EPERM, try_send(fd[2]));
	EXPECT_EQ(EPERM, err_of(my_connect(fd[2], channel[0])));
	EXPECT_EQ(channel[2], recv_from(_metadata, fd[0], 0, "before"));
	expect_sends(_metadata, self, (int []) { 1, ANY, 0 });

	/* The other end was not asked and does not know. */
	EXPECT_EQ(channel[1], my_peer(_metadata, fd[0]));
	EXPECT_EQ(ENOTCONN, my_peer_err(fd[1]));
	EXPECT_EQ(EDESTADDRREQ, err_of(write(fd[1], "x", 1)));
	EXPECT_EQ(EDESTADDRREQ, err_of(send(fd[1], "", 0, 0)));
	EXPECT_EQ(3, write(fd[0], "def", 3));
	EXPECT_EQ(channel[0], recv_from(_metadata, fd[1], 0, "def"));
	EXPECT_EQ(0, my_connect(fd[1], channel[0]));
	EXPECT_EQ(EOPNOTSUPP, err_of(listen(fd[1], 1)));
	EXPECT_EQ(EOPNOTSUPP, err_of(accept(fd[1], NULL, NULL)));

	/* It moves to another peer. */
	for (i = 0; i < 10; i++)
		ASSERT_EQ(0, my_connect(fd[0], channel[2]));
	EXPECT_EQ(channel[2], my_peer(_metadata, fd[0]));
	expect_goes(_metadata, fd[0], 0, fd[2], channel[0]);
	expect_sends(_metadata, self, (int []) { 2, 0, 0 });

	/* From a peer, from none, and with an address of usual length */
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, connect(fd[0], &unspec, i < 2 ? 2 : 8));
		EXPECT_EQ(ENOTCONN, my_peer_err(fd[0]));
		EXPECT_EQ(EDESTADDRREQ, try_send(fd[0]));
		EXPECT_EQ(channel[0], my_channel(_metadata, fd[0]));
		expect_sends(_metadata, self, (int []) { ANY, 0, 0 });
	}

	/* Its own peer */
	ASSERT_EQ(0, my_connect(fd[0], channel[0]));
	EXPECT_EQ(channel[0], my_peer(_metadata, fd[0]));
	expect_goes(_metadata, fd[0], 0, fd[0], channel[0]);
	expect_sends(_metadata, self, (int []) { 0, 0, 0 });
	fill_peer(_metadata, fd[0], fd[0]);
	EXPECT_EQ(POLLIN, poll_now(fd[0]));
	my_drain(_metadata, fd[0]);
	EXPECT_EQ(POLLOUT, poll_now(fd[0]));
}

/* An association is with a socket: who takes its channel is not it. */
TEST_F(dgram, closed_peer)
{
	__u32 *channel = self->channel;
	int *fd = self->fd;
	pid_t pid;

	ASSERT_EQ(0, my_connect(fd[0], channel[1]));
	ASSERT_EQ(0, my_connect(fd[1], channel[0]));
	expect_send(_metadata, fd[1], "last");
	/* That it is not read is told to nobody. */
	fill_peer(_metadata, fd[0], fd[1]);
	EXPECT_EQ(POLLIN, poll_now(fd[0]));
	close(fd[1]);
	EXPECT_EQ(IN_OUT, poll_now(fd[0]));
	EXPECT_EQ(0, get_int_opt(_metadata, fd[0], SO_ERROR));
	expect_recv(_metadata, fd[0], "last");
	EXPECT_EQ(EAGAIN, try_recv(fd[0]));
	EXPECT_EQ(ECONNREFUSED, err_of(send(fd[0], "x", 1, 0)));

	fd[1] = type_socket(_metadata, SOCK_DGRAM);
	ASSERT_EQ(0, my_bind(fd[1], channel[1]));
	EXPECT_EQ(ECONNREFUSED, try_send(fd[0]));
	EXPECT_EQ(EPERM, try_sendto(fd[1], channel[0]));
	ASSERT_EQ(0, my_connect(fd[0], channel[1]));
	expect_goes(_metadata, fd[0], 0, fd[1], channel[0]);
	expect_sends(_metadata, self, (int []) { 1, ANY, ANY });

	/* There is no end of a stream that would wake who reads: somebody else
	 * may be allowed to send.
	 */
	pid = sleeping_child(recv(fd[0], (char [16]) {}, 16, 0));
	close(fd[1]);
	usleep(20000);
	EXPECT_TRUE(wait_asleep(pid));
	ASSERT_EQ(0, my_dissolve(fd[0]));
	EXPECT_EQ(EDESTADDRREQ, try_send(fd[0]));
	EXPECT_EQ(0, try_sendto(fd[2], channel[0]));
	EXPECT_EQ(1, my_wait(pid));
}

/* Who moves away from a full receiver need not wait for it. */
TEST_F(dgram, leave_full_peer)
{
	int fd = self->fd[0], epoll;

	ASSERT_EQ(0, my_connect(fd, self->channel[1]));
	epoll = make_epoll(_metadata, fd, EPOLLOUT);
	fill_peer(_metadata, fd, self->fd[1]);
	EXPECT_EQ(0, next_event(epoll, 0));
	EXPECT_EQ(EAGAIN, try_sendto(self->fd[2], self->channel[1]));
	EXPECT_EQ(0, try_sendto(fd, self->channel[2]));
	ASSERT_EQ(0, my_connect(fd, self->channel[2]));
	EXPECT_EQ(EPOLLOUT, next_event(epoll, 0));
	fill_peer(_metadata, fd, self->fd[2]);
	EXPECT_EQ(0, poll_now(fd));
	ASSERT_EQ(0, my_dissolve(fd));
	EXPECT_EQ(POLLOUT, poll_now(fd));
}

/* EPERM takes precedence over EAGAIN, EPIPE over EPERM. There is no SIGPIPE,
 * which would kill the test. A new association does not undo a shutdown().
 */
TEST_F(dgram, shutdown)
{
	__u32 *channel = self->channel;
	int *fd = self->fd, i;
	pid_t pid;

	while (!try_sendto(fd[1], channel[0]))
		;
	ASSERT_EQ(EAGAIN, try_sendto(fd[1], channel[0]));
	ASSERT_EQ(0, my_connect(fd[0], channel[2]));
	EXPECT_EQ(EPERM, try_sendto(fd[1], channel[0]));
	ASSERT_EQ(0, shutdown(fd[0], SHUT_RD));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(EPIPE, try_sendto(fd[i], channel[0]));
	ASSERT_EQ(0, my_dissolve(fd[0]));
	ASSERT_EQ(0, my_connect(fd[1], channel[0]));
	EXPECT_EQ(EPIPE, err_of(send(fd[1], "x", 1, 0)));
	EXPECT_EQ(EPIPE, err_of(write(fd[1], "x", 1)));

	ASSERT_EQ(0, shutdown(fd[2], SHUT_WR));
	EXPECT_EQ(EPIPE, try_sendto(fd[2], channel[1]));
	EXPECT_EQ(EPERM, err_of(my_connect(fd[2], channel[1])));
	ASSERT_EQ(0, my_dissolve(fd[1]));
	EXPECT_EQ(0, my_connect(fd[2], channel[1]));
	EXPECT_EQ(EPIPE, err_of(send(fd[2], "x", 1, 0)));
	EXPECT_EQ(EPIPE, err_of(write(fd[2], "x", 1)));
	EXPECT_EQ(EAGAIN, try_recv(fd[1]));

	/* In two steps as in one, and it wakes poll(). */
	pid = sleeping_child(poll_for(fd[2], 0, WAIT_MS) != POLLHUP);
	ASSERT_EQ(0, shutdown(fd[2], SHUT_RD));
	EXPECT_EQ(0, my_wait(pid));
	EXPECT_EQ(HUP | POLLOUT, poll_now(fd[2]));
}

/* A DGRAM end of a socketpair() that sendto() or bind() binds is one still. */
TEST_F(dgram, socketpair_end)
{
	__u32 *channel = self->channel, own;
	int fd[2], i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, socketpair(AF_MYPROTO, SOCK_DGRAM, 0, fd));
		EXPECT_EQ(0, my_peer(_metadata, fd[0]));
		if (i)
			ASSERT_EQ(0, my_bind(fd[0], MYPROTO_CHANNEL_ANY));
		EXPECT_EQ(0, try_sendto(fd[0], channel[1]));
		own = my_channel(_metadata, fd[0]);
		EXPECT_LE(DYNAMIC_START, own);
		EXPECT_EQ(own, recv_from(_metadata, self->fd[1], 0, "x"));
		EXPECT_EQ(0, my_channel(_metadata, fd[1]));

		/* Only its peer can send to it. */
		EXPECT_EQ(EPERM, try_sendto(self->fd[1], own));
		EXPECT_EQ(EPERM, err_of(my_connect(self->fd[1], own)));
		expect_goes(_metadata, fd[0], 0, fd[1], own);
		expect_goes(_metadata, fd[1], 0, fd[0], 0);
	}

	/* When it leaves, the other end has not been asked. */
	ASSERT_EQ(0, my_dissolve(fd[0]));
	EXPECT_EQ(EDESTADDRREQ, try_send(fd[0]));
	expect_goes(_metadata, fd[1], 0, fd[0], 0);
	ASSERT_EQ(0, my_connect(fd[0], channel[1]));
	expect_goes(_metadata, fd[0], 0, self->fd[1], own);
	EXPECT_EQ(EPERM, try_send(fd[1]));
	EXPECT_EQ(EAGAIN, try_recv(fd[0]));
}

TEST_HARNESS_MAIN
