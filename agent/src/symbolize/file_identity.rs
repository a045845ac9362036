//! The identity of the file from which code was mapped.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::recording::FileNumbers;

/// The [`Module::path`](crate::recording::Module::path) of the vDSO, the code that the kernel maps into every process.
pub(super) const VDSO: &str = "[vdso]";

/// The [`Module::path`](crate::recording::Module::path) of the vDSO of 32-bit processes.
pub(super) const VDSO_32: &str = "[vdso32]";

/// The identity of a file. Files that had the same path at different times differ in their inode.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// The major and minor number of the device.
    pub(super) device: (u32, u32),
    /// The inode; 0 for memory without a file.
    pub(super) inode: u64,
    path: PathBuf,
}

impl FileIdentity {
    /// Creates the identity from the device (major, minor), the inode, and the path as the kernel prints it: with the suffix `
    /// (deleted)` for a deleted file, and `[vdso]` and similar names for memory without a file.
    #[must_use]
    pub fn new(device: (u32, u32), inode: u64, path: &OsStr) -> Self {
        // A deleted file keeps its identity.
        let bytes = path.as_bytes();
        let path = PathBuf::from(OsStr::from_bytes(bytes.strip_suffix(b" (deleted)").unwrap_or(bytes)));
        Self { device, inode, path }
    }

    /// The path in the mount namespace of the process that mapped the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The device and inode; `None` for memory without a file.
    pub(super) fn numbers(&self) -> Option<FileNumbers> {
        let (major, minor) = self.device;
        (self.inode != 0).then_some(FileNumbers { major, minor, inode: self.inode })
    }

    /// Whether the file is in memory and has no path in a file system (mm/shmem.c, ipc/shm.c). Most such files contain
    /// JIT-compiled code, so the file is treated as a module only if it looks like an ELF file.
    pub(super) fn is_memory(&self) -> bool {
        let path = self.path.as_os_str().as_bytes();
        [&b"/memfd:"[..], b"/dev/zero", b"/SYSV", b"/anon_hugepage"].iter().any(|prefix| path.starts_with(prefix))
    }

    /// Whether this is the vDSO.
    pub(super) fn is_vdso(&self) -> bool {
        self.path.as_os_str() == VDSO
    }

    /// Whether this is memory without a file.
    pub(super) fn is_none(&self) -> bool {
        let path = self.path.as_os_str().as_bytes();
        // perf reports memory without a file as `//anon` (kernel/events/core.c, perf_event_mmap_event).
        !self.is_vdso() && (self.inode == 0 || !path.starts_with(b"/") || path.starts_with(b"//"))
    }

    /// The memory of the identity in bytes.
    pub(super) fn bytes(&self) -> u64 {
        (size_of::<Self>() + self.path.as_os_str().len()) as u64
    }
}
