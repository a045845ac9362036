//! Putting a directory in its place when it is whole, so that a kill at any moment leaves a whole one or none.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::RenameFlags;

use super::{META_FILE, RecordingError};
use crate::file::{Directory, FileError, Kind, Place};

/// More than any `meta.json` has.
const MOST_META: u64 = 64 << 20;

/// The place of a recording, looked at before a capture begins: its directory stays open, and what is written later goes there.
#[derive(Debug)]
pub struct Destination {
    place: Place,
    path: PathBuf,
}

impl Destination {
    /// Opens the directory that `path` is in. Where a link is in its place that may be followed, the recording that it leads to is
    /// replaced, not the link.
    ///
    /// # Errors
    /// Something else than a recording is there, something that another user may have planted, or the directory is not writable.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let place = match Place::open(path) {
            Err(FileError::BadName { path }) => return Err(RecordingError::BadName { path }),
            place => place?,
        };
        let destination = Self { place, path: path.to_owned() };
        destination.occupant()?;
        destination.place.directory().check_writable()?;
        Ok(destination)
    }

    /// As the user has called it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The recording that is there.
    fn occupant(&self) -> Result<Option<Directory>, RecordingError> {
        let occupied = || RecordingError::Occupied { path: self.path.clone() };
        let Some(entry) = self.place.occupant()? else { return Ok(None) };
        if entry.kind() != Kind::Directory {
            return Err(occupied());
        }
        let directory = self.directory().open_directory(self.name())?;
        if entry.is_same_as(&directory) && is_recording(&directory) { Ok(Some(directory)) } else { Err(occupied()) }
    }

    fn directory(&self) -> &Directory {
        self.place.directory()
    }

    fn name(&self) -> &OsStr {
        self.place.name()
    }
}

/// A directory under a random name beside its final one. Dropped before [`Staging::publish`], it is removed.
pub(super) struct Staging<'a> {
    destination: &'a Destination,
    name: OsString,
    directory: Directory,
    is_published: bool,
}

impl<'a> Staging<'a> {
    /// Creates the directory.
    pub(super) fn new(destination: &'a Destination) -> Result<Self, RecordingError> {
        destination.occupant()?;
        let (name, directory) = destination.directory().create_temporary_directory(destination.name())?;
        Ok(Self { destination, name, directory, is_published: false })
    }

    /// Where the files go.
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Renames the directory to its final name and removes the recording that was there. Its files must be synced already.
    pub(super) fn publish(mut self) -> Result<Directory, RecordingError> {
        self.directory.sync()?;
        let parent = self.destination.directory();
        let old = self.destination.occupant()?;
        match &old {
            None => self.take_free_name()?,
            Some(old) => self.exchange(old)?,
        }
        self.is_published = true;
        if !parent.names_file(self.destination.name(), &self.directory) {
            return Err(FileError::Exchanged { path: self.destination.path.clone() }.into());
        }
        parent.sync()?;
        if let Some(old) = &old {
            remove(parent, &self.name, old);
        }
        let published = parent.open_directory(self.destination.name())?;
        if !published.is_same_as(&self.directory) {
            return Err(FileError::Exchanged { path: self.destination.path.clone() }.into());
        }
        Ok(published)
    }

    fn take_free_name(&self) -> Result<(), RecordingError> {
        match self.rename(RenameFlags::RENAME_NOREPLACE) {
            // A file system that cannot do it: of a directory, a plain rename replaces an empty directory and nothing else.
            Err(Errno::EINVAL | Errno::ENOSYS) => self.rename(RenameFlags::empty()),
            result => result,
        }
        .map_err(|errno| self.failed(errno))
    }

    /// Takes the place of `old`, which is left under the temporary name.
    fn exchange(&self, old: &Directory) -> Result<(), RecordingError> {
        match self.rename(RenameFlags::RENAME_EXCHANGE) {
            Err(Errno::EINVAL | Errno::ENOSYS) => return self.rename_around(old),
            result => result.map_err(|errno| self.failed(errno))?,
        }
        if self.destination.directory().names_file(&self.name, old) {
            return Ok(());
        }
        // Another one than was looked at: it goes back.
        let _ = self.rename(RenameFlags::RENAME_EXCHANGE);
        Err(RecordingError::Occupied { path: self.destination.path.clone() })
    }

    /// Without an atomic exchange: for a moment neither stands under the name, but both are whole.
    fn rename_around(&self, old: &Directory) -> Result<(), RecordingError> {
        let (parent, name) = (self.destination.directory(), self.destination.name());
        let aside = parent.random_name(name)?;
        parent.rename(name, &aside)?;
        if let Err(error) = parent.rename(&self.name, name) {
            let _ = parent.rename(&aside, name);
            return Err(error.into());
        }
        remove(parent, &aside, old);
        Ok(())
    }

    fn rename(&self, flags: RenameFlags) -> nix::Result<()> {
        self.destination.directory().rename_with(&self.name, self.destination.name(), flags)
    }

    fn failed(&self, errno: Errno) -> RecordingError {
        match errno {
            Errno::EEXIST | Errno::ENOTEMPTY | Errno::ENOTDIR => {
                RecordingError::Occupied { path: self.destination.path.clone() }
            }
            errno => RecordingError::Write { path: self.destination.path.clone(), source: errno.into() },
        }
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        if !self.is_published {
            remove(self.destination.directory(), &self.name, &self.directory);
        }
    }
}

/// Whether a directory holds what [`super::write()`] writes.
pub(super) fn is_recording(directory: &Directory) -> bool {
    #[derive(serde::Deserialize)]
    struct Marks {
        #[expect(dead_code, reason = "its presence is what counts")]
        schema: u32,
        #[expect(dead_code, reason = "its presence is what counts")]
        quell: String,
    }
    let read = || -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        directory.open_file(OsStr::new(META_FILE))?.take(MOST_META).read_to_end(&mut text)?;
        Ok(text)
    };
    read().is_ok_and(|meta| serde_json::from_slice::<Marks>(&meta).is_ok())
}

/// Removes a directory of files by its descriptor, and its name where that still stands for it. quell writes no directories into
/// a recording: one that holds some is somebody's work, and stays.
fn remove(parent: &Directory, name: &OsStr, directory: &Directory) {
    let mut result = directory.remove_files();
    if parent.names_file(name, directory) {
        result = result.and_then(|()| parent.remove_directory(name));
    }
    if let Err(error) = result {
        tracing::warn!("could not remove {}: {error}", parent.path_of(name).display());
    }
}
