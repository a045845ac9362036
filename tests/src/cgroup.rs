//! A cgroup (version 2) for the processes of a test.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::turns;

/// A cgroup with a CPU quota: of version 2, or of version 1 where that has the CPU controller. Dropping this removes it.
#[derive(Debug)]
pub struct CpuQuota {
    path: PathBuf,
    version: Version,
}

/// The versions of cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl CpuQuota {
    /// Creates a cgroup whose processes may run for `quota` of each `period`, in microseconds. The error describes what is
    /// missing.
    pub fn create(quota: u32, period: u32) -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|error| format!("no list of mounts: {error}"))?;
        let mounts: Vec<Vec<&str>> = mounts.lines().map(|line| line.split(' ').collect()).collect();
        let has_cpu = |mount: &&Vec<&str>| mount.get(3).is_some_and(|flags| flags.split(',').any(|flag| flag == "cpu"));
        let one = mounts.iter().filter(|mount| mount.get(2) == Some(&"cgroup")).find(has_cpu);
        let two = mounts.iter().find(|mount| mount.get(2) == Some(&"cgroup2"));
        let (mount, version) = match (one, two) {
            (Some(mount), _) => (mount[1], Version::One),
            (None, Some(mount)) => (mount[1], Version::Two),
            (None, None) => return Err("no cgroup with the CPU controller is mounted".to_owned()),
        };
        let failed = |error: std::io::Error| format!("cannot make a cgroup with a CPU quota: {error}");
        if version == Version::Two {
            fs::write(Path::new(mount).join("cgroup.subtree_control"), "+cpu").map_err(failed)?;
        }
        let path = Path::new(mount).join(format!("quell-test-quota-{}", std::process::id()));
        fs::create_dir(&path).map_err(failed)?;
        let cgroup = Self { path, version };
        let settings = match version {
            Version::One => vec![("cpu.cfs_period_us", period.to_string()), ("cpu.cfs_quota_us", quota.to_string())],
            Version::Two => vec![("cpu.max", format!("{quota} {period}"))],
        };
        for (file, value) in settings {
            fs::write(cgroup.path.join(file), value).map_err(failed)?;
        }
        Ok(cgroup)
    }

    /// Moves a process to this cgroup.
    pub fn take(&self, pid: u32) -> Result<()> {
        fs::write(self.path.join("cgroup.procs"), pid.to_string()).context("cannot move a process to a cgroup")
    }

    /// The time for which its processes were throttled, by the count of the kernel, in nanoseconds.
    pub fn throttled(&self) -> Result<u64> {
        let text = fs::read_to_string(self.path.join("cpu.stat")).context("cannot read cpu.stat")?;
        let (name, unit) = match self.version {
            Version::One => ("throttled_time ", 1),
            Version::Two => ("throttled_usec ", 1_000),
        };
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok());
        Ok(value.with_context(|| format!("no {name}in cpu.stat"))? * unit)
    }
}

impl Drop for CpuQuota {
    fn drop(&mut self) {
        let _ = turns::until("the cgroup is empty", || Ok(fs::remove_dir(&self.path).ok()));
    }
}

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
