//! The facts about a host that tuning depends on.

use super::{HostError, KernelVersion, KernelVersionError, Nic, Root, Topology, nics};
use crate::units::Irq;

/// The facts about a host that a plan depends on. They are read once, so that all steps of a transaction see the same host.
#[derive(Clone, Debug)]
pub struct Host {
    /// The root directory of its files.
    pub root: Root,
    /// The version of its kernel.
    pub kernel: KernelVersion,
    /// The running kernel's command line.
    pub command_line: String,
    /// The ID of the current boot: `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// Its CPUs.
    pub topology: Topology,
    /// Its network interfaces.
    pub nics: Vec<Nic>,
    /// Its interrupts that have a handler.
    pub irqs: Vec<Irq>,
    /// The vendor of its CPUs.
    pub vendor: Vendor,
    /// Whether it is a virtual machine.
    pub virtual_machine: bool,
    /// Whether `root` is the file system of a container.
    pub container: bool,
}

/// The vendor of the CPUs, by `vendor_id` in `/proc/cpuinfo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Intel: `GenuineIntel`.
    Intel,
    /// AMD: `AuthenticAMD`.
    Amd,
    /// Any other vendor.
    Other,
}

impl Host {
    /// Reads the facts.
    ///
    /// # Errors
    /// `/proc` or `/sys` cannot be read.
    pub fn read(root: Root) -> Result<Self, HostError> {
        let read =
            |path: &str| root.read(path).map_err(|source| HostError::Read { path: root.display_path(path), source });
        let release = read("/proc/sys/kernel/osrelease")?;
        let kernel = release.parse().map_err(|why: KernelVersionError| HostError::Understand {
            path: root.display_path("/proc/sys/kernel/osrelease"),
            why: why.to_string(),
        })?;
        // The boot loader may pass bytes that are not UTF-8.
        let command_line = root.read_bytes("/proc/cmdline");
        let command_line = command_line
            .map_err(|source| HostError::Read { path: root.display_path("/proc/cmdline"), source })
            .map(|line| String::from_utf8_lossy(&line).trim_end().to_owned())?;
        let cpuinfo = read("/proc/cpuinfo")?;
        let field = |name: &str| {
            cpuinfo.lines().find_map(|line| line.strip_prefix(name)?.split_once(':').map(|(_, value)| value.trim()))
        };
        Ok(Self {
            kernel,
            command_line,
            boot: read("/proc/sys/kernel/random/boot_id")?,
            topology: Topology::read(&root)?,
            nics: nics(&root),
            irqs: irqs(&root),
            vendor: match field("vendor_id") {
                Some("GenuineIntel") => Vendor::Intel,
                Some("AuthenticAMD") => Vendor::Amd,
                _ => Vendor::Other,
            },
            // CPUID leaf 1, ECX bit 31: set by hypervisors, never by hardware.
            virtual_machine: field("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            container: in_container(&root),
            root,
        })
    }
}

/// Whether there is a marker file of systemd, Docker or Podman (systemd's CONTAINER_INTERFACE.md).
fn in_container(root: &Root) -> bool {
    let marks = ["/run/systemd/container", "/.dockerenv", "/run/.containerenv"];
    marks.iter().any(|mark| root.has(mark))
}

/// The interrupts with a line in `/proc/interrupts` that begins with a number; the other lines are internal interrupts of the
/// CPUs.
fn irqs(root: &Root) -> Vec<Irq> {
    // The lines contain the names of handlers and devices, which may not be UTF-8.
    let text = root.read_bytes("/proc/interrupts").unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let numbers = text.lines().filter_map(|line| line.split_once(':')?.0.trim().parse().ok().map(Irq));
    // An interrupt with a handler has a directory with its affinity; the cascade interrupt of the legacy interrupt controller
    // has none.
    numbers.filter(|irq| root.has(&format!("/proc/irq/{irq}/smp_affinity_list"))).collect()
}
