// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: sock_diag, by which ss and others see and end sockets */

#include <linux/err.h>
#include <linux/errno.h>
#include <linux/module.h>
#include <linux/myproto_diag.h>
#include <linux/skbuff.h>
#include <linux/sock_diag.h>
#include <linux/socket.h>
#include <linux/uidgid.h>
#include <net/net_namespace.h>
#include <net/netlink.h>
#include <net/sock.h>

#include "myproto.h"

#define MDIAG_SHOW_ALL	(MDIAG_SHOW_PEER | MDIAG_SHOW_RQLEN | \
			 MDIAG_SHOW_MEMINFO | MDIAG_SHOW_UID)

/* Whether a request is well formed, so far as it is the same for all. What has
 * no meaning today must be 0, so that it can get one.
 */
static bool myproto_diag_valid(const struct nlmsghdr *nlh)
{
	const struct myproto_diag_req *req = nlmsg_data(nlh);

	return nlmsg_len(nlh) == sizeof(*req) && !req->sdiag_protocol &&
	       !(req->mdiag_show & ~MDIAG_SHOW_ALL);
}

/* Add what was asked for by mdiag_show to the message about @sk. */
static int myproto_diag_put(struct sock *sk, struct sk_buff *skb, u32 show,
			    struct user_namespace *user_ns,
			    const struct myproto_info *info)
{
	const struct myproto_diag_peer peer = {
		.mdiag_channel	= info->peer_channel,
		.mdiag_ino	= info->peer_ino,
		.mdiag_cookie	= { info->peer_cookie[0],
				    info->peer_cookie[1] },
	};
	const struct myproto_diag_rqlen rqlen = {
		.mdiag_rqueue	= info->rqueue,
		.mdiag_wqueue	= info->wqueue,
	};

	if (show & MDIAG_SHOW_PEER && info->has_peer &&
	    nla_put(skb, MYPROTO_DIAG_PEER, sizeof(peer), &peer))
		return -EMSGSIZE;
	if (show & MDIAG_SHOW_RQLEN &&
	    nla_put(skb, MYPROTO_DIAG_RQLEN, sizeof(rqlen), &rqlen))
		return -EMSGSIZE;
	if (show & MDIAG_SHOW_MEMINFO &&
	    sock_diag_put_meminfo(sk, skb, MYPROTO_DIAG_MEMINFO))
		return -EMSGSIZE;
	if (show & MDIAG_SHOW_UID &&
	    nla_put_u32(skb, MYPROTO_DIAG_UID,
			from_kuid_munged(user_ns, sk_uid(sk))))
		return -EMSGSIZE;
	return 0;
}

/* Add a message about @sk to @skb, the answer to the request @nlh in @in_skb.
 * Returns 0, or -EMSGSIZE when there is no room for it.
 */
static int myproto_diag_fill(struct sock *sk, struct sk_buff *skb,
			     const struct sk_buff *in_skb,
			     const struct nlmsghdr *nlh, int flags)
{
	const struct myproto_diag_req *req = nlmsg_data(nlh);
	struct myproto_diag_msg *msg;
	struct myproto_info info;
	struct nlmsghdr *rep;

	rep = nlmsg_put(skb, NETLINK_CB(in_skb).portid, nlh->nlmsg_seq,
			SOCK_DIAG_BY_FAMILY, sizeof(*msg), flags);
	if (!rep)
		return -EMSGSIZE;

	myproto_get_info(sk, &info);
	msg = nlmsg_data(rep);
	msg->mdiag_family = AF_MYPROTO;
	msg->mdiag_type = sk->sk_type;
	msg->mdiag_state = info.state;
	msg->mdiag_shutdown = READ_ONCE(sk->sk_shutdown);
	msg->mdiag_channel = myproto_channel(sk);
	msg->mdiag_ino = sock_i_ino(sk);
	sock_diag_save_cookie(sk, msg->mdiag_cookie);

	if (myproto_diag_put(sk, skb, req->mdiag_show,
			     sk_user_ns(NETLINK_CB(in_skb).sk), &info)) {
		nlmsg_cancel(skb, rep);
		return -EMSGSIZE;
	}
	nlmsg_end(skb, rep);
	return 0;
}

/* Where a dump has got to, between two messages */
struct myproto_diag_ctx {
	loff_t	pos;
};

static bool myproto_diag_match(const struct sock *sk,
			       const struct myproto_diag_req *req)
{
	return req->mdiag_states & BIT(READ_ONCE(sk->sk_state)) &&
	       req->mdiag_types & BIT(sk->sk_type) &&
	       (!req->mdiag_channel ||
		req->mdiag_channel == myproto_channel(sk));
}

static int myproto_diag_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	const struct myproto_diag_req *req = nlmsg_data(cb->nlh);
	struct myproto_diag_ctx *ctx = (void *)cb->ctx;
	const struct net *net = sock_net(skb->sk);
	struct sock *sk;

	NL_ASSERT_CTX_FITS(struct myproto_diag_ctx);

	for (sk = myproto_sockets_find(net, &ctx->pos); sk;
	     sk = myproto_sockets_next(net, sk, &ctx->pos)) {
		if (!myproto_diag_match(sk, req))
			continue;
		/* With this one the next message begins. */
		if (myproto_diag_fill(sk, skb, cb->skb, cb->nlh, NLM_F_MULTI))
			break;
	}
	myproto_sockets_end(sk);
	return skb->len;
}

/* The socket with the inode of @req, or with its cookie if there is no inode in
 * it, with a reference for the caller.
 */
static struct sock *myproto_diag_walk(const struct net *net,
				      const struct myproto_diag_req *req)
{
	struct sock *sk;
	loff_t pos = 0;

	for (sk = myproto_sockets_find(net, &pos); sk;
	     sk = myproto_sockets_next(net, sk, &pos)) {
		if (req->mdiag_ino ? sock_i_ino(sk) == req->mdiag_ino :
		    !sock_diag_check_cookie(sk, req->mdiag_cookie)) {
			sock_hold(sk);
			break;
		}
	}
	myproto_sockets_end(sk);
	return sk;
}

/* The one socket that the request @nlh names, with a reference for the caller.
 */
static struct sock *myproto_diag_find(const struct net *net,
				      const struct nlmsghdr *nlh)
{
	const struct myproto_diag_req *req = nlmsg_data(nlh);
	struct sock *sk;

	if (req->mdiag_states || req->mdiag_types ||
	    (req->mdiag_ino && req->mdiag_channel))
		return ERR_PTR(-EINVAL);

	if (req->mdiag_channel)
		sk = myproto_channel_lookup(net, req->mdiag_channel);
	else if (req->mdiag_ino ||
		 req->mdiag_cookie[0] != MYPROTO_DIAG_NOCOOKIE ||
		 req->mdiag_cookie[1] != MYPROTO_DIAG_NOCOOKIE)
		sk = myproto_diag_walk(net, req);
	else
		return ERR_PTR(-EINVAL);
	if (!sk)
		return ERR_PTR(-ENOENT);

	/* Another one may have got the inode or the channel since. */
	if (sock_diag_check_cookie(sk, req->mdiag_cookie)) {
		sock_put(sk);
		return ERR_PTR(-ESTALE);
	}
	return sk;
}

static int myproto_diag_get(struct sk_buff *in_skb, const struct nlmsghdr *nlh)
{
	struct net *net = sock_net(in_skb->sk);
	struct sk_buff *skb;
	struct sock *sk;
	int err;

	sk = myproto_diag_find(net, nlh);
	if (IS_ERR(sk))
		return PTR_ERR(sk);

	err = -ENOMEM;
	skb = nlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!skb)
		goto out;

	err = myproto_diag_fill(sk, skb, in_skb, nlh, 0);
	if (err)
		nlmsg_free(skb);
	else
		err = nlmsg_unicast(net->diag_nlsk, skb,
				    NETLINK_CB(in_skb).portid);
out:
	sock_put(sk);
	return err;
}

static int myproto_diag_request(struct sk_buff *skb, struct nlmsghdr *nlh)
{
	const struct myproto_diag_req *req = nlmsg_data(nlh);
	struct netlink_dump_control control = {
		.dump	= myproto_diag_dump,
	};

	if (!myproto_diag_valid(nlh))
		return -EINVAL;
	if (!(nlh->nlmsg_flags & NLM_F_DUMP))
		return myproto_diag_get(skb, nlh);

	if (req->mdiag_ino || req->mdiag_cookie[0] || req->mdiag_cookie[1])
		return -EINVAL;
	return netlink_dump_start(sock_net(skb->sk)->diag_nlsk, skb, nlh,
				  &control);
}

static int myproto_diag_destroy(struct sk_buff *skb, struct nlmsghdr *nlh)
{
	const struct myproto_diag_req *req = nlmsg_data(nlh);
	struct sock *sk;
	int err;

	if (!myproto_diag_valid(nlh) || req->mdiag_show)
		return -EINVAL;

	sk = myproto_diag_find(sock_net(skb->sk), nlh);
	if (IS_ERR(sk))
		return PTR_ERR(sk);

	/* It asks for CAP_NET_ADMIN. */
	err = sock_diag_destroy(sk, ECONNABORTED);
	sock_put(sk);
	return err;
}

static const struct sock_diag_handler myproto_diag_handler = {
	.owner		= THIS_MODULE,
	.family		= AF_MYPROTO,
	.dump		= myproto_diag_request,
	.destroy	= myproto_diag_destroy,
};

static int __init myproto_diag_init(void)
{
	return sock_diag_register(&myproto_diag_handler);
}

static void __exit myproto_diag_exit(void)
{
	sock_diag_unregister(&myproto_diag_handler);
}

module_init(myproto_diag_init);
module_exit(myproto_diag_exit);

MODULE_DESCRIPTION("Channel-addressed sockets (AF_MYPROTO): sock_diag");
MODULE_LICENSE("GPL");
MODULE_ALIAS_NET_PF_PROTO_TYPE(PF_NETLINK, NETLINK_SOCK_DIAG,
			       46 /* AF_MYPROTO */);
