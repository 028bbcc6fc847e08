/* SPDX-License-Identifier: GPL-2.0 */
/* Connecting in net/myproto: listen(), connect() that waits for a place in the
 * backlog, accept(), and what ends all that. See README.md for what this is, and
 * ../scripts/model.sh for the configurations (the macros) it is searched in.
 *
 * Up to three sockets connect to listener 0, or to listener 1, where nobody
 * accepts. They are numbered in this order: those of threads that sleep in
 * connect(), those of pollers, those that are closed while they connect.
 */

/* What is there. What is not asked for is absent. */
#ifndef NB
#define NB	0	/* sockets with a thread in a blocking connect() */
#endif
#ifndef NP
#define NP	0	/* sockets with O_NONBLOCK and a poller */
#endif
#ifndef NQ
#define NQ	0	/* sockets with O_NONBLOCK that are closed at any time */
#endif
#ifndef NA
#define NA	0	/* threads in accept() on listener 0 */
#endif
#ifndef ACCEPTS
#define ACCEPTS	1	/* how many connections each of them takes */
#endif
#ifndef BACKLOG
#define BACKLOG	0	/* of listener 0: one more than that has a place */
#endif
#ifndef FILLED
#define FILLED	0	/* 1: one connection waits at each listener already */
#endif
#ifndef ET
#define ET	0	/* 1: pollers are there before connect(), edge-triggered */
#endif
#ifndef TRIES
#define TRIES	1	/* how often a thread calls connect() that fails */
#endif
#ifndef AGAIN_AT
#define AGAIN_AT 0	/* to which listener, the second time */
#endif
#ifndef SIG
#define SIG	99	/* the thread that a signal interrupts once */
#endif
/* TWO: a second thread is in connect() of socket 0. LPOLL: an EPOLLIN poller of
 * listener 0, that accepts when it is told. LPOLL_EXCL: with EPOLLEXCLUSIVE.
 * KILL: shutdown() or SOCK_DESTROY of socket 0. LSHUT, LCLOSE, LABORT: shutdown(),
 * close() and SOCK_DESTROY of listener 0. LISTEN=n: listen() with another backlog.
 * BOUND: wake-ups are counted.
 */

/* Threads, pollers and their entries have the same number. */
#define A0	3	/* in accept(): 3, 4, 5; threads in connect() are 0, 1, 2 */
#define SECOND	6	/* the second thread of socket 0 */
#define PO	8	/* poller of socket s: 8 + s */
#define PL	11	/* poller of listener 0 */
#define NOBODY	99

/* q[0] is sk_sleep() of listener 0. */
#define LQ	0
#define CQ(s)	(1 + (s))
#ifdef MUT_SHARED
/* Mutation: all wait exclusively, on one queue, and then try again. */
#define WAIT_AT(s)	3
#define CONN_EXCL(e)	((e) < A0)
#else
#define WAIT_AT(s)	CQ(s)
#define CONN_EXCL(e)	false
#endif
#define ERR	3	/* key: EPOLLERR */

#ifdef LPOLL_EXCL
#define LPOLL
#define EXCL_LPOLL	1
#else
#define EXCL_LPOLL	0
#endif
#define EXCL(e) ((e) >= A0 && (e) < SECOND || (EXCL_LPOLL && (e) == PL) || CONN_EXCL(e))

/* States, of a socket and of the other end that connect() makes */
#define CLOSE		0
#define SYN_SENT	1
#define ESTABLISHED	2
#define NEW		1
#define QUEUED		2
#define ACCEPTED	3
#define CLOSED		4

/* The listeners */
chan accept_queue[2] = [4] of { byte };
chan connect_queue[2] = [4] of { byte };
chan children = [4] of { byte };	/* for close(), LABORT */
byte backlog[2];
bool listens = 1;	/* listener 0: state, RCV_SHUTDOWN */
bool rcvshut;
bool refused;		/* ghost: who waited at listener 0 before the others */
bool qlock[2];		/* the queue locks */

/* The sockets. Of a child 0 is none, and so it is with listener. */
byte state[3], child[3], peer[3], listener[3];
mtype err[3];
byte refs[3];
bool slock[3];		/* the socket locks */
bool closed[3];
byte tries[3];

#define CHILD(s)	(1 + (s) + 3 * tries[s])
#define OWNER(c)	(((c) - 1) % 3)
#define OTHERS		10	/* children of sockets that are not here: 10, 11 */
byte cstate[12];
byte accepts_left = NA * ACCEPTS;

/* What must be true, beside what nobody_sleeps_for_ever asks. before[s]: who
 * waited already when s began to.
 */
byte before[3];
byte waits;
hidden byte in_order, once, answer, place, few_wakeups;
#define LEAVES(s)	waits = waits & ~(1 << (s)); \
			before[0] = before[0] & ~(1 << (s)); \
			before[1] = before[1] & ~(1 << (s)); \
			before[2] = before[2] & ~(1 << (s))
#define IN_ORDER(x)	in_order = (x); assert(in_order)
#define ONCE(x)		once = (x); assert(once)
#define ANSWER(x)	answer = (x); assert(answer)
#define PLACE(x)	place = (x); assert(place)

/* What wakes: an end of a connect() wakes one thread, or the two of one socket.
 * What goes to the accept queue wakes one in accept().
 */
bool may_wake[3];	/* socket s has ended, and its thread has not been woken */
byte nqueued, nwoken;
inline count_wake(t)
{
#ifdef BOUND
	if
	:: (t) < A0 ->
		few_wakeups = may_wake[t];
		may_wake[t] = 0
	:: (t) >= A0 && (t) < SECOND ->
		nwoken++;
		few_wakeups = (nwoken <= nqueued)
	:: else -> few_wakeups = 1
	fi;
	assert(few_wakeups)
#else
	skip
#endif
}
#ifdef BOUND
#define MAY_WAKE(s)	may_wake[s] = 1
#define COUNT_QUEUED	nqueued++
#else
#define MAY_WAKE(s)	skip
#define COUNT_QUEUED	skip
#endif

#include "waitqueue.pml"

/* woken[t]: WQ_FLAG_WOKEN of the entry of t */
bool woken[8];

/* What an entry of sk_sleep() does: woken_wake_function() for a thread. One that
 * runs counts as not woken, and so an exclusive wake-up goes to the next.
 */
inline sleep_function(e, key, ret, gone)
{
	if
	:: e < 8 ->
		woken[e] = 1;
		try_to_wake(e, ret)
	:: e == PL -> poller_function(e, IN, key, ret)
	:: e >= PO && e < PL ->
		poller_function(e, (key == ERR -> ERR : OUT), key, ret)
	fi
}

#define SIGNALED(t)	(SIG == (t) && sig)
bool sig;

/* wait_woken(): the label is of the caller, who sleeps there. */
#define WAIT_BEGIN(t)	intr[t] = 1
#define WAIT_OVER(t)	(woken[t] || !intr[t] || SIGNALED(t))
#define WAIT_END(t)	intr[t] = 0; woken[t] = 0

inline lock(l)
{
	atomic { !l -> l = 1 }
}

inline unlock(l)
{
	l = 0
}

/* Results */
mtype = { OK, REFUSED, INPROGRESS, ALREADY, INTR, RESET, AGAIN, INVAL };

#define LISTENS(l)	((l) == 1 || (listens && !rcvshut))
#define FULL(l)		(len(accept_queue[l]) > backlog[l])
#ifdef MUT_OVERTAKE
/* Mutation: it looks at the backlog, not at who waits already. */
#define NO_PLACE(l)	FULL(l)
#else
#define NO_PLACE(l)	(FULL(l) || len(connect_queue[l]) > 0)
#endif

inline conn_put(s)
{
	d_step { ONCE(refs[s] > 0); refs[s]-- }
}

/* The child of a connect() that has not been completed */
inline close_new_child(c)
{
	d_step { ONCE(c != 0 && cstate[c] == NEW); cstate[c] = CLOSED }
}

/* conn_queue: a child for accept(), with the queue lock held */
#define QUEUE_CHILD(l, c) \
	PLACE(!FULL(l)); \
	ONCE(cstate[c] == NEW); \
	cstate[c] = QUEUED; \
	accept_queue[l]!(c); \
	COUNT_QUEUED

#ifdef MUT_ADMIT_SHUT
/* Mutation: the backlog is all that it looks at. */
#define MAY_ADMIT(l)	true
#else
#define MAY_ADMIT(l)	((l) == 1 || !rcvshut)
#endif

/* conn_admit: with the queue lock of listener l held. Those who do not hold it
 * see one after the other.
 */
inline conn_admit_locked(l, a)
{
	if
#ifdef MUT_PLACE
	/* Mutation: one has gone, so one can come. */
	:: len(connect_queue[l]) > 0 ->
#else
	:: !FULL(l) && len(connect_queue[l]) > 0 && MAY_ADMIT(l) ->
#endif
		d_step {
			connect_queue[l]?a;
			QUEUE_CHILD(l, child[a]);
			IN_ORDER(l == 1 || (before[a] == 0 && !refused));
			LEAVES(a)
		};
		state[a] = ESTABLISHED;
		d_step { peer[a] = child[a]; MAY_WAKE(a) };
		d_step { child[a] = 0; listener[a] = 0 }
	:: else -> a = NOBODY
	fi
}

/* conn_admitted */
inline conn_admitted(l, a)
{
	if
	:: a != NOBODY ->
#ifdef MUT_NO_DATA_READY
		/* Mutation: only the first accept() was for it. */
		skip;
#else
		wake_sleep(LQ, IN, ONE);
#endif
#ifdef MUT_HERD
		/* Mutation: whoever waits may look. */
		wake_sleep(CQ(0), NONE, ALL);
		wake_sleep(CQ(1), NONE, ALL);
		wake_sleep(CQ(2), NONE, ALL);
#else
		wake_sleep(CQ(a), NONE, ALL);
#endif
		conn_put(a)
	:: else
	fi;
	a = NOBODY
}

/* conn_end: with the queue lock of listener l held */
inline conn_end(l, s, why, c)
{
	d_step {
#ifndef MUT_PRIVATE
		ONCE(connect_queue[l]??[eval(s)]);
#endif
		if
		:: connect_queue[l]??[eval(s)] -> connect_queue[l]??eval(s)
		:: else
		fi;
		LEAVES(s);
		refused = refused || (l == 0 && why == REFUSED)
	};
#ifdef MUT_STATE_EARLY
	/* Mutation: it can connect() again before the rest is done. */
	err[s] = why;
	d_step { state[s] = CLOSE; MAY_WAKE(s) };
	d_step { c = child[s]; child[s] = 0 };
	listener[s] = 0
#else
	d_step { c = child[s]; child[s] = 0 };
	listener[s] = 0;
#ifdef MUT_ERR_LATE
	/* Mutation: for a moment there is an end and no error. */
	d_step { state[s] = CLOSE; MAY_WAKE(s) };
	err[s] = why
#else
	err[s] = why;
	d_step { state[s] = CLOSE; MAY_WAKE(s) }
#endif
#endif
}

/* conn_ended */
inline conn_ended(s, c)
{
	wake_sleep(CQ(s), ERR, ONE);
	close_new_child(c);
	conn_put(s);
	c = 0
}

/* conn_refuse */
inline conn_refuse(l, s, c)
{
#ifdef MUT_PRIVATE
	/* Mutation: all are taken off at once, and ended without the lock. */
	lock(qlock[l]);
	d_step {
		do
		:: len(connect_queue[l]) > 0 ->
			connect_queue[l]?s;
			children!s
		:: else -> break
		od;
		s = NOBODY
	};
	unlock(qlock[l]);
	do
	:: len(children) > 0 ->
		children?s;
		conn_end(l, s, REFUSED, c);
		conn_ended(s, c)
	:: else -> break
	od; skip
#else
	do
	:: true ->
		lock(qlock[l]);
		if
		:: len(connect_queue[l]) > 0 && !LISTENS(l) ->
			connect_queue[l]?<s>;
			conn_end(l, s, REFUSED, c)
		:: else -> s = NOBODY
		fi;
		unlock(qlock[l]);
		if
		:: s != NOBODY -> conn_ended(s, c)
		:: else -> break
		fi
	od; skip
#endif
}

/* conn_cancel */
inline conn_cancel(s, why, l, c)
{
	l = listener[s];
	c = 0;
	if
	:: l != 0 ->
		l--;
		lock(qlock[l]);
		if
#ifdef MUT_CANCEL
		/* Mutation: it does not look again. */
		:: true ->
#else
		:: listener[s] == l + 1 ->
#endif
			conn_end(l, s, why, c);
			did = 1
		:: else
		fi;
		unlock(qlock[l])
	:: else
	fi;
	if
	:: did -> conn_ended(s, c)
	:: else
	fi
}

/* conn_begin: all is under the queue lock, and so in one step. */
inline conn_begin(s, l, res)
{
	d_step {
		!qlock[l];
		if
		:: !LISTENS(l) -> res = REFUSED
		:: LISTENS(l) && NO_PLACE(l) ->
			res = INPROGRESS;
#ifdef MUT_SHARED
			if
			:: !(waits & (1 << (s))) -> before[s] = waits; waits = waits | (1 << (s))
			:: else
			fi
#else
			ONCE(child[s] == 0);
			child[s] = CHILD(s);
			ONCE(cstate[child[s]] == 0);
			cstate[child[s]] = NEW;
			refs[s]++;
			connect_queue[l]!s;
			state[s] = SYN_SENT;
			listener[s] = l + 1;
			if
			:: l == 0 -> before[s] = waits; waits = waits | (1 << (s))
			:: else
			fi
#endif
		:: else ->
			peer[s] = CHILD(s);
			ONCE(cstate[peer[s]] == 0);
			cstate[peer[s]] = NEW;
			QUEUE_CHILD(l, peer[s]);
#ifdef MUT_SHARED
			IN_ORDER(before[s] == 0 && (waits & ~(1 << (s))) == 0);
#else
			IN_ORDER(l == 1 || waits == 0);
#endif
			LEAVES(s);
			state[s] = ESTABLISHED;
			res = OK
		fi
	};
	if
	:: res == OK ->
		wake_sleep(LQ, IN, ONE);
		wake_sleep(CQ(s), NONE, ALL)
	:: else
	fi
}

/* conn_state: until it has its peer it is connecting. */
inline conn_state(s, st)
{
	st = state[s];
#ifndef MUT_STATE
	if
	:: st == ESTABLISHED && peer[s] == 0 -> st = SYN_SENT
	:: else
	fi
#endif
}

/* conn_look: connect(), with the socket lock held */
inline conn_look(s, l, st, res)
{
	conn_state(s, st);
	if
	:: st == CLOSE ->
		if
		:: err[s] != 0 -> d_step { res = err[s]; err[s] = 0 }
		:: else ->
			conn_begin(s, l, res)
		fi
	:: st == SYN_SENT -> res = ALREADY
	:: st == ESTABLISHED -> res = OK
	fi
}

/* A thread in a blocking connect() of socket s. Another may be there, too. */
proctype connecter(byte t; byte s)
{
	mtype res;
	byte st, l, left = TRIES;

again:
	lock(slock[s]);
#ifdef MUT_SHARED
retry:
#endif
	conn_look(s, l, st, res);
	if
	:: res == INPROGRESS || res == ALREADY ->
#ifdef MUT_SHARED
		d_step { wq_add_tail(WAIT_AT(s), t) };
		WAIT_BEGIN(t);
		if
		:: FULL(l) && LISTENS(l) ->
end_shared_sleep:	WAIT_OVER(t)
		:: else
		fi;
		WAIT_END(t);
		d_step { wq_del(WAIT_AT(s), t) };
		goto retry
#else
#ifdef MUT_CHECK_FIRST
		/* Mutation: it checks before it registers. */
		conn_state(s, st);
		d_step { wq_add(CQ(s), t) };
#else
		/* conn_register */
		d_step { wq_add(CQ(s), t) };
		conn_state(s, st);
#endif
		do
		/* conn_check */
		:: st == SYN_SENT && !SIGNALED(t) ->
			unlock(slock[s]);
			/* conn_sleep */
			WAIT_BEGIN(t);
end_conn_sleep:		WAIT_OVER(t);
			WAIT_END(t);
			lock(slock[s]);
			conn_state(s, st)
		:: else -> break
		od; skip;
		d_step { wq_del(CQ(s), t); woken[t] = 0 };
		/* conn_result */
		conn_state(s, st);
		if
		:: st == SYN_SENT -> res = INTR
		:: st == ESTABLISHED -> res = OK
		:: st == CLOSE ->
			d_step {
				res = (err[s] != 0 -> err[s] : RESET);
				err[s] = 0
			}
		fi
#endif
	:: else
	fi;
	if
	:: res == OK -> d_step { ANSWER(peer[s] != 0) }
	:: res == INTR -> sig = 0
	:: else
	fi;
	unlock(slock[s]);
	if
	:: res == INTR -> goto again
	:: (res == REFUSED || res == RESET) && left > 1 ->
		d_step { left--; tries[s]++; l = AGAIN_AT };
		goto again
	:: else
	fi
}

/* epoll_wait(): sleep until there may be an event. */
inline epoll_wait(p)
{
	atomic {
		if
		:: !rdy[p] -> inwait[p] = 1
		:: else
		fi
	}
}

/* conn_poll: poll() of a socket that has been connecting. If it is no longer, and
 * has no peer, there must be an error to see.
 */
inline conn_poll(s, st, e, yes)
{
#ifdef MUT_POLL_ERR
	/* Mutation: it looks for an error first. */
	e = (err[s] != 0);
	conn_state(s, st);
#else
	conn_state(s, st);
	e = (err[s] != 0);
#endif
	d_step {
		ANSWER(st != CLOSE || e);
		yes = (e || peer[s] != 0);
		st = 0;
		e = 0
	}
}

/* connect() with O_NONBLOCK, then epoll until there is an answer */
proctype poller(byte p; byte s)
{
	mtype res;
	byte st, l;
	bool e, yes;

#if ET
	/* What it sees before connect(), it forgets. */
	d_step { wq_add(CQ(s), p) };
#endif
	lock(slock[s]);
	conn_look(s, l, st, res);
	unlock(slock[s]);
	if
	:: res == INPROGRESS ->
#if ET
		skip;
#else
		/* conn_poll_register */
		d_step { wq_add(CQ(s), p) };
		conn_poll(s, st, e, yes);
		if
		:: yes -> rdy[p] = 1
		:: else
		fi;
#endif
		do
		:: true ->
			epoll_wait(p);
end_poll_sleep:		atomic { rdy[p] -> rdy[p] = 0; inwait[p] = 0 };
			conn_poll(s, st, e, yes);
			if
			:: yes -> break
			:: else
			fi
		od; skip;
		/* SO_ERROR: without an error it is connected. */
		d_step { ANSWER(err[s] != 0 || peer[s] != 0); err[s] = 0 }
	:: else
	fi;
	d_step { wq_del(CQ(s), p); rdy[p] = 0 }
}

/* connect() with O_NONBLOCK, then close() */
proctype quitter(byte s)
{
	mtype res;
	byte st, l, c;
	bool did;

	lock(slock[s]);
	conn_look(s, l, st, res);
	unlock(slock[s]);
	conn_cancel(s, 0, l, c);
	/* Nobody has it any more but its peer. */
	d_step {
		ONCE(listener[s] == 0 && child[s] == 0 &&
		     !connect_queue[0]??[eval(s)]);
		closed[s] = 1
	};
	conn_put(s)
}

/* shutdown() or SOCK_DESTROY of socket 0 */
proctype killer()
{
	byte l, c;
	bool did;

	if
	/* shutdown() looks at the peer first. */
	:: peer[0] != 0
	:: conn_cancel(0, RESET, l, c)
	fi;
	if
	:: !did && peer[0] != 0 -> wake_sleep(CQ(0), NONE, ALL)
	:: else
	fi
}

/* accept_take, conn_admit, conn_admitted */
inline accept_take(res, c, a)
{
	lock(qlock[0]);
	if
	:: len(accept_queue[0]) > 0 ->
		d_step {
			accept_queue[0]?c;
			ONCE(cstate[c] == QUEUED);
			cstate[c] = ACCEPTED;
			c = 0;
			res = OK
		};
		conn_admit_locked(0, a)
	:: else ->
		d_step { a = NOBODY; res = (LISTENS(0) -> AGAIN : INVAL) }
	fi;
	unlock(qlock[0]);
#ifdef MUT_SHARED
	if
	:: res == OK -> wake_sleep(WAIT_AT(0), NONE, ONE)
	:: else
	fi;
	a = NOBODY
#else
	conn_admitted(0, a)
#endif
}

proctype acceptor(byte t)
{
	mtype res;
	byte todo = ACCEPTS, c, a;

	do
	:: todo > 0 ->
		accept_take(res, c, a);
		if
		:: res == AGAIN ->
			/* accept_register */
			d_step { wq_add_tail(LQ, t) };
			do
			:: true ->
				/* accept_check */
				accept_take(res, c, a);
				if
				:: res == AGAIN && !SIGNALED(t) ->
					/* accept_sleep */
					WAIT_BEGIN(t);
end_accept_sleep:			WAIT_OVER(t);
					WAIT_END(t)
				:: else -> break
				fi
			od; skip;
			d_step { wq_del(LQ, t); woken[t] = 0 };
		:: else
		fi;
		if
		:: res == OK -> d_step { todo--; accepts_left-- }
		:: else -> break
		fi
	:: else -> break
	od; skip;
	/* EINTR: it does not call again. */
	d_step { accepts_left = accepts_left - todo; todo = 0; res = 0 }
}

/* A poller of listener 0. Edge-triggered, it accepts until EAGAIN. */
proctype lpoller()
{
	mtype res;
	byte c, a;

	d_step {
		if
		:: EXCL_LPOLL -> wq_add_tail(LQ, PL)
		:: else -> wq_add(LQ, PL)
		fi
	};
	rdy[PL] = 1;
	do
	:: true ->
		epoll_wait(PL);
end_lpoll_sleep: atomic { rdy[PL] -> rdy[PL] = 0; inwait[PL] = 0 };
		do
		:: true ->
			accept_take(res, c, a);
			if
			:: res == OK
			:: else -> break
			fi
		od;
		if
		:: res == INVAL -> break
		:: else
		fi
	od; skip;
	d_step { wq_del(LQ, PL); rdy[PL] = 0 }
}

/* listen() of listener 0, with another backlog */
#ifdef LISTEN
proctype listener_listens()
{
	byte a;

	/* listen_set */
	d_step {
		!qlock[0];
		if
		:: listens -> rcvshut = 0; refused = 0; backlog[0] = LISTEN
		:: else
		fi
	};
#ifndef MUT_LISTEN
	do
	:: true ->
		lock(qlock[0]);
		conn_admit_locked(0, a);
		unlock(qlock[0]);
		if
		:: a != NOBODY -> conn_admitted(0, a)
		:: else -> break
		fi
	od
#endif
}
#endif

/* Close connections that nobody has accepted. */
inline close_children(s, c)
{
	do
	:: len(children) > 0 ->
		d_step {
			children?c;
			ONCE(cstate[c] == QUEUED);
			cstate[c] = CLOSED;
			s = (c < OTHERS -> OWNER(c) : NOBODY);
			c = 0
		};
		if
		:: s != NOBODY && !closed[s] -> wake_sleep(CQ(s), NONE, ALL)
		:: else
		fi
	:: else -> break
	od
}

#define SPLICE_CHILDREN \
	do \
	:: len(accept_queue[0]) > 0 -> accept_queue[0]?c; children!c \
	:: else -> break \
	od; \
	c = 0

/* shutdown(), SOCK_DESTROY and close() of listener 0 */
proctype listener_ends()
{
	byte s, c;

#ifdef LSHUT
	/* listener_mark */
	d_step { !qlock[0]; rcvshut = 1 };
	wake_sleep(LQ, NONE, ALL);
#endif
#ifdef LABORT
	/* listener_mark */
	d_step { !qlock[0]; rcvshut = 1; SPLICE_CHILDREN };
	wake_sleep(LQ, NONE, ALL);
	close_children(s, c);
#endif
#ifdef LCLOSE
	/* Not before nobody is in accept() */
	accepts_left == 0;
	/* listener_mark */
	d_step { !qlock[0]; listens = 0; SPLICE_CHILDREN };
	close_children(s, c);
#endif
#ifndef MUT_REFUSE
	conn_refuse(0, s, c)
#endif
}

#if SIG != 99
proctype signal()
{
	d_step {
		sig = 1;
		if
		:: intr[SIG] -> intr[SIG] = 0
		:: else
		fi
	}
}
#endif

/* When nobody can go on: who sleeps must have nothing to wake up for, and who is
 * in line must have no place, and somebody to wait for.
 */
#define WAITING(s)	(listener[s] != 0)
#define CONN_GOES(t, s)	(intr[t] && state[s] != SYN_SENT)
#define POLLER_GOES(s)	(inwait[PO + s] && \
			 (err[s] != 0 || peer[s] != 0 || state[s] == CLOSE))
#define ACCEPT_GOES(t)	(intr[t] && (len(accept_queue[0]) > 0 || !LISTENS(0)))
#define LPOLLER_GOES	(inwait[PL] && (len(accept_queue[0]) > 0 || !LISTENS(0)))
#define LINE_GOES(l)	(len(connect_queue[l]) > 0 && (!LISTENS(l) || !FULL(l)))
/* One is of the file, one of the line. A child is of whom it belongs to. */
#define REFS(s)		(refs[s] == (closed[s] -> 0 : 1) + \
			 (connect_queue[0]??[s] || connect_queue[1]??[s] -> 1 : 0))
#define CHILD_HELD(c)	(cstate[c] != NEW || child[OWNER(c)] == (c))

active proctype nobody_sleeps_for_ever()
{
end_watch:
	timeout ->
#ifdef MUT_SHARED
	assert(!(intr[0] && !FULL(0)));
#else
	assert(!CONN_GOES(0, 0));
	assert(!CONN_GOES(1, 1));
	assert(!CONN_GOES(2, 2));
	assert(!CONN_GOES(SECOND, 0));
#endif
	assert(!POLLER_GOES(0));
	assert(!POLLER_GOES(1));
	assert(!POLLER_GOES(2));
	assert(!ACCEPT_GOES(A0));
	assert(!ACCEPT_GOES(A0 + 1));
	assert(!ACCEPT_GOES(A0 + 2));
	assert(!LPOLLER_GOES);
	assert(!LINE_GOES(0));
	assert(!LINE_GOES(1));
	d_step {
		ONCE(REFS(0) && REFS(1) && REFS(2));
		ONCE(CHILD_HELD(1) && CHILD_HELD(2) && CHILD_HELD(3) &&
		     CHILD_HELD(4) && CHILD_HELD(5) && CHILD_HELD(6))
	}
}

init {
	atomic {
		backlog[0] = BACKLOG;
		refs[0] = 1;
		refs[1] = 1;
		refs[2] = 1;
#if FILLED
		cstate[OTHERS] = QUEUED;
		cstate[OTHERS + 1] = QUEUED;
		accept_queue[0]!OTHERS;
		accept_queue[1]!OTHERS + 1;
#endif
#if NB > 0
		run connecter(0, 0);
#endif
#if NB > 1
		run connecter(1, 1);
#endif
#if NB > 2
		run connecter(2, 2);
#endif
#ifdef TWO
		run connecter(SECOND, 0);
#endif
#if NP > 0
		run poller(PO + NB, NB);
#endif
#if NP > 1
		run poller(PO + NB + 1, NB + 1);
#endif
#if NQ > 0
		run quitter(NB + NP);
#endif
#if NQ > 1
		run quitter(NB + NP + 1);
#endif
#if NA > 0
		run acceptor(A0);
#endif
#if NA > 1
		run acceptor(A0 + 1);
#endif
#if NA > 2
		run acceptor(A0 + 2);
#endif
#ifdef LPOLL
		run lpoller();
#endif
#ifdef KILL
		run killer();
#endif
#ifdef LISTEN
		run listener_listens();
#endif
#if defined(LSHUT) || defined(LCLOSE) || defined(LABORT)
		run listener_ends();
#endif
#if SIG != 99
		run signal();
#endif
	}
}
