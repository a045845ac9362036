//! Putting records together and into the ring.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::BPF_F_USER_STACK,
    helpers::generated::{bpf_get_smp_processor_id, bpf_get_stack, bpf_ktime_get_ns, bpf_ringbuf_output},
};
use quell_ebpf_common::{Header, STACK_BYTES, Stacks};

use crate::{
    maps::{RINGS, SCRATCH, losses},
    settings::setting,
    value::count,
};

/// `BPF_RB_NO_WAKEUP`: the reader polls; waking it would cost more than the record.
const NO_WAKEUP: u64 = 1;

/// Room for the largest record and two stacks. The mask in [`bounded`] may admit 1023 bytes of the first stack.
#[repr(C)]
pub struct Scratch {
    words: [u64; (88 + 1024 + STACK_BYTES).div_ceil(8)],
}

/// Which element of `SCRATCH` a program uses: those that may interrupt one another have one each.
#[derive(Clone, Copy)]
pub enum Slot {
    /// Sampling interrupts, which may be NMIs.
    Interrupt = 0,
    /// Context switches.
    Switch = 1,
    /// Wake-ups.
    Wake = 2,
    /// The task iterator.
    Walk = 3,
}

/// A record that ends in [`Stacks`].
pub trait WithStacks: Copy {
    /// Sets how long the stacks are.
    fn set_stacks(&mut self, stacks: Stacks);
}

/// Implements [`WithStacks`] for a record whose field `stacks` is its last.
macro_rules! with_stacks {
    ($($record:ident),+) => {
        $(impl $crate::record::WithStacks for $record {
            #[inline(always)]
            fn set_stacks(&mut self, stacks: quell_ebpf_common::Stacks) {
                self.stacks = stacks;
            }
        })+
    };
}
pub(crate) use with_stacks;

/// No stacks yet.
pub const NO_STACKS: Stacks = Stacks { kernel: 0, user: 0 };

/// The header of a record of this CPU, of a probe's kind.
#[inline(always)]
pub fn header((probe, kind): (u16, u16), time: u64, tid: u32, tgid: u32) -> Header {
    Header { probe, kind, cpu: cpu(), time, tid, tgid }
}

/// This CPU.
#[inline(always)]
pub fn cpu() -> u32 {
    // SAFETY: a helper call without arguments.
    unsafe { bpf_get_smp_processor_id() }
}

/// `CLOCK_MONOTONIC` in nanoseconds.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: a helper call without arguments.
    unsafe { bpf_ktime_get_ns() }
}

/// How many of the innermost kernel frames are the program's own: a tracepoint's walk begins in the program that asks
/// for it (`bpf_get_stack_raw_tp`, kernel/trace/bpf_trace.c), a perf event's in what was interrupted.
#[derive(Clone, Copy)]
pub enum OwnFrames {
    /// For perf events.
    None = 0,
    /// For tracepoints.
    One = 1,
}

/// Walks the current thread's kernel and user stack and sends `record` with them.
#[inline(always)]
pub fn send_with_stacks<R: WithStacks>(slot: Slot, own: OwnFrames, ctx: *mut c_void, record: R) {
    send_walked(slot, record, |frames, user_stack| {
        let flags = if user_stack { u64::from(BPF_F_USER_STACK) } else { own as u64 };
        // SAFETY: `frames` has room for `STACK_BYTES`, which the verifier checks too.
        unsafe { bpf_get_stack(ctx, frames, STACK_BYTES as u32, flags) }
    });
}

/// Sends `record` with the stacks that `walk` writes: first the kernel's, then (`true`) the user's. `walk` returns
/// the bytes written or a negative errno.
#[inline(always)]
pub fn send_walked<R: WithStacks>(slot: Slot, mut record: R, walk: impl Fn(*mut c_void, bool) -> i64) {
    const { assert!(size_of::<R>() <= 88, "Scratch has room for the largest record") };
    let Some(scratch) = SCRATCH.get_ptr_mut(slot as u32) else { return };
    let bytes = scratch.cast::<u8>();
    // SAFETY: within `Scratch`, as sized there; the verifier checks each access against the map's value size.
    let at = |offset: usize| unsafe { bytes.add(offset) };
    let kernel = walk(at(size_of::<R>()).cast(), false);
    let kernel_bytes = bounded(kernel);
    let user = walk(at(size_of::<R>() + kernel_bytes).cast(), true);
    let user_bytes = bounded(user);
    if let Some(lost) = losses() {
        if kernel < 0 {
            count!(lost.kernel_stacks);
        }
        if user < 0 && user != EFAULT {
            count!(lost.user_stacks);
        }
    }
    record.set_stacks(Stacks { kernel: kernel as i32, user: user as i32 });
    // SAFETY: `Scratch` is aligned to 8 bytes, as no record is above, and is this program's alone: those that may
    // interrupt it on this CPU have another slot.
    unsafe { bytes.cast::<R>().write(record) };
    send(ring(slot), bytes, size_of::<R>() + kernel_bytes + user_bytes);
}

/// What `bpf_get_stack` says of a kernel thread's user stack.
pub const EFAULT: i64 = -14;

/// Sends a record without stacks; `false` where it found no room.
#[inline(always)]
pub fn send_plain<R: Copy>(record: &R) -> bool {
    send(cpu(), core::ptr::from_ref(record).cast(), size_of::<R>())
}

/// Which ring a program writes to. The iterators run with interrupts and preemption on; where a ring's lock may sleep
/// (PREEMPT_RT before 6.12, commit 8b62645b09f8), a context switch must not find it held by them.
#[inline(always)]
fn ring(slot: Slot) -> u32 {
    match slot {
        Slot::Walk => setting!(walk_ring),
        Slot::Interrupt | Slot::Switch | Slot::Wake => cpu(),
    }
}

#[inline(always)]
fn send(ring: u32, bytes: *const u8, length: usize) -> bool {
    let sent = match RINGS.get(ring) {
        // SAFETY: `bytes` holds `length` bytes; the verifier checks it.
        Some(ring) => unsafe {
            bpf_ringbuf_output(
                core::ptr::from_ref(ring).cast_mut().cast(),
                bytes.cast_mut().cast(),
                length as u64,
                NO_WAKEUP,
            )
        },
        None => -1,
    };
    if sent != 0
        && let Some(lost) = losses()
    {
        count!(lost.records);
    }
    sent == 0
}

/// A helper's length as an index that the verifier sees to be below 1024; 0 for an errno.
#[inline(always)]
fn bounded(length: i64) -> usize {
    const { assert!(STACK_BYTES < 1024) };
    if length < 0 { 0 } else { length as usize & 1023 }
}
