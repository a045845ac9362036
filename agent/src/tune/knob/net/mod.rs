//! Network interfaces: settings of drivers, and how the kernel distributes packets over CPUs.

mod backend;
mod card;
mod feature;
mod field;
mod flow_knob;
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

use super::knob::Knob;

/// The knobs of this family, by group.
pub(super) static KNOBS: &[&[&dyn Knob]] = &[
    field::KNOBS,
    feature::KNOBS,
    rss::KNOBS,
    flow_knob::KNOBS,
    queue::KNOBS,
    sysfs::KNOBS,
    &[&timestamps::HeldTimestamps],
];
