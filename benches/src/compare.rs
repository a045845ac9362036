//! Profilers on the same workload, in rounds: nothing, the first, nothing, the second, and again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use aya::sys::{Stats, enable_stats};

use crate::contender::{Contender, Started};
use crate::programs::{self, Runs};
use crate::summary::{Summary, table};
use crate::workload::{self, Kind};

#[derive(clap::Args)]
pub(crate) struct Rounds {
    /// How many rounds
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// About how long the workload runs each time, in seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

/// Off-CPU profilers, on the workload that does nothing but switch.
pub(crate) fn offcpu(rounds: &Rounds) -> Result<()> {
    let quell = quell()?;
    let contenders = [
        Contender::find("quell", &quell, &["record", "-a", "--probe", "offcpu", "-d", "600s", "-o", "x.quell"]),
        Contender::find(
            "quell --every-event",
            &quell,
            &["record", "-a", "--probe", "offcpu", "--every-event", "-d", "600s", "-o", "x.quell"],
        ),
        Contender::find("offcputime", Path::new("offcputime"), &["600"]),
    ];
    compare(Kind::PingPong, rounds, contenders.into_iter().flatten().collect())
}

/// CPU profilers, on a workload that leaves them no idle CPU.
pub(crate) fn cpu(rounds: &Rounds) -> Result<()> {
    let quell = quell()?;
    let contenders = [
        Contender::find(
            "quell",
            &quell,
            &["record", "-a", "--probe", "cpu", "-F", "99", "-d", "600s", "-o", "x.quell"],
        ),
        Contender::find("perf", Path::new("perf"), &["record", "-a", "-g", "-F", "99", "-o", "perf.data"]),
    ];
    compare(Kind::Compute, rounds, contenders.into_iter().flatten().collect())
}

/// The quell binary: `QUELL_BIN`, else the one beside this.
pub(crate) fn quell() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("QUELL_BIN") {
        return std::fs::canonicalize(&path).with_context(|| format!("QUELL_BIN={}", path.display()));
    }
    let own = std::env::current_exe().context("cannot read /proc/self/exe")?;
    Ok(own.with_file_name("quell"))
}

/// What one profiler did to the workload in one round.
struct Cell {
    nanos_per_unit: f64,
    slow_down: f64,
    bpf: BTreeMap<String, Runs>,
    switches: u64,
    cpu_share: f64,
    cpu_of_life: Duration,
    peak_mib: f64,
}

fn compare(kind: Kind, rounds: &Rounds, mut contenders: Vec<Contender>) -> Result<()> {
    let units = workload::calibrate(kind, Duration::from_secs_f64(rounds.seconds))?;
    println!("{}: {units} units, {} rounds\n", kind.describe(), rounds.rounds);
    let mut baselines = Vec::new();
    let mut cells: BTreeMap<&str, Vec<Cell>> = BTreeMap::new();
    for _ in 0..rounds.rounds {
        contenders.retain(|contender| {
            let measured = measure(kind, units, contender);
            match measured {
                Ok((baseline, cell)) => {
                    baselines.push(baseline);
                    cells.entry(contender.name).or_default().push(cell);
                    true
                }
                Err(error) => {
                    println!("{} is left out: {error:#}\n", contender.name);
                    false
                }
            }
        });
    }
    print!("{}", results(kind, &baselines, &cells));
    if cells.values().flatten().any(|cell| !cell.bpf.is_empty()) {
        print!("\n{}", program_table(&cells));
    }
    Ok(())
}

/// The workload alone, and right after it with a profiler.
fn measure(kind: Kind, units: u64, contender: &Contender) -> Result<(f64, Cell)> {
    let per_unit = |took: Duration| took.as_nanos() as f64 / units as f64;
    let baseline = per_unit(workload::run_apart(kind, units)?);

    let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
    let started = Started::start(contender, directory.path())?;
    let (before, begin) = (started.cpu()?, Instant::now());
    let nanos_per_unit = per_unit(workload::run_apart(kind, units)?);
    let cpu_share = (started.cpu()?.saturating_sub(before)).as_secs_f64() / begin.elapsed().as_secs_f64();

    // Apart from the slow-down: the statistics themselves read a clock twice at each run of a program.
    let enabled = enable_stats(Stats::RunTime).context("cannot enable the kernel's BPF statistics (5.8, as root)")?;
    let (runs, switches) = (programs::runs(&started.programs)?, programs::context_switches()?);
    workload::run_apart(kind, units / 4 + 1)?;
    let switches = programs::context_switches()? - switches;
    let bpf = programs::since(&runs, programs::runs(&started.programs)?);
    drop(enabled);

    let life = started.stop()?;
    let cell = Cell {
        nanos_per_unit,
        slow_down: nanos_per_unit / baseline,
        bpf,
        switches,
        cpu_share,
        cpu_of_life: life.cpu,
        peak_mib: life.peak_kib as f64 / 1024.0,
    };
    Ok((baseline, cell))
}

fn results(kind: Kind, baselines: &[f64], cells: &BTreeMap<&str, Vec<Cell>>) -> String {
    let headings =
        ["", kind.unit(), "slow-down", "BPF ns per switch", "CPU %", "CPU s in all", "peak MiB", "BPF ns : quell's"];
    let mut rows = vec![headings.map(str::to_owned).to_vec()];
    let shown = |summary: Option<Summary>| summary.map_or_else(|| "-".to_owned(), |summary| summary.to_string());
    rows.push(vec!["nothing".to_owned(), shown(Summary::of(baselines.iter().copied())), "1".to_owned()]);
    let cost = |cells: &[Cell]| Summary::of(cells.iter().filter_map(nanos_per_switch));
    let quell = cells.get("quell").and_then(|cells| cost(cells));
    for (name, cells) in cells {
        let of = |value: fn(&Cell) -> f64| shown(Summary::of(cells.iter().map(value)));
        let ratio = cost(cells).zip(quell).map(|(this, quell)| format!("{:.2}", this.median / quell.median));
        rows.push(vec![
            (*name).to_owned(),
            of(|cell| cell.nanos_per_unit),
            of(|cell| cell.slow_down),
            shown(cost(cells)),
            of(|cell| cell.cpu_share * 100.0),
            of(|cell| cell.cpu_of_life.as_secs_f64()),
            of(|cell| cell.peak_mib),
            ratio.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table(&rows)
}

/// Time in all of a profiler's programs for each context switch of the machine; `None` where it has no programs.
fn nanos_per_switch(cell: &Cell) -> Option<f64> {
    let time: Duration = cell.bpf.values().map(|runs| runs.time).sum();
    (!cell.bpf.is_empty() && cell.switches > 0).then(|| time.as_nanos() as f64 / cell.switches as f64)
}

fn program_table(cells: &BTreeMap<&str, Vec<Cell>>) -> String {
    let mut rows = vec![["", "BPF program", "runs", "ns per run"].map(str::to_owned).to_vec()];
    for (name, cells) in cells {
        let programs: BTreeSet<_> = cells.iter().flat_map(|cell| cell.bpf.keys()).collect();
        for program in programs {
            let runs = || cells.iter().filter_map(|cell| cell.bpf.get(program)).filter(|runs| runs.count > 0);
            let mean = |runs: &Runs| runs.time.as_nanos() as f64 / runs.count as f64;
            let (Some(count), Some(nanos)) =
                (Summary::of(runs().map(|runs| runs.count as f64)), Summary::of(runs().map(mean)))
            else {
                continue;
            };
            rows.push(vec![(*name).to_owned(), program.clone(), format!("{:.0}", count.median), nanos.to_string()]);
        }
    }
    table(&rows)
}
