//! The machines that kernel tests run on: what `cargo xtask vm` gives a guest.
//!
//! `xtask` includes this file by its path, so that it need not build what the tests need.

/// A guest: its kernel comes from elsewhere, all else from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// What tests and `--list` call it.
    pub name: &'static str,
    /// How many CPUs; each node has as many as the others.
    pub cpus: u32,
    /// How many of them a core has: two with SMT.
    pub threads: u32,
    /// How many NUMA nodes.
    pub nodes: u32,
    /// What is appended to the kernel's command line.
    pub command_line: &'static str,
    /// Network cards, by the names that QEMU has for their models.
    pub nics: &'static [&'static str],
    /// An ACPI table that brings cpufreq and cpuidle, or none.
    pub power: Option<Power>,
    /// The first process.
    pub init: Init,
}

/// What starts everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// A script, which runs the tests and ends the guest.
    Script,
    /// systemd, which starts the tests as a service.
    Systemd,
}

/// The power management that firmware describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Five frequencies through ports that nothing answers, two idle states that both halt.
    FrequenciesAndIdleStates,
}

/// Four CPUs, and nothing else.
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

/// CPUs 2 and 3, one of two cores with SMT, are kept free of other work, and of the tick where the kernel can
/// (`CONFIG_NO_HZ_FULL`).
pub const ISOLATED: Machine = Machine {
    name: "isolated",
    threads: 2,
    command_line: "isolcpus=domain,managed_irq,2-3 nohz_full=2-3 rcu_nocbs=2-3",
    ..PLAIN
};

/// Two NUMA nodes, four models of network cards, frequencies and idle states, and services: what there is to tune.
pub const EQUIPPED: Machine = Machine {
    name: "equipped",
    nodes: 2,
    nics: &["igb", "e1000e", "virtio-net-pci", "vmxnet3"],
    power: Some(Power::FrequenciesAndIdleStates),
    init: Init::Systemd,
    ..PLAIN
};

/// The kernel keeps its memory from everybody, root too: BPF programs may not read it.
pub const LOCKED_DOWN: Machine = Machine { name: "locked-down", command_line: "lockdown=confidentiality", ..PLAIN };

/// Every machine, in the order in which guests are started: first those with the most to do.
pub const MACHINES: &[Machine] = &[EQUIPPED, PLAIN, ISOLATED, LOCKED_DOWN];
