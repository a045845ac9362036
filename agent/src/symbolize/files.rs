//! The files from which code was mapped. Files with samples become modules. They are held open, so that they can be read after they
//! were deleted or their processes exited.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use hashbrown::HashMap;
use nix::sys::resource::{Resource, getrlimit};

use super::budget::{Budget, Charge, DESCRIPTOR, MOST_MODULES};
use super::file_identity::{FileIdentity, VDSO, VDSO_32};
use super::mappings::Mapping;
use super::unnamed::Unnamed;
use crate::inspect::{FileNumber, Mapped, Owner, ProcessAccess, ToOpen};
use crate::recording::{Module, ModuleId, ModuleTable, Shares};
use crate::units::Pid;

/// The maximum number of open files, regardless of the limit of descriptors.
const MAX_HELD: usize = 8_192;

/// The maximum number of files without code that are remembered.
const MAX_REJECTED: usize = 4_096;

/// The maximum number of attempts to open a file, each with another process that mapped it.
const MAX_ATTEMPTS: u8 = 4;

/// Whether the file of a module can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    /// The file is open.
    Held {
        /// The number of the file.
        number: FileNumber,
        /// The owner of the file.
        owner: Owner,
    },
    /// The file cannot be read, for this reason.
    Refused(Unnamed),
}

/// Modules by file.
#[derive(Debug)]
pub(super) struct ModuleFiles {
    index: HashMap<FileIdentity, Known>,
    files: HashMap<ModuleId, File>,
    opening: HashMap<FileNumber, ModuleId>,
    held: usize,
    most_held: usize,
    /// The memory for paths.
    paths: Shares,
    /// The number of files that could not become modules because of the memory limit.
    pub(super) refused: u64,
    /// The number of files that were closed because of the limit of memory or descriptors.
    pub(super) evicted: u64,
}

/// A file that was mapped where a sample was.
#[derive(Clone, Copy, Debug)]
enum Known {
    Module(ModuleId),
    /// It contains no code.
    NoCode,
    /// The user of the process has used up the memory for paths.
    Refused,
}

#[derive(Debug)]
struct File {
    holding: Holding,
    attempts: u8,
    last_used: u64,
    charge: Option<Charge>,
}

impl ModuleFiles {
    pub(super) fn new() -> Self {
        // The keeper raises its soft limit to the hard one.
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((256, 256));
        Self {
            index: HashMap::new(),
            files: HashMap::new(),
            opening: HashMap::new(),
            held: 0,
            most_held: usize::try_from(hard / 2).unwrap_or(MAX_HELD).min(MAX_HELD),
            paths: Shares::new(MOST_MODULES),
            refused: 0,
            evicted: 0,
        }
    }

    /// The module of a mapping of `pid`, which is opened if it is new; `None` for memory without a file. `now` is a count of samples.
    pub(super) fn module(
        &mut self,
        pid: Pid,
        mapping: &Mapping,
        now: u64,
        access: &mut dyn ProcessAccess,
        modules: &mut ModuleTable,
    ) -> Option<ModuleId> {
        let identity = &mapping.file.as_ref()?.identity;
        if identity.is_vdso() {
            // 32-bit code has its own vDSO, and only that one can be below 4 GiB.
            return Some(self.vdso(if mapping.start >> 32 == 0 { VDSO_32 } else { VDSO }, modules));
        }
        let mapped = || Mapped {
            pid: pid.0,
            start: mapping.start,
            end: mapping.end,
            device: identity.device,
            inode: identity.inode,
        };
        let known = self.index.get(identity).copied();
        match known {
            Some(Known::Module(id)) => {
                self.use_again(id, ToOpen::Mapped(mapped(), identity.path()), now, access);
                return Some(id);
            }
            Some(Known::NoCode) => return None,
            Some(Known::Refused) | None => {}
        }
        // Another user may still have room for the same path.
        if !self.paths.permit(pid) {
            self.refused += u64::from(known.is_none());
            self.reject(identity, Known::Refused);
            return None;
        }
        if identity.is_memory() && !access.is_elf(&mapped(), identity.path()) {
            self.reject(identity, Known::NoCode);
            return None;
        }
        let id = modules.push(Module { path: identity.path().to_owned(), file: identity.numbers(), build_id: None });
        self.paths.charge(pid, identity.bytes());
        self.index.insert(identity.clone(), Known::Module(id));
        let refused = Holding::Refused(Unnamed::FileGone);
        self.files.insert(id, File { holding: refused, attempts: 0, last_used: now, charge: None });
        self.use_again(id, ToOpen::Mapped(mapped(), identity.path()), now, access);
        Some(id)
    }

    fn reject(&mut self, identity: &FileIdentity, why: Known) {
        if self.index.len().saturating_sub(self.files.len()) > MAX_REJECTED {
            self.index.retain(|_, known| matches!(known, Known::Module(_)));
        }
        self.index.insert(identity.clone(), why);
    }

    /// Whether the file of a module can be read.
    pub(super) fn holding(&self, id: ModuleId) -> Holding {
        self.files.get(&id).map_or(Holding::Refused(Unnamed::FileGone), |file| file.holding)
    }

    /// Stores the result of opening a file; `false` if the number is unknown.
    pub(super) fn opened(
        &mut self,
        number: FileNumber,
        result: &io::Result<Owner>,
        budget: &Budget,
        access: &mut dyn ProcessAccess,
    ) -> bool {
        let Some(id) = self.opening.remove(&number) else { return false };
        let Some(file) = self.files.get_mut(&id) else { return true };
        match result {
            Ok(_) if matches!(file.holding, Holding::Held { .. }) => access.close(number),
            Ok(owner) => {
                file.holding = Holding::Held { number, owner: *owner };
                // A file may be closed and opened again any number of times because of the memory limit.
                file.attempts = 0;
                file.charge = Some(budget.charge(DESCRIPTOR));
                self.held += 1;
                if self.held > self.most_held
                    && let Some((last_used, _)) = self.least_recently_used()
                {
                    self.evict(last_used, access);
                }
            }
            Err(error) if !matches!(file.holding, Holding::Held { .. }) => {
                file.holding = Holding::Refused(match error.kind() {
                    io::ErrorKind::TimedOut => Unnamed::TimedOut,
                    io::ErrorKind::PermissionDenied => Unnamed::FileForbidden,
                    _ => Unnamed::FileGone,
                });
            }
            Err(_) => {}
        }
        true
    }

    /// The last use of the least recently used open file, and its memory in bytes.
    pub(super) fn least_recently_used(&self) -> Option<(u64, u64)> {
        let held = self.files.values().filter(|file| file.charge.is_some());
        held.map(|file| file.last_used).min().map(|last_used| (last_used, DESCRIPTOR))
    }

    /// Closes files that were not used after `last_used`.
    pub(super) fn evict(&mut self, last_used: u64, access: &mut dyn ProcessAccess) {
        for file in self.files.values_mut().filter(|file| file.last_used <= last_used) {
            if let Holding::Held { number, .. } = file.holding {
                access.close(number);
                file.holding = Holding::Refused(Unnamed::Evicted);
                file.charge = None;
                self.held -= 1;
                self.evicted += 1;
            }
        }
    }

    fn use_again(&mut self, id: ModuleId, open: ToOpen<'_>, now: u64, access: &mut dyn ProcessAccess) {
        let Some(file) = self.files.get_mut(&id) else { return };
        file.last_used = now;
        let is_open = matches!(file.holding, Holding::Held { .. });
        if !is_open && file.attempts < MAX_ATTEMPTS && !self.opening.values().any(|opening| *opening == id) {
            file.attempts += 1;
            self.opening.insert(access.open(open), id);
        }
    }

    fn vdso(&mut self, name: &str, modules: &mut ModuleTable) -> ModuleId {
        let identity = FileIdentity::new((0, 0), u64::MAX, OsStr::new(name));
        if let Some(Known::Module(id)) = self.index.get(&identity) {
            return *id;
        }
        let id = modules.push(Module { path: PathBuf::from(name), file: None, build_id: None });
        self.index.insert(identity, Known::Module(id));
        id
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;
    use std::sync::Arc;

    use super::super::known_files::KnownFile;
    use super::*;
    use crate::inspect::Direct;

    /// A process that never exists: `PID_MAX_LIMIT` is 4,194,304.
    const GONE: Pid = Pid(1 << 23);

    struct Test {
        files: ModuleFiles,
        access: Direct,
        modules: ModuleTable,
        budget: Budget,
        now: u64,
    }

    impl Test {
        fn new() -> Self {
            Self {
                files: ModuleFiles::new(),
                access: Direct::default(),
                modules: ModuleTable::default(),
                budget: Budget::default(),
                now: 0,
            }
        }

        fn module(&mut self, path: &Path, inode: u64) -> Option<ModuleId> {
            self.module_of(GONE, path, inode)
        }

        fn module_of(&mut self, pid: Pid, path: &Path, inode: u64) -> Option<ModuleId> {
            // The device is that of the directory, because the file may no longer exist.
            let folder = path.parent().and_then(|folder| std::fs::metadata(folder).ok());
            let device = folder.map_or((1, 1), |folder| {
                (nix::sys::stat::major(folder.dev()) as u32, nix::sys::stat::minor(folder.dev()) as u32)
            });
            let identity = FileIdentity::new(device, inode, path.as_os_str());
            let file = (!identity.is_none()).then(|| Arc::new(KnownFile::new(identity, &self.budget)));
            let mapping = Mapping { start: 1 << 40, end: (1 << 40) + 4_096, offset: 0, file };
            self.now += 1;
            let id = self.files.module(pid, &mapping, self.now, &mut self.access, &mut self.modules);
            for (number, result) in self.access.opened(std::time::Duration::ZERO) {
                assert!(self.files.opened(number, &result, &self.budget, &mut self.access));
            }
            id
        }

        fn is_held(&self, id: ModuleId) -> bool {
            matches!(self.files.holding(id), Holding::Held { .. })
        }
    }

    #[test]
    fn a_file_is_one_module_before_and_after_it_is_deleted_and_its_successor_is_another() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let inode = file.as_file().metadata().expect("readable").ino();
        let mut test = Test::new();
        let first = test.module(file.path(), inode).expect("a module");
        assert!(test.is_held(first), "held open though the process is gone");

        let mut deleted = file.path().as_os_str().to_owned();
        deleted.push(" (deleted)");
        assert_eq!(test.module(Path::new(&deleted), inode), Some(first));
        let second = test.module(file.path(), inode + 1).expect("a module");
        assert_ne!(first, second);
        assert!(!test.is_held(second), "what has the path now is another file");
    }

    #[test]
    fn memory_is_no_module() {
        let mut test = Test::new();
        for path in ["", "//anon", "[heap]", "[anon:v8]", "/memfd:doublemapper (deleted)", "/dev/zero (deleted)"] {
            assert_eq!(test.module(Path::new(path), 7), None, "{path}");
        }
    }

    #[test]
    fn past_the_limit_the_file_that_was_not_used_for_longest_is_closed_and_that_is_counted() {
        let mut test = Test::new();
        test.files.most_held = 2;
        let files: Vec<_> = (0..3).map(|_| tempfile::NamedTempFile::new().expect("a file")).collect();
        let inode = |file: &tempfile::NamedTempFile| file.as_file().metadata().expect("readable").ino();
        let ids: Vec<_> = files.iter().filter_map(|file| test.module(file.path(), inode(file))).collect();
        assert_eq!(ids.iter().map(|id| test.is_held(*id)).collect::<Vec<_>>(), [false, true, true]);
        assert_eq!((test.files.evicted, test.files.holding(ids[0])), (1, Holding::Refused(Unnamed::Evicted)));
        // It is opened again when it is used again, no matter how often it was closed.
        for _ in 0..=MAX_ATTEMPTS {
            for (file, id) in files.iter().zip(&ids) {
                test.module(file.path(), inode(file));
                assert!(test.is_held(*id));
            }
        }
    }

    #[test]
    fn paths_of_modules_take_a_bounded_amount_of_memory() {
        let mut test = Test::new();
        let long = "x".repeat(4_000);
        let modules =
            (0..10_000).filter(|number| test.module(Path::new(&format!("/{number}/{long}")), 7).is_some()).count();
        assert!(modules > 1_000 && modules as u64 * 4_000 < MOST_MODULES, "{modules}");
        assert_eq!(test.files.refused, 10_000 - modules as u64);
    }

    #[test]
    fn long_paths_of_one_user_leave_others_room_also_for_the_same_files() {
        let mut test = Test::new();
        test.files.paths = Shares::of(MOST_MODULES);
        let (hostile, other) = (Pid((1 << 23) + 1), Pid((1 << 23) + 101));
        let long = "x".repeat(4_000);
        let path = |number: u32| PathBuf::from(format!("/{number}/{long}"));
        let refused = (0..10_000).find(|number| test.module_of(hostile, &path(*number), 7).is_none()).expect("a limit");
        assert_eq!(test.module_of(hostile, Path::new("/lib/one.so"), 7), None);
        assert!(test.module_of(other, &path(refused), 7).is_some(), "the first user had no room for it");
        for number in 0..10_000 {
            let library = format!("/lib/{number}.so");
            assert!(test.module_of(other, Path::new(&library), 7).is_some(), "{library}");
        }
    }
}
