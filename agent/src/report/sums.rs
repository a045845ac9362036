//! The value of each stack, summed over its samples: the input of all formats for stacks.

use hashbrown::HashMap;

use super::share::unnamed_in_words;
use crate::profile::{Profile, Weighted};
use crate::recording::{FrameId, MetricId, StackId, Unit};

/// The sum of all samples of one metric with one stack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct StackSum {
    pub(super) metric: MetricId,
    /// The stack; `None` for samples without frames.
    pub(super) stack: Option<StackId>,
    /// The estimated value, in the unit of the metric.
    pub(super) value: f64,
}

/// The sums in the order of metrics and stacks, without samples that only continue wake chains.
pub(super) fn by_stack(profile: &Profile) -> Vec<StackSum> {
    sums_of(profile.samples.iter())
}

/// The same for a drawing: without idle threads, unless the report lists them.
pub(super) fn drawn_by_stack(profile: &Profile) -> Vec<StackSum> {
    sums_of(profile.samples.iter().filter(|sample| !profile.folds(sample)))
}

fn sums_of<'a>(samples: impl Iterator<Item = &'a Weighted>) -> Vec<StackSum> {
    let mut sums: HashMap<(MetricId, Option<StackId>), f64> = HashMap::new();
    for sample in samples.filter(|sample| sample.value > 0.0) {
        *sums.entry((sample.metric, sample.stack)).or_default() += sample.value;
    }
    let mut sums: Vec<StackSum> =
        sums.into_iter().map(|((metric, stack), value)| StackSum { metric, stack, value }).collect();
    sums.sort_unstable_by_key(|sum| (sum.metric, sum.stack));
    sums
}

/// The stack of each sum.
pub(super) fn stacks(sums: &[StackSum]) -> impl Iterator<Item = Option<StackId>> + '_ {
    sums.iter().map(|sum| sum.stack)
}

/// The total size of all frames if each stack is written in full, from the size of each frame. A tree of a thousand nodes may contain
/// a hundred thousand frames.
pub(super) fn sum_of_stacks(
    profile: &Profile,
    stacks: impl Iterator<Item = Option<StackId>>,
    size: impl Fn(FrameId) -> u64,
) -> u64 {
    let mut sizes: Vec<u64> = Vec::with_capacity(profile.stacks.rows().len());
    for node in profile.stacks.rows() {
        let callers = node.parent.map_or(0, |parent| sizes[parent.index()]);
        sizes.push(size(node.frame).saturating_add(callers));
    }
    stacks.flatten().map(|stack| sizes[stack.index()]).fold(0, u64::saturating_add)
}

/// Whether there are values of several metrics, so that stacks must begin with the metric.
pub(super) fn mixes_metrics<'a>(sums: impl IntoIterator<Item = &'a StackSum>) -> bool {
    let mut sums = sums.into_iter();
    sums.next().is_some_and(|first| sums.any(|sum| sum.metric != first.metric))
}

/// A metric as the first frame of a stack: `On-CPU`, `Off-CPU blocked`, `Heap allocated [bytes]`. Times have no unit.
pub(super) fn metric_label(profile: &Profile, metric: MetricId) -> String {
    let label = profile.meta.full_label(metric);
    match profile.metric(metric).unit {
        Unit::Nanoseconds => label,
        unit => format!("{label} [{}]", unit.name()),
    }
}

/// A sum, rounded for formats with integer values.
pub(super) fn whole(value: f64) -> u64 {
    // The conversion saturates. The values are positive, and far below 2^53 in any capture of less than 100 days.
    value.round() as u64
}

/// All losses and remarks, which a reader must know to trust the report.
pub(super) fn caveats(profile: &Profile) -> Vec<String> {
    let meta = &profile.meta;
    let losses = meta.losses.named().into_iter().filter(|loss| loss.count > 0);
    let mut caveats: Vec<String> = losses.map(|loss| format!("{}: {}", loss.name, loss.count)).collect();
    caveats.extend(unnamed_in_words(profile));
    caveats.extend(meta.remarks.iter().cloned());
    caveats
}
