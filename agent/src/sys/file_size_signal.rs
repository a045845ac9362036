//! Makes exceeding the file size limit (`RLIMIT_FSIZE`) an error that does not kill quell.

use std::ffi::c_int;
use std::io;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Makes a write beyond `RLIMIT_FSIZE` fail with `EFBIG`. By default, SIGXFSZ kills the process, without a message, and its
/// temporary files are left behind. The signal is caught and not ignored, because execve(2) resets only caught signals to the
/// default action, and programs that quell starts must not inherit an ignored signal.
///
/// # Errors
/// The error of sigaction(2).
pub fn catch_file_size_signal() -> io::Result<()> {
    let caught = SigAction::new(SigHandler::Handler(do_nothing), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does nothing, so it may interrupt any code.
    let before = unsafe { sigaction(Signal::SIGXFSZ, &caught) }?;
    if matches!(before.handler(), SigHandler::SigIgn) {
        // The caller of quell ignores the signal, and the programs that quell starts must inherit this.
        // SAFETY: this restores the previous action.
        unsafe { sigaction(Signal::SIGXFSZ, &before) }?;
    }
    Ok(())
}

extern "C" fn do_nothing(_: c_int) {}
