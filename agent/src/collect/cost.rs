//! What the capture costs, measured while it runs.
//!
//! The kernel's BPF statistics read the clock twice for each run of a program, so they are on in short windows only. The
//! mean of the windows times the exact number of events is the cost.

use std::time::{Duration, Instant};

use hashbrown::HashMap;
use nix::sys::resource::{UsageWho, getrusage};

use crate::child::Meter;
use crate::probe::{BpfObject, RunStats};
use crate::units::{Bytes, Nanos, Pid};

/// How long a window is.
const WINDOW: Duration = Duration::from_millis(100);
/// How often one begins.
const PERIOD: Duration = Duration::from_secs(1);

/// Measures programs in windows.
pub struct CostMeter {
    /// What turns the kernel's statistics on; `None` without `CAP_SYS_ADMIN`.
    statistics: Option<Meter>,
    open: Option<Window>,
    next: Instant,
    sums: HashMap<String, RunStats>,
    last: HashMap<String, RunStats>,
}

struct Window {
    end: Instant,
    before: HashMap<String, RunStats>,
}

impl CostMeter {
    /// A meter whose first window begins at once. Without `statistics` programs are measured only where the administrator has
    /// turned them on (`kernel.bpf_stats_enabled`).
    #[must_use]
    pub fn new(statistics: Option<Meter>) -> Self {
        Self { statistics, open: None, next: Instant::now(), sums: HashMap::new(), last: HashMap::new() }
    }

    /// The process that turns the statistics on.
    #[must_use]
    pub fn process(&self) -> Option<Pid> {
        self.statistics.as_ref().map(Meter::process)
    }

    /// Opens or closes a window when it is time; `true` when one has just been closed.
    pub fn poll(&mut self, object: &BpfObject) -> bool {
        let now = Instant::now();
        match &self.open {
            Some(window) if now >= window.end => {
                self.close(object);
                true
            }
            None if now >= self.next => {
                self.next = now + PERIOD;
                // One that does not answer, or is refused, is not asked again.
                if self.statistics.as_mut().is_some_and(|statistics| statistics.enable().is_err()) {
                    self.statistics = None;
                }
                let before = object.run_stats().into_iter().collect();
                self.open = Some(Window { end: now + WINDOW, before });
                false
            }
            _ => false,
        }
    }

    /// Closes the window that is open.
    pub fn close(&mut self, object: &BpfObject) {
        let Some(window) = self.open.take() else { return };
        if self.statistics.as_mut().is_some_and(|statistics| statistics.disable().is_err()) {
            self.statistics = None;
        }
        for (program, after) in object.run_stats() {
            let before = window.before.get(&program).copied().unwrap_or_default();
            let delta = RunStats {
                nanos: after.nanos.saturating_sub(before.nanos),
                count: after.count.saturating_sub(before.count),
            };
            let sum = self.sums.entry(program.clone()).or_default();
            sum.nanos += delta.nanos;
            sum.count += delta.count;
            self.last.insert(program, delta);
        }
    }

    /// Whether any run of any program was measured.
    #[must_use]
    pub fn has_measured(&self) -> bool {
        self.sums.values().any(|sum| sum.count > 0)
    }

    /// Mean nanoseconds of one run of a program over all windows; `None` where none was seen.
    #[must_use]
    pub fn mean(&self, program: &str) -> Option<f64> {
        mean(self.sums.get(program)?)
    }

    /// The same over the last window alone.
    #[must_use]
    pub fn last_mean(&self, program: &str) -> Option<f64> {
        mean(self.last.get(program)?)
    }
}

fn mean(stats: &RunStats) -> Option<f64> {
    (stats.count > 0).then(|| stats.nanos as f64 / stats.count as f64)
}

/// CPU time and peak memory of this process so far.
#[must_use]
pub fn agent_usage() -> (Nanos, Bytes) {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return (Nanos(0), Bytes(0)) };
    let nanos = |time: nix::sys::time::TimeVal| {
        (time.tv_sec() as u64).saturating_mul(1_000_000_000) + (time.tv_usec() as u64) * 1_000
    };
    (
        Nanos(nanos(usage.user_time()) + nanos(usage.system_time())),
        // In KiB, getrusage(2).
        Bytes(u64::try_from(usage.max_rss()).unwrap_or(0) * 1_024),
    )
}
