// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: the protocol family, its sockets and their operations */

#include <linux/compat.h>
#include <linux/errno.h>
#include <linux/module.h>
#include <linux/myproto.h>
#include <linux/net.h>
#include <linux/uio.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include <net/tcp_states.h>

#include "myproto.h"
#include "trace.h"

#define MYPROTO_UNPRIVILEGED_START	1024

unsigned int myproto_net_id __read_mostly;

static int myproto_release(struct socket *sock)
{
	struct sock *sk = sock->sk;

	if (!sk)
		return 0;

	sock->sk = NULL;
	myproto_close(sk, false);
	return 0;
}

static int myproto_bind(struct socket *sock, struct sockaddr_unsized *addr,
			int addr_len)
{
	struct sock *sk = sock->sk;
	u32 channel = 0;
	int err;

	err = myproto_addr_channel(addr, addr_len, &channel);
	if (err)
		goto out;

	lock_sock(sk);
	if (myproto_sk(sk)->channel)
		err = -EINVAL;
	else
		err = myproto_channel_bind(sk, channel);
	release_sock(sk);
out:
	trace_myproto_bind(sk, channel, err);
	return err;
}

static int myproto_getname(struct socket *sock, struct sockaddr *addr,
			   int peer)
{
	DECLARE_SOCKADDR(struct sockaddr_my *, smy, addr);
	struct sock *sk = sock->sk;

	rcu_read_lock();
	if (peer)
		sk = rcu_dereference(myproto_sk(sk)->peer);
	if (sk)
		*smy = (struct sockaddr_my) {
			.smy_family	= AF_MYPROTO,
			.smy_channel	= myproto_channel(sk),
		};
	rcu_read_unlock();

	return sk ? sizeof(*smy) : -ENOTCONN;
}

static int myproto_ioctl(struct socket *sock, unsigned int cmd,
			 unsigned long arg)
{
	return sk_ioctl(sock->sk, cmd, (void __user *)arg);
}

#ifdef CONFIG_COMPAT
static int myproto_compat_ioctl(struct socket *sock, unsigned int cmd,
				unsigned long arg)
{
	return sk_ioctl(sock->sk, cmd, compat_ptr(arg));
}
#endif

/* Only for streams: recvmsg() returns the length of a message anyway. */
static int myproto_set_inq(struct sock *sk, sockptr_t optval,
			   unsigned int optlen)
{
	int val;

	if (sk->sk_type != SOCK_STREAM)
		return -ENOPROTOOPT;
	if (optlen != sizeof(val))
		return -EINVAL;
	if (copy_from_sockptr(&val, optval, sizeof(val)))
		return -EFAULT;
	if (val < 0 || val > 1)
		return -EINVAL;

	WRITE_ONCE(myproto_sk(sk)->inq, val);
	return 0;
}

/* Also called for SOL_SOCKET, because of SOCK_CUSTOM_SOCKOPT. */
static int myproto_setsockopt(struct socket *sock, int level, int optname,
			      sockptr_t optval, unsigned int optlen)
{
	struct sock *sk = sock->sk;
	int err;

	if (level != SOL_SOCKET)
		return -ENOPROTOOPT;
	if (optname == SO_INQ)
		return myproto_set_inq(sk, optval, optlen);

	err = sock_setsockopt(sock, level, optname, optval, optlen);
	/* Senders check options under the queue lock. Wait for them: when a
	 * receive has returned EAGAIN, all later data follows the new options.
	 */
	spin_lock(&sk->sk_receive_queue.lock);
	spin_unlock(&sk->sk_receive_queue.lock);
	return err;
}

/* Not called for SOL_SOCKET, which the core handles. */
static int myproto_getsockopt(struct socket *sock, int level, int optname,
			      sockopt_t *opt)
{
	struct sock *sk = sock->sk;
	int val;

	if (level != SOL_MYPROTO || optname != MYPROTO_MESSAGE_MAX ||
	    sk->sk_type == SOCK_STREAM)
		return -ENOPROTOOPT;
	if (opt->optlen < (int)sizeof(val))
		return -EINVAL;

	val = myproto_message_max(sk);
	if (val < 0)
		return val;
	opt->optlen = sizeof(val);
	return copy_to_iter_full(&val, sizeof(val), &opt->iter_out) ?
		0 : -EFAULT;
}

static const struct proto_ops myproto_stream_ops = {
	.family		= PF_MYPROTO,
	.owner		= THIS_MODULE,
	.release	= myproto_release,
	.bind		= myproto_bind,
	.connect	= myproto_connect,
	.socketpair	= myproto_socketpair,
	.accept		= myproto_accept,
	.getname	= myproto_getname,
	.poll		= myproto_poll,
	.ioctl		= myproto_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl	= myproto_compat_ioctl,
#endif
	.gettstamp	= sock_gettstamp,
	.listen		= myproto_listen,
	.shutdown	= myproto_shutdown,
	.setsockopt	= myproto_setsockopt,
	.getsockopt_iter = myproto_getsockopt,
	.show_fdinfo	= myproto_show_fdinfo,
	.sendmsg	= myproto_stream_sendmsg,
	.recvmsg	= myproto_stream_recvmsg,
	.mmap		= sock_no_mmap,
	.splice_read	= myproto_stream_splice_read,
	.set_peek_off	= sk_set_peek_off,
	.set_rcvbuf	= myproto_set_rcvbuf,
	.set_rcvlowat	= myproto_set_rcvlowat,
};

static const struct proto_ops myproto_seqpacket_ops = {
	.family		= PF_MYPROTO,
	.owner		= THIS_MODULE,
	.release	= myproto_release,
	.bind		= myproto_bind,
	.connect	= myproto_connect,
	.socketpair	= myproto_socketpair,
	.accept		= myproto_accept,
	.getname	= myproto_getname,
	.poll		= myproto_poll,
	.ioctl		= myproto_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl	= myproto_compat_ioctl,
#endif
	.gettstamp	= sock_gettstamp,
	.listen		= myproto_listen,
	.shutdown	= myproto_shutdown,
	.setsockopt	= myproto_setsockopt,
	.getsockopt_iter = myproto_getsockopt,
	.show_fdinfo	= myproto_show_fdinfo,
	.sendmsg	= myproto_seqpacket_sendmsg,
	.recvmsg	= myproto_seqpacket_recvmsg,
	.mmap		= sock_no_mmap,
	.set_peek_off	= sk_set_peek_off,
	.set_rcvbuf	= myproto_set_rcvbuf,
	.set_rcvlowat	= myproto_set_rcvlowat,
};

static const struct proto_ops myproto_dgram_ops = {
	.family		= PF_MYPROTO,
	.owner		= THIS_MODULE,
	.release	= myproto_release,
	.bind		= myproto_bind,
	.connect	= myproto_dgram_connect,
	.socketpair	= myproto_socketpair,
	.accept		= sock_no_accept,
	.getname	= myproto_getname,
	.poll		= myproto_poll,
	.ioctl		= myproto_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl	= myproto_compat_ioctl,
#endif
	.gettstamp	= sock_gettstamp,
	.listen		= sock_no_listen,
	.shutdown	= myproto_shutdown,
	.setsockopt	= myproto_setsockopt,
	.getsockopt_iter = myproto_getsockopt,
	.show_fdinfo	= myproto_show_fdinfo,
	.sendmsg	= myproto_dgram_sendmsg,
	.recvmsg	= myproto_dgram_recvmsg,
	.mmap		= sock_no_mmap,
	.set_peek_off	= sk_set_peek_off,
	.set_rcvbuf	= myproto_set_rcvbuf,
	.set_rcvlowat	= myproto_set_rcvlowat,
};

static struct proto myproto_proto = {
	.name		= "MYSOCK",
	.owner		= THIS_MODULE,
	.obj_size	= sizeof(struct myproto_sock),
	.slab_flags	= SLAB_TYPESAFE_BY_RCU,
	.freeptr_offset	= offsetof(struct myproto_sock, sk.sk_freeptr),
	.useroffset	= offsetof(struct myproto_sock, small_data),
	.usersize	= sizeof_field(struct myproto_sock, small_data),
	.ioctl		= myproto_sk_ioctl,
	.diag_destroy	= myproto_abort,
};

/* Initialize the AF_MYPROTO part of a new or cloned socket. */
static void myproto_sk_init(struct sock *sk)
{
	struct myproto_sock *msk = myproto_sk(sk);

	/* sk_clone() has copied the queues of the listener, which share a union
	 * with the small buffers. listen() initializes the queues.
	 */
	memset_startat(msk, 0, small_head);
	msk->listener = NULL;
	msk->child = NULL;
	init_waitqueue_head(&msk->peer_wait);
	myproto_relay_init(&msk->peer_relay);

	sock_prot_inuse_add(sock_net(sk), sk->sk_prot, 1);
	myproto_sockets_add(sk);
	trace_myproto_create(sk);
}

/**
 * myproto_sk_clone - create the socket that accept() will return
 * @listener: a listening socket, which has never had a peer or data
 *
 * As with TCP, the socket inherits options, limits and network cgroup. Its
 * memory cgroup is set in accept().
 *
 * Return: the socket, with the reference that myproto_close() consumes, or
 * NULL.
 */
struct sock *myproto_sk_clone(struct sock *listener)
{
	struct sock *sk = sk_clone(listener, GFP_KERNEL, false);

	if (!sk)
		return NULL;

	/* Drop the second reference: it is for a hash table, not used here. */
	__sock_put(sk);
	/* Reset what sk_clone() copies. */
	sock_reset_flag(sk, SOCK_RCU_FREE);
	sock_reset_flag(sk, SOCK_FASYNC);
	atomic64_set(&sk->sk_cookie, 0);
	sk->sk_state = TCP_CLOSE;
	sk->sk_shutdown = 0;
	sk->sk_ack_backlog = 0;
	sk->sk_max_ack_backlog = 0;
	myproto_sk(sk)->aborted = false;
	myproto_sk_init(sk);
	return sk;
}

static int myproto_create(struct net *net, struct socket *sock, int protocol,
			  int kern)
{
	const struct proto_ops *ops;
	struct sock *sk;

	switch (sock->type) {
	case SOCK_STREAM:
		ops = &myproto_stream_ops;
		break;
	case SOCK_SEQPACKET:
		ops = &myproto_seqpacket_ops;
		break;
	case SOCK_DGRAM:
		ops = &myproto_dgram_ops;
		break;
	default:
		return -ESOCKTNOSUPPORT;
	}
	if (protocol)
		return -EPROTONOSUPPORT;

	sk = sk_alloc(net, PF_MYPROTO, GFP_KERNEL, &myproto_proto, kern);
	if (!sk)
		return -ENOMEM;

	sock_init_data(sock, sk);
	sk->sk_data_ready = myproto_data_ready;
	/* A send fails when there is no memory, without the OOM killer. */
	sk->sk_allocation = GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL |
			    __GFP_NOWARN;
	myproto_sk_init(sk);
	sock->ops = ops;
	/* Let myproto_setsockopt() handle SO_INQ. */
	set_bit(SOCK_CUSTOM_SOCKOPT, &sock->flags);
	return 0;
}

static const struct net_proto_family myproto_family = {
	.family	= PF_MYPROTO,
	.create	= myproto_create,
	.owner	= THIS_MODULE,
};

static int __net_init myproto_net_init(struct net *net)
{
	struct myproto_net *mnet = myproto_net(net);
	int err;

	mnet->unprivileged_start = MYPROTO_UNPRIVILEGED_START;
	err = myproto_sockets_init(net);
	if (err)
		return err;

	err = myproto_sysctl_register(net);
	if (err)
		goto err_sockets;

	err = myproto_proc_register(net);
	if (err)
		goto err_sysctl;
	return 0;

err_sysctl:
	myproto_sysctl_unregister(net);
err_sockets:
	myproto_sockets_exit(net);
	return err;
}

static void __net_exit myproto_net_exit(struct net *net)
{
	myproto_proc_unregister(net);
	myproto_sysctl_unregister(net);
	myproto_sockets_exit(net);
}

static struct pernet_operations myproto_net_ops = {
	.init	= myproto_net_init,
	.exit	= myproto_net_exit,
	.id	= &myproto_net_id,
	.size	= sizeof(struct myproto_net),
};

static int __init myproto_init(void)
{
	int err;

	err = myproto_channel_init();
	if (err)
		return err;

	err = register_pernet_subsys(&myproto_net_ops);
	if (err)
		goto err_channel;

	err = proto_register(&myproto_proto, 1);
	if (err)
		goto err_pernet;

	/* Last: sockets can be created from now on. */
	err = sock_register(&myproto_family);
	if (err)
		goto err_proto;
	return 0;

err_proto:
	proto_unregister(&myproto_proto);
err_pernet:
	unregister_pernet_subsys(&myproto_net_ops);
err_channel:
	myproto_channel_exit();
	return err;
}

static void __exit myproto_exit(void)
{
	sock_unregister(PF_MYPROTO);
	proto_unregister(&myproto_proto);
	unregister_pernet_subsys(&myproto_net_ops);
	myproto_channel_exit();
}

module_init(myproto_init);
module_exit(myproto_exit);

MODULE_DESCRIPTION("Channel-addressed sockets (AF_MYPROTO)");
MODULE_LICENSE("GPL");
MODULE_ALIAS_NETPROTO(PF_MYPROTO);
