//! A directory that represents a host: paths are resolved inside it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use pathrs::flags::OpenFlags;
use pathrs::{RootRef, error};

use crate::bounded::reopen_regular;
use crate::file::Directory;

/// The directory, held open: it stays the same even if its path later leads to another directory.
#[derive(Debug)]
pub(super) struct Tree {
    descriptor: OwnedFd,
    path: PathBuf,
}

impl Tree {
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let flags = libc::O_DIRECTORY;
        // Without O_PATH, so that a directory that cannot be listed is an error: it would be of no use.
        let descriptor = OpenOptions::new().read(true).custom_flags(flags).open(directory)?;
        Ok(Self { descriptor: descriptor.into(), path: directory.to_owned() })
    }

    fn root(&self) -> RootRef<'_> {
        RootRef::from_fd(self.descriptor.as_fd())
    }

    /// An `O_PATH` descriptor of the file that a path leads to.
    pub(super) fn resolve(&self, absolute: &str) -> io::Result<File> {
        self.open_with(absolute, libc::O_PATH)
    }

    /// Opens a regular file for reading or writing. Any other type is an error, and is not opened, since opening a FIFO or a device
    /// may have effects outside of the tree. A file with several names is an error for writing: the tree's owner may have hard-linked a
    /// file from outside the tree, unless fs.protected_hardlinks forbids that.
    pub(super) fn open_file(&self, absolute: &str, access: OFlag) -> io::Result<File> {
        let found = self.resolve(absolute)?;
        let metadata = found.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::from_raw_os_error(libc::EISDIR));
        }
        if metadata.is_file() && metadata.nlink() > 1 && access != OFlag::O_RDONLY {
            return Err(io::Error::other(
                "it is a hard link to a file that has other names, which may lie outside of the tree",
            ));
        }
        reopen_regular(&found, access)
    }

    /// Opens a directory.
    pub(super) fn directory(&self, absolute: &str) -> io::Result<Directory> {
        let opened = self.open_with(absolute, libc::O_PATH | libc::O_DIRECTORY)?;
        Ok(Directory::from_descriptor(opened.into(), self.path.join(absolute.trim_start_matches('/'))))
    }

    /// Opens the directory of a path, and returns it with the path's last component.
    pub(super) fn parent(&self, absolute: &str) -> io::Result<(Directory, OsString)> {
        let (parent, name) = split(absolute)?;
        Ok((self.directory(parent)?, name.to_owned()))
    }

    pub(super) fn read_link(&self, absolute: &str) -> io::Result<PathBuf> {
        self.root().readlink(absolute).map_err(os_error)
    }

    /// The path of a file without symbolic links, from the root of the tree.
    pub(super) fn real(&self, absolute: &str) -> io::Result<String> {
        let path_of = |descriptor: i32| fs::read_link(format!("/proc/self/fd/{descriptor}"));
        let found = self.resolve(absolute)?;
        let (found, root) = (path_of(found.as_raw_fd())?, path_of(self.descriptor.as_raw_fd())?);
        let below = found.strip_prefix(&root).map_err(|_| io::Error::from_raw_os_error(libc::ENOENT))?;
        Ok(format!("/{}", below.to_str().ok_or(io::ErrorKind::InvalidData)?))
    }

    fn open_with(&self, absolute: &str, flags: i32) -> io::Result<File> {
        self.root().open_subpath(absolute, OpenFlags::from_bits_retain(flags as u64)).map_err(os_error)
    }
}

/// The directory and the last component of an absolute path.
pub(super) fn split(absolute: &str) -> io::Result<(&str, &OsStr)> {
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    let (parent, name) = absolute.trim_end_matches('/').rsplit_once('/').ok_or_else(invalid)?;
    if name.is_empty() || name == "." || name == ".." {
        return Err(invalid());
    }
    Ok((if parent.is_empty() { "/" } else { parent }, OsStr::new(name)))
}

/// The errno with which the resolution of a path failed, as open(2) would return it.
fn os_error(error: error::Error) -> io::Error {
    match error.kind() {
        error::ErrorKind::OsError(Some(errno)) => io::Error::from_raw_os_error(errno),
        _ => io::Error::other(error),
    }
}
