//! Four threads that sleep, spin, exit and rename themselves, and report each sleep by the clock of the capture.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use nix::sys::prctl::set_name;
use nix::unistd::{getpid, gettid};
use quell_tests::clock;
use quell_tests::fixture::{self, Phased, Sleep};

#[derive(Parser)]
struct Args {
    /// Begin when a line comes on stdin
    #[arg(long)]
    wait: bool,
}

/// What a thread does next.
enum Phase {
    SleepFor(u64),
    SpinFor(u64),
    Rename(&'static std::ffi::CStr),
}

use Phase::{Rename, SleepFor, SpinFor};

fn main() -> Result<()> {
    let args = Args::parse();
    fixture::ready(args.wait)?;
    let threads = [
        start("throughout", vec![SleepFor(4_000)])?,
        start("in-turns", vec![SleepFor(1_700), SpinFor(600), SleepFor(1_500)])?,
        start("halfway", vec![SleepFor(300), SpinFor(50), SleepFor(1_400)])?,
        start("name-before", vec![SleepFor(1_250), Rename(c"name-after"), SpinFor(50), SleepFor(1_250)])?,
    ];
    let mut sleeps = Vec::new();
    for thread in threads {
        sleeps.extend(thread.join().expect("sleeping does not panic")?);
    }
    fixture::report(&Phased { pid: getpid().as_raw(), sleeps })
}

fn start(name: &str, phases: Vec<Phase>) -> Result<JoinHandle<Result<Vec<Sleep>>>> {
    let thread = thread::Builder::new().name(name.to_owned());
    let mut name = name.to_owned();
    let run = move || {
        let tid = gettid().as_raw();
        let mut sleeps = Vec::new();
        for phase in phases {
            let begin_ns = clock::wall();
            match phase {
                SleepFor(millis) => {
                    thread::sleep(Duration::from_millis(millis));
                    sleeps.push(Sleep { tid, name: name.clone(), begin_ns, end_ns: clock::wall() });
                }
                SpinFor(millis) => while clock::wall() < begin_ns + millis * 1_000_000 {},
                Rename(to) => {
                    set_name(to)?;
                    name = to.to_str()?.to_owned();
                }
            }
        }
        Ok(sleeps)
    };
    thread.spawn(run).context("cannot start a thread")
}
