// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO, what is decided late: credentials and filters are looked at when
 * something is queued and not before its sender has waited, and a reader that
 * sleeps in a page fault holds up nobody who ends the socket.
 */
#include <linux/sockios.h>

#define ANY_MESSAGE
#include "any.h"
#include "cmsg.h"
#include "worker.h"

/* Whether it came with these credentials; NULL: with none */
static bool has_cred(struct got *got, const struct ucred *cred)
{
	struct ucred *in = find_cmsg(got, SCM_CREDENTIALS, sizeof(*in));

	return cred ? in && !memcmp(in, cred, sizeof(*in)) : !in;
}

/*
 * A child that sends @text from end 0, where it has to wait, with credentials
 * if @cred is not NULL. It ends with KSFT_PASS when all was sent.
 */
static pid_t fork_send(struct __test_metadata *_metadata, struct link *link,
		       const char *text, const struct ucred *cred)
{
	ssize_t len = strlen(text);

	if (cred)
		return sleeping_child(len != send_cmsg_flags(link, text,
			SOL_SOCKET, SCM_CREDENTIALS, cred, sizeof(*cred), 0));
	return sleeping_child(len != link_send(link, 0, text, len, 0));
}

/* Make the link anew and fill end 1 with zeros; returns how many messages, or
 * writes, it took
 */
static size_t make_full(struct __test_metadata *_metadata, struct link *link)
{
	link_destroy(link);
	link_make(_metadata, link, link->type, link->made);
	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 10000);
	return link_fill(_metadata, link, 0, 1000);
}

/* Read @count of these messages. */
static void get_zeros(struct __test_metadata *_metadata, int fd, size_t count)
{
	char c = 1;

	while (count--) {
		EXPECT_EQ(1000, recv(fd, &c, 1, MSG_TRUNC | MSG_DONTWAIT));
		EXPECT_EQ(0, c);
	}
}

/* What SO_MEMINFO says was dropped */
static __u32 drops(struct __test_metadata *_metadata, int fd)
{
	return my_meminfo(_metadata, fd, SK_MEMINFO_DROPS);
}

/* Have a filter cut @cut bytes off each time that it runs; 0: have none. */
static void set_cut(struct __test_metadata *_metadata, int fd, int cut)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
		BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, cut),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, cut ? SO_ATTACH_FILTER :
				SO_DETACH_FILTER, &prog, sizeof(prog)));
}

/* The sender waits, and meanwhile the receiver changes its mind. */
TEST_F(any, receiver_changes_while_sender_waits)
{
	static const struct {
		const char *gets;	/* of "abcdefgh" */
		int before, then;	/* what a filter cuts off */
		bool passcred;		/* It wants credentials then, */
		bool named;		/* the sender names some. */
	} rows[] = {
		{ "abcdefgh", .passcred = true },
		/* Those that the sender names go before its own. */
		{ "abcdefgh", .passcred = true, .named = true },
		/* It was sent all the same, and counts as dropped. */
		{ "next", .then = 8 },
		{ "abcdefg", .then = 1 },
		{ "abcdefg", .before = 1, .then = 1 },
		{ "abcdefgh", .before = 1 },
	}, *row;
	struct link *link = &self->link;
	struct ucred cred;
	struct got got;
	size_t count;
	__u32 *ovfl;
	bool dropped;
	pid_t pid;
	int fd;

	for (row = rows; row < rows + ARRAY_SIZE(rows); row++) {
		dropped = row->then == 8;
		cred = (struct ucred) { getpid(), 12345, 54321 };
		count = make_full(_metadata, link);
		fd = link->fd[1];
		if (row->before)
			set_cut(_metadata, fd, row->before);
		pid = fork_send(_metadata, link, "abcdefgh",
				row->named ? &cred : NULL);
		if (row->then != row->before)
			set_cut(_metadata, fd, row->then);
		set_int_opt(_metadata, fd, SO_PASSCRED, row->passcred);
		set_int_opt(_metadata, fd, SO_RXQ_OVFL, 1);
		EXPECT_EQ(0U, drops(_metadata, fd));
		get_zeros(_metadata, fd, 1);
		EXPECT_EQ(KSFT_PASS, my_wait(pid));
		EXPECT_EQ(dropped, drops(_metadata, fd));
		if (dropped) {
			set_cut(_metadata, fd, 0);
			link_expect_send(_metadata, link, 0, "next");
		}
		get_zeros(_metadata, fd, count - 1);
		ovfl = expect_cmsg(_metadata, fd, row->gets, 0, &got,
				   SO_RXQ_OVFL, sizeof(*ovfl));
		EXPECT_EQ(dropped, ovfl ? *ovfl : 0);
		if (!row->named)
			cred = (struct ucred) { pid, getuid(), getgid() };
		EXPECT_TRUE(has_cred(&got, row->passcred ? &cred : NULL))
			TH_LOG("case %zd", row - rows);
	}
}

/* What is dropped leaves the space to another that waits, also if they name
 * credentials.
 */
TEST_F(any, dropped_lets_the_next_go)
{
	struct ucred cred = { getpid(), getuid(), getgid() };
	struct link *link = &self->link;
	int named, i, fd;
	size_t count;
	pid_t pid[3];

	for (named = 0; named < 2; named++) {
		count = make_full(_metadata, link);
		fd = link->fd[1];
		for (i = 0; i < 3; i++)
			pid[i] = fork_send(_metadata, link, "late",
					   named ? &cred : NULL);
		ASSERT_EQ(0, my_filter(fd, 0));
		get_zeros(_metadata, fd, 1);
		for (i = 0; i < 3; i++)
			EXPECT_EQ(KSFT_PASS, my_wait(pid[i]));
		EXPECT_EQ(3U, drops(_metadata, fd));
		get_zeros(_metadata, fd, count - 1);
		/* Nor does what need not wait get past the filter. */
		link_expect_send(_metadata, link, 0, "late");
		EXPECT_EQ(4U, drops(_metadata, fd));
		expect_nothing(_metadata, fd);
	}
}

/* Read @len bytes of a stream, each @byte, with these credentials. */
static void expect_from(struct __test_metadata *_metadata, int fd, size_t len,
			const struct ucred *cred, char byte)
{
	struct got got;

	while (len) {
		ASSERT_EQ(POLLIN, poll_for(fd, POLLIN, WAIT_MS));
		ASSERT_LT(0, recv_got(fd, &got, sizeof(got.control), 0));
		ASSERT_TRUE(has_cred(&got, cred))
			TH_LOG("%zu bytes before the end", len);
		ASSERT_EQ(byte, got.data[0]);
		ASSERT_LE((size_t)got.len, len);
		len -= got.len;
	}
}

/* What was queued before has no credentials, what comes after has. */
TEST(stream_passcred_while_sender_waits)
{
	struct ucred nobody = { 0, 65534, 65534 }, cred;
	static char text[300000 + 1];
	struct link link = { { -1, -1 }, SOCK_STREAM, BY_CONNECT };
	int queued, i;
	size_t len;
	pid_t pid;

	for (i = 0; i < 4; i++) {
		len = i / 2 ? sizeof(text) - 1 : 5;
		memset(text, 'x', len);
		cred = (struct ucred) { getpid(), 12345, 54321 };
		make_full(_metadata, &link);
		queued = ioctl_len(link.fd[1], SIOCINQ);
		pid = fork_send(_metadata, &link, text, i % 2 ? &cred : NULL);
		if (i % 2 == 0)
			cred = (struct ucred) { pid, getuid(), getgid() };

		set_int_opt(_metadata, link.fd[1], SO_PASSCRED, 1);
		expect_from(_metadata, link.fd[1], queued, &nobody, 0);
		expect_from(_metadata, link.fd[1], len, &cred, 'x');
		EXPECT_EQ(KSFT_PASS, my_wait(pid));
		EXPECT_EQ(EAGAIN, try_recv(link.fd[1]));
	}
}

/* @end must return 0 while a reader sleeps. @own and @peer are the errors that
 * the ends have then. Returns an errno if there can be no such reader.
 */
static int end_sleepers(struct __test_metadata *_metadata,
			long (*end)(struct worker *worker), int own, int peer)
{
	static const struct {
		int type;
		ssize_t len;
		int flags;
	} rows[] = {
		/* With MSG_WAITALL it will look for more than there is. */
		{ SOCK_STREAM, 3, MSG_WAITALL },
		{ SOCK_STREAM, 3000, MSG_WAITALL },
		{ SOCK_STREAM, 3000, MSG_PEEK },
		{ SOCK_SEQPACKET, 3000, 0 },
		{ SOCK_DGRAM, 3000, 0 },
	}, *row;
	struct worker reader = { .call = call_recv };
	struct uffdio_zeropage zero = {};
	char buf[3000];
	int fd[2], uffd;

	worker_start(_metadata, &reader);
	for (row = rows; row < rows + ARRAY_SIZE(rows); row++) {
		uffd = absent_page(&zero.range);
		if (uffd < 0)
			return errno;
		my_type = row->type;
		my_connection(_metadata, fd);
		memset(buf, 'x', sizeof(buf));
		ASSERT_EQ(row->len, send(fd[0], buf, row->len, 0));
		reader.fd = fd[1];
		reader.buf = (char *)(uintptr_t)zero.range.start;
		reader.len = zero.range.len;
		reader.flags = row->flags;
		worker_tell(&reader);
		ASSERT_EQ(POLLIN, poll_for(uffd, POLLIN, WAIT_MS));

		EXPECT_EQ(0, end(&reader));
		/* The peer has seen it. */
		EXPECT_EQ(EPIPE, try_send(fd[0]));
		EXPECT_EQ(my_type == SOCK_DGRAM ? EAGAIN : peer,
			  try_recv(fd[0]));

		/* The reader ends with the bytes that there were. */
		EXPECT_FALSE(worker_idle(&reader));
		ASSERT_EQ(0, ioctl(uffd, UFFDIO_ZEROPAGE, &zero));
		ASSERT_TRUE(worker_finish(&reader));
		ASSERT_EQ(row->len, reader.ret)
			TH_LOG("case %zd", row - rows);
		EXPECT_EQ(0, memcmp(reader.buf, buf, row->len));
		if (row->flags & MSG_PEEK)
			EXPECT_EQ(row->len, recv(fd[1], buf, sizeof(buf), 0));
		if (own)
			EXPECT_EQ(own, try_recv(fd[1]));
		expect_eof(_metadata, fd[1]);
	}
	return 0;
}

static long call_shutdown(struct worker *worker)
{
	return shutdown(worker->fd, SHUT_RDWR);
}

TEST(shutdown_while_reader_sleeps)
{
	int err = end_sleepers(_metadata, call_shutdown, 0, 0);

	if (err)
		SKIP(return, "userfaultfd(): %s", strerror(err));
}

TEST_HARNESS_MAIN

#include "destroy.h"
#include "type.h"

FIXTURE_VARIANT_ADD(type, dgram) { SOCK_DGRAM };

static long call_destroy(struct worker *worker)
{
	return my_destroy(worker->fd);
}

TEST(destroy_while_reader_sleeps)
{
	int err = end_sleepers(_metadata, call_destroy, ECONNABORTED,
			       ECONNRESET);

	if (err)
		SKIP(return, "userfaultfd(): %s", strerror(err));
}

/* SO_PASSSEC, where no security module gives a label to what is sent */
TEST_F(type, passsec_eopnotsupp)
{
	int fd[3], val, i;
	socklen_t len;

	if (!access("/sys/fs/smackfs", F_OK) ||
	    !access("/sys/fs/selinux", F_OK))
		SKIP(return, "there are labels, see smack.c");
	my_connection(_metadata, fd);
	fd[2] = my_socket(_metadata);
	for (i = 0; i < 6; i++) {
		EXPECT_EQ(EOPNOTSUPP, int_opt_err(fd[i / 2], SOL_SOCKET,
						  SO_PASSSEC, i % 2));
		/* It can be refused as well. */
		val = 0;
		len = sizeof(val);
		getsockopt(fd[i / 2], SOL_SOCKET, SO_PASSSEC, &val, &len);
		EXPECT_EQ(0, val);
	}
	/* And so no credentials come that nobody has asked for. */
	expect_send(_metadata, fd[0], "abc");
	expect_recv(_metadata, fd[1], "abc");
}
