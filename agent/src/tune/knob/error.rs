//! Why a knob cannot be read or set.

use std::io;
use std::path::PathBuf;

use crate::excerpt;
use crate::host::lockdown;
use crate::text::shown_path;
use crate::tune::matched_process::listed as listed_processes;
use crate::tune::{MatchedProcess, Target, Value};

/// Why a knob cannot be read or set.
#[derive(Debug, thiserror::Error)]
pub enum KnobError {
    /// No permission.
    #[error("{} may not be changed: {source}; run as root", shown_path(path))]
    Permission {
        /// What was to be read or written.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// No permission, for root.
    #[error("{} may not be changed: {source}; root is refused too{why}", shown_path(path))]
    Denied {
        /// What was to be read or written.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
        /// Why, as far as it is known.
        why: &'static str,
    },
    /// Its file is not writable for anybody, so not for root either.
    #[error(
        "{} is read-only, for root too: this kernel lacks what it would set, such as a hardware counter",
        shown_path(path)
    )]
    Fixed {
        /// What was to be written.
        path: PathBuf,
    },
    /// It is mounted read-only.
    #[error("{} is mounted read-only, as in a container: set it on the host", shown_path(path))]
    ReadOnly {
        /// What was to be written.
        path: PathBuf,
    },
    /// The kernel or driver does not take it.
    #[error("{} does not take {}: {source}", shown_path(path), excerpt::quoted(value))]
    Refused {
        /// What was to be written.
        path: PathBuf,
        /// The value.
        value: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// It cannot be read.
    #[error("could not read {}: {source}", shown_path(path))]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds something else than it should.
    #[error("could not understand {}: {}", shown_path(path), excerpt::message(why))]
    Understand {
        /// What.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The kernel keeps it to itself: found out by trying.
    #[error("{} is managed by the kernel: {why}", shown_path(path))]
    Managed {
        /// What was to be written.
        path: PathBuf,
        /// What the kernel does about it.
        why: String,
    },
    /// Of several parts some were refused; the others were set.
    #[error("{} of {of} could not be set: {}", refused.len(), listed(refused))]
    Parts {
        /// Why, each.
        refused: Vec<KnobError>,
        /// How many were to be set.
        of: usize,
    },
    /// It was refused, and what had been set before that could not be put back.
    #[error("{refused}; and what was set before that stays: {stays}")]
    HalfDone {
        /// Why it was refused.
        refused: Box<KnobError>,
        /// Why the rest could not be put back.
        stays: Box<KnobError>,
    },
    /// A rule that does not say whose processes it is for matches those of different users.
    #[error(
        "{} matches processes of different users: {}\nhint: name the user or the cgroup, as in {}",
        excerpt::quoted(on),
        listed_processes(processes),
        excerpt::quoted(with_user(on, "NAME"))
    )]
    Users {
        /// What the rule is on.
        on: String,
        /// Everything that it matches.
        processes: Vec<MatchedProcess>,
    },
    /// Processes of other users than those of the plan match since.
    #[error(
        "processes of other users match {} since it was planned: {}\nhint: look at `quell tune plan`, and name the user or the cgroup",
        excerpt::quoted(on),
        listed_processes(processes)
    )]
    Newcomers {
        /// What the rule is on.
        on: String,
        /// Those.
        processes: Vec<MatchedProcess>,
    },
    /// A process is not any more what it was when it was planned.
    #[error(
        "process {process} is not what it was when it was planned: {why}\nhint: look at `quell tune plan`, and apply again"
    )]
    Changed {
        /// As it was planned.
        process: Box<MatchedProcess>,
        /// What has changed.
        why: &'static str,
    },
    /// While a thread was set its number was given to another one.
    #[error("thread {was} ended while it was set, and its number is that of {is} by now, which may have got the value")]
    Reused {
        /// The thread that was meant.
        was: String,
        /// The thread that has its number.
        is: String,
    },
    /// A program that makes a setting count failed.
    #[error("`{command}` failed: {why}")]
    Command {
        /// What was run.
        command: String,
        /// What it said.
        why: String,
    },
    /// A journal names a knob of another version.
    #[error("this version of quell does not know it")]
    Unknown,
    /// A journal names a target that the knob does not have.
    #[error("it has nothing to do with {}", excerpt::quoted(target.to_string()))]
    Target {
        /// The target.
        target: Target,
    },
    /// The host has no such value.
    #[error("{} is not possible here: {why}", value.brief())]
    Impossible {
        /// The value.
        value: Value,
        /// Why.
        why: String,
    },
}

/// `ENOTSUPP`, include/linux/errno.h: the kernel's own, which no library has words for. It is the answer of
/// `kernel.nmi_watchdog` where there are no counters.
const ENOTSUPP: i32 = 524;
/// So many refusals are named.
const REFUSALS_SHOWN: usize = 3;

fn listed(refused: &[KnobError]) -> String {
    let shown: Vec<_> = refused.iter().take(REFUSALS_SHOWN).map(ToString::to_string).collect();
    match refused.len().saturating_sub(REFUSALS_SHOWN) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

/// What a rule would be on that names the user as well.
pub(super) fn with_user(on: &str, user: &str) -> String {
    let is_keyed = ["name=", "exe="].iter().any(|key| on.contains(key));
    format!("{}{on},user={user}", if is_keyed { "" } else { "name=" })
}

impl KnobError {
    /// This, or this and that what was set before it could not be put back.
    pub(crate) fn after(self, put_back: Result<(), Self>) -> Self {
        match put_back {
            Ok(()) => self,
            Err(stays) => Self::HalfDone { refused: Box::new(self), stays: Box::new(stays) },
        }
    }

    /// No permission; what there is to do about that.
    pub(crate) fn denied(path: PathBuf, source: io::Error) -> Self {
        if !nix::unistd::geteuid().is_root() {
            return Self::Permission { path, source };
        }
        // debugfs_locked_down, fs/debugfs/file.c (5.4).
        let why = if path.starts_with("/sys/kernel/debug") && lockdown::is_locked_down() {
            ": the kernel is locked down, and debugfs with it"
        } else {
            ", as in a container, or by a security module"
        };
        Self::Denied { path, source, why }
    }

    /// What became of a write: no permission, or refused.
    pub(crate) fn from_write(path: PathBuf, value: String, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EROFS) => Self::ReadOnly { path },
            // Of EPERM (a kernel's no to root too: locked down, or switched off by the firmware) and EACCES (modes of files).
            Some(libc::EACCES) => Self::denied(path, source),
            Some(ENOTSUPP) => {
                let source = io::Error::other("this kernel has no support for it (ENOTSUPP)");
                Self::Refused { path, value, source }
            }
            _ => Self::Refused { path, value, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernels_no_to_root_is_no_matter_of_permission() {
        let error = |errno| KnobError::from_write("/sys/x".into(), "1".to_owned(), io::Error::from_raw_os_error(errno));
        assert!(matches!(error(libc::EPERM), KnobError::Refused { .. }));
        let is_root = nix::unistd::geteuid().is_root();
        assert_eq!(matches!(error(libc::EACCES), KnobError::Denied { .. }), is_root, "{}", error(libc::EACCES));
        assert_eq!(matches!(error(libc::EACCES), KnobError::Permission { .. }), !is_root, "{}", error(libc::EACCES));
        assert!(matches!(error(libc::EROFS), KnobError::ReadOnly { .. }));
        assert!(error(ENOTSUPP).to_string().ends_with("no support for it (ENOTSUPP)"), "{}", error(ENOTSUPP));
    }
}
