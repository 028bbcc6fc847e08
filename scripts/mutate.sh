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

# build KERNEL: the modules of what is in $work/source, in $work/KERNEL.
build() {
	local out=$build/uml-$1 modules
	modules=$(cd "$out/modroot" && echo lib/modules/*)
	rm -rf "${work:?}/$1"
	mkdir -p "$work/$1"
	cp -r "$out/modroot/." "$work/$1"
	kernel_make "$out" ARCH=um -s M="$work/source" KBUILD_MODPOST_WARN=1 modules >"$log" 2>&1 || return
	cp "$work"/source/*.ko "$work/$1/$modules/kernel/net/myproto/"
}

# try KERNEL PROGRAM...: whether they pass, and all is freed again.
try() {
	MODULES=$work/$1 LIMIT=600 "$lib/uml.sh" "$1" mutate bash "$guest/selftest.sh" \
		bash "$guest/programs.sh" "$build/kselftest/net/myproto" "${@:2}" >"$work/said" 2>&1
}

source_is() {
	rm -rf "$work/source"
	mkdir -p "$work"
	cp -r "$linux/net/myproto" "$work/source"
}

names() { sed -nE 's/^# ([a-z0-9-]+): .*/\1/p' "$list"; }
wanted=${MUTATIONS:-$(names)}
kernel_of() { case " $* " in *" kmemleak "*) echo coverage ;; *) echo debug ;; esac; }

# Without a fault they all pass, or what follows says nothing.
for kernel in debug coverage; do
	source_is
	build "$kernel" || { errors "$log"; die "net/myproto does not build by itself; see $log"; }
	mapfile -t programs < <("$lib/mutation.py" "$list" - "$work/source" | tr ' ' '\n' | grep -vx kmemleak | sort -u)
	try "$kernel" "${programs[@]}" || { cat "$work/said"; die "the selftests fail without a fault, in uml-$kernel"; }
done

found=0 survived=()
for name in $wanted; do
	source_is
	file=$("$lib/mutation.py" "$list" "$name" "$work/source") || die "$name of scripts/mutations does not fit net/myproto"
	read -ra programs <<<"$file"
	kernel=$(kernel_of "${programs[@]}")
	start=$SECONDS
	build "$kernel" || { errors "$log"; die "net/myproto does not build with $name; see $log"; }
	mapfile -t programs < <(printf '%s\n' "${programs[@]}" | grep -vx kmemleak)
	if try "$kernel" "${programs[@]}"; then
		survived+=("$name")
		echo "not ok - $name: not found by ${programs[*]}"
	else
		found=$((found + 1))
		echo "ok - $name: $(grep -v '^build/' "$work/said" | grep -m 1 . | cut -c -100) ($((SECONDS - start)) s)"
	fi
done
all=$((found + ${#survived[@]}))
echo "mutate: $found of $all faults were found$([ ${#survived[@]} = 0 ] || printf ', not: %s' "${survived[*]}")"
[ "$all" != 0 ] && [ $((100 * found)) -ge $((bar * all)) ]
