//! What a kernel test says of its run, as lines of JSON: a guest writes them, `cargo xtask vm` reads them.
//!
//! `xtask` includes this file by its path, so that it need not build what the tests need.

use serde::{Deserialize, Serialize};

/// The environment variable that names the file to append events to.
pub const EVENTS: &str = "QUELL_KERNEL_EVENTS";

/// The environment variable that is set in a machine that has rebooted, for tests that go on there.
pub const REBOOTED: &str = "QUELL_KERNEL_REBOOTED";

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// It holds.
    Passed,
    /// It does not.
    Failed {
        /// What was seen instead.
        why: String,
    },
    /// It could not be tried.
    Skipped {
        /// What is missing, which is true of this kernel or machine.
        why: String,
    },
}

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// A test begins: should nothing follow, this one hung or took the kernel with it.
    Started {
        /// Its name.
        test: String,
    },
    /// A test goes on when the machine has rebooted.
    Reboots {
        /// Its name.
        test: String,
    },
    /// A test has ended.
    Ended {
        /// Its name.
        test: String,
        /// Its verdict.
        #[serde(flatten)]
        verdict: Verdict,
        /// Wall time that it took, in seconds.
        seconds: f64,
    },
}
