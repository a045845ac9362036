//! The system calls that a child may make once it has begun.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use super::ChildError;

/// A system call that is allowed, and the value that its first argument must have; `None` for any.
pub(super) type Allowed = (libc::c_long, Option<u32>);

/// Allows these system calls alone, for good; every other one fails with `EPERM`. Also sets `no_new_privs`.
///
/// # Errors
/// The kernel has no seccomp filters (`CONFIG_SECCOMP_FILTER`), or a filter above this one forbids more of them.
pub(super) fn allow_only(allowed: &[Allowed]) -> Result<(), ChildError> {
    let program = compile(allowed).map_err(|error| ChildError::Filter(error.to_string()))?;
    seccompiler::apply_filter(&program).map_err(|error| ChildError::Filter(error.to_string()))
}

fn compile(allowed: &[Allowed]) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for (call, first) in allowed {
        // No rule at all allows every argument.
        let rules = rules.entry(*call).or_default();
        if let Some(first) = first {
            let equal = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, u64::from(*first))?;
            rules.push(SeccompRule::new(vec![equal])?);
        }
    }
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let denied = SeccompAction::Errno(libc::EPERM as u32);
    SeccompFilter::new(rules, denied, SeccompAction::Allow, architecture)?.try_into()
}
