#!/usr/bin/env python3
"""mutation.py LIST NAME [FOLDER]: print the programs that are to find the fault
NAME of LIST, a line each. With FOLDER, put the fault into the sources there. A
fault is
    # NAME: what is wrong
    FILE PROGRAM...
    -line as it is
    +line as it becomes
and an empty line. The lines as they are occur once in FILE."""
import sys

path, wanted, *folder = sys.argv[1:]
with open(path, encoding="ascii") as file:
    blocks = [block.split("\n") for block in file.read().strip().split("\n\n")]
for head, where, *lines in blocks:
    name = head[2:].split(":")[0]
    source, *finders = where.split()
    if name != wanted:
        continue
    print(*finders, sep="\n")
    if not folder:
        break
    old, new = ("".join(line[1:] + "\n" for line in lines if line[0] == sign) for sign in "-+")
    source = f"{folder[0]}/{source}"
    with open(source, encoding="utf-8") as file:
        text = "\n" + file.read()
    if text.count("\n" + old) != 1:
        sys.exit(f"{name}: {source} has these lines {text.count(old)} times:\n{old}")
    with open(source, "w", encoding="utf-8") as file:
        file.write(text.replace("\n" + old, "\n" + new)[1:])
    break
else:
    sys.exit(f"{path} has no {wanted}")
