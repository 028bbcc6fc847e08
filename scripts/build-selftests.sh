#!/usr/bin/env bash
# The selftests of build/linux as kselftest installs them, in build/kselftest.
. "$(dirname "$0")/lib.sh"
headers=$build/headers
log=$logs/build-selftests.log
tests=tools/testing/selftests/net/myproto

need_kernel_build
[ -e "$linux/$tests/Makefile" ] || die "the series in build/linux has no $tests to build"
run "installing the kernel's headers" "$log" kernel_make "$headers" ARCH=x86_64 -s headers || {
	errors "$log"
	die "the kernel's headers cannot be installed; all of the output is in $log"
}
rm -rf "$build/kselftest"
run "building the selftests" "$log" make -s -C "$linux/tools/testing/selftests" \
	TARGETS=net/myproto FORCE_TARGETS=1 O="$build/kselftest-objects" \
	KHDR_INCLUDES="-isystem $headers/usr/include" INSTALL_PATH="$build/kselftest" install || {
	errors "$log"
	die "the selftests do not build; all of the output is in $log"
}
