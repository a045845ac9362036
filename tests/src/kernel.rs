//! The BPF programs of quell in the kernel, and checks for leftovers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;

use anyhow::{Context as _, Result, bail};
use aya::programs::ProgramError;

use crate::turns;

/// The loaded BPF programs: names by ID. The kernel limits names to 15 characters.
pub fn loaded_programs() -> Result<BTreeMap<u32, String>> {
    let mut found = BTreeMap::new();
    for program in aya::programs::loaded_programs() {
        match program {
            Ok(program) => {
                found.insert(program.id(), String::from_utf8_lossy(program.name()).into_owned());
            }
            // The program was unloaded after it was listed.
            Err(ProgramError::SyscallError(error)) if error.io_error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).context("cannot list the loaded BPF programs"),
        }
    }
    Ok(found)
}

/// The prefix of the names of quell's programs.
const OURS: &str = "quell_";

/// The names of quell's programs that a process holds, attached or not.
pub fn held_by(pid: u32) -> Result<BTreeSet<String>> {
    let ids: BTreeSet<u32> = descriptors(pid).iter().filter_map(|text| program_id(text)).collect();
    let named = loaded_programs()?.into_iter().filter(|(id, _)| ids.contains(id));
    Ok(named.map(|(_, name)| name).collect())
}

/// Fails if a program of quell remains loaded that no process holds: an attachment or a pin must keep it.
///
/// Does not compare with an earlier list, because another quell may run on this host.
pub fn nothing_left_behind() -> Result<()> {
    let left = || -> Result<BTreeMap<u32, String>> {
        let mut ours = loaded_programs()?;
        ours.retain(|_, name| name.starts_with(OURS));
        if !ours.is_empty() {
            let held = held_programs()?;
            ours.retain(|id, _| !held.contains(id));
        }
        Ok(ours)
    };
    // The kernel frees a program some time after its last reference is dropped.
    let gone =
        turns::until("the programs of a capture that has ended are freed", || Ok(left()?.is_empty().then_some(())));
    match gone {
        Ok(()) => Ok(()),
        Err(_) => bail!("left behind in the kernel: {:?}", left()?),
    }
}

/// The programs for which a process has a descriptor of the program or of a link to it.
fn held_programs() -> Result<BTreeSet<u32>> {
    let mut held = BTreeSet::new();
    for entry in fs::read_dir("/proc").context("cannot list /proc")? {
        if let Some(pid) = entry.ok().and_then(|entry| entry.file_name().to_str()?.parse().ok()) {
            held.extend(descriptors(pid).iter().filter_map(|text| program_id(text)));
        }
    }
    Ok(held)
}

/// The fdinfo of each descriptor of a process; empty if the process has exited.
fn descriptors(pid: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return Vec::new() };
    entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok()).collect()
}

fn program_id(fdinfo: &str) -> Option<u32> {
    fdinfo.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok())
}
