/* SPDX-License-Identifier: GPL-2.0 */
/* AF_MYPROTO: what was sent and nobody will read
 *
 * That is a drop: the send has succeeded. What a send could not bring to the
 * receiver is none, for it fails, and its skb is consumed as one that was read.
 */

#ifndef _MYPROTO_DROP_H
#define _MYPROTO_DROP_H

#include <linux/types.h>
#include <net/dropreason.h>

struct net;
struct sk_buff;
struct sock;

/**
 * enum myproto_drop_reason - reasons that the core has not
 * @__MYPROTO_DROP_REASON: none; where ours begin
 * @MYPROTO_DROP_UNACCEPTED: the listening socket was closed or aborted before
 *	accept() returned the connection
 * @MYPROTO_DROP_FAULT: the message was read to a buffer that is not valid
 */
enum myproto_drop_reason {
	__MYPROTO_DROP_REASON = SKB_DROP_REASON_SUBSYS_MYPROTO <<
				SKB_DROP_REASON_SUBSYS_SHIFT,
	MYPROTO_DROP_UNACCEPTED,
	MYPROTO_DROP_FAULT
};

/**
 * enum myproto_stat - what is counted in a network namespace
 * @MYPROTO_STAT_FILTERED: messages that a filter or a security module refused,
 *	or that came from the reserves of memory
 * @MYPROTO_STAT_FAULTED: messages that were read to a buffer that is not valid
 * @MYPROTO_STAT_MESSAGES: messages unread when the socket was closed
 * @MYPROTO_STAT_BYTES: bytes of streams unread when the socket was closed
 * @MYPROTO_STAT_NUM: how many counters there are
 */
enum myproto_stat {
	MYPROTO_STAT_FILTERED,
	MYPROTO_STAT_FAULTED,
	MYPROTO_STAT_MESSAGES,
	MYPROTO_STAT_BYTES,
	MYPROTO_STAT_NUM
};

void myproto_drop_init(void);
void myproto_drop_exit(void);
void myproto_drop(struct sock *sk, struct sk_buff *skb, u32 reason);
void myproto_drop_unread(struct sock *sk, u32 len, u32 reason);

#ifdef CONFIG_PROC_FS
int myproto_stat_register(struct net *net);
void myproto_stat_unregister(struct net *net);
#else
static inline int myproto_stat_register(struct net *net)
{
	return 0;
}

static inline void myproto_stat_unregister(struct net *net)
{
}
#endif

#endif /* _MYPROTO_DROP_H */
