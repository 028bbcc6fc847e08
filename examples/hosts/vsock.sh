#!/bin/bash
# A channel between a virtual machine and its host, over VSOCK. Takes socat.
#
#	vsock.sh server PORT CHANNEL [seqpacket]
#				where a program listens on CHANNEL: takes what
#				comes to PORT of VSOCK there
#	vsock.sh client CHANNEL CID PORT [seqpacket]
#				on the other side: listens on CHANNEL, and carries
#				each connection to PORT of CID
#
# CID 2 is the host. The CID of a machine is what its host has given to it
# (guest-cid=... of QEMU's vhost-vsock-pci). seqpacket carries messages, of which
# an empty one ends the connection.
#
# -t: one side may go on sending for a day after the other has ended. -b: the
# longest message. With streams it stays at socat's 8 KiB: with more at a time, two
# socats that both have much to send wait for each other for ever. This can
# happen with messages, if neither program reads before it has sent.
set -euo pipefail

# socat takes an address as the bytes after the family: two of padding, and the
# channel in host byte order.
address() { perl -e 'print "x0000", unpack("H*", pack("L", shift))' "$1"; }
type=1 size=8192
[ "${!#}" != seqpacket ] || type=5 size=524288

case ${1-} in
server) set -- "VSOCK-LISTEN:$2,fork,type=$type" "SOCKET-CONNECT:46:0:$(address "$3"),type=$type" ;;
client) set -- "SOCKET-LISTEN:46:0:$(address "$2"),fork,backlog=128,type=$type" "VSOCK-CONNECT:$3:$4,type=$type" ;;
*)
	sed -n '2,/^set/s/^#\( \|$\)\?//p' "$0" >&2
	exit 2
	;;
esac
exec socat -t 86400 -b $size "$@"
