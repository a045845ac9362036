//! Parameters of the command line, staged by name.

use std::collections::BTreeMap;

use super::effect;
use super::line::Parameters;
use super::staged::{self, Staged};
use crate::host::{BootLoader, Host};
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Lifetime, Reading, Risk, Running, Stage};
use crate::tune::{Kind, Scope, Target, Value};

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
    },
    form: Form::Flag,
};

/// Parameters of which a second one does not take the place of the first: it is ignored where it differs
/// (housekeeping_setup, kernel/sched/isolation.c; hugepages_setup, mm/hugetlb.c). That of `rcu_nocbs` does
/// (rcu_nocb_setup, kernel/rcu/tree_nocb.h).
const NOT_TWICE: [&str; 3] = ["isolcpus", "nohz_full", "hugepages"];

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
    fn read_file(&self, staged: &Staged, name: &str) -> Value {
        let own = self.form.of(&staged.own, name);
        own.or_else(|| self.form.of(&staged.theirs, name)).unwrap_or_else(|| self.form.none())
    }
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

    fn targets(&self, _: &Host) -> Vec<Target> {
        Vec::new()
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        let name = name(target)?;
        let Some(loader) = BootLoader::of(&host.root) else {
            let why = "there is no boot loader here that quell knows, GRUB or entries: set the command line where this host is \
                       started from";
            return Ok(Reading::Absent(why.to_owned()));
        };
        let mut parts = BTreeMap::new();
        for file in staged::read(host, &loader)? {
            parts.insert(file.file.clone(), self.read_file(&file, name));
        }
        let mut values = parts.values();
        let first = values.next().cloned().unwrap_or_else(|| self.form.none());
        // As a rule they agree.
        Ok(Reading::Value(if values.all(|value| *value == first) { first } else { Value::Each(parts) }))
    }

    fn normalize(&self, host: &Host, target: &Target, value: &Value) -> Result<Value, KnobError> {
        let name = name(target)?;
        let impossible = |why: String| KnobError::Impossible { value: value.clone(), why };
        if name.contains(['=', '"', '\'', '$', '`', '\\']) {
            return Err(impossible(format!("`{name}` is no name of a parameter")));
        }
        if let Value::Text(text) = value {
            // A shell reads it on its way through GRUB, and a space would end it.
            let unsafe_letter = text.chars().find(|c| c.is_whitespace() || "\"'$`\\;&|<>(){}".contains(*c));
            if let Some(letter) = unsafe_letter {
                return Err(impossible(format!("`{letter}` cannot be on a command line that quell writes")));
            }
        }
        if let Some(why) = effect::unknown_to_kernel(host, name) {
            return Err(impossible(why));
        }
        let Some(loader) = BootLoader::of(&host.root) else { return Ok(value.clone()) };
        let base = name.split(':').next().unwrap_or(name);
        for file in staged::read(host, &loader)? {
            let theirs = self.form.of(&file.theirs, name).filter(|theirs| theirs != value);
            if let Some(theirs) = theirs.filter(|_| NOT_TWICE.contains(&base)) {
                return Err(impossible(format!(
                    "the command line has {name}={theirs} already, not from quell: a second one does not replace it. Remove it there"
                )));
            }
            if value == &self.form.none() && self.form.of(&file.theirs, name).is_some() {
                return Err(impossible(format!("{name} is on the command line and not from quell: remove it there")));
            }
        }
        Ok(value.clone())
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let name = name(target)?;
        let none = || KnobError::Impossible { value: value.clone(), why: "there is no boot loader".to_owned() };
        let loader = BootLoader::of(&host.root).ok_or_else(none)?;
        let mut written: Vec<Staged> = Vec::new();
        for mut file in staged::read(host, &loader)? {
            let before = file.clone();
            let wanted = match value {
                Value::Each(parts) => parts.get(&file.file),
                value => Some(value),
            };
            let Some(wanted) = wanted else { continue };
            // What the user's own words say needs none of quell's: so undoing leaves the file as it was.
            let theirs = self.form.of(&file.theirs, name).unwrap_or_else(|| self.form.none());
            let own = if *wanted == theirs { self.form.none() } else { wanted.clone() };
            self.form.set(&mut file.own, name, &own);
            if file == before {
                continue;
            }
            if let Err(error) = staged::write(host, &loader, &file) {
                for before in written.iter().rev() {
                    // It was written a moment ago, so it can be again; where not, the journal has what was before.
                    let _ = staged::write(host, &loader, before);
                }
                return Err(error);
            }
            written.push(before);
        }
        Ok(Held::Nothing)
    }

    fn running(&self, host: &Host, target: &Target, wanted: &Value) -> Result<Running, KnobError> {
        let name = name(target)?;
        let now = self.form.of(&Parameters::of(&host.command_line), name).unwrap_or_else(|| self.form.none());
        if now != *wanted {
            return Ok(Running::Otherwise { now });
        }
        Ok(effect::lacking(host, name, wanted).map_or(Running::InForce, |now| Running::Otherwise { now }))
    }

    fn settle(&self, host: &Host) -> Result<(), KnobError> {
        BootLoader::of(&host.root).map_or(Ok(()), |loader| staged::settle(host, &loader))
    }
}
