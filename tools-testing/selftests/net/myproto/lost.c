// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO loses nothing: what a call says was sent arrives once and whole,
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
#define CHAIN		4	/* messages of a call */
#define SMALL		512
#define PIECE		5000	/* of a stream: may go in several parts */
#define LARGE		50000
#define TOTAL		300000	/* what each sends: enough to meet */
#define MESSAGE_MAX	(64 << 10)
#define RCVBUF		4096
#define MAX_NTH		300
#define SLOW		60	/* seconds that a test may take */

struct sender;

/* How to send. @send returns how many bytes were sent, or -errno. */
struct way {
	const char *name;
	long (*send)(struct sender *sender);
	int ioprio, flags;	/* of a request to a ring */
};

struct sender {
	const struct way *way;
	pthread_t thread;
	struct ring ring;
	int fd[2], file;	/* it sends from the first one */
	size_t len, sent, total, received;
	char *buf;		/* all that it sends, also in @file */
};

/* Byte @pos of what sender @id sends: it tells whose it is, and its place. */
static unsigned char byte_at(int id, size_t pos)
{
	return id << 5 | pos % 31;
}

static void fill_bytes(char *buf, size_t len, int id)
{
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = byte_at(id, i);
}

/* How many bytes at @buf are those from @pos on of who sent the first */
static size_t match_bytes(const unsigned char *buf, size_t len, size_t pos)
{
	size_t i;

	for (i = 0; i < len && buf[i] == byte_at(buf[0] >> 5, pos + i); i++)
		;
	return i;
}

/* By a request to a ring, which must say that it sent all */
static long by_ring(struct sender *sender)
{
	const struct way *way = sender->way;
	struct io_uring_sqe sqe = make_sqe(IORING_OP_SEND, sender->fd[0],
					   sender->buf + sender->sent,
					   sender->len);
	struct io_uring_cqe cqe;

	sqe.ioprio = way->ioprio;
	sqe.flags = way->flags;
	sqe.msg_flags = MSG_NOSIGNAL;
	if (my_type == SOCK_STREAM)
		sqe.msg_flags |= MSG_WAITALL;
	ring_push(&sender->ring, &sqe);
	if (ring_enter(&sender->ring, 1) != 1)
		return -errno;
	if (!ring_next(&sender->ring, &cqe))
		return -ETIME;
	return cqe.res == (int)sender->len ? cqe.res : -EPROTO;
}

static long by_sendmmsg(struct sender *sender)
{
	struct mmsghdr msgs[CHAIN] = {};
	struct iovec iov[CHAIN];
	long sent = 0;
	int i, n;

	for (i = 0; i < CHAIN; i++) {
		iov[i].iov_base = sender->buf + sender->sent + i * sender->len;
		iov[i].iov_len = sender->len;
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	n = sendmmsg(sender->fd[0], msgs, CHAIN, MSG_DONTWAIT | MSG_NOSIGNAL);
	for (i = 0; i < n; i++)
		sent += msgs[i].msg_len;
	return n < 0 ? -errno : sent;
}

/* splice() takes the same way. There is no MSG_DONTWAIT for it. */
static long by_sendfile(struct sender *sender)
{
	off_t off = sender->sent;
	ssize_t n;

	fcntl(sender->fd[0], F_SETFL, O_RDWR | O_NONBLOCK);
	n = sendfile(sender->fd[0], sender->file, &off, sender->len);
	return n < 0 ? -errno : n;
}

static const struct way sendmmsg_way = { "sendmmsg", by_sendmmsg };
static const struct way sendfile_way = { "sendfile", by_sendfile };

static const struct way ring_ways[] = {
	{ "ring", by_ring },
	/* From a kernel thread */
	{ "ring, async", by_ring, .flags = IOSQE_ASYNC },
	/* From a buffer that the ring knows: an iterator of another kind */
	{ "ring, fixed", by_ring, IORING_RECVSEND_FIXED_BUF },
};

/* It can send @total bytes and one call more. */
static void sender_init(struct __test_metadata *_metadata,
			struct sender *sender, const struct way *way, int id,
			size_t len, size_t total)
{
	size_t all = total + CHAIN * len;

	*sender = (struct sender) {
		.way = way,
		.len = len,
		.total = total,
		.buf = malloc(all),
		.file = memfd_create("lost", 0),
	};
	ASSERT_NE(NULL, sender->buf);
	fill_bytes(sender->buf, all, id);
	ASSERT_EQ((ssize_t)all, write(sender->file, sender->buf, all));
}

/* Several threads send to one socket that has little space. */

static struct {
	struct sender sender[SENDERS];
	int running, fd;
} receiver;

static void *sender_thread(void *arg)
{
	struct sender *sender = arg;
	long n;

	while (sender->sent < sender->total) {
		n = sender->way->send(sender);
		if (n == -EAGAIN &&
		    poll_for(sender->fd[0], POLLOUT, WAIT_MS) > 0)
			continue;
		if (n <= 0 || (my_type != SOCK_STREAM && n % sender->len)) {
			ksft_print_msg("after %zu bytes: %ld\n", sender->sent,
				       n);
			break;
		}
		sender->sent += n;
	}
	/* The last one ends it. */
	if (!__atomic_sub_fetch(&receiver.running, 1, __ATOMIC_SEQ_CST))
		shutdown(receiver.fd, SHUT_RD);
	return NULL;
}

/* @len bytes came: each is the next one of who sent it. A message is whole. */
static void check(struct __test_metadata *_metadata, const unsigned char *p,
		  size_t len)
{
	size_t n, *pos;

	/* On a stream another one's may follow. */
	for (; len; p += n, len -= n) {
		ASSERT_GT(SENDERS, *p >> 5);
		pos = &receiver.sender[*p >> 5].received;
		n = match_bytes(p, len, *pos);
		ASSERT_LT(0U, n);
		*pos += n;
		if (my_type != SOCK_STREAM) {
			ASSERT_EQ(SMALL, len);
			ASSERT_EQ(SMALL, n);
		}
	}
}

/* All of it comes, and nobody is told something else. */
static void exchange(struct __test_metadata *_metadata, const struct way *way)
{
	size_t len = my_type == SOCK_STREAM ? PIECE : SMALL;
	struct iovec iov = { NULL, TOTAL + len };
	unsigned char buf[2 * PIECE];
	struct sender *sender;
	int fd[2], i;
	ssize_t n;

	TH_LOG("%s", way->name);
	my_connection(_metadata, fd);
	receiver.fd = fd[1];
	receiver.running = SENDERS;
	set_rcvbuf(_metadata, receiver.fd, RCVBUF);
	set_timeout(_metadata, receiver.fd, SO_RCVTIMEO, WAIT_MS);
	if (my_type == SOCK_DGRAM)
		ASSERT_EQ(0, my_dissolve(fd[1]));
	for (i = 0; i < SENDERS; i++) {
		sender = &receiver.sender[i];
		sender_init(_metadata, sender, way, i, len, TOTAL);
		sender->fd[0] = my_type != SOCK_DGRAM ? fd[0] :
				my_client(_metadata, my_peer(_metadata, fd[0]));
		if (way->send == by_ring)
			ASSERT_EQ(0, ring_open(&sender->ring));
		iov.iov_base = sender->buf;
		if (way->ioprio)
			ASSERT_EQ(0, syscall(__NR_io_uring_register,
					     sender->ring.fd,
					     IORING_REGISTER_BUFFERS, &iov, 1));
		ASSERT_EQ(0, pthread_create(&sender->thread, NULL,
					    sender_thread, sender));
	}
	while ((n = recv(receiver.fd, buf, sizeof(buf), 0)) > 0) {
		check(_metadata, buf, n);
		/* The receiver is to be full most of the time. */
		sched_yield();
	}
	ASSERT_EQ(0, n);
	for (i = 0; i < SENDERS; i++) {
		sender = &receiver.sender[i];
		ASSERT_EQ(0, pthread_join(sender->thread, NULL));
		EXPECT_LE(TOTAL, sender->sent);
		EXPECT_EQ(sender->sent, sender->received);
	}
}

TEST_F_TIMEOUT(type, exchange, SLOW)
{
	exchange(_metadata, &sendmmsg_way);
	exchange(_metadata, &sendfile_way);
}

TEST_F_TIMEOUT(type, exchange_by_ring, SLOW)
{
	struct ring ring;
	int i;

	ring_init(return, &ring);
	for (i = 0; i < ARRAY_SIZE(ring_ways); i++)
		exchange(_metadata, &ring_ways[i]);
}

/* Receive all bytes there are, those of sender 1 from @pos on: how many */
static size_t take_bytes(struct __test_metadata *_metadata, int fd, size_t pos)
{
	static unsigned char buf[1 << 20];
	size_t before = pos;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) >= 0) {
		ASSERT_LT(0, n);
		if (my_type != SOCK_STREAM)
			ASSERT_GE(MESSAGE_MAX, n);
		ASSERT_EQ(1, buf[0] >> 5);
		ASSERT_EQ(n, match_bytes(buf, n, pos));
		pos += n;
	}
	ASSERT_EQ(EAGAIN, errno);
	return pos - before;
}

static void send_rest(struct __test_metadata *_metadata, struct sender *sender)
{
	long n;

	for (; sender->sent < sender->total; sender->sent += n) {
		n = sender->way->send(sender);
		ASSERT_LT(0, n);
		ASSERT_EQ(n, take_bytes(_metadata, sender->fd[1],
					sender->sent));
	}
}

/* Each allocation of a call fails once. What was not sent goes after that. */

static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };

/* Let allocation @nth fail; false if there are not so many */
static bool fail_nth(struct __test_metadata *_metadata, struct fault *fault,
		     int nth, struct sender *sender)
{
	bool unused;
	long n;

	fault_arm(fault, nth);
	n = sender->way->send(sender);
	unused = fault_unused(fault);
	if (n <= 0) {
		EXPECT_TRUE(!unused && (n == -ENOMEM || n == -ENOBUFS))
			TH_LOG("allocation %d: %ld", nth, n);
		n = 0;
	}
	EXPECT_EQ(n, take_bytes(_metadata, sender->fd[1], 0))
		TH_LOG("allocation %d", nth);
	sender->sent = n;
	/* Now with all the memory it needs */
	send_rest(_metadata, sender);
	return !unused;
}

/* The same for a request that waits for room and is tried again. It ends with
 * ECANCELED if io_uring has no memory for a worker. Then one without a fault.
 */
static bool fail_nth_full(struct __test_metadata *_metadata,
			  struct fault *fault, int nth, struct sender *sender)
{
	int i, n, from = sender->fd[0], to = sender->fd[1];
	struct io_uring_sqe sqe;
	struct io_uring_cqe cqe;
	bool unused = false;
	size_t came = 0;

	for (i = 0; i < 2; i++) {
		while ((n = send(from, sender->buf + sender->sent, 1000,
				 MSG_DONTWAIT)) > 0)
			sender->sent += n;
		ASSERT_GT(sender->total, sender->sent);
		sqe = make_sqe(IORING_OP_SEND, from,
			       sender->buf + sender->sent, sender->len);
		sqe.msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
		ring_push(&sender->ring, &sqe);
		fault_arm(fault, i ? 0 : nth);
		ring_enter(&sender->ring, 1);
		ASSERT_TRUE(wait_until((came += take_bytes(_metadata, to, came),
					completed(&sender->ring, &cqe))));
		unused |= fault_unused(fault);
		came += take_bytes(_metadata, to, came);
		if (cqe.res == (int)sender->len)
			sender->sent += cqe.res;
		else
			EXPECT_TRUE(!i && !unused && (cqe.res == -ENOMEM ||
						      cqe.res == -ENOBUFS ||
						      cqe.res == -ECANCELED))
				TH_LOG("allocation %d: %d", nth, cqe.res);
		ASSERT_EQ(sender->sent, came);
	}
	return !unused;
}

/* With @ring by requests that wait */
static void walk(struct __test_metadata *_metadata, struct fault *fault,
		 const struct way *way, size_t len, struct ring *ring)
{
	struct sender sender;
	bool failed;
	int i, t;

	for (t = 0; t < ARRAY_SIZE(types); t++) {
		TH_LOG("%s, type %d, %zu bytes", way->name, types[t], len);
		my_type = types[t];
		sender_init(_metadata, &sender, way, 1, len,
			    ring ? 1 << 20 : CHAIN * len);
		if (ring)
			sender.ring = *ring;
		for (i = 1, failed = true; i < MAX_NTH && failed; i++) {
			my_connection(_metadata, sender.fd);
			sender.sent = 0;
			failed = (ring ? fail_nth_full : fail_nth)
				 (_metadata, fault, i, &sender);
			close(sender.fd[0]);
			close(sender.fd[1]);
		}
		EXPECT_FALSE(failed);
		/* Some did fail. */
		EXPECT_LT(2, i);
	}
}

TEST_F_TIMEOUT(fault, send, SLOW)
{
	walk(_metadata, &self->fault, &sendmmsg_way, SMALL, NULL);
	walk(_metadata, &self->fault, &sendmmsg_way, LARGE, NULL);
	walk(_metadata, &self->fault, &sendfile_way, LARGE, NULL);
}

TEST_F_TIMEOUT(fault, send_by_ring, SLOW)
{
	struct io_uring_sqe sqe = make_sqe(IORING_OP_NOP, -1, NULL, 0);
	struct ring ring;

	ring_init(return, &ring);
	/* It has memory of its own, which it keeps: have it get that first. */
	EXPECT_EQ(0, run(_metadata, &ring, &sqe));
	walk(_metadata, &self->fault, ring_ways, PIECE, &ring);
	walk(_metadata, &self->fault, ring_ways, LARGE, &ring);
}

/* What splice() takes from a pipe is cut to messages: 16 fragments of a stream,
 * longer than pages, are more than one can take.
 */
TEST_F(type, splice_from_stream)
{
	static char buf[4 * MESSAGE_MAX];
	int stream[2], pipefd[2], fd[2];
	ssize_t came = 0, n;

	fill_bytes(buf, sizeof(buf), 1);
	ASSERT_EQ(0, socketpair(AF_MYPROTO, SOCK_STREAM, 0, stream));
	ASSERT_EQ(0, pipe(pipefd));
	my_connection(_metadata, fd);
	/* To be taken whole */
	set_rcvbuf(_metadata, stream[1], 1 << 20);
	ASSERT_EQ(sizeof(buf), send(stream[0], buf, sizeof(buf), MSG_DONTWAIT));
	while (came < (ssize_t)sizeof(buf)) {
		/* A call takes no more than would be in 16 pages. */
		while (splice(stream[1], NULL, pipefd[1], NULL, 1 << 20,
			      SPLICE_F_NONBLOCK) > 0)
			;
		ASSERT_EQ(EAGAIN, errno);
		n = splice(pipefd[0], NULL, fd[0], NULL, 1 << 20,
			   SPLICE_F_NONBLOCK);
		ASSERT_LT(0, n);
		EXPECT_EQ(n, take_bytes(_metadata, fd[1], came));
		came += n;
	}
}

/* The buffers take no messages of 64 KiB: they are as long as they can be. */
TEST_F(type, sendfile_to_small_buffers)
{
	static const int opts[] = { SO_SNDBUF, SO_RCVBUF };
	struct sender sender;
	int i;

	for (i = 0; i < 2; i++) {
		sender_init(_metadata, &sender, &sendfile_way, 1, LARGE, LARGE);
		my_connection(_metadata, sender.fd);
		set_int_opt(_metadata, sender.fd[i], opts[i], RCVBUF);
		send_rest(_metadata, &sender);
	}
}

TEST_HARNESS_MAIN
