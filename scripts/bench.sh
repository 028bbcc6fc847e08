#!/usr/bin/env bash
# make bench: AF_MYPROTO beside the other families: ns in a kernel that runs at the
# speed of this machine (bench/native.sh), instructions in QEMU, whether it meets
# the bars (bench/bars), and a chart. BENCH=full has more rounds, APPS=1 measures
# programs instead (bench/apps.sh).
. "$(dirname "$0")/lib/common.sh"
[ "${APPS:-0}" != 1 ] || exec "$top/bench/apps.sh"
out=$build/bench
form=${BENCH:-short}
# Instructions repeat, a few messages tell as much as many.
case $form in
short)
	qemu=("-s 1/50 -r 3 -b oneway,burst,bulk,pingpong,connect,bind,pair,cycle"
		"-s 1 -r 1 -b memory"
		"-s 1/10 -r 1 -b lookup -f myproto,unix")
	native=(rounds=41 limit=3) boots=5
	limit=900 ;;
full)
	qemu=("-s 1/10 -r 5 -b oneway,burst,bulk,pingpong,connect,bind,pair,cycle,fanin,slow"
		"-s 1 -r 3 -b memory"
		"-s 1/10 -r 3 -b lookup")
	native=(rounds=401 limit=40) boots=5
	limit=36000 ;;
*) die "BENCH=$form: there are BENCH=short and BENCH=full" ;;
esac
need gnuplot-nox
"$top/scripts/tree.sh"
"$lib/build-qemu.sh" bench
install_headers
build_program "$top/bench/myproto_bench.c"
mkdir -p "$out"
rm -f "$out"/*

say "the time, in User-Mode Linux"
BOOTS=$boots "$top/bench/native.sh" "${native[@]}"
NAME=scale MEM=5G "$top/bench/native.sh" scale=1000000 families=3 >"$out/scale.txt"
say "instructions, in QEMU"
LIMIT=$limit FILES="$build/programs/myproto_bench $top/bench/guest.sh" "$lib/qemu.sh" bench bench-qemu \
	guest.sh myproto_bench /dev/ttyS2 "${qemu[@]/#/-u insn }" ||
	die "the benchmark failed in QEMU; the guest's kernel log is build/logs/bench-qemu.dmesg"
cp "$build/run/bench-qemu/port" "$out/qemu.tsv"

status=0
echo
"$top/bench/report.py" "$top/bench/bars" "$out" | tee "$out/report.txt" || status=1
cat "$out/scale.txt"
awk -F '\t' '$3 == "myproto" { printf "%s: %.0f ns, %.2f of AF_UNIX\n", $1, $4 / 100, $5 / 1000 }' "$out/scale.tsv"
gnuplot -c "$top/bench/chart.gp" "$out/chart.dat" "$build/bench.svg" >"$logs/gnuplot.log" 2>&1 ||
	die "gnuplot cannot draw the chart; see $logs/gnuplot.log"
echo "build/bench/report.txt, native.tsv, qemu.tsv; build/bench.svg: $((SECONDS / 60)) min $((SECONDS % 60)) s"
exit $status
