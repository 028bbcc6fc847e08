/* SPDX-License-Identifier: GPL-2.0 */
/* What the AF_MYPROTO tests share. */
#ifndef MYPROTO_UTIL_H
#define MYPROTO_UTIL_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/myproto.h>
#include <linux/sock_diag.h>
#include <linux/socket.h>

#include "kselftest_harness.h"

/* bind() to MYPROTO_CHANNEL_ANY gives a channel from here on. */
#define DYNAMIC_START	0x80000000U

/* How long to wait for what must happen: only a failing test waits so long. */
#define WAIT_MS		10000

/* A large message: more than any queue of the tests takes */
#define BIG		(4 << 20)

/* errno of a call that returned @ret, 0 when it succeeded */
static inline int err_of(long ret)
{
	return ret < 0 ? errno : 0;
}

static inline long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Sockets and addresses */

/*
 * The type of the sockets that the functions below make. A fixture sets it:
 * that does not reach other tests, as each one is a process.
 */
static int my_type = SOCK_STREAM;

static inline struct sockaddr_my my_addr(__u32 channel)
{
	return (struct sockaddr_my) {
		.smy_family = AF_MYPROTO,
		.smy_channel = channel,
	};
}

static inline int my_bind(int fd, __u32 channel)
{
	struct sockaddr_my addr = my_addr(channel);

	return bind(fd, (struct sockaddr *)&addr, sizeof(addr));
}

static inline int my_connect(int fd, __u32 channel)
{
	struct sockaddr_my addr = my_addr(channel);

	return connect(fd, (struct sockaddr *)&addr, sizeof(addr));
}

static inline int my_sendto(int fd, __u32 channel, const void *buf, size_t len,
			    int flags)
{
	struct sockaddr_my addr = my_addr(channel);

	return sendto(fd, buf, len, flags | MSG_NOSIGNAL,
		      (struct sockaddr *)&addr, sizeof(addr));
}

/* AF_UNSPEC: end the association of a DGRAM socket */
static inline int my_dissolve(int fd)
{
	struct sockaddr_my addr = { .smy_family = AF_UNSPEC };

	return connect(fd, (struct sockaddr *)&addr, sizeof(addr));
}

static inline int my_socket(struct __test_metadata *_metadata)
{
	int fd = socket(AF_MYPROTO, my_type, 0);

	ASSERT_LE(0, fd);
	return fd;
}

static inline int my_bound_socket(struct __test_metadata *_metadata,
				  __u32 channel)
{
	int fd = my_socket(_metadata);

	ASSERT_EQ(0, my_bind(fd, channel))
		TH_LOG("bind to %u: %s", channel, strerror(errno));
	return fd;
}

/* The channel getsockname() (or getpeername()) tells, its form checked */
static inline __s64 my_name(struct __test_metadata *_metadata, int fd,
			    bool peer)
{
	struct sockaddr_my addr;
	socklen_t len = sizeof(addr);

	memset(&addr, 0xff, sizeof(addr));
	ASSERT_EQ(0, (peer ? getpeername : getsockname)
		     (fd, (struct sockaddr *)&addr, &len));
	EXPECT_EQ(sizeof(addr), len);
	EXPECT_EQ(AF_MYPROTO, addr.smy_family);
	EXPECT_EQ(0, addr.__smy_pad);
	return addr.smy_channel;
}

static inline __s64 my_channel(struct __test_metadata *_metadata, int fd)
{
	return my_name(_metadata, fd, false);
}

static inline __s64 my_peer(struct __test_metadata *_metadata, int fd)
{
	return my_name(_metadata, fd, true);
}

/* errno of getpeername() */
static inline int my_peer_err(int fd)
{
	struct sockaddr_my addr;
	socklen_t len = sizeof(addr);

	return err_of(getpeername(fd, (struct sockaddr *)&addr, &len));
}

/* A listener on a dynamic channel, which is stored in @channel */
static inline int my_listener(struct __test_metadata *_metadata, int backlog,
			      __u32 *channel)
{
	int fd = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);

	ASSERT_EQ(0, listen(fd, backlog));
	*channel = my_channel(_metadata, fd);
	return fd;
}

static inline int my_client(struct __test_metadata *_metadata, __u32 channel)
{
	int fd = my_socket(_metadata);

	ASSERT_EQ(0, my_connect(fd, channel))
		TH_LOG("connect to %u: %s", channel, strerror(errno));
	return fd;
}

/* The next connection of @listener */
static inline int my_accept(struct __test_metadata *_metadata, int listener)
{
	int fd = accept(listener, NULL, NULL);

	ASSERT_LE(0, fd)
		TH_LOG("accept: %s", strerror(errno));
	return fd;
}

/*
 * A connection through a listener: fd[0] connected, fd[1] was accepted.
 * DGRAM: two sockets with a channel each, connected to each other.
 */
static inline void my_connection(struct __test_metadata *_metadata, int fd[2])
{
	__u32 channel;
	int listener, i;

	if (my_type == SOCK_DGRAM) {
		for (i = 0; i < 2; i++)
			fd[i] = my_bound_socket(_metadata, MYPROTO_CHANNEL_ANY);
		for (i = 0; i < 2; i++) {
			channel = my_channel(_metadata, fd[!i]);
			ASSERT_EQ(0, my_connect(fd[i], channel));
		}
		return;
	}

	listener = my_listener(_metadata, 1, &channel);
	fd[0] = my_client(_metadata, channel);
	fd[1] = my_accept(_metadata, listener);
	close(listener);
}

static inline void my_socketpair(struct __test_metadata *_metadata, int fd[2])
{
	ASSERT_EQ(0, socketpair(AF_MYPROTO, my_type, 0, fd));
}

static inline void set_nonblock(struct __test_metadata *_metadata, int fd)
{
	ASSERT_EQ(0, fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK));
}

/* @opt: SO_RCVTIMEO or SO_SNDTIMEO */
static inline void set_timeout(struct __test_metadata *_metadata, int fd,
			       int opt, int ms)
{
	struct timeval tv = {
		.tv_sec = ms / 1000,
		.tv_usec = ms % 1000 * 1000,
	};

	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, opt, &tv, sizeof(tv)));
}

static inline void set_rcvbuf(struct __test_metadata *_metadata, int fd,
			      int val)
{
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &val, sizeof(val)));
}

static inline int get_int_opt(struct __test_metadata *_metadata, int fd,
			      int opt)
{
	socklen_t len = sizeof(int);
	int val = -1;

	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, opt, &val, &len));
	return val;
}

/* What SO_MEMINFO tells at @i: SK_MEMINFO_... */
static inline __u32 my_meminfo(struct __test_metadata *_metadata, int fd, int i)
{
	__u32 info[SK_MEMINFO_VARS] = {};
	socklen_t len = sizeof(info);

	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len));
	return info[i];
}

static inline struct ucred my_peercred(struct __test_metadata *_metadata,
				       int fd)
{
	struct ucred cred = {};
	socklen_t len = sizeof(cred);

	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len));
	EXPECT_EQ(sizeof(cred), len);
	return cred;
}

/* Attach a filter that keeps @keep bytes of each message: errno */
static inline int my_filter(int fd, __u32 keep)
{
	struct sock_filter code = BPF_STMT(BPF_RET | BPF_K, keep);
	struct sock_fprog prog = { .len = 1, .filter = &code };

	return err_of(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog,
				 sizeof(prog)));
}

/* Data */

/* Send @chunk bytes at a time until no more fit; returns how many bytes did */
static inline size_t my_fill(struct __test_metadata *_metadata, int fd,
			     size_t chunk)
{
	char *buf = calloc(1, chunk);
	size_t total = 0;
	ssize_t n;

	ASSERT_NE(NULL, buf);
	while ((n = send(fd, buf, chunk, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		total += n;
	ASSERT_EQ(EAGAIN, err_of(n));
	free(buf);
	return total;
}

/* Receive what is queued; returns how much it was */
static inline size_t my_drain(struct __test_metadata *_metadata, int fd)
{
	static char buf[1 << 16];
	size_t total = 0;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		total += n;
	if (n)
		ASSERT_EQ(EAGAIN, err_of(n));
	return total;
}

static inline void expect_send(struct __test_metadata *_metadata, int fd,
			       const char *text)
{
	ssize_t len = strlen(text);

	EXPECT_EQ(len, send(fd, text, len, MSG_NOSIGNAL));
}

static inline void expect_recv(struct __test_metadata *_metadata, int fd,
			       const char *text)
{
	ssize_t len = strlen(text);
	char buf[64] = "";

	EXPECT_EQ(len, recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT));
	EXPECT_STREQ(text, buf);
}

/* errno of sending or receiving one byte without waiting */
static inline int try_send(int fd)
{
	return err_of(send(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL));
}

static inline int try_recv(int fd)
{
	char c;

	return err_of(recv(fd, &c, 1, MSG_DONTWAIT));
}

static inline void expect_eof(struct __test_metadata *_metadata, int fd)
{
	char c;

	EXPECT_EQ(0, recv(fd, &c, 1, MSG_DONTWAIT));
}

/* Both ends can send to the other, and nothing else was there. */
static inline void expect_exchange(struct __test_metadata *_metadata, int a,
				   int b)
{
	EXPECT_EQ(EAGAIN, try_recv(a));
	EXPECT_EQ(EAGAIN, try_recv(b));
	expect_send(_metadata, a, "there");
	expect_send(_metadata, b, "back");
	expect_recv(_metadata, b, "there");
	expect_recv(_metadata, a, "back");
}

/* What poll() reports for @fd, or 0 if it took @ms or longer: at the end of its
 * time it checks once more, and nobody woke it for what it finds only then.
 */
static inline int poll_for(int fd, int events, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	long end = now_ms() + ms;

	if (poll(&pfd, 1, ms) < 0)
		return -1;
	return ms > 0 && now_ms() >= end ? 0 : pfd.revents;
}

static inline int poll_now(int fd)
{
	return poll_for(fd, POLLIN | POLLPRI | POLLOUT | POLLRDHUP, 0);
}

/* Wait a little after the @n-th look, mostly microseconds; false at @end */
static inline bool look_again(int n, long end)
{
	/* A sleep may be longer than all the time there is. */
	if (n >= 200 && now_ms() >= end)
		return false;
	if (n < 100)
		sched_yield();
	else
		usleep(200);
	return true;
}

/* Wait until @cond holds; returns whether it does */
#define wait_until(cond) ({						\
	long __end = now_ms() + WAIT_MS;				\
	bool __done;							\
	int __n = 0;							\
									\
	while (!(__done = (cond)) && look_again(__n++, __end))		\
		;							\
	__done;								\
})

/* Processes */

/* A child that does not outlive the test */
static inline pid_t my_fork(struct __test_metadata *_metadata)
{
	pid_t parent = getpid(), pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(KSFT_FAIL);
	}
	return pid;
}

/* Exit code of a child, or the negative number of the signal that ended it */
static inline int my_wait(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline int my_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	return my_wait(pid);
}

static inline char proc_state(pid_t pid)
{
	char line[512] = "", path[64], *p;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return 0;
	if (read(fd, line, sizeof(line) - 1) < 0)
		line[0] = 0;
	close(fd);

	p = strrchr(line, ')');
	return p && p[1] ? p[2] : 0;
}

/* Wait until @pid sleeps; false if it ended or never slept */
static inline bool wait_asleep(pid_t pid)
{
	char state;

	return wait_until(!(state = proc_state(pid)) || strchr("SZ", state)) &&
	       state == 'S';
}

/* Evaluate @code in a child; its exit status, as my_wait() returns it */
#define in_child(code) ({						\
	pid_t __pid = my_fork(_metadata);				\
									\
	if (!__pid)							\
		_exit(code);						\
	my_wait(__pid);							\
})

/* A child that exits with @code, and sleeps already while it evaluates it */
#define sleeping_child(code) ({						\
	pid_t __pid = my_fork(_metadata);				\
									\
	if (!__pid)							\
		_exit(code);						\
	ASSERT_TRUE(wait_asleep(__pid));				\
	__pid;								\
})

/* The number in the line of a /proc file that begins with @name, -1: none */
static inline __s64 proc_number(const char *path, const char *name)
{
	FILE *f = fopen(path, "r");
	size_t len = strlen(name);
	char line[256];
	__s64 n = -1;

	while (f && n < 0 && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len))
			n = atoll(line + len);
	if (f)
		fclose(f);
	return n;
}

/* The same of the fdinfo of @fd */
static inline __s64 fdinfo_number(int fd, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return proc_number(path, name);
}

/* Do without the capability @cap; errno */
static inline int my_drop_cap(int cap)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, data))
		return errno;
	data[CAP_TO_INDEX(cap)].effective &= ~CAP_TO_MASK(cap);
	return err_of(syscall(SYS_capset, &head, data));
}

/* A descriptor of a new network namespace, which the caller is in then */
static inline int my_netns(void)
{
	if (unshare(CLONE_NEWNET))
		return -1;
	return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

/* Make later mounts the caller's own, which end with it; returns an errno */
static inline int my_private_mounts(void)
{
	return err_of(unshare(CLONE_NEWNS)) ?:
	       err_of(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

/* errno of writing @text to a file of the kernel */
static inline int write_file(const char *dir, const char *name,
			     const char *text)
{
	ssize_t len = strlen(text), n;
	char path[128];
	int fd, err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_TRUNC);
	n = write(fd, text, len);
	err = n == len ? 0 : err_of(n) ?: EIO;
	close(fd);
	return err;
}

/* Sysctls of the network namespace of the caller */

#define SYSCTLS		"/proc/sys/net/myproto"

static inline bool has_sysctls(void)
{
	return !access("/proc/sys/net", F_OK);
}

/* Value of a sysctl, -1 when it cannot be read */
static inline long sysctl_get(const char *name)
{
	char path[128], buf[32] = "";
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), SYSCTLS "/%s", name);
	fd = open(path, O_RDONLY);
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	return n > 0 ? atol(buf) : -1;
}

/* errno of writing @value, 0 when it was taken */
static inline int sysctl_set(const char *name, const char *value)
{
	return write_file(SYSCTLS, name, value);
}

/* How many sockets /proc/net/protocols counts, -1 without a MYSOCK line */
static inline int sockets_in_use(void)
{
	FILE *f = fopen("/proc/net/protocols", "r");
	int count = -1, size;
	char line[256];

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "MYSOCK %d %d", &size, &count) == 2)
			break;
	fclose(f);
	return count;
}

/* Wait until it is @count; returns how many there are then */
static inline int sockets_settle_at(int count)
{
	wait_until(sockets_in_use() == count);
	return sockets_in_use();
}

/*
 * Before main(), enter a network namespace that only this program has:
 * channels, sysctls and counts of sockets are its own there. Skips all tests if
 * that cannot be.
 */
static void __attribute__((constructor)) my_start(void)
{
	/* It may load the module. The other namespace counts the socket. */
	int fd = socket(AF_MYPROTO, SOCK_STREAM, 0);

	if (fd < 0 && errno == EAFNOSUPPORT)
		ksft_exit_skip("no AF_MYPROTO here: CONFIG_MYPROTO not set?\n");
	close(fd);
	if (unshare(CLONE_NEWNET))
		ksft_exit_skip("no new network namespace: %s, needs root\n",
			       strerror(errno));
}

#endif /* MYPROTO_UTIL_H */
