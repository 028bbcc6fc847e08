/* SPDX-License-Identifier: GPL-2.0 */
/* Waiting and waking in net/myproto. See README.md for what this is, and
 * ../scripts/model.sh for the configurations (the macros) it is searched in.
 *
 * Senders use the sockets 0 and 1, and all send to one receiver, R. Socket 1 is
 * only there with DGRAM.
 */

/* What is there. Threads, pollers and sends that are not asked for are absent. */
#ifndef NS
#define NS	0	/* threads in send(): 0 and 1 on socket 0, 2 on socket S2 */
#endif
#ifndef S2
#define S2	0	/* 1: the third is on a socket of its own (DGRAM) */
#endif
#ifndef NR
#define NR	0	/* threads in recv() on R */
#endif
#ifndef NPI
#define NPI	0	/* EPOLLIN pollers of R, which read when they are told */
#endif
#ifndef NPO
#define NPO	0	/* EPOLLOUT pollers: the first of socket 0, the second of P2 */
#endif
#ifndef P2
#define P2	0
#endif
#ifndef ET
#define ET	0	/* 1: the EPOLLOUT pollers are edge-triggered */
#endif
#ifndef EXCL_OUT
#define EXCL_OUT 0	/* how many EPOLLOUT pollers are EPOLLEXCLUSIVE */
#endif
#ifndef EXCL_IN
#define EXCL_IN	0	/* how many EPOLLIN pollers are */
#endif
#ifndef SIG
#define SIG	99	/* the thread that a signal interrupts once */
#endif

#define FOREVER	255
#ifndef SENDS
#define SENDS	FOREVER	/* how often each sender sends */
#endif
#ifndef READS
#define READS	FOREVER	/* how often each reader reads */
#endif
/* One of the two has to be finite. */

#ifndef RCVBUF
#ifdef STREAM
#define RCVBUF	4
#else
#define RCVBUF	1
#endif
#endif
#ifndef P
#define P	1	/* how many bytes are sent at once */
#endif
#ifndef C
#define C	P	/* what is charged for them */
#endif
#ifndef RL
#define RL	1	/* how much is read at once (STREAM) */
#endif
#ifndef LOWAT
#define LOWAT	1
#endif
#ifndef WANT
#define WANT	99	/* how much a MSG_PEEK|MSG_WAITALL waits for (STREAM) */
#endif

#ifndef FILLED
#define FILLED	0	/* how much is there at the beginning: so many sends */
#endif

/* ENTRY: threads and their entries have the same number. */
#define R0	3	/* readers: 3, 4; senders are 0, 1, 2 */
#define PEEKER	5	/* a thread in recv(MSG_PEEK) on R */
#define OTHER	6	/* a thread in recv() on socket 0: the other direction */
#define PO	8	/* EPOLLOUT pollers: 8, 9 */
#define PI	10	/* EPOLLIN pollers: 10, 11 */
#define STATE(t)	(16 + (t))	/* a sender's entry on its own sk_sleep() */
#define RELAY(s)	(32 + (s))	/* of socket s, on peer_wait */

/* Exclusive entries of sk_sleep() and of peer_wait */
#ifdef STREAM
#define EXCL_READER	0
#else
#define EXCL_READER	1
#endif
#define EXCL(e) ((EXCL_READER && ((e) == R0 || (e) == R0 + 1 || (e) == OTHER)) || \
		 ((e) >= PO && (e) < PO + EXCL_OUT) || ((e) >= PI && (e) < PI + EXCL_IN))
#define ROOM_EXCL(e)	((e) < 3)

/* The receiver */
byte rcvbuf = RCVBUF;
byte rmem = FILLED * C;	/* charged */
byte inq = FILLED * P;	/* not read yet */
byte part;		/* STREAM: so much of the first piece has been read */
byte lowat = LOWAT;
byte rx_waiting;	/* STREAM: threads that wait for any data */
byte copied;		/* by the peeker */
bool fresh;		/* there is something it has not seen */
bool qlock;		/* the queue lock */
bool slock;		/* the socket lock, which orders the readers of a STREAM */
bool rcvshut, sendshut[2];
bool sig[8];

#ifdef BOUND
byte nsent, nfree;	/* sends that went; times that space was freed */
byte nwake_s, nwake_r, nwake_o;	/* wake-ups of senders, readers, EPOLLOUT pollers */
#define COUNT(n)	n++
#else
#define COUNT(n)	skip
#endif

#define SPACE		(rcvbuf - rmem)
#ifdef STREAM
#define T		(2 * SPACE >= rcvbuf)
#ifdef MUT_LOWAT
/* Mutation: the reader thinks of any space, the sender of half. */
#define READER_T	(SPACE > 0)
#else
#define READER_T	T
#endif
#define READABLE	(inq > 0 && (inq >= lowat || !READER_T))
#define READY		(rx_waiting > 0 || inq >= lowat || !READER_T)
#else
#define T		(SPACE > 0)
#define READABLE	(inq > 0)
#define READY		true
#endif

/* The bounds. Space that is freed wakes one sender, and each sender that has
 * waited, and has gone, may wake one more; so with messages and readers.
 */
#ifdef BOUND
#ifndef SEND_BOUND
#define SEND_BOUND	(2 * nfree)
#endif
#ifndef RECV_BOUND
#ifdef STREAM
#define RECV_BOUND	(NR * nsent)	/* each data wakes all of them */
#else
#define RECV_BOUND	(2 * nsent)
#endif
#endif
#ifndef POLL_BOUND
#define POLL_BOUND	(2 * NPO * nfree)
#endif
inline count_wake(t)
{
	if
	:: (t) < R0 -> nwake_s++; assert(nwake_s <= SEND_BOUND)
	:: (t) == R0 || (t) == R0 + 1 -> nwake_r++; assert(nwake_r <= RECV_BOUND)
	:: (t) == OTHER -> assert(sendshut[0])	/* nothing comes for it */
	:: (t) == PO || (t) == PO + 1 -> nwake_o++; assert(nwake_o <= POLL_BOUND)
	:: else
	fi
}
#else
inline count_wake(t)
{
#ifdef MUT_ANYKEY
	skip
#else
	assert((t) != OTHER || sendshut[0])	/* nothing else comes for it */
#endif
}
#endif

#include "waitqueue.pml"

/* What an entry of sk_sleep() does: a sender's second entry wakes for changes of
 * state only, a reader's for data and changes of state.
 */
inline sleep_function(e, key, ret, gone)
{
	if
	:: e >= 16 && e < 32 ->
		if
		:: key == NONE -> try_to_wake(e - 16, ret)
		:: else
		fi
	:: e < 8 ->
		if
#ifdef MUT_ANYKEY
		/* Mutation: a reader takes any wake-up. */
		:: true ->
#else
		:: key == NONE || key == IN ->
#endif
			try_to_wake(e, ret);
			gone = ret	/* autoremove_wake_function() */
		:: else
		fi
	:: e >= PO && e < PI -> poller_function(e, OUT, key, ret)
	:: e >= PI && e < 16 -> poller_function(e, IN, key, ret)
	fi
}

/* What an entry of peer_wait does: a sender stays there while it waits, and
 * relay_fire takes the relay off.
 */
inline room_function(e, ret, gone)
{
	if
	:: e < 8 -> try_to_wake(e, ret)
	:: e >= 32 ->
		gone = 1;
		ret = 1;
		__wake_sleep(SQ(e - 32), OUT, ONE)
	fi
}

inline lock(l)
{
	atomic { !l -> l = 1 }
}

inline unlock(l)
{
	l = 0
}

/* Whether what is sent can be allocated: the sender's memory cgroup */
#ifdef MEM
#define NO_MEMORY	(rmem >= MEM)
#else
#define NO_MEMORY	false
#endif

/* Results */
mtype = { OK, AGAIN, PIPE, INTR, NOBUFS };

#ifdef STREAM

/* send_enqueue. The readers free without the queue lock. */
inline __send_enqueue(res, ready)
{
	lock(qlock);
	ready = 0;
	if
	:: rcvshut -> res = PIPE
	:: !rcvshut && NO_MEMORY -> res = NOBUFS
	:: !rcvshut && !NO_MEMORY && SPACE > 0 ->
		rmem = rmem + C;
		d_step { inq = inq + P; fresh = 1; COUNT(nsent) };
		ready = READY;
		res = OK
	:: else -> res = AGAIN
	fi;
	unlock(qlock)
}

#else

/* send_enqueue. All is under the queue lock, and so in one step. */
inline __send_enqueue(res, ready)
{
	d_step {
		ready = 0;
		if
		:: rcvshut -> res = PIPE
		:: !rcvshut && NO_MEMORY -> res = NOBUFS
		:: !rcvshut && !NO_MEMORY && SPACE > 0 ->
			rmem = rmem + C;
			inq = inq + P;
			COUNT(nsent);
			ready = 1;
			res = OK
		:: else -> res = AGAIN
		fi
	}
}

#endif

inline send_enqueue(res, ready)
{
	__send_enqueue(res, ready);
	/* send_wake */
	if
	:: ready -> wake_sleep(RQ, IN, ONE)
	:: else
	fi
}

/* send_check */
inline send_check(s, res)
{
	if
	:: sendshut[s] -> res = PIPE
	:: else ->
		atomic {
			!qlock;
			if
			:: rcvshut -> res = PIPE
			:: !rcvshut && SPACE > 0 -> res = OK
			:: else -> res = AGAIN
			fi
		}
	fi
}

inline send_register(t)
{
	d_step { wq_add_tail(ROOM, t); intr[t] = 1 }
}

inline send_finish(t, s)
{
	d_step { intr[t] = 0; wq_del(ROOM, t) };
	d_step { wq_del(SQ(s), STATE(t)) }
}

inline send_pass()
{
#ifndef MUT_SEND_PASS
	if
	:: T -> wake_room(ONE)
	:: else
	fi
#else
	skip
#endif
}

/* recv_wake */
inline recv_wake()
{
	if
	:: T -> wake_room(ONE)
	:: else
	fi
}

proctype sender(byte t; byte s)
{
	mtype res;
	bool ready;
	byte todo = SENDS;

	do
	:: todo == 0 || sendshut[s] -> break
	:: else ->
		send_enqueue(res, ready);
		if
		:: res == AGAIN ->
#ifdef REQUEUE
requeue:			skip;
#endif
			d_step { wq_add(SQ(s), STATE(t)) };
			do
			:: true ->
#ifdef MUT_ORDER
				/* Mutation: it checks before it registers. */
				send_check(s, res);
				send_register(t);
#else
				send_register(t);
				send_check(s, res);
#endif
				if
				:: res == AGAIN && !sig[t] ->
end_send_sleep:				!intr[t]
				:: res == AGAIN && sig[t] -> res = INTR; break
				:: res == PIPE -> break
				:: res == OK ->
#ifdef REQUEUE
					break
#else
					/* It keeps its place until it has sent. */
					intr[t] = 0;
					send_enqueue(res, ready);
					if
					:: res == AGAIN
					:: else -> break
					fi
#endif
				fi
			od; skip;
#ifdef MUT_PASS_EARLY
			/* Mutation: it may wake up itself. */
			intr[t] = 1;
			send_pass();
			send_finish(t, s)
#else
			send_finish(t, s);
#ifdef REQUEUE
			if
			:: res == OK ->
				send_enqueue(res, ready);
				if
				:: res == AGAIN -> goto requeue
				:: else
				fi
			:: else
			fi;
#endif
			send_pass()
#endif
		:: else
		fi;
		if
		:: res == OK && todo != FOREVER -> todo--
		:: res == OK && todo == FOREVER
		:: else -> break
		fi
	od
}

#ifdef STREAM

/* Read up to RL, with the socket lock held. Pieces are freed as a whole. */
inline recv_take(res, n)
{
	atomic {
		!qlock;
		if
		:: inq > 0 -> res = OK; n = (inq < RL -> inq : RL)
		:: inq == 0 && rcvshut -> res = PIPE
		:: else -> res = AGAIN
		fi
	};
	if
	:: res == OK ->
		inq = inq - n;
		d_step { part = part + n; n = part / P; part = part % P };
		if
		:: n > 0 ->
			d_step { rmem = rmem - n * C; COUNT(nfree); n = 0 };
			recv_wake()
		:: else
		fi
	:: else
	fi
}

proctype reader(byte t)
{
	mtype res;
	byte todo = READS, n;

	do
	:: todo == 0 -> break
	:: else ->
		lock(slock);
		recv_take(res, n);
		unlock(slock);
		if
		:: res == AGAIN ->
			lock(qlock);
			rx_waiting++;
			do
			:: true ->
				/* recv_register */
				d_step { wq_add(RQ, t); intr[t] = 1 };
				/* recv_check */
				if
				:: inq > 0 || rcvshut || sig[t] -> break
				:: else
				fi;
				unlock(qlock);
end_recv_sleep:			!intr[t];
				lock(qlock)
			od;
			rx_waiting--;
			unlock(qlock);
			d_step { intr[t] = 0; wq_del(RQ, t) };
			if
			:: sig[t] -> break
			:: else
			fi
		:: res == OK && todo != FOREVER -> todo--
		:: res == OK && todo == FOREVER
		:: else -> break
		fi
	od
}

/* MSG_PEEK|MSG_WAITALL: until there are WANT bytes, or no more can come. */
proctype peeker()
{
	bool stuck;

	do
	:: true ->
		lock(slock);
		d_step { !qlock -> copied = inq; fresh = 0; stuck = !READER_T };
		unlock(slock);
		if
		:: copied >= WANT || (copied > 0 && stuck) || rcvshut -> break
		:: else
		fi;
		lock(qlock);
		rx_waiting++;
		do
		:: true ->
			/* recv_register */
			d_step { wq_add(RQ, PEEKER); intr[PEEKER] = 1 };
			/* recv_check */
			if
			:: fresh || (copied > 0 && !READER_T) || rcvshut -> break
			:: else
			fi;
			unlock(qlock);
end_peek_sleep:		!intr[PEEKER];
			lock(qlock)
		od;
		rx_waiting--;
		unlock(qlock);
		d_step { intr[PEEKER] = 0; wq_del(RQ, PEEKER) }
	od
}

#else

/* One message */
inline recv_take(res, n)
{
	d_step {
		if
		:: inq > 0 -> inq = inq - P; rmem = rmem - C; COUNT(nfree); res = OK
		:: inq == 0 && rcvshut -> res = PIPE
		:: else -> res = AGAIN
		fi
	};
	if
	:: res == OK -> recv_wake()
	:: else
	fi
}

proctype reader(byte t)
{
	mtype res;
	byte todo = READS, n;
	bool woken;

	do
	:: todo == 0 -> break
	:: else ->
		recv_take(res, n);
		if
		:: res == AGAIN ->
			do
			:: true ->
				/* recv_register */
				d_step { wq_add_tail(RQ, t); intr[t] = 1 };
				/* recv_check */
				recv_take(res, n);
				if
				:: res == AGAIN && !sig[t] ->
end_recv_sleep:				!intr[t]
				:: res == AGAIN && sig[t] -> res = INTR; break
				:: else -> break
				fi
			od; skip;
#ifdef MUT_FINISH
			/* Mutation: a wake-up after it has looked is lost. */
			d_step { wq_find(RQ, t); woken = (k0 == q[RQ].n) };
			d_step { wq_del(RQ, t); intr[t] = 0 };
#else
			/* Whether a wake-up has taken it off, in one step */
			d_step {
				wq_find(RQ, t);
				woken = (k0 == q[RQ].n);
				wq_del(RQ, t);
				intr[t] = 0
			};
#endif
			/* recv_pass */
			if
#ifndef MUT_RECV_PASS
			:: woken && inq > 0 -> wake_sleep(RQ, IN, ONE)
#endif
			:: else
			fi;
			woken = 0
		:: else
		fi;
		if
		:: res == OK && todo != FOREVER -> todo--
		:: res == OK && todo == FOREVER
		:: else -> break
		fi
	od
}

/* MSG_PEEK, once */
proctype peeker()
{
	do
	:: true ->
		/* recv_register */
		d_step { wq_add(RQ, PEEKER); intr[PEEKER] = 1 };
		/* recv_check */
		if
		:: inq > 0 || rcvshut -> break
		:: else
		fi;
end_peek_sleep:	!intr[PEEKER]
	od; skip;
	d_step { intr[PEEKER] = 0; wq_del(RQ, PEEKER) }
}

#endif

/* recv() on socket 0, to which nobody sends anything */
proctype other()
{
	do
	:: true ->
		d_step {
			if
			:: EXCL_READER -> wq_add_tail(SQ(0), OTHER)
			:: else -> wq_add(SQ(0), OTHER)
			fi;
			intr[OTHER] = 1
		};
		if
		:: sendshut[0] -> break
		:: else
		fi;
end_other_sleep: !intr[OTHER]
	od; skip;
	d_step { intr[OTHER] = 0; wq_del(SQ(0), OTHER) }
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

/* poll_check, poll_arm, poll_check */
inline poll_out(s, yes)
{
	/* poll_check */
	yes = (T || rcvshut || sendshut[s]);
	if
	:: !yes ->
		/* poll_arm */
		d_step { wq_add(ROOM, RELAY(s)) };
#ifndef MUT_POLL_AGAIN
		yes = (T || rcvshut || sendshut[s])
#endif
	:: else
	fi
}

/* send(MSG_DONTWAIT). EAGAIN: arm, check again. */
inline send_nowait(s, res, ready)
{
	do
	:: true ->
		if
		:: sendshut[s] -> res = PIPE
		:: else -> send_enqueue(res, ready)
		fi;
		if
		:: res == AGAIN ->
			/* poll_arm */
			d_step { wq_add(ROOM, RELAY(s)) };
#ifdef MUT_SEND_AGAIN
			break
#else
			send_check(s, res);
			if
			:: res == OK
			:: else -> break
			fi
#endif
		:: res == NOBUFS ->
#ifdef BOUND
			nwake_o++;
			assert(nwake_o <= POLL_BOUND + 2);
#endif
			/* poll_arm */
			d_step { wq_add(ROOM, RELAY(s)) };
			if
#ifdef LAZY
			/* Not while there is something to be read and freed */
			:: T && !READABLE -> wake_sleep(SQ(s), OUT, ONE)
#else
			:: T -> wake_sleep(SQ(s), OUT, ONE)
#endif
			:: else
			fi;
			break
		:: else -> break
		fi
	od
}

/* An EPOLLOUT poller. What it is told by, it acts on: edge-triggered, it sends
 * until EAGAIN; else once, and asks again.
 */
proctype poller_out(byte p; byte s)
{
	mtype res;
	bool ready, yes;

	/* poll_register, and what epoll_ctl() sees then */
	d_step {
		if
		:: EXCL(p) -> wq_add_tail(SQ(s), p)
		:: else -> wq_add(SQ(s), p)
		fi
	};
	poll_out(s, yes);
	if
	:: yes -> rdy[p] = 1
	:: else
	fi;
	do
	:: true ->
		epoll_wait(p);
end_poll_sleep:	atomic { rdy[p] -> rdy[p] = 0; inwait[p] = 0 };
		poll_out(s, yes);
		if
		:: yes ->
			do
			:: true ->
				send_nowait(s, res, ready);
				if
				:: res == OK && ET
				:: else -> break
				fi
			od;
			if
			:: res == PIPE -> break
			:: else
			fi;
			if
			:: !ET -> rdy[p] = 1
			:: else
			fi
		:: else
		fi
	od; skip;
	d_step { wq_del(SQ(s), p) }
}

/* An EPOLLIN poller of R, level-triggered, that reads once when it is told */
proctype poller_in(byte p)
{
	mtype res;
	byte todo = READS, n;

	/* poll_register */
	d_step {
		if
		:: EXCL(p) -> wq_add_tail(RQ, p)
		:: else -> wq_add(RQ, p)
		fi
	};
	rdy[p] = 1;
	do
	:: todo == 0 -> break
	:: else ->
		epoll_wait(p);
end_poll_sleep:	atomic { rdy[p] -> rdy[p] = 0; inwait[p] = 0 };
		/* poll_check */
		if
		:: READABLE || rcvshut ->
#ifdef STREAM
			lock(slock);
			recv_take(res, n);
			unlock(slock);
#else
			recv_take(res, n);
#endif
			if
			:: res == PIPE -> break
			:: res == OK && todo != FOREVER -> todo--
			:: else
			fi;
			rdy[p] = 1
		:: else
		fi
	od; skip;
	d_step { wq_del(RQ, p); rdy[p] = 0 }
}

/* shutdown(), close() or an abort. SHUT 1: of socket 0, connected to R; SHUT 2:
 * of the DGRAM socket 1; SHUT 3: R is closed, a DGRAM socket.
 */
#ifdef SHUT
proctype shutdown()
{
	/* shutdown_mark */
#if SHUT == 1
	sendshut[0] = 1;
#endif
#if SHUT == 2
	sendshut[1] = 1;
#else
	atomic { !qlock -> rcvshut = 1 };
#endif
	/* shutdown_wake */
#if SHUT == 1
	wake_sleep(SQ(0), NONE, ALL);
#endif
#if SHUT == 2
	wake_sleep(SQ(1), NONE, ALL)
#else
	wake_sleep(RQ, NONE, ALL);
#ifndef MUT_SHUT_ROOM
	wake_room(ALL)
#endif
#endif
}
#endif

/* setsockopt() of R: SO_RCVBUF, SO_RCVLOWAT */
#if defined(SETBUF) || defined(SETLOWAT)
proctype setsockopt()
{
	atomic {
		!qlock;
#ifdef SETBUF
		rcvbuf = SETBUF;
#else
		lowat = SETLOWAT;
#endif
	};
	/* recv_wake */
#ifndef MUT_SETBUF
	recv_wake();
#endif
	if
#ifndef MUT_SETREAD
	:: READABLE -> wake_sleep(RQ, IN, ONE)
#endif
	:: else
	fi
}
#endif

#if SIG != 99
proctype signal()
{
	d_step {
		sig[SIG] = 1;
		if
		:: intr[SIG] -> intr[SIG] = 0
		:: else
		fi
	}
}
#endif

/* When nobody can go on: who sleeps must have nothing to wake up for. */
#define SENDER_GOES(t, s)	(intr[t] && (T || rcvshut || sendshut[s]))
#define READER_GOES(t)		(intr[t] && (inq > 0 || rcvshut))
#ifdef STREAM
#define PEEKER_GOES		(intr[PEEKER] && (fresh || (copied > 0 && !T) || rcvshut))
#else
#define PEEKER_GOES		READER_GOES(PEEKER)
#endif
#define POLLER_OUT_GOES(p, s)	(inwait[p] && ((T && !NO_MEMORY) || rcvshut || sendshut[s]))
#define POLLER_IN_GOES(p)	(inwait[p] && (READABLE || rcvshut))
/* Whatever the rules are: not both ends. */
#define WAITS_FOR_SPACE	(intr[0] || intr[1] || intr[2] || inwait[PO] || inwait[PO + 1])
#define WAITS_FOR_DATA	(intr[R0] || intr[R0 + 1] || intr[PEEKER] || \
			 inwait[PI] || inwait[PI + 1])

active proctype nobody_sleeps_for_ever()
{
end_watch:
	timeout ->
	assert(!(WAITS_FOR_SPACE && WAITS_FOR_DATA));
	assert(!SENDER_GOES(0, 0));
	assert(!SENDER_GOES(1, 0));
	assert(!SENDER_GOES(2, S2));
	assert(!READER_GOES(R0));
	assert(!READER_GOES(R0 + 1));
	assert(!PEEKER_GOES);
	assert(!(intr[OTHER] && sendshut[0]));
	assert(!POLLER_OUT_GOES(PO, 0));
	assert(!POLLER_OUT_GOES(PO + 1, P2));
	assert(!POLLER_IN_GOES(PI));
	assert(!POLLER_IN_GOES(PI + 1))
}

init {
	atomic {
#if NS > 0
		run sender(0, 0);
#endif
#if NS > 1
		run sender(1, 0);
#endif
#if NS > 2
		run sender(2, S2);
#endif
#if NR > 0
		run reader(R0);
#endif
#if NR > 1
		run reader(R0 + 1);
#endif
#ifdef WITH_PEEKER
		run peeker();
#endif
#ifdef WITH_OTHER
		run other();
#endif
#if NPO > 0
		run poller_out(PO, 0);
#endif
#if NPO > 1
		run poller_out(PO + 1, P2);
#endif
#if NPI > 0
		run poller_in(PI);
#endif
#if NPI > 1
		run poller_in(PI + 1);
#endif
#ifdef SHUT
		run shutdown();
#endif
#if defined(SETBUF) || defined(SETLOWAT)
		run setsockopt();
#endif
#if SIG != 99
		run signal();
#endif
	}
}
