//! A small profile for the tests of the HTML format.

use crate::profile::{Profile, Selection, build};
use crate::recording::example::{BLOCKED, CPU, Example};
use crate::recording::{SampleIdx, Wake};
use crate::units::Nanos;

/// A timer interrupt on the CPU of `bystander` wakes `relay`, which wakes `sleeper`. The samples are: 0, on-CPU time of
/// `sleeper`; 1, the sleep of `relay`; 2, the sleep of `sleeper`.
pub(super) fn chain_of_three() -> Profile {
    let mut example = Example::new();
    let [sleeper, relay, bystander] =
        [(11, "sleeper"), (12, "relay"), (13, "bystander")].map(|(tid, name)| example.thread(10, tid, name));
    let [work, wait, relay_wait, relay_write, timer] = [
        "app main work",
        "app main kernel:pipe_read",
        "app relay_main kernel:nanosleep",
        "app relay_main kernel:pipe_write",
        "app innocent kernel:asm_sysvec_apic_timer_interrupt kernel:hrtimer_wakeup",
    ]
    .map(|path| example.stack(path));
    example.sample(CPU, sleeper, work, 10_000_000).time = Nanos(5_000_000);
    let slept = example.sample(BLOCKED, relay, relay_wait, 50_000_000);
    slept.time = Nanos(100_000_000);
    slept.wake = Some(Wake { waker: bystander, stack: Some(timer), waker_sleep: None });
    let slept = example.sample(BLOCKED, sleeper, wait, 135_000_000);
    (slept.time, slept.probability) = (Nanos(20_000_000), 0.5);
    slept.wake = Some(Wake { waker: relay, stack: Some(relay_write), waker_sleep: Some(SampleIdx::new(1)) });
    build(&example.recording, &Selection::default())
}
