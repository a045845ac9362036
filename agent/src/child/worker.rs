//! A child process that answers requests, and is killed on a timeout.
//!
//! A child may block forever in the kernel, and even SIGKILL does not end it: for example if a FUSE server never answers a request
//! (`request_wait_answer`, fs/fuse/dev.c). Such a child is abandoned. Nothing waits for it, and it holds only its own descriptors.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::channel::{Channel, Message};
use super::{Process, Role, spawn};

/// The polling interval while waiting for an answer.
const SLICE: Duration = Duration::from_millis(10);

/// The time after which a killed child is abandoned.
const REAP: Duration = Duration::from_millis(50);

/// The timeout for sending a request.
const SEND: Duration = Duration::from_secs(2);

/// The limits for an answer. Time in which the child was runnable but did not run is not counted, up to ten times both limits
/// together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The maximum time for which the child is blocked.
    pub(crate) blocked: Duration,
    /// The maximum CPU time of the child.
    pub(crate) cpu: Duration,
}

/// The reason why there is no answer.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The child exceeded its [`Limits`].
    TimedOut,
    /// The child has exited, or its answer is invalid.
    Failed(io::Error),
    /// The caller cancelled the request.
    Cancelled,
}

/// A child process and the connection to it. Dropping it kills the child.
#[derive(Debug)]
pub(crate) struct Worker {
    process: Process,
    channel: Channel,
    /// CPU time of the child when its last request was sent.
    cpu_before: Duration,
}

impl Worker {
    /// Starts a child whose messages have at most `limit` bytes.
    ///
    /// # Errors
    /// The process cannot be started.
    pub(crate) fn start(role: Role, limit: usize) -> io::Result<Self> {
        let (process, socket) = spawn(role)?;
        Self::new(process, socket, limit)
    }

    /// Starts a child that may send descriptors, because it parses no untrusted input.
    ///
    /// # Errors
    /// As [`Worker::start`].
    pub(crate) fn start_trusted(role: Role, limit: usize) -> io::Result<Self> {
        let mut worker = Self::start(role, limit)?;
        worker.channel.take_descriptors();
        Ok(worker)
    }

    /// Wraps a running child at the other end of `socket`.
    ///
    /// # Errors
    /// The socket cannot be set up.
    pub(crate) fn new(process: Process, socket: UnixStream, limit: usize) -> io::Result<Self> {
        socket.set_write_timeout(Some(SEND))?;
        Ok(Self { process, channel: Channel::new(socket, limit), cpu_before: Duration::ZERO })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// The child has exited, or does not read.
    pub(crate) fn send(
        &mut self,
        head: &impl Serialize,
        data: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        self.cpu_before = state(self.process.id()).map_or(Duration::ZERO, |state| state.cpu);
        self.channel.send(head, data, descriptors)
    }

    /// The answer, without waiting for it; `None` if it has not arrived.
    ///
    /// # Errors
    /// The child has exited, or its answer is invalid.
    pub(crate) fn try_receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<Message<T>>> {
        self.channel.try_receive()
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// Any [`CallError`]. The child is then in an unknown state: drop it.
    pub(crate) fn receive<T: DeserializeOwned>(
        &mut self,
        limits: Limits,
        cancelled: &mut dyn FnMut() -> bool,
    ) -> Result<Message<T>, CallError> {
        let mut watch = Watch::new(limits, self.cpu_before);
        loop {
            if let Some(message) = self.channel.try_receive().map_err(CallError::Failed)? {
                return Ok(message);
            }
            if cancelled() {
                return Err(CallError::Cancelled);
            }
            if watch.has_expired(self.process.id()) {
                return Err(CallError::TimedOut);
            }
            wait_readable(self.channel.as_fd(), SLICE);
        }
    }

    /// Waits until there is data to read, at most for `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) {
        wait_readable(self.channel.as_fd(), timeout);
    }

    /// Whether the child has exceeded `watch`.
    pub(crate) fn has_expired(&self, watch: &mut Watch) -> bool {
        watch.has_expired(self.process.id())
    }

    /// Starts measuring the child.
    pub(crate) fn watch(&self, limits: Limits) -> Watch {
        Watch::new(limits, self.cpu())
    }

    /// The PID of the child.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The CPU time that the child has used.
    pub(crate) fn cpu(&self) -> Duration {
        state(self.process.id()).map_or(Duration::ZERO, |state| state.cpu)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.process.end(REAP);
    }
}

fn wait_readable(socket: BorrowedFd<'_>, timeout: Duration) {
    let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
    // A signal ends the wait early, which is harmless.
    let _ = poll(&mut [PollFd::new(socket, PollFlags::POLLIN)], timeout);
}

/// Measures an answer against its [`Limits`].
#[derive(Debug)]
pub(crate) struct Watch {
    limits: Limits,
    begin: Instant,
    looked: Instant,
    blocked: Duration,
    cpu_before: Duration,
}

impl Watch {
    fn new(limits: Limits, cpu_before: Duration) -> Self {
        let now = Instant::now();
        Self { limits, begin: now, looked: now, blocked: Duration::ZERO, cpu_before }
    }

    fn has_expired(&mut self, child: u32) -> bool {
        let now = Instant::now();
        let slice = now - self.looked;
        if slice < SLICE / 2 {
            return false;
        }
        self.looked = now;
        // A child whose state cannot be read counts as blocked: /proc may be mounted with hidepid=2, and the child may have
        // privileges that this process lacks. A child that has exited has closed its connection.
        let state = state(child).unwrap_or(State { runnable: false, cpu: Duration::ZERO });
        // At most two slices: the child may have been blocked only at the time of this check.
        self.blocked += if state.runnable { Duration::ZERO } else { slice.min(2 * SLICE) };
        self.blocked > self.limits.blocked
            || state.cpu.saturating_sub(self.cpu_before) > self.limits.cpu
            || self.begin.elapsed() > 10 * (self.limits.blocked + self.limits.cpu)
    }
}

struct State {
    runnable: bool,
    cpu: Duration,
}

/// Parses `/proc/PID/stat` (proc_pid_stat(5)): the state follows the name in parentheses, `utime` and `stime` are the 12th
/// and 13th fields after the end of the name, in ticks of 1/100 s (`USER_HZ`).
fn state(pid: u32) -> Option<State> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = stat[end + 1..].split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    let runnable = fields.next()? == b"R";
    let mut ticks = fields.skip(10).map(|field| std::str::from_utf8(field).ok()?.parse::<u64>().ok());
    let (user, system) = (ticks.next()??, ticks.next()??);
    Some(State { runnable, cpu: Duration::from_millis(10 * (user + system)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_time_of_a_process_is_that_of_its_own_clock() {
        let own = || nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("a clock");
        let target = Duration::from(own()) + Duration::from_millis(60);
        while Duration::from(own()) < target {}
        let (read, now) = (state(std::process::id()).expect("this process"), Duration::from(own()));
        // The tick-based CPU time and the precise clock differ.
        assert!(read.cpu + Duration::from_millis(200) > target && read.cpu < now + Duration::from_millis(200));
    }

    #[test]
    fn a_process_that_sleeps_is_blocked_and_one_that_is_gone_has_expired() {
        let limits = Limits { blocked: Duration::from_millis(30), cpu: Duration::from_secs(60) };
        let mut sleeper = std::process::Command::new("sleep").arg("600").spawn().expect("sleep runs");
        let mut watch = Watch::new(limits, Duration::ZERO);
        while !watch.has_expired(sleeper.id()) {}
        assert!(watch.blocked > limits.blocked);
        sleeper.kill().and_then(|()| sleeper.wait()).expect("it ends");
        let mut watch = Watch::new(limits, Duration::ZERO);
        while !watch.has_expired(sleeper.id()) {}
        assert!(watch.blocked > limits.blocked);
    }
}
