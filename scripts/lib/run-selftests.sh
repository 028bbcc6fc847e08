#!/usr/bin/env bash
# run-selftests.sh KERNEL NAME COMMAND...: run the selftests in KERNEL, that is
# build/uml-debug and so on, by COMMAND (kselftest's runner). Counts test cases; a
# splat in the kernel's log counts as a failed one. The result is NAME's.
. "$(dirname "$0")/common.sh"
kernel=$1 name=$2
shift 2
rm -f "$build/results/$name"

# The runner's TAP has the programs at its top level, and what they print after
# a "# ": their own TAP, when they speak it.
reset() { passed=0 failed=0 skipped=0 programs=0 program=1 own=0 bad=0 said=''; }
reset
report() {
	local verdict=$1 name=$2
	case "$verdict $name" in
	# Who boots with a security module wants no test of it skipped.
	*"# SKIP"*)
		if [ -n "${LSM:-}" ]; then
			failed=$((failed + 1)) bad=1 verdict="not ok"
		else
			skipped=$((skipped + 1)) verdict=skip
		fi ;;
	ok*) passed=$((passed + 1)) ;;
	*) failed=$((failed + 1)) bad=1 ;;
	esac
	[ "$verdict" != "not ok" ] || printf '%s' "$said"
	said=''
	printf '[%d of %d, %s] %s %s\n' "$program" "$programs" "$(elapsed $SECONDS)" "$verdict" "$name"
}
parse() {
	local line
	while IFS= read -r line; do
		if [[ $line =~ ^"# "(ok|not ok)" "[0-9]+" "(.*) ]]; then
			own=$((own + 1))
			report "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
		elif [[ $line =~ ^(ok|not ok)" "[0-9]+" "(.*) ]]; then
			# The program as a whole adds something only where its cases
			# do not tell (none, or it died between them).
			if [ $own = 0 ] || { [ "${BASH_REMATCH[1]}" = "not ok" ] && [ $bad = 0 ]; }; then
				report "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
			fi
			program=$((program + 1)) own=0 bad=0 said=''
		elif [[ $line =~ ^1\.\.([0-9]+)$ ]]; then
			programs=$((BASH_REMATCH[1] + 1)) # and what guest/selftest.sh adds
		elif [[ $line = "TAP version"* ]]; then
			reset # the beginning, or a second one when the guest stood still
		else
			said+=$line$'\n'
		fi
	done
}

say "running the selftests in $kernel"
SECONDS=0
parse < <("$lib/${kernel%%-*}.sh" "${kernel#*-}" "$name" bash "$guest/selftest.sh" "$@")
status=0
wait $! || status=$?
# Something went wrong that no test case tells of: a splat, a hang, a panic.
if [ "$status" != 0 ] && [ "$failed" = 0 ]; then
	echo "not ok - the guest ended with status $status (build/logs/$name.out, build/logs/$name.dmesg)"
	failed=1
fi
result "$name" "$passed" "$failed" "$([ $skipped = 0 ] || echo ", $skipped skipped")"
