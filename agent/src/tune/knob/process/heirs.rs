//! Scheduling that was granted to processes, and what has inherited it: a process hands its policy on to its children and new threads,
//! and may lower it by itself and keep the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::identity::uids;
use crate::host::{Host, Root};
use crate::tune::knob::KnobError;
use crate::tune::knob::threads::{self, Scheduling, Thread};
use crate::tune::{MatchedProcess, Policy, Value};
use crate::units::{Pid, Tid};

/// So often all processes are looked through. Whoever starts children faster than that keeps the policy, and is named.
const PASSES: usize = 32;
/// So many passes in a row find nobody before it is over: a process may hand its policy on and end while one goes on.
const CLEAN: usize = 2;
/// So many threads are named.
const SHOWN: usize = 8;
/// `CAP_SYS_NICE`, include/uapi/linux/capability.h.
const CAP_SYS_NICE: u32 = 23;

/// A privileged policy that a transaction has given to threads.
pub(super) struct Grant<'a> {
    /// What each thread had.
    before: &'a BTreeMap<String, Value>,
    wanted: Policy,
    processes: &'a [MatchedProcess],
}

/// A thread that has what it can only have inherited, and what it is to have.
struct Holder {
    thread: Thread,
    former: Value,
}

/// What a process may take by itself.
struct Means {
    users: BTreeSet<u32>,
    is_capable: bool,
    real_time: u64,
    nice: u64,
    /// Whether it is in another user namespace, where its user may have many numbers.
    is_elsewhere: bool,
}

fn policy(value: &Value) -> Option<Policy> {
    match value {
        Value::Text(text) => text.parse().ok(),
        _ => None,
    }
}

/// Whether a thread that had `before` has a privilege that it was granted with `wanted`. Where it had one before, what is more than was
/// granted is of somebody who may grant it.
pub(super) fn is_granted(now: &Value, before: &Value, wanted: &Value) -> bool {
    let (Some(now), Some(before), Some(wanted)) = (policy(now), policy(before), policy(wanted)) else { return false };
    wanted.exceeds(before) && now.exceeds(before) && (!before.is_privileged() || !now.exceeds(wanted))
}

impl<'a> Grant<'a> {
    /// `None` where nothing was granted: any thread could have taken `wanted` by itself.
    pub(super) fn of(before: &'a Value, wanted: &Value, processes: &'a [MatchedProcess]) -> Option<Self> {
        let (Value::Each(before), Some(wanted)) = (before, policy(wanted)) else { return None };
        wanted.is_privileged().then_some(Self { before, wanted, processes })
    }

    /// Takes it from everybody who has inherited it. Who has it still, in words.
    pub(super) fn revoke(&self, host: &Host) -> Result<Option<String>, KnobError> {
        let (mut clean, mut why) = (0, None);
        let mut holders = Vec::new();
        for _ in 0..PASSES {
            holders = self.holders(host)?;
            if holders.is_empty() {
                clean += 1;
                if clean == CLEAN {
                    return Ok(None);
                }
                continue;
            }
            clean = 0;
            let put_back = |holder: &Holder| threads::set(host, &holder.thread, &Scheduling, &holder.former).err();
            let refused: Vec<KnobError> = holders.iter().filter_map(put_back).collect();
            why = refused.first().map(ToString::to_string);
            if refused.len() == holders.len() {
                break;
            }
        }
        let named: Vec<String> = holders.iter().take(SHOWN).map(|holder| holder.thread.to_string()).collect();
        let more = match holders.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let why = why.unwrap_or_else(|| "new ones begin as fast as they are put back".to_owned());
        Ok(Some(format!("{}{more} inherited {} and may have it still: {why}", named.join(", "), self.wanted)))
    }

    /// The threads that have it and were not given it themselves.
    fn holders(&self, host: &Host) -> Result<Vec<Holder>, KnobError> {
        let listed = threads::processes(&host.root)?.threads;
        let mut family = self.family(&listed, self.roots(&listed));
        let orphans: Vec<(Thread, Value)> = listed
            .iter()
            .filter(|process| !family.contains_key(&process.tid))
            .filter_map(|process| {
                let is_orphan = self.is_orphan(host, process);
                is_orphan.then(|| (process.clone(), self.least()))
            })
            .collect();
        if !orphans.is_empty() {
            family.extend(self.family(&listed, orphans));
        }
        let mut holders = Vec::new();
        for (tid, former) in family {
            for (thread, now) in self.holding(host, Pid(tid.0))? {
                if policy(&former).is_some_and(|former| now.exceeds(former)) {
                    holders.push(Holder { thread, former: former.clone() });
                }
            }
        }
        Ok(holders)
    }

    /// The threads of a process that have it, or what they have made of it.
    fn holding(&self, host: &Host, pid: Pid) -> Result<Vec<(Thread, Policy)>, KnobError> {
        let mut holding = Vec::new();
        for thread in threads::threads_of(&host.root, pid)?.threads {
            if thread.is_zombie() || self.before.contains_key(&thread.part()) {
                continue;
            }
            let now = threads::get(host, &thread, &Scheduling)?.as_ref().and_then(policy);
            if let Some(now) = now.filter(|now| now.is_left_of(self.wanted)) {
                holding.push((thread, now));
            }
        }
        Ok(holding)
    }

    /// The processes that were given it, each with what its first thread had.
    fn roots(&self, listed: &[Thread]) -> Vec<(Thread, Value)> {
        let is_matched = |process: &Thread| {
            self.processes.iter().any(|known| (known.pid.0, known.start) == (process.tid.0, process.start))
        };
        let roots = listed.iter().filter_map(|process| match self.before.get(&process.part()) {
            Some(former) => Some((process.clone(), former.clone())),
            None => is_matched(process).then(|| (process.clone(), self.least())),
        });
        roots.collect()
    }

    /// These and all that descend from them, with what they are to have.
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

    /// The least that any of the threads had: what a process is to have of which it is not known from whom it has inherited.
    fn least(&self) -> Value {
        let known = self.before.values().filter_map(|value| Some((policy(value)?, value)));
        let least = known.reduce(|least, other| if least.0.exceeds(other.0) { other } else { least });
        least.map_or_else(|| Value::Text("other:0".to_owned()), |(_, value)| value.clone())
    }

    /// Whether a process that has another parent by now has it and can have it from one that was given it only: it began after those,
    /// is of the same user, and may not take it by itself. Nothing of root's, which may.
    fn is_orphan(&self, host: &Host, process: &Thread) -> bool {
        let Some(first) = self.processes.iter().map(|process| process.start).min() else { return false };
        if process.start < first || process.is_zombie() || process.is_kernel_thread() {
            return false;
        }
        let Ok(holding) = self.holding(host, Pid(process.tid.0)) else { return false };
        if holding.is_empty() {
            return false;
        }
        let Ok(means) = Means::read(&host.root, process) else { return false };
        let users: BTreeSet<u32> =
            self.processes.iter().flat_map(MatchedProcess::users).filter(|user| *user != 0).collect();
        let is_akin = !users.is_empty() && (means.is_elsewhere || !means.users.is_disjoint(&users));
        is_akin && holding.iter().any(|(_, policy)| !means.may_take(*policy))
    }
}

impl Means {
    fn read(root: &Root, process: &Thread) -> io::Result<Self> {
        let directory = format!("/proc/{}", process.tid);
        let status = root.read_bytes(&format!("{directory}/status"))?;
        let (real, effective) = uids(&status).ok_or_else(|| io::Error::other("its status has no users"))?;
        let line = |text: &[u8], name: &str| {
            let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(name.as_bytes()))?;
            Some(String::from_utf8_lossy(line).into_owned())
        };
        let capabilities = line(&status, "CapEff:").and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
        let namespace = |of: &str| root.read_link(&format!("{of}/ns/user")).ok();
        let (its, own) = (namespace(&directory), namespace("/proc/self"));
        let is_elsewhere = its.is_some() && own.is_some() && its != own;
        // A tree may have no limits: then nobody has any.
        let limits = root.read_bytes(&format!("{directory}/limits")).unwrap_or_default();
        // The name, the soft and the hard limit: a process may raise the first to the second.
        let hard = |name: &str| match line(&limits, name)?.split_ascii_whitespace().nth(1)? {
            "unlimited" => Some(u64::MAX),
            number => number.parse().ok(),
        };
        Ok(Self {
            users: [real, effective].into(),
            // Of another user namespace they do not count (capable, kernel/capability.c).
            is_capable: !is_elsewhere && capabilities.unwrap_or_default() >> CAP_SYS_NICE & 1 == 1,
            real_time: hard("Max realtime priority").unwrap_or_default(),
            nice: hard("Max nice priority").unwrap_or_default(),
            is_elsewhere,
        })
    }

    fn may_take(&self, policy: Policy) -> bool {
        self.is_capable || policy.is_within(self.real_time, self.nice)
    }
}
