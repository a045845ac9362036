//! Tests that reports do not depend on the names of probes: a probe that exists only in tests is shown in all formats.

use super::{by_name, perfetto, pprof};
use crate::profile::{Profile, Selection, build};
use crate::recording::example::Example;
use crate::recording::{read, write};

fn locks() -> Example {
    let mut example = Example::new();
    example.add_locks();
    example
}

fn profile(probes: &[&str]) -> Profile {
    let probes = probes.iter().map(|probe| (*probe).to_owned()).collect();
    build(&locks().recording, &Selection { probes, ..Selection::default() })
}

fn drawn(format: &str, profile: &Profile) -> Vec<u8> {
    let mut out = Vec::new();
    by_name(format).expect("a format").sink.write(profile, &mut out).expect(format);
    out
}

fn text(format: &str, profile: &Profile) -> String {
    String::from_utf8(drawn(format, profile)).expect("text")
}

#[test]
fn folded_stacks_name_the_probe_the_metric_and_the_unit() {
    assert_eq!(
        text("folded", &profile(&[])).lines().collect::<Vec<_>>(),
        [
            "Locks held;locker;main;lock 500000000",
            "Locks memory [bytes];locker;main;lock 3145728",
            "Locks spins [count];locker;[no stack: counted only] 55",
            "Locks spins [count];locker;main;lock 12345",
            "Locks wait;locker;main;lock;futex_wait_[k] 1500000000",
        ]
    );
    assert_eq!(text("folded", &profile(&["cpu", "offcpu"])), "", "it is selected by its name");
    assert_eq!(text("folded", &profile(&["test.locks"])), text("folded", &profile(&[])));
}

#[test]
fn pprof_has_a_value_for_each_unit() {
    let text = pprof::text(&drawn("pprof", &profile(&[])));
    let types = "samples/count cpu/nanoseconds offcpu/nanoseconds test.locks.nanoseconds/nanoseconds \
                 test.locks.bytes/bytes test.locks.count/count";
    for line in [
        format!("types: {types}").as_str(),
        "default: test.locks.nanoseconds",
        "period: 1 of test.locks.nanoseconds/nanoseconds",
        "[1, 0, 0, 0, 3145728, 0] lock < main < locker [comm=locker pid=9 thread=91 metric=test.locks.memory]",
        "[1, 0, 0, 0, 0, 12345] lock < main < locker [comm=locker pid=9 thread=91 metric=test.locks.spins]",
    ] {
        assert!(text.lines().any(|one| one == line), "no `{line}` in {text}");
    }
}

#[test]
fn speedscope_has_a_profile_for_each_unit() {
    let file: serde_json::Value = serde_json::from_slice(&drawn("speedscope", &profile(&[]))).expect("JSON");
    let of =
        |profile: &serde_json::Value| [profile["name"].clone(), profile["unit"].clone(), profile["endValue"].clone()];
    let profiles: Vec<_> = file["profiles"].as_array().expect("profiles").iter().map(of).collect();
    assert_eq!(
        serde_json::json!(profiles),
        serde_json::json!([
            ["Locks (nanoseconds)", "nanoseconds", 2_000_000_000],
            ["Locks (bytes)", "bytes", 3 << 20],
            ["Locks (count)", "none", 12_400],
        ])
    );
}

#[test]
fn timelines_have_an_event_for_each_sample() {
    let file: serde_json::Value = serde_json::from_slice(&drawn("firefox", &profile(&[]))).expect("JSON");
    let (strings, markers) = (&file["shared"]["stringArray"], &file["threads"][0]["markers"]);
    let rows = markers["name"].as_array().expect("names").iter().zip(markers["data"].as_array().expect("data"));
    let events: Vec<_> = rows
        .map(|(name, data)| serde_json::json!([strings[name.as_u64().expect("a row") as usize], data["estimate"]]))
        .collect();
    // Times are in milliseconds. What was only counted has no place on a timeline.
    assert_eq!(
        serde_json::json!(events),
        serde_json::json!([
            ["Locks wait", 1500.0],
            ["Locks memory", 3_145_728.0],
            ["Locks spins", 12_345.0],
            ["Locks held", 500.0]
        ])
    );
    let trace = perfetto::tests::text(&drawn("perfetto", &profile(&[])));
    for event in [
        "begin on 4 `Locks wait` [test.locks.wait] CPU=0 stands for nanoseconds=1500000000 stands for intervals=1",
        "instant on 5 `Locks memory` [test.locks.memory] CPU=0 stands for bytes=3145728 weight 3145728",
    ] {
        assert!(trace.contains(event), "no `{event}` in {trace}");
    }
}

#[test]
fn the_picture_is_of_one_unit_and_names_those_that_it_leaves_out() {
    let picture = text("svg", &profile(&[]));
    assert!(picture.contains("example: Locks (nanoseconds), 1.00 s"), "{picture}");
    assert!(picture.contains("Locks (bytes) has another unit and is not included"), "{picture}");
    assert!(picture.contains("Locks wait") && !picture.contains("Locks memory"), "{picture}");
}

/// A recording that is read back results in the same reports, as with the probes of quell.
#[test]
fn a_recording_keeps_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("x.quell");
    write(&locks().recording, &dir).expect("written");
    let again = build(&read(&dir).expect("a whole recording"), &Selection::default());
    for format in ["folded", "speedscope", "firefox", "perfetto", "html"] {
        assert!(drawn(format, &again) == drawn(format, &profile(&[])), "{format}");
    }
    assert_eq!(again.histograms.len(), 3);
}
