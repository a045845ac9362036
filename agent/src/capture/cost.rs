//! The cost of a running capture.
//!
//! The programs measure the time of one run in 64, and of every sample. The kernel's BPF statistics would require
//! `CAP_SYS_ADMIN`, and switching them patches the kernel text on every CPU.

use nix::sys::resource::{UsageWho, getrusage};
use quell_ebpf_common::HookRuns;

use super::rate::{Spent, share};
use crate::bpf::{BpfObject, Hook, ProbeError};
use crate::units::{Bytes, CpuId, CpuSet, Nanos};

/// Measures the cost of the programs since the last interval.
pub struct CostMeter {
    cpus: CpuSet,
    /// The numbers of the running probes.
    probes: Vec<u16>,
    last: Totals,
    /// The cost of counting, averaged over about a second; `None` before the first interval.
    recent_counting: Option<f64>,
}

/// The counters at a point in time.
#[derive(Clone, Debug, Default)]
struct Totals {
    time: Nanos,
    hooks: Vec<HookRuns>,
    /// Nanoseconds of samples, and the scale, by CPU and probe.
    paces: Vec<(u64, u32, u64)>,
}

/// The cost of the programs in an interval, as shares of one CPU.
#[derive(Clone, Debug)]
pub struct Interval {
    /// The cost of counting, which runs for each event, sampled or not.
    pub counting: f64,
    /// The same, averaged over about a second.
    pub recent_counting: f64,
    /// The cost of sampling, by CPU and probe.
    pub spent: Vec<Spent>,
}

impl CostMeter {
    /// A meter whose first interval begins at `now`.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn new(object: &BpfObject, cpus: CpuSet, probes: Vec<u16>, now: Nanos) -> Result<Self, ProbeError> {
        let cells = cpus.len() * probes.len();
        let last = Totals { time: now, hooks: vec![NO_RUNS; Hook::ALL.len()], paces: vec![(0, u32::MAX, 0); cells] };
        let mut meter = Self { cpus, probes, last, recent_counting: None };
        meter.last = meter.totals(object, now)?;
        Ok(meter)
    }

    /// Includes a CPU that came online. The next interval begins now.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn add(&mut self, object: &BpfObject, cpu: CpuId, now: Nanos) -> Result<(), ProbeError> {
        self.cpus = self.cpus.union(&CpuSet::from_iter([cpu]));
        self.last = self.totals(object, now)?;
        Ok(())
    }

    /// The cost of the programs since the last call.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn interval(&mut self, object: &BpfObject, now: Nanos) -> Result<Interval, ProbeError> {
        let totals = self.totals(object, now)?;
        let elapsed = now.since(self.last.time);
        let mut counting = 0.0;
        for (runs, before) in totals.hooks.iter().zip(&self.last.hooks) {
            // All runs so far, because an interval has only few measured runs.
            counting += share(runs.runs.saturating_sub(before.runs), mean(runs).unwrap_or(0.0), elapsed);
        }
        let cells = self.cpus.iter().flat_map(|cpu| self.probes.iter().map(move |probe| (cpu, *probe)));
        let spent = cells
            .zip(totals.paces.iter().zip(&self.last.paces))
            .map(|((cpu, probe), ((nanos, scale, window), (before, _, last_window)))| Spent {
                cpu,
                probe,
                share: share(nanos.saturating_sub(*before), 1.0, elapsed),
                // The scale of an idle CPU stays as it was.
                limited: *scale != u32::MAX && window != last_window,
            })
            .collect();
        self.last = totals;
        let recent_counting = average(self.recent_counting, counting, elapsed);
        self.recent_counting = Some(recent_counting);
        Ok(Interval { counting, recent_counting, spent })
    }

    fn totals(&self, object: &BpfObject, time: Nanos) -> Result<Totals, ProbeError> {
        let hooks = Hook::ALL.into_iter().map(|hook| object.runs(hook)).collect::<Result<_, _>>()?;
        let mut paces = Vec::with_capacity(self.last.paces.len());
        for cpu in self.cpus.iter() {
            for probe in &self.probes {
                let pace = object.pace(cpu, (*probe).into())?;
                paces.push((pace.nanos, pace.scale, pace.window));
            }
        }
        Ok(Totals { time, hooks, paces })
    }

    /// The number of samples of a probe, and their total cost in nanoseconds.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn samples(&self, object: &BpfObject, probe: u16) -> Result<(u64, u64), ProbeError> {
        let mut sum = (0, 0);
        for cpu in self.cpus.iter() {
            let pace = object.pace(cpu, probe.into())?;
            sum = (sum.0 + pace.samples, sum.1 + pace.nanos);
        }
        Ok(sum)
    }

    /// The smallest scale of a probe on any CPU: the factor of its probabilities.
    #[must_use]
    pub fn scale(&self, probe: u16) -> f64 {
        let cells = self.cpus.iter().flat_map(|cpu: CpuId| self.probes.iter().map(move |probe| (cpu, *probe)));
        let scales = cells.zip(&self.last.paces).filter(|((_, of), _)| *of == probe).map(|(_, (_, scale, _))| *scale);
        f64::from(scales.min().unwrap_or(u32::MAX)) / f64::from(u32::MAX)
    }
}

/// A moving average with a time constant of one second, updated with `value`, which was constant for `elapsed`.
fn average(before: Option<f64>, value: f64, elapsed: Nanos) -> f64 {
    let forgotten = 1.0 - (-(elapsed.0 as f64) / Nanos::SECOND.0 as f64).exp();
    before.map_or(value, |before| before + (value - before) * forgotten)
}

const NO_RUNS: HookRuns = HookRuns { runs: 0, timed: 0, nanos: 0 };

/// The mean duration of a run without a sample, in nanoseconds; `None` if none was measured.
#[must_use]
pub fn mean(runs: &HookRuns) -> Option<f64> {
    (runs.timed > 0).then(|| runs.nanos as f64 / runs.timed as f64)
}

/// The CPU time and peak memory of this process.
#[must_use]
pub fn agent_usage() -> (Nanos, Bytes) {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return (Nanos(0), Bytes(0)) };
    let nanos = |time: nix::sys::time::TimeVal| {
        (time.tv_sec() as u64).saturating_mul(1_000_000_000) + (time.tv_usec() as u64) * 1_000
    };
    (
        Nanos(nanos(usage.user_time()) + nanos(usage.system_time())),
        // `ru_maxrss` is in KiB (getrusage(2)).
        Bytes(u64::try_from(usage.max_rss()).unwrap_or(0) * 1_024),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_begins_with_the_first_value_and_forgets_within_seconds() {
        let first = average(None, 0.2, Nanos(1));
        assert!((first - 0.2).abs() < 1e-9);
        let steps =
            |count| (0..count).fold(first, |average_so_far, _| average(Some(average_so_far), 0.0, Nanos(100_000_000)));
        assert!(steps(1) > 0.17, "a moment changes little");
        assert!((steps(10) - 0.2 / std::f64::consts::E).abs() < 1e-9);
        assert!(steps(50) < 0.002);
    }
}
