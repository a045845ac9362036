//! Restricts child processes: resource limits, Landlock and seccomp.

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _,
};
use nix::sys::resource::{Resource, setrlimit};

use super::filter::{self, Allowed, BASE, READING, WAITING};
use super::{ChildError, Role};

/// The address space limit of a namer, in bytes: twice the size of the symbols of one file, and lookup tables.
const NAMER_MEMORY: u64 = 2 << 30;

/// The CPU time limit of a namer, in seconds. In addition, each file has a limit.
const NAMER_CPU: u64 = 60;

/// The maximum size of a file that a namer creates, in bytes: a copy of symbols, in memory.
const NAMER_FILE: u64 = 1 << 30;

/// The maximum number of descriptors of a namer, and therefore of simultaneous copies of symbols.
const NAMER_DESCRIPTORS: u64 = 32;

/// The directory where distributions install the symbols that they strip from files: the only files that a namer may open.
pub(crate) const DEBUG_FILES: &str = "/usr/lib/debug/.build-id";

/// The files that say how fast a CPU is, from which an opener computes the period of its cycle counter.
const CPU_FREQUENCY: &[&str] = &["/sys/devices/system/cpu", "/proc/cpuinfo"];

const READER: &[Allowed] = &[
    Allowed::Any(libc::SYS_process_vm_readv),
    Allowed::Any(libc::SYS_readlinkat),
    // The threads of a process.
    Allowed::Any(libc::SYS_getdents64),
];

/// Additional system calls of a starter: to fork a copy, and to install the stricter filter of the copy.
const STARTER: &[Allowed] = &[
    Allowed::Without(libc::SYS_clone, 0, (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_NEWUSER) as u32),
    Allowed::Is(libc::SYS_unshare, 0, libc::CLONE_THREAD as u32),
    Allowed::Any(libc::SYS_set_robust_list),
    Allowed::Any(libc::SYS_wait4),
    Allowed::Any(libc::SYS_socketpair),
    Allowed::Any(libc::SYS_pidfd_open),
    Allowed::Any(libc::SYS_prctl),
    Allowed::Any(libc::SYS_seccomp),
];

const NAMER: &[Allowed] = &[
    Allowed::Any(libc::SYS_memfd_create),
    Allowed::Any(libc::SYS_ftruncate),
    Allowed::Any(libc::SYS_pwrite64),
    Allowed::Any(libc::SYS_write),
];

/// `PERF_EVENT_IOC_ID` (include/uapi/linux/perf_event.h).
const PERF_EVENT_ID: u32 = 0x8008_2407;

/// To open events of all processes on a CPU (the PID is -1), and to get their ID.
pub(super) const OPENER: &[Allowed] =
    &[Allowed::Is(libc::SYS_perf_event_open, 1, u32::MAX), Allowed::Is(libc::SYS_ioctl, 1, PERF_EVENT_ID)];

/// Permanently restricts this process to what its role needs. Capabilities must have been dropped before.
///
/// # Errors
/// A limit cannot be set, or the kernel rejects the seccomp filter. Landlock (5.13) is used if available.
pub(super) fn confine(role: Role) -> Result<(), ChildError> {
    match role {
        Role::Readers => filter::allow_only(&[BASE, READING, READER, STARTER]),
        Role::Reader => filter::allow_only(&[BASE, READING, READER]),
        Role::Keeper => {
            no_files(&[]);
            filter::allow_only(&[BASE, WAITING])
        }
        // The limits and Landlock rules are inherited by the copies.
        Role::Namers => {
            limit(Resource::RLIMIT_AS, NAMER_MEMORY)?;
            limit(Resource::RLIMIT_CPU, NAMER_CPU)?;
            limit(Resource::RLIMIT_FSIZE, NAMER_FILE)?;
            limit(Resource::RLIMIT_NOFILE, NAMER_DESCRIPTORS)?;
            no_files(&[DEBUG_FILES]);
            filter::allow_only(&[BASE, READING, NAMER, STARTER])
        }
        Role::Opener => {
            no_files(CPU_FREQUENCY);
            filter::allow_only(&[BASE, READING, OPENER])
        }
        Role::Namer => filter::allow_only(&[BASE, READING, NAMER]),
    }
}

/// Disables core dumps, which could contain data of other users.
///
/// # Errors
/// The limit cannot be set.
pub(super) fn forbid_cores() -> Result<(), ChildError> {
    limit(Resource::RLIMIT_CORE, 0)
}

fn limit(resource: Resource, value: u64) -> Result<(), ChildError> {
    setrlimit(resource, value, value)
        .map_err(|errno| ChildError::System { what: "limit resources with setrlimit", source: errno.into() })
}

/// Permits opening only the files `except`, and files below those of them that are directories, for reading. Open descriptors and memory
/// are not affected.
fn no_files(except: &[&str]) {
    let all = AccessFs::from_all(ABI::V5);
    let restricted = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)
        .and_then(Ruleset::create)
        .and_then(|rules| {
            let paths = except.iter().filter_map(|path| PathFd::new(path).ok());
            paths.into_iter().try_fold(rules, |rules, path| {
                rules.add_rule(PathBeneath::new(path, AccessFs::ReadFile | AccessFs::ReadDir))
            })
        })
        .and_then(landlock::RulesetCreated::restrict_self);
    if let Err(error) = restricted {
        tracing::debug!("no Landlock: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::thread;

    use super::*;

    #[test]
    fn an_opener_reads_how_fast_cpus_are_and_no_other_files() {
        // In a separate thread, because only this thread is restricted.
        let tried = thread::spawn(|| {
            no_files(CPU_FREQUENCY);
            let frequencies = [fs::read("/proc/cpuinfo"), fs::read("/sys/devices/system/cpu/online")];
            (frequencies.map(|read| read.map(|text| !text.is_empty()).ok()), File::open("/etc/passwd").is_ok())
        });
        let (frequencies, others) = tried.join().expect("it ends");
        assert_eq!(frequencies, [Some(true); 2]);
        if others {
            crate::skip!("Landlock");
        }
    }
}
