//! Which CPUs work for each queue: RPS, RFS and XPS.

use std::collections::BTreeMap;
use std::io;

use super::{nic, nics};
use crate::host::Host;
use crate::tune::knob::file::changeable;
use crate::tune::knob::left_alone::left_alone;
use crate::tune::knob::parts::{self, Change};
use crate::tune::knob::{Codec, Held, Knob, KnobError, KnobSpec, Reading, Stage, check_cpus};
use crate::tune::{Kind, Scope, Target, Value};
use crate::units::{CpuId, CpuSet};

/// A file of each queue of an interface.
struct QueueKnob {
    spec: KnobSpec,
    /// `rx-` or `tx-`.
    queues: &'static str,
    file: &'static str,
    codec: Codec,
    deal: Deal,
}

/// What a queue gets of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deal {
    /// All of it, as every other queue does.
    Same,
    /// The CPUs of a list in turn: each CPU has one queue.
    InTurn,
}

pub(super) static KNOBS: &[&dyn Knob] = &[
    &QueueKnob {
        spec: spec(
            "net.rps_cpus",
            "The CPUs that the stack handles packets on after the interrupt, the same for every receive queue. None for the CPU \
             of the interrupt: right where there are as many queues as CPUs that handle packets.",
            "Documentation/networking/scaling.rst (RPS)",
            Kind::Cpus,
        ),
        queues: "rx-",
        file: "rps_cpus",
        codec: Codec::CpuMask,
        deal: Deal::Same,
    },
    &QueueKnob {
        spec: spec(
            "net.rps_flow_cnt",
            "How many flows RFS remembers for each receive queue, to handle packets on the CPU that last waited for them. A power \
             of two; `net.core.rps_sock_flow_entries` must be set too.",
            "Documentation/networking/scaling.rst (RFS)",
            Kind::Integer { min: 0, max: 1 << 29, unit: "flows" },
        ),
        queues: "rx-",
        file: "rps_flow_cnt",
        codec: Codec::Plain,
        deal: Deal::Same,
    },
    &QueueKnob {
        spec: spec(
            "net.xps_cpus",
            "The CPUs that send, dealt to the send queues in turn, so that a queue serves as few CPUs as can be and its lock and \
             cache lines stay with them. None for the stack's own choice by hash.",
            "Documentation/networking/scaling.rst (XPS)",
            Kind::Cpus,
        ),
        queues: "tx-",
        file: "xps_cpus",
        codec: Codec::CpuMask,
        deal: Deal::InTurn,
    },
];

const fn spec(id: &'static str, doc: &'static str, source: &'static str, kind: Kind) -> KnobSpec {
    KnobSpec { id, doc, source, kind, scope: Scope::Nic, stage: Stage::Placement, ..KnobSpec::RUNTIME }
}

impl Deal {
    /// What the queue of this number gets, of so many.
    fn share(self, value: &Value, queue: usize, of: usize) -> Value {
        match (self, value) {
            (Self::InTurn, Value::Cpus(cpus)) => {
                let cpus: Vec<CpuId> = cpus.iter().collect();
                Value::Cpus(cpus.into_iter().skip(queue).step_by(of.max(1)).collect::<CpuSet>())
            }
            (_, value) => value.clone(),
        }
    }
}

impl QueueKnob {
    /// The queues, by number.
    fn queues(&self, host: &Host, nic: &str) -> Vec<String> {
        let names = host.root.list(&format!("/sys/class/net/{nic}/queues")).unwrap_or_default();
        let mut queues: Vec<String> = names.into_iter().filter(|name| name.starts_with(self.queues)).collect();
        queues.sort_by_key(|name| self.number(name));
        queues
    }

    fn number(&self, queue: &str) -> usize {
        queue.strip_prefix(self.queues).and_then(|number| number.parse().ok()).unwrap_or(usize::MAX)
    }

    fn path(&self, nic: &str, queue: &str) -> String {
        format!("/sys/class/net/{nic}/queues/{queue}/{}", self.file)
    }

    /// The files that are to say something else.
    fn changes(&self, host: &Host, target: &Target, value: &Value) -> Result<Vec<Change<String>>, KnobError> {
        let nic = nic(target)?;
        let Reading::Value(Value::Each(now)) = self.read(host, target)? else {
            return Err(KnobError::Impossible { value: value.clone(), why: format!("{nic} has no such queues") });
        };
        let of = now.len();
        let change = |(queue, now): (String, Value)| {
            let wanted = match value {
                Value::Each(parts) => parts.get(&queue)?.clone(),
                value => self.deal.share(value, self.number(&queue), of),
            };
            (wanted != now).then(|| Change { part: self.path(nic, &queue), now, wanted })
        };
        Ok(now.into_iter().filter_map(change).collect())
    }

    fn set(&self, host: &Host, file: &str, value: &Value) -> Result<(), KnobError> {
        let text = self.codec.encode(value, host);
        host.root.write(file, &text).map_err(|source| KnobError::from_write(host.root.display_path(file), text, source))
    }
}

/// The CPUs of a list that the kernel takes for RPS: without those that the host was booted to leave alone, and none of them at
/// all is refused (EINVAL; rps_cpumask_housekeeping and store_rps_map, net/core/net-sysfs.c).
fn rps(host: &Host, cpus: &CpuSet) -> Result<CpuSet, KnobError> {
    let taken = cpus.difference(&left_alone(host));
    if taken.is_empty() && !cpus.is_empty() {
        let why = "isolcpus= or nohz_full= of the command line keep RPS from all of these CPUs".to_owned();
        return Err(KnobError::Impossible { value: Value::Cpus(cpus.clone()), why });
    }
    Ok(taken)
}

impl Knob for QueueKnob {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn targets(&self, host: &Host) -> Vec<Target> {
        nics(host)
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        let nic = nic(target)?;
        let (mut parts, mut why) =
            (BTreeMap::new(), format!("{nic} has no {} queues", self.queues.trim_end_matches('-')));
        for queue in self.queues(host, nic) {
            let file = self.path(nic, &queue);
            match host.root.read(&file) {
                Ok(text) => {
                    let value = self.codec.decode(&text, &self.spec).ok_or_else(|| KnobError::Understand {
                        path: host.root.display_path(&file),
                        why: format!("{} is not {}", crate::excerpt::quoted(&text), self.spec.kind),
                    })?;
                    parts.insert(queue, value);
                }
                // XPS of a card with one queue: ENOENT from a file that is there (xps_cpus_show, net/core/net-sysfs.c).
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    why = format!("there is no {file}, or no use for it")
                }
                Err(source) => return Err(KnobError::Read { path: host.root.display_path(&file), source }),
            }
        }
        Ok(if parts.is_empty() { Reading::Absent(why) } else { Reading::Value(Value::Each(parts)) })
    }

    fn normalize(&self, host: &Host, _: &Target, value: &Value) -> Result<Value, KnobError> {
        match check_cpus(host, value)? {
            // rps_dev_flow_table takes powers of two (store_rps_dev_flow_table_cnt).
            Value::Integer(count) if *count > 0 => {
                let flows =
                    u64::try_from(*count).map(u64::next_power_of_two).ok().and_then(|flows| i64::try_from(flows).ok());
                Ok(Value::Integer(flows.unwrap_or(*count)))
            }
            Value::Cpus(cpus) if self.file == "rps_cpus" => rps(host, cpus).map(Value::Cpus),
            value => Ok(value.clone()),
        }
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let changes = self.changes(host, target, value)?;
        parts::all_or_none(&changes, |file, value| self.set(host, file, value)).map(|()| Held::Nothing)
    }

    fn restore(&self, host: &Host, target: &Target, before: &Value) -> Result<(), KnobError> {
        parts::as_many_as_can_be(&self.changes(host, target, before)?, |file, value| self.set(host, file, value))
    }

    fn changeable(&self, host: &Host, target: &Target) -> Result<(), KnobError> {
        changeable(host, &format!("/sys/class/net/{}/queues", nic(target)?))
    }

    fn meets(&self, now: &Value, wanted: &Value) -> bool {
        match (now, wanted) {
            (_, Value::Each(_)) => now.meets(wanted),
            (Value::Each(parts), wanted) => {
                let share = |queue: &str| self.deal.share(wanted, self.number(queue), parts.len());
                parts.iter().all(|(queue, now)| *now == share(queue))
            }
            _ => now.meets(wanted),
        }
    }
}
