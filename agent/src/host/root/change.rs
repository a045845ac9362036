//! Changes the files of a host.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, mkdirat};

use super::Root;
use super::tree::split;
use crate::file::{Directory, FileError, Replacement};

impl Root {
    /// Writes to an existing file in a single `write(2)`, which sysfs and procfs take as one value. The kernel ignores an empty
    /// write (proc_sys_call_handler, fs/proc/proc_sysctl.c), so on this host an empty line is written instead.
    ///
    /// # Errors
    /// The errors of opening and writing, including a short write. If the kernel rejects the value, write(2) fails.
    pub fn write(&self, absolute: &str, text: impl AsRef<[u8]>) -> io::Result<()> {
        let text = text.as_ref();
        let mut file = match &self.tree {
            None => fs::OpenOptions::new().write(true).truncate(true).open(absolute)?,
            Some(tree) => {
                let file = tree.open_file(absolute, OFlag::O_WRONLY)?;
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

    /// Opens the directory of a path and returns it with the path's last component, for operations on the name itself. On this
    /// host, symbolic links on the way must belong to root or the caller.
    ///
    /// # Errors
    /// There is no such directory.
    pub fn parent(&self, absolute: &str) -> io::Result<(Directory, OsString)> {
        match &self.tree {
            None => Ok(Directory::parent_of(Path::new(absolute))?),
            Some(tree) => tree.parent(absolute),
        }
    }

    /// Replaces the contents of a file atomically: a reader sees either the old or the new contents. If the path is a symbolic
    /// link, its target is replaced. `prepare` gets the old file, if there is one, and sets the attributes of the new file,
    /// which otherwise only its owner can access. Only one process at a time may do this: the one that holds the host's lock.
    ///
    /// # Errors
    /// The errors of creating, writing, flushing and renaming the file, which is then unchanged; and of flushing the directory,
    /// in which case the file has already been replaced.
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

    /// Creates a directory and its missing parents, readable for all users (mode 0755).
    ///
    /// # Errors
    /// The errors of mkdir(2).
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

    /// Creates a directory, readable for all users (mode 0755).
    ///
    /// # Errors
    /// The errors of mkdir(2).
    pub fn create_directory(&self, absolute: &str) -> io::Result<()> {
        self.make_directory(absolute, EVERYBODY).map(drop)
    }

    /// Creates a directory and returns its parent directory.
    fn make_directory(&self, absolute: &str, mode: Mode) -> io::Result<Directory> {
        let (parent, name) = self.parent(absolute)?;
        mkdirat(&parent, name.as_os_str(), mode)?;
        Ok(parent)
    }

    /// Removes a file; of a symbolic link, the link itself.
    ///
    /// # Errors
    /// The errors of unlink(2).
    pub fn remove_file(&self, absolute: &str) -> io::Result<()> {
        let (parent, name) = self.parent(absolute)?;
        Ok(parent.remove_file(&name)?)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// The errors of rmdir(2).
    pub fn remove_directory(&self, absolute: &str) -> io::Result<()> {
        let (parent, name) = self.parent(absolute)?;
        Ok(parent.remove_directory(&name)?)
    }

    /// Renames a file within its directory.
    ///
    /// # Errors
    /// The errors of rename(2), and `EXDEV` for another directory.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let ((directory, old), (folder, new)) = (split(from)?, split(to)?);
        if directory != folder {
            return Err(io::Error::from_raw_os_error(libc::EXDEV));
        }
        debug_assert_ne!(old, new);
        let (directory, old) = self.parent(from)?;
        Ok(directory.rename(&old, new)?)
    }

    /// Writes a file of a tree in place, and creates it if it does not exist, as a substitute for a file that a kernel would
    /// provide.
    ///
    /// # Errors
    /// The root is this host instead of a tree, or the file cannot be written.
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

    /// Opens a directory for quell's state, and creates it with its parents if they do not exist. The directories on the path
    /// that are named `quell`, and those below them, are accessible only to their owner, who must be root or the caller: looser
    /// permissions are tightened.
    ///
    /// # Errors
    /// The directory cannot be created, its permissions cannot be tightened, or it belongs to another user.
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

    /// Like [`state_directory`](Self::state_directory), but does not create the directory; `None` if it does not exist. If the
    /// caller may not tighten its permissions, it is opened with the permissions that it has.
    ///
    /// # Errors
    /// The directory cannot be opened, or belongs to another user.
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

    /// Replaces a file of quell's state in a [state directory](Self::state_directory).
    ///
    /// # Errors
    /// The errors of [`state_directory`](Self::state_directory) and [`replace_file`](Self::replace_file).
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
    /// The directory does not exist or cannot be opened.
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

/// Writable for the owner, readable and searchable for all users.
const EVERYBODY: Mode = Mode::from_bits_truncate(0o755);

/// The paths of a directory's parents and of the directory itself, starting with the outermost.
fn ancestors(absolute: &str) -> impl Iterator<Item = &str> {
    let ends = absolute.match_indices('/').skip(1).map(|(end, _)| end).chain([absolute.len()]);
    ends.map(|end| &absolute[..end])
}

/// Whether a directory belongs to quell: it is named `quell`, or is below a directory with that name.
fn is_own(directory: &str) -> bool {
    directory.split('/').any(|part| part == "quell")
}
