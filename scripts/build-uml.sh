#!/usr/bin/env bash
# build-uml.sh demo|debug|coverage: build/uml-demo and so on, a User-Mode Linux
# kernel of build/linux, its modules in the folder modroot there.
. "$(dirname "$0")/lib.sh"
name=$1
out=$build/uml-$name
log=$logs/build-$name.log
fragments=("$top/scripts/uml.config")
[ "$name" = demo ] || fragments+=("$top/scripts/selftest.config" "$top/scripts/$name.config")
arguments=(ARCH=um -s)
# Lines are counted in net/myproto alone (make expands this in each folder anew),
# and without optimization, which merges those that only return something.
# shellcheck disable=SC2016
[ "$name" != coverage ] || arguments+=('GCOV_PROFILE=$(if $(filter net/myproto%,$(obj)),y)'
	CFLAGS_GCOV='-fprofile-arcs -ftest-coverage -fprofile-update=atomic -O0')
# KASAN takes a stack trace of each allocation. UML's looks at every word of the
# stack, and to see whether it is code of a module takes ten times as long as all
# the rest. So traces have no modules in them, and tests take a tenth of the time.
[ "$name" != debug ] || arguments+=(CFLAGS_stacktrace.o=-D__kernel_text_address=core_kernel_text)

need_kernel_build
space 2
configure "$out" um "${fragments[@]}"

# For the progress line: how many objects a complete build has, as the last one
# counted them (before the first, the number of the day this was written).
known=$cache/objects-$name
total=$(cat "$known" 2>/dev/null || echo 700)
objects() { find "$out" -name '*.o' "$@" | wc -l; }
absent=$((total - $(objects)))
touch "$out/started"
count() {
	local built
	built=$(objects -newer "$out/started")
	if [ "$absent" -gt 10 ]; then echo "$built of about $absent objects, "; else echo "$built objects, "; fi
}

run "building uml-$name" "$log" kernel_make "$out" "${arguments[@]}" -j"$(nproc)" || {
	errors "$log"
	die "the kernel does not build; all of its output is in $log"
}
objects >"$known"
rm -rf "$out/modroot"
kernel_make "$out" "${arguments[@]}" INSTALL_MOD_PATH="$out/modroot" modules_install >>"$log" 2>&1 ||
	die "the modules cannot be installed; see $log"
