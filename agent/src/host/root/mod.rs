//! The files of a host: below `/` for this host, or below a directory that represents a host (a tree).
//!
//! No path leads out of a tree: absolute links and `..` are resolved as if the tree were the root (`RESOLVE_IN_ROOT` of
//! openat2(2); if the kernel has no openat2 or a seccomp filter blocks it, pathrs opens each component with `O_PATH`). This
//! applies to files that are read and written, and to temporary files. On this host, paths are resolved as usual.

mod change;
mod tree;

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{AccessFlags, access};

use tree::Tree;

/// The maximum size of a file that is read, in bytes. The files that quell reads from `/proc`, `/sys` and `/etc` are smaller.
const MOST: u64 = 16 << 20;

/// The directory that a host's absolute paths start from.
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
    /// The root directory of the tree, held open; `None` for this host.
    tree: Option<Arc<Tree>>,
}

impl PartialEq for Root {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for Root {}

impl Root {
    /// This host.
    #[must_use]
    pub fn host() -> Self {
        Self { path: PathBuf::from("/"), tree: None }
    }

    /// A directory tree that represents a host. The directory `/` is this host.
    ///
    /// # Errors
    /// The path is not a directory, or cannot be listed.
    pub fn at(directory: &Path) -> io::Result<Self> {
        if directory == Path::new("/") {
            return Ok(Self::host());
        }
        Ok(Self { path: directory.to_owned(), tree: Some(Arc::new(Tree::open(directory)?)) })
    }

    /// Whether it is this host, not a tree. A tree has only files: other system calls, such as netlink requests, need this
    /// host.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.tree.is_none()
    }

    /// Whether systemd is its init process (sd_booted(3)).
    #[must_use]
    pub fn runs_systemd(&self) -> bool {
        self.has("/run/systemd/system")
    }

    /// An absolute path of the host as the user sees it. Only for messages: opening it may lead out of the tree.
    #[must_use]
    pub fn display_path(&self, absolute: &str) -> PathBuf {
        self.path.join(absolute.trim_start_matches('/'))
    }

    /// The text of a file, without trailing white space.
    ///
    /// # Errors
    /// The errors of [`read_bytes`](Self::read_bytes), and text that is not UTF-8.
    pub fn read(&self, absolute: &str) -> io::Result<String> {
        let mut text = self.read_text(absolute)?;
        text.truncate(text.trim_end().len());
        Ok(text)
    }

    /// The text of a file.
    ///
    /// # Errors
    /// The errors of [`read`](Self::read).
    pub fn read_text(&self, absolute: &str) -> io::Result<String> {
        String::from_utf8(self.read_bytes(absolute)?)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8"))
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// The file cannot be read, is longer than 16 MiB, or, in a tree, is not a regular file.
    pub fn read_bytes(&self, absolute: &str) -> io::Result<Vec<u8>> {
        let file = self.open(absolute)?;
        // Capacity for a page: only the first read of a file in /proc/sys returns data (do_proc_dointvec, kernel/sysctl.c), and
        // the first read into a vector without capacity is one of 32 bytes.
        let mut bytes = Vec::with_capacity(4096);
        // One byte more than the maximum, to detect a longer file.
        file.take(MOST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {} MiB", MOST >> 20)));
        }
        Ok(bytes)
    }

    /// Opens a file for reading; in a tree, only a regular file.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(&self, absolute: &str) -> io::Result<File> {
        match &self.tree {
            None => File::open(absolute),
            Some(tree) => tree.open_file(absolute, OFlag::O_RDONLY),
        }
    }

    /// Opens an existing file for writing, from its start and without truncating it; in a tree, only a regular file with a
    /// single name.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open_to_write(&self, absolute: &str) -> io::Result<File> {
        match &self.tree {
            None => fs::OpenOptions::new().write(true).open(absolute),
            Some(tree) => tree.open_file(absolute, OFlag::O_WRONLY),
        }
    }

    /// The names in a directory, sorted; empty if there is no such directory.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn list(&self, absolute: &str) -> io::Result<Vec<String>> {
        let names = match &self.tree {
            None => fs::read_dir(absolute)
                .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()),
            Some(tree) => tree.directory(absolute).and_then(|directory| Ok(directory.names()?)),
        };
        let names = match names {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            names => names?,
        };
        let mut names: Vec<String> = names.into_iter().map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    }

    /// The metadata of a file, following symbolic links.
    ///
    /// # Errors
    /// The errors of stat(2).
    pub fn metadata(&self, absolute: &str) -> io::Result<Metadata> {
        match &self.tree {
            None => fs::metadata(absolute),
            Some(tree) => tree.resolve(absolute)?.metadata(),
        }
    }

    /// Whether a path is a directory, or a symbolic link to one.
    #[must_use]
    pub fn is_directory(&self, absolute: &str) -> bool {
        self.metadata(absolute).is_ok_and(|metadata| metadata.is_dir())
    }

    /// Whether a path exists, following symbolic links.
    #[must_use]
    pub fn has(&self, absolute: &str) -> bool {
        match &self.tree {
            None => Path::new(absolute).exists(),
            Some(tree) => tree.resolve(absolute).is_ok(),
        }
    }

    /// Whether a path is on a file system that is mounted read-only, which stops root too.
    #[must_use]
    pub fn is_read_only(&self, absolute: &str) -> bool {
        match &self.tree {
            // access(2) checks for a read-only superblock before the file mode (sb_permission, fs/namei.c).
            None => access(absolute, AccessFlags::W_OK) == Err(Errno::EROFS),
            Some(tree) => tree
                .resolve(absolute)
                .is_ok_and(|file| fstatvfs(&file).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_RDONLY))),
        }
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// The errors of readlink(2).
    pub fn read_link(&self, absolute: &str) -> io::Result<PathBuf> {
        match &self.tree {
            None => fs::read_link(absolute),
            Some(tree) => tree.read_link(absolute),
        }
    }

    /// The last component of a symbolic link's target, which in sysfs is, for example, the name of a device's driver.
    #[must_use]
    pub fn link_name(&self, absolute: &str) -> Option<String> {
        Some(self.read_link(absolute).ok()?.file_name()?.to_string_lossy().into_owned())
    }

    /// The path without symbolic links, from the host's root, at the time of the call: opening it later resolves it again.
    ///
    /// # Errors
    /// The path does not exist, or, in a tree, its resolved path is not UTF-8.
    pub fn real_path(&self, absolute: &str) -> io::Result<PathBuf> {
        match &self.tree {
            None => fs::canonicalize(absolute),
            Some(tree) => Ok(PathBuf::from(tree.real(absolute)?)),
        }
    }
}

#[cfg(test)]
mod tests;
