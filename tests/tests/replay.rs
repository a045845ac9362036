//! The committed recording, read without privileges and without a kernel, and drawn in every format of text.

use quell::pattern::Pattern;
use quell::profile::{Profile, Selection, build};
use quell::{recording, report};
use quell_tests::small;

fn profile(selection: &Selection) -> Profile {
    build(&recording::read(&small::path()).expect("the committed recording"), selection)
}

fn drawn(format: &str, profile: &Profile) -> String {
    let mut out = Vec::new();
    let format = report::by_name(format).expect("a known format");
    format.sink.write(profile, &mut out).expect("a profile that every format has a form for");
    String::from_utf8(out).expect("a format of text")
}

#[test]
fn the_committed_recording_is_the_one_that_its_generator_makes() {
    let (made, read) = (small::recording(), recording::read(&small::path()).expect("the committed recording"));
    assert_eq!(made.meta, read.meta);
    assert_eq!(made.frames.rows(), read.frames.rows());
    assert_eq!(made.modules.rows(), read.modules.rows());
    assert_eq!(made.stacks.rows(), read.stacks.rows());
    assert_eq!(made.threads.rows(), read.threads.rows());
    assert_eq!(made.samples, read.samples);
    assert_eq!(made.processes.rows(), read.processes.rows());
    assert_eq!(made.labels.rows(), read.labels.rows());
    assert_eq!(made.counters, read.counters);
    assert_eq!(made.histograms, read.histograms);
}

#[test]
fn folded() {
    insta::assert_snapshot!(drawn("folded", &profile(&Selection::default())));
}

#[test]
fn folded_of_one_metric_has_the_same_form() {
    let selection = Selection { probes: vec!["cpu".to_owned()], ..Selection::default() };
    insta::assert_snapshot!(drawn("folded", &profile(&selection)));
}

#[test]
fn svg() {
    let svg = drawn("svg", &profile(&Selection::default()));
    // inferno's style and script are its own affair.
    let head = svg.find("<style").expect("a style");
    let body = svg.find("</script>").expect("a script");
    insta::assert_snapshot!(format!("{}...{}", &svg[..head], &svg[body..]).replace("><", ">\n<"));
}

#[test]
fn speedscope() {
    let json = drawn("speedscope", &profile(&Selection::default()));
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    insta::assert_snapshot!(format!("{json:#}"));
}

#[test]
fn firefox() {
    let json = drawn("firefox", &profile(&Selection::default()));
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    insta::assert_snapshot!(format!("{json:#}"));
}

#[test]
fn a_selection_without_samples_is_an_error_where_there_is_nothing_to_draw() {
    let selection = Selection { comms: vec![Pattern::new("nobody").expect("a pattern")], ..Selection::default() };
    let svg = report::by_name("svg").expect("a known format");
    let error = svg.sink.write(&profile(&selection), &mut Vec::new()).expect_err("no samples").to_string();
    assert!(error.contains("the selection has no samples"), "{error}");
}
