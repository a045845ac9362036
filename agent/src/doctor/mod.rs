//! What a host lets quell do: whether each probe works, and what to do where one does not.
//!
//! [`crate::bpf::Features`] says what the kernel allows and each probe what it needs of that; here the kernel is given the probes' own
//! programs as well, and all of it becomes a [`Checkup`].

mod check;
mod checkup;
mod findings;
mod trial;

pub use check::{Check, Group, Status};
pub use checkup::{Checkup, ProbeState, ProbeVerdict};

use crate::bpf::Features;
use crate::host::{Btf, Capabilities, HostError};

/// Finds out. Loads and attaches programs that do nothing, and loads those of each probe; nothing stays behind. `capabilities` are
/// those that quell was started with.
///
/// # Errors
/// `/proc` or `/sys` cannot be read. What only is not permitted is a finding, no error.
pub fn examine(capabilities: Capabilities) -> Result<Checkup, HostError> {
    let btf = Btf::kernel();
    let features = Features::detect(&btf, capabilities)?;
    let trials = trial::try_probes(&btf, &features);
    Ok(checkup::checkup(&features, &trials))
}
