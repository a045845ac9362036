//! One writer for each host.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::Uid;

use crate::file::{Directory, FileError, Owner};
use crate::host::Root;
use crate::text;

/// Where quell keeps what lasts as long as the boot, from the host's root. For root alone: who can open a file can lock it too
/// (flock(2) asks for no permission).
pub(super) const RUNTIME: &str = "/run/quell";
/// The lock in it.
const FILE: &str = "tune.lock";
/// The most that is read of who has it.
const LONGEST_HOLDER: u64 = 4096;

/// The right to change a host, until it is dropped or its process ends.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

/// The lock is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it.
    #[error("another quell is changing this host: {holder}; wait for it, or look at `quell tune status`")]
    Held {
        /// Who, as it wrote itself down.
        holder: String,
    },
    /// The file cannot be used.
    #[error("could not lock {}: {source}{}", path.display(), root_needed(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
}

fn root_needed(source: &FileError) -> &'static str {
    if source.kind() == io::ErrorKind::PermissionDenied { "\nhint: to change a host takes root" } else { "" }
}

impl Lock {
    /// Takes it, for `purpose`.
    ///
    /// # Errors
    /// Somebody has it, or the file cannot be used.
    pub fn take(root: &Root, purpose: &str) -> Result<Self, LockError> {
        let who = format!("process {}, {}", std::process::id(), text::shown(purpose));
        match root.state_directory(RUNTIME).and_then(|directory| claim(&directory, OsStr::new(FILE), &who)) {
            Ok(Ok(file)) => {
                *own() = file.try_clone().ok();
                Ok(Self { _file: file })
            }
            Ok(Err(file)) => Err(LockError::Held { holder: written(file) }),
            Err(source) => Err(LockError::Io { path: root.display_path(&format!("{RUNTIME}/{FILE}")), source }),
        }
    }

    /// Whether nobody has it, to say who has before anything that is half done is looked at. Only [`take`](Self::take) keeps it so.
    ///
    /// # Errors
    /// Somebody has.
    pub fn free(root: &Root) -> Result<(), LockError> {
        Self::holder(root).map_or(Ok(()), |holder| Err(LockError::Held { holder }))
    }

    /// Who has it, as it wrote itself down; `None` where nobody has, or that cannot be told.
    #[must_use]
    pub fn holder(root: &Root) -> Option<String> {
        let directory = root.existing_state_directory(RUNTIME).ok()??;
        let file = open_own(&directory, OsStr::new(FILE), OFlag::O_RDONLY).ok()??;
        if is_loose(&file).unwrap_or(true) {
            return None;
        }
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Err((file, Errno::EWOULDBLOCK)) => Some(written(file)),
            _ => None,
        }
    }
}

fn written(file: File) -> String {
    let mut holder = Vec::new();
    let _ = file.take(LONGEST_HOLDER).read_to_end(&mut holder);
    // It names the profile.
    text::shown(String::from_utf8_lossy(&holder).trim()).into_owned()
}

impl Drop for Lock {
    fn drop(&mut self) {
        *own() = None;
    }
}

/// The lock of this process, for the programs that it runs.
static OWN: Mutex<Option<File>> = Mutex::new(None);

fn own() -> MutexGuard<'static, Option<File>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a program is given to read that changes the host: the file of the lock, where this process has it. It is read to its
/// end, so there is nothing to read; and it stays locked until the program has ended too, though this process is killed
/// (flock(2): until every descriptor of the open file is closed).
pub(super) fn for_programs() -> Stdio {
    let file = own().as_ref().and_then(|file| file.try_clone().ok());
    file.map_or_else(Stdio::null, Stdio::from)
}

/// Looks at a lock take it for a moment each, shared; so long this waits for such.
const LOOKS: u32 = 5;
const LOOK: Duration = Duration::from_millis(2);

/// Locks a file, made where it is not there, and writes down who has it; gives the file back where another process keeps it
/// locked.
pub(super) fn claim(directory: &Directory, name: &OsStr, who: &str) -> Result<Result<Flock<File>, File>, FileError> {
    let failed = |source: io::Error| FileError::Io { operation: "lock", path: directory.path_of(name), source };
    loop {
        let file = match open_own(directory, name, OFlag::O_RDWR)? {
            Some(file) if is_loose(&file).map_err(failed)? => {
                if directory.names_file(name, &file) {
                    directory.remove_file(name)?;
                }
                continue;
            }
            Some(file) => file,
            None => match directory.create_file(name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                file => file?,
            },
        };
        match exclusive(file) {
            // Removed since it was opened: nobody would find it locked.
            Ok(file) if !directory.names_file(name, &*file) => {}
            Ok(mut file) => {
                file.set_len(0).map_err(failed)?;
                // In one write: a line that has its end is whole.
                file.write_all(format!("{who}\n").as_bytes()).map_err(failed)?;
                return Ok(Ok(file));
            }
            Err((file, Errno::EWOULDBLOCK)) => return Ok(Err(file)),
            Err((_, errno)) => return Err(failed(errno.into())),
        }
    }
}

/// Whether others than its owner could open a file, as those of earlier versions: who has done so can lock it still, and its lock
/// says nothing.
pub(super) fn is_loose(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.mode() & 0o077 != 0)
}

/// Opens a regular file of root's or the caller's; `None` where there is none.
pub(super) fn open_own(directory: &Directory, name: &OsStr, flags: OFlag) -> Result<Option<File>, FileError> {
    let file = match directory.open_with(name, flags) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    directory.check_regular(name, &file)?;
    let owner = file.metadata().map(|metadata| Owner(Uid::from_raw(metadata.uid())));
    match owner {
        Ok(owner) if !owner.is_trusted() => Err(FileError::ForeignState { path: directory.path_of(name), owner }),
        Ok(_) => Ok(Some(file)),
        Err(source) => Err(FileError::Io { operation: "look up", path: directory.path_of(name), source }),
    }
}

/// Locks a file, unless another process keeps it locked.
fn exclusive(mut file: File) -> Result<Flock<File>, (File, Errno)> {
    for _ in 0..LOOKS {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Err((unlocked, Errno::EWOULDBLOCK)) => file = unlocked,
            result => return result,
        }
        thread::sleep(LOOK);
    }
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_program_that_changes_the_host_keeps_it_locked_and_reads_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Root::at(folder.path()).expect("a root");
        let given = |program: &str, words: &[&str]| {
            let output = Command::new(program).args(words).stdin(for_programs()).output().expect("it runs");
            String::from_utf8(output.stdout).expect("text")
        };
        assert_eq!(given("readlink", &["/proc/self/fd/0"]).trim(), "/dev/null");
        let lock = Lock::take(&root, "a test").expect("it is free");
        assert_eq!(
            given("readlink", &["/proc/self/fd/0"]).trim(),
            root.display_path("/run/quell/tune.lock").to_str().expect("text")
        );
        assert_eq!(given("cat", &[]), "");
        drop(lock);
        assert_eq!(given("readlink", &["/proc/self/fd/0"]).trim(), "/dev/null");
    }
}
