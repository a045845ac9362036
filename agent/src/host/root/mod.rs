//! Where a host's files are: below `/`, or below a directory that stands for a host.
//!
//! In a tree nothing leads out of it: absolute links and `..` are resolved as if the tree were the root (`RESOLVE_IN_ROOT` of
//! openat2(2); pathrs walks by `O_PATH` descriptors where the kernel or a seccomp filter has no openat2), for what is read, what is
//! written, and temporary files. On this host paths are plain ones.

mod change;
mod tree;

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{AccessFlags, access};

use tree::Tree;

/// The most bytes that a file is read to: more than any of `/proc`, `/sys` and `/etc` has.
const MOST: u64 = 16 << 20;

/// The directory that a host's absolute paths start from.
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
    /// The directory held open; `None` for this host.
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

    /// A tree that stands for a host.
    ///
    /// # Errors
    /// It is no directory, or cannot be listed.
    pub fn at(directory: &Path) -> io::Result<Self> {
        if directory == Path::new("/") {
            return Ok(Self::host());
        }
        Ok(Self { path: directory.to_owned(), tree: Some(Arc::new(Tree::open(directory)?)) })
    }

    /// Whether it is this host: only then there are system calls behind the files.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.tree.is_none()
    }

    /// Whether systemd is its first process (sd_booted(3)).
    #[must_use]
    pub fn runs_systemd(&self) -> bool {
        self.has("/run/systemd/system")
    }

    /// An absolute path of the host as the user sees it. For messages alone: what is opened by it may lie outside of the tree.
    #[must_use]
    pub fn display_path(&self, absolute: &str) -> PathBuf {
        self.path.join(absolute.trim_start_matches('/'))
    }

    /// The text of a file, without white space at its end.
    ///
    /// # Errors
    /// Those of reading, and of text that is not UTF-8 or longer than 16 MiB.
    pub fn read(&self, absolute: &str) -> io::Result<String> {
        let mut text = self.read_text(absolute)?;
        text.truncate(text.trim_end().len());
        Ok(text)
    }

    /// The text of a file.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn read_text(&self, absolute: &str) -> io::Result<String> {
        String::from_utf8(self.read_bytes(absolute)?)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8"))
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// Those of reading; in a tree, of what is no regular file; and of one that is longer than 16 MiB.
    pub fn read_bytes(&self, absolute: &str) -> io::Result<Vec<u8>> {
        let file = self.open(absolute)?;
        // Room for a page: the first read of a file of /proc/sys is the only one that gets anything (do_proc_dointvec,
        // kernel/sysctl.c), and that of a vector without room is of 32 bytes.
        let mut bytes = Vec::with_capacity(4096);
        // One more: whether there is more than that.
        file.take(MOST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {} MiB", MOST >> 20)));
        }
        Ok(bytes)
    }

    /// Opens a file to read it; in a tree, a regular one.
    ///
    /// # Errors
    /// Those of opening.
    pub fn open(&self, absolute: &str) -> io::Result<File> {
        match &self.tree {
            None => File::open(absolute),
            Some(tree) => tree.open_file(absolute, libc::O_RDONLY),
        }
    }

    /// Opens a file that exists to write to it, from its beginning on and without truncating it; in a tree, a regular one.
    ///
    /// # Errors
    /// Those of opening.
    pub fn open_to_write(&self, absolute: &str) -> io::Result<File> {
        match &self.tree {
            None => fs::OpenOptions::new().write(true).open(absolute),
            Some(tree) => tree.open_file(absolute, libc::O_WRONLY),
        }
    }

    /// The names in a directory, sorted; none where there is no such directory.
    ///
    /// # Errors
    /// Those of listing.
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

    /// What a path is, behind links.
    ///
    /// # Errors
    /// Those of stat(2).
    pub fn metadata(&self, absolute: &str) -> io::Result<Metadata> {
        match &self.tree {
            None => fs::metadata(absolute),
            Some(tree) => tree.resolve(absolute)?.metadata(),
        }
    }

    /// Whether a path is a directory, or a link to one.
    #[must_use]
    pub fn is_directory(&self, absolute: &str) -> bool {
        self.metadata(absolute).is_ok_and(|metadata| metadata.is_dir())
    }

    /// Whether there is something at a path.
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
            // access(2) says so before it looks at modes (sb_permission, fs/namei.c).
            None => access(absolute, AccessFlags::W_OK) == Err(Errno::EROFS),
            Some(tree) => tree
                .resolve(absolute)
                .is_ok_and(|file| fstatvfs(&file).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_RDONLY))),
        }
    }

    /// What a symbolic link says.
    ///
    /// # Errors
    /// Those of readlink(2).
    pub fn read_link(&self, absolute: &str) -> io::Result<PathBuf> {
        match &self.tree {
            None => fs::read_link(absolute),
            Some(tree) => tree.read_link(absolute),
        }
    }

    /// The last part of what a symbolic link points to, as sysfs names a device's driver.
    #[must_use]
    pub fn link_name(&self, absolute: &str) -> Option<String> {
        Some(self.read_link(absolute).ok()?.file_name()?.to_string_lossy().into_owned())
    }

    /// The path that has no links, from the host's root. It tells what a name stands for now; what is opened by it later is
    /// resolved again.
    ///
    /// # Errors
    /// There is nothing at the path.
    pub fn real_path(&self, absolute: &str) -> io::Result<PathBuf> {
        match &self.tree {
            None => fs::canonicalize(absolute),
            Some(tree) => Ok(PathBuf::from(tree.real(absolute)?)),
        }
    }
}

#[cfg(test)]
mod tests;
