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

/* bind() picks a free channel; not valid to connect or send to */
#define MYPROTO_CHANNEL_ANY	0

/* Channel of a socket that calls listen() without bind() */
#define MYPROTO_CHANNEL_DEFAULT	999

/* Level of the options below */
#define SOL_MYPROTO		288

/* int, read only, SOCK_SEQPACKET and SOCK_DGRAM: current maximum length of a
 * message to the peer, in bytes; ENOTCONN without a peer
 */
#define MYPROTO_MESSAGE_MAX	1

/**
 * struct sockaddr_my - address of an AF_MYPROTO socket
 * @smy_family: AF_MYPROTO
 * @__smy_pad: must be zero
 * @smy_channel: channel number in host byte order, or MYPROTO_CHANNEL_ANY
 *
 * A longer address is accepted if all additional bytes are zero.
 */
struct sockaddr_my {
	__kernel_sa_family_t	smy_family;
	__u16			__smy_pad;
	__u32			smy_channel;
};

#endif /* _UAPI_LINUX_MYPROTO_H */
