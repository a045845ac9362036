//! The kernel command line of the next boot.

mod command_line;
mod effect;
mod loader_file;
mod parameter;

use super::knob::Knob;

pub(super) use effect::cpus_in;

/// The knobs of this family.
pub(super) static KNOBS: &[&dyn Knob] = &[&parameter::PARAMETER, &parameter::FLAG];

#[cfg(test)]
mod tests;
