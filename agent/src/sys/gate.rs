//! A command that waits before its first instruction until the capture has begun.

use std::ffi::{CString, OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use crate::units::Pid;

/// A child process between `fork` and `exec`. Dropping it without [`SuspendedCommand::release`] makes it exit.
#[derive(Debug)]
pub struct SuspendedCommand {
    process: Command,
    go: Option<io::PipeWriter>,
    failure: io::PipeReader,
}

/// A started command. It continues to run if this is dropped.
#[derive(Debug)]
pub struct Command {
    pid: nix::unistd::Pid,
    ended: Option<ExitStatus>,
}

/// The reason why a command could not be started.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// `fork` or a pipe failed, or a word contains a NUL byte.
    #[error("could not start a process")]
    Fork(#[source] io::Error),
    /// `exec` failed: not found, not executable.
    #[error("could not start `{program}`")]
    Exec {
        /// The program.
        program: String,
        /// The error of `exec`.
        source: io::Error,
    },
}

impl SuspendedCommand {
    /// Forks a child that waits before it executes the program, so that its PID is known. `prepare`
    /// ([`crate::privileges::become_callers`]) runs in it first, so that it has the privileges of the caller of quell. So this
    /// must be called before quell drops its own privileges. `words` are the program, which is searched in `PATH`, and its
    /// arguments.
    ///
    /// # Errors
    /// [`CommandError::Fork`].
    pub(crate) fn fork<S: AsRef<OsStr>>(
        words: &[S],
        prepare: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<Self, CommandError> {
        // All allocations come before the fork, because another thread may hold the lock of the allocator.
        let words: Vec<CString> = words.iter().map(c_string).collect::<Result<_, _>>()?;
        let program = words.first().cloned().ok_or_else(|| CommandError::Fork(Errno::EINVAL.into()))?;
        let (wait, go) = io::pipe().map_err(CommandError::Fork)?;
        let (failure, report) = io::pipe().map_err(CommandError::Fork)?;
        // SAFETY: quell has only one thread here, so the child may do the same as the parent. Tests have several threads, but
        // glibc's fork keeps the allocator usable (malloc/arena.c, __malloc_fork_unlock_child).
        match unsafe { fork() }.map_err(|errno| CommandError::Fork(errno.into()))? {
            ForkResult::Parent { child } => {
                Ok(Self { process: Command { pid: child, ended: None }, go: Some(go), failure })
            }
            ForkResult::Child => {
                // Closes the copies in the child. With the first one open, the child would not notice that quell exits.
                drop((go, failure));
                let errno = match prepare() {
                    Ok(()) => begin(wait, &program, &words),
                    Err(errno) => errno,
                };
                let _ = (&report).write_all(&(errno as i32).to_ne_bytes());
                // SAFETY: exits without running the exit handlers of the parent.
                unsafe { libc::_exit(127) }
            }
        }
    }

    /// The PID of the child.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid(self.process.id())
    }

    /// Lets the child execute `program`.
    ///
    /// # Errors
    /// [`CommandError::Exec`].
    pub fn release(mut self, program: &str) -> Result<Command, CommandError> {
        let exec = |source| CommandError::Exec { program: program.to_owned(), source };
        if let Some(mut go) = self.go.take() {
            go.write_all(&[1]).map_err(exec)?;
        }
        let mut errno = [0; 4];
        // The pipe is closed when the program is executed.
        match self.failure.read_exact(&mut errno) {
            Ok(()) => {
                let _ = self.process.wait();
                Err(exec(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))))
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Ok(Command { pid: self.process.pid, ended: self.process.ended.take() })
            }
            Err(error) => Err(exec(error)),
        }
    }
}

impl Drop for SuspendedCommand {
    /// The child exits at the end of its pipe. A released child is not waited for.
    fn drop(&mut self) {
        if let Some(go) = self.go.take() {
            drop(go);
            let _ = self.process.wait();
        }
    }
}

/// In the child: waits, and executes the program. Returns the error if that fails.
fn begin(mut wait: io::PipeReader, program: &CString, words: &[CString]) -> Errno {
    // As in std::process::Command: the program must inherit neither the signal mask of quell nor the SIGPIPE that Rust's
    // runtime ignores.
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default action runs no function of this program.
    let _ = unsafe { sigaction(Signal::SIGPIPE, &default) };
    if let Err(errno) = SigSet::empty().thread_set_mask() {
        return errno;
    }
    let mut word = [0];
    match wait.read_exact(&mut word) {
        Ok(()) => {}
        // quell has exited or dropped the command.
        Err(_) => return Errno::ECANCELED,
    }
    drop(wait);
    let Err(errno) = nix::unistd::execvp(program, words);
    errno
}

fn c_string<S: AsRef<OsStr>>(word: S) -> Result<CString, CommandError> {
    CString::new(OsString::from(word.as_ref()).into_vec()).map_err(|error| CommandError::Fork(error.into()))
}

impl Command {
    /// The PID.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// The exit status; `None` while it is running.
    ///
    /// # Errors
    /// The error of waitpid(2).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.wait_with(Some(WaitPidFlag::WNOHANG))
    }

    /// Waits until it exits.
    ///
    /// # Errors
    /// The error of waitpid(2).
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.wait_with(None)? {
                return Ok(status);
            }
        }
    }

    fn wait_with(&mut self, flags: Option<WaitPidFlag>) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = match waitpid(self.pid, flags) {
                // In the encoding of wait(2).
                Ok(WaitStatus::Exited(_, code)) => Some(ExitStatus::from_raw((code & 0xff) << 8)),
                Ok(WaitStatus::Signaled(_, signal, _)) => Some(ExitStatus::from_raw(signal as i32)),
                Ok(_) | Err(Errno::EINTR) => None,
                Err(errno) => return Err(errno.into()),
            };
        }
        Ok(self.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gated_command_begins_only_when_it_is_released() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mark = folder.path().join("mark");
        let suspended = SuspendedCommand::fork(&[OsStr::new("touch"), mark.as_os_str()], || Ok(())).expect("fork");
        let comm = std::fs::read_to_string(format!("/proc/{}/comm", suspended.pid())).expect("the child lives");
        assert_ne!(comm.trim(), "touch");
        assert!(!mark.exists());
        let status = suspended.release("touch").expect("exec").wait().expect("wait");
        assert!(status.success() && mark.exists());
    }

    #[test]
    fn a_command_that_does_not_exist_is_named_in_the_error() {
        let suspended = SuspendedCommand::fork(&["/no/such/program"], || Ok(())).expect("fork");
        let error = suspended.release("/no/such/program").expect_err("exec fails");
        assert!(error.to_string().contains("/no/such/program"), "{error}");
    }

    #[test]
    fn a_gated_command_that_is_never_released_ends() {
        let mut suspended = SuspendedCommand::fork(&["true"], || Ok(())).expect("fork");
        drop(suspended.go.take());
        let status = suspended.process.wait().expect("it ends");
        assert_eq!(status.code(), Some(127));
    }
}
