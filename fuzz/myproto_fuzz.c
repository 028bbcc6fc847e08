// SPDX-License-Identifier: GPL-2.0
/*
 * Random calls on AF_MYPROTO sockets, by threads and processes that share the
 * descriptors, so that each call meets each other one; requests of io_uring and
 * sock_diag too, SOCK_DESTROY among them. What a call returns does not matter:
 * what does is that it returns, that no socket is left at the end, and that the
 * kernel finds nothing to complain about in its log.
 *
 * "myproto_fuzz --help" lists the options.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/myproto_diag.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/time_types.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "util.h"

/* The C library may be older. */
#ifndef SCM_PIDFD
#define SCM_PIDFD	0x04
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD	76
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS	83
#endif
#ifndef SO_INQ
#define SO_INQ		84
#endif

#define SLOTS		64	/* sockets that are open at a time */
#define LISTENERS	6
#define EPOLLS		4
#define PIPES		2
#define WORKERS		64	/* at most */
#define PROCESSES	2	/* of them, the others are threads */
#define CHANNELS	3	/* for each type, so that they meet */
#define FIRST_CHANNEL	5000
#define CHILD_STEPS	16	/* of a process that fork() made */
#define TICK_MS		20	/* how long a call can sleep */
#define HANG_MS		60000	/* when it hangs */
#define ERRNOS		140
#define BUF_SIZE	1048576
#define SEED		20250101
#define SECONDS		5

#define ENTRIES		16	/* of a ring of io_uring */
#define BUFFERS		16	/* of its group of provided buffers */
#define GROUP		1

#define TYPE_SHIFT	24	/* in an entry of the table */
#define CALL_BITS	8	/* in user_data, below the type */

/* Open descriptors, 0: none. Those of sockets have the type above them. */
struct table {
	int socket[SLOTS];
	int listener[LISTENERS];	/* some of those that listen */
	int epoll[EPOLLS];
};

struct message {
	struct sockaddr_storage addr;
	struct iovec iov[3];
	union {
		char bytes[128];
		struct cmsghdr align;
	} control;
};

/* What a request writes to when it completes */
struct slot {
	struct message m;
	struct msghdr msg;
};

struct ring {
	int fd;		/* 0: none */
	unsigned int *sq_head, *sq_tail, *sq_mask;
	unsigned int *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	struct io_uring_buf_ring *buffers;
	char *map;
	size_t map_size;
	struct slot slots[ENTRIES];
};

struct worker {
	struct table *table;
	struct ring ring;
	uint64_t random;
	uint64_t index;
	uint64_t step;
	unsigned int call;	/* what it is doing */
	int *entry;		/* in the table, of the socket it does it to */
	int type;		/* of that */
	pthread_t thread;
	pid_t pid;
	bool ended;
};

static int pipes[PIPES][2], file;
static char *buf;	/* BUF_SIZE, then as much that faults */

/* Chance */

/* The generator that is known as splitmix64 */
static uint32_t below(struct worker *w, uint32_t n)
{
	uint64_t z = w->random += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (uint32_t)(z >> 32) % n;
}

static bool one_in(struct worker *w, uint32_t n)
{
	return !below(w, n);
}

static int some_type(struct worker *w)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };

	return types[below(w, ARRAY_SIZE(types))];
}

static size_t length(struct worker *w)
{
	static const size_t lengths[] = {
		1, 0, 63, 64, 65, 255, 256, 257, 4096, 4097, 8192, 65536,
		65537, 300 << 10, 600 << 10,
	};

	return lengths[below(w, 1 + below(w, ARRAY_SIZE(lengths)))];
}

/* Mostly good for @len bytes */
static char *memory(struct worker *w, size_t len)
{
	if (one_in(w, 100))
		return NULL;
	if (one_in(w, 50))
		return buf + BUF_SIZE - len / 2;
	return buf + below(w, 64);
}

static int value(struct worker *w)
{
	static const int values[] = {
		1, 0, -1, 2, 3, 64, 256, 2304, 4096, 65536, 212992, 1 << 20,
	};

	if (one_in(w, 8))
		return below(w, 1 << 20);
	return values[below(w, ARRAY_SIZE(values))];
}

static int take(struct worker *w, int *entries, int n)
{
	int tries, entry = 0;

	for (tries = 0; !entry && tries < 10; tries++) {
		w->entry = &entries[below(w, n)];
		entry = __atomic_load_n(w->entry, __ATOMIC_RELAXED);
	}
	w->type = entry >> TYPE_SHIFT;
	return entry ? entry & ((1 << TYPE_SHIFT) - 1) : -1;
}

/* The descriptor of a socket */
static int pick(struct worker *w)
{
	if (one_in(w, 32))
		return take(w, w->table->listener, LISTENERS);
	return take(w, w->table->socket, SLOTS);
}

/* Put @entry in the table, or 0, and close what was there. */
static int replace(int *entry, int new)
{
	int old = __atomic_exchange_n(entry, new, __ATOMIC_RELAXED);

	return old ? close(old & ((1 << TYPE_SHIFT) - 1)) : 0;
}

static int store(struct worker *w, int fd, int type)
{
	if (fd >= 0)
		replace(&w->table->socket[below(w, SLOTS)],
			fd | type << TYPE_SHIFT);
	return fd;
}

/* One that sockets of that type have */
static __u32 channel(struct worker *w, int type)
{
	return FIRST_CHANNEL + type * CHANNELS + below(w, CHANNELS);
}

static socklen_t address(struct worker *w, struct sockaddr_storage *addr)
{
	struct sockaddr_my *my = (struct sockaddr_my *)addr;
	int type = one_in(w, 8) ? some_type(w) : w->type;

	*my = my_addr(channel(w, type));
	switch (below(w, 40)) {
	case 0:
		my->smy_family = below(w, AF_MAX);
		break;
	case 1:
	case 2:
		my->smy_family = AF_UNSPEC;
		break;
	case 3:
		my->__smy_pad = value(w);
		break;
	case 4:
		my->smy_channel = value(w);
		break;
	case 5:
		my->smy_channel = MYPROTO_CHANNEL_DEFAULT;
		break;
	case 6:
	case 7:
	case 8:
		my->smy_channel = MYPROTO_CHANNEL_ANY;
		break;
	case 9:
		return below(w, sizeof(*addr));
	}
	return sizeof(*my);
}

/* 0: none */
static socklen_t destination(struct worker *w, struct sockaddr_storage *addr)
{
	return one_in(w, w->type == SOCK_DGRAM ? 2 : 20) ? address(w, addr) : 0;
}

static int send_flags(struct worker *w)
{
	return MSG_NOSIGNAL |
	       (one_in(w, 16) ? 0 : MSG_DONTWAIT) |
	       (one_in(w, 8) ? MSG_MORE : 0) |
	       (one_in(w, 8) ? MSG_EOR : 0) |
	       (one_in(w, 50) ? MSG_OOB : 0) |
	       (one_in(w, 50) ? 1U << below(w, 32) : 0);
}

static int recv_flags(struct worker *w)
{
	return (one_in(w, 16) ? 0 : MSG_DONTWAIT) |
	       (one_in(w, 6) ? MSG_PEEK : 0) |
	       (one_in(w, 6) ? MSG_TRUNC : 0) |
	       (one_in(w, 6) ? MSG_WAITALL : 0) |
	       (one_in(w, 16) ? MSG_ERRQUEUE : 0) |
	       (one_in(w, 50) ? MSG_OOB : 0) |
	       (one_in(w, 50) ? 1U << below(w, 32) : 0);
}

/* One that can be passed, or a socket, which cannot */
static int some_file(struct worker *w)
{
	if (one_in(w, 8))
		return w->table->socket[below(w, SLOTS)] &
		       ((1 << TYPE_SHIFT) - 1);
	return one_in(w, 2) ? file : pipes[below(w, PIPES)][below(w, 2)];
}

static size_t control_files(struct worker *w, struct cmsghdr *cmsg)
{
	int n = 1 + below(w, 4), i, fd;

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(n * sizeof(fd));
	for (i = 0; i < n; i++) {
		fd = some_file(w);
		memcpy(CMSG_DATA(cmsg) + i * sizeof(fd), &fd, sizeof(fd));
	}
	return CMSG_SPACE(n * sizeof(fd));
}

/* Close the descriptors that came with a message. */
static void close_files(struct msghdr *msg)
{
	struct cmsghdr *cmsg;
	size_t off;
	int fd;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET ||
		    (cmsg->cmsg_type != SCM_RIGHTS &&
		     cmsg->cmsg_type != SCM_PIDFD))
			continue;
		for (off = CMSG_LEN(0); off + sizeof(fd) <= cmsg->cmsg_len;
		     off += sizeof(fd)) {
			memcpy(&fd, (char *)cmsg + off, sizeof(fd));
			/* There is an error instead of a pidfd at times. */
			if (fd > STDERR_FILENO)
				close(fd);
		}
	}
}

static void control(struct worker *w, struct msghdr *msg)
{
	struct cmsghdr *cmsg = msg->msg_control;
	struct ucred cred = {
		.pid = one_in(w, 4) ? value(w) : getpid(),
		.uid = getuid(),
		.gid = getgid(),
	};

	if (one_in(w, 2)) {
		msg->msg_controllen = control_files(w, cmsg);
		return;
	}
	msg->msg_controllen = CMSG_SPACE(sizeof(cred));
	cmsg->cmsg_level = one_in(w, 8) ? value(w) : SOL_SOCKET;
	cmsg->cmsg_type = one_in(w, 8) ? value(w) : SCM_CREDENTIALS;
	cmsg->cmsg_len = one_in(w, 8) ? value(w) : CMSG_LEN(sizeof(cred));
	memcpy(CMSG_DATA(cmsg), &cred, sizeof(cred));
}

static void message(struct worker *w, struct message *m, struct msghdr *msg,
		    bool send)
{
	size_t i;

	*msg = (struct msghdr) {
		.msg_iov = m->iov,
		.msg_iovlen = below(w, ARRAY_SIZE(m->iov) + 1),
	};
	for (i = 0; i < msg->msg_iovlen; i++) {
		m->iov[i].iov_len = length(w) / msg->msg_iovlen;
		m->iov[i].iov_base = memory(w, m->iov[i].iov_len);
	}
	msg->msg_namelen = destination(w, &m->addr);
	msg->msg_name = msg->msg_namelen ? &m->addr : NULL;
	if (one_in(w, 8)) {
		msg->msg_control = &m->control;
		if (send)
			control(w, msg);
		else
			msg->msg_controllen = below(w, sizeof(m->control) + 1);
	}
}

/* The calls. Each returns what the system call does, with errno. */

static long do_socket(struct worker *w)
{
	int type = one_in(w, 32) ? (int)below(w, 12) : some_type(w);
	int flags = one_in(w, 4) ? 0 : SOCK_NONBLOCK;

	return store(w, socket(AF_MYPROTO, type | flags, one_in(w, 50)), type);
}

static long do_socketpair(struct worker *w)
{
	int flags = one_in(w, 4) ? 0 : SOCK_NONBLOCK;
	int type = some_type(w), fd[2];

	if (socketpair(AF_MYPROTO, type | flags, 0, fd))
		return -1;
	store(w, fd[0], type);
	return store(w, fd[1], type);
}

static long do_bind(struct worker *w)
{
	struct sockaddr_storage addr;
	int fd = pick(w);
	socklen_t len = address(w, &addr);

	return bind(fd, (struct sockaddr *)&addr, len);
}

static long do_listen(struct worker *w)
{
	return listen(pick(w), one_in(w, 8) ? value(w) : (int)below(w, 6));
}

static long do_connect(struct worker *w)
{
	struct sockaddr_storage addr;
	int fd = pick(w);
	socklen_t len = address(w, &addr);

	return connect(fd, (struct sockaddr *)&addr, len);
}

static long do_accept(struct worker *w)
{
	struct sockaddr_storage addr;
	socklen_t len = below(w, sizeof(addr));
	int fd = take(w, w->table->listener, LISTENERS);

	if (one_in(w, 16))
		fd = pick(w);
	fd = accept4(fd, (struct sockaddr *)&addr, &len,
		     one_in(w, 4) ? 0 : SOCK_NONBLOCK);
	return store(w, fd, w->type);
}

/* Keeps errno, which close() changes only if there is nothing to close. */
static int drop(int fd)
{
	if (fd >= 0)
		close(fd);
	return -1;
}

/* What a server does first; bind() and listen() by chance seldom meet. */
static long do_serve(struct worker *w)
{
	int *entry = &w->table->listener[below(w, LISTENERS)];
	int type = one_in(w, 2) ? SOCK_STREAM : SOCK_SEQPACKET;
	int fd = socket(AF_MYPROTO, type | SOCK_NONBLOCK, 0);

	replace(entry, 0);	/* It may have the channel. */
	if (fd < 0 || my_bind(fd, channel(w, type)) || listen(fd, below(w, 6)))
		return drop(fd);
	return replace(entry, fd | type << TYPE_SHIFT);
}

static long do_client(struct worker *w)
{
	int type = some_type(w);
	int fd = socket(AF_MYPROTO, type | SOCK_NONBLOCK, 0);

	if (fd < 0 ||
	    (my_connect(fd, channel(w, type)) && errno != EINPROGRESS))
		return drop(fd);
	return store(w, fd, type);
}

static long do_send(struct worker *w)
{
	struct sockaddr_storage addr;
	size_t len = length(w);
	int fd = pick(w);
	socklen_t addr_len = destination(w, &addr);

	return sendto(fd, memory(w, len), len, send_flags(w),
		      addr_len ? (struct sockaddr *)&addr : NULL, addr_len);
}

static long do_sendmsg(struct worker *w)
{
	int fd = pick(w);
	struct message m;
	struct msghdr msg;

	message(w, &m, &msg, true);
	return sendmsg(fd, &msg, send_flags(w));
}

static long do_sendmmsg(struct worker *w)
{
	struct mmsghdr msg[3];
	struct message m[3];
	int fd = pick(w);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(msg); i++)
		message(w, &m[i], &msg[i].msg_hdr, true);
	return sendmmsg(fd, msg, ARRAY_SIZE(msg), send_flags(w));
}

static long do_recv(struct worker *w)
{
	struct sockaddr_storage addr;
	socklen_t addr_len = below(w, sizeof(addr));
	size_t len = length(w);
	int fd = pick(w);

	return recvfrom(fd, memory(w, len), len, recv_flags(w),
			one_in(w, 2) ? (struct sockaddr *)&addr : NULL,
			&addr_len);
}

static long do_recvmsg(struct worker *w)
{
	int fd = pick(w);
	struct message m;
	struct msghdr msg;
	long ret;

	message(w, &m, &msg, false);
	ret = recvmsg(fd, &msg, recv_flags(w));
	if (ret >= 0)
		close_files(&msg);
	return ret;
}

static long do_recvmmsg(struct worker *w)
{
	struct timespec timeout = { .tv_nsec = TICK_MS * 1000000 };
	struct mmsghdr msg[3];
	struct message m[3];
	int fd = pick(w);
	long ret;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(msg); i++)
		message(w, &m[i], &msg[i].msg_hdr, false);
	ret = recvmmsg(fd, msg, ARRAY_SIZE(msg), recv_flags(w),
		       one_in(w, 2) ? &timeout : NULL);
	for (i = 0; ret > 0 && i < (size_t)ret; i++)
		close_files(&msg[i].msg_hdr);
	return ret;
}

static long do_readv(struct worker *w)
{
	int fd = pick(w);
	struct message m;
	struct msghdr msg;

	message(w, &m, &msg, false);
	return readv(fd, m.iov, msg.msg_iovlen);
}

static long do_writev(struct worker *w)
{
	int fd = pick(w);
	struct message m;
	struct msghdr msg;

	message(w, &m, &msg, true);
	return writev(fd, m.iov, msg.msg_iovlen);
}

static int some_pipe(struct worker *w, int end)
{
	return pipes[below(w, PIPES)][end];
}

static long do_splice_from(struct worker *w)
{
	return splice(pick(w), NULL, some_pipe(w, 1), NULL, length(w),
		      one_in(w, 16) ? 0 : SPLICE_F_NONBLOCK);
}

static long do_splice_to(struct worker *w)
{
	return splice(some_pipe(w, 0), NULL, pick(w), NULL, length(w),
		      (one_in(w, 16) ? 0 : SPLICE_F_NONBLOCK) |
		      (one_in(w, 4) ? SPLICE_F_MORE : 0));
}

static long do_tee(struct worker *w)
{
	int from = below(w, PIPES);

	return tee(pipes[from][0], pipes[!from][1], length(w),
		   SPLICE_F_NONBLOCK);
}

static long do_vmsplice(struct worker *w)
{
	size_t len = length(w);
	struct iovec iov = { .iov_base = memory(w, len), .iov_len = len };

	return vmsplice(some_pipe(w, 1), &iov, 1, SPLICE_F_NONBLOCK);
}

/* Makes room in a pipe. */
static long do_read_pipe(struct worker *w)
{
	return read(some_pipe(w, 0), buf, BUF_SIZE);
}

static long do_sendfile(struct worker *w)
{
	off_t off = below(w, BUF_SIZE);
	int fd = pick(w);

	return sendfile(fd, file, &off, length(w));
}

static long do_poll(struct worker *w)
{
	struct pollfd pfd[4];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(pfd); i++) {
		pfd[i].fd = pick(w);
		pfd[i].events = below(w, 1 << 15);
	}
	return poll(pfd, ARRAY_SIZE(pfd), below(w, 3));
}

static long do_epoll_create(struct worker *w)
{
	int fd = epoll_create1(0);

	if (fd >= 0)
		replace(&w->table->epoll[below(w, EPOLLS)], fd);
	return fd;
}

static long do_epoll_ctl(struct worker *w)
{
	static const int ops[] = {
		EPOLL_CTL_ADD, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL
	};
	struct epoll_event event = {
		.events = below(w, 1 << 15) |
			  (one_in(w, 2) ? EPOLLET : 0) |
			  (one_in(w, 4) ? EPOLLONESHOT : 0) |
			  (one_in(w, 16) ? EPOLLEXCLUSIVE : 0),
	};

	return epoll_ctl(take(w, w->table->epoll, EPOLLS),
			 ops[below(w, ARRAY_SIZE(ops))], pick(w), &event);
}

/* EPOLLEXCLUSIVE goes with few others. */
static long do_epoll_exclusive(struct worker *w)
{
	static const unsigned int events[] = {
		EPOLLIN, EPOLLOUT, EPOLLIN | EPOLLOUT,
	};
	struct epoll_event event = {
		.events = EPOLLEXCLUSIVE |
			  events[below(w, ARRAY_SIZE(events))] |
			  (one_in(w, 2) ? EPOLLET : 0),
	};

	return epoll_ctl(take(w, w->table->epoll, EPOLLS), EPOLL_CTL_ADD,
			 pick(w), &event);
}

static long do_epoll_wait(struct worker *w)
{
	struct epoll_event events[8];

	return epoll_wait(take(w, w->table->epoll, EPOLLS), events,
			  ARRAY_SIZE(events), below(w, 3));
}

static long do_setsockopt(struct worker *w)
{
	static const int opts[] = {
		SO_RCVBUF, SO_SNDBUF, SO_RCVLOWAT, SO_PEEK_OFF, SO_PASSCRED,
		SO_TIMESTAMP, SO_TIMESTAMPNS, SO_TIMESTAMPING, SO_LINGER,
		SO_DETACH_FILTER, SO_RCVBUFFORCE, SO_RCVTIMEO, SO_SNDTIMEO,
		SO_PASSSEC, SO_PASSRIGHTS, SO_PASSPIDFD, SO_INQ, SO_BUSY_POLL,
	};
	/* An int, a struct linger, or seconds and microseconds */
	long val[] = { value(w), value(w) };
	int opt = one_in(w, 2) ? opts[below(w, ARRAY_SIZE(opts))] :
				 below(w, 90);
	int level = one_in(w, 50) ? value(w) : SOL_SOCKET;
	socklen_t len = one_in(w, 8) ? below(w, sizeof(val)) : sizeof(val);

	/* Do not spend the time with waiting. */
	if (opt == SO_BUSY_POLL)
		val[0] %= 1000;
	return setsockopt(pick(w), level, opt, val, len);
}

static long do_set_filter(struct worker *w)
{
	static const unsigned int keep[] = { 0, 1, 64, 0xffff, 0xfffff };
	struct sock_filter code = {
		.code = BPF_RET | BPF_K,
		.k = keep[below(w, ARRAY_SIZE(keep))],
	};
	struct sock_fprog prog = { .len = 1, .filter = &code };

	return setsockopt(pick(w), SOL_SOCKET, SO_ATTACH_FILTER, &prog,
			  sizeof(prog));
}

static long do_getsockopt(struct worker *w)
{
	socklen_t len = one_in(w, 2) ? 128 : below(w, 128);
	int level = one_in(w, 50) ? value(w) : SOL_SOCKET;
	int opt = below(w, 90), ret, fd = -1;
	char val[128];

	/* Not without place for the descriptor, which would stay open. */
	if (opt == SO_PEERPIDFD)
		len = sizeof(fd);
	ret = getsockopt(pick(w), level, opt, val, &len);
	if (!ret && level == SOL_SOCKET && opt == SO_PEERPIDFD) {
		memcpy(&fd, val, sizeof(fd));
		close(fd);
	}
	return ret;
}

static long do_ioctl(struct worker *w)
{
	static const unsigned long cmds[] = {
		SIOCINQ, SIOCOUTQ, FIOASYNC, FIONBIO, SIOCGSTAMP, SIOCGSTAMPNS,
		SIOCATMARK,
	};
	unsigned long cmd = cmds[below(w, ARRAY_SIZE(cmds))];
	int val[64] = { one_in(w, 2) };

	if (one_in(w, 16))
		cmd = below(w, 1 << 16);
	return ioctl(pick(w), cmd, one_in(w, 50) ? NULL : val);
}

static long do_shutdown(struct worker *w)
{
	return shutdown(pick(w), below(w, one_in(w, 16) ? 4 : 3));
}

static long do_getname(struct worker *w)
{
	struct sockaddr_storage addr;
	socklen_t len = below(w, sizeof(addr));

	if (one_in(w, 2))
		return getsockname(pick(w), (struct sockaddr *)&addr, &len);
	return getpeername(pick(w), (struct sockaddr *)&addr, &len);
}

static long do_fcntl(struct worker *w)
{
	int fd = pick(w);

	if (one_in(w, 4))
		fcntl(fd, F_SETOWN, getpid());
	return fcntl(fd, F_SETFL, (one_in(w, 4) ? 0 : O_NONBLOCK) |
				  (one_in(w, 4) ? O_ASYNC : 0));
}

static long do_dup(struct worker *w)
{
	return store(w, dup(pick(w)), w->type);
}

static long do_close(struct worker *w)
{
	int ret = 0, n = one_in(w, 8) ? SLOTS / 4 : 1;

	while (n--)
		ret = replace(&w->table->socket[below(w, SLOTS)], 0);
	return ret;
}

/* What the kernel tells of the sockets */
static long do_proc(struct worker *w)
{
	static const char *const formats[] = {
		"/proc/thread-self/fdinfo/%d", "/proc/thread-self/net/myproto",
		"/proc/thread-self/net/protocols",
	};
	char path[64], text[256];
	int fd;

	snprintf(path, sizeof(path), formats[below(w, ARRAY_SIZE(formats))],
		 pick(w));
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -1;
	while (read(fd, text, sizeof(text)) > 0)
		;
	return close(fd);
}

/* sock_diag */

/* Send a request and read some of what comes. */
static long diag(struct worker *w, int type, int flags,
		 const struct myproto_diag_req *req)
{
	struct {
		struct nlmsghdr nlh;
		struct myproto_diag_req req;
		struct nlattr attr;
		char rest[32];
	} msg = {
		.nlh.nlmsg_type = type,
		.nlh.nlmsg_flags = NLM_F_REQUEST | flags |
				   (one_in(w, 16) ? below(w, 1 << 16) : 0),
		.req = *req,
		.attr.nla_len = one_in(w, 2) ? sizeof(msg.attr) : below(w, 64),
		.attr.nla_type = below(w, 8),
	};
	size_t len = one_in(w, 16) ? below(w, sizeof(msg) + 1) :
		     one_in(w, 16) ? sizeof(msg) :
				     NLMSG_LENGTH(sizeof(*req));
	int n = below(w, 8), fd, err, answer[2048];
	const struct nlmsghdr *nlh = (void *)answer;
	ssize_t ret;

	msg.nlh.nlmsg_len = one_in(w, 32) ? value(w) : len;
	fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
	ret = send(fd, &msg, len, 0);
	if (ret >= 0)
		ret = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
	err = err_of(ret);
	if (ret > 0 && nlh->nlmsg_type == NLMSG_ERROR)
		err = -*(int *)NLMSG_DATA(nlh);
	while (ret > 0 && n--)
		ret = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
	close(fd);
	errno = err;
	return err ? -1 : 0;
}

/* Any byte but the family, which would load modules of others */
static void spoil(struct worker *w, struct myproto_diag_req *req)
{
	if (one_in(w, 16))
		((char *)req)[1 + below(w, sizeof(*req) - 1)] = value(w);
}

static long do_diag_dump(struct worker *w)
{
	struct myproto_diag_req req = {
		.sdiag_family = AF_MYPROTO,
		.mdiag_types = one_in(w, 8) ? below(w, 1 << 16) :
			       one_in(w, 2) ? 0 :
			       1 << some_type(w) | 1 << some_type(w),
		.mdiag_states = one_in(w, 8) ? 1U << below(w, 32) :
				one_in(w, 2) ? 0 :
				1 << TCP_CLOSE | 1 << TCP_ESTABLISHED,
		.mdiag_channel = one_in(w, 4) ? channel(w, some_type(w)) : 0,
		.mdiag_show = below(w, 16),
	};

	spoil(w, &req);
	return diag(w, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &req);
}

/* A request for one socket, by its channel, its inode or its cookie */
static struct myproto_diag_req diag_one(struct worker *w)
{
	struct myproto_diag_req req = {
		.sdiag_family = AF_MYPROTO,
		.mdiag_cookie = { MYPROTO_DIAG_NOCOOKIE,
				  MYPROTO_DIAG_NOCOOKIE },
	};
	socklen_t len = sizeof(req.mdiag_cookie);
	unsigned int by = below(w, 3);
	int fd = pick(w);
	struct stat st;

	if (by == 0)
		req.mdiag_channel = channel(w, w->type);
	else if (by == 1 && !fstat(fd, &st))
		req.mdiag_ino = st.st_ino;
	if (by == 2 || one_in(w, 4))
		getsockopt(fd, SOL_SOCKET, SO_COOKIE, req.mdiag_cookie, &len);
	spoil(w, &req);
	return req;
}

static long do_diag_get(struct worker *w)
{
	struct myproto_diag_req req = diag_one(w);

	req.mdiag_show |= below(w, 16);
	return diag(w, SOCK_DIAG_BY_FAMILY, 0, &req);
}

static long do_diag_destroy(struct worker *w)
{
	struct myproto_diag_req req = diag_one(w);

	return diag(w, SOCK_DESTROY, NLM_F_ACK, &req);
}

/* io_uring: each of these makes a request of @sqe, which has a socket. */

static void fill_msg_flags(struct worker *w, struct io_uring_sqe *sqe,
			   int flags)
{
	/* Mostly wait, and not in this thread. */
	sqe->msg_flags = one_in(w, 8) ? flags : flags & ~MSG_DONTWAIT;
	sqe->ioprio |= one_in(w, 8) ? IORING_RECVSEND_POLL_FIRST : 0;
}

static void fill_send(struct worker *w, struct io_uring_sqe *sqe,
		      struct slot *slot)
{
	sqe->len = length(w);
	sqe->addr = (uintptr_t)memory(w, sqe->len);
	sqe->addr_len = destination(w, &slot->m.addr);
	sqe->addr2 = sqe->addr_len ? (uintptr_t)&slot->m.addr : 0;
	fill_msg_flags(w, sqe, send_flags(w));
	if (one_in(w, 8)) {
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->ioprio |= one_in(w, 2) ? IORING_RECVSEND_BUNDLE : 0;
	}
}

static void fill_sendmsg(struct worker *w, struct io_uring_sqe *sqe,
			 struct slot *slot)
{
	message(w, &slot->m, &slot->msg, true);
	sqe->addr = (uintptr_t)&slot->msg;
	sqe->len = 1;
	fill_msg_flags(w, sqe, send_flags(w));
}

static void fill_recv(struct worker *w, struct io_uring_sqe *sqe,
		      struct slot *slot)
{
	(void)slot;
	sqe->len = length(w);
	sqe->addr = (uintptr_t)memory(w, sqe->len);
	fill_msg_flags(w, sqe, recv_flags(w));
}

static void fill_recvmsg(struct worker *w, struct io_uring_sqe *sqe,
			 struct slot *slot)
{
	message(w, &slot->m, &slot->msg, false);
	/* Not descriptors, which nobody would know of. */
	if (slot->msg.msg_controllen >= CMSG_LEN(sizeof(int)))
		slot->msg.msg_controllen = CMSG_LEN(0);
	sqe->addr = (uintptr_t)&slot->msg;
	sqe->len = 1;
	fill_msg_flags(w, sqe, recv_flags(w));
}

static void fill_multishot(struct worker *w, struct io_uring_sqe *sqe,
			   struct slot *slot)
{
	if (sqe->opcode == IORING_OP_RECVMSG) {
		fill_recvmsg(w, sqe, slot);
		slot->msg.msg_iovlen = 0;
	} else {
		fill_recv(w, sqe, slot);
		sqe->len = one_in(w, 2) ? 0 : sqe->len;
		sqe->ioprio |= one_in(w, 4) ? IORING_RECVSEND_BUNDLE : 0;
	}
	sqe->msg_flags &= ~MSG_WAITALL;
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->ioprio |= one_in(w, 8) ? 0 : IORING_RECV_MULTISHOT;
}

static void fill_accept(struct worker *w, struct io_uring_sqe *sqe,
			struct slot *slot)
{
	if (!one_in(w, 16))
		sqe->fd = take(w, w->table->listener, LISTENERS);
	if (one_in(w, 2)) {
		slot->msg.msg_namelen = below(w, sizeof(slot->m.addr));
		sqe->addr = (uintptr_t)&slot->m.addr;
		sqe->addr2 = (uintptr_t)&slot->msg.msg_namelen;
	}
	sqe->accept_flags = one_in(w, 4) ? 0 : SOCK_NONBLOCK;
	sqe->ioprio = below(w, 8);	/* IORING_ACCEPT_* */
}

static void fill_connect(struct worker *w, struct io_uring_sqe *sqe,
			 struct slot *slot)
{
	sqe->off = address(w, &slot->m.addr);
	sqe->addr = (uintptr_t)&slot->m.addr;
}

static void fill_poll(struct worker *w, struct io_uring_sqe *sqe,
		      struct slot *slot)
{
	(void)slot;
	sqe->poll32_events = below(w, 1 << 15) |
			     (one_in(w, 4) ? EPOLLEXCLUSIVE : 0);
	sqe->len = one_in(w, 4) ? IORING_POLL_ADD_MULTI : 0;
}

static void fill_shutdown(struct worker *w, struct io_uring_sqe *sqe,
			  struct slot *slot)
{
	(void)slot;
	sqe->len = below(w, 3);
}

static void fill_timeout(struct worker *w, struct io_uring_sqe *sqe,
			 struct slot *slot)
{
	static const struct __kernel_timespec timeout = {
		.tv_nsec = TICK_MS * 1000000,
	};

	(void)w;
	(void)slot;
	sqe->addr = (uintptr_t)&timeout;
	sqe->len = 1;
}

static void fill_cancel(struct worker *w, struct io_uring_sqe *sqe,
			struct slot *slot);
static long do_fork(struct worker *w);
static long do_uring(struct worker *w);
static long do_uring_close(struct worker *w);

/* The calls, and the requests that do_uring() makes; those are counted when
 * they complete.
 */
static const struct {
	const char *name;
	unsigned int weight;
	long (*run)(struct worker *w);
	void (*fill)(struct worker *w, struct io_uring_sqe *sqe,
		     struct slot *slot);
	unsigned int opcode;
} calls[] = {
	{ "socket", 10, do_socket },
	{ "socketpair", 4, do_socketpair },
	{ "bind", 8, do_bind },
	{ "listen", 8, do_listen },
	{ "connect", 20, do_connect },
	{ "accept4", 20, do_accept },
	{ "serve", 4, do_serve },
	{ "client", 12, do_client },
	{ "send", 50, do_send },
	{ "sendmsg", 40, do_sendmsg },
	{ "sendmmsg", 20, do_sendmmsg },
	{ "writev", 30, do_writev },
	{ "recv", 50, do_recv },
	{ "recvmsg", 40, do_recvmsg },
	{ "recvmmsg", 20, do_recvmmsg },
	{ "readv", 30, do_readv },
	{ "splice from", 30, do_splice_from },
	{ "splice to", 30, do_splice_to },
	{ "tee", 10, do_tee },
	{ "vmsplice", 10, do_vmsplice },
	{ "read pipe", 8, do_read_pipe },
	{ "sendfile", 20, do_sendfile },
	{ "poll", 16, do_poll },
	{ "epoll_create1", 1, do_epoll_create },
	{ "epoll_ctl", 30, do_epoll_ctl },
	{ "epoll exclusive", 20, do_epoll_exclusive },
	{ "epoll_wait", 12, do_epoll_wait },
	{ "setsockopt", 40, do_setsockopt },
	{ "set filter", 5, do_set_filter },
	{ "getsockopt", 30, do_getsockopt },
	{ "ioctl", 20, do_ioctl },
	{ "shutdown", 2, do_shutdown },
	{ "getname", 10, do_getname },
	{ "fcntl", 10, do_fcntl },
	{ "dup", 2, do_dup },
	{ "close", 5, do_close },
	{ "proc", 4, do_proc },
	{ "fork", 1, do_fork },
	{ "diag dump", 8, do_diag_dump },
	{ "diag get", 12, do_diag_get },
	{ "diag destroy", 4, do_diag_destroy },
	{ "uring", 100, do_uring },
	{ "uring close", 1, do_uring_close },
	{ "uring send", 40, NULL, fill_send, IORING_OP_SEND },
	{ "uring sendmsg", 30, NULL, fill_sendmsg, IORING_OP_SENDMSG },
	{ "uring recv", 30, NULL, fill_recv, IORING_OP_RECV },
	{ "uring recvmsg", 20, NULL, fill_recvmsg, IORING_OP_RECVMSG },
	{ "uring recvs", 20, NULL, fill_multishot, IORING_OP_RECV },
	{ "uring recvmsgs", 10, NULL, fill_multishot, IORING_OP_RECVMSG },
	{ "uring accept", 20, NULL, fill_accept, IORING_OP_ACCEPT },
	{ "uring connect", 20, NULL, fill_connect, IORING_OP_CONNECT },
	{ "uring poll", 20, NULL, fill_poll, IORING_OP_POLL_ADD },
	{ "uring shutdown", 1, NULL, fill_shutdown, IORING_OP_SHUTDOWN },
	{ "uring cancel", 20, NULL, fill_cancel, IORING_OP_ASYNC_CANCEL },
	/* The last one: not by itself. It succeeds with ETIME. */
	{ "uring timeout", 0, NULL, fill_timeout, IORING_OP_LINK_TIMEOUT },
};

#define LINK_TIMEOUT	(ARRAY_SIZE(calls) - 1)

/* Shared by all processes */
static struct shared {
	struct table table;
	struct worker workers[WORKERS];
	unsigned long count[ARRAY_SIZE(calls)][ERRNOS];
	int stop;
} *shared;

static uint64_t seed = SEED;
static bool fail;

/* Call or @request? */
static unsigned int weight(unsigned int call, bool request)
{
	return !calls[call].run == request ? calls[call].weight : 0;
}

static unsigned int choose(struct worker *w, bool request)
{
	unsigned int i, n, total = 0;

	for (i = 0; i < ARRAY_SIZE(calls); i++)
		total += weight(i, request);
	n = below(w, total);
	for (i = 0; n >= weight(i, request); i++)
		n -= weight(i, request);
	return i;
}

static void count(unsigned int call, int err)
{
	__atomic_add_fetch(&shared->count[call][err % ERRNOS], 1,
			   __ATOMIC_RELAXED);
}

/* The rings: each worker has its own, which it makes when it needs one. */

static void ring_unmap(struct ring *ring)
{
	munmap(ring->buffers, BUFFERS * sizeof(struct io_uring_buf));
	munmap(ring->sqes, ENTRIES * sizeof(*ring->sqes));
	munmap(ring->map, ring->map_size);
	close(ring->fd);
	ring->fd = 0;
}

static bool ring_map(struct ring *ring, const struct io_uring_params *p)
{
	const int prot = PROT_READ | PROT_WRITE;
	struct io_uring_buf_reg reg = {
		.ring_entries = BUFFERS,
		.bgid = GROUP,
	};

	ring->map_size = p->cq_off.cqes + p->cq_entries * sizeof(*ring->cqes);
	ring->map = mmap(NULL, ring->map_size, prot, MAP_SHARED | MAP_POPULATE,
			 ring->fd, IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, ENTRIES * sizeof(*ring->sqes), prot,
			  MAP_SHARED | MAP_POPULATE, ring->fd,
			  IORING_OFF_SQES);
	ring->buffers = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), prot,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ring->map == MAP_FAILED || ring->sqes == MAP_FAILED ||
	    ring->buffers == MAP_FAILED)
		return false;
	ring->sq_head = (void *)(ring->map + p->sq_off.head);
	ring->sq_tail = (void *)(ring->map + p->sq_off.tail);
	ring->sq_mask = (void *)(ring->map + p->sq_off.ring_mask);
	ring->cq_head = (void *)(ring->map + p->cq_off.head);
	ring->cq_tail = (void *)(ring->map + p->cq_off.tail);
	ring->cq_mask = (void *)(ring->map + p->cq_off.ring_mask);
	ring->cqes = (void *)(ring->map + p->cq_off.cqes);
	reg.ring_addr = (uintptr_t)ring->buffers;
	return !syscall(SYS_io_uring_register, ring->fd,
			IORING_REGISTER_PBUF_RING, &reg, 1);
}

static bool ring_open(struct worker *w)
{
	static const unsigned int flags[] = {
		0, IORING_SETUP_COOP_TASKRUN,
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	};
	struct io_uring_params p = {
		.flags = IORING_SETUP_NO_SQARRAY | IORING_SETUP_SUBMIT_ALL |
			 flags[below(w, ARRAY_SIZE(flags))],
	};
	int fd = syscall(SYS_io_uring_setup, ENTRIES, &p);

	if (fd < 0)
		return false;
	w->ring.fd = fd;
	if (!ring_map(&w->ring, &p)) {
		ring_unmap(&w->ring);
		return false;
	}
	return true;
}

/* Submit what is in the ring, and do what was put off. */
static long ring_enter(struct ring *ring, int wait)
{
	return syscall(SYS_io_uring_enter, ring->fd,
		       *ring->sq_tail - *ring->sq_head, wait,
		       IORING_ENTER_GETEVENTS, NULL, 0);
}

/* Take the completions off the ring. */
static void ring_reap(struct worker *w)
{
	struct ring *ring = &w->ring;
	unsigned int head = *ring->cq_head, call;
	const struct io_uring_cqe *cqe;

	while (head != __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE)) {
		cqe = &ring->cqes[head & *ring->cq_mask];
		call = cqe->user_data & ((1 << CALL_BITS) - 1);
		count(call, cqe->res < 0 ? -cqe->res : 0);
		if (calls[call].opcode == IORING_OP_ACCEPT)
			store(w, cqe->res, cqe->user_data >> CALL_BITS);
		__atomic_store_n(ring->cq_head, ++head, __ATOMIC_RELEASE);
	}
}

/* Other requests end with the ring, but nobody would close what an accept gives
 * then.
 */
static void ring_close(struct worker *w)
{
	struct io_uring_sync_cancel_reg cancel = {
		.flags = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_OP,
		.timeout.tv_nsec = TICK_MS * 1000000,
		.opcode = IORING_OP_ACCEPT,
	};

	syscall(SYS_io_uring_register, w->ring.fd, IORING_REGISTER_SYNC_CANCEL,
		&cancel, 1);
	ring_enter(&w->ring, 0);
	ring_reap(w);
	ring_unmap(&w->ring);
}

static void ring_provide(struct worker *w)
{
	struct io_uring_buf_ring *ring = w->ring.buffers;
	unsigned int i = ring->tail % BUFFERS;

	ring->bufs[i].addr = (uintptr_t)buf + i * 4096;
	ring->bufs[i].len = 1 + below(w, 4096);
	ring->bufs[i].bid = i;
	__atomic_store_n(&ring->tail, ring->tail + 1, __ATOMIC_RELEASE);
}

/* Tells whether the next one is linked to it. */
static bool ring_add(struct worker *w, bool linked)
{
	struct ring *ring = &w->ring;
	unsigned int i = *ring->sq_tail & *ring->sq_mask;
	unsigned int call = choose(w, true);
	struct io_uring_sqe *sqe = &ring->sqes[i];

	if (linked && one_in(w, 2))
		call = LINK_TIMEOUT;
	*sqe = (struct io_uring_sqe) {
		.opcode = calls[call].opcode,
		.fd = pick(w),
		.flags = (one_in(w, 4) ? IOSQE_IO_LINK : 0) |
			 (one_in(w, 16) ? IOSQE_IO_HARDLINK : 0) |
			 (one_in(w, 16) ? IOSQE_ASYNC : 0),
	};
	calls[call].fill(w, sqe, &ring->slots[i]);
	if (sqe->flags & IOSQE_BUFFER_SELECT)
		sqe->buf_group = GROUP;
	sqe->user_data = call | (__u64)w->type << CALL_BITS;
	__atomic_store_n(ring->sq_tail, *ring->sq_tail + 1, __ATOMIC_RELEASE);
	return sqe->flags & IOSQE_IO_LINK;
}

static void fill_cancel(struct worker *w, struct io_uring_sqe *sqe,
			struct slot *slot)
{
	static const unsigned int flags[] = {
		0, IORING_ASYNC_CANCEL_ALL, IORING_ASYNC_CANCEL_FD,
		IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL,
		IORING_ASYNC_CANCEL_ANY,
		IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
	};

	(void)slot;
	sqe->addr = choose(w, true) | (__u64)w->type << CALL_BITS;
	sqe->cancel_flags = flags[below(w, ARRAY_SIZE(flags))];
}

static long do_uring(struct worker *w)
{
	int n = 1 + below(w, 4);
	bool linked = false;
	long ret;

	if (!w->ring.fd && !ring_open(w))
		return -1;
	while (n--) {
		ring_provide(w);
		linked = ring_add(w, linked);
	}
	ret = ring_enter(&w->ring, one_in(w, 16));
	ring_reap(w);
	return ret;
}

static long do_uring_close(struct worker *w)
{
	if (w->ring.fd)
		ring_close(w);
	return 0;
}

/* Workers */

/* What chance makes of a step depends on the seed, the worker and how many of
 * them that has made, and not on what came of these.
 */
static void step(struct worker *w)
{
	unsigned int call;
	int err;

	w->random = (seed << 8 | w->index) * 0x2545f4914f6cdd1d + w->step++;
	call = choose(w, false);
	w->call = call;
	err = err_of(calls[call].run(w));
	count(call, err);
	/* Make place for connections that live. */
	if ((err == EPIPE || err == ECONNRESET) && one_in(w, 4))
		replace(w->entry, 0);
}

/* Ends calls that sleep: it need not do anything for that. */
static void on_signal(int sig)
{
	(void)sig;
}

static void start_ticks(void)
{
	struct itimerval timer = {
		.it_interval.tv_usec = TICK_MS * 1000,
		.it_value.tv_usec = TICK_MS * 1000,
	};

	setitimer(ITIMER_REAL, &timer, NULL);
}

/* A process that has the same sockets, uses them, and ends */
static long do_fork(struct worker *w)
{
	struct worker child = {
		.index = w->index + WORKERS,
		.step = w->step * CHILD_STEPS,
	};
	static struct table table;
	pid_t pid, ended;
	int i;

	if (w->table != &shared->table)
		return 0;	/* is such a process */
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		start_ticks();
		table = shared->table;
		child.table = &table;
		for (i = 0; i < CHILD_STEPS; i++)
			step(&child);
		_exit(0);
	}
	if (pid > 0)
		do
			ended = waitpid(pid, NULL, 0);
		while (ended < 0 && errno == EINTR);
	return pid;
}

static void fail_allocations(void)
{
	int fd = open("/proc/thread-self/make-it-fail", O_WRONLY);

	if (write(fd, "1", 1) != 1)
		ksft_print_msg("no make-it-fail: %s\n", strerror(errno));
	close(fd);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	if (fail)
		fail_allocations();
	while (!__atomic_load_n(&shared->stop, __ATOMIC_RELAXED))
		step(w);
	do_uring_close(w);
	return NULL;
}

/* A process that shares the descriptors */
static pid_t start_process(struct worker *w)
{
	struct clone_args args = {
		.flags = CLONE_FILES,
		.exit_signal = SIGCHLD,
	};
	pid_t pid = syscall(SYS_clone3, &args, sizeof(args));

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		start_ticks();
		work(w);
		_exit(0);
	}
	return pid;
}

static bool start(struct worker *w)
{
	w->table = &shared->table;
	if (w->index >= PROCESSES)
		return !pthread_create(&w->thread, NULL, work, w);
	w->pid = start_process(w);
	return w->pid > 0;
}

static void tick(struct worker *w)
{
	if (w->index >= PROCESSES)
		pthread_kill(w->thread, SIGALRM);
}

static bool has_ended(struct worker *w)
{
	if (w->index < PROCESSES)
		return waitpid(w->pid, NULL, WNOHANG);
	return !pthread_tryjoin_np(w->thread, NULL);
}

/* Ends those that have not ended yet; tells how many there are. All are to be
 * woken: one may sleep with a pipe locked that others wait for.
 */
static int end(unsigned int workers)
{
	unsigned int i;
	int left = 0;

	for (i = 0; i < workers; i++) {
		struct worker *w = &shared->workers[i];

		if (!w->ended)
			w->ended = has_ended(w);
		if (w->ended)
			continue;
		tick(w);
		left++;
	}
	return left;
}

/* Whether all workers came to their end */
static bool fuzz(unsigned int workers, long seconds)
{
	long deadline = now_ms() + seconds * 1000;
	bool ok = true;
	unsigned int i;

	for (i = 0; i < workers; i++) {
		shared->workers[i].index = i;
		if (!start(&shared->workers[i]))
			ksft_exit_fail_perror("starting a worker");
	}
	while (now_ms() < deadline) {
		usleep(TICK_MS * 1000);
		for (i = 0; i < workers; i++)
			tick(&shared->workers[i]);
	}

	shared->stop = 1;
	deadline = now_ms() + HANG_MS;
	while (end(workers)) {
		if (now_ms() > deadline)
			break;
		usleep(TICK_MS * 1000);
	}
	for (i = 0; i < workers; i++) {
		if (shared->workers[i].ended)
			continue;
		ksft_print_msg("worker %u hangs in %s\n", i,
			       calls[shared->workers[i].call].name);
		ok = false;
	}
	return ok;
}

/* The program */

static void prepare(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	int i;

	/* A namespace for it alone, or others would be counted too. */
	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
		ksft_exit_skip("no network namespace: %s\n", strerror(errno));
	sigaction(SIGALRM, &action, NULL);
	sigaction(SIGIO, &action, NULL);
	signal(SIGPIPE, SIG_IGN);

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	buf = mmap(NULL, 2 * BUF_SIZE, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	file = memfd_create("fuzz", 0);
	if (shared == MAP_FAILED || buf == MAP_FAILED || file < 0 ||
	    mprotect(buf + BUF_SIZE, BUF_SIZE, PROT_NONE) ||
	    ftruncate(file, 2 * BUF_SIZE))
		ksft_exit_fail_perror("memory");
	for (i = 0; i < PIPES; i++)
		if (pipe2(pipes[i], O_NONBLOCK))
			ksft_exit_fail_perror("pipe2");
}

/* One line: how often the call succeeded, and how often it failed why */
static void print_call(unsigned int call)
{
	unsigned long *count = shared->count[call];
	char line[1024] = "";
	size_t len = 0;
	int i;

	for (i = 1; i < ERRNOS; i++)
		if (count[i] && len < sizeof(line))
			len += snprintf(line + len, sizeof(line) - len,
					", %s %lu", strerrorname_np(i) ?: "?",
					count[i]);
	ksft_print_msg("%-15s success %lu%s\n", calls[call].name, count[0],
		       line);
}

static void print_calls(bool verbose)
{
	unsigned long total = 0;
	unsigned int call, i;

	for (call = 0; call < ARRAY_SIZE(calls); call++) {
		for (i = 0; i < ERRNOS; i++)
			total += shared->count[call][i];
		if (verbose)
			print_call(call);
	}
	ksft_print_msg("%lu calls and requests\n", total);
}

static void __noreturn show_usage(const char *name, int code)
{
	printf("usage: %s [OPTION]...\n"
	       "Call AF_MYPROTO sockets at random.\n"
	       "  -s, --seed=N     what chance starts from (%d)\n"
	       "  -t, --time=N     seconds (MYPROTO_STRESS_SECONDS, or %d)\n"
	       "  -n, --threads=N  besides %d processes (4)\n"
	       "  -f, --fail       with make-it-fail, for failslab and the like\n"
	       "  -v, --verbose    tell what the calls returned\n"
	       "  -h, --help       this\n",
	       name, SEED, SECONDS, PROCESSES);
	exit(code);
}

static void show_sockets(void)
{
	FILE *f = fopen("/proc/net/myproto", "r");
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		ksft_print_msg("%s", line);
	if (f)
		fclose(f);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "time", required_argument, NULL, 't' },
		{ "threads", required_argument, NULL, 'n' },
		{ "fail", no_argument, NULL, 'f' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	const char *stress = getenv("MYPROTO_STRESS_SECONDS");
	long end, seconds = stress ? atol(stress) : SECONDS;
	unsigned int threads = 4;
	bool verbose = false, ok;
	int c;

	while ((c = getopt_long(argc, argv, "s:t:n:fvh", options, NULL)) >= 0) {
		switch (c) {
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 't':
			seconds = atol(optarg);
			break;
		case 'n':
			threads = strtoul(optarg, NULL, 0);
			break;
		case 'f':
			fail = true;
			break;
		case 'v':
			verbose = true;
			break;
		default:
			show_usage(argv[0], c == 'h' ? KSFT_PASS : KSFT_FAIL);
		}
	}
	if (optind < argc || threads > WORKERS - PROCESSES)
		show_usage(argv[0], KSFT_FAIL);

	ksft_print_header();
	prepare();
	if (sockets_in_use() < 0) {
		close(socket(AF_MYPROTO, SOCK_STREAM, 0));
		if (sockets_in_use() < 0)
			ksft_exit_skip("no AF_MYPROTO here\n");
	}
	ksft_set_plan(2);
	ksft_print_msg("seed %llu, %ld seconds\n", (unsigned long long)seed,
		       seconds);
	ok = fuzz(PROCESSES + threads, seconds);
	print_calls(verbose);
	ksft_test_result(ok, "every call returned\n");
	/* Rings let go of their sockets a bit later, and until then an accept
	 * may still succeed: so not only those in the table, and again.
	 */
	for (end = now_ms() + WAIT_MS; sockets_in_use() && now_ms() < end;
	     usleep(10000))
		close_range(STDERR_FILENO + 1, ~0U, 0);
	if (sockets_in_use())
		show_sockets();
	ksft_test_result(!sockets_in_use(), "no socket is left\n");
	ksft_finished();
}
