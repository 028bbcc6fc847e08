#!/usr/bin/env bash
# uml.sh KERNEL NAME COMMAND...: boot build/uml-KERNEL, run COMMAND in it as
# root, show what it prints and return what it returns. build/logs/NAME.out has
# the output, NAME.dmesg the kernel's log; a splat there is a failure. MEM=2G and
# CPUS=1 are for other than 1G of memory and 2 processors, LSM=smack for a kernel
# with that security module.
. "$(dirname "$0")/guest.sh"
kernel=$build/uml-$1
memory=${MEM:-1G}
# kmemleak and lockdep do not work in the same kernel.
case $1 in coverage) kmemleak=on ;; *) kmemleak=off ;; esac
prepare "${@:2}"
need iproute2 kmod perl-base

# UML's SMP loses a timer interrupt now and then when the machine is busy, and
# the guest sleeps for ever.
lost_timer="timer wakeup didn't happen|Possible timer handling issue"
uml_memory $((${memory%G} * 1024)) "$work"

# shellcheck disable=SC2317 # called by boot
start() {
	"$kernel/linux" mem="$memory" ncpus="${CPUS:-2}" seccomp=on uml_dir="$work/" \
		rootfstype=hostfs rootflags=/ ro init="$guest/init.sh" \
		con=null con0=null,fd:1 ssl=null ssl0=null,fd:2 console=ttyS0 ignore_loglevel kmemleak=$kmemleak nohz=off highres=off ${LSM:+lsm=$LSM} \
		MYPROTO_RUN="$work" MYPROTO_MODULES="${MODULES:-$kernel/modroot}" \
		MYPROTO_CONSOLE=/dev/tty0 MYPROTO_END=0x4321fedc \
		</dev/null >"$work/console" 2>"$dmesg" &
	pid=$!
}

for try in 1 2 3; do
	boot
	[ "$status" != 0 ] || [ -n "$splats" ] || exit 0
	[ "$hung" = asleep ] || grep -qE "$lost_timer" "$dmesg" || break
	[ $try = 3 ] || say "the guest stood still: User-Mode Linux lost a timer interrupt; booting again ($try of 2)"
done
finish
