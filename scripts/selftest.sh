#!/usr/bin/env bash
# make selftest: the series' kselftests in a kernel that has every debug option
# which finds mistakes, those about labels in a second boot, with Smack, and in a
# third one tests of the module.
. "$(dirname "$0")/lib/common.sh"
"$top/scripts/tree.sh"
"$lib/build-uml.sh" debug
"$lib/build-selftests.sh"
build_program "$guest/module.c"
rm -f "$build/results/selftest"
status=0
"$lib/run-selftests.sh" uml-debug selftest-main "$build/kselftest/run_kselftest.sh" -S net/myproto:smack || status=1
LSM=smack "$lib/run-selftests.sh" uml-debug selftest-smack "$build/kselftest/run_kselftest.sh" -t net/myproto:smack || status=1
"$lib/run-selftests.sh" uml-debug selftest-module bash "$guest/module.sh" "$build/programs/module" || status=1
passed=0 failed=0
for boot in main smack module; do
	read -r p f <"$build/results/selftest-$boot"
	passed=$((passed + p)) failed=$((failed + f))
done
result selftest $passed $failed && [ $status = 0 ]
