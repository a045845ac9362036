//! What each thread of the chosen processes gets.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use super::heirs::{self, Grant};
use super::identity::{Executable, Identity};
use super::selector::{Selector, is_group};
use crate::excerpt;
use crate::host::{Host, Users};
use crate::tune::knob::error::with_user;
use crate::tune::knob::file::changeable;
use crate::tune::knob::isolation::online_cpus;
use crate::tune::knob::threads::{self, Affinity, Attribute, Listed, Scheduling, Thread};
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Lifetime, Reading, Risk, Stage, Survey, check_text};
use crate::tune::{Kind, MatchedProcess, Policy, Scope, Target, Value, ValueError};
use crate::units::{Pid, Tid};

/// A rule.
pub(super) struct Rule {
    spec: KnobSpec,
    attribute: &'static (dyn Attribute + Sync),
    of: Of,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Threads,
    Processes,
}

pub(super) static CPUS: Rule = Rule {
    spec: spec(
        "process.cpus",
        "The CPUs of every thread of processes, by the process's name (`nginx`, or `redis*` for all that begin so), cgroup \
         (`/system.slice/nginx.service`), executable and user, alone or together: `name=redis*,user=redis`, \
         `exe=/usr/sbin/nginx,cgroup=/system.slice`. Processes of different users are matched only where the user or the cgroup is \
         named. The plan lists every process, and no other is set: what starts later is not touched. CPUs of \
         `isolation.partition` need `process.cgroup` first.",
        "sched_setaffinity(2)",
        Kind::Cpus,
        Risk::Medium("a program that places its threads by itself is overruled"),
    ),
    attribute: &Affinity,
    of: Of::Threads,
};

pub(super) static POLICY: Rule = Rule {
    spec: spec(
        "process.policy",
        "How every thread of processes is scheduled, kernel threads too, on what `process.cpus` takes: `fifo:50`, \
         `rr:10`, `other:-5`, `batch:0`, `idle`, `deadline:RUNTIME/DEADLINE/PERIOD` in nanoseconds.",
        "sched(7)",
        Kind::Text,
        Risk::High(
            "a real-time thread that never sleeps keeps everything else from its CPU, the kernel's own work too",
        ),
    ),
    attribute: &Scheduling,
    of: Of::Threads,
};

pub(super) static GROUP: Rule = Rule {
    spec: spec(
        "process.cgroup",
        "The cgroup of processes, on what `process.cpus` takes: `/quell-isolated` for the CPUs of \
         `isolation.partition`.",
        "Documentation/admin-guide/cgroup-v2.rst (Processes)",
        Kind::Text,
        Risk::Medium("limits of the old cgroup do not apply in the new one"),
    ),
    attribute: &Membership,
    of: Of::Processes,
};

const fn spec(id: &'static str, doc: &'static str, source: &'static str, kind: Kind, risk: Risk) -> KnobSpec {
    KnobSpec {
        id,
        doc,
        source,
        kind,
        scope: Scope::Named,
        lifetime: Lifetime::Runtime,
        risk,
        stage: Stage::Placement,
        ..KnobSpec::RUNTIME
    }
}

/// The cgroup of a process, of version 2 where there is one.
struct Membership;

/// The lines of `/proc/PID/cgroup` that name a group: of version 2, and of the cpusets of version 1.
fn cgroup(host: &Host, thread: &Thread) -> io::Result<(&'static str, String)> {
    let text = host.root.read_bytes(&format!("/proc/{}/cgroup", thread.tid))?;
    let of = |controllers: &str| {
        text.split(|&byte| byte == b'\n').find_map(|line| {
            let mut fields = line.splitn(3, |&byte| byte == b':').skip(1);
            let known = fields.next()? == controllers.as_bytes();
            fields.next().filter(|_| known)
        })
    };
    // It is written down to be put back, in JSON.
    let named = |path: &[u8]| {
        let why = || io::Error::other(format!("its cgroup {} cannot be named: it is not UTF-8", excerpt::path(path)));
        std::str::from_utf8(path).map(str::to_owned).map_err(|_| why())
    };
    // The hierarchy that quell's partition is in comes first.
    if host.root.has(CPUSETS_V1)
        && let Some(path) = of("cpuset")
    {
        return Ok((CPUSETS_V1, named(path)?));
    }
    let path = of("").ok_or_else(|| io::Error::other("it is in no cgroup"))?;
    Ok((mount_v2(host), named(path)?))
}

const POLICIES: &str =
    "a scheduling policy: fifo:50, rr:10, other:0, batch:0, idle, or deadline:RUNTIME/DEADLINE/PERIOD in ns";

impl Attribute for Membership {
    fn get(&self, host: &Host, thread: &Thread) -> io::Result<Value> {
        cgroup(host, thread).map(|(_, path)| Value::Text(path))
    }

    fn set(&self, host: &Host, thread: &Thread, value: &Value) -> io::Result<()> {
        let (mount, old) = cgroup(host, thread)?;
        let path = value.to_string();
        if !is_group(&path) {
            return Err(io::Error::other(format!(
                "`{path}` is no cgroup: it begins with /, from the root of the hierarchy"
            )));
        }
        let group = if path == "/" { mount.to_owned() } else { format!("{mount}{path}") };
        host.root.write(&format!("{group}/cgroup.procs"), thread.tid.to_string())?;
        if host.root.is_host() {
            return Ok(());
        }
        // No kernel moves it in a tree.
        let file = format!("/proc/{}/cgroup", thread.tid);
        // Its own path is UTF-8, as is every other of a tree that quell may change.
        let text = host.root.read(&file)?;
        let ending = format!(":{old}");
        let moved = text.lines().map(|line| match line.strip_suffix(&ending) {
            Some(line) => format!("{line}:{path}\n"),
            None => format!("{line}\n"),
        });
        host.root.write(&file, moved.collect::<String>())
    }
}

/// Processes that a rule is for, and why others are not among them.
#[derive(Default)]
struct Chosen {
    processes: Vec<Identity>,
    unread: Vec<String>,
}

fn selector(target: &Target) -> Result<(&str, Selector), KnobError> {
    let other = || KnobError::Target { target: target.clone() };
    let Target::Name(on) = target else { return Err(other()) };
    Selector::parse(on).map(|selector| (on.as_str(), selector)).map_err(|_| other())
}

/// The processes that a rule is for, whosever they are.
fn chosen(host: &Host, selector: &Selector) -> Result<Chosen, KnobError> {
    chosen_of(host, selector, threads::processes(&host.root)?)
}

/// Those of some processes that a rule is for.
fn chosen_of(host: &Host, selector: &Selector, listed: Listed) -> Result<Chosen, KnobError> {
    let users = Users::of(&host.root);
    let allowed =
        selector.users.as_ref().map(|names| names.iter().filter_map(|name| users.id(name)).collect::<BTreeSet<_>>());
    let mut chosen = Chosen { processes: Vec::new(), unread: listed.unread };
    for process in listed.threads {
        if process.is_zombie() || selector.name.as_ref().is_some_and(|name| !name.matches(&process.name)) {
            continue;
        }
        let pid = Pid(process.tid.0);
        let identity = match Identity::read(&host.root, pid) {
            Ok(Some(identity)) => identity,
            Ok(None) => continue,
            Err(error) => {
                chosen.unread.push(format!("process {process} is left out: could not read /proc/{pid}: {error}"));
                continue;
            }
        };
        let is_named = selector.name.as_ref().is_none_or(|name| name.matches(&identity.thread.name));
        let is_in = selector.cgroup.as_ref().is_none_or(|group| identity.is_in(group));
        let is_allowed = allowed
            .as_ref()
            .is_none_or(|allowed| [identity.real, identity.effective].iter().all(|user| allowed.contains(user)));
        if !(is_named && is_in && is_allowed) {
            continue;
        }
        match (&selector.executable, &identity.executable) {
            (Some(wanted), Executable::File(path)) if !wanted.matches(path.as_os_str().as_bytes()) => {}
            (Some(_), Executable::None) => {}
            (Some(wanted), Executable::Elsewhere(path)) => {
                if wanted.matches(path.as_os_str().as_bytes()) {
                    chosen.unread.push(format!(
                        "process {process} is left out: it executes a file that is not at {} any more, or never was",
                        excerpt::path(path.as_os_str().as_bytes())
                    ));
                }
            }
            (Some(_), Executable::Unknown(why)) => {
                chosen.unread.push(format!("process {process} is left out: could not read /proc/{pid}/exe: {why}"));
            }
            _ => chosen.processes.push(identity),
        }
    }
    Ok(chosen)
}

/// Why a rule is for no process.
fn none(host: &Host, selector: &Selector) -> String {
    let users = Users::of(&host.root);
    let mut names = selector.users.iter().flatten();
    match names.find(|name| users.id(name).is_none()) {
        Some(unknown) => format!("there is no user {}", excerpt::quoted(unknown)),
        None => "no such process runs".to_owned(),
    }
}

/// The processes that a rule is for, and those that descend from the ones that it was for.
fn family(host: &Host, target: &Target, parts: &BTreeMap<String, Value>) -> Result<Vec<Thread>, KnobError> {
    let (_, selector) = selector(target)?;
    let listed = threads::processes(&host.root)?;
    let mut others = listed.threads.clone();
    let mut family: Vec<Thread> =
        chosen_of(host, &selector, listed)?.processes.into_iter().map(|process| process.thread).collect();
    others.retain(|process| !family.contains(process));
    let mut known: BTreeSet<Tid> = family.iter().map(|process| process.tid).collect();
    loop {
        let akin = |process: &Thread| parts.contains_key(&process.part()) || known.contains(&process.parent);
        let (found, rest): (Vec<Thread>, Vec<Thread>) = others.into_iter().partition(akin);
        if found.is_empty() {
            return Ok(family);
        }
        known.extend(found.iter().map(|process| process.tid));
        family.extend(found);
        others = rest;
    }
}

const CPUSETS_V1: &str = "/sys/fs/cgroup/cpuset";

/// Where the hierarchy of version 2 is.
fn mount_v2(host: &Host) -> &'static str {
    if host.root.has("/sys/fs/cgroup/unified") { "/sys/fs/cgroup/unified" } else { "/sys/fs/cgroup" }
}

/// That, or, with one of version 1 that has cpusets, that one.
fn mount(host: &Host) -> &'static str {
    if host.root.has(CPUSETS_V1) { CPUSETS_V1 } else { mount_v2(host) }
}

impl Rule {
    /// The processes that a rule is for: of one user, unless it says whose they may be.
    fn permitted(&self, host: &Host, target: &Target) -> Result<Chosen, KnobError> {
        let (on, selector) = selector(target)?;
        let chosen = chosen(host, &selector)?;
        let users: BTreeSet<u32> =
            chosen.processes.iter().flat_map(|process| [process.real, process.effective]).collect();
        if users.len() > 1 && !selector.names_owner() {
            let names = Users::of(&host.root);
            let processes = chosen.processes.iter().map(|process| process.matched(&names)).collect();
            return Err(KnobError::Users { on: on.to_owned(), processes });
        }
        Ok(chosen)
    }

    /// The threads of all that.
    fn all(&self, host: &Host, target: &Target) -> Result<Vec<Thread>, KnobError> {
        let processes = self.permitted(host, target)?.processes;
        Ok(self.of_processes(host, processes.into_iter().map(|process| process.thread))?.threads)
    }

    fn of_processes(&self, host: &Host, processes: impl IntoIterator<Item = Thread>) -> Result<Listed, KnobError> {
        let mut all = Listed::default();
        for process in processes {
            if self.of == Of::Processes {
                all.threads.push(process);
                continue;
            }
            let listed = threads::threads_of(&host.root, Pid(process.tid.0))?;
            all.threads.extend(listed.threads);
            all.unread.extend(listed.unread);
        }
        Ok(all)
    }

    /// What chosen processes have.
    fn survey_of(&self, host: &Host, target: &Target, chosen: Chosen) -> Result<(Reading, Vec<String>), KnobError> {
        let (_, selector) = selector(target)?;
        let listed = self.of_processes(host, chosen.processes.into_iter().map(|process| process.thread))?;
        let (reading, remarks) = threads::survey(host, listed, self.attribute, || none(host, &selector));
        Ok((reading, [chosen.unread, remarks].concat()))
    }
}

impl Knob for Rule {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn check_name(&self, on: &str) -> Result<(), String> {
        Selector::parse(on).map(drop)
    }

    fn check(&self, value: &Value) -> Result<(), ValueError> {
        match self.spec.id {
            id if id == POLICY.spec.id => check_text(value, POLICIES, |text| text.parse::<Policy>().is_ok()),
            id if id == GROUP.spec.id => {
                check_text(value, "a cgroup from the root of the hierarchy, as in /system.slice", is_group)
            }
            _ => Ok(()),
        }
    }

    fn targets(&self, _: &Host) -> Vec<Target> {
        Vec::new()
    }

    fn may_end(&self) -> bool {
        true
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        self.survey(host, target).map(|survey| survey.reading)
    }

    fn survey(&self, host: &Host, target: &Target) -> Result<Survey, KnobError> {
        let (on, selector) = selector(target)?;
        let chosen = self.permitted(host, target)?;
        let users = Users::of(&host.root);
        let processes: Vec<MatchedProcess> = chosen.processes.iter().map(|process| process.matched(&users)).collect();
        let (reading, mut remarks) = self.survey_of(host, target, chosen)?;
        let is_anybodys = |process: &MatchedProcess| process.users() != BTreeSet::from([0]);
        if !selector.names_owner() && processes.iter().any(is_anybodys) {
            let user = processes.first().map_or("NAME", |process| process.user.as_str());
            let on = with_user(on, user);
            remarks.push(format!(
                "any user can start what matches this: name the user or the cgroup as well, as in `{on}`"
            ));
        }
        Ok(Survey { reading, processes, remarks })
    }

    fn read_planned(&self, host: &Host, target: &Target, planned: &[MatchedProcess]) -> Result<Reading, KnobError> {
        let (on, _) = selector(target)?;
        let mut chosen = self.permitted(host, target)?;
        let users = Users::of(&host.root);
        let now: Vec<MatchedProcess> = chosen.processes.iter().map(|process| process.matched(&users)).collect();
        let strangers = MatchedProcess::of_other_users(&now, planned);
        if !strangers.is_empty() {
            let processes = strangers.into_iter().cloned().collect();
            return Err(KnobError::Newcomers { on: on.to_owned(), processes });
        }
        let is_planned = |process: &MatchedProcess| planned.iter().any(|planned| planned.is(process));
        let later: Vec<String> = now.iter().filter(|process| !is_planned(process)).map(ToString::to_string).collect();
        if !later.is_empty() {
            tracing::warn!("{} on {on}: left out, since it began after the plan: {}", self.spec.id, later.join("; "));
        }
        chosen.processes.retain(|process| is_planned(&process.matched(&users)));
        let (reading, remarks) = self.survey_of(host, target, chosen)?;
        for remark in remarks {
            tracing::warn!("{} on {on}: {remark}", self.spec.id);
        }
        Ok(reading)
    }

    fn recheck(&self, host: &Host, planned: &[MatchedProcess]) -> Result<(), KnobError> {
        for process in planned {
            let path = || host.root.display_path(&format!("/proc/{}", process.pid));
            let now = Identity::read(&host.root, process.pid);
            let now = now.map_err(|source| KnobError::Read { path: path(), source })?;
            let Some(now) = now.filter(|now| now.thread.start == process.start && !now.thread.is_zombie()) else {
                continue;
            };
            if let Some(why) = now.difference(process) {
                return Err(KnobError::Changed { process: Box::new(process.clone()), why });
            }
        }
        Ok(())
    }

    fn normalize(&self, host: &Host, _: &Target, value: &Value) -> Result<Value, KnobError> {
        match value {
            Value::Text(text) if self.spec.id == POLICY.spec.id => {
                let policy: Policy = text.parse().map_err(|error: crate::tune::PolicyError| KnobError::Impossible {
                    value: value.clone(),
                    why: error.to_string(),
                })?;
                Ok(Value::Text(policy.to_string()))
            }
            value => online_cpus(host, value),
        }
    }

    fn spread(&self, before: &Value, wanted: &Value) -> Value {
        threads::spread(before, wanted)
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        threads::write(host, || self.all(host, target), self.attribute, value).map(|()| Held::Nothing)
    }

    fn read_back(&self, host: &Host, target: &Target, before: &Value) -> Result<Reading, KnobError> {
        match before {
            Value::Each(parts) => Ok(match threads::read_back(host, parts, self.attribute)? {
                Reading::Absent(why) => Reading::Absent(match chosen(host, &selector(target)?.1)?.processes.len() {
                    0 => why,
                    others => {
                        format!("{why}; {others} that the rule is for began later and do not have it: apply it again")
                    }
                }),
                reading => reading,
            }),
            _ => self.read(host, target),
        }
    }

    fn restore(&self, host: &Host, target: &Target, before: &Value) -> Result<(), KnobError> {
        threads::restore(host, || self.all(host, target), self.attribute, before)
    }

    fn is_granted(&self, now: &Value, before: &Value, wanted: &Value) -> bool {
        let (Value::Each(now), Value::Each(before)) = (now, before) else { return false };
        let is_policy = self.spec.id == POLICY.spec.id;
        is_policy
            && now
                .iter()
                .any(|(part, now)| before.get(part).is_some_and(|before| heirs::is_granted(now, before, wanted)))
    }

    fn revoke(
        &self,
        host: &Host,
        before: &Value,
        wanted: &Value,
        processes: &[MatchedProcess],
    ) -> Result<Option<String>, KnobError> {
        match Grant::of(before, wanted, processes) {
            Some(grant) if self.spec.id == POLICY.spec.id => grant.revoke(host),
            _ => Ok(None),
        }
    }

    /// What a process has its children have.
    fn remainder(
        &self,
        host: &Host,
        target: &Target,
        before: &Value,
        wanted: &Value,
    ) -> Result<Option<String>, KnobError> {
        let Value::Each(parts) = before else { return Ok(None) };
        if self.spec.id == POLICY.spec.id && Grant::of(before, wanted, &[]).is_some() {
            // It does not stay: it is revoked.
            return Ok(None);
        }
        let mut since = Vec::new();
        for thread in self.of_processes(host, family(host, target, parts)?)?.threads {
            if !parts.contains_key(&thread.part()) && threads::has(host, &thread, self.attribute, wanted)? {
                since.push(thread.to_string());
            }
        }
        Ok((!since.is_empty()).then(|| {
            format!(
                "{} came since and got {wanted} too: nothing tells what they would have otherwise",
                since.join(", ")
            )
        }))
    }

    fn changeable(&self, host: &Host, _: &Target) -> Result<(), KnobError> {
        // The two others are system calls.
        if self.of == Of::Threads { Ok(()) } else { changeable(host, &format!("{}/cgroup.procs", mount(host))) }
    }
}
