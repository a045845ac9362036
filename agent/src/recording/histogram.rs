//! Exact distributions, counted in the kernel.

use hdrhistogram::Histogram as Counts;

use super::{MetricId, Scope};

/// The distribution of a metric's values over the whole capture. Several of one metric and scope add up.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// What was measured.
    pub metric: MetricId,
    /// Where.
    pub scope: Scope,
    /// How many events had which value, in the unit of the metric.
    pub counts: Counts<u64>,
}

/// The most significant decimal digits that a histogram of a recording may have. More take up to 48 MiB each.
pub const MOST_SIGNIFICANT_DIGITS: u8 = 3;

/// An empty histogram that takes any value of 64 bits.
///
/// # Panics
/// If `significant_digits` is more than [`MOST_SIGNIFICANT_DIGITS`].
#[must_use]
pub fn empty_counts(significant_digits: u8) -> Counts<u64> {
    assert!(significant_digits <= MOST_SIGNIFICANT_DIGITS, "{significant_digits} digits take too much memory");
    Counts::new(significant_digits).expect("between 0 and 5 digits")
}
