// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO by io_uring, whose requests take other ways to the same code: they
 * must never sleep in it, and those that would wait are tried again when poll
 * says so.
 */
#include <linux/sockios.h>

#include "cmsg.h"
#include "link.h"
#include "ring.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS	83
#endif

/* A send from end 0 of @link, to the other end */
static struct io_uring_sqe make_send(struct link *link, const void *buf,
				     unsigned int len)
{
	struct io_uring_sqe sqe = make_sqe(IORING_OP_SEND, link->fd[0], buf,
					   len);

	if (link->made == BY_ADDRESS) {
		sqe.addr2 = (uintptr_t)&link->name[1];
		sqe.addr_len = sizeof(link->name[1]);
	}
	sqe.msg_flags = MSG_NOSIGNAL;
	return sqe;
}

FIXTURE(uring)
{
	struct ring ring;
	struct link link;
};

FIXTURE_VARIANT(uring)
{
	int type;
	enum made made;
};

FIXTURE_VARIANT_ADD(uring, stream)
{
	.type = SOCK_STREAM,
	.made = BY_CONNECT,
};

FIXTURE_VARIANT_ADD(uring, seqpacket)
{
	.type = SOCK_SEQPACKET,
	.made = BY_CONNECT,
};

FIXTURE_VARIANT_ADD(uring, dgram_connected)
{
	.type = SOCK_DGRAM,
	.made = BY_CONNECT,
};

FIXTURE_SETUP(uring)
{
	self->ring.fd = -1;
	link_make(_metadata, &self->link, variant->type, variant->made);
	ring_init(_metadata, &self->ring);
}

FIXTURE_TEARDOWN(uring)
{
	close(self->ring.fd);
	link_destroy(&self->link);
}

TEST_F(uring, send_and_recv)
{
	struct link *link = &self->link;
	struct io_uring_sqe sqe = make_send(link, "abc", 3);
	char buf[8] = "";

	EXPECT_EQ(3, run(_metadata, &self->ring, &sqe));
	sqe = make_sqe(IORING_OP_RECV, link->fd[1], buf, sizeof(buf));
	EXPECT_EQ(3, run(_metadata, &self->ring, &sqe));
	EXPECT_STREQ("abc", buf);
}

TEST_F(uring, read_and_write)
{
	struct link *link = &self->link;
	struct io_uring_sqe sqe;
	char buf[8] = "";

	sqe = make_sqe(IORING_OP_WRITE, link->fd[0], "abc", 3);
	EXPECT_EQ(3, run(_metadata, &self->ring, &sqe));
	sqe = make_sqe(IORING_OP_READ, link->fd[1], buf, sizeof(buf));
	EXPECT_EQ(3, run(_metadata, &self->ring, &sqe));
	EXPECT_STREQ("abc", buf);
}

/* Receive all that there is, and tell how many descriptors came with it. */
static int drain_descriptors(int fd)
{
	struct got got;
	int n = 0, *in;

	while (recv_got(fd, &got, 256, 0) >= 0) {
		in = find_cmsg(&got, SCM_RIGHTS, sizeof(*in));
		if (!in)
			continue;
		close(*in);
		n++;
	}
	return n;
}

/* The same message is sent again and again until there is room: its descriptor
 * arrives once, and no try has left one behind.
 */
TEST_F(uring, descriptors_after_waiting_for_room)
{
	struct iovec iov = { .iov_base = "abc", .iov_len = 3 };
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
	struct link *link = &self->link;
	struct io_uring_sqe sqe;
	int end[2], times;

	/* The core converts the control message each time that it is tried. */
	if (sizeof(long) < 8)
		SKIP(return, "io_uring cannot repeat it for 32 bits");
	ASSERT_EQ(0, pipe(end));
	memcpy(CMSG_DATA(&control.align), &end[1], sizeof(int));
	set_int_opt(_metadata, link->fd[1], SO_PASSRIGHTS, 1);
	link_fill(_metadata, link, 0, 4096);
	sqe = make_sqe(IORING_OP_SENDMSG, link->fd[0], &msg, 1);
	submit(_metadata, &self->ring, &sqe);
	EXPECT_TRUE(still_waits(&self->ring));

	/* It may come in the middle of that, or behind it. */
	times = drain_descriptors(link->fd[1]);
	EXPECT_EQ(3, wait_result(_metadata, &self->ring));
	times += drain_descriptors(link->fd[1]);
	EXPECT_EQ(1, times);
	close(end[1]);
	EXPECT_EQ(POLLHUP, poll_for(end[0], POLLIN, WAIT_MS));
}

TEST_F(uring, sendmsg_and_recvmsg)
{
	struct iovec out[] = {
		{ .iov_base = "ab", .iov_len = 2 },
		{ .iov_base = "cdef", .iov_len = 4 },
	};
	struct link *link = &self->link;
	char head[4] = "", tail[8] = "";
	struct iovec in[] = {
		{ .iov_base = head, .iov_len = 3 },
		{ .iov_base = tail, .iov_len = 7 },
	};
	struct msghdr to = { .msg_iov = out, .msg_iovlen = 2 };
	struct sockaddr_my name = {};
	struct msghdr from = {
		.msg_iov = in,
		.msg_iovlen = 2,
		.msg_name = &name,
		.msg_namelen = sizeof(name),
	};
	struct io_uring_sqe sqe;

	sqe = make_sqe(IORING_OP_SENDMSG, link->fd[0], &to, 1);
	EXPECT_EQ(6, run(_metadata, &self->ring, &sqe));
	sqe = make_sqe(IORING_OP_RECVMSG, link->fd[1], &from, 1);
	EXPECT_EQ(6, run(_metadata, &self->ring, &sqe));
	EXPECT_STREQ("abc", head);
	EXPECT_STREQ("def", tail);
	if (variant->type == SOCK_STREAM) {
		EXPECT_EQ(0U, from.msg_namelen);
	} else {
		EXPECT_EQ(sizeof(name), from.msg_namelen);
		EXPECT_EQ(my_channel(_metadata, link->fd[0]),
			  name.smy_channel);
	}
}

/* There is nothing to receive: the request waits, this thread does not. */
TEST_F(uring, recv_waits)
{
	struct link *link = &self->link;
	struct io_uring_sqe sqe;
	char buf[8] = "";

	sqe = make_sqe(IORING_OP_RECV, link->fd[1], buf, sizeof(buf));
	submit(_metadata, &self->ring, &sqe);
	EXPECT_TRUE(still_waits(&self->ring));
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(3, wait_result(_metadata, &self->ring));
	EXPECT_STREQ("abc", buf);
}

TEST_F(uring, recvs_wait_in_order)
{
	struct link *link = &self->link;
	struct io_uring_sqe sqe;
	char buf[3][4] = {};
	int i;

	for (i = 0; i < 3; i++) {
		sqe = make_sqe(IORING_OP_RECV, link->fd[1], buf[i], 3);
		submit(_metadata, &self->ring, &sqe);
	}
	EXPECT_TRUE(still_waits(&self->ring));
	for (i = 0; i < 3; i++)
		link_expect_send(_metadata, link, 0, "abc");
	for (i = 0; i < 3; i++)
		EXPECT_EQ(3, wait_result(_metadata, &self->ring));
	for (i = 0; i < 3; i++)
		EXPECT_STREQ("abc", buf[i]);
}

TEST_F(uring, recv_dontwait_eagain)
{
	struct io_uring_sqe sqe;
	char c;

	sqe = make_sqe(IORING_OP_RECV, self->link.fd[1], &c, 1);
	sqe.msg_flags = MSG_DONTWAIT;
	EXPECT_EQ(-EAGAIN, run(_metadata, &self->ring, &sqe));
}

TEST_F(uring, recv_ends_with_shutdown)
{
	struct io_uring_sqe sqe;
	char c;

	sqe = make_sqe(IORING_OP_RECV, self->link.fd[1], &c, 1);
	submit(_metadata, &self->ring, &sqe);
	EXPECT_TRUE(still_waits(&self->ring));
	sqe = make_sqe(IORING_OP_SHUTDOWN, self->link.fd[1], NULL, SHUT_RD);
	submit(_metadata, &self->ring, &sqe);
	EXPECT_EQ(0, wait_result(_metadata, &self->ring));
	EXPECT_EQ(0, wait_result(_metadata, &self->ring));
}

TEST_F(uring, recv_cancelled)
{
	struct io_uring_sqe sqe;
	struct io_uring_cqe cqe;
	int i;
	char c;

	sqe = make_sqe(IORING_OP_RECV, self->link.fd[1], &c, 1);
	sqe.user_data = 1;
	submit(_metadata, &self->ring, &sqe);
	EXPECT_TRUE(still_waits(&self->ring));
	sqe = make_sqe(IORING_OP_ASYNC_CANCEL, -1, NULL, 0);
	sqe.addr = 1;
	sqe.user_data = 2;
	submit(_metadata, &self->ring, &sqe);
	for (i = 0; i < 2; i++) {
		wait_cqe(_metadata, &self->ring, &cqe);
		EXPECT_EQ(cqe.user_data == 1 ? -ECANCELED : 0, cqe.res);
	}
	link_expect_send(_metadata, &self->link, 0, "abc");
	expect_recv(_metadata, self->link.fd[1], "abc");
}

/* There is no room */
TEST_F(uring, send_waits)
{
	struct link *link = &self->link;
	struct io_uring_sqe sqe = make_send(link, "x", 1);
	char buf[1000], last = 0;
	long end = now_ms() + WAIT_MS;
	struct io_uring_cqe cqe = { .res = -ETIME };
	ssize_t n;

	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 10000);
	link_fill(_metadata, link, 0, 1000);
	submit(_metadata, &self->ring, &sqe);
	EXPECT_TRUE(still_waits(&self->ring));
	/* It comes last, and what was there before are zeros. */
	while (last != 'x' && now_ms() < end) {
		n = recv(link->fd[1], buf, sizeof(buf), MSG_DONTWAIT);
		if (n > 0)
			last = buf[n - 1];
		completed(&self->ring, &cqe);
	}
	EXPECT_EQ('x', last);
	if (cqe.res == -ETIME)
		wait_cqe(_metadata, &self->ring, &cqe);
	EXPECT_EQ(1, cqe.res);
}

TEST_F(uring, send_dontwait_eagain)
{
	struct link *link = &self->link;
	struct io_uring_sqe sqe = make_send(link, "x", 1);

	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 10000);
	link_fill(_metadata, link, 0, 1000);
	sqe.msg_flags |= MSG_DONTWAIT;
	EXPECT_EQ(-EAGAIN, run(_metadata, &self->ring, &sqe));
}

/* The other end has gone while the request waited. */
TEST_F(uring, waiting_send_fails)
{
	struct link *link = &self->link;
	struct io_uring_sqe sqe = make_send(link, "x", 1);

	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 10000);
	link_fill(_metadata, link, 0, 1000);
	submit(_metadata, &self->ring, &sqe);
	EXPECT_TRUE(still_waits(&self->ring));
	link_close(link, 1);
	EXPECT_EQ(variant->type == SOCK_DGRAM ? -ECONNREFUSED : -EPIPE,
		  wait_result(_metadata, &self->ring));
}

TEST_F(uring, large_send_and_recv)
{
	struct link *link = &self->link;
	size_t len = 150000;
	char *out = malloc(len), *in = malloc(len);
	struct io_uring_sqe sqe = make_send(link, out, len);

	ASSERT_TRUE(out && in);
	fill_pattern(out, len, 1);
	EXPECT_EQ((int)len, run(_metadata, &self->ring, &sqe));
	sqe = make_sqe(IORING_OP_RECV, link->fd[1], in, len);
	sqe.msg_flags = MSG_WAITALL;
	EXPECT_EQ((int)len, run(_metadata, &self->ring, &sqe));
	EXPECT_EQ(0, memcmp(in, out, len));
	free(in);
	free(out);
}

/* On a stream this goes on while the reader makes room. */
TEST_F(uring, send_waitall)
{
	struct link *link = &self->link;
	size_t len = 1 << 20, done = 0;
	char *out = malloc(len), *in = malloc(len);
	struct io_uring_sqe sqe;
	ssize_t n;

	if (variant->type != SOCK_STREAM)
		len = 1000;
	ASSERT_TRUE(out && in);
	fill_pattern(out, len, 1);
	sqe = make_send(link, out, len);
	sqe.msg_flags |= MSG_WAITALL;
	submit(_metadata, &self->ring, &sqe);
	while (done < len) {
		ASSERT_EQ(POLLIN, poll_for(link->fd[1], POLLIN, WAIT_MS));
		n = recv(link->fd[1], in + done, len - done, MSG_DONTWAIT);
		ASSERT_LT(0, n);
		done += n;
		/* A send that waited goes on when it gets the chance. */
		ring_work(&self->ring);
	}
	EXPECT_EQ((int)len, wait_result(_metadata, &self->ring));
	EXPECT_EQ(0, memcmp(in, out, len));
	free(in);
	free(out);
}

TEST_F(uring, zero_copy_send_eopnotsupp)
{
	struct io_uring_sqe sqe = make_send(&self->link, "x", 1);

	sqe.opcode = IORING_OP_SEND_ZC;
	EXPECT_EQ(-EOPNOTSUPP, run(_metadata, &self->ring, &sqe));
	EXPECT_EQ(EAGAIN, try_recv(self->link.fd[1]));
}

/* poll */

TEST_F(uring, poll_in)
{
	struct io_uring_sqe sqe = make_sqe(IORING_OP_POLL_ADD,
					   self->link.fd[1], NULL, 0);

	sqe.poll32_events = POLLIN;
	submit(_metadata, &self->ring, &sqe);
	EXPECT_TRUE(still_waits(&self->ring));
	link_expect_send(_metadata, &self->link, 0, "abc");
	EXPECT_EQ(POLLIN, wait_result(_metadata, &self->ring));
}

TEST_F(uring, poll_out)
{
	struct io_uring_sqe sqe = make_sqe(IORING_OP_POLL_ADD,
					   self->link.fd[0], NULL, 0);

	set_int_opt(_metadata, self->link.fd[1], SO_RCVBUF, 10000);
	link_fill(_metadata, &self->link, 0, 1000);
	sqe.poll32_events = POLLOUT;
	submit(_metadata, &self->ring, &sqe);
	EXPECT_TRUE(still_waits(&self->ring));
	link_drain(_metadata, &self->link, 1);
	EXPECT_EQ(POLLOUT, wait_result(_metadata, &self->ring));
}

TEST_F(uring, poll_multishot)
{
	struct io_uring_sqe sqe = make_sqe(IORING_OP_POLL_ADD,
					   self->link.fd[1], NULL,
					   IORING_POLL_ADD_MULTI);
	struct io_uring_cqe cqe;
	int i;

	sqe.poll32_events = POLLIN;
	submit(_metadata, &self->ring, &sqe);
	for (i = 0; i < 4; i++) {
		EXPECT_TRUE(still_waits(&self->ring));
		link_expect_send(_metadata, &self->link, 0, "abc");
		wait_cqe(_metadata, &self->ring, &cqe);
		EXPECT_EQ(POLLIN, cqe.res);
		EXPECT_EQ(IORING_CQE_F_MORE, cqe.flags & IORING_CQE_F_MORE);
	}
}

/* Commands of sockets */

static int run_command(struct __test_metadata *_metadata, struct ring *ring,
		       int fd, int op)
{
	struct io_uring_sqe sqe = make_sqe(IORING_OP_URING_CMD, fd, NULL, 0);

	sqe.cmd_op = op;
	return run(_metadata, ring, &sqe);
}

TEST_F(uring, inq_and_outq)
{
	bool dgram = variant->type == SOCK_DGRAM;
	struct link *link = &self->link;
	struct ring *ring = &self->ring;

	EXPECT_EQ(0, run_command(_metadata, ring, link->fd[1],
				 SOCKET_URING_OP_SIOCINQ));
	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "defgh");
	EXPECT_EQ(dgram ? 3 : 8, run_command(_metadata, ring, link->fd[1],
					     SOCKET_URING_OP_SIOCINQ));
	EXPECT_EQ(dgram ? 0 : 8, run_command(_metadata, ring, link->fd[0],
					     SOCKET_URING_OP_SIOCOUTQ));
	EXPECT_EQ(-EOPNOTSUPP, run_command(_metadata, ring, link->fd[0],
					   9999));
}

TEST_F(uring, options)
{
	struct io_uring_sqe sqe = make_sqe(IORING_OP_URING_CMD,
					   self->link.fd[1], NULL, 0);
	int val = -1;

	sqe.cmd_op = SOCKET_URING_OP_GETSOCKOPT;
	sqe.level = SOL_SOCKET;
	sqe.optname = SO_TYPE;
	sqe.optlen = sizeof(val);
	sqe.optval = (uintptr_t)&val;
	EXPECT_EQ((int)sizeof(val), run(_metadata, &self->ring, &sqe));
	EXPECT_EQ(variant->type, val);

	val = 1;
	sqe.cmd_op = SOCKET_URING_OP_SETSOCKOPT;
	sqe.optname = SO_PASSCRED;
	EXPECT_EQ(0, run(_metadata, &self->ring, &sqe));
	EXPECT_EQ(1, get_int_opt(_metadata, self->link.fd[1], SO_PASSCRED));
}

/* recv multishot takes buffers from a group as they are needed. */

#define BUF_LEN		64
#define BUF_COUNT	4
#define BUF_GROUP	1

TEST_F(uring, recv_multishot)
{
	static const char * const text[] = { "abc", "de", "fghi" };
	struct link *link = &self->link;
	char *buf = calloc(BUF_COUNT, BUF_LEN);
	struct io_uring_sqe sqe;
	struct io_uring_cqe cqe;
	int i;

	ASSERT_NE(NULL, buf);
	sqe = make_sqe(IORING_OP_PROVIDE_BUFFERS, BUF_COUNT, buf, BUF_LEN);
	sqe.buf_group = BUF_GROUP;
	ASSERT_EQ(0, run(_metadata, &self->ring, &sqe));

	sqe = make_sqe(IORING_OP_RECV, link->fd[1], NULL, 0);
	sqe.ioprio = IORING_RECV_MULTISHOT;
	sqe.flags = IOSQE_BUFFER_SELECT;
	sqe.buf_group = BUF_GROUP;
	submit(_metadata, &self->ring, &sqe);
	for (i = 0; i < 3; i++) {
		EXPECT_TRUE(still_waits(&self->ring));
		link_expect_send(_metadata, link, 0, text[i]);
		wait_cqe(_metadata, &self->ring, &cqe);
		EXPECT_EQ((int)strlen(text[i]), cqe.res);
		EXPECT_EQ(IORING_CQE_F_MORE, cqe.flags & IORING_CQE_F_MORE);
		ASSERT_TRUE(cqe.flags & IORING_CQE_F_BUFFER);
		EXPECT_EQ(0, memcmp(buf + BUF_LEN * (cqe.flags >>
						     IORING_CQE_BUFFER_SHIFT),
				    text[i], strlen(text[i])));
	}
	ASSERT_EQ(0, shutdown(link->fd[1], SHUT_RD));
	wait_cqe(_metadata, &self->ring, &cqe);
	EXPECT_EQ(0, cqe.flags & IORING_CQE_F_MORE);
	free(buf);
}

/* A completion says whether there is more to receive. */

static int recv_flags(struct __test_metadata *_metadata, struct ring *ring,
		      const struct io_uring_sqe *sqe, int res)
{
	struct io_uring_cqe cqe;

	submit(_metadata, ring, sqe);
	wait_cqe(_metadata, ring, &cqe);
	EXPECT_EQ(res, cqe.res);
	return cqe.flags & IORING_CQE_F_SOCK_NONEMPTY;
}

static void expect_more(struct __test_metadata *_metadata, struct ring *ring,
			struct link *link, const struct io_uring_sqe *sqe)
{
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(0, recv_flags(_metadata, ring, sqe, 3));
	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "def");
	EXPECT_EQ(IORING_CQE_F_SOCK_NONEMPTY,
		  recv_flags(_metadata, ring, sqe, 3));
	EXPECT_EQ(0, recv_flags(_metadata, ring, sqe, 3));
}

TEST_F(uring, recv_tells_of_more)
{
	struct io_uring_sqe sqe;
	char buf[3];

	sqe = make_sqe(IORING_OP_RECV, self->link.fd[1], buf, sizeof(buf));
	expect_more(_metadata, &self->ring, &self->link, &sqe);
}

TEST_F(uring, recvmsg_tells_of_more)
{
	char buf[3];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct io_uring_sqe sqe;

	sqe = make_sqe(IORING_OP_RECVMSG, self->link.fd[1], &msg, 1);
	expect_more(_metadata, &self->ring, &self->link, &sqe);
}

/* The request waited. */
TEST_F(uring, waiting_recv_tells_of_more)
{
	struct link *link = &self->link;
	struct io_uring_sqe sqe;
	struct io_uring_cqe cqe;
	char buf[3];

	sqe = make_sqe(IORING_OP_RECV, link->fd[1], buf, sizeof(buf));
	submit(_metadata, &self->ring, &sqe);
	EXPECT_TRUE(still_waits(&self->ring));
	link_expect_send(_metadata, link, 0, "abc");
	wait_cqe(_metadata, &self->ring, &cqe);
	EXPECT_EQ(3, cqe.res);
	EXPECT_EQ(0U, cqe.flags & IORING_CQE_F_SOCK_NONEMPTY);
}

/* What is left of a message is lost: it is not more. A message without a byte
 * is.
 */
TEST_F(uring, recv_part_tells_of_more)
{
	bool stream = variant->type == SOCK_STREAM;
	struct link *link = &self->link;
	struct io_uring_sqe sqe;
	char buf[2];

	sqe = make_sqe(IORING_OP_RECV, link->fd[1], buf, sizeof(buf));
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(stream ? IORING_CQE_F_SOCK_NONEMPTY : 0,
		  recv_flags(_metadata, &self->ring, &sqe, 2));
	if (stream)
		return;
	link_expect_send(_metadata, link, 0, "ab");
	link_expect_send(_metadata, link, 0, "");
	EXPECT_EQ(IORING_CQE_F_SOCK_NONEMPTY,
		  recv_flags(_metadata, &self->ring, &sqe, 2));
	EXPECT_EQ(0, recv_flags(_metadata, &self->ring, &sqe, 0));
}

/* Requests that take what is there: each completion but the last says that
 * there is more, and messages stay apart though they just fill the buffers.
 */

#define DRAIN	5

static void multishot_drains(struct __test_metadata *_metadata,
			     struct ring *ring, struct link *link, int flags)
{
	char out[DRAIN * BUF_LEN], in[DRAIN * BUF_LEN];
	struct io_uring_sqe sqe;
	struct io_uring_cqe cqe;
	int i, more, done = 0;
	struct bufs bufs;
	unsigned int id;

	fill_pattern(out, sizeof(out), 1);
	for (i = 0; i < DRAIN; i++)
		ASSERT_EQ(BUF_LEN, link_send(link, 0, out + i * BUF_LEN,
					     BUF_LEN, MSG_DONTWAIT));
	bufs_init(_metadata, ring, &bufs, BUF_GROUP, 8, BUF_LEN);
	sqe = make_sqe(IORING_OP_RECV, link->fd[1], NULL, 0);
	sqe.ioprio = IORING_RECV_MULTISHOT | flags;
	sqe.flags = IOSQE_BUFFER_SELECT;
	sqe.buf_group = BUF_GROUP;
	submit(_metadata, ring, &sqe);

	while (done < (int)sizeof(out)) {
		wait_cqe(_metadata, ring, &cqe);
		ASSERT_LT(0, cqe.res);
		if (!(flags & IORING_RECVSEND_BUNDLE) ||
		    link->type != SOCK_STREAM) {
			EXPECT_EQ(BUF_LEN, cqe.res);
		}
		EXPECT_TRUE(cqe.flags & IORING_CQE_F_MORE);
		more = cqe.flags & IORING_CQE_F_SOCK_NONEMPTY;
		/* They are taken in the order in which they were given. */
		id = bufs_id(&cqe);
		ASSERT_GE((int)sizeof(out), done + cqe.res);
		memcpy(in + done, bufs.mem + id * BUF_LEN, cqe.res);
		done += cqe.res;
		EXPECT_EQ(done < (int)sizeof(out), !!more);
	}
	EXPECT_EQ(0, memcmp(out, in, sizeof(out)));
	EXPECT_TRUE(still_waits(ring));
}

TEST_F(uring, recv_multishot_drains)
{
	multishot_drains(_metadata, &self->ring, &self->link, 0);
}

TEST_F(uring, recv_multishot_bundle_drains)
{
	multishot_drains(_metadata, &self->ring, &self->link,
			 IORING_RECVSEND_BUNDLE);
}

/* Data and the end were there before it waited: one event tells of both. */
TEST_F(uring, recv_multishot_tells_end)
{
	struct link *link = &self->link;
	struct io_uring_sqe sqe;
	struct io_uring_cqe cqe;
	struct bufs bufs;

	ASSERT_EQ(1, link_send(link, 0, "a", 1, MSG_DONTWAIT));
	ASSERT_EQ(0, shutdown(link->fd[1], SHUT_RD));
	bufs_init(_metadata, &self->ring, &bufs, BUF_GROUP, 8, BUF_LEN);
	sqe = make_sqe(IORING_OP_RECV, link->fd[1], NULL, 0);
	sqe.ioprio = IORING_RECV_MULTISHOT | IORING_RECVSEND_POLL_FIRST;
	sqe.flags = IOSQE_BUFFER_SELECT;
	sqe.buf_group = BUF_GROUP;
	submit(_metadata, &self->ring, &sqe);

	wait_cqe(_metadata, &self->ring, &cqe);
	EXPECT_EQ(1, cqe.res);
	EXPECT_TRUE(cqe.flags & IORING_CQE_F_MORE);
	wait_cqe(_metadata, &self->ring, &cqe);
	EXPECT_EQ(0, cqe.res);
}

/* A bundle takes of a stream what several buffers hold, but one message. */
TEST_F(uring, recv_bundle)
{
	int i, count = variant->type == SOCK_STREAM ? 1 : 2, len, more;
	struct link *link = &self->link;
	char out[2 * BUF_LEN];
	struct io_uring_sqe sqe;
	struct io_uring_cqe cqe;
	struct bufs bufs;

	len = sizeof(out) / count;
	fill_pattern(out, sizeof(out), 1);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(BUF_LEN, link_send(link, 0, out + i * BUF_LEN,
					     BUF_LEN, MSG_DONTWAIT));
	bufs_init(_metadata, &self->ring, &bufs, BUF_GROUP, 8, BUF_LEN);
	sqe = make_sqe(IORING_OP_RECV, link->fd[1], NULL, 0);
	sqe.ioprio = IORING_RECVSEND_BUNDLE;
	sqe.flags = IOSQE_BUFFER_SELECT;
	sqe.buf_group = BUF_GROUP;

	for (i = 0; i < count; i++) {
		submit(_metadata, &self->ring, &sqe);
		wait_cqe(_metadata, &self->ring, &cqe);
		ASSERT_EQ(len, cqe.res);
		EXPECT_EQ(0, memcmp(out + i * len,
				    bufs.mem + bufs_id(&cqe) * BUF_LEN, len));
		more = cqe.flags & IORING_CQE_F_SOCK_NONEMPTY;
		EXPECT_EQ(i < count - 1, !!more);
	}
}

/* A send with an address */
TEST_F(uring, sendto)
{
	struct link link;
	struct io_uring_sqe sqe;

	link_make(_metadata, &link, SOCK_DGRAM, BY_ADDRESS);
	sqe = make_send(&link, "abc", 3);
	EXPECT_EQ(3, run(_metadata, &self->ring, &sqe));
	expect_recv(_metadata, link.fd[1], "abc");
	link.name[1].smy_channel = 1;
	EXPECT_EQ(-ECONNREFUSED, run(_metadata, &self->ring, &sqe));
	link_destroy(&link);
}

/* Making connections */

FIXTURE(uring_connect)
{
	struct ring ring;
	__u32 channel;
	int listener;
};

FIXTURE_VARIANT(uring_connect)
{
	int type;
};

FIXTURE_VARIANT_ADD(uring_connect, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(uring_connect, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_SETUP(uring_connect)
{
	self->ring.fd = -1;
	self->listener = type_listener(_metadata, variant->type,
				       &self->channel);
	ring_init(_metadata, &self->ring);
}

FIXTURE_TEARDOWN(uring_connect)
{
	close(self->ring.fd);
	close(self->listener);
}

static int my_connect_new(struct __test_metadata *_metadata, int type,
			  __u32 channel)
{
	int fd = type_socket(_metadata, type);

	EXPECT_EQ(0, my_connect(fd, channel));
	return fd;
}

TEST_F(uring_connect, accept_waits)
{
	struct io_uring_sqe sqe = make_sqe(IORING_OP_ACCEPT, self->listener,
					   NULL, 0);
	int fd, client;

	submit(_metadata, &self->ring, &sqe);
	EXPECT_TRUE(still_waits(&self->ring));
	client = my_connect_new(_metadata, variant->type, self->channel);
	fd = wait_result(_metadata, &self->ring);
	ASSERT_LE(0, fd);
	expect_send(_metadata, client, "abc");
	expect_recv(_metadata, fd, "abc");
}

TEST_F(uring_connect, accept_gives_address)
{
	struct sockaddr_my addr = {};
	socklen_t len = sizeof(addr);
	struct io_uring_sqe sqe = make_sqe(IORING_OP_ACCEPT, self->listener,
					   &addr, 0);
	int client;

	sqe.addr2 = (uintptr_t)&len;
	client = my_connect_new(_metadata, variant->type, self->channel);
	ASSERT_LE(0, run(_metadata, &self->ring, &sqe));
	EXPECT_EQ(sizeof(addr), len);
	EXPECT_EQ(AF_MYPROTO, addr.smy_family);
	EXPECT_EQ(my_channel(_metadata, client), addr.smy_channel);
}

TEST_F(uring_connect, accept_multishot)
{
	struct io_uring_sqe sqe = make_sqe(IORING_OP_ACCEPT, self->listener,
					   NULL, 0);
	struct io_uring_cqe cqe;
	int i, client;

	sqe.ioprio = IORING_ACCEPT_MULTISHOT;
	submit(_metadata, &self->ring, &sqe);
	for (i = 0; i < 4; i++) {
		EXPECT_TRUE(still_waits(&self->ring));
		client = my_connect_new(_metadata, variant->type,
					self->channel);
		wait_cqe(_metadata, &self->ring, &cqe);
		ASSERT_LE(0, cqe.res);
		EXPECT_EQ(IORING_CQE_F_MORE, cqe.flags & IORING_CQE_F_MORE);
		expect_send(_metadata, client, "abc");
		expect_recv(_metadata, cqe.res, "abc");
	}
	ASSERT_EQ(0, shutdown(self->listener, SHUT_RDWR));
	EXPECT_EQ(-EINVAL, wait_result(_metadata, &self->ring));
}

static struct io_uring_sqe make_connect(int fd, const struct sockaddr_my *addr)
{
	struct io_uring_sqe sqe = make_sqe(IORING_OP_CONNECT, fd, addr, 0);

	sqe.addr2 = sizeof(*addr);
	return sqe;
}

TEST_F(uring_connect, connect)
{
	struct sockaddr_my addr = my_addr(self->channel);
	int client = type_socket(_metadata, variant->type), fd;
	struct io_uring_sqe sqe = make_connect(client, &addr);

	EXPECT_EQ(0, run(_metadata, &self->ring, &sqe));
	fd = accept(self->listener, NULL, NULL);
	ASSERT_LE(0, fd);
	expect_send(_metadata, fd, "abc");
	expect_recv(_metadata, client, "abc");
	EXPECT_EQ(-EISCONN, run(_metadata, &self->ring, &sqe));
}

TEST_F(uring_connect, connect_econnrefused)
{
	struct sockaddr_my addr = my_addr(self->channel);
	int client = type_socket(_metadata, variant->type);
	struct io_uring_sqe sqe = make_connect(client, &addr);

	close(self->listener);
	self->listener = -1;
	EXPECT_EQ(-ECONNREFUSED, run(_metadata, &self->ring, &sqe));
}

/* The kernel has a number for each step of what a server does. */
TEST_F(uring_connect, server)
{
	struct sockaddr_my addr = my_addr(MYPROTO_CHANNEL_ANY);
	struct io_uring_sqe sqe;
	int fd, client;

	sqe = make_sqe(IORING_OP_SOCKET, AF_MYPROTO, NULL, 0);
	sqe.off = variant->type;
	fd = run(_metadata, &self->ring, &sqe);
	ASSERT_LE(0, fd);
	sqe = make_sqe(IORING_OP_BIND, fd, &addr, 0);
	sqe.addr2 = sizeof(addr);
	ASSERT_EQ(0, run(_metadata, &self->ring, &sqe));
	sqe = make_sqe(IORING_OP_LISTEN, fd, NULL, 5);
	ASSERT_EQ(0, run(_metadata, &self->ring, &sqe));
	client = my_connect_new(_metadata, variant->type,
				my_channel(_metadata, fd));
	sqe = make_sqe(IORING_OP_ACCEPT, fd, NULL, 0);
	fd = run(_metadata, &self->ring, &sqe);
	ASSERT_LE(0, fd);
	expect_send(_metadata, client, "abc");
	expect_recv(_metadata, fd, "abc");
}

/* A ring that goes takes its requests with it. */
TEST_F(uring_connect, ring_closed_with_requests)
{
	bool stream = variant->type == SOCK_STREAM;
	struct io_uring_sqe sqe;
	int client, fd, i, left;
	char buf[16], c;
	ssize_t n;

	client = my_connect_new(_metadata, variant->type, self->channel);
	fd = accept(self->listener, NULL, NULL);
	ASSERT_LE(0, fd);
	sqe = make_sqe(IORING_OP_RECV, fd, &c, 1);
	submit(_metadata, &self->ring, &sqe);
	sqe = make_sqe(IORING_OP_ACCEPT, self->listener, NULL, 0);
	submit(_metadata, &self->ring, &sqe);
	EXPECT_TRUE(still_waits(&self->ring));
	close(self->ring.fd);
	self->ring.fd = -1;

	/* They go a little later: the one may still take some, but once. */
	for (i = 0; i < 3; i++)
		expect_send(_metadata, client, "abc");
	left = stream ? 8 : 6;
	while (left > 0) {
		ASSERT_EQ(POLLIN, poll_for(fd, POLLIN, WAIT_MS));
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		ASSERT_LT(0, n);
		left -= n;
	}
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
