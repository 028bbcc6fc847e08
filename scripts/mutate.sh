#!/usr/bin/env bash
# make mutate: whether the selftests find faults. Each of scripts/mutations is put
# into net/myproto, one at a time, and the programs named there are run in the
# kernel of make selftest. MUTATIONS="NAME..." tries only these.
. "$(dirname "$0")/lib/common.sh"
bar=95 # percent that have to be found
list=$top/scripts/mutations
work=$build/mutate
log=$logs/mutate.log
"$top/scripts/tree.sh"
"$lib/build-uml.sh" debug
"$lib/build-selftests.sh"
space 2
lock mutate

# build [NAME]: the modules with that fault, in build/mutate/modules.
build() {
	local out=$build/uml-debug copy=$work/source modules=$work/modules
	mkdir -p "$copy"
	# What was changed before becomes new, and nothing else.
	rsync -rc --exclude='/*.ko' "$linux/net/myproto/" "$copy"
	[ $# = 0 ] || "$lib/mutation.py" "$list" "$1" "$copy" >"$log" || die "$1 of scripts/mutations does not fit net/myproto"
	[ -e "$modules" ] || cp -r "$out/modroot" "$modules"
	kernel_make "$out" ARCH=um -s M="$copy" modules >"$log" 2>&1 || {
		errors "$log"
		die "net/myproto does not build${1:+ with $1}; see $log"
	}
	cp "$copy"/*.ko "$modules"/lib/modules/*/kernel/net/myproto/
}

# try PROGRAM...: whether they pass, with Smack if one wants it, and all is freed again.
try() {
	local lsm=''
	[[ " $* " != *" smack "* ]] || lsm=smack
	LSM=$lsm MODULES=$work/modules LIMIT=400 "$lib/uml.sh" debug mutate bash "$guest/selftest.sh" \
		bash "$guest/programs.sh" "$build/kselftest/net/myproto" "$@" >"$work/said" 2>&1
}
finders() { mapfile -t programs < <("$lib/mutation.py" "$list" "$1"); }
names() { sed -nE 's/^# ([a-z0-9-]+): .*/\1/p' "$list"; }
wanted=${MUTATIONS:-$(names)}

rm -rf "$work/modules"
# Without a fault they all pass, or what follows says nothing.
mapfile -t programs < <(for name in $wanted; do "$lib/mutation.py" "$list" "$name"; done | sort -u)
build
try "${programs[@]}" || {
	cat "$work/said" >&2
	die "the selftests fail without a fault"
}

found=0 survived=()
for name in $wanted; do
	start=$SECONDS
	finders "$name"
	build "$name"
	if try "${programs[@]}"; then
		survived+=("$name")
		echo "not ok - $name: ${programs[*]}"
	else
		found=$((found + 1))
		echo "ok - $name: $(grep -v '^build/' "$work/said" | grep -m 1 . | cut -c -100) ($((SECONDS - start)) s)"
	fi
done
all=$((found + ${#survived[@]}))
echo "mutate: $found of $all faults were found$([ ${#survived[@]} = 0 ] || printf ', not: %s' "${survived[*]}")"
[ "$all" != 0 ] && [ $((100 * found)) -ge $((bar * all)) ]
