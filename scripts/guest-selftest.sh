#!/bin/bash
# guest-selftest.sh COMMAND...: inside the guest, run kselftest by COMMAND, then
# tell, as one program more, whether everything the tests made is gone again.

# Sockets that are allocated, and those in use. What a slab has free counts as
# allocated until it is shrunk, as does what KASAN has in quarantine.
sockets() {
	modprobe myproto
	echo 1 >/sys/kernel/slab/MYSOCK/shrink
	awk '$1 == "MYSOCK" { print $2 }' /proc/slabinfo
	awk '$1 == "MYSOCK" { print $3 }' /proc/net/protocols
}
# They are freed a grace period after they were closed.
are_freed() {
	local n
	for ((n = 0; n < 20; n++)); do
		mapfile -t after < <(sockets)
		[ "${after[*]}" != "${before[*]}" ] || return 0
		sleep 0.5
	done
	return 1
}

number=0 verdict=ok
tell() { # NAME ok|"not ok"
	number=$((number + 1))
	echo "# $2 $number $1"
	[ "$2" = ok ] || verdict="not ok"
}

mapfile -t before < <(sockets)
"$@"
status=$?

if are_freed; then freed=ok; else freed="not ok"; fi
tell "sockets are freed (before: ${before[0]} allocated, ${before[1]} in use; after: ${after[0]}, ${after[1]})" "$freed"
echo "$verdict 0 memory"
[ "$status" = 0 ] && [ "$verdict" = ok ]
