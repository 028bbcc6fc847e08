// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: what was sent and nobody will read
 *
 * That is a drop: the send has succeeded. What a send could not bring to the
 * receiver is none, for it fails, and its skb is consumed as one that was read.
 */

#include <linux/skbuff.h>
#include <net/sock.h>

#include "myproto.h"
#include "trace.h"

/**
 * myproto_drop - drop a message that will not be read although its receiver
 *	goes on
 * @sk: the receiver
 * @skb: the message; consumes the caller's reference
 * @reason: SKB_DROP_REASON_SKB_UCOPY_FAULT, or why the filter of @sk did not
 *	let it in
 *
 * Context: Process context.
 */
void myproto_drop(struct sock *sk, struct sk_buff *skb,
		  enum skb_drop_reason reason)
{
	sk_drops_inc(sk);
	trace_myproto_drop(sk, MYPROTO_CB(skb)->channel, skb->len, reason);
	sk_skb_reason_drop(sk, skb, reason);
}

/**
 * myproto_drop_small - the same for a message that has no skb
 * @sk: the receiver
 * @rec: the message
 * @reason: why
 *
 * Context: Process context.
 */
void myproto_drop_small(struct sock *sk, const struct myproto_record *rec,
			enum skb_drop_reason reason)
{
	sk_drops_inc(sk);
	trace_myproto_drop(sk, rec->channel, rec->len, reason);
}

/**
 * myproto_drop_unread - drop what a socket has not read that is being closed
 * @sk: the socket, with all skbs on sk_write_queue and its peer still known
 * @len: how many bytes it has not read
 * @reason: SKB_DROP_REASON_SOCKET_CLOSE or SKB_DROP_REASON_SOCKET_UNACCEPTED
 *
 * Context: Process context, when nobody else reads from @sk or sends to it.
 */
void myproto_drop_unread(struct sock *sk, u32 len, enum skb_drop_reason reason)
{
	bool stream = sk->sk_type == SOCK_STREAM;
	struct sk_buff *skb;

	/* What skbs a stream is in matters to nobody, and some of it is in
	 * none.
	 */
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
