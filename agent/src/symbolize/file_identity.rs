//! Which file code was mapped from.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::recording::FileNumbers;

/// [`Module::path`](crate::recording::Module::path) of the code that the kernel maps into every process.
pub(super) const VDSO: &str = "[vdso]";

/// [`Module::path`](crate::recording::Module::path) of the same for 32-bit processes.
pub(super) const VDSO_32: &str = "[vdso32]";

/// Which file it is: two files that had the same path one after the other differ by their inode.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// Major and minor number.
    pub(super) device: (u32, u32),
    /// 0 for what is no file.
    pub(super) inode: u64,
    path: PathBuf,
}

impl FileIdentity {
    /// A file by its device (major, minor), its inode, and its path as the kernel prints it: with ` (deleted)` after it
    /// where it was, `[vdso]` and the like for what is no file.
    #[must_use]
    pub fn new(device: (u32, u32), inode: u64, path: &OsStr) -> Self {
        // A file does not become another when it is deleted.
        let bytes = path.as_bytes();
        let path = PathBuf::from(OsStr::from_bytes(bytes.strip_suffix(b" (deleted)").unwrap_or(bytes)));
        Self { device, inode, path }
    }

    /// Its path as the process that mapped it sees it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its device and inode, if it has any.
    pub(super) fn numbers(&self) -> Option<FileNumbers> {
        let (major, minor) = self.device;
        (self.inode != 0).then_some(FileNumbers { major, minor, inode: self.inode })
    }

    /// Whether it is a file on no file system (mm/shmem.c, ipc/shm.c): mostly memory for a compiler's output, so that
    /// it is taken for a file with code only if it looks like one.
    pub(super) fn is_memory(&self) -> bool {
        let path = self.path.as_os_str().as_bytes();
        [&b"/memfd:"[..], b"/dev/zero", b"/SYSV", b"/anon_hugepage"].iter().any(|prefix| path.starts_with(prefix))
    }

    /// Whether it is the kernel's own code in the process.
    pub(super) fn is_vdso(&self) -> bool {
        self.path.as_os_str() == VDSO
    }

    /// Whether it is no file at all.
    pub(super) fn is_none(&self) -> bool {
        let path = self.path.as_os_str().as_bytes();
        // `//anon` is what perf calls memory without a file (kernel/events/core.c, perf_event_mmap_event).
        !self.is_vdso() && (self.inode == 0 || !path.starts_with(b"/") || path.starts_with(b"//"))
    }

    /// How much memory it takes.
    pub(super) fn bytes(&self) -> u64 {
        (size_of::<Self>() + self.path.as_os_str().len()) as u64
    }
}
