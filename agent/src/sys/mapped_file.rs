//! The identity of a file in `/proc/PID/maps`.

use std::ffi::c_void;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// A mapping that is never read.
struct Mapped(NonNull<c_void>);

/// The length is one byte; the kernel maps a whole page.
const LENGTH: NonZeroUsize = NonZeroUsize::MIN;

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping was created by `listed`, and its address is used only in this file.
        let _ = unsafe { munmap(self.0, LENGTH.get()) };
    }
}

/// The device (major, minor) and inode of an open file, as in `/proc/PID/maps` of each process that maps it. On btrfs and
/// overlayfs, stat(2) returns other values, so this process maps the file and reads its own list. The content is not read.
///
/// # Errors
/// The file cannot be mapped, or `/proc` is not mounted.
pub(crate) fn listed(file: BorrowedFd<'_>) -> io::Result<((u32, u32), u64)> {
    // SAFETY: the kernel chooses the address, and the mapping is never read, so the file may change or shrink.
    let mapped = Mapped(unsafe {
        mmap(None, LENGTH, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE, file, 0)
    }?);
    let begin = format!("{:x}-", mapped.0.addr());
    let maps = fs::read("/proc/self/maps")?;
    let line = maps.split(|byte| *byte == b'\n').find(|line| line.starts_with(begin.as_bytes()));
    line.and_then(identity).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Parses a line of proc_pid_maps(5), such as `7f00-8000 r--p 00000000 fe:00 123  /path`.
fn identity(line: &[u8]) -> Option<((u32, u32), u64)> {
    let mut words = line.split(|byte| *byte == b' ').skip(3).map(|word| std::str::from_utf8(word).ok());
    let (major, minor) = words.next()??.split_once(':')?;
    let number = |text| u32::from_str_radix(text, 16).ok();
    Some(((number(major)?, number(minor)?), words.next()??.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_file_has_the_identity_that_it_has_where_it_is_mapped() {
        let maps = fs::read_to_string("/proc/self/maps").expect("maps");
        let exe = std::env::current_exe().expect("known");
        let line = maps.lines().find(|line| line.ends_with(&exe.display().to_string())).expect("mapped");
        let file = fs::File::open(&exe).expect("readable");
        assert_eq!(listed(file.as_fd()).ok(), identity(line.as_bytes()));
        // An empty file too.
        let empty = tempfile::tempfile().expect("a file");
        let inode = std::os::unix::fs::MetadataExt::ino(&empty.metadata().expect("readable"));
        assert_eq!(listed(empty.as_fd()).map(|(_, inode)| inode).ok(), Some(inode));
    }
}
