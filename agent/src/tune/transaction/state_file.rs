//! State files that only root may open: the lock, PID files, and journals.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::Uid;

use crate::file::{Directory, FileError, Owner};

/// The directory of state that lasts until the next boot, from the root of the host. Only root may enter it: any user who can
/// open a file can lock it (flock(2) requires no permission).
pub(super) const RUNTIME: &str = "/run/quell";

/// Checking a lock briefly takes a shared lock. Acquiring the lock is retried this many times, with this pause, to wait for
/// such checks.
const CHECK_RETRIES: u32 = 5;
const CHECK_PAUSE: Duration = Duration::from_millis(2);

/// Locks a file, which is created if it does not exist, and writes `holder` to it. If another process has locked it, the file is
/// returned as the inner error.
pub(super) fn claim(directory: &Directory, name: &OsStr, holder: &str) -> Result<Result<Flock<File>, File>, FileError> {
    let failed = |source: io::Error| FileError::Io { operation: "lock", path: directory.path_of(name), source };
    loop {
        let file = match open_own(directory, name, OFlag::O_RDWR)? {
            Some(file) if is_accessible_to_others(&file).map_err(failed)? => {
                if directory.names_file(name, &file) {
                    directory.remove_file(name)?;
                }
                continue;
            }
            Some(file) => file,
            None => match directory.create_file(name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                file => file?,
            },
        };
        match lock_exclusive(file) {
            // The file was removed after it was opened, so other processes would not find it locked.
            Ok(file) if !directory.names_file(name, &*file) => {}
            Ok(mut file) => {
                file.set_len(0).map_err(failed)?;
                // A single write, so that a line that ends with a newline is complete.
                file.write_all(format!("{holder}\n").as_bytes()).map_err(failed)?;
                return Ok(Ok(file));
            }
            Err((file, Errno::EWOULDBLOCK)) => return Ok(Err(file)),
            Err((_, errno)) => return Err(failed(errno.into())),
        }
    }
}

/// Whether users other than the owner could open a file. Any user who has opened it can lock it, so its lock proves nothing.
pub(super) fn is_accessible_to_others(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.mode() & 0o077 != 0)
}

/// Opens a regular file that belongs to root or the caller; `None` if it does not exist.
pub(super) fn open_own(directory: &Directory, name: &OsStr, flags: OFlag) -> Result<Option<File>, FileError> {
    let file = match directory.open_with(name, flags) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    directory.check_regular(name, &file)?;
    let owner = file.metadata().map(|metadata| Owner(Uid::from_raw(metadata.uid())));
    match owner {
        Ok(owner) if !owner.is_trusted() => Err(FileError::ForeignState { path: directory.path_of(name), owner }),
        Ok(_) => Ok(Some(file)),
        Err(source) => Err(FileError::Io { operation: "look up", path: directory.path_of(name), source }),
    }
}

/// Locks a file, unless another process keeps it locked.
fn lock_exclusive(mut file: File) -> Result<Flock<File>, (File, Errno)> {
    for _ in 0..CHECK_RETRIES {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Err((unlocked, Errno::EWOULDBLOCK)) => file = unlocked,
            result => return result,
        }
        thread::sleep(CHECK_PAUSE);
    }
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
}
