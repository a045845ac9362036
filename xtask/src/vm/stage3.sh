# The third part of a guest's start, by its first process or by what that is: does the job and ends the guest.
# `job` is written by the host beside this script.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=linux LANG=C.UTF-8
export TMPDIR=/run/scratch
guest=/run/guest

end() {
    sync
    # QEMU ends at a reboot (-no-reboot).
    echo b >/proc/sysrq-trigger
}

trap end EXIT
: >"$guest/started"
. "$guest/job"
