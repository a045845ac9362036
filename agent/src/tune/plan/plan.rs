//! A plan and its steps.

use serde::{Deserialize, Serialize};

use crate::tune::knob::{Lifetime, MatchedProcess, Stage};
use crate::tune::value::{KnobTarget, Value};

/// The changes that applying a profile would make on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The name of the profile.
    pub profile: String,
    /// The names and values of the variables that the profile uses.
    pub variables: Vec<(String, String)>,
    /// Remarks for the user.
    pub remarks: Vec<String>,
    /// The changes, in the order in which they are applied.
    pub steps: Vec<Step>,
    /// The values that already are as desired. They are not changed, but verified with the others.
    pub unchanged: Vec<Step>,
    /// The settings that are not possible on this host.
    pub skipped: Vec<Skipped>,
}

/// A desired value of one target, and the current one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The id of the knob.
    pub knob: String,
    /// The target.
    pub target: KnobTarget,
    /// The current value.
    pub current: Value,
    /// The desired value, as the host would return it.
    pub desired: Value,
    /// How long the desired value would last.
    pub lifetime: Lifetime,
    /// The stage of the transaction in which the value is set.
    pub stage: Stage,
    /// The reason from the profile.
    pub reason: String,
    /// Whether the other steps are applied if this one is refused.
    pub optional: bool,
    /// The processes that a process rule matches. Processes that start later are not set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<MatchedProcess>,
}

/// A setting of the profile, or one target of it, that is not in the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The id of the knob.
    pub knob: &'static str,
    /// The target; `None` if all targets are skipped.
    pub target: Option<KnobTarget>,
    /// Why it is skipped.
    pub reason: String,
}
