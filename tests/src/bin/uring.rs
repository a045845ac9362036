//! Waits in io_uring_enter(2), for timeouts in one thread and for a pipe in another, and reports for how long, measured by its own
//! clocks.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use nix::unistd::{getpid, gettid};
use quell_tests::clock::{self, Spent};
use quell_tests::fixture::{self, Blocked, BlockedThread};
use quell_tests::uring::Uring;

#[derive(Parser)]
struct Args {
    /// How often each thread waits
    #[arg(long, default_value_t = 20)]
    waits: u32,
    /// Begin when a line comes on stdin
    #[arg(long)]
    wait: bool,
}

/// The length of a timeout, and the interval at which the pipe is written.
const WAIT: Duration = Duration::from_millis(20);

fn main() -> Result<()> {
    let args = Args::parse();
    let (reader, mut writer) = std::io::pipe().context("cannot make a pipe")?;
    fixture::ready(args.wait)?;
    let timeouts = start("timeouts", args.waits, |ring| ring.wait(WAIT))?;
    let pipe = start("pipe", args.waits, move |ring| ring.read(reader.as_raw_fd()))?;
    while !pipe.is_finished() {
        thread::sleep(WAIT);
        // It fails when the thread has closed its end.
        let _ = writer.write_all(&[0]);
    }
    let joined = [timeouts, pipe].map(|thread| thread.join().expect("waiting does not panic"));
    let threads = joined.into_iter().collect::<Result<Vec<_>>>()?;
    fixture::report(&Blocked { pid: getpid().as_raw(), paths: Vec::new(), threads, partners: BTreeMap::new() })
}

fn start(
    name: &str,
    waits: u32,
    wait: impl Fn(&mut Uring) -> Result<()> + Send + 'static,
) -> Result<JoinHandle<Result<BlockedThread>>> {
    let run = move || {
        let mut ring = Uring::new()?;
        let mut waited = Ok(());
        let spent = Spent::doing(|| waited = (0..waits).try_for_each(|_| wait(&mut ring)));
        waited?;
        let (cpu_ns, off_cpu_ns) = (spent.cpu, spent.off_cpu());
        Ok(BlockedThread { tid: gettid().as_raw(), sleeps: clock::times_slept(), cpu_ns, off_cpu_ns })
    };
    thread::Builder::new().name(name.to_owned()).spawn(run).context("cannot start a thread")
}
