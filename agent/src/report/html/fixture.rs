//! A small profile for the tests of this format.

use crate::profile::{
    FrameId, FrameKind, Meta, Metric, NamedFrame, Profile, Reason, StackId, StackTable, Thread, ThreadIdx, WakeLink,
    Weighted, Window,
};
use crate::units::{CpuId, Nanos, Pid, Tid};

pub(super) struct Fixture {
    pub(super) profile: Profile,
}

/// A timer interrupt that falls on `bystander` wakes `relay`, and that wakes `sleeper`. Samples: 0 on-CPU of
/// `sleeper`, 1 `relay`'s sleep, 2 `sleeper`'s.
pub(super) fn chain_of_three() -> Fixture {
    let mut frames = Vec::new();
    let mut stacks = StackTable::default();
    let mut stack = |names: &[(&str, FrameKind)]| {
        let ids: Vec<FrameId> = names
            .iter()
            .map(|(name, kind)| {
                let frame = NamedFrame { name: (*name).to_owned(), module: String::new(), kind: *kind };
                let row = frames.iter().position(|known| *known == frame).unwrap_or_else(|| {
                    frames.push(frame);
                    frames.len() - 1
                });
                FrameId(row as u32)
            })
            .collect();
        stacks.intern_all(ids).expect("frames")
    };
    use FrameKind::{Kernel, Label, User};
    let work = stack(&[("sleeper", Label), ("main", User), ("work", User)]);
    let wait = stack(&[("sleeper", Label), ("main", User), ("pipe_read", Kernel)]);
    let relay_wait = stack(&[("relay", Label), ("relay_main", User), ("nanosleep", Kernel)]);
    let relay_write = stack(&[("relay", Label), ("relay_main", User), ("pipe_write", Kernel)]);
    let timer = stack(&[
        ("bystander", Label),
        ("innocent", User),
        ("asm_sysvec_apic_timer_interrupt", Kernel),
        ("hrtimer_wakeup", Kernel),
    ]);
    let thread = |tid, comm: &str| Thread { pid: Pid(10), tid: Tid(tid), comm: comm.to_owned() };
    let sample = |time, thread, stack, metric, duration, value: f64, variance: f64, wake| Weighted {
        time: Nanos(time),
        duration: Nanos(duration),
        cpu: CpuId(0),
        thread: ThreadIdx(thread),
        stack: Some(stack),
        metric,
        value,
        variance,
        wake,
    };
    let link = |waker, stack: StackId, interrupt, waker_sleep| {
        Some(WakeLink { waker: ThreadIdx(waker), stack: Some(stack), interrupt, waker_sleep })
    };
    let blocked = Metric::OffCpu(Reason::Blocked);
    let samples = vec![
        sample(5_000_000, 0, work, Metric::OnCpu, 10_000_000, 10_000_000.0, 0.0, None),
        sample(100_000_000, 1, relay_wait, blocked, 50_000_000, 5e7, 0.0, link(2, timer, true, None)),
        sample(20_000_000, 0, wait, blocked, 135_000_000, 2.7e8, 3.645e16, link(1, relay_write, false, Some(1))),
    ];
    Fixture {
        profile: Profile {
            meta: Meta::example(),
            window: Window::default(),
            frames,
            stacks,
            threads: vec![thread(11, "sleeper"), thread(12, "relay"), thread(13, "bystander")],
            samples,
            totals: Vec::new(),
        },
    }
}
