#!/usr/bin/env python3
"""mutation.py LIST NAME FOLDER: put the fault NAME of LIST into the sources in
FOLDER and print the programs that are to find it; with "-" as NAME print all
programs that LIST names. A fault is
    # NAME: what is wrong
    FILE PROGRAM...
    -line as it is
    +line as it becomes
and an empty line. The lines as they are occur once in FILE."""
import sys

path, wanted, folder = sys.argv[1:]
with open(path, encoding="ascii") as file:
    blocks = [block.split("\n") for block in file.read().strip().split("\n\n")]
programs = set()
for head, where, *lines in blocks:
    name = head[2:].split(":")[0]
    source, *finders = where.split()
    programs.update(finders)
    if name != wanted:
        continue
    old, new = ("".join(line[1:] + "\n" for line in lines if line[0] == sign) for sign in "-+")
    with open(f"{folder}/{source}", encoding="utf-8") as file:
        text = file.read()
    if ("\n" + text).count("\n" + old) != 1:
        sys.exit(f"{name}: {source} has these lines {text.count(old)} times:\n{old}")
    with open(f"{folder}/{source}", "w", encoding="utf-8") as file:
        file.write(("\n" + text).replace("\n" + old, "\n" + new)[1:])
    print(*finders)
    break
else:
    if wanted != "-":
        sys.exit(f"{path} has no {wanted}")
    print(*sorted(programs))
