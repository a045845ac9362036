//! The CPUs of kernel threads that are not bound to a CPU.

use crate::host::Host;
use crate::tune::knob::checks::online_cpus;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::reading::{Held, Reading, Survey};
use crate::tune::knob::spec::{KnobSpec, Risk, Stage};
use crate::tune::knob::threads::{self, Thread, ThreadAffinity, ThreadList};
use crate::tune::value::{KnobTarget, Value, ValueKind};

/// A knob for a group of kernel threads.
pub(super) struct KernelThreads {
    spec: KnobSpec,
    /// Whether a movable kernel thread with this name belongs to the group.
    includes: fn(&[u8]) -> bool,
    /// Why the group may be empty.
    absent: &'static str,
}

pub(super) static KERNEL_THREADS: KernelThreads = KernelThreads {
    spec: spec(
        "isolation.kernel_threads",
        "The CPUs of kernel threads that are not bound to a CPU: usually the housekeeping CPUs. Threads that start later use the \
         CPUs outside `nohz_full=`, from Linux 7.0 on also outside `isolcpus=` and `isolation.partition`. Interrupt threads, which \
         follow their interrupt, and RCU callback threads, which have a knob of their own, are not included.",
        "Documentation/admin-guide/kernel-per-CPU-kthreads.rst",
    ),
    // irq_thread_check_affinity, kernel/irq/manage.c
    includes: |name| !name.starts_with(b"irq/") && !is_rcu_callback(name),
    absent: "no kernel threads are visible here, as in a container",
};

pub(super) static RCU_THREADS: KernelThreads = KernelThreads {
    spec: spec(
        "isolation.rcu_callback_threads",
        "The CPUs of the threads that run RCU callbacks for the CPUs of `rcu_nocbs=`: usually the housekeeping CPUs.",
        "Documentation/admin-guide/kernel-per-CPU-kthreads.rst (rcuop and rcuos); rcu_nocbs, kernel-parameters.txt",
    ),
    includes: is_rcu_callback,
    absent: "there are no RCU callback threads: they need `rcu_nocbs=` or `nohz_full=` on the command line",
};

const fn spec(id: &'static str, doc: &'static str, source: &'static str) -> KnobSpec {
    KnobSpec {
        id,
        doc,
        source,
        kind: ValueKind::Cpus,
        // Kernel threads exit when a module is unloaded.
        target_may_end: true,
        risk: Risk::Medium("kernel work is delayed if the remaining CPUs are too busy"),
        stage: Stage::Placement,
        ..KnobSpec::RUNTIME
    }
}

/// RCU threads: `rcuog/0` handles grace periods; `rcuop/0`, or `rcuos/0` without preemption, invokes callbacks
/// (rcu_spawn_cpu_nocb_kthread, kernel/rcu/tree_nocb.h).
fn is_rcu_callback(name: &[u8]) -> bool {
    name.starts_with(b"rcuo")
}

impl KernelThreads {
    fn list(&self, host: &Host) -> Result<ThreadList, KnobError> {
        let mut list = threads::processes(&host.root)?;
        list.threads.retain(|thread| thread.is_movable_kernel_thread() && (self.includes)(&thread.name));
        Ok(list)
    }

    fn threads(&self, host: &Host) -> Result<Vec<Thread>, KnobError> {
        self.list(host).map(|list| list.threads)
    }
}

impl Knob for KernelThreads {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn read(&self, host: &Host, _: &KnobTarget) -> Result<Reading, KnobError> {
        self.survey(host, &KnobTarget::Host).map(|survey| survey.reading)
    }

    fn survey(&self, host: &Host, _: &KnobTarget) -> Result<Survey, KnobError> {
        let (reading, remarks) = threads::survey(host, self.list(host)?, &ThreadAffinity, || self.absent.to_owned());
        Ok(Survey { reading, processes: Vec::new(), remarks })
    }

    fn normalize(&self, host: &Host, _: &KnobTarget, value: &Value) -> Result<Value, KnobError> {
        online_cpus(host, value)
    }

    fn limit_to_parts(&self, before: &Value, desired: &Value) -> Value {
        threads::limit_to_parts(before, desired)
    }

    fn write(&self, host: &Host, _: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        threads::write(host, || self.threads(host), &ThreadAffinity, value).map(|()| Held::Nothing)
    }

    fn read_back(&self, host: &Host, target: &KnobTarget, before: &Value) -> Result<Reading, KnobError> {
        match before {
            Value::PerPart(parts) => threads::read_back(host, parts, &ThreadAffinity),
            _ => self.read(host, target),
        }
    }

    fn restore(&self, host: &Host, _: &KnobTarget, before: &Value) -> Result<(), KnobError> {
        threads::restore(host, || self.threads(host), &ThreadAffinity, before)
    }
}
