//! The CPUs on which systemd starts services.

use std::io;

use crate::host::Host;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::{Configuration, Knob};
use crate::tune::knob::owned_block::OwnedBlock;
use crate::tune::knob::reading::{Activation, Held, Reading};
use crate::tune::knob::spec::{KnobSpec, Lifetime, Stage};
use crate::tune::knob::value_file::check_writable;
use crate::tune::value::{KnobTarget, Value, ValueKind};
use crate::units::CpuSet;

/// A knob for `CPUAffinity=` of systemd.
pub(super) struct SystemdAffinity;

static SPEC: KnobSpec = KnobSpec {
    id: "isolation.systemd_cpu_affinity",
    doc: "The CPUs of systemd, which every service inherits that does not set its own: usually the housekeeping CPUs. It is written \
          to a configuration file of quell, and takes effect at the next boot: running services are not moved, not even by \
          `systemctl daemon-reexec`. An empty list uses the other configuration files of systemd.",
    source: "systemd-system.conf(5), CPUAffinity=",
    kind: ValueKind::Cpus,
    lifetime: Lifetime::NextBoot,
    stage: Stage::NextBoot,
    ..KnobSpec::RUNTIME
};

const OWN: &str = "/etc/systemd/system.conf.d/99-quell.conf";
const DROP_INS: &str = "/etc/systemd/system.conf.d";
const MAIN: &str = "/etc/systemd/system.conf";

/// Parses the value in a file; an empty assignment resets the assignments before it.
fn parse_affinity(text: &str) -> Option<CpuSet> {
    let values = text.lines().filter_map(|line| line.trim().strip_prefix("CPUAffinity="));
    values.fold(None, |all: Option<CpuSet>, value| {
        // "a list of CPU indices or ranges separated by either whitespace or commas"; `numa` is not supported here.
        let cpus: CpuSet = value.split_whitespace().collect::<Vec<_>>().join(",").parse().unwrap_or_default();
        if cpus.is_empty() { Some(cpus) } else { Some(all.unwrap_or_default().union(&cpus)) }
    })
}

/// The drop-in files.
fn drop_ins(host: &Host) -> io::Result<Vec<String>> {
    let names = host.root.list(DROP_INS)?;
    Ok(names.into_iter().filter(|name| name.ends_with(".conf")).map(|name| format!("{DROP_INS}/{name}")).collect())
}

fn unreadable(host: &Host, path: &str, source: io::Error) -> KnobError {
    KnobError::Read { path: host.root.display_path(path), source }
}

/// The configuration files that set `CPUAffinity=`.
struct AffinityFiles {
    /// quell's file.
    own_file: OwnedBlock,
    /// The value that results from all other files.
    others: CpuSet,
}

impl AffinityFiles {
    fn read(host: &Host) -> Result<Self, KnobError> {
        let own_file = OwnedBlock::read(&host.root, OWN).map_err(|source| unreadable(host, OWN, source))?;
        let drop_ins = drop_ins(host).map_err(|source| unreadable(host, DROP_INS, source))?;
        let mut others = CpuSet::default();
        for path in [MAIN.to_owned()].into_iter().chain(drop_ins) {
            let text = match host.root.read(&path) {
                // Settings in quell's file that were added outside its block.
                _ if path == OWN => own_file.rest.clone().unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
                text => text.map_err(|source| unreadable(host, &path, source))?,
            };
            others = match parse_affinity(&text) {
                Some(cpus) if cpus.is_empty() => cpus,
                Some(cpus) => others.union(&cpus),
                None => others,
            };
        }
        Ok(Self { own_file, others })
    }

    /// The value that quell wrote. quell also writes an empty assignment before it, which resets the other assignments.
    fn own(&self) -> Option<CpuSet> {
        parse_affinity(&self.own_file.block)
    }
}

impl Knob for SystemdAffinity {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn read(&self, host: &Host, _: &KnobTarget) -> Result<Reading, KnobError> {
        if !host.root.has("/etc/systemd") {
            return Ok(Reading::Absent("systemd is not installed".to_owned()));
        }
        let files = AffinityFiles::read(host)?;
        let own = files.own();
        let effective = Box::new(Value::Cpus(own.clone().unwrap_or(files.others)));
        Ok(Reading::Value(Value::Staged { own: own.map(|own| Box::new(Value::Cpus(own))), effective }))
    }

    fn write(&self, host: &Host, _: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let mut files = AffinityFiles::read(host)?;
        let own = match value {
            Value::Staged { own, .. } => own.as_deref(),
            // If the other files already set this value, quell writes nothing.
            Value::Cpus(cpus) => Some(value).filter(|_| *cpus != files.others),
            other => {
                return Err(KnobError::Impossible {
                    value: other.clone(),
                    reason: "it is not a list of CPUs".to_owned(),
                });
            }
        };
        files.own_file.block = match own {
            Some(Value::Cpus(cpus)) => format!("[Manager]\nCPUAffinity=\nCPUAffinity={cpus}\n"),
            _ => String::new(),
        };
        let path = host.root.display_path(OWN);
        let written = files.own_file.write(&host.root, OWN);
        if own.is_none() {
            // The directory was usually created for quell's file. It is not removed if it contains other files.
            let _ = host.root.remove_directory(DROP_INS);
        }
        written.map(|()| Held::Nothing).map_err(|source| KnobError::from_write(path, value.to_string(), source))
    }

    fn check_writable(&self, host: &Host, _: &KnobTarget) -> Result<(), KnobError> {
        check_writable(host, OWN)
    }

    fn configuration(&self) -> Option<&dyn Configuration> {
        Some(self)
    }
}

impl Configuration for SystemdAffinity {
    fn activation(&self, host: &Host, _: &KnobTarget, desired: &Value) -> Result<Activation, KnobError> {
        if !host.root.runs_systemd() {
            return Ok(Activation::Active);
        }
        let status = host.root.read_bytes("/proc/1/status");
        let status = status.map_err(|source| unreadable(host, "/proc/1/status", source))?;
        let status = String::from_utf8_lossy(&status);
        let running = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")?.trim().parse().ok());
        Ok(match (running.map(Value::Cpus), desired) {
            // With an empty list, the other configuration files apply.
            (Some(running), Value::Cpus(cpus)) if running != *desired && !cpus.is_empty() => {
                Activation::Inactive { running }
            }
            _ => Activation::Active,
        })
    }

    fn files(&self, host: &Host, _: &KnobTarget) -> Result<Vec<String>, KnobError> {
        let drop_ins = drop_ins(host).map_err(|source| unreadable(host, DROP_INS, source))?;
        // The change time of the directory shows when a file was removed from it.
        Ok([MAIN, DROP_INS].into_iter().map(str::to_owned).chain(drop_ins).collect())
    }
}
