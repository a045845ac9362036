//! The CPUs that irqbalance does not use.

use crate::host::Host;
use crate::program::Program;
use crate::tune::knob::boot_isolated::boot_isolated_cpus;
use crate::tune::knob::checks::check_cpus;
use crate::tune::knob::command;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::{Configuration, Knob};
use crate::tune::knob::owned_block::OwnedBlock;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::{KnobSpec, Lifetime, Stage};
use crate::tune::knob::value_file::{check_writable, parse_mask};
use crate::tune::value::{KnobTarget, Value, ValueKind};
use crate::units::CpuSet;

/// A knob for the CPUs that irqbalance does not use.
pub(super) struct BannedCpus;

static SPEC: KnobSpec = KnobSpec {
    id: "irq.irqbalance_banned_cpus",
    doc: "The CPUs that irqbalance assigns no interrupts to: usually the isolated CPUs. Otherwise it overrides other affinities within \
          ten seconds. The CPUs of `isolcpus=` and `nohz_full=` are added, because irqbalance bans them itself only if no others are \
          configured. The setting is written to the environment file of irqbalance, which is restarted.",
    source: "irqbalance 1.8, IRQBALANCE_BANNED_CPULIST in irqbalance(1)",
    kind: ValueKind::Cpus,
    // irqbalance is restarted and uses the value immediately. The file survives reboots.
    lifetime: Lifetime::Persistent,
    // In an earlier stage than interrupt affinities, because irqbalance reassigns interrupts when it starts.
    stage: Stage::Presence,
    ..KnobSpec::RUNTIME
};

/// The environment files of Debian and Red Hat.
const FILES: [&str; 2] = ["/etc/default/irqbalance", "/etc/sysconfig/irqbalance"];
const PROGRAMS: [&str; 2] = ["/usr/sbin/irqbalance", "/usr/bin/irqbalance"];
const SERVICE: &str = "irqbalance.service";
const KEY: &str = "IRQBALANCE_BANNED_CPULIST=";
const MASK: &str = "IRQBALANCE_BANNED_CPUS=";

impl BannedCpus {
    fn file(host: &Host) -> Option<&'static str> {
        let existing = FILES.into_iter().find(|file| host.root.has(file));
        existing.or_else(|| PROGRAMS.iter().any(|program| host.root.has(program)).then_some(FILES[0]))
    }

    /// The file that irqbalance reads, and the other file if it contains quell's block: irqbalance may have read it previously.
    fn open(host: &Host) -> Result<Vec<(&'static str, OwnedBlock)>, KnobError> {
        let Some(current) = Self::file(host) else { return Ok(Vec::new()) };
        let mut files = Vec::new();
        for file in [current].into_iter().chain(FILES.into_iter().filter(|file| *file != current)) {
            let block = OwnedBlock::read(&host.root, file)
                .map_err(|source| KnobError::Read { path: host.root.display_path(file), source })?;
            if file == current || !block.block.is_empty() {
                files.push((file, block));
            }
        }
        Ok(files)
    }
}

/// The CPUs that are configured outside quell's block.
fn others(file: &OwnedBlock) -> CpuSet {
    file.rest.as_deref().and_then(banned).unwrap_or_default()
}

/// The CPUs of the last assignment in a text.
fn banned(text: &str) -> Option<CpuSet> {
    let last = text.lines().filter_map(|line| line.trim().strip_prefix(KEY)).next_back()?;
    last.trim_matches(['"', '\'']).parse().ok()
}

/// The CPUs of an older variable, which contains a mask. Unless it is empty, it has precedence over the list
/// (setup_banned_cpus, cputree.c).
fn banned_mask(text: &str) -> Option<CpuSet> {
    let last =
        text.lines().filter_map(|line| line.trim().trim_start_matches("export ").strip_prefix(MASK)).next_back()?;
    parse_mask(last.trim_matches(['"', '\'']))
}

/// Adds the CPUs of `isolcpus=` and `nohz_full=`: irqbalance itself bans them only if no other CPUs are configured
/// (setup_banned_cpus, cputree.c).
fn with_boot_isolated(host: &Host, value: &Value) -> Value {
    match value {
        Value::Cpus(cpus) if !cpus.is_empty() => Value::Cpus(cpus.union(&boot_isolated_cpus(host))),
        value => value.clone(),
    }
}

impl Knob for BannedCpus {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn read(&self, host: &Host, _: &KnobTarget) -> Result<Reading, KnobError> {
        let files = Self::open(host)?;
        let Some((_, file)) = files.first() else {
            return Ok(Reading::Absent("irqbalance is not installed".to_owned()));
        };
        let own = files.iter().find_map(|(_, file)| banned(&file.block));
        let mask = file.rest.as_deref().and_then(banned_mask);
        let listed = || banned(&file.block).unwrap_or_else(|| others(file));
        let effective = Box::new(Value::Cpus(mask.unwrap_or_else(listed)));
        Ok(Reading::Value(Value::Staged { own: own.map(|own| Box::new(Value::Cpus(own))), effective }))
    }

    fn normalize(&self, host: &Host, _: &KnobTarget, value: &Value) -> Result<Value, KnobError> {
        let value = with_boot_isolated(host, check_cpus(host, value)?);
        let mask = Self::open(host)?.first().and_then(|(_, file)| banned_mask(file.rest.as_deref()?));
        match mask {
            Some(mask) if value != Value::Cpus(mask.clone()) => Err(KnobError::Impossible {
                value,
                reason: format!(
                    "{MASK} in the environment file of irqbalance bans {mask} and has precedence over a list: remove it first"
                ),
            }),
            _ => Ok(value),
        }
    }

    fn write(&self, host: &Host, _: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let impossible = |reason: &str| KnobError::Impossible { value: value.clone(), reason: reason.to_owned() };
        let files = Self::open(host)?;
        let Some((_, current)) = files.first() else { return Err(impossible("irqbalance is not installed")) };
        let own = match value {
            Value::Staged { own, .. } => own.as_deref(),
            // If the rest of the configuration has the same value, quell writes nothing.
            Value::Cpus(cpus) => Some(value).filter(|_| *cpus != others(current)),
            _ => return Err(impossible("it is not a list of CPUs")),
        };
        let mut block = match own {
            Some(Value::Cpus(cpus)) => format!("{KEY}{cpus}\n"),
            _ => String::new(),
        };
        // The block is written to the file that irqbalance reads, and removed from the other one.
        for (path, mut file) in files {
            file.block = std::mem::take(&mut block);
            file.write(&host.root, path)
                .map_err(|source| KnobError::from_write(host.root.display_path(path), value.to_string(), source))?;
        }
        Ok(Held::Nothing)
    }

    fn check_writable(&self, host: &Host, _: &KnobTarget) -> Result<(), KnobError> {
        Self::file(host).map_or(Ok(()), |file| check_writable(host, file))
    }

    fn configuration(&self) -> Option<&dyn Configuration> {
        Some(self)
    }
}

impl Configuration for BannedCpus {
    fn files(&self, host: &Host, _: &KnobTarget) -> Result<Vec<String>, KnobError> {
        Ok(Self::file(host).map(str::to_owned).into_iter().collect())
    }

    fn activate(&self, host: &Host) -> Result<(), KnobError> {
        // Without systemd, or without the unit, the administrator must restart irqbalance.
        if !(host.root.is_host() && host.root.runs_systemd()) {
            return Ok(());
        }
        let units =
            command::output(Program::Systemctl, &["list-unit-files", "--no-legend", SERVICE]).unwrap_or_default();
        if units.trim().is_empty() { Ok(()) } else { command::run(Program::Systemctl, &["try-restart", SERVICE]) }
    }
}
