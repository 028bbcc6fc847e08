/* SPDX-License-Identifier: GPL-2.0 */
/* Cookies, and SOCK_DESTROY by them: they name any socket in any state. */
#ifndef MYPROTO_DESTROY_H
#define MYPROTO_DESTROY_H

#include <linux/myproto_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

#include "util.h"

/* What SO_COOKIE or SO_NETNS_COOKIE says of @fd, 0 if nothing */
static inline __u64 cookie_opt(int fd, int opt)
{
	__u64 cookie = 0;
	socklen_t len = sizeof(cookie);

	getsockopt(fd, SOL_SOCKET, opt, &cookie, &len);
	return cookie;
}

/* End @fd. Returns 0 or an errno, to be of use in threads, too. */
static inline int my_destroy(int fd)
{
	__u64 cookie = cookie_opt(fd, SO_COOKIE);
	struct {
		struct nlmsghdr nlh;
		struct myproto_diag_req req;
	} out = {
		.nlh = {
			.nlmsg_len = sizeof(out),
			.nlmsg_type = SOCK_DESTROY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		},
		.req = {
			.sdiag_family = AF_MYPROTO,
			.mdiag_cookie = { cookie, cookie >> 32 },
		},
	};
	struct {
		struct nlmsghdr nlh;
		struct nlmsgerr err;
		char more[512];
	} in = {};
	int nl = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG), err = EIO;

	if (send(nl, &out, sizeof(out), 0) == sizeof(out) &&
	    recv(nl, &in, sizeof(in), 0) > 0 &&
	    in.nlh.nlmsg_type == NLMSG_ERROR)
		err = -in.err.error;
	close(nl);
	return err;
}

#endif /* MYPROTO_DESTROY_H */
