#!/usr/bin/env bash
# make tree: build/linux is the base kernel with the series on top, a git tree
# to build from and to work in. KERNEL=/path takes another kernel than Debian's.
. "$(dirname "$0")/lib/common.sh"
kernel=${KERNEL:-}
new=$build/linux.new
need git

git_linux() { kgit -C "$linux" "$@"; }

# From a folder that holds a plain kernel tree to a git tree with one commit.
commit_base() {
	kgit init -q -b myproto "$new"
	# A kernel's .gitignore ignores files of its own (-f). One pack instead
	# of 90,000 files (bigFileThreshold) is a good deal faster.
	kgit -C "$new" -c core.bigFileThreshold=1 -c core.compression=1 add -f -A &&
		kgit -C "$new" commit -q -m "Linux $(version "$new")"
}
from_package() {
	mkdir "$new"
	"$lib/fetch.sh" "$new"
	run "committing the base" "$logs/tree.log" commit_base || die "the base cannot be committed; see $logs/tree.log"
	mv "$new" "$linux"
}
from_folder() {
	need rsync
	run "copying $kernel" "$logs/tree.log" rsync -a --exclude=/.git "$kernel/" "$new" ||
		die "$kernel cannot be copied; see $logs/tree.log"
	# It may have been built in, and then no other folder can be built from it.
	make -s -C "$new" mrproper >"$logs/tree.log" 2>&1 || die "$kernel cannot be cleaned of build products; see $logs/tree.log"
	run "committing the base" "$logs/tree.log" commit_base || die "the base cannot be committed; see $logs/tree.log"
	mv "$new" "$linux"
}
from_git() {
	local branch=myproto n=1
	while git -C "$kernel" show-ref -q --verify "refs/heads/$branch"; do branch=myproto-$((++n)); done
	say "base: HEAD of $kernel, $(git -C "$kernel" log -1 --format='%h (%s)'), new branch $branch"
	git -C "$kernel" worktree prune
	run "checking out" "$logs/tree.log" git -C "$kernel" worktree add --no-track -b "$branch" "$linux" HEAD || {
		rm -rf "$linux"
		git -C "$kernel" worktree prune
		git -C "$kernel" branch -q -D "$branch" 2>/dev/null || :
		die "git cannot add a worktree to $kernel; see $logs/tree.log"
	}
}

create() {
	space 6
	# What an interrupted run left. Nobody has worked in it yet.
	rm -rf "$new" "$linux"
	if [ -z "$kernel" ]; then
		from_package
	else
		[ -d "$kernel" ] || die "KERNEL=$kernel is no folder; name the top of a Linux tree"
		kernel=$(cd "$kernel" && pwd -P)
		if [ ! -e "$kernel/MAINTAINERS" ] || [ -z "$(version "$kernel" 2>/dev/null)" ]; then
			die "KERNEL=$kernel holds no Linux tree; name the folder that has the kernel's Makefile and MAINTAINERS"
		fi
		case $(version "$kernel") in
		7.3 | 7.3.* | 7.3-*) ;;
		*) say "warning: $kernel is Linux $(version "$kernel"), the series is made for 7.3; trying" ;;
		esac
		if [ ! -e "$kernel/.git" ]; then
			from_folder
		elif git -C "$kernel" rev-parse -q --verify HEAD >/dev/null 2>"$logs/tree.log"; then
			from_git
		else
			die "git cannot read $kernel: $(head -n 1 "$logs/tree.log")"
		fi
	fi
}
# The series onto the base, which the branch is at. The mark tells the next run
# that what it finds half applied is ours to throw away.
apply() {
	git_linux update-ref "$ref_applying" "$ref_base"
	git_linux update-ref -d "$ref_patches"
	git_linux update-ref "$ref_exported" "$ref_base"
	apply_series "$linux"
	git_linux update-ref "$ref_exported" HEAD
	git_linux update-ref "$ref_patches" "$(cd "$linux" && patches_id -w)"
	git_linux update-ref -d "$ref_applying"
}

lock tree

if [ -n "$kernel" ] && [ -e "$linux" ] && [ "$(cat "$build/kernel" 2>/dev/null)" != "$(realpath "$kernel")" ]; then
	die "build/linux is from another kernel than KERNEL=$kernel; run \"make clean\" first"
fi
[ -e "$linux/.git" ] || create
if ! git_linux rev-parse -q --verify "$ref_base" >/dev/null; then
	echo "${kernel:-package}" >"$build/kernel"
	git_linux symbolic-ref "$ref_branch" "$(git_linux symbolic-ref HEAD)"
	git_linux update-ref "$ref_base" HEAD
	git_linux update-ref "$ref_applying" HEAD
fi
if git_linux rev-parse -q --verify "$ref_applying" >/dev/null; then
	git_linux am --abort 2>/dev/null || :
	git_linux reset -q --hard "$ref_base"
	apply
elif [ "$(git_linux rev-parse -q --verify "$ref_patches")" != "$(patches_id)" ]; then
	if has_work; then
		die "patches/ has changed and build/linux holds work of its own: \"make refresh\" replaces patches/ by it, or keep it on a branch (git -C build/linux branch mine), reset (git -C build/linux reset --hard $ref_exported) and run this again"
	fi
	say "patches/ has changed: applying the series anew"
	git_linux update-ref "$ref_applying" "$ref_base"
	git_linux reset -q --hard "$ref_base"
	apply
elif has_work; then
	say "build/linux holds work that is not in patches/ yet; \"make refresh\" writes it there"
fi
say "build/linux: Linux $(version "$linux") with $(git_linux rev-list --count "$ref_base..HEAD") patches"
