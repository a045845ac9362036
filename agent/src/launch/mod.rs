//! `quell run`: starting one command with its own CPUs, scheduling policy and memory, from its first instruction.

mod error;
mod huge_pages;

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::host::{Root, cpus_online};
use crate::sys::locked_exec::locked_exec;
use crate::sys::sched;
use crate::tune::knob::partition_group;
use crate::tune::value::Policy;
use crate::units::{CpuSet, NodeId, Tid};

pub use error::LaunchError;

/// A command and its settings.
#[derive(Clone, Debug, Default)]
pub struct LaunchConfig {
    /// The CPUs; `None` for the CPUs of the caller. If they are in the isolated partition, the command enters the partition.
    pub cpus: Option<CpuSet>,
    /// The scheduling policy; `None` for the policy of the caller.
    pub policy: Option<Policy>,
    /// The NUMA nodes that memory is allocated on; empty for any.
    pub memory_nodes: Vec<NodeId>,
    /// Whether all memory is locked: read in at once, and never paged out. Child processes do not inherit this setting.
    pub lock_memory: bool,
    /// Whether the heap uses huge pages, by a tunable of malloc in glibc 2.35 and later. It has no effect on other allocators
    /// and on statically linked programs.
    pub huge_pages: bool,
    /// The program.
    pub program: OsString,
    /// The arguments.
    pub arguments: Vec<OsString>,
}

/// Executes the command in this process. The settings are applied to this process first: CPUs, memory, and the policy last, as each
/// of them could prevent the earlier ones.
///
/// # Errors
/// A setting cannot be applied, or the program cannot be executed. Settings that were already applied remain in effect for
/// this process.
pub fn launch(config: &LaunchConfig) -> Result<Infallible, LaunchError> {
    if let Some(cpus) = &config.cpus {
        set_cpus(cpus)?;
    }
    if !config.memory_nodes.is_empty() {
        bind_memory(&config.memory_nodes)?;
    }
    let mut command = Command::new(&config.program);
    command.args(&config.arguments);
    if config.huge_pages {
        huge_pages::set(&mut command, &Root::host())?;
    }
    if let Some(policy) = config.policy {
        let hint = "run as root, or with CAP_SYS_NICE".to_owned();
        let failed = |source| LaunchError::setting(format!("set the policy {policy}"), source, Some(hint));
        policy.set(Tid(0)).map_err(failed)?;
    }
    let source = if config.lock_memory { locked_exec(command) } else { command.exec() };
    match source.raw_os_error() {
        Some(libc::ENOMEM | libc::EPERM) if config.lock_memory => {
            let hint = "run as root, with CAP_IPC_LOCK, or with a sufficient limit for locked memory (`ulimit -l`)";
            let operation = format!("lock the memory of {}", config.program.display());
            Err(LaunchError::setting(operation, source, Some(hint.to_owned())))
        }
        _ => Err(LaunchError::Execute { program: config.program.clone(), source }),
    }
}

fn bind_memory(nodes: &[NodeId]) -> Result<(), LaunchError> {
    let failed = |source: io::Error| {
        let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        let online = Root::host().read("/sys/devices/system/node/online").ok();
        let hint = online.map(|online| format!("this host has the NUMA nodes {online}"));
        LaunchError::setting(format!("allocate memory on NUMA nodes {}", nodes.join(",")), source, hint)
    };
    sched::bind_memory(nodes).map_err(failed)
}

fn set_cpus(cpus: &CpuSet) -> Result<(), LaunchError> {
    let failed =
        |source: io::Error, hint: Option<String>| LaunchError::setting(format!("run on CPUs {cpus}"), source, hint);
    if let Some((group, partition)) = partition_group(&Root::host()) {
        let outside = cpus.difference(&partition);
        if outside.is_empty() {
            let procs = format!("{group}/cgroup.procs");
            let hint = "entering the isolated partition requires root".to_owned();
            let entered = Root::host().write(&procs, std::process::id().to_string());
            entered.map_err(|error| failed(error, Some(hint)))?;
        } else if outside != *cpus {
            return Err(LaunchError::PartlyIsolated { requested: cpus.clone(), partition });
        }
    }
    let online = || cpus_online().ok().map(|online| format!("this host has the CPUs {online}"));
    sched::set_affinity(Tid(0), cpus).map_err(|error| failed(error, online()))?;
    let granted = sched::affinity(Tid(0)).map_err(|error| failed(error, None))?;
    if granted == *cpus { Ok(()) } else { Err(LaunchError::CpusNotGranted { requested: cpus.clone(), granted }) }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::path::Path;

    use super::*;

    /// The settings and the script for `executes_a_command`, which the other tests start as a separate process.
    const COMMAND: &str = "QUELL_TEST_COMMAND";

    #[test]
    #[ignore = "helper: other tests start it as a process, and it executes another program"]
    fn executes_a_command() {
        let Ok(script) = env::var(COMMAND) else { return };
        let (settings, script) = script.split_once('|').expect("settings");
        let config = LaunchConfig {
            cpus: settings.contains("cpus").then(|| "0".parse().expect("a CPU")),
            policy: settings.contains("batch").then(|| "batch:5".parse().expect("a policy")),
            memory_nodes: if settings.contains("node") { vec![NodeId(0)] } else { Vec::new() },
            lock_memory: settings.contains("lock"),
            huge_pages: settings.contains("huge"),
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
        };
        let Err(error) = launch(&config);
        panic!("{error}");
    }

    /// The output of a shell with these settings.
    fn shell(settings: &str, script: &str) -> String {
        let test = ["--ignored", "--exact", "launch::tests::executes_a_command", "--nocapture", "--test-threads=1"];
        let mut command = Command::new(env::current_exe().expect("this program"));
        let output = command.args(test).env(COMMAND, format!("{settings}|{script}")).output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[test]
    fn a_command_starts_with_its_cpus_policy_and_nodes() {
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
    fn a_command_runs_normally_with_its_memory_locked() {
        if !cfg!(target_arch = "x86_64") {
            return;
        }
        // The test harness has already printed the beginning of a line.
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
    fn the_error_names_a_command_that_does_not_exist() {
        let error = launch(&LaunchConfig { program: "/no/such/program".into(), ..LaunchConfig::default() })
            .expect_err("it does not exist");
        assert!(error.to_string().contains("/no/such/program"), "{error}");
    }
}
