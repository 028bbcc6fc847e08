// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO in /proc: /proc/net/myproto, which has a line for each socket, and
 * /proc/PID/fdinfo.
 */
#include <linux/filter.h>
#include <netinet/tcp.h>

#include "link.h"
#include "many.h"
#include "type.h"

#define PROC_FILE	"/proc/net/myproto"

#define HEADER		"Type St Channel    Peer       RecvQ      " \
			"SendQ      Memory     Drops      Uid        Inode\n"

FIXTURE_VARIANT_ADD(type, dgram)
{
	.type = SOCK_DGRAM,
};

/* Types that listen */
FIXTURE(listen) {};

FIXTURE_VARIANT(listen)
{
	int type;
};

FIXTURE_VARIANT_ADD(listen, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(listen, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_SETUP(listen)
{
	my_type = variant->type;
}

FIXTURE_TEARDOWN(listen)
{
}

/* Types that can drop what they are sent */
FIXTURE(message) {};

FIXTURE_VARIANT(message)
{
	int type;
};

FIXTURE_VARIANT_ADD(message, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(message, dgram)
{
	.type = SOCK_DGRAM,
};

FIXTURE_SETUP(message)
{
	my_type = variant->type;
}

FIXTURE_TEARDOWN(message)
{
}

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

/* Calls @seen for each line after the header; tells how many there were */
static int proc_read(struct __test_metadata *_metadata,
		     bool (*seen)(const struct entry *entry, void *data),
		     void *data)
{
	FILE *f = fopen(PROC_FILE, "r");
	struct entry entry;
	char line[256];
	int count = 0;

	ASSERT_NE(NULL, f);
	ASSERT_NE(NULL, fgets(line, sizeof(line), f));
	EXPECT_STREQ(HEADER, line);
	while (fgets(line, sizeof(line), f)) {
		ASSERT_TRUE(entry_parse(line, &entry))
			TH_LOG("%s", line);
		count += seen(&entry, data);
	}
	fclose(f);
	return count;
}

static bool has_inode(const struct entry *entry, void *data)
{
	struct entry *wanted = data;

	if (entry->ino != wanted->ino)
		return false;
	*wanted = *entry;
	return true;
}

/* How many lines there are of @fd; the last of them is stored in @entry */
static int proc_lines(struct __test_metadata *_metadata, int fd,
		      struct entry *entry)
{
	*entry = (struct entry) { .ino = inode(_metadata, fd) };
	return proc_read(_metadata, has_inode, entry);
}

static struct entry proc_entry(struct __test_metadata *_metadata, int fd)
{
	struct entry entry;

	ASSERT_EQ(1, proc_lines(_metadata, fd, &entry));
	return entry;
}

/* Where to count lines: no test before has left sockets there. */
static void new_netns(struct __test_metadata *_metadata)
{
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
}

TEST_F(type, shows_unbound)
{
	int fd = my_socket(_metadata);
	struct entry entry = proc_entry(_metadata, fd);

	EXPECT_EQ(variant->type, entry.type);
	EXPECT_EQ(TCP_CLOSE, entry.state);
	EXPECT_EQ(0, entry.channel);
	EXPECT_EQ(0, entry.peer);
	EXPECT_EQ(0, entry.rqueue);
	EXPECT_EQ(0, entry.wqueue);
	EXPECT_EQ(0, entry.memory);
	EXPECT_EQ(0, entry.drops);
	EXPECT_EQ(geteuid(), entry.uid);
}

TEST_F(type, shows_bound)
{
	int fd = my_bound_socket(_metadata, 5000);
	struct entry entry = proc_entry(_metadata, fd);

	EXPECT_EQ(TCP_CLOSE, entry.state);
	EXPECT_EQ(5000, entry.channel);
	EXPECT_EQ(0, entry.peer);
}

TEST_F(type, closed_is_gone)
{
	int fd = my_bound_socket(_metadata, 5000);
	struct entry entry = { .ino = inode(_metadata, fd) };

	close(fd);
	EXPECT_EQ(0, proc_read(_metadata, has_inode, &entry));
}

TEST_F(type, shows_connection)
{
	struct entry entry[2];
	int fd[2], i;

	my_connection(_metadata, fd);
	for (i = 0; i < 2; i++)
		entry[i] = proc_entry(_metadata, fd[i]);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(TCP_ESTABLISHED, entry[i].state);
		EXPECT_EQ(my_channel(_metadata, fd[i]), entry[i].channel);
		EXPECT_EQ(my_peer(_metadata, fd[i]), entry[i].peer);
		EXPECT_NE(0, entry[i].peer);
	}
}

TEST_F(type, shows_pair)
{
	struct entry entry;
	int fd[2], i;

	my_socketpair(_metadata, fd);
	for (i = 0; i < 2; i++) {
		entry = proc_entry(_metadata, fd[i]);
		EXPECT_EQ(variant->type, entry.type);
		EXPECT_EQ(TCP_ESTABLISHED, entry.state);
		EXPECT_EQ(0, entry.channel);
		EXPECT_EQ(0, entry.peer);
	}
}

TEST_F(type, shows_queues)
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
	EXPECT_EQ(variant->type == SOCK_DGRAM ? 0 : 3000, entry[0].wqueue);
	EXPECT_EQ(0, entry[0].memory);

	ASSERT_EQ(1000, recv(fd[1], buf, sizeof(buf), 0));
	EXPECT_EQ(2000, proc_entry(_metadata, fd[1]).rqueue);
}

TEST_F(message, shows_drops)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog prog = { .len = 1, .filter = &drop };
	int fd[2], i;

	my_connection(_metadata, fd);
	ASSERT_EQ(0, setsockopt(fd[1], SOL_SOCKET, SO_ATTACH_FILTER, &prog,
				sizeof(prog)));
	for (i = 0; i < 3; i++)
		expect_send(_metadata, fd[0], "abc");
	EXPECT_EQ(3, proc_entry(_metadata, fd[1]).drops);
	EXPECT_EQ(0, proc_entry(_metadata, fd[0]).drops);
}

/* Connections that wait for accept() have no inode. */
static bool waits(const struct entry *entry, void *data)
{
	struct entry *last = data;

	if (entry->ino)
		return false;
	*last = *entry;
	return true;
}

TEST_F(listen, shows_listener)
{
	struct entry entry;
	int fd, client;
	__u32 channel;

	new_netns(_metadata);
	fd = my_listener(_metadata, 7, &channel);
	entry = proc_entry(_metadata, fd);
	EXPECT_EQ(TCP_LISTEN, entry.state);
	EXPECT_EQ(channel, entry.channel);
	EXPECT_EQ(0, entry.rqueue);
	EXPECT_EQ(7, entry.wqueue);
	EXPECT_EQ(0, proc_read(_metadata, waits, &entry));

	my_client(_metadata, channel);
	client = my_client(_metadata, channel);
	expect_send(_metadata, client, "abc");
	EXPECT_EQ(2, proc_entry(_metadata, fd).rqueue);
	EXPECT_EQ(2, proc_read(_metadata, waits, &entry));
	EXPECT_EQ(variant->type, entry.type);
	EXPECT_EQ(TCP_ESTABLISHED, entry.state);
	EXPECT_EQ(channel, entry.channel);

	ASSERT_LE(0, accept(fd, NULL, NULL));
	client = accept(fd, NULL, NULL);
	ASSERT_LE(0, client);
	EXPECT_EQ(0, proc_read(_metadata, waits, &entry));
	EXPECT_EQ(3, proc_entry(_metadata, client).rqueue);
}

/* The other end that connect() has made, but not yet connected, is not seen. */
TEST_F(listen, connect_that_waits)
{
	struct entry entry;
	__u32 channel;
	pid_t pid;
	int fd;

	new_netns(_metadata);
	fd = my_listener(_metadata, 0, &channel);
	my_client(_metadata, channel);
	pid = my_fork(_metadata);
	if (!pid) {
		my_client(_metadata, channel);
		_exit(0);
	}
	ASSERT_TRUE(wait_asleep(pid));
	EXPECT_EQ(1, proc_read(_metadata, waits, &entry));
	ASSERT_LE(0, accept(fd, NULL, NULL));
	EXPECT_EQ(0, my_wait(pid));
	EXPECT_EQ(1, proc_read(_metadata, waits, &entry));
}

static bool any(const struct entry *entry, void *data)
{
	return true;
}

TEST_F(type, other_netns)
{
	struct entry entry;
	int fd[2], i;

	new_netns(_metadata);
	EXPECT_EQ(0, proc_read(_metadata, any, NULL));
	my_socketpair(_metadata, fd);
	my_connection(_metadata, fd);
	EXPECT_EQ(4, proc_read(_metadata, any, NULL));

	new_netns(_metadata);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, proc_lines(_metadata, fd[i], &entry));
	my_socket(_metadata);
	EXPECT_EQ(1, proc_read(_metadata, any, NULL));
}

TEST(shows_uid)
{
	struct entry entry;
	pid_t pid;
	int fd, ret;

	if (seteuid(1234))
		SKIP(return, "to become another user needs root");
	fd = my_socket(_metadata);
	ASSERT_EQ(0, seteuid(0));
	EXPECT_EQ(1234, proc_entry(_metadata, fd).uid);

	/* Who does not know the user sees the overflow ID. */
	pid = my_fork(_metadata);
	if (!pid) {
		if (unshare(CLONE_NEWUSER))
			_exit(KSFT_SKIP);
		EXPECT_EQ(1, proc_lines(_metadata, fd, &entry));
		EXPECT_EQ(65534, entry.uid);
		_exit(_metadata->exit_code);
	}
	ret = my_wait(pid);
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

	new_netns(_metadata);
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
		while (fgets(buf, sizeof(buf), f)) {
			if (!strcmp(buf, HEADER))
				continue;
			ASSERT_TRUE(entry_parse(buf, &entry))
				TH_LOG("%s", buf);
			lasting_shown(&self->lasting, entry.ino);
		}
		fclose(f);
		expect_each_once(_metadata, &self->lasting);
	}
}

/* fdinfo */

/* The number after @name in the fdinfo of @fd, -1 if it is not there */
static __s64 fdinfo_get(struct __test_metadata *_metadata, int fd,
			const char *name)
{
	char path[64], line[128];
	size_t len = strlen(name);
	__s64 value = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len) && !strncmp(line + len, ":\t", 2))
			value = strtoull(line + len + 2, NULL, 10);
	fclose(f);
	return value;
}

TEST_F(type, fdinfo)
{
	int fd[2], i;

	fd[0] = my_socket(_metadata);
	EXPECT_EQ(0, fdinfo_get(_metadata, fd[0], "myproto-channel"));
	EXPECT_EQ(0, fdinfo_get(_metadata, fd[0], "myproto-peer"));
	ASSERT_EQ(0, my_bind(fd[0], 0xfffffff0));
	EXPECT_EQ(0xfffffff0, fdinfo_get(_metadata, fd[0], "myproto-channel"));
	EXPECT_EQ(0, fdinfo_get(_metadata, fd[0], "myproto-peer"));

	my_connection(_metadata, fd);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(my_channel(_metadata, fd[i]),
			  fdinfo_get(_metadata, fd[i], "myproto-channel"));
		EXPECT_EQ(my_peer(_metadata, fd[i]),
			  fdinfo_get(_metadata, fd[i], "myproto-peer"));
	}

	my_socketpair(_metadata, fd);
	EXPECT_EQ(0, fdinfo_get(_metadata, fd[0], "myproto-channel"));
	EXPECT_EQ(0, fdinfo_get(_metadata, fd[0], "myproto-peer"));
}

int main(int argc, char **argv)
{
	/* It loads the module. */
	my_start();
	if (access(PROC_FILE, F_OK) && access("/proc/net", F_OK))
		ksft_exit_skip("no /proc: CONFIG_PROC_FS not set?\n");
	return test_harness_run(argc, argv);
}
