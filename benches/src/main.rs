//! Measures what quell costs, beside its peers, in one run: `cargo xtask bench`.
//!
//! Every figure is to be read beside the others of its run: the machine decides the absolute ones.

#![allow(clippy::print_stdout, reason = "a command-line tool: its results go to stdout")]

mod capture;
mod compare;
mod contender;
mod programs;
mod report;
mod summary;
mod workload;

use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

use compare::Rounds;

#[derive(Parser)]
#[command(name = "cargo xtask bench", about = "Measures what quell costs, beside its peers, in one run")]
struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Off-CPU profiling of a pipe ping-pong: quell and offcputime
    Offcpu(Rounds),
    /// CPU profiling of a computation on every CPU: quell and perf
    Cpu(Rounds),
    /// How long after its end a capture of 10 s is written
    Record,
    /// How long a report of a recording with a million samples takes
    Report {
        /// How many samples
        #[arg(long, default_value_t = 1_000_000)]
        samples: u32,
    },
    /// Runs one of the workloads, and prints its nanoseconds: the benches start it
    #[command(hide = true)]
    Workload {
        #[arg(value_enum)]
        kind: workload::Kind,
        units: u64,
    },
    /// The other end of the ping-pong
    #[command(hide = true)]
    Echo,
}

fn main() -> Result<()> {
    match Args::parse().bench {
        Bench::Offcpu(rounds) => compare::offcpu(&rounds),
        Bench::Cpu(rounds) => compare::cpu(&rounds),
        Bench::Record => capture::run(Duration::from_secs(10)),
        Bench::Report { samples } => report::run(samples),
        Bench::Workload { kind, units } => {
            println!("{}", workload::run(kind, units)?.as_nanos());
            Ok(())
        }
        Bench::Echo => workload::echo(),
    }
}
