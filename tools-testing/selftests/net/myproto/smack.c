// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO and security modules that see both ends, by the example of Smack:
 * who may connect, who may send, which label arrives. For a kernel that has
 * been booted with lsm=smack. A socket has the label that its process had when
 * it was made, and so one process can have sockets of several.
 */
#include <sys/xattr.h>

#include "any.h"
#include "cmsg.h"
#include "type.h"

#ifndef SCM_SECURITY
#define SCM_SECURITY	3
#endif

#define SMACKFS		"/sys/fs/smackfs"

FIXTURE_VARIANT_ADD(any, stream_socketpair) { SOCK_STREAM, BY_PAIR };
FIXTURE_VARIANT_ADD(any, seqpacket_socketpair) { SOCK_SEQPACKET, BY_PAIR };
FIXTURE_VARIANT_ADD(any, dgram_connection) { SOCK_DGRAM, BY_CONNECT };

static void write_file(struct __test_metadata *_metadata, const char *path,
		       const char *text)
{
	int fd = open(path, O_WRONLY);
	ssize_t len = strlen(text);

	ASSERT_EQ(len, write(fd, text, len))
		TH_LOG("%s: %s", path, strerror(errno));
	close(fd);
}

/* What @subject may do to @object from now on: "w" or "-" */
static void rule(struct __test_metadata *_metadata, const char *subject,
		 const char *object, const char *access)
{
	char text[128];

	snprintf(text, sizeof(text), "%s %s %s", subject, object, access);
	write_file(_metadata, SMACKFS "/load2", text);
}

/* Rules outlive a test: it begins with these between A and B, and none else. */
static void rules(struct __test_metadata *_metadata, const char *access)
{
	rule(_metadata, "MyA", "MyB", access);
	rule(_metadata, "MyB", "MyA", access);
	rule(_metadata, "MyC", "MyB", "-");
}

/* The label of the sockets that the caller makes from now on */
static void become(struct __test_metadata *_metadata, const char *label)
{
	write_file(_metadata, "/proc/self/attr/smack/current", label);
}

/* The label of what @fd sends from now on */
static void relabel(struct __test_metadata *_metadata, int fd,
		    const char *label)
{
	ASSERT_EQ(0, fsetxattr(fd, "security.SMACK64IPOUT", label,
			       strlen(label), 0));
}

static void expect_peersec(struct __test_metadata *_metadata, int fd,
			   const char *label)
{
	socklen_t size = strlen(label) + 1, len = *label ? 1 : size;
	char buf[64] = "";

	/* Too little room: how much it would take */
	EXPECT_EQ(*label ? ERANGE : 0,
		  err_of(getsockopt(fd, SOL_SOCKET, SO_PEERSEC, buf, &len)));
	EXPECT_EQ(size, len);
	EXPECT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_PEERSEC, buf, &len));
	EXPECT_EQ(size, len);
	EXPECT_STREQ(label, buf);
}

/* Receive @text; @label is what SCM_SECURITY says, or NULL if there is none */
static void expect_label(struct __test_metadata *_metadata, int fd,
			 const char *text, const char *label)
{
	struct got got;
	char *told = expect_cmsg(_metadata, fd, text, 0, &got, SCM_SECURITY, 1);

	EXPECT_EQ(!!label, !!told);
	if (label && told)
		EXPECT_STREQ(label, told);
}

/* Connections */

static int listener_of(struct __test_metadata *_metadata, const char *label,
		       int backlog, __u32 *channel)
{
	int fd;

	become(_metadata, label);
	fd = my_listener(_metadata, backlog, channel);
	set_nonblock(_metadata, fd);
	return fd;
}

TEST_F(type, connect_takes_both_directions)
{
	static const int err[] = { 0, EINPROGRESS, EACCES };
	int listener, client[3], fd, sockets, i;
	__u32 channel;

	listener = listener_of(_metadata, "MyB", 0, &channel);
	for (i = 0; i < 3; i++) {
		become(_metadata, i < 2 ? "MyA" : "MyC");
		client[i] = my_socket(_metadata);
		set_nonblock(_metadata, client[i]);
	}
	sockets = sockets_in_use();

	for (i = 0; i < 3; i++) {
		rule(_metadata, "MyA", "MyB", i & 1 ? "w" : "-");
		rule(_metadata, "MyB", "MyA", i & 2 ? "w" : "-");
		EXPECT_EQ(EACCES, err_of(my_connect(client[0], channel)))
			TH_LOG("rules %d", i);
	}
	/* It has left nothing, neither here nor there. */
	EXPECT_EQ(EAGAIN, err_of(accept(listener, NULL, NULL)));
	EXPECT_EQ(0, poll_now(listener));
	EXPECT_EQ(ENOTCONN, try_send(client[0]));
	expect_peersec(_metadata, client[0], "");
	EXPECT_EQ(sockets, sockets_settle_at(sockets));

	/* And the same socket can go on. Another one waits for a place, but not
	 * one that may not connect.
	 */
	rules(_metadata, "w");
	for (i = 0; i < 3; i++)
		EXPECT_EQ(err[i], err_of(my_connect(client[i], channel)));
	expect_peersec(_metadata, client[0], "MyB");

	/* A connection stays, whatever becomes of the rules, and accept()
	 * completes what has been allowed. The label is that of the listener,
	 * whatever the accepting process is.
	 */
	rules(_metadata, "-");
	for (i = 0; i < 2; i++) {
		fd = my_accept(_metadata, listener);
		expect_peersec(_metadata, fd, "MyA");
		expect_peersec(_metadata, client[i], "MyB");
		EXPECT_EQ(0, get_int_opt(_metadata, client[i], SO_ERROR));
		expect_exchange(_metadata, client[i], fd);
		set_int_opt(_metadata, client[i], SO_PASSSEC, 1);
		expect_send(_metadata, fd, "back");
		expect_label(_metadata, client[i], "back", "MyB");
	}
	EXPECT_EQ(EAGAIN, err_of(accept(listener, NULL, NULL)));
	expect_peersec(_metadata, listener, "");
}

/* Until accept() nobody knows who will ask: so the label is kept. */
TEST_F(type, label_before_accept)
{
	int listener, client, fd, early;
	__u32 channel;

	for (early = 0; early < 2; early++) {
		listener = listener_of(_metadata, "MyA", 1, &channel);
		if (early)
			set_int_opt(_metadata, listener, SO_PASSSEC, 1);
		client = my_client(_metadata, channel);
		expect_send(_metadata, client, "x");
		fd = my_accept(_metadata, listener);
		EXPECT_EQ(early, get_int_opt(_metadata, fd, SO_PASSSEC));
		set_int_opt(_metadata, fd, SO_PASSSEC, 1);
		expect_label(_metadata, fd, "x", "MyA");
	}
}

/* Messages */

/* fd[0] has the label A and no channel, fd[1] B. */
FIXTURE(dgram)
{
	struct link link;
	int *fd;
	__u32 channel;
};

FIXTURE_SETUP(dgram)
{
	rules(_metadata, "-");
	become(_metadata, "MyB");
	self->link.made = BY_ADDRESS;
	self->fd = self->link.fd;
	self->fd[1] = type_bound(_metadata, SOCK_DGRAM, &self->channel);
	self->link.name[1] = my_addr(self->channel);
	become(_metadata, "MyA");
	self->fd[0] = type_socket(_metadata, SOCK_DGRAM);
}

FIXTURE_TEARDOWN(dgram)
{
	link_destroy(&self->link);
}

/* Who is denied learns nothing else of the receiver: not that there is no room,
 * nor how large its buffer is.
 */
TEST_F(dgram, send)
{
	size_t size = get_int_opt(_metadata, self->fd[1], SO_RCVBUF) + 1;
	struct link *link = &self->link;
	char *data = calloc(1, size);

	rule(_metadata, "MyB", "MyA", "w"); /* which is the other direction */
	EXPECT_EQ(EACCES, link_try_send(link, 0));
	EXPECT_EQ(EACCES, err_of(link_send(link, 0, data, size, MSG_DONTWAIT)));
	expect_nothing(_metadata, self->fd[1]);
	EXPECT_EQ(0, poll_now(self->fd[0]) & (POLLERR | POLLHUP));

	rule(_metadata, "MyA", "MyB", "w");
	link_expect_send(_metadata, link, 0, "2");
	rule(_metadata, "MyA", "MyB", "-");
	EXPECT_EQ(EACCES, link_try_send(link, 0));
	expect_recv(_metadata, self->fd[1], "2");
	expect_nothing(_metadata, self->fd[1]);

	rule(_metadata, "MyA", "MyB", "w");
	link_fill(_metadata, link, 0, 1);
	rule(_metadata, "MyA", "MyB", "-");
	EXPECT_EQ(EACCES, link_try_send(link, 0));
	free(data);
}

TEST_F(dgram, association)
{
	int *pair = self->fd, fd;
	__u32 own;

	fd = type_bound(_metadata, SOCK_DGRAM, &own);
	EXPECT_EQ(EACCES, err_of(my_connect(pair[0], self->channel)));
	/* Nor that it is associated with another one */
	rule(_metadata, "MyB", "MyA", "w");
	ASSERT_EQ(0, my_connect(pair[1], own));
	EXPECT_EQ(EACCES, err_of(my_connect(pair[0], self->channel)));
	ASSERT_EQ(0, my_dissolve(pair[1]));
	rule(_metadata, "MyB", "MyA", "-");
	EXPECT_EQ(EDESTADDRREQ, try_send(pair[0]));

	/* What it was associated with it stays. */
	ASSERT_EQ(0, my_connect(pair[0], own));
	EXPECT_EQ(EACCES, err_of(my_connect(pair[0], self->channel)));
	expect_send(_metadata, pair[0], "own");
	expect_recv(_metadata, fd, "own");

	rule(_metadata, "MyA", "MyB", "w");
	ASSERT_EQ(0, my_connect(pair[0], self->channel));
	expect_send(_metadata, pair[0], "1");
	/* The rules of now hold, not those of then. */
	rule(_metadata, "MyA", "MyB", "-");
	EXPECT_EQ(EACCES, try_send(pair[0]));
	rule(_metadata, "MyA", "MyB", "w");
	expect_send(_metadata, pair[0], "2");
	expect_recv(_metadata, pair[1], "1");
	expect_recv(_metadata, pair[1], "2");
	expect_nothing(_metadata, pair[1]);
}

/*
 * The rules are checked again after a sender has waited, and if it is denied,
 * the next one is woken.
 */
static void send_waits(struct __test_metadata *_metadata, struct link *link,
		       int size)
{
	static char buf[40000];
	int len, last = 0, i;
	pid_t pid[2];

	rule(_metadata, "MyA", "MyB", "w");
	rule(_metadata, "MyC", "MyB", "w");
	link_fill(_metadata, link, 0, 1);
	for (i = 0; i < 2; i++) {
		/* The label of the child would hide its state from the test. */
		become(_metadata, i ? "MyC" : "MyA");
		link->fd[0] = type_socket(_metadata, SOCK_DGRAM);
		become(_metadata, "MyA");
		pid[i] = sleeping_child(err_of(link_send(link, 0, buf, size,
							 0)));
	}
	rule(_metadata, "MyA", "MyB", "-");

	EXPECT_EQ(1, recv(link->fd[1], buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_EQ(EACCES, my_wait(pid[0]));
	EXPECT_EQ(0, my_wait(pid[1]));
	while ((len = recv(link->fd[1], buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		last += len == size;
	EXPECT_EQ(1, last);
	expect_nothing(_metadata, link->fd[1]);
}

TEST_F(dgram, send_waits)
{
	send_waits(_metadata, &self->link, 4);
	/* Longer messages take an skb. */
	send_waits(_metadata, &self->link, 40000);
}

/* Labels of data. The fixture's sockets have the label of the program. */

TEST_F(any, label)
{
	/* What was sent when nobody asked for the label has none. */
	static const struct {
		bool passcred, passsec, late;
		const char *label;
	} rows[] = {
		{ false, false, false, NULL },
		{ false, true, false, "MyA" },
		{ true, true, false, "MyA" },
		{ true, false, false, NULL },
		{ false, false, true, NULL },
	};
	struct ucred cred = { getpid(), getuid(), getgid() };
	struct link *link = &self->link;
	int fd = link->fd[1], i;

	for (i = 0; i < 2 && variant->made == BY_PAIR; i++)
		expect_peersec(_metadata, link->fd[i], "_");
	relabel(_metadata, link->fd[0], "MyA");
	rule(_metadata, "MyA", "_", "w");
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		set_int_opt(_metadata, fd, SO_PASSCRED, rows[i].passcred);
		set_int_opt(_metadata, fd, SO_PASSSEC, rows[i].passsec);
		EXPECT_EQ(rows[i].passsec,
			  get_int_opt(_metadata, fd, SO_PASSSEC));
		EXPECT_EQ(rows[i].passcred,
			  get_int_opt(_metadata, fd, SO_PASSCRED));
		link_expect_send(_metadata, link, 0, "x");
		if (rows[i].late)
			set_int_opt(_metadata, fd, SO_PASSSEC, 1);
		expect_label(_metadata, fd, "x", rows[i].label);
	}

	/* The socket has a label, and not who uses it, */
	become(_metadata, "MyC");
	link_expect_send(_metadata, link, 0, "3");
	expect_label(_metadata, fd, "3", "MyA");
	become(_metadata, "_");
	/* whatever a sender says of itself. */
	EXPECT_EQ(1, send_cmsg(link, "4", SOL_SOCKET, SCM_CREDENTIALS, &cred,
			       sizeof(cred)));
	expect_label(_metadata, fd, "4", "MyA");
}

/* A read does not join what has different labels, if it tells them. */
TEST(stream_labels_are_not_joined)
{
	int fd[2], passsec;

	become(_metadata, "MyA");
	for (passsec = 0; passsec < 2; passsec++) {
		my_socketpair(_metadata, fd);
		expect_peersec(_metadata, fd[0], "MyA");
		set_int_opt(_metadata, fd[1], SO_PASSSEC, passsec);
		expect_send(_metadata, fd[0], "a");
		relabel(_metadata, fd[0], "MyC");
		expect_send(_metadata, fd[0], "bb");
		expect_send(_metadata, fd[0], "c");
		relabel(_metadata, fd[0], "MyA");
		expect_send(_metadata, fd[0], "d");
		if (passsec) {
			expect_label(_metadata, fd[1], "a", "MyA");
			expect_label(_metadata, fd[1], "bbc", "MyC");
			expect_label(_metadata, fd[1], "d", "MyA");
		} else {
			expect_label(_metadata, fd[1], "abbcd", NULL);
		}
		expect_nothing(_metadata, fd[1]);
	}
}

int main(int argc, char **argv)
{
	int err;

	if (access(SMACKFS, F_OK))
		ksft_exit_skip("Smack is not active: boot with lsm=smack\n");
	/* For whoever has this capability all is allowed. */
	err = my_private_mounts() ?:
	      err_of(mount("smackfs", SMACKFS, "smackfs", 0, NULL)) ?:
	      my_drop_cap(CAP_MAC_OVERRIDE);
	if (err)
		ksft_exit_fail_msg("cannot set Smack up: %s\n", strerror(err));
	return test_harness_run(argc, argv);
}

/* Nor that it takes no files */
TEST_F(dgram, denied_descriptor)
{
	EXPECT_EQ(EACCES, err_of(send_cmsg(&self->link, "x", SOL_SOCKET,
					   SCM_RIGHTS, &(int) { 0 },
					   sizeof(int))));
}
