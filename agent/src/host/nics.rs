//! Network interfaces that are hardware, or stand for it.

use super::Root;
use crate::units::{Irq, Megabits, NodeId};

/// A network interface with a device behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// Its name: `eth0`.
    pub name: String,
    /// The driver of its device; `None` where sysfs does not tell.
    pub driver: Option<String>,
    /// The NUMA node of its device; `None` where the firmware does not tell.
    pub node: Option<NodeId>,
    /// Whether it has a carrier.
    pub up: bool,
    /// What its link carries; `None` where it is down, or the driver does not tell.
    pub speed: Option<Megabits>,
    /// How many queues it receives by.
    pub queues: usize,
    /// The interrupts of its device.
    pub irqs: Vec<Irq>,
}

const NICS: &str = "/sys/class/net";

/// Those of a host, by name. Interfaces without a device (bridges, tunnels, `lo`) are none.
#[must_use]
pub fn nics(root: &Root) -> Vec<Nic> {
    let names = root.list(NICS).unwrap_or_default();
    names.into_iter().filter(|name| root.has(&format!("{NICS}/{name}/device"))).map(|name| nic(root, name)).collect()
}

/// Whether a queue, by its name, is one to receive by: `rx-3`.
fn is_receiving(queue: &&String) -> bool {
    queue.starts_with("rx-")
}

fn nic(root: &Root, name: String) -> Nic {
    let dir = format!("{NICS}/{name}");
    // A virtio interface's device is on the virtio bus: its interrupts and node are those of the PCI device above it.
    let devices = [format!("{dir}/device"), format!("{dir}/device/..")];
    let irqs = devices.iter().map(|device| root.list(&format!("{device}/msi_irqs")).unwrap_or_default());
    let irqs = irqs.flatten().filter_map(|number| number.parse().ok().map(Irq));
    let node = devices.iter().find_map(|device| root.read(&format!("{device}/numa_node")).ok()?.parse().ok());
    Nic {
        driver: root.link_name(&format!("{dir}/device/driver")),
        // -1 where it is not known (drivers/base/core.c).
        node: node.filter(|node: &i64| *node >= 0).and_then(|node| u32::try_from(node).ok()).map(NodeId),
        up: root.read(&format!("{dir}/operstate")).is_ok_and(|state| state == "up"),
        // -1, or EINVAL, where it is not known (speed_show, net/core/net-sysfs.c).
        speed: root.read(&format!("{dir}/speed")).ok().and_then(|speed| speed.parse().ok()).map(Megabits),
        queues: root.list(&format!("{dir}/queues")).map_or(0, |names| names.iter().filter(is_receiving).count()),
        irqs: irqs.collect(),
        name,
    }
}
