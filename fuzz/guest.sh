#!/bin/bash
# guest.sh PROGRAM SECONDS SEED: inside the guest, run PROGRAM (that is
# myproto_fuzz) for SECONDS, in rounds of at most five minutes: the first with
# SEED, each other with the next number. In every third one an allocation in a
# hundred fails. Prints TAP as kselftest's runner does.
program=$1 left=$2 seed=$3
round=300

# Only for tasks that ask for it, as "myproto_fuzz --fail" does.
for fault in /sys/kernel/debug/{failslab,fail_page_alloc}; do
	for setting in probability=1 times=-1 task-filter=Y ignore-gfp-wait=N verbose=0; do
		echo "${setting#*=}" >"$fault/${setting%=*}" || exit
	done
done

rounds=$(((left + round - 1) / round))
printf 'TAP version 13\n1..%d\n' $rounds
status=0
for ((i = 1; i <= rounds; i++, seed++, left -= round)); do
	options=(--verbose --seed "$seed" --time $((left < round ? left : round)))
	[ $((i % 3)) != 0 ] || options+=(--fail)
	"$program" "${options[@]}" | sed -u 's/^/# /'
	verdict=ok
	[ "${PIPESTATUS[0]}" = 0 ] || verdict="not ok" status=1
	echo "$verdict $i myproto_fuzz ${options[*]}"
done
exit $status
