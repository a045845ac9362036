//! Walking the user stack of a sleeping thread from outside, by its frame pointers.
//!
//! The task iterator gives the registers only. The memory that they point to is read as soon as the record is out of the
//! ring: the thread may wake up at any time, and its stack is another then.

use std::io::IoSliceMut;

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid as NixPid;
use quell_ebpf_common::{MAX_FRAMES, SleepStart, Stacks};

use super::event::{self, Event};
use crate::units::Pid;

/// The record of a thread that the task iterator found asleep, with the user stack that it lacks, in `words`; `None` for
/// any other record. It begins at an 8-byte boundary.
pub fn completed<'a>(record: &[u8], words: &'a mut Vec<u64>) -> Option<&'a [u8]> {
    let Some(Event::SleepStart(start, raw)) = event::parse(record) else { return None };
    if start.walked == 0 {
        return None;
    }
    let mut user = Vec::new();
    walk(Pid(start.header.tgid), start.user_regs, &mut user);
    let stacks = Stacks { user: (user.len() * 8) as i32, ..start.stacks };
    *words = bytemuck::pod_collect_to_vec(bytemuck::bytes_of(&SleepStart { stacks, ..*start }));
    words.extend_from_slice(raw.kernel);
    words.extend_from_slice(&user);
    Some(bytemuck::cast_slice(words))
}

/// Appends the return addresses of a sleeping thread, innermost first. Stops where memory cannot be read or the chain of
/// frames does not lead upwards, as the kernel does (`perf_callchain_user`, arch/x86/events/core.c).
fn walk(pid: Pid, regs: [u64; 3], frames: &mut Vec<u64>) {
    let [instruction, stack, mut frame] = regs;
    if instruction == 0 {
        return;
    }
    frames.push(instruction);
    let mut above = stack;
    while frames.len() < MAX_FRAMES && frame >= above && frame % 8 == 0 {
        let Some([next, return_address]) = read_pair(pid.0, frame) else { return };
        if return_address == 0 {
            return;
        }
        frames.push(return_address);
        above = frame + 16;
        frame = next;
    }
}

fn read_pair(pid: u32, address: u64) -> Option<[u64; 2]> {
    let mut words = [0u64; 2];
    let remote = RemoteIoVec { base: usize::try_from(address).ok()?, len: 16 };
    let pid = NixPid::from_raw(i32::try_from(pid).ok()?);
    let mut local = [IoSliceMut::new(bytemuck::cast_slice_mut(&mut words))];
    let read = process_vm_readv(pid, &mut local, &[remote]).ok()?;
    (read == 16).then_some(words)
}

#[cfg(test)]
mod tests {
    use quell_ebpf_common::{CERTAIN, Header, kind, reason};

    use super::super::event::RawStacks;
    use super::*;

    /// Three frames as a function prologue leaves them, the caller's frame pointer and then the return address; and the
    /// registers of a thread that stands there.
    fn stack(memory: &mut [u64; 6]) -> [u64; 3] {
        let base = memory.as_ptr() as u64;
        *memory = [base + 16, 0x1111, base + 32, 0x2222, 0, 0];
        [0xaaaa, base, std::hint::black_box(base)]
    }

    fn start(walked: u32, user_regs: [u64; 3]) -> SleepStart {
        SleepStart {
            header: Header { kind: kind::SLEEP_START, cpu: 0, time: 1, tid: 2, tgid: std::process::id() },
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
        let whole = completed(bytemuck::cast_slice(&record(1)), &mut words).expect("it lacks the user stack");
        std::hint::black_box(&memory);
        let Some(Event::SleepStart(completed_start, stacks)) = event::parse(whole) else { panic!("the same record") };
        assert_eq!((completed_start.header, completed_start.user_regs), (start(1, regs).header, regs));
        assert_eq!(stacks, RawStacks { kernel: &[0xb, 0xc], user: &[0xaaaa, 0x1111, 0x2222] });
        assert_eq!(completed(bytemuck::cast_slice(&record(0)), &mut Vec::new()), None);
    }

    #[test]
    fn a_chain_of_frames_is_followed_until_it_ends() {
        let mut memory = [0; 6];
        let regs = stack(&mut memory);
        let mut frames = Vec::new();
        walk(Pid(std::process::id()), regs, &mut frames);
        assert_eq!(frames, [0xaaaa, 0x1111, 0x2222]);
        std::hint::black_box(&memory);
    }

    #[test]
    fn a_frame_pointer_that_leads_nowhere_ends_the_walk() {
        let mut frames = Vec::new();
        walk(Pid(std::process::id()), [0xaaaa, 8, 16], &mut frames);
        assert_eq!(frames, [0xaaaa]);
    }
}
