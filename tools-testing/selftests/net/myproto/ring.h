/* SPDX-License-Identifier: GPL-2.0 */
/* io_uring with the bare system calls, to need no library. */
#ifndef MYPROTO_RING_H
#define MYPROTO_RING_H

#include <sys/mman.h>

#include <linux/io_uring.h>

#include "util.h"

#define ENTRIES	32

struct ring {
	struct io_uring_params p;
	char *mem;		/* of both queues */
	struct io_uring_sqe *sqes;
	int fd;
};

static inline void *ring_map(struct ring *ring, size_t len, off_t off)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_POPULATE, ring->fd, off);
}

/* Returns 0 or an errno, to be of use in threads, too */
static inline int ring_open(struct ring *ring)
{
	struct io_uring_params *p = &ring->p;

	*p = (struct io_uring_params) { .flags = IORING_SETUP_NO_SQARRAY };
	ring->fd = syscall(__NR_io_uring_setup, ENTRIES, p);
	if (ring->fd < 0)
		return errno;

	ring->mem = ring_map(ring, p->cq_off.cqes + p->cq_entries *
			     sizeof(struct io_uring_cqe), IORING_OFF_SQ_RING);
	ring->sqes = ring_map(ring, ENTRIES * sizeof(*ring->sqes),
			      IORING_OFF_SQES);
	return ring->mem == MAP_FAILED || ring->sqes == MAP_FAILED ? errno : 0;
}

/* Not a function, as @statement has to leave the test: see SKIP(). */
#define ring_init(statement, ring) do {					\
	int __err = ring_open(ring);					\
									\
	if (__err)							\
		SKIP(statement, "no io_uring: %s", strerror(__err));	\
} while (0)

/* Put a request on the ring. It is not handed over before ring_enter(). */
static inline void ring_push(struct ring *ring, const struct io_uring_sqe *sqe)
{
	unsigned int *tail = (void *)(ring->mem + ring->p.sq_off.tail);

	ring->sqes[*tail % ENTRIES] = *sqe;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
}

/* Hand over @count requests: each may be done when this returns, or wait. */
static inline int ring_enter(struct ring *ring, unsigned int count)
{
	return syscall(__NR_io_uring_enter, ring->fd, count, 0, 0, NULL, 0);
}

/* Take a completion off the ring, if there is one */
static inline bool completed(struct ring *ring, struct io_uring_cqe *cqe)
{
	struct io_uring_cqe *cqes = (void *)(ring->mem + ring->p.cq_off.cqes);
	unsigned int *head = (void *)(ring->mem + ring->p.cq_off.head);
	unsigned int *tail = (void *)(ring->mem + ring->p.cq_off.tail);

	/* Work that was put off until now is done here. */
	syscall(__NR_io_uring_enter, ring->fd, 0, 0, IORING_ENTER_GETEVENTS,
		NULL, 0);
	if (*head == __atomic_load_n(tail, __ATOMIC_ACQUIRE))
		return false;
	*cqe = cqes[*head % ring->p.cq_entries];
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return true;
}

/* Take the next completion off the ring; false if none comes */
static inline bool ring_next(struct ring *ring, struct io_uring_cqe *cqe)
{
	return wait_until(completed(ring, cqe));
}

static inline void submit(struct __test_metadata *_metadata, struct ring *ring,
			  const struct io_uring_sqe *sqe)
{
	ring_push(ring, sqe);
	ASSERT_EQ(1, ring_enter(ring, 1));
}

static inline int wait_result(struct __test_metadata *_metadata,
			      struct ring *ring)
{
	struct io_uring_cqe cqe;

	ASSERT_TRUE(ring_next(ring, &cqe));
	return cqe.res;
}

/* Submit and wait */
static inline int run(struct __test_metadata *_metadata, struct ring *ring,
		      const struct io_uring_sqe *sqe)
{
	submit(_metadata, ring, sqe);
	return wait_result(_metadata, ring);
}

static inline struct io_uring_sqe make_sqe(int op, int fd, const void *addr,
					   unsigned int len)
{
	return (struct io_uring_sqe) {
		.opcode = op,
		.fd = fd,
		.addr = (uintptr_t)addr,
		.len = len,
	};
}

/* A request was handed over: it waits, and none has completed. The kernel lists
 * those that wait for poll in the fdinfo of the ring: not when the ring is in
 * use, so try again.
 */
static inline bool still_waits(struct ring *ring)
{
	struct io_uring_cqe cqe;
	bool done = false;

	return wait_until((done = completed(ring, &cqe)) ||
			  fdinfo_number(ring->fd, "  op=") >= 0) && !done;
}

#endif /* MYPROTO_RING_H */
