//! What the tests share: the real `quell` binary, the fixtures that it measures, what it recorded, and what is left
//! in the kernel.
//!
//! The fixtures are the binaries of this package. Each does a known thing for a known time, in functions with
//! stable names, and says at its end, by its own clocks, how long it did it.

#![deny(missing_docs)]

pub mod agent;
pub mod background;
pub mod capture;
pub mod cgroup;
pub mod clock;
pub mod cpus;
pub mod doctor;
pub mod fake_host;
pub mod fixture;
pub mod hostile;
pub mod kernel;
pub mod machine;
pub mod memory;
pub mod needs;
pub mod queued;
pub mod recorded;
pub mod shared;
pub mod small;
pub mod support;
mod syscall;
pub mod turns;
pub mod unprivileged;
pub mod verdict;
