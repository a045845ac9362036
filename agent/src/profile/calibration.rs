//! What a sampled sleep stands for, and how sure that is.
//!
//! Off-CPU samples were taken with a known probability p, so a sleep of length d stands for d / p: the
//! Horvitz-Thompson estimator, unbiased whatever the prediction that p came from was worth, with variance
//! (1 - p) (d / p)^2 for each sample. The exact totals of each thread and reason then calibrate it: of what a sample stands
//! for, d was measured and only d / p - d is estimated, and that part is scaled so that a group adds up to what was
//! counted. A sleep that was certain to be sampled is left as it was measured.
//!
//! Where sleeps are of very different lengths, the samples at hand may hold none of the longest, and then their variance does
//! not show what is missing. The exact total does: the difference between it and the estimate is an error that was seen,
//! so the variance of a group is taken to be at least its square. Nobody knows which stack was missed: what the samples'
//! own variances do not explain is shared out by value.

use hashbrown::HashMap;

use super::{OffCpu, Reason, Recording, Sample, SampleKind, ThreadIdx};
use crate::units::{Nanos, Pid, Tid};

/// A thread, and why it slept.
pub(super) type Group = (Pid, Tid, Reason);

/// Exact and estimated time, for each thread and reason.
pub(super) struct Calibration {
    /// What was counted.
    pub(super) exact: HashMap<Group, (Nanos, ThreadIdx)>,
    estimated: HashMap<Group, Estimated>,
}

/// What the samples of a group add up to, in nanoseconds.
#[derive(Clone, Copy, Default)]
struct Estimated {
    /// The sleeps that were sampled.
    seen: f64,
    /// Those that they stand for besides, by their probabilities.
    unseen: f64,
    /// The variance of `seen + unseen`, in ns^2.
    variance: f64,
}

impl Calibration {
    pub(super) fn of(recording: &Recording) -> Self {
        let mut exact: HashMap<Group, (Nanos, ThreadIdx)> = HashMap::new();
        for row in &recording.totals {
            let thread = recording.threads.get(row.thread);
            for (reason, time) in Reason::ALL.into_iter().zip(row.time) {
                let (sum, _) = exact.entry((thread.pid, thread.tid, reason)).or_insert((Nanos(0), row.thread));
                // Several rows of 292 years may be read from a file.
                sum.0 = sum.0.saturating_add(time.0);
            }
        }
        let mut estimated: HashMap<Group, Estimated> = HashMap::new();
        for sample in &recording.samples {
            if let SampleKind::OffCpu(off) = &sample.kind
                && !off.still
            {
                let thread = recording.threads.get(sample.thread);
                let group = estimated.entry((thread.pid, thread.tid, off.reason)).or_default();
                group.seen += sample.value.0 as f64;
                group.unseen += unseen(sample, off);
                group.variance += variance(sample, off);
            }
        }
        Self { exact, estimated }
    }

    /// What a sample stands for, and the variance of that.
    pub(super) fn value(&self, group: &Group, sample: &Sample, off: &OffCpu) -> (f64, f64) {
        let measured = sample.value.0 as f64;
        let (Some((exact, _)), Some(estimated), false) = (self.exact.get(group), self.estimated.get(group), off.still)
        else {
            return (measured + unseen(sample, off), variance(sample, off));
        };
        let rest = (exact.0 as f64 - estimated.seen).max(0.0);
        let factor = if estimated.unseen > 0.0 { rest / estimated.unseen } else { 1.0 };
        let value = measured + factor * unseen(sample, off);
        let error = rest - estimated.unseen;
        let unexplained = (error * error - estimated.variance).max(0.0);
        let share = value / (estimated.seen + factor * estimated.unseen).max(1.0);
        (value, factor * factor * variance(sample, off) + share * unexplained)
    }

    /// What was counted for a group and no sample stands for.
    pub(super) fn rest(&self, group: &Group) -> Nanos {
        let exact = self.exact.get(group).map_or(0, |(exact, _)| exact.0);
        match self.estimated.get(group) {
            // A sleep of a certain length is as exact as a total.
            Some(estimated) if estimated.unseen == 0.0 => Nanos(exact.saturating_sub(estimated.seen as u64)),
            Some(_) => Nanos(0),
            None => Nanos(exact),
        }
    }
}

/// The variance of `duration / probability`, as one sample shows it.
fn variance(sample: &Sample, off: &OffCpu) -> f64 {
    let estimate = sample.value.0 as f64 / off.probability;
    (1.0 - off.probability) * estimate * estimate
}

/// The time of sleeps that were not sampled that a sample stands for, besides its own.
fn unseen(sample: &Sample, off: &OffCpu) -> f64 {
    sample.value.0 as f64 * (1.0 / off.probability - 1.0)
}
