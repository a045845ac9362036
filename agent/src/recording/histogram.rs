//! Distributions that were counted in the kernel.

use hdrhistogram::Histogram as Counts;

use super::{MetricId, Scope};

/// The distribution of the values of a metric over the whole capture. There may be several of one metric and scope, to be added.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// The metric that was measured.
    pub metric: MetricId,
    /// The scope in which it was measured.
    pub scope: Scope,
    /// The number of events for each range of values, in the unit of the metric.
    pub counts: Counts<u64>,
}

/// The maximum number of significant decimal digits of a histogram. With more, a histogram takes up to 48 MiB.
pub const MOST_SIGNIFICANT_DIGITS: u8 = 3;

/// An empty histogram for any 64-bit value.
///
/// # Panics
/// If `significant_digits` is more than [`MOST_SIGNIFICANT_DIGITS`].
#[must_use]
pub fn empty_counts(significant_digits: u8) -> Counts<u64> {
    assert!(significant_digits <= MOST_SIGNIFICANT_DIGITS, "{significant_digits} digits take too much memory");
    Counts::new(significant_digits).expect("between 0 and 5 digits")
}
