//! On which hosts a setting makes sense.

use std::fmt;

use serde::Deserialize;

use crate::host::{Host, KernelVersion, Vendor};
use crate::text::shown;

/// What must be so on a host for a setting to be planned; what is not said does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Condition {
    /// Whether it is a virtual machine.
    pub virtual_machine: Option<bool>,
    /// Who made its CPUs.
    pub vendor: Option<VendorName>,
    /// The least number of CPUs online.
    pub cpus: Option<usize>,
    /// The least number of NUMA nodes.
    pub nodes: Option<usize>,
    /// Whether a core has two CPUs online.
    pub smt: Option<bool>,
    /// The first kernel, as in `"6.1"`.
    pub kernel: Option<Version>,
    /// A driver that one of its network interfaces has.
    pub driver: Option<String>,
}

/// As profiles write a vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VendorName {
    /// Intel.
    Intel,
    /// AMD.
    Amd,
}

/// A kernel version, from text.
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
    /// What on this host is not as it must be; `None` where all is.
    #[must_use]
    pub fn unmet(&self, host: &Host) -> Option<String> {
        let count = |wanted: Option<usize>, has: usize, what: &str| {
            wanted
                .filter(|&wanted| has < wanted)
                .map(|wanted| format!("it is for {wanted} {what} or more, here are {has}"))
        };
        let virtual_machine = self.virtual_machine.filter(|&wanted| wanted != host.virtual_machine).map(|wanted| {
            if wanted { "it is for virtual machines" } else { "it is not for virtual machines" }.to_owned()
        });
        let vendor = self
            .vendor
            .filter(|wanted| wanted.vendor() != host.vendor)
            .map(|vendor| format!("it is for {vendor} CPUs"));
        let kernel = self.kernel.filter(|wanted| host.kernel < wanted.0);
        let kernel = kernel.map(|wanted| format!("it is for kernels from {} on, this is {}", wanted.0, host.kernel));
        let driver =
            self.driver.as_ref().filter(|&driver| !host.nics.iter().any(|nic| nic.driver.as_ref() == Some(driver)));
        let smt = self.smt.filter(|&wanted| wanted != host.topology.cores().iter().any(|core| core.len() > 1));
        let smt = smt.map(|wanted| {
            if wanted {
                "it is for cores with two CPUs online"
            } else {
                "it is not for cores with two CPUs online (SMT)"
            }
            .to_owned()
        });
        virtual_machine
            .or(vendor)
            .or(smt)
            .or_else(|| count(self.cpus, host.topology.online().len(), "CPUs"))
            .or_else(|| count(self.nodes, host.topology.nodes().len(), "NUMA nodes"))
            .or(kernel)
            .or_else(|| driver.map(|driver| format!("no network interface has the driver {}", shown(driver))))
    }
}

/// In words: `on Intel CPUs, on kernels from 6.1 on`; nothing for every host.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { virtual_machine, vendor, cpus, nodes, smt, kernel, driver } = self;
        let of = |wanted: Option<bool>, yes: &'static str, no: &'static str| {
            wanted.map(|wanted| if wanted { yes } else { no })
        };
        let parts = [
            of(*virtual_machine, "on virtual machines", "on hosts that are no virtual machines").map(str::to_owned),
            vendor.map(|vendor| format!("on {vendor} CPUs")),
            of(*smt, "where cores have two CPUs online", "where no core has two CPUs online (no SMT)")
                .map(str::to_owned),
            cpus.map(|cpus| format!("with {cpus} CPUs or more")),
            nodes.map(|nodes| format!("with {nodes} NUMA nodes or more")),
            kernel.map(|Version(kernel)| format!("on kernels from {kernel} on")),
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
