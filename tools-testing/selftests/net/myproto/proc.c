// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO in /proc: /proc/net/myproto, which has a line for each socket, and
 * /proc/PID/fdinfo.
 */
#include <netinet/tcp.h>

#include "link.h"
#include "many.h"
#include "type.h"

#define HEADER		"Type St Channel    Peer       RecvQ      " \
			"SendQ      Memory     Drops      Uid        Inode\n"

FIXTURE_VARIANT_ADD(type, dgram) { SOCK_DGRAM };

/* A line */
struct entry {
	unsigned int type, state, channel, peer, rqueue, wqueue, drops, uid;
	int memory;
	unsigned long long ino;
};

/* How many lines there are with this inode, which is 0 for connections that
 * wait for accept(); the last of them is stored in @entry
 */
static int count_lines(struct __test_metadata *_metadata, __u32 ino,
		       struct entry *entry)
{
	FILE *f = fopen("/proc/net/myproto", "r");
	char line[256], io[4096];
	int count = 0, end, n;
	struct entry e;

	ASSERT_NE(NULL, f);
	/* Of many, each read ends after a line or two, and the next goes on
	 * from there. Without a buffer the C library ignores the size.
	 */
	setvbuf(f, io, _IOFBF, many_ino[0] ? 100 : sizeof(io));
	ASSERT_NE(NULL, fgets(line, sizeof(line), f));
	EXPECT_STREQ(HEADER, line);
	while (fgets(line, sizeof(line), f)) {
		n = sscanf(line, "%u %2X %u %u %u %u %d %u %u %llu%n", &e.type,
			   &e.state, &e.channel, &e.peer, &e.rqueue, &e.wqueue,
			   &e.memory, &e.drops, &e.uid, &e.ino, &end);
		ASSERT_EQ(10, n)
			TH_LOG("%s", line);
		EXPECT_STREQ("\n", line + end);
		many_shown(e.ino);
		if (ino == e.ino) {
			*entry = e;
			count++;
		}
	}
	fclose(f);
	return count;
}

static struct entry proc_entry(struct __test_metadata *_metadata, int fd)
{
	struct entry entry;

	ASSERT_EQ(1, count_lines(_metadata, inode(_metadata, fd), &entry));
	return entry;
}

/* Both files show this, and no drops. */
static void expect_shown(struct __test_metadata *_metadata, int fd,
			 unsigned int state, __u32 channel, __u32 peer,
			 unsigned int rqueue, unsigned int wqueue)
{
	struct entry entry = proc_entry(_metadata, fd);

	EXPECT_EQ(my_type, entry.type);
	EXPECT_EQ(state, entry.state);
	EXPECT_EQ(channel, entry.channel);
	EXPECT_EQ(peer, entry.peer);
	EXPECT_EQ(rqueue, entry.rqueue);
	EXPECT_EQ(wqueue, entry.wqueue);
	EXPECT_EQ(mem_charged(_metadata, fd), entry.memory);
	EXPECT_EQ(0, entry.drops);
	EXPECT_EQ(channel, fdinfo_number(fd, "myproto-channel:\t"));
	EXPECT_EQ(peer, fdinfo_number(fd, "myproto-peer:\t"));
}

TEST_F(type, shows_socket)
{
	char buf[1000] = "";
	struct entry entry;
	__u32 channel[2];
	int fd[2], i;

	fd[0] = my_socket(_metadata);
	expect_shown(_metadata, fd[0], TCP_CLOSE, 0, 0, 0, 0);
	ASSERT_EQ(0, my_bind(fd[0], 0xfffffff0));
	expect_shown(_metadata, fd[0], TCP_CLOSE, 0xfffffff0, 0, 0, 0);
	my_socketpair(_metadata, fd);
	expect_shown(_metadata, fd[0], TCP_ESTABLISHED, 0, 0, 0, 0);

	my_connection(_metadata, fd);
	for (i = 0; i < 2; i++) {
		channel[i] = my_channel(_metadata, fd[i]);
		ASSERT_EQ(1000, send(fd[0], buf, sizeof(buf), 0));
	}
	expect_shown(_metadata, fd[0], TCP_ESTABLISHED, channel[0], channel[1],
		     0, my_type == SOCK_DGRAM ? 0 : 2000);
	expect_shown(_metadata, fd[1], TCP_ESTABLISHED, channel[1], channel[0],
		     2000, 0);
	EXPECT_LE(2000, mem_charged(_metadata, fd[1]));
	ASSERT_EQ(1000, recv(fd[1], buf, sizeof(buf), 0));
	EXPECT_EQ(1000, proc_entry(_metadata, fd[1]).rqueue);

	/* For a stream it does not run. */
	ASSERT_EQ(0, my_filter(fd[1], 0));
	expect_send(_metadata, fd[0], "abc");
	EXPECT_EQ(my_type != SOCK_STREAM,
		  proc_entry(_metadata, fd[1]).drops);

	/* Another network namespace has lines of its own. */
	ASSERT_LE(0, my_netns());
	EXPECT_EQ(0, count_lines(_metadata, inode(_metadata, fd[1]), &entry));
	proc_entry(_metadata, my_socket(_metadata));
}

TEST_F(type, shows_listener)
{
	struct entry entry;
	__u32 channel;
	pid_t pid;
	int fd;

	if (my_type == SOCK_DGRAM)
		return;
	fd = my_listener(_metadata, 1, &channel);
	my_client(_metadata, channel);
	expect_send(_metadata, my_client(_metadata, channel), "abc");
	expect_shown(_metadata, fd, TCP_LISTEN, channel, 0, 2, 1);
	EXPECT_EQ(2, count_lines(_metadata, 0, &entry));
	EXPECT_EQ(my_type, entry.type);
	EXPECT_EQ(TCP_ESTABLISHED, entry.state);
	EXPECT_EQ(channel, entry.channel);

	/* The end that a waiting connect() has made is not seen yet. */
	pid = sleeping_child(my_client(_metadata, channel) < 0);
	EXPECT_EQ(2, count_lines(_metadata, 0, &entry));
	my_accept(_metadata, fd);
	EXPECT_EQ(0, my_wait(pid));
	EXPECT_EQ(2, count_lines(_metadata, 0, &entry));
}

static __u32 shown_uid(struct __test_metadata *_metadata, int fd)
{
	return proc_entry(_metadata, fd).uid;
}

static void show_all(struct __test_metadata *_metadata)
{
	struct entry entry;

	count_lines(_metadata, 0, &entry);
}

TEST_HARNESS_MAIN
