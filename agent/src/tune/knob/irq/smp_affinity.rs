//! The files `smp_affinity_list` of interrupts, and the detection of interrupts that the kernel manages.

use std::io;
use std::os::unix::fs::PermissionsExt as _;

use crate::excerpt;
use crate::host::Host;
use crate::tune::knob::error::KnobError;
use crate::units::{CpuSet, Irq};

/// The file with the CPUs of an interrupt.
pub(super) fn file(irq: Irq) -> String {
    format!("/proc/irq/{irq}/smp_affinity_list")
}

/// The CPUs of an interrupt, or the reason why it does not exist.
pub(super) fn read(host: &Host, irq: Irq) -> Result<Result<CpuSet, String>, KnobError> {
    let file = file(irq);
    let path = || host.root.display_path(&file);
    match host.root.read(&file) {
        Ok(text) => text.parse().map(Ok).map_err(|_| KnobError::Malformed {
            path: path(),
            reason: format!("{} is not a list of CPUs", excerpt::quoted(&text)),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Err(format!("there is no interrupt {irq}"))),
        // The interrupt was freed while the file was open.
        Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(Err(format!("{file}: {error}"))),
        Err(source) => Err(KnobError::Read { path: path(), source }),
    }
}

/// Sets the CPUs of an interrupt.
pub(super) fn write(host: &Host, irq: Irq, cpus: &CpuSet) -> Result<(), KnobError> {
    let file = file(irq);
    let path = host.root.display_path(&file);
    match host.root.write(&file, cpus.to_string()) {
        Ok(()) => Ok(()),
        // write_irq_affinity, kernel/irq/proc.c: EIO for a managed interrupt, EPERM since 6.12 (eb29369fa543).
        Err(error) if matches!(error.raw_os_error(), Some(libc::EIO | libc::EPERM)) => Err(KnobError::Managed {
            path,
            reason: format!("it assigns interrupt {irq} to CPUs by the queues of the device"),
        }),
        Err(source) => Err(KnobError::from_write(path, cpus.to_string(), source)),
    }
}

/// Why the affinity of an interrupt cannot be set, as far as this can be determined without writing.
pub(super) fn managed_reason(host: &Host, irq: Irq) -> Option<String> {
    // Since 6.12 the file of a managed interrupt is not writable (c7718e5c76d4; register_irq_proc, kernel/irq/proc.c).
    let mode = host.root.metadata(&file(irq)).ok()?.permissions().mode();
    if mode & 0o222 == 0 {
        return Some("managed by the kernel: its affinity file is not writable".to_owned());
    }
    // Before 6.12, managed interrupts are recognized by the names that the two most common drivers use. Both drivers request
    // PCI_IRQ_AFFINITY for their queues (nvme_setup_irqs, drivers/nvme/host/pci.c; vp_request_msix_vectors,
    // drivers/virtio/virtio_pci_common.c).
    let actions = host.root.list(&format!("/proc/irq/{irq}")).ok()?;
    if actions.iter().any(|action| action == "timer") {
        // IRQF_TIMER, IRQF_NOBALANCING: setup_default_timer_irq, arch/x86/kernel/time.c.
        return Some("the timer of the kernel, which cannot be moved".to_owned());
    }
    let action = actions.into_iter().find(|name| is_managed_queue(name))?;
    Some(format!("managed by the kernel, like all queues of the driver: {action}"))
}

/// Whether a handler name belongs to a queue whose interrupt the kernel manages.
fn is_managed_queue(action: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let nvme = action.strip_prefix("nvme").and_then(|rest| rest.split_once('q'));
    // Queue 0 of NVMe is the admin queue, which is not managed.
    let nvme = nvme.is_some_and(|(device, queue)| digits(device) && digits(queue) && queue != "0");
    let virtio = action.strip_prefix("virtio").and_then(|rest| rest.split_once("-req."));
    nvme || virtio.is_some_and(|(device, queue)| digits(device) && digits(queue))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_of_nvme_and_virtio_disks_are_recognized_by_name() {
        for managed in ["nvme0q1", "nvme12q34", "virtio1-req.0"] {
            assert!(is_managed_queue(managed), "{managed}");
        }
        for free in ["nvme0q0", "virtio1-config", "virtio2-input.0", "eth0-TxRx-1", "mlx5_comp0@pci:0000:01:00.0"] {
            assert!(!is_managed_queue(free), "{free}");
        }
    }
}
