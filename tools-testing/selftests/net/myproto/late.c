// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO, what is decided late: credentials and filters are looked at when
 * something is queued and not before its sender has waited, and a reader that
 * sleeps in a page fault holds up neither shutdown() nor SOCK_DESTROY.
 */
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <linux/filter.h>
#include <linux/sockios.h>
#include <linux/userfaultfd.h>

#include "cmsg.h"
#include "destroy.h"
#include "ring.h"
#include "type.h"

FIXTURE_VARIANT_ADD(type, dgram)
{
	.type = SOCK_DGRAM,
};

/* The beginning of a message is enough. Tells the whole length. */
static ssize_t get(int fd, struct got *got)
{
	return recv_got(fd, got, sizeof(got->control), MSG_TRUNC);
}

/* Whether it came with these credentials; NULL: with none */
static bool has_cred(struct got *got, const struct ucred *cred)
{
	struct ucred *in = find_cmsg(got, SCM_CREDENTIALS, sizeof(*in));

	return cred ? in && !memcmp(in, cred, sizeof(*in)) : !in;
}

/* Send from end 0, with credentials if @cred is not NULL. */
static ssize_t send_cred(struct link *link, const void *buf, size_t len,
			 const struct ucred *cred)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	union control control = {
		.align.cmsg_level = SOL_SOCKET,
		.align.cmsg_type = SCM_CREDENTIALS,
		.align.cmsg_len = CMSG_LEN(sizeof(*cred)),
	};
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (cred) {
		memcpy(CMSG_DATA(&control.align), cred, sizeof(*cred));
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof(*cred));
	}
	return sendmsg(link->fd[0], link_address(link, 0, &msg), MSG_NOSIGNAL);
}

/* A child that sends from end 0, where it has to wait. It ends with KSFT_PASS
 * when all was sent.
 */
static pid_t fork_send(struct __test_metadata *_metadata, struct link *link,
		       const void *buf, size_t len, const struct ucred *cred)
{
	pid_t pid = my_fork(_metadata);

	if (!pid)
		_exit(send_cred(link, buf, len, cred) == (ssize_t)len ?
		      KSFT_PASS : KSFT_FAIL);
	ASSERT_TRUE(wait_asleep(pid));
	return pid;
}

/* Fill end 1 with zeros; tells how many messages, or writes, it took */
static size_t fill(struct __test_metadata *_metadata, struct link *link)
{
	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 10000);
	return link_fill(_metadata, link, 0, 1000);
}

/* Read @count of the messages of fill(). */
static void get_zeros(struct __test_metadata *_metadata, struct link *link,
		      size_t count)
{
	struct got got;

	while (count--) {
		EXPECT_EQ(1000, get(link->fd[1], &got));
		EXPECT_EQ(0, got.data[0]);
	}
}

/* Read the rest of them, then what was sent late. */
static void get_late(struct __test_metadata *_metadata, struct link *link,
		     size_t count, struct got *got)
{
	get_zeros(_metadata, link, count);
	ASSERT_EQ(POLLIN, poll_for(link->fd[1], POLLIN, WAIT_MS));
	ASSERT_LE(0, get(link->fd[1], got));
}

/* What SO_MEMINFO says was dropped */
static __u32 drops(struct __test_metadata *_metadata, int fd)
{
	__u32 info[SK_MEMINFO_VARS] = {};
	socklen_t len = sizeof(info);

	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len));
	return info[SK_MEMINFO_DROPS];
}

/* What the receiver wants */
enum wish {
	NOTHING,
	PASSCRED,
	DROP,	/* a filter that drops all */
	CUT,	/* one that cuts a byte off, each time that it runs */
	DETACH,	/* no filter */
};

static void set_wish(struct __test_metadata *_metadata, int fd, enum wish wish)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
		BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, 1),
		BPF_STMT(BPF_RET | (wish == CUT ? BPF_A : BPF_K), 0),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	if (wish == PASSCRED)
		set_int_opt(_metadata, fd, SO_PASSCRED, 1);
	else if (wish == DETACH)
		set_int_opt(_metadata, fd, SO_DETACH_FILTER, 0);
	else if (wish)
		ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER,
					&prog, sizeof(prog)));
}

/* Messages: the sender waits, and meanwhile the receiver changes its mind. */

FIXTURE(message)
{
	struct link link;
};

FIXTURE_VARIANT(message)
{
	int type;
	enum made made;
};

FIXTURE_VARIANT_ADD(message, seqpacket)
{
	.type = SOCK_SEQPACKET,
	.made = BY_CONNECT,
};

FIXTURE_VARIANT_ADD(message, dgram_socketpair)
{
	.type = SOCK_DGRAM,
	.made = BY_PAIR,
};

FIXTURE_VARIANT_ADD(message, dgram_unconnected)
{
	.type = SOCK_DGRAM,
	.made = BY_ADDRESS,
};

FIXTURE_SETUP(message)
{
	link_make(_metadata, &self->link, variant->type, variant->made);
}

FIXTURE_TEARDOWN(message)
{
	link_destroy(&self->link);
}

static const struct change {
	const char *name;
	enum wish before, then;
	bool names;		/* the sender names credentials */
	const char *gets;	/* of "abcdefgh" */
} changes[] = {
	{ "credentials", NOTHING, PASSCRED, false, "abcdefgh" },
	/* Those that the sender names go before its own. */
	{ "named credentials", NOTHING, PASSCRED, true, "abcdefgh" },
	/* It was sent all the same, and counts as dropped. */
	{ "filter drops", NOTHING, DROP, false, "next" },
	{ "filter cuts", NOTHING, CUT, false, "abcdefg" },
	{ "filter goes", CUT, DETACH, false, "abcdefgh" },
};

static void change_while_sender_waits(struct __test_metadata *_metadata,
				      struct link *link,
				      const struct change *change)
{
	struct ucred cred = { .pid = getpid(), .uid = 12345, .gid = 54321 };
	bool passed = change->then == PASSCRED, dropped = change->then == DROP;
	size_t count = fill(_metadata, link);
	int fd = link->fd[1];
	struct got got;
	__u32 *ovfl;
	pid_t pid;

	set_int_opt(_metadata, fd, SO_RXQ_OVFL, 1);
	set_wish(_metadata, fd, change->before);
	pid = fork_send(_metadata, link, "abcdefgh", 8,
			change->names ? &cred : NULL);
	set_wish(_metadata, fd, change->then);
	EXPECT_EQ(0U, drops(_metadata, fd));
	get_zeros(_metadata, link, 1);
	EXPECT_EQ(KSFT_PASS, my_wait(pid));
	EXPECT_EQ(dropped, drops(_metadata, fd));
	if (dropped) {
		set_wish(_metadata, fd, DETACH);
		link_expect_send(_metadata, link, 0, "next");
	}
	get_late(_metadata, link, count - 1, &got);
	EXPECT_STREQ(change->gets, got.data)
		TH_LOG("%s", change->name);
	ovfl = find_cmsg(&got, SO_RXQ_OVFL, sizeof(*ovfl));
	EXPECT_EQ(dropped, ovfl ? *ovfl : 0);
	if (!change->names)
		cred = (struct ucred) { pid, getuid(), getgid() };
	EXPECT_TRUE(has_cred(&got, passed ? &cred : NULL))
		TH_LOG("%s", change->name);
}

TEST_F(message, receiver_changes_while_sender_waits)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(changes); i++) {
		change_while_sender_waits(_metadata, &self->link, &changes[i]);
		link_destroy(&self->link);
		link_make(_metadata, &self->link, variant->type, variant->made);
	}
}

/* What is dropped leaves the space to another that waits. */
TEST_F(message, dropped_lets_the_next_go)
{
	struct link *link = &self->link;
	size_t count = fill(_metadata, link);
	pid_t pid[3];
	int i;

	for (i = 0; i < 3; i++)
		pid[i] = fork_send(_metadata, link, "late", 4, NULL);
	set_wish(_metadata, link->fd[1], DROP);
	get_zeros(_metadata, link, 1);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(KSFT_PASS, my_wait(pid[i]));
	EXPECT_EQ(3U, drops(_metadata, link->fd[1]));
	get_zeros(_metadata, link, count - 1);
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
}

/* Woken again and again, and often another was faster: still cut once. So it
 * is after EAGAIN.
 */
TEST_F(message, filter_cuts_once)
{
	struct link *link = &self->link;
	char zeros[1000] = "";
	struct got got;
	pid_t pid;
	int i;

	fill(_metadata, link);
	set_wish(_metadata, link->fd[1], CUT);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(EAGAIN, err_of(link_send(link, 0, "abcdefgh", 8,
						   MSG_DONTWAIT)));
	get_zeros(_metadata, link, 1);
	link_expect_send(_metadata, link, 0, "ABCDEFGH");
	link_fill(_metadata, link, 0, 1000);
	pid = fork_send(_metadata, link, "abcdefgh", 8, NULL);
	for (i = 0; i < 1000; i++) {
		ASSERT_LE(0, get(link->fd[1], &got));
		if (got.data[0] == 'a')
			break;
		if (got.data[0])
			EXPECT_STREQ("ABCDEFG", got.data);
		link_send(link, 0, zeros, sizeof(zeros), MSG_DONTWAIT);
	}
	while (!got.data[0]) {
		ASSERT_EQ(POLLIN, poll_for(link->fd[1], POLLIN, WAIT_MS));
		ASSERT_LE(0, get(link->fd[1], &got));
	}
	EXPECT_EQ(KSFT_PASS, my_wait(pid));
	EXPECT_STREQ("abcdefg", got.data);
}

/* io_uring tries again with what it has of the message. */
TEST_F(message, filter_cuts_once_by_io_uring)
{
	struct link *link = &self->link;
	struct io_uring_sqe sqe;
	struct io_uring_cqe cqe;
	struct ring ring = {};
	struct got got;
	size_t count;
	bool waits;

	ring_init(_metadata, &ring);
	count = fill(_metadata, link);
	set_wish(_metadata, link->fd[1], CUT);
	sqe = make_sqe(IORING_OP_SEND, link->fd[0], "abcdefgh", 8);
	if (link->made == BY_ADDRESS) {
		sqe.addr2 = (uintptr_t)&link->name[1];
		sqe.addr_len = sizeof(link->name[1]);
	}
	submit(_metadata, &ring, &sqe);
	/* A worker may wait for it instead of the poll that is armed. */
	waits = link->made == BY_ADDRESS ? !completed(&ring, &cqe) :
					   still_waits(&ring);
	EXPECT_TRUE(waits);
	get_zeros(_metadata, link, 1);
	EXPECT_EQ(8, wait_result(_metadata, &ring));
	get_late(_metadata, link, count - 1, &got);
	EXPECT_STREQ("abcdefg", got.data);
	close(ring.fd);
}

/* Streams: what was queued before has no credentials, what comes after has. */

/* Read @len bytes, each with these credentials. */
static void expect_from(struct __test_metadata *_metadata, int fd, size_t len,
			const struct ucred *cred, int data)
{
	struct got got;
	size_t n = 0;

	while (n < len) {
		ASSERT_EQ(POLLIN, poll_for(fd, POLLIN, WAIT_MS));
		ASSERT_LT(0, recv_got(fd, &got, sizeof(got.control), 0));
		ASSERT_TRUE(has_cred(&got, cred))
			TH_LOG("after %zu of %zu bytes", n, len);
		ASSERT_EQ(data, got.data[0]);
		n += got.len;
	}
	ASSERT_EQ(len, n);
}

static void stream_passcred(struct __test_metadata *_metadata, size_t len,
			    const struct ucred *cred)
{
	char *buf = malloc(len);
	struct ucred nobody = { 0, 65534, 65534 }, own;
	struct link link;
	int queued;
	pid_t pid;

	link_make(_metadata, &link, SOCK_STREAM, BY_CONNECT);
	ASSERT_NE(NULL, buf);
	memset(buf, 'x', len);
	fill(_metadata, &link);
	queued = ioctl_len(link.fd[1], SIOCINQ);
	pid = fork_send(_metadata, &link, buf, len, cred);
	ASSERT_EQ(queued, ioctl_len(link.fd[1], SIOCINQ));

	set_int_opt(_metadata, link.fd[1], SO_PASSCRED, 1);
	expect_from(_metadata, link.fd[1], queued, &nobody, 0);
	own = (struct ucred) { pid, getuid(), getgid() };
	expect_from(_metadata, link.fd[1], len, cred ?: &own, 'x');
	EXPECT_EQ(KSFT_PASS, my_wait(pid));
	EXPECT_EQ(EAGAIN, try_recv(link.fd[1]));
	free(buf);
	link_destroy(&link);
}

TEST(stream_passcred_while_sender_waits)
{
	struct ucred cred = { .pid = getpid(), .uid = 12345, .gid = 54321 };
	const size_t len[] = { 5, 300000 };
	int i;

	for (i = 0; i < 2; i++) {
		stream_passcred(_metadata, len[i], NULL);
		stream_passcred(_metadata, len[i], &cred);
	}
}

/* SO_PASSSEC, where no security module gives a label to what is sent */
TEST_F(type, passsec_eopnotsupp)
{
	int fd[3], val, i, on;
	socklen_t len;

	if (has_labels())
		SKIP(return, "there are labels, see smack.c");
	my_connection(_metadata, fd);
	fd[2] = my_socket(_metadata);
	for (i = 0; i < 3; i++) {
		for (on = 0; on < 2; on++) {
			EXPECT_EQ(EOPNOTSUPP, int_opt_err(fd[i], SOL_SOCKET,
							  SO_PASSSEC, on));
			/* It can be refused as well. */
			val = 0;
			len = sizeof(val);
			getsockopt(fd[i], SOL_SOCKET, SO_PASSSEC, &val, &len);
			EXPECT_EQ(0, val);
		}
	}
	/* And so no credentials come that nobody has asked for. */
	expect_send(_metadata, fd[0], "abc");
	expect_recv(_metadata, fd[1], "abc");
}

/* A reader that sleeps in a page fault, until the test lets it go on */

struct reader {
	int uffd;
	char *page;		/* whoever touches it sleeps */
	size_t page_len;
	int fd;
	int flags;
	bool destroy;		/* how to end it, or by shutdown() */
	ssize_t got;		/* by recv() */
};

/* Have a page that is not there. Tells an errno. */
static int reader_init(struct reader *reader)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };

	reader->page_len = sysconf(_SC_PAGESIZE);
	reader->page = mmap(NULL, reader->page_len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (reader->page == MAP_FAILED)
		return errno;
	reader->uffd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	reg.range.start = (uintptr_t)reader->page;
	reg.range.len = reader->page_len;
	return err_of(reader->uffd) ?:
	       err_of(ioctl(reader->uffd, UFFDIO_API, &api)) ?:
	       err_of(ioctl(reader->uffd, UFFDIO_REGISTER, &reg));
}

static void *reader_run(void *arg)
{
	struct reader *reader = arg;

	/* With MSG_WAITALL it will look for more than there is. */
	reader->got = recv(reader->fd, reader->page, reader->page_len,
			   reader->flags);
	return NULL;
}

/* The page comes. */
static void reader_wake(struct reader *reader)
{
	struct uffdio_zeropage zero = {
		.range = { (uintptr_t)reader->page, reader->page_len },
	};

	ioctl(reader->uffd, UFFDIO_ZEROPAGE, &zero);
}

static void *end_run(void *arg)
{
	struct reader *reader = arg;

	return (void *)(long)(reader->destroy ? my_destroy(reader->fd) :
			      err_of(shutdown(reader->fd, SHUT_RDWR)));
}

/* End it in a thread: that must return 0 while the reader sleeps. */
static void expect_end_returns(struct __test_metadata *_metadata,
			       struct reader *reader)
{
	struct timespec ts;
	pthread_t thread;
	void *err;
	int ret;

	ASSERT_EQ(0, pthread_create(&thread, NULL, end_run, reader));
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += WAIT_MS / 1000;
	ret = pthread_timedjoin_np(thread, &err, &ts);
	EXPECT_EQ(0, ret);
	/* Or there would be no end. */
	if (ret) {
		reader_wake(reader);
		ASSERT_EQ(0, pthread_join(thread, &err));
	}
	EXPECT_EQ(NULL, err);
}

static const struct sleeper {
	const char *name;
	int type;
	size_t len;
	int flags;
} sleepers[] = {
	{ "STREAM, 3 bytes", SOCK_STREAM, 3, MSG_WAITALL },
	{ "STREAM, 3000 bytes", SOCK_STREAM, 3000, MSG_WAITALL },
	{ "STREAM, MSG_PEEK", SOCK_STREAM, 3000, MSG_PEEK },
	{ "SEQPACKET", SOCK_SEQPACKET, 3000, 0 },
	{ "DGRAM", SOCK_DGRAM, 3000, 0 },
};

static void end_sleeper(struct __test_metadata *_metadata,
			struct reader *reader, const struct sleeper *sleeper)
{
	int fd[2], err = reader->destroy ? ECONNRESET : 0;
	ssize_t len = sleeper->len;
	struct uffd_msg msg;
	pthread_t thread;
	char buf[3000];

	my_type = sleeper->type;
	my_connection(_metadata, fd);
	memset(buf, 'x', sizeof(buf));
	ASSERT_EQ(len, send(fd[0], buf, len, MSG_DONTWAIT));
	reader->fd = fd[1];
	reader->flags = sleeper->flags;
	ASSERT_EQ(0, pthread_create(&thread, NULL, reader_run, reader));
	ASSERT_EQ(POLLIN, poll_for(reader->uffd, POLLIN, WAIT_MS));
	ASSERT_EQ((ssize_t)sizeof(msg), read(reader->uffd, &msg, sizeof(msg)));
	ASSERT_EQ(UFFD_EVENT_PAGEFAULT, msg.event);

	expect_end_returns(_metadata, reader);
	/* The peer has seen it. */
	EXPECT_EQ(EPIPE, try_send(fd[0]));
	EXPECT_EQ(my_type == SOCK_DGRAM ? EAGAIN : err, try_recv(fd[0]));

	/* The reader goes on, and ends with the bytes that there were. */
	reader_wake(reader);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_EQ(len, reader->got)
		TH_LOG("%s", sleeper->name);
	EXPECT_EQ(0, memcmp(reader->page, buf, len));
	if (reader->flags & MSG_PEEK)
		EXPECT_EQ(len, recv(fd[1], buf, sizeof(buf), MSG_DONTWAIT));
	if (reader->destroy)
		EXPECT_EQ(ECONNABORTED, try_recv(fd[1]));
	expect_eof(_metadata, fd[1]);
	close(fd[0]);
	close(fd[1]);
	close(reader->uffd);
}

TEST(end_while_reader_sleeps)
{
	struct reader reader;
	int i, err;

	for (i = 0; i < 2 * ARRAY_SIZE(sleepers); i++) {
		err = reader_init(&reader);
		if (err)
			SKIP(return, "userfaultfd(): %s", strerror(err));
		reader.destroy = i % 2;
		end_sleeper(_metadata, &reader, &sleepers[i / 2]);
	}
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
