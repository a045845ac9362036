//! Blocking of signals that would terminate the process while a host is being changed.

use std::fs;
use std::io;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Signals whose default action terminates a process (signal(7)).
const SIGNALS: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// Blocks these signals in the calling thread while this value exists. They are polled at points where it is safe to stop. A
/// signal that arrives after the last poll is discarded.
#[derive(Debug)]
pub(super) struct BlockedSignals {
    descriptor: SignalFd,
    before: SigSet,
}

impl BlockedSignals {
    pub(super) fn block() -> io::Result<Self> {
        // Ignored signals, as with nohup(1), must stay ignored: if they were blocked, they would become pending (sig_ignored,
        // kernel/signal.c).
        let ignored = ignored()?;
        let signals = SIGNALS.into_iter().filter(|signal| ignored & (1 << (*signal as i32 - 1)) == 0);
        let mask: SigSet = signals.collect();
        let descriptor = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let before = mask.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        Ok(Self { descriptor, before })
    }

    /// A signal that has arrived since the last call.
    pub(super) fn pending(&self) -> Option<Signal> {
        let signal = self.descriptor.read_signal().ok().flatten()?;
        Signal::try_from(signal.ssi_signo.cast_signed()).ok()
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        while self.pending().is_some() {}
        let _ = self.before.thread_set_mask();
    }
}

/// The mask of ignored signals: `SigIgn` in proc_pid_status(5).
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
    fn the_mask_of_ignored_signals_is_found_for_any_process_name() {
        assert_eq!(ignored_in(b"Name:\tk\xc3\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001006\n"), 0x1006);
        assert_eq!(ignored_in(b"Name:\tSigIgn:\n"), 0);
    }
}
