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
	got->iov.iov_base = got->data;
	got->iov.iov_len = sizeof(got->data) - 1;
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

/* Send @text with a control message of @len bytes of data */
static inline ssize_t send_cmsg(struct link *link, const char *text, int level,
				int type, const void *data, size_t len)
{
	struct iovec iov = {
		.iov_base = (void *)text,
		.iov_len = strlen(text),
	};
	union control control = {};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(len),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = level;
	cmsg->cmsg_type = type;
	cmsg->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(cmsg), data, len);
	return sendmsg(link->fd[0], link_address(link, 0, &msg),
		       MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* The process that a pidfd is for */
static inline pid_t pidfd_pid(int pidfd)
{
	char path[64], line[128];
	pid_t pid = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	f = fopen(path, "r");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Pid: %d", &pid) == 1)
			break;
	fclose(f);
	return pid;
}

#endif /* MYPROTO_CMSG_H */
