//! CPUs, and the cores, caches, sockets and NUMA nodes that they share.

use std::collections::BTreeMap;

use super::{HostError, Root};
use crate::units::{CpuId, CpuSet, NodeId};

/// The CPUs of a host and its NUMA nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Every CPU that is present, by its number.
    pub cpus: BTreeMap<CpuId, Cpu>,
}

/// A logical CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Whether it is online.
    pub online: bool,
    /// The CPUs of its core, including itself (SMT siblings); only itself if it is offline.
    pub core: CpuSet,
    /// The CPUs that share its last-level cache; those of its socket if sysfs shows neither an L3 nor an L2 cache.
    pub cache: CpuSet,
    /// The number of its socket; `None` if it is offline.
    pub package: Option<u32>,
    /// Its NUMA node.
    pub node: NodeId,
}

const CPUS: &str = "/sys/devices/system/cpu";
const NODES: &str = "/sys/devices/system/node";

impl Topology {
    /// Reads the topology from sysfs (Documentation/ABI/stable/sysfs-devices-system-cpu).
    ///
    /// # Errors
    /// sysfs has no list of CPUs, or a list does not parse.
    pub fn read(root: &Root) -> Result<Self, HostError> {
        let present = list(root, &format!("{CPUS}/present"))?;
        let online = list(root, &format!("{CPUS}/online"))?;
        let mut node_of = BTreeMap::new();
        for name in root.list(NODES).unwrap_or_default() {
            let Some(node) = name.strip_prefix("node").and_then(|number| number.parse().ok()) else { continue };
            for cpu in list(root, &format!("{NODES}/{name}/cpulist"))?.iter() {
                node_of.insert(cpu, NodeId(node));
            }
        }
        let mut topology = Self::default();
        for cpu in present.iter() {
            let dir = format!("{CPUS}/cpu{cpu}");
            let alone = || CpuSet::from_iter([cpu]);
            let shared = |file: &str| list(root, &format!("{dir}/{file}")).unwrap_or_else(|_| alone());
            let package = root.read(&format!("{dir}/topology/physical_package_id"));
            topology.cpus.insert(
                cpu,
                Cpu {
                    online: online.contains(cpu),
                    core: shared("topology/thread_siblings_list"),
                    cache: last_level_cache(root, &dir).unwrap_or_else(|| shared("topology/core_siblings_list")),
                    package: package.ok().and_then(|text| text.parse().ok()),
                    node: node_of.get(&cpu).copied().unwrap_or_default(),
                },
            );
        }
        Ok(topology)
    }

    /// Whether the host has all of these CPUs, online or not.
    ///
    /// # Errors
    /// A CPU does not exist: a message that names the missing CPUs.
    pub fn has(&self, cpus: &CpuSet) -> Result<(), String> {
        let absent: CpuSet = cpus.iter().filter(|cpu| !self.cpus.contains_key(cpu)).collect();
        match self.cpus.last_key_value() {
            _ if absent.is_empty() => Ok(()),
            Some((last, _)) => Err(format!("there are no CPUs {absent}: the last is {last}")),
            None => Err("the host has no CPUs".to_owned()),
        }
    }

    /// Whether a CPU is online.
    #[must_use]
    pub fn is_online(&self, cpu: CpuId) -> bool {
        self.cpus.get(&cpu).is_some_and(|cpu| cpu.online)
    }

    /// The CPUs that are online.
    #[must_use]
    pub fn online(&self) -> CpuSet {
        self.cpus.iter().filter(|(_, cpu)| cpu.online).map(|(id, _)| *id).collect()
    }

    /// The topology after SMT is turned off: of each core, only the primary thread (topology_is_primary_thread,
    /// arch/x86/kernel/smpboot.c) stays online, which is the CPU with the lowest number.
    #[must_use]
    pub fn without_smt(&self) -> Self {
        let first: CpuSet = self.cores().iter().filter_map(|core| core.iter().next()).collect();
        let cpus = self.cpus.iter().map(|(id, cpu)| (*id, Cpu { online: first.contains(*id), ..cpu.clone() }));
        Self { cpus: cpus.collect() }
    }

    /// The NUMA nodes that have online CPUs, with these CPUs.
    #[must_use]
    pub fn nodes(&self) -> BTreeMap<NodeId, CpuSet> {
        let mut nodes: BTreeMap<NodeId, Vec<CpuId>> = BTreeMap::new();
        for (id, cpu) in self.cpus.iter().filter(|(_, cpu)| cpu.online) {
            nodes.entry(cpu.node).or_default().push(*id);
        }
        nodes.into_iter().map(|(node, cpus)| (node, cpus.into_iter().collect())).collect()
    }

    /// The cores that have online CPUs, each as the set of these CPUs, in the order of their lowest CPU.
    #[must_use]
    pub fn cores(&self) -> Vec<CpuSet> {
        let online = self.online();
        let mut cores: Vec<CpuSet> = Vec::new();
        for id in online.iter() {
            if !cores.iter().any(|core| core.contains(id)) {
                cores.push(self.cpus[&id].core.iter().filter(|&sibling| online.contains(sibling)).collect());
            }
        }
        cores
    }
}

/// The CPUs that share the last-level cache of a CPU.
fn last_level_cache(root: &Root, cpu: &str) -> Option<CpuSet> {
    // All but small machines have index3. It is tried first to save file accesses on large hosts, which have many CPUs.
    ["index3", "index2"].into_iter().find_map(|index| list(root, &format!("{cpu}/cache/{index}/shared_cpu_list")).ok())
}

fn list(root: &Root, path: &str) -> Result<CpuSet, HostError> {
    let text = root.read(path).map_err(|source| HostError::Read { path: root.display_path(path), source })?;
    text.parse().map_err(|why: crate::units::CpuListError| HostError::Understand {
        path: root.display_path(path),
        why: why.to_string(),
    })
}
