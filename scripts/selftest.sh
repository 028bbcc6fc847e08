#!/usr/bin/env bash
# make selftest: the series' kselftests in a kernel that has every debug option
# which finds mistakes.
. "$(dirname "$0")/lib.sh"
here=$top/scripts
"$here/tree.sh"
"$here/build-uml.sh" debug
"$here/build-selftests.sh"
"$here/run-selftests.sh" uml-debug selftest "$build/kselftest/run_kselftest.sh"
