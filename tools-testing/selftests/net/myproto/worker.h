/* SPDX-License-Identifier: GPL-2.0 */
/* Threads that sleep in a call, and how often they were woken. */
#ifndef MYPROTO_WORKER_H
#define MYPROTO_WORKER_H

#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include <linux/userfaultfd.h>

#include "util.h"

/* Threads that make a call when they are told to, and what it returned */
struct worker {
	long (*call)(struct worker *worker);
	int fd;
	int epoll;
	__u32 channel;
	int flags;
	size_t len;	/* how much to send or to receive */
	size_t total;	/* how much in all, if that takes several calls */
	char *buf;
	bool loop;	/* call again until it fails */

	pthread_t thread;
	pid_t tid;
	sem_t go;
	int told;	/* how many calls it was told to make */
	int started;
	int done;
	long ret;
	int err;
};

static inline void *worker_run(void *arg)
{
	struct worker *worker = arg;

	__atomic_store_n(&worker->tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	do {
		while (!worker->loop && sem_wait(&worker->go))
			;
		__atomic_add_fetch(&worker->started, 1, __ATOMIC_SEQ_CST);
		worker->ret = worker->call(worker);
		worker->err = err_of(worker->ret);
		__atomic_add_fetch(&worker->done, 1, __ATOMIC_SEQ_CST);
	} while (!worker->loop || worker->ret > 0);
	return NULL;
}

static inline int worker_done(struct worker *worker)
{
	return __atomic_load_n(&worker->done, __ATOMIC_SEQ_CST);
}

/* Whether it has made all calls it was told to */
static inline bool worker_idle(struct worker *worker)
{
	return !worker->loop && worker_done(worker) == worker->told;
}

/* Whether it sleeps in its call, not before or after that */
static inline bool worker_waits(struct worker *worker)
{
	int done = worker_done(worker);

	return __atomic_load_n(&worker->started, __ATOMIC_SEQ_CST) > done &&
	       proc_state(worker->tid) == 'S' && worker_done(worker) == done;
}

/* How often they went to sleep */
static inline long workers_switches(const struct worker *worker, int n)
{
	char path[64];
	long count = 0;

	for (; n--; worker++) {
		snprintf(path, sizeof(path), "/proc/self/task/%d/status",
			 worker->tid);
		count += proc_number(path, "voluntary_ctxt_switches:");
	}
	return count;
}

static inline bool workers_rest(struct worker *worker, int n)
{
	long before = workers_switches(worker, n);
	int i;

	for (i = 0; i < n; i++)
		if (!worker_idle(&worker[i]) && !worker_waits(&worker[i]))
			return false;
	return workers_switches(worker, n) == before;
}

/* Wait until each sleeps in its call or has nothing to do */
static inline bool workers_settle(struct worker *worker, int n)
{
	return wait_until(workers_rest(worker, n));
}

/* Wait until it has made all calls it was told to */
static inline bool worker_finish(struct worker *worker)
{
	return wait_until(worker_idle(worker));
}

/* The same for several */
static inline bool workers_finish(struct worker *worker, int n)
{
	for (; n && worker_finish(worker); n--)
		worker++;
	return !n;
}

static inline void worker_start(struct __test_metadata *_metadata,
				struct worker *worker)
{
	worker->buf = calloc(1, worker->len + 1);
	ASSERT_NE(NULL, worker->buf);
	ASSERT_EQ(0, sem_init(&worker->go, 0, 0));
	ASSERT_EQ(0, pthread_create(&worker->thread, NULL, worker_run, worker));
	while (!__atomic_load_n(&worker->tid, __ATOMIC_SEQ_CST))
		sched_yield();
}

/* Start @n threads alike */
static inline void workers_start(struct __test_metadata *_metadata,
				 struct worker *worker, int n,
				 struct worker like)
{
	for (; n--; worker++) {
		*worker = like;
		worker_start(_metadata, worker);
	}
}

static inline void worker_tell(struct worker *worker)
{
	worker->told++;
	sem_post(&worker->go);
}

/* Tell it, and wait until it sleeps in the call */
static inline void worker_sleep(struct __test_metadata *_metadata,
				struct worker *worker)
{
	worker_tell(worker);
	ASSERT_TRUE(workers_settle(worker, 1));
	ASSERT_FALSE(worker_idle(worker))
		TH_LOG("returned %ld: %s", worker->ret, strerror(worker->err));
}

/* The same for several, one after the other */
static inline void workers_sleep(struct __test_metadata *_metadata,
				 struct worker *worker, int n)
{
	for (; n--; worker++)
		worker_sleep(_metadata, worker);
}

static inline long call_send(struct worker *worker)
{
	return send(worker->fd, worker->buf, worker->len,
		    worker->flags | MSG_NOSIGNAL);
}

static inline long call_recv(struct worker *worker)
{
	return recv(worker->fd, worker->buf, worker->len, worker->flags);
}

static inline int make_epoll(struct __test_metadata *_metadata, int fd,
			     __u32 events)
{
	struct epoll_event event = { .events = events };
	int epoll = epoll_create1(0);

	ASSERT_LE(0, epoll);
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	return epoll;
}

/* The events within @ms, 0 for none; -1 waits without a limit */
static inline int next_event(int epoll, int ms)
{
	struct epoll_event event;
	int n = epoll_wait(epoll, &event, 1, ms);

	return n > 0 ? (int)event.events : n;
}

static inline long call_epoll(struct worker *worker)
{
	return next_event(worker->epoll, -1);
}

/* In a loop: sleep until @events come, by poll() if there is no epoll */
static inline long worker_ready(struct worker *worker, int events)
{
	if (worker->epoll < 0 ? poll_for(worker->fd, events, WAIT_MS) :
				next_event(worker->epoll, WAIT_MS))
		return 1;
	errno = ETIMEDOUT;
	return -1;
}

static inline void on_signal(int sig)
{
}

/* Send SIGUSR1 to the workers @from to @n - 1. An event between two such calls
 * comes while some threads are leaving because of the signal.
 */
static inline void interrupt(struct worker *worker, int from, int n)
{
	for (; from < n; from++)
		pthread_kill(worker[from].thread, SIGUSR1);
}

/* For some microseconds, others in each round */
static inline void spin(int round)
{
	struct timespec now, start;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000000000L + now.tv_nsec -
		 start.tv_nsec < round * 7919 % 100 * 1000);
}

/* Let SIGUSR1 end a call with EINTR */
static inline void catch_usr1(struct __test_metadata *_metadata)
{
	struct sigaction action = { .sa_handler = on_signal };

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
}

/* A page that is not there: a thread that touches it sleeps until the test has
 * it come, by the descriptor that this returns, -1: there can be none.
 */
static inline int absent_page(struct uffdio_range *page)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int uffd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api api = { .api = UFFD_API };

	page->len = sysconf(_SC_PAGESIZE);
	page->start = (uintptr_t)mmap(NULL, page->len, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.range = *page;
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) ||
	    ioctl(uffd, UFFDIO_REGISTER, &reg))
		return -1;
	return uffd;
}

#endif /* MYPROTO_WORKER_H */
