//! From the addresses of a stack to the names of functions, in two steps.
//!
//! While the capture runs, [`AddressSpaces`] turns each user address into a file and an offset in it: the process may
//! be gone a moment later. [`MappingEvents`] tells it of processes too short-lived for a look at `/proc`. When the
//! capture is over, the code in [`naming`] names each distinct location once.
//!
//! # Return addresses
//! All frames of a stack but the innermost are return addresses: they point behind the call, and where the call is the
//! last thing that a function does they point into the next one. Locations are named exactly where they say they are,
//! so whoever interns a frame that is not the innermost of its stack (of its kernel part and its user part each) must
//! take [`call_site`] of the address first, for kernel frames as well as for user frames.

mod budget;
mod events;
mod file_identity;
mod files;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod kernel_symbols;
mod known_files;
mod mappings;
mod maps;
mod naming;
mod spaces;
#[cfg(test)]
mod tests;
mod truncated;
mod unnamed;

pub use events::{MappingEvent, MappingEvents, MappingEventsError};
pub use file_identity::FileIdentity;
pub use kernel_symbols::KernelSymbols;
pub use maps::MappedRange;
pub(crate) use naming::serve as serve_namer;
pub use naming::{Namers, symbolize};
pub use spaces::AddressSpaces;
pub use truncated::truncated_user_stacks;
