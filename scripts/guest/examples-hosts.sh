#!/bin/bash
# examples-hosts.sh: the channels of examples/hosts, between two network
# namespaces on a link that delays and loses, and over VSOCK. Inside the guest.
# shellcheck disable=SC2317 # check and wait_for call the functions
set -euo pipefail
hosts=$(cd "$(dirname "$0")/../../examples/hosts" && pwd)
work=$(mktemp -d)
cd "$work"

failed=0
# check WHAT COMMAND...
check() {
	if "${@:2}"; then echo "ok - $1"; else echo "not ok - $1"; failed=1; fi
}

address() { perl -e 'print "x0000", unpack("H*", pack("L", shift))' "$1"; }
on() { ip netns exec "$@"; }
# wait_for WHAT COMMAND...: until COMMAND succeeds.
wait_for() {
	local n
	for ((n = 0; n < 100; n++)); do
		if "${@:2}"; then return; fi
		sleep 0.1
	done
	echo "not ok - $1 is not there after 10 seconds"
	exit 1
}
listens() { on "$1" grep -q "^${3:-1} *0A $2 " /proc/net/myproto 2>/dev/null; }
takes() { on "$1" ss -Hltn "sport = :$2" | grep -q .; }

for host in client server; do
	ip netns add $host
	ip -n $host link set lo up
done
ip link add to-server netns client type veth peer name to-client netns server
ip -n client addr add 10.46.0.1/24 dev to-server
ip -n server addr add 10.46.0.2/24 dev to-client
ip -n client link set to-server up
ip -n server link set to-client up
on client tc qdisc add dev to-server root netem delay 5ms loss 1% limit 10000
on server tc qdisc add dev to-client root netem delay 5ms loss 1% limit 10000

# The programs on the server, at channels 2001 to 2005.
echo 'exec 3<&0; cat <&3 >received & cat answer; wait' >both
echo 'sha256sum' >digest
echo 'cat >/dev/null; sleep 2; echo late' >late
echo 'echo first; perl -e "shutdown STDIN, 1"; cat >received' >first
echo 'touch started; cat' >repeat
number=2000
for program in both digest late first repeat; do
	number=$((number + 1))
	on server socat -t 60 "SOCKET-LISTEN:46:0:$(address $number),fork,backlog=128" \
		"EXEC:sh $program" &
	wait_for "the program at channel $number" listens server $number
done
head -c 4000000 /dev/urandom >question
head -c 4000000 /dev/urandom >answer

# ask CHANNEL: standard input to the channel, what comes back to standard output.
ask() { on client timeout 60 socat -t 60 - "SOCKET-CONNECT:46:0:$(address "$1")"; }

# What holds for each way to carry channels 2001 to 2004 of the server to those of
# BASE + 1 and so on of the client.
both_ways() {
	rm -f received
	ask $(($1 + 1)) <question >answered && cmp question received && cmp answer answered
}
many() {
	local n pids=() status=0
	for ((n = 0; n < 20; n++)); do
		cmp <(head -c $((n * 5000)) question | ask $(($1 + 2))) \
			<(head -c $((n * 5000)) question | sha256sum) &
		pids+=($!)
	done
	for n in "${pids[@]}"; do wait "$n" || status=1; done
	return "$status"
}
answers_late() { [ "$(echo question | ask $(($1 + 3)))" = late ]; }
ends_first() {
	rm -f received
	[ "$({ sleep 2; echo after; } | ask $(($1 + 4)))" = first ] && wait_for received grep -q after received
}
carries() {
	check "$1: 4 MB each way at once arrive byte by byte" both_ways "$2"
	check "$1: 20 connections at once, each gets its own answer" many "$2"
	check "$1: an answer 2 s after the end of the question arrives" answers_late "$2"
	check "$1: what is sent after the other side has ended arrives" ends_first "$2"
}

"$hosts/tls.sh" keys keys 2>/dev/null
"$hosts/tls.sh" keys others 2>/dev/null
# Certificates of another authority, with the right one to check others by.
mkdir strangers swapped
cp others/server.pem others/client.pem keys/authority.pem strangers
cp keys/server.pem swapped/client.pem
cp keys/client.pem swapped/server.pem
cp keys/authority.pem swapped

# refused CHANNEL: nothing comes back, and the program at channel 2005 has not started.
refused() {
	rm -f started
	[ -z "$(echo question | ask "$1" 2>/dev/null)" ] && sleep 0.5 && [ ! -e started ]
}
served() { rm -f started; [ "$(echo question | ask "$1")" = question ] && [ -e started ]; }
# impostor client|server FOLDER WHAT: one with the certificates in FOLDER.
impostor() {
	number=$((number + 1))
	if [ "$1" = client ]; then
		on client "$hosts/tls.sh" client $number 10.46.0.2 3005 "$2" 2>/dev/null &
	else
		on server "$hosts/tls.sh" server $number 2005 "$2" 2>/dev/null &
		wait_for "port $number" takes server $number
		on client "$hosts/tls.sh" client $number 10.46.0.2 $number keys 2>/dev/null &
	fi
	wait_for "channel $number" listens client $number
	check "TLS: a $1 $3 is refused" refused $number
}
for n in 1 2 3 4 5; do
	number=$((3000 + n))
	on server "$hosts/tls.sh" server $number $((2000 + n)) keys 2>/dev/null &
	wait_for "port $number" takes server $number
	on client "$hosts/tls.sh" client $number 10.46.0.2 $number keys 2>/dev/null &
	wait_for "channel $number" listens client $number
done
carries TLS 3000
check "TLS: a client with a certificate is served" served $number
impostor client strangers "with a certificate of another authority"
impostor client swapped "with the certificate of a server"
impostor server strangers "with a certificate of another authority"
impostor server swapped "with the certificate of a client"

number=$((number + 1))
on client socat "SOCKET-LISTEN:46:0:$(address $number),fork" \
	"OPENSSL:10.46.0.2:3005,cafile=keys/authority.pem,commonname=server" 2>/dev/null &
wait_for "channel $number" listens client $number
check "TLS: a client without a certificate is refused" refused $number
number=$((number + 1))
on client socat "SOCKET-LISTEN:46:0:$(address $number),fork" \
	"OPENSSL:10.46.0.2:3005,cert=keys/client.pem,cafile=keys/authority.pem,commonname=server,openssl-max-proto-version=TLS1.2" 2>/dev/null &
wait_for "channel $number" listens client $number
check "TLS: a client that knows TLS 1.2 only is refused" refused $number

# Messages: their lengths at the other side.
messages() {
	local lengths=(1 20000 7 200000 3)
	# shellcheck disable=SC2016 # perl's
	[ "$(on client perl -e '
		socket(S, 46, 5, 0) && connect(S, pack("SSL", 46, 0, shift)) or die "$!\n";
		for (@ARGV) { send(S, "x" x $_, 0) // die "$!\n" }
		shutdown(S, 1);
		while (recv(S, $answer, 100, 0), length $answer) { print "$answer " }' "$1" "${lengths[@]}")" = "${lengths[*]} " ]
}
modprobe vsock_loopback 2>/dev/null || : # it may be built in
for n in 1 2 3 4; do
	on server "$hosts/vsock.sh" server 200$n 200$n &
	on client "$hosts/vsock.sh" client 500$n 1 200$n &
	wait_for "channel 500$n" listens client 500$n
done
sleep 1
carries VSOCK 5000

# Answers each message with its length.
# shellcheck disable=SC2016 # perl's
on server perl -e '
	socket(L, 46, 5, 0) && bind(L, pack("SSL", 46, 0, 2006)) && listen(L, 5) && accept(S, L) or die "$!\n";
	while (recv(S, $message, 300000, 0), length $message) { send(S, length $message, 0) }' &
wait_for "the program at channel 2006" listens server 2006 5
on server "$hosts/vsock.sh" server 2006 2006 seqpacket &
on client "$hosts/vsock.sh" client 5006 1 2006 seqpacket &
wait_for "channel 5006" listens client 5006 5
sleep 1
check "VSOCK: messages of up to 200000 bytes stay whole" messages 5006

exit $failed
