//! The frequency limits that switching boost would lose, and where they are while it is switched.

use std::io;

use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::tune::knob::KnobError;
use crate::tune::knob::file::{read, write};

const LEAST_SHARE: &str = "/sys/devices/system/cpu/intel_pstate/min_perf_pct";
const POLICIES: &str = "/sys/devices/system/cpu/cpufreq";

/// From the host's root: gone with the boot, as the limits are.
const KEPT: &str = "/run/quell/boost-limits";

/// The limits as they were before boost was switched, kept until they are back: whoever switches it may be killed in between.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    /// What the switch said while nothing was lost; `None` where something was lost already.
    whole_at: Option<String>,
    /// Files and their texts.
    limits: Vec<(String, String)>,
}

impl Kept {
    /// Keeps the limits of a host whose switch says `now`, or those that somebody kept who was cut short.
    pub(super) fn before_switching(host: &Host, now: &str) -> Result<Self, KnobError> {
        let kept = match Self::owed(host, now)? {
            Some(owed) => Self { whole_at: None, ..owed },
            None => Self { whole_at: Some(now.to_owned()), limits: limits(host)? },
        };
        let path = host.root.display_path(KEPT);
        kept.save(host).map_err(|source| KnobError::from_write(path, "the frequency limits".to_owned(), source))?;
        Ok(kept)
    }

    /// What was kept and has not been put back, where the switch says `now`.
    pub(super) fn owed(host: &Host, now: &str) -> Result<Option<Self>, KnobError> {
        let path = host.root.display_path(KEPT);
        let text = match host.root.read_bytes(KEPT) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|source| KnobError::Read { path: path.clone(), source })?,
        };
        let kept: Self = serde_json::from_slice(&text).map_err(|error| KnobError::Understand {
            path,
            why: format!("{}; remove it", crate::excerpt::message(error.to_string())),
        })?;
        // As long as the switch was not touched, the limits are what they are.
        Ok(Some(kept).filter(|kept| kept.whole_at.as_deref() != Some(now)))
    }

    /// Whole or not at all.
    fn save(&self, host: &Host) -> io::Result<()> {
        host.root.write_state(KEPT, &serde_json::to_vec(self)?)
    }

    /// Where boost could not be switched: nothing was lost by that.
    pub(super) fn withdraw(&self, host: &Host) {
        if self.whole_at.is_some() {
            // As good as gone, for as long as the switch says the same.
            let _ = host.root.remove_file(KEPT);
        }
    }

    /// Puts limits back that have become others, and is done.
    pub(super) fn put_back(&self, host: &Host) -> Result<(), KnobError> {
        for (file, limit) in &self.limits {
            if read(host, file, file)?.is_ok_and(|now| now != *limit) {
                write(host, file, limit)?;
            }
        }
        let path = host.root.display_path(KEPT);
        host.root.remove_file(KEPT).map_err(|source| KnobError::from_write(path, String::new(), source))
    }
}

/// The least share under intel_pstate, and the frequency limits below the hardware's own: file and text. None of policies whose
/// CPUs are offline.
fn limits(host: &Host) -> Result<Vec<(String, String)>, KnobError> {
    let policies = host.root.list(POLICIES);
    let policies = policies.map_err(|source| KnobError::Read { path: host.root.display_path(POLICIES), source })?;
    let mut limits = Vec::new();
    if let Ok(share) = read(host, LEAST_SHARE, LEAST_SHARE)? {
        limits.push((LEAST_SHARE.to_owned(), share));
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
    fn only_limits_that_somebody_made_are_kept() {
        let (_folder, host) = fake::host(&[
            (&policy(0, "scaling_max_freq"), "2000\n"),
            (&policy(0, "cpuinfo_max_freq"), "3000\n"),
            (&policy(1, "scaling_max_freq"), "3000\n"),
            (&policy(1, "cpuinfo_max_freq"), "3000\n"),
        ]);
        assert_eq!(limits(&host).expect("read"), [(policy(0, "scaling_max_freq"), "2000".to_owned())]);
    }

    #[test]
    fn the_least_share_stays_as_it_was_though_the_kernel_lowers_it_with_turbo() {
        let (_folder, host) = fake::host(&[(LEAST_SHARE, "100\n")]);
        let kept = Kept::before_switching(&host, "0").expect("kept");
        // As store_no_turbo does.
        host.root.write(LEAST_SHARE, "73\n").expect("write");
        kept.put_back(&host).expect("put back");
        assert_eq!(host.root.read(LEAST_SHARE).expect("read"), "100");
        assert!(!host.root.has(KEPT));
    }

    #[test]
    fn what_was_lost_is_owed_until_it_is_back_however_often_that_is_cut_short() {
        let limit = policy(0, "scaling_max_freq");
        let (_folder, host) = fake::host(&[(&limit, "2000\n"), (&policy(0, "cpuinfo_max_freq"), "3000\n")]);
        let _killed = Kept::before_switching(&host, "1").expect("kept");
        assert!(Kept::owed(&host, "1").expect("read").is_none(), "the switch is as it was: nothing was lost");
        host.root.write(&limit, "1500").expect("another limit, by somebody else");
        let _killed = Kept::before_switching(&host, "1").expect("kept");
        // The switch is 0, and the kernel has set the limit.
        host.root.write(&limit, "2500").expect("write");
        let _killed = Kept::before_switching(&host, "0").expect("kept");
        assert!(
            Kept::owed(&host, "0").expect("read").is_some(),
            "it is still lost, though the switch is not touched yet"
        );
        Kept::before_switching(&host, "1").expect("kept").put_back(&host).expect("put back");
        assert_eq!(host.root.read(&limit).expect("read"), "1500");
        assert!(Kept::owed(&host, "1").expect("read").is_none());
    }
}
