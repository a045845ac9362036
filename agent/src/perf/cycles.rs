//! The period of the cycle counter.
//!
//! A fixed number of cycles, not a frequency: for an event with a frequency the kernel keeps the tick running on every CPU of the host,
//! also on those of `nohz_full` (`account_freq_event_nohz`, kernel/events/core.c, commit d027d45d8a17).

use std::fs;

use crate::units::{CpuId, Hertz};

/// The cycles between two samples, so that a CPU at its maximum frequency takes `frequency` samples per second.
pub(super) fn period(cpu: CpuId, frequency: Hertz) -> u64 {
    per_second(cpu) / u64::from(frequency.0.max(1))
}

/// The maximum number of cycles per second. Without cpufreq, such as in a virtual machine, the frequency that /proc/cpuinfo shows.
fn per_second(cpu: CpuId) -> u64 {
    /// If the kernel does not tell. The time of a sample does not depend on it.
    const USUAL: u64 = 3_000_000_000;
    let directory = format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq");
    let kilohertz = fs::read_to_string(format!("{directory}/cpuinfo_max_freq"))
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    let shown = || fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| shown(&text));
    kilohertz
        .map(|kilohertz| kilohertz.saturating_mul(1_000))
        .or_else(shown)
        .filter(|hertz| *hertz > 0)
        .unwrap_or(USUAL)
}

/// The first `cpu MHz` of `/proc/cpuinfo`, in Hz.
fn shown(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu MHz"))?;
    let megahertz: f64 = line.split_once(':')?.1.trim().parse().ok()?;
    Some((megahertz * 1e6) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shown_frequency_is_in_megahertz() {
        assert_eq!(shown("processor : 0\ncpu MHz\t\t: 2445.404\ncpu MHz : 1.0\n"), Some(2_445_404_000));
        assert_eq!(shown("cpu MHz : fast\n"), None);
    }
}
