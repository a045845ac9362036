//! What a sample stands for, and how sure that is.
//!
//! A sample of value v that was taken with a known probability p stands for v / p: the Horvitz-Thompson estimator, unbiased
//! whatever the prediction was worth that p came from, with variance (1 - p) (v / p)^2 for each sample. If a metric has exact
//! counters by thread, they calibrate it: of what a sample stands for, v was measured and only v / p - v is estimated, and
//! that part is scaled so that the samples of a thread add up to what was counted. A sample that was certain to be taken is
//! left as it was measured.
//!
//! If values differ a lot, the samples may hold none of the largest, and then their variance does not show what is missing.
//! The exact total does: the difference between it and the estimate is an error that was observed, so the variance of a
//! group is at least its square. Nobody knows which stack was missed: the part that the variances of the samples do not
//! explain is distributed in proportion to their values.

use hashbrown::HashMap;

use crate::recording::{MetricId, Recording, Sample, Scope, ThreadIdx};
use crate::units::{Pid, Tid};

/// A thread, whatever its names were, and a metric.
pub(super) type Group = (Pid, Tid, MetricId);

/// Exact and estimated values, for each thread and metric that has counters.
pub(super) struct Calibration {
    /// What was counted, and a row of its thread.
    pub(super) exact: HashMap<Group, (u64, ThreadIdx)>,
    estimated: HashMap<Group, Estimated>,
    /// For each metric whether any thread has a counter of it. Without one there is nothing to look up.
    is_counted: Vec<bool>,
}

/// What the samples of a group add up to, in the unit of the metric.
#[derive(Clone, Copy, Default)]
struct Estimated {
    /// The values that were measured.
    seen: f64,
    /// The values that they stand for besides, by their probabilities.
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

    /// What a sample stands for, and the variance of that.
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

    /// What was counted of a sample's thread and metric, and what their samples add up to.
    fn group(&self, recording: &Recording, sample: &Sample) -> Option<(u64, &Estimated)> {
        if sample.ongoing || !self.is_counted[sample.metric.index()] {
            return None;
        }
        let thread = recording.threads.get(sample.thread);
        let group = (thread.pid, thread.tid, sample.metric);
        Some((self.exact.get(&group)?.0, self.estimated.get(&group)?))
    }

    /// What was counted for a group and no sample stands for.
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

/// The variance of `value / probability`, as one sample shows it.
fn variance(sample: &Sample) -> f64 {
    let estimate = sample.value as f64 / sample.probability;
    (1.0 - sample.probability) * estimate * estimate
}

/// The value that a sample stands for besides its own.
fn unseen(sample: &Sample) -> f64 {
    sample.value as f64 * (1.0 / sample.probability - 1.0)
}
