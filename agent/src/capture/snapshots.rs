//! When the counted totals are read: at whole seconds from the start of the capture, so that time windows of whole seconds have
//! nearly exact totals.

use std::time::Duration;

use crate::units::Nanos;

/// The time from one reading to the next.
const INTERVAL: Nanos = Nanos::SECOND;

/// The times of the readings, in CLOCK_MONOTONIC.
#[derive(Debug)]
pub(super) struct Snapshots {
    begin: Nanos,
    next: Nanos,
}

impl Snapshots {
    /// Those of a capture that starts at `begin`.
    pub(super) fn new(begin: Nanos) -> Self {
        Self { begin, next: Nanos(begin.0.saturating_add(INTERVAL.0)) }
    }

    /// Whether the totals are to be read now. Readings that are too late are left out.
    pub(super) fn is_due(&mut self, now: Nanos) -> bool {
        let is_due = now >= self.next;
        if is_due {
            let past = now.since(self.begin).0 / INTERVAL.0;
            self.next = Nanos(self.begin.0.saturating_add((past + 1).saturating_mul(INTERVAL.0)));
        }
        is_due
    }

    /// The time until the next reading, rounded up to the milliseconds of poll(2).
    pub(super) fn until_next(&self, now: Nanos) -> Duration {
        Duration::from_millis(self.next.since(now).0.div_ceil(1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_at_whole_seconds_from_the_start_also_after_a_late_one() {
        let mut snapshots = Snapshots::new(Nanos(500_000_000));
        let millis = |millis: u64| Nanos(millis * 1_000_000);
        let mut due = |now| snapshots.is_due(millis(now));
        assert_eq!([1_499, 1_500, 1_501, 2_499, 2_530, 2_531].map(&mut due), [false, true, false, false, true, false]);
        // The one at 3.5 s was missed.
        assert_eq!([4_700, 5_000, 5_499, 5_500].map(due), [true, false, false, true]);
        assert_eq!(snapshots.until_next(Nanos(6_499_000_001)), Duration::from_millis(1));
        assert_eq!(snapshots.until_next(millis(6_450)), Duration::from_millis(50));
        assert_eq!(snapshots.until_next(millis(7_000)), Duration::ZERO);
    }
}
