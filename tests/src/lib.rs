//! Shared code of the tests: the real `quell` binary, fixtures to be measured, recordings, and checks of the kernel for
//! leftovers.
//!
//! The fixtures are the binaries of this package. Each performs a known task in functions with stable names, and at the end
//! prints the times that it measured itself.

#![deny(missing_docs)]

pub mod agent;
pub mod background;
pub mod capture;
pub mod cgroup;
pub mod clock;
pub mod cpus;
pub mod doctor;
pub mod executable;
pub mod fake_host;
pub mod fixture;
pub mod foreign_program;
pub mod hostile;
pub mod kernel;
pub mod machine;
pub mod memory;
pub mod needs;
pub mod queued;
pub mod recorded;
pub mod shared;
pub mod small;
pub mod stops;
pub mod support;
mod syscall;
pub mod traced;
pub mod turns;
pub mod unprivileged;
pub mod uring;
pub mod verdict;
