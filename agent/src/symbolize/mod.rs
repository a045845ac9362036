//! Symbolizes stacks in two steps.
//!
//! During the capture, [`AddressSpaces`] turns each user address into a file and an offset, since the process may exit at any time.
//! [`MappingEvents`] reports mappings of processes that are too short-lived for reading `/proc`. After the capture, the code in
//! [`naming`] finds the name of each distinct location.
//!
//! # Return addresses
//! All frames of a stack except the innermost are return addresses: they point after the call, and if the call is the last
//! instruction of a function, into the next function. Locations are symbolized at their exact address. So a frame that is not the
//! innermost of its kernel part or user part must be converted with [`call_site`] before it is interned.

mod budget;
mod events;
mod file_identity;
mod files;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod kernel_code;
mod kernel_symbols;
mod known_files;
mod mangled;
mod mappings;
mod maps;
mod naming;
mod space;
mod spaces;
#[cfg(test)]
mod tests;
mod truncated;
mod trust;
mod unnamed;

pub use events::{Lives, MappingEvent, MappingEvents, MappingEventsError};
pub use file_identity::FileIdentity;
pub use kernel_symbols::KernelSymbols;
pub use mangled::mangled_functions;
pub use maps::MappedRange;
pub(crate) use naming::serve as serve_namer;
pub use naming::{Namers, symbolize};
pub use spaces::AddressSpaces;
pub use truncated::{IncompleteStacks, incomplete_user_stacks};
