//! Rules for the processes that run now: by name, executable, user and cgroup.

mod heirs;
mod identity;
mod memory;
mod rule;
mod selector;

use super::Knob;

/// The family.
pub(super) static KNOBS: &[&dyn Knob] = &[&rule::GROUP, &memory::MEMORY_NODES, &rule::CPUS, &rule::POLICY];

#[cfg(test)]
mod tests;
