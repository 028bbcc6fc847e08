// SPDX-License-Identifier: GPL-2.0
/*
 * AF_MYPROTO connections: listen(), connect(), accept(), socketpair(),
 * shutdown() and close(), and what each of them refuses. Unless a test says
 * otherwise it runs for STREAM and SEQPACKET.
 */
#include "link.h"
#include "type.h"

#define EOF_EVENTS	(POLLIN | POLLRDHUP | POLLOUT)
#define HUP_EVENTS	(EOF_EVENTS | POLLHUP)

/* Beyond the backlog connect() waits. accept() takes the clients in order, with
 * what they have sent. One that is closed keeps its place, and its name.
 */
TEST_F(type, backlog)
{
	int listener, client[6], server, fd = my_socket(_metadata), i;
	__u32 channel;

	listener = my_listener(_metadata, 5, &channel);
	for (i = 0; i < 6; i++) {
		client[i] = my_bound_socket(_metadata, 5000 + i);
		ASSERT_EQ(0, my_connect(client[i], channel));
		expect_send(_metadata, client[i], "early");
	}
	close(client[1]);
	set_nonblock(_metadata, fd);
	EXPECT_EQ(EINPROGRESS, err_of(my_connect(fd, channel)));
	for (i = 0; i < 6; i++) {
		server = my_accept(_metadata, listener);
		EXPECT_EQ(5000 + i, my_peer(_metadata, server));
		expect_recv(_metadata, server, "early");
		if (i == 1)
			expect_eof(_metadata, server);
		else
			expect_exchange(_metadata, client[i], server);
	}
	EXPECT_EQ(0, err_of(my_connect(fd, channel)));
	for (i = 0; i < 5; i++)
		my_client(_metadata, channel);
	expect_exchange(_metadata, fd, my_accept(_metadata, listener));
}

static void expect_enotconn(struct __test_metadata *_metadata, int fd)
{
	EXPECT_EQ(ENOTCONN, try_send(fd));
	EXPECT_EQ(ENOTCONN, try_recv(fd));
}

/* listen() binds to MYPROTO_CHANNEL_DEFAULT. connect() to channel 0 fails: an
 * address that was not filled in reaches nobody.
 */
TEST_F(type, not_connected)
{
	int fd = my_socket(_metadata), service, i;
	__u32 other;

	my_listener(_metadata, 1, &other);
	service = my_bound_socket(_metadata, MYPROTO_CHANNEL_DEFAULT);
	EXPECT_EQ(EADDRINUSE, err_of(listen(fd, 1)));
	EXPECT_EQ(EINVAL, err_of(my_connect(fd, MYPROTO_CHANNEL_ANY)));
	EXPECT_EQ(0, my_channel(_metadata, fd));
	EXPECT_EQ(EINVAL, err_of(accept(fd, NULL, NULL)));
	EXPECT_EQ(ENOTCONN, err_of(shutdown(fd, SHUT_RDWR)));
	EXPECT_EQ(EOPNOTSUPP, err_of(my_sendto(fd, other, "x", 1, 0)));
	expect_enotconn(_metadata, fd);

	close(service);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, listen(fd, 1));
	EXPECT_EQ(MYPROTO_CHANNEL_DEFAULT, my_channel(_metadata, fd));
	EXPECT_EQ(1, get_int_opt(_metadata, fd, SO_ACCEPTCONN));
	expect_enotconn(_metadata, fd);
	EXPECT_EQ(EINVAL, err_of(my_connect(fd, other)));
	EXPECT_EQ(EINVAL, err_of(my_dissolve(fd)));
	my_client(_metadata, MYPROTO_CHANNEL_DEFAULT);
}

/* A socket that was refused can try again or listen. A socket that does not
 * listen is not affected by the attempt.
 */
TEST_F(type, connect_refused)
{
	int fd = my_bound_socket(_metadata, 5001), bound, end[2], i;
	__u32 channel[] = { 5000, 5001, 5002, 0 };

	/* Nobody, its own channel, one that is only bound, a connected one */
	bound = my_bound_socket(_metadata, 5002);
	my_connection(_metadata, end);
	channel[3] = my_channel(_metadata, end[0]);
	for (i = 0; i < ARRAY_SIZE(channel); i++)
		EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, channel[i])));
	expect_exchange(_metadata, end[0], end[1]);
	expect_enotconn(_metadata, fd);
	expect_enotconn(_metadata, bound);
	EXPECT_EQ(0, get_int_opt(_metadata, bound, SO_ERROR));

	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(bound, 5000)));
	ASSERT_EQ(0, listen(bound, 1));
	set_nonblock(_metadata, bound);
	EXPECT_EQ(EAGAIN, err_of(accept(bound, NULL, NULL)));
	ASSERT_EQ(0, err_of(my_connect(fd, 5002)));
	EXPECT_EQ(5001, my_channel(_metadata, fd));
	expect_exchange(_metadata, fd, my_accept(_metadata, bound));
}

/* Neither those accepted before nor those that wait are refused. They do not
 * hold the channel when the listener is closed.
 */
TEST_F(type, shutdown_listener)
{
	int listener, client[2], server[2], fd = my_socket(_metadata), i, j;
	__u32 channel;

	listener = my_listener(_metadata, 2, &channel);
	for (i = 0; i < 2; i++)
		client[i] = my_client(_metadata, channel);
	server[0] = my_accept(_metadata, listener);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, shutdown(listener, i ? SHUT_RDWR : SHUT_RD));
		EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, channel)));
	}
	/* Nothing is left of who was refused. */
	EXPECT_EQ(6, sockets_in_use());
	server[1] = my_accept(_metadata, listener);
	EXPECT_EQ(EINVAL, err_of(accept(listener, NULL, NULL)));
	for (i = 0; i < 2; i++) {
		for (j = 0; j < 2; j++)
			expect_exchange(_metadata, client[j], server[j]);
		close(listener);
	}
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, channel)));
	ASSERT_EQ(0, listen(my_bound_socket(_metadata, channel), 2));
	EXPECT_EQ(channel, my_channel(_metadata, server[0]));
	EXPECT_EQ(channel, my_peer(_metadata, client[0]));
	/* ... and closing one does not take it away. */
	close(server[0]);
	ASSERT_EQ(0, my_connect(fd, channel));
}

/* The new socket gets the listener's filter. Without memory for that connect()
 * fails, and frees the new socket, but nothing that belongs to the listener.
 */
TEST_F(type, connect_fails_without_memory_for_options)
{
	int listener, fd = my_socket(_metadata), i;
	__u32 channel;

	if (!has_sysctls())
		SKIP(return, "no sysctls");
	listener = my_listener(_metadata, 1, &channel);
	ASSERT_EQ(0, my_filter(listener, ~0U));

	ASSERT_EQ(0, sysctl_set("../core/optmem_max", "0"));
	for (i = 0; i < 100; i++)
		ASSERT_EQ(ENOMEM, err_of(my_connect(fd, channel)));
	ASSERT_EQ(0, sysctl_set("../core/optmem_max", "100000"));

	ASSERT_EQ(0, my_connect(fd, channel));
	EXPECT_EQ(getpid(), my_peercred(_metadata, fd).pid);
	close(listener);
	close(fd);
	EXPECT_EQ(0, sockets_settle_at(0));
}

/* The accepted socket has the options that the listener had at connect(). */
TEST_F(type, inherits)
{
	static const int opts[][2] = {
		{ SO_SNDBUF, 20000 }, { SO_RCVBUF, 30000 }, { SO_RCVLOWAT, 7 },
		{ SO_PASSCRED, 1 }, { SO_TIMESTAMP, 1 },
	};
	int listener, client, fd, want[ARRAY_SIZE(opts)], i;
	__u32 channel;
	char c;

	listener = my_listener(_metadata, 1, &channel);
	set_timeout(_metadata, listener, SO_RCVTIMEO, 1);
	for (i = 0; i < ARRAY_SIZE(opts); i++) {
		set_int_opt(_metadata, listener, opts[i][0], opts[i][1]);
		want[i] = get_int_opt(_metadata, listener, opts[i][0]);
	}
	client = my_client(_metadata, channel);
	for (i = 0; i < ARRAY_SIZE(opts); i++)
		set_int_opt(_metadata, listener, opts[i][0], 0);
	fd = my_accept(_metadata, listener);
	for (i = 0; i < ARRAY_SIZE(opts); i++) {
		EXPECT_EQ(want[i], get_int_opt(_metadata, fd, opts[i][0]));
		EXPECT_NE(want[i], get_int_opt(_metadata, client, opts[i][0]));
	}
	EXPECT_EQ(EAGAIN, err_of(recv(fd, &c, 1, 0)));
}

/* Both ends, of a listener and of socketpair() */
TEST_F(type, connected)
{
	int listener, fd[4], i;
	__u32 channel;

	listener = my_listener(_metadata, 1, &channel);
	set_nonblock(_metadata, listener);
	my_connection(_metadata, &fd[0]);
	my_socketpair(_metadata, &fd[2]);
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(EISCONN, err_of(my_connect(fd[i], channel)));
		EXPECT_EQ(EINVAL, err_of(my_dissolve(fd[i])));
		EXPECT_EQ(EINVAL, err_of(listen(fd[i], 1)));
		EXPECT_EQ(EINVAL, err_of(accept(fd[i], NULL, NULL)));
		EXPECT_EQ(EINVAL, err_of(shutdown(fd[i], SHUT_RDWR + 1)));
		EXPECT_EQ(EINVAL, err_of(shutdown(fd[i], SHUT_RD - 1)));
		expect_exchange(_metadata, fd[i], fd[i ^ 1]);
	}
	EXPECT_EQ(EAGAIN, err_of(accept(listener, NULL, NULL)));
}

TEST_F(type, shutdown)
{
	static const int events[][2] = {
		[SHUT_RD] = { EOF_EVENTS, POLLOUT },
		[SHUT_WR] = { POLLOUT, EOF_EVENTS },
		[SHUT_RDWR] = { HUP_EVENTS, HUP_EVENTS },
	};
	int fd[2], i, how;

	for (how = SHUT_RD; how <= SHUT_RDWR; how++) {
		my_connection(_metadata, fd);
		expect_send(_metadata, fd[0], "there");
		expect_send(_metadata, fd[1], "back");
		ASSERT_EQ(0, shutdown(fd[0], how));
		expect_recv(_metadata, fd[1], "there");
		expect_recv(_metadata, fd[0], "back");
		/* Of the two directions, the other one may be open. */
		for (i = 0; i < 2; i++) {
			EXPECT_EQ(events[how][i], poll_now(fd[i]));
			if (how == (i ? SHUT_RD : SHUT_WR)) {
				EXPECT_EQ(EAGAIN, try_recv(fd[i]));
				expect_send(_metadata, fd[!i], "abc");
				expect_recv(_metadata, fd[i], "abc");
			} else {
				expect_eof(_metadata, fd[i]);
				EXPECT_EQ(EPIPE, try_send(fd[!i]));
			}
		}
		EXPECT_EQ(0, shutdown(fd[0], how));
		EXPECT_EQ(0, shutdown(fd[1], SHUT_RDWR));
		for (i = 0; i < 2; i++)
			EXPECT_EQ(HUP_EVENTS, poll_now(fd[i]));
	}
}

/* What the peer of a socket that is closed is told: by recv(), or first by
 * send() or SO_ERROR. There is an error if the socket had unread data. A peek
 * that is past all data returns 0, and leaves the error to recv().
 */
TEST_F(type, close)
{
	enum { BY_RECV, BY_SEND, BY_SO_ERROR, BY_PEEK } by;
	int fd[2], i, j, err;
	char buf[8];

	/* Only a send without MSG_NOSIGNAL raises it. */
	signal(SIGPIPE, SIG_DFL);
	for (i = 0; i < 8; i++) {
		by = i % 4;
		err = i < 4 ? 0 : ECONNRESET;
		my_connection(_metadata, fd);
		for (j = 0; j < 2; j++)
			ASSERT_EQ(0, try_send(fd[1]));
		for (j = err ? 1 : 0; j < 2; j++)
			ASSERT_EQ(0, try_recv(fd[0]));
		expect_send(_metadata, fd[0], "last");
		close(fd[0]);

		EXPECT_EQ(HUP_EVENTS | (err ? POLLERR : 0), poll_now(fd[1]));
		if (by == BY_SEND)
			EXPECT_EQ(EPIPE, try_send(fd[1]));
		if (by == BY_SO_ERROR) {
			EXPECT_EQ(err, get_int_opt(_metadata, fd[1], SO_ERROR));
			EXPECT_EQ(0, get_int_opt(_metadata, fd[1], SO_ERROR));
			err = 0;
		}
		if (by == BY_PEEK)
			set_int_opt(_metadata, fd[1], SO_PEEK_OFF, 0);
		for (j = 0; by == BY_PEEK && j < 2; j++)
			EXPECT_EQ(j ? 0 : 4, recv(fd[1], buf, sizeof(buf),
						  MSG_PEEK | MSG_DONTWAIT));
		expect_recv(_metadata, fd[1], "last");
		/* Once */
		if (err)
			EXPECT_EQ(err, try_recv(fd[1]));
		expect_eof(_metadata, fd[1]);
		EXPECT_EQ(HUP_EVENTS, poll_now(fd[1]));
		EXPECT_EQ(EPIPE, try_send(fd[1]));
		ASSERT_TRUE(__test_passed(_metadata)) TH_LOG("round %d", i);
	}
	EXPECT_EQ(-SIGPIPE, in_child(send(fd[1], "x", 1, 0)));
}

/* Each client is told once. Whether data was sent makes no difference. */
TEST_F(type, close_listener)
{
	int listener, client[2], i;
	__u32 channel;

	listener = my_listener(_metadata, 2, &channel);
	for (i = 0; i < 2; i++)
		client[i] = my_client(_metadata, channel);
	expect_send(_metadata, client[1], "unread");
	close(listener);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(HUP_EVENTS | POLLERR, poll_now(client[i]));
		EXPECT_EQ(ECONNRESET, try_recv(client[i]));
		expect_eof(_metadata, client[i]);
		EXPECT_EQ(EPIPE, try_send(client[i]));
	}
}

TEST_HARNESS_MAIN
