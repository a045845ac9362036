//! The probe `offcpu`, and whom it captures.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use quell::profile::{FrameKind, Weighted};
use quell::recording::example::{BLOCKED, IO_WAIT, PREEMPTED};
use quell::units::Nanos;
use quell_tests::agent::{self, Workdir};
use quell_tests::capture::Capture;
use quell_tests::cgroup::Cgroup;
use quell_tests::cpus;
use quell_tests::fixture::{self, Beside, Blocked, BlockedPath, BlockedThread, Burned, Chained, Fixture, ReadDirectly};
use quell_tests::recorded::Recorded;

use crate::harness::{Outcome, skip};
use crate::shell::Shell;

const FLAGS: [&str; 4] = ["--probe", "offcpu", "--max-overhead", "0"];

pub(crate) fn begin(arguments: &[&str]) -> Result<Capture> {
    Capture::begin(&[&FLAGS, arguments].concat())
}

/// For tests of who is captured: long sleeps, which no machine mistakes for others.
const SLEEPING: [&str; 4] = ["--seconds", "0.4", "--path", "quell_sleep_10ms"];

fn block() -> Result<Fixture> {
    Fixture::start("block", &SLEEPING)
}

pub(crate) fn every_event() -> Result<Outcome> {
    let beside = Beside::start()?;
    let mut block = Fixture::start("block", &["--seconds", "1"])?;
    let capture = begin(&["-p", &block.pid().to_string(), "--every-event"])?;
    block.go()?;
    let blocked: Blocked = block.finish()?;
    let recorded = capture.ended()?;
    for path in &blocked.paths {
        is_seen(&recorded, path)?;
        let found = recorded.off_cpu(path.tid, &path.function);
        ensure!(found.error == 0.0, "nothing is left to chance, and {path:?} has an error: {found:?}");
    }
    recorded.is_only_of(&[blocked.pid])?;
    beside.is_absent(&recorded)?;
    Ok(Outcome::Holds)
}

pub(crate) fn sampled() -> Result<Outcome> {
    let beside = Beside::start()?;
    // Mostly shorter than a millisecond, of which there is one sample.
    let paths = ["--path", "quell_sleep_100us", "--path", "quell_sleep_10ms"];
    let mut block = Fixture::start("block", &[&["--seconds", "1"], &paths[..]].concat())?;
    let capture = begin(&["-p", &block.pid().to_string()])?;
    block.go()?;
    let blocked: Blocked = block.finish()?;
    let recorded = capture.ended()?;
    let mut chances = 0;
    // Each path has a thread of its own.
    for (path, thread) in blocked.paths.iter().zip(&blocked.threads) {
        is_counted(&recorded, thread)?;
        let total = recorded.total(path.tid) as f64;
        let sum = recorded.estimate(|sample| recorded.tid(sample) == path.tid);
        ensure!((sum.nanos / total - 1.0).abs() < 1e-6, "{path:?}: samples of {} ns, exact {total} ns", sum.nanos);
        let probabilities = recorded.probabilities_in(path.tid, &path.function);
        chances += probabilities.iter().filter(|probability| **probability < 1.0).count();
        is_unbiased(&probabilities, path)?;
    }
    ensure!(chances > 10, "only {chances} samples were left to chance: that is not sampling");
    recorded.is_only_of(&[blocked.pid])?;
    beside.is_absent(&recorded)?;
    Ok(Outcome::Holds)
}

/// Each sample stands for as many sleeps as it had chances to be none: together for all that there were.
fn is_unbiased(probabilities: &[f64], path: &BlockedPath) -> Result<()> {
    let estimate: f64 = probabilities.iter().map(|probability| 1.0 / probability).sum();
    let variance: f64 = probabilities.iter().map(|probability| (1.0 - probability) / probability.powi(2)).sum();
    let off = (estimate - path.sleeps as f64).abs();
    ensure!(
        off <= 4.0 + 0.02 * path.sleeps as f64 + 5.0 * variance.sqrt(),
        "{path:?}: {} samples stand for {estimate:.0} sleeps",
        probabilities.len()
    );
    Ok(())
}

pub(crate) fn preempted() -> Result<Outcome> {
    let cpu = *cpus::allowed()?.first().context("a CPU")?;
    let mut pair = [burn()?, burn()?];
    for burn in &pair {
        burn.pin(cpu)?;
    }
    let pids = pair.each_ref().map(|burn| burn.pid().to_string());
    let capture = begin(&["-p", &pids[0], "-p", &pids[1]])?;
    pair.iter_mut().try_for_each(Fixture::go)?;
    let burned: Vec<Burned> = pair.into_iter().map(Fixture::finish).collect::<Result<_>>()?;
    let recorded = capture.ended()?;
    for thread in burned.iter().flat_map(|burned| &burned.threads) {
        let preempted = recorded.total_for(thread.tid, PREEMPTED);
        ensure!(
            preempted + thread.cpu_ns / 4 >= thread.wall_ns - thread.cpu_ns
                && preempted <= thread.run_delay_ns + thread.cpu_ns / 4,
            "{thread:?}: {preempted} ns"
        );
        ensure!(preempted > 100_000_000, "two threads on one CPU: {thread:?} was preempted for {preempted} ns");
        let other = recorded.total(thread.tid) - preempted;
        ensure!(other < preempted / 2, "{thread:?} waits for nothing else: {other} ns, {preempted} ns preempted");
    }
    Ok(Outcome::Holds)
}

fn burn() -> Result<Fixture> {
    Fixture::start("burn", &["--seconds", "0.6"])
}

/// How many reads a file has of those that `readdirect` makes.
const READS: u64 = 200;

pub(crate) fn io_wait() -> Result<Outcome> {
    let dir = Workdir::new()?;
    let file = dir.path("file");
    let file = file.to_str().context("a path of text")?;
    let mut dd = Command::new("dd");
    dd.args(["if=/dev/zero", "bs=256k", &format!("count={READS}"), "conv=fsync", "status=none", &format!("of={file}")]);
    ensure!(dd.status().context("cannot run dd")?.success(), "dd cannot write {file}");
    // Without quell: whether this disk lets anybody wait. It may be done before the thread sleeps, so not for each read.
    match Fixture::start("readdirect", &[file]).and_then(read) {
        Ok(reads) if reads.sleeps >= READS / 10 => {}
        _ => return skip("needs temporary files on a disk whose direct reads wait"),
    }
    let reading = Fixture::start("readdirect", &[file])?;
    let capture = begin(&["-p", &reading.pid().to_string(), "--every-event"])?;
    let reads = read(reading)?;
    let recorded = capture.ended()?;
    // What reads a block from a disk, whatever the file system (fs/iomap or fs/direct-io.c).
    let in_kernel = |sample: &Weighted| {
        let function =
            |name: &str| ["__iomap_dio_rw", "do_blockdev_direct_IO"].iter().any(|known| name.contains(known));
        recorded.functions(sample, FrameKind::Kernel).any(function)
    };
    let of_reads = |sample: &Weighted| recorded.tid(sample) == reads.tid && recorded.calls(sample, &reads.function);
    let waits = |metric| {
        let waits = |sample: &Weighted| recorded.is_of(sample, metric) && of_reads(sample) && in_kernel(sample);
        recorded.estimate(waits).samples as u64
    };
    ensure!(is_count(waits(IO_WAIT), reads.sleeps), "{} waits for I/O, of {reads:?}", waits(IO_WAIT));
    ensure!(waits(BLOCKED) == 0, "{} waits for a disk are for something else", waits(BLOCKED));
    let found = recorded.off_cpu(reads.tid, &reads.function);
    let (on_cpu, walks) = (reads.wall_ns - reads.off_cpu_ns, recorded.walks(found.samples));
    ensure!(is_time(found.nanos, reads.off_cpu_ns, on_cpu, walks), "{reads:?}: {found:?}, walks of {walks} ns");
    Ok(Outcome::Holds)
}

/// Lets it read its file, and gives what it says of that.
fn read(mut reading: Fixture) -> Result<BlockedPath> {
    reading.go()?;
    let read: ReadDirectly = reading.finish()?;
    ensure!(read.reads.count == READS, "{read:?}");
    Ok(read.reads)
}

pub(crate) fn wake_chain() -> Result<Outcome> {
    let mut chain = Fixture::start("wakechain", &["--rounds", "60"])?;
    let capture = begin(&["-p", &chain.pid().to_string(), "--every-event"])?;
    chain.go()?;
    let chained: Chained = chain.finish()?;
    let recorded = capture.ended()?;
    let tids: Vec<_> = chained.links.iter().map(|link| link.tid).collect();
    let whole = recorded.profile.samples.iter().filter(|sample| recorded.wake_chain(sample) == tids).count() as u64;
    // Not every round: a link says that it sleeps just before it does, and a timer may be over before its thread waits for it.
    ensure!(2 * whole > chained.rounds, "{whole} whole chains in {} rounds", chained.rounds);
    Ok(Outcome::Holds)
}

pub(crate) fn never_wakes() -> Result<Outcome> {
    // Waits for its `go` in vain: its only thread is in a read of a pipe all the while.
    let waiting = Fixture::start("burn", &[])?;
    waiting.waits()?;
    let (recorded, _) = Capture::whole(&[&FLAGS[..], &["-p", &waiting.pid().to_string(), "-d", "0.5"]].concat())?;
    is_asleep_throughout(&recorded, waiting.pid())?;
    let blocked = |sample: &Weighted| recorded.is_of(sample, BLOCKED);
    ensure!(recorded.profile.samples.iter().all(blocked), "it does nothing else");
    Ok(Outcome::Holds)
}

/// A sleep that the task iterator finds, and those after it, which the thread itself walks: one wait has one stack.
pub(crate) fn found_asleep() -> Result<Outcome> {
    let mut block = Fixture::start("block", &["--seconds", "3600", "--path", "quell_sleep_100ms"])?;
    block.go()?;
    // It may be awake just as a capture begins.
    for _ in 0..10 {
        let (recorded, _) = Capture::whole(&[&FLAGS[..], &["-p", &block.pid().to_string(), "-d", "0.5"]].concat())?;
        let sleeps = || {
            let of_path = |sample: &&Weighted| recorded.calls(sample, "quell_sleep_100ms");
            recorded.profile.samples.iter().filter(of_path).filter(|sample| recorded.is_of(sample, BLOCKED))
        };
        let towers: BTreeSet<Vec<&str>> =
            sleeps().map(|sample| recorded.functions(sample, FrameKind::Kernel).collect()).collect();
        // No sleep is shorter than it was asked to be: the first one began before the capture.
        let first = sleeps().min_by_key(|sample| sample.time);
        if first.is_some_and(|first| first.duration < Nanos(100_000_000)) && sleeps().count() > 2 {
            ensure!(towers.len() == 1, "one wait has several stacks: {towers:?}");
            ensure!(towers.iter().flatten().any(|function| *function == "do_nanosleep"), "{towers:?}");
            return Ok(Outcome::Holds);
        }
    }
    bail!("it was never found asleep")
}

pub(crate) fn command() -> Result<Outcome> {
    let beside = Beside::start()?;
    let block = agent::target_dir()?.join("block");
    let words = ["--", block.to_str().context("a path of text")?];
    let (recorded, ended) = Capture::whole(&[&FLAGS[..], &words, &SLEEPING].concat())?;
    let blocked: Blocked = fixture::report_in(&ended.stdout)?;
    blocked.paths.iter().try_for_each(|path| is_seen(&recorded, path))?;
    recorded.is_only_of(&[blocked.pid])?;
    beside.is_absent(&recorded)?;
    Ok(Outcome::Holds)
}

pub(crate) fn children() -> Result<Outcome> {
    let beside = Beside::start()?;
    let shell = Shell::start("block", &SLEEPING.join(" "))?;
    let parent = shell.pid();
    let capture = begin(&["-p", &parent.to_string()])?;
    let blocked: Blocked = shell.run()?;
    let recorded = capture.ended()?;
    blocked.paths.iter().try_for_each(|path| is_seen(&recorded, path))?;
    recorded.is_only_of(&[parent.cast_signed(), blocked.pid])?;
    beside.is_absent(&recorded)?;
    Ok(Outcome::Holds)
}

pub(crate) fn cgroup() -> Result<Outcome> {
    let cgroup = match Cgroup::create() {
        Ok(cgroup) => cgroup,
        Err(why) => return skip(why),
    };
    let below = cgroup.below()?;
    let (mut inside, mut deeper, mut beside) = (block()?, block()?, block()?);
    // Waits for its `go` in vain.
    let waiting = Fixture::start("burn", &[])?;
    waiting.waits()?;
    cgroup.take(inside.pid())?;
    cgroup.take(waiting.pid())?;
    below.take(deeper.pid())?;
    let capture = begin(&["--cgroup", cgroup.path()?])?;
    for block in [&mut inside, &mut deeper, &mut beside] {
        block.go()?;
    }
    let (inside, deeper, beside): (Blocked, Blocked, Blocked) = (inside.finish()?, deeper.finish()?, beside.finish()?);
    let recorded = capture.stopped()?;
    inside.paths.iter().chain(&deeper.paths).try_for_each(|path| is_seen(&recorded, path))?;
    ensure!(recorded.is_without(beside.pid), "process {} is in no cgroup that was captured", beside.pid);
    is_asleep_throughout(&recorded, waiting.pid())?;
    drop(waiting);
    Ok(Outcome::Holds)
}

pub(crate) fn one_cpu() -> Result<Outcome> {
    let &[other, chosen, ..] = &cpus::allowed()?[..] else { return skip("needs two CPUs") };
    let (mut inside, mut beside) = (block()?, block()?);
    inside.pin(chosen)?;
    beside.pin(other)?;
    let capture = begin(&["-a", "--cpu", &chosen.to_string()])?;
    inside.go()?;
    beside.go()?;
    let (inside, beside): (Blocked, Blocked) = (inside.finish()?, beside.finish()?);
    let recorded = capture.stopped()?;
    inside.paths.iter().try_for_each(|path| is_seen(&recorded, path))?;
    // The threads that block were started during the capture. Of one that slept before, nobody knows where it will run.
    for path in &beside.paths {
        let samples = recorded.estimate(|sample| recorded.tid(sample) == path.tid).samples;
        ensure!(samples == 0 && recorded.total(path.tid) == 0, "thread {} ran on CPU {other}: {samples}", path.tid);
    }
    Ok(Outcome::Holds)
}

pub(crate) fn isolated() -> Result<Outcome> {
    let cpu = cpus::isolated().context("no CPU is isolated")?;
    let mut block = block()?;
    block.pin(cpu)?;
    let capture = begin(&["-p", &block.pid().to_string()])?;
    block.go()?;
    let blocked: Blocked = block.finish()?;
    let recorded = capture.ended()?;
    for path in &blocked.paths {
        is_seen(&recorded, path)?;
        let elsewhere = recorded.sleeps(path.tid).filter(|sample| sample.cpu.0 as usize != cpu).count();
        ensure!(elsewhere == 0, "{elsewhere} sleeps on other CPUs than {cpu}");
    }
    Ok(Outcome::Holds)
}

/// A kernel that is locked down lets no program walk a stack or read a thread's structure, and its switches are counted
/// all the same.
pub(crate) fn locked_down() -> Result<Outcome> {
    let mut block = block()?;
    let capture = begin(&["-p", &block.pid().to_string()])?;
    block.go()?;
    let blocked: Blocked = block.finish()?;
    let recorded = capture.ended()?;
    blocked.threads.iter().try_for_each(|thread| is_counted(&recorded, thread))?;
    Ok(Outcome::Holds)
}

/// The sleeps of a path are all there, and took as long as it says of itself. Only of those that are sampled for
/// certain: of all, or of long ones.
fn is_seen(recorded: &Recorded, path: &BlockedPath) -> Result<()> {
    let blocked = |sample: &Weighted| recorded.is_of(sample, BLOCKED);
    let of_path = |sample: &Weighted| recorded.tid(sample) == path.tid && recorded.calls(sample, &path.function);
    let sleeps = recorded.estimate(|sample| blocked(sample) && of_path(sample)).samples;
    ensure!(is_count(sleeps as u64, path.sleeps), "{path:?}: {sleeps} sleeps");
    let found = recorded.off_cpu(path.tid, &path.function);
    let (on_cpu, walks) = (path.wall_ns - path.off_cpu_ns, recorded.walks(found.samples));
    ensure!(is_time(found.nanos, path.off_cpu_ns, on_cpu, walks), "{path:?}: {found:?}, walks of {walks} ns");
    Ok(())
}

/// The exact totals of a thread are what it says of itself.
fn is_counted(recorded: &Recorded, thread: &BlockedThread) -> Result<()> {
    let sleeps = [BLOCKED, IO_WAIT].map(|metric| recorded.count_for(thread.tid, metric)).iter().sum();
    ensure!(is_count(sleeps, thread.sleeps), "{thread:?}: {sleeps} sleeps");
    let total = recorded.total(thread.tid) as f64;
    let walks = recorded.walks(recorded.sleeps(thread.tid).count());
    ensure!(is_time(total, thread.off_cpu_ns, thread.cpu_ns, walks), "{thread:?}: {total} ns, walks of {walks} ns");
    Ok(())
}

/// Whether a number of sleeps is the true one, but for a few, as at the end of a thread.
fn is_count(found: u64, truth: u64) -> bool {
    found.abs_diff(truth) as f64 <= 3.0 + 0.02 * truth as f64
}

/// Whether a time off the CPU is the true one. The scheduler charges a thread from a moment near that of the tracepoint of
/// its switch: near beside what it takes this machine to put a thread to sleep and to wake it. The walks of its stacks are in the
/// truth and not in what is found: see [`Recorded::walks`].
fn is_time(found: f64, truth: u64, on_cpu: u64, walks: f64) -> bool {
    (found - truth as f64).abs() < 0.05 * truth as f64 + 2.0 * on_cpu as f64 + walks
}

/// A process whose only thread waits in `fixture::ready` is in that all the time, in the kernel's function too.
fn is_asleep_throughout(recorded: &Recorded, pid: u32) -> Result<()> {
    let pid = pid.cast_signed();
    let found = recorded.estimate(|sample| {
        recorded.pid(sample) == pid
            && recorded.calls(sample, "quell_tests::fixture::ready")
            // `anon_pipe_read` since 6.15 (commit 262b2fa99cbe).
            && recorded.functions(sample, FrameKind::Kernel).any(|function| function.ends_with("pipe_read"))
    });
    let duration = recorded.recording.meta.duration.0 as f64;
    // The walk over the threads comes after the probes are attached.
    ensure!((0.8 * duration..=duration).contains(&found.nanos), "process {pid}: {found:?} of {duration} ns");
    Ok(())
}
