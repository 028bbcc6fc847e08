// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO connections: listen(), connect(), accept(), socketpair(),
 * shutdown() and close(), and what each of them refuses. Unless a test says
 * otherwise it runs for STREAM and SEQPACKET.
 */
#include <netinet/in.h>
#include <sys/ioctl.h>

#include "type.h"

/* Two that are connected, by a listener or by socketpair() */
static void make_pair(struct __test_metadata *_metadata, int fd[2],
		      bool by_socketpair)
{
	if (by_socketpair)
		my_socketpair(_metadata, fd);
	else
		my_connection(_metadata, fd);
}

/* Beyond the backlog connect() waits. A closed client keeps its place. */
TEST_F(type, backlog)
{
	int backlog, listener, fd, i;
	__u32 channel;

	for (backlog = 0; backlog <= 5; backlog += 5) {
		listener = my_listener(_metadata, backlog, &channel);
		for (i = 0; i <= backlog; i++)
			close(my_client(_metadata, channel));
		fd = my_socket(_metadata);
		set_nonblock(_metadata, fd);
		EXPECT_EQ(EINPROGRESS, err_of(my_connect(fd, channel)));
		for (i = 0; i <= backlog; i++)
			expect_eof(_metadata, my_accept(_metadata, listener));
		EXPECT_EQ(0, err_of(my_connect(fd, channel)));
		for (i = 0; i < backlog; i++)
			my_client(_metadata, channel);
		expect_exchange(_metadata, fd, my_accept(_metadata, listener));
	}
}

static void expect_enotconn(struct __test_metadata *_metadata, int fd)
{
	char c;

	EXPECT_EQ(ENOTCONN, try_send(fd));
	EXPECT_EQ(ENOTCONN, err_of(write(fd, "x", 1)));
	EXPECT_EQ(ENOTCONN, try_recv(fd));
	EXPECT_EQ(ENOTCONN, err_of(read(fd, &c, 1)));
	if (my_type == SOCK_SEQPACKET)
		EXPECT_EQ(ENOTCONN, err_of(send(fd, "", 0, 0)));
}

/* A socket that is not bound, one that is, and one that listens */
TEST_F(type, not_connected)
{
	int fd[2] = { my_socket(_metadata), my_bound_socket(_metadata, 5000) };
	int i, how;
	__u32 other;

	for (i = 0; i < 2; i++) {
		EXPECT_EQ(EINVAL, err_of(accept(fd[i], NULL, NULL)));
		for (how = SHUT_RD; how <= SHUT_RDWR; how++)
			EXPECT_EQ(ENOTCONN, err_of(shutdown(fd[i], how)));
		expect_enotconn(_metadata, fd[i]);
	}
	my_listener(_metadata, 1, &other);
	EXPECT_EQ(EOPNOTSUPP, err_of(my_sendto(fd[0], other, "x", 1, 0)));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, listen(fd[1], 1));
	EXPECT_EQ(5000, my_channel(_metadata, fd[1]));
	EXPECT_EQ(1, get_int_opt(_metadata, fd[1], SO_ACCEPTCONN));
	expect_enotconn(_metadata, fd[1]);
	EXPECT_EQ(EINVAL, err_of(my_connect(fd[1], other)));
	EXPECT_EQ(EINVAL, err_of(my_connect(fd[1], 5000)));
	my_client(_metadata, 5000);
}

/* A socket that was refused can try again or listen. A socket that does not
 * listen is not affected by the attempt.
 */
TEST_F(type, connect_refused)
{
	int fd = my_bound_socket(_metadata, 5001), bound, end[2], i;
	__u32 channel[5] = { 5000, 5001, 5002 };

	/* Nobody, its own channel, one that is only bound, connected ones */
	bound = my_bound_socket(_metadata, 5002);
	my_connection(_metadata, end);
	for (i = 0; i < 2; i++)
		channel[3 + i] = my_channel(_metadata, end[i]);
	for (i = 0; i < ARRAY_SIZE(channel); i++)
		EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, channel[i])));
	expect_exchange(_metadata, end[0], end[1]);
	EXPECT_EQ(ENOTCONN, try_send(fd));
	EXPECT_EQ(ENOTCONN, try_send(bound));
	EXPECT_EQ(ENOTCONN, err_of(shutdown(bound, SHUT_RDWR)));
	EXPECT_EQ(0, get_int_opt(_metadata, bound, SO_ERROR));

	ASSERT_EQ(0, listen(bound, 1));
	set_nonblock(_metadata, bound);
	EXPECT_EQ(EAGAIN, err_of(accept(bound, NULL, NULL)));
	ASSERT_EQ(0, err_of(my_connect(fd, 5002)));
	EXPECT_EQ(5001, my_channel(_metadata, fd));
	expect_exchange(_metadata, fd, my_accept(_metadata, bound));

	fd = my_bound_socket(_metadata, 5003);
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, 5000)));
	ASSERT_EQ(0, listen(fd, 1));
	my_client(_metadata, 5003);
}

/* Neither those accepted before nor those that wait are refused. */
TEST_F(type, shutdown_listener)
{
	int listener, client[2], server[2], fd = my_socket(_metadata), i, j;
	__u32 channel;

	listener = my_listener(_metadata, 2, &channel);
	for (i = 0; i < 2; i++)
		client[i] = my_client(_metadata, channel);
	server[0] = my_accept(_metadata, listener);
	ASSERT_EQ(0, shutdown(listener, SHUT_RD));
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, channel)));
	server[1] = my_accept(_metadata, listener);
	EXPECT_EQ(EINVAL, err_of(accept(listener, NULL, NULL)));
	for (i = 0; i < 2; i++) {
		for (j = 0; j < 2; j++)
			expect_exchange(_metadata, client[j], server[j]);
		EXPECT_EQ(i ? EBADF : 0, err_of(shutdown(listener, SHUT_RDWR)));
		close(listener);
		EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, channel)));
	}
}

/*
 * The new socket gets the listener's filter. Without memory for that connect()
 * fails, and frees the new socket, but nothing that belongs to the listener.
 */
TEST_F(type, connect_fails_without_memory_for_options)
{
	int listener, fd, server, i;
	struct ucred cred;
	__u32 channel;

	if (!has_sysctls())
		SKIP(return, "no sysctls");
	ASSERT_LE(0, my_netns());
	listener = my_listener(_metadata, 1, &channel);
	ASSERT_EQ(0, my_filter(listener, ~0U));
	fd = my_socket(_metadata);

	ASSERT_EQ(0, sysctl_set("../core/optmem_max", "0"));
	for (i = 0; i < 100; i++)
		ASSERT_EQ(ENOMEM, err_of(my_connect(fd, channel)));
	ASSERT_EQ(0, sysctl_set("../core/optmem_max", "100000"));

	ASSERT_EQ(0, my_connect(fd, channel));
	server = my_accept(_metadata, listener);
	cred = my_peercred(_metadata, fd);
	EXPECT_EQ(getpid(), cred.pid);
	EXPECT_EQ(getuid(), cred.uid);
	EXPECT_EQ(getgid(), cred.gid);

	close(listener);
	close(fd);
	close(server);
	EXPECT_EQ(0, sockets_settle_at(0));
}

/* In order of their connect(), with what they have sent before accept(). */
TEST_F(type, accept_in_order)
{
	int listener, client[5], flags, fd, i;
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
	/* O_NONBLOCK of the listener is not inherited. */
	set_nonblock(_metadata, listener);
	for (i = 0; i < 5; i++) {
		len = sizeof(addr);
		flags = i & 1 ? SOCK_NONBLOCK | SOCK_CLOEXEC : 0;
		fd = accept4(listener, (struct sockaddr *)&addr, &len, flags);
		ASSERT_LE(0, fd);
		EXPECT_EQ(i & 1, !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
		EXPECT_EQ(i & 1, !!(fcntl(fd, F_GETFD) & FD_CLOEXEC));
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
	EXPECT_EQ(EINVAL, err_of(accept4(listener, NULL, NULL, 1)));
	EXPECT_EQ(EAGAIN, err_of(accept(listener, NULL, NULL)));
}

TEST_F(type, connected)
{
	int listener, fd[2], i;
	__u32 channel;
	pid_t pid;

	listener = my_listener(_metadata, 1, &channel);
	set_nonblock(_metadata, listener);
	for (i = 0; i < 4; i++) {
		if (!(i & 1))
			make_pair(_metadata, fd, i & 2);
		EXPECT_EQ(EISCONN, err_of(my_connect(fd[i & 1], channel)));
		EXPECT_EQ(EINVAL, err_of(my_dissolve(fd[i & 1])));
		EXPECT_EQ(EINVAL, err_of(listen(fd[i & 1], 1)));
		EXPECT_EQ(EINVAL, err_of(accept(fd[i & 1], NULL, NULL)));
		EXPECT_EQ(EINVAL, err_of(shutdown(fd[i & 1], 3)));
		EXPECT_EQ(EINVAL, err_of(shutdown(fd[i & 1], -1)));
		expect_exchange(_metadata, fd[0], fd[1]);
	}
	EXPECT_EQ(EAGAIN, err_of(accept(listener, NULL, NULL)));

	/* It lives as long as one process has it open. */
	pid = my_fork(_metadata);
	if (!pid)
		_exit(close(fd[0]) || close(fd[1]));
	EXPECT_EQ(0, my_wait(pid));
	expect_exchange(_metadata, fd[0], fd[1]);
	pid = my_fork(_metadata);
	if (!pid)
		_exit(pause());
	close(fd[0]);
	EXPECT_EQ(EAGAIN, try_recv(fd[1]));
	EXPECT_EQ(-SIGKILL, my_kill(pid));
	expect_eof(_metadata, fd[1]);
}

TEST_F(type, shutdown)
{
	int fd[2], i, j, how, from, to;

	for (i = 0; i < 6; i++) {
		how = i % 3;
		make_pair(_metadata, fd, i / 3);
		expect_send(_metadata, fd[0], "there");
		expect_send(_metadata, fd[1], "back");
		ASSERT_EQ(0, shutdown(fd[0], how));
		expect_recv(_metadata, fd[1], "there");
		expect_recv(_metadata, fd[0], "back");
		/* Of the two directions, the other one may be open. */
		for (j = 0; j < 4; j++) {
			to = fd[j & 1];
			from = fd[!(j & 1)];
			if (how == (j & 1 ? SHUT_RD : SHUT_WR)) {
				EXPECT_EQ(EAGAIN, try_recv(to));
				expect_send(_metadata, from, "abc");
				expect_recv(_metadata, to, "abc");
			} else {
				expect_eof(_metadata, to);
				EXPECT_EQ(EPIPE, try_send(from));
			}
		}
		EXPECT_EQ(0, shutdown(fd[0], how));
		for (j = 0; j < 2; j++)
			EXPECT_EQ(0, shutdown(fd[j], SHUT_RDWR));
		for (j = 0; j < 2; j++)
			expect_eof(_metadata, fd[j]);
	}
}

/* What the peer of a socket that is closed is told: by recv(), or first by
 * send() or SO_ERROR
 */
TEST_F(type, close)
{
	static const struct {
		int sent, read;	/* bytes sent to it, and how many it read */
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
		make_pair(_metadata, fd, i % 6 >= 3);
		for (j = 0; j < rows[n].sent; j++)
			ASSERT_EQ(0, try_send(fd[1]));
		for (j = 0; j < rows[n].read; j++)
			ASSERT_EQ(0, try_recv(fd[0]));
		if (rows[n].last)
			expect_send(_metadata, fd[0], "last");
		close(fd[0]);

		err = rows[n].sent > rows[n].read ? ECONNRESET : 0;
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

/* A peek that is past all data returns 0, and leaves the error to recv(). */
TEST_F(type, peek_past_data_leaves_error)
{
	int fd[2], off = 0, i;
	char buf[4];

	my_connection(_metadata, fd);
	ASSERT_EQ(0, setsockopt(fd[0], SOL_SOCKET, SO_PEEK_OFF, &off,
				sizeof(off)));
	expect_send(_metadata, fd[0], "unread");
	expect_send(_metadata, fd[1], "abc");
	close(fd[1]);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(i ? 0 : 3, recv(fd[0], buf, sizeof(buf),
					  MSG_PEEK | MSG_DONTWAIT));
	expect_recv(_metadata, fd[0], "abc");
	EXPECT_EQ(ECONNRESET, try_recv(fd[0]));
	expect_eof(_metadata, fd[0]);
}

/* Each client is told once. Whether data was sent makes no difference. */
TEST_F(type, close_listener)
{
	int listener, client[3], i;
	__u32 channel;

	listener = my_listener(_metadata, 3, &channel);
	for (i = 0; i < 3; i++)
		client[i] = my_client(_metadata, channel);
	expect_send(_metadata, client[1], "unread");
	close(listener);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(ECONNRESET, try_recv(client[i]));
		expect_eof(_metadata, client[i]);
		EXPECT_EQ(EPIPE, try_send(client[i]));
	}
}

/* For each reason of EPIPE, with send() and write() */
TEST_F(type, sigpipe)
{
	int fd[2], i, reason;
	pid_t pid;

	for (reason = 0; reason < 3; reason++) {
		my_connection(_metadata, fd);
		ASSERT_EQ(0, !reason ? close(fd[1]) : reason == 1 ?
			  shutdown(fd[0], SHUT_WR) : shutdown(fd[1], SHUT_RD));
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

/* Options, ioctls, mappings and protocols that do not exist, for each type: a
 * connected socket, an unconnected one, and a listener if the type has one
 */
TEST(unknown)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	static const int opts[][2] = {
		{ SOL_SOCKET, 9999 }, { SOL_MYPROTO, 9999 }, { IPPROTO_TCP, 1 },
	};
	socklen_t len = sizeof(int);
	int fd[3], i, j, val = 1;
	__u32 channel;

	for (i = 0; i < 9; i++) {
		my_type = types[i / 3];
		my_connection(_metadata, fd);
		fd[1] = my_socket(_metadata);
		fd[2] = i == 2 || i == 5 ?
			my_listener(_metadata, 1, &channel) :
			my_socket(_metadata);
		for (j = 0; j < ARRAY_SIZE(opts); j++) {
			EXPECT_EQ(ENOPROTOOPT,
				  err_of(setsockopt(fd[i % 3], opts[j][0],
						    opts[j][1], &val, len)));
			EXPECT_EQ(ENOPROTOOPT,
				  err_of(getsockopt(fd[i % 3], opts[j][0],
						    opts[j][1], &val, &len)));
		}
		EXPECT_EQ(ENOTTY, err_of(ioctl(fd[i % 3], _IO(0, 127), &val)));
		EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED,
					   fd[i % 3], 0));
		EXPECT_EQ(ENODEV, errno);
		EXPECT_EQ(EPROTONOSUPPORT,
			  err_of(socketpair(AF_MYPROTO, my_type, 1, fd)));
	}
	EXPECT_EQ(ESOCKTNOSUPPORT,
		  err_of(socketpair(AF_MYPROTO, SOCK_RAW, 0, fd)));
}

TEST_HARNESS_MAIN
