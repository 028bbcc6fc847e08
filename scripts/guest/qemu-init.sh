#!/bin/sh
# Process 1 of the guest of qemu.sh, whose root is an initramfs with busybox and
# the programs to run. Runs /command and starts the machine anew, which ends it.
mark="@myproto@"
export PATH=/bin HOME=/tmp

/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
ifconfig lo 127.0.0.1 up

# ttyS0 is the kernel's; ttyS1 is a pipe to qemu.sh, ttyS2 is for data: nothing
# in between may rewrite lines.
stty -F /dev/ttyS1 raw -echo
stty -F /dev/ttyS2 raw -echo
exec </dev/null >/dev/ttyS1 2>&1
echo "$mark begin"
cd /tmp || exit
sh /command
echo "$mark exit $?"
reboot -f
