//! The request of the user, which is shown as the command that applies it again.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::tune::profile;

/// A profile and the variables that were given with it. It is displayed as the command line that applies it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The name of the profile, or the absolute path of its file.
    pub profile: String,
    /// The variables from the command line.
    pub given: BTreeMap<String, String>,
}

impl Request {
    /// Creates a request. If `profile` is a path, it is relative to the current directory.
    #[must_use]
    pub fn new(profile: &str, given: BTreeMap<String, String>) -> Self {
        let path = if profile::is_path(profile) { absolute(profile) } else { None };
        Self { profile: path.unwrap_or_else(|| profile.to_owned()), given }
    }
}

fn absolute(path: &str) -> Option<String> {
    std::path::absolute(path).ok()?.to_str().map(str::to_owned)
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "quell tune apply {}", shell_quoted(&self.profile))?;
        self.given.iter().try_for_each(|(name, value)| write!(f, " --set {}", shell_quoted(&format!("{name}={value}"))))
    }
}

/// Quotes a word so that a shell reads it back unchanged.
#[must_use]
pub fn shell_quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(profile: &str, given: &[(&str, &str)]) -> Request {
        Request::new(profile, given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_shell_splits_the_command_line_into_the_arguments() {
        let hostile = request("/etc/it's; $HOME", &[("nics", "eth0 eth1"), ("empty", ""), ("tick", "`id`'")]);
        let line = hostile.to_string().replacen("quell", "printf '%s\n'", 1);
        let read = std::process::Command::new("sh").args(["-c", &line]).output().expect("a shell");
        let words = String::from_utf8(read.stdout).expect("text");
        let expected =
            ["tune", "apply", "/etc/it's; $HOME", "--set", "empty=", "--set", "nics=eth0 eth1", "--set", "tick=`id`'"];
        assert_eq!(words.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn names_are_kept_and_paths_become_absolute() {
        assert_eq!(request("trading", &[]).to_string(), "quell tune apply trading");
        let beside = std::env::current_dir().expect("a directory").join("mine.toml");
        assert_eq!(request("mine.toml", &[]).profile, beside.to_str().expect("text"));
    }
}
