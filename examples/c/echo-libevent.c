// SPDX-License-Identifier: GPL-2.0
/*
 * Echo over AF_MYPROTO with libevent, which knows nothing of the family:
 * bufferevents and evconnlistener for streams, plain events for messages,
 * whose boundaries a bufferevent would lose.
 *
 * With the headers of the patched kernel (make headers there):
 *	gcc -O2 -Wall -isystem /path/to/linux/usr/include -o echo-c echo-libevent.c -levent -pthread
 * and then, in that kernel:
 *	./echo-c server stream 4711 &
 *	./echo-c client stream 4711 hello world
 *	./echo-c check
 * The types are stream, seqpacket and dgram. check shows what the sockets do.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <linux/myproto.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LONGEST	(512 * 1024)	/* no message is longer */
#define MANY	(1024 * 1024)	/* of answers that a client has not read */

static const struct timeval five_seconds = { 5, 0 }, tenth = { 0, 100000 };
static struct event_base *base;

static struct sockaddr_my address(unsigned int channel)
{
	return (struct sockaddr_my){ .smy_family = AF_MYPROTO, .smy_channel = channel };
}

static unsigned int channel_of(int fd)
{
	struct sockaddr_my addr;
	socklen_t len = sizeof(addr);

	if (getsockname(fd, (struct sockaddr *)&addr, &len))
		err(1, "getsockname");
	return addr.smy_channel;
}

static int new_socket(int type)
{
	int fd = socket(AF_MYPROTO, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(1, "socket");
	return fd;
}

static int bound(int type, unsigned int channel, int backlog)
{
	struct sockaddr_my addr = address(channel);
	int fd = new_socket(type);

	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		err(1, "bind to channel %u", channel);
	if (type != SOCK_DGRAM && listen(fd, backlog))
		err(1, "listen");
	return fd;
}

/* Server: streams */

static void stream_written(struct bufferevent *bev, void *ended)
{
	if (ended)
		bufferevent_free(bev);
	else
		bufferevent_enable(bev, EV_READ);
}

static void stream_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *answer = bufferevent_get_output(bev);

	bufferevent_read_buffer(bev, answer);
	if (evbuffer_get_length(answer) > MANY)
		bufferevent_disable(bev, EV_READ);
}

static void stream_ended(struct bufferevent *bev, short what, void *arg)
{
	if (what & BEV_EVENT_EOF && evbuffer_get_length(bufferevent_get_output(bev)))
		bufferevent_setcb(bev, NULL, stream_written, stream_ended, "ended");
	else
		bufferevent_free(bev);
}

static void serve_stream(int fd)
{
	struct bufferevent *bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

	bufferevent_setcb(bev, stream_read, stream_written, stream_ended, NULL);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

/* Server: messages */

static char message[LONGEST];

/* recv() of an empty message returns 0, and so it does at the end. */
static int ended(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLRDHUP };

	return poll(&pfd, 1, 0) == 1;
}

struct peer {
	struct event *in, *out;
	ssize_t len;
	char *unsent;
};

static void peer_free(struct peer *peer)
{
	close(event_get_fd(peer->in));
	event_free(peer->in);
	event_free(peer->out);
	free(peer->unsent);
	free(peer);
}

/* The peer does not read: keep its message until it does, and read no more. */
static void keep(struct peer *peer, ssize_t len)
{
	peer->unsent = malloc(len + 1);
	if (!peer->unsent)
		err(1, "malloc");
	memcpy(peer->unsent, message, len);
	peer->len = len;
	event_del(peer->in);
	event_add(peer->out, NULL);
}

static void message_read(int fd, short what, void *arg)
{
	ssize_t len = recv(fd, message, LONGEST, 0);

	if (len > 0 || (!len && !ended(fd))) {
		if (send(fd, message, len, MSG_NOSIGNAL) == len)
			return;
		if (errno == EAGAIN) {
			keep(arg, len);
			return;
		}
	} else if (len < 0 && errno == EAGAIN) {
		return;
	}
	peer_free(arg);
}

static void message_room(int fd, short what, void *arg)
{
	struct peer *peer = arg;

	if (send(fd, peer->unsent, peer->len, MSG_NOSIGNAL) < 0) {
		if (errno != EAGAIN)
			peer_free(peer);
		return;
	}
	free(peer->unsent);
	peer->unsent = NULL;
	event_del(peer->out);
	event_add(peer->in, NULL);
}

static void serve_messages(int fd)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		err(1, "calloc");
	peer->in = event_new(base, fd, EV_READ | EV_PERSIST, message_read, peer);
	peer->out = event_new(base, fd, EV_WRITE | EV_PERSIST, message_room, peer);
	event_add(peer->in, NULL);
}

/* A client that does not read, or is gone, gets no answer. */
static void datagram_read(int fd, short what, void *arg)
{
	struct sockaddr_my from;
	socklen_t fromlen = sizeof(from);
	ssize_t len = recvfrom(fd, message, LONGEST, 0, (struct sockaddr *)&from, &fromlen);

	if (len >= 0)
		sendto(fd, message, len, 0, (struct sockaddr *)&from, fromlen);
}

/* Server: clients come */

static void came(struct evconnlistener *listener, int fd, struct sockaddr *addr, int len,
		 void *serve)
{
	struct sockaddr_my *from = (struct sockaddr_my *)addr;
	struct ucred cred;
	socklen_t credlen = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &credlen))
		err(1, "SO_PEERCRED");
	printf("client from channel %u, pid %d, uid %u\n", from->smy_channel, cred.pid, cred.uid);
	((void (*)(int))serve)(fd);
}

static struct evconnlistener *start_server(int type, int fd)
{
	if (type == SOCK_DGRAM) {
		event_add(event_new(base, fd, EV_READ | EV_PERSIST, datagram_read, NULL), NULL);
		return NULL;
	}
	return evconnlistener_new(base, came, type == SOCK_STREAM ? serve_stream : serve_messages,
				  LEV_OPT_CLOSE_ON_FREE, 0, fd);
}

/* Client: streams */

static char **words;

static void client_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t len = strlen(*words);

	if (evbuffer_get_length(in) < len)
		return;
	if (memcmp(evbuffer_pullup(in, len), *words, len))
		errx(1, "the answer to %s was another", *words);
	evbuffer_drain(in, len);
	puts(*words++);
	if (*words)
		bufferevent_write(bev, *words, strlen(*words));
	else
		event_base_loopbreak(base);
}

static void client_event(struct bufferevent *bev, short what, void *arg)
{
	if (what & BEV_EVENT_TIMEOUT)
		errx(1, "timed out");
	if (!(what & BEV_EVENT_CONNECTED))
		errx(1, what & BEV_EVENT_EOF ? "the server closed" : "no connection");
}

/* It makes the socket itself, of the family that the address says. */
static struct bufferevent *stream_client(unsigned int channel, bufferevent_data_cb in,
					 bufferevent_event_cb event, void *arg)
{
	struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	struct sockaddr_my addr = address(channel);

	bufferevent_setcb(bev, in, NULL, event, arg);
	bufferevent_set_timeouts(bev, &five_seconds, &five_seconds);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
	if (bufferevent_socket_connect(bev, (struct sockaddr *)&addr, sizeof(addr)))
		err(1, "connect to channel %u", channel);
	return bev;
}

/* Client: messages */

static void client_step(int fd, short what, void *arg)
{
	ssize_t len;
	int error;
	socklen_t errlen = sizeof(error);

	if (what & EV_TIMEOUT)
		errx(1, "timed out");
	if (what & EV_WRITE) { /* connecting has ended */
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &errlen);
		errno = error;
		if (error)
			err(1, "connect");
	} else {
		len = recv(fd, message, LONGEST, 0);
		if (len < 0)
			err(1, "recv");
		if (len != strlen(*words) || memcmp(message, *words, len))
			errx(1, "the answer to %s was another", *words);
		puts(*words++);
		if (!*words)
			return;
	}
	if (send(fd, *words, strlen(*words), 0) < 0)
		err(1, "send");
	event_base_once(base, fd, EV_READ, client_step, NULL, &five_seconds);
}

static void client(int type, unsigned int channel)
{
	struct sockaddr_my addr = address(channel);
	int fd;

	if (!*words)
		return;
	if (type == SOCK_STREAM) {
		bufferevent_write(stream_client(channel, client_read, client_event, NULL), *words,
				  strlen(*words));
	} else {
		fd = new_socket(type);
		if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) && errno != EINPROGRESS)
			err(1, "connect to channel %u", channel);
		event_base_once(base, fd, EV_WRITE, client_step, NULL, &five_seconds);
	}
	event_base_dispatch(base);
}

/* What the sockets do */

static int failures;

static void check(int passed, const char *what)
{
	failures += !passed;
	printf("%s - %s\n", passed ? "ok" : "not ok", what);
}

static short happened;

static void note(struct bufferevent *bev, short what, void *arg)
{
	happened = what;
	event_base_loopbreak(base);
}

static void stop(int fd, short what, void *arg)
{
	event_base_loopbreak(base);
}

/* Until something happens, or the time is over */
static short run(const struct timeval *time)
{
	struct event *timer = evtimer_new(base, stop, NULL);

	happened = 0;
	evtimer_add(timer, time);
	event_base_dispatch(base);
	event_free(timer);
	return happened;
}

static void check_deadline(void)
{
	struct bufferevent *bev;
	int fds[2];

	if (socketpair(AF_MYPROTO, SOCK_STREAM | SOCK_NONBLOCK, 0, fds))
		err(1, "socketpair");
	bev = bufferevent_socket_new(base, fds[0], BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(bev, NULL, NULL, note, NULL);
	bufferevent_set_timeouts(bev, &tenth, NULL);
	bufferevent_enable(bev, EV_READ);
	check(run(&five_seconds) == (BEV_EVENT_TIMEOUT | BEV_EVENT_READING),
	      "a deadline: bufferevent_set_timeouts() tells of it");
	bufferevent_free(bev);
	close(fds[1]);
}

static void check_connecting(void)
{
	struct bufferevent *first, *second;
	int fd = bound(SOCK_STREAM, 0, 0), other, waited;
	unsigned int channel = channel_of(fd);

	first = stream_client(channel, NULL, note, NULL);
	run(&five_seconds);
	second = stream_client(channel, NULL, note, NULL);
	waited = !run(&tenth);
	other = accept(fd, NULL, NULL);
	check(waited && run(&five_seconds) == BEV_EVENT_CONNECTED,
	      "a full backlog: a bufferevent waits and is connected");
	close(other);
	close(fd);
	bufferevent_free(first);
	bufferevent_free(second);
	first = stream_client(channel, NULL, note, NULL);
	check(run(&five_seconds) == BEV_EVENT_ERROR, "nobody listens: BEV_EVENT_ERROR");
	bufferevent_free(first);
}

static void *in_recv(void *fd)
{
	char byte;

	return (void *)recv(*(int *)fd, &byte, 1, 0);
}

static void *in_accept(void *fd)
{
	return (void *)(long)(accept(*(int *)fd, NULL, NULL) < 0 ? -errno : 0);
}

static long wakes(int fd, void *(*call)(void *fd))
{
	pthread_t thread;
	void *result;

	fcntl(fd, F_SETFL, 0);
	pthread_create(&thread, NULL, call, &fd);
	usleep(100000);
	shutdown(fd, SHUT_RDWR);
	pthread_join(thread, &result);
	close(fd);
	return (long)result;
}

static void check_messages(void)
{
	char buf[10];
	int fds[2];

	if (socketpair(AF_MYPROTO, SOCK_SEQPACKET, 0, fds))
		err(1, "socketpair");
	send(fds[0], "one", 3, 0);
	send(fds[0], "", 0, 0);
	send(fds[0], "three", 5, 0);
	check(recv(fds[1], buf, 10, 0) == 3 && !recv(fds[1], buf, 10, 0) && !ended(fds[1]) &&
	      recv(fds[1], buf, 10, 0) == 5, "seqpacket keeps messages apart, empty ones too");
	check(!wakes(fds[0], in_recv), "shutdown() wakes a thread in recv()");
	close(fds[1]);
}

#define TRANSFER	(10 * 1000 * 1000)

/* FNV-1a */
static unsigned long digest(unsigned long sum, const unsigned char *data, size_t len)
{
	while (len--)
		sum = (sum ^ *data++) * 0x100000001b3;
	return sum;
}

static unsigned long received, sum;

static void transfer_read(struct bufferevent *bev, void *arg)
{
	ssize_t len = bufferevent_read(bev, message, LONGEST);

	sum = digest(sum, (unsigned char *)message, len);
	received += len;
	if (received >= TRANSFER)
		event_base_loopbreak(base);
}

static void check_transfer(void)
{
	int fd = bound(SOCK_STREAM, 0, SOMAXCONN), n;
	struct evconnlistener *listener = start_server(SOCK_STREAM, fd);
	struct bufferevent *bev = stream_client(channel_of(fd), transfer_read, client_event, NULL);
	unsigned char *data = malloc(TRANSFER);

	if (!data)
		err(1, "malloc");
	for (n = 0; n < TRANSFER; n++)
		data[n] = random();
	sum = 0;
	bufferevent_write(bev, data, TRANSFER);
	event_base_dispatch(base);
	check(received == TRANSFER && sum == digest(0, data, TRANSFER),
	      "10 MB with their digest, to a server and back");
	free(data);
	bufferevent_free(bev);
	evconnlistener_free(listener);
}

static void check_credentials(void)
{
	int fd = bound(SOCK_STREAM, 0, SOMAXCONN), client = new_socket(SOCK_STREAM), other;
	struct sockaddr_my addr = address(channel_of(fd)), from;
	socklen_t len = sizeof(from), credlen = sizeof(struct ucred);
	struct ucred cred;

	if (connect(client, (struct sockaddr *)&addr, sizeof(addr)))
		err(1, "connect");
	other = accept(fd, (struct sockaddr *)&from, &len);
	check(!getsockopt(other, SOL_SOCKET, SO_PEERCRED, &cred, &credlen) &&
	      cred.pid == getpid() && cred.uid == getuid() &&
	      from.smy_channel == channel_of(client), "credentials and channel of the peer");
	close(client);
	close(other);
	check(wakes(fd, in_accept) == -EINVAL, "shutdown() wakes a thread in accept()");
}

static int type_of(const char *name)
{
	return !strcmp(name, "stream") ? SOCK_STREAM : !strcmp(name, "seqpacket") ? SOCK_SEQPACKET :
	       !strcmp(name, "dgram") ? SOCK_DGRAM : 0;
}

int main(int argc, char **argv)
{
	unsigned int channel;
	int type;

	setlinebuf(stdout);
	base = event_base_new();
	if (argc == 2 && !strcmp(argv[1], "check")) {
		check_deadline();
		check_connecting();
		check_messages();
		check_credentials();
		check_transfer();
		return !!failures;
	}
	type = argc < 4 ? 0 : type_of(argv[2]);
	if (!type)
		errx(1, "server TYPE CHANNEL, client TYPE CHANNEL MESSAGE..., or check");
	channel = strtoul(argv[3], NULL, 0);
	if (strcmp(argv[1], "server")) {
		words = argv + 4;
		client(type, channel);
	} else {
		start_server(type, bound(type, channel, SOMAXCONN));
		printf("listening on %u\n", channel);
		event_base_dispatch(base);
	}
	return 0;
}
