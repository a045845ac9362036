//! The return addresses at the end of a sleeping thread's kernel stack.
//!
//! When the kernel walks another thread's stack it leaves out the functions of the scheduler's section (`__sched`,
//! `consume_entry_nosched`, kernel/stacktrace.c, 5.2): `do_nanosleep`, `mutex_lock`, `schedule_timeout`. A thread that walks its
//! own stack has them. So that one wait has one stack, the user side finds them among the words on the stack
//! ([`Call`]).

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_probe_read_kernel;
use quell_ebpf_common::STACK_BYTES;

use super::abi::Call;
use crate::{settings::setting, task::Task};

/// How many words at the end of a stack are looked at: `__schedule` and what calls it take 20 to 50.
const WORDS: usize = 80;

/// How many calls are found at most; a power of two.
const MOST: usize = 16;

/// What is found.
#[repr(C)]
struct Found {
    calls: [Call; MOST],
    count: usize,
}

const _: () = assert!(size_of::<Found>() <= STACK_BYTES);

/// Where x86-64 maps the text of the kernel and of its modules (Documentation/arch/x86/x86_64/mm.rst).
const TEXT: core::ops::Range<u64> = 0xffff_ffff_8000_0000..0xffff_ffff_ff00_0000;

/// Writes the calls at the end of a thread's kernel stack, the innermost first, and returns how many bytes they take.
///
/// # Safety
/// `room` has `STACK_BYTES`.
#[inline(always)]
pub unsafe fn write(task: Task, room: *mut c_void) -> i64 {
    if setting!(task_sp) == 0 {
        return 0;
    }
    let found = room.cast::<Found>();
    // The count is kept in the map's value, of which the verifier knows nothing: in a register it would be a state for each number.
    // SAFETY: `Found` fits.
    let count = unsafe { &raw mut (*found).count };
    // SAFETY: as above; this program's alone.
    unsafe { count.write_volatile(0) };
    let end = task.stack_pointer();
    let mut word = 0;
    while word < WORDS {
        if let Some([address, target]) = call(end.wrapping_add(8 * word)) {
            // SAFETY: as above.
            let at = unsafe { count.read_volatile() };
            if at >= MOST {
                break;
            }
            // SAFETY: as above; the mask shows the verifier that it is one of the calls.
            unsafe {
                (&raw mut (*found).calls).cast::<Call>().add(at & (MOST - 1)).write(Call { address, target });
                count.write_volatile(at + 1);
            }
        }
        word += 1;
    }
    // SAFETY: as above.
    let count = unsafe { count.read_volatile() };
    (count * size_of::<Call>()) as i64
}

/// The word at an address of a stack, if it is an address that a call returns to, and what function the call calls.
#[inline(always)]
fn call(word: *const u8) -> Option<[u64; 2]> {
    // SAFETY: the helper checks the address and fails rather than faults.
    let address = unsafe { bpf_probe_read_kernel(word.cast::<u64>()) }.ok()?;
    if !TEXT.contains(&address) {
        return None;
    }
    // SAFETY: as above.
    let before = unsafe { bpf_probe_read_kernel(address.wrapping_sub(8) as *const u64) }.ok()?;
    if before >> 24 & 0xff == 0xe8 {
        return Some([address, address.wrapping_add((before >> 32) as i32 as u64)]);
    }
    // `call *%reg`: ff d0 to ff d7.
    if before >> 48 & 0xf8ff == 0xd0ff { Some([address, 0]) } else { None }
}
