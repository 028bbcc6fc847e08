// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO connections: listen(), connect(), accept(), socketpair(),
 * shutdown() and close(), and what each of them refuses. What is not said to
 * be otherwise holds for STREAM and SEQPACKET.
 */
#include <netinet/in.h>
#include <sys/ioctl.h>

#include <linux/filter.h>

#include "pair.h"
#include "type.h"

FIXTURE_VARIANT_ADD(pair, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(pair, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(pair, stream_socketpair)
{
	.type = SOCK_STREAM,
	.by_socketpair = true,
};

FIXTURE_VARIANT_ADD(pair, seqpacket_socketpair)
{
	.type = SOCK_SEQPACKET,
	.by_socketpair = true,
};

static void expect_exchange(struct __test_metadata *_metadata, int a, int b)
{
	EXPECT_EQ(EAGAIN, try_recv(a));
	EXPECT_EQ(EAGAIN, try_recv(b));
	expect_send(_metadata, a, "there");
	expect_send(_metadata, b, "back");
	expect_recv(_metadata, b, "there");
	expect_recv(_metadata, a, "back");
}

static int accept_one(struct __test_metadata *_metadata, int listener)
{
	int fd = accept(listener, NULL, NULL);

	ASSERT_LE(0, fd);
	return fd;
}

/* errno of a connect() that does not wait */
static int try_connect(struct __test_metadata *_metadata, int *fd,
		       __u32 channel)
{
	*fd = my_socket(_metadata);
	set_nonblock(_metadata, *fd);
	return err_of(my_connect(*fd, channel));
}

static void fill_backlog(struct __test_metadata *_metadata, int n,
			 __u32 channel)
{
	int fd;

	while (n--)
		ASSERT_EQ(0, try_connect(_metadata, &fd, channel));
	EXPECT_EQ(EINPROGRESS, try_connect(_metadata, &fd, channel));
	close(fd);
}

TEST_F(type, backlog)
{
	int backlog, listener, fd, i;
	__u32 channel;

	for (backlog = 0; backlog <= 5; backlog += 5) {
		listener = my_listener(_metadata, backlog, &channel);
		fill_backlog(_metadata, backlog + 1, channel);

		/* Every accept() makes room for one, who has waited for it. */
		EXPECT_EQ(EINPROGRESS, try_connect(_metadata, &fd, channel));
		accept_one(_metadata, listener);
		EXPECT_EQ(0, err_of(my_connect(fd, channel)));
		fill_backlog(_metadata, 0, channel);

		ASSERT_EQ(0, listen(listener, backlog + 2));
		fill_backlog(_metadata, 2, channel);

		/* Those that wait stay when there is room for fewer. */
		ASSERT_EQ(0, listen(listener, 0));
		for (i = 0; i < backlog + 3; i++)
			accept_one(_metadata, listener);
		fill_backlog(_metadata, 1, channel);

		EXPECT_EQ(EINPROGRESS, try_connect(_metadata, &fd, channel));
		close(listener);
		EXPECT_EQ(ECONNREFUSED, get_int_opt(_metadata, fd, SO_ERROR));
	}
}

/* A client that went away waits no longer once it has been accepted. */
TEST_F(type, backlog_of_closed_clients)
{
	int backlog, listener, fd, i;
	__u32 channel;

	for (backlog = 0; backlog <= 5; backlog += 5) {
		listener = my_listener(_metadata, backlog, &channel);
		for (i = 0; i < backlog + 1; i++) {
			ASSERT_EQ(0, try_connect(_metadata, &fd, channel));
			close(fd);
		}
		for (i = 0; i < backlog + 1; i++) {
			fd = accept_one(_metadata, listener);
			expect_eof(_metadata, fd);
			close(fd);
		}
		EXPECT_EQ(0, try_connect(_metadata, &fd, channel));
	}
}

TEST_F(type, unconnected)
{
	int fd[2], i, how;

	fd[0] = my_socket(_metadata);
	fd[1] = my_bound_socket(_metadata, 5000);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(EINVAL, err_of(accept(fd[i], NULL, NULL)));
		for (how = SHUT_RD; how <= SHUT_RDWR; how++)
			EXPECT_EQ(ENOTCONN, err_of(shutdown(fd[i], how)));
	}
}

TEST_F(type, listening)
{
	int fd = my_bound_socket(_metadata, 5000);
	__u32 other;

	my_listener(_metadata, 1, &other);
	EXPECT_EQ(0, listen(fd, 1));
	EXPECT_EQ(5000, my_channel(_metadata, fd));
	EXPECT_EQ(1, get_int_opt(_metadata, fd, SO_ACCEPTCONN));
	EXPECT_EQ(EINVAL, err_of(my_connect(fd, other)));
	EXPECT_EQ(EINVAL, err_of(my_connect(fd, 5000)));
	my_client(_metadata, 5000);
}

/* Who is refused can try again or listen, and who is not listening does not
 * notice.
 */
TEST_F(type, connect_refused)
{
	int fd = my_bound_socket(_metadata, 5001), bound, end[2], i;

	/* Nobody, and a socket's own channel */
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, 5000)));
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, 5001)));

	my_connection(_metadata, end);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(ECONNREFUSED,
			  err_of(my_connect(fd, my_channel(_metadata,
							   end[i]))));
	expect_exchange(_metadata, end[0], end[1]);

	bound = my_bound_socket(_metadata, 5000);
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, 5000)));
	EXPECT_EQ(ENOTCONN, try_send(fd));
	EXPECT_EQ(ENOTCONN, try_send(bound));
	EXPECT_EQ(ENOTCONN, err_of(shutdown(bound, SHUT_RDWR)));
	EXPECT_EQ(0, get_int_opt(_metadata, bound, SO_ERROR));

	ASSERT_EQ(0, listen(bound, 1));
	set_nonblock(_metadata, bound);
	EXPECT_EQ(EAGAIN, err_of(accept(bound, NULL, NULL)));
	ASSERT_EQ(0, err_of(my_connect(fd, 5000)));
	EXPECT_EQ(5001, my_channel(_metadata, fd));
	expect_exchange(_metadata, fd, accept_one(_metadata, bound));

	fd = my_bound_socket(_metadata, 5002);
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, 5003)));
	ASSERT_EQ(0, listen(fd, 1));
	my_client(_metadata, 5002);
}

/* Neither those accepted before nor those that wait are refused. */
TEST_F(type, shutdown_listener)
{
	int listener, client[2], server[2], fd = my_socket(_metadata), i;
	__u32 channel;

	listener = my_listener(_metadata, 2, &channel);
	for (i = 0; i < 2; i++)
		client[i] = my_client(_metadata, channel);
	server[0] = accept_one(_metadata, listener);
	ASSERT_EQ(0, shutdown(listener, SHUT_RD));
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, channel)));
	server[1] = accept_one(_metadata, listener);
	EXPECT_EQ(EINVAL, err_of(accept(listener, NULL, NULL)));
	for (i = 0; i < 2; i++)
		expect_exchange(_metadata, client[i], server[i]);

	ASSERT_EQ(0, shutdown(listener, SHUT_RDWR));
	close(listener);
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, channel)));
	for (i = 0; i < 2; i++)
		expect_exchange(_metadata, client[i], server[i]);
}

/*
 * The other end has the filter of the listener, if there is memory for it. When
 * it is freed, it must not give up what is the listener's.
 */
TEST_F(type, connect_fails_without_memory_for_options)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
	};
	struct sock_fprog prog = { .len = 1, .filter = code };
	struct ucred cred = {};
	socklen_t len = sizeof(cred);
	int listener, fd, server, i;
	__u32 channel;

	if (!has_sysctls())
		SKIP(return, "no sysctls");
	ASSERT_LE(0, my_netns());
	listener = my_listener(_metadata, 1, &channel);
	ASSERT_EQ(0, setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &prog,
				sizeof(prog)));
	fd = my_socket(_metadata);

	ASSERT_EQ(0, sysctl_set("../core/optmem_max", "0"));
	for (i = 0; i < 100; i++)
		ASSERT_EQ(ENOMEM, err_of(my_connect(fd, channel)));
	ASSERT_EQ(0, sysctl_set("../core/optmem_max", "100000"));

	ASSERT_EQ(0, my_connect(fd, channel));
	server = accept_one(_metadata, listener);
	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len));
	EXPECT_EQ(getpid(), cred.pid);
	EXPECT_EQ(getuid(), cred.uid);
	EXPECT_EQ(getgid(), cred.gid);

	close(listener);
	close(fd);
	close(server);
	EXPECT_EQ(0, sockets_settle_at(0));
}

TEST_F(type, accept4_flags)
{
	int listener, fd;
	__u32 channel;

	listener = my_listener(_metadata, 2, &channel);
	my_client(_metadata, channel);
	my_client(_metadata, channel);
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
	EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);

	/* O_NONBLOCK of the listener is not inherited. */
	set_nonblock(_metadata, listener);
	fd = accept_one(_metadata, listener);
	EXPECT_FALSE(fcntl(fd, F_GETFL) & O_NONBLOCK);
	EXPECT_FALSE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	EXPECT_EQ(EINVAL, err_of(accept4(listener, NULL, NULL, 1)));
	EXPECT_EQ(EAGAIN, err_of(accept(listener, NULL, NULL)));
}

/* In order of their connect(), with what they have sent before accept(). */
TEST_F(type, accept_in_order)
{
	int listener, client[5], fd, i;
	struct sockaddr_my addr;
	__u32 channel, name;
	socklen_t len;

	listener = my_listener(_metadata, ARRAY_SIZE(client), &channel);
	for (i = 0; i < 5; i++) {
		client[i] = i & 1 ? my_bound_socket(_metadata, 5000 + i) :
				    my_socket(_metadata);
		ASSERT_EQ(0, my_connect(client[i], channel));
		expect_send(_metadata, client[i], "early");
	}
	/* It may be gone: accept() still tells who it was. */
	close(client[3]);
	for (i = 0; i < 5; i++) {
		len = sizeof(addr);
		fd = accept(listener, (struct sockaddr *)&addr, &len);
		ASSERT_LE(0, fd);
		name = i == 3 ? 5003 : my_channel(_metadata, client[i]);
		EXPECT_EQ(sizeof(addr), len);
		EXPECT_EQ(AF_MYPROTO, addr.smy_family);
		EXPECT_EQ(name, addr.smy_channel);
		EXPECT_EQ(name, my_peer(_metadata, fd));
		EXPECT_EQ(AF_MYPROTO, get_int_opt(_metadata, fd, SO_DOMAIN));
		EXPECT_EQ(my_type, get_int_opt(_metadata, fd, SO_TYPE));
		EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ACCEPTCONN));
		EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ERROR));

		expect_recv(_metadata, fd, "early");
		if (i != 3) {
			expect_exchange(_metadata, client[i], fd);
			continue;
		}
		expect_eof(_metadata, fd);
		EXPECT_EQ(EPIPE, try_send(fd));
	}
}

TEST_F(pair, connected_refuses)
{
	int listener, i;
	__u32 channel;

	listener = my_listener(_metadata, 1, &channel);
	set_nonblock(_metadata, listener);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(EISCONN, err_of(my_connect(self->fd[i], channel)));
		EXPECT_EQ(EINVAL, err_of(my_dissolve(self->fd[i])));
		EXPECT_EQ(EINVAL, err_of(listen(self->fd[i], 1)));
		EXPECT_EQ(EINVAL, err_of(accept(self->fd[i], NULL, NULL)));
		EXPECT_EQ(EINVAL, err_of(shutdown(self->fd[i], 3)));
		EXPECT_EQ(EINVAL, err_of(shutdown(self->fd[i], -1)));
	}
	expect_exchange(_metadata, self->fd[0], self->fd[1]);
	EXPECT_EQ(EAGAIN, err_of(accept(listener, NULL, NULL)));
}

TEST_F(type, socketpair_bad_type_or_protocol)
{
	int fd[2];

	EXPECT_EQ(ESOCKTNOSUPPORT,
		  err_of(socketpair(AF_MYPROTO, SOCK_RAW, 0, fd)));
	EXPECT_EQ(EPROTONOSUPPORT,
		  err_of(socketpair(AF_MYPROTO, my_type, 1, fd)));
}

TEST_F(pair, shutdown_wr)
{
	int i;

	expect_send(_metadata, self->fd[0], "last");
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_WR));
	expect_recv(_metadata, self->fd[1], "last");
	for (i = 0; i < 2; i++) {
		expect_eof(_metadata, self->fd[1]);
		EXPECT_EQ(EPIPE, try_send(self->fd[0]));
	}
	/* The other direction is open. */
	expect_send(_metadata, self->fd[1], "abc");
	expect_recv(_metadata, self->fd[0], "abc");
	EXPECT_EQ(EAGAIN, try_recv(self->fd[0]));

	EXPECT_EQ(0, shutdown(self->fd[0], SHUT_WR));
	EXPECT_EQ(0, shutdown(self->fd[0], SHUT_RDWR));
	EXPECT_EQ(0, shutdown(self->fd[1], SHUT_RDWR));
	expect_eof(_metadata, self->fd[0]);
	expect_eof(_metadata, self->fd[1]);
}

TEST_F(pair, shutdown_rd)
{
	expect_send(_metadata, self->fd[1], "queued");
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_RD));
	EXPECT_EQ(EPIPE, try_send(self->fd[1]));
	expect_recv(_metadata, self->fd[0], "queued");
	expect_eof(_metadata, self->fd[0]);
	expect_send(_metadata, self->fd[0], "abc");
	expect_recv(_metadata, self->fd[1], "abc");
}

TEST_F(pair, shutdown_rdwr)
{
	expect_send(_metadata, self->fd[0], "there");
	expect_send(_metadata, self->fd[1], "back");
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_RDWR));
	EXPECT_EQ(EPIPE, try_send(self->fd[0]));
	EXPECT_EQ(EPIPE, try_send(self->fd[1]));
	expect_recv(_metadata, self->fd[0], "back");
	expect_recv(_metadata, self->fd[1], "there");
	expect_eof(_metadata, self->fd[0]);
	expect_eof(_metadata, self->fd[1]);
}

/* What the peer of a socket that is closed is told: by recv(), or first by
 * send() or SO_ERROR
 */
TEST_F(type, close)
{
	static const struct {
		int unread, read;	/* bytes that came, and it read */
		bool last;		/* it has sent something */
	} rows[] = {
		{ 0, 0, false }, { 1, 1, false }, { 1, 0, false },
		{ 2, 1, false }, { 0, 0, true }, { 1, 0, true },
	};
	enum { BY_RECV, BY_SEND, BY_SO_ERROR } by;
	int fd[2], i, j, n, err;

	for (i = 0; i < 6 * (int)ARRAY_SIZE(rows); i++) {
		n = i / 6;
		by = i % 3;
		if (i % 6 < 3)
			my_connection(_metadata, fd);
		else
			my_socketpair(_metadata, fd);
		for (j = 0; j < rows[n].unread; j++)
			ASSERT_EQ(0, try_send(fd[1]));
		for (j = 0; j < rows[n].read; j++)
			ASSERT_EQ(0, try_recv(fd[0]));
		if (rows[n].last)
			expect_send(_metadata, fd[0], "last");
		close(fd[0]);

		err = rows[n].unread > rows[n].read ? ECONNRESET : 0;
		if (by == BY_SEND)
			EXPECT_EQ(EPIPE, try_send(fd[1]));
		if (by == BY_SO_ERROR) {
			EXPECT_EQ(err, get_int_opt(_metadata, fd[1], SO_ERROR))
				TH_LOG("case %d", n);
			EXPECT_EQ(0, get_int_opt(_metadata, fd[1], SO_ERROR));
			err = 0;
		}
		if (rows[n].last)
			expect_recv(_metadata, fd[1], "last");
		/* Once */
		if (err)
			EXPECT_EQ(err, try_recv(fd[1]))
				TH_LOG("case %d, told by %d", n, by);
		ASSERT_EQ(0, try_recv(fd[1]))
			TH_LOG("case %d, told by %d", n, by);
		expect_eof(_metadata, fd[1]);
		EXPECT_EQ(EPIPE, try_send(fd[1]));
		close(fd[1]);
	}
}

/* What is told after the data is not told to a peek that has passed it over. */
TEST_F(pair, peek_past_data_leaves_error)
{
	int fd = self->fd[0], off = 0;
	char buf[4];

	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &off,
				sizeof(off)));
	expect_send(_metadata, fd, "unread");
	expect_send(_metadata, self->fd[1], "abc");
	close_end(&self->fd[1]);
	EXPECT_EQ(3, recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT));
	EXPECT_EQ(0, recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT));
	expect_recv(_metadata, fd, "abc");
	EXPECT_EQ(ECONNRESET, try_recv(fd));
	expect_eof(_metadata, fd);
}

TEST_F(type, close_listener_clients_econnreset_once)
{
	int listener, client[3], i;
	__u32 channel;

	listener = my_listener(_metadata, 3, &channel);
	for (i = 0; i < 3; i++)
		client[i] = my_client(_metadata, channel);
	/* Whether data was sent makes no difference. */
	expect_send(_metadata, client[1], "unread");

	close(listener);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(ECONNRESET, try_recv(client[i]));
		expect_eof(_metadata, client[i]);
		EXPECT_EQ(EPIPE, try_send(client[i]));
	}
}

/* A connection lives as long as one process has it open. */
TEST_F(pair, close_by_process)
{
	pid_t pid = my_fork(_metadata);

	if (!pid)
		_exit(close(self->fd[0]) || close(self->fd[1]));
	EXPECT_EQ(0, my_wait(pid));
	expect_exchange(_metadata, self->fd[0], self->fd[1]);

	pid = my_fork(_metadata);
	if (!pid) {
		pause();
		_exit(0);
	}
	close_end(&self->fd[0]);
	EXPECT_EQ(EAGAIN, try_recv(self->fd[1]));
	EXPECT_EQ(-SIGKILL, my_kill(pid));
	expect_eof(_metadata, self->fd[1]);
}

/* For each reason of an EPIPE and each way to send */
TEST_F(type, sigpipe)
{
	int fd[2], i, reason;
	pid_t pid;

	for (reason = 0; reason < 3; reason++) {
		my_connection(_metadata, fd);
		if (!reason)
			close(fd[1]);
		else
			ASSERT_EQ(0, reason == 1 ? shutdown(fd[0], SHUT_WR) :
						   shutdown(fd[1], SHUT_RD));
		for (i = 0; i < 2; i++) {
			pid = my_fork(_metadata);
			if (!pid) {
				signal(SIGPIPE, SIG_DFL);
				_exit(i ? send(fd[0], "x", 1, 0) :
					  write(fd[0], "x", 1));
			}
			EXPECT_EQ(-SIGPIPE, my_wait(pid))
				TH_LOG("reason %d", reason);
		}
		signal(SIGPIPE, SIG_DFL);
		EXPECT_EQ(EPIPE, try_send(fd[0]));
		signal(SIGPIPE, SIG_IGN);
		EXPECT_EQ(EPIPE, err_of(write(fd[0], "x", 1)));
	}
}

/* Options, ioctls and mappings that do not exist */
static void expect_unknown(struct __test_metadata *_metadata, int fd)
{
	static const int opts[][2] = {
		{ SOL_SOCKET, 9999 }, { SOL_MYPROTO, 9999 }, { IPPROTO_TCP, 1 },
	};
	socklen_t len = sizeof(int);
	int val = 1;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(opts); i++) {
		EXPECT_EQ(ENOPROTOOPT, err_of(setsockopt(fd, opts[i][0],
							 opts[i][1], &val,
							 sizeof(val))));
		EXPECT_EQ(ENOPROTOOPT, err_of(getsockopt(fd, opts[i][0],
							 opts[i][1], &val,
							 &len)));
	}
	EXPECT_EQ(ENOTTY, err_of(ioctl(fd, _IO('M', 0x7f), &val)));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_EQ(ENODEV, errno);
}

TEST(unknown)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	__u32 channel;
	int fd[2];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		my_type = types[i];
		expect_unknown(_metadata, my_socket(_metadata));
		my_connection(_metadata, fd);
		expect_unknown(_metadata, fd[0]);
		if (my_type != SOCK_DGRAM)
			expect_unknown(_metadata,
				       my_listener(_metadata, 1, &channel));
	}
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
