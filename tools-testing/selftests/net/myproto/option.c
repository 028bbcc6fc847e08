// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO: socket options, control messages and ioctls of all types: who is
 * at the other end and who sent what, time stamps, filters, SO_PEEK_OFF,
 * SO_RCVLOWAT. And splice(), which for a stream moves pages without a copy.
 */
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

#include <asm/ioctls.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>

#include "any.h"
#include "cmsg.h"
#include "type.h"
#include "worker.h"

#define OTHER_ID	12345	/* nobody's but the tests' */

FIXTURE_VARIANT_ADD(any, dgram_connection) { SOCK_DGRAM, BY_CONNECT };

/* Whoever @id is has no rights, unless it is 0 */
static int become(int id)
{
	return setresgid(id, id, id) || setresuid(id, id, id);
}

static struct ucred own_creds(void)
{
	return (struct ucred) { getpid(), getuid(), getgid() };
}

static int send_creds(struct link *link, const char *text, struct ucred cred)
{
	return err_of(send_cmsg(link, text, SOL_SOCKET, SCM_CREDENTIALS, &cred,
				sizeof(cred)));
}

/* Send @text in a child with the ids @id; returns who that was */
static struct ucred send_in_child(struct __test_metadata *_metadata,
				  struct link *link, const char *text, int id)
{
	pid_t pid = my_fork(_metadata);

	if (!pid)
		_exit(become(id) ||
		      link_send(link, 0, text, strlen(text), 0) < 0);
	EXPECT_EQ(0, my_wait(pid));
	return (struct ucred) { pid, id, id };
}

/* SO_PASSCRED of the reader has credentials come. They are known if an end had
 * it when the data was sent, or the sender named them.
 */
TEST_F(any, passcred)
{
	const struct ucred nobody = { 0, 65534, 65534 };
	const struct ucred other = { 1, OTHER_ID, OTHER_ID + 1 };
	struct link *link = &self->link;
	int from = link->fd[0], to = link->fd[1], i;

	for (i = 15; i >= 0; i--) {
		set_int_opt(_metadata, from, SO_PASSCRED, i & 1);
		set_int_opt(_metadata, to, SO_PASSCRED, i & 2);
		EXPECT_EQ(0, i & 4 ? send_creds(link, "abc", other) :
			     err_of(link_send(link, 0, "abc", 3, 0)));
		set_int_opt(_metadata, to, SO_PASSCRED, !(i & 8));
		if (i & 8)
			expect_bare(_metadata, to, "abc");
		else
			expect_creds(_metadata, to, "abc", 0, i & 4 ? other :
				     i & 3 ? own_creds() : nobody);
		ASSERT_TRUE(__test_passed(_metadata))
			TH_LOG("case %d", i);
	}
	/* One direction only */
	link_expect_send(_metadata, link, 1, "back");
	expect_bare(_metadata, from, "back");

	link_expect_send(_metadata, link, 0, "abc");
	expect_creds(_metadata, to, "abc", MSG_PEEK, own_creds());
	expect_creds(_metadata, to, "abc", 0, own_creds());

	/* Without rights nobody can name another. */
	EXPECT_EQ(EPERM, in_child(become(OTHER_ID) ?:
				  send_creds(link, "x", other)));
	/* A control message for other protocols is no error. */
	EXPECT_EQ(1, send_cmsg(link, "x", IPPROTO_IP, 1, &other, 4));
	expect_creds(_metadata, to, "x", 0, own_creds());
	expect_nothing(_metadata, to);
}

/* It is who writes that counts, not whose the socket is. */
TEST_F(any, creds_of_each_writer)
{
	bool stream = variant->type == SOCK_STREAM;
	struct link *link = &self->link;
	int to = link->fd[1], i;
	struct ucred cred[2];
	char buf[4];

	set_int_opt(_metadata, to, SO_PASSCRED, 1);
	for (i = 0; i < 2; i++)
		link_expect_send(_metadata, link, 0, "abc");
	cred[0] = send_in_child(_metadata, link, "def", 0);
	cred[1] = send_in_child(_metadata, link, "ghi", 1);
	if (stream) {
		/* A read ends where the writer changes, or in a write. */
		expect_creds(_metadata, to, "abcabc", MSG_PEEK | MSG_WAITALL,
			     own_creds());
		EXPECT_EQ(4, recv(to, buf, 4, MSG_DONTWAIT));
		EXPECT_EQ(0, memcmp(buf, "abca", 4));
		expect_creds(_metadata, to, "bc", MSG_WAITALL, own_creds());
		EXPECT_EQ(0, try_recv(to));
	} else {
		for (i = 0; i < 2; i++)
			expect_creds(_metadata, to, "abc", 0, own_creds());
	}
	expect_creds(_metadata, to, stream ? "ef" : "def", 0, cred[0]);
	expect_creds(_metadata, to, "ghi", 0, cred[1]);
	expect_nothing(_metadata, to);
	if (!stream)
		return;

	/* Without SO_PASSCRED of the reader it is one stream. */
	set_int_opt(_metadata, link->fd[0], SO_PASSCRED, 1);
	set_int_opt(_metadata, to, SO_PASSCRED, 0);
	link_expect_send(_metadata, link, 0, "abc");
	send_in_child(_metadata, link, "def", 0);
	expect_recv(_metadata, to, "abcdef");
}

/* Who is at the other end */
static void expect_peer(struct __test_metadata *_metadata, int fd, pid_t pid,
			uid_t id)
{
	struct ucred cred = my_peercred(_metadata, fd);

	EXPECT_EQ(pid, cred.pid);
	EXPECT_EQ(id, cred.uid);
	EXPECT_EQ(id, cred.gid);
}

/* Of DGRAM sockets, only those of a socketpair() know: whoever is bound there
 * now is not who sends.
 */
TEST_F(any, peer)
{
	bool knows = variant->type != SOCK_DGRAM || variant->made == BY_PAIR;
	int i;

	for (i = 0; i < 2; i++)
		expect_peer(_metadata, self->link.fd[i], knows ? getpid() : 0,
			    knows ? 0 : -1);
	expect_peer(_metadata, type_socket(_metadata, variant->type), 0, -1);
}

/* The last who called listen() and who connected, as they were then */
TEST_F(type, peer_of_connection)
{
	int listener = my_bound_socket(_metadata, 5000), fd;
	int client = my_socket(_metadata);
	pid_t pid[2];

	pid[0] = sleeping_child(become(OTHER_ID) || listen(listener, 5) ||
				pause());
	pid[1] = sleeping_child(become(OTHER_ID) || my_connect(client, 5000) ||
				try_send(client) || pause());
	/* Before accept(), and after it */
	expect_peer(_metadata, client, pid[0], OTHER_ID);
	fd = my_accept(_metadata, listener);
	expect_peer(_metadata, fd, pid[1], OTHER_ID);
	ASSERT_EQ(0, listen(listener, 5));
	expect_peer(_metadata, my_client(_metadata, 5000), getpid(), 0);
	expect_peer(_metadata, listener, getpid(), 0);
	expect_peer(_metadata, client, pid[0], OTHER_ID);
	my_kill(pid[0]);
	my_kill(pid[1]);
	expect_peer(_metadata, fd, pid[1], OTHER_ID);

	/* What was sent before accept() has credentials: nobody can have asked
	 * for them on a socket that has no descriptor yet.
	 */
	set_int_opt(_metadata, fd, SO_PASSCRED, 1);
	expect_creds(_metadata, fd, "x", 0,
		     (struct ucred) { pid[1], OTHER_ID, OTHER_ID });
}

static __s64 wall_time(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* Send "abc", and store between which times that was. A clock that ticks in
 * microseconds may seem to go back by one.
 */
static void send_timed(struct __test_metadata *_metadata, struct link *link,
		       int from, __s64 sent[2])
{
	sent[0] = wall_time() - 2000;
	link_expect_send(_metadata, link, from, "abc");
	sent[1] = wall_time() + 2000;
	usleep(2000);
}

static void expect_time(struct __test_metadata *_metadata, const __s64 sent[2],
			const long *ts)
{
	ASSERT_NE(NULL, ts);
	EXPECT_LE(sent[0], ts[0] * 1000000000LL + ts[1]);
	EXPECT_GE(sent[1], ts[0] * 1000000000LL + ts[1]);
}

TEST_F(any, timestamp)
{
	/* The last one leaves a flag set that would do for the first, too. */
	static const int opts[][2] = {
		{ SO_TIMESTAMPING_OLD, SOF_TIMESTAMPING_RX_SOFTWARE |
				       SOF_TIMESTAMPING_SOFTWARE },
		{ SO_TIMESTAMPNS_OLD, 1 },
	};
	bool stream = variant->type == SOCK_STREAM;
	struct link *link = &self->link;
	int *fd = link->fd, opt, i, j;
	__s64 sent[2][2];
	struct got got;
	long ts[2];
	char buf[3];

	/* The first call turns it on, for this end. */
	EXPECT_EQ(ENOENT, err_of(ioctl(fd[0], SIOCGSTAMPNS_OLD, ts)));
	send_timed(_metadata, link, 1, sent[0]);
	expect_recv(_metadata, fd[0], "abc");
	EXPECT_EQ(0, ioctl(fd[0], SIOCGSTAMPNS_OLD, ts));
	expect_time(_metadata, sent[0], ts);

	for (i = 0; i < ARRAY_SIZE(opts); i++) {
		opt = opts[i][0];
		set_int_opt(_metadata, fd[1], opt, opts[i][1]);
		for (j = 0; j < 2; j++)
			send_timed(_metadata, link, 0, sent[j]);
		/* A stream gives the time of the first byte. */
		expect_time(_metadata, sent[0],
			    expect_cmsg(_metadata, fd[1],
					stream ? "abcabc" : "abc", MSG_PEEK,
					&got, opt, sizeof(ts)));
		EXPECT_EQ(3, recv(fd[1], buf, 3, 0));
		expect_time(_metadata, sent[1],
			    expect_cmsg(_metadata, fd[1], "abc", 0, &got, opt,
					sizeof(ts)));

		/* Not any more, and the other end's option does nothing here */
		set_int_opt(_metadata, fd[1], opt, 0);
		set_int_opt(_metadata, fd[0], opt, opts[i][1]);
		link_expect_send(_metadata, link, 0, "abc");
		expect_bare(_metadata, fd[1], "abc");
	}
}

/* How much is queued */
static void expect_queued(struct __test_metadata *_metadata, struct link *link,
			  int inq, int outq)
{
	EXPECT_EQ(inq, ioctl_len(link->fd[1], SIOCINQ));
	EXPECT_EQ(outq, ioctl_len(link->fd[0], SIOCOUTQ));
	EXPECT_EQ(0, ioctl_len(link->fd[0], SIOCINQ));
	EXPECT_EQ(0, ioctl_len(link->fd[1], SIOCOUTQ));
}

TEST_F(any, queued)
{
	bool dgram = variant->type == SOCK_DGRAM;
	struct link *link = &self->link;
	int to = link->fd[1], fd, i;
	__u32 channel;
	char buf[16];

	fd = type_bound(_metadata, variant->type, &channel);
	EXPECT_EQ(0, ioctl_len(fd, SIOCINQ));
	EXPECT_EQ(0, ioctl_len(fd, SIOCOUTQ));
	/* Not of a listener */
	ASSERT_EQ(dgram ? EOPNOTSUPP : 0, err_of(listen(fd, 1)));
	i = dgram ? 0 : -EINVAL;
	EXPECT_EQ(i, ioctl_len(fd, SIOCINQ));
	EXPECT_EQ(i, ioctl_len(fd, SIOCOUTQ));

	expect_queued(_metadata, link, 0, 0);
	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "defgh");
	expect_queued(_metadata, link, dgram ? 3 : 8, dgram ? 0 : 8);
	EXPECT_EQ(3, recv(to, buf, 3, 0));
	EXPECT_EQ(1, recv(to, buf, 1, MSG_PEEK));
	expect_queued(_metadata, link, 5, dgram ? 0 : 5);

	/* The rest of a message goes with it. */
	i = variant->type == SOCK_STREAM ? 4 : 0;
	EXPECT_EQ(1, recv(to, buf, 1, 0));
	expect_queued(_metadata, link, i, i);
}

/* A peek at up to @len bytes gives @text, and fails with EAGAIN for NULL. Then
 * the offset is @off.
 */
static void expect_peek(struct __test_metadata *_metadata, int fd, int len,
			const char *text, int off)
{
	char buf[16] = "";
	ssize_t n = recv(fd, buf, len, MSG_PEEK | MSG_DONTWAIT);

	EXPECT_EQ(text ? (ssize_t)strlen(text) : -1, n);
	EXPECT_EQ(text ? 0 : EAGAIN, err_of(n));
	EXPECT_STREQ(text ?: "", buf);
	EXPECT_EQ(off, get_int_opt(_metadata, fd, SO_PEEK_OFF));
}

TEST_F(any, peek_off)
{
	struct link *link = &self->link;
	int fd = link->fd[1];
	char buf[16];
	pid_t pid;

	link_expect_send(_metadata, link, 0, "abcdef");
	set_int_opt(_metadata, fd, SO_PEEK_OFF, 1);
	expect_peek(_metadata, fd, 2, "bc", 3);
	expect_peek(_metadata, fd, 2, "de", 5);
	expect_peek(_metadata, fd, 2, "f", 6);
	expect_peek(_metadata, fd, 1, NULL, 6);
	expect_recv(_metadata, fd, "abcdef");

	/* A peek ends with the message that it begins in. */
	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "def");
	set_int_opt(_metadata, fd, SO_PEEK_OFF, 0);
	if (variant->type != SOCK_STREAM)
		expect_peek(_metadata, fd, 8, "abc", 3);
	expect_peek(_metadata, fd, 8, variant->type == SOCK_STREAM ?
		    "abcdef" : "def", 6);
	link_expect_send(_metadata, link, 0, "ghi");
	expect_peek(_metadata, fd, 1, "g", 7);
	/* What is read is no longer before the offset, never below 0. */
	EXPECT_EQ(3, recv(fd, buf, 3, 0));
	expect_peek(_metadata, fd, 8, "hi", 6);
	EXPECT_EQ(3, recv(fd, buf, 3, 0));
	set_int_opt(_metadata, fd, SO_PEEK_OFF, 1);
	EXPECT_EQ(3, recv(fd, buf, 3, 0));
	expect_peek(_metadata, fd, 8, NULL, 0);

	/* Who waits to peek sees what comes where the offset is then. */
	link_expect_send(_metadata, link, 0, "0123456789");
	set_int_opt(_metadata, fd, SO_PEEK_OFF, 10);
	pid = sleeping_child(recv(fd, buf, sizeof(buf), MSG_PEEK));
	EXPECT_EQ(10, recv(fd, buf, 10, 0));
	link_expect_send(_metadata, link, 0, "abcde");
	EXPECT_EQ(5, my_wait(pid));
	EXPECT_EQ(5, get_int_opt(_metadata, fd, SO_PEEK_OFF));
}

static int sigio_count;

static void on_sigio(int sig)
{
	sigio_count++;
}

/* SO_RCVLOWAT is for streams: a message is enough by itself. */
TEST_F(any, rcvlowat_and_sigio)
{
	struct link *link = &self->link;
	int fd = link->fd[1], epoll, i, in;
	pid_t pid;

	ASSERT_NE(SIG_ERR, signal(SIGIO, on_sigio));
	ASSERT_EQ(0, fcntl(fd, F_SETOWN, getpid()));
	ASSERT_EQ(0, fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK));
	set_int_opt(_metadata, fd, SO_RCVLOWAT, 4);
	epoll = make_epoll(_metadata, fd, EPOLLIN | EPOLLET);
	for (i = 0; i < 3; i++) {
		in = variant->type == SOCK_STREAM && !i ? 0 : POLLIN;
		sigio_count = 0;
		link_expect_send(_metadata, link, 0, i ? "d" : "abc");
		EXPECT_EQ(in, poll_for(fd, POLLIN, 0));
		EXPECT_EQ(in, next_event(epoll, 0));
		EXPECT_EQ(0, next_event(epoll, 0));
		EXPECT_EQ(!!in, sigio_count);
	}
	if (variant->type != SOCK_STREAM)
		return;

	/* What there is will do when there is no room for more. */
	set_int_opt(_metadata, fd, SO_RCVLOWAT, 100000);
	EXPECT_EQ(30000, link_send(link, 0, (char [30000]) {}, 30000, 0));
	EXPECT_EQ(0, poll_for(fd, POLLIN, 0));
	pid = sleeping_child(!(poll_for(fd, POLLIN, WAIT_MS) & POLLIN));
	set_int_opt(_metadata, fd, SO_RCVBUF, 4096);
	EXPECT_EQ(0, my_wait(pid));
}

/* SO_ATTACH_FILTER, for messages: run when one is sent. It never is for a
 * stream. What it cuts looks whole.
 */
TEST_F(any, filter)
{
	static const char * const sent[] = { "abcdefgh", "ij", "ab", "" };
	static const char * const kept[] = { "before", "abcd", "ab", "after" };
	/* Four bytes of what begins with an 'a' */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'a', 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 4),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = { ARRAY_SIZE(code), code };
	static char out[200000], in[200000];
	struct link *link = &self->link;
	int fd = link->fd[1], i;
	struct got got;

	link_expect_send(_metadata, link, 0, "before");
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog,
				sizeof(prog)));
	for (i = 0; i < ARRAY_SIZE(sent); i++)
		link_expect_send(_metadata, link, 0, sent[i]);
	/* The other direction has a filter of its own. */
	link_expect_send(_metadata, link, 1, "back");
	expect_recv(_metadata, link->fd[0], "back");
	set_int_opt(_metadata, fd, SO_DETACH_FILTER, 0);
	link_expect_send(_metadata, link, 0, "after");
	if (variant->type == SOCK_STREAM) {
		expect_recv(_metadata, fd, "beforeabcdefghijabafter");
		return;
	}
	for (i = 0; i < ARRAY_SIZE(kept); i++) {
		EXPECT_EQ(POLLIN, poll_for(fd, POLLIN, 0));
		expect_cmsg(_metadata, fd, kept[i], MSG_TRUNC, &got, 0, 0);
	}
	expect_nothing(_metadata, fd);

	/* In the middle of a page */
	fill_pattern(out, sizeof(out), 1);
	ASSERT_EQ(0, my_filter(fd, 70001));
	EXPECT_EQ(200000, link_send(link, 0, out, sizeof(out), 0));
	EXPECT_EQ(70001, recv(fd, in, sizeof(in), MSG_DONTWAIT));
	EXPECT_EQ(0, memcmp(in, out, 70001));
}

/* splice() */

static void expect_pipe(struct __test_metadata *_metadata, int fd,
			const char *text)
{
	char buf[16] = "";

	EXPECT_EQ((ssize_t)strlen(text), read(fd, buf, sizeof(buf)));
	EXPECT_STREQ(text, buf);
}

/* SPLICE_F_NONBLOCK would be about the pipe alone for messages. */
TEST_F(any, splice_out)
{
	int fd = self->link.fd[1], p[2];

	ASSERT_EQ(0, pipe(p));
	set_nonblock(_metadata, fd);
	link_expect_send(_metadata, &self->link, 0, "abc");
	EXPECT_EQ(3, splice(fd, NULL, p[1], NULL, 100, 0));
	expect_pipe(_metadata, p[0], "abc");
	EXPECT_EQ(EAGAIN, err_of(splice(fd, NULL, p[1], NULL, 100, 0)));
	expect_nothing(_metadata, fd);
}

/* Streams: pages go by reference, here those of a file. */

FIXTURE(splice)
{
	struct link link;
	int pipe[2];
	int file;
	char *page;	/* the file, mapped */
	size_t len;
};

FIXTURE_SETUP(splice)
{
	self->len = 16 * sysconf(_SC_PAGESIZE);
	link_make(_metadata, &self->link, SOCK_STREAM, BY_CONNECT);
	ASSERT_EQ(0, pipe(self->pipe));
	self->file = memfd_create("myproto", 0);
	ASSERT_EQ(0, ftruncate(self->file, self->len));
	self->page = mmap(NULL, self->len, PROT_READ | PROT_WRITE, MAP_SHARED,
			  self->file, 0);
	ASSERT_NE(MAP_FAILED, self->page);
	fill_pattern(self->page, self->len, 1);
}

FIXTURE_TEARDOWN(splice)
{
}

/* From the file to the socket, and from the socket to the pipe */
static ssize_t file_in(struct _test_data_splice *self, off_t offset, size_t len)
{
	return sendfile(self->link.fd[0], self->file, &offset, len);
}

static ssize_t pipe_out(struct _test_data_splice *self, size_t len, int flags)
{
	return splice(self->link.fd[1], NULL, self->pipe[1], NULL, len, flags);
}

TEST_F(splice, in_and_out)
{
	struct link *link = &self->link;
	int fd = link->fd[1];
	pid_t pid;

	EXPECT_EQ(EAGAIN, err_of(pipe_out(self, 10, SPLICE_F_NONBLOCK)));
	pid = sleeping_child(pipe_out(self, 100, 0) != 3);
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(0, my_wait(pid));
	expect_pipe(_metadata, self->pipe[0], "abc");

	/* A part, which the pipe keeps */
	link_expect_send(_metadata, link, 0, "abcdef");
	EXPECT_EQ(2, pipe_out(self, 2, 0));
	EXPECT_EQ(4, ioctl_len(fd, SIOCINQ));
	expect_recv(_metadata, fd, "cdef");
	expect_pipe(_metadata, self->pipe[0], "ab");
	EXPECT_EQ(0U, mem_charged(_metadata, fd));

	/* What is written to the page still arrives, */
	ASSERT_EQ(4, file_in(self, 0, 4));
	memcpy(self->page, "file", 4);
	expect_recv(_metadata, fd, "file");
	/* ... also on the way out. */
	ASSERT_EQ(4, file_in(self, 0, 4));
	ASSERT_EQ(4, pipe_out(self, 4, 0));
	memcpy(self->page, "pipe56789", 10);
	expect_pipe(_metadata, self->pipe[0], "pipe");
	/* What follows is not written to a page of somebody else. */
	ASSERT_EQ(4, file_in(self, 0, 4));
	link_expect_send(_metadata, link, 0, "xyz");
	link_expect_send(_metadata, link, 0, "xyz");
	expect_recv(_metadata, fd, "pipexyzxyz");
	EXPECT_STREQ("pipe56789", self->page);

	/* The end of the stream, and none */
	link_expect_send(_metadata, link, 0, "abc");
	link_close(link, 0);
	EXPECT_EQ(3, pipe_out(self, 100, 0));
	EXPECT_EQ(0, pipe_out(self, 100, 0));
	close(fd);
	link->fd[1] = type_socket(_metadata, SOCK_STREAM);
	EXPECT_EQ(ENOTCONN, err_of(pipe_out(self, 1, 0)));
	link_close(link, 1);

	/* Closed with pages on the queue */
	link_make(_metadata, link, SOCK_STREAM, BY_PAIR);
	ASSERT_EQ(100, file_in(self, 0, 100));
	link_destroy(link);
	EXPECT_STREQ("pipe56789", self->page);
	EXPECT_EQ(0, sockets_settle_at(0));
}

/* Full: a pipe leaves in the socket what it does not take, a socket does not
 * take what it has no room for.
 */
TEST_F(splice, full)
{
	struct link *link = &self->link;
	size_t total = 0, done, len;
	char in[8192];
	ssize_t n;

	ASSERT_EQ(8192, fcntl(self->pipe[1], F_SETPIPE_SZ, 8192));
	set_nonblock(_metadata, link->fd[0]);
	while (total < 8 << 20 &&
	       (n = file_in(self, total % self->len,
			    self->len - total % self->len)) > 0)
		total += n;
	EXPECT_EQ(EAGAIN, err_of(n));
	EXPECT_LT(self->len, total);
	EXPECT_EQ(0, poll_for(link->fd[0], POLLOUT, 0));
	for (done = 0; done < total; done += len) {
		len = 0;
		while ((n = pipe_out(self, total, SPLICE_F_NONBLOCK)) > 0)
			len += n;
		ASSERT_EQ(EAGAIN, err_of(n));
		ASSERT_LT(0, len);
		ASSERT_EQ(total - done - len,
			  ioctl_len(link->fd[1], SIOCINQ));
		ASSERT_EQ(len, read(self->pipe[0], in, sizeof(in)));
		for (n = 0; n < len; n++)
			ASSERT_EQ(self->page[(done + n) % self->len], in[n]);
	}
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
}

TEST_HARNESS_MAIN
