#!/usr/bin/env bash
# make fuzz: random calls for an hour (FUZZ_SECONDS) in the kernel of make
# selftest. FUZZ_SEED is where chance starts, the time of day if it is not set;
# what the calls returned is in build/logs/fuzz.out.
. "$(dirname "$0")/lib.sh"
here=$top/scripts
seconds=${FUZZ_SECONDS:-3600}
"$here/tree.sh"
"$here/build-uml.sh" debug
"$here/build-selftests.sh"

# Slow machines need longer than they are told.
MEM=2G LIMIT=$((2 * seconds + 300)) "$here/run-selftests.sh" uml-debug fuzz bash "$here/guest-fuzz.sh" \
	"$build/kselftest/net/myproto/myproto_fuzz" "$seconds" "${FUZZ_SEED:-$EPOCHSECONDS}"
