#!/usr/bin/env bash
# build-qemu.sh bench: build/qemu-bench, an x86_64 kernel of build/linux for
# qemu.sh. Nothing in it is a module.
. "$(dirname "$0")/lib.sh"
name=$1

need_kernel_build
space 2
lock "qemu-$name"
configure "$build/qemu-$name" x86_64 "$top/scripts/kernel.config" "$top/scripts/qemu.config" "$top/scripts/$name.config"
build_kernel "qemu-$name" ARCH=x86_64 -s vmlinux
