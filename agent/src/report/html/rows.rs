//! Sums of samples with the same time, thread, metric, stack and wake chain.

use super::buckets::Buckets;
use super::chains::Chains;
use crate::profile::{GroupIdx, Profile, Span, Weighted};
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
    /// The start and the end of the time over which the value is spread evenly: one bucket, or the time of an interval that is in
    /// more than one. Both are 0 if the time is unknown.
    pub(super) start: Nanos,
    pub(super) end: Nanos,
}

impl Key {
    /// Whether two keys differ only in time.
    pub(super) fn same_group(&self, other: &Self) -> bool {
        let untimed = |key: &Self| Self { start: Nanos(0), end: Nanos(0), ..*key };
        untimed(self) == untimed(other)
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
    /// The variance of the value before calibration, in the square of its unit.
    pub(super) variance: f64,
    /// The number of samples.
    pub(super) samples: u32,
}

/// All rows, sorted by key, with distinct keys.
pub(super) fn rows(profile: &Profile, buckets: Buckets, chains: &Chains) -> Vec<Row> {
    let mut rows = Vec::with_capacity(profile.samples.len());
    for (sample, chain) in profile.samples.iter().zip(&chains.of_sample) {
        // Samples that are only hops of a chain have no weight.
        if sample.value <= 0.0 {
            continue;
        }
        let (start, end) = if sample.is_timed {
            let span = buckets.simplified(Span::of(sample.time, sample.duration, profile.meta.duration));
            (span.start, span.end)
        } else {
            (Nanos(0), Nanos(0))
        };
        let key = Key {
            thread: sample.thread.row(),
            metric: sample.metric.0,
            group: sample.group,
            stack: sample.stack.map_or(0, |stack| stack.row() + 1),
            chain: *chain,
            start,
            end,
        };
        let Weighted { value, estimated, variance, .. } = *sample;
        rows.push(Row { key, value, estimated, variance, samples: 1 });
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
