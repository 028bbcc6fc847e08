#!/usr/bin/env bash
# build-qemu.sh bench|kcsan: build/qemu-bench and so on, an x86_64 kernel of
# build/linux for qemu.sh. Nothing in it is a module.
. "$(dirname "$0")/common.sh"
name=$1
fragments=("$config"/{kernel,programs,qemu,"$name"}.config)
[ "$name" = bench ] || fragments+=("$config/selftest.config")

need_kernel_build
space 2
lock "qemu-$name"
configure "$build/qemu-$name" x86_64 "${fragments[@]}"
build_kernel "qemu-$name" ARCH=x86_64 -s vmlinux
