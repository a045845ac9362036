//! CPUs that come online during a capture.
//!
//! The kernel detaches the perf events of a CPU that goes offline, and does not attach them again when it comes back
//! (`perf_event_exit_cpu_context`, kernel/events/core.c).

use std::fmt::Display;
use std::io;

use crate::bpf::ProbeError;
use crate::privileges;
use crate::symbolize::MappingEventsError;
use crate::units::{CpuId, CpuSet};

/// Watches which CPUs are online.
#[derive(Debug)]
pub(super) struct OnlineCpus {
    online: CpuSet,
    /// The CPUs that were offline for a part of the capture.
    changed: CpuSet,
}

impl OnlineCpus {
    /// With the CPUs that are online at the start.
    pub(super) fn new(online: CpuSet) -> Self {
        Self { online, changed: CpuSet::default() }
    }

    /// The CPUs that came online since the last call, by the CPUs that are online now.
    pub(super) fn update(&mut self, online: CpuSet) -> Vec<CpuId> {
        if online == self.online {
            return Vec::new();
        }
        let new = online.difference(&self.online);
        self.changed = self.changed.union(&new).union(&self.online.difference(&online));
        self.online = online;
        new.iter().collect()
    }

    /// A remark on the CPUs that were offline for a part of the capture.
    pub(super) fn remark(&self) -> Option<String> {
        (!self.changed.is_empty())
            .then(|| format!("CPUs that were offline for a part of the capture: {}", self.changed))
    }
}

/// A remark on CPUs that may come online, if the process that would open their perf events could not be started.
pub(super) fn no_opener(error: &io::Error) -> String {
    format!(
        "CPUs that come online will not be captured: could not start the process that opens perf events: {error}\n\
         hint: to capture them without this process, set kernel.perf_event_paranoid to 2"
    )
}

/// A remark on a CPU that came online and is not captured.
pub(super) fn not_captured(cpu: CpuId, error: &ProbeError) -> String {
    let why = match error {
        ProbeError::Permission(_) => not_permitted(error),
        _ => error.to_string(),
    };
    format!("CPU {cpu} came online and is not captured: {why}")
}

/// A remark on a CPU that came online and whose new mappings are not reported.
pub(super) fn without_mappings(cpu: CpuId, error: &MappingEventsError) -> String {
    let why = match error {
        MappingEventsError::Permission { .. } => not_permitted(error),
        _ => error.to_string(),
    };
    format!("functions of processes that start on CPU {cpu} may have no names: {why}")
}

/// Why a perf event was not permitted, although those of other CPUs were.
fn not_permitted(error: &dyn Display) -> String {
    if privileges::perf_events_require_sys_admin() {
        return "with kernel.perf_event_paranoid above 2, perf events require CAP_SYS_ADMIN, which quell has dropped\n\
                hint: set kernel.perf_event_paranoid before the capture, and do not raise it during the capture"
            .to_owned();
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_that_comes_back_is_new_each_time() {
        let cpus = |list: &str| list.parse::<CpuSet>().expect("a CPU list");
        let mut online = OnlineCpus::new(cpus("0-3"));
        assert_eq!(online.update(cpus("0-3")), []);
        assert_eq!(online.remark(), None);
        assert_eq!(online.update(cpus("0,2")), []);
        assert_eq!(online.update(cpus("0-2,7")), [CpuId(1), CpuId(7)]);
        assert_eq!(online.update(cpus("0,2,7")), []);
        assert_eq!(online.update(cpus("0-2,7")), [CpuId(1)]);
        assert_eq!(online.remark().as_deref(), Some("CPUs that were offline for a part of the capture: 1,3,7"));
    }
}
