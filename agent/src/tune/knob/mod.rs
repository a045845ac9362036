//! What can be set: a file for each family, a line for each knob in its family's table.
//!
//! A knob reads and writes; everything else, saving, journaling, verifying and restoring, is done for it.

mod boot;
mod bound;
pub(super) mod command;
mod cpu;
#[cfg(test)]
mod fake;
mod file;
mod identity;
mod irq;
mod isolation;
mod left_alone;
mod memory;
mod net;
mod owned_block;
mod parts;
mod process;
mod range;
mod sched;
mod sysctl;
mod threads;
mod unit;

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use bound::Bound;

use super::{Kind, Scope, Target, Value, ValueError};
use crate::host::{Host, lockdown};

pub(crate) use isolation::partition_group;

pub use file::{Codec, FileKnob};

/// What a knob is.
#[derive(Clone, Copy, Debug)]
pub struct KnobSpec {
    /// What profiles call it: `cpu.governor`.
    pub id: &'static str,
    /// What it does and why one would set it, in a sentence or two.
    pub doc: &'static str,
    /// Where the kernel documents it, and the first version that has it where that is after 5.10.
    pub source: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is turned on.
    pub scope: Scope,
    /// How long a setting lasts.
    pub lifetime: Lifetime,
    /// What can go wrong.
    pub risk: Risk,
    /// When in a transaction it is set.
    pub stage: Stage,
    /// What keeps a value that lasts until the next boot.
    pub kept_by: KeptBy,
}

impl KnobSpec {
    /// What most knobs have in common: a value of the whole host that lasts until the next boot and costs nothing but speed.
    pub(crate) const RUNTIME: Self = Self {
        id: "",
        doc: "",
        source: "",
        kind: Kind::Text,
        scope: Scope::Host,
        lifetime: Lifetime::Runtime,
        risk: Risk::Low,
        stage: Stage::Setting,
        kept_by: KeptBy::Kernel,
    };
}

/// How long a setting lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifetime {
    /// Until it is set otherwise, or the host boots.
    Runtime,
    /// As long as a process holds it open.
    WhileHeld,
    /// Until it is set otherwise, over boots too.
    Lasting,
    /// From the next boot on.
    NextBoot,
}

impl Lifetime {
    /// Whether it is there after a boot, and is undone then too.
    #[must_use]
    pub fn outlives_boot(self) -> bool {
        match self {
            Self::Lasting | Self::NextBoot => true,
            Self::Runtime | Self::WhileHeld => false,
        }
    }
}

/// What keeps a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptBy {
    /// The running kernel: it is gone with that, by kexec(8) too, and what is there after a boot is of that boot.
    Kernel,
    /// Hardware or firmware, which may keep it over a boot: kexec(8) resets neither.
    Hardware,
}

/// What can go wrong with a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Risk {
    /// Nothing but speed.
    Low,
    /// This, for a moment or for some loads.
    Medium(&'static str),
    /// This, which may cost the host or the way to it.
    High(&'static str),
}

impl Risk {
    /// How much: `low`, `medium`, `high`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium(_) => "medium",
            Self::High(_) => "high",
        }
    }

    /// What can go wrong, where there is something.
    #[must_use]
    pub fn why(self) -> Option<&'static str> {
        match self {
            Self::Low => None,
            Self::Medium(why) | Self::High(why) => Some(why),
        }
    }
}

/// When in a transaction a knob is set: a stage's knobs may depend on those before it, and what they are set to before is read
/// only when those have been set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Which CPUs, queues and services there are.
    Presence,
    /// Values.
    Setting,
    /// Who runs where: after what sets it as a side effect.
    Placement,
    /// Files that take effect at the next boot.
    NextBoot,
}

/// What a knob is set to on a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// This.
    Value(Value),
    /// The target does not have it; why.
    Absent(String),
}

impl Reading {
    /// The value, if there is one.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent(_) => None,
        }
    }
}

/// What keeps a setting in force after it was made.
#[derive(Debug)]
pub enum Held {
    /// Nothing need be kept.
    Nothing,
    /// This, for as long as it is open.
    Open(OwnedFd),
}

/// Whether a host runs with what it was set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Running {
    /// It does.
    InForce,
    /// It was started with something else: a boot is due, or did not bring it.
    Otherwise {
        /// With this.
        now: Value,
    },
}

/// A thing that can be set.
pub trait Knob: Sync {
    /// What it is.
    fn spec(&self) -> &KnobSpec;

    /// Whether there may be a host that takes this value, of the right kind as it is: many a text must have a form.
    ///
    /// # Errors
    /// There is none; what would be right.
    fn check(&self, _value: &Value) -> Result<(), ValueError> {
        Ok(())
    }

    /// Whether what a profile names could be there on any host, for [`Scope::Named`].
    ///
    /// # Errors
    /// It could not; why, and what would be right.
    fn check_name(&self, _name: &str) -> Result<(), String> {
        Ok(())
    }

    /// How long a value lasts, where that depends on the value.
    fn lifetime(&self, _wanted: &Value) -> Lifetime {
        self.spec().lifetime
    }

    /// Everything on this host that it could be turned on, in order; none for [`Scope::Named`].
    fn targets(&self, host: &Host) -> Vec<Target>;

    /// What it is set to.
    ///
    /// # Errors
    /// It cannot be told. A target that lacks it is no error.
    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError>;

    /// The value as the host would give it back, by plan and by verification alike: a frequency that the hardware has, a mask
    /// without CPUs that are not there.
    ///
    /// # Errors
    /// The host does not take this value.
    fn normalize(&self, host: &Host, target: &Target, value: &Value) -> Result<Value, KnobError>;

    /// The value to write for what was `wanted`, for nothing but the parts that `before` has: what came since has no value in the
    /// journal, and could not be put back.
    fn spread(&self, _before: &Value, wanted: &Value) -> Value {
        wanted.clone()
    }

    /// Sets it.
    ///
    /// # Errors
    /// It was refused. Nothing is left half done.
    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError>;

    /// What the same is set to that `before` was read of, after a write and before undoing: threads that a rule chose by their
    /// name or cgroup, whatever they are called by now and wherever they are.
    ///
    /// # Errors
    /// It cannot be told: which is not to be taken for what has ended.
    fn read_back(&self, host: &Host, target: &Target, _before: &Value) -> Result<Reading, KnobError> {
        self.read(host, target)
    }

    /// Puts back what was before. Of a value with parts as many as can be: a part that refuses is no reason to leave the others as
    /// they were tuned.
    ///
    /// # Errors
    /// Some of it was refused, by name.
    fn restore(&self, host: &Host, target: &Target, before: &Value) -> Result<(), KnobError> {
        self.write(host, target, before).map(drop)
    }

    /// What putting `before` back will not undo, in words, where there is such a thing: asked just before. Children of a tuned
    /// process have what was `wanted` of it, and no value of their own in the journal.
    ///
    /// # Errors
    /// It cannot be told.
    fn remainder(
        &self,
        _host: &Host,
        _target: &Target,
        _before: &Value,
        _wanted: &Value,
    ) -> Result<Option<String>, KnobError> {
        Ok(None)
    }

    /// Whether there is any use in trying to set it, as far as that can be told without trying and without being root.
    ///
    /// # Errors
    /// What it is in is mounted read-only, as in a container.
    fn changeable(&self, _host: &Host, _target: &Target) -> Result<(), KnobError> {
        Ok(())
    }

    /// The one file that the value is in, from the host's root, where it is in one: another knob may be another name for it.
    fn file(&self, _target: &Target) -> Option<String> {
        None
    }

    /// Whether `now`, as it was read, is what was `wanted`.
    fn meets(&self, now: &Value, wanted: &Value) -> bool {
        now.meets(wanted)
    }

    /// Whether what it is turned on may end by itself, as processes do. Of such a knob an absent
    /// [`read_back`](Self::read_back) means that all of it has provably ended: then nothing is left to put back.
    fn may_end(&self) -> bool {
        false
    }

    /// Whether the host runs with what it is set to, for a knob that counts from the next boot on. Any other does.
    ///
    /// # Errors
    /// It cannot be told.
    fn running(&self, _host: &Host, _target: &Target, _wanted: &Value) -> Result<Running, KnobError> {
        Ok(Running::InForce)
    }

    /// The files on disk that it is read from: they tell when they were last changed, which those of the kernel do not.
    ///
    /// # Errors
    /// They cannot be listed.
    fn files(&self, _host: &Host, _target: &Target) -> Result<Vec<String>, KnobError> {
        Ok(Vec::new())
    }

    /// Makes what was written count, where that is done once for many values: boot loaders read a file that a program
    /// makes. Called after the last of this knob's values was written in a transaction, or put back.
    ///
    /// # Errors
    /// It failed.
    fn settle(&self, _host: &Host) -> Result<(), KnobError> {
        Ok(())
    }
}

/// Why a knob cannot be read or set.
#[derive(Debug, thiserror::Error)]
pub enum KnobError {
    /// No permission.
    #[error("{} may not be changed: {source}; run as root", path.display())]
    Permission {
        /// What was to be read or written.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// No permission, for root.
    #[error("{} may not be changed: {source}; root is refused too{why}", path.display())]
    Denied {
        /// What was to be read or written.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
        /// Why, as far as it is known.
        why: &'static str,
    },
    /// Its file is not writable for anybody, so not for root either.
    #[error("{} is read-only, for root too: this kernel lacks what it would set, such as a hardware counter", path.display())]
    Fixed {
        /// What was to be written.
        path: PathBuf,
    },
    /// It is mounted read-only.
    #[error("{} is mounted read-only, as in a container: set it on the host", path.display())]
    ReadOnly {
        /// What was to be written.
        path: PathBuf,
    },
    /// The kernel or driver does not take it.
    #[error("{} does not take `{value}`: {source}", path.display())]
    Refused {
        /// What was to be written.
        path: PathBuf,
        /// The value.
        value: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// It cannot be read.
    #[error("could not read {}: {source}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds something else than it should.
    #[error("could not understand {}: {why}", path.display())]
    Understand {
        /// What.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The kernel keeps it to itself: found out by trying.
    #[error("{} is managed by the kernel: {why}", path.display())]
    Managed {
        /// What was to be written.
        path: PathBuf,
        /// What the kernel does about it.
        why: String,
    },
    /// Of several parts some were refused; the others were set.
    #[error("{} of {of} could not be set: {}", refused.len(), listed(refused))]
    Parts {
        /// Why, each.
        refused: Vec<KnobError>,
        /// How many were to be set.
        of: usize,
    },
    /// It was refused, and what had been set before that could not be put back.
    #[error("{refused}; and what was set before that stays: {stays}")]
    HalfDone {
        /// Why it was refused.
        refused: Box<KnobError>,
        /// Why the rest could not be put back.
        stays: Box<KnobError>,
    },
    /// A program that makes a setting count failed.
    #[error("`{command}` failed: {why}")]
    Command {
        /// What was run.
        command: String,
        /// What it said.
        why: String,
    },
    /// A journal names a knob of another version.
    #[error("this version of quell does not know it")]
    Unknown,
    /// A journal names a target that the knob does not have.
    #[error("it has nothing to do with `{target}`")]
    Target {
        /// The target.
        target: Target,
    },
    /// The host has no such value.
    #[error("{value} is not possible here: {why}")]
    Impossible {
        /// The value.
        value: Value,
        /// Why.
        why: String,
    },
}

/// `ENOTSUPP`, include/linux/errno.h: the kernel's own, which no library has words for. It is the answer of
/// `kernel.nmi_watchdog` where there are no counters.
const ENOTSUPP: i32 = 524;
/// So many refusals are named.
const REFUSALS_SHOWN: usize = 3;

fn listed(refused: &[KnobError]) -> String {
    let shown: Vec<_> = refused.iter().take(REFUSALS_SHOWN).map(ToString::to_string).collect();
    match refused.len().saturating_sub(REFUSALS_SHOWN) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

impl KnobError {
    /// This, or this and that what was set before it could not be put back.
    pub(crate) fn after(self, put_back: Result<(), Self>) -> Self {
        match put_back {
            Ok(()) => self,
            Err(stays) => Self::HalfDone { refused: Box::new(self), stays: Box::new(stays) },
        }
    }

    /// No permission; what there is to do about that.
    pub(crate) fn denied(path: PathBuf, source: io::Error) -> Self {
        if !nix::unistd::geteuid().is_root() {
            return Self::Permission { path, source };
        }
        // debugfs_locked_down, fs/debugfs/file.c (5.4).
        let why = if path.starts_with("/sys/kernel/debug") && lockdown::is_locked_down() {
            ": the kernel is locked down, and debugfs with it"
        } else {
            ", as in a container, or by a security module"
        };
        Self::Denied { path, source, why }
    }

    /// What became of a write: no permission, or refused.
    pub(crate) fn from_write(path: PathBuf, value: String, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EROFS) => Self::ReadOnly { path },
            // Of EPERM (a kernel's no to root too: locked down, or switched off by the firmware) and EACCES (modes of files).
            Some(libc::EACCES) => Self::denied(path, source),
            Some(ENOTSUPP) => {
                let source = io::Error::other("this kernel has no support for it (ENOTSUPP)");
                Self::Refused { path, value, source }
            }
            _ => Self::Refused { path, value, source },
        }
    }
}

/// The value, if it names only CPUs that the host has.
pub(crate) fn check_cpus<'a>(host: &Host, value: &'a Value) -> Result<&'a Value, KnobError> {
    let Value::Cpus(cpus) = value else { return Ok(value) };
    let absent = host.topology.has(cpus);
    absent.map(|()| value).map_err(|why| KnobError::Impossible { value: value.clone(), why })
}

/// Reads a value of a knob as people write it.
///
/// # Errors
/// No host takes it.
pub fn parse(knob: &dyn Knob, text: &str) -> Result<Value, ValueError> {
    let value = knob.spec().kind.parse(text)?;
    knob.check(&value).map(|()| value)
}

/// Checks the form of a text.
pub(crate) fn check_text(value: &Value, wanted: &str, is_right: impl FnOnce(&str) -> bool) -> Result<(), ValueError> {
    match value {
        Value::Text(text) if !is_right(text) => Err(ValueError { given: text.clone(), wanted: wanted.to_owned() }),
        _ => Ok(()),
    }
}

/// The families.
static FAMILIES: &[&[&'static dyn Knob]] = &[
    cpu::KNOBS,
    isolation::KNOBS,
    memory::KNOBS,
    sched::KNOBS,
    irq::KNOBS,
    process::KNOBS,
    unit::KNOBS,
    sysctl::KNOBS,
    boot::KNOBS,
];

/// Every knob, family by family.
#[must_use]
pub fn knobs() -> Vec<&'static dyn Knob> {
    raw().map(|knob| BOUND.get(knob.spec().id).map_or(knob, |knob| knob as &dyn Knob)).collect()
}

/// As the families have them.
fn raw() -> impl Iterator<Item = &'static dyn Knob> {
    FAMILIES.iter().chain(net::KNOBS).copied().flatten().copied()
}

/// Those whose values say what they are of, by id.
static BOUND: LazyLock<HashMap<&'static str, Bound>> =
    LazyLock::new(|| raw().filter_map(|knob| Some((knob.spec().id, Bound::of(knob)?))).collect());

/// By id: a plan for many CPUs and queues looks up thousands.
static BY_ID: LazyLock<HashMap<&'static str, &'static dyn Knob>> =
    LazyLock::new(|| knobs().into_iter().map(|knob| (knob.spec().id, knob)).collect());

/// The knob of this id.
#[must_use]
pub fn by_id(id: &str) -> Option<&'static dyn Knob> {
    BY_ID.get(id).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_knob_says_what_it_is() {
        let mut ids = HashSet::new();
        for knob in knobs() {
            let KnobSpec { id, doc, source, kind, scope, .. } = knob.spec();
            assert!(ids.insert(*id), "{id} is there twice");
            let letters = |part: &str| {
                !part.is_empty()
                    && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            };
            assert!(id.split('.').all(letters), "{id}: lower-case words with dots between");
            assert!(id.contains('.') || *scope == Scope::Named, "{id} has no family");
            assert!(doc.len() > 20 && doc.ends_with('.') && !doc.contains("  "), "{id}: `{doc}`");
            assert!(!source.is_empty(), "{id} has no source");
            if let Kind::Word(words) = kind {
                assert!(words.len() > 1, "{id}");
            }
            let word = match knob.spec().risk {
                Risk::Low => "low",
                Risk::Medium(word) | Risk::High(word) => word,
            };
            assert!(!word.is_empty() && !word.ends_with('.'), "{id}: `{word}`");
            assert!(by_id(id).is_some_and(|known| known.spec().id == *id));
        }
        assert!(ids.len() > 50, "{}", ids.len());
    }

    #[test]
    fn a_kernels_no_to_root_is_no_matter_of_permission() {
        let error = |errno| KnobError::from_write("/sys/x".into(), "1".to_owned(), io::Error::from_raw_os_error(errno));
        assert!(matches!(error(libc::EPERM), KnobError::Refused { .. }));
        let is_root = nix::unistd::geteuid().is_root();
        assert_eq!(matches!(error(libc::EACCES), KnobError::Denied { .. }), is_root, "{}", error(libc::EACCES));
        assert_eq!(matches!(error(libc::EACCES), KnobError::Permission { .. }), !is_root, "{}", error(libc::EACCES));
        assert!(matches!(error(libc::EROFS), KnobError::ReadOnly { .. }));
        assert!(error(ENOTSUPP).to_string().ends_with("no support for it (ENOTSUPP)"), "{}", error(ENOTSUPP));
    }
}
