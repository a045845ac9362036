//! What lasts from one run to the next, `target/vm`: for one run at a time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;

/// The directory, held by this run until the value goes.
pub(super) struct Cache {
    dir: PathBuf,
    _lock: Flock<File>,
}

/// For what does not outlast a run, unless that is killed.
const TEMPORARY: &str = "tmp";

impl Cache {
    /// Takes hold of the directory, and removes what a killed run has left. Fails where another run has it.
    pub(super) fn open(dir: PathBuf) -> Result<Self> {
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let path = dir.join("lock");
        let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, Errno::EWOULDBLOCK)) => bail!("another run has {}", dir.display()),
            Err((_, error)) => return Err(error).with_context(|| format!("cannot lock {}", path.display())),
        };
        let cache = Self { dir, _lock: lock };
        let temporary = cache.join(TEMPORARY);
        if temporary.exists() {
            fs::remove_dir_all(&temporary).with_context(|| format!("cannot remove {}", temporary.display()))?;
        }
        fs::create_dir(&temporary).with_context(|| format!("cannot make {}", temporary.display()))?;
        Ok(cache)
    }

    /// The path of something in it.
    pub(super) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// A directory that goes with the value, on the same file system as all else here.
    pub(super) fn temporary(&self) -> Result<TempDir> {
        let dir = self.join(TEMPORARY);
        tempfile::tempdir_in(&dir).with_context(|| format!("cannot make a directory in {}", dir.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time_and_what_a_killed_one_left_goes() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = dir.path().join("vm");
        let first = Cache::open(at.clone()).expect("nobody has it");
        let Err(error) = Cache::open(at.clone()) else { panic!("two runs at a time") };
        assert!(error.to_string().contains("another run"), "{error:#}");
        let left = first.temporary().expect("a directory").keep();
        drop(first);
        let _second = Cache::open(at).expect("nobody has it any more");
        assert!(!left.exists());
    }
}
