#!/bin/busybox sh
# The first process of a guest: it puts a layer that can be written to above the host's files, and goes on there.
# A failure ends it, and with it the guest (panic=-1): the reason stands on the console.
b=/bin/busybox
set -e
$b echo 'guest: up'
while read -r module; do $b insmod "/modules/$module"; done </modules/order
nine='trans=virtio,version=9p2000.L,msize=262144'
$b mount -t 9p -o "$nine,cache=loose,ro" root /lower
# The layer is on a disk: what is written there is still there after a reboot.
$b mount -t devtmpfs dev /dev
$b mount -t ext4 /dev/vda /upper
$b mkdir -p /upper/files /upper/work /upper/scratch
$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /root
$b mount -t tmpfs run /root/run
$b mkdir /root/run/guest /root/run/scratch
# A directory that is a disk's own, not a layer of one: threads that wait for it are in I/O wait.
# Not on /tmp, where the host may have what guests run.
$b mount --bind /upper/scratch /root/run/scratch
# What the host gave for this boot, and where results go.
$b mount -t 9p -o "$nine" job /root/run/guest
exec $b switch_root /root /bin/sh /run/guest/stage2
