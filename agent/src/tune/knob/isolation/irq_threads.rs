//! The threads of interrupts, over a partition: making or changing one gives every kernel thread that may be moved the CPUs that are
//! left (update_tasks_cpumask, kernel/cgroup/cpuset.c), these too, and they go back to their interrupts' CPUs only as those next come
//! after somebody has moved them (irq_thread_check_affinity, kernel/irq/manage.c).

use std::io;

use crate::excerpt;
use crate::host::Host;
use crate::tune::Value;
use crate::tune::knob::threads::{self, Affinity, Attribute as _, Listed, Thread};
use crate::tune::knob::{KnobError, Reading};
use crate::units::{CpuSet, Irq};

/// Where they may run as long as there is no partition, from the host's root: gone with the boot, as that is.
const KEPT: &str = "/run/quell/irq-threads";
/// The same, from the moment on that the partition is taken away until they are back.
const OWED: &str = "/run/quell/irq-threads.owed";

fn all(host: &Host) -> Result<Listed, KnobError> {
    let mut listed = threads::processes(&host.root)?;
    listed.threads.retain(|thread| thread.is_movable_kernel_thread() && thread.name.starts_with(PREFIX));
    Ok(listed)
}

/// What their names begin with: `irq/24-eth0`, `irq/24-s-eth0`.
const PREFIX: &[u8] = b"irq/";

/// The number of the interrupt that a thread is of, by its name.
fn interrupt(thread: &Thread) -> Option<Irq> {
    let rest = thread.name.strip_prefix(PREFIX)?;
    let number = rest.split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(number).ok()?.parse().ok().map(Irq)
}

/// Keeps where they may run, before the partition is made where there is none.
pub(super) fn keep(host: &Host) -> Result<(), KnobError> {
    let (reading, remarks) = threads::survey(host, all(host)?, &Affinity, String::new);
    for remark in remarks {
        tracing::warn!("isolation.partition: {remark}");
    }
    let Reading::Value(value) = reading else { return Ok(()) };
    let path = host.root.display_path(KEPT);
    let saved = serde_json::to_vec(&value).map_err(io::Error::from).and_then(|text| host.root.write_state(KEPT, &text));
    saved.map_err(|source| KnobError::from_write(path, "where threads may run".to_owned(), source))
}

/// Whether they are to be put back still: somebody was cut short.
pub(super) fn are_owed(host: &Host) -> bool {
    host.root.has(OWED)
}

/// Says that they are to be put back, before the partition is taken away.
pub(super) fn owe(host: &Host) -> Result<(), KnobError> {
    let path = host.root.display_path(OWED);
    match host.root.rename(KEPT, OWED) {
        // There were none to be kept, or this was said before.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed.map_err(|source| KnobError::from_write(path, String::new(), source)),
    }
}

/// Has each run where its interrupt comes now, as the kernel has it by itself. One whose interrupt comes to
/// a CPU of the partition is refused that, and stays beside it.
pub(super) fn follow(host: &Host) -> Result<(), KnobError> {
    for thread in all(host)?.threads {
        let Some(number) = interrupt(&thread) else { continue };
        let now = host.root.read(&format!("/proc/irq/{number}/effective_affinity_list"));
        if let Some(cpus) = now.ok().and_then(|text| text.parse::<CpuSet>().ok()).filter(|cpus| !cpus.is_empty()) {
            let _ = Affinity.set(host, &thread, &Value::Cpus(cpus));
        }
    }
    Ok(())
}

/// Puts them back, when there is no partition any more.
pub(super) fn put_back(host: &Host) -> Result<(), KnobError> {
    let path = host.root.display_path(OWED);
    let text = match host.root.read_bytes(OWED) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        text => text.map_err(|source| KnobError::Read { path: path.clone(), source })?,
    };
    let before: Value = serde_json::from_slice(&text).map_err(|error| KnobError::Understand {
        path: path.clone(),
        why: format!("{}; remove it", excerpt::message(error.to_string())),
    })?;
    // Those that began beside the partition have nothing kept.
    follow(host)?;
    threads::restore(host, || Ok(Vec::new()), &Affinity, &before)?;
    host.root.remove_file(OWED).map_err(|source| KnobError::from_write(path, String::new(), source))
}
