//! Changing a host's files.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use nix::sys::stat::{Mode, mkdirat};

use super::Root;
use super::tree::split;
use crate::file::{Directory, FileError, Replacement};

impl Root {
    /// Writes to a file that exists, in one `write(2)`: what sysfs and procfs take for one value. A kernel does not see a write of
    /// nothing (proc_sys_call_handler, fs/proc/proc_sysctl.c): it gets an empty line.
    ///
    /// # Errors
    /// Those of opening and writing; a kernel's refusal is the error of the write.
    pub fn write(&self, absolute: &str, text: impl AsRef<[u8]>) -> io::Result<()> {
        let text = text.as_ref();
        let mut file = match &self.tree {
            None => fs::OpenOptions::new().write(true).truncate(true).open(absolute)?,
            Some(tree) => {
                let file = tree.open_file(absolute, libc::O_WRONLY)?;
                file.set_len(0)?;
                file
            }
        };
        let text = if text.is_empty() && self.is_host() { b"\n" } else { text };
        match file.write(text)? {
            written if written == text.len() => Ok(()),
            written => Err(io::Error::other(format!("only {written} of {} bytes were taken", text.len()))),
        }
    }

    /// The directory of a path, held open, and the path's last component: for what is done to a name itself. On this host links
    /// on the way must be root's or the caller's.
    ///
    /// # Errors
    /// There is no such directory.
    pub fn parent(&self, absolute: &str) -> io::Result<(Directory, OsString)> {
        match &self.tree {
            None => Ok(Directory::parent_of(Path::new(absolute))?),
            Some(tree) => tree.parent(absolute),
        }
    }

    /// Replaces a file's bytes in one step: whoever reads it finds the old ones or the new ones. Where a link is in its place, the
    /// file behind it is replaced. `prepare` gives the new file its attributes; else it is for its owner alone. One process at a
    /// time does this, the one that has the host's lock.
    ///
    /// # Errors
    /// Those of creating, writing, flushing and renaming; then the file is as it was.
    pub fn replace_file(
        &self,
        absolute: &str,
        bytes: &[u8],
        prepare: impl FnOnce(Option<&File>, &File) -> io::Result<()>,
    ) -> io::Result<()> {
        let real = self.real_path(absolute).ok().and_then(|path| path.to_str().map(str::to_owned));
        let absolute = real.as_deref().unwrap_or(absolute);
        self.create_directories(split(absolute)?.0)?;
        let (directory, name) = self.parent(absolute)?;
        let old = match directory.open_file(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            old => Some(old?),
        };
        directory.remove_leftovers(&name);
        let replacement = Replacement::create(&directory, &name)?;
        prepare(old.as_ref(), replacement.file())?;
        replacement.file().write_all(bytes)?;
        replacement.commit()?;
        Ok(directory.sync()?)
    }

    /// Creates a directory and those that it is in, for everybody to enter.
    ///
    /// # Errors
    /// Those of mkdir(2).
    pub fn create_directories(&self, absolute: &str) -> io::Result<()> {
        if self.is_directory(absolute) {
            return Ok(());
        }
        if self.is_host() {
            return DirBuilder::new().recursive(true).mode(0o755).create(absolute);
        }
        let (parent, _) = split(absolute)?;
        self.create_directories(parent)?;
        match self.create_directory(absolute) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.is_directory(absolute) => Ok(()),
            created => created,
        }
    }

    /// Creates a directory, for everybody to enter.
    ///
    /// # Errors
    /// Those of mkdir(2).
    pub fn create_directory(&self, absolute: &str) -> io::Result<()> {
        self.make_directory(absolute, EVERYBODY).map(drop)
    }

    /// The directory that it was made in.
    fn make_directory(&self, absolute: &str, mode: Mode) -> io::Result<Directory> {
        let (parent, name) = self.parent(absolute)?;
        mkdirat(&parent, name.as_os_str(), mode)?;
        Ok(parent)
    }

    /// Removes a file, or a link itself.
    ///
    /// # Errors
    /// Those of unlink(2).
    pub fn remove_file(&self, absolute: &str) -> io::Result<()> {
        let (parent, name) = self.parent(absolute)?;
        Ok(parent.remove_file(&name)?)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Those of rmdir(2).
    pub fn remove_directory(&self, absolute: &str) -> io::Result<()> {
        let (parent, name) = self.parent(absolute)?;
        Ok(parent.remove_directory(&name)?)
    }

    /// Renames a file within its directory.
    ///
    /// # Errors
    /// Those of rename(2).
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let ((directory, old), (folder, new)) = (split(from)?, split(to)?);
        if directory != folder {
            return Err(io::Error::from_raw_os_error(libc::EXDEV));
        }
        debug_assert_ne!(old, new);
        let (directory, old) = self.parent(from)?;
        Ok(directory.rename(&old, new)?)
    }

    /// Writes a file of a tree, which need not exist, in place: what a kernel would have there.
    ///
    /// # Errors
    /// It is this host, or the file cannot be written.
    pub fn put(&self, absolute: &str, text: &str) -> io::Result<()> {
        if self.is_host() {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
        match self.write(absolute, text) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (parent, name) = self.parent(absolute)?;
                parent.create_file(&name)?.write_all(text.as_bytes())
            }
            written => written,
        }
    }

    /// Opens a directory that quell keeps its state in, and makes it with those that it is in where it is not there. It and those
    /// on the way to it that are called `quell` are for their owner alone, who is root or the caller: what is looser is
    /// tightened.
    ///
    /// # Errors
    /// It cannot be made or tightened, or belongs to somebody else.
    pub fn state_directory(&self, absolute: &str) -> Result<Directory, FileError> {
        let failed = |source| FileError::Io { operation: "create", path: self.display_path(absolute), source };
        for directory in ancestors(absolute) {
            let is_own = is_own(directory);
            if !self.is_directory(directory) {
                match self.make_directory(directory, if is_own { Mode::S_IRWXU } else { EVERYBODY }) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Ok(parent) => parent.sync()?,
                    Err(source) => return Err(failed(source)),
                }
            }
            if is_own {
                self.open_directory(directory)?.make_private()?;
            }
        }
        self.open_directory(absolute)
    }

    /// As [`state_directory`](Self::state_directory), of one that exists; `None` where it does not. Who may not tighten it opens it
    /// as it is.
    ///
    /// # Errors
    /// It cannot be opened, or belongs to somebody else.
    pub fn existing_state_directory(&self, absolute: &str) -> Result<Option<Directory>, FileError> {
        let mut last = None;
        for directory in ancestors(absolute).filter(|directory| is_own(directory)) {
            let opened = match self.open_directory(directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                opened => opened?,
            };
            if let Err(error @ FileError::ForeignState { .. }) = opened.make_private() {
                return Err(error);
            }
            last = Some(opened);
        }
        Ok(last)
    }

    /// Replaces a file of quell's own in a [state directory](Self::state_directory).
    ///
    /// # Errors
    /// As for the directory and for [`replace_file`](Self::replace_file).
    pub fn write_state(&self, absolute: &str, bytes: &[u8]) -> io::Result<()> {
        let (directory, name) = split(absolute)?;
        let directory = self.state_directory(directory)?;
        directory.remove_leftovers(name);
        let replacement = Replacement::create(&directory, name)?;
        replacement.file().write_all(bytes)?;
        replacement.commit()?;
        Ok(directory.sync()?)
    }

    /// Opens a directory.
    ///
    /// # Errors
    /// There is none.
    pub fn open_directory(&self, absolute: &str) -> Result<Directory, FileError> {
        match &self.tree {
            None => Directory::open(Path::new(absolute)),
            Some(tree) => tree.directory(absolute).map_err(|source| FileError::Io {
                operation: "open",
                path: self.display_path(absolute),
                source,
            }),
        }
    }
}

/// For the owner to change and for everybody to enter.
const EVERYBODY: Mode = Mode::from_bits_truncate(0o755);

/// A directory's own path and those that it is in, the outermost first.
fn ancestors(absolute: &str) -> impl Iterator<Item = &str> {
    let ends = absolute.match_indices('/').skip(1).map(|(end, _)| end).chain([absolute.len()]);
    ends.map(|end| &absolute[..end])
}

/// Whether a directory is quell's own: it is called so, or lies in one that is.
fn is_own(directory: &str) -> bool {
    directory.split('/').any(|part| part == "quell")
}
