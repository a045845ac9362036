//! The capabilities of this process.

/// A capability that quell uses (include/uapi/linux/capability.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Creates and replaces files regardless of the permissions of their directories.
    DacOverride,
    /// Reads files and directories regardless of their permissions.
    DacReadSearch,
    /// Drops capabilities from the bounding set.
    Setpcap,
    /// Reads `/proc/PID/maps`, the memory and the files of other users' processes.
    SysPtrace,
    /// Enables the kernel's BPF run-time statistics; also allows everything that `CAP_BPF` and `CAP_PERFMON` allow.
    SysAdmin,
    /// Raises resource limits.
    SysResource,
    /// Reads kernel addresses from `/proc/kallsyms` if `kptr_restrict` is 1.
    Syslog,
    /// Opens perf events of other processes and attaches tracing programs (since 5.8).
    Perfmon,
    /// Loads BPF programs and creates BPF maps (since 5.8).
    Bpf,
    /// Opens `/proc/PID/map_files` (since 5.9); before 5.9 this requires `CAP_SYS_ADMIN`.
    CheckpointRestore,
}

impl Capability {
    /// Its name, as in capabilities(7).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DacOverride => "CAP_DAC_OVERRIDE",
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::Setpcap => "CAP_SETPCAP",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::SysResource => "CAP_SYS_RESOURCE",
            Self::Syslog => "CAP_SYSLOG",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
            Self::CheckpointRestore => "CAP_CHECKPOINT_RESTORE",
        }
    }

    /// Its number, which is the number of its bit in the capability sets of `/proc/PID/status`.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::DacOverride => 1,
            Self::DacReadSearch => 2,
            Self::Setpcap => 8,
            Self::SysPtrace => 19,
            Self::SysAdmin => 21,
            Self::SysResource => 24,
            Self::Syslog => 34,
            Self::Perfmon => 38,
            Self::Bpf => 39,
            Self::CheckpointRestore => 40,
        }
    }

    fn bit(self) -> u64 {
        1 << self.number()
    }
}

/// A set of capabilities: bit N is the capability with the number N.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// The effective capabilities of this process; empty if `/proc` cannot be read.
    #[must_use]
    pub fn effective() -> Self {
        std::fs::read("/proc/self/status").ok().and_then(|status| Self::in_effect(&status)).unwrap_or_default()
    }

    /// The effective capabilities in a `/proc/PID/status`. It begins with the name of the process, which may not be UTF-8.
    fn in_effect(status: &[u8]) -> Option<Self> {
        let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"CapEff:"))?;
        u64::from_str_radix(std::str::from_utf8(line).ok()?.trim(), 16).ok().map(Self)
    }

    /// The permitted capabilities of this process, which it may make effective; empty if `/proc` cannot be read.
    #[must_use]
    pub fn permitted() -> Self {
        procfs::process::Process::myself()
            .and_then(|process| process.status())
            .map(|status| Self(status.capprm))
            .unwrap_or_default()
    }

    /// Whether `capability` is in the set.
    #[must_use]
    pub fn has(self, capability: Capability) -> bool {
        self.0 & capability.bit() != 0
    }

    /// Whether the set allows the operations of `capability`: it contains the capability, or `CAP_SYS_ADMIN`, which implies
    /// `CAP_BPF` and `CAP_PERFMON` (include/linux/capability.h, `bpf_capable` and `perfmon_capable`).
    #[must_use]
    pub fn grants(self, capability: Capability) -> bool {
        let implied = matches!(capability, Capability::Bpf | Capability::Perfmon);
        self.has(capability) || (implied && self.has(Capability::SysAdmin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_told_whatever_this_process_is_called() {
        let status = b"Name:\tk\xc3\nCapPrm:\t0\nCapEff:\t0000000000200000\nCapBnd:\t0\n";
        assert!(Capabilities::in_effect(status).is_some_and(|held| held.has(Capability::SysAdmin)));
        assert_eq!(Capabilities::in_effect(b"Name:\tCapEff:\n"), None);
    }
}
