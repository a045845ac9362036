//! The NUMA nodes of a cgroup's memory.

use super::selector::is_group;
use crate::host::Host;
use crate::tune::knob::file::{changeable, write};
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Lifetime, Reading, Risk, Stage, check_text};
use crate::tune::{Kind, Scope, Target, Value, ValueError};
use crate::units::CpuSet;

/// The nodes of a cgroup's memory. No call sets another process's memory policy: cpusets do.
pub(super) struct Nodes;

pub(super) static MEMORY_NODES: Nodes = Nodes;

static SPEC: KnobSpec = KnobSpec {
    id: "process.memory_nodes",
    doc: "The NUMA nodes that a cgroup's processes take memory from, on `/system.slice/nginx.service`: `0`, or `0-1`. On a cgroup only, \
          not on processes by their name: no call sets what another process takes memory from. Memory that they \
          have is moved; not by kernels like 5.10, nor in cgroups of version 1 without `cpuset.memory_migrate`. Empty for those of the cgroup above.",
    source: "Documentation/admin-guide/cgroup-v2.rst (cpuset.mems)",
    kind: Kind::Text,
    scope: Scope::Named,
    lifetime: Lifetime::Runtime,
    risk: Risk::Medium("moving memory takes time, and a node that is full makes processes swap or end"),
    stage: Stage::Placement,
    ..KnobSpec::RUNTIME
};

const MOUNTS: [&str; 3] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/cpuset"];

fn file(host: &Host, target: &Target) -> Result<Result<String, String>, KnobError> {
    let Target::Name(on) = target else { return Err(KnobError::Target { target: target.clone() }) };
    if let Err(why) = MEMORY_NODES.check_name(on) {
        return Ok(Err(why));
    }
    let files = MOUNTS.map(|mount| format!("{mount}{}/cpuset.mems", on.trim_end_matches('/')));
    let found = files.into_iter().find(|file| host.root.has(file));
    Ok(found.ok_or_else(|| format!("there is no cgroup {on} with the cpuset controller")))
}

impl Knob for Nodes {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn check_name(&self, on: &str) -> Result<(), String> {
        let only = "memory nodes are those of a cgroup: write it from the root of the hierarchy, as in \
                    /system.slice/nginx.service; no call sets those of a process that runs";
        if is_group(on) { Ok(()) } else { Err(format!("`{on}` is no cgroup, and {only}")) }
    }

    fn check(&self, value: &Value) -> Result<(), ValueError> {
        // Nodes are listed as CPUs are.
        check_text(value, "a list of NUMA nodes, as in 0-1", |text| text.parse::<CpuSet>().is_ok())
    }

    fn targets(&self, _: &Host) -> Vec<Target> {
        Vec::new()
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        let file = match file(host, target)? {
            Ok(file) => file,
            Err(why) => return Ok(Reading::Absent(why)),
        };
        let text = host.root.read(&file);
        let text = text.map_err(|source| KnobError::Read { path: host.root.display_path(&file), source })?;
        Ok(Reading::Value(Value::Text(text)))
    }

    fn normalize(&self, host: &Host, _: &Target, value: &Value) -> Result<Value, KnobError> {
        let impossible = |why: String| KnobError::Impossible { value: value.clone(), why };
        let Value::Text(text) = value else { return Err(impossible("it is no list of nodes".to_owned())) };
        // Nodes are listed as CPUs are.
        let nodes: CpuSet = text.parse().map_err(|_| impossible("it is no list of nodes, as in 0-1".to_owned()))?;
        let known = host.topology.nodes();
        match nodes.iter().find(|node| !known.contains_key(&crate::units::NodeId(node.0))) {
            Some(absent) => Err(impossible(format!("there is no NUMA node {absent}"))),
            None => Ok(Value::Text(nodes.to_string())),
        }
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let impossible = |why: String| KnobError::Impossible { value: value.clone(), why };
        let Value::Text(text) = value else { return Err(impossible("it is no list of nodes".to_owned())) };
        let file = file(host, target)?.map_err(impossible)?;
        write(host, &file, text).map(|()| Held::Nothing)
    }

    fn changeable(&self, host: &Host, target: &Target) -> Result<(), KnobError> {
        file(host, target)?.map_or(Ok(()), |file| changeable(host, &file))
    }
}
