// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO and security modules that see both ends, by the example of Smack:
 * who may connect and send, which label arrives. To be booted with lsm=smack. A
 * socket has the label that its process had when it was made.
 */
#include <sys/xattr.h>

#include "any.h"
#include "cmsg.h"
#include "type.h"
#include "worker.h"

#ifndef SCM_SECURITY
#define SCM_SECURITY	3
#endif

#define SMACKFS		"/sys/fs/smackfs"

/* What @subject may do to @object from now on: "w" or "-" */
static void rule(struct __test_metadata *_metadata, const char *subject,
		 const char *object, const char *access)
{
	char text[128];

	snprintf(text, sizeof(text), "%s %s %s", subject, object, access);
	ASSERT_EQ(0, write_file(SMACKFS, "load2", text));
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
	ASSERT_EQ(0, write_file("/proc/self/attr/smack", "current", label));
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
	char buf[64] = "";
	socklen_t len = sizeof(buf);

	EXPECT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_PEERSEC, buf, &len));
	EXPECT_STREQ(label, buf);
}

/* Receive @text; @label is what SCM_SECURITY says, or NULL if there is none */
static void expect_label(struct __test_metadata *_metadata, int fd,
			 const char *text, const char *label)
{
	struct got got;
	char *told = expect_cmsg(_metadata, fd, text, 0, &got, SCM_SECURITY, 1);

	EXPECT_STREQ(label ?: "none", told ?: "none");
}

/* Connections */

TEST_F(type, connect_takes_both_directions)
{
	static const int err[] = { 0, EINPROGRESS, EACCES };
	int listener, client[3], fd, sockets, i;
	__u32 channel;

	become(_metadata, "MyB");
	listener = my_listener(_metadata, 0, &channel);
	set_nonblock(_metadata, listener);
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

	/* A connection stays, whatever becomes of the rules, and accept()
	 * completes what has been allowed. The label is that of the listener,
	 * whatever the accepting process is. Until then nobody knows who will
	 * ask for labels: so that of what is sent is kept.
	 */
	rules(_metadata, "-");
	for (i = 0; i < 2; i++) {
		expect_peersec(_metadata, client[i], "MyB");
		expect_send(_metadata, client[i], "early");
		fd = my_accept(_metadata, listener);
		set_int_opt(_metadata, fd, SO_PASSSEC, 1);
		expect_label(_metadata, fd, "early", "MyA");
		expect_peersec(_metadata, fd, "MyA");
		expect_exchange(_metadata, client[i], fd);
		set_int_opt(_metadata, client[i], SO_PASSSEC, 1);
		expect_send(_metadata, fd, "back");
		expect_label(_metadata, client[i], "back", "MyB");
	}
	EXPECT_EQ(EAGAIN, err_of(accept(listener, NULL, NULL)));
	expect_peersec(_metadata, listener, "");
}

/* Messages */

/* fd[0] has the label A and no channel, fd[1] B. */
FIXTURE(dgram)
{
	struct link link;
	__u32 channel;
};

FIXTURE_SETUP(dgram)
{
	rules(_metadata, "-");
	become(_metadata, "MyB");
	self->link.made = BY_ADDRESS;
	self->link.fd[1] = type_bound(_metadata, SOCK_DGRAM, &self->channel);
	self->link.name[1] = my_addr(self->channel);
	become(_metadata, "MyA");
	self->link.fd[0] = type_socket(_metadata, SOCK_DGRAM);
}

FIXTURE_TEARDOWN(dgram)
{
}

/* Who is denied learns nothing else of the receiver: not that it is associated
 * with another one, that there is no room, nor how large its buffer is.
 */
TEST_F(dgram, connect_and_send)
{
	struct link *link = &self->link;
	int *fd = link->fd, size = get_int_opt(_metadata, fd[1], SO_RCVBUF) + 1;
	__u32 own;

	EXPECT_EQ(EACCES, err_of(my_connect(fd[0], self->channel)));
	rule(_metadata, "MyB", "MyA", "w"); /* which is the other direction */
	type_bound(_metadata, SOCK_DGRAM, &own);
	ASSERT_EQ(0, my_connect(fd[1], own));
	EXPECT_EQ(EACCES, err_of(my_connect(fd[0], self->channel)));
	ASSERT_EQ(0, my_dissolve(fd[1]));
	EXPECT_EQ(EACCES, link_try_send(link, 0));
	EXPECT_EQ(EACCES, err_of(link_send(link, 0, "", size, MSG_DONTWAIT)));
	expect_nothing(_metadata, fd[1]);
	EXPECT_EQ(0, poll_now(fd[0]) & (POLLERR | POLLHUP));

	/* The rules of now hold, not those of then. */
	rule(_metadata, "MyA", "MyB", "w");
	ASSERT_EQ(0, my_connect(fd[0], self->channel));
	expect_send(_metadata, fd[0], "2");
	rule(_metadata, "MyA", "MyB", "-");
	EXPECT_EQ(EACCES, try_send(fd[0]));
	expect_recv(_metadata, fd[1], "2");
	expect_nothing(_metadata, fd[1]);
	rule(_metadata, "MyA", "MyB", "w");
	link_fill(_metadata, link, 0, 1);
	rule(_metadata, "MyA", "MyB", "-");
	EXPECT_EQ(EACCES, link_try_send(link, 0));
}

/* The rules are checked again after a sender has waited, and if it is denied,
 * the next one is woken.
 */
TEST_F(dgram, send_waits)
{
	/* Longer messages take an skb. */
	static const int sizes[] = { 4, 40000 };
	struct link *link = &self->link;
	int fd = link->fd[1], i, j, len;
	static char buf[40000];
	pid_t pid[2];

	for (i = 0; i < 2; i++) {
		rule(_metadata, "MyA", "MyB", "w");
		rule(_metadata, "MyC", "MyB", "w");
		link_fill(_metadata, link, 0, 1);
		for (j = 0; j < 2; j++) {
			/* That of the child would hide its state from us. */
			become(_metadata, j ? "MyC" : "MyA");
			link->fd[0] = type_socket(_metadata, SOCK_DGRAM);
			become(_metadata, "MyA");
			pid[j] = sleeping_child(err_of(link_send(link, 0, buf,
								 sizes[i], 0)));
		}
		rule(_metadata, "MyA", "MyB", "-");
		EXPECT_EQ(1, recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
		EXPECT_EQ(EACCES, my_wait(pid[0]));
		EXPECT_EQ(0, my_wait(pid[1]));
		while ((len = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) == 1)
			;
		EXPECT_EQ(sizes[i], len);
		expect_nothing(_metadata, fd);
	}
}

/* They are checked after the copy, too, which can take long. */
TEST_F(dgram, copy_waits)
{
	struct worker sender = { .call = call_send, .fd = self->link.fd[0] };
	struct uffdio_zeropage zero = {};
	int fd = self->link.fd[1], uffd, i;

	rule(_metadata, "MyA", "MyB", "w");
	ASSERT_EQ(0, my_connect(sender.fd, self->channel));
	worker_start(_metadata, &sender);
	for (i = 0; i < 2; i++) {
		rule(_metadata, "MyA", "MyB", "w");
		/* With this option a message takes an skb. */
		set_int_opt(_metadata, fd, SO_RXQ_OVFL, i);
		uffd = absent_page(&zero.range);
		if (uffd < 0)
			SKIP(return, "userfaultfd(): %s", strerror(errno));
		sender.buf = (char *)(uintptr_t)zero.range.start;
		sender.len = zero.range.len;
		worker_tell(&sender);
		ASSERT_EQ(POLLIN, poll_for(uffd, POLLIN, WAIT_MS));
		rule(_metadata, "MyA", "MyB", "-");
		ASSERT_EQ(0, ioctl(uffd, UFFDIO_ZEROPAGE, &zero));
		ASSERT_TRUE(worker_finish(&sender));
		EXPECT_EQ(EACCES, sender.err);
		expect_nothing(_metadata, fd);
	}
}

/* Labels of data. The fixture's sockets have the label of the program. */

TEST_F(any, label)
{
	struct ucred cred = { getpid(), getuid(), getgid() };
	int fd = self->link.fd[1], pair[2], i;
	struct link *link = &self->link;

	/* A socket has a label, and not who uses it. */
	become(_metadata, "MyC");
	my_type = variant->type;
	my_socketpair(_metadata, pair);
	for (i = 0; i < 2; i++)
		expect_peersec(_metadata, pair[i], "MyC");
	relabel(_metadata, link->fd[0], "MyA");
	rule(_metadata, "MyA", "_", "w");
	/* What was sent when nobody asked for the label has none. */
	link_expect_send(_metadata, link, 0, "x");
	set_int_opt(_metadata, fd, SO_PASSSEC, 1);
	EXPECT_EQ(1, get_int_opt(_metadata, fd, SO_PASSSEC));
	expect_label(_metadata, fd, "x", NULL);
	link_expect_send(_metadata, link, 0, "x");
	expect_label(_metadata, fd, "x", "MyA");

	/* Whatever a sender says of itself */
	become(_metadata, "_");
	EXPECT_EQ(1, send_cmsg(link, "4", SOL_SOCKET, SCM_CREDENTIALS, &cred,
			       sizeof(cred)));
	expect_label(_metadata, fd, "4", "MyA");
	if (variant->type != SOCK_STREAM)
		return;

	/* A read does not join what has different labels, if it tells them. */
	for (i = 0; i < 4; i++) {
		relabel(_metadata, link->fd[0], i % 3 ? "MyC" : "MyA");
		link_expect_send(_metadata, link, 0, "a");
	}
	expect_label(_metadata, fd, "a", "MyA");
	expect_label(_metadata, fd, "aa", "MyC");
	expect_label(_metadata, fd, "a", "MyA");
	expect_nothing(_metadata, fd);
}

int main(int argc, char **argv)
{
	if (access(SMACKFS, F_OK))
		ksft_exit_skip("Smack is not active: boot with lsm=smack\n");
	/* For whoever has this capability all is allowed. */
	if (my_private_mounts() ||
	    mount("smackfs", SMACKFS, "smackfs", 0, NULL) ||
	    my_drop_cap(CAP_MAC_OVERRIDE))
		ksft_exit_fail_msg("cannot set Smack up: %s\n",
				   strerror(errno));
	return test_harness_run(argc, argv);
}

/* Nor that it takes no files */
TEST_F(dgram, denied_descriptor)
{
	EXPECT_EQ(EACCES, err_of(send_cmsg(&self->link, "x", SOL_SOCKET,
					   SCM_RIGHTS, &(int) { 0 },
					   sizeof(int))));
}
