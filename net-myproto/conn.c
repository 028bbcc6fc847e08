// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: connections, from listen() to close() of both ends */

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

/* Returns the state of @sk, model: conn_state. A socket in TCP_ESTABLISHED
 * without a peer is still connecting: myproto_establish() sets the peer last.
 */
static int myproto_conn_state(const struct sock *sk)
{
	/* Pairs with smp_store_release() in myproto_connect_end(). */
	int state = smp_load_acquire(&sk->sk_state);

	return state == TCP_ESTABLISHED && !myproto_peer(sk) ?
	       TCP_SYN_SENT : state;
}

/* Connect @sk to @peer. @sk holds a reference to @peer until it is closed. */
static void myproto_establish(struct sock *sk, struct sock *peer)
{
	sock_hold(peer);
	WRITE_ONCE(sk->sk_state, TCP_ESTABLISHED);
	/* Last: a reader that sees the peer also sees the state. */
	rcu_assign_pointer(myproto_sk(sk)->peer, peer);
}

/* Check whether @listener accepts a connect(). Returns 0, -EINPROGRESS when the
 * connect() must wait for space in the backlog, -ECONNREFUSED, or -ESTALE when
 * @listener is being closed and the caller must look up the channel again.
 * Caller holds the queue lock of @listener.
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

/* Connect @sk to @child and add @child, with the caller's reference, to the
 * accept queue, model: conn_queue. Caller holds the queue lock of @listener.
 */
static void myproto_queue_child(struct sock *sk, struct sock *child,
				struct sock *listener)
{
	myproto_copy_peercred(sk, listener);
	myproto_establish(child, sk);
	myproto_establish(sk, child);
	list_add_tail(&myproto_sk(child)->peer_relay.entry,
		      &myproto_sk(listener)->accept_queue);
	sk_acceptq_added(listener);
}

/* Let @sk wait for space in the backlog. Takes over the caller's reference to
 * @child. Caller holds the queue lock of @listener.
 */
static void myproto_queue_connecting(struct sock *sk, struct sock *child,
				     struct sock *listener)
{
	struct myproto_sock *msk = myproto_sk(sk);

	sock_hold(sk);
	msk->child = child;
	list_add_tail(&msk->peer_relay.entry,
		      &myproto_sk(listener)->connect_queue);
	WRITE_ONCE(sk->sk_state, TCP_SYN_SENT);
	WRITE_ONCE(msk->listener, listener);
}

/* Returns the child of @sk. Caller holds the queue lock of the listener. */
static struct sock *myproto_dequeue_connecting(struct sock *sk)
{
	struct myproto_sock *msk = myproto_sk(sk);
	struct sock *child = msk->child;

	msk->child = NULL;
	/* Pairs with smp_load_acquire() in myproto_connect_cancel(). */
	smp_store_release(&msk->listener, NULL);
	return child;
}

/* Complete the oldest waiting connect() if the backlog has space, model:
 * conn_admit. Returns its socket for myproto_admitted(), with a reference, or
 * NULL. Caller holds the queue lock of @listener.
 */
static struct sock *myproto_admit_locked(struct sock *listener)
{
	struct myproto_sock *msk;

	/* After shutdown(), myproto_refuse() ends each waiting connect(). */
	if (sk_acceptq_is_full(listener) ||
	    listener->sk_shutdown & RCV_SHUTDOWN)
		return NULL;
	msk = list_first_entry_or_null(&myproto_sk(listener)->connect_queue,
				       struct myproto_sock, peer_relay.entry);
	if (!msk)
		return NULL;

	/* First: a connected socket uses peer_relay for poll(). */
	list_del_init(&msk->peer_relay.entry);
	myproto_queue_child(&msk->sk, msk->child, listener);
	/* Last: shutdown() looks for a peer if no connect() is waiting. */
	myproto_dequeue_connecting(&msk->sk);
	return &msk->sk;
}

/* Wake both sides after @sk was connected, model: conn_admitted. Consumes the
 * reference to @sk, which may be NULL.
 */
static void myproto_admitted(struct sock *listener, struct sock *sk)
{
	if (!sk)
		return;

	myproto_wake_readers(listener);
	sk->sk_state_change(sk);
	sk_wake_async(sk, SOCK_WAKE_IO, POLL_OUT);
	sock_put(sk);
}

/* Returns whether a waiting connect() was completed. */
static bool myproto_admit(struct sock *listener)
{
	struct sock *sk;

	spin_lock(&listener->sk_receive_queue.lock);
	sk = myproto_admit_locked(listener);
	spin_unlock(&listener->sk_receive_queue.lock);
	myproto_admitted(listener, sk);
	return sk;
}

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

	/* Each client gets a copy as its SO_PEERCRED. */
	err = myproto_set_peercred(sk);
	if (err)
		goto out;

	/* A connecting socket uses it under RCU, see @listener. */
	sock_set_flag(sk, SOCK_RCU_FREE);

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

	/* The new backlog may have space for waiting connect() calls. */
	while (myproto_admit(sk))
		cond_resched();
out:
	release_sock(sk);
	trace_myproto_listen(sk, backlog, err);
	return err;
}

/* End a waiting connect() with @err, model: conn_end. Returns the child for
 * myproto_connect_ended(). Caller holds the queue lock of the listener.
 */
static struct sock *myproto_connect_end(struct sock *sk, int err)
{
	struct sock *child;

	list_del_init(&myproto_sk(sk)->peer_relay.entry);
	child = myproto_dequeue_connecting(sk);
	WRITE_ONCE(sk->sk_err, err);
	/* Last: a new connect() or listen() may start now. Pairs with
	 * smp_load_acquire() in myproto_conn_state().
	 */
	smp_store_release(&sk->sk_state, TCP_CLOSE);
	return child;
}

/* Report the end of a connect(), and release @child and the reference of the
 * connect queue to @sk, model: conn_ended.
 */
static void myproto_connect_ended(struct sock *sk, struct sock *child)
{
	sk_error_report(sk);
	myproto_close(child, false);
	sock_put(sk);
}

/* Refuse waiting connect() calls unless @listener listens again, model:
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
					       peer_relay.entry);
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

/* End the connect() of @sk with @err if it is waiting, model: conn_cancel.
 * Returns false if it was not, or if it has been completed or refused.
 */
static bool myproto_connect_cancel(struct sock *sk, int err)
{
	struct myproto_sock *msk = myproto_sk(sk);
	struct sock *listener, *child = NULL;

	/* The listener is freed by RCU, after its close() has ended all waiting
	 * connect() calls.
	 */
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

/* Check whether @sk can connect, and let security modules label @sk and @child.
 * Returns an error of a security module, or see myproto_listener_state().
 * Caller holds the queue lock of @listener.
 */
static int myproto_may_connect(struct sock *sk, struct sock *listener,
			       struct sock *child)
{
	int state = myproto_listener_state(listener), err;

	if (state && state != -EINPROGRESS)
		return state;

	err = security_sock_local_connect(sk, listener, child);
	/* A security module must not make connect() retry or wait. */
	if (err == -ESTALE || err == -EINPROGRESS || err == -EALREADY)
		return -EACCES;
	return err ? : state;
}

/* Create the other end for accept(), and connect or wait for space in the
 * backlog. Returns -ENOMEM, or see myproto_may_connect(). Caller holds the
 * socket lock of @sk.
 */
static int myproto_connect_listener(struct sock *sk, struct sock *listener)
{
	struct sock *child;
	int err;

	/* Only a listener can be cloned. Checked again under the lock. */
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
		myproto_wake_readers(listener);
out:
	if (err && err != -EINPROGRESS)
		myproto_close(child, false);
	return err;
}

/* Start to connect @sk to @channel. Caller holds the socket lock. */
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
		/* The events of poll() have changed. */
		sk->sk_state_change(sk);
	return err;
}

/* Wait while @sk is connecting, without the socket lock. Returns 0, @err when
 * @timeo is over, sock_intr_errno(), or the error of the connect().
 */
static int myproto_connect_wait(struct sock *sk, long timeo, int err)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);

	/* model: conn_register, conn_check, conn_sleep */
	add_wait_queue(sk_sleep(sk), &wait);
	/* Pairs with skwq_has_sleeper() in sock_def_wakeup() and
	 * sock_def_error_report().
	 */
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
		/* Another caller may have read the error. */
		return sock_error(sk) ? : -ECONNABORTED;
	}
}

/* A connection is up as soon as there is space in the backlog, before accept().
 * Until then the socket is connecting. poll() and SO_ERROR report the result,
 * and so does the next connect(), which returns 0 once.
 */
int myproto_connect(struct socket *sock, struct sockaddr_unsized *addr,
		    int addr_len, int flags)
{
	struct sock *sk = sock->sk;
	u32 channel = 0;
	long timeo;
	int err;

	/* connect() cannot end a connection. */
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

/* Dequeue the oldest connection, with its reference, model: accept_take. */
static struct sock *myproto_dequeue_child(struct sock *sk)
{
	struct myproto_sock *msk = myproto_sk(sk), *child = NULL;
	struct sock *admitted = NULL;
	int err = -EAGAIN;

	spin_lock(&sk->sk_receive_queue.lock);
	if (READ_ONCE(sk->sk_state) == TCP_LISTEN)
		child = list_first_entry_or_null(&msk->accept_queue,
						 struct myproto_sock,
						 peer_relay.entry);
	if (child) {
		list_del_init(&child->peer_relay.entry);
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

	/* model: accept_register, accept_check, accept_sleep. If this thread is
	 * already awake, the wake-up goes to the next one.
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

	/* The socket belongs to the memory cgroup of this process from now. */
	mem_cgroup_sk_alloc(child);
	/* Pairs with smp_load_acquire() in __myproto_charge_begin(). */
	smp_wmb();
	sock_graft(child, newsock);
	newsock->state = SS_CONNECTED;
	/* Let myproto_setsockopt() handle SO_INQ. */
	set_bit(SOCK_CUSTOM_SOCKOPT, &newsock->flags);
	trace_myproto_accept(sk, child, 0);
	return 0;
}

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

/* Shut down @mask of @sk, and set sk_err to @err if that is not 0. */
static void myproto_set_shutdown(struct sock *sk, u8 mask, int err)
{
	spin_lock(&sk->sk_receive_queue.lock);
	WRITE_ONCE(sk->sk_shutdown, sk->sk_shutdown | mask);
	/* myproto_abort() has already set the errors of both ends. */
	if (err && !myproto_sk(sk)->aborted)
		WRITE_ONCE(sk->sk_err, err);
	spin_unlock(&sk->sk_receive_queue.lock);
}

/* Wake all threads that wait for space at @sk. */
static void myproto_wake_room_all(struct sock *sk)
{
	struct myproto_sock *msk = myproto_sk(sk);

	/* No barrier: they check sk_shutdown under the queue lock. */
	if (waitqueue_active(&msk->peer_wait))
		wake_up_interruptible_all(&msk->peer_wait);
}

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

/* After shutdown(), a listening socket refuses new connections. Connections in
 * its accept queue can still be accepted.
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

	/* Convert SHUT_* to RCV_SHUTDOWN and SEND_SHUTDOWN. */
	mask = how + 1;
	peer_mask = (mask & RCV_SHUTDOWN ? SEND_SHUTDOWN : 0) |
		    (mask & SEND_SHUTDOWN ? RCV_SHUTDOWN : 0);

	/* No socket lock: a reader may hold it during a page fault. */
	if (sk->sk_type != SOCK_DGRAM)
		peer = myproto_peer(sk);
	if (!peer && sk->sk_type != SOCK_DGRAM &&
	    READ_ONCE(sk->sk_state) != TCP_LISTEN) {
		if (myproto_connect_cancel(sk, ECONNRESET))
			goto out;
		/* It may have been connected meanwhile. */
		peer = myproto_peer(sk);
		if (!peer) {
			err = -ENOTCONN;
			goto out;
		}
	}

	/* Set both before any wake-up: a sender sleeps at its own end, but
	 * checks the state of the receiver.
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

static void myproto_close_children(struct list_head *children)
{
	struct myproto_sock *child, *next;

	list_for_each_entry_safe(child, next, children, peer_relay.entry) {
		list_del_init(&child->peer_relay.entry);
		myproto_close(&child->sk, true);
		cond_resched();
	}
}

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

	myproto_relay_del(sk, peer);
	/* A closed peer needs no shutdown and no wake-up. */
	if (sk->sk_type != SOCK_DGRAM &&
	    READ_ONCE(peer->sk_state) != TCP_CLOSE) {
		myproto_set_shutdown(peer, SHUTDOWN_MASK,
				     reset ? ECONNRESET : 0);
		myproto_wake_shutdown(peer);
	}
	sock_put(peer);
}

/**
 * myproto_close - close a socket
 * @sk: the socket; consumes the caller's reference
 * @reset: the peer gets ECONNRESET even if there is no unread data, because
 *	@sk was never accepted
 */
void myproto_close(struct sock *sk, bool reset)
{
	struct myproto_sock *msk = myproto_sk(sk);
	SKB_DR_INIT(reason, SOCKET_CLOSE);
	bool listens, unread;
	LIST_HEAD(children);
	u32 len;

	trace_myproto_release(sk);
	/* First: readers of the table must see a complete socket. */
	myproto_sockets_del(sk);
	/* Before sock_orphan(): on SOCK_DEAD, connect() repeats the lookup. */
	myproto_channel_unbind(sk);
	sock_orphan(sk);
	sock_prot_inuse_add(sock_net(sk), sk->sk_prot, -1);

	/* After this, accept() cannot connect @sk any more. */
	myproto_connect_cancel(sk, 0);

	spin_lock(&sk->sk_receive_queue.lock);
	WRITE_ONCE(sk->sk_shutdown, SHUTDOWN_MASK);
	listens = READ_ONCE(sk->sk_state) == TCP_LISTEN;
	WRITE_ONCE(sk->sk_state, TCP_CLOSE);
	if (listens)
		list_splice_init(&msk->accept_queue, &children);
	skb_queue_splice_tail_init(&sk->sk_receive_queue, &sk->sk_write_queue);
	/* Messages can be empty, and small data is not in an skb. */
	len = myproto_inq(sk);
	unread = len || !skb_queue_empty(&sk->sk_write_queue);
	spin_unlock(&sk->sk_receive_queue.lock);

	myproto_close_children(&children);
	/* This needs no lock: no connect() is added any more. If one is just
	 * leaving, myproto_close_peer() waits for its queue lock section.
	 */
	if (listens && !list_empty(&msk->connect_queue))
		myproto_refuse(sk);
	if (reset)
		SKB_DR_SET(reason, SOCKET_UNACCEPTED);
	if (unread)
		myproto_drop_unread(sk, len, reason);
	atomic_set(&sk->sk_rmem_alloc, 0);
	myproto_close_peer(sk, reset || unread);
	/* Last: the peer must see an error when it sees that data is gone.
	 * Pairs with smp_load_acquire() in myproto_inq().
	 */
	smp_store_release(&msk->rx_read, msk->rx_total);
	/* Last: woken threads must see the final state. */
	myproto_wake_room_all(sk);
	sock_put(sk);
}

/* Caller holds the queue lock of @sk. */
static void myproto_set_aborted(struct sock *sk, int err)
{
	myproto_sk(sk)->aborted = true;
	WRITE_ONCE(sk->sk_shutdown, SHUTDOWN_MASK);
	WRITE_ONCE(sk->sk_err, err);
}

/**
 * myproto_abort - shut down a socket for SOCK_DESTROY
 * @sk: the socket, which may be closed at the same time
 * @err: the error for @sk; the peer of a connection gets ECONNRESET
 *
 * Received data can still be read, and the socket stays bound.
 *
 * Return: 0, or -ENOENT when there is nothing to abort.
 */
int myproto_abort(struct sock *sk, int err)
{
	struct myproto_sock *msk = myproto_sk(sk);
	bool dgram = sk->sk_type == SOCK_DGRAM;
	struct sock *peer = NULL;
	LIST_HEAD(children);
	bool listens;

	/* No socket lock, as in myproto_shutdown(). */
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
	/* Otherwise close() of @sk could free the peer. */
	if (peer)
		sock_hold(peer);
	listens = READ_ONCE(sk->sk_state) == TCP_LISTEN;
	if (listens)
		list_splice_init(&msk->accept_queue, &children);
	WRITE_ONCE(sk->sk_ack_backlog, 0);
	spin_unlock(&sk->sk_receive_queue.lock);

	/* Set both before any wake-up, as in myproto_shutdown(). */
	if (peer) {
		spin_lock(&peer->sk_receive_queue.lock);
		/* The peer may be aborted at the same time. */
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

__poll_t myproto_poll(struct file *file, struct socket *sock,
		      struct poll_table_struct *wait)
{
	struct sock *sk = sock->sk;
	__poll_t mask = 0;
	int state = TCP_ESTABLISHED;
	u8 shutdown;

	sock_poll_wait(file, sock, wait);

	/* model: conn_poll. Read the state before sk_err, which the end of a
	 * connect() sets first.
	 */
	if (sk->sk_type != SOCK_DGRAM)
		state = myproto_conn_state(sk);

	shutdown = READ_ONCE(sk->sk_shutdown);
	/* No EPOLLERR before the state shows that connect() has ended. */
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
		/* The check may take locks, so only on request. */
		if (poll_requested_events(wait) & (EPOLLOUT | EPOLLWRNORM) &&
		    myproto_writable(sk))
			mask |= EPOLLOUT | EPOLLWRNORM;
		break;
	}
	return mask;
}
