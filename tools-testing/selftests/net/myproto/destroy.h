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

/* A request, with room for an attribute */
struct request {
	struct nlmsghdr nlh;
	union {
		struct {
			struct myproto_diag_req req;
			struct nlattr nla;
		};
		__u32 word[10];
	};
};

/* For one socket, by its inode or its @cookie, NULL for any */
static inline struct request one_req(__u32 ino, const __u32 *cookie)
{
	struct request r = {
		.nlh.nlmsg_len = NLMSG_LENGTH(sizeof(r.req)),
		.nlh.nlmsg_type = SOCK_DIAG_BY_FAMILY,
		.nlh.nlmsg_flags = NLM_F_REQUEST,
		.nlh.nlmsg_seq = 4711,
		.req.sdiag_family = AF_MYPROTO,
		.req.mdiag_ino = ino,
	};

	if (cookie)
		memcpy(r.req.mdiag_cookie, cookie, sizeof(r.req.mdiag_cookie));
	return r;
}

/* End the socket that @r names. Returns 0 or an errno, in threads, too. */
static inline int destroy_req(struct request r)
{
	int nl = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG), err;
	struct {
		struct nlmsghdr nlh;
		struct nlmsgerr err;
	} in;

	r.nlh.nlmsg_type = SOCK_DESTROY;
	r.nlh.nlmsg_flags |= NLM_F_ACK;
	err = err_of(send(nl, &r, r.nlh.nlmsg_len, 0)) ?:
	      err_of(recv(nl, &in, sizeof(in), 0)) ?: -in.err.error;
	close(nl);
	return err;
}

static inline int my_destroy(int fd)
{
	__u64 cookie = cookie_opt(fd, SO_COOKIE);

	return destroy_req(one_req(0, (__u32[2]) { cookie, cookie >> 32 }));
}

#endif /* MYPROTO_DESTROY_H */
