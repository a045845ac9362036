//! Where kernel threads run that the kernel itself leaves anywhere.

use crate::host::Host;
use crate::tune::knob::threads::{self, Affinity, Listed};
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Lifetime, Reading, Risk, Stage, Survey, check_cpus};
use crate::tune::{Kind, Scope, Target, Value};
use crate::units::CpuSet;

/// Kernel threads of a kind.
pub(super) struct KernelThreads {
    spec: KnobSpec,
    /// Which, of those that may be moved, by name.
    chosen: fn(&[u8]) -> bool,
    none: &'static str,
}

pub(super) static KERNEL_THREADS: KernelThreads = KernelThreads {
    spec: spec(
        "isolation.kernel_threads",
        "The CPUs of kernel threads that are bound to none: the housekeeping ones. Threads that start later go where \
         `nohz_full=` of the command line lets them, from 7.0 on `isolcpus=` and `isolation.partition` too. Left out are those of interrupts, which follow their \
         interrupt, and the RCU callback threads, which have a knob of their own.",
        "Documentation/admin-guide/kernel-per-CPU-kthreads.rst",
    ),
    // irq_thread_check_affinity, kernel/irq/manage.c
    chosen: |name| !name.starts_with(b"irq/") && !is_rcu_callback(name),
    none: "there are no kernel threads to be seen here, as in a container",
};

pub(super) static RCU_THREADS: KernelThreads = KernelThreads {
    spec: spec(
        "isolation.rcu_callback_threads",
        "The CPUs of the threads that run RCU callbacks for CPUs of `rcu_nocbs=`: the housekeeping ones.",
        "Documentation/admin-guide/kernel-per-CPU-kthreads.rst (rcuop and rcuos); rcu_nocbs, kernel-parameters.txt",
    ),
    chosen: is_rcu_callback,
    none: "there are no RCU callback threads: they come with `rcu_nocbs=` or `nohz_full=` on the command line",
};

const fn spec(id: &'static str, doc: &'static str, source: &'static str) -> KnobSpec {
    KnobSpec {
        id,
        doc,
        source,
        kind: Kind::Cpus,
        scope: Scope::Host,
        lifetime: Lifetime::Runtime,
        risk: Risk::Medium("kernel work waits where the CPUs that are left are too busy"),
        stage: Stage::Placement,
        ..KnobSpec::RUNTIME
    }
}

/// `rcuog/0` for grace periods; `rcuop/0`, or `rcuos/0` without preemption, for callbacks (rcu_spawn_cpu_nocb_kthread,
/// kernel/rcu/tree_nocb.h).
fn is_rcu_callback(name: &[u8]) -> bool {
    name.starts_with(b"rcuo")
}

impl KernelThreads {
    fn threads(&self, host: &Host) -> Result<Listed, KnobError> {
        let mut listed = threads::processes(&host.root)?;
        listed.threads.retain(|thread| thread.is_movable_kernel_thread() && (self.chosen)(&thread.name));
        Ok(listed)
    }
}

impl Knob for KernelThreads {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn targets(&self, _: &Host) -> Vec<Target> {
        vec![Target::Host]
    }

    fn read(&self, host: &Host, _: &Target) -> Result<Reading, KnobError> {
        self.survey(host, &Target::Host).map(|survey| survey.reading)
    }

    fn survey(&self, host: &Host, _: &Target) -> Result<Survey, KnobError> {
        let (reading, remarks) = threads::survey(host, self.threads(host)?, &Affinity, || self.none.to_owned());
        Ok(Survey { reading, processes: Vec::new(), remarks })
    }

    fn normalize(&self, host: &Host, _: &Target, value: &Value) -> Result<Value, KnobError> {
        online_cpus(host, value)
    }

    fn spread(&self, before: &Value, wanted: &Value) -> Value {
        threads::spread(before, wanted)
    }

    fn write(&self, host: &Host, _: &Target, value: &Value) -> Result<Held, KnobError> {
        threads::write(host, || self.threads(host).map(|listed| listed.threads), &Affinity, value)
            .map(|()| Held::Nothing)
    }

    fn read_back(&self, host: &Host, target: &Target, before: &Value) -> Result<Reading, KnobError> {
        match before {
            Value::Each(parts) => threads::read_back(host, parts, &Affinity),
            _ => self.read(host, target),
        }
    }

    // Kernel threads end when a module goes.
    fn may_end(&self) -> bool {
        true
    }

    fn restore(&self, host: &Host, _: &Target, before: &Value) -> Result<(), KnobError> {
        threads::restore(host, || self.threads(host).map(|listed| listed.threads), &Affinity, before)
    }
}

/// CPUs that threads can be given: the kernel gives back those that are online.
pub(in crate::tune::knob) fn online_cpus(host: &Host, value: &Value) -> Result<Value, KnobError> {
    let Value::Cpus(cpus) = check_cpus(host, value)? else { return Ok(value.clone()) };
    let online = host.topology.online();
    let usable: CpuSet = cpus.iter().filter(|cpu| online.contains(*cpu)).collect();
    if usable.is_empty() {
        return Err(KnobError::Impossible { value: value.clone(), why: "none of these CPUs is online".to_owned() });
    }
    Ok(Value::Cpus(usable))
}
