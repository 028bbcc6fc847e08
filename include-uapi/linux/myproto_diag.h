/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * AF_MYPROTO: sock_diag(7), to list and destroy sockets.
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
 * @mdiag_types: dump: types to match, a mask of 1 << SOCK_STREAM,
 *	1 << SOCK_DGRAM and 1 << SOCK_SEQPACKET, 0 for all; otherwise must be 0
 * @mdiag_states: dump: states to match, a mask of 1 << TCP_CLOSE,
 *	1 << TCP_LISTEN, 1 << TCP_SYN_SENT and 1 << TCP_ESTABLISHED, 0 for all;
 *	otherwise must be 0
 * @mdiag_channel: dump: channel to match, 0 for all; otherwise the channel that
 *	the socket is bound to, or 0
 * @mdiag_ino: dump: must be 0; otherwise the inode of the socket, or 0. A
 *	request has either an inode or a channel. If it has neither, the cookie
 *	selects the socket
 * @mdiag_show: what to report besides struct myproto_diag_msg, a mask of
 *	MDIAG_SHOW_*; SOCK_DESTROY: must be 0
 * @mdiag_cookie: the cookie that the socket must have. Twice 0, or twice
 *	MYPROTO_DIAG_NOCOOKIE, means any cookie, which a dump requires
 *
 * SOCK_DIAG_BY_FAMILY with NLM_F_DUMP reports all sockets that match. Without
 * NLM_F_DUMP it reports one socket. SOCK_DESTROY destroys one socket. Unknown
 * bits and all attributes are refused. nlmsg_flags can have NLM_F_REQUEST,
 * NLM_F_ACK and NLM_F_DUMP.
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

#define MDIAG_SHOW_PEER		0x00000001	/* MYPROTO_DIAG_PEER_* */
#define MDIAG_SHOW_RQLEN	0x00000002	/* MYPROTO_DIAG_[RW]QUEUE */
#define MDIAG_SHOW_MEMINFO	0x00000004	/* MYPROTO_DIAG_MEMINFO */
#define MDIAG_SHOW_UID		0x00000008	/* MYPROTO_DIAG_UID */

/**
 * struct myproto_diag_msg - a socket, followed by attributes
 * @mdiag_family: AF_MYPROTO
 * @mdiag_type: SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM
 * @mdiag_state: TCP_CLOSE, TCP_LISTEN, TCP_SYN_SENT while it is connecting, or
 *	TCP_ESTABLISHED
 * @mdiag_shutdown: 1 after shutdown for receiving, 2 for sending, 3 for both
 * @mdiag_channel: its channel, or 0 if it has none
 * @mdiag_ino: its inode, or 0 if it waits for accept()
 * @mdiag_cookie: a number that is unique among all sockets since boot
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

/**
 * enum myproto_diag_attr - what follows struct myproto_diag_msg
 * @MYPROTO_DIAG_UNSPEC: not used
 * @MYPROTO_DIAG_PEER_CHANNEL: __u32, the channel of the peer, or 0 if the peer
 *	has none. A connecting socket reports the channel it connects to. Other
 *	sockets without a peer do not have this attribute
 * @MYPROTO_DIAG_PEER_INO: __u32, the inode of the peer, or 0 if the peer waits
 *	for accept() or is closed. Only if there is a peer
 * @MYPROTO_DIAG_PEER_COOKIE: twice __u32, the cookie of the peer. Only if there
 *	is a peer
 * @MYPROTO_DIAG_RQUEUE: __u32, number of bytes that the socket has not read; if
 *	it listens, number of connections that wait for accept()
 * @MYPROTO_DIAG_WQUEUE: __u32, number of bytes that the peer has not read, 0
 *	for SOCK_DGRAM; if the socket listens, its backlog
 * @MYPROTO_DIAG_MEMINFO: SK_MEMINFO_VARS times __u32, as SO_MEMINFO gives them;
 *	may become longer
 * @MYPROTO_DIAG_UID: __u32, the user ID of the owner
 */
enum myproto_diag_attr {
	MYPROTO_DIAG_UNSPEC,
	MYPROTO_DIAG_PEER_CHANNEL,
	MYPROTO_DIAG_PEER_INO,
	MYPROTO_DIAG_PEER_COOKIE,
	MYPROTO_DIAG_RQUEUE,
	MYPROTO_DIAG_WQUEUE,
	MYPROTO_DIAG_MEMINFO,
	MYPROTO_DIAG_UID,

	/* private: */
	__MYPROTO_DIAG_MAX
};

#define MYPROTO_DIAG_MAX	(__MYPROTO_DIAG_MAX - 1)

#endif /* _UAPI_LINUX_MYPROTO_DIAG_H */
