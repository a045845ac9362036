//! What a plan was asked for by: to be asked for it again.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::profile;

/// A profile, and what was said with it. Shown as the line that applies it, for a shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The profile's name, or the path of its file from the root.
    pub profile: String,
    /// The variables that were given.
    pub given: BTreeMap<String, String>,
}

impl Request {
    /// Of a profile as it was named here and now.
    #[must_use]
    pub fn new(profile: &str, given: BTreeMap<String, String>) -> Self {
        let absolute = || std::path::absolute(profile).ok()?.to_str().map(str::to_owned);
        let path = if profile::is_path(profile) { absolute() } else { None };
        Self { profile: path.unwrap_or_else(|| profile.to_owned()), given }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "quell tune apply {}", quoted(&self.profile))?;
        self.given.iter().try_for_each(|(name, value)| write!(f, " --set {}", quoted(&format!("{name}={value}"))))
    }
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
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
    fn the_line_is_one_that_a_shell_takes_apart_into_what_was_given() {
        let hostile = request("/etc/it's; $HOME", &[("nics", "eth0 eth1"), ("empty", ""), ("tick", "`id`'")]);
        let line = hostile.to_string().replacen("quell", "printf '%s\n'", 1);
        let read = std::process::Command::new("sh").args(["-c", &line]).output().expect("a shell");
        let words = String::from_utf8(read.stdout).expect("text");
        let expected =
            ["tune", "apply", "/etc/it's; $HOME", "--set", "empty=", "--set", "nics=eth0 eth1", "--set", "tick=`id`'"];
        assert_eq!(words.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_name_stays_a_name_and_a_path_means_the_same_from_anywhere() {
        assert_eq!(request("trading", &[]).to_string(), "quell tune apply trading");
        let beside = std::env::current_dir().expect("a directory").join("mine.toml");
        assert_eq!(request("mine.toml", &[]).profile, beside.to_str().expect("text"));
    }
}
