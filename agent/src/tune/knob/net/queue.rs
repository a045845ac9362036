//! The CPUs of each queue: RPS, RFS and XPS.

use std::collections::BTreeMap;
use std::io;

use crate::host::Host;
use crate::tune::knob::boot_isolated::boot_isolated_cpus;
use crate::tune::knob::checks::{check_cpus, nic_name};
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::parts::{self, Change};
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::{KnobSpec, Stage};
use crate::tune::knob::value_file::Codec;
use crate::tune::knob::value_file::check_writable;
use crate::tune::value::{KnobTarget, Scope, Value, ValueKind};
use crate::units::{CpuId, CpuSet};

/// A knob with one file for each queue of an interface.
struct QueueKnob {
    spec: KnobSpec,
    /// The prefix of the queue directories: `rx-` or `tx-`.
    prefix: &'static str,
    file: &'static str,
    codec: Codec,
    distribution: Distribution,
}

/// How a value is distributed over the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distribution {
    /// Every queue gets the whole value.
    Same,
    /// The CPUs of a list are assigned to the queues in turn.
    RoundRobin,
}

pub(super) static KNOBS: &[&dyn Knob] = &[
    &QueueKnob {
        spec: spec(
            "net.rps_cpus",
            "Receive packet steering: the CPUs that the network stack processes packets on after the interrupt, the same for every \
             receive queue. An empty list uses the CPU of the interrupt, which is best with as many queues as CPUs that handle \
             packets.",
            "Documentation/networking/scaling.rst (RPS)",
            ValueKind::Cpus,
        ),
        prefix: "rx-",
        file: "rps_cpus",
        codec: Codec::CpuMask,
        distribution: Distribution::Same,
    },
    &QueueKnob {
        spec: spec(
            "net.rps_flow_cnt",
            "Receive flow steering: the number of flows per receive queue that are tracked to process packets on the CPU that last \
             waited for them. A power of two; `net.core.rps_sock_flow_entries` must be set too.",
            "Documentation/networking/scaling.rst (RFS)",
            ValueKind::Integer { min: 0, max: 1 << 29, unit: "flows" },
        ),
        prefix: "rx-",
        file: "rps_flow_cnt",
        codec: Codec::Plain,
        distribution: Distribution::Same,
    },
    &QueueKnob {
        spec: spec(
            "net.xps_cpus",
            "Transmit packet steering: the CPUs that send, dealt to the send queues in turn. Each queue serves few CPUs, so that its \
             lock and cache lines stay local. An empty list lets the network stack choose the queue by hash.",
            "Documentation/networking/scaling.rst (XPS)",
            ValueKind::Cpus,
        ),
        prefix: "tx-",
        file: "xps_cpus",
        codec: Codec::CpuMask,
        distribution: Distribution::RoundRobin,
    },
];

const fn spec(id: &'static str, doc: &'static str, source: &'static str, kind: ValueKind) -> KnobSpec {
    KnobSpec { id, doc, source, kind, scope: Scope::Nic, stage: Stage::Placement, ..KnobSpec::RUNTIME }
}

impl Distribution {
    /// The value of queue number `queue`, of `count` queues.
    fn share(self, value: &Value, queue: usize, count: usize) -> Value {
        match (self, value) {
            (Self::RoundRobin, Value::Cpus(cpus)) => {
                let cpus: Vec<CpuId> = cpus.iter().collect();
                Value::Cpus(cpus.into_iter().skip(queue).step_by(count.max(1)).collect::<CpuSet>())
            }
            (_, value) => value.clone(),
        }
    }
}

impl QueueKnob {
    /// The queues, ordered by number.
    fn queues(&self, host: &Host, nic: &str) -> Vec<String> {
        let names = host.root.list(&format!("/sys/class/net/{nic}/queues")).unwrap_or_default();
        let mut queues: Vec<String> = names.into_iter().filter(|name| name.starts_with(self.prefix)).collect();
        queues.sort_by_key(|name| self.number(name));
        queues
    }

    fn number(&self, queue: &str) -> usize {
        queue.strip_prefix(self.prefix).and_then(|number| number.parse().ok()).unwrap_or(usize::MAX)
    }

    fn path(&self, nic: &str, queue: &str) -> String {
        format!("/sys/class/net/{nic}/queues/{queue}/{}", self.file)
    }

    /// The files that have to be changed.
    fn changes(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Vec<Change<String>>, KnobError> {
        let nic = nic_name(target)?;
        let Reading::Value(Value::PerPart(current)) = self.read(host, target)? else {
            return Err(KnobError::Impossible { value: value.clone(), reason: format!("{nic} has no such queues") });
        };
        let count = current.len();
        let change = |(queue, current): (String, Value)| {
            let desired = match value {
                Value::PerPart(parts) => parts.get(&queue)?.clone(),
                value => self.distribution.share(value, self.number(&queue), count),
            };
            (desired != current).then(|| Change { part: self.path(nic, &queue), current, desired })
        };
        Ok(current.into_iter().filter_map(change).collect())
    }

    fn set(&self, host: &Host, file: &str, value: &Value) -> Result<(), KnobError> {
        let text = self.codec.encode(value, host);
        host.root.write(file, &text).map_err(|source| KnobError::from_write(host.root.display_path(file), text, source))
    }
}

/// The CPUs of a list that the kernel accepts for RPS: the list without the CPUs that are isolated at boot. If no CPU remains,
/// the kernel refuses the list (EINVAL; rps_cpumask_housekeeping and store_rps_map, net/core/net-sysfs.c).
fn rps_cpus(host: &Host, cpus: &CpuSet) -> Result<CpuSet, KnobError> {
    let accepted = cpus.difference(&boot_isolated_cpus(host));
    if accepted.is_empty() && !cpus.is_empty() {
        let reason = "RPS cannot use CPUs of isolcpus= and nohz_full=, and all of these CPUs are among them".to_owned();
        return Err(KnobError::Impossible { value: Value::Cpus(cpus.clone()), reason });
    }
    Ok(accepted)
}

impl Knob for QueueKnob {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        let nic = nic_name(target)?;
        let (mut parts, mut reason) =
            (BTreeMap::new(), format!("{nic} has no {} queues", self.prefix.trim_end_matches('-')));
        for queue in self.queues(host, nic) {
            let file = self.path(nic, &queue);
            match host.root.read(&file) {
                Ok(text) => {
                    let value = self.codec.decode(&text, self.spec.kind).ok_or_else(|| KnobError::Malformed {
                        path: host.root.display_path(&file),
                        reason: format!("{} is not {}", crate::excerpt::quoted(&text), self.spec.kind),
                    })?;
                    parts.insert(queue, value);
                }
                // For XPS of a card with one queue, reading an existing file returns ENOENT (xps_cpus_show,
                // net/core/net-sysfs.c).
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    reason = format!("{file} does not exist, or is not supported with one queue")
                }
                Err(source) => return Err(KnobError::Read { path: host.root.display_path(&file), source }),
            }
        }
        Ok(if parts.is_empty() { Reading::Absent(reason) } else { Reading::Value(Value::PerPart(parts)) })
    }

    fn normalize(&self, host: &Host, _: &KnobTarget, value: &Value) -> Result<Value, KnobError> {
        match check_cpus(host, value)? {
            // rps_dev_flow_table requires a power of two (store_rps_dev_flow_table_cnt).
            Value::Integer(count) if *count > 0 => {
                let flows =
                    u64::try_from(*count).map(u64::next_power_of_two).ok().and_then(|flows| i64::try_from(flows).ok());
                Ok(Value::Integer(flows.unwrap_or(*count)))
            }
            Value::Cpus(cpus) if self.file == "rps_cpus" => rps_cpus(host, cpus).map(Value::Cpus),
            value => Ok(value.clone()),
        }
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let changes = self.changes(host, target, value)?;
        parts::all_or_none(&changes, |file, value| self.set(host, file, value)).map(|()| Held::Nothing)
    }

    fn restore(&self, host: &Host, target: &KnobTarget, before: &Value) -> Result<(), KnobError> {
        parts::best_effort(&self.changes(host, target, before)?, |file, value| self.set(host, file, value))
    }

    fn check_writable(&self, host: &Host, target: &KnobTarget) -> Result<(), KnobError> {
        check_writable(host, &format!("/sys/class/net/{}/queues", nic_name(target)?))
    }

    fn matches(&self, current: &Value, expected: &Value) -> bool {
        match (current, expected) {
            (_, Value::PerPart(_)) => current.matches(expected),
            (Value::PerPart(parts), expected) => {
                let share = |queue: &str| self.distribution.share(expected, self.number(queue), parts.len());
                parts.iter().all(|(queue, current)| *current == share(queue))
            }
            _ => current.matches(expected),
        }
    }
}
