//! Distributions that the programs count: the layout of HdrHistogram with 32 buckets for each power of two.
//!
//! Values below 32 have a bucket each. Above, a bucket is at most 1/32 of its values wide.

use crate::abi;

/// Buckets for each power of two, as a shift.
const SHIFT: u32 = 5;

/// The number of buckets: a power of two, so that a mask keeps an index within the array.
pub const BUCKETS: usize = 1024;

abi! {
    /// How many values fell into each bucket.
    pub struct Distribution {
        /// By [`bucket`].
        pub counts: [u64; BUCKETS],
    } size 8192
}

/// The bucket of a value. The last bucket also holds all larger values: from 67.6 s on, for nanoseconds.
#[inline(always)]
#[must_use]
pub fn bucket(value: u64) -> u32 {
    if value >= 1 << 36 {
        return BUCKETS as u32 - 1;
    }
    let power = 63 - (value | 1).leading_zeros();
    let shift = power.saturating_sub(SHIFT);
    (shift << SHIFT) + (value >> shift) as u32
}

/// The lowest and the highest value of a bucket.
#[must_use]
pub fn range(bucket: u32) -> (u64, u64) {
    // Each power of two begins at a multiple of its bucket width; the first two have a width of 1.
    let shift = (bucket >> SHIFT).saturating_sub(1);
    let lowest = u64::from(bucket - (shift << SHIFT)) << shift;
    (lowest, lowest + (1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap_and_hold_their_values() {
        let mut next = 0;
        for index in 0..BUCKETS as u32 {
            let (lowest, highest) = range(index);
            assert_eq!(lowest, next, "bucket {index}");
            assert_eq!([bucket(lowest), bucket(highest)], [index; 2]);
            assert!(highest - lowest <= lowest / 32, "bucket {index} is too wide");
            next = highest + 1;
        }
        assert_eq!(next, 1 << 36, "the last bucket ends where larger values begin");
        assert_eq!([bucket(1 << 36), bucket(u64::MAX)], [BUCKETS as u32 - 1; 2]);
    }
}
