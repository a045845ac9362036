//! A profiler that runs beside a workload.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;

use crate::programs;

/// How a profiler is started. It captures until it is interrupted.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
}

impl Contender {
    /// `None`, and a line that says so, where the program is not installed.
    pub(crate) fn find(name: &'static str, program: &Path, args: &[&str]) -> Option<Self> {
        let mut path = std::env::var_os("PATH").unwrap_or_default();
        path.push(":/usr/sbin:/sbin");
        let found = std::env::split_paths(&path).map(|place| place.join(program)).find(|program| program.is_file());
        if found.is_none() {
            println!("{name} is left out: there is no {}", program.display());
        }
        Some(Self { name, program: found?, args: args.iter().map(OsString::from).collect() })
    }
}

/// A profiler at work.
pub(crate) struct Started {
    child: Child,
    name: &'static str,
    /// Its BPF programs.
    pub(crate) programs: Vec<u32>,
}

/// What a profiler took over its whole life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) cpu: Duration,
    pub(crate) peak_kib: u64,
    /// From the interrupt to the end.
    pub(crate) ending: Duration,
}

/// How long nothing must change for a profiler to count as at work, and how long that may take.
const SETTLED: Duration = Duration::from_millis(1_000);
const DEADLINE: Duration = Duration::from_secs(20);

impl Started {
    /// Starts it in `directory`, and waits until it is at work: its BPF programs (some profilers have none) are what
    /// they were a second before.
    pub(crate) fn start(contender: &Contender, directory: &Path) -> Result<Self> {
        let log = fs::File::create(directory.join("stderr")).context("cannot make a log")?;
        let child = Command::new(&contender.program)
            .args(&contender.args)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", contender.program.display()))?;
        let mut started = Self { child, name: contender.name, programs: Vec::new() };
        let begin = Instant::now();
        let mut settled = Instant::now();
        while settled.elapsed() < SETTLED {
            if let Some(status) = started.child.try_wait()? {
                let said = fs::read_to_string(directory.join("stderr")).unwrap_or_default();
                bail!("{} ended before it was measured: {status}\n{said}", contender.name);
            }
            let now = programs::held_by(started.child.id());
            if now != started.programs {
                started.programs = now;
                settled = Instant::now();
            }
            if begin.elapsed() > DEADLINE {
                bail!("{} still loads programs after {} s", contender.name, DEADLINE.as_secs());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(started)
    }

    /// CPU time of its threads so far: the first field of each one's `schedstat`, in nanoseconds
    /// (Documentation/scheduler/sched-stats.rst).
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let path = format!("/proc/{}/task", self.child.id());
        let threads = fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?;
        let mut nanos = 0;
        for thread in threads.flatten() {
            // A thread may end at any moment.
            let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
            nanos += text.split(' ').next().context("an empty schedstat")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Interrupts it, as ^C does, and waits for its end.
    pub(crate) fn stop(mut self) -> Result<Life> {
        let pid = self.child.id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        // Every other child has been waited for by now: what is added is this one's.
        let others = children_cpu()?;
        let interrupted = Instant::now();
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGINT)?;
        let status = self.wait(Duration::from_secs(60))?;
        // 128 + SIGINT, or the signal itself, is how some profilers end on ^C.
        if !status.success() && !matches!(status.code(), None | Some(130)) {
            bail!("{} failed: {status}", self.name);
        }
        Ok(Life {
            cpu: children_cpu()?.saturating_sub(others),
            peak_kib: peak.unwrap_or(0),
            ending: interrupted.elapsed(),
        })
    }

    fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if begin.elapsed() > limit {
                bail!("{} has not ended {} s after its interrupt", self.name, limit.as_secs());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Both fail where it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of every child that has ended and was waited for.
fn children_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = |time: TimeVal| time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64;
    Ok(Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time())))
}
