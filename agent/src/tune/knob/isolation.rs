//! Keeping CPUs free: cpuset partitions, kernel threads, workqueues, and what systemd starts.

mod cpuset_v1;
mod group;
mod irq_threads;
mod keeper;
mod kernel_threads;
mod partition;
mod systemd;

pub(super) use kernel_threads::online_cpus;
pub(crate) use partition::partition_group;

use super::{Codec, FileKnob, Knob, KnobSpec, Lifetime, Risk, Stage};
use crate::tune::{Kind, Scope};

/// The family.
pub(super) static KNOBS: &[&dyn Knob] = &[
    &partition::Partition,
    &kernel_threads::KERNEL_THREADS,
    &kernel_threads::RCU_THREADS,
    &FileKnob {
        spec: workqueue(
            "isolation.workqueue_cpumask",
            "The CPUs that unbound workqueues run their work on: a limit for all of them, those with CPUs of their own too. Work \
             that a CPU queues for itself is not affected.",
            Scope::Host,
        ),
        path: "/sys/devices/virtual/workqueue/cpumask",
        codec: Codec::CpuMask,
    },
    &FileKnob {
        spec: workqueue("isolation.writeback_cpumask", "The CPUs that dirty pages are written back on.", Scope::Host),
        path: "/sys/devices/virtual/workqueue/writeback/cpumask",
        codec: Codec::CpuMask,
    },
    &FileKnob {
        spec: workqueue(
            "isolation.workqueue",
            "The CPUs of one unbound workqueue, by its name below `/sys/devices/virtual/workqueue`, within those of \
             `isolation.workqueue_cpumask`.",
            Scope::Named,
        ),
        path: "/sys/devices/virtual/workqueue/{}/cpumask",
        codec: Codec::CpuMask,
    },
    &systemd::CpuAffinity,
];

const fn workqueue(id: &'static str, doc: &'static str, scope: Scope) -> KnobSpec {
    KnobSpec {
        id,
        doc,
        source: "Documentation/admin-guide/kernel-per-CPU-kthreads.rst (kworker); workqueue_set_unbound_cpumask, \
                 kernel/workqueue.c",
        kind: Kind::Cpus,
        scope,
        lifetime: Lifetime::Runtime,
        risk: Risk::Low,
        stage: Stage::Placement,
        ..KnobSpec::RUNTIME
    }
}

#[cfg(test)]
mod tests;
