#!/usr/bin/env bash
# make fuzz: random calls for an hour (FUZZ_SECONDS) in the kernel of make
# selftest. FUZZ_SEED is where chance starts, the time of day if it is not set;
# what the calls returned is in build/logs/fuzz.out.
. "$(dirname "$0")/lib/common.sh"
seconds=${FUZZ_SECONDS:-3600}
"$top/scripts/tree.sh"
"$lib/build-uml.sh" debug
install_headers
build_program "$top/fuzz/myproto_fuzz.c"

# Slow machines need longer than they are told.
MEM=2G LIMIT=$((2 * seconds + 300)) "$lib/run-selftests.sh" uml-debug fuzz bash "$top/fuzz/guest.sh" \
	"$build/programs/myproto_fuzz" "$seconds" "${FUZZ_SEED:-$EPOCHSECONDS}"
