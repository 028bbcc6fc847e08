// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: drop data that was sent and will not be read
 *
 * A failed send is not a drop, because the caller still has the data. The skb
 * of a failed send is consumed.
 */

#include <linux/skbuff.h>
#include <net/sock.h>

#include "myproto.h"
#include "trace.h"

/* Drop a message that @sk will not read. Consumes the caller's reference. */
void myproto_drop(struct sock *sk, struct sk_buff *skb,
		  enum skb_drop_reason reason)
{
	sk_drops_inc(sk);
	trace_myproto_drop(sk, MYPROTO_CB(skb)->channel, skb->len, reason);
	sk_skb_reason_drop(sk, skb, reason);
}

/* The same for a message without an skb */
void myproto_drop_small(struct sock *sk, const struct myproto_record *rec,
			enum skb_drop_reason reason)
{
	sk_drops_inc(sk);
	trace_myproto_drop(sk, rec->channel, rec->len, reason);
}

/* Drop all unread data of @sk, @len bytes, while @sk is being closed. The skbs
 * are on sk_write_queue, the peer is still set, and there are no other users.
 */
void myproto_drop_unread(struct sock *sk, u32 len, enum skb_drop_reason reason)
{
	bool stream = sk->sk_type == SOCK_STREAM;
	struct sk_buff *skb;

	/* One event for a stream: the boundaries of its skbs mean nothing. */
	if (stream && trace_myproto_drop_enabled())
		trace_myproto_drop(sk, myproto_peer_channel(sk), len, reason);

	myproto_small_purge(sk, reason);
	while ((skb = __skb_dequeue(&sk->sk_write_queue))) {
		if (!stream)
			trace_myproto_drop(sk, MYPROTO_CB(skb)->channel,
					   skb->len, reason);
		sk_skb_reason_drop(sk, skb, reason);
	}
}
