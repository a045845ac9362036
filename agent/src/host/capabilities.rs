//! What this process may do.

/// A capability that profiling needs (include/uapi/linux/capability.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Loads BPF programs and makes BPF maps (5.8).
    Bpf,
    /// Opens perf events of other processes, attaches tracing programs (5.8).
    Perfmon,
    /// Has the kernel count the run time of BPF programs; also allows what the two above do.
    SysAdmin,
    /// Reads kernel addresses from `/proc/kallsyms` where `kptr_restrict` is 1.
    Syslog,
    /// Reads `/proc/PID/maps` and the files of other users' processes.
    SysPtrace,
    /// Reads files and folders whatever their permissions, such as tracefs.
    DacReadSearch,
    /// Raises the locked-memory limit, which BPF maps count against before 5.11.
    SysResource,
}

impl Capability {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Bpf,
        Self::Perfmon,
        Self::SysAdmin,
        Self::Syslog,
        Self::SysPtrace,
        Self::DacReadSearch,
        Self::SysResource,
    ];

    /// As capabilities(7) names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bpf => "CAP_BPF",
            Self::Perfmon => "CAP_PERFMON",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Syslog => "CAP_SYSLOG",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::SysResource => "CAP_SYS_RESOURCE",
        }
    }

    /// What quell needs it for.
    #[must_use]
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Bpf => "loads BPF programs",
            Self::Perfmon => "opens perf events of every process and attaches programs",
            Self::SysAdmin => "has the kernel measure what BPF programs cost",
            Self::Syslog => "reads the addresses of kernel functions",
            Self::SysPtrace => "reads which files other users' processes have mapped",
            Self::DacReadSearch => "reads other users' programs for their symbols",
            Self::SysResource => "raises the limit of locked memory before 5.11",
        }
    }

    fn bit(self) -> u64 {
        1 << match self {
            Self::DacReadSearch => 2,
            Self::SysPtrace => 19,
            Self::SysAdmin => 21,
            Self::SysResource => 24,
            Self::Syslog => 34,
            Self::Perfmon => 38,
            Self::Bpf => 39,
        }
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
