/*
 * profile-loop FAMILY TYPE SIZE MODE COUNT: do something COUNT times between two marks
 * for profile.sh. FAMILY: unix myproto tcp udp vsock tipc pipe; TYPE: stream dgram
 * seqpacket; MODE: oneway (write, read), burst (one operation is a write, with
 * one read for each 50), connect (socket, connect, accept, close two), bind
 * (socket, bind, close), pair (socketpair, close two), cycle (listener and all),
 * sendto (sendto by address, read), null (getppid).
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <linux/vm_sockets.h>
#include <linux/tipc.h>

#define PORT 5000

struct address {
	socklen_t length;
	union {
		struct sockaddr any;
		struct sockaddr_un un;
		struct sockaddr_in in;
		struct sockaddr_vm vm;
		struct sockaddr_tipc tipc;
		struct { unsigned short family, pad; unsigned int channel; } my;
	};
};

static int family, type;
static char buf[4 << 20];

static void die(const char *what)
{
	perror(what);
	exit(1);
}
#define TRY(e) ({ long _r = (e); if (_r < 0) die(#e); _r; })

static struct address address(int port, int server)
{
	struct address a;

	memset(&a, 0, sizeof(a));
	a.any.sa_family = family;
	switch (family) {
	case AF_UNIX:
		a.length = offsetof(struct sockaddr_un, sun_path) + 1 +
			   sprintf(a.un.sun_path + 1, "%d", port);
		break;
	case AF_INET:
		a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		a.in.sin_port = htons(port);
		a.length = sizeof(a.in);
		break;
	case AF_VSOCK:
		a.vm.svm_cid = server ? VMADDR_CID_ANY : 1;
		a.vm.svm_port = port;
		a.length = sizeof(a.vm);
		break;
	case AF_TIPC:
		a.tipc.addrtype = server ? TIPC_SERVICE_RANGE : TIPC_SERVICE_ADDR;
		a.tipc.scope = TIPC_NODE_SCOPE;
		a.tipc.addr.name.name.type = port;
		a.tipc.addr.name.name.instance = 1;
		if (server) {
			a.tipc.addr.nameseq.lower = 1;
			a.tipc.addr.nameseq.upper = 1;
		}
		a.length = sizeof(a.tipc);
		break;
	default:
		a.my.channel = port;
		a.length = sizeof(a.my);
	}
	return a;
}

static int sock(void) { return TRY(socket(family, type, 0)); }
static void bind_to(int s, int port)
{
	struct address a = address(port, 1);
	int one = 1;

	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	TRY(bind(s, &a.any, a.length));
}
static void connect_to(int s, int port)
{
	struct address a = address(port, 0);

	TRY(connect(s, &a.any, a.length));
}

static int r, w, listener;
static struct address to;

static void link_up(void)
{
	int one = 1;

	if (type == SOCK_DGRAM) {
		r = sock();
		bind_to(r, PORT);
		w = sock();
		connect_to(w, PORT);
		return;
	}
	listener = sock();
	bind_to(listener, PORT);
	TRY(listen(listener, 8));
	w = sock();
	connect_to(w, PORT);
	r = TRY(accept(listener, NULL, NULL));
	if (family == AF_INET)
		setsockopt(w, IPPROTO_TCP, 1, &one, sizeof(one));
}

static size_t size;

static void put(void) { if (write(w, buf, size) != (ssize_t)size) die("write"); }
static void get(size_t size)
{
	while (size) {
		ssize_t n = read(r, buf, size);

		if (n <= 0)
			die("read");
		size -= n;
	}
}
static void oneway(long count) { while (count--) { put(); get(size); } }
static void burst(long count)
{
	for (long i = 1; i <= count; i++) {
		put();
		if (i % 50 == 0)
			get(size * 50);
	}
}
static void do_sendto(long count)
{
	while (count--) {
		TRY(sendto(w, buf, size, 0, &to.any, to.length));
		get(size);
	}
}
static void do_connect(long count)
{
	while (count--) {
		int s = sock();

		connect_to(s, PORT);
		close(TRY(accept(listener, NULL, NULL)));
		close(s);
	}
}
static void do_bind(long count)
{
	while (count--) {
		int s = sock();

		bind_to(s, PORT + 1);
		close(s);
	}
}
static void do_pair(long count)
{
	while (count--) {
		int s[2];

		TRY(socketpair(family, type, 0, s));
		close(s[0]);
		close(s[1]);
	}
}
static void cycle(long count)
{
	while (count--) {
		int s = sock(), c, a;

		bind_to(s, PORT + 1);
		TRY(listen(s, 8));
		c = sock();
		connect_to(c, PORT + 1);
		a = TRY(accept(s, NULL, NULL));
		close(a);
		close(c);
		close(s);
	}
}
static void null(long count) { while (count--) syscall(SYS_getppid); }

/* profile-report.py looks for these two. */
__attribute__((noipa)) void loop_begin(void) { __asm__ volatile(""); }
__attribute__((noipa)) void loop_end(void) { __asm__ volatile(""); }

/* The host writes down what happens between two marks, if there is one. */
static void mark(char name)
{
	static int host;

	if (!host)
		host = open("/dev/ttyS2", O_RDWR);
	if (host > 0 && (write(host, &name, 1) != 1 || read(host, &name, 1) != 1))
		die("no answer from the host");
}

int main(int argc, char **argv)
{
	static const struct { const char *name; int family, type; } families[] = {
		{ "unix", AF_UNIX }, { "myproto", 46 }, { "tcp", AF_INET }, { "udp", AF_INET },
		{ "vsock", AF_VSOCK }, { "tipc", AF_TIPC }, { "pipe", 0 }, {},
	}, *f;
	static const struct { const char *name; void (*f)(long count); } modes[] = {
		{ "oneway", oneway }, { "burst", burst }, { "sendto", do_sendto },
		{ "connect", do_connect }, { "bind", do_bind }, { "pair", do_pair },
		{ "cycle", cycle }, { "null", null }, {},
	}, *m;
	struct timespec from, till;
	long count, warm;

	if (argc != 6)
		return fprintf(stderr, "usage: profile-loop FAMILY TYPE SIZE MODE COUNT\n"), 2;
	for (f = families; f->name && strcmp(f->name, argv[1]); f++)
		;
	for (m = modes; m->name && strcmp(m->name, argv[4]); m++)
		;
	if (!f->name || !m->name)
		return fprintf(stderr, "profile-loop: no such family or mode\n"), 2;
	family = f->family;
	type = argv[2][0] == 's' && argv[2][1] == 't' ? SOCK_STREAM :
	       argv[2][0] == 's' ? SOCK_SEQPACKET : SOCK_DGRAM;
	size = atol(argv[3]);
	count = atol(argv[5]);
	memset(buf, 1, sizeof(buf));
	if (!family) {
		int p[2];

		TRY(pipe(p));
		r = p[0], w = p[1];
	} else if (m->f == do_sendto) {
		r = sock();
		bind_to(r, PORT);
		w = sock();
		to = address(PORT, 0);
	} else {
		link_up();
	}
	/* Allocators and static branches into a steady state. */
	warm = count / 5 + 100;
	m->f(warm - warm % 50);
	mark('b');
	loop_begin();
	m->f(count);
	loop_end();
	mark('e');
	clock_gettime(CLOCK_MONOTONIC, &from);
	m->f(count);
	clock_gettime(CLOCK_MONOTONIC, &till);
	printf("clock: %.2f per operation\n", ((till.tv_sec - from.tv_sec) * 1e9 +
	       till.tv_nsec - from.tv_nsec) / count);
	return 0;
}
