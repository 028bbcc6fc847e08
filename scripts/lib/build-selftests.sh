#!/usr/bin/env bash
# build-selftests.sh [-32]: the selftests of build/linux as kselftest installs
# them, in build/kselftest; as programs of 32 bits, in build/kselftest-32.
. "$(dirname "$0")/common.sh"
bits=${1:-}
log=$logs/build-selftests.log
tests=tools/testing/selftests/net/myproto

need_kernel_build
# Not gcc-multilib, which does not go with compilers for other machines.
[ -z "$bits" ] || need "gcc-$(gcc -dumpversion)-multilib" libc6-dev-i386
[ -e "$linux/$tests/Makefile" ] || die "the series in build/linux has no $tests to build"
install_headers
rm -rf "$build/kselftest$bits"
run "building the selftests" "$log" make -s -C "$linux/tools/testing/selftests" \
	TARGETS=net/myproto FORCE_TARGETS=1 O="$build/kselftest-objects$bits" CC="gcc ${bits:+-m32}" \
	KHDR_INCLUDES="-isystem $build/headers/usr/include" INSTALL_PATH="$build/kselftest$bits" install || {
	errors "$log"
	die "the selftests do not build; all of the output is in $log"
}
