//! Scheduling policies as text.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::LazyLock;
use std::thread;

use crate::sys::sched::{self, SchedAttr};
use crate::units::Tid;

/// A scheduling policy (sched(7)): `fifo:50` and `rr:10` with a priority from 1 to 99, `other:-5`, `batch:0` and `idle:0` with a
/// nice value from -20 to 19, `deadline:200000/1000000/1000000` with runtime, deadline and period in nanoseconds. Suffixes:
/// `+reset-on-fork` (children get the default policy), `+slice:3000000` (a custom slice of `other` and `batch` in nanoseconds,
/// Linux 6.12), `+reclaim` and `+overrun` (flags of `deadline`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    class: Class,
    reset_on_fork: bool,
    /// The slice in nanoseconds; `None` for the kernel's default.
    slice: Option<u64>,
    /// `SCHED_FLAG_RECLAIM` and `SCHED_FLAG_DL_OVERRUN`.
    deadline_flags: u64,
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
    /// A thread of a BPF scheduler, Linux 6.12.
    Ext,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RealTime {
    Fifo,
    RoundRobin,
}

/// Names and numbers from include/uapi/linux/sched.h.
const FAIR: [(&str, u32, Fair); 4] =
    [("other", 0, Fair::Other), ("batch", 3, Fair::Batch), ("idle", 5, Fair::Idle), ("ext", 7, Fair::Ext)];
const REAL_TIME: [(&str, u32, RealTime); 2] = [("fifo", 1, RealTime::Fifo), ("rr", 2, RealTime::RoundRobin)];
const SCHED_DEADLINE: u32 = 6;
const SCHED_FLAG_RESET_ON_FORK: u64 = 1;
const RESET: &str = "reset-on-fork";
const SLICE: &str = "slice:";
const DEADLINE_FLAGS: [(&str, u64); 2] = [("reclaim", 2), ("overrun", 4)];

/// A text that is not a scheduling policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is not a scheduling policy: write fifo:50, rr:10, other:0, batch:0, idle, or deadline:RUNTIME/DEADLINE/PERIOD in ns",
    crate::excerpt::quoted(_0)
)]
pub struct PolicyError(String);

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let wrong = || PolicyError(text.to_owned());
        let mut words = text.split('+');
        let rest = words.next().unwrap_or_default();
        let (mut reset_on_fork, mut slice, mut deadline_flags) = (false, None, 0);
        for word in words {
            let flag = DEADLINE_FLAGS.iter().find(|(known, _)| *known == word);
            match (word.strip_prefix(SLICE), flag) {
                _ if word == RESET => reset_on_fork = true,
                (Some(ns), _) => slice = Some(ns.parse().ok().filter(|ns| *ns > 0).ok_or_else(wrong)?),
                (_, Some((_, flag))) => deadline_flags |= flag,
                _ => return Err(wrong()),
            }
        }
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
        // For other policies, the kernel ignores these attributes.
        if slice.is_some() && !has_slice(class) || deadline_flags != 0 && !matches!(class, Class::Deadline { .. }) {
            return Err(wrong());
        }
        Ok(Self { class, reset_on_fork, slice, deadline_flags })
    }
}

/// `__setscheduler_params`, kernel/sched/syscalls.c (857b158dc5e8): `fair_policy` comprises these two policies.
fn has_slice(class: Class) -> bool {
    matches!(class, Class::Fair(Fair::Other | Fair::Batch, _))
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
        if self.reset_on_fork {
            write!(f, "+{RESET}")?;
        }
        if let Some(slice) = self.slice {
            write!(f, "+{SLICE}{slice}")?;
        }
        for (name, _) in DEADLINE_FLAGS.iter().filter(|(_, flag)| self.deadline_flags & flag != 0) {
            write!(f, "+{name}")?;
        }
        Ok(())
    }
}

/// A privilege of a policy that requires `CAP_SYS_NICE` to obtain, but not to keep. Ordered: a greater value is a greater
/// privilege.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Privilege {
    /// No privilege: any thread may choose this policy.
    None,
    /// A negative nice value, as its distance below 0: 1 to 20.
    Nice(u32),
    /// A real-time priority, 1 to 99.
    RealTime(u32),
    /// Precedence over all threads with other policies.
    Deadline,
}

impl Policy {
    fn privilege(self) -> Privilege {
        match self.class {
            Class::Fair(_, nice) if nice < 0 => Privilege::Nice(nice.unsigned_abs()),
            Class::Fair(..) => Privilege::None,
            Class::RealTime(_, priority) => Privilege::RealTime(priority),
            Class::Deadline { .. } => Privilege::Deadline,
        }
    }

    /// Whether a thread requires a privilege to choose this policy.
    pub(crate) fn is_privileged(self) -> bool {
        self.privilege() > Privilege::None
    }

    /// Whether this policy grants a greater privilege than `other`.
    pub(crate) fn exceeds(self, other: Self) -> bool {
        self.privilege() > other.privilege()
    }

    /// Whether a thread that got the policy `granted` still has it, or could have changed it into this one without a privilege:
    /// a thread may lower its priority and raise its nice value, but not change between `fifo` and `rr`
    /// (user_check_sched_setscheduler, kernel/sched/syscalls.c).
    pub(crate) fn is_reachable_from(self, granted: Self) -> bool {
        let is_same_kind = match (self.class, granted.class) {
            (Class::RealTime(this, _), Class::RealTime(other, _)) => this == other,
            (Class::Fair(..), Class::Fair(..)) | (Class::Deadline { .. }, Class::Deadline { .. }) => true,
            _ => false,
        };
        is_same_kind && self.is_privileged() && !self.exceeds(granted)
    }

    /// Whether a thread with these limits may choose this policy itself: `RLIMIT_RTPRIO`, and `RLIMIT_NICE`, which is 20 minus
    /// the nice value (getrlimit(2)).
    pub(crate) fn is_within_limits(self, real_time: u64, nice: u64) -> bool {
        match self.privilege() {
            Privilege::None => true,
            Privilege::Nice(below) => u64::from(20 + below) <= nice,
            Privilege::RealTime(priority) => u64::from(priority) <= real_time,
            Privilege::Deadline => false,
        }
    }

    /// The policy of a thread; thread 0 is the caller.
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
            _ => return Err(io::Error::other(format!("unknown scheduling policy {}", attr.policy))),
        };
        let known = DEADLINE_FLAGS.iter().fold(0, |all, (_, flag)| all | flag);
        Ok(Self {
            class,
            reset_on_fork: attr.flags & SCHED_FLAG_RESET_ON_FORK != 0,
            slice: Some(attr.runtime).filter(|slice| has_slice(class) && is_custom_slice(*slice)),
            deadline_flags: if matches!(class, Class::Deadline { .. }) { attr.flags & known } else { 0 },
        })
    }

    /// Sets the policy of a thread; thread 0 is the caller.
    pub(crate) fn set(self, tid: Tid) -> io::Result<()> {
        let flags = if self.reset_on_fork { SCHED_FLAG_RESET_ON_FORK } else { 0 } | self.deadline_flags;
        let number = |known: Option<u32>| known.unwrap_or_default();
        sched::set_attributes(
            tid,
            match self.class {
                Class::Fair(policy, nice) => SchedAttr {
                    policy: number(FAIR.iter().find(|(.., known)| *known == policy).map(|(_, number, _)| *number)),
                    nice,
                    flags,
                    // 0 selects the kernel's default (__setparam_fair).
                    runtime: self.slice.unwrap_or_default(),
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

/// Whether a slice was set explicitly. Kernels before 6.12 report 0; later kernels report the slice in use, default or not.
fn is_custom_slice(slice: u64) -> bool {
    // Determined only once, because it requires a separate thread.
    static BASE: LazyLock<Option<u64>> = LazyLock::new(|| thread::spawn(|| base_slice().ok()).join().ok().flatten());
    slice != 0 && BASE.is_none_or(|base| !is_default_slice(slice, base))
}

/// Whether a slice is the kernel's default for any number of online CPUs: one to four times the minimum. The factor is one plus
/// the binary logarithm of the number of CPUs, which is limited to 8 (get_update_sysctl_factor, kernel/sched/fair.c). A
/// sleeping thread keeps the default from the time when it last ran.
fn is_default_slice(slice: u64, base: u64) -> bool {
    let factors = 1..=4;
    factors.clone().any(|now| factors.clone().any(|then| slice * now == base * then))
}

/// The kernel's default slice in nanoseconds. Resets the slice of the calling thread.
fn base_slice() -> io::Result<u64> {
    let now = sched::attributes(Tid(0))?;
    // This removes the real-time policy of the calling thread, which exits afterwards.
    sched::set_attributes(Tid(0), SchedAttr { policy: 0, nice: now.nice, ..SchedAttr::default() })?;
    Ok(sched::attributes(Tid(0))?.runtime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_reads_back_as_it_was_written() {
        for text in ["fifo:50", "rr:1", "other:-5", "batch:19", "idle:0", "deadline:1/2/3", "fifo:99+reset-on-fork"]
            .into_iter()
            .chain([
                "other:1+slice:3000000",
                "batch:0+reset-on-fork+slice:100000",
                "deadline:1/2/3+reclaim",
                "deadline:1/2/3+reset-on-fork+reclaim+overrun",
            ])
        {
            assert_eq!(text.parse::<Policy>().map(|policy| policy.to_string()).as_deref(), Ok(text));
        }
        for wrong in ["", "fifo", "fifo:0", "fifo:100", "other:20", "deadline:1/2", "realtime:1"].into_iter().chain([
            "fifo:1+slice:3000000",
            "idle:0+slice:3000000",
            "other:0+slice:0",
            "other:0+reclaim",
            "other:0+",
        ]) {
            assert!(wrong.parse::<Policy>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_policy_derived_from_a_granted_one_is_told_from_one_that_was_never_granted() {
        let policy = |text: &str| text.parse::<Policy>().expect("a policy");
        let is_reachable = |now: &str, granted: &str| policy(now).is_reachable_from(policy(granted));
        for (now, granted) in [
            ("fifo:3", "fifo:3"),
            ("fifo:1+reset-on-fork", "fifo:3"),
            ("other:-9", "other:-10"),
            ("batch:-1", "other:-10"),
        ] {
            assert!(is_reachable(now, granted), "{now} of {granted}");
        }
        for (now, granted) in [
            ("fifo:4", "fifo:3"),
            ("rr:3", "fifo:3"),
            ("other:-11", "other:-10"),
            ("other:0", "fifo:3"),
            ("idle", "other:-1"),
        ] {
            assert!(!is_reachable(now, granted), "{now} of {granted}");
        }
        assert!(policy("fifo:2").exceeds(policy("fifo:1")) && !policy("other:5").exceeds(policy("batch:0")));
        assert!(policy("fifo:2").is_within_limits(2, 0) && !policy("fifo:2").is_within_limits(1, 40));
        assert!(policy("other:-5").is_within_limits(0, 25) && !policy("other:-5").is_within_limits(99, 24));
    }

    /// Sets policies on a separate thread and reads them back, with the slice since 6.12.
    #[test]
    fn the_kernel_gives_a_policy_back() {
        let in_thread = || {
            let set = |text: &str| text.parse::<Policy>().expect("a policy").set(Tid(0));
            let now = || Policy::of(Tid(0)).expect("this thread's").to_string();
            // The expected numbers are from include/uapi/linux/sched.h, and not from the constants of this file.
            let number = || sched::attributes(Tid(0)).expect("the attributes").policy;
            set("batch:4").expect("batch");
            assert_eq!((now().as_str(), number()), ("batch:4", 3));
            set("batch:4+slice:3300000").expect("a slice");
            let knows_slices = sched::attributes(Tid(0)).expect("the attributes").runtime != 0;
            assert_eq!(now(), if knows_slices { "batch:4+slice:3300000" } else { "batch:4" });
            set("batch:5").expect("the kernel's own slice");
            assert_eq!(now(), "batch:5");
            for (text, expected) in
                [("fifo:3", 1), ("rr:2", 2), ("deadline:1000000/2000000/2000000+reclaim+overrun", 6)]
            {
                match set(text) {
                    // As in a container, or if the affinity of the thread is restricted (__sched_setscheduler).
                    Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EBUSY)) => {
                        crate::skip!(&format!("permission to set the policy {text} ({error})"));
                    }
                    set => {
                        set.expect(text);
                        assert_eq!((now().as_str(), number()), (text, expected));
                    }
                }
            }
        };
        thread::spawn(in_thread).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }

    #[test]
    fn the_default_slice_is_not_a_custom_one_for_any_number_of_cpus() {
        // The base is the default with four CPUs: three times 0.7 ms.
        for usual in [700_000, 1_400_000, 2_100_000, 2_800_000] {
            assert!(is_default_slice(usual, 2_100_000), "{usual}");
        }
        assert!(!is_default_slice(3_000_000, 2_100_000));
    }
}
