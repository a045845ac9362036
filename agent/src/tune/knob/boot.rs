//! The kernel's command line, from the next boot on.

mod line;
mod parameter;
mod staged;

use super::Knob;

pub use parameter::{Running, running};

/// The family.
pub(super) static KNOBS: &[&dyn Knob] = &[&parameter::PARAMETER, &parameter::FLAG];

#[cfg(test)]
mod tests;
