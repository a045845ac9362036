//! Process rules: they set an attribute of every process that a selector matches, or of each thread of these processes.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;

use super::cgroup_membership::{self, CgroupMembership};
use super::identity::{Executable, Identity};
use super::inherited::{self, Grant};
use super::selector::Selector;
use crate::excerpt;
use crate::host::{Host, Users};
use crate::tune::knob::error::{KnobError, with_user};
use crate::tune::knob::knob::{Knob, Privileges, ProcessRule};
use crate::tune::knob::matched_process::MatchedProcess;
use crate::tune::knob::reading::{Held, Reading, Survey};
use crate::tune::knob::spec::{KnobSpec, Risk, Stage};
use crate::tune::knob::threads::{self, Attribute, Scheduling, Thread, ThreadAffinity, ThreadList};
use crate::tune::knob::value_file::check_writable;
use crate::tune::value::{KnobTarget, Scope, Value, ValueError, ValueKind};
use crate::units::{Pid, Tid};

/// A process rule.
pub(super) struct Rule {
    spec: KnobSpec,
    attribute: &'static dyn Attribute,
    granularity: Granularity,
}

/// The objects that have individual values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Granularity {
    /// Each thread of the matching processes. The values are set by system calls.
    Threads,
    /// Each matching process. The values are set by writing to a cgroup file.
    Processes,
}

pub(super) static CPUS: Rule = Rule {
    spec: spec(
        "process.cpus",
        "The CPUs of every thread of the matching processes. A rule matches by the name of the process (`nginx`, or `redis*` for a \
         prefix), by cgroup (`/system.slice/nginx.service`), by executable and by user, alone or combined: \
         `name=redis*,user=redis`, `exe=/usr/sbin/nginx,cgroup=/system.slice`. A rule that matches processes of several users must \
         name the user or the cgroup. The plan lists the processes, and only those are set: processes that start later are not. \
         CPUs of `isolation.partition` need `process.cgroup` first.",
        "sched_setaffinity(2)",
        ValueKind::Cpus,
        Risk::Medium("a program that pins its own threads is overridden"),
    ),
    attribute: &ThreadAffinity,
    granularity: Granularity::Threads,
};

pub(super) static POLICY: Rule = Rule {
    spec: spec(
        "process.policy",
        "The scheduling policy of every thread of the matching processes, kernel threads included: `fifo:50`, `rr:10`, `other:-5`, \
         `batch:0`, `idle`, or `deadline:RUNTIME/DEADLINE/PERIOD` in nanoseconds. Matching is that of `process.cpus`.",
        "sched(7)",
        ValueKind::Text,
        Risk::High("a real-time thread that never sleeps starves everything else on its CPU, including kernel threads"),
    ),
    attribute: &Scheduling,
    granularity: Granularity::Threads,
};

pub(super) static CGROUP: Rule = Rule {
    spec: spec(
        "process.cgroup",
        "The cgroup of the matching processes: `/quell-isolated` for the CPUs of `isolation.partition`. Matching is that of \
         `process.cpus`.",
        "Documentation/admin-guide/cgroup-v2.rst (Processes)",
        ValueKind::Text,
        Risk::Medium("limits of the old cgroup do not apply in the new one"),
    ),
    attribute: &CgroupMembership,
    granularity: Granularity::Processes,
};

const fn spec(id: &'static str, doc: &'static str, source: &'static str, kind: ValueKind, risk: Risk) -> KnobSpec {
    KnobSpec {
        id,
        doc,
        source,
        kind,
        scope: Scope::Named,
        risk,
        stage: Stage::Placement,
        target_may_end: true,
        ..KnobSpec::RUNTIME
    }
}

/// The processes that a rule matches, and remarks about skipped processes.
#[derive(Default)]
struct Matches {
    processes: Vec<Identity>,
    skipped: Vec<String>,
}

impl Matches {
    fn main_threads(self) -> Vec<Thread> {
        self.processes.into_iter().map(|process| process.thread).collect()
    }
}

fn selector(target: &KnobTarget) -> Result<(&str, Selector), KnobError> {
    let KnobTarget::Name(on) = target else { return Err(KnobError::WrongTarget { target: target.clone() }) };
    let selector = Selector::parse(on).map_err(|_| KnobError::WrongTarget { target: target.clone() })?;
    Ok((on, selector))
}

/// The processes of a list that a selector matches, for all users.
fn matching(host: &Host, selector: &Selector, list: ThreadList) -> Matches {
    let users = Users::of(&host.root);
    let allowed =
        selector.users.as_ref().map(|names| names.iter().filter_map(|name| users.id(name)).collect::<BTreeSet<_>>());
    let mut matches = Matches { processes: Vec::new(), skipped: list.unreadable };
    for process in list.threads {
        if process.is_zombie() || selector.name.as_ref().is_some_and(|name| !name.matches(&process.name)) {
            continue;
        }
        let pid = Pid(process.tid.0);
        let identity = match Identity::read(&host.root, pid) {
            Ok(Some(identity)) => identity,
            Ok(None) => continue,
            Err(error) => {
                matches.skipped.push(format!("process {process} is skipped: could not read /proc/{pid}: {error}"));
                continue;
            }
        };
        let has_name = selector.name.as_ref().is_none_or(|name| name.matches(&identity.thread.name));
        let is_in_cgroup = selector.cgroup.as_ref().is_none_or(|cgroup| identity.is_in(cgroup));
        let has_user = allowed
            .as_ref()
            .is_none_or(|allowed| [identity.real, identity.effective].iter().all(|user| allowed.contains(user)));
        if !(has_name && is_in_cgroup && has_user) {
            continue;
        }
        match (&selector.executable, &identity.executable) {
            (Some(expected), Executable::File(path)) if !expected.matches(path.as_os_str().as_bytes()) => {}
            (Some(_), Executable::None) => {}
            (Some(expected), Executable::Elsewhere(path)) => {
                if expected.matches(path.as_os_str().as_bytes()) {
                    matches.skipped.push(format!(
                        "process {process} is skipped: the file that it executes is not at {}",
                        excerpt::path(path.as_os_str().as_bytes())
                    ));
                }
            }
            (Some(_), Executable::Unknown(error)) => {
                matches.skipped.push(format!("process {process} is skipped: could not read /proc/{pid}/exe: {error}"));
            }
            _ => matches.processes.push(identity),
        }
    }
    matches
}

/// Why a rule matches no process.
fn no_match(host: &Host, selector: &Selector) -> String {
    let users = Users::of(&host.root);
    let mut names = selector.users.iter().flatten();
    match names.find(|name| users.id(name).is_none()) {
        Some(unknown) => format!("there is no user {}", excerpt::quoted(unknown)),
        None => "no running process matches".to_owned(),
    }
}

/// The processes that a rule matches now, and the descendants of those that it matched before.
fn matching_and_descendants(
    host: &Host,
    target: &KnobTarget,
    parts: &BTreeMap<String, Value>,
) -> Result<Vec<Thread>, KnobError> {
    let (_, selector) = selector(target)?;
    let list = threads::processes(&host.root)?;
    let mut others = list.threads.clone();
    let mut family = matching(host, &selector, list).main_threads();
    others.retain(|process| !family.contains(process));
    let mut known: BTreeSet<Tid> = family.iter().map(|process| process.tid).collect();
    loop {
        let is_related = |process: &Thread| parts.contains_key(&process.part()) || known.contains(&process.parent);
        let (related, rest): (Vec<Thread>, Vec<Thread>) = others.into_iter().partition(is_related);
        if related.is_empty() {
            return Ok(family);
        }
        known.extend(related.iter().map(|process| process.tid));
        family.extend(related);
        others = rest;
    }
}

impl Rule {
    /// The processes that the rule matches. They must belong to one user, unless the rule names the user or the cgroup.
    fn permitted(&self, host: &Host, target: &KnobTarget) -> Result<Matches, KnobError> {
        let (on, selector) = selector(target)?;
        let matches = matching(host, &selector, threads::processes(&host.root)?);
        let users: BTreeSet<u32> =
            matches.processes.iter().flat_map(|process| [process.real, process.effective]).collect();
        if users.len() > 1 && !selector.names_owner() {
            let names = Users::of(&host.root);
            let processes = matches.processes.iter().map(|process| process.matched(&names)).collect();
            return Err(KnobError::SeveralUsers { on: on.to_owned(), processes });
        }
        Ok(matches)
    }

    /// The threads of the processes that the rule matches.
    fn permitted_threads(&self, host: &Host, target: &KnobTarget) -> Result<Vec<Thread>, KnobError> {
        Ok(self.threads_of(host, self.permitted(host, target)?.main_threads())?.threads)
    }

    /// The threads of these processes; only the main threads for [`Granularity::Processes`].
    fn threads_of(&self, host: &Host, processes: Vec<Thread>) -> Result<ThreadList, KnobError> {
        let mut all = ThreadList::default();
        if self.granularity == Granularity::Processes {
            all.threads = processes;
            return Ok(all);
        }
        for process in processes {
            let list = threads::threads_of(&host.root, Pid(process.tid.0))?;
            all.threads.extend(list.threads);
            all.unreadable.extend(list.unreadable);
        }
        Ok(all)
    }

    /// The value of each matching process or thread.
    fn survey_matches(
        &self,
        host: &Host,
        target: &KnobTarget,
        matches: Matches,
    ) -> Result<(Reading, Vec<String>), KnobError> {
        let (_, selector) = selector(target)?;
        let skipped = matches.skipped.clone();
        let list = self.threads_of(host, matches.main_threads())?;
        let (reading, remarks) = threads::survey(host, list, self.attribute, || no_match(host, &selector));
        Ok((reading, [skipped, remarks].concat()))
    }
}

impl Knob for Rule {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn check_target_name(&self, on: &str) -> Result<(), String> {
        Selector::parse(on).map(drop)
    }

    fn check_value(&self, value: &Value) -> Result<(), ValueError> {
        self.attribute.check_value(value)
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        self.survey(host, target).map(|survey| survey.reading)
    }

    fn survey(&self, host: &Host, target: &KnobTarget) -> Result<Survey, KnobError> {
        let (on, selector) = selector(target)?;
        let matches = self.permitted(host, target)?;
        let users = Users::of(&host.root);
        let processes: Vec<MatchedProcess> = matches.processes.iter().map(|process| process.matched(&users)).collect();
        let (reading, mut remarks) = self.survey_matches(host, target, matches)?;
        let is_only_roots = |process: &MatchedProcess| process.users() == BTreeSet::from([0]);
        if !selector.names_owner() && !processes.iter().all(is_only_roots) {
            let user = processes.first().map_or("NAME", |process| process.user.as_str());
            let on = with_user(on, user);
            remarks.push(format!(
                "any user can start a process that matches this rule: name the user or the cgroup too, for example `{on}`"
            ));
        }
        Ok(Survey { reading, processes, remarks })
    }

    fn normalize(&self, host: &Host, _: &KnobTarget, value: &Value) -> Result<Value, KnobError> {
        self.attribute.normalize(host, value)
    }

    fn limit_to_parts(&self, before: &Value, desired: &Value) -> Value {
        threads::limit_to_parts(before, desired)
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        threads::write(host, || self.permitted_threads(host, target), self.attribute, value).map(|()| Held::Nothing)
    }

    fn read_back(&self, host: &Host, target: &KnobTarget, before: &Value) -> Result<Reading, KnobError> {
        let Value::PerPart(parts) = before else { return self.read(host, target) };
        let reading = threads::read_back(host, parts, self.attribute)?;
        let Reading::Absent(reason) = reading else { return Ok(reading) };
        let matches = matching(host, &selector(target)?.1, threads::processes(&host.root)?);
        Ok(Reading::Absent(match matches.processes.len() {
            0 => reason,
            count => {
                format!("{reason}; {count} matching processes started later and are not tuned: apply the profile again")
            }
        }))
    }

    fn restore(&self, host: &Host, target: &KnobTarget, before: &Value) -> Result<(), KnobError> {
        threads::restore(host, || self.permitted_threads(host, target), self.attribute, before)
    }

    /// Reports children that inherited the value of a process.
    fn side_effects(
        &self,
        host: &Host,
        target: &KnobTarget,
        before: &Value,
        desired: &Value,
    ) -> Result<Vec<String>, KnobError> {
        let Value::PerPart(parts) = before else { return Ok(Vec::new()) };
        if self.attribute.is_privilege() && Grant::of(before, desired, &[]).is_some() {
            // An inherited privilege is revoked instead.
            return Ok(Vec::new());
        }
        let mut inherited = Vec::new();
        for thread in self.threads_of(host, matching_and_descendants(host, target, parts)?)?.threads {
            if !parts.contains_key(&thread.part()) && threads::has(host, &thread, self.attribute, desired)? {
                inherited.push(thread.to_string());
            }
        }
        if inherited.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![format!(
            "{} started later and inherited {desired}: their original value is unknown",
            inherited.join(", ")
        )])
    }

    fn check_writable(&self, host: &Host, _: &KnobTarget) -> Result<(), KnobError> {
        match self.granularity {
            Granularity::Threads => Ok(()),
            Granularity::Processes => check_writable(host, &cgroup_membership::procs_file(host)),
        }
    }

    fn process_rule(&self) -> Option<&dyn ProcessRule> {
        Some(self)
    }

    fn privileges(&self) -> Option<&dyn Privileges> {
        self.attribute.is_privilege().then_some(self)
    }
}

impl ProcessRule for Rule {
    fn read_planned(&self, host: &Host, target: &KnobTarget, planned: &[MatchedProcess]) -> Result<Reading, KnobError> {
        let (on, _) = selector(target)?;
        let mut matches = self.permitted(host, target)?;
        let users = Users::of(&host.root);
        let current: Vec<MatchedProcess> = matches.processes.iter().map(|process| process.matched(&users)).collect();
        let of_new_users = MatchedProcess::of_other_users(&current, planned);
        if !of_new_users.is_empty() {
            let processes = of_new_users.into_iter().cloned().collect();
            return Err(KnobError::NewUsers { on: on.to_owned(), processes });
        }
        let is_planned = |process: &MatchedProcess| planned.iter().any(|planned| planned.is(process));
        let later: Vec<String> =
            current.iter().filter(|process| !is_planned(process)).map(ToString::to_string).collect();
        if !later.is_empty() {
            tracing::warn!(
                "{} on {on}: skipped, because they started after the plan was made: {}",
                self.spec.id,
                later.join("; ")
            );
        }
        matches.processes.retain(|process| is_planned(&process.matched(&users)));
        let (reading, remarks) = self.survey_matches(host, target, matches)?;
        for remark in remarks {
            tracing::warn!("{} on {on}: {remark}", self.spec.id);
        }
        Ok(reading)
    }

    fn check_unchanged(&self, host: &Host, planned: &[MatchedProcess]) -> Result<(), KnobError> {
        for process in planned {
            let current = Identity::read(&host.root, process.pid).map_err(|source| KnobError::Read {
                path: host.root.display_path(&format!("/proc/{}", process.pid)),
                source,
            })?;
            let is_same = |current: &Identity| current.thread.start == process.start && !current.thread.is_zombie();
            let Some(current) = current.filter(is_same) else { continue };
            if let Some(change) = current.difference(process) {
                return Err(KnobError::ProcessChanged { process: Box::new(process.clone()), change });
            }
        }
        Ok(())
    }
}

impl Privileges for Rule {
    fn is_granted(&self, current: &Value, before: &Value, desired: &Value) -> bool {
        let (Value::PerPart(current), Value::PerPart(before)) = (current, before) else { return false };
        current.iter().any(|(part, current)| {
            before.get(part).is_some_and(|before| inherited::is_granted(current, before, desired))
        })
    }

    fn revoke(
        &self,
        host: &Host,
        before: &Value,
        desired: &Value,
        processes: &[MatchedProcess],
    ) -> Result<Option<String>, KnobError> {
        Grant::of(before, desired, processes).map_or(Ok(None), |grant| grant.revoke(host))
    }
}
