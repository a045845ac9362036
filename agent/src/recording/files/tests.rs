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
use super::schema::{COUNTERS, FRAMES, SAMPLES, STACKS, THREADS, Table};
use super::table_write::write_table;
use super::*;
use crate::file::Directory;
use crate::profile::{
    Frame, FrameTable, Location, Meta, Module, ModuleId, ModuleTable, OffCpu, Reason, Recording, Sample, SampleKind,
    StackId, StackTable, Symbol, Thread, ThreadIdx, ThreadTable, ThreadTotals, Wake,
};
use crate::units::{Addr, CpuId, Nanos, Pid, Tid};

pub(super) const TABLES: [&Table; 5] = [&SAMPLES, &STACKS, &FRAMES, &THREADS, &COUNTERS];

fn nanos() -> impl Strategy<Value = Nanos> {
    (0..=i64::MAX as u64).prop_map(Nanos)
}

fn location() -> impl Strategy<Value = Location> {
    prop_oneof![
        any::<u64>().prop_map(|addr| Location::Kernel(Addr(addr))),
        (0u32..3, any::<u64>()).prop_map(|(module, offset)| Location::Module { module: ModuleId(module), offset }),
        any::<(u32, u64)>().prop_map(|(pid, addr)| Location::Unmapped { pid: Pid(pid), addr: Addr(addr) }),
        "\\PC{0,12}".prop_map(Location::NamedLabel),
    ]
}

fn off_cpu() -> impl Strategy<Value = OffCpu> {
    let wake = proptest::option::of(any::<(Index, Option<Index>, Option<Index>)>());
    (0usize..3, 1u32.., nanos(), any::<bool>(), wake).prop_map(|(reason, odds, runqueue, still, wake)| OffCpu {
        reason: Reason::ALL[reason],
        probability: f64::from(odds) / f64::from(u32::MAX),
        runqueue,
        still,
        // Raw numbers for now: `recording` brings them into range.
        wake: wake.map(|(waker, stack, sleep)| Wake {
            waker: ThreadIdx(waker.index(1 << 30) as u32),
            stack: stack.map(|stack| StackId(stack.index(1 << 30) as u32)),
            waker_sleep: sleep.map(|sleep| sleep.index(1 << 30) as u32),
        }),
    })
}

prop_compose! {
    fn recording()(
        threads in prop::collection::vec(("\\PC{1,15}", any::<(u32, u32)>()), 1..4),
        modules in prop::collection::vec(("/[a-z]{1,9}", proptest::option::of("[0-9a-f]{40}")), 3),
        frames in prop::collection::vec((location(), proptest::option::of(("\\PC{0,20}", any::<u64>()))), 1..8),
        stacks in prop::collection::vec(any::<(Option<Index>, Index)>(), 1..12),
        samples in prop::collection::vec(
            (nanos(), nanos(), any::<(u32, Index, Option<Index>)>(), proptest::option::of(off_cpu())), 0..20),
        totals in prop::collection::vec((any::<Index>(), [nanos(), nanos(), nanos()], [0..9u64, 0..9, 0..9]), 0..4),
    ) -> Recording {
        let mut thread_table = ThreadTable::default();
        for (comm, (pid, tid)) in threads {
            thread_table.push(Thread { pid: Pid(pid), tid: Tid(tid), comm });
        }
        let thread = |index: &Index| ThreadIdx(index.index(thread_table.rows().len()) as u32);
        let mut module_table = ModuleTable::default();
        for (path, build_id) in modules {
            module_table.push(Module { path: PathBuf::from(path), build_id });
        }
        let mut frame_table = FrameTable::default();
        for (location, symbol) in frames {
            let symbol = symbol.map(|(name, offset)| Symbol { name, offset });
            let symbol = symbol.filter(|_| !matches!(location, Location::NamedLabel(_)));
            frame_table.push(Frame { location, symbol });
        }
        let mut stack_table = StackTable::default();
        for (parent, frame) in stacks {
            let parent = parent.filter(|_| !stack_table.rows().is_empty());
            let parent = parent.map(|parent| StackId(parent.index(stack_table.rows().len()) as u32));
            let frame = crate::profile::FrameId(frame.index(frame_table.rows().len()) as u32);
            stack_table.intern(parent, frame);
        }
        let stack_count = stack_table.rows().len() as u32;
        let samples = (0u32..).zip(samples).map(|(row, (time, value, (cpu, who, stack), off))| Sample {
            time,
            cpu: CpuId(cpu),
            thread: thread(&who),
            stack: stack.map(|stack| StackId(stack.index(stack_count as usize) as u32)),
            value,
            kind: match off {
                None => SampleKind::OnCpu,
                Some(mut off) => {
                    off.wake = off.wake.map(|wake| Wake {
                        waker: ThreadIdx(wake.waker.0 % thread_table.rows().len() as u32),
                        stack: wake.stack.map(|stack| StackId(stack.0 % stack_count)),
                        waker_sleep: wake.waker_sleep.and_then(|sleep| sleep.checked_rem(row)),
                    });
                    SampleKind::OffCpu(off)
                }
            },
        });
        let samples = samples.collect();
        let totals = totals.iter().map(|(who, time, count)| ThreadTotals { thread: thread(who), count: *count, time: *time });
        let totals = totals.collect();
        Recording {
            meta: Meta::example(),
            modules: module_table,
            frames: frame_table,
            stacks: stack_table,
            threads: thread_table,
            samples,
            totals,
        }
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
        assert_eq!(one.symbol, other.symbol);
        match (&one.location, &other.location) {
            (Location::Module { offset: one, .. }, Location::Module { offset: other, .. }) => assert_eq!(one, other),
            (one, other) => assert_eq!(one, other),
        }
    }
    assert_eq!(left.stacks.rows(), right.stacks.rows());
    assert_eq!(left.threads.rows(), right.threads.rows());
    assert_eq!(left.samples, right.samples);
    assert_eq!(left.totals, right.totals);
}

/// One thread, one stack, one sample: what a single wrong row is set against.
pub(super) fn smallest() -> Recording {
    let mut frames = FrameTable::default();
    let mut stacks = StackTable::default();
    let mut threads = ThreadTable::default();
    let frame = frames.intern(Location::Kernel(Addr(16)));
    let stack = stacks.intern(None, frame);
    let thread = threads.push(Thread { pid: Pid(1), tid: Tid(2), comm: "worker".to_owned() });
    let sample =
        Sample { time: Nanos(5), cpu: CpuId(0), thread, stack: Some(stack), value: Nanos(7), kind: SampleKind::OnCpu };
    Recording {
        meta: Meta::example(),
        modules: ModuleTable::default(),
        frames,
        stacks,
        threads,
        samples: vec![sample],
        totals: vec![ThreadTotals { thread, count: [1, 0, 0], time: [Nanos(3), Nanos(0), Nanos(0)] }],
    }
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
        recording in recording(), table in 0usize..6, at in any::<Index>(), change in proptest::option::of(1u8..),
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
        prop_assert!(table == 5 || matches!(read, Err(RecordingError::Damaged { .. })), "{read:?}");
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
        for column in ["thread_id", "pid", "tid"] {
            columns.u32(column, rows.iter().copied())?;
        }
        columns.text("comm", rows.iter().map(|_| ByteArray::from("x")))
    })
    .expect("a table");
    vouch(&dir);
    let error = read(&dir).expect_err("no thread 0").to_string();
    assert!(error.contains("threads.parquet is damaged: row 0 has the thread_id 1"), "{error}");
}

#[test]
fn a_counter_of_no_thread_is_damage() {
    let (_parent, dir) = written(&smallest());
    write_table(&without(&dir, &COUNTERS), &COUNTERS, &[9u32], |columns, _, rows| {
        for column in ["thread_id", "pid", "tid"] {
            columns.u32(column, rows.iter().copied())?;
        }
        columns.text("comm", rows.iter().map(|_| ByteArray::from("x")))?;
        columns.text("name", rows.iter().map(|_| ByteArray::from("offcpu.blocked.count")))?;
        columns.amount("value", rows.iter().map(|_| 1))
    })
    .expect("a table");
    vouch(&dir);
    let error = read(&dir).expect_err("a counter of thread 9").to_string();
    assert!(error.contains("counters.parquet is damaged: thread 9 does not exist"), "{error}");
}

/// Samples of [`smallest`] that name what is not there.
#[test]
fn a_sample_that_names_what_is_not_there_is_damage() {
    let whole = smallest();
    let off_cpu = |probability, waker_sleep| {
        let wake = Some(Wake { waker: ThreadIdx(0), stack: None, waker_sleep });
        let runqueue = Nanos(0);
        SampleKind::OffCpu(OffCpu { reason: Reason::Blocked, probability, runqueue, still: false, wake })
    };
    let sample = whole.samples[0];
    for (sample, why) in [
        (Sample { stack: Some(StackId(1)), ..sample }, "sample 0: stack 1 does not exist"),
        (Sample { kind: off_cpu(1.0, Some(0)), ..sample }, "sample 0: its waker's sleep is no earlier sample"),
        (Sample { kind: off_cpu(0.0, None), ..sample }, "sample 0: 0 is no probability"),
        (Sample { kind: off_cpu(f64::NAN, None), ..sample }, "sample 0: NaN is no probability"),
    ] {
        let (_parent, dir) = written(&Recording { samples: vec![sample], ..whole.clone() });
        let error = read(&dir).expect_err(why).to_string();
        assert!(error.contains("samples.parquet is damaged") && error.contains(why), "{error}");
    }
}

#[test]
fn a_recording_of_several_row_groups_reads_back_whole() {
    let mut recording = smallest();
    let sample = recording.samples[0];
    // Times and lengths of which none tells the next: what is too regular for its size is refused.
    let random = |row: u64| row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let samples = (0..300_000).map(|row| Sample { time: Nanos(random(row)), value: Nanos(random(!row)), ..sample });
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
