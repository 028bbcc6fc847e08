// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO: socket options, control messages and ioctls of all types: who is
 * at the other end and who sent what, time stamps, filters, SO_PEEK_OFF,
 * SO_RCVLOWAT. And splice(), which for a stream moves pages without a copy.
 */
#include <grp.h>
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

/* An id that is nobody's but the tests' */
#define OTHER_ID	12345

#define OVERFLOW_ID	65534

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD	77
#endif

static const gid_t other_groups[] = { 111, 222, 333 };

/* Become somebody without rights */
static int drop_rights(void)
{
	return setgroups(ARRAY_SIZE(other_groups), other_groups) ||
	       setresgid(OTHER_ID, OTHER_ID, OTHER_ID) ||
	       setresuid(OTHER_ID, OTHER_ID, OTHER_ID);
}

/* SO_PASSCRED and SCM_CREDENTIALS */

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
		_exit(setresgid(id, id, id) || setresuid(id, id, id) ||
		      link_send(link, 0, text, strlen(text), 0) < 0);
	EXPECT_EQ(0, my_wait(pid));
	return (struct ucred) { pid, id, id };
}

static const struct {
	const char *name;
	bool sender;	/* The sender has SO_PASSCRED, */
	bool receiver;	/* the receiver has it when the data is sent, */
	bool reader;	/* and when it is read. */
	bool named;	/* The sender names its credentials. */
	bool known;	/* A reader that asks is told them, not nobody's. */
} passcred[] = {
	{ .name = "default" },
	{ "nobody asks", .named = true },
	{ "receiver", .receiver = true, .reader = true, .known = true },
	{ "off again", .receiver = true },
	{ "too late", .reader = true },
	{ "sender", .sender = true, .reader = true, .known = true },
	{ "named", .named = true, .reader = true, .known = true },
};

TEST_F(any, passcred)
{
	const struct ucred nobody = { 0, OVERFLOW_ID, OVERFLOW_ID };
	struct link *link = &self->link;
	int from = link->fd[0], to = link->fd[1], i;
	struct got got;

	for (i = 0; i < ARRAY_SIZE(passcred); i++) {
		EXPECT_EQ(i && passcred[i - 1].reader,
			  get_int_opt(_metadata, to, SO_PASSCRED));
		set_int_opt(_metadata, from, SO_PASSCRED, passcred[i].sender);
		set_int_opt(_metadata, to, SO_PASSCRED, passcred[i].receiver);
		EXPECT_EQ(0, passcred[i].named ?
			     send_creds(link, "abc", own_creds()) :
			     err_of(link_send(link, 0, "abc", 3, 0)));
		set_int_opt(_metadata, to, SO_PASSCRED, passcred[i].reader);
		if (!passcred[i].reader)
			expect_bare(_metadata, to, "abc");
		else
			expect_creds(_metadata, to, "abc", 0,
				     passcred[i].known ? own_creds() : nobody);
		ASSERT_TRUE(__test_passed(_metadata))
			TH_LOG("%s", passcred[i].name);
	}
	/* One direction only */
	link_expect_send(_metadata, link, 1, "back");
	expect_bare(_metadata, from, "back");

	/* Peeked, then read with too little room */
	for (i = 0; i < 2; i++) {
		link_expect_send(_metadata, link, 0, "abc");
		expect_creds(_metadata, to, "abc", MSG_PEEK, own_creds());
		EXPECT_EQ(3, recv_got(to, &got, i * CMSG_LEN(4), 0));
		EXPECT_EQ(MSG_CTRUNC, got.msg.msg_flags & MSG_CTRUNC);
		EXPECT_STREQ("abc", got.data);
	}
}

/* It is who writes that counts, not whose the socket is. */
TEST_F(any, creds_of_each_writer)
{
	static const char * const text[] = { "first", "second", "third" };
	struct link *link = &self->link;
	int to = link->fd[1], i;
	struct ucred cred[3];
	char c;

	set_int_opt(_metadata, to, SO_PASSCRED, 1);
	for (i = 0; i < 3; i++)
		cred[i] = send_in_child(_metadata, link, text[i], i);
	/* The stream is cut where the writer changes. */
	for (i = 0; i < 3; i++)
		expect_creds(_metadata, to, text[i], 0, cred[i]);
	expect_nothing(_metadata, to);
	if (variant->type != SOCK_STREAM)
		return;

	/* So is MSG_WAITALL. Reads can end in the middle of a write. */
	for (i = 0; i < 2; i++)
		link_expect_send(_metadata, link, 0, "abc");
	cred[0] = send_in_child(_metadata, link, "def", 0);
	expect_creds(_metadata, to, "abcabc", MSG_PEEK | MSG_WAITALL,
		     own_creds());
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(1, recv(to, &c, 1, MSG_DONTWAIT));
		EXPECT_EQ("abca"[i], c);
	}
	expect_creds(_metadata, to, "bc", MSG_WAITALL, own_creds());
	EXPECT_EQ(1, recv(to, &c, 1, MSG_DONTWAIT));
	expect_creds(_metadata, to, "ef", 0, cred[0]);

	/* Without SO_PASSCRED of the reader it is one stream. */
	set_int_opt(_metadata, link->fd[0], SO_PASSCRED, 1);
	set_int_opt(_metadata, to, SO_PASSCRED, 0);
	link_expect_send(_metadata, link, 0, "abc");
	send_in_child(_metadata, link, "def", 0);
	expect_recv(_metadata, to, "abcdef");
}

/* Credentials of others, and what is no control message to send */
TEST_F(any, named_creds)
{
	const struct ucred other = { 1, OTHER_ID, OTHER_ID + 1 };
	static const struct {
		int level, type, len, err;
	} rows[] = {
		{ SOL_SOCKET, SCM_CREDENTIALS, sizeof(other) - 4, EINVAL },
		{ SOL_SOCKET, SCM_CREDENTIALS, 0, EINVAL },
		{ SOL_SOCKET, SCM_CREDENTIALS + 100, sizeof(int), EINVAL },
		/* It is for somebody else. */
		{ IPPROTO_IP, 1, sizeof(int), 0 },
	};
	struct link *link = &self->link;
	int to = link->fd[1], i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		EXPECT_EQ(rows[i].err,
			  err_of(send_cmsg(link, "x", rows[i].level,
					   rows[i].type, &other, rows[i].len)))
			TH_LOG("case %d", i);
		EXPECT_EQ(rows[i].err ? EAGAIN : 0, try_recv(to));
	}

	set_int_opt(_metadata, to, SO_PASSCRED, 1);
	EXPECT_EQ(0, send_creds(link, "abc", other));
	expect_creds(_metadata, to, "abc", 0, other);
	/* There must be such a process. */
	EXPECT_EQ(ESRCH, send_creds(link, "x", (struct ucred) {
		.pid = 0x3ffffff,
	}));

	/* Without rights, only one's own */
	EXPECT_EQ(EPERM, in_child(drop_rights() ?:
				  send_creds(link, "x", other)));
	EXPECT_EQ(0, in_child(drop_rights() ?:
			      send_creds(link, "d", own_creds())));
	EXPECT_EQ(1, recv(to, (char [1]) {}, 1, MSG_DONTWAIT));
	expect_nothing(_metadata, to);
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

static int peer_groups(int fd, gid_t *groups, socklen_t *len)
{
	return err_of(getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, len));
}

static void expect_no_peer(struct __test_metadata *_metadata, int fd)
{
	gid_t groups[8];
	socklen_t len = sizeof(groups);

	expect_peer(_metadata, fd, 0, -1);
	EXPECT_EQ(ENODATA, peer_groups(fd, groups, &len));
	EXPECT_EQ(ENODATA, get_opt_err(fd, SOL_SOCKET, SO_PEERPIDFD));
}

/* Of DGRAM sockets, only those of a socketpair() know: whoever is bound there
 * now is not who sends.
 */
TEST_F(any, peer)
{
	enum made made;
	struct link link;
	int i;

	for (made = BY_CONNECT; made <= variant->made || made == BY_PAIR;
	     made++) {
		link_make(_metadata, &link, variant->type, made);
		for (i = 0; i < 2; i++)
			if (variant->type == SOCK_DGRAM && made != BY_PAIR)
				expect_no_peer(_metadata, link.fd[i]);
			else
				expect_peer(_metadata, link.fd[i], getpid(), 0);
	}
	expect_no_peer(_metadata, type_socket(_metadata, variant->type));
}

/* The last who called listen() and who connected, as they were then */
TEST_F(type, peer_of_connection)
{
	int listener = my_bound_socket(_metadata, 5000), fd;
	int client = my_socket(_metadata);
	gid_t groups[8] = {};
	socklen_t len = sizeof(groups);
	pid_t pid[2];

	pid[0] = sleeping_child(drop_rights() || listen(listener, 5) ||
				pause());
	pid[1] = sleeping_child(drop_rights() || my_connect(client, 5000) ||
				pause());
	/* Before accept(), and after it */
	expect_peer(_metadata, client, pid[0], OTHER_ID);
	fd = my_accept(_metadata, listener);
	expect_peer(_metadata, fd, pid[1], OTHER_ID);
	ASSERT_EQ(0, listen(listener, 5));
	expect_peer(_metadata, my_client(_metadata, 5000), getpid(), 0);
	expect_peer(_metadata, listener, getpid(), 0);
	expect_peer(_metadata, client, pid[0], OTHER_ID);

	EXPECT_EQ(0, peer_groups(fd, groups, &len));
	EXPECT_EQ(sizeof(other_groups), len);
	EXPECT_EQ(0, memcmp(other_groups, groups, sizeof(other_groups)));
	EXPECT_EQ(pid[1], fdinfo_number(get_int_opt(_metadata, fd,
						    SO_PEERPIDFD), "Pid:"));
	my_kill(pid[0]);
	my_kill(pid[1]);
	expect_peer(_metadata, fd, pid[1], OTHER_ID);
}

/* The option is that of the listener. Without it the credentials are there all
 * the same: nobody can have set it on a socket that has no descriptor yet.
 */
TEST_F(type, passcred_of_accepted)
{
	int listener, client, fd, on;
	__u32 channel;

	listener = my_listener(_metadata, 5, &channel);
	for (on = 0; on < 2; on++) {
		set_int_opt(_metadata, listener, SO_PASSCRED, on);
		client = my_client(_metadata, channel);
		expect_send(_metadata, client, "abc");
		fd = my_accept(_metadata, listener);
		EXPECT_EQ(on, get_int_opt(_metadata, fd, SO_PASSCRED));
		set_int_opt(_metadata, fd, SO_PASSCRED, 1);
		expect_creds(_metadata, fd, "abc", 0, own_creds());
	}
}

/* Time stamps */

static double wall_time(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* A clock that ticks in microseconds may seem to go back by one. */
#define TICK	0.000002

/* Send "abc", and store between which times that was */
static void send_timed(struct __test_metadata *_metadata, struct link *link,
		       double sent[2])
{
	sent[0] = wall_time() - TICK;
	link_expect_send(_metadata, link, 0, "abc");
	sent[1] = wall_time() + TICK;
	usleep(2000);
}

static void expect_time(struct __test_metadata *_metadata,
			const double sent[2], double time)
{
	EXPECT_TRUE(sent[0] <= time && time <= sent[1])
		TH_LOG("%f, not %f to %f", time, sent[0], sent[1]);
}

/* Receive @text, and compare the time that comes with it */
static void expect_stamp(struct __test_metadata *_metadata, int fd,
			 const char *text, int flags, int opt,
			 const double sent[2])
{
	struct got got;
	long *time;

	time = expect_cmsg(_metadata, fd, text, flags, &got, opt,
			   2 * sizeof(*time));
	ASSERT_NE(NULL, time);
	expect_time(_metadata, sent, time[0] + time[1] /
		    (opt == SO_TIMESTAMP_OLD ? 1e6 : 1e9));
}

TEST_F(any, timestamp)
{
	static const int opts[][2] = {
		{ SO_TIMESTAMP_OLD, 1 },
		{ SO_TIMESTAMPNS_OLD, 1 },
		{ SO_TIMESTAMPING_OLD, SOF_TIMESTAMPING_RX_SOFTWARE |
				       SOF_TIMESTAMPING_SOFTWARE },
	};
	struct link *link = &self->link;
	int *fd = link->fd, i, j;
	double sent[2][2];
	char buf[3];

	for (i = 0; i < ARRAY_SIZE(opts); i++) {
		set_int_opt(_metadata, fd[1], opts[i][0], opts[i][1]);
		for (j = 0; j < 2; j++)
			send_timed(_metadata, link, sent[j]);
		/* A stream gives the time of the first byte. */
		expect_stamp(_metadata, fd[1], variant->type == SOCK_STREAM ?
			     "abcabc" : "abc", MSG_PEEK, opts[i][0], sent[0]);
		EXPECT_EQ(3, recv(fd[1], buf, 3, 0));
		expect_stamp(_metadata, fd[1], "abc", 0, opts[i][0], sent[1]);

		/* Not any more, and the other end's option does nothing here */
		set_int_opt(_metadata, fd[1], opts[i][0], 0);
		for (j = 0; j < 2; j++) {
			link_expect_send(_metadata, link, 0, "abc");
			expect_bare(_metadata, fd[1], "abc");
			set_int_opt(_metadata, fd[0], opts[i][0], opts[i][1]);
		}
	}
}

TEST_F(any, siocgstamp)
{
	struct timeval tv = {};
	double sent[2];

	/* The first call turns it on. */
	EXPECT_EQ(-ENOENT, ioctl_len(self->link.fd[1], SIOCGSTAMP_OLD));
	send_timed(_metadata, &self->link, sent);
	expect_recv(_metadata, self->link.fd[1], "abc");
	EXPECT_EQ(0, ioctl(self->link.fd[1], SIOCGSTAMP_OLD, &tv));
	expect_time(_metadata, sent, tv.tv_sec + tv.tv_usec / 1e6);
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

TEST_F(any, ioctls_and_refused_options)
{
	bool dgram = variant->type == SOCK_DGRAM;
	static const unsigned long cmds[] = { SIOCINQ, SIOCOUTQ };
	static const int refused[] = { SO_ZEROCOPY, SO_REUSEPORT };
	struct link *link = &self->link;
	int to = link->fd[1], fd, i;
	__u32 channel;
	char buf[16];

	fd = type_bound(_metadata, variant->type, &channel);
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(EOPNOTSUPP, int_opt_err(fd, SOL_SOCKET,
						  refused[i % 2], 1));
		EXPECT_EQ(-ENOTTY, ioctl_len(fd, SIOCATMARK));
		/* Not of a listener */
		if (i == 2 && !dgram)
			ASSERT_EQ(0, listen(fd, 1));
		EXPECT_EQ(i < 2 || dgram ? 0 : -EINVAL,
			  ioctl_len(fd, cmds[i % 2]));
		EXPECT_EQ(EFAULT, err_of(ioctl(to, cmds[i % 2], NULL)));
	}

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

	link_expect_send(_metadata, link, 0, "ijk");
	ASSERT_EQ(0, shutdown(to, SHUT_RD));
	EXPECT_EQ(i + 3, ioctl_len(to, SIOCINQ));
	expect_recv(_metadata, to, i ? "efghijk" : "ijk");
	EXPECT_EQ(0, ioctl_len(to, SIOCINQ));
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
	expect_peek(_metadata, fd, 8, "abcdef", -1);
	set_int_opt(_metadata, fd, SO_PEEK_OFF, 1);
	expect_peek(_metadata, fd, 2, "bc", 3);
	expect_peek(_metadata, fd, 2, "de", 5);
	expect_peek(_metadata, fd, 2, "f", 6);
	expect_peek(_metadata, fd, 1, NULL, 6);
	set_int_opt(_metadata, fd, SO_PEEK_OFF, 4);
	expect_peek(_metadata, fd, 8, "ef", 6);
	set_int_opt(_metadata, fd, SO_PEEK_OFF, -1);
	expect_peek(_metadata, fd, 8, "abcdef", -1);
	expect_peek(_metadata, fd, 8, "abcdef", -1);
	expect_recv(_metadata, fd, "abcdef");

	/* A peek ends with the message that it begins in. */
	link_expect_send(_metadata, link, 0, "abc");
	link_expect_send(_metadata, link, 0, "def");
	set_int_opt(_metadata, fd, SO_PEEK_OFF, 0);
	if (variant->type == SOCK_STREAM) {
		expect_peek(_metadata, fd, 8, "abcdef", 6);
	} else {
		expect_peek(_metadata, fd, 8, "abc", 3);
		expect_peek(_metadata, fd, 8, "def", 6);
	}
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

/* SO_RCVLOWAT and SIGIO */

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
	EXPECT_EQ(POLLIN, poll_for(fd, POLLIN, 0));
}

/* SO_ATTACH_FILTER, for messages: run when one is sent. It never is for a
 * stream.
 */
TEST_F(any, filter)
{
	static const char * const sent[] = { "abcdefgh", "ij", "" };
	static const struct {
		__u32 keep;	/* how many bytes of a message */
		bool select;	/* of those that begin with an 'a' only */
		const char *got[ARRAY_SIZE(sent) + 1];
	} rows[] = {
		{ 0, false, {} },
		{ 4, false, { "abcd", "ij", "" } },
		{ -1, false, { "abcdefgh", "ij", "" } },
		{ -1, true, { "abcdefgh" } },
	};
	bool stream = variant->type == SOCK_STREAM;
	struct link *link = &self->link;
	const char * const *text;
	int fd = link->fd[1], i, j;
	struct got got;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct sock_filter code[] = {
			BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'a', 0, 1),
			BPF_STMT(BPF_RET | BPF_K, rows[i].keep),
			BPF_STMT(BPF_RET | BPF_K, 0),
		};
		struct sock_fprog prog = {
			.len = rows[i].select ? 4 : 1,
			.filter = code + (rows[i].select ? 0 : 2),
		};

		ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER,
					&prog, sizeof(prog)));
		for (j = 0; j < ARRAY_SIZE(sent); j++)
			link_expect_send(_metadata, link, 0, sent[j]);
		if (stream)
			expect_recv(_metadata, fd, "abcdefghij");
		for (text = rows[i].got; *text && !stream; text++) {
			EXPECT_EQ(POLLIN, poll_for(fd, POLLIN, 0));
			EXPECT_EQ((ssize_t)strlen(*text),
				  recv_got(fd, &got, 0, MSG_TRUNC))
				TH_LOG("case %d", i);
			EXPECT_STREQ(*text, got.data);
			EXPECT_EQ(0, got.msg.msg_flags & MSG_TRUNC);
		}
		expect_nothing(_metadata, fd);
	}
	/* The other direction has a filter of its own. */
	link_expect_send(_metadata, link, 1, "back");
	expect_recv(_metadata, link->fd[0], "back");
}

TEST_F(any, filter_changes)
{
	struct link *link = &self->link;
	static char out[200000], in[200000];
	int fd = link->fd[1], i;

	if (variant->type == SOCK_STREAM)
		SKIP(return, "a stream runs no filter");

	/* What is queued has passed. */
	link_expect_send(_metadata, link, 0, "before");
	ASSERT_EQ(0, my_filter(fd, 0));
	link_expect_send(_metadata, link, 0, "dropped");
	ASSERT_EQ(0, my_filter(fd, 2));
	link_expect_send(_metadata, link, 0, "cut");
	set_int_opt(_metadata, fd, SO_DETACH_FILTER, 0);
	link_expect_send(_metadata, link, 0, "after");
	expect_recv(_metadata, fd, "before");
	EXPECT_EQ(variant->type == SOCK_DGRAM ? 2 : 7, ioctl_len(fd, SIOCINQ));
	expect_recv(_metadata, fd, "cu");
	expect_recv(_metadata, fd, "after");
	EXPECT_EQ(ENOENT, int_opt_err(fd, SOL_SOCKET, SO_DETACH_FILTER, 0));

	/* In the middle of a page */
	fill_pattern(out, sizeof(out), 1);
	ASSERT_EQ(0, my_filter(fd, 70001));
	EXPECT_EQ(200000, link_send(link, 0, out, sizeof(out), 0));
	EXPECT_EQ(70001, recv(fd, in, sizeof(in), MSG_DONTWAIT));
	EXPECT_EQ(0, memcmp(in, out, 70001));

	/* What is dropped leaves no room taken. */
	set_rcvbuf(_metadata, fd, 10000);
	ASSERT_EQ(0, my_filter(fd, 0));
	for (i = 0; i < 100; i++)
		ASSERT_EQ(1000, link_send(link, 0, out, 1000, MSG_DONTWAIT));
	expect_nothing(_metadata, fd);
}

/* splice() */

TEST_F(any, splice_out)
{
	int *fd = self->link.fd, p[2];
	char in[30000], out[30000];
	size_t done;
	ssize_t n;

	ASSERT_EQ(0, pipe(p));
	fill_pattern(out, sizeof(out), 1);
	ASSERT_EQ(30000, link_send(&self->link, 0, out, sizeof(out), 0));
	for (done = 0; done < sizeof(in); done += n) {
		n = splice(fd[1], NULL, p[1], NULL, sizeof(in), 0);
		ASSERT_LT(0, n);
		ASSERT_EQ(n, read(p[0], in + done, n));
	}
	EXPECT_EQ(0, memcmp(in, out, sizeof(in)));
	/* SPLICE_F_NONBLOCK would be about the pipe alone for messages. */
	set_nonblock(_metadata, fd[1]);
	EXPECT_EQ(EAGAIN, err_of(splice(fd[1], NULL, p[1], NULL, 100, 0)));
	EXPECT_EQ(0U, mem_charged(_metadata, fd[1]));
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
	link_destroy(&self->link);
}

/* From the file or the pipe to the socket, and from the socket to the pipe */
static ssize_t file_in(struct _test_data_splice *self, off_t offset, size_t len)
{
	return sendfile(self->link.fd[0], self->file, &offset, len);
}

static ssize_t pipe_in(struct _test_data_splice *self, size_t len)
{
	return splice(self->pipe[0], NULL, self->link.fd[0], NULL, len, 0);
}

static ssize_t pipe_out(struct _test_data_splice *self, size_t len, int flags)
{
	return splice(self->link.fd[1], NULL, self->pipe[1], NULL, len, flags);
}

static void expect_pipe(struct __test_metadata *_metadata, int fd,
			const char *text)
{
	char buf[16] = "";

	EXPECT_EQ((ssize_t)strlen(text), read(fd, buf, sizeof(buf)));
	EXPECT_STREQ(text, buf);
}

/* What is written to the page still arrives. */
TEST_F(splice, does_not_copy)
{
	struct iovec iov = { .iov_base = self->page, .iov_len = 4 };
	struct link *link = &self->link;
	int i;

	ASSERT_EQ(4, file_in(self, 0, 4));
	memcpy(self->page, "file", 4);
	expect_recv(_metadata, link->fd[1], "file");

	ASSERT_EQ(4, vmsplice(self->pipe[1], &iov, 1, 0));
	ASSERT_EQ(4, pipe_in(self, 4));
	memcpy(self->page, "user", 4);
	expect_recv(_metadata, link->fd[1], "user");

	/* ... nor on the way out. */
	ASSERT_EQ(4, file_in(self, 0, 4));
	ASSERT_EQ(4, pipe_out(self, 4, 0));
	memcpy(self->page, "pipe56789", 10);
	expect_pipe(_metadata, self->pipe[0], "pipe");

	/* What follows is not written to a page of somebody else. */
	ASSERT_EQ(4, file_in(self, 0, 4));
	link_expect_send(_metadata, link, 0, "xyz");
	link_expect_send(_metadata, link, 0, "xyz");
	expect_recv(_metadata, link->fd[1], "pipexyzxyz");
	EXPECT_STREQ("pipe56789", self->page);
	for (i = 4; i < 9; i++) {
		link_expect_send(_metadata, link, 0, "-");
		ASSERT_EQ(1, file_in(self, i, 1));
	}
	expect_recv(_metadata, link->fd[1], "-5-6-7-8-9");

	i = type_socket(_metadata, SOCK_STREAM);
	EXPECT_EQ(ENOTCONN, err_of(sendfile(i, self->file, NULL, 10)));
	EXPECT_EQ(ENOTCONN, err_of(splice(i, NULL, self->pipe[1], NULL, 1, 0)));
	close(i);
	/* Closed with pages on the queue */
	for (i = 0; i < 5; i++)
		ASSERT_EQ(100, file_in(self, 0, 100));
	link_close(link, 1);
	signal(SIGPIPE, SIG_IGN);
	EXPECT_EQ(EPIPE, err_of(file_in(self, 0, 10)));
	link_close(link, 0);
	EXPECT_STREQ("pipe56789", self->page);
	EXPECT_EQ(0, sockets_settle_at(0));
}

TEST_F(splice, out)
{
	struct link *link = &self->link;
	int other[2], fd = link->fd[1];
	pid_t pid;

	EXPECT_EQ(EAGAIN, err_of(pipe_out(self, 10, SPLICE_F_NONBLOCK)));
	pid = sleeping_child(pipe_out(self, 100, 0) != 3);
	link_expect_send(_metadata, link, 0, "abc");
	EXPECT_EQ(0, my_wait(pid));
	expect_pipe(_metadata, self->pipe[0], "abc");

	/* The pipe keeps what it got when the sender's own page goes on. */
	link_expect_send(_metadata, link, 0, "abc");
	ASSERT_EQ(3, pipe_out(self, 100, 0));
	link_expect_send(_metadata, link, 0, "def");
	expect_recv(_metadata, fd, "def");
	link_expect_send(_metadata, link, 0, "ghi");
	expect_pipe(_metadata, self->pipe[0], "abc");
	expect_recv(_metadata, fd, "ghi");

	/* Two pipes see the same, and so does the reader after them. */
	link_expect_send(_metadata, link, 0, "abc");
	ASSERT_EQ(3, pipe_out(self, 100, 0));
	ASSERT_EQ(0, pipe(other));
	ASSERT_EQ(3, tee(self->pipe[0], other[1], 100, 0));
	ASSERT_EQ(3, splice(other[0], NULL, fd, NULL, 100, 0));
	expect_recv(_metadata, link->fd[0], "abc");
	expect_pipe(_metadata, self->pipe[0], "abc");

	/* A part, and the end of the stream */
	link_expect_send(_metadata, link, 0, "abcdef");
	EXPECT_EQ(2, pipe_out(self, 2, 0));
	EXPECT_EQ(4, ioctl_len(fd, SIOCINQ));
	expect_recv(_metadata, fd, "cdef");
	expect_pipe(_metadata, self->pipe[0], "ab");
	EXPECT_EQ(0U, mem_charged(_metadata, fd));
	link_expect_send(_metadata, link, 0, "abc");
	link_close(link, 0);
	EXPECT_EQ(3, pipe_out(self, 100, 0));
	EXPECT_EQ(0, pipe_out(self, 100, 0));
}

/* Full: a pipe leaves in the socket what it does not take, a socket does not
 * take what it has no room for.
 */
TEST_F(splice, full)
{
	struct link *link = &self->link;
	size_t total = 0, done, len;
	char in[8192];
	pid_t pid;
	ssize_t n;

	ASSERT_EQ(8192, fcntl(self->pipe[1], F_SETPIPE_SZ, 8192));
	set_nonblock(_metadata, link->fd[0]);
	while ((n = file_in(self, total % self->len,
			    self->len - total % self->len)) > 0) {
		total += n;
		ASSERT_GE(8U << 20, total);
	}
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

	while (file_in(self, 0, self->len) > 0)
		;
	ASSERT_EQ(0, fcntl(link->fd[0], F_SETFL, 0));
	pid = sleeping_child(file_in(self, 0, 100) != 100);
	link_drain(_metadata, link, 1);
	EXPECT_EQ(0, my_wait(pid));
}

TEST_HARNESS_MAIN
