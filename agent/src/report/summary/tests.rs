//! Tests of the text summary.

use super::*;
use crate::profile::{Selection, Window, build};
use crate::recording::example::{BLOCKED, CPU, Example, IO_WAIT, PREEMPTED};
use crate::recording::{Losses, ProbeCost, Sample, ScaleChange, Scope, Target, ThreadIdx};
use crate::units::{Bytes, CpuId, Nanos};

const MILLIS: u64 = 1_000_000;

fn drawn(profile: &Profile) -> String {
    let mut out = Vec::new();
    summary(profile, &mut out).expect("memory takes everything");
    String::from_utf8(out).expect("text")
}

fn text(example: &Example) -> String {
    drawn(&build(&example.recording, &Selection::default()))
}

/// Adds a sample with a stack in the format of [`Example::stack`].
fn sample(example: &mut Example, metric: &str, thread: ThreadIdx, path: &str, millis: u64) {
    let stack = example.stack(path);
    example.sample(metric, thread, stack, millis * MILLIS);
}

fn busy_server() -> Example {
    let mut example = Example::new();
    let [server, writer] = [(7, "server"), (8, "writer")].map(|(tid, name)| example.thread(7, tid, name));
    sample(&mut example, CPU, server, "app main serve compress", 300);
    sample(&mut example, CPU, server, "app main serve compress compress", 100);
    sample(&mut example, CPU, server, "app main serve __write@libc.so.6 kernel:ksys_write", 90);
    let not_walked = Sample::new(example.metric(CPU), writer, Nanos(0), 10 * MILLIS);
    example.recording.samples.push(not_walked);
    let polls = "app main serve __poll@libc.so.6 kernel:do_sys_poll kernel:schedule kernel:__schedule";
    sample(&mut example, BLOCKED, server, polls, 400);
    let stack = example.stack(polls);
    // The estimate is 200 ms.
    example.sample(BLOCKED, server, stack, 160 * MILLIS).probability = 0.8;
    sample(&mut example, IO_WAIT, writer, "app main flush kernel:io_schedule", 120);
    example.counter(BLOCKED, Scope::Thread(server), 4_211, 600 * MILLIS);
    example.counter(PREEMPTED, Scope::Thread(writer), 3, 5 * MILLIS);
    example.counter(IO_WAIT, Scope::Thread(writer), 12, 120 * MILLIS);
    example
}

#[test]
fn a_busy_server() {
    let mut example = busy_server();
    let meta = &mut example.recording.meta;
    meta.idle = [(CpuId(0), 0.12), (CpuId(1), 0.4)].into();
    meta.cost.cpu_share = 0.0083;
    meta.cost.agent_cpu = Nanos(3_100_000);
    meta.cost.map_memory = Bytes(4 << 20);
    meta.cost.agent_memory = Bytes(31 << 20);
    meta.cost.probes = vec![
        ProbeCost {
            probe: "cpu".to_owned(),
            mechanism: "perf_event cpu-clock".to_owned(),
            events: 198,
            nanos_per_event: Some(11_240.0),
        },
        ProbeCost {
            probe: "offcpu".to_owned(),
            mechanism: "tp_btf sched_switch".to_owned(),
            events: 90_210,
            nanos_per_event: None,
        },
    ];
    meta.losses = Losses { ring_full: 3, truncated_user_stacks: 17, ..Losses::default() };
    meta.symbols.named = 900;
    meta.symbols.unnamed = [("no symbols in the file".to_owned(), 12)].into();
    meta.governing.budget = Some(0.01);
    meta.governing.changes = vec![ScaleChange { time: Nanos(250_000_000), probe: "offcpu".to_owned(), scale: 0.125 }];
    meta.remarks = vec!["cpu: no hardware cycle counter, a timer samples instead".to_owned()];
    insta::assert_snapshot!(text(&example));
}

#[test]
fn a_budget_that_was_exceeded_slightly_is_reported() {
    let mut example = busy_server();
    let meta = &mut example.recording.meta;
    meta.governing.budget = Some(0.01);
    let mut governor = |events, over_budget| {
        let meta = &mut example.recording.meta;
        let mechanism = "tp_btf sched_switch".to_owned();
        let nanos_per_event = Some(100.0);
        meta.cost.probes = vec![ProbeCost { probe: "offcpu".to_owned(), mechanism, events, nanos_per_event }];
        meta.governing.over_budget = over_budget;
        let text = text(&example);
        text.lines().find(|line| line.starts_with("budget")).expect("a line").to_owned()
    };
    let begin = "budget    1.00 % of one CPU for the probes";
    assert_eq!(governor(90_000, false), format!("{begin}, met: they cost 0.90 %"));
    assert_eq!(governor(100_040, false), format!("{begin}, met: they cost 1.00 %"));
    assert_eq!(governor(102_000, false), format!("{begin}, exceeded: they cost 1.02 %"));
    let exceeded = "counting alone exceeded it";
    assert_eq!(governor(102_000, true), format!("{begin}, exceeded: they cost 1.02 %; {exceeded}"));
    assert_eq!(governor(90_000, true), format!("{begin}, met: they cost 0.90 %; {exceeded}"));
}

#[test]
fn a_part_of_the_time_does_not_call_itself_the_whole_capture() {
    let example = busy_server();
    let whole = text(&example);
    assert!(!whole.contains("\npart "), "{whole}");
    let millis = |value: u64| Some(Nanos(value * MILLIS));
    let window = Window { since: millis(200), until: millis(500) };
    let text = drawn(&build(&example.recording, &Selection { window, ..Selection::default() }));
    assert!(
        text.contains(
            "\npart      from 200 ms to 500 ms after the start of the capture (intervals are divided at its ends)\n"
        ),
        "{text}"
    );
    let exact = text.split_once("\ncounted ").expect("exact totals").1.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        exact.contains("(in the whole capture, not only in the selected part; only intervals that ended, of"),
        "{exact}"
    );
}

#[test]
fn one_of_a_kind_is_in_the_singular() {
    let mut example = Example::new();
    let thread = example.thread(7, 7, "server");
    sample(&mut example, CPU, thread, "app main", 10);
    sample(&mut example, BLOCKED, thread, "app main", 10);
    example.counter(BLOCKED, Scope::Thread(thread), 1, 5);
    example.recording.meta.losses = Losses { deep_stacks: 1, ring_full: 2, ..Losses::default() };
    let text = text(&example);
    for said in ["in 1 sample\n", "1 stack cut at 127 frames\n", "2 samples lost", "in 1 interval (in the"] {
        assert!(text.contains(said), "no `{said}` in {text}");
    }
}

#[test]
fn nothing_at_all() {
    insta::assert_snapshot!(text(&Example::new()));
}

#[test]
fn no_line_is_wider_than_100_columns_and_no_control_character_gets_out() {
    let mut example = busy_server();
    let long = "very::long::".repeat(30);
    let thread = example.thread(7, 7, "server");
    sample(&mut example, CPU, thread, &format!("app {long} evil\x1b[31m"), 5_000);
    sample(&mut example, BLOCKED, thread, &format!("app {long} kernel:do_wait"), 5_000);
    example.histogram(BLOCKED, Scope::Cgroup(format!("/{long}")), &[(u64::MAX, 1)]);
    example.histogram(BLOCKED, Scope::Cgroup("/\x1b[31m".to_owned()), &[(0, u64::MAX)]);
    example.recording.meta.remarks = vec!["word ".repeat(60)];
    example.recording.meta.target = Target::Command(vec!["sh".to_owned(), "a ".repeat(80)]);
    let text = text(&example);
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert!(text.contains(r"evil\u001b[31m"), "{text}");
    assert!(!text.contains('\x1b'));
}

/// Values of one unit are added by function or by place, and each metric has its distribution, for any probe.
#[test]
fn a_probe_with_several_units_and_distributions() {
    let mut example = Example::new();
    example.add_locks();
    insta::assert_snapshot!(text(&example));
}
