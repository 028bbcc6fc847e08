#!/usr/bin/env bash
# make bench APPS=1: the instructions of the kernel, server and client together, for
# a request of Redis and of nginx over AF_UNIX, AF_MYPROTO and TCP, in QEMU. The
# programs are not changed (examples/preload).
. "$(dirname "$0")/../scripts/lib/common.sh"
need gnuplot-nox
"$top/scripts/tree.sh"
"$lib/build-qemu.sh" bench
"$lib/build-preload.sh"
mkdir -p "$build/bench"
run=$build/run/apps
root=$build/examples/root

programs=("$root/usr/bin/redis-check-rdb" "$root/usr/bin/redis-benchmark" "$root/usr/sbin/nginx" /usr/bin/curl
	"$build/examples/myproto-preload.so")
libraries=$(LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu ldd "${programs[@]}" |
	awk '/=> \// { print $3 } /^\t\/lib64/ { print $1 }' | sort -u | tr '\n' ' ')
set -m
FILES="${programs[*]} $libraries $build/examples/myproto-run $top/bench/apps-guest.sh" LIMIT=900 \
	MONITOR=$run/monitor PORT=unix:$run/port,server=on,wait=off \
	"$lib/qemu.sh" bench apps apps-guest.sh >"$logs/apps.log" &
groups=($!)
set +m
"$top/bench/apps-report.py" "$run" "$build/qemu-bench/vmlinux" | tee "$build/bench/apps.txt" || {
	cat "$logs/apps.log" >&2
	die "the benchmark failed in QEMU; the guest's kernel log is build/logs/apps.dmesg"
}
wait "${groups[0]}"
gnuplot 2>"$logs/gnuplot.log" <<-END || die "gnuplot cannot draw the chart; see $logs/gnuplot.log"
	set terminal svg noenhanced size 900,320 font "sans,13" background "white"
	set output "$build/bench-apps.svg"
	set style data histograms
	set style fill solid noborder
	set yrange [0:*]
	set ylabel "instructions of the kernel"
	set grid ytics lc rgb "#cccccc"
	set key top left
	data = "$build/bench/apps.txt"
	plot data every ::1 using 3:xtic(1) lc rgb "#c00000" title "AF_MYPROTO", \
		"" every ::1 using 2 lc rgb "#9c9c9c" title "AF_UNIX", \
		"" every ::1 using 4 lc rgb "#4e79a7" title "TCP"
END
echo "build/bench/apps.txt, build/bench-apps.svg"
