//! A process at its post: a file with its number, which it keeps locked. The lock is the sign of life: it goes with the process.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::Pid;

use super::Errand;
use super::release::is_at_work;
use crate::file::FileError;
use crate::host::Root;
use crate::tune::lock;

/// A post that this process is at, until it is dropped or the process ends.
#[derive(Debug)]
pub struct Post {
    _file: Flock<File>,
}

impl Post {
    /// Takes it: all that is to be done before is done.
    ///
    /// # Errors
    /// Another process is there, or the file cannot be used.
    pub fn take(root: &Root, errand: &Errand) -> io::Result<Self> {
        let directory = root.state_directory(lock::RUNTIME)?;
        match lock::claim(&directory, &name(errand), &std::process::id().to_string())? {
            Ok(file) => Ok(Self { _file: file }),
            Err(_) => Err(io::Error::other("another process does it already")),
        }
    }

    /// Leaves it, and nothing of it behind.
    pub fn resign(self, root: &Root, errand: &Errand) {
        if let Ok(Some(directory)) = root.existing_state_directory(lock::RUNTIME) {
            let _ = directory.remove_file(&name(errand));
        }
    }
}

/// Who is at a post; `None` where nobody is.
pub(super) fn manned(root: &Root, errand: &Errand) -> io::Result<Option<Pid>> {
    let Some(directory) = root.existing_state_directory(lock::RUNTIME)? else { return Ok(None) };
    let file = match lock::open_own(&directory, &name(errand), OFlag::O_RDONLY) {
        Ok(Some(file)) => file,
        // What is no file is nobody's post.
        Ok(None) | Err(FileError::Unsuitable { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let is_loose = lock::is_loose(&file)?;
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_) => Ok(None),
        Err((file, Errno::EWOULDBLOCK)) => {
            let mut text = String::new();
            file.take(LONGEST_PID).read_to_string(&mut text)?;
            let pid = text.strip_suffix('\n').and_then(|pid| pid.parse().ok());
            let path = directory.path_of(&name(errand));
            let unnamed = || io::Error::other(format!("{} is locked, and does not say by whom", path.display()));
            let pid = pid.map(Pid::from_raw);
            // Anybody may keep a file locked that anybody could open.
            if is_loose && !pid.is_some_and(|pid| is_at_work(pid, errand)) {
                return Ok(None);
            }
            pid.map(Some).ok_or_else(unnamed)
        }
        Err((_, errno)) => Err(errno.into()),
    }
}

/// Removes the file of a post that nobody is at. Under its lock: who took it in between would be at a post that nobody finds.
pub(super) fn clear(root: &Root, errand: &Errand) {
    let Ok(Some(directory)) = root.existing_state_directory(lock::RUNTIME) else { return };
    let Ok(Some(file)) = lock::open_own(&directory, &name(errand), OFlag::O_RDONLY) else { return };
    if let Ok(file) = Flock::lock(file, FlockArg::LockExclusiveNonblock)
        && directory.names_file(&name(errand), &*file)
    {
        let _ = directory.remove_file(&name(errand));
    }
}

/// The longest that the number of a process is, with the end of its line.
const LONGEST_PID: u64 = 16;

fn name(errand: &Errand) -> OsString {
    errand.words().join("-").into()
}
