//! Sorts records from many ring buffers by time.
//!
//! A ring buffer is in order, except for the time between reading the clock and reserving space in it. [`Sorter`] requires that
//! its caller releases records only up to a slack before it began to read the ring buffers, and that the slack is longer than
//! any run of a program: [`SLACK`] is 2 ms, a hundred times the slowest observed stack walk.
//!
//! A record that arrives later is released at the next call. It is out of order, but not lost.

use crate::units::Nanos;

/// The time before reading began up to which records are released.
pub const SLACK: Nanos = Nanos(2_000_000);

/// Holds records until all earlier ones have arrived. Memory is reused, without an allocation for each record.
#[derive(Debug, Default)]
pub struct Sorter {
    bytes: Vec<u64>,
    entries: Vec<Entry>,
    spare: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    time: Nanos,
    /// The index of its first 8-byte word in `bytes`.
    start: usize,
    /// The length in bytes.
    length: usize,
}

impl Sorter {
    /// Adds a record.
    pub fn push(&mut self, time: Nanos, record: &[u8]) {
        let start = self.bytes.len();
        self.bytes.resize(start + record.len().div_ceil(8), 0);
        bytemuck::cast_slice_mut(&mut self.bytes[start..])[..record.len()].copy_from_slice(record);
        self.entries.push(Entry { time, start, length: record.len() });
    }

    /// Passes records up to `until` to a callback, in order of time. Records of the same time keep the order in which they were added.
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
