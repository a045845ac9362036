//! The lock of a host, which ensures that only one process changes the host at a time.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

use super::state_file::{RUNTIME, claim, is_accessible_to_others, open_own};
use crate::file::FileError;
use crate::host::Root;
use crate::program;
use crate::text;

/// The name of the lock file.
const FILE: &str = "tune.lock";
/// The maximum number of bytes that are read from the description of the holder.
const MAX_HOLDER: u64 = 4096;

/// The acquired lock. It is released when this value is dropped or the process exits.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

/// The lock cannot be acquired.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds the lock.
    #[error(
        "another quell is changing this host: {holder}\nhint: wait until it has finished; `quell tune status` shows it"
    )]
    Held {
        /// The process and its purpose, from the lock file.
        holder: String,
    },
    /// The lock file cannot be used.
    #[error("could not lock {}: {source}{}", path.display(), root_hint(source))]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The error.
        r#source: FileError,
    },
}

fn root_hint(source: &FileError) -> &'static str {
    if source.kind() == io::ErrorKind::PermissionDenied { "\nhint: changing a host requires root" } else { "" }
}

impl Lock {
    /// Acquires the lock. `purpose` is shown to other processes that try to acquire it.
    ///
    /// # Errors
    /// Another process holds the lock, or its file cannot be used.
    pub fn acquire(root: &Root, purpose: &str) -> Result<Self, LockError> {
        let holder = format!("process {}, {}", std::process::id(), text::shown(purpose));
        match root.state_directory(RUNTIME).and_then(|directory| claim(&directory, OsStr::new(FILE), &holder)) {
            Ok(Ok(file)) => {
                program::set_lock_file(file.try_clone().ok());
                Ok(Self { _file: file })
            }
            Ok(Err(file)) => Err(LockError::Held { holder: holder_in(file) }),
            Err(source) => Err(LockError::Io { path: root.display_path(&format!("{RUNTIME}/{FILE}")), source }),
        }
    }

    /// Checks that no process holds the lock, so that the holder is reported before other errors. Only
    /// [`acquire`](Self::acquire) ensures that the lock stays free.
    ///
    /// # Errors
    /// Another process holds the lock.
    pub fn check_free(root: &Root) -> Result<(), LockError> {
        Self::holder(root).map_or(Ok(()), |holder| Err(LockError::Held { holder }))
    }

    /// The process that holds the lock, and its purpose; `None` if no process holds it, or if this cannot be determined.
    #[must_use]
    pub fn holder(root: &Root) -> Option<String> {
        let directory = root.existing_state_directory(RUNTIME).ok()??;
        let file = open_own(&directory, OsStr::new(FILE), OFlag::O_RDONLY).ok()??;
        if is_accessible_to_others(&file).unwrap_or(true) {
            return None;
        }
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Err((file, Errno::EWOULDBLOCK)) => Some(holder_in(file)),
            _ => None,
        }
    }
}

fn holder_in(file: File) -> String {
    let mut holder = Vec::new();
    let _ = file.take(MAX_HOLDER).read_to_end(&mut holder);
    // The text contains the name of the profile.
    text::shown(String::from_utf8_lossy(&holder).trim()).into_owned()
}

impl Drop for Lock {
    fn drop(&mut self) {
        program::set_lock_file(None);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::program;

    #[test]
    fn a_program_that_changes_the_host_keeps_it_locked() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Root::at(folder.path()).expect("a root");
        let given = |program: &str, words: &[&str]| {
            let output = Command::new(program).args(words).stdin(program::lock_stdin()).output().expect("it runs");
            String::from_utf8(output.stdout).expect("text")
        };
        assert_eq!(given("readlink", &["/proc/self/fd/0"]).trim(), "/dev/null");
        let lock = Lock::acquire(&root, "a test").expect("it is free");
        assert_eq!(
            given("readlink", &["/proc/self/fd/0"]).trim(),
            root.display_path("/run/quell/tune.lock").to_str().expect("text")
        );
        assert_eq!(given("cat", &[]), "");
        drop(lock);
        assert_eq!(given("readlink", &["/proc/self/fd/0"]).trim(), "/dev/null");
    }
}
