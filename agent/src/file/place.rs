//! The place of an output: a name in a directory, behind the links that may be followed to it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::walk::{MAX_LINKS, target};
use super::{Directory, Entry, FileError, Kind};

/// A name in a directory that is held open. What stands there is no link.
#[derive(Debug)]
pub struct Place {
    directory: Directory,
    name: OsString,
}

impl Place {
    /// Opens the directory of `path`. Where a link is in its place that may be followed, it is the place that the link leads to.
    ///
    /// # Errors
    /// There is no such directory, or a link is in the way that another user may have planted.
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

    /// A name in a directory that is open already. A link there is not followed.
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

    /// What stands there now, if it may be replaced or written to as far as its owner goes.
    ///
    /// # Errors
    /// Another user may have planted it, or moved it there.
    pub fn occupant(&self) -> Result<Option<Entry>, FileError> {
        let Some(entry) = self.directory.entry(&self.name)? else { return Ok(None) };
        match entry.kind() {
            _ if self.directory.is_trusted() => Ok(Some(entry)),
            Kind::CharacterDevice if entry.is_null_device() => Ok(Some(entry)),
            // A file with another name elsewhere is replaced, not written.
            Kind::File if entry.owner().is_caller() => {
                self.unless_moved(entry, Directory::is_exposed_to_its_writers_only)
            }
            // Who can move a directory cannot remove what is in it.
            Kind::Directory if entry.owner().is_caller() => {
                self.unless_moved(entry, Directory::protects_the_callers_directories)
            }
            // Written as it is: one with another name may be somebody's for another purpose.
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
