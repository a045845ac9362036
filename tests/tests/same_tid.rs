//! Threads that have one id one after the other, within one process.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Result, ensure};
use quell::recording::example::CPU;
use quell::recording::{Scope, Thread};
use quell_tests::agent::Workdir;
use quell_tests::fixture::{Again, CpuTime, Fixture, Turn};
use quell_tests::recorded::{Estimate, Recorded};
use quell_tests::{needs, skip, turns};

/// Enough samples of a turn, and no governor to lower the rate.
const FLAGS: [&str; 6] = ["-F", "997", "--max-overhead", "0", "-o", "x.quell"];

/// Captures `again` with these arguments.
fn capture(arguments: &[&str], flags: &[&str]) -> Result<(Recorded, Again)> {
    let dir = Workdir::new()?;
    let mut again = Fixture::start("again", arguments)?;
    let quell = dir.spawn([&["record", "-p", &again.pid().to_string()][..], flags, &FLAGS].concat())?;
    quell.captures()?;
    again.go()?;
    let truth: Again = again.finish()?;
    quell.wait()?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    recorded.has_no_needless_losses()?;
    Ok((recorded, truth))
}

/// The CPU time and the off-CPU time of the samples of some threads, and the off-CPU time that was counted.
fn of_threads(recorded: &Recorded, chosen: impl Fn(&Thread) -> bool) -> (Estimate, Estimate, u64) {
    let is_chosen = |thread| chosen(recorded.profile.thread(thread));
    let on_cpu = |on_cpu| recorded.estimate(|one| recorded.is_of(one, CPU) == on_cpu && is_chosen(one.thread));
    let counted =
        recorded.profile.counters.iter().filter(|row| matches!(row.scope, Scope::Thread(id) if is_chosen(id)));
    (on_cpu(true), on_cpu(false), counted.map(|row| row.sum).sum())
}

/// The thread that took a turn has the CPU time and the off-CPU time of the turn. Its recording has off-CPU time if `waits`.
fn is_turn(recorded: &Recorded, turn: &Turn, incarnation: u32, waits: bool) -> Result<()> {
    let is_thread = |thread: &Thread| {
        thread.tid.0 == turn.tid.cast_unsigned() && thread.incarnation == incarnation && thread.comm == turn.name
    };
    let (cpu, off_cpu, counted) = of_threads(recorded, is_thread);
    cpu.is_cpu_time(CpuTime { spent: turn.cpu_ns, undisturbed: turn.cpu_ns / 10 * 8 })?;
    if waits {
        let truth = turn.off_cpu_ns as f64;
        // A thread may wait for a page or a lock before its clocks begin and after they end.
        let allowed = 0.05 * truth + 10_000_000.0;
        ensure!((counted as f64 - truth).abs() < allowed, "{counted} ns counted, by its own clock {turn:?}");
        let sampled = off_cpu.nanos;
        ensure!(
            (sampled / counted as f64 - 1.0).abs() < 1e-6,
            "samples of {sampled} ns, {counted} ns counted: {turn:?}"
        );
    }
    Ok(())
}

/// Threads that had no turn, since they did not get the id, do nothing.
fn incarnations(recorded: &Recorded, tid: i32) -> BTreeSet<u32> {
    let of = recorded.recording.threads.rows().iter().filter(|thread| thread.tid.0 == tid.cast_unsigned());
    of.map(|thread| thread.incarnation).collect()
}

#[test]
fn threads_with_one_id_one_after_the_other_have_each_their_own_time() -> Result<()> {
    const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";
    needs!(Root, Bpf);
    if fs::read(LAST_PID).and_then(|last| fs::write(LAST_PID, last)).is_err() {
        skip!("CONFIG_CHECKPOINT_RESTORE and CAP_CHECKPOINT_RESTORE, to choose thread ids");
    }
    let _alone = turns::alone();
    let cases: [([&str; 2], &[&str]); 3] = [
        (["first-turn", "second-turn"], &[]),
        (["turn", "turn"], &[]),
        // Without context switches, nothing tells of the end of a thread.
        (["turn", "turn"], &["--probe", "cpu"]),
    ];
    for (names, flags) in cases {
        let (recorded, truth) = capture(&names, flags)?;
        let [first, second] = &truth.turns[..] else { panic!("{truth:?}") };
        ensure!(first.tid == second.tid, "{truth:?}");
        ensure!(
            incarnations(&recorded, first.tid) == BTreeSet::from([0, 1]),
            "{:?}",
            recorded.recording.threads.rows()
        );
        is_turn(&recorded, first, 0, flags.is_empty())?;
        is_turn(&recorded, second, 1, flags.is_empty())?;
    }
    Ok(())
}

#[test]
fn a_thread_that_executes_a_program_has_its_time_before_under_its_own_id() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let (recorded, truth) = capture(&["--execute", "again"], &[])?;
    let [before, after] = &truth.turns[..] else { panic!("{truth:?}") };
    ensure!(before.tid != truth.pid && after.tid == truth.pid, "{truth:?}");
    is_turn(&recorded, before, 0, true)?;
    // The first thread of the process slept during the first turn.
    let is_first = |thread: &Thread| thread.tid.0 == truth.pid.cast_unsigned() && thread.incarnation == 0;
    let (_, _, slept) = of_threads(&recorded, is_first);
    let least = before.cpu_ns + before.off_cpu_ns;
    ensure!(slept >= least / 10 * 9, "{slept} ns, {before:?}");
    let after = Turn { name: "exe".to_owned(), ..after.clone() };
    is_turn(&recorded, &after, 1, true)
}
