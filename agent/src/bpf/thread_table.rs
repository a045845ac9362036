//! The table of captured threads, read while programs write it.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use quell_ebpf_common::ThreadState;

use crate::sys::array_memory::ArrayMemory;
use crate::units::Tid;

/// The number of words of an element.
const WORDS: usize = size_of::<ThreadState>() / size_of::<u64>();

/// The number of elements that are mapped at first, 768 KiB. Most hosts have fewer threads.
const FIRST: u32 = 4096;

/// Elements are taken in order, so that those that were never used are the last ones. After so many of them there are no others: a
/// program on another CPU may be about to write one that it has taken.
const UNUSED: usize = 64;

/// How often an element is read at most until it is the same twice.
const READINGS: usize = 4;

/// The threads in the array `THREADS` of `capacity` elements.
///
/// An element is read until it is the same twice, so that it is the state of one moment, unless a program was interrupted
/// between two of its stores. Different elements are of different moments, as far apart as reading takes.
///
/// # Errors
/// The array cannot be mapped.
pub(super) fn read(array: BorrowedFd<'_>, capacity: u32) -> io::Result<Vec<(Tid, ThreadState)>> {
    let mut elements = capacity.min(FIRST);
    loop {
        let Some(words) = NonZeroUsize::new(elements as usize * WORDS) else { return Ok(Vec::new()) };
        let memory = ArrayMemory::map(array, words)?;
        match used(memory.words()) {
            Table::Whole(threads) => return Ok(threads),
            Table::Part(threads) if elements == capacity => return Ok(threads),
            Table::Part(_) => elements = elements.saturating_mul(2).min(capacity),
        }
    }
}

/// The threads in the elements that were read.
enum Table {
    /// There are no others.
    Whole(Vec<(Tid, ThreadState)>),
    /// Later elements may be used.
    Part(Vec<(Tid, ThreadState)>),
}

fn used(words: &[AtomicU64]) -> Table {
    let mut threads = Vec::new();
    let mut unused = 0;
    for element in words.chunks_exact(WORDS) {
        let state = state(element);
        unused = if state.generation == 0 { unused + 1 } else { 0 };
        if unused == UNUSED {
            return Table::Whole(threads);
        }
        // An element that is free has the state of the last thread that used it.
        if state.tid != 0 {
            threads.push((Tid(state.tid), state));
        }
    }
    Table::Part(threads)
}

fn state(element: &[AtomicU64]) -> ThreadState {
    let load = || -> [u64; WORDS] { std::array::from_fn(|word| element[word].load(Ordering::Relaxed)) };
    let mut last = load();
    for _ in 1..READINGS {
        let again = load();
        if again == last {
            break;
        }
        last = again;
    }
    bytemuck::cast(last)
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable as _;

    use super::*;

    fn words(states: &[ThreadState]) -> Vec<AtomicU64> {
        bytemuck::cast_slice::<ThreadState, u64>(states).iter().copied().map(AtomicU64::new).collect()
    }

    fn thread(tid: u32) -> ThreadState {
        ThreadState { tid, generation: 1, ..ThreadState::zeroed() }
    }

    fn tids(threads: &[(Tid, ThreadState)]) -> Vec<u32> {
        threads.iter().map(|(tid, _)| tid.0).collect()
    }

    #[test]
    fn elements_that_are_free_are_skipped_and_those_that_were_never_used_end_the_table() {
        let never = ThreadState::zeroed();
        let mut states = vec![never; 300];
        // Taken by another CPU and not written yet; free again.
        (states[0], states[2], states[3]) = (thread(7), thread(0), thread(9));
        let Table::Whole(threads) = used(&words(&states)) else { panic!("the rest was never used") };
        assert_eq!(tids(&threads), [7, 9]);
        states[290] = thread(8);
        let Table::Part(threads) = used(&words(&states[250..])) else { panic!("it may go on") };
        assert_eq!(tids(&threads), [8]);
    }
}
