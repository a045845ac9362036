//! What a trace contains, decoded by prost.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use prost::Message as _;

use super::*;
use crate::profile::{Selection, build};
use crate::recording::example::{BLOCKED, CPU, Example};

#[derive(Clone, PartialEq, prost::Message)]
struct File {
    #[prost(message, repeated, tag = "1")]
    packet: Vec<proto::TracePacket>,
}

/// A decoded trace, with its interned data by kind and ID.
#[derive(Default)]
struct Decoded {
    packets: Vec<proto::TracePacket>,
    names: HashMap<(&'static str, u64), String>,
    frames: HashMap<u64, proto::Frame>,
    call_stacks: HashMap<u64, Vec<u64>>,
}

impl Decoded {
    fn of(trace: &[u8]) -> Self {
        let mut decoded = Self { packets: File::decode(trace).expect("a trace").packet, ..Self::default() };
        for data in decoded.packets.iter().filter_map(|packet| packet.interned_data.clone()) {
            for (kind, names) in [
                ("category", data.event_categories),
                ("name", data.event_names),
                ("annotation", data.debug_annotation_names),
                ("function", data.function_names),
                ("path", data.mapping_paths),
                ("value", data.debug_annotation_string_values),
            ] {
                let names = names.into_iter().map(|name| ((kind, name.iid()), name.name().to_owned()));
                decoded.names.extend(names);
            }
            decoded.frames.extend(data.frames.into_iter().map(|frame| (frame.iid(), frame)));
            decoded.call_stacks.extend(data.callstacks.into_iter().map(|stack| (stack.iid(), stack.frame_ids)));
        }
        decoded
    }

    fn name(&self, kind: &'static str, iid: u64) -> &str {
        self.names.get(&(kind, iid)).unwrap_or_else(|| panic!("no {kind} {iid}"))
    }

    fn call_stack(&self, iid: u64) -> String {
        let frames = self.call_stacks[&iid].iter().map(|frame| {
            let frame = &self.frames[frame];
            let name = self.name("function", frame.function_name_id());
            match frame.mapping_id {
                Some(mapping) => format!("{name} ({})", self.name("path", mapping)),
                None => name.to_owned(),
            }
        });
        frames.collect::<Vec<_>>().join(" > ")
    }

    fn annotation(&self, annotation: &proto::DebugAnnotation) -> String {
        let name = annotation.name.as_deref().unwrap_or_else(|| self.name("annotation", annotation.name_iid()));
        let value = (annotation.uint_value.map(|value| value.to_string()))
            .or(annotation.double_value.map(|value| value.to_string()))
            .or(annotation.string_value_iid.map(|value| self.name("value", value).to_owned()));
        format!("{name}={}", value.unwrap_or_else(|| annotation.string_value().to_owned()))
    }

    fn event(&self, event: &proto::TrackEvent) -> String {
        let mut text = format!("{} on {}", ["", "begin", "end", "instant"][event.kind() as usize], event.track_uuid());
        let mut part = |part: String| write!(text, " {part}").expect("memory");
        event.name_iid.into_iter().for_each(|name| part(format!("`{}`", self.name("name", name))));
        event.category_iids.iter().for_each(|category| part(format!("[{}]", self.name("category", *category))));
        event.debug_annotations.iter().for_each(|annotation| part(self.annotation(annotation)));
        event.flow_ids.iter().for_each(|flow| part(format!("flow {flow}")));
        event.terminating_flow_ids.iter().for_each(|flow| part(format!("end of flow {flow}")));
        event.callstack_weight.into_iter().for_each(|weight| part(format!("weight {weight}")));
        event.callstack_iid.into_iter().for_each(|stack| part(format!("at {}", self.call_stack(stack))));
        text
    }

    fn track(track: &proto::TrackDescriptor) -> String {
        let mut text = format!("track {}", track.uuid());
        let mut part = |part: String| write!(text, " {part}").expect("memory");
        track.parent_uuid.into_iter().for_each(|parent| part(format!("below {parent}")));
        track.name.iter().for_each(|name| part(format!("`{name}`")));
        track
            .process
            .iter()
            .for_each(|process| part(format!("process {} `{}`", process.pid(), process.process_name())));
        let thread = |thread: &proto::ThreadDescriptor| {
            format!("thread {} of {} `{}`", thread.tid(), thread.pid(), thread.thread_name())
        };
        track.thread.iter().for_each(|row| part(thread(row)));
        text
    }

    /// A line for each packet, with names instead of IDs.
    fn lines(&self) -> Vec<String> {
        let line = |packet: &proto::TracePacket| {
            let time = packet.timestamp.map_or_else(String::new, |time| format!("{time} "));
            if let Some(event) = &packet.track_event {
                return format!("{time}{}", self.event(event));
            }
            if let Some(sample) = &packet.perf_sample {
                let stack = sample.callstack_iid.map_or_else(String::new, |stack| self.call_stack(stack));
                let (cpu, tid, count, mode) = (sample.cpu(), sample.tid(), sample.timebase_count(), sample.cpu_mode());
                return format!("{time}sample of {tid} on CPU {cpu}, mode {mode}, count {count}, at {stack}");
            }
            match (&packet.track_descriptor, &packet.clock_snapshot) {
                (Some(track), _) => Self::track(track),
                (None, Some(clocks)) => format!("clocks {clocks:?} defaults {:?}", packet.trace_packet_defaults),
                (None, None) => format!("{packet:?}"),
            }
        };
        self.packets.iter().map(line).collect()
    }
}

/// The texts of a trace.
pub(crate) fn texts(trace: &[u8]) -> Vec<String> {
    let decoded = Decoded::of(trace);
    let events = decoded.packets.iter().filter_map(|packet| packet.track_event.as_ref());
    let facts = events.flat_map(|event| event.debug_annotations.iter().filter_map(|fact| fact.string_value.clone()));
    let tracks = decoded.packets.iter().filter_map(|packet| packet.track_descriptor.as_ref());
    let tracks = tracks.flat_map(|track| {
        let process = track.process.as_ref().and_then(|process| process.process_name.clone());
        let thread = track.thread.as_ref().and_then(|thread| thread.thread_name.clone());
        [track.name.clone(), process, thread].into_iter().flatten()
    });
    let defaults = decoded.packets.iter().filter_map(|packet| packet.trace_packet_defaults.as_ref());
    let timebases =
        defaults.filter_map(|defaults| defaults.perf_sample_defaults.as_ref()?.timebase.as_ref()?.name.clone());
    let interned = decoded.names.values().cloned();
    interned.chain(facts).chain(tracks).chain(timebases).collect()
}

/// A line for each packet of a trace.
pub(crate) fn text(trace: &[u8]) -> String {
    Decoded::of(trace).lines().join("\n")
}

fn drawn(profile: &Profile) -> Vec<u8> {
    let mut trace = Vec::new();
    Perfetto.write(profile, &mut trace).expect("memory");
    trace
}

#[test]
fn perfetto() {
    let small = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/small.quell");
    let recording = crate::recording::read(&small).expect("the committed recording");
    insta::assert_snapshot!(text(&drawn(&build(&recording, &Selection::default()))));
}

#[test]
fn intervals_that_overlap_are_on_different_tracks_and_others_share_one() {
    let mut example = Example::new();
    let worker = example.thread(1, 2, "worker");
    let stack = example.stack("/bin/app main work");
    for (time, length) in [(0, 100), (50, 100), (100, 10), (150, 0), (150, 10)] {
        example.sample(BLOCKED, worker, stack, length.max(1)).time = Nanos(time);
    }
    let decoded = Decoded::of(&drawn(&build(&example.recording, &Selection::default())));
    // Events on each track, in the order of time: a slice ends before the next one begins.
    let mut open: HashMap<u64, u64> = HashMap::new();
    let mut last: HashMap<u64, u64> = HashMap::new();
    for packet in &decoded.packets {
        let Some(event) = packet.track_event.as_ref().filter(|event| event.kind() != proto::INSTANT) else { continue };
        let (track, time) = (event.track_uuid(), packet.timestamp());
        assert!(last.insert(track, time).is_none_or(|last| last <= time), "{:#?}", decoded.lines());
        let open = open.entry(track).or_default();
        *open += u64::from(event.kind() == proto::SLICE_BEGIN);
        assert_eq!(*open, 1, "{:#?}", decoded.lines());
        *open -= u64::from(event.kind() == proto::SLICE_END);
    }
    assert_eq!(open.len(), 2, "{:#?}", decoded.lines());
}

#[test]
fn the_counter_of_a_cpu_is_its_estimated_time_and_a_call_stack_is_written_once() {
    let mut example = Example::new();
    let [first, second] = [example.thread(1, 2, "first"), example.thread(1, 3, "second")];
    let stack = example.stack("/bin/app main work");
    for (thread, time, probability) in [(second, 30, 1.0), (first, 10, 0.5), (first, 20, 1.0)] {
        let sample = example.sample(CPU, thread, stack, 100);
        (sample.time, sample.probability) = (Nanos(time), probability);
    }
    example.recording.samples[2].cpu = CpuId(1);
    let decoded = Decoded::of(&drawn(&build(&example.recording, &Selection::default())));
    let samples = decoded.packets.iter().filter_map(|packet| packet.perf_sample);
    let counts: Vec<_> = samples.map(|sample| (sample.cpu(), sample.timebase_count())).collect();
    assert_eq!(counts, [(0, 200), (1, 100), (0, 300)]);
    let stacks = decoded.packets.iter().filter_map(|packet| packet.interned_data.as_ref());
    // One below the root of each thread.
    assert_eq!(stacks.map(|data| data.callstacks.len()).sum::<usize>(), 2);
}
