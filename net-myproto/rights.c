// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: file descriptors that are sent with data
 *
 * A queue holds files, and a file can be a socket with a queue. So sockets can
 * form a cycle. AF_UNIX finds cycles with a garbage collector. AF_MYPROTO
 * prevents them: it does not send sockets whose queue can hold files. The core
 * does not send io_uring files. As with AF_UNIX, other files that hold files,
 * such as those of binder, can be sent.
 */

#include <linux/atomic.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/net.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/socket.h>
#include <net/scm.h>
#include <net/sock.h>

#include "myproto.h"

/* Check whether files can be sent. The core has already refused those of
 * io_uring. SO_PASSRIGHTS of @peer is checked again under its queue lock; the
 * check here avoids a useless wait. Returns 0, -EINVAL if a file cannot be sent
 * or if a stream has no data to send it with, or -EPERM without SO_PASSRIGHTS.
 */
int myproto_rights_check(const struct sock *peer, const struct msghdr *msg,
			 const struct scm_fp_list *fpl)
{
	const struct proto_ops *ops;
	struct socket *sock;
	int i;

	if (fpl->count_unix ||
	    (peer->sk_type == SOCK_STREAM && !msg_data_left(msg)))
		return -EINVAL;

	for (i = 0; i < fpl->count; i++) {
		sock = sock_from_file(fpl->fp[i]);
		ops = sock ? READ_ONCE(sock->ops) : NULL;
		if (ops && ops->family == PF_MYPROTO)
			return -EINVAL;
	}
	return peer->sk_scm_rights ? 0 : -EPERM;
}

/* Attach the files of @scm to @skb, which owns them from now on. They count as
 * in flight for the sender, and the list is charged to @peer. Caller holds the
 * queue lock of @peer.
 */
void myproto_rights_send(struct sock *peer, struct sk_buff *skb,
			 struct scm_cookie *scm)
{
	struct scm_fp_list *fpl = scm->fp;

	scm->fp = NULL;
	scm_inflight_add(fpl);
	atomic_add(fpl->count, &myproto_sk(peer)->scm_fds);
	MYPROTO_CB(skb)->fpl = fpl;
	skb->truesize += kmalloc_size_roundup(sizeof(*fpl));
	skb->destructor = myproto_skb_destruct;
}

/* The files of @skb have been taken from the queue of @sk. */
void myproto_rights_off(struct sock *sk, const struct sk_buff *skb)
{
	atomic_sub(MYPROTO_CB(skb)->fpl->count, &myproto_sk(sk)->scm_fds);
}

/**
 * myproto_rights_recv - get the files for a reader
 * @skb: the data, which has files
 * @msg: the reader's message
 * @share: return a copy, because other readers may use the files, too
 *
 * Return: the files, which the caller owns, or NULL with MSG_CTRUNC set when
 * there is no memory for a copy of the list.
 */
struct scm_fp_list *myproto_rights_recv(struct sk_buff *skb,
					struct msghdr *msg, bool share)
{
	struct myproto_cb *cb = MYPROTO_CB(skb);
	struct scm_fp_list *fpl = cb->fpl;

	if (share) {
		fpl = scm_fp_dup(fpl);
		if (!fpl)
			msg->msg_flags |= MSG_CTRUNC;
		return fpl;
	}

	cb->fpl = NULL;
	scm_inflight_del(fpl);
	return fpl;
}

/* Close files that will not be read. Any context: fput() is deferred. */
void myproto_rights_close(struct sk_buff *skb)
{
	struct scm_cookie scm = {
		.fp = myproto_rights_recv(skb, NULL, false),
	};

	scm_destroy(&scm);
}
