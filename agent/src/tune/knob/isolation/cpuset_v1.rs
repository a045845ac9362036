//! The same with cpusets of version 1: one for the isolated CPUs without load balancing, one for everything else.

use std::io;

use super::group::Group;
use super::partition::NAME;
use crate::host::Host;
use crate::tune::Value;
use crate::tune::knob::Reading;
use crate::units::CpuSet;

/// Where everything else goes: the root cpuset cannot be made smaller.
const OTHERS: &str = "quell-housekeeping";
const BALANCE: &str = "cpuset.sched_load_balance";
const EXCLUSIVE: &str = "cpuset.cpu_exclusive";

/// What the kernel puts into a new group, as far as it is used here.
const FILES: [(&str, &str); 5] =
    [("cpuset.cpus", ""), ("cpuset.mems", ""), (BALANCE, "1"), (EXCLUSIVE, "0"), ("tasks", "")];

pub(super) fn read(root: &Group<'_>) -> io::Result<Reading> {
    let group = root.child(NAME);
    let balanced = root.read(BALANCE)? != "0";
    match (group.exists(), balanced) {
        (false, true) => Ok(Reading::Value(Value::Cpus(CpuSet::default()))),
        (false, false) => {
            Ok(Reading::Absent("somebody else has turned load balancing off in the root cpuset already".to_owned()))
        }
        (true, true) => Ok(Reading::Value(Value::Text("unfinished: the root cpuset still balances".to_owned()))),
        (true, false) => {
            let cpus = group.read("cpuset.cpus")?.parse().map_err(io::Error::other)?;
            Ok(Reading::Value(Value::Cpus(cpus)))
        }
    }
}

/// Makes the two, or gives them other CPUs. Nobody is moved then.
pub(super) fn make(host: &Host, root: &Group<'_>, cpus: &CpuSet) -> io::Result<()> {
    if let Some(other) = overlapping(root, cpus) {
        return Err(io::Error::other(format!("the cpuset {other} balances over these CPUs too: take them from it")));
    }
    let before = read(root)?;
    let result = try_make(host, root, cpus);
    if result.is_err() {
        let _ = match &before {
            Reading::Value(Value::Cpus(before)) if !before.is_empty() => try_make(host, root, before),
            _ => remove(root),
        };
    }
    result
}

fn try_make(host: &Host, root: &Group<'_>, cpus: &CpuSet) -> io::Result<()> {
    let nodes = root.read("cpuset.mems")?;
    let rest = host.topology.online().difference(cpus);
    let isolated = root.child(NAME);
    if isolated.exists() {
        // Both have some while CPUs go from one to the other.
        isolated.write(EXCLUSIVE, "0")?;
    }
    // The isolated one first: as long as that is there, there is something to undo.
    for (name, cpus) in [(NAME, cpus), (OTHERS, &rest)] {
        let group = root.child(name);
        if !group.exists() {
            group.make(&FILES)?;
        }
        group.write("cpuset.mems", &nodes)?;
        group.write("cpuset.cpus", &cpus.to_string())?;
    }
    // No other cpuset may take them from now on (validate_change, kernel/cgroup/cpuset.c).
    isolated.write(EXCLUSIVE, "1")?;
    isolated.write(BALANCE, "0")?;
    root.move_all("tasks", &root.child(OTHERS))?;
    root.write(BALANCE, "0")
}

pub(super) fn remove(root: &Group<'_>) -> io::Result<()> {
    let groups = [root.child(NAME), root.child(OTHERS)];
    if groups.iter().all(|group| !group.exists()) {
        return Ok(());
    }
    root.write(BALANCE, "1")?;
    for group in groups.iter().filter(|group| group.exists()) {
        group.move_all("tasks", root)?;
        group.remove()?;
    }
    Ok(())
}

/// A cpuset beside quell's own that would keep the scheduler's domains over these CPUs together.
fn overlapping(root: &Group<'_>, cpus: &CpuSet) -> Option<String> {
    root.children().into_iter().filter(|name| name != OTHERS).find(|name| {
        let group = root.child(name);
        let theirs = group.read("cpuset.cpus").ok().and_then(|text| text.parse::<CpuSet>().ok()).unwrap_or_default();
        group.read(BALANCE).is_ok_and(|balance| balance != "0") && theirs.iter().any(|cpu| cpus.contains(cpu))
    })
}
