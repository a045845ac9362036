//! A process that a hostile user of a captured host could run. Each mode is one way to harm a capture.

#![allow(unsafe_code, reason = "runs code from files that it maps, and registers what the kernel would not have it do")]

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl::set_name;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

#[derive(Parser)]
enum Mode {
    /// Maps 8 KiB of a file and runs the code at 4 KiB, for ever
    Run { file: PathBuf },
    /// Runs code made at run time, so many instructions of 5 bytes in a loop, for ever
    Jit { instructions: usize },
    /// Makes a file short and long again, for ever
    Truncate { file: PathBuf, long: u64 },
    /// Makes so many executable mappings, and forks for ever children with mappings of their own
    Mappings { count: usize },
    /// Gives itself another name again and again, each with an escape sequence, for ever
    Rename,
    /// Executes a program with long arguments again and again, for ever
    Execute,
    /// Maps the code of a file again and again on every CPU, for so many seconds
    Flood { file: PathBuf, seconds: u64 },
    /// Sleeps for ever with a frame pointer into memory that is never there (userfaultfd)
    Stall,
}

const PAGE: usize = 4_096;
const RX: i32 = libc::PROT_READ | libc::PROT_EXEC;
const RWX: i32 = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
const ANONYMOUS: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

fn main() -> Result<()> {
    match Mode::parse() {
        Mode::Run { file } => run(&File::open(&file).with_context(|| format!("cannot open {}", file.display()))?),
        Mode::Jit { instructions } => jit(instructions),
        Mode::Truncate { file, long } => loop {
            let file = File::options().write(true).open(&file)?;
            for length in [2 * PAGE as u64, long] {
                file.set_len(length)?;
            }
        },
        Mode::Mappings { count } => mappings(count),
        Mode::Rename => rename(),
        Mode::Execute => execute(),
        Mode::Flood { file, seconds } => flood(&File::open(&file)?, Duration::from_secs(seconds)),
        Mode::Stall => stall(),
    }
}

fn map(at: usize, length: usize, protection: i32, flags: i32, file: i32) -> Result<*mut u8> {
    // SAFETY: with MAP_FIXED, this program does not use the address range; otherwise the kernel chooses it.
    let mapped = unsafe { libc::mmap(at as *mut _, length, protection, flags, file, 0) };
    ensure!(mapped != libc::MAP_FAILED, "mmap: {}", std::io::Error::last_os_error());
    Ok(mapped.cast())
}

fn call(code: *const u8) -> Result<()> {
    // SAFETY: the code at this address is an endless loop that accesses no memory.
    let code: extern "C" fn() = unsafe { std::mem::transmute(code) };
    ready()?;
    code();
    Ok(())
}

/// Reports on stdout that the mode has begun.
fn ready() -> Result<()> {
    use std::io::Write as _;
    Ok(writeln!(std::io::stdout(), "ready")?)
}

fn run(file: &File) -> Result<()> {
    let mapped = map(0, 2 * PAGE, RX, libc::MAP_PRIVATE, file.as_raw_fd())?;
    call(mapped.wrapping_add(PAGE))
}

fn jit(instructions: usize) -> Result<()> {
    let length = 5 * instructions;
    let memory = map(0, length + PAGE, RWX, ANONYMOUS, -1)?;
    let mut code = [0x0f, 0x1f, 0x44, 0, 0].repeat(instructions);
    code.push(0xe9);
    code.extend((-(length as i32 + 5)).to_le_bytes());
    // SAFETY: the mapping is as long as this, and a page longer.
    unsafe { ptr::copy_nonoverlapping(code.as_ptr(), memory, code.len()) };
    call(memory)
}

fn mappings(count: usize) -> Result<()> {
    const BASE: usize = 0x2000_0000_0000;
    for number in 0..count {
        // Every second page, so that the kernel does not merge mappings.
        map(BASE + 2 * PAGE * number, PAGE, RX, ANONYMOUS | libc::MAP_FIXED, -1)?;
    }
    ready()?;
    loop {
        // SAFETY: this program has one thread.
        match unsafe { fork() }? {
            ForkResult::Child => {
                let own = map(BASE - 2 * PAGE, PAGE, RX, ANONYMOUS | libc::MAP_FIXED, -1);
                // SAFETY: ends this process.
                unsafe { libc::_exit(i32::from(own.is_err())) };
            }
            ForkResult::Parent { child } => {
                waitpid(child, None)?;
            }
        }
    }
}

fn rename() -> Result<()> {
    ready()?;
    for number in (0..1_000_000).cycle() {
        set_name(&CString::new(format!("\x1b[2J{number}\n"))?)?;
    }
    Ok(())
}

fn execute() -> Result<()> {
    /// `MAX_ARG_STRLEN` is 128 KiB, and a quarter of the stack's limit of 8 MiB is for all arguments (execve(2)).
    const LONG: usize = 100_000;
    ready()?;
    loop {
        let mut command = Command::new("/bin/true");
        command.arg0("\x1b]0;another title\x07\n").args(vec!["\x1b[2J".repeat(LONG / 4); 15]);
        command.status()?;
    }
}

/// The kernel reports each mapping with the path of the file, so that few reports of a file with a long path fill a buffer.
fn flood(file: &File, time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    let mut children = Vec::new();
    for cpu in 0..thread::available_parallelism()?.get() {
        // SAFETY: this program has one thread.
        match unsafe { fork() }? {
            ForkResult::Child => {
                let mut only = CpuSet::new();
                only.set(cpu)?;
                sched_setaffinity(Pid::from_raw(0), &only)?;
                while Instant::now() < end {
                    let mapped = map(0, PAGE, RX, libc::MAP_PRIVATE, file.as_raw_fd())?;
                    // SAFETY: nothing refers to it.
                    unsafe { libc::munmap(mapped.cast(), PAGE) };
                }
                return Ok(());
            }
            ForkResult::Parent { child } => children.push(child),
        }
    }
    ready()?;
    for child in children {
        waitpid(child, None)?;
    }
    Ok(())
}

/// `struct uffdio_api` (include/uapi/linux/userfaultfd.h).
#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Register {
    start: u64,
    length: u64,
    mode: u64,
    ioctls: u64,
}

nix::ioctl_readwrite!(api, 0xaa, 0x3f, Api);
nix::ioctl_readwrite!(register, 0xaa, 0x00, Register);

#[cfg(target_arch = "x86_64")]
fn stall() -> Result<()> {
    /// Without `UFFD_USER_MODE_ONLY` (5.11): faults of the kernel must be handled too.
    const FLAGS: i32 = libc::O_CLOEXEC;
    // SAFETY: makes a descriptor.
    let descriptor = unsafe { libc::syscall(libc::SYS_userfaultfd, FLAGS) } as i32;
    if descriptor < 0 {
        bail!("userfaultfd: {}", std::io::Error::last_os_error());
    }
    let stack = map(0, 16 * PAGE, libc::PROT_READ | libc::PROT_WRITE, ANONYMOUS, -1)? as u64 + 8 * PAGE as u64;
    let absent = map(0, 16 * PAGE, libc::PROT_READ | libc::PROT_WRITE, ANONYMOUS, -1)? as u64;
    let mut hello = Api { api: 0xaa, features: 0, ioctls: 0 };
    // SAFETY: the structure is the one that the kernel reads and writes.
    unsafe { api(descriptor, &raw mut hello) }?;
    let mut missing = Register { start: absent, length: 16 * PAGE as u64, mode: 1, ioctls: 0 };
    // SAFETY: as above.
    unsafe { register(descriptor, &raw mut missing) }?;
    // The frame pointer must be above the stack pointer.
    let (stack, absent) = if absent > stack { (stack, absent) } else { (absent - PAGE as u64, absent) };
    ready()?;
    // SAFETY: never returns, so its changes to the stack have no effect. pause(2) is number 34.
    unsafe {
        std::arch::asm!(
            "mov rsp, {stack}",
            "mov rbp, {absent}",
            "2:",
            "mov eax, 34",
            "syscall",
            "jmp 2b",
            stack = in(reg) stack,
            absent = in(reg) absent,
            options(noreturn)
        )
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn stall() -> Result<()> {
    bail!("written for x86-64")
}
