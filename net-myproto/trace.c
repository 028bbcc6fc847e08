// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: definition of the tracepoints of trace.h */

#include <linux/rcupdate.h>
#include <linux/sock_diag.h>
#include <net/sock.h>

#include "myproto.h"

/* Returns SO_COOKIE of @sk, generated if necessary, or 0 if @sk is NULL. */
u64 myproto_cookie(struct sock *sk)
{
	u32 cookie[2] = {};

	/* sock_gen_cookie() is not exported to modules. */
	if (sk)
		sock_diag_save_cookie(sk, cookie);
	return cookie[0] | (u64)cookie[1] << 32;
}

/* Returns the cookie of the peer of @sk and stores the peer's channel. Both are
 * 0 without a peer and if @sk is NULL. @sk must not be closed during the call.
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

/* sparse complains about the tracepoint macros. */
#ifndef __CHECKER__
#define CREATE_TRACE_POINTS
#include "trace.h"
#endif
