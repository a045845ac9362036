//! The affinity of interrupt threads while a partition exists. When a partition is created or changed, the kernel sets the
//! affinity of every movable kernel thread to the remaining CPUs (update_tasks_cpumask, kernel/cgroup/cpuset.c). An interrupt
//! thread returns to the CPUs of its interrupt only at the next interrupt after the interrupt's affinity has changed
//! (irq_thread_check_affinity, kernel/irq/manage.c).

use std::io;

use crate::excerpt;
use crate::host::Host;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::reading::Reading;
use crate::tune::knob::threads::{self, Attribute as _, Thread, ThreadAffinity, ThreadList};
use crate::tune::value::Value;
use crate::units::{CpuSet, Irq};

/// The file with the affinities from before the partition was created, from the root of the host. A reboot removes both the
/// file and the partition.
const SAVED: &str = "/run/quell/irq-threads";
/// The name of the same file after the partition is removed and until the affinities are restored.
const PENDING: &str = "/run/quell/irq-threads.pending";

fn interrupt_threads(host: &Host) -> Result<ThreadList, KnobError> {
    let mut list = threads::processes(&host.root)?;
    list.threads.retain(|thread| thread.is_movable_kernel_thread() && thread.name.starts_with(PREFIX));
    Ok(list)
}

/// The prefix of the names of interrupt threads: `irq/24-eth0`, `irq/24-s-eth0`.
const PREFIX: &[u8] = b"irq/";

/// The interrupt of a thread, from the name of the thread.
fn interrupt(thread: &Thread) -> Option<Irq> {
    let rest = thread.name.strip_prefix(PREFIX)?;
    let number = rest.split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(number).ok()?.parse().ok().map(Irq)
}

/// Saves the affinities, before the partition is created.
pub(super) fn save(host: &Host) -> Result<(), KnobError> {
    let (reading, remarks) = threads::survey(host, interrupt_threads(host)?, &ThreadAffinity, String::new);
    for remark in remarks {
        tracing::warn!("isolation.partition: {remark}");
    }
    let Reading::Value(value) = reading else { return Ok(()) };
    let path = host.root.display_path(SAVED);
    let saved =
        serde_json::to_vec(&value).map_err(io::Error::from).and_then(|text| host.root.write_state(SAVED, &text));
    saved.map_err(|source| KnobError::from_write(path, "the affinities of interrupt threads".to_owned(), source))
}

/// Whether a restore was interrupted, so that the affinities still have to be restored.
pub(super) fn is_restore_pending(host: &Host) -> bool {
    host.root.has(PENDING)
}

/// Records that the affinities have to be restored, before the partition is removed.
pub(super) fn mark_restore_pending(host: &Host) -> Result<(), KnobError> {
    let path = host.root.display_path(PENDING);
    match host.root.rename(SAVED, PENDING) {
        // No affinities were saved, or this was recorded before.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed.map_err(|source| KnobError::from_write(path, String::new(), source)),
    }
}

/// Moves each thread to the CPUs of its interrupt, as the kernel does. The kernel refuses CPUs of the partition; in this case
/// the thread stays on the CPUs outside the partition.
pub(super) fn follow_interrupts(host: &Host) -> Result<(), KnobError> {
    for thread in interrupt_threads(host)?.threads {
        let Some(number) = interrupt(&thread) else { continue };
        let effective = host.root.read(&format!("/proc/irq/{number}/effective_affinity_list"));
        if let Some(cpus) = effective.ok().and_then(|text| text.parse::<CpuSet>().ok()).filter(|cpus| !cpus.is_empty())
        {
            let _ = ThreadAffinity.set(host, &thread, &Value::Cpus(cpus));
        }
    }
    Ok(())
}

/// Restores the affinities after the partition was removed.
pub(super) fn restore(host: &Host) -> Result<(), KnobError> {
    let path = host.root.display_path(PENDING);
    let text = match host.root.read_bytes(PENDING) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        text => text.map_err(|source| KnobError::Read { path: path.clone(), source })?,
    };
    let before: Value = serde_json::from_slice(&text).map_err(|error| KnobError::Malformed {
        path: path.clone(),
        reason: format!("{}: remove the file", excerpt::message(error.to_string())),
    })?;
    // Threads that started while the partition existed have no saved affinity.
    follow_interrupts(host)?;
    threads::restore(host, || Ok(Vec::new()), &ThreadAffinity, &before)?;
    host.root.remove_file(PENDING).map_err(|source| KnobError::from_write(path, String::new(), source))
}
