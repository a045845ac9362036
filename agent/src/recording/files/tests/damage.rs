//! Damaged recordings.

use std::fs;

use parquet::data_type::ByteArray;

use super::super::table_write::write_table;
use super::super::tables::counters::COUNTERS;
use super::super::tables::frames::INLINED;
use super::super::tables::labels::LABELS;
use super::super::tables::stacks::STACKS;
use super::super::tables::threads::THREADS;
use super::super::{META_FILE, read};
use super::{TABLES, meta_json, smallest, vouch, without, written};
use crate::recording::{
    Histogram, LabelSetId, MetricId, Recording, RecordingError, Sample, SampleIdx, Scope, Slice, StackId, ThreadIdx,
    Wake, empty_counts,
};
use crate::units::Nanos;

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
            // Some bytes do not affect the result, so the test only checks that `read` returns.
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
        columns.text("comm", rows.iter().map(|_| ByteArray::from("x")))?;
        columns.u32("incarnation", rows.iter().map(|_| 0))
    })
    .expect("a table");
    vouch(&dir);
    let error = read(&dir).expect_err("no thread 0").to_string();
    assert!(error.contains("threads.parquet is damaged: row 0 has the thread_id 1"), "{error}");
}

/// Rows of [`smallest`] that refer to missing rows.
#[test]
fn a_row_that_names_what_is_not_there_is_damage() {
    let whole = smallest();
    let waker = |waker_sleep| Some(Wake { waker: ThreadIdx::new(0), stack: None, waker_sleep });
    let sample = whole.samples[0];
    for (sample, why) in [
        (
            Sample { wake: waker(Some(SampleIdx::new(0))), ..sample },
            "sample 0: the sleep of its waker is not an earlier sample",
        ),
        (Sample { probability: 0.0, ..sample }, "sample 0: 0 is not a valid probability"),
        (Sample { probability: f64::NAN, ..sample }, "sample 0: NaN is not a valid probability"),
        (Sample { stack: Some(StackId::new(1)), ..sample }, "sample 0: stack 1 does not exist"),
        (Sample { labels: Some(LabelSetId::new(0)), ..sample }, "sample 0: label set 0 does not exist"),
    ] {
        let (_parent, dir) = written(&Recording { samples: vec![sample], ..whole.clone() });
        let error = read(&dir).expect_err(why).to_string();
        assert!(error.contains("samples.parquet is damaged") && error.contains(why), "{error}");
    }
    let error = of_total(9, (None, None)).expect_err("a counter of thread 9").to_string();
    assert!(error.contains("counters.parquet is damaged: thread 9 does not exist"), "{error}");
}

/// [`smallest`] with one total of a thread that was counted between two times.
fn of_total(thread: u32, (begin, end): (Option<u64>, Option<u64>)) -> Result<Recording, RecordingError> {
    let (_parent, dir) = written(&smallest());
    write_table(&without(&dir, &COUNTERS), &COUNTERS, &[thread], |columns, _, rows| {
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
        columns.amount("sum", rows.iter().map(|_| 1))?;
        columns.optional_amount("begin_ns", rows.iter().map(|_| begin))?;
        columns.optional_amount("end_ns", rows.iter().map(|_| end))
    })
    .expect("a table");
    vouch(&dir);
    read(&dir)
}

#[test]
fn a_slice_has_two_ends_in_order_and_lies_within_the_capture() {
    for (times, why) in [
        ((Some(3), None), "only one of begin_ns and end_ns"),
        ((None, Some(3)), "only one of begin_ns and end_ns"),
        ((Some(4), Some(3)), "ends at 3 ns, before it begins at 4 ns"),
    ] {
        let error = of_total(0, times).expect_err(why).to_string();
        assert!(error.contains("counters.parquet is damaged") && error.contains(why), "{error}");
    }
    let slice = |times| of_total(0, times).expect("a recording").counters[0].slice;
    let second = Nanos::SECOND;
    assert_eq!(slice((None, None)), None);
    assert_eq!(slice((Some(7), Some(u64::MAX))), Some(Slice { begin: Nanos(7), end: second }));
    assert_eq!(slice((Some(u64::MAX), Some(u64::MAX))), Some(Slice { begin: second, end: second }));
}

/// Metrics define the meaning of values, so tables may only refer to metrics in `meta.json`.
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
            "the unknown probe `nobody`",
        ),
        (|meta| meta["metrics"][1]["name"] = "cpu".into(), "metric `cpu` is duplicate"),
        (|meta| meta["probes"][1]["name"] = "cpu".into(), "probe `cpu` is duplicate"),
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
    assert!(error.contains("has format 1") && error.ends_with("record again"), "{error}");
}
