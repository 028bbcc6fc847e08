#!/usr/bin/env bash
# uml.sh KERNEL NAME COMMAND...: boot build/uml-KERNEL, run COMMAND in it as
# root, show what it prints and return what it returns. build/logs/NAME.out has
# the output, NAME.dmesg the kernel's log; a splat there is a failure.
. "$(dirname "$0")/lib.sh"
kernel=$build/uml-$1
name=$2
# kmemleak and lockdep do not work in the same kernel.
case $1 in coverage) kmemleak=on ;; *) kmemleak=off ;; esac
out=$logs/$name.out
dmesg=$logs/$name.dmesg
shift 2
silence=60              # seconds without a sign of life (there is one every 5)
limit=${LIMIT:-1500}    # seconds for all of it
mark="@myproto@"        # what the guest's init begins its own lines with
need iproute2 kmod perl-base

# What a kernel says when it has caught a mistake.
splat='BUG:|kernel BUG|WARNING:|KASAN:|UBSAN:|ODEBUG:|Oops|Kernel panic|general protection'
splat+='|possible (circular|recursive) locking|inconsistent lock state|suspicious RCU usage|held lock freed'
splat+='|INFO: task .* blocked|rcu.*detected.*stall|sleeping function called|refcount_t:|ref_tracker:'
splat+='|leaked|unreferenced object|Bad page|unregister_netdevice: waiting|Freeing alive|nobody cared'
# And when it is not its own mistake: UML's SMP loses a timer interrupt now and
# then when the machine is busy, and the guest sleeps for ever.
lost_timer="timer wakeup didn't happen|Possible timer handling issue"

work=$build/run/$name
rm -rf "$work"
mkdir -p "$work"
mkfifo "$work/console"
printf '%q ' "$@" >"$work/command"
# The guest's memory is a file in /dev/shm, which is tiny in containers.
[ "$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print int($4 / 1024) }')" -gt 1100 ] 2>/dev/null ||
	export TMPDIR=$work

cpu_time() { awk '{ print $14 + $15 }' "/proc/$pid/stat" 2>/dev/null || echo 0; }
# A guest whose init keeps still and that uses no processor has missed its
# clock; one that spins has a bug of its own.
asleep() {
	local before
	before=$(cpu_time)
	sleep 5
	[ $(($(cpu_time) - before)) -lt 5 ]
}

boot() {
	local line started='' rc
	status=none
	hung=''
	: >"$out"
	set -m
	"$kernel/linux" mem=1G ncpus=2 seccomp=on uml_dir="$work/" \
		rootfstype=hostfs rootflags=/ ro init="$top/scripts/guest-init.sh" \
		con=null con0=null,fd:1 ssl=null ssl0=null,fd:2 console=ttyS0 ignore_loglevel kmemleak=$kmemleak nohz=off highres=off \
		MYPROTO_RUN="$work" MYPROTO_MODULES="$kernel/modroot" \
		</dev/null >"$work/console" 2>"$dmesg" &
	pid=$!
	set +m
	groups=("$pid")
	while rc=0; IFS= read -r -t "$silence" line || rc=$?; [ $rc = 0 ]; do
		case $line in
		"$mark begin") started=1 ;;
		"$mark alive") ;;
		"$mark exit "*) status=${line##* } ;;
		*) [ -z "$started" ] || echo "$line" | tee -a "$out" ;;
		esac
		[ $((SECONDS - begin)) -lt "$limit" ] || { hung="still running after $limit seconds"; break; }
	done <"$work/console"
	if [ $rc -gt 128 ]; then
		hung="no sign of life for $silence seconds"
		! asleep || hung="asleep"
	fi
	stop_groups 2>/dev/null
	wait "$pid" 2>/dev/null || :
	groups=()
}

for try in 1 2 3; do
	begin=$SECONDS
	boot
	splats=$(grep -nE "$splat" "$dmesg" || :)
	[ "$status" != 0 ] || [ -n "$splats" ] || exit 0
	[ "$hung" = asleep ] || grep -qE "$lost_timer" "$dmesg" || break
	[ $try = 3 ] || say "the guest stood still: User-Mode Linux lost a timer interrupt; booting again ($try of 2)"
done

if [ -n "$splats" ]; then
	first=${splats%%:*}
	say "the guest's kernel complains ($dmesg):"
	sed -n "$((first > 3 ? first - 3 : 1)),$((first + 60))p" "$dmesg" >&2
	exit 99
elif [ -n "$hung" ]; then
	say "the guest hangs: $hung; the end of $dmesg:"
	tail -n 5 "$dmesg" >&2
	exit 98
elif [ "$status" = none ]; then
	say "the guest ended before its time; the end of $dmesg:"
	tail -n 15 "$dmesg" >&2
	exit 97
fi
exit "$status"
