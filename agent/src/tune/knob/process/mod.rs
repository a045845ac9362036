//! Rules for running processes. A rule matches processes by name, executable, user and cgroup.

mod cgroup_membership;
mod identity;
mod inherited;
mod memory_nodes;
mod rule;
mod selector;

use super::knob::Knob;

/// The knobs of this family.
pub(super) static KNOBS: &[&dyn Knob] = &[&rule::CGROUP, &memory_nodes::MEMORY_NODES, &rule::CPUS, &rule::POLICY];

#[cfg(test)]
mod tests;
