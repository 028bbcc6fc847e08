// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: sock_diag, to list and destroy sockets, for example with ss */

#include <linux/err.h>
#include <linux/errno.h>
#include <linux/module.h>
#include <linux/myproto_diag.h>
#include <linux/skbuff.h>
#include <linux/sock_diag.h>
#include <linux/socket.h>
#include <linux/uidgid.h>
#include <linux/wordpart.h>
#include <net/net_namespace.h>
#include <net/netlink.h>
#include <net/sock.h>
#include <net/tcp_states.h>

#include "myproto.h"

#define MDIAG_SHOW_ALL	(MDIAG_SHOW_PEER | MDIAG_SHOW_RQLEN | \
			 MDIAG_SHOW_MEMINFO | MDIAG_SHOW_UID)

#define MDIAG_TYPES	(BIT(SOCK_STREAM) | BIT(SOCK_DGRAM) | \
			 BIT(SOCK_SEQPACKET))

#define MDIAG_STATES	(BIT(TCP_CLOSE) | BIT(TCP_LISTEN) | \
			 BIT(TCP_SYN_SENT) | BIT(TCP_ESTABLISHED))

/* NLM_F_DUMP has two bits, which are valid only together. */
#define MDIAG_FLAGS	(NLM_F_REQUEST | NLM_F_ACK | NLM_F_DUMP)

/* Check what all requests have in common. Unused fields must be 0 and there
 * must be no attributes, so that both can get a meaning later.
 */
static int myproto_diag_check(const struct nlmsghdr *nlh)
{
	const struct myproto_diag_req *req = nlmsg_data(nlh);
	u16 dump = nlh->nlmsg_flags & NLM_F_DUMP;
	int err;

	if (nlh->nlmsg_flags & ~MDIAG_FLAGS || (dump && dump != NLM_F_DUMP))
		return -EINVAL;

	err = nlmsg_parse(nlh, sizeof(*req), NULL, 0, NULL, NULL);
	if (err)
		return err;

	if (req->sdiag_protocol || req->mdiag_types & ~MDIAG_TYPES ||
	    req->mdiag_states & ~MDIAG_STATES ||
	    req->mdiag_show & ~MDIAG_SHOW_ALL)
		return -EINVAL;
	return 0;
}

/* Whether @req accepts any cookie. No socket has the cookie 0. */
static bool myproto_diag_any_cookie(const struct myproto_diag_req *req)
{
	const u32 *cookie = req->mdiag_cookie;

	return cookie[0] == cookie[1] &&
	       (!cookie[0] || cookie[0] == MYPROTO_DIAG_NOCOOKIE);
}

/* Unlike sock_diag_check_cookie(), this generates no cookie: a socket whose
 * cookie is known to user space already has one.
 */
static bool myproto_diag_has_cookie(const struct sock *sk, const u32 *cookie)
{
	u64 val = atomic64_read(&sk->sk_cookie);

	return lower_32_bits(val) == cookie[0] &&
	       upper_32_bits(val) == cookie[1];
}

static int myproto_diag_put_peer(struct sk_buff *skb,
				 const struct myproto_info *info)
{
	int err;

	/* A connecting socket has no peer yet. Report the requested channel. */
	if (!info->has_peer && info->state != TCP_SYN_SENT)
		return 0;
	err = nla_put_u32(skb, MYPROTO_DIAG_PEER_CHANNEL, info->peer_channel);
	if (err || !info->has_peer)
		return err;

	return nla_put_u32(skb, MYPROTO_DIAG_PEER_INO, info->peer_ino) ?:
	       nla_put(skb, MYPROTO_DIAG_PEER_COOKIE,
		       sizeof(info->peer_cookie), info->peer_cookie);
}

/* Add the attributes that mdiag_show selects. */
static int myproto_diag_put(struct sock *sk, struct sk_buff *skb, u32 show,
			    struct user_namespace *user_ns,
			    const struct myproto_info *info)
{
	if (show & MDIAG_SHOW_PEER && myproto_diag_put_peer(skb, info))
		return -EMSGSIZE;
	if (show & MDIAG_SHOW_RQLEN &&
	    (nla_put_u32(skb, MYPROTO_DIAG_RQUEUE, info->rqueue) ||
	     nla_put_u32(skb, MYPROTO_DIAG_WQUEUE, info->wqueue)))
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

/* Add a message about @sk to @skb, the reply to the request @nlh in @in_skb.
 * Returns 0, or -EMSGSIZE when there is no space.
 */
static int myproto_diag_fill(struct sock *sk, const struct myproto_info *info,
			     struct sk_buff *skb, const struct sk_buff *in_skb,
			     const struct nlmsghdr *nlh, int flags)
{
	const struct myproto_diag_req *req = nlmsg_data(nlh);
	struct myproto_diag_msg *msg;
	struct nlmsghdr *rep;

	rep = nlmsg_put(skb, NETLINK_CB(in_skb).portid, nlh->nlmsg_seq,
			SOCK_DIAG_BY_FAMILY, sizeof(*msg), flags);
	if (!rep)
		return -EMSGSIZE;

	msg = nlmsg_data(rep);
	msg->mdiag_family = AF_MYPROTO;
	msg->mdiag_type = sk->sk_type;
	msg->mdiag_state = info->state;
	msg->mdiag_shutdown = info->shutdown;
	msg->mdiag_channel = info->channel;
	/* Inodes of sockets have 32 bits, see get_next_ino(). */
	msg->mdiag_ino = sock_i_ino(sk);
	sock_diag_save_cookie(sk, msg->mdiag_cookie);

	if (myproto_diag_put(sk, skb, req->mdiag_show,
			     sk_user_ns(NETLINK_CB(in_skb).sk), info)) {
		nlmsg_cancel(skb, rep);
		return -EMSGSIZE;
	}
	nlmsg_end(skb, rep);
	return 0;
}

/* Position of a dump between two messages */
struct myproto_diag_ctx {
	loff_t	pos;
};

/* Whether @sk matches @req. Values that can change are compared in @info, which
 * is what will be reported.
 */
static bool myproto_diag_match(const struct sock *sk,
			       const struct myproto_info *info,
			       const struct myproto_diag_req *req)
{
	return (!req->mdiag_types || req->mdiag_types & BIT(sk->sk_type)) &&
	       (!req->mdiag_states || req->mdiag_states & BIT(info->state)) &&
	       (!req->mdiag_channel || req->mdiag_channel == info->channel);
}

static int myproto_diag_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	const struct myproto_diag_req *req = nlmsg_data(cb->nlh);
	struct myproto_diag_ctx *ctx = (void *)cb->ctx;
	const struct net *net = sock_net(skb->sk);
	bool peer = req->mdiag_show & MDIAG_SHOW_PEER;
	struct myproto_info info;
	struct sock *sk;

	NL_ASSERT_CTX_FITS(struct myproto_diag_ctx);

	for (sk = myproto_sockets_find(net, &ctx->pos); sk;
	     sk = myproto_sockets_next(net, sk, &ctx->pos)) {
		myproto_get_info(sk, &info, false);
		if (!myproto_diag_match(sk, &info, req))
			continue;
		/* Generate a cookie only for the peer of a reported socket. */
		if (peer) {
			myproto_get_info(sk, &info, true);
			if (!myproto_diag_match(sk, &info, req))
				continue;
		}
		/* The next message starts with this socket. */
		if (myproto_diag_fill(sk, &info, skb, cb->skb, cb->nlh,
				      NLM_F_MULTI))
			break;
	}
	myproto_sockets_end(sk);
	return skb->len;
}

/* Find the socket with the inode and the cookie of @req, at least one of which
 * is set, and take a reference. Two sockets can have the same inode.
 */
static struct sock *myproto_diag_walk(const struct net *net,
				      const struct myproto_diag_req *req)
{
	bool any = myproto_diag_any_cookie(req), stale = false;
	struct sock *sk;
	loff_t pos = 0;

	for (sk = myproto_sockets_find(net, &pos); sk;
	     sk = myproto_sockets_next(net, sk, &pos)) {
		if (req->mdiag_ino && sock_i_ino(sk) != req->mdiag_ino)
			continue;
		if (any || myproto_diag_has_cookie(sk, req->mdiag_cookie)) {
			sock_hold(sk);
			break;
		}
		stale |= req->mdiag_ino;
	}
	myproto_sockets_end(sk);
	return sk ? : ERR_PTR(stale ? -ESTALE : -ENOENT);
}

/* Find the socket that the request @nlh selects, and take a reference. */
static struct sock *myproto_diag_find(const struct net *net,
				      const struct nlmsghdr *nlh)
{
	const struct myproto_diag_req *req = nlmsg_data(nlh);
	struct sock *sk;

	if (req->mdiag_states || req->mdiag_types ||
	    (req->mdiag_ino && req->mdiag_channel))
		return ERR_PTR(-EINVAL);

	if (req->mdiag_ino || (!req->mdiag_channel &&
			       !myproto_diag_any_cookie(req)))
		return myproto_diag_walk(net, req);
	if (!req->mdiag_channel)
		return ERR_PTR(-EINVAL);

	sk = myproto_channel_lookup(net, req->mdiag_channel);
	if (!sk)
		return ERR_PTR(-ENOENT);
	/* Another socket may have been bound to the channel meanwhile. */
	if (!myproto_diag_any_cookie(req) &&
	    !myproto_diag_has_cookie(sk, req->mdiag_cookie)) {
		sock_put(sk);
		return ERR_PTR(-ESTALE);
	}
	return sk;
}

static int myproto_diag_get(struct sk_buff *in_skb, const struct nlmsghdr *nlh)
{
	const struct myproto_diag_req *req = nlmsg_data(nlh);
	struct net *net = sock_net(in_skb->sk);
	struct myproto_info info;
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

	myproto_get_info(sk, &info, req->mdiag_show & MDIAG_SHOW_PEER);
	err = myproto_diag_fill(sk, &info, skb, in_skb, nlh, 0);
	/* The socket may have been closed after the lookup. */
	if (!err && sock_flag(sk, SOCK_DEAD))
		err = -ENOENT;
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
	int err;

	err = myproto_diag_check(nlh);
	if (err)
		return err;
	if (!(nlh->nlmsg_flags & NLM_F_DUMP))
		return myproto_diag_get(skb, nlh);

	if (req->mdiag_ino || !myproto_diag_any_cookie(req))
		return -EINVAL;
	return netlink_dump_start(sock_net(skb->sk)->diag_nlsk, skb, nlh,
				  &control);
}

static int myproto_diag_destroy(struct sk_buff *skb, struct nlmsghdr *nlh)
{
	const struct myproto_diag_req *req = nlmsg_data(nlh);
	struct sock *sk;
	int err;

	err = myproto_diag_check(nlh);
	if (err)
		return err;
	/* A request destroys one socket, never all that match. */
	if (req->mdiag_show || nlh->nlmsg_flags & NLM_F_DUMP)
		return -EINVAL;

	sk = myproto_diag_find(sock_net(skb->sk), nlh);
	if (IS_ERR(sk))
		return PTR_ERR(sk);

	/* This checks CAP_NET_ADMIN. */
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
