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
    let is_of_time =
        matches!(row.scope, Scope::Thread(_)) && recording.meta.metric(metric).kind == MetricKind::Interval;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::build;
    use crate::recording::example::{BLOCKED, CPU, Example};

    const MILLI: u64 = 1_000_000;

    /// A thread that sleeps in the first of four seconds for 600 ms, in the second and the third all the time, and then not.
    fn sleeper() -> (Example, Scope) {
        let mut example = Example::new();
        example.recording.meta.duration = Nanos(4_000 * MILLI);
        let scope = Scope::Thread(example.thread(1, 1, "sleeper"));
        example.sliced_counter(BLOCKED, scope.clone(), (0, 1_000), (3, 600 * MILLI));
        example.sliced_counter(BLOCKED, scope.clone(), (1_000, 3_000), (0, 2_000 * MILLI));
        example.sliced_counter(BLOCKED, scope.clone(), (3_000, 4_000), (1, 0));
        (example, scope)
    }

    /// Count, sum in milliseconds, and largest error in milliseconds, of a window in milliseconds.
    fn counted(example: &Example, since: u64, until: u64) -> (u64, u64, u64) {
        let window = Window { since: Some(Nanos(since * MILLI)), until: Some(Nanos(until * MILLI)) };
        let profile = build(&example.recording, &Selection { window, ..Selection::default() });
        let add = |of: fn(&Counted) -> u64| profile.counters.iter().map(of).sum::<u64>();
        (add(|row| row.count), add(|row| row.sum) / MILLI, add(|row| row.uncertainty) / MILLI)
    }

    #[test]
    fn a_window_has_the_totals_of_the_slices_within_it() {
        let (example, _) = sleeper();
        assert_eq!(counted(&example, 0, 1_000), (3, 600, 0));
        assert_eq!(counted(&example, 0, 3_000), (3, 2_600, 0));
        assert_eq!(counted(&example, 3_000, 4_000), (1, 0, 0));
        assert_eq!(counted(&example, 0, 9_000), (4, 2_600, 0));
        assert_eq!(counted(&example, 4_000, 5_000), (0, 0, 0));
    }

    #[test]
    fn a_slice_that_a_thread_slept_through_is_divided_exactly_and_others_within_bounds() {
        let (example, _) = sleeper();
        assert_eq!(counted(&example, 1_250, 1_500), (0, 250, 0));
        // 600 ms of the first second: from 100 ms, if the thread slept for all of the other half, to 500 ms.
        assert_eq!(counted(&example, 500, 1_000), (2, 300, 200));
        // It slept for at least 500 ms of these 900 ms, and at most for 600 ms.
        assert_eq!(counted(&example, 0, 900), (2, 540, 60));
    }

    #[test]
    fn windows_that_follow_each_other_have_the_whole_total() {
        let (mut example, scope) = sleeper();
        example.sliced_counter(CPU, scope, (0, 4_000), (7, 7 * MILLI));
        for edges in [[0, 333, 3_777, 4_000], [0, 1, 999, 4_000], [0, 600, 601, 4_000]] {
            let parts = || edges.windows(2).map(|pair| counted(&example, pair[0], pair[1]));
            assert_eq!(parts().map(|part| part.0).sum::<u64>(), 11, "{edges:?}");
        }
        let sums = |edges: &[u64]| -> u64 {
            let window = |pair: &[u64]| Window { since: Some(Nanos(pair[0])), until: Some(Nanos(pair[1])) };
            let profile =
                |pair| build(&example.recording, &Selection { window: window(pair), ..Selection::default() }).counters;
            edges.windows(2).flat_map(profile).map(|row| row.sum).sum()
        };
        assert_eq!(sums(&[0, 333_333_333, 333_333_334, 3_777_777_777, 4_000_000_000]), 2_607 * MILLI);
    }

    #[test]
    fn events_of_a_slice_may_all_have_been_at_one_of_its_ends() {
        let (mut example, scope) = sleeper();
        example.recording.counters.clear();
        example.sliced_counter(CPU, scope, (0, 1_000), (10, 1_000 * MILLI));
        assert_eq!(counted(&example, 0, 250), (2, 250, 750));
    }

    #[test]
    fn a_total_without_a_slice_is_that_of_the_capture_in_each_window() {
        let (mut example, scope) = sleeper();
        example.recording.counters.clear();
        example.counter(BLOCKED, scope, 3, 5 * MILLI);
        assert_eq!(counted(&example, 0, 1), (3, 5, 0));
    }
}
