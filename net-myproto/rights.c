// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: descriptors that go with what is sent
 *
 * A queue holds files, and a file can be a socket with a queue. AF_UNIX finds
 * cycles of these by a garbage collector. Here sockets cannot form any: a file
 * is taken only if it is no socket whose queue holds files, and no ring that
 * holds such sockets. What a device pins, as binder does, is as with AF_UNIX.
 */

#include <linux/atomic.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/net.h>
#include <linux/skbuff.h>
#include <linux/socket.h>
#include <net/scm.h>
#include <net/sock.h>

#include "myproto.h"

/**
 * myproto_rights_check - whether files can be sent
 * @peer: the receiver
 * @msg: what they are sent with
 * @fpl: the files, of which the core has refused those of io_uring
 *
 * Whether @peer takes files is decided when they are queued. But to one that
 * does not now, the sender need not wait.
 *
 * Context: Any.
 * Return: 0, -EINVAL when one is an AF_UNIX or AF_MYPROTO socket or there is no
 * byte of a stream to go with, or -EPERM when @peer takes none.
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

/**
 * myproto_rights_send - let files go with data that is being queued
 * @peer: the receiver
 * @skb: the data, which becomes the owner of the files
 * @scm: the files, which it no longer has then
 *
 * From here on they count against who sent them, and the list of them against
 * the receive buffer.
 *
 * Context: With the queue lock of @peer held.
 */
void myproto_rights_send(struct sock *peer, struct sk_buff *skb,
			 struct scm_cookie *scm)
{
	struct scm_fp_list *fpl = scm->fp;

	scm->fp = NULL;
	scm_inflight_add(fpl);
	atomic_add(fpl->count, &myproto_sk(peer)->scm_fds);
	MYPROTO_CB(skb)->fpl = fpl;
	skb->truesize += sizeof(*fpl);
	skb->destructor = myproto_skb_destruct;
}

/**
 * myproto_rights_off - data that has files has been taken off a queue
 * @sk: the receiver
 * @skb: the data
 *
 * Context: Any.
 */
void myproto_rights_off(struct sock *sk, const struct sk_buff *skb)
{
	atomic_sub(MYPROTO_CB(skb)->fpl->count, &myproto_sk(sk)->scm_fds);
}

/**
 * myproto_rights_recv - the files for a reader
 * @skb: the data, which has files
 * @msg: the reader's message
 * @share: others have a right to the files, too
 *
 * Context: Process context. May sleep.
 * Return: the files, which the caller owns, or NULL when there is no memory for
 * a list of its own: then MSG_CTRUNC says so.
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

/**
 * myproto_rights_close - close the files of data that will not be read
 * @skb: the data, which has files and that nobody else uses
 *
 * Context: Any, for the last fput() of a file is deferred.
 */
void myproto_rights_close(struct sk_buff *skb)
{
	struct scm_cookie scm = {
		.fp = myproto_rights_recv(skb, NULL, false),
	};

	scm_destroy(&scm);
}
