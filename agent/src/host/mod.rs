//! Read-only facts about the host.

mod boot_loader;
mod btf;
mod capabilities;
mod cgroup;
mod kernel_version;
pub(crate) mod lockdown;
mod mounts;
mod nics;
mod offsets;
mod perf_limits;
mod processes;
mod root;
mod this;
mod topology;
mod users;

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::units::CpuSet;

pub use boot_loader::{BootLoader, GrubGenerator};
pub use btf::{Btf, BtfError, Member, Structure};
pub use capabilities::{Capabilities, Capability};
pub use cgroup::{Cgroup, CgroupError, cgroup, cgroup_paths};
pub use kernel_version::{KernelVersion, KernelVersionError};
pub(crate) use mounts::{Mount, mounts};
pub use nics::{Nic, nics};
pub use offsets::{MissingField, TaskOffsets, offset_of, offsets};
pub use perf_limits::{MAX_SAMPLE_RATE, max_sample_rate, max_stack};
pub use processes::{family, processes, processes_in};
pub(crate) use processes::{identity, user_of};
pub use root::Root;
pub use this::{Host, Vendor};
pub use topology::{Cpu, Topology};
pub(crate) use users::Users;

/// A fact about the host that cannot be read or parsed.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file of `/proc` or `/sys` cannot be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of open(2) or read(2).
        source: io::Error,
    },
    /// The contents of a file of `/proc` or `/sys` are not as expected.
    #[error("could not parse {}: {}", path.display(), crate::excerpt::message(why))]
    Understand {
        /// The file.
        path: PathBuf,
        /// The reason why the contents cannot be parsed.
        why: String,
    },
}

/// The host on which a capture was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// The host name.
    pub hostname: String,
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub arch: String,
    /// The CPUs that were online.
    pub cpus: CpuSet,
    /// The ID of the boot, `/proc/sys/kernel/random/boot_id`: kernel addresses and process IDs are valid only within one boot.
    /// Empty if it could not be read.
    pub boot_id: String,
}

/// The name, kernel, architecture, online CPUs and boot ID of this host.
///
/// # Errors
/// `/proc` or `/sys` cannot be read or parsed.
pub fn facts() -> Result<HostFacts, HostError> {
    Ok(HostFacts {
        hostname: read("/proc/sys/kernel/hostname")?,
        kernel: read("/proc/sys/kernel/osrelease")?,
        // The same as `uname -m` on the architectures that quell is built for.
        arch: std::env::consts::ARCH.to_owned(),
        cpus: cpus_online()?,
        boot_id: read("/proc/sys/kernel/random/boot_id").unwrap_or_default(),
    })
}

/// Whether this is a virtual machine. A hypervisor sets bit 31 of CPUID leaf 1, ECX, hardware never does.
#[must_use]
pub fn is_virtual_machine() -> bool {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags")).unwrap_or_default();
    flags.split_ascii_whitespace().any(|flag| flag == "hypervisor")
}

/// The version of the running kernel.
///
/// # Errors
/// `/proc` cannot be read, or the kernel release does not begin with a version.
pub fn kernel_version() -> Result<KernelVersion, HostError> {
    let path = "/proc/sys/kernel/osrelease";
    read(path)?
        .parse()
        .map_err(|why: KernelVersionError| HostError::Understand { path: path.into(), why: why.to_string() })
}

/// The CPUs that are online.
///
/// # Errors
/// `/sys` cannot be read or parsed.
pub fn cpus_online() -> Result<CpuSet, HostError> {
    cpu_list("/sys/devices/system/cpu/online")
}

/// The CPUs that are online or can be brought online, from `/sys/devices/system/cpu/present`.
///
/// # Errors
/// The file cannot be read or parsed.
pub fn cpus_present() -> Result<CpuSet, HostError> {
    cpu_list("/sys/devices/system/cpu/present")
}

/// The CPUs that the kernel keeps its work away from: `isolcpus`, isolated cpuset partitions (6.12) and `nohz_full`. Empty if the
/// kernel does not tell.
#[must_use]
pub fn cpus_isolated() -> CpuSet {
    // The files are empty if there are none; `nohz_full` is ` (null)` in some kernels.
    let list = |path| cpu_list(path).unwrap_or_default();
    list("/sys/devices/system/cpu/isolated").union(&list("/sys/devices/system/cpu/nohz_full"))
}

fn cpu_list(path: &'static str) -> Result<CpuSet, HostError> {
    read(path)?
        .parse()
        .map_err(|why: crate::units::CpuListError| HostError::Understand { path: path.into(), why: why.to_string() })
}

/// Whether this process is in the initial PID namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h). Only there does it see
/// the PIDs that the kernel uses and that eBPF programs report.
#[must_use]
pub fn in_initial_pid_namespace() -> bool {
    in_initial_namespace("pid", 0xEFFF_FFFC)
}

fn in_initial_namespace(name: &str, initial: u64) -> bool {
    // metadata() follows the link and returns the inode number of the namespace itself.
    std::fs::metadata(format!("/proc/self/ns/{name}")).is_ok_and(|metadata| metadata.ino() == initial)
}

/// The text of a one-line file, without trailing white space.
fn read(path: &str) -> Result<String, HostError> {
    match std::fs::read(path) {
        // The administrator can set a host name that is not UTF-8.
        Ok(text) => Ok(String::from_utf8_lossy(&text).trim_end().to_owned()),
        Err(source) => Err(HostError::Read { path: path.into(), source }),
    }
}

/// The number in a file; `None` if it cannot be read or parsed.
pub(crate) fn number(path: &str) -> Option<i64> {
    read(path).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_are_those_that_other_ways_tell() {
        let facts = facts().expect("/proc and /sys");
        let hostname = nix::unistd::gethostname().expect("a name");
        assert_eq!(Some(facts.hostname.as_str()), hostname.to_str());
        assert!(facts.kernel.starts_with(&kernel_version().expect("a version").to_string()), "{facts:?}");
        assert!(facts.cpus.len() >= std::thread::available_parallelism().map_or(1, usize::from), "{facts:?}");
    }
}
