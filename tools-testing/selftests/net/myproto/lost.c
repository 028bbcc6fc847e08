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

FIXTURE_VARIANT_ADD(type, dgram) { SOCK_DGRAM };

#define SENDERS		6
#define CHAIN		4	/* linked requests, or messages of a call */
#define SMALL		512
#define PIECE		5000	/* of a stream: may go in several parts */
#define LARGE		50000
#define MESSAGE_MAX	(64 << 10)
#define RCVBUF		4096
#define MAX_NTH		300

/* Seconds that a test may take on a slow machine with much else to do */
#define SLOW		60

struct sender;

/* How to send. @send returns how many bytes were sent, or -errno. */
struct way {
	const char *name;
	long (*send)(struct sender *sender);
	int count;	/* times CHAIN messages, and fewer pieces of a stream */
	int op, ioprio, flags, chain;	/* of a request to a ring */
};

struct sender {
	const struct way *way;
	pthread_t thread;
	struct ring ring;
	int fd, id, file, pipe[2];
	size_t len, sent, total;
	char *buf;		/* CHAIN times @len */
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

static size_t left(const struct sender *sender)
{
	return sender->total - sender->sent;
}

/* The next piece, which may be the rest of one */
static size_t next_len(const struct sender *sender)
{
	return sender->len < left(sender) ? sender->len : left(sender);
}

/*
 * By requests to a ring, each of which waits for the one before it. Each must
 * say that it sent all it was to send.
 */
static long by_ring(struct sender *sender)
{
	const struct way *way = sender->way;
	size_t len = sender->len;
	struct iovec iov[2] = {
		{ sender->buf, len / 2 },
		{ sender->buf + len / 2, len - len / 2 },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	struct io_uring_sqe sqe;
	struct io_uring_cqe cqe;
	int i;

	for (i = 0; i < way->chain; i++) {
		sqe = make_sqe(way->op, sender->fd, sender->buf + i * len, len);
		if (way->op == IORING_OP_SENDMSG)
			sqe = make_sqe(way->op, sender->fd, &msg, 1);
		if (way->ioprio == IORING_SEND_VECTORIZED)
			sqe = make_sqe(way->op, sender->fd, iov, 2);
		sqe.ioprio = way->ioprio;
		sqe.flags = way->flags;
		if (i < way->chain - 1)
			sqe.flags |= IOSQE_IO_LINK;
		sqe.msg_flags = MSG_NOSIGNAL;
		if (my_type == SOCK_STREAM)
			sqe.msg_flags |= MSG_WAITALL;
		ring_push(&sender->ring, &sqe);
	}
	if (ring_enter(&sender->ring, way->chain) != way->chain)
		return -errno;
	for (i = 0; i < way->chain; i++) {
		if (!ring_next(&sender->ring, &cqe))
			return -ETIME;
		/* -EAGAIN would be tried again. */
		if (cqe.res != (int)len)
			return cqe.res == -EAGAIN ? -EPROTO : cqe.res;
	}
	return way->chain * len;
}

static long by_sendmmsg(struct sender *sender)
{
	struct mmsghdr msgs[CHAIN] = {};
	struct iovec iov[CHAIN];
	size_t pos = 0, len;
	int i, n, count;
	long sent = 0;

	for (count = 0; count < CHAIN && pos < left(sender); count++) {
		len = left(sender) - pos;
		len = len < sender->len ? len : sender->len;
		iov[count] = (struct iovec) { sender->buf + pos, len };
		msgs[count].msg_hdr.msg_iov = &iov[count];
		msgs[count].msg_hdr.msg_iovlen = 1;
		pos += len;
	}
	n = sendmmsg(sender->fd, msgs, count, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	for (i = 0; i < n; i++)
		sent += msgs[i].msg_len;
	return sent;
}

static long by_sendfile(struct sender *sender)
{
	off_t off = sender->sent;
	ssize_t n = sendfile(sender->fd, sender->file, &off, next_len(sender));

	if (n < 0)
		return -errno;
	return off == (off_t)sender->sent + n ? n : -EPROTO;
}

/* What did not go is still in the pipe. */
static int fill_pipe(struct sender *sender)
{
	int in_pipe = ioctl_len(sender->pipe[0], FIONREAD);

	if (!in_pipe)
		in_pipe = write(sender->pipe[1], sender->buf, next_len(sender));
	return in_pipe;
}

static long by_splice(struct sender *sender)
{
	ssize_t n = splice(sender->pipe[0], NULL, sender->fd, NULL,
			   fill_pipe(sender), 0);

	return n < 0 ? -errno : n;
}

enum {
	SENDMMSG, SENDFILE, SPLICE,
	SEND, LINKED, ASYNC, SENDMSG, VECTORIZED, FIXED, WAYS,
};

static const struct way ways[] = {
	[SENDMMSG] = { "sendmmsg", by_sendmmsg, .count = 30 },
	[SENDFILE] = { "sendfile", by_sendfile, .count = 30 },
	[SPLICE] = { "splice", by_splice, .count = 30 },
	[SEND] = { "ring", by_ring, 100, IORING_OP_SEND, 0, 0, 1 },
	[LINKED] = { "ring, linked", by_ring, 100, IORING_OP_SEND, 0, 0,
		     CHAIN },
	/* From a kernel thread */
	[ASYNC] = { "ring, async", by_ring, 50, IORING_OP_SEND, 0,
		    IOSQE_ASYNC, 1 },
	[SENDMSG] = { "ring, sendmsg", by_ring, 50, IORING_OP_SENDMSG, 0, 0,
		      1 },
	[VECTORIZED] = { "ring, vectorized", by_ring, 50, IORING_OP_SEND,
			 IORING_SEND_VECTORIZED, 0, 1 },
	/* From a buffer that the ring knows: an iterator of another kind */
	[FIXED] = { "ring, fixed", by_ring, 50, IORING_OP_SEND,
		    IORING_RECVSEND_FIXED_BUF, 0, 1 },
};

static void sender_init(struct __test_metadata *_metadata,
			struct sender *sender, const struct way *way, int id,
			size_t len, size_t total)
{
	char *bytes = malloc(total);

	*sender = (struct sender) {
		.way = way,
		.id = id,
		.len = len,
		.total = total,
		.buf = malloc(CHAIN * len),
		.file = memfd_create("lost", 0),
	};
	ASSERT_TRUE(bytes && sender->buf);
	fill_bytes(bytes, total, id, 0);
	ASSERT_EQ((ssize_t)total, write(sender->file, bytes, total));
	free(bytes);
	ASSERT_EQ(0, pipe(sender->pipe));
	ASSERT_LT((int)len, fcntl(sender->pipe[1], F_SETPIPE_SZ, 1 << 18));
}

static void set_socket(struct __test_metadata *_metadata,
		       struct sender *sender, int fd)
{
	sender->fd = fd;
	/* sendfile() and splice() have no MSG_DONTWAIT. A ring must wait. */
	if (!sender->way->op)
		set_nonblock(_metadata, fd);
}

static long send_next(struct sender *sender)
{
	fill_bytes(sender->buf, CHAIN * sender->len, sender->id, sender->sent);
	return sender->way->send(sender);
}

/* Several threads send to one socket that has little space. */

static struct {
	struct sender sender[SENDERS];
	size_t received[SENDERS], left;
	int fd;
} receiver;

static void *sender_thread(void *arg)
{
	struct sender *sender = arg;
	long n;

	while (left(sender)) {
		n = send_next(sender);
		if (n == -EAGAIN) {
			if (poll_for(sender->fd, POLLOUT, WAIT_MS) > 0)
				continue;
			n = -ETIME;
		}
		if (n <= 0 || (my_type != SOCK_STREAM && n % sender->len)) {
			ksft_print_msg("sender %d after %zu bytes: %ld\n",
				       sender->id, sender->sent, n);
			break;
		}
		sender->sent += n;
	}
	return NULL;
}

static void start(struct __test_metadata *_metadata, const struct way *way)
{
	bool stream = my_type == SOCK_STREAM;
	size_t len = stream ? PIECE : SMALL;
	size_t total = way->count * CHAIN * len / (stream ? 10 : 1);
	struct sender *sender = receiver.sender;
	struct iovec iov;
	int fd[2], i;

	TH_LOG("%s", way->name);
	memset(&receiver, 0, sizeof(receiver));
	my_connection(_metadata, fd);
	receiver.fd = fd[1];
	receiver.left = SENDERS * total;
	set_rcvbuf(_metadata, receiver.fd, RCVBUF);
	set_timeout(_metadata, receiver.fd, SO_RCVTIMEO, WAIT_MS);
	if (my_type == SOCK_DGRAM)
		ASSERT_EQ(0, my_dissolve(fd[1]));
	for (i = 0; i < SENDERS; i++, sender++) {
		sender_init(_metadata, sender, way, i, len, total);
		set_socket(_metadata, sender, my_type != SOCK_DGRAM ? fd[0] :
			   my_client(_metadata, my_peer(_metadata, fd[0])));
		if (way->op)
			ASSERT_EQ(0, ring_open(&sender->ring));
		iov = (struct iovec) { sender->buf, CHAIN * len };
		if (way->ioprio == IORING_RECVSEND_FIXED_BUF)
			ASSERT_EQ(0, syscall(__NR_io_uring_register,
					     sender->ring.fd,
					     IORING_REGISTER_BUFFERS, &iov, 1));
	}
	while (sender-- > receiver.sender)
		ASSERT_EQ(0, pthread_create(&sender->thread, NULL,
					    sender_thread, sender));
}

/* @len bytes came: each is the next one of who sent it. A message is whole. */
static void check(struct __test_metadata *_metadata, const void *buf, long len)
{
	const unsigned char *p = buf, *end = p + len;
	size_t n, *pos;

	ASSERT_LT(0, len);
	for (; p < end; p += n) {
		ASSERT_GT(SENDERS, *p >> 5);
		pos = &receiver.received[*p >> 5];
		n = match_bytes(p, end - p, *pos);
		ASSERT_LT(0U, n);
		*pos += n;
		/* On a stream another one's may follow. */
		if (my_type != SOCK_STREAM) {
			ASSERT_EQ(SMALL, len);
			ASSERT_EQ(SMALL, n);
		}
	}
	ASSERT_LE((size_t)len, receiver.left);
	receiver.left -= len;
}

static void receive_all(struct __test_metadata *_metadata)
{
	char buf[2 * PIECE];

	while (receiver.left) {
		check(_metadata, buf, recv(receiver.fd, buf, sizeof(buf), 0));
		/* The receiver is to be full most of the time. */
		sched_yield();
	}
}

/* The same by one request that does not end */
static void receive_multishot(struct __test_metadata *_metadata,
			      struct ring *ring, struct bufs *bufs)
{
	struct io_uring_sqe sqe = make_sqe(IORING_OP_RECV, receiver.fd, NULL,
					   0);
	struct io_uring_cqe cqe;
	bool on = false;

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
		check(_metadata, bufs->mem + bufs_id(&cqe) * bufs->len,
		      cqe.res);
		bufs_put(bufs, bufs_id(&cqe));
	}
}

/* All of it came, and nobody was told something else. */
static void finish(struct __test_metadata *_metadata)
{
	struct sender *sender = receiver.sender;
	int i;

	for (i = 0; i < SENDERS; i++) {
		ASSERT_EQ(0, pthread_join(sender[i].thread, NULL));
		EXPECT_EQ(sender[i].total, sender[i].sent);
	}
	EXPECT_EQ(EAGAIN, try_recv(receiver.fd));
}

TEST_F_TIMEOUT(type, exchange, SLOW)
{
	int i;

	for (i = SENDMMSG; i <= SPLICE; i++) {
		start(_metadata, &ways[i]);
		receive_all(_metadata);
		finish(_metadata);
	}
}

TEST_F_TIMEOUT(type, exchange_by_ring, SLOW)
{
	struct ring ring;
	struct bufs bufs;
	int i;

	ring_init(return, &ring);
	bufs_init(_metadata, &ring, &bufs, 1, 4, 2 * SMALL);
	for (i = SEND; i < WAYS; i++) {
		start(_metadata, &ways[i]);
		receive_all(_metadata);
		finish(_metadata);
		if (i > LINKED)
			continue;
		start(_metadata, &ways[i]);
		receive_multishot(_metadata, &ring, &bufs);
		finish(_metadata);
	}
}

/*
 * Receive all that is queued: the bytes of sender 1 from @pos on, in no empty
 * and no too long message; before that, zeros if it was @filled.
 */
static size_t take_bytes(struct __test_metadata *_metadata, int fd, size_t pos,
			 bool filled)
{
	static unsigned char buf[1 << 20];
	size_t before = pos, skip;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) >= 0) {
		ASSERT_LT(0, n);
		if (my_type != SOCK_STREAM)
			ASSERT_GE(MESSAGE_MAX, n);
		for (skip = 0; filled && skip < (size_t)n && !buf[skip];)
			skip++;
		ASSERT_EQ(n - skip, match_bytes(buf + skip, n - skip, pos));
		pos += n - skip;
	}
	ASSERT_EQ(EAGAIN, errno);
	return pos - before;
}

/*
 * Memory is short: of each allocation in a call, let it fail. What the call did
 * not send is sent after that.
 */

static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };

/* Let allocation @nth fail; false if there are not so many */
static bool fail_nth(struct __test_metadata *_metadata, struct fault *fault,
		     int nth, struct sender *sender, int fd)
{
	bool unused;
	long n;

	sender->sent = 0;
	fill_bytes(sender->buf, CHAIN * sender->len, 1, 0);
	/* Not what this is about */
	if (sender->way == &ways[SPLICE])
		ASSERT_EQ((int)sender->len, fill_pipe(sender));

	fault_arm(fault, nth);
	n = sender->way->send(sender);
	unused = fault_unused(fault);
	if (n <= 0) {
		EXPECT_TRUE(!unused && (n == -ENOMEM || n == -ENOBUFS))
			TH_LOG("allocation %d: %ld", nth, n);
		n = 0;
	}
	EXPECT_EQ((size_t)n, take_bytes(_metadata, fd, 0, false))
		TH_LOG("allocation %d", nth);

	/* The rest, with all the memory it needs */
	for (sender->sent = n; left(sender); sender->sent += n) {
		n = send_next(sender);
		ASSERT_LT(0, n);
		ASSERT_EQ((size_t)n, take_bytes(_metadata, fd, sender->sent,
						false))
			TH_LOG("after allocation %d", nth);
	}
	return !unused;
}

/*
 * The same for a request that waits for room and is tried again. It ends with
 * ECANCELED if io_uring has no memory for a worker: then a new one is sent.
 */
static bool fail_nth_full(struct __test_metadata *_metadata,
			  struct fault *fault, int nth, struct sender *sender,
			  int fd)
{
	struct io_uring_sqe sqe = make_sqe(IORING_OP_SEND, sender->fd,
					   sender->buf, sender->len);
	struct io_uring_cqe cqe = { .res = -ETIME };
	bool unused = false;
	size_t came = 0;
	int n;

	sqe.msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
	fill_bytes(sender->buf, sender->len, 1, 0);
	for (n = nth; n >= 0; n = cqe.res < 0 && n ? 0 : -1) {
		came = 0;
		my_fill(_metadata, sender->fd, 1000);
		ring_push(&sender->ring, &sqe);
		fault_arm(fault, n);
		ring_enter(&sender->ring, 1);
		wait_until((came += take_bytes(_metadata, fd, came, true),
			    completed(&sender->ring, &cqe)));
		unused |= fault_unused(fault);
		came += take_bytes(_metadata, fd, came, true);
		if (cqe.res < 0) {
			EXPECT_TRUE(!unused && (cqe.res == -ENOMEM ||
						cqe.res == -ENOBUFS ||
						cqe.res == -ECANCELED))
				TH_LOG("allocation %d: %d", nth, cqe.res);
			EXPECT_EQ(0U, came);
		}
	}
	EXPECT_EQ((int)sender->len, cqe.res)
		TH_LOG("allocation %d", nth);
	EXPECT_EQ(sender->len, came);
	return !unused;
}

static void walk(struct __test_metadata *_metadata, struct fault *fault,
		 int way, size_t len, bool full, struct ring *ring)
{
	struct sender sender;
	int fd[2], i, t;
	bool failed;

	for (t = 0; t < ARRAY_SIZE(types); t++) {
		TH_LOG("%s, type %d, %zu bytes", ways[way].name, types[t], len);
		my_type = types[t];
		sender_init(_metadata, &sender, &ways[way], 1, len,
			    CHAIN * len);
		if (ring)
			sender.ring = *ring;
		for (i = 1, failed = true; i < MAX_NTH && failed; i++) {
			my_connection(_metadata, fd);
			set_socket(_metadata, &sender, fd[0]);
			failed = (full ? fail_nth_full : fail_nth)
				 (_metadata, fault, i, &sender, fd[1]);
			close(fd[0]);
			close(fd[1]);
		}
		EXPECT_FALSE(failed);
		/* Some did fail. */
		EXPECT_LT(2, i);
	}
}

TEST_F_TIMEOUT(fault, send, SLOW)
{
	walk(_metadata, &self->fault, SENDMMSG, SMALL, false, NULL);
	walk(_metadata, &self->fault, SENDMMSG, LARGE, false, NULL);
	walk(_metadata, &self->fault, SENDFILE, LARGE, false, NULL);
	walk(_metadata, &self->fault, SPLICE, LARGE, false, NULL);
}

TEST_F_TIMEOUT(fault, send_by_ring, SLOW)
{
	struct io_uring_sqe sqe = make_sqe(IORING_OP_NOP, -1, NULL, 0);
	struct ring ring;

	ring_init(return, &ring);
	/* It has memory of its own, which it keeps: have it get that first. */
	EXPECT_EQ(0, run(_metadata, &ring, &sqe));
	walk(_metadata, &self->fault, SEND, SMALL, false, &ring);
	walk(_metadata, &self->fault, SEND, LARGE, false, &ring);
	walk(_metadata, &self->fault, SENDMSG, LARGE, false, &ring);
	walk(_metadata, &self->fault, SEND, SMALL, true, &ring);
	walk(_metadata, &self->fault, SEND, LARGE, true, &ring);
}

/*
 * splice() takes from a pipe what is there, and it is cut to messages. A
 * stream's fragments are longer than pages: more than a message can take are in
 * a pipe of 16 buffers.
 */
TEST_F(type, splice_from_stream)
{
	size_t sent = 0, came = 0, total = 8 * MESSAGE_MAX;
	int stream[2], pipefd[2], fd[2];
	long end = now_ms() + WAIT_MS;
	char *buf = malloc(total);
	ssize_t n;

	ASSERT_NE(NULL, buf);
	fill_bytes(buf, total, 1, 0);
	ASSERT_EQ(0, socketpair(AF_MYPROTO, SOCK_STREAM, 0, stream));
	ASSERT_EQ(0, pipe(pipefd));
	/* To be taken whole */
	set_rcvbuf(_metadata, stream[1], 1 << 20);
	my_connection(_metadata, fd);
	set_nonblock(_metadata, fd[0]);

	while (came < total && now_ms() < end) {
		while (sent < total) {
			n = send(stream[0], buf + sent,
				 MESSAGE_MAX - sent % MESSAGE_MAX,
				 MSG_DONTWAIT);
			if (n < 0)
				break;
			sent += n;
		}
		/* A call takes no more than would be in 16 pages. */
		while (splice(stream[1], NULL, pipefd[1], NULL, 1 << 20,
			      SPLICE_F_NONBLOCK) > 0)
			;
		ASSERT_EQ(EAGAIN, errno);
		n = splice(pipefd[0], NULL, fd[0], NULL, 1 << 20,
			   SPLICE_F_NONBLOCK);
		ASSERT_EQ(n < 0 ? EAGAIN : 0, err_of(n));
		came += take_bytes(_metadata, fd[1], came, false);
	}
	EXPECT_EQ(total, came);
}

/* The buffers take no messages of 64 KiB: they are as long as they can be. */
TEST_F(type, splice_and_sendfile_to_small_buffers)
{
	static const int opts[] = { SO_SNDBUF, SO_RCVBUF };
	long limit = now_ms() + WAIT_MS;
	struct sender sender;
	int fd[2], i;

	for (i = 0; i < 4; i++) {
		sender_init(_metadata, &sender,
			    &ways[i / 2 ? SPLICE : SENDFILE], 1, LARGE, LARGE);
		fill_bytes(sender.buf, LARGE, 1, 0);
		my_connection(_metadata, fd);
		set_int_opt(_metadata, fd[i % 2], opts[i % 2], RCVBUF);
		set_socket(_metadata, &sender, fd[0]);
		while (left(&sender) && now_ms() < limit) {
			if (sender.way->send(&sender) < 0)
				ASSERT_EQ(EAGAIN, errno);
			sender.sent += take_bytes(_metadata, fd[1], sender.sent,
						  false);
		}
		EXPECT_EQ(LARGE, sender.sent)
			TH_LOG("%s, option %d", sender.way->name, opts[i % 2]);
	}
}

/*
 * There is no queue of errors: MSG_ERRQUEUE finds nothing, waits for nothing,
 * and leaves data alone.
 */
static void expect_no_errors(struct __test_metadata *_metadata, int fd)
{
	static const int flags[] = {
		MSG_DONTWAIT, 0, MSG_PEEK, MSG_WAITALL, MSG_TRUNC,
	};
	char buf[16], control[256];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		ASSERT_EQ(EAGAIN, err_of(recv(fd, buf, sizeof(buf),
					      flags[i] | MSG_ERRQUEUE)));
		ASSERT_EQ(EAGAIN, err_of(recvmsg(fd, &msg, flags[i] |
							   MSG_ERRQUEUE)));
	}
}

TEST_F(type, errqueue)
{
	bool dgram = variant->type == SOCK_DGRAM;
	int fd[2];

	my_connection(_metadata, fd);
	expect_no_errors(_metadata, fd[1]);
	expect_send(_metadata, fd[0], "abc");
	expect_no_errors(_metadata, fd[1]);
	expect_recv(_metadata, fd[1], "abc");
	EXPECT_EQ(EAGAIN, try_recv(fd[1]));

	/* Nor is what comes at the end: the peer resets a connection, of which
	 * it has not read all.
	 */
	expect_send(_metadata, fd[0], "abc");
	expect_send(_metadata, fd[1], "def");
	if (dgram)
		ASSERT_EQ(0, shutdown(fd[1], SHUT_RD));
	close(fd[0]);
	expect_no_errors(_metadata, fd[1]);
	expect_recv(_metadata, fd[1], "abc");
	expect_no_errors(_metadata, fd[1]);
	EXPECT_EQ(dgram ? 0 : ECONNRESET, try_recv(fd[1]));
	expect_no_errors(_metadata, fd[1]);
	expect_eof(_metadata, fd[1]);
}

TEST_HARNESS_MAIN
