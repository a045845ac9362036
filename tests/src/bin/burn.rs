//! Consumes CPU time in three known functions, in the ratio 70:20:10, and optionally in the kernel below a fourth function.
//! Reports the CPU time in each function, measured by its own clock.

#![allow(unsafe_code, reason = "system calls without libc, from functions whose names stand in profiles")]

use std::fs::File;
use std::hint::black_box;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use nix::unistd::{getpid, gettid};
use quell_tests::clock::{self, Spent};
use quell_tests::fixture::{self, Burned, BurnedThread};
use quell_tests::syscall;

#[derive(Parser)]
struct Args {
    /// How many threads burn
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Spend a third of the time in the kernel
    #[arg(long)]
    in_kernel: bool,
    /// How long, in seconds of wall time
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Begin when a line comes on stdin
    #[arg(long)]
    wait: bool,
    /// Let the first thread exit before the others burn
    #[arg(long)]
    without_first_thread: bool,
}

/// The CPU time of a slice, in nanoseconds: there are many in a second, and each is long compared with reading a clock.
const SLICE: u64 = 2_000_000;

/// A way to consume CPU time: the name of its function, the function, and its share relative to the others.
struct Burn {
    function: &'static str,
    burn: extern "C" fn(u64) -> u64,
    share: u64,
    /// The number of turns in the first slice, which must not be much too long.
    turns: u64,
}

const FUNCTIONS: [Burn; 4] = [
    Burn { function: "quell_burn_seventy", burn: quell_burn_seventy, share: 70, turns: 100_000 },
    Burn { function: "quell_burn_twenty", burn: quell_burn_twenty, share: 20, turns: 100_000 },
    Burn { function: "quell_burn_ten", burn: quell_burn_ten, share: 10, turns: 100_000 },
    Burn { function: "quell_burn_in_kernel", burn: quell_burn_in_kernel, share: 50, turns: 1 },
];
/// The number of these functions that stay in user space.
const IN_USER_SPACE: usize = 3;

/// Defines functions that differ only in a constant, without which the linker might merge them. They contain no calls and no
/// iterators, so that debug builds also spend their time in the function itself.
macro_rules! burn {
    ($($name:ident $seed:literal)*) => {$(
        // SAFETY: no other symbol of this name is linked.
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $name(turns: u64) -> u64 {
            let mut state: u64 = $seed;
            let mut turn = 0;
            while turn < turns {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                turn += 1;
            }
            state
        }
    )*};
}

burn! {
    quell_burn_seventy 0x9e37_79b9_7f4a_7c15
    quell_burn_twenty 0xbf58_476d_1ce4_e5b9
    quell_burn_ten 0x94d0_49bb_1331_11eb
}

/// The file that [`quell_burn_in_kernel`] reads.
static ZEROS: OnceLock<File> = OnceLock::new();

/// The buffer for these reads. It is not on the stack: the function itself would wait for each page once, which on a slow
/// machine takes as long as all its reads.
static READ: [AtomicU8; 1 << 20] = [const { AtomicU8::new(0) }; 1 << 20];

/// The minimum page size, in bytes.
const PAGE: usize = 4096;

// SAFETY: no other symbol of this name is linked.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn quell_burn_in_kernel(turns: u64) -> u64 {
    let zeros = ZEROS.get().map_or(-1, AsRawFd::as_raw_fd);
    let mut read = 0;
    for _ in 0..turns {
        // SAFETY: the kernel writes at most the size of `READ` there, which are atomics.
        read += unsafe { syscall!(libc::SYS_read, zeros as usize, READ.as_ptr(), READ.len(), 0usize) };
    }
    read.cast_unsigned() as u64
}

fn main() -> Result<()> {
    let args = Args::parse();
    if !args.without_first_thread {
        return run(&args);
    }
    thread::spawn(move || {
        let code = usize::from(run(&args).is_err());
        // SAFETY: a system call without pointers, which does not return.
        unsafe { syscall!(libc::SYS_exit_group, code, 0usize, 0usize, 0usize) }
    });
    // SAFETY: as above. It ends this thread and not the process.
    unsafe { syscall!(libc::SYS_exit, 0usize, 0usize, 0usize, 0usize) };
    Ok(())
}

fn run(args: &Args) -> Result<()> {
    let functions = if args.in_kernel { &FUNCTIONS[..] } else { &FUNCTIONS[..IN_USER_SPACE] };
    ZEROS.get_or_init(|| File::open("/dev/zero").expect("it is always there"));
    READ.iter().step_by(PAGE).for_each(|byte| byte.store(1, Relaxed));
    fixture::ready(args.wait)?;
    let end = clock::wall() + Duration::from_secs_f64(args.seconds).as_nanos() as u64;
    let threads: Vec<_> = (0..args.threads)
        .map(|index| thread::Builder::new().name(format!("burn-{index}")).spawn(move || burn_until(end, functions)))
        .collect::<Result<_, _>>()
        .context("cannot start a thread")?;
    let threads = threads.into_iter().map(|thread| thread.join().expect("burning does not panic")).collect();
    fixture::report(&Burned { pid: getpid().as_raw(), threads })
}

fn burn_until(end: u64, functions: &'static [Burn]) -> BurnedThread {
    let mut slices: Vec<Slices> = functions.iter().map(|_| Slices::default()).collect();
    let all = Spent::doing(|| take_turns(end, functions, &mut slices));
    let by_function = |of: fn(&Slices) -> u64| {
        functions.iter().zip(&slices).map(|(burn, slices)| (burn.function.to_owned(), of(slices))).collect()
    };
    BurnedThread {
        tid: gettid().as_raw(),
        functions: by_function(|slices| slices.spent),
        undisturbed: by_function(Slices::undisturbed),
        cpu_ns: all.cpu,
        wall_ns: all.wall,
        run_delay_ns: clock::run_delay(),
    }
}

fn take_turns(end: u64, functions: &[Burn], slices: &mut [Slices]) {
    let mut turns: Vec<u64> = functions.iter().map(|burn| burn.turns).collect();
    while clock::wall() < end {
        // The function that is furthest behind its share.
        let behind = |&index: &usize| slices[index].spent * 100 / functions[index].share;
        let next = (0..functions.len()).min_by_key(behind).expect("there are some");
        let before = clock::cpu();
        black_box((functions[next].burn)(black_box(turns[next])));
        let slice = clock::cpu() - before;
        slices[next].add(turns[next], slice);
        let first = functions[next].turns;
        turns[next] = (turns[next] * SLICE / slice.max(1)).clamp(first.div_ceil(100), first * 1_000);
    }
}

/// The slices of one function.
#[derive(Default)]
struct Slices {
    spent: u64,
    turns: u64,
    /// The nanoseconds per turn, of each slice.
    paces: Vec<f64>,
}

impl Slices {
    fn add(&mut self, turns: u64, slice: u64) {
        self.spent += slice;
        self.turns += turns;
        self.paces.push(slice as f64 / turns as f64);
    }

    /// The CPU time of all slices at the pace of the fastest quarter, in nanoseconds.
    fn undisturbed(&self) -> u64 {
        let mut paces = self.paces.clone();
        paces.sort_by(f64::total_cmp);
        let pace = paces.get(paces.len() / 4).copied().unwrap_or_default();
        self.spent.min((pace * self.turns as f64) as u64)
    }
}
