//! Network interfaces with a device: hardware, or a virtual device such as virtio.

use super::Root;
use crate::units::{Irq, Megabits, NodeId};

/// A network interface that has a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// The name of the interface, such as `eth0`.
    pub name: String,
    /// The driver of its device; `None` if sysfs does not show it.
    pub driver: Option<String>,
    /// The NUMA node of its device; `None` if the firmware does not report it.
    pub node: Option<NodeId>,
    /// Whether its operational state (`operstate`) is `up`, which requires a carrier.
    pub up: bool,
    /// The speed of its link; `None` if the link is down or the driver does not report it.
    pub speed: Option<Megabits>,
    /// The number of receive queues.
    pub queues: usize,
    /// The interrupts of its device.
    pub irqs: Vec<Irq>,
}

const NICS: &str = "/sys/class/net";

/// The network interfaces of a host, sorted by name. Interfaces without a device (bridges, tunnels, `lo`) are not included.
#[must_use]
pub fn nics(root: &Root) -> Vec<Nic> {
    let names = root.list(NICS).unwrap_or_default();
    names.into_iter().filter(|name| root.has(&format!("{NICS}/{name}/device"))).map(|name| nic(root, name)).collect()
}

/// Whether the name of a queue is that of a receive queue, such as `rx-3`.
fn is_receiving(queue: &&String) -> bool {
    queue.starts_with("rx-")
}

fn nic(root: &Root, name: String) -> Nic {
    let dir = format!("{NICS}/{name}");
    // The device of a virtio interface is on the virtio bus: its interrupts and NUMA node are those of its parent, the PCI
    // device.
    let devices = [format!("{dir}/device"), format!("{dir}/device/..")];
    let irqs = devices.iter().map(|device| root.list(&format!("{device}/msi_irqs")).unwrap_or_default());
    let irqs = irqs.flatten().filter_map(|number| number.parse().ok().map(Irq));
    let node = devices.iter().find_map(|device| root.read(&format!("{device}/numa_node")).ok()?.parse().ok());
    Nic {
        driver: root.link_name(&format!("{dir}/device/driver")),
        // -1 if the node is not known (drivers/base/core.c).
        node: node.filter(|node: &i64| *node >= 0).and_then(|node| u32::try_from(node).ok()).map(NodeId),
        up: root.read(&format!("{dir}/operstate")).is_ok_and(|state| state == "up"),
        // -1 or EINVAL if the speed is not known (speed_show, net/core/net-sysfs.c).
        speed: root.read(&format!("{dir}/speed")).ok().and_then(|speed| speed.parse().ok()).map(Megabits),
        queues: root.list(&format!("{dir}/queues")).map_or(0, |names| names.iter().filter(is_receiving).count()),
        irqs: irqs.collect(),
        name,
    }
}
