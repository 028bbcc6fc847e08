/* SPDX-License-Identifier: GPL-2.0 */
/* AF_MYPROTO: tracepoints, one for each call, and one for drops. channel is the
 * socket's, peer its peer's, each 0 for none, and ret what the call returns.
 * Each socket has a myproto_create and, with the same sk, a myproto_release,
 * those that connect() makes for accept() too.
 */

#undef TRACE_SYSTEM
#define TRACE_SYSTEM myproto

#if !defined(_MYPROTO_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _MYPROTO_TRACE_H

#include <linux/tracepoint.h>
#include <net/sock.h>

#include "myproto.h"

/* What cannot fail when there is a socket */
DECLARE_EVENT_CLASS(myproto_sock,
		    TP_PROTO(const struct sock *sk),
		    TP_ARGS(sk),
		    TP_STRUCT__entry(__field(const void *, skaddr)
				     __field(u32, channel)
				     __field(u32, peer)),
		    TP_fast_assign(__entry->skaddr = sk;
				   __entry->channel = myproto_channel(sk);
				   __entry->peer = myproto_peer_channel(sk);),
		    TP_printk("sk=%p channel=%u peer=%u",
			      __entry->skaddr, __entry->channel,
			      __entry->peer));

DEFINE_EVENT(myproto_sock, myproto_create,
	     TP_PROTO(const struct sock *sk),
	     TP_ARGS(sk));

DEFINE_EVENT(myproto_sock, myproto_release,
	     TP_PROTO(const struct sock *sk),
	     TP_ARGS(sk));

/* peersk is the other one. Neither has a channel. */
TRACE_EVENT(myproto_socketpair,
	    TP_PROTO(const struct sock *sk),
	    TP_ARGS(sk),
	    TP_STRUCT__entry(__field(const void *, skaddr)
			     __field(const void *, peerskaddr)
			     __field(u32, channel)
			     __field(u32, peer)),
	    TP_fast_assign(__entry->skaddr = sk;
			   __entry->peerskaddr =
				rcu_access_pointer(myproto_sk(sk)->peer);
			   __entry->channel = myproto_channel(sk);
			   __entry->peer = myproto_peer_channel(sk);),
	    TP_printk("sk=%p peersk=%p channel=%u peer=%u",
		      __entry->skaddr, __entry->peerskaddr,
		      __entry->channel, __entry->peer));

/* Calls with an address: addr is the channel in it */
DECLARE_EVENT_CLASS(myproto_addr,
		    TP_PROTO(const struct sock *sk, u32 addr, int ret),
		    TP_ARGS(sk, addr, ret),
		    TP_STRUCT__entry(__field(const void *, skaddr)
				     __field(u32, channel)
				     __field(u32, addr)
				     __field(int, ret)),
		    TP_fast_assign(__entry->skaddr = sk;
				   __entry->channel = myproto_channel(sk);
				   __entry->addr = addr;
				   __entry->ret = ret;),
		    TP_printk("sk=%p channel=%u addr=%u ret=%d",
			      __entry->skaddr, __entry->channel,
			      __entry->addr, __entry->ret));

DEFINE_EVENT(myproto_addr, myproto_bind,
	     TP_PROTO(const struct sock *sk, u32 addr, int ret),
	     TP_ARGS(sk, addr, ret));

DEFINE_EVENT(myproto_addr, myproto_connect,
	     TP_PROTO(const struct sock *sk, u32 addr, int ret),
	     TP_ARGS(sk, addr, ret));

TRACE_EVENT(myproto_listen,
	    TP_PROTO(const struct sock *sk, int backlog, int ret),
	    TP_ARGS(sk, backlog, ret),
	    TP_STRUCT__entry(__field(const void *, skaddr)
			     __field(u32, channel)
			     __field(int, backlog)
			     __field(int, ret)),
	    TP_fast_assign(__entry->skaddr = sk;
			   __entry->channel = myproto_channel(sk);
			   __entry->backlog = backlog;
			   __entry->ret = ret;),
	    TP_printk("sk=%p channel=%u backlog=%d ret=%d",
		      __entry->skaddr, __entry->channel,
		      __entry->backlog, __entry->ret));

/* how is SHUT_* */
TRACE_EVENT(myproto_shutdown,
	    TP_PROTO(const struct sock *sk, int how, int ret),
	    TP_ARGS(sk, how, ret),
	    TP_STRUCT__entry(__field(const void *, skaddr)
			     __field(u32, channel)
			     __field(u32, peer)
			     __field(int, how)
			     __field(int, ret)),
	    TP_fast_assign(__entry->skaddr = sk;
			   __entry->channel = myproto_channel(sk);
			   __entry->peer = myproto_peer_channel(sk);
			   __entry->how = how;
			   __entry->ret = ret;),
	    TP_printk("sk=%p channel=%u peer=%u how=%d ret=%d",
		      __entry->skaddr, __entry->channel, __entry->peer,
		      __entry->how, __entry->ret));

/* newsk is NULL if the call fails; newpeer is the channel of its peer. */
TRACE_EVENT(myproto_accept,
	    TP_PROTO(const struct sock *sk, const struct sock *newsk, int ret),
	    TP_ARGS(sk, newsk, ret),
	    TP_STRUCT__entry(__field(const void *, skaddr)
			     __field(const void *, newskaddr)
			     __field(u32, channel)
			     __field(u32, newpeer)
			     __field(int, ret)),
	    TP_fast_assign(__entry->skaddr = sk;
			   __entry->newskaddr = newsk;
			   __entry->channel = myproto_channel(sk);
			   __entry->newpeer = newsk ?
					      myproto_peer_channel(newsk) : 0;
			   __entry->ret = ret;),
	    TP_printk("sk=%p newsk=%p channel=%u newpeer=%u ret=%d",
		      __entry->skaddr, __entry->newskaddr, __entry->channel,
		      __entry->newpeer, __entry->ret));

/* Data: addr is the channel that a datagram is sent to, if it is in an address,
 * len how many bytes were asked for, and flags are MSG_*
 */
DECLARE_EVENT_CLASS(myproto_data,
		    TP_PROTO(const struct sock *sk, u32 addr, size_t len,
			     int flags, int ret),
		    TP_ARGS(sk, addr, len, flags, ret),
		    TP_STRUCT__entry(__field(const void *, skaddr)
				     __field(u32, channel)
				     __field(u32, peer)
				     __field(u32, addr)
				     __field(size_t, len)
				     __field(int, flags)
				     __field(int, ret)),
		    TP_fast_assign(__entry->skaddr = sk;
				   __entry->channel = myproto_channel(sk);
				   __entry->peer = myproto_peer_channel(sk);
				   __entry->addr = addr;
				   __entry->len = len;
				   __entry->flags = flags;
				   __entry->ret = ret;),
		    TP_printk("sk=%p channel=%u peer=%u addr=%u len=%zu flags=%#x ret=%d",
			      __entry->skaddr, __entry->channel, __entry->peer,
			      __entry->addr, __entry->len, __entry->flags,
			      __entry->ret));

DEFINE_EVENT(myproto_data, myproto_sendmsg,
	     TP_PROTO(const struct sock *sk, u32 addr, size_t len, int flags,
		      int ret),
	     TP_ARGS(sk, addr, len, flags, ret));

DEFINE_EVENT(myproto_data, myproto_recvmsg,
	     TP_PROTO(const struct sock *sk, u32 addr, size_t len, int flags,
		      int ret),
	     TP_ARGS(sk, addr, len, flags, ret));

TRACE_DEFINE_ENUM(SKB_DROP_REASON_SOCKET_CLOSE);
TRACE_DEFINE_ENUM(SKB_DROP_REASON_SOCKET_FILTER);
TRACE_DEFINE_ENUM(MYPROTO_DROP_UNACCEPTED);
TRACE_DEFINE_ENUM(MYPROTO_DROP_FAULT);

/* What was sent to sk and nobody will read: a message, or all that is left of a
 * stream. from is the channel it was sent from, 0 for none. In skb:kfree_skb,
 * which comes for each skb, the reasons that are ours have no name.
 */
TRACE_EVENT(myproto_drop,
	    TP_PROTO(const struct sock *sk, u32 from, u32 len, u32 reason),
	    TP_ARGS(sk, from, len, reason),
	    TP_STRUCT__entry(__field(const void *, skaddr)
			     __field(u32, channel)
			     __field(u32, from)
			     __field(u32, len)
			     __field(u32, reason)),
	    TP_fast_assign(__entry->skaddr = sk;
			   __entry->channel = myproto_channel(sk);
			   __entry->from = from;
			   __entry->len = len;
			   __entry->reason = reason;),
	    TP_printk("sk=%p channel=%u from=%u len=%u reason=%s",
		      __entry->skaddr, __entry->channel, __entry->from,
		      __entry->len,
		      __print_symbolic(__entry->reason,
				       { SKB_DROP_REASON_SOCKET_CLOSE,
					 "SOCKET_CLOSE" },
				       { SKB_DROP_REASON_SOCKET_FILTER,
					 "SOCKET_FILTER" },
				       { MYPROTO_DROP_UNACCEPTED,
					 "MYPROTO_DROP_UNACCEPTED" },
				       { MYPROTO_DROP_FAULT,
					 "MYPROTO_DROP_FAULT" })));

#endif /* _MYPROTO_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
