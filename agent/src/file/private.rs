//! Directories for files whose intended place is no longer available.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{Directory, FileError};
use crate::sys::random::next_random;

/// Directories that only the caller and root can write to: the current directory at the time of creation, if it is one of
/// these, and new directories for temporary files.
#[derive(Debug)]
pub struct PrivateDirectories {
    current: Option<Directory>,
}

impl PrivateDirectories {
    /// Opens the current directory now, because others may remove it, or make it accessible to themselves, later.
    #[must_use]
    pub fn open() -> Self {
        Self { current: Directory::open(Path::new(".")).ok() }
    }

    /// The directories in the order in which to try them. Directories that are not writable are left out. A directory for
    /// temporary files is created when the iterator reaches it.
    pub fn directories(self) -> impl Iterator<Item = Directory> {
        let is_usable = |directory: &Directory| directory.is_trusted() && directory.check_writable().is_ok();
        // Whoever runs quell sets its environment, so `TMPDIR` is used as it is, except for a relative path.
        let temporary = env::var_os("TMPDIR").map(PathBuf::from).filter(|path| path.is_absolute());
        let temporary = temporary.into_iter().chain([PathBuf::from("/tmp"), PathBuf::from("/var/tmp")]);
        self.current.into_iter().filter(is_usable).chain(temporary.filter_map(|path| new_private(&path).ok()))
    }
}

/// Creates a directory that only the caller can access, in a parent where no other user can move or remove it.
fn new_private(parent: &Path) -> Result<Directory, FileError> {
    let parent = Directory::open(parent)?;
    if !parent.protects_the_callers_directories() {
        return Err(FileError::Unprotected { path: parent.path().to_owned() });
    }
    let random = next_random().map_err(|source| parent.io("name", OsStr::new("quell"), source))?;
    parent.create_directory(OsStr::new(&format!("quell-{random:016x}")))
}
