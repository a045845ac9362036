//! Seccomp filters of child processes.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::ChildError;

/// A system call that is allowed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Allowed {
    /// With any arguments.
    Any(libc::c_long),
    /// If an argument, counted from 0, has this value.
    Is(libc::c_long, u8, u32),
    /// If an argument has none of these bits.
    Without(libc::c_long, u8, u32),
}

use Allowed::{Any, Is, Without};

/// System calls for memory and exiting, which every program needs.
pub(super) const BASE: &[Allowed] = &[
    Any(libc::SYS_recvmsg),
    Any(libc::SYS_sendmsg),
    Any(libc::SYS_close),
    Any(libc::SYS_brk),
    // No memory can become executable.
    Without(libc::SYS_mmap, 2, libc::PROT_EXEC as u32),
    Without(libc::SYS_mprotect, 2, libc::PROT_EXEC as u32),
    Any(libc::SYS_munmap),
    Any(libc::SYS_mremap),
    // Not MADV_HWPOISON, which takes memory from the host.
    Is(libc::SYS_madvise, 2, libc::MADV_DONTNEED as u32),
    Is(libc::SYS_madvise, 2, libc::MADV_FREE as u32),
    Any(libc::SYS_futex),
    Any(libc::SYS_getrandom),
    Any(libc::SYS_sigaltstack),
    Any(libc::SYS_rt_sigaction),
    Any(libc::SYS_rt_sigprocmask),
    Any(libc::SYS_rt_sigreturn),
    Any(libc::SYS_restart_syscall),
    // abort(3) also works without tgkill(2), which can signal every process of the same user.
    Any(libc::SYS_getpid),
    Any(libc::SYS_gettid),
    Any(libc::SYS_exit),
    Any(libc::SYS_exit_group),
];

/// System calls for reading files.
pub(super) const READING: &[Allowed] = &[
    Without(libc::SYS_openat, 2, (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC) as u32),
    Any(libc::SYS_read),
    Any(libc::SYS_pread64),
    Any(libc::SYS_lseek),
    Any(libc::SYS_fstat),
    Any(libc::SYS_newfstatat),
    Any(libc::SYS_statx),
    // Not F_SETOWN and F_SETSIG, which can send any signal to any process of the same user.
    Is(libc::SYS_fcntl, 1, libc::F_GETFD as u32),
    Is(libc::SYS_fcntl, 1, libc::F_GETFL as u32),
    Is(libc::SYS_fcntl, 1, libc::F_DUPFD_CLOEXEC as u32),
];

/// System calls for waiting for descriptors.
pub(super) const WAITING: &[Allowed] = &[
    #[cfg(target_arch = "x86_64")]
    Any(libc::SYS_poll),
    Any(libc::SYS_ppoll),
];

/// Permanently allows only these system calls, in all threads; others fail with `EPERM`.
///
/// # Errors
/// The kernel does not support seccomp filters (`CONFIG_SECCOMP_FILTER`), or an existing filter forbids installing another.
pub(super) fn allow_only(allowed: &[&[Allowed]]) -> Result<(), ChildError> {
    let failed = |error: &dyn std::fmt::Display| ChildError::Filter(error.to_string());
    let program = compile(allowed).map_err(|error| failed(&error))?;
    seccompiler::apply_filter_all_threads(&program).map_err(|error| failed(&error))
}

fn compile(allowed: &[&[Allowed]]) -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in allowed.iter().copied().flatten() {
        let (number, condition) = match *call {
            Any(number) => (number, None),
            Is(number, argument, value) => (number, Some((argument, SeccompCmpOp::Eq, value))),
            Without(number, argument, bits) => (number, Some((argument, SeccompCmpOp::MaskedEq(u64::from(bits)), 0))),
        };
        // An empty list of rules allows all arguments.
        let rules = rules.entry(number).or_default();
        if let Some((argument, compare, value)) = condition {
            let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compare, u64::from(value))?;
            rules.push(SeccompRule::new(vec![condition])?);
        }
    }
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let denied = SeccompAction::Errno(libc::EPERM as u32);
    SeccompFilter::new(rules, denied, SeccompAction::Allow, architecture)?.try_into()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use nix::errno::Errno;
    use nix::fcntl::{FcntlArg, fcntl};

    use super::super::confine::OPENER;
    use super::*;
    use crate::perf::CpuEvent;
    use crate::units::{CpuId, Hertz};

    #[test]
    fn an_opener_opens_events_of_cpus_and_not_of_processes() {
        crate::needs!(Bpf);
        // In a separate thread, because only this thread is filtered.
        let tried = std::thread::spawn(|| {
            let program = compile(&[BASE, OPENER]).expect("a filter");
            nix::sys::prctl::set_no_new_privs().expect("set");
            seccompiler::apply_filter(&program).expect("applied");
            let of_cpu = CpuEvent::CpuClock { frequency: Hertz(1) }.open(CpuId(0)).map(drop);
            let of_process = perf_event::Builder::new(perf_event::events::Software::DUMMY).observe_self().build();
            (of_cpu.map_err(|error| error.raw_os_error()), of_process.map(drop).map_err(|error| error.raw_os_error()))
        });
        assert_eq!(tried.join().expect("it ends"), (Ok(()), Err(Some(libc::EPERM))));
    }

    #[test]
    fn who_reads_files_can_send_no_signals_by_them() {
        // In a separate thread, because only this thread is filtered.
        let tried = std::thread::spawn(|| {
            let (ours, _theirs) = std::os::unix::net::UnixStream::pair().expect("a socket pair");
            let program = compile(&[BASE, READING]).expect("a filter");
            nix::sys::prctl::set_no_new_privs().expect("set");
            seccompiler::apply_filter(&program).expect("applied");
            let flags = fcntl(&ours, FcntlArg::F_GETFD).map(drop);
            let copy = ours.try_clone().map(|copy| copy.as_raw_fd());
            // The first step to a signal when there is data to read.
            let signals = fcntl(&ours, FcntlArg::F_SETFL(nix::fcntl::OFlag::O_ASYNC)).map(drop);
            (flags, copy.is_ok(), signals)
        });
        assert_eq!(tried.join().expect("it ends"), (Ok(()), true, Err(Errno::EPERM)));
    }
}
