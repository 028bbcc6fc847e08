// SPDX-License-Identifier: GPL-2.0
/*
 * myproto-preload: the TCP and AF_UNIX stream sockets of an unchanged program, on
 * channels. Build it with the headers of the patched kernel, beside myproto-run,
 * and start server and client by that:
 *
 *	gcc -O2 -Wall -shared -fPIC -isystem /path/to/linux/usr/include \
 *		-o myproto-preload.so myproto-preload.c -ldl
 *	./myproto-run redis-server --port 6379
 *	./myproto-run redis-cli -p 6379
 *
 * Port N of 127.0.0.1, [::1] or all addresses becomes channel N. An AF_UNIX
 * socket becomes a channel above 65535 that is a hash of its file (device and
 * inode), or of its abstract name. socket() and bind() do what they always do:
 * the port is checked, the file is made. The decision falls later:
 *
 * - listen() makes a socket on the channel, which takes the place of the other
 *   one. Then TCP and AF_UNIX do not reach the server any more. If the channel is
 *   taken, listen() fails with EADDRINUSE: two AF_UNIX sockets have the same hash
 *   with a chance of one in 2^31. If the process listens on this port already,
 *   for the other version of IP, the second socket stays TCP.
 * - connect() tries the channel. If nobody listens there, it does what it
 *   always does. So programs still reach servers that are not on channels.
 *
 * A program sees 127.0.0.1 or ::1 as the address of both ends, and a made-up port
 * of a client. An AF_UNIX socket that listens has no path. Options of TCP and IP
 * can be set without effect, and have their defaults when they are asked for.
 * SO_PEERCRED works, also for what the program takes for TCP.
 *
 * What it does not do:
 *
 * - It acts on calls of the C library. Static programs, those of Go, io_uring and
 *   set-user-ID programs do not notice it.
 * - Channels have no permissions. connect() asks for those of the file of an
 *   AF_UNIX socket, but a program without this library does not.
 * - A server on all addresses is not reached from other hosts, nor by other
 *   addresses of its own host.
 * - A server that gives up root between bind() and listen() cannot listen on a
 *   privileged channel.
 * - A descriptor that was duplicated before connect() or listen() stays what it
 *   was. Only the last epoll set that a socket was added to is taken care of.
 * - Urgent data, TCP Fast Open, SO_ZEROCOPY, kernel TLS, and sending sockets of
 *   AF_UNIX or on channels in SCM_RIGHTS fail.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/myproto.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS	83
#endif

/* The function of the C library that ours stands before. */
#define REAL(name) ({							\
	static __typeof__(name) *real;					\
	if (!real)							\
		real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name);	\
	real;								\
})

/* What a socket on a channel is for the program. It has to be known after
 * fork(), exec(), dup() and accept(), and in who gets the descriptor. So it is
 * in the socket itself, as its SO_MAX_PACING_RATE, which has no effect there.
 */
enum kind { NONE, INET, INET6, LOCAL };
static const int families[] = { 0, AF_INET, AF_INET6, AF_UNIX };

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
	struct sockaddr_my my;
	struct sockaddr_storage longest;
};

static bool want_tcp, want_local;

__attribute__((constructor)) static void begin(void)
{
	const char *which = getenv("MYPROTO_RUN") ?: "tu";

	want_tcp = strchr(which, 't');
	want_local = strchr(which, 'u');
}

static int option(int fd, int name)
{
	int value, before = errno;
	socklen_t len = sizeof(value);

	if (REAL(getsockopt)(fd, SOL_SOCKET, name, &value, &len))
		value = -1;
	errno = before;
	return value;
}

/* The kind of a socket that is on a channel. */
static enum kind kind_of(int fd)
{
	int mark;

	if (option(fd, SO_DOMAIN) != AF_MYPROTO)
		return NONE;
	mark = option(fd, SO_MAX_PACING_RATE);
	return mark >= INET && mark <= LOCAL ? mark : NONE;
}

/* The kind of a socket that could be. */
static enum kind candidate(int fd)
{
	int domain = option(fd, SO_DOMAIN);

	if (option(fd, SO_TYPE) != SOCK_STREAM)
		return NONE;
	if (domain == AF_UNIX)
		return want_local ? LOCAL : NONE;
	if (!want_tcp || option(fd, SO_PROTOCOL) != IPPROTO_TCP)
		return NONE;
	return domain == AF_INET ? INET : domain == AF_INET6 ? INET6 : NONE;
}

static unsigned int hash(const void *data, size_t len)
{
	const unsigned char *byte = data;
	uint64_t sum = 0xcbf29ce484222325;

	while (len--)
		sum = (sum ^ *byte++) * 0x100000001b3;
	/* Neither a port nor a channel that the kernel picks. */
	return 0x10000 + sum % (0x80000000 - 0x10000);
}

static unsigned int channel_of_file(const struct sockaddr_un *un, socklen_t len)
{
	char path[sizeof(un->sun_path) + 1] = "";
	struct stat st;
	uint64_t id[2];

	if (len <= offsetof(struct sockaddr_un, sun_path) || len > sizeof(*un))
		return 0;
	len -= offsetof(struct sockaddr_un, sun_path);
	if (!un->sun_path[0])
		return hash(un->sun_path, len);
	memcpy(path, un->sun_path, len);
	if (stat(path, &st) || !S_ISSOCK(st.st_mode) ||
	    faccessat(AT_FDCWD, path, W_OK, AT_EACCESS))
		return 0;
	id[0] = st.st_dev;
	id[1] = st.st_ino;
	return hash(id, sizeof(id));
}

/* The channel that stands for an address, 0 if there is none. */
static unsigned int channel_of(const void *addr, socklen_t len)
{
	const union address *a = addr;
	const struct in6_addr *six;
	in_addr_t four;

	if (!a || len < sizeof(sa_family_t))
		return 0;
	if (a->any.sa_family == AF_UNIX)
		return channel_of_file(&a->un, len);
	if (a->any.sa_family == AF_INET && len >= sizeof(a->in)) {
		four = ntohl(a->in.sin_addr.s_addr);
	} else if (a->any.sa_family == AF_INET6 && len >= sizeof(a->in6)) {
		six = &a->in6.sin6_addr;
		if (IN6_IS_ADDR_UNSPECIFIED(six) || IN6_IS_ADDR_LOOPBACK(six))
			four = INADDR_ANY;
		else if (IN6_IS_ADDR_V4MAPPED(six))
			four = ntohl(six->s6_addr32[3]);
		else
			return 0;
	} else {
		return 0;
	}
	if (four != INADDR_ANY && four != INADDR_LOOPBACK)
		return 0;
	return ntohs(a->in.sin_port);	/* sin6_port is at the same place. */
}

/* A socket for a channel that can take the place of fd. */
static int channel_socket(int fd, enum kind kind)
{
	static const int names[] = { SO_RCVTIMEO, SO_SNDTIMEO, SO_RCVLOWAT, SO_PASSCRED };
	int locked = option(fd, SO_BUF_LOCK), flags = fcntl(fd, F_GETFL), value = kind;
	int new = socket(AF_MYPROTO, SOCK_STREAM | SOCK_CLOEXEC | (flags & O_NONBLOCK), 0);
	char buf[sizeof(struct timeval)];
	socklen_t len;

	if (new < 0)
		return -1;
	REAL(setsockopt)(new, SOL_SOCKET, SO_MAX_PACING_RATE, &value, sizeof(value));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		len = sizeof(buf);
		if (!REAL(getsockopt)(fd, SOL_SOCKET, names[i], buf, &len))
			REAL(setsockopt)(new, SOL_SOCKET, names[i], buf, len);
	}
	/* Those sizes that the program has set; the kernel doubles them again. */
	value = option(fd, SO_SNDBUF) / 2;
	if (locked > 0 && (locked & 1))
		REAL(setsockopt)(new, SOL_SOCKET, SO_SNDBUF, &value, sizeof(value));
	value = option(fd, SO_RCVBUF) / 2;
	if (locked > 0 && (locked & 2))
		REAL(setsockopt)(new, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value));
	value = 1;
	if (kind == LOCAL)
		REAL(setsockopt)(new, SOL_SOCKET, SO_PASSRIGHTS, &value, sizeof(value));
	return new;
}

/* The epoll set that a descriptor was added to last. It is only a hint: whether
 * the descriptor is still in it, the kernel tells.
 */
static int epoll_of[65536];

int epoll_ctl(int set, int op, int fd, struct epoll_event *event)
{
	if (op == EPOLL_CTL_ADD && fd >= 0 && fd < 65536)
		epoll_of[fd] = set;
	return REAL(epoll_ctl)(set, op, fd, event);
}

static bool registered(int set, int fd, struct epoll_event *event)
{
	unsigned long long data;
	unsigned int events;
	char line[256];
	int target = -1;
	FILE *info;

	snprintf(line, sizeof(line), "/proc/self/fdinfo/%d", set);
	info = fopen(line, "re");
	if (!info)
		return false;
	while (target != fd && fgets(line, sizeof(line), info))
		if (sscanf(line, "tfd: %d events: %x data: %llx", &target, &events, &data) != 3)
			target = -1;
	fclose(info);
	if (target != fd)
		return false;
	event->events = events;
	event->data.u64 = data;
	return true;
}

/* Let fd stand for the socket new, and close the descriptor new. */
static void replace(int fd, int new)
{
	int set = fd < 65536 ? epoll_of[fd] : 0;
	int flags = fcntl(fd, F_GETFD) & FD_CLOEXEC ? O_CLOEXEC : 0;
	struct epoll_event event;
	bool moved = set && registered(set, fd, &event);

	if (moved)
		REAL(epoll_ctl)(set, EPOLL_CTL_DEL, fd, NULL);
	dup3(new, fd, flags);
	close(new);
	if (moved)
		REAL(epoll_ctl)(set, EPOLL_CTL_ADD, fd, &event);
}

int connect(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len)
{
	struct sockaddr_my my = {
		.smy_family = AF_MYPROTO,
		.smy_channel = channel_of(addr.__sockaddr__, len),
	};
	union address peer;
	socklen_t size = sizeof(peer);
	int new = -1, result, error;
	enum kind kind;

	if (my.smy_channel && kind_of(fd))
		return REAL(connect)(fd, (struct sockaddr *)&my, sizeof(my));
	kind = my.smy_channel ? candidate(fd) : NONE;
	if (kind && REAL(getpeername)(fd, &peer.any, &size))
		new = channel_socket(fd, kind);
	if (new < 0)
		return REAL(connect)(fd, addr, len);

	result = REAL(connect)(new, (struct sockaddr *)&my, sizeof(my));
	error = errno;
	if (result && error != EINPROGRESS && error != EINTR) {
		close(new);
		return REAL(connect)(fd, addr, len);
	}
	replace(fd, new);
	errno = error;
	return result;
}

/* Whether this process has a socket on a channel. */
static bool have(unsigned int channel)
{
	union address own;
	socklen_t len;

	for (int fd = 0; fd < 1024; fd++) {
		len = sizeof(own);
		if (!REAL(getsockname)(fd, &own.any, &len) &&
		    own.any.sa_family == AF_MYPROTO && own.my.smy_channel == channel)
			return true;
	}
	return false;
}

int listen(int fd, int backlog)
{
	struct sockaddr_my my = { .smy_family = AF_MYPROTO };
	enum kind kind = candidate(fd);
	union address own;
	socklen_t len = sizeof(own);
	int new = -1, error;

	if (kind && !REAL(getsockname)(fd, &own.any, &len))
		my.smy_channel = channel_of(&own, len);
	if (my.smy_channel)
		new = channel_socket(fd, kind);
	if (new < 0)
		return REAL(listen)(fd, backlog);

	if (!bind(new, (struct sockaddr *)&my, sizeof(my)) && !REAL(listen)(new, backlog)) {
		replace(fd, new);
		return 0;
	}
	error = errno;
	close(new);
	if (error == EADDRINUSE && kind != LOCAL && have(my.smy_channel))
		return REAL(listen)(fd, backlog);
	errno = error;
	return -1;
}

/* Give the program an address as it knows them. */
static void tell(int fd, const union address *from, socklen_t size,
		 struct sockaddr *to, socklen_t *len)
{
	unsigned int channel = from->my.smy_channel;
	union address a;
	enum kind kind;

	kind = from->any.sa_family == AF_MYPROTO ? kind_of(fd) : NONE;
	if (kind) {
		/* The kernel picks channels that are no ports. */
		if (channel > 65535)
			channel = 1024 + channel % (65536 - 1024);
		memset(&a, 0, sizeof(a));
		a.any.sa_family = families[kind];
		size = sizeof(sa_family_t);
		if (kind == INET) {
			a.in.sin_port = htons(channel);
			a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
			size = sizeof(a.in);
		} else if (kind == INET6) {
			a.in6.sin6_port = htons(channel);
			a.in6.sin6_addr = in6addr_loopback;
			size = sizeof(a.in6);
		}
		from = &a;
	}
	memcpy(to, from, *len < size ? *len : size);
	*len = size;
}

int accept4(int fd, __SOCKADDR_ARG addr, socklen_t *len, int flags)
{
	union address from;
	socklen_t size = sizeof(from);
	int new;

	if (!addr.__sockaddr__ || !len)
		return REAL(accept4)(fd, addr, len, flags);
	new = REAL(accept4)(fd, &from.any, &size, flags);
	if (new >= 0)
		tell(new, &from, size, addr.__sockaddr__, len);
	return new;
}

int accept(int fd, __SOCKADDR_ARG addr, socklen_t *len)
{
	return accept4(fd, addr, len, 0);
}

static int name_of(__typeof__(getsockname) *call, int fd, struct sockaddr *addr, socklen_t *len)
{
	union address from;
	socklen_t size = sizeof(from);
	int result;

	if (!addr || !len)
		return call(fd, addr, len);
	result = call(fd, &from.any, &size);
	if (!result)
		tell(fd, &from, size, addr, len);
	return result;
}

int getsockname(int fd, __SOCKADDR_ARG addr, socklen_t *len)
{
	return name_of(REAL(getsockname), fd, addr.__sockaddr__, len);
}

int getpeername(int fd, __SOCKADDR_ARG addr, socklen_t *len)
{
	return name_of(REAL(getpeername), fd, addr.__sockaddr__, len);
}

/* Options that only tune TCP or IP. Others, as TCP_ULP for kernel TLS, promise
 * something that a channel does not do.
 */
static bool tunes(int level, int name)
{
	if (level != IPPROTO_TCP)
		return level == IPPROTO_IP || level == IPPROTO_IPV6;
	switch (name) {
	case TCP_NODELAY: case TCP_CORK: case TCP_QUICKACK: case TCP_MAXSEG:
	case TCP_KEEPIDLE: case TCP_KEEPINTVL: case TCP_KEEPCNT: case TCP_SYNCNT:
	case TCP_USER_TIMEOUT: case TCP_LINGER2: case TCP_DEFER_ACCEPT:
	case TCP_WINDOW_CLAMP: case TCP_CONGESTION: case TCP_NOTSENT_LOWAT:
	case TCP_INFO:
		return true;
	}
	return false;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	enum kind kind;

	/* Its value is ours. */
	if (level == SOL_SOCKET && name == SO_MAX_PACING_RATE && kind_of(fd))
		return 0;
	if (!REAL(setsockopt)(fd, level, name, value, len))
		return 0;
	if (errno != ENOPROTOOPT || !tunes(level, name))
		return -1;
	kind = kind_of(fd);
	return kind == INET || kind == INET6 ? 0 : -1;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	int result = REAL(getsockopt)(fd, level, name, value, len), fresh;
	enum kind kind;

	if (!result && level == SOL_SOCKET && *len == sizeof(int) &&
	    (name == SO_DOMAIN || name == SO_PROTOCOL)) {
		kind = kind_of(fd);
		if (kind && name == SO_DOMAIN)
			*(int *)value = families[kind];
		else if (kind && kind != LOCAL)
			*(int *)value = IPPROTO_TCP;
	} else if (result && errno == ENOPROTOOPT && tunes(level, name)) {
		kind = kind_of(fd);
		if (kind != INET && kind != INET6)
			return -1;
		/* What a socket has that nobody has touched. */
		fresh = socket(families[kind], SOCK_STREAM | SOCK_CLOEXEC, 0);
		result = REAL(getsockopt)(fresh, level, name, value, len);
		close(fresh);
	}
	return result;
}
