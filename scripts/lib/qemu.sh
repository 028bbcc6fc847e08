#!/usr/bin/env bash
# qemu.sh KERNEL NAME COMMAND...: as uml.sh, but build/qemu-KERNEL, an x86_64 in
# QEMU. When KERNEL is bench, COMMAND runs in an initramfs of busybox, where FILES
# (paths, a blank between them) are in /bin. What it writes to /dev/ttyS2 goes to
# PORT, as QEMU's -serial takes it (build/run/NAME/port, unless that is set).
. "$(dirname "$0")/guest.sh"
kernel=$build/qemu-$1
prepare "${@:2}"
need qemu-system-x86

# shellcheck disable=SC2054 # QEMU's commas
arguments=(-M pc -cpu qemu64,+rdrand -m "${MEM:-2G}" -nodefaults -no-user-config -display none -no-reboot
	-serial file:"$dmesg" -serial stdio -kernel "$kernel/vmlinux")
append="console=ttyS0 ignore_loglevel panic=-1 ${APPEND:-}"

initramfs() {
	local root=$work/root
	need busybox-static cpio
	mkdir -p "$root"/{bin,dev,proc,sys,tmp}
	cp /bin/busybox "$root/bin"
	ln -s busybox "$root/bin/sh"
	cp "$guest/qemu-init.sh" "$root/init"
	cp "$work/command" "$root"
	# shellcheck disable=SC2086 # a list
	[ -z "${FILES:-}" ] || cp $FILES "$root/bin" || die "the guest lacks a program"
	(cd "$root" && find . | cpio --quiet -o -H newc) >"$work/initramfs"
	rm -rf "$root"
}

if [ "$1" = bench ]; then
	initramfs
	# Nothing in there tells every 5 seconds that it is alive: that would be measured.
	silence=$limit
	# The clock of the guest is its instructions, each of which takes 1 ns (shift=0);
	# while it waits, the clock goes on at once (sleep=off). So the TSC counts 1 GHz,
	# exactly. The processor, qemu64, has neither ERMS nor FSRM: the kernel copies
	# with moves of 8 bytes. QEMU would count "rep movsb" for each byte. (With
	# rdrand nothing has to wait for random numbers. With the timer of the APIC, which
	# is calibrated by a loop of PAUSE, booting takes ten seconds more.)
	# shellcheck disable=SC2054
	arguments+=(-smp 1 -accel tcg -icount shift=0,sleep=off
		-serial "${PORT:-file:$work/port}" -initrd "$work/initramfs")
	append+=" tsc_early_khz=1000000 tsc=reliable nolapic_timer"
	[ -z "${MONITOR:-}" ] || arguments+=(-monitor "unix:$MONITOR,server=on,wait=off")
else
	# The BIOS tells of one processor a socket. multidevs: what is mounted below /
	# has inodes with the same numbers.
	# shellcheck disable=SC2054
	arguments+=(-smp 2,sockets=2 -accel tcg,thread=multi
		-virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap)
	append+=" rootfstype=9p root=host rootflags=trans=virtio,version=9p2000.L,cache=loose,msize=262144 ro"
	append+=" init=$guest/init.sh MYPROTO_RUN=$work MYPROTO_CONSOLE=/dev/ttyS1 MYPROTO_END=0x1234567"
fi
# shellcheck disable=SC2317 # called by boot
start() {
	qemu-system-x86_64 "${arguments[@]}" -append "$append" ${QEMU_LOG:+-D "$QEMU_LOG"} \
		</dev/null >"$work/console" 2>"$work/qemu.log" &
	pid=$!
}

boot
# A guest that waits for the host has no timer, which QEMU finds worth saying.
grep -v 'no active timers' "$work/qemu.log" >&2 || :
finish
