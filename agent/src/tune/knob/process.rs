//! Rules for the processes that run now: by name, or by cgroup.

mod memory;
mod rule;

use super::Knob;

/// The family.
pub(super) static KNOBS: &[&dyn Knob] = &[&rule::GROUP, &memory::MEMORY_NODES, &rule::CPUS, &rule::POLICY];

#[cfg(test)]
mod tests;
