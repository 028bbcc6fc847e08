#!/usr/bin/env python3
"""profile-report.py RUN VMLINUX PROGRAM COUNT: while a guest of qemu.sh runs PROGRAM
(profile-loop), have QEMU log every instruction between its two marks. Then print
how many there were in each function of the kernel, by operation.

RUN has QEMU's monitor and the guest's second serial port as sockets, and its log."""
import bisect
import subprocess
import sys

sys.dont_write_bytecode = True
import qemu

run, vmlinux, program, count = sys.argv[1:]
count = int(count)


def symbols(file):
    table = []
    for line in subprocess.run(["nm", "-n", file], check=True, capture_output=True, text=True).stdout.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[1] in "tTwW":
            table.append((int(fields[0], 16), fields[2]))
    return table


monitor = qemu.Monitor(run)
port = qemu.connect(run, "port")
for commands in ("singlestep on", "log exec,nochain"), ("log none", "singlestep off"):
    if not port.recv(1):
        sys.exit("error: the program ended before its time")
    monitor.tell(*commands)
    port.sendall(b"\n")

# A symbol at the same address as the one before is another name of it.
table = symbols(vmlinux)
starts = [address for address, name in table]
marks = {name: address for address, name in symbols(program)}
begin, end = marks["loop_begin"], marks["loop_end"]
counts, calls, inside = {}, {}, False
with open(f"{run}/log", encoding="latin-1") as log:
    for line in log:
        if not line.startswith("Trace"):
            continue
        pc = int(line.split("/", 2)[1], 16)
        if pc == begin:
            inside = True
        elif pc == end:
            inside = False
        if not inside:
            continue
        place = bisect.bisect_right(starts, pc) if pc >> 63 else 0
        name = table[place - 1][1] if place else "user"
        counts[name] = counts.get(name, 0) + 1
        if place and starts[place - 1] == pc:
            calls[name] = calls.get(name, 0) + 1
if not counts:
    sys.exit("error: QEMU's log has nothing between the marks")

print(f'{"instructions":>12}{"percent":>9}{"calls":>8}  function')
total = sum(counts.values())
for name, number in sorted(counts.items(), key=lambda item: -item[1]):
    called = f"{calls[name] / count:8.2f}" if name in calls else f'{"":8}'
    print(f"{number / count:12.2f}{100 * number / total:9.1f}{called}  {name}")
print(f"{total / count:12.2f}{100:9.1f}{'':8}  all, by operation ({count} of them)")
