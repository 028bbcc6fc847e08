#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Run myproto_hello and look at what it prints.

# In a network namespace of its own nobody else has the channel.
if [ -z "$MYPROTO_NETNS" ] && unshare --net true 2> /dev/null; then
	MYPROTO_NETNS=1 exec unshare --net "$0"
fi

DIR="$(dirname "$(readlink -f "$0")")"
HELLO="$DIR/myproto_hello"
LONG="$(printf '%0999d' 0)"

# shellcheck source=../../kselftest/ktap_helpers.sh
. "$DIR"/../../kselftest/ktap_helpers.sh

# Run the test $1: the command "$HELLO" "$2" prints each further argument.
hello()
{
	name="$1"
	out="$("$HELLO" "$2" 2>&1)"
	ok=$?
	shift 2
	for line; do
		echo "$out" | grep -qxF "$line" || ok=1
	done
	result "$ok" "$name"
}

result()
{
	if [ "$1" -eq 0 ]; then
		ktap_test_pass "$2"
	else
		echo "$out" | sed 's/^/# /'
		ktap_test_fail "$2"
	fi
}

skip_all()
{
	ktap_skip_all "$1"
	exit "$KSFT_SKIP"
}

ktap_print_header

[ "$(id -u)" -eq 0 ] || skip_all "channel 123 needs root"
[ -n "$MYPROTO_NETNS" ] || skip_all "no new network namespace"
"$HELLO" 2>&1 | grep -q "not supported by protocol" &&
	skip_all "no AF_MYPROTO here: CONFIG_MYPROTO not set?"

ktap_set_plan 5

hello message_and_answer "Hello, world" \
	'server: bind to channel 123' \
	'client: connect to channel 123' \
	'client: write "Hello, world"' \
	'server: read "Hello, world"' \
	'client: read "You wrote "Hello, world""'
hello empty_message "" 'server: read ""' 'client: read "You wrote """'
hello long_message "$LONG" "server: read \"$LONG\""

out="$("$HELLO" one two 2>&1)"
[ $? -eq 1 ] && echo "$out" | grep -q '^usage:'
result $? usage

if command -v setpriv > /dev/null; then
	out="$(setpriv --reuid 65534 --clear-groups "$HELLO" 2>&1)"
	[ $? -eq 1 ] &&
		echo "$out" | grep -q '^server: bind: Permission denied$' &&
		echo "$out" | grep -q 'unprivileged_channel_start'
	result $? unprivileged_gets_hint
else
	ktap_test_skip "unprivileged_gets_hint (no setpriv)"
fi

ktap_finished
