// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: peer credentials, credentials of senders, and control messages */

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

/* Set SO_PEERCRED of @sk. Consumes @pid and @cred. */
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

/* Set SO_PEERCRED of @sk to the current process. The pid is registered so that
 * SO_PEERPIDFD works after the process has exited. Returns 0 or -ENOMEM.
 */
int myproto_set_peercred(struct sock *sk)
{
	struct pid *pid = task_tgid(current);
	int err = pidfs_register_pid(pid);

	if (!err)
		myproto_swap_peercred(sk, get_pid(pid), get_current_cred());
	return err;
}

/* Copy SO_PEERCRED of @from, which may change at the same time, to @sk. */
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

/* myproto_scm_send() for a send with control messages */
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

static u32 myproto_secid(const struct sock *sk)
{
	u32 secid = 0;

	if (security_socket_getpeersec_dgram(sk->sk_socket, NULL, &secid))
		return 0;
	return secid;
}

/**
 * myproto_send_cred - get the credentials to attach to data
 * @sk: the sender
 * @peer: the receiver
 * @scm: the credentials that the sender specifies, or NULL
 *
 * The caller has to check myproto_wants_cred() again under the queue lock,
 * because @peer may set SO_PASSCRED meanwhile. The label is always that of @sk,
 * even with @scm.
 *
 * Context: Process context. Security modules may sleep.
 * Return: the credentials, without a reference, or all 0 if not wanted.
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

/* Destructor of an skb with credentials or files */
void myproto_skb_destruct(struct sk_buff *skb)
{
	put_pid(MYPROTO_CB(skb)->cred.pid);
	if (MYPROTO_CB(skb)->fpl)
		myproto_rights_close(skb);
}

/* Attach @cred to an skb without credentials. Takes a reference to the pid. */
void myproto_skb_set_cred(struct sk_buff *skb, const struct myproto_cred *cred)
{
	struct myproto_cb *cb = MYPROTO_CB(skb);

	sock_skb_cb_check_size(sizeof(*cb));

	cb->cred = *cred;
	get_pid(cred->pid);
	skb->destructor = myproto_skb_destruct;
}

/**
 * myproto_scm_recv - pass control messages to a reader
 * @sock: the receiver
 * @msg: the reader's message
 * @skb: the first skb of the data
 * @fpl: the files that came with it, or NULL; consumed
 * @flags: as given to recvmsg(2)
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
