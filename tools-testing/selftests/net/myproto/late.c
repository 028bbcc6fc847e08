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

#include "destroy.h"
#include "link.h"
#include "ring.h"
#include "type.h"

FIXTURE_VARIANT_ADD(type, dgram)
{
	.type = SOCK_DGRAM,
};

/* What a recvmsg() gave */
struct got {
	char data[2000];
	ssize_t len;
	struct ucred cred;	/* SCM_CREDENTIALS, pid -1 if there were none */
	__u32 ovfl;		/* SO_RXQ_OVFL, 0 if it was not told */
};

static ssize_t get(int fd, struct got *got)
{
	union {
		char buf[CMSG_SPACE(sizeof(struct ucred)) +
			 CMSG_SPACE(sizeof(__u32))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { got->data, sizeof(got->data) - 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;

	memset(got, 0, sizeof(*got));
	got->cred.pid = -1;
	got->len = recvmsg(fd, &msg, MSG_DONTWAIT);
	if (got->len < 0)
		return got->len;
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		if (cmsg->cmsg_type == SCM_CREDENTIALS)
			memcpy(&got->cred, CMSG_DATA(cmsg), sizeof(got->cred));
		else if (cmsg->cmsg_type == SO_RXQ_OVFL)
			memcpy(&got->ovfl, CMSG_DATA(cmsg), sizeof(got->ovfl));
	}
	return got->len;
}

/* link_send() from end 0 with credentials, if @cred is not NULL */
static ssize_t send_cred(struct link *link, const void *buf, size_t len,
			 const struct ucred *cred)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	union {
		char buf[CMSG_SPACE(sizeof(*cred))];
		struct cmsghdr align;
	} control = {};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	if (!cred)
		return link_send(link, 0, buf, len, 0);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_CREDENTIALS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(*cred));
	memcpy(CMSG_DATA(cmsg), cred, sizeof(*cred));
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

/* Read one of the messages of fill() */
static void get_zeros(struct __test_metadata *_metadata, struct link *link)
{
	struct got got;

	EXPECT_EQ(1000, get(link->fd[1], &got));
	EXPECT_EQ(0, got.data[0]);
}

/* Read all that are left of the @count, then what was sent late. */
static void get_late(struct __test_metadata *_metadata, struct link *link,
		     size_t count, struct got *got)
{
	while (count--)
		get_zeros(_metadata, link);
	ASSERT_EQ(POLLIN, poll_for(link->fd[1], POLLIN, WAIT_MS));
	ASSERT_LE(0, get(link->fd[1], got));
}

static void attach(struct __test_metadata *_metadata, int fd,
		   struct sock_filter *code, int len)
{
	struct sock_fprog prog = { .len = len, .filter = code };

	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog,
				sizeof(prog)));
}

/* A filter that drops all */
static void attach_drop(struct __test_metadata *_metadata, int fd)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, 0) };

	attach(_metadata, fd, code, ARRAY_SIZE(code));
}

/* A filter that cuts one byte off, each time that it runs */
static void attach_cut(struct __test_metadata *_metadata, int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
		BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, 1),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};

	attach(_metadata, fd, code, ARRAY_SIZE(code));
}

static void detach(struct __test_metadata *_metadata, int fd)
{
	set_int_opt(_metadata, fd, SO_DETACH_FILTER, 0);
}

/* What SO_MEMINFO says was dropped */
static __u32 drops(struct __test_metadata *_metadata, int fd)
{
	__u32 info[SK_MEMINFO_VARS] = {};
	socklen_t len = sizeof(info);

	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len));
	return info[SK_MEMINFO_DROPS];
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

TEST_F(message, passcred_while_sender_waits)
{
	struct link *link = &self->link;
	size_t count = fill(_metadata, link);
	struct got got;
	pid_t pid;

	pid = fork_send(_metadata, link, "late", 4, NULL);
	set_int_opt(_metadata, link->fd[1], SO_PASSCRED, 1);
	get_zeros(_metadata, link);
	EXPECT_EQ(KSFT_PASS, my_wait(pid));
	get_late(_metadata, link, count - 1, &got);
	EXPECT_STREQ("late", got.data);
	EXPECT_EQ(pid, got.cred.pid);
	EXPECT_EQ(getuid(), got.cred.uid);
	EXPECT_EQ(getgid(), got.cred.gid);
}

/* Those that the sender names go before its own. */
TEST_F(message, passcred_while_credentials_wait)
{
	struct ucred cred = { .pid = getpid(), .uid = 12345, .gid = 54321 };
	struct link *link = &self->link;
	size_t count = fill(_metadata, link);
	struct got got;
	pid_t pid;

	if (geteuid())
		SKIP(return, "the credentials of others need root");
	pid = fork_send(_metadata, link, "late", 4, &cred);
	set_int_opt(_metadata, link->fd[1], SO_PASSCRED, 1);
	get_zeros(_metadata, link);
	EXPECT_EQ(KSFT_PASS, my_wait(pid));
	get_late(_metadata, link, count - 1, &got);
	EXPECT_STREQ("late", got.data);
	EXPECT_EQ(cred.pid, got.cred.pid);
	EXPECT_EQ(cred.uid, got.cred.uid);
	EXPECT_EQ(cred.gid, got.cred.gid);
}

/* It was sent all the same, and counts as dropped. */
TEST_F(message, filter_drops_what_waited)
{
	struct link *link = &self->link;
	size_t count = fill(_metadata, link);
	struct got got;
	pid_t pid;

	set_int_opt(_metadata, link->fd[1], SO_RXQ_OVFL, 1);
	pid = fork_send(_metadata, link, "late", 4, NULL);
	attach_drop(_metadata, link->fd[1]);
	EXPECT_EQ(0U, drops(_metadata, link->fd[1]));
	get_zeros(_metadata, link);
	EXPECT_EQ(KSFT_PASS, my_wait(pid));
	EXPECT_EQ(1U, drops(_metadata, link->fd[1]));

	detach(_metadata, link->fd[1]);
	link_expect_send(_metadata, link, 0, "next");
	get_late(_metadata, link, count - 1, &got);
	EXPECT_STREQ("next", got.data);
	EXPECT_EQ(1U, got.ovfl);
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
	attach_drop(_metadata, link->fd[1]);
	get_zeros(_metadata, link);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(KSFT_PASS, my_wait(pid[i]));
	EXPECT_EQ(3U, drops(_metadata, link->fd[1]));
	while (--count)
		get_zeros(_metadata, link);
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
}

TEST_F(message, filter_cuts_what_waited)
{
	struct link *link = &self->link;
	size_t count = fill(_metadata, link);
	struct got got;
	pid_t pid;

	pid = fork_send(_metadata, link, "abcdefgh", 8, NULL);
	attach_cut(_metadata, link->fd[1]);
	get_zeros(_metadata, link);
	EXPECT_EQ(KSFT_PASS, my_wait(pid));
	get_late(_metadata, link, count - 1, &got);
	EXPECT_STREQ("abcdefg", got.data);
}

TEST_F(message, filter_goes_while_sender_waits)
{
	struct link *link = &self->link;
	size_t count = fill(_metadata, link);
	struct got got;
	pid_t pid;

	attach_cut(_metadata, link->fd[1]);
	pid = fork_send(_metadata, link, "abcdefgh", 8, NULL);
	detach(_metadata, link->fd[1]);
	get_zeros(_metadata, link);
	EXPECT_EQ(KSFT_PASS, my_wait(pid));
	get_late(_metadata, link, count - 1, &got);
	EXPECT_STREQ("abcdefgh", got.data);
}

/* Woken again and again, and often another was faster: still cut once */
TEST_F(message, filter_cuts_once)
{
	struct link *link = &self->link;
	char zeros[1000] = "";
	struct got got;
	pid_t pid;
	int i;

	fill(_metadata, link);
	attach_cut(_metadata, link->fd[1]);
	pid = fork_send(_metadata, link, "abcdefgh", 8, NULL);
	for (i = 0; i < 1000; i++) {
		ASSERT_LE(0, get(link->fd[1], &got));
		if (got.data[0])
			break;
		link_send(link, 0, zeros, sizeof(zeros), MSG_DONTWAIT);
	}
	while (!got.data[0]) {
		ASSERT_EQ(POLLIN, poll_for(link->fd[1], POLLIN, WAIT_MS));
		ASSERT_LE(0, get(link->fd[1], &got));
	}
	EXPECT_EQ(KSFT_PASS, my_wait(pid));
	EXPECT_STREQ("abcdefg", got.data);
}

TEST_F(message, filter_cuts_once_after_eagain)
{
	struct link *link = &self->link;
	size_t count = fill(_metadata, link);
	struct got got;
	int i;

	attach_cut(_metadata, link->fd[1]);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(EAGAIN, err_of(link_send(link, 0, "abcdefgh", 8,
						   MSG_DONTWAIT)));
	get_zeros(_metadata, link);
	link_expect_send(_metadata, link, 0, "abcdefgh");
	get_late(_metadata, link, count - 1, &got);
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
	int err;

	err = ring_open(&ring);
	if (err)
		SKIP(return, "no io_uring: %s", strerror(err));
	count = fill(_metadata, link);
	attach_cut(_metadata, link->fd[1]);
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
	get_zeros(_metadata, link);
	EXPECT_EQ(8, wait_result(_metadata, &ring));
	get_late(_metadata, link, count - 1, &got);
	EXPECT_STREQ("abcdefg", got.data);
	close(ring.fd);
}

/* Streams: what was queued before has no credentials, what comes after has. */

FIXTURE(stream)
{
	struct link link;
};

FIXTURE_VARIANT(stream)
{
	size_t len;
};

FIXTURE_VARIANT_ADD(stream, small)
{
	.len = 5,
};

FIXTURE_VARIANT_ADD(stream, large)
{
	.len = 300000,
};

FIXTURE_SETUP(stream)
{
	link_make(_metadata, &self->link, SOCK_STREAM, BY_CONNECT);
}

FIXTURE_TEARDOWN(stream)
{
	link_destroy(&self->link);
}

/* Read @len bytes, each with the credentials of @pid. */
static void expect_from(struct __test_metadata *_metadata, struct link *link,
			size_t len, pid_t pid, uid_t uid, int data)
{
	struct got got;
	size_t n = 0;

	while (n < len) {
		ASSERT_EQ(POLLIN, poll_for(link->fd[1], POLLIN, WAIT_MS));
		ASSERT_LT(0, get(link->fd[1], &got));
		ASSERT_EQ(pid, got.cred.pid)
			TH_LOG("after %zu of %zu bytes", n, len);
		ASSERT_EQ(uid, got.cred.uid);
		ASSERT_EQ(data, got.data[0]);
		n += got.len;
	}
	ASSERT_EQ(len, n);
}

static void fill_send_passcred(struct __test_metadata *_metadata,
			       struct link *link, size_t len,
			       const struct ucred *cred)
{
	char *buf = malloc(len);
	struct ucred nobody;
	struct got got;
	int queued;
	pid_t pid;

	ASSERT_NE(NULL, buf);
	memset(buf, 'x', len);
	fill(_metadata, link);
	queued = ioctl_len(link->fd[1], SIOCINQ);
	pid = fork_send(_metadata, link, buf, len, cred);
	ASSERT_EQ(queued, ioctl_len(link->fd[1], SIOCINQ));

	set_int_opt(_metadata, link->fd[1], SO_PASSCRED, 1);
	ASSERT_LT(0, get(link->fd[1], &got));
	nobody = got.cred;
	EXPECT_EQ(0, nobody.pid);
	expect_from(_metadata, link, queued - got.len, 0, nobody.uid, 0);
	expect_from(_metadata, link, len, cred ? cred->pid : pid,
		    cred ? cred->uid : getuid(), 'x');
	EXPECT_EQ(KSFT_PASS, my_wait(pid));
	EXPECT_EQ(EAGAIN, try_recv(link->fd[1]));
	free(buf);
}

TEST_F(stream, passcred_while_sender_waits)
{
	fill_send_passcred(_metadata, &self->link, variant->len, NULL);
}

TEST_F(stream, passcred_while_credentials_wait)
{
	struct ucred cred = { .pid = getpid(), .uid = 12345, .gid = 54321 };

	if (geteuid())
		SKIP(return, "the credentials of others need root");
	fill_send_passcred(_metadata, &self->link, variant->len, &cred);
}

/* SO_PASSSEC, where no security module gives a label to what is sent */

static void expect_no_passsec(struct __test_metadata *_metadata, int fd)
{
	socklen_t len = sizeof(int);
	int val = 0, on;

	for (on = 0; on < 2; on++) {
		EXPECT_EQ(EOPNOTSUPP,
			  int_opt_err(fd, SOL_SOCKET, SO_PASSSEC, on));
		/* It can be refused as well. */
		getsockopt(fd, SOL_SOCKET, SO_PASSSEC, &val, &len);
		EXPECT_EQ(0, val);
	}
}

TEST_F(type, passsec_eopnotsupp)
{
	int fd[2], i;

	if (has_labels())
		SKIP(return, "there are labels, see smack.c");
	i = my_socket(_metadata);
	expect_no_passsec(_metadata, i);
	close(i);
	my_connection(_metadata, fd);
	for (i = 0; i < 2; i++)
		expect_no_passsec(_metadata, fd[i]);

	/* And so no credentials come that nobody has asked for. */
	expect_send(_metadata, fd[0], "abc");
	expect_recv(_metadata, fd[1], "abc");
	for (i = 0; i < 2; i++)
		close(fd[i]);
}

/* A reader that sleeps in a page fault, until the test lets it go on */

struct reader {
	int uffd;
	char *page;		/* whoever touches it sleeps */
	size_t page_len;
	pthread_t thread;
	int fd;
	int flags;
	ssize_t got;		/* by recv(), or the negative errno */
};

FIXTURE(fault)
{
	int fd[2];		/* the reader's is fd[1] */
	struct reader reader;
	int done[2];		/* a pipe: the errno of a call that returned */
};

FIXTURE_VARIANT(fault)
{
	int type;
	size_t len;
	int flags;
};

FIXTURE_VARIANT_ADD(fault, stream_small)
{
	.type = SOCK_STREAM,
	.len = 3,
	.flags = MSG_WAITALL,
};

FIXTURE_VARIANT_ADD(fault, stream_large)
{
	.type = SOCK_STREAM,
	.len = 3000,
	.flags = MSG_WAITALL,
};

FIXTURE_VARIANT_ADD(fault, stream_peek)
{
	.type = SOCK_STREAM,
	.len = 3000,
	.flags = MSG_PEEK,
};

FIXTURE_VARIANT_ADD(fault, seqpacket)
{
	.type = SOCK_SEQPACKET,
	.len = 3000,
};

FIXTURE_VARIANT_ADD(fault, dgram)
{
	.type = SOCK_DGRAM,
	.len = 3000,
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
	if (reader->uffd < 0)
		return errno;
	reg.range.start = (uintptr_t)reader->page;
	reg.range.len = reader->page_len;
	if (ioctl(reader->uffd, UFFDIO_API, &api) ||
	    ioctl(reader->uffd, UFFDIO_REGISTER, &reg))
		return errno;
	return 0;
}

FIXTURE_SETUP(fault)
{
	int err;

	self->fd[0] = -1;
	self->fd[1] = -1;
	self->done[0] = -1;
	self->done[1] = -1;
	err = reader_init(&self->reader);
	if (err)
		SKIP(return, "userfaultfd(): %s: CONFIG_USERFAULTFD not set?",
		     strerror(err));
	ASSERT_EQ(0, pipe(self->done));
	my_type = variant->type;
	my_connection(_metadata, self->fd);
}

FIXTURE_TEARDOWN(fault)
{
	close(self->reader.uffd);
	close(self->done[0]);
	close(self->done[1]);
	close(self->fd[0]);
	close(self->fd[1]);
}

static void *reader_run(void *arg)
{
	struct reader *reader = arg;

	/* With MSG_WAITALL it will look for more than there is. */
	reader->got = recv(reader->fd, reader->page, reader->page_len,
			   reader->flags);
	if (reader->got < 0)
		reader->got = -errno;
	return NULL;
}

/* Send @len bytes to @to, which a thread begins to read and sleeps. */
static void reader_start(struct __test_metadata *_metadata,
			 struct reader *reader, int from, int to, size_t len,
			 int flags)
{
	struct uffd_msg msg;
	char buf[3000];

	memset(buf, 'x', sizeof(buf));
	ASSERT_EQ((ssize_t)len, send(from, buf, len, MSG_DONTWAIT));
	reader->fd = to;
	reader->flags = flags;
	ASSERT_EQ(0, pthread_create(&reader->thread, NULL, reader_run,
				    reader));
	ASSERT_EQ(POLLIN, poll_for(reader->uffd, POLLIN, WAIT_MS));
	ASSERT_EQ((ssize_t)sizeof(msg),
		  read(reader->uffd, &msg, sizeof(msg)));
	ASSERT_EQ(UFFD_EVENT_PAGEFAULT, msg.event);
}

/* The page comes. */
static void reader_wake(struct reader *reader)
{
	struct uffdio_zeropage zero = {
		.range = {
			.start = (uintptr_t)reader->page,
			.len = reader->page_len,
		},
	};

	ioctl(reader->uffd, UFFDIO_ZEROPAGE, &zero);
}

/* It goes on, and ends with the @len bytes that there were. */
static void expect_reader_ends(struct __test_metadata *_metadata,
			       struct reader *reader, size_t len)
{
	size_t i;

	reader_wake(reader);
	ASSERT_EQ(0, pthread_join(reader->thread, NULL));
	ASSERT_EQ((ssize_t)len, reader->got);
	for (i = 0; i < len; i++)
		ASSERT_EQ('x', reader->page[i]);
	if (reader->flags & MSG_PEEK)
		EXPECT_EQ((ssize_t)len, recv(reader->fd, reader->page,
					     reader->page_len, MSG_DONTWAIT));
}

static void tell_done(int fd, int err)
{
	if (write(fd, &err, sizeof(err)) != sizeof(err))
		abort();
}

/* Run @fn in a thread: it must return while the reader sleeps. Tells the errno
 * that it said.
 */
static int expect_returns(struct __test_metadata *_metadata,
			  struct reader *reader, int done,
			  void *(*fn)(void *arg), void *arg)
{
	pthread_t thread;
	bool returned;
	int err = -1;

	ASSERT_EQ(0, pthread_create(&thread, NULL, fn, arg));
	returned = poll_for(done, POLLIN, WAIT_MS) == POLLIN;
	EXPECT_TRUE(returned);
	/* Or there would be no end. */
	if (!returned)
		reader_wake(reader);
	ASSERT_EQ((ssize_t)sizeof(err), read(done, &err, sizeof(err)));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	return err;
}

struct ender {
	int fd;		/* what to shut down or to destroy */
	int done;
};

static void *end_shutdown(void *arg)
{
	struct ender *ender = arg;

	tell_done(ender->done, err_of(shutdown(ender->fd, SHUT_RDWR)));
	return NULL;
}

static void *end_destroy(void *arg)
{
	struct ender *ender = arg;

	tell_done(ender->done, my_destroy(ender->fd));
	return NULL;
}

TEST_F(fault, shutdown_returns)
{
	struct ender ender = { .fd = self->fd[1], .done = self->done[1] };
	struct reader *reader = &self->reader;

	reader_start(_metadata, reader, self->fd[0], self->fd[1], variant->len,
		     variant->flags);
	EXPECT_EQ(0, expect_returns(_metadata, reader, self->done[0],
				    end_shutdown, &ender));
	/* The peer has seen it. */
	EXPECT_EQ(EPIPE, try_send(self->fd[0]));
	EXPECT_EQ(variant->type == SOCK_DGRAM ? EAGAIN : 0,
		  try_recv(self->fd[0]));
	expect_reader_ends(_metadata, reader, variant->len);
	expect_eof(_metadata, self->fd[1]);
}

TEST_F(fault, destroy_returns)
{
	struct ender ender = { .fd = self->fd[1], .done = self->done[1] };
	struct reader *reader = &self->reader;

	if (geteuid())
		SKIP(return, "to end sockets needs root");
	reader_start(_metadata, reader, self->fd[0], self->fd[1], variant->len,
		     variant->flags);
	EXPECT_EQ(0, expect_returns(_metadata, reader, self->done[0],
				    end_destroy, &ender));
	/* The peer has seen it. */
	EXPECT_EQ(EPIPE, try_send(self->fd[0]));
	EXPECT_EQ(variant->type == SOCK_DGRAM ? EAGAIN : ECONNRESET,
		  try_recv(self->fd[0]));
	expect_reader_ends(_metadata, reader, variant->len);
	EXPECT_EQ(ECONNABORTED, try_recv(self->fd[1]));
	expect_eof(_metadata, self->fd[1]);
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
