//! Opens the directory of a recording and the regular files in it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

use super::RecordingError;

/// An open directory. Files are opened relative to it, even if its path changes.
pub(super) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Self, RecordingError> {
        let path = path.to_owned();
        match open(&path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()) {
            Ok(fd) => Ok(Self { fd, path }),
            Err(Errno::ENOENT) => Err(RecordingError::Missing { path }),
            Err(Errno::ENOTDIR) if path.exists() => Err(RecordingError::NotARecording { path }),
            Err(Errno::ENOTDIR) => Err(RecordingError::Missing { path }),
            Err(errno) => Err(RecordingError::Read { path, source: errno.into() }),
        }
    }

    /// Opens the file `name`; `None` if it does not exist. Only regular files are opened: a link may lead anywhere, reading a FIFO or a device
    /// may never end, and opening must not wait.
    pub(super) fn file(&self, name: &str) -> Result<Option<Source>, RecordingError> {
        let path = self.path.join(name);
        let irregular = |what: &str| RecordingError::Damaged {
            path: path.clone(),
            why: format!("it is {what}, and recordings consist of regular files"),
        };
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let fd = match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ELOOP) => return Err(irregular("a symbolic link")),
            // The file is a socket.
            Err(Errno::ENXIO) => return Err(irregular("not a regular file")),
            Err(errno) => return Err(RecordingError::Read { path, source: errno.into() }),
        };
        let file = File::from(fd);
        let metadata = file.metadata().map_err(|source| RecordingError::Read { path: path.clone(), source })?;
        let kind = metadata.file_type();
        let what = match () {
            () if kind.is_file() => return Ok(Some(Source { file, bytes: metadata.len(), path })),
            () if kind.is_dir() => "a directory",
            () if kind.is_fifo() => "a FIFO",
            () if kind.is_char_device() || kind.is_block_device() => "a device",
            () => "not a regular file",
        };
        Err(irregular(what))
    }
}

/// An open regular file.
pub(super) struct Source {
    pub(super) file: File,
    /// The size when it was opened, in bytes.
    pub(super) bytes: u64,
    pub(super) path: PathBuf,
}

impl Source {
    /// Bytes of the file from an offset.
    pub(super) fn read(&self, start: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes)
    }
}
