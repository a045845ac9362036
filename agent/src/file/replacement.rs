//! A new file that takes its place when it is whole.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::{Directory, FileError, Kind};

/// A file under a random name in the directory where it will have another one. Dropped before [`commit`](Self::commit), it is
/// removed.
#[derive(Debug)]
pub struct Replacement<'a> {
    directory: &'a Directory,
    name: OsString,
    temporary: OsString,
    file: File,
}

impl<'a> Replacement<'a> {
    /// Creates it, for its owner alone.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn create(directory: &'a Directory, name: &OsStr) -> Result<Self, FileError> {
        let (temporary, file) = directory.create_temporary_file(name)?;
        Ok(Self { directory, name: name.to_owned(), temporary, file })
    }

    /// To write to it.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives it the permissions of the file that it replaces, where nobody but the caller can have chosen those: of a file of the
    /// caller's own, with no other name, in a directory that only the caller and root can write to. Set-id and sticky bits are never kept.
    ///
    /// # Errors
    /// The permissions cannot be set.
    pub fn keep_permissions(&self) -> Result<(), FileError> {
        let Some(old) = self.directory.entry(&self.name)? else { return Ok(()) };
        let own = old.kind() == Kind::File && old.owner().is_caller() && old.has_one_name();
        if own && self.directory.is_trusted() {
            let permissions = Permissions::from_mode(old.permissions());
            self.file.set_permissions(permissions).map_err(|source| self.directory.io("write", &self.name, source))?;
        }
        Ok(())
    }

    /// Flushes it to disk and gives it its name; what had that is replaced, a link itself too.
    ///
    /// # Errors
    /// It cannot be flushed or renamed, or another process has exchanged it.
    pub fn commit(self) -> Result<(), FileError> {
        self.sync()?;
        self.take_name()
    }

    /// As [`commit`](Self::commit), but where the name cannot be had, it is given one beside it that nothing has.
    ///
    /// # Errors
    /// It cannot be flushed or renamed at all, or another process has exchanged it.
    pub(super) fn commit_or_keep(self) -> Result<Placed, FileError> {
        self.sync()?;
        match self.take_name() {
            Ok(()) => Ok(Placed::InPlace),
            // There is no file of this content in the directory any more.
            Err(error @ FileError::Exchanged { .. }) => Err(error),
            Err(reason) => self.keep(reason),
        }
    }

    /// Flushes it to disk and gives it a name beside its own that nothing has.
    ///
    /// # Errors
    /// As [`commit_or_keep`](Self::commit_or_keep).
    pub(super) fn keep(self, reason: FileError) -> Result<Placed, FileError> {
        self.sync()?;
        let name = self.directory.rename_beside(&self.temporary, &self.name)?;
        if self.directory.names_file(&name, &self.file) {
            Ok(Placed::Beside { name, reason })
        } else {
            Err(FileError::Exchanged { path: self.directory.path_of(&name) })
        }
    }

    fn sync(&self) -> Result<(), FileError> {
        // Some file systems report a full disk no sooner than here.
        self.file.sync_all().map_err(|source| self.directory.io("write", &self.name, source))
    }

    fn take_name(&self) -> Result<(), FileError> {
        self.directory.rename(&self.temporary, &self.name)?;
        if self.directory.names_file(&self.name, &self.file) {
            Ok(())
        } else {
            Err(FileError::Exchanged { path: self.directory.path_of(&self.name) })
        }
    }
}

/// Which name a file was given.
#[derive(Debug)]
pub(super) enum Placed {
    /// Its own.
    InPlace,
    /// Another one, and why not its own.
    Beside { name: OsString, reason: FileError },
}

impl Drop for Replacement<'_> {
    fn drop(&mut self) {
        // After the rename the name is gone, unless somebody else has taken it.
        if self.directory.names_file(&self.temporary, &self.file) {
            let _ = self.directory.remove_file(&self.temporary);
        }
    }
}
