/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * AF_MYPROTO and sock_diag(7): see sockets, and end them.
 *
 * See Documentation/networking/myproto.rst.
 */

#ifndef _UAPI_LINUX_MYPROTO_DIAG_H
#define _UAPI_LINUX_MYPROTO_DIAG_H

#include <linux/types.h>

/**
 * struct myproto_diag_req - a request
 * @sdiag_family: AF_MYPROTO
 * @sdiag_protocol: must be 0
 * @mdiag_types: dump: which types are wanted, as a mask of 1 << SOCK_STREAM and
 *	so on; otherwise must be 0
 * @mdiag_states: dump: which states are wanted, as a mask of 1 << TCP_CLOSE,
 *	1 << TCP_LISTEN and 1 << TCP_ESTABLISHED, others having no meaning;
 *	otherwise must be 0
 * @mdiag_channel: dump: the channel of the sockets that are wanted, 0 for all;
 *	otherwise the channel of the socket, which must be bound to it, or 0
 * @mdiag_ino: dump: must be 0; otherwise the inode of the socket, or 0. Not
 *	together with a channel; without both, the cookie says which socket
 * @mdiag_show: what to show, as a mask of MDIAG_SHOW_*; SOCK_DESTROY: must be 0
 * @mdiag_cookie: dump: must be 0; otherwise what the cookie of the socket must
 *	be, or twice MYPROTO_DIAG_NOCOOKIE for any
 *
 * With SOCK_DIAG_BY_FAMILY and NLM_F_DUMP it asks for all sockets that match,
 * without NLM_F_DUMP for one, and with SOCK_DESTROY it ends one.
 */
struct myproto_diag_req {
	__u8	sdiag_family;
	__u8	sdiag_protocol;
	__u16	mdiag_types;
	__u32	mdiag_states;
	__u32	mdiag_channel;
	__u32	mdiag_ino;
	__u32	mdiag_show;
	__u32	mdiag_cookie[2];
};

#define MYPROTO_DIAG_NOCOOKIE	(~0U)

#define MDIAG_SHOW_PEER		0x00000001	/* MYPROTO_DIAG_PEER */
#define MDIAG_SHOW_RQLEN	0x00000002	/* MYPROTO_DIAG_RQLEN */
#define MDIAG_SHOW_MEMINFO	0x00000004	/* MYPROTO_DIAG_MEMINFO */
#define MDIAG_SHOW_UID		0x00000008	/* MYPROTO_DIAG_UID */

/**
 * struct myproto_diag_msg - a socket, followed by attributes
 * @mdiag_family: AF_MYPROTO
 * @mdiag_type: SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM
 * @mdiag_state: TCP_CLOSE, TCP_LISTEN or TCP_ESTABLISHED
 * @mdiag_shutdown: 1 if nothing can be received any more, 2 if nothing can be
 *	sent, 3 if both
 * @mdiag_channel: its channel, or 0 if it has none
 * @mdiag_ino: its inode, or 0 if it waits for accept()
 * @mdiag_cookie: a number that no other socket has had since the system started
 */
struct myproto_diag_msg {
	__u8	mdiag_family;
	__u8	mdiag_type;
	__u8	mdiag_state;
	__u8	mdiag_shutdown;
	__u32	mdiag_channel;
	__u32	mdiag_ino;
	__u32	mdiag_cookie[2];
};

/* Attributes */
enum {
	MYPROTO_DIAG_UNSPEC,
	MYPROTO_DIAG_PEER,	/* struct myproto_diag_peer, if it has a peer */
	MYPROTO_DIAG_RQLEN,	/* struct myproto_diag_rqlen */
	MYPROTO_DIAG_MEMINFO,	/* __u32[], see SO_MEMINFO */
	MYPROTO_DIAG_UID,	/* __u32, the user ID of the owner */

	__MYPROTO_DIAG_MAX
};

#define MYPROTO_DIAG_MAX	(__MYPROTO_DIAG_MAX - 1)

/**
 * struct myproto_diag_peer - the other end
 * @mdiag_channel: its channel, or 0 if it has none
 * @mdiag_ino: its inode, or 0 if it waits for accept() or has been closed
 * @mdiag_cookie: its cookie
 */
struct myproto_diag_peer {
	__u32	mdiag_channel;
	__u32	mdiag_ino;
	__u32	mdiag_cookie[2];
};

/**
 * struct myproto_diag_rqlen - the queues
 * @mdiag_rqueue: how many bytes the socket has not read; if it listens, how
 *	many connections wait for accept()
 * @mdiag_wqueue: how many bytes the peer has not read, 0 with SOCK_DGRAM; if it
 *	listens, its backlog
 */
struct myproto_diag_rqlen {
	__u32	mdiag_rqueue;
	__u32	mdiag_wqueue;
};

#endif /* _UAPI_LINUX_MYPROTO_DIAG_H */
