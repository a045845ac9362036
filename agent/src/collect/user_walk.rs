//! Walking the user stack of a sleeping thread from outside, by its frame pointers.

use std::io::IoSliceMut;

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid as NixPid;
use quell_ebpf_common::MAX_FRAMES;

use super::join::UserRegs;

/// Appends the return addresses of a sleeping thread, innermost first. Stops where memory cannot be read or the chain of
/// frames does not lead upwards, as the kernel does (`perf_callchain_user`, arch/x86/events/core.c).
pub fn walk(thread: UserRegs, frames: &mut Vec<u64>) {
    let [instruction, stack, mut frame] = thread.regs;
    if instruction == 0 {
        return;
    }
    frames.push(instruction);
    let mut above = stack;
    while frames.len() < MAX_FRAMES && frame >= above && frame % 8 == 0 {
        let Some([next, return_address]) = read_pair(thread.pid.0, frame) else { return };
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
    use super::*;
    use crate::units::Pid;

    #[test]
    fn a_chain_of_frames_is_followed_until_it_ends() {
        // Three frames as a function prologue leaves them: the caller's frame pointer, then the return address.
        let mut memory = [0u64; 6];
        let base = memory.as_ptr() as u64;
        memory[..4].copy_from_slice(&[base + 16, 0x1111, base + 32, 0x2222]);
        memory[4..].copy_from_slice(&[0, 0]);
        let thread = UserRegs { pid: Pid(std::process::id()), regs: [0xaaaa, base, std::hint::black_box(base)] };
        let mut frames = Vec::new();
        walk(thread, &mut frames);
        assert_eq!(frames, [0xaaaa, 0x1111, 0x2222]);
        std::hint::black_box(&memory);
    }

    #[test]
    fn a_frame_pointer_that_leads_nowhere_ends_the_walk() {
        let thread = UserRegs { pid: Pid(std::process::id()), regs: [0xaaaa, 8, 16] };
        let mut frames = Vec::new();
        walk(thread, &mut frames);
        assert_eq!(frames, [0xaaaa]);
    }
}
