//! What each thread of the chosen processes gets.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::host::Host;
use crate::tune::knob::file::changeable;
use crate::tune::knob::isolation::online_cpus;
use crate::tune::knob::threads::{self, Affinity, Attribute, Scheduling, Thread};
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Lifetime, Reading, Risk, Stage, check_text};
use crate::tune::{Kind, Policy, Scope, Target, Value, ValueError};
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
        "The CPUs of every thread of processes, by the process's name (`nginx`, or `redis*` for all that begin so) or cgroup \
         (`/system.slice/nginx.service`). For those that run now: what starts later is not touched. CPUs of \
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
        "How every thread of processes is scheduled, kernel threads too, by name or cgroup as `process.cpus` takes them: `fifo:50`, \
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
        "The cgroup of processes, by name or cgroup as `process.cpus` takes them: `/quell-isolated` for the CPUs of \
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
    let text = host.root.read(&format!("/proc/{}/cgroup", thread.tid))?;
    let of = |controllers: &str| {
        text.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            rest.split_once(':').filter(|(known, _)| *known == controllers).map(|(_, path)| path.to_owned())
        })
    };
    // The hierarchy that quell's partition is in comes first.
    if host.root.has(CPUSETS_V1)
        && let Some(path) = of("cpuset")
    {
        return Ok((CPUSETS_V1, path));
    }
    of("").map(|path| (mount_v2(host), path)).ok_or_else(|| io::Error::other("it is in no cgroup"))
}

/// Whether a text names a cgroup from the root of the hierarchy.
pub(super) fn is_group(path: &str) -> bool {
    path.starts_with('/') && path.split('/').all(|part| part != "..")
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
        host.root.write(&format!("{group}/cgroup.procs"), &thread.tid.to_string())?;
        if host.root.is_host() {
            return Ok(());
        }
        // No kernel moves it in a tree.
        let file = format!("/proc/{}/cgroup", thread.tid);
        let text = host.root.read(&file)?;
        let ending = format!(":{old}");
        let moved = text.lines().map(|line| match line.strip_suffix(&ending) {
            Some(line) => format!("{line}:{path}\n"),
            None => format!("{line}\n"),
        });
        host.root.write(&file, &moved.collect::<String>())
    }
}

/// The processes that a rule is for.
fn chosen(host: &Host, target: &Target) -> Result<Vec<Thread>, KnobError> {
    chosen_of(host, target, threads::processes(&host.root)?)
}

/// Those of some processes that a rule is for.
fn chosen_of(host: &Host, target: &Target, mut processes: Vec<Thread>) -> Result<Vec<Thread>, KnobError> {
    let Target::Name(on) = target else { return Err(KnobError::Target { target: target.clone() }) };
    if !on.starts_with('/') {
        processes.retain(|process| match on.strip_suffix('*') {
            Some(beginning) => process.name.starts_with(beginning),
            None => process.name == *on,
        });
        return Ok(processes);
    }
    let below = format!("{}/", on.trim_end_matches('/'));
    let mut chosen = Vec::new();
    for process in processes {
        let file = format!("/proc/{}/cgroup", process.tid);
        let text = match host.root.read(&file) {
            Err(error) if threads::has_ended(&error) => continue,
            text => text.map_err(|source| KnobError::Read { path: host.root.display_path(&file), source })?,
        };
        let mut paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
        if paths.any(|path| path == on || path.starts_with(&below)) {
            chosen.push(process);
        }
    }
    Ok(chosen)
}

/// The processes that a rule is for, and those that descend from the ones that it was for.
fn family(host: &Host, target: &Target, parts: &BTreeMap<String, Value>) -> Result<Vec<Thread>, KnobError> {
    let mut others = threads::processes(&host.root)?;
    let mut family = chosen_of(host, target, others.clone())?;
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
    fn threads(&self, host: &Host, target: &Target) -> Result<Vec<Thread>, KnobError> {
        self.of_processes(host, chosen(host, target)?)
    }

    fn of_processes(&self, host: &Host, processes: Vec<Thread>) -> Result<Vec<Thread>, KnobError> {
        if self.of == Of::Processes {
            return Ok(processes);
        }
        let threads = processes.iter().map(|process| threads::threads_of(&host.root, Pid(process.tid.0)));
        Ok(threads.collect::<Result<Vec<_>, _>>()?.concat())
    }
}

impl Knob for Rule {
    fn spec(&self) -> &KnobSpec {
        &self.spec
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
        threads::read(host, &self.threads(host, target)?, self.attribute, || "no such process runs".to_owned())
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
        threads::write(host, || self.threads(host, target), self.attribute, value).map(|()| Held::Nothing)
    }

    fn read_back(&self, host: &Host, target: &Target, before: &Value) -> Result<Reading, KnobError> {
        match before {
            Value::Each(parts) => Ok(match threads::read_back(host, parts, self.attribute)? {
                Reading::Absent(why) => Reading::Absent(match chosen(host, target)?.len() {
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
        threads::restore(host, || self.threads(host, target), self.attribute, before)
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
        let mut since = Vec::new();
        for thread in self.of_processes(host, family(host, target, parts)?)? {
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
