//! A systemd slice that keeps the cpuset controller enabled. systemd disables a controller of the root cgroup that none of its
//! units uses at the next `daemon-reload`, and the partition with it (systemd#38547).

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use crate::host::Host;
use crate::program::Program;
use crate::tune::knob::command::run;
use crate::units::NodeId;

/// At the top level: a name with a hyphen would be below another slice.
pub(super) const SLICE: &str = "quellcpuset.slice";
/// The next boot removes the units here, as it does the partition.
const UNITS: &str = "/run/systemd/system";

/// The unit file. Memory nodes need the cpuset controller too, and take no CPUs from the partition (`AllowedMemoryNodes=`, systemd
/// 244; older versions disable the controller all the same).
fn unit(host: &Host) -> String {
    let nodes: Vec<String> = host.topology.nodes().keys().map(|NodeId(node)| node.to_string()).collect();
    format!(
        "[Unit]\nDescription=Keeps the cpuset controller enabled for the isolated partition of quell\n\
         [Slice]\nAllowedMemoryNodes={}\n",
        if nodes.is_empty() { "0".to_owned() } else { nodes.join(",") }
    )
}

/// Starts the slice, if systemd runs the host.
pub(super) fn start(host: &Host) -> io::Result<()> {
    if !(host.root.is_host() && host.root.runs_systemd()) {
        return Ok(());
    }
    // Unit files are readable by everyone, for `systemctl cat`.
    host.root
        .replace_file(&file(), unit(host).as_bytes(), |_, new| new.set_permissions(Permissions::from_mode(0o644)))?;
    systemctl(&["daemon-reload"])?;
    systemctl(&["start", SLICE])
}

/// Stops and removes the slice.
pub(super) fn stop(host: &Host) -> io::Result<()> {
    if !host.root.is_host() || !host.root.has(&file()) {
        return Ok(());
    }
    systemctl(&["stop", SLICE])?;
    host.root.remove_file(&file())?;
    systemctl(&["daemon-reload"])
}

fn file() -> String {
    format!("{UNITS}/{SLICE}")
}

fn systemctl(words: &[&str]) -> io::Result<()> {
    run(Program::Systemctl, words).map_err(io::Error::other)
}
