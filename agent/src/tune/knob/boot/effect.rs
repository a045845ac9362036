//! The effect of kernel parameters, as far as the kernel reports it. A parameter that the kernel ignores has no effect.

use crate::host::Host;
use crate::tune::knob::boot_isolated::{ISOLATED, NOHZ_FULL, cpus_in_file};
use crate::tune::knob::error::KnobError;
use crate::tune::knob::threads;
use crate::tune::value::Value;
use crate::units::{CpuId, CpuSet};

/// Why the running kernel would ignore a parameter, if that can be determined. The next boot may use another kernel.
pub(super) fn ignored_by_kernel(host: &Host, name: &str) -> Option<String> {
    let option = match name {
        "nohz_full" => "CONFIG_NO_HZ_FULL",
        "rcu_nocbs" | "rcu_nocb_poll" => "CONFIG_RCU_NOCB_CPU",
        _ => return None,
    };
    let without = format!("{} was built without {option}", host.kernel);
    let file_lacks = name == "nohz_full" && host.root.has(ISOLATED) && !host.root.has(NOHZ_FULL);
    if file_lacks {
        return Some(without);
    }
    // Many distributions install the configuration here.
    let release = host.root.read("/proc/sys/kernel/osrelease").ok()?;
    let config = host.root.read(&format!("/boot/config-{release}")).ok()?;
    (!config.lines().any(|line| line.strip_prefix(option) == Some("=y"))).then_some(without)
}

/// The actual effect of a parameter, if the kernel applies less than the parameter requests.
pub(super) fn partial_effect(host: &Host, name: &str, desired: &Value) -> Result<Option<Value>, KnobError> {
    let Value::Text(desired) = desired else { return Ok(None) };
    let effective = match name {
        "isolcpus" => cpus_in_file(host, ISOLATED),
        "nohz_full" => cpus_in_file(host, NOHZ_FULL),
        "rcu_nocbs" => offloaded(host)?,
        _ => return Ok(None),
    };
    let missing = cpus_in(desired).difference(&effective);
    let effect = || Value::Text(format!("{name}={desired}, of which the kernel applied {}", or_none(&effective)));
    Ok((!missing.is_empty()).then(effect))
}

fn or_none(cpus: &CpuSet) -> String {
    if cpus.is_empty() { "none".to_owned() } else { cpus.to_string() }
}

/// The CPUs whose RCU callbacks are offloaded, from the names of the threads that run the callbacks: `rcuop/2`
/// (rcu_spawn_cpu_nocb_kthread, kernel/rcu/tree_nocb.h).
fn offloaded(host: &Host) -> Result<CpuSet, KnobError> {
    let cpu = |name: &[u8]| -> Option<CpuId> {
        let (kind, cpu) = std::str::from_utf8(name).ok()?.strip_prefix("rcuo")?.split_once('/')?;
        // `rcuog/0` belongs to a group of CPUs.
        (kind.len() == 1 && kind != "g").then(|| cpu.parse().ok().map(CpuId))?
    };
    Ok(threads::processes(&host.root)?.threads.iter().filter_map(|thread| cpu(&thread.name)).collect())
}

/// The CPUs of a value such as `managed_irq,domain,2-5`, which begins with flags; empty for `all` and other words.
pub(in crate::tune::knob) fn cpus_in(text: &str) -> CpuSet {
    let numbers = text.split(',').filter(|part| part.starts_with(|first: char| first.is_ascii_digit()));
    numbers.collect::<Vec<_>>().join(",").parse().unwrap_or_default()
}
