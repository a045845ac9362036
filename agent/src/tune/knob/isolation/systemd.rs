//! The CPUs that systemd starts everything on.

use std::fs;
use std::io;

use crate::host::Host;
use crate::tune::knob::owned_block::OwnedBlock;
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Lifetime, Reading, Risk, Running, Stage, check_cpus};
use crate::tune::{Kind, Scope, Target, Value};
use crate::units::CpuSet;

/// systemd's `CPUAffinity=`.
pub(super) struct CpuAffinity;

static SPEC: KnobSpec = KnobSpec {
    id: "isolation.systemd_cpu_affinity",
    doc: "The CPUs of systemd, and so of everything that it starts and that says nothing else: the housekeeping ones. Written to a \
          file of quell's own, and in force from the next boot on: what runs already is not moved, neither by this nor by \
          `systemctl daemon-reexec`. None for what the other files of systemd say.",
    source: "systemd-system.conf(5), CPUAffinity=",
    kind: Kind::Cpus,
    scope: Scope::Host,
    lifetime: Lifetime::NextBoot,
    risk: Risk::Low,
    stage: Stage::NextBoot,
};

const OWN: &str = "/etc/systemd/system.conf.d/99-quell.conf";
const DROP_INS: &str = "/etc/systemd/system.conf.d";
const MAIN: &str = "/etc/systemd/system.conf";

/// What a file says; an empty value takes back what files before it said.
fn affinity(text: &str) -> Option<CpuSet> {
    let values = text.lines().filter_map(|line| line.trim().strip_prefix("CPUAffinity="));
    values.fold(None, |all: Option<CpuSet>, value| {
        // "a list of CPU indices or ranges separated by either whitespace or commas"; `numa` is not followed.
        let words: CpuSet = value.split_whitespace().collect::<Vec<_>>().join(",").parse().unwrap_or_default();
        if words.is_empty() { Some(words) } else { Some(all.unwrap_or_default().union(&words)) }
    })
}

impl CpuAffinity {
    /// What the user's own files say.
    fn users(host: &Host) -> CpuSet {
        let drop_ins = host.root.list(DROP_INS).unwrap_or_default();
        let files =
            drop_ins.into_iter().filter(|name| name.ends_with(".conf")).map(|name| format!("{DROP_INS}/{name}"));
        let texts = [MAIN.to_owned()].into_iter().chain(files).filter(|file| file != OWN);
        let said = texts.filter_map(|file| affinity(&host.root.read(&file).ok()?));
        said.fold(CpuSet::default(), |all, cpus| if cpus.is_empty() { cpus } else { all.union(&cpus) })
    }

    fn own(host: &Host) -> Result<Option<CpuSet>, KnobError> {
        match fs::read_to_string(host.root.path(OWN)) {
            // The empty line before it takes back what others said.
            Ok(text) => Ok(affinity(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(KnobError::Read { path: host.root.path(OWN), source }),
        }
    }
}

impl Knob for CpuAffinity {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn targets(&self, _: &Host) -> Vec<Target> {
        vec![Target::Host]
    }

    fn read(&self, host: &Host, _: &Target) -> Result<Reading, KnobError> {
        if !host.root.has("/etc/systemd") {
            return Ok(Reading::Absent("systemd is not installed".to_owned()));
        }
        Ok(Reading::Value(Value::Cpus(Self::own(host)?.unwrap_or_else(|| Self::users(host)))))
    }

    fn normalize(&self, host: &Host, _: &Target, value: &Value) -> Result<Value, KnobError> {
        check_cpus(host, value).cloned()
    }

    fn running(&self, host: &Host, _: &Target, wanted: &Value) -> Result<Running, KnobError> {
        let status =
            if host.root.has("/run/systemd/system") { host.root.read("/proc/1/status") } else { Ok(String::new()) };
        let status = status.map_err(|source| KnobError::Read { path: host.root.path("/proc/1/status"), source })?;
        let now = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")?.trim().parse().ok());
        Ok(match (now.map(Value::Cpus), wanted) {
            // None for what others say.
            (Some(now), Value::Cpus(cpus)) if now != *wanted && !cpus.is_empty() => Running::Otherwise { now },
            _ => Running::InForce,
        })
    }

    fn write(&self, host: &Host, _: &Target, value: &Value) -> Result<Held, KnobError> {
        let Value::Cpus(cpus) = value else {
            return Err(KnobError::Impossible { value: value.clone(), why: "it is no list of CPUs".to_owned() });
        };
        let block = if *cpus == Self::users(host) {
            String::new()
        } else {
            format!("[Manager]\nCPUAffinity=\nCPUAffinity={cpus}\n")
        };
        let path = host.root.path(OWN);
        OwnedBlock { rest: None, block }
            .write(&path)
            .map_err(|source| KnobError::from_write(path, cpus.to_string(), source))?;
        Ok(Held::Nothing)
    }
}
