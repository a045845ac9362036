//! Starts the fixtures, and reads their reports.

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

/// The report of `burn`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Burned {
    /// The PID.
    pub pid: i32,
    /// The threads that consume CPU time.
    pub threads: Vec<BurnedThread>,
}

/// The user-space functions in which `burn` spends its time.
pub const BURNING: [&str; 3] = ["quell_burn_seventy", "quell_burn_twenty", "quell_burn_ten"];

/// CPU time as measured by a fixture, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// The measured time.
    pub spent: u64,
    /// The measured time without the time in which the virtual CPU may not have run: see [`BurnedThread::undisturbed`].
    pub undisturbed: u64,
}

impl Burned {
    /// The time in all user-space functions, over all threads.
    pub fn burning(&self) -> CpuTime {
        let sum = |sum: CpuTime, time: CpuTime| CpuTime {
            spent: sum.spent + time.spent,
            undisturbed: sum.undisturbed + time.undisturbed,
        };
        BURNING.iter().map(|function| self.in_function(function)).fold(CpuTime::default(), sum)
    }

    /// The time in one function, over all threads.
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
    /// The TID.
    pub tid: i32,
    /// The CPU time by function, in nanoseconds.
    pub functions: BTreeMap<String, u64>,
    /// The CPU time by function if all slices had the pace of the fastest quarter, in nanoseconds. A virtual CPU that waits
    /// for a CPU of its host appears to its kernel to be running, but takes no interrupts: the difference is this time.
    pub undisturbed: BTreeMap<String, u64>,
    /// The CPU time of the whole thread, in nanoseconds.
    pub cpu_ns: u64,
    /// The wall time of the whole thread, in nanoseconds. The thread waits for nothing but its CPU.
    pub wall_ns: u64,
    /// The time for which the thread was runnable but did not run, since it was started and so before its own clock began, in
    /// nanoseconds.
    pub run_delay_ns: u64,
}

/// The report of `block`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Blocked {
    /// The PID.
    pub pid: i32,
    /// The ways in which it blocked.
    pub paths: Vec<BlockedPath>,
    /// The threads that blocked.
    pub threads: Vec<BlockedThread>,
    /// The threads that wake the blocked threads: TIDs by name. They sleep too. Empty if no way of blocking requires them.
    pub partners: BTreeMap<String, i32>,
}

/// One way of blocking.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BlockedPath {
    /// The function that blocks.
    pub function: String,
    /// The TID of the thread that called it.
    pub tid: i32,
    /// The number of calls.
    pub count: u64,
    /// The number of voluntary context switches in it (`ru_nvcsw` of getrusage(2)). A call that does not have to wait causes
    /// none.
    pub sleeps: u64,
    /// The wall time in it, in nanoseconds.
    pub wall_ns: u64,
    /// The off-CPU time in it, in nanoseconds: wall time less CPU time.
    pub off_cpu_ns: u64,
}

/// A thread of `block` as a whole, including the time between calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BlockedThread {
    /// The TID.
    pub tid: i32,
    /// The number of voluntary context switches since the thread was started.
    pub sleeps: u64,
    /// The on-CPU time, in nanoseconds.
    pub cpu_ns: u64,
    /// The off-CPU time, in nanoseconds.
    pub off_cpu_ns: u64,
}

/// The report of `phases`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Phased {
    /// The PID.
    pub pid: i32,
    /// The sleeps of all threads.
    pub sleeps: Vec<Sleep>,
}

/// A sleep of a thread, from just before to just after, in `CLOCK_MONOTONIC`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sleep {
    /// The TID.
    pub tid: i32,
    /// The name of the thread at that time.
    pub name: String,
    /// When it began, in nanoseconds.
    pub begin_ns: u64,
    /// When it ended, in nanoseconds.
    pub end_ns: u64,
}

/// The report of `readdirect`: its reads as one way of blocking, whose sleeps are I/O waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadDirectly {
    /// The PID.
    pub pid: i32,
    /// The reads.
    pub reads: BlockedPath,
}

/// The report of `runqueue`: the sums of the kernel's counts for each thread (`/proc/PID/schedstat` and `/proc/PID/status`).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Queued {
    /// The PID.
    pub pid: i32,
    /// The number of times that the threads were scheduled onto a CPU.
    pub waits: u64,
    /// The number of these times that followed a preemption.
    pub preempted: u64,
    /// The total time of waiting for a CPU, in nanoseconds.
    pub run_delay_ns: u64,
}

impl Queued {
    /// Adds the counts of a thread.
    pub fn add(&mut self, thread: &Self) {
        self.waits += thread.waits;
        self.preempted += thread.preempted;
        self.run_delay_ns += thread.run_delay_ns;
    }

    /// The counts since `before`.
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

/// The report of `wakechain`: a wakes up last, woken by b, which is woken by c, which is woken by a timer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chained {
    /// The PID.
    pub pid: i32,
    /// The number of times that the chain ran.
    pub rounds: u64,
    /// The threads. The last one to wake up is first.
    pub links: Vec<ChainedThread>,
}

/// One thread of `wakechain`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChainedThread {
    /// The name.
    pub comm: String,
    /// The TID.
    pub tid: i32,
    /// The function in which the thread blocks.
    pub function: String,
    /// The off-CPU time in this function, in nanoseconds.
    pub off_cpu_ns: u64,
}

/// The report of `reload`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reloaded {
    /// The PID.
    pub pid: i32,
    /// The CPU time in the code of each file, in nanoseconds, by the name of the file.
    pub cpu_ns: BTreeMap<String, u64>,
}

/// The report of `again`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Again {
    /// The PID.
    pub pid: i32,
    /// The turns, one after the other.
    pub turns: Vec<Turn>,
}

/// The turn of one thread of `again`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Turn {
    /// The name of the thread.
    pub name: String,
    /// The TID.
    pub tid: i32,
    /// The on-CPU time, in nanoseconds.
    pub cpu_ns: u64,
    /// The off-CPU time, in nanoseconds.
    pub off_cpu_ns: u64,
}

/// The report of `ask`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// The PID, and the TID of the thread that asks.
    pub pid: i32,
    /// The median of its waits for an answer, in nanoseconds of wall time.
    pub median_ns: u64,
}

/// A running fixture.
#[derive(Debug)]
pub struct Fixture {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Fixture {
    /// Starts a fixture of this package by its name. The fixture then waits for [`go`](Self::go).
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

    /// The PID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns when its only thread is in the read(2) in which it waits for [`go`](Self::go): it reports that it is ready
    /// just before. A sleep that begins during a capture is sampled by chance, one that began earlier is always sampled.
    pub fn waits(&self) -> Result<()> {
        let path = format!("/proc/{}/syscall", self.pid());
        turns::until("the fixture waits", || {
            let call = fs::read_to_string(&path)?;
            Ok((call.split(' ').next() == Some(&libc::SYS_read.to_string())).then_some(()))
        })
    }

    /// Pins the process, and all threads that it starts later, to one CPU.
    pub fn pin(&self, cpu: usize) -> Result<()> {
        let mut only = CpuSet::new();
        only.set(cpu)?;
        sched_setaffinity(Pid::from_raw(self.pid().cast_signed()), &only)
            .with_context(|| format!("cannot keep a process to CPU {cpu}"))
    }

    /// Lets the fixture begin.
    pub fn go(&mut self) -> Result<()> {
        self.child.stdin.take().context("the fixture has begun already")?.write_all(b"go\n")?;
        Ok(())
    }

    /// Waits until a thread other than the first has run for 50 ms: `burn` does what it is for, and its clocks have started.
    pub fn burns(&self) -> Result<()> {
        const LEAST: u64 = 50_000_000;
        let first = self.pid().to_string();
        turns::until("a thread of the fixture runs", || {
            for thread in fs::read_dir(format!("/proc/{first}/task"))? {
                let thread = thread?;
                let schedstat = fs::read_to_string(thread.path().join("schedstat"))?;
                let ran = schedstat.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok());
                if thread.file_name() != *first && ran.is_some_and(|ran| ran > LEAST) {
                    return Ok(Some(()));
                }
            }
            Ok(None)
        })
    }

    /// Waits until the fixture exits, and reads its report.
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

/// A process that sleeps and wakes up while something else is captured, for an hour or until this is dropped. The recording
/// must not contain it. It wakes up rarely, because it takes time from the measured processes if the CPUs of the machine
/// share a CPU of the host.
#[derive(Debug)]
pub struct Beside {
    fixture: Fixture,
}

impl Beside {
    /// Starts it. It is already running when this returns.
    pub fn start() -> Result<Self> {
        let mut fixture = Fixture::start("block", &["--seconds", "3600", "--path", "quell_sleep_100ms"])?;
        fixture.go()?;
        Ok(Self { fixture })
    }

    /// Fails if it has exited, or if the recording contains it.
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
        // Fails if the fixture has exited, which is the normal case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Parses the report of a fixture in the output that the fixture shares with its parent process.
pub fn report_in<T: DeserializeOwned>(output: &str) -> Result<T> {
    let line = output.lines().find(|line| line.starts_with('{')).context("no report of a fixture")?;
    serde_json::from_str(line).with_context(|| format!("the fixture reported {line:?}"))
}

/// For fixtures: prints that the fixture is ready, and waits for a line on stdin if `wait` is set.
///
/// Locks the mapped memory, if permitted, so that the fixture does not wait for pages of its files: it would neither count
/// nor measure such waits. Later mappings are not locked, because threads would then wait for each other when they start.
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

/// For fixtures: prints the report.
pub fn report(report: &impl Serialize) -> Result<()> {
    let mut stdout = std::io::stdout();
    serde_json::to_writer(&mut stdout, report)?;
    stdout.write_all(b"\n")?;
    Ok(())
}
