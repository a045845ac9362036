//! Checks of values and targets that many knobs share.

use super::error::KnobError;
use crate::host::Host;
use crate::tune::value::{KnobTarget, Scope, Value, ValueError};
use crate::units::CpuSet;

/// All targets of a scope on this host, in order; empty for scopes whose targets have names.
pub(super) fn targets_of(scope: Scope, host: &Host) -> Vec<KnobTarget> {
    match scope {
        Scope::Host => vec![KnobTarget::Host],
        Scope::Cpu => host.topology.online().iter().map(KnobTarget::Cpu).collect(),
        Scope::Node => host.topology.nodes().into_keys().map(KnobTarget::Node).collect(),
        Scope::Irq => host.irqs.iter().map(|irq| KnobTarget::Irq(*irq)).collect(),
        Scope::Nic => host.nics.iter().map(|nic| KnobTarget::Nic(nic.name.clone())).collect(),
        Scope::Each(_) | Scope::Named => Vec::new(),
    }
}

/// The name of the network interface of a target.
pub(super) fn nic_name(target: &KnobTarget) -> Result<&str, KnobError> {
    match target {
        KnobTarget::Nic(nic) => Ok(nic),
        other => Err(KnobError::WrongTarget { target: other.clone() }),
    }
}

/// Checks that a value contains only CPUs that the host has, and returns it.
pub(super) fn check_cpus<'a>(host: &Host, value: &'a Value) -> Result<&'a Value, KnobError> {
    let Value::Cpus(cpus) = value else { return Ok(value) };
    let known = host.topology.has(cpus);
    known.map(|()| value).map_err(|reason| KnobError::Impossible { value: value.clone(), reason })
}

/// Removes the offline CPUs from a value: the kernel returns only the online ones from the affinity of a thread.
pub(super) fn online_cpus(host: &Host, value: &Value) -> Result<Value, KnobError> {
    let Value::Cpus(cpus) = check_cpus(host, value)? else { return Ok(value.clone()) };
    let online = host.topology.online();
    let usable: CpuSet = cpus.iter().filter(|cpu| online.contains(*cpu)).collect();
    if usable.is_empty() {
        return Err(KnobError::Impossible { value: value.clone(), reason: "none of these CPUs is online".to_owned() });
    }
    Ok(Value::Cpus(usable))
}

/// Checks the syntax of a text value.
pub(super) fn check_text(value: &Value, expected: &str, is_valid: impl FnOnce(&str) -> bool) -> Result<(), ValueError> {
    match value {
        Value::Text(text) if !is_valid(text) => Err(ValueError { given: text.clone(), expected: expected.to_owned() }),
        _ => Ok(()),
    }
}
