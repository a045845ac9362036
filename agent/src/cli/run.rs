//! `quell run`: one command, placed and scheduled.

use std::ffi::OsString;

use quell::tune::Policy;
use quell::tune::{RunConfig, out_of_reach, run as become_it};
use quell::units::{CpuId, CpuSet, NodeId};

use super::Outcome;

/// Runs a command on CPUs of its own, with a policy and memory of its choice, from its first instruction
///
/// quell becomes the command: its exit code is that of the command; 127 where there is no such command, 126 where it cannot be
/// started, 125 where it cannot be given what it is to have.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The CPUs: 2-3,8; those of quell's isolated partition are entered
    #[arg(long, value_name = "LIST")]
    cpus: Option<CpuSet>,
    /// The scheduling policy: fifo:50, rr:10, other:0, batch:0, idle, deadline:RUNTIME/DEADLINE/PERIOD in ns
    #[arg(long)]
    policy: Option<Policy>,
    /// The NUMA nodes that its memory is taken from: 0-1
    #[arg(long, value_name = "LIST")]
    memory_nodes: Option<CpuSet>,
    /// Lock all its memory
    #[arg(long)]
    mlock: bool,
    /// Make its heap of huge pages (glibc 2.35 or later)
    #[arg(long)]
    hugepages: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let (program, words) = arguments.command.split_first().ok_or_else(|| anyhow::anyhow!("no command"))?;
    // Whoever reads the variable later, as a child, may be another program.
    if arguments.hugepages
        && let Some(why) = out_of_reach(program)
    {
        tracing::warn!("--hugepages may do nothing: {why}");
    }
    let nodes = arguments.memory_nodes.iter().flat_map(CpuSet::iter).map(|CpuId(node)| NodeId(node));
    match become_it(&RunConfig {
        cpus: arguments.cpus.clone(),
        policy: arguments.policy,
        memory_nodes: nodes.collect(),
        lock_memory: arguments.mlock,
        huge_pages: arguments.hugepages,
        program: program.clone(),
        arguments: words.to_vec(),
    })? {}
}
