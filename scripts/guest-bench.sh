#!/bin/sh
# guest-bench.sh PROGRAM OUTPUT OPTIONS...: inside the guest, run PROGRAM (that is
# myproto_bench) once with each of the OPTIONS and append its values to OUTPUT.
program=$1 output=$2
shift 2
if [ -n "${MYPROTO_RUN:-}" ]; then
	# User-Mode Linux, where OUTPUT is a file of the host.
	mkdir /tmp/run && mount -t hostfs -o "$MYPROTO_RUN" hostfs /tmp/run || exit
	output=/tmp/run/$output
fi
for options; do
	# shellcheck disable=SC2086 # a list
	"$program" $options -o /tmp/values || exit
	cat /tmp/values >>"$output" || exit
done
