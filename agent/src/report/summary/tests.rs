//! Tests of the text summary.

use super::*;
use crate::profile::{IdleThreads, Roots, Selection, Window, build};
use crate::recording::example::{BLOCKED, CPU, Example, IO_WAIT, PREEMPTED};
use crate::recording::{Frame, Location, Losses, ProbeCost, Sample, ScaleChange, Scope, Target, ThreadIdx};
use crate::units::{Bytes, CpuId, Nanos, Pid};

const MILLIS: u64 = 1_000_000;

fn drawn(profile: &Profile) -> String {
    let mut out = Vec::new();
    summary(profile, Width::Columns(100), Style::Plain, &mut out).expect("memory takes everything");
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
    meta.steal = [(CpuId(0), 0.0004), (CpuId(1), 0.031)].into();
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
    let begin = "budget    1.00 % for the probes";
    assert_eq!(governor(90_000, false), format!("{begin}, met: 0.90 %"));
    assert_eq!(governor(100_040, false), format!("{begin}, met: 1.00 %"));
    assert_eq!(governor(102_000, false), format!("{begin}, exceeded: 1.02 %"));
    let exceeded = "(counting alone exceeded it)";
    assert_eq!(governor(102_000, true), format!("{begin}, exceeded: 1.02 % {exceeded}"));
    assert_eq!(governor(90_000, true), format!("{begin}, met: 0.90 % {exceeded}"));
}

#[test]
fn the_cost_of_a_capture_takes_two_lines_however_often_the_rates_changed() {
    let mut example = busy_server();
    let meta = &mut example.recording.meta;
    meta.cost.agent_cpu = Nanos(12_340 * MILLIS);
    (meta.cost.map_memory, meta.cost.agent_memory) = (Bytes(4 << 30), Bytes(900 << 20));
    let program = |number| ProbeCost {
        probe: "offcpu".to_owned(),
        mechanism: format!("tp_btf program_{number}"),
        events: 102_000,
        nanos_per_event: Some(10.0),
    };
    meta.cost.probes = (0..10).map(program).collect();
    meta.governing.budget = Some(0.01);
    meta.governing.over_budget = true;
    let change = |number: u64| ScaleChange {
        time: Nanos(number * MILLIS),
        probe: "offcpu".to_owned(),
        scale: 1.0 / (number % 20 + 1) as f64,
    };
    meta.governing.changes = (0..40).map(change).collect();
    let text = text(&example);
    let lines: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("cost ")).collect();
    let budget = "budget    1.00 % for the probes, exceeded: 1.02 % (counting alone exceeded it); rate down to 1/20";
    assert_eq!(lines[1..], [budget], "{text}");
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
fn counted_totals_of_a_part_are_those_of_its_slices_with_a_bound_of_their_error() {
    let mut example = Example::new();
    let worker = Scope::Thread(example.thread(1, 1, "worker"));
    example.sliced_counter(BLOCKED, worker.clone(), (0, 500), (4, 200 * MILLIS));
    example.sliced_counter(BLOCKED, worker.clone(), (500, 1_000), (6, 300 * MILLIS));
    example.sliced_counter(PREEMPTED, worker, (0, 400), (1, 400 * MILLIS));
    let counted = |since, until| {
        let window = Window { since: Some(Nanos(since * MILLIS)), until: Some(Nanos(until * MILLIS)) };
        let text = drawn(&build(&example.recording, &Selection { window, ..Selection::default() }));
        let (_, exact) = text.split_once("\ncounted ").expect("counted totals");
        exact.split("\n\n").next().expect("text").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let of = "(in the selected part; only intervals that ended during the capture, of the selected threads)";
    assert_eq!(
        counted(0, 500),
        format!("blocked 200 ms (4 intervals ended), preempted 400 ms (1 interval ended) {of}")
    );
    assert_eq!(counted(500, 1_000), format!("blocked 300 ms (6 intervals ended) {of}"));
    assert_eq!(
        counted(100, 500),
        format!("blocked 160 ms (to within 60.0 ms, 4 intervals ended), preempted 300 ms (1 interval ended) {of}")
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
    for said in ["in 1 sample of 1 thread\n", "1 stack cut at 127 frames (", "2 samples lost", "in 1 interval (in the"]
    {
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

/// A server with a lock and a disk, and three threads without work.
fn mostly_idle() -> Example {
    let mut example = Example::new();
    let [server, disk] = [(7, "server"), (8, "disk")].map(|(tid, name)| example.thread(7, tid, name));
    sample(&mut example, CPU, server, "app main serve", 400);
    sample(&mut example, BLOCKED, server, "app main lock kernel:futex_wait", 300);
    sample(&mut example, IO_WAIT, disk, "app flush kernel:folio_wait_bit_common", 1_000);
    for (tid, path) in
        [(21, "app pool kernel:futex_wait_queue"), (22, "app pool kernel:ep_poll"), (23, "app kernel:do_poll")]
    {
        let thread = example.thread(20, tid, "pool");
        sample(&mut example, BLOCKED, thread, path, 1_000);
        example.recording.samples.last_mut().expect("a sample").ongoing = true;
    }
    example
}

#[test]
fn idle_threads_are_in_one_line_and_are_listed_if_asked_for() {
    let example = mostly_idle();
    let folded = text(&example);
    let lines: Vec<&str> = folded.lines().collect();
    let first = lines.iter().position(|line| *line == "Off-CPU: 4.30 s of 5 threads").expect("all time");
    assert!(lines[first + 2].contains("folio_wait_bit_common") && lines[first + 3].contains("futex_wait"), "{folded}");
    assert_eq!(lines[first + 4], "   3.00 s  counted          3  idle threads (report --idle lists them)", "{folded}");
    let selection = Selection { idle: IdleThreads::Listed, ..Selection::default() };
    let listed = drawn(&build(&example.recording, &selection));
    assert!(
        listed.contains("Off-CPU: 4.30 s of 5 threads") && listed.contains("ep_poll") && !listed.contains("idle"),
        "{listed}"
    );
}

#[test]
fn json_has_idle_threads_apart_from_waits_unless_they_are_listed() {
    let example = mostly_idle();
    let off_cpu = |idle| {
        let mut out = Vec::new();
        let selection = Selection { idle, ..Selection::default() };
        summary_json(&build(&example.recording, &selection), &mut out).expect("memory");
        let mut json: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        json["series"].as_array_mut().and_then(Vec::pop).expect("a series")
    };
    let folded = off_cpu(IdleThreads::Folded);
    assert_eq!(folded["idle"], serde_json::json!({ "threads": 3, "value": 3e9, "std_error": 0.0 }), "{folded}");
    assert_eq!(folded["waits"].as_array().map(Vec::len), Some(2), "{folded}");
    let listed = off_cpu(IdleThreads::Listed);
    assert!(listed["idle"].is_null() && listed["waits"].as_array().map(Vec::len) == Some(5), "{listed}");
}

#[test]
fn threads_of_a_pool_are_one_row_with_their_number() {
    let mut example = Example::new();
    for tid in 1..=12 {
        let thread = example.thread(7, tid, &format!("a-worker-{tid}"));
        sample(&mut example, BLOCKED, thread, "app main lock kernel:futex_wait", 10);
    }
    let pools = text(&example);
    assert!(pools.contains("   120 ms  counted         12  a-worker-*  blocked  lock > futex_wait\n"), "{pools}");
    let apart = drawn(&build(&example.recording, &Selection { roots: Roots::Names, ..Selection::default() }));
    assert!(apart.contains("a-worker-1 "), "{apart}");
    assert!(!apart.contains("a-worker-*"), "{apart}");
}

#[test]
fn the_processes_of_a_capture_are_listed_if_there_are_several() {
    let mut example = mostly_idle();
    let [worker, other] = [(31, "redis-1"), (32, "redis-2")].map(|(tid, name)| example.thread(30, tid, name));
    sample(&mut example, CPU, worker, "redis main", 100);
    sample(&mut example, BLOCKED, other, "redis main kernel:pipe_read", 20);
    let processes = &mut example.recording.processes;
    let redis = processes.find(Pid(30)).expect("a process");
    let redis = processes.get_mut(redis);
    redis.executable = Some("/usr/bin/redis-server".into());
    redis.container = Some("0123456789abcdef".repeat(4));
    (redis.user, redis.user_name) = (Some(112), Some("redis".to_owned()));
    let server = processes.find(Pid(7)).expect("a process");
    processes.get_mut(server).user = Some(1_000);
    let text = text(&example);
    let (_, table) = text.split_once("Processes").expect("a table");
    insta::assert_snapshot!(format!("Processes{}", table.split_once("\n\n").expect("an end").0));
}

#[test]
fn the_table_of_processes_fits_whatever_their_names() {
    let mut example = Example::new();
    for pid in [4_194_303, 4_194_304] {
        let thread = example.thread(pid, pid, "fifteen-letters");
        sample(&mut example, CPU, thread, "app main", 10);
        sample(&mut example, BLOCKED, thread, "app main kernel:do_lock", 10);
        let process = example.recording.processes.find(Pid(pid)).expect("a process");
        let process = example.recording.processes.get_mut(process);
        process.user_name = Some("a-user-with-a-long-name".to_owned());
        process.container = Some("0123456789abcdef".repeat(4));
    }
    for columns in [72, 80, 100] {
        let text = with_width(&example, &Selection::default(), Width::Columns(columns));
        assert!(text.contains("  0123456789ab\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}: {text}");
    }
}

#[test]
fn json_has_the_data_of_the_summary() {
    let mut example = busy_server();
    example.add_locks();
    example.recording.meta.losses = Losses { ring_full: 3, truncated_user_stacks: 7, ..Losses::default() };
    example.recording.meta.symbols.unnamed = [("no symbols in the file".to_owned(), 12)].into();
    example.recording.meta.idle = [(CpuId(0), 0.12)].into();
    example.recording.meta.steal = [(CpuId(0), 0.031)].into();
    let mut out = Vec::new();
    summary_json(&build(&example.recording, &Selection::default()), &mut out).expect("memory");
    let json: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).expect("JSON"));
}

#[test]
fn losses_are_beside_the_figures_that_they_affect_with_what_they_are_a_part_of() {
    let mut example = busy_server();
    example.recording.meta.losses =
        Losses { truncated_user_stacks: 6, deep_stacks: 1, evicted: 2, ..Losses::default() };
    let shown = text(&example);
    let truncated = "6 user stacks that look truncated (100 % of 6)";
    assert!(shown.contains(&format!("\nlost      {truncated}\n          1 stack cut at 127 frames (")), "{shown}");
    assert_eq!(shown.matches(&format!("\nnote      {truncated}\n")).count(), 2, "{shown}");
    assert!(shown.contains("\n          2 processes and files dropped (memory limit)\n"), "{shown}");
    example.recording.meta.losses = Losses { evicted: 2, ..Losses::default() };
    assert!(!text(&example).contains("\nnote "));
}

/// A name in the page: shortened so that it fits, or whole.
fn with_width(example: &Example, selection: &Selection, width: Width) -> String {
    let mut out = Vec::new();
    summary(&build(&example.recording, selection), width, Style::Plain, &mut out).expect("memory");
    String::from_utf8(out).expect("text")
}

#[test]
fn rows_of_long_names_differ_and_are_whole_where_there_is_room() {
    let mut example = Example::new();
    let thread = example.thread(7, 7, "server");
    let long = "std::vector<std::basic_string<char,std::char_traits<char>,std::allocator<char>>>";
    let names = ["push_back", "pop_back"].map(|end| format!("{long}::{end}"));
    for name in &names {
        sample(&mut example, CPU, thread, &format!("app {name}"), 10);
        sample(&mut example, BLOCKED, thread, &format!("app {name} kernel:do_wait"), 10);
    }
    let all = Selection::default();
    for columns in [72, 80, 100, 120] {
        let text = with_width(&example, &all, Width::Columns(columns));
        assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}: {text}");
        for end in ["::push_back", "::pop_back"] {
            assert!(text.contains(end), "{columns}: {text}");
        }
    }
    for width in [Width::Whole, Width::Columns(250)] {
        let text = with_width(&example, &all, width);
        assert!(names.iter().all(|name| text.matches(name.as_str()).count() == 2), "{text}");
    }
}

#[test]
fn thread_ids_are_not_cut_off() {
    let mut example = Example::new();
    for tid in [4_194_303, 4_194_304] {
        let thread = example.thread(7, tid, "fifteen-letters");
        sample(&mut example, BLOCKED, thread, "app main kernel:do_wait", 10);
    }
    let selection = Selection { roots: Roots::Threads, ..Selection::default() };
    for width in [Width::Whole, Width::Columns(72), Width::Columns(100)] {
        let text = with_width(&example, &selection, width);
        for tid in [4_194_303, 4_194_304] {
            assert!(text.contains(&format!("fifteen-letters ({tid})  blocked")), "{text}");
        }
    }
}

#[test]
fn a_time_that_is_the_sum_of_several_threads_says_so() {
    let mut example = Example::new();
    for tid in 1..=4 {
        let thread = example.thread(tid, tid, "bash");
        sample(&mut example, BLOCKED, thread, "app main kernel:rwsem_down_read_slowpath", 990);
    }
    let text = text(&example);
    assert!(text.contains("\nOff-CPU: 3.96 s of 4 threads\n"), "{text}");
    assert!(text.contains("   3.96 s  counted          4  bash    blocked"), "{text}");
}

#[test]
fn only_a_colored_summary_has_escape_sequences() {
    let profile = build(&busy_server().recording, &Selection::default());
    let mut out = Vec::new();
    summary(&profile, Width::Whole, Style::Colored, &mut out).expect("memory");
    let colored = String::from_utf8(out).expect("text");
    assert!(colored.contains("\x1b[1mOn-CPU\x1b[0m: ") && colored.contains("\x1b[1mlost      \x1b[0m"), "{colored}");
    let mut out = Vec::new();
    summary(&profile, Width::Whole, Style::Plain, &mut out).expect("memory");
    assert_eq!(colored.replace("\x1b[1m", "").replace("\x1b[0m", ""), String::from_utf8(out).expect("text"));
}

/// 43 samples of 20 ms in `work`, and one in `rare` that represents 140 ms.
fn one_rare_sample() -> Example {
    let mut example = Example::new();
    let thread = example.thread(7, 7, "server");
    for _ in 0..43 {
        sample(&mut example, CPU, thread, "app main work", 20);
    }
    let stack = example.stack("app main rare rare");
    example.sample(CPU, thread, stack, 1_400_000).probability = 0.01;
    example
}

/// Errors are in percentage points.
#[test]
fn a_share_that_depends_on_one_sample_has_an_error_beside_it() {
    let mut example = one_rare_sample();
    let shown = text(&example);
    let table: Vec<&str> = shown.lines().skip_while(|line| !line.starts_with("On-CPU")).take(5).collect();
    let expected = [
        "On-CPU: 1.00 s ± 192 ms in 44 samples of 1 thread",
        "     self           total         module  function",
        "   86.0 % ± 12.2   86.0 % ± 12.2  app     work",
        "   14.0 % ± 12.2   14.0 % ± 12.2  app     rare",
        "    0.0 %         100.0 %         app     main",
    ];
    assert_eq!(table, expected, "{shown}");
    // No column where no error would be more than 0.0.
    example.recording.samples.pop();
    let shown = text(&example);
    assert!(shown.contains("  100.0 %  100.0 %  app     work"), "{shown}");
}

#[test]
fn json_has_the_errors_of_functions_in_the_unit_of_their_values() {
    let mut out = Vec::new();
    summary_json(&build(&one_rare_sample().recording, &Selection::default()), &mut out).expect("memory");
    let json: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
    let errors = |row: usize| {
        ["self_std_error", "total_std_error"].map(|key| {
            let error = json["series"][0]["functions"][row][key].as_f64().expect("a number");
            (error / 1e6).round()
        })
    };
    assert_eq!([errors(0), errors(1), errors(2)], [[131.0, 131.0], [140.0, 140.0], [0.0, 192.0]], "{json}");
}

#[test]
fn a_long_name_moves_no_column() {
    let mut example = one_rare_sample();
    example.add_locks();
    let thread = example.thread(7, 7, "server");
    let long = "very::long::".repeat(30);
    let place_of = |text: &str, word: &str| {
        let line = text.lines().find(|line| line.ends_with(word)).unwrap_or_else(|| panic!("no {word} in {text}"));
        line.len() - word.len()
    };
    let before = with_width(&example, &Selection::default(), Width::Whole);
    sample(&mut example, CPU, thread, &format!("app main {long}"), 500);
    sample(&mut example, BLOCKED, thread, &format!("app main {long} kernel:do_wait"), 500);
    example.histogram("test.locks.wait", Scope::Cgroup(format!("/{long}")), &[(9, 9)]);
    example.histogram("test.locks.wait", Scope::Cgroup("/".to_owned()), &[(9, 9)]);
    let after = with_width(&example, &Selection::default(), Width::Whole);
    assert!(after.matches(&long).count() == 3, "{after}");
    for word in ["  work", "  rare", "  main", "  scope", "  CPU 0"] {
        assert_eq!(place_of(&after, word), place_of(&before, word), "{word}: {after}");
    }
}

#[test]
fn time_without_a_function_name_is_stated_if_there_is_any() {
    let mut example = busy_server();
    example.recording.meta.symbols.unnamed = [("file stripped".to_owned(), 12)].into();
    assert!(!text(&example).contains("unnamed"), "{}", text(&example));
    let thread = example.thread(7, 7, "server");
    let module = example.module("app");
    let unnamed = example.recording.frames.push(Frame::new(Location::Module { module, offset: 99 }));
    let stack = example.recording.stacks.intern_all([unnamed]).expect("a stack");
    example.sample(CPU, thread, stack, 500 * MILLIS);
    let shown = text(&example);
    let line = "\nunnamed   no function name for 50.0 % of On-CPU and 0 % of Off-CPU (reasons: file stripped)\n";
    assert!(shown.contains(line), "{shown}");
}
