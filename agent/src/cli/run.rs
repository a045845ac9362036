//! `quell run`: starts a command with its own CPUs, scheduling policy and memory settings.

use std::ffi::OsString;

use quell::launch::{LaunchConfig, launch};
use quell::tune::value::Policy;
use quell::units::{CpuId, CpuSet, NodeId};

use super::Outcome;

/// Starts a command with its own CPUs, scheduling policy and memory, from its first instruction
///
/// quell executes the command in its own process. The exit code is that of the command; 127 if the command does not exist, 126 if it
/// cannot be executed, and 125 if a setting cannot be applied.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// CPUs, such as 2-3,8; for CPUs of the isolated partition, the command enters it
    #[arg(long, value_name = "LIST")]
    cpus: Option<CpuSet>,
    /// Scheduling policy: fifo:50, rr:10, other:0, batch:0, idle, or deadline:RUNTIME/DEADLINE/PERIOD in ns
    #[arg(long)]
    policy: Option<Policy>,
    /// NUMA nodes to allocate memory on, such as 0-1
    #[arg(long, value_name = "LIST")]
    memory_nodes: Option<CpuSet>,
    /// Lock all memory (x86-64)
    #[arg(long)]
    mlock: bool,
    /// Allocate the heap from huge pages (dynamically linked, glibc 2.35 or later)
    #[arg(long)]
    hugepages: bool,
    /// The command with its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  quell run --cpus 2-3 -- ./server
  quell run --cpus 4 --policy fifo:50 --mlock -- ./server --port 80";

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let (program, words) = arguments.command.split_first().ok_or_else(|| anyhow::anyhow!("no command"))?;
    let nodes = arguments.memory_nodes.iter().flat_map(CpuSet::iter).map(|CpuId(node)| NodeId(node));
    match launch(&LaunchConfig {
        cpus: arguments.cpus.clone(),
        policy: arguments.policy,
        memory_nodes: nodes.collect(),
        lock_memory: arguments.mlock,
        huge_pages: arguments.hugepages,
        program: program.clone(),
        arguments: words.to_vec(),
    })? {}
}
