// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: connections, from listen() to the end of both ends */

#include <linux/errno.h>
#include <linux/list.h>
#include <linux/memcontrol.h>
#include <linux/myproto.h>
#include <linux/net.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/wait.h>
#include <net/sock.h>
#include <net/tcp_states.h>

#include "myproto.h"
#include "trace.h"

/**
 * myproto_listen - listen(2)
 * @sock: a socket that is not connected; if unbound, it gets the default
 *	channel of its network namespace
 * @backlog: when more connections than that wait for accept(), connect() waits
 *
 * Context: Process context. May sleep.
 * Return: 0, -EINVAL when the socket is connected, or what bind() says.
 */
int myproto_listen(struct socket *sock, int backlog)
{
	struct sock *sk = sock->sk;
	int err;

	lock_sock(sk);
	err = -EINVAL;
	if (sk->sk_state != TCP_CLOSE && sk->sk_state != TCP_LISTEN)
		goto out;

	err = myproto_channel_autobind(sk,
				       myproto_default_channel(sock_net(sk)));
	if (err)
		goto out;

	/* For those who connect */
	myproto_set_peercred(sk);

	spin_lock(&sk->sk_receive_queue.lock);
	/* It may have been shut down or aborted before. */
	WRITE_ONCE(sk->sk_shutdown, 0);
	WRITE_ONCE(sk->sk_err, 0);
	myproto_sk(sk)->aborted = false;
	WRITE_ONCE(sk->sk_max_ack_backlog, backlog);
	WRITE_ONCE(sk->sk_state, TCP_LISTEN);
	spin_unlock(&sk->sk_receive_queue.lock);

	/* The backlog may be longer than it was. */
	wake_up_interruptible_all(&myproto_sk(sk)->room_wait);
out:
	release_sock(sk);
	trace_myproto_listen(sk, backlog, err);
	return err;
}

/* Make @sk an end of a connection, with a reference to the other end that it
 * keeps until it is closed.
 */
static void myproto_establish(struct sock *sk, struct sock *peer)
{
	sock_hold(peer);
	WRITE_ONCE(sk->sk_state, TCP_ESTABLISHED);
	/* Who sees the peer sees the rest of it. */
	rcu_assign_pointer(myproto_sk(sk)->peer, peer);
}

/* Whether @listener has room for one more connection. Returns 0, -EAGAIN when
 * the backlog is full, -ECONNREFUSED when it does not listen, and -ESTALE when
 * it is being closed, so that another socket may have its channel by now.
 * Called with its queue lock held.
 */
static int myproto_listener_state(const struct sock *listener)
{
	if (sock_flag(listener, SOCK_DEAD))
		return -ESTALE;
	if (READ_ONCE(listener->sk_state) != TCP_LISTEN ||
	    listener->sk_shutdown & RCV_SHUTDOWN)
		return -ECONNREFUSED;
	return sk_acceptq_is_full(listener) ? -EAGAIN : 0;
}

/* The same for who does not hold the lock. Who makes room takes it first and
 * looks for sleepers after.
 */
static int myproto_listener_look(struct sock *listener)
{
	int err;

	spin_lock(&listener->sk_receive_queue.lock);
	err = myproto_listener_state(listener);
	spin_unlock(&listener->sk_receive_queue.lock);
	return err;
}

/* Connect @sk with @child and leave @child to @listener's accept().
 *
 * Called with the socket lock of @sk held. On success the queue owns the
 * caller's reference to @child. Otherwise see myproto_listener_state().
 */
static int myproto_queue_child(struct sock *sk, struct sock *child,
			       struct sock *listener)
{
	struct myproto_sock *mlistener = myproto_sk(listener);
	int err;

	spin_lock(&listener->sk_receive_queue.lock);
	err = myproto_listener_state(listener);
	if (!err) {
		myproto_copy_peercred(sk, listener);
		myproto_establish(child, sk);
		myproto_establish(sk, child);
		list_add_tail(&myproto_sk(child)->room_relay.entry,
			      &mlistener->accept_queue);
		sk_acceptq_added(listener);
	}
	spin_unlock(&listener->sk_receive_queue.lock);
	return err;
}

/* Sleep until @listener may have room for one more connection, and return what
 * is left of @timeo.
 */
static long myproto_wait_backlog(struct sock *listener, long timeo)
{
	struct myproto_sock *mlistener = myproto_sk(listener);
	DEFINE_WAIT(wait);

	prepare_to_wait_exclusive(&mlistener->room_wait, &wait,
				  TASK_INTERRUPTIBLE);
	if (myproto_listener_look(listener) == -EAGAIN)
		timeo = schedule_timeout(timeo);
	finish_wait(&mlistener->room_wait, &wait);

	/* One is woken for each place, and whether the caller takes it he
	 * cannot tell before he has the socket lock, which may take long.
	 */
	if (myproto_listener_look(listener) != -EAGAIN)
		wake_up_interruptible(&mlistener->room_wait);
	return timeo;
}

/* Whether @sk is such that it can be connected. Called with its socket lock
 * held.
 */
static int myproto_connect_check(const struct sock *sk)
{
	switch (sk->sk_state) {
	case TCP_CLOSE:
		return 0;
	case TCP_LISTEN:
		return -EINVAL;
	default:
		return -EISCONN;
	}
}

/* Connect @sk to @listener, unless the backlog is full. The other end is made
 * anew each time, with the options that @listener has now. Called with the
 * socket lock of @sk held.
 */
static int myproto_connect_child(struct sock *sk, struct sock *listener)
{
	struct sock *child;
	int err;

	err = myproto_listener_look(listener);
	if (err)
		return err;

	child = myproto_sk_clone(listener);
	if (!child)
		return -ENOMEM;
	myproto_set_peercred(child);

	err = myproto_queue_child(sk, child, listener);
	if (err)
		myproto_close(child, false);
	else
		listener->sk_data_ready(listener);
	return err;
}

/* The same, and wait for a place in the backlog if need be. The socket lock is
 * dropped for the wait.
 */
static int myproto_connect_listener(struct sock *sk, struct sock *listener,
				    long *timeo)
{
	int err;

	for (;;) {
		err = myproto_connect_check(sk);
		if (err)
			return err;

		err = myproto_connect_child(sk, listener);
		if (err != -EAGAIN || !*timeo)
			return err;
		if (signal_pending(current))
			return sock_intr_errno(*timeo);

		release_sock(sk);
		*timeo = myproto_wait_backlog(listener, *timeo);
		lock_sock(sk);
	}
}

/**
 * myproto_connect - connect(2)
 * @sock: a socket that is neither connected nor listening; if unbound, it gets
 *	a free channel
 * @addr: whom to connect to; MYPROTO_CHANNEL_ANY stands for the default channel
 * @addr_len: length of @addr in bytes
 * @flags: O_NONBLOCK, not to wait for a place in the backlog
 *
 * The other end is made here and waits, connected, for accept(): a connection
 * is up as soon as connect() returns.
 *
 * Context: Process context. May sleep.
 * Return: 0, -EINVAL or -EAFNOSUPPORT when the address is not valid, -EINVAL
 * when the socket listens, -EISCONN when it is connected, -ECONNREFUSED when
 * nobody listens there, -EPROTOTYPE when it is a socket of another type,
 * -EAGAIN when the backlog is full and there is no time left, what a signal
 * gives, what bind() says, or -ENOMEM.
 */
int myproto_connect(struct socket *sock, struct sockaddr_unsized *addr,
		    int addr_len, int flags)
{
	struct sock *sk = sock->sk, *listener;
	u32 channel = 0;
	long timeo;
	int err;

	/* There is no way back from a connection. */
	err = -EINVAL;
	if (addr_len >= (int)sizeof(addr->sa_family) &&
	    addr->sa_family == AF_UNSPEC)
		goto out;

	err = myproto_addr_channel(addr, addr_len, &channel);
	if (err)
		goto out;

	lock_sock(sk);
	timeo = sock_sndtimeo(sk, flags & O_NONBLOCK);
	do {
		err = myproto_connect_check(sk);
		if (err)
			break;

		err = myproto_channel_autobind(sk, MYPROTO_CHANNEL_ANY);
		if (err)
			break;

		listener = myproto_channel_lookup(sock_net(sk), channel);
		if (!listener) {
			err = -ECONNREFUSED;
			break;
		}
		if (listener->sk_type == sk->sk_type)
			err = myproto_connect_listener(sk, listener, &timeo);
		else
			err = -EPROTOTYPE;
		sock_put(listener);
	} while (err == -ESTALE);
	if (!err) {
		sock->state = SS_CONNECTED;
		/* To poll() it looks different now. */
		sk->sk_state_change(sk);
	}
	release_sock(sk);
out:
	trace_myproto_connect(sk, channel, err);
	return err;
}

/* Take the connection that has waited longest, with the queue's reference. */
static struct sock *myproto_dequeue_child(struct sock *sk)
{
	struct myproto_sock *msk = myproto_sk(sk), *child;
	int err = -EAGAIN;

	spin_lock(&sk->sk_receive_queue.lock);
	child = list_first_entry_or_null(&msk->accept_queue,
					 struct myproto_sock, room_relay.entry);
	if (child) {
		list_del_init(&child->room_relay.entry);
		sk_acceptq_removed(sk);
	} else if (sk->sk_state != TCP_LISTEN ||
		   sk->sk_shutdown & RCV_SHUTDOWN) {
		err = -EINVAL;
	}
	spin_unlock(&sk->sk_receive_queue.lock);

	if (!child)
		return ERR_PTR(err);

	if (wq_has_sleeper(&msk->room_wait))
		wake_up_interruptible(&msk->room_wait);
	return &child->sk;
}

static struct sock *myproto_wait_child(struct sock *sk, long timeo)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	struct sock *child, *last;

	add_wait_queue_exclusive(sk_sleep(sk), &wait);
	for (;;) {
		child = myproto_dequeue_child(sk);
		if (!IS_ERR(child) || PTR_ERR(child) != -EAGAIN || !timeo)
			break;
		if (signal_pending(current)) {
			child = ERR_PTR(sock_intr_errno(timeo));
			break;
		}
		timeo = wait_woken(&wait, TASK_INTERRUPTIBLE, timeo);
	}
	remove_wait_queue(sk_sleep(sk), &wait);
	if (!IS_ERR(child))
		return child;

	/* If there was a wake-up after the last look, nobody else got it. */
	last = myproto_dequeue_child(sk);
	return IS_ERR(last) ? child : last;
}

/**
 * myproto_accept - accept(2)
 * @sock: a listening socket
 * @newsock: gets the connection that has waited longest
 * @arg: flags, of which O_NONBLOCK matters
 *
 * Context: Process context. May sleep.
 * Return: 0, -EINVAL when @sock does not listen (any more), -EAGAIN when none
 * waits, or what a signal gives.
 */
int myproto_accept(struct socket *sock, struct socket *newsock,
		   struct proto_accept_arg *arg)
{
	struct sock *sk = sock->sk, *child;
	long timeo;

	timeo = sock_rcvtimeo(sk, arg->flags & O_NONBLOCK);
	child = myproto_dequeue_child(sk);
	if (child == ERR_PTR(-EAGAIN) && timeo)
		child = myproto_wait_child(sk, timeo);
	if (IS_ERR(child)) {
		int err = PTR_ERR(child);

		trace_myproto_accept(sk, NULL, err);
		return err;
	}

	/* From here on who accepted it pays for what it is sent. */
	mem_cgroup_sk_alloc(child);
	/* Pairs with smp_load_acquire() in myproto_charge_begin(). */
	smp_wmb();
	sock_graft(child, newsock);
	newsock->state = SS_CONNECTED;
	trace_myproto_accept(sk, child, 0);
	return 0;
}

/**
 * myproto_socketpair - socketpair(2)
 * @sock1: a new socket
 * @sock2: another of the same type, to be connected or associated with it; both
 *	stay without a channel
 *
 * Context: Process context, before anybody else has the sockets.
 * Return: 0.
 */
int myproto_socketpair(struct socket *sock1, struct socket *sock2)
{
	myproto_set_peercred(sock1->sk);
	myproto_set_peercred(sock2->sk);
	myproto_establish(sock1->sk, sock2->sk);
	myproto_establish(sock2->sk, sock1->sk);
	sock1->state = SS_CONNECTED;
	sock2->state = SS_CONNECTED;
	trace_myproto_socketpair(sock1->sk);
	return 0;
}

/* Shut @sk down in the directions of @mask, with @err left for the next call
 * if it is not 0.
 */
static void myproto_set_shutdown(struct sock *sk, u8 mask, int err)
{
	spin_lock(&sk->sk_receive_queue.lock);
	WRITE_ONCE(sk->sk_shutdown, sk->sk_shutdown | mask);
	/* Of an abort both ends have been told. */
	if (err && !myproto_sk(sk)->aborted)
		WRITE_ONCE(sk->sk_err, err);
	spin_unlock(&sk->sk_receive_queue.lock);
}

/* Wake whoever waits at @sk, which has been shut down, and for room there. */
static void myproto_wake_shutdown(struct sock *sk)
{
	u8 mask = READ_ONCE(sk->sk_shutdown);

	sk->sk_state_change(sk);
	wake_up_interruptible_all(&myproto_sk(sk)->room_wait);
	if (mask == SHUTDOWN_MASK)
		sk_wake_async(sk, SOCK_WAKE_WAITD, POLL_HUP);
	else if (mask & RCV_SHUTDOWN)
		sk_wake_async(sk, SOCK_WAKE_WAITD, POLL_IN);
}

/**
 * myproto_shutdown - shutdown(2)
 * @sock: a connected socket, one of type SOCK_DGRAM, or a listening one, which
 *	then refuses new connections while those that wait can still be accepted
 * @how: SHUT_RD, SHUT_WR or SHUT_RDWR
 *
 * What is shut for reading at one end of a connection is shut for writing at
 * the other.
 *
 * Context: Process context. May sleep.
 * Return: 0, -EINVAL when @how is none of the three, or -ENOTCONN.
 */
int myproto_shutdown(struct socket *sock, int how)
{
	struct sock *sk = sock->sk, *peer = NULL;
	u8 mask, peer_mask;
	int err = 0;

	if (how < SHUT_RD || how > SHUT_RDWR) {
		err = -EINVAL;
		goto out;
	}

	/* SHUT_RD, SHUT_WR, SHUT_RDWR to RCV_SHUTDOWN, SEND_SHUTDOWN, both */
	mask = how + 1;
	peer_mask = (mask & RCV_SHUTDOWN ? SEND_SHUTDOWN : 0) |
		    (mask & SEND_SHUTDOWN ? RCV_SHUTDOWN : 0);

	/* Without the socket lock: a reader that is to end may hold it while it
	 * sleeps in a page fault.
	 */
	if (sk->sk_type != SOCK_DGRAM)
		peer = myproto_peer(sk);
	if (!peer && sk->sk_type != SOCK_DGRAM &&
	    READ_ONCE(sk->sk_state) != TCP_LISTEN) {
		err = -ENOTCONN;
		goto out;
	}

	/* Both before anybody is woken: who sends looks at what the receiver
	 * says, and sleeps at his own end.
	 */
	myproto_set_shutdown(sk, mask, 0);
	if (peer)
		myproto_set_shutdown(peer, peer_mask, 0);
	myproto_wake_shutdown(sk);
	if (peer)
		myproto_wake_shutdown(peer);
out:
	trace_myproto_shutdown(sk, how, err);
	return err;
}

/* Drop what was sent to @sk, where sending has come to an end, and has not been
 * read, for @reason. Returns whether there was any.
 */
static bool myproto_purge(struct sock *sk, u32 reason)
{
	struct sk_buff_head *read = &sk->sk_write_queue;
	struct myproto_sock *msk = myproto_sk(sk);
	bool unread;
	u32 len;

	spin_lock(&sk->sk_receive_queue.lock);
	skb_queue_splice_tail_init(&sk->sk_receive_queue, read);
	/* There are messages without a byte, and bytes outside the queue. */
	len = myproto_inq(sk);
	unread = len || !skb_queue_empty(read);
	/* Pairs with smp_load_acquire() in myproto_inq(). */
	smp_store_release(&msk->rx_read, msk->rx_total);
	atomic_set(&sk->sk_rmem_alloc, 0);
	spin_unlock(&sk->sk_receive_queue.lock);

	if (unread)
		myproto_drop_unread(sk, len, reason);
	return unread;
}

/* Close connections that nobody has accepted and nobody will any more. */
static void myproto_close_children(struct list_head *children)
{
	struct myproto_sock *child, *next;

	list_for_each_entry_safe(child, next, children, room_relay.entry) {
		list_del_init(&child->room_relay.entry);
		myproto_close(&child->sk, true);
		/* There are as many as the backlog allowed. */
		cond_resched();
	}
}

/* Give up the peer of @sk, which is being closed. */
static void myproto_close_peer(struct sock *sk, bool reset)
{
	struct myproto_sock *msk = myproto_sk(sk);
	struct sock *peer;

	spin_lock(&sk->sk_receive_queue.lock);
	peer = myproto_peer_locked(sk);
	RCU_INIT_POINTER(msk->peer, NULL);
	spin_unlock(&sk->sk_receive_queue.lock);
	if (!peer)
		return;

	myproto_relay_del(&msk->room_relay, peer);
	if (sk->sk_type != SOCK_DGRAM) {
		myproto_set_shutdown(peer, SHUTDOWN_MASK,
				     reset ? ECONNRESET : 0);
		myproto_wake_shutdown(peer);
	}
	sock_put(peer);
}

/**
 * myproto_close - end a socket
 * @sk: the socket, which nobody can get at any more except through a reference
 *	that one of the tables or its peer gave them
 * @reset: nobody has accepted it, and the peer shall see ECONNRESET, as it does
 *	when there is unread data
 *
 * Gives up the reference to the peer, ends the connections that nobody has
 * accepted, and consumes the caller's reference to @sk.
 *
 * Context: Process context. May sleep.
 */
void myproto_close(struct sock *sk, bool reset)
{
	struct myproto_sock *msk = myproto_sk(sk);
	u32 reason = SKB_DROP_REASON_SOCKET_CLOSE;
	LIST_HEAD(children);

	trace_myproto_release(sk);
	/* First, so that who meets it on a walk finds it complete. */
	myproto_sockets_del(sk);
	/* In this order: who finds the socket dead can be sure that the table
	 * does not have it any more.
	 */
	myproto_channel_unbind(sk);
	sock_orphan(sk);
	sock_prot_inuse_add(sock_net(sk), sk->sk_prot, -1);

	spin_lock(&sk->sk_receive_queue.lock);
	WRITE_ONCE(sk->sk_shutdown, SHUTDOWN_MASK);
	WRITE_ONCE(sk->sk_state, TCP_CLOSE);
	list_splice_init(&msk->accept_queue, &children);
	spin_unlock(&sk->sk_receive_queue.lock);

	myproto_close_children(&children);
	if (reset)
		reason = MYPROTO_DROP_UNACCEPTED;
	reset |= myproto_purge(sk, reason);
	myproto_close_peer(sk, reset);
	/* Last, so that who is woken sees all that there is to see. */
	wake_up_interruptible_all(&msk->room_wait);
	sock_put(sk);
}

/* Called with the queue lock of @sk held. */
static void myproto_set_aborted(struct sock *sk, int err)
{
	myproto_sk(sk)->aborted = true;
	WRITE_ONCE(sk->sk_shutdown, SHUTDOWN_MASK);
	WRITE_ONCE(sk->sk_err, err);
}

/**
 * myproto_abort - end what a socket does, on behalf of somebody else
 * @sk: the socket, which may be closed meanwhile
 * @err: the error that it shall see
 *
 * It is shut down in both directions, and so is its peer, which sees
 * ECONNRESET, unless it is SOCK_DGRAM. Of one that listens the connections that
 * nobody has accepted are ended. What it has been sent can still be read. Its
 * channel it keeps until it is closed.
 *
 * Context: Process context, with a reference to @sk held. May sleep.
 * Return: 0, or -ENOENT when there is nothing to end: it or its peer has been
 * ended before, or it is not SOCK_DGRAM and neither connected nor listening.
 */
int myproto_abort(struct sock *sk, int err)
{
	struct myproto_sock *msk = myproto_sk(sk);
	bool dgram = sk->sk_type == SOCK_DGRAM;
	struct sock *peer = NULL;
	LIST_HEAD(children);

	/* Without the socket lock, as in myproto_shutdown() */
	spin_lock(&sk->sk_receive_queue.lock);
	if (!dgram)
		peer = myproto_peer_locked(sk);
	if (msk->aborted || (!dgram && !peer && sk->sk_state != TCP_LISTEN)) {
		spin_unlock(&sk->sk_receive_queue.lock);
		return -ENOENT;
	}
	myproto_set_aborted(sk, err);
	/* Or it is gone when @sk is closed. */
	if (peer)
		sock_hold(peer);
	list_splice_init(&msk->accept_queue, &children);
	WRITE_ONCE(sk->sk_ack_backlog, 0);
	spin_unlock(&sk->sk_receive_queue.lock);

	/* Both before anybody is woken, as in myproto_shutdown(). */
	if (peer) {
		spin_lock(&peer->sk_receive_queue.lock);
		/* Unless it is aborted as well, at this moment */
		if (!myproto_sk(peer)->aborted)
			myproto_set_aborted(peer, ECONNRESET);
		spin_unlock(&peer->sk_receive_queue.lock);
	}
	myproto_wake_shutdown(sk);
	if (peer) {
		myproto_wake_shutdown(peer);
		sock_put(peer);
	}

	myproto_close_children(&children);
	return 0;
}

/**
 * myproto_poll - poll(2), select(2) and epoll
 * @file: the socket's file
 * @sock: the socket
 * @wait: whom to wake
 *
 * Context: Process context.
 * Return: the events that are there; EPOLLOUT only if it was asked for.
 */
__poll_t myproto_poll(struct file *file, struct socket *sock,
		      struct poll_table_struct *wait)
{
	struct sock *sk = sock->sk;
	__poll_t mask = 0;
	u8 shutdown;

	sock_poll_wait(file, sock, wait);

	shutdown = READ_ONCE(sk->sk_shutdown);
	if (READ_ONCE(sk->sk_err))
		mask |= EPOLLERR;
	if (shutdown & RCV_SHUTDOWN)
		mask |= EPOLLRDHUP | EPOLLIN | EPOLLRDNORM;
	if (shutdown == SHUTDOWN_MASK)
		mask |= EPOLLHUP;

	if (sk->sk_type == SOCK_DGRAM || myproto_peer(sk)) {
		if (myproto_readable(sk))
			mask |= EPOLLIN | EPOLLRDNORM;
		/* To ask for room has a price, so only for who wants to know */
		if (poll_requested_events(wait) & (EPOLLOUT | EPOLLWRNORM) &&
		    myproto_writable(sk))
			mask |= EPOLLOUT | EPOLLWRNORM;
	} else if (READ_ONCE(sk->sk_state) == TCP_LISTEN) {
		if (READ_ONCE(sk->sk_ack_backlog))
			mask |= EPOLLIN | EPOLLRDNORM;
	} else if (READ_ONCE(sk->sk_state) == TCP_CLOSE) {
		mask |= EPOLLHUP | EPOLLOUT | EPOLLWRNORM;
	}
	return mask;
}
