//! The CPUs that a thread may run on.

use std::io;

use super::attribute::Attribute;
use super::thread::Thread;
use crate::host::Host;
use crate::sys::sched;
use crate::tune::knob::checks::online_cpus;
use crate::tune::knob::error::KnobError;
use crate::tune::value::Value;
use crate::units::{CpuId, CpuSet};

/// The attribute with the CPUs on which a thread may run.
pub(in crate::tune::knob) struct ThreadAffinity;

/// The key of the CPUs in `/proc/TID/status`.
const ALLOWED: &str = "Cpus_allowed_list:";

/// More CPUs than any kernel supports (CONFIG_NR_CPUS).
const ALL_CPUS: u32 = 8192;

impl Attribute for ThreadAffinity {
    fn get(&self, host: &Host, thread: &Thread) -> io::Result<Value> {
        if host.root.is_host() {
            return sched::affinity(thread.tid).map(Value::Cpus);
        }
        let status = host.root.read_bytes(&format!("/proc/{}/status", thread.tid))?;
        let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(ALLOWED.as_bytes()));
        let list = String::from_utf8_lossy(line.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?).into_owned();
        list.parse().map(Value::Cpus).map_err(io::Error::other)
    }

    fn set(&self, host: &Host, thread: &Thread, value: &Value) -> io::Result<()> {
        let Value::Cpus(cpus) = value else { return Err(io::ErrorKind::InvalidInput.into()) };
        if !host.root.is_host() {
            return set_in_tree(host, thread, cpus);
        }
        if host.topology.online().difference(cpus).is_empty() {
            // Setting all online CPUs removes the restriction, also for CPUs that come online later.
            return sched::set_affinity(thread.tid, &(0..ALL_CPUS).map(CpuId).collect::<CpuSet>());
        }
        sched::set_affinity(thread.tid, cpus)
    }

    fn normalize(&self, host: &Host, value: &Value) -> Result<Value, KnobError> {
        online_cpus(host, value)
    }
}

/// Edits the status file of a tree, as the kernel would.
fn set_in_tree(host: &Host, thread: &Thread, cpus: &CpuSet) -> io::Result<()> {
    let file = format!("/proc/{}/status", thread.tid);
    let status = host.root.read_bytes(&file)?;
    let mut edited = Vec::new();
    for line in status.split_inclusive(|&byte| byte == b'\n') {
        match line.starts_with(ALLOWED.as_bytes()) {
            true => edited.extend_from_slice(format!("{ALLOWED}\t{cpus}\n").as_bytes()),
            false => edited.extend_from_slice(line),
        }
    }
    host.root.write(&file, edited)
}
