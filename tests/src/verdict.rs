//! The results of kernel tests, as lines of JSON: a guest writes them, and `cargo xtask vm` reads them.
//!
//! `xtask` includes this file by its path, so that it does not depend on the crates that the tests use.

use serde::{Deserialize, Serialize};

/// The environment variable with the path of the file that events are appended to.
pub const EVENTS: &str = "QUELL_KERNEL_EVENTS";

/// The environment variable that is set after a machine has rebooted, for tests that continue then.
pub const REBOOTED: &str = "QUELL_KERNEL_REBOOTED";

/// The result of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// The test passed.
    Passed,
    /// The test failed.
    Failed {
        /// The reason.
        why: String,
    },
    /// The test was not run.
    Skipped {
        /// The missing requirement, which is a property of this kernel or machine.
        why: String,
    },
}

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// A test started. If no other event follows, the test hung or the kernel crashed.
    Started {
        /// The name of the test.
        test: String,
    },
    /// A test continues after the machine has rebooted.
    Reboots {
        /// The name of the test.
        test: String,
    },
    /// A test ended.
    Ended {
        /// The name of the test.
        test: String,
        /// The result.
        #[serde(flatten)]
        verdict: Verdict,
        /// The wall time of the test, in seconds.
        seconds: f64,
    },
}
