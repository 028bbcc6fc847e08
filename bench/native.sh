#!/usr/bin/env bash
# native.sh [PARAMETER=VALUE...]: run native.c, with module parameters, in a
# User-Mode Linux that costs what a kernel on x86 does, and write what it measured
# to build/bench/native.tsv, or NAME.tsv; what the module says beside that is shown.
# It is booted BOOTS times, 1 if not set. QUIET=0 measures on a busy machine, too.
. "$(dirname "$0")/../scripts/lib/common.sh"
here=$top/bench
tree=$build/native-tree
out=$build/uml-native
module=$build/native-module
log=$logs/native.log

# idle: how much of the machine nobody else uses, in percent.
idle() {
	local a b
	a=$(awk '/^cpu / { print $5, $2 + $3 + $4 + $5 + $6 + $7 + $8 + $9 }' /proc/stat)
	sleep 3
	b=$(awk '/^cpu / { print $5, $2 + $3 + $4 + $5 + $6 + $7 + $8 + $9 }' /proc/stat)
	awk -v a="$a" -v b="$b" 'BEGIN { split(a, x); split(b, y); print int(100 * (y[1] - x[1]) / (y[2] - x[2])) }'
}

need_kernel_build
need git iproute2 kmod util-linux
"$top/scripts/tree.sh"
space 3
lock native
# A tree of its own, for uml-native.patch changes headers.
kgit -C "$linux" worktree prune
[ -e "$tree/.git" ] || kgit -C "$linux" worktree add -q --detach "$tree" HEAD >"$log" 2>&1 ||
	die "git cannot add a worktree for the benchmark; see $log"
now=$(kgit -C "$linux" stash create)
kgit -C "$tree" checkout -q --detach "${now:-$(kgit -C "$linux" rev-parse HEAD)}" ||
	die "$tree cannot be brought up to date; remove it and run this again"
kgit -C "$tree" apply --reverse --check "$here/uml-native.patch" 2>"$log" ||
	kgit -C "$tree" apply "$here/uml-native.patch" 2>"$log" ||
	die "bench/uml-native.patch does not apply to $tree; remove that folder and run this again"
# shellcheck disable=SC2034 # kernel_make builds from there
source=$tree
# Nothing that is compared is a module. The time of a call should not depend on
# where the linker happens to place functions.
sed 's/^\(CONFIG_MYPROTO.*\)=m/\1=y/' "$config/uml.config" >"$build/native.config"
echo CONFIG_DEBUG_FORCE_FUNCTION_ALIGN_64B=y >>"$build/native.config"
configure "$out" um "$config"/{kernel,programs,bench}.config "$build/native.config"
# As on x86, memcpy() is REP MOVSB on a CPU with fast short REP MOVSB.
fsrm=()
if grep -qw fsrm /proc/cpuinfo; then fsrm=(KAFLAGS=-DUML_FSRM); fi
build_kernel uml-native ARCH=um "${fsrm[@]}" -s
mkdir -p "$out/modroot" "$module" "$build/bench"
cp "$here/native.c" "$module"
echo 'obj-m := native.o' >"$module/Kbuild"
kernel_make "$out" ARCH=um -s M="$module" modules >"$log" 2>&1 || {
	errors "$log"
	die "bench/native.c does not build; see $log"
}

if [ "${QUIET:-1}" != 0 ]; then
	free=$(idle)
	for ((n = 0; n < 20 && free < 90; n++)); do
		say "waiting for a quiet machine: $free % of it are idle, 90 are needed"
		free=$(idle)
	done
	[ "$free" -ge 90 ] || die "other programs use this machine, $free % of it are idle: end them, or measure nevertheless with QUIET=0"
fi
values=$build/bench/${NAME:-native}.tsv
printf 'bench\tsize\tfamily\tns\tratio\tq1\tq3\trounds\n' >"$values"
dmesg=$logs/bench-native.dmesg
for ((boot = 0; boot < ${BOOTS:-1}; boot++)); do
	# The module never stays loaded, and so insmod fails.
	LIMIT=1800 CPUS=2 "$lib/uml.sh" native bench-native taskset 1 \
		sh -c 'insmod "$@" 2>&1 | grep -v "temporarily unavailable" || :' sh "$module/native.ko" "$@" ||
		die "the benchmark failed in User-Mode Linux; the guest's kernel log is build/logs/bench-native.dmesg"
	! grep -a 'native: error' "$dmesg" >&2 || die "a case of bench/native.c failed"
	sed -n 's/\r$//; s/^.*native: scale: //p' "$dmesg"
	sed -n 's/\r$//; s/^.*native: \([a-z0-9-]*|[0-9]\)/\1/p' "$dmesg" | tr '|' '\t' >>"$values"
done
[ "$(wc -l <"$values")" -gt 1 ] || die "bench/native.c measured nothing; see build/logs/bench-native.dmesg"
