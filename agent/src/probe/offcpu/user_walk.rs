//! Walks the user stack of a sleeping thread of another process, by its frame pointers.
//!
//! The task iterator provides only the registers. The stack is read as soon as the record is read from the ring buffer, because the
//! thread may wake up at any time.

use quell_ebpf_common::MAX_FRAMES;

use crate::units::Addr;

/// The size of a read from the stack, in bytes: most stacks are shorter.
pub(super) const PIECE: u32 = 16 << 10;

/// The maximum number of reads for a stack. Frames that are far apart need several.
const MAX_PIECES: usize = 16;

/// The maximum number of stacks of a thread that lie one below the other: its own, and that of a signal handler.
const MOST_STACKS: usize = 2;

/// Appends the return addresses of a sleeping thread, innermost first. Stops where memory cannot be read, or at a frame below the
/// one before, except for once: a signal handler may run on a stack of its own (`sigaltstack`), above or below that of its thread.
pub(super) fn walk<R: FnMut(Addr) -> Option<Vec<u8>>>(stack: &mut Stack<R>, regs: [u64; 3], frames: &mut Vec<u64>) {
    let [instruction, pointer, mut frame] = regs;
    if instruction == 0 {
        return;
    }
    frames.push(instruction);
    if frame < pointer {
        return;
    }
    let (mut above, mut stacks) = (pointer, 1);
    while frames.len() < MAX_FRAMES && frame % 8 == 0 {
        stacks += usize::from(frame < above);
        if stacks > MOST_STACKS {
            return;
        }
        let Some([next, return_address]) = stack.pair(frame) else { return };
        if return_address == 0 {
            return;
        }
        frames.push(return_address);
        above = frame + 16;
        frame = next;
    }
}

/// A stack that is read in parts.
pub(super) struct Stack<R> {
    read: R,
    start: u64,
    piece: Vec<u8>,
    pieces: usize,
}

impl<R: FnMut(Addr) -> Option<Vec<u8>>> Stack<R> {
    pub(super) fn new(read: R) -> Self {
        Self { read, start: 0, piece: Vec::new(), pieces: 0 }
    }

    fn pair(&mut self, address: u64) -> Option<[u64; 2]> {
        if let Some(pair) = self.known(address) {
            return Some(pair);
        }
        if self.pieces == MAX_PIECES {
            return None;
        }
        self.pieces += 1;
        self.piece = (self.read)(Addr(address))?;
        self.start = address;
        self.known(address)
    }

    fn known(&self, address: u64) -> Option<[u64; 2]> {
        let at = usize::try_from(address.checked_sub(self.start)?).ok()?;
        let bytes = self.piece.get(at..)?;
        let word = |at: usize| Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        Some([word(0)?, word(8)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks a stack in memory given by address. Returns the frames and the number of reads.
    fn walked(memory: &[(u64, Vec<u64>)], regs: [u64; 3]) -> (Vec<u64>, usize) {
        let mut reads = 0;
        let mut stack = Stack::new(|address: Addr| {
            reads += 1;
            let (start, words) =
                memory.iter().find(|(start, words)| (*start..start + 8 * words.len() as u64).contains(&address.0))?;
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let rest = &bytes[(address.0 - start) as usize..];
            Some(rest[..rest.len().min(PIECE as usize)].to_vec())
        });
        let mut frames = Vec::new();
        walk(&mut stack, regs, &mut frames);
        (frames, reads)
    }

    #[test]
    fn a_chain_of_frames_is_followed_until_it_ends_and_read_at_once() {
        let memory = [(0x1000, vec![0x1010, 0x1111, 0x1020, 0x2222, 0, 0])];
        assert_eq!(walked(&memory, [0xaaaa, 0x1000, 0x1000]), (vec![0xaaaa, 0x1111, 0x2222], 1));
    }

    #[test]
    fn a_frame_pointer_that_leads_nowhere_ends_the_walk() {
        assert_eq!(walked(&[], [0xaaaa, 8, 16]), (vec![0xaaaa], 1));
    }

    #[test]
    fn a_signal_handler_s_own_stack_may_be_above_that_of_its_thread_but_no_chain_goes_round() {
        let handler = (0x9000, vec![0x9010, 0x1111, 0x1000, 0x2222]);
        let memory = [handler, (0x1000, vec![0x1010, 0x3333, 0, 0])];
        assert_eq!(walked(&memory, [0xaaaa, 0x9000, 0x9000]).0, [0xaaaa, 0x1111, 0x2222, 0x3333]);
        let round = [(0x1000, vec![0x1010, 0x1111, 0x1000, 0x2222])];
        assert_eq!(walked(&round, [0xaaaa, 0x1000, 0x1000]).0, [0xaaaa, 0x1111, 0x2222, 0x1111, 0x2222]);
    }

    #[test]
    fn a_chain_of_frames_that_are_far_apart_is_read_in_a_bounded_number_of_pieces() {
        let step = 1 << 20;
        let frame = |number: u64| (number * step, vec![(number + 1) * step, 0x1111]);
        let memory: Vec<_> = (1..100).map(frame).collect();
        let (frames, reads) = walked(&memory, [0xaaaa, step, step]);
        assert_eq!((frames.len(), reads), (MAX_PIECES + 1, MAX_PIECES));
    }
}
