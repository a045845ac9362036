//! What `/sys`, `/proc/sys/net` and the network interfaces are, for a process.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use serde::{Deserialize, Serialize};

/// The namespaces that a process sees the host in, by their inodes (namespaces(7)). They go with the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Namespaces {
    /// The network namespace: `net.*` has values in each.
    pub net: u64,
    /// The mount namespace: a path may lead elsewhere in another.
    pub mnt: u64,
}

impl Namespaces {
    /// Those of this process.
    #[must_use]
    pub fn own() -> Option<Self> {
        Self::of("self")
    }

    /// Those of a process; `None` where they are not for this one to see.
    #[must_use]
    pub fn of(process: &str) -> Option<Self> {
        // Following the link gives the namespace's own inode.
        let inode = |name: &str| Some(fs::metadata(format!("/proc/{process}/ns/{name}")).ok()?.ino());
        Some(Self { net: inode("net")?, mnt: inode("mnt")? })
    }
}

impl fmt::Display for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "net:[{}], mnt:[{}]", self.net, self.mnt)
    }
}
