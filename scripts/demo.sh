#!/usr/bin/env bash
# make demo: from nothing to two programs that talk over AF_MYPROTO.
. "$(dirname "$0")/lib.sh"
here=$top/scripts
"$here/tree.sh"
"$here/build-uml.sh" demo
"$here/build-selftests.sh"
say "booting User-Mode Linux"
LIMIT=120 "$here/uml.sh" demo demo bash "$here/demo-guest.sh" "$build/kselftest/net/myproto/myproto_hello" ||
	die "the demo failed; the guest's kernel log is build/logs/demo.dmesg"
say "the demo passed: $((SECONDS / 60)) min $((SECONDS % 60)) s"
