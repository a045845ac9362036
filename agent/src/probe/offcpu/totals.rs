//! The counted totals of threads, by time slice.
//!
//! The programs count the sleeps of a thread in its element of the table of threads, and write the totals to a record when the
//! thread exits or gets another name. The agent also reads the table from time to time. What a total grew by between two readings is
//! the total of a time slice. An interval that has not ended is known by its start, so that it is divided exactly.
//!
//! **What can be wrong.** A slice ends when the reading begins, and elements are read one after the other: what a thread did until its
//! element is read, in less than a millisecond, is in the earlier slice. A thread that is missing in a reading, because a record
//! about it has not been decoded yet, has a longer slice instead; if another thread got its ID within that time, the first slice of that
//! one is too short. The sums over all slices are always those of the programs.

use hashbrown::HashMap;
use quell_ebpf_common::{ThreadState, Total, reason};

use crate::recording::{Counter, MetricId, Reading, RecordingBuilder, Scope, SlicedTotal, ThreadIdx};
use crate::units::{Nanos, Tid};

/// The maximum number of slices in which totals changed, beyond the first slice of each total: 10 MB. Beyond it, slices become twice as
/// long.
const MOST_CHANGES: usize = 1 << 18;

/// The totals of a thread, by [`reason`].
type Sliced = [SlicedTotal; reason::COUNT];

/// What the programs have counted of a thread.
#[derive(Clone, Copy)]
struct State {
    totals: [Total; reason::COUNT],
    /// The reason and the start, in `CLOCK_MONOTONIC`, of a sleep that has not ended.
    asleep: Option<(u32, Nanos)>,
}

impl State {
    /// Of a thread that was never seen to sleep.
    const NONE: Self = Self { totals: [Total { count: 0, nanos: 0 }; reason::COUNT], asleep: None };

    fn of(state: &ThreadState) -> Self {
        let asleep = (state.out_since != 0).then_some((state.reason.into(), Nanos(state.out_since)));
        Self { totals: state.all_totals(), asleep }
    }

    /// The total for a reason, and the start of a sleep for it that has not ended.
    fn of_reason(&self, reason: usize) -> (Total, Option<Nanos>) {
        let asleep = self.asleep.filter(|(asleep, _)| *asleep as usize == reason);
        (self.totals[reason], asleep.map(|(_, since)| since))
    }
}

/// A moment, from the start of the capture and in `CLOCK_MONOTONIC`.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) at: Nanos,
    pub(super) clock: Nanos,
}

impl Moment {
    pub(super) fn new(clock: Nanos, begin: Nanos) -> Self {
        Self { at: clock.since(begin), clock }
    }

    /// The length so far of a sleep. It begins with the capture at the earliest.
    fn length(self, since: Nanos) -> u64 {
        self.clock.since(since).min(self.at).0
    }
}

/// A thread in the table.
struct Open {
    /// See [`ThreadState::generation`].
    generation: u32,
    /// When it was read last, from the start of the capture, and its state then.
    seen: Nanos,
    last: State,
    totals: Sliced,
}

impl Open {
    fn new(generation: u32, seen: Nanos) -> Self {
        Self { generation, seen, last: State::NONE, totals: Sliced::default() }
    }

    fn read(&mut self, now: Moment, state: &State) {
        for (reason, sliced) in self.totals.iter_mut().enumerate() {
            let (total, asleep) = state.of_reason(reason);
            // Most totals do not change from one reading to the next, and their slices need not be touched.
            if (total, asleep) != self.last.of_reason(reason) {
                let ongoing = asleep.map_or(0, |since| now.length(since));
                sliced.read(self.seen, Reading { at: now.at, count: total.count, ended: total.nanos, ongoing });
            }
        }
        (self.seen, self.last) = (now.at, *state);
    }
}

/// What ended under one [`generation`](ThreadState::generation).
pub(super) struct Ended<'a> {
    pub(super) tid: Tid,
    pub(super) generation: u32,
    /// When it ended.
    pub(super) end: Moment,
    pub(super) totals: &'a [Total; reason::COUNT],
}

/// The totals of all threads.
pub(super) struct ThreadTotals {
    /// The threads in the table, as they were read last.
    open: HashMap<Tid, Open>,
    /// The threads that have ended and changed in several slices, and the names that threads no longer have.
    closed: HashMap<ThreadIdx, Sliced>,
    /// The ends of the slices so far, from the start of the capture.
    edges: Vec<Nanos>,
    /// The number of times that the table could have been read, and of which of these it is.
    chances: u64,
    every: u64,
    most_changes: usize,
}

impl Default for ThreadTotals {
    fn default() -> Self {
        Self::with_room_for(MOST_CHANGES)
    }
}

impl ThreadTotals {
    fn with_room_for(most_changes: usize) -> Self {
        Self { open: HashMap::new(), closed: HashMap::new(), edges: Vec::new(), chances: 0, every: 1, most_changes }
    }

    /// Whether the table is to be read now, where this is called at equal intervals.
    pub(super) fn is_due(&mut self) -> bool {
        self.chances += 1;
        self.chances.is_multiple_of(self.every)
    }

    /// Reads the threads in the table.
    pub(super) fn read(&mut self, threads: &[(Tid, ThreadState)], now: Moment) {
        let before = self.edges.last().copied().unwrap_or_default();
        for (tid, state) in threads {
            let open = self.open.entry(*tid).or_insert_with(|| Open::new(state.generation, before));
            // Otherwise, the record about the end of the one before has not been decoded yet.
            if open.generation == state.generation {
                open.read(now, &State::of(state));
            }
        }
        self.edges.push(now.at);
        if self.changes() > self.most_changes {
            self.lengthen();
        }
    }

    /// The number of slices in which totals changed, beyond the first of each total.
    fn changes(&self) -> usize {
        let all = self.open.values().map(|open| &open.totals).chain(self.closed.values());
        all.flatten().map(|total| total.changes().saturating_sub(1)).sum()
    }

    /// Makes slices twice as long, until half of the room is free.
    fn lengthen(&mut self) {
        while self.changes() > self.most_changes / 2 && !self.edges.is_empty() {
            self.every *= 2;
            self.edges = self.edges.iter().skip(1).step_by(2).copied().collect();
            let open = self.open.values_mut().map(|open| &mut open.totals);
            open.chain(self.closed.values_mut()).flatten().for_each(|total| total.merge(&self.edges));
        }
    }

    /// The totals of what ended, up to then.
    fn close(&mut self, ended: &Ended<'_>) -> Sliced {
        let known = self.open.get(&ended.tid).map(|open| (open.generation, open.seen));
        let mut open = match known {
            Some((generation, _)) if generation == ended.generation => self.open.remove(&ended.tid),
            // The record about the end of the one before was lost.
            Some((_, seen)) if seen < ended.end.at => {
                self.open.remove(&ended.tid);
                None
            }
            // The table was read before this record was, and has the next one.
            Some(_) | None => None,
        }
        .unwrap_or_else(|| Open::new(ended.generation, self.edge_before(ended.end.at)));
        let at = ended.end.at.max(open.seen);
        open.read(Moment { at, ..ended.end }, &State { totals: *ended.totals, asleep: None });
        open.totals
    }

    /// The end of the last slice before a time: what was not in the table then came later.
    fn edge_before(&self, at: Nanos) -> Nanos {
        let before = self.edges.partition_point(|edge| *edge <= at);
        before.checked_sub(1).map_or(Nanos(0), |last| self.edges[last])
    }

    /// A thread exited.
    pub(super) fn exited(
        &mut self,
        thread: ThreadIdx,
        ended: &Ended<'_>,
        metrics: &Metrics,
        out: &mut RecordingBuilder,
    ) {
        let totals = self.close(ended);
        // Most threads that exit were short-lived, and there may be millions of them.
        if totals.iter().all(|total| total.changes() <= 1) && !self.closed.contains_key(&thread) {
            add_rows(thread, &totals, metrics, out);
        } else {
            self.keep(thread, &totals);
        }
    }

    /// A thread got another name: `thread` is the one before.
    pub(super) fn renamed(&mut self, thread: ThreadIdx, ended: &Ended<'_>, next_generation: u32) {
        let totals = self.close(ended);
        self.keep(thread, &totals);
        self.open.entry(ended.tid).or_insert_with(|| Open::new(next_generation, ended.end.at));
    }

    /// The totals of a thread that is in the table at the end of the capture.
    pub(super) fn still_there(&mut self, thread: ThreadIdx, state: &ThreadState, end: Moment) {
        let open = self.open.remove(&Tid(state.tid)).filter(|open| open.generation == state.generation);
        let mut open = open.unwrap_or_else(|| Open::new(state.generation, self.edge_before(end.at)));
        open.read(end, &State::of(state));
        self.keep(thread, &open.totals);
    }

    fn keep(&mut self, thread: ThreadIdx, totals: &Sliced) {
        for (total, more) in self.closed.entry(thread).or_default().iter_mut().zip(totals) {
            total.append(more);
        }
    }

    /// Adds the totals of all threads that were not added yet.
    pub(super) fn finish(&mut self, metrics: &Metrics, out: &mut RecordingBuilder) {
        let mut closed: Vec<(ThreadIdx, Sliced)> = self.closed.drain().collect();
        closed.sort_unstable_by_key(|(thread, _)| *thread);
        for (thread, totals) in &closed {
            add_rows(*thread, totals, metrics, out);
        }
    }
}

/// The metrics by [`reason`]; `None` before they are declared.
pub(super) type Metrics = [Option<MetricId>; reason::COUNT];

fn add_rows(thread: ThreadIdx, totals: &Sliced, metrics: &Metrics, out: &mut RecordingBuilder) {
    for (metric, total) in metrics.iter().zip(totals) {
        let Some(metric) = *metric else { continue };
        let rows = total.slices().into_iter();
        let scope = Scope::Thread(thread);
        out.counters.extend(rows.map(|(slice, count, sum)| Counter {
            metric,
            scope: scope.clone(),
            slice: Some(slice),
            count,
            sum,
        }));
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable as _;

    use super::*;
    use crate::units::Pid;

    const METRICS: Metrics = [Some(MetricId(0)), Some(MetricId(1)), None, None, None];

    fn totals(count: u64, nanos: u64) -> [Total; reason::COUNT] {
        std::array::from_fn(|reason| if reason == 0 { Total { count, nanos } } else { Total { count: 0, nanos: 0 } })
    }

    /// Thread 7, which has slept `count` times for `nanos`, and sleeps since `out_since` if that is not 0.
    fn state(generation: u32, (count, nanos): (u64, u64), out_since: u64) -> (Tid, ThreadState) {
        let totals = totals(count, nanos);
        (Tid(7), ThreadState { tid: 7, tgid: 7, generation, totals, out_since, ..ThreadState::zeroed() })
    }

    /// A time in a capture that begins at 1,000.
    fn moment(at: u64) -> Moment {
        Moment::new(Nanos(1_000 + at), Nanos(1_000))
    }

    struct Captured {
        totals: ThreadTotals,
        out: RecordingBuilder,
    }

    impl Captured {
        fn new() -> Self {
            Self { totals: ThreadTotals::default(), out: RecordingBuilder::new(Nanos(1_000)) }
        }

        fn thread(&mut self, name: u8) -> ThreadIdx {
            self.out.thread(Pid(7), Tid(7), [name; 16])
        }

        fn read(&mut self, at: u64, state: (Tid, ThreadState)) {
            self.totals.read(&[state], moment(at));
        }

        fn renamed(&mut self, name: u8, at: u64, generations: (u32, u32), counted: (u64, u64)) {
            let (thread, totals) = (self.thread(name), totals(counted.0, counted.1));
            let ended = Ended { tid: Tid(7), generation: generations.0, end: moment(at), totals: &totals };
            self.totals.renamed(thread, &ended, generations.1);
        }

        fn exited(&mut self, name: u8, at: u64, generation: u32, counted: (u64, u64)) {
            let (thread, totals) = (self.thread(name), totals(counted.0, counted.1));
            let ended = Ended { tid: Tid(7), generation, end: moment(at), totals: &totals };
            self.totals.exited(thread, &ended, &METRICS, &mut self.out);
        }

        /// Begin, end, count and sum of the rows of the thread under each name.
        fn rows(mut self) -> Vec<(String, u64, u64, u64, u64)> {
            self.totals.finish(&METRICS, &mut self.out);
            let rows = self.out.counters.iter().map(|row| {
                let (Scope::Thread(thread), Some(slice)) = (&row.scope, row.slice) else { panic!("{row:?}") };
                let name = self.out.threads.get(*thread).comm[..1].to_owned();
                (name, slice.begin.0, slice.end.0, row.count, row.sum)
            });
            rows.collect()
        }
    }

    fn row(name: &str, begin: u64, end: u64, count: u64, sum: u64) -> (String, u64, u64, u64, u64) {
        (name.to_owned(), begin, end, count, sum)
    }

    #[test]
    fn a_thread_that_exits_has_the_rest_since_it_was_read_last() {
        let mut captured = Captured::new();
        captured.read(100, state(1, (3, 50), 0));
        captured.read(200, state(1, (5, 90), 0));
        captured.exited(b'a', 230, 1, (6, 110));
        // Another one with its ID, which was never read, and one that was.
        captured.exited(b'b', 260, 2, (1, 20));
        captured.read(300, state(3, (1, 5), 0));
        captured.exited(b'c', 310, 3, (1, 5));
        let expected = [
            row("b", 200, 260, 1, 20),
            row("c", 200, 300, 1, 5),
            row("a", 0, 100, 3, 50),
            row("a", 100, 200, 2, 40),
            row("a", 200, 230, 1, 20),
        ];
        assert_eq!(captured.rows(), expected);
    }

    #[test]
    fn a_table_that_is_ahead_of_the_records_makes_no_total_go_backwards() {
        let mut captured = Captured::new();
        captured.read(100, state(1, (2, 20), 0));
        // It got another name at 150, and has totals under that name already. The record is decoded after this reading.
        captured.read(200, state(2, (9, 40), 0));
        captured.renamed(b'a', 150, (1, 2), (7, 60));
        captured.read(300, state(2, (10, 50), 0));
        // It exited and another thread has its ID, which was read before the records were decoded.
        captured.read(400, state(3, (1, 1), 0));
        captured.exited(b'b', 350, 2, (12, 80));
        captured.read(500, state(3, (2, 2), 0));
        captured.exited(b'c', 500, 3, (2, 2));
        let expected = [
            row("c", 400, 500, 2, 2),
            row("a", 0, 100, 2, 20),
            row("a", 100, 150, 5, 40),
            row("b", 150, 300, 10, 50),
            row("b", 300, 350, 2, 30),
        ];
        assert_eq!(captured.rows(), expected);
    }

    #[test]
    fn a_record_about_a_name_that_was_never_read_leaves_the_next_one_as_it_is() {
        let mut captured = Captured::new();
        captured.read(100, state(2, (1, 30), 1_080));
        captured.renamed(b'a', 40, (1, 2), (4, 15));
        captured.exited(b'b', 150, 2, (2, 100));
        let expected = [row("a", 0, 40, 4, 15), row("b", 0, 100, 1, 50), row("b", 100, 150, 1, 50)];
        assert_eq!(captured.rows(), expected);
    }

    #[test]
    fn after_a_lost_record_the_next_thread_with_the_id_is_read_again() {
        let mut captured = Captured::new();
        captured.read(100, state(1, (2, 20), 0));
        captured.exited(b'b', 250, 2, (3, 30));
        captured.read(300, state(3, (1, 10), 0));
        captured.exited(b'c', 310, 3, (2, 20));
        assert_eq!(captured.rows(), [row("b", 100, 250, 3, 30), row("c", 100, 300, 1, 10), row("c", 300, 310, 1, 10)]);
    }

    #[test]
    fn a_sleep_that_began_before_the_capture_lasts_from_its_start() {
        let mut captured = Captured::new();
        captured.read(100, state(1, (0, 0), 400));
        captured.exited(b'a', 150, 1, (1, 140));
        assert_eq!(captured.rows(), [row("a", 0, 100, 0, 100), row("a", 100, 150, 1, 40)]);
    }

    #[test]
    fn a_long_capture_has_fewer_and_longer_slices_with_the_same_sums() {
        const SECONDS: u64 = 86_400;
        let mut captured = Captured::new();
        captured.totals = ThreadTotals::with_room_for(1_000);
        for second in 1..=SECONDS {
            if captured.totals.is_due() {
                captured.read(second, state(1, (second, second / 2), 0));
            }
            assert!(captured.totals.changes() <= 1_000);
        }
        captured.exited(b'a', SECONDS, 1, (SECONDS, SECONDS / 2));
        let rows = captured.rows();
        assert!((500..=1_000).contains(&rows.len()), "{}", rows.len());
        assert_eq!(rows.iter().map(|row| row.3).sum::<u64>(), SECONDS);
        assert_eq!(rows.iter().map(|row| row.4).sum::<u64>(), SECONDS / 2);
        let lengths: Vec<u64> = rows.iter().map(|row| row.2 - row.1).collect();
        assert!(lengths[..lengths.len() - 1].iter().all(|length| *length == 128), "{lengths:?}");
    }
}
