//! Where to put what has no other place any more.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{Directory, FileError};
use crate::sys::random::next_random;

/// Directories that nobody but the caller and root can write to: that which this process was in when this was made, where it is
/// such a one, and a new one among temporary files.
#[derive(Debug)]
pub struct PrivateDirectories {
    current: Option<Directory>,
}

impl PrivateDirectories {
    /// Opens the current directory, which others may remove or open to themselves later.
    #[must_use]
    pub fn open() -> Self {
        Self { current: Directory::open(Path::new(".")).ok() }
    }

    /// In the order in which they are to be tried. Those that cannot be written to are left out; those among temporary files are
    /// made when their turn comes.
    pub fn directories(self) -> impl Iterator<Item = Directory> {
        let is_usable = |directory: &Directory| directory.is_trusted() && directory.check_writable().is_ok();
        // What others set in the environment of a program that they run is their own.
        let temporary = env::var_os("TMPDIR").map(PathBuf::from).filter(|path| path.is_absolute());
        let temporary = temporary.into_iter().chain([PathBuf::from("/tmp"), PathBuf::from("/var/tmp")]);
        self.current.into_iter().filter(is_usable).chain(temporary.filter_map(|path| new_private(&path).ok()))
    }
}

/// Makes a directory for the caller alone, where nobody else can move or remove it.
fn new_private(parent: &Path) -> Result<Directory, FileError> {
    let parent = Directory::open(parent)?;
    if !parent.protects_the_callers_directories() {
        return Err(FileError::Unprotected { path: parent.path().to_owned() });
    }
    let random = next_random().map_err(|source| parent.io("name", OsStr::new("quell"), source))?;
    parent.create_directory(OsStr::new(&format!("quell-{random:016x}")))
}
