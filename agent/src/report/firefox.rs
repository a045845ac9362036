//! The processed profile of the Firefox Profiler (<https://profiler.firefox.com>), in version 60 of its format: the first one with
//! tables of frames and stacks for all threads together, as in a [`Profile`]. The reader upgrades it.
//!
//! Each thread is a track. Samples that stand for time, such as CPU samples, are its samples. Their weight is the estimated time in
//! milliseconds (`tracing-ms`), which is also their `threadCPUDelta`, in nanoseconds. All other samples are markers with stacks:
//! intervals with their measured length, and instants. Their fields contain the estimate and the waker. The thread that sent a wakeup
//! has a marker for it, with its stack. There is no category for idle time, because time without samples was not observed.
//!
//! The file is written directly from the profile, column by column.
//!
//! Types: <https://github.com/firefox-devtools/profiler/blob/main/src/types/profile.ts>, and its CHANGELOG-formats.md.

use std::borrow::Cow;
use std::io::{self, BufWriter, Write};
use std::iter::repeat_n;

use hashbrown::HashMap;
use serde_json::{Value, json};

use super::columns::Object;
use super::sums::{caveats, whole};
use super::tracks::{
    Event, Track, Tracks, intervals, not_drawn, probe_of, sampled_time, thread_label, time, waker_label,
};
use super::{ReportError, Sink};
use crate::profile::{FrameKind, NamedFrame, Profile, Weighted};
use crate::recording::{MetricId, MetricKind, SampleIdx, StackId, Unit};
use crate::units::{Hertz, Nanos};

/// The type of a resource that is a library.
const LIBRARY: u8 = 1;

/// The version of the format.
const VERSION: u32 = 60;

/// The type of the markers of wakeups. Other types are metrics.
const WAKEUP: &str = "wakeup";

/// The categories that every profile has, with their colours. A frame has the category of its kind; those of markers follow.
const FRAME_CATEGORIES: [(&str, &str); 3] = [("Other", "grey"), ("User", "yellow"), ("Kernel", "orange")];

/// The colours of the categories of markers: one category for each probe.
const PROBE_COLOURS: [&str; 5] = ["red", "blue", "green", "purple", "brown"];

/// Writes a processed profile.
pub(super) struct Firefox;

impl Sink for Firefox {
    fn write(&self, profile: &Profile, out: &mut dyn Write) -> Result<(), ReportError> {
        let mut out = BufWriter::new(out);
        let file = File::of(profile);
        Object::write(&mut out, |object| {
            object.value("meta", file.meta())?;
            object.column("libs", file.libraries())?;
            object.object("shared", |object| file.shared(object))?;
            object.objects("threads", &file.tracks.rows, |object, track| file.thread(object, track))
        })?;
        writeln!(out)?;
        Ok(out.flush()?)
    }
}

/// A profile with the numbers of its rows in the file. Frames and stacks have the same numbers in both.
struct File<'a> {
    profile: &'a Profile,
    tracks: Tracks,
    /// The metric whose samples are those of the threads.
    sampled_time: Option<MetricId>,
    strings: Strings<'a>,
    /// The name of each metric as a marker, a row of `strings`, and its category.
    markers: Vec<(usize, usize)>,
    /// The modules of frames, in the order of the libraries.
    modules: Vec<Cow<'a, str>>,
    /// The row in `modules` of each frame.
    module_of: Vec<Option<usize>>,
}

impl<'a> File<'a> {
    fn of(profile: &'a Profile) -> Self {
        let mut modules = Strings::default();
        let row_of =
            |frame: &'a NamedFrame| (!frame.module.is_empty()).then(|| modules.add(frame.module.as_str().into()));
        let module_of = profile.frames.iter().map(row_of).collect();
        let tracks = Tracks::of(profile);
        let mut strings = strings(profile, &tracks);
        let markers = (0..profile.meta.metrics.len()).map(MetricId::from_index).map(|metric| {
            let category = probe_of(&profile.meta, metric).map_or(0, |probe| FRAME_CATEGORIES.len() + probe);
            (strings.add(profile.meta.full_label(metric).into()), category)
        });
        let markers = markers.collect();
        let sampled_time = sampled_time(profile);
        Self { profile, tracks, sampled_time, strings, markers, modules: modules.rows, module_of }
    }

    fn meta(&self) -> Value {
        let (meta, window) = (&self.profile.meta, self.profile.window);
        let probes = meta.probes.iter().map(|probe| probe.label.as_str()).zip(PROBE_COLOURS.into_iter().cycle());
        let category = |(name, color)| json!({"name": name, "color": color, "subcategories": ["Other"]});
        let mut remarks = not_drawn(self.profile);
        remarks.extend(window.in_words());
        remarks.extend(caveats(self.profile));
        json!({
            "version": 24,
            "preprocessedProfileVersion": VERSION,
            "interval": milliseconds(Hertz(meta.frequency).interval().max(Nanos(1))),
            "startTime": milliseconds(meta.start_realtime),
            "profilingStartTime": milliseconds(self.start()),
            "profilingEndTime": milliseconds(window.until.unwrap_or(meta.duration).max(self.start())),
            "processType": 0,
            "stackwalk": 1,
            "product": meta.host.hostname,
            "importedFrom": format!("quell {}", meta.quell),
            "arguments": meta.command_line.join(" "),
            "oscpu": format!("Linux {} {}", meta.host.kernel, meta.host.arch),
            "symbolicated": true,
            "symbolicationNotSupported": true,
            "usesOnlyOneStackType": true,
            "sourceCodeIsNotOnSearchfox": true,
            "sampleUnits": {"time": "ms", "eventDelay": "ms", "threadCPUDelta": "ns"},
            "categories": FRAME_CATEGORIES.into_iter().chain(probes).map(category).collect::<Vec<_>>(),
            "markerSchema": self.schemas(),
            "extra": [{"label": "quell", "entries": [{"label": "Remarks", "format": "list", "value": remarks}]}],
        })
    }

    /// The beginning of the time range, from the start of the capture.
    fn start(&self) -> Nanos {
        self.profile.window.since.unwrap_or_default()
    }

    /// The types of markers: one for each metric, and one for wakeups.
    fn schemas(&self) -> Vec<Value> {
        let field = |key: &str, label: &str, format: &str| json!({"key": key, "label": label, "format": format});
        let metrics = self.profile.meta.metrics.iter().map(|metric| {
            let format = match metric.unit {
                Unit::Nanoseconds => "duration",
                Unit::Bytes => "bytes",
                Unit::Count => "decimal",
            };
            let mut fields = vec![field("cpu", "CPU", "integer"), field("estimate", "Stands for", format)];
            let description = match metric.kind {
                MetricKind::Interval => {
                    fields.push(field("intervals", "Stands for intervals", "decimal"));
                    fields.push(field("waker", "Woken by", "unique-string"));
                    "A measured interval. Intervals that were not sampled are not drawn: a gap is not idle time."
                }
                MetricKind::Instant => "A sample. Its value is an estimate for all events that it stands for.",
            };
            json!({
                "name": metric.name,
                "display": ["marker-chart", "marker-table", "timeline-overview"],
                "tableLabel": "{marker.data.waker}",
                "description": description,
                "fields": fields,
            })
        });
        let wakeup = json!({
            "name": WAKEUP,
            "display": ["marker-chart", "marker-table"],
            "tableLabel": "{marker.data.thread}",
            "description": "This thread ended a sampled wait of another thread.",
            "fields": [field("thread", "Woken thread", "unique-string")],
        });
        metrics.chain([wakeup]).collect()
    }

    fn libraries(&self) -> impl Iterator<Item = Value> {
        let arch = &self.profile.meta.host.arch;
        self.modules.iter().map(move |name| {
            json!({
                "arch": arch, "name": name, "path": name, "debugName": name, "debugPath": name,
                "breakpadId": "", "codeId": null,
            })
        })
    }

    /// The tables of code. Each frame has one function, and each module one library and one resource.
    fn shared(&self, object: &mut Object<'_>) -> io::Result<()> {
        let (nodes, frames) = (self.profile.stacks.rows(), &self.profile.frames);
        let (count, modules) = (frames.len(), self.modules.len());
        object.column("stringArray", &self.strings.rows)?;
        object.object("stackTable", |table| {
            table.value("length", nodes.len())?;
            table.column("prefix", nodes.iter().map(|node| node.parent.map(StackId::row)))?;
            table.column("frame", nodes.iter().map(|node| node.frame.row()))
        })?;
        object.object("frameTable", |table| {
            table.value("length", count)?;
            table.column("address", repeat_n(-1, count))?;
            table.column("category", frames.iter().map(|frame| frame_category(frame.kind)))?;
            table.column("func", 0..count)?;
            for zero in ["inlineDepth", "subcategory", "innerWindowID"] {
                table.column(zero, repeat_n(0, count))?;
            }
            for null in ["nativeSymbol", "line", "column"] {
                table.column(null, repeat_n((), count))?;
            }
            Ok(())
        })?;
        object.object("funcTable", |table| {
            table.value("length", count)?;
            table.column("name", frames.iter().map(|frame| self.strings.row(&frame.name)))?;
            table.column("resource", self.module_of.iter().map(|row| row.map_or(-1, |row| row as i64)))?;
            for no in ["isJS", "relevantForJS"] {
                table.column(no, repeat_n(false, count))?;
            }
            for null in ["source", "lineNumber", "columnNumber"] {
                table.column(null, repeat_n((), count))?;
            }
            Ok(())
        })?;
        object.object("resourceTable", |table| {
            table.value("length", modules)?;
            table.column("lib", 0..modules)?;
            table.column("name", self.modules.iter().map(|module| self.strings.row(module)))?;
            table.column("host", repeat_n((), modules))?;
            table.column("type", repeat_n(LIBRARY, modules))
        })?;
        let no_symbols = json!({"length": 0, "libIndex": [], "address": [], "name": [], "functionSize": []});
        object.value("nativeSymbols", no_symbols)?;
        object.value("sources", json!({"length": 0, "uuid": [], "filename": []}))
    }

    fn thread(&self, object: &mut Object<'_>, track: &Track) -> io::Result<()> {
        object.value("processType", "default")?;
        object.value("processName", self.tracks.process_name(self.profile, track.pid))?;
        object.value("name", &self.profile.thread(track.name).comm)?;
        object.value("isMainThread", track.is_main())?;
        object.value("pid", track.pid.0.to_string())?;
        object.value("tid", track.tid.0)?;
        for zero in ["processStartupTime", "registerTime"] {
            object.value(zero, 0)?;
        }
        for null in ["processShutdownTime", "unregisterTime"] {
            object.value(null, ())?;
        }
        object.value("pausedRanges", json!([]))?;
        object.value("showMarkersInTimeline", true)?;
        object.object("samples", |table| self.samples(table, track))?;
        object.object("markers", |table| self.markers(table, track))
    }

    fn sample(&self, row: SampleIdx) -> &'a Weighted {
        &self.profile.samples[row.index()]
    }

    /// The samples of a thread that stand for time. The first row has no stack and no weight: the reader ignores the CPU time of the
    /// first row, because that time has no beginning.
    fn samples(&self, table: &mut Object<'_>, track: &Track) -> io::Result<()> {
        let rows: Vec<&Weighted> = (track.events.iter())
            .filter_map(|event| match event {
                Event::Sample(row) => Some(self.sample(*row)),
                Event::Wakeup(_) => None,
            })
            .filter(|sample| Some(sample.metric) == self.sampled_time)
            .collect();
        let first = rows.len().min(1);
        table.value("length", first + rows.len())?;
        table.value("weightType", "tracing-ms")?;
        let stacks = rows.iter().map(|sample| sample.stack.map(StackId::row));
        table.column("stack", repeat_n(None, first).chain(stacks))?;
        let times = rows.iter().map(|sample| milliseconds(sample.time));
        table.column("time", repeat_n(milliseconds(self.start()), first).chain(times))?;
        let weights = rows.iter().map(|sample| sample.value / 1e6);
        table.column("weight", repeat_n(0.0, first).chain(weights))?;
        let cpu_times = rows.iter().map(|sample| whole(sample.value));
        table.column("threadCPUDelta", repeat_n(0, first).chain(cpu_times))
    }

    /// The other samples of a thread, and the wakeups that it sent.
    fn markers(&self, table: &mut Object<'_>, track: &Track) -> io::Result<()> {
        let is_marker = |event: &Event| match event {
            Event::Sample(row) => Some(self.sample(*row).metric) != self.sampled_time,
            Event::Wakeup(_) => true,
        };
        let rows: Vec<Event> = track.events.iter().copied().filter(is_marker).collect();
        let end = |event: &Event| match event {
            Event::Sample(row) if self.sample(*row).duration.0 > 0 => {
                let sample = self.sample(*row);
                Some(milliseconds(Nanos(sample.time.0.saturating_add(sample.duration.0))))
            }
            _ => None,
        };
        table.value("length", rows.len())?;
        table.column("name", rows.iter().map(|event| self.name_and_category(*event).0))?;
        table.column("startTime", rows.iter().map(|event| milliseconds(time(self.profile, *event))))?;
        table.column("endTime", rows.iter().map(end))?;
        // 1 for an interval, and 0 for an instant.
        table.column("phase", rows.iter().map(|event| u8::from(end(event).is_some())))?;
        table.column("category", rows.iter().map(|event| self.name_and_category(*event).1))?;
        table.objects("data", &rows, |data, event| self.marker(data, *event))
    }

    /// The name of a marker, a row of the strings, and its category.
    fn name_and_category(&self, event: Event) -> (usize, usize) {
        match event {
            Event::Sample(row) => self.markers[self.sample(row).metric.index()],
            Event::Wakeup(_) => (self.strings.row(WAKEUP), 0),
        }
    }

    fn marker(&self, data: &mut Object<'_>, event: Event) -> io::Result<()> {
        let stack = match event {
            Event::Sample(row) => {
                let sample = self.sample(row);
                let metric = self.profile.metric(sample.metric);
                data.value("type", &metric.name)?;
                data.value("cpu", sample.cpu.0)?;
                data.value(
                    "estimate",
                    match metric.unit {
                        Unit::Nanoseconds => sample.value / 1e6,
                        Unit::Bytes | Unit::Count => sample.value,
                    },
                )?;
                if let Some(intervals) = intervals(sample) {
                    data.value("intervals", intervals)?;
                }
                if let Some(wake) = &sample.wake {
                    data.value("waker", self.strings.row(&waker_label(self.profile, wake)))?;
                }
                sample.stack
            }
            Event::Wakeup(row) => {
                let sample = self.sample(row);
                data.value("type", WAKEUP)?;
                data.value("thread", self.strings.row(&thread_label(self.profile, sample.thread)))?;
                sample.wake.and_then(|wake| wake.stack)
            }
        };
        match stack {
            Some(stack) => data.object("cause", |cause| cause.value("stack", stack.row())),
            None => Ok(()),
        }
    }
}

/// The row of a kind of frame in [`FRAME_CATEGORIES`].
fn frame_category(kind: FrameKind) -> usize {
    match kind {
        FrameKind::Label => 0,
        FrameKind::User => 1,
        FrameKind::Kernel => 2,
    }
}

/// A time or a duration in milliseconds.
fn milliseconds(time: Nanos) -> f64 {
    time.0 as f64 / 1e6
}

/// The strings to which rows of the file refer, except the names of metrics.
fn strings<'a>(profile: &'a Profile, tracks: &Tracks) -> Strings<'a> {
    let mut strings = Strings::default();
    for frame in &profile.frames {
        strings.add(frame.name.as_str().into());
        strings.add(frame.module.as_str().into());
    }
    strings.add(WAKEUP.into());
    for event in tracks.rows.iter().flat_map(|track| &track.events) {
        let (Event::Sample(row) | Event::Wakeup(row)) = *event;
        let sample = &profile.samples[row.index()];
        if let Some(wake) = &sample.wake {
            strings.add(waker_label(profile, wake).into());
            strings.add(thread_label(profile, sample.thread).into());
        }
    }
    strings
}

/// Distinct strings by row.
#[derive(Default)]
struct Strings<'a> {
    rows: Vec<Cow<'a, str>>,
    index: HashMap<Cow<'a, str>, usize>,
}

impl<'a> Strings<'a> {
    /// Adds a string and returns its row.
    fn add(&mut self, text: Cow<'a, str>) -> usize {
        let next = self.rows.len();
        let row = *self.index.entry(text.clone()).or_insert(next);
        if row == next {
            self.rows.push(text);
        }
        row
    }

    /// The row of a string that was added.
    fn row(&self, text: &str) -> usize {
        self.index.get(text).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::profile::{Selection, build};
    use crate::recording::example::{BLOCKED, CPU, Example};

    fn drawn(profile: &Profile) -> Value {
        let mut out = Vec::new();
        Firefox.write(profile, &mut out).expect("memory");
        serde_json::from_slice(&out).expect("JSON")
    }

    /// The length of a table, and of all its columns.
    fn lengths(table: &Value) -> Vec<usize> {
        let columns = table.as_object().expect("a table").values();
        let mut lengths: Vec<usize> = columns.filter_map(|column| column.as_array().map(Vec::len)).collect();
        lengths.extend(table["length"].as_u64().map(|length| length as usize));
        lengths.dedup();
        lengths
    }

    #[test]
    fn all_columns_of_a_table_have_its_length_and_all_rows_exist() {
        let mut example = Example::new();
        example.add_locks();
        let worker = example.thread(1, 2, "worker");
        let stack = example.stack("/bin/app main work");
        example.sample(CPU, worker, stack, 100);
        example.sample(BLOCKED, worker, stack, 100);
        let file = drawn(&build(&example.recording, &Selection::default()));
        for table in ["stackTable", "frameTable", "funcTable", "resourceTable", "nativeSymbols", "sources"] {
            assert_eq!(lengths(&file["shared"][table]).len(), 1, "{table}: {}", file["shared"][table]);
        }
        let is_below = |column: &Value, rows: &Value| {
            let rows = rows.as_array().map(Vec::len).or(rows.as_u64().map(|rows| rows as usize)).expect("rows");
            let numbers = column.as_array().expect("a column").iter().filter_map(Value::as_i64);
            numbers.into_iter().all(|number| number < rows as i64)
        };
        let shared = &file["shared"];
        for thread in file["threads"].as_array().expect("threads") {
            for table in ["samples", "markers"] {
                assert_eq!(lengths(&thread[table]).len(), 1, "{thread:#}");
            }
            assert!(is_below(&thread["samples"]["stack"], &shared["stackTable"]["length"]));
            assert!(is_below(&thread["markers"]["name"], &shared["stringArray"]));
            assert!(is_below(&thread["markers"]["category"], &file["meta"]["categories"]));
        }
        assert!(is_below(&shared["stackTable"]["frame"], &shared["frameTable"]["length"]));
        assert!(is_below(&shared["funcTable"]["name"], &shared["stringArray"]));
        assert!(is_below(&shared["funcTable"]["resource"], &file["libs"]));
        assert!(is_below(&shared["frameTable"]["category"], &file["meta"]["categories"]));
    }

    #[test]
    fn weights_are_estimates_in_milliseconds_and_intervals_are_as_measured() {
        let mut example = Example::new();
        let worker = example.thread(1, 2, "worker");
        let stack = example.stack("/bin/app main work");
        let sample = example.sample(CPU, worker, stack, 250_000);
        (sample.time, sample.probability) = (Nanos(3_000_000), 0.5);
        let sample = example.sample(BLOCKED, worker, stack, 2_000_000);
        (sample.time, sample.probability) = (Nanos(4_000_000), 0.125);
        let file = drawn(&build(&example.recording, &Selection::default()));
        let thread = &file["threads"][0];
        // Since the start of the capture, of which the thread used half a millisecond.
        let samples = json!({
            "length": 2, "weightType": "tracing-ms", "stack": [null, 2], "time": [0.0, 3.0], "weight": [0.0, 0.5],
            "threadCPUDelta": [0, 500_000],
        });
        assert_eq!(thread["samples"], samples);
        let (markers, data) = (&thread["markers"], &thread["markers"]["data"][0]);
        assert_eq!((&markers["startTime"], &markers["endTime"]), (&json!([4.0]), &json!([6.0])));
        assert_eq!(
            *data,
            json!({"type": BLOCKED, "cpu": 0, "estimate": 16.0, "intervals": 8.0, "cause": {"stack": 2}})
        );
    }

    /// A writer that knows the largest piece that it was given.
    #[derive(Default)]
    struct Pieces {
        largest: usize,
        total: usize,
    }

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.largest = self.largest.max(bytes.len());
            self.total += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_table_of_any_length_is_written_in_small_pieces() {
        let mut example = Example::new();
        let worker = example.thread(1, 2, "worker");
        let stack = example.stack("/bin/app main work");
        for number in 0..20_000 {
            example.sample(BLOCKED, worker, stack, 1_000).time = Nanos(2_000 * number);
        }
        let mut pieces = Pieces::default();
        Firefox.write(&build(&example.recording, &Selection::default()), &mut pieces).expect("memory");
        assert!(pieces.total > 1 << 20 && pieces.largest <= 16 << 10, "{} {}", pieces.total, pieces.largest);
    }
}
