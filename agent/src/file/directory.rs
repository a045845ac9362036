//! A directory that is held open, and operations on the names in it.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, openat, renameat2};
use nix::sys::stat::{Mode, fstat, mkdirat};
use nix::unistd::{AccessFlags, UnlinkatFlags, faccessat, linkat, unlinkat};

use super::entry::{identity, owner};
use super::exposure::Exposure;
use super::open::{check_component, open};
use super::walk::{Walked, is_trusted, walk};
use super::{Entry, FileError};
use crate::sys::random::next_random;

/// The mode of files that quell creates: only their owner can access them.
pub(super) const PRIVATE_FILE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);
const PRIVATE_DIRECTORY: Mode = Mode::S_IRWXU;

/// The maximum number of bytes of a name that a temporary name begins with; NAME_MAX is 255 bytes.
const LONGEST_STEM: usize = 200;
/// The maximum number of bytes of a file extension that another name keeps: with the longest stem, a number and two dots, the
/// name does not exceed NAME_MAX.
const LONGEST_ENDING: usize = 32;

/// A directory, held open by its descriptor: names are looked up in it even if its path later leads to another directory. Names
/// are single components.
#[derive(Debug)]
pub struct Directory {
    descriptor: OwnedFd,
    path: PathBuf,
    /// [`real_path`](Self::real_path) when it was opened.
    opened_at: Option<PathBuf>,
    /// The users who can make the same path lead to another directory.
    exposure: Exposure,
}

impl Directory {
    /// Opens a directory. Symbolic links on the way must belong to root or the caller, and be in directories where no other
    /// user can have moved them.
    ///
    /// # Errors
    /// The directory does not exist or may not be entered, or a symbolic link on the way belongs to another user or may have
    /// been moved there by one.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let Walked { descriptor, exposure, .. } = walk(None, path)?;
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        Ok(Self::new(descriptor, path.to_owned(), exposure))
    }

    /// Opens the directory that contains a path, and returns it with the path's last component.
    ///
    /// # Errors
    /// The errors of [`open`](Self::open), and a path without a last component, such as `/` or `a/..`.
    pub fn parent_of(path: &Path) -> Result<(Self, OsString), FileError> {
        let (parent, name) = split(path)?;
        Ok((Self::open(parent)?, name))
    }

    /// Like [`parent_of`](Self::parent_of), but a relative path is relative to this directory.
    pub(super) fn parent_from_here(&self, path: &Path) -> Result<(Self, OsString), FileError> {
        let (parent, name) = split(path)?;
        let own = self.descriptor.try_clone().map_err(|source| self.io("open", OsStr::new("."), source))?;
        let Walked { descriptor, path, exposure } = walk(Some((own, &self.path)), parent)?;
        Ok((Self::new(descriptor, path, exposure), name))
    }

    /// Takes the descriptor of a directory that another resolver opened; `path` is for errors.
    pub(crate) fn from_descriptor(descriptor: OwnedFd, path: PathBuf) -> Self {
        Self::new(descriptor, path, Exposure::default())
    }

    fn new(descriptor: OwnedFd, path: PathBuf, exposure: Exposure) -> Self {
        let opened_at = real_path(&descriptor);
        Self { descriptor, path, opened_at, exposure }
    }

    /// The path that led to the directory, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a name in the directory, for messages: below the path that led to the directory, or below the current one if the
    /// directory was moved.
    #[must_use]
    pub fn path_of(&self, name: &OsStr) -> PathBuf {
        match self.moved_to() {
            Some(path) => path.join(name),
            None if self.path == Path::new(".") => PathBuf::from(name),
            None => self.path.join(name),
        }
    }

    /// The current path of the directory if it was moved since it was opened.
    #[must_use]
    pub fn moved_to(&self) -> Option<PathBuf> {
        self.real_path().filter(|path| self.opened_at.as_ref() != Some(path))
    }

    /// Whether only root and the caller can create, remove or exchange names in the directory, or make its path lead to another
    /// one.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.exposure.is_empty() && fstat(&self.descriptor).is_ok_and(|stat| is_trusted(&stat))
    }

    /// Whether only the caller or root can have moved a directory of the caller here: this directory
    /// [is trusted](Self::is_trusted), or has the sticky bit and belongs to root or the caller, as `/tmp` does. This
    /// does not hold for a file: a user who can remove it from another directory can move it into one with the sticky
    /// bit.
    #[must_use]
    pub fn protects_the_callers_directories(&self) -> bool {
        self.exposure.is_empty() && fstat(&self.descriptor).is_ok_and(|stat| Exposure::of(&stat).is_empty())
    }

    /// Whether all users who can make the path lead to this directory could remove a file of the caller from it anyway: they
    /// then gain nothing if quell replaces such a file.
    #[must_use]
    pub fn is_exposed_to_its_writers_only(&self) -> bool {
        fstat(&self.descriptor).is_ok_and(|stat| self.exposure.is_within(&Exposure::of(&stat)))
    }

    /// Checks that the caller may create names in the directory.
    ///
    /// # Errors
    /// The permissions of the directory deny it, or the file system is mounted read-only.
    pub fn check_writable(&self) -> Result<(), FileError> {
        faccessat(&self.descriptor, ".", AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::empty())
            .map_err(|errno| FileError::NotWritable { path: self.path.clone(), source: errno.into() })
    }

    /// The file that a name refers to, without following a symbolic link; `None` if the name does not exist.
    ///
    /// # Errors
    /// The name cannot be looked up.
    pub fn entry(&self, name: &OsStr) -> Result<Option<Entry>, FileError> {
        match open(&self.descriptor, name, OFlag::O_PATH, Mode::empty()).and_then(Entry::of) {
            Err(Errno::ENOENT) => Ok(None),
            entry => entry.map(Some).map_err(|errno| self.failed("look up", name, errno)),
        }
    }

    /// Opens a file with the given flags in addition to `O_NOFOLLOW` and `O_CLOEXEC`, which always apply. It does not wait for
    /// the other end of a FIFO (`O_NONBLOCK`); the caller must check the type of the opened file.
    ///
    /// # Errors
    /// The errors of openat2(2).
    pub(crate) fn open_with(&self, name: &OsStr, flags: OFlag) -> Result<File, FileError> {
        let flags = flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let opened =
            open(&self.descriptor, name, flags, Mode::empty()).map_err(|errno| self.failed("open", name, errno))?;
        Ok(File::from(opened))
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// The file does not exist, may not be read, or is not a regular file.
    pub fn open_file(&self, name: &OsStr) -> Result<File, FileError> {
        let file = self.open_with(name, OFlag::O_RDONLY)?;
        self.check_regular(name, &file)?;
        Ok(file)
    }

    pub(crate) fn check_regular(&self, name: &OsStr, file: &File) -> Result<(), FileError> {
        let stat = fstat(file).map_err(|errno| self.failed("look up", name, errno))?;
        match super::entry::kind(&stat) {
            super::Kind::File => Ok(()),
            kind => Err(FileError::Unsuitable { path: self.path_of(name), kind, owner: owner(&stat) }),
        }
    }

    /// Creates a file that only its owner can access, and opens it for reading and writing.
    ///
    /// # Errors
    /// The name already exists, or the file cannot be created.
    pub fn create_file(&self, name: &OsStr) -> Result<File, FileError> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
        let created = open(&self.descriptor, name, flags, PRIVATE_FILE);
        Ok(File::from(created.map_err(|errno| self.failed("create", name, errno))?))
    }

    /// Creates a file under a random name that begins with a dot and `stem`.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn create_temporary_file(&self, stem: &OsStr) -> Result<(OsString, File), FileError> {
        self.create_temporary(stem, Self::create_file)
    }

    /// Creates a directory that only its owner can access, and opens it.
    ///
    /// # Errors
    /// The name already exists, the directory cannot be created, or another user has replaced it.
    pub fn create_directory(&self, name: &OsStr) -> Result<Self, FileError> {
        let create = || {
            check_component(name)?;
            mkdirat(&self.descriptor, name, PRIVATE_DIRECTORY)
        };
        create().map_err(|errno| self.failed("create", name, errno))?;
        let directory = self.open_directory(name)?;
        // A user who may write here may have replaced it in the meantime.
        let stat = fstat(&directory.descriptor).map_err(|errno| self.failed("look up", name, errno))?;
        if owner(&stat).is_caller() { Ok(directory) } else { Err(FileError::Exchanged { path: self.path_of(name) }) }
    }

    /// Creates a directory under a random name that begins with a dot and `stem`.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn create_temporary_directory(&self, stem: &OsStr) -> Result<(OsString, Self), FileError> {
        self.create_temporary(stem, Self::create_directory)
    }

    fn create_temporary<T>(
        &self,
        stem: &OsStr,
        create: impl Fn(&Self, &OsStr) -> Result<T, FileError>,
    ) -> Result<(OsString, T), FileError> {
        loop {
            let name = self.random_name(stem)?;
            match create(self, &name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return Ok((name, created?)),
            }
        }
    }

    /// An unpredictable name: `.STEM.RANDOM.tmp`.
    pub(crate) fn random_name(&self, stem: &OsStr) -> Result<OsString, FileError> {
        let random = next_random().map_err(|source| self.io("name", stem, source))?;
        let mut name = temporary_stem(stem);
        name.extend(format!("{random:016x}{TEMPORARY}").into_bytes());
        Ok(OsString::from_vec(name))
    }

    /// Opens a subdirectory.
    ///
    /// # Errors
    /// The name does not exist, or is not a directory. A symbolic link to a directory is an error as well.
    pub fn open_directory(&self, name: &OsStr) -> Result<Self, FileError> {
        let opened = open(&self.descriptor, name, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty());
        let descriptor = opened.map_err(|errno| self.failed("open", name, errno))?;
        let mut exposure = self.exposure.clone();
        exposure.add(Exposure::of(&fstat(&self.descriptor).map_err(|errno| self.failed("look up", name, errno))?));
        Ok(Self::new(descriptor, self.path_of(name), exposure))
    }

    /// Creates a hard link to a file of this directory in another directory of the same file system, under the same name.
    ///
    /// # Errors
    /// The errors of linkat(2), such as an existing file of that name, or a file system without hard links.
    pub fn link_into(&self, name: &OsStr, other: &Self) -> Result<(), FileError> {
        let link = || {
            check_component(name)?;
            // Without AT_SYMLINK_FOLLOW, a symbolic link itself is linked, not its target.
            linkat(&self.descriptor, name, &other.descriptor, name, AtFlags::empty())
        };
        link().map_err(|errno| other.failed("link", name, errno))
    }

    /// Renames within the directory. A file with the new name is replaced; of a symbolic link, the link itself.
    ///
    /// # Errors
    /// The errors of renameat2(2).
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> Result<(), FileError> {
        self.rename_with(from, to, RenameFlags::empty()).map_err(|errno| self.failed("write", to, errno))
    }

    pub(crate) fn rename_with(&self, from: &OsStr, to: &OsStr, flags: RenameFlags) -> nix::Result<()> {
        check_component(from)?;
        check_component(to)?;
        renameat2(&self.descriptor, from, &self.descriptor, to, flags)
    }

    /// An unpredictable name that begins and ends like another one: `m.RANDOM.html` for `m.html`.
    pub(crate) fn visible_name(&self, like: &OsStr) -> Result<OsString, FileError> {
        Ok(visible_name(like, next_random().map_err(|source| self.io("name", like, source))?))
    }

    /// Renames to a [`visible_name`](Self::visible_name) that does not exist yet.
    ///
    /// # Errors
    /// The errors of renameat2(2).
    pub(crate) fn rename_beside(&self, from: &OsStr, like: &OsStr) -> Result<OsString, FileError> {
        loop {
            let to = self.visible_name(like)?;
            let renamed = match self.rename_with(from, &to, RenameFlags::RENAME_NOREPLACE) {
                // The file system does not support RENAME_NOREPLACE. Nobody else can know the name.
                Err(Errno::EINVAL | Errno::ENOSYS) => self.rename_with(from, &to, RenameFlags::empty()),
                renamed => renamed,
            };
            match renamed {
                Err(Errno::EEXIST) => {}
                renamed => return renamed.map(|()| to).map_err(|errno| self.failed("write", like, errno)),
            }
        }
    }

    /// Removes a file that is not a directory.
    ///
    /// # Errors
    /// The errors of unlinkat(2).
    pub fn remove_file(&self, name: &OsStr) -> Result<(), FileError> {
        self.remove(name, UnlinkatFlags::NoRemoveDir)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// The errors of unlinkat(2).
    pub fn remove_directory(&self, name: &OsStr) -> Result<(), FileError> {
        self.remove(name, UnlinkatFlags::RemoveDir)
    }

    fn remove(&self, name: &OsStr, flags: UnlinkatFlags) -> Result<(), FileError> {
        check_component(name)
            .and_then(|()| unlinkat(&self.descriptor, name, flags))
            .map_err(|errno| self.failed("remove", name, errno))
    }

    /// Removes the files in the directory. Subdirectories and their contents are kept.
    ///
    /// # Errors
    /// The directory cannot be listed, or a file cannot be removed.
    pub fn remove_files(&self) -> Result<(), FileError> {
        self.remove_files_named(self.names()?.iter().map(OsString::as_os_str))
    }

    /// Removes the files with these names. Names that do not exist or are directories are skipped.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove_files_named<'a>(&self, names: impl IntoIterator<Item = &'a OsStr>) -> Result<(), FileError> {
        for name in names {
            match self.remove_file(name) {
                // EISDIR on Linux, instead of the EPERM of POSIX (unlink(2)). Another user who may write here may have removed
                // the file first.
                Err(error) if [io::ErrorKind::IsADirectory, io::ErrorKind::NotFound].contains(&error.kind()) => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// Removes the caller's temporary files for `name` that a killed process left behind. Only for callers that write `name`
    /// under a lock: the temporary files of a running process look the same.
    pub(crate) fn remove_leftovers(&self, name: &OsStr) {
        for left in self.names().unwrap_or_default().iter().filter(|left| is_temporary(left, name)) {
            let is_file = |entry: Entry| entry.kind() == super::Kind::File && entry.owner().is_caller();
            if self.entry(left).is_ok_and(|entry| entry.is_some_and(is_file)) {
                let _ = self.remove_file(left);
            }
        }
    }

    /// The names in the directory, in arbitrary order.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn names(&self) -> Result<Vec<OsString>, FileError> {
        let failed = |errno: Errno| FileError::Io { operation: "list", path: self.path.clone(), source: errno.into() };
        let mut names = Vec::new();
        for entry in Dir::from_fd(self.reopened().map_err(failed)?).map_err(failed)?.iter() {
            let name = entry.map_err(failed)?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        Ok(names)
    }

    /// Flushes the names in the directory to disk.
    ///
    /// # Errors
    /// The errors of fsync(2).
    pub fn sync(&self) -> Result<(), FileError> {
        let sync = || match self.reopened() {
            // The caller may create names in the directory, but not open it for fsync(2). The kernel writes the names to disk
            // later.
            Err(Errno::EACCES) => Ok(()),
            directory => File::from(directory?).sync_all(),
        };
        sync().map_err(|source| FileError::Io { operation: "write", path: self.path.clone(), source })
    }

    /// Whether a name refers to an open file.
    #[must_use]
    pub fn names_file(&self, name: &OsStr, open: impl AsFd) -> bool {
        self.entry(name).is_ok_and(|entry| entry.is_some_and(|entry| entry.is_same_as(open)))
    }

    /// The current path of the directory from the root, without symbolic links (proc_pid_fd(5)); `None` if it was removed.
    #[must_use]
    pub fn real_path(&self) -> Option<PathBuf> {
        real_path(&self.descriptor)
    }

    /// Whether another descriptor refers to the same directory.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        match (fstat(&self.descriptor), fstat(&other.descriptor)) {
            (Ok(own), Ok(other)) => identity(&own) == identity(&other),
            _ => false,
        }
    }

    /// Ensures that only the owner of the directory can access it, and that the owner is root or the caller.
    ///
    /// # Errors
    /// The directory belongs to another user, or its permissions cannot be restricted.
    pub fn make_private(&self) -> Result<(), FileError> {
        let io = |errno: Errno| FileError::Io { operation: "restrict", path: self.path.clone(), source: errno.into() };
        let stat = fstat(&self.descriptor).map_err(io)?;
        let owner = owner(&stat);
        if !owner.is_trusted() {
            return Err(FileError::ForeignState { path: self.path.clone(), owner });
        }
        if stat.st_mode & 0o077 == 0 {
            return Ok(());
        }
        let restrict = || File::from(self.reopened()?).set_permissions(Permissions::from_mode(0o700));
        restrict().map_err(|source| FileError::Io { operation: "restrict", path: self.path.clone(), source })
    }

    /// A descriptor by which the directory can be listed, changed and flushed, which is not possible with `O_PATH`.
    fn reopened(&self) -> nix::Result<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        openat(&self.descriptor, ".", flags, Mode::empty())
    }

    pub(super) fn failed(&self, operation: &'static str, name: &OsStr, errno: Errno) -> FileError {
        self.io(operation, name, errno.into())
    }

    pub(super) fn io(&self, operation: &'static str, name: &OsStr, source: io::Error) -> FileError {
        FileError::Io { operation, path: self.path_of(name), source }
    }
}

fn real_path(directory: &OwnedFd) -> Option<PathBuf> {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd())).ok()?;
    fstat(directory).is_ok_and(|stat| stat.st_nlink > 0).then_some(path)
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// The suffix of a temporary name, after 16 hexadecimal digits.
const TEMPORARY: &str = ".tmp";

/// The prefix of the temporary names for a name.
fn temporary_stem(name: &OsStr) -> Vec<u8> {
    let name = name.as_bytes();
    [b".", &name[..name.len().min(LONGEST_STEM)], b"."].concat()
}

/// A name like another one, with a random number: `m.0123456789abcdef.html` for `m.html`.
pub(super) fn visible_name(like: &OsStr, random: u64) -> OsString {
    let like = like.as_bytes();
    // Some formats have a file extension of more than one part: `pb.gz`.
    let dot = like.iter().skip(1).position(|byte| *byte == b'.').map_or(like.len(), |at| at + 1);
    let (stem, ending) = like.split_at(dot);
    let ending = &ending[ending.len().saturating_sub(LONGEST_ENDING)..];
    let number = format!(".{random:016x}").into_bytes();
    let separator: &[u8] = if ending.is_empty() || ending.starts_with(b".") { b"" } else { b"." };
    OsString::from_vec([&stem[..stem.len().min(LONGEST_STEM)], &number, separator, ending].concat())
}

/// Whether a name is a temporary name for another one.
fn is_temporary(temporary: &OsStr, name: &OsStr) -> bool {
    let random = temporary.as_bytes().strip_prefix(temporary_stem(name).as_slice());
    let random = random.and_then(|random| random.strip_suffix(TEMPORARY.as_bytes()));
    random.is_some_and(|random| random.len() == 16 && random.iter().all(u8::is_ascii_hexdigit))
}

/// The directory and the last component of a path.
fn split(path: &Path) -> Result<(&Path, OsString), FileError> {
    // `Path` drops a trailing `.` and trailing slashes, so `a/.` refers to the directory `a` (file_name(), std::path).
    let name = path.file_name().ok_or_else(|| FileError::BadName { path: path.to_owned() })?;
    Ok((path.parent().unwrap_or(Path::new("")), name.to_owned()))
}
