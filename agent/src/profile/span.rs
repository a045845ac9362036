//! The time that a sample covers, and its part in a time window.
//!
//! A window has the part of an interval that lies within it. What the interval represents beyond itself is divided in the same
//! ratio, so a window's sum is an unbiased estimate, too. An instant is not divided: it belongs to the window that contains it.
//! On-CPU time is an instant, whose value is the time up to it, so that at the edges of a window its sum is wrong by less than one
//! sampling interval for each CPU. Windows that do not overlap and cover the capture have the whole value together.

use super::window::Window;
use crate::recording::{MetricKind, Recording, Sample};
use crate::units::Nanos;

/// A time within a capture, at least 1 ns long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The start, from the start of the capture.
    pub start: Nanos,
    /// The end; not included.
    pub end: Nanos,
}

impl Span {
    /// The span that begins at `time`, limited to a capture of this length. An instant, with the length 0, takes 1 ns.
    #[must_use]
    pub fn of(time: Nanos, length: Nanos, capture: Nanos) -> Self {
        let limit = capture.0.max(1);
        let start = time.0.min(limit - 1);
        let end = start.saturating_add(length.0).clamp(start + 1, limit);
        Self { start: Nanos(start), end: Nanos(end) }
    }

    /// The span of a sample.
    pub(super) fn of_sample(recording: &Recording, sample: &Sample) -> Self {
        Self::of(sample.time, length(recording, sample), recording.meta.duration)
    }

    /// The length, at least 1 ns.
    #[must_use]
    pub fn length(self) -> Nanos {
        self.end.since(self.start)
    }

    /// The part in a window, if there is one.
    #[must_use]
    pub fn within(self, window: Window) -> Option<Self> {
        let start = window.since.map_or(self.start, |since| since.max(self.start));
        let end = window.until.map_or(self.end, |until| until.min(self.end));
        (start < end).then_some(Self { start, end })
    }

    /// Whether the end is in a window: in exactly one of adjacent windows.
    #[must_use]
    pub fn ends_in(self, window: Window) -> bool {
        self.within(window).is_some_and(|part| part.end == self.end)
    }
}

/// The length of the interval of a sample; zero for an instant.
pub(super) fn length(recording: &Recording, sample: &Sample) -> Nanos {
    match recording.meta.metric(sample.metric).kind {
        MetricKind::Interval => Nanos(sample.value),
        MetricKind::Instant => Nanos(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(since: u64, until: u64) -> Window {
        Window { since: Some(Nanos(since)), until: Some(Nanos(until)) }
    }

    #[test]
    fn a_span_lies_within_the_capture_whatever_a_file_says() {
        let span = |time, length, capture| {
            let span = Span::of(Nanos(time), Nanos(length), Nanos(capture));
            (span.start.0, span.end.0)
        };
        assert_eq!(span(10, 20, 100), (10, 30));
        assert_eq!(span(10, 0, 100), (10, 11));
        assert_eq!(span(90, 20, 100), (90, 100));
        assert_eq!(span(u64::MAX, u64::MAX, 100), (99, 100));
        assert_eq!(span(0, u64::MAX, 0), (0, 1));
    }

    #[test]
    fn adjacent_windows_have_all_of_a_span_and_one_has_its_end() {
        let span = Span::of(Nanos(150), Nanos(200), Nanos(1_000));
        for edges in [[0, 100, 300, 1_000], [0, 150, 350, 1_000], [0, 349, 350, 351], [150, 151, 200, 350]] {
            let windows = || edges.windows(2).map(|pair| window(pair[0], pair[1]));
            let covered: u64 = windows().filter_map(|part| span.within(part)).map(|part| part.length().0).sum();
            assert_eq!(covered, 200, "{edges:?}");
            assert_eq!(windows().filter(|part| span.ends_in(*part)).count(), 1, "{edges:?}");
        }
        assert_eq!(span.within(window(350, 400)), None);
        assert_eq!(span.within(Window::default()), Some(span));
    }
}
