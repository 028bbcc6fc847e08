#!/bin/bash
# A channel that programs of another host can reach, over TLS 1.3: each side
# shows a certificate, and checks that of the other. Takes socat and openssl.
#
#	tls.sh keys FOLDER		makes an authority, and a certificate for
#					each side
#	tls.sh server PORT CHANNEL FOLDER
#					on the host of the program that listens on
#					CHANNEL: takes what comes to PORT there
#	tls.sh client CHANNEL HOST PORT FOLDER
#					on the other host: listens on CHANNEL, and
#					carries each connection to PORT of HOST
#
# FOLDER holds authority.pem and server.pem on one host, authority.pem and
# client.pem on the other. authority.key signs further certificates, and stays
# where it was made.
#
# -t: one side may go on sending for a day after the other has ended. -b: more
# than socat's 8 KiB at a time is faster. keepalive: a host that is gone is
# noticed.
set -euo pipefail

# socat takes an address as the bytes after the family: two of padding, and the
# channel in host byte order.
address() { perl -e 'print "x0000", unpack("H*", pack("L", shift))' "$1"; }
tls=verify=1,openssl-min-proto-version=TLS1.3,nodelay,keepalive

# certificate NAME PURPOSE: a key and a certificate, in NAME.pem.
certificate() {
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "$1.key" -subj "/CN=$1" |
		openssl x509 -req -CA authority.pem -CAkey authority.key -days 365 \
			-extfile <(printf 'basicConstraints=critical,CA:FALSE\nextendedKeyUsage=%s\n' "$2") >"$1.pem"
	cat "$1.key" >>"$1.pem"
	rm "$1.key"
}

case ${1-} in
keys)
	umask 077
	mkdir -p "$2"
	cd "$2"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 3650 -subj /CN=authority \
		-keyout authority.key -out authority.pem
	certificate server serverAuth
	certificate client clientAuth
	;;
server)
	exec socat -t 86400 -b 65536 \
		"OPENSSL-LISTEN:$2,fork,reuseaddr,cert=$4/server.pem,cafile=$4/authority.pem,commonname=client,$tls" \
		"SOCKET-CONNECT:46:0:$(address "$3")"
	;;
client)
	exec socat -t 86400 -b 65536 \
		"SOCKET-LISTEN:46:0:$(address "$2"),fork,backlog=128" \
		"OPENSSL:$3:$4,cert=$5/client.pem,cafile=$5/authority.pem,commonname=server,$tls"
	;;
*)
	sed -n '2,/^set/s/^#\( \|$\)\?//p' "$0" >&2
	exit 2
	;;
esac
