//! Whether a probe works on a host.

use crate::bpf::{Features, Support};
use crate::host::Capability;

/// Whether a probe works on a host, and how well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// The probe works completely.
    Ready,
    /// The probe works partly; the text says what is missing.
    Degraded(String),
    /// The probe does not work; the text is the reason.
    Unavailable(String),
}

/// Collects the requirements that a host does not meet.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    obstacles: Vec<String>,
    shortcomings: Vec<String>,
    forbidden: bool,
}

impl Verdict {
    /// Requires a feature.
    pub(super) fn need(&mut self, what: &str, support: &Support) {
        if let Some(why) = support.why_not() {
            self.obstacles.push(format!("{what} is required ({why})"));
            self.forbidden |= matches!(support, Support::Forbidden(_));
        }
    }

    /// Adds a reason why the probe does not work.
    pub(super) fn obstacle(&mut self, why: &str) {
        self.obstacles.push(why.to_owned());
    }

    /// Adds a limitation.
    pub(super) fn miss(&mut self, what: &str) {
        self.shortcomings.push(what.to_owned());
    }

    /// Checks the requirements of every probe.
    pub(super) fn common(&mut self, features: &Features) {
        let missing = |needed: &Capability| !features.capabilities.grants(*needed);
        let missing: Vec<_> = [Capability::Bpf, Capability::Perfmon].into_iter().filter(missing).collect();
        if self.forbidden && !missing.is_empty() {
            let names: Vec<_> = missing.into_iter().map(Capability::name).collect();
            self.obstacles.insert(0, format!("not permitted without {}", names.join(" and ")));
        }
        if !features.kernel_symbols.is_yes() {
            self.miss("kernel functions have no names");
        }
        if features.jit == Some(false) {
            self.miss("BPF programs are interpreted, which multiplies their overhead");
        }
        if !features.initial_pid_namespace {
            self.miss("quell runs in another PID namespace, and the kernel reports the PIDs of the host");
        }
    }
}

impl From<Verdict> for Availability {
    fn from(verdict: Verdict) -> Self {
        if !verdict.obstacles.is_empty() {
            Self::Unavailable(verdict.obstacles.join("; "))
        } else if !verdict.shortcomings.is_empty() {
            Self::Degraded(verdict.shortcomings.join("; "))
        } else {
            Self::Ready
        }
    }
}
