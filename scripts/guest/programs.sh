#!/bin/bash
# programs.sh FOLDER PROGRAM...: inside the guest, run test programs of kselftest
# until a test fails, and print what it says. What runs then ends with the guest.
cd "$1" || exit
shift
for program; do
	said=$(grep -m 1 '^not ok' < <(timeout 300 "./$program" 2>&1 || echo "not ok, it returns $?")) || continue
	echo "$program: $said"
	exit 1
done
