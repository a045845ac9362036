//! What `quell doctor` says of a probe is so: each reason by an independent look, and all of it by a capture.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Result, ensure};
use aya_obj::generated::bpf_prog_type;
use quell_tests::agent::Workdir;
use quell_tests::capture::Capture;
use quell_tests::doctor::Findings;
use quell_tests::fixture::{Burned, Fixture};

use crate::harness::Outcome;
use crate::look;

/// Something that a probe may lack.
struct Lack {
    /// How doctor's reason begins.
    says: &'static str,
    /// Whether this host lacks it.
    holds: bool,
}

pub(crate) fn cpu() -> Result<Outcome> {
    let cycles = look::cycles();
    let lacks = [Lack { says: "no hardware cycle counter", holds: !cycles }];
    let mechanism = if cycles { "perf_event cycles" } else { "perf_event cpu-clock (no PMU)" };
    let programs = [("quell_interrupt", bpf_prog_type::BPF_PROG_TYPE_PERF_EVENT)];
    is_as_said("cpu", &lacks, mechanism, &programs)
}

pub(crate) fn offcpu() -> Result<Outcome> {
    let iterator = look::task_iterator()?;
    // Without the helper (5.15) quell finds a sleeper's registers by itself on x86-64.
    let registers = cfg!(target_arch = "x86_64") || look::has_function("bpf_task_pt_regs")?;
    let lacks = [
        Lack { says: "threads that sleep during the whole capture are missing", holds: !iterator },
        Lack { says: "threads that sleep during the whole capture have no user stack", holds: iterator && !registers },
    ];
    ensure!(look::tp_btf()?, "programs do not run at tracepoints here: doctor::mechanisms tells whether quell says so");
    let programs = ["quell_switch", "quell_waking"].map(|name| (name, bpf_prog_type::BPF_PROG_TYPE_TRACING));
    is_as_said("offcpu", &lacks, "tp_btf sched_switch, sched_waking", &programs)
}

pub(crate) fn runqueue() -> Result<Outcome> {
    ensure!(look::tp_btf()?, "programs do not run at tracepoints here: doctor::mechanisms tells whether quell says so");
    let programs = [("quell_switch", bpf_prog_type::BPF_PROG_TYPE_TRACING)];
    is_as_said("runqueue", &[], "tp_btf sched_switch", &programs)
}

/// The programs that work for some probe while a capture goes on; others are there only for its beginning or end.
const AT_WORK: [&str; 3] = ["quell_interrupt", "quell_switch", "quell_waking"];

/// Doctor names what is lacking and nothing else, and a capture works as it says: by its own word, and by the programs that
/// the kernel has of it.
fn is_as_said(probe: &str, of_probe: &[Lack], mechanism: &str, programs: &[(&str, bpf_prog_type)]) -> Result<Outcome> {
    let jit = fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").unwrap_or_default();
    let common = [
        Lack { says: "kernel functions have no names", holds: !look::kernel_symbols()? },
        Lack { says: "BPF programs are interpreted", holds: jit.trim() == "0" },
    ];
    let (findings, _) = Findings::of(Workdir::new()?.command()?.args(["doctor", "--json"]))?;
    let verdict = findings.probe(probe)?;
    let said: Vec<&str> = verdict.why.iter().flat_map(|why| why.split("; ")).collect();
    for lack in of_probe.iter().chain(&common) {
        let told = said.iter().any(|reason| reason.starts_with(lack.says));
        look::same(&format!("{probe}: `{}`", lack.says), told, lack.holds)?;
    }
    let known = |reason: &&str| of_probe.iter().chain(&common).any(|lack| reason.starts_with(lack.says));
    ensure!(said.iter().all(known), "{verdict:?}: there is a reason that this test cannot look at");
    let state = if said.is_empty() { "ready" } else { "degraded" };
    ensure!(verdict.state == state, "{verdict:?} is not {state}");

    let mut burn = Fixture::start("burn", &["--seconds", "0.2"])?;
    let capture = Capture::begin(&["--probe", probe, "-F", "997", "-p", &burn.pid().to_string()])?;
    let mut held = look::programs_of(capture.pid()?)?;
    held.retain(|name, _| AT_WORK.contains(&name.as_str()));
    let expected: BTreeMap<_, _> = programs.iter().map(|(name, kind)| ((*name).to_owned(), *kind as u32)).collect();
    ensure!(held == expected, "{probe} is captured by the programs {held:?}, not by {expected:?}");
    burn.go()?;
    let _: Burned = burn.finish()?;
    let recorded = capture.ended()?;
    let meta = &recorded.recording.meta;
    ensure!(
        meta.remarks.is_empty() || verdict.state != "ready",
        "{verdict:?}, and a capture remarks {:?}",
        meta.remarks
    );
    // A row for each program, and one for the stacks that a probe walks.
    let rows = meta.cost.probes.iter().filter(|cost| cost.mechanism != "stack walks");
    ensure!(rows.clone().count() == programs.len(), "the cost of {programs:?}: {:?}", meta.cost.probes);
    for cost in rows {
        ensure!(
            cost.mechanism.starts_with(mechanism),
            "{probe} was captured by {}, not by {mechanism}",
            cost.mechanism
        );
        ensure!(cost.events > 0, "{} saw nothing", cost.mechanism);
    }
    Ok(Outcome::Holds)
}
