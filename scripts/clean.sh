#!/usr/bin/env bash
# make clean: remove build/, unless that would lose work. The cache stays.
. "$(dirname "$0")/lib/common.sh"
git_linux() { kgit -C "$linux" "$@"; }
keep() {
	die "build/linux holds $1; \"make refresh\" writes the branch to patches/, and \"rm -rf build\" throws it all away"
}

if [ -e "$linux/.git" ] && git_linux rev-parse -q --verify "$ref_exported" >/dev/null; then
	if ! git_linux rev-parse -q --verify "$ref_applying" >/dev/null; then
		! has_work || keep "commits or changes that are not in patches/"
	fi
	if [ -d "$linux/.git" ]; then
		# The repository itself goes: so would other branches and stashes.
		[ -z "$(git_linux rev-list -n 1 --branches --glob=refs/stash --not "$ref_exported")" ] ||
			keep "other branches or stashes with work of their own"
	else
		repo=$(git_linux rev-parse --path-format=absolute --git-common-dir)
		branch=$(git_linux symbolic-ref --short "$ref_branch")
	fi
fi
rm -rf "$build"
if [ -n "${repo:-}" ]; then
	# build/linux was a worktree of the repository KERNEL= named.
	git --git-dir="$repo" worktree prune
	git --git-dir="$repo" branch -q -D "$branch"
fi
say "build/ is removed, the cache in $cache stays"
