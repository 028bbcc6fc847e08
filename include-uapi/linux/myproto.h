/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * AF_MYPROTO: sockets addressed by a channel number.
 *
 * See Documentation/networking/myproto.rst.
 */

#ifndef _UAPI_LINUX_MYPROTO_H
#define _UAPI_LINUX_MYPROTO_H

#include <linux/socket.h>
#include <linux/types.h>

/* bind(): any free channel; connect(): the default channel */
#define MYPROTO_CHANNEL_ANY	0

/* The default channel, unless sysctl net.myproto.default_channel says
 * otherwise
 */
#define MYPROTO_CHANNEL_DEFAULT	999

/**
 * struct sockaddr_my - address of an AF_MYPROTO socket
 * @smy_family: AF_MYPROTO
 * @__smy_pad: must be zero
 * @smy_channel: channel number in host byte order, or MYPROTO_CHANNEL_ANY
 */
struct sockaddr_my {
	__kernel_sa_family_t	smy_family;
	__u16			__smy_pad;
	__u32			smy_channel;
};

#endif /* _UAPI_LINUX_MYPROTO_H */
