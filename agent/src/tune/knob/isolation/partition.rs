//! CPUs that the scheduler leaves alone, from now on and without a boot: a cpuset partition.

use std::io;
use std::path::PathBuf;

use super::cpuset_v1;
use super::group::Group;
use super::irq_threads;
use super::keeper;
use crate::host::{Host, KernelVersion, Root};
use crate::tune::knob::boot::cpus_in;
use crate::tune::knob::file::changeable;
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Lifetime, Reading, Risk, Stage, check_cpus};
use crate::tune::{Kind, Scope, Target, Value};
use crate::units::CpuSet;

/// The isolated partition.
pub(super) struct Partition;

/// The cgroup that quell makes, below the root.
pub(super) const NAME: &str = "quell-isolated";

const CONTROLLER: &str = "cpuset";
/// What a group may have set of it; empty where it has nothing (`cpuset.cpus.exclusive` from 6.7 on).
const SETTINGS: [&str; 3] = ["cpuset.cpus", "cpuset.mems", "cpuset.cpus.exclusive"];

/// What is read between a partition and none.
const OWED: &str = "none, without the threads of interrupts put back yet";

static SPEC: KnobSpec = KnobSpec {
    id: "isolation.partition",
    doc: "CPUs that are taken out of load balancing at runtime: an isolated cpuset partition, the cgroup `quell-isolated`. \
          Everything that ran there goes elsewhere; only what is put into the cgroup runs there (`quell run --cpus`). systemd, where it runs the host, is given a slice that keeps it from \
          taking the controller away. Where a host has cpusets of cgroup version 1 alone, a pair of cpusets does the same. No CPUs for no partition.",
    source: "Documentation/admin-guide/cgroup-v2.rst (cpuset.cpus.partition, `isolated` from 6.1 on); \
             Documentation/admin-guide/cgroup-v1/cpusets.rst",
    kind: Kind::Cpus,
    scope: Scope::Host,
    lifetime: Lifetime::Runtime,
    // update_tasks_cpumask (cpuset_update_tasks_cpumask from 6.12), kernel/cgroup/cpuset.c: user_cpus_ptr is kept from 6.2 on.
    risk: Risk::Medium(
        "everything else has to do with the CPUs that are left; on 6.1 every process loses the CPUs that were set for it",
    ),
    stage: Stage::Presence,
    ..KnobSpec::RUNTIME
};

/// Where a host's cpusets are.
pub(super) enum Cpusets<'a> {
    /// The root of a version 2 hierarchy with the controller.
    Two(Group<'a>),
    /// The root of the version 1 hierarchy.
    One(Group<'a>),
}

/// Version 2, as systemd mounts it alone and beside version 1, and version 1.
const V2: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
const V1: &str = "/sys/fs/cgroup/cpuset";

impl<'a> Cpusets<'a> {
    /// Those of a host, or why it has none that can be used.
    pub(super) fn of(host: &'a Host) -> Result<Self, String> {
        for mount in V2 {
            let root = Group::new(host, mount);
            let controllers = root.read("cgroup.controllers").unwrap_or_default();
            if !controllers.split_whitespace().any(|controller| controller == "cpuset") {
                continue;
            }
            // `isolated` came with 6.1 (commit f28e22441f35). Before, a `root` partition comes nearest; on 5.10 making and
            // removing one draws a warning of the workqueue code, after which other settings hang.
            if host.kernel < KernelVersion::new(6, 1) {
                return Err(format!(
                    "isolated partitions need a kernel from 6.1 on, this is {}: use `isolcpus=` and boot",
                    host.kernel
                ));
            }
            return Ok(Self::Two(root));
        }
        let root = Group::new(host, V1);
        if root.read("cpuset.cpus").is_ok() {
            return Ok(Self::One(root));
        }
        Err("there are no cpusets: no cgroup version 2 with the cpuset controller is mounted, nor version 1".to_owned())
    }
}

impl Knob for Partition {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn targets(&self, _: &Host) -> Vec<Target> {
        vec![Target::Host]
    }

    fn read(&self, host: &Host, _: &Target) -> Result<Reading, KnobError> {
        match Cpusets::of(host) {
            Ok(Cpusets::Two(root)) => match read(&root).map_err(|source| failed(host, &root, source))? {
                // Neither there nor gone: what is wanted is to be written once more.
                Value::Cpus(cpus) if cpus.is_empty() && irq_threads::are_owed(host) => {
                    Ok(Reading::Value(Value::Text(OWED.to_owned())))
                }
                value => Ok(Reading::Value(value)),
            },
            Ok(Cpusets::One(root)) => cpuset_v1::read(&root).map_err(|source| failed(host, &root, source)),
            Err(why) => Ok(Reading::Absent(why)),
        }
    }

    fn normalize(&self, host: &Host, _: &Target, value: &Value) -> Result<Value, KnobError> {
        let value = check_cpus(host, value)?;
        let Value::Cpus(cpus) = value else { return Ok(value.clone()) };
        let impossible = |why: String| KnobError::Impossible { value: value.clone(), why };
        if !cpus.is_empty() && host.topology.online().difference(cpus).is_empty() {
            return Err(impossible("no CPU would be left for everything else".to_owned()));
        }
        let taken = isolated_at_boot(host);
        let both: CpuSet = cpus.iter().filter(|cpu| taken.contains(*cpu)).collect();
        // Seen invalid on 6.12; valid on 6.1, and from 6.18 on. Where it is neither known, the kernel says so when it is tried.
        let refused = KernelVersion::new(6, 12)..KernelVersion::new(6, 18);
        if !both.is_empty() && refused.contains(&host.kernel) {
            return Err(impossible(format!("isolcpus= of the command line has taken {both} already")));
        }
        Ok(value.clone())
    }

    fn write(&self, host: &Host, _: &Target, value: &Value) -> Result<Held, KnobError> {
        let impossible = |why: String| KnobError::Impossible { value: value.clone(), why };
        let none = CpuSet::default();
        let cpus = match value {
            Value::Cpus(cpus) => cpus,
            Value::Text(text) if text == OWED => &none,
            _ => return Err(impossible("it is no list of CPUs".to_owned())),
        };
        let refused =
            |source| KnobError::from_write(PathBuf::from(format!("the cgroup {NAME}")), cpus.to_string(), source);
        match Cpusets::of(host).map_err(impossible)? {
            Cpusets::Two(root) if cpus.is_empty() => {
                irq_threads::owe(host)?;
                remove(host, &root).map_err(refused)?;
                irq_threads::put_back(host)?;
            }
            Cpusets::Two(root) => {
                if !root.child(NAME).exists() {
                    irq_threads::keep(host)?;
                }
                if let Err(source) = make(host, &root, cpus) {
                    let back = match root.child(NAME).exists() {
                        true => irq_threads::follow(host),
                        false => irq_threads::owe(host).and_then(|()| irq_threads::put_back(host)),
                    };
                    return Err(refused(source).after(back));
                }
                irq_threads::follow(host)?;
            }
            Cpusets::One(root) if cpus.is_empty() => cpuset_v1::remove(&root).map_err(refused)?,
            Cpusets::One(root) => cpuset_v1::make(host, &root, cpus).map_err(refused)?,
        }
        Ok(Held::Nothing)
    }

    fn changeable(&self, host: &Host, _: &Target) -> Result<(), KnobError> {
        match Cpusets::of(host) {
            Ok(Cpusets::Two(root)) => changeable(host, &root.file("cgroup.procs")),
            Ok(Cpusets::One(root)) => changeable(host, &root.file("tasks")),
            Err(_) => Ok(()),
        }
    }

    /// Who was put into the partition by `quell run`, or by hand, came from a cgroup that nothing tells. And the controller stays
    /// with whom it serves by now.
    fn remainder(&self, host: &Host, _: &Target, before: &Value, _: &Value) -> Result<Option<String>, KnobError> {
        let Ok(cpusets) = Cpusets::of(host) else { return Ok(None) };
        let (root, file) = match &cpusets {
            Cpusets::Two(root) => (root, "cgroup.procs"),
            Cpusets::One(root) => (root, "tasks"),
        };
        let group = root.child(NAME);
        // Other CPUs of the same group move nobody.
        if !group.exists() || matches!(before, Value::Cpus(cpus) if !cpus.is_empty()) {
            return Ok(None);
        }
        let members = group.read(file).map_err(|source| failed(host, root, source))?;
        let members: Vec<&str> = members.lines().collect();
        let mut remains = Vec::new();
        if !members.is_empty() {
            remains.push(format!(
                "processes {} were in the cgroup {NAME} and are in the one above it now",
                members.join(", ")
            ));
        }
        if let Cpusets::Two(root) = &cpusets
            && root.was_enabled(CONTROLLER)
        {
            let others = others(root);
            if !others.is_empty() {
                let others = others.join(", ");
                remains.push(format!("the cpuset controller stays enabled in the root cgroup: {others} has it in use"));
            }
        }
        Ok((!remains.is_empty()).then(|| remains.join("; ")))
    }
}

/// The cgroup of the partition, from the host's root, and its CPUs; `None` where there is no partition.
pub(crate) fn partition_group(root: &Root) -> Option<(String, CpuSet)> {
    let groups = V2.into_iter().chain([V1]).map(|mount| format!("{mount}/{NAME}"));
    let found = groups.map(|group| (root.read(&format!("{group}/cpuset.cpus")), group));
    found.into_iter().find_map(|(cpus, group)| Some((group, cpus.ok()?.parse().ok()?)))
}

fn failed(host: &Host, root: &Group<'_>, source: io::Error) -> KnobError {
    KnobError::Read { path: host.root.display_path(&root.file(NAME)), source }
}

fn read(root: &Group<'_>) -> io::Result<Value> {
    let group = root.child(NAME);
    if !group.exists() {
        return Ok(Value::Cpus(CpuSet::default()));
    }
    let state = match group.read("cpuset.cpus.partition") {
        // Gone with the controller, which somebody took from the root cgroup: systemd does.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            "no partition: the cgroup has lost its cpuset".to_owned()
        }
        state => state?,
    };
    match state.as_str() {
        "isolated" => group.read("cpuset.cpus")?.parse().map(Value::Cpus).map_err(io::Error::other),
        // As the kernel puts it, with the reason: no list of CPUs, so it matches none.
        _ => Ok(Value::Text(state)),
    }
}

/// Makes the partition, or gives it other CPUs. One that the kernel finds invalid is taken away again.
fn make(host: &Host, root: &Group<'_>, cpus: &CpuSet) -> io::Result<()> {
    let group = root.child(NAME);
    let before = read(root)?;
    let try_it = || {
        if !group.exists() {
            // Of a partition that somebody else took away: the controller may be somebody else's by now.
            root.leave(CONTROLLER)?;
        }
        keeper::keep(host)?;
        root.enable(CONTROLLER)?;
        if !group.exists() {
            group.make(&[("cpuset.cpus", ""), ("cpuset.cpus.partition", "member"), ("cgroup.procs", "")])?;
        }
        group.write("cpuset.cpus", &cpus.to_string())?;
        group.write("cpuset.cpus.partition", "isolated")?;
        match group.read("cpuset.cpus.partition")? {
            state if state == "isolated" => Ok(()),
            // `isolated invalid (Cpu list in cpuset.cpus not exclusive)`
            state => Err(io::Error::other(format!("the kernel says: {state}"))),
        }
    };
    let result = try_it();
    if result.is_err() {
        let _ = match &before {
            Value::Cpus(before) if !before.is_empty() => group.write("cpuset.cpus", &before.to_string()),
            _ => remove(host, root),
        };
    }
    result
}

fn remove(host: &Host, root: &Group<'_>) -> io::Result<()> {
    let group = root.child(NAME);
    if group.exists() {
        match group.write("cpuset.cpus.partition", "member") {
            // It went with the controller.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            written => written?,
        }
        group.move_all("cgroup.procs", root)?;
        group.remove()?;
    }
    // Where the group could not even be made, the controller may be enabled all the same.
    keeper::release(host)?;
    if others(root).is_empty() { root.take_back(CONTROLLER) } else { root.leave(CONTROLLER) }
}

/// Who else has something set of the controller: it would be lost if that were taken from the root cgroup (css_clear_dir,
/// kernel/cgroup/cgroup.c), such as `AllowedCPUs=` of a slice.
fn others(root: &Group<'_>) -> Vec<String> {
    let uses = |group: &Group<'_>| {
        let is_set = |file: &&str| group.read(file).is_ok_and(|text| !text.is_empty());
        // The kernel would refuse it to a group that hands it on (EBUSY, cgroup_subtree_control_write).
        SETTINGS.iter().any(is_set) || group.has_enabled(CONTROLLER).unwrap_or_default()
    };
    let others = root.children().into_iter().filter(|name| ![NAME, keeper::SLICE].contains(&name.as_str()));
    others.filter(|name| uses(&root.child(name))).collect()
}

/// The CPUs of `isolcpus=` on the running command line.
fn isolated_at_boot(host: &Host) -> CpuSet {
    let words = host.command_line.split_whitespace().filter_map(|word| word.strip_prefix("isolcpus="));
    words.map(cpus_in).fold(CpuSet::default(), |all, cpus| all.union(&cpus))
}
