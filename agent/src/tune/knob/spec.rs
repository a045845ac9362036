//! Descriptions of knobs.

use serde::{Deserialize, Serialize};

use crate::tune::value::{Scope, ValueKind};

/// The description of a knob.
#[derive(Clone, Copy, Debug)]
pub struct KnobSpec {
    /// The name in profiles: `cpu.governor`.
    pub id: &'static str,
    /// What it does and why one would set it, in a few sentences.
    pub doc: &'static str,
    /// Where it is documented, with the first kernel version that has it if that is after 5.10.
    pub source: &'static str,
    /// The values that it accepts.
    pub kind: ValueKind,
    /// The targets that it is set on.
    pub scope: Scope,
    /// How long a value lasts.
    pub lifetime: Lifetime,
    /// What can go wrong.
    pub risk: Risk,
    /// When in a transaction it is set.
    pub stage: Stage,
    /// What retains a value with [`Lifetime::Runtime`].
    pub retained_by: RetainedBy,
    /// Whether a target can end by itself, as processes do. For such a knob an absent [`read_back`](super::Knob::read_back) means
    /// that all of the target has provably ended, and nothing is left to restore.
    pub target_may_end: bool,
}

impl KnobSpec {
    /// The defaults of most knobs: a value of the whole host that lasts until the next boot and has a low risk.
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
    /// Immediately, and across reboots.
    Persistent,
    /// From the next boot on, and across reboots.
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

/// What retains a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetainedBy {
    /// The running kernel. A boot resets the value, one by kexec(8) too.
    Kernel,
    /// Hardware or firmware, which may retain the value over a boot: kexec(8) resets neither.
    Hardware,
}

/// The risk of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Risk {
    /// Only performance is at stake.
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

    /// What can go wrong; `None` for a low risk.
    #[must_use]
    pub fn description(self) -> Option<&'static str> {
        match self {
            Self::Low => None,
            Self::Medium(description) | Self::High(description) => Some(description),
        }
    }
}

/// When in a transaction a knob is set. Knobs may depend on those of earlier stages: the original values of a stage are read
/// after the earlier stages were set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Which CPUs, queues and services exist.
    Presence,
    /// Ordinary values.
    Setting,
    /// What runs on which CPU: after the settings that change it as a side effect.
    Placement,
    /// Configuration that takes effect at the next boot.
    NextBoot,
}
