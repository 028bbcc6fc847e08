// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO messages, which SEQPACKET and DGRAM have in common: boundaries,
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

/* recvmsg() of at most @len bytes in two pieces, and its msg_flags */
static ssize_t recv_flags(int fd, void *buf, size_t len, int flags,
			  int *msg_flags)
{
	size_t half = len / 2;
	struct iovec iov[] = { { buf, half }, { buf + half, len - half } };
	struct msghdr msg = {
		.msg_iov = iov,
		.msg_iovlen = ARRAY_SIZE(iov),
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
	int to = self->link.fd[1], edge, i, n;
	struct link *link = &self->link;
	pid_t pid;

	edge = make_epoll(_metadata, to, EPOLLIN | EPOLLET);
	EXPECT_EQ(POLLOUT, poll_now(to));
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
		EXPECT_EQ(IN_OUT, poll_now(to));
		expect_recv(_metadata, to, texts[i]);
	}
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(4, recv(to, &n, 4, MSG_DONTWAIT));
		ASSERT_EQ(i, n);
	}
	expect_nothing(_metadata, to);
	EXPECT_EQ(EAGAIN, err_of(recv(to, &n, 4, MSG_PEEK | MSG_DONTWAIT)));

	for (i = 0; i < 2; i++) {
		pid = sleeping_child(recv(to, &n, 4, i ? MSG_PEEK : 0));
		link_expect_send(_metadata, link, 0, "");
		EXPECT_EQ(0, my_wait(pid));
		if (i)
			expect_recv(_metadata, to, "");
		EXPECT_EQ(EAGAIN, try_recv(to));
	}
}

/* Send @len bytes in pieces, with flags and without; receive with room to
 * spare, with exact room and cut to half, with and without MSG_TRUNC. Only what
 * has never been peeked at is read from where it was put.
 */
static void expect_passes(struct __test_metadata *_metadata,
			  struct link *link, size_t len)
{
	static char out[LONGEST], in[LONGEST + 100];
	size_t rooms[] = { len + 99, len, len / 2 }, copied;
	struct iovec iov[] = { { out, rooms[2] }, { NULL, 0 },
			       { out + rooms[2], len - rooms[2] } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov) };
	int more, trunc, eor, flags, i, peeks;
	ssize_t n;

	fill_pattern(out, len, len);
	for (i = 0; i < 12; i++) {
		copied = len < rooms[i % 3] ? len : rooms[i % 3];
		eor = i % 2 ? MSG_EOR : 0;
		more = i % 2 ? MSG_WAITALL | MSG_CMSG_CLOEXEC : 0;
		trunc = i / 3 % 2 ? MSG_TRUNC : 0;
		n = sendmsg(link->fd[0], link_address(link, 0, &msg),
			    MSG_DONTWAIT | eor);
		ASSERT_EQ((ssize_t)len, n)
			TH_LOG("length %zu: %s", len, strerror(errno));
		if (link->type == SOCK_DGRAM)
			eor = 0;
		for (peeks = i / 6 * 2; peeks >= 0; peeks--) {
			memset(in, '#', len + 100);
			n = recv_flags(link->fd[1], in, rooms[i % 3], trunc |
				       more | (peeks ? MSG_PEEK : 0), &flags);
			EXPECT_EQ((ssize_t)(trunc ? len : copied), n)
				TH_LOG("length %zu, case %d", len, i);
			EXPECT_EQ((copied < len ? MSG_TRUNC : 0) | eor, flags);
			EXPECT_EQ(0, memcmp(out, in, copied));
			EXPECT_EQ('#', in[copied]);
		}
		expect_nothing(_metadata, link->fd[1]);
	}
}

TEST_F(any, lengths)
{
	size_t page = sysconf(_SC_PAGESIZE), n, i;
	struct link *link = &self->link;

	for (n = 0; n <= 130; n++)
		expect_passes(_metadata, link, n);
	for (n = page / 2; n <= LONGEST / 4; n *= 2)
		for (i = 0; i < 5; i++)
			expect_passes(_metadata, link, n - 2 + i);
	/* What does not fit in a page together with what the kernel adds */
	for (n = 1; n <= 13 && n * page <= LONGEST / 4; n += 4)
		for (i = 32; i < 800; i += 64)
			expect_passes(_metadata, link, n * page - i);
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
		{ 0, SO_SNDBUFFORCE, 4 * LONGEST },
		{ 1, SO_RCVBUF, 10000 },
		{ 1, SO_RCVBUFFORCE, 4 * LONGEST },
	};
	bool known = variant->made != BY_ADDRESS;
	struct link *link = &self->link;
	int max, rcvbuf, back, i, *fd = link->fd;

	back = known ? get_int_opt(_metadata, fd[1], SO_SNDBUF) : -ENOTCONN;
	for (i = 0; i <= ARRAY_SIZE(steps); i++) {
		if (i)
			set_int_opt(_metadata, fd[steps[i - 1].end],
				    steps[i - 1].opt, steps[i - 1].val);
		max = get_int_opt(_metadata, fd[0], SO_SNDBUF);
		rcvbuf = get_int_opt(_metadata, fd[1], SO_RCVBUF);
		max = max < rcvbuf ? max : rcvbuf;
		max = max < LONGEST ? max : LONGEST;
		EXPECT_EQ(known ? max : -ENOTCONN, message_max(fd[0], 4));
		expect_passes(_metadata, link, max);
		EXPECT_EQ(EMSGSIZE,
			  err_of(link_send(link, 0, big, max + 1, 0)));
		expect_nothing(_metadata, fd[1]);
	}
	/* The other direction has its own. */
	EXPECT_EQ(back, message_max(fd[1], 8));
	EXPECT_EQ(-EINVAL, message_max(fd[1], 3));
	EXPECT_EQ(ENOPROTOOPT,
		  int_opt_err(fd[1], SOL_MYPROTO, MYPROTO_MESSAGE_MAX, 1));
	i = type_socket(_metadata, variant->type);
	EXPECT_EQ(-ENOTCONN, message_max(i, 4));
	i = type_socket(_metadata, SOCK_STREAM);
	EXPECT_EQ(-ENOPROTOOPT, message_max(i, 4));
}

/* A message is sent whole or not at all. After EFAULT from a read it is lost,
 * after EFAULT from a peek it is still queued.
 */
TEST_F(any, refused_or_faulted)
{
	static const ssize_t lens[] = { 2, 5000, PAGE_LEN + 1 };
	struct link *link = &self->link;
	int fd = link->fd[1], i;
	char *page, *at;
	ssize_t len;

	page = mmap(NULL, 2 * PAGE_LEN, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	ASSERT_EQ(0, mprotect(page + PAGE_LEN, PAGE_LEN, PROT_NONE));
	for (i = 0; i < 2 * ARRAY_SIZE(lens); i++) {
		/* All but the last byte is there. */
		len = lens[i / 2];
		at = page + PAGE_LEN + 1 - len;
		EXPECT_EQ(EFAULT, err_of(link_send(link, 0, at, len, 0)));
		EXPECT_EQ(EOPNOTSUPP,
			  err_of(link_send(link, 0, big, len, MSG_OOB)));
		if (variant->type == SOCK_SEQPACKET)
			EXPECT_EQ(EISCONN, err_of(my_sendto(link->fd[0], 5000,
							    big, len, 0)));
		/* There is no queue of errors to wait for. */
		EXPECT_EQ(EAGAIN, err_of(recv(fd, big, len, MSG_ERRQUEUE)));
		expect_nothing(_metadata, fd);

		ASSERT_EQ(len, link_send(link, 0, big, len, 0));
		link_expect_send(_metadata, link, 0, "next");
		EXPECT_EQ(EOPNOTSUPP, err_of(recv(fd, big, len, MSG_OOB)));
		EXPECT_EQ(EAGAIN, err_of(recv(fd, big, len, MSG_ERRQUEUE)));
		if (i % 2) {
			EXPECT_EQ(EFAULT, err_of(recv(fd, at, len, MSG_PEEK)));
			EXPECT_EQ(len, recv(fd, big, len, MSG_PEEK));
		}
		EXPECT_EQ(EFAULT, err_of(recv(fd, at, len, 0)));
		expect_recv(_metadata, fd, "next");
		expect_nothing(_metadata, fd);
	}
	fd = type_socket(_metadata, variant->type);
	EXPECT_EQ(EOPNOTSUPP, err_of(recv(fd, big, 1, MSG_OOB)));
}

/* Full of messages without a byte, and of others */
TEST_F(any, full)
{
	struct link *link = &self->link;
	int *fd = link->fd, max, i;
	size_t count;
	pid_t pid;

	catch_usr1(_metadata);
	for (i = 0; i < 2; i++) {
		set_rcvbuf(_metadata, fd[1], 10000);
		max = get_int_opt(_metadata, fd[1], SO_RCVBUF);
		count = link_fill(_metadata, link, 0, i * 1000);
		EXPECT_LT(1U, count);
		/* It could never be sent: that it is full does not matter. */
		EXPECT_EQ(EMSGSIZE,
			  err_of(link_send(link, 0, big, max + 1, 0)));
		EXPECT_EQ(EAGAIN, err_of(link_send(link, 0, big, max,
						   MSG_DONTWAIT)));
		/* Who names the receiver could send to somebody else. */
		EXPECT_EQ(variant->made == BY_ADDRESS ? POLLOUT : 0,
			  poll_now(fd[0]));
		EXPECT_EQ(IN_OUT, poll_now(fd[1]));

		/* A larger buffer lets it go, a smaller one keeps what it has.
		 * Who is interrupted leaves nothing behind.
		 */
		pid = sleeping_child(err_of(link_send(link, 0, "x", 1, 0)));
		set_rcvbuf(_metadata, fd[1], i ? 1 : 30000);
		if (i)
			kill(pid, SIGUSR1);
		EXPECT_EQ(i ? EINTR : 0, my_wait(pid));
		EXPECT_EQ(count + !i, link_drain(_metadata, link, 1));
		expect_nothing(_metadata, fd[1]);
		EXPECT_EQ(POLLOUT, poll_now(fd[0]));
	}
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
	/* For others of SEQPACKET see conn.c. */
	{ SOCK_SEQPACKET, 0, SHUT_WR, { EPIPE, 0 }, { EAGAIN, 0 }, { 0, END } },
	{ SOCK_DGRAM, 1, SHUT_RD, { EPIPE, 0 }, { EAGAIN, 0 }, { 0, END } },
	{ SOCK_DGRAM, 0, SHUT_WR, { EPIPE, 0 }, { EAGAIN, EAGAIN }, {} },
	{ SOCK_DGRAM, 1, SHUT_RDWR, { EPIPE, EPIPE }, { EAGAIN, 0 },
		{ 0, HUP } },
	{ SOCK_DGRAM, 0, CLOSE, { 0, ECONNREFUSED }, { 0, EAGAIN }, {} },
};

TEST_F(any, ended)
{
	struct link *link = &self->link;
	const struct ended *row;
	int i, fd, len;

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
		for (i = row->how == CLOSE; i < 2; i++) {
			fd = link->fd[i];
			EXPECT_EQ(row->poll[i] | IN_OUT, poll_now(fd));
			expect_recv(_metadata, fd, "queued");
			/* Like the end but for poll() */
			expect_recv(_metadata, fd, "");
			EXPECT_EQ(row->poll[i] | POLLOUT, poll_now(fd));
			if (!row->recv[i])
				expect_eof(_metadata, fd);
			EXPECT_EQ(row->recv[i], try_recv(fd));
			for (len = 0; len < 2; len++)
				EXPECT_EQ(row->send[i],
					  err_of(link_send(link, i, "x", len,
							   MSG_DONTWAIT)))
					TH_LOG("end %d, how %d", i, row->how);
		}
	}
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

/* A socketpair() has no channels. Those of others outlive their owner. */
TEST_F(any, sender_address)
{
	struct link *link = &self->link;
	__u32 channel;
	int fd, i;

	for (i = 1; i >= 0; i--) {
		fd = link->fd[!i];
		channel = my_channel(_metadata, link->fd[i]);
		EXPECT_EQ(variant->made != BY_PAIR, channel >= DYNAMIC_START);
		link_expect_send(_metadata, link, i, "x");
		link_expect_send(_metadata, link, i, "y");
		if (!i)
			link_close(link, i);
		EXPECT_EQ(channel, recv_from(_metadata, fd, 0, "x"));
		EXPECT_EQ(channel, recv_from(_metadata, fd, MSG_PEEK, "y"));
		EXPECT_EQ(channel, recv_from(_metadata, fd, 0, "y"));
	}
}

/* SEQPACKET only */

/* For who waits there is an error, once, when anything was not read. */
TEST(seqpacket_close_with_unread)
{
	struct link link;
	int i, len, flags;
	pid_t pid;
	char c;

	for (i = 0; i < 3; i++) {
		link_make(_metadata, &link, SOCK_SEQPACKET, BY_CONNECT);
		/* The socket layer adds MSG_EOR: see sock_write_iter(). */
		len = i ? 3 : 0;
		EXPECT_EQ(len, write(link.fd[1], "abc", len));
		EXPECT_EQ(i ? 1 : 0, recv_flags(link.fd[0], &c, 1,
						i < 2 ? MSG_PEEK : 0, &flags));
		EXPECT_EQ(i ? MSG_EOR | MSG_TRUNC : MSG_EOR, flags);
		pid = sleeping_child(close(link.fd[0]) ?:
				     err_of(recv(link.fd[1], &c, 1, 0)));
		link_close(&link, 0);
		/* The third is read, though cut short. */
		EXPECT_EQ(i < 2 ? ECONNRESET : 0, my_wait(pid));
		expect_eof(_metadata, link.fd[1]);
	}
}

/* All three types share the channels, but one does not reach another. */
TEST(connect_types)
{
	static const int err[] = {
		0, EPROTOTYPE, EPROTOTYPE, EPROTOTYPE,
		EPROTOTYPE, 0, EPROTOTYPE, ECONNREFUSED,
	};
	__u32 channel[4];
	int i, fd;

	type_listener(_metadata, SOCK_STREAM, &channel[0]);
	type_listener(_metadata, SOCK_SEQPACKET, &channel[1]);
	type_bound(_metadata, SOCK_DGRAM, &channel[2]);
	/* One that does not listen */
	type_bound(_metadata, SOCK_SEQPACKET, &channel[3]);
	for (i = 0; i < 8; i++) {
		fd = type_socket(_metadata, i < 4 ? SOCK_STREAM :
						    SOCK_SEQPACKET);
		EXPECT_EQ(err[i], err_of(my_connect(fd, channel[i % 4])))
			TH_LOG("case %d", i);
	}
}

/* DGRAM only */

/* errno of sending one byte to @channel without waiting */
static int try_sendto(int fd, __u32 channel)
{
	return err_of(my_sendto(fd, channel, "x", 1, MSG_DONTWAIT));
}

/* What @fd sends to @dest, 0 for its peer, comes to @to from @channel. */
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

/* Three sockets, each with a channel, not connected */
static int fd[3];
static __u32 channel[3];

FIXTURE(dgram) {};

FIXTURE_SETUP(dgram)
{
	int i;

	for (i = 0; i < 3; i++)
		fd[i] = type_bound(_metadata, SOCK_DGRAM, &channel[i]);
}

FIXTURE_TEARDOWN(dgram)
{
}

/* Each sends to each: @peer is the only one that it may come from, or ANY. */
#define ANY	-1

static void expect_sends(struct __test_metadata *_metadata, const int peer[3])
{
	int i, j, from;

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

TEST_F(dgram, unbound)
{
	int own = type_socket(_metadata, SOCK_DGRAM);
	__u32 bound;

	EXPECT_EQ(EDESTADDRREQ, try_send(own));
	EXPECT_EQ(EAGAIN, try_recv(own));
	EXPECT_EQ(POLLOUT, poll_now(own));

	/* A send binds it, but only the first. */
	EXPECT_EQ(0, try_sendto(own, channel[0]));
	bound = my_channel(_metadata, own);
	EXPECT_LE(DYNAMIC_START, bound);
	expect_goes(_metadata, own, channel[1], fd[1], bound);
	expect_goes(_metadata, fd[1], bound, own, channel[1]);
	EXPECT_EQ(bound, recv_from(_metadata, fd[0], 0, "x"));

	EXPECT_EQ(0, shutdown(type_socket(_metadata, SOCK_DGRAM), SHUT_RDWR));
}

/* What fails leaves the sender as it was, first without, then with a peer. */
TEST_F(dgram, refused)
{
	static const int err[] = {
		ECONNREFUSED, EPROTOTYPE, EPROTOTYPE, EPROTOTYPE, EPERM, EINVAL,
	};
	__u32 other[6] = {};
	int connected, i;

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
		EXPECT_EQ(connected ? 0 : ENOTCONN, my_peer_err(fd[0]));
		expect_sends(_metadata,
			     (int []) { connected ? 1 : ANY, ANY, 1 });
	}
	EXPECT_EQ(channel[1], my_peer(_metadata, fd[0]));
	expect_goes(_metadata, fd[0], 0, fd[1], channel[0]);
}

/* DGRAM: associations */

TEST_F(dgram, receives_from_peer_only)
{
	/* connect(2) asks for no more than the family to dissolve it. */
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };

	/* From now on: what was sent before stays. */
	expect_sends(_metadata, (int []) { ANY, ANY, ANY });
	ASSERT_EQ(0, my_connect(fd[2], channel[0]));
	expect_send(_metadata, fd[2], "before");
	ASSERT_EQ(0, my_connect(fd[0], channel[1]));
	EXPECT_EQ(EPERM, try_send(fd[2]));
	EXPECT_EQ(channel[2], recv_from(_metadata, fd[0], 0, "before"));
	expect_sends(_metadata, (int []) { 1, ANY, 0 });

	/* The other end was not asked and does not know. */
	EXPECT_EQ(ENOTCONN, my_peer_err(fd[1]));
	EXPECT_EQ(EDESTADDRREQ, try_send(fd[1]));
	EXPECT_EQ(0, my_connect(fd[1], channel[0]));
	EXPECT_EQ(EOPNOTSUPP, err_of(accept(fd[1], NULL, NULL)));

	/* It moves to another peer. */
	ASSERT_EQ(0, my_connect(fd[0], channel[2]));
	expect_goes(_metadata, fd[0], 0, fd[2], channel[0]);
	expect_sends(_metadata, (int []) { 2, 0, 0 });

	ASSERT_EQ(0, connect(fd[0], &unspec, 2));
	EXPECT_EQ(ENOTCONN, my_peer_err(fd[0]));
	expect_sends(_metadata, (int []) { ANY, 0, 0 });

	/* Its own peer */
	ASSERT_EQ(0, my_connect(fd[0], channel[0]));
	expect_goes(_metadata, fd[0], 0, fd[0], channel[0]);
	expect_sends(_metadata, (int []) { 0, 0, 0 });
	fill_peer(_metadata, fd[0], fd[0]);
	EXPECT_EQ(POLLIN, poll_now(fd[0]));
	my_drain(_metadata, fd[0]);
	EXPECT_EQ(POLLOUT, poll_now(fd[0]));
}

/* Who moves away from a full receiver need not wait for it. An association is
 * with a socket: who takes its channel is not it.
 */
TEST_F(dgram, left_and_closed_peer)
{
	pid_t pid;
	int epoll;

	ASSERT_EQ(0, my_connect(fd[0], channel[1]));
	epoll = make_epoll(_metadata, fd[0], EPOLLOUT);
	fill_peer(_metadata, fd[0], fd[1]);
	EXPECT_EQ(0, next_event(epoll, 0));
	EXPECT_EQ(0, try_sendto(fd[0], channel[2]));
	ASSERT_EQ(0, my_connect(fd[0], channel[2]));
	EXPECT_EQ(EPOLLOUT, next_event(epoll, 0));
	/* It waits for this one now. */
	fill_peer(_metadata, fd[0], fd[2]);
	EXPECT_EQ(0, next_event(epoll, 0));
	my_drain(_metadata, fd[2]);
	EXPECT_EQ(EPOLLOUT, next_event(epoll, 0));
	my_fill(_metadata, fd[0], 1000);
	EXPECT_EQ(0, poll_now(fd[0]));
	ASSERT_EQ(0, my_dissolve(fd[0]));
	EXPECT_EQ(POLLOUT, poll_now(fd[0]));

	/* That a closed socket has not read all is told to nobody. */
	ASSERT_EQ(0, my_connect(fd[0], channel[1]));
	EXPECT_EQ(0, poll_now(fd[0]));
	close(fd[1]);
	EXPECT_EQ(POLLOUT, poll_now(fd[0]));
	EXPECT_EQ(0, get_int_opt(_metadata, fd[0], SO_ERROR));
	EXPECT_EQ(ECONNREFUSED, try_sendto(fd[2], channel[1]));
	fd[1] = type_socket(_metadata, SOCK_DGRAM);
	ASSERT_EQ(0, my_bind(fd[1], channel[1]));
	expect_goes(_metadata, fd[2], channel[1], fd[1], channel[2]);
	EXPECT_EQ(ECONNREFUSED, try_send(fd[0]));
	EXPECT_EQ(EPERM, try_sendto(fd[1], channel[0]));
	ASSERT_EQ(0, my_connect(fd[0], channel[1]));
	expect_goes(_metadata, fd[0], 0, fd[1], channel[0]);
	expect_goes(_metadata, fd[1], channel[0], fd[0], channel[1]);

	/* No end wakes who reads: somebody else may be allowed to send. */
	pid = sleeping_child(recv(fd[0], (char [16]) {}, 16, 0));
	close(fd[1]);
	usleep(20000);
	EXPECT_TRUE(wait_asleep(pid));
	ASSERT_EQ(0, my_dissolve(fd[0]));
	EXPECT_EQ(0, try_sendto(fd[2], channel[0]));
	EXPECT_EQ(1, my_wait(pid));
}

/* EPERM takes precedence over EAGAIN, EPIPE over EPERM. There is no SIGPIPE,
 * which would kill the test. A new association does not undo a shutdown().
 */
TEST_F(dgram, shutdown)
{
	int i;

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

	ASSERT_EQ(0, shutdown(fd[2], SHUT_WR));
	EXPECT_EQ(EPIPE, try_sendto(fd[2], channel[1]));
	ASSERT_EQ(0, my_dissolve(fd[1]));
	EXPECT_EQ(0, my_connect(fd[2], channel[1]));
	EXPECT_EQ(EPIPE, err_of(send(fd[2], "x", 1, 0)));
	EXPECT_EQ(EAGAIN, try_recv(fd[1]));

	/* In two steps as in one */
	ASSERT_EQ(0, shutdown(fd[2], SHUT_RD));
	EXPECT_EQ(HUP | POLLOUT, poll_now(fd[2]));
}

/* A DGRAM end of a socketpair() that sendto() or bind() binds is one still. */
TEST_F(dgram, socketpair_end)
{
	int end[2], i;
	__u32 own;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, socketpair(AF_MYPROTO, SOCK_DGRAM, 0, end));
		if (i)
			ASSERT_EQ(0, my_bind(end[0], MYPROTO_CHANNEL_ANY));
		EXPECT_EQ(0, try_sendto(end[0], channel[1]));
		own = my_channel(_metadata, end[0]);
		EXPECT_LE(DYNAMIC_START, own);
		EXPECT_EQ(own, recv_from(_metadata, fd[1], 0, "x"));
		EXPECT_EQ(0, my_channel(_metadata, end[1]));

		/* Only its peer can send to it. */
		EXPECT_EQ(EPERM, try_sendto(fd[1], own));
		expect_goes(_metadata, end[0], 0, end[1], own);
		expect_goes(_metadata, end[1], 0, end[0], 0);
	}

	/* When it leaves, the other end has not been asked. */
	ASSERT_EQ(0, my_dissolve(end[0]));
	expect_goes(_metadata, end[1], 0, end[0], 0);
	ASSERT_EQ(0, my_connect(end[0], channel[1]));
	expect_goes(_metadata, end[0], 0, fd[1], own);
	EXPECT_EQ(EPERM, try_send(end[1]));
}

TEST_HARNESS_MAIN
