//! What can be set: a file for each family, a line for each knob in its family's table.
//!
//! A knob reads and writes; everything else, saving, journaling, verifying and restoring, is done for it.

mod boot;
mod bound;
mod command;
mod cpu;
mod error;
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
mod spec;
mod sysctl;
mod threads;
mod unit;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use bound::Bound;

use super::{MatchedProcess, Target, Value, ValueError};
use crate::host::Host;

pub(crate) use isolation::partition_group;

pub use error::KnobError;
pub use file::{Codec, FileKnob};
pub use spec::{KeptBy, KnobSpec, Lifetime, Risk, Stage};

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

/// What a plan takes from a target: what it is set to, and what that is the value of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// What it is set to.
    pub reading: Reading,
    /// The processes that a rule matches; none for what is no rule.
    pub processes: Vec<MatchedProcess>,
    /// What the user should know of it: what could not be read and is left out.
    pub remarks: Vec<String>,
}

impl From<Reading> for Survey {
    fn from(reading: Reading) -> Self {
        Self { reading, processes: Vec::new(), remarks: Vec::new() }
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

    /// What it is set to, for a plan: with the processes that it is about, and what is left out.
    ///
    /// # Errors
    /// As for [`read`](Self::read); and a rule matches what it may not.
    fn survey(&self, host: &Host, target: &Target) -> Result<Survey, KnobError> {
        self.read(host, target).map(Survey::from)
    }

    /// What it is set to, for a plan that is carried out: of a rule, on the processes that the plan names and no others.
    ///
    /// # Errors
    /// As for [`read`](Self::read); and a rule matches processes of other users than the plan names.
    fn read_planned(&self, host: &Host, target: &Target, _planned: &[MatchedProcess]) -> Result<Reading, KnobError> {
        self.read(host, target)
    }

    /// Whether the processes that a plan names are what they were then, just before they are set and just after.
    ///
    /// # Errors
    /// One is not: it executes another program, or has another user.
    fn recheck(&self, _host: &Host, _planned: &[MatchedProcess]) -> Result<(), KnobError> {
        Ok(())
    }

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

    /// Whether `now` is a privilege that was granted by setting what was `wanted` where there was `before`. It is put back, whoever has
    /// changed it since: a process may give up some of a privilege by itself, and would keep the rest.
    fn is_granted(&self, _now: &Value, _before: &Value, _wanted: &Value) -> bool {
        false
    }

    /// Takes a privilege that setting what was `wanted` has granted from all that can only have inherited it, once `before` is put
    /// back. Who has it still, and why, in words; `None` where nobody has.
    ///
    /// # Errors
    /// It cannot be told who has it.
    fn revoke(
        &self,
        _host: &Host,
        _before: &Value,
        _wanted: &Value,
        _processes: &[MatchedProcess],
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

    /// Whether `now` is as good as what was `wanted`: by plan, after a write, and by verification. Whether it is what was before is
    /// [`meets`](Self::meets) alone.
    fn satisfies(&self, now: &Value, wanted: &Value) -> bool {
        self.meets(now, wanted)
    }

    /// A wanted value as people are shown it beside what is: of one that each part gets a share of, that it does.
    fn in_words(&self, wanted: &Value) -> String {
        wanted.to_string()
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
    fn files_on_disk(&self, _host: &Host, _target: &Target) -> Result<Vec<String>, KnobError> {
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

/// Reads every process and thread of a tree.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz_processes(root: &crate::host::Root) {
    if let Ok(processes) = threads::processes(root) {
        for thread in &processes.threads {
            let _ = thread.part();
        }
    }
    let _ = threads::threads_of(root, crate::units::Pid(10));
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::tune::{Kind, Scope};

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

    /// Else a profile that sets the same by `sysfs` would make a second value of it.
    #[test]
    fn knobs_that_do_more_than_write_a_file_say_which_it_is() {
        for id in ["memory.thp", "cpu.smt", "cpu.platform_profile"] {
            let file = by_id(id).expect(id).file(&Target::Host).expect(id);
            assert!(file.starts_with("/sys/"), "{id}: {file}");
        }
    }
}
