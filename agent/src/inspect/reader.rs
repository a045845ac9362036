//! The child that reads other processes. Because it has the privileges for this, it parses no data of these processes: it
//! only opens files, copies data, and passes both on.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open, openat, readlinkat};
use nix::sys::stat::{Mode, major, minor};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::{Pid, SysconfVar, sysconf};

use super::protocol::{Handed, Mapped, Owner, Reply, Request};
use super::{MAX_ARGUMENTS, MAX_MAPS, MAX_MEMORY, MAX_REQUEST};
use crate::child::{Channel, Message};
use crate::sys::mapped_file;

/// Serves requests until the connection ends. The first message carries the socket of the keeper, if there is a keeper.
pub(crate) fn serve(socket: UnixStream) -> io::Result<()> {
    let mut channel = Channel::new(socket, MAX_REQUEST).taking_descriptors();
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
        Request::Program { pid } => done(program(*pid)?),
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

/// The first [`MAX_MAPS`] bytes of `/proc/PID/maps`.
pub(super) fn maps(pid: u32) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(format!("/proc/{}/maps", living(pid)))?.take(MAX_MAPS).read_to_end(&mut text)?;
    Ok(text)
}

/// A thread of a process through which its memory and files are found. The first thread may have exited while others run on: it stays
/// as a zombie, but gives up its memory and root directory (`exit_mm`, `exit_fs`, kernel/exit.c). Also `/proc/TID` of another
/// thread exists.
fn living(pid: u32) -> u32 {
    /// The number of threads that are tried: those that have exited are zombies only for a moment.
    const MOST: usize = 16;
    let has_memory = |tid: u32| readlinkat(AT_FDCWD, format!("/proc/{tid}/exe").as_str()).is_ok();
    if has_memory(pid) {
        return pid;
    }
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().take(MOST);
    let ids = threads.filter_map(|thread| thread.ok()?.file_name().to_str()?.parse().ok());
    // A kernel thread has no memory, and neither has a process that has exited.
    ids.into_iter().find(|tid| has_memory(*tid)).unwrap_or(pid)
}

/// The path of the executable of a process, a zero byte, and the first bytes of its arguments. Both may be empty: a kernel
/// thread has neither, and arguments that are not resident are not read.
pub(super) fn program(pid: u32) -> io::Result<Vec<u8>> {
    let pid = living(pid);
    let stat = stat(pid)?;
    // The kernel generates the path without accessing a file system.
    let path = readlinkat(AT_FDCWD, format!("/proc/{pid}/exe").as_str()).unwrap_or_default();
    let mut program = path.into_vec();
    program.push(0);
    if let Some((start, end)) = arguments(&stat) {
        let length = u32::try_from(end.saturating_sub(start)).unwrap_or(u32::MAX).min(MAX_ARGUMENTS);
        program.extend(memory(pid, start, length).unwrap_or_default());
    }
    Ok(program)
}

/// The contents of `/proc/PID/stat`.
fn stat(pid: u32) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    File::open(format!("/proc/{pid}/stat"))?.take(4_096).read_to_end(&mut line)?;
    Ok(line)
}

/// The start and end addresses of the arguments of a process: fields 48 and 49 of `/proc/PID/stat` (proc_pid_stat(5), Linux
/// 3.5). They are zero if the reader may not trace the process.
fn arguments(stat: &[u8]) -> Option<(u64, u64)> {
    // The second field is the name, which may contain any characters.
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(&stat[name_end + 1..]).ok()?.split_ascii_whitespace().skip(48 - 3);
    let (start, end) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (0 < start && start < end).then_some((start, end))
}

/// The memory of a process from `address` to the first page that is not resident.
///
/// Reading a page that is not resident would fault it in for its process, and wait for its provider: a FUSE server or a
/// userfaultfd(2) handler may never answer, and this child could not be killed meanwhile. A page may still be evicted between
/// the check and the copy; [`strikes`](super::strikes) limits the effect.
pub(super) fn memory(pid: u32, address: u64, length: u32) -> io::Result<Vec<u8>> {
    let (pid, page) = (living(pid), page_size());
    let mut bytes = vec![0; resident(pid, address, length.min(MAX_MEMORY), page)? as usize];
    let end = address + bytes.len() as u64;
    // A partial transfer ends between two elements (process_vm_readv(2)), so each page is an element.
    let mut pieces = Vec::new();
    let mut at = address;
    while at < end {
        let next = (at / page + 1).saturating_mul(page).min(end);
        pieces.push(RemoteIoVec { base: at as usize, len: (next - at) as usize });
        at = next;
    }
    let pid = Pid::from_raw(i32::try_from(pid).map_err(|_| Errno::ESRCH)?);
    let read = process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes)], &pieces)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// The number of resident bytes from `address` on, at most `length`. `/proc/PID/pagemap` contains an entry of 64 bits for
/// each page; its highest bit is set if the page is present (Documentation/admin-guide/mm/pagemap.rst; Linux 2.6.25). If the
/// kernel does not provide this file, returns `length`.
///
/// # Errors
/// `EFAULT` if the first page is not resident; other errors if the file cannot be read.
fn resident(pid: u32, address: u64, length: u32, page: u64) -> io::Result<u64> {
    const PRESENT: u64 = 1 << 63;
    let length = u64::from(length).min(u64::MAX - address);
    let first = address / page;
    let pages = (address + length).div_ceil(page) - first;
    let file = match File::open(format!("/proc/{pid}/pagemap")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && Path::new(&format!("/proc/{pid}/maps")).exists() => {
            return Ok(length);
        }
        Err(error) => return Err(error),
    };
    let mut entries = vec![0; pages as usize * 8];
    // Fewer entries are read at the end of the address space.
    let read = file.read_at(&mut entries, first * 8)?;
    let present = |entry: &[u8]| entry.try_into().is_ok_and(|entry| u64::from_ne_bytes(entry) & PRESENT != 0);
    let count = entries[..read].chunks_exact(8).take_while(|entry| present(entry)).count() as u64;
    match (first + count).saturating_mul(page).saturating_sub(address).min(length) {
        0 => Err(Errno::EFAULT.into()),
        bytes => Ok(bytes),
    }
}

/// The page size in bytes, from sysconf(3), which makes no system call.
fn page_size() -> u64 {
    let size = sysconf(SysconfVar::PAGE_SIZE);
    size.ok().flatten().and_then(|size| u64::try_from(size).ok()).unwrap_or(4_096)
}

/// Opens a mapped file. `/proc/PID/map_files` also works for deleted files and other mount namespaces, but requires
/// `CAP_SYS_ADMIN` or `CAP_CHECKPOINT_RESTORE` (fs/proc/base.c, `proc_map_files_get_link`). The alternative is the path below
/// the root directory of the process, which is not available after the process has exited. In each case the file may have
/// been replaced since it was mapped, so its identity is checked.
pub(super) fn open_mapped(mapped: &Mapped, path: &[u8]) -> io::Result<File> {
    let Mapped { start, end, .. } = *mapped;
    let pid = living(mapped.pid);
    let the_same = |file: File| if is_same(mapped, &file) { Ok(file) } else { Err(gone()) };
    open_regular(&PathBuf::from(format!("/proc/{pid}/map_files/{start:x}-{end:x}")))
        .and_then(the_same)
        .or_else(|_| open_by_path(&format!("/proc/{pid}/root"), mapped, path).and_then(the_same))
        // Most files are also in the mount namespace of quell.
        .or_else(|_| open_by_path("/", mapped, path).and_then(the_same))
}

/// Whether an open file is the one that was mapped. The kernel lists the same device and inode for a file in every process
/// that maps it. If the file cannot be mapped here, stat(2) is used, which never returns the device of another file.
fn is_same(mapped: &Mapped, file: &File) -> bool {
    let stat = || {
        let metadata = file.metadata()?;
        io::Result::Ok(((major(metadata.dev()) as u32, minor(metadata.dev()) as u32), metadata.ino()))
    };
    let identity = mapped_file::listed(file.as_fd()).or_else(|_| stat());
    identity.is_ok_and(|identity| identity == (mapped.device, mapped.inode))
}

/// Opens a file by its path. The path comes from the process, so a file with another inode is not even opened.
fn open_by_path(root: &str, mapped: &Mapped, path: &[u8]) -> io::Result<File> {
    let found = Place::below(root, path)?;
    if found.0.metadata()?.ino() == mapped.inode { found.open() } else { Err(gone()) }
}

fn gone() -> io::Error {
    io::ErrorKind::NotFound.into()
}

/// Opens the perf map of a process if it belongs to the user of the process. Every user can create files in `/tmp`, and mount
/// other files there that the user can see.
pub(super) fn open_perf_map(pid: u32, inner: u32, owner: u32) -> io::Result<File> {
    let found = Place::below(&format!("/proc/{}/root", living(pid)), format!("tmp/perf-{inner}.map").as_bytes())?;
    if found.0.metadata()?.uid() == owner { found.open() } else { Err(io::Error::from_raw_os_error(libc::EACCES)) }
}

/// A file that was found, but not opened for reading yet (`O_PATH`).
struct Place(File);

impl Place {
    /// Resolves a path below a directory. Symbolic links are not followed: a link in another root directory would point to a
    /// different file from here, and paths of mappings contain no links.
    fn below(root: &str, path: &[u8]) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let mut found = File::from(open(root, flags | OFlag::O_DIRECTORY, Mode::empty())?);
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            if name == b".." {
                return Err(gone());
            }
            found = openat(&found, OsStr::from_bytes(name), flags | OFlag::O_NOFOLLOW, Mode::empty())?.into();
        }
        Ok(Self(found))
    }

    /// Opens it for reading, if it is a regular file. Other types (a FIFO, a device) are not opened, because opening them
    /// could block or have side effects.
    fn open(self) -> io::Result<File> {
        if !self.0.metadata()?.is_file() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        // O_NONBLOCK because of leases (fcntl(2), F_SETLEASE): otherwise, open would wait until the holder releases the
        // lease.
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
    }
}

/// Opens a regular file for reading. Symbolic links are followed.
fn open_regular(path: &Path) -> io::Result<File> {
    Place(OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path)?).open()
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
        let read = memory(std::process::id(), end - 1_000, 20_000).expect("its end, with the environment");
        assert_eq!(read.len(), 1_000);
    }

    #[test]
    fn a_program_is_its_path_and_its_arguments() {
        let own = program(std::process::id()).expect("this process");
        let path = std::env::current_exe().expect("a path");
        let arguments = std::fs::read("/proc/self/cmdline").expect("arguments");
        let whole =
            [path.as_os_str().as_bytes(), &[0], &arguments[..arguments.len().min(MAX_ARGUMENTS as usize)]].concat();
        assert!(own == whole, "{}", String::from_utf8_lossy(&own));
        // A kernel thread has neither. A PID namespace may have no kernel thread with PID 2.
        let is_kernel_thread = std::fs::read("/proc/2/cmdline").is_ok_and(|arguments| arguments.is_empty());
        assert!(!is_kernel_thread || program(2).is_ok_and(|program| program == [0]));
    }

    #[test]
    fn a_name_cannot_move_the_fields_of_a_stat() {
        let fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        let stat = |name: &str, fields: &[String]| format!("7 ({name}) {}", fields.join(" ")).into_bytes();
        assert_eq!(arguments(&stat("a) S 1 (b", &fields)), Some((48, 49)));
        assert_eq!(arguments(&stat("a", &fields[..40])), None);
        let mut hidden = fields.clone();
        (hidden[45], hidden[46]) = ("0".to_owned(), "0".to_owned());
        assert_eq!(arguments(&stat("a", &hidden)), None);
        assert_eq!(arguments(b""), None);
    }

    #[test]
    fn a_page_that_is_not_resident_is_left_alone() {
        // More than malloc(3) ever reuses from freed memory.
        const FRESH: usize = 64 << 20;
        let mut bytes: Vec<u8> = Vec::with_capacity(FRESH);
        bytes.push(1);
        let (own, address) = (std::process::id(), bytes.as_ptr() as u64);
        assert_eq!(memory(own, address, 1).ok(), Some(vec![1]));
        let untouched = memory(own, address + FRESH as u64 / 2, 8);
        assert_eq!(untouched.expect_err("not resident").raw_os_error(), Some(libc::EFAULT));
    }

    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).expect("made");
        // Opening it for reading would wait for a writer.
        for path in [pipe.as_path(), folder.path(), Path::new("/dev/zero")] {
            assert!(open_regular(path).is_err(), "{}", path.display());
        }
        std::fs::write(folder.path().join("file"), "x").expect("written");
        assert!(open_regular(&folder.path().join("file")).is_ok());
    }

    #[test]
    fn what_is_opened_is_the_file_that_was_mapped_or_nothing() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "x").expect("written");
        let path = file.path().canonicalize().expect("a path");
        let (device, inode) = mapped_file::listed(file.as_file().as_fd()).expect("an identity");
        // The mapping of another file: the executable of this test.
        let own = std::fs::read_to_string("/proc/self/maps").expect("maps");
        let range = own.lines().find(|line| line.contains("r-xp") && line.contains('/')).expect("code");
        let (start, end) = range.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let number = |text| u64::from_str_radix(text, 16).expect("a number");
        let pid = std::process::id();
        let mapped = Mapped { pid, start: number(start), end: number(end), device, inode };
        let open = |mapped: &Mapped, path: &Path| {
            open_mapped(mapped, path.as_os_str().as_bytes()).and_then(|file| file.metadata()).map(|found| found.ino())
        };
        assert_eq!(open(&mapped, &path).ok(), Some(inode));
        let public = Path::new("/usr/bin/env").canonicalize().expect("a program");
        assert!(open(&mapped, &public).is_err(), "neither the path nor the mapping is that file");
        assert!(open(&Mapped { device: (0, 4_095), ..mapped.clone() }, &path).is_err());
        assert!(open(&Mapped { inode: 1, ..mapped }, &path).is_err());
    }

    #[test]
    fn no_link_on_the_way_is_followed_and_no_way_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("directory")).expect("made");
        std::fs::write(at("directory/file"), "x").expect("written");
        std::os::unix::fs::symlink(at("directory"), at("link")).expect("a link");
        std::os::unix::fs::symlink(at("directory/file"), at("directory/link")).expect("a link");
        let root = folder.path().display().to_string();
        let open = |path: &str| Place::below(&root, path.as_bytes()).and_then(Place::open);
        assert!(open("directory/file").is_ok() && open("/directory//file").is_ok());
        for path in ["link/file", "directory/link", "directory/../directory/file", "../etc/passwd", "directory", ""] {
            assert!(open(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_perf_map_of_another_user_is_not_opened() {
        let own = std::process::id();
        let path = format!("/tmp/perf-{own}.map");
        std::fs::write(&path, "1000 10 jitted\n").expect("/tmp is writable");
        let uid = nix::unistd::geteuid().as_raw();
        let opened = open_perf_map(own, own, uid);
        // As for a process of another user with the same PID in another namespace.
        let of_another = open_perf_map(own, own, uid + 1);
        let foreign = std::os::unix::fs::chown(&path, Some(12_345), None).is_ok();
        let refused = open_perf_map(own, own, uid);
        std::fs::remove_file(&path).expect("removed");
        assert!(opened.is_ok(), "{opened:?}");
        assert!(of_another.is_err(), "root's is not everybody's: it may be any file of root's, mounted there");
        // Only root can change the owner of a file.
        assert!(refused.is_err() || !foreign);
    }
}
