//! What a knob is: what it takes, where, for how long, and what can go wrong.

use serde::{Deserialize, Serialize};

use crate::tune::{Kind, Scope};

/// What a knob is.
#[derive(Clone, Copy, Debug)]
pub struct KnobSpec {
    /// What profiles call it: `cpu.governor`.
    pub id: &'static str,
    /// What it does and why one would set it, in a sentence or two.
    pub doc: &'static str,
    /// Where the kernel documents it, and the first version that has it where that is after 5.10.
    pub source: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is turned on.
    pub scope: Scope,
    /// How long a setting lasts.
    pub lifetime: Lifetime,
    /// What can go wrong.
    pub risk: Risk,
    /// When in a transaction it is set.
    pub stage: Stage,
    /// What keeps a value that lasts until the next boot.
    pub kept_by: KeptBy,
}

impl KnobSpec {
    /// What most knobs have in common: a value of the whole host that lasts until the next boot and costs nothing but speed.
    pub(crate) const RUNTIME: Self = Self {
        id: "",
        doc: "",
        source: "",
        kind: Kind::Text,
        scope: Scope::Host,
        lifetime: Lifetime::Runtime,
        risk: Risk::Low,
        stage: Stage::Setting,
        kept_by: KeptBy::Kernel,
    };
}

/// How long a setting lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifetime {
    /// Until it is set otherwise, or the host boots.
    Runtime,
    /// As long as a process holds it open.
    WhileHeld,
    /// Until it is set otherwise, over boots too.
    Lasting,
    /// From the next boot on.
    NextBoot,
}

impl Lifetime {
    /// Whether it is there after a boot, and is undone then too.
    #[must_use]
    pub fn outlives_boot(self) -> bool {
        match self {
            Self::Lasting | Self::NextBoot => true,
            Self::Runtime | Self::WhileHeld => false,
        }
    }
}

/// What keeps a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptBy {
    /// The running kernel: it is gone with that, by kexec(8) too, and what is there after a boot is of that boot.
    Kernel,
    /// Hardware or firmware, which may keep it over a boot: kexec(8) resets neither.
    Hardware,
}

/// What can go wrong with a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Risk {
    /// Nothing but speed.
    Low,
    /// This, for a moment or for some loads.
    Medium(&'static str),
    /// This, which may cost the host or the way to it.
    High(&'static str),
}

impl Risk {
    /// How much: `low`, `medium`, `high`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium(_) => "medium",
            Self::High(_) => "high",
        }
    }

    /// What can go wrong, where there is something.
    #[must_use]
    pub fn why(self) -> Option<&'static str> {
        match self {
            Self::Low => None,
            Self::Medium(why) | Self::High(why) => Some(why),
        }
    }
}

/// When in a transaction a knob is set: a stage's knobs may depend on those before it, and what they are set to before is read
/// only when those have been set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Which CPUs, queues and services there are.
    Presence,
    /// Values.
    Setting,
    /// Who runs where: after what sets it as a side effect.
    Placement,
    /// Files that take effect at the next boot.
    NextBoot,
}
