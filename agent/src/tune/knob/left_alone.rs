//! The CPUs that the running kernel was booted to leave alone.

use crate::host::Host;
use crate::units::CpuSet;

/// CPUs of `isolcpus=` with the flag `domain`, or without flags (drivers/base/cpu.c, 4.2). Cpuset partitions do not count.
pub(super) const ISOLATED: &str = "/sys/devices/system/cpu/isolated";
/// CPUs of `nohz_full=`, only with CONFIG_NO_HZ_FULL; `(null)` where there are none (print_cpus_nohz_full, drivers/base/cpu.c).
pub(super) const NOHZ_FULL: &str = "/sys/devices/system/cpu/nohz_full";

/// The CPUs of such a file.
pub(super) fn listed(host: &Host, file: &str) -> CpuSet {
    host.root.read(file).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Of the CPUs that the host has, those that the command line of this boot keeps free.
pub(super) fn left_alone(host: &Host) -> CpuSet {
    let all = listed(host, ISOLATED).union(&listed(host, NOHZ_FULL));
    all.iter().filter(|cpu| host.topology.cpus.contains_key(cpu)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;

    #[test]
    fn both_lists_count_and_cpus_that_are_not_there_do_not() {
        let (_folder, host) = fake::host(&[(ISOLATED, "2,6-7\n"), (NOHZ_FULL, "3\n")]);
        assert_eq!(left_alone(&host).to_string(), "2-3");
        let (_folder, host) = fake::host(&[(ISOLATED, "\n"), (NOHZ_FULL, "  (null)\n")]);
        assert!(left_alone(&host).is_empty());
    }
}
