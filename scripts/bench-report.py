#!/usr/bin/env python3
"""bench-report.py BARS FOLDER: compare what myproto_bench wrote to FOLDER/uml.tsv and
FOLDER/qemu.tsv with the bars, and write FOLDER/chart.dat, which bench.gp draws.
Fails when a bar is missed, or when what it is about was not measured."""
import csv
import math
import sys

bars, folder = sys.argv[1:]
FAMILIES = "myproto", "tcp", "udp", "vsock", "tipc"     # as in bench.gp
METRICS = "time", "median", "bound", "connected", "used"


def read(engine):
    """The values by benchmark, type, size, metric and family, in this order."""
    values = {}
    with open(f"{folder}/{engine}.tsv", encoding="ascii") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            # Each run of the program has a header.
            if row["bench"] != "bench":
                key = row["bench"], row["type"], row["size"], row["metric"], row["family"]
                values[key] = float(row["value"])
    return values


measured = {engine: read(engine) for engine in ("qemu", "uml")}
limits = {}     # of a key of "measured": the value that the chart marks
faults = []

print(f'{"goal":38}{"bytes":>8} {"engine":7}{"compared with":14}{"theirs":>9}{"myproto":>9}{"ratio":>7}{"bar":>6}')
with open(bars, encoding="ascii") as file:
    lines = [line for line in file if line.strip() and line[0] != "#"]
for line in lines:
    goal, engine, bench, kind, sizes, metric, against, bound = (field.strip() for field in line.split("|"))
    family, other = (against.split() + [None])[:2]
    for size in sizes.split():
        ours = measured[engine].get((bench, kind, size, metric, "myproto"))
        theirs = measured[engine].get((bench, kind, other or size, metric, family))
        text = f'{goal:38}{size if size != "0" else "":>8} {engine:7}{against:14}'
        if ours is None or theirs is None:
            print(f'{text}{"":25}{bound:>6}  not measured')
            faults.append(f"{goal} ({engine} {bench} {kind} {size}) was not measured")
            continue
        ratio = ours / theirs
        met = ratio <= float(bound)
        print(f'{text}{theirs:9.0f}{ours:9.0f}{ratio:7.3f}{bound:>6}  {"met" if met else "MISSED"}')
        if not met:
            faults.append(f"{goal} ({engine} {bench} {kind} {size}) takes {ratio:.3f}, the bar is {bound}")
        if not other:
            limits[engine, bench, kind, size, metric] = float(bound)

# For the chart: a block for each engine and type; ratios to AF_UNIX as powers of
# two, so that a bar begins at 1.
with open(f"{folder}/chart.dat", "w", encoding="ascii") as file:
    for engine, values in measured.items():
        for kind in "stream", "seqpacket", "dgram":
            print("what", *FAMILIES, "bar", file=file)
            for bench, its_kind, size, metric, family in values:
                if family != "unix" or its_kind != kind or metric not in METRICS:
                    continue
                label = bench if metric in ("time", "median") else metric
                if size != "0":
                    label += f"\\n{size}"
                unix = values[bench, kind, size, metric, "unix"]
                ratios = [values.get((bench, kind, size, metric, family), 0) / unix if unix > 0 else 0
                          for family in FAMILIES]
                ratios.append(limits.get((engine, bench, kind, size, metric), 0))
                print(f'"{label}"', *(f"{math.log2(r):.3f}" if r > 0 else "-" for r in ratios), file=file)
            print("\n", file=file)

print()
for fault in faults:
    print(f"error: {fault}", file=sys.stderr)
sys.exit(bool(faults))
