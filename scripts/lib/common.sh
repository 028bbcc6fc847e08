# shellcheck shell=bash
# shellcheck disable=SC2034 # some of these only matter to those who source it
# What the scripts share: source it first.
set -euo pipefail

# Whatever started us must not reach into the kernel's own make and git.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES ARCH CROSS_COMPILE LLVM CC KBUILD_OUTPUT \
	LOCALVERSION GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
export LC_ALL=C
# The distribution's own Python first: it is the one that has the modules.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
lib=$top/scripts/lib       # what the commands share
guest=$top/scripts/guest   # what runs in a guest
config=$top/scripts/config # of the kernels
build=$top/build
logs=$build/logs
linux=$build/linux
cache=${MYPROTO_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/myproto}
mkdir -p "$logs" "$cache"

# Bookkeeping of build/linux. Below refs/worktree, so that it belongs to this
# one worktree and no other place of a KERNEL= repository gets to see it.
ref_base=refs/worktree/myproto/base         # what the series applies to
ref_branch=refs/worktree/myproto/branch     # the branch made for it
ref_exported=refs/worktree/myproto/exported # the commit patches/ is the export of
ref_patches=refs/worktree/myproto/patches   # patches/ as they were then
ref_applying=refs/worktree/myproto/applying # there while the series is applied

say() { echo "$*" >&2; }
die() { say "error: $*"; exit 1; }

# Whatever is started with "run" ends with the script.
groups=()
# shellcheck disable=SC2317 # called by the trap
stop_groups() {
	local group n
	for group in "${groups[@]}"; do
		kill -TERM -- "-$group" 2>/dev/null || continue
		# make deletes what it was about to write, that takes a moment.
		for ((n = 0; n < 20; n++)); do
			kill -0 -- "-$group" 2>/dev/null || break
			sleep 0.1
		done
		kill -KILL -- "-$group" 2>/dev/null || :
	done
}
trap stop_groups EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

elapsed() { printf '%d:%02d' $((($1) / 60)) $((($1) % 60)); }

# tick LABEL START: show LABEL, what the function "count" prints, and the time.
count() { :; }
tick() {
	local line
	line="$1: $(count)$(elapsed $((SECONDS - $2)))"
	if [ -t 2 ]; then printf '\r\033[K%s' "$line" >&2; else say "$line"; fi
}

# run LABEL LOG COMMAND...: COMMAND with its output in LOG and its progress on
# the terminal (once every 30 seconds where there is no terminal).
run() {
	local label=$1 log=$2 start=$SECONDS status=0 every=30 pid ticker
	shift 2
	[ -t 2 ] && every=1
	# A process group of its own: a signal to it reaches every child.
	set -m
	"$@" </dev/null >"$log" 2>&1 &
	pid=$!
	while sleep "$every"; do tick "$label" "$start"; done </dev/null &
	ticker=$!
	set +m
	groups+=("$pid" "$ticker")
	wait "$pid" || status=$?
	{ kill -- "-$ticker" && wait "$ticker"; } 2>/dev/null || :
	groups=()
	[ ! -t 2 ] || printf '\r\033[K' >&2
	return "$status"
}

# need PACKAGE...: install what is missing of these Debian packages.
need() {
	local package missing=() log=$logs/apt.log
	command -v dpkg-query >/dev/null || return 0
	for package; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
			missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	[ "$(id -u)" = 0 ] ||
		die "packages are missing; install them with: sudo apt-get install ${missing[*]}"
	say "installing ${missing[*]}"
	local install=(apt-get -y --no-install-recommends --no-remove -o DPkg::Lock::Timeout=300
		-o Acquire::Retries=3 install "${missing[@]}")
	export DEBIAN_FRONTEND=noninteractive
	run "apt-get install" "$log" "${install[@]}" || {
		# The lists may be absent or old.
		run "apt-get update" "$log" apt-get update || :
		run "apt-get install" "$log" "${install[@]}" ||
			die "apt-get could not install ${missing[*]}; $log says why, check the network and the sources in /etc/apt"
	}
}
need_kernel_build() {
	[ "$(uname -m)" = x86_64 ] || die "this machine is $(uname -m), but User-Mode Linux and these checks need x86_64"
	case $top in *[[:space:]:]*) die "the kernel cannot be built below a path with spaces or colons; move $top" ;; esac
	need gcc libc6-dev make bc bison flex libelf-dev perl python3 kmod ccache rsync
}

# space GIB: fail early, and not in the middle of a link, when the disk is full.
space() {
	local free
	free=$(df -Pk "$build" | awk 'NR == 2 { print int($4 / 1048576) }')
	[ "$free" -ge "$1" ] ||
		die "$build has $free GiB free and this step needs $1; free some, or clone to a larger disk"
}

# git without the user's settings (diff.*, format.*, hooks, signing), so that
# everybody gets the same commits and the same patches.
kgit() {
	GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null git -c core.hooksPath=/dev/null \
		-c user.name=myproto -c user.email=myproto@localhost -c gc.auto=0 "$@"
}

# ccache is told to see past the place of the clone: paths become relative to
# it, and the one option that spells them out only takes them away again.
# It takes the included files from what the compiler writes for make, instead of
# running the preprocessor first: a quarter less time for what it does not know.
export CCACHE_BASEDIR=$top CCACHE_NOHASHDIR=1 CCACHE_IGNOREOPTIONS='-fmacro-prefix-map=*' CCACHE_DEPEND=1

# kernel_make O-FOLDER ARGUMENT...: the kernel's make, from build/linux unless
# $source says otherwise.
kernel_make() {
	local out=$1
	shift
	mkdir -p "$out"
	make -C "${source:-$linux}" O="$out" LOCALVERSION= CC="${cc:-ccache gcc}" \
		HOSTCC="ccache gcc" "$@"
}

# configure O-FOLDER ARCH FRAGMENT...: allnoconfig plus the fragments, every
# line of which must have been accepted. A .config made from the same lines is
# kept, with what menuconfig changed in it.
configure() {
	local out=$1 arch=$2 wanted option target=olddefconfig refused
	shift 2
	mkdir -p "$out"
	wanted=$(grep -h '^CONFIG_' "$@")
	# Not every part of the series has all of its options.
	for option in MYPROTO MYPROTO_DIAG; do
		grep -qsx "config $option" "${source:-$linux}/net/myproto/Kconfig" ||
			wanted=$(grep -v "^CONFIG_$option=" <<<"$wanted")
	done
	if [ "$wanted" != "$(cat "$out/wanted" 2>/dev/null)" ] || [ ! -e "$out/.config" ]; then
		target=allnoconfig
		rm -f "$out/wanted"
	fi
	echo "$wanted" >"$out/fragment"
	kernel_make "$out" ARCH="$arch" KCONFIG_ALLCONFIG="$out/fragment" "$target" \
		>"$out/configure.log" 2>&1 ||
		die "the kernel cannot be configured for ARCH=$arch; see $out/configure.log"
	[ "$target" = allnoconfig ] || return 0
	refused=$(grep -vxFf "$out/.config" "$out/fragment" | tr '\n' ' ' || :)
	[ -z "$refused" ] || die "this kernel does not accept $refused(from ${*##*/})"
	mv "$out/fragment" "$out/wanted"
}

# errors LOG: why a build stopped.
errors() {
	grep -E -A3 'error|Error|undefined reference|No space' "$1" | tail -n 15 >&2 || tail -n 15 "$1" >&2
}

# lock NAME: wait until no other command works on build/NAME.
lock() {
	exec 9>"$build/$1.lock"
	flock -n 9 || { say "waiting for another command that works on build/$1"; flock 9; }
}

# build_kernel NAME ARGUMENT...: make build/NAME by ARGUMENTs. Its output is $log.
build_kernel() {
	local out=$build/$1 known=$cache/objects-$1 total absent
	# For the progress line: how many objects a complete build has, as the last
	# one counted them. Before the first, nobody knows.
	total=$(cat "$known" 2>/dev/null || echo 0)
	objects() { find "$out" -name '*.o' "$@" | wc -l; }
	absent=$((total - $(objects)))
	touch "$out/started"
	# shellcheck disable=SC2317 # tick calls it
	count() {
		local built
		built=$(objects -newer "$out/started")
		if [ "$absent" -gt 10 ]; then echo "$built of about $absent objects, "; else echo "$built objects, "; fi
	}
	log=$logs/build-$1.log
	run "building $1" "$log" kernel_make "$out" "${@:2}" -j"$(nproc)" || {
		errors "$log"
		die "the kernel does not build; all of its output is in $log"
	}
	objects >"$known"
	# shellcheck disable=SC2317
	count() { :; }
}

# install_headers: those of build/linux for programs, in build/headers.
install_headers() {
	local log=$logs/headers.log
	run "installing the kernel's headers" "$log" kernel_make "$build/headers" ARCH=x86_64 -s headers || {
		errors "$log"
		die "the kernel's headers cannot be installed; all of the output is in $log"
	}
}

# build_program SOURCE: build/programs/NAME, with what the selftests share.
build_program() {
	local log=$logs/build-program.log tests=$linux/tools/testing/selftests
	mkdir -p "$build/programs"
	gcc -O2 -g -Wall -static -isystem "$build/headers/usr/include" -I"$tests/net/myproto" -I"$tests" \
		-o "$build/programs/$(basename "$1" .c)" "$1" -lpthread >"$log" 2>&1 || {
		errors "$log"
		die "${1#"$top/"} does not build; see $log"
	}
}

# has_work: build/linux has commits or changes that are not in patches/.
has_work() {
	[ "$(kgit -C "$linux" symbolic-ref -q HEAD)" != "$(kgit -C "$linux" symbolic-ref "$ref_branch")" ] ||
		[ "$(kgit -C "$linux" rev-parse HEAD)" != "$(kgit -C "$linux" rev-parse "$ref_exported")" ] ||
		[ -n "$(kgit -C "$linux" status --porcelain)" ]
}

# The patch files in order.
series() {
	[ -s "$top/series" ] || die "the file series is missing or empty; git checkout series brings it back"
	sed "/^#/d; s|^|$top/patches/|" "$top/series"
}
# Its parts, a line each: title, number of the first patch, number of the last.
parts() {
	awk -F ': ' '/^# part / { if (title) print title "\t" first "\t" n; title = $2; first = n + 1; next }
		{ n++ }
		END { print title "\t" first "\t" n }' "$top/series"
}
# patches_id [-w]: of their contents and order.
patches_id() { series | xargs cat "$top/series" | kgit hash-object "$@" --stdin; }

# apply_series TREE: git am the series on what is checked out there.
apply_series() {
	local tree=$1 log=$logs/am.log at patches
	mapfile -t patches < <(series)
	kgit -C "$tree" am -q --committer-date-is-author-date "${patches[@]}" >"$log" 2>&1 && return
	at=$(cat "$(kgit -C "$tree" rev-parse --path-format=absolute --git-path rebase-apply/next)")
	kgit -C "$tree" am --abort
	die "${patches[at - 1]##*/} does not apply to Linux $(version "$tree"); the tree is left without the series, use KERNEL= with a v7.3 tree or rebase the series ($log says more)"
}

# version TREE: of the kernel there.
version() {
	awk -F' = ' '/^(VERSION|PATCHLEVEL|SUBLEVEL) =/ { v = v s $2; s = "." }
		/^EXTRAVERSION =/ { print v $2; exit }' "$1/Makefile"
}

# keep_parts: names of patches, with the line "# part ..." of series before the
# patch that it is before there, whatever number that has now.
keep_parts() {
	awk -v old="$top/series" '
		BEGIN {
			while ((getline line < old) > 0)
				if (line ~ /^#/)
					part = line
				else if (part) {
					first[substr(line, 5)] = part
					part = ""
				}
		}
		substr($0, 5) in first { print first[substr($0, 5)]; delete first[substr($0, 5)] }
		{ print }
		END {
			for (name in first) {
				print "error: series has \"" first[name] "\" before " name ", which is no more; move that line by hand" >"/dev/stderr"
				exit 1
			}
		}'
}

# export_series TREE TO: write patches/, series and the source folders of
# TREE's HEAD to the empty folder TO.
export_series() {
	local tree=$1 to=$2 base
	base=$(kgit -C "$linux" rev-parse "$ref_base")
	kgit -C "$tree" format-patch -q -o "$to/patches" --subject-prefix='PATCH net-next' -n \
		--zero-commit --no-signature --abbrev=12 "$base..HEAD"
	(cd "$to/patches" && ls) | keep_parts >"$to/series"
	export_folder "$tree" "$to/net-myproto" 2 net/myproto
	# Of these the series' own files only: what it changes is in the patches.
	export_new "$tree" "$to/include-uapi" 2 include/uapi
	export_new "$tree" "$to/Documentation" 1 Documentation
	export_new "$tree" "$to/tools-testing" 2 tools/testing
}
export_folder() {
	mkdir -p "$2"
	kgit -C "$1" -c tar.umask=022 archive HEAD -- "${@:4}" | tar -x -C "$2" --strip-components="$3"
}
export_new() {
	local files
	mapfile -t files < <(kgit -C "$1" diff --no-renames --diff-filter=A --name-only "$base" HEAD -- "$4")
	[ ${#files[@]} -eq 0 ] || export_folder "$1" "$2" "$3" "${files[@]}"
}
exported=(patches series net-myproto include-uapi Documentation tools-testing)

# series_faults FOLDER: what a series must not have, one fault a line.
series_faults() {
	local patch
	for patch in "$1"/*.patch; do
		git apply --numstat "$patch" 2>/dev/null | awk -v name="${patch##*/}" '
			$3 ~ /^net\/myproto\// && $3 !~ /\/tests\// { code += $1 }
			$3 ~ /^(tools\/testing|net\/myproto\/tests)\// { tests += $1 }
			END {
				if (code > 600) print name ": adds " code " lines to net/myproto, reviewers want at most 600: split it"
				if (tests > 1600) print name ": adds " tests " lines of tests, reviewers want about 1500 at most: split it"
			}'
	done
	awk '/^#/ { part = $0; n = 0; next }
		++n == 16 { print "\"" part "\" has more than 15 patches, netdev takes no more: squash some" }' "$1/../series"
	grep -l '^Signed-off-by:' "$1"/*.patch | sed 's|.*/||; s|$|: has a Signed-off-by, which only the submitter may add|' || :
	grep -lE '^Subject: .*(fixup|squash|amend)!' "$1"/*.patch |
		sed 's|.*/||; s|$|: not squashed yet (git rebase -i --autosquash)|' || :
	grep -lE '^diff --git a/tools/perf/' "$1"/*.patch |
		sed 's|.*/||; s|$|: changes tools/perf, whose maintainers sync it themselves|' || :
}

# As netdev's own checks call it. MAINTAINERS has the folder, so that a new file
# in it is nothing to ask about: "make check" looks for files without an entry.
checkpatch=(perl scripts/checkpatch.pl --strict --codespell --max-line-length=80 -q --no-summary
	--show-types --ignore FILE_PATH_CHANGES)

# result NAME PASSED FAILED [REMARK]: the last line of a step, kept for "make
# test" to add up.
result() {
	mkdir -p "$build/results"
	echo "$2 $3" >"$build/results/$1"
	echo "$1: $2 passed, $3 failed${4:-}"
	[ "$3" = 0 ] && [ "$2" != 0 ]
}
