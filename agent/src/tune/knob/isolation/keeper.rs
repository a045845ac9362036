//! systemd and the cpuset controller: it takes a controller from the root cgroup where none of its units asks for it, at the
//! next `daemon-reload`, and a partition with it (systemd#38547). So one of its units asks.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use crate::host::Host;
use crate::program::Program;
use crate::tune::knob::command::run;
use crate::units::NodeId;

/// At the top: a name with a hyphen is below another slice.
pub(super) const SLICE: &str = "quellcpuset.slice";
/// Gone with the boot, as the partition is.
const UNITS: &str = "/run/systemd/system";

/// The unit. Memory nodes are the controller's too, and take nothing from a partition: CPUs would not be its alone
/// (`AllowedMemoryNodes=`, systemd 244; an older one lets the controller go as before).
fn unit(host: &Host) -> String {
    let nodes: Vec<String> = host.topology.nodes().keys().map(|NodeId(node)| node.to_string()).collect();
    format!(
        "[Unit]\nDescription=Keeps the cpuset controller for the isolated partition of quell\n\
         [Slice]\nAllowedMemoryNodes={}\n",
        if nodes.is_empty() { "0".to_owned() } else { nodes.join(",") }
    )
}

/// Has systemd keep the controller, where it runs the host.
pub(super) fn keep(host: &Host) -> io::Result<()> {
    if !(host.root.is_host() && host.root.runs_systemd()) {
        return Ok(());
    }
    // Units are for everybody to read, as `systemctl cat` does.
    host.root
        .replace_file(&file(), unit(host).as_bytes(), |_, new| new.set_permissions(Permissions::from_mode(0o644)))?;
    systemctl(&["daemon-reload"])?;
    systemctl(&["start", SLICE])
}

/// Lets it do as it likes with it.
pub(super) fn release(host: &Host) -> io::Result<()> {
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
