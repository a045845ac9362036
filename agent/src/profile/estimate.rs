//! The errors of sums.
//!
//! The samples of a group, a thread and a metric with a counted total, are calibrated to this total: together they have no error, only its
//! division among them has. Calibration scales the estimated parts of their values. Let A be some of them, with the share u of the
//! estimated parts. To first order the error of their calibrated sum is (1 - u) times the error of A before calibration, less u times
//! that of the others. So its variance is (1 - u)^2 V(A) + u^2 (V - V(A)) = (1 - 2u) V(A) + u^2 V, where V are the variances before
//! calibration: that is V(A) if A is small, 0 if A is the whole group, and 0 if the values of A were all measured. Samples without a
//! counted total are independent, and their variances add up.
//!
//! A few samples that were all taken at one place do not show that the intervals that were not sampled were there too. So with fewer
//! than [`FEW`] samples, the share of a place is estimated with two more samples there and two elsewhere (Agresti and Coull, The
//! American Statistician 52, 1998), and its error is at least that of this share.
//!
//! If the counted total shows that a long interval was missed, calibration gives its value to the places that were sampled. The
//! variances above hold if the interval was at one of them, in proportion. It may have been at none of them. Then a place with the
//! share u has u times the missed value too much, so the error of a place is at least this, however many samples it has. A part of
//! the time is such a place too: the missed interval may have been at another time.

use hashbrown::HashMap;

use super::view::{Group, GroupIdx, Weighted};

/// The number of samples of a group from which their variances alone tell the error of a place.
const FEW: u32 = 8;

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

    /// The standard error of the sum if it was selected by thread or metric only, in the unit of the metric; 0 if it is exact.
    #[must_use]
    pub fn error(&self, groups: &[Group]) -> f64 {
        self.error_by(groups, Part::variance_within)
    }

    /// The same if the sum was selected by stack or time.
    #[must_use]
    pub fn error_of_place(&self, groups: &[Group]) -> f64 {
        self.error_by(groups, Part::variance_of_place)
    }

    fn error_by(&self, groups: &[Group], variance: impl Fn(&Part, &Group) -> f64) -> f64 {
        let calibrated: f64 = self.parts.iter().map(|(group, part)| variance(part, &groups[group.index()])).sum();
        (self.variance + calibrated).sqrt()
    }
}

impl Part {
    fn share(&self, group: &Group) -> f64 {
        self.estimated / group.estimated.max(f64::MIN_POSITIVE)
    }

    fn variance_within(&self, group: &Group) -> f64 {
        let share = self.share(group);
        let variance = (1.0 - 2.0 * share) * self.variance + share * share * group.variance;
        // What rounding leaves of a whole group.
        if variance < group.variance * 1e-9 { 0.0 } else { variance }
    }

    fn variance_of_place(&self, group: &Group) -> f64 {
        let share = self.share(group);
        let variance = self.variance_within(group).max(share * share * group.unexplained);
        if group.samples >= FEW || self.estimated == 0.0 {
            return variance;
        }
        let samples = f64::from(group.samples);
        let likely = (samples * share + 2.0) / (samples + 4.0);
        variance.max(group.estimated * group.estimated * likely * (1.0 - likely) / (samples + 4.0))
    }
}
