//! The child that reads other processes. It has the privileges to, so it looks at nothing that they wrote: it opens,
//! copies, and hands over.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::protocol::{Handed, Mapped, Owner, Reply, Request};
use super::{MAX_MAPS, MAX_MEMORY, MAX_REQUEST};
use crate::child::{Channel, Message};

/// Serves requests until the connection ends. The first message brings the socket to the keeper, where there is one.
pub(crate) fn serve(socket: UnixStream) -> io::Result<()> {
    let mut channel = Channel::new(socket, MAX_REQUEST);
    let Some(first) = channel.receive::<()>()? else { return Ok(()) };
    let keeper = first.descriptors.into_iter().next().map(|socket| Channel::new(UnixStream::from(socket), MAX_REQUEST));
    while let Some(request) = channel.receive::<Request>()? {
        match answer(&request, keeper.as_ref()) {
            Ok((reply, data)) => channel.send(&reply, &data, &[])?,
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(match error.kind() {
                    io::ErrorKind::NotFound => libc::ENOENT,
                    io::ErrorKind::PermissionDenied => libc::EACCES,
                    _ => libc::EINVAL,
                });
                channel.send(&Reply::Refused { errno }, &[], &[])?;
            }
        }
    }
    Ok(())
}

fn answer(request: &Message<Request>, keeper: Option<&Channel>) -> io::Result<(Reply, Vec<u8>)> {
    let done = |data| Ok((Reply::Done, data));
    match &request.head {
        Request::Maps { pid } => done(maps(*pid)?),
        Request::Memory { pid, address, length } => done(memory(*pid, *address, *length)?),
        Request::Magic { mapped } => {
            let mut magic = vec![0; 4];
            open_mapped(mapped, &request.data)?.read_exact_at(&mut magic, 0)?;
            done(magic)
        }
        Request::Open { number, mapped } => hand_over(keeper, *number, &open_mapped(mapped, &request.data)?),
        Request::OpenPerfMap { number, pid, inner, owner } => {
            hand_over(keeper, *number, &open_perf_map(*pid, *inner, *owner)?)
        }
    }
}

fn hand_over(
    keeper: Option<&Channel>,
    number: super::protocol::FileNumber,
    file: &File,
) -> io::Result<(Reply, Vec<u8>)> {
    let metadata = file.metadata()?;
    let keeper = keeper.ok_or(io::ErrorKind::NotConnected)?;
    keeper.send(&Handed { number }, &[], &[file.as_fd()])?;
    Ok((Reply::Opened(Owner { uid: metadata.uid(), device: metadata.dev() }), Vec::new()))
}

/// The text of `/proc/PID/maps`, its first [`MAX_MAPS`] bytes.
pub(super) fn maps(pid: u32) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(format!("/proc/{pid}/maps"))?.take(MAX_MAPS).read_to_end(&mut text)?;
    Ok(text)
}

/// Memory from `address` on: as much as can be read without a gap.
pub(super) fn memory(pid: u32, address: u64, length: u32) -> io::Result<Vec<u8>> {
    // A transfer ends only between elements (process_vm_readv(2)), hence one for each page.
    const PAGE: u64 = 4_096;
    let end = address.saturating_add(u64::from(length.min(MAX_MEMORY)));
    let mut bytes = vec![0; (end - address) as usize];
    let mut pieces = Vec::new();
    let mut at = address;
    while at < end {
        let next = (at / PAGE + 1).saturating_mul(PAGE).min(end);
        pieces.push(RemoteIoVec { base: at as usize, len: (next - at) as usize });
        at = next;
    }
    let pid = Pid::from_raw(i32::try_from(pid).map_err(|_| Errno::ESRCH)?);
    let read = process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes)], &pieces)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// By the mapping itself, which also reaches deleted files and other mount namespaces but needs `CAP_SYS_ADMIN` or
/// `CAP_CHECKPOINT_RESTORE` (fs/proc/base.c, `proc_map_files_get_link`); else by path, if that is still the same file.
pub(super) fn open_mapped(mapped: &Mapped, path: &[u8]) -> io::Result<File> {
    let Mapped { pid, start, end, inode } = *mapped;
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    let same = |path: &Path| {
        let file = open_regular(path, 0)?;
        // The inode decides, not the device: stat and the kernel's lists of mappings show different ones on btrfs and
        // overlayfs.
        if file.metadata()?.ino() == inode { Ok(file) } else { Err(io::Error::from(io::ErrorKind::NotFound)) }
    };
    open_regular(&PathBuf::from(format!("/proc/{pid}/map_files/{start:x}-{end:x}")), 0)
        .or_else(|_| {
            let mut by_root = PathBuf::from(format!("/proc/{pid}/root"));
            by_root.push(path.strip_prefix("/").unwrap_or(path));
            same(&by_root)
        })
        // The process may have ended. Most live in the agent's own mount namespace.
        .or_else(|_| same(path))
}

/// Anyone may create files in `/tmp`: only a map that belongs to the process's user, or to root, is opened.
pub(super) fn open_perf_map(pid: u32, inner: u32, owner: u32) -> io::Result<File> {
    let path = format!("/proc/{pid}/root/tmp/perf-{inner}.map");
    let file = open_regular(Path::new(&path), libc::O_NOFOLLOW)?;
    match file.metadata()?.uid() {
        uid if uid == owner || uid == 0 => Ok(file),
        _ => Err(io::Error::from_raw_os_error(libc::EACCES)),
    }
}

/// Opens a regular file for reading. What else may be there (a FIFO, a device) is not touched, since opening it could
/// block or act.
fn open_regular(path: &Path, flags: i32) -> io::Result<File> {
    let place = OpenOptions::new().read(true).custom_flags(libc::O_PATH | flags).open(path)?;
    if !place.metadata()?.is_file() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // Non-blocking for the sake of leases (fcntl(2), F_SETLEASE), which their holder would have to give up first.
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(format!("/proc/self/fd/{}", place.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_up_to_where_it_ends() {
        let bytes: Vec<u8> = (0..20_000u32).map(|byte| byte as u8).collect();
        let (own, address) = (std::process::id(), bytes.as_ptr() as u64);
        assert!(memory(own, address, 20_000).expect("readable") == bytes);
        // The page at address 0 is never mapped.
        assert_eq!(memory(own, 0, 100).expect_err("no memory").raw_os_error(), Some(libc::EFAULT));
        assert_eq!(memory(own, address, u32::MAX).map(|read| read.len() <= MAX_MEMORY as usize).ok(), Some(true));
        assert!(memory(own, u64::MAX - 8, 4_096).is_err());
    }

    #[test]
    fn memory_that_ends_in_the_middle_is_read_to_its_last_page() {
        let stack = std::fs::read_to_string("/proc/self/maps").expect("maps");
        let range = stack.lines().find(|line| line.ends_with("[stack]")).and_then(|line| line.split(' ').next());
        let end = range.and_then(|range| u64::from_str_radix(range.split_once('-')?.1, 16).ok()).expect("a stack");
        let read = memory(std::process::id(), end - 5_000, 20_000).expect("its end");
        assert_eq!(read.len(), 5_000);
    }

    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("made");
        // To open it for reading would wait for a writer.
        for path in [pipe.as_path(), folder.path(), Path::new("/dev/zero")] {
            assert!(open_regular(path, 0).is_err(), "{}", path.display());
        }
        std::fs::write(folder.path().join("file"), "x").expect("written");
        assert!(open_regular(&folder.path().join("file"), 0).is_ok());
    }

    #[test]
    fn a_perf_map_of_another_user_is_not_opened() {
        let own = std::process::id();
        let path = format!("/tmp/perf-{own}.map");
        std::fs::write(&path, "1000 10 jitted\n").expect("/tmp is writable");
        let uid = nix::unistd::geteuid().as_raw();
        let opened = open_perf_map(own, own, uid);
        let foreign = std::os::unix::fs::chown(&path, Some(12_345), None).is_ok();
        let refused = open_perf_map(own, own, uid);
        std::fs::remove_file(&path).expect("removed");
        assert!(opened.is_ok(), "{opened:?}");
        // Only root can give a file away.
        assert!(refused.is_err() || !foreign);
    }
}
