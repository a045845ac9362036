//! Joins the start, wakeup and end of an off-CPU interval into a sample, by thread and number.

use hashbrown::HashMap;
use quell_ebpf_common::{ThreadState, reason};

use super::abi::{CERTAIN, SleepEnd, SleepStart, ThreadExit, Wake as WakeRecord};
use super::totals::{Ended, Metrics, Moment, ThreadTotals};
use crate::probe::BadRecord;
use crate::recording::{
    CodeLocator, MetricId, RawStacks, RecordingBuilder, Sample, SampleIdx, ThreadIdx, Wake, WalkedStack,
};
use crate::units::{CpuId, Nanos, Pid, Tid};

/// The maximum number of names of a thread that have totals of their own. Those of further names are added to the last.
const MOST_NAMES: u32 = 64;

/// A sampled interval that has not ended.
struct Sleeping {
    seq: u32,
    start: Nanos,
    cpu: CpuId,
    thread: ThreadIdx,
    reason: u32,
    metric: MetricId,
    probability: f64,
    stack: WalkedStack,
    wake: Option<Wake>,
    /// Whether the task iterator found the thread. It may have continued to run before it was registered; the interval then has no end.
    walked: bool,
}

/// The sampled intervals that have not ended. Records must come in order of time.
#[derive(Default)]
pub(super) struct Sleeps {
    sleeping: HashMap<Tid, Sleeping>,
    /// For each thread, the last sampled interval that ended: its number and its row.
    last: HashMap<Tid, (u32, SampleIdx)>,
    /// The number of names of each thread with totals under a name that is not its last, and the row of the last of these.
    renamed: HashMap<Tid, (u32, ThreadIdx)>,
    metrics: Metrics,
    totals: ThreadTotals,
    /// Whether intervals that have not ended at the end are recorded only if they were sampled, because tasks cannot be walked.
    only_sampled: bool,
}

impl Sleeps {
    /// `walks` is whether tasks are walked at the end, so that all intervals that have not ended are recorded.
    pub(super) fn new(walks: bool) -> Self {
        Self { only_sampled: !walks, ..Self::default() }
    }

    /// Sets the first of the metrics, which are in the order of [`reason`].
    pub(super) fn declared(&mut self, first: MetricId) {
        self.metrics = std::array::from_fn(|reason| Some(MetricId::from_index(first.index() + reason)));
    }

    fn metric(&self, reason: u32) -> Option<MetricId> {
        self.metrics.get(reason as usize).copied().flatten()
    }

    /// A thread is switched out.
    pub(super) fn start(
        &mut self,
        start: &SleepStart,
        raw: RawStacks<'_>,
        out: &mut RecordingBuilder,
        code: &mut dyn CodeLocator,
    ) -> Result<(), BadRecord> {
        let pid = Pid(start.header.tgid);
        let sleeping = Sleeping {
            seq: start.seq,
            start: Nanos(start.header.time),
            cpu: CpuId(start.header.cpu),
            reason: start.reason,
            metric: self.metric(start.reason).ok_or(BadRecord)?,
            thread: out.thread(pid, Tid(start.header.tid), start.comm),
            probability: probability(start.odds),
            stack: out.stack(pid, raw, code),
            wake: None,
            walked: start.walked == 1,
        };
        let before = self.sleeping.insert(Tid(start.header.tid), sleeping);
        out.unmatched += u64::from(before.is_some_and(|before| !before.walked));
        Ok(())
    }

    /// A thread is woken.
    pub(super) fn wake(
        &mut self,
        wake: &WakeRecord,
        raw: RawStacks<'_>,
        out: &mut RecordingBuilder,
        code: &mut dyn CodeLocator,
    ) {
        let Some(woken) = self.sleeping.get_mut(&Tid(wake.woken_tid)) else { return };
        if woken.seq != wake.woken_seq {
            return;
        }
        let (pid, tid) = (Pid(wake.header.tgid), Tid(wake.header.tid));
        woken.wake = Some(Wake {
            waker: out.thread(pid, tid, wake.comm),
            stack: out.stack(pid, raw, code).stack,
            waker_sleep: self.last.get(&tid).filter(|(seq, _)| *seq == wake.waker_seq).map(|(_, row)| *row),
        });
    }

    /// A thread is switched in.
    pub(super) fn end(&mut self, end: &SleepEnd, out: &mut RecordingBuilder) {
        let tid = Tid(end.header.tid);
        match self.sleeping.remove(&tid) {
            Some(sleep) if sleep.seq == end.seq => {
                let row =
                    out.push(sleep.sample(Nanos(end.duration), Nanos(end.runqueue), false, out.begin()), sleep.stack);
                self.last.insert(tid, (sleep.seq, row));
            }
            Some(_) | None => out.unmatched += 1,
        }
    }

    /// A thread exited.
    pub(super) fn thread_exit(&mut self, exit: &ThreadExit, out: &mut RecordingBuilder) {
        let tid = Tid(exit.header.tid);
        let thread = out.thread(Pid(exit.header.tgid), tid, exit.comm);
        let metrics = self.metrics;
        self.totals.exited(thread, &ended(exit, out), &metrics, out);
        self.sleeping.remove(&tid);
        self.last.remove(&tid);
        self.renamed.remove(&tid);
    }

    /// A thread got another name: these are its totals under the one before.
    pub(super) fn thread_renamed(&mut self, renamed: &ThreadExit, out: &mut RecordingBuilder) {
        let tid = Tid(renamed.header.tid);
        let thread = match self.renamed.get(&tid) {
            Some((MOST_NAMES.., last)) => *last,
            before => {
                let names = before.map_or(0, |(names, _)| *names) + 1;
                let thread = out.thread(Pid(renamed.header.tgid), tid, renamed.comm);
                self.renamed.insert(tid, (names, thread));
                thread
            }
        };
        self.totals.renamed(thread, &ended(renamed, out), renamed.next_generation);
    }

    /// Whether the table of threads is to be read now, where this is called at equal intervals.
    pub(super) fn is_due(&mut self) -> bool {
        self.totals.is_due()
    }

    /// Reads the counted totals of the threads in the table.
    pub(super) fn read_totals(&mut self, threads: &[(Tid, ThreadState)], now: Moment) {
        self.totals.read(threads, now);
    }

    /// Takes the counted totals of a thread that is in the table at the end of the capture.
    pub(super) fn still_there(&mut self, thread: ThreadIdx, state: &ThreadState, end: Moment) {
        self.totals.still_there(thread, state, end);
    }

    /// Turns intervals that have not ended at `end` into samples, and adds the counted totals. `goes_on` returns the number of the
    /// current interval of a thread, from the thread table of the programs.
    pub(super) fn finish(&mut self, end: Nanos, goes_on: impl Fn(Tid) -> Option<u32>, out: &mut RecordingBuilder) {
        let mut rest: Vec<(Tid, Sleeping)> = self.sleeping.drain().collect();
        rest.sort_unstable_by_key(|(tid, sleep)| (sleep.start, *tid));
        for (tid, sleep) in rest {
            if goes_on(tid) == Some(sleep.seq) {
                let duration = end.since(sleep.start.max(out.begin()));
                let runqueue = if sleep.reason == reason::PREEMPTED { duration } else { Nanos(0) };
                let sample = sleep.sample(duration, runqueue, true, out.begin());
                let probability = if self.only_sampled { sleep.probability } else { 1.0 };
                out.push(Sample { probability, ..sample }, sleep.stack);
            } else if !sleep.walked {
                out.unmatched += 1;
            }
        }
        self.totals.finish(&self.metrics, out);
    }
}

fn ended<'a>(record: &'a ThreadExit, out: &RecordingBuilder) -> Ended<'a> {
    let ThreadExit { header, generation, totals, .. } = record;
    Ended { tid: Tid(header.tid), generation: *generation, end: Moment::new(Nanos(header.time), out.begin()), totals }
}

impl Sleeping {
    fn sample(&self, duration: Nanos, runqueue: Nanos, ongoing: bool, begin: Nanos) -> Sample {
        Sample {
            probability: self.probability,
            runqueue: Some(runqueue),
            cpu: self.cpu,
            wake: self.wake,
            ongoing,
            ..Sample::new(self.metric, self.thread, self.start.since(begin), duration.0)
        }
    }
}

/// A probability in units of 2^-32.
fn probability(odds: u32) -> f64 {
    if odds == CERTAIN { 1.0 } else { f64::from(odds) / 4_294_967_296.0 }
}

#[cfg(test)]
mod tests {
    use quell_ebpf_common::{Header, MAX_FRAMES, Stacks, Total};

    use super::super::abi::{PROBE, SLEEP_END, SLEEP_START, WAKE};
    use super::*;
    use crate::recording::{Location, ModuleTable, StackLosses};
    use crate::units::Addr;

    const NO_FRAMES: RawStacks<'_> =
        RawStacks { kernel: &[0xffff_ffff_8100_0000], user: &[], lost_kernel: false, lost_user: false };

    fn header(kind: u16, time: u64, tid: u32) -> Header {
        Header { probe: PROBE, kind, cpu: 0, time, tid, tgid: tid }
    }

    fn start(time: u64, tid: u32, seq: u32, odds: u32) -> SleepStart {
        SleepStart {
            header: header(SLEEP_START, time, tid),
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
        let header = header(SLEEP_END, time, tid);
        SleepEnd { header, duration, runqueue: 1, seq, reason: reason::BLOCKED }
    }

    fn wake(time: u64, waker: u32, waker_seq: u32, woken: u32, woken_seq: u32) -> WakeRecord {
        WakeRecord {
            header: header(WAKE, time, waker),
            comm: [b'w'; 16],
            woken_tid: woken,
            woken_seq,
            waker_seq,
            pad: 0,
            stacks: Stacks { kernel: 8, user: -14 },
        }
    }

    /// A locator without any mappings.
    struct NoCode;

    impl CodeLocator for NoCode {
        fn locate_code(&mut self, _: Pid, _: Addr, _: &mut ModuleTable) -> Option<Location> {
            None
        }

        fn version(&mut self, _: Pid) -> u64 {
            0
        }
    }

    #[test]
    fn a_thread_has_totals_under_each_of_its_names_but_not_under_any_number() {
        let (mut sleeps, mut out) = joined(&[]);
        let totals = |count| [Total { count, nanos: 10 * count }; reason::COUNT];
        let named = |name: u8, count| ThreadExit {
            header: header(0, 2_000, 7),
            comm: std::array::from_fn(|byte| if byte == 0 { name } else { 0 }),
            totals: totals(count),
            generation: name.into(),
            next_generation: u32::from(name) + 1,
        };
        for name in 1..=200 {
            sleeps.thread_renamed(&named(name, 1), &mut out);
        }
        sleeps.thread_renamed(&named(1, 5), &mut out);
        sleeps.thread_exit(&named(250, 3), &mut out);
        sleeps.finish(Nanos(3_000), |_| None, &mut out);
        let of_metric = |metric| out.counters.iter().filter(move |row| row.metric == MetricId::from_index(metric));
        assert_eq!(of_metric(0).count(), MOST_NAMES as usize + 1);
        assert_eq!(of_metric(0).map(|row| row.count).sum::<u64>(), 208);
        assert_eq!(of_metric(1).map(|row| row.sum).sum::<u64>(), 2_080);
    }

    enum Event {
        Start(SleepStart),
        Wake(WakeRecord),
        End(SleepEnd),
    }

    #[test]
    fn stacks_of_wakers_and_of_intervals_without_an_end_are_no_losses_of_samples() {
        let frames = [0xffff_ffff_8100_0000; MAX_FRAMES];
        let deep = RawStacks { kernel: &frames, lost_user: true, ..RawStacks::default() };
        let (mut sleeps, mut out) = joined(&[]);
        sleeps.start(&start(2_000, 7, 1, CERTAIN), NO_FRAMES, &mut out, &mut NoCode).expect("a known reason");
        sleeps.wake(&wake(2_500, 8, 0, 7, 1), deep, &mut out, &mut NoCode);
        sleeps.end(&end(3_000, 7, 1, 1_000), &mut out);
        sleeps.start(&start(4_000, 7, 2, CERTAIN), deep, &mut out, &mut NoCode).expect("a known reason");
        assert_eq!((out.samples.len(), out.stack_losses), (1, StackLosses::default()));
        sleeps.end(&end(5_000, 7, 2, 1_000), &mut out);
        assert_eq!(
            (out.samples.len(), out.stack_losses),
            (2, StackLosses { deep: 1, no_user: 1, ..StackLosses::default() })
        );
    }

    fn joined(events: &[Event]) -> (Sleeps, RecordingBuilder) {
        let (mut sleeps, mut out) = (Sleeps::default(), RecordingBuilder::new(Nanos(1_000)));
        sleeps.declared(MetricId::from_index(0));
        for event in events {
            match event {
                Event::Start(start) => sleeps.start(start, NO_FRAMES, &mut out, &mut NoCode).expect("a known reason"),
                Event::Wake(wake) => sleeps.wake(wake, NO_FRAMES, &mut out, &mut NoCode),
                Event::End(end) => sleeps.end(end, &mut out),
            }
        }
        (sleeps, out)
    }

    #[test]
    fn a_sleep_is_its_beginning_joined_to_its_end() {
        let (_, out) = joined(&[Event::Start(start(1_500, 7, 3, 1 << 31)), Event::End(end(1_900, 7, 3, 400))]);
        assert_eq!(out.samples.len(), 1);
        assert_eq!((out.samples[0].time, out.samples[0].value), (Nanos(500), 400));
        assert_eq!(out.samples[0].probability, 0.5);
        assert_eq!(out.unmatched, 0);
    }

    #[test]
    fn a_beginning_or_an_end_alone_is_counted_and_makes_no_sample() {
        let (mut sleeps, mut out) = joined(&[
            Event::Start(start(1_500, 7, 3, CERTAIN)),
            Event::End(end(1_900, 7, 4, 400)),
            Event::Start(start(2_000, 8, 1, CERTAIN)),
        ]);
        sleeps.finish(Nanos(3_000), |_| None, &mut out);
        assert!(out.samples.is_empty());
        assert_eq!(out.unmatched, 2);
    }

    #[test]
    fn a_wake_chain_goes_on_through_the_wakers_own_last_sleep() {
        let (_, out) = joined(&[
            Event::Start(start(1_100, 1, 5, CERTAIN)),
            Event::Start(start(1_200, 2, 9, CERTAIN)),
            Event::Wake(wake(1_300, 3, 0, 2, 9)),
            Event::End(end(1_310, 2, 9, 110)),
            Event::Wake(wake(1_400, 2, 9, 1, 5)),
            Event::End(end(1_410, 1, 5, 310)),
        ]);
        let last = out.samples[1].wake.expect("it was woken");
        assert_eq!(out.threads.get(last.waker).tid, Tid(2));
        assert_eq!(last.waker_sleep, Some(SampleIdx::new(0)));
        let first = out.samples[0].wake.expect("it was woken");
        assert_eq!((out.threads.get(first.waker).tid, first.waker_sleep), (Tid(3), None));
    }

    #[test]
    fn a_chain_does_not_go_on_through_an_older_sleep_of_the_waker() {
        let (_, out) = joined(&[
            Event::Start(start(1_100, 2, 9, CERTAIN)),
            Event::End(end(1_200, 2, 9, 100)),
            Event::Start(start(1_300, 1, 5, CERTAIN)),
            // The waker has slept once more since then, without being sampled; its number is now 10.
            Event::Wake(wake(1_400, 2, 10, 1, 5)),
            Event::End(end(1_410, 1, 5, 110)),
        ]);
        assert_eq!(out.samples[1].wake.expect("it was woken").waker_sleep, None);
    }

    #[test]
    fn a_sleep_that_goes_on_at_the_end_lasts_until_then() {
        let (mut sleeps, mut out) = joined(&[Event::Start(start(1_500, 7, 3, 1 << 20))]);
        sleeps.finish(Nanos(5_000), |tid| (tid == Tid(7)).then_some(3), &mut out);
        assert_eq!(out.samples[0].value, 3_500);
        assert_eq!((out.samples[0].ongoing, out.samples[0].probability), (true, 1.0));
    }
}
