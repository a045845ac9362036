//! Descriptions of knobs.

use serde::{Deserialize, Serialize};

use crate::tune::value::{Scope, ValueKind};

/// The description of a knob.
#[derive(Clone, Copy, Debug)]
pub struct KnobSpec {
    /// The name in profiles: `cpu.governor`.
    pub id: &'static str,
    /// The effect of the knob and the reason for setting it, in a few sentences.
    pub doc: &'static str,
    /// The documentation of the setting, with the first kernel version that has it if that is later than 5.10.
    pub source: &'static str,
    /// The accepted values.
    pub kind: ValueKind,
    /// The targets of the knob.
    pub scope: Scope,
    /// How long a value lasts.
    pub lifetime: Lifetime,
    /// The risk of setting it.
    pub risk: Risk,
    /// The stage of a transaction in which it is set.
    pub stage: Stage,
    /// Where a value with [`Lifetime::Runtime`] is retained.
    pub retained_by: RetainedBy,
    /// Whether a target can disappear by itself, as processes do. For such a knob, an absent
    /// [`read_back`](super::Knob::read_back) means that the whole target has provably disappeared, and nothing is left to
    /// restore.
    pub target_may_end: bool,
}

impl KnobSpec {
    /// The defaults of most knobs: a value that applies to the whole host, lasts until the next boot, and has a low risk.
    pub(super) const RUNTIME: Self = Self {
        id: "",
        doc: "",
        source: "",
        kind: ValueKind::Text,
        scope: Scope::Host,
        lifetime: Lifetime::Runtime,
        risk: Risk::Low,
        stage: Stage::Setting,
        retained_by: RetainedBy::Kernel,
        target_may_end: false,
    };
}

/// How long a value lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifetime {
    /// Until the next boot.
    Runtime,
    /// As long as a process holds it open.
    WhileHeld,
    /// Takes effect immediately and survives reboots.
    Persistent,
    /// Takes effect at the next boot and survives further reboots.
    NextBoot,
}

impl Lifetime {
    /// Whether the value survives a reboot, so that it must be rolled back afterwards too.
    #[must_use]
    pub fn survives_reboot(self) -> bool {
        match self {
            Self::Persistent | Self::NextBoot => true,
            Self::Runtime | Self::WhileHeld => false,
        }
    }
}

/// The place that retains a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetainedBy {
    /// The running kernel. Every boot resets the value, including a boot by kexec(8).
    Kernel,
    /// Hardware or firmware, which may retain the value across a boot: kexec(8) resets neither of them.
    Hardware,
}

/// The risk of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Risk {
    /// Only performance can get worse.
    Low,
    /// The described problem may occur for a moment, or with some workloads.
    Medium(&'static str),
    /// The described problem may make the host unusable or unreachable.
    High(&'static str),
}

impl Risk {
    /// The level: `low`, `medium`, `high`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium(_) => "medium",
            Self::High(_) => "high",
        }
    }

    /// The problem that may occur; `None` for a low risk.
    #[must_use]
    pub fn description(self) -> Option<&'static str> {
        match self {
            Self::Low => None,
            Self::Medium(description) | Self::High(description) => Some(description),
        }
    }
}

/// The stage of a transaction in which a knob is set. Knobs may depend on knobs of earlier stages: the original values of a
/// stage are read after the earlier stages were set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Settings that determine which CPUs, queues and services exist.
    Presence,
    /// Ordinary settings.
    Setting,
    /// Placement of work on CPUs: after the settings that change it as a side effect.
    Placement,
    /// Configuration that takes effect at the next boot.
    NextBoot,
}
