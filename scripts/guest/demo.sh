#!/bin/bash
# demo.sh PROGRAM: what "make demo" shows, inside the guest.
set -euo pipefail
program=$1
tracing=/sys/kernel/tracing

step() { printf '\n# %s\n' "$*"; }
try() { step "$*"; "$@"; }

try uname -sr
try modprobe myproto
step "dmesg | grep MYPROTO"
dmesg | grep 'NET: Registered PF_MYPROTO'
try grep -e ^protocol -e MY /proc/net/protocols

if [ -d $tracing/events/myproto ]; then
	# Finer than the default clock, whose ticks leave two processors' lines
	# in any order.
	echo mono >$tracing/trace_clock
	echo 1 >$tracing/events/myproto/enable
fi
try "$program" "hello, channel 123"
if [ -d $tracing/events/myproto ]; then
	step "what the kernel did: cat $tracing/trace"
	echo 0 >$tracing/events/myproto/enable
	grep -v '^#' $tracing/trace
fi

# A server, and a client that waits for what never comes.
step "what an administrator sees: cat /proc/net/myproto"
examples=${0%/scripts/*}/examples/python
python3 "$examples/echo.py" server stream 123 >server.log &
server=$!
until grep -q listening server.log; do sleep 0.1; done
PYTHONPATH=$examples PYTHONDONTWRITEBYTECODE=1 python3 - 2>client.log <<'EOF' &
from myproto import Socket
with Socket() as sock:
    sock.connect(123)
    sock.recv(1)
EOF
client=$!
until grep -q client server.log; do sleep 0.1; done
cat /proc/net/myproto
try "$examples/sockets.py"
cookie=$("$examples/sockets.py" | awk '$2 == "ESTAB" && $6 == 123 { print $NF }')
step "end the client's connection: sockets.py -K $cookie"
"$examples/sockets.py" -K "$cookie"
if wait "$client"; then exit 1; fi
echo "the client says: $(tail -n 1 client.log)"
kill "$server"
wait "$server" || :

# A socket that had a channel is freed after an RCU grace period, and holds the
# module until then.
step "rmmod myproto_diag myproto"
for ((n = 0; n < 100; n++)); do
	if error=$(rmmod myproto_diag myproto 2>&1); then break; fi
	sleep 0.1
done
[ $n -lt 100 ] || { echo "$error"; exit 1; }
dmesg | grep 'NET: Unregistered PF_MYPROTO'
step "grep MY /proc/net/protocols"
if grep MY /proc/net/protocols; then exit 1; fi
echo "(nothing: the family is gone)"
