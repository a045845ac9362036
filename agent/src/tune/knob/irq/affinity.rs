//! The CPUs of one interrupt.

use super::{nic_queues, smp_affinity};
use crate::excerpt;
use crate::host::Host;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::{KnobSpec, Risk, Stage};
use crate::tune::knob::value_file::check_writable;
use crate::tune::value::{KnobTarget, Scope, Value, ValueKind};
use crate::units::Irq;

/// A knob for the CPUs of one interrupt.
pub(super) struct IrqAffinity;

static SPEC: KnobSpec = KnobSpec {
    id: "irq.affinity",
    doc: "The CPUs that may handle an interrupt. Other CPUs are removed from its affinity; if none remains, it gets all of these. \
          Interrupts of devices that are not latency-critical belong on the housekeeping CPUs. Queue interrupts that the kernel \
          manages itself (NVMe, virtio-blk) are skipped: `isolcpus=managed_irq` moves those away that also have a housekeeping CPU. \
          Unless a profile names interrupts, queues of network interfaces are skipped too: they have `irq.nic_queues`.",
    source: "Documentation/core-api/irq/irq-affinity.rst; managed ones: irq_can_set_affinity_usr, kernel/irq/manage.c",
    kind: ValueKind::Cpus,
    scope: Scope::Irq,
    risk: Risk::Medium("irqbalance, bringing an interface up or reloading a driver may reset it"),
    stage: Stage::Placement,
    // A driver that recreates its queues, for example to change the number of channels, frees its interrupts.
    target_may_end: true,
    ..KnobSpec::RUNTIME
};

impl Knob for IrqAffinity {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn targets(&self, host: &Host) -> Vec<KnobTarget> {
        let queues = nic_queues::all_irqs(host);
        host.irqs.iter().filter(|irq| !queues.contains(irq)).map(|irq| KnobTarget::Irq(*irq)).collect()
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        let irq = irq(target)?;
        if let Some(reason) = smp_affinity::managed_reason(host, irq) {
            return Ok(Reading::Absent(reason));
        }
        let cpus = match smp_affinity::read(host, irq)? {
            Ok(cpus) => Value::Cpus(cpus),
            Err(reason) => return Ok(Reading::Absent(reason)),
        };
        Ok(Reading::Value(match source(host, irq) {
            Some(device) => Value::OnDevice { device, value: Box::new(cpus) },
            None => cpus,
        }))
    }

    /// If the interrupt number was reused, the original interrupt no longer exists.
    fn read_back(&self, host: &Host, target: &KnobTarget, before: &Value) -> Result<Reading, KnobError> {
        Ok(match (self.read(host, target)?, before) {
            (Reading::Value(Value::OnDevice { device, .. }), Value::OnDevice { device: original, .. })
                if device != *original =>
            {
                Reading::Absent(format!("the interrupt now belongs to {device}, and belonged to {original}"))
            }
            (reading, _) => reading,
        })
    }

    /// An interrupt whose CPUs are all among the desired ones stays on them, near its device.
    fn satisfies(&self, current: &Value, desired: &Value) -> bool {
        let current = match current {
            Value::OnDevice { value, .. } => value,
            current => current,
        };
        match (current, desired) {
            (Value::Cpus(current), Value::Cpus(desired)) => {
                !current.is_empty() && current.difference(desired).is_empty()
            }
            _ => self.matches(current, desired),
        }
    }

    /// Removes the CPUs that are not desired. If no CPU remains, the interrupt gets all desired CPUs.
    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let irq = irq(target)?;
        let Value::Cpus(desired) = value else { return self.restore(host, target, value).map(|()| Held::Nothing) };
        let remaining = smp_affinity::read(host, irq)?.ok().map(|current| current.intersection(desired));
        let remaining = remaining.filter(|cpus| cpus.iter().any(|cpu| host.topology.is_online(cpu)));
        smp_affinity::write(host, irq, remaining.as_ref().unwrap_or(desired)).map(|()| Held::Nothing)
    }

    fn restore(&self, host: &Host, target: &KnobTarget, before: &Value) -> Result<(), KnobError> {
        let irq = irq(target)?;
        match before {
            Value::Cpus(cpus) => smp_affinity::write(host, irq, cpus),
            Value::OnDevice { device, value } if source(host, irq).as_ref() == Some(device) => {
                self.restore(host, target, value)
            }
            Value::OnDevice { device, .. } => Err(KnobError::Impossible {
                value: before.clone(),
                reason: format!("interrupt {irq} no longer belongs to {device}"),
            }),
            other => Err(KnobError::Impossible { value: other.clone(), reason: "it is not a list of CPUs".to_owned() }),
        }
    }

    fn check_writable(&self, host: &Host, target: &KnobTarget) -> Result<(), KnobError> {
        check_writable(host, &smp_affinity::file(irq(target)?))
    }
}

fn irq(target: &KnobTarget) -> Result<Irq, KnobError> {
    match target {
        KnobTarget::Irq(irq) => Ok(*irq),
        other => Err(KnobError::WrongTarget { target: other.clone() }),
    }
}

/// The source of an interrupt: its chip and hardware IRQ number, or its handlers if the kernel does not report these. The
/// handlers appear and disappear with the interface. The kernel reuses interrupt numbers.
fn source(host: &Host, irq: Irq) -> Option<String> {
    if let (Some(chip), Some(number)) = (irq_attribute(host, irq, "chip_name"), irq_attribute(host, irq, "hwirq")) {
        return Some(format!("{chip} {number}"));
    }
    let handlers = host.root.list(&format!("/proc/irq/{irq}")).ok()?;
    let handlers = handlers.into_iter().filter(|name| host.root.is_directory(&format!("/proc/irq/{irq}/{name}")));
    Some(handlers.collect::<Vec<_>>().join(", ")).filter(|names| !names.is_empty())
}

/// Documentation/ABI/testing/sysfs-kernel-irq (4.9).
fn irq_attribute(host: &Host, irq: Irq, name: &str) -> Option<String> {
    host.root.read(&format!("/sys/kernel/irq/{irq}/{name}")).ok().filter(|text| excerpt::is_word(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;

    #[test]
    fn other_cpus_are_removed_and_all_are_restored() {
        let file = "/proc/irq/24/smp_affinity_list";
        let (_folder, host) = fake::host(&[(file, "1-3\n"), ("/proc/interrupts", "  24: 0 PCI-MSI 0-edge eth0\n")]);
        let (target, cpus) = (KnobTarget::Irq(Irq(24)), |list: &str| ValueKind::Cpus.parse(list).expect("CPUs"));
        let before = fake::value(&IrqAffinity, &host, &target);
        let set = |list: &str| {
            assert!(
                !IrqAffinity.satisfies(&fake::value(&IrqAffinity, &host, &target), &cpus(list)),
                "{list} is not set yet"
            );
            IrqAffinity.write(&host, &target, &cpus(list)).expect("write");
            assert!(IrqAffinity.satisfies(&fake::value(&IrqAffinity, &host, &target), &cpus(list)), "{list}");
            host.root.read(file).expect("read")
        };
        assert_eq!(set("0-1"), "1", "those of these that it had");
        assert_eq!(set("2-3"), "2-3", "it had none of these");
        assert!(
            !IrqAffinity.matches(&fake::value(&IrqAffinity, &host, &target), &before),
            "a part of the original CPUs is not the original"
        );
        IrqAffinity.restore(&host, &target, &before).expect("restored");
        assert_eq!(host.root.read(file).expect("read"), "1-3");
    }
}
