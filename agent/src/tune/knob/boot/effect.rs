//! What parameters of the command line have brought, for those that tell: one that is on the line and that the kernel passed over
//! has brought nothing.

use crate::host::Host;
use crate::tune::Value;
use crate::tune::knob::left_alone::{ISOLATED, NOHZ_FULL, listed};
use crate::tune::knob::{KnobError, threads};
use crate::units::{CpuId, CpuSet};

/// Why the running kernel would pass over a parameter, where that can be told. The next one may be another.
pub(super) fn unknown_to_kernel(host: &Host, name: &str) -> Option<String> {
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
    // Where the distribution put it; many do, and a host that lacks it is not told.
    let release = host.root.read("/proc/sys/kernel/osrelease").ok()?;
    let config = host.root.read(&format!("/boot/config-{release}")).ok()?;
    (!config.lines().any(|line| line.strip_prefix(option) == Some("=y"))).then_some(without)
}

/// What a parameter has brought, where that is less than it says.
pub(super) fn lacking(host: &Host, name: &str, wanted: &Value) -> Result<Option<Value>, KnobError> {
    let Value::Text(wanted) = wanted else { return Ok(None) };
    let took = match name {
        "isolcpus" => listed(host, ISOLATED),
        "nohz_full" => listed(host, NOHZ_FULL),
        "rcu_nocbs" => offloaded(host)?,
        _ => return Ok(None),
    };
    let missing = cpus_in(wanted).difference(&took);
    let lacking = || Value::Text(format!("{name}={wanted}, of which the kernel took {}", some(&took)));
    Ok((!missing.is_empty()).then(lacking))
}

fn some(cpus: &CpuSet) -> String {
    if cpus.is_empty() { "none".to_owned() } else { cpus.to_string() }
}

/// The CPUs whose RCU callbacks threads run, by the threads: `rcuop/2` (rcu_spawn_cpu_nocb_kthread, kernel/rcu/tree_nocb.h).
fn offloaded(host: &Host) -> Result<CpuSet, KnobError> {
    let cpu = |name: &[u8]| -> Option<CpuId> {
        let (kind, cpu) = std::str::from_utf8(name).ok()?.strip_prefix("rcuo")?.split_once('/')?;
        // `rcuog/0` is of a group.
        (kind.len() == 1 && kind != "g").then(|| cpu.parse().ok().map(CpuId))?
    };
    Ok(threads::processes(&host.root)?.threads.iter().filter_map(|thread| cpu(&thread.name)).collect())
}

/// The CPUs of `managed_irq,domain,2-5`: flags come first. None of `all`, or of what else is no list.
pub(in crate::tune::knob) fn cpus_in(text: &str) -> CpuSet {
    let numbers = text.split(',').filter(|part| part.starts_with(|first: char| first.is_ascii_digit()));
    numbers.collect::<Vec<_>>().join(",").parse().unwrap_or_default()
}
