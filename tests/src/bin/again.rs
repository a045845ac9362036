//! Threads that have one id one after the other. Each consumes CPU time and then sleeps, and measures both with its own clocks.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use nix::unistd::{getpid, gettid};
use quell_tests::clock::{self, Spent};
use quell_tests::fixture::{self, Again, Turn};
use quell_tests::turns;

#[derive(Parser)]
struct Args {
    /// Begin when a line comes on stdin
    #[arg(long)]
    wait: bool,
    /// Let a thread with the first name execute this program again, which has its second turn then
    #[arg(long)]
    execute: bool,
    /// The turns before, as JSON
    #[arg(long, default_value = "[]")]
    before: String,
    /// The names of the threads
    names: Vec<String>,
}

/// The CPU time and the sleep of each turn, in milliseconds.
const TURNS: [(u64, u64); 2] = [(300, 200), (100, 400)];

fn main() -> Result<()> {
    let args = Args::parse();
    let mut turns: Vec<Turn> = serde_json::from_str(&args.before).context("the turns before")?;
    if !turns.is_empty() {
        turns.push(turn(&args.names[0], TURNS[1]));
    } else {
        fixture::ready(args.wait)?;
        if args.execute {
            let name = args.names[0].clone();
            let executing = start(&name.clone(), move || execute(&name))?;
            return executing.join().expect("it does not panic");
        }
        for (name, times) in args.names.iter().zip(TURNS) {
            let before = turns.first().map(|turn: &Turn| turn.tid);
            turns.push(turns::until("a thread has the id", || take_turn(name, times, before))?);
        }
    }
    fixture::report(&Again { pid: getpid().as_raw(), turns })
}

/// Starts a thread that takes a turn; `None` if it must have an id that another one got.
fn take_turn(name: &str, times: (u64, u64), must_be: Option<i32>) -> Result<Option<Turn>> {
    if let Some(tid) = must_be {
        // Ids are given out in order. In between, another process may get this one, or the thread before may still have it.
        std::fs::write("/proc/sys/kernel/ns_last_pid", (tid - 1).to_string()).context("ns_last_pid")?;
    }
    let own = name.to_owned();
    let take = move || must_be.is_none_or(|tid| tid == gettid().as_raw()).then(|| turn(&own, times));
    Ok(start(name, take)?.join().expect("a turn does not panic"))
}

fn start<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> Result<thread::JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(run).context("cannot start a thread")
}

fn turn(name: &str, (cpu, sleep): (u64, u64)) -> Turn {
    let spent = Spent::doing(|| {
        let begin = clock::cpu();
        while clock::cpu() - begin < cpu * 1_000_000 {}
        thread::sleep(Duration::from_millis(sleep));
    });
    Turn { name: name.to_owned(), tid: gettid().as_raw(), cpu_ns: spent.cpu, off_cpu_ns: spent.off_cpu() }
}

/// Takes the first turn, and executes this program for the second. Returns only if that fails.
fn execute(name: &str) -> Result<()> {
    let before = serde_json::to_string(&[turn(name, TURNS[0])])?;
    let error = Command::new("/proc/self/exe").args(["--before", &before, name]).exec();
    bail!("cannot execute this program: {error}")
}
