//! Four threads that share a CPU: two compute, and two wake each other. The report contains the kernel's counts of their
//! waits.

use std::fs;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use quell_tests::fixture::{self, Queued};

#[derive(Parser)]
struct Args {
    /// How often the two wake each other
    #[arg(long, default_value_t = 500)]
    wakes: u32,
    /// How long the other two compute
    #[arg(long, default_value_t = 1000)]
    millis: u64,
    /// Begin when a line comes on stdin
    #[arg(long)]
    wait: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    fixture::ready(args.wait)?;
    let before = waited()?;
    let (to_left, left) = channel();
    let (to_right, right) = channel();
    to_left.send(())?;
    let threads = [
        thread::spawn(move || compute(args.millis)),
        thread::spawn(move || compute(args.millis)),
        thread::spawn(move || pass_on(&left, &to_right, args.wakes)),
        thread::spawn(move || pass_on(&right, &to_left, args.wakes)),
    ];
    let mut all = Queued { pid: std::process::id().cast_signed(), ..Queued::default() };
    for thread in threads {
        all.add(&thread.join().map_err(|_| anyhow!("a thread panicked"))??);
    }
    // This thread also waits while it starts the others, because they share its CPU.
    all.add(&waited()?.since(&before));
    fixture::report(&all)
}

fn compute(millis: u64) -> Result<Queued> {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(millis) {
        std::hint::spin_loop();
    }
    waited()
}

fn pass_on(from: &Receiver<()>, to: &Sender<()>, times: u32) -> Result<Queued> {
    for _ in 0..times {
        // The other thread may have exited.
        if from.recv().is_err() || to.send(()).is_err() {
            break;
        }
    }
    waited()
}

/// The kernel's counts for the current thread since its start.
fn waited() -> Result<Queued> {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let numbers = schedstat.split_whitespace().map(str::parse::<u64>).collect::<Result<Vec<_>, _>>()?;
    let [_, run_delay_ns, waits] = numbers[..] else { return Err(anyhow!("not three numbers: {schedstat}")) };
    let status = fs::read_to_string("/proc/thread-self/status")?;
    let preempted = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    let preempted = preempted.context("no count of switches")?.trim().parse()?;
    Ok(Queued { pid: 0, waits, preempted, run_delay_ns })
}
