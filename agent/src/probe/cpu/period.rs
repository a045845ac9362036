//! The time that a period of the cycle counter stands for.

use hashbrown::HashMap;

use crate::units::{CpuId, Nanos};

/// The time of a period by CPU, as far as it was measured: the frequency of a CPU changes.
#[derive(Debug)]
pub(super) struct PeriodTime {
    expected: Nanos,
    measured: HashMap<CpuId, f64>,
}

impl PeriodTime {
    /// Before any measurement a period is expected to take this long.
    pub(super) fn new(expected: Nanos) -> Self {
        Self { expected, measured: HashMap::new() }
    }

    /// A thread ran from one interrupt to the next, for this time.
    pub(super) fn measure(&mut self, cpu: CpuId, time: Nanos) {
        let mean = self.measured.entry(cpu).or_insert(time.0 as f64);
        // Over about eight periods.
        *mean += (time.0 as f64 - *mean) / 8.0;
    }

    /// The time of a period.
    pub(super) fn get(&self, cpu: CpuId) -> Nanos {
        self.measured.get(&cpu).map_or(self.expected, |mean| Nanos(*mean as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_takes_as_long_as_the_last_ones_did_on_its_cpu() {
        let mut time = PeriodTime::new(Nanos(10));
        assert_eq!(time.get(CpuId(1)), Nanos(10));
        time.measure(CpuId(1), Nanos(4_000));
        assert_eq!((time.get(CpuId(1)), time.get(CpuId(0))), (Nanos(4_000), Nanos(10)));
        (0..50).for_each(|_| time.measure(CpuId(1), Nanos(2_000)));
        assert!(time.get(CpuId(1)).0.abs_diff(2_000) < 10, "half the frequency, later twice");
    }
}
