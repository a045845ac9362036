//! Maps code from one file, runs it, unmaps it, and does the same at the same address with another file, as a program does that
//! unloads a plugin and loads another. Reports the CPU time in each.

#![allow(unsafe_code, reason = "code at an address of its own")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::getpid;
use quell_tests::clock;
use quell_tests::fixture::{self, Reloaded};

#[derive(Parser)]
struct Args {
    /// Begin when a line comes on stdin
    #[arg(long)]
    wait: bool,
    /// The CPU time in each file, in seconds
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// Where the files are written
    directory: PathBuf,
    /// Their names
    names: Vec<String>,
}

/// More than the length of [`quell_turn`] in bytes.
const LENGTH: usize = 4096;

/// Where the code is mapped.
const ADDRESS: usize = 0x7000_0000_0000;

/// The only function in the files. It calls nothing.
// SAFETY: no other symbol of this name is linked.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn quell_turn(turns: u64) -> u64 {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut turn = 0;
    while turn < turns {
        state ^= state << 13;
        state ^= state >> 7;
        turn += 1;
    }
    state
}

fn main() -> Result<()> {
    let args = Args::parse();
    fixture::ready(args.wait)?;
    let mut cpu_ns = BTreeMap::new();
    for name in &args.names {
        let path = args.directory.join(name);
        // SAFETY: this program's text, which is longer.
        let code = unsafe { std::slice::from_raw_parts(quell_turn as *const u8, LENGTH) };
        fs::write(&path, code).with_context(|| format!("cannot write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        cpu_ns.insert(name.clone(), run(&File::open(&path)?, args.seconds)?);
    }
    fixture::report(&Reloaded { pid: getpid().as_raw(), cpu_ns })
}

fn run(file: &File, seconds: f64) -> Result<u64> {
    let (address, length) = (NonZeroUsize::new(ADDRESS), NonZeroUsize::new(LENGTH).context("a length")?);
    let (protection, flags) = (ProtFlags::PROT_READ | ProtFlags::PROT_EXEC, MapFlags::MAP_PRIVATE);
    // SAFETY: a new mapping, where nothing is.
    let mapped = unsafe { mmap(address, length, protection, flags, file, 0) }.context("cannot map the code")?;
    ensure!(mapped.as_ptr() as usize == ADDRESS, "something is mapped there");
    // SAFETY: the code of a function of this type, which depends on no address.
    let turn: extern "C" fn(u64) -> u64 = unsafe { std::mem::transmute(mapped.as_ptr()) };
    let (begin, time) = (clock::cpu(), Duration::from_secs_f64(seconds).as_nanos() as u64);
    while clock::cpu() - begin < time {
        black_box(turn(black_box(1_000_000)));
    }
    let spent = clock::cpu() - begin;
    // SAFETY: nothing refers to it.
    unsafe { munmap(mapped, LENGTH) }.context("cannot unmap the code")?;
    Ok(spent)
}
