// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO in /proc: /proc/net/myproto, which has a line for each socket, and
 * /proc/PID/fdinfo.
 */
#include <netinet/tcp.h>

#include "link.h"
#include "many.h"
#include "type.h"

#define PROC_FILE	"/proc/net/myproto"

#define HEADER		"Type St Channel    Peer       RecvQ      " \
			"SendQ      Memory     Drops      Uid        Inode\n"

FIXTURE_VARIANT_ADD(type, dgram) { SOCK_DGRAM };

/* A line */
struct entry {
	unsigned int type, state, channel, peer, rqueue, wqueue;
	int memory;
	unsigned int drops, uid;
	unsigned long long ino;
};

static bool entry_parse(const char *line, struct entry *entry)
{
	int end = 0;

	return sscanf(line, "%u %2X %u %u %u %u %d %u %u %llu%n",
		      &entry->type, &entry->state, &entry->channel,
		      &entry->peer, &entry->rqueue, &entry->wqueue,
		      &entry->memory, &entry->drops, &entry->uid, &entry->ino,
		      &end) == 10 && line[end] == '\n';
}

#define ALL	-1

/* How many lines there are with this inode, which is 0 for connections that
 * wait for accept(); the last of them is stored in @entry
 */
static int count_lines(struct __test_metadata *_metadata, long long ino,
		       struct entry *entry)
{
	FILE *f = fopen(PROC_FILE, "r");
	struct entry next;
	char line[256];
	int count = 0;

	ASSERT_NE(NULL, f);
	ASSERT_NE(NULL, fgets(line, sizeof(line), f));
	EXPECT_STREQ(HEADER, line);
	while (fgets(line, sizeof(line), f)) {
		ASSERT_TRUE(entry_parse(line, &next))
			TH_LOG("%s", line);
		if (ino != ALL && ino != next.ino)
			continue;
		*entry = next;
		count++;
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

/* Both files show this, and nothing in the queues. */
static void expect_shown(struct __test_metadata *_metadata, int fd,
			 unsigned int state, __u32 channel, __u32 peer)
{
	struct entry entry = proc_entry(_metadata, fd);

	EXPECT_EQ(my_type, entry.type);
	EXPECT_EQ(state, entry.state);
	EXPECT_EQ(channel, entry.channel);
	EXPECT_EQ(peer, entry.peer);
	EXPECT_EQ(0, entry.rqueue);
	EXPECT_EQ(0, entry.wqueue);
	EXPECT_EQ(0, entry.memory);
	EXPECT_EQ(0, entry.drops);
	EXPECT_EQ(geteuid(), entry.uid);
	EXPECT_EQ(channel, fdinfo_number(fd, "myproto-channel:\t"));
	EXPECT_EQ(peer, fdinfo_number(fd, "myproto-peer:\t"));
}

TEST_F(type, shows_socket)
{
	int fd = my_socket(_metadata), pair[2], i;
	__u64 ino = inode(_metadata, fd);
	struct entry entry;

	expect_shown(_metadata, fd, TCP_CLOSE, 0, 0);
	ASSERT_EQ(0, my_bind(fd, 0xfffffff0));
	expect_shown(_metadata, fd, TCP_CLOSE, 0xfffffff0, 0);
	close(fd);
	EXPECT_EQ(0, count_lines(_metadata, ino, &entry));

	my_socketpair(_metadata, pair);
	for (i = 0; i < 2; i++)
		expect_shown(_metadata, pair[i], TCP_ESTABLISHED, 0, 0);
	my_connection(_metadata, pair);
	for (i = 0; i < 2; i++) {
		EXPECT_NE(0, my_peer(_metadata, pair[i]));
		expect_shown(_metadata, pair[i], TCP_ESTABLISHED,
			     my_channel(_metadata, pair[i]),
			     my_peer(_metadata, pair[i]));
	}
}

TEST_F(type, shows_queues_and_drops)
{
	struct entry entry[2];
	char buf[1000] = "";
	int fd[2], i;

	my_connection(_metadata, fd);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(1000, send(fd[0], buf, sizeof(buf), 0));
	for (i = 0; i < 2; i++)
		entry[i] = proc_entry(_metadata, fd[i]);
	EXPECT_EQ(3000, entry[1].rqueue);
	EXPECT_EQ(0, entry[1].wqueue);
	EXPECT_LE(3000, entry[1].memory);
	EXPECT_EQ(mem_charged(_metadata, fd[1]), entry[1].memory);
	EXPECT_EQ(0, entry[0].rqueue);
	EXPECT_EQ(my_type == SOCK_DGRAM ? 0 : 3000, entry[0].wqueue);
	EXPECT_EQ(0, entry[0].memory);
	ASSERT_EQ(1000, recv(fd[1], buf, sizeof(buf), 0));
	EXPECT_EQ(2000, proc_entry(_metadata, fd[1]).rqueue);

	/* For a stream it does not run. */
	ASSERT_EQ(0, my_filter(fd[1], 0));
	for (i = 0; i < 3; i++)
		expect_send(_metadata, fd[0], "abc");
	EXPECT_EQ(my_type == SOCK_STREAM ? 0 : 3,
		  proc_entry(_metadata, fd[1]).drops);
	EXPECT_EQ(0, proc_entry(_metadata, fd[0]).drops);
}

TEST_F(type, shows_listener)
{
	struct entry entry;
	int fd, client;
	__u32 channel;
	pid_t pid;

	if (my_type == SOCK_DGRAM)
		return;
	ASSERT_LE(0, my_netns());
	fd = my_listener(_metadata, 1, &channel);
	entry = proc_entry(_metadata, fd);
	EXPECT_EQ(TCP_LISTEN, entry.state);
	EXPECT_EQ(channel, entry.channel);
	EXPECT_EQ(0, entry.rqueue);
	EXPECT_EQ(1, entry.wqueue);
	EXPECT_EQ(0, count_lines(_metadata, 0, &entry));

	my_client(_metadata, channel);
	client = my_client(_metadata, channel);
	expect_send(_metadata, client, "abc");
	EXPECT_EQ(2, proc_entry(_metadata, fd).rqueue);
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

	client = my_accept(_metadata, fd);
	/* One is left in the backlog. */
	EXPECT_EQ(1, count_lines(_metadata, 0, &entry));
	EXPECT_EQ(3, proc_entry(_metadata, client).rqueue);
}

TEST_F(type, other_netns)
{
	struct entry entry;
	int fd[2], i;

	ASSERT_LE(0, my_netns());
	EXPECT_EQ(0, count_lines(_metadata, ALL, &entry));
	my_socketpair(_metadata, fd);
	my_connection(_metadata, fd);
	EXPECT_EQ(4, count_lines(_metadata, ALL, &entry));

	ASSERT_LE(0, my_netns());
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, count_lines(_metadata, inode(_metadata, fd[i]),
					 &entry));
	my_socket(_metadata);
	EXPECT_EQ(1, count_lines(_metadata, ALL, &entry));
}

TEST(shows_uid)
{
	int fd, ret;

	if (seteuid(1234))
		SKIP(return, "to become another user needs root");
	fd = my_socket(_metadata);
	ASSERT_EQ(0, seteuid(0));
	EXPECT_EQ(1234, proc_entry(_metadata, fd).uid);

	/* Who does not know the user sees the overflow ID. */
	ret = in_child(unshare(CLONE_NEWUSER) ? KSFT_SKIP :
		       proc_entry(_metadata, fd).uid != 65534);
	if (ret == KSFT_SKIP)
		SKIP(return, "no user namespace may be made");
	EXPECT_EQ(0, ret);
}

/* Reads from the beginning again, and from somewhere in between */
TEST(read_again)
{
	char first[8192], again[8192];
	ssize_t len;
	int fd, i;

	ASSERT_LE(0, my_netns());
	for (i = 0; i < 50; i++)
		my_socket(_metadata);
	fd = open(PROC_FILE, O_RDONLY);
	ASSERT_LE(0, fd);
	len = read(fd, first, sizeof(first));
	ASSERT_LT(2000, len);
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	ASSERT_EQ(len, read(fd, again, sizeof(again)));
	EXPECT_EQ(0, memcmp(first, again, len));
	ASSERT_EQ(1500, pread(fd, again, 1500, 500));
	EXPECT_EQ(0, memcmp(first + 500, again, 1500));
}

/* Sockets come and go. Each read ends after a line or two, and the next goes on
 * from there.
 */
TEST_F(many, each_once)
{
	struct entry entry;
	char buf[128], io[100];
	int round;
	FILE *f;

	for (round = 0; round < 3; round++) {
		f = fopen(PROC_FILE, "r");
		ASSERT_NE(NULL, f);
		/* Without a buffer the C library ignores the size. */
		setvbuf(f, io, _IOFBF, sizeof(io));
		ASSERT_NE(NULL, fgets(buf, sizeof(buf), f));
		while (fgets(buf, sizeof(buf), f)) {
			ASSERT_TRUE(entry_parse(buf, &entry))
				TH_LOG("%s", buf);
			lasting_shown(&self->lasting, entry.ino);
		}
		fclose(f);
		expect_each_once(_metadata, &self->lasting);
	}
}

int main(int argc, char **argv)
{
	if (access(PROC_FILE, F_OK) && access("/proc/net", F_OK))
		ksft_exit_skip("no /proc: CONFIG_PROC_FS not set?\n");
	return test_harness_run(argc, argv);
}
