//! A tuning profile with everything that it includes.

use std::collections::{BTreeMap, BTreeSet};

use super::condition::Condition;
use super::place::Place;
use super::template::variable_names;

/// A tuning profile with everything that it includes.
#[derive(Clone, Debug)]
pub struct TuningProfile {
    /// The name: the name of the file without the extension.
    pub name: String,
    /// The purpose, in a sentence.
    pub summary: String,
    /// The variables that settings may use as `${name}`, by name.
    pub variables: BTreeMap<String, Variable>,
    /// The settings, with the settings of included profiles first; each combination of knob and `on` occurs once.
    pub settings: Vec<Setting>,
}

/// A variable of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The value in the file, before other variables are expanded.
    pub text: String,
    /// The position of the value.
    pub at: Place,
}

/// A `[[set]]` table of a profile.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The id of the knob.
    pub knob: &'static str,
    /// The targets, before variables are expanded; `None` for all targets.
    pub on: Option<String>,
    /// The value, before variables are expanded.
    pub value: String,
    /// Why the value is useful.
    pub reason: String,
    /// The hosts to which the setting applies.
    pub condition: Condition,
    /// Whether the other settings are applied if this one is refused.
    pub optional: bool,
    /// The position of the setting.
    pub at: Place,
}

impl TuningProfile {
    /// The names of the variables that the settings use.
    #[must_use]
    pub fn used_variables(&self) -> BTreeSet<&str> {
        let texts = self.settings.iter().flat_map(|setting| setting.on.iter().chain([&setting.value]));
        texts.flat_map(|text| variable_names(text)).collect()
    }
}
