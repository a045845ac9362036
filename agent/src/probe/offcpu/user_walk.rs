//! Walks the user stack of a sleeping thread of another process, by its frame pointers.
//!
//! The task iterator provides only the registers. The stack is read as soon as the record is read from the ring buffer, because the
//! thread may wake up at any time.

use quell_ebpf_common::{MAX_FRAMES, Stacks};

use super::abi::{SLEEP_START, SleepStart};
use crate::bpf::Record;
use crate::inspect::ProcessMemory;
use crate::units::{Addr, Pid};

/// The size of a read from the stack, in bytes: most stacks are shorter.
const PIECE: u32 = 16 << 10;

/// The maximum number of reads for a stack. Frames that are far apart need several.
const MAX_PIECES: usize = 16;

/// Completes the record of a thread that the task iterator found asleep with its user stack, and stores it in `words`. Returns `false`
/// for other records.
pub(super) fn complete(record: &Record<'_>, memory: &mut dyn ProcessMemory, words: &mut Vec<u64>) -> bool {
    if record.header.kind != SLEEP_START {
        return false;
    }
    let Some((start, raw)) = record.with_stacks(|start: &SleepStart| start.stacks) else { return false };
    if start.walked == 0 {
        return false;
    }
    let mut user = Vec::new();
    let pid = Pid(start.header.tgid);
    walk(&mut Stack::new(|address| memory.read(pid, address, PIECE)), start.user_regs, &mut user);
    let stacks = Stacks { user: (user.len() * 8) as i32, ..start.stacks };
    *words = bytemuck::pod_collect_to_vec(bytemuck::bytes_of(&SleepStart { stacks, ..*start }));
    words.extend_from_slice(raw.kernel);
    words.extend_from_slice(&user);
    true
}

/// Appends the return addresses of a sleeping thread, innermost first. Stops where memory cannot be read or the chain of
/// frames does not lead upwards, as the kernel does (`perf_callchain_user`, arch/x86/events/core.c).
fn walk<R: FnMut(Addr) -> Option<Vec<u8>>>(stack: &mut Stack<R>, regs: [u64; 3], frames: &mut Vec<u64>) {
    let [instruction, pointer, mut frame] = regs;
    if instruction == 0 {
        return;
    }
    frames.push(instruction);
    let mut above = pointer;
    while frames.len() < MAX_FRAMES && frame >= above && frame % 8 == 0 {
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
struct Stack<R> {
    read: R,
    start: u64,
    piece: Vec<u8>,
    pieces: usize,
}

impl<R: FnMut(Addr) -> Option<Vec<u8>>> Stack<R> {
    fn new(read: R) -> Self {
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
    use quell_ebpf_common::{Header, reason};

    use super::super::abi::{CERTAIN, PROBE};
    use super::*;
    use crate::inspect::Direct;
    use crate::recording::RawStacks;
    use crate::symbolize::AddressSpaces;

    /// Three frames as set up by function prologues (the frame pointer of the caller, then the return address), and the
    /// registers of a thread in the innermost function.
    fn stack(memory: &mut [u64; 6]) -> [u64; 3] {
        let base = memory.as_ptr() as u64;
        *memory = [base + 16, 0x1111, base + 32, 0x2222, 0, 0];
        [0xaaaa, base, std::hint::black_box(base)]
    }

    fn start(walked: u32, user_regs: [u64; 3]) -> SleepStart {
        SleepStart {
            header: Header { probe: PROBE, kind: SLEEP_START, cpu: 0, time: 1, tid: 2, tgid: std::process::id() },
            comm: [b'a'; 16],
            seq: 0,
            reason: reason::BLOCKED,
            odds: CERTAIN,
            walked,
            user_regs,
            stacks: Stacks { kernel: 16, user: -14 },
        }
    }

    #[test]
    fn a_sleeper_s_record_is_completed_while_it_sleeps_and_no_other_is() {
        let mut memory = [0; 6];
        let regs = stack(&mut memory);
        let record = |walked| {
            let mut words: Vec<u64> = bytemuck::pod_collect_to_vec(bytemuck::bytes_of(&start(walked, regs)));
            words.extend([0xb, 0xc]);
            words
        };
        let mut words = Vec::new();
        let mut spaces = AddressSpaces::new(Box::new(Direct::default()));
        let mut completed = |record: &[u64], words: &mut Vec<u64>| {
            complete(&Record::new(bytemuck::cast_slice(record)).expect("a header"), &mut spaces, words)
        };
        assert!(completed(&record(1), &mut words), "it lacks the user stack");
        std::hint::black_box(&memory);
        let whole = Record::new(bytemuck::cast_slice(&words)).expect("the same record");
        let (start_again, stacks) = whole.with_stacks(|start: &SleepStart| start.stacks).expect("the same record");
        assert_eq!((start_again.header, start_again.user_regs), (start(1, regs).header, regs));
        assert_eq!(stacks, RawStacks { kernel: &[0xb, 0xc], user: &[0xaaaa, 0x1111, 0x2222] });
        assert!(!completed(&record(0), &mut Vec::new()));
    }

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
    fn a_chain_of_frames_that_are_far_apart_is_read_in_a_bounded_number_of_pieces() {
        let step = 1 << 20;
        let frame = |number: u64| (number * step, vec![(number + 1) * step, 0x1111]);
        let memory: Vec<_> = (1..100).map(frame).collect();
        let (frames, reads) = walked(&memory, [0xaaaa, step, step]);
        assert_eq!((frames.len(), reads), (MAX_PIECES + 1, MAX_PIECES));
    }
}
