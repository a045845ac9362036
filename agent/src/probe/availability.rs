//! Whether a probe works on a host.

use crate::bpf::{Features, Support};
use crate::host::Capability;

/// What a probe can do on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// All that it is made for.
    Ready,
    /// Less than that; what is missing.
    Degraded(String),
    /// Nothing; why.
    Unavailable(String),
}

/// Collects what a probe lacks.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    obstacles: Vec<String>,
    shortcomings: Vec<String>,
    forbidden: bool,
}

impl Verdict {
    /// It does not work without this.
    pub(super) fn need(&mut self, what: &str, support: &Support) {
        if let Some(why) = support.why_not() {
            self.obstacles.push(format!("{what} is needed ({why})"));
            self.forbidden |= matches!(support, Support::Forbidden(_));
        }
    }

    /// It does not work, for this reason.
    pub(super) fn obstacle(&mut self, why: &str) {
        self.obstacles.push(why.to_owned());
    }

    /// It works, but less well.
    pub(super) fn miss(&mut self, what: &str) {
        self.shortcomings.push(what.to_owned());
    }

    /// What holds for every probe.
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
            self.miss("BPF programs are interpreted, which costs several times as much");
        }
        if !features.initial_pid_namespace {
            self.miss("this PID namespace numbers processes differently from the kernel");
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
