//! Temporary directories in memory, for trees of thousands of files: on a disk, they would take most of the time of a test.

use std::path::{Path, PathBuf};

use nix::sys::statfs::{TMPFS_MAGIC, statfs};

/// POSIX shared memory, which glibc expects at this path: shm_open(3).
const SHARED_MEMORY: &str = "/dev/shm";

/// The space that the tests of one binary need at the same time, in bytes. Containers often have only 64 MiB.
const ROOM: u64 = 1 << 30;

/// A directory for temporary files: in memory, if there is enough space, else the usual directory.
#[must_use]
pub fn directory() -> PathBuf {
    let shared = Path::new(SHARED_MEMORY);
    let in_memory = statfs(shared).is_ok_and(|system| {
        let free = u64::try_from(system.block_size()).unwrap_or(0).saturating_mul(system.blocks_available());
        system.filesystem_type() == TMPFS_MAGIC && free >= ROOM
    });
    let is_ours = || nix::unistd::access(shared, nix::unistd::AccessFlags::W_OK).is_ok();
    if in_memory && is_ours() { shared.to_owned() } else { std::env::temp_dir() }
}
