//! How long a report of a large recording takes.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use quell::recording::example::{BLOCKED, CPU};
use quell::recording::{
    Frame, FrameId, Location, MetricId, Recording, Sample, SampleIdx, StackId, Symbol, ThreadIdx, Wake,
};
use quell::units::{Addr, CpuId, Nanos, Pid, Tid};
use quell_tests::small;

use crate::compare::quell;
use crate::summary::Summary;

const ROUNDS: usize = 3;
const FUNCTIONS: u32 = 3_000;
const STACKS: u64 = 20_000;
const THREADS: u32 = 200;
const POOLS: u64 = 40;

/// Draws a made-up recording of so many samples.
pub(crate) fn run(samples: u32) -> Result<()> {
    let quell = quell()?;
    let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
    let recorded = made_up(samples);
    let (recording, html) = (directory.path().join("x.quell"), directory.path().join("x.html"));
    let begin = Instant::now();
    quell::recording::write(&recorded, &recording)?;
    println!("{samples} samples, {} stack nodes", recorded.stacks.rows().len());
    println!("written to disk: {:.2} s", begin.elapsed().as_secs_f64());
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let status = Command::new(&quell)
            .arg("report")
            .arg(&recording)
            .arg("-o")
            .arg(&html)
            .status()
            .with_context(|| format!("cannot start {}", quell.display()))?;
        took.push(begin.elapsed().as_secs_f64());
        if !status.success() {
            bail!("quell report failed: {status}");
        }
    }
    let bytes = fs::metadata(&html).context("quell report has written no HTML")?.len();
    println!("quell report to HTML: {} s", Summary::of(took).context("there was a round")?);
    println!("size of the HTML: {:.1} MB", bytes as f64 / 1e6);
    Ok(())
}

/// A recording of half computing and half sleeping, over stacks of 8 to 40 frames that share their outer halves. Its threads
/// are those of [`POOLS`] pools: the threads of a pool have one name, stacks of their own of which a few make up most of
/// the samples, and are woken by those of the next pool, as in a host full of services. Everything but its samples'
/// tables is that of the small recording which the tests use.
fn made_up(samples: u32) -> Recording {
    let mut recording = small::recording();
    recording.samples.clear();
    recording.counters.clear();
    recording.histograms.clear();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let functions: Vec<FrameId> = (0..FUNCTIONS)
        .map(|number| {
            let location = Location::Kernel(Addr(0xffff_ffff_9000_0000 + u64::from(number) * 64));
            let symbol = Symbol { name: format!("subsystem_{}::function_{number}", number % 40), offset: 8 };
            recording.frames.push(Frame { symbol: Some(symbol), ..Frame::new(location) })
        })
        .collect();
    let stacks: Vec<StackId> = (0..STACKS)
        .filter_map(|number| {
            // One of 200 common outer parts, then a way of its own.
            let mut outer = Random(number % 200 + 1);
            let common = (0..4 + number % 16).map(|_| outer.below(u64::from(FUNCTIONS))).collect::<Vec<_>>();
            let own = (0..4 + random.below(20)).map(|_| random.below(u64::from(FUNCTIONS))).collect::<Vec<_>>();
            recording.stacks.intern_all(common.into_iter().chain(own).map(|index| functions[index as usize]))
        })
        .collect();
    let threads: Vec<ThreadIdx> = (0..THREADS)
        .map(|number| {
            let mut comm = [0; 16];
            let name = format!("worker-{}", u64::from(number) % POOLS);
            comm[..name.len()].copy_from_slice(name.as_bytes());
            recording.threads.intern(&mut recording.processes, Pid(1_000 + number / 20), Tid(1_000 + number), comm)
        })
        .collect();
    let metric = |name| recording.meta.metric_named(name).unwrap_or(MetricId(0));
    let (cpu, blocked) = (metric(CPU), metric(BLOCKED));
    let step = recording.meta.duration.0 / u64::from(samples).max(1);
    for row in 0..samples {
        let number = random.below(u64::from(THREADS));
        let pool = number % POOLS;
        let thread = threads[number as usize];
        let sleeps = row % 2 == 1;
        let (time, value) = (Nanos(u64::from(row) * step), 10_000 + random.below(1_000_000));
        let mut sample = Sample::new(if sleeps { blocked } else { cpu }, thread, time, value);
        sample.cpu = CpuId(row % 4);
        sample.stack = Some(stacks[of_pool(pool, &mut random)]);
        if sleeps {
            (sample.probability, sample.runqueue) = (0.5, Some(Nanos(1_000)));
            sample.wake = Some(Wake {
                waker: threads[((pool + 1) % POOLS) as usize],
                stack: Some(stacks[of_pool((pool + 1) % POOLS, &mut random)]),
                waker_sleep: row.checked_sub(2).map(SampleIdx::new),
            });
        }
        recording.samples.push(sample);
    }
    recording
}

/// One of a pool's stacks: the first ones often, the last ones seldom.
fn of_pool(pool: u64, random: &mut Random) -> usize {
    let each = STACKS / POOLS;
    let rank = random.below(each) * random.below(each) / each;
    (pool * each + rank) as usize
}

/// Xorshift: the same recording each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
