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

/* listen() */

TEST_F(type, listen_bound)
{
	int fd = my_bound_socket(_metadata, 5000);

	EXPECT_EQ(0, listen(fd, 1));
	EXPECT_EQ(5000, my_channel(_metadata, fd));
	EXPECT_EQ(1, get_int_opt(_metadata, fd, SO_ACCEPTCONN));
}

TEST_F(pair, listen_connected_einval)
{
	EXPECT_EQ(EINVAL, err_of(listen(self->fd[0], 1)));
	EXPECT_EQ(EINVAL, err_of(listen(self->fd[1], 1)));

	/* ... and the connection is still one. */
	expect_send(_metadata, self->fd[0], "abc");
	expect_recv(_metadata, self->fd[1], "abc");
}

FIXTURE(backlog)
{
	__u32 channel;
	int listener;
};

FIXTURE_VARIANT(backlog)
{
	int type;
	int backlog;
};

FIXTURE_VARIANT_ADD(backlog, stream_of_0)
{
	.type = SOCK_STREAM,
	.backlog = 0,
};

FIXTURE_VARIANT_ADD(backlog, stream_of_5)
{
	.type = SOCK_STREAM,
	.backlog = 5,
};

FIXTURE_VARIANT_ADD(backlog, seqpacket_of_0)
{
	.type = SOCK_SEQPACKET,
	.backlog = 0,
};

FIXTURE_VARIANT_ADD(backlog, seqpacket_of_5)
{
	.type = SOCK_SEQPACKET,
	.backlog = 5,
};

FIXTURE_SETUP(backlog)
{
	my_type = variant->type;
	self->listener = my_listener(_metadata, variant->backlog,
				     &self->channel);
}

FIXTURE_TEARDOWN(backlog)
{
	close(self->listener);
}

/* errno of a connect() that does not wait */
static int try_connect(struct __test_metadata *_metadata, int *fd,
		       __u32 channel)
{
	*fd = my_socket(_metadata);
	set_nonblock(_metadata, *fd);
	return err_of(my_connect(*fd, channel));
}

TEST_F(backlog, full_nonblock_einprogress)
{
	int fd, i;

	for (i = 0; i < variant->backlog + 1; i++)
		ASSERT_EQ(0, try_connect(_metadata, &fd, self->channel));
	EXPECT_EQ(EINPROGRESS, try_connect(_metadata, &fd, self->channel));

	/* Every accept() makes room for one, who has waited for it. */
	ASSERT_LE(0, accept(self->listener, NULL, NULL));
	EXPECT_EQ(0, err_of(my_connect(fd, self->channel)));
	EXPECT_EQ(EINPROGRESS, try_connect(_metadata, &fd, self->channel));
}

TEST_F(backlog, changed_by_listen)
{
	int fd, i;

	for (i = 0; i < variant->backlog + 1; i++)
		ASSERT_EQ(0, try_connect(_metadata, &fd, self->channel));

	ASSERT_EQ(0, listen(self->listener, variant->backlog + 2));
	ASSERT_EQ(0, try_connect(_metadata, &fd, self->channel));
	ASSERT_EQ(0, try_connect(_metadata, &fd, self->channel));
	EXPECT_EQ(EINPROGRESS, try_connect(_metadata, &fd, self->channel));
	close(fd);

	/* Those that wait stay when there is room for fewer. */
	ASSERT_EQ(0, listen(self->listener, 0));
	for (i = 0; i < variant->backlog + 3; i++)
		ASSERT_LE(0, accept(self->listener, NULL, NULL));
	EXPECT_EQ(0, try_connect(_metadata, &fd, self->channel));
	EXPECT_EQ(EINPROGRESS, try_connect(_metadata, &fd, self->channel));
}

/* A client that went away waits no longer once it has been accepted. */
TEST_F(backlog, freed_by_accepting_closed)
{
	int fd, i;

	for (i = 0; i < variant->backlog + 1; i++) {
		ASSERT_EQ(0, try_connect(_metadata, &fd, self->channel));
		close(fd);
	}
	for (i = 0; i < variant->backlog + 1; i++) {
		fd = accept(self->listener, NULL, NULL);
		ASSERT_LE(0, fd);
		expect_eof(_metadata, fd);
		close(fd);
	}
	EXPECT_EQ(0, try_connect(_metadata, &fd, self->channel));
}

/* connect() */

TEST_F(type, connect_nobody_listens_econnrefused)
{
	int client, fd = my_socket(_metadata);
	__u32 channel;

	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, 5000)));
	my_bound_socket(_metadata, 5000);
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, 5000)));

	/* Nor on a socket's own channel, or that of a connected one */
	fd = my_bound_socket(_metadata, 5001);
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, 5001)));
	my_listener(_metadata, 1, &channel);
	client = my_client(_metadata, channel);
	channel = my_channel(_metadata, client);
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, channel)));
}

TEST_F(type, connect_listener_closed_econnrefused)
{
	__u32 channel;

	close(my_listener(_metadata, 1, &channel));
	EXPECT_EQ(ECONNREFUSED,
		  err_of(my_connect(my_socket(_metadata), channel)));
}

TEST_F(type, connect_listener_shutdown_econnrefused)
{
	__u32 channel;
	int listener;

	listener = my_listener(_metadata, 1, &channel);
	ASSERT_EQ(0, shutdown(listener, SHUT_RD));
	EXPECT_EQ(ECONNREFUSED,
		  err_of(my_connect(my_socket(_metadata), channel)));
}

TEST_F(type, connect_after_refused)
{
	int fd = my_bound_socket(_metadata, 5001);
	int listener;

	ASSERT_EQ(ECONNREFUSED, err_of(my_connect(fd, 5000)));
	listener = my_bound_socket(_metadata, 5000);
	ASSERT_EQ(ECONNREFUSED, err_of(my_connect(fd, 5000)));
	ASSERT_EQ(0, listen(listener, 1));
	EXPECT_EQ(0, err_of(my_connect(fd, 5000)));
	EXPECT_EQ(5001, my_channel(_metadata, fd));
}

TEST_F(type, listen_after_refused_connect)
{
	int fd = my_bound_socket(_metadata, 5001);

	ASSERT_EQ(ECONNREFUSED, err_of(my_connect(fd, 5000)));
	ASSERT_EQ(0, listen(fd, 1));
	my_client(_metadata, 5001);
}

TEST_F(pair, connect_connected_eisconn)
{
	__u32 channel;
	int listener;

	listener = my_listener(_metadata, 1, &channel);
	EXPECT_EQ(EISCONN, err_of(my_connect(self->fd[0], channel)));
	EXPECT_EQ(EISCONN, err_of(my_connect(self->fd[1], channel)));

	/* Neither left anything with the listener. */
	set_nonblock(_metadata, listener);
	EXPECT_EQ(EAGAIN, err_of(accept(listener, NULL, NULL)));
}

TEST_F(type, connect_listening_einval)
{
	__u32 channel, other;
	int fd;

	fd = my_listener(_metadata, 1, &channel);
	my_listener(_metadata, 1, &other);
	EXPECT_EQ(EINVAL, err_of(my_connect(fd, other)));
	EXPECT_EQ(EINVAL, err_of(my_connect(fd, channel)));
	my_client(_metadata, channel);
}

TEST_F(pair, connect_unspec_einval)
{
	EXPECT_EQ(EINVAL, err_of(my_dissolve(self->fd[0])));

	/* A connection is not dissolved. */
	expect_send(_metadata, self->fd[0], "abc");
	expect_recv(_metadata, self->fd[1], "abc");
}

/* Whom nobody can connect to is left as it was by those who try. */

TEST_F(pair, connect_to_connected_leaves_peer)
{
	int fd = my_socket(_metadata), i;
	__u32 channel;

	for (i = 0; i < 2; i++) {
		channel = my_channel(_metadata, self->fd[i]);
		EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, channel)));
		EXPECT_EQ(EAGAIN, try_recv(self->fd[i]));
		EXPECT_EQ(EAGAIN, try_recv(self->fd[!i]));
	}
	expect_send(_metadata, self->fd[0], "there");
	expect_recv(_metadata, self->fd[1], "there");
	expect_send(_metadata, self->fd[1], "back");
	expect_recv(_metadata, self->fd[0], "back");
	EXPECT_EQ(ENOTCONN, try_send(fd));
}

TEST_F(type, connect_to_bound_leaves_it)
{
	int fd = my_bound_socket(_metadata, 5000), server;
	int client = my_socket(_metadata);

	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(client, 5000)));
	EXPECT_EQ(ENOTCONN, try_send(fd));
	EXPECT_EQ(ENOTCONN, err_of(shutdown(fd, SHUT_RDWR)));
	EXPECT_EQ(0, get_int_opt(_metadata, fd, SO_ERROR));

	ASSERT_EQ(0, listen(fd, 1));
	set_nonblock(_metadata, fd);
	EXPECT_EQ(EAGAIN, err_of(accept(fd, NULL, NULL)));
	ASSERT_EQ(0, my_connect(client, 5000));
	server = accept(fd, NULL, NULL);
	ASSERT_LE(0, server);
	expect_send(_metadata, client, "abc");
	expect_recv(_metadata, server, "abc");
}

TEST_F(type, connect_to_shutdown_listener_leaves_others)
{
	int listener, client[2], server[2], fd = my_socket(_metadata), i;
	__u32 channel;

	listener = my_listener(_metadata, 2, &channel);
	for (i = 0; i < 2; i++)
		client[i] = my_client(_metadata, channel);
	server[0] = accept(listener, NULL, NULL);
	ASSERT_LE(0, server[0]);
	ASSERT_EQ(0, shutdown(listener, SHUT_RD));
	EXPECT_EQ(ECONNREFUSED, err_of(my_connect(fd, channel)));

	/* Neither the one accepted before nor the one that waited */
	server[1] = accept(listener, NULL, NULL);
	ASSERT_LE(0, server[1]);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(EAGAIN, try_recv(client[i]));
		EXPECT_EQ(EAGAIN, try_recv(server[i]));
		expect_send(_metadata, client[i], "there");
		expect_recv(_metadata, server[i], "there");
		expect_send(_metadata, server[i], "back");
		expect_recv(_metadata, client[i], "back");
	}
	EXPECT_EQ(EINVAL, err_of(accept(listener, NULL, NULL)));
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
	server = accept(listener, NULL, NULL);
	ASSERT_LE(0, server);
	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len));
	EXPECT_EQ(getpid(), cred.pid);
	EXPECT_EQ(getuid(), cred.uid);
	EXPECT_EQ(getgid(), cred.gid);

	close(listener);
	close(fd);
	close(server);
	EXPECT_EQ(0, sockets_settle_at(0));
}

/* accept() */

TEST_F(type, accept_unbound_einval)
{
	EXPECT_EQ(EINVAL, err_of(accept(my_socket(_metadata), NULL, NULL)));
}

TEST_F(type, accept_not_listening_einval)
{
	int fd = my_bound_socket(_metadata, 5000);

	EXPECT_EQ(EINVAL, err_of(accept(fd, NULL, NULL)));
}

TEST_F(pair, accept_connected_einval)
{
	EXPECT_EQ(EINVAL, err_of(accept(self->fd[0], NULL, NULL)));
	EXPECT_EQ(EINVAL, err_of(accept(self->fd[1], NULL, NULL)));
}

TEST_F(type, accept_none_waiting_eagain)
{
	__u32 channel;
	int listener;

	listener = my_listener(_metadata, 1, &channel);
	set_nonblock(_metadata, listener);
	EXPECT_EQ(EAGAIN, err_of(accept(listener, NULL, NULL)));
	my_client(_metadata, channel);
	EXPECT_LE(0, accept(listener, NULL, NULL));
	EXPECT_EQ(EAGAIN, err_of(accept(listener, NULL, NULL)));
}

TEST_F(type, accept_after_shutdown_einval)
{
	__u32 channel;
	int listener;

	listener = my_listener(_metadata, 1, &channel);
	ASSERT_EQ(0, shutdown(listener, SHUT_RD));
	EXPECT_EQ(EINVAL, err_of(accept(listener, NULL, NULL)));
}

TEST_F(type, accept4_flags)
{
	int listener, fd, i;
	__u32 channel;

	listener = my_listener(_metadata, 2, &channel);
	for (i = 0; i < 2; i++)
		my_client(_metadata, channel);

	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
	EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);

	/* O_NONBLOCK of the listener is not inherited. */
	set_nonblock(_metadata, listener);
	fd = accept4(listener, NULL, NULL, 0);
	ASSERT_LE(0, fd);
	EXPECT_FALSE(fcntl(fd, F_GETFL) & O_NONBLOCK);
	EXPECT_FALSE(fcntl(fd, F_GETFD) & FD_CLOEXEC);

	EXPECT_EQ(EINVAL, err_of(accept4(listener, NULL, NULL, 1)));
}

TEST_F(type, accept_address)
{
	struct sockaddr_my addr = {};
	int listener, client, fd;
	socklen_t len;
	__u32 channel;

	listener = my_listener(_metadata, 2, &channel);
	client = my_client(_metadata, channel);
	len = sizeof(addr);
	ASSERT_LE(0, accept(listener, (struct sockaddr *)&addr, &len));
	EXPECT_EQ(sizeof(addr), len);
	EXPECT_EQ(AF_MYPROTO, addr.smy_family);
	EXPECT_EQ(my_channel(_metadata, client), addr.smy_channel);

	client = my_bound_socket(_metadata, 5001);
	ASSERT_EQ(0, my_connect(client, channel));
	len = sizeof(addr);
	fd = accept(listener, (struct sockaddr *)&addr, &len);
	ASSERT_LE(0, fd);
	EXPECT_EQ(5001U, addr.smy_channel);
	EXPECT_EQ(5001, my_peer(_metadata, fd));
}

/* The client may be gone: accept() still tells who it was. */
TEST_F(type, accept_address_of_closed_client)
{
	int listener, client = my_bound_socket(_metadata, 5001);
	struct sockaddr_my addr = {};
	socklen_t len = sizeof(addr);
	__u32 channel;

	listener = my_listener(_metadata, 1, &channel);
	ASSERT_EQ(0, my_connect(client, channel));
	close(client);
	ASSERT_LE(0, accept(listener, (struct sockaddr *)&addr, &len));
	EXPECT_EQ(5001U, addr.smy_channel);
}

TEST_F(type, accept_in_order)
{
	int listener, client[5], fd;
	__u32 channel;
	size_t i;

	listener = my_listener(_metadata, ARRAY_SIZE(client), &channel);
	for (i = 0; i < ARRAY_SIZE(client); i++)
		client[i] = my_client(_metadata, channel);
	for (i = 0; i < ARRAY_SIZE(client); i++) {
		fd = accept(listener, NULL, NULL);
		ASSERT_LE(0, fd);
		EXPECT_EQ(my_channel(_metadata, client[i]),
			  my_peer(_metadata, fd));
	}
}

TEST_F(type, accepted_socket_properties)
{
	int fd[2];

	my_connection(_metadata, fd);
	EXPECT_EQ(AF_MYPROTO, get_int_opt(_metadata, fd[1], SO_DOMAIN));
	EXPECT_EQ(my_type, get_int_opt(_metadata, fd[1], SO_TYPE));
	EXPECT_EQ(0, get_int_opt(_metadata, fd[1], SO_ACCEPTCONN));
	EXPECT_EQ(0, get_int_opt(_metadata, fd[1], SO_ERROR));
}

/* A client need not wait for accept(): the listener has completed it. */
TEST_F(type, data_before_accept)
{
	int listener, client, server;
	__u32 channel;

	listener = my_listener(_metadata, 1, &channel);
	client = my_client(_metadata, channel);
	expect_send(_metadata, client, "early");

	server = accept(listener, NULL, NULL);
	ASSERT_LE(0, server);
	expect_recv(_metadata, server, "early");
	expect_send(_metadata, server, "answer");
	expect_recv(_metadata, client, "answer");
}

TEST_F(type, data_and_close_before_accept)
{
	int listener, client, server;
	__u32 channel;

	listener = my_listener(_metadata, 1, &channel);
	client = my_client(_metadata, channel);
	expect_send(_metadata, client, "early");
	close(client);

	server = accept(listener, NULL, NULL);
	ASSERT_LE(0, server);
	expect_recv(_metadata, server, "early");
	expect_eof(_metadata, server);
	EXPECT_EQ(EPIPE, try_send(server));
}

TEST_F(type, connection_outlives_listener)
{
	int listener, client, server;
	__u32 channel;

	listener = my_listener(_metadata, 1, &channel);
	client = my_client(_metadata, channel);
	server = accept(listener, NULL, NULL);
	ASSERT_LE(0, server);
	ASSERT_EQ(0, shutdown(listener, SHUT_RDWR));
	close(listener);

	expect_send(_metadata, client, "abc");
	expect_recv(_metadata, server, "abc");
}

/* socketpair() */

TEST_F(type, socketpair_both_ways)
{
	int fd[2];

	my_socketpair(_metadata, fd);
	expect_send(_metadata, fd[0], "there");
	expect_recv(_metadata, fd[1], "there");
	expect_send(_metadata, fd[1], "back");
	expect_recv(_metadata, fd[0], "back");
}

TEST_F(type, socketpair_shutdown_and_close)
{
	int fd[2];

	my_socketpair(_metadata, fd);
	ASSERT_EQ(0, shutdown(fd[0], SHUT_WR));
	expect_eof(_metadata, fd[1]);
	EXPECT_EQ(EPIPE, try_send(fd[0]));
	expect_send(_metadata, fd[1], "unread");
	close(fd[0]);
	EXPECT_EQ(ECONNRESET, try_recv(fd[1]));
	EXPECT_EQ(EPIPE, try_send(fd[1]));
}

/* Each end is a connected socket like another. */
TEST_F(type, socketpair_connect_eisconn)
{
	__u32 channel;
	int fd[2];

	my_socketpair(_metadata, fd);
	my_listener(_metadata, 1, &channel);
	EXPECT_EQ(EISCONN, err_of(my_connect(fd[0], channel)));
	EXPECT_EQ(EINVAL, err_of(listen(fd[0], 1)));
	EXPECT_EQ(EINVAL, err_of(accept(fd[0], NULL, NULL)));
}

TEST_F(type, socketpair_protocol_eprotonosupport)
{
	int fd[2];

	EXPECT_EQ(ESOCKTNOSUPPORT,
		  err_of(socketpair(AF_MYPROTO, SOCK_RAW, 0, fd)));
	EXPECT_EQ(EPROTONOSUPPORT,
		  err_of(socketpair(AF_MYPROTO, my_type, 1, fd)));
}

/* shutdown() */

TEST_F(type, shutdown_unconnected_enotconn)
{
	int fd = my_socket(_metadata);

	EXPECT_EQ(ENOTCONN, err_of(shutdown(fd, SHUT_RD)));
	EXPECT_EQ(ENOTCONN, err_of(shutdown(fd, SHUT_WR)));
	EXPECT_EQ(ENOTCONN, err_of(shutdown(fd, SHUT_RDWR)));
	ASSERT_EQ(0, my_bind(fd, 5000));
	EXPECT_EQ(ENOTCONN, err_of(shutdown(fd, SHUT_RDWR)));
}

TEST_F(pair, shutdown_bad_how_einval)
{
	EXPECT_EQ(EINVAL, err_of(shutdown(self->fd[0], 3)));
	EXPECT_EQ(EINVAL, err_of(shutdown(self->fd[0], -1)));
	EXPECT_EQ(0, try_send(self->fd[0]));
	EXPECT_EQ(0, try_recv(self->fd[1]));
}

TEST_F(pair, shutdown_wr_peer_reads_then_eof)
{
	expect_send(_metadata, self->fd[0], "last");
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_WR));
	expect_recv(_metadata, self->fd[1], "last");
	expect_eof(_metadata, self->fd[1]);
	expect_eof(_metadata, self->fd[1]);
}

TEST_F(pair, shutdown_wr_own_send_epipe)
{
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_WR));
	EXPECT_EQ(EPIPE, try_send(self->fd[0]));
	EXPECT_EQ(EPIPE, try_send(self->fd[0]));
}

TEST_F(pair, shutdown_wr_other_direction_open)
{
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_WR));
	expect_send(_metadata, self->fd[1], "abc");
	expect_recv(_metadata, self->fd[0], "abc");
	EXPECT_EQ(EAGAIN, try_recv(self->fd[0]));
}

TEST_F(pair, shutdown_rd_reads_queued_then_eof)
{
	expect_send(_metadata, self->fd[1], "queued");
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_RD));
	expect_recv(_metadata, self->fd[0], "queued");
	expect_eof(_metadata, self->fd[0]);
}

TEST_F(pair, shutdown_rd_peer_send_epipe)
{
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_RD));
	EXPECT_EQ(EPIPE, try_send(self->fd[1]));
	expect_eof(_metadata, self->fd[0]);
}

TEST_F(pair, shutdown_rd_other_direction_open)
{
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_RD));
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

TEST_F(pair, shutdown_twice)
{
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_WR));
	EXPECT_EQ(0, shutdown(self->fd[0], SHUT_WR));
	EXPECT_EQ(0, shutdown(self->fd[0], SHUT_RDWR));
	EXPECT_EQ(0, shutdown(self->fd[1], SHUT_RDWR));
	expect_eof(_metadata, self->fd[0]);
	expect_eof(_metadata, self->fd[1]);
}

/* close() */

TEST_F(pair, close_peer_reads_then_eof)
{
	expect_send(_metadata, self->fd[0], "last");
	close_end(&self->fd[0]);
	expect_recv(_metadata, self->fd[1], "last");
	expect_eof(_metadata, self->fd[1]);
	expect_eof(_metadata, self->fd[1]);
}

TEST_F(pair, close_peer_send_epipe)
{
	close_end(&self->fd[0]);
	EXPECT_EQ(EPIPE, try_send(self->fd[1]));
	expect_eof(_metadata, self->fd[1]);
}

TEST_F(pair, close_with_unread_peer_econnreset_once)
{
	expect_send(_metadata, self->fd[1], "unread");
	close_end(&self->fd[0]);
	EXPECT_EQ(ECONNRESET, try_recv(self->fd[1]));
	expect_eof(_metadata, self->fd[1]);
	expect_eof(_metadata, self->fd[1]);
}

TEST_F(pair, close_with_partly_unread_peer_econnreset)
{
	expect_send(_metadata, self->fd[1], "r");
	expect_send(_metadata, self->fd[1], "unread");
	EXPECT_EQ(0, try_recv(self->fd[0]));
	close_end(&self->fd[0]);
	EXPECT_EQ(ECONNRESET, try_recv(self->fd[1]));
	expect_eof(_metadata, self->fd[1]);
}

TEST_F(pair, close_with_all_read_peer_eof)
{
	expect_send(_metadata, self->fd[1], "abc");
	expect_recv(_metadata, self->fd[0], "abc");
	close_end(&self->fd[0]);
	expect_eof(_metadata, self->fd[1]);
}

TEST_F(pair, close_with_unread_peer_reads_own_queue_first)
{
	expect_send(_metadata, self->fd[1], "unread");
	expect_send(_metadata, self->fd[0], "last");
	close_end(&self->fd[0]);
	expect_recv(_metadata, self->fd[1], "last");
	EXPECT_EQ(ECONNRESET, try_recv(self->fd[1]));
	expect_eof(_metadata, self->fd[1]);
}

TEST_F(pair, close_with_unread_peer_send_epipe)
{
	expect_send(_metadata, self->fd[1], "unread");
	close_end(&self->fd[0]);
	EXPECT_EQ(EPIPE, try_send(self->fd[1]));
}

TEST_F(pair, close_with_unread_so_error_econnreset_once)
{
	expect_send(_metadata, self->fd[1], "unread");
	close_end(&self->fd[0]);
	EXPECT_EQ(ECONNRESET, get_int_opt(_metadata, self->fd[1], SO_ERROR));
	EXPECT_EQ(0, get_int_opt(_metadata, self->fd[1], SO_ERROR));
	expect_eof(_metadata, self->fd[1]);
}

/* What is told after the data is not told to a peek that has passed it over. */
TEST_F(type, peek_past_data_leaves_error)
{
	int fd[2], off = 0;
	char buf[4];

	my_connection(_metadata, fd);
	ASSERT_EQ(0, setsockopt(fd[0], SOL_SOCKET, SO_PEEK_OFF, &off,
				sizeof(off)));
	expect_send(_metadata, fd[0], "unread");
	expect_send(_metadata, fd[1], "abc");
	ASSERT_EQ(0, close(fd[1]));
	EXPECT_EQ(3, recv(fd[0], buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT));
	EXPECT_EQ(0, recv(fd[0], buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT));
	expect_recv(_metadata, fd[0], "abc");
	EXPECT_EQ(ECONNRESET, try_recv(fd[0]));
	expect_eof(_metadata, fd[0]);
	close(fd[0]);
}

TEST_F(type, close_listener_clients_econnreset_once)
{
	int listener, client[3];
	__u32 channel;
	size_t i;

	listener = my_listener(_metadata, ARRAY_SIZE(client), &channel);
	for (i = 0; i < ARRAY_SIZE(client); i++)
		client[i] = my_client(_metadata, channel);
	/* Whether data was sent makes no difference. */
	expect_send(_metadata, client[1], "unread");

	close(listener);
	for (i = 0; i < ARRAY_SIZE(client); i++) {
		EXPECT_EQ(ECONNRESET, try_recv(client[i]));
		expect_eof(_metadata, client[i]);
		EXPECT_EQ(EPIPE, try_send(client[i]));
	}
}

/* A connection lives as long as one process has it open. */
TEST_F(pair, close_in_child_keeps_connection)
{
	pid_t pid = my_fork(_metadata);

	if (!pid)
		_exit(close(self->fd[0]) || close(self->fd[1]));
	EXPECT_EQ(0, my_wait(pid));
	expect_send(_metadata, self->fd[0], "abc");
	expect_recv(_metadata, self->fd[1], "abc");
}

TEST_F(pair, close_by_death_of_process)
{
	pid_t pid = my_fork(_metadata);

	if (!pid) {
		pause();
		_exit(0);
	}
	close_end(&self->fd[0]);
	EXPECT_EQ(EAGAIN, try_recv(self->fd[1]));
	EXPECT_EQ(-SIGKILL, my_kill(pid));
	expect_eof(_metadata, self->fd[1]);
}

/* SIGPIPE, for each reason of an EPIPE and each way to send */

FIXTURE(sigpipe)
{
	int fd[2];
};

FIXTURE_VARIANT(sigpipe)
{
	int type;
	int shutdown;	/* -1: the peer closes */
	int end;	/* who calls shutdown() */
};

FIXTURE_VARIANT_ADD(sigpipe, stream_own_shutdown_wr)
{
	.type = SOCK_STREAM,
	.shutdown = SHUT_WR,
	.end = 0,
};

FIXTURE_VARIANT_ADD(sigpipe, stream_peer_shutdown_rd)
{
	.type = SOCK_STREAM,
	.shutdown = SHUT_RD,
	.end = 1,
};

FIXTURE_VARIANT_ADD(sigpipe, stream_peer_closed)
{
	.type = SOCK_STREAM,
	.shutdown = -1,
};

FIXTURE_VARIANT_ADD(sigpipe, seqpacket_own_shutdown_wr)
{
	.type = SOCK_SEQPACKET,
	.shutdown = SHUT_WR,
	.end = 0,
};

FIXTURE_VARIANT_ADD(sigpipe, seqpacket_peer_shutdown_rd)
{
	.type = SOCK_SEQPACKET,
	.shutdown = SHUT_RD,
	.end = 1,
};

FIXTURE_VARIANT_ADD(sigpipe, seqpacket_peer_closed)
{
	.type = SOCK_SEQPACKET,
	.shutdown = -1,
};

FIXTURE_SETUP(sigpipe)
{
	my_type = variant->type;
	my_connection(_metadata, self->fd);
	if (variant->shutdown < 0)
		close_end(&self->fd[1]);
	else
		ASSERT_EQ(0, shutdown(self->fd[variant->end],
				      variant->shutdown));
}

FIXTURE_TEARDOWN(sigpipe)
{
	close(self->fd[0]);
	close(self->fd[1]);
}

TEST_F_SIGNAL(sigpipe, send, SIGPIPE)
{
	if (send(self->fd[0], "x", 1, 0) > 0)
		TH_LOG("send() succeeded");
}

TEST_F(sigpipe, epipe)
{
	EXPECT_EQ(EPIPE, err_of(send(self->fd[0], "x", 1, MSG_NOSIGNAL)));
	signal(SIGPIPE, SIG_IGN);
	EXPECT_EQ(EPIPE, err_of(write(self->fd[0], "x", 1)));
}

/* Options and ioctls that do not exist, on each kind of socket */

FIXTURE(unknown)
{
	int fd;
};

FIXTURE_VARIANT(unknown)
{
	int type;
	bool listening;
	bool connected;
};

FIXTURE_VARIANT_ADD(unknown, stream_unconnected)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(unknown, stream_listening)
{
	.type = SOCK_STREAM,
	.listening = true,
};

FIXTURE_VARIANT_ADD(unknown, stream_connected)
{
	.type = SOCK_STREAM,
	.connected = true,
};

FIXTURE_VARIANT_ADD(unknown, seqpacket_unconnected)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(unknown, seqpacket_listening)
{
	.type = SOCK_SEQPACKET,
	.listening = true,
};

FIXTURE_VARIANT_ADD(unknown, seqpacket_connected)
{
	.type = SOCK_SEQPACKET,
	.connected = true,
};

FIXTURE_VARIANT_ADD(unknown, dgram_unconnected)
{
	.type = SOCK_DGRAM,
};

FIXTURE_VARIANT_ADD(unknown, dgram_connected)
{
	.type = SOCK_DGRAM,
	.connected = true,
};

FIXTURE_SETUP(unknown)
{
	__u32 channel;
	int fd[2];

	my_type = variant->type;
	if (variant->connected) {
		my_connection(_metadata, fd);
		self->fd = fd[0];
	} else if (variant->listening) {
		self->fd = my_listener(_metadata, 1, &channel);
	} else {
		self->fd = my_socket(_metadata);
	}
}

FIXTURE_TEARDOWN(unknown)
{
	close(self->fd);
}

static int set_err(int fd, int level, int opt)
{
	int val = 1;

	return err_of(setsockopt(fd, level, opt, &val, sizeof(val)));
}

static int get_err(int fd, int level, int opt)
{
	socklen_t len = sizeof(int);
	int val;

	return err_of(getsockopt(fd, level, opt, &val, &len));
}

TEST_F(unknown, option_enoprotoopt)
{
	EXPECT_EQ(ENOPROTOOPT, set_err(self->fd, SOL_SOCKET, 9999));
	EXPECT_EQ(ENOPROTOOPT, get_err(self->fd, SOL_SOCKET, 9999));
	EXPECT_EQ(ENOPROTOOPT, set_err(self->fd, SOL_MYPROTO, 9999));
	EXPECT_EQ(ENOPROTOOPT, get_err(self->fd, SOL_MYPROTO, 9999));
	EXPECT_EQ(ENOPROTOOPT, set_err(self->fd, IPPROTO_TCP, 1));
	EXPECT_EQ(ENOPROTOOPT, get_err(self->fd, IPPROTO_TCP, 1));
}

TEST_F(unknown, ioctl_enotty_and_mmap_enodev)
{
	int val = 0;
	void *p;

	EXPECT_EQ(ENOTTY, err_of(ioctl(self->fd, _IO('M', 0x7f), &val)));
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->fd, 0);
	EXPECT_EQ(MAP_FAILED, p);
	EXPECT_EQ(ENODEV, errno);
}

int main(int argc, char **argv)
{
	return my_test_main(argc, argv);
}
