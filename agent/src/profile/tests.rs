//! What the samples of a recording stand for, and how their frames are merged.

use super::build::build_within;
use super::*;
use crate::pattern::Pattern;
use crate::recording::example::{BLOCKED, CPU, Example, IO_WAIT, PREEMPTED};
use crate::recording::{
    InlinedFunction, MetricKind, MetricSpec, ProcessFilter, SampleIdx, Scope, StackId, ThreadIdx, Unit, Wake,
};
use crate::units::{CpuId, Nanos, Pid};

/// One thread with two sleeping places, `read` and `poll`.
fn worker() -> (Example, ThreadIdx, StackId, StackId) {
    let mut example = Example::new();
    let thread = example.thread(1, 1, "worker");
    let [read, poll] = ["read", "poll"].map(|name| example.stack(&format!("app kernel:{name}")));
    (example, thread, read, poll)
}

fn all(example: &Example) -> Profile {
    build(&example.recording, &Selection::default())
}

fn values(profile: &Profile) -> Vec<f64> {
    profile.samples.iter().map(|sample| sample.value).collect()
}

fn names(profile: &Profile, row: usize) -> Vec<&str> {
    let stack = profile.samples[row].stack.expect("a stack");
    profile.functions(stack).map(|frame| frame.name.as_str()).collect()
}

#[test]
fn a_sample_stands_for_its_length_over_its_probability() {
    let (mut example, thread, read, _) = worker();
    example.sample(BLOCKED, thread, read, 100).probability = 0.25;
    let profile = all(&example);
    assert_eq!(profile.samples[0].value, 400.0);
    assert_eq!(profile.samples[0].variance, 0.75 * 400.0 * 400.0);
}

#[test]
fn stacks_that_would_make_too_large_a_tree_are_left_out_and_counted() {
    let (mut example, thread, read, poll) = worker();
    for (stack, value) in [(read, 100), (poll, 50), (poll, 50)] {
        example.sample(BLOCKED, thread, stack, value);
    }
    let profile = build_within(&example.recording, &Selection::default(), 2);
    let leaves = [0, 1, 2].map(|row| names(&profile, row)[0]);
    assert_eq!(leaves, ["read", "[stack omitted]", "[stack omitted]"]);
    assert!(profile.meta.remarks[0].starts_with("2 samples are shown without stacks"));
    assert!(all(&example).meta.remarks.is_empty());
}

#[test]
fn totals_that_overflow_are_as_large_as_can_be() {
    let (mut example, thread, ..) = worker();
    let most = i64::MAX as u64;
    for metric in [BLOCKED, PREEMPTED, IO_WAIT].repeat(5) {
        example.counter(metric, Scope::Thread(thread), u64::MAX, most);
    }
    let profile = all(&example);
    assert_eq!(profile.samples.len(), 3);
    assert!(values(&profile).iter().all(|value| *value >= most as f64));
}

#[test]
fn exact_totals_calibrate_what_was_left_to_chance_and_nothing_else() {
    let (mut example, thread, read, poll) = worker();
    for (stack, value, probability) in [(read, 300, 1.0), (poll, 20, 0.1), (read, 10, 0.1)] {
        example.sample(BLOCKED, thread, stack, value).probability = probability;
    }
    example.counter(BLOCKED, Scope::Thread(thread), 5, 800);
    let values = values(&all(&example));
    assert!((values.iter().sum::<f64>() - 800.0).abs() < 1e-9, "{values:?}");
    assert_eq!(values[0], 300.0, "it is as long as it was measured to be");
    assert!((values[1] / values[2] - 2.0).abs() < 1e-9, "{values:?}");
}

/// A metric of any unit is calibrated, by the counters of threads and by no others.
#[test]
fn counters_of_other_scopes_and_metrics_calibrate_nothing() {
    let (mut example, thread, read, _) = worker();
    let spec = |name, unit| MetricSpec { name, label: name, unit, kind: MetricKind::Instant };
    example.add_probe("heap", "Heap", &[spec("heap.bytes", Unit::Bytes), spec("heap.calls", Unit::Count)]);
    for metric in ["heap.bytes", "heap.calls"] {
        example.sample(metric, thread, read, 16).probability = 0.5;
    }
    example.counter("heap.bytes", Scope::Thread(thread), 9, 100);
    for scope in [Scope::Host, Scope::Cpu(CpuId(0)), Scope::Cgroup("/a".to_owned())] {
        example.counter("heap.calls", scope, 9, 1_000);
    }
    assert_eq!(values(&all(&example)), [100.0, 32.0]);
}

#[test]
fn what_no_sample_stands_for_is_shown_as_such() {
    let (mut example, thread, read, _) = worker();
    example.sample(BLOCKED, thread, read, 300);
    example.counter(BLOCKED, Scope::Thread(thread), 2, 400);
    assert_eq!(values(&all(&example)), [300.0, 100.0]);
    let cpu = Selection { probes: vec!["cpu".to_owned()], ..Selection::default() };
    assert!(build(&example.recording, &cpu).samples.is_empty(), "of another probe");
    let window = Window { since: Some(Nanos(0)), until: None };
    let part = build(&example.recording, &Selection { window, ..Selection::default() });
    assert_eq!(values(&part), [300.0], "nobody knows when it was");
    assert_eq!(
        part.meta.remarks,
        [
            "Off-CPU blocked: 100 ns were counted in the whole capture, but not sampled; their time is unknown, so no time window includes them"
        ]
    );
    assert!(all(&example).meta.remarks.is_empty());
    let cpu = Selection { window, ..cpu };
    assert!(build(&example.recording, &cpu).meta.remarks.is_empty(), "of another probe");
}

fn window_of(since: u64, until: u64) -> Selection {
    Selection { window: Window { since: Some(Nanos(since)), until: Some(Nanos(until)) }, ..Selection::default() }
}

#[test]
fn a_thread_that_sleeps_throughout_sleeps_in_each_window() {
    let (mut example, thread, read, poll) = worker();
    for (stack, time, value) in [(read, 0, 350), (poll, 350, 50)] {
        example.sample(BLOCKED, thread, stack, value * 1_000_000).time = Nanos(time * 1_000_000);
    }
    let sums = [0, 100, 200, 300].map(|millis| {
        let part = build(&example.recording, &window_of(millis * 1_000_000, (millis + 100) * 1_000_000));
        values(&part).iter().sum::<f64>()
    });
    assert_eq!(sums, [100e6; 4]);
}

#[test]
fn the_windows_of_a_partition_add_up_to_the_whole() {
    let (mut example, thread, read, poll) = worker();
    for (metric, stack, time, value, probability) in [
        (BLOCKED, read, 0, 300_000_000, 1.0),
        (BLOCKED, poll, 310_000_000, 1_000, 0.01),
        (BLOCKED, read, 499_000_000, 2_000_000, 0.5),
        (BLOCKED, poll, 600_000_000, 390_000_000, 0.25),
        // What a file says of a time after the capture.
        (IO_WAIT, poll, 990_000_000, 500_000_000, 0.5),
        (IO_WAIT, poll, 2_000_000_000, 500_000_000, 0.5),
        (CPU, read, 500_000_000, 10_000_000, 1.0),
        (CPU, read, 1_000_000_000, 10_000_000, 0.5),
    ] {
        let sample = example.sample(metric, thread, stack, value);
        (sample.time, sample.probability) = (Nanos(time), probability);
    }
    example.counter(BLOCKED, Scope::Thread(thread), 500, 900_000_000);
    // The values and the estimated parts of each metric.
    let sums = |selection: &Selection| {
        let mut sums = [0.0; 8];
        for sample in &build(&example.recording, selection).samples {
            sums[2 * sample.metric.index()] += sample.value;
            sums[2 * sample.metric.index() + 1] += sample.estimated;
        }
        sums
    };
    let whole = sums(&Selection::default());
    for edges in [[0, 500_000_000, 1_000_000_000], [0, 1, 999_999_999], [0, 123_456_789, 600_000_001]] {
        let mut parts: Vec<Selection> = edges.windows(2).map(|pair| window_of(pair[0], pair[1])).collect();
        parts.push(Selection { window: Window { since: Some(Nanos(edges[2])), until: None }, ..Selection::default() });
        let mut added = [0.0; 8];
        for part in &parts {
            added.iter_mut().zip(sums(part)).for_each(|(sum, value)| *sum += value);
        }
        for (sum, all) in added.iter().zip(&whole) {
            assert!((sum - all).abs() <= all * 1e-9, "{edges:?}: {sum} of {all}");
        }
    }
}

#[test]
fn the_part_of_an_interval_has_the_square_of_its_share_of_the_variance() {
    let (mut example, thread, read, _) = worker();
    let sample = example.sample(BLOCKED, thread, read, 400);
    (sample.time, sample.probability) = (Nanos(1_000), 0.5);
    let part = build(&example.recording, &window_of(900, 1_100));
    let sample = &part.samples[0];
    assert_eq!((sample.time, sample.duration), (Nanos(1_000), Nanos(100)));
    assert_eq!((sample.value, sample.estimated), (200.0, 100.0));
    assert_eq!(sample.variance, all(&example).samples[0].variance / 16.0);
}

#[test]
fn a_wakeup_belongs_to_the_window_with_the_end_of_its_interval() {
    let (mut example, thread, read, poll) = worker();
    let other = example.thread(2, 2, "waker");
    example.sample(BLOCKED, other, read, 100);
    let wake = Wake { waker: other, stack: Some(read), waker_sleep: Some(SampleIdx::new(0)) };
    let sample = example.sample(BLOCKED, thread, poll, 400);
    (sample.time, sample.wake) = (Nanos(200), Some(wake));
    let wakes = |since, until| {
        let part = build(&example.recording, &window_of(since, until));
        (values(&part), part.samples.last().and_then(|sample| sample.wake).map(|wake| wake.waker_sleep))
    };
    assert_eq!(wakes(200, 500), (vec![300.0], None), "without the hop, which no chain reaches");
    assert_eq!(wakes(500, 600), (vec![0.0, 100.0], Some(Some(SampleIdx::new(0)))));
    assert_eq!(wakes(600, 700), (vec![], None));
}

#[test]
fn a_window_with_all_samples_of_a_thread_may_not_have_a_missed_interval() {
    let (example, _) = missed_ten_seconds();
    let part = build(&example.recording, &window_of(0, 500_000_000));
    let mut sum = Estimate::default();
    part.samples.iter().for_each(|sample| sum.add(sample));
    assert!(sum.error_of_place(&part.groups) > 9.9e9);
}

#[test]
fn an_error_that_the_exact_total_shows_is_in_the_variance() {
    let (mut example, thread, read, _) = worker();
    // Estimated 20, counted 1010: a long sleep was not sampled.
    example.sample(BLOCKED, thread, read, 10).probability = 0.5;
    example.counter(BLOCKED, Scope::Thread(thread), 5, 1010);
    let profile = all(&example);
    assert_eq!(profile.samples[0].value, 1010.0);
    let error = profile.samples[0].variance.sqrt();
    assert!(error >= 990.0, "{error}");
}

/// The standard error of the samples with these rows.
fn error(profile: &Profile, rows: &[usize]) -> f64 {
    let mut sum = Estimate::default();
    rows.iter().for_each(|row| sum.add(&profile.samples[*row]));
    sum.error(&profile.groups)
}

#[test]
fn all_of_a_thread_is_exact_and_its_division_is_not() {
    let (mut example, thread, read, poll) = worker();
    for (stack, value, probability) in [(read, 20, 0.1), (poll, 10, 0.1), (read, 500, 1.0)] {
        example.sample(BLOCKED, thread, stack, value).probability = probability;
    }
    example.counter(BLOCKED, Scope::Thread(thread), 31, 800);
    let profile = all(&example);
    assert_eq!(error(&profile, &[0, 1, 2]), 0.0);
    assert_eq!(error(&profile, &[2]), 0.0, "it was measured");
    let (read, poll) = (error(&profile, &[0, 2]), error(&profile, &[1]));
    assert!((read - poll).abs() < 1e-6, "what one has too much, the other lacks: {read}, {poll}");
    // Two thirds of the estimated 300 and one third: 0.9 (200^2 / 9 + 100^2 4 / 9).
    assert!((poll - 8_000_f64.sqrt()).abs() < 1e-6, "{poll}");
}

#[test]
fn errors_of_threads_and_metrics_add_up_and_those_that_are_whole_have_none() {
    let (mut example, thread, read, poll) = worker();
    let other = example.thread(1, 2, "other");
    for (metric, thread, stack) in
        [(BLOCKED, thread, read), (IO_WAIT, thread, read), (BLOCKED, other, read), (BLOCKED, other, poll)]
    {
        example.sample(metric, thread, stack, 100).probability = 0.5;
    }
    for (thread, total) in [(thread, 200), (other, 400)] {
        example.counter(BLOCKED, Scope::Thread(thread), 4, total);
    }
    let profile = all(&example);
    let io_wait = error(&profile, &[1]);
    assert_eq!(io_wait, 20_000_f64.sqrt(), "it was not counted");
    assert_eq!(error(&profile, &[0]), 0.0);
    assert_eq!(error(&profile, &[0, 2, 3]), 0.0);
    assert_eq!(error(&profile, &[0, 1, 2, 3]), io_wait);
    assert!(error(&profile, &[0, 2]) > 0.0);
}

#[test]
fn a_place_with_all_samples_of_a_thread_is_exact_unless_they_are_few() {
    let error_of = |samples: usize| {
        let (mut example, thread, read, _) = worker();
        for _ in 0..samples {
            example.sample(BLOCKED, thread, read, 10).probability = 0.01;
        }
        // As many as were estimated: nothing was missed.
        example.counter(BLOCKED, Scope::Thread(thread), 100 * samples as u64, 1_000 * samples as u64);
        let profile = all(&example);
        let mut sum = Estimate::default();
        profile.samples.iter().for_each(|sample| sum.add(sample));
        assert_eq!(sum.error(&profile.groups), 0.0, "the thread is exact");
        sum.error_of_place(&profile.groups)
    };
    assert_eq!(error_of(8), 0.0);
    // The variance of 3 of 5, and of 6 of 8, with 990 and 3,960 estimated.
    assert!((error_of(1) - 990.0 * (0.6_f64 * 0.4 / 5.0).sqrt()).abs() < 1e-6);
    assert!((error_of(4) - 3_960.0 * (0.75_f64 * 0.25 / 8.0).sqrt()).abs() < 1e-6);
}

/// A thread with 1 ms sleeps at one place, and one sleep of 10 s that was not sampled, wherever it was.
fn missed_ten_seconds() -> (Example, ThreadIdx) {
    let (mut example, thread, read, _) = worker();
    for row in 0..20 {
        let sample = example.sample(BLOCKED, thread, read, 1_000_000);
        (sample.time, sample.probability) = (Nanos(row * 20_000_000), 0.1);
    }
    example.counter(BLOCKED, Scope::Thread(thread), 201, 10_200_000_000);
    (example, thread)
}

#[test]
fn a_place_that_was_given_a_missed_interval_may_have_none_of_it() {
    let (example, _) = missed_ten_seconds();
    let profile = all(&example);
    let mut sum = Estimate::default();
    profile.samples.iter().for_each(|sample| sum.add(sample));
    assert!((sum.value() - 10.2e9).abs() < 1.0, "{}", sum.value());
    assert_eq!(sum.error(&profile.groups), 0.0, "the thread is exact");
    let error = sum.error_of_place(&profile.groups) / 1e9;
    assert!((9.9..10.1).contains(&error), "{error} s");

    // Of two places with the same samples, each may have all of it or none.
    let half = Estimate::default();
    let half = profile.samples[..10].iter().fold(half, |mut half, sample| {
        half.add(sample);
        half
    });
    let error = half.error_of_place(&profile.groups) / 1e9;
    assert!((4.9..5.2).contains(&error), "{error} s");
}

#[test]
fn a_difference_that_chance_explains_adds_nothing_to_the_error_of_a_place() {
    let (mut example, thread) = missed_ten_seconds();
    // Estimated 200 ms, with a standard error of 42 ms.
    example.recording.counters.clear();
    example.counter(BLOCKED, Scope::Thread(thread), 201, 320_000_000);
    let profile = all(&example);
    assert_eq!(profile.groups[0].unexplained, 0.0);
    let mut sum = Estimate::default();
    profile.samples.iter().for_each(|sample| sum.add(sample));
    assert_eq!(sum.error_of_place(&profile.groups), 0.0);
}

#[test]
fn a_window_of_a_thread_is_not_exact() {
    let (mut example, thread, read, _) = worker();
    for time in [0, 1_000] {
        let sample = example.sample(BLOCKED, thread, read, 100);
        (sample.time, sample.probability) = (Nanos(time), 0.5);
    }
    example.counter(BLOCKED, Scope::Thread(thread), 4, 400);
    let window = Window { since: Some(Nanos(500)), until: None };
    let part = build(&example.recording, &Selection { window, ..Selection::default() });
    assert_eq!((part.samples.len(), values(&part)[0]), (1, 200.0));
    assert!(error(&part, &[0]) > 50.0);
}

#[test]
fn values_that_were_all_measured_are_exact_whatever_was_missed() {
    let (mut example, thread, read, _) = worker();
    example.sample(BLOCKED, thread, read, 300);
    example.counter(BLOCKED, Scope::Thread(thread), 2, 400);
    let profile = all(&example);
    assert_eq!(values(&profile), [300.0, 100.0]);
    assert_eq!(error(&profile, &[0]), 0.0);
}

/// The errors of many captures of the same sleeps, against the truth.
#[test]
fn the_error_is_what_captures_of_the_same_sleeps_differ_by() {
    let sleeps: Vec<(bool, u64, f64)> = (0..600)
        .map(|number| (number % 3 == 0, 50 + number * 37 % 100, [0.05, 0.3, 1.0][(number % 7 / 3) as usize]))
        .collect();
    let truth = |at_read| sleeps.iter().filter(|sleep| sleep.0 == at_read).map(|sleep| sleep.1).sum::<u64>();
    let mut random = 1_u32;
    let (mut squares, mut stated) = (0.0, 0.0);
    let captures = 300;
    for _ in 0..captures {
        let (mut example, thread, read, poll) = worker();
        let mut rows = Vec::new();
        for (row, (at_read, value, probability)) in sleeps
            .iter()
            .filter(|sleep| {
                random ^= random << 13;
                random ^= random >> 17;
                random ^= random << 5;
                f64::from(random) < sleep.2 * f64::from(u32::MAX)
            })
            .enumerate()
        {
            example.sample(BLOCKED, thread, if *at_read { read } else { poll }, *value).probability = *probability;
            rows.extend(at_read.then_some(row));
        }
        example.counter(BLOCKED, Scope::Thread(thread), 600, truth(true) + truth(false));
        let profile = all(&example);
        let found: f64 = rows.iter().map(|row| profile.samples[*row].value).sum();
        squares += (found - truth(true) as f64).powi(2);
        stated += error(&profile, &rows).powi(2);
    }
    // The spread of 300 captures is known to 4 %.
    let ratio = (stated / squares).sqrt();
    assert!((0.88..1.12).contains(&ratio), "stated errors are {ratio} of the actual ones");
}

#[test]
fn a_stack_that_was_certain_to_be_sampled_shares_in_what_is_missing() {
    let (mut example, thread, read, poll) = worker();
    example.sample(BLOCKED, thread, read, 100);
    example.sample(BLOCKED, thread, poll, 1).probability = 0.5;
    // One more sleep of 100 was expected to be short, and not sampled.
    example.counter(BLOCKED, Scope::Thread(thread), 5, 202);
    let profile = all(&example);
    assert_eq!(profile.samples[0].value, 100.0);
    let error = profile.samples[0].variance.sqrt();
    assert!(error > 100.0 / 3.0, "{error}");
}

#[test]
fn a_thread_without_samples_keeps_its_exact_total() {
    let (mut example, thread, ..) = worker();
    example.counter(PREEMPTED, Scope::Thread(thread), 7, 700);
    let profile = all(&example);
    assert_eq!(values(&profile), [700.0]);
    assert_eq!(names(&profile, 0), ["[no stack: counted only]", "worker"]);
    assert_eq!(profile.samples[0].duration, Nanos::SECOND, "it is drawn over the whole capture");
}

#[test]
fn an_interval_that_goes_on_is_no_part_of_the_calibration() {
    let (mut example, thread, read, poll) = worker();
    example.sample(BLOCKED, thread, read, 50).probability = 0.5;
    example.sample(BLOCKED, thread, poll, 5_000).ongoing = true;
    example.counter(BLOCKED, Scope::Thread(thread), 3, 200);
    assert_eq!(values(&all(&example)), [200.0, 5_000.0]);
}

#[test]
fn a_selection_keeps_the_hops_of_its_wake_chains_without_their_weight() {
    let (mut example, thread, read, poll) = worker();
    let other = example.thread(2, 2, "waker");
    example.sample(BLOCKED, other, read, 70);
    let wake = Wake { waker: other, stack: Some(read), waker_sleep: Some(SampleIdx::new(0)) };
    example.sample(BLOCKED, thread, poll, 100).wake = Some(wake);
    let selection = Selection { pids: vec![Pid(1)], ..Selection::default() };
    let profile = build(&example.recording, &selection);
    assert_eq!(values(&profile), [0.0, 100.0]);
    assert_eq!(profile.samples[1].wake.and_then(|wake| wake.waker_sleep), Some(SampleIdx::new(0)));
}

#[test]
fn only_a_thread_that_was_runnable_all_the_time_waited_for_a_cpu() {
    let (mut example, thread, read, _) = worker();
    for (value, runqueue) in [(100, Some(Nanos(100))), (100, Some(Nanos(99))), (100, None), (0, Some(Nanos(0)))] {
        example.sample(PREEMPTED, thread, read, value).runqueue = runqueue;
    }
    let runnable: Vec<bool> = all(&example).samples.iter().map(|sample| sample.runnable).collect();
    assert_eq!(runnable, [true, false, false, false]);
}

#[test]
fn the_tracepoints_own_frames_are_no_part_of_a_stack() {
    let (mut example, thread, ..) = worker();
    let walk =
        "app kernel:read kernel:schedule kernel:__schedule kernel:__traceiter_sched_switch kernel:bpf_trace_run4";
    let traced = example.stack(walk);
    example.sample(BLOCKED, thread, traced, 10);
    assert_eq!(names(&all(&example), 0), ["read", "worker"]);
}

#[test]
fn a_process_has_no_part_in_the_totals_of_another_that_had_its_pid() {
    let (mut example, first, read, _) = worker();
    example.sample(BLOCKED, first, read, 10).probability = 0.5;
    example.counter(BLOCKED, Scope::Thread(first), 2, 20);
    example.recording.processes.release(Pid(1));
    let second = example.thread(1, 1, "worker");
    example.sample(BLOCKED, second, read, 10).probability = 0.5;
    example.counter(BLOCKED, Scope::Thread(second), 100, 1_000);
    assert_ne!(first, second);
    assert_eq!(values(&all(&example)), [20.0, 1_000.0]);
}

#[test]
fn time_on_a_cpu_is_that_of_what_ran_also_in_the_scheduler_and_in_a_bpf_program() {
    let (mut example, thread, ..) = worker();
    for function in ["schedule", "bpf_prog_7_filter"] {
        let stack = example.stack(&format!("app kernel:syscall_trace_enter kernel:{function}"));
        example.sample(CPU, thread, stack, 10);
        let profile = all(&example);
        let row = profile.samples.len() - 1;
        assert_eq!(names(&profile, row), [function, "syscall_trace_enter", "worker"]);
    }
}

#[test]
fn a_bpf_program_that_waits_is_part_of_the_wait() {
    let (mut example, thread, ..) = worker();
    let stack = example.stack("app kernel:bpf_prog_7_sleepable kernel:schedule kernel:__schedule");
    example.sample(BLOCKED, thread, stack, 10);
    assert_eq!(names(&all(&example), 0), ["bpf_prog_7_sleepable", "worker"]);
}

#[test]
fn a_function_of_one_build_in_two_files_is_one_frame_and_one_of_two_builds_is_not() {
    for (builds, is_one) in [([Some("12"), Some("12")], true), ([Some("12"), Some("34")], false), ([None, None], false)]
    {
        let (mut example, thread, ..) = worker();
        for (path, build) in ["/bin/one/app", "/bin/other/app"].into_iter().zip(builds) {
            let stack = example.stack(&format!("{path} write"));
            let module = example.module(path);
            example.recording.modules.get_mut(module).build_id = build.map(str::to_owned);
            example.sample(BLOCKED, thread, stack, 10);
        }
        let profile = all(&example);
        assert_eq!(profile.samples[0].stack == profile.samples[1].stack, is_one, "{builds:?}");
    }
}

#[test]
fn an_inlined_function_stands_between_its_neighbours() {
    let (mut example, thread, ..) = worker();
    let stack = example.stack("app main handle parse");
    let handle = example.user_function("app", "handle");
    // The innermost comes first.
    for name in ["inner", "outer"] {
        let function = InlinedFunction { name: name.to_owned(), source: crate::recording::SourceLine::default() };
        example.recording.frames.add_inlined(handle, function);
    }
    example.sample(BLOCKED, thread, stack, 10);
    assert_eq!(names(&all(&example), 0), ["parse", "inner", "outer", "handle", "main", "worker"]);
    // They count where the size of the tree is limited: six functions, and one of them is the thread's.
    assert!(!build_within(&example.recording, &Selection::default(), 5).meta.remarks.is_empty());
    assert!(build_within(&example.recording, &Selection::default(), 6).meta.remarks.is_empty());
}

#[test]
fn counters_and_histograms_are_selected_with_their_threads_and_probes() {
    let (mut example, thread, ..) = worker();
    let other = example.thread(2, 2, "other");
    for scope in [Scope::Thread(thread), Scope::Thread(other), Scope::Cpu(CpuId(1)), Scope::Thread(thread)] {
        example.counter(BLOCKED, scope.clone(), 1, 10);
        example.histogram(BLOCKED, scope, &[(10, 1)]);
    }
    let scopes = |selection: Selection| {
        let profile = build(&example.recording, &selection);
        let histograms = profile.histograms.iter().map(|row| (row.scope.clone(), row.counts.len()));
        (profile.counters.len(), histograms.collect::<Vec<_>>())
    };
    let all = [(Scope::Cpu(CpuId(1)), 1), (Scope::Thread(thread), 2), (Scope::Thread(other), 1)];
    assert_eq!(scopes(Selection::default()), (4, all.to_vec()), "those of one scope add up");
    let one = Selection { pids: vec![Pid(2)], ..Selection::default() };
    assert_eq!(scopes(one), (1, vec![(Scope::Thread(other), 1)]));
    let cpu = Selection { probes: vec!["cpu".to_owned()], ..Selection::default() };
    assert_eq!(scopes(cpu), (0, Vec::new()));
}

/// Two processes of different users, in different cgroups.
fn two_processes() -> Example {
    let mut example = Example::new();
    for (pid, name, executable, cgroup, user) in [
        (1, "redis-server", "/usr/bin/redis-server", "/system.slice/redis.service", "redis"),
        (2, "worker-1", "/opt/app", "/user.slice/a", "alice"),
    ] {
        let thread = example.thread(pid, pid, name);
        let stack = example.stack("app main");
        example.sample(BLOCKED, thread, stack, u64::from(pid) * 100);
        let processes = &mut example.recording.processes;
        let id = processes.find(Pid(pid)).expect("a process");
        let process = processes.get_mut(id);
        process.executable = Some(executable.into());
        process.cgroup = Some(cgroup.to_owned());
        (process.user, process.user_name) = (Some(1_000 + pid), Some(user.to_owned()));
    }
    let unknown = example.thread(3, 3, "unknown");
    let stack = example.stack("app main");
    example.sample(BLOCKED, unknown, stack, 300);
    example
}

#[test]
fn processes_are_selected_by_patterns_of_what_is_known_about_them() {
    let example = two_processes();
    let glob = |text: &str| vec![Pattern::new(text).expect("a pattern")];
    let (any, none) = (Selection::default, ProcessFilter::default);
    for (selection, expected) in [
        (Selection { comms: glob("worker-*"), ..any() }, &[200.0][..]),
        (Selection { processes: ProcessFilter { executables: glob("redis-*"), ..none() }, ..any() }, &[100.0]),
        (Selection { processes: ProcessFilter { executables: glob("/opt/*"), ..none() }, ..any() }, &[200.0]),
        (Selection { processes: ProcessFilter { executables: glob("*"), ..none() }, ..any() }, &[100.0, 200.0]),
        (Selection { processes: ProcessFilter { cgroups: glob("system.slice"), ..none() }, ..any() }, &[100.0]),
        (Selection { processes: ProcessFilter { cgroups: glob("/*.slice/[ab]"), ..none() }, ..any() }, &[200.0]),
        (Selection { processes: ProcessFilter { users: glob("al?ce"), ..none() }, ..any() }, &[200.0]),
        (Selection { processes: ProcessFilter { users: glob("1001"), ..none() }, ..any() }, &[100.0]),
        (
            Selection {
                processes: ProcessFilter { users: [glob("redis"), glob("alice")].concat(), ..none() },
                ..any()
            },
            &[100.0, 200.0],
        ),
        (
            Selection { processes: ProcessFilter { users: glob("redis"), ..none() }, comms: glob("worker-*"), ..any() },
            &[],
        ),
        (any(), &[100.0, 200.0, 300.0]),
    ] {
        assert_eq!(values(&build(&example.recording, &selection)), expected, "{selection:?}");
    }
}

#[test]
fn a_part_of_the_threads_has_no_totals_of_the_host() {
    let mut example = two_processes();
    example.counter(BLOCKED, Scope::Host, 3, 600);
    let users = vec![Pattern::new("redis").expect("a pattern")];
    let processes = ProcessFilter { users, ..ProcessFilter::default() };
    assert_eq!(all(&example).counters.len(), 1);
    assert!(build(&example.recording, &Selection { processes, ..Selection::default() }).counters.is_empty());
}

#[test]
fn stacks_begin_with_the_pool_the_name_the_thread_or_the_process() {
    let mut example = Example::new();
    for (tid, name) in [(7, "app"), (8, "worker-1"), (9, "worker-2")] {
        let thread = example.thread(7, tid, name);
        let stack = example.stack("app main");
        example.sample(BLOCKED, thread, stack, 100);
    }
    for (roots, expected) in [
        (Roots::Pools, &["main", "worker-*"][..]),
        (Roots::Names, &["main", "worker-1"]),
        (Roots::Threads, &["main", "worker-1 (8)"]),
        (Roots::Processes, &["main", "worker-*", "app (7)"]),
    ] {
        let profile = build(&example.recording, &Selection { roots, ..Selection::default() });
        assert_eq!(names(&profile, 1), expected, "{roots:?}");
    }
}

/// Idleness is a property of the thread in the whole capture, of which a report may show a part.
#[test]
fn idle_sleeps_are_those_of_the_whole_capture() {
    let (mut example, thread, ..) = worker();
    let wait = example.stack("app kernel:ep_poll");
    for (time, value) in [(0, 400_000_000), (400_000_000, 600_000_000)] {
        example.sample(BLOCKED, thread, wait, value).time = Nanos(time);
    }
    let window = Window { since: Some(Nanos(450_000_000)), until: None };
    let part = build(&example.recording, &Selection { window, ..Selection::default() });
    assert_eq!(part.samples.iter().map(|sample| sample.idle).collect::<Vec<_>>(), [true]);
    assert!(part.folds(&part.samples[0]));
    let listed = Selection { idle: IdleThreads::Listed, ..Selection::default() };
    let listed = build(&example.recording, &listed);
    assert!(!listed.folds(&listed.samples[0]));
}

/// One sample stands for 140 ms of a second, and 43 samples of 20 ms for themselves.
#[test]
fn the_error_of_a_share_is_that_of_its_place_and_of_all_others() {
    let mut example = Example::new();
    let thread = example.thread(1, 1, "worker");
    let [rare, usual] = ["rare", "usual"].map(|name| example.stack(&format!("app {name}")));
    for _ in 0..43 {
        example.sample(CPU, thread, usual, 20_000_000);
    }
    example.sample(CPU, thread, rare, 1_400_000).probability = 0.01;
    let profile = all(&example);
    let sum = |is_of: &dyn Fn(StackId) -> bool| {
        let mut sum = Estimate::default();
        profile.samples.iter().filter(|sample| sample.stack.is_some_and(is_of)).for_each(|sample| sum.add(sample));
        sum
    };
    let rare_stack = profile.samples[43].stack.expect("a stack");
    let [rare, usual, whole] = [sum(&|stack| stack == rare_stack), sum(&|stack| stack != rare_stack), sum(&|_| true)];
    let error = |part: &Estimate| part.error_of_share(&whole, &profile.groups);
    // If the sample had not been there, there would be neither it nor its part of the whole: 0.86 of its 140 ms, and a little of the others.
    let expected = (0.86_f64.powi(2) * 0.14 * 0.14 + 0.14_f64.powi(2) * 43.0 * 0.02 * 0.02).sqrt();
    assert!((error(&rare) - expected).abs() < 1e-6, "{}", error(&rare));
    assert!((error(&usual) - error(&rare)).abs() < 1e-6, "{}", error(&usual));
    assert_eq!(error(&whole), 0.0);
    assert_eq!(Estimate::default().error_of_share(&Estimate::default(), &profile.groups), 0.0);
}

/// The estimates of the CPU samples in each of these numbers of samples of one second, and of all of them.
fn draws(numbers: &[usize]) -> (Vec<Estimate>, Estimate) {
    let mut example = Example::new();
    let thread = example.thread(1, 1, "worker");
    let mut place_of = Vec::new();
    for (place, number) in numbers.iter().enumerate() {
        let stack = example.stack(&format!("app place{place}"));
        for _ in 0..*number {
            example.sample(CPU, thread, stack, 1_000_000_000);
            place_of.push(place);
        }
    }
    let mut sums = (vec![Estimate::default(); numbers.len()], Estimate::default());
    for (sample, place) in all(&example).samples.iter().zip(place_of) {
        sums.0[place].add(sample);
        sums.1.add(sample);
    }
    sums
}

#[test]
fn cpu_time_has_an_error_even_if_every_interrupt_was_a_sample() {
    let (places, whole) = draws(&[3, 9]);
    // (3 (3/4)^2 + 9 (1/4)^2) / 12^2 = 1/64.
    for place in &places {
        assert!((place.error_of_share(&whole, &[]) - 0.125).abs() < 1e-12, "{}", place.error_of_share(&whole, &[]));
    }
    assert!((places[0].error_of_place(&[]) / 1e9 - 3_f64.sqrt()).abs() < 1e-9);
    assert!((whole.error(&[]) / 1e9 - 12_f64.sqrt()).abs() < 1e-9);
    assert_eq!(whole.error_of_share(&whole, &[]), 0.0);
}

#[test]
fn a_few_draws_at_one_place_do_not_show_that_all_time_was_there() {
    let (places, whole) = draws(&[2]);
    // The variance of 4 of 6.
    let expected = (4.0_f64 / 6.0 * (2.0 / 6.0) / 6.0).sqrt();
    assert!((places[0].error_of_share(&whole, &[]) - expected).abs() < 1e-12);
    let (places, whole) = draws(&[8]);
    assert_eq!(places[0].error_of_share(&whole, &[]), 0.0);
}

fn standard_deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt()
}

/// A third of the time is in `read`, at the full rate and at a rate that the budget lowers for half of the interrupts.
#[test]
fn the_error_of_cpu_time_is_what_captures_of_the_same_load_differ_by() {
    let mut random = 1_u32;
    let mut happens = |probability: f64| {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        f64::from(random) < probability * f64::from(u32::MAX)
    };
    let captures = 400;
    for lowered in [1.0, 0.2] {
        let (mut times, mut shares) = (Vec::new(), Vec::new());
        let (mut error_of_time, mut error_of_share) = (0.0, 0.0);
        for _ in 0..captures {
            let (mut example, thread, read, poll) = worker();
            let mut in_read = Vec::new();
            // A few interrupts in many moments: 150 on average.
            for moment in 0..5_000 {
                let probability = if moment % 2 == 0 { 1.0 } else { lowered };
                if happens(0.03) && happens(probability) {
                    in_read.push(happens(1.0 / 3.0));
                    let stack = if in_read[in_read.len() - 1] { read } else { poll };
                    example.sample(CPU, thread, stack, 10_000_000).probability = probability;
                }
            }
            let (mut part, mut whole) = (Estimate::default(), Estimate::default());
            for (sample, is_in_read) in all(&example).samples.iter().zip(in_read) {
                whole.add(sample);
                if is_in_read {
                    part.add(sample);
                }
            }
            times.push(part.value());
            shares.push(part.value() / whole.value());
            error_of_time += part.error_of_place(&[]) / f64::from(captures);
            error_of_share += part.error_of_share(&whole, &[]) / f64::from(captures);
        }
        let ratios = [error_of_time / standard_deviation(&times), error_of_share / standard_deviation(&shares)];
        assert!(
            ratios.iter().all(|ratio| (0.85..1.15).contains(ratio)),
            "stated errors are {ratios:?} of the actual ones"
        );
    }
}

#[test]
fn the_share_of_a_counted_total_has_the_error_of_its_division() {
    let (mut example, thread, read, poll) = worker();
    for (stack, value) in [(read, 600), (poll, 300)] {
        for _ in 0..5 {
            example.sample(BLOCKED, thread, stack, value).probability = 0.5;
        }
    }
    example.counter(BLOCKED, Scope::Thread(thread), 20, 9_000);
    let profile = all(&example);
    let (mut part, mut whole) = (Estimate::default(), Estimate::default());
    profile.samples.iter().for_each(|sample| whole.add(sample));
    profile.samples[..5].iter().for_each(|sample| part.add(sample));
    let error = part.error_of_share(&whole, &profile.groups);
    assert!(error > 0.0 && (error - part.error_of_place(&profile.groups) / 9_000.0).abs() < 1e-12, "{error}");
    assert_eq!(whole.error_of_share(&whole, &profile.groups), 0.0);
}
