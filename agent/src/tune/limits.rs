//! Limits of resources that quell has from its caller, and that would end it, or make it fail, in the middle of a change.

use std::fmt;
use std::io;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

/// A limit, by the name that getrlimit(2) and `ulimit` have for it, and the least that a change needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    resource: Resource,
    name: &'static str,
    option: &'static str,
    least: u64,
    /// What it is raised to: not every one may be infinite.
    most: u64,
}

const MIB: u64 = 1 << 20;

const LIMITS: [Limit; 6] = [
    // SIGXFSZ and SIGXCPU, which end a process.
    Limit {
        resource: Resource::RLIMIT_FSIZE,
        name: "RLIMIT_FSIZE",
        option: "-f",
        least: 64 * MIB,
        most: RLIM_INFINITY,
    },
    Limit { resource: Resource::RLIMIT_CPU, name: "RLIMIT_CPU", option: "-t", least: 60, most: RLIM_INFINITY },
    // Failures of any allocation or opening.
    Limit { resource: Resource::RLIMIT_AS, name: "RLIMIT_AS", option: "-v", least: 512 * MIB, most: RLIM_INFINITY },
    Limit { resource: Resource::RLIMIT_DATA, name: "RLIMIT_DATA", option: "-d", least: 256 * MIB, most: RLIM_INFINITY },
    // fs.nr_open is at least so much.
    Limit { resource: Resource::RLIMIT_NOFILE, name: "RLIMIT_NOFILE", option: "-n", least: 64, most: 4096 },
    // SIGSEGV where a stack would grow past it.
    Limit { resource: Resource::RLIMIT_STACK, name: "RLIMIT_STACK", option: "-s", least: MIB, most: 8 * MIB },
];

/// A limit that is too low, and that this process may not raise.
#[derive(Debug, thiserror::Error)]
#[error(
    "{name} is {limit}, which could end quell in the middle of a change, and could not be raised: {source}\n\
     hint: start it with a higher limit: `ulimit {option} unlimited` in a shell of root that nobody has limited"
)]
pub struct LimitError {
    name: &'static str,
    option: &'static str,
    limit: Shown,
    source: io::Error,
}

#[derive(Debug)]
struct Shown(u64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == RLIM_INFINITY { f.write_str("unlimited") } else { self.0.fmt(f) }
    }
}

/// Raises the limits that would end this process or make it fail, as far as it may: they were set by whoever started its caller.
/// Children have them from this one.
///
/// # Errors
/// One is lower than a change needs, and may not be raised.
pub fn raise() -> Result<(), LimitError> {
    LIMITS.into_iter().try_for_each(Limit::raise)
}

impl Limit {
    fn raise(self) -> Result<(), LimitError> {
        let failed = |limit, source: nix::errno::Errno| LimitError {
            name: self.name,
            option: self.option,
            limit: Shown(limit),
            source: source.into(),
        };
        let (soft, hard) = getrlimit(self.resource).map_err(|errno| failed(0, errno))?;
        if soft >= self.most {
            return Ok(());
        }
        // The hard one may be raised with CAP_SYS_RESOURCE only.
        let raised = setrlimit(self.resource, self.most, hard.max(self.most)).or_else(|errno| {
            let limit = hard.min(self.most);
            let result = if soft < limit { setrlimit(self.resource, limit, hard) } else { Ok(()) };
            match result {
                Ok(()) if limit >= self.least => Ok(()),
                Ok(()) => Err(failed(limit, errno)),
                Err(errno) => Err(failed(soft, errno)),
            }
        });
        match raised {
            // It may not be raised, and is enough.
            Err(_) if soft >= self.least => Ok(()),
            raised => raised,
        }
    }
}
