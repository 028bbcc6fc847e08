#!/usr/bin/env bash
# make outgoing PART=n: build/outgoing/ is part n of the series as mails for git
# send-email, signed off by whoever runs this, to whom get_maintainer.pl names.
# Nothing is sent.
. "$(dirname "$0")/lib/common.sh"
out=${1:-$build/outgoing} # "make check" has folders of its own
log=$logs/outgoing.log
need git git-email libmailtools-perl perl codespell python3-ply python3-git
mapfile -t titles < <(parts | cut -f 1)
part=${PART:-}
[[ $part =~ ^[1-9]$ && $part -le ${#titles[@]} ]] ||
	die "which part? make outgoing PART=1 to PART=${#titles[@]}: $(printf '%s; ' "${titles[@]}")netdev takes one at a time"

# No name that git makes up from the machine's: a sign-off is a person's, who can
# be asked. "make check" only tries the mails.
ident=$(git -C "$top" -c user.useConfigOnly=true var GIT_COMMITTER_IDENT 2>"$log") ||
	die "git does not know who signs off; run: git config --global user.name \"Your Name\" and git config --global user.email you@your.domain"
from=${ident%>*}\> name=${ident%% <*} email=${from##*<} email=${email%>}
if [ -z "${MYPROTO_CHECKED:-}" ] && {
	[[ $name != *[[:alpha:]]* || $email != ?*@?*.?* ]] ||
		grep -qiE 'no-?reply|@(.*\.)?(localhost|localdomain|local|invalid|test|example(\.(com|net|org))?)$' <<<"$email"
}; then
	die "\"$from\" cannot sign off: that takes a name and an address that answers; run: git config --global user.name \"Your Name\" and git config --global user.email you@your.domain"
fi
"$top/scripts/tree.sh"
base=$(kgit -C "$linux" rev-parse "$ref_base")
tip=$(kgit -C "$linux" rev-parse "$ref_exported")
read -r first last < <(parts | sed -n "${part}p" | cut -f 2,3)
mapfile -t commits < <(kgit -C "$linux" rev-list --reverse "$base..$tip")
mapfile -t patches < <(series | sed -n "$first,${last}p")

# In the mails' own headers, where git send-email finds them.
recipients() {
	(cd "$linux" && perl scripts/get_maintainer.pl --no-git --no-git-fallback --norolestats "${patches[@]}") |
		grep -vF -e "$email" -e "$list"
}
list=netdev@vger.kernel.org
mapfile -t cc < <(recipients)
people=$(printf '%s\n' "${cc[@]}" | grep -c '<' || :)
[ "$people" -gt 0 ] || die "get_maintainer.pl finds nobody to send the series to; see whether it works in build/linux"

# With --base it says which patches go before those of this part.
rm -rf "$out"
kgit -C "$linux" -c user.name="$name" -c user.email="$email" format-patch -q -o "$out" \
	--subject-prefix='PATCH net-next' --cover-letter -n --signoff --from="$from" --base="$base" \
	--to="$list" "${cc[@]/#/--cc=}" "${commits[first - 1]}^..${commits[last - 1]}"
cover=$out/0000-cover-letter.patch
text=$top/cover-letters/$part.txt # the subject, an empty line, the rest
[ -z "$(awk 'length > 75' "$text")" ] || die "${text#"$top/"} has lines of more than 75 columns; break them"
sed -i -e "s|\*\*\* SUBJECT HERE \*\*\*|$(head -n 1 "$text")|" \
	-e "/\*\*\* BLURB HERE \*\*\*/{r /dev/stdin" -e 'd}' "$cover" < <(tail -n +3 "$text")

authors=$(kgit -C "$linux" log --format='%an <%ae>' "$base..$tip" | sort -u)
if [ "$authors" != "$from" ]; then
	say "note: the patches are by $authors, whose Signed-off-by they will lack"
	# And their "From:" in the text may be a long line.
	checkpatch+=(--ignore NO_AUTHOR_SIGN_OFF --ignore COMMIT_LOG_LONG_LINE)
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
