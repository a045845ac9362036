//! Every map. The user side sets the sizes that depend on the host before it loads them.

use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps, HashMap, PerCpuArray, RingBuf},
    macros::btf_map,
};
use quell_ebpf_common::{Counts, Rates, ThreadState};

use crate::{cpu::Found, record::Scratch, value::Value};

/// A ring for each CPU: one ring shared by many producers collapses under contention. And one for the task iterators.
#[btf_map]
pub static RINGS: ArrayOfMaps<RingBuf<u8, 4096>, 1024> = ArrayOfMaps::new();

/// Each captured thread by its tid. Preallocated, so that an insert from `sched_switch` never allocates.
#[btf_map]
pub static THREADS: HashMap<u32, ThreadState, 65536> = HashMap::new();

/// The processes that are captured, by tgid, under `target::PROCESSES`, until they are freed.
#[btf_map]
pub static TARGETS: HashMap<u32, u32, 65536> = HashMap::new();

/// Element 0: what the governor adapts.
#[btf_map]
pub static RATES: Array<Rates, 1> = Array::new();

/// Element 0: what was counted on each CPU.
#[btf_map]
pub static COUNTS: PerCpuArray<Counts, 1> = PerCpuArray::new();

/// Element 0: what the last sampling interrupt of each CPU found.
#[btf_map]
pub static FOUND: PerCpuArray<Found, 1> = PerCpuArray::new();

/// Where records with stacks are put together, an element for each kind of program: one may interrupt another.
#[btf_map]
pub static SCRATCH: PerCpuArray<Scratch, 4> = PerCpuArray::new();

/// This CPU's counters.
#[inline(always)]
pub fn counts() -> Option<Value<Counts>> {
    // SAFETY: an array's element.
    COUNTS.get_ptr_mut(0).map(|counts| unsafe { Value::new(counts) })
}

/// What this CPU's last sampling interrupt found.
#[inline(always)]
pub fn found() -> Option<Value<Found>> {
    // SAFETY: an array's element.
    FOUND.get_ptr_mut(0).map(|found| unsafe { Value::new(found) })
}

/// What the governor adapts. The user side replaces all of it at once, by a copy that is not atomic: one field may be
/// new before another is, and where the kernel copies by bytes a part of one.
#[inline(always)]
pub fn rates() -> Option<Value<Rates>> {
    // SAFETY: an array's element.
    RATES.get_ptr_mut(0).map(|rates| unsafe { Value::new(rates) })
}

/// What is kept under a thread's id.
#[inline(always)]
pub fn thread(tid: u32) -> Option<Value<ThreadState>> {
    // SAFETY: an element of a preallocated hash map.
    THREADS.get_ptr_mut(tid).map(|thread| unsafe { Value::new(thread) })
}
