//! Child processes of quell: the same program, started for one task with only the privileges of this task.
//!
//! [`spawn`] executes `/proc/self/exe` with [`ARGUMENT`] and the name of a [`Role`]. The child's descriptor 0 is one end of a
//! socket pair, and its only connection to the parent. Its environment is empty, its other standard descriptors are `/dev/null`, and all
//! other descriptors are closed. It exits with its parent. Children that may have to be restarted after quell has dropped its
//! privileges are copies of a [`Starter`].
//!
//! `main` calls [`requested`] before it parses the command line, and [`crate::roles::run`] if that returns a role.

mod channel;
mod confine;
mod filter;
mod process;
mod starter;
mod worker;

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};

use nix::sys::prctl;
use nix::sys::signal::Signal;

use crate::privileges::table::{RECORD_TO_OPEN, RECORD_TO_READ};
use crate::privileges::{self, Keeps, PrivilegeError};
use crate::sys;

pub(crate) use channel::{Channel, Message};
pub(crate) use confine::DEBUG_FILES;
pub(crate) use process::Process;
pub use starter::Starter;
pub(crate) use worker::{CallError, Limits, Watch, Worker};

/// The first argument of a child, before the name of its role.
pub const ARGUMENT: &str = "__child";

/// The task of a child process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Holds files of other processes open.
    Keeper,
    /// Forks readers.
    Readers,
    /// Reads other processes.
    Reader,
    /// Forks namers.
    Namers,
    /// Symbolizes code.
    Namer,
    /// Opens perf events.
    Opener,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 6] = [Self::Keeper, Self::Readers, Self::Reader, Self::Namers, Self::Namer, Self::Opener];

    /// The role of the copies of a starter.
    fn copy(self) -> Option<Self> {
        match self {
            Self::Readers => Some(Self::Reader),
            Self::Namers => Some(Self::Namer),
            Self::Keeper | Self::Reader | Self::Namer | Self::Opener => None,
        }
    }

    /// Whether the process is a copy of a starter, and not executed.
    fn is_copy(self) -> bool {
        Self::ALL.into_iter().any(|starter| starter.copy() == Some(self))
    }

    /// The capabilities that a process of this role keeps.
    #[must_use]
    pub fn keeps(self) -> Keeps {
        match self {
            Self::Readers | Self::Reader => Keeps::Only(RECORD_TO_READ),
            Self::Opener => Keeps::Only(RECORD_TO_OPEN),
            Self::Keeper | Self::Namers | Self::Namer => Keeps::Nothing,
        }
    }

    /// The name of the role on the command line and in the name of the process, such as `quell-keeper`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Keeper => "keeper",
            Self::Readers => "readers",
            Self::Reader => "reader",
            Self::Namers => "namers",
            Self::Namer => "namer",
            Self::Opener => "opener",
        }
    }
}

/// Starts a child with the privileges of this thread. The child first reduces them to those of its role.
///
/// Permanently sets `no_new_privs` on this thread first. A child exits if this flag is not set: with the flag, executing a
/// file with capabilities adds no privileges, so a user who starts a role directly gains nothing.
///
/// # Errors
/// The socket pair or the process cannot be created, or `/proc` is not mounted.
pub(crate) fn spawn(role: Role) -> io::Result<(Process, UnixStream)> {
    prctl::set_no_new_privs()?;
    let (ours, theirs) = UnixStream::pair()?;
    let process = Command::new("/proc/self/exe")
        .arg0("quell")
        .args([ARGUMENT, role.name()])
        .env_clear()
        // Signals of the terminal are for the parent only, which decides when a capture ends.
        .process_group(0)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // Nothing waits for the child before its pidfd is open, so its PID cannot have been reused.
    Ok((Process::open(process.id())?, ours))
}

/// The role on the command line: `quell __child keeper`. The arguments include the name of the program.
#[must_use]
pub fn requested<S: AsRef<OsStr>>(mut arguments: impl Iterator<Item = S>) -> Option<Role> {
    if arguments.nth(1)?.as_ref() != ARGUMENT {
        return None;
    }
    let name = arguments.next()?;
    Role::ALL.into_iter().find(|role| !role.is_copy() && role.name() == name.as_ref())
}

/// The reason why a child exits before its task.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It was not started by quell.
    #[error("`quell {ARGUMENT}` is for internal use")]
    NotStartedByQuell,
    /// A system call failed.
    #[error("could not {what}: {source}")]
    System {
        /// The operation.
        what: &'static str,
        /// The error of the system call.
        r#source: io::Error,
    },
    /// Its privileges could not be reduced.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    /// The kernel rejected the seccomp filter.
    #[error("could not filter system calls: {0}")]
    Filter(String),
}

/// The work of a child once its system calls are filtered.
pub(crate) enum Task {
    /// Serves requests from its connection until that is closed.
    Serve(Box<dyn FnOnce(UnixStream) -> io::Result<()>>),
    /// A [`Starter`]: forks copies of itself.
    Copy,
}

/// Returns the task of a role, and does what must be done before its system calls are filtered.
pub(crate) type TaskOf = fn(Role) -> Task;

/// The main function of a child process.
pub(crate) fn run(role: Role, task_of: TaskOf) -> ExitCode {
    match prepare(role).and_then(|socket| serve(role, task_of, socket)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::debug!("quell {ARGUMENT} {}: {error}", role.name());
            ExitCode::from(2)
        }
    }
}

fn serve(role: Role, task_of: TaskOf, socket: UnixStream) -> Result<(), ChildError> {
    let task = task_of(role);
    confine::confine(role)?;
    match task {
        Task::Serve(serve) => serve(socket).map_err(unserved),
        Task::Copy => starter::serve(role, task_of, socket),
    }
}

fn unserved(source: io::Error) -> ChildError {
    ChildError::System { what: "serve requests", source }
}

/// The initialization of a child that is executed.
fn prepare(role: Role) -> Result<UnixStream, ChildError> {
    if !prctl::get_no_new_privs().map_err(system("read no_new_privs"))? {
        return Err(ChildError::NotStartedByQuell);
    }
    if role == Role::Namers {
        // If memory runs out, the kernel kills this process and its copies first. The file belongs to root once the process
        // is not dumpable.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    }
    if matches!(role, Role::Readers | Role::Keeper) {
        sys::keep_freed_memory();
    }
    // Before the privileges are dropped, which until then prevent the caller from tracing this process: it will hold files
    // that the caller may not open. Copies inherit this setting.
    prctl::set_dumpable(false).map_err(system("forbid tracing"))?;
    confine::forbid_cores()?;
    privileges::enter(&role.keeps())?;
    begin(role)?;
    sys::close_from(3).map_err(|source| ChildError::System { what: "close inherited descriptors", source })?;
    let stdin = io::stdin();
    let socket = stdin
        .as_fd()
        .try_clone_to_owned()
        .map_err(|source| ChildError::System { what: "open the connection to the parent", source })?;
    // The only descriptor of the connection, so that dropping it closes the connection: descriptors 0 to 2 are `/dev/null`.
    nix::unistd::dup2_stdin(io::stdout()).map_err(system("close descriptor 0"))?;
    Ok(UnixStream::from(socket))
}

/// The initialization of a copy of a starter, which has the privileges of the starter.
fn run_copy(role: Role, task_of: TaskOf, socket: UnixStream) -> Result<(), ChildError> {
    begin(role)?;
    serve(role, task_of, socket)
}

/// The initialization of every child.
fn begin(role: Role) -> Result<(), ChildError> {
    // If the parent exits before this call, no signal is sent, but the connection ends.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(system("request a signal for the exit of the parent"))?;
    prctl::set_name(process_name(role)).map_err(system("set the process's name"))
}

fn system(what: &'static str) -> impl Fn(nix::errno::Errno) -> ChildError {
    move |errno| ChildError::System { what, source: errno.into() }
}

fn process_name(role: Role) -> &'static std::ffi::CStr {
    match role {
        Role::Keeper => c"quell-keeper",
        Role::Readers => c"quell-readers",
        Role::Reader => c"quell-reader",
        Role::Namers => c"quell-namers",
        Role::Namer => c"quell-namer",
        Role::Opener => c"quell-opener",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_asked_for_by_the_first_two_arguments_alone() {
        assert_eq!(requested(["quell", "__child", "keeper"].iter()), Some(Role::Keeper));
        for other in [
            &["quell"][..],
            &["quell", "__child"],
            &["quell", "__child", "root"],
            &["quell", "list", "__child", "keeper"],
        ] {
            assert_eq!(requested(other.iter()), None, "{other:?}");
        }
    }

    #[test]
    fn a_process_name_fits_the_kernels_field() {
        for role in Role::ALL {
            // TASK_COMM_LEN is 16, including the terminating zero byte (include/linux/sched.h).
            assert!(process_name(role).to_bytes().len() < 16, "{role:?}");
            assert_eq!(process_name(role).to_str(), Ok(format!("quell-{}", role.name()).as_str()));
        }
    }
}
