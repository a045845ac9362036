//! The CPUs of one interrupt.

use std::io;
use std::os::unix::fs::PermissionsExt as _;

use super::queues;
use crate::excerpt;
use crate::host::Host;
use crate::tune::knob::file::changeable;
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Lifetime, Reading, Risk, Stage, check_cpus};
use crate::tune::{Kind, Scope, Target, Value};
use crate::units::{CpuSet, Irq};

/// The CPUs of one interrupt.
pub(super) struct Affinity;

static SPEC: KnobSpec = KnobSpec {
    id: "irq.affinity",
    doc: "The CPUs that may take an interrupt: others are taken out of its own, and where none is left it gets all of these. Every interrupt that is not a latency-critical device's own belongs on the \
          housekeeping CPUs. Queue interrupts that the kernel manages itself (NVMe, virtio-blk) are left out: \
          `isolcpus=managed_irq` keeps those away that have a housekeeping CPU too. So are the queues of network interfaces, where none are named: those have \
          `irq.nic_queues`.",
    source: "Documentation/core-api/irq/irq-affinity.rst; managed ones: irq_can_set_affinity_usr, kernel/irq/manage.c",
    kind: Kind::Cpus,
    scope: Scope::Irq,
    lifetime: Lifetime::Runtime,
    risk: Risk::Medium("irqbalance, an ifup or a driver that reloads may set it back"),
    stage: Stage::Placement,
    ..KnobSpec::RUNTIME
};

impl Knob for Affinity {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn targets(&self, host: &Host) -> Vec<Target> {
        let queues = queues::of_all(host);
        host.irqs.iter().filter(|irq| !queues.contains(irq)).map(|irq| Target::Irq(*irq)).collect()
    }

    // A driver that makes its queues anew, as for other channels, gives interrupts back.
    fn may_end(&self) -> bool {
        true
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        let irq = irq(target)?;
        if let Some(why) = managed(host, irq) {
            return Ok(Reading::Absent(why));
        }
        let of = |cpus| {
            let cpus = Value::Cpus(cpus);
            match source(host, irq) {
                Some(what) => Value::Of { what, value: Box::new(cpus) },
                None => cpus,
            }
        };
        Ok(read(host, irq)?.map_or_else(Reading::Absent, |cpus| Reading::Value(of(cpus))))
    }

    /// Where the number was given to another source, that of before has gone.
    fn read_back(&self, host: &Host, target: &Target, before: &Value) -> Result<Reading, KnobError> {
        Ok(match (self.read(host, target)?, before) {
            (Reading::Value(Value::Of { what, .. }), Value::Of { what: meant, .. }) if what != *meant => {
                Reading::Absent(format!("the interrupt is now that of {what}, and was that of {meant}"))
            }
            (reading, _) => reading,
        })
    }

    fn normalize(&self, host: &Host, _: &Target, value: &Value) -> Result<Value, KnobError> {
        check_cpus(host, value).cloned()
    }

    /// One that may come only to some of the CPUs that are wanted stays there, near its device.
    fn satisfies(&self, now: &Value, wanted: &Value) -> bool {
        let now = match now {
            Value::Of { value, .. } => value,
            now => now,
        };
        match (now, wanted) {
            (Value::Cpus(now), Value::Cpus(wanted)) => !now.is_empty() && now.difference(wanted).is_empty(),
            _ => self.meets(now, wanted),
        }
    }

    fn restore(&self, host: &Host, target: &Target, before: &Value) -> Result<(), KnobError> {
        let irq = irq(target)?;
        match before {
            Value::Cpus(cpus) => write(host, irq, cpus),
            Value::Of { what, value } if source(host, irq).as_ref() == Some(what) => self.restore(host, target, value),
            Value::Of { what, .. } => Err(KnobError::Impossible {
                value: before.clone(),
                why: format!("interrupt {irq} is not that of {what} any more"),
            }),
            other => Err(KnobError::Impossible { value: other.clone(), why: "an interrupt has CPUs".to_owned() }),
        }
    }

    fn changeable(&self, host: &Host, target: &Target) -> Result<(), KnobError> {
        changeable(host, &file(irq(target)?))
    }

    /// Without the CPUs that are not wanted; where none is left, on all that are.
    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let irq = irq(target)?;
        let Value::Cpus(wanted) = value else { return self.restore(host, target, value).map(|()| Held::Nothing) };
        let some = read(host, irq)?.ok().map(|now| now.intersection(wanted));
        let some = some.filter(|some| some.iter().any(|cpu| host.topology.is_online(cpu)));
        write(host, irq, some.as_ref().unwrap_or(wanted)).map(|()| Held::Nothing)
    }
}

/// What raises an interrupt: its chip, its number there, and who handles it where the kernel does not tell these two. Handlers
/// come and go with an interface that is up or down; numbers are given again.
fn source(host: &Host, irq: Irq) -> Option<String> {
    // Documentation/ABI/testing/sysfs-kernel-irq (4.9).
    let of = |name: &str| {
        host.root.read(&format!("/sys/kernel/irq/{irq}/{name}")).ok().filter(|text| excerpt::is_word(text))
    };
    if let (Some(chip), Some(number)) = (of("chip_name"), of("hwirq")) {
        return Some(format!("{chip} {number}"));
    }
    let handlers = host.root.list(&format!("/proc/irq/{irq}")).ok()?;
    let handlers = handlers.into_iter().filter(|name| host.root.is_directory(&format!("/proc/irq/{irq}/{name}")));
    Some(handlers.collect::<Vec<_>>().join(", ")).filter(|names| !names.is_empty())
}

fn irq(target: &Target) -> Result<Irq, KnobError> {
    match target {
        Target::Irq(irq) => Ok(*irq),
        other => Err(KnobError::Target { target: other.clone() }),
    }
}

/// The file that has the CPUs of an interrupt.
pub(super) fn file(irq: Irq) -> String {
    format!("/proc/irq/{irq}/smp_affinity_list")
}

/// The CPUs of an interrupt, or why it has none to set.
pub(super) fn read(host: &Host, irq: Irq) -> Result<Result<CpuSet, String>, KnobError> {
    let file = file(irq);
    let path = || host.root.display_path(&file);
    match host.root.read(&file) {
        Ok(text) => text.parse().map(Ok).map_err(|_| KnobError::Understand {
            path: path(),
            why: format!("{} is no list of CPUs", excerpt::quoted(&text)),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Err(format!("there is no interrupt {irq}"))),
        // What is behind the file went while it was open.
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
        // write_irq_affinity, kernel/irq/proc.c: -EIO where the user may not set it, -EPERM from 6.12 on
        // (eb29369fa543).
        Err(error) if matches!(error.raw_os_error(), Some(libc::EIO | libc::EPERM)) => {
            Err(KnobError::Managed { path, why: format!("it gives interrupt {irq} to CPUs by the device's queues") })
        }
        Err(source) => Err(KnobError::from_write(path, cpus.to_string(), source)),
    }
}

/// Why an interrupt cannot be set, as far as it can be told without trying.
pub(super) fn managed(host: &Host, irq: Irq) -> Option<String> {
    // From 6.12 on the file of such an interrupt has no permission to write (c7718e5c76d4; register_irq_proc,
    // kernel/irq/proc.c).
    let mode = host.root.metadata(&file(irq)).ok()?.permissions().mode();
    if mode & 0o222 == 0 {
        return Some("managed by the kernel: its file is not writable".to_owned());
    }
    // Before that, by the names that the two drivers give which most hosts have: both ask for PCI_IRQ_AFFINITY for their
    // queues (nvme_setup_irqs, drivers/nvme/host/pci.c; vp_request_msix_vectors, drivers/virtio/virtio_pci_common.c).
    let actions = host.root.list(&format!("/proc/irq/{irq}")).ok()?;
    if actions.iter().any(|action| action == "timer") {
        // IRQF_TIMER, IRQF_NOBALANCING: setup_default_timer_irq, arch/x86/kernel/time.c.
        return Some("the kernel's own timer, which it does not let go".to_owned());
    }
    let action = actions.into_iter().find(|name| by_queues(name))?;
    Some(format!("managed by the kernel, as the queues of {action} are"))
}

/// Whether a handler's name is that of a queue whose interrupt the kernel manages.
fn by_queues(action: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let nvme = action.strip_prefix("nvme").and_then(|rest| rest.split_once('q'));
    // Queue 0 of NVMe is for administration, and is not managed.
    let nvme = nvme.is_some_and(|(device, queue)| digits(device) && digits(queue) && queue != "0");
    let virtio = action.strip_prefix("virtio").and_then(|rest| rest.split_once("-req."));
    nvme || virtio.is_some_and(|(device, queue)| digits(device) && digits(queue))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;

    #[test]
    fn cpus_are_taken_out_of_an_interrupts_own_and_it_gets_back_all_that_it_had() {
        let file = "/proc/irq/24/smp_affinity_list";
        let (_folder, host) = fake::host(&[(file, "1-3\n"), ("/proc/interrupts", "  24: 0 PCI-MSI 0-edge eth0\n")]);
        let (target, cpus) = (Target::Irq(Irq(24)), |list: &str| Kind::Cpus.parse(list).expect("CPUs"));
        let before = fake::value(&Affinity, &host, &target);
        let set = |list: &str| {
            assert!(
                !Affinity.satisfies(&fake::value(&Affinity, &host, &target), &cpus(list)),
                "{list} is still to be set"
            );
            Affinity.write(&host, &target, &cpus(list)).expect("write");
            assert!(Affinity.satisfies(&fake::value(&Affinity, &host, &target), &cpus(list)), "{list}");
            host.root.read(file).expect("read")
        };
        assert_eq!(set("0-1"), "1", "what it had of these");
        assert_eq!(set("2-3"), "2-3", "it had none of these");
        assert!(
            !Affinity.meets(&fake::value(&Affinity, &host, &target), &before),
            "a part of what was is not what was"
        );
        Affinity.restore(&host, &target, &before).expect("put back");
        assert_eq!(host.root.read(file).expect("read"), "1-3");
    }

    #[test]
    fn queues_of_nvme_and_virtio_disks_are_known_by_name() {
        for managed in ["nvme0q1", "nvme12q34", "virtio1-req.0"] {
            assert!(by_queues(managed), "{managed}");
        }
        for free in ["nvme0q0", "virtio1-config", "virtio2-input.0", "eth0-TxRx-1", "mlx5_comp0@pci:0000:01:00.0"] {
            assert!(!by_queues(free), "{free}");
        }
    }
}
