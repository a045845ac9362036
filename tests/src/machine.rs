//! The virtual machines for kernel tests, which `cargo xtask vm` starts.
//!
//! `xtask` includes this file by its path, so that it does not depend on the crates that the tests use.

/// The configuration of a virtual machine, except its kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The name in tests and in the output of `--list`.
    pub name: &'static str,
    /// The number of CPUs. All nodes have the same number of CPUs.
    pub cpus: u32,
    /// The number of threads per core: two with SMT.
    pub threads: u32,
    /// The number of NUMA nodes.
    pub nodes: u32,
    /// Text that is appended to the kernel command line.
    pub command_line: &'static str,
    /// The network cards, as QEMU models.
    pub nics: &'static [&'static str],
    /// The ACPI table for cpufreq and cpuidle, if any.
    pub power: Option<Power>,
    /// The init process.
    pub init: Init,
}

/// The init process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// A script that runs the tests and shuts the guest down.
    Script,
    /// systemd, which runs the tests as a service.
    Systemd,
}

/// The power management in the ACPI tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Five frequencies with I/O ports that have no device, and two idle states that both halt the CPU.
    FrequenciesAndIdleStates,
}

/// Four CPUs without any special features.
pub const PLAIN: Machine = Machine {
    name: "plain",
    cpus: 4,
    threads: 1,
    nodes: 1,
    command_line: "",
    nics: &[],
    power: None,
    init: Init::Script,
};

/// CPUs 2 and 3, which are one of two cores with SMT, are isolated from other work, and from the tick if the kernel supports
/// it (`CONFIG_NO_HZ_FULL`).
pub const ISOLATED: Machine = Machine {
    name: "isolated",
    threads: 2,
    command_line: "isolcpus=domain,managed_irq,2-3 nohz_full=2-3 rcu_nocbs=2-3",
    ..PLAIN
};

/// Two NUMA nodes, four models of network cards, frequencies, idle states and services, for tuning.
pub const EQUIPPED: Machine = Machine {
    name: "equipped",
    nodes: 2,
    nics: &["igb", "e1000e", "virtio-net-pci", "vmxnet3"],
    power: Some(Power::FrequenciesAndIdleStates),
    init: Init::Systemd,
    ..PLAIN
};

/// Kernel lockdown in confidentiality mode: BPF programs cannot read kernel memory, not even for root.
pub const LOCKED_DOWN: Machine = Machine { name: "locked-down", command_line: "lockdown=confidentiality", ..PLAIN };

/// All machines, in the order in which guests are started: those with the most tests first.
pub const MACHINES: &[Machine] = &[EQUIPPED, PLAIN, ISOLATED, LOCKED_DOWN];
