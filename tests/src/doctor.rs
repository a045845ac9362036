//! What `quell doctor` says, in its form for machines.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::agent::{Ended, Running};

/// What it found.
#[derive(Clone, Debug, Deserialize)]
pub struct Findings {
    /// Whether every probe works, if only in part.
    pub usable: bool,
    /// One for each probe.
    pub probes: Vec<ProbeVerdict>,
    /// All that was looked at.
    pub checks: Vec<Check>,
}

/// Whether a probe works.
#[derive(Clone, Debug, Deserialize)]
pub struct ProbeVerdict {
    /// Its name.
    pub name: String,
    /// `ready`, `degraded` or `unavailable`.
    pub state: String,
    /// Why it is not ready.
    pub why: Option<String>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Deserialize)]
pub struct Check {
    /// Its name.
    pub id: String,
    /// `yes`, `no` or `note`.
    pub status: String,
    /// What was found.
    pub found: String,
    /// What to do about a no.
    pub remedy: Option<String>,
}

impl Findings {
    /// Runs a command that ends as `quell doctor --json` does.
    pub fn of(command: &mut Command) -> Result<(Self, Ended)> {
        let ended = Running::spawn(command)?.wait()?;
        let findings = serde_json::from_str(&ended.stdout).with_context(|| format!("doctor said {ended:?}"))?;
        Ok((findings, ended))
    }

    /// What it says of a probe.
    pub fn probe(&self, name: &str) -> Result<&ProbeVerdict> {
        self.probes.iter().find(|probe| probe.name == name).with_context(|| format!("nothing of the probe {name}"))
    }

    /// What it says of one thing.
    pub fn check(&self, id: &str) -> Result<&Check> {
        self.checks.iter().find(|check| check.id == id).with_context(|| format!("nothing of {id}"))
    }
}
