//! The place of an output: a name in a directory, after the symbolic links that may be followed.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::walk::{MAX_LINKS, target};
use super::{Directory, Entry, FileError, Kind};

/// A name in a directory that is held open. A symbolic link at this name is not followed.
#[derive(Debug)]
pub struct Place {
    directory: Directory,
    name: OsString,
}

impl Place {
    /// Opens the directory of `path`. If `path` is a symbolic link that may be followed, the result is the place of its target.
    ///
    /// # Errors
    /// The directory does not exist, or another user may have planted a symbolic link on the way.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let (mut directory, mut name) = Directory::parent_of(path)?;
        for _ in 0..MAX_LINKS {
            let link = match directory.entry(&name)? {
                Some(entry) if entry.kind() == Kind::Link => entry,
                _ => return Ok(Self { directory, name }),
            };
            if !(directory.is_trusted() && link.owner().is_trusted()) {
                return Err(FileError::Planted {
                    path: directory.path_of(&name),
                    kind: Kind::Link,
                    owner: link.owner(),
                });
            }
            let target = target(&link).map_err(|errno| directory.failed("read", &name, errno))?;
            (directory, name) = directory.parent_from_here(&target)?;
        }
        Err(FileError::TooManyLinks { path: path.to_owned(), limit: MAX_LINKS })
    }

    /// A name in a directory that is already open. A symbolic link at this name is not followed.
    pub(crate) fn in_directory(directory: Directory, name: OsString) -> Self {
        Self { directory, name }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The name in it.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// The path, for messages.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.path_of(&self.name)
    }

    /// The existing file at the place, checked for whether its owner and its directory permit replacing or writing it; `None`
    /// if there is no such file.
    ///
    /// # Errors
    /// Another user may have planted the file, or moved it there.
    pub fn occupant(&self) -> Result<Option<Entry>, FileError> {
        let Some(entry) = self.directory.entry(&self.name)? else { return Ok(None) };
        match entry.kind() {
            _ if self.directory.is_trusted() => Ok(Some(entry)),
            Kind::CharacterDevice if entry.is_null_device() => Ok(Some(entry)),
            // A file with other names elsewhere is no problem: it is replaced, not written to.
            Kind::File if entry.owner().is_caller() => {
                self.unless_moved(entry, Directory::is_exposed_to_its_writers_only)
            }
            // A user who can move a directory may not be able to remove its contents.
            Kind::Directory if entry.owner().is_caller() => {
                self.unless_moved(entry, Directory::protects_the_callers_directories)
            }
            // A FIFO is written in place: one with another name may serve another purpose there.
            Kind::Fifo if entry.owner().is_caller() && entry.has_one_name() => {
                self.unless_moved(entry, Directory::is_exposed_to_its_writers_only)
            }
            _ => Err(self.planted(&entry)),
        }
    }

    fn unless_moved(&self, entry: Entry, is_safe: fn(&Directory) -> bool) -> Result<Option<Entry>, FileError> {
        if is_safe(&self.directory) {
            return Ok(Some(entry));
        }
        Err(FileError::Movable { path: self.path(), kind: entry.kind(), owner: entry.owner() })
    }

    fn planted(&self, entry: &Entry) -> FileError {
        FileError::Planted { path: self.path(), kind: entry.kind(), owner: entry.owner() }
    }

    pub(super) fn unsuitable(&self, entry: &Entry) -> FileError {
        FileError::Unsuitable { path: self.path(), kind: entry.kind(), owner: entry.owner() }
    }
}
