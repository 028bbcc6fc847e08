#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# AF_MYPROTO as a module: socket() loads it, sockets keep it, and it goes and
# comes back without a trace. Where it is in use by others this skips. In the
# end all is as it was.

# shellcheck disable=SC2317,SC2329 # the tests are called through run()

DIR="$(dirname "$(readlink -f "$0")")"
HOLD="$DIR/myproto_hold"
LOAD="$DIR/myproto_load"
FAILSLAB=/sys/kernel/debug/failslab
TRACING=/sys/kernel/tracing
INSTANCE="$TRACING/instances/myproto_module.$$"
MODPROBE_PATH=/proc/sys/kernel/modprobe

# shellcheck source=../../kselftest/ktap_helpers.sh
. "$DIR"/../../kselftest/ktap_helpers.sh

HELPER="$(cat "$MODPROBE_PATH" 2> /dev/null)"
FAILSLAB_KNOBS=
WAS_LOADED=

# The temporary changes that there may be now
restore()
{
	restore_autoload
	# shellcheck disable=SC2086 # two words
	[ -z "$FAILSLAB_KNOBS" ] || set_failslab $FAILSLAB_KNOBS
	[ ! -d "$INSTANCE" ] || rmdir "$INSTANCE"
}

cleanup()
{
	restore
	if [ -n "$WAS_LOADED" ]; then
		modprobe -q myproto
	else
		unload
	fi
}

# One process with an open socket; it is gone when release_socket returns.
hold_socket()
{
	local line

	coproc HOLDER { exec "$HOLD"; }
	read -r line <&"${HOLDER[0]}" && [ "$line" = open ]
}

release_socket()
{
	local pid=$HOLDER_PID stdin=${HOLDER[1]}

	exec {stdin}>&-
	wait "$pid"
}

open_socket()
{
	"$HOLD" < /dev/null > /dev/null
}

disable_autoload()
{
	echo /bin/false > "$MODPROBE_PATH"
}

restore_autoload()
{
	[ -z "$HELPER" ] || echo "$HELPER" > "$MODPROBE_PATH"
}

is_loaded()
{
	[ -e /sys/module/myproto/refcnt ]
}

is_registered()
{
	grep -q '^MYSOCK ' /proc/net/protocols
}

# Sockets are freed after a grace period: the module may be busy until then. It
# is also as long as there is myproto_diag, which a program may have loaded.
unload()
{
	local end=$((SECONDS + 10))

	rmmod myproto_diag 2> /dev/null
	while is_loaded; do
		rmmod myproto 2> /dev/null && return 0
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.1
	done
}

# Is there as a whole, counts its sockets, stays as long as there is one, and
# goes as a whole
loads_and_unloads()
{
	local before _

	for _ in {1..5}; do
		modprobe myproto && is_loaded && is_registered || return 1
		[ ! -d /proc/sys/net ] || [ -d /proc/sys/net/myproto ] ||
			return 1
		before="$(cat /sys/module/myproto/refcnt)"
		hold_socket || return 1
		[ "$(cat /sys/module/myproto/refcnt)" -gt "$before" ] &&
			! rmmod myproto 2> /dev/null &&
			is_loaded && is_registered && open_socket || return 1
		release_socket
		unload && ! is_loaded && ! is_registered &&
			[ ! -e /proc/sys/net/myproto ] || return 1
	done
}

socket_autoloads()
{
	local code

	disable_autoload
	open_socket
	code=$?
	restore_autoload
	[ "$code" -eq 2 ] && ! is_loaded &&
		open_socket && is_loaded && is_registered
}

# A network namespace that was there before the module, and one that was not
unload_with_other_netns()
{
	local pid ret=0 stdin

	coproc NETNS { exec unshare --net sh -c 'echo; exec cat'; }
	pid=$NETNS_PID
	stdin=${NETNS[1]}
	read -r <&"${NETNS[0]}" || ret=1
	modprobe myproto || ret=1
	nsenter --net="/proc/$pid/ns/net" "$HOLD" < /dev/null > /dev/null ||
		ret=1
	unshare --net "$HOLD" < /dev/null > /dev/null || ret=1
	unload || ret=1
	modprobe myproto || ret=1
	exec {stdin}>&-
	wait "$pid"
	unload || ret=1
	return "$ret"
}

set_failslab()
{
	echo "$1" > "$FAILSLAB/ignore-gfp-wait"
	echo "$2" > "$FAILSLAB/verbose"
}

# Wherever an allocation fails, all is as if the module had not been loaded.
load_without_memory()
{
	local file ret=0 word

	read -r word file _ < <(modprobe --show-depends myproto | tail -n 1)
	[ "$word" = insmod ] && mkdir "$INSTANCE" || return 1
	FAILSLAB_KNOBS="$(cd "$FAILSLAB" && cat ignore-gfp-wait verbose)"
	disable_autoload
	set_failslab N 0
	echo 1 > "$INSTANCE"/events/module/module_load/enable
	"$LOAD" "$file" "$INSTANCE"/trace || ret=1
	restore
	modprobe myproto && open_socket || ret=1
	return "$ret"
}

# Sockets are opened and closed while the module comes and goes.
socket_against_rmmod()
{
	local end=$((SECONDS + 10)) gone=0 pid ret=0 stdin

	coproc OPENER { exec "$HOLD" repeatedly; }
	pid=$OPENER_PID
	stdin=${OPENER[1]}
	while [ "$gone" -lt 4 ] && [ "$SECONDS" -lt "$end" ]; do
		if ! is_loaded; then
			sleep 0.01
		elif rmmod myproto 2> /dev/null; then
			gone=$((gone + 1))
		fi
	done
	[ "$gone" -gt 0 ] || ret=1
	exec {stdin}>&-
	wait "$pid" || ret=1
	modprobe myproto || ret=1
	open_socket || ret=1
	return "$ret"
}

run()
{
	if "$1"; then
		ktap_test_pass "$1"
	else
		ktap_test_fail "$1"
	fi
}

skip_all()
{
	ktap_skip_all "$1"
	exit "$KSFT_SKIP"
}

ktap_print_header

[ "$(id -u)" -eq 0 ] || skip_all "loading modules needs root"
[ -e /proc/modules ] || skip_all "the kernel has no modules"
command -v modprobe > /dev/null || skip_all "no modprobe"
command -v rmmod > /dev/null || skip_all "no rmmod"
if is_loaded; then
	WAS_LOADED=1
else
	is_registered && skip_all "myproto is built in"
	modprobe -q myproto || skip_all "no module myproto"
fi
trap cleanup EXIT
unload || skip_all "myproto is in use"

ktap_set_plan 5

run loads_and_unloads
if [ -n "$HELPER" ] && [ -x "${HELPER%% *}" ]; then
	run socket_autoloads
else
	ktap_test_skip "socket_autoloads (no autoload)"
fi
unload
if command -v unshare > /dev/null; then
	run unload_with_other_netns
else
	ktap_test_skip "unload_with_other_netns (no unshare)"
fi
unload
if [ -e "$FAILSLAB" ] && [ -e /proc/self/fail-nth ] &&
   [ -e "$TRACING"/events/module/module_load ]; then
	run load_without_memory
else
	ktap_test_skip "load_without_memory (no failslab or tracing)"
	modprobe -q myproto
fi
run socket_against_rmmod

ktap_finished
