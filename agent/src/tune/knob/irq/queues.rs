//! A network interface's queue interrupts, spread over CPUs.

use std::collections::BTreeMap;

use super::affinity;
use crate::host::Host;
use crate::tune::knob::file::changeable;
use crate::tune::knob::parts::{self, Change};
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Lifetime, Reading, Risk, Stage, check_cpus};
use crate::tune::{Kind, Scope, Target, Value};
use crate::units::{CpuId, CpuSet, Irq};

/// The CPU of each of a network interface's queue interrupts.
pub(super) struct NicQueues;

static SPEC: KnobSpec = KnobSpec {
    id: "irq.nic_queues",
    doc: "The CPUs that a network interface's queue interrupts are spread over, one each: queue 0 on the first CPU of the list, \
          queue 1 on the next, and from the first again. On the CPUs beside the isolated ones, on the card's node, packets \
          are handled near who waits for them and not by them.",
    source: "Documentation/networking/scaling.rst (RSS IRQ configuration)",
    kind: Kind::Cpus,
    scope: Scope::Nic,
    lifetime: Lifetime::Runtime,
    risk: Risk::Medium("irqbalance, an ifup or a driver that reloads may set it back"),
    stage: Stage::Placement,
    ..KnobSpec::RUNTIME
};

/// A queue's interrupt. A value names it by its handler, `eth0-rx-3`: a driver that makes its queues anew may get other numbers.
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

    fn targets(&self, host: &Host) -> Vec<Target> {
        host.nics.iter().map(|nic| Target::Nic(nic.name.clone())).collect()
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        let nic = nic(target)?;
        let queues = queue_irqs(host, nic);
        if queues.is_empty() {
            return Ok(Reading::Absent(format!("no interrupt of {nic} has the name of a queue")));
        }
        let (mut parts, mut why) = (BTreeMap::new(), String::new());
        for queue in queues {
            match affinity::managed(host, queue.irq)
                .map_or_else(|| affinity::read(host, queue.irq), |why| Ok(Err(why)))?
            {
                Ok(cpus) => drop(parts.insert(queue.name, Value::Cpus(cpus))),
                Err(absent) => why = absent,
            }
        }
        Ok(if parts.is_empty() { Reading::Absent(why) } else { Reading::Value(Value::Each(parts)) })
    }

    fn normalize(&self, host: &Host, _: &Target, value: &Value) -> Result<Value, KnobError> {
        let value = check_cpus(host, value)?;
        if matches!(value, Value::Cpus(cpus) if cpus.is_empty()) {
            return Err(KnobError::Impossible { value: value.clone(), why: "an interrupt needs a CPU".to_owned() });
        }
        Ok(value.clone())
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let changes = self.changes(host, target, value)?;
        parts::all_or_none(&changes, |irq, cpus| set(host, *irq, cpus)).map(|()| Held::Nothing)
    }

    fn restore(&self, host: &Host, target: &Target, before: &Value) -> Result<(), KnobError> {
        parts::as_many_as_can_be(&self.changes(host, target, before)?, |irq, cpus| set(host, *irq, cpus))
    }

    fn changeable(&self, host: &Host, target: &Target) -> Result<(), KnobError> {
        // Those that the kernel manages, and those that are gone, are no parts of the value.
        let free = |queue: &QueueIrq| affinity::managed(host, queue.irq).is_none();
        let queues = queue_irqs(host, nic(target)?);
        queues.iter().filter(|queue| free(queue)).try_for_each(|queue| changeable(host, &affinity::file(queue.irq)))
    }

    fn in_words(&self, wanted: &Value) -> String {
        match wanted {
            Value::Cpus(cpus) if cpus.len() > 1 => format!("one each of {cpus}"),
            wanted => wanted.to_string(),
        }
    }

    fn meets(&self, now: &Value, wanted: &Value) -> bool {
        match (now, wanted) {
            (Value::Each(parts), Value::Cpus(list)) => parts
                .iter()
                .all(|(part, cpus)| queue(part).is_some_and(|queue| *cpus == Value::Cpus(share(list, queue)))),
            _ => now.meets(wanted),
        }
    }
}

impl NicQueues {
    /// The interrupts that are to go elsewhere.
    fn changes(&self, host: &Host, target: &Target, value: &Value) -> Result<Vec<Change<Irq>>, KnobError> {
        let Reading::Value(Value::Each(mut parts)) = self.read(host, target)? else {
            return Err(KnobError::Impossible { value: value.clone(), why: "it has no queue interrupts".to_owned() });
        };
        let mut changes = Vec::new();
        for queue in queue_irqs(host, nic(target)?) {
            // Those that the kernel manages are no parts.
            let Some(now) = parts.remove(&queue.name) else { continue };
            let wanted = match value {
                Value::Each(wanted) => wanted.get(&queue.name).cloned(),
                Value::Cpus(cpus) => Some(Value::Cpus(share(cpus, queue.queue))),
                other => {
                    return Err(KnobError::Impossible { value: other.clone(), why: "interrupts have CPUs".to_owned() });
                }
            };
            if let Some(wanted) = wanted.filter(|wanted| *wanted != now) {
                changes.push(Change { part: queue.irq, now, wanted });
            }
        }
        Ok(changes)
    }
}

fn set(host: &Host, irq: Irq, value: &Value) -> Result<(), KnobError> {
    match value {
        Value::Cpus(cpus) => affinity::write(host, irq, cpus),
        other => Err(KnobError::Impossible { value: other.clone(), why: "interrupts have CPUs".to_owned() }),
    }
}

fn nic(target: &Target) -> Result<&str, KnobError> {
    match target {
        Target::Nic(nic) => Ok(nic),
        other => Err(KnobError::Target { target: other.clone() }),
    }
}

/// The CPU of a list that a queue gets.
fn share(list: &CpuSet, queue: usize) -> CpuSet {
    let cpus: Vec<CpuId> = list.iter().collect();
    cpus.get(queue.checked_rem(cpus.len()).unwrap_or(0)).copied().into_iter().collect()
}

/// The interrupts of a network interface that are its queues', by what their handlers are called.
fn queue_irqs(host: &Host, nic: &str) -> Vec<QueueIrq> {
    queue_irqs_where(host, |name| name == nic)
}

/// The interrupts of the queues of all network interfaces.
pub(super) fn of_all(host: &Host) -> Vec<Irq> {
    let queues = queue_irqs_where(host, |name| host.nics.iter().any(|nic| nic.name == name));
    queues.into_iter().map(|queue| queue.irq).collect()
}

fn queue_irqs_where(host: &Host, chosen: impl Fn(&str) -> bool) -> Vec<QueueIrq> {
    // Read again: a change of channels gives a card other interrupts.
    let nics = crate::host::nics(&host.root).into_iter().filter(|nic| chosen(&nic.name));
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
            let queue = queue(name)?;
            irqs.contains(&irq).then(|| QueueIrq { name: name.to_owned(), queue, irq })
        })
        .collect();
    queues.sort_by_key(|queue| (queue.queue, queue.irq));
    queues
}

/// The queue that a handler's name tells: 3 of `eth0-TxRx-3`, `mlx5_comp3@pci:0000:01:00.0`, `virtio2-input.3`.
fn queue(action: &str) -> Option<usize> {
    /// Parts of the names of interrupts that are not for packets.
    const OTHERS: [&str; 12] =
        ["async", "config", "ctrl", "control", "mgmnt", "misc", "event", "cmd", "fdir", "link", "pages", "other"];
    let action = action.split('@').next()?;
    let lower = action.to_ascii_lowercase();
    if OTHERS.iter().any(|other| lower.contains(other)) {
        return None;
    }
    let name = action.trim_end_matches(|c: char| c.is_ascii_digit());
    // `eth0` alone is an interrupt for everything else, `eth0-0` a queue's.
    let by_name = ["mlx5_comp", "mana_q"].iter().any(|begin| lower.starts_with(begin)) || lower.contains("ntfy");
    // cxgb4's are `eth0-Rx3`.
    let is_queue = name.ends_with(['-', '.', '_']) || name.ends_with("-Rx") || by_name;
    action[name.len()..].parse().ok().filter(|_| is_queue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_told_by_the_names_that_drivers_give() {
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
            assert_eq!(queue(action), expected, "{action}");
        }
    }

    #[test]
    fn queues_take_the_cpus_of_a_list_in_turn() {
        let list: CpuSet = "2-4".parse().expect("a list");
        let shares: Vec<String> = (0..5).map(|queue| share(&list, queue).to_string()).collect();
        assert_eq!(shares, ["2", "3", "4", "2", "3"]);
    }
}
