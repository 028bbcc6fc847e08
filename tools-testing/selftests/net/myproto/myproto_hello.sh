#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Run myproto_hello and look at what it prints.

# In a network namespace of its own nobody else has the channel.
if [ -z "$MYPROTO_NETNS" ] && unshare --net true 2> /dev/null; then
	MYPROTO_NETNS=1 exec unshare --net "$0"
fi

DIR="$(dirname "$(readlink -f "$0")")"

# shellcheck source=../../kselftest/ktap_helpers.sh
. "$DIR"/../../kselftest/ktap_helpers.sh

OUT="$(mktemp "${TMPDIR:-/tmp}/myproto_hello.XXXXXX")" || exit "$KSFT_FAIL"
trap 'rm -f "$OUT"' EXIT

# Run it with a message; each further argument is a line it must print.
hello()
{
	"$DIR"/myproto_hello "$1" > "$OUT" 2>&1 || return 1
	shift
	for line; do
		grep -qxF "$line" "$OUT" || return 1
	done
}

result()
{
	if [ "$1" -eq 0 ]; then
		ktap_test_pass "$2"
	else
		sed 's/^/# /' "$OUT"
		ktap_test_fail "$2"
	fi
}

ktap_print_header

if [ "$(id -u)" -ne 0 ]; then
	ktap_skip_all "channel 123 needs root"
	exit "$KSFT_SKIP"
fi
if [ -z "$MYPROTO_NETNS" ]; then
	ktap_skip_all "no new network namespace"
	exit "$KSFT_SKIP"
fi
if ! "$DIR"/myproto_hello > "$OUT" 2>&1 &&
   grep -q "not supported by protocol" "$OUT"; then
	ktap_skip_all "no AF_MYPROTO here: CONFIG_MYPROTO not set?"
	exit "$KSFT_SKIP"
fi

ktap_set_plan 5

hello "Hello, world" \
	'server: bind to channel 123' \
	'client: connect to channel 123' \
	'client: write "Hello, world"' \
	'server: read "Hello, world"' \
	'client: read "You wrote "Hello, world""'
result $? "message_and_answer"

hello "" 'server: read ""' 'client: read "You wrote """'
result $? "empty_message"

LONG="$(printf '%0999d' 0)"
hello "$LONG" "server: read \"$LONG\""
result $? "long_message"

! "$DIR"/myproto_hello one two > "$OUT" 2>&1 && grep -q '^usage:' "$OUT"
result $? "usage"

if command -v setpriv > /dev/null; then
	! setpriv --reuid 65534 --clear-groups "$DIR"/myproto_hello \
		> "$OUT" 2>&1 &&
		grep -q '^server: bind: Permission denied$' "$OUT" &&
		grep -q 'unprivileged_channel_start' "$OUT"
	result $? "unprivileged_gets_hint"
else
	ktap_test_skip "unprivileged_gets_hint (no setpriv)"
fi

ktap_finished
