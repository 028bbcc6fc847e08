// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: /proc/net/myproto and /proc/PID/fdinfo */

#include <linux/errno.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/seq_file_net.h>
#include <linux/uidgid.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include <net/tcp_states.h>

#include "myproto.h"

/* Position 0 is the header. Other positions are those of sockets.c plus 1. */
static void *myproto_seq_start(struct seq_file *seq, loff_t *pos)
{
	struct sock *sk;

	if (!*pos)
		return SEQ_START_TOKEN;

	--*pos;
	sk = myproto_sockets_find(seq_file_net(seq), pos);
	++*pos;
	return sk;
}

static void *myproto_seq_next(struct seq_file *seq, void *v, loff_t *pos)
{
	struct sock *sk;

	if (v == SEQ_START_TOKEN) {
		++*pos;
		return myproto_seq_start(seq, pos);
	}

	--*pos;
	sk = myproto_sockets_next(seq_file_net(seq), v, pos);
	++*pos;
	return sk;
}

static void myproto_seq_stop(struct seq_file *seq, void *v)
{
	if (v != SEQ_START_TOKEN)
		myproto_sockets_end(v);
}

static int myproto_seq_show(struct seq_file *seq, void *v)
{
	struct myproto_info info;
	struct sock *sk = v;

	if (v == SEQ_START_TOKEN) {
		seq_puts(seq,
			 "Type St Channel    Peer       RecvQ      SendQ      Memory     Drops      Uid        Inode\n");
		return 0;
	}

	myproto_get_info(sk, &info, false);
	seq_printf(seq,
		   "%-4u %02X %-10u %-10u %-10u %-10u %-10d %-10u %-10u %llu\n",
		   sk->sk_type, info.state, info.channel, info.peer_channel,
		   info.rqueue, info.wqueue, info.memory, sk_drops_read(sk),
		   from_kuid_munged(seq_user_ns(seq), sk_uid(sk)),
		   sock_i_ino(sk));
	return 0;
}

static const struct seq_operations myproto_seq_ops = {
	.start	= myproto_seq_start,
	.next	= myproto_seq_next,
	.stop	= myproto_seq_stop,
	.show	= myproto_seq_show,
};

int __net_init myproto_proc_register(struct net *net)
{
	if (!proc_create_net("myproto", 0444, net->proc_net, &myproto_seq_ops,
			     sizeof(struct seq_net_private)))
		return -ENOMEM;
	return 0;
}

void __net_exit myproto_proc_unregister(struct net *net)
{
	remove_proc_entry("myproto", net->proc_net);
}

/* Number of file descriptors in flight to @sk and, if it listens, to the
 * connections in its accept queue
 */
static unsigned int myproto_scm_fds(struct sock *sk)
{
	struct myproto_sock *msk = myproto_sk(sk), *child;
	unsigned int fds;

	spin_lock(&sk->sk_receive_queue.lock);
	fds = atomic_read(&msk->scm_fds);
	if (READ_ONCE(sk->sk_state) == TCP_LISTEN)
		list_for_each_entry(child, &msk->accept_queue, peer_relay.entry)
			fds += atomic_read(&child->scm_fds);
	spin_unlock(&sk->sk_receive_queue.lock);
	return fds;
}

void myproto_show_fdinfo(struct seq_file *seq, struct socket *sock)
{
	seq_printf(seq,
		   "scm_fds: %u\nmyproto-channel:\t%u\nmyproto-peer:\t%u\n",
		   myproto_scm_fds(sock->sk), myproto_channel(sock->sk),
		   myproto_peer_channel(sock->sk));
}
