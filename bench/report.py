#!/usr/bin/env python3
"""report.py BARS FOLDER: compare what was measured, FOLDER/native.tsv (medians of
its boots) and FOLDER/qemu.tsv, with the bars, and write FOLDER/chart.dat, which
chart.gp draws. Fails when a bar is missed, or what it is about was not measured."""
import collections
import csv
import math
import statistics
import sys

bars, folder = sys.argv[1:]
FAMILIES = "myproto", "tcp", "udp", "vsock", "tipc"     # as in chart.gp
METRICS = "time", "median", "bound", "connected", "used"


def rows(name):
    with open(f"{folder}/{name}.tsv", encoding="ascii") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["bench"] != "bench":     # each run of myproto_bench has a header
                yield row


qemu = {(row["bench"], row["type"], row["size"], row["metric"], row["family"]): float(row["value"])
        for row in rows("qemu")}
boots = collections.defaultdict(list)
for row in rows("native"):
    boots[row["bench"], row["size"], row["family"]].append(row)
native = {key: {name: statistics.median_low(int(row[name]) for row in found) for name in ("ns", "ratio", "q1", "q3")}
          for key, found in boots.items()}


def compare(engine, bench, kind, size, metric, against):
    """Theirs, ours, the ratio and its quartiles; or None."""
    family, other = (against.split() + [None])[:2]
    if engine == "native":
        ours, theirs = native.get((bench, size, "myproto")), native.get((bench, size, family))
        if not ours or not theirs:
            return None
        return theirs["ns"] / 100, ours["ns"] / 100, *(ours[name] / 1000 for name in ("ratio", "q1", "q3"))
    ours = qemu.get((bench, kind, size, metric, "myproto"))
    theirs = qemu.get((bench, kind, other or size, metric, family))
    if ours is None or theirs is None:
        return None
    return theirs, ours, ours / theirs, None, None


limits = {}     # what the chart marks, by engine, case, type and size
faults = []
print(f'{"":36}{"bytes":>8}{"AF_UNIX":>10}{"AF_MYPROTO":>12}{"":6}{"ratio":>7}  {"quartiles":13}'
      f'{"floor":>8}{"instructions":>13}{"bar":>6}')
with open(bars, encoding="ascii") as file:
    lines = [line for line in file if line.strip() and line[0] != "#"]
for line in lines:
    goal, engine, bench, kind, sizes, metric, against, bound, same = (field.strip() for field in line.split("|"))
    for size in sizes.split():
        found = compare(engine, bench, kind, size, metric, against)
        text = f'{goal:36}{size if size != "0" else "":>8}'
        if not found:
            print(f"{text}  not measured")
            faults.append(f"{goal} ({engine} {bench} {kind} {size}) was not measured")
            continue
        theirs, ours, ratio, low, high = found
        spread = f"{low:.3f}-{high:.3f}" if low else ""
        unit = {"native": "ns", "qemu": "" if engine == "qemu" and metric not in ("time", "median") else "instr"}[engine]
        also = ""
        if same:
            case, its_kind, its_metric = same.split()
            also = compare("qemu", case, its_kind, size, its_metric, "unix")
            also = f"{also[2]:.3f}" if also else ""
        # Two copies, and wake-ups if there are two threads: nobody can do without.
        floor = native.get((bench, size, "copy")) if engine == "native" else None
        floor = f'{floor["ratio"] / 1000:.3f}' if floor else ""
        met = ratio <= float(bound)
        print(f'{text}{theirs:10.0f}{ours:12.0f} {unit:5}{ratio:7.3f}  {spread:13}{floor:>8}{also:>13}{bound:>6}  '
              f'{"met" if met else "MISSED"}')
        if not met:
            faults.append(f"{goal} ({engine} {bench} {kind} {size}) takes {ratio:.3f}, the bar is {bound}")
        if engine == "native":
            limits[engine, bench, size] = float(bound)

# For the chart: a block for each engine and type; ratios to AF_UNIX as powers of
# two, so that a bar begins at 1.
with open(f"{folder}/chart.dat", "w", encoding="ascii") as file:
    def block(entries):
        print("what", *FAMILIES, "bar", file=file)
        for label, ratios in entries:
            print(f'"{label}"', *(f"{math.log2(r):.3f}" if r else "-" for r in ratios), file=file)
        print("\n", file=file)

    for kind in "stream", "seqpacket", "dgram":
        entries = []
        for bench, size, family in native:
            if family != "myproto" or not bench.startswith(kind):
                continue
            label = bench[len(kind) + 1:] or "1:1"
            ratios = [native[bench, size, its]["ratio"] / 1000 if (bench, size, its) in native else 0
                      for its in FAMILIES]
            entries.append((label + (f"\\n{size}" if size != "0" else ""),
                            ratios + [limits.get(("native", bench, size), 0)]))
        block(entries)
    for kind in "stream", "seqpacket", "dgram":
        entries = []
        for bench, its_kind, size, metric, family in qemu:
            if family != "unix" or its_kind != kind or metric not in METRICS:
                continue
            label = bench if metric in ("time", "median") else metric
            unix = qemu[bench, kind, size, metric, "unix"]
            ratios = [qemu.get((bench, kind, size, metric, its), 0) / unix if unix > 0 else 0 for its in FAMILIES]
            entries.append((label + (f"\\n{size}" if size != "0" else ""), ratios + [0]))
        block(entries)

print()
for fault in faults:
    print(f"error: {fault}", file=sys.stderr)
sys.exit(bool(faults))
