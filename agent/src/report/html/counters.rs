//! The counted totals of threads by time slice. `counted.js` makes those of a window from them.

use std::collections::BTreeMap;

use crate::profile::{Counted, Profile};
use crate::recording::{MetricId, Scope, Slice, ThreadIdx};
use crate::units::Nanos;

/// The maximum number of rows, about 3 MB, unless there are more totals than that. Adjacent slices are merged beyond it.
const MOST: usize = 1 << 16;

/// The length of the slices of a capture.
const SHORTEST: Nanos = Nanos::SECOND;

/// Metric, thread, count, sum, the largest possible error of the sum, and the start and the end of the slice in nanoseconds from the
/// start of the capture; null for a total of the whole capture.
pub(super) type Row = (u16, u32, u64, u64, u64, Option<u64>, Option<u64>);

/// The totals of the threads of a profile.
pub(super) fn counters(profile: &Profile) -> Vec<Row> {
    within(profile, MOST)
}

fn within(profile: &Profile, most: usize) -> Vec<Row> {
    let mut rows = merged(&profile.counters, Nanos(1));
    let mut cell = SHORTEST;
    while rows.len() > most && cell < profile.meta.duration {
        cell = Nanos(cell.0.saturating_mul(2));
        rows = merged(&profile.counters, cell);
    }
    rows
}

/// The totals, of which those of a thread and metric that end in the same multiple of `cell` are one.
fn merged(counters: &[Counted], cell: Nanos) -> Vec<Row> {
    let mut sums: BTreeMap<(ThreadIdx, MetricId, Option<u64>), Counted> = BTreeMap::new();
    for row in counters {
        let Scope::Thread(thread) = row.scope else { continue };
        let place = row.slice.map(|slice| slice.end.0.div_ceil(cell.0));
        let Some(sum) = sums.get_mut(&(thread, row.metric, place)) else {
            sums.insert((thread, row.metric, place), row.clone());
            continue;
        };
        sum.count = sum.count.saturating_add(row.count);
        sum.sum = sum.sum.saturating_add(row.sum);
        sum.uncertainty = sum.uncertainty.saturating_add(row.uncertainty);
        if let (Some(all), Some(slice)) = (&mut sum.slice, row.slice) {
            *all = Slice { begin: all.begin.min(slice.begin), end: all.end.max(slice.end) };
        }
    }
    let row = |((thread, metric, _), row): ((ThreadIdx, MetricId, _), Counted)| {
        let time = |of: fn(Slice) -> Nanos| row.slice.map(|slice| of(slice).0);
        let (begin, end) = (time(|slice| slice.begin), time(|slice| slice.end));
        (metric.0, thread.row(), row.count, row.sum, row.uncertainty, begin, end)
    };
    sums.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Selection, build};
    use crate::recording::example::{BLOCKED, Example, PREEMPTED};

    /// A capture of ten minutes with two totals of a thread in each second.
    fn profile() -> Profile {
        let mut example = Example::new();
        example.recording.meta.duration = Nanos(600 * Nanos::SECOND.0);
        let thread = example.thread(1, 1, "worker");
        for second in 0..600 {
            let slice = (1_000 * second, 1_000 * (second + 1));
            example.sliced_counter(BLOCKED, Scope::Thread(thread), slice, (3, 500_000_000));
            example.sliced_counter(PREEMPTED, Scope::Thread(thread), slice, (1, 1_000));
        }
        example.counter(BLOCKED, Scope::Thread(thread), 1, 7);
        build(&example.recording, &Selection::default())
    }

    #[test]
    fn slices_beyond_the_limit_are_merged_with_their_neighbours() {
        let profile = profile();
        let sum = |rows: &[Row]| rows.iter().map(|row| (row.2, row.3)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        let all = within(&profile, 2_000);
        assert_eq!(all.len(), 1_201);
        let fewer = within(&profile, 400);
        assert_eq!(fewer.len(), 301);
        assert_eq!(sum(&fewer), sum(&all));
        let second = Nanos::SECOND.0;
        assert_eq!(fewer[1], (1, 0, 12, 2 * second, 0, Some(0), Some(4 * second)));
        // Each total stays what it is, whatever the limit.
        assert_eq!(within(&profile, 0).len(), 3);
    }
}
