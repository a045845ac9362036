//! What each shipped profile would change on each fake host.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use quell::host::Host;
use quell::tune::plan::{Plan, Step, Variables, plan};
use quell::tune::profile::{SHIPPED, TuningProfile};
use quell::tune::value::{KnobTarget, Value};
use quell::units::{CpuId, CpuSet};
use quell_tests::fake_host::{FakeHost, amd_with_eight_dies, container, small_vm, two_socket_intel};
use quell_tests::skip;

fn planned(host: &Host, name: &str) -> Plan {
    let profile = TuningProfile::load(name, Path::new("/nonexistent")).expect("a shipped profile");
    plan(host, &profile, &BTreeMap::new()).expect("a plan")
}

/// A plan in short: what changes in the same way on many targets is one line.
fn drawn(plan: &Plan) -> String {
    let mut text = String::new();
    for (name, value) in &plan.variables {
        let _ = writeln!(text, "{name} = {value}");
    }
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    let mut add = |line: String, target: String| match groups.iter_mut().find(|(known, _)| *known == line) {
        Some((_, targets)) => targets.push(target),
        None => groups.push((line, vec![target])),
    };
    for step in &plan.steps {
        let mark = if step.optional { "~" } else { "+" };
        let line = format!("{mark} {:?} {}: {} -> {}", step.stage, step.knob, step.current, step.desired);
        add(line, step.target.to_string());
    }
    for same in &plan.unchanged {
        add(format!("= {}: {}", same.knob, same.current), same.target.to_string());
    }
    for skipped in &plan.skipped {
        let target = skipped.target.as_ref().map_or("all".to_owned(), ToString::to_string);
        add(format!("- {}: {}", skipped.knob, skipped.reason), target);
    }
    for (line, targets) in groups {
        let count = targets.len();
        let _ = match targets.as_slice() {
            [first, .., last] => writeln!(text, "{line} [{first} .. {last}, {count}]"),
            [only] => writeln!(text, "{line} [{only}]"),
            [] => Ok(()),
        };
    }
    text
}

fn all_profiles(host: &FakeHost) -> String {
    let facts = host.host();
    let root = host.path().display().to_string();
    let of = |name: &str| format!("## {name}\n{}\n", drawn(&planned(&facts, name)).replace(&root, ""));
    SHIPPED.iter().map(|(name, _)| of(name)).collect()
}

#[test]
fn on_a_two_socket_intel_host() {
    insta::assert_snapshot!(all_profiles(&two_socket_intel()));
}

/// The CPUs that `trading` isolates, where these are given.
fn isolated(fake: &FakeHost, given: &[(&str, &str)]) -> CpuSet {
    let profile = TuningProfile::load("trading", Path::new("/nonexistent")).expect("a shipped profile");
    let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let variables = Variables::resolve(&fake.host(), &profile.variables, &given).expect("variables");
    let (_, cpus) = variables.iter().find(|(name, _)| *name == "isolated").expect("the variable");
    cpus.parse().expect("a list of CPUs")
}

#[test]
fn cpus_are_isolated_beside_the_fastest_of_the_cards_that_are_meant() {
    let fake = two_socket_intel();
    let node = |number: u32| -> CpuSet {
        let list = fake.read(&format!("/sys/devices/system/node/node{number}/cpulist"));
        list.trim().parse().expect("a list of CPUs")
    };
    let is_on = |cpus: CpuSet, number: u32| !cpus.is_empty() && cpus.difference(&node(number)).is_empty();
    assert!(
        is_on(isolated(&fake, &[]), 1),
        "{}: a 100 Gb/s card is on node 1, one of 1 Gb/s on node 0",
        isolated(&fake, &[])
    );
    assert!(is_on(isolated(&fake, &[("nics", "eno1")]), 0));
    assert!(is_on(isolated(&fake, &[("nics", "ens1f1")]), 1), "without a carrier");
    // Where the links do not tell: by the queues, 4 and 28.
    for nic in ["eno1", "ens1f0"] {
        fake.put(&format!("/sys/class/net/{nic}/speed"), "-1\n");
    }
    assert!(is_on(isolated(&fake, &[]), 1));
    // As many queues on each, and two cards on node 1.
    assert!(is_on(isolated(&fake, &[("nics", "eno1 ens1f0 ens1f1")]), 1));
}

#[test]
fn what_makes_isolated_cpus_less_than_that_is_said() {
    let fake = two_socket_intel();
    let profile = |name: &str| TuningProfile::load(name, Path::new("/nonexistent")).expect("a shipped profile");
    let remarks = |name: &str, isolated: &str| {
        let given = BTreeMap::from([("isolated".to_owned(), isolated.to_owned())]);
        plan(&fake.host(), &profile(name), &given).expect("a plan").remarks.join("\n")
    };
    assert_eq!(remarks("trading", "2-3,58-59"), "");
    assert!(
        remarks("trading", "2-3,58").starts_with("CPUs 59 share cores with isolated CPUs"),
        "{}",
        remarks("trading", "2-3,58")
    );
    assert!(remarks("trading", "0,56").starts_with("CPU 0 is isolated"), "{}", remarks("trading", "0,56"));
    assert_eq!(remarks("latency", "2-3"), "", "it isolates none");
}

/// Takes a host's second threads offline, as the kernel does when SMT is turned off.
fn without_smt(fake: &FakeHost) {
    let topology = fake.host().topology;
    let first: CpuSet = topology.cores().iter().filter_map(|core| core.iter().next()).collect();
    fake.put("/sys/devices/system/cpu/smt/control", "off\n");
    fake.put("/sys/devices/system/cpu/online", format!("{first}\n"));
    for gone in topology.online().difference(&first).iter() {
        fake.put(&format!("/sys/devices/system/cpu/cpu{gone}/online"), "0\n");
        fake.put(&format!("/sys/devices/system/cpu/cpu{gone}/topology/thread_siblings_list"), "");
    }
}

#[test]
fn what_goes_with_smt_is_in_no_value_and_in_no_target() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |condition: &str| {
        let smt = format!("[[set]]\nknob = \"cpu.smt\"\nvalue = \"off\"\nreason = \"a test\"\n{condition}");
        fs::write(folder.path().join("a.toml"), format!("summary = \"a test\"\ninclude = [\"trading\"]\n{smt}"))
            .expect("a profile");
        TuningProfile::load("a", folder.path()).expect("a profile")
    };
    let profile = write("");
    let fake = two_socket_intel();
    let gone = |cpu: &CpuId| cpu.0 >= 56;
    for given in [BTreeMap::new(), BTreeMap::from([("isolated".to_owned(), "30-31,86-87".to_owned())])] {
        let plan = plan(&fake.host(), &profile, &given).expect("a plan");
        assert!(plan.steps.iter().any(|step| step.knob == "cpu.smt"), "{plan:?}");
        for step in &plan.steps {
            assert!(!matches!(&step.target, KnobTarget::Cpu(cpu) if gone(cpu)), "{step:?}");
            let Value::Cpus(cpus) = &step.desired else { continue };
            // What the user gave is the user's.
            let is_given = given.values().any(|text| *text == cpus.to_string());
            assert!(is_given || !cpus.iter().any(|cpu| gone(&cpu)), "{step:?}");
        }
        let polls = |step: &&Step| step.knob == "cpu.resume_latency";
        assert_eq!(plan.steps.iter().filter(polls).count(), if given.is_empty() { 27 } else { 2 }, "not with SMT");
    }
    // Of a condition that asks for SMT, or for the CPUs that go, they stay: else it would be met no more.
    for condition in ["if = { smt = true }\n", "if = { cpus = 100 }\n"] {
        let asked = plan(&fake.host(), &write(condition), &BTreeMap::new()).expect("a plan");
        assert!(asked.steps.iter().any(|step| step.knob == "cpu.smt"), "{asked:?}");
        assert!(asked.steps.iter().any(|step| matches!(&step.target, KnobTarget::Cpu(cpu) if gone(cpu))), "{asked:?}");
    }
    // What was planned before the CPUs went is what is planned when they are gone.
    let wanted = |plan: Plan| -> Vec<(String, KnobTarget, Value)> {
        let steps = plan.steps.into_iter().filter(|step| step.knob != "cpu.smt");
        steps.map(|step| (step.knob, step.target, step.desired)).collect()
    };
    let before = wanted(plan(&fake.host(), &profile, &BTreeMap::new()).expect("a plan"));
    without_smt(&fake);
    let after = wanted(plan(&fake.host(), &profile, &BTreeMap::new()).expect("a plan"));
    assert_eq!(before, after);
}

#[test]
fn on_an_amd_host_with_eight_dies() {
    insta::assert_snapshot!(all_profiles(&amd_with_eight_dies()));
}

#[test]
fn on_a_small_virtual_machine() {
    insta::assert_snapshot!(all_profiles(&small_vm()));
}

#[test]
fn in_a_container_that_may_change_nothing() {
    let host = container();
    match host.sealed(|| (all_profiles(&host), planned(&host.host(), "trading").steps.len())) {
        Ok((plans, steps)) => {
            insta::assert_snapshot!(plans);
            assert_eq!(steps, 0, "what cannot be changed is not planned");
        }
        Err(errno) => skip!(&format!("permission to mount ({errno})")),
    }
}

#[test]
fn a_plan_changes_nothing_on_the_host() {
    let host = two_socket_intel();
    let before = host.snapshot();
    let plans = all_profiles(&host);
    assert!(plans.contains("+ "), "{plans}");
    assert_eq!(host.snapshot(), before);
}
