/* SPDX-License-Identifier: GPL-2.0 */
/* SOCK_DESTROY, by the cookie, which names any socket in any state. */
#ifndef MYPROTO_DESTROY_H
#define MYPROTO_DESTROY_H

#include <linux/myproto_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

#include "util.h"

/* End @fd. Returns 0 or an errno, to be of use in threads, too. */
static inline int my_destroy(int fd)
{
	struct {
		struct nlmsghdr nlh;
		struct myproto_diag_req req;
	} out = {
		.nlh = {
			.nlmsg_len = sizeof(out),
			.nlmsg_type = SOCK_DESTROY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		},
		.req = { .sdiag_family = AF_MYPROTO },
	};
	struct {
		struct nlmsghdr nlh;
		struct nlmsgerr err;
		char more[512];
	} in = {};
	int nl = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG), err = EIO;
	socklen_t len = sizeof(__u64);
	__u64 cookie;

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len))
		return errno;
	out.req.mdiag_cookie[0] = cookie;
	out.req.mdiag_cookie[1] = cookie >> 32;
	if (send(nl, &out, sizeof(out), 0) == sizeof(out) &&
	    recv(nl, &in, sizeof(in), 0) > 0 &&
	    in.nlh.nlmsg_type == NLMSG_ERROR)
		err = -in.err.error;
	close(nl);
	return err;
}

#endif /* MYPROTO_DESTROY_H */
