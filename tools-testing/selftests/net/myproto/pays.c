// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO and control groups: what is sent is charged to the memory cgroup
 * of the receiver, and an accepted socket does not belong to the cgroup of the
 * process that connected.
 */
#include <sys/stat.h>

#include <linux/bpf.h>

#include "link.h"
#include "worker.h"

#define CGROUPS		"/sys/fs/cgroup"
#define MIB		0x100000

/* What the receivers are given as SO_RCVBUF: the kernel doubles it. */
#define RCVBUF		(8 * MIB)

/* What can be sent at least before that is full */
#define QUEUED		(12L * MIB)

/*
 * How much the usage of a group that does not pay may rise: charges are made
 * in batches of 64 pages for each CPU, and processes need some memory.
 */
#define NOISE		(2L * MIB)

/* The groups that the test enters. NONE is outside of them. */
enum group { SERVER, CLIENT, OTHER, GROUPS, NONE = GROUPS };

static const char * const names[] = { "server", "client", "other", ".." };

static int write_file(const char *dir, const char *name, const char *text)
{
	char path[128];
	int fd, err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return errno;
	err = err_of(write(fd, text, strlen(text)));
	close(fd);
	return err;
}

/* The number behind @key, 0 if there is none, and -1 without @key */
static long read_number(const char *dir, const char *name, const char *key)
{
	char text[4096], *p;
	ssize_t n;
	int fd;

	snprintf(text, sizeof(text), "%s/%s", dir, name);
	fd = open(text, O_RDONLY);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	p = strstr(text, key);
	return p ? atol(p + strlen(key)) : -1;
}

FIXTURE(pays)
{
	char top[64];		/* holds the groups */
	long before[GROUPS];	/* usage, see measure() */
	int listener;
	int fd[2];		/* of SERVER and of CLIENT */
};

FIXTURE_VARIANT(pays)
{
	int type;
	size_t chunk;
};

FIXTURE_VARIANT_ADD(pays, stream)
{
	.type = SOCK_STREAM,
	.chunk = 65536,
};

FIXTURE_VARIANT_ADD(pays, stream_small)
{
	.type = SOCK_STREAM,
	.chunk = 250,
};

FIXTURE_VARIANT_ADD(pays, seqpacket)
{
	.type = SOCK_SEQPACKET,
	.chunk = 100000,
};

FIXTURE_VARIANT_ADD(pays, dgram_small)
{
	.type = SOCK_DGRAM,
	.chunk = 1000,
};

/* The test is in the folder that holds the groups. */
FIXTURE_SETUP(pays)
{
	int i;

	snprintf(self->top, sizeof(self->top), CGROUPS "/myproto_pays.%d",
		 getpid());
	ASSERT_EQ(0, mkdir(self->top, 0700));
	ASSERT_EQ(0, chdir(self->top));
	ASSERT_EQ(0, write_file(".", "cgroup.subtree_control", "+memory"));
	for (i = 0; i < GROUPS; i++)
		ASSERT_EQ(0, mkdir(names[i], 0700));
}

/* A process that was killed may still be on its way out of its group. */
FIXTURE_TEARDOWN_PARENT(pays)
{
	long end = now_ms() + WAIT_MS;
	int i;

	if (chdir(self->top))
		return;
	for (i = 0; i < GROUPS; i++)
		while (rmdir(names[i]) && errno == EBUSY && now_ms() < end)
			usleep(10000);
	rmdir(self->top);
}

static void enter(struct __test_metadata *_metadata, enum group group)
{
	ASSERT_EQ(0, write_file(names[group], "cgroup.procs", "0"));
}

static long usage(enum group group)
{
	return read_number(names[group], "memory.current", "");
}

static void measure(struct __test_metadata *_metadata,
		    struct _test_data_pays *self)
{
	int i;

	for (i = 0; i < GROUPS; i++) {
		self->before[i] = usage(i);
		ASSERT_LE(0, self->before[i]);
	}
}

/* @payer has been charged for @queued bytes since measure(), no other group */
static void expect_charged(struct __test_metadata *_metadata,
			   struct _test_data_pays *self,
			   enum group payer, long queued)
{
	long rise;
	int i;

	for (i = 0; i < GROUPS; i++) {
		rise = usage(i) - self->before[i];
		if (i == payer) {
			EXPECT_LT(queued - NOISE, rise)
				TH_LOG("%s, %ld queued", names[i], queued);
		} else {
			EXPECT_GT(NOISE, rise)
				TH_LOG("%s, %ld queued", names[i], queued);
		}
	}
}

/* What @group was charged for has been given back. */
static void expect_given_back(struct __test_metadata *_metadata,
			      struct _test_data_pays *self, enum group group)
{
	long end = now_ms() + WAIT_MS, limit = self->before[group] + NOISE;

	while (usage(group) >= limit && now_ms() < end)
		usleep(20000);
	EXPECT_GT(limit, usage(group));
}

/* Leave 4 MiB to @group, beside what it uses now */
static void limit_group(struct __test_metadata *_metadata, enum group group)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", usage(group) + 4 * MIB);
	ASSERT_EQ(0, write_file(names[group], "memory.max", text));
}

/* SERVER has a socket, and @client has one that connects to it. */
static void make_client(struct __test_metadata *_metadata,
			struct _test_data_pays *self, int type,
			enum group client)
{
	__u32 channel;

	enter(_metadata, SERVER);
	self->listener = type_bound(_metadata, type, &channel);
	set_int_opt(_metadata, self->listener, SO_RCVBUFFORCE, RCVBUF);
	if (type != SOCK_DGRAM)
		ASSERT_EQ(0, listen(self->listener, 5));
	enter(_metadata, client);
	self->fd[CLIENT] = type_bound(_metadata, type, &channel);
	set_int_opt(_metadata, self->fd[CLIENT], SO_RCVBUFFORCE, RCVBUF);
	channel = my_channel(_metadata, self->listener);
	ASSERT_EQ(0, my_connect(self->fd[CLIENT], channel));
}

/* @acceptor accepts, or a DGRAM socket connects to the client's. */
static void accept_in(struct __test_metadata *_metadata,
		      struct _test_data_pays *self, int type,
		      enum group acceptor)
{
	int channel = my_channel(_metadata, self->fd[CLIENT]);

	enter(_metadata, acceptor);
	if (type == SOCK_DGRAM) {
		self->fd[SERVER] = self->listener;
		ASSERT_EQ(0, my_connect(self->listener, channel));
		return;
	}
	self->fd[SERVER] = accept(self->listener, NULL, NULL);
	ASSERT_LE(0, self->fd[SERVER]);
	set_int_opt(_metadata, self->fd[SERVER], SO_RCVBUFFORCE, RCVBUF);
}

/* Send until that fails with @err; tells how many bytes were sent */
static long send_until(struct __test_metadata *_metadata, int fd, size_t chunk,
		       int flags, int err)
{
	char *buf = calloc(1, chunk);
	long total = 0, n;

	ASSERT_NE(NULL, buf);
	while ((n = send(fd, buf, chunk, flags | MSG_NOSIGNAL)) > 0)
		total += n;
	EXPECT_EQ(err, err_of(n))
		TH_LOG("after %ld bytes: %s", total, strerror(errno));
	free(buf);
	return total;
}

/* What can be sent from @from is charged to @payer, and it is not much more
 * than what @to, unless that is -1, is charged: debug options make each object
 * larger.
 */
static void fill(struct __test_metadata *_metadata,
		 struct _test_data_pays *self, int from, int to, size_t chunk,
		 enum group payer)
{
	long queued;

	measure(_metadata, self);
	queued = send_until(_metadata, from, chunk, MSG_DONTWAIT, EAGAIN);
	EXPECT_LT(QUEUED, queued);
	expect_charged(_metadata, self, payer, queued);
	if (to >= 0 && payer != NONE)
		EXPECT_GT(3L * mem_charged(_metadata, to),
			  usage(payer) - self->before[payer]);
}

TEST_F(pays, receiver)
{
	int *fd = self->fd;

	make_client(_metadata, self, variant->type, CLIENT);
	accept_in(_metadata, self, variant->type, SERVER);
	expect_send(_metadata, fd[CLIENT], "?");
	expect_recv(_metadata, fd[SERVER], "?");
	enter(_metadata, CLIENT);
	fill(_metadata, self, fd[CLIENT], fd[SERVER], variant->chunk, SERVER);
	enter(_metadata, SERVER);
	my_drain(_metadata, fd[SERVER]);
	expect_given_back(_metadata, self, SERVER);

	/* The limit of the sender is not touched by what others do not read. */
	limit_group(_metadata, SERVER);
	fill(_metadata, self, fd[SERVER], fd[CLIENT], variant->chunk, CLIENT);
	enter(_metadata, CLIENT);
	my_drain(_metadata, fd[CLIENT]);
	expect_given_back(_metadata, self, CLIENT);

	/* It is given back also when another process closes the socket. */
	enter(_metadata, SERVER);
	fill(_metadata, self, fd[SERVER], fd[CLIENT], variant->chunk, CLIENT);
	enter(_metadata, OTHER);
	close(fd[CLIENT]);
	expect_given_back(_metadata, self, CLIENT);
}

/* Who is not in a group of its own is limited by SO_RCVBUF alone. */
TEST_F(pays, receiver_without_group)
{
	make_client(_metadata, self, variant->type, NONE);
	accept_in(_metadata, self, variant->type, SERVER);
	limit_group(_metadata, SERVER);
	fill(_metadata, self, self->fd[SERVER], self->fd[CLIENT],
	     variant->chunk, NONE);
}

/* A full group of a receiver is an error for who sends to it, and no more. */
TEST_F(pays, receiver_is_full)
{
	const size_t chunk = variant->chunk;
	struct link link;
	long queued;
	pid_t pid;
	int fd;

	make_client(_metadata, self, variant->type, CLIENT);
	accept_in(_metadata, self, variant->type, SERVER);
	fd = self->fd[SERVER];
	/* Somebody to be killed if memory were to be made free so */
	pid = my_fork(_metadata);
	if (!pid) {
		write_file(names[CLIENT], "cgroup.procs", "0");
		pause();
		_exit(KSFT_FAIL);
	}
	ASSERT_TRUE(wait_asleep(pid));

	limit_group(_metadata, CLIENT);
	queued = send_until(_metadata, fd, chunk, MSG_DONTWAIT, ENOBUFS);
	EXPECT_LT(MIB, queued);
	/* It is the same for those who would wait. */
	set_timeout(_metadata, fd, SO_SNDTIMEO, WAIT_MS);
	queued += send_until(_metadata, fd, chunk, 0, ENOBUFS);
	EXPECT_GT(4 * MIB + NOISE, queued);
	EXPECT_EQ(0, read_number(".", "memory.events", "oom_kill "));
	EXPECT_EQ('S', proc_state(pid));

	/* Others can be sent to meanwhile. */
	enter(_metadata, OTHER);
	link_make(_metadata, &link, variant->type, BY_PAIR);
	set_int_opt(_metadata, link.fd[1], SO_RCVBUFFORCE, RCVBUF);
	enter(_metadata, SERVER);
	fill(_metadata, self, link.fd[0], link.fd[1], chunk, OTHER);

	my_drain(_metadata, self->fd[CLIENT]);
	queued = send_until(_metadata, fd, chunk, MSG_DONTWAIT, ENOBUFS);
	EXPECT_LE((long)chunk, queued);
	EXPECT_EQ(-SIGKILL, my_kill(pid));
}

#define WAITING		20
#define WAITING_SIZE	400000

/* Beyond SO_RCVBUF the receiver pays for nothing. */
TEST_F(pays, who_waits)
{
	struct worker worker[WAITING] = {};
	int fd, i;

	/* It waits without memory. */
	if (variant->type == SOCK_STREAM)
		return;

	make_client(_metadata, self, variant->type, CLIENT);
	accept_in(_metadata, self, variant->type, SERVER);
	fd = self->fd[CLIENT];
	set_int_opt(_metadata, fd, SO_SNDBUFFORCE, WAITING_SIZE);
	set_timeout(_metadata, fd, SO_SNDTIMEO, 2 * WAIT_MS);
	enter(_metadata, CLIENT);
	send_until(_metadata, fd, variant->chunk, MSG_DONTWAIT, EAGAIN);
	for (i = 0; i < WAITING; i++) {
		worker[i].call = call_send;
		worker[i].fd = fd;
		worker[i].len = WAITING_SIZE;
		worker_start(_metadata, &worker[i]);
	}
	measure(_metadata, self);
	workers_sleep(_metadata, worker, WAITING);
	expect_charged(_metadata, self, CLIENT, WAITING * WAITING_SIZE);

	/* Then there is room for all of them. */
	my_drain(_metadata, self->fd[SERVER]);
	for (i = 0; i < WAITING; i++) {
		ASSERT_TRUE(worker_finish(&worker[i]));
		EXPECT_EQ(WAITING_SIZE, worker[i].ret);
	}
	my_drain(_metadata, self->fd[SERVER]);
	expect_given_back(_metadata, self, CLIENT);
}

/* Nobody can be said to receive before accept(), so the sender pays. */
TEST_F(pays, who_accepted)
{
	int *fd = self->fd;

	if (variant->type == SOCK_DGRAM)
		return;
	make_client(_metadata, self, variant->type, CLIENT);
	fill(_metadata, self, fd[CLIENT], -1, 65536, CLIENT);
	accept_in(_metadata, self, variant->type, OTHER);
	my_drain(_metadata, fd[SERVER]);
	expect_given_back(_metadata, self, CLIENT);
	enter(_metadata, CLIENT);
	fill(_metadata, self, fd[CLIENT], fd[SERVER], 65536, OTHER);
}

static int bpf(int cmd, union bpf_attr *attr)
{
	return syscall(__NR_bpf, cmd, attr, sizeof(*attr));
}

/* A program that denies getsockopt() to a control group */
static int load_deny(void)
{
	static const struct bpf_insn code[] = {
		{ BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0 },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_CGROUP_SOCKOPT,
		.expected_attach_type = BPF_CGROUP_GETSOCKOPT,
		.insns = (uintptr_t)code,
		.insn_cnt = ARRAY_SIZE(code),
		.license = (uintptr_t)"GPL",
	};

	return bpf(BPF_PROG_LOAD, &attr);
}

/* An accepted socket is of the group of the listener for programs. */
TEST_F(pays, runs_programs_of_listener)
{
	union bpf_attr attr = {
		.attach_bpf_fd = load_deny(),
		.attach_type = BPF_CGROUP_GETSOCKOPT,
	};
	int denied;

	if ((int)attr.attach_bpf_fd < 0)
		SKIP(return, "bpf(): %s: CONFIG_CGROUP_BPF not set?",
		     strerror(errno));
	if (variant->type == SOCK_DGRAM)
		return;
	make_client(_metadata, self, variant->type, CLIENT);
	accept_in(_metadata, self, variant->type, OTHER);
	for (denied = SERVER; denied < GROUPS; denied++) {
		attr.target_fd = open(names[denied], O_RDONLY | O_DIRECTORY);
		ASSERT_EQ(0, bpf(BPF_PROG_ATTACH, &attr));
		EXPECT_EQ(denied == SERVER ? EPERM : 0,
			  get_opt_err(self->fd[SERVER], SOL_SOCKET, SO_TYPE));
		EXPECT_EQ(denied == SERVER ? EPERM : 0,
			  get_opt_err(self->listener, SOL_SOCKET, SO_TYPE));
		EXPECT_EQ(denied == CLIENT ? EPERM : 0,
			  get_opt_err(self->fd[CLIENT], SOL_SOCKET, SO_TYPE));
		ASSERT_EQ(0, bpf(BPF_PROG_DETACH, &attr));
	}
}

/* A group that was removed is freed once nothing belongs to it. */
static void expect_client_goes(struct __test_metadata *_metadata)
{
	static const char key[] = "nr_dying_descendants ";
	long end = now_ms() + WAIT_MS;

	ASSERT_EQ(0, rmdir(names[CLIENT]))
		TH_LOG("%s", strerror(errno));
	while (read_number(".", "cgroup.stat", key) > 0 && now_ms() < end)
		usleep(20000);
	EXPECT_EQ(0, read_number(".", "cgroup.stat", key));
	ASSERT_EQ(0, mkdir(names[CLIENT], 0700));
}

/* In CLIENT, which keeps nothing of it but what connect() and send() leave */
static void connect_and_send(struct __test_metadata *_metadata, int fd,
			     __u32 channel)
{
	enter(_metadata, CLIENT);
	ASSERT_EQ(0, my_connect(fd, channel));
	expect_send(_metadata, fd, "abc");
	enter(_metadata, SERVER);
}

TEST_F(pays, accepted_keeps_no_group_of_client)
{
	__u32 channel;
	int fd;
	pid_t pid;

	if (variant->type == SOCK_DGRAM)
		return;
	enter(_metadata, SERVER);
	self->listener = type_listener(_metadata, variant->type, &channel);
	fd = type_socket(_metadata, variant->type);
	connect_and_send(_metadata, fd, channel);
	expect_client_goes(_metadata);
	self->fd[SERVER] = accept(self->listener, NULL, NULL);
	expect_recv(_metadata, self->fd[SERVER], "abc");

	fd = type_socket(_metadata, variant->type);
	connect_and_send(_metadata, fd, channel);
	self->fd[SERVER] = accept(self->listener, NULL, NULL);
	expect_client_goes(_metadata);
	expect_recv(_metadata, self->fd[SERVER], "abc");

	/* As with AF_UNIX a socket keeps its peer until it is closed itself. */
	pid = my_fork(_metadata);
	if (!pid) {
		enter(_metadata, CLIENT);
		fd = type_socket(_metadata, variant->type);
		connect_and_send(_metadata, fd, channel);
		_exit(_metadata->exit_code);
	}
	ASSERT_EQ(0, my_wait(pid));
	self->fd[SERVER] = accept(self->listener, NULL, NULL);
	expect_recv(_metadata, self->fd[SERVER], "abc");
	expect_eof(_metadata, self->fd[SERVER]);
	close(self->fd[SERVER]);
	expect_client_goes(_metadata);
}

int main(int argc, char **argv)
{
	static const char control[] = "cgroup.subtree_control";
	bool enabled;
	int ret;

	/* A mount that nobody else sees, and that does not stay */
	if (access(CGROUPS "/cgroup.controllers", F_OK) &&
	    !my_private_mounts())
		mount("none", CGROUPS, "cgroup2", 0, NULL);
	my_start();
	enabled = read_number(CGROUPS, control, "memory") >= 0;
	if (write_file(CGROUPS, control, "+memory"))
		ksft_exit_skip("no memory controller in cgroup2\n");
	ret = test_harness_run(argc, argv);
	if (!enabled)
		write_file(CGROUPS, control, "-memory");
	return ret;
}
