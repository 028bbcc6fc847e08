#!/usr/bin/env bash
# make check: what can be said of the series without running it. Each check is a
# function that prints what is wrong; printing nothing is passing.
. "$(dirname "$0")/lib/common.sh"
tree=$build/check # a worktree of its own: build/linux is not touched
source=$tree      # for kernel_make and configure
rm -f "$build/results/check"
"$top/scripts/tree.sh"
need_kernel_build
need g++ codespell python3-ply python3-git sparse shellcheck gcc-s390x-linux-gnu clang-19 lld-19 llvm-19 \
	coccinelle libpython3-dev man-db python3-sphinx python3-yaml git-email libmailtools-perl
space 3

git_tree() { kgit -C "$tree" "$@"; }
base=$(kgit -C "$linux" rev-parse "$ref_base")
if [ ! -e "$tree/.git" ]; then
	rm -rf "$tree"
	kgit -C "$linux" worktree prune
	run "checking out" "$logs/check.log" kgit -C "$linux" worktree add --detach "$tree" "$base" ||
		die "git cannot add a worktree for the checks; see $logs/check.log"
fi
git_tree am --abort 2>/dev/null || :
git_tree checkout -q -f --detach "$base"
git_tree clean -q -f -d -x

###  The series as files

applies() { apply_series "$tree" 2>&1; }

series_is_sound() {
	diff <(series | sed 's|.*/||') <(cd "$top/patches" && ls -- *.patch) | sed -n 's/^</only in series:/p; s/^>/only in patches\/:/p'
	series_faults "$top/patches"
}

# Another base than the one the patches were made on moves hunks and blob names.
hunks() { sed -e '/^index /d' -e 's/^@@ .*//' "$1"; }
is_what_refresh_writes() {
	local new=$build/check-export name
	rm -rf "$new"
	mkdir "$new"
	export_series "$tree" "$new" || return
	sed "/^#/d" "$top/series" "$new/series" | sort -u | while IFS= read -r name; do
		cmp -s <(hunks "$top/patches/$name" 2>&1) <(hunks "$new/patches/$name" 2>&1) ||
			echo "patches/$name is not what make refresh would write"
	done
	for name in "${exported[@]:2}"; do
		diff -rqN "$top/$name" "$new/$name" 2>&1
	done
}

# As it stands after "git am --signoff" by its author.
checkpatch_of() {
	local author
	author=$(git_tree log -1 --format=%an "$1")
	kgit -C "$tree" -c user.name="$author" -c user.email="$(git_tree log -1 --format=%ae "$1")" \
		format-patch -1 --stdout --signoff "$1" >"$patchlogs/patch"
	(cd "$linux" && "${checkpatch[@]}" "$patchlogs/patch")
}
# All of them beside the other checks: it takes minutes, and one processor.
patchlogs=$build/check-patches
checkpatch_all() { # COMMIT...
	local commit
	for commit; do
		checkpatch_of "$commit" >"$patchlogs/part" 2>&1 || :
		mv "$patchlogs/part" "$patchlogs/$commit"
	done
}
checkpatch_said() { # COMMIT
	until [ -e "$patchlogs/$1" ]; do
		kill -0 "$checker" 2>/dev/null || break
		sleep 1
	done
	cat "$patchlogs/$1"
}

### What it adds

added() { git_tree diff --no-renames --diff-filter=A --name-only "$base" HEAD -- "$@"; }

uapi_header() {
	local out=$build/check-headers header
	kernel_make "$out" ARCH=x86_64 -s headers || return
	for header in $(added include/uapi | sed 's|include/uapi/||'); do
		gcc -std=c90 -Wall -Wextra -Werror -fsyntax-only -I "$out/usr/include" -x c - <<<"#include <$header>"
		g++ -std=c++98 -Wall -Wextra -Werror -fsyntax-only -I "$out/usr/include" -x c++ - <<<"#include <$header>"
	done 2>&1
}

# Of all lines of the family, how many are comments.
comments() {
	local files
	mapfile -t files < <(added 'net/myproto/*.[ch]' ':!net/myproto/tests')
	(cd "$tree" && awk '
		inside || /^[ \t]*\/\*/ { comments++; inside = !/\*\// }
		END { if (comments > 0.18 * NR) print comments " of " NR " lines are comments, 18 % are enough" }' "${files[@]}")
}

kernel_doc() {
	local files
	mapfile -t files < <(added net/myproto include/uapi | grep '\.[ch]$')
	(cd "$tree" && scripts/kernel-doc -Wall -none "${files[@]}" 2>&1)
}

# The pages that the series makes or changes, each with the index of its folder:
# all of the folder would take minutes. Links to other pages are not looked at.
htmldocs() {
	local page dir out log=$logs/htmldocs.log
	for page in $(git_tree diff --name-only "$base" "$tip" -- 'Documentation/*.rst' ':!*/index.rst'); do
		page=${page#Documentation/} page=${page%.rst} dir=${page%/*}
		out=$build/check-htmldocs/$dir/Documentation/output
		# Sphinx reads it again when it finds nothing kept of it.
		rm -f "$out/$page.html" "$out/.doctrees/${page##*/}.doctree"
		kernel_make "${out%/*/*}" SPHINXDIRS="$dir" \
			SPHINXOPTS="-D include_patterns=index.rst,${page##*/}.rst" htmldocs >"$log" 2>&1 || tail -n 20 "$log"
		sed "s|$top/||g" "$log" | grep -F -e myproto -e "$page" || :
		[ -s "$out/$page.html" ] || echo "there is no $page.html, see $log"
	done
}

# What "make coccicheck MODE=report M=net/myproto" does, which gives up when it
# comes to the scripts that want a compiler of OCaml.
coccicheck() {
	local files macros=$build/check.macros spatch script parsed
	cd "$tree" || return
	# spatch is silent about what it cannot parse, and does not check it.
	echo '#define __uninitialized' >"$macros"
	spatch=(spatch --macro-file "$macros")
	mapfile -t files < <(added 'net/myproto/*.c')
	parsed=$("${spatch[@]}" --parse-c "${files[@]}" 2>&1 | grep '^NB total files' || :)
	[[ $parsed == *"= ${#files[@]}; perfect = ${#files[@]};"* ]] || echo "spatch does not parse every file: $parsed"
	mapfile -t files < <(added 'net/myproto/*.[ch]' include/uapi)
	spatch+=(-D report --very-quiet --no-show-diff -I include --cocci-file)
	grep -rl --include='*.cocci' 'virtual[[:space:]]*report' scripts/coccinelle | xargs grep -L ocaml |
		while IFS= read -r script; do
			echo "${spatch[*]} $script $(sed -n 's|^//.*Options:||p' "$script") ${files[*]} || { echo spatch fails with $script; exit 1; }"
		done | xargs -d '\n' -n 1 -P "$(nproc)" sh -c 2>&1 |
		{ grep -v 'should .* be a metavariable' || :; } # faults of the scripts
}

scripts_are_clean() {
	shellcheck "$top"/scripts/*.sh "$lib"/*.sh "$guest"/*.sh "$top"/bench/*.sh "$top"/fuzz/*.sh \
		"$top"/examples/*/*.sh "$top/examples/preload/myproto-run"
}

man_page() { { man --warnings=all -l "$top"/man/*.7 >/dev/null; } 2>&1; }

selftest_lists() {
	local tests=$tree/tools/testing/selftests file
	[ -d "$tests/net/myproto" ] || return 0
	grep -B 1 -A 1 '^TARGETS += net/myproto$' "$tests/Makefile" | sort -c 2>&1
	grep -q '^TARGETS += net/myproto$' "$tests/Makefile" || echo "net/myproto is not in the TARGETS"
	grep -v '^#' "$tests/net/myproto/.gitignore" | sort -c 2>&1
	for file in "$tests"/net/myproto/*.c; do
		file=$(basename "$file" .c)
		grep -qx "/\?$file" "$tests/net/myproto/.gitignore" || echo "$file is not in the .gitignore"
	done
}

# Of every part; who runs this need not be one who can sign off.
outgoing() {
	local log=$logs/check-outgoing.log part
	for ((part = 1; part <= $(parts | wc -l); part++)); do
		PART=$part MYPROTO_CHECKED=1 GIT_COMMITTER_NAME="make check" GIT_COMMITTER_EMAIL=check@localhost \
			"$top/scripts/outgoing.sh" "$build/check-outgoing/$part" >"$log" 2>&1 || cat "$log"
	done
}

owners() {
	local file
	for file in $(added); do
		# Linus gets what belongs to nobody.
		(cd "$tree" && scripts/get_maintainer.pl --no-git --no-git-fallback --nol --norolestats -f "$file") |
			grep -qv torvalds@ || echo "no maintainer for $file"
	done
}

### It builds without a word: each patch for x86_64, otherwise each part (also as
### a module), or with EACH_PATCH=1 each patch

# What it changes elsewhere, and the places that know all families.
objects() {
	{
		printf '%s\n' net/socket.o net/core/sock.o security/selinux/avc.o security/selinux/hooks.o
		git_tree diff --name-only "$base" "$tip" -- '*.c' ':!net/myproto' ':!tools' ':!Documentation' ':!samples' |
			sed 's/c$/o/'
	} | sort -u
}

# For the functions below, "builds" has set out, arch, arguments and what.
make_out() { kernel_make "$out" ARCH="$arch" -s -j"$(nproc)" "${arguments[@]}" "$@" 2>&1; }
# The objects anew: make says nothing about those it has.
compile() {
	local targets=("${what[@]}")
	[ ! -e "$tree/net/myproto/Kconfig" ] || targets+=(net/myproto/)
	[ "${#targets[@]}" != 0 ] || return 0
	(cd "$out" && rm -rf "${targets[@]}")
	make_out "${targets[@]}"
}
# The warnings of an output, without the lines that move when code does.
warnings() { grep -E '(warning|error): ' "$1" | sed -E "s|^$tree/||; s/:[0-9]+:([0-9]+:)?/:/" | sort || :; }

# builds NAME STATES COMMIT: the objects at COMMIT as NAME says, with MYPROTO in
# each of STATES. The base is built the same way first: what it warns of in
# files the series touches is not the series' doing.
builds() {
	local name=$1 states=$2 commit=$3 out=$build/check-$1 arch=$1 fragment=$config/check.config arguments=(W=1) what state
	mapfile -t what < <(objects)
	case $name in
	x86_64)
		arguments+=(C=2 CF=-D__CHECK_ENDIAN__ CHECK="sparse -include $config/sparse.h") ;;
	net)
		arch=x86_64 fragment=$out.config
		mapfile -t what < <(objects | grep '^net/' | grep -v '^net/unix/') # which it has not
		echo CONFIG_NET=y >"$fragment" ;;
	s390)
		arguments+=(CROSS_COMPILE=s390x-linux-gnu-)
		local cc="ccache s390x-linux-gnu-gcc" ;;
	clang)
		arch=x86_64
		arguments+=(LLVM=-19)
		local cc="ccache clang-19" ;;
	esac
	if [ "$(cat "$out/base" 2>/dev/null)" != "$base ${what[*]}" ]; then
		git_tree checkout -q -f --detach "$base"
		configure "$out" "$arch" "$fragment"
		compile >"$out/base.log" || { cat "$out/base.log"; return; }
		echo "$base ${what[*]}" >"$out/base"
	fi
	git_tree checkout -q -f --detach "$commit"
	# Where a patch changes no header of others, their objects are as they were.
	if git_tree diff --quiet "$commit^" "$commit" -- '*.h' ':!net/myproto' ':!include/uapi/linux/myproto*'; then
		mapfile -t what < <(git_tree diff --name-only "$commit^" "$commit" -- '*.c' | sed 's/c$/o/' |
			grep -xF -f <(printf '%s\n' "${what[@]}") || :)
	fi
	[ -e "$tree/net/myproto/Kconfig" ] || states=n
	for state in ${states//,/ }; do
		# Without the family and without other objects there is nothing.
		[ "$state" != n ] || [ "${#what[@]}" != 0 ] || continue
		if ! grep -qx "CONFIG_MYPROTO=$state" "$out/.config" ||
			! git_tree diff --quiet "$commit^" "$commit" -- '*Kconfig'; then
			sed -i '/CONFIG_MYPROTO[ =]/d' "$out/.config"
			echo "CONFIG_MYPROTO=$state" >>"$out/.config"
			make_out olddefconfig
		fi
		if ! compile >"$out/now.log"; then
			echo "MYPROTO=$state does not build:"
			cat "$out/now.log"
		elif [ -n "$(comm -13 <(warnings "$out/base.log") <(warnings "$out/now.log"))" ]; then
			echo "MYPROTO=$state:"
			cat "$out/now.log"
		fi
	done
}

### All of them

names=() commands=()
plan() { names+=("$1"); commands+=("${*:2}"); }

passed=0 failed=0 number=0
count() { echo "$number of ${#names[@]}, "; }
check() { # NAME COMMAND...
	local log=$logs/check.log
	if run "check: $1" "$log" "${@:2}" && [ ! -s "$log" ]; then
		passed=$((passed + 1))
		echo "ok - $1"
	else
		failed=$((failed + 1))
		echo "not ok - $1"
		sed 's/^/    /' "$log" | head -n 40
		return 1
	fi
}

check "git am onto the pristine base" applies || {
	# Nothing of what follows means anything.
	result check "$passed" "$failed"
	exit 1
}
tip=$(git_tree rev-parse HEAD)
plan "series and patches/" series_is_sound
plan "patches and source folders are what make refresh writes" is_what_refresh_writes
plan "shellcheck" scripts_are_clean
plan "uapi header: headers_install, C90, C++" uapi_header
plan "at most 18 % comments" comments
plan "kernel-doc" kernel_doc
plan "htmldocs" htmldocs
plan "man page" man_page
plan "coccicheck" coccicheck
plan "mails for git send-email" outgoing
plan "selftest lists" selftest_lists
plan "get_maintainer" owners
mapfile -t patches < <(git_tree log --reverse --format='%H %s' "$base..$tip")
rm -rf "$patchlogs"
mkdir "$patchlogs"
checkpatch_all "${patches[@]%% *}" &
checker=$!
trap 'kill "$checker" 2>/dev/null || :; stop_groups' EXIT
# The patches that have something to build, and the last one of each part.
code=() ends=()
while IFS=$'\t' read -r _ first last; do
	end=
	for patch in "${patches[@]:first - 1:last - first + 1}"; do
		commit=${patch%% *}
		git_tree diff --quiet "$commit^" "$commit" -- ':!tools' ':!Documentation' ':!MAINTAINERS' && continue
		code+=("$patch") end=$patch
	done
	[ -z "$end" ] || ends+=("$end")
done < <(parts)
[ -z "${EACH_PATCH:-}" ] || ends=("${code[@]}")
each() { # NAME STATES TEXT PATCH...
	local patch
	for patch in "${@:4}"; do plan "$3: ${patch#* }" builds "$1" "$2" "${patch%% *}"; done
}
each x86_64 y,n "x86_64, y, n, W=1, sparse" "${code[@]}"
each x86_64 m "x86_64, m, W=1, sparse" "${ends[@]}"
each net y,n "allnoconfig with NET, W=1" "${ends[@]}"
each i386 y "i386, W=1" "${ends[@]}"
each s390 y "s390, big-endian, W=1" "${ends[@]}"
each clang y "clang, W=1" "${ends[@]}"
for patch in "${patches[@]}"; do plan "checkpatch: ${patch#* }" checkpatch_said "${patch%% *}"; done

for ((number = 1; number <= ${#names[@]}; number++)); do
	# shellcheck disable=SC2086 # a command and its words
	check "${names[number - 1]}" ${commands[number - 1]} || :
done
result check "$passed" "$failed"
