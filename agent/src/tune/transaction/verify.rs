//! Comparing the values that transactions set with the current ones.

use std::os::unix::fs::MetadataExt as _;

use serde::Serialize;

use super::active::ActiveValue;
use crate::host::Host;
use crate::tune::knob::{self, Activation, Knob, Reading};
use crate::tune::value::{KnobTarget, Value};

/// The result of comparing a value with the current one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// The value is as it was set.
    Match,
    /// The value is as it was set, and takes effect at the next boot, which is pending.
    PendingReboot,
    /// The value has differed from the desired one since it was set.
    Mismatch {
        /// The current value.
        current: Value,
    },
    /// The value was as desired when it was set, and was modified externally afterwards.
    ModifiedExternally {
        /// The current value.
        current: Value,
        /// The earliest time of the modification, in seconds since 1970: the start of the transaction. Kernel files have no
        /// modification times.
        after: u64,
        /// The latest time of the modification, in seconds since 1970: the last change of the configuration files; `None`
        /// without such files.
        by: Option<u64>,
    },
    /// A reboot has reset the value.
    ResetByReboot {
        /// The current value.
        current: Value,
    },
    /// The target no longer exists, or does not have the knob.
    Absent {
        /// The error message of the read.
        reason: String,
    },
    /// The current value cannot be determined.
    Unknown {
        /// The error.
        reason: String,
    },
}

impl Verdict {
    /// Whether the value is as it was set.
    #[must_use]
    pub fn is_match(&self) -> bool {
        matches!(self, Self::Match | Self::PendingReboot)
    }
}

/// A value with its verification result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The id of the knob.
    pub knob: String,
    /// The target.
    pub target: KnobTarget,
    /// The desired value.
    pub desired: Value,
    /// The result.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Compares values with the host, with the normalization of plans.
#[must_use]
pub fn verify(host: &Host, values: &[ActiveValue<'_>]) -> Vec<Verified> {
    let verified = values.iter().map(|value| Verified {
        knob: value.step.knob.clone(),
        target: value.step.target.clone(),
        desired: value.step.desired.clone(),
        verdict: verdict(host, value),
    });
    verified.collect()
}

/// The time of the last change of the configuration files of a value. This is the status change time, which cannot be set,
/// unlike the modification time, which `cp -p` and tar set (inode(7)).
fn last_change(host: &Host, knob: &dyn Knob, target: &KnobTarget) -> Option<u64> {
    let files = knob.configuration()?.files(host, target).unwrap_or_default();
    let times = files.iter().filter_map(|file| host.root.metadata(file).ok());
    times.filter_map(|metadata| u64::try_from(metadata.ctime()).ok()).max()
}

fn verdict(host: &Host, value: &ActiveValue<'_>) -> Verdict {
    let step = value.step;
    let Some(knob) = knob::by_id(&step.knob) else {
        return Verdict::Unknown { reason: "this version of quell does not have the knob".to_owned() };
    };
    let current = match knob.current_since(host, &step.target, value.after) {
        Ok(Reading::Value(current)) => current,
        Ok(Reading::Absent(reason)) => return Verdict::Absent { reason },
        Err(error) => return Verdict::Unknown { reason: error.to_string() },
    };
    let is_rebooted = value.transaction.boot != host.boot;
    if knob.is_satisfied(&current, &step.desired) {
        return match knob.activation(host, &step.target, &step.desired) {
            Err(error) => Verdict::Unknown { reason: error.to_string() },
            Ok(Activation::Active) => Verdict::Match,
            Ok(Activation::Inactive { .. }) if !is_rebooted => Verdict::PendingReboot,
            Ok(Activation::Inactive { running }) => Verdict::Mismatch { current: running },
        };
    }
    if is_rebooted && !step.lifetime.survives_reboot() {
        return Verdict::ResetByReboot { current };
    }
    if knob.is_satisfied(value.after, &step.desired) {
        let by = last_change(host, knob, &step.target);
        return Verdict::ModifiedExternally { current, after: value.transaction.time, by };
    }
    Verdict::Mismatch { current }
}
