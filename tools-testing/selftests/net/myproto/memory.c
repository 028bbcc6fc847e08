// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO and memory: what senders can pin is bounded by the receiver's
 * SO_RCVBUF and is given back, sockets are freed, and wherever an allocation
 * fails, a call fails cleanly or does without it.
 */
#include <sys/mman.h>

#include "any.h"
#include "cmsg.h"
#include "fault.h"

#define RCVBUF	20000
#define LARGE	100000

static char large[LARGE];

static const int types[] = { SOCK_DGRAM, SOCK_STREAM, SOCK_SEQPACKET };

/* Data is taken while there is room, and not after that. */
static void bounded(struct __test_metadata *_metadata, struct link *link,
		    size_t chunk)
{
	int fd = link->fd[1];
	__u32 rcvbuf = get_int_opt(_metadata, fd, SO_RCVBUF), charge, full;
	size_t count, total;

	TH_LOG("sends of %zu", chunk);
	link_send(link, 0, large, chunk, MSG_DONTWAIT);
	charge = mem_charged(_metadata, fd);
	EXPECT_LE(chunk, charge);
	my_drain(_metadata, fd);
	EXPECT_EQ(0U, mem_charged(_metadata, fd));

	count = link_fill(_metadata, link, 0, chunk);
	full = mem_charged(_metadata, fd);
	/* There is room in the other direction. */
	link_expect_send(_metadata, link, 1, "abc");
	expect_recv(_metadata, link->fd[0], "abc");
	EXPECT_EQ(0U, mem_charged(_metadata, link->fd[0]));
	total = my_drain(_metadata, fd);
	EXPECT_EQ(0U, mem_charged(_metadata, fd));
	EXPECT_LE(rcvbuf, full);
	if (link->type == SOCK_STREAM) {
		/* It takes pieces of up to 64 KiB. */
		EXPECT_GE(rcvbuf + 65536, full);
		if (chunk >= 1000)
			EXPECT_LE(rcvbuf / 4, total);
		EXPECT_GE(2 * rcvbuf + 65536, total);
	} else {
		/* All are alike. */
		EXPECT_EQ(count * chunk, total);
		EXPECT_EQ(count * charge, full);
		EXPECT_EQ((rcvbuf + charge - 1) / charge, count);
	}
}

TEST_F(any, bounded_by_rcvbuf)
{
	struct link *link = &self->link;
	int fd = link->fd[1];

	/* The default */
	bounded(_metadata, link, 3000);
	bounded(_metadata, link, 60000);
	set_rcvbuf(_metadata, fd, RCVBUF);
	bounded(_metadata, link, 1);
	bounded(_metadata, link, 300);
	bounded(_metadata, link, 5000);
	set_rcvbuf(_metadata, fd, 1);
	bounded(_metadata, link, 1000);

	/* Nor is it charged for a send that fails. */
	ASSERT_EQ(0, shutdown(fd, SHUT_RD));
	EXPECT_EQ(EPIPE, link_try_send(link, 0));
	EXPECT_EQ(0U, mem_charged(_metadata, fd));
}

/* Sends from pages that are not mapped yet must not take more memory than is
 * charged. KASAN delays frees, so allow for some.
 */
TEST_F(any, absent_pages)
{
	size_t page = getpagesize(), i, most = 45000;
	char *map = mmap(NULL, most * page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long before;

	ASSERT_NE(MAP_FAILED, map);
	set_int_opt(_metadata, self->link.fd[1], SO_RCVBUF, RCVBUF);
	before = proc_number("/proc/meminfo", "SUnreclaim:");
	for (i = 0; i < most; i++)
		/* Alternate with a mapped byte. */
		if (link_send(&self->link, 0, &page, 1, MSG_DONTWAIT) != 1 ||
		    link_send(&self->link, 0, map + i * page, 1,
			      MSG_DONTWAIT) != 1)
			break;
	EXPECT_GT(most, i);
	/* What others take meanwhile they may give back. */
	EXPECT_TRUE(wait_until(proc_number("/proc/meminfo", "SUnreclaim:") <
			       before + 64 * 1024));
}

/* Sockets go, with what they were sent. Nor is one kept by others that have
 * associated with it, or never been accepted.
 */
TEST_F(any, sockets_go)
{
	int target, fd[5], i, dgram = variant->type == SOCK_DGRAM;
	struct link link;
	__u32 channel;

	for (i = 0; i < 30; i++) {
		link_make(_metadata, &link, variant->type, variant->made);
		link_fill(_metadata, &link, 0, 60000);
		link_expect_send(_metadata, &link, 1, "unread");
		link_destroy(&link);
	}

	target = type_bound(_metadata, variant->type, &channel);
	ASSERT_EQ(dgram ? EOPNOTSUPP : 0, err_of(listen(target, 5)));
	for (i = 0; i < 5; i++) {
		fd[i] = type_socket(_metadata, variant->type);
		ASSERT_EQ(0, my_connect(fd[i], channel));
		expect_send(_metadata, fd[i], "unread");
		if (dgram && i % 2)
			ASSERT_EQ(0, my_dissolve(fd[i]));
	}
	close(target);
	for (i = 0; i < 5; i++)
		close(fd[i]);
	/* Those of the fixture */
	EXPECT_EQ(2, sockets_settle_at(2));
}

/* Failing allocations: each call is made again and again, and the first, the
 * second, the third ... allocation in it fails, until there are no more.
 * This is what the calls have to do with.
 */
struct round {
	struct link link;
	int target;	/* a socket to connect to */
	__u32 channel;	/* of that */
	int fd;		/* a socket for the call, and what it gives */
	int new[2];
	int pipe[2];
	__u32 arg;	/* a channel, or how much to send */
};

enum step {
	NOTHING, SOCKET, SOCKETPAIR, BIND, LISTEN, CONNECT, CONNECTED, ACCEPT,
	SEND, SENDTO, SEND_CREDS, SPLICE, OPTIONS, RECV, PEEK, FILTER,
};

/* Make a call; negative if it fails */
static long take(struct round *round, enum step step)
{
	struct ucred cred = { getpid(), getuid(), getgid() };
	int type = round->link.type, *fd = round->link.fd;
	static struct got got;

	switch (step) {
	case SOCKET:
		return round->new[0] = socket(AF_MYPROTO, type, 0);
	case SOCKETPAIR:
		return socketpair(AF_MYPROTO, type, 0, round->new);
	case BIND:
		return my_bind(round->fd, round->arg);
	case LISTEN:
		return listen(round->fd, 5);
	case CONNECT:
		return my_connect(round->fd, round->channel);
	case CONNECTED:
		return take(round, CONNECT) ?: send(round->fd, "unread", 6, 0);
	case ACCEPT:
		return round->new[0] = accept(round->target, NULL, NULL);
	case SEND:
		return send(fd[0], large, round->arg, MSG_DONTWAIT);
	case SENDTO:
		return my_sendto(round->fd, round->channel, "abc", 3,
				 MSG_DONTWAIT);
	case SEND_CREDS:
		return send_cmsg(&round->link, "abc", SOL_SOCKET,
				 SCM_CREDENTIALS, &cred, sizeof(cred));
	case SPLICE:
		return splice(fd[1], NULL, round->pipe[1], NULL, 10000, 0);
	case OPTIONS:
		return -int_opt_err(fd[1], SOL_SOCKET, SO_PASSCRED, 1) ?:
		       -int_opt_err(fd[1], SOL_SOCKET, SO_TIMESTAMP, 1) ?:
		       take(round, SEND);
	case RECV:
		return recv_got(fd[1], &got, 256, 0);
	case PEEK:
		return recv(fd[1], large, LARGE, MSG_DONTWAIT | MSG_PEEK);
	case FILTER:
		return -my_filter(fd[1], 0xffffffff);
	default:	/* NOTHING */
		return 0;
	}
}

static const struct walk {
	const char *name;
	enum step start;	/* to prepare it */
	enum step call;
	__u32 arg;
	int least;	/* how many allocations there are at least */
} walks[] = {
	{ "socket", NOTHING, SOCKET, 0, 1 },
	{ "socketpair", NOTHING, SOCKETPAIR, 0, 1 },
	{ "bind", NOTHING, BIND, MYPROTO_CHANNEL_ANY, 0 },
	{ "listen", BIND, LISTEN, MYPROTO_CHANNEL_ANY, 0 },
	{ "connect", NOTHING, CONNECT, 0, 0 },
	{ "accept", CONNECTED, ACCEPT, 0, 1 },
	{ "send", NOTHING, SEND, 1000, 1 },
	{ "send, large", NOTHING, SEND, LARGE, 1 },
	{ "sendto", NOTHING, SENDTO, 0, 0 },
	{ "splice from it", SEND, SPLICE, 20000, 0 },
	{ "recv", OPTIONS, RECV, 20000, 0 },
	{ "peek", SEND, PEEK, 3, 0 },
	{ "peek, large", SEND, PEEK, 20000, 0 },
	{ "filter", SEND, FILTER, 3, 1 },
};

static void take_walk(struct __test_metadata *_metadata, struct fault *fault,
		      int type, const struct walk *walk)
{
	bool unused = false;
	struct round round;
	int n, i, err;

	TH_LOG("%s, type %d", walk->name, type);
	/* Its pages are there before a fault can be about them. */
	memset(large, 0, LARGE);
	for (n = 1; n < 300 && !unused; n++) {
		round = (struct round) { .new = { -1, -1 }, .arg = walk->arg };
		link_make(_metadata, &round.link, type, BY_CONNECT);
		round.target = type_bound(_metadata, type, &round.channel);
		if (type != SOCK_DGRAM)
			ASSERT_EQ(0, listen(round.target, 5));
		round.fd = type_socket(_metadata, type);
		ASSERT_EQ(0, pipe(round.pipe));
		ASSERT_LE(0, take(&round, walk->start));

		fault_arm(fault, n);
		err = err_of(take(&round, walk->call));
		unused = fault_unused(fault);
		/* ENFILE: the socket layer has no inode. */
		if (unused ||
		    (err != ENOMEM && err != ENOBUFS && err != ENFILE))
			EXPECT_EQ(0, err)
				TH_LOG("allocation %d", n);

		/* The sockets still work; then nothing is left. */
		for (i = 0; i < 2; i++) {
			my_drain(_metadata, round.link.fd[i]);
			EXPECT_EQ(0U, mem_charged(_metadata, round.link.fd[i]));
			link_expect_send(_metadata, &round.link, !i, "abc");
			expect_recv(_metadata, round.link.fd[i], "abc");
			close(round.new[i]);
			close(round.pipe[i]);
		}
		link_destroy(&round.link);
		close(round.target);
		close(round.fd);
	}
	EXPECT_TRUE(unused);
	EXPECT_LE(walk->least, n - 2);
	EXPECT_EQ(0, sockets_settle_at(0));
}

TEST_F_TIMEOUT(fault, walk, 120)
{
	int i, j;

	for (i = 0; i < ARRAY_SIZE(types); i++)
		for (j = 0; j < ARRAY_SIZE(walks); j++)
			if (types[i] == SOCK_DGRAM ?
			    walks[j].call != LISTEN && walks[j].call != ACCEPT :
			    walks[j].call != SENDTO)
				take_walk(_metadata, &self->fault, types[i],
					  &walks[j]);
}

/* In a process of its own: once in each, pidfs allocates for it, and that may
 * be for the first credentials of a DGRAM socket, which is the first type.
 */
TEST_F(fault, credentials)
{
	static const struct walk walk = {
		"credentials", NOTHING, SEND_CREDS, 0, 1,
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(types); i++)
		take_walk(_metadata, &self->fault, types[i], &walk);
}

/* Small data */

static const int message_types[] = { SOCK_DGRAM, SOCK_SEQPACKET };

static void small_connection(struct __test_metadata *_metadata, int type,
			     int fd[2])
{
	my_type = type;
	my_connection(_metadata, fd);
	set_rcvbuf(_metadata, fd[1], RCVBUF);
}

/* It is charged with little more than its length. */
TEST(small_data_fills_buffer)
{
	static const size_t chunks[] = { 1, 64, 300 };
	int fd[2], i;

	for (i = 0; i < ARRAY_SIZE(chunks); i++) {
		small_connection(_metadata, SOCK_STREAM, fd);
		EXPECT_LE(RCVBUF / 2, my_fill(_metadata, fd[0], chunks[i]));
		close(fd[0]);
		close(fd[1]);
	}
}

/* A peek returns what could be moved to skbs when memory runs out. */
TEST_F(fault, part_of_peek)
{
	int fd[2], i, n, failed = 0;
	bool unused = false;

	for (n = 1; !unused; n++) {
		small_connection(_metadata, SOCK_STREAM, fd);
		for (i = 0; i < 4; i++)
			ASSERT_EQ(4000, send(fd[0], large, 4000, 0));
		fault_arm(&self->fault, n);
		failed += recv(fd[1], large, 1, MSG_PEEK) != 1;
		unused = fault_unused(&self->fault);
		EXPECT_EQ(16000U, my_drain(_metadata, fd[1]));
		close(fd[0]);
		close(fd[1]);
	}
	/* Only without the first skb of four */
	EXPECT_LT(2 * failed, n - 2);
}

/* Also if the sender had to wait: otherwise all messages after it need an skb
 * until the queue is empty.
 */
TEST(small_data_after_wait)
{
	int fd[2], i, count, each;
	char buf[64] = "";
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(message_types); i++) {
		small_connection(_metadata, message_types[i], fd);
		count = my_fill(_metadata, fd[0], sizeof(buf)) / sizeof(buf);
		each = mem_charged(_metadata, fd[1]) / count;
		pid = sleeping_child(send(fd[0], buf, sizeof(buf), 0));
		for (; count > 10; count--)
			ASSERT_EQ(sizeof(buf),
				  recv(fd[1], buf, sizeof(buf), 0));
		EXPECT_EQ(sizeof(buf), my_wait(pid));
		EXPECT_GE(11U * each, mem_charged(_metadata, fd[1]));
		EXPECT_EQ(0U, mem_charged(_metadata, fd[1]) % each);
		close(fd[0]);
		close(fd[1]);
	}
}

/* So it is while a sender that does not wait competes with a reader. */
TEST(small_data_against_reader)
{
	char buf[64] = "";
	int fd[2], i;
	pid_t pid;
	long end;

	for (i = 0; i < ARRAY_SIZE(message_types); i++) {
		small_connection(_metadata, message_types[i], fd);
		pid = my_fork(_metadata);
		if (!pid)
			for (;;)
				send(fd[0], buf, sizeof(buf), MSG_DONTWAIT);
		/* Slower than the sender, so there is hardly ever space. An skb
		 * is charged with more.
		 */
		end = now_ms() + 1500;
		while (now_ms() < end) {
			ASSERT_EQ(sizeof(buf),
				  recv(fd[1], buf, sizeof(buf), 0));
			ASSERT_EQ(0, mem_charged(_metadata, fd[1]) % 72);
		}
		my_kill(pid);
		close(fd[0]);
		close(fd[1]);
	}
}

static void expect_letter(struct __test_metadata *_metadata, int fd, int flags,
			  char letter)
{
	char buf[64];

	EXPECT_EQ(sizeof(buf), recv(fd, buf, sizeof(buf), flags));
	EXPECT_EQ(letter, buf[0]);
}

/* A reader takes the messages of a full buffer at once. They are not charged
 * any more, but for all else they are unread.
 */
TEST(small_data_taken_at_once)
{
	char buf[64] = "";
	int fd[2], i;

	for (i = 0; i < ARRAY_SIZE(message_types); i++) {
		small_connection(_metadata, message_types[i], fd);
		for (buf[0] = 'a'; buf[0] < 'i'; buf[0]++)
			send(fd[0], buf, sizeof(buf), 0);
		/* One in the socket, the others in a buffer */
		EXPECT_EQ(8 * 72, mem_charged(_metadata, fd[1]));
		expect_letter(_metadata, fd[1], 0, 'a');
		EXPECT_EQ(7 * 72, mem_charged(_metadata, fd[1]));
		expect_letter(_metadata, fd[1], 0, 'b');
		EXPECT_EQ(0U, mem_charged(_metadata, fd[1]));
		for (; buf[0] < 'k'; buf[0]++)
			send(fd[0], buf, sizeof(buf), 0);
		expect_letter(_metadata, fd[1], 0, 'c');
		EXPECT_EQ(2 * 72, mem_charged(_metadata, fd[1]));

		/* Later messages do not overtake them. */
		EXPECT_EQ(message_types[i] == SOCK_DGRAM ? 64 : 7 * 64,
			  ioctl_len(fd[1], FIONREAD));
		expect_letter(_metadata, fd[1], 0, 'd');
		expect_letter(_metadata, fd[1], MSG_PEEK, 'e');
		expect_letter(_metadata, fd[1], 0, 'e');
		expect_letter(_metadata, fd[1], 0, 'f');
		set_int_opt(_metadata, fd[1], SO_PEEK_OFF, 0);
		expect_letter(_metadata, fd[1], MSG_PEEK, 'g');
		expect_letter(_metadata, fd[1], MSG_PEEK, 'h');
		expect_letter(_metadata, fd[1], 0, 'g');
		set_int_opt(_metadata, fd[1], SO_PEEK_OFF, -1);
		expect_letter(_metadata, fd[1], 0, 'h');
		expect_letter(_metadata, fd[1], 0, 'i');
		expect_letter(_metadata, fd[1], 0, 'j');

		/* Nor is a peek blind if there are no later ones. */
		for (; buf[0] < 'o'; buf[0]++)
			send(fd[0], buf, sizeof(buf), 0);
		expect_letter(_metadata, fd[1], 0, 'k');
		expect_letter(_metadata, fd[1], 0, 'l');
		expect_letter(_metadata, fd[1], MSG_PEEK | MSG_DONTWAIT, 'm');
		expect_letter(_metadata, fd[1], 0, 'm');
		expect_letter(_metadata, fd[1], 0, 'n');
		EXPECT_EQ(EAGAIN, try_recv(fd[1]));
		EXPECT_EQ(0U, mem_charged(_metadata, fd[1]));
		close(fd[0]);
		close(fd[1]);
	}
}

TEST_HARNESS_MAIN
