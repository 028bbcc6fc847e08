#!/bin/bash
# Echo over AF_MYPROTO with socat, which knows nothing of the family: its generic
# addresses take the number of the family and the address as it is in memory.
#
# In a kernel that has the family:
#	./echo.sh server stream 4711 &
#	./echo.sh client stream 4711 hello world
#	./echo.sh check
# The types are stream, seqpacket and dgram.
#
# What socat cannot do:
# - It does not tell who its peer is, so this server does not say it.
# - It cannot serve several clients of type dgram. SOCKET-RECVFROM with fork makes a
#   process for a client, but that process takes what other clients send too, and
#   answers it to the first one (seen with version 1.7.4.4).
# - It takes an empty message for the end, and sends what it reads at once as one
#   message, at most 8192 bytes of it (its option -b is for longer ones).
export LC_ALL=C
family=46 dgram=2 seqpacket=5
trap '' PIPE
trap 'kill $(jobs -p) 2>/dev/null' EXIT
trap exit INT TERM

die() { echo "$0: $*" >&2; exit 1; }

# What follows the family in struct sockaddr_my: two bytes that are 0, and the
# channel in the order of the host's bytes.
address() {
	local hex
	hex=$(printf '%08x' "$1")
	[ "$(printf '\1\0' | od -An -tu2)" -ne 1 ] || hex=${hex:6:2}${hex:4:2}${hex:2:2}${hex:0:2}
	echo "x0000$hex"
}

# sockets CHANNEL STATE: the sockets with that channel, or with a peer there, in a
# state: 0A listening, 02 connecting.
sockets() { awk -v at="$1" -v state="$2" '($3 == at || $4 == at) && $2 == state' /proc/net/myproto 2>/dev/null; }

# until_true COMMAND...: wait for it, at most 5 seconds.
until_true() {
	local n
	for ((n = 0; n < 100; n++)); do
		"$@" && return
		sleep 0.05
	done
	return 1
}
there() { [ -n "$(sockets "$1" "$2")" ]; }
# queue CHANNEL STATE N: whether a socket has N bytes to read, or N connections to accept.
queue() { sockets "$1" "$2" | awk -v n="$3" '$5 == n { found = 1 } END { exit !found }'; }

# serve TYPE CHANNEL [OPTIONS]: start an echo server, as $!. Messages go to cat
# through sockets of their own type, so that they stay apart.
serve() {
	local at
	at=$(address "$2")${3:-}
	case $1 in
	stream) socat "SOCKET-LISTEN:$family:0:$at,fork" EXEC:cat & ;;
	seqpacket) socat "SOCKET-LISTEN:$family:0:$at,type=$seqpacket,fork" "EXEC:cat,type=$seqpacket" & ;;
	*) die "no server of type $1" ;;
	esac
	until_true there "$2" 0A || die "no server on channel $2"
}

# peer TYPE CHANNEL: the client's address for socat.
peer() {
	case $1 in
	stream) echo "SOCKET-CONNECT:$family:0:$(address "$2")" ;;
	seqpacket) echo "SOCKET-CONNECT:$family:0:$(address "$2"),type=$seqpacket" ;;
	dgram) echo "SOCKET-SENDTO:$family:$dgram:0:$(address "$2")" ;;
	*) die "no type $1" ;;
	esac
}

client() {
	local message answer at
	at=$(peer "$1" "$2") || exit
	shift 2
	coproc socat STDIO "$at"
	{ exec 3>&"${COPROC[1]}" 4<&"${COPROC[0]}"; } 2>/dev/null || die "no connection"
	for message; do
		printf %s "$message" >&3 2>/dev/null
		IFS= read -r -t 5 -N ${#message} answer <&4
		[ "$answer" = "$message" ] || die "the answer to $message was $answer"
		printf '%s\n' "$answer"
	done
}

failures=0
check() { # WHAT COMMAND...
	local what=$1
	shift
	if "$@"; then echo "ok - $what"; else failures=$((failures + 1)) && echo "not ok - $what"; fi
}

refused() { socat STDIO "$(peer stream 4001)" 2>&1 </dev/null | grep -q 'Connection refused'; }

# Nobody answers; read gives up with a status above 128.
deadline() {
	socat "SOCKET-LISTEN:$family:0:$(address 4002)" EXEC:'sleep 2' &
	until_true there 4002 0A
	sleep 2 | socat STDIO "$(peer stream 4002)" | read -r -t 0.2
	[ "${PIPESTATUS[2]}" -gt 128 ]
}

# The server has one client at a time; one more has a place in the backlog of 0,
# and the third connect() waits.
backlog() {
	local n pids=()
	serve stream 4003 ,backlog=0,max-children=1
	for n in 1 2 3; do
		{ echo "$n"; until [ -e "$folder/end" ]; do sleep 0.1; done; } |
			socat -t 5 STDIO "$(peer stream 4003)" >"$folder/answer$n" &
		pids+=($!)
		case $n in
		1) until_true [ -s "$folder/answer1" ] ;;
		2) until_true queue 4003 0A 1 ;;
		3) until_true there 4003 02 ;;
		esac || return
	done
	touch "$folder/end"
	wait "${pids[@]}"
	for n in 1 2 3; do [ "$(<"$folder/answer$n")" = "$n" ] || return; done
}

# lengths OPTIONS CHANNEL: how long the pieces are that a receiver gets of "one"
# and "three", which were both sent when it begins to read.
lengths() {
	local server
	socat -u -v "SOCKET-LISTEN:$family:0:$(address "$2")$1" /dev/null 2>"$folder/pieces" &
	server=$!
	until_true there "$2" 0A
	kill -STOP $server
	{ printf one; until_true queue "$2" 01 3; printf three; } |
		socat -u STDIN "SOCKET-CONNECT:$family:0:$(address "$2")$1"
	kill -CONT $server
	wait $server
	sed -n 's/.* length=\([0-9]*\).*/\1/p' "$folder/pieces" | tr '\n' ' '
}
messages() { [ "$(lengths ",type=$seqpacket" 4004)" = "3 5 " ]; }
bytes() { [ "$(lengths "" 4005)" = "8 " ]; }

transfer() {
	head -c 10000000 /dev/urandom >"$folder/file"
	serve stream 4006
	[ "$(socat -t 20 STDIO "$(peer stream 4006)" <"$folder/file" | sha256sum)" = "$(sha256sum <"$folder/file")" ]
}

case ${1:-} in
server)
	serve "$2" "$3"
	echo "listening on $3"
	wait
	;;
client)
	shift
	client "$@"
	;;
check)
	folder=$(mktemp -d) || exit
	trap 'kill $(jobs -p) 2>/dev/null; rm -r "$folder"' EXIT
	check "nobody listens: Connection refused" refused
	check "a deadline: read -t ends" deadline
	check "a full backlog: socat waits and connects" backlog
	check "seqpacket keeps messages apart" messages
	check "stream does not" bytes
	check "10 MB with their digest, to a server and back" transfer
	exit $((failures != 0))
	;;
*) die "server TYPE CHANNEL, client TYPE CHANNEL MESSAGE..., or check" ;;
esac
