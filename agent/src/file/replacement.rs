//! A new file that is renamed to its final name when it is complete.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::{Directory, FileError, Kind};

/// A file with a random, temporary name in the directory of its final name. If it is dropped before [`commit`](Self::commit),
/// it is removed.
#[derive(Debug)]
pub struct Replacement<'a> {
    directory: &'a Directory,
    name: OsString,
    temporary: OsString,
    file: File,
}

impl<'a> Replacement<'a> {
    /// Creates the temporary file, which only its owner can access.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn create(directory: &'a Directory, name: &OsStr) -> Result<Self, FileError> {
        let (temporary, file) = directory.create_temporary_file(name)?;
        Ok(Self { directory, name: name.to_owned(), temporary, file })
    }

    /// The open file, for writing its contents.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Sets the permissions of the file that it replaces, if only the caller can have chosen them: the old file belongs to the
    /// caller and has no other name, and only the caller and root can write to the directory. Set-id and sticky bits are never
    /// kept.
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

    /// Flushes the file to disk and renames it to its final name. A file with that name is replaced; of a symbolic link, the
    /// link itself.
    ///
    /// # Errors
    /// The file cannot be flushed or renamed, or another process has replaced it.
    pub fn commit(self) -> Result<(), FileError> {
        self.sync()?;
        self.take_name()
    }

    /// Like [`commit`](Self::commit), but if the final name is not available, the file gets a similar name that does not exist
    /// yet.
    ///
    /// # Errors
    /// The file cannot be flushed or cannot be renamed to either name, or another process has replaced it.
    pub(super) fn commit_or_keep(self) -> Result<Placed, FileError> {
        self.sync()?;
        match self.take_name() {
            Ok(()) => Ok(Placed::InPlace),
            // The directory no longer has a file with these contents under a known name.
            Err(error @ FileError::Exchanged { .. }) => Err(error),
            Err(reason) => self.keep(reason),
        }
    }

    /// Flushes the file to disk and renames it to a name that is similar to its final name and does not exist yet.
    ///
    /// # Errors
    /// The file cannot be flushed or renamed, or another process has replaced it.
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
        // Some file systems do not report a full disk before this point.
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

/// The name that a file was renamed to.
#[derive(Debug)]
pub(super) enum Placed {
    /// The requested name.
    InPlace,
    /// Another name, with the reason why the requested one was not available.
    Beside { name: OsString, reason: FileError },
}

impl Drop for Replacement<'_> {
    fn drop(&mut self) {
        // After the rename, the temporary name no longer exists, unless another process has reused it.
        if self.directory.names_file(&self.temporary, &self.file) {
            let _ = self.directory.remove_file(&self.temporary);
        }
    }
}
