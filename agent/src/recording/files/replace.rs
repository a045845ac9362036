//! Replaces a directory atomically: after a kill at any time, there is a complete one or none.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{META_FILE, RecordingError, tables};
use crate::file::{Directory, FileError, Kind, Place};

/// The maximum size of `meta.json` in bytes.
const MOST_META: u64 = 64 << 20;

/// The path of a recording, checked before a capture begins. Its parent directory is held open, and the recording is written there.
#[derive(Debug)]
pub struct Destination {
    place: Place,
    path: PathBuf,
}

impl Destination {
    /// Opens the parent directory of `path`. If `path` is a link that may be followed, its target is replaced, not the link.
    ///
    /// # Errors
    /// The path has a file that is not a recording or that another user may have planted, or the directory is not writable.
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

    /// A new recording in an open directory, with an unpredictable name.
    ///
    /// # Errors
    /// No random number is available.
    pub fn new_in(directory: Directory) -> Result<Self, RecordingError> {
        let name = directory.visible_name(OsStr::new("quell.quell"))?;
        let path = directory.path_of(&name);
        Ok(Self { place: Place::in_directory(directory, name), path })
    }

    /// The path as the user gave it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The current path of the recording if its directory was moved since it was opened.
    #[must_use]
    pub fn moved_to(&self) -> Option<PathBuf> {
        self.directory().moved_to().map(|path| path.join(self.name()))
    }

    /// The existing recording, if it may be replaced.
    fn occupant(&self) -> Result<Option<Replaceable>, RecordingError> {
        let occupied = || RecordingError::Occupied { path: self.path.clone() };
        let (entry, moved) = match self.place.occupant() {
            Err(error @ FileError::Movable { .. }) => (self.directory().entry(self.name())?, Some(error)),
            entry => (entry?, None),
        };
        let Some(entry) = entry else { return Ok(None) };
        if entry.kind() != Kind::Directory {
            return Err(moved.map_or_else(occupied, RecordingError::from));
        }
        let directory = self.directory().open_directory(self.name())?;
        if !entry.is_same_as(&directory) {
            return Err(occupied());
        }
        let marks = Marks::of(&directory).ok_or_else(occupied)?;
        // Another user who can rename directories here must not be able to have a different recording removed. So each
        // recording contains the path at which it was written.
        if let Some(error) = moved.filter(|_| marks.written_as.is_none() || marks.written_as != self.written_as()) {
            return Err(error.into());
        }
        let files = marks.into_files();
        match directory.names()?.into_iter().find(|name| !files.contains(name)) {
            Some(other) => Err(RecordingError::OtherFile { path: self.path.join(other), recording: self.path.clone() }),
            None => Ok(Some(Replaceable { name: self.name().to_owned(), directory, files })),
        }
    }

    /// The absolute path of a recording in this directory, without symbolic links.
    pub(super) fn written_as(&self) -> Option<String> {
        self.directory().real_path()?.join(self.name()).into_os_string().into_string().ok()
    }

    fn directory(&self) -> &Directory {
        self.place.directory()
    }

    fn name(&self) -> &OsStr {
        self.place.name()
    }

    fn renaming_failed(&self, errno: Errno) -> RecordingError {
        match errno {
            Errno::EEXIST | Errno::ENOTEMPTY | Errno::ENOTDIR => RecordingError::Occupied { path: self.path.clone() },
            errno => RecordingError::Write { path: self.path.clone(), source: errno.into() },
        }
    }
}

/// A recording that may be replaced: its open directory, and the files that quell wrote into it.
#[derive(Debug)]
pub(super) struct Replaceable {
    pub(super) name: OsString,
    pub(super) directory: Directory,
    pub(super) files: BTreeSet<OsString>,
}

impl Replaceable {
    /// Removes it, if it still has the name `name`. If it contains other files, these and the directory are kept.
    fn remove(&self, parent: &Directory, name: &OsStr) {
        let mut result = self.directory.remove_files_named(self.files.iter().map(OsString::as_os_str));
        if parent.names_file(name, &self.directory) {
            result = result.and_then(|()| parent.remove_directory(name));
        }
        if let Err(error) = result {
            tracing::warn!(
                "could not remove the recording that was replaced, {}: {error}",
                parent.path_of(name).display()
            );
        }
    }
}

/// A recording after it was renamed.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) name: OsString,
    pub(super) directory: Directory,
    /// The reason why it does not have the requested name.
    pub(super) reason: Option<RecordingError>,
}

/// A directory under a temporary name. If it is dropped before it is published, it is removed.
pub(super) struct Staging<'a> {
    destination: &'a Destination,
    name: OsString,
    directory: Directory,
    is_published: bool,
}

impl<'a> Staging<'a> {
    /// Creates the directory.
    pub(super) fn new(destination: &'a Destination) -> Result<Self, RecordingError> {
        let (name, directory) = destination.directory().create_temporary_directory(destination.name())?;
        Ok(Self { destination, name, directory, is_published: false })
    }

    /// The directory for the files.
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Renames the directory to its final name and removes the existing recording. If the name is not available, it gets an unused name in
    /// the same directory. Its files must have been synced.
    pub(super) fn publish(self) -> Result<Published, RecordingError> {
        self.directory.sync()?;
        let destination = self.destination;
        match destination.occupant().and_then(|old| self.take_name(old.as_ref())) {
            Ok(()) => self.published(destination.name().to_owned(), None),
            Err(reason) => self.keep(reason),
        }
    }

    /// Replaces a recording of this process. If another process has moved it away, like
    /// [`publish`](Self::publish).
    pub(super) fn publish_over(self, earlier: &Replaceable) -> Result<Published, RecordingError> {
        self.directory.sync()?;
        if !self.parent().names_file(&earlier.name, &earlier.directory) {
            return self.publish();
        }
        match self.exchange(earlier) {
            Ok(()) => self.published(earlier.name.clone(), None),
            Err(reason) => self.keep(reason),
        }
    }

    /// Publishes it under another name in the same directory.
    fn keep(self, reason: RecordingError) -> Result<Published, RecordingError> {
        let name = self.parent().rename_beside(&self.name, self.destination.name())?;
        self.published(name, Some(reason))
    }

    fn published(mut self, name: OsString, reason: Option<RecordingError>) -> Result<Published, RecordingError> {
        self.is_published = true;
        let parent = self.destination.directory();
        let exchanged = || FileError::Exchanged { path: parent.path_of(&name) };
        if !parent.names_file(&name, &self.directory) {
            return Err(exchanged().into());
        }
        parent.sync()?;
        let directory = parent.open_directory(&name)?;
        if directory.is_same_as(&self.directory) {
            Ok(Published { name, directory, reason })
        } else {
            Err(exchanged().into())
        }
    }

    fn take_name(&self, old: Option<&Replaceable>) -> Result<(), RecordingError> {
        if let Some(old) = old {
            return self.exchange(old);
        }
        match self.rename(self.destination.name(), RenameFlags::RENAME_NOREPLACE) {
            // The file system does not support this flag. A plain rename of a directory only replaces an empty directory.
            Err(Errno::EINVAL | Errno::ENOSYS) => self.rename(self.destination.name(), RenameFlags::empty()),
            result => result,
        }
        .map_err(|errno| self.destination.renaming_failed(errno))
    }

    /// Replaces `old`, and removes it.
    fn exchange(&self, old: &Replaceable) -> Result<(), RecordingError> {
        match self.rename(&old.name, RenameFlags::RENAME_EXCHANGE) {
            Err(Errno::EINVAL | Errno::ENOSYS) => return self.rename_around(old),
            result => result.map_err(|errno| self.destination.renaming_failed(errno))?,
        }
        if !self.parent().names_file(&self.name, &old.directory) {
            // Another directory than the one that was checked has this name: the exchange is reverted.
            let _ = self.rename(&old.name, RenameFlags::RENAME_EXCHANGE);
            return Err(RecordingError::Occupied { path: self.destination.path.clone() });
        }
        old.remove(self.parent(), &self.name);
        Ok(())
    }

    /// Replaces `old` without an atomic exchange. For a moment, neither recording has the name, but both are complete.
    fn rename_around(&self, old: &Replaceable) -> Result<(), RecordingError> {
        let aside = self.parent().random_name(&old.name)?;
        self.parent().rename(&old.name, &aside)?;
        if let Err(error) = self.parent().rename(&self.name, &old.name) {
            let _ = self.parent().rename(&aside, &old.name);
            return Err(error.into());
        }
        old.remove(self.parent(), &aside);
        Ok(())
    }

    fn rename(&self, to: &OsStr, flags: RenameFlags) -> nix::Result<()> {
        self.parent().rename_with(&self.name, to, flags)
    }

    fn parent(&self) -> &'a Directory {
        self.destination.directory()
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        if self.is_published {
            return;
        }
        let mut result = self.directory.remove_files_named(written_files());
        if self.parent().names_file(&self.name, &self.directory) {
            result = result.and_then(|()| self.parent().remove_directory(&self.name));
        }
        if let Err(error) = result {
            tracing::warn!(
                "could not remove an unfinished recording, {}: {error}",
                self.parent().path_of(&self.name).display()
            );
        }
    }
}

/// The files that quell writes into a recording.
pub(super) fn written_files() -> impl Iterator<Item = &'static OsStr> {
    tables::ALL.iter().map(|table| table.file).chain([META_FILE]).map(OsStr::new)
}

/// The part of `meta.json` that identifies a recording and its files.
#[derive(Deserialize)]
struct Marks {
    #[expect(dead_code, reason = "its presence is what counts")]
    schema: u32,
    #[expect(dead_code, reason = "its presence is what counts")]
    quell: String,
    #[serde(default)]
    files: BTreeMap<String, IgnoredAny>,
    /// The path where it was written. It may have been moved.
    #[serde(default)]
    written_as: Option<String>,
}

impl Marks {
    /// `None` for a directory that is not a recording.
    fn of(directory: &Directory) -> Option<Self> {
        let mut text = Vec::new();
        directory.open_file(OsStr::new(META_FILE)).ok()?.take(MOST_META).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The names of its files; names that are not single components are ignored.
    fn into_files(self) -> BTreeSet<OsString> {
        let names = self.files.into_keys().filter(|name| !name.contains('/') && name != ".." && name != ".");
        names.map(OsString::from).chain([OsString::from(META_FILE)]).collect()
    }
}
