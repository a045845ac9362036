//! One command, placed and scheduled before its first instruction.

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::Policy;
use super::knob::partition_group;
use crate::host::{Root, cpus_online};
use crate::sys::locked_exec::locked_exec;
use crate::sys::sched;
use crate::units::{CpuSet, NodeId, Tid};

/// A command, and what it gets.
#[derive(Clone, Debug, Default)]
pub struct RunConfig {
    /// The CPUs; those of the caller where none are given. CPUs of quell's isolated partition are used by entering it.
    pub cpus: Option<CpuSet>,
    /// The scheduling policy.
    pub policy: Option<Policy>,
    /// The NUMA nodes that its memory is taken from; any where none are given.
    pub memory_nodes: Vec<NodeId>,
    /// Whether all its memory is locked: it is read in at once, and never paged out. Not that of its children.
    pub lock_memory: bool,
    /// Whether its heap is made of huge pages, by the tunable of glibc's malloc (2.35 and later). Programs with another allocator
    /// are not affected.
    pub huge_pages: bool,
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// A command that was not started.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It cannot be given something.
    #[error("could not {what}: {source}{}", hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}")))]
    Prepare {
        /// What: `run on CPUs 2-3`.
        what: String,
        /// Why not.
        source: io::Error,
        /// What the user can do.
        hint: Option<String>,
    },
    /// The kernel gave it other CPUs than were asked for.
    #[error("CPUs {wanted} were asked for, and the kernel gives {got}: the cgroup that quell runs in has no others")]
    Cpus {
        /// Asked for.
        wanted: CpuSet,
        /// Given.
        got: CpuSet,
    },
    /// Some of the CPUs are in quell's partition, and some are not.
    #[error("of CPUs {wanted} only some are in the isolated partition {partition}: a process is in it or not")]
    Partition {
        /// Asked for.
        wanted: CpuSet,
        /// The partition's.
        partition: CpuSet,
    },
    /// There are no huge pages of any kind.
    #[error(
        "there are no huge pages: none are free in /proc/meminfo, and transparent ones are turned off; set memory.thp to madvise"
    )]
    HugePages,
    /// It cannot be executed.
    #[error("could not start `{}`: {source}", program.display())]
    Execute {
        /// The program.
        program: OsString,
        /// Why.
        source: io::Error,
    },
}

/// Becomes the command. What it gets is given to this process first, in the order in which one thing does not stand in the way
/// of another: CPUs, memory, and the policy last.
///
/// # Errors
/// Something cannot be given, or the program cannot be executed. This process keeps what it was given until then.
pub fn run(config: &RunConfig) -> Result<Infallible, RunError> {
    if let Some(cpus) = &config.cpus {
        place(cpus)?;
    }
    if !config.memory_nodes.is_empty() {
        let nodes: Vec<String> = config.memory_nodes.iter().map(ToString::to_string).collect();
        let what = || format!("take memory from nodes {}", nodes.join(","));
        let online = Root::host().read("/sys/devices/system/node/online").ok();
        let online = online.map(|online| format!("this host has the nodes {online}"));
        sched::bind_memory(&config.memory_nodes).map_err(failed(what, online))?;
    }
    let mut command = Command::new(&config.program);
    command.args(&config.arguments);
    if config.huge_pages {
        command.env(TUNABLES, tunables(huge_pages(&Root::host())?));
    }
    if let Some(policy) = config.policy {
        let hint = "it takes root, or CAP_SYS_NICE".to_owned();
        policy.set(Tid(0)).map_err(failed(|| format!("be scheduled as {policy}"), Some(hint)))?;
    }
    let source = if config.lock_memory { locked_exec(command) } else { command.exec() };
    match source.raw_os_error() {
        Some(libc::ENOMEM | libc::EPERM) if config.lock_memory => {
            let hint = "it takes root, CAP_IPC_LOCK, or a limit for locked memory that it fits in (ulimit -l)";
            Err(failed(|| format!("lock the memory of {}", config.program.display()), Some(hint.to_owned()))(source))
        }
        _ => Err(RunError::Execute { program: config.program.clone(), source }),
    }
}

fn failed(what: impl FnOnce() -> String, hint: Option<String>) -> impl FnOnce(io::Error) -> RunError {
    move |source| RunError::Prepare { what: what(), source, hint }
}

fn place(cpus: &CpuSet) -> Result<(), RunError> {
    let what = || format!("run on CPUs {cpus}");
    if let Some((group, partition)) = partition_group(&Root::host()) {
        let outside = cpus.difference(&partition);
        if outside.is_empty() {
            let procs = format!("{group}/cgroup.procs");
            let hint = "entering the isolated partition takes root".to_owned();
            Root::host().write(&procs, std::process::id().to_string()).map_err(failed(what, Some(hint)))?;
        } else if outside != *cpus {
            return Err(RunError::Partition { wanted: cpus.clone(), partition });
        }
    }
    let online = cpus_online().ok().map(|online| format!("this host has the CPUs {online}"));
    sched::set_affinity(Tid(0), cpus).map_err(failed(what, online))?;
    let got = sched::affinity(Tid(0)).map_err(failed(what, None))?;
    if got == *cpus { Ok(()) } else { Err(RunError::Cpus { wanted: cpus.clone(), got }) }
}

const TUNABLES: &str = "GLIBC_TUNABLES";

/// `glibc.malloc.hugetlb` (glibc manual, Memory Allocation Tunables): 1 advises transparent huge pages, 2 takes reserved ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HugePages {
    Transparent = 1,
    Reserved = 2,
}

fn huge_pages(root: &Root) -> Result<HugePages, RunError> {
    let memory = root.read("/proc/meminfo").unwrap_or_default();
    let free = memory.lines().find_map(|line| line.strip_prefix("HugePages_Free:")?.trim().parse::<u64>().ok());
    let transparent = root.read("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    match free {
        Some(free) if free > 0 => Ok(HugePages::Reserved),
        _ if transparent.contains("[always]") || transparent.contains("[madvise]") => Ok(HugePages::Transparent),
        _ => Err(RunError::HugePages),
    }
}

/// The variable with the tunable, and with what the user set of others.
fn tunables(pages: HugePages) -> OsString {
    let ours = format!("glibc.malloc.hugetlb={}", pages as u8);
    match env::var_os(TUNABLES).filter(|others| !others.is_empty()) {
        Some(mut others) => {
            others.push(format!(":{ours}"));
            others
        }
        None => ours.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// What the command is to get and to run, for the test below to become it: a process cannot become one and go on.
    const COMMAND: &str = "QUELL_TEST_COMMAND";

    #[test]
    #[ignore = "helper: the tests below start it as another process, and it executes another program"]
    fn becomes_a_command() {
        let Ok(script) = env::var(COMMAND) else { return };
        let (gets, script) = script.split_once('|').expect("what it gets");
        let config = RunConfig {
            cpus: gets.contains("cpus").then(|| "0".parse().expect("a CPU")),
            policy: gets.contains("batch").then(|| "batch:5".parse().expect("a policy")),
            memory_nodes: if gets.contains("node") { vec![NodeId(0)] } else { Vec::new() },
            lock_memory: gets.contains("lock"),
            huge_pages: gets.contains("huge"),
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
        };
        let Err(error) = run(&config);
        panic!("{error}");
    }

    /// What a shell says that got something.
    fn shell(gets: &str, script: &str) -> String {
        let test = ["--ignored", "--exact", "tune::run::tests::becomes_a_command", "--nocapture", "--test-threads=1"];
        let mut command = Command::new(env::current_exe().expect("this program"));
        let output = command.args(test).env(COMMAND, format!("{gets}|{script}")).output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[test]
    fn a_command_has_its_cpus_policy_and_nodes_from_its_first_instruction() {
        let status = shell(
            "cpus batch node",
            "cat /proc/self/status; cut -d' ' -f19,41 /proc/self/stat; cat /proc/self/numa_maps",
        );
        assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
        // Nice value and policy: SCHED_BATCH is 3.
        assert!(status.contains("\n5 3\n"), "{status}");
        assert!(!Path::new("/proc/self/numa_maps").exists() || status.contains("bind:0"), "{status}");
    }

    #[test]
    fn a_commands_memory_is_locked_and_it_runs_as_if_nothing_had_been() {
        if !cfg!(target_arch = "x86_64") {
            return;
        }
        // The harness has begun a line.
        let script = "echo; grep -E '^(VmSize|VmLck|TracerPid)' /proc/$$/status; exec echo \"$0 ends\"";
        let status = shell("lock cpus", script);
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
            line.trim_matches([':', '\t', ' ']).trim_end_matches(" kB").trim().parse().expect(name)
        };
        assert!(field("VmLck") * 2 > field("VmSize"), "{status}");
        assert_eq!(field("TracerPid"), 0, "{status}");
        assert!(status.contains("sh ends"), "{status}");
    }

    #[test]
    fn a_command_that_does_not_exist_is_named() {
        let error = run(&RunConfig { program: "/no/such/program".into(), ..RunConfig::default() })
            .expect_err("it is not there");
        assert!(error.to_string().contains("/no/such/program"), "{error}");
    }

    #[test]
    fn reserved_huge_pages_come_first_and_none_is_an_error() {
        let host = |meminfo: &str, transparent: &str| {
            let folder = tempfile::tempdir().expect("a folder");
            for (path, text) in [("proc/meminfo", meminfo), ("sys/kernel/mm/transparent_hugepage/enabled", transparent)]
            {
                let path = folder.path().join(path);
                fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a folder");
                fs::write(path, text).expect("a file");
            }
            huge_pages(&Root::at(folder.path()).expect("a root"))
        };
        let (some, none) = ("HugePages_Free:       4\n", "HugePages_Free:       0\n");
        assert_eq!(host(some, "always madvise [never]").ok(), Some(HugePages::Reserved));
        assert_eq!(host(none, "always [madvise] never").ok(), Some(HugePages::Transparent));
        assert!(matches!(host(none, "always madvise [never]"), Err(RunError::HugePages)));
    }
}
