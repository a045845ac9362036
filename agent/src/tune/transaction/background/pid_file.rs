//! PID files of background processes. A process keeps its file locked, so that the lock is released when the process exits.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::Pid;

use super::task::BackgroundTask;
use crate::file::FileError;
use crate::host::Root;
use crate::tune::transaction::state_file::{RUNTIME, claim, is_accessible_to_others, open_own};

/// The maximum length of a process ID with the newline, in bytes.
const MAX_PID: u64 = 16;

/// The PID file of this process. It is locked until this value is dropped or the process exits.
#[derive(Debug)]
pub struct PidFile {
    _file: Flock<File>,
}

impl PidFile {
    /// Creates and locks the file. This signals to the starting process that this process is ready.
    ///
    /// # Errors
    /// Another process is running the same task, or the file cannot be used.
    pub fn create(root: &Root, task: &BackgroundTask) -> io::Result<Self> {
        let directory = root.state_directory(RUNTIME)?;
        match claim(&directory, &name(task), &std::process::id().to_string())? {
            Ok(file) => Ok(Self { _file: file }),
            Err(_) => Err(io::Error::other("another process does it already")),
        }
    }

    /// Removes the file.
    pub fn remove(self, root: &Root, task: &BackgroundTask) {
        if let Ok(Some(directory)) = root.existing_state_directory(RUNTIME) {
            let _ = directory.remove_file(&name(task));
        }
    }
}

/// The process that is running a task, if there is one.
pub(super) fn running_pid(root: &Root, task: &BackgroundTask) -> io::Result<Option<Pid>> {
    let Some(directory) = root.existing_state_directory(RUNTIME)? else { return Ok(None) };
    let file = match open_own(&directory, &name(task), OFlag::O_RDONLY) {
        Ok(Some(file)) => file,
        // A directory or a symbolic link is not a PID file.
        Ok(None) | Err(FileError::Unsuitable { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let is_unsafe = is_accessible_to_others(&file)?;
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_) => Ok(None),
        Err((file, Errno::EWOULDBLOCK)) => {
            let mut text = String::new();
            file.take(MAX_PID).read_to_string(&mut text)?;
            let pid = text.strip_suffix('\n').and_then(|pid| pid.parse().ok()).map(Pid::from_raw);
            // Any user could have locked the file.
            if is_unsafe && !pid.is_some_and(|pid| task.is_running_as(pid)) {
                return Ok(None);
            }
            let path = directory.path_of(&name(task));
            let unknown = || io::Error::other(format!("{} is locked, but contains no process ID", path.display()));
            pid.map(Some).ok_or_else(unknown)
        }
        Err((_, errno)) => Err(errno.into()),
    }
}

/// Removes the PID file of a process that has exited. The file is locked first: otherwise it could be removed after another
/// process has locked it, and that process could not be found.
pub(super) fn clear(root: &Root, task: &BackgroundTask) {
    let Ok(Some(directory)) = root.existing_state_directory(RUNTIME) else { return };
    let Ok(Some(file)) = open_own(&directory, &name(task), OFlag::O_RDONLY) else { return };
    if let Ok(file) = Flock::lock(file, FlockArg::LockExclusiveNonblock)
        && directory.names_file(&name(task), &*file)
    {
        let _ = directory.remove_file(&name(task));
    }
}

fn name(task: &BackgroundTask) -> OsString {
    task.words().join("-").into()
}
