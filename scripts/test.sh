#!/usr/bin/env bash
# make test: every check and test, then one line with the sum of them all. With
# STEP...: these too (make test-all).
. "$(dirname "$0")/lib/common.sh"
passed=0 failed=0
for step in check selftest kunit "$@"; do
	rm -f "$build/results/$step"
	"$top/scripts/$step.sh" || :
	# A step that could not even finish is one failure.
	read -r p f <"$build/results/$step" 2>/dev/null || { p=0 f=1; }
	passed=$((passed + p)) failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
