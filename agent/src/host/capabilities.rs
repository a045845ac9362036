//! What this process may do.

/// A capability that quell has a use for (include/uapi/linux/capability.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Creates and replaces files whatever the permissions of their directories.
    DacOverride,
    /// Reads files and directories whatever their permissions.
    DacReadSearch,
    /// Takes capabilities out of the bounding set.
    Setpcap,
    /// Reads `/proc/PID/maps`, the memory and the files of other users' processes.
    SysPtrace,
    /// Turns the kernel's BPF run-time statistics on; also allows what `CAP_BPF` and `CAP_PERFMON` do.
    SysAdmin,
    /// Raises resource limits.
    SysResource,
    /// Reads kernel addresses from `/proc/kallsyms` where `kptr_restrict` is 1.
    Syslog,
    /// Opens perf events of other processes, attaches tracing programs (5.8).
    Perfmon,
    /// Loads BPF programs and makes BPF maps (5.8).
    Bpf,
    /// Opens `/proc/PID/map_files` (5.9), which before 5.9 needs `CAP_SYS_ADMIN`.
    CheckpointRestore,
}

impl Capability {
    /// As capabilities(7) names it.
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

    /// Its number, which is its bit in `/proc/PID/status`.
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

/// A set of capabilities: a bit for each number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// Those in effect in this process; none where `/proc` cannot be read.
    #[must_use]
    pub fn effective() -> Self {
        std::fs::read("/proc/self/status").ok().and_then(|status| Self::in_effect(&status)).unwrap_or_default()
    }

    /// Those of a `/proc/PID/status`, which has the name of the process first: bytes.
    fn in_effect(status: &[u8]) -> Option<Self> {
        let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"CapEff:"))?;
        u64::from_str_radix(std::str::from_utf8(line).ok()?.trim(), 16).ok().map(Self)
    }

    /// Those that this process may put into effect; none where `/proc` cannot be read.
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

    /// Whether the set allows what `capability` is for: it is in it, or `CAP_SYS_ADMIN` is, which implies `CAP_BPF` and
    /// `CAP_PERFMON` (include/linux/capability.h, `bpf_capable` and `perfmon_capable`).
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
