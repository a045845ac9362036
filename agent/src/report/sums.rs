//! What every picture of stacks starts from: the time of each stack, summed over its samples.

use hashbrown::HashMap;

use crate::profile::{Metric, Profile, Reason, StackId};

/// What all samples of one metric with one stack come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct StackSum {
    pub(super) metric: Metric,
    /// `None` for samples without any frame.
    pub(super) stack: Option<StackId>,
    /// Estimated nanoseconds.
    pub(super) nanos: f64,
}

/// The sums in the order of metrics and stacks. Samples without weight, which only continue wake chains, are no part.
pub(super) fn by_stack(profile: &Profile) -> Vec<StackSum> {
    let mut sums: HashMap<(Metric, Option<StackId>), f64> = HashMap::new();
    for sample in profile.samples.iter().filter(|sample| sample.value > 0.0) {
        *sums.entry((sample.metric, sample.stack)).or_default() += sample.value;
    }
    let mut sums: Vec<StackSum> =
        sums.into_iter().map(|((metric, stack), nanos)| StackSum { metric, stack, nanos }).collect();
    sums.sort_unstable_by_key(|sum| (sum.metric, sum.stack));
    sums
}

/// Whether values of different metrics stand side by side, so that the picture must say which is which.
pub(super) fn mixes_metrics<'a>(sums: impl IntoIterator<Item = &'a StackSum>) -> bool {
    let mut sums = sums.into_iter();
    sums.next().is_some_and(|first| sums.any(|sum| sum.metric != first.metric))
}

/// A metric as people see it.
pub(super) fn metric_label(metric: Metric) -> &'static str {
    match metric {
        Metric::OnCpu => "on-CPU",
        Metric::OffCpu(Reason::Blocked) => "off-CPU blocked",
        Metric::OffCpu(Reason::Preempted) => "off-CPU preempted",
        Metric::OffCpu(Reason::IoWait) => "off-CPU io-wait",
    }
}

/// A sum as the whole nanoseconds that formats without fractions take.
pub(super) fn whole_nanos(nanos: f64) -> u64 {
    // Saturates; the figures are positive and far below 2^53 in any capture of less than 100 days.
    nanos.round() as u64
}

/// What the reader must know before trusting the picture: everything lost, and every remark.
pub(super) fn caveats(profile: &Profile) -> Vec<String> {
    let meta = &profile.meta;
    let losses = meta.losses.named().into_iter().filter(|loss| loss.count > 0);
    let mut caveats: Vec<String> = losses.map(|loss| format!("{}: {}", loss.name, loss.count)).collect();
    let unnamed: u64 = meta.symbols.unnamed.values().sum();
    if unnamed > 0 {
        caveats.push(format!("{unnamed} of {} frames without a name", unnamed + meta.symbols.named));
    }
    caveats.extend(meta.remarks.iter().cloned());
    caveats
}
