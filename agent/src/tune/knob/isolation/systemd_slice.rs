//! A systemd slice that keeps the cpuset controller enabled. At the next `daemon-reload`, systemd disables every controller of
//! the root cgroup that none of its units uses, which invalidates the partition (systemd#38547).

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use crate::host::Host;
use crate::program::Program;
use crate::tune::knob::command::run;
use crate::units::NodeId;

/// The slice is at the top level: a name with a hyphen would be below another slice.
pub(super) const SLICE: &str = "quellcpuset.slice";
/// A reboot removes the units in this directory, and also the partition.
const UNITS: &str = "/run/systemd/system";

/// The unit file. `AllowedMemoryNodes=` requires the cpuset controller too, and takes no CPUs from the partition (systemd 244;
/// older versions still disable the controller).
fn unit(host: &Host) -> String {
    let nodes: Vec<String> = host.topology.nodes().keys().map(|NodeId(node)| node.to_string()).collect();
    format!(
        "[Unit]\nDescription=Keeps the cpuset controller enabled for the isolated partition of quell\n\
         [Slice]\nAllowedMemoryNodes={}\n",
        if nodes.is_empty() { "0".to_owned() } else { nodes.join(",") }
    )
}

/// Starts the slice, if the host runs systemd.
pub(super) fn start(host: &Host) -> io::Result<()> {
    if !(host.root.is_host() && host.root.runs_systemd()) {
        return Ok(());
    }
    // Unit files are world-readable, for `systemctl cat`.
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
