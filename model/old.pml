/* SPDX-License-Identifier: GPL-2.0 */
/* Waiting and waking in net/myproto as it was in the first edition: what the
 * search has to find before it can be believed of new.pml. Names and macros are
 * those of new.pml; here is only what the three faults need.
 */

#ifndef NS
#define NS	0	/* threads in send() on socket 0 */
#endif
#ifndef NPO
#define NPO	0	/* edge-triggered EPOLLOUT pollers of socket 0 */
#endif
#ifndef EXCL_OUT
#define EXCL_OUT 0
#endif
#ifndef READS
#define READS	4
#endif
#ifndef SENDS
#define SENDS	255	/* for ever */
#endif
#ifndef LOWAT
#define LOWAT	1
#endif
#ifndef C
#define C	1	/* what is charged for one byte, or for one message */
#endif
#ifndef FILLED
#define FILLED	0
#endif
#ifdef STREAM
#define RCVBUF	4
#else
#define RCVBUF	1
#endif

#define OTHER	6	/* a thread in recv() on socket 0: the other direction */
#define PO	8	/* the EPOLLOUT poller */
#define PI	10	/* the EPOLLIN poller of R */
#define SLEEP(t) (16 + (t))	/* a sender's entry on sk_sleep() of socket 0 */
#define RELAY	32	/* the pollers' relay; a sender's has the number t */
#define EXCL(e)	((e) == OTHER || ((e) == PO && EXCL_OUT))
#define ROOM_EXCL(e) ((e) < 3)

byte rmem = FILLED * C, inq = FILLED;
bool rx_full;		/* the stored flag */
bool qlock;		/* the queue lock */
bool relay_woken[3];	/* WQ_FLAG_WOKEN of a sender's relay */
bool woken[3];		/* ... and of its entry on sk_sleep() */
byte nwake_s, nfree;

#define SPACE	(RCVBUF - rmem)

inline count_wake(t)
{
	if
#ifdef BOUND
	:: (t) < 3 -> nwake_s++; assert(nwake_s <= 2 * nfree)
	:: (t) == OTHER -> assert(false)	/* nothing comes for it */
#endif
	:: else
	fi
}

#include "waitqueue.pml"

/* Senders, readers and pollers share sk_sleep(), and a thread in recv() takes
 * any wake-up.
 */
inline sleep_function(e, key, ret, gone)
{
	if
	:: e >= 16 && e < 32 -> woken[e - 16] = 1; try_to_wake(e - 16, ret)
	:: e == OTHER -> try_to_wake(e, ret); gone = ret
	:: e == PO -> poller_function(e, OUT, key, ret)
	:: e == PI -> poller_function(e, IN, key, ret)
	fi
}

/* myproto_relay_wake() */
inline room_function(e, ret, gone)
{
	if
	:: e < 3 && relay_woken[e]
	:: e < 3 && !relay_woken[e] ->
		relay_woken[e] = 1;
		ret = 1;
		__wake_sleep(SQ(0), OUT, ONE)
	:: e == RELAY ->
		gone = 1;
		ret = 1;
		__wake_sleep(SQ(0), OUT, ONE)
	fi
}

/* myproto_rx_takes(): reads the space first, then the flag */
inline rx_takes(room, yes)
{
#ifdef STREAM
	room = SPACE;
	yes = (rx_full -> 2 * room >= RCVBUF : room > 0)
#else
	yes = (SPACE > 0)
#endif
}

/* myproto_tx_state(), with the queue lock held */
inline tx_state(room, yes)
{
	rx_takes(room, yes);
#ifdef STREAM
	if
	:: rx_full == yes -> rx_full = !yes
	:: else
	fi
#endif
}

inline publish(room, yes)
{
	atomic { !qlock -> qlock = 1 };
	tx_state(room, yes);
	if
	:: yes -> rmem = rmem + C; inq++
	:: else
	fi;
	qlock = 0;
	/* It is ready: for simplicity, always. */
	if
	:: yes -> wake_sleep(RQ, IN, ONE)
	:: else
	fi
}

inline tx_look(room, yes)
{
	atomic { !qlock -> qlock = 1 };
	tx_state(room, yes);
	qlock = 0
}

/* myproto_wake_room() */
inline wake_room_if(room, yes)
{
	rx_takes(room, yes);
	if
	:: yes -> wake_room(ONE)
	:: else
	fi
}

proctype sender(byte t)
{
	byte todo = SENDS;
	short room;
	bool yes, waited;

	do
	:: todo == 0 -> break
	:: else ->
		waited = 0;
		do
		:: true ->
			publish(room, yes);
			if
			:: yes -> break
			:: else
			fi;
			/* myproto_sleep_room() */
			waited = 1;
			d_step { wq_add(SQ(0), SLEEP(t)) };
			do
			:: true ->
				d_step { relay_woken[t] = 0; wq_add_tail(ROOM, t) };
				tx_look(room, yes);
				if
				:: yes -> break
				:: else
				fi;
				/* wait_woken() */
				atomic {
					if
					:: !woken[t] -> intr[t] = 1
					:: else
					fi
				};
end_send_sleep:			atomic { !intr[t] -> woken[t] = 0 }
			od; skip;
			d_step { wq_del(ROOM, t); relay_woken[t] = 0 };
			d_step { wq_del(SQ(0), SLEEP(t)); woken[t] = 0 }
		od;
		if
		:: waited -> wake_room_if(room, yes)
		:: else
		fi;
		if
		:: todo != 255 -> todo--
		:: else
		fi
	od
}

/* Reads what there is, READS times. */
proctype reader()
{
	byte todo = READS;
	short room;
	bool yes;

	do
	:: todo == 0 -> break
	:: todo > 0 ->
end_recv:	d_step { inq > 0 && !qlock -> inq--; rmem = rmem - C; nfree++ };
		todo--;
		wake_room_if(room, yes)
	od
}

/* Polls R for EPOLLIN with SO_RCVLOWAT, and reads one byte when it is told. */
proctype poller_in()
{
	short room;
	bool yes;

	d_step { wq_add(RQ, PI) };
	rdy[PI] = 1;
	do
	:: true ->
		atomic {
			if
			:: !rdy[PI] -> inwait[PI] = 1
			:: else
			fi
		};
end_poll_sleep:	atomic { rdy[PI] -> rdy[PI] = 0; inwait[PI] = 0 };
		/* myproto_readable() */
		rx_takes(room, yes);
		if
		:: inq > 0 && (inq >= LOWAT || !yes) ->
			/* myproto_rx_done(): without the queue lock */
			inq--;
			rmem = rmem - C;
			wake_room_if(room, yes);
			rdy[PI] = 1
		:: else
		fi
	od
}

/* An edge-triggered EPOLLOUT poller, which sends until EAGAIN */
proctype poller_out()
{
	short room;
	bool yes;

	d_step {
		if
		:: EXCL(PO) -> wq_add_tail(SQ(0), PO)
		:: else -> wq_add(SQ(0), PO)
		fi
	};
	rdy[PO] = 1;
	do
	:: true ->
		atomic {
			if
			:: !rdy[PO] -> inwait[PO] = 1
			:: else
			fi
		};
end_poll_sleep:	atomic { rdy[PO] -> rdy[PO] = 0; inwait[PO] = 0 };
		do
		:: true ->
			publish(room, yes);
			if
			:: yes
			:: else ->
				/* myproto_tx_arm() */
				d_step { wq_add(ROOM, RELAY) };
				tx_look(room, yes);
				if
				:: yes
				:: else -> break
				fi
			fi
		od
	od
}

/* recv() on socket 0, to which nobody sends anything */
proctype other()
{
	do
	:: true ->
		d_step { wq_add_tail(SQ(0), OTHER); intr[OTHER] = 1 };
end_other_sleep: !intr[OTHER]
	od
}

active proctype nobody_sleeps_for_ever()
{
end_watch:
	timeout ->
	/* A2 */
	assert(!(intr[0] && inwait[PI]));
	/* C1 */
	assert(!(inwait[PO] && SPACE > 0 && !rx_full))
}

init {
	atomic {
#if NS > 0
		run sender(0);
#endif
#if NS > 1
		run sender(1);
#endif
#if NS > 2
		run sender(2);
#endif
#if NPO > 0
		run poller_out();
#endif
#ifdef WITH_OTHER
		run other();
#endif
#ifdef STREAM
		run poller_in()
#else
		run reader()
#endif
	}
}
