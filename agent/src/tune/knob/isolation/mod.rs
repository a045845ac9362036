//! CPU isolation: cpuset partitions, kernel threads, workqueues, and the CPUs of systemd services.

mod cgroup;
mod cpuset_v1;
mod irq_threads;
mod kernel_threads;
mod partition;
mod systemd_affinity;
mod systemd_slice;

pub(crate) use partition::partition_group;

use crate::tune::knob::file_knob::FileKnob;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::spec::{KnobSpec, Stage};
use crate::tune::knob::value_file::{Codec, ValueFile};
use crate::tune::value::{Scope, ValueKind};

/// The knobs of this family.
pub(super) static KNOBS: &[&dyn Knob] = &[
    &partition::Partition,
    &kernel_threads::KERNEL_THREADS,
    &kernel_threads::RCU_THREADS,
    &FileKnob {
        spec: workqueue(
            "isolation.workqueue_cpumask",
            "The CPUs that unbound workqueues run on: an upper limit for all of them, including those with a CPU mask of their own. \
             Per-CPU workqueues are not affected.",
            Scope::Host,
        ),
        file: ValueFile { path: "/sys/devices/virtual/workqueue/cpumask", codec: Codec::CpuMask },
    },
    &FileKnob {
        spec: workqueue("isolation.writeback_cpumask", "The CPUs that the writeback workqueue runs on.", Scope::Host),
        file: ValueFile { path: "/sys/devices/virtual/workqueue/writeback/cpumask", codec: Codec::CpuMask },
    },
    &FileKnob {
        spec: workqueue(
            "isolation.workqueue",
            "The CPUs of one unbound workqueue, by its name in `/sys/devices/virtual/workqueue`, limited to those of \
             `isolation.workqueue_cpumask`.",
            Scope::Named,
        ),
        file: ValueFile { path: "/sys/devices/virtual/workqueue/{}/cpumask", codec: Codec::CpuMask },
    },
    &systemd_affinity::SystemdAffinity,
];

const fn workqueue(id: &'static str, doc: &'static str, scope: Scope) -> KnobSpec {
    KnobSpec {
        id,
        doc,
        source: "Documentation/admin-guide/kernel-per-CPU-kthreads.rst (kworker); workqueue_set_unbound_cpumask, \
                 kernel/workqueue.c",
        kind: ValueKind::Cpus,
        scope,
        stage: Stage::Placement,
        ..KnobSpec::RUNTIME
    }
}

#[cfg(test)]
mod tests;
