//! `quell doctor`: what this kernel and host support.

use std::io::{self, Write};

use anyhow::Context as _;
use quell::doctor::{self, Checkup, Group, ProbeState, Status};
use quell::host::Capabilities;
use quell::privileges;
use quell::text::shown;

use super::Outcome;
use super::text::wrapped;

/// Tests what this kernel and host support
///
/// Loads and attaches a test program for each mechanism, and loads the programs of quell. Everything is removed
/// afterwards. Each `no` has a hint. The exit code is 0 if every probe works, at least partly, and 1 if a probe does not
/// work.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Print JSON instead of text: schema, quell, kernel, arch, usable, probes[], checks[]
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  sudo quell doctor
  sudo quell doctor --json";

/// Tests the host with the capabilities that quell was started with, and prints the findings.
pub(crate) fn run(arguments: &Arguments, started_with: Capabilities, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let checkup = doctor::examine(started_with)?;
    privileges::drop_all()?;
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
        if !checkup.checks.iter().any(|check| check.group == group) {
            continue;
        }
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
                write_remedy(remedy, out)?;
            }
        }
    }
    writeln!(out, "\nprobes")?;
    let name_width = checkup.probes.iter().map(|probe| probe.name.len()).max().unwrap_or(0) + 2;
    for probe in &checkup.probes {
        let state = match probe.state {
            ProbeState::Ready => "ready",
            ProbeState::Degraded => "degraded",
            ProbeState::Unavailable => "unavailable",
        };
        let why = wrapped(probe.why.as_deref().unwrap_or("works"), name_width + 15);
        writeln!(out, "  {:<name_width$}{state:<13}{why}", probe.name)?;
    }
    Ok(())
}

/// Writes a remedy. Its first line is wrapped; the others are commands, which are to be copied, and stay as they are.
fn write_remedy(remedy: &str, out: &mut dyn Write) -> io::Result<()> {
    let (text, commands) = remedy.split_once('\n').unwrap_or((remedy, ""));
    writeln!(out, "{:8}hint: {}", "", wrapped(text, 14))?;
    for command in commands.lines() {
        writeln!(out, "{:14}{}", "", shown(command))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use quell::doctor::{Check, ProbeVerdict};

    use super::*;

    #[test]
    fn findings_are_aligned_and_each_no_has_a_hint() {
        let check = |id, group, status, found: &str, remedy: Option<&str>| Check {
            id,
            group,
            status,
            found: found.to_owned(),
            remedy: remedy.map(str::to_owned),
        };
        let why = "tp_btf is needed (loading: EPERM, operation not permitted); the ring-buffer map is needed \
                   (creating: EPERM, operation not permitted)";
        let checkup = Checkup {
            schema: 1,
            quell: "0.0.0",
            kernel: "6.18.3".to_owned(),
            arch: "x86_64",
            usable: false,
            probes: vec![
                ProbeVerdict { name: "cpu", state: ProbeState::Ready, why: None },
                ProbeVerdict { name: "offcpu", state: ProbeState::Unavailable, why: Some(why.to_owned()) },
            ],
            checks: vec![
                check("version", Group::Kernel, Status::Yes, "6.18.3", None),
                check(
                    "tp_btf",
                    Group::Bpf,
                    Status::No,
                    "loading: EPERM",
                    Some("run as root, or with CAP_BPF:\nsetcap to copy"),
                ),
                check("perf_event_paranoid", Group::Perf, Status::Note, "kernel.perf_event_paranoid is 2", None),
            ],
        };
        let mut out = Vec::new();
        text(&checkup, &mut out).expect("memory takes everything");
        insta::assert_snapshot!(String::from_utf8(out).expect("text"));
    }
}
