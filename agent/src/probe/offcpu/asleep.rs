//! Completes the records of threads that the task iterator finds asleep.
//!
//! The kernel walks their kernel stacks without the innermost frames, and their user stacks not at all. The iterator sends what is
//! needed to find both. It is done as soon as the record is read from the ring buffer, because the thread may wake up at any time.

use quell_ebpf_common::Stacks;

use super::abi::{Call, SLEEP_START, SleepStart};
use super::innermost;
use super::user_walk::{PIECE, Stack, walk};
use crate::bpf::Record;
use crate::inspect::ProcessMemory;
use crate::units::Pid;

/// Completes the record of a thread that the task iterator found asleep, and stores it in `words`. Returns `false` for other
/// records.
pub(super) fn complete(record: &Record<'_>, memory: &mut dyn ProcessMemory, words: &mut Vec<u64>) -> bool {
    if record.header.kind != SLEEP_START {
        return false;
    }
    let Some((start, raw)) = record.with_stacks(|start: &SleepStart| start.stacks) else { return false };
    if start.walked == 0 {
        return false;
    }
    let calls: &[Call] = bytemuck::try_cast_slice(raw.user).unwrap_or_default();
    let innermost = raw.kernel.first().map_or_else(Vec::new, |outer| innermost::frames(calls, *outer));
    let mut user = Vec::new();
    let pid = Pid(start.header.tgid);
    walk(&mut Stack::new(|address| memory.read(pid, address, PIECE)), start.user_regs, &mut user);
    let stacks = Stacks {
        // An error stays what it is.
        kernel: start.stacks.kernel + (innermost.len() * 8) as i32,
        user: (user.len() * 8) as i32,
    };
    *words = bytemuck::pod_collect_to_vec(bytemuck::bytes_of(&SleepStart { stacks, ..*start }));
    words.extend(innermost);
    words.extend_from_slice(raw.kernel);
    words.extend_from_slice(&user);
    true
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
            stacks: Stacks { kernel: 16, user: 32 },
        }
    }

    #[test]
    fn a_sleeper_s_record_is_completed_while_it_sleeps_and_no_other_is() {
        let mut memory = [0; 6];
        let regs = stack(&mut memory);
        let record = |walked| {
            let mut words: Vec<u64> = bytemuck::pod_collect_to_vec(bytemuck::bytes_of(&start(walked, regs)));
            words.extend([0xb, 0xc]);
            // `0xb` calls the function at 0x200, `0x210` the switch.
            words.extend([0x210, 0x10, 0xb, 0x200]);
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
        assert_eq!(
            stacks,
            RawStacks { kernel: &[0x210, 0xb, 0xc], user: &[0xaaaa, 0x1111, 0x2222], ..RawStacks::default() }
        );
        assert!(!completed(&record(0), &mut Vec::new()));
    }
}
