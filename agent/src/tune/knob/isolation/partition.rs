//! An isolated cpuset partition: CPUs without scheduler load balancing, without a reboot.

use std::io;
use std::path::PathBuf;

use super::cgroup::{CgroupDir, NAME};
use super::{cpuset_v1, irq_threads, systemd_slice};
use crate::host::{Host, KernelVersion, Root};
use crate::tune::knob::boot::cpus_in;
use crate::tune::knob::checks::check_cpus;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::{KnobSpec, Risk, Stage};
use crate::tune::knob::value_file::check_writable;
use crate::tune::value::{KnobTarget, Value, ValueKind};
use crate::units::CpuSet;

/// The isolated partition.
pub(super) struct Partition;

const CONTROLLER: &str = "cpuset";
/// Settings of the cpuset controller that are empty if a cgroup does not use the controller (`cpuset.cpus.exclusive` since
/// 6.7).
const SETTINGS: [&str; 3] = ["cpuset.cpus", "cpuset.mems", "cpuset.cpus.exclusive"];

/// The value after the partition was removed, while the affinities of interrupt threads are not restored yet.
const RESTORE_PENDING: &str = "none, but the affinities of interrupt threads are not restored yet";

static SPEC: KnobSpec = KnobSpec {
    id: "isolation.partition",
    doc: "CPUs that are excluded from load balancing at runtime: an isolated cpuset partition, the cgroup `quell-isolated`. \
          Everything that runs on them is moved to other CPUs, and only processes in the cgroup run there (`quell run --cpus`). If \
          systemd runs the host, a slice keeps it from disabling the cpuset controller. On a host with cpusets of cgroup version 1 \
          only, two cpusets do the same. An empty list removes the partition.",
    source: "Documentation/admin-guide/cgroup-v2.rst (cpuset.cpus.partition, `isolated` since 6.1); \
             Documentation/admin-guide/cgroup-v1/cpusets.rst",
    kind: ValueKind::Cpus,
    // update_tasks_cpumask (cpuset_update_tasks_cpumask since 6.12), kernel/cgroup/cpuset.c: user_cpus_ptr is kept since 6.2.
    risk: Risk::Medium(
        "everything else must make do with the remaining CPUs; on 6.1 every process loses the affinity that was set for it",
    ),
    stage: Stage::Presence,
    ..KnobSpec::RUNTIME
};

/// The cpuset hierarchy of a host.
pub(super) enum Cpusets<'a> {
    /// The root of a version 2 hierarchy with the controller.
    V2(CgroupDir<'a>),
    /// The root of the version 1 hierarchy.
    V1(CgroupDir<'a>),
}

/// The mount points of version 2: systemd mounts version 2 either alone, or beside version 1.
const MOUNTS_V2: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
const MOUNT_V1: &str = "/sys/fs/cgroup/cpuset";

impl<'a> Cpusets<'a> {
    /// The cpuset hierarchy that quell uses on a host. The error is the reason why there is none.
    pub(super) fn of(host: &'a Host) -> Result<Self, String> {
        for mount in MOUNTS_V2 {
            let root = CgroupDir::new(host, mount);
            let controllers = root.read("cgroup.controllers").unwrap_or_default();
            if !controllers.split_whitespace().any(|controller| controller == CONTROLLER) {
                continue;
            }
            // `isolated` was added in 6.1 (commit f28e22441f35). Before, the closest equivalent is a `root` partition. On 5.10,
            // creating and removing one triggers a warning of the workqueue code, after which other settings hang.
            if host.kernel < KernelVersion::new(6, 1) {
                return Err(format!(
                    "isolated partitions need Linux 6.1 or later, this is {}: use `isolcpus=` and reboot",
                    host.kernel
                ));
            }
            return Ok(Self::V2(root));
        }
        let root = CgroupDir::new(host, MOUNT_V1);
        if root.read("cpuset.cpus").is_ok() {
            return Ok(Self::V1(root));
        }
        Err("there are no cpusets: neither cgroup version 2 with the cpuset controller nor version 1 is mounted"
            .to_owned())
    }
}

impl Knob for Partition {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn read(&self, host: &Host, _: &KnobTarget) -> Result<Reading, KnobError> {
        match Cpusets::of(host) {
            Ok(Cpusets::V2(root)) => match read(&root).map_err(|source| unreadable(host, &root, source))? {
                // Does not match any list of CPUs, so that the desired value is written again.
                Value::Cpus(cpus) if cpus.is_empty() && irq_threads::is_restore_pending(host) => {
                    Ok(Reading::Value(Value::Text(RESTORE_PENDING.to_owned())))
                }
                value => Ok(Reading::Value(value)),
            },
            Ok(Cpusets::V1(root)) => cpuset_v1::read(&root).map_err(|source| unreadable(host, &root, source)),
            Err(reason) => Ok(Reading::Absent(reason)),
        }
    }

    fn normalize(&self, host: &Host, _: &KnobTarget, value: &Value) -> Result<Value, KnobError> {
        let value = check_cpus(host, value)?;
        let Value::Cpus(cpus) = value else { return Ok(value.clone()) };
        let impossible = |reason: String| KnobError::Impossible { value: value.clone(), reason };
        if !cpus.is_empty() && host.topology.online().difference(cpus).is_empty() {
            return Err(impossible("no CPU would remain for everything else".to_owned()));
        }
        let both = cpus.intersection(&isolated_at_boot(host));
        // Observed: a partition with CPUs of isolcpus= is invalid on 6.12, and valid on 6.1 and since 6.18. Other kernels
        // report it when the partition is created.
        let refused = KernelVersion::new(6, 12)..KernelVersion::new(6, 18);
        if !both.is_empty() && refused.contains(&host.kernel) {
            return Err(impossible(format!("isolcpus= of the command line isolates {both} already")));
        }
        Ok(value.clone())
    }

    fn write(&self, host: &Host, _: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let impossible = |reason: String| KnobError::Impossible { value: value.clone(), reason };
        let none = CpuSet::default();
        let cpus = match value {
            Value::Cpus(cpus) => cpus,
            Value::Text(text) if text == RESTORE_PENDING => &none,
            _ => return Err(impossible("it is not a list of CPUs".to_owned())),
        };
        let refused =
            |source| KnobError::from_write(PathBuf::from(format!("the cgroup {NAME}")), cpus.to_string(), source);
        match Cpusets::of(host).map_err(impossible)? {
            Cpusets::V2(root) if cpus.is_empty() => {
                irq_threads::mark_restore_pending(host)?;
                remove(host, &root).map_err(refused)?;
                irq_threads::restore(host)?;
            }
            Cpusets::V2(root) => {
                if !root.child(NAME).exists() {
                    irq_threads::save(host)?;
                }
                if let Err(source) = create(host, &root, cpus) {
                    let restored = match root.child(NAME).exists() {
                        true => irq_threads::follow_interrupts(host),
                        false => irq_threads::mark_restore_pending(host).and_then(|()| irq_threads::restore(host)),
                    };
                    return Err(refused(source).after_restore(restored));
                }
                irq_threads::follow_interrupts(host)?;
            }
            Cpusets::V1(root) if cpus.is_empty() => cpuset_v1::remove(&root).map_err(refused)?,
            Cpusets::V1(root) => cpuset_v1::create(host, &root, cpus).map_err(refused)?,
        }
        Ok(Held::Nothing)
    }

    fn check_writable(&self, host: &Host, _: &KnobTarget) -> Result<(), KnobError> {
        match Cpusets::of(host) {
            Ok(Cpusets::V2(root)) => check_writable(host, &root.file("cgroup.procs")),
            Ok(Cpusets::V1(root)) => check_writable(host, &root.file("tasks")),
            Err(_) => Ok(()),
        }
    }

    /// Reports that the original cgroups of processes in the partition are unknown, and that the controller stays enabled for
    /// cgroups that use it.
    fn side_effects(&self, host: &Host, _: &KnobTarget, before: &Value, _: &Value) -> Result<Vec<String>, KnobError> {
        let Ok(cpusets) = Cpusets::of(host) else { return Ok(Vec::new()) };
        let (root, file) = match &cpusets {
            Cpusets::V2(root) => (root, "cgroup.procs"),
            Cpusets::V1(root) => (root, "tasks"),
        };
        let group = root.child(NAME);
        // Changing the CPUs of the partition moves no process.
        if !group.exists() || matches!(before, Value::Cpus(cpus) if !cpus.is_empty()) {
            return Ok(Vec::new());
        }
        let members = group.read(file).map_err(|source| unreadable(host, root, source))?;
        let members: Vec<&str> = members.lines().collect();
        let mut effects = Vec::new();
        if !members.is_empty() {
            effects.push(format!("processes {} are moved from the cgroup {NAME} to its parent", members.join(", ")));
        }
        if let Cpusets::V2(root) = &cpusets
            && root.is_enabled_by_quell(CONTROLLER)
        {
            let users = other_users(root);
            if !users.is_empty() {
                let users = users.join(", ");
                effects.push(format!("the cpuset controller stays enabled in the root cgroup because {users} uses it"));
            }
        }
        Ok(effects)
    }
}

/// The path of the partition's cgroup, from the root of the host, and its CPUs; `None` if there is no partition.
pub(crate) fn partition_group(root: &Root) -> Option<(String, CpuSet)> {
    let groups = MOUNTS_V2.into_iter().chain([MOUNT_V1]).map(|mount| format!("{mount}/{NAME}"));
    groups.into_iter().find_map(|group| {
        let cpus = root.read(&format!("{group}/cpuset.cpus")).ok()?.parse().ok()?;
        Some((group, cpus))
    })
}

fn unreadable(host: &Host, root: &CgroupDir<'_>, source: io::Error) -> KnobError {
    KnobError::Read { path: host.root.display_path(&root.file(NAME)), source }
}

fn read(root: &CgroupDir<'_>) -> io::Result<Value> {
    let group = root.child(NAME);
    if !group.exists() {
        return Ok(Value::Cpus(CpuSet::default()));
    }
    let state = match group.read("cpuset.cpus.partition") {
        // The file disappears if the controller is disabled in the root cgroup, for example by systemd.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            "no partition: the cpuset controller was disabled".to_owned()
        }
        state => state?,
    };
    match state.as_str() {
        "isolated" => group.read("cpuset.cpus")?.parse().map(Value::Cpus).map_err(io::Error::other),
        // The partition state as the kernel reports it. It does not match any list of CPUs.
        _ => Ok(Value::Text(state)),
    }
}

/// Creates the partition, or changes its CPUs. A partition that the kernel finds invalid is removed again.
fn create(host: &Host, root: &CgroupDir<'_>, cpus: &CpuSet) -> io::Result<()> {
    let group = root.child(NAME);
    let before = read(root)?;
    let created = try_create(host, root, &group, cpus);
    if created.is_err() {
        let _ = match &before {
            Value::Cpus(before) if !before.is_empty() => group.write("cpuset.cpus", &before.to_string()),
            _ => remove(host, root),
        };
    }
    created
}

fn try_create(host: &Host, root: &CgroupDir<'_>, group: &CgroupDir<'_>, cpus: &CpuSet) -> io::Result<()> {
    if !group.exists() {
        // The state file remains from a partition that another program removed: other cgroups may use the controller now.
        root.keep_enabled(CONTROLLER)?;
    }
    systemd_slice::start(host)?;
    root.enable(CONTROLLER)?;
    if !group.exists() {
        group.create(&[("cpuset.cpus", ""), ("cpuset.cpus.partition", "member"), ("cgroup.procs", "")])?;
    }
    group.write("cpuset.cpus", &cpus.to_string())?;
    group.write("cpuset.cpus.partition", "isolated")?;
    match group.read("cpuset.cpus.partition")? {
        state if state == "isolated" => Ok(()),
        // `isolated invalid (Cpu list in cpuset.cpus not exclusive)`
        state => Err(io::Error::other(format!("the kernel reports `{state}`"))),
    }
}

fn remove(host: &Host, root: &CgroupDir<'_>) -> io::Result<()> {
    let group = root.child(NAME);
    if group.exists() {
        match group.write("cpuset.cpus.partition", "member") {
            // The file is missing if the controller was disabled.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            written => written?,
        }
        group.move_all("cgroup.procs", root)?;
        group.remove()?;
    }
    // The controller may be enabled even if the cgroup could not be created.
    systemd_slice::stop(host)?;
    if other_users(root).is_empty() { root.disable_if_enabled(CONTROLLER) } else { root.keep_enabled(CONTROLLER) }
}

/// Other cgroups that use the controller, such as a slice with `AllowedCPUs=`. They would lose their settings if the controller
/// were disabled in the root cgroup (css_clear_dir, kernel/cgroup/cgroup.c).
fn other_users(root: &CgroupDir<'_>) -> Vec<String> {
    let others = root.children().into_iter().filter(|name| ![NAME, systemd_slice::SLICE].contains(&name.as_str()));
    others.filter(|name| uses_controller(&root.child(name))).collect()
}

fn uses_controller(group: &CgroupDir<'_>) -> bool {
    let is_set = |file: &&str| group.read(file).is_ok_and(|text| !text.is_empty());
    // The kernel refuses to disable a controller that a child cgroup enables for its own children (EBUSY,
    // cgroup_subtree_control_write).
    SETTINGS.iter().any(is_set) || group.has_enabled(CONTROLLER).unwrap_or_default()
}

/// The CPUs of `isolcpus=` on the command line of the running kernel.
fn isolated_at_boot(host: &Host) -> CpuSet {
    let words = host.command_line.split_whitespace().filter_map(|word| word.strip_prefix("isolcpus="));
    words.map(cpus_in).fold(CpuSet::default(), |all, cpus| all.union(&cpus))
}
