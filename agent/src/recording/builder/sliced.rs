//! A total that is read again and again during a capture. Its growth becomes a counter for each time slice.

use crate::recording::Slice;
use crate::units::Nanos;

/// A total of intervals at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The time, from the start of the capture.
    pub at: Nanos,
    /// The number of intervals that had ended.
    pub count: u64,
    /// The sum of their lengths, in nanoseconds.
    pub ended: u64,
    /// The length so far of the interval that had not ended, in nanoseconds; 0 if there was none.
    pub ongoing: u64,
}

impl Reading {
    /// What is read at a later time if nothing happens until then: an interval that has not ended becomes longer.
    fn unchanged_until(self, at: Nanos) -> Self {
        let ongoing = if self.ongoing > 0 { self.ongoing + at.since(self.at).0 } else { 0 };
        Self { at, ongoing, ..self }
    }

    /// The time of all intervals until then, in nanoseconds.
    fn time(self) -> u64 {
        self.ended.saturating_add(self.ongoing)
    }
}

/// A reading that differs from the previous one, and the start of its slice: the time until which nothing had changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    since: Nanos,
    reading: Reading,
}

/// The readings of a total. Only those that changed take memory.
#[derive(Clone, Debug, Default)]
pub struct SlicedTotal {
    marks: Vec<Mark>,
}

impl SlicedTotal {
    /// The number of slices in which it changed.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.marks.len()
    }

    /// Adds a reading, later than those before. `since` is the time of the previous one, whether it changed anything or not. The first
    /// reading of a total has the time before which nothing was counted.
    pub fn read(&mut self, since: Nanos, reading: Reading) {
        let last = self.last();
        if reading == last.unchanged_until(reading.at) {
            return;
        }
        match self.marks.last_mut() {
            // The previous one is in the same slice.
            Some(mark) if mark.reading.at > since || mark.reading.at >= reading.at => mark.reading = reading,
            Some(_) => self.marks.push(Mark { since, reading }),
            None => {
                // Most totals have one mark: those of short-lived threads, and of those that sleep all the time.
                self.marks.reserve_exact(1);
                self.marks.push(Mark { since, reading });
            }
        }
    }

    /// Adds the readings of a total that began at zero later, such as that of another thread with the same name.
    pub fn append(&mut self, other: &Self) {
        let base = self.last();
        for Mark { since, reading } in &other.marks {
            let count = base.count.saturating_add(reading.count);
            self.read(*since, Reading { count, ended: base.ended.saturating_add(reading.ended), ..*reading });
        }
    }

    /// Merges the slices between two of these times, in ascending order.
    pub fn merge(&mut self, edges: &[Nanos]) {
        for Mark { since, reading } in std::mem::take(&mut self.marks) {
            let since = match edges.partition_point(|edge| *edge <= since) {
                0 => Nanos(0),
                before => edges[before - 1],
            };
            match self.marks.last_mut() {
                Some(mark) if mark.reading.at > since => mark.reading = reading,
                _ => self.marks.push(Mark { since, reading }),
            }
        }
        self.marks.shrink_to_fit();
    }

    /// The growth in each slice: the number of intervals that ended, and the time of the intervals within the slice. Intervals that had not
    /// ended at the last reading are left out, so that the sums over all slices are those of the last reading.
    ///
    /// A reading may be wrong if a program wrote the total at the same time. A later reading that is lower is then the right one, and
    /// the slices before have less.
    pub fn slices(&self) -> Vec<(Slice, u64, u64)> {
        let last = self.last();
        let (mut count, mut time) = (last.count, last.ended);
        let mut limits: Vec<(u64, u64)> = Vec::with_capacity(self.marks.len());
        for Mark { reading, .. } in self.marks.iter().rev() {
            (count, time) = (count.min(reading.count), time.min(reading.time()));
            limits.push((count, time));
        }
        let mut slices = Vec::with_capacity(self.marks.len());
        let mut add = |begin: Nanos, end: Nanos, count: u64, time: u64| {
            if count > 0 || time > 0 {
                slices.push((Slice { begin: begin.min(end), end }, count, time));
            }
        };
        let (mut before, mut counted, mut timed) = (Reading::default(), 0, 0);
        for (Mark { since, reading }, (count, time)) in self.marks.iter().zip(limits.into_iter().rev()) {
            if before.ongoing > 0 && *since > before.at {
                let slept = since.since(before.at).0.min(time - timed);
                add(before.at, *since, 0, slept);
                timed += slept;
            }
            add((*since).max(before.at), reading.at, count - counted, time - timed);
            (before, counted, timed) = (*reading, count, time);
        }
        slices
    }

    fn last(&self) -> Reading {
        self.marks.last().map_or_else(Reading::default, |mark| mark.reading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(at: u64, count: u64, ended: u64, ongoing: u64) -> Reading {
        Reading { at: Nanos(at), count, ended, ongoing }
    }

    /// Reads a total at these times, each with its number, the sum of what ended, and what had not ended.
    fn read(readings: &[(u64, u64, u64, u64)]) -> SlicedTotal {
        let mut total = SlicedTotal::default();
        let mut since = 0;
        for (at, count, ended, ongoing) in readings.iter().copied() {
            total.read(Nanos(since), reading(at, count, ended, ongoing));
            since = at;
        }
        total
    }

    fn slices(total: &SlicedTotal) -> Vec<(u64, u64, u64, u64)> {
        total.slices().into_iter().map(|(slice, count, time)| (slice.begin.0, slice.end.0, count, time)).collect()
    }

    #[test]
    fn an_interval_is_divided_among_the_slices_that_it_lies_in() {
        // From 30 to 330.
        let total = read(&[(100, 0, 0, 70), (200, 0, 0, 170), (300, 0, 0, 270), (400, 1, 300, 0), (500, 1, 300, 0)]);
        assert_eq!(slices(&total), [(0, 100, 0, 70), (100, 300, 0, 200), (300, 400, 1, 30)]);
        assert_eq!(total.changes(), 2, "what does not change takes no memory");
    }

    #[test]
    fn many_intervals_end_in_a_slice_and_none_while_the_thread_runs() {
        let total = read(&[(100, 5, 80, 0), (200, 5, 80, 0), (300, 5, 80, 0), (400, 9, 120, 10), (450, 10, 140, 0)]);
        assert_eq!(slices(&total), [(0, 100, 5, 80), (300, 400, 4, 50), (400, 450, 1, 10)]);
    }

    #[test]
    fn what_has_not_ended_at_the_end_is_in_no_slice() {
        let total = read(&[(100, 1, 40, 10), (200, 1, 40, 110), (250, 1, 40, 160)]);
        assert_eq!(slices(&total), [(0, 100, 1, 40)]);
        assert_eq!(slices(&read(&[(100, 0, 0, 100), (200, 0, 0, 200)])), []);
    }

    #[test]
    fn a_reading_that_was_too_high_takes_nothing_from_the_sum() {
        // The second one was read while an interval was being counted: it is in both parts.
        let total = read(&[(100, 1, 60, 0), (200, 2, 160, 100), (300, 3, 200, 0)]);
        assert_eq!(slices(&total), [(0, 100, 1, 60), (100, 200, 1, 140), (200, 300, 1, 0)]);
        let lower = read(&[(100, 4, 80, 0), (200, 3, 70, 0), (300, 3, 70, 0)]);
        assert_eq!(slices(&lower), [(0, 100, 3, 70)]);
    }

    #[test]
    fn merged_slices_have_the_same_sums_and_end_at_the_same_edges() {
        let readings: Vec<(u64, u64, u64, u64)> = (1..=8).map(|slice| (100 * slice, slice, 10 * slice, 5)).collect();
        let mut total = read(&readings);
        total.read(Nanos(800), reading(830, 9, 110, 0));
        total.merge(&[200, 400, 600, 800].map(Nanos));
        assert_eq!(
            slices(&total),
            [(0, 200, 2, 25), (200, 400, 2, 20), (400, 600, 2, 20), (600, 800, 2, 20), (800, 830, 1, 25)]
        );
        total.merge(&[400, 800].map(Nanos));
        assert_eq!(slices(&total), [(0, 400, 4, 45), (400, 800, 4, 40), (800, 830, 1, 25)]);
    }

    #[test]
    fn a_long_sleep_keeps_its_slices_when_those_around_are_merged() {
        // From 30 to 530. The reading at 500 changed nothing.
        let mut total = read(&[(100, 0, 0, 70), (500, 0, 0, 470), (600, 1, 500, 0)]);
        assert_eq!(slices(&total), [(0, 100, 0, 70), (100, 500, 0, 400), (500, 600, 1, 30)]);
        total.merge(&[200, 400, 600].map(Nanos));
        assert_eq!(slices(&total), [(0, 100, 0, 70), (100, 400, 0, 300), (400, 600, 1, 130)]);
    }

    #[test]
    fn a_total_that_begins_again_is_added() {
        let mut total = read(&[(100, 2, 20, 0)]);
        let mut next = SlicedTotal::default();
        next.read(Nanos(120), reading(150, 1, 25, 0));
        next.read(Nanos(150), reading(300, 3, 60, 0));
        total.append(&next);
        assert_eq!(slices(&total), [(0, 100, 2, 20), (120, 150, 1, 25), (150, 300, 2, 35)]);
        // In the same slice as the one before.
        let mut short = SlicedTotal::default();
        short.read(Nanos(200), reading(310, 1, 1, 0));
        total.append(&short);
        assert_eq!(slices(&total), [(0, 100, 2, 20), (120, 150, 1, 25), (150, 310, 3, 36)]);
    }
}
