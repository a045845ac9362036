//! The mappings of one process over time.

use std::sync::Arc;

use super::mappings::{Mapping, Mappings};
use crate::inspect::{FileNumber, Owner};
use crate::units::{Addr, Nanos};

/// A process, from the execution of a program, or a fork, to the next.
pub(super) struct Space {
    /// Distinguishes processes with the same PID.
    pub(super) serial: u64,
    /// Shared with the parent until one of them changes.
    pub(super) mappings: Arc<Mappings>,
    /// Mappings that were read from `/proc`, for samples from then on.
    pub(super) reading: Option<Reading>,
    /// Whether `mappings` has been complete.
    pub(super) known: bool,
    /// See [`CodeLocator::version`](crate::recording::CodeLocator::version).
    pub(super) version: u64,
    /// Whether [`MappingEvent::Exec`](super::MappingEvent::Exec) of the program that is executed was seen, and
    /// [`MappingEvent::Executed`](super::MappingEvent::Executed) not yet.
    pub(super) is_executing: bool,
    /// The number of losses of events when the mappings were last read, or began.
    pub(super) losses: u64,
    /// The number of polls from which on they may be read again because of a loss.
    pub(super) reread_at: u64,
    /// `misses` when `version` last changed.
    pub(super) misses_before: u32,
    pub(super) ended: bool,
    /// The number of the last lookup.
    pub(super) last_used: u64,
    /// The number of addresses without a mapping.
    pub(super) misses: u32,
    /// The number of addresses in memory without a file.
    pub(super) anonymous: u32,
    /// Names of JIT-compiled code.
    pub(super) perf_map: PerfMap,
}

/// The mappings in `/proc/PID/maps`. Events after the begin of the reading may be in it or not.
pub(super) struct Reading {
    /// The time before it began.
    pub(super) begun: Nanos,
    /// The time when it had ended.
    pub(super) ended: Nanos,
    pub(super) mappings: Mappings,
}

/// The file with the names of JIT-compiled code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PerfMap {
    /// It was not looked for, or does not exist.
    None,
    /// It is being opened.
    Opening,
    /// It is open.
    Held(FileNumber, Owner),
    /// Opening it took too long.
    TimedOut,
}

impl Space {
    /// A process that has begun. `known` tells whether `mappings` are complete.
    pub(super) fn new(serial: u64, mappings: Arc<Mappings>, known: bool) -> Self {
        Self {
            serial,
            version: serial,
            mappings,
            reading: None,
            known,
            is_executing: false,
            losses: 0,
            reread_at: 0,
            misses_before: 0,
            ended: false,
            last_used: 0,
            misses: 0,
            anonymous: 0,
            perf_map: PerfMap::None,
        }
    }

    /// The mapping of an address.
    pub(super) fn find(&self, addr: Addr) -> Option<&Mapping> {
        self.mappings.find(addr.0)
    }

    /// Adds a mapping that was made at `time`. If addresses get another meaning, the process gets this version.
    pub(super) fn map(&mut self, mapping: Mapping, time: Nanos, version: u64) {
        if let Some(reading) = self.reading.as_mut().filter(|reading| reading.begun <= time) {
            reading.mappings.insert(mapping.clone());
        }
        // An address without a mapping may have one now.
        if Arc::make_mut(&mut self.mappings).insert(mapping) || self.misses != self.misses_before {
            self.version = version;
            self.misses_before = self.misses;
        }
    }

    /// Removes what was read before `time`, when the process had begun to execute another program.
    pub(super) fn discard(&mut self, time: Nanos) {
        self.reading.take_if(|reading| reading.begun <= time);
    }

    /// Uses what was read before `time`. Returns whether the process got this version, because mappings differ.
    pub(super) fn adopt(&mut self, time: Nanos, version: u64) -> bool {
        let Some(Reading { mappings, .. }) = self.reading.take_if(|reading| reading.ended <= time) else {
            return false;
        };
        self.known = true;
        if *self.mappings == mappings {
            return false;
        }
        self.mappings = Arc::new(mappings);
        self.version = version;
        self.misses_before = self.misses;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::Budget;
    use super::*;

    const BEGUN: Nanos = Nanos(100);
    const ENDED: Nanos = Nanos(110);

    fn mapping(start: u64) -> Mapping {
        Mapping { start, end: start + 10, offset: 0, file: None }
    }

    /// A process with a mapping at 10, of which a mapping at 20 was read.
    fn space() -> Space {
        let mappings = |start| Mappings::of([mapping(start)], &Budget::default());
        let mut space = Space::new(1, Arc::new(mappings(10)), true);
        space.reading = Some(Reading { begun: BEGUN, ended: ENDED, mappings: mappings(20) });
        space
    }

    fn starts(space: &Space) -> Vec<u64> {
        [10, 20, 30].into_iter().filter(|start| space.find(Addr(*start)).is_some()).collect()
    }

    #[test]
    fn what_was_read_counts_from_the_end_of_the_reading_on() {
        let mut space = space();
        assert!(!space.adopt(Nanos(109), 2));
        assert_eq!((starts(&space), space.version), (vec![10], 1));
        assert!(space.adopt(ENDED, 2));
        assert_eq!((starts(&space), space.version), (vec![20], 2));
        assert!(!space.adopt(ENDED, 3), "once");
    }

    #[test]
    fn a_mapping_that_was_made_after_the_reading_began_is_not_lost_and_an_earlier_one_does_not_come_back() {
        let mut early = space();
        // Unmapped again before the list was read.
        early.map(mapping(30), Nanos(99), 2);
        early.adopt(ENDED, 3);
        assert_eq!(starts(&early), [20]);
        let mut late = space();
        late.map(mapping(30), Nanos(101), 2);
        assert_eq!(starts(&late), [10, 30]);
        late.adopt(ENDED, 3);
        assert_eq!(starts(&late), [20, 30]);
    }

    #[test]
    fn what_was_read_while_another_program_was_executed_is_not_used() {
        let mut later = space();
        later.discard(Nanos(99));
        assert!(later.adopt(ENDED, 2), "read after it was executed");
        let mut meanwhile = space();
        meanwhile.discard(BEGUN);
        assert!(!meanwhile.adopt(ENDED, 2));
    }
}
