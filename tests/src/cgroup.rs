//! A cgroup (version 2) for the processes of a test.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::turns;

/// A cgroup. Dropping this removes it.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Creates a cgroup below the root. The error describes what is missing.
    pub fn create() -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|error| format!("no list of mounts: {error}"))?;
        let words = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mount = words
            .into_iter()
            .find(|words| words.get(2) == Some(&"cgroup2"))
            .ok_or("no cgroup of version 2 is mounted")?;
        let path = Path::new(mount[1]).join(format!("quell-test-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("cannot make a cgroup: {error}"))?;
        Ok(Self { path })
    }

    /// Creates a cgroup below this one.
    pub fn below(&self) -> Result<Self> {
        let path = self.path.join("below");
        fs::create_dir(&path).context("cannot make a cgroup below another")?;
        Ok(Self { path })
    }

    /// Moves a process to this cgroup.
    pub fn take(&self, pid: u32) -> Result<()> {
        fs::write(self.path.join("cgroup.procs"), pid.to_string()).context("cannot move a process to a cgroup")
    }

    /// The path, as the argument of `--cgroup`.
    pub fn path(&self) -> Result<&str> {
        self.path.to_str().context("a path of text")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Fails while a killed process is still in the cgroup.
        let _ = turns::until("the cgroup is empty", || Ok(fs::remove_dir(&self.path).ok()));
    }
}
