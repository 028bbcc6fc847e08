#!/usr/bin/env bash
# parts.sh: the selftests at the end of each part of the series but the last, which
# make selftest runs. PART=n runs only those of part n. Each in a folder of its own,
# build/part-N, where the series ends there.
. "$(dirname "$0")/lib/common.sh"
base=$build/base # what the series applies to, as a tree to take with KERNEL=
rm -f "$build/results/parts"
"$top/scripts/tree.sh"
kgit -C "$linux" worktree prune
[ -e "$base/.git" ] || kgit -C "$linux" worktree add -q --detach "$base" "$(kgit -C "$linux" rev-parse "$ref_base")" ||
	die "git cannot add a worktree for the parts; remove $base and run this again"

# forget WHERE: its worktree and branch.
forget() {
	local branch
	branch=$(kgit -C "$1/build/linux" symbolic-ref --short HEAD 2>/dev/null) || :
	rm -rf "$1"
	kgit -C "$linux" worktree prune
	[ -z "$branch" ] || kgit -C "$linux" branch -q -D "$branch"
}

passed=0 failed=0 n=0
last=$(parts | wc -l)
while IFS=$'\t' read -r title _ end; do
	n=$((n + 1))
	here=$build/part-$n
	if [ $n = "$last" ] || [ "${PART:-$n}" != $n ]; then continue; fi
	[ ! -e "$here" ] || forget "$here"
	mkdir "$here"
	cp -r "$top/scripts" "$here"
	mkdir "$here/patches"
	series | sed -n "1,${end}p" | xargs cp -t "$here/patches"
	(cd "$here/patches" && ls) >"$here/series"
	say "part $n: $title"
	tests=$here/build/linux/tools/testing/selftests/net/myproto
	(cd "$here" && KERNEL=$base scripts/tree.sh) || die "part $n does not apply"
	[ -e "$tests" ] || { forget "$here"; continue; }
	(cd "$here/scripts/lib" && ./build-uml.sh debug && ./build-selftests.sh &&
		./run-selftests.sh uml-debug selftest-main "$here/build/kselftest/run_kselftest.sh" -S net/myproto:smack) </dev/null ||
		echo "not ok - part $n, see $here/build/logs"
	read -r p f <"$here/build/results/selftest-main" 2>/dev/null || { p=0 f=1; }
	passed=$((passed + p)) failed=$((failed + f))
	[ "$f" != 0 ] || forget "$here"
done < <(parts)
result parts $passed $failed
