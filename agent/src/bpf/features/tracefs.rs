//! Whether tracefs can be read.

use std::io;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{TRACEFS_MAGIC, statfs};

use super::Support;

/// Whether it is mounted and readable.
pub(super) fn readable() -> Support {
    match path_of("events/sched/sched_switch/format") {
        Ok(_) => Support::Yes,
        // Who may not enter the folder cannot tell whether anything is mounted there.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Support::Forbidden("/sys/kernel/tracing may not be read".to_owned())
        }
        Err(_) => Support::Unsupported("not mounted at /sys/kernel/tracing".to_owned()),
    }
}

/// The path of a readable file of tracefs, which has had a mount point of its own since 4.1; older habits mount it
/// below debugfs.
pub(super) fn path_of(name: &str) -> io::Result<PathBuf> {
    let mut refusal = io::Error::from_raw_os_error(libc::ENOENT);
    for root in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] {
        let path = Path::new(root).join(name);
        match std::fs::File::open(&path) {
            Ok(_) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => refusal = error,
            // A kernel that is locked down makes no files there (`tracefs_create_file`, fs/tracefs/inode.c, 5.4).
            Err(_) if statfs(root).is_ok_and(|mounted| mounted.filesystem_type() == TRACEFS_MAGIC) => {
                refusal = io::Error::from_raw_os_error(libc::EPERM);
            }
            Err(_) => {}
        }
    }
    Err(refusal)
}
