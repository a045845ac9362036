//! The device that the name of a target refers to.

use std::path::Path;

use crate::host::Host;
use crate::tune::value::KnobTarget;

/// Returns the device that a target refers to; `None` if there is no device, or if the name is the only identity of the target.
pub type IdentityFn = fn(&Host, &KnobTarget) -> Option<String>;

/// The device of a network interface: its driver, its bus address, and its port if the device has several ports.
pub(super) fn nic_device(host: &Host, target: &KnobTarget) -> Option<String> {
    match target {
        KnobTarget::Nic(nic) => card_of(host, nic),
        _ => None,
    }
}

/// The device of the network interface at the beginning of a target name such as `eth0:rx-gro`.
pub(super) fn prefixed_nic_device(host: &Host, target: &KnobTarget) -> Option<String> {
    // Interface names may contain colons. The part after the last colon contains none.
    card_of(host, target.name()?.rsplit_once(':')?.0)
}

fn card_of(host: &Host, nic: &str) -> Option<String> {
    let directory = format!("/sys/class/net/{nic}");
    let address = host.root.link_name(&format!("{directory}/device"))?;
    let driver = host.root.link_name(&format!("{directory}/device/driver")).unwrap_or_default();
    let port = host.root.read(&format!("{directory}/dev_port")).ok().and_then(|port| port.parse::<u32>().ok());
    let port = port.filter(|port| *port != 0).map_or_else(String::new, |port| format!(" port {port}"));
    Some(format!("{driver} {address}{port}"))
}

/// The device of the interface to which a file of `/proc/sys` belongs; `None` if the file does not belong to an interface.
pub(super) fn sysctl_device(host: &Host, file: &str) -> Option<String> {
    let mut parts = file.strip_prefix("/proc/sys/net/")?.split('/');
    // The directories below these are interfaces, `all` and `default` (Documentation/networking/ip-sysctl.rst).
    parts.find(|part| ["conf", "neigh"].contains(part))?;
    card_of(host, parts.next()?)
}

/// The device to which a sysfs file belongs: its device path, and for a disk its sequence number, which differs for another
/// disk at the same path (`diskseq`, 5.15). The path of the file may contain a link, as in `/sys/block/sda/queue/scheduler`.
pub(super) fn sysfs_device(host: &Host, file: &str) -> Option<String> {
    let real = host.root.real_path(file).ok()?;
    let devices = host.root.real_path("/sys/devices").ok()?;
    let path = real.strip_prefix(&devices).ok()?;
    let mut folders = path.ancestors().skip(1).filter(|folder| *folder != Path::new(""));
    let disk = folders.find_map(|folder| {
        host.root.read(devices.join(folder).join("diskseq").to_str()?).ok()?.trim().parse::<u64>().ok()
    });
    let path = format!("/sys/devices/{}", path.display());
    match disk {
        Some(number) => Some(format!("{path} of disk {number}")),
        // The name of the target is the device path already.
        None if path == file => None,
        None => Some(path),
    }
}
