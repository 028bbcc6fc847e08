#!/usr/bin/env bash
# compat.sh, for make test-all: the selftests as programs of 32 bits, in the 64-bit
# kernel of kcsan.sh.
. "$(dirname "$0")/lib/common.sh"
"$top/scripts/tree.sh"
"$lib/build-qemu.sh" kcsan
"$lib/build-selftests.sh" -32
LIMIT=5400 "$lib/run-selftests.sh" qemu-kcsan compat "$build/kselftest-32/run_kselftest.sh" -o 1800
