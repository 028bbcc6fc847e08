#!/usr/bin/env bash
# make demo: from nothing to two programs that talk over AF_MYPROTO.
. "$(dirname "$0")/lib/common.sh"
"$top/scripts/tree.sh"
"$lib/build-uml.sh" demo
install_headers
build_program "$top/examples/c/hello.c"
say "booting User-Mode Linux"
LIMIT=120 "$lib/uml.sh" demo demo bash "$guest/demo.sh" "$build/programs/hello" ||
	die "the demo failed; the guest's kernel log is build/logs/demo.dmesg"
say "the demo passed: $((SECONDS / 60)) min $((SECONDS % 60)) s"
