//! Parameters of the command line, staged by name.

use std::collections::BTreeMap;

use super::effect;
use super::line::Parameters;
use super::staged::{self, Staged};
use crate::host::{BootLoader, Host};
use crate::tune::knob::file::changeable;
use crate::tune::knob::parts::{self, Change};
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Lifetime, Reading, Risk, Running, Stage, check_text};
use crate::tune::{Kind, Scope, Target, Value, ValueError};

/// A parameter with a value, or a word without.
pub(super) struct Parameter {
    spec: KnobSpec,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    WithValue,
    Flag,
}

const SOURCE: &str = "Documentation/admin-guide/kernel-parameters.txt";
const RISK: Risk = Risk::High(
    "a host that does not boot with it must be started with the line edited in the boot loader's menu; take it back with \
     `quell tune rollback` and boot",
);

pub(super) static PARAMETER: Parameter = Parameter {
    spec: KnobSpec {
        id: "boot.parameter",
        doc: "A parameter of the kernel's command line, from the next boot on: on `nohz_full`, the value `2-5`. Empty for no such \
              parameter of quell's. Huge pages of a size are on `hugepages:1G`. Staged for GRUB or for entries of the Boot Loader \
              Specification, beside what the user's own files say, which stays as it is.",
        source: SOURCE,
        kind: Kind::Text,
        scope: Scope::Named,
        lifetime: Lifetime::NextBoot,
        risk: RISK,
        stage: Stage::NextBoot,
        ..KnobSpec::RUNTIME
    },
    form: Form::WithValue,
};

pub(super) static FLAG: Parameter = Parameter {
    spec: KnobSpec {
        id: "boot.flag",
        doc: "A word of the kernel's command line that has no value, from the next boot on: on `nosoftlockup`, `on` or `off`.",
        source: SOURCE,
        kind: Kind::Switch,
        scope: Scope::Named,
        lifetime: Lifetime::NextBoot,
        risk: RISK,
        stage: Stage::NextBoot,
        ..KnobSpec::RUNTIME
    },
    form: Form::Flag,
};

/// Parameters of which a second one does not take the place of the first: it is ignored where it differs
/// (housekeeping_setup, kernel/sched/isolation.c; hugepages_setup, mm/hugetlb.c). That of `rcu_nocbs` does
/// (rcu_nocb_setup, kernel/rcu/tree_nocb.h).
const NOT_TWICE: [&str; 3] = ["isolcpus", "nohz_full", "hugepages"];

const UNSAFE: &str = "\"'$`\\;&|<>(){}";

/// Parameters whose values are CPUs.
const OF_CPUS: [&str; 4] = ["isolcpus", "nohz_full", "rcu_nocbs", "irqaffinity"];

impl Form {
    /// What a line says of a parameter: where it says nothing, an empty text, or off.
    fn of(self, parameters: &Parameters, name: &str) -> Option<Value> {
        match self {
            Self::WithValue => parameters.value(name).map(|value| Value::Text(value.to_owned())),
            Self::Flag => parameters.flag(name).then_some(Value::Switch(true)),
        }
    }

    fn none(self) -> Value {
        match self {
            Self::WithValue => Value::Text(String::new()),
            Self::Flag => Value::Switch(false),
        }
    }

    fn set(self, parameters: &mut Parameters, name: &str, value: &Value) {
        match (self, value) {
            (Self::WithValue, Value::Text(text)) => {
                parameters.set_value(name, Some(text.as_str()).filter(|text| !text.is_empty()))
            }
            (Self::WithValue, other) => parameters.set_value(name, Some(&other.to_string())),
            (Self::Flag, value) => parameters.set_flag(name, *value == Value::Switch(true)),
        }
    }
}

impl Parameter {
    /// What a file says of a parameter: quell's own word, and what it comes to with everybody's.
    fn value(&self, staged: &Staged, name: &str, files: &[Staged]) -> Value {
        let own = self.form.of(&staged.own, name);
        // GRUB reads quell's words in another of its files as well, where they were before this one was there.
        let grub = BootLoader::is_grub_file(&staged.file);
        let elsewhere = files.iter().filter(|other| grub && BootLoader::is_grub_file(&other.file));
        let elsewhere = || elsewhere.clone().find_map(|other| self.form.of(&other.own, name));
        let effective = own.clone().or_else(elsewhere).or_else(|| self.form.of(&staged.theirs, name));
        Value::Staged { own: own.map(Box::new), effective: Box::new(effective.unwrap_or_else(|| self.form.none())) }
    }

    /// What a file is to say for quell.
    fn own(&self, staged: &Staged, name: &str, value: &Value) -> Option<Value> {
        match value {
            Value::Each(parts) => parts.get(&staged.file).and_then(|part| self.own(staged, name, part)),
            Value::Staged { own, .. } => own.as_deref().cloned(),
            // One that nothing reads any more.
            _ if !staged.counts => None,
            // What the user's own words say needs none of quell's.
            wanted => {
                let theirs = self.form.of(&staged.theirs, name).unwrap_or_else(|| self.form.none());
                (*wanted != theirs).then(|| wanted.clone())
            }
        }
    }

    /// The files that are to say something else.
    fn changes(&self, host: &Host, target: &Target, value: &Value) -> Result<Vec<Change<String>>, KnobError> {
        let name = name(target)?;
        let mut changes = Vec::new();
        let mut files = staged::read(host)?;
        if let Value::Each(parts) = value {
            // A file that nothing reads any more is to have its words again, if quell had some there.
            let lost = parts.keys().filter(|file| files.iter().all(|known| known.file != **file));
            let lost: Vec<_> = lost.filter(|file| own(&parts[*file]).is_some()).collect();
            for file in lost {
                files.push(staged::of(host, file, false)?);
            }
        }
        let own_words =
            |own: Option<Value>| Value::Staged { own: own.map(Box::new), effective: Box::new(self.form.none()) };
        for file in files {
            let (now, wanted) = (self.form.of(&file.own, name), self.own(&file, name, value));
            if now != wanted {
                changes.push(Change { part: file.file, now: own_words(now), wanted: own_words(wanted) });
            }
        }
        Ok(changes)
    }

    /// Writes quell's word of a file, beside those of other parameters.
    fn set(&self, host: &Host, target: &Target, file: &str, value: &Value) -> Result<(), KnobError> {
        let mut words = staged::of(host, file, true)?.own;
        self.form.set(&mut words, name(target)?, own(value).unwrap_or(&self.form.none()));
        staged::write(host, file, &words)
    }
}

/// quell's own word of a staged value.
fn own(value: &Value) -> Option<&Value> {
    if let Value::Staged { own, .. } = value { own.as_deref() } else { None }
}

fn name(target: &Target) -> Result<&str, KnobError> {
    match target {
        Target::Name(name) => Ok(name),
        other => Err(KnobError::Target { target: other.clone() }),
    }
}

impl Knob for Parameter {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn check(&self, value: &Value) -> Result<(), ValueError> {
        // A shell reads it on its way through GRUB, and a space would end it.
        let wanted = format!("text without spaces and without what a shell reads otherwise ({UNSAFE})");
        check_text(value, &wanted, |text| !text.contains(|c: char| c.is_whitespace() || UNSAFE.contains(c)))
    }

    fn targets(&self, _: &Host) -> Vec<Target> {
        Vec::new()
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        let name = name(target)?;
        let files = staged::read(host)?;
        let of = |file: &Staged| (file.file.clone(), self.value(file, name, &files));
        // Where a file does not count, nothing but a word of quell's that is in it does.
        let there = files.iter().filter(|file| file.counts || self.form.of(&file.own, name).is_some());
        let parts: BTreeMap<String, Value> = there.map(of).collect();
        if parts.is_empty() {
            let why = "there is no boot loader here that quell knows, GRUB or entries: set the command line where this host is \
                       started from";
            return Ok(Reading::Absent(why.to_owned()));
        }
        Ok(Reading::Value(Value::Each(parts)))
    }

    fn normalize(&self, host: &Host, target: &Target, value: &Value) -> Result<Value, KnobError> {
        let name = name(target)?;
        let impossible = |why: String| KnobError::Impossible { value: value.clone(), why };
        if name.contains(['=', '"', '\'', '$', '`', '\\']) {
            return Err(impossible(format!("`{name}` is no name of a parameter")));
        }
        self.check(value).map_err(|error| impossible(error.to_string()))?;
        if let Value::Text(text) = value
            && OF_CPUS.contains(&name)
        {
            // A kernel drops the whole list for a CPU that it cannot have, and says so in its log only (housekeeping_setup,
            // kernel/sched/isolation.c).
            host.topology.has(&effect::cpus_in(text)).map_err(impossible)?;
        }
        if let Some(why) = effect::unknown_to_kernel(host, name) {
            return Err(impossible(why));
        }
        let base = name.split(':').next().unwrap_or(name);
        for file in staged::read(host)? {
            let theirs = self.form.of(&file.theirs, name).filter(|theirs| theirs != value);
            if let Some(theirs) = theirs.filter(|_| NOT_TWICE.contains(&base)) {
                return Err(impossible(format!(
                    "the command line has {name}={} already, not from quell: a second one does not replace it. Remove it there",
                    theirs.brief()
                )));
            }
            if value == &self.form.none() && self.form.of(&file.theirs, name).is_some() {
                return Err(impossible(format!("{name} is on the command line and not from quell: remove it there")));
            }
        }
        Ok(value.clone())
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        if staged::loader(host)?.is_none() {
            return Err(KnobError::Impossible { value: value.clone(), why: "there is no boot loader".to_owned() });
        }
        let changes = self.changes(host, target, value)?;
        parts::all_or_none(&changes, |file, value| self.set(host, target, file, value)).map(|()| Held::Nothing)
    }

    fn restore(&self, host: &Host, target: &Target, before: &Value) -> Result<(), KnobError> {
        let changes = self.changes(host, target, before)?;
        parts::as_many_as_can_be(&changes, |file, value| self.set(host, target, file, value))
    }

    fn changeable(&self, host: &Host, _: &Target) -> Result<(), KnobError> {
        staged::read(host)?.iter().try_for_each(|file| changeable(host, &file.file))
    }

    /// What was before is what quell had said before, and nothing in every other file: there may be more of them by now, a kernel's
    /// that was installed since.
    fn meets(&self, now: &Value, wanted: &Value) -> bool {
        match (now, wanted) {
            (Value::Each(now), Value::Each(before)) => {
                let of = |parts: &BTreeMap<String, Value>, file: &str| parts.get(file).and_then(own).cloned();
                now.keys().chain(before.keys()).all(|file| of(now, file) == of(before, file))
            }
            _ => now.meets(wanted),
        }
    }

    fn running(&self, host: &Host, target: &Target, wanted: &Value) -> Result<Running, KnobError> {
        let name = name(target)?;
        let now = self.form.of(&Parameters::of(&host.command_line), name).unwrap_or_else(|| self.form.none());
        if now != *wanted {
            return Ok(Running::Otherwise { now });
        }
        Ok(effect::lacking(host, name, wanted)?.map_or(Running::InForce, |now| Running::Otherwise { now }))
    }

    fn files_on_disk(&self, host: &Host, _: &Target) -> Result<Vec<String>, KnobError> {
        staged::files(host)
    }

    fn settle(&self, host: &Host) -> Result<(), KnobError> {
        staged::settle(host)
    }
}
