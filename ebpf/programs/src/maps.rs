//! The maps that all probes share. The user side sets the sizes that depend on the host before it loads them.

use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps, HashMap, PerCpuArray, RingBuf},
    macros::btf_map,
};
use quell_ebpf_common::{HookRuns, LastInterrupt, Lost, PROBES, Pace, SEEN_IDS, ThreadState, hook};

use crate::{record::Scratch, value::Value};

/// A ring for each CPU: one ring shared by many producers collapses under contention. And one for the task iterator.
#[btf_map]
pub static RINGS: ArrayOfMaps<RingBuf<u8, 4096>, 1024> = ArrayOfMaps::new();

/// Each captured thread by its tid. Preallocated, so that an insert from `sched_switch` never allocates.
#[btf_map]
pub static THREADS: HashMap<u32, ThreadState, 65536> = HashMap::new();

/// By the id of a thread modulo [`SEEN_IDS`]: 0 if no such thread has ever entered `THREADS`. Asking it costs a load, where
/// `THREADS` costs a walk through a table of megabytes. A word for each id, since kernels before 5.12 cannot set a bit
/// atomically.
#[btf_map]
pub static SEEN_THREADS: Array<u64, { SEEN_IDS as usize }> = Array::new();

/// The same for processes and `TARGETS`. The user side sets an element before it adds a target.
#[btf_map]
pub static SEEN_TARGETS: Array<u64, { SEEN_IDS as usize }> = Array::new();

/// The processes that are captured, by tgid, under `target::PROCESSES`, until they are freed.
#[btf_map]
pub static TARGETS: HashMap<u32, u32, 65536> = HashMap::new();

/// What sampling costs, by CPU and probe: element `cpu * PROBES + probe`.
#[btf_map]
pub static PACES: Array<Pace, { 1024 * PROBES as usize }> = Array::new();

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

/// An array of marks, by id.
type Seen = Array<u64, { SEEN_IDS as usize }>;

/// Whether an id may be in the table that `seen` is kept for.
#[inline(always)]
pub fn was_seen(seen: &Seen, id: u32) -> bool {
    // SAFETY: an array's element; volatile, since other CPUs store it.
    seen.get_ptr(id & (SEEN_IDS - 1)).is_some_and(|mark| unsafe { mark.read_volatile() } != 0)
}

/// Marks an id that is about to enter that table.
#[inline(always)]
pub fn mark_seen(seen: &Seen, id: u32) {
    if let Some(mark) = seen.get_ptr_mut(id & (SEEN_IDS - 1)) {
        // SAFETY: as above.
        unsafe { mark.write_volatile(1) };
    }
}
