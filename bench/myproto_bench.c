// SPDX-License-Identifier: GPL-2.0
/*
 * What AF_MYPROTO costs, next to the other families that programs on one host
 * can talk over. "myproto_bench --help" explains the figures.
 *
 * Work is counted, not timed: an emulator whose clock counts instructions gets
 * the same figures each time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/myproto.h>
#include <linux/socket.h>
#include <linux/tipc.h>
#include <linux/vm_sockets.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define METRICS		3		/* at most, of one benchmark */
#define MAX_ROUNDS	101
#define BUF_SIZE	1048576

#define MAX_BYTES	1e9		/* of a measurement */
#define MIN_COUNT	100
#define MIN_SOCKETS	4000		/* of memory, as there is noise */
#define NOISE		16384		/* bytes of it that come and go */

#define BURST		50		/* messages */
#define SENDERS		8		/* of fanin */
#define TARGETS		16		/* of lookup */
#define SMALL		64		/* bytes */
#define LARGE		60000		/* bytes; each family takes it */
#define FLOOD		1024		/* bytes, of what a slow reader gets */
#define UNTIMED		20		/* turns; pages get touched */
#define WARM_UP		200		/* messages; then all are running */

#define DGRAM_QLEN	"/proc/sys/net/unix/max_dgram_qlen"

enum type { STREAM, SEQPACKET, DGRAM, TYPES };

static const char *const type_names[] = { "stream", "seqpacket", "dgram" };

static char buf[BUF_SIZE];
static pid_t measurer;		/* the process that does a measurement */

/* Families */

/*
 * Names are numbered. Each measurement has some of its own: TCP ports stay
 * occupied for a while. Those above are for who needs many.
 */
#define NAMES_PER_RUN	4
#define FIRST_OF_MANY	8192
#define NAME_BASE	10000		/* ports: below those of clients */
#define TIPC_TYPE	18888		/* any that is not reserved */

struct name {
	union {
		struct sockaddr sa;
		struct sockaddr_my my;
		struct sockaddr_un un;
		struct sockaddr_in in;
		struct sockaddr_vm vm;
		struct sockaddr_tipc tipc;
	};
	socklen_t len;
};

static void my_name(struct name *name, unsigned int n)
{
	name->my.smy_channel = NAME_BASE + n;
	name->len = sizeof(name->my);
}

static void un_name(struct name *name, unsigned int n)
{
	char *path = name->un.sun_path;

	/* The first byte is 0: an abstract name, nothing in a file system */
	name->len = offsetof(struct sockaddr_un, sun_path) + 1 +
		sprintf(path + 1, "bench-%d-%u", measurer, n);
}

static void in_name(struct name *name, unsigned int n)
{
	name->in.sin_port = htons(NAME_BASE + n);
	name->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	name->len = sizeof(name->in);
}

static void vm_name(struct name *name, unsigned int n)
{
	name->vm.svm_port = NAME_BASE + n;
	name->vm.svm_cid = VMADDR_CID_LOCAL;
	name->len = sizeof(name->vm);
}

static void tipc_name(struct name *name, unsigned int n)
{
	name->tipc.addrtype = TIPC_SERVICE_ADDR;
	name->tipc.scope = TIPC_NODE_SCOPE;
	name->tipc.addr.name.name.type = TIPC_TYPE;
	name->tipc.addr.name.name.instance = NAME_BASE + n;
	name->len = sizeof(name->tipc);
}

/**
 * struct family - a socket family
 * @name: what it is called here
 * @domain: the first argument of socket()
 * @types: the second, 0 for a type the family does not have
 * @connect_flags: more for the second: connect() of TIPC waits for accept(),
 *	which one thread alone cannot have, so it is told not to
 * @nodelay_level: of an option to send small data at once, 0 if there is none
 * @nodelay: the option
 * @names: how many names there are for who needs many
 * @loses: a DGRAM socket loses what comes too fast rather than let senders wait
 * @socketpair: has socketpair()
 * @set_name: fill in the rest of an address that is zero but for the family
 */
struct family {
	const char *name;
	int domain;
	int types[TYPES];
	int connect_flags;
	int nodelay_level;
	int nodelay;
	unsigned int names;
	bool loses;
	bool socketpair;
	void (*set_name)(struct name *name, unsigned int n);
};

static const struct family families[] = {
	{
		.name = "myproto",
		.domain = AF_MYPROTO,
		.types = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM },
		.names = UINT_MAX,
		.socketpair = true,
		.set_name = my_name,
	}, {
		.name = "unix",
		.domain = AF_UNIX,
		.types = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM },
		.names = UINT_MAX,
		.socketpair = true,
		.set_name = un_name,
	}, {
		.name = "tcp",
		.domain = AF_INET,
		.types = { [STREAM] = SOCK_STREAM },
		.nodelay_level = IPPROTO_TCP,
		.nodelay = TCP_NODELAY,
		.names = 12000,
		.set_name = in_name,
	}, {
		.name = "udp",
		.domain = AF_INET,
		.types = { [DGRAM] = SOCK_DGRAM },
		.names = 12000,
		.loses = true,
		.set_name = in_name,
	}, {
		.name = "vsock",
		.domain = AF_VSOCK,
		.types = { SOCK_STREAM, SOCK_SEQPACKET },
		.names = UINT_MAX,
		.set_name = vm_name,
	}, {
		.name = "tipc",
		.domain = AF_TIPC,
		.types = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_RDM },
		.connect_flags = SOCK_NONBLOCK,
		.nodelay_level = SOL_TIPC,
		.nodelay = TIPC_NODELAY,
		.names = 20000,
		.loses = true,
		.socketpair = true,
		.set_name = tipc_name,
	},
};

#define FAMILIES	ARRAY_SIZE(families)
#define MYPROTO		0		/* places in the table */
#define UNIX		1

/* Measurements */

enum unit { TIME, RATE, SHARE, BYTES };

static const char *units[4] = { "ns", "MB/s", "min/max", "bytes" };

struct metric {
	const char *name;
	enum unit unit;
};

/* One measurement of one family */
struct run {
	const char *bench;
	const struct family *family;
	enum type type;
	unsigned int size;
	long count;
	unsigned int name;		/* the first of its own names */
	struct name address;		/* which is this */
	double value[METRICS];		/* NAN: not measured */
	char note[100];			/* why not, or what was different */

	/* What the benchmarks keep for themselves */
	int fd[4];
	int burst;
	unsigned int turn;
};

/**
 * struct bench - a benchmark
 * @name: what it is called
 * @help: what it measures
 * @run: measure
 * @count: how often, unless told otherwise; less often with large sizes
 * @metrics: what the values are
 * @sizes: for each type, up to END
 */
struct bench {
	const char *name;
	const char *help;
	void (*run)(struct run *r);
	long count;
	struct metric metrics[METRICS];
	const unsigned int *sizes[TYPES];
};

static void die(const struct run *r, const char *call)
{
	fprintf(stderr, "myproto_bench: %s %s %s %u: %s: %s\n",
		r->family->name, r->bench, type_names[r->type], r->size, call,
		strerror(errno));

	/* Nobody is to wait for a child that has failed. */
	if (getpid() != measurer)
		kill(measurer, SIGTERM);
	_exit(EXIT_FAILURE);
}

static int check(const struct run *r, int ret, const char *call)
{
	if (ret < 0)
		die(r, call);
	return ret;
}

static void *check_alloc(const struct run *r, void *p)
{
	if (!p)
		die(r, "calloc");
	return p;
}

static void note(struct run *r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(r->note, sizeof(r->note), format, args);
	va_end(args);
}

static __u64 now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static double since(__u64 start)
{
	return now() - start;
}

static bool loses(const struct run *r)
{
	return r->type == DGRAM && r->family->loses;
}

static long read_number(const char *path)
{
	FILE *f = fopen(path, "r");
	long n = -1;

	if (f) {
		if (fscanf(f, "%ld", &n) != 1)
			n = -1;
		fclose(f);
	}
	return n;
}

static bool write_number(const char *path, long n)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return false;
	fprintf(f, "%ld\n", n);
	return !fclose(f);
}

/* Sockets */

static struct name name_of(const struct family *family, unsigned int n)
{
	struct name name;

	memset(&name, 0, sizeof(name));
	name.sa.sa_family = family->domain;
	family->set_name(&name, n);
	return name;
}

static int new_socket(const struct run *r, int flags)
{
	int type = r->family->types[r->type] | flags;

	return check(r, socket(r->family->domain, type, 0), "socket");
}

static int bound_socket(const struct run *r, const struct name *name)
{
	int fd = new_socket(r, 0);

	check(r, bind(fd, &name->sa, name->len), "bind");
	return fd;
}

static int listener(const struct run *r, const struct name *name)
{
	int fd = bound_socket(r, name);

	check(r, listen(fd, 1), "listen");
	return fd;
}

/* A connection through a listener: fd[0] connected, fd[1] was accepted */
static void connection(const struct run *r, int listening,
		       const struct name *name, int fd[2])
{
	fd[0] = new_socket(r, r->family->connect_flags);
	if (connect(fd[0], &name->sa, name->len) && errno != EINPROGRESS)
		die(r, "connect");
	fd[1] = check(r, accept(listening, NULL, NULL), "accept");
}

static void set_nodelay(const struct run *r, int fd)
{
	const struct family *family = r->family;
	int one = 1;

	if (family->nodelay_level)
		check(r, setsockopt(fd, family->nodelay_level, family->nodelay,
				    &one, sizeof(one)), "setsockopt");
}

/* The same, ready for data */
static void connected_pair(const struct run *r, int listening,
			   const struct name *name, int fd[2])
{
	connection(r, listening, name, fd);
	check(r, fcntl(fd[0], F_SETFL, 0), "fcntl");
	if (r->type == STREAM) {
		set_nodelay(r, fd[0]);
		set_nodelay(r, fd[1]);
	}
}

static void dgram_pair(const struct run *r, unsigned int n, int fd[2])
{
	struct name name;
	int i;

	for (i = 0; i < 2; i++) {
		name = name_of(r->family, n + i);
		fd[i] = bound_socket(r, &name);
	}
	for (i = 0; i < 2; i++) {
		name = name_of(r->family, n + !i);
		check(r, connect(fd[i], &name.sa, name.len), "connect");
	}
}

/*
 * @n sockets, each two of them connected with each other; takes as many names.
 * There is but one listener: had each pair its own, these would leave holes in
 * the memory that the sockets take.
 */
static void pairs(const struct run *r, unsigned int first, int *fd, long n)
{
	struct name name = name_of(r->family, first);
	int listening = -1;
	long i;

	if (r->type != DGRAM)
		listening = listener(r, &name);
	for (i = 0; i < n; i += 2) {
		if (r->type == DGRAM)
			dgram_pair(r, first + i, fd + i);
		else
			connected_pair(r, listening, &name, fd + i);
	}
	close(listening);
}

static void pair(const struct run *r, unsigned int first, int fd[2])
{
	pairs(r, first, fd, 2);
}

static void close_all(const int *fd, long n)
{
	long i;

	for (i = 0; i < n; i++)
		close(fd[i]);
}

/* Room for @n descriptors at once; NULL if that or @n names cannot be had */
static int *many_sockets(struct run *r, unsigned int n)
{
	struct rlimit limit = { n + 64, n + 64 }, old;

	if (n > r->family->names) {
		note(r, "there are not so many names");
		return NULL;
	}
	check(r, getrlimit(RLIMIT_NOFILE, &old), "getrlimit");
	if (limit.rlim_max < old.rlim_max)
		limit.rlim_max = old.rlim_max;
	if (old.rlim_cur < limit.rlim_cur && setrlimit(RLIMIT_NOFILE, &limit)) {
		note(r, "RLIMIT_NOFILE %ju cannot be raised to %u: %s",
		     (uintmax_t)old.rlim_max, n + 64, strerror(errno));
		return NULL;
	}

	/* The table of descriptors grows now and stays so. */
	close(check(r, dup2(STDERR_FILENO, n + 63), "dup2"));
	return check_alloc(r, calloc(n, sizeof(int)));
}

/* Data */

static void put(const struct run *r, int fd, size_t size)
{
	size_t done;
	ssize_t n;

	for (done = 0; done < size; done += n) {
		n = write(fd, buf, size - done);
		if (n < 0 || (r->type != STREAM && n != (ssize_t)size))
			die(r, "write");
	}
}

static void get(const struct run *r, int fd, size_t size)
{
	size_t done;
	ssize_t n;

	for (done = 0; done < size; done += n) {
		errno = 0;
		n = read(fd, buf, size - done);
		if (n <= 0 || (r->type != STREAM && n != (ssize_t)size))
			die(r, "read");
	}
}

/* How many of @want messages can be sent before any is received */
static int fitting(const struct run *r, const int fd[2], int want)
{
	size_t sent = 0, received = 0;
	ssize_t n = 0;

	for (; want && n >= 0; want--, sent += n > 0 ? n : 0)
		n = send(fd[0], buf, r->size, MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN && errno != EMSGSIZE)
		die(r, "send");

	for (; received < sent; received += n) {
		n = recv(fd[1], buf, BUF_SIZE, loses(r) ? MSG_DONTWAIT : 0);
		if (n < 0 && errno == EAGAIN)
			break;
		check(r, n, "recv");
	}
	return received / r->size;
}

/* Processes */

static int gate[2];		/* a pipe where children wait to begin */
static pid_t children[SENDERS];
static int nr_children;

static void open_gate(void)
{
	close(gate[0]);
	close(gate[1]);
}

static void pass_gate(const struct run *r)
{
	char c;

	close(gate[1]);
	check(r, read(gate[0], &c, 1), "read from pipe");
	close(gate[0]);
}

/* A child that does not outlive this process */
static pid_t fork_child(const struct run *r)
{
	pid_t parent = getpid(), pid;

	pid = check(r, fork(), "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(EXIT_FAILURE);
	}
	return pid;
}

/* In a child, nr_children is its number. */
static void start(struct run *r, void (*func)(struct run *r))
{
	pid_t pid;

	if (!nr_children)
		check(r, pipe(gate), "pipe");
	pid = fork_child(r);
	if (!pid) {
		pass_gate(r);
		func(r);
		_exit(EXIT_SUCCESS);
	}
	children[nr_children++] = pid;
}

/* Let children end, or make them when their work has no end */
static void end_children(const struct run *r, bool endless)
{
	int status;
	pid_t pid;

	while (nr_children) {
		pid = children[--nr_children];
		if (endless)
			kill(pid, SIGKILL);
		check(r, waitpid(pid, &status, 0), "waitpid");
		errno = 0;
		if (!endless && status)
			die(r, "child");
	}
}

/* Statistics */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* @v gets sorted */
static double percentile(double *v, long n, int percent)
{
	qsort(v, n, sizeof(*v), compare);
	return v[(n - 1) * percent / 100];
}

/* Do something as often as it is to be measured, and before that for nothing */
static void repeat(struct run *r, void (*once)(struct run *r))
{
	__u64 start;
	long i;

	for (i = 0; i < UNTIMED; i++)
		once(r);
	start = now();
	for (i = 0; i < r->count; i++)
		once(r);
	r->value[0] = since(start) / r->count;
}

/* Benchmarks: one thread that sends and receives */

static void put_and_get(struct run *r)
{
	put(r, r->fd[0], r->size);
	get(r, r->fd[1], r->size);
}

static void run_oneway(struct run *r)
{
	pair(r, r->name, r->fd);
	if (fitting(r, r->fd, 1))
		repeat(r, put_and_get);
	else
		note(r, "it does not fit into the buffers");
	close_all(r->fd, 2);
}

/* A DGRAM socket of AF_UNIX takes only a few messages, as a sysctl says. */
static void pair_for_burst(struct run *r)
{
	long old = read_number(DGRAM_QLEN);
	bool raised;

	raised = old >= 0 && old < BURST && write_number(DGRAM_QLEN, BURST);
	pair(r, r->name, r->fd);
	if (raised)
		write_number(DGRAM_QLEN, old);
}

static void one_burst(struct run *r)
{
	int i;

	for (i = 0; i < r->burst; i++)
		put(r, r->fd[0], r->size);
	if (r->type == STREAM)
		get(r, r->fd[1], r->burst * r->size);
	else
		for (i = 0; i < r->burst; i++)
			get(r, r->fd[1], r->size);
}

static void run_burst(struct run *r)
{
	pair_for_burst(r);
	r->burst = fitting(r, r->fd, BURST);
	if (r->burst < BURST)
		note(r, "only %d messages fit at a time", r->burst);
	if (r->burst) {
		repeat(r, one_burst);
		r->value[0] /= r->burst;
	}
	close_all(r->fd, 2);
}

/* Benchmarks: one process that sends, another that receives */

static void get_one(struct run *r)
{
	get(r, r->fd[1], r->size);
}

static void bulk_writer(struct run *r)
{
	long i;

	for (i = 0; i < UNTIMED + r->count || loses(r); i++)
		put(r, r->fd[0], r->size);
}

static void run_bulk(struct run *r)
{
	pair(r, r->name, r->fd);
	start(r, bulk_writer);
	open_gate();

	repeat(r, get_one);
	r->value[1] = r->size * 1000 / r->value[0];
	end_children(r, loses(r));
	close_all(r->fd, 2);
}

static void echo(struct run *r)
{
	long i;

	for (i = 0; i < WARM_UP + r->count; i++) {
		get(r, r->fd[1], r->size);
		put(r, r->fd[1], r->size);
	}
}

static void ping(const struct run *r)
{
	put(r, r->fd[0], r->size);
	get(r, r->fd[0], r->size);
}

/* The other side is echo(). */
static void measure_pings(struct run *r)
{
	double *times = check_alloc(r, calloc(r->count, sizeof(*times)));
	__u64 start;
	long i;

	for (i = 0; i < WARM_UP; i++)
		ping(r);
	for (i = 0; i < r->count; i++) {
		start = now();
		ping(r);
		times[i] = since(start);
	}
	r->value[0] = percentile(times, r->count, 50);
	r->value[1] = percentile(times, r->count, 99);
	free(times);
}

static void run_pingpong(struct run *r)
{
	pair(r, r->name, r->fd);
	start(r, echo);
	open_gate();
	measure_pings(r);
	end_children(r, false);
	close_all(r->fd, 2);
}

static void flood(struct run *r)
{
	for (;;)
		put(r, r->fd[2], FLOOD);
}

static void slow_reader(struct run *r)
{
	for (;;) {
		get(r, r->fd[3], FLOOD);
		usleep(1000);
	}
}

static void run_slow(struct run *r)
{
	pair(r, r->name, r->fd);
	pair(r, r->name + 2, r->fd + 2);
	start(r, flood);
	start(r, slow_reader);
	start(r, echo);
	open_gate();
	measure_pings(r);
	end_children(r, true);
	close_all(r->fd, 4);
}

static long received[SENDERS];

static void fanin_sender(struct run *r)
{
	int fd = new_socket(r, 0);

	check(r, connect(fd, &r->address.sa, r->address.len), "connect");
	buf[0] = nr_children;
	for (;;)
		put(r, fd, r->size);
}

static void get_and_count(struct run *r)
{
	get_one(r);
	received[(int)buf[0]]++;
}

/* What the sender who got least through has of what the luckiest has */
static double share(void)
{
	double min = received[0], max = received[0];
	int i;

	for (i = 1; i < SENDERS; i++) {
		min = MIN(min, received[i]);
		max = MAX(max, received[i]);
	}
	return min / max;
}

static void run_fanin(struct run *r)
{
	int i;

	r->fd[1] = bound_socket(r, &r->address);
	while (nr_children < SENDERS)
		start(r, fanin_sender);
	open_gate();

	for (i = 0; i < SENDERS * WARM_UP; i++)
		get_one(r);
	memset(received, 0, sizeof(received));
	repeat(r, get_and_count);
	r->value[1] = share();
	end_children(r, true);
	close(r->fd[1]);
}

/* Benchmarks: sockets come and go */

static void one_connection(struct run *r)
{
	connection(r, r->fd[2], &r->address, r->fd);
	close_all(r->fd, 2);
}

static void run_connect(struct run *r)
{
	r->fd[2] = listener(r, &r->address);
	repeat(r, one_connection);
	close(r->fd[2]);
}

static void one_cycle(struct run *r)
{
	r->fd[2] = listener(r, &r->address);
	connection(r, r->fd[2], &r->address, r->fd);
	close_all(r->fd, 3);
}

static void run_cycle(struct run *r)
{
	repeat(r, one_cycle);
}

static void one_bind(struct run *r)
{
	close(bound_socket(r, &r->address));
}

static void run_bind(struct run *r)
{
	repeat(r, one_bind);
}

static void one_socketpair(struct run *r)
{
	int type = r->family->types[r->type];

	check(r, socketpair(r->family->domain, type, 0, r->fd), "socketpair");
	close_all(r->fd, 2);
}

static void run_pair(struct run *r)
{
	if (r->family->socketpair)
		repeat(r, one_socketpair);
	else
		note(r, "the family has no socketpair()");
}

/* Benchmarks: many sockets */

static struct {
	struct name name;
	int fd;
} target[TARGETS];

/* fd[0] is the sender. */
static void find_target(struct run *r)
{
	int i = r->turn++ % TARGETS;
	ssize_t n;

	n = sendto(r->fd[0], buf, SMALL, 0, &target[i].name.sa,
		   target[i].name.len);
	if (n != SMALL)
		die(r, "sendto");
	get(r, target[i].fd, SMALL);
}

static void bind_many(const struct run *r, int *fd, long from, long to)
{
	struct name name;
	long i;

	for (i = from; i < to; i++) {
		name = name_of(r->family, FIRST_OF_MANY + i);
		fd[i] = bound_socket(r, &name);
	}
}

static void run_lookup(struct run *r)
{
	unsigned int i, n, step = r->size / TARGETS;
	int *fd;

	fd = many_sockets(r, r->size);
	if (!fd)
		return;
	bind_many(r, fd, 0, r->size);
	for (i = 0; i < TARGETS; i++) {
		n = i * step;
		target[i].name = name_of(r->family, FIRST_OF_MANY + n);
		target[i].fd = fd[n];
	}

	/* Hash tables have grown then, and sockets of before are freed. */
	usleep(500000);
	r->fd[0] = new_socket(r, 0);
	repeat(r, find_target);
	close(r->fd[0]);
	close_all(fd, r->size);
	free(fd);
}

/* The sum of the values of @key, as in "key: value", in a file of /proc */
static double sum_of(const char *path, const char *key)
{
	FILE *f = fopen(path, "r");
	size_t len = strlen(key);
	char line[128], *p;
	double sum = 0;

	while (f && fgets(line, sizeof(line), f)) {
		p = line + strspn(line, " ");
		if (!strncmp(p, key, len) && p[len] == ':')
			sum += atof(p + len + 1);
	}
	if (f)
		fclose(f);
	return sum;
}

static double memory_line(const char *key)
{
	return sum_of("/proc/meminfo", key) * 1024;
}

/*
 * All memory but the page cache, and the pages each CPU has at hand, which do
 * not count as free. Slab has not everything: some families keep pages or have
 * them in their queues. Sockets that were closed go after a grace period, hence
 * the wait for the figure to settle. Root can have counts per CPU added up
 * first.
 */
static double memory_in_use(void)
{
	double last, used = -1;
	int same = 0, tries = 0;

	do {
		last = used;
		usleep(50000);
		write_number("/proc/sys/vm/stat_refresh", 1);
		used = memory_line("MemTotal") - memory_line("MemFree") -
		       memory_line("Buffers") - memory_line("Cached") -
		       sum_of("/proc/zoneinfo", "count") * getpagesize();
		same = fabs(used - last) <= NOISE ? same + 1 : 0;
	} while (same < 3 && ++tries < 200);
	return used;
}

/* Something small and something large, which is read at once */
static void use_direction(const struct run *r, int from, int to)
{
	size_t left = LARGE;
	ssize_t n;

	put(r, from, SMALL);
	get(r, to, SMALL);
	while (left) {
		n = send(from, buf, left, MSG_DONTWAIT);
		if (n <= 0)
			die(r, "send");
		get(r, to, n);
		left -= n;
	}
}

static void pair_many(const struct run *r, int *fd, long from, long to)
{
	pairs(r, FIRST_OF_MANY + from, fd + from, to - from);
}

/*
 * The first ones take what slabs have free, once everything that was closed
 * has been freed: they do not count.
 */
static double memory_for(const struct run *r, int *fd,
			 void (*make)(const struct run *r, int *fd, long from,
				      long to))
{
	long first = r->count / 4 * 2;
	double before;

	memory_in_use();
	make(r, fd, 0, first);
	before = memory_in_use();
	make(r, fd, first, r->count);
	return (memory_in_use() - before) / (r->count - first);
}

static void run_memory(struct run *r)
{
	double before;
	int *fd;
	long i;

	r->count = MAX(r->count, MIN_SOCKETS);
	fd = many_sockets(r, r->count);
	if (!fd)
		return;
	r->value[0] = memory_for(r, fd, bind_many);
	close_all(fd, r->count);

	r->value[1] = memory_for(r, fd, pair_many);
	before = memory_in_use();
	for (i = 0; i < r->count; i++)
		use_direction(r, fd[i], fd[i ^ 1]);
	r->value[2] = r->value[1] + (memory_in_use() - before) / r->count;
	close_all(fd, r->count);
	free(fd);
}

/* The table of benchmarks */

#define END		UINT_MAX
#define SIZES(...)	((const unsigned int[]){ __VA_ARGS__, END })
#define NO_SIZE		SIZES(0)
#define ONEWAY_SIZES	SIZES(1, 64, 1024, 4096, 16384, 60000)
#define BURST_SIZES	SIZES(64, 1024)
#define PING_SIZES	SIZES(64, 4096)
#define MESSAGE_SIZES	SIZES(64, 4096, 60000)

static const struct bench benches[] = {
	{
		.name = "oneway",
		.help =
		"One thread with a connected pair, by connect(): one write(2)\n"
		"to one end and one read(2) of as much from the other, in turn.\n"
		"The time of both calls. Lower is better.\n",
		.run = run_oneway,
		.count = 200000,
		.metrics = { { "time", TIME } },
		.sizes = { ONEWAY_SIZES, ONEWAY_SIZES, ONEWAY_SIZES },
	}, {
		.name = "burst",
		.help =
		"The same, but 50 times write(2) and then one read(2) of\n"
		"everything (stream) or 50 (the other types). The time of one\n"
		"write(2) and its part of the reading. Lower is better. Where\n"
		"the buffers hold less than 50, as many as they do; for unix\n"
		"dgram, root has net.unix.max_dgram_qlen raised meanwhile.\n",
		.run = run_burst,
		.count = 4000,
		.metrics = { { "time", TIME } },
		.sizes = { BURST_SIZES, BURST_SIZES, BURST_SIZES },
	}, {
		.name = "bulk",
		.help =
		"A process that does nothing but write(2), another that does\n"
		"nothing but read(2); the size is that of each call. time:\n"
		"from one message to the next where they arrive, lower is\n"
		"better. rate: the bytes in this time, higher is better. UDP\n"
		"and TIPC dgram lose messages; those that arrive count.\n"
		"So does vsock seqpacket with many small ones, in another\n"
		"way: it resets the connection, and has no result.\n",
		.run = run_bulk,
		.count = 200000,
		.metrics = { { "time", TIME }, { "rate", RATE } },
		.sizes = {
			SIZES(64, 4096, 65536, 1048576),
			MESSAGE_SIZES,
			MESSAGE_SIZES,
		},
	}, {
		.name = "pingpong",
		.help =
		"Two processes: one writes and reads the answer, of the same\n"
		"size, from another that does the opposite. median and p99\n"
		"(99th percentile) of the round trips. Lower is better.\n",
		.run = run_pingpong,
		.count = 20000,
		.metrics = { { "median", TIME }, { "p99", TIME } },
		.sizes = { PING_SIZES, PING_SIZES, PING_SIZES },
	}, {
		.name = "connect",
		.help =
		"One thread with a listening socket: socket(), connect(),\n"
		"accept() and twice close(). The time of all five calls. Lower\n"
		"is better.\n",
		.run = run_connect,
		.count = 10000,
		.metrics = { { "time", TIME } },
		.sizes = { NO_SIZE, NO_SIZE },
	}, {
		.name = "bind",
		.help =
		"socket(), bind() to a given name, always the same, and\n"
		"close(). The time of all three calls. Lower is better.\n",
		.run = run_bind,
		.count = 40000,
		.metrics = { { "time", TIME } },
		.sizes = { NO_SIZE, NO_SIZE, NO_SIZE },
	}, {
		.name = "pair",
		.help =
		"socketpair() and twice close(), for families that have it.\n"
		"The time of all three calls. Lower is better.\n",
		.run = run_pair,
		.count = 40000,
		.metrics = { { "time", TIME } },
		.sizes = { NO_SIZE, NO_SIZE, NO_SIZE },
	}, {
		.name = "cycle",
		.help =
		"All that a connection takes: socket(), bind(), listen(),\n"
		"socket(), connect(), accept() and three times close(). The\n"
		"time of all nine calls. Lower is better.\n",
		.run = run_cycle,
		.count = 10000,
		.metrics = { { "time", TIME } },
		.sizes = { NO_SIZE, NO_SIZE },
	}, {
		.name = "fanin",
		.help =
		"8 processes, each with a socket of its own, write(2) to one\n"
		"socket that a ninth process reads. time: from one message to\n"
		"the next where they arrive, lower is better. share: how many\n"
		"came from the sender that got least through, in proportion to\n"
		"the one that got most through; 1 is fair, higher is better.\n"
		"UDP and TIPC lose messages; those that arrive count.\n",
		.run = run_fanin,
		.count = 100000,
		.metrics = { { "time", TIME }, { "share", SHARE } },
		.sizes = { [DGRAM] = BURST_SIZES },
	}, {
		.name = "lookup",
		.help =
		"As many sockets as the size says are bound. One thread has\n"
		"sendto() find one of them by its name and read(2)s the 64\n"
		"bytes there, in turn with 16 sockets spread among all. The\n"
		"time of both calls. Lower is better.\n",
		.run = run_lookup,
		.count = 100000,
		.metrics = { { "time", TIME } },
		.sizes = { [DGRAM] = SIZES(100, 1000, 10000, 100000) },
	}, {
		.name = "memory",
		.help =
		"How much of the memory of the system a socket takes, its file\n"
		"included. bound: after socket() and bind(). connected: of a\n"
		"connected pair (TCP, UDP and so on: each end). used: after 64\n"
		"and 60000 bytes have gone in each direction and been read.\n"
		"Lower is better. Nothing else may happen on the system.\n",
		.run = run_memory,
		.count = 10000,
		.metrics = {
			{ "bound", BYTES },
			{ "connected", BYTES },
			{ "used", BYTES },
		},
		.sizes = { NO_SIZE, NO_SIZE, NO_SIZE },
	}, {
		.name = "slow",
		.help =
		"As pingpong with 64 bytes, while another process writes 1024\n"
		"bytes at a time to a reader that takes as much once in a\n"
		"millisecond, so that its queue is always full. How little\n"
		"this disturbs. Lower is better.\n",
		.run = run_slow,
		.count = 10000,
		.metrics = { { "median", TIME }, { "p99", TIME } },
		.sizes = { [STREAM] = SIZES(SMALL), [DGRAM] = SIZES(SMALL) },
	},
};

#define BENCHES		ARRAY_SIZE(benches)

/* Options; sets are bits */

static unsigned int chosen_families = ~0U;
static unsigned int chosen_types = ~0U;
static unsigned int chosen_benches = ~0U;
static int rounds = 5;
static double scale = 1;
static FILE *tsv;

static bool is_in(unsigned int set, unsigned int i)
{
	return set & 1U << i;
}

/* Results */

/* What was measured of a family, with one benchmark, type and size */
struct result {
	double samples[METRICS][MAX_ROUNDS];
	bool skipped;
};

struct summary {
	double lowest;
	double median;		/* NAN: there is none */
	double highest;
};

/* A line of the table; one for each metric, in fact */
struct row {
	const struct bench *bench;
	enum type type;
	unsigned int size;
	struct result results[FAMILIES];
};

static bool absent[FAMILIES];
static bool failed[FAMILIES];
static struct run *shared;		/* with the process that measures */
static unsigned int names_taken;

static struct summary summarize(struct result *result, int metric)
{
	double *v = result->samples[metric];
	struct summary s = { NAN, NAN, NAN };

	if (!result->skipped) {
		qsort(v, rounds, sizeof(*v), compare);
		s.median = (v[(rounds - 1) / 2] + v[rounds / 2]) / 2;
		s.lowest = v[0];
		s.highest = v[rounds - 1];
	}
	return s;
}

static void print_header(void)
{
	size_t i;

	printf("%-9s%-10s%7s %-10s%-8s", "bench", "type", "size", "metric",
	       "unit");
	for (i = 0; i < FAMILIES; i++)
		if (is_in(chosen_families, i))
			printf("%10s", families[i].name);
	printf("%14s\n", "myproto/unix");
	fflush(stdout);

	if (tsv)
		fputs("bench\ttype\tsize\tfamily\tmetric\tunit\tvalue\t"
		      "ratio-to-unix\trounds\tlowest\thighest\n", tsv);
}

static void print_cell(int width, double value)
{
	int digits = fabs(value) < 10 ? 3 : fabs(value) < 1000 ? 1 : 0;

	if (!isfinite(value))
		printf(" %*s", width - 1, "-");
	else
		printf(" %*.*f", width - 1, digits, value);
}

static void print_line(const struct row *row, const struct metric *metric,
		       const struct summary *s)
{
	size_t i;

	printf("%-9s%-10s%7u %-10s%-8s", row->bench->name,
	       type_names[row->type], row->size, metric->name,
	       units[metric->unit]);
	for (i = 0; i < FAMILIES; i++) {
		if (!is_in(chosen_families, i))
			continue;
		if (absent[i])
			printf("%10s", "absent");
		else
			print_cell(10, s[i].median);
	}
	print_cell(14, s[MYPROTO].median / s[UNIX].median);
	putchar('\n');
	fflush(stdout);
}

static void print_tsv(const struct row *row, const struct metric *metric,
		      const struct summary *s)
{
	double ratio;
	size_t i;

	for (i = 0; i < FAMILIES; i++) {
		if (isnan(s[i].median))
			continue;
		fprintf(tsv, "%s\t%s\t%u\t%s\t%s\t%s\t%.3f\t",
			row->bench->name, type_names[row->type], row->size,
			families[i].name, metric->name, units[metric->unit],
			s[i].median);
		ratio = s[i].median / s[UNIX].median;
		if (isfinite(ratio))
			fprintf(tsv, "%.3f", ratio);
		else
			fputs("-", tsv);
		fprintf(tsv, "\t%d\t%.3f\t%.3f\n", rounds, s[i].lowest,
			s[i].highest);
	}
	fflush(tsv);
}

static void print_row(struct row *row)
{
	const struct metric *metric = row->bench->metrics;
	struct summary s[FAMILIES];
	size_t i, j;

	for (i = 0; i < METRICS && metric[i].name; i++) {
		for (j = 0; j < FAMILIES; j++)
			s[j] = summarize(&row->results[j], i);
		print_line(row, &metric[i], s);
		if (tsv)
			print_tsv(row, &metric[i], s);
	}
}

/* Measuring in turn */

/* An even number, as memory needs */
static long count_of(const struct bench *bench, unsigned int size, double part)
{
	double count = bench->count;

	if (size)
		count = MIN(count, MAX_BYTES / size);
	return 2 * (long)(MAX(count * part, MIN_COUNT) / 2);
}

/*
 * In a process of its own: when it fails, the others still get measured, and
 * whatever it leaves behind goes. False if it failed.
 */
static bool run_alone(const struct bench *bench, struct run *r)
{
	pid_t pid = fork_child(r);
	int status;

	if (!pid) {
		measurer = getpid();
		bench->run(r);
		_exit(EXIT_SUCCESS);
	}
	return waitpid(pid, &status, 0) == pid && !status;
}

/* Measure one family; @round -1 is to warm up */
static void measure_family(struct row *row, int family, int round)
{
	struct result *result = &row->results[family];
	int i;

	*shared = (struct run) {
		.bench = row->bench->name,
		.family = &families[family],
		.type = row->type,
		.size = row->size,
		.count = count_of(row->bench, row->size,
				  round < 0 ? scale / 10 : scale),
		.name = names_taken++ * NAMES_PER_RUN % FIRST_OF_MANY,
		.value = { NAN, NAN, NAN },
	};
	shared->address = name_of(shared->family, shared->name);

	result->skipped = true;
	if (!run_alone(row->bench, shared)) {
		failed[family] = true;
		return;
	}
	result->skipped = isnan(shared->value[0]);
	if (shared->note[0] && (round < 0 || result->skipped))
		fprintf(stderr, "%s %s %s %u: %s\n", shared->family->name,
			shared->bench, type_names[shared->type], shared->size,
			shared->note);
	for (i = 0; round >= 0 && i < METRICS; i++)
		result->samples[i][round] = shared->value[i];
}

static bool is_there(const struct row *row, int family)
{
	return is_in(chosen_families, family) && !absent[family] &&
		families[family].types[row->type];
}

static void measure(const struct bench *bench, enum type type,
		    unsigned int size)
{
	struct row row = { .bench = bench, .type = type, .size = size };
	bool any = false;
	size_t i;
	int round;

	for (i = 0; i < FAMILIES; i++) {
		row.results[i].skipped = !is_there(&row, i);
		any |= !row.results[i].skipped;
	}
	if (!any)
		return;
	for (round = -1; round < rounds; round++)
		for (i = 0; i < FAMILIES; i++)
			if (!row.results[i].skipped)
				measure_family(&row, i, round);
	print_row(&row);
}

static void measure_all(void)
{
	const unsigned int *size;
	size_t i, type;

	for (i = 0; i < BENCHES; i++) {
		if (!is_in(chosen_benches, i))
			continue;
		for (type = 0; type < TYPES; type++) {
			size = benches[i].sizes[type];
			if (!size || !is_in(chosen_types, type))
				continue;
			for (; *size != END; size++)
				measure(&benches[i], type, *size);
		}
	}
}

/* Which families there are */

/* What fails, or NULL. A vsock without loopback has no such name to bind to. */
static const char *probe(const struct family *family)
{
	struct name name = name_of(family, FIRST_OF_MANY);
	const char *call = NULL;
	size_t i = 0;
	int fd;

	while (!family->types[i])
		i++;
	fd = socket(family->domain, family->types[i], 0);
	if (fd < 0)
		return "socket";
	if (bind(fd, &name.sa, name.len))
		call = "bind";
	close(fd);
	return call;
}

static void find_families(void)
{
	const char *call;
	size_t i;

	for (i = 0; i < FAMILIES; i++) {
		if (!is_in(chosen_families, i))
			continue;
		call = probe(&families[i]);
		if (!call)
			continue;
		absent[i] = true;
		fprintf(stderr, "%s skipped: %s: %s\n", families[i].name,
			call, strerror(errno));
	}
}

/* Command line */

static const char *family_name(size_t i)
{
	return i < FAMILIES ? families[i].name : NULL;
}

static const char *type_name(size_t i)
{
	return i < TYPES ? type_names[i] : NULL;
}

static const char *bench_name(size_t i)
{
	return i < BENCHES ? benches[i].name : NULL;
}

static void list(const char *title, const char *(*name)(size_t i))
{
	size_t i;

	printf("%s:", title);
	for (i = 0; name(i); i++)
		printf(" %s", name(i));
	putchar('\n');
}

static void list_all(void)
{
	list("families", family_name);
	list("types", type_name);
	list("benchmarks", bench_name);
}

static void print_help(void)
{
	size_t i;

	puts("usage: myproto_bench [option]...\n"
	     "-f, --families LIST    of these, separated by commas\n"
	     "-b, --benchmarks LIST  these benchmarks\n"
	     "-t, --types LIST       sockets of these types\n"
	     "-r, --rounds N         the value is the median of so many (5)\n"
	     "-s, --scale FACTOR     measure more or less often; 0.05 or 1/20\n"
	     "-u, --unit UNIT        what the clock counts, if not ns\n"
	     "-o, --output FILE      write all values, separated by tabs\n"
	     "-l, --list             list what can be chosen\n"
	     "-h, --help             this text\n"
	     "\n"
	     "The families take turns in each round, after one to warm up.\n"
	     "Sockets have the default buffers; tcp and tipc stream have\n"
	     "their NODELAY option. A time is that of one operation, made of\n"
	     "these calls:\n");
	for (i = 0; i < BENCHES; i++)
		printf("%s\n%s\n", benches[i].name, benches[i].help);
}

static void refuse(const char *what, const char *arg)
{
	fprintf(stderr, "myproto_bench: %s: %s\n", what, arg);
	exit(EXIT_FAILURE);
}

static unsigned int choose(char *names, const char *(*name)(size_t i))
{
	unsigned int set = 0;
	const char *want;
	size_t i;

	for (want = strtok(names, ","); want; want = strtok(NULL, ",")) {
		for (i = 0; name(i) && strcmp(name(i), want); i++)
			;
		if (!name(i))
			refuse("not in --list", want);
		set |= 1U << i;
	}
	return set;
}

static int parse_rounds(const char *arg)
{
	int n = atoi(arg);

	if (n < 1 || n > MAX_ROUNDS)
		refuse("no number of rounds", arg);
	return n;
}

/* "0.05" or "1/20" */
static double parse_scale(const char *arg)
{
	char *end;
	double n = strtod(arg, &end);

	if (*end == '/')
		n /= strtod(end + 1, &end);
	if (*end || !(n > 0))
		refuse("no factor", arg);
	return n;
}

static void set_unit(char *arg)
{
	static char rate[64];

	/* 1 MB/s is 1 byte in 1000 ns */
	snprintf(rate, sizeof(rate), "B/1000 %s", arg);
	units[RATE] = rate;
	units[TIME] = arg;
}

static void open_tsv(const char *path)
{
	tsv = fopen(path, "w");
	if (!tsv)
		refuse(path, strerror(errno));
}

static const struct option options[] = {
	{ "families", required_argument, NULL, 'f' },
	{ "benchmarks", required_argument, NULL, 'b' },
	{ "types", required_argument, NULL, 't' },
	{ "rounds", required_argument, NULL, 'r' },
	{ "scale", required_argument, NULL, 's' },
	{ "unit", required_argument, NULL, 'u' },
	{ "output", required_argument, NULL, 'o' },
	{ "list", no_argument, NULL, 'l' },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

static void parse_option(int option)
{
	switch (option) {
	case 'f':
		chosen_families = choose(optarg, family_name);
		break;
	case 'b':
		chosen_benches = choose(optarg, bench_name);
		break;
	case 't':
		chosen_types = choose(optarg, type_name);
		break;
	case 'r':
		rounds = parse_rounds(optarg);
		break;
	case 's':
		scale = parse_scale(optarg);
		break;
	case 'u':
		set_unit(optarg);
		break;
	case 'o':
		open_tsv(optarg);
		break;
	case 'l':
		list_all();
		exit(EXIT_SUCCESS);
	case 'h':
		print_help();
		exit(EXIT_SUCCESS);
	default:
		exit(EXIT_FAILURE);
	}
}

int main(int argc, char **argv)
{
	bool all;
	int c;

	while ((c = getopt_long(argc, argv, "f:b:t:r:s:u:o:lh", options,
				NULL)) != -1)
		parse_option(c);
	if (optind < argc)
		refuse("not an option", argv[optind]);

	signal(SIGPIPE, SIG_IGN);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		refuse("mmap", strerror(errno));
	find_families();

	/* What this is for must be there if it was asked for. */
	all = chosen_families == ~0U;
	if (!all && (absent[MYPROTO] || absent[UNIX]))
		return EXIT_FAILURE;

	print_header();
	measure_all();
	return failed[MYPROTO] || failed[UNIX] ? EXIT_FAILURE : EXIT_SUCCESS;
}
