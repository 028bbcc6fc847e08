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
"$lib/build-uml.sh" coverage # which has kmemleak
"$lib/build-selftests.sh"
space 2
lock mutate

# finders NAME: sets which programs are to find it, and in which kernel: kmemleak
# is a part of one, and Smack of a boot.
finders() {
	local finder
	kernel=debug programs=()
	while IFS= read -r finder; do
		case $finder in kmemleak) kernel=coverage ;; *) programs+=("$finder") ;; esac
	done < <("$lib/mutation.py" "$list" "$1")
}

# build KERNEL [NAME]: the modules with that fault, in build/mutate/KERNEL.
build() {
	local out=$build/uml-$1 source=$work/source-$1 modules=$work/$1
	mkdir -p "$source"
	# What was changed before becomes new, and nothing else.
	rsync -rc --exclude='/*.ko' "$linux/net/myproto/" "$source"
	[ $# = 1 ] || "$lib/mutation.py" "$list" "$2" "$source" || die "$2 of scripts/mutations does not fit net/myproto"
	[ -e "$modules" ] || cp -r "$out/modroot" "$modules"
	kernel_make "$out" ARCH=um -s M="$source" modules >"$log" 2>&1 || {
		errors "$log"
		die "net/myproto does not build${2:+ with $2}; see $log"
	}
	cp "$source"/*.ko "$modules"/lib/modules/*/kernel/net/myproto/
}

# try KERNEL PROGRAM...: whether they pass, and all is freed again.
try() {
	local lsm=''
	[ "$*" != "$1 smack" ] || lsm=smack
	LSM=$lsm MODULES=$work/$1 LIMIT=600 "$lib/uml.sh" "$1" mutate bash "$guest/selftest.sh" \
		bash "$guest/programs.sh" "$build/kselftest/net/myproto" "${@:2}" >"$work/said" 2>&1
}

names() { sed -nE 's/^# ([a-z0-9-]+): .*/\1/p' "$list"; }
wanted=${MUTATIONS:-$(names)}

rm -rf "${work:?}"/{debug,coverage}
# Without a fault they all pass, or what follows says nothing.
finders -
for kernel in debug coverage; do
	build "$kernel"
	try "$kernel" "${programs[@]}" || {
		cat "$work/said" >&2
		die "the selftests fail without a fault, in build/uml-$kernel"
	}
done

found=0 survived=()
for name in $wanted; do
	start=$SECONDS
	finders "$name"
	build "$kernel" "$name"
	if try "$kernel" "${programs[@]}"; then
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
