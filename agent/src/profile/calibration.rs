//! The estimate of a sample, and its variance.
//!
//! A sample with the value v and the probability p represents v / p: this is the Horvitz-Thompson estimator. It is unbiased for
//! any p, and has the variance (1 - p) (v / p)^2. If a metric has counters by thread, these calibrate it: the part v was measured,
//! and only v / p - v is estimated. This part is scaled so that the samples of a thread add up to its counted total. A sample
//! with the probability 1 is not changed.
//!
//! If values differ a lot, the largest may not be sampled, and the variance of the samples does not show this. The counted total
//! does: its difference from the estimate is an observed error, so the variance of a group is at least the square of this
//! difference. It is unknown which stack was missed, so the part that the variances of the samples do not explain is distributed
//! in proportion to their values.

use hashbrown::HashMap;

use crate::recording::{MetricId, Recording, Sample, Scope, ThreadIdx};
use crate::units::{Pid, Tid};

/// A thread, regardless of its names, and a metric.
pub(super) type Group = (Pid, Tid, MetricId);

/// Counted and estimated values, for each thread and metric with counters.
pub(super) struct Calibration {
    /// The counted total, and a row of the thread.
    pub(super) exact: HashMap<Group, (u64, ThreadIdx)>,
    estimated: HashMap<Group, Estimated>,
    /// For each metric, whether there are counters by thread. Otherwise the lookup is skipped.
    is_counted: Vec<bool>,
}

/// The sums of the samples of a group, in the unit of the metric.
#[derive(Clone, Copy, Default)]
struct Estimated {
    /// The sum of the measured values.
    seen: f64,
    /// The sum of the estimated parts of the values.
    unseen: f64,
    /// The variance of `seen + unseen`, in the square of the unit.
    variance: f64,
}

impl Calibration {
    pub(super) fn of(recording: &Recording) -> Self {
        let mut exact: HashMap<Group, (u64, ThreadIdx)> = HashMap::new();
        let mut is_counted = vec![false; recording.meta.metrics.len()];
        for row in &recording.counters {
            let Scope::Thread(id) = row.scope else { continue };
            let thread = recording.threads.get(id);
            let (sum, _) = exact.entry((thread.pid, thread.tid, row.metric)).or_insert((0, id));
            // Several rows of 292 years may be read from a file.
            *sum = sum.saturating_add(row.sum);
            is_counted[row.metric.index()] = true;
        }
        let mut estimated: HashMap<Group, Estimated> = HashMap::new();
        for sample in recording.samples.iter().filter(|sample| !sample.ongoing && is_counted[sample.metric.index()]) {
            let thread = recording.threads.get(sample.thread);
            let group = estimated.entry((thread.pid, thread.tid, sample.metric)).or_default();
            group.seen += sample.value as f64;
            group.unseen += unseen(sample);
            group.variance += variance(sample);
        }
        Self { exact, estimated, is_counted }
    }

    /// The estimate of a sample, and its variance.
    pub(super) fn value(&self, recording: &Recording, sample: &Sample) -> (f64, f64) {
        let measured = sample.value as f64;
        match self.group(recording, sample) {
            None => (measured + unseen(sample), variance(sample)),
            Some((exact, estimated)) => {
                let rest = (exact as f64 - estimated.seen).max(0.0);
                let factor = if estimated.unseen > 0.0 { rest / estimated.unseen } else { 1.0 };
                let value = measured + factor * unseen(sample);
                let error = rest - estimated.unseen;
                let unexplained = (error * error - estimated.variance).max(0.0);
                let share = value / (estimated.seen + factor * estimated.unseen).max(1.0);
                (value, factor * factor * variance(sample) + share * unexplained)
            }
        }
    }

    /// The counted total and the sums of the samples for the thread and metric of a sample.
    fn group(&self, recording: &Recording, sample: &Sample) -> Option<(u64, &Estimated)> {
        if sample.ongoing || !self.is_counted[sample.metric.index()] {
            return None;
        }
        let thread = recording.threads.get(sample.thread);
        let group = (thread.pid, thread.tid, sample.metric);
        Some((self.exact.get(&group)?.0, self.estimated.get(&group)?))
    }

    /// The counted value of a group that no sample represents.
    pub(super) fn rest(&self, group: &Group) -> u64 {
        let exact = self.exact.get(group).map_or(0, |(exact, _)| *exact);
        match self.estimated.get(group) {
            // A value that was measured is as exact as a total.
            Some(estimated) if estimated.unseen == 0.0 => exact.saturating_sub(estimated.seen as u64),
            Some(_) => 0,
            None => exact,
        }
    }
}

/// The variance of `value / probability` of a sample.
fn variance(sample: &Sample) -> f64 {
    let estimate = sample.value as f64 / sample.probability;
    (1.0 - sample.probability) * estimate * estimate
}

/// The estimated part of the value of a sample.
fn unseen(sample: &Sample) -> f64 {
    sample.value as f64 * (1.0 / sample.probability - 1.0)
}
