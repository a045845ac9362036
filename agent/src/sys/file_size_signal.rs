//! A limit on the size of files (`RLIMIT_FSIZE`) as an error rather than the end of quell.

use std::ffi::c_int;
use std::io;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Makes a write beyond `RLIMIT_FSIZE` fail with `EFBIG`: by default SIGXFSZ ends the process then, with no message and its
/// temporary files left behind. The signal is caught rather than ignored, since execve(2) gives a caught signal its default
/// action back and leaves an ignored one ignored: programs that quell starts are not to inherit this.
///
/// # Errors
/// sigaction(2).
pub fn catch_file_size_signal() -> io::Result<()> {
    let caught = SigAction::new(SigHandler::Handler(do_nothing), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does nothing, so that it may interrupt anything.
    let before = unsafe { sigaction(Signal::SIGXFSZ, &caught) }?;
    if matches!(before.handler(), SigHandler::SigIgn) {
        // The caller of quell ignores it, and so do the programs that it starts.
        // SAFETY: it is what was in place before.
        unsafe { sigaction(Signal::SIGXFSZ, &before) }?;
    }
    Ok(())
}

extern "C" fn do_nothing(_: c_int) {}
