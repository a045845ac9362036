# The second part of a guest's start, on the host's files: mounts what programs expect, and goes on with the third.
# `settings` is written by the host beside this script.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
guest=/run/guest

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
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
# What the host keeps for itself in places that tests and the first process use; later boots have their own.
if [ ! -e /var/lib/guest-booted ]; then
    rm -rf /var/lib/quell
    if [ "$INIT" = systemd ]; then rm -rf /etc/systemd/system/*; fi
fi
: >/var/lib/guest-booted
if [ "$INIT" != systemd ]; then exec sh "$guest/stage3"; fi
# None of what the host starts: only targets that other units ask for, which are reached at once, and the work.
units=/run/guest-units
mkdir -p $units /run/guest-generators /etc/systemd/system
for target in sysinit basic multi-user timers shutdown; do
    printf '[Unit]\nDefaultDependencies=no\n' >$units/$target.target
done
cat >$units/guest.service <<'end'
[Unit]
DefaultDependencies=no
Requires=basic.target multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh /run/guest/stage3
StandardOutput=tty
StandardError=tty
end
mount --bind $units /usr/lib/systemd/system
export SYSTEMD_GENERATOR_PATH=/run/guest-generators SYSTEMD_LOG_TARGET=kmsg
exec /lib/systemd/systemd --unit=guest.service --show-status=false
