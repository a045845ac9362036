//! The end of a capture: its duration has passed, its target has exited, or SIGINT or SIGTERM arrives.

use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use quell::units::Nanos;

use super::target::Running;

/// Why a capture ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its duration has passed.
    Time,
    /// Its target exited; the exit code of a command, or 128 + the signal that killed it.
    Target(Option<i32>),
    /// Ctrl-C or SIGTERM.
    Signal(Signal),
}

/// Receives SIGINT and SIGTERM. While this exists they do not kill the process.
pub(crate) struct Signals {
    descriptor: SignalFd,
}

impl Signals {
    /// Call this before any thread is started: another thread would receive the signals.
    pub(crate) fn hold() -> anyhow::Result<Self> {
        let mask = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
        mask.thread_block()?;
        let descriptor = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { descriptor })
    }

    /// Discards pending signals.
    pub(crate) fn forget_pending(&self) {
        while let Ok(Some(_)) = self.descriptor.read_signal() {}
    }

    /// Waits for a signal, at most for `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) -> anyhow::Result<Option<Signal>> {
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        let mut descriptors = [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)];
        match poll(&mut descriptors, timeout) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => Ok(None),
            Ok(_) => {
                let signal = self.descriptor.read_signal()?;
                Ok(signal.and_then(|signal| Signal::try_from(signal.ssi_signo as i32).ok()))
            }
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Watches for the end.
pub(crate) struct Watch<'a> {
    /// SIGINT and SIGTERM.
    pub(crate) signals: &'a Signals,
    /// The target, to see whether it has exited.
    pub(crate) running: &'a mut Running,
    /// When the duration has passed; `None` for no limit.
    pub(crate) deadline: Option<Instant>,
}

impl Watch<'_> {
    /// Waits for the end of the capture, at most for `timeout`.
    pub(crate) fn wait(&mut self, timeout: Duration) -> anyhow::Result<Option<Ending>> {
        let left = self.deadline.map_or(timeout, |deadline| deadline.saturating_duration_since(Instant::now()));
        if let Some(signal) = self.signals.wait(timeout.min(left))? {
            return Ok(Some(Ending::Signal(signal)));
        }
        let ended = match self.running {
            Running::Endless => None,
            Running::Processes(watched) => {
                watched.retain_mut(|process| !process.has_ended());
                watched.is_empty().then_some(Ending::Target(None))
            }
            Running::Command(child) => child
                .try_wait()?
                .map(|status| Ending::Target(status.code().or_else(|| status.signal().map(|signal| 128 + signal)))),
        };
        let time_is_up = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        Ok(ended.or(time_is_up.then_some(Ending::Time)))
    }
}

/// The moment that is `duration` from now.
pub(crate) fn deadline(duration: Option<Nanos>) -> Option<Instant> {
    Instant::now().checked_add(duration?.into())
}
