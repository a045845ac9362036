//! Opens a name in a directory without following symbolic links.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;

/// Opens `name`, a single component, in `directory`. A symbolic link is an error (`ELOOP`); with `O_PATH`, the link itself is
/// opened.
pub(super) fn open(directory: impl AsFd, name: &OsStr, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
    check_component(name)?;
    let directory = directory.as_fd();
    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    match openat2(directory, name, OpenHow::new().flags(flags).mode(mode).resolve(resolve)) {
        // A kernel before 5.6, or a seccomp filter as in older container runtimes. For a single component, O_NOFOLLOW has the
        // same effect. If the EPERM comes from the file itself, openat returns it again.
        Err(Errno::ENOSYS | Errno::EPERM) => openat(directory, name, flags, mode),
        result => result,
    }
}

/// Rejects a name that is not a single component.
pub(super) fn check_component(name: &OsStr) -> nix::Result<()> {
    match name.as_bytes() {
        b"" | b"." | b".." => Err(Errno::EINVAL),
        name if name.contains(&b'/') => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}
