//! The namespaces that determine the content of `/sys` and `/proc/sys/net`, and the network interfaces.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use serde::{Deserialize, Serialize};

/// The namespaces of a process, identified by their inodes (namespaces(7)), which are valid until the next boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Namespaces {
    /// The network namespace. Each network namespace has its own values of `net.*`.
    pub net: u64,
    /// The mount namespace. Each mount namespace has its own files.
    pub mnt: u64,
}

impl Namespaces {
    /// The namespaces of this process.
    #[must_use]
    pub fn own() -> Option<Self> {
        Self::of("self")
    }

    /// The namespaces of a process; `None` if they are not visible to this one.
    #[must_use]
    pub fn of(process: &str) -> Option<Self> {
        // Following the link returns the inode of the namespace.
        let inode = |name: &str| Some(fs::metadata(format!("/proc/{process}/ns/{name}")).ok()?.ino());
        Some(Self { net: inode("net")?, mnt: inode("mnt")? })
    }
}

impl fmt::Display for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "net:[{}], mnt:[{}]", self.net, self.mnt)
    }
}
