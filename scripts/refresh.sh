#!/usr/bin/env bash
# make refresh: write patches/, series and the source folders from the commits
# in build/linux. A second run changes nothing.
. "$(dirname "$0")/lib/common.sh"
need git
[ -e "$linux/.git" ] || die "there is no build/linux to refresh from; run \"make tree\" first"
git_linux() { kgit -C "$linux" "$@"; }
for state in rebase-merge rebase-apply; do
	[ ! -d "$(git_linux rev-parse --path-format=absolute --git-path $state)" ] ||
		die "a rebase is in progress in build/linux; finish it (git -C build/linux rebase --continue) or drop it (--abort)"
done
[ -z "$(git_linux status --porcelain)" ] ||
	die "build/linux has changes that are not committed; commit them (git -C build/linux commit --fixup ...) or stash them"
# A git pull that came after "make tree" must not be undone unseen.
if [ "$(git_linux rev-parse -q --verify "$ref_patches")" != "$(patches_id)" ] &&
	git -C "$top" diff --quiet HEAD -- patches series 2>/dev/null; then
	die "patches/ has changed since build/linux was made from it; keep your work on a branch (git -C build/linux branch mine), reset (git -C build/linux reset --hard $ref_exported), run \"make tree\" and rebase your work onto it"
fi

new=$build/refresh
rm -rf "$new"
mkdir "$new"
export_series "$linux" "$new"
[ -s "$new/series" ] || die "build/linux has no commit on top of its base, there is nothing to write"
faults=$(series_faults "$new/patches")
[ -z "$faults" ] || die "nothing written: $faults"

for name in "${exported[@]}"; do
	rm -rf "${top:?}/$name"
	[ ! -e "$new/$name" ] || mv "$new/$name" "$top/$name"
done
git_linux update-ref "$ref_exported" HEAD
git_linux update-ref "$ref_patches" "$(cd "$linux" && patches_id -w)"
rm -rf "$new"
say "patches/: $(series | wc -l) patches"
[ -z "$(git -C "$top" status --porcelain -- "${exported[@]}" 2>/dev/null)" ] || git -C "$top" status --short -- "${exported[@]}"
