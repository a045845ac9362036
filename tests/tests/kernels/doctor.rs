//! `quell doctor` tells the truth, and what to do; and `quell record` says the same.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use quell::probe::PROBES;
use quell_tests::agent::{self, Ended, Running, Workdir};
use quell_tests::doctor::Findings;

use crate::harness::{self, Outcome, skip};
use crate::look;

/// The user that owns nothing.
const NOBODY: &str = "65534";

/// Doctor, without a probe that works.
fn finds_nothing_usable(command: &mut Command) -> Result<Findings> {
    let (findings, ended) = Findings::of(command)?;
    ended.expect_code(1)?;
    ensure!(!findings.usable, "{findings:?}");
    for probe in &findings.probes {
        ensure!(probe.state == "unavailable", "{probe:?}");
    }
    Ok(findings)
}

/// What a capture says that cannot begin, and writes nothing.
fn is_refused(dir: &Workdir, command: &mut Command) -> Result<Ended> {
    let ended = Running::spawn(command)?.wait()?.expect_code(2)?;
    ensure!(!dir.path("x.quell").exists(), "it wrote a recording");
    Ok(ended)
}

fn says(text: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(text.contains(word), "`{word}` is not in: {text}");
    }
    Ok(())
}

pub(crate) fn without_btf() -> Result<Outcome> {
    let quell = agent::binary()?.to_str().context("a path of text")?;
    let hidden = |arguments: &[&str]| {
        let script = "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"";
        look::in_own_mounts(script, &[&[quell], arguments].concat())
    };
    if !look::in_own_mounts("mount -t tmpfs none /sys/kernel/btf", &[]).status().is_ok_and(|status| status.success()) {
        return skip("needs to mount something over /sys/kernel/btf, for itself");
    }
    let findings = finds_nothing_usable(&mut hidden(&["doctor", "--json"]))?;
    for probe in &findings.probes {
        says(probe.why.as_deref().unwrap_or_default(), &["/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"])?;
    }
    for id in ["btf", "struct-layout"] {
        let check = findings.check(id)?;
        ensure!(check.status == "no", "{check:?}");
        says(check.remedy.as_deref().unwrap_or_default(), &["boot a kernel built with CONFIG_DEBUG_INFO_BTF=y"])?;
    }
    let dir = Workdir::new()?;
    for probe in PROBES {
        let record = ["record", "--probe", probe.spec().name, "-a", "-d", "0.1", "-o", "x.quell"];
        let ended = is_refused(&dir, hidden(&record).current_dir(dir.path("")))?;
        says(&ended.stderr, &["/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"])?;
    }
    Ok(Outcome::Holds)
}

pub(crate) fn without_privileges() -> Result<Outcome> {
    // Where anybody may reach it, and write.
    let dir = Workdir::new()?;
    let quell = dir.path("quell");
    fs::copy(agent::binary()?, &quell)?;
    fs::set_permissions(dir.path(""), fs::Permissions::from_mode(0o777))?;
    let as_nobody = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(&quell).args(arguments);
        command.current_dir(dir.path(""));
        command
    };
    let findings = finds_nothing_usable(&mut as_nobody(&["doctor", "--json"]))?;
    for probe in &findings.probes {
        says(probe.why.as_deref().unwrap_or_default(), &["CAP_BPF", "CAP_PERFMON"])?;
    }
    let capabilities = findings.check("capabilities")?;
    says(capabilities.remedy.as_deref().unwrap_or_default(), &["run as root", "cap_bpf", "cap_perfmon"])?;
    for probe in PROBES {
        let record = ["record", "--probe", probe.spec().name, "-a", "-d", "0.1", "-o", "x.quell"];
        says(&is_refused(&dir, &mut as_nobody(&record))?.stderr, &["CAP_BPF", "run as root"])?;
    }
    Ok(Outcome::Holds)
}

pub(crate) fn mechanisms() -> Result<Outcome> {
    let (findings, _) = Findings::of(Workdir::new()?.command()?.args(["doctor", "--json"]))?;
    let seen = [
        ("tp_btf", look::tp_btf()?),
        ("fentry", look::fentry()?),
        ("kprobe", look::kprobe()?),
        ("iter/task", look::task_iterator()?),
    ];
    // Debian builds every kernel since 5.10 with all of them: else it is the look that cannot see.
    if harness::in_guest() {
        for (id, works) in seen {
            ensure!(works, "no {id} in a plain guest");
        }
    }
    for (id, works) in seen {
        let check = findings.check(id)?;
        look::same(&format!("{check:?}"), check.status == "yes", works)?;
    }
    Ok(Outcome::Holds)
}

/// What is left of each probe on a kernel that is locked down.
const LOCKED_DOWN: [(&str, &str); 3] = [("cpu", "unavailable"), ("offcpu", "degraded"), ("runqueue", "ready")];

/// Programs may not read kernel memory (`LOCKDOWN_BPF_READ_KERNEL`: `bpf_tracing_func_proto`, kernel/trace/bpf_trace.c):
/// what needs it is said not to work, for that reason. That the rest works is for the rows of the probes.
pub(crate) fn locked_down() -> Result<Outcome> {
    let (findings, _) = Findings::of(Workdir::new()?.command()?.args(["doctor", "--json"]))?;
    for (id, status) in [("lockdown", "no"), ("kprobe", "no"), ("tp_btf", "yes")] {
        let check = findings.check(id)?;
        ensure!(check.status == status, "{check:?}");
    }
    let lockdown = findings.check("lockdown")?;
    says(lockdown.remedy.as_deref().unwrap_or_default(), &["boot with lockdown=integrity"])?;
    let states: Vec<_> = findings.probes.iter().map(|probe| (probe.name.as_str(), probe.state.as_str())).collect();
    ensure!(states == LOCKED_DOWN, "{states:?}");
    for probe in findings.probes.iter().filter(|probe| probe.state != "ready") {
        says(probe.why.as_deref().unwrap_or_default(), &["locked down", "lockdown=integrity"])?;
        if probe.state == "unavailable" {
            let dir = Workdir::new()?;
            let record = ["record", "--probe", &probe.name, "-a", "-d", "0.1", "-o", "x.quell"];
            says(&is_refused(&dir, dir.command()?.args(record))?.stderr, &["locked down", "lockdown=integrity"])?;
        }
    }
    Ok(Outcome::Holds)
}
