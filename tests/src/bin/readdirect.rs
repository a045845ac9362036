//! Reads a file without the page cache, so that each read waits for the disk, and reports how often and how long it waited,
//! measured by its own clocks.

#![allow(unsafe_code, reason = "a system call without libc, from a function whose name stands in profiles")]

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use nix::unistd::{getpid, gettid};
use quell_tests::clock::{self, Spent};
use quell_tests::fixture::{self, BlockedPath, ReadDirectly};
use quell_tests::syscall;

#[derive(Parser)]
struct Args {
    /// The file to read, from its beginning to its end
    file: PathBuf,
    /// Begin when a line comes on stdin
    #[arg(long)]
    wait: bool,
}

/// The size of a read, in bytes. It is so large that the disk seldom completes the read before the thread sleeps.
const BLOCK: usize = 256 << 10;

/// A buffer with an alignment that is sufficient for direct reads from any disk.
#[repr(align(4096))]
struct Block([u8; BLOCK]);

fn main() -> Result<()> {
    let args = Args::parse();
    let file = File::options().read(true).custom_flags(libc::O_DIRECT).open(&args.file);
    let file = file.with_context(|| format!("cannot open {} for direct reads", args.file.display()))?;
    let mut block = Box::new(Block([0; BLOCK]));
    fixture::ready(args.wait)?;
    let function = "quell_read_direct".to_owned();
    let tid = gettid().as_raw();
    let mut reads = BlockedPath { function, tid, count: 0, sleeps: 0, wall_ns: 0, off_cpu_ns: 0 };
    loop {
        let mut got = 0;
        let slept = clock::times_slept();
        let spent = Spent::doing(|| got = quell_read_direct(file.as_raw_fd(), &mut block));
        ensure!(got >= 0, "a direct read fails with errno {}", -got);
        if got == 0 {
            break;
        }
        reads.sleeps += clock::times_slept() - slept;
        reads.count += 1;
        reads.wall_ns += spent.wall;
        reads.off_cpu_ns += spent.off_cpu();
    }
    fixture::report(&ReadDirectly { pid: getpid().as_raw(), reads })
}

// SAFETY: no other symbol of this name is linked.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn quell_read_direct(file: i32, block: &mut Block) -> isize {
    // SAFETY: the kernel writes at most the length of the block there.
    unsafe { syscall!(libc::SYS_read, file as usize, block.0.as_mut_ptr(), BLOCK, 0usize) }
}
