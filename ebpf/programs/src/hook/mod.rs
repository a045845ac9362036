//! The events that programs run on, and what a probe does at each.

mod interrupt;
mod process;
mod sched;
mod walk;

pub use interrupt::Interrupt;
pub use sched::{SwitchIn, SwitchOut, ThreadEnd, Waking, await_wake};
pub use walk::Sleeper;

use quell_ebpf_common::hook;

use crate::{
    maps, record,
    settings::setting,
    value::{load, store},
};

/// Nanoseconds that sampling took; 0 where nothing was sampled.
pub type SamplingTime = u64;

/// What a probe does at the hooks that it needs. The user side attaches the program of a hook where a probe that is on
/// needs it.
pub trait Callbacks {
    /// A sampling interrupt found a captured thread.
    #[inline(always)]
    fn interrupt(_event: &Interrupt<'_>) -> SamplingTime {
        0
    }

    /// A captured thread leaves its CPU.
    #[inline(always)]
    fn switch_out(_event: &SwitchOut<'_>) -> SamplingTime {
        0
    }

    /// A captured thread comes back onto a CPU.
    #[inline(always)]
    fn switch_in(_event: &SwitchIn) -> SamplingTime {
        0
    }

    /// A thread is woken whose wake-up a probe awaits ([`await_wake`]).
    #[inline(always)]
    fn waking(_event: &Waking<'_>) -> SamplingTime {
        0
    }

    /// A captured thread has ended; `false` where its record found no room.
    #[inline(always)]
    fn thread_end(_event: &ThreadEnd) -> bool {
        true
    }

    /// A captured thread gives itself another name; `comm` is the one before.
    #[inline(always)]
    fn renamed(_event: &ThreadEnd) {}

    /// A thread sleeps when the capture begins.
    #[inline(always)]
    fn asleep_at_start(_event: &Sleeper) {}

    /// A thread sleeps still when the capture ends.
    #[inline(always)]
    fn asleep_at_end(_event: &Sleeper) {}
}

/// Whether the probe of this number is on. The verifier knows the answer and drops what is off.
#[inline(always)]
fn is_on(probe: u32) -> bool {
    setting!(probes) & 1 << probe != 0
}

/// Calls a callback of every probe that is on.
macro_rules! dispatch {
    ($($probe:ident = $number:literal,)+) => {
        #[inline(always)]
        fn interrupt(event: &Interrupt<'_>) -> SamplingTime {
            let mut nanos = 0;
            $(if is_on($number) { nanos += <crate::$probe::Probe as Callbacks>::interrupt(event); })+
            nanos
        }

        #[inline(always)]
        fn switch_out(event: &SwitchOut<'_>) -> SamplingTime {
            let mut nanos = 0;
            $(if is_on($number) { nanos += <crate::$probe::Probe as Callbacks>::switch_out(event); })+
            nanos
        }

        #[inline(always)]
        fn switch_in(event: &SwitchIn) -> SamplingTime {
            let mut nanos = 0;
            $(if is_on($number) { nanos += <crate::$probe::Probe as Callbacks>::switch_in(event); })+
            nanos
        }

        #[inline(always)]
        fn waking(event: &Waking<'_>) -> SamplingTime {
            let mut nanos = 0;
            $(if is_on($number) { nanos += <crate::$probe::Probe as Callbacks>::waking(event); })+
            nanos
        }

        #[inline(always)]
        fn thread_end(event: &ThreadEnd) -> bool {
            let mut sent = true;
            $(if is_on($number) { sent &= <crate::$probe::Probe as Callbacks>::thread_end(event); })+
            sent
        }

        #[inline(always)]
        fn renamed(event: &ThreadEnd) {
            $(if is_on($number) { <crate::$probe::Probe as Callbacks>::renamed(event); })+
        }

        #[inline(always)]
        fn asleep_at_start(event: &Sleeper) {
            $(if is_on($number) { <crate::$probe::Probe as Callbacks>::asleep_at_start(event); })+
        }

        #[inline(always)]
        fn asleep_at_end(event: &Sleeper) {
            $(if is_on($number) { <crate::$probe::Probe as Callbacks>::asleep_at_end(event); })+
        }

        const _: () = {
            $(assert!(crate::$probe::NUMBER == $number, "a probe has one number");)+
        };
    };
}
quell_ebpf_common::probes!(dispatch);

/// Counts a run of a hook's program. For the one run in [`hook::TIMED`] that is timed, returns when it began, later by what reading
/// the clock takes: that is as long as all else that an event of an uncaptured thread needs, and other runs do not read it.
#[inline(always)]
fn begin(hook: u32) -> Option<u64> {
    let runs = maps::hook_runs(hook)?;
    let count = load!(runs.runs) + 1;
    store!(runs.runs, count);
    if count & (hook::TIMED - 1) != 0 {
        return None;
    }
    let (first, second) = (record::now(), record::now());
    Some(second + (second - first))
}

/// Takes the time of a run that is timed. One that sampled is left out: its cost is the sample's ([`crate::pace`]).
#[inline(always)]
fn end(hook: u32, begun: Option<u64>, sampling: SamplingTime) {
    if let Some(begun) = begun
        && sampling == 0
        && let Some(runs) = maps::hook_runs(hook)
    {
        store!(runs.timed, load!(runs.timed) + 1);
        // The first reading may have taken longer than the last.
        store!(runs.nanos, load!(runs.nanos) + record::now().saturating_sub(begun));
    }
}
