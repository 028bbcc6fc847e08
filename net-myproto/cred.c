// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: who is at the other end, who sent what, and control messages */

#include <linux/cred.h>
#include <linux/net.h>
#include <linux/pid.h>
#include <linux/pidfs.h>
#include <linux/security.h>
#include <linux/skbuff.h>
#include <linux/spinlock.h>
#include <net/scm.h>
#include <net/sock.h>

#include "myproto.h"

/* Replace what SO_PEERCRED says of @sk. Consumes @pid and @cred. */
static void myproto_swap_peercred(struct sock *sk, struct pid *pid,
				  const struct cred *cred)
{
	spin_lock(&sk->sk_peer_lock);
	swap(sk->sk_peer_pid, pid);
	swap(sk->sk_peer_cred, cred);
	spin_unlock(&sk->sk_peer_lock);

	put_pid(pid);
	put_cred(cred);
}

/**
 * myproto_set_peercred - the peer of a socket is the current process
 * @sk: a socket whose peer that is, or one that listens, for those who connect
 *
 * SO_PEERPIDFD works when the process is gone, too.
 *
 * Context: Process context. May sleep.
 * Return: 0 or -ENOMEM.
 */
int myproto_set_peercred(struct sock *sk)
{
	struct pid *pid = task_tgid(current);
	int err = pidfs_register_pid(pid);

	if (!err)
		myproto_swap_peercred(sk, get_pid(pid), get_current_cred());
	return err;
}

/**
 * myproto_copy_peercred - the peer of a socket is the same as another's
 * @sk: the socket
 * @from: the other one, which may change meanwhile
 *
 * Context: Any in which @sk's old peer may be given up.
 */
void myproto_copy_peercred(struct sock *sk, struct sock *from)
{
	const struct cred *cred;
	struct pid *pid;

	spin_lock(&from->sk_peer_lock);
	pid = get_pid(from->sk_peer_pid);
	cred = get_cred(from->sk_peer_cred);
	spin_unlock(&from->sk_peer_lock);

	myproto_swap_peercred(sk, pid, cred);
}

/**
 * __myproto_scm_send - look at the control messages of a send
 * @sock: the sender
 * @peer: the receiver
 * @msg: what is sent
 * @scm: see myproto_scm_send()
 *
 * Context: Process context. May sleep.
 * Return: see myproto_scm_send().
 */
int __myproto_scm_send(struct socket *sock, const struct sock *peer,
		       struct msghdr *msg, struct scm_cookie **scm)
{
	struct scm_cookie *cookie = *scm;
	int err = scm_send(sock, msg, cookie, false);

	if (err)
		return err;
	if (cookie->fp)
		err = myproto_rights_check(peer, msg, cookie->fp);
	else if (!cookie->pid)
		*scm = NULL;
	if (err)
		scm_destroy(cookie);
	return err;
}

/* The label of what @sk sends. */
static u32 myproto_secid(const struct sock *sk)
{
	u32 secid = 0;

	if (security_socket_getpeersec_dgram(sk->sk_socket, NULL, &secid))
		return 0;
	return secid;
}

/**
 * myproto_send_cred - which credentials go with what is sent now
 * @sk: the sender
 * @peer: the receiver
 * @scm: what the sender names, or NULL
 *
 * To be asked right before the data is queued. Under the queue lock the caller
 * looks at myproto_wants_cred() again: @peer may just have asked for them. The
 * label is always that of @sk, whatever @scm says.
 *
 * Context: Process context. May sleep, in a security module.
 * Return: the credentials, without a reference, which are @scm's or the
 * caller's as long as these are; or all 0 if @peer is not to be told.
 */
struct myproto_cred myproto_send_cred(const struct sock *sk,
				      const struct sock *peer,
				      const struct scm_cookie *scm)
{
	struct myproto_cred cred = {};

	if (scm && scm->pid) {
		cred.pid = scm->pid;
		cred.uid = scm->creds.uid;
		cred.gid = scm->creds.gid;
	} else if (myproto_wants_cred(sk, peer)) {
		cred.pid = task_tgid(current);
		current_uid_gid(&cred.uid, &cred.gid);
	}
	if (cred.pid)
		cred.secid = myproto_secid(sk);
	return cred;
}

/**
 * myproto_skb_destruct - give up what goes with data
 * @skb: the data, which has credentials or files
 *
 * Context: Any.
 */
void myproto_skb_destruct(struct sk_buff *skb)
{
	put_pid(MYPROTO_CB(skb)->cred.pid);
	if (MYPROTO_CB(skb)->fpl)
		myproto_rights_close(skb);
}

/**
 * myproto_skb_set_cred - put credentials on data that has none
 * @skb: the data, which takes a reference of its own
 * @cred: the credentials, see myproto_send_cred(), of a process
 *
 * Context: Any.
 */
void myproto_skb_set_cred(struct sk_buff *skb, const struct myproto_cred *cred)
{
	struct myproto_cb *cb = MYPROTO_CB(skb);

	sock_skb_cb_check_size(sizeof(*cb));

	cb->cred = *cred;
	get_pid(cred->pid);
	skb->destructor = myproto_skb_destruct;
}

/**
 * myproto_scm_recv - tell a reader who sent the data, and when
 * @sock: the receiver
 * @msg: where to put the control messages
 * @skb: the data, or the first of it
 * @fpl: the files that came with it, or NULL; are the reader's then, or closed
 * @flags: as given to recvmsg(2)
 *
 * Context: Process context. May sleep.
 */
void myproto_scm_recv(struct socket *sock, struct msghdr *msg,
		      struct sk_buff *skb, struct scm_fp_list *fpl, int flags)
{
	const struct myproto_cred *cred = &MYPROTO_CB(skb)->cred;
	struct scm_cookie scm = { .fp = fpl };

	sock_recv_cmsgs(msg, sock->sk, skb);

	if (!fpl && !myproto_asks_cred(sock->sk))
		return;
	if (cred->pid)
		scm_set_cred(&scm, cred->pid, cred->uid, cred->gid);
	else
		scm_set_cred(&scm, NULL, INVALID_UID, INVALID_GID);
#ifdef CONFIG_SECURITY_NETWORK
	scm.secid = cred->secid;
#endif
	scm_recv(sock, msg, &scm, flags);
}
