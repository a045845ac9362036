//! Converts distributions that the programs counted to those of recordings.

use hdrhistogram::Histogram as Counts;
use quell_ebpf_common::Distribution;
use quell_ebpf_common::distribution::range;

use crate::recording::empty_counts;

/// The precision of the buckets of the programs in decimal digits, rounded up: the width of a bucket is 1/32 of its values.
const SIGNIFICANT_DIGITS: u8 = 2;

/// The sum of distributions; `None` if they are empty. Each value counts as the middle of its bucket.
#[must_use]
pub fn merged<'a>(distributions: impl IntoIterator<Item = &'a Distribution>) -> Option<Counts<u64>> {
    let mut merged = empty_counts(SIGNIFICANT_DIGITS);
    for distribution in distributions {
        for (bucket, count) in (0..).zip(distribution.counts).filter(|(_, count)| *count > 0) {
            let (lowest, highest) = range(bucket);
            merged.record_n(lowest.midpoint(highest), count).ok()?;
        }
    }
    (!merged.is_empty()).then_some(merged)
}

#[cfg(test)]
mod tests {
    use quell_ebpf_common::distribution::{BUCKETS, bucket};

    use super::*;

    fn counted(values: &[(u64, u64)]) -> Distribution {
        let mut counts = [0; BUCKETS];
        for (value, times) in values {
            counts[bucket(*value) as usize] += times;
        }
        Distribution { counts }
    }

    #[test]
    fn values_keep_their_number_and_their_size_within_a_bucket() {
        let (one, other) = (counted(&[(0, 3), (1_000_000, 2)]), counted(&[(1_000_000, 5), (40_000_000_000, 1)]));
        let merged = merged([&one, &other]).expect("values");
        assert_eq!((merged.len(), merged.min()), (11, 0));
        for (quantile, value) in [(0.5, 1e6), (1.0, 4e10)] {
            let found = merged.value_at_quantile(quantile) as f64;
            assert!((found / value - 1.0).abs() < 1.0 / 32.0 + 0.01, "{quantile}: {found}");
        }
    }

    #[test]
    fn nothing_counted_is_no_distribution() {
        assert_eq!(merged([&counted(&[])]), None);
        assert_eq!(merged([]), None);
    }
}
