//! A command that waits before its first instruction until the capture has begun.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::thread::JoinHandle;

use crate::units::Pid;

/// A child process between `fork` and `exec`. Dropping it without [`Gated::release`] ends it.
#[derive(Debug)]
pub struct Gated {
    pid: Pid,
    gate: io::PipeWriter,
    spawner: JoinHandle<io::Result<Child>>,
}

/// Why a command could not be started.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// `fork` or a pipe failed.
    #[error("could not start a process")]
    Fork(#[source] io::Error),
    /// `exec` failed: not found, not executable.
    #[error("could not start `{program}`")]
    Exec {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
}

impl Gated {
    /// Forks; the child waits. Its id is known, its program has not begun.
    ///
    /// # Errors
    /// [`GateError::Fork`].
    pub fn fork(mut command: Command) -> Result<Self, GateError> {
        let (mut announced, announce) = io::pipe().map_err(GateError::Fork)?;
        let (wait, gate) = io::pipe().map_err(GateError::Fork)?;
        let (announce_fd, wait_fd, gate_fd) = (announce.as_raw_fd(), wait.as_raw_fd(), gate.as_raw_fd());
        // SAFETY: what runs between fork and exec only calls close, getpid, write and read, which are
        // async-signal-safe, on descriptors that `announce`, `wait` and `gate` keep open until after the spawn.
        unsafe {
            command.pre_exec(move || {
                // The child's own copy of the write end: with it open, the agent's death would not open the gate.
                libc::close(gate_fd);
                let pid = libc::getpid().to_ne_bytes();
                if libc::write(announce_fd, pid.as_ptr().cast(), pid.len()) != pid.len() as isize {
                    return Err(io::Error::last_os_error());
                }
                let mut word = 0u8;
                loop {
                    match libc::read(wait_fd, (&raw mut word).cast(), 1) {
                        1 => return Ok(()),
                        0 => return Err(io::Error::from_raw_os_error(libc::ECANCELED)),
                        _ if *libc::__errno_location() == libc::EINTR => {}
                        _ => return Err(io::Error::last_os_error()),
                    }
                }
            });
        }
        // `spawn` returns only after exec, hence a thread of its own.
        let spawner = std::thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                let child = command.spawn();
                drop((announce, wait));
                child
            })
            .map_err(GateError::Fork)?;
        let mut pid = [0; 4];
        match announced.read_exact(&mut pid) {
            Ok(()) => Ok(Self { pid: Pid(u32::from_ne_bytes(pid)), gate, spawner }),
            Err(error) => match spawner.join() {
                Ok(Err(spawn_error)) => Err(GateError::Fork(spawn_error)),
                _ => Err(GateError::Fork(error)),
            },
        }
    }

    /// The child's process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Lets the child run `program`.
    ///
    /// # Errors
    /// [`GateError::Exec`].
    pub fn release(mut self, program: &str) -> Result<Child, GateError> {
        let exec = |source| GateError::Exec { program: program.to_owned(), source };
        self.gate.write_all(&[1]).map_err(exec)?;
        match self.spawner.join() {
            Ok(child) => child.map_err(exec),
            Err(_) => Err(exec(io::Error::other("the spawning thread panicked"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gated_command_begins_only_when_it_is_released() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mark = folder.path().join("mark");
        let mut command = Command::new("touch");
        command.arg(&mark);
        let gated = Gated::fork(command).expect("fork");
        let comm = std::fs::read_to_string(format!("/proc/{}/comm", gated.pid())).expect("the child lives");
        assert_ne!(comm.trim(), "touch");
        assert!(!mark.exists());
        let status = gated.release("touch").expect("exec").wait().expect("wait");
        assert!(status.success() && mark.exists());
    }

    #[test]
    fn a_command_that_does_not_exist_is_named_in_the_error() {
        let gated = Gated::fork(Command::new("/no/such/program")).expect("fork");
        let error = gated.release("/no/such/program").expect_err("exec fails");
        assert!(error.to_string().contains("/no/such/program"), "{error}");
    }

    #[test]
    fn a_gated_command_that_is_never_released_ends() {
        let gated = Gated::fork(Command::new("true")).expect("fork");
        let Gated { gate, spawner, .. } = gated;
        drop(gate);
        assert!(spawner.join().expect("no panic").is_err());
    }
}
