//! Recordings that were written and are read back, whole, damaged, or from another time.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use parquet::data_type::ByteArray;
use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;

use super::check::FileCheck;
use super::table::Table;
use super::table_write::write_table;
use super::tables::counters::COUNTERS;
use super::tables::frames::INLINED;
use super::tables::labels::LABELS;
use super::tables::stacks::STACKS;
use super::tables::threads::THREADS;
use super::*;
use crate::file::Directory;
use crate::recording::example::{self, CPU, Example};
use crate::recording::{
    Counter, FileNumbers, Frame, FrameId, FrameSource, Hashes, Histogram, InlinedFunction, Label, LabelSetId, Location,
    MetricId, Module, ModuleId, Process, ProcessIdx, Recording, Sample, SampleIdx, Scope, SourceLine, StackId, Symbol,
    Thread, ThreadIdx, Wake, empty_counts,
};
use crate::units::{Addr, CpuId, Nanos, Pid, Tid};

pub(super) const TABLES: [&Table; 9] = tables::ALL;

fn nanos() -> impl Strategy<Value = Nanos> {
    amount().prop_map(Nanos)
}

fn amount() -> impl Strategy<Value = u64> {
    0..=i64::MAX as u64
}

fn location() -> impl Strategy<Value = Location> {
    prop_oneof![
        any::<u64>().prop_map(|addr| Location::Kernel(Addr(addr))),
        (0u32..3, any::<u64>()).prop_map(|(module, offset)| Location::Module { module: ModuleId::new(module), offset }),
        any::<(u32, u64)>().prop_map(|(pid, addr)| Location::Unmapped { pid: Pid(pid), addr: Addr(addr) }),
        "\\PC{0,12}".prop_map(Location::NamedLabel),
    ]
}

fn source_line() -> impl Strategy<Value = SourceLine> {
    (option("/\\PC{0,9}"), option(any::<u32>())).prop_map(|(file, line)| SourceLine { file, line })
}

fn frame() -> impl Strategy<Value = Frame> {
    let symbol = option(("\\PC{0,20}", any::<u64>()));
    let inlined = prop::collection::vec(("\\PC{0,20}", source_line()), 0..3);
    (location(), symbol, source_line(), inlined).prop_map(|(location, symbol, source, inlined)| {
        let symbol = symbol.map(|(name, offset)| Symbol { name, offset });
        let symbol = symbol.filter(|_| !matches!(location, Location::NamedLabel(_)));
        let inlined = inlined.into_iter().map(|(name, source)| InlinedFunction { name, source }).collect();
        let source = FrameSource { source, inlined };
        Frame { location, symbol, source: (source != FrameSource::default()).then(|| Box::new(source)) }
    })
}

fn process() -> impl Strategy<Value = Process> {
    let text = || option("\\PC{0,9}");
    let words = option(prop::collection::vec("\\PC{0,9}", 0..3));
    (any::<u32>(), words, text(), text(), option("[0-9a-f]{64}"), option(any::<u32>())).prop_map(
        |(pid, command_line, executable, cgroup, container, user)| Process {
            pid: Pid(pid),
            command_line,
            executable: executable.map(PathBuf::from),
            cgroup,
            container,
            user,
        },
    )
}

fn option<S: Strategy>(values: S) -> impl Strategy<Value = Option<S::Value>>
where
    S::Value: Clone,
{
    proptest::option::of(values)
}

/// A scope, with a number in the place of a thread.
fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::Host),
        any::<u32>().prop_map(|cpu| Scope::Cpu(CpuId(cpu))),
        "/\\PC{0,9}".prop_map(Scope::Cgroup),
        (0u32..100).prop_map(|thread| Scope::Thread(ThreadIdx::new(thread))),
    ]
}

/// What refers to other rows is a raw number, which [`recording`] brings into range.
#[derive(Clone, Debug)]
struct RawSample {
    numbers: (Nanos, u64, Option<Nanos>, u32, u32),
    ongoing: bool,
    metric: u16,
    thread: Index,
    stack: Option<Index>,
    labels: Option<Index>,
    wake: Option<(Index, Option<Index>, Option<Index>)>,
}

prop_compose! {
    fn raw_sample()(
        numbers in (nanos(), amount(), option(nanos()), any::<u32>(), 1u32..),
        ongoing in any::<bool>(),
        metric in 0u16..4,
        thread in any::<Index>(),
        stack in any::<Option<Index>>(),
        labels in any::<Option<Index>>(),
        wake in option(any::<(Index, Option<Index>, Option<Index>)>()),
    ) -> RawSample {
        RawSample { numbers, ongoing, metric, thread, stack, labels, wake }
    }
}

prop_compose! {
    fn recording()(
        processes in prop::collection::vec(process(), 1..4),
        threads in prop::collection::vec(("\\PC{1,15}", any::<(Index, u32)>()), 1..4),
        modules in prop::collection::vec(
            ("/[a-z]{1,9}", option("[0-9a-f]{40}"), option(any::<(u32, u32, u64)>())), 3),
        frames in prop::collection::vec(frame(), 1..8),
        stacks in prop::collection::vec(any::<(Option<Index>, Index)>(), 1..12),
        labels in prop::collection::vec(prop::collection::vec(("[a-z]{1,3}", "\\PC{0,9}"), 1..4), 0..4),
        samples in prop::collection::vec(raw_sample(), 0..20),
        counters in prop::collection::vec((0u16..4, scope(), amount(), amount()), 0..4),
        histograms in prop::collection::vec(
            (0u16..4, scope(), 0u8..=3, prop::collection::vec((amount(), 1u64..1 << 40), 1..9)), 0..4),
    ) -> Recording {
        let mut recording = Recording::new(example::meta());
        for process in processes {
            recording.processes.push(process);
        }
        for (comm, (process, tid)) in threads {
            let process = ProcessIdx::from_index(process.index(recording.processes.rows().len()));
            let pid = recording.processes.get(process).pid;
            recording.threads.push(Thread { process, pid, tid: Tid(tid), comm });
        }
        for (path, build_id, file) in modules {
            let file = file.map(|(major, minor, inode)| FileNumbers { major, minor, inode });
            recording.modules.push(Module { path: PathBuf::from(path), file, build_id });
        }
        for frame in frames {
            recording.frames.push(frame);
        }
        for (parent, frame) in stacks {
            let rows = recording.stacks.rows().len();
            let parent = parent.filter(|_| rows > 0).map(|parent| StackId::from_index(parent.index(rows)));
            let frame = FrameId::from_index(frame.index(recording.frames.rows().len()));
            recording.stacks.intern(parent, frame);
        }
        for set in labels {
            recording.labels.intern(set.into_iter().map(|(key, value)| Label { key, value }).collect());
        }
        let threads = recording.threads.rows().len();
        let stack = |index: Index| StackId::from_index(index.index(recording.stacks.rows().len()));
        for (row, raw) in samples.into_iter().enumerate() {
            let (time, value, runqueue, cpu, odds) = raw.numbers;
            let label_sets = recording.labels.rows().len();
            let wake = raw.wake.map(|(waker, code, sleep)| Wake {
                waker: ThreadIdx::from_index(waker.index(threads)),
                stack: code.map(stack),
                waker_sleep: sleep.filter(|_| row > 0).map(|sleep| SampleIdx::from_index(sleep.index(row))),
            });
            recording.samples.push(Sample {
                time,
                value,
                probability: f64::from(odds) / f64::from(u32::MAX),
                runqueue,
                thread: ThreadIdx::from_index(raw.thread.index(threads)),
                cpu: CpuId(cpu),
                stack: raw.stack.map(stack),
                wake,
                labels: raw.labels.filter(|_| label_sets > 0).map(|set| LabelSetId::from_index(set.index(label_sets))),
                metric: MetricId(raw.metric),
                ongoing: raw.ongoing,
            });
        }
        let scope = |scope| match scope {
            Scope::Thread(thread) => Scope::Thread(ThreadIdx::from_index(thread.index() % threads)),
            scope => scope,
        };
        for (metric, of, count, sum) in counters {
            recording.counters.push(Counter { metric: MetricId(metric), scope: scope(of), count, sum });
        }
        for (metric, of, digits, values) in histograms {
            let mut counts = empty_counts(digits);
            for (value, count) in values {
                counts.record_n(value, count).expect("it takes any value");
            }
            recording.histograms.push(Histogram { metric: MetricId(metric), scope: scope(of), counts });
        }
        recording
    }
}

fn module(recording: &Recording, frame: &Frame) -> Option<Module> {
    match frame.location {
        Location::Module { module, .. } => Some(recording.modules.get(module).clone()),
        _ => None,
    }
}

/// Equal but for the numbers of modules, which are not kept.
fn assert_same(left: &Recording, right: &Recording) {
    assert_eq!(left.meta, right.meta);
    assert_eq!(left.frames.rows().len(), right.frames.rows().len());
    for (one, other) in left.frames.rows().iter().zip(right.frames.rows()) {
        assert_eq!(module(left, one), module(right, other));
        assert_eq!((&one.symbol, &one.source), (&other.symbol, &other.source));
        match (&one.location, &other.location) {
            (Location::Module { offset: one, .. }, Location::Module { offset: other, .. }) => assert_eq!(one, other),
            (one, other) => assert_eq!(one, other),
        }
    }
    assert_eq!(Hashes::of(left), Hashes::of(right));
    assert_eq!(left.stacks.rows(), right.stacks.rows());
    assert_eq!(left.processes.rows(), right.processes.rows());
    assert_eq!(left.threads.rows(), right.threads.rows());
    assert_eq!(left.labels.rows(), right.labels.rows());
    assert_eq!(left.samples, right.samples);
    assert_eq!(left.counters, right.counters);
    assert_eq!(left.histograms, right.histograms);
}

/// One thread, one stack, one sample: what a single wrong row is set against.
pub(super) fn smallest() -> Recording {
    let mut example = Example::new();
    let thread = example.thread(1, 2, "worker");
    let stack = example.stack("app kernel:read");
    let sample = example.sample(CPU, thread, stack, 7);
    sample.time = Nanos(5);
    example.counter(example::BLOCKED, Scope::Thread(thread), 1, 3);
    example.recording
}

pub(super) fn written(recording: &Recording) -> (TempDir, PathBuf) {
    let parent = TempDir::new().expect("a temporary directory");
    let dir = parent.path().join("x.quell");
    write(recording, &dir).expect("a writable directory");
    (parent, dir)
}

/// The directory, without a table, for another one of its name.
fn without(dir: &Path, table: &Table) -> Directory {
    fs::remove_file(dir.join(table.file)).expect("a file");
    Directory::open(dir).expect("a directory")
}

/// Makes `meta.json` vouch for the files as they are now, as somebody would who means harm.
pub(super) fn vouch(dir: &Path) {
    let mut meta = meta_json(dir);
    for table in TABLES {
        let file = fs::File::open(dir.join(table.file)).expect("a file");
        let check = FileCheck::of(&file, u64::MAX).expect("a file");
        meta["files"][table.file] = serde_json::to_value(check).expect("plain numbers");
    }
    fs::write(dir.join(META_FILE), meta.to_string()).expect("a writable file");
}

pub(super) fn meta_json(dir: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(dir.join(META_FILE)).expect("a file")).expect("JSON")
}

pub(super) fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_what_is_read(recording in recording()) {
        let (_parent, dir) = written(&recording);
        assert_same(&recording, &read(&dir).expect("a whole recording"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn a_file_that_was_cut_or_changed_is_an_error(
        recording in recording(), table in 0usize..10, at in any::<Index>(), change in proptest::option::of(1u8..),
    ) {
        let (_parent, dir) = written(&recording);
        let path = dir.join(TABLES.get(table).map_or(META_FILE, |table| table.file));
        let mut bytes = fs::read(&path).expect("a file");
        let at = at.index(bytes.len());
        match change {
            Some(change) => bytes[at] ^= change,
            None => bytes.truncate(at),
        }
        fs::write(&path, &bytes).expect("a writable file");
        let read = read(&dir);
        // A changed digit of `meta.json` is another fact, and a cut final newline is none; all else is noticed.
        prop_assert!(table == 9 || matches!(read, Err(RecordingError::Damaged { .. })), "{read:?}");
    }
}

#[test]
fn garbage_with_a_right_checksum_never_panics() {
    let (_parent, dir) = written(&smallest());
    for table in TABLES {
        let path = dir.join(table.file);
        let whole = fs::read(&path).expect("a file");
        for at in (0..whole.len()).step_by(13) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            fs::write(&path, &bytes).expect("a writable file");
            vouch(&dir);
            // Some bytes say nothing that is read; all that counts is to come back.
            let _either = read(&dir);
        }
        fs::write(&path, &whole).expect("a writable file");
    }
    vouch(&dir);
    read(&dir).expect("whole again");
}

#[test]
fn a_stack_before_its_parent_is_damage() {
    let (_parent, dir) = written(&smallest());
    write_table(&without(&dir, &STACKS), &STACKS, &[0u32], |columns, first, rows| {
        columns.row_numbers("stack_id", first, rows.len())?;
        columns.hashes("hash", &vec![0; 16].into(), first, rows.len())?;
        columns.optional_u32("parent_id", rows.iter().map(|row| Some(*row)))?;
        columns.u32("frame_id", rows.iter().copied())
    })
    .expect("a table");
    vouch(&dir);
    let error = read(&dir).expect_err("a stack that is its own parent").to_string();
    assert!(error.contains("stacks.parquet is damaged: stack 0 does not come after its parent"), "{error}");
}

#[test]
fn a_table_with_a_row_taken_out_is_damage() {
    let (_parent, dir) = written(&smallest());
    write_table(&without(&dir, &THREADS), &THREADS, &[1u32], |columns, _, rows| {
        columns.u32("thread_id", rows.iter().copied())?;
        for column in ["process_id", "pid", "tid"] {
            columns.u32(column, rows.iter().map(|_| 0))?;
        }
        columns.text("comm", rows.iter().map(|_| ByteArray::from("x")))
    })
    .expect("a table");
    vouch(&dir);
    let error = read(&dir).expect_err("no thread 0").to_string();
    assert!(error.contains("threads.parquet is damaged: row 0 has the thread_id 1"), "{error}");
}

/// Rows of [`smallest`] that name what is not there.
#[test]
fn a_row_that_names_what_is_not_there_is_damage() {
    let whole = smallest();
    let waker = |waker_sleep| Some(Wake { waker: ThreadIdx::new(0), stack: None, waker_sleep });
    let sample = whole.samples[0];
    for (sample, why) in [
        (Sample { wake: waker(Some(SampleIdx::new(0))), ..sample }, "sample 0: its waker's sleep is no earlier sample"),
        (Sample { probability: 0.0, ..sample }, "sample 0: 0 is no probability"),
        (Sample { probability: f64::NAN, ..sample }, "sample 0: NaN is no probability"),
        (Sample { stack: Some(StackId::new(1)), ..sample }, "sample 0: stack 1 does not exist"),
        (Sample { labels: Some(LabelSetId::new(0)), ..sample }, "sample 0: label set 0 does not exist"),
    ] {
        let (_parent, dir) = written(&Recording { samples: vec![sample], ..whole.clone() });
        let error = read(&dir).expect_err(why).to_string();
        assert!(error.contains("samples.parquet is damaged") && error.contains(why), "{error}");
    }
    let (_parent, dir) = written(&whole);
    write_table(&without(&dir, &COUNTERS), &COUNTERS, &[9u32], |columns, _, rows| {
        let text = |text: &'static str| rows.iter().map(move |_| ByteArray::from(text));
        columns.text("metric", text("offcpu.blocked"))?;
        columns.text("scope", text("thread"))?;
        columns.optional_u32("cpu", rows.iter().map(|_| None))?;
        columns.optional_text("cgroup", rows.iter().map(|_| None))?;
        for column in ["thread_id", "pid", "tid"] {
            columns.optional_u32(column, rows.iter().map(|row| Some(*row)))?;
        }
        columns.optional_text("comm", rows.iter().map(|_| None))?;
        columns.amount("count", rows.iter().map(|_| 1))?;
        columns.amount("sum", rows.iter().map(|_| 1))
    })
    .expect("a table");
    vouch(&dir);
    let error = read(&dir).expect_err("a counter of thread 9").to_string();
    assert!(error.contains("counters.parquet is damaged: thread 9 does not exist"), "{error}");
}

/// Metrics say what values mean: each table names those of `meta.json`.
#[test]
fn a_metric_that_is_not_declared_is_damage() {
    for (table, rows) in [("samples.parquet", 0), ("counters.parquet", 1), ("histograms.parquet", 2)] {
        let mut recording = smallest();
        let counts = {
            let mut counts = empty_counts(1);
            counts.record(5).expect("any value");
            counts
        };
        recording.histograms.push(Histogram { metric: MetricId(2), scope: Scope::Host, counts });
        recording.counters[0].metric = MetricId(1);
        recording.samples[0].metric = MetricId(0);
        let (_parent, dir) = written(&recording);
        let mut meta = meta_json(&dir);
        meta["metrics"][rows]["name"] = "another".into();
        fs::write(dir.join(META_FILE), meta.to_string()).expect("a writable file");
        let error = read(&dir).expect_err(table).to_string();
        assert!(error.contains(&format!("{table} is damaged: column metric holds the unknown word")), "{error}");
    }
}

#[test]
fn metrics_and_probes_that_contradict_each_other_are_damage() {
    for (change, why) in [
        (
            (|meta| meta["metrics"][1]["probe"] = "nobody".into()) as fn(&mut serde_json::Value),
            "`nobody`, which is not there",
        ),
        (|meta| meta["metrics"][1]["name"] = "cpu".into(), "metric `cpu` is there twice"),
        (|meta| meta["probes"][1]["name"] = "cpu".into(), "probe `cpu` is there twice"),
        (|meta| meta["metrics"][1]["unit"] = "bytes".into(), "`offcpu.blocked` is an interval in bytes"),
        (|meta| meta["metrics"][1]["label"] = "".into(), "is empty or longer than 128 bytes"),
        (|meta| meta["probes"][0]["label"] = "x".repeat(129).into(), "is empty or longer than 128 bytes"),
        (
            |meta| {
                let probe = meta["probes"][0].clone();
                let more = (0..64).map(|row| {
                    let mut probe = probe.clone();
                    probe["name"] = format!("p{row}").into();
                    probe
                });
                meta["probes"].as_array_mut().expect("a list").extend(more);
            },
            "66 probes",
        ),
    ] {
        let (_parent, dir) = written(&smallest());
        let mut meta = meta_json(&dir);
        change(&mut meta);
        fs::write(dir.join(META_FILE), meta.to_string()).expect("a writable file");
        let error = read(&dir).expect_err(why).to_string();
        assert!(error.contains("meta.json is damaged") && error.contains(why), "{error}");
    }
}

#[test]
fn rows_of_sets_that_are_out_of_order_are_damage() {
    let texts = |rows: &[(u32, &str)]| rows.iter().map(|(_, text)| ByteArray::from(*text)).collect::<Vec<_>>();
    for (rows, why) in [
        (&[(1, "a")][..], "label set 1 is out of order"),
        (&[(0, "a"), (2, "a")], "label set 2 is out of order"),
        (&[(0, "b"), (0, "a")], "the keys of label set 0 are out of order"),
        (&[(0, "a"), (0, "a")], "the keys of label set 0 are out of order"),
        (&[(0, "a"), (1, "a")], "label set 1 repeats an earlier one"),
    ] {
        let (_parent, dir) = written(&smallest());
        write_table(&without(&dir, &LABELS), &LABELS, rows, |columns, _, rows| {
            columns.u32("label_set_id", rows.iter().map(|(set, _)| *set))?;
            columns.text("key", texts(rows).into_iter())?;
            columns.text("value", rows.iter().map(|_| ByteArray::from("x")))
        })
        .expect("a table");
        vouch(&dir);
        let error = read(&dir).expect_err(why).to_string();
        assert!(error.contains("labels.parquet is damaged") && error.contains(why), "{error}");
    }
    for (rows, why) in [
        (&[(9, 0)][..], "frame 9 does not exist"),
        (&[(0, 1)], "frame 0 at depth 1 is out of order"),
        (&[(0, 0), (0, 2)], "frame 0 at depth 2 is out of order"),
    ] {
        let (_parent, dir) = written(&smallest());
        write_table(&without(&dir, &INLINED), &INLINED, rows, |columns, _, rows| {
            columns.u32("frame_id", rows.iter().map(|(frame, _)| *frame))?;
            columns.u32("depth", rows.iter().map(|(_, depth)| *depth))?;
            columns.text("name", rows.iter().map(|_| ByteArray::from("x")))?;
            columns.optional_text("file", rows.iter().map(|_| None))?;
            columns.optional_u32("line", rows.iter().map(|_| None))
        })
        .expect("a table");
        vouch(&dir);
        let error = read(&dir).expect_err(why).to_string();
        assert!(error.contains("inlined.parquet is damaged") && error.contains(why), "{error}");
    }
}

/// Naming rewrites what it changes: the rest, hashes included, is taken over as it is.
#[test]
fn the_hashes_of_a_recording_are_the_same_before_and_after_it_is_named() {
    let parent = TempDir::new().expect("a temporary directory");
    let dir = parent.path().join("x.quell");
    let destination = Destination::open(&dir).expect("a free name");
    let mut recording = smallest();
    let raw = write_to(&recording, &destination).expect("written");
    let before = fs::read(dir.join("stacks.parquet")).expect("a file");
    for row in 0..recording.frames.rows().len() {
        recording.frames.set_symbol(FrameId::from_index(row), Symbol { name: "found".to_owned(), offset: 0 });
    }
    raw.write_named(&recording, &destination).expect("written");
    assert!(before == fs::read(dir.join("stacks.parquet")).expect("a file"));
    assert_same(&recording, &read(&dir).expect("a whole recording"));
}

#[test]
fn a_recording_of_several_row_groups_reads_back_whole() {
    let mut recording = smallest();
    let sample = recording.samples[0];
    // Times and lengths of which none tells the next: what is too regular for its size is refused.
    let random = |row: u64| row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let samples = (0..300_000).map(|row| Sample { time: Nanos(random(row)), value: random(!row), ..sample });
    recording.samples = samples.collect();
    let (_parent, dir) = written(&recording);
    assert_same(&recording, &read(&dir).expect("a whole recording"));
}

#[test]
fn a_newer_recording_asks_for_an_upgrade() {
    let (_parent, dir) = written(&smallest());
    fs::write(dir.join(META_FILE), r#"{"schema": 99, "quell": "7.0.0", "unheard": "of"}"#).expect("a writable file");
    let error = read(&dir).expect_err("a newer schema").to_string();
    assert!(error.contains("written by quell `7.0.0` in format 99") && error.ends_with("upgrade quell"), "{error}");
}

#[test]
fn a_recording_of_a_quell_that_was_never_released_is_told_from_a_damaged_one() {
    let (_parent, dir) = written(&smallest());
    fs::write(dir.join(META_FILE), r#"{"schema": 1, "quell": "0.0.9"}"#).expect("a writable file");
    let error = read(&dir).expect_err("an older schema").to_string();
    assert!(error.contains("was written in format 1") && error.ends_with("capture again"), "{error}");
}

#[test]
fn an_older_recording_is_replaced_and_nothing_else_is_left() {
    let (parent, dir) = written(&smallest());
    let mut newer = smallest();
    newer.samples.clear();
    write(&newer, &dir).expect("a recording to replace");
    assert_same(&newer, &read(&dir).expect("the newer one"));
    assert_eq!(entries(parent.path()), ["x.quell"]);
}

#[test]
fn a_directory_of_something_else_is_neither_read_nor_replaced() {
    let parent = TempDir::new().expect("a temporary directory");
    let dir = parent.path().join("photos");
    fs::create_dir(&dir).expect("a directory");
    fs::write(dir.join("cat.jpg"), "meow").expect("a file");
    assert!(matches!(write(&smallest(), &dir), Err(RecordingError::Occupied { .. })));
    assert!(matches!(read(&dir), Err(RecordingError::NotARecording { .. })));
    assert!(matches!(read(&parent.path().join("none.quell")), Err(RecordingError::Missing { .. })));
    assert_eq!(entries(parent.path()), ["photos"]);
    assert_eq!(entries(&dir), ["cat.jpg"]);
}

#[test]
fn a_recording_with_something_else_in_it_is_not_replaced() {
    let (parent, dir) = written(&smallest());
    for (name, make) in [
        ("notes.txt", (|path| fs::write(path, "mine").expect("a file")) as fn(&Path)),
        ("more", |path| fs::create_dir(path).expect("a directory")),
    ] {
        make(&dir.join(name));
        let before = entries(&dir);
        let error = write(&smallest(), &dir).expect_err("it is somebody's").to_string();
        assert!(error.contains(name) && error.contains("\nhint: "), "{error}");
        assert_eq!((entries(parent.path()), entries(&dir)), (vec!["x.quell".to_owned()], before));
        let _ = fs::remove_file(dir.join(name)).or_else(|_| fs::remove_dir(dir.join(name)));
    }
    write(&smallest(), &dir).expect("a recording to replace");
    // What is put there meanwhile is kept as well.
    let destination = Destination::open(&dir).expect("a recording to replace");
    fs::write(dir.join("notes.txt"), "mine").expect("a file");
    let error = write_to(&smallest(), &destination).expect("written").in_place(&destination).expect_err("elsewhere");
    let RecordingError::Kept { kept, .. } = &error else { panic!("{error}") };
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert_same(&smallest(), &read(kept).expect("the new one"));
    assert_same(&smallest(), &read(&dir).expect("the older one"));
    assert_eq!(entries(parent.path()).len(), 2);
}

#[test]
fn a_recording_is_not_replaced_where_others_can_have_moved_it() {
    let (parent, dir) = written(&smallest());
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o777)).expect("chmod");
    // Where it was written it is the one that is meant; under another name it may not be.
    write(&smallest(), &dir).expect("replaced");
    let elsewhere = parent.path().join("z.quell");
    fs::rename(&dir, &elsewhere).expect("moved");
    let error = write(&smallest(), &elsewhere).expect_err("a recording that others may mean").to_string();
    assert!(error.contains("others may have moved it there") && error.contains("\nhint: "), "{error}");
    fs::rename(&elsewhere, &dir).expect("moved back");
    // One that is moved there meanwhile, before it is named and afterwards.
    let destination = Destination::open(&parent.path().join("y.quell")).expect("a free name");
    fs::rename(&dir, parent.path().join("y.quell")).expect("moved");
    let unnamed = write_to(&smallest(), &destination).expect("written");
    let named = unnamed.write_named(&smallest(), &destination).expect("written");
    let Err(RecordingError::Kept { kept, .. }) = named.in_place(&destination) else { panic!("not kept") };
    assert_same(&smallest(), &read(&kept).expect("the new one"));
    assert_same(&smallest(), &read(&parent.path().join("y.quell")).expect("the older one"));
    assert_eq!(entries(parent.path()).len(), 2);
    // The sticky bit keeps directories in their place.
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o1777)).expect("chmod");
    write(&smallest(), &parent.path().join("y.quell")).expect("a recording to replace");
    assert_eq!(entries(parent.path()).len(), 2);
}

#[test]
fn a_recording_that_cannot_be_written_leaves_nothing_behind() {
    let parent = TempDir::new().expect("a temporary directory");
    let dir = parent.path().join("x.quell");
    let destination = Destination::open(&dir).expect("a free name");
    let staging = replace::Staging::new(&destination).expect("a directory");
    let mut file = staging.directory().create_file(OsStr::new("samples.parquet")).expect("a file");
    file.write_all(b"half").expect("written");
    assert_eq!(entries(parent.path()).len(), 1);
    drop(staging);
    assert!(entries(parent.path()).is_empty());
}

#[test]
fn a_recording_in_a_missing_directory_is_an_error_that_names_it() {
    let error = write(&smallest(), Path::new("/nonexistent/x.quell")).expect_err("no such directory").to_string();
    assert!(error.contains("/nonexistent") && error.contains("No such file"), "{error}");
}
