// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO and memory: what senders can pin is bounded by the receiver's
 * SO_RCVBUF and is given back, all of it is accounted for to a cgroup, and
 * wherever an allocation fails, a call fails cleanly or does without it.
 */
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <linux/filter.h>
#include <linux/sockios.h>

#include "any.h"
#include "fault.h"

#define RCVBUF	20000

/* What is charged for a message like this, or for a write by itself */
static __u32 charge_of_one(struct __test_metadata *_metadata,
			   struct link *link, size_t len)
{
	char *buf = calloc(1, len + 1);
	__u32 charge;

	ASSERT_NE(NULL, buf);
	ASSERT_EQ((ssize_t)len, link_send(link, 0, buf, len, MSG_DONTWAIT));
	charge = mem_charged(_metadata, link->fd[1]);
	EXPECT_LE(len, charge);
	link_drain(_metadata, link, 1);
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
	free(buf);
	return charge;
}

/* The most that one more may be charged when there is nearly no room */
static __u32 most_of_one(__u32 charge, int type)
{
	/* A stream takes skbs of up to 64 KiB, and their heads. */
	return type == SOCK_STREAM ? 65536 + 8192 : charge;
}

static void fill_and_look(struct __test_metadata *_metadata,
			  struct link *link, size_t chunk, int rcvbuf)
{
	__u32 charge, full;
	size_t count;

	if (rcvbuf)
		set_int_opt(_metadata, link->fd[1], SO_RCVBUF, rcvbuf);
	rcvbuf = get_int_opt(_metadata, link->fd[1], SO_RCVBUF);
	charge = charge_of_one(_metadata, link, chunk);
	count = link_fill(_metadata, link, 0, chunk);
	full = mem_charged(_metadata, link->fd[1]);

	/* It is taken while there is room, and not after that. */
	EXPECT_LE((__u32)rcvbuf, full);
	EXPECT_GE(rcvbuf + most_of_one(charge, link->type), full);
	if (link->type == SOCK_STREAM) {
		EXPECT_LE((int)full, rcvbuf + 65536);
	} else {
		/* All are alike. */
		EXPECT_EQ(full, count * charge);
		EXPECT_EQ((rcvbuf + charge - 1) / charge, count);
	}
	link_drain(_metadata, link, 1);
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
}

/* In KiB */
static long slab(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	char line[128];
	long kib = -1;

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "SUnreclaim: %ld", &kib);
	if (f)
		fclose(f);
	return kib;
}

/* A sender whose pages are not there, one after the other, does not take more
 * memory than what is charged. What is freed KASAN keeps for a while.
 */
TEST_F(any, absent_pages)
{
	size_t page = getpagesize(), i, most = 45000;
	long before;
	char *map;

	set_int_opt(_metadata, self->link.fd[1], SO_RCVBUF, RCVBUF);
	map = mmap(NULL, most * page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	before = slab();
	ASSERT_LE(0, before);
	for (i = 0; i < most; i++)
		/* One that is there lets it expect more. */
		if (link_send(&self->link, 0, &page, 1, MSG_DONTWAIT) != 1 ||
		    link_send(&self->link, 0, map + i * page, 1,
			      MSG_DONTWAIT) != 1)
			break;
	EXPECT_GT(most, i);
	EXPECT_GT(before + 64 * 1024, slab());
	ASSERT_EQ(0, munmap(map, most * page));
}

TEST_F(any, bytes_one_by_one)
{
	fill_and_look(_metadata, &self->link, 1, RCVBUF);
}

TEST_F(any, small_ones)
{
	fill_and_look(_metadata, &self->link, 300, RCVBUF);
	fill_and_look(_metadata, &self->link, 1000, 1);
}

TEST_F(any, large_ones)
{
	fill_and_look(_metadata, &self->link, 5000, RCVBUF);
	fill_and_look(_metadata, &self->link, 40000, 100000);
}

TEST_F(any, default_rcvbuf)
{
	fill_and_look(_metadata, &self->link, 3000, 0);
}

TEST_F(any, two_directions)
{
	struct link *link = &self->link;

	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, RCVBUF);
	link_fill(_metadata, link, 0, 1000);
	EXPECT_LT(0U, mem_charged(_metadata, link->fd[1]));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[0]));
	link_fill(_metadata, link, 1, 1000);
	EXPECT_LT(0U, mem_charged(_metadata, link->fd[0]));
	link_drain(_metadata, link, 0);
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[0]));
}

TEST_F(any, peek_and_partial_reads)
{
	struct link *link = &self->link;
	char buf[3000] = "";
	int i;

	for (i = 0; i < 5; i++)
		ASSERT_EQ(3000, link_send(link, 0, buf, sizeof(buf), 0));
	EXPECT_EQ(1000, recv(link->fd[1], buf, 1000, MSG_PEEK));
	EXPECT_EQ(1000, recv(link->fd[1], buf, 1000, MSG_PEEK));
	EXPECT_LE(15000U, mem_charged(_metadata, link->fd[1]));
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(1000, recv(link->fd[1], buf, 1000, MSG_DONTWAIT));
		recv(link->fd[1], buf, 700, MSG_PEEK | MSG_DONTWAIT);
	}
	link_drain(_metadata, link, 1);
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
}

TEST_F(any, failed_sends_are_not_charged)
{
	struct link *link = &self->link;

	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, RCVBUF);
	EXPECT_EQ(EFAULT, err_of(link_send(link, 0, (void *)8, 100, 0)));
	EXPECT_EQ(EFAULT, err_of(link_send(link, 0, (void *)8, 9000, 0)));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
	ASSERT_EQ(0, shutdown(link->fd[1], SHUT_RD));
	EXPECT_EQ(EPIPE, link_try_send(link, 0));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
}

TEST_F(any, smaller_rcvbuf_keeps_what_is_queued)
{
	struct link *link = &self->link;
	size_t count, drained;

	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, RCVBUF);
	count = link_fill(_metadata, link, 0, 1000);
	set_int_opt(_metadata, link->fd[1], SO_RCVBUF, 1);
	EXPECT_EQ(EAGAIN, link_try_send(link, 0));
	drained = link_drain(_metadata, link, 1);
	if (variant->type != SOCK_STREAM)
		EXPECT_EQ(count, drained);
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
	EXPECT_EQ(0, link_try_send(link, 0));
}

/* All senders share the room that there is at the receiver. */
TEST(many_senders_one_receiver)
{
	__u32 channel, charge, full;
	struct sockaddr_my addr;
	int fd, rcvbuf, i, n;
	char buf[1000] = "";

	fd = type_bound(_metadata, SOCK_DGRAM, &channel);
	addr = my_addr(channel);
	rcvbuf = get_int_opt(_metadata, fd, SO_RCVBUF);
	charge = 0;
	for (i = 0; i < 100; i++) {
		int sender = type_socket(_metadata, SOCK_DGRAM);

		if (i % 2)
			ASSERT_EQ(0, my_connect(sender, channel));
		n = 0;
		while (sendto(sender, buf, sizeof(buf), MSG_DONTWAIT,
			      (struct sockaddr *)&addr, sizeof(addr)) > 0 &&
		       ++n < 10)
			;
		if (!charge)
			charge = mem_charged(_metadata, fd) / n;
	}
	full = mem_charged(_metadata, fd);
	EXPECT_LE((__u32)rcvbuf, full);
	EXPECT_GE(rcvbuf + charge, full);
}

/* Sockets are freed */

TEST_F(any, sockets_go)
{
	struct link link;
	int i;

	for (i = 0; i < 30; i++) {
		link_make(_metadata, &link, variant->type, variant->made);
		link_expect_send(_metadata, &link, 0, "unread");
		link_expect_send(_metadata, &link, 1, "unread");
		link_destroy(&link);
	}
	/* Those of the fixture */
	EXPECT_EQ(2, sockets_settle_at(2));
}

/* Who has associated with a closed socket does not keep it for ever. */
TEST(dgram_peers_go)
{
	int fd[10][2], i;
	__u32 channel;

	for (i = 0; i < 10; i++) {
		fd[i][1] = type_bound(_metadata, SOCK_DGRAM, &channel);
		fd[i][0] = type_socket(_metadata, SOCK_DGRAM);
		ASSERT_EQ(0, my_connect(fd[i][0], channel));
		expect_send(_metadata, fd[i][0], "unread");
		if (i % 2)
			ASSERT_EQ(0, my_dissolve(fd[i][0]));
	}
	for (i = 0; i < 10; i++)
		close(fd[i][1]);
	for (i = 0; i < 10; i++)
		close(fd[i][0]);
	EXPECT_EQ(0, sockets_settle_at(0));
}

TEST(never_accepted_go)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET };
	int listener, fd[5];
	__u32 channel;
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		listener = type_listener(_metadata, types[i], &channel);
		for (j = 0; j < ARRAY_SIZE(fd); j++) {
			fd[j] = type_socket(_metadata, types[i]);
			ASSERT_EQ(0, my_connect(fd[j], channel));
			expect_send(_metadata, fd[j], "unread");
		}
		close(listener);
		for (j = 0; j < ARRAY_SIZE(fd); j++)
			close(fd[j]);
		EXPECT_EQ(0, sockets_settle_at(0));
	}
}

/* Memory control groups */

#define CGROUP		"/sys/fs/cgroup"
#define GROUP_LINKS	12

FIXTURE(group)
{
	char path[80];
	bool enabled;	/* the memory controller, by this test */
	long total;	/* how much all links can queue */
	struct link link[GROUP_LINKS];
};

FIXTURE_VARIANT(group)
{
	int type;
	size_t chunk;
};

FIXTURE_VARIANT_ADD(group, stream)
{
	.type = SOCK_STREAM,
	.chunk = 16384,
};

FIXTURE_VARIANT_ADD(group, stream_small)
{
	.type = SOCK_STREAM,
	.chunk = 100,
};

FIXTURE_VARIANT_ADD(group, seqpacket)
{
	.type = SOCK_SEQPACKET,
	.chunk = 3000,
};

FIXTURE_VARIANT_ADD(group, dgram_large)
{
	.type = SOCK_DGRAM,
	.chunk = 100000,
};

static int write_file(const char *dir, const char *name, const char *text)
{
	char path[160];
	int fd, err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return errno;
	err = err_of(write(fd, text, strlen(text)));
	close(fd);
	return err;
}

/* The number in a file, -1 without one */
static long read_number(const char *dir, const char *name)
{
	char path[160];
	long val = -1;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	if (!f)
		return -1;
	if (fscanf(f, "%ld", &val) != 1)
		val = -1;
	fclose(f);
	return val;
}

static long group_usage(const char *path)
{
	return read_number(path, "memory.current");
}

/* Whether the root's children have a memory controller */
static bool memory_enabled(struct __test_metadata *_metadata)
{
	FILE *f = fopen(CGROUP "/cgroup.subtree_control", "r");
	char word[64] = "";

	ASSERT_NE(NULL, f);
	while (fscanf(f, "%63s", word) == 1 && strcmp(word, "memory"))
		;
	fclose(f);
	return !strcmp(word, "memory");
}

/* Remove the group and leave the root as it was */
static void group_undo(const char *path, bool enabled)
{
	if (path[0])
		rmdir(path);
	if (enabled)
		write_file(CGROUP, "cgroup.subtree_control", "-memory");
}

/*
 * Have the process and its sockets in a new group. It stays on one processor:
 * each may charge up to 64 pages in advance.
 */
FIXTURE_SETUP(group)
{
	cpu_set_t set;
	char pid[16];
	int i;

	for (i = 0; i < GROUP_LINKS; i++)
		memset(self->link[i].fd, -1, sizeof(self->link[i].fd));
	if (access(CGROUP "/cgroup.subtree_control", F_OK))
		SKIP(return, "no cgroup2");
	if (!memory_enabled(_metadata))
		self->enabled = !write_file(CGROUP, "cgroup.subtree_control",
					    "+memory");
	snprintf(self->path, sizeof(self->path), CGROUP "/myproto_test.%d",
		 getpid());
	if (mkdir(self->path, 0700))
		self->path[0] = 0;
	if (group_usage(self->path) < 0) {
		group_undo(self->path, self->enabled);
		SKIP(return, "no memory controller");
	}

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	EXPECT_EQ(0, sched_setaffinity(0, sizeof(set), &set));
	snprintf(pid, sizeof(pid), "%d", getpid());
	EXPECT_EQ(0, write_file(self->path, "cgroup.procs", pid));
	self->total = 32 * 64 * sysconf(_SC_PAGESIZE);
}

/* The sockets have gone with the process. */
FIXTURE_TEARDOWN_PARENT(group)
{
	group_undo(self->path, self->enabled);
}

static void group_link(struct __test_metadata *_metadata, struct link *link,
		       int type, long rcvbuf)
{
	link_make(_metadata, link, type, BY_PAIR);
	/* The kernel doubles it. */
	set_int_opt(_metadata, link->fd[1], SO_RCVBUFFORCE, rcvbuf / 2);
}

/* Wait until no more than @limit is used; tells what is */
static long settled_usage(const char *path, long limit)
{
	long end = now_ms() + WAIT_MS, usage;

	while ((usage = group_usage(path)) > limit && now_ms() < end)
		usleep(20000);
	return usage;
}

TEST_F(group, usage_rises_and_falls)
{
	long before, queued = 0, charged = 0, used;
	size_t count;
	int i;

	for (i = 0; i < GROUP_LINKS; i++)
		group_link(_metadata, &self->link[i], variant->type,
			   self->total / GROUP_LINKS);
	/* So that what comes into being with the first use is there */
	for (i = 0; i < GROUP_LINKS; i++) {
		link_expect_send(_metadata, &self->link[i], 0, "abc");
		expect_recv(_metadata, self->link[i].fd[1], "abc");
	}
	before = group_usage(self->path);

	for (i = 0; i < GROUP_LINKS; i++) {
		count = link_fill(_metadata, &self->link[i], 0,
				  variant->chunk);
		queued += count * variant->chunk;
		charged += mem_charged(_metadata, self->link[i].fd[1]);
	}
	/* The last send() of each stream was not taken whole. */
	queued -= GROUP_LINKS * variant->chunk;
	EXPECT_LT(self->total / 4, queued);

	used = group_usage(self->path) - before;
	EXPECT_LT(queued / 4 * 3, used)
		TH_LOG("%ld queued", queued);
	/*
	 * What is pinned is not much more than what is charged: debug options
	 * make each object larger.
	 */
	EXPECT_GT(3 * charged, used)
		TH_LOG("%ld charged", charged);

	for (i = 0; i < GROUP_LINKS; i++)
		link_drain(_metadata, &self->link[i], 1);
	EXPECT_GT(before + used / 2,
		  settled_usage(self->path, before + used / 2));
}

TEST_F(group, close_gives_back)
{
	long before = group_usage(self->path), used;
	int i;

	for (i = 0; i < GROUP_LINKS; i++) {
		group_link(_metadata, &self->link[i], variant->type,
			   self->total / GROUP_LINKS);
		link_fill(_metadata, &self->link[i], 0, variant->chunk);
	}
	used = group_usage(self->path) - before;
	EXPECT_LT(self->total / 4, used);
	for (i = 0; i < GROUP_LINKS; i++)
		link_destroy(&self->link[i]);
	EXPECT_GT(before + used / 2,
		  settled_usage(self->path, before + used / 2));
}

/*
 * Failing allocations: each call is made again and again, and the first, the
 * second, the third ... allocation in it fails, until there are no more.
 */

#define MAX_NTH		300

FIXTURE(fault)
{
	struct fault fault;
};

FIXTURE_VARIANT(fault)
{
	int type;
};

FIXTURE_VARIANT_ADD(fault, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(fault, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(fault, dgram)
{
	.type = SOCK_DGRAM,
};

FIXTURE_SETUP(fault)
{
	fault_init(_metadata, &self->fault);
}

FIXTURE_TEARDOWN_PARENT(fault)
{
	fault_exit(&self->fault);
}

/* What a round of the walk has to do with */
struct round {
	struct link link;
	__u32 channel;
	int type;
	int fd;		/* a socket for the call, and what it gives */
	int new[2];
	int pipe[2];
	int file;
	char *buf;
};

#define LARGE	100000

/* What is made before the call, and is not to fail */
static void round_start(struct __test_metadata *_metadata,
			struct round *round, int type)
{
	*round = (struct round) {
		.type = type,
		.new = { -1, -1 },
		.buf = calloc(1, LARGE),
	};
	ASSERT_NE(NULL, round->buf);
	link_make(_metadata, &round->link, type, BY_CONNECT);
	round->fd = type_socket(_metadata, type);
	ASSERT_EQ(0, pipe(round->pipe));
	round->file = memfd_create("fault", 0);
	ASSERT_EQ(LARGE, write(round->file, round->buf, LARGE));
	ASSERT_EQ(0, lseek(round->file, 0, SEEK_SET));
}

/* The sockets still work; then nothing is left. */
static void round_end(struct __test_metadata *_metadata, struct round *round)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (round->link.fd[i] < 0 || round->link.fd[!i] < 0)
			continue;
		my_drain(_metadata, round->link.fd[i]);
		EXPECT_EQ(0U, mem_charged(_metadata, round->link.fd[i]));
		link_expect_send(_metadata, &round->link, !i, "abc");
		expect_recv(_metadata, round->link.fd[i], "abc");
	}
	link_destroy(&round->link);
	close(round->fd);
	for (i = 0; i < 2; i++) {
		close(round->new[i]);
		close(round->pipe[i]);
	}
	close(round->file);
	free(round->buf);
}

typedef long (*call_t)(struct round *round);

/*
 * @start prepares each round and may be NULL. ENFILE is what the socket layer
 * says when it has no inode.
 */
static void walk(struct __test_metadata *_metadata, struct fault *fault,
		 int type, call_t start, call_t call)
{
	bool unused = false;
	struct round round;
	long ret;
	int n, err;

	for (n = 1; n < MAX_NTH && !unused; n++) {
		round_start(_metadata, &round, type);
		if (start)
			ASSERT_LE(0, start(&round))
				TH_LOG("%s", strerror(errno));
		fault_arm(fault, n);
		ret = call(&round);
		err = err_of(ret);
		unused = fault_unused(fault);
		EXPECT_TRUE(!err || err == ENOMEM || err == ENOBUFS ||
			    err == ENFILE)
			TH_LOG("allocation %d: %s", n, strerror(err));
		/* Without a fault there is no reason to fail. */
		if (unused)
			EXPECT_EQ(0, err);
		round_end(_metadata, &round);
	}
	EXPECT_TRUE(unused);
	TH_LOG("%d allocations", n - 2);
}

static void expect_no_leak(struct __test_metadata *_metadata)
{
	EXPECT_EQ(0, sockets_settle_at(0));
}

static long call_socket(struct round *round)
{
	round->new[0] = socket(AF_MYPROTO, round->type, 0);
	return round->new[0];
}

static long call_socketpair(struct round *round)
{
	return socketpair(AF_MYPROTO, round->type, 0, round->new);
}

TEST_F(fault, socket)
{
	walk(_metadata, &self->fault, variant->type, NULL, call_socket);
	expect_no_leak(_metadata);
}

TEST_F(fault, socketpair)
{
	walk(_metadata, &self->fault, variant->type, NULL, call_socketpair);
	expect_no_leak(_metadata);
}

static long call_bind(struct round *round)
{
	return my_bind(round->fd, MYPROTO_CHANNEL_ANY);
}

static long call_bind_fixed(struct round *round)
{
	return my_bind(round->fd, 54321);
}

TEST_F(fault, bind)
{
	walk(_metadata, &self->fault, variant->type, NULL, call_bind);
	walk(_metadata, &self->fault, variant->type, NULL, call_bind_fixed);
	expect_no_leak(_metadata);
}

static long call_listen(struct round *round)
{
	return listen(round->fd, 5);
}

/* A second socket to connect to, in new[1] */
static long start_target(struct round *round)
{
	struct sockaddr_my addr;
	socklen_t len = sizeof(addr);

	round->new[1] = socket(AF_MYPROTO, round->type, 0);
	if (my_bind(round->new[1], MYPROTO_CHANNEL_ANY))
		return -1;
	if (getsockname(round->new[1], (struct sockaddr *)&addr, &len))
		return -1;
	round->channel = addr.smy_channel;
	return round->type == SOCK_DGRAM ? 0 : listen(round->new[1], 5);
}

static long start_connected(struct round *round)
{
	if (start_target(round) || my_connect(round->fd, round->channel))
		return -1;
	return send(round->fd, "unread", 6, 0);
}

static long call_connect(struct round *round)
{
	return my_connect(round->fd, round->channel);
}

static long call_accept(struct round *round)
{
	struct sockaddr_my addr;
	socklen_t len = sizeof(addr);

	round->new[0] = accept(round->new[1], (struct sockaddr *)&addr, &len);
	return round->new[0];
}

TEST_F(fault, listen_and_accept)
{
	if (variant->type == SOCK_DGRAM)
		SKIP(return, "DGRAM has no listen()");
	walk(_metadata, &self->fault, variant->type, call_bind, call_listen);
	walk(_metadata, &self->fault, variant->type, start_connected,
	     call_accept);
	expect_no_leak(_metadata);
}

TEST_F(fault, connect)
{
	walk(_metadata, &self->fault, variant->type, start_target,
	     call_connect);
	expect_no_leak(_metadata);
}

static long call_send_small(struct round *round)
{
	return send(round->link.fd[0], "abc", 3, MSG_DONTWAIT);
}

static long call_send_large(struct round *round)
{
	return send(round->link.fd[0], round->buf, LARGE, MSG_DONTWAIT);
}

static long start_send(struct round *round)
{
	return send(round->link.fd[0], "first", 5, MSG_DONTWAIT);
}

static long call_sendto(struct round *round)
{
	struct sockaddr_my addr = my_addr(round->channel);

	return sendto(round->fd, "abc", 3, MSG_DONTWAIT,
		      (struct sockaddr *)&addr, sizeof(addr));
}

TEST_F(fault, send)
{
	walk(_metadata, &self->fault, variant->type, NULL, call_send_small);
	walk(_metadata, &self->fault, variant->type, start_send,
	     call_send_small);
	if (variant->type == SOCK_DGRAM)
		walk(_metadata, &self->fault, variant->type, start_target,
		     call_sendto);
	expect_no_leak(_metadata);
}

TEST_F(fault, send_large)
{
	walk(_metadata, &self->fault, variant->type, NULL, call_send_large);
	expect_no_leak(_metadata);
}

static long call_send_creds(struct round *round)
{
	struct ucred cred = {
		.pid = getpid(), .uid = getuid(), .gid = getgid(),
	};
	struct iovec iov = { .iov_base = "abc", .iov_len = 3 };
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
	return sendmsg(round->link.fd[0], &msg, MSG_DONTWAIT);
}

TEST_F(fault, send_creds)
{
	walk(_metadata, &self->fault, variant->type, NULL, call_send_creds);
	expect_no_leak(_metadata);
}

static long call_sendfile(struct round *round)
{
	return sendfile(round->link.fd[0], round->file, NULL, 20000);
}

static long start_pipe(struct round *round)
{
	return write(round->pipe[1], round->buf, 10000);
}

static long call_splice_in(struct round *round)
{
	return splice(round->pipe[0], NULL, round->link.fd[0], NULL, 10000,
		      0);
}

static long start_large(struct round *round)
{
	return send(round->link.fd[0], round->buf, 20000, MSG_DONTWAIT);
}

static long call_splice_out(struct round *round)
{
	return splice(round->link.fd[1], NULL, round->pipe[1], NULL, 10000,
		      0);
}

TEST_F(fault, splice)
{
	walk(_metadata, &self->fault, variant->type, NULL, call_sendfile);
	walk(_metadata, &self->fault, variant->type, start_pipe,
	     call_splice_in);
	walk(_metadata, &self->fault, variant->type, start_large,
	     call_splice_out);
	expect_no_leak(_metadata);
}

static long start_passcred(struct round *round)
{
	int val = 1;

	if (setsockopt(round->link.fd[1], SOL_SOCKET, SO_PASSCRED, &val,
		       sizeof(val)) ||
	    setsockopt(round->link.fd[1], SOL_SOCKET, SO_TIMESTAMP, &val,
		       sizeof(val)))
		return -1;
	return start_large(round);
}

static long call_recv(struct round *round)
{
	char control[256];
	struct iovec iov = { .iov_base = round->buf, .iov_len = LARGE };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};

	return recvmsg(round->link.fd[1], &msg, MSG_DONTWAIT);
}

static long call_peek(struct round *round)
{
	return recv(round->link.fd[1], round->buf, LARGE,
		    MSG_DONTWAIT | MSG_PEEK);
}

TEST_F(fault, recv)
{
	walk(_metadata, &self->fault, variant->type, start_passcred, call_recv);
	walk(_metadata, &self->fault, variant->type, start_large, call_peek);
	expect_no_leak(_metadata);
}

/* These have nothing to fail at. */

static long call_shutdown(struct round *round)
{
	return shutdown(round->new[1], SHUT_RDWR);
}

static long call_close(struct round *round)
{
	long ret = close(round->new[1]);

	round->new[1] = -1;
	return ret;
}

static long start_pair(struct round *round)
{
	if (socketpair(AF_MYPROTO, round->type, 0, round->new))
		return -1;
	return send(round->new[0], "unread", 6, 0);
}

TEST_F(fault, shutdown_and_close)
{
	walk(_metadata, &self->fault, variant->type, start_pair, call_shutdown);
	walk(_metadata, &self->fault, variant->type, start_pair, call_close);
	expect_no_leak(_metadata);
}

static long call_setsockopt(struct round *round)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
	};
	struct sock_fprog prog = { .len = 1, .filter = code };

	return setsockopt(round->link.fd[1], SOL_SOCKET, SO_ATTACH_FILTER,
			  &prog, sizeof(prog));
}

static long call_getsockopt(struct round *round)
{
	int val[16];
	socklen_t len = sizeof(val);

	return getsockopt(round->link.fd[1], SOL_SOCKET, SO_PEERCRED, val,
			  &len);
}

static long call_ioctl(struct round *round)
{
	int val;

	return ioctl(round->link.fd[1], SIOCINQ, &val);
}

TEST_F(fault, options)
{
	walk(_metadata, &self->fault, variant->type, NULL, call_setsockopt);
	walk(_metadata, &self->fault, variant->type, NULL, call_getsockopt);
	walk(_metadata, &self->fault, variant->type, start_send, call_ioctl);
	expect_no_leak(_metadata);
}

int main(int argc, char **argv)
{
	/* What is mounted here goes with the program. */
	if (!my_private_mounts())
		mount("none", CGROUP, "cgroup2", 0, NULL);
	fault_mount();
	return my_test_main(argc, argv);
}
