//! The kernel's command line, from the next boot on.

mod effect;
mod line;
mod parameter;
mod staged;

use super::Knob;

pub(super) use effect::cpus_in;

/// The family.
pub(super) static KNOBS: &[&dyn Knob] = &[&parameter::PARAMETER, &parameter::FLAG];

#[cfg(test)]
mod tests;
