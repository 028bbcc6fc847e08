// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO and memory: what senders can pin is bounded by the receiver's
 * SO_RCVBUF and is given back, sockets are freed, and wherever an allocation
 * fails, a call fails cleanly or does without it.
 */
#include <sys/mman.h>
#include <sys/sendfile.h>

#include <linux/filter.h>

#include "any.h"
#include "cmsg.h"
#include "fault.h"

#define RCVBUF	20000
#define LARGE	100000

static char large[LARGE];

/* Data is taken while there is room, and not after that. */
TEST_F(any, bounded_by_rcvbuf)
{
	static const struct {
		size_t chunk;
		int rcvbuf;
	} cases[] = {
		{ 3000, 0 }, /* the default */
		{ 1, RCVBUF },
		{ 300, RCVBUF },
		{ 1000, 1 },
		{ 5000, RCVBUF },
		{ 40000, 100000 },
	};
	struct link *link = &self->link;
	__u32 charge, full, rcvbuf;
	size_t count, i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		if (cases[i].rcvbuf)
			set_int_opt(_metadata, link->fd[1], SO_RCVBUF,
				    cases[i].rcvbuf);
		rcvbuf = get_int_opt(_metadata, link->fd[1], SO_RCVBUF);
		link_send(link, 0, large, cases[i].chunk, MSG_DONTWAIT);
		charge = mem_charged(_metadata, link->fd[1]);
		EXPECT_LE(cases[i].chunk, charge);
		link_drain(_metadata, link, 1);
		EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));

		count = link_fill(_metadata, link, 0, cases[i].chunk);
		full = mem_charged(_metadata, link->fd[1]);
		EXPECT_LE(rcvbuf, full)
			TH_LOG("sends of %zu", cases[i].chunk);
		if (variant->type == SOCK_STREAM) {
			/* It takes pieces of up to 64 KiB. */
			EXPECT_GE(rcvbuf + 65536, full)
				TH_LOG("sends of %zu", cases[i].chunk);
		} else {
			/* All are alike. */
			EXPECT_EQ(count * charge, full);
			EXPECT_EQ((rcvbuf + charge - 1) / charge, count)
				TH_LOG("sends of %zu", cases[i].chunk);
		}
		link_drain(_metadata, link, 1);
		EXPECT_EQ(0U, mem_charged(_metadata, link->fd[1]));
	}
}

/* In KiB */
static long slab(void)
{
	static char text[1 << 14];
	int fd = open("/proc/meminfo", O_RDONLY);
	long kib = -1;

	if (read(fd, text, sizeof(text) - 1) > 0)
		sscanf(strstr(text, "SUnreclaim:"), "SUnreclaim: %ld", &kib);
	close(fd);
	return kib;
}

/* A sender whose pages are not there, one after the other, does not take more
 * memory than what is charged. What is freed KASAN keeps for a while.
 */
TEST_F(any, absent_pages)
{
	size_t page = getpagesize(), i, most = 45000;
	long before;
	char *map;

	set_int_opt(_metadata, self->link.fd[1], SO_RCVBUF, RCVBUF);
	map = mmap(NULL, most * page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	before = slab();
	ASSERT_LE(0, before);
	for (i = 0; i < most; i++)
		/* One that is there lets it expect more. */
		if (link_send(&self->link, 0, &page, 1, MSG_DONTWAIT) != 1 ||
		    link_send(&self->link, 0, map + i * page, 1,
			      MSG_DONTWAIT) != 1)
			break;
	EXPECT_GT(most, i);
	EXPECT_GT(before + 64 * 1024, slab());
}

TEST_F(any, what_is_charged)
{
	struct link *link = &self->link;
	const int fd = link->fd[1];
	char buf[3000] = "";
	size_t count;
	int i;

	/* Peeking and partial reads */
	for (i = 0; i < 5; i++)
		ASSERT_EQ(3000, link_send(link, 0, buf, sizeof(buf), 0));
	EXPECT_EQ(1000, recv(fd, buf, 1000, MSG_PEEK));
	EXPECT_EQ(1000, recv(fd, buf, 1000, MSG_PEEK));
	EXPECT_LE(15000U, mem_charged(_metadata, fd));
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(1000, recv(fd, buf, 1000, MSG_DONTWAIT));
		recv(fd, buf, 700, MSG_PEEK | MSG_DONTWAIT);
	}
	link_drain(_metadata, link, 1);
	EXPECT_EQ(0U, mem_charged(_metadata, fd));

	/* Each end is charged for what it is sent. */
	set_int_opt(_metadata, fd, SO_RCVBUF, RCVBUF);
	count = link_fill(_metadata, link, 0, 1000);
	EXPECT_LT(0U, mem_charged(_metadata, fd));
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[0]));
	link_fill(_metadata, link, 1, 1000);
	EXPECT_LT(0U, mem_charged(_metadata, link->fd[0]));
	link_drain(_metadata, link, 0);
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[0]));

	/* A smaller buffer keeps what is in it. */
	set_int_opt(_metadata, fd, SO_RCVBUF, 1);
	EXPECT_EQ(EAGAIN, link_try_send(link, 0));
	if (variant->type == SOCK_STREAM)
		link_drain(_metadata, link, 1);
	else
		EXPECT_EQ(count, link_drain(_metadata, link, 1));
	EXPECT_EQ(0U, mem_charged(_metadata, fd));
	EXPECT_EQ(0, link_try_send(link, 0));
	link_drain(_metadata, link, 1);

	/* Sends that fail */
	set_int_opt(_metadata, fd, SO_RCVBUF, RCVBUF);
	EXPECT_EQ(EFAULT, err_of(link_send(link, 0, (void *)8, 100, 0)));
	EXPECT_EQ(EFAULT, err_of(link_send(link, 0, (void *)8, 9000, 0)));
	EXPECT_EQ(0U, mem_charged(_metadata, fd));
	ASSERT_EQ(0, shutdown(fd, SHUT_RD));
	EXPECT_EQ(EPIPE, link_try_send(link, 0));
	EXPECT_EQ(0U, mem_charged(_metadata, fd));
}

/* All senders share the room that there is at the receiver. */
TEST(many_senders_one_receiver)
{
	__u32 channel, charge = 0, full;
	int fd, rcvbuf, sender, i, n;
	char buf[1000] = "";

	fd = type_bound(_metadata, SOCK_DGRAM, &channel);
	rcvbuf = get_int_opt(_metadata, fd, SO_RCVBUF);
	for (i = 0; i < 100; i++) {
		sender = type_socket(_metadata, SOCK_DGRAM);
		if (i % 2)
			ASSERT_EQ(0, my_connect(sender, channel));
		for (n = 0; n < 10; n++)
			if (my_sendto(sender, channel, buf, sizeof(buf),
				      MSG_DONTWAIT) < 0)
				break;
		if (!charge)
			charge = mem_charged(_metadata, fd) / n;
	}
	full = mem_charged(_metadata, fd);
	EXPECT_LE((__u32)rcvbuf, full);
	EXPECT_GE(rcvbuf + charge, full);
}

TEST_F(any, sockets_go)
{
	struct link link;
	int i;

	for (i = 0; i < 30; i++) {
		link_make(_metadata, &link, variant->type, variant->made);
		link_expect_send(_metadata, &link, 0, "unread");
		link_expect_send(_metadata, &link, 1, "unread");
		link_destroy(&link);
	}
	/* Those of the fixture */
	EXPECT_EQ(2, sockets_settle_at(2));
}

/* Nor is a socket kept by others that have associated with it, or never been
 * accepted.
 */
TEST(targets_go)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	int target, fd[5], i, j;
	__u32 channel;

	for (i = 0; i < 3; i++) {
		target = type_bound(_metadata, types[i], &channel);
		if (types[i] != SOCK_DGRAM)
			ASSERT_EQ(0, listen(target, 5));
		for (j = 0; j < 5; j++) {
			fd[j] = type_socket(_metadata, types[i]);
			ASSERT_EQ(0, my_connect(fd[j], channel));
			expect_send(_metadata, fd[j], "unread");
			if (types[i] == SOCK_DGRAM && j % 2)
				ASSERT_EQ(0, my_dissolve(fd[j]));
		}
		close(target);
		for (j = 0; j < 5; j++)
			close(fd[j]);
		EXPECT_EQ(0, sockets_settle_at(0));
	}
}

/*
 * Failing allocations: each call is made again and again, and the first, the
 * second, the third ... allocation in it fails, until there are no more.
 */

FIXTURE(fault)
{
	struct fault fault;
};

FIXTURE_VARIANT(fault)
{
	int type;
};

FIXTURE_VARIANT_ADD(fault, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(fault, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(fault, dgram)
{
	.type = SOCK_DGRAM,
};

FIXTURE_SETUP(fault)
{
	fault_init(_metadata, &self->fault);
}

FIXTURE_TEARDOWN_PARENT(fault)
{
	fault_exit(&self->fault);
}

/* What the calls have to do with */
struct round {
	struct link link;
	__u32 channel;	/* of new[1] */
	int fd;		/* a socket for the call, and what it gives */
	int new[2];
	int pipe[2];
	int file;
	struct got got;
	__u32 arg;	/* a channel, or how much to send */
};

/* What is made before the call, and is not to fail */
static void round_start(struct __test_metadata *_metadata,
			struct round *round, int type, __u32 arg)
{
	*round = (struct round) { .new = { -1, -1 }, .arg = arg };
	/* Its pages are there before a fault can be about them. */
	memset(large, 0, LARGE);
	link_make(_metadata, &round->link, type, BY_CONNECT);
	round->fd = type_socket(_metadata, type);
	ASSERT_EQ(0, pipe(round->pipe));
	round->file = memfd_create("fault", 0);
	ASSERT_EQ(LARGE, pwrite(round->file, large, LARGE, 0));
}

/* The sockets still work; then nothing is left. */
static void round_end(struct __test_metadata *_metadata, struct round *round)
{
	int i;

	for (i = 0; i < 2; i++) {
		my_drain(_metadata, round->link.fd[i]);
		EXPECT_EQ(0U, mem_charged(_metadata, round->link.fd[i]));
		link_expect_send(_metadata, &round->link, !i, "abc");
		expect_recv(_metadata, round->link.fd[i], "abc");
	}
	link_destroy(&round->link);
	close(round->fd);
	for (i = 0; i < 2; i++) {
		close(round->new[i]);
		close(round->pipe[i]);
	}
	close(round->file);
}

static long call_socket(struct round *round)
{
	return round->new[0] = socket(AF_MYPROTO, round->link.type, 0);
}

static long call_socketpair(struct round *round)
{
	return socketpair(AF_MYPROTO, round->link.type, 0, round->new);
}

static long call_bind(struct round *round)
{
	return my_bind(round->fd, round->arg);
}

static long call_listen(struct round *round)
{
	return listen(round->fd, 5);
}

static long start_target(struct round *round)
{
	struct sockaddr_my addr;
	socklen_t len = sizeof(addr);

	round->new[1] = socket(AF_MYPROTO, round->link.type, 0);
	if (my_bind(round->new[1], MYPROTO_CHANNEL_ANY) ||
	    getsockname(round->new[1], (struct sockaddr *)&addr, &len))
		return -1;
	round->channel = addr.smy_channel;
	if (round->link.type == SOCK_DGRAM)
		return 0;
	return listen(round->new[1], 5);
}

static long call_connect(struct round *round)
{
	return my_connect(round->fd, round->channel);
}

static long start_connected(struct round *round)
{
	if (start_target(round) || call_connect(round))
		return -1;
	return send(round->fd, "unread", 6, 0);
}

static long call_accept(struct round *round)
{
	struct sockaddr_my addr;
	socklen_t len = sizeof(addr);

	round->new[0] = accept(round->new[1], (struct sockaddr *)&addr, &len);
	return round->new[0];
}

static long call_send(struct round *round)
{
	return send(round->link.fd[0], large, round->arg, MSG_DONTWAIT);
}

static long call_sendto(struct round *round)
{
	return my_sendto(round->fd, round->channel, "abc", 3, MSG_DONTWAIT);
}

static long call_send_creds(struct round *round)
{
	struct ucred cred = { getpid(), getuid(), getgid() };

	return send_cmsg(&round->link, "abc", SOL_SOCKET, SCM_CREDENTIALS,
			 &cred, sizeof(cred));
}

static long call_sendfile(struct round *round)
{
	return sendfile(round->link.fd[0], round->file, NULL, 20000);
}

static long start_pipe(struct round *round)
{
	return write(round->pipe[1], large, 10000);
}

static long call_splice_in(struct round *round)
{
	return splice(round->pipe[0], NULL, round->link.fd[0], NULL, 10000, 0);
}

static long call_splice_out(struct round *round)
{
	return splice(round->link.fd[1], NULL, round->pipe[1], NULL, 10000, 0);
}

static long start_options(struct round *round)
{
	if (int_opt_err(round->link.fd[1], SOL_SOCKET, SO_PASSCRED, 1) ||
	    int_opt_err(round->link.fd[1], SOL_SOCKET, SO_TIMESTAMP, 1))
		return -1;
	return call_send(round);
}

static long call_recv(struct round *round)
{
	return recv_got(round->link.fd[1], &round->got, 256, 0);
}

static long call_peek(struct round *round)
{
	return recv(round->link.fd[1], large, LARGE, MSG_DONTWAIT | MSG_PEEK);
}

static long call_filter(struct round *round)
{
	struct sock_filter code = BPF_STMT(BPF_RET | BPF_K, 0xffffffff);
	struct sock_fprog prog = { .len = 1, .filter = &code };

	return setsockopt(round->link.fd[1], SOL_SOCKET, SO_ATTACH_FILTER,
			  &prog, sizeof(prog));
}

enum { ANY_TYPE, NO_DGRAM, ONLY_DGRAM };

static const struct walk {
	const char *name;
	long (*start)(struct round *round);	/* to prepare it, or NULL */
	long (*call)(struct round *round);
	__u32 arg;
	int types;
} walks[] = {
	{ "socket", NULL, call_socket, 0, ANY_TYPE },
	{ "socketpair", NULL, call_socketpair, 0, ANY_TYPE },
	{ "bind", NULL, call_bind, MYPROTO_CHANNEL_ANY, ANY_TYPE },
	{ "bind, fixed", NULL, call_bind, 54321, ANY_TYPE },
	{ "listen", call_bind, call_listen, MYPROTO_CHANNEL_ANY, NO_DGRAM },
	{ "connect", start_target, call_connect, 0, ANY_TYPE },
	{ "accept", start_connected, call_accept, 0, NO_DGRAM },
	{ "send", NULL, call_send, 3, ANY_TYPE },
	{ "send, second", call_send, call_send, 3, ANY_TYPE },
	{ "send, large", NULL, call_send, LARGE, ANY_TYPE },
	{ "sendto", start_target, call_sendto, 0, ONLY_DGRAM },
	{ "sendfile", NULL, call_sendfile, 0, ANY_TYPE },
	{ "splice to it", start_pipe, call_splice_in, 0, ANY_TYPE },
	{ "splice from it", call_send, call_splice_out, 20000, ANY_TYPE },
	{ "recv", start_options, call_recv, 20000, ANY_TYPE },
	{ "peek", call_send, call_peek, 3, ANY_TYPE },
	{ "peek, large", call_send, call_peek, 20000, ANY_TYPE },
	{ "filter", NULL, call_filter, 0, ANY_TYPE },
	{ "filter, later", call_send, call_filter, 3, ANY_TYPE },
};

/* ENFILE is what the socket layer says when it has no inode. */
static bool may_fail(int err)
{
	return err == ENOMEM || err == ENOBUFS || err == ENFILE;
}

static void take_walk(struct __test_metadata *_metadata, struct fault *fault,
		      int type, const struct walk *walk)
{
	bool unused = false;
	struct round round;
	int n, err;

	for (n = 1; n < 300 && !unused; n++) {
		round_start(_metadata, &round, type, walk->arg);
		if (walk->start)
			ASSERT_LE(0, walk->start(&round))
				TH_LOG("%s", walk->name);
		fault_arm(fault, n);
		err = err_of(walk->call(&round));
		unused = fault_unused(fault);
		/* Without a fault there is no reason to fail. */
		EXPECT_TRUE(!err || (!unused && may_fail(err)))
			TH_LOG("%s, allocation %d: %s", walk->name, n,
			       strerror(err));
		round_end(_metadata, &round);
	}
	EXPECT_TRUE(unused);
	EXPECT_EQ(0, sockets_settle_at(0));
	TH_LOG("%s: %d allocations", walk->name, n - 2);
}

TEST_F(fault, walk)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(walks); i++)
		if (walks[i].types != (variant->type == SOCK_DGRAM ?
				       NO_DGRAM : ONLY_DGRAM))
			take_walk(_metadata, &self->fault, variant->type,
				  &walks[i]);
}

/* In a process of its own: once in each, pidfs allocates for it, and that may
 * be for the first credentials of a DGRAM socket.
 */
TEST_F(fault, credentials)
{
	static const struct walk walk = { "credentials", NULL, call_send_creds,
					  0, ANY_TYPE };

	take_walk(_metadata, &self->fault, variant->type, &walk);
}

int main(int argc, char **argv)
{
	fault_mount();
	return my_test_main(argc, argv);
}
