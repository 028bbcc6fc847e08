#!/usr/bin/env python3
"""apps-report.py RUN VMLINUX: while a guest of qemu.sh runs apps-guest.sh, have QEMU
log every instruction for some seconds each time that it asks for that. Then print
how many of the kernel there are for one request.

RUN has QEMU's monitor and the guest's second serial port as sockets. The log, which
is far too long for a file, goes through a pipe."""
import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import qemu

run, vmlinux = sys.argv[1:]
# Both clients call it once for a request, both servers never.
mark = "__x64_sys_sendto"
names = subprocess.run(["nm", vmlinux], check=True, capture_output=True, text=True).stdout
addresses = {fields[2]: fields[0] for fields in map(str.split, names.splitlines()) if len(fields) == 3}
# From the first call to the last one. Kernel addresses begin with f.
count = """$2 ~ /^f/ { n++ }
$2 == mark { last = n; if (!calls++) first = n }
END { print last - first, calls - 1 }"""

monitor = qemu.Monitor(run)
port = qemu.connect(run, "port")
os.mkfifo(f"{run}/log")
found = {}
for line in port.makefile("r", newline="\n"):
    name, family = line.split()
    # The pipe ends when QEMU takes another log.
    counter = subprocess.Popen(["awk", "-F/", "-v", f"mark={addresses[mark]}", count, f"{run}/log"],
                               stdout=subprocess.PIPE, text=True)
    monitor.tell("singlestep on", f"logfile {run}/log", "log exec,nochain")
    time.sleep(10)
    monitor.tell("log none", "logfile /dev/null", "singlestep off")
    instructions, requests = map(int, counter.communicate()[0].split())
    if requests < 1:
        sys.exit(f"error: {name} over {family} makes no requests")
    found.setdefault(name, {})[family] = instructions / requests
    print(f"{name}, {family}: {requests} requests, {instructions / requests:.0f} instructions each", file=sys.stderr)
    port.sendall(b"\n")

families = ["AF_UNIX", "AF_MYPROTO", "TCP"]
print(f'{"instructions of the kernel for one request":<44}' + "".join(f"{family:>12}" for family in families) +
      f'{"of AF_UNIX":>12}{"of TCP":>8}')
for name, each in found.items():
    print(f"{name:<44}" + "".join(f"{each[family]:12.0f}" for family in families) +
          f'{each["AF_MYPROTO"] / each["AF_UNIX"]:12.3f}{each["AF_MYPROTO"] / each["TCP"]:8.3f}')
