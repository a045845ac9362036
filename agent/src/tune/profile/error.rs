//! Errors of profiles.

use std::path::PathBuf;

use super::place::Place;
use crate::excerpt;
use crate::text::{shown, shown_path};
use crate::tune::value::ValueError;

/// A profile that cannot be read, or that cannot be applied to the host.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// There is no profile with this name.
    #[error(
        "{}there is no profile `{}`; known profiles are {}\nhint: {}for a file, give its path",
        included_at(from.as_deref()),
        shown(name),
        shown(&known.join(", ")),
        suggestion(closest.as_deref())
    )]
    UnknownProfile {
        /// The position of the `include`; `None` if the user named the profile.
        from: Option<Box<Place>>,
        /// The name.
        name: String,
        /// The closest known name, if one is close.
        closest: Option<String>,
        /// All known names.
        known: Vec<String>,
    },
    /// A file cannot be read.
    #[error("could not read the profile {}", shown_path(file))]
    Read {
        /// The file.
        file: PathBuf,
        /// The error from the kernel.
        source: std::io::Error,
    },
    /// A file is not TOML, or has unknown keys.
    #[error("{}:{line}: {message}{}", shown_path(file), hint_line(*hint))]
    Syntax {
        /// The file.
        file: PathBuf,
        /// The line number, starting at 1.
        line: usize,
        /// The error message of the parser.
        message: String,
        /// How to correct a common mistake.
        hint: Option<&'static str>,
    },
    /// A profile includes itself, directly or through others.
    #[error("{at}: {} includes itself: {}", chain.first().map_or_else(String::new, |name| shown(name).into_owned()), shown(&chain.join(" > ")))]
    IncludeCycle {
        /// The `include` that closes the cycle.
        at: Place,
        /// The names of the profiles in the cycle; the first and the last are the same.
        chain: Vec<String>,
    },
    /// No knob has this id.
    #[error("{at}: there is no knob {}\nhint: {}`quell list knobs` lists all", excerpt::quoted(knob), suggestion(*closest))]
    UnknownKnob {
        /// The position of the id.
        at: Place,
        /// The id.
        knob: String,
        /// The closest known id, if one is close.
        closest: Option<&'static str>,
    },
    /// One file has the same setting twice.
    #[error("{at}: {knob} is set twice on the same targets; the first time is on line {line}")]
    DuplicateSetting {
        /// The position of the second setting.
        at: Place,
        /// The id of the knob.
        knob: &'static str,
        /// The line of the first setting.
        line: usize,
    },
    /// A knob does not accept a value.
    #[error("{at}: {source}")]
    Value {
        /// The position of the value.
        at: Place,
        /// What the knob accepts.
        r#source: ValueError,
    },
    /// Any other problem with a key.
    #[error("{at}: {reason}")]
    Key {
        /// The position of the key.
        at: Place,
        /// The problem.
        reason: String,
    },
    /// A variable from the command line has an invalid value.
    #[error("--set {}: {reason}", shown(name))]
    Given {
        /// The name of the variable.
        name: String,
        /// The problem.
        reason: String,
    },
}

fn included_at(from: Option<&Place>) -> String {
    from.map_or_else(String::new, |at| format!("{at}: "))
}

fn suggestion(closest: Option<&str>) -> String {
    closest.map_or_else(String::new, |closest| format!("did you mean `{}`? ", shown(closest)))
}

fn hint_line(hint: Option<&str>) -> String {
    hint.map_or_else(String::new, |hint| format!("\nhint: {hint}"))
}
