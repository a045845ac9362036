//! Blocks in five known functions, and reports how often and how long, measured by its own clocks.

#![allow(unsafe_code, reason = "system calls without libc, from functions whose names stand in profiles")]

use std::collections::BTreeMap;
use std::io::{PipeReader, PipeWriter, Write as _};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use nix::unistd::{getpid, gettid};
use quell_tests::clock::{self, Spent};
use quell_tests::fixture::{self, Blocked, BlockedPath, BlockedThread};
use quell_tests::syscall;

#[derive(Parser)]
struct Args {
    /// How long, in seconds of wall time
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Take only this path, by the name of its function; may be repeated
    #[arg(long = "path", value_name = "FUNCTION")]
    paths: Vec<String>,
    /// Take all paths in turn in one thread, rather than each in its own
    #[arg(long)]
    every_path_in_one_thread: bool,
    /// Begin when a line comes on stdin
    #[arg(long)]
    wait: bool,
}

/// The intervals at which the partner of the pipe writes, and the partner of the futex wakes.
const WRITE_EVERY: Duration = Duration::from_millis(1);
const WAKE_EVERY: Duration = Duration::from_millis(2);

/// The objects that the blocked threads wait for.
struct Partners {
    reader: PipeReader,
    word: AtomicU32,
    done: AtomicBool,
}

/// A way of blocking: the name of its function, the number of calls per round, and the function. Each takes about 100 ms of a
/// round.
struct Path {
    function: &'static str,
    per_round: u32,
    block: fn(&Partners),
}

const PATHS: [Path; 5] = [
    Path { function: "quell_sleep_100ms", per_round: 1, block: |_| quell_sleep_100ms() },
    Path { function: "quell_sleep_10ms", per_round: 10, block: |_| quell_sleep_10ms() },
    Path { function: "quell_sleep_100us", per_round: 600, block: |_| quell_sleep_100us() },
    Path { function: "quell_wait_pipe", per_round: 100, block: |on| quell_wait_pipe(on.reader.as_raw_fd()) },
    Path { function: "quell_wait_futex", per_round: 50, block: |on| quell_wait_futex(&on.word, on.word.load(SeqCst)) },
];

fn main() -> Result<()> {
    let args = Args::parse();
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let on = Arc::new(Partners { reader, word: AtomicU32::new(0), done: AtomicBool::new(false) });
    let paths = chosen(&args.paths)?;
    fixture::ready(args.wait)?;
    let end = clock::wall() + Duration::from_secs_f64(args.seconds).as_nanos() as u64;

    // Only the required ones: each wakes up hundreds of times per second.
    let waits = |function: &str| paths.iter().any(|path| path.function == function);
    let mut partners = Vec::new();
    if waits("quell_wait_pipe") {
        let on = Arc::clone(&on);
        partners.push(("pipe-writer", start("pipe-writer", move || write_until_done(&on, writer))?));
    }
    if waits("quell_wait_futex") {
        let on = Arc::clone(&on);
        partners.push(("futex-waker", start("futex-waker", move || wake_until_done(&on))?));
    }
    let groups: Vec<(&str, Vec<&'static Path>)> = if args.every_path_in_one_thread {
        vec![("every-path", paths)]
    } else {
        paths.into_iter().map(|path| (path.function.trim_start_matches("quell_"), vec![path])).collect()
    };
    let threads: Vec<_> = groups
        .into_iter()
        .map(|(name, paths)| {
            let on = Arc::clone(&on);
            start(name, move || block_until(end, &paths, &on))
        })
        .collect::<Result<_>>()?;
    let joined = threads.into_iter().map(|thread| thread.join().expect("blocking does not panic"));
    let (paths, threads): (Vec<_>, Vec<_>) = joined.unzip();
    on.done.store(true, SeqCst);
    let mut tids = BTreeMap::new();
    for (name, partner) in partners {
        tids.insert(name.to_owned(), partner.join().expect("a partner does not panic")?);
    }
    fixture::report(&Blocked { pid: getpid().as_raw(), paths: paths.concat(), threads, partners: tids })
}

/// The paths with these names; all paths if there are no names.
fn chosen(names: &[String]) -> Result<Vec<&'static Path>> {
    if names.is_empty() {
        return Ok(PATHS.iter().collect());
    }
    let of = |name: &String| PATHS.iter().find(|path| path.function == name).with_context(|| format!("no path {name}"));
    names.iter().map(of).collect()
}

fn start<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(run).context("cannot start a thread")
}

/// The minimum number of rounds, for machines so slow that the time is over before anything was measured.
const FEWEST_ROUNDS: u32 = 2;

fn block_until(end: u64, paths: &[&Path], on: &Partners) -> (Vec<BlockedPath>, BlockedThread) {
    let tid = gettid().as_raw();
    let mut reports = Vec::new();
    let spent = Spent::doing(|| reports = take_until(end, paths, on));
    let thread = BlockedThread { tid, sleeps: clock::times_slept(), cpu_ns: spent.cpu, off_cpu_ns: spent.off_cpu() };
    (reports, thread)
}

fn take_until(end: u64, paths: &[&Path], on: &Partners) -> Vec<BlockedPath> {
    let tid = gettid().as_raw();
    let report = |path: &&Path| {
        let function = path.function.to_owned();
        BlockedPath { function, tid, count: 0, sleeps: 0, wall_ns: 0, off_cpu_ns: 0 }
    };
    let mut reports: Vec<_> = paths.iter().map(report).collect();
    for round in 0.. {
        for (path, report) in paths.iter().zip(&mut reports) {
            for _ in 0..path.per_round {
                if round >= FEWEST_ROUNDS && clock::wall() >= end {
                    return reports;
                }
                let slept = clock::times_slept();
                let spent = Spent::doing(|| (path.block)(on));
                report.sleeps += clock::times_slept() - slept;
                report.count += 1;
                report.wall_ns += spent.wall;
                report.off_cpu_ns += spent.off_cpu();
            }
        }
    }
    reports
}

fn write_until_done(on: &Partners, mut pipe: PipeWriter) -> Result<i32> {
    while !on.done.load(SeqCst) {
        thread::sleep(WRITE_EVERY);
        pipe.write_all(&[0])?;
    }
    Ok(gettid().as_raw())
}

fn wake_until_done(on: &Partners) -> Result<i32> {
    while !on.done.load(SeqCst) {
        thread::sleep(WAKE_EVERY);
        on.word.fetch_add(1, SeqCst);
        quell_wake_futex(&on.word);
    }
    Ok(gettid().as_raw())
}

macro_rules! sleeps {
    ($($name:ident $nanos:literal)*) => {$(
        // SAFETY: no other symbol of this name is linked.
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $name() {
            let time = libc::timespec { tv_sec: 0, tv_nsec: $nanos };
            // SAFETY: the kernel reads one timespec, which outlives the call, and writes nothing.
            unsafe { syscall!(libc::SYS_nanosleep, &raw const time, 0usize, 0usize, 0usize) };
        }
    )*};
}

sleeps! {
    quell_sleep_100ms 100_000_000
    quell_sleep_10ms 10_000_000
    quell_sleep_100us 100_000
}

// SAFETY: no other symbol of this name is linked.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn quell_wait_pipe(pipe: i32) {
    let mut bytes = [0u8; 4096];
    // SAFETY: the kernel writes at most the length of `bytes` there.
    unsafe { syscall!(libc::SYS_read, pipe as usize, bytes.as_mut_ptr(), bytes.len(), 0usize) };
}

// SAFETY: no other symbol of this name is linked.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn quell_wait_futex(word: &AtomicU32, seen: u32) {
    let wait = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the kernel reads one aligned word, and no timeout is given.
    unsafe { syscall!(libc::SYS_futex, word.as_ptr(), wait as usize, seen as usize, 0usize) };
}

// SAFETY: no other symbol of this name is linked.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn quell_wake_futex(word: &AtomicU32) {
    let wake = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the kernel uses the address of the word only as a key.
    unsafe { syscall!(libc::SYS_futex, word.as_ptr(), wake as usize, 1usize, 0usize) };
}
