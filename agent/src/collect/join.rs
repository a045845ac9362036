//! From ordered records to samples: a sleep's beginning, wake-up and end are joined by thread and number.

use hashbrown::HashMap;
use quell_ebpf_common::{CERTAIN, SleepEnd, ThreadExit, Total, reason};

use super::event::Event;
use super::stacks::StackInterner;
use crate::recording::{
    Counter, Metric, MetricId, ModuleTable, ProcessTable, Sample, SampleIdx, Scope, StackId, ThreadIdx, ThreadTable,
    Wake,
};
use crate::symbolize::AddressSpaces;
use crate::units::{CpuId, Nanos, Pid, Tid};

/// A sampled sleep that goes on.
struct Sleeping {
    seq: u32,
    start: Nanos,
    cpu: CpuId,
    thread: ThreadIdx,
    metric: MetricId,
    probability: f64,
    stack: Option<StackId>,
    wake: Option<Wake>,
    /// Whether the task iterator found it: it may have gone on running before it was entered, and then has no end.
    walked: bool,
}

/// Joins records to samples. Takes them in order of time.
pub struct Joiner {
    /// Code.
    pub stacks: StackInterner,
    /// Files with code.
    pub modules: ModuleTable,
    /// Processes.
    pub processes: ProcessTable,
    /// Threads.
    pub threads: ThreadTable,
    /// What was joined so far.
    pub samples: Vec<Sample>,
    /// Exact totals of threads that have ended.
    pub counters: Vec<Counter>,
    /// Sampled sleeps whose beginning or end never came.
    pub unmatched: u64,
    /// Records that were not understood.
    pub unknown: u64,
    begin: Nanos,
    sleeping: HashMap<Tid, Sleeping>,
    /// The last sampled sleep of each thread that ended: its number and its row.
    last_sleep: HashMap<Tid, (u32, SampleIdx)>,
    metrics: RecordMetrics,
}

/// The metrics of the records that there are. One that the capture does not have is never asked for.
struct RecordMetrics {
    cpu: Option<MetricId>,
    /// By `quell_ebpf_common::reason`.
    off_cpu: [Option<MetricId>; 3],
}

impl RecordMetrics {
    fn of(metrics: &[Metric]) -> Self {
        let named = |name| metrics.iter().position(|metric| metric.name == name).map(MetricId::from_index);
        Self { cpu: named("cpu"), off_cpu: ["offcpu.blocked", "offcpu.preempted", "offcpu.io-wait"].map(named) }
    }

    fn off_cpu(&self, reason: u32) -> Option<MetricId> {
        self.off_cpu.get(reason as usize).copied().flatten()
    }
}

impl Joiner {
    /// Times count from `begin`; `modules` are the files of code that are known already, and `metrics` those of the capture.
    #[must_use]
    pub fn new(begin: Nanos, modules: ModuleTable, metrics: &[Metric]) -> Self {
        Self {
            stacks: StackInterner::default(),
            modules,
            processes: ProcessTable::default(),
            threads: ThreadTable::default(),
            samples: Vec::new(),
            counters: Vec::new(),
            unmatched: 0,
            unknown: 0,
            begin,
            sleeping: HashMap::new(),
            last_sleep: HashMap::new(),
            metrics: RecordMetrics::of(metrics),
        }
    }

    /// The row of a thread under its present name.
    pub fn thread(&mut self, pid: Pid, tid: Tid, comm: [u8; 16]) -> ThreadIdx {
        self.threads.intern(&mut self.processes, pid, tid, comm)
    }

    /// Takes the next record.
    pub fn take(&mut self, event: Option<Event<'_>>, spaces: &mut AddressSpaces) {
        match event {
            Some(Event::CpuSample(sample, raw)) => {
                let (Some(metric), pid) = (self.metrics.cpu, Pid(sample.header.tgid)) else {
                    self.unknown += 1;
                    return;
                };
                let thread = self.thread(pid, Tid(sample.header.tid), sample.comm);
                let stack = self.stacks.intern(pid, raw, spaces, &mut self.modules);
                let time = Nanos(sample.header.time).since(self.begin);
                self.samples.push(Sample {
                    cpu: CpuId(sample.header.cpu),
                    stack,
                    ..Sample::new(metric, thread, time, sample.interval)
                });
            }
            Some(Event::SleepStart(start, raw)) => {
                let (Some(metric), pid) = (self.metrics.off_cpu(start.reason), Pid(start.header.tgid)) else {
                    self.unknown += 1;
                    return;
                };
                let thread = self.thread(pid, Tid(start.header.tid), start.comm);
                let sleeping = Sleeping {
                    seq: start.seq,
                    start: Nanos(start.header.time),
                    cpu: CpuId(start.header.cpu),
                    thread,
                    metric,
                    probability: probability(start.odds),
                    stack: self.stacks.intern(pid, raw, spaces, &mut self.modules),
                    wake: None,
                    walked: start.walked == 1,
                };
                let before = self.sleeping.insert(Tid(start.header.tid), sleeping);
                self.unmatched += u64::from(before.is_some_and(|before| !before.walked));
            }
            Some(Event::Wake(wake, raw)) => {
                let Some(woken) = self.sleeping.get_mut(&Tid(wake.woken_tid)) else { return };
                if woken.seq != wake.woken_seq {
                    return;
                }
                let (pid, tid) = (Pid(wake.header.tgid), Tid(wake.header.tid));
                woken.wake = Some(Wake {
                    waker: self.threads.intern(&mut self.processes, pid, tid, wake.comm),
                    stack: self.stacks.intern(pid, raw, spaces, &mut self.modules),
                    waker_sleep: self
                        .last_sleep
                        .get(&tid)
                        .filter(|(seq, _)| *seq == wake.waker_seq)
                        .map(|(_, row)| *row),
                });
            }
            Some(Event::SleepEnd(end)) => self.sleep_end(end),
            Some(Event::ThreadExit(exit)) => self.thread_exit(exit),
            None => self.unknown += 1,
        }
    }

    fn sleep_end(&mut self, end: &SleepEnd) {
        let tid = Tid(end.header.tid);
        match self.sleeping.remove(&tid) {
            Some(sleep) if sleep.seq == end.seq => {
                let row = SampleIdx::from_index(self.samples.len());
                self.last_sleep.insert(tid, (sleep.seq, row));
                self.push_sleep(&sleep, Nanos(end.duration), Nanos(end.runqueue), false);
            }
            Some(_) | None => self.unmatched += 1,
        }
    }

    fn push_sleep(&mut self, sleep: &Sleeping, duration: Nanos, runqueue: Nanos, ongoing: bool) {
        let time = sleep.start.since(self.begin);
        self.samples.push(Sample {
            // Every sleep that goes on at the end is recorded, by the switch or by the task iterator.
            probability: if ongoing { 1.0 } else { sleep.probability },
            runqueue: Some(runqueue),
            cpu: sleep.cpu,
            stack: sleep.stack,
            wake: sleep.wake,
            ongoing,
            ..Sample::new(sleep.metric, sleep.thread, time, duration.0)
        });
    }

    fn thread_exit(&mut self, exit: &ThreadExit) {
        let tid = Tid(exit.header.tid);
        let thread = self.thread(Pid(exit.header.tgid), tid, exit.comm);
        self.add_totals(thread, &exit.totals);
        self.sleeping.remove(&tid);
        self.last_sleep.remove(&tid);
    }

    /// Adds what the kernel side counted for a thread, by reason.
    pub fn add_totals(&mut self, thread: ThreadIdx, totals: &[Total; 3]) {
        for (metric, total) in self.metrics.off_cpu.into_iter().zip(totals) {
            if let Some(metric) = metric.filter(|_| total.count > 0) {
                let scope = Scope::Thread(thread);
                self.counters.push(Counter { metric, scope, count: total.count, sum: total.nanos });
            }
        }
    }

    /// Turns the sleeps that go on at `end` into samples. `goes_on` says of a thread which of its sleeps does, by the
    /// kernel's table.
    pub fn finish(&mut self, end: Nanos, goes_on: impl Fn(Tid) -> Option<u32>) {
        let mut rest: Vec<(Tid, Sleeping)> = self.sleeping.drain().collect();
        rest.sort_unstable_by_key(|(tid, sleep)| (sleep.start, *tid));
        for (tid, sleep) in rest {
            if goes_on(tid) == Some(sleep.seq) {
                let duration = end.since(sleep.start.max(self.begin));
                let is_preempted = Some(sleep.metric) == self.metrics.off_cpu(reason::PREEMPTED);
                let runqueue = if is_preempted { duration } else { Nanos(0) };
                self.push_sleep(&sleep, duration, runqueue, true);
            } else if !sleep.walked {
                self.unmatched += 1;
            }
        }
    }
}

/// Odds of 2^32 as a probability.
fn probability(odds: u32) -> f64 {
    if odds == CERTAIN { 1.0 } else { f64::from(odds) / 4_294_967_296.0 }
}

#[cfg(test)]
mod tests {
    use quell_ebpf_common::{Header, SleepStart, Stacks, kind, reason};

    use super::super::event::RawStacks;
    use super::*;

    const NO_FRAMES: RawStacks<'_> = RawStacks { kernel: &[0xffff_ffff_8100_0000], user: &[] };

    fn header(kind: u32, time: u64, tid: u32) -> Header {
        Header { kind, cpu: 0, time, tid, tgid: tid }
    }

    fn start(time: u64, tid: u32, seq: u32, odds: u32) -> SleepStart {
        SleepStart {
            header: header(kind::SLEEP_START, time, tid),
            comm: [b'a'; 16],
            seq,
            reason: reason::BLOCKED,
            odds,
            walked: 0,
            user_regs: [0; 3],
            stacks: Stacks { kernel: 8, user: -14 },
        }
    }

    fn end(time: u64, tid: u32, seq: u32, duration: u64) -> SleepEnd {
        let header = header(kind::SLEEP_END, time, tid);
        SleepEnd { header, duration, runqueue: 1, seq, reason: reason::BLOCKED }
    }

    fn wake(time: u64, waker: u32, waker_seq: u32, woken: u32, woken_seq: u32) -> quell_ebpf_common::Wake {
        quell_ebpf_common::Wake {
            header: header(kind::WAKE, time, waker),
            comm: [b'w'; 16],
            woken_tid: woken,
            woken_seq,
            waker_seq,
            pad: 0,
            stacks: Stacks { kernel: 8, user: -14 },
        }
    }

    fn joined(events: &[Event<'_>]) -> Joiner {
        let mut joiner = Joiner::new(Nanos(1_000), ModuleTable::default(), &crate::recording::example::meta().metrics);
        let mut spaces = AddressSpaces::new(Box::new(crate::inspect::Direct::default()));
        for event in events {
            joiner.take(Some(*event), &mut spaces);
        }
        joiner
    }

    #[test]
    fn a_sleep_is_its_beginning_joined_to_its_end() {
        let joiner = joined(&[
            Event::SleepStart(&start(1_500, 7, 3, 1 << 31), NO_FRAMES),
            Event::SleepEnd(&end(1_900, 7, 3, 400)),
        ]);
        assert_eq!(joiner.samples.len(), 1);
        assert_eq!((joiner.samples[0].time, joiner.samples[0].value), (Nanos(500), 400));
        assert_eq!(joiner.samples[0].probability, 0.5);
        assert_eq!(joiner.unmatched, 0);
    }

    #[test]
    fn a_beginning_or_an_end_alone_is_counted_and_makes_no_sample() {
        let mut joiner = joined(&[
            Event::SleepStart(&start(1_500, 7, 3, CERTAIN), NO_FRAMES),
            Event::SleepEnd(&end(1_900, 7, 4, 400)),
            Event::SleepStart(&start(2_000, 8, 1, CERTAIN), NO_FRAMES),
        ]);
        joiner.finish(Nanos(3_000), |_| None);
        assert!(joiner.samples.is_empty());
        assert_eq!(joiner.unmatched, 2);
    }

    #[test]
    fn a_wake_chain_goes_on_through_the_wakers_own_last_sleep() {
        let joiner = joined(&[
            Event::SleepStart(&start(1_100, 1, 5, CERTAIN), NO_FRAMES),
            Event::SleepStart(&start(1_200, 2, 9, CERTAIN), NO_FRAMES),
            Event::Wake(&wake(1_300, 3, 0, 2, 9), NO_FRAMES),
            Event::SleepEnd(&end(1_310, 2, 9, 110)),
            Event::Wake(&wake(1_400, 2, 9, 1, 5), NO_FRAMES),
            Event::SleepEnd(&end(1_410, 1, 5, 310)),
        ]);
        let last = joiner.samples[1].wake.expect("it was woken");
        assert_eq!(joiner.threads.get(last.waker).tid, Tid(2));
        assert_eq!(last.waker_sleep, Some(SampleIdx::new(0)));
        let first = joiner.samples[0].wake.expect("it was woken");
        assert_eq!((joiner.threads.get(first.waker).tid, first.waker_sleep), (Tid(3), None));
    }

    #[test]
    fn a_chain_does_not_go_on_through_an_older_sleep_of_the_waker() {
        let joiner = joined(&[
            Event::SleepStart(&start(1_100, 2, 9, CERTAIN), NO_FRAMES),
            Event::SleepEnd(&end(1_200, 2, 9, 100)),
            Event::SleepStart(&start(1_300, 1, 5, CERTAIN), NO_FRAMES),
            // The waker slept once more since, unsampled: its number is 10 by now.
            Event::Wake(&wake(1_400, 2, 10, 1, 5), NO_FRAMES),
            Event::SleepEnd(&end(1_410, 1, 5, 110)),
        ]);
        assert_eq!(joiner.samples[1].wake.expect("it was woken").waker_sleep, None);
    }

    #[test]
    fn a_sleep_that_goes_on_at_the_end_lasts_until_then() {
        let mut joiner = joined(&[Event::SleepStart(&start(1_500, 7, 3, 1 << 20), NO_FRAMES)]);
        joiner.finish(Nanos(5_000), |tid| (tid == Tid(7)).then_some(3));
        assert_eq!(joiner.samples[0].value, 3_500);
        assert_eq!((joiner.samples[0].ongoing, joiner.samples[0].probability), (true, 1.0));
    }
}
