//! What the profilers have to look at.

use std::hint::black_box;
use std::io::{ErrorKind, Read, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// A workload: it does a number of units, and its time per unit is what a profiler makes worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A unit is a round trip of four bytes between two processes on one CPU: two context switches.
    PingPong,
    /// A unit is 1,000 dependent arithmetic steps, on every CPU at once.
    Compute,
}

impl Kind {
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::PingPong => "pipe ping-pong of two processes on one CPU",
            Self::Compute => "arithmetic on every CPU",
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::PingPong => "ns per round trip",
            Self::Compute => "ns per 1,000 steps",
        }
    }
}

/// Does the work in a process of its own, whose CPU affinity is nobody else's.
pub(crate) fn run_apart(kind: Kind, units: u64) -> Result<Duration> {
    let name = kind.to_possible_value().context("every workload has a name")?;
    let own = std::env::current_exe().context("cannot read /proc/self/exe")?;
    let output = Command::new(own)
        .args(["workload", name.get_name(), &units.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start the workload")?;
    if !output.status.success() {
        bail!("the workload failed: {}", output.status);
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(Duration::from_nanos(text.trim().parse().with_context(|| format!("the workload printed {text:?}"))?))
}

/// How many units take about `time`.
pub(crate) fn calibrate(kind: Kind, time: Duration) -> Result<u64> {
    let mut units = 1_000;
    loop {
        let took = run_apart(kind, units)?;
        if took > time / 10 {
            let scale = time.as_secs_f64() / took.as_secs_f64();
            return Ok(((units as f64 * scale) as u64).max(1));
        }
        units *= 4;
    }
}

/// Does the work in this process.
pub(crate) fn run(kind: Kind, units: u64) -> Result<Duration> {
    match kind {
        Kind::PingPong => ping_pong(units),
        Kind::Compute => compute(units),
    }
}

fn ping_pong(trips: u64) -> Result<Duration> {
    // The last CPU that we may use: interrupts tend to the first.
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let cpu = (0..CpuSet::count()).rev().find(|&cpu| allowed.is_set(cpu).unwrap_or(false));
    let mut one = CpuSet::new();
    one.set(cpu.context("no CPU is allowed to this process")?)?;
    sched_setaffinity(Pid::from_raw(0), &one)?;

    let own = std::env::current_exe().context("cannot read /proc/self/exe")?;
    let mut echo = Command::new(own).arg("echo").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut to = echo.stdin.take().context("stdin is a pipe")?;
    let mut from = echo.stdout.take().context("stdout is a pipe")?;
    let mut trips_of = |trips: u64| -> Result<()> {
        let mut ball = [0; 4];
        for _ in 0..trips {
            to.write_all(&ball)?;
            from.read_exact(&mut ball)?;
        }
        Ok(())
    };
    trips_of(trips / 20 + 100)?;
    let start = Instant::now();
    trips_of(trips)?;
    let took = start.elapsed();
    drop(to);
    echo.wait()?;
    Ok(took)
}

/// Sends back what comes, until nothing does. Beside `std::io::stdout`, which buffers and locks.
pub(crate) fn echo() -> Result<()> {
    let mut from = std::io::stdin().lock();
    let mut to = std::fs::File::options().write(true).open("/proc/self/fd/1").context("stdout is a pipe")?;
    let mut ball = [0; 4];
    loop {
        match from.read_exact(&mut ball) {
            Ok(()) => to.write_all(&ball)?,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn compute(units: u64) -> Result<Duration> {
    let start = Instant::now();
    let threads: Vec<_> =
        (0..thread::available_parallelism()?.get()).map(|_| thread::spawn(move || steps(units * 1_000))).collect();
    for thread in threads {
        black_box(thread.join().expect("arithmetic does not panic"));
    }
    Ok(start.elapsed())
}

#[inline(never)]
fn steps(steps: u64) -> u64 {
    let mut state = black_box(0x9e37_79b9_7f4a_7c15_u64);
    for _ in 0..steps {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    state
}
