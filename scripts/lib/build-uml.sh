#!/usr/bin/env bash
# build-uml.sh demo|examples|debug|coverage|bench: build/uml-demo and so on, a
# User-Mode Linux kernel of build/linux, its modules in the folder modroot there.
. "$(dirname "$0")/common.sh"
name=$1
out=$build/uml-$name
fragments=("$config/kernel.config" "$config/uml.config")
case $name in
demo) ;;
bench | examples) fragments+=("$config/programs.config" "$config/$name.config") ;;
*) fragments+=("$config/programs.config" "$config/selftest.config" "$config/$name.config") ;;
esac
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
lock "uml-$name"
configure "$out" um "${fragments[@]}"
build_kernel "uml-$name" "${arguments[@]}"
rm -rf "$out/modroot"
kernel_make "$out" "${arguments[@]}" INSTALL_MOD_PATH="$out/modroot" modules_install >>"$log" 2>&1 ||
	die "the modules cannot be installed; see $log"
