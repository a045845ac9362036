//! Wake chains.

use quell::profile::{Selection, build};
use quell::recording::Wake;
use quell::recording::example::{BLOCKED, Example};
use quell_tests::needs;

use crate::browser::Browser;
use crate::fixture::{SECOND, meta, profile};

#[test]
fn the_chains_of_a_window_are_those_of_the_wakeups_in_it() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    let ended = browser.open("view=wakes&from=2&to=4").text("chain-sums");
    assert!(ended.starts_with("2.50 s in chains"), "{ended}");
    let later = browser.open("view=wakes&from=2&to=3").text("chain-sums");
    assert!(later.starts_with("500 ms in chains; 1.00 s with an unknown waker"), "{later}");
}

#[test]
fn a_wake_chain_is_told_to_the_interrupt_and_blames_no_bystander() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    for form in ["tree", "flame"] {
        let shown = browser.open(&format!("view=wakes&wakes={form}"));
        assert_eq!(
            shown.text("chain-sums"),
            "3.50 s in chains; 250 ms preempted, without a wakeup. A chain ends at a wakeup from an interrupt: the \
             interrupted thread is not part of it."
        );
    }
    let chains = browser.open("view=wakes").text("view");
    let told = [
        "worker slept",
        "in futex_wait ← recv ← main",
        "woken by relay in futex_wake ← unlock ← loop",
        "woken by an interrupt in nvme_irq ← asm_common_interrupt",
    ];
    let mut rest = chains.as_str();
    for line in told {
        rest = rest.split_once(line).unwrap_or_else(|| panic!("no `{line}` in its place: {chains}")).1;
    }
    assert!(!chains.contains("innocent") && !chains.contains("bystander_code"), "{chains}");
}

#[test]
fn the_wake_tree_shows_what_the_program_did() {
    needs!(Program("chromium"));
    let mut example = Example::new();
    let [worker, other] = [(1, "worker"), (2, "other")].map(|(tid, name)| example.thread(1, tid, name));
    let [sleep, post] = [
        "app start_thread@libc.so.6 main serve handle check ask_warehouse std::this_thread::sleep_for nanosleep@libc.so.6 \
         clock_nanosleep@libc.so.6 kernel:entry_SYSCALL_64 kernel:do_syscall_64 kernel:hrtimer_nanosleep \
         kernel:do_nanosleep kernel:schedule",
        "app main post kernel:futex_wake",
    ]
    .map(|path| example.stack(path));
    let slept = example.sample(BLOCKED, worker, sleep, SECOND / 2);
    slept.wake = Some(Wake { waker: other, stack: Some(post), waker_sleep: None });
    let browser = Browser::new(&build(&example.recording, &Selection::default()));
    let page = browser.open("view=wakes").text("view");
    assert!(page.contains("in do_nanosleep ← … ← ask_warehouse ← check ← handle ← … ← main"), "{page}");
    assert!(page.contains("woken by other in futex_wake ← post ← main"), "{page}");
}

/// Two threads of a pool, each woken once by one of two threads of another pool at the same place.
#[test]
fn threads_of_a_pool_are_one_in_wake_chains_until_they_are_shown_apart() {
    needs!(Program("chromium"));
    let mut example = Example::new();
    example.recording.meta = meta();
    let wait = example.stack("app main kernel:futex_wait");
    let wakes = example.stack("app hand_over kernel:futex_wake");
    for number in [1, 2] {
        let worker = example.thread(7, number, &format!("worker-{number}"));
        let feeder = example.thread(7, number + 10, &format!("feeder-{number}"));
        let sample = example.sample(BLOCKED, worker, wait, SECOND / 2);
        sample.wake = Some(Wake { waker: feeder, stack: Some(wakes), waker_sleep: None });
    }
    let browser = Browser::new(&build(&example.recording, &Selection::default()));
    let told = |fragment: &str| {
        let lines = "tell('lines', all('.chains .line .told').map((one) => one.textContent).join('; '));
            tell('values', all('.chains .line .number:first-child').map((one) => one.textContent).join('; '));";
        let page = browser.open_and(fragment, lines);
        (page.told("lines"), page.told("values"))
    };
    let (lines, values) = told("view=wakes");
    assert!(
        lines.starts_with("worker-* slept; in futex_wait ← main; woken by feeder-* in futex_wake ← hand_over; "),
        "{lines}"
    );
    assert_eq!((lines.matches("slept").count(), values.split(';').next()), (1, Some("1.00 s")), "{values}");
    let (lines, _) = told("view=wakes&apart=1");
    assert!(lines.contains("worker-1 slept") && lines.contains("worker-2 slept"), "{lines}");
    assert!(lines.contains("woken by feeder-1") && !lines.contains('*'), "{lines}");
}
