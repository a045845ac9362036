//! The CPUs that systemd starts everything on.

use std::io;

use crate::host::Host;
use crate::tune::knob::file::changeable;
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
    ..KnobSpec::RUNTIME
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

/// The files beside the main one.
fn drop_ins(host: &Host) -> io::Result<Vec<String>> {
    let names = host.root.list(DROP_INS)?;
    Ok(names.into_iter().filter(|name| name.ends_with(".conf")).map(|name| format!("{DROP_INS}/{name}")).collect())
}

fn unread(host: &Host, path: &str, source: io::Error) -> KnobError {
    KnobError::Read { path: host.root.display_path(path), source }
}

/// What is said for the CPUs of systemd: by quell, and by everybody else.
struct Said {
    file: OwnedBlock,
    users: CpuSet,
}

impl Said {
    fn of(host: &Host) -> Result<Self, KnobError> {
        let unread = |path: &str, source| unread(host, path, source);
        let file = OwnedBlock::read(&host.root, OWN).map_err(|source| unread(OWN, source))?;
        let drop_ins = drop_ins(host).map_err(|source| unread(DROP_INS, source))?;
        let mut users = CpuSet::default();
        for path in [MAIN.to_owned()].into_iter().chain(drop_ins) {
            let text = match host.root.read(&path) {
                // What the user has added to quell's own file is the user's.
                _ if path == OWN => file.rest.clone().unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
                text => text.map_err(|source| unread(&path, source))?,
            };
            users = match affinity(&text) {
                Some(cpus) if cpus.is_empty() => cpus,
                Some(cpus) => users.union(&cpus),
                None => users,
            };
        }
        Ok(Self { file, users })
    }

    /// What quell says. The empty line before it takes back what others said.
    fn own(&self) -> Option<CpuSet> {
        affinity(&self.file.block)
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
        let said = Said::of(host)?;
        let own = said.own();
        let effective = Box::new(Value::Cpus(own.clone().unwrap_or(said.users)));
        Ok(Reading::Value(Value::Staged { own: own.map(|own| Box::new(Value::Cpus(own))), effective }))
    }

    fn normalize(&self, host: &Host, _: &Target, value: &Value) -> Result<Value, KnobError> {
        check_cpus(host, value).cloned()
    }

    fn running(&self, host: &Host, _: &Target, wanted: &Value) -> Result<Running, KnobError> {
        let status = if host.root.runs_systemd() { host.root.read_bytes("/proc/1/status") } else { Ok(Vec::new()) };
        let status =
            status.map_err(|source| KnobError::Read { path: host.root.display_path("/proc/1/status"), source })?;
        let status = String::from_utf8_lossy(&status);
        let now = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")?.trim().parse().ok());
        Ok(match (now.map(Value::Cpus), wanted) {
            // None for what others say.
            (Some(now), Value::Cpus(cpus)) if now != *wanted && !cpus.is_empty() => Running::Otherwise { now },
            _ => Running::InForce,
        })
    }

    fn write(&self, host: &Host, _: &Target, value: &Value) -> Result<Held, KnobError> {
        let mut said = Said::of(host)?;
        let own = match value {
            Value::Staged { own, .. } => own.as_deref(),
            // What the user's own files say needs no words of quell's.
            Value::Cpus(cpus) => Some(value).filter(|_| *cpus != said.users),
            other => {
                return Err(KnobError::Impossible { value: other.clone(), why: "it is no list of CPUs".to_owned() });
            }
        };
        let line = |own: &Value| match own {
            Value::Cpus(cpus) => format!("[Manager]\nCPUAffinity=\nCPUAffinity={cpus}\n"),
            _ => String::new(),
        };
        said.file.block = own.map(line).unwrap_or_default();
        let path = host.root.display_path(OWN);
        let written = said.file.write(&host.root, OWN);
        if own.is_none() {
            // Made for quell's file, most often; one that has others is not removed.
            let _ = host.root.remove_directory(DROP_INS);
        }
        written.map(|()| Held::Nothing).map_err(|source| KnobError::from_write(path, value.to_string(), source))
    }

    fn files_on_disk(&self, host: &Host, _: &Target) -> Result<Vec<String>, KnobError> {
        let drop_ins = drop_ins(host).map_err(|source| unread(host, DROP_INS, source))?;
        // The directory tells of one that was removed.
        Ok([MAIN, DROP_INS].into_iter().map(str::to_owned).chain(drop_ins).collect())
    }

    fn changeable(&self, host: &Host, _: &Target) -> Result<(), KnobError> {
        changeable(host, OWN)
    }
}
