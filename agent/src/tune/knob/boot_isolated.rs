//! The CPUs that the command line of the running kernel isolates.

use crate::host::Host;
use crate::units::CpuSet;

/// The CPUs of `isolcpus=` with the flag `domain` or without flags (drivers/base/cpu.c, 4.2); the CPUs of cpuset partitions are
/// not included.
pub(super) const ISOLATED: &str = "/sys/devices/system/cpu/isolated";
/// The CPUs of `nohz_full=`. The file exists with CONFIG_NO_HZ_FULL, and reads `(null)` without CPUs (print_cpus_nohz_full,
/// drivers/base/cpu.c).
pub(super) const NOHZ_FULL: &str = "/sys/devices/system/cpu/nohz_full";

/// The CPUs in one of these files; empty if the file cannot be read or parsed.
pub(super) fn cpus_in_file(host: &Host, file: &str) -> CpuSet {
    host.root.read(file).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The CPUs of the host that `isolcpus=` or `nohz_full=` isolate.
pub(super) fn boot_isolated_cpus(host: &Host) -> CpuSet {
    let all = cpus_in_file(host, ISOLATED).union(&cpus_in_file(host, NOHZ_FULL));
    all.iter().filter(|cpu| host.topology.cpus.contains_key(cpu)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;

    #[test]
    fn both_lists_count_and_absent_cpus_do_not() {
        let (_folder, host) = fake::host(&[(ISOLATED, "2,6-7\n"), (NOHZ_FULL, "3\n")]);
        assert_eq!(boot_isolated_cpus(&host).to_string(), "2-3");
        let (_folder, host) = fake::host(&[(ISOLATED, "\n"), (NOHZ_FULL, "  (null)\n")]);
        assert!(boot_isolated_cpus(&host).is_empty());
    }
}
