//! A recording of quell, with queries for tests.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use quell::profile::{Counted, FrameKind, Profile, Selection, Weighted, build};
use quell::recording::example::{BLOCKED, CPU};
use quell::recording::{MetricId, Recording, Sample, Scope, ThreadIdx};

use crate::fixture::{BURNING, CpuTime};

/// A recording, and the profile of the whole recording.
#[derive(Debug)]
pub struct Recorded {
    /// The recording.
    pub recording: Recording,
    /// The profile.
    pub profile: Profile,
}

/// The sum of samples.
#[derive(Clone, Copy, Debug, Default)]
pub struct Estimate {
    /// The sum in nanoseconds.
    pub nanos: f64,
    /// The standard error from quell, in nanoseconds.
    pub error: f64,
    /// The number of samples.
    pub samples: usize,
    /// The sum of the squares of the samples, in ns^2: its square root is the standard deviation of their sum if every sample
    /// is random.
    pub squares: f64,
}

impl Estimate {
    /// Fails unless the estimate agrees with the CPU time that a fixture measured, within 10 % and two standard deviations of
    /// the sum, which are large if samples are few or unequal.
    pub fn is_cpu_time(&self, truth: CpuTime) -> Result<()> {
        let allowed = 0.1 * truth.spent as f64 + 2.0 * self.squares.sqrt();
        let (least, most) = (truth.undisturbed as f64 - allowed, truth.spent as f64 + allowed);
        ensure!((least..most).contains(&self.nanos), "{self:?} of CPU time, by its own clock {truth:?}");
        Ok(())
    }
}

impl Recorded {
    /// Reads the recording that `quell record -o path` wrote.
    pub fn read(path: &Path) -> Result<Self> {
        let recording = quell::recording::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let profile = build(&recording, &Selection::default());
        Ok(Self { recording, profile })
    }

    /// The sum of the samples that `chosen` selects.
    pub fn estimate(&self, chosen: impl Fn(&Weighted) -> bool) -> Estimate {
        let mut estimate = quell::profile::Estimate::default();
        let mut sum = Estimate::default();
        for sample in self.profile.samples.iter().filter(|sample| chosen(sample)) {
            estimate.add(sample);
            sum.samples += 1;
            sum.squares += sample.value.powi(2);
        }
        Estimate { nanos: estimate.value(), error: estimate.error(&self.profile.groups), ..sum }
    }

    /// On-CPU time below a function of a process.
    pub fn on_cpu(&self, pid: i32, function: &str) -> Estimate {
        self.estimate(|sample| self.is_of(sample, CPU) && self.pid(sample) == pid && self.calls(sample, function))
    }

    /// Off-CPU time of a thread below one of its functions, for any reason.
    pub fn off_cpu(&self, tid: i32, function: &str) -> Estimate {
        self.estimate(|sample| !self.is_of(sample, CPU) && self.tid(sample) == tid && self.calls(sample, function))
    }

    /// On-CPU time of a process in the functions of `burn`.
    pub fn burning(&self, pid: i32) -> Estimate {
        let burns = |sample: &_| BURNING.iter().any(|function| self.calls(sample, function));
        self.estimate(|sample| self.is_of(sample, CPU) && self.pid(sample) == pid && burns(sample))
    }

    /// Whether a sample belongs to the metric with this name.
    pub fn is_of(&self, sample: &Weighted, metric: &str) -> bool {
        self.profile.metric(sample.metric).name == metric
    }

    /// Off-CPU time of a thread that was counted in the kernel, in nanoseconds.
    pub fn total(&self, tid: i32) -> u64 {
        self.counters_of(tid).map(|row| row.sum).sum()
    }

    /// The same, for the metric with this name.
    pub fn total_for(&self, tid: i32, metric: &str) -> u64 {
        self.counters_of(tid).filter(|row| self.is_named(row.metric, metric)).map(|row| row.sum).sum()
    }

    /// The number of off-CPU intervals of a thread, from the same counters.
    pub fn count(&self, tid: i32) -> u64 {
        self.counters_of(tid).map(|row| row.count).sum()
    }

    /// The same, for the metric with this name.
    pub fn count_for(&self, tid: i32, metric: &str) -> u64 {
        self.counters_of(tid).filter(|row| self.is_named(row.metric, metric)).map(|row| row.count).sum()
    }

    /// The counted totals of a thread.
    pub fn counters_of(&self, tid: i32) -> impl Iterator<Item = &Counted> {
        let is_of_thread = move |row: &&Counted| match row.scope {
            Scope::Thread(thread) => self.profile.thread(thread).tid.0 == tid.cast_unsigned(),
            _ => false,
        };
        self.profile.counters.iter().filter(is_of_thread)
    }

    fn is_named(&self, metric: MetricId, name: &str) -> bool {
        self.profile.metric(metric).name == name
    }

    /// The sampled sleeps of a thread, as measured.
    pub fn sleeps(&self, tid: i32) -> impl Iterator<Item = &Sample> {
        let of = move |sample: &&Sample| self.recording.threads.get(sample.thread).tid.0 == tid.cast_unsigned();
        self.recording.samples.iter().filter(of).filter(|sample| !self.is_named(sample.metric, CPU))
    }

    /// The time for walking the stacks of this number of sampled sleeps, at the beginning of each sleep and at its wakeup, in
    /// nanoseconds. The clocks of a fixture count this time as off-CPU time; a recording excludes it where it delayed the end of the sleep.
    #[must_use]
    pub fn walks(&self, samples: usize) -> f64 {
        let walks = self.recording.meta.cost.probes.iter().filter(|cost| cost.mechanism.ends_with("stack walks"));
        2.0 * walks.filter_map(|cost| cost.nanos_per_event).sum::<f64>() * samples as f64
    }

    /// The sampling probability of each sampled sleep of a thread below one of its functions.
    pub fn probabilities_in(&self, tid: i32, function: &str) -> Vec<f64> {
        let calls = |sample: &Sample| {
            let frames = sample.stack.into_iter().flat_map(|stack| self.recording.stacks.frames(stack));
            let named = frames.filter_map(|frame| self.recording.frames.get(frame).symbol.as_ref());
            named.into_iter().any(|symbol| symbol.name == function)
        };
        let blocked = self.sleeps(tid).filter(|sample| self.is_named(sample.metric, BLOCKED));
        blocked.filter(|sample| calls(sample)).map(|sample| sample.probability).collect()
    }

    /// Whether the recording contains neither samples nor totals of a process.
    pub fn is_without(&self, pid: i32) -> bool {
        let of_totals =
            self.counted_threads().filter(|thread| self.profile.thread(*thread).pid.0 == pid.cast_unsigned());
        !self.profile.samples.iter().any(|sample| self.pid(sample) == pid) && of_totals.count() == 0
    }

    fn counted_threads(&self) -> impl Iterator<Item = ThreadIdx> {
        self.profile.counters.iter().filter_map(|row| match row.scope {
            Scope::Thread(thread) => Some(thread),
            _ => None,
        })
    }

    /// Fails if the recording contains samples or totals of any other process.
    pub fn is_only_of(&self, pids: &[i32]) -> Result<()> {
        let of_samples = self.profile.samples.iter().map(|sample| sample.thread);
        let of_totals = self.counted_threads();
        let others: BTreeSet<_> = of_samples
            .chain(of_totals)
            .map(|thread| self.profile.thread(thread))
            .filter(|thread| !pids.contains(&thread.pid.0.cast_signed()))
            .map(|thread| (thread.pid.0, thread.comm.clone()))
            .collect();
        ensure!(
            others.is_empty(),
            "only of {pids:?} was something to be captured, and there is something of {others:?}"
        );
        Ok(())
    }

    /// Fails if records were lost for lack of space, although a small capture has enough space, or if quell did not
    /// understand a record of its BPF programs.
    pub fn has_no_needless_losses(&self) -> Result<()> {
        let losses = &self.recording.meta.losses;
        let needless = [losses.ring_full, losses.thread_table_full, losses.targets_full, losses.unknown_records];
        ensure!(needless == [0; 4], "{losses:?}");
        Ok(())
    }

    /// The threads of a sample's wake chain from the sleeper on, if the chain ends in an interrupt; otherwise empty.
    pub fn wake_chain(&self, sample: &Weighted) -> Vec<i32> {
        let mut hops = Vec::new();
        let mut next = Some(sample);
        while let Some(sample) = next {
            hops.push(self.tid(sample));
            match sample.wake {
                Some(wake) if wake.interrupt || self.runs_timers(wake.waker) => return hops,
                Some(wake) => next = wake.waker_sleep.map(|row| &self.profile.samples[row.index()]),
                None => break,
            }
        }
        Vec::new()
    }

    /// Whether a thread runs timers on kernels with PREEMPT_RT, which other kernels run in interrupts: `ktimers/0`, or
    /// `ksoftirqd/0` before 5.16.
    fn runs_timers(&self, thread: ThreadIdx) -> bool {
        let name = &self.profile.thread(thread).comm;
        name.starts_with("ktimers/") || name.starts_with("ksoftirqd/")
    }

    /// The process of a sample.
    pub fn pid(&self, sample: &Weighted) -> i32 {
        self.profile.thread(sample.thread).pid.0.cast_signed()
    }

    /// The thread of a sample.
    pub fn tid(&self, sample: &Weighted) -> i32 {
        self.profile.thread(sample.thread).tid.0.cast_signed()
    }

    /// Whether a user-space function is in a sample's stack.
    pub fn calls(&self, sample: &Weighted, function: &str) -> bool {
        self.functions(sample, FrameKind::User).any(|name| name == function)
    }

    /// The user or kernel functions in a sample's stack, innermost first.
    pub fn functions(&self, sample: &Weighted, side: FrameKind) -> impl Iterator<Item = &str> {
        let frames = sample.stack.into_iter().flat_map(|stack| self.profile.functions(stack));
        frames.filter(move |frame| frame.kind == side).map(|frame| frame.name.as_str())
    }
}
