//! The time axis: divides a capture, or the selected window of it, into buckets of the same width.

use crate::profile::Window;
use crate::recording::Meta;
use crate::units::{Hertz, Nanos};

/// The maximum number of buckets: a screen shows about two pixels for each.
const MOST: u64 = 500;

/// Equal intervals of a capture, numbered from 0. What lies after the last one has the number `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buckets {
    /// The number of buckets, at least 1.
    pub(super) count: u16,
    /// The length of each bucket, at least 1 ns. The last one may extend beyond the end of the axis.
    pub(super) width: Nanos,
    /// The start of the axis, from the start of the capture.
    pub(super) start: Nanos,
    /// The length of the axis, at least 1 ns.
    pub(super) length: Nanos,
}

/// Adjacent buckets over which a value is spread evenly, and the share of the value in them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) first: u16,
    pub(super) length: u16,
    pub(super) part: f64,
}

impl Buckets {
    /// At most 500 buckets, each at least as long as the CPU sampling interval: shorter ones would show aliasing.
    pub(super) fn of(meta: &Meta, window: Window) -> Self {
        let end = window.until.map_or(meta.duration, |until| until.min(meta.duration));
        let start = window.since.unwrap_or_default().min(end);
        let duration = (end.0 - start.0).max(1);
        let shortest = if meta.frequency == 0 { 1 } else { Hertz(meta.frequency).interval().0 };
        let width = duration.div_ceil(MOST).max(shortest).min(duration).max(1);
        let count = u16::try_from(duration.div_ceil(width)).expect("at most 500");
        Self { count, width: Nanos(width), start, length: Nanos(duration) }
    }

    /// The bucket of a time; the first or last one for a time outside the axis.
    pub(super) fn at(self, time: Nanos) -> Piece {
        let last = u64::from(self.count) - 1;
        let first = u16::try_from((time.0.saturating_sub(self.start.0) / self.width.0).min(last)).expect("at most 500");
        Piece { first, length: 1, part: 1.0 }
    }

    /// The buckets of an interval: the first one, those that it covers completely, the last one, and `count` for what lies after the
    /// axis. The shares add up to 1.
    pub(super) fn spread(self, start: Nanos, length: Nanos) -> impl Iterator<Item = Piece> {
        let limit = self.length.0;
        let start = start.0.saturating_sub(self.start.0).min(u64::MAX - 1);
        let end = start.saturating_add(length.0).max(start + 1);
        let whole = (end - start) as f64;
        let after = end.saturating_sub(start.max(limit));
        let end = end - after;
        let bucket = |place: u64| u16::try_from(place / self.width.0).unwrap_or(u16::MAX).min(self.count);
        let (first, last) = (bucket(start), bucket(end.max(start + 1) - 1));
        let head = (u64::from(first) + 1).saturating_mul(self.width.0).min(end).saturating_sub(start);
        let tail = end.saturating_sub((u64::from(last) * self.width.0).max(start + head));
        let middle = end - start - head - tail;
        [
            (first, 1, head),
            (first + 1, (last - first).saturating_sub(1), middle),
            (last, 1, tail),
            (self.count, 1, after),
        ]
        .into_iter()
        .filter(|(.., nanos)| *nanos > 0)
        .map(move |(first, length, nanos)| Piece { first, length, part: nanos as f64 / whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Buckets = Buckets { count: 10, width: Nanos(100), start: Nanos(0), length: Nanos(1_000) };

    #[test]
    fn a_stretch_is_spread_over_the_buckets_that_it_covers() {
        let pieces: Vec<_> = TEN.spread(Nanos(150), Nanos(400)).collect();
        assert_eq!(
            pieces,
            [
                Piece { first: 1, length: 1, part: 0.125 },
                Piece { first: 2, length: 3, part: 0.75 },
                Piece { first: 5, length: 1, part: 0.125 },
            ]
        );
        let within: Vec<_> = TEN.spread(Nanos(150), Nanos(50)).collect();
        assert_eq!(within, [Piece { first: 1, length: 1, part: 1.0 }]);
    }

    #[test]
    fn nothing_of_a_stretch_is_lost_wherever_it_lies() {
        for (start, length) in [(0, 0), (0, 1_000), (990, 5_000), (5_000, 10), (99, 2), (100, 100), (0, u64::MAX)] {
            let pieces: Vec<_> = TEN.spread(Nanos(start), Nanos(length)).collect();
            let sum: f64 = pieces.iter().map(|piece| piece.part).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{start}+{length}: {pieces:?}");
            assert!(pieces.iter().all(|piece| piece.first + piece.length <= 11), "{start}+{length}: {pieces:?}");
        }
    }

    #[test]
    fn what_lies_after_the_axis_is_apart() {
        let pieces: Vec<_> = TEN.spread(Nanos(950), Nanos(100)).collect();
        let [last, after] = [9, 10].map(|first| Piece { first, length: 1, part: 0.5 });
        assert_eq!(pieces, [last, after]);
        assert_eq!(TEN.spread(Nanos(1_000), Nanos(10)).collect::<Vec<_>>(), [Piece { part: 1.0, ..after }]);
    }

    #[test]
    fn a_window_has_all_buckets() {
        let mut meta = crate::recording::example::meta();
        meta.duration = Nanos(3_600 * Nanos::SECOND.0);
        let window = Window { since: Some(Nanos(10 * Nanos::SECOND.0)), until: Some(Nanos(60 * Nanos::SECOND.0)) };
        let buckets = Buckets::of(&meta, window);
        assert_eq!((buckets.count, buckets.width, buckets.start), (500, Nanos(100_000_000), Nanos(10_000_000_000)));
        assert_eq!(buckets.at(Nanos(10_150_000_000)).first, 1);
        assert_eq!(buckets.spread(Nanos(59_950_000_000), Nanos(25_000_000)).next().map(|piece| piece.first), Some(499));
        // Beyond the capture there is nothing to draw.
        let late = Window { since: Some(Nanos(u64::MAX)), until: None };
        assert_eq!(Buckets::of(&meta, late).count, 1);
    }

    #[test]
    fn buckets_are_not_shorter_than_the_sampling_interval() {
        let mut meta = crate::recording::example::meta();
        assert_eq!(Buckets::of(&meta, Window::default()).count, 100);
        meta.duration = Nanos(3_600 * Nanos::SECOND.0);
        assert_eq!(Buckets::of(&meta, Window::default()).count, 500);
        meta.duration = Nanos(0);
        let nothing = Buckets { count: 1, width: Nanos(1), start: Nanos(0), length: Nanos(1) };
        assert_eq!(Buckets::of(&meta, Window::default()), nothing);
    }
}
