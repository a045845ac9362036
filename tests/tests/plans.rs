//! What each shipped profile would change on each fake host.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use quell::host::Host;
use quell::tune::profile::{SHIPPED, TuningProfile};
use quell::tune::{Plan, Variables, plan, survey, wants};
use quell::units::CpuSet;
use quell_tests::fake_host::{FakeHost, amd_with_eight_dies, container, small_vm, two_socket_intel};
use quell_tests::kernel;

fn planned(host: &Host, name: &str) -> Plan {
    let profile = TuningProfile::load(name, Path::new("/nonexistent")).expect("a shipped profile");
    let variables = Variables::resolve(host, &profile.variables, &BTreeMap::new()).expect("variables");
    let (wants, inapplicable) = wants(&profile, host, &variables).expect("wants");
    let variables = variables.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    plan(name, variables, survey(host, wants), inapplicable).expect("a plan")
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
        let line = format!("{mark} {:?} {}: {} -> {}", step.stage, step.knob, step.now, step.wanted);
        add(line, step.target.to_string());
    }
    for same in &plan.unchanged {
        add(format!("= {}: {}", same.knob, same.value), same.target.to_string());
    }
    for skipped in &plan.skipped {
        let target = skipped.target.as_ref().map_or("all".to_owned(), ToString::to_string);
        add(format!("- {}: {}", skipped.knob, skipped.why), target);
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
        Err(errno) => {
            kernel::skipped("in_a_container_that_may_change_nothing", &format!("may not mount anything: {errno}"))
        }
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
