#!/usr/bin/env bash
# make bench: AF_MYPROTO beside the other families, by instructions in QEMU and by
# the clock in User-Mode Linux; whether it meets the bars (bench.bars); a chart.
# BENCH=full has more rounds.
. "$(dirname "$0")/lib.sh"
here=$top/scripts
out=$build/bench
form=${BENCH:-short}
# Instructions repeat, a few messages tell as much as many. The clock does not, and
# on two processors least: where a process is woken is chance. So what has a bar
# there is measured on one, with more rounds; the rest is for the chart.
case $form in
short)
	qemu=("-s 1/50 -r 3 -b oneway,burst,bulk,pingpong,connect,bind,pair,cycle"
		"-s 1 -r 1 -b memory"
		"-s 1/10 -r 1 -b lookup -f myproto,unix")
	uml=("-s 1/100 -r 3 -b oneway,burst,bulk,pingpong,connect,bind,pair,cycle,fanin,slow")
	uml1=("-s 1/10 -r 21 -b bulk,pingpong -t stream -f myproto,unix")
	limit=900 ;;
full)
	qemu=("-s 1/10 -r 5 -b oneway,burst,bulk,pingpong,connect,bind,pair,cycle,fanin,slow"
		"-s 1 -r 3 -b memory"
		"-s 1/10 -r 3 -b lookup")
	uml=("-s 1/10 -r 21")
	uml1=("-s 1/4 -r 101 -b bulk,pingpong -t stream -f myproto,unix")
	limit=36000 ;;
*) die "BENCH=$form: there are BENCH=short and BENCH=full" ;;
esac
need gnuplot-nox
"$here/tree.sh"
"$here/build-qemu.sh" bench
"$here/build-uml.sh" bench
"$here/build-selftests.sh"
program=$build/kselftest/net/myproto/myproto_bench
[ -x "$program" ] || die "the series in build/linux has no myproto_bench"
rm -rf "$out"
mkdir "$out"

say "instructions, in QEMU"
LIMIT=$limit FILES="$program $here/guest-bench.sh" "$here/qemu.sh" bench bench-qemu \
	guest-bench.sh myproto_bench /dev/ttyS2 "${qemu[@]/#/-u insn }" ||
	die "the benchmark failed in QEMU; the guest's kernel log is build/logs/bench-qemu.dmesg"
cp "$build/run/bench-qemu/port" "$out/qemu.tsv"
say "the clock, in User-Mode Linux"
on_uml() { # PROCESSORS OPTIONS...
	LIMIT=$limit MEM=2G CPUS=$1 "$here/uml.sh" bench bench-uml "$here/guest-bench.sh" "$program" values "${@:2}" ||
		die "the benchmark failed in User-Mode Linux; the guest's kernel log is build/logs/bench-uml.dmesg"
	# Where both have measured something, the later counts.
	cat "$build/run/bench-uml/values" >>"$out/uml.tsv"
}
on_uml 2 "${uml[@]}"
on_uml 1 "${uml1[@]}"

status=0
echo
"$here/bench-report.py" "$here/bench.bars" "$out" | tee "$out/report.txt" || status=1
gnuplot -c "$here/bench.gp" "$out/chart.dat" "$build/bench.svg" >"$logs/gnuplot.log" 2>&1 ||
	die "gnuplot cannot draw the chart; see $logs/gnuplot.log"
echo "build/bench/report.txt, qemu.tsv, uml.tsv; build/bench.svg: $((SECONDS / 60)) min $((SECONDS % 60)) s"
exit $status
