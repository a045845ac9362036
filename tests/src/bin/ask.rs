//! Asks another thread, on another CPU, which answers after some microseconds. Reports how long the answers took, by its own clock.

use std::hint::{black_box, spin_loop};
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::thread;

use anyhow::{Context as _, Result};
use clap::Parser;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::{Pid, getpid};
use quell_tests::fixture::{self, Asked};
use quell_tests::{clock, cpus};

#[derive(Parser)]
struct Args {
    /// How often it asks
    #[arg(long, default_value_t = 20_000)]
    times: usize,
    /// Begin when a line comes on stdin
    #[arg(long)]
    wait: bool,
}

/// For how long the other thread spins before it answers, in nanoseconds.
const ANSWER: u64 = 5_000;

/// How deep its stack is, so that walking it takes as long as an answer.
const FRAMES: usize = 110;

fn main() -> Result<()> {
    let args = Args::parse();
    let &[here, there, ..] = &cpus::allowed()?[..] else { anyhow::bail!("two CPUs are required") };
    let ((questions, mut ask), (mut answers, answer)) = (std::io::pipe()?, std::io::pipe()?);
    fixture::ready(args.wait)?;
    let other =
        thread::Builder::new().name("answers".to_owned()).spawn(move || answer_all(there, questions, answer))?;
    stay_on(here)?;
    let mut waits = Vec::with_capacity(args.times);
    below(FRAMES, &mut || {
        for _ in 0..args.times {
            ask.write_all(&[0])?;
            let before = clock::wall();
            answers.read_exact(&mut [0])?;
            waits.push(clock::wall() - before);
        }
        Ok(())
    })?;
    drop(ask);
    other.join().expect("answering does not panic")?;
    waits.sort_unstable();
    fixture::report(&Asked { pid: getpid().as_raw(), median_ns: waits[waits.len() / 2] })
}

#[inline(never)]
fn below(frames: usize, work: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    let done = if frames == 0 { work() } else { below(frames - 1, work) };
    black_box(done)
}

fn answer_all(cpu: usize, mut questions: PipeReader, mut answer: PipeWriter) -> Result<()> {
    stay_on(cpu)?;
    while questions.read(&mut [0])? > 0 {
        let until = clock::wall() + ANSWER;
        while clock::wall() < until {
            spin_loop();
        }
        answer.write_all(&[0])?;
    }
    Ok(())
}

fn stay_on(cpu: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &only).context("cannot stay on a CPU")
}
