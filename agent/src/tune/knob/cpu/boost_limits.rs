//! The frequency limits that change when boost is switched, and the file that saves them while it is being switched.

use std::io;

use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::value_file::{read, write};

const MIN_SHARE: &str = "/sys/devices/system/cpu/intel_pstate/min_perf_pct";
const POLICIES: &str = "/sys/devices/system/cpu/cpufreq";

/// The path from the root of the host. A reboot removes the file and resets the limits.
const SAVED: &str = "/run/quell/boost-limits";

/// The frequency limits from before boost was switched. They stay in a file until they are restored, in case quell is killed
/// before that.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedLimits {
    /// The content of the boost file when the limits were saved unchanged; `None` if they had been changed before.
    intact_at: Option<String>,
    /// The limit files and their contents.
    limits: Vec<(String, String)>,
}

impl SavedLimits {
    /// Saves the limits before boost is switched. `switch` is the content of the boost file. If an earlier attempt was
    /// interrupted, the limits that it saved are kept.
    pub(super) fn save(host: &Host, switch: &str) -> Result<Self, KnobError> {
        let saved = match Self::pending(host, switch)? {
            Some(pending) => Self { intact_at: None, ..pending },
            None => Self { intact_at: Some(switch.to_owned()), limits: limits(host)? },
        };
        let path = host.root.display_path(SAVED);
        saved.store(host).map_err(|source| KnobError::from_write(path, "the frequency limits".to_owned(), source))?;
        Ok(saved)
    }

    /// The saved limits that still have to be restored. `switch` is the content of the boost file.
    pub(super) fn pending(host: &Host, switch: &str) -> Result<Option<Self>, KnobError> {
        let path = host.root.display_path(SAVED);
        let text = match host.root.read_bytes(SAVED) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|source| KnobError::Read { path: path.clone(), source })?,
        };
        let saved: Self = serde_json::from_slice(&text).map_err(|error| KnobError::Malformed {
            path,
            reason: format!("{}: remove the file", crate::excerpt::message(error.to_string())),
        })?;
        // As long as boost was not switched, the limits are unchanged.
        Ok(Some(saved).filter(|saved| saved.intact_at.as_deref() != Some(switch)))
    }

    /// Writes the file atomically.
    fn store(&self, host: &Host) -> io::Result<()> {
        host.root.write_state(SAVED, &serde_json::to_vec(self)?)
    }

    /// Removes the file if boost could not be switched.
    pub(super) fn discard(&self, host: &Host) {
        if self.intact_at.is_some() {
            // A file that remains has no effect as long as boost is not switched.
            let _ = host.root.remove_file(SAVED);
        }
    }

    /// Restores the limits that have changed, and removes the file.
    pub(super) fn restore(&self, host: &Host) -> Result<(), KnobError> {
        for (file, limit) in &self.limits {
            if read(host, file, file)?.is_ok_and(|current| current != *limit) {
                write(host, file, limit)?;
            }
        }
        let path = host.root.display_path(SAVED);
        host.root.remove_file(SAVED).map_err(|source| KnobError::from_write(path, String::new(), source))
    }
}

/// min_perf_pct of intel_pstate, and the frequency limits that are below the limits of the hardware: files and contents.
/// Policies whose CPUs are all offline have no limits.
fn limits(host: &Host) -> Result<Vec<(String, String)>, KnobError> {
    let policies = host.root.list(POLICIES);
    let policies = policies.map_err(|source| KnobError::Read { path: host.root.display_path(POLICIES), source })?;
    let mut limits = Vec::new();
    if let Ok(share) = read(host, MIN_SHARE, MIN_SHARE)? {
        limits.push((MIN_SHARE.to_owned(), share));
    }
    for policy in policies.into_iter().filter(|name| name.starts_with("policy")) {
        let file = format!("{POLICIES}/{policy}/scaling_max_freq");
        let most = format!("{POLICIES}/{policy}/cpuinfo_max_freq");
        if let (Ok(limit), Ok(most)) = (read(host, &file, &file)?, read(host, &most, &most)?)
            && limit != most
        {
            limits.push((file, limit));
        }
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;

    fn policy(number: u32, file: &str) -> String {
        format!("{POLICIES}/policy{number}/{file}")
    }

    #[test]
    fn only_limits_that_were_set_are_saved() {
        let (_folder, host) = fake::host(&[
            (&policy(0, "scaling_max_freq"), "2000\n"),
            (&policy(0, "cpuinfo_max_freq"), "3000\n"),
            (&policy(1, "scaling_max_freq"), "3000\n"),
            (&policy(1, "cpuinfo_max_freq"), "3000\n"),
        ]);
        assert_eq!(limits(&host).expect("read"), [(policy(0, "scaling_max_freq"), "2000".to_owned())]);
    }

    #[test]
    fn the_minimum_share_is_restored_after_the_kernel_lowered_it_with_turbo() {
        let (_folder, host) = fake::host(&[(MIN_SHARE, "100\n")]);
        let saved = SavedLimits::save(&host, "0").expect("saved");
        // As in store_no_turbo.
        host.root.write(MIN_SHARE, "73\n").expect("write");
        saved.restore(&host).expect("restored");
        assert_eq!(host.root.read(MIN_SHARE).expect("read"), "100");
        assert!(!host.root.has(SAVED));
    }

    #[test]
    fn changed_limits_are_pending_until_they_are_restored_however_often_that_is_interrupted() {
        let limit = policy(0, "scaling_max_freq");
        let (_folder, host) = fake::host(&[(&limit, "2000\n"), (&policy(0, "cpuinfo_max_freq"), "3000\n")]);
        let _killed = SavedLimits::save(&host, "1").expect("saved");
        assert!(
            SavedLimits::pending(&host, "1").expect("read").is_none(),
            "the switch is unchanged, so the limits are intact"
        );
        host.root.write(&limit, "1500").expect("another limit, set externally");
        let _killed = SavedLimits::save(&host, "1").expect("saved");
        // The boost file contains 0 now, and the kernel has changed the limit.
        host.root.write(&limit, "2500").expect("write");
        let _killed = SavedLimits::save(&host, "0").expect("saved");
        assert!(
            SavedLimits::pending(&host, "0").expect("read").is_some(),
            "they are still changed, though the switch was not written yet"
        );
        SavedLimits::save(&host, "1").expect("saved").restore(&host).expect("restored");
        assert_eq!(host.root.read(&limit).expect("read"), "1500");
        assert!(SavedLimits::pending(&host, "1").expect("read").is_none());
    }
}
