//! pprof: the gzipped protocol buffer that `go tool pprof`, Pyroscope, Grafana and others read.
//!
//! Each sample has the value `samples/count`, which is the number of observations, and a value for each probe, such as
//! `cpu/nanoseconds` and `offcpu/nanoseconds`. A probe with metrics of several units has a value for each unit, such as
//! `heap.bytes/bytes`. Labels are `comm`, `pid`, `thread` (the TID) and, if the probe has several metrics, `metric` (its name
//! in the recording, such as `offcpu.io-wait`). The root of each stack is the name of the thread, as in the other formats.
//! Addresses are omitted, because frames are functions, merged by name. Comments contain the losses.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use hashbrown::HashMap;
use prost::Message;

use super::series::{Series, series, series_of_metrics};
use super::speedscope::MOST_FRAMES;
use super::sums::{caveats, sum_of_stacks, whole};
use super::{ReportError, Sink};
use crate::profile::{FrameKind, NamedModule, Profile};
use crate::recording::{MetricId, StackId, ThreadIdx};
use crate::text;
use crate::units::Hertz;

/// Writes pprof.
pub(super) struct Pprof;

impl Sink for Pprof {
    fn write(&self, profile: &Profile, out: &mut dyn Write) -> Result<(), ReportError> {
        let mut gzip = GzEncoder::new(out, Compression::fast());
        gzip.write_all(&message(profile)?.encode_to_vec())?;
        gzip.finish()?;
        Ok(())
    }
}

/// The messages of profile.proto (<https://github.com/google/pprof/blob/main/proto/profile.proto>), with the fields that quell
/// sets.
mod proto {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Profile {
        #[prost(message, repeated, tag = "1")]
        pub(super) sample_type: Vec<ValueType>,
        #[prost(message, repeated, tag = "2")]
        pub(super) sample: Vec<Sample>,
        #[prost(message, repeated, tag = "3")]
        pub(super) mapping: Vec<Mapping>,
        #[prost(message, repeated, tag = "4")]
        pub(super) location: Vec<Location>,
        #[prost(message, repeated, tag = "5")]
        pub(super) function: Vec<Function>,
        #[prost(string, repeated, tag = "6")]
        pub(super) string_table: Vec<String>,
        #[prost(int64, tag = "9")]
        pub(super) time_nanos: i64,
        #[prost(int64, tag = "10")]
        pub(super) duration_nanos: i64,
        #[prost(message, optional, tag = "11")]
        pub(super) period_type: Option<ValueType>,
        #[prost(int64, tag = "12")]
        pub(super) period: i64,
        #[prost(int64, repeated, tag = "13")]
        pub(super) comment: Vec<i64>,
        #[prost(int64, tag = "14")]
        pub(super) default_sample_type: i64,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct ValueType {
        #[prost(int64, tag = "1")]
        pub(super) kind: i64,
        #[prost(int64, tag = "2")]
        pub(super) unit: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Sample {
        #[prost(uint64, repeated, tag = "1")]
        pub(super) location_id: Vec<u64>,
        #[prost(int64, repeated, tag = "2")]
        pub(super) value: Vec<i64>,
        #[prost(message, repeated, tag = "3")]
        pub(super) label: Vec<Label>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Label {
        #[prost(int64, tag = "1")]
        pub(super) key: i64,
        #[prost(int64, tag = "2")]
        pub(super) str: i64,
        #[prost(int64, tag = "3")]
        pub(super) num: i64,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Mapping {
        #[prost(uint64, tag = "1")]
        pub(super) id: u64,
        #[prost(int64, tag = "5")]
        pub(super) filename: i64,
        #[prost(int64, tag = "6")]
        pub(super) build_id: i64,
        #[prost(bool, tag = "7")]
        pub(super) has_functions: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Location {
        #[prost(uint64, tag = "1")]
        pub(super) id: u64,
        #[prost(uint64, tag = "2")]
        pub(super) mapping_id: u64,
        #[prost(message, repeated, tag = "4")]
        pub(super) line: Vec<Line>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Line {
        #[prost(uint64, tag = "1")]
        pub(super) function_id: u64,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Function {
        #[prost(uint64, tag = "1")]
        pub(super) id: u64,
        #[prost(int64, tag = "2")]
        pub(super) name: i64,
    }
}

fn message(profile: &Profile) -> Result<proto::Profile, ReportError> {
    let mut strings = Strings::default();
    strings.id("");
    let mut types = |kind: &str, unit: &str| proto::ValueType { kind: strings.id(kind), unit: strings.id(unit) };
    let series = series(&profile.meta);
    let mut sample_type = vec![types("samples", "count")];
    sample_type.extend(series.iter().map(|series| types(&series.name, series.unit.name())));
    // The default value is that of the first probe with samples.
    let has_values = |series: &Series| {
        profile.samples.iter().any(|sample| sample.value > 0.0 && series.metrics.contains(&sample.metric))
    };
    let main = series.iter().position(has_values).unwrap_or(0);
    let main_type = sample_type.get(1 + main).copied().unwrap_or(sample_type[0]);
    let (mapping, location, function) = code(profile, &mut strings);
    let meta = &profile.meta;
    let mut comments = vec![
        format!("quell {} on {}, Linux {} {}", meta.quell, meta.host.hostname, meta.host.kernel, meta.host.arch),
        meta.command_line.join(" "),
    ];
    comments.extend(caveats(profile));
    Ok(proto::Profile {
        sample: samples(profile, &series, &mut strings)?,
        mapping,
        location,
        function,
        time_nanos: signed(meta.start_realtime.0),
        duration_nanos: signed(meta.duration.0),
        period_type: Some(main_type),
        period: series.get(main).map_or(1, |series| period(profile, series)),
        comment: comments.iter().map(|comment| strings.id(comment)).collect(),
        default_sample_type: main_type.kind,
        sample_type,
        string_table: strings.rows,
    })
}

/// The sampling period of a series: the interval of the timer for sampled time, and otherwise 1.
fn period(profile: &Profile, series: &Series) -> i64 {
    let is_sampled_by_timer = |metric: &MetricId| profile.metric(*metric).samples_time();
    match series.metrics.iter().all(is_sampled_by_timer) {
        true => signed(Hertz(profile.meta.frequency).interval().0),
        false => 1,
    }
}

/// The modules, and a location and a function for each frame. The ID of a frame is its row + 1.
fn code(profile: &Profile, strings: &mut Strings) -> (Vec<proto::Mapping>, Vec<proto::Location>, Vec<proto::Function>) {
    let mut mappings: Vec<proto::Mapping> = Vec::new();
    let mut mapping_ids: HashMap<&str, u64> = HashMap::new();
    // pprof takes the first mapping as the main program, so the kernel comes last.
    let (kernel, user): (Vec<_>, Vec<_>) = profile
        .frames
        .iter()
        .filter(|frame| !frame.module.is_empty())
        .partition(|frame| frame.kind == FrameKind::Kernel);
    let files: HashMap<&str, &NamedModule> = profile.modules.iter().map(|file| (file.name.as_str(), file)).collect();
    for frame in user.into_iter().chain(kernel) {
        mapping_ids.entry(frame.module.as_str()).or_insert_with(|| {
            let id = mappings.len() as u64 + 1;
            let file = files.get(frame.module.as_str());
            let filename = file.map_or(frame.module.as_str().into(), |file| file.path.to_string_lossy());
            let build_id = file.and_then(|file| file.build_id.as_deref()).unwrap_or_default();
            let (filename, build_id) = (strings.id(&filename), strings.id(build_id));
            mappings.push(proto::Mapping { id, filename, build_id, has_functions: true });
            id
        });
    }
    let mut locations = Vec::with_capacity(profile.frames.len());
    let mut functions = Vec::with_capacity(profile.frames.len());
    for (id, frame) in (1..).zip(&profile.frames) {
        // Without a system name, because pprof removes template arguments from a name that equals the system name.
        functions.push(proto::Function { id, name: strings.id(&frame.name) });
        let mapping_id = mapping_ids.get(frame.module.as_str()).copied().unwrap_or(0);
        locations.push(proto::Location { id, mapping_id, line: vec![proto::Line { function_id: id }] });
    }
    (mappings, locations, functions)
}

/// A sample for each stack, thread and metric.
fn samples(profile: &Profile, series: &[Series], strings: &mut Strings) -> Result<Vec<proto::Sample>, ReportError> {
    let mut sums: HashMap<(Option<StackId>, ThreadIdx, MetricId), (i64, f64)> = HashMap::new();
    for sample in profile.samples.iter().filter(|sample| sample.value > 0.0) {
        let (count, sum) = sums.entry((sample.stack, sample.thread, sample.metric)).or_default();
        *count += 1;
        *sum += sample.value;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_unstable_by_key(|(key, _)| *key);
    if sum_of_stacks(profile, sums.iter().map(|((stack, ..), _)| *stack), |_| 1) > MOST_FRAMES {
        return Err(ReportError::TooLarge { format: "pprof", most: format!("{MOST_FRAMES} frames") });
    }
    let series_of = series_of_metrics(series, &profile.meta);
    let labels: Vec<Option<i64>> = (profile.meta.metrics.iter())
        .map(|metric| {
            let is_one_of_several = profile.meta.metrics_of(&metric.probe).count() > 1;
            is_one_of_several.then(|| strings.id(&metric.name))
        })
        .collect();
    let [comm, pid, tid, metric_key] = ["comm", "pid", "thread", "metric"].map(|key| strings.id(key));
    let text = |key, str| proto::Label { key, str, num: 0 };
    let number = |key, num: u32| proto::Label { key, str: 0, num: i64::from(num) };
    let samples = sums.into_iter().map(|((stack, thread, metric), (count, sum))| {
        let thread = profile.thread(thread);
        let mut label =
            vec![text(comm, strings.id(&thread.comm)), number(pid, thread.pid.0), number(tid, thread.tid.0)];
        label.extend(labels[metric.index()].map(|name| text(metric_key, name)));
        let mut value = vec![0; 1 + series.len()];
        (value[0], value[1 + series_of[metric.index()]]) = (count, signed(whole(sum)));
        let frames = stack.into_iter().flat_map(|stack| profile.stacks.frames(stack));
        let location_id = frames.map(|frame| u64::from(frame.row()) + 1).collect();
        proto::Sample { location_id, value, label }
    });
    Ok(samples.collect())
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[derive(Default)]
struct Strings {
    rows: Vec<String>,
    index: HashMap<String, i64>,
}

impl Strings {
    /// The row of an escaped text, because pprof prints names to terminals unchanged.
    fn id(&mut self, text: &str) -> i64 {
        let text = text::shown(text);
        if let Some(id) = self.index.get(text.as_ref()) {
            return *id;
        }
        let id = self.rows.len() as i64;
        self.rows.push(text.to_string());
        self.index.insert(text.into_owned(), id);
        id
    }
}

#[cfg(test)]
fn message_in(gzipped: &[u8]) -> proto::Profile {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(gzipped).read_to_end(&mut bytes).expect("gzip");
    proto::Profile::decode(bytes.as_slice()).expect("a message")
}

/// The texts of a pprof file.
#[cfg(test)]
pub(super) fn texts(gzipped: &[u8]) -> Vec<String> {
    message_in(gzipped).string_table
}

/// The message as text, with names instead of numbers.
#[cfg(test)]
pub(super) fn text(gzipped: &[u8]) -> String {
    use std::fmt::Write as _;
    let message = message_in(gzipped);
    let string = |id: i64| message.string_table[usize::try_from(id).expect("an index")].as_str();
    let row = |id: u64| usize::try_from(id - 1).expect("an index");
    let kinds = |kind: &proto::ValueType| format!("{}/{}", string(kind.kind), string(kind.unit));
    let mut text = String::new();
    let mut line = |what: String| writeln!(text, "{what}").expect("memory");
    line(format!("types: {}", message.sample_type.iter().map(kinds).collect::<Vec<_>>().join(" ")));
    line(format!("default: {}", string(message.default_sample_type)));
    line(format!("period: {} of {}", message.period, message.period_type.as_ref().map(kinds).unwrap_or_default()));
    line(format!("time: {} for {}", message.time_nanos, message.duration_nanos));
    for comment in &message.comment {
        line(format!("comment: {}", string(*comment)));
    }
    for mapping in &message.mapping {
        line(format!("mapping: {}", string(mapping.filename)));
    }
    for sample in &message.sample {
        let functions = sample.location_id.iter().map(|id| {
            let function = message.location[row(*id)].line[0].function_id;
            string(message.function[row(function)].name)
        });
        let functions: Vec<&str> = functions.collect();
        let labels = sample.label.iter().map(|label| match label.str {
            0 => format!("{}={}", string(label.key), label.num),
            value => format!("{}={}", string(label.key), string(value)),
        });
        let labels: Vec<String> = labels.collect();
        line(format!("{:?} {} [{}]", sample.value, functions.join(" < "), labels.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::profile::{Selection, build};

    #[test]
    fn pprof() {
        let small = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/small.quell");
        let recording = crate::recording::read(&small).expect("the committed recording");
        let mut gzipped = Vec::new();
        Pprof.write(&build(&recording, &Selection::default()), &mut gzipped).expect("memory");
        insta::assert_snapshot!(text(&gzipped));
    }
}
