//! Errors, and counted totals beside estimates.

use quell::profile::{Roots, Selection, Window, build};
use quell::recording::Scope;
use quell::recording::example::{BLOCKED, Example};
use quell::units::Nanos;
use quell_tests::needs;

use crate::browser::Browser;
use crate::fixture::{SECOND, profile};

#[test]
fn estimates_stand_beside_exact_totals() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    let table = browser.open("view=threads").text("view");
    assert!(table.contains("worker 1 2.00 s ± 1.41 s 3.00 s ± 100 ms 3.00 s 1 250 ms 250 ms 40"), "{table}");
}

#[test]
fn the_total_of_a_thread_is_exact_and_its_division_is_not() {
    needs!(Program("chromium"));
    let mut example = Example::new();
    let thread = example.thread(1, 1, "worker");
    let [read, poll] = ["app serve read", "app serve poll"].map(|path| example.stack(path));
    // Of 3 s that were estimated, read has two thirds. The variance of each is half of the square of its estimate.
    for (stack, value) in [(read, SECOND), (poll, SECOND / 2)] {
        example.sample(BLOCKED, thread, stack, value).probability = 0.5;
    }
    example.counter(BLOCKED, Scope::Thread(thread), 4, 3 * SECOND);
    let browser = Browser::new(&build(&example.recording, &Selection::default()));

    let functions = browser.open("probe=offcpu&view=functions");
    assert_eq!(functions.text("sum"), "Off-CPU 3.00 s, 2 samples");
    // 1/9 of 2 s^2 and 4/9 of 0.5 s^2; and of 1.5 s that were estimated, what four of six allow.
    let table = functions.text("view");
    for row in [
        "serve app 3.00 s 289 ms 100 % 2",
        "read app 2.00 s 667 ms 66.7 % 2.00 s 667 ms 66.7 % 1",
        "poll app 1.00 s 667 ms 33.3 % 1.00 s 667 ms 33.3 % 1",
    ] {
        assert!(table.contains(row), "no {row} in {table}");
    }
    assert!(browser.open("view=threads").text("view").contains("worker 1 3.00 s 3.00 s 4"));
    let poll = browser.open("probe=offcpu&view=functions&fn=poll@app");
    assert_eq!(poll.text("sandwich-sum"), "total 1.00 s ± 667 ms, 33.3 %; self 1.00 s");

    // A page of a part knows what the rest of the thread has.
    let part = Selection { window: Window { since: Some(Nanos(SECOND)), until: None }, ..Selection::default() };
    example.recording.samples[0].time = Nanos(2 * SECOND);
    example.recording.meta.duration = Nanos(4 * SECOND);
    let browser = Browser::new(&build(&example.recording, &part));
    assert_eq!(browser.open("probe=offcpu").text("sum"), "Off-CPU 2.00 s ± 667 ms, 1 sample");
}

#[test]
fn a_place_that_was_given_a_missed_interval_may_have_none_of_it() {
    needs!(Program("chromium"));
    let mut example = Example::new();
    let thread = example.thread(1, 1, "worker");
    let read = example.stack("app serve read");
    for _ in 0..20 {
        example.sample(BLOCKED, thread, read, SECOND / 1_000).probability = 0.1;
    }
    // A sleep of 10 s was not sampled.
    example.counter(BLOCKED, Scope::Thread(thread), 201, 10_200_000_000);
    let profile = build(&example.recording, &Selection::default());
    let browser = Browser::new(&profile);
    let functions = browser.open("probe=offcpu&view=functions");
    assert_eq!(functions.text("sum"), "Off-CPU 10.2 s, 20 samples");
    let table = functions.text("view");
    assert!(table.contains("read app 10.2 s 10.0 s 100 % 10.2 s 10.0 s 100 % 20"), "{table}");

    // All of a thread is no place, and all of a part of the time is one.
    let worker = profile.frames.iter().position(|frame| frame.name == "worker").expect("a frame");
    let zoomed = browser.open(&format!("probe=offcpu&zoom={worker}")).text("view");
    assert!(zoomed.contains("worker 10.2 s, 100 % of 10.2 s"), "{zoomed}");
    let window = browser.open("probe=offcpu&from=0&to=0.5");
    assert_eq!(window.text("sum"), "Off-CPU 10.2 s ± 10.0 s, 20 samples");
}

#[test]
fn all_of_a_thread_is_no_place_below_a_process_either() {
    needs!(Program("chromium"));
    let mut example = Example::new();
    let thread = example.thread(1, 1, "worker");
    let [read, poll] = ["app serve read", "app serve poll"].map(|path| example.stack(path));
    for stack in [read, poll] {
        example.sample(BLOCKED, thread, stack, SECOND).probability = 0.5;
    }
    example.counter(BLOCKED, Scope::Thread(thread), 4, 3 * SECOND);
    let profile = build(&example.recording, &Selection { roots: Roots::Processes, ..Selection::default() });
    let frame = |name: &str| profile.frames.iter().position(|frame| frame.name == name).expect("a frame");
    let (process, worker, serve) = (frame("worker (1)"), frame("worker"), frame("serve"));
    let browser = Browser::new(&profile);
    let zoomed = |path: &str| browser.open(&format!("probe=offcpu&zoom={path}")).text("view");
    let thread = zoomed(&format!("{process}.{worker}"));
    assert!(thread.contains("worker 3.00 s, 100 % of 3.00 s"), "{thread}");
    let place = zoomed(&format!("{process}.{worker}.{serve}"));
    assert!(place.contains("serve app 3.00 s ± "), "{place}");
}
