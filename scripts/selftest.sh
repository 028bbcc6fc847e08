#!/usr/bin/env bash
# make selftest: the series' kselftests in a kernel that has every debug option
# which finds mistakes, and those about labels in a second boot, with Smack.
. "$(dirname "$0")/lib/common.sh"
"$top/scripts/tree.sh"
"$lib/build-uml.sh" debug
"$lib/build-selftests.sh"
rm -f "$build/results/selftest"
status=0
"$lib/run-selftests.sh" uml-debug selftest-main "$build/kselftest/run_kselftest.sh" -S net/myproto:smack || status=1
LSM=smack "$lib/run-selftests.sh" uml-debug selftest-smack "$build/kselftest/run_kselftest.sh" -t net/myproto:smack || status=1
read -r passed failed <"$build/results/selftest-main"
read -r p f <"$build/results/selftest-smack"
result selftest $((passed + p)) $((failed + f)) && [ $status = 0 ]
