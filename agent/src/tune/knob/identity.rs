//! What it is that a target's name stands for.

use std::path::Path;

use crate::host::Host;
use crate::tune::Target;

/// The card that an interface is on: its driver, its address on the bus, and which of the ports there it is.
pub(super) fn card(host: &Host, target: &Target) -> Option<String> {
    match target {
        Target::Nic(nic) => card_of(host, nic),
        // Names of interfaces may have colons, what comes behind has none.
        Target::Name(name) => card_of(host, name.rsplit_once(':')?.0),
        _ => None,
    }
}

fn card_of(host: &Host, nic: &str) -> Option<String> {
    let directory = format!("/sys/class/net/{nic}");
    let address = host.root.link_name(&format!("{directory}/device"))?;
    let driver = host.root.link_name(&format!("{directory}/device/driver")).unwrap_or_default();
    let port = host.root.read(&format!("{directory}/dev_port")).ok().and_then(|port| port.parse::<u32>().ok());
    let port = port.filter(|port| *port != 0).map_or_else(String::new, |port| format!(" port {port}"));
    Some(format!("{driver} {address}{port}"))
}

/// The card of the interface that a file of `/proc/sys` is of, if it is of one.
pub(super) fn interface(host: &Host, file: &str) -> Option<String> {
    let mut parts = file.strip_prefix("/proc/sys/net/")?.split('/');
    // Behind these come interfaces, `all` and `default` (Documentation/networking/ip-sysctl.rst).
    parts.find(|part| ["conf", "neigh"].contains(part))?;
    card_of(host, parts.next()?)
}

/// The device that a file of sysfs is of, which its path may only lead to, as in `/sys/block/sda/queue/scheduler`: where it is
/// among the devices, and of a disk its number too, which another one in its place does not have (`diskseq`, 5.15).
pub(super) fn device(host: &Host, named: &str) -> Option<String> {
    let real = host.root.real_path(named).ok()?;
    let devices = host.root.real_path("/sys/devices").ok()?;
    let place = real.strip_prefix(&devices).ok()?;
    let mut folders = place.ancestors().skip(1).filter(|folder| *folder != Path::new(""));
    let disk = folders.find_map(|folder| {
        host.root.read(devices.join(folder).join("diskseq").to_str()?).ok()?.trim().parse::<u64>().ok()
    });
    let place = format!("/sys/devices/{}", place.display());
    match disk {
        Some(number) => Some(format!("{place} of disk {number}")),
        // The place is all that it is called by.
        None if place == named => None,
        None => Some(place),
    }
}
