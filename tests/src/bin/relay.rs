//! Consumes CPU time for a short time, and then executes the next of several programs, which are copies of this one: a process
//! that is one program after the other. Reports the CPU time in each.
//!
//! Address space layout randomization is switched off, so that the same address is the same function in another file in every
//! program: an address that is looked up in the wrong program has the name of that one, not none.

#![allow(unsafe_code, reason = "a function whose name stands in profiles, and where programs are mapped")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use nix::unistd::getpid;
use quell_tests::clock;
use quell_tests::fixture::{self, Reloaded};

#[derive(Parser)]
struct Args {
    /// Begin when a line comes on stdin
    #[arg(long)]
    wait: bool,
    /// How many programs are executed from here on
    #[arg(long)]
    left: usize,
    /// How long each of them runs, in milliseconds of wall time
    #[arg(long, default_value_t = 50)]
    millis: u64,
    /// The CPU time of the programs before, as JSON
    #[arg(long, default_value = "{}")]
    spent: String,
    /// The programs, which take turns
    programs: Vec<PathBuf>,
}

// SAFETY: no other symbol of this name is linked.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn quell_relay(turns: u64) -> u64 {
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
    let mut spent: BTreeMap<String, u64> = serde_json::from_str(&args.spent).context("the time before")?;
    if args.wait {
        // SAFETY: changes how the programs that this executes are mapped.
        ensure!(unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) } != -1, "personality(2)");
        fixture::ready(true)?;
    } else {
        let own = std::env::current_exe()?.file_name().context("a name")?.to_string_lossy().into_owned();
        *spent.entry(own).or_default() += burn(Duration::from_millis(args.millis));
    }
    let Some(left) = args.left.checked_sub(1) else {
        return fixture::report(&Reloaded { pid: getpid().as_raw(), cpu_ns: spent });
    };
    let next = &args.programs[left % args.programs.len()];
    let mut command = Command::new(next);
    command.args(["--left", &left.to_string(), "--millis", &args.millis.to_string()]);
    command.args(["--spent", &serde_json::to_string(&spent)?]).args(&args.programs);
    Err(command.exec()).with_context(|| format!("cannot execute {}", next.display()))
}

/// Runs for a time, and returns the CPU time in nanoseconds.
fn burn(time: Duration) -> u64 {
    let (begin, end) = (clock::cpu(), clock::wall() + time.as_nanos() as u64);
    while clock::wall() < end {
        black_box(quell_relay(black_box(100_000)));
    }
    clock::cpu() - begin
}
