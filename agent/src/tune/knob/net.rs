//! Network interfaces: what drivers let be set, and what the kernel does with their queues.

mod cards;
mod feature;
mod field;
mod flow;
mod flow_rule;
mod kernel;
mod queue;
mod rss;
mod sysfs;
#[cfg(test)]
mod tests;
mod timestamps;
mod tree;
#[cfg(test)]
mod uapi;

use super::{Knob, KnobError};
use crate::host::Host;
use crate::tune::Target;

/// The family.
pub(super) static KNOBS: &[&[&dyn Knob]] =
    &[field::KNOBS, feature::KNOBS, rss::KNOBS, flow::KNOBS, queue::KNOBS, sysfs::KNOBS, &[&timestamps::Timestamps]];

/// Every network interface with a device.
fn nics(host: &Host) -> Vec<Target> {
    host.nics.iter().map(|nic| Target::Nic(nic.name.clone())).collect()
}

/// The interface that a target is.
fn nic(target: &Target) -> Result<&str, KnobError> {
    match target {
        Target::Nic(nic) => Ok(nic),
        other => Err(KnobError::Target { target: other.clone() }),
    }
}
