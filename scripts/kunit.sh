#!/usr/bin/env bash
# make kunit: the series' KUnit tests, by the kernel's own kunit.py, with the
# debug options of make selftest. A splat in the kernel's log counts as a failed
# test.
# shellcheck disable=SC2154 # guest.sh has what is in common.sh
. "$(dirname "$0")/lib/guest.sh"
out=$build/kunit
log=$logs/kunit.log
dmesg=$logs/kunit.dmesg
rm -f "$build/results/kunit"
"$top/scripts/tree.sh"
need_kernel_build
space 2
lock kunit

# kunit COMMAND CONFIGURATION FOLDER ARGUMENT...
kunit() {
	(cd "$linux" && PYTHONDONTWRITEBYTECODE=1 tools/testing/kunit/kunit.py "$1" --kunitconfig="$2" --build_dir="$3" \
		--make_options=CC="ccache gcc" --make_options=HOSTCC="ccache gcc" --make_options=LOCALVERSION= "${@:4}")
}
mkdir -p "$out/base" "$out/plain"
# What it takes to run the tests is in their .kunitconfig, and is enough.
run "configuring" "$log" kunit config net/myproto "$out/plain" || {
	cat "$log" >&2
	die "kunit.py does not accept net/myproto/.kunitconfig"
}
# All that is in the kernel, in one file: kunit.py leaves the rest to defaults,
# which take several times as long to build.
configure "$out/base" um "$linux/net/myproto/.kunitconfig" "$config"/{kunit,debug}.config

# shellcheck disable=SC2317 # tick calls it
count() { echo "$(find "$out" -name '*.o' -newer "$out/started" | wc -l) objects, "; }
touch "$out/started"
: >"$out/test.log"
uml_memory 1024 "$out"
status=0
run "building the kernel and running the tests" "$log" kunit run "$out/base/.config" "$out" --jobs="$(nproc)" ||
	status=$?
cp "$out/test.log" "$dmesg"

# It says at the end how many passed and so on, each unless it is 0.
sum=$(grep 'Testing complete\. Ran ' "$log") || {
	errors "$log"
	die "the tests have not run; all that kunit.py says is in $log"
}
number() { grep -oP "\b$1: \K[0-9]+" <<<"$sum" || echo 0; }
passed=$(number passed) skipped=$(number skipped)
failed=$(($(number failed) + $(number crashed) + $(number errors)))
sed -nE 's/^\[[0-9:]+\] ((=|\[|  ).*)/\1/p' "$log"

splats=$(grep -nE "$splat" "$dmesg" || :)
if [ -n "$splats" ]; then
	echo "not ok - the kernel complains ($dmesg):"
	sed -n "$((${splats%%:*})),+60p" "$dmesg"
	failed=$((failed + 1))
elif [ "$status" != 0 ] && [ "$failed" = 0 ]; then
	echo "not ok - kunit.py ended with status $status ($log)"
	failed=1
fi
result kunit "$passed" "$failed" "$([ "$skipped" = 0 ] || echo ", $skipped skipped")"
