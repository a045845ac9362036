//! Resource limits inherited from the caller that could terminate quell, or make it fail, during a change.

use std::fmt;
use std::io;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

/// A resource limit with its name in getrlimit(2) and its `ulimit` option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    resource: Resource,
    name: &'static str,
    option: &'static str,
    /// The value that a change needs.
    required: u64,
    /// The value to which the limit is raised. Not every limit may be infinite.
    raised: u64,
}

const MIB: u64 = 1 << 20;

const LIMITS: [Limit; 6] = [
    // A process that exceeds these limits gets SIGXFSZ or SIGXCPU, which terminate it.
    Limit {
        resource: Resource::RLIMIT_FSIZE,
        name: "RLIMIT_FSIZE",
        option: "-f",
        required: 64 * MIB,
        raised: RLIM_INFINITY,
    },
    Limit { resource: Resource::RLIMIT_CPU, name: "RLIMIT_CPU", option: "-t", required: 60, raised: RLIM_INFINITY },
    // With these limits, any allocation or open(2) may fail.
    Limit {
        resource: Resource::RLIMIT_AS,
        name: "RLIMIT_AS",
        option: "-v",
        required: 512 * MIB,
        raised: RLIM_INFINITY,
    },
    Limit {
        resource: Resource::RLIMIT_DATA,
        name: "RLIMIT_DATA",
        option: "-d",
        required: 256 * MIB,
        raised: RLIM_INFINITY,
    },
    // The limit cannot exceed fs.nr_open, which is at least 64 (sysctl_nr_open_min, fs/file.c).
    Limit { resource: Resource::RLIMIT_NOFILE, name: "RLIMIT_NOFILE", option: "-n", required: 64, raised: 4096 },
    // If the stack exceeds the limit, the process gets SIGSEGV.
    Limit { resource: Resource::RLIMIT_STACK, name: "RLIMIT_STACK", option: "-s", required: MIB, raised: 8 * MIB },
];

/// A limit that is too low and cannot be raised.
#[derive(Debug, thiserror::Error)]
#[error(
    "{name} is {limit}, which could end quell during a change, and could not be raised: {source}\n\
     hint: run `ulimit {option} unlimited` in a root shell without limits, and start quell from it"
)]
pub struct LimitError {
    name: &'static str,
    option: &'static str,
    limit: Shown,
    r#source: io::Error,
}

#[derive(Debug)]
struct Shown(u64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == RLIM_INFINITY { f.write_str("unlimited") } else { self.0.fmt(f) }
    }
}

/// Raises the limits that could terminate this process or make it fail. Child processes inherit them.
///
/// # Errors
/// A limit is lower than a change needs, and cannot be raised.
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
        if soft >= self.raised {
            return Ok(());
        }
        // Raising the hard limit requires CAP_SYS_RESOURCE.
        let raised = setrlimit(self.resource, self.raised, hard.max(self.raised)).or_else(|errno| {
            let limit = hard.min(self.raised);
            let result = if soft < limit { setrlimit(self.resource, limit, hard) } else { Ok(()) };
            match result {
                Ok(()) if limit >= self.required => Ok(()),
                Ok(()) => Err(failed(limit, errno)),
                Err(errno) => Err(failed(soft, errno)),
            }
        });
        match raised {
            // The limit cannot be raised, but it is sufficient.
            Err(_) if soft >= self.required => Ok(()),
            raised => raised,
        }
    }
}
