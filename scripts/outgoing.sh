#!/usr/bin/env bash
# make outgoing: build/outgoing/ is the series as mails for git send-email, signed
# off by whoever runs this, to whom get_maintainer.pl names. Nothing is sent.
. "$(dirname "$0")/lib/common.sh"
out=${1:-$build/outgoing} # "make check" has a folder of its own
log=$logs/outgoing.log
need git git-email libmailtools-perl perl codespell python3-ply python3-git
# No name that git makes up from the machine's: a sign-off is a person's.
ident=$(git -C "$top" -c user.useConfigOnly=true var GIT_COMMITTER_IDENT 2>"$log") ||
	die "git does not know who signs off; run: git config --global user.name \"Your Name\" and git config --global user.email you@your.domain"
from=${ident%>*}\> name=${ident%% <*} email=${from##*<} email=${email%>}
"$top/scripts/tree.sh"
base=$(kgit -C "$linux" rev-parse "$ref_base")
tip=$(kgit -C "$linux" rev-parse "$ref_exported")
mapfile -t patches < <(series)

# In the mails' own headers, where git send-email finds them.
recipients() {
	(cd "$linux" && perl scripts/get_maintainer.pl --no-git --no-git-fallback --norolestats "${patches[@]}") |
		grep -vF -e "$email" -e "$list"
}
list=netdev@vger.kernel.org
mapfile -t cc < <(recipients)
people=$(printf '%s\n' "${cc[@]}" | grep -c '<' || :)
[ "$people" -gt 0 ] || die "get_maintainer.pl finds nobody to send the series to; see whether it works in build/linux"

rm -rf "$out"
kgit -C "$linux" -c user.name="$name" -c user.email="$email" format-patch -q -o "$out" \
	--subject-prefix='PATCH net-next' --cover-letter -n --signoff --from="$from" --base="$base" \
	--to="$list" "${cc[@]/#/--cc=}" "$base..$tip"
cover=$out/0000-cover-letter.patch
text=$top/cover-letter.txt # the subject, an empty line, the rest
sed -i -e "s|\*\*\* SUBJECT HERE \*\*\*|$(head -n 1 "$text")|" \
	-e "/\*\*\* BLURB HERE \*\*\*/{r /dev/stdin" -e 'd}' "$cover" < <(tail -n +3 "$text")

[ -z "$(awk 'length > 75' "$text")" ] || die "cover-letter.txt has lines of more than 75 columns; break them"
authors=$(kgit -C "$linux" log --format='%an <%ae>' "$base..$tip" | sort -u)
if [ "$authors" != "$from" ]; then
	say "note: the patches are by $authors, whose Signed-off-by they will lack"
	checkpatch+=(--ignore NO_AUTHOR_SIGN_OFF)
fi
# A second time that takes a minute or two: "make check" has just done it.
all_patches() {
	[ -z "${MYPROTO_CHECKED:-}" ] || return 0
	 (cd "$linux" && printf '%s\0' "$out"/*.patch | grep -zv /0000- | xargs -0 -n 1 -P "$(nproc)" "${checkpatch[@]}")
}
if ! run "checkpatch" "$log" all_patches || [ -s "$log" ]; then
	cat "$log" >&2
	die "checkpatch finds fault with what would be sent; correct the commits in build/linux and run \"make refresh\""
fi
run "git send-email --dry-run" "$log" kgit send-email --dry-run --quiet --smtp-server=/bin/true --confirm=never \
	--from="$from" "$out"/*.patch || die "git send-email would not take the mails; $log says why"

if [ "$(cat "$build/kernel")" = package ]; then
	say "note: the base-commit exists in build/linux only; for netdev, use KERNEL=/path/to/net-next"
fi
mails=("$out"/*.patch)
echo "${#mails[@]} mails by $from to $people people and $((${#cc[@]} - people + 1)) lists: ${out#"$top/"}"
echo "Read them, the cover letter first. To send them: git send-email ${out#"$top/"}/*.patch"
