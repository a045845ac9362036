//! The hosts to which a setting applies.

use std::fmt;

use serde::Deserialize;

use crate::host::{Host, KernelVersion, Vendor};
use crate::text::shown;

/// The hosts to which a setting applies. All conditions that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Condition {
    /// Whether the host is a virtual machine.
    pub virtual_machine: Option<bool>,
    /// The vendor of the CPUs.
    pub vendor: Option<VendorName>,
    /// The minimum number of online CPUs.
    pub cpus: Option<usize>,
    /// The minimum number of NUMA nodes.
    pub nodes: Option<usize>,
    /// Whether a core has two online CPUs.
    pub smt: Option<bool>,
    /// The first kernel version, such as `"6.1"`.
    pub kernel: Option<Version>,
    /// The driver of at least one network interface.
    pub driver: Option<String>,
}

/// A vendor, as written in profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VendorName {
    /// `intel`: CPUs that report `GenuineIntel`.
    Intel,
    /// `amd`: CPUs that report `AuthenticAMD`.
    Amd,
}

/// A kernel version, as written in profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Version(KernelVersion);

impl TryFrom<String> for Version {
    type Error = crate::host::KernelVersionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl Condition {
    /// The first condition that this host does not meet; `None` if it meets all conditions.
    #[must_use]
    pub fn unmet(&self, host: &Host) -> Option<String> {
        let has_smt = host.topology.cores().iter().any(|core| core.len() > 1);
        let drivers: Vec<&String> = host.nics.iter().filter_map(|nic| nic.driver.as_ref()).collect();
        let driver = self.driver.as_ref().filter(|driver| !drivers.contains(driver));
        [
            self.virtual_machine
                .filter(|required| *required != host.virtual_machine)
                .map(|required| format!("only for {}", if required { "virtual machines" } else { "physical hosts" })),
            self.vendor
                .filter(|required| required.vendor() != host.vendor)
                .map(|vendor| format!("only for {vendor} CPUs")),
            self.smt.filter(|required| *required != has_smt).map(|required| {
                format!("only for hosts {} SMT (two online CPUs per core)", if required { "with" } else { "without" })
            }),
            below_minimum(self.cpus, host.topology.online().len(), "CPUs"),
            below_minimum(self.nodes, host.topology.nodes().len(), "NUMA nodes"),
            self.kernel
                .filter(|required| host.kernel < required.0)
                .map(|Version(required)| format!("only for Linux {required} or later, this is {}", host.kernel)),
            driver.map(|driver| format!("no network interface has the driver {}", shown(driver))),
        ]
        .into_iter()
        .flatten()
        .next()
    }
}

fn below_minimum(required: Option<usize>, count: usize, what: &str) -> Option<String> {
    let required = required.filter(|required| count < *required)?;
    Some(format!("only for hosts with at least {required} {what}, this has {count}"))
}

/// The phrase for a condition that may be given: `yes` or `no`.
fn phrase(condition: Option<bool>, yes: &str, no: &str) -> Option<String> {
    condition.map(|condition| if condition { yes } else { no }.to_owned())
}

/// Formats the condition as a phrase, such as `on Intel CPUs, since Linux 6.1`; empty if all hosts meet it.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { virtual_machine, vendor, cpus, nodes, smt, kernel, driver } = self;
        let parts = [
            phrase(*virtual_machine, "on virtual machines", "on physical hosts"),
            vendor.map(|vendor| format!("on {vendor} CPUs")),
            phrase(*smt, "with SMT", "without SMT"),
            cpus.map(|cpus| format!("with at least {cpus} CPUs")),
            nodes.map(|nodes| format!("with at least {nodes} NUMA nodes")),
            kernel.map(|Version(kernel)| format!("since Linux {kernel}")),
            driver.as_ref().map(|driver| format!("with a network interface of the driver {}", shown(driver))),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

impl VendorName {
    fn vendor(self) -> Vendor {
        match self {
            Self::Intel => Vendor::Intel,
            Self::Amd => Vendor::Amd,
        }
    }
}

impl fmt::Display for VendorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Intel => "Intel",
            Self::Amd => "AMD",
        })
    }
}
