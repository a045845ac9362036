//! Reading profiles: TOML, with the line of whatever is wrong.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Spanned, Value as Toml};

use super::bounds::{self, Budget};
use super::folder::Folder;
use super::{Condition, Place, ProfileError, SHIPPED, Setting, TuningProfile, Variable};
use crate::excerpt;
use crate::tune::similar::nearest;
use crate::tune::{Scope, knob, variables};

/// A file, as it is written.
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

/// A `[[set]]` of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    knob: Spanned<String>,
    on: Option<Spanned<String>>,
    // These two are asked for by name of the knob.
    value: Option<Spanned<Toml>>,
    reason: Option<Spanned<String>>,
    #[serde(default, rename = "if")]
    condition: Condition,
    #[serde(default)]
    optional: bool,
}

/// A file's text, to tell lines.
struct Source {
    file: PathBuf,
    text: String,
    /// Where its lines end.
    ends: Vec<usize>,
}

/// What there may be of each, in all files.
struct Budgets {
    files: Budget,
    text: Budget,
    settings: Budget,
    variables: Budget,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            files: Budget::new("files, counted each time that they are included", bounds::FILES),
            text: Budget::new("bytes in all its files", bounds::TEXT),
            settings: Budget::new("settings", bounds::SETTINGS),
            variables: Budget::new("variables", bounds::VARIABLES),
        }
    }
}

impl Source {
    fn new(file: PathBuf, text: String) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Self { file, text, ends }
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.ends.partition_point(|&end| end < offset)
    }

    fn place<T>(&self, of: &Spanned<T>, key: &str) -> Place {
        Place { file: self.file.clone(), line: self.line(of.span().start), key: key.to_owned() }
    }

    fn parse(&self) -> Result<File, ProfileError> {
        toml::from_str(&self.text).map_err(|error| {
            let line = error.span().map_or(1, |span| self.line(span.start));
            let why = format!("{}{}", excerpt::message(error.message()), self.hint(line));
            ProfileError::Syntax { file: self.file.clone(), line, why }
        })
    }

    /// What is to be done about a line, where people are known to write it so.
    fn hint(&self, line: usize) -> &'static str {
        let line = self.text.lines().nth(line - 1).unwrap_or_default().trim_start();
        if self.text.lines().any(|line| line.trim() == "[main]") {
            return "; this looks like a profile of tuned: docs/tuned.md has for each of its settings the knob that it is here";
        }
        if line.starts_with("include") { "; write a list, as in include = [\"latency\"]" } else { "" }
    }
}

/// See [`TuningProfile::load`].
pub(super) fn load(name: &str, folder: &Folder) -> Result<TuningProfile, ProfileError> {
    let mut profile = TuningProfile {
        name: profile_name(name),
        summary: String::new(),
        variables: BTreeMap::new(),
        settings: Vec::new(),
    };
    read_into(&mut profile, name, folder, &mut Vec::new(), None, &Budgets::default())?;
    Ok(profile)
}

/// Adds a profile to what was read so far: what comes later takes the place of what it includes.
fn read_into(
    profile: &mut TuningProfile,
    name: &str,
    folder: &Folder,
    way: &mut Vec<String>,
    from: Option<&Place>,
    budgets: &Budgets,
) -> Result<(), ProfileError> {
    let key = profile_name(name);
    let bounded = |result: Result<(), String>, file: &Path| {
        let at = || from.cloned().unwrap_or(Place { file: file.to_owned(), line: 1, key: "include".to_owned() });
        result.map_err(|why| ProfileError::Key { at: at(), why })
    };
    bounded(budgets.files.take(1), Path::new(name))?;
    if let Some(begin) = way.iter().position(|included| *included == key) {
        let at = from.cloned().unwrap_or(Place { file: name.into(), line: 1, key: "include".to_owned() });
        return Err(ProfileError::Cycle { at, way: way[begin..].iter().cloned().chain([key]).collect() });
    }
    way.push(key);
    let source = source(name, folder, from)?;
    bounded(budgets.text.take(source.text.len()), &source.file)?;
    let file = source.parse()?;
    bounded(budgets.settings.take(file.set.len()), &source.file)?;
    bounded(budgets.variables.take(file.variables.len()), &source.file)?;
    // Relative to the file that includes it, as people expect of a path.
    let beside = match (is_path(name), from) {
        (true, None) => Folder::Named(PathBuf::new()).beside(name),
        (true, Some(_)) => folder.beside(name),
        (false, _) => folder.clone(),
    };
    for include in &file.include {
        let at = source.place(include, "include");
        read_into(profile, include.get_ref(), &beside, way, Some(&at), budgets)?;
    }
    way.pop();
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
            return Err(ProfileError::Twice { at: setting.at, knob: setting.knob, line });
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
        let near = nearest(set.knob.get_ref(), knob::knobs().into_iter().map(|knob| knob.spec().id));
        return Err(ProfileError::Knob { at: knob_at, knob: set.knob.into_inner(), near });
    };
    let spec = knob.spec();
    let missing = |key: &str| ProfileError::Key { at: knob_at.clone(), why: format!("{} has no `{key}`", spec.id) };
    let (written, reason) = (set.value.ok_or_else(|| missing("value"))?, set.reason.ok_or_else(|| missing("reason"))?);
    let at = source.place(&written, "value");
    let value = text(written.get_ref(), &at)?;
    if variables::uses_none(&value) {
        // What holds a variable is known only on a host.
        knob::parse(knob, &value).map_err(|error| ProfileError::Value { at: at.clone(), source: error })?;
    }
    if reason.get_ref().trim().is_empty() {
        let at = source.place(&reason, "reason");
        return Err(ProfileError::Key { at, why: "say why: the plan shows it".to_owned() });
    }
    let named = spec.scope == Scope::Named;
    if named && set.on.is_none() {
        let why = format!("{} needs `on`, the name of what to set", spec.id);
        return Err(ProfileError::Key { at: knob_at, why });
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

/// A value as people write it: `"performance"`, `10`, `true`, `[4096, 87380, 6291456]`.
fn text(value: &Toml, at: &Place) -> Result<String, ProfileError> {
    match value {
        Toml::String(text) => Ok(text.clone()),
        Toml::Integer(number) => Ok(number.to_string()),
        Toml::Boolean(on) => Ok(if *on { "on" } else { "off" }.to_owned()),
        Toml::Array(values) => {
            let words = values.iter().map(|value| text(value, at)).collect::<Result<Vec<_>, _>>()?;
            Ok(words.join(" "))
        }
        _ => Err(ProfileError::Key { at: at.clone(), why: format!("a {} is no value", value.type_str()) }),
    }
}

/// Whether a name is the path of a file.
pub(in crate::tune) fn is_path(name: &str) -> bool {
    name.contains('/') || name.ends_with(".toml")
}

/// What a profile is called: the name of its file without the ending.
fn profile_name(name: &str) -> String {
    Path::new(name).file_stem().map_or_else(|| name.to_owned(), |stem| stem.to_string_lossy().into_owned())
}

fn source(name: &str, folder: &Folder, from: Option<&Place>) -> Result<Source, ProfileError> {
    let (file, text) = match (is_path(name), from) {
        (true, None) => Folder::Named(PathBuf::new()).read(name),
        (true, Some(_)) => folder.read(name),
        (false, _) => folder.read(&format!("{name}.toml")),
    };
    match text {
        Ok(text) => Ok(Source::new(file, text)),
        Err(error) if !is_path(name) && error.kind() == io::ErrorKind::NotFound => {
            let Some((name, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) else {
                return Err(unknown(name, folder, from));
            };
            Ok(Source::new(format!("{name}.toml").into(), (*text).to_owned()))
        }
        Err(source) => Err(ProfileError::Read { file, source }),
    }
}

fn unknown(name: &str, folder: &Folder, from: Option<&Place>) -> ProfileError {
    let own = folder.names();
    let own = own.iter().filter_map(|name| name.strip_suffix(".toml").map(str::to_owned));
    let mut known: Vec<String> = own.chain(SHIPPED.iter().map(|(name, _)| (*name).to_owned())).collect();
    known.sort();
    known.dedup();
    // A file of this name is most likely what was meant: a name without a slash is that of a profile.
    let file = Path::new(name).is_file().then(|| format!("./{name}"));
    let near = file.or_else(|| nearest(name, known.iter().map(String::as_str)).map(str::to_owned));
    ProfileError::Unknown { from: from.cloned().map(Box::new), name: name.to_owned(), near, known }
}
