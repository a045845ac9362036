//! Counted totals of time windows, against the clock of a program that knows when it slept.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use quell::profile::{Counted, Profile, Selection, Window, build};
use quell::recording::example::{BLOCKED, PREEMPTED};
use quell::recording::{Recording, Scope};
use quell::units::Nanos;
use quell_tests::capture::Capture;
use quell_tests::fixture::{Fixture, Phased, Sleep};
use quell_tests::{needs, turns};

const SECOND: u64 = 1_000_000_000;

/// What the clocks of a sleep may differ by, in nanoseconds.
const CLOCKS: u64 = 2_000_000;

fn window(recording: &Recording, since: u64, until: u64) -> Profile {
    let window = Window { since: Some(Nanos(since)), until: Some(Nanos(until)) };
    build(recording, &Selection { window, ..Selection::default() })
}

/// The totals of a thread under a name.
fn counted<'a>(profile: &'a Profile, sleep: &'a Sleep, metric: &'a str) -> impl Iterator<Item = &'a Counted> {
    profile.counters.iter().filter(move |row| match row.scope {
        Scope::Thread(thread) => {
            let thread = profile.thread(thread);
            thread.tid.0.cast_signed() == sleep.tid
                && thread.comm == sleep.name
                && profile.metric(row.metric).name == metric
        }
        _ => false,
    })
}

fn sum(profile: &Profile, sleep: &Sleep, metric: &str, of: fn(&Counted) -> u64) -> u64 {
    counted(profile, sleep, metric).map(of).sum()
}

/// A sleep by the clock of the recording.
fn times(recording: &Recording, sleep: &Sleep) -> (u64, u64) {
    let begin = recording.meta.start_monotonic.0;
    (sleep.begin_ns.saturating_sub(begin), sleep.end_ns.saturating_sub(begin))
}

#[test]
#[ignore = "long: cargo xtask test --all"]
fn a_window_has_the_time_that_a_thread_slept_in_it() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let mut phases = Fixture::start("phases", &[])?;
    let capture = Capture::begin(&["--probe", "offcpu", "-p", &phases.pid().to_string()])?;
    phases.go()?;
    let phased: Phased = phases.finish()?;
    let recorded = capture.ended()?;
    let recording = &recorded.recording;
    let names: BTreeSet<(i32, &str)> = phased.sleeps.iter().map(|sleep| (sleep.tid, sleep.name.as_str())).collect();
    for (tid, name) in names {
        let sleeps: Vec<&Sleep> =
            phased.sleeps.iter().filter(|sleep| (sleep.tid, sleep.name.as_str()) == (tid, name)).collect();
        let first = sleeps[0];
        // What a thread was preempted for between its clock and its sleep.
        let preempted = sum(&recorded.profile, first, PREEMPTED, |row| row.sum);
        for since in 0..recording.meta.duration.0.div_ceil(SECOND) {
            let (since, until) = (since * SECOND, (since + 1) * SECOND);
            let part = window(recording, since, until);
            let slept = |sleep: &&Sleep| {
                let (begin, end) = times(recording, sleep);
                end.min(until).saturating_sub(begin.max(since))
            };
            let truth: u64 = sleeps.iter().map(slept).sum();
            let found = sum(&part, first, BLOCKED, |row| row.sum);
            let allowed = sum(&part, first, BLOCKED, |row| row.uncertainty) + preempted + CLOCKS;
            let rows: Vec<_> = counted(&recorded.profile, first, BLOCKED).collect();
            ensure!(found.abs_diff(truth) <= allowed, "{name} from {since}: {found} ns, truth {truth} ns\n{rows:?}");
        }
        let whole: u64 = sleeps.iter().map(|sleep| sleep.end_ns - sleep.begin_ns).sum();
        let found = sum(&recorded.profile, first, BLOCKED, |row| row.sum);
        ensure!(found.abs_diff(whole) <= preempted + CLOCKS, "{name}: {found} ns, truth {whole} ns");
    }
    let of = |name: &str| phased.sleeps.iter().find(|sleep| sleep.name == name).context("a sleep of each thread");
    // Between its first reading and its last one it sleeps, whenever these were, and each window is exact.
    let throughout = of("throughout")?;
    let is_full = |row: &&Counted| row.slice.is_some_and(|slice| row.sum == slice.end.since(slice.begin).0);
    let full =
        counted(&recorded.profile, throughout, BLOCKED).find(is_full).context("a slice that it slept through")?;
    let slice = full.slice.context("a slice")?;
    ensure!(slice.end.since(slice.begin).0 > SECOND, "{full:?}");
    let part = window(recording, slice.begin.0 + SECOND / 7, slice.begin.0 + SECOND);
    let exact = counted(&part, throughout, BLOCKED).map(|row| (row.sum, row.uncertainty)).collect::<Vec<_>>();
    ensure!(exact == [(SECOND - SECOND / 7, 0)], "{exact:?}");
    // A name has no totals after it was given up.
    let (_, renamed) = times(recording, of("name-before")?);
    for row in counted(&recorded.profile, of("name-before")?, BLOCKED) {
        let slice = row.slice.context("a slice")?;
        ensure!(
            slice.end.0 <= renamed + CLOCKS + sum(&recorded.profile, of("name-before")?, PREEMPTED, |row| row.sum),
            "{row:?}"
        );
    }
    Ok(())
}
