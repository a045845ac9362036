//! How a thread is scheduled, in words.

use std::fmt;
use std::io;
use std::str::FromStr;

use crate::sys::sched::{self, SchedAttr};
use crate::units::Tid;

/// A scheduling policy with its priority: `fifo:50`, `rr:10`, `other:-5` and `batch:0` with a nice value,
/// `deadline:200000/1000000/1000000` with runtime, deadline and period in nanoseconds. `+reset-on-fork` behind it for children
/// that are scheduled as others are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    class: Class,
    reset_on_fork: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// A policy with a nice value.
    Fair(Fair, i32),
    /// A policy with a priority from 1 to 99.
    RealTime(RealTime, u32),
    Deadline {
        runtime: u64,
        deadline: u64,
        period: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fair {
    Other,
    Batch,
    Idle,
    /// By a BPF scheduler, from 6.12 on.
    Ext,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RealTime {
    Fifo,
    RoundRobin,
}

/// Names and numbers of include/uapi/linux/sched.h.
const FAIR: [(&str, u32, Fair); 4] =
    [("other", 0, Fair::Other), ("batch", 3, Fair::Batch), ("idle", 5, Fair::Idle), ("ext", 7, Fair::Ext)];
const REAL_TIME: [(&str, u32, RealTime); 2] = [("fifo", 1, RealTime::Fifo), ("rr", 2, RealTime::RoundRobin)];
const SCHED_DEADLINE: u32 = 6;
const SCHED_FLAG_RESET_ON_FORK: u64 = 1;
const RESET: &str = "+reset-on-fork";

/// A text that is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no scheduling policy: write fifo:50, rr:10, other:0, batch:0, idle, or deadline:RUNTIME/DEADLINE/PERIOD in ns"
)]
pub struct PolicyError(String);

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let wrong = || PolicyError(text.to_owned());
        let (rest, reset_on_fork) = match text.strip_suffix(RESET) {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (name, value) = rest.split_once(':').unwrap_or((rest, ""));
        let fair = FAIR.iter().find(|(known, ..)| *known == name);
        let real_time = REAL_TIME.iter().find(|(known, ..)| *known == name);
        let class = match (fair, real_time) {
            (Some((_, _, fair)), _) if value.is_empty() => Class::Fair(*fair, 0),
            (Some((_, _, fair)), _) => {
                Class::Fair(*fair, value.parse().ok().filter(|nice| (-20..=19).contains(nice)).ok_or_else(wrong)?)
            }
            (_, Some((_, _, policy))) => Class::RealTime(
                *policy,
                value.parse().ok().filter(|priority| (1..=99).contains(priority)).ok_or_else(wrong)?,
            ),
            _ if name == "deadline" => {
                let times = value.split('/').map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>();
                let &[runtime, deadline, period] = times.as_deref().unwrap_or_default() else { return Err(wrong()) };
                Class::Deadline { runtime, deadline, period }
            }
            _ => return Err(wrong()),
        };
        Ok(Self { class, reset_on_fork })
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class {
            Class::Fair(policy, nice) => {
                let name = FAIR.iter().find(|(.., known)| *known == policy).map_or("", |(name, ..)| name);
                write!(f, "{name}:{nice}")?;
            }
            Class::RealTime(policy, priority) => {
                let name = REAL_TIME.iter().find(|(.., known)| *known == policy).map_or("", |(name, ..)| name);
                write!(f, "{name}:{priority}")?;
            }
            Class::Deadline { runtime, deadline, period } => write!(f, "deadline:{runtime}/{deadline}/{period}")?,
        }
        f.write_str(if self.reset_on_fork { RESET } else { "" })
    }
}

impl Policy {
    /// That of a thread.
    pub(crate) fn of(tid: Tid) -> io::Result<Self> {
        let attr = sched::attributes(tid)?;
        let fair = FAIR.iter().find(|(_, number, _)| *number == attr.policy);
        let real_time = REAL_TIME.iter().find(|(_, number, _)| *number == attr.policy);
        let class = match (fair, real_time) {
            (Some((.., policy)), _) => Class::Fair(*policy, attr.nice),
            (_, Some((.., policy))) => Class::RealTime(*policy, attr.priority),
            _ if attr.policy == SCHED_DEADLINE => {
                Class::Deadline { runtime: attr.runtime, deadline: attr.deadline, period: attr.period }
            }
            _ => return Err(io::Error::other(format!("it has the unknown scheduling policy {}", attr.policy))),
        };
        Ok(Self { class, reset_on_fork: attr.flags & SCHED_FLAG_RESET_ON_FORK != 0 })
    }

    /// Schedules a thread so; the caller for thread 0.
    pub(crate) fn set(self, tid: Tid) -> io::Result<()> {
        let flags = if self.reset_on_fork { SCHED_FLAG_RESET_ON_FORK } else { 0 };
        let number = |known: Option<u32>| known.unwrap_or_default();
        sched::set_attributes(
            tid,
            match self.class {
                Class::Fair(policy, nice) => SchedAttr {
                    policy: number(FAIR.iter().find(|(.., known)| *known == policy).map(|(_, number, _)| *number)),
                    nice,
                    flags,
                    ..SchedAttr::default()
                },
                Class::RealTime(policy, priority) => SchedAttr {
                    policy: number(REAL_TIME.iter().find(|(.., known)| *known == policy).map(|(_, number, _)| *number)),
                    priority,
                    flags,
                    ..SchedAttr::default()
                },
                Class::Deadline { runtime, deadline, period } => {
                    SchedAttr { policy: SCHED_DEADLINE, runtime, deadline, period, flags, ..SchedAttr::default() }
                }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_reads_back_as_it_was_written() {
        for text in ["fifo:50", "rr:1", "other:-5", "batch:19", "idle:0", "deadline:1/2/3", "fifo:99+reset-on-fork"] {
            assert_eq!(text.parse::<Policy>().map(|policy| policy.to_string()).as_deref(), Ok(text));
        }
        for wrong in ["", "fifo", "fifo:0", "fifo:100", "other:20", "deadline:1/2", "realtime:1"] {
            assert!(wrong.parse::<Policy>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_kernel_gives_a_policy_back() {
        let batch: Policy = "batch:4".parse().expect("a policy");
        batch.set(Tid(0)).expect("this thread's");
        assert_eq!(Policy::of(Tid(0)).expect("this thread's"), batch);
    }
}
