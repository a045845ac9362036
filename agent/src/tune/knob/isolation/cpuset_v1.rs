//! Isolation with cpusets of cgroup version 1: one cpuset without load balancing for the isolated CPUs, and one for all other
//! CPUs.

use std::io;

use crate::host::Host;
use crate::tune::knob::isolation::cgroup::CgroupDir;
use crate::tune::knob::isolation::cgroup::NAME;
use crate::tune::knob::reading::Reading;
use crate::tune::value::Value;
use crate::units::CpuSet;

/// The cpuset with all other CPUs. The CPUs of the root cpuset cannot be restricted.
const HOUSEKEEPING: &str = "quell-housekeeping";
const BALANCE: &str = "cpuset.sched_load_balance";
const EXCLUSIVE: &str = "cpuset.cpu_exclusive";

/// The files that quell uses among those that the kernel creates in a new cpuset.
const FILES: [(&str, &str); 5] =
    [("cpuset.cpus", ""), ("cpuset.mems", ""), (BALANCE, "1"), (EXCLUSIVE, "0"), ("tasks", "")];

pub(super) fn read(root: &CgroupDir<'_>) -> io::Result<Reading> {
    let group = root.child(NAME);
    let balanced = root.read(BALANCE)? != "0";
    match (group.exists(), balanced) {
        (false, true) => Ok(Reading::Value(Value::Cpus(CpuSet::default()))),
        (false, false) => {
            Ok(Reading::Absent("load balancing of the root cpuset was turned off by another program".to_owned()))
        }
        (true, true) => Ok(Reading::Value(Value::Text("incomplete: the root cpuset still balances load".to_owned()))),
        (true, false) => {
            let cpus = group.read("cpuset.cpus")?.parse().map_err(io::Error::other)?;
            Ok(Reading::Value(Value::Cpus(cpus)))
        }
    }
}

/// Creates both cpusets, or changes their CPUs. Changing the CPUs moves no process.
pub(super) fn create(host: &Host, root: &CgroupDir<'_>, cpus: &CpuSet) -> io::Result<()> {
    if let Some(other) = overlapping(root, cpus) {
        return Err(io::Error::other(format!(
            "the cpuset {other} balances load over these CPUs too: remove them from it"
        )));
    }
    let before = read(root)?;
    let result = try_create(host, root, cpus);
    if result.is_err() {
        let _ = match &before {
            Reading::Value(Value::Cpus(before)) if !before.is_empty() => try_create(host, root, before),
            _ => remove(root),
        };
    }
    result
}

fn try_create(host: &Host, root: &CgroupDir<'_>, cpus: &CpuSet) -> io::Result<()> {
    let nodes = root.read("cpuset.mems")?;
    let rest = host.topology.online().difference(cpus);
    let isolated = root.child(NAME);
    if isolated.exists() {
        // While a CPU is moved from one cpuset to the other, both cpusets have it.
        isolated.write(EXCLUSIVE, "0")?;
    }
    // The isolated cpuset comes first: if it exists, there is something to roll back.
    for (name, cpus) in [(NAME, cpus), (HOUSEKEEPING, &rest)] {
        let group = root.child(name);
        if !group.exists() {
            group.create(&FILES)?;
        }
        group.write("cpuset.mems", &nodes)?;
        group.write("cpuset.cpus", &cpus.to_string())?;
    }
    // Once this is set, no other cpuset may use these CPUs (validate_change, kernel/cgroup/cpuset.c).
    isolated.write(EXCLUSIVE, "1")?;
    isolated.write(BALANCE, "0")?;
    root.move_all("tasks", &root.child(HOUSEKEEPING))?;
    root.write(BALANCE, "0")
}

pub(super) fn remove(root: &CgroupDir<'_>) -> io::Result<()> {
    let groups = [root.child(NAME), root.child(HOUSEKEEPING)];
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

/// Another cpuset that would keep these CPUs in one scheduling domain.
fn overlapping(root: &CgroupDir<'_>, cpus: &CpuSet) -> Option<String> {
    root.children().into_iter().filter(|name| name != HOUSEKEEPING).find(|name| {
        let group = root.child(name);
        let cpus_of_group =
            group.read("cpuset.cpus").ok().and_then(|text| text.parse::<CpuSet>().ok()).unwrap_or_default();
        group.read(BALANCE).is_ok_and(|balance| balance != "0") && cpus_of_group.iter().any(|cpu| cpus.contains(cpu))
    })
}
