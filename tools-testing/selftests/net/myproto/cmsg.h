/* SPDX-License-Identifier: GPL-2.0 */
/* Control messages: to send one with data, and to see which came with it */
#ifndef MYPROTO_CMSG_H
#define MYPROTO_CMSG_H

#include "link.h"

/* A control message or more with its room */
union control {
	char buf[2048];
	struct cmsghdr align;
};

/* What one recvmsg() gave */
struct got {
	union control control;
	char data[64];
	struct msghdr msg;
	struct iovec iov;
	ssize_t len;
};

/* recvmsg() with @room bytes for control messages */
static inline ssize_t recv_got(int fd, struct got *got, size_t room, int flags)
{
	memset(got, 0, sizeof(*got));
	got->iov = (struct iovec) { got->data, sizeof(got->data) - 1 };
	got->msg.msg_iov = &got->iov;
	got->msg.msg_iovlen = 1;
	got->msg.msg_control = got->control.buf;
	got->msg.msg_controllen = room;
	got->len = recvmsg(fd, &got->msg, flags | MSG_DONTWAIT);
	return got->len;
}

/* The data of the control message of that kind, NULL if there is none */
static inline void *find_cmsg(struct got *got, int type, size_t len)
{
	struct cmsghdr *cmsg;

	for (cmsg = CMSG_FIRSTHDR(&got->msg); cmsg;
	     cmsg = CMSG_NXTHDR(&got->msg, cmsg))
		if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == type)
			return cmsg->cmsg_len >= CMSG_LEN(len) ?
			       CMSG_DATA(cmsg) : NULL;
	return NULL;
}

/* Receive @text; returns the data of such a control message, NULL for none */
static inline void *expect_cmsg(struct __test_metadata *_metadata, int fd,
				const char *text, int flags, struct got *got,
				int type, size_t len)
{
	EXPECT_EQ((ssize_t)strlen(text), recv_got(fd, got, 256, flags));
	EXPECT_STREQ(text, got->data);
	EXPECT_EQ(0, got->msg.msg_flags & MSG_CTRUNC);
	return find_cmsg(got, type, len);
}

/* Receive @text without any control message */
static inline void expect_bare(struct __test_metadata *_metadata, int fd,
			       const char *text)
{
	struct got got;

	expect_cmsg(_metadata, fd, text, 0, &got, 0, 0);
	EXPECT_EQ(0U, got.msg.msg_controllen);
}

/* Receive @text with credentials, and see whose they are */
static inline void expect_creds(struct __test_metadata *_metadata, int fd,
				const char *text, int flags, struct ucred cred)
{
	struct got got;
	struct ucred *came = expect_cmsg(_metadata, fd, text, flags, &got,
					 SCM_CREDENTIALS, sizeof(cred));

	ASSERT_NE(NULL, came);
	EXPECT_EQ(0, memcmp(&cred, came, sizeof(cred)));
}

/* Send @text with a control message of @len bytes of data */
static inline ssize_t send_cmsg_flags(struct link *link, const char *text,
				      int level, int type, const void *data,
				      size_t len, int flags)
{
	struct iovec iov = { (void *)text, strlen(text) };
	union control control = {
		.align.cmsg_len = CMSG_LEN(len),
		.align.cmsg_level = level,
		.align.cmsg_type = type,
	};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(len),
	};

	memcpy(CMSG_DATA(&control.align), data, len);
	return sendmsg(link->fd[0], link_address(link, 0, &msg),
		       flags | MSG_NOSIGNAL);
}

static inline ssize_t send_cmsg(struct link *link, const char *text, int level,
				int type, const void *data, size_t len)
{
	return send_cmsg_flags(link, text, level, type, data, len,
			       MSG_DONTWAIT);
}

#endif /* MYPROTO_CMSG_H */
