//! Putting records from many rings in the order of their times.
//!
//! Each ring is in order by itself, up to the time that a program takes between reading the clock and reserving room.
//! What the generic [`Sorter`] assumes, and what a caller has to see to:
//! - every ring was emptied after the moment that `release` is told to release up to, less a slack;
//! - the slack is longer than any program's run: [`SLACK`] is 2 ms, a hundred times the slowest stack walk seen.
//!
//! A record that comes later than that is released late, at the next call, never lost.

use crate::units::Nanos;

/// How far behind the rings' emptying records are released.
pub const SLACK: Nanos = Nanos(2_000_000);

/// Holds byte records until all earlier ones are there. Its memory is reused: no allocation per record.
#[derive(Debug, Default)]
pub struct Sorter {
    bytes: Vec<u64>,
    entries: Vec<Entry>,
    spare: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    time: Nanos,
    /// Of the first 8-byte word in `bytes`.
    start: usize,
    /// In bytes.
    length: usize,
}

impl Sorter {
    /// Takes a record in.
    pub fn push(&mut self, time: Nanos, record: &[u8]) {
        let start = self.bytes.len();
        self.bytes.resize(start + record.len().div_ceil(8), 0);
        bytemuck::cast_slice_mut(&mut self.bytes[start..])[..record.len()].copy_from_slice(record);
        self.entries.push(Entry { time, start, length: record.len() });
    }

    /// Gives out the records up to `until`, in order of time; those of one time in the order in which they came.
    pub fn release(&mut self, until: Nanos, mut each: impl FnMut(&[u8])) {
        self.entries.sort_by_key(|entry| entry.time);
        let ready = self.entries.partition_point(|entry| entry.time <= until);
        for entry in self.entries.drain(..ready) {
            each(record(&self.bytes, entry));
        }
        self.spare.clear();
        for entry in &mut self.entries {
            let words = entry.length.div_ceil(8);
            let start = self.spare.len();
            self.spare.extend_from_slice(&self.bytes[entry.start..entry.start + words]);
            entry.start = start;
        }
        std::mem::swap(&mut self.bytes, &mut self.spare);
    }
}

fn record(bytes: &[u64], entry: Entry) -> &[u8] {
    &bytemuck::cast_slice(&bytes[entry.start..])[..entry.length]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn released(sorter: &mut Sorter, until: u64) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        sorter.release(Nanos(until), |record| out.push(record.to_vec()));
        out
    }

    #[test]
    fn records_come_out_in_order_of_time_and_only_up_to_the_limit() {
        let mut sorter = Sorter::default();
        sorter.push(Nanos(30), b"thirty");
        sorter.push(Nanos(10), b"ten");
        sorter.push(Nanos(20), b"twenty, a longer one");
        assert_eq!(released(&mut sorter, 20), [b"ten".to_vec(), b"twenty, a longer one".to_vec()]);
        sorter.push(Nanos(25), b"25");
        assert_eq!(released(&mut sorter, 100), [b"25".to_vec(), b"thirty".to_vec()]);
        assert!(released(&mut sorter, u64::MAX).is_empty());
    }

    #[test]
    fn records_of_one_time_keep_their_order() {
        let mut sorter = Sorter::default();
        for text in [b"a", b"b", b"c"] {
            sorter.push(Nanos(5), text);
        }
        assert_eq!(released(&mut sorter, 5), [b"a", b"b", b"c"]);
    }

    #[test]
    fn a_late_record_is_released_late_and_not_lost() {
        let mut sorter = Sorter::default();
        sorter.push(Nanos(50), b"first");
        assert_eq!(released(&mut sorter, 60).len(), 1);
        sorter.push(Nanos(40), b"late");
        assert_eq!(released(&mut sorter, 60), [b"late".to_vec()]);
    }
}
