//! The CPUs that irqbalance leaves alone.

use crate::host::Host;
use crate::program::Program;
use crate::tune::knob::file::{changeable, mask};
use crate::tune::knob::left_alone::left_alone;
use crate::tune::knob::owned_block::OwnedBlock;
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Lifetime, Reading, Risk, Stage, check_cpus, command};
use crate::tune::{Kind, Scope, Target, Value};
use crate::units::CpuSet;

/// The CPUs that irqbalance leaves alone.
pub(super) struct BannedCpus;

static SPEC: KnobSpec = KnobSpec {
    id: "irq.irqbalance_banned_cpus",
    doc: "The CPUs that irqbalance gives no interrupts to: the isolated ones, or it sets back within ten seconds what was set \
          by hand. Those of `isolcpus=` and `nohz_full=` of this boot are among them: irqbalance knows them itself only where no \
          others are named. It is written to the environment file of irqbalance, which is restarted.",
    source: "irqbalance 1.8, IRQBALANCE_BANNED_CPULIST in irqbalance(1)",
    kind: Kind::Cpus,
    scope: Scope::Host,
    // irqbalance is restarted and has it at once; the file outlives the boot.
    lifetime: Lifetime::Lasting,
    risk: Risk::Low,
    // Before interrupts are given to CPUs: irqbalance sets them again when it starts.
    stage: Stage::Presence,
    ..KnobSpec::RUNTIME
};

/// Debian's and Red Hat's.
const FILES: [&str; 2] = ["/etc/default/irqbalance", "/etc/sysconfig/irqbalance"];
const PROGRAMS: [&str; 2] = ["/usr/sbin/irqbalance", "/usr/bin/irqbalance"];
const SERVICE: &str = "irqbalance.service";
const KEY: &str = "IRQBALANCE_BANNED_CPULIST=";
const MASK: &str = "IRQBALANCE_BANNED_CPUS=";

impl BannedCpus {
    fn file(host: &Host) -> Option<&'static str> {
        let there = FILES.into_iter().find(|file| host.root.has(file));
        there.or_else(|| PROGRAMS.iter().any(|program| host.root.has(program)).then_some(FILES[0]))
    }

    /// The file that irqbalance reads, and those others that have a part of quell's: it may have read them once.
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

/// What the user says in a file.
fn users(file: &OwnedBlock) -> CpuSet {
    file.rest.as_deref().and_then(banned).unwrap_or_default()
}

/// What the last assignment of a text says.
fn banned(text: &str) -> Option<CpuSet> {
    let last = text.lines().filter_map(|line| line.trim().strip_prefix(KEY)).next_back()?;
    last.trim_matches(['"', '\'']).parse().ok()
}

/// What an older variable says, a mask, which counts before a list; an empty one does not (setup_banned_cpus, cputree.c).
fn masked(text: &str) -> Option<CpuSet> {
    let last =
        text.lines().filter_map(|line| line.trim().trim_start_matches("export ").strip_prefix(MASK)).next_back()?;
    mask(last.trim_matches(['"', '\'']))
}

/// With the CPUs of `isolcpus=` and `nohz_full=`: irqbalance leaves those alone by itself, but not beside others that are named
/// (setup_banned_cpus, cputree.c).
fn with_irqbalances_own(host: &Host, value: &Value) -> Value {
    match value {
        Value::Cpus(cpus) if !cpus.is_empty() => Value::Cpus(cpus.union(&left_alone(host))),
        value => value.clone(),
    }
}

impl Knob for BannedCpus {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn targets(&self, _: &Host) -> Vec<Target> {
        vec![Target::Host]
    }

    fn read(&self, host: &Host, _: &Target) -> Result<Reading, KnobError> {
        let files = Self::open(host)?;
        let Some((_, file)) = files.first() else {
            return Ok(Reading::Absent("irqbalance is not installed".to_owned()));
        };
        let own = files.iter().find_map(|(_, file)| banned(&file.block));
        let masked = file.rest.as_deref().and_then(masked);
        let listed = || banned(&file.block).unwrap_or_else(|| users(file));
        let effective = Box::new(Value::Cpus(masked.unwrap_or_else(listed)));
        Ok(Reading::Value(Value::Staged { own: own.map(|own| Box::new(Value::Cpus(own))), effective }))
    }

    fn normalize(&self, host: &Host, _: &Target, value: &Value) -> Result<Value, KnobError> {
        let value = with_irqbalances_own(host, check_cpus(host, value)?);
        let mask = Self::open(host)?.first().and_then(|(_, file)| masked(file.rest.as_deref()?));
        match mask {
            Some(mask) if value != Value::Cpus(mask.clone()) => Err(KnobError::Impossible {
                value,
                why: format!("the file of irqbalance has {MASK} for {mask}, which goes before a list: remove it there"),
            }),
            _ => Ok(value),
        }
    }

    fn write(&self, host: &Host, _: &Target, value: &Value) -> Result<Held, KnobError> {
        let impossible = |why: &str| KnobError::Impossible { value: value.clone(), why: why.to_owned() };
        let files = Self::open(host)?;
        let Some((_, current)) = files.first() else { return Err(impossible("irqbalance is not installed")) };
        let own = match value {
            Value::Staged { own, .. } => own.as_deref(),
            // What the user's own file says needs no block of quell's.
            Value::Cpus(cpus) => Some(value).filter(|_| *cpus != users(current)),
            _ => return Err(impossible("it is no list of CPUs")),
        };
        let mut block = match own {
            Some(Value::Cpus(cpus)) => format!("{KEY}{cpus}\n"),
            _ => String::new(),
        };
        // The words go into the file that irqbalance reads now, and out of every other.
        for (path, mut file) in files {
            file.block = std::mem::take(&mut block);
            file.write(&host.root, path)
                .map_err(|source| KnobError::from_write(host.root.display_path(path), value.to_string(), source))?;
        }
        Ok(Held::Nothing)
    }

    fn changeable(&self, host: &Host, _: &Target) -> Result<(), KnobError> {
        Self::file(host).map_or(Ok(()), |file| changeable(host, file))
    }

    fn files_on_disk(&self, host: &Host, _: &Target) -> Result<Vec<String>, KnobError> {
        Ok(Self::file(host).map(str::to_owned).into_iter().collect())
    }

    fn settle(&self, host: &Host) -> Result<(), KnobError> {
        // Without systemd, or where it has no such unit, it is the user's to restart.
        if !(host.root.is_host() && host.root.runs_systemd()) {
            return Ok(());
        }
        let known =
            command::output(Program::Systemctl, &["list-unit-files", "--no-legend", SERVICE]).unwrap_or_default();
        if known.trim().is_empty() { Ok(()) } else { command::run(Program::Systemctl, &["try-restart", SERVICE]) }
    }
}
