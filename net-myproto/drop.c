// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: drops, their reasons and /proc/net/myproto_stat */

#include <linux/array_size.h>
#include <linux/atomic.h>
#include <linux/errno.h>
#include <linux/init.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/skbuff.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "myproto.h"
#include "trace.h"

/* By what is left of a reason without the subsystem */
static const char * const myproto_drop_names[] = {
	[MYPROTO_DROP_UNACCEPTED & ~SKB_DROP_REASON_SUBSYS_MASK] =
		"MYPROTO_DROP_UNACCEPTED",
	[MYPROTO_DROP_FAULT & ~SKB_DROP_REASON_SUBSYS_MASK] =
		"MYPROTO_DROP_FAULT",
};

static const struct drop_reason_list myproto_drop_list = {
	.reasons	= myproto_drop_names,
	.n_reasons	= ARRAY_SIZE(myproto_drop_names),
};

/**
 * myproto_drop_init - make the names of the reasons known
 *
 * Context: Process context, before there are sockets.
 */
void __init myproto_drop_init(void)
{
	drop_reasons_register_subsys(SKB_DROP_REASON_SUBSYS_MYPROTO,
				     &myproto_drop_list);
}

/**
 * myproto_drop_exit - undo myproto_drop_init()
 *
 * Context: Process context, when there are no sockets any more. Sleeps until
 * nobody uses the names.
 */
void myproto_drop_exit(void)
{
	drop_reasons_unregister_subsys(SKB_DROP_REASON_SUBSYS_MYPROTO);
}

static void myproto_stat_add(const struct sock *sk, enum myproto_stat stat,
			     u32 count)
{
	atomic_long_add(count, &myproto_net(sock_net(sk))->stats[stat]);
}

/**
 * myproto_drop - drop a message that will not be read although its receiver
 *	goes on
 * @sk: the receiver
 * @skb: the message; consumes the caller's reference
 * @reason: MYPROTO_DROP_FAULT, or why the filter of @sk did not let it in
 *
 * Context: Process context.
 */
void myproto_drop(struct sock *sk, struct sk_buff *skb, u32 reason)
{
	myproto_stat_add(sk, reason == MYPROTO_DROP_FAULT ?
			     MYPROTO_STAT_FAULTED : MYPROTO_STAT_FILTERED, 1);
	sk_drops_inc(sk);
	trace_myproto_drop(sk, MYPROTO_CB(skb)->channel, skb->len, reason);
	sk_skb_reason_drop(sk, skb, reason);
}

/**
 * myproto_drop_unread - drop what a socket has not read that is being closed
 * @sk: the socket, with all skbs on sk_write_queue and its peer still known
 * @len: how many bytes it has not read
 * @reason: SKB_DROP_REASON_SOCKET_CLOSE or MYPROTO_DROP_UNACCEPTED
 *
 * Context: Process context, when nobody else reads from @sk or sends to it.
 */
void myproto_drop_unread(struct sock *sk, u32 len, u32 reason)
{
	struct sk_buff_head *queue = &sk->sk_write_queue;
	bool stream = sk->sk_type == SOCK_STREAM;
	struct sk_buff *skb;

	/* What skbs a stream is in matters to nobody, and some of it is in
	 * none.
	 */
	if (stream) {
		myproto_stat_add(sk, MYPROTO_STAT_BYTES, len);
		trace_myproto_drop(sk, myproto_peer_channel(sk), len, reason);
	} else {
		myproto_stat_add(sk, MYPROTO_STAT_MESSAGES,
				 skb_queue_len(queue));
	}

	while ((skb = __skb_dequeue(queue))) {
		if (!stream)
			trace_myproto_drop(sk, MYPROTO_CB(skb)->channel,
					   skb->len, reason);
		sk_skb_reason_drop(sk, skb, reason);
	}
}

#ifdef CONFIG_PROC_FS
static const char * const myproto_stat_names[MYPROTO_STAT_NUM] = {
	[MYPROTO_STAT_FILTERED]	= "MyprotoFiltered",
	[MYPROTO_STAT_FAULTED]	= "MyprotoFaulted",
	[MYPROTO_STAT_MESSAGES]	= "MyprotoUnreadMessages",
	[MYPROTO_STAT_BYTES]	= "MyprotoUnreadBytes",
};

static int myproto_stat_show(struct seq_file *seq, void *v)
{
	const struct myproto_net *mnet = myproto_net(seq->private);
	int i;

	for (i = 0; i < MYPROTO_STAT_NUM; i++)
		seq_printf(seq, "%-24s\t%lu\n", myproto_stat_names[i],
			   atomic_long_read(&mnet->stats[i]));
	return 0;
}

/**
 * myproto_stat_register - make /proc/net/myproto_stat in a network namespace
 * @net: the namespace
 *
 * Context: Process context. May sleep.
 * Return: 0 or -ENOMEM.
 */
int __net_init myproto_stat_register(struct net *net)
{
	return proc_create_net_single("myproto_stat", 0444, net->proc_net,
				      myproto_stat_show, NULL) ? 0 : -ENOMEM;
}

/**
 * myproto_stat_unregister - undo myproto_stat_register()
 * @net: the namespace
 *
 * Context: Process context. May sleep.
 */
void __net_exit myproto_stat_unregister(struct net *net)
{
	remove_proc_entry("myproto_stat", net->proc_net);
}
#endif
