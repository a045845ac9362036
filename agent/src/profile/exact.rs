//! The counters and histograms of a selection.

use std::collections::BTreeMap;

use super::select::Selection;
use super::span::Span;
use super::window::Window;
use crate::recording::{Counter, Histogram, MetricId, MetricKind, Recording, Scope, Slice};
use crate::units::Nanos;

/// A counted total of the selected window.
///
/// A window has the totals of the slices within it. Those that its edges cut are divided in proportion to time. A thread is
/// either off a CPU or not, so that this is exact if one interval lasted for the whole slice, and `uncertainty` is a bound otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The metric that was counted.
    pub metric: MetricId,
    /// The scope in which it was counted.
    pub scope: Scope,
    /// The part of the slice that lies in the window; `None` if the total is only known for the whole capture, and is that of it.
    pub slice: Option<Slice>,
    /// The number of events. An interval belongs to the slice in which it ended.
    pub count: u64,
    /// The sum of their values, in the unit of the metric; of an interval, only the part in the slice.
    pub sum: u64,
    /// The largest possible error of `sum`; 0 if it is exact.
    pub uncertainty: u64,
}

/// The selected counters. They cover all functions, so that there are none if samples are selected by their stacks.
pub(super) fn counters(recording: &Recording, selection: &Selection) -> Vec<Counted> {
    if !selection.stacks.takes_all() {
        return Vec::new();
    }
    let metrics = selection.metrics(&recording.meta);
    let takes = |row: &&Counter| metrics[row.metric.index()] && takes_scope(recording, selection, &row.scope);
    let rows = recording.counters.iter().filter(takes);
    rows.filter_map(|row| in_window(recording, row, selection.window)).collect()
}

/// The part of a total in a window; `None` if there is none.
fn in_window(recording: &Recording, row: &Counter, window: Window) -> Option<Counted> {
    let Counter { metric, scope, slice, count, sum } = row.clone();
    let whole = Counted { metric, scope, slice, count, sum, uncertainty: 0 };
    let Some(Slice { begin, end }) = slice else { return Some(whole) };
    let span = Span::of(begin, end.since(begin), recording.meta.duration);
    let part = span.within(window)?;
    if part == span {
        return Some(whole);
    }
    let up_to = |total: u64, time: Nanos| {
        let share = u128::from(total) * u128::from(time.since(span.start).0) / u128::from(span.length().0);
        u64::try_from(share).unwrap_or(u64::MAX)
    };
    // Windows that do not overlap have the whole total together.
    let divided = |total| up_to(total, part.end) - up_to(total, part.start);
    let is_of_time = matches!(row.scope, Scope::Thread(_)) && recording.meta.metric(metric).kind == MetricKind::Interval;
    let (least, most) = if is_of_time {
        let least = sum.saturating_sub(span.length().0 - part.length().0);
        (least, sum.min(part.length().0).max(least))
    } else {
        (0, sum)
    };
    let divided_sum = divided(sum).clamp(least, most);
    Some(Counted {
        slice: Some(Slice { begin: part.start, end: part.end }),
        count: divided(count),
        sum: divided_sum,
        uncertainty: (divided_sum - least).max(most - divided_sum),
        ..whole
    })
}

/// The selected histograms, added up for each metric and scope, in this order. As with counters, there are none if samples are selected
/// by their stacks.
pub(super) fn histograms(recording: &Recording, selection: &Selection) -> Vec<Histogram> {
    if !selection.stacks.takes_all() {
        return Vec::new();
    }
    let metrics = selection.metrics(&recording.meta);
    let mut sums: BTreeMap<(MetricId, &Scope), Histogram> = BTreeMap::new();
    for row in &recording.histograms {
        if !metrics[row.metric.index()] || !takes_scope(recording, selection, &row.scope) {
            continue;
        }
        match sums.get_mut(&(row.metric, &row.scope)) {
            None => drop(sums.insert((row.metric, &row.scope), row.clone())),
            // A sum takes any value, so that nothing is refused.
            Some(sum) => sum.counts.add(&row.counts).unwrap_or_default(),
        }
    }
    sums.into_values().collect()
}

/// Counters of scopes other than threads are only part of a selection of all threads.
fn takes_scope(recording: &Recording, selection: &Selection, scope: &Scope) -> bool {
    match scope {
        Scope::Thread(thread) => selection.takes_thread(recording, *thread),
        Scope::Host | Scope::Cpu(_) | Scope::Cgroup(_) => selection.takes_all_threads(),
    }
}
