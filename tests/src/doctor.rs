//! The output of `quell doctor --json`.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::agent::{Ended, Running};

/// The findings.
#[derive(Clone, Debug, Deserialize)]
pub struct Findings {
    /// Whether every probe works, at least partly.
    pub usable: bool,
    /// The result of each probe.
    pub probes: Vec<ProbeVerdict>,
    /// All checks.
    pub checks: Vec<Check>,
}

/// Whether a probe works.
#[derive(Clone, Debug, Deserialize)]
pub struct ProbeVerdict {
    /// The name of the probe.
    pub name: String,
    /// `ready`, `degraded` or `unavailable`.
    pub state: String,
    /// The reason why it is not ready.
    pub why: Option<String>,
}

/// A check.
#[derive(Clone, Debug, Deserialize)]
pub struct Check {
    /// The name of the check.
    pub id: String,
    /// `yes`, `no` or `note`.
    pub status: String,
    /// The finding.
    pub found: String,
    /// The remedy for `no`.
    pub remedy: Option<String>,
}

impl Findings {
    /// Runs a command with the output of `quell doctor --json`.
    pub fn of(command: &mut Command) -> Result<(Self, Ended)> {
        let ended = Running::spawn(command)?.wait()?;
        let findings = serde_json::from_str(&ended.stdout).with_context(|| format!("doctor said {ended:?}"))?;
        Ok((findings, ended))
    }

    /// The result of a probe.
    pub fn probe(&self, name: &str) -> Result<&ProbeVerdict> {
        self.probes.iter().find(|probe| probe.name == name).with_context(|| format!("nothing of the probe {name}"))
    }

    /// The result of a check.
    pub fn check(&self, id: &str) -> Result<&Check> {
        self.checks.iter().find(|check| check.id == id).with_context(|| format!("nothing of {id}"))
    }
}
