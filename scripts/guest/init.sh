#!/bin/bash
# Process 1 of a guest whose root is the host's, read-only. Runs the command that
# uml.sh or qemu.sh left for it and switches off.
mark="@myproto@"
export PATH=/run/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /dev/host
mount --bind / /dev/host
mount -t devpts devpts /dev/pts
for folder in /dev/shm /tmp /var/tmp /run; do mount -t tmpfs tmpfs "$folder"; done
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
for fd in fd stdin stdout stderr; do
	case $fd in fd) ln -s /proc/self/fd /dev/fd ;; stdin) ln -s fd/0 /dev/stdin ;;
	stdout) ln -s fd/1 /dev/stdout ;; stderr) ln -s fd/2 /dev/stderr ;; esac
done
# A clone below /tmp is now behind the tmpfs: bring it back.
here=${0%/scripts/guest/*}
if [ ! -e "$0" ]; then
	mkdir -p "$here"
	mount --bind "/dev/host$here" "$here"
fi

# Modules are not in the host's /lib/modules: for the kernel and for programs.
mkdir /run/bin
printf '#!/bin/sh\nexec /sbin/modprobe -d %s "$@"\n' "$MYPROTO_MODULES" >/run/bin/modprobe
chmod +x /run/bin/modprobe
[ ! -e /proc/sys/kernel/modprobe ] || echo /run/bin/modprobe >/proc/sys/kernel/modprobe
ip link set lo up

# The console is a pipe to the host: nothing in between may rewrite lines.
exec </dev/null >"$MYPROTO_CONSOLE" 2>&1
stty raw -echo <"$MYPROTO_CONSOLE"
echo "$mark begin"
while sleep 5; do echo "$mark alive"; done &
cd /tmp || exit
bash "$MYPROTO_RUN/command"
echo "$mark exit $?"
# Let the console drain, then call reboot(): init need not be installed here.
sleep 0.2
exec perl -e "syscall(169, 0xfee1dead, 672274793, $MYPROTO_END)"
