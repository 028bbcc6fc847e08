#!/bin/bash
# programs.sh FOLDER PROGRAM...: inside the guest, run test programs of kselftest
# until one fails; print what it says then.
cd "$1" || exit
shift
for program; do
	timeout 300 "./$program" >/tmp/said 2>&1 && continue
	echo "$program: $(grep -m 1 -E '^not ok' /tmp/said || tail -n 1 /tmp/said)"
	exit 1
done
