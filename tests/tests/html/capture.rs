//! What the page says of the capture: target, cost, losses and what was not recorded.

use quell::profile::{Selection, Window, build};
use quell::recording::example::{CPU, Example};
use quell::recording::{Frame, Location, Losses, MetricKind, MetricSpec, Scope, Unit};
use quell::units::{CpuId, Nanos};
use quell_tests::needs;

use crate::browser::Browser;
use crate::fixture::{SECOND, profile, recorded};

#[test]
fn the_page_shows_what_the_profile_holds() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());

    let on = browser.open("");
    assert_eq!(on.text("capture"), "testhost Linux 6.18.0 x86_64 all threads 2023-11-14 22:13:20 UTC 4.00 s CPUs 0-1");
    assert_eq!(on.text("brief"), "Cost 0.40 % of one CPU lost: 17 samples lost (ring buffer full) and 1 more 1 remark");
    let cost = "0.40 % of one CPU; cpu 3 events, 812 ns each; offcpu 9 events, time not measured; memory: 1.0 MiB";
    assert!(on.text("cost").contains(cost), "{}", on.text("cost"));
    assert_eq!(
        on.text("losses"),
        "Lost: 17 samples lost (ring buffer full); 2 off-CPU intervals without start or end. Remark: </script><b>no markup</b>"
    );
    assert!(on.text("facts").contains("Idle CPUs CPU 0 25.0 %"), "{}", on.text("facts"));
    let steal = "Steal CPU 1 3.1 % (time in which the hypervisor ran other guests)";
    assert!(on.text("facts").contains(steal), "{}", on.text("facts"));
    assert_eq!(on.text("sum"), "On-CPU 3.00 s ± 1.73 s, 3 samples");

    let off = browser.open("probe=offcpu");
    assert_eq!(off.text("sum"), "Off-CPU 3.75 s ± 100 ms, 3 samples");
    let preempted = browser.open("probe=offcpu&metrics=offcpu.preempted");
    assert_eq!(preempted.text("sum"), "Off-CPU (preempted) 250 ms, 1 sample");

    let window = browser.open("probe=offcpu&from=2&to=3");
    assert!(window.text("selection").contains("window 2.00 s to 3.00 s (1.00 s)"), "{}", window.text("selection"));
    assert!(window.text("sum").starts_with("Off-CPU 1.50 s"), "a third of one sleep and all of another");

    let thread = browser.open("thread=comm:relay");
    assert_eq!(thread.text("sum"), "On-CPU 1.00 s ± 1.00 s, 1 sample");
    let nothing = browser.open("from=1&to=2");
    assert_eq!(nothing.text("view"), "No On-CPU samples in the selected window.");
}

#[test]
fn a_page_of_a_part_of_the_capture_says_so() {
    needs!(Program("chromium"));
    let mut profile = profile();
    profile.window = Window { since: Some(Nanos(SECOND)), until: Some(Nanos(3 * SECOND)) };
    let browser = Browser::new(&profile);
    let selection = browser.open("").text("selection");
    assert!(selection.contains("of the capture from 1.00 s to 3.00 s"), "{selection}");
    assert!(!selection.contains("whole"), "{selection}");
}

#[test]
fn the_programs_of_one_probe_are_told_apart() {
    needs!(Program("chromium"));
    let mut profile = profile();
    for (probe, event) in profile.meta.cost.probes.iter_mut().zip(["context switch", "wake-up"]) {
        probe.probe = "offcpu".to_owned();
        probe.mechanism = format!("tp_btf sched_switch, sched_waking: {event}");
    }
    let browser = Browser::new(&profile);
    let cost = browser.open("").text("cost");
    assert!(cost.contains("offcpu (context switch) 3 events") && cost.contains("offcpu (wake-up) 9 events"), "{cost}");
}

#[test]
fn a_budget_that_was_missed_by_a_little_is_said_so() {
    needs!(Program("chromium"));
    let mut profile = profile();
    // 60 ms of 4 s.
    profile.meta.cost.probes[0].nanos_per_event = Some(20e6);
    let browser = Browser::new(&profile);
    let page = browser.open("");
    let missed = "The budget of the probes, 1.00 % of one CPU, was exceeded: they cost 1.50 %.";
    assert!(page.text("cost").contains(missed), "{}", page.text("cost"));
    let fact = "Budget 1.00 % of one CPU for the probes, exceeded: they cost 1.50 %";
    assert!(page.text("facts").contains(fact), "{}", page.text("facts"));
}

#[test]
fn what_was_not_recorded_is_said() {
    needs!(Program("chromium"));
    let mut profile = profile();
    profile.samples.clear();
    profile.meta.losses = Losses::default();
    profile.meta.remarks.clear();
    let browser = Browser::new(&profile);
    let off = browser.open("probe=offcpu");
    assert_eq!(off.text("view"), "No Off-CPU samples in this capture: the offcpu probe took none.");
    assert_eq!(off.text("losses"), "No losses.");
    let on = browser.open("");
    assert_eq!(on.text("view"), "No On-CPU samples in this capture: the cpu probe took none.");
    // A link of another page: what is not here is passed over.
    let other = browser.open("probe=heap&metrics=heap.bytes&view=histograms");
    assert_eq!(other.text("view"), "No histogram in this selection.");
}

#[test]
fn a_capture_that_only_counted_opens_on_its_histograms() {
    needs!(Program("chromium"));
    let mut example = Example::new();
    let wait = MetricSpec { name: "queue.wait", label: "wait", unit: Unit::Nanoseconds, kind: MetricKind::Interval };
    (example.recording.meta.probes, example.recording.meta.metrics) = (Vec::new(), Vec::new());
    example.add_probe("queue", "Queue", &[wait]);
    for (cpu, events) in [(0, 70), (1, 30)] {
        example.histogram("queue.wait", Scope::Cpu(CpuId(cpu)), &[(1_000, events)]);
    }
    let browser = Browser::new(&build(&example.recording, &Selection::default()));
    let page = browser.open("");
    assert_eq!(page.text("histogram"), "Queue: all, 100 events");
    let shown =
        "[...document.querySelectorAll('#views button')].filter((one) => !one.hidden).map((one) => one.textContent)";
    let views = browser.open_and("", &format!("tell('views', {shown}.join());"));
    assert_eq!(views.told("views"), "Histograms");
}

#[test]
fn functions_without_a_name_are_told_by_their_share_of_the_time() {
    needs!(Program("chromium"));
    let mut example = recorded();
    let thread = example.thread(7, 71, "worker");
    let module = example.module("app");
    let unnamed = example.recording.frames.push(Frame::new(Location::Module { module, offset: 99 }));
    let stack = example.recording.stacks.intern_all([unnamed]).expect("a stack");
    example.sample(CPU, thread, stack, SECOND);
    example.recording.meta.symbols.unnamed = [("file stripped".to_owned(), 4_321)].into();
    let page = Browser::new(&build(&example.recording, &Selection::default())).open("");
    let share = "no function name for 25.0 % of On-CPU and 0 % of Off-CPU (reasons: file stripped)";
    assert!(page.text("losses").contains(&format!("Unnamed: {share}.")), "{}", page.text("losses"));
    assert!(page.text("facts").contains(&format!("Unnamed {share}")), "{}", page.text("facts"));
    assert!(!page.text("about").contains("4,321"), "{}", page.text("about"));
}
