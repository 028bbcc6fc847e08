// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO loses nothing: what a call says was sent arrives once and whole,
 * in the order of its sender, and of what it says was not sent nothing arrives.
 * Whichever call that is, however full the receiver and whoever else sends.
 */
#include <pthread.h>
#include <sys/sendfile.h>

#include "fault.h"
#include "link.h"
#include "ring.h"
#include "type.h"

FIXTURE_VARIANT_ADD(type, dgram)
{
	.type = SOCK_DGRAM,
};

/* Byte @pos of what sender @id sends: it tells whose it is, and its place. */
static unsigned char byte_at(int id, size_t pos)
{
	return id << 5 | pos % 31;
}

static void fill_bytes(char *buf, size_t len, int id, size_t pos)
{
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = byte_at(id, pos + i);
}

/* How many bytes at @buf are those from @pos on of who sent the first */
static size_t match_bytes(const unsigned char *buf, size_t len, size_t pos)
{
	size_t i;

	for (i = 0; i < len && buf[i] == byte_at(buf[0] >> 5, pos + i); i++)
		;
	return i;
}

/* A file of @len such bytes */
static int file_of(struct __test_metadata *_metadata, int id, size_t len)
{
	int fd = memfd_create("lost", 0);
	char *buf = malloc(len);

	ASSERT_NE(NULL, buf);
	fill_bytes(buf, len, id, 0);
	ASSERT_EQ((ssize_t)len, write(fd, buf, len));
	free(buf);
	return fd;
}

/* Several threads send to one socket that has little space. */

#define SENDERS		6
#define CHAIN		4	/* linked requests, or messages of a call */
#define MESSAGE		512
#define PIECE		5000	/* of a stream: may go in several parts */
#define RCVBUF		4096

/* Seconds that a test may take on a slow machine with much else to do */
#define SLOW		120

struct sender;

/* Send @sender->len bytes at @sender->buf, or several times as many, without
 * blocking. Returns how many have been sent, or -errno.
 */
typedef long (*send_t)(struct sender *sender);

struct sender {
	pthread_t thread;
	struct ring ring;
	send_t send;
	int fd, id, file, pipe[2];
	bool stream;
	size_t len, sent, total;
	char *buf;		/* CHAIN times @len */
	char error[64];
};

struct receiver {
	struct sender sender[SENDERS];
	size_t received[SENDERS], left;
	int fd, type;
};

static struct receiver receiver;

static void *sender_thread(void *arg)
{
	struct sender *sender = arg;
	long n;

	while (sender->sent < sender->total) {
		fill_bytes(sender->buf, CHAIN * sender->len, sender->id,
			   sender->sent);
		n = sender->send(sender);
		if (n == -EAGAIN) {
			if (poll_for(sender->fd, POLLOUT, WAIT_MS) > 0)
				continue;
			n = -ETIME;
		}
		if (n <= 0 || (!sender->stream && n % sender->len)) {
			snprintf(sender->error, sizeof(sender->error),
				 "after %zu bytes: %ld", sender->sent, n);
			break;
		}
		sender->sent += n;
	}
	return NULL;
}

/* @count times CHAIN messages of each sender, and fewer pieces of a stream */
static void start(struct __test_metadata *_metadata, int type, send_t send,
		  int count)
{
	struct link link = {};
	struct sender *sender;
	__u32 channel = 0;
	int i;

	if (type == SOCK_DGRAM) {
		receiver.fd = type_bound(_metadata, type, &channel);
	} else {
		link_make(_metadata, &link, type, BY_CONNECT);
		receiver.fd = link.fd[1];
	}
	receiver.type = type;
	set_int_opt(_metadata, receiver.fd, SO_RCVBUF, RCVBUF);
	set_timeout(_metadata, receiver.fd, SO_RCVTIMEO, WAIT_MS);

	for (i = 0; i < SENDERS; i++) {
		sender = &receiver.sender[i];
		*sender = (struct sender) {
			.send = send,
			.fd = link.fd[0],
			.id = i,
			.stream = type == SOCK_STREAM,
			.len = type == SOCK_STREAM ? PIECE : MESSAGE,
		};
		if (type == SOCK_DGRAM) {
			sender->fd = type_socket(_metadata, type);
			ASSERT_EQ(0, my_connect(sender->fd, channel));
		}
		sender->total = count * CHAIN * sender->len;
		if (type == SOCK_STREAM)
			sender->total /= 10;
		receiver.left += sender->total;
		sender->buf = malloc(CHAIN * sender->len);
		ASSERT_NE(NULL, sender->buf);
		ASSERT_EQ(0, pipe(sender->pipe));
		sender->file = file_of(_metadata, i, sender->total);
		/* Not all need one. */
		ring_open(&sender->ring);
	}
	for (i = 0; i < SENDERS; i++) {
		sender = &receiver.sender[i];
		ASSERT_EQ(0, pthread_create(&sender->thread, NULL,
					    sender_thread, sender));
	}
}

static void log_senders(struct __test_metadata *_metadata)
{
	struct sender *sender;
	int i;

	for (i = 0; i < SENDERS; i++) {
		sender = &receiver.sender[i];
		if (sender->error[0])
			TH_LOG("sender %d: %s", i, sender->error);
	}
}

/* @len bytes came: each is the next one of who sent it. A message is whole. */
static void check(struct __test_metadata *_metadata, const void *buf, long len)
{
	const unsigned char *p = buf, *end = p + len;
	size_t n, *pos;

	if (len <= 0)
		log_senders(_metadata);
	ASSERT_LT(0, len);
	for (; p < end; p += n) {
		ASSERT_GT(SENDERS, *p >> 5);
		pos = &receiver.received[*p >> 5];
		n = match_bytes(p, end - p, *pos);
		ASSERT_LT(0U, n);
		*pos += n;
		/* On a stream another one's may follow. */
		if (receiver.type != SOCK_STREAM) {
			ASSERT_EQ(MESSAGE, len);
			ASSERT_EQ(MESSAGE, n);
		}
	}
	ASSERT_LE((size_t)len, receiver.left);
	receiver.left -= len;
}

/* All of it came, and nobody was told something else. */
static void finish(struct __test_metadata *_metadata)
{
	int i;

	for (i = 0; i < SENDERS; i++)
		ASSERT_EQ(0, pthread_join(receiver.sender[i].thread, NULL));
	log_senders(_metadata);
	for (i = 0; i < SENDERS; i++)
		EXPECT_EQ(receiver.sender[i].total, receiver.sender[i].sent);
	EXPECT_EQ(EAGAIN, try_recv(receiver.fd));
}

static void receive_all(struct __test_metadata *_metadata)
{
	char buf[2 * PIECE];

	while (receiver.left) {
		check(_metadata, buf, recv(receiver.fd, buf, sizeof(buf), 0));
		/* The receiver is to be full most of the time. */
		sched_yield();
	}
	finish(_metadata);
}

/* The same by one request that does not end */
static void receive_multishot(struct __test_metadata *_metadata,
			      struct ring *ring)
{
	struct io_uring_sqe sqe = make_sqe(IORING_OP_RECV, receiver.fd, NULL,
					   0);
	struct io_uring_cqe cqe;
	struct bufs bufs;
	bool on = false;

	bufs_init(_metadata, ring, &bufs, 1, 4, 2 * MESSAGE);
	sqe.ioprio = IORING_RECV_MULTISHOT;
	sqe.flags = IOSQE_BUFFER_SELECT;
	sqe.buf_group = 1;

	while (receiver.left) {
		if (!on)
			submit(_metadata, ring, &sqe);
		wait_cqe(_metadata, ring, &cqe);
		on = cqe.flags & IORING_CQE_F_MORE;
		/* It ends when it is faster than this thread. */
		if (cqe.res == -ENOBUFS)
			continue;
		check(_metadata, bufs.mem + bufs_id(&cqe) * bufs.len, cqe.res);
		bufs_put(&bufs, bufs_id(&cqe));
	}
	finish(_metadata);
}

/* Sending through a ring: @count requests, of which each waits for the one
 * before it. Each one must say that it sent all it was to send.
 */
static long ring_chain(struct sender *sender, struct io_uring_sqe *sqe,
		       int count)
{
	struct io_uring_cqe cqe;
	int i;

	for (i = 0; i < count; i++) {
		sqe[i].msg_flags = MSG_NOSIGNAL;
		if (sender->stream)
			sqe[i].msg_flags |= MSG_WAITALL;
		if (i < count - 1)
			sqe[i].flags |= IOSQE_IO_LINK;
		ring_push(&sender->ring, &sqe[i]);
	}
	if (ring_enter(&sender->ring, count) != count)
		return -errno;
	for (i = 0; i < count; i++) {
		if (!ring_next(&sender->ring, &cqe))
			return -ETIME;
		/* Not to be tried again */
		if (cqe.res == -EAGAIN)
			return -EPROTO;
		if (cqe.res != (int)sender->len)
			return cqe.res;
	}
	return count * sender->len;
}

static struct io_uring_sqe sender_sqe(struct sender *sender, int i)
{
	return make_sqe(IORING_OP_SEND, sender->fd,
			sender->buf + i * sender->len, sender->len);
}

static long by_ring_send(struct sender *sender)
{
	struct io_uring_sqe sqe = sender_sqe(sender, 0);

	return ring_chain(sender, &sqe, 1);
}

static long by_ring_linked(struct sender *sender)
{
	struct io_uring_sqe sqe[CHAIN];
	int i;

	for (i = 0; i < CHAIN; i++)
		sqe[i] = sender_sqe(sender, i);
	return ring_chain(sender, sqe, CHAIN);
}

/* From a kernel thread */
static long by_ring_async(struct sender *sender)
{
	struct io_uring_sqe sqe = sender_sqe(sender, 0);

	sqe.flags = IOSQE_ASYNC;
	return ring_chain(sender, &sqe, 1);
}

/* @iov: two halves */
static void halves(struct sender *sender, struct iovec *iov)
{
	size_t half = sender->len / 2;

	iov[0].iov_base = sender->buf;
	iov[0].iov_len = half;
	iov[1].iov_base = sender->buf + half;
	iov[1].iov_len = sender->len - half;
}

static long by_ring_sendmsg(struct sender *sender)
{
	struct iovec iov[2];
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	struct io_uring_sqe sqe;

	halves(sender, iov);
	sqe = make_sqe(IORING_OP_SENDMSG, sender->fd, &msg, 1);
	return ring_chain(sender, &sqe, 1);
}

static long by_ring_vectorized(struct sender *sender)
{
	struct iovec iov[2];
	struct io_uring_sqe sqe;

	halves(sender, iov);
	sqe = make_sqe(IORING_OP_SEND, sender->fd, iov, 2);
	sqe.ioprio = IORING_SEND_VECTORIZED;
	return ring_chain(sender, &sqe, 1);
}

/* From a buffer that the ring knows: an iterator of another kind */
static long by_ring_fixed(struct sender *sender)
{
	struct iovec iov = { sender->buf, CHAIN * sender->len };
	struct io_uring_sqe sqe = sender_sqe(sender, 0);

	if (!sender->sent &&
	    syscall(__NR_io_uring_register, sender->ring.fd,
		    IORING_REGISTER_BUFFERS, &iov, 1))
		return -errno;
	sqe.ioprio = IORING_RECVSEND_FIXED_BUF;
	return ring_chain(sender, &sqe, 1);
}

static void exchange(struct __test_metadata *_metadata, int type, send_t send,
		     int count)
{
	start(_metadata, type, send, count);
	receive_all(_metadata);
}

FIXTURE(ring)
{
	struct ring ring;
};

FIXTURE_VARIANT(ring)
{
	int type;
};

FIXTURE_VARIANT_ADD(ring, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(ring, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(ring, dgram)
{
	.type = SOCK_DGRAM,
};

FIXTURE_SETUP(ring)
{
	ring_init(_metadata, &self->ring);
}

FIXTURE_TEARDOWN(ring)
{
	close(self->ring.fd);
}

TEST_F_TIMEOUT(ring, send, SLOW)
{
	exchange(_metadata, variant->type, by_ring_send, 100);
}

TEST_F_TIMEOUT(ring, send_linked, SLOW)
{
	exchange(_metadata, variant->type, by_ring_linked, 100);
}

TEST_F_TIMEOUT(ring, send_async, SLOW)
{
	exchange(_metadata, variant->type, by_ring_async, 50);
}

TEST_F_TIMEOUT(ring, sendmsg, SLOW)
{
	exchange(_metadata, variant->type, by_ring_sendmsg, 50);
}

TEST_F_TIMEOUT(ring, send_vectorized, SLOW)
{
	exchange(_metadata, variant->type, by_ring_vectorized, 50);
}

TEST_F_TIMEOUT(ring, send_fixed_buffer, SLOW)
{
	exchange(_metadata, variant->type, by_ring_fixed, 50);
}

TEST_F_TIMEOUT(ring, send_to_multishot, SLOW)
{
	start(_metadata, variant->type, by_ring_send, 100);
	receive_multishot(_metadata, &self->ring);
}

TEST_F_TIMEOUT(ring, send_linked_to_multishot, SLOW)
{
	start(_metadata, variant->type, by_ring_linked, 100);
	receive_multishot(_metadata, &self->ring);
}

/* The same without a ring */

static long by_sendmmsg(struct sender *sender)
{
	struct mmsghdr msgs[CHAIN] = {};
	struct iovec iov[CHAIN];
	int i, n, left = CHAIN;
	long sent = 0;

	if (sender->total - sender->sent < CHAIN * sender->len)
		left = (sender->total - sender->sent) / sender->len ? : 1;
	for (i = 0; i < left; i++) {
		iov[i].iov_base = sender->buf + i * sender->len;
		iov[i].iov_len = sender->len;
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	/* The rest of a stream after a short write */
	if (sender->total - sender->sent < sender->len)
		iov[0].iov_len = sender->total - sender->sent;
	n = sendmmsg(sender->fd, msgs, left, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	for (i = 0; i < n; i++)
		sent += msgs[i].msg_len;
	return sent;
}

/* Not to block is up to the socket here. */
static long by_sendfile(struct sender *sender)
{
	size_t len = sender->len;
	off_t off = sender->sent;
	ssize_t n;

	if (len > sender->total - sender->sent)
		len = sender->total - sender->sent;
	if (fcntl(sender->fd, F_SETFL, O_NONBLOCK))
		return -errno;
	n = sendfile(sender->fd, sender->file, &off, len);
	if (n < 0)
		return -errno;
	return off == (off_t)sender->sent + n ? n : -EPROTO;
}

/* What did not go is still in the pipe. */
static int fill_pipe(struct sender *sender)
{
	size_t len = sender->len;
	int in_pipe = 0;

	if (len > sender->total - sender->sent)
		len = sender->total - sender->sent;
	if (ioctl(sender->pipe[0], FIONREAD, &in_pipe))
		return -errno;
	if (!in_pipe)
		in_pipe = write(sender->pipe[1], sender->buf, len);
	return in_pipe;
}

static long by_splice(struct sender *sender)
{
	int in_pipe;
	ssize_t n;

	if (fcntl(sender->fd, F_SETFL, O_NONBLOCK))
		return -errno;
	in_pipe = fill_pipe(sender);
	if (in_pipe < 0)
		return in_pipe;
	n = splice(sender->pipe[0], NULL, sender->fd, NULL, in_pipe, 0);
	return n < 0 ? -errno : n;
}

TEST_F_TIMEOUT(type, sendmmsg, SLOW)
{
	exchange(_metadata, variant->type, by_sendmmsg, 30);
}

TEST_F_TIMEOUT(type, sendfile, SLOW)
{
	exchange(_metadata, variant->type, by_sendfile, 30);
}

TEST_F_TIMEOUT(type, splice, SLOW)
{
	exchange(_metadata, variant->type, by_splice, 30);
}

/* Memory is short: of each allocation in a call, let it fail. What the call did
 * not send is sent after that.
 */

#define MAX_NTH		300

FIXTURE(fault)
{
	struct fault fault;
};

FIXTURE_VARIANT(fault)
{
	int type;
};

FIXTURE_VARIANT_ADD(fault, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(fault, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(fault, dgram)
{
	.type = SOCK_DGRAM,
};

FIXTURE_SETUP(fault)
{
	fault_init(_metadata, &self->fault);
}

FIXTURE_TEARDOWN_PARENT(fault)
{
	fault_exit(&self->fault);
}

/* What came to @fd of bytes of sender 1: from @pos on, in their order, and not
 * one empty message. What fills the receiver before that are zeros.
 */
static size_t take_bytes(struct __test_metadata *_metadata, int fd, size_t pos)
{
	static unsigned char buf[1 << 18];
	size_t before = pos, skip;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) >= 0) {
		ASSERT_LT(0, n);
		for (skip = 0; skip < (size_t)n && !buf[skip];)
			skip++;
		ASSERT_EQ(n - skip, match_bytes(buf + skip, n - skip, pos));
		pos += n - skip;
	}
	ASSERT_EQ(EAGAIN, errno);
	return pos - before;
}

/* @sender sends to a socket of this @type, of which no more is said here. */
static void walk_start(struct __test_metadata *_metadata, int type,
		       struct sender *sender, send_t send, size_t len)
{
	*sender = (struct sender) {
		.send = send,
		.id = 1,
		.stream = type == SOCK_STREAM,
		.len = len,
		.total = CHAIN * len,
		.buf = malloc(CHAIN * len),
	};
	ASSERT_NE(NULL, sender->buf);
	sender->file = file_of(_metadata, 1, sender->total);
	ASSERT_EQ(0, pipe(sender->pipe));
	ASSERT_LT((int)len, fcntl(sender->pipe[1], F_SETPIPE_SZ, 1 << 18));
}

static long send_next(struct sender *sender)
{
	fill_bytes(sender->buf, CHAIN * sender->len, 1, sender->sent);
	return sender->send(sender);
}

/* With @ring, @send is one that uses it. */
static void walk(struct __test_metadata *_metadata, struct fault *fault,
		 int type, send_t send, size_t len, struct ring *ring)
{
	struct sender sender;
	bool unused = false;
	struct link link;
	long n;
	int i;

	walk_start(_metadata, type, &sender, send, len);
	if (ring)
		sender.ring = *ring;
	for (i = 1; i < MAX_NTH && !unused; i++) {
		link_make(_metadata, &link, type, BY_CONNECT);
		sender.fd = link.fd[0];
		sender.sent = 0;
		fill_bytes(sender.buf, CHAIN * len, 1, 0);
		/* Not what this is about */
		if (send == by_splice)
			ASSERT_EQ((int)len, fill_pipe(&sender));

		fault_arm(fault, i);
		n = sender.send(&sender);
		unused = fault_unused(fault);
		if (n <= 0) {
			EXPECT_TRUE(!unused && (n == -ENOMEM || n == -ENOBUFS))
				TH_LOG("allocation %d: %ld", i, n);
			n = 0;
		}
		EXPECT_EQ((size_t)n, take_bytes(_metadata, link.fd[1], 0))
			TH_LOG("allocation %d", i);

		/* The rest, with all the memory it needs */
		for (sender.sent = n; sender.sent < sender.total;
		     sender.sent += n) {
			n = send_next(&sender);
			ASSERT_LT(0, n);
			ASSERT_EQ((size_t)n, take_bytes(_metadata, link.fd[1],
							sender.sent))
				TH_LOG("after allocation %d", i);
		}
		link_destroy(&link);
	}
	EXPECT_TRUE(unused);
	TH_LOG("%d allocations", i - 2);
}

#define SMALL	512
#define LARGE	50000

TEST_F(fault, sendmmsg)
{
	walk(_metadata, &self->fault, variant->type, by_sendmmsg, SMALL,
	     NULL);
}

TEST_F(fault, sendmmsg_large)
{
	walk(_metadata, &self->fault, variant->type, by_sendmmsg, LARGE,
	     NULL);
}

TEST_F(fault, sendfile)
{
	walk(_metadata, &self->fault, variant->type, by_sendfile, LARGE,
	     NULL);
}

TEST_F(fault, splice)
{
	walk(_metadata, &self->fault, variant->type, by_splice, LARGE,
	     NULL);
}

/* A ring has memory of its own, which it keeps: have it get that first. */
static bool warm_up(struct __test_metadata *_metadata, struct ring *ring)
{
	struct io_uring_sqe sqe = make_sqe(IORING_OP_NOP, -1, NULL, 0);
	int err = ring_open(ring);

	if (err)
		SKIP(return false, "no io_uring: %s", strerror(err));
	EXPECT_EQ(0, run(_metadata, ring, &sqe));
	return true;
}

static void walk_ring(struct __test_metadata *_metadata, struct fault *fault,
		      int type, send_t send, size_t len)
{
	struct ring ring;

	if (warm_up(_metadata, &ring))
		walk(_metadata, fault, type, send, len, &ring);
}

TEST_F(fault, ring_send)
{
	walk_ring(_metadata, &self->fault, variant->type, by_ring_send, SMALL);
}

TEST_F(fault, ring_send_large)
{
	walk_ring(_metadata, &self->fault, variant->type, by_ring_send, LARGE);
}

TEST_F(fault, ring_sendmsg)
{
	walk_ring(_metadata, &self->fault, variant->type, by_ring_sendmsg,
		  LARGE);
}

/* A request that finds the receiver full, and its result after a drain. The
 * number of bytes that came is added to @came.
 */
static int send_to_full(struct __test_metadata *_metadata, struct ring *ring,
			struct fault *fault, int nth, struct link *link,
			const struct io_uring_sqe *sqe, size_t *came,
			bool *unused)
{
	long end = now_ms() + WAIT_MS;
	struct io_uring_cqe cqe = { .res = -ETIME };
	bool done = false;

	link_fill(_metadata, link, 0, 1000);
	ring_push(ring, sqe);
	fault_arm(fault, nth);
	ring_enter(ring, 1);
	while (!done && now_ms() < end) {
		*came += take_bytes(_metadata, link->fd[1], *came);
		done = completed(ring, &cqe);
	}
	*unused = fault_unused(fault);
	*came += take_bytes(_metadata, link->fd[1], *came);
	return cqe.res;
}

/* Here, what waits and is tried again is short of memory. */
static void walk_full(struct __test_metadata *_metadata, struct fault *fault,
		      int type, size_t len)
{
	struct sender sender;
	struct io_uring_sqe sqe;
	bool unused = false;
	struct link link;
	size_t came;
	int i, res;

	walk_start(_metadata, type, &sender, NULL, len);
	fill_bytes(sender.buf, len, 1, 0);
	if (!warm_up(_metadata, &sender.ring))
		return;
	for (i = 1; i < MAX_NTH && !unused; i++) {
		link_make(_metadata, &link, type, BY_CONNECT);
		sender.fd = link.fd[0];
		sqe = sender_sqe(&sender, 0);
		sqe.msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
		came = 0;
		res = send_to_full(_metadata, &sender.ring, fault, i, &link,
				   &sqe, &came, &unused);
		if (res < 0) {
			/* Cancelled: there was no thread for it. */
			EXPECT_TRUE(!unused && (res == -ENOMEM ||
						res == -ENOBUFS ||
						res == -ECANCELED))
				TH_LOG("allocation %d: %d", i, res);
			EXPECT_EQ(0U, came);
			came = 0;
			res = send_to_full(_metadata, &sender.ring, fault, 0,
					   &link, &sqe, &came, &unused);
			unused = false;
		}
		EXPECT_EQ((int)len, res)
			TH_LOG("allocation %d", i);
		EXPECT_EQ(len, came);
		link_destroy(&link);
	}
	EXPECT_TRUE(unused);
	TH_LOG("%d allocations", i - 2);
}

TEST_F(fault, ring_send_waits)
{
	walk_full(_metadata, &self->fault, variant->type, SMALL);
}

TEST_F(fault, ring_send_large_waits)
{
	walk_full(_metadata, &self->fault, variant->type, LARGE);
}

/* splice() takes from a pipe what is there, and it is cut to messages. */

#define WRITES		8
#define WRITE		(64 << 10)
#define MESSAGE_MAX	(64 << 10)

/* Everything that @link has for end 1: the bytes from @pos on, in messages
 * that are not too long.
 */
static size_t take_messages(struct __test_metadata *_metadata,
			    struct link *link, size_t pos)
{
	static unsigned char buf[1 << 20];
	size_t before = pos;
	ssize_t n;

	while ((n = recv(link->fd[1], buf, sizeof(buf), MSG_DONTWAIT)) >= 0) {
		ASSERT_LT(0, n);
		if (link->type != SOCK_STREAM)
			ASSERT_GE(MESSAGE_MAX, n);
		ASSERT_EQ((size_t)n, match_bytes(buf, n, pos));
		pos += n;
	}
	ASSERT_EQ(EAGAIN, errno);
	return pos - before;
}

/* A stream's fragments are longer than pages: more than a message can take are
 * in a pipe of 16 buffers.
 */
TEST_F(type, splice_from_stream)
{
	size_t sent = 0, came = 0, most = 0, total = WRITES * WRITE;
	char *buf = malloc(total);
	long end = now_ms() + WAIT_MS;
	struct link link;
	int fd[2], in_pipe;
	int pipefd[2];
	ssize_t n;

	ASSERT_NE(NULL, buf);
	fill_bytes(buf, total, 1, 0);
	ASSERT_EQ(0, socketpair(AF_MYPROTO, SOCK_STREAM, 0, fd));
	ASSERT_EQ(0, pipe(pipefd));
	/* To be taken whole */
	set_int_opt(_metadata, fd[1], SO_RCVBUF, 1 << 20);
	link_make(_metadata, &link, variant->type, BY_CONNECT);
	set_nonblock(_metadata, link.fd[0]);

	while (came < total && now_ms() < end) {
		while (sent < total) {
			n = send(fd[0], buf + sent, WRITE - sent % WRITE,
				 MSG_DONTWAIT);
			if (n < 0)
				break;
			sent += n;
		}
		/* A call takes no more than would be in 16 pages. */
		while (splice(fd[1], NULL, pipefd[1], NULL, 1 << 20,
			      SPLICE_F_NONBLOCK) > 0)
			;
		ASSERT_EQ(EAGAIN, errno);
		ASSERT_EQ(0, ioctl(pipefd[0], FIONREAD, &in_pipe));
		if ((size_t)in_pipe > most)
			most = in_pipe;
		n = splice(pipefd[0], NULL, link.fd[0], NULL, 1 << 20,
			   SPLICE_F_NONBLOCK);
		ASSERT_EQ(n < 0 ? EAGAIN : 0, err_of(n));
		came += take_messages(_metadata, &link, came);
	}
	EXPECT_EQ(total, came);
	TH_LOG("up to %zu bytes in the pipe", most);
}

/* The receiver takes no messages of 64 KiB: they are as long as they can be. */
static void splice_to_small(struct __test_metadata *_metadata, int type,
			    int opt, int end)
{
	size_t came = 0, total = 50000;
	long limit = now_ms() + WAIT_MS;
	char *buf = malloc(total);
	struct link link;
	int pipefd[2], file;
	off_t off = 0;

	ASSERT_NE(NULL, buf);
	fill_bytes(buf, total, 1, 0);
	ASSERT_EQ(0, pipe(pipefd));
	ASSERT_EQ((ssize_t)total, write(pipefd[1], buf, total));
	file = file_of(_metadata, 1, total);
	link_make(_metadata, &link, type, BY_CONNECT);
	set_int_opt(_metadata, link.fd[end], opt, RCVBUF);
	set_nonblock(_metadata, link.fd[0]);

	while (came < total && now_ms() < limit) {
		if (splice(pipefd[0], NULL, link.fd[0], NULL, total, 0) < 0)
			ASSERT_EQ(EAGAIN, errno);
		came += take_messages(_metadata, &link, came);
	}
	EXPECT_EQ(total, came);

	for (came = 0; came < total && now_ms() < limit;) {
		if (sendfile(link.fd[0], file, &off, total) < 0)
			ASSERT_EQ(EAGAIN, errno);
		came += take_messages(_metadata, &link, came);
		ASSERT_EQ((off_t)came, off);
	}
	EXPECT_EQ(total, came);
}

TEST_F(type, splice_to_small_rcvbuf)
{
	splice_to_small(_metadata, variant->type, SO_RCVBUF, 1);
}

TEST_F(type, splice_from_small_sndbuf)
{
	splice_to_small(_metadata, variant->type, SO_SNDBUF, 0);
}

/* There is no queue of errors: MSG_ERRQUEUE finds nothing, waits for nothing,
 * and leaves data alone.
 */

static void on_alarm(int sig)
{
}

/* Make a call that does not return fail with EINTR. */
static void limit_time(void)
{
	struct sigaction act = { .sa_handler = on_alarm };

	sigaction(SIGALRM, &act, NULL);
	alarm(WAIT_MS / 1000);
}

static int recvmsg_err(int fd, int flags)
{
	char buf[16], control[256];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};

	return err_of(recvmsg(fd, &msg, flags | MSG_ERRQUEUE));
}

static void expect_no_errors(struct __test_metadata *_metadata, int fd)
{
	static const int flags[] = { MSG_DONTWAIT, 0, MSG_PEEK, MSG_WAITALL,
				     MSG_TRUNC };
	char buf[16];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		ASSERT_EQ(EAGAIN, err_of(recv(fd, buf, sizeof(buf),
					      flags[i] | MSG_ERRQUEUE)));
		ASSERT_EQ(EAGAIN, recvmsg_err(fd, flags[i]));
	}
}

TEST_F(type, errqueue_empty)
{
	struct link link;

	link_make(_metadata, &link, variant->type, BY_CONNECT);
	limit_time();
	expect_no_errors(_metadata, link.fd[1]);
	link_expect_send(_metadata, &link, 0, "abc");
	expect_recv(_metadata, link.fd[1], "abc");
}

TEST_F(type, errqueue_leaves_data)
{
	struct link link;

	link_make(_metadata, &link, variant->type, BY_CONNECT);
	limit_time();
	link_expect_send(_metadata, &link, 0, "abc");
	expect_no_errors(_metadata, link.fd[1]);
	expect_recv(_metadata, link.fd[1], "abc");
	EXPECT_EQ(EAGAIN, try_recv(link.fd[1]));
}

/* What comes at the end is not in that queue, either. */
TEST_F(type, errqueue_leaves_end)
{
	bool dgram = variant->type == SOCK_DGRAM;
	struct link link;

	link_make(_metadata, &link, variant->type, BY_CONNECT);
	limit_time();
	link_expect_send(_metadata, &link, 0, "abc");
	link_expect_send(_metadata, &link, 1, "def");
	/* The peer resets a connection: it has not read all. */
	if (dgram)
		ASSERT_EQ(0, shutdown(link.fd[1], SHUT_RD));
	link_close(&link, 0);
	expect_no_errors(_metadata, link.fd[1]);
	expect_recv(_metadata, link.fd[1], "abc");
	expect_no_errors(_metadata, link.fd[1]);
	EXPECT_EQ(dgram ? 0 : ECONNRESET, try_recv(link.fd[1]));
	expect_no_errors(_metadata, link.fd[1]);
	expect_eof(_metadata, link.fd[1]);
}

/* recv() of no bytes from a stream waits for data like any other, and leaves
 * it.
 */

FIXTURE(zero)
{
	struct link link;
};

FIXTURE_SETUP(zero)
{
	link_make(_metadata, &self->link, SOCK_STREAM, BY_CONNECT);
}

FIXTURE_TEARDOWN(zero)
{
	link_destroy(&self->link);
}

/* errno of recvmsg() without a buffer */
static int recvmsg_zero(int fd, int flags)
{
	struct msghdr msg = {};

	return err_of(recvmsg(fd, &msg, flags));
}

static void expect_zero(struct __test_metadata *_metadata, int fd, int err,
			int flags)
{
	EXPECT_EQ(err, err_of(recv(fd, NULL, 0, flags)));
	EXPECT_EQ(err, err_of(recv(fd, NULL, 0, flags | MSG_PEEK)));
	EXPECT_EQ(err, err_of(recv(fd, NULL, 0, flags | MSG_WAITALL)));
	EXPECT_EQ(err, recvmsg_zero(fd, flags));
}

TEST_F(zero, empty)
{
	expect_zero(_metadata, self->link.fd[1], EAGAIN, MSG_DONTWAIT);
	set_nonblock(_metadata, self->link.fd[1]);
	expect_zero(_metadata, self->link.fd[1], EAGAIN, 0);
}

TEST_F(zero, data_stays)
{
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 0, "abc");
	limit_time();
	expect_zero(_metadata, link->fd[1], 0, MSG_DONTWAIT);
	expect_zero(_metadata, link->fd[1], 0, 0);
	expect_recv(_metadata, link->fd[1], "abc");
	expect_zero(_metadata, link->fd[1], EAGAIN, MSG_DONTWAIT);
}

TEST_F(zero, end)
{
	struct link *link = &self->link;

	link_expect_send(_metadata, link, 0, "abc");
	link_close(link, 0);
	limit_time();
	expect_zero(_metadata, link->fd[1], 0, MSG_DONTWAIT);
	expect_recv(_metadata, link->fd[1], "abc");
	expect_zero(_metadata, link->fd[1], 0, MSG_DONTWAIT);
	expect_zero(_metadata, link->fd[1], 0, 0);
}

/* Another process in recv() of no bytes: it ends with 0 when that returns 0. */
static pid_t zero_reader(struct __test_metadata *_metadata, int fd)
{
	pid_t pid = my_fork(_metadata);

	if (!pid)
		_exit(recv(fd, NULL, 0, 0) ? 1 : 0);
	EXPECT_TRUE(wait_asleep(pid));
	return pid;
}

TEST_F(zero, waits_for_data)
{
	struct link *link = &self->link;
	pid_t pid = zero_reader(_metadata, link->fd[1]);

	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(0, my_wait(pid));
	expect_recv(_metadata, link->fd[1], "abc");
}

TEST_F(zero, waits_for_end)
{
	struct link *link = &self->link;
	pid_t pid = zero_reader(_metadata, link->fd[1]);

	ASSERT_EQ(0, shutdown(link->fd[0], SHUT_WR));
	EXPECT_EQ(0, my_wait(pid));
	expect_eof(_metadata, link->fd[1]);
}

int main(int argc, char **argv)
{
	fault_mount();
	return my_test_main(argc, argv);
}
