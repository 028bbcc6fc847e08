// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO messages, which SEQPACKET and DGRAM have in common: boundaries,
 * lengths, flags, what a full receiver does to its senders, and what poll()
 * says about it. Then what each of the two types has of its own.
 */
#include <sys/mman.h>

#include "link.h"
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

FIXTURE(message)
{
	struct link link;
};

FIXTURE_VARIANT(message)
{
	int type;
	enum made made;
};

FIXTURE_VARIANT_ADD(message, seqpacket_connection)
{
	.type = SOCK_SEQPACKET,
	.made = BY_CONNECT,
};

FIXTURE_VARIANT_ADD(message, seqpacket_socketpair)
{
	.type = SOCK_SEQPACKET,
	.made = BY_PAIR,
};

FIXTURE_VARIANT_ADD(message, dgram_unconnected)
{
	.type = SOCK_DGRAM,
	.made = BY_ADDRESS,
};

FIXTURE_VARIANT_ADD(message, dgram_socketpair)
{
	.type = SOCK_DGRAM,
	.made = BY_PAIR,
};

FIXTURE_SETUP(message)
{
	link_make(_metadata, &self->link, variant->type, variant->made);
}

FIXTURE_TEARDOWN(message)
{
	link_destroy(&self->link);
}

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

TEST_F(message, boundaries_and_order)
{
	static const char *const texts[] = { "a", "", "bcd", "", "", "ef" };
	struct link *link = &self->link;
	int i, n;

	link_expect_send(_metadata, link, 1, "back");
	for (i = 0; i < ARRAY_SIZE(texts); i++)
		EXPECT_EQ((ssize_t)strlen(texts[i]),
			  link_send(link, 0, texts[i], strlen(texts[i]),
				    i % 2 ? MSG_MORE : 0));
	for (i = 0; i < 100; i++)
		ASSERT_EQ((ssize_t)sizeof(i), link_send(link, 0, &i, sizeof(i),
							MSG_DONTWAIT));

	for (i = 0; i < ARRAY_SIZE(texts); i++)
		expect_recv(_metadata, link->fd[1], texts[i]);
	for (i = 0; i < 100; i++) {
		ASSERT_EQ((ssize_t)sizeof(n), recv(link->fd[1], &n, sizeof(n),
						   MSG_DONTWAIT));
		ASSERT_EQ(i, n);
	}
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	EXPECT_EQ(EAGAIN, err_of(recv(link->fd[1], &n, sizeof(n),
				      MSG_PEEK | MSG_DONTWAIT)));
	expect_recv(_metadata, link->fd[0], "back");
	EXPECT_EQ(EAGAIN, try_recv(link->fd[0]));
}

/* The MSG_EOR that comes with a message sent with @flags: DGRAM has none. */
static int eor_of(const struct link *link, int flags)
{
	return link->type == SOCK_SEQPACKET ? flags & MSG_EOR : 0;
}

/* A message of @len bytes arrives as it was sent, and alone; so does half. */
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
		EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
		EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
	}
	free(out);
	free(in);
}

TEST_F(message, lengths)
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
TEST_F(message, longest)
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
	struct link *link = &self->link;
	int max, back, i = 0, j;

	back = known ? get_int_opt(_metadata, link->fd[1], SO_SNDBUF) :
		       -ENOTCONN;
	EXPECT_LE(65536 * 2, get_int_opt(_metadata, link->fd[0], SO_SNDBUF));
	do {
		max = get_int_opt(_metadata, link->fd[0], SO_SNDBUF);
		if (max > get_int_opt(_metadata, link->fd[1], SO_RCVBUF))
			max = get_int_opt(_metadata, link->fd[1], SO_RCVBUF);
		if (max > LONGEST)
			max = LONGEST;
		EXPECT_EQ(known ? max : -ENOTCONN,
			  message_max(link->fd[0], sizeof(int)));
		expect_passes(_metadata, link, max - max / 128);
		expect_passes(_metadata, link, max - 32);
		expect_passes(_metadata, link, max - 1);
		expect_passes(_metadata, link, max);
		for (j = 0; j < 4; j++)
			EXPECT_EQ(EMSGSIZE,
				  err_of(link_send(link, 0, big,
						   j % 2 ? BIG : max + 1,
						   j / 2 ? MSG_DONTWAIT : 0)));
		EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
		EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));

		/* The other direction has its own. */
		EXPECT_EQ(back, message_max(link->fd[1], sizeof(int)));
		EXPECT_EQ(PAGE_LEN, link_send(link, 1, big, PAGE_LEN, 0));
		EXPECT_EQ(1U, link_drain(_metadata, link, 0));

		if (i < ARRAY_SIZE(steps))
			set_int_opt(_metadata, link->fd[steps[i].end],
				    steps[i].opt, steps[i].val);
	} while (i++ < ARRAY_SIZE(steps));
	EXPECT_EQ(back, message_max(link->fd[1], 2 * sizeof(int)));
	EXPECT_EQ(-EINVAL, message_max(link->fd[1], sizeof(int) - 1));
	EXPECT_EQ(-EINVAL, message_max(link->fd[1], 0));
	EXPECT_EQ(ENOPROTOOPT, int_opt_err(link->fd[1], SOL_MYPROTO,
					   MYPROTO_MESSAGE_MAX, 1));
}

/* Room to receive in, and flags */

struct cut {
	const char *sent;
	size_t room;
	int flags;
	ssize_t ret;
	const char *got;
	int msg_flags;
};

static void expect_cut(struct __test_metadata *_metadata, int fd,
		       const struct cut *cut, int flags, int eor)
{
	size_t len = strlen(cut->got);
	char buf[16];
	int msg_flags;

	memset(buf, '#', sizeof(buf));
	EXPECT_EQ(cut->ret, recv_flags(fd, buf, cut->room, cut->flags | flags,
				       &msg_flags))
		TH_LOG("room %zu, flags %#x", cut->room, cut->flags | flags);
	EXPECT_EQ(cut->msg_flags | eor, msg_flags);
	EXPECT_EQ(0, memcmp(cut->got, buf, len));
	EXPECT_EQ('#', buf[len]);
}

TEST_F(message, room_and_flags)
{
	static const struct cut cuts[] = {
		{ "abcdef", 0, 0, 0, "", MSG_TRUNC },
		{ "abcdef", 0, MSG_TRUNC, 6, "", MSG_TRUNC },
		{ "abcdef", 5, 0, 5, "abcde", MSG_TRUNC },
		{ "abcdef", 5, MSG_TRUNC, 6, "abcde", MSG_TRUNC },
		{ "abcdef", 6, 0, 6, "abcdef", 0 },
		{ "abcdef", 6, MSG_TRUNC, 6, "abcdef", 0 },
		{ "abcdef", 7, MSG_TRUNC, 6, "abcdef", 0 },
		{ "abcdef", 16, MSG_WAITALL, 6, "abcdef", 0 },
		{ "abcdef", 16, MSG_CMSG_CLOEXEC, 6, "abcdef", 0 },
		{ "", 0, MSG_TRUNC, 0, "", 0 },
		{ "", 1, 0, 0, "", 0 },
	};
	struct link *link = &self->link;
	int fd = link->fd[1], i, peek, eor;
	const struct cut *cut;
	char buf[2];

	/* Only what has never been peeked at is read from where it was put. */
	for (i = 0; i < 4 * ARRAY_SIZE(cuts); i++) {
		cut = &cuts[i / 4];
		eor = i & 2 ? MSG_EOR : 0;
		EXPECT_EQ((ssize_t)strlen(cut->sent),
			  link_send(link, 0, cut->sent, strlen(cut->sent),
				    eor));
		link_expect_send(_metadata, link, 0, "next");
		eor = eor_of(link, eor);
		for (peek = 0; peek < i % 2 * 3; peek++)
			expect_cut(_metadata, fd, cut,
				   MSG_PEEK | (peek ? MSG_DONTWAIT : 0), eor);
		expect_cut(_metadata, fd, cut, 0, eor);
		EXPECT_EQ(2, read(fd, buf, 2));
		EXPECT_EQ(0, memcmp(buf, "ne", 2));
		EXPECT_EQ(EAGAIN, try_recv(fd));
	}
}

TEST_F(message, oob_eopnotsupp)
{
	int unconnected = type_socket(_metadata, variant->type);
	struct link *link = &self->link;
	char c;

	EXPECT_EQ(EOPNOTSUPP, err_of(link_send(link, 0, "x", 1, MSG_OOB)));
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(EOPNOTSUPP, err_of(recv(link->fd[1], &c, 1, MSG_OOB)));
	expect_recv(_metadata, link->fd[1], "abc");
	EXPECT_EQ(EOPNOTSUPP, err_of(recv(unconnected, &c, 1,
					  MSG_OOB | MSG_DONTWAIT)));
}

TEST_F(message, pieces)
{
	char head[4] = "", tail[16] = "";
	struct iovec from[] = {
		{ .iov_base = "a", .iov_len = 1 },
		{ .iov_base = NULL, .iov_len = 0 },
		{ .iov_base = "bcdef", .iov_len = 5 },
	}, to[] = {
		{ .iov_base = head, .iov_len = 3 },
		{ .iov_base = tail, .iov_len = 15 },
	};
	struct msghdr msg = { .msg_iov = from, .msg_iovlen = ARRAY_SIZE(from) };
	struct link *link = &self->link;

	EXPECT_EQ(6, sendmsg(link->fd[0], link_address(link, 0, &msg), 0));
	EXPECT_EQ(6, readv(link->fd[1], to, ARRAY_SIZE(to)));
	EXPECT_STREQ("abc", head);
	EXPECT_STREQ("def", tail);
	msg.msg_iovlen = 0;
	EXPECT_EQ(0, sendmsg(link->fd[0], &msg, 0));
	expect_recv(_metadata, link->fd[1], "");
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

/* PAGE_LEN bytes, and after them some that fault */
static char *half_mapped(struct __test_metadata *_metadata)
{
	char *p = mmap(NULL, 2 * PAGE_LEN, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mprotect(p + PAGE_LEN, PAGE_LEN, PROT_NONE));
	return p;
}

/* A message is sent whole or not at all. */
TEST_F(message, send_efault)
{
	static const struct {
		size_t off, len;
	} rows[] = {
		{ PAGE_LEN, 100 },
		{ PAGE_LEN, PAGE_LEN },
		{ PAGE_LEN - 50, 100 },
		{ 0, PAGE_LEN + 1 },
		{ 0, 2 * PAGE_LEN },
	};
	char *page = half_mapped(_metadata);
	struct link *link = &self->link;
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		EXPECT_EQ(EFAULT, err_of(link_send(link, 0, page + rows[i].off,
						   rows[i].len, 0)));
		EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
		EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
		link_expect_send(_metadata, link, 0, "abc");
		expect_recv(_metadata, link->fd[1], "abc");
	}
}

/* What was to be read is lost, what was to be peeked at is not. */
TEST_F(message, recv_efault)
{
	static const struct {
		size_t sent, off;
	} rows[] = {
		{ 3, PAGE_LEN },
		{ 3, PAGE_LEN - 1 },
		{ 3 * PAGE_LEN, 0 },
	};
	char *page = half_mapped(_metadata), *to;
	int fd = self->link.fd[1], i;
	ssize_t len;

	for (i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		len = rows[i / 2].sent;
		to = page + rows[i / 2].off;
		ASSERT_EQ(len, link_send(&self->link, 0, big, len, 0));
		link_expect_send(_metadata, &self->link, 0, "next");
		if (i % 2) {
			EXPECT_EQ(EFAULT, err_of(recv(fd, to, 2 * PAGE_LEN,
						      MSG_PEEK)));
			EXPECT_EQ(len, recv(fd, big, len, MSG_PEEK));
		}
		EXPECT_EQ(EFAULT, err_of(recv(fd, to, 2 * PAGE_LEN, 0)));
		expect_recv(_metadata, fd, "next");
		EXPECT_EQ(EAGAIN, try_recv(fd));
		EXPECT_EQ(0U, mem_charged(_metadata, fd));
	}
}

/* A full receiver */

static void full(struct __test_metadata *_metadata, struct link *link)
{
	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 10000);
	EXPECT_LT(1U, link_fill(_metadata, link, 0, 1000));
}

TEST_F(message, full_until_drained)
{
	static const size_t chunks[] = { 0, 1000, 1000, 1 };
	bool known = variant->made != BY_ADDRESS;
	struct link *link = &self->link;
	size_t max, count;
	int i;

	count = link_fill(_metadata, link, 0, 60000);
	EXPECT_LE(2U, count);
	EXPECT_GE(5U, count);
	EXPECT_EQ(count, link_drain(_metadata, link, 1));

	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 10000);
	max = get_int_opt(_metadata, link->fd[1], SO_RCVBUF);
	for (i = 0; i < ARRAY_SIZE(chunks); i++) {
		EXPECT_EQ(POLLOUT, poll_now(link->fd[0]));
		count = link_fill(_metadata, link, 0, chunks[i]);
		EXPECT_LT(1U, count);
		EXPECT_EQ(EAGAIN, link_try_send(link, 0));
		/* It could never be sent: that it is full does not matter. */
		EXPECT_EQ(EMSGSIZE, err_of(link_send(link, 0, big, max + 1,
						     0)));
		EXPECT_EQ(EAGAIN, err_of(link_send(link, 0, big, max,
						   MSG_DONTWAIT)));
		/* Who names the receiver could send to somebody else. */
		EXPECT_EQ(known ? 0 : POLLOUT, poll_now(link->fd[0]));
		EXPECT_EQ(IN_OUT, poll_now(link->fd[1]));
		link_expect_send(_metadata, link, 1, "back");
		expect_recv(_metadata, link->fd[0], "back");
		EXPECT_EQ(count, link_drain(_metadata, link, 1));
		EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
	}
}

/* A child that sends a message that does not fit; exits with its errno */
static pid_t fork_sender(struct __test_metadata *_metadata, struct link *link)
{
	pid_t pid = my_fork(_metadata);

	if (!pid) {
		close(link->fd[1]);
		_exit(err_of(link_send(link, 0, "x", 1, 0)));
	}
	EXPECT_TRUE(wait_asleep(pid));
	return pid;
}

/* A child that receives one message; exits with its length */
static pid_t fork_reader(struct __test_metadata *_metadata, struct link *link,
			 int flags)
{
	pid_t pid = my_fork(_metadata);
	char buf[16];

	if (!pid) {
		close(link->fd[0]);
		_exit(recv(link->fd[1], buf, sizeof(buf), flags));
	}
	EXPECT_TRUE(wait_asleep(pid));
	return pid;
}

/* What full() sent, and @n messages of those who waited, in whatever order */
static void expect_waited(struct __test_metadata *_metadata,
			  struct link *link, int n)
{
	char buf[1001];
	ssize_t len;

	set_timeout(_metadata, link->fd[1], SO_RCVTIMEO, WAIT_MS);
	while (n) {
		len = recv(link->fd[1], buf, sizeof(buf), 0);
		ASSERT_TRUE(len == 1000 || len == 1)
			TH_LOG("%zd, %d still to come", len, n);
		if (len == 1)
			n--;
	}
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

TEST_F(message, senders_wait_for_room)
{
	struct link *link = &self->link;
	pid_t pid[4];
	int n, i;

	for (n = 1; n <= 4; n += 3) {
		full(_metadata, link);
		for (i = 0; i < n; i++)
			pid[i] = fork_sender(_metadata, link);
		expect_waited(_metadata, link, n);
		for (i = 0; i < n; i++)
			EXPECT_EQ(0, my_wait(pid[i]));
	}

	/* Room can be made in another way. */
	full(_metadata, link);
	pid[0] = fork_sender(_metadata, link);
	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 30000);
	EXPECT_EQ(0, my_wait(pid[0]));
	expect_waited(_metadata, link, 1);

	/* Who is interrupted leaves nothing behind. */
	catch_usr1(_metadata);
	full(_metadata, link);
	pid[0] = fork_sender(_metadata, link);
	kill(pid[0], SIGUSR1);
	EXPECT_EQ(EINTR, my_wait(pid[0]));
	link_drain(_metadata, link, 1);
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
	EXPECT_EQ(0, link_try_send(link, 0));
}

TEST_F(message, readers_get_one_each)
{
	struct link *link = &self->link;
	pid_t pid[3], peeker;
	int i;

	for (i = 0; i < 3; i++)
		pid[i] = fork_reader(_metadata, link, 0);
	for (i = 0; i < 3; i++)
		link_expect_send(_metadata, link, 0, "abc");
	for (i = 0; i < 3; i++)
		EXPECT_EQ(3, my_wait(pid[i]));
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));

	pid[0] = fork_reader(_metadata, link, 0);
	link_expect_send(_metadata, link, 0, "");
	EXPECT_EQ(0, my_wait(pid[0]));

	peeker = fork_reader(_metadata, link, MSG_PEEK);
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(3, my_wait(peeker));
	expect_recv(_metadata, link->fd[1], "abc");
}

struct number {
	int who, n;
	char more[2000];
};

/* Some are long, and so are not put where the short ones are. */
static size_t number_len(int n)
{
	return n % 5 == 4 ? sizeof(struct number) : 2 * sizeof(int);
}

static void send_numbers(struct link *link, struct number out, int end)
{
	for (; out.n < end; out.n++)
		if (link_send(link, 0, &out, number_len(out.n), 0) < 0)
			_exit(errno);
	_exit(0);
}

/*
 * Several processes send through one socket to a reader that is always nearly
 * full: nothing is lost, and what each of them sends stays in order.
 */
TEST_F(message, several_senders)
{
	struct link *link = &self->link;
	int next[4] = {}, rounds = 60, i;
	struct number in = {};
	pid_t pid[4];
	ssize_t n;

	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 5000);
	for (i = 0; i < 4; i++) {
		in.who = i;
		pid[i] = my_fork(_metadata);
		if (!pid[i])
			send_numbers(link, in, rounds);
	}

	set_timeout(_metadata, link->fd[1], SO_RCVTIMEO, WAIT_MS);
	for (i = 0; i < 4 * rounds; i++) {
		n = recv(link->fd[1], &in, sizeof(in), 0);
		ASSERT_LT(0, n);
		ASSERT_TRUE(in.who >= 0 && in.who < 4);
		ASSERT_EQ(next[in.who]++, in.n);
		ASSERT_EQ((ssize_t)number_len(in.n), n);
	}
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, my_wait(pid[i]));
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
}

/* shutdown() and close(). DGRAM: it is the affair of that end alone. */

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
			 const struct ended *row)
{
	int j;

	for (j = 0; j < 2; j++) {
		if (link->fd[j] < 0)
			continue;
		/* A message without a byte is like the end but for poll(). */
		EXPECT_EQ(row->poll[j] | IN_OUT, poll_now(link->fd[j]));
		expect_recv(_metadata, link->fd[j], "queued");
		expect_recv(_metadata, link->fd[j], "");
		EXPECT_EQ(row->poll[j] | POLLOUT, poll_now(link->fd[j]))
			TH_LOG("end %d, how %d", row->end, row->how);
		if (!row->recv[j])
			expect_eof(_metadata, link->fd[j]);
		EXPECT_EQ(row->recv[j], try_recv(link->fd[j]));
	}
	for (j = 0; j < 4; j++)
		if (link->fd[j % 2] >= 0)
			EXPECT_EQ(row->send[j % 2],
				  err_of(link_send(link, j % 2, "x", j / 2,
						   MSG_DONTWAIT)))
				TH_LOG("end %d, how %d", row->end, row->how);
}

TEST_F(message, ended)
{
	struct link *link = &self->link;
	const struct ended *row;

	for (row = ended; row < ended + ARRAY_SIZE(ended); row++) {
		if (row->type != variant->type)
			continue;
		link_destroy(link);
		link_make(_metadata, link, variant->type, variant->made);
		link_expect_send(_metadata, link, 0, "queued");
		link_expect_send(_metadata, link, 0, "");
		/* Unread by who closes it would be an error. */
		if (row->how == CLOSE) {
			link_close(link, row->end);
		} else {
			link_expect_send(_metadata, link, 1, "queued");
			link_expect_send(_metadata, link, 1, "");
			ASSERT_EQ(0, shutdown(link->fd[row->end], row->how));
		}
		expect_ended(_metadata, link, row);
	}
}

TEST_F(message, ended_for_waiting_sender)
{
	static const int hows[] = { SHUT_RD, SHUT_WR, CLOSE };
	struct link *link = &self->link;
	int i, err = EPIPE;
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(hows); i++) {
		full(_metadata, link);
		pid = fork_sender(_metadata, link);
		if (hows[i] == CLOSE)
			link_close(link, 1);
		else
			ASSERT_EQ(0, shutdown(link->fd[hows[i] == SHUT_RD],
					      hows[i]));
		if (hows[i] == CLOSE && variant->type == SOCK_DGRAM)
			err = ECONNREFUSED;
		EXPECT_EQ(err, my_wait(pid)) TH_LOG("how %d", hows[i]);
		EXPECT_EQ(err, link_try_send(link, 0));
		EXPECT_EQ(POLLOUT, poll_now(link->fd[0]) & POLLOUT);
		link_destroy(link);
		link_make(_metadata, link, variant->type, variant->made);
	}
	EXPECT_EQ(EINVAL, err_of(shutdown(link->fd[0], 3)));
	EXPECT_EQ(EINVAL, err_of(shutdown(link->fd[0], -1)));
	EXPECT_EQ(0, link_try_send(link, 0));
}

/* poll() and epoll */

TEST_F(message, readable)
{
	struct link *link = &self->link;
	int edge, level, i;

	edge = make_epoll(_metadata, link->fd[1], EPOLLIN | EPOLLET);
	level = make_epoll(_metadata, link->fd[1], EPOLLIN);
	EXPECT_EQ(POLLOUT, poll_now(link->fd[0]));
	EXPECT_EQ(POLLOUT, poll_now(link->fd[1]));
	EXPECT_EQ(0, next_event(edge, 0));
	for (i = 0; i < 4; i++) {
		link_expect_send(_metadata, link, 0, i % 2 ? "abc" : "");
		EXPECT_EQ(EPOLLIN, next_event(edge, 0));
		EXPECT_EQ(0, next_event(edge, 0));
	}
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(IN_OUT, poll_now(link->fd[1]));
		EXPECT_EQ(EPOLLIN, next_event(level, 0));
		EXPECT_EQ(0, try_recv(link->fd[1]));
	}
	EXPECT_EQ(POLLOUT, poll_now(link->fd[1]));
	EXPECT_EQ(0, next_event(level, 0));
	EXPECT_EQ(0, next_event(edge, 0));
}

/* Receive @text; tells the sender's channel, 0 for no address */
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
TEST_F(message, sender_address)
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

/* An error, once, and after what the closed end has sent */
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
	int err, i, fd;
	pid_t pid;
	char c;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		link_make(_metadata, &link, SOCK_SEQPACKET, BY_CONNECT);
		fd = link.fd[1];
		err = rows[i].err;
		link_expect_send(_metadata, &link, 1, rows[i].sent);
		if (rows[i].flags >= 0)
			EXPECT_EQ(1, recv(link.fd[0], &c, 1, rows[i].flags));
		link_expect_send(_metadata, &link, 0, "last");
		link_close(&link, 0);
		EXPECT_EQ(HUP | IN_OUT | (err ? POLLERR : 0), poll_now(fd));
		expect_recv(_metadata, fd, "last");
		if (err)
			EXPECT_EQ(err, try_recv(fd)) TH_LOG("%s", rows[i].sent);
		EXPECT_EQ(HUP | POLLOUT, poll_now(fd));
		expect_eof(_metadata, fd);
		expect_eof(_metadata, fd);
	}

	/* Who waits gets it, too. */
	link_make(_metadata, &link, SOCK_SEQPACKET, BY_PAIR);
	link_expect_send(_metadata, &link, 1, "unread");
	pid = my_fork(_metadata);
	if (!pid) {
		close(link.fd[0]);
		_exit(err_of(recv(link.fd[1], &c, 1, 0)));
	}
	EXPECT_TRUE(wait_asleep(pid));
	link_close(&link, 0);
	EXPECT_EQ(ECONNRESET, my_wait(pid));
	expect_eof(_metadata, link.fd[1]);
}

TEST(seqpacket_errors)
{
	int fd = type_socket(_metadata, SOCK_SEQPACKET), i;
	struct link link;
	__u32 channel;

	type_listener(_metadata, SOCK_SEQPACKET, &channel);
	EXPECT_EQ(EOPNOTSUPP, err_of(my_sendto(fd, channel, "x", 1, 0)));
	EXPECT_EQ(POLLOUT | POLLHUP, poll_now(fd));
	EXPECT_EQ(ENOTCONN, err_of(shutdown(fd, SHUT_RDWR)));
	EXPECT_EQ(-ENOTCONN, message_max(fd, sizeof(int)));
	EXPECT_EQ(-ENOPROTOOPT, message_max(type_socket(_metadata, SOCK_STREAM),
					    sizeof(int)));
	/* Unbound, bound, listening */
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(ENOTCONN, try_send(fd));
		EXPECT_EQ(ENOTCONN, err_of(send(fd, "", 0, 0)));
		EXPECT_EQ(ENOTCONN, try_recv(fd));
		ASSERT_EQ(0, i ? listen(fd, 1) :
				 my_bind(fd, MYPROTO_CHANNEL_ANY));
	}

	/* Connected: with no signal, which would end the test */
	link_make(_metadata, &link, SOCK_SEQPACKET, BY_CONNECT);
	EXPECT_EQ(EINVAL, err_of(my_dissolve(link.fd[0])));
	EXPECT_EQ(EISCONN, err_of(my_sendto(link.fd[0], channel, "x", 1, 0)));
	EXPECT_EQ(EMSGSIZE, err_of(send(link.fd[0], big, BIG, 0)));
	EXPECT_EQ(EAGAIN, try_recv(link.fd[1]));
}

/*
 * What was sent before accept() is there after it, message by message. To what
 * is written the socket layer adds MSG_EOR: see sock_write_iter().
 */
TEST(seqpacket_write_before_accept)
{
	int listener, client, server, flags;
	__u32 channel;
	char buf[8];

	listener = type_listener(_metadata, SOCK_SEQPACKET, &channel);
	client = type_socket(_metadata, SOCK_SEQPACKET);
	ASSERT_EQ(0, my_connect(client, channel));
	EXPECT_EQ(3, write(client, "abc", 3));
	expect_send(_metadata, client, "");
	server = accept(listener, NULL, NULL);
	ASSERT_LE(0, server);
	EXPECT_EQ(3, recv_flags(server, buf, 8, MSG_DONTWAIT, &flags));
	EXPECT_EQ(MSG_EOR, flags);
	expect_recv(_metadata, server, "");
	EXPECT_EQ(EAGAIN, try_recv(server));
}

TEST_SIGNAL(seqpacket_sigpipe_by_write, SIGPIPE)
{
	struct link link;

	link_make(_metadata, &link, SOCK_SEQPACKET, BY_PAIR);
	link_close(&link, 1);
	if (write(link.fd[0], "x", 1) > 0)
		TH_LOG("write() succeeded");
}

/* All three types share the channels, but one does not reach another. */
TEST(connect_and_bind_types)
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
			EXPECT_EQ(EADDRINUSE, err_of(my_bind(fd, channel[j])));
			EXPECT_EQ(i == j ? 0 : EPROTOTYPE,
				  err_of(my_connect(fd, channel[j])))
				TH_LOG("%d to %d", types[i], types[j]);
			/* One that was refused can still be used. */
			if (i != j)
				EXPECT_EQ(0, my_connect(fd, channel[i]));
		}
		fd = type_socket(_metadata, types[i]);
		EXPECT_EQ(EADDRINUSE, err_of(my_bind(fd, bound)));
		EXPECT_EQ(types[i] == SOCK_SEQPACKET ? ECONNREFUSED :
						       EPROTOTYPE,
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

/*
 * Send @text from @fd to @dest, or to its peer if that is 0. It is what arrives
 * at @to next, from @channel.
 */
static void expect_goes(struct __test_metadata *_metadata, int fd, __u32 dest,
			int to, __u32 channel, const char *text)
{
	ssize_t len = strlen(text), n;

	n = dest ? my_sendto(fd, dest, text, len, MSG_DONTWAIT) :
		   send(fd, text, len, MSG_DONTWAIT);
	EXPECT_EQ(len, n) TH_LOG("%s: %s", text, strerror(errno));
	EXPECT_EQ(channel, recv_from(_metadata, to, 0, text));
}

/* errno of getpeername() */
static int peer_err(int fd)
{
	struct sockaddr_my addr;
	socklen_t len = sizeof(addr);

	return err_of(getpeername(fd, (struct sockaddr *)&addr, &len));
}

static void fill_peer(struct __test_metadata *_metadata, int fd, int peer)
{
	set_int_opt(_metadata, peer, SO_RCVBUF, 10000);
	my_fill(_metadata, fd, 1000);
}

TEST_F(dgram, sendto)
{
	__u32 *channel = self->channel;
	int *fd = self->fd;

	EXPECT_EQ(0, try_sendto(fd[0], channel[1]));
	EXPECT_EQ(0, try_sendto(fd[0], channel[2]));
	EXPECT_EQ(0, try_sendto(fd[1], channel[2]));
	EXPECT_EQ(0, try_sendto(fd[0], channel[2]));
	EXPECT_EQ(channel[0], recv_from(_metadata, fd[2], 0, "x"));
	EXPECT_EQ(channel[1], recv_from(_metadata, fd[2], 0, "x"));
	EXPECT_EQ(channel[0], recv_from(_metadata, fd[2], 0, "x"));
	EXPECT_EQ(channel[0], recv_from(_metadata, fd[1], 0, "x"));
	EXPECT_EQ(EAGAIN, try_recv(fd[0]));
	EXPECT_EQ(EAGAIN, try_recv(fd[1]));

	EXPECT_EQ(0, try_sendto(fd[0], channel[0]));
	EXPECT_EQ(IN_OUT, poll_now(fd[0]));
	EXPECT_EQ(channel[0], recv_from(_metadata, fd[0], 0, "x"));

	/* The channel is what counts, not who had it. */
	EXPECT_EQ(0, try_sendto(fd[0], channel[1]));
	close(fd[1]);
	EXPECT_EQ(ECONNREFUSED, try_sendto(fd[0], channel[1]));
	fd[1] = type_socket(_metadata, SOCK_DGRAM);
	ASSERT_EQ(0, my_bind(fd[1], channel[1]));
	expect_goes(_metadata, fd[0], channel[1], fd[1], channel[0], "new");
}

TEST_F(dgram, unbound)
{
	int fd = type_socket(_metadata, SOCK_DGRAM), i;
	__u32 channel;
	char c;

	EXPECT_EQ(0, my_dissolve(fd));
	EXPECT_EQ(EDESTADDRREQ, try_send(fd));
	EXPECT_EQ(EAGAIN, try_recv(fd));
	set_timeout(_metadata, fd, SO_RCVTIMEO, 20);
	EXPECT_EQ(EAGAIN, err_of(recv(fd, &c, 1, 0)));
	EXPECT_EQ(POLLOUT, poll_now(fd));
	EXPECT_EQ(EOPNOTSUPP, err_of(listen(fd, 1)));
	EXPECT_EQ(0, my_channel(_metadata, fd));

	/* A send binds it, but only the first. */
	EXPECT_EQ(0, try_sendto(fd, self->channel[0]));
	channel = my_channel(_metadata, fd);
	EXPECT_LE(DYNAMIC_START, channel);
	for (i = 1; i < 3; i++) {
		expect_goes(_metadata, fd, self->channel[i], self->fd[i],
			    channel, "question");
		expect_goes(_metadata, self->fd[i], channel, fd,
			    self->channel[i], "answer");
	}
	EXPECT_EQ(channel, recv_from(_metadata, self->fd[0], 0, "x"));

	/* So does connect(). */
	fd = type_socket(_metadata, SOCK_DGRAM);
	ASSERT_EQ(0, my_connect(fd, self->channel[1]));
	channel = my_channel(_metadata, fd);
	EXPECT_LE(DYNAMIC_START, channel);
	expect_goes(_metadata, fd, 0, self->fd[1], channel, "abc");

	EXPECT_EQ(0, shutdown(type_socket(_metadata, SOCK_DGRAM), SHUT_RDWR));
}

/* What fails leaves the sender as it was, first without, then with a peer. */
TEST_F(dgram, refused)
{
	__u32 *channel = self->channel, other[4];
	int *fd = self->fd, connected, i;
	struct {
		struct sockaddr_my addr;
		int err;
	} rows[] = {
		{ { .smy_family = AF_INET }, EAFNOSUPPORT },
		{ { .smy_family = AF_MYPROTO, .__smy_pad = 1 }, EINVAL },
		{ my_addr(0), EINVAL },
		{ my_addr(channel[2]), EPERM },
		/* The addresses follow. */
		{ {}, ECONNREFUSED },
		{ {}, EPROTOTYPE },
		{ {}, EPROTOTYPE },
		{ {}, EPROTOTYPE },
	};
	struct sockaddr *sa;

	/* A channel that nobody has, and those of other types */
	close(type_bound(_metadata, SOCK_DGRAM, &other[0]));
	type_listener(_metadata, SOCK_STREAM, &other[1]);
	type_listener(_metadata, SOCK_SEQPACKET, &other[2]);
	type_bound(_metadata, SOCK_STREAM, &other[3]);
	for (i = 0; i < 4; i++)
		rows[4 + i].addr = my_addr(other[i]);
	ASSERT_EQ(0, my_connect(fd[2], channel[1]));

	for (connected = 0; connected < 2; connected++) {
		if (connected)
			ASSERT_EQ(0, my_connect(fd[0], channel[1]));
		for (i = 0; i < ARRAY_SIZE(rows); i++) {
			sa = (struct sockaddr *)&rows[i].addr;
			EXPECT_EQ(rows[i].err, err_of(sendto(fd[0], "x", 1, 0,
							     sa, 8)));
			EXPECT_EQ(rows[i].err, err_of(connect(fd[0], sa, 8)));
			EXPECT_EQ(EINVAL, err_of(sendto(fd[0], "x", 1, 0, sa,
							7)));
		}
		EXPECT_EQ(connected ? 0 : EDESTADDRREQ, try_send(fd[0]));
		EXPECT_EQ(connected ? 0 : ENOTCONN, peer_err(fd[0]));
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
	__u32 *channel = self->channel;
	int *fd = self->fd;

	/* From now on: what was sent before stays. */
	ASSERT_EQ(0, my_connect(fd[2], channel[0]));
	expect_send(_metadata, fd[2], "before");
	ASSERT_EQ(0, my_connect(fd[0], channel[1]));
	EXPECT_EQ(EPERM, try_send(fd[2]));
	EXPECT_EQ(EPERM, err_of(my_connect(fd[2], channel[0])));
	EXPECT_EQ(0, try_sendto(fd[1], channel[0]));
	EXPECT_EQ(channel[2], recv_from(_metadata, fd[0], 0, "before"));
	EXPECT_EQ(channel[1], recv_from(_metadata, fd[0], 0, "x"));
	EXPECT_EQ(EAGAIN, try_recv(fd[0]));

	/* It is not the one who sends whose association counts. */
	ASSERT_EQ(0, my_dissolve(fd[2]));
	expect_goes(_metadata, fd[0], channel[2], fd[2], channel[0], "third");
	EXPECT_EQ(channel[1], my_peer(_metadata, fd[0]));

	/* The other end was not asked and does not know. */
	EXPECT_EQ(ENOTCONN, peer_err(fd[1]));
	EXPECT_EQ(EDESTADDRREQ, err_of(write(fd[1], "x", 1)));
	EXPECT_EQ(EDESTADDRREQ, err_of(send(fd[1], "", 0, 0)));
	expect_goes(_metadata, fd[2], channel[1], fd[1], channel[2], "abc");
	EXPECT_EQ(3, write(fd[0], "def", 3));
	EXPECT_EQ(channel[0], recv_from(_metadata, fd[1], 0, "def"));
	EXPECT_EQ(0, my_connect(fd[1], channel[0]));
	EXPECT_EQ(EOPNOTSUPP, err_of(listen(fd[1], 1)));
	EXPECT_EQ(EOPNOTSUPP, err_of(accept(fd[1], NULL, NULL)));
}

TEST_F(dgram, reconnect_and_dissolve)
{
	/* connect(2) asks for no more than the family then. */
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };
	__u32 *channel = self->channel;
	int *fd = self->fd, i;

	for (i = 0; i < 10; i++)
		ASSERT_EQ(0, my_connect(fd[0], channel[1]));
	expect_goes(_metadata, fd[0], 0, fd[1], channel[0], "one");
	ASSERT_EQ(0, my_connect(fd[0], channel[2]));
	EXPECT_EQ(channel[2], my_peer(_metadata, fd[0]));
	expect_goes(_metadata, fd[0], 0, fd[2], channel[0], "two");
	EXPECT_EQ(EPERM, try_sendto(fd[1], channel[0]));
	expect_goes(_metadata, fd[2], channel[0], fd[0], channel[2], "three");

	/* From a peer, from none, and with an address of usual length */
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, connect(fd[0], &unspec, i < 2 ? 2 : 8));
		EXPECT_EQ(ENOTCONN, peer_err(fd[0]));
		EXPECT_EQ(EDESTADDRREQ, try_send(fd[0]));
		EXPECT_EQ(channel[0], my_channel(_metadata, fd[0]));
		expect_goes(_metadata, fd[1], channel[0], fd[0], channel[1],
			    "abc");
	}
}

TEST_F(dgram, connect_oneself)
{
	int fd = self->fd[0];

	ASSERT_EQ(0, my_connect(fd, self->channel[0]));
	EXPECT_EQ(EPERM, try_sendto(self->fd[1], self->channel[0]));
	expect_goes(_metadata, fd, 0, fd, self->channel[0], "abc");
	EXPECT_EQ(self->channel[0], my_peer(_metadata, fd));
	fill_peer(_metadata, fd, fd);
	EXPECT_EQ(POLLIN, poll_now(fd));
	my_drain(_metadata, fd);
	EXPECT_EQ(POLLOUT, poll_now(fd));
}

/* An association is with a socket: who takes its channel is not it. */
TEST_F(dgram, closed_peer)
{
	__u32 *channel = self->channel;
	int *fd = self->fd;

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
	expect_goes(_metadata, fd[0], 0, fd[1], channel[0], "abc");
	expect_goes(_metadata, fd[1], channel[0], fd[0], channel[1], "def");

	close(fd[1]);
	ASSERT_EQ(0, my_dissolve(fd[0]));
	EXPECT_EQ(EDESTADDRREQ, try_send(fd[0]));
	expect_goes(_metadata, fd[2], channel[0], fd[0], channel[2], "abc");
}

/* There is no end of a stream here: somebody else may be allowed to send. */
TEST_F(dgram, closed_peer_does_not_wake_reader)
{
	struct link link = { .fd = { self->fd[1], self->fd[0] } };
	pid_t pid;

	ASSERT_EQ(0, my_connect(self->fd[0], self->channel[1]));
	pid = fork_reader(_metadata, &link, 0);
	close(self->fd[1]);
	usleep(20000);
	EXPECT_TRUE(wait_asleep(pid));
	ASSERT_EQ(0, my_dissolve(self->fd[0]));
	EXPECT_EQ(0, try_sendto(self->fd[2], self->channel[0]));
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

/* DGRAM: shutdown(), never with SIGPIPE, which would end the test */

TEST_F(dgram, shutdown_rd_refuses_everybody)
{
	__u32 *channel = self->channel;
	int *fd = self->fd, i;

	/* Each error is told rather than the one before. */
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
}

/* A new association does not undo it. */
TEST_F(dgram, shutdown_wr_stays)
{
	int fd = self->fd[0];
	pid_t pid;

	ASSERT_EQ(0, shutdown(fd, SHUT_WR));
	EXPECT_EQ(EPIPE, try_sendto(fd, self->channel[1]));
	EXPECT_EQ(0, my_connect(fd, self->channel[1]));
	EXPECT_EQ(EPIPE, err_of(send(fd, "x", 1, 0)));
	EXPECT_EQ(EPIPE, err_of(write(fd, "x", 1)));
	EXPECT_EQ(EPIPE, try_sendto(fd, self->channel[2]));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[1]));
	EXPECT_EQ(EAGAIN, try_recv(self->fd[2]));

	/* In two steps as in one, and it wakes poll(). */
	pid = my_fork(_metadata);
	if (!pid)
		_exit(poll_for(fd, 0, WAIT_MS) != POLLHUP);
	EXPECT_TRUE(wait_asleep(pid));
	ASSERT_EQ(0, shutdown(fd, SHUT_RD));
	EXPECT_EQ(0, my_wait(pid));
	EXPECT_EQ(HUP | POLLOUT, poll_now(fd));
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
		expect_goes(_metadata, fd[0], 0, fd[1], own, "abc");
		expect_goes(_metadata, fd[1], 0, fd[0], 0, "def");
	}

	/* When it leaves, the other end has not been asked. */
	ASSERT_EQ(0, my_dissolve(fd[0]));
	EXPECT_EQ(EDESTADDRREQ, try_send(fd[0]));
	expect_goes(_metadata, fd[1], 0, fd[0], 0, "abc");
	ASSERT_EQ(0, my_connect(fd[0], channel[1]));
	expect_goes(_metadata, fd[0], 0, self->fd[1], own, "def");
	EXPECT_EQ(EPERM, try_send(fd[1]));
	EXPECT_EQ(EAGAIN, try_recv(fd[0]));
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
