#!/usr/bin/env bash
# kcsan.sh, for make test-all: the selftests in a kernel that finds data races. One
# with a function of net/myproto in it is a failure, others are listed.
. "$(dirname "$0")/lib.sh"
here=$top/scripts
"$here/tree.sh"
"$here/build-qemu.sh" kcsan
"$here/build-selftests.sh"
LIMIT=5400 "$here/run-selftests.sh" qemu-kcsan kcsan "$build/kselftest/run_kselftest.sh" -o 1800
