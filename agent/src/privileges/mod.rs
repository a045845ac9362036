//! Drops the privileges that quell does not need.
//!
//! Capabilities belong to a thread, and new threads and processes inherit them, so every function here is called before
//! another thread is started. [`table`] says what each verb needs and why; SECURITY.md shows the same table.

pub mod table;

use std::fs;

use caps::errors::CapsError;
use caps::{CapSet, CapsHashSet};
use nix::sys::prctl;
use nix::unistd::{getresgid, getresuid};

use crate::host::Capability;
use crate::sys;

pub use table::{Keeps, Need};

/// The reason why privileges could not be reduced.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// There are other threads, which would keep their capabilities.
    #[error("could not drop capabilities: each thread has its own, and {0} threads are running")]
    Threads(usize),
    /// A system call failed.
    #[error("could not {what}: {source}")]
    Change {
        /// The operation, with the name of the system call.
        what: &'static str,
        /// The error of the system call.
        r#source: CapsError,
    },
    /// `no_new_privs` could not be set.
    #[error("could not set no_new_privs with prctl: {0}")]
    NoNewPrivileges(nix::errno::Errno),
    /// The permitted set contains other capabilities than were set.
    #[error("capabilities are still in the permitted set after they were dropped: {0:?}")]
    Kept(Vec<caps::Capability>),
    /// The program is set-user-id or set-group-id.
    #[error(
        "quell does not run set-user-id or set-group-id\nhint: use file capabilities and a group; `quell doctor` prints the commands"
    )]
    SetId,
}

/// Must be called first. Makes file capabilities ineffective until [`put_into_effect`] or [`keep_only`] is called, so that
/// paths are opened with the rights of the caller.
///
/// # Errors
/// The program is set-user-id or set-group-id, or a system call failed.
pub fn begin() -> Result<(), PrivilegeError> {
    let ids = getresuid().map(|ids| ids.real == ids.effective).unwrap_or(false)
        && getresgid().map(|ids| ids.real == ids.effective).unwrap_or(false);
    if !ids {
        return Err(PrivilegeError::SetId);
    }
    if given_by_file() { set(CapSet::Effective, &CapsHashSet::new(), "lower capabilities with capset") } else { Ok(()) }
}

/// Whether this process has privileges from its executable file that its caller does not have (`AT_SECURE`,
/// security/commoncap.c, `cap_bprm_creds_from_file`). The caller may then have fewer rights than this process.
#[must_use]
pub fn given_by_file() -> bool {
    sys::is_secure_execution()
}

/// Permanently drops the privileges that a verb does not need, according to its line of [`table`].
///
/// # Errors
/// As [`keep_only`].
pub fn enter(keeps: &Keeps) -> Result<(), PrivilegeError> {
    match keeps {
        Keeps::Nothing => drop_all(),
        Keeps::Only(needs) => keep_only(&with_perf_events(capabilities(needs))),
        Keeps::OnlyOfCaller(_) | Keeps::AllOfCaller(_) if given_by_file() => drop_all(),
        Keeps::OnlyOfCaller(needs) => keep_only(&capabilities(needs)),
        Keeps::AllOfCaller(_) => Ok(()),
    }
}

fn capabilities(needs: &[Need]) -> Vec<Capability> {
    needs.iter().map(|need| need.capability).collect()
}

/// Adds `CAP_SYS_ADMIN` to capabilities for perf events, if the kernel requires it.
#[must_use]
pub fn with_perf_events(mut kept: Vec<Capability>) -> Vec<Capability> {
    if kept.contains(&Capability::Perfmon) && perf_events_require_sys_admin() {
        kept.push(Capability::SysAdmin);
    }
    kept
}

/// Whether perf events require `CAP_SYS_ADMIN` instead of `CAP_PERFMON`: a patch of Debian's and Ubuntu's kernels adds levels
/// above 2.
#[must_use]
pub fn perf_events_require_sys_admin() -> bool {
    let level = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid");
    level.is_ok_and(|level| level.trim().parse::<i32>().is_ok_and(|level| level > 2))
}

/// Permanently drops all capabilities.
///
/// # Errors
/// As [`keep_only`].
pub fn drop_all() -> Result<(), PrivilegeError> {
    keep_only(&[])
}

/// Keeps the available capabilities of `kept`, in effect, and permanently drops all others: from the ambient, inheritable,
/// effective and permitted sets, and from the bounding set where that is allowed (`CAP_SETPCAP`). Sets `no_new_privs`, so that
/// no program that is executed later gains capabilities, neither by user ID 0 nor by its file.
///
/// # Errors
/// There are other threads, or a system call failed. The process must then exit.
pub fn keep_only(kept: &[Capability]) -> Result<(), PrivilegeError> {
    only_thread()?;
    prctl::set_no_new_privs().map_err(PrivilegeError::NoNewPrivileges)?;
    let permitted = read(CapSet::Permitted)?;
    let kept: CapsHashSet = kept.iter().filter_map(|one| known(*one)).filter(|one| permitted.contains(one)).collect();
    shrink_bounding_set(&permitted, &kept)?;
    caps::clear(None, CapSet::Ambient).map_err(change("clear the ambient capabilities with prctl"))?;
    set(CapSet::Inheritable, &CapsHashSet::new(), "clear the inheritable capabilities with capset")?;
    set(CapSet::Effective, &kept, "drop the effective capabilities with capset")?;
    set(CapSet::Permitted, &kept, "drop the permitted capabilities with capset")?;
    let left: Vec<_> = read(CapSet::Permitted)?.difference(&kept).copied().collect();
    if left.is_empty() { Ok(()) } else { Err(PrivilegeError::Kept(left)) }
}

/// Makes exactly the permitted capabilities of `wanted` effective. This is not permanent.
///
/// # Errors
/// A system call failed.
pub fn put_into_effect(wanted: &[Capability]) -> Result<(), PrivilegeError> {
    let permitted = read(CapSet::Permitted)?;
    let wanted = wanted.iter().filter_map(|one| known(*one)).filter(|one| permitted.contains(one)).collect();
    set(CapSet::Effective, &wanted, "change the effective capabilities with capset")
}

/// Sets the privileges of a process that is about to execute a command of the user to those of the user's shell: root
/// keeps its privileges, and other users lose the capabilities of quell.
///
/// # Errors
/// A system call failed.
pub fn become_callers() -> Result<(), PrivilegeError> {
    if nix::unistd::getuid().is_root() {
        // The path of the command is looked up with these capabilities.
        let permitted = read(CapSet::Permitted)?;
        return set(CapSet::Effective, &permitted, "raise capabilities with capset");
    }
    caps::clear(None, CapSet::Ambient).map_err(change("clear the ambient capabilities with prctl"))?;
    let none = CapsHashSet::new();
    set(CapSet::Inheritable, &none, "clear the inheritable capabilities with capset")?;
    set(CapSet::Effective, &none, "drop the effective capabilities with capset")?;
    set(CapSet::Permitted, &none, "drop the permitted capabilities with capset")
}

/// Drops all capabilities except `kept` from the bounding set, if `CAP_SETPCAP` is permitted. Executing a file cannot restore
/// them, for any user.
fn shrink_bounding_set(permitted: &CapsHashSet, kept: &CapsHashSet) -> Result<(), PrivilegeError> {
    let setpcap = caps::Capability::CAP_SETPCAP;
    if !permitted.contains(&setpcap) {
        return Ok(());
    }
    let mut effective = read(CapSet::Effective)?;
    if effective.insert(setpcap) {
        set(CapSet::Effective, &effective, "raise CAP_SETPCAP with capset")?;
    }
    for capability in caps::all().difference(kept).copied() {
        // The kernel may not know all of them.
        if caps::has_cap(None, CapSet::Bounding, capability).unwrap_or(false) {
            caps::drop(None, CapSet::Bounding, capability).map_err(change("shrink the bounding set with prctl"))?;
        }
    }
    Ok(())
}

fn only_thread() -> Result<(), PrivilegeError> {
    // Without /proc, the number of threads is unknown, and profiling is impossible.
    match fs::read_dir("/proc/self/task").map(Iterator::count) {
        Ok(count) if count > 1 => Err(PrivilegeError::Threads(count)),
        _ => Ok(()),
    }
}

fn known(capability: Capability) -> Option<caps::Capability> {
    caps::all().into_iter().find(|one| one.index() == capability.number())
}

fn read(which: CapSet) -> Result<CapsHashSet, PrivilegeError> {
    caps::read(None, which).map_err(change("read capabilities with capget"))
}

fn set(which: CapSet, value: &CapsHashSet, what: &'static str) -> Result<(), PrivilegeError> {
    caps::set(None, which, value).map_err(change(what))
}

fn change(what: &'static str) -> impl Fn(CapsError) -> PrivilegeError {
    move |source| PrivilegeError::Change { what, source }
}
