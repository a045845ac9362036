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
//!
//! A share of a whole is a division of it, too. What samples without a counted total add to the error of the whole, they add to the
//! error of its parts: with the share s of the values, the variance of the share is that of a calibrated sum, (1 - 2s) V(A) + s^2 V.
//! For CPU time, whose samples are draws with the weights w, this is (1 - s)^2 sum(w^2) over A, plus s^2 sum(w^2) over the others. Draws
//! of unequal weights tell as much of a share as sum(w)^2 / sum(w^2) equal ones.

use hashbrown::HashMap;

use super::view::{Group, GroupIdx, Weighted};

/// The number of samples of a group from which their variances alone tell the error of a place.
const FEW: f64 = 8.0;

/// A sum of samples, and its error.
#[derive(Clone, Debug, Default)]
pub struct Estimate {
    value: f64,
    /// What it has of samples without a counted total.
    uncounted: Part,
    /// The number of these whose values are estimated, and are no draws.
    uncounted_samples: u32,
    /// Those of `uncounted` that are draws.
    draws: Part,
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
            None => {
                let uncertain = if sample.is_draw { sample.value } else { sample.estimated };
                self.uncounted.add(uncertain, sample.variance);
                if sample.is_draw {
                    self.draws.add(uncertain, sample.variance);
                } else {
                    self.uncounted_samples = self.uncounted_samples.saturating_add(u32::from(sample.estimated > 0.0));
                }
            }
            Some(group) => self.parts.entry(group).or_default().add(sample.estimated, sample.variance),
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

    /// The standard error of the share that the sum has of `whole`, from 0 to 1, if it was selected from it by stack or time.
    #[must_use]
    pub fn error_of_share(&self, whole: &Estimate, groups: &[Group]) -> f64 {
        if whole.value <= 0.0 {
            return 0.0;
        }
        let all = &whole.uncounted;
        let divided = divided(self.value / whole.value, self.uncounted.variance, all.variance);
        let share = self.uncounted.estimated / all.estimated.max(f64::MIN_POSITIVE);
        let samples = f64::from(whole.uncounted_samples) + whole.draws.equal_draws();
        let uncounted = divided.max(few(share, all.estimated, samples));
        (uncounted + self.calibrated(groups, Part::variance_of_place)).sqrt() / whole.value
    }

    fn error_by(&self, groups: &[Group], variance: impl Fn(&Part, &Group) -> f64) -> f64 {
        (self.uncounted.variance + self.calibrated(groups, variance)).sqrt()
    }

    /// The variance of the samples with a counted total.
    fn calibrated(&self, groups: &[Group], variance: impl Fn(&Part, &Group) -> f64) -> f64 {
        self.parts.iter().map(|(group, part)| variance(part, &groups[group.index()])).sum()
    }
}

/// The variance of a part with this share of a whole, if the whole has no error. `part` and `whole` are the variances before the division.
fn divided(share: f64, part: f64, whole: f64) -> f64 {
    let variance = (1.0 - 2.0 * share) * part + share * share * whole;
    // What rounding leaves of a whole.
    if variance < whole * 1e-9 { 0.0 } else { variance }
}

/// The least variance of a place with this share of an estimated value, if the value has only a few samples.
fn few(share: f64, estimated: f64, samples: f64) -> f64 {
    if samples >= FEW || share <= 0.0 {
        return 0.0;
    }
    let likely = (samples * share + 2.0) / (samples + 4.0);
    estimated * estimated * likely * (1.0 - likely) / (samples + 4.0)
}

impl Part {
    fn add(&mut self, estimated: f64, variance: f64) {
        self.estimated += estimated;
        self.variance += variance;
    }

    /// The number of draws of one weight that tell as much as these.
    fn equal_draws(&self) -> f64 {
        if self.variance > 0.0 { (self.estimated * self.estimated / self.variance).round() } else { 0.0 }
    }

    fn share(&self, group: &Group) -> f64 {
        self.estimated / group.estimated.max(f64::MIN_POSITIVE)
    }

    fn variance_within(&self, group: &Group) -> f64 {
        divided(self.share(group), self.variance, group.variance)
    }

    fn variance_of_place(&self, group: &Group) -> f64 {
        let share = self.share(group);
        let given = share * share * group.unexplained;
        self.variance_within(group).max(given).max(few(share, group.estimated, group.samples.into()))
    }
}
