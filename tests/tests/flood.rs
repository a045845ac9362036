//! Captures while a user makes so many mappings that the reports of them are lost, also those of others.

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use quell::profile::FrameKind;
use quell::recording::example::CPU;
use quell_tests::agent::{self, Workdir};
use quell_tests::fixture::{Fixture, Reloaded};
use quell_tests::hostile::{Hostile, file_with_a_long_path};
use quell_tests::recorded::Recorded;
use quell_tests::{executable, needs, turns};

/// Enough samples in 50 ms, and no governor to lower the rate.
const FLAGS: [&str; 6] = ["record", "-a", "-F", "997", "--max-overhead", "0"];

/// The names of two programs with equal code at equal addresses. The kernel gives them to the processes, so that each sample says
/// which program it is of.
const PROGRAMS: [&str; 2] = ["quell-first", "quell-second"];

#[derive(Debug, Default)]
struct Named {
    right: usize,
    wrong: usize,
    not: usize,
}

/// The samples of the two programs in user space, by the name of the file in which they were found.
fn named(recorded: &Recorded) -> Named {
    let mut named = Named::default();
    for sample in recorded.profile.samples.iter().filter(|sample| recorded.is_of(sample, CPU)) {
        let program = recorded.profile.thread(sample.thread).comm.as_str();
        let innermost = sample.stack.and_then(|stack| recorded.profile.functions(stack).next());
        let Some(innermost) = innermost.filter(|frame| frame.kind == FrameKind::User) else { continue };
        if PROGRAMS.contains(&program) {
            match innermost.module.as_str() {
                module if module == program => named.right += 1,
                module if PROGRAMS.contains(&module) => named.wrong += 1,
                _ => named.not += 1,
            }
        }
    }
    named
}

#[test]
fn programs_that_take_turns_are_not_taken_for_each_other_although_their_mappings_are_not_reported() -> Result<()> {
    needs!(Root, Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let file = file_with_a_long_path(&dir)?;
    let programs = PROGRAMS.map(|name| dir.path(name));
    for program in &programs {
        executable::copy(&agent::target_dir()?.join("relay"), program)?;
    }
    let [first, second] = programs.each_ref().map(|path| path.to_str().context("a path of text"));
    let mut relay = Fixture::start("relay", &["--left", "60", first?, second?])?;
    let quell = dir.spawn([&FLAGS[..], &["-o", "x.quell"]].concat())?;
    quell.captures()?;
    let flood = Hostile::start(&["flood", file.to_str().context("a path of text")?, "60"])?;
    relay.go()?;
    let truth: Reloaded = relay.finish()?;
    drop(flood);
    quell.signal(Signal::SIGINT)?;
    quell.wait()?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    let named = named(&recorded);
    let lost = recorded.recording.meta.losses.lost_mappings;
    ensure!(lost > 1_000, "only {lost} reports of mappings were lost");
    ensure!(named.wrong == 0, "{named:?}");
    ensure!(named.right > 100, "{named:?}, of {truth:?}");
    Ok(())
}
