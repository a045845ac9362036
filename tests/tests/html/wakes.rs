//! Wake chains.

use quell::profile::{Selection, build};
use quell::recording::Wake;
use quell::recording::example::{BLOCKED, Example};
use quell_tests::needs;

use crate::browser::Browser;
use crate::fixture::{SECOND, profile};

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
