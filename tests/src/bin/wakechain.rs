//! Three threads in a chain: `chain-a` is woken by `chain-b`, which is woken by `chain-c`, which is woken by a timer.

#![allow(unsafe_code, reason = "system calls without libc, from functions whose names stand in profiles")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use clap::Parser;
use nix::unistd::{getpid, gettid};
use quell_tests::clock::Spent;
use quell_tests::fixture::{self, Chained, ChainedThread};
use quell_tests::syscall;

#[derive(Parser)]
struct Args {
    /// How often the chain runs
    #[arg(long, default_value_t = 1000)]
    rounds: u32,
    /// Begin when a line comes on stdin
    #[arg(long)]
    wait: bool,
}

/// The futex words of the waiters, which count the rounds, and the TIDs of the waiters.
#[derive(Default)]
struct Chain {
    a: AtomicU32,
    b: AtomicU32,
    waiters: [AtomicI32; 2],
    done: AtomicBool,
}

impl Chain {
    /// Whether both waiters sleep. An earlier wakeup would have no effect.
    fn is_asleep(&self) -> bool {
        self.waiters.iter().all(|tid| {
            let stat = fs::read_to_string(format!("/proc/self/task/{}/stat", tid.load(SeqCst))).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
        })
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let chain = Arc::new(Chain::default());
    fixture::ready(args.wait)?;

    let a = start("chain-a", "quell_chain_a", &chain, |chain, off_cpu| {
        chain.waiters[0].store(gettid().as_raw(), SeqCst);
        let seen = chain.a.load(SeqCst);
        if !chain.done.load(SeqCst) {
            *off_cpu += Spent::doing(|| quell_chain_a(&chain.a, seen)).off_cpu();
        }
        !chain.done.load(SeqCst)
    })?;
    let b = start("chain-b", "quell_chain_b", &chain, |chain, off_cpu| {
        chain.waiters[1].store(gettid().as_raw(), SeqCst);
        let seen = chain.b.load(SeqCst);
        if !chain.done.load(SeqCst) {
            *off_cpu += Spent::doing(|| quell_chain_b(&chain.b, seen)).off_cpu();
        }
        let woken = chain.b.load(SeqCst) != seen;
        if woken {
            chain.a.fetch_add(1, SeqCst);
            quell_chain_b_wakes_a(&chain.a);
        }
        !chain.done.load(SeqCst)
    })?;
    let c = start("chain-c", "quell_chain_c", &chain, move |chain, off_cpu| {
        *off_cpu += Spent::doing(|| quell_chain_c()).off_cpu();
        if !chain.is_asleep() {
            return true;
        }
        let last = chain.b.load(SeqCst) + 1 >= args.rounds;
        chain.done.store(last, SeqCst);
        chain.b.fetch_add(1, SeqCst);
        quell_chain_c_wakes_b(&chain.b);
        !last
    })?;
    // The thread that wakes the others first: each thread lets the next one exit.
    let c = c.join().expect("the chain does not panic");
    let b = b.join().expect("the chain does not panic");
    chain.a.fetch_add(1, SeqCst);
    quell_chain_b_wakes_a(&chain.a);
    let a = a.join().expect("the chain does not panic");
    let rounds = u64::from(chain.b.load(SeqCst));
    fixture::report(&Chained { pid: getpid().as_raw(), rounds, links: vec![a, b, c] })
}

/// Starts a thread that calls `turn` until it returns false.
fn start(
    comm: &'static str,
    function: &'static str,
    chain: &Arc<Chain>,
    turn: impl Fn(&Chain, &mut u64) -> bool + Send + 'static,
) -> Result<JoinHandle<ChainedThread>> {
    let chain = Arc::clone(chain);
    let run = move || {
        let mut off_cpu_ns = 0;
        while turn(&chain, &mut off_cpu_ns) {}
        ChainedThread { comm: comm.to_owned(), tid: gettid().as_raw(), function: function.to_owned(), off_cpu_ns }
    };
    thread::Builder::new().name(comm.to_owned()).spawn(run).context("cannot start a thread")
}

// SAFETY: no other symbol of this name is linked.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn quell_chain_c() {
    let time = libc::timespec { tv_sec: 0, tv_nsec: 5_000_000 };
    // SAFETY: the kernel reads one timespec, which outlives the call, and writes nothing.
    unsafe { syscall!(libc::SYS_nanosleep, &raw const time, 0usize, 0usize, 0usize) };
}

macro_rules! waits {
    ($($name:ident)*) => {$(
        // SAFETY: no other symbol of this name is linked.
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $name(word: &AtomicU32, seen: u32) {
            let wait = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
            // SAFETY: the kernel reads one aligned word, and no timeout is given.
            unsafe { syscall!(libc::SYS_futex, word.as_ptr(), wait as usize, seen as usize, 0usize) };
        }
    )*};
}

macro_rules! wakes {
    ($($name:ident)*) => {$(
        // SAFETY: no other symbol of this name is linked.
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $name(word: &AtomicU32) {
            let wake = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
            // SAFETY: the kernel uses the address of the word only as a key.
            unsafe { syscall!(libc::SYS_futex, word.as_ptr(), wake as usize, 1usize, 0usize) };
        }
    )*};
}

waits! { quell_chain_a quell_chain_b }
wakes! { quell_chain_b_wakes_a quell_chain_c_wakes_b }
