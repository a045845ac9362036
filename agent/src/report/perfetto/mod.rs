//! A trace for Perfetto (<https://ui.perfetto.dev>), as packets of protocol buffers.
//!
//! - Samples that stand for time, such as CPU samples, are `PerfSample` packets with call stacks. Their counter is the sum of estimated
//!   time on the CPU so far, in nanoseconds.
//! - Other samples are on a track below their thread, one for each probe: slices for intervals, with their measured length, and instants.
//!   They have the call stack, the estimate as its weight, and annotations. Intervals that overlap are on several tracks.
//! - A wakeup is an instant on the track of the thread that sent it, with a flow to the end of the wait.
//!
//! Time is `CLOCK_MONOTONIC`, as in traces of the system. Texts and call stacks are interned: the packet that first refers to one
//! contains it. Packets are written one at a time.

mod interned;
mod proto;
#[cfg(test)]
pub(super) mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::io::{self, BufWriter, Write};

use hashbrown::HashMap;

use self::interned::Interned;
use super::speedscope::MOST_FRAMES;
use super::sums::{caveats, sum_of_stacks, whole};
use super::tracks::{
    Event, Tracks, intervals, is_drawn, not_drawn, probe_of, sampled_time, sent_by_a_thread, thread_label, waker_label,
};
use super::{ReportError, Sink};
use crate::profile::{FrameKind, Profile, Weighted};
use crate::recording::{MetricId, MetricKind, SampleIdx, StackId};
use crate::text;
use crate::units::{CpuId, Nanos, Pid};

/// The only sequence of packets.
const SEQUENCE: u32 = 1;

/// The track of the facts about the capture.
const ABOUT: u64 = 1;

/// Writes a trace.
pub(super) struct Perfetto;

impl Sink for Perfetto {
    fn write(&self, profile: &Profile, out: &mut dyn Write) -> Result<(), ReportError> {
        let tracks = Tracks::of(profile);
        if sum_of_stacks(profile, call_stacks(profile).into_iter().map(Some), |_| 1) > MOST_FRAMES {
            return Err(ReportError::TooLarge { format: "perfetto", most: format!("{MOST_FRAMES} frames") });
        }
        let mut trace = Trace::new(profile, &tracks, out);
        trace.begin()?;
        trace.threads()?;
        for row in in_order_of_time(profile, &tracks) {
            trace.sample(row)?;
        }
        Ok(trace.out.flush()?)
    }
}

/// The call stacks in the trace, each of which is written once.
fn call_stacks(profile: &Profile) -> HashSet<StackId> {
    let drawn = profile.samples.iter().filter(|sample| is_drawn(sample));
    drawn.flat_map(|sample| [sample.stack, sample.wake.and_then(|wake| wake.stack)]).flatten().collect()
}

/// The samples of all tracks. Counters of CPUs and intervals on one track must be in the order of time.
fn in_order_of_time(profile: &Profile, tracks: &Tracks) -> Vec<SampleIdx> {
    let events = tracks.rows.iter().flat_map(|track| &track.events);
    let mut rows: Vec<SampleIdx> = events
        .filter_map(|event| match event {
            Event::Sample(row) => Some(*row),
            Event::Wakeup(_) => None,
        })
        .collect();
    rows.sort_unstable_by_key(|row| (profile.samples[row.index()].time, *row));
    rows
}

/// A trace that is being written.
struct Trace<'a> {
    profile: &'a Profile,
    tracks: &'a Tracks,
    sampled_time: Option<MetricId>,
    /// The row of the probe of each metric.
    probes: Vec<Option<usize>>,
    interned: Interned<'a>,
    /// The tracks for the samples of a probe, below the track of a thread.
    lanes: HashMap<(usize, Option<usize>), Lanes>,
    /// The sum of estimated time on each CPU.
    cpu_time: HashMap<CpuId, f64>,
    next_uuid: u64,
    out: BufWriter<&'a mut dyn Write>,
    buffer: Vec<u8>,
}

/// Tracks on which intervals do not overlap: the end of the last interval of each, and its UUID.
type Lanes = BinaryHeap<Reverse<(Nanos, u64)>>;

impl<'a> Trace<'a> {
    fn new(profile: &'a Profile, tracks: &'a Tracks, out: &'a mut dyn Write) -> Self {
        Self {
            profile,
            tracks,
            sampled_time: sampled_time(profile),
            probes: (0..profile.meta.metrics.len())
                .map(|metric| probe_of(&profile.meta, MetricId::from_index(metric)))
                .collect(),
            interned: Interned::new(profile),
            lanes: HashMap::new(),
            cpu_time: HashMap::new(),
            next_uuid: ABOUT + 1,
            out: BufWriter::new(out),
            buffer: Vec::new(),
        }
    }

    /// Writes a packet, with what it was the first one to refer to. A trace is a message with packets as field 1.
    fn packet(&mut self, packet: proto::TracePacket) -> io::Result<()> {
        let packet = proto::TracePacket {
            trusted_packet_sequence_id: Some(SEQUENCE),
            sequence_flags: packet.sequence_flags.or(Some(proto::NEEDS_STATE)),
            interned_data: self.interned.take(),
            ..packet
        };
        self.buffer.clear();
        prost::encoding::message::encode(1, &packet, &mut self.buffer);
        self.out.write_all(&self.buffer)
    }

    fn track(&mut self, descriptor: proto::TrackDescriptor) -> io::Result<()> {
        self.packet(proto::TracePacket { track_descriptor: Some(descriptor), ..Default::default() })
    }

    fn event(&mut self, time: Nanos, event: proto::TrackEvent) -> io::Result<()> {
        let timestamp = Some(self.timestamp(time));
        self.packet(proto::TracePacket { timestamp, track_event: Some(event), ..Default::default() })
    }

    /// A time since the start of the capture as `CLOCK_MONOTONIC`.
    fn timestamp(&self, time: Nanos) -> u64 {
        self.profile.meta.start_monotonic.0.saturating_add(time.0)
    }

    fn uuid(&mut self) -> u64 {
        self.next_uuid += 1;
        self.next_uuid - 1
    }

    /// The first packets: clocks, and a track with the facts about the capture.
    fn begin(&mut self) -> io::Result<()> {
        let meta = &self.profile.meta;
        let clock = |clock, time: Nanos| proto::Clock { clock_id: Some(clock), timestamp: Some(time.0) };
        let timebase = self.sampled_time.map(|metric| proto::Timebase {
            frequency: Some(meta.frequency.into()),
            counter: Some(proto::CPU_CLOCK),
            name: Some(text::shown(&meta.full_label(metric)).into_owned()),
        });
        self.packet(proto::TracePacket {
            sequence_flags: Some(proto::STATE_CLEARED | proto::NEEDS_STATE),
            trace_packet_defaults: Some(proto::TracePacketDefaults {
                perf_sample_defaults: Some(proto::PerfSampleDefaults { timebase }),
                timestamp_clock_id: Some(proto::MONOTONIC),
            }),
            clock_snapshot: Some(proto::ClockSnapshot {
                clocks: vec![
                    clock(proto::MONOTONIC, meta.start_monotonic),
                    clock(proto::REALTIME, meta.start_realtime),
                ],
                primary_trace_clock: Some(proto::MONOTONIC),
            }),
            ..Default::default()
        })?;
        self.track(proto::TrackDescriptor {
            uuid: Some(ABOUT),
            name: Some("quell: about this capture".to_owned()),
            ..Default::default()
        })?;
        let mut facts = vec![
            ("quell", meta.quell.clone()),
            ("host", meta.host.hostname.clone()),
            ("kernel", format!("{} {}", meta.host.kernel, meta.host.arch)),
            ("command line", meta.command_line.join(" ")),
        ];
        facts.extend(self.profile.window.in_words().map(|words| ("window", words)));
        let remarks = not_drawn(self.profile).into_iter().chain(caveats(self.profile));
        facts.extend(remarks.map(|remark| ("remark", remark)));
        let annotation = |(number, (name, value)): (usize, (&str, String))| proto::DebugAnnotation {
            // Distinct names, because the last one of equal names would win.
            name: Some(match name {
                "remark" => format!("remark {number}"),
                name => name.to_owned(),
            }),
            string_value: Some(text::shown(&value).into_owned()),
            ..Default::default()
        };
        let event = proto::TrackEvent {
            kind: Some(proto::INSTANT),
            name_iid: Some(self.interned.name("capture")),
            track_uuid: Some(ABOUT),
            debug_annotations: facts.into_iter().enumerate().map(annotation).collect(),
            ..Default::default()
        };
        self.event(self.profile.window.since.unwrap_or_default(), event)
    }

    /// The tracks of processes and threads. That of a thread has its index as UUID; those of processes follow.
    fn threads(&mut self) -> io::Result<()> {
        self.next_uuid += self.tracks.rows.len() as u64;
        let mut last: Option<Pid> = None;
        for (index, track) in self.tracks.rows.iter().enumerate() {
            let pid = Some(track.pid.0.cast_signed());
            if last.replace(track.pid) != Some(track.pid) {
                let name = self.tracks.process_name(self.profile, track.pid);
                let process = proto::ProcessDescriptor { pid, process_name: Some(text::shown(name).into_owned()) };
                let uuid = Some(self.uuid());
                self.track(proto::TrackDescriptor { uuid, process: Some(process), ..Default::default() })?;
            }
            let thread = proto::ThreadDescriptor {
                pid,
                tid: Some(track.tid.0.into()),
                thread_name: Some(text::shown(&self.profile.thread(track.name).comm).into_owned()),
            };
            let uuid = Some(thread_uuid(index));
            self.track(proto::TrackDescriptor { uuid, thread: Some(thread), ..Default::default() })?;
        }
        Ok(())
    }

    fn sample(&mut self, row: SampleIdx) -> io::Result<()> {
        let sample = &self.profile.samples[row.index()];
        if Some(sample.metric) == self.sampled_time {
            return self.stands_for_time(sample);
        }
        let Some(thread) = self.tracks.index_of(sample.thread) else { return Ok(()) };
        let end = Nanos(sample.time.0.saturating_add(sample.duration.0));
        let lane = self.lane(thread, sample, end)?;
        let is_interval = self.profile.metric(sample.metric).kind == MetricKind::Interval;
        let event = proto::TrackEvent {
            kind: Some(if is_interval { proto::SLICE_BEGIN } else { proto::INSTANT }),
            track_uuid: Some(lane),
            name_iid: Some(self.interned.metric_label(sample.metric)),
            category_iids: vec![self.interned.metric_name(sample.metric)],
            callstack_iid: sample.stack.map(|stack| self.interned.call_stack(stack)),
            callstack_weight: Some(sample.value),
            debug_annotations: self.annotations(sample),
            ..Default::default()
        };
        self.event(sample.time, event)?;
        if !is_interval {
            return Ok(());
        }
        let event = proto::TrackEvent { kind: Some(proto::SLICE_END), track_uuid: Some(lane), ..Default::default() };
        self.event(end, event)?;
        self.wakeup(row, end, lane)
    }

    /// Writes a sample that stands for time, such as a CPU sample.
    fn stands_for_time(&mut self, sample: &Weighted) -> io::Result<()> {
        let thread = self.profile.thread(sample.thread);
        let cpu_time = self.cpu_time.entry(sample.cpu).or_default();
        *cpu_time += sample.value;
        let timebase_count = Some(whole(*cpu_time));
        let innermost = sample.stack.map(|stack| self.profile.frame(self.profile.stacks.get(stack).frame).kind);
        let cpu_mode = match innermost {
            Some(FrameKind::Kernel) => Some(proto::MODE_KERNEL),
            Some(FrameKind::User) => Some(proto::MODE_USER),
            Some(FrameKind::Label) | None => None,
        };
        let perf_sample = Some(proto::PerfSample {
            cpu: Some(sample.cpu.0),
            pid: Some(thread.pid.0),
            tid: Some(thread.tid.0),
            callstack_iid: sample.stack.map(|stack| self.interned.call_stack(stack)),
            cpu_mode,
            timebase_count,
        });
        let timestamp = Some(self.timestamp(sample.time));
        self.packet(proto::TracePacket { timestamp, perf_sample, ..Default::default() })
    }

    /// The track for a sample, from its time to `end`: one of its probe that is free, or a new one.
    fn lane(&mut self, thread: usize, sample: &Weighted, end: Nanos) -> io::Result<u64> {
        let probe = self.probes[sample.metric.index()];
        let lanes = self.lanes.entry((thread, probe)).or_default();
        if lanes.peek().is_some_and(|Reverse((free, _))| *free <= sample.time)
            && let Some(Reverse((_, uuid))) = lanes.pop()
        {
            lanes.push(Reverse((end, uuid)));
            return Ok(uuid);
        }
        let uuid = self.next_uuid;
        lanes.push(Reverse((end, uuid)));
        self.next_uuid += 1;
        let label = probe.map_or("", |probe| &self.profile.meta.probes[probe].label);
        self.track(proto::TrackDescriptor {
            uuid: Some(uuid),
            parent_uuid: Some(thread_uuid(thread)),
            name: Some(format!("{} (sampled)", text::shown(label))),
            description: Some("What was sampled. A gap was not observed: it is not idle time.".to_owned()),
            ..Default::default()
        })?;
        Ok(uuid)
    }

    fn annotations(&mut self, sample: &Weighted) -> Vec<proto::DebugAnnotation> {
        let unit = self.profile.metric(sample.metric).unit.name();
        let mut annotation = |name: &str| proto::DebugAnnotation {
            name_iid: Some(self.interned.annotation(name)),
            ..Default::default()
        };
        let mut annotations = vec![
            proto::DebugAnnotation { uint_value: Some(sample.cpu.0.into()), ..annotation("CPU") },
            proto::DebugAnnotation { double_value: Some(sample.value), ..annotation(&format!("stands for {unit}")) },
        ];
        if let Some(intervals) = intervals(sample) {
            let annotation = annotation("stands for intervals");
            annotations.push(proto::DebugAnnotation { double_value: Some(intervals), ..annotation });
        }
        if let Some(wake) = &sample.wake {
            let annotation = annotation("woken by");
            let waker = self.interned.value(&waker_label(self.profile, wake));
            annotations.push(proto::DebugAnnotation { string_value_iid: Some(waker), ..annotation });
        }
        annotations
    }

    /// Writes the wakeup that ended a wait, and a flow from the waker to the end of the wait.
    fn wakeup(&mut self, row: SampleIdx, end: Nanos, lane: u64) -> io::Result<()> {
        let sample = &self.profile.samples[row.index()];
        let Some(wake) = sent_by_a_thread(sample) else { return Ok(()) };
        let Some(waker) = self.tracks.index_of(wake.waker) else { return Ok(()) };
        let flow = u64::from(row.row()) + 1;
        let woken = proto::DebugAnnotation {
            name_iid: Some(self.interned.annotation("woken thread")),
            string_value_iid: Some(self.interned.value(&thread_label(self.profile, sample.thread))),
            ..Default::default()
        };
        let event = proto::TrackEvent {
            kind: Some(proto::INSTANT),
            track_uuid: Some(thread_uuid(waker)),
            name_iid: Some(self.interned.name("wakeup")),
            flow_ids: vec![flow],
            callstack_iid: wake.stack.map(|stack| self.interned.call_stack(stack)),
            debug_annotations: vec![woken],
            ..Default::default()
        };
        self.event(wake.time.min(end), event)?;
        let event = proto::TrackEvent {
            kind: Some(proto::INSTANT),
            track_uuid: Some(lane),
            name_iid: Some(self.interned.name("runs again")),
            terminating_flow_ids: vec![flow],
            ..Default::default()
        };
        self.event(end, event)
    }
}

/// The UUID of the track of a thread.
fn thread_uuid(index: usize) -> u64 {
    ABOUT + 1 + index as u64
}
