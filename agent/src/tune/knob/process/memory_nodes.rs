//! The NUMA nodes from which a cgroup may allocate memory.

use crate::host::Host;
use crate::tune::knob::checks::check_text;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::process::selector::is_cgroup_path;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::{KnobSpec, Lifetime, Risk, Stage};
use crate::tune::knob::value_file::{check_writable, write};
use crate::tune::value::{KnobTarget, Scope, Value, ValueError, ValueKind};
use crate::units::CpuSet;

/// A knob for the NUMA nodes of a cgroup. No system call sets the memory policy of another process, but cpusets restrict it.
pub(super) struct MemoryNodes;

pub(super) static MEMORY_NODES: MemoryNodes = MemoryNodes;

static SPEC: KnobSpec = KnobSpec {
    id: "process.memory_nodes",
    doc: "The NUMA nodes that a cgroup allocates memory from: `0` or `0-1`, on a cgroup such as `/system.slice/nginx.service`. It \
          cannot be set on single processes, because no system call sets the memory policy of another process. Allocated memory \
          is migrated, except by old kernels such as 5.10, and in cgroups of version 1 without `cpuset.memory_migrate`. Empty \
          inherits the nodes of the parent cgroup.",
    source: "Documentation/admin-guide/cgroup-v2.rst (cpuset.mems)",
    kind: ValueKind::Text,
    scope: Scope::Named,
    lifetime: Lifetime::Runtime,
    risk: Risk::Medium("migrating memory takes time; if a node is full, processes swap or are killed"),
    stage: Stage::Placement,
    ..KnobSpec::RUNTIME
};

const MOUNTS: [&str; 3] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/cpuset"];

fn mems_file(host: &Host, target: &KnobTarget) -> Result<Result<String, String>, KnobError> {
    let KnobTarget::Name(on) = target else { return Err(KnobError::WrongTarget { target: target.clone() }) };
    if let Err(reason) = MEMORY_NODES.check_target_name(on) {
        return Ok(Err(reason));
    }
    let files = MOUNTS.map(|mount| format!("{mount}{}/cpuset.mems", on.trim_end_matches('/')));
    let existing = files.into_iter().find(|file| host.root.has(file));
    Ok(existing.ok_or_else(|| format!("there is no cgroup {on} with the cpuset controller")))
}

impl Knob for MemoryNodes {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn check_target_name(&self, on: &str) -> Result<(), String> {
        if is_cgroup_path(on) {
            return Ok(());
        }
        Err(format!(
            "`{on}` is not a cgroup: give its path from the root of the hierarchy such as /system.slice/nginx.service; the nodes of \
             a single process cannot be set"
        ))
    }

    fn check_value(&self, value: &Value) -> Result<(), ValueError> {
        // Node lists have the syntax of CPU lists.
        check_text(value, "a list of NUMA nodes such as 0-1", |text| text.parse::<CpuSet>().is_ok())
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        let file = match mems_file(host, target)? {
            Ok(file) => file,
            Err(reason) => return Ok(Reading::Absent(reason)),
        };
        let text = host.root.read(&file);
        let text = text.map_err(|source| KnobError::Read { path: host.root.display_path(&file), source })?;
        Ok(Reading::Value(Value::Text(text)))
    }

    fn normalize(&self, host: &Host, _: &KnobTarget, value: &Value) -> Result<Value, KnobError> {
        let impossible = |reason: String| KnobError::Impossible { value: value.clone(), reason };
        let Value::Text(text) = value else { return Err(impossible("it is not a list of NUMA nodes".to_owned())) };
        // Node lists have the syntax of CPU lists.
        let nodes: CpuSet =
            text.parse().map_err(|_| impossible("it is not a list of NUMA nodes such as 0-1".to_owned()))?;
        let known = host.topology.nodes();
        match nodes.iter().find(|node| !known.contains_key(&crate::units::NodeId(node.0))) {
            Some(absent) => Err(impossible(format!("there is no NUMA node {absent}"))),
            None => Ok(Value::Text(nodes.to_string())),
        }
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let impossible = |reason: String| KnobError::Impossible { value: value.clone(), reason };
        let Value::Text(text) = value else { return Err(impossible("it is not a list of NUMA nodes".to_owned())) };
        let file = mems_file(host, target)?.map_err(impossible)?;
        write(host, &file, text).map(|()| Held::Nothing)
    }

    fn check_writable(&self, host: &Host, target: &KnobTarget) -> Result<(), KnobError> {
        mems_file(host, target)?.map_or(Ok(()), |file| check_writable(host, &file))
    }
}
