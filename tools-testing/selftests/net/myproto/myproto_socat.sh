#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# AF_MYPROTO by a program that knows nothing of it: socat's generic addresses
# take the number of the family and the address as it is in memory.

# shellcheck disable=SC2317,SC2329 # the tests are called through run()

# In a network namespace of its own nobody else has the channels.
if [ -z "$MYPROTO_NETNS" ] && unshare --net true 2> /dev/null; then
	MYPROTO_NETNS=1 exec unshare --net "$0"
fi

DIR="$(dirname "$(readlink -f "$0")")"

# shellcheck source=../../kselftest/ktap_helpers.sh
. "$DIR"/../../kselftest/ktap_helpers.sh

FAMILY=46
SOCK_SEQPACKET=5
DGRAM="$FAMILY:2:0"
SENDTO="SOCKET-SENDTO:$DGRAM"

# Seconds: as long as socat waits for an answer, and other things may take
LONG=20

# What follows the family in a struct sockaddr_my, whose bytes are the host's
address()
{
	local hex

	hex="$(printf '%08x' "$1")"
	if [ "$(printf '\1\0' | od -An -tu2 | tr -d ' ')" = 1 ]; then
		hex="${hex:6:2}${hex:4:2}${hex:2:2}${hex:0:2}"
	fi
	echo "x0000$hex"
}

# The file goes there, the answer comes back. $1: the server's channel, $2:
# options of both sides, $3: options of the client
file_and_answer()
{
	local addr ret=0 server

	addr="$(address "$1")"
	rm -f "$TMP"/received "$TMP"/answered
	socat -t "$LONG" "SOCKET-LISTEN:$FAMILY:0:$addr$2" \
		SYSTEM:"cat > $TMP/received; cat $TMP/answer" &
	server=$!
	socat -t "$LONG" STDIO \
		"SOCKET-CONNECT:$FAMILY:0:$addr$2$3,retry=200,interval=0.1" \
		< "$TMP"/file > "$TMP"/answered || ret=1
	wait "$server" || ret=1
	cmp "$TMP"/file "$TMP"/received || ret=1
	cmp "$TMP"/answer "$TMP"/answered || ret=1
	return "$ret"
}

stream()
{
	file_and_answer 5001
}

# The client has a channel that it asks for.
seqpacket()
{
	file_and_answer 5002 ",type=$SOCK_SEQPACKET" ",bind=$(address 5003)"
}

# $1: a command of the client, to be run until it succeeds; $2...: the server,
# which ends then
retry_with()
{
	local client="$1" end=$((SECONDS + LONG)) server

	shift
	socat -t "$LONG" "$@" &
	server=$!
	until $client; do
		if [ "$SECONDS" -ge "$end" ]; then
			kill "$server"
			return 1
		fi
		sleep 0.1
	done
	wait "$server"
}

send_file()
{
	socat -u "OPEN:$TMP/file" "$SENDTO:$(address 5005)" 2> /dev/null
}

# The receiver ends when it has got as much as the file has.
dgram_file()
{
	local size

	size="$(stat -c %s "$TMP"/file)"
	rm -f "$TMP"/received
	retry_with send_file -u \
		"SOCKET-RECV:$DGRAM:$(address 5005),readbytes=$size" \
		"CREATE:$TMP/received" &&
		cmp "$TMP"/file "$TMP"/received
}

ask()
{
	echo question | socat -t "$LONG" STDIO "$1,readbytes=9" 2> /dev/null |
		grep -qx QUESTION
}

# A server answers one datagram, to where it came from.
dgram_answer()
{
	retry_with "ask $SENDTO:$(address 5006)" \
		"SOCKET-RECVFROM:$DGRAM:$(address 5006)" \
		SYSTEM:'head -n 1 | tr a-z A-Z'
}

# Two that are bound, each of which sends to the other
dgram_both_ways()
{
	local one two

	one="$(address 5007)"
	two="$(address 5008)"
	retry_with "ask SOCKET-DATAGRAM:$DGRAM:$one,bind=$two" \
		"SOCKET-DATAGRAM:$DGRAM:$two,bind=$one,readbytes=9" \
		SYSTEM:'tr a-z A-Z'
}

run()
{
	if "$1" > "$TMP"/log 2>&1; then
		ktap_test_pass "$1"
	else
		sed 's/^/# /' "$TMP"/log
		ktap_test_fail "$1"
	fi
}

skip_all()
{
	ktap_skip_all "$1"
	exit "$KSFT_SKIP"
}

ktap_print_header

command -v socat > /dev/null || skip_all "no socat"
[ -n "$MYPROTO_NETNS" ] || skip_all "no new network namespace: needs root"
socat -u OPEN:/dev/null "SOCKET-CONNECT:$FAMILY:0:$(address 5009)" 2>&1 |
	grep -q "not supported by protocol" &&
	skip_all "no AF_MYPROTO here: CONFIG_MYPROTO not set?"

TMP="$(mktemp -d "${TMPDIR:-/tmp}/myproto_socat.XXXXXX")" || exit "$KSFT_FAIL"
trap 'rm -rf "$TMP"' EXIT
head -c 300000 /dev/urandom > "$TMP"/file
head -c 70001 /dev/urandom > "$TMP"/answer

ktap_set_plan 5

run stream
run seqpacket
run dgram_file
run dgram_answer
run dgram_both_ways

ktap_finished
