//! The fixtures: starting them, and what they report.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::recorded::Recorded;
use crate::{agent, turns};

/// What `burn` reports.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Burned {
    /// Its process.
    pub pid: i32,
    /// Its burning threads.
    pub threads: Vec<BurnedThread>,
}

/// The functions of user space that `burn` spends its time in.
pub const BURNING: [&str; 3] = ["quell_burn_seventy", "quell_burn_twenty", "quell_burn_ten"];

/// CPU time by a fixture's own clock, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// As the clock has it.
    pub spent: u64,
    /// ... less what its CPU may not have been there: see [`BurnedThread::undisturbed`].
    pub undisturbed: u64,
}

impl Burned {
    /// What was spent in all functions of user space, over all threads.
    pub fn burning(&self) -> CpuTime {
        let sum = |sum: CpuTime, time: CpuTime| CpuTime {
            spent: sum.spent + time.spent,
            undisturbed: sum.undisturbed + time.undisturbed,
        };
        BURNING.iter().map(|function| self.in_function(function)).fold(CpuTime::default(), sum)
    }

    /// ... in one function.
    pub fn in_function(&self, function: &str) -> CpuTime {
        CpuTime {
            spent: self.threads.iter().filter_map(|thread| thread.functions.get(function)).sum(),
            undisturbed: self.threads.iter().filter_map(|thread| thread.undisturbed.get(function)).sum(),
        }
    }
}

/// One thread of `burn`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BurnedThread {
    /// The thread.
    pub tid: i32,
    /// CPU nanoseconds by function.
    pub functions: BTreeMap<String, u64>,
    /// What they would have been at the pace of the faster quarter of its slices. A virtual CPU that waits for its
    /// host's looks to its kernel as though it ran, and takes no interrupts: that time is the difference.
    pub undisturbed: BTreeMap<String, u64>,
    /// CPU nanoseconds of all that it did, ...
    pub cpu_ns: u64,
    /// ... and how long it took: it waits for nothing but its CPU.
    pub wall_ns: u64,
    /// How long it could have run since it was started, and did not: before its own clock began, too.
    pub run_delay_ns: u64,
}

/// What `block` reports.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Blocked {
    /// Its process.
    pub pid: i32,
    /// The ways it blocked.
    pub paths: Vec<BlockedPath>,
    /// The threads that did, each as a whole.
    pub threads: Vec<BlockedThread>,
    /// The threads that woke them, by name, where there was something to wait for: they sleep too.
    pub partners: BTreeMap<String, i32>,
}

/// One way of blocking.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BlockedPath {
    /// The function that blocks.
    pub function: String,
    /// The thread that called it.
    pub tid: i32,
    /// How often it did.
    pub count: u64,
    /// How often the thread gave up its CPU in it, by the kernel's own count (`ru_nvcsw` of getrusage(2)): not at
    /// all where what it waits for is there already.
    pub sleeps: u64,
    /// Time in it, in nanoseconds.
    pub wall_ns: u64,
    /// ... off the CPU: wall less CPU time.
    pub off_cpu_ns: u64,
}

/// A thread of `block`, between its ways too.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BlockedThread {
    /// The thread.
    pub tid: i32,
    /// How often it gave up its CPU, from its very beginning, by the kernel's own count.
    pub sleeps: u64,
    /// Time on the CPU, in nanoseconds.
    pub cpu_ns: u64,
    /// ... and off it.
    pub off_cpu_ns: u64,
}

/// What `readdirect` reports: its reads as one way of blocking, whose sleeps are waits for I/O.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadDirectly {
    /// Its process.
    pub pid: i32,
    /// Its reads.
    pub reads: BlockedPath,
}

/// What `runqueue` reports: the sums over its threads of what the kernel counts for each (`/proc/PID/schedstat`).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Queued {
    /// Its process.
    pub pid: i32,
    /// How often they came onto a CPU, ...
    pub waits: u64,
    /// ... of that after they were preempted.
    pub preempted: u64,
    /// How long they waited for that altogether, in nanoseconds.
    pub run_delay_ns: u64,
}

impl Queued {
    /// Adds what a thread counted.
    pub fn add(&mut self, thread: &Self) {
        self.waits += thread.waits;
        self.preempted += thread.preempted;
        self.run_delay_ns += thread.run_delay_ns;
    }

    /// What was counted since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            pid: self.pid,
            waits: self.waits - before.waits,
            preempted: self.preempted - before.preempted,
            run_delay_ns: self.run_delay_ns - before.run_delay_ns,
        }
    }
}

/// What `wakechain` reports: a wakes last, woken by b, woken by c, woken by a timer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chained {
    /// Its process.
    pub pid: i32,
    /// How often the chain ran.
    pub rounds: u64,
    /// Thread names, ids and off-CPU time, the last to wake first.
    pub links: Vec<ChainedThread>,
}

/// One thread of `wakechain`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChainedThread {
    /// Its name.
    pub comm: String,
    /// The thread.
    pub tid: i32,
    /// The function it blocks in.
    pub function: String,
    /// Time off the CPU in that function, in nanoseconds.
    pub off_cpu_ns: u64,
}

/// A fixture that runs.
#[derive(Debug)]
pub struct Fixture {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Fixture {
    /// Starts a fixture of this package by name, which then waits for [`go`](Self::go).
    pub fn start(name: &str, args: &[&str]) -> Result<Self> {
        let path = agent::target_dir()?.join(name);
        let mut child = Command::new(&path)
            .arg("--wait")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the fixture {}", path.display()))?;
        let output = child.stdout.take().context("stdout is a pipe")?;
        let mut fixture = Self { child, output: BufReader::new(output) };
        let mut line = String::new();
        fixture.output.read_line(&mut line)?;
        if line != "ready\n" {
            bail!("the fixture {name} is not ready: {line:?}");
        }
        Ok(fixture)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns once its only thread is in the read(2) in which it waits for [`go`](Self::go): it says that it is ready just
    /// before. A thread that falls asleep after a capture has begun is sampled by chance, one that slept before for certain.
    pub fn waits(&self) -> Result<()> {
        let path = format!("/proc/{}/syscall", self.pid());
        turns::until("the fixture waits", || {
            let call = fs::read_to_string(&path)?;
            Ok((call.split(' ').next() == Some(&libc::SYS_read.to_string())).then_some(()))
        })
    }

    /// Keeps it to one CPU, with the threads that it has not started yet.
    pub fn pin(&self, cpu: usize) -> Result<()> {
        let mut only = CpuSet::new();
        only.set(cpu)?;
        sched_setaffinity(Pid::from_raw(self.pid().cast_signed()), &only)
            .with_context(|| format!("cannot keep a process to CPU {cpu}"))
    }

    /// Lets it begin.
    pub fn go(&mut self) -> Result<()> {
        self.child.stdin.take().context("the fixture has begun already")?.write_all(b"go\n")?;
        Ok(())
    }

    /// Waits for its end, and reads what it reports.
    pub fn finish<T: DeserializeOwned>(mut self) -> Result<T> {
        let mut report = String::new();
        self.output.read_to_string(&mut report)?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the fixture failed: {status}");
        }
        serde_json::from_str(&report).with_context(|| format!("the fixture reported {report:?}"))
    }
}

/// A process that sleeps and wakes beside what is captured, for an hour or until it is dropped: to be absent. Not often, since
/// it takes its time from what is measured on a machine whose CPUs share one of their host's.
#[derive(Debug)]
pub struct Beside {
    fixture: Fixture,
}

impl Beside {
    /// Starts it. It is at work when this returns.
    pub fn start() -> Result<Self> {
        let mut fixture = Fixture::start("block", &["--seconds", "3600", "--path", "quell_sleep_100ms"])?;
        fixture.go()?;
        Ok(Self { fixture })
    }

    /// Fails unless it was at work all the time, and nothing of it is in a capture.
    pub fn is_absent(mut self, recorded: &Recorded) -> Result<()> {
        let ended = self.fixture.child.try_wait()?;
        ensure!(ended.is_none(), "the fixture beside has ended, with {ended:?}");
        let pid = self.fixture.pid();
        ensure!(recorded.is_without(pid.cast_signed()), "process {pid} was not to be captured");
        Ok(())
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // Fails where it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a fixture reports on the stdout that it shares with who started it.
pub fn report_in<T: DeserializeOwned>(output: &str) -> Result<T> {
    let line = output.lines().find(|line| line.starts_with('{')).context("no report of a fixture")?;
    serde_json::from_str(line).with_context(|| format!("the fixture reported {line:?}"))
}

/// In a fixture: says that it is ready, and waits for a line on stdin where it was told to.
///
/// From then on it waits for no page of its files any more, if it may lock that much memory: it would neither count nor
/// time such waits. What it maps later is left alone, or threads would wait for each other as they start.
pub fn ready(wait: bool) -> Result<()> {
    let _ = mlockall(MlockAllFlags::MCL_CURRENT);
    let mut stdout = std::io::stdout();
    stdout.write_all(b"ready\n")?;
    stdout.flush()?;
    if wait {
        std::io::stdin().read_line(&mut String::new())?;
    }
    Ok(())
}

/// In a fixture: prints what it reports.
pub fn report(report: &impl Serialize) -> Result<()> {
    let mut stdout = std::io::stdout();
    serde_json::to_writer(&mut stdout, report)?;
    stdout.write_all(b"\n")?;
    Ok(())
}
