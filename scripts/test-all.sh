#!/bin/sh
# make test-all: make test, and what takes longer or QEMU.
exec env EACH_PATCH=1 "$(dirname "$0")/test.sh" parts coverage kcsan compat
