//! io_uring by its system calls, for a single request at a time: without liburing, which few hosts have.

#![allow(unsafe_code, reason = "no crate here makes the system calls of io_uring, or shares its rings")]

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// `IORING_OFF_SQES`, the offset of the requests in the file of a ring (include/uapi/linux/io_uring.h). That of both rings is 0, if the
/// kernel has them in one mapping (`IORING_FEAT_SINGLE_MMAP`, 5.4).
const REQUESTS: i64 = 0x1000_0000;
const SINGLE_MAPPING: u32 = 1;
const GET_EVENTS: u32 = 1;
const TIMEOUT: u8 = 11;
/// Since 5.6.
const READ: u8 = 22;
/// More than the rings or the requests take, in bytes.
const LENGTH: usize = 4_096;

/// `struct io_uring_params`.
#[repr(C)]
#[derive(Default)]
struct Params {
    entries: [u32; 2],
    flags: u32,
    thread: [u32; 2],
    features: u32,
    reserved: [u32; 4],
    requests: Offsets,
    completions: Offsets,
}

/// `struct io_sqring_offsets` and `struct io_cqring_offsets`.
#[repr(C)]
#[derive(Default)]
struct Offsets {
    head: u32,
    tail: u32,
    mask: u32,
    entries: u32,
    more: [u32; 2],
    /// Of the requests: the array of indexes.
    array: u32,
    reserved: [u32; 3],
}

/// `struct io_uring_sqe`.
#[repr(C)]
#[derive(Default)]
struct Request {
    operation: u8,
    flags: u8,
    priority: u16,
    file: i32,
    offset: u64,
    address: u64,
    length: u32,
    more: [u32; 5],
    padding: [u64; 2],
}

const _: () = assert!(size_of::<Params>() == 120 && size_of::<Request>() == 64);

/// Rings, with room for one request.
pub struct Uring {
    file: OwnedFd,
    rings: *mut u8,
    requests: *mut Request,
    params: Params,
}

impl Uring {
    /// Creates the rings.
    ///
    /// # Errors
    /// The kernel does not have io_uring, or does not permit it.
    pub fn new() -> Result<Self> {
        let mut params = Params::default();
        // SAFETY: the kernel reads and writes the structure.
        let file = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1u32, &raw mut params) };
        ensure!(file >= 0, "io_uring_setup: {}", io::Error::last_os_error());
        // SAFETY: a descriptor that nothing else owns.
        let file = unsafe { OwnedFd::from_raw_fd(i32::try_from(file)?) };
        ensure!(params.features & SINGLE_MAPPING != 0, "the rings are in two mappings");
        let rings = map(&file, 0)?;
        let requests = map(&file, REQUESTS)?.cast();
        Ok(Self { file, rings, requests, params })
    }

    /// Waits for a timeout.
    pub fn wait(&mut self, time: Duration) -> Result<()> {
        let time = [time.as_secs(), u64::from(time.subsec_nanos())];
        self.complete(Request { operation: TIMEOUT, address: time.as_ptr() as u64, length: 1, ..Request::default() })
    }

    /// Reads a byte from a pipe.
    pub fn read(&mut self, pipe: RawFd) -> Result<()> {
        let mut byte = 0u8;
        let address = &raw mut byte as u64;
        self.complete(Request { operation: READ, file: pipe, address, length: 1, ..Request::default() })
    }

    fn complete(&mut self, request: Request) -> Result<()> {
        let Params { requests, completions, .. } = &self.params;
        let tail = self.word(requests.tail).load(Ordering::Relaxed);
        // SAFETY: there is one request, at index 0, and the kernel has consumed the last one.
        unsafe { ptr::write_volatile(self.requests, request) };
        self.word(requests.array).store(0, Ordering::Relaxed);
        self.word(requests.tail).store(tail.wrapping_add(1), Ordering::Release);
        let completed = self.word(completions.head).load(Ordering::Relaxed);
        while self.word(completions.tail).load(Ordering::Acquire) == completed {
            let submitted = self.word(requests.head).load(Ordering::Acquire) != tail;
            let (submit, wait) = (u32::from(!submitted), 1u32);
            let file = self.file.as_raw_fd();
            // SAFETY: the memory of the request outlives it, since this waits for its completion.
            let result = unsafe {
                let none = ptr::null::<u8>();
                libc::syscall(libc::SYS_io_uring_enter, file, submit, wait, GET_EVENTS, none, 0usize)
            };
            let error = io::Error::last_os_error();
            ensure!(result >= 0 || error.kind() == io::ErrorKind::Interrupted, "io_uring_enter: {error}");
        }
        self.word(completions.head).store(completed.wrapping_add(1), Ordering::Release);
        Ok(())
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the kernel returned this offset of an aligned word in the rings, which are mapped as long as this exists.
        unsafe { &*self.rings.add(offset as usize).cast::<AtomicU32>() }
    }
}

fn map(file: &OwnedFd, offset: i64) -> Result<*mut u8> {
    let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
    // SAFETY: a new mapping.
    let mapped = unsafe { libc::mmap(ptr::null_mut(), LENGTH, access, flags, file.as_raw_fd(), offset) };
    if mapped == libc::MAP_FAILED {
        Err(io::Error::last_os_error()).context("mmap of a ring")
    } else {
        Ok(mapped.cast())
    }
}

/// Whether the kernel has io_uring and permits it: a sysctl or seccomp filter may forbid it.
pub fn is_permitted() -> bool {
    Uring::new().is_ok()
}
