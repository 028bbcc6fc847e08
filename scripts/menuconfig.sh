#!/usr/bin/env bash
# make menuconfig: the configuration of the kernel "make demo" builds. AF_MYPROTO
# is under Networking support, Networking options.
. "$(dirname "$0")/lib/common.sh"
"$top/scripts/tree.sh"
need_kernel_build
need libncurses-dev pkg-config
configure "$build/uml-demo" um "$config/kernel.config" "$config/uml.config"
kernel_make "$build/uml-demo" ARCH=um -s menuconfig
