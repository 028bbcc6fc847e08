// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: connections, from listen() to the end of both ends */

#include <linux/errno.h>
#include <linux/list.h>
#include <linux/memcontrol.h>
#include <linux/myproto.h>
#include <linux/net.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/security.h>
#include <linux/wait.h>
#include <net/sock.h>
#include <net/tcp_states.h>

#include "myproto.h"
#include "trace.h"

/* The state of @sk, model: conn_state. While accept() at the other end connects
 * it, it still is connecting until it has its peer, which is set last.
 */
static int myproto_conn_state(const struct sock *sk)
{
	/* Whoever sees that a connect() has ended sees the error. */
	int state = smp_load_acquire(&sk->sk_state);

	return state == TCP_ESTABLISHED && !myproto_peer(sk) ?
	       TCP_SYN_SENT : state;
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

/* Whether connect() can go to @listener. Returns 0, -EINPROGRESS when the
 * backlog is full or others wait for a place already, -ECONNREFUSED when it
 * does not listen, and -ESTALE when it is being closed, so that another socket
 * may have its channel by now. Called with its queue lock held.
 */
static int myproto_listener_state(const struct sock *listener)
{
	if (sock_flag(listener, SOCK_DEAD))
		return -ESTALE;
	if (READ_ONCE(listener->sk_state) != TCP_LISTEN ||
	    listener->sk_shutdown & RCV_SHUTDOWN)
		return -ECONNREFUSED;
	if (sk_acceptq_is_full(listener) ||
	    !list_empty(&myproto_sk(listener)->connect_queue))
		return -EINPROGRESS;
	return 0;
}

/* Connect @sk with @child and leave @child, with the caller's reference to it,
 * to @listener's accept(), model: conn_queue. Called with the queue lock of
 * @listener held.
 */
static void myproto_queue_child(struct sock *sk, struct sock *child,
				struct sock *listener)
{
	myproto_copy_peercred(sk, listener);
	myproto_establish(child, sk);
	myproto_establish(sk, child);
	list_add_tail(&myproto_sk(child)->room_relay.entry,
		      &myproto_sk(listener)->accept_queue);
	sk_acceptq_added(listener);
}

/* Have @sk wait at @listener until there is a place for @child. Called with the
 * queue lock of @listener held, whose queue gets a reference to @sk, and the
 * caller's to @child.
 */
static void myproto_queue_connecting(struct sock *sk, struct sock *child,
				     struct sock *listener)
{
	struct myproto_sock *msk = myproto_sk(sk);

	sock_hold(sk);
	msk->child = child;
	list_add_tail(&msk->room_relay.entry,
		      &myproto_sk(listener)->connect_queue);
	WRITE_ONCE(sk->sk_state, TCP_SYN_SENT);
	WRITE_ONCE(msk->listener, listener);
}

/* Undo it, and return the child. Called with the queue lock of the listener
 * held.
 */
static struct sock *myproto_dequeue_connecting(struct sock *sk)
{
	struct myproto_sock *msk = myproto_sk(sk);
	struct sock *child = msk->child;

	msk->child = NULL;
	/* Pairs with smp_load_acquire() in myproto_connect_cancel(). */
	smp_store_release(&msk->listener, NULL);
	return child;
}

/* If @listener has a place, complete the connect() that has waited longest for
 * one, model: conn_admit. Returns the socket, with a reference, for
 * myproto_admitted(), or NULL. Called with the queue lock of @listener held.
 */
static struct sock *myproto_admit_locked(struct sock *listener)
{
	struct myproto_sock *msk;

	/* Of one that has been shut down, all are refused, in order. */
	if (sk_acceptq_is_full(listener) ||
	    listener->sk_shutdown & RCV_SHUTDOWN)
		return NULL;
	msk = list_first_entry_or_null(&myproto_sk(listener)->connect_queue,
				       struct myproto_sock, room_relay.entry);
	if (!msk)
		return NULL;

	/* First, for it is a relay of the connected socket. */
	list_del_init(&msk->room_relay.entry);
	myproto_queue_child(&msk->sk, msk->child, listener);
	/* Whoever finds that it does not wait sees that it is connected. */
	myproto_dequeue_connecting(&msk->sk);
	return &msk->sk;
}

/* Tell both sides that @sk, if it is not NULL, has been connected, model:
 * conn_admitted.
 */
static void myproto_admitted(struct sock *listener, struct sock *sk)
{
	if (!sk)
		return;

	listener->sk_data_ready(listener);
	sk->sk_state_change(sk);
	sk_wake_async(sk, SOCK_WAKE_IO, POLL_OUT);
	sock_put(sk);
}

/* If @listener has a place, give it to the connect() that has waited longest
 * for one. Returns whether there was one.
 */
static bool myproto_admit(struct sock *listener)
{
	struct sock *sk;

	spin_lock(&listener->sk_receive_queue.lock);
	sk = myproto_admit_locked(listener);
	spin_unlock(&listener->sk_receive_queue.lock);
	myproto_admitted(listener, sk);
	return sk;
}

/**
 * myproto_listen - listen(2)
 * @sock: a socket that is not connected; if unbound, it gets
 *	MYPROTO_CHANNEL_DEFAULT
 * @backlog: when more connections than that wait for accept(), connect() waits
 *
 * Context: Process context. May sleep.
 * Return: 0, -EINVAL when the socket is connected or connecting, what bind()
 * says, or -ENOMEM.
 */
int myproto_listen(struct socket *sock, int backlog)
{
	struct sock *sk = sock->sk;
	int err, state;

	lock_sock(sk);
	err = -EINVAL;
	state = myproto_conn_state(sk);
	if (state != TCP_CLOSE && state != TCP_LISTEN)
		goto out;

	err = myproto_channel_autobind(sk, MYPROTO_CHANNEL_DEFAULT);
	if (err)
		goto out;

	/* For those who connect */
	err = myproto_set_peercred(sk);
	if (err)
		goto out;

	/* model: listen_set. It may have been shut down or aborted before. */
	spin_lock(&sk->sk_receive_queue.lock);
	if (state != TCP_LISTEN) {
		INIT_LIST_HEAD(&myproto_sk(sk)->accept_queue);
		INIT_LIST_HEAD(&myproto_sk(sk)->connect_queue);
	}
	WRITE_ONCE(sk->sk_shutdown, 0);
	WRITE_ONCE(sk->sk_err, 0);
	myproto_sk(sk)->aborted = false;
	WRITE_ONCE(sk->sk_max_ack_backlog, backlog);
	WRITE_ONCE(sk->sk_state, TCP_LISTEN);
	spin_unlock(&sk->sk_receive_queue.lock);

	/* The backlog may be longer than it was. */
	while (myproto_admit(sk))
		cond_resched();
out:
	release_sock(sk);
	trace_myproto_listen(sk, backlog, err);
	return err;
}

/* End a connect() that waits: @sk is as it was before, with @err to tell,
 * model: conn_end. Returns the child, for myproto_connect_ended(). Called with
 * the queue lock of the listener held.
 */
static struct sock *myproto_connect_end(struct sock *sk, int err)
{
	struct sock *child;

	list_del_init(&myproto_sk(sk)->room_relay.entry);
	child = myproto_dequeue_connecting(sk);
	WRITE_ONCE(sk->sk_err, err);
	/* Last: from here on connect() and listen() may begin anew. Pairs with
	 * smp_load_acquire() in myproto_conn_state().
	 */
	smp_store_release(&sk->sk_state, TCP_CLOSE);
	return child;
}

/* Tell @sk that its connect() has ended, and give up what the queue had,
 * model: conn_ended.
 */
static void myproto_connect_ended(struct sock *sk, struct sock *child)
{
	sk_error_report(sk);
	myproto_close(child, false);
	sock_put(sk);
}

/* End every connect() that waits at @listener, unless it listens again, model:
 * conn_refuse.
 */
static void myproto_refuse(struct sock *listener)
{
	struct list_head *queue = &myproto_sk(listener)->connect_queue;
	struct sock *child = NULL;
	struct myproto_sock *msk;

	do {
		spin_lock(&listener->sk_receive_queue.lock);
		msk = list_first_entry_or_null(queue, struct myproto_sock,
					       room_relay.entry);
		if (msk && myproto_listener_state(listener) == -EINPROGRESS)
			msk = NULL;
		if (msk)
			child = myproto_connect_end(&msk->sk, ECONNREFUSED);
		spin_unlock(&listener->sk_receive_queue.lock);
		if (msk)
			myproto_connect_ended(&msk->sk, child);
		cond_resched();
	} while (msk);
}

/* End the connect() of @sk if it waits, with @err to tell, model: conn_cancel.
 * Returns whether it did. If not, it has been completed or refused, or there is
 * none.
 */
static bool myproto_connect_cancel(struct sock *sk, int err)
{
	struct myproto_sock *msk = myproto_sk(sk);
	struct sock *listener, *child = NULL;

	/* It is freed by RCU, and no connect() waits there any more by then. */
	rcu_read_lock();
	/* Pairs with smp_store_release() in myproto_dequeue_connecting(). */
	listener = smp_load_acquire(&msk->listener);
	if (listener) {
		spin_lock(&listener->sk_receive_queue.lock);
		if (READ_ONCE(msk->listener) == listener)
			child = myproto_connect_end(sk, err);
		spin_unlock(&listener->sk_receive_queue.lock);
	}
	rcu_read_unlock();

	if (child)
		myproto_connect_ended(sk, child);
	return child;
}

/* Whether @sk may be connected with @child, which was made for @listener: now,
 * or with -EINPROGRESS when there is a place. If so, they are labelled. Returns
 * see myproto_listener_state(), or what a security module says. Called with the
 * queue lock of @listener held.
 */
static int myproto_may_connect(struct sock *sk, struct sock *listener,
			       struct sock *child)
{
	int state = myproto_listener_state(listener), err;

	if (state && state != -EINPROGRESS)
		return state;

	err = security_sock_local_connect(sk, listener, child);
	/* What makes connect() try again or wait is not for a module to say. */
	if (err == -ESTALE || err == -EINPROGRESS || err == -EALREADY)
		return -EACCES;
	return err ? : state;
}

/* Make the other end for @sk, with the options that @listener has now, and
 * connect them, or have @sk wait for a place in the backlog. Called with the
 * socket lock of @sk held. Returns 0, -EINPROGRESS, -ENOMEM, or see
 * myproto_may_connect().
 */
static int myproto_connect_listener(struct sock *sk, struct sock *listener)
{
	struct sock *child;
	int err;

	/* What does not listen must not be cloned. The rest is seen below. */
	if (READ_ONCE(listener->sk_state) != TCP_LISTEN)
		return sock_flag(listener, SOCK_DEAD) ? -ESTALE : -ECONNREFUSED;

	child = myproto_sk_clone(listener);
	if (!child)
		return -ENOMEM;
	err = myproto_set_peercred(child);
	if (err)
		goto out;

	/* model: conn_begin */
	spin_lock(&listener->sk_receive_queue.lock);
	err = myproto_may_connect(sk, listener, child);
	if (!err)
		myproto_queue_child(sk, child, listener);
	else if (err == -EINPROGRESS)
		myproto_queue_connecting(sk, child, listener);
	spin_unlock(&listener->sk_receive_queue.lock);

	if (!err)
		listener->sk_data_ready(listener);
out:
	if (err && err != -EINPROGRESS)
		myproto_close(child, false);
	return err;
}

/* Begin to connect @sk to @channel. Called with the socket lock held. Returns
 * see myproto_connect().
 */
static int myproto_connect_begin(struct sock *sk, u32 channel)
{
	struct sock *listener;
	int err;

	err = myproto_channel_autobind(sk, MYPROTO_CHANNEL_ANY);
	if (err)
		return err;

	do {
		listener = myproto_channel_lookup(sock_net(sk), channel);
		if (!listener)
			return -ECONNREFUSED;
		if (listener->sk_type == sk->sk_type)
			err = myproto_connect_listener(sk, listener);
		else
			err = -EPROTOTYPE;
		sock_put(listener);
	} while (err == -ESTALE);
	if (!err)
		/* To poll() it looks different now. */
		sk->sk_state_change(sk);
	return err;
}

/* Sleep while @sk is connecting. The socket lock is dropped for that. Returns
 * 0, @err when @timeo is over, what a signal gives, or how it has ended.
 */
static int myproto_connect_wait(struct sock *sk, long timeo, int err)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);

	/* model: conn_register, conn_check, conn_sleep */
	add_wait_queue(sk_sleep(sk), &wait);
	/* Pairs with skwq_has_sleeper() of who connects it, or ends this. */
	smp_mb();
	while (myproto_conn_state(sk) == TCP_SYN_SENT && timeo &&
	       !signal_pending(current)) {
		release_sock(sk);
		timeo = wait_woken(&wait, TASK_INTERRUPTIBLE, timeo);
		lock_sock(sk);
	}
	remove_wait_queue(sk_sleep(sk), &wait);

	/* model: conn_result */
	switch (myproto_conn_state(sk)) {
	case TCP_SYN_SENT:
		return timeo ? sock_intr_errno(timeo) : err;
	case TCP_ESTABLISHED:
		return 0;
	default:
		/* Somebody else may have been told. */
		return sock_error(sk) ? : -ECONNABORTED;
	}
}

/**
 * myproto_connect - connect(2)
 * @sock: a socket that is neither connected nor listening; if unbound, it gets
 *	a free channel
 * @addr: whom to connect to
 * @addr_len: length of @addr in bytes
 * @flags: O_NONBLOCK, not to wait for a place in the backlog
 *
 * The other end is made here and waits, connected, for accept(): where there is
 * a place in the backlog, a connection is up as soon as connect() returns.
 * Otherwise the socket is connecting, in line with others, until accept() or
 * listen() makes a place. poll() and SO_ERROR tell how it has ended, and so
 * does the next call, once: 0 when it is connected.
 *
 * Context: Process context. May sleep.
 * Return: 0, -EINVAL or -EAFNOSUPPORT when the address is not valid, -EINVAL
 * when the socket listens, -EISCONN when it is connected, -ECONNREFUSED when
 * nobody listens there, or does no longer, -EPROTOTYPE when it is a socket of
 * another type, -EINPROGRESS when the backlog is full and there is no time
 * left, -EALREADY instead when it was connecting before, what a signal gives,
 * after which it goes on, -ECONNRESET or -ECONNABORTED when shutdown() or
 * SOCK_DESTROY has ended it, what bind() or a security module says, or -ENOMEM.
 */
int myproto_connect(struct socket *sock, struct sockaddr_unsized *addr,
		    int addr_len, int flags)
{
	struct sock *sk = sock->sk;
	u32 channel = 0;
	long timeo;
	int err;

	/* There is no way back from a connection. */
	err = -EINVAL;
	if (addr_len >= (int)sizeof(addr->sa_family) &&
	    addr->sa_family == AF_UNSPEC)
		goto out;

	err = myproto_addr_peer(addr, addr_len, &channel);
	if (err)
		goto out;

	lock_sock(sk);
	timeo = sock_sndtimeo(sk, flags & O_NONBLOCK);
	/* model: conn_look */
	switch (myproto_conn_state(sk)) {
	case TCP_CLOSE:
		err = sock_error(sk) ? : myproto_connect_begin(sk, channel);
		break;
	case TCP_SYN_SENT:
		err = -EALREADY;
		break;
	case TCP_LISTEN:
		err = -EINVAL;
		break;
	default:
		err = sock->state == SS_CONNECTING ? 0 : -EISCONN;
	}

	if (err == -EINPROGRESS || err == -EALREADY) {
		sock->state = SS_CONNECTING;
		if (timeo)
			err = myproto_connect_wait(sk, timeo, err);
	}
	if (!err)
		sock->state = SS_CONNECTED;
	release_sock(sk);
out:
	trace_myproto_connect(sk, channel, err);
	return err;
}

/* Take the connection that has waited longest, with the queue's reference,
 * model: accept_take.
 */
static struct sock *myproto_dequeue_child(struct sock *sk)
{
	struct myproto_sock *msk = myproto_sk(sk), *child = NULL;
	struct sock *admitted = NULL;
	int err = -EAGAIN;

	spin_lock(&sk->sk_receive_queue.lock);
	if (READ_ONCE(sk->sk_state) == TCP_LISTEN)
		child = list_first_entry_or_null(&msk->accept_queue,
						 struct myproto_sock,
						 room_relay.entry);
	if (child) {
		list_del_init(&child->room_relay.entry);
		sk_acceptq_removed(sk);
		admitted = myproto_admit_locked(sk);
	} else if (READ_ONCE(sk->sk_state) != TCP_LISTEN ||
		   sk->sk_shutdown & RCV_SHUTDOWN) {
		err = -EINVAL;
	}
	spin_unlock(&sk->sk_receive_queue.lock);

	if (!child)
		return ERR_PTR(err);

	myproto_admitted(sk, admitted);
	return &child->sk;
}

static struct sock *myproto_wait_child(struct sock *sk, long timeo)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	struct sock *child;

	/* model: accept_register, accept_check, accept_sleep. A wake-up that
	 * finds a thread awake goes to the next one.
	 */
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
	return child;
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
	/* For SO_INQ */
	set_bit(SOCK_CUSTOM_SOCKOPT, &newsock->flags);
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
 * Return: 0 or -ENOMEM.
 */
int myproto_socketpair(struct socket *sock1, struct socket *sock2)
{
	int err;

	err = myproto_set_peercred(sock1->sk) ? :
	      myproto_set_peercred(sock2->sk);
	if (err)
		return err;

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

/* Wake whoever waits for room at @sk, which takes no more. */
static void myproto_wake_room_all(struct sock *sk)
{
	struct myproto_sock *msk = myproto_sk(sk);

	/* Pairs with the barriers of who waits, see myproto_wake_room(). */
	if (wq_has_sleeper(&msk->room_wait))
		wake_up_interruptible_all(&msk->room_wait);
}

/* Wake whoever waits at @sk, which has been shut down, and for room there. */
static void myproto_wake_shutdown(struct sock *sk)
{
	u8 mask = READ_ONCE(sk->sk_shutdown);

	sk->sk_state_change(sk);
	myproto_wake_room_all(sk);
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
		if (myproto_connect_cancel(sk, ECONNRESET))
			goto out;
		/* It may have been connected just now. */
		peer = myproto_peer(sk);
		if (!peer) {
			err = -ENOTCONN;
			goto out;
		}
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
	else if (sk->sk_type != SOCK_DGRAM)
		myproto_refuse(sk);
out:
	trace_myproto_shutdown(sk, how, err);
	return err;
}

/* Drop what was sent to @sk, where sending has come to an end, and has not been
 * read, for @reason. Returns whether there was any.
 */
static bool myproto_purge(struct sock *sk, enum skb_drop_reason reason)
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
	spin_unlock(&sk->sk_receive_queue.lock);

	if (unread)
		myproto_drop_unread(sk, len, reason);
	atomic_set(&sk->sk_rmem_alloc, 0);
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
	SKB_DR_INIT(reason, SOCKET_CLOSE);
	LIST_HEAD(children);
	bool listens;

	trace_myproto_release(sk);
	/* First, so that who meets it on a walk finds it complete. */
	myproto_sockets_del(sk);
	/* In this order: who finds the socket dead can be sure that the table
	 * does not have it any more.
	 */
	myproto_channel_unbind(sk);
	sock_orphan(sk);
	sock_prot_inuse_add(sock_net(sk), sk->sk_prot, -1);

	/* Before anything that accept() of the listener would find changed */
	myproto_connect_cancel(sk, 0);

	spin_lock(&sk->sk_receive_queue.lock);
	WRITE_ONCE(sk->sk_shutdown, SHUTDOWN_MASK);
	listens = READ_ONCE(sk->sk_state) == TCP_LISTEN;
	WRITE_ONCE(sk->sk_state, TCP_CLOSE);
	if (listens)
		list_splice_init(&msk->accept_queue, &children);
	spin_unlock(&sk->sk_receive_queue.lock);

	myproto_close_children(&children);
	/* Nobody is added to it any more. */
	if (listens && !list_empty(&msk->connect_queue))
		myproto_refuse(sk);
	if (reset)
		SKB_DR_SET(reason, SOCKET_UNACCEPTED);
	reset |= myproto_purge(sk, reason);
	myproto_close_peer(sk, reset);
	/* Last, so that who is woken sees all that there is to see. */
	myproto_wake_room_all(sk);
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
	bool listens;

	/* Without the socket lock, as in myproto_shutdown() */
	if (myproto_connect_cancel(sk, err))
		return 0;
	spin_lock(&sk->sk_receive_queue.lock);
	if (!dgram)
		peer = myproto_peer_locked(sk);
	if (msk->aborted || (!dgram && !peer &&
			     READ_ONCE(sk->sk_state) != TCP_LISTEN)) {
		spin_unlock(&sk->sk_receive_queue.lock);
		return -ENOENT;
	}
	myproto_set_aborted(sk, err);
	/* Or it is gone when @sk is closed. */
	if (peer)
		sock_hold(peer);
	listens = READ_ONCE(sk->sk_state) == TCP_LISTEN;
	if (listens)
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
	if (listens)
		myproto_refuse(sk);
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
	int state = TCP_ESTABLISHED;
	u8 shutdown;

	sock_poll_wait(file, sock, wait);

	/* model: conn_poll. First: connect() sets the error before. */
	if (sk->sk_type != SOCK_DGRAM)
		state = myproto_conn_state(sk);

	shutdown = READ_ONCE(sk->sk_shutdown);
	/* Until the state says that connecting has ended, it has no event. */
	if (state != TCP_SYN_SENT && READ_ONCE(sk->sk_err))
		mask |= EPOLLERR;
	if (shutdown & RCV_SHUTDOWN)
		mask |= EPOLLRDHUP | EPOLLIN | EPOLLRDNORM;
	if (shutdown == SHUTDOWN_MASK)
		mask |= EPOLLHUP;

	switch (state) {
	case TCP_LISTEN:
		if (READ_ONCE(sk->sk_ack_backlog))
			mask |= EPOLLIN | EPOLLRDNORM;
		break;
	case TCP_CLOSE:
		mask |= EPOLLHUP | EPOLLOUT | EPOLLWRNORM;
		break;
	case TCP_ESTABLISHED:
		if (myproto_readable(sk))
			mask |= EPOLLIN | EPOLLRDNORM;
		/* To ask for room has a price, so only for who wants to know */
		if (poll_requested_events(wait) & (EPOLLOUT | EPOLLWRNORM) &&
		    myproto_writable(sk))
			mask |= EPOLLOUT | EPOLLWRNORM;
		break;
	}
	return mask;
}
