//! Checks whether each probe works on this host, and suggests remedies.
//!
//! [`crate::bpf::Features`] describes what the kernel allows, and each probe compares its requirements with it. In addition,
//! the kernel verifies the programs of each probe. The results form a [`Checkup`].

mod check;
mod checkup;
mod findings;
mod trial;

pub use check::{Check, Group, Status};
pub use checkup::{Checkup, ProbeState, ProbeVerdict};

use crate::bpf::Features;
use crate::host::{Btf, Capabilities, HostError};

/// Examines this host. Loads and attaches programs that do nothing, and loads the programs of each probe; all of them are
/// removed again. `capabilities` are the capabilities with which quell was started.
///
/// # Errors
/// `/proc` or `/sys` cannot be read. A missing permission is a finding and not an error.
pub fn examine(capabilities: Capabilities) -> Result<Checkup, HostError> {
    let btf = Btf::kernel();
    let features = Features::detect(&btf, capabilities)?;
    let trials = trial::try_probes(&btf, &features);
    Ok(checkup::checkup(&features, &trials))
}
