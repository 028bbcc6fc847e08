# The chart of make bench: gnuplot -c chart.gp DATA SVG. report.py writes DATA,
# a block for each engine and type. A bar begins at 1, which is 0 on this axis.
set terminal svg size 1500,2400 font "sans,13" background "white"
set output ARG2
set datafile missing "-"

set style data histograms
set style histogram clustered gap 1
set style fill solid noborder
set boxwidth 0.95 relative
set xtics scale 0 font ",11"
set ytics ("1/8" -3, "1/4" -2, "1/2" -1, "1" 0, "2" 1, "4" 2, "8" 3)
set yrange [-2.2:4.2]
set ylabel "times AF\\_UNIX"
set grid ytics lc rgb "#cccccc"
set xzeroaxis lw 2 lc rgb "black"
set lmargin 10
set rmargin 2
set key top right horizontal autotitle columnheader

array titles[6] = ["STREAM: time (User-Mode Linux)", "SEQPACKET: time", "DGRAM: time", \
	"STREAM: instructions (QEMU)", "SEQPACKET: instructions", "DGRAM: instructions"]
# The columns of the families that have the type, and a color for each column.
array columns[3] = ["2 3 5 6", "2 5 6", "2 4 6"]
array colors[6] = ["", "#c00000", "#4e79a7", "#f28e2b", "#59a14f", "#9c9c9c"]
set multiplot layout 6,1 title \
	"AF\\_MYPROTO and other families: what each takes, as a multiple of AF\\_UNIX. Lower is better." font ",18"
do for [n=0:5] {
	set title titles[n + 1]
	families = columns[n % 3 + 1]
	number = words(families)
	plot for [f in families] ARG1 index n using int(f):xtic(1) lc rgb colors[int(f)], \
		"" index n using ($0 - (number / 2. + 0.2) / (number + 1)):7:(1.4 / (number + 1)):(0) \
		with vectors nohead lw 4 lc rgb "black" title "bar of AF\\_MYPROTO"
}
