//! Bounded reading of files that other users may have replaced.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::units::Bytes;

/// Reads a regular file of at most `limit` bytes. FIFOs and devices are not opened.
///
/// # Errors
/// The file cannot be opened or read, is not a regular file, or is larger.
pub(crate) fn read_regular(path: &Path, limit: Bytes) -> io::Result<Vec<u8>> {
    let found = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path)?;
    read_bounded(&reopen_regular(&found, OFlag::O_RDONLY)?, limit)
}

/// Opens a file that was found with `O_PATH`. Other types are not opened: opening a FIFO or a device may block or have effects.
///
/// # Errors
/// The file cannot be opened, or is not a regular file.
pub(crate) fn reopen_regular(found: &File, flags: OFlag) -> io::Result<File> {
    if !found.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    // O_NONBLOCK because of leases (fcntl(2), F_SETLEASE), which make open wait for their holder.
    Ok(open(path.as_str(), flags | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty())?.into())
}

/// Reads an open file; an error if it has more than `limit` bytes.
pub(crate) fn read_bounded(file: &File, limit: Bytes) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit.0.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit.0 {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {limit}")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_up_to_the_limit_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "12345").expect("a file");
        nix::unistd::mkfifo(&path("fifo"), Mode::S_IRUSR).expect("a FIFO");
        assert_eq!(read_regular(&path("file"), Bytes(5)).expect("read"), b"12345");
        assert!(
            read_regular(&path("file"), Bytes(4)).is_err_and(|error| error.to_string().contains("larger than 4 B"))
        );
        for other in [path("fifo"), path(""), "/dev/zero".into()] {
            assert!(read_regular(&other, Bytes(5)).is_err(), "{}", other.display());
        }
    }
}
