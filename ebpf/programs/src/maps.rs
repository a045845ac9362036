//! The maps that all probes share. The user side sets the sizes that depend on the host before it loads them.

use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps, HashMap, PerCpuArray, RingBuf, Stack},
    macros::btf_map,
};
use quell_ebpf_common::{HookRuns, INDEXED, LastInterrupt, Lost, PROBES, Pace, SEEN_IDS, ThreadState, hook};

use crate::{filter, record::Scratch, value::Value};

/// `BPF_F_MMAPABLE` (5.5): the elements begin at a page, so that none of 64 or 128 bytes takes one more cache line than it must.
const ALIGNED: usize = 1 << 10;

/// A ring for each CPU: one ring shared by many producers collapses under contention. And one for the task iterator.
#[btf_map]
pub static RINGS: ArrayOfMaps<RingBuf<u8, 4096>, 1024> = ArrayOfMaps::new();

/// The element of `THREADS` for each thread, by its id: one more than the number of the element, or 0. A hash map would take
/// several cache lines for each event, where this takes one that neighbours share.
#[btf_map]
pub static INDEX: Array<[u32; INDEXED as usize], { (1 << 22) / INDEXED as usize }, ALIGNED> = Array::new();

/// The captured threads.
#[btf_map]
pub static THREADS: Array<ThreadState, 65536, ALIGNED> = Array::new();

/// The elements of `THREADS` that are free. The user side fills it.
#[btf_map]
pub static FREE_THREADS: Stack<u32, 65536> = Stack::new();

/// How many awaited threads there are, by a hash of their address ([`crate::filter`]).
#[btf_map]
pub static AWAITED: Array<u64, { filter::COUNTERS as usize }, ALIGNED> = Array::new();

/// By the id of a process modulo [`SEEN_IDS`]: 0 if no such process has ever entered `TARGETS`. Asking it costs a load, where
/// `TARGETS` costs a walk through a hash table. The user side sets an element before it adds a target.
#[btf_map]
pub static SEEN_TARGETS: Array<u64, { SEEN_IDS as usize }> = Array::new();

/// The processes that are captured, by tgid, under `target::PROCESSES`, until they are freed.
#[btf_map]
pub static TARGETS: HashMap<u32, u32, 65536> = HashMap::new();

/// What sampling costs, by CPU and probe: element `cpu * PROBES + probe`.
#[btf_map]
pub static PACES: Array<Pace, { 1024 * PROBES as usize }, ALIGNED> = Array::new();

/// Nanoseconds that it may cost in each window, by CPU and probe in the same way.
#[btf_map]
pub static ALLOWANCES: Array<u64, { 1024 * PROBES as usize }> = Array::new();

/// How often the programs ran, by hook.
#[btf_map]
pub static HOOKS: PerCpuArray<HookRuns, { hook::COUNT as usize }> = PerCpuArray::new();

/// Element 0: what found no room.
#[btf_map]
pub static LOSSES: PerCpuArray<Lost, 1> = PerCpuArray::new();

/// Element 0: what the last sampling interrupt of each CPU found.
#[btf_map]
pub static LAST_INTERRUPT: PerCpuArray<LastInterrupt, 1> = PerCpuArray::new();

/// Where records with stacks are put together, an element for each kind of program: one may interrupt another.
#[btf_map]
pub static SCRATCH: PerCpuArray<Scratch, 4> = PerCpuArray::new();

/// How often this CPU ran the program of a hook.
#[inline(always)]
pub fn hook_runs(hook: u32) -> Option<Value<HookRuns>> {
    // SAFETY: an array's element.
    HOOKS.get_ptr_mut(hook).map(|runs| unsafe { Value::new(runs) })
}

/// What this CPU lost.
#[inline(always)]
pub fn losses() -> Option<Value<Lost>> {
    // SAFETY: an array's element.
    LOSSES.get_ptr_mut(0).map(|lost| unsafe { Value::new(lost) })
}

/// What this CPU's last sampling interrupt found.
#[inline(always)]
pub fn last_interrupt() -> Option<Value<LastInterrupt>> {
    // SAFETY: an array's element.
    LAST_INTERRUPT.get_ptr_mut(0).map(|last| unsafe { Value::new(last) })
}

/// Whether a process may be in `TARGETS`.
#[inline(always)]
pub fn may_be_target(tgid: u32) -> bool {
    // SAFETY: an array's element; volatile, since other CPUs store it.
    SEEN_TARGETS.get_ptr(tgid & (SEEN_IDS - 1)).is_some_and(|mark| unsafe { mark.read_volatile() } != 0)
}

/// Marks a process that is about to enter `TARGETS`.
#[inline(always)]
pub fn mark_target(tgid: u32) {
    if let Some(mark) = SEEN_TARGETS.get_ptr_mut(tgid & (SEEN_IDS - 1)) {
        // SAFETY: as above.
        unsafe { mark.write_volatile(1) };
    }
}
