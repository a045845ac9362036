//! What is idle, and what is not.

use super::*;
use crate::recording::example::{BLOCKED, CPU, Example, IO_WAIT};
use crate::recording::{SampleIdx, ThreadIdx};

const MILLIS: u64 = 1_000_000;

/// Adds a sleep from one millisecond of the capture to another.
fn sleep(example: &mut Example, thread: ThreadIdx, path: &str, from: u64, to: u64) -> usize {
    let stack = example.stack(path);
    example.sample(BLOCKED, thread, stack, (to - from) * MILLIS).time = Nanos(from * MILLIS);
    example.recording.samples.len() - 1
}

/// A sleep that lasts the whole capture.
fn ongoing(example: &mut Example, thread: ThreadIdx, path: &str) -> usize {
    let row = sleep(example, thread, path, 0, 1_000);
    example.recording.samples[row].ongoing = true;
    row
}

fn woken(example: &mut Example, row: usize, waker: ThreadIdx, path: &str, waker_sleep: Option<usize>) {
    let stack = Some(example.stack(path));
    let waker_sleep = waker_sleep.map(|row| SampleIdx::new(row as u32));
    example.recording.samples[row].wake = Some(Wake { waker, stack, waker_sleep });
}

const TIMER: &str = "app main kernel:asm_sysvec_apic_timer_interrupt kernel:hrtimer_wakeup kernel:try_to_wake_up";
const NETWORK: &str = "app main kernel:asm_common_interrupt kernel:net_rx_action kernel:sock_def_readable";

fn idle(example: &Example) -> Vec<bool> {
    let value = |sample: &Sample| sample.value as f64 / sample.probability;
    IdleSleeps::of(&example.recording, value, std::iter::empty()).rows
}

/// Whether a thread that sleeps at this place for the whole capture is idle.
fn is_idle_at(path: &str) -> bool {
    let mut example = Example::new();
    let thread = example.thread(7, 7, "server");
    ongoing(&mut example, thread, path);
    idle(&example)[0]
}

#[test]
fn a_thread_that_sleeps_throughout_is_idle_only_in_a_wait_for_work() {
    for place in [
        "app main epoll_wait@libc.so.6 kernel:do_epoll_wait kernel:ep_poll kernel:schedule_hrtimeout_range kernel:schedule kernel:__schedule kernel:__traceiter_sched_switch kernel:bpf_trace_run4",
        "app main kernel:do_sys_poll kernel:poll_schedule_timeout.constprop.0 kernel:schedule_hrtimeout_range",
        "app main kernel:inet_csk_accept kernel:schedule_timeout",
        "app main kernel:tcp_recvmsg kernel:sk_wait_data kernel:wait_woken kernel:schedule_timeout",
        "app main pthread_cond_wait@libc.so.6 kernel:do_futex kernel:futex_wait kernel:futex_wait_queue kernel:schedule",
        "java Unsafe_Park kernel:futex_wait_queue",
        "app kernel:do_wait kernel:schedule",
        "kworker kernel:ret_from_fork kernel:kthread kernel:worker_thread kernel:schedule",
        "any kernel:ret_from_fork kernel:kthread kernel:of_a_driver kernel:schedule_timeout",
        "rcu kernel:kthread kernel:rcu_gp_kthread kernel:rcu_gp_fqs_loop kernel:schedule_timeout",
    ] {
        assert!(is_idle_at(place), "{place}");
    }
    for place in [
        "app main kernel:vfs_read kernel:folio_wait_bit_common kernel:io_schedule",
        "app main kernel:do_epoll_wait kernel:asm_exc_page_fault kernel:folio_wait_bit_common kernel:schedule",
        "app main kernel:ksys_write kernel:rwsem_down_write_slowpath kernel:schedule",
        "app main kernel:tcp_sendmsg kernel:sk_stream_wait_memory kernel:wait_woken kernel:schedule_timeout",
        "app main kernel:anon_pipe_write kernel:schedule",
        "app main kernel:do_io_getevents kernel:read_events kernel:schedule",
        "app main kernel:msleep kernel:schedule_timeout_uninterruptible kernel:schedule_timeout",
        "app main pthread_mutex_lock@libc.so.6 __lll_lock_wait@libc.so.6 kernel:futex_wait kernel:futex_wait_queue",
        "java ObjectMonitor::enter pthread_cond_wait@libc.so.6 kernel:futex_wait_queue",
        "app main kernel:futex_lock_pi kernel:schedule",
        "jbd2 kernel:kthread kernel:kjournald2 kernel:jbd2_journal_commit_transaction kernel:schedule",
        "app main",
    ] {
        assert!(!is_idle_at(place), "{place}");
    }
}

#[test]
fn other_metrics_and_waits_for_a_cpu_are_never_idle() {
    let mut example = Example::new();
    let thread = example.thread(7, 7, "server");
    let stack = example.stack("app kernel:ep_poll");
    for metric in [CPU, IO_WAIT] {
        example.sample(metric, thread, stack, 1_000 * MILLIS);
    }
    let sleep = example.sample(BLOCKED, thread, stack, 1_000 * MILLIS);
    sleep.runqueue = Some(Nanos(1_000 * MILLIS));
    assert_eq!(idle(&example), [false, false, false]);
}

#[test]
fn a_thread_that_only_timers_wake_is_idle_and_one_that_requests_wake_is_not() {
    let mut example = Example::new();
    let [cron, client, other] =
        [(1, "cron"), (2, "client"), (3, "other")].map(|(id, name)| example.thread(id, id, name));
    for (thread, path, end) in
        [(cron, "cron kernel:do_nanosleep", TIMER), (client, "client kernel:sk_wait_data", NETWORK)]
    {
        for from in (0..1_000).step_by(100) {
            let row = sleep(&mut example, thread, path, from, from + 100);
            woken(&mut example, row, other, end, None);
        }
    }
    assert_eq!(idle(&example), [[true; 10], [false; 10]].concat());
}

#[test]
fn a_thread_that_runs_or_waits_for_anything_else_is_not_idle() {
    for (busy, expected) in [(5, true), (15, false)] {
        let mut example = Example::new();
        let thread = example.thread(7, 7, "server");
        sleep(&mut example, thread, "app kernel:ep_poll", 0, 500);
        sleep(&mut example, thread, "app kernel:ep_poll", 500 + busy, 1_000);
        assert_eq!(idle(&example), [expected; 2], "busy for {busy} ms");
        sleep(&mut example, thread, "app kernel:mutex_lock", 500, 500 + busy);
        assert_eq!(idle(&example), [expected, expected, false], "a lock for {busy} ms");
    }
}

#[test]
fn a_pool_thread_with_one_job_is_idle_and_a_thread_of_a_part_of_the_capture_is_not() {
    let mut example = Example::new();
    let [pool, late, main] = [(1, "pool"), (2, "late"), (3, "main")].map(|(id, name)| example.thread(id, id, name));
    let first = sleep(&mut example, pool, "app kernel:futex_wait_queue", 0, 600);
    woken(&mut example, first, main, "app main kernel:futex_wake", None);
    sleep(&mut example, pool, "app kernel:futex_wait_queue", 601, 1_000);
    let row = sleep(&mut example, late, "app kernel:futex_wait_queue", 500, 1_000);
    example.recording.samples[row].ongoing = true;
    assert_eq!(idle(&example), [true, true, false]);
}

#[test]
fn samples_count_with_what_they_represent() {
    let mut example = Example::new();
    let thread = example.thread(7, 7, "server");
    let row = sleep(&mut example, thread, "app kernel:ep_poll", 0, 500);
    assert_eq!(idle(&example), [false]);
    example.recording.samples[row].probability = 0.5;
    assert_eq!(idle(&example), [true]);
}

/// A sleep that had begun before the capture has no waker, and a busy host samples few of many sleeps.
#[test]
fn sleeps_of_which_nothing_is_known_are_like_those_that_are_known() {
    let mut example = Example::new();
    let [cron, client, never] =
        [(1, "cron"), (2, "client"), (3, "never")].map(|(id, name)| example.thread(id, id, name));
    for (thread, path, end) in
        [(cron, "cron kernel:do_nanosleep", TIMER), (client, "client kernel:sk_wait_data", NETWORK)]
    {
        sleep(&mut example, thread, path, 0, 200);
        let row = sleep(&mut example, thread, path, 200, 350);
        woken(&mut example, row, never, end, None);
    }
    sleep(&mut example, never, "app kernel:do_nanosleep", 0, 200);
    let sleeps = example.metric(BLOCKED);
    let [cron, client, never] = [cron, client, never].map(|thread| example.recording.threads.get(thread).key());
    let rest = |thread, time| ((thread, sleeps), time * MILLIS);
    let rests = [rest(cron, 645), rest(client, 645), rest(never, 800)];
    let value = |sample: &Sample| sample.value as f64;
    let found = IdleSleeps::of(&example.recording, value, rests.into_iter());
    assert_eq!(found.rows, [true, true, false, false, false]);
    let unsampled = [cron, client, never].map(|thread| found.contains_unsampled(thread, sleeps));
    assert_eq!(unsampled, [true, false, false]);
    assert!(!found.contains_unsampled(cron, example.metric(IO_WAIT)));
    let value = |sample: &Sample| sample.value as f64;
    assert_eq!(IdleSleeps::of(&example.recording, value, std::iter::empty()).rows, [false; 5], "they slept less");
}

#[test]
fn a_kernel_worker_that_works_is_idle_only_in_its_main_function() {
    let mut example = Example::new();
    let thread = example.thread(7, 7, "kworker/0:1");
    sleep(&mut example, thread, "k kernel:kthread kernel:worker_thread kernel:schedule", 0, 10);
    sleep(
        &mut example,
        thread,
        "k kernel:kthread kernel:worker_thread kernel:process_one_work kernel:mutex_lock",
        10,
        20,
    );
    assert_eq!(idle(&example), [true, false]);
}

/// `main` waits for `helper` from 300 to 610 ms, and `helper` for `deeper`.
#[test]
fn a_sleep_that_delays_another_thread_is_shown_and_so_is_what_delayed_it() {
    let mut example = Example::new();
    let [main, helper, deeper] =
        [(1, "main"), (2, "helper"), (3, "deeper")].map(|(id, name)| example.thread(id, id, name));
    let path = "app kernel:do_nanosleep";
    let before = sleep(&mut example, helper, path, 0, 300);
    let first = sleep(&mut example, deeper, path, 0, 299);
    let chained = sleep(&mut example, deeper, path, 299, 590);
    let delaying = sleep(&mut example, helper, path, 300, 600);
    let waits = sleep(&mut example, main, "app kernel:mutex_lock", 300, 610);
    for row in [before, first, chained] {
        woken(&mut example, row, main, TIMER, None);
    }
    woken(&mut example, delaying, deeper, "app kernel:futex_wake", Some(chained));
    woken(&mut example, waits, helper, "app kernel:mutex_unlock", Some(delaying));
    sleep(&mut example, helper, path, 600, 1_000);
    sleep(&mut example, deeper, path, 590, 1_000);
    assert_eq!(idle(&example), [true, true, false, false, false, true, true]);
    // If most of the sleep was before `main` waited, it delayed nobody.
    example.recording.samples[waits].time = Nanos(590 * MILLIS);
    example.recording.samples[waits].value = 20 * MILLIS;
    assert_eq!(idle(&example), [true, true, true, true, false, true, true]);
}

#[test]
fn a_recording_without_sleeps_has_no_idle_ones() {
    let mut example = Example::new();
    let thread = example.thread(7, 7, "server");
    let stack = example.stack("app main");
    example.sample(CPU, thread, stack, 10);
    example.recording.meta.metrics.retain(|metric| metric.name != BLOCKED);
    assert_eq!(idle(&example), [false]);
}
