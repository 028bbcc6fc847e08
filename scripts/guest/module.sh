#!/bin/bash
# module.sh PROGRAM: inside the guest, load and unload the module. PROGRAM is what
# module.c makes. Prints TAP as kselftest's runner does. Not a kselftest: it
# changes settings of the whole machine.
# shellcheck disable=SC2317,SC2086 # the tests are called by their names
program=$1
failslab=/sys/kernel/debug/failslab
instance=/sys/kernel/tracing/instances/module
modprobe_path=/proc/sys/kernel/modprobe
helper=$(<$modprobe_path)

is_loaded() { [ -e /sys/module/myproto/refcnt ]; }
is_registered() { grep -q '^MYSOCK ' /proc/net/protocols; }
open_socket() { "$program" hold </dev/null >/dev/null; }
# Sockets are freed after a grace period: the module may be busy until then.
unload() {
	local n
	for ((n = 0; n < 100; n++)); do
		rmmod myproto_diag 2>/dev/null
		is_loaded || return 0
		rmmod myproto 2>/dev/null || sleep 0.1
	done
	return 1
}

# It is there as a whole, counts its sockets, stays as long as there is one, and
# goes as a whole.
loads_and_unloads() {
	local before holder input n
	for n in {1..5}; do
		modprobe myproto && is_loaded && is_registered && [ -d /proc/sys/net/myproto ] || return
		before=$(</sys/module/myproto/refcnt)
		coproc HOLDER { exec "$program" hold; }
		holder=$HOLDER_PID input=${HOLDER[1]}
		read -r <&"${HOLDER[0]}" || return
		[ "$(</sys/module/myproto/refcnt)" -gt "$before" ] && ! rmmod myproto 2>/dev/null &&
			is_registered && open_socket || return
		exec {input}>&-
		wait "$holder"
		unload && ! is_registered && [ ! -e /proc/sys/net/myproto ] || return
	done
}

socket_autoloads() {
	local status
	echo /bin/false >$modprobe_path
	open_socket
	status=$?
	echo "$helper" >$modprobe_path
	[ $status = 2 ] && ! is_loaded && open_socket && is_registered
}

# A network namespace that was there before the module, and one that was not
unload_with_other_netns() {
	local holder input status=0
	coproc NETNS { exec unshare --net sh -c 'echo; exec cat'; }
	holder=$NETNS_PID input=${NETNS[1]}
	read -r <&"${NETNS[0]}"
	modprobe myproto && nsenter --net="/proc/$holder/ns/net" "$program" hold </dev/null >/dev/null &&
		unshare --net "$program" hold </dev/null >/dev/null && unload && modprobe myproto || status=1
	exec {input}>&-
	wait "$holder"
	unload && [ $status = 0 ]
}

# Wherever an allocation fails, all is as if the module had not been loaded.
load_without_memory() {
	local file status
	read -r _ file _ < <(modprobe --show-depends myproto | tail -n 1)
	mkdir $instance
	echo 1 >$instance/events/module/module_load/enable
	echo /bin/false >$modprobe_path
	echo N >$failslab/ignore-gfp-wait
	echo 0 >$failslab/verbose
	"$program" load "$file" $instance/trace
	status=$?
	echo "$helper" >$modprobe_path
	rmdir $instance
	[ $status = 0 ] && modprobe myproto && open_socket
}

# Sockets are opened and closed while the module comes and goes.
socket_against_rmmod() {
	local gone=0 end=$((SECONDS + 10)) opener input
	coproc OPENER { exec "$program" repeatedly; }
	opener=$OPENER_PID input=${OPENER[1]}
	while [ $gone -lt 4 ] && [ $SECONDS -lt $end ]; do
		if is_loaded && rmmod myproto 2>/dev/null; then gone=$((gone + 1)); fi
	done
	exec {input}>&-
	wait "$opener" && [ $gone -gt 0 ] && modprobe myproto && open_socket
}

tests=(loads_and_unloads socket_autoloads unload_with_other_netns load_without_memory socket_against_rmmod)
printf 'TAP version 13\n1..%d\n' ${#tests[@]}
status=0
for ((i = 1; i <= ${#tests[@]}; i++)); do
	verdict=ok
	unload && "${tests[i - 1]}" || verdict="not ok" status=1
	echo "$verdict $i ${tests[i - 1]}"
done
exit $status
