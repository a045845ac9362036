//! Opening one name in a directory without following a link.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;

/// Opens `name`, a single component, in `directory`. A link is an error (`ELOOP`), or opened itself by `O_PATH`.
pub(super) fn open(directory: impl AsFd, name: &OsStr, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
    check_component(name)?;
    let directory = directory.as_fd();
    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    match openat2(directory, name, OpenHow::new().flags(flags).mode(mode).resolve(resolve)) {
        // Before 5.6, or a seccomp filter, as older container runtimes have. Of a single component O_NOFOLLOW says the same. An
        // EPERM that is the file's own comes again.
        Err(Errno::ENOSYS | Errno::EPERM) => openat(directory, name, flags, mode),
        result => result,
    }
}

/// Refuses what is no single component.
pub(super) fn check_component(name: &OsStr) -> nix::Result<()> {
    match name.as_bytes() {
        b"" | b"." | b".." => Err(Errno::EINVAL),
        name if name.contains(&b'/') => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}
