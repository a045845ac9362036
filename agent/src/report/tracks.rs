//! The samples of a profile by thread and in the order of time: the input of formats that draw timelines.
//!
//! A timeline contains what was measured: the samples, each at its time, and the intervals that were sampled, with their measured
//! length. Intervals that were not sampled are not drawn, so a gap means "not observed", not "idle". [`not_drawn`] describes them.

use hashbrown::HashMap;

use crate::profile::{Profile, WakeLink, Weighted};
use crate::recording::{Meta, MetricId, MetricKind, SampleIdx, ThreadIdx};
use crate::units::{Nanos, Pid, Tid};

/// What a thread did at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A sample of the thread: a row of [`Profile::samples`].
    Sample(SampleIdx),
    /// The thread woke another one: a row of [`Profile::samples`], the wait that it ended.
    Wakeup(SampleIdx),
}

/// The events of a thread, under all names that it had.
#[derive(Clone, Debug)]
pub(super) struct Track {
    /// The process.
    pub(super) pid: Pid,
    /// The thread.
    pub(super) tid: Tid,
    /// The row of the last name of the thread.
    pub(super) name: ThreadIdx,
    /// The events in the order of time.
    pub(super) events: Vec<Event>,
}

impl Track {
    /// Whether the thread is the first one of its process.
    pub(super) fn is_main(&self) -> bool {
        self.pid.0 == self.tid.0
    }
}

/// All threads with events.
#[derive(Clone, Debug)]
pub(super) struct Tracks {
    /// The tracks, in the order of processes and threads.
    pub(super) rows: Vec<Track>,
    /// The track of each row of [`Profile::threads`] that has events.
    of_thread: Vec<Option<usize>>,
}

impl Tracks {
    /// The tracks of all threads of `profile` that have samples, or that woke a thread with a sample.
    pub(super) fn of(profile: &Profile) -> Self {
        let mut tracks: HashMap<(Pid, Tid), Track> = HashMap::new();
        let mut add = |thread: ThreadIdx, event: Event| {
            let row = profile.thread(thread);
            let track = tracks.entry((row.pid, row.tid)).or_insert_with(|| Track {
                pid: row.pid,
                tid: row.tid,
                name: thread,
                events: Vec::new(),
            });
            track.name = track.name.max(thread);
            track.events.push(event);
        };
        for (row, sample) in (0..).map(SampleIdx::new).zip(&profile.samples) {
            if is_drawn(sample) {
                add(sample.thread, Event::Sample(row));
                if let Some(wake) = sent_by_a_thread(sample) {
                    add(wake.waker, Event::Wakeup(row));
                }
            }
        }
        let mut rows: Vec<Track> = tracks.into_values().collect();
        rows.sort_unstable_by_key(|track| (track.pid, track.tid));
        for track in &mut rows {
            track.events.sort_by_key(|event| time(profile, *event));
        }
        let index: HashMap<(Pid, Tid), usize> =
            rows.iter().enumerate().map(|(index, track)| ((track.pid, track.tid), index)).collect();
        let of_thread = profile.threads.iter().map(|row| index.get(&(row.pid, row.tid)).copied()).collect();
        Self { rows, of_thread }
    }

    /// The index of the track of a thread with events.
    pub(super) fn index_of(&self, thread: ThreadIdx) -> Option<usize> {
        self.of_thread[thread.index()]
    }

    /// The name of a process: that of its first thread, or of any other one if that has no events.
    pub(super) fn process_name<'a>(&self, profile: &'a Profile, pid: Pid) -> &'a str {
        let first = self.rows.partition_point(|track| track.pid < pid);
        let of_process = self.rows[first..].iter().take_while(|track| track.pid == pid);
        let track = of_process.clone().find(|track| track.is_main()).or_else(|| of_process.clone().next());
        track.map_or("", |track| profile.thread(track.name).comm.as_str())
    }
}

/// Whether a sample has a place on a timeline: its time is known, and it is selected.
pub(super) fn is_drawn(sample: &Weighted) -> bool {
    sample.value > 0.0 && sample.is_timed
}

/// The wakeup that ended a wait, if the waker caused it.
pub(super) fn sent_by_a_thread(sample: &Weighted) -> Option<WakeLink> {
    sample.wake.filter(|wake| !wake.interrupt)
}

/// The time of an event, from the start of the capture.
pub(super) fn time(profile: &Profile, event: Event) -> Nanos {
    match event {
        Event::Sample(row) => profile.samples[row.index()].time,
        Event::Wakeup(row) => {
            let sample = &profile.samples[row.index()];
            sample.wake.map_or(sample.time, |wake| wake.time)
        }
    }
}

/// The metric whose samples are the CPU samples of a timeline: the first one with samples that are instants and stand for time.
pub(super) fn sampled_time(profile: &Profile) -> Option<MetricId> {
    let stands_for_time = |id: &MetricId| profile.metric(*id).samples_time();
    let drawn = profile.samples.iter().filter(|sample| is_drawn(sample));
    drawn.map(|sample| sample.metric).filter(stands_for_time).min()
}

/// The row of the probe of a metric in [`Meta::probes`].
pub(super) fn probe_of(meta: &Meta, metric: MetricId) -> Option<usize> {
    let name = &meta.metric(metric).probe;
    meta.probes.iter().position(|probe| probe.name == *name)
}

/// The number of intervals that a sampled interval stands for, itself included; `None` for an instant.
pub(super) fn intervals(sample: &Weighted) -> Option<f64> {
    (sample.duration.0 > 0).then(|| sample.value / sample.duration.0 as f64)
}

/// How a thread is named in the fields of others: `worker (TID)`.
pub(super) fn thread_label(profile: &Profile, thread: ThreadIdx) -> String {
    profile.thread(thread).label()
}

/// Who ended a wait: a thread, or an interrupt.
pub(super) fn waker_label(profile: &Profile, wake: &WakeLink) -> String {
    match wake.interrupt {
        true => "an interrupt".to_owned(),
        false => thread_label(profile, wake.waker),
    }
}

/// For each metric of intervals, how much of its time is drawn, if it is not all of it.
pub(super) fn not_drawn(profile: &Profile) -> Vec<String> {
    let mut sums = vec![(0.0, 0.0); profile.meta.metrics.len()];
    for sample in &profile.samples {
        let (drawn, total): &mut (f64, f64) = &mut sums[sample.metric.index()];
        *total += sample.value;
        if is_drawn(sample) {
            *drawn += sample.duration.0 as f64;
        }
    }
    let mut lines = Vec::new();
    for (index, (drawn, total)) in sums.into_iter().enumerate() {
        let id = MetricId::from_index(index);
        if profile.metric(id).kind == MetricKind::Interval && drawn < 0.999 * total {
            let (drawn, total) = (Nanos(drawn as u64), Nanos(total as u64));
            let label = profile.meta.full_label(id);
            lines.push(format!("{label}: {drawn} of {total} are drawn; other intervals were not sampled"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Selection, build};
    use crate::recording::example::{BLOCKED, CPU, Example};
    use crate::recording::{Scope, Wake};

    /// The thread 2 waits, is woken by 3 at 40 ns and gets a CPU at 50 ns; 3 has no sample, and is renamed.
    fn profile() -> Profile {
        let mut example = Example::new();
        let main = example.thread(1, 1, "main");
        let worker = example.thread(1, 2, "worker");
        let waker = example.thread(1, 3, "waker");
        let counted = example.thread(1, 4, "counted");
        let stack = example.stack("/bin/app main wait");
        example.sample(CPU, main, stack, 100).time = Nanos(90);
        example.sample(CPU, main, stack, 100).time = Nanos(10);
        let wait = example.sample(BLOCKED, worker, stack, 30);
        (wait.time, wait.runqueue, wait.probability) = (Nanos(20), Some(Nanos(10)), 0.25);
        wait.wake = Some(Wake { waker, stack: Some(stack), waker_sleep: None });
        example.counter(BLOCKED, Scope::Thread(counted), 3, 880);
        example.thread(1, 3, "renamed");
        build(&example.recording, &Selection::default())
    }

    #[test]
    fn events_are_sorted_and_wakeups_are_at_the_time_when_they_were_sent() {
        let profile = profile();
        let tracks = Tracks::of(&profile);
        let times: Vec<(u32, Vec<u64>)> = (tracks.rows.iter())
            .map(|track| (track.tid.0, track.events.iter().map(|event| time(&profile, *event).0).collect()))
            .collect();
        // Not of the thread that was only counted: its time is unknown.
        assert_eq!(times, [(1, vec![10, 90]), (2, vec![20]), (3, vec![40])]);
        assert_eq!(tracks.process_name(&profile, Pid(1)), "main");
        let wait = &profile.samples[2];
        assert_eq!(
            (intervals(wait), waker_label(&profile, &wait.wake.expect("a wakeup"))),
            (Some(4.0), "waker (3)".to_owned())
        );
    }

    #[test]
    fn time_that_is_not_drawn_is_stated() {
        let lines = not_drawn(&profile());
        assert_eq!(lines, ["Off-CPU blocked: 30 ns of 1.00 us are drawn; other intervals were not sampled"]);
    }
}
