// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO by io_uring, whose requests take other ways to the same code: they
 * must never sleep in it, and those that would wait are tried again when poll
 * says so.
 */
#include <linux/sockios.h>

#include "link.h"
#include "ring.h"
#include "type.h"

#define BUF_LEN		64
#define BUF_COUNT	8
#define BUF_GROUP	1

static struct ring ring;
static struct link pair;
static struct io_uring_sqe recv_sqe;	/* by end 1, to buf */
static char buf[8];

FIXTURE(uring) {};

FIXTURE_VARIANT(uring)
{
	int type;
};

FIXTURE_VARIANT_ADD(uring, stream) { SOCK_STREAM };
FIXTURE_VARIANT_ADD(uring, seqpacket) { SOCK_SEQPACKET };
FIXTURE_VARIANT_ADD(uring, dgram) { SOCK_DGRAM };

FIXTURE_SETUP(uring)
{
	ring_init(return, &ring);
	link_make(_metadata, &pair, variant->type, BY_CONNECT);
	recv_sqe = make_sqe(IORING_OP_RECV, pair.fd[1], buf, 3);
}

FIXTURE_TEARDOWN(uring)
{
}

/* A send from end 0, to the other end */
static struct io_uring_sqe make_send(const void *buf, unsigned int len)
{
	struct io_uring_sqe sqe = make_sqe(IORING_OP_SEND, pair.fd[0], buf,
					   len);

	sqe.msg_flags = MSG_NOSIGNAL;
	return sqe;
}

/* Submit and wait */
static int run_op(struct __test_metadata *_metadata, int op,
		  int fd, const void *addr, unsigned int len)
{
	struct io_uring_sqe sqe = make_sqe(op, fd, addr, len);

	return run(_metadata, &ring, &sqe);
}

/* A request that waits: this thread does not. */
static void submit_waits(struct __test_metadata *_metadata,
			 const struct io_uring_sqe *sqe)
{
	submit(_metadata, &ring, sqe);
	EXPECT_TRUE(still_waits(&ring));
}

/* The flags of the next completion, whose result is @res */
static unsigned int expect_cqe(struct __test_metadata *_metadata, int res)
{
	struct io_uring_cqe cqe;

	wait_cqe(_metadata, &ring, &cqe);
	EXPECT_EQ(res, cqe.res);
	return cqe.flags;
}

TEST_F(uring, send_and_recv)
{
	static const int ops[][2] = {
		{ IORING_OP_SEND, IORING_OP_RECV },
		{ IORING_OP_WRITE, IORING_OP_READ },
		{ IORING_OP_SENDMSG, IORING_OP_RECVMSG },
	};
	struct iovec out[] = { { "ab", 2 }, { "cdef", 4 } };
	char head[4] = "", tail[8] = "";
	struct iovec in[] = { { head, 3 }, { tail, 7 } };
	struct msghdr to = { .msg_iov = out, .msg_iovlen = 2 };
	struct sockaddr_my name = {};
	struct msghdr from = {
		.msg_iov = in,
		.msg_iovlen = 2,
		.msg_name = &name,
		.msg_namelen = sizeof(name),
	};
	bool named = variant->type != SOCK_STREAM;
	int *fd = pair.fd, i;

	for (i = 0; i < 3; i++) {
		memset(buf, 0, sizeof(buf));
		EXPECT_EQ(6, run_op(_metadata, ops[i][0], fd[0], i == 2 ?
				    (void *)&to : "abcdef", i == 2 ? 1 : 6));
		EXPECT_EQ(6, run_op(_metadata, ops[i][1], fd[1],
				    i == 2 ? (void *)&from : buf,
				    i == 2 ? 1 : sizeof(buf)));
		EXPECT_STREQ(i == 2 ? "" : "abcdef", buf);
	}
	EXPECT_STREQ("abc", head);
	EXPECT_STREQ("def", tail);
	EXPECT_EQ(named ? sizeof(name) : 0, from.msg_namelen);
	if (named)
		EXPECT_EQ(my_channel(_metadata, fd[0]), name.smy_channel);
	EXPECT_EQ(-EOPNOTSUPP, run_op(_metadata, IORING_OP_SEND_ZC,
				      fd[0], "x", 1));
	EXPECT_EQ(EAGAIN, try_recv(fd[1]));
}

TEST_F(uring, recv_waits)
{
	struct io_uring_sqe sqe = recv_sqe;
	struct io_uring_cqe cqe;
	char text[3][4] = {};
	int i;

	sqe.msg_flags = MSG_DONTWAIT;
	EXPECT_EQ(-EAGAIN, run(_metadata, &ring, &sqe));

	recv_sqe.user_data = 1;
	submit_waits(_metadata, &recv_sqe);
	sqe = make_sqe(IORING_OP_ASYNC_CANCEL, -1, (void *)1, 0);
	submit(_metadata, &ring, &sqe);
	for (i = 0; i < 2; i++) {
		wait_cqe(_metadata, &ring, &cqe);
		EXPECT_EQ(cqe.user_data ? -ECANCELED : 0, cqe.res);
	}

	submit_waits(_metadata, &recv_sqe);
	link_expect_send(_metadata, &pair, 0, "abc");
	EXPECT_FALSE(expect_cqe(_metadata, 3) & IORING_CQE_F_SOCK_NONEMPTY);
	EXPECT_STREQ("abc", buf);

	for (i = 0; i < 3; i++) {
		sqe = make_sqe(IORING_OP_RECV, pair.fd[1], text[i], 3);
		submit_waits(_metadata, &sqe);
	}
	for (i = 0; i < 3; i++)
		link_expect_send(_metadata, &pair, 0, "abc");
	for (i = 0; i < 3; i++)
		EXPECT_EQ(3, wait_result(_metadata, &ring));
	for (i = 0; i < 3; i++)
		EXPECT_STREQ("abc", text[i]);

	submit_waits(_metadata, &recv_sqe);
	EXPECT_EQ(0, run_op(_metadata, IORING_OP_SHUTDOWN, pair.fd[1],
			    NULL, SHUT_RD));
	EXPECT_EQ(0, wait_result(_metadata, &ring));
}

/* There is no room. */
TEST_F(uring, send_waits)
{
	struct io_uring_sqe sqe = make_send("x", 1);
	struct io_uring_cqe cqe = { .res = -ETIME };
	long end = now_ms() + WAIT_MS;
	char buf[1000], last = 0;
	ssize_t n;

	set_int_opt(_metadata, pair.fd[1], SO_RCVBUF, 10000);
	link_fill(_metadata, &pair, 0, 1000);
	sqe.msg_flags |= MSG_DONTWAIT;
	EXPECT_EQ(-EAGAIN, run(_metadata, &ring, &sqe));
	sqe.msg_flags &= ~MSG_DONTWAIT;
	submit_waits(_metadata, &sqe);
	/* It comes last, and what was there before are zeros. */
	while (last != 'x' && now_ms() < end) {
		n = recv(pair.fd[1], buf, sizeof(buf), MSG_DONTWAIT);
		if (n > 0)
			last = buf[n - 1];
		completed(&ring, &cqe);
	}
	EXPECT_EQ('x', last);
	if (cqe.res == -ETIME)
		wait_cqe(_metadata, &ring, &cqe);
	EXPECT_EQ(1, cqe.res);

	/* The other end goes while a request waits. */
	link_fill(_metadata, &pair, 0, 1000);
	submit_waits(_metadata, &sqe);
	link_close(&pair, 1);
	EXPECT_EQ(variant->type == SOCK_DGRAM ? -ECONNREFUSED : -EPIPE,
		  wait_result(_metadata, &ring));
}

/* Each goes on while the other one makes room for it, or brings more. */
TEST_F(uring, large_send_and_recv)
{
	int len = variant->type == SOCK_STREAM ? 1 << 20 : 150000, i;
	char *out = calloc(2, len), *in = out + len;
	struct io_uring_sqe sqe = make_sqe(IORING_OP_RECV, pair.fd[1], in, len);

	ASSERT_NE(NULL, out);
	fill_pattern(out, len, 1);
	sqe.msg_flags = MSG_WAITALL;
	submit_waits(_metadata, &sqe);
	sqe = make_send(out, len);
	sqe.msg_flags |= MSG_WAITALL;
	submit(_metadata, &ring, &sqe);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(len, wait_result(_metadata, &ring));
	EXPECT_EQ(0, memcmp(in, out, len));
	free(out);
}

TEST_F(uring, poll)
{
	struct io_uring_sqe sqe;
	int i;

	sqe = make_sqe(IORING_OP_POLL_ADD, pair.fd[1], NULL, 0);
	sqe.poll32_events = POLLIN;
	submit_waits(_metadata, &sqe);
	link_expect_send(_metadata, &pair, 0, "abc");
	EXPECT_EQ(POLLIN, wait_result(_metadata, &ring));

	set_int_opt(_metadata, pair.fd[1], SO_RCVBUF, 10000);
	link_fill(_metadata, &pair, 0, 1000);
	sqe.fd = pair.fd[0];
	sqe.poll32_events = POLLOUT;
	submit_waits(_metadata, &sqe);
	link_drain(_metadata, &pair, 1);
	EXPECT_EQ(POLLOUT, wait_result(_metadata, &ring));

	sqe = make_sqe(IORING_OP_POLL_ADD, pair.fd[1], NULL,
		       IORING_POLL_ADD_MULTI);
	sqe.poll32_events = POLLIN;
	submit(_metadata, &ring, &sqe);
	for (i = 0; i < 4; i++) {
		EXPECT_TRUE(still_waits(&ring));
		link_expect_send(_metadata, &pair, 0, "abc");
		EXPECT_TRUE(expect_cqe(_metadata, POLLIN) & IORING_CQE_F_MORE);
	}
}

TEST_F(uring, commands)
{
	bool dgram = variant->type == SOCK_DGRAM;
	const struct { int end, op, res; } commands[] = {
		{ 1, SOCKET_URING_OP_SIOCINQ, dgram ? 3 : 8 },
		{ 0, SOCKET_URING_OP_SIOCOUTQ, dgram ? 0 : 8 },
		{ 0, SOCKET_URING_OP_SIOCINQ, 0 },
		{ 0, 9999, -EOPNOTSUPP },
	};
	struct io_uring_sqe sqe;
	int val = -1, i;

	link_expect_send(_metadata, &pair, 0, "abc");
	link_expect_send(_metadata, &pair, 0, "defgh");
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		sqe = make_sqe(IORING_OP_URING_CMD, pair.fd[commands[i].end],
			       NULL, 0);
		sqe.cmd_op = commands[i].op;
		EXPECT_EQ(commands[i].res, run(_metadata, &ring, &sqe))
			TH_LOG("command %d", commands[i].op);
	}

	sqe = make_sqe(IORING_OP_URING_CMD, pair.fd[1], NULL, 0);
	sqe.cmd_op = SOCKET_URING_OP_GETSOCKOPT;
	sqe.level = SOL_SOCKET;
	sqe.optname = SO_TYPE;
	sqe.optlen = sizeof(val);
	sqe.optval = (uintptr_t)&val;
	EXPECT_EQ((int)sizeof(val), run(_metadata, &ring, &sqe));
	EXPECT_EQ(variant->type, val);

	val = 1;
	sqe.cmd_op = SOCKET_URING_OP_SETSOCKOPT;
	sqe.optname = SO_PASSCRED;
	EXPECT_EQ(0, run(_metadata, &ring, &sqe));
	EXPECT_EQ(1, get_int_opt(_metadata, pair.fd[1], SO_PASSCRED));
}

/* A completion says whether there is more to receive. */
static void expect_more(struct __test_metadata *_metadata,
			const struct io_uring_sqe *sqe, int res, bool more)
{
	unsigned int flags;

	submit(_metadata, &ring, sqe);
	flags = expect_cqe(_metadata, res);
	EXPECT_EQ(more, !!(flags & IORING_CQE_F_SOCK_NONEMPTY));
}

TEST_F(uring, recv_tells_of_more)
{
	struct iovec iov = { buf, 3 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	bool stream = variant->type == SOCK_STREAM;
	struct io_uring_sqe sqe = recv_sqe;
	int i;

	for (i = 0; i < 2; i++) {
		link_expect_send(_metadata, &pair, 0, "abc");
		expect_more(_metadata, &sqe, 3, false);
		link_expect_send(_metadata, &pair, 0, "abc");
		link_expect_send(_metadata, &pair, 0, "def");
		expect_more(_metadata, &sqe, 3, true);
		expect_more(_metadata, &sqe, 3, false);
		sqe = make_sqe(IORING_OP_RECVMSG, pair.fd[1], &msg, 1);
	}

	/* What is left of a message is lost: it is not more. */
	recv_sqe.len = 2;
	link_expect_send(_metadata, &pair, 0, "abc");
	expect_more(_metadata, &recv_sqe, 2, stream);
	if (stream)
		return;
	/* A message without a byte is. */
	link_expect_send(_metadata, &pair, 0, "ab");
	link_expect_send(_metadata, &pair, 0, "");
	expect_more(_metadata, &recv_sqe, 2, true);
	expect_more(_metadata, &recv_sqe, 0, false);
}

/* A recv that takes buffers from a group as it needs them */
static void use_bufs(struct __test_metadata *_metadata,
		     struct io_uring_sqe *sqe, struct bufs *bufs, int how)
{
	bufs_init(_metadata, &ring, bufs, BUF_GROUP, BUF_COUNT, BUF_LEN);
	sqe->addr = 0;
	sqe->len = 0;
	sqe->ioprio = how;
	sqe->flags = IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUF_GROUP;
}

/* Send @count messages that just fill a buffer: they are to stay apart. */
static void send_bufs(struct __test_metadata *_metadata, char *out, int count)
{
	int i;

	fill_pattern(out, count * BUF_LEN, 1);
	for (i = 0; i < count; i++)
		ASSERT_EQ(BUF_LEN, link_send(&pair, 0, out + i * BUF_LEN,
					     BUF_LEN, MSG_DONTWAIT));
}

#define DRAIN	5

static void multishot(struct __test_metadata *_metadata,
		      struct io_uring_sqe *sqe, int bundle)
{
	static const char * const text[] = { "abc", "de", "fghi" };
	char out[DRAIN * BUF_LEN], in[DRAIN * BUF_LEN];
	int i, more, done = 0, len;
	struct io_uring_cqe cqe;
	struct bufs bufs;

	use_bufs(_metadata, sqe, &bufs, IORING_RECV_MULTISHOT | bundle);
	send_bufs(_metadata, out, DRAIN);
	submit(_metadata, &ring, sqe);
	while (done < (int)sizeof(out)) {
		wait_cqe(_metadata, &ring, &cqe);
		ASSERT_LT(0, cqe.res);
		if (!bundle || pair.type != SOCK_STREAM)
			EXPECT_EQ(BUF_LEN, cqe.res);
		EXPECT_TRUE(cqe.flags & IORING_CQE_F_MORE);
		more = cqe.flags & IORING_CQE_F_SOCK_NONEMPTY;
		/* They are taken in the order in which they were given. */
		ASSERT_GE((int)sizeof(out), done + cqe.res);
		memcpy(in + done, bufs.mem + bufs_id(&cqe) * BUF_LEN, cqe.res);
		done += cqe.res;
		EXPECT_EQ(done < (int)sizeof(out), !!more);
	}
	EXPECT_EQ(0, memcmp(out, in, sizeof(out)));
	EXPECT_TRUE(still_waits(&ring));
	/* A waiting bundle holds all buffers and ends when they are used up. */
	if (bundle)
		return;

	for (i = 0; i < ARRAY_SIZE(text); i++) {
		EXPECT_TRUE(still_waits(&ring));
		len = strlen(text[i]);
		link_expect_send(_metadata, &pair, 0, text[i]);
		wait_cqe(_metadata, &ring, &cqe);
		EXPECT_EQ(len, cqe.res);
		EXPECT_TRUE(cqe.flags & IORING_CQE_F_MORE);
		ASSERT_TRUE(cqe.flags & IORING_CQE_F_BUFFER);
		EXPECT_EQ(0, memcmp(bufs.mem + bufs_id(&cqe) * BUF_LEN,
				    text[i], len));
		bufs_put(&bufs, bufs_id(&cqe));
	}
	ASSERT_EQ(0, shutdown(pair.fd[1], SHUT_RD));
	EXPECT_FALSE(expect_cqe(_metadata, 0) & IORING_CQE_F_MORE);
}

/* Each completion but the last says that there is more. */
TEST_F(uring, recv_multishot)
{
	multishot(_metadata, &recv_sqe, 0);
}

TEST_F(uring, recv_multishot_bundle)
{
	multishot(_metadata, &recv_sqe, IORING_RECVSEND_BUNDLE);
}

/* Data and the end were there before it waited: one event tells of both. */
TEST_F(uring, recv_multishot_tells_end)
{
	struct bufs bufs;

	use_bufs(_metadata, &recv_sqe, &bufs,
		 IORING_RECV_MULTISHOT | IORING_RECVSEND_POLL_FIRST);
	link_expect_send(_metadata, &pair, 0, "a");
	ASSERT_EQ(0, shutdown(pair.fd[1], SHUT_RD));
	submit(_metadata, &ring, &recv_sqe);
	EXPECT_TRUE(expect_cqe(_metadata, 1) & IORING_CQE_F_MORE);
	expect_cqe(_metadata, 0);
}

/* A bundle takes of a stream what several buffers hold, but one message. */
TEST_F(uring, recv_bundle)
{
	int count = variant->type == SOCK_STREAM ? 1 : 2, len, more, i;
	char out[2 * BUF_LEN];
	struct io_uring_cqe cqe;
	struct bufs bufs;

	use_bufs(_metadata, &recv_sqe, &bufs, IORING_RECVSEND_BUNDLE);
	send_bufs(_metadata, out, 2);
	len = sizeof(out) / count;
	for (i = 0; i < count; i++) {
		submit(_metadata, &ring, &recv_sqe);
		wait_cqe(_metadata, &ring, &cqe);
		ASSERT_EQ(len, cqe.res);
		EXPECT_EQ(0, memcmp(out + i * len,
				    bufs.mem + bufs_id(&cqe) * BUF_LEN, len));
		more = cqe.flags & IORING_CQE_F_SOCK_NONEMPTY;
		EXPECT_EQ(i < count - 1, !!more);
	}
}

/* A send with an address */
TEST(send_to_address)
{
	struct io_uring_sqe sqe;

	ring_init(return, &ring);
	link_make(_metadata, &pair, SOCK_DGRAM, BY_ADDRESS);
	sqe = make_send("abc", 3);
	sqe.addr2 = (uintptr_t)&pair.name[1];
	sqe.addr_len = sizeof(pair.name[1]);
	EXPECT_EQ(3, run(_metadata, &ring, &sqe));
	expect_recv(_metadata, pair.fd[1], "abc");
	pair.name[1].smy_channel = 1;
	EXPECT_EQ(-ECONNREFUSED, run(_metadata, &ring, &sqe));
}

/* Making connections */

static int run_addr(struct __test_metadata *_metadata,
		    int op, int fd, __u32 channel)
{
	struct sockaddr_my addr = my_addr(channel);
	struct io_uring_sqe sqe = make_sqe(op, fd, &addr, 0);

	sqe.addr2 = sizeof(addr);
	return run(_metadata, &ring, &sqe);
}

/* io_uring has an opcode for each step of a server and a client. */
TEST_F(type, server_and_client)
{
	struct sockaddr_my addr = {};
	socklen_t len = sizeof(addr);
	struct io_uring_sqe sqe;
	int listener, client, i;
	struct io_uring_cqe cqe;
	__u32 channel;

	ring_init(return, &ring);
	sqe = make_sqe(IORING_OP_SOCKET, AF_MYPROTO, NULL, 0);
	sqe.off = variant->type;
	listener = run(_metadata, &ring, &sqe);
	client = run(_metadata, &ring, &sqe);
	EXPECT_EQ(-ECONNREFUSED, run_addr(_metadata, IORING_OP_CONNECT,
					  client, 1));
	ASSERT_EQ(0, run_addr(_metadata, IORING_OP_BIND, listener,
			      MYPROTO_CHANNEL_ANY));
	ASSERT_EQ(0, run_op(_metadata, IORING_OP_LISTEN, listener, NULL, 5));
	channel = my_channel(_metadata, listener);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(i ? -EISCONN : 0,
			  run_addr(_metadata, IORING_OP_CONNECT, client,
				   channel));
	sqe = make_sqe(IORING_OP_ACCEPT, listener, &addr, 0);
	sqe.addr2 = (uintptr_t)&len;
	expect_exchange(_metadata, client, run(_metadata, &ring, &sqe));
	EXPECT_EQ(sizeof(addr), len);
	EXPECT_EQ(AF_MYPROTO, addr.smy_family);
	EXPECT_EQ(my_channel(_metadata, client), addr.smy_channel);

	sqe = make_sqe(IORING_OP_ACCEPT, listener, NULL, 0);
	for (i = 0; i < 5; i++) {
		if (i < 2)
			submit(_metadata, &ring, &sqe);
		EXPECT_TRUE(still_waits(&ring));
		client = my_client(_metadata, channel);
		wait_cqe(_metadata, &ring, &cqe);
		EXPECT_EQ(!!i, !!(cqe.flags & IORING_CQE_F_MORE));
		expect_exchange(_metadata, client, cqe.res);
		sqe.ioprio = IORING_ACCEPT_MULTISHOT;
	}
	ASSERT_EQ(0, shutdown(listener, SHUT_RDWR));
	EXPECT_EQ(-EINVAL, wait_result(_metadata, &ring));
}

/* A ring that goes takes its requests with it. */
TEST_F(type, ring_closed_with_requests)
{
	int listener, client, fd, i, left;
	struct io_uring_sqe sqe;
	char buf[16], c;
	__u32 channel;
	ssize_t n;

	ring_init(return, &ring);
	listener = my_listener(_metadata, 5, &channel);
	client = my_client(_metadata, channel);
	fd = my_accept(_metadata, listener);
	sqe = make_sqe(IORING_OP_RECV, fd, &c, 1);
	submit_waits(_metadata, &sqe);
	sqe = make_sqe(IORING_OP_ACCEPT, listener, NULL, 0);
	submit_waits(_metadata, &sqe);
	close(ring.fd);

	/* They go a little later: the one may still take some, but once. */
	for (i = 0; i < 3; i++)
		expect_send(_metadata, client, "abc");
	left = variant->type == SOCK_STREAM ? 8 : 6;
	while (left > 0) {
		ASSERT_EQ(POLLIN, poll_for(fd, POLLIN, WAIT_MS));
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		ASSERT_LT(0, n);
		left -= n;
	}
}

TEST_HARNESS_MAIN

#include "cmsg.h"

/* Receive all that there is, and return how many descriptors came with it. */
static int drain_descriptors(int fd)
{
	struct got got;
	int n = 0, *in;

	while (recv_got(fd, &got, 256, 0) >= 0) {
		in = find_cmsg(&got, SCM_RIGHTS, sizeof(*in));
		n += in && !close(*in);
	}
	return n;
}

/* The same message is sent again and again until there is room: its descriptor
 * arrives once, and no try has left one behind.
 */
TEST_F(uring, descriptors_after_waiting_for_room)
{
	struct iovec iov = { "abc", 3 };
	union control control = {
		.align.cmsg_level = SOL_SOCKET,
		.align.cmsg_type = SCM_RIGHTS,
		.align.cmsg_len = CMSG_LEN(sizeof(int)),
	};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(sizeof(int)),
	};
	struct io_uring_sqe sqe;
	int end[2], times;

	/* The core converts the control message each time that it is tried. */
	if (sizeof(long) < 8)
		SKIP(return, "io_uring cannot repeat it for 32 bits");
	ASSERT_EQ(0, pipe(end));
	memcpy(CMSG_DATA(&control.align), &end[1], sizeof(int));
	set_int_opt(_metadata, pair.fd[1], SO_PASSRIGHTS, 1);
	link_fill(_metadata, &pair, 0, 4096);
	sqe = make_sqe(IORING_OP_SENDMSG, pair.fd[0], &msg, 1);
	submit_waits(_metadata, &sqe);

	/* It may come in the middle of that, or behind it. */
	times = drain_descriptors(pair.fd[1]);
	EXPECT_EQ(3, wait_result(_metadata, &ring));
	times += drain_descriptors(pair.fd[1]);
	EXPECT_EQ(1, times);
	close(end[1]);
	EXPECT_EQ(POLLHUP, poll_for(end[0], POLLIN, WAIT_MS));
}
