#!/usr/bin/env bash
# make coverage: which lines of net/myproto the selftests execute, and whether what
# they allocate is freed (kmemleak). Fails below 92 % of the lines.
. "$(dirname "$0")/lib/common.sh"
bar=92
out=$build/coverage
"$top/scripts/tree.sh"
"$lib/build-uml.sh" coverage
"$lib/build-selftests.sh"
"$lib/run-selftests.sh" uml-coverage coverage "$build/kselftest/run_kselftest.sh" || :

rm -rf "$out"
mkdir "$out"
cp "$build"/run/coverage/*.gcda "$build"/uml-coverage/net/myproto/*.gcno "$out" ||
	die "the guest has left no line counts"
cd "$out"
gcov --json-format --stdout -- *.gcda >gcov.json 2>"$logs/gcov.log" || die "gcov failed; see $logs/gcov.log"
read -r passed failed <"$build/results/coverage"
if "$lib/coverage-report.py" "$bar" <gcov.json >report.txt; then
	passed=$((passed + 1)) verdict=ok
else
	failed=$((failed + 1)) verdict="not ok"
fi
cat report.txt
echo
echo "$verdict - at least $bar % of the lines (build/coverage/report.txt)"
result coverage "$passed" "$failed"
