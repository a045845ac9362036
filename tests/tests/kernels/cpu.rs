//! The probe `cpu`, and whom it captures.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use quell::profile::FrameKind;
use quell::recording::Target;
use quell::units::CpuSet;
use quell_tests::agent;
use quell_tests::capture::Capture;
use quell_tests::cgroup::Cgroup;
use quell_tests::cpus;
use quell_tests::fixture::{self, BURNING, Beside, Burned, Fixture};
use quell_tests::recorded::Recorded;

use crate::harness::{Outcome, skip};
use crate::shell::Shell;

/// Enough samples in a second, and no governor to lower the rate.
const FLAGS: [&str; 6] = ["--probe", "cpu", "-F", "997", "--max-overhead", "0"];

pub(crate) fn begin(target: &[&str]) -> Result<Capture> {
    Capture::begin(&[&FLAGS, target].concat())
}

/// For tests of who is captured.
fn burn() -> Result<Fixture> {
    Fixture::start("burn", &["--seconds", "0.4"])
}

/// Lets it burn to its end. One at a time: on a machine whose CPUs share those of its host each would take the time
/// that it waits for time that it burns.
fn burned(mut burn: Fixture) -> Result<Burned> {
    burn.go()?;
    burn.finish()
}

pub(crate) fn process() -> Result<Outcome> {
    let beside = Beside::start()?;
    let burn = Fixture::start("burn", &["--seconds", "1.2", "--in-kernel"])?;
    let capture = begin(&["-p", &burn.pid().to_string()])?;
    let burned = burned(burn)?;
    let recorded = capture.ended()?;
    is_whole(&recorded, &burned)?;
    has_its_shares(&recorded, &burned)?;
    shows_the_kernel(&recorded, &burned)?;
    recorded.is_only_of(&[burned.pid])?;
    beside.is_absent(&recorded)?;
    Ok(Outcome::Holds)
}

pub(crate) fn host() -> Result<Outcome> {
    let mut burns = Vec::new();
    for cpu in cpus::allowed()? {
        let burn = burn()?;
        burn.pin(cpu)?;
        burns.push((burn, cpu));
    }
    let capture = begin(&["-a"])?;
    let burned: Vec<_> = burns.into_iter().map(|(burn, cpu)| Ok((burned(burn)?, cpu))).collect::<Result<_>>()?;
    let recorded = capture.stopped()?;
    for (burned, cpu) in burned {
        is_whole(&recorded, &burned)?;
        has_its_shares(&recorded, &burned)?;
        is_on(&recorded, &burned, cpu)?;
    }
    let online = "/sys/devices/system/cpu/online";
    let online: CpuSet = fs::read_to_string(online).with_context(|| format!("cannot read {online}"))?.parse()?;
    let meta = &recorded.recording.meta;
    ensure!(meta.cpus == online, "captured CPUs {}, of {online}", meta.cpus);
    Ok(Outcome::Holds)
}

pub(crate) fn command() -> Result<Outcome> {
    let beside = Beside::start()?;
    let burn = agent::target_dir()?.join("burn");
    let words = [burn.to_str().context("a path of text")?, "--seconds", "0.4"];
    let (recorded, ended) = Capture::whole(&[&FLAGS[..], &["--"], &words].concat())?;
    let burned: Burned = fixture::report_in(&ended.stdout)?;
    is_whole(&recorded, &burned)?;
    has_its_shares(&recorded, &burned)?;
    let meta = &recorded.recording.meta;
    ensure!(meta.target == Target::Command(words.map(str::to_owned).to_vec()), "{:?}", meta.target);
    ensure!(meta.exit_code == Some(0), "exit code {:?}", meta.exit_code);
    recorded.is_only_of(&[burned.pid])?;
    beside.is_absent(&recorded)?;
    Ok(Outcome::Holds)
}

pub(crate) fn children() -> Result<Outcome> {
    let beside = Beside::start()?;
    let shell = Shell::start("burn", "--seconds 0.4")?;
    let parent = shell.pid();
    let capture = begin(&["-p", &parent.to_string()])?;
    let burned: Burned = shell.run()?;
    let recorded = capture.ended()?;
    is_whole(&recorded, &burned)?;
    recorded.is_only_of(&[parent.cast_signed(), burned.pid])?;
    beside.is_absent(&recorded)?;
    Ok(Outcome::Holds)
}

pub(crate) fn cgroup() -> Result<Outcome> {
    let cgroup = match Cgroup::create() {
        Ok(cgroup) => cgroup,
        Err(why) => return skip(why),
    };
    let below = cgroup.below()?;
    let (inside, deeper, beside) = (burn()?, burn()?, burn()?);
    cgroup.take(inside.pid())?;
    below.take(deeper.pid())?;
    let capture = begin(&["--cgroup", cgroup.path()?])?;
    let (inside, deeper, beside) = (burned(inside)?, burned(deeper)?, burned(beside)?);
    let recorded = capture.stopped()?;
    is_whole(&recorded, &inside)?;
    is_whole(&recorded, &deeper)?;
    ensure!(recorded.is_without(beside.pid), "process {} is in no cgroup that was captured", beside.pid);
    Ok(Outcome::Holds)
}

pub(crate) fn one_cpu() -> Result<Outcome> {
    let &[other, chosen, ..] = &cpus::allowed()?[..] else { return skip("needs two CPUs") };
    let (inside, beside) = (burn()?, burn()?);
    inside.pin(chosen)?;
    beside.pin(other)?;
    let capture = begin(&["-a", "--cpu", &chosen.to_string()])?;
    let (inside, beside) = (burned(inside)?, burned(beside)?);
    let recorded = capture.stopped()?;
    is_whole(&recorded, &inside)?;
    ensure!(recorded.is_without(beside.pid), "process {} ran on CPU {other}", beside.pid);
    ensure!(recorded.profile.samples.iter().all(|sample| sample.cpu.0 as usize == chosen), "a sample of another CPU");
    let meta = &recorded.recording.meta;
    ensure!(meta.cpus.to_string() == chosen.to_string(), "captured CPUs {}", meta.cpus);
    let idle: Vec<usize> = meta.idle.keys().map(|cpu| cpu.0 as usize).collect();
    ensure!(idle == [chosen], "idle times of {idle:?}");
    Ok(Outcome::Holds)
}

pub(crate) fn isolated() -> Result<Outcome> {
    let cpu = cpus::isolated().context("no CPU is isolated")?;
    let burn = burn()?;
    burn.pin(cpu)?;
    let capture = begin(&["-a", "--cpu", &cpu.to_string()])?;
    let burned = burned(burn)?;
    let recorded = capture.stopped()?;
    is_whole(&recorded, &burned)?;
    has_its_shares(&recorded, &burned)?;
    is_on(&recorded, &burned, cpu)?;
    Ok(Outcome::Holds)
}

/// The time in the fixture's functions of user space is what it says of itself.
pub(crate) fn is_whole(recorded: &Recorded, burned: &Burned) -> Result<()> {
    recorded.burning(burned.pid).is_cpu_time(burned.burning())
}

/// ... and so is its division among them.
fn has_its_shares(recorded: &Recorded, burned: &Burned) -> Result<()> {
    let (found, truth) = (recorded.burning(burned.pid), burned.burning().spent);
    for function in BURNING {
        let share = recorded.on_cpu(burned.pid, function).nanos / found.nanos;
        let expected = burned.in_function(function).spent as f64 / truth as f64;
        // Five points, or what chance does to few or unequal samples.
        let chance = 5.0 * (expected * (1.0 - expected) * found.squares).sqrt() / found.nanos;
        let off = (share - expected).abs();
        ensure!(off < chance.max(0.05), "{function}: {share:.3}, by its own clock {expected:.3}; {found:?}");
    }
    Ok(())
}

/// What the fixture spends in the kernel is below its own function, with the kernel's functions named.
fn shows_the_kernel(recorded: &Recorded, burned: &Burned) -> Result<()> {
    let function = "quell_burn_in_kernel";
    let all = recorded.on_cpu(burned.pid, function);
    all.is_cpu_time(burned.in_function(function))?;
    let reads = recorded.estimate(|sample| {
        recorded.calls(sample, function)
            && recorded.functions(sample, FrameKind::Kernel).any(|function| function == "vfs_read")
    });
    // The rest is entering the kernel and leaving it, and what interrupts.
    ensure!(reads.nanos > 0.5 * all.nanos, "{reads:?} below vfs_read, {all:?} below {function}");
    Ok(())
}

pub(crate) fn is_on(recorded: &Recorded, burned: &Burned, cpu: usize) -> Result<()> {
    let burning = |sample: &_| recorded.pid(sample) == burned.pid && recorded.calls(sample, "burn::burn_until");
    let all = recorded.estimate(burning).samples;
    let there = recorded.estimate(|sample| burning(sample) && sample.cpu.0 as usize == cpu).samples;
    ensure!(all > 0 && there == all, "{there} samples of {all} on CPU {cpu}");
    Ok(())
}
