//! The files that code was mapped from, each held open so that it can be read after it, or all who ran it, are gone.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hashbrown::HashMap;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::maps::MappedRange;
use crate::profile::{Module, ModuleId, ModuleTable};
use crate::units::Pid;

/// [`Module::path`] of the code that the kernel maps into every process.
pub(super) const VDSO: &str = "[vdso]";

/// [`Module::path`] of the same for 32-bit processes.
pub(super) const VDSO_32: &str = "[vdso32]";

/// The most files held open, whatever the limit on descriptors allows.
const MAX_HELD: u64 = 16_384;

/// How often opening one file is tried, each time with another process that mapped it.
const MAX_ATTEMPTS: u8 = 4;

/// Which file it is: two files that had the same path one after the other differ by their inode.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    device: (u32, u32),
    inode: u64,
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

    /// Whether it is a file on no file system (mm/shmem.c, ipc/shm.c): mostly memory for a compiler's output, so that
    /// it is taken for a file with code only if it looks like one.
    fn is_memory(&self) -> bool {
        let path = self.path.as_os_str().as_bytes();
        [&b"/memfd:"[..], b"/dev/zero", b"/SYSV", b"/anon_hugepage"].iter().any(|prefix| path.starts_with(prefix))
    }

    fn is_none(&self) -> bool {
        let path = self.path.as_os_str().as_bytes();
        // `//anon` is what perf calls memory without a file (kernel/events/core.c, perf_event_mmap_event).
        self.inode == 0 || !path.starts_with(b"/") || path.starts_with(b"//")
    }
}

/// Files by identity and by row of the module table.
#[derive(Debug)]
pub(super) struct ModuleFiles {
    index: HashMap<FileIdentity, Option<ModuleId>>,
    files: HashMap<ModuleId, Held>,
    held: u64,
    budget: u64,
}

#[derive(Debug)]
struct Held {
    identity: FileIdentity,
    file: Option<File>,
    attempts: u8,
}

impl ModuleFiles {
    pub(super) fn new() -> Self {
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((256, 256));
        Self { index: HashMap::new(), files: HashMap::new(), held: 0, budget: (soft / 2).min(MAX_HELD) }
    }

    /// The module of what `pid` mapped, opened where it was not yet; `None` for memory that belongs to no file.
    pub(super) fn intern(&mut self, pid: Pid, range: &MappedRange, modules: &mut ModuleTable) -> Option<ModuleId> {
        if let Some(&known) = self.index.get(&range.file) {
            if let Some(id) = known {
                self.try_again(id, pid, range);
            }
            return known;
        }
        let id = if range.file.path.as_os_str() == VDSO {
            // 32-bit code has a vDSO of its own, and only that can lie below 4 GiB.
            return Some(self.vdso(if range.start.0 >> 32 == 0 { VDSO_32 } else { VDSO }, modules));
        } else if range.file.is_none() {
            None
        } else {
            let file = self.open(pid, range);
            let is_code = !range.file.is_memory() || file.as_ref().is_some_and(is_elf);
            is_code.then(|| {
                let id = modules.push(Module { path: range.file.path.clone(), build_id: None });
                self.held += u64::from(file.is_some());
                self.files.insert(id, Held { identity: range.file.clone(), file, attempts: 1 });
                id
            })
        };
        // Anonymous memory is told apart by nothing, so that it would fill the index for no use.
        if id.is_some() || range.file.inode != 0 {
            self.index.insert(range.file.clone(), id);
        }
        id
    }

    /// The file of a module, where it is held open.
    pub(super) fn get(&self, id: ModuleId) -> Option<&File> {
        self.files.get(&id)?.file.as_ref()
    }

    /// The file of a module: the one that is held, or the one at its path if that is still the same.
    pub(super) fn reopen(&self, id: ModuleId) -> io::Result<File> {
        let held = self.files.get(&id).ok_or(io::ErrorKind::NotFound)?;
        match &held.file {
            Some(file) => file.try_clone(),
            None => open_same(&held.identity.path, &held.identity),
        }
    }

    fn vdso(&mut self, name: &str, modules: &mut ModuleTable) -> ModuleId {
        let identity = FileIdentity::new((0, 0), u64::MAX, OsStr::new(name));
        let id = self
            .index
            .entry(identity)
            .or_insert_with(|| Some(modules.push(Module { path: PathBuf::from(name), build_id: None })));
        id.expect("the vDSO is a module")
    }

    fn try_again(&mut self, id: ModuleId, pid: Pid, range: &MappedRange) {
        let Some(held) = self.files.get_mut(&id) else { return };
        if held.file.is_none() && held.attempts < MAX_ATTEMPTS {
            held.attempts += 1;
            let file = self.open(pid, range);
            self.held += u64::from(file.is_some());
            self.files.entry(id).and_modify(|held| held.file = file);
        }
    }

    /// By the mapping itself, which also reaches deleted files and other mount namespaces but needs CAP_SYS_ADMIN or
    /// CAP_CHECKPOINT_RESTORE (fs/proc/base.c, proc_map_files_get_link); else by path, if that is still the same file.
    fn open(&mut self, pid: Pid, range: &MappedRange) -> Option<File> {
        if self.held >= self.budget && !self.raise_budget() {
            return None;
        }
        let by_mapping = format!("/proc/{pid}/map_files/{:x}-{:x}", range.start.0, range.end.0);
        open_regular(Path::new(&by_mapping), 0)
            .or_else(|_| {
                let mut by_root = PathBuf::from(format!("/proc/{pid}/root"));
                by_root.push(range.file.path.strip_prefix("/").unwrap_or(&range.file.path));
                open_same(&by_root, &range.file)
            })
            // The process may be gone. Most live in the agent's own mount namespace.
            .or_else(|_| open_same(&range.file.path, &range.file))
            .ok()
    }

    /// Only when it is needed, because a command that the agent starts inherits the limit.
    fn raise_budget(&mut self) -> bool {
        let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return false };
        if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
            self.budget = (hard / 2).min(MAX_HELD);
        }
        self.held < self.budget
    }
}

/// Opens a regular file for reading. What else may be there (a FIFO, a device) is not touched, since opening it could
/// block or act.
pub(super) fn open_regular(path: &Path, flags: i32) -> io::Result<File> {
    let place = OpenOptions::new().read(true).custom_flags(libc::O_PATH | flags).open(path)?;
    if !place.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    File::open(descriptor_path(&place))
}

/// A path that opens what a descriptor refers to.
pub(super) fn descriptor_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// The inode decides, not the device: `stat` and the kernel's mapping lists show different ones on btrfs and overlayfs.
fn open_same(path: &Path, identity: &FileIdentity) -> io::Result<File> {
    let file = open_regular(path, 0)?;
    if file.metadata()?.ino() == identity.inode {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::NotFound, "another file has taken its path"))
    }
}

fn is_elf(file: &File) -> bool {
    let mut magic = [0; 4];
    file.read_exact_at(&mut magic, 0).is_ok() && magic == *b"\x7fELF"
}
