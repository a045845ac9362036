//! Whether what was set still is.

use std::os::unix::fs::MetadataExt as _;

use serde::Serialize;

use super::in_force::InForce;
use super::knob::{Knob, Reading, Running};
use super::{Target, Value, knob};
use crate::host::Host;

/// What became of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// It is as it was set.
    Match,
    /// It is as it was set, and counts from the next boot on: this one began before.
    AwaitsBoot,
    /// It is not what was wanted.
    Mismatch {
        /// What it is.
        got: Value,
    },
    /// It was as wanted when it was set, and somebody has set it to something else since.
    Changed {
        /// What it is.
        got: Value,
        /// When the transaction that set it began, in seconds since 1970: it was later. Files of the kernel do not tell when.
        after: u64,
        /// When the files on disk that it is read from were last changed, in seconds since 1970: it was not later.
        by: Option<u64>,
    },
    /// It went with the boot that it was set in.
    Gone {
        /// What it is in this boot.
        got: Value,
    },
    /// The target is not there any more, or lacks it.
    Absent {
        /// Why.
        why: String,
    },
    /// It cannot be told.
    Unknown {
        /// Why.
        why: String,
    },
}

impl Verdict {
    /// Whether all is as it was set.
    #[must_use]
    pub fn holds(&self) -> bool {
        matches!(self, Self::Match | Self::AwaitsBoot)
    }
}

/// A value that was set, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The knob.
    pub knob: String,
    /// Where.
    pub target: Target,
    /// What was wanted.
    pub wanted: Value,
    /// What became of it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Compares values in force with the host, by the same normalization that planned them.
#[must_use]
pub fn verify(host: &Host, values: &[InForce<'_>]) -> Vec<Verified> {
    let one = |value: &InForce<'_>| Verified {
        knob: value.step.knob.clone(),
        target: value.step.target.clone(),
        wanted: value.step.wanted.clone(),
        verdict: verdict(host, value),
    };
    values.iter().map(one).collect()
}

/// When the files on disk that a value is read from were last changed. By the time of status, which nobody sets as that of the
/// content can be set, by `cp -p` or by tar (inode(7)).
fn last_change(host: &Host, knob: &dyn Knob, target: &Target) -> Option<u64> {
    let files = knob.files_on_disk(host, target).unwrap_or_default();
    let times = files.iter().filter_map(|file| host.root.metadata(file).ok());
    times.filter_map(|data| u64::try_from(data.ctime()).ok()).max()
}

fn verdict(host: &Host, value: &InForce<'_>) -> Verdict {
    let Some(knob) = knob::by_id(&value.step.knob) else {
        return Verdict::Unknown { why: "this version of quell does not know the knob".to_owned() };
    };
    let got = match knob.read_back(host, &value.step.target, value.after) {
        Ok(Reading::Value(got)) => got,
        Ok(Reading::Absent(why)) => return Verdict::Absent { why },
        Err(error) => return Verdict::Unknown { why: error.to_string() },
    };
    let booted = value.transaction.boot != host.boot;
    if knob.satisfies(&got, &value.step.wanted) {
        return match knob.running(host, &value.step.target, &value.step.wanted) {
            Err(error) => Verdict::Unknown { why: error.to_string() },
            Ok(Running::InForce) => Verdict::Match,
            Ok(Running::Otherwise { .. }) if !booted => Verdict::AwaitsBoot,
            Ok(Running::Otherwise { now }) => Verdict::Mismatch { got: now },
        };
    }
    match () {
        () if booted && !value.step.lifetime.outlives_boot() => Verdict::Gone { got },
        () if knob.satisfies(value.after, &value.step.wanted) => {
            let by = last_change(host, knob, &value.step.target);
            Verdict::Changed { got, after: value.transaction.time, by }
        }
        () => Verdict::Mismatch { got },
    }
}
