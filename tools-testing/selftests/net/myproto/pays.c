// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO and control groups: what is sent is charged to the memory cgroup
 * of the receiver, and an accepted socket does not belong to the cgroup of the
 * process that connected.
 */
#include <pthread.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <linux/bpf.h>

#include "link.h"

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

/*
 * The groups, which the test enters as it plays the server or the client. NONE
 * is outside of them.
 */
enum group { SERVER, CLIENT, OTHER, GROUPS, NONE = GROUPS };

static const char * const names[GROUPS] = { "server", "client", "other" };

struct groups {
	char top[64];		/* holds the groups */
	char path[GROUPS][80];
	bool enabled;		/* the memory controller was off before */
	long before[GROUPS];	/* usage, see measure() */
	int listener;
	int fd[2];		/* of SERVER and of CLIENT */
};

static int write_file(const char *dir, const char *name, const char *text)
{
	char path[400];
	int fd, err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return errno;
	err = err_of(write(fd, text, strlen(text)));
	close(fd);
	return err;
}

/* A number in a file, of the line that begins with @key if there is one */
static long read_number(const char *dir, const char *name, const char *key)
{
	char path[400], line[128];
	long val = -1;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	if (!f)
		return -1;
	while (val < 0 && fgets(line, sizeof(line), f)) {
		if (!key)
			val = atol(line);
		else if (!strncmp(line, key, strlen(key)) &&
			 line[strlen(key)] == ' ')
			val = atol(line + strlen(key));
	}
	fclose(f);
	return val;
}

/* Whether a file that lists words in one line has @word */
static bool has_word(const char *dir, const char *name, const char *word)
{
	char path[400], line[256] = "", *p, *save;
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (fgets(line, sizeof(line), f))
		line[strcspn(line, "\n")] = 0;
	fclose(f);
	for (p = strtok_r(line, " ", &save); p && !found;
	     p = strtok_r(NULL, " ", &save))
		found = !strcmp(p, word);
	return found;
}

/* Returns why not, or NULL. */
static const char *groups_make(struct groups *groups)
{
	int i;

	*groups = (struct groups) { .listener = -1, .fd = { -1, -1 } };
	if (geteuid())
		return "control groups need root";
	if (access(CGROUPS "/cgroup.controllers", F_OK))
		return "no cgroup2";
	if (!has_word(CGROUPS, "cgroup.controllers", "memory"))
		return "no memory controller in cgroup2";
	if (!has_word(CGROUPS, "cgroup.subtree_control", "memory")) {
		if (write_file(CGROUPS, "cgroup.subtree_control", "+memory"))
			return "the memory controller cannot be enabled";
		groups->enabled = true;
	}

	snprintf(groups->top, sizeof(groups->top), "%s/myproto_pays.%d",
		 CGROUPS, getpid());
	if (mkdir(groups->top, 0700)) {
		groups->top[0] = 0;
		return "no new control group";
	}
	if (write_file(groups->top, "cgroup.subtree_control", "+memory"))
		return "the memory controller cannot be enabled";
	for (i = 0; i < GROUPS; i++) {
		snprintf(groups->path[i], sizeof(groups->path[i]), "%s/%s",
			 groups->top, names[i]);
		if (mkdir(groups->path[i], 0700))
			return "no new control group";
	}
	return NULL;
}

/* A process that was killed may still be on its way out of its group. */
static void remove_group(const char *path)
{
	long end = now_ms() + WAIT_MS;

	while (rmdir(path) && errno == EBUSY && now_ms() < end)
		usleep(10000);
}

/* When the test, and with it the last process in the groups, has ended */
static void groups_remove(struct groups *groups)
{
	int i;

	if (groups->top[0]) {
		for (i = 0; i < GROUPS; i++)
			remove_group(groups->path[i]);
		remove_group(groups->top);
	}
	if (groups->enabled)
		write_file(CGROUPS, "cgroup.subtree_control", "-memory");
}

static void enter(struct __test_metadata *_metadata, struct groups *groups,
		  enum group group)
{
	ASSERT_EQ(0, write_file(group == NONE ? CGROUPS : groups->path[group],
				"cgroup.procs", "0"));
}

static long usage(struct groups *groups, enum group group)
{
	return read_number(groups->path[group], "memory.current", NULL);
}

static void measure(struct __test_metadata *_metadata, struct groups *groups)
{
	int i;

	for (i = 0; i < GROUPS; i++) {
		groups->before[i] = usage(groups, i);
		ASSERT_LE(0, groups->before[i]);
	}
}

/* @payer has been charged for @queued bytes since measure(), no other group */
static void expect_charged(struct __test_metadata *_metadata,
			   struct groups *groups, enum group payer,
			   size_t queued)
{
	long rise;
	int i;

	for (i = 0; i < GROUPS; i++) {
		rise = usage(groups, i) - groups->before[i];
		if (i == (int)payer) {
			EXPECT_LT((long)queued - NOISE, rise)
				TH_LOG("%s, %zu queued", names[i], queued);
		} else {
			EXPECT_GT(NOISE, rise)
				TH_LOG("%s, %zu queued", names[i], queued);
		}
	}
}

/* What @group was charged for has been given back. */
static void expect_given_back(struct __test_metadata *_metadata,
			      struct groups *groups, enum group group)
{
	long end = now_ms() + WAIT_MS, rise;

	while ((rise = usage(groups, group) - groups->before[group]) > NOISE &&
	       now_ms() < end)
		usleep(20000);
	EXPECT_GT(NOISE, rise);
}

/* Leave @more bytes to @group, beside what it uses now */
static void limit(struct __test_metadata *_metadata, struct groups *groups,
		  enum group group, long more)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", usage(groups, group) + more);
	ASSERT_EQ(0, write_file(groups->path[group], "memory.max", text));
}

static void large_rcvbuf(struct __test_metadata *_metadata, int fd)
{
	set_int_opt(_metadata, fd, SO_RCVBUFFORCE, RCVBUF);
}

/* SERVER listens, @client has a socket that is not connected. */
static void make_ends(struct __test_metadata *_metadata,
		      struct groups *groups, int type, enum group client,
		      __u32 *channel)
{
	enter(_metadata, groups, SERVER);
	groups->listener = type_listener(_metadata, type, channel);
	large_rcvbuf(_metadata, groups->listener);
	enter(_metadata, groups, client);
	groups->fd[CLIENT] = type_socket(_metadata, type);
	large_rcvbuf(_metadata, groups->fd[CLIENT]);
}

static void accept_in(struct __test_metadata *_metadata,
		      struct groups *groups, enum group acceptor)
{
	enter(_metadata, groups, acceptor);
	groups->fd[SERVER] = accept(groups->listener, NULL, NULL);
	ASSERT_LE(0, groups->fd[SERVER]);
	large_rcvbuf(_metadata, groups->fd[SERVER]);
}

/* @client connects to what SERVER has made, and @acceptor accepts. */
static void make_connection(struct __test_metadata *_metadata,
			    struct groups *groups, int type,
			    enum group client, enum group acceptor)
{
	__u32 channel[2];

	if (type != SOCK_DGRAM) {
		make_ends(_metadata, groups, type, client, &channel[SERVER]);
		ASSERT_EQ(0, my_connect(groups->fd[CLIENT], channel[SERVER]));
		accept_in(_metadata, groups, acceptor);
		return;
	}

	enter(_metadata, groups, SERVER);
	groups->fd[SERVER] = type_bound(_metadata, type, &channel[SERVER]);
	large_rcvbuf(_metadata, groups->fd[SERVER]);
	enter(_metadata, groups, client);
	groups->fd[CLIENT] = type_bound(_metadata, type, &channel[CLIENT]);
	large_rcvbuf(_metadata, groups->fd[CLIENT]);
	ASSERT_EQ(0, my_connect(groups->fd[CLIENT], channel[SERVER]));
	ASSERT_EQ(0, my_connect(groups->fd[SERVER], channel[CLIENT]));
}

/* Send until that fails with @err; tells how many bytes were sent */
static size_t send_until(struct __test_metadata *_metadata, int fd,
			 size_t chunk, int flags, int err)
{
	char *buf = calloc(1, chunk);
	size_t total = 0;
	ssize_t n;

	ASSERT_NE(NULL, buf);
	while ((n = send(fd, buf, chunk, flags | MSG_NOSIGNAL)) > 0)
		total += n;
	EXPECT_EQ(err, err_of(n))
		TH_LOG("after %zu bytes: %s", total, strerror(errno));
	free(buf);
	return total;
}

/* What can be sent is charged to @payer. */
static void fill_and_look(struct __test_metadata *_metadata,
			  struct groups *groups, int fd, size_t chunk,
			  enum group payer)
{
	size_t queued;

	measure(_metadata, groups);
	queued = send_until(_metadata, fd, chunk, MSG_DONTWAIT, EAGAIN);
	EXPECT_LT(QUEUED, (long)queued);
	expect_charged(_metadata, groups, payer, queued);
}

FIXTURE(pays)
{
	struct groups groups;
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
	.chunk = 65536,
};

FIXTURE_VARIANT_ADD(pays, dgram)
{
	.type = SOCK_DGRAM,
	.chunk = 65536,
};

FIXTURE_SETUP(pays)
{
	const char *why = groups_make(&self->groups);

	if (why)
		SKIP(return, "%s", why);
}

FIXTURE_TEARDOWN_PARENT(pays)
{
	groups_remove(&self->groups);
}

/* A client asks, and does not read the answer. */
TEST_F(pays, client_that_does_not_read)
{
	struct groups *groups = &self->groups;

	make_connection(_metadata, groups, variant->type, CLIENT, SERVER);
	expect_send(_metadata, groups->fd[CLIENT], "?");
	enter(_metadata, groups, SERVER);
	expect_recv(_metadata, groups->fd[SERVER], "?");

	fill_and_look(_metadata, groups, groups->fd[SERVER], variant->chunk,
		      CLIENT);
	enter(_metadata, groups, CLIENT);
	my_drain(_metadata, groups->fd[CLIENT]);
	expect_given_back(_metadata, groups, CLIENT);
}

TEST_F(pays, server_that_does_not_read)
{
	struct groups *groups = &self->groups;

	make_connection(_metadata, groups, variant->type, CLIENT, SERVER);
	enter(_metadata, groups, CLIENT);
	fill_and_look(_metadata, groups, groups->fd[CLIENT], variant->chunk,
		      SERVER);
}

/* It stays with the receiver, even when another process closes the socket. */
TEST_F(pays, close_gives_back)
{
	struct groups *groups = &self->groups;

	make_connection(_metadata, groups, variant->type, CLIENT, SERVER);
	enter(_metadata, groups, SERVER);
	fill_and_look(_metadata, groups, groups->fd[SERVER], variant->chunk,
		      CLIENT);
	enter(_metadata, groups, OTHER);
	close(groups->fd[CLIENT]);
	groups->fd[CLIENT] = -1;
	expect_given_back(_metadata, groups, CLIENT);
}

/* The limit of the sender is not touched by what others do not read. */
TEST_F(pays, limit_of_sender)
{
	struct groups *groups = &self->groups;

	make_connection(_metadata, groups, variant->type, CLIENT, SERVER);
	enter(_metadata, groups, SERVER);
	limit(_metadata, groups, SERVER, 4 * MIB);
	fill_and_look(_metadata, groups, groups->fd[SERVER], variant->chunk,
		      CLIENT);
}

/* Who is not in a group of its own is limited by SO_RCVBUF alone. */
TEST_F(pays, receiver_without_group)
{
	struct groups *groups = &self->groups;

	make_connection(_metadata, groups, variant->type, NONE, SERVER);
	enter(_metadata, groups, SERVER);
	limit(_metadata, groups, SERVER, 4 * MIB);
	fill_and_look(_metadata, groups, groups->fd[SERVER], variant->chunk,
		      NONE);
}

/* A full group of a receiver is an error for who sends to it, and no more. */
TEST_F(pays, receiver_is_full)
{
	struct groups *groups = &self->groups;
	char *buf = calloc(1, variant->chunk);
	size_t queued;
	pid_t pid;

	ASSERT_NE(NULL, buf);
	make_connection(_metadata, groups, variant->type, CLIENT, SERVER);
	/* Somebody to be killed if memory were to be made free so */
	pid = my_fork(_metadata);
	if (!pid) {
		write_file(groups->path[CLIENT], "cgroup.procs", "0");
		pause();
		_exit(KSFT_FAIL);
	}
	ASSERT_TRUE(wait_asleep(pid));

	enter(_metadata, groups, SERVER);
	limit(_metadata, groups, CLIENT, 4 * MIB);
	queued = send_until(_metadata, groups->fd[SERVER], variant->chunk,
			    MSG_DONTWAIT, ENOBUFS);
	EXPECT_LT(MIB, (long)queued);
	/* It is the same for those who would wait. */
	set_timeout(_metadata, groups->fd[SERVER], SO_SNDTIMEO, WAIT_MS);
	queued += send_until(_metadata, groups->fd[SERVER], variant->chunk, 0,
			     ENOBUFS);
	EXPECT_GT(4 * MIB + NOISE, (long)queued);

	EXPECT_EQ(0, read_number(groups->top, "memory.events", "oom_kill"));
	EXPECT_EQ('S', proc_state(pid));

	my_drain(_metadata, groups->fd[CLIENT]);
	EXPECT_EQ((ssize_t)variant->chunk,
		  send(groups->fd[SERVER], buf, variant->chunk,
		       MSG_NOSIGNAL | MSG_DONTWAIT))
		TH_LOG("%s", strerror(errno));
	EXPECT_EQ(-SIGKILL, my_kill(pid));
	free(buf);
}

/* Others can be sent to meanwhile. */
TEST_F(pays, another_receiver_is_full)
{
	struct groups *groups = &self->groups;
	struct link link;

	make_connection(_metadata, groups, variant->type, CLIENT, SERVER);
	enter(_metadata, groups, OTHER);
	link_make(_metadata, &link, variant->type, BY_PAIR);
	large_rcvbuf(_metadata, link.fd[1]);

	enter(_metadata, groups, SERVER);
	limit(_metadata, groups, CLIENT, 4 * MIB);
	send_until(_metadata, groups->fd[SERVER], variant->chunk,
		   MSG_DONTWAIT, ENOBUFS);
	fill_and_look(_metadata, groups, link.fd[0], variant->chunk, OTHER);
	link_destroy(&link);
}

/* Who waits for room */

#define WAITING		20
#define WAITING_SIZE	400000

struct waiting {
	pthread_t thread;
	int fd;
	pid_t tid;	/* once it is about to send */
	int err;
};

static void *send_and_wait(void *arg)
{
	static char buf[WAITING_SIZE];
	struct waiting *waiting = arg;
	ssize_t n;

	__atomic_store_n(&waiting->tid, syscall(SYS_gettid), __ATOMIC_RELEASE);
	n = send(waiting->fd, buf, sizeof(buf), MSG_NOSIGNAL);
	waiting->err = n < 0 ? errno : 0;
	return NULL;
}

static void start_waiting(struct __test_metadata *_metadata,
			  struct waiting *waiting, int fd)
{
	long end = now_ms() + WAIT_MS;
	pid_t tid;

	*waiting = (struct waiting) { .fd = fd, .err = -1 };
	ASSERT_EQ(0, pthread_create(&waiting->thread, NULL, send_and_wait,
				    waiting));
	while (!(tid = __atomic_load_n(&waiting->tid, __ATOMIC_ACQUIRE)) &&
	       now_ms() < end)
		usleep(1000);
	ASSERT_TRUE(tid && wait_asleep(tid));
}

/* Beyond SO_RCVBUF the receiver pays for nothing. */
TEST_F(pays, who_waits_pays)
{
	struct groups *groups = &self->groups;
	struct waiting waiting[WAITING];
	int fd, i;

	if (variant->type == SOCK_STREAM)
		SKIP(return, "STREAM waits without memory");

	make_connection(_metadata, groups, variant->type, CLIENT, SERVER);
	fd = groups->fd[CLIENT];
	set_int_opt(_metadata, fd, SO_SNDBUFFORCE, WAITING_SIZE);
	set_timeout(_metadata, fd, SO_SNDTIMEO, 2 * WAIT_MS);
	enter(_metadata, groups, CLIENT);
	send_until(_metadata, fd, variant->chunk, MSG_DONTWAIT, EAGAIN);

	measure(_metadata, groups);
	for (i = 0; i < WAITING; i++)
		start_waiting(_metadata, &waiting[i], fd);
	expect_charged(_metadata, groups, CLIENT, WAITING * WAITING_SIZE);

	/* Then there is room for all of them. */
	my_drain(_metadata, groups->fd[SERVER]);
	for (i = 0; i < WAITING; i++) {
		ASSERT_EQ(0, pthread_join(waiting[i].thread, NULL));
		EXPECT_EQ(0, waiting[i].err);
	}
	my_drain(_metadata, groups->fd[SERVER]);
	expect_given_back(_metadata, groups, CLIENT);
}

/* Sockets that are accepted */

FIXTURE(accepted)
{
	struct groups groups;
};

FIXTURE_VARIANT(accepted)
{
	int type;
};

FIXTURE_VARIANT_ADD(accepted, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(accepted, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_SETUP(accepted)
{
	const char *why = groups_make(&self->groups);

	if (why)
		SKIP(return, "%s", why);
}

FIXTURE_TEARDOWN_PARENT(accepted)
{
	groups_remove(&self->groups);
}

TEST_F(accepted, who_accepted_pays)
{
	struct groups *groups = &self->groups;

	make_connection(_metadata, groups, variant->type, CLIENT, OTHER);
	enter(_metadata, groups, CLIENT);
	fill_and_look(_metadata, groups, groups->fd[CLIENT], 65536, OTHER);
}

/* Nobody can be said to receive before, so the sender pays until then. */
TEST_F(accepted, sender_pays_before)
{
	struct groups *groups = &self->groups;
	__u32 channel;

	make_ends(_metadata, groups, variant->type, CLIENT, &channel);
	ASSERT_EQ(0, my_connect(groups->fd[CLIENT], channel));
	fill_and_look(_metadata, groups, groups->fd[CLIENT], 65536, CLIENT);

	accept_in(_metadata, groups, OTHER);
	my_drain(_metadata, groups->fd[SERVER]);
	expect_given_back(_metadata, groups, CLIENT);
	enter(_metadata, groups, CLIENT);
	fill_and_look(_metadata, groups, groups->fd[CLIENT], 65536, OTHER);
}

/* Programs that a control group runs when options are used: these deny it. */

static const int attach_types[] = {
	BPF_CGROUP_GETSOCKOPT, BPF_CGROUP_SETSOCKOPT,
};

#define NUM_DENY	ARRAY_SIZE(attach_types)

static int bpf(int cmd, union bpf_attr *attr)
{
	return syscall(__NR_bpf, cmd, attr, sizeof(*attr));
}

/* A descriptor of a program that returns 0 */
static int load_deny(int attach_type)
{
	static const struct bpf_insn code[] = {
		{ BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0 },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_CGROUP_SOCKOPT,
		.expected_attach_type = attach_type,
		.insns = (uintptr_t)code,
		.insn_cnt = ARRAY_SIZE(code),
		.license = (uintptr_t)"GPL",
	};

	return bpf(BPF_PROG_LOAD, &attr);
}

/* @cmd: BPF_PROG_ATTACH or BPF_PROG_DETACH */
static void deny(struct __test_metadata *_metadata, struct groups *groups,
		 enum group group, int cmd, const int prog[NUM_DENY])
{
	int fd = open(groups->path[group], O_RDONLY | O_DIRECTORY);
	size_t i;

	ASSERT_LE(0, fd);
	for (i = 0; i < NUM_DENY; i++) {
		union bpf_attr attr = {
			.target_fd = fd,
			.attach_bpf_fd = prog[i],
			.attach_type = attach_types[i],
		};

		ASSERT_EQ(0, bpf(cmd, &attr)) TH_LOG("%s", strerror(errno));
	}
	close(fd);
}

static void expect_denied(struct __test_metadata *_metadata, int fd, int err)
{
	EXPECT_EQ(err, get_opt_err(fd, SOL_SOCKET, SO_TYPE));
	EXPECT_EQ(err, int_opt_err(fd, SOL_SOCKET, SO_RCVLOWAT, 1));
}

/* It belongs to the group of the listener. */
TEST_F(accepted, runs_programs_of_listener)
{
	struct groups *groups = &self->groups;
	int prog[NUM_DENY];
	size_t i;

	for (i = 0; i < NUM_DENY; i++) {
		prog[i] = load_deny(attach_types[i]);
		if (prog[i] < 0)
			SKIP(return, "bpf(): %s: CONFIG_CGROUP_BPF not set?",
			     strerror(errno));
	}
	make_connection(_metadata, groups, variant->type, CLIENT, OTHER);
	expect_denied(_metadata, groups->fd[SERVER], 0);

	deny(_metadata, groups, CLIENT, BPF_PROG_ATTACH, prog);
	expect_denied(_metadata, groups->fd[CLIENT], EPERM);
	expect_denied(_metadata, groups->fd[SERVER], 0);
	deny(_metadata, groups, CLIENT, BPF_PROG_DETACH, prog);

	deny(_metadata, groups, SERVER, BPF_PROG_ATTACH, prog);
	expect_denied(_metadata, groups->fd[CLIENT], 0);
	expect_denied(_metadata, groups->fd[SERVER], EPERM);
	expect_denied(_metadata, groups->listener, EPERM);
	deny(_metadata, groups, SERVER, BPF_PROG_DETACH, prog);
	for (i = 0; i < NUM_DENY; i++)
		close(prog[i]);
}

/* A group that was removed is freed once nothing belongs to it. */

static void expect_group_goes(struct __test_metadata *_metadata,
			      struct groups *groups, enum group group)
{
	long end = now_ms() + WAIT_MS, dying;

	ASSERT_EQ(0, rmdir(groups->path[group]))
		TH_LOG("%s", strerror(errno));
	groups->path[group][0] = 0;
	while ((dying = read_number(groups->top, "cgroup.stat",
				    "nr_dying_descendants")) > 0 &&
	       now_ms() < end)
		usleep(20000);
	EXPECT_EQ(0, dying);
}

/* CLIENT only called connect() on a socket of SERVER's. */
static void connect_for_server(struct __test_metadata *_metadata,
			       struct groups *groups, int type)
{
	__u32 channel;

	enter(_metadata, groups, SERVER);
	groups->listener = type_listener(_metadata, type, &channel);
	groups->fd[CLIENT] = type_socket(_metadata, type);
	enter(_metadata, groups, CLIENT);
	ASSERT_EQ(0, my_connect(groups->fd[CLIENT], channel));
	expect_send(_metadata, groups->fd[CLIENT], "abc");
	enter(_metadata, groups, SERVER);
}

TEST_F(accepted, keeps_no_group_of_client)
{
	struct groups *groups = &self->groups;

	connect_for_server(_metadata, groups, variant->type);
	accept_in(_metadata, groups, SERVER);
	expect_group_goes(_metadata, groups, CLIENT);
	expect_recv(_metadata, groups->fd[SERVER], "abc");
}

/* Nor does it before. */
TEST_F(accepted, waiting_keeps_no_group_of_client)
{
	struct groups *groups = &self->groups;

	connect_for_server(_metadata, groups, variant->type);
	expect_group_goes(_metadata, groups, CLIENT);
	accept_in(_metadata, groups, SERVER);
	expect_recv(_metadata, groups->fd[SERVER], "abc");
}

/* As with AF_UNIX a socket keeps its peer, until it is closed itself. */
TEST_F(accepted, closed_ends_keep_no_group)
{
	struct groups *groups = &self->groups;
	__u32 channel;
	pid_t pid;

	make_ends(_metadata, groups, variant->type, CLIENT, &channel);
	close(groups->fd[CLIENT]);
	groups->fd[CLIENT] = -1;
	enter(_metadata, groups, SERVER);
	pid = my_fork(_metadata);
	if (!pid) {
		int fd;

		write_file(groups->path[CLIENT], "cgroup.procs", "0");
		fd = socket(AF_MYPROTO, variant->type, 0);
		if (my_connect(fd, channel) || send(fd, "abc", 3, 0) != 3)
			_exit(KSFT_FAIL);
		_exit(KSFT_PASS);
	}
	ASSERT_EQ(KSFT_PASS, my_wait(pid));
	accept_in(_metadata, groups, SERVER);
	expect_recv(_metadata, groups->fd[SERVER], "abc");
	expect_eof(_metadata, groups->fd[SERVER]);
	close(groups->fd[SERVER]);
	groups->fd[SERVER] = -1;
	expect_group_goes(_metadata, groups, CLIENT);
}

/* A mount that nobody else sees, and that does not stay */
static void mount_cgroups(void)
{
	if (!access(CGROUPS "/cgroup.controllers", F_OK))
		return;
	if (!my_private_mounts())
		mount("none", CGROUPS, "cgroup2", 0, NULL);
}

int main(int argc, char **argv)
{
	mount_cgroups();
	return my_test_main(argc, argv);
}
