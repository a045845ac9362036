//! `quell doctor`: what this kernel and host allow.

use std::io::Write;

use anyhow::Context as _;
use quell::host::{Checkup, Features, Group, ProbeState, Status, checkup};

use super::Outcome;
use super::text::wrapped;

/// Shows what this kernel and host let quell do, found out by trying
///
/// Each mechanism is tried by loading and attaching a program that does nothing; nothing stays behind. Each `no` says
/// what to do about it. Exits with 0 where every probe works, if only in part, and with 1 where one does not.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Print JSON instead of text: schema, quell, kernel, arch, usable, probes[], checks[]
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let checkup = checkup(&Features::detect()?);
    if arguments.json {
        serde_json::to_writer_pretty(&mut *out, &checkup).context("could not write the findings")?;
        writeln!(out)?;
    } else {
        text(&checkup, out)?;
    }
    Ok(if checkup.usable { Outcome::Done } else { Outcome::Found })
}

/// The widest status, then two spaces.
const STATUS_WIDTH: usize = 6;

fn text(checkup: &Checkup, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "quell {} on Linux {} {}", checkup.quell, checkup.kernel, checkup.arch)?;
    let name_width = checkup.checks.iter().map(|check| check.id.len()).max().unwrap_or(0) + 2;
    let indent = 2 + STATUS_WIDTH + name_width;
    let groups = [
        (Group::Kernel, "kernel"),
        (Group::Bpf, "BPF programs and maps"),
        (Group::Perf, "perf events"),
        (Group::Privileges, "privileges"),
    ];
    for (group, title) in groups {
        writeln!(out, "\n{title}")?;
        for check in checkup.checks.iter().filter(|check| check.group == group) {
            let status = match check.status {
                Status::Yes => "yes",
                Status::No => "no",
                Status::Note => "-",
            };
            let found = wrapped(&check.found, indent);
            writeln!(out, "  {status:<STATUS_WIDTH$}{:<name_width$}{found}", check.id)?;
            if let Some(remedy) = &check.remedy {
                writeln!(out, "{:indent$}=> {}", "", wrapped(remedy, indent + 3))?;
            }
        }
    }
    writeln!(out, "\nprobes")?;
    for probe in &checkup.probes {
        let state = match probe.state {
            ProbeState::Ready => "ready",
            ProbeState::Degraded => "degraded",
            ProbeState::Unavailable => "unavailable",
        };
        let why = wrapped(probe.why.as_deref().unwrap_or("all of it works"), 23);
        writeln!(out, "  {:<8}{state:<13}{why}", probe.name)?;
    }
    Ok(())
}
