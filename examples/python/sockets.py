#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""List AF_MYPROTO sockets, or end one, as an administrator: ss for this family.

    sockets.py              all sockets of this network namespace
    sockets.py -K COOKIE    end the socket with this cookie (needs CAP_NET_ADMIN)

It asks the kernel through sock_diag, see linux/myproto_diag.h. CONFIG_MYPROTO_DIAG
is needed.
"""
import os
import socket
import struct
import sys

AF_MYPROTO = 46
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY, SOCK_DESTROY = 20, 21
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
SHOW_PEER, SHOW_RQLEN = 1, 2
PEER_CHANNEL, PEER_INO, RQUEUE, WQUEUE = 1, 2, 4, 5

NLMSGHDR = struct.Struct("=IHHII")
REQUEST = struct.Struct("=BBHIIIIQ")
MESSAGE = struct.Struct("=BBBBIIQ")
TYPES = {1: "stream", 2: "dgram", 5: "seqpacket"}
STATES = {1: "ESTAB", 2: "SYN-SENT", 7: "UNCONN", 10: "LISTEN"}


def ask(kind, flags, show=0, cookie=0):
    """Send one request and yield the payload of each answer."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as nl:
        request = REQUEST.pack(AF_MYPROTO, 0, 0, 0, 0, 0, show, cookie)
        header = NLMSGHDR.pack(NLMSGHDR.size + len(request), kind, NLM_F_REQUEST | flags, 1, 0)
        nl.send(header + request)
        while True:
            data = nl.recv(1 << 16)
            while data:
                length, answer, *_ = NLMSGHDR.unpack_from(data)
                payload, data = data[NLMSGHDR.size:length], data[(length + 3) & ~3:]
                if answer == NLMSG_DONE:
                    return
                if answer == NLMSG_ERROR:
                    error = -struct.unpack_from("=i", payload)[0]
                    if error:
                        raise OSError(error, os.strerror(error))
                    return
                yield payload


def attributes(data):
    """Those that are one u32."""
    values = {}
    while data:
        length, kind = struct.unpack_from("=HH", data)
        if length == 8:
            values[kind] = struct.unpack_from("=I", data, 4)[0]
        data = data[(length + 3) & ~3:]
    return values


def show_all():
    row = "{:<10}{:<9}{:>8}{:>8}{:>12}{:>12}  {:<10}{}"
    print(row.format("TYPE", "STATE", "RECV-Q", "SEND-Q", "CHANNEL", "PEER", "INODE", "COOKIE"))
    for payload in ask(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, SHOW_PEER | SHOW_RQLEN):
        _, kind, state, _, channel, inode, cookie = MESSAGE.unpack_from(payload)
        values = attributes(payload[MESSAGE.size:])
        print(row.format(TYPES[kind], STATES[state], values[RQUEUE], values[WQUEUE], channel,
                         values.get(PEER_CHANNEL, "-"), inode or "-", cookie))


def main():
    try:
        if len(sys.argv) == 3 and sys.argv[1] == "-K":
            list(ask(SOCK_DESTROY, NLM_F_ACK, cookie=int(sys.argv[2], 0)))
        elif len(sys.argv) == 1:
            show_all()
        else:
            sys.exit(__doc__)
    except OSError as error:
        sys.exit(f"sock_diag: {error.strerror}")


if __name__ == "__main__":
    main()
