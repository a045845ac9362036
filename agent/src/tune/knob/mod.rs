//! Knobs: everything that can be set. Each family has a directory, and each knob has an entry in the table of its family.
//!
//! A knob implements [`Knob`]: it reads and writes. Plans and transactions use the operations of `dyn Knob`, which ensure that
//! a value is never written to a device other than the one from which it was read.

mod boot;
mod boot_isolated;
mod checks;
mod command;
mod cpu;
mod error;
#[cfg(test)]
mod fake;
mod file_knob;
mod identity;
mod irq;
mod isolation;
#[expect(clippy::module_inception, reason = "a file has the name of the type that it defines")]
mod knob;
mod matched_process;
mod memory;
mod net;
mod operations;
mod owned_block;
mod parts;
mod process;
mod range_knob;
mod reading;
mod registry;
mod sched;
mod spec;
mod sysctl;
mod threads;
mod unit;
mod value_file;

pub(crate) use cpu::SMT_ID;
pub(crate) use isolation::partition_group;
#[cfg(feature = "fuzzing")]
pub(crate) use threads::fuzz_processes;

pub use error::KnobError;
pub use file_knob::FileKnob;
pub use identity::IdentityFn;
pub use knob::{Configuration, Knob, Privileges, ProcessRule};
pub use matched_process::MatchedProcess;
pub use reading::{Activation, Held, Reading, Survey};
pub use registry::{by_id, knobs};
pub use spec::{KnobSpec, Lifetime, RetainedBy, Risk, Stage};
pub use value_file::{Codec, ValueFile};
