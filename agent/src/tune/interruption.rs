//! Ctrl-C and its like, while a host is between two states.

use std::fs;
use std::io;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// What would end a process by its default (signal(7)).
const SIGNALS: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// Holds those signals back from this thread, while it lives, to be looked at where it is safe to stop. What comes too late for
/// that is dropped: what it would have stopped is done.
#[derive(Debug)]
pub(super) struct Interruptions {
    descriptor: SignalFd,
    before: SigSet,
}

impl Interruptions {
    pub(super) fn hold() -> io::Result<Self> {
        // What is ignored, as by nohup(1), is to stay so: blocked, it would be pending all the same (sig_ignored, kernel/signal.c).
        let ignored = ignored()?;
        let signals = SIGNALS.into_iter().filter(|signal| ignored & (1 << (*signal as i32 - 1)) == 0);
        let mask: SigSet = signals.collect();
        let descriptor = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let before = mask.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        Ok(Self { descriptor, before })
    }

    /// One that has come since the last look.
    pub(super) fn pending(&self) -> Option<Signal> {
        let signal = self.descriptor.read_signal().ok().flatten()?;
        Signal::try_from(signal.ssi_signo.cast_signed()).ok()
    }
}

impl Drop for Interruptions {
    fn drop(&mut self) {
        while self.pending().is_some() {}
        let _ = self.before.thread_set_mask();
    }
}

/// `SigIgn` of proc_pid_status(5).
fn ignored() -> io::Result<u64> {
    Ok(ignored_in(&fs::read("/proc/self/status")?))
}

fn ignored_in(status: &[u8]) -> u64 {
    let mask = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(std::str::from_utf8(mask).ok()?.trim(), 16).ok());
    mask.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_told_whatever_this_process_is_called() {
        assert_eq!(ignored_in(b"Name:\tk\xc3\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001006\n"), 0x1006);
        assert_eq!(ignored_in(b"Name:\tSigIgn:\n"), 0);
    }
}
