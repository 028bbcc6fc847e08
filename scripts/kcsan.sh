#!/usr/bin/env bash
# kcsan.sh, for make test-all: the selftests in a kernel that finds data races. One
# with a function of net/myproto in it is a failure, others are listed.
. "$(dirname "$0")/lib/common.sh"
"$top/scripts/tree.sh"
"$lib/build-qemu.sh" kcsan
"$lib/build-selftests.sh"
LIMIT=5400 "$lib/run-selftests.sh" qemu-kcsan kcsan "$build/kselftest/run_kselftest.sh" -o 1800
