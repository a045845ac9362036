//! The estimate of a sample, and its variance.
//!
//! A sample with the value v and the probability p represents v / p: this is the Horvitz-Thompson estimator. It is unbiased for
//! any p, and has the variance (1 - p) (v / p)^2. If a metric has counters by thread, these calibrate it: the part v was measured,
//! and only v / p - v is estimated. This part is scaled so that the samples of a thread add up to its counted total. A sample
//! with the probability 1 is not changed.
//!
//! If values differ a lot, the largest may not be sampled, and the variance of the samples does not show this. The counted total
//! does: its difference from the estimate is an observed error. If that is larger than three standard errors, the variance of the group
//! is its square. It is unknown which stack was missed, so the part that the variances of the samples do not explain is distributed
//! in proportion to their values, and each place that was given a share of the difference may have none of it. If all values of a
//! group were measured, what they lack of the total is shown as such, and they have no error. The error of a sum of calibrated
//! values: [`estimate`](super::estimate).
//!
//! CPU time is sampled at instants: even with the probability 1, a sample is a draw from the time around it. If the instants are drawn
//! independently, as many as a Poisson process has, the sum of the estimates w = v / p has the variance sum(w^2). That includes what p
//! adds, (1 - p) w^2. Samples at a fixed period vary less: the time of a thread that is always on a CPU is then almost exact.

use hashbrown::HashMap;

use super::view::{Group, GroupIdx};
use crate::recording::{MetricId, Recording, Sample, Scope, ThreadIdx, ThreadKey};

/// A thread, regardless of its names, and a metric.
pub(super) type Key = (ThreadKey, MetricId);

/// Counted and estimated values, for each thread and metric with counters.
pub(super) struct Calibration {
    /// The counted total, and a row of the thread.
    pub(super) exact: HashMap<Key, (u64, ThreadIdx)>,
    estimated: HashMap<Key, Estimated>,
    /// The groups with a counted total and samples.
    pub(super) groups: Vec<Group>,
    /// For each metric, whether there are counters by thread. Otherwise the lookup is skipped.
    is_counted: Vec<bool>,
}

/// The weight of a sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight {
    /// In the unit of the metric.
    pub(super) value: f64,
    /// The part of the value that was not measured.
    pub(super) estimated: f64,
    /// The variance before calibration, in the square of the unit.
    pub(super) variance: f64,
    /// The group to whose total the value is calibrated.
    pub(super) group: Option<GroupIdx>,
    /// Whether time was sampled at an instant, and not counted.
    pub(super) is_draw: bool,
}

/// The sums of the samples of a group, in the unit of the metric.
#[derive(Clone, Copy, Default)]
struct Estimated {
    /// If there is a counted total.
    group: Option<GroupIdx>,
    /// The sum of the measured values.
    seen: f64,
    /// The sum of the estimated parts of the values.
    unseen: f64,
    /// The variance of `seen + unseen`, in the square of the unit.
    variance: f64,
    /// The number of samples with an estimated part.
    samples: u32,
}

impl Calibration {
    pub(super) fn of(recording: &Recording) -> Self {
        let mut exact: HashMap<Key, (u64, ThreadIdx)> = HashMap::new();
        let mut is_counted = vec![false; recording.meta.metrics.len()];
        for row in &recording.counters {
            let Scope::Thread(id) = row.scope else { continue };
            let thread = recording.threads.get(id);
            let (sum, _) = exact.entry((thread.key(), row.metric)).or_insert((0, id));
            // Several rows of 292 years may be read from a file.
            *sum = sum.saturating_add(row.sum);
            is_counted[row.metric.index()] = true;
        }
        let mut estimated: HashMap<Key, Estimated> = HashMap::new();
        for sample in recording.samples.iter().filter(|sample| !sample.ongoing && is_counted[sample.metric.index()]) {
            let thread = recording.threads.get(sample.thread);
            let group = estimated.entry((thread.key(), sample.metric)).or_default();
            group.seen += sample.value as f64;
            group.unseen += unseen(sample);
            group.variance += variance(sample);
            group.samples = group.samples.saturating_add(u32::from(sample.probability < 1.0));
        }
        let mut groups = Vec::new();
        for (key, sums) in &mut estimated {
            let Some((total, thread)) = exact.get(key) else { continue };
            sums.group = Some(GroupIdx::from_index(groups.len()));
            let (factor, unexplained) = (sums.factor(*total), sums.unexplained(*total));
            groups.push(Group {
                thread: *thread,
                metric: key.1,
                estimated: factor * sums.unseen,
                variance: factor * factor * sums.variance + unexplained,
                unexplained,
                samples: sums.samples,
            });
        }
        Self { exact, estimated, groups, is_counted }
    }

    /// The weight of a sample.
    pub(super) fn weight(&self, recording: &Recording, sample: &Sample) -> Weight {
        let measured = sample.value as f64;
        let Some((total, sums)) = self.group(recording, sample) else {
            let estimated = unseen(sample);
            let value = measured + estimated;
            let is_draw = recording.meta.metric(sample.metric).samples_time();
            let variance = if is_draw { value * value } else { variance(sample) };
            return Weight { value, estimated, variance, group: None, is_draw };
        };
        let factor = sums.factor(total);
        let estimated = factor * unseen(sample);
        let value = measured + estimated;
        let share = value / (sums.seen + factor * sums.unseen).max(1.0);
        let variance = factor * factor * variance(sample) + share * sums.unexplained(total);
        Weight { value, estimated, variance, group: sums.group, is_draw: false }
    }

    /// The counted total and the sums of the samples for the thread and metric of a sample.
    fn group(&self, recording: &Recording, sample: &Sample) -> Option<(u64, &Estimated)> {
        if sample.ongoing || !self.is_counted[sample.metric.index()] {
            return None;
        }
        let thread = recording.threads.get(sample.thread);
        let key = (thread.key(), sample.metric);
        Some((self.exact.get(&key)?.0, self.estimated.get(&key)?))
    }

    /// The counted value of a group that no sample represents.
    pub(super) fn rest(&self, key: &Key) -> u64 {
        let exact = self.exact.get(key).map_or(0, |(exact, _)| *exact);
        match self.estimated.get(key) {
            // A value that was measured is as exact as a total.
            Some(estimated) if estimated.unseen == 0.0 => exact.saturating_sub(estimated.seen as u64),
            Some(_) => 0,
            None => exact,
        }
    }
}

impl Estimated {
    /// The factor by which the estimated parts are scaled for a counted total.
    fn factor(&self, total: u64) -> f64 {
        if self.unseen > 0.0 { self.rest(total) / self.unseen } else { 1.0 }
    }

    /// The square of the observed error, as far as the variances of the samples do not explain it: up to three standard errors are
    /// chance.
    fn unexplained(&self, total: u64) -> f64 {
        let square = (self.rest(total) - self.unseen).powi(2);
        if self.unseen > 0.0 && square > 9.0 * self.variance { square - self.variance } else { 0.0 }
    }

    /// The part of a counted total that was not measured.
    fn rest(&self, total: u64) -> f64 {
        (total as f64 - self.seen).max(0.0)
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
