# The second part of a guest's start, on the host's files: mounts what programs expect, then does its job.
# `job` is written by the host beside this script.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=linux LANG=C.UTF-8
guest=/run/guest

end() {
    sync
    # QEMU ends at a reboot (-no-reboot).
    echo b >/proc/sysrq-trigger
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
trap end EXIT
set -e
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
# A kernel that is locked down may refuse these.
mount -t securityfs securityfs /sys/kernel/security || true
mount -t debugfs debugfs /sys/kernel/debug || true
mount -t tracefs tracefs /sys/kernel/tracing || true
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# See the first part.
chmod 1777 /run/scratch
export TMPDIR=/run/scratch
ip link set lo up
. "$guest/settings"
mkdir -p /lib/modules
mount --bind "$MODULES" /lib/modules
# The drivers of whatever else this machine has; there is no udev here.
if [ -n "$DEVICES" ]; then
    for bus in pci virtio; do
        cat /sys/bus/$bus/devices/*/modalias | xargs -r modprobe --all --quiet || true
    done
fi
for module in $LOAD; do modprobe "$module"; done
# What a boot loader has: the host starts the guest with the words of this entry, when it reboots.
entry=/boot/loader/entries/guest.conf
if [ ! -e $entry ]; then
    mkdir -p ${entry%/*}
    printf 'title guest\nlinux /vmlinuz\noptions %s\n' "$(cat /proc/cmdline)" >$entry
fi
set +e
: >"$guest/started"
. "$guest/job"
