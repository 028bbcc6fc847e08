#!/bin/sh
# guest.sh PROGRAM OUTPUT OPTIONS...: inside the guest, run PROGRAM (that is
# myproto_bench) once with each of the OPTIONS and append its values to OUTPUT.
program=$1 output=$2
shift 2
for options; do
	# shellcheck disable=SC2086 # a list
	"$program" $options -o /tmp/values || exit
	cat /tmp/values >>"$output" || exit
done
