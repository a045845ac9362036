//! Burns CPU in three known functions, 70 to 20 to 10, and reports by its own clock how much in each.

#![allow(unsafe_code, reason = "`no_mangle` functions, whose names stand in profiles as they stand here")]

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use nix::unistd::{getpid, gettid};
use quell_tests::clock;
use quell_tests::fixture::{self, Burned, BurnedThread};

#[derive(Parser)]
struct Args {
    /// How many threads burn
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How long, in seconds of wall time
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Begin when a line comes on stdin
    #[arg(long)]
    wait: bool,
}

/// CPU nanoseconds of one slice: many in a second, each long beside the reading of a clock.
const SLICE: u64 = 2_000_000;

type Burn = extern "C" fn(u64) -> u64;

const FUNCTIONS: [(&str, Burn, u64); 3] = [
    ("quell_burn_seventy", quell_burn_seventy, 70),
    ("quell_burn_twenty", quell_burn_twenty, 20),
    ("quell_burn_ten", quell_burn_ten, 10),
];

/// Three functions alike but for a constant, without which the linker might fold them into one. No calls and no
/// iterators, so that a debug build too spends its time in the function itself.
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

fn main() -> Result<()> {
    let args = Args::parse();
    fixture::ready(args.wait)?;
    let end = clock::wall() + Duration::from_secs_f64(args.seconds).as_nanos() as u64;
    let threads: Vec<_> = (0..args.threads)
        .map(|index| thread::Builder::new().name(format!("burn-{index}")).spawn(move || burn_until(end)))
        .collect::<Result<_, _>>()
        .context("cannot start a thread")?;
    let threads = threads.into_iter().map(|thread| thread.join().expect("burning does not panic")).collect();
    fixture::report(&Burned { pid: getpid().as_raw(), threads })
}

fn burn_until(end: u64) -> BurnedThread {
    let mut spent = [0; 3];
    let mut turns = 100_000;
    while clock::wall() < end {
        // The function that is most behind its share.
        let next = (0..3).min_by_key(|&index| spent[index] * 100 / FUNCTIONS[index].2).expect("there are three");
        let before = clock::cpu();
        black_box(FUNCTIONS[next].1(black_box(turns)));
        let slice = clock::cpu() - before;
        spent[next] += slice;
        turns = (turns * SLICE / slice.max(1)).clamp(1_000, 100_000_000);
    }
    let functions = FUNCTIONS.iter().zip(spent).map(|(function, spent)| (function.0.to_owned(), spent)).collect();
    BurnedThread { tid: gettid().as_raw(), functions }
}
