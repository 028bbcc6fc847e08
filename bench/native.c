// SPDX-License-Identifier: GPL-2.0
/* native: what socket families cost inside the kernel, in ns
 *
 * Loops of kernel_sendmsg(), kernel_recvmsg() and the like on kernel sockets of
 * AF_UNIX, AF_MYPROTO, TCP over lo and the loopback of AF_VSOCK. It is meant for
 * User-Mode Linux with uml-native.patch, which runs kernel code at the speed of
 * the CPU. To load the module is to run it. The families take turns, round by
 * round, so that what disturbs the machine disturbs all of them, and each round
 * gives a ratio to AF_UNIX.
 *
 * A line of the kernel log for each case and family:
 *   native: case|bytes|family|median|median ratio|first quartile|third|rounds
 * with the median in hundredths of a ns and the ratios in thousandths.
 */

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/in.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/socket.h>
#include <linux/sort.h>
#include <linux/uio.h>
#include <linux/un.h>
#include <linux/vm_sockets.h>
#include <net/sock.h>
#include <net/tcp.h>

#define KB_MYPROTO	46
#define KB_BUF		SZ_64K
#define KB_ROUNDS	401
#define KB_SENDERS	8

static int rounds = 41;
module_param(rounds, int, 0);
MODULE_PARM_DESC(rounds, "rounds of each case");
static int slice = 1000;
module_param(slice, int, 0);
MODULE_PARM_DESC(slice, "how long a family's turn takes, in us");
static int limit = 4;
module_param(limit, int, 0);
MODULE_PARM_DESC(limit, "seconds after which a case ends with fewer rounds, but 5");
static char *only = "";
module_param(only, charp, 0);
MODULE_PARM_DESC(only, "only cases with this name");
static int size = -1;
module_param(size, int, 0);
MODULE_PARM_DESC(size, "only cases with so many bytes");
static int families = 0x1f;
module_param(families, int, 0);
MODULE_PARM_DESC(families, "bits: 1 AF_UNIX, 2 AF_MYPROTO, 4 TCP, 8 AF_VSOCK, 16 only copy");
static int scale;
module_param(scale, int, 0);
MODULE_PARM_DESC(scale, "not the cases: how it does with so many sockets, how much memory what is queued takes, how fair it is");
static int profile;
module_param(profile, int, 0);
MODULE_PARM_DESC(profile, "seconds to repeat the cases for a profiler, with one of the families, instead of measuring them");

/* A padded address that any of the families takes */
struct kb_addr {
	union {
		struct sockaddr_unsized	any;
		struct sockaddr_un	un;
		struct sockaddr_in	in;
		struct sockaddr_vm	vm;
		struct {
			u16		family;
			u16		pad;
			u32		channel;
		} my;
	};
	int len;
};

enum { UNIX, MY, TCP, VSOCK, COPY, NFAM };

static struct {
	const char *name;
	int family;
} fam[NFAM] = {
	[UNIX]	= { "unix", AF_UNIX },
	[MY]	= { "myproto", KB_MYPROTO },
	[TCP]	= { "tcp", AF_INET },
	[VSOCK]	= { "vsock", AF_VSOCK },
	[COPY]	= { "copy" },
};

/* A case of one family */
struct kb {
	int fam, type, len, flags, burst, mode, busy;
	bool slow;	/* the receiver takes longer than the senders */
	int (*run)(struct kb *kb, int n, u64 *ns);
	struct socket *s[KB_SENDERS + 1];
	struct kb_addr to;
	int n, err;
	u32 res[KB_ROUNDS], ratio[KB_ROUNDS];
	int sent[KB_SENDERS + 1];
};

static char *out_buf, *in_buf, *mid_buf;
static unsigned int next_port = 20000;

/* ---- sockets ------------------------------------------------------------ */

static void kb_address(int f, struct kb_addr *a)
{
	unsigned int port = next_port++;

	memset(a, 0, sizeof(*a));
	switch (f) {
	case UNIX:
		a->un.sun_family = AF_UNIX;
		a->len = offsetof(struct sockaddr_un, sun_path) + 1 +
			 sprintf(a->un.sun_path + 1, "kbench-%u", port);
		break;
	case MY:
		a->my.family = fam[f].family;
		a->my.channel = port;
		a->len = sizeof(a->my);
		break;
	case TCP:
		a->in.sin_family = AF_INET;
		a->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		a->in.sin_port = htons(port);
		a->len = sizeof(a->in);
		break;
	case VSOCK:
		a->vm.svm_family = AF_VSOCK;
		a->vm.svm_cid = VMADDR_CID_LOCAL;
		a->vm.svm_port = port;
		a->len = sizeof(a->vm);
		break;
	}
}

/* TCP gets as much buffer as it wants, or it would be its windows that are
 * measured.
 */
static void kb_tune(int f, struct socket *s)
{
	struct sock *sk = s->sk;

	if (f == TCP) {
		tcp_sock_set_nodelay(sk);
		sk->sk_userlocks |= SOCK_SNDBUF_LOCK | SOCK_RCVBUF_LOCK;
		sk->sk_sndbuf = SZ_4M;
		sk->sk_rcvbuf = SZ_4M;
	}
}

static int kb_socket(int f, int type, struct socket **s)
{
	int err = sock_create_kern(&init_net, fam[f].family, type, 0, s);

	if (err)
		*s = NULL;
	else
		kb_tune(f, *s);
	return err;
}

static void kb_release(struct socket **s)
{
	if (*s)
		sock_release(*s);
	*s = NULL;
}

static void kb_close(struct kb *kb)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(kb->s); i++)
		kb_release(&kb->s[i]);
}

static int kb_listener(int f, int type, struct kb_addr *a, struct socket **s)
{
	int err;

	kb_address(f, a);
	err = kb_socket(f, type, s) ? :
	      kernel_bind(*s, &a->any, a->len) ? :
	      kernel_listen(*s, 16);
	return err;
}

/* s[0] sends to s[1]; with more @senders, so do s[2] and the next. */
static int kb_pair(struct kb *kb, int senders)
{
	struct kb_addr a, b;
	struct socket *l = NULL;
	int i, err;

	if (kb->type == SOCK_DGRAM) {
		kb_address(kb->fam, &a);
		kb_address(kb->fam, &b);
		kb->to = a;
		err = kb_socket(kb->fam, kb->type, &kb->s[0]) ? :
		      kb_socket(kb->fam, kb->type, &kb->s[1]) ? :
		      kernel_bind(kb->s[1], &a.any, a.len) ? :
		      kernel_bind(kb->s[0], &b.any, b.len) ? :
		      kernel_connect(kb->s[0], &a.any, a.len, 0);
		if (!err && senders == 1)
			err = kernel_connect(kb->s[1], &b.any, b.len, 0);
		for (i = 2; i <= senders && !err; i++)
			err = kb_socket(kb->fam, kb->type, &kb->s[i]) ? :
			      kernel_connect(kb->s[i], &a.any, a.len, 0);
	} else {
		err = kb_listener(kb->fam, kb->type, &a, &l) ? :
		      kb_socket(kb->fam, kb->type, &kb->s[0]) ? :
		      kernel_connect(kb->s[0], &a.any, a.len, 0) ? :
		      kernel_accept(l, &kb->s[1], 0);
		if (!err)
			kb_tune(kb->fam, kb->s[1]);
		kb_release(&l);
	}
	for (i = 0; !err && i < 2; i++)
		kb->s[i]->sk->sk_ll_usec = kb->busy;
	return err;
}

static int kb_send(struct socket *s, int len, int flags)
{
	struct msghdr msg = { .msg_flags = flags | MSG_NOSIGNAL };
	struct kvec v = { out_buf, len };

	return kernel_sendmsg(s, &msg, &v, 1, len);
}

static int kb_recv(struct socket *s, int len, int flags)
{
	struct msghdr msg = {};
	struct kvec v = { in_buf, len };

	return kernel_recvmsg(s, &msg, &v, 1, len, flags);
}

/* Until all of it is there, as a program would. */
static int kb_recv_all(struct socket *s, int len)
{
	int got, err;

	for (got = 0; got < len; got += err) {
		err = kb_recv(s, len, 0);
		if (err <= 0)
			return err ? : -ECONNRESET;
	}
	return 0;
}

/* ---- the loops ---------------------------------------------------------- */

static int run_one(struct kb *kb, int n, u64 *ns)
{
	struct socket *a = kb->s[0], *b = kb->s[1];
	int i, err, len = kb->len;
	u64 t = ktime_get_ns();

	for (i = 0; i < n; i++) {
		err = kb_send(a, len, kb->flags);
		if (err != len)
			return err < 0 ? err : -EIO;
		err = kb_recv(b, len, 0);
		if (err == len)
			continue;
		if (err <= 0)
			return err ? : -ECONNRESET;
		/* a stream, and the rest comes in another piece */
		err = kb_recv_all(b, len - err);
		if (err)
			return err;
	}
	*ns = ktime_get_ns() - t;
	return 0;
}

/* To an address each time */
static int run_to(struct kb *kb, int n, u64 *ns)
{
	int i, err, len = kb->len;
	u64 t = ktime_get_ns();

	for (i = 0; i < n; i++) {
		struct kb_addr to = kb->to;
		struct msghdr msg = {
			.msg_name = &to.any, .msg_namelen = to.len,
		};
		struct kvec v = { out_buf, len };

		err = kernel_sendmsg(kb->s[0], &msg, &v, 1, len);
		if (err == len)
			err = kb_recv(kb->s[1], len, 0);
		if (err != len)
			return err < 0 ? err : -EIO;
	}
	*ns = ktime_get_ns() - t;
	return 0;
}

static int run_burst(struct kb *kb, int n, u64 *ns)
{
	int i, j, err;
	u64 t = ktime_get_ns();

	for (i = 0; i < n; i += kb->burst) {
		for (j = 0; j < kb->burst; j++) {
			err = kb_send(kb->s[0], kb->len, 0);
			if (err != kb->len)
				return err < 0 ? err : -EIO;
		}
		err = kb_recv_all(kb->s[1], kb->burst * kb->len);
		if (err)
			return err;
	}
	*ns = ktime_get_ns() - t;
	return 0;
}

static int run_connect(struct kb *kb, int n, u64 *ns)
{
	struct socket *c = NULL, *s = NULL;
	int i, err = 0;
	u64 t = ktime_get_ns();

	for (i = 0; i < n && !err; i++) {
		err = kb_socket(kb->fam, kb->type, &c) ? :
		      kernel_connect(c, &kb->to.any, kb->to.len, 0) ? :
		      kernel_accept(kb->s[0], &s, 0);
		kb_release(&c);
		kb_release(&s);
	}
	*ns = ktime_get_ns() - t;
	return err;
}

static int run_pair(struct kb *kb, int n, u64 *ns)
{
	struct socket *a = NULL, *b = NULL;
	int i, err = 0;
	u64 t = ktime_get_ns();

	for (i = 0; i < n && !err; i++) {
		err = kb_socket(kb->fam, kb->type, &a) ? :
		      kb_socket(kb->fam, kb->type, &b) ? :
		      READ_ONCE(a->ops)->socketpair(a, b);
		kb_release(&a);
		kb_release(&b);
	}
	*ns = ktime_get_ns() - t;
	return err;
}

static bool kb_copy(int len, bool out)
{
	struct kvec v = { out ? in_buf : out_buf, len };
	struct iov_iter iter;

	iov_iter_kvec(&iter, out ? ITER_DEST : ITER_SOURCE, &v, 1, len);
	return out ? copy_to_iter_full(mid_buf, len, &iter) :
		     copy_from_iter_full(mid_buf, len, &iter);
}

/* What no family can do without */
static int run_copy(struct kb *kb, int n, u64 *ns)
{
	int i, len = kb->len;
	u64 t = ktime_get_ns();

	for (i = 0; i < n; i++)
		if (!kb_copy(len, false) || !kb_copy(len, true))
			return -EFAULT;
	*ns = ktime_get_ns() - t;
	return 0;
}

/* ---- several threads ---------------------------------------------------- */

enum { SEND, RECV, PING, PONG, FLOOD };
enum { BLOCK, POLL };

struct kb_par;

struct kb_thread {
	struct kb_par *par;
	struct socket *s;
	int role, n, err;
	struct completion done;
};

struct kb_par {
	struct kb *kb;
	int count;
	atomic_t ready;
	atomic_t dead;
	u64 start, end;
	struct kb_thread t[KB_SENDERS + 1];
};

/* Send or receive once; when it polls, until that works. */
static int kb_once(struct kb_thread *t, bool recv, int len)
{
	struct kb *kb = t->par->kb;
	int flags = kb->mode == POLL ? MSG_DONTWAIT : 0;
	unsigned int tries = 0;
	int err;

	for (;;) {
		err = recv ? kb_recv(t->s, len, flags) :
			     kb_send(t->s, len, flags);
		if (err != -EAGAIN || !flags)
			return err ? : -ECONNRESET;
		cpu_relax();
		if (!(++tries % 64)) {
			if (atomic_read(&t->par->dead))
				return -ECONNABORTED;
			yield();
		}
	}
}

/* In place of a socket: a wait queue, and whether there is data. */
static struct kb_box {
	wait_queue_head_t wait;
	bool full;
} box[2];

/* What no family can do without between two threads */
static int kb_hand_over(struct kb_thread *t, bool recv, int len)
{
	struct kb_box *b = &box[recv == (t->role == PONG)];
	bool poll = t->par->kb->mode == POLL;
	unsigned int tries = 0;

	if (poll)
		while (smp_load_acquire(&b->full) != recv) {
			cpu_relax();
			if (!(++tries % 64))
				yield();
		}
	else
		wait_event_interruptible(b->wait,
					 smp_load_acquire(&b->full) == recv);
	if (!kb_copy(len, recv))
		return -EFAULT;
	smp_store_release(&b->full, !recv);
	if (!poll && !recv)
		wake_up_interruptible(&b->wait);
	return 0;
}

/* In place of a queue: a wait queue, and how much there is. */
static struct {
	wait_queue_head_t wait;
	atomic_t count;
} queue;

/* The same when the sender need not wait for the receiver */
static int kb_pass(bool recv, int len)
{
	if (recv)
		wait_event_interruptible(queue.wait,
					 atomic_read_acquire(&queue.count));
	if (!kb_copy(len, recv))
		return -EFAULT;
	if (recv) {
		atomic_dec(&queue.count);
		return 0;
	}
	atomic_inc(&queue.count);
	smp_mb__after_atomic();
	if (waitqueue_active(&queue.wait))
		wake_up_interruptible(&queue.wait);
	return 0;
}

static int kb_full(struct kb_thread *t, bool recv, int len)
{
	int done, err;

	if (t->par->kb->fam == COPY)
		return t->role == SEND || t->role == RECV ?
		       kb_pass(recv, len) : kb_hand_over(t, recv, len);
	for (done = 0; done < len; done += err) {
		err = kb_once(t, recv, len - done);
		if (err < 0)
			return err;
	}
	return 0;
}

static int kb_thread_fn(void *data)
{
	struct kb_thread *t = data;
	struct kb_par *par = t->par;
	struct kb *kb = par->kb;
	int i, err = 0;

	atomic_inc(&par->ready);
	while (atomic_read(&par->ready) < par->count)
		yield();
	if (!READ_ONCE(par->start))
		WRITE_ONCE(par->start, ktime_get_ns());

	switch (t->role) {
	case SEND:
		for (i = 0; i < t->n && !err; i++)
			err = kb_full(t, false, kb->len);
		break;
	case RECV:
		if (kb->type == SOCK_STREAM && kb->fam != COPY) {
			u64 got = 0, all = (u64)t->n * kb->len;

			while (got < all && err >= 0) {
				err = kb_once(t, true, KB_BUF);
				if (err > 0)
					got += err;
			}
			err = min(err, 0);
		} else {
			for (i = 0; i < t->n && !err; i++) {
				err = kb_full(t, true, kb->len);
				if (kb->slow)
					kb_copy(SZ_16K, false);
			}
		}
		break;
	case PING:
		for (i = 0; i < t->n && !err; i++)
			err = kb_full(t, false, kb->len) ? :
			      kb_full(t, true, kb->len);
		break;
	case PONG:
		for (i = 0; i < t->n && !err; i++)
			err = kb_full(t, true, kb->len) ? :
			      kb_full(t, false, kb->len);
		break;
	case FLOOD:
		/* Until the receiver has enough, or has not taken it. */
		while (!READ_ONCE(par->end) && !err) {
			err = kb_full(t, false, kb->len);
			t->n += !err;
		}
		err = READ_ONCE(par->end) ? 0 : err;
		break;
	}
	if (t->role == RECV || t->role == PING)
		WRITE_ONCE(par->end, ktime_get_ns());
	t->err = err;
	if (err)
		atomic_set(&par->dead, 1);
	kthread_complete_and_exit(&t->done, 0);
}

static int kb_parallel(struct kb *kb, const int *role, const int *cpu,
		       const int *n, int count, u64 *ns)
{
	struct kb_par *par = kzalloc(sizeof(*par), GFP_KERNEL);
	struct task_struct *task[KB_SENDERS + 1];
	int i, err = 0;

	if (!par)
		return -ENOMEM;
	par->kb = kb;
	par->count = count;
	for (i = 0; i < count; i++) {
		struct kb_thread *t = &par->t[i];

		t->par = par;
		t->role = role[i];
		t->n = n[i];
		t->s = kb->s[i == count - 1 ? 1 : i ? i + 1 : 0];
		init_completion(&t->done);
		task[i] = kthread_create(kb_thread_fn, t, "kbench/%d", i);
		if (IS_ERR(task[i])) {
			while (i--)
				kthread_stop(task[i]);
			kfree(par);
			return -ENOMEM;
		}
		kthread_bind(task[i], cpu[i]);
	}
	for (i = 0; i < count; i++)
		wake_up_process(task[i]);
	for (i = 0; i < count; i++) {
		wait_for_completion(&par->t[i].done);
		err = err ? : par->t[i].err;
		kb->sent[i] = par->t[i].n;
	}
	*ns = par->end - par->start;
	kfree(par);
	return err;
}

static int run_stream2(struct kb *kb, int n, u64 *ns)
{
	return kb_parallel(kb, (int[]){ SEND, RECV }, (int[]){ 0, 1 },
			   (int[]){ n, n }, 2, ns);
}

static int run_pingpong(struct kb *kb, int n, u64 *ns)
{
	return kb_parallel(kb, (int[]){ PING, PONG }, (int[]){ 0, 1 },
			   (int[]){ n, n }, 2, ns);
}

static int run_pingpong1(struct kb *kb, int n, u64 *ns)
{
	return kb_parallel(kb, (int[]){ PING, PONG }, (int[]){ 0, 0 },
			   (int[]){ n, n }, 2, ns);
}

static int run_fanin(struct kb *kb, int n, u64 *ns)
{
	n = ALIGN(n, 2);
	return kb_parallel(kb, (int[]){ SEND, SEND, RECV }, (int[]){ 0, 1, 1 },
			   (int[]){ n / 2, n / 2, n }, 3, ns);
}

/* Which of them sends how much is up to them; @n are received. */
static int run_flood(struct kb *kb, int n, u64 *ns)
{
	int role[KB_SENDERS + 1], cpu[KB_SENDERS + 1], num[KB_SENDERS + 1];
	int i;

	for (i = 0; i < KB_SENDERS; i++) {
		kb->s[i ? i + 1 : 0]->sk->sk_sndtimeo = HZ / 10;
		role[i] = FLOOD;
		cpu[i] = 0;
		num[i] = 0;
	}
	role[i] = RECV;
	cpu[i] = 1;
	num[i] = n;
	return kb_parallel(kb, role, cpu, num, KB_SENDERS + 1, ns);
}

static int run_bind(struct kb *kb, int n, u64 *ns)
{
	struct socket *s = NULL;
	int i, err = 0;
	u64 t = ktime_get_ns();

	for (i = 0; i < n && !err; i++) {
		struct kb_addr a;

		kb_address(kb->fam, &a);
		err = kb_socket(kb->fam, kb->type, &s) ? :
		      kernel_bind(s, &a.any, a.len);
		kb_release(&s);
	}
	*ns = ktime_get_ns() - t;
	return err;
}

/* ---- rounds and results ------------------------------------------------- */

static int cmp_u32(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return x < y ? -1 : x > y;
}

static void kb_calibrate(struct kb *kb, u64 target)
{
	int step = kb->burst ? : 1, n = 4 * step;
	u64 ns = 0;

	for (;;) {
		kb->err = kb->run(kb, n, &ns);
		if (kb->err || ns > target / 2 || n > 50000000)
			break;
		n = ns * 8 < target ? n * 4 : n * 2;
	}
	if (kb->err)
		return;
	n = div64_u64(n * target, max(ns, 1ULL));
	kb->n = max(roundup(n, step), step);
}

/* As many rounds as there is time for; returns how many. */
static int kb_rounds(struct kb *kb)
{
	u64 ns, late = ktime_get_ns() + limit * (u64)NSEC_PER_SEC;
	int i, r;

	for (r = 0; r < rounds; r++) {
		if (r >= 5 && ktime_get_ns() > late)
			break;
		for (i = 0; i < NFAM; i++) {
			struct kb *k = &kb[(i + r) % NFAM];

			if (!k->run || k->err)
				continue;
			k->err = k->run(k, k->n, &ns);
			k->res[r] = div64_u64(ns * 100, k->n);
			cond_resched();
		}
		for (i = 0; i < NFAM; i++)
			kb[i].ratio[r] = div64_u64(kb[i].res[r] * 1000ULL,
						   max(kb[UNIX].res[r], 1U));
	}
	return r;
}

static void kb_report(const char *name, struct kb *kb, int r)
{
	if (kb->err) {
		pr_info("native: error|%s|%d|%s|%d\n", name, kb->len,
			fam[kb->fam].name, kb->err);
		return;
	}
	sort(kb->res, r, sizeof(*kb->res), cmp_u32, NULL);
	sort(kb->ratio, r, sizeof(*kb->ratio), cmp_u32, NULL);
	pr_info("native: %s|%d|%s|%u|%u|%u|%u|%d\n", name, kb->len,
		fam[kb->fam].name, kb->res[r / 2], kb->ratio[r / 2],
		kb->ratio[r / 4], kb->ratio[r * 3 / 4], r);
}

/* Nothing but one family, for a profiler on the host */
static void kb_profile(const char *name, struct kb *kb)
{
	u64 end = ktime_get_ns() + profile * (u64)NSEC_PER_SEC, ns, all = 0;
	u64 n = 0;

	pr_info("native: profile begins\n");
	while (!kb->err && ktime_get_ns() < end) {
		kb->err = kb->run(kb, kb->n, &ns);
		all += ns;
		n += kb->n;
		cond_resched();
	}
	pr_info("native: profile|%s|%d|%s|%llu|%d\n", name, kb->len,
		fam[kb->fam].name, div64_u64(all * 100, max(n, 1ULL)), kb->err);
}

/* ---- the cases ---------------------------------------------------------- */

struct kb_case {
	const char *name;
	int type, len;
	int (*run)(struct kb *kb, int n, u64 *ns);
	int senders;		/* 0: to an address, -1: no pair, -2: a listener */
	int burst, mode;
	int ms;			/* a turn, if it is not the slice */
	int n;			/* operations a round, or 0: as many as fit */
	int busy;		/* SO_BUSY_POLL of both ends */
};

#define ST SOCK_STREAM
#define SP SOCK_SEQPACKET
#define DG SOCK_DGRAM

/* With threads a round has a number of operations that does not depend on how
 * long they take: when the host runs but one of the two CPUs, that says nothing.
 */
static const struct kb_case cases[] = {
	{ "stream", ST, 1, run_one, 1 },
	{ "stream", ST, 64, run_one, 1 },
	{ "stream", ST, 256, run_one, 1 },
	{ "stream", ST, 1024, run_one, 1 },
	{ "stream", ST, 4096, run_one, 1 },
	{ "stream", ST, 65536, run_one, 1 },
	{ "stream-burst", ST, 64, run_burst, 1, .burst = 50 },
	{ "seqpacket", SP, 1, run_one, 1 },
	{ "seqpacket", SP, 64, run_one, 1 },
	{ "seqpacket", SP, 256, run_one, 1 },
	{ "seqpacket", SP, 1024, run_one, 1 },
	{ "seqpacket", SP, 4096, run_one, 1 },
	{ "seqpacket", SP, 16384, run_one, 1 },
	{ "seqpacket", SP, 60000, run_one, 1 },
	{ "dgram", DG, 1, run_one, 1 },
	{ "dgram", DG, 64, run_one, 1 },
	{ "dgram", DG, 256, run_one, 1 },
	{ "dgram", DG, 1024, run_one, 1 },
	{ "dgram", DG, 4096, run_one, 1 },
	{ "dgram", DG, 16384, run_one, 1 },
	{ "dgram", DG, 60000, run_one, 1 },
	{ "dgram-sendto", DG, 64, run_to, 0 },
	/* What is freed after a grace period should be so in the same turn. */
	{ "stream-connect", ST, 0, run_connect, -2, .ms = 20 },
	{ "seqpacket-connect", SP, 0, run_connect, -2, .ms = 20 },
	{ "stream-pair", ST, 0, run_pair, -1, .ms = 20 },
	{ "seqpacket-pair", SP, 0, run_pair, -1, .ms = 20 },
	{ "dgram-pair", DG, 0, run_pair, -1, .ms = 20 },
	{ "stream-rtt1", ST, 64, run_pingpong1, 1, .n = 500 },
	{ "seqpacket-rtt1", SP, 64, run_pingpong1, 1, .n = 500 },
	{ "dgram-rtt1", DG, 64, run_pingpong1, 1, .n = 500 },
	{ "stream-2cpu", ST, 64, run_stream2, 1, .n = 2000 },
	{ "stream-2cpu", ST, 4096, run_stream2, 1, .n = 1000 },
	{ "stream-2cpu", ST, 65536, run_stream2, 1, .n = 100 },
	{ "seqpacket-2cpu", SP, 64, run_stream2, 1, .n = 2000 },
	{ "dgram-2to1", DG, 64, run_fanin, 2, .n = 2000 },
	{ "stream-rtt2", ST, 64, run_pingpong, 1, .mode = POLL, .n = 500 },
	{ "seqpacket-rtt2", SP, 64, run_pingpong, 1, .mode = POLL, .n = 500 },
	{ "dgram-rtt2", DG, 64, run_pingpong, 1, .mode = POLL, .n = 500 },
	{ "stream-sleep2", ST, 64, run_pingpong, 1, .n = 500 },
	{ "stream-busy2", ST, 64, run_pingpong, 1, .n = 500, .busy = 50 },
	{ "seqpacket-busy2", SP, 64, run_pingpong, 1, .n = 500, .busy = 50 },
	{ "dgram-busy2", DG, 64, run_pingpong, 1, .n = 500, .busy = 50 },
};

/* Others are for comparison, in what does not depend on threads. */
static bool kb_has(int f, const struct kb_case *c)
{
	if (!(families >> f & 1))
		return false;
	if (f == UNIX || f == MY)
		return true;
	if (f == COPY)
		return c->run == run_one || c->run == run_pingpong ||
		       c->run == run_pingpong1 || c->run == run_stream2;
	return c->type != DG && !c->n && c->senders != -1 &&
	       (c->type == ST || f == VSOCK);
}

static void kb_case(const struct kb_case *c)
{
	struct kb *kb = kvcalloc(NFAM, sizeof(*kb), GFP_KERNEL);
	int f, r;

	if (!kb)
		return;
	for (f = 0; f < NFAM; f++) {
		struct kb *k = &kb[f];

		k->fam = f;
		if (!kb_has(f, c))
			continue;
		k->type = c->type;
		k->len = c->len;
		k->burst = c->burst;
		k->mode = c->mode;
		k->busy = c->busy;
		k->n = c->n;
		k->run = f == COPY && c->run == run_one ? run_copy : c->run;
		if (c->senders == -2)
			k->err = kb_listener(f, c->type, &k->to, &k->s[0]);
		else if (c->senders >= 0 && f != COPY)
			k->err = kb_pair(k, c->senders);
		if (!k->err && !k->n)
			kb_calibrate(k, c->ms ? c->ms * 1000000ULL :
						slice * 1000ULL);
	}
	if (profile) {
		kb_profile(c->name, &kb[ffs(families) - 1]);
	} else {
		r = kb_rounds(kb);
		for (f = 0; f < NFAM; f++)
			if (kb[f].run)
				kb_report(c->name, &kb[f], r);
	}
	for (f = 0; f < NFAM; f++)
		kb_close(&kb[f]);
	kvfree(kb);
}

/* ---- how it scales ------------------------------------------------------ */

/* Sending to a channel and binding, with ever more sockets of AF_MYPROTO. */
static void kb_scale_bound(void)
{
	static const struct kb_case by_address[] = {
		{ "sendto", DG, 64, run_to, 0 },
		{ "bind", DG, 0, run_bind, -1, .ms = 20 },
	};
	struct socket **s = kvcalloc(scale, sizeof(*s), GFP_KERNEL);
	int step[] = { min(100, scale), min(10000, scale), scale };
	int i, j, n = 0, err = 0;

	for (i = 0; s && i < ARRAY_SIZE(step) && !err; i++) {
		while (n < step[i] && !err) {
			struct kb_addr a;

			kb_address(MY, &a);
			err = kb_socket(MY, DG, &s[n++]) ? :
			      kernel_bind(s[n - 1], &a.any, a.len);
			cond_resched();
		}
		for (j = 0; j < ARRAY_SIZE(by_address) && !err; j++) {
			struct kb_case c = by_address[j];

			c.name = kasprintf(GFP_KERNEL, "%s-%d-bound", c.name, n);
			kb_case(&c);
			kfree(c.name);
		}
	}
	if (err)
		pr_info("native: error|bind|%d|myproto|%d\n", n, err);
	while (n--) {
		kb_release(&s[n]);
		cond_resched();
	}
	kvfree(s);
}

static long kb_free_bytes(void)
{
	struct sysinfo si;

	si_meminfo(&si);
	return si.freeram * PAGE_SIZE;
}

/* What messages of @len bytes take that nobody reads. */
static void kb_scale_queued(int f, int len)
{
	enum { RECEIVERS = 32 };
	struct kb *kb = kvcalloc(RECEIVERS, sizeof(*kb), GFP_KERNEL);
	long before, held, charged = 0, n = 0;
	int i, err = 0;

	for (i = 0; kb && i < RECEIVERS && !err; i++) {
		kb[i].fam = f;
		kb[i].type = DG;
		err = kb_pair(&kb[i], 1);
	}
	before = kb_free_bytes();
	for (i = 0; kb && i < RECEIVERS && !err; i++) {
		while (kb_send(kb[i].s[0], len, MSG_DONTWAIT) == len)
			n++;
		charged += sk_rmem_alloc_get(kb[i].s[1]->sk);
	}
	held = before - kb_free_bytes();
	pr_info("native: scale: %s, %d bytes: %ld messages a receiver, each charged %ld bytes, %ld held\n",
		fam[f].name, len, n / RECEIVERS, charged / max(n, 1L),
		held / max(n, 1L));
	for (i = 0; kb && i < RECEIVERS; i++)
		kb_close(&kb[i]);
	kvfree(kb);
}

/* Which part of an equal share the least and the most successful sender gets */
static void kb_scale_fair(int f)
{
	struct kb *kb = kvcalloc(1, sizeof(*kb), GFP_KERNEL);
	int i, least = INT_MAX, most = 0, all = 0;
	u64 ns;

	if (!kb)
		return;
	kb->fam = f;
	kb->type = DG;
	kb->len = 64;
	kb->slow = true;
	kb->err = kb_pair(kb, KB_SENDERS) ? : run_flood(kb, 400000, &ns);
	for (i = 0; i < KB_SENDERS; i++) {
		least = min(least, kb->sent[i]);
		most = max(most, kb->sent[i]);
		all += kb->sent[i];
	}
	all = max(all / KB_SENDERS, 1);
	pr_info("native: scale: %s, %d senders: the least has %d %%, the most %d %% of its share (%d)\n",
		fam[f].name, KB_SENDERS, least * 100 / all, most * 100 / all,
		kb->err);
	kb_close(kb);
	kvfree(kb);
}

static void kb_scale(void)
{
	static const int lens[] = { 1, 64, 256, 1024, 4096, 16384 };
	int f, i;

	for (i = 0; i < ARRAY_SIZE(lens); i++)
		for (f = UNIX; f <= MY; f++)
			kb_scale_queued(f, lens[i]);
	for (f = UNIX; f <= MY; f++)
		kb_scale_fair(f);
	kb_scale_bound();
}

static int __init kb_init(void)
{
	int i, err = -ENOMEM;

	rounds = clamp(rounds, 1, KB_ROUNDS);
	out_buf = kmalloc(KB_BUF, GFP_KERNEL);
	in_buf = kmalloc(KB_BUF, GFP_KERNEL);
	mid_buf = kmalloc(KB_BUF, GFP_KERNEL);
	if (!out_buf || !in_buf || !mid_buf)
		goto out;
	memset(out_buf, 'k', KB_BUF);
	memset(in_buf, 'k', KB_BUF);
	init_waitqueue_head(&box[0].wait);
	init_waitqueue_head(&box[1].wait);
	init_waitqueue_head(&queue.wait);
	rtnl_lock();
	err = dev_open(init_net.loopback_dev, NULL);
	rtnl_unlock();
	if (err)
		goto out;

	if (scale > 0)
		kb_scale();
	for (i = 0; i < ARRAY_SIZE(cases) && scale <= 0; i++)
		if ((!*only || !strcmp(cases[i].name, only)) &&
		    (size < 0 || cases[i].len == size))
			kb_case(&cases[i]);
out:
	kfree(mid_buf);
	kfree(in_buf);
	kfree(out_buf);
	return err ? : -EAGAIN;	/* done; nothing is to be unloaded */
}
module_init(kb_init);

MODULE_DESCRIPTION("What socket families cost inside the kernel");
MODULE_LICENSE("GPL");
