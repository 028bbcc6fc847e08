#!/usr/bin/env python3
"""coverage-report.py PERCENT: read gcov's JSON from standard input, print how much
of net/myproto was executed, and every line that was not. Fails below PERCENT.

A line of a header counts as executed when it was in any of the files that
include it. trace.h is shown but not counted: each of its lines is a macro that
stands for some functions of the kernel's, most of them for perf and BPF."""
import json
import re
import sys

counts = {}     # of a file, of a line: how often
sources = {}
for text in sys.stdin:
    data = json.loads(text)
    for file in data["files"]:
        name = re.search(r"/net/myproto/(.*)", file["file"])
        if not name:
            continue
        lines = counts.setdefault(name[1], {})
        sources[name[1]] = f'{data["current_working_directory"]}/{file["file"]}' \
            if file["file"][0] != "/" else file["file"]
        for line in file["lines"]:
            number = line["line_number"]
            lines[number] = lines.get(number, 0) + line["count"]


def show(name, lines):
    covered = sum(count > 0 for count in lines)
    percent = 100 * covered / max(1, len(lines))
    print(f"{name:24}{len(lines):6}{covered:9}{percent:9.1f} %")
    return percent


print(f'{"file":24}{"lines":>6}{"covered":>9}{"percent":>11}')
for name in sorted(counts):
    show(name, counts[name].values())
counted = sorted(counts.keys() - {"trace.h"})
percent = show("all but trace.h", [c for n in counted for c in counts[n].values()])

print("\nnot executed:")
for name in counted:
    with open(sources[name]) as file:
        source = file.read().split("\n")
    for number, count in sorted(counts[name].items()):
        if not count:
            print(f"net/myproto/{name}:{number}: {source[number - 1].strip()}")
sys.exit(percent < float(sys.argv[1]))
