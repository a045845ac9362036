//! A recording that quell made, and what tests ask of it.

use std::path::Path;

use anyhow::{Context as _, Result};
use quell::profile::{FrameKind, Metric, Profile, Reason, Recording, Selection, Weighted, build};

/// A recording, and the profile of all of it.
#[derive(Debug)]
pub struct Recorded {
    /// As it was written.
    pub recording: Recording,
    /// As reports show it.
    pub profile: Profile,
}

/// What samples add up to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Estimate {
    /// Nanoseconds.
    pub nanos: f64,
    /// The standard error that quell states for it, in nanoseconds.
    pub error: f64,
    /// How many samples.
    pub samples: usize,
}

impl Recorded {
    /// Reads what `quell record -o path` wrote.
    pub fn read(path: &Path) -> Result<Self> {
        let recording = quell::recording::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let profile = build(&recording, &Selection::default());
        Ok(Self { recording, profile })
    }

    /// The sum of the samples that `chosen` takes.
    pub fn estimate(&self, chosen: impl Fn(&Weighted) -> bool) -> Estimate {
        let mut sum = Estimate::default();
        for sample in self.profile.samples.iter().filter(|sample| chosen(sample)) {
            sum.nanos += sample.value;
            sum.error += sample.variance;
            sum.samples += 1;
        }
        sum.error = sum.error.sqrt();
        sum
    }

    /// On-CPU time below a function of a process.
    pub fn on_cpu(&self, pid: i32, function: &str) -> Estimate {
        self.estimate(|sample| on_cpu(sample) && self.pid(sample) == pid && self.calls(sample, function))
    }

    /// Off-CPU time of a thread below one of its functions, for whatever reason.
    pub fn off_cpu(&self, tid: i32, function: &str) -> Estimate {
        self.estimate(|sample| !on_cpu(sample) && self.tid(sample) == tid && self.calls(sample, function))
    }

    /// Exact off-CPU time of a thread that the kernel side counted, in nanoseconds.
    pub fn total(&self, tid: i32) -> u64 {
        Reason::ALL.into_iter().map(|reason| self.total_for(tid, reason)).sum()
    }

    /// ... for one reason.
    pub fn total_for(&self, tid: i32, reason: Reason) -> u64 {
        let index = Reason::ALL.iter().position(|known| *known == reason).expect("`ALL` has every reason");
        let rows =
            self.profile.totals.iter().filter(|row| self.profile.thread(row.thread).tid.0 == tid.cast_unsigned());
        rows.map(|row| row.time[index].0).sum()
    }

    /// The process of a sample.
    pub fn pid(&self, sample: &Weighted) -> i32 {
        self.profile.thread(sample.thread).pid.0.cast_signed()
    }

    /// The thread of a sample.
    pub fn tid(&self, sample: &Weighted) -> i32 {
        self.profile.thread(sample.thread).tid.0.cast_signed()
    }

    /// Whether a function of user space is in a sample's stack.
    pub fn calls(&self, sample: &Weighted, function: &str) -> bool {
        sample.stack.is_some_and(|stack| {
            self.profile.functions(stack).any(|frame| frame.kind == FrameKind::User && frame.name == function)
        })
    }
}

/// Whether a sample is of time on a CPU.
pub fn on_cpu(sample: &Weighted) -> bool {
    sample.metric == Metric::OnCpu
}
