//! A process at its post: a file with its number, which it keeps locked. The lock is the sign of life: it goes with the process.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Pid;

use super::Errand;
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
        match lock::claim(&path(root, errand), &std::process::id().to_string())? {
            Ok(file) => Ok(Self { _file: file }),
            Err(_) => Err(io::Error::other("another process does it already")),
        }
    }

    /// Leaves it, and nothing of it behind.
    pub fn resign(self, root: &Root, errand: &Errand) {
        let _ = fs::remove_file(path(root, errand));
    }
}

/// Who is at a post; `None` where nobody is.
pub(super) fn manned(root: &Root, errand: &Errand) -> io::Result<Option<Pid>> {
    let path = path(root, errand);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_) => Ok(None),
        Err((mut file, Errno::EWOULDBLOCK)) => {
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            let pid = text.strip_suffix('\n').and_then(|pid| pid.parse().ok());
            let unnamed = || io::Error::other(format!("{} is locked, and does not say by whom", path.display()));
            pid.map(Pid::from_raw).map(Some).ok_or_else(unnamed)
        }
        Err((_, errno)) => Err(errno.into()),
    }
}

/// Removes the file of a post that nobody is at. Under its lock: who took it in between would be at a post that nobody finds.
pub(super) fn clear(root: &Root, errand: &Errand) {
    let path = path(root, errand);
    let Ok(file) = File::open(&path) else { return };
    if let Ok(file) = Flock::lock(file, FlockArg::LockExclusiveNonblock)
        && lock::is_at(&file, &path).is_ok_and(|is_at| is_at)
    {
        let _ = fs::remove_file(&path);
    }
}

fn path(root: &Root, errand: &Errand) -> PathBuf {
    root.path(&format!("/run/quell/{}", errand.words().join("-")))
}
