/* SPDX-License-Identifier: GPL-2.0 */
/* AF_MYPROTO: tracepoints, one for each call, and one for drops. All begin with
 * the socket: its SO_COOKIE, the cookie of its network namespace, its type and
 * its channel. peer and peer_cookie are the channel and the cookie of its peer.
 * A value that does not exist is 0. ret is the return value of the call. Each
 * socket has one myproto_create and one myproto_release event with the same
 * cookie, also a socket that connect() makes for accept().
 */

#undef TRACE_SYSTEM
#define TRACE_SYSTEM myproto

#if !defined(_MYPROTO_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _MYPROTO_TRACE_H

#include <linux/net.h>
#include <linux/tracepoint.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "myproto.h"

TRACE_DEFINE_ENUM(SOCK_STREAM);
TRACE_DEFINE_ENUM(SOCK_DGRAM);
TRACE_DEFINE_ENUM(SOCK_SEQPACKET);

#define myproto_show_type(type)						\
	__print_symbolic(type,						\
			 { SOCK_STREAM,		"SOCK_STREAM" },	\
			 { SOCK_DGRAM,		"SOCK_DGRAM" },		\
			 { SOCK_SEQPACKET,	"SOCK_SEQPACKET" })

/* Set the fields that all events have: skaddr to channel. */
#define MYPROTO_SK_ASSIGN						\
	do {								\
		__entry->skaddr = sk;					\
		__entry->cookie = myproto_cookie(sk);			\
		__entry->netns_cookie = sock_net(sk)->net_cookie;	\
		__entry->type = sk->sk_type;				\
		__entry->channel = myproto_channel(sk);			\
	} while (0)

#define MYPROTO_SK_FORMAT						\
	"skaddr=%p cookie=%llu netns_cookie=%llu type=%s channel=%u "

/* Calls that cannot fail once the socket exists. The two sockets of a
 * socketpair() have no channel yet.
 */
DECLARE_EVENT_CLASS(myproto_sock,
		    TP_PROTO(struct sock *sk),
		    TP_ARGS(sk),
		    TP_STRUCT__entry(__field(const void *, skaddr)
				     __field(u64, cookie)
				     __field(u64, netns_cookie)
				     __field(u16, type)
				     __field(u32, channel)
				     __field(u32, peer)
				     __field(u64, peer_cookie)),
		    TP_fast_assign(MYPROTO_SK_ASSIGN;
				   __entry->peer_cookie =
					myproto_peer_cookie(sk,
							    &__entry->peer);),
		    TP_printk(MYPROTO_SK_FORMAT "peer=%u peer_cookie=%llu",
			      __entry->skaddr, __entry->cookie,
			      __entry->netns_cookie,
			      myproto_show_type(__entry->type),
			      __entry->channel, __entry->peer,
			      __entry->peer_cookie));

DEFINE_EVENT(myproto_sock, myproto_create,
	     TP_PROTO(struct sock *sk),
	     TP_ARGS(sk));

DEFINE_EVENT(myproto_sock, myproto_release,
	     TP_PROTO(struct sock *sk),
	     TP_ARGS(sk));

DEFINE_EVENT(myproto_sock, myproto_socketpair,
	     TP_PROTO(struct sock *sk),
	     TP_ARGS(sk));

/* addr is the channel in the address. */
TRACE_EVENT(myproto_bind,
	    TP_PROTO(struct sock *sk, u32 addr, int ret),
	    TP_ARGS(sk, addr, ret),
	    TP_STRUCT__entry(__field(const void *, skaddr)
			     __field(u64, cookie)
			     __field(u64, netns_cookie)
			     __field(u16, type)
			     __field(u32, channel)
			     __field(u32, addr)
			     __field(int, ret)),
	    TP_fast_assign(MYPROTO_SK_ASSIGN;
			   __entry->addr = addr;
			   __entry->ret = ret;),
	    TP_printk(MYPROTO_SK_FORMAT "addr=%u ret=%d",
		      __entry->skaddr, __entry->cookie, __entry->netns_cookie,
		      myproto_show_type(__entry->type), __entry->channel,
		      __entry->addr, __entry->ret));

/* The peer is the one that the socket has when the call returns. */
TRACE_EVENT(myproto_connect,
	    TP_PROTO(struct sock *sk, u32 addr, int ret),
	    TP_ARGS(sk, addr, ret),
	    TP_STRUCT__entry(__field(const void *, skaddr)
			     __field(u64, cookie)
			     __field(u64, netns_cookie)
			     __field(u16, type)
			     __field(u32, channel)
			     __field(u32, addr)
			     __field(u64, peer_cookie)
			     __field(u32, peer)
			     __field(int, ret)),
	    TP_fast_assign(MYPROTO_SK_ASSIGN;
			   __entry->addr = addr;
			   __entry->peer_cookie =
				myproto_peer_cookie(sk, &__entry->peer);
			   __entry->ret = ret;),
	    TP_printk(MYPROTO_SK_FORMAT "addr=%u peer=%u peer_cookie=%llu ret=%d",
		      __entry->skaddr, __entry->cookie, __entry->netns_cookie,
		      myproto_show_type(__entry->type), __entry->channel,
		      __entry->addr, __entry->peer, __entry->peer_cookie,
		      __entry->ret));

TRACE_EVENT(myproto_listen,
	    TP_PROTO(struct sock *sk, int backlog, int ret),
	    TP_ARGS(sk, backlog, ret),
	    TP_STRUCT__entry(__field(const void *, skaddr)
			     __field(u64, cookie)
			     __field(u64, netns_cookie)
			     __field(u16, type)
			     __field(u32, channel)
			     __field(int, backlog)
			     __field(int, ret)),
	    TP_fast_assign(MYPROTO_SK_ASSIGN;
			   __entry->backlog = backlog;
			   __entry->ret = ret;),
	    TP_printk(MYPROTO_SK_FORMAT "backlog=%d ret=%d",
		      __entry->skaddr, __entry->cookie, __entry->netns_cookie,
		      myproto_show_type(__entry->type), __entry->channel,
		      __entry->backlog, __entry->ret));

/* how is SHUT_* */
TRACE_EVENT(myproto_shutdown,
	    TP_PROTO(struct sock *sk, int how, int ret),
	    TP_ARGS(sk, how, ret),
	    TP_STRUCT__entry(__field(const void *, skaddr)
			     __field(u64, cookie)
			     __field(u64, netns_cookie)
			     __field(u16, type)
			     __field(u32, channel)
			     __field(u32, peer)
			     __field(int, how)
			     __field(int, ret)),
	    TP_fast_assign(MYPROTO_SK_ASSIGN;
			   __entry->peer = myproto_peer_channel(sk);
			   __entry->how = how;
			   __entry->ret = ret;),
	    TP_printk(MYPROTO_SK_FORMAT "peer=%u how=%d ret=%d",
		      __entry->skaddr, __entry->cookie, __entry->netns_cookie,
		      myproto_show_type(__entry->type), __entry->channel,
		      __entry->peer, __entry->how, __entry->ret));

/* newsk is NULL if the call fails. peer and peer_cookie are those of newsk. */
TRACE_EVENT(myproto_accept,
	    TP_PROTO(struct sock *sk, struct sock *newsk, int ret),
	    TP_ARGS(sk, newsk, ret),
	    TP_STRUCT__entry(__field(const void *, skaddr)
			     __field(u64, cookie)
			     __field(u64, netns_cookie)
			     __field(u16, type)
			     __field(u32, channel)
			     __field(u32, peer)
			     __field(u64, new_cookie)
			     __field(u64, peer_cookie)
			     __field(int, ret)),
	    TP_fast_assign(MYPROTO_SK_ASSIGN;
			   __entry->new_cookie = myproto_cookie(newsk);
			   __entry->peer_cookie =
				myproto_peer_cookie(newsk, &__entry->peer);
			   __entry->ret = ret;),
	    TP_printk(MYPROTO_SK_FORMAT "new_cookie=%llu peer=%u peer_cookie=%llu ret=%d",
		      __entry->skaddr, __entry->cookie, __entry->netns_cookie,
		      myproto_show_type(__entry->type), __entry->channel,
		      __entry->new_cookie, __entry->peer, __entry->peer_cookie,
		      __entry->ret));

/* addr is the channel in the address of a datagram, or 0. len is the number of
 * requested bytes. flags are MSG_*.
 */
DECLARE_EVENT_CLASS(myproto_data,
		    TP_PROTO(struct sock *sk, u32 addr, size_t len, int flags,
			     int ret),
		    TP_ARGS(sk, addr, len, flags, ret),
		    TP_STRUCT__entry(__field(const void *, skaddr)
				     __field(u64, cookie)
				     __field(u64, netns_cookie)
				     __field(u16, type)
				     __field(u32, channel)
				     __field(u32, peer)
				     __field(u32, addr)
				     __field(size_t, len)
				     __field(int, flags)
				     __field(int, ret)),
		    TP_fast_assign(MYPROTO_SK_ASSIGN;
				   __entry->peer = myproto_peer_channel(sk);
				   __entry->addr = addr;
				   __entry->len = len;
				   __entry->flags = flags;
				   __entry->ret = ret;),
		    TP_printk(MYPROTO_SK_FORMAT "peer=%u addr=%u len=%zu flags=%#x ret=%d",
			      __entry->skaddr, __entry->cookie,
			      __entry->netns_cookie,
			      myproto_show_type(__entry->type),
			      __entry->channel, __entry->peer, __entry->addr,
			      __entry->len, __entry->flags, __entry->ret));

DEFINE_EVENT(myproto_data, myproto_sendmsg,
	     TP_PROTO(struct sock *sk, u32 addr, size_t len, int flags,
		      int ret),
	     TP_ARGS(sk, addr, len, flags, ret));

DEFINE_EVENT(myproto_data, myproto_recvmsg,
	     TP_PROTO(struct sock *sk, u32 addr, size_t len, int flags,
		      int ret),
	     TP_ARGS(sk, addr, len, flags, ret));

TRACE_DEFINE_ENUM(SKB_DROP_REASON_SOCKET_CLOSE);
TRACE_DEFINE_ENUM(SKB_DROP_REASON_SOCKET_FILTER);
TRACE_DEFINE_ENUM(SKB_DROP_REASON_SOCKET_UNACCEPTED);
TRACE_DEFINE_ENUM(SKB_DROP_REASON_SKB_UCOPY_FAULT);

/* Data that was sent to sk and that nobody will read: a message, or the rest of
 * a stream. from is the channel of the sender. skb:kfree_skb also reports each
 * skb.
 */
TRACE_EVENT(myproto_drop,
	    TP_PROTO(struct sock *sk, u32 from, u32 len,
		     enum skb_drop_reason reason),
	    TP_ARGS(sk, from, len, reason),
	    TP_STRUCT__entry(__field(const void *, skaddr)
			     __field(u64, cookie)
			     __field(u64, netns_cookie)
			     __field(u16, type)
			     __field(u32, channel)
			     __field(u32, from)
			     __field(u32, len)
			     __field(enum skb_drop_reason, reason)),
	    TP_fast_assign(MYPROTO_SK_ASSIGN;
			   __entry->from = from;
			   __entry->len = len;
			   __entry->reason = reason;),
	    TP_printk(MYPROTO_SK_FORMAT "from=%u len=%u reason=%s",
		      __entry->skaddr, __entry->cookie, __entry->netns_cookie,
		      myproto_show_type(__entry->type), __entry->channel,
		      __entry->from, __entry->len,
		      __print_symbolic(__entry->reason,
				       { SKB_DROP_REASON_SOCKET_CLOSE,
					 "SOCKET_CLOSE" },
				       { SKB_DROP_REASON_SOCKET_FILTER,
					 "SOCKET_FILTER" },
				       { SKB_DROP_REASON_SOCKET_UNACCEPTED,
					 "SOCKET_UNACCEPTED" },
				       { SKB_DROP_REASON_SKB_UCOPY_FAULT,
					 "SKB_UCOPY_FAULT" })));

#endif /* _MYPROTO_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
