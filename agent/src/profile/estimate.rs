//! The errors of sums.
//!
//! The samples of a group, a thread and a metric with a counted total, are calibrated to this total: together they have no error, only its
//! division among them has. Calibration scales the estimated parts of their values. Let A be some of them, with the share u of the
//! estimated parts. To first order the error of their calibrated sum is (1 - u) times the error of A before calibration, less u times
//! that of the others. So its variance is (1 - u)^2 V(A) + u^2 (V - V(A)) = (1 - 2u) V(A) + u^2 V, where V are the variances before
//! calibration: that is V(A) if A is small, 0 if A is the whole group, and 0 if the values of A were all measured. Samples without a
//! counted total are independent, and their variances add up.

use hashbrown::HashMap;

use super::view::Weighted;
use crate::recording::{MetricId, ThreadIdx, row_number};

row_number! {
    /// A row of [`Profile::groups`](super::Profile::groups).
    GroupIdx
}

/// All samples of a thread and a metric with a counted total, selected or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// A row of the thread.
    pub thread: ThreadIdx,
    /// The metric.
    pub metric: MetricId,
    /// The sum of the estimated parts of their values, in the unit of the metric.
    pub estimated: f64,
    /// The sum of the variances of their values before calibration, in the square of the unit.
    pub variance: f64,
}

/// A sum of samples, and its error.
#[derive(Clone, Debug, Default)]
pub struct Estimate {
    value: f64,
    /// The variance of the samples without a counted total.
    variance: f64,
    parts: HashMap<GroupIdx, Part>,
}

/// What a sum has of a group.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    estimated: f64,
    variance: f64,
}

impl Estimate {
    /// Adds a sample.
    pub fn add(&mut self, sample: &Weighted) {
        self.value += sample.value;
        match sample.group {
            None => self.variance += sample.variance,
            Some(group) => {
                let part = self.parts.entry(group).or_default();
                part.estimated += sample.estimated;
                part.variance += sample.variance;
            }
        }
    }

    /// The sum, in the unit of the metric.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.value
    }

    /// The standard error of the sum, in the unit of the metric; 0 if it is exact.
    #[must_use]
    pub fn error(&self, groups: &[Group]) -> f64 {
        let of_part = |(group, part): (&GroupIdx, &Part)| part.variance_within(&groups[group.index()]);
        (self.variance + self.parts.iter().map(of_part).sum::<f64>()).sqrt()
    }
}

impl Part {
    fn variance_within(&self, group: &Group) -> f64 {
        let share = self.estimated / group.estimated.max(f64::MIN_POSITIVE);
        let variance = (1.0 - 2.0 * share) * self.variance + share * share * group.variance;
        // What rounding leaves of a whole group.
        if variance < group.variance * 1e-9 { 0.0 } else { variance }
    }
}
