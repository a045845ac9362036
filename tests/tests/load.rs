//! Under load: rate control slows sampling down and says so, and nothing is lost.

use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::signal::Signal;
use quell::recording::example::CPU;
use quell_tests::agent::Workdir;
use quell_tests::fixture::{Blocked, Burned, Fixture};
use quell_tests::recorded::Recorded;
use quell_tests::{needs, turns};

/// Two threads of the test that pass a byte to and fro, a context switch for each, until it is dropped.
struct PingPong {
    first: Option<PipeWriter>,
    threads: Vec<JoinHandle<()>>,
}

impl PingPong {
    fn start() -> Result<Self> {
        let (to_one, to_two) = (std::io::pipe()?, std::io::pipe()?);
        let first = to_one.1.try_clone()?;
        let one = thread::spawn(move || pass_on(to_one.0, to_two.1));
        let two = thread::spawn(move || pass_on(to_two.0, to_one.1));
        let mut ping_pong = Self { first: Some(first), threads: vec![one, two] };
        if let Some(first) = &mut ping_pong.first {
            first.write_all(b"p")?;
        }
        Ok(ping_pong)
    }
}

fn pass_on(mut from: PipeReader, mut to: PipeWriter) {
    let mut byte = [0];
    while from.read_exact(&mut byte).is_ok() && byte != *b"q" && to.write_all(&byte).is_ok() {}
    // The other one ends by it.
    let _ = to.write_all(b"q");
}

impl Drop for PingPong {
    fn drop(&mut self) {
        if let Some(mut first) = self.first.take() {
            let _ = first.write_all(b"q");
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn capture(dir: &Workdir, budget: &str, seconds: &str) -> Result<(Recorded, Burned, String)> {
    let _load = PingPong::start()?;
    let mut burn = Fixture::start("burn", &["--seconds", seconds])?;
    let quell = dir.spawn(["record", "-a", "-F", "1999", "--max-overhead", budget, "-o", "x.quell"])?;
    quell.captures()?;
    burn.go()?;
    let burned = burn.finish()?;
    quell.signal(Signal::SIGINT)?;
    let ended = quell.wait()?.expect_code(0)?;
    Ok((Recorded::read(&dir.path("x.quell"))?, burned, ended.stdout))
}

#[test]
fn a_low_budget_slows_the_sampling_down() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    // So low that any host is above it from the first measurement on.
    let (recorded, _, summary) = capture(&Workdir::new()?, "0.1", "3")?;
    let governing = &recorded.recording.meta.governing;
    assert_eq!(governing.budget, Some(0.001));
    for probe in ["cpu", "offcpu"] {
        let slower = governing.changes.iter().any(|change| change.probe == probe && change.scale < 0.5);
        assert!(slower, "{probe}: {governing:?}");
    }
    assert!(summary.lines().any(|line| line.starts_with("budget")), "{summary}");
    Ok(())
}

#[test]
fn first_sleeps_take_no_more_than_what_is_put_aside_for_them() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let own = std::process::id().to_string();
    let quell = dir.spawn(["record", "-p", &own, "--probe", "offcpu", "--max-overhead", "0.1", "-o", "x.quell"])?;
    quell.captures()?;
    let begun = Instant::now();
    let mut threads = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        let (mut from, mut to) = std::io::pipe()?;
        let once = thread::Builder::new().name("once".into()).spawn(move || from.read_exact(&mut [0]))?;
        to.write_all(b"w")?;
        once.join().expect("it does not panic")?;
        threads += 1;
    }
    quell.signal(Signal::SIGINT)?;
    quell.wait()?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    let recording = &recorded.recording;
    let certain = recording
        .samples
        .iter()
        .filter(|sample| recording.threads.get(sample.thread).comm == "once")
        .filter(|sample| sample.probability == 1.0 && !sample.ongoing);
    // 0.1 % of a window of 34 ms, on two CPUs, is 17 us on each. The purse is full with eight times that, which is four samples of
    // 32 us, and an eighth of it comes with each window: another four in two seconds.
    let (certain, cpus) = (certain.count(), thread::available_parallelism()?.get());
    assert!(certain <= 8 * cpus, "{certain} certain samples on {cpus} CPUs, of {threads} threads");
    Ok(())
}

#[test]
#[ignore = "long: cargo xtask test --all"]
fn a_low_budget_leaves_the_shares_true() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let (recorded, burned, _) = capture(&Workdir::new()?, "0.6", "8")?;
    let in_function = |function: &str| recorded.on_cpu(burned.pid, function).nanos;
    let functions = &burned.threads[0].functions;
    let (found, truth): (f64, u64) = (functions.keys().map(|name| in_function(name)).sum(), functions.values().sum());
    let squares: f64 = functions.keys().map(|name| recorded.on_cpu(burned.pid, name).squares).sum();
    // The number of samples of one weight that would be as exact: rate control has given these unequal ones.
    let samples = found.powi(2) / squares;
    for (function, spent) in functions {
        let (share, expected) = (in_function(function) / found, *spent as f64 / truth as f64);
        // Three points, or what chance does to so few samples.
        let chance = 4.0 * (expected * (1.0 - expected) / samples).sqrt();
        assert!(
            (share - expected).abs() < chance.max(0.03),
            "{function}: {share:.4} of {samples:.1} samples, by its own clock {expected:.4}"
        );
    }
    // Each sample stands for its interval, divided by the probability that it was taken with. Ten percent, or what chance does.
    let chance =
        4.0 * recorded.estimate(|sample| recorded.is_of(sample, CPU) && recorded.pid(sample) == burned.pid).error;
    let (truth, error) = (truth as f64, (found - truth as f64).abs());
    assert!(error < chance.max(truth / 10.0), "{found} ns of CPU time, by its own clock {truth}, chance {chance}");
    Ok(())
}

#[test]
fn without_a_budget_the_rates_stay() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let (recorded, _, summary) = capture(&Workdir::new()?, "0", "2")?;
    let meta = &recorded.recording.meta;
    assert_eq!((meta.governing.budget, meta.governing.changes.len(), meta.governing.over_budget), (None, 0, false));
    // A thread that ran throughout has the time since the last interrupt, which may come late; the others the interval.
    let mut samples = recorded.profile.samples.iter().filter(|sample| recorded.is_of(sample, CPU));
    assert!(samples.any(|sample| sample.value == f64::from(1_000_000_000 / 1999)), "{summary}");
    Ok(())
}

#[test]
#[ignore = "long: cargo xtask test --all"]
fn of_a_thread_that_ends_while_the_rings_are_full_the_totals_are_known() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    // On one CPU, that of the load: its ring is full when the threads end.
    let mut only = nix::sched::CpuSet::new();
    only.set(0)?;
    let mut block = Fixture::start("block", &["--seconds", "2", "--every-path-in-one-thread"])?;
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(block.pid().cast_signed()), &only)?;
    let quell = dir.spawn(["record", "-a", "--probe", "offcpu", "--every-event", "-o", "x.quell"])?;
    quell.captures()?;
    // Nobody empties the rings from now on.
    quell.signal(Signal::SIGSTOP)?;
    // Its threads inherit the CPU of the one that starts them.
    let load = thread::spawn(move || {
        nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &only)?;
        PingPong::start()
    });
    let load = load.join().expect("starting a load does not panic")?;
    block.go()?;
    let blocked: Blocked = block.finish()?;
    drop(load);
    quell.signal(Signal::SIGCONT)?;
    quell.signal(Signal::SIGINT)?;
    let ended = quell.wait()?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    assert!(recorded.recording.meta.losses.ring_full > 0, "{}", ended.stdout);
    let (found, truth): (_, u64) =
        (recorded.total(blocked.paths[0].tid), blocked.paths.iter().map(|path| path.off_cpu_ns).sum());
    // It also waits between its functions, for its turn.
    assert!((truth - truth / 20..4_000_000_000).contains(&found), "{found} ns off CPU, by its own clock {truth}");
    Ok(())
}

/// A load of stress-ng, ended with this value.
struct Stress {
    child: Child,
}

impl Drop for Stress {
    fn drop(&mut self) {
        // Told to end, it ends its own children.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "long: cargo xtask test --all"]
fn nothing_is_lost_while_the_host_switches_and_computes() -> Result<()> {
    needs!(Bpf, Program("stress-ng"));
    let _alone = turns::alone();
    let mut stress = Command::new("stress-ng");
    stress.args(["--cpu", "2", "--switch", "4", "--timeout", "120"]);
    let child = stress.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let _stress = Stress { child };
    let dir = Workdir::new()?;
    let ended = dir.run(["record", "-a", "-d", "10", "-o", "x.quell"])?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    let losses = &recorded.recording.meta.losses;
    let lost = [losses.ring_full, losses.thread_table_full, losses.targets_full, losses.unknown_records];
    assert_eq!(lost, [0; 4], "{}", ended.stdout);
    let slept: u64 = recorded.profile.counters.iter().map(|row| row.count).sum();
    assert!(slept > 100_000, "{slept} sleeps are no load");
    Ok(())
}

#[test]
fn every_format_is_written_of_one_capture() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let names = ["x.html", "x.svg", "x.folded", "x.pb.gz", "x.speedscope.json", "x.quell"];
    let outputs = names.iter().flat_map(|name| ["-o", name]);
    dir.run(["record", "-a", "-d", "1"].into_iter().chain(outputs))?.expect_code(0)?;
    for name in names {
        let path = if name == "x.quell" { dir.path(name).join("meta.json") } else { dir.path(name) };
        assert!(std::fs::metadata(&path)?.len() > 100, "{name}");
    }
    assert!(Recorded::read(&dir.path("x.quell"))?.profile.samples.len() > 10);
    Ok(())
}
