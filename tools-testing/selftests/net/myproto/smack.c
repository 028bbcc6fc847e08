// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO and security modules that see both ends, by the example of Smack:
 * who may connect, who may send, which label arrives. For a kernel that has
 * been booted with lsm=smack. A socket has the label that its process had when
 * it was made, and so one process can have sockets of several.
 */
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "any.h"
#include "cmsg.h"
#include "type.h"

#ifndef SCM_SECURITY
#define SCM_SECURITY	3
#endif

#define SMACKFS		"/sys/fs/smackfs"

FIXTURE_VARIANT_ADD(any, stream_socketpair)
{
	.type = SOCK_STREAM,
	.made = BY_PAIR,
};

FIXTURE_VARIANT_ADD(any, seqpacket_socketpair)
{
	.type = SOCK_SEQPACKET,
	.made = BY_PAIR,
};

FIXTURE_VARIANT_ADD(any, dgram_connection)
{
	.type = SOCK_DGRAM,
	.made = BY_CONNECT,
};

static void write_file(struct __test_metadata *_metadata, const char *path,
		       const char *text)
{
	int fd = open(path, O_WRONLY);
	ssize_t len = strlen(text);

	ASSERT_LE(0, fd) TH_LOG("%s: %s", path, strerror(errno));
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

/* Rules outlive a test: begin with none among the labels of this program. */
static void no_rules(struct __test_metadata *_metadata)
{
	static const char * const labels[] = { "MyA", "MyB", "MyC" };
	int i, j;

	for (i = 0; i < 3; i++)
		for (j = 0; j < 3; j++)
			if (i != j)
				rule(_metadata, labels[i], labels[j], "-");
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

/* For whoever has this capability all is allowed. */
static int drop_mac_override(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return errno;
	data[1].effective &= ~CAP_TO_MASK(CAP_MAC_OVERRIDE);
	return err_of(syscall(SYS_capset, &head, data));
}

static void expect_peersec(struct __test_metadata *_metadata, int fd,
			   const char *label)
{
	socklen_t len = 1;
	char buf[64] = "";

	if (*label) {
		EXPECT_EQ(ERANGE, err_of(getsockopt(fd, SOL_SOCKET, SO_PEERSEC,
						    buf, &len)));
		EXPECT_EQ(strlen(label) + 1, len);
	}
	len = sizeof(buf);
	EXPECT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_PEERSEC, buf, &len));
	EXPECT_EQ(strlen(label) + 1, len);
	EXPECT_STREQ(label, buf);
}

/* Receive @text; @label is what SCM_SECURITY says, or NULL if there is none */
static void expect_label(struct __test_metadata *_metadata, int fd,
			 const char *text, const char *label)
{
	char data[4096] = "", control[256], got[64] = "";
	struct iovec iov = { data, sizeof(data) - 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;
	bool told = false;

	ASSERT_LE(0, recvmsg(fd, &msg, MSG_DONTWAIT));
	EXPECT_STREQ(text, data);
	EXPECT_EQ(0, msg.msg_flags & MSG_CTRUNC);
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_SECURITY)
			continue;
		told = true;
		memcpy(got, CMSG_DATA(cmsg), cmsg->cmsg_len - CMSG_LEN(0));
	}
	EXPECT_EQ(!!label, told);
	if (label && told)
		EXPECT_STREQ(label, got);
}

/* Nothing has come to @fd, a socket of data, and it is charged for nothing. */
static void expect_nothing(struct __test_metadata *_metadata, int fd)
{
	EXPECT_EQ(EAGAIN, try_recv(fd));
	EXPECT_EQ(0, poll_now(fd) & POLLIN);
	EXPECT_EQ(0, ioctl_len(fd, FIONREAD));
	EXPECT_EQ(0, mem_charged(_metadata, fd));
}

/* Connections */

TEST_F(type, connect_takes_both_directions)
{
	int listener, client, fd, sockets, i;
	__u32 channel;

	no_rules(_metadata);
	become(_metadata, "MyB");
	listener = my_listener(_metadata, 1, &channel);
	set_nonblock(_metadata, listener);
	become(_metadata, "MyA");
	client = my_socket(_metadata);
	sockets = sockets_in_use();

	for (i = 0; i < 3; i++) {
		rule(_metadata, "MyA", "MyB", i & 1 ? "w" : "-");
		rule(_metadata, "MyB", "MyA", i & 2 ? "w" : "-");
		EXPECT_EQ(EACCES, err_of(my_connect(client, channel)))
			TH_LOG("rules %d", i);
	}
	/* It has left nothing, neither here nor there. */
	EXPECT_EQ(EAGAIN, err_of(accept(listener, NULL, NULL)));
	EXPECT_EQ(0, poll_now(listener));
	EXPECT_EQ(ENOTCONN, try_send(client));
	expect_peersec(_metadata, client, "");
	EXPECT_EQ(sockets, sockets_settle_at(sockets));

	/* And the same socket can go on. */
	rule(_metadata, "MyA", "MyB", "w");
	EXPECT_EQ(0, my_connect(client, channel));
	fd = accept(listener, NULL, NULL);
	ASSERT_LE(0, fd);

	/* A connection stays, whatever becomes of the rules. */
	no_rules(_metadata);
	expect_send(_metadata, client, "there");
	expect_recv(_metadata, fd, "there");
	expect_send(_metadata, fd, "back");
	expect_recv(_metadata, client, "back");
}

/* connect() is judged when it is called, and accept() completes it later. */
TEST_F(type, connect_that_waits)
{
	int listener, client[3], i;
	__u32 channel;

	no_rules(_metadata);
	rule(_metadata, "MyA", "MyB", "w");
	rule(_metadata, "MyB", "MyA", "w");
	become(_metadata, "MyB");
	listener = my_listener(_metadata, 0, &channel);
	set_nonblock(_metadata, listener);
	for (i = 0; i < 3; i++) {
		become(_metadata, i < 2 ? "MyA" : "MyC");
		client[i] = my_socket(_metadata);
		set_nonblock(_metadata, client[i]);
	}
	EXPECT_EQ(0, my_connect(client[0], channel));
	EXPECT_EQ(EINPROGRESS, err_of(my_connect(client[1], channel)));
	/* Who may not does not wait. */
	EXPECT_EQ(EACCES, err_of(my_connect(client[2], channel)));

	no_rules(_metadata);
	for (i = 0; i < 2; i++) {
		int fd = accept(listener, NULL, NULL);

		ASSERT_LE(0, fd);
		expect_peersec(_metadata, fd, "MyA");
		expect_peersec(_metadata, client[i], "MyB");
		EXPECT_EQ(0, get_int_opt(_metadata, client[i], SO_ERROR));
		expect_send(_metadata, client[i], "x");
		expect_recv(_metadata, fd, "x");
	}
	EXPECT_EQ(EAGAIN, err_of(accept(listener, NULL, NULL)));
}

/* What the accepting process is does not matter: the listener's label does. */
TEST_F(type, peersec)
{
	int listener, client, fd;
	__u32 channel;

	no_rules(_metadata);
	rule(_metadata, "MyA", "MyB", "w");
	rule(_metadata, "MyB", "MyA", "w");
	become(_metadata, "MyB");
	listener = my_listener(_metadata, 1, &channel);
	become(_metadata, "MyA");
	client = my_client(_metadata, channel);
	expect_peersec(_metadata, client, "MyB");
	become(_metadata, "MyC");
	fd = accept(listener, NULL, NULL);
	ASSERT_LE(0, fd);

	expect_peersec(_metadata, fd, "MyA");
	expect_peersec(_metadata, client, "MyB");
	expect_peersec(_metadata, listener, "");
	set_int_opt(_metadata, client, SO_PASSSEC, 1);
	expect_send(_metadata, fd, "x");
	expect_label(_metadata, client, "x", "MyB");
}

TEST(peersec_of_socketpair)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	int fd[2], i, j;

	become(_metadata, "MyA");
	for (i = 0; i < 3; i++) {
		my_type = types[i];
		my_socketpair(_metadata, fd);
		for (j = 0; j < 2; j++)
			expect_peersec(_metadata, fd[j], "MyA");
	}
}

/* Messages */

FIXTURE(dgram)
{
	int from;
	int to;
	__u32 channel;
};

FIXTURE_SETUP(dgram)
{
	my_type = SOCK_DGRAM;
	no_rules(_metadata);
	become(_metadata, "MyB");
	self->to = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
	self->channel = my_channel(_metadata, self->to);
	become(_metadata, "MyA");
	self->from = my_socket(_metadata);
}

FIXTURE_TEARDOWN(dgram)
{
}

static int try_sendto(int fd, __u32 channel, const char *text)
{
	return err_of(my_sendto(fd, channel, text, strlen(text), MSG_DONTWAIT));
}

TEST_F(dgram, send)
{
	rule(_metadata, "MyB", "MyA", "w"); /* which is the other direction */
	EXPECT_EQ(EACCES, try_sendto(self->from, self->channel, "1"));
	expect_nothing(_metadata, self->to);
	EXPECT_EQ(0, poll_now(self->from) & (POLLERR | POLLHUP));

	rule(_metadata, "MyA", "MyB", "w");
	EXPECT_EQ(0, try_sendto(self->from, self->channel, "2"));
	rule(_metadata, "MyA", "MyB", "-");
	EXPECT_EQ(EACCES, try_sendto(self->from, self->channel, "3"));
	expect_recv(_metadata, self->to, "2");
	expect_nothing(_metadata, self->to);
}

/* Who is denied learns nothing else of the receiver: not that there is no room,
 * how large its buffer is, or that it takes no files.
 */
TEST_F(dgram, denied_learns_nothing)
{
	struct link link = {
		.fd = { self->from, self->to },
		.type = SOCK_DGRAM,
		.made = BY_ADDRESS,
		.name[1] = my_addr(self->channel),
	};
	int size = get_int_opt(_metadata, self->to, SO_RCVBUF), fd = 0;
	char *data = calloc(1, size + 1);

	ASSERT_NE(NULL, data);
	EXPECT_EQ(EACCES, err_of(my_sendto(self->from, self->channel, data,
					   size + 1, MSG_DONTWAIT)));
	free(data);
	EXPECT_EQ(EACCES, err_of(send_cmsg(&link, "x", SOL_SOCKET, SCM_RIGHTS,
					   &fd, sizeof(fd))));
	rule(_metadata, "MyA", "MyB", "w");
	while (!try_sendto(self->from, self->channel, "x"))
		;
	EXPECT_EQ(EAGAIN, errno);
	rule(_metadata, "MyA", "MyB", "-");
	EXPECT_EQ(EACCES, try_sendto(self->from, self->channel, "x"));
}

TEST_F(dgram, association)
{
	__u32 own;
	int fd;

	fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
	own = my_channel(_metadata, fd);
	EXPECT_EQ(EACCES, err_of(my_connect(self->from, self->channel)));
	/* Nor that it is associated with another one */
	rule(_metadata, "MyB", "MyA", "w");
	ASSERT_EQ(0, my_connect(self->to, own));
	EXPECT_EQ(EACCES, err_of(my_connect(self->from, self->channel)));
	ASSERT_EQ(0, my_dissolve(self->to));
	rule(_metadata, "MyB", "MyA", "-");
	EXPECT_EQ(EDESTADDRREQ, try_send(self->from));

	/* What it was associated with it stays. */
	ASSERT_EQ(0, my_connect(self->from, own));
	EXPECT_EQ(EACCES, err_of(my_connect(self->from, self->channel)));
	expect_send(_metadata, self->from, "own");
	expect_recv(_metadata, fd, "own");

	rule(_metadata, "MyA", "MyB", "w");
	ASSERT_EQ(0, my_connect(self->from, self->channel));
	expect_send(_metadata, self->from, "1");
	/* The rules of now hold, not those of then. */
	rule(_metadata, "MyA", "MyB", "-");
	EXPECT_EQ(EACCES, try_send(self->from));
	rule(_metadata, "MyA", "MyB", "w");
	expect_send(_metadata, self->from, "2");
	expect_recv(_metadata, self->to, "1");
	expect_recv(_metadata, self->to, "2");
	expect_nothing(_metadata, self->to);
}

/* Send one message and wait for room; exits with the errno */
static pid_t fork_sender(struct __test_metadata *_metadata, const char *label,
			 __u32 channel)
{
	pid_t pid = my_fork(_metadata);
	int fd;

	if (pid) {
		EXPECT_TRUE(wait_asleep(pid));
		return pid;
	}
	become(_metadata, label);
	fd = my_socket(_metadata);
	/* Or its parent could not look after it. */
	become(_metadata, "MyA");
	_exit(err_of(my_sendto(fd, channel, "last", 4, 0)));
}

/*
 * The rules are looked at after a sender has waited, too, and the wake-up goes
 * to the next one then.
 */
TEST_F(dgram, send_that_waits)
{
	int len, last = 0;
	pid_t pid[2];
	char buf[8];

	rule(_metadata, "MyA", "MyB", "w");
	rule(_metadata, "MyC", "MyB", "w");
	while (!try_sendto(self->from, self->channel, "x"))
		;
	pid[0] = fork_sender(_metadata, "MyA", self->channel);
	pid[1] = fork_sender(_metadata, "MyC", self->channel);
	rule(_metadata, "MyA", "MyB", "-");

	expect_recv(_metadata, self->to, "x");
	EXPECT_EQ(EACCES, my_wait(pid[0]));
	EXPECT_EQ(0, my_wait(pid[1]));
	while ((len = recv(self->to, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		last += len == 4;
	EXPECT_EQ(1, last);
	expect_nothing(_metadata, self->to);
}

/* Labels of data */

TEST_F(any, passsec)
{
	int fd = self->link.fd[0], val;

	for (val = 1; val >= 0; val--) {
		set_int_opt(_metadata, fd, SO_PASSSEC, val);
		EXPECT_EQ(val, get_int_opt(_metadata, fd, SO_PASSSEC));
		EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_PASSCRED));
	}
}

static void link_expect_label(struct __test_metadata *_metadata,
			      struct link *link, const char *text,
			      const char *label)
{
	link_expect_send(_metadata, link, 0, text);
	expect_label(_metadata, link->fd[1], text, label);
}

/* The fixture's sockets have the label of the program. */
TEST_F(any, label)
{
	relabel(_metadata, self->link.fd[0], "MyA");
	rule(_metadata, "MyA", "_", "w");
	link_expect_label(_metadata, &self->link, "1", NULL);

	set_int_opt(_metadata, self->link.fd[1], SO_PASSSEC, 1);
	link_expect_label(_metadata, &self->link, "2", "MyA");
	/* The socket has a label, and not who uses it. */
	become(_metadata, "MyC");
	link_expect_label(_metadata, &self->link, "3", "MyA");
	become(_metadata, "_");

	set_int_opt(_metadata, self->link.fd[1], SO_PASSCRED, 1);
	link_expect_label(_metadata, &self->link, "4", "MyA");
	set_int_opt(_metadata, self->link.fd[1], SO_PASSSEC, 0);
	link_expect_label(_metadata, &self->link, "5", NULL);

	/* What was sent when nobody asked for the label has none. */
	set_int_opt(_metadata, self->link.fd[1], SO_PASSCRED, 0);
	link_expect_send(_metadata, &self->link, 0, "6");
	set_int_opt(_metadata, self->link.fd[1], SO_PASSSEC, 1);
	expect_label(_metadata, self->link.fd[1], "6", NULL);
}

/* What a sender says of itself changes nothing. */
TEST_F(any, label_with_named_credentials)
{
	struct ucred cred = { getpid(), getuid(), getgid() };
	struct iovec iov = { "x", 1 };
	union {
		char buf[CMSG_SPACE(sizeof(cred))];
		struct cmsghdr align;
	} control = {};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_CREDENTIALS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(cred));
	memcpy(CMSG_DATA(cmsg), &cred, sizeof(cred));

	relabel(_metadata, self->link.fd[0], "MyA");
	rule(_metadata, "MyA", "_", "w");
	set_int_opt(_metadata, self->link.fd[1], SO_PASSSEC, 1);
	ASSERT_EQ(1, sendmsg(self->link.fd[0],
			     link_address(&self->link, 0, &msg), 0));
	expect_label(_metadata, self->link.fd[1], "x", "MyA");
}

/* Until accept() nobody knows who will ask: so the label is kept. */
TEST_F(type, label_before_accept)
{
	int listener, client, fd, early;
	__u32 channel;

	for (early = 0; early < 2; early++) {
		become(_metadata, "MyA");
		listener = my_listener(_metadata, 1, &channel);
		if (early)
			set_int_opt(_metadata, listener, SO_PASSSEC, 1);
		client = my_client(_metadata, channel);
		expect_send(_metadata, client, "x");
		fd = accept(listener, NULL, NULL);
		ASSERT_LE(0, fd);
		EXPECT_EQ(early, get_int_opt(_metadata, fd, SO_PASSSEC));
		set_int_opt(_metadata, fd, SO_PASSSEC, 1);
		expect_label(_metadata, fd, "x", "MyA");
	}
}

/* A read does not join what has different labels, if it tells them. */
TEST(stream_labels_are_not_joined)
{
	int fd[2], passsec;

	become(_metadata, "MyA");
	for (passsec = 0; passsec < 2; passsec++) {
		my_socketpair(_metadata, fd);
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

	my_start();
	if (access(SMACKFS, F_OK))
		ksft_exit_skip("Smack is not active: boot with lsm=smack\n");
	err = my_private_mounts() ?:
	      err_of(mount("smackfs", SMACKFS, "smackfs", 0, NULL)) ?:
	      drop_mac_override();
	if (err)
		ksft_exit_fail_msg("cannot set Smack up: %s\n", strerror(err));
	return test_harness_run(argc, argv);
}
