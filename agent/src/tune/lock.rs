//! One writer for each host.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::host::Root;

/// Where the lock is, from the host's root: gone with the boot.
const FILE: &str = "/run/quell/tune.lock";

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
        source: io::Error,
    },
}

fn root_needed(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::PermissionDenied { "; to change a host takes root" } else { "" }
}

impl Lock {
    /// Takes it, for `purpose`.
    ///
    /// # Errors
    /// Somebody has it, or the file cannot be used.
    pub fn take(root: &Root, purpose: &str) -> Result<Self, LockError> {
        let path = root.path(FILE);
        match claim(&path, &format!("process {}, {purpose}", std::process::id())) {
            Ok(Ok(file)) => {
                *own() = file.try_clone().ok();
                Ok(Self { _file: file })
            }
            Ok(Err(mut file)) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                Err(LockError::Held { holder: holder.trim().to_owned() })
            }
            Err(source) => Err(LockError::Io { path, source }),
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
        let mut file = File::open(root.path(FILE)).ok()?;
        let mut holder = String::new();
        file.read_to_string(&mut holder).ok()?;
        let held = matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK)));
        held.then(|| holder.trim().to_owned())
    }
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

/// Locks a file, made with its directory where it is not there, and writes down who has it; gives the file back where another
/// process keeps it locked.
pub(super) fn claim(path: &Path, who: &str) -> io::Result<Result<Flock<File>, File>> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    loop {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match exclusive(file) {
            // Removed since it was opened: nobody would find it locked.
            Ok(file) if !is_at(&file, path)? => {}
            Ok(mut file) => {
                file.set_len(0)?;
                // In one write: a line that has its end is whole.
                file.write_all(format!("{who}\n").as_bytes())?;
                return Ok(Ok(file));
            }
            Err((file, Errno::EWOULDBLOCK)) => return Ok(Err(file)),
            Err((_, errno)) => return Err(errno.into()),
        }
    }
}

/// Whether an open file is the one of this name.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let named = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        named => named?,
    };
    let open = file.metadata()?;
    Ok((open.dev(), open.ino()) == (named.dev(), named.ino()))
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
        assert_eq!(given("readlink", &["/proc/self/fd/0"]).trim(), root.path(FILE).to_str().expect("text"));
        assert_eq!(given("cat", &[]), "");
        drop(lock);
        assert_eq!(given("readlink", &["/proc/self/fd/0"]).trim(), "/dev/null");
    }
}
