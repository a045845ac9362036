//! The time axis: divides a capture, or the selected window of it, into buckets of the same width.

use crate::profile::{Span, Window};
use crate::recording::Meta;
use crate::units::{Hertz, Nanos};

/// The maximum number of buckets: a screen shows about two pixels for each.
const MOST: u64 = 500;

/// Equal intervals of a capture, numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buckets {
    /// The number of buckets, at least 1.
    pub(super) count: u16,
    /// The length of each bucket, at least 1 ns. The last one is shorter if the axis ends within it.
    pub(super) width: Nanos,
    /// The start of the axis, from the start of the capture.
    pub(super) start: Nanos,
    /// The length of the axis, at least 1 ns.
    pub(super) length: Nanos,
}

impl Buckets {
    /// At most 500 buckets, each at least as long as the CPU sampling interval: shorter ones would show aliasing. Their width is
    /// round, so that a window of whole seconds, or of tenths in a short capture, begins and ends with a bucket.
    pub(super) fn of(meta: &Meta, window: Window) -> Self {
        let end = window.until.map_or(meta.duration, |until| until.min(meta.duration));
        let start = window.since.unwrap_or_default().min(end);
        let length = end.since(start).0.max(1);
        let shortest = if meta.frequency == 0 { 1 } else { Hertz(meta.frequency).interval().0 };
        let width = round_up(length.div_ceil(MOST).max(shortest)).min(length);
        let count = u16::try_from(length.div_ceil(width)).expect("at most 500");
        Self { count, width: Nanos(width), start, length: Nanos(length) }
    }

    /// The bucket of a time; the first or last one for a time outside the axis.
    pub(super) fn at(self, time: Nanos) -> u16 {
        u16::try_from(time.since(self.start).0 / self.width.0)
            .map_or(self.count - 1, |bucket| bucket.min(self.count - 1))
    }

    /// The time at the start of a bucket; the end of the axis for the number after the last one. As `timeOf` in `data.js`.
    pub(super) fn edge(self, bucket: u16) -> Nanos {
        let place = u64::from(bucket).saturating_mul(self.width.0).min(self.length.0);
        Nanos(self.start.0.saturating_add(place))
    }

    /// A span that lies within one bucket takes the whole bucket, so that a sum of such spans is one row. Windows consist of whole
    /// buckets, so this changes no sum of a window.
    pub(super) fn simplified(self, span: Span) -> Span {
        let bucket = self.at(span.start);
        if bucket != self.at(Nanos(span.end.0 - 1)) {
            return span;
        }
        Span { start: self.edge(bucket), end: self.edge(bucket + 1) }
    }
}

/// The next of 1, 2, 2.5 and 5 times a power of ten.
fn round_up(nanos: u64) -> u64 {
    let power = 10_u64.pow(nanos.max(1).ilog10());
    let steps = [10, 20, 25, 50, 100].map(|tenths| u64::try_from(u128::from(power) * tenths / 10).unwrap_or(u64::MAX));
    steps.into_iter().find(|step| *step >= nanos).unwrap_or(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Buckets = Buckets { count: 10, width: Nanos(100), start: Nanos(0), length: Nanos(1_000) };

    fn simplified(start: u64, end: u64) -> (u64, u64) {
        let span = TEN.simplified(Span { start: Nanos(start), end: Nanos(end) });
        (span.start.0, span.end.0)
    }

    #[test]
    fn a_span_within_a_bucket_takes_it_and_a_longer_one_keeps_its_ends() {
        assert_eq!(simplified(150, 151), (100, 200));
        assert_eq!(simplified(100, 200), (100, 200));
        assert_eq!(simplified(199, 201), (199, 201));
        assert_eq!(simplified(950, 1_000), (900, 1_000));
        assert_eq!(simplified(0, 1_000), (0, 1_000));
    }

    #[test]
    fn buckets_are_those_of_the_axis_and_the_last_one_ends_with_it() {
        let late = Buckets { start: Nanos(30), length: Nanos(950), ..TEN };
        assert_eq!([29, 30, 129, 130, 979, 980].map(|time| late.at(Nanos(time))), [0, 0, 0, 1, 9, 9]);
        assert_eq!([0, 1, 9, 10].map(|bucket| late.edge(bucket).0), [30, 130, 930, 980]);
        let simplified = |start, end| late.simplified(Span { start: Nanos(start), end: Nanos(end) });
        assert_eq!(simplified(99, 101), Span { start: Nanos(30), end: Nanos(130) });
        assert_eq!(simplified(129, 131), Span { start: Nanos(129), end: Nanos(131) });
        assert_eq!(simplified(940, 941), Span { start: Nanos(930), end: Nanos(980) });
    }

    #[test]
    fn buckets_are_not_shorter_than_the_sampling_interval_and_have_a_round_width() {
        let mut meta = crate::recording::example::meta();
        let mut of = |duration| {
            meta.duration = Nanos(duration);
            let buckets = Buckets::of(&meta, Window::default());
            assert_eq!((buckets.start, buckets.edge(buckets.count)), (Nanos(0), Nanos(duration.max(1))));
            (buckets.count, buckets.width.0)
        };
        let second = Nanos::SECOND.0;
        assert_eq!(of(second), (50, 20_000_000));
        assert_eq!(of(10 * second + 100_000_000), (404, 25_000_000));
        assert_eq!(of(3_600 * second), (360, 10 * second));
        assert_eq!(of(7), (1, 7));
        assert_eq!(of(0), (1, 1));
        let (count, width) = of(u64::MAX);
        assert!(count <= 500 && u128::from(width) * u128::from(count) >= u128::from(u64::MAX));
    }

    #[test]
    fn a_window_has_all_buckets() {
        let mut meta = crate::recording::example::meta();
        let second = Nanos::SECOND.0;
        meta.duration = Nanos(3_600 * second);
        let window = |since, until| Window { since: Some(Nanos(since)), until: Some(Nanos(until)) };
        let buckets = Buckets::of(&meta, window(10 * second, 60 * second));
        assert_eq!((buckets.count, buckets.width, buckets.start), (500, Nanos(second / 10), Nanos(10 * second)));
        assert_eq!(buckets.edge(500), Nanos(60 * second));
        assert_eq!(Buckets::of(&meta, window(3_599 * second, u64::MAX)).edge(50), meta.duration);
        // Beyond the capture there is nothing to draw.
        assert_eq!(Buckets::of(&meta, window(u64::MAX, u64::MAX)).count, 1);
    }

    #[test]
    fn a_time_outside_of_the_capture_is_in_the_last_bucket() {
        assert_eq!([0, 99, 100, 999, 1_000, u64::MAX].map(|time| TEN.at(Nanos(time))), [0, 0, 1, 9, 9, 9]);
    }
}
