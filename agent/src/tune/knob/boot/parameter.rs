//! Parameters of the kernel command line, by name.

use std::collections::BTreeMap;

use crate::host::{BootLoader, Host};
use crate::tune::knob::boot::command_line::Parameters;
use crate::tune::knob::boot::effect;
use crate::tune::knob::boot::loader_file::{self, LoaderFile};
use crate::tune::knob::checks::check_text;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::{Configuration, Knob};
use crate::tune::knob::parts::{self, Change};
use crate::tune::knob::reading::{Activation, Held, Reading};
use crate::tune::knob::spec::{KnobSpec, Lifetime, Risk, Stage};
use crate::tune::knob::value_file::check_writable;
use crate::tune::value::{KnobTarget, Scope, Value, ValueError, ValueKind};

/// A knob for kernel parameters, either with or without a value.
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
    "if the host does not boot with it, edit the command line in the menu of the boot loader, then run `quell tune rollback` and \
     reboot",
);

pub(super) static PARAMETER: Parameter = Parameter {
    spec: KnobSpec {
        id: "boot.parameter",
        doc: "A parameter of the kernel command line with a value, from the next boot on: on `nohz_full`, the value `2-5`. An empty \
              value removes the parameter that quell added. `hugepages:1G` is the number of huge pages of that size. The parameter \
              is added to the configuration of GRUB, or to the entries of the Boot Loader Specification; existing parameters are \
              not modified.",
        source: SOURCE,
        kind: ValueKind::Text,
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
        doc: "A parameter of the kernel command line without a value, from the next boot on: on `nosoftlockup`, `on` or `off`.",
        source: SOURCE,
        kind: ValueKind::Switch,
        scope: Scope::Named,
        lifetime: Lifetime::NextBoot,
        risk: RISK,
        stage: Stage::NextBoot,
        ..KnobSpec::RUNTIME
    },
    form: Form::Flag,
};

/// Parameters of which the kernel uses the first occurrence and ignores a different second one (housekeeping_setup,
/// kernel/sched/isolation.c; hugepages_setup, mm/hugetlb.c). `rcu_nocbs` is not one of them (rcu_nocb_setup,
/// kernel/rcu/tree_nocb.h).
const FIRST_COUNTS: [&str; 3] = ["isolcpus", "nohz_full", "hugepages"];

/// Characters that a shell interprets. GRUB uses a shell to read the value.
const SHELL_CHARACTERS: &str = "\"'$`\\;&|<>(){}";

/// Parameters whose values are lists of CPUs.
const CPU_LISTS: [&str; 4] = ["isolcpus", "nohz_full", "rcu_nocbs", "irqaffinity"];

impl Form {
    /// The value of a parameter on a command line; `None` if the parameter is not on it.
    fn value_of(self, parameters: &Parameters, name: &str) -> Option<Value> {
        match self {
            Self::WithValue => parameters.value(name).map(|value| Value::Text(value.to_owned())),
            Self::Flag => parameters.flag(name).then_some(Value::Switch(true)),
        }
    }

    /// The value that represents a parameter that is not on the command line.
    fn absent_value(self) -> Value {
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
    /// The value of a parameter in a file: the value that quell wrote, and the effective value.
    fn value(&self, file: &LoaderFile, name: &str, files: &[LoaderFile]) -> Value {
        let own = self.form.value_of(&file.own, name);
        // GRUB reads all of its files. Before this file existed, quell may have written the parameter to another file.
        let is_grub = BootLoader::is_grub_file(&file.path);
        let other_files = files.iter().filter(|other| is_grub && BootLoader::is_grub_file(&other.path));
        let elsewhere = || other_files.clone().find_map(|other| self.form.value_of(&other.own, name));
        let effective = own.clone().or_else(elsewhere).or_else(|| self.form.value_of(&file.others, name));
        Value::Staged {
            own: own.map(Box::new),
            effective: Box::new(effective.unwrap_or_else(|| self.form.absent_value())),
        }
    }

    /// The value that quell has to write to a file, if any.
    fn own_value(&self, file: &LoaderFile, name: &str, value: &Value) -> Option<Value> {
        match value {
            Value::PerPart(parts) => parts.get(&file.path).and_then(|part| self.own_value(file, name, part)),
            Value::Staged { own, .. } => own.as_deref().cloned(),
            // Nothing reads the file any more.
            _ if !file.is_read => None,
            // If the rest of the configuration sets the same value, quell writes nothing.
            desired => {
                let others = self.form.value_of(&file.others, name).unwrap_or_else(|| self.form.absent_value());
                (*desired != others).then(|| desired.clone())
            }
        }
    }

    /// The files that have to be changed.
    fn changes(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Vec<Change<String>>, KnobError> {
        let name = name(target)?;
        let mut changes = Vec::new();
        let mut files = loader_file::read(host)?;
        if let Value::PerPart(parts) = value {
            // Files that nothing reads any more are restored too, if quell had parameters there.
            let unread = parts.keys().filter(|path| files.iter().all(|known| known.path != **path));
            let unread: Vec<_> = unread.filter(|path| own(&parts[*path]).is_some()).collect();
            for path in unread {
                files.push(loader_file::read_one(host, path, false)?);
            }
        }
        for file in files {
            let (current, desired) = (self.form.value_of(&file.own, name), self.own_value(&file, name, value));
            if current != desired {
                changes.push(Change {
                    part: file.path,
                    current: self.own_only(current),
                    desired: self.own_only(desired),
                });
            }
        }
        Ok(changes)
    }

    /// A staged value in which only quell's part matters.
    fn own_only(&self, own: Option<Value>) -> Value {
        Value::Staged { own: own.map(Box::new), effective: Box::new(self.form.absent_value()) }
    }

    /// Writes the parameter to a file, and keeps quell's other parameters.
    fn set(&self, host: &Host, target: &KnobTarget, file: &str, value: &Value) -> Result<(), KnobError> {
        let mut parameters = loader_file::read_one(host, file, true)?.own;
        self.form.set(&mut parameters, name(target)?, own(value).unwrap_or(&self.form.absent_value()));
        loader_file::write(host, file, &parameters)
    }
}

/// The value that quell wrote, from a staged value.
fn own(value: &Value) -> Option<&Value> {
    if let Value::Staged { own, .. } = value { own.as_deref() } else { None }
}

fn name(target: &KnobTarget) -> Result<&str, KnobError> {
    match target {
        KnobTarget::Name(name) => Ok(name),
        other => Err(KnobError::WrongTarget { target: other.clone() }),
    }
}

impl Knob for Parameter {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn check_value(&self, value: &Value) -> Result<(), ValueError> {
        let expected = format!("text without spaces and characters that a shell interprets ({SHELL_CHARACTERS})");
        check_text(value, &expected, |text| !text.contains(|c: char| c.is_whitespace() || SHELL_CHARACTERS.contains(c)))
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        let name = name(target)?;
        let files = loader_file::read(host)?;
        // A file that nothing reads is relevant only if quell wrote the parameter to it.
        let relevant = files.iter().filter(|file| file.is_read || self.form.value_of(&file.own, name).is_some());
        let parts: BTreeMap<String, Value> =
            relevant.map(|file| (file.path.clone(), self.value(file, name, &files))).collect();
        if parts.is_empty() {
            let reason = "no supported boot loader (GRUB, or entries of the Boot Loader Specification): set the command line where \
                          the host is booted from";
            return Ok(Reading::Absent(reason.to_owned()));
        }
        Ok(Reading::Value(Value::PerPart(parts)))
    }

    fn normalize(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Value, KnobError> {
        let name = name(target)?;
        let impossible = |reason: String| KnobError::Impossible { value: value.clone(), reason };
        if name.contains(['=', '"', '\'', '$', '`', '\\']) {
            return Err(impossible(format!("`{name}` is not the name of a parameter")));
        }
        self.check_value(value).map_err(|error| impossible(error.to_string()))?;
        if let Value::Text(text) = value
            && CPU_LISTS.contains(&name)
        {
            // The kernel ignores a list that contains an impossible CPU, and reports this only in its log (housekeeping_setup,
            // kernel/sched/isolation.c).
            host.topology.has(&effect::cpus_in(text)).map_err(impossible)?;
        }
        if let Some(reason) = effect::ignored_by_kernel(host, name) {
            return Err(impossible(reason));
        }
        let base = name.split(':').next().unwrap_or(name);
        for file in loader_file::read(host)? {
            let others = self.form.value_of(&file.others, name);
            if let Some(other) = others.clone().filter(|other| other != value).filter(|_| FIRST_COUNTS.contains(&base))
            {
                return Err(impossible(format!(
                    "the command line already has {name}={}, which was not set by quell and would have precedence: remove it first",
                    other.brief()
                )));
            }
            if value == &self.form.absent_value() && others.is_some() {
                return Err(impossible(format!("{name} on the command line was not set by quell: remove it there")));
            }
        }
        Ok(value.clone())
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        if loader_file::loader(host)?.is_none() {
            return Err(KnobError::Impossible { value: value.clone(), reason: "no supported boot loader".to_owned() });
        }
        let changes = self.changes(host, target, value)?;
        parts::all_or_none(&changes, |file, value| self.set(host, target, file, value)).map(|()| Held::Nothing)
    }

    fn restore(&self, host: &Host, target: &KnobTarget, before: &Value) -> Result<(), KnobError> {
        let changes = self.changes(host, target, before)?;
        parts::best_effort(&changes, |file, value| self.set(host, target, file, value))
    }

    fn check_writable(&self, host: &Host, _: &KnobTarget) -> Result<(), KnobError> {
        loader_file::read(host)?.iter().try_for_each(|file| check_writable(host, &file.path))
    }

    /// Compares quell's parameters in all files. Files that were added later, for example with a new kernel, must not contain
    /// any.
    fn matches(&self, current: &Value, expected: &Value) -> bool {
        match (current, expected) {
            (Value::PerPart(current), Value::PerPart(before)) => {
                let own_in = |parts: &BTreeMap<String, Value>, file: &str| parts.get(file).and_then(own).cloned();
                current.keys().chain(before.keys()).all(|file| own_in(current, file) == own_in(before, file))
            }
            _ => current.matches(expected),
        }
    }

    fn configuration(&self) -> Option<&dyn Configuration> {
        Some(self)
    }
}

impl Configuration for Parameter {
    fn activation(&self, host: &Host, target: &KnobTarget, desired: &Value) -> Result<Activation, KnobError> {
        let name = name(target)?;
        let running = self.form.value_of(&Parameters::of(&host.command_line), name);
        let running = running.unwrap_or_else(|| self.form.absent_value());
        if running != *desired {
            return Ok(Activation::Inactive { running });
        }
        let effect = effect::partial_effect(host, name, desired)?;
        Ok(effect.map_or(Activation::Active, |running| Activation::Inactive { running }))
    }

    fn files(&self, host: &Host, _: &KnobTarget) -> Result<Vec<String>, KnobError> {
        loader_file::paths(host)
    }

    fn activate(&self, host: &Host) -> Result<(), KnobError> {
        loader_file::generate_menu(host)
    }
}
