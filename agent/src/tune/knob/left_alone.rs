//! The CPUs that the running kernel was booted to leave alone.

use crate::host::Host;
use crate::units::CpuSet;

/// Those of `isolcpus=` with the flag `domain`, or without flags, and those of `nohz_full=`; files of drivers/base/cpu.c, of which
/// the second reads `(null)` where there are none. Cpuset partitions do not count.
const FILES: [&str; 2] = ["/sys/devices/system/cpu/isolated", "/sys/devices/system/cpu/nohz_full"];

/// Of the CPUs that the host has, those that the command line of this boot keeps free.
pub(super) fn left_alone(host: &Host) -> CpuSet {
    let lists = FILES.iter().filter_map(|file| host.root.read(file).ok()?.parse::<CpuSet>().ok());
    let all = lists.fold(CpuSet::default(), |all, cpus| all.union(&cpus));
    all.iter().filter(|cpu| host.topology.cpus.contains_key(cpu)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;

    #[test]
    fn both_lists_count_and_cpus_that_are_not_there_do_not() {
        let (_folder, host) = fake::host(&[(FILES[0], "2,6-7\n"), (FILES[1], "3\n")]);
        assert_eq!(left_alone(&host).to_string(), "2-3");
        let (_folder, host) = fake::host(&[(FILES[0], "\n"), (FILES[1], "  (null)\n")]);
        assert!(left_alone(&host).is_empty());
    }
}
