#!/usr/bin/env bash
# make profile PROFILE="FAMILY TYPE SIZE MODE", profile.sh FAMILY TYPE SIZE MODE
# [COUNT]: the instructions of one operation (profile-loop.c has the modes), by
# function of the kernel.
. "$(dirname "$0")/lib/common.sh"
# shellcheck disable=SC2086 # a list
[ $# -gt 0 ] || set -- ${PROFILE:-myproto stream 64 oneway}
[ $# -ge 4 ] || die "profile.sh wants FAMILY TYPE SIZE MODE [COUNT], as in \"myproto stream 64 oneway\"; bench/profile-loop.c has the modes"
count=${5:-500}
program=$build/programs/profile-loop
run=$build/run/profile
"$lib/build-qemu.sh" bench
lock profile
install_headers
build_program "$top/bench/profile-loop.c"

set -m
FILES=$program LIMIT=300 MONITOR=$run/monitor PORT=unix:$run/port,server=on,wait=off QEMU_LOG=$run/log \
	"$lib/qemu.sh" bench profile profile-loop "${@:1:4}" "$count" >"$logs/profile.log" &
groups=($!)
set +m
"$top/bench/profile-report.py" "$run" "$build/qemu-bench/vmlinux" "$program" "$count" || {
	cat "$logs/profile.log" >&2
	die "the profile failed; the guest's kernel log is build/logs/profile.dmesg"
}
wait "${groups[0]}"
