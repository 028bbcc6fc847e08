#!/bin/bash
# selftest.sh COMMAND...: inside the guest, run kselftest by COMMAND, then
# tell, as one program more, whether everything the tests made is gone again.
# A kernel that counts lines leaves the counts in build/run/.
kmemleak=/sys/kernel/debug/kmemleak
grep -q kmemleak=on /proc/cmdline || kmemleak=''
gcov=/sys/kernel/debug/gcov

# Sockets that are allocated, and those in use. What a slab has free counts as
# allocated until it is shrunk, as does what KASAN has in quarantine.
sockets() {
	modprobe -q myproto # or it is not a module
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
# It leaves out what is younger than 5 seconds, and what has changed since the
# scan before.
scan() {
	sleep 6
	echo scan && sleep 3 && echo scan
} >$kmemleak
save_counts() {
	local file
	mkdir /tmp/counts
	mount -t hostfs -o "$MYPROTO_RUN" hostfs /tmp/counts
	find $gcov -path '*/net/myproto/*.gcda' | while IFS= read -r file; do
		# Not cp: these files say that they are empty.
		cat "$file" >"/tmp/counts/${file##*/}"
	done
	umount /tmp/counts
}

number=0 verdict=ok
tell() { # NAME ok|"not ok"
	number=$((number + 1))
	echo "# $2 $number $1"
	[ "$2" = ok ] || verdict="not ok"
}

mapfile -t before < <(sockets)
[ -z "$kmemleak" ] || { scan && echo clear >$kmemleak; }
"$@"
status=$?

if are_freed; then freed=ok; else freed="not ok"; fi
tell "sockets are freed (before: ${before[0]} allocated, ${before[1]} in use; after: ${after[0]}, ${after[1]})" "$freed"
if [ -n "$kmemleak" ]; then
	# It switches itself off when it runs out of memory, and then this fails.
	if scan && ! grep ^ $kmemleak; then found=ok; else found="not ok"; fi
	tell "kmemleak finds nothing" "$found"
fi
# Last: UML never frees the path of such a mount, which would be found.
[ ! -e $gcov ] || save_counts
echo "$verdict 0 memory"
[ "$status" = 0 ] && [ "$verdict" = ok ]
