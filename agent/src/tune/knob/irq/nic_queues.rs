//! The queue interrupts of a network interface, spread over CPUs.

use std::collections::BTreeMap;

use super::smp_affinity;
use crate::host::Host;
use crate::tune::knob::checks::{check_cpus, nic_name};
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::parts::{self, Change};
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::{KnobSpec, Risk, Stage};
use crate::tune::knob::value_file::check_writable;
use crate::tune::value::{KnobTarget, Scope, Value, ValueKind};
use crate::units::{CpuId, CpuSet, Irq};

/// A knob for the CPU of each queue interrupt of a network interface.
pub(super) struct NicQueues;

static SPEC: KnobSpec = KnobSpec {
    id: "irq.nic_queues",
    doc: "The CPUs that the queue interrupts of a network interface are spread over, one each: queue 0 on the first CPU of the list, \
          queue 1 on the next one, and so on in turn. With the housekeeping CPUs on the NUMA node of the card, packets are handled \
          near the isolated CPUs that wait for them, but not on those CPUs.",
    source: "Documentation/networking/scaling.rst (RSS IRQ configuration)",
    kind: ValueKind::Cpus,
    scope: Scope::Nic,
    risk: Risk::Medium("irqbalance, bringing an interface up or reloading a driver may reset it"),
    stage: Stage::Placement,
    ..KnobSpec::RUNTIME
};

/// The interrupt of a queue. In a value, its part is named after the handler (`eth0-rx-3`), because a driver that recreates its
/// queues may get other interrupt numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct QueueIrq {
    name: String,
    queue: usize,
    irq: Irq,
}

impl Knob for NicQueues {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        let nic = nic_name(target)?;
        let queues = queue_irqs(host, nic);
        if queues.is_empty() {
            return Ok(Reading::Absent(format!("no interrupt of {nic} has the name of a queue")));
        }
        let (mut parts, mut reason) = (BTreeMap::new(), String::new());
        for queue in queues {
            if let Some(managed) = smp_affinity::managed_reason(host, queue.irq) {
                reason = managed;
                continue;
            }
            match smp_affinity::read(host, queue.irq)? {
                Ok(cpus) => drop(parts.insert(queue.name, Value::Cpus(cpus))),
                Err(absent) => reason = absent,
            }
        }
        Ok(if parts.is_empty() { Reading::Absent(reason) } else { Reading::Value(Value::PerPart(parts)) })
    }

    fn normalize(&self, host: &Host, _: &KnobTarget, value: &Value) -> Result<Value, KnobError> {
        let value = check_cpus(host, value)?;
        if matches!(value, Value::Cpus(cpus) if cpus.is_empty()) {
            return Err(KnobError::Impossible {
                value: value.clone(),
                reason: "an interrupt needs at least one CPU".to_owned(),
            });
        }
        Ok(value.clone())
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let changes = self.changes(host, target, value)?;
        parts::all_or_none(&changes, |irq, cpus| set(host, *irq, cpus)).map(|()| Held::Nothing)
    }

    fn restore(&self, host: &Host, target: &KnobTarget, before: &Value) -> Result<(), KnobError> {
        parts::best_effort(&self.changes(host, target, before)?, |irq, cpus| set(host, *irq, cpus))
    }

    fn check_writable(&self, host: &Host, target: &KnobTarget) -> Result<(), KnobError> {
        // Managed and freed interrupts are not parts of the value.
        let queues = queue_irqs(host, nic_name(target)?);
        let mut settable = queues.iter().filter(|queue| smp_affinity::managed_reason(host, queue.irq).is_none());
        settable.try_for_each(|queue| check_writable(host, &smp_affinity::file(queue.irq)))
    }

    fn describe(&self, desired: &Value) -> String {
        match desired {
            Value::Cpus(cpus) if cpus.len() > 1 => format!("one of {cpus} each"),
            desired => desired.to_string(),
        }
    }

    fn matches(&self, current: &Value, expected: &Value) -> bool {
        match (current, expected) {
            (Value::PerPart(parts), Value::Cpus(list)) => parts
                .iter()
                .all(|(part, cpus)| queue_number(part).is_some_and(|queue| *cpus == Value::Cpus(share(list, queue)))),
            _ => current.matches(expected),
        }
    }
}

impl NicQueues {
    /// The interrupts whose CPUs have to be changed.
    fn changes(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Vec<Change<Irq>>, KnobError> {
        let Reading::Value(Value::PerPart(mut parts)) = self.read(host, target)? else {
            return Err(KnobError::Impossible {
                value: value.clone(),
                reason: "it has no queue interrupts".to_owned(),
            });
        };
        let mut changes = Vec::new();
        for queue in queue_irqs(host, nic_name(target)?) {
            // Managed interrupts are not parts of the value.
            let Some(current) = parts.remove(&queue.name) else { continue };
            let desired = match value {
                Value::PerPart(desired) => desired.get(&queue.name).cloned(),
                Value::Cpus(cpus) => Some(Value::Cpus(share(cpus, queue.queue))),
                other => {
                    return Err(KnobError::Impossible {
                        value: other.clone(),
                        reason: "it is not a list of CPUs".to_owned(),
                    });
                }
            };
            if let Some(desired) = desired.filter(|desired| *desired != current) {
                changes.push(Change { part: queue.irq, current, desired });
            }
        }
        Ok(changes)
    }
}

fn set(host: &Host, irq: Irq, value: &Value) -> Result<(), KnobError> {
    match value {
        Value::Cpus(cpus) => smp_affinity::write(host, irq, cpus),
        other => Err(KnobError::Impossible { value: other.clone(), reason: "it is not a list of CPUs".to_owned() }),
    }
}

/// The CPU of a list that is assigned to a queue.
fn share(list: &CpuSet, queue: usize) -> CpuSet {
    let cpus: Vec<CpuId> = list.iter().collect();
    cpus.get(queue.checked_rem(cpus.len()).unwrap_or(0)).copied().into_iter().collect()
}

/// The queue interrupts of a network interface, recognized by the names of their handlers.
fn queue_irqs(host: &Host, nic: &str) -> Vec<QueueIrq> {
    queue_irqs_where(host, |name| name == nic)
}

/// The queue interrupts of all network interfaces.
pub(super) fn all_irqs(host: &Host) -> Vec<Irq> {
    let queues = queue_irqs_where(host, |name| host.nics.iter().any(|nic| nic.name == name));
    queues.into_iter().map(|queue| queue.irq).collect()
}

fn queue_irqs_where(host: &Host, includes: impl Fn(&str) -> bool) -> Vec<QueueIrq> {
    // The interfaces are read again, because a device gets other interrupts when its channels change.
    let nics = crate::host::nics(&host.root).into_iter().filter(|nic| includes(&nic.name));
    let irqs: Vec<Irq> = nics.flat_map(|nic| nic.irqs).collect();
    if irqs.is_empty() {
        return Vec::new();
    }
    let interrupts = host.root.read_bytes("/proc/interrupts").unwrap_or_default();
    let interrupts = String::from_utf8_lossy(&interrupts);
    let mut queues: Vec<QueueIrq> = interrupts
        .lines()
        .filter_map(|line| {
            let (number, rest) = line.split_once(':')?;
            let irq = Irq(number.trim().parse().ok()?);
            let name = rest.split_whitespace().next_back()?;
            let queue = queue_number(name)?;
            irqs.contains(&irq).then(|| QueueIrq { name: name.to_owned(), queue, irq })
        })
        .collect();
    queues.sort_by_key(|queue| (queue.queue, queue.irq));
    queues
}

/// The queue number in the name of a handler: 3 for `eth0-TxRx-3`, `mlx5_comp3@pci:0000:01:00.0` and `virtio2-input.3`.
fn queue_number(action: &str) -> Option<usize> {
    /// Parts of the names of interrupts that are not for packet queues.
    const OTHERS: [&str; 12] =
        ["async", "config", "ctrl", "control", "mgmnt", "misc", "event", "cmd", "fdir", "link", "pages", "other"];
    let action = action.split('@').next()?;
    let lower = action.to_ascii_lowercase();
    if OTHERS.iter().any(|other| lower.contains(other)) {
        return None;
    }
    let name = action.trim_end_matches(|c: char| c.is_ascii_digit());
    // The name `eth0` alone is not a queue, but `eth0-0` is.
    let by_name = ["mlx5_comp", "mana_q"].iter().any(|begin| lower.starts_with(begin)) || lower.contains("ntfy");
    // cxgb4 uses `eth0-Rx3`.
    let is_queue = name.ends_with(['-', '.', '_']) || name.ends_with("-Rx") || by_name;
    action[name.len()..].parse().ok().filter(|_| is_queue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_recognized_by_the_names_that_drivers_use() {
        for (action, expected) in [
            ("eth0-TxRx-3", Some(3)),
            ("i40e-eth0-TxRx-11", Some(11)),
            ("ice-ens1f0-TxRx-0", Some(0)),
            ("mlx5_comp7@pci:0000:17:00.0", Some(7)),
            ("virtio2-input.0", Some(0)),
            ("virtio2-output.1", Some(1)),
            ("eth0-Tx-Rx-4", Some(4)),
            ("eth0-rx-0", Some(0)),
            ("eth0-rxtx-2", Some(2)),
            ("eth0-Rx3", Some(3)),
            ("mana_q3@pci:7870:00:00.0", Some(3)),
            ("mana_hwc@pci:7870:00:00.0", None),
            ("mlx5_async0@pci:0000:17:00.0", None),
            ("virtio2-config", None),
            ("ena-mgmnt@pci:0000:00:05.0", None),
            ("eth0", None),
            ("i40e-0000:3b:00.0:misc", None),
        ] {
            assert_eq!(queue_number(action), expected, "{action}");
        }
    }

    #[test]
    fn queues_get_the_cpus_of_a_list_in_turn() {
        let list: CpuSet = "2-4".parse().expect("a list");
        let shares: Vec<String> = (0..5).map(|queue| share(&list, queue).to_string()).collect();
        assert_eq!(shares, ["2", "3", "4", "2", "3"]);
    }
}
