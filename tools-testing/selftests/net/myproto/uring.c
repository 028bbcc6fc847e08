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
#define BUF_COUNT	8	/* a power of two */

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

	ASSERT_TRUE(ring_next(&ring, &cqe));
	EXPECT_EQ(res, cqe.res);
	return cqe.flags;
}

TEST_F(uring, recv_waits)
{
	struct io_uring_sqe sqe;
	char text[9];
	int i;

	for (i = 0; i < 3; i++) {
		sqe = make_sqe(IORING_OP_RECV, pair.fd[1], text + 3 * i, 3);
		submit_waits(_metadata, &sqe);
	}
	for (i = 0; i < 3; i++)
		link_expect_send(_metadata, &pair, 0, "abc");
	for (i = 0; i < 3; i++)
		EXPECT_EQ(3, wait_result(_metadata, &ring));
	EXPECT_EQ(0, memcmp("abcabcabc", text, 9));

	/* It goes a little after its ring, and takes one of these at most. */
	submit_waits(_metadata, &recv_sqe);
	close(ring.fd);
	for (i = 0; i < 2; i++)
		link_expect_send(_metadata, &pair, 0, "abc");
	EXPECT_EQ(POLLIN, poll_for(pair.fd[1], POLLIN, WAIT_MS));
}

/* There is no room. */
TEST_F(uring, send_waits)
{
	struct io_uring_sqe sqe = make_send("x", 1);
	struct io_uring_cqe cqe;
	ssize_t total;

	set_int_opt(_metadata, pair.fd[1], SO_RCVBUF, 10000);
	total = my_fill(_metadata, pair.fd[0], 1000);
	submit_waits(_metadata, &sqe);
	ASSERT_TRUE(wait_until((total -= my_drain(_metadata, pair.fd[1]),
				completed(&ring, &cqe))));
	EXPECT_EQ(1, cqe.res);
	EXPECT_EQ(total + 1, my_drain(_metadata, pair.fd[1]));

	/* The other end goes while a request waits. */
	my_fill(_metadata, pair.fd[0], 1000);
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
}

TEST_F(uring, commands)
{
	bool dgram = variant->type == SOCK_DGRAM;
	const struct { int end, op, res; } commands[] = {
		{ 1, SOCKET_URING_OP_SIOCINQ, dgram ? 3 : 8 },
		{ 0, SOCKET_URING_OP_SIOCOUTQ, dgram ? 0 : 8 },
		{ 0, SOCKET_URING_OP_SIOCINQ, 0 },
	};
	struct io_uring_sqe sqe;
	int i;

	link_expect_send(_metadata, &pair, 0, "abc");
	link_expect_send(_metadata, &pair, 0, "defgh");
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		sqe = make_sqe(IORING_OP_URING_CMD, pair.fd[commands[i].end],
			       NULL, 0);
		sqe.cmd_op = commands[i].op;
		EXPECT_EQ(commands[i].res, run(_metadata, &ring, &sqe));
	}

	sqe = make_send("x", 1);
	sqe.opcode = IORING_OP_SEND_ZC;
	EXPECT_EQ(-EOPNOTSUPP, run(_metadata, &ring, &sqe));
}

/* A completion says whether there is more to receive. */
static void expect_more(struct __test_metadata *_metadata,
			const struct io_uring_sqe *sqe, int res, bool more)
{
	submit(_metadata, &ring, sqe);
	EXPECT_EQ(more ? IORING_CQE_F_SOCK_NONEMPTY : 0,
		  expect_cqe(_metadata, res) & IORING_CQE_F_SOCK_NONEMPTY);
}

TEST_F(uring, recv_tells_of_more)
{
	struct iovec iov = { buf, 3 };
	struct sockaddr_my name = {};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_name = &name,
		.msg_namelen = sizeof(name),
	};
	bool stream = variant->type == SOCK_STREAM;
	struct io_uring_sqe sqe = recv_sqe;
	int i;

	for (i = 0; i < 2; i++) {
		link_expect_send(_metadata, &pair, 0, "abc");
		expect_more(_metadata, &sqe, 3, false);
		EXPECT_STREQ("abc", buf);
		link_expect_send(_metadata, &pair, 0, "def");
		link_expect_send(_metadata, &pair, 0, "ghi");
		expect_more(_metadata, &sqe, 3, true);
		expect_more(_metadata, &sqe, 3, false);
		EXPECT_STREQ("ghi", buf);
		sqe = make_sqe(IORING_OP_RECVMSG, pair.fd[1], &msg, 1);
	}
	EXPECT_EQ(stream ? 0 : sizeof(name), msg.msg_namelen);
	EXPECT_EQ(stream ? 0 : my_channel(_metadata, pair.fd[0]),
		  name.smy_channel);

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

/* Have the recv take buffers from a group as it needs them: the first one is
 * returned, and the others follow it.
 */
static char *use_bufs(struct __test_metadata *_metadata, int how)
{
	struct io_uring_buf_reg reg = { .ring_entries = BUF_COUNT };
	struct io_uring_buf_ring *bufs;
	char *mem;
	int i;

	bufs = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)bufs);
	mem = (char *)&bufs->bufs[BUF_COUNT];
	for (i = 0; i < BUF_COUNT; i++) {
		bufs->bufs[i].addr = (uintptr_t)(mem + i * BUF_LEN);
		bufs->bufs[i].len = BUF_LEN;
	}
	bufs->tail = BUF_COUNT;
	reg.ring_addr = (uintptr_t)bufs;
	ASSERT_EQ(0, syscall(__NR_io_uring_register, ring.fd,
			     IORING_REGISTER_PBUF_RING, &reg, 1));
	recv_sqe.addr = 0;
	recv_sqe.len = 0;
	recv_sqe.ioprio = how;
	recv_sqe.flags = IOSQE_BUFFER_SELECT;
	return mem;
}

/* The buffers are taken in the order in which they were given. */
static void multishot(struct __test_metadata *_metadata, int bundle)
{
	int flags, done, len = BUF_LEN, i;
	char out[5 * BUF_LEN], *mem;

	mem = use_bufs(_metadata, IORING_RECV_MULTISHOT | bundle);
	fill_pattern(out, sizeof(out), 1);
	/* Messages that just fill a buffer are to stay apart. */
	for (i = 0; i < 5; i++)
		ASSERT_EQ(BUF_LEN, link_send(&pair, 0, out + i * BUF_LEN,
					     BUF_LEN, 0));
	if (bundle && pair.type == SOCK_STREAM)
		len = sizeof(out);
	submit(_metadata, &ring, &recv_sqe);
	for (done = len; done <= sizeof(out); done += len) {
		flags = expect_cqe(_metadata, len);
		EXPECT_TRUE(flags & IORING_CQE_F_MORE);
		EXPECT_EQ(done < sizeof(out),
			  !!(flags & IORING_CQE_F_SOCK_NONEMPTY));
	}
	EXPECT_EQ(0, memcmp(out, mem, sizeof(out)));
	EXPECT_TRUE(still_waits(&ring));
	/* A waiting bundle holds all buffers and ends when they are used up. */
	if (bundle)
		return;

	for (i = 5; i < 7; i++) {
		EXPECT_TRUE(still_waits(&ring));
		link_expect_send(_metadata, &pair, 0, "abc");
		EXPECT_TRUE(expect_cqe(_metadata, 3) & IORING_CQE_F_MORE);
		EXPECT_STREQ("abc", mem + i * BUF_LEN);
	}
	ASSERT_EQ(0, shutdown(pair.fd[1], SHUT_RD));
	EXPECT_FALSE(expect_cqe(_metadata, 0) & IORING_CQE_F_MORE);
}

/* Each completion but the last says that there is more. */
TEST_F(uring, recv_multishot)
{
	multishot(_metadata, 0);
}

/* A bundle takes of a stream what several buffers hold, but one message. */
TEST_F(uring, recv_multishot_bundle)
{
	multishot(_metadata, IORING_RECVSEND_BUNDLE);
}

/* Data and the end were there before it waited: one event tells of both. */
TEST_F(uring, recv_multishot_tells_end)
{
	use_bufs(_metadata, IORING_RECV_MULTISHOT | IORING_RECVSEND_POLL_FIRST);
	link_expect_send(_metadata, &pair, 0, "a");
	ASSERT_EQ(0, shutdown(pair.fd[1], SHUT_RD));
	submit(_metadata, &ring, &recv_sqe);
	EXPECT_TRUE(expect_cqe(_metadata, 1) & IORING_CQE_F_MORE);
	expect_cqe(_metadata, 0);
}

TEST_F(type, accept_waits)
{
	struct sockaddr_my addr = {};
	socklen_t len = sizeof(addr);
	struct io_uring_sqe sqe;
	struct io_uring_cqe cqe;
	int listener, client, i;
	__u32 channel;

	ring_init(return, &ring);
	listener = my_listener(_metadata, 5, &channel);
	sqe = make_sqe(IORING_OP_ACCEPT, listener, &addr, 0);
	sqe.addr2 = (uintptr_t)&len;
	for (i = 0; i < 5; i++) {
		if (i < 2)
			submit(_metadata, &ring, &sqe);
		EXPECT_TRUE(still_waits(&ring));
		client = my_client(_metadata, channel);
		ASSERT_TRUE(ring_next(&ring, &cqe));
		EXPECT_EQ(!!i, !!(cqe.flags & IORING_CQE_F_MORE));
		expect_exchange(_metadata, client, cqe.res);
		EXPECT_EQ(sizeof(addr), len);
		EXPECT_EQ(AF_MYPROTO, addr.smy_family);
		EXPECT_EQ(my_channel(_metadata, client), addr.smy_channel);
		sqe.ioprio = IORING_ACCEPT_MULTISHOT;
	}
	ASSERT_EQ(0, shutdown(listener, SHUT_RDWR));
	EXPECT_EQ(-EINVAL, wait_result(_metadata, &ring));
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
