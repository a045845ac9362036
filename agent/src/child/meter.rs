//! The meter: turns the kernel's BPF run-time statistics on and off, and can do nothing else.
//!
//! `BPF_ENABLE_STATS` needs `CAP_SYS_ADMIN` (kernel/bpf/syscall.c, `bpf_enable_stats`, 5.8), which the process that captures
//! does not keep.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CallError, Channel, Limits, Role, Worker};
use crate::sys::bpf;
use crate::units::Pid;

/// How long an answer may take: the kernel patches its text on every CPU to turn the statistics on.
const PATIENCE: Limits = Limits { blocked: Duration::from_secs(1), cpu: Duration::from_secs(1) };

/// The longest message, in bytes.
const MAX_MESSAGE: usize = 256;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Statistics {
    On,
    Off,
}

/// The answer: the errno of what failed.
type Answer = Result<(), i32>;

/// A running meter, from its parent's side.
#[derive(Debug)]
pub struct Meter(Worker);

impl Meter {
    /// Starts one, with the privileges that this thread has now.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start() -> io::Result<Self> {
        Worker::start(Role::Meter, MAX_MESSAGE).map(Self)
    }

    /// Its process id.
    #[must_use]
    pub fn process(&self) -> Pid {
        Pid(self.0.id())
    }

    /// Turns the statistics on until [`Self::disable`] or the end of this process.
    ///
    /// # Errors
    /// What the kernel told the meter, `EPERM` without `CAP_SYS_ADMIN`; the meter has ended or does not answer.
    pub fn enable(&mut self) -> io::Result<()> {
        self.ask(Statistics::On)
    }

    /// Turns them off.
    ///
    /// # Errors
    /// The meter has ended or does not answer.
    pub fn disable(&mut self) -> io::Result<()> {
        self.ask(Statistics::Off)
    }

    fn ask(&mut self, statistics: Statistics) -> io::Result<()> {
        self.0.send(&statistics, &[], &[])?;
        match self.0.receive::<Answer>(PATIENCE, &mut || false) {
            Ok(answer) => answer.head.map_err(io::Error::from_raw_os_error),
            Err(CallError::Failed(error)) => Err(error),
            Err(CallError::TimedOut | CallError::Cancelled) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// What the meter does until its parent closes the connection.
pub(super) fn serve(socket: UnixStream) -> io::Result<()> {
    let mut channel = Channel::new(socket, MAX_MESSAGE);
    let mut on: Option<OwnedFd> = None;
    while let Some(message) = channel.receive::<Statistics>()? {
        let result = match message.head {
            Statistics::On if on.is_some() => Ok(()),
            Statistics::On => bpf::enable_run_time_statistics().map(|statistics| on = Some(statistics)),
            Statistics::Off => {
                on = None;
                Ok(())
            }
        };
        let answer: Answer = result.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO));
        channel.send(&answer, &[], &[])?;
    }
    Ok(())
}
