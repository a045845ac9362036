//! Parsing of profiles. Errors name the file, the line and the key.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Spanned, Value as Toml};

use super::budget::{self, Budget};
use super::condition::Condition;
use super::directory::{ProfileDirectory, is_path};
use super::error::ProfileError;
use super::place::Place;
use super::shipped::SHIPPED;
use super::suggestion::closest_name;
use super::template::has_variables;
use super::tuning_profile::{Setting, TuningProfile, Variable};
use crate::excerpt;
use crate::host::Root;
use crate::tune::knob;
use crate::tune::value::Scope;

/// The directory of the host's own profiles, which have precedence over the profiles that come with quell.
pub const PROFILE_DIRECTORY: &str = "/etc/quell/profiles";

/// The content of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    summary: String,
    #[serde(default)]
    include: Vec<Spanned<String>>,
    #[serde(default)]
    variables: BTreeMap<String, Spanned<Toml>>,
    #[serde(default)]
    set: Vec<Set>,
}

/// A `[[set]]` table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    knob: Spanned<String>,
    on: Option<Spanned<String>>,
    // The key is required, but optional here, so that the error can name the knob.
    value: Option<Spanned<Toml>>,
    reason: Option<Spanned<String>>,
    #[serde(default, rename = "if")]
    condition: Condition,
    #[serde(default)]
    optional: bool,
}

/// The text of a file, for finding the line of an error.
struct Source {
    file: PathBuf,
    text: String,
    /// The offsets of the newlines.
    newlines: Vec<usize>,
}

/// The limits for all files of a profile together.
struct Budgets {
    files: Budget,
    text: Budget,
    settings: Budget,
    variables: Budget,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            files: Budget::new("files, counted each time that they are included", budget::MAX_FILES),
            text: Budget::new("bytes in all its files", budget::MAX_TEXT),
            settings: Budget::new("settings", budget::MAX_SETTINGS),
            variables: Budget::new("variables", budget::MAX_VARIABLES),
        }
    }
}

impl Source {
    fn new(file: PathBuf, text: String) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Self { file, text, newlines }
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.newlines.partition_point(|&end| end < offset)
    }

    fn place<T>(&self, of: &Spanned<T>, key: &str) -> Place {
        Place { file: self.file.clone(), line: self.line(of.span().start), key: key.to_owned() }
    }

    fn parse(&self) -> Result<File, ProfileError> {
        toml::from_str(&self.text).map_err(|error| {
            let line = error.span().map_or(1, |span| self.line(span.start));
            let message = excerpt::message(error.message());
            ProfileError::Syntax { file: self.file.clone(), line, message, hint: self.hint(line) }
        })
    }

    /// How to correct a common mistake on a line.
    fn hint(&self, line: usize) -> Option<&'static str> {
        let line = self.text.lines().nth(line - 1).unwrap_or_default().trim_start();
        if self.text.lines().any(|line| line.trim() == "[main]") {
            return Some("this looks like a profile of tuned: docs/tuned.md lists the knob for each of its settings");
        }
        line.starts_with("include").then_some("write a list, as in include = [\"latency\"]")
    }
}

impl TuningProfile {
    /// Loads a profile with everything that it includes. The name is a path, the name of a file in `directory`, or a profile
    /// that comes with quell.
    ///
    /// # Errors
    /// One of the files cannot be read, or is not a valid profile.
    pub fn load(name: &str, directory: &Path) -> Result<Self, ProfileError> {
        load(name, &ProfileDirectory::Named(directory.to_owned()))
    }

    /// Like [`load`](Self::load), with the [directory](PROFILE_DIRECTORY) of a host.
    ///
    /// # Errors
    /// The errors of [`load`](Self::load).
    pub fn load_for(name: &str, root: &Root) -> Result<Self, ProfileError> {
        load(name, &ProfileDirectory::Host(root.clone(), PROFILE_DIRECTORY.to_owned()))
    }
}

fn load(name: &str, directory: &ProfileDirectory) -> Result<TuningProfile, ProfileError> {
    let mut profile = TuningProfile {
        name: profile_name(name),
        summary: String::new(),
        variables: BTreeMap::new(),
        settings: Vec::new(),
    };
    load_into(&mut profile, name, directory, &mut Vec::new(), None, &Budgets::default())?;
    Ok(profile)
}

/// Adds a profile to the profiles that are loaded already. A profile overrides the profiles that it includes.
fn load_into(
    profile: &mut TuningProfile,
    name: &str,
    directory: &ProfileDirectory,
    chain: &mut Vec<String>,
    from: Option<&Place>,
    budgets: &Budgets,
) -> Result<(), ProfileError> {
    let key = profile_name(name);
    let at_include =
        |file: &Path| from.cloned().unwrap_or(Place { file: file.to_owned(), line: 1, key: "include".to_owned() });
    let within = |result: Result<(), String>, file: &Path| {
        result.map_err(|reason| ProfileError::Key { at: at_include(file), reason })
    };
    within(budgets.files.take(1), Path::new(name))?;
    if let Some(begin) = chain.iter().position(|included| *included == key) {
        let at = at_include(Path::new(name));
        return Err(ProfileError::IncludeCycle { at, chain: chain[begin..].iter().cloned().chain([key]).collect() });
    }
    chain.push(key);
    let source = source(name, directory, from)?;
    within(budgets.text.take(source.text.len()), &source.file)?;
    let file = source.parse()?;
    within(budgets.settings.take(file.set.len()), &source.file)?;
    within(budgets.variables.take(file.variables.len()), &source.file)?;
    // Included paths are relative to the including file.
    let parent = match (is_path(name), from) {
        (true, None) => ProfileDirectory::Named(PathBuf::new()).parent_of(name),
        (true, Some(_)) => directory.parent_of(name),
        (false, _) => directory.clone(),
    };
    for include in &file.include {
        let at = source.place(include, "include");
        load_into(profile, include.get_ref(), &parent, chain, Some(&at), budgets)?;
    }
    chain.pop();
    profile.summary = file.summary;
    for (name, value) in file.variables {
        let at = source.place(&value, &name);
        profile.variables.insert(name, Variable { text: text(value.get_ref(), &at)?, at });
    }
    let mut own: Vec<Setting> = Vec::new();
    let mut lines: HashMap<(&'static str, Option<String>, Condition), usize> = HashMap::new();
    for set in file.set {
        let setting = setting(&source, set)?;
        let key = (setting.knob, setting.on.clone(), setting.condition.clone());
        if let Some(line) = lines.insert(key, setting.at.line) {
            return Err(ProfileError::DuplicateSetting { at: setting.at, knob: setting.knob, line });
        }
        own.push(setting);
    }
    let replaced: HashSet<(&str, Option<&str>)> = own.iter().map(|new| (new.knob, new.on.as_deref())).collect();
    profile.settings.retain(|old| !replaced.contains(&(old.knob, old.on.as_deref())));
    profile.settings.extend(own);
    Ok(())
}

fn setting(source: &Source, set: Set) -> Result<Setting, ProfileError> {
    let knob_at = source.place(&set.knob, "knob");
    let Some(knob) = knob::by_id(set.knob.get_ref()) else {
        let closest = closest_name(set.knob.get_ref(), knob::knobs().into_iter().map(|knob| knob.spec().id));
        return Err(ProfileError::UnknownKnob { at: knob_at, knob: set.knob.into_inner(), closest });
    };
    let spec = knob.spec();
    let missing = |key: &str| ProfileError::Key { at: knob_at.clone(), reason: format!("{} has no `{key}`", spec.id) };
    let (given, reason) = (set.value.ok_or_else(|| missing("value"))?, set.reason.ok_or_else(|| missing("reason"))?);
    let at = source.place(&given, "value");
    let value = text(given.get_ref(), &at)?;
    if !has_variables(&value) {
        // A value with variables can only be checked against a host.
        knob.parse(&value).map_err(|error| ProfileError::Value { at: at.clone(), source: error })?;
    }
    if reason.get_ref().trim().is_empty() {
        let at = source.place(&reason, "reason");
        return Err(ProfileError::Key { at, reason: "the reason is empty: plans display it".to_owned() });
    }
    if spec.scope == Scope::Named && set.on.is_none() {
        let reason = format!("{} needs `on`, the name of its target", spec.id);
        return Err(ProfileError::Key { at: knob_at, reason });
    }
    Ok(Setting {
        knob: spec.id,
        on: set.on.map(Spanned::into_inner),
        value,
        reason: reason.into_inner(),
        condition: set.condition,
        optional: set.optional,
        at: knob_at,
    })
}

/// A value as text: `"performance"`, `10`, `true`, `[4096, 87380, 6291456]`.
fn text(value: &Toml, at: &Place) -> Result<String, ProfileError> {
    match value {
        Toml::String(text) => Ok(text.clone()),
        Toml::Integer(number) => Ok(number.to_string()),
        Toml::Boolean(on) => Ok(if *on { "on" } else { "off" }.to_owned()),
        Toml::Array(values) => {
            let words = values.iter().map(|value| text(value, at)).collect::<Result<Vec<_>, _>>()?;
            Ok(words.join(" "))
        }
        _ => Err(ProfileError::Key { at: at.clone(), reason: format!("a {} is not a value", value.type_str()) }),
    }
}

/// The name of a profile: the name of its file without the extension.
fn profile_name(name: &str) -> String {
    Path::new(name).file_stem().map_or_else(|| name.to_owned(), |stem| stem.to_string_lossy().into_owned())
}

fn source(name: &str, directory: &ProfileDirectory, from: Option<&Place>) -> Result<Source, ProfileError> {
    let (file, text) = match (is_path(name), from) {
        (true, None) => ProfileDirectory::Named(PathBuf::new()).read(name),
        (true, Some(_)) => directory.read(name),
        (false, _) => directory.read(&format!("{name}.toml")),
    };
    match text {
        Ok(text) => Ok(Source::new(file, text)),
        Err(error) if !is_path(name) && error.kind() == io::ErrorKind::NotFound => {
            let Some((name, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) else {
                return Err(unknown_profile(name, directory, from));
            };
            Ok(Source::new(format!("{name}.toml").into(), (*text).to_owned()))
        }
        Err(source) => Err(ProfileError::Read { file, source }),
    }
}

fn unknown_profile(name: &str, directory: &ProfileDirectory, from: Option<&Place>) -> ProfileError {
    let own = directory.names();
    let own = own.iter().filter_map(|name| name.strip_suffix(".toml").map(str::to_owned));
    let mut known: Vec<String> = own.chain(SHIPPED.iter().map(|(name, _)| (*name).to_owned())).collect();
    known.sort();
    known.dedup();
    // A name without a slash is the name of a profile, but the user may have meant a file in the current directory.
    let file = Path::new(name).is_file().then(|| format!("./{name}"));
    let closest = file.or_else(|| closest_name(name, known.iter().map(String::as_str)).map(str::to_owned));
    ProfileError::UnknownProfile { from: from.cloned().map(Box::new), name: name.to_owned(), closest, known }
}
