//! Errors of knobs.

use std::io;
use std::path::PathBuf;

use super::matched_process::{MatchedProcess, listed as listed_processes};
use crate::excerpt;
use crate::host::lockdown;
use crate::text::shown_path;
use crate::tune::value::{KnobTarget, Value};

/// Why a knob cannot be read or set.
#[derive(Debug, thiserror::Error)]
pub enum KnobError {
    /// The caller is not root and lacks the permission.
    #[error("could not change {}: {source}\nhint: run as root", shown_path(path))]
    Permission {
        /// The file that could not be read or written.
        path: PathBuf,
        /// The error from the kernel.
        r#source: io::Error,
    },
    /// Root lacks the permission.
    #[error("could not change {} even as root: {source}{cause}", shown_path(path))]
    Denied {
        /// The file that could not be read or written.
        path: PathBuf,
        /// The error from the kernel.
        r#source: io::Error,
        /// The likely cause, as the end of the message.
        cause: &'static str,
    },
    /// The mode of the file permits no user to write it, so the kernel rejects writes by root too.
    #[error(
        "{} is read-only, even for root: the kernel does not support the setting here, for example for lack of a hardware \
         counter",
        shown_path(path)
    )]
    Fixed {
        /// The file that could not be written.
        path: PathBuf,
    },
    /// The file system is mounted read-only.
    #[error("{} is mounted read-only, as in a container", shown_path(path))]
    ReadOnly {
        /// The file that could not be written.
        path: PathBuf,
    },
    /// The kernel or driver rejected the value.
    #[error("{} rejected {}: {source}", shown_path(path), excerpt::quoted(value))]
    Refused {
        /// The file that could not be written.
        path: PathBuf,
        /// The value.
        value: String,
        /// The error from the kernel.
        r#source: io::Error,
    },
    /// The value cannot be read.
    #[error("could not read {}: {source}", shown_path(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// The error from the kernel.
        r#source: io::Error,
    },
    /// The content does not match the documented format.
    #[error("could not parse {}: {}", shown_path(path), excerpt::message(reason))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with the content.
        reason: String,
    },
    /// The kernel manages the value itself. Some kernels report this only when the value is written.
    #[error("{} is managed by the kernel: {reason}", shown_path(path))]
    Managed {
        /// The file that could not be written.
        path: PathBuf,
        /// How the kernel manages the value.
        reason: String,
    },
    /// Some parts of a value were refused. The other parts were set.
    #[error("{} of {total} could not be set: {}", refused.len(), listed(refused))]
    Parts {
        /// The error of each part.
        refused: Vec<KnobError>,
        /// The number of parts that had to be set.
        total: usize,
    },
    /// A value was refused, and the parts that had been written before could not be restored.
    #[error("{refused}; what was written before could not be restored: {not_restored}")]
    HalfWritten {
        /// Why the value was refused.
        refused: Box<KnobError>,
        /// Why the parts could not be restored.
        not_restored: Box<KnobError>,
    },
    /// A process rule that names no user or cgroup matches processes of several users.
    #[error(
        "{} matches processes of several users: {}\nhint: name the user or the cgroup, for example {}",
        excerpt::quoted(on),
        listed_processes(processes),
        excerpt::quoted(with_user(on, "NAME"))
    )]
    SeveralUsers {
        /// The `on` key of the rule.
        on: String,
        /// All matching processes.
        processes: Vec<MatchedProcess>,
    },
    /// Since the plan was made, a process rule matches processes of additional users.
    #[error(
        "{} matches processes of more users than when it was planned: {}\n\
         hint: check `quell tune plan`, and name the user or the cgroup",
        excerpt::quoted(on),
        listed_processes(processes)
    )]
    NewUsers {
        /// The `on` key of the rule.
        on: String,
        /// The processes of the additional users.
        processes: Vec<MatchedProcess>,
    },
    /// A process changed since the plan was made.
    #[error(
        "process {process} has changed since it was planned: {change}\nhint: check `quell tune plan`, then apply again"
    )]
    ProcessChanged {
        /// The process as it was planned.
        process: Box<MatchedProcess>,
        /// What has changed.
        change: &'static str,
    },
    /// The kernel reused the ID of a thread while its value was being set.
    #[error("thread {planned} ended while it was set; its ID now belongs to {current}, which may have got the value")]
    ThreadReplaced {
        /// The thread that was to be set.
        planned: String,
        /// The thread that has this ID now.
        current: String,
    },
    /// A program that activates a setting failed.
    #[error("`{command}` failed: {reason}")]
    Command {
        /// The program and its arguments.
        command: String,
        /// The exit status and the error message of the program.
        reason: String,
    },
    /// A journal contains the id of a knob that this version of quell does not have.
    #[error("this version of quell does not have the knob")]
    Unknown,
    /// A journal contains a target that the knob does not have.
    #[error("the knob cannot be set on {}", excerpt::quoted(target.to_string()))]
    WrongTarget {
        /// The target.
        target: KnobTarget,
    },
    /// The host does not support the value.
    #[error("{} is not possible on this host: {reason}", value.brief())]
    Impossible {
        /// The value.
        value: Value,
        /// Why it is not possible.
        reason: String,
    },
}

/// `ENOTSUPP`, include/linux/errno.h: the number is internal to the kernel, so the C library has no message for it.
/// `kernel.nmi_watchdog` returns it if there are no hardware counters.
const ENOTSUPP: i32 = 524;
/// The maximum number of refusals in a message.
const REFUSALS_SHOWN: usize = 3;

fn listed(refused: &[KnobError]) -> String {
    let shown: Vec<_> = refused.iter().take(REFUSALS_SHOWN).map(ToString::to_string).collect();
    match refused.len().saturating_sub(REFUSALS_SHOWN) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

/// The `on` key of a rule, extended by the user.
pub(super) fn with_user(on: &str, user: &str) -> String {
    let is_keyed = ["name=", "exe="].iter().any(|key| on.contains(key));
    format!("{}{on},user={user}", if is_keyed { "" } else { "name=" })
}

impl KnobError {
    /// Combines this error with the result of restoring what was written before it.
    pub(super) fn after_restore(self, restored: Result<(), Self>) -> Self {
        match restored {
            Ok(()) => self,
            Err(error) => Self::HalfWritten { refused: Box::new(self), not_restored: Box::new(error) },
        }
    }

    /// The error for a missing permission, with the likely cause.
    pub(super) fn denied(path: PathBuf, source: io::Error) -> Self {
        if !nix::unistd::geteuid().is_root() {
            return Self::Permission { path, source };
        }
        // debugfs_locked_down, fs/debugfs/file.c (5.4).
        let cause = if path.starts_with("/sys/kernel/debug") && lockdown::is_locked_down() {
            "; kernel lockdown protects debugfs"
        } else {
            "; a container or a security module may forbid it"
        };
        Self::Denied { path, source, cause }
    }

    /// The error of a failed write.
    pub(super) fn from_write(path: PathBuf, value: String, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EROFS) => Self::ReadOnly { path },
            // EACCES is caused by file modes. EPERM is a refusal by the kernel: lockdown, or the firmware.
            Some(libc::EACCES) => Self::denied(path, source),
            Some(ENOTSUPP) => {
                let source = io::Error::other("not supported by this kernel (ENOTSUPP)");
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
    fn a_refusal_of_the_kernel_is_not_reported_as_a_missing_permission() {
        let error = |errno| KnobError::from_write("/sys/x".into(), "1".to_owned(), io::Error::from_raw_os_error(errno));
        assert!(matches!(error(libc::EPERM), KnobError::Refused { .. }));
        let is_root = nix::unistd::geteuid().is_root();
        assert_eq!(matches!(error(libc::EACCES), KnobError::Denied { .. }), is_root, "{}", error(libc::EACCES));
        assert_eq!(matches!(error(libc::EACCES), KnobError::Permission { .. }), !is_root, "{}", error(libc::EACCES));
        assert!(matches!(error(libc::EROFS), KnobError::ReadOnly { .. }));
        assert!(
            error(ENOTSUPP).to_string().ends_with("not supported by this kernel (ENOTSUPP)"),
            "{}",
            error(ENOTSUPP)
        );
    }
}
