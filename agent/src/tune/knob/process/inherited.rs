//! Scheduling policies that were granted to processes, and the processes and threads that inherited them. Children and new
//! threads inherit the policy of a process, and a process can lower its policy and keep a part of the privilege.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::host::{Host, Root};
use crate::tune::knob::error::KnobError;
use crate::tune::knob::matched_process::MatchedProcess;
use crate::tune::knob::process::identity::uids;
use crate::tune::knob::threads::{self, Scheduling, Thread};
use crate::tune::value::{Policy, Value};
use crate::units::{Pid, Tid};

/// The maximum number of passes over all processes. If a process starts children faster than they are reset, the children that
/// keep the policy are reported.
const PASSES: usize = 32;
/// The number of consecutive passes that must find nothing: during a pass, a process may start a child with the policy and
/// exit.
const CLEAN_PASSES: usize = 2;
/// The maximum number of threads in a message.
const SHOWN: usize = 8;
/// `CAP_SYS_NICE`, include/uapi/linux/capability.h.
const CAP_SYS_NICE: u32 = 23;

/// A privileged policy that a transaction granted to threads.
pub(super) struct Grant<'a> {
    /// The original policy of each thread.
    before: &'a BTreeMap<String, Value>,
    desired: Policy,
    processes: &'a [MatchedProcess],
}

/// A thread that can only have inherited its policy, and the replacement for the policy.
struct Inheritor {
    thread: Thread,
    replacement: Value,
}

/// The scheduling policies that a process may choose itself.
struct Rights {
    users: BTreeSet<u32>,
    /// Whether the process has CAP_SYS_NICE in the initial user namespace.
    has_sys_nice: bool,
    /// The hard limits RLIMIT_RTPRIO and RLIMIT_NICE.
    real_time: u64,
    nice: u64,
    /// Whether the process is in another user namespace, where its user may have many user IDs.
    is_elsewhere: bool,
}

fn policy(value: &Value) -> Option<Policy> {
    match value {
        Value::Text(text) => text.parse().ok(),
        _ => None,
    }
}

/// Whether a thread with the original policy `before` has a privilege that it was granted with `desired`. If `before` was
/// privileged too, a privilege above the granted one must have been set by someone else who had permission.
pub(super) fn is_granted(current: &Value, before: &Value, desired: &Value) -> bool {
    let (Some(current), Some(before), Some(desired)) = (policy(current), policy(before), policy(desired)) else {
        return false;
    };
    desired.exceeds(before) && current.exceeds(before) && (!before.is_privileged() || !current.exceeds(desired))
}

impl<'a> Grant<'a> {
    /// The grant; `None` if no privilege was granted, because any thread may choose `desired` itself.
    pub(super) fn of(before: &'a Value, desired: &Value, processes: &'a [MatchedProcess]) -> Option<Self> {
        let (Value::PerPart(before), Some(desired)) = (before, policy(desired)) else { return None };
        desired.is_privileged().then_some(Self { before, desired, processes })
    }

    /// Revokes the policy from everything that inherited it. Returns a message that names the threads that still have it.
    pub(super) fn revoke(&self, host: &Host) -> Result<Option<String>, KnobError> {
        let (mut clean, mut error) = (0, None);
        let mut inheritors = Vec::new();
        for _ in 0..PASSES {
            inheritors = self.inheritors(host)?;
            if inheritors.is_empty() {
                clean += 1;
                if clean == CLEAN_PASSES {
                    return Ok(None);
                }
                continue;
            }
            clean = 0;
            let replaced = inheritors.iter().map(|one| threads::set(host, &one.thread, &Scheduling, &one.replacement));
            let refused: Vec<KnobError> = replaced.filter_map(Result::err).collect();
            error = refused.first().map(ToString::to_string);
            if refused.len() == inheritors.len() {
                break;
            }
        }
        let named: Vec<String> = inheritors.iter().take(SHOWN).map(|one| one.thread.to_string()).collect();
        let more = match inheritors.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let reason = error.unwrap_or_else(|| "new threads start as fast as they are reset".to_owned());
        Ok(Some(format!("{}{more} inherited {} and may still have it: {reason}", named.join(", "), self.desired)))
    }

    /// The threads that have the policy, but were not granted it directly.
    fn inheritors(&self, host: &Host) -> Result<Vec<Inheritor>, KnobError> {
        let listed = threads::processes(&host.root)?.threads;
        let mut family = self.family(&listed, self.roots(&listed));
        let orphans: Vec<(Thread, Value)> = listed
            .iter()
            .filter(|process| !family.contains_key(&process.tid))
            .filter_map(|process| {
                let is_orphan = self.is_orphan(host, process);
                is_orphan.then(|| (process.clone(), self.lowest()))
            })
            .collect();
        if !orphans.is_empty() {
            family.extend(self.family(&listed, orphans));
        }
        let mut inheritors = Vec::new();
        for (tid, replacement) in family {
            for (thread, current) in self.threads_with_grant(host, Pid(tid.0))? {
                if policy(&replacement).is_some_and(|replacement| current.exceeds(replacement)) {
                    inheritors.push(Inheritor { thread, replacement: replacement.clone() });
                }
            }
        }
        Ok(inheritors)
    }

    /// The threads of a process that have the policy, or a policy that a thread can derive from it without a privilege.
    fn threads_with_grant(&self, host: &Host, pid: Pid) -> Result<Vec<(Thread, Policy)>, KnobError> {
        let mut threads = Vec::new();
        for thread in threads::threads_of(&host.root, pid)?.threads {
            if thread.is_zombie() || self.before.contains_key(&thread.part()) {
                continue;
            }
            let current = threads::get(host, &thread, &Scheduling)?.as_ref().and_then(policy);
            if let Some(current) = current.filter(|current| current.is_reachable_from(self.desired)) {
                threads.push((thread, current));
            }
        }
        Ok(threads)
    }

    /// The processes that were granted the policy, each with the original policy of its main thread.
    fn roots(&self, listed: &[Thread]) -> Vec<(Thread, Value)> {
        let is_matched = |process: &Thread| {
            self.processes.iter().any(|known| (known.pid.0, known.start) == (process.tid.0, process.start))
        };
        let roots = listed.iter().filter_map(|process| match self.before.get(&process.part()) {
            Some(former) => Some((process.clone(), former.clone())),
            None => is_matched(process).then(|| (process.clone(), self.lowest())),
        });
        roots.collect()
    }

    /// These processes and all their descendants, with the replacements for the policy.
    fn family(&self, listed: &[Thread], roots: Vec<(Thread, Value)>) -> BTreeMap<Tid, Value> {
        let mut children: BTreeMap<Tid, Vec<&Thread>> = BTreeMap::new();
        for process in listed {
            children.entry(process.parent).or_default().push(process);
        }
        let mut family = BTreeMap::new();
        let mut next: Vec<(Tid, Value)> = roots.into_iter().map(|(process, former)| (process.tid, former)).collect();
        while let Some((tid, former)) = next.pop() {
            if family.insert(tid, former.clone()).is_some() {
                continue;
            }
            let own = |child: &Thread| self.before.get(&child.part()).unwrap_or(&former).clone();
            next.extend(children.get(&tid).into_iter().flatten().map(|child| (child.tid, own(child))));
        }
        family
    }

    /// The lowest original policy of all threads: the replacement for a process whose ancestor is unknown.
    fn lowest(&self) -> Value {
        let known = self.before.values().filter_map(|value| Some((policy(value)?, value)));
        let lowest = known.reduce(|lowest, other| if lowest.0.exceeds(other.0) { other } else { lowest });
        lowest.map_or_else(|| Value::Text("other:0".to_owned()), |(_, value)| value.clone())
    }

    /// Whether a process with another parent can only have inherited the policy from a process that was granted it: it started
    /// later, has the same user, and may not choose the policy itself. Processes of root are excluded, because they may choose
    /// any policy.
    fn is_orphan(&self, host: &Host, process: &Thread) -> bool {
        let Some(first) = self.processes.iter().map(|process| process.start).min() else { return false };
        if process.start < first || process.is_zombie() || process.is_kernel_thread() {
            return false;
        }
        let Ok(threads) = self.threads_with_grant(host, Pid(process.tid.0)) else { return false };
        if threads.is_empty() {
            return false;
        }
        let Ok(rights) = Rights::read(&host.root, process) else { return false };
        let users: BTreeSet<u32> =
            self.processes.iter().flat_map(MatchedProcess::users).filter(|user| *user != 0).collect();
        let is_related = !users.is_empty() && (rights.is_elsewhere || !rights.users.is_disjoint(&users));
        is_related && threads.iter().any(|(_, policy)| !rights.may_choose(*policy))
    }
}

impl Rights {
    fn read(root: &Root, process: &Thread) -> io::Result<Self> {
        let directory = format!("/proc/{}", process.tid);
        let status = root.read_bytes(&format!("{directory}/status"))?;
        let (real, effective) = uids(&status).ok_or_else(|| io::Error::other("its status has no user IDs"))?;
        let line = |text: &[u8], name: &str| {
            let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(name.as_bytes()))?;
            Some(String::from_utf8_lossy(line).into_owned())
        };
        let capabilities = line(&status, "CapEff:").and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
        let namespace = |of: &str| root.read_link(&format!("{of}/ns/user")).ok();
        let (its, own) = (namespace(&directory), namespace("/proc/self"));
        let is_elsewhere = its.is_some() && own.is_some() && its != own;
        // If a tree has no limits file, all limits are 0.
        let limits = root.read_bytes(&format!("{directory}/limits")).unwrap_or_default();
        // The columns are the name, the soft limit and the hard limit. A process may raise its soft limits.
        let hard = |name: &str| match line(&limits, name)?.split_ascii_whitespace().nth(1)? {
            "unlimited" => Some(u64::MAX),
            number => number.parse().ok(),
        };
        Ok(Self {
            users: [real, effective].into(),
            // Capabilities in another user namespace do not count (capable, kernel/capability.c).
            has_sys_nice: !is_elsewhere && capabilities.unwrap_or_default() >> CAP_SYS_NICE & 1 == 1,
            real_time: hard("Max realtime priority").unwrap_or_default(),
            nice: hard("Max nice priority").unwrap_or_default(),
            is_elsewhere,
        })
    }

    fn may_choose(&self, policy: Policy) -> bool {
        self.has_sys_nice || policy.is_within_limits(self.real_time, self.nice)
    }
}
