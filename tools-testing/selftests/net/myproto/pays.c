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
#define RCVBUF		(8 * MIB)	/* The kernel doubles it. */
#define QUEUED		(12L * MIB)	/* can be sent before that is full */

/* How much the usage of a group that does not pay may rise: charges are made
 * in batches of 64 pages for each CPU, and processes need some memory.
 */
static long noise(void)
{
	return 2 * MIB + 64 * sysconf(_SC_PAGESIZE) *
	       sysconf(_SC_NPROCESSORS_ONLN);
}

/* The groups that the test enters. NONE is outside of them. */
enum group { SERVER, CLIENT, OTHER, GROUPS, NONE = GROUPS };

static const char * const names[] = { "server", "client", "other", ".." };

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

FIXTURE_VARIANT_ADD(pays, stream) { SOCK_STREAM, 65536 };
FIXTURE_VARIANT_ADD(pays, seqpacket) { SOCK_SEQPACKET, 100000 };
/* Small data is in no skb. */
FIXTURE_VARIANT_ADD(pays, stream_small) { SOCK_STREAM, 250 };
FIXTURE_VARIANT_ADD(pays, dgram_small) { SOCK_DGRAM, 1000 };

/* The test is in the folder that holds the groups. */
FIXTURE_SETUP(pays)
{
	int i;

	my_type = variant->type;
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
	int i;

	if (chdir(self->top))
		return;
	for (i = 0; i < GROUPS; i++)
		wait_until(!rmdir(names[i]) || errno != EBUSY);
	rmdir(self->top);
}

static void enter(struct __test_metadata *_metadata, enum group group)
{
	ASSERT_EQ(0, write_file(names[group], "cgroup.procs", "0"));
}

static long usage(enum group group)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/memory.current", names[group]);
	return proc_number(path, "");
}

static void measure(struct _test_data_pays *self)
{
	int i;

	for (i = 0; i < GROUPS; i++)
		self->before[i] = usage(i);
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
		EXPECT_TRUE(i == payer ? rise > queued - noise() :
					 rise < noise())
			TH_LOG("%s: %ld, with %ld queued", names[i], rise,
			       queued);
	}
}

/* What @group was charged for has been given back. */
static void expect_given_back(struct __test_metadata *_metadata,
			      struct _test_data_pays *self, enum group group)
{
	EXPECT_TRUE(wait_until(usage(group) < self->before[group] + noise()));
}

/* Leave 4 MiB to @group, beside what it uses now */
static void limit_group(struct __test_metadata *_metadata, enum group group)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", usage(group) + 4 * MIB);
	ASSERT_EQ(0, write_file(names[group], "memory.max", text));
}

static int large_socket(struct __test_metadata *_metadata)
{
	int fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);

	set_int_opt(_metadata, fd, SO_RCVBUFFORCE, RCVBUF);
	return fd;
}

/* SERVER has a socket, and @client has one that connects to it. */
static void make_client(struct __test_metadata *_metadata,
			struct _test_data_pays *self, enum group client)
{
	enter(_metadata, SERVER);
	self->listener = large_socket(_metadata);
	if (my_type != SOCK_DGRAM)
		ASSERT_EQ(0, listen(self->listener, 5));
	enter(_metadata, client);
	self->fd[CLIENT] = large_socket(_metadata);
	ASSERT_EQ(0, my_connect(self->fd[CLIENT],
				my_channel(_metadata, self->listener)));
}

/* @acceptor accepts, or a DGRAM socket connects to the client's. */
static void accept_in(struct __test_metadata *_metadata,
		      struct _test_data_pays *self, enum group acceptor)
{
	enter(_metadata, acceptor);
	if (my_type == SOCK_DGRAM) {
		self->fd[SERVER] = self->listener;
		ASSERT_EQ(0, my_connect(self->listener,
					my_channel(_metadata,
						   self->fd[CLIENT])));
		return;
	}
	self->fd[SERVER] = my_accept(_metadata, self->listener);
	set_int_opt(_metadata, self->fd[SERVER], SO_RCVBUFFORCE, RCVBUF);
}

/* Send until there is no memory; returns how many bytes were sent */
static long send_until_full(struct __test_metadata *_metadata, int fd,
			    size_t chunk, int flags)
{
	static char buf[100000];
	long total = 0, n;

	while ((n = send(fd, buf, chunk, flags | MSG_NOSIGNAL)) > 0)
		total += n;
	EXPECT_EQ(ENOBUFS, err_of(n));
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

	measure(self);
	queued = my_fill(_metadata, from, chunk);
	EXPECT_LT(QUEUED, queued);
	expect_charged(_metadata, self, payer, queued);
	if (to >= 0 && payer != NONE)
		EXPECT_GT(3L * mem_charged(_metadata, to),
			  usage(payer) - self->before[payer]);
}

TEST_F(pays, receiver)
{
	int *fd = self->fd;

	make_client(_metadata, self, CLIENT);
	accept_in(_metadata, self, SERVER);
	enter(_metadata, CLIENT);
	fill(_metadata, self, fd[CLIENT], fd[SERVER], variant->chunk, SERVER);
	enter(_metadata, SERVER);
	my_drain(_metadata, fd[SERVER]);
	expect_given_back(_metadata, self, SERVER);

	/* The limit of the sender is not touched by what others do not read. It
	 * is given back also when another process closes the socket.
	 */
	limit_group(_metadata, SERVER);
	fill(_metadata, self, fd[SERVER], fd[CLIENT], variant->chunk, CLIENT);
	enter(_metadata, OTHER);
	close(fd[CLIENT]);
	expect_given_back(_metadata, self, CLIENT);

	/* Who is not in a group of its own is limited by SO_RCVBUF alone. */
	make_client(_metadata, self, NONE);
	accept_in(_metadata, self, SERVER);
	fill(_metadata, self, fd[SERVER], fd[CLIENT], variant->chunk, NONE);
}

/* A full group of a receiver is an error for who sends to it, and no more. */
TEST_F(pays, receiver_is_full)
{
	const size_t chunk = variant->chunk;
	long queued;
	pid_t pid;
	int fd;

	make_client(_metadata, self, CLIENT);
	accept_in(_metadata, self, SERVER);
	fd = self->fd[SERVER];
	/* Somebody to be killed if memory were to be made free so */
	pid = sleeping_child(write_file(names[CLIENT], "cgroup.procs", "0") ?:
			     pause());

	limit_group(_metadata, CLIENT);
	queued = send_until_full(_metadata, fd, chunk, MSG_DONTWAIT);
	EXPECT_LT(MIB, queued);
	/* It is the same for those who would wait. */
	set_timeout(_metadata, fd, SO_SNDTIMEO, WAIT_MS);
	queued += send_until_full(_metadata, fd, chunk, 0);
	EXPECT_GT(4 * MIB + noise(), queued);
	EXPECT_EQ(0, proc_number("memory.events", "oom_kill"));
	EXPECT_EQ('S', proc_state(pid));

	my_drain(_metadata, self->fd[CLIENT]);
	queued = send_until_full(_metadata, fd, chunk, MSG_DONTWAIT);
	EXPECT_LE((long)chunk, queued);
}

#define WAITING		20
#define WAITING_SIZE	400000

/* Beyond SO_RCVBUF the receiver pays for nothing. */
TEST_F(pays, who_waits)
{
	struct worker worker[WAITING];
	int fd, i;

	if (my_type == SOCK_STREAM)
		SKIP(return, "a stream waits without memory");

	make_client(_metadata, self, CLIENT);
	accept_in(_metadata, self, SERVER);
	fd = self->fd[CLIENT];
	set_int_opt(_metadata, fd, SO_SNDBUFFORCE, WAITING_SIZE);
	set_timeout(_metadata, fd, SO_SNDTIMEO, 2 * WAIT_MS);
	enter(_metadata, CLIENT);
	my_fill(_metadata, fd, variant->chunk);
	workers_start(_metadata, worker, WAITING, (struct worker) {
		.call = call_send, .fd = fd, .len = WAITING_SIZE,
	});
	measure(self);
	workers_sleep(_metadata, worker, WAITING);
	expect_charged(_metadata, self, CLIENT, WAITING * WAITING_SIZE);

	/* Then there is room for all of them. */
	my_drain(_metadata, self->fd[SERVER]);
	ASSERT_TRUE(workers_finish(worker, WAITING));
	for (i = 0; i < WAITING; i++)
		EXPECT_EQ(WAITING_SIZE, worker[i].ret);
	my_drain(_metadata, self->fd[SERVER]);
	expect_given_back(_metadata, self, CLIENT);
}

/* Nobody can be said to receive before accept(), so the sender pays. */
TEST_F(pays, who_accepted)
{
	int *fd = self->fd;

	if (my_type == SOCK_DGRAM)
		SKIP(return, "there is no accept()");
	make_client(_metadata, self, CLIENT);
	fill(_metadata, self, fd[CLIENT], -1, 65536, CLIENT);
	accept_in(_metadata, self, OTHER);
	my_drain(_metadata, fd[SERVER]);
	expect_given_back(_metadata, self, CLIENT);
	enter(_metadata, CLIENT);
	fill(_metadata, self, fd[CLIENT], fd[SERVER], 65536, OTHER);
}

static int bpf(int cmd, union bpf_attr *attr)
{
	return syscall(__NR_bpf, cmd, attr, sizeof(*attr));
}

/* cgroup BPF programs see an accepted socket in the group of the listener. */
TEST_F(pays, runs_programs_of_listener)
{
	/* A program that denies getsockopt() to a control group */
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
	int prog = bpf(BPF_PROG_LOAD, &attr), denied;

	if (prog < 0)
		SKIP(return, "bpf(): %s: CONFIG_CGROUP_BPF not set?",
		     strerror(errno));
	if (my_type == SOCK_DGRAM)
		SKIP(return, "there is no accept()");
	make_client(_metadata, self, CLIENT);
	accept_in(_metadata, self, OTHER);
	for (denied = OTHER; denied >= SERVER; denied--) {
		attr = (union bpf_attr) {
			.target_fd = open(names[denied], O_RDONLY),
			.attach_bpf_fd = prog,
			.attach_type = BPF_CGROUP_GETSOCKOPT,
		};
		ASSERT_EQ(0, bpf(BPF_PROG_ATTACH, &attr));
		EXPECT_EQ(denied == SERVER ? EPERM : 0,
			  get_opt_err(self->fd[SERVER], SOL_SOCKET, SO_TYPE));
	}
}

/* CLIENT, which was removed, is freed once nothing belongs to it: an accepted
 * socket does not, nor one that waits for accept().
 */
TEST_F(pays, accepted_keeps_no_group_of_client)
{
	__u32 channel;
	int fd = my_socket(_metadata);

	if (my_type == SOCK_DGRAM)
		SKIP(return, "there is no accept()");
	enter(_metadata, SERVER);
	self->listener = my_listener(_metadata, 5, &channel);
	enter(_metadata, CLIENT);
	ASSERT_EQ(0, my_connect(fd, channel));
	expect_send(_metadata, fd, "abc");
	enter(_metadata, SERVER);
	ASSERT_EQ(0, rmdir(names[CLIENT]));
	EXPECT_TRUE(wait_until(!proc_number("cgroup.stat",
					    "nr_dying_descendants")));
	expect_recv(_metadata, my_accept(_metadata, self->listener), "abc");
}

int main(int argc, char **argv)
{
	static const char control[] = "cgroup.subtree_control";
	char text[256] = "";
	int ret, fd;

	/* A mount that nobody else sees, and that does not stay */
	if (access(CGROUPS "/cgroup.controllers", F_OK) &&
	    !my_private_mounts())
		mount("none", CGROUPS, "cgroup2", 0, NULL);
	fd = open(CGROUPS "/cgroup.subtree_control", O_RDONLY);
	if (read(fd, text, sizeof(text) - 1) < 0)
		ksft_exit_skip("no cgroup2\n");
	if (write_file(CGROUPS, control, "+memory"))
		ksft_exit_skip("no memory controller in cgroup2\n");
	ret = test_harness_run(argc, argv);
	if (!strstr(text, "memory"))
		write_file(CGROUPS, control, "-memory");
	return ret;
}
