/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's wait queues, as kernel/sched/wait.c has them. Included by old.pml
 * and new.pml, which say what the wake functions do: sleep_function() for the
 * entries of sk_sleep() of a socket, room_function() for those of peer_wait.
 *
 * An entry is a number: see ENTRY in the file that includes this one. A queue is
 * a list of entries in their order. What the kernel does under the lock of a
 * wait queue is one step here (d_step), so this lock needs no variable.
 */

/* Wait queues */
#define ROOM		0	/* peer_wait of the receiver R */
#define RQ		1	/* sk_sleep() of R */
#define SQ(s)		(2 + (s))	/* sk_sleep() of the sender socket s: 0, 1 */

/* Keys: what a wake-up is about. NONE wakes whoever is there. */
#define NONE		0
#define IN		1	/* EPOLLIN */
#define OUT		2	/* EPOLLOUT */

#define ONE		0	/* all non-exclusive entries, one exclusive */
#define ALL		1

#define QMAX		6
typedef wait_queue {
	byte n;
	byte e[QMAX];
}
wait_queue q[4];

/* intr[t]: the state of thread t is TASK_INTERRUPTIBLE. It sleeps by waiting for
 * !intr[t], after it has set it and has checked what it waits for.
 */
bool intr[8];

/* rdy[p]: poller p has an event to look at. inwait[p]: it sleeps for one. */
bool rdy[16], inwait[16];

/* Not part of the state: only used inside a step. */
hidden byte i0, i1, e0, e1, k0;
hidden byte ret0, ret1, gone0, gone1;

inline wq_find(Q, id)
{
	k0 = 0;
	do
	:: k0 < q[Q].n && q[Q].e[k0] != (id) -> k0++
	:: else -> break
	od
}

/* Take off the entry at place k0. */
inline wq_cut(Q)
{
	do
	:: k0 + 1 < q[Q].n -> q[Q].e[k0] = q[Q].e[k0 + 1]; k0++
	:: else -> break
	od;
	q[Q].n--;
	q[Q].e[q[Q].n] = 0
}

/* The three that follow do nothing where there is nothing to do. To be used in
 * a d_step.
 */
inline wq_add_tail(Q, id)	/* __add_wait_queue_entry_tail() */
{
	wq_find(Q, id);
	if
	:: k0 == q[Q].n ->
		assert(q[Q].n < QMAX);
		q[Q].e[q[Q].n] = id;
		q[Q].n++
	:: else
	fi
}

inline wq_add(Q, id)		/* __add_wait_queue(): in front */
{
	wq_find(Q, id);
	if
	:: k0 == q[Q].n ->
		assert(q[Q].n < QMAX);
		do
		:: k0 > 0 -> q[Q].e[k0] = q[Q].e[k0 - 1]; k0--
		:: else -> break
		od;
		q[Q].e[0] = id;
		q[Q].n++
	:: else
	fi
}

inline wq_del(Q, id)
{
	wq_find(Q, id);
	if
	:: k0 < q[Q].n -> wq_cut(Q)
	:: else
	fi
}

/* try_to_wake_up(): a thread that is awake is not woken. */
inline try_to_wake(t, ret)
{
	if
	:: intr[t] -> intr[t] = 0; count_wake(t); ret = 1
	:: else -> ret = 0
	fi
}

/* ep_poll_callback() and pollwake() of poller p: an exclusive entry counts as
 * woken only if somebody sleeps there.
 */
inline poller_function(p, want, key, ret)
{
	ret = 0;
	if
	:: key == NONE || key == (want) ->
		rdy[p] = 1;
		if
		:: inwait[p] -> inwait[p] = 0; count_wake(p); ret = 1
		:: else
		fi
	:: else
	fi
}

/* __wake_up() of a queue that is the sk_sleep() of a socket */
inline __wake_sleep(Q, key, all)
{
	i1 = 0;
	do
	:: i1 < q[Q].n ->
		e1 = q[Q].e[i1];
		ret1 = 0;
		gone1 = 0;
		sleep_function(e1, key, ret1, gone1);
		if
		:: gone1 -> k0 = i1; wq_cut(Q)
		:: else -> i1++
		fi;
		if
		:: ret1 && EXCL(e1) && !(all) -> break
		:: else
		fi
	:: else -> break
	od;
	i1 = 0
}

inline wake_sleep(Q, key, all)
{
	d_step { __wake_sleep(Q, key, all) }
}

/* __wake_up() of peer_wait. What it calls may wake up another queue. */
inline wake_room(all)
{
	d_step {
		i0 = 0;
		do
		:: i0 < q[ROOM].n ->
			e0 = q[ROOM].e[i0];
			ret0 = 0;
			gone0 = 0;
			room_function(e0, ret0, gone0);
			if
			:: gone0 -> k0 = i0; wq_cut(ROOM)
			:: else -> i0++
			fi;
			if
			:: ret0 && ROOM_EXCL(e0) && !(all) -> break
			:: else
			fi
		:: else -> break
		od;
		i0 = 0
	}
}
