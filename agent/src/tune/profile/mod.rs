//! Profiles: what a host is wanted to be, as data.

mod bounds;
mod condition;
mod folder;
mod parse;
mod shipped;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use super::{ValueError, variables};
use crate::excerpt;
use crate::host::Root;
use crate::text::{shown, shown_path};
use folder::Folder;

pub(super) use bounds::{ALL_EXPANDED, Budget, DEPTH, EXPANDED, RULES, WANTED, WORDS};
pub(super) use parse::is_path;

pub use condition::Condition;
pub use shipped::SHIPPED;

/// What a host is wanted to be, with everything that it includes.
#[derive(Clone, Debug)]
pub struct TuningProfile {
    /// What it is called.
    pub name: String,
    /// What it is for, in a sentence.
    pub summary: String,
    /// What its settings may name as `${name}`, as written.
    pub variables: BTreeMap<String, Variable>,
    /// The settings, those of included profiles first; each knob with the same `on` once.
    pub settings: Vec<Setting>,
}

/// A variable of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// As written.
    pub text: String,
    /// Where.
    pub at: Place,
}

/// One line of what is wanted.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The knob's id.
    pub knob: &'static str,
    /// On which of its targets, as written; all where nothing is.
    pub on: Option<String>,
    /// The value, as written.
    pub value: String,
    /// Why one would want it.
    pub reason: String,
    /// On which hosts.
    pub condition: Condition,
    /// Whether the rest is worth having where this one is refused.
    pub optional: bool,
    /// Where it stands.
    pub at: Place,
}

/// A place in a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, or `NAME.toml` of a shipped profile.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The key there.
    pub key: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", shown_path(&self.file), self.line, shown(&self.key))
    }
}

/// A profile that is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// There is none of this name.
    #[error(
        "{}no profile `{}`{}: there are {}, or give the path of a file",
        included(from.as_deref()),
        shown(name),
        likely(near.as_deref()),
        shown(&known.join(", "))
    )]
    Unknown {
        /// Where it is included; `None` where it was asked for itself.
        from: Option<Box<Place>>,
        /// The name.
        name: String,
        /// What was most likely meant.
        near: Option<String>,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A file cannot be read.
    #[error("could not read the profile {}", shown_path(file))]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no TOML, or has keys that profiles do not have.
    #[error("{}:{line}: {why}", shown_path(file))]
    Syntax {
        /// The file.
        file: PathBuf,
        /// The line.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A profile includes itself, by whatever way.
    #[error("{at}: {} includes itself: {}", way.first().map_or_else(String::new, |name| shown(name).into_owned()), shown(&way.join(" > ")))]
    Cycle {
        /// Where.
        at: Place,
        /// The names from one to itself.
        way: Vec<String>,
    },
    /// There is no such knob.
    #[error("{at}: no knob {}{}; `quell list knobs` shows them", excerpt::quoted(knob), likely(*near))]
    Knob {
        /// Where.
        at: Place,
        /// The id.
        knob: String,
        /// The most like it.
        near: Option<&'static str>,
    },
    /// The same setting twice in one file.
    #[error("{at}: {knob} is set a second time on the same; it was at line {line}")]
    Twice {
        /// Where.
        at: Place,
        /// The knob.
        knob: &'static str,
        /// The first time.
        line: usize,
    },
    /// A knob does not take a value.
    #[error("{at}: {source}")]
    Value {
        /// Where.
        at: Place,
        /// What is wrong.
        source: ValueError,
    },
    /// Something else that one key says.
    #[error("{at}: {why}")]
    Key {
        /// Where.
        at: Place,
        /// What is wrong.
        why: String,
    },
    /// A variable cannot have what the command line gives it.
    #[error("--set {}: {why}", shown(name))]
    Given {
        /// The variable.
        name: String,
        /// What is wrong.
        why: String,
    },
}

fn included(from: Option<&Place>) -> String {
    from.map_or_else(String::new, |at| format!("{at}: "))
}

/// The end of a message about a name that is not known.
fn likely(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!(", did you mean `{}`?", shown(near)))
}

/// Where profiles of the host's own are, before the shipped ones.
pub const DIRECTORY: &str = "/etc/quell/profiles";

impl TuningProfile {
    /// Reads a profile and what it includes: a path, the name of a file in `directory`, or a shipped one.
    ///
    /// # Errors
    /// It, or what it includes, is not as it should be.
    pub fn load(name: &str, directory: &Path) -> Result<Self, ProfileError> {
        parse::load(name, &Folder::Named(directory.to_owned()))
    }

    /// As [`load`](Self::load), with the [directory](DIRECTORY) of a host.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub fn load_for(name: &str, root: &Root) -> Result<Self, ProfileError> {
        parse::load(name, &Folder::Host(root.clone(), DIRECTORY.to_owned()))
    }

    /// The variables that what it sets is in terms of.
    #[must_use]
    pub fn used(&self) -> BTreeSet<&str> {
        let texts = self.settings.iter().flat_map(|setting| setting.on.iter().chain([&setting.value]));
        texts.flat_map(|text| variables::names(text)).collect()
    }
}
