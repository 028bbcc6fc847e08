// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: where the tracepoints of trace.h are defined */

#include <linux/rcupdate.h>
#include <linux/sock_diag.h>
#include <net/sock.h>

#include "myproto.h"

/**
 * myproto_cookie - the cookie of a socket, for tracepoints
 * @sk: the socket, or NULL; it gets one if it has none yet
 *
 * Context: Any.
 * Return: what SO_COOKIE says, or 0 if there is no socket.
 */
u64 myproto_cookie(struct sock *sk)
{
	u32 cookie[2] = {};

	/* sock_gen_cookie() is not for modules. */
	if (sk)
		sock_diag_save_cookie(sk, cookie);
	return cookie[0] | (u64)cookie[1] << 32;
}

/**
 * myproto_peer_cookie - the cookie of the peer, for tracepoints
 * @sk: a socket that cannot be closed meanwhile, or NULL
 * @channel: where to store the channel of the peer, or 0
 *
 * Context: Any.
 * Return: the cookie, or 0 if there is no peer.
 */
u64 myproto_peer_cookie(const struct sock *sk, u32 *channel)
{
	struct sock *peer = NULL;
	u64 cookie;

	rcu_read_lock();
	if (sk)
		peer = rcu_dereference(myproto_sk(sk)->peer);
	*channel = peer ? myproto_channel(peer) : 0;
	cookie = myproto_cookie(peer);
	rcu_read_unlock();
	return cookie;
}

/* sparse does not like the tracepoint macros. */
#ifndef __CHECKER__
#define CREATE_TRACE_POINTS
#include "trace.h"
#endif
