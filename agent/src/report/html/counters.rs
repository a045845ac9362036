//! The counted totals of threads by time slice. `counted.js` makes those of a window from them.

use crate::profile::{Counted, Profile};
use crate::recording::Scope;
use crate::units::Nanos;

/// The maximum number of rows, about 3 MB, unless there are more totals than that. Adjacent slices are merged beyond it.
const MOST: usize = 1 << 16;

/// The length of most slices.
const SHORTEST: Nanos = Nanos::SECOND;

/// Metric, thread, count, sum, the largest possible error of the sum, and the start and the end of the slice in nanoseconds from the
/// start of the capture; null for a total of the whole capture.
pub(super) type Row = (u16, u32, u64, u64, u64, Option<u64>, Option<u64>);

/// The totals of the threads of a profile.
pub(super) fn counters(profile: &Profile) -> Vec<Row> {
    within(profile, MOST)
}

fn within(profile: &Profile, most: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = profile.counters.iter().filter_map(row).collect();
    rows.sort_unstable_by_key(|(metric, thread, .., end)| (*thread, *metric, *end));
    let mut cell = Nanos(1);
    merge(&mut rows, cell);
    // Cells of twice the length contain whole cells, so that what was merged stays so.
    while rows.len() > most && cell < profile.meta.duration {
        cell = Nanos(cell.0.saturating_mul(2)).max(SHORTEST);
        merge(&mut rows, cell);
    }
    rows
}

fn row(total: &Counted) -> Option<Row> {
    let Scope::Thread(thread) = total.scope else { return None };
    let (begin, end) = (total.slice.map(|slice| slice.begin.0), total.slice.map(|slice| slice.end.0));
    Some((total.metric.0, thread.row(), total.count, total.sum, total.uncertainty, begin, end))
}

/// Adds those of a thread and metric that end in the same multiple of `cell`.
fn merge(rows: &mut Vec<Row>, cell: Nanos) {
    let place = |row: &Row| (row.1, row.0, row.6.map(|end| end.div_ceil(cell.0)));
    rows.dedup_by(|next, row| {
        let is_same = place(next) == place(row);
        if is_same {
            row.2 = row.2.saturating_add(next.2);
            row.3 = row.3.saturating_add(next.3);
            row.4 = row.4.saturating_add(next.4);
            row.5 = row.5.min(next.5);
            row.6 = row.6.max(next.6);
        }
        is_same
    });
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
