//! The time axis: divides a capture into buckets of the same width.

use crate::recording::Meta;
use crate::units::{Hertz, Nanos};

/// The maximum number of buckets: a screen shows about two pixels for each.
const MOST: u64 = 500;

/// Equal intervals of a capture, numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buckets {
    /// The number of buckets, at least 1.
    pub(super) count: u16,
    /// The length of each bucket, at least 1 ns. The last one may extend beyond the end of the capture.
    pub(super) width: Nanos,
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
    pub(super) fn of(meta: &Meta) -> Self {
        let duration = meta.duration.0.max(1);
        let shortest = if meta.frequency == 0 { 1 } else { Hertz(meta.frequency).interval().0 };
        let width = duration.div_ceil(MOST).max(shortest).min(duration).max(1);
        let count = u16::try_from(duration.div_ceil(width)).expect("at most 500");
        Self { count, width: Nanos(width) }
    }

    /// The bucket of a time; the first or last one for a time outside the capture.
    pub(super) fn at(self, time: Nanos) -> Piece {
        let last = u64::from(self.count) - 1;
        let first = u16::try_from((time.0 / self.width.0).min(last)).expect("at most 500");
        Piece { first, length: 1, part: 1.0 }
    }

    /// The buckets of an interval: the first one, those that it covers completely, and the last one. The shares add up to 1.
    /// The part after the end of the capture is spread over the part before it.
    pub(super) fn spread(self, start: Nanos, length: Nanos) -> impl Iterator<Item = Piece> {
        let limit = u64::from(self.count) * self.width.0;
        let start = start.0.min(limit - 1);
        let end = start.saturating_add(length.0).clamp(start + 1, limit);
        let (first, last) = (self.at(Nanos(start)).first, self.at(Nanos(end - 1)).first);
        let whole = (end - start) as f64;
        let head = (u64::from(first + 1) * self.width.0).min(end) - start;
        let tail = end.saturating_sub((u64::from(last) * self.width.0).max(start + head));
        let middle = end - start - head - tail;
        [(first, 1, head), (first + 1, (last - first).saturating_sub(1), middle), (last, 1, tail)]
            .into_iter()
            .filter(|(.., nanos)| *nanos > 0)
            .map(move |(first, length, nanos)| Piece { first, length, part: nanos as f64 / whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Buckets = Buckets { count: 10, width: Nanos(100) };

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
            assert!(pieces.iter().all(|piece| piece.first + piece.length <= 10), "{start}+{length}: {pieces:?}");
        }
    }

    #[test]
    fn buckets_are_not_shorter_than_the_sampling_interval() {
        let mut meta = crate::recording::example::meta();
        assert_eq!(Buckets::of(&meta).count, 100);
        meta.duration = Nanos(3_600 * Nanos::SECOND.0);
        assert_eq!(Buckets::of(&meta).count, 500);
        meta.duration = Nanos(0);
        assert_eq!(Buckets::of(&meta), Buckets { count: 1, width: Nanos(1) });
    }
}
