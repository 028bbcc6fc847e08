#!/bin/bash
# examples.sh [NAME COMMAND]...: inside the guest, what the example in each language
# shows by itself (COMMAND check), then all clients against all servers.
names=()
declare -A command
while [ $# -gt 0 ]; do
	names+=("$1")
	command[$1]=$2
	shift 2
done
status=0 channel=5000

tell() { # ok|"not ok" WHAT
	echo "$1 - $2"
	[ "$1" = ok ] || status=1
}

for name in "${names[@]}"; do
	# shellcheck disable=SC2086 # a command and its arguments
	timeout 100 ${command[$name]} check >/tmp/said 2>/tmp/errors
	ended=$?
	sed -En "s/^(ok|not ok) - /&$name: /p" /tmp/said
	if [ $ended = 0 ] && grep -q '^ok' /tmp/said; then continue; fi
	cat /tmp/errors
	tell "not ok" "$name: check ended with status $ended"
done

# socat cuts messages that are longer than that, and cannot send an empty one.
messages=(hello 'two words' "$(printf '%4000s' x)")
long=$(printf '%100000s' x)

# pair TYPE SERVER CLIENT: a client talks to the server on $channel, which says who
# comes (socat cannot) in /tmp/server.
pair() {
	local what="$1: client in $3, server in $2" send=("${messages[@]}") before verdict=ok
	if [ "$2" != shell ] && [ "$3" != shell ]; then
		send+=("$long")
		[ "$1" = stream ] || send+=('')
	fi
	before=$(grep -c 'client from' /tmp/server)
	# shellcheck disable=SC2086
	timeout 20 ${command[$3]} client "$1" "$channel" "${send[@]}" >/tmp/said 2>/tmp/errors || verdict="not ok"
	printf '%s\n' "${send[@]}" | cmp - /tmp/said || verdict="not ok"
	if [ "$1" != dgram ] && [ "$2" != shell ]; then
		tail -n +$((before + 2)) /tmp/server |
			grep -qxE 'client from channel [0-9]+, pid [1-9][0-9]*, uid 0' || verdict="not ok"
	fi
	[ "$verdict" = ok ] || cut -c 1-300 /tmp/errors /tmp/server
	tell "$verdict" "$what"
}

for type in stream seqpacket dgram; do
	for server in "${names[@]}"; do
		[ "$type $server" != "dgram shell" ] || continue # socat cannot, see echo.sh
		channel=$((channel + 1))
		# A process group of its own, which ends as a whole.
		# shellcheck disable=SC2086
		setsid ${command[$server]} server $type $channel >/tmp/server 2>&1 &
		pid=$!
		for ((n = 0; n < 100; n++)); do
			grep -qx "listening on $channel" /tmp/server && break
			sleep 0.1
		done
		for client in "${names[@]}"; do pair $type "$server" "$client"; done
		kill -- -$pid
		wait $pid 2>/dev/null
	done
done
exit $status
