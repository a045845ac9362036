//! Sums of samples with the same time, thread, metric, stack and wake chain.

use super::buckets::{Buckets, Piece};
use super::chains::Chains;
use crate::profile::{GroupIdx, Profile};
use crate::units::Nanos;

/// The key of a row. Rows are sorted by the order of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// A row of [`Profile::threads`].
    pub(super) thread: u32,
    /// A row of [`Meta::metrics`](crate::recording::Meta::metrics).
    pub(super) metric: u16,
    /// The group to whose counted total the samples are calibrated.
    pub(super) group: Option<GroupIdx>,
    /// 0 for no stack, else 1 + a row of [`Profile::stacks`].
    pub(super) stack: u32,
    /// See [`Chains::of_sample`].
    pub(super) chain: u32,
    /// The first of the buckets over which the value is spread evenly.
    pub(super) first: u16,
    /// The number of these buckets.
    pub(super) length: u16,
}

impl Key {
    /// Whether two keys differ only in time.
    pub(super) fn same_group(&self, other: &Self) -> bool {
        Self { first: 0, length: 0, ..*self } == Self { first: 0, length: 0, ..*other }
    }
}

/// A sum of samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) key: Key,
    /// The value in the unit of the metric.
    pub(super) value: f64,
    /// The part of the value that was not measured.
    pub(super) estimated: f64,
    /// The variance of the value before calibration, in the square of its unit. If a sample is spread over several rows, each
    /// has its share of the variance: the sum is correct for the whole sample, and is an upper bound for a part of it.
    pub(super) variance: f64,
    /// The number of samples that began here.
    pub(super) samples: u32,
}

/// All rows, sorted by key, with distinct keys. An interval is spread over its time; an instant is in one bucket.
pub(super) fn rows(profile: &Profile, buckets: Buckets, chains: &Chains) -> Vec<Row> {
    let mut rows = Vec::with_capacity(profile.samples.len());
    for (sample, chain) in profile.samples.iter().zip(&chains.of_sample) {
        // Samples that are only hops of a chain have no weight.
        if sample.value <= 0.0 {
            continue;
        }
        let (metric, stack) = (sample.metric.0, sample.stack.map_or(0, |stack| stack.row() + 1));
        let mut samples = 1;
        let mut add = |Piece { first, length, part }: Piece| {
            rows.push(Row {
                key: Key {
                    thread: sample.thread.row(),
                    metric,
                    group: sample.group,
                    stack,
                    chain: *chain,
                    first,
                    length,
                },
                value: sample.value * part,
                estimated: sample.estimated * part,
                variance: sample.variance * part,
                samples: std::mem::take(&mut samples),
            });
        };
        if sample.duration == Nanos(0) {
            add(buckets.at(sample.time));
        } else {
            buckets.spread(sample.time, sample.duration).for_each(&mut add);
        }
    }
    rows.sort_unstable_by_key(|row| row.key);
    rows.dedup_by(|later, kept| {
        let same = later.key == kept.key;
        if same {
            kept.value += later.value;
            kept.estimated += later.estimated;
            kept.variance += later.variance;
            kept.samples = kept.samples.saturating_add(later.samples);
        }
        same
    });
    rows
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn sums(values: impl Iterator<Item = (f64, f64, u32)>) -> (f64, f64, u32) {
        values.fold((0.0, 0.0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2))
    }

    #[test]
    fn adding_up_keeps_value_variance_and_number_of_each_metric() {
        let profile = fixture::chain_of_three();
        let rows = rows(&profile, Buckets::of(&profile.meta, profile.window), &Chains::of(&profile));
        for number in [0, 1] {
            let given = profile.samples.iter().filter(|sample| sample.metric.0 == number);
            let (value, variance, samples) = sums(given.map(|sample| (sample.value, sample.variance, 1)));
            let kept = rows.iter().filter(|row| row.key.metric == number);
            let sum = sums(kept.map(|row| (row.value, row.variance, row.samples)));
            assert!(
                (sum.0 - value).abs() < 1e-3 && (sum.1 / variance.max(1.0) - variance / variance.max(1.0)).abs() < 1e-9
            );
            assert_eq!(sum.2, samples, "{number}");
        }
    }

    #[test]
    fn samples_of_one_place_and_time_are_one_row() {
        let mut profile = fixture::chain_of_three();
        let twin = profile.samples[0];
        profile.samples.push(twin);
        let rows = rows(&profile, Buckets::of(&profile.meta, profile.window), &Chains::of(&profile));
        let on_cpu: Vec<_> = rows.iter().filter(|row| row.key.metric == 0).collect();
        assert_eq!((on_cpu.len(), on_cpu[0].samples), (1, 2));
        assert_eq!(on_cpu[0].value, 2.0 * twin.value);
    }

    #[test]
    fn a_hop_without_weight_is_no_row_but_keeps_its_place_in_the_chain() {
        let mut profile = fixture::chain_of_three();
        (profile.samples[1].value, profile.samples[1].variance) = (0.0, 0.0);
        profile.samples[2].time = Nanos(0);
        let chains = Chains::of(&profile);
        let rows = rows(&profile, Buckets::of(&profile.meta, profile.window), &chains);
        assert!(rows.iter().all(|row| row.key.thread != 1), "the relay's sleep has no weight");
        assert_eq!(chains.rows[0].iter().filter(|hop| **hop != 0).count(), 2, "but is still a hop");
    }
}
