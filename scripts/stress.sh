#!/usr/bin/env bash
# make stress: the test programs that go on for MYPROTO_STRESS_SECONDS, if that is
# set (180 if you do not), in the kernel of make selftest.
. "$(dirname "$0")/lib/common.sh"
seconds=${MYPROTO_STRESS_SECONDS:-180}
"$top/scripts/tree.sh"
"$lib/build-uml.sh" debug
"$lib/build-selftests.sh"

cd "$build/kselftest"
programs=()
while IFS=: read -r folder program; do
	! grep -q MYPROTO_STRESS_SECONDS "$folder/$program" || programs+=(-t "$folder:$program")
done <kselftest-list.txt
[ ${#programs[@]} -gt 0 ] || die "no test program looks at MYPROTO_STRESS_SECONDS"
# Slow machines need longer than they are told.
timeout=$((2 * seconds + 300))
LIMIT=$((timeout * ${#programs[@]})) "$lib/run-selftests.sh" uml-debug stress \
	env MYPROTO_STRESS_SECONDS="$seconds" "$PWD/run_kselftest.sh" -o "$timeout" "${programs[@]}"
