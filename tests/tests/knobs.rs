//! Every knob, on hosts that are trees: what is set reads back, and what is undone is as it was, to the byte.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use quell::host::Host;
use quell::tune::knob::{Knob, Reading, by_id, knobs};
use quell::tune::plan::{Plan, Step, plan};
use quell::tune::profile::{SHIPPED, TuningProfile};
use quell::tune::transaction::journal::Store;
use quell::tune::transaction::{Applied, ApplyError, ApplyOptions, OnConflict, RollbackReport, apply, roll_back};
use quell::tune::value::{KnobTarget, Range, RangeBound, Scope, Value, ValueKind};
use quell::units::{CpuId, NodeId};
use quell_tests::fake_host::{FakeHost, amd_with_eight_dies, container, small_vm, two_socket_intel};
use quell_tests::skip;

/// Targets of knobs that hosts have no list of.
const NAMED: &[(&str, &str)] = &[
    ("boot.flag", "nosoftlockup"),
    ("boot.flag", "quiet"),
    ("boot.parameter", "skew_tick"),
    ("boot.parameter", "mitigations"),
    ("device.power_control", "0000:ca:00.0"),
    ("device.power_control", "0000:41:00.0"),
    ("net.feature", "ens1f0:rx-lro"),
    ("sysctl", "net.ipv4.tcp_rmem"),
    ("sysctl", "net.core.somaxconn"),
    ("sysfs", "/sys/kernel/mm/ksm/run"),
    ("sysfs", "/sys/kernel/mm/transparent_hugepage/shmem_enabled"),
    ("unit.enabled", "irqbalance.service"),
    ("unit.enabled", "ksmtuned.service"),
    ("unit.state", "irqbalance.service"),
    ("unit.state", "ksmtuned.service"),
];

fn targets(knob: &dyn Knob, host: &Host) -> Vec<KnobTarget> {
    let named = NAMED.iter().filter(|(id, _)| *id == knob.spec().id);
    knob.targets(host).into_iter().chain(named.map(|(_, name)| KnobTarget::Name((*name).to_owned()))).collect()
}

/// Values of a kind: its ends, and what is between.
fn samples(knob: &dyn Knob) -> Vec<Value> {
    let text = |texts: &[&str]| texts.iter().map(|text| Value::Text((*text).to_owned())).collect();
    match (knob.spec().kind, knob.spec().id) {
        (ValueKind::Integer { min, max, .. }, _) => {
            [min, min + 1, min / 2 + max / 2, max].into_iter().map(Value::Integer).collect()
        }
        (ValueKind::Integers { count, .. }, _) => vec![Value::Integers((1..).take(count).collect())],
        (ValueKind::Switch, _) => [false, true].into_iter().map(Value::Switch).collect(),
        (ValueKind::Word(words), _) => words.iter().map(|word| Value::Word((*word).to_owned())).collect(),
        (ValueKind::Cpus, _) => {
            vec![Value::Cpus([CpuId(0)].into_iter().collect()), Value::Cpus([CpuId(1)].into_iter().collect())]
        }
        (ValueKind::Range { .. }, _) => {
            let range = |low, high| Value::Range(Range { low, high });
            let low = RangeBound::Number(1_000_000);
            vec![
                range(RangeBound::Max, RangeBound::Max),
                range(RangeBound::Min, RangeBound::Min),
                range(low, RangeBound::Number(2_000_000)),
            ]
        }
        (ValueKind::PercentOrBytes, _) => {
            [Value::Percent(0), Value::Percent(33), Value::Integer(65536)].into_iter().collect()
        }
        (ValueKind::Text, "boot.parameter") => text(&["0", "1", "auto"]),
        (ValueKind::Text, "cpu.idle_disabled") => text(&["none", "above 0", "C1"]),
        (ValueKind::Text, "sysctl") => text(&["1 2 3", "17"]),
        (ValueKind::Text, "sysfs") => text(&["2", "never", "force"]),
        (ValueKind::Text, _) => Vec::new(),
    }
}

fn step(knob: &dyn Knob, target: &KnobTarget, now: &Value, wanted: Value) -> Step {
    let spec = knob.spec();
    Step {
        knob: spec.id.to_owned(),
        target: target.clone(),
        current: now.clone(),
        desired: wanted,
        lifetime: spec.lifetime,
        stage: spec.stage,
        reason: "to see".to_owned(),
        optional: false,
        processes: Vec::new(),
    }
}

/// What came of setting every value that is tried of every knob.
#[derive(Default)]
struct Tour {
    /// A line each: what changed in the host's files, or why nothing could be set.
    lines: Vec<String>,
    /// The knobs that were set.
    set: BTreeSet<&'static str>,
    tried: usize,
}

/// Each value of each knob that the host has, set on some targets of each knob, and then undone. Of those that were `seen` on
/// another host the files of one value are looked at.
fn round_trip(fake: &FakeHost, seen: &BTreeSet<&str>) -> Tour {
    let host = fake.host();
    let before = fake.snapshot();
    let mut tour = Tour::default();
    for knob in knobs() {
        for wanted in samples(knob) {
            let is_looked_at = !(seen.contains(knob.spec().id) && tour.set.contains(knob.spec().id));
            let changed = tour.set(&host, knob, &wanted, || {
                if is_looked_at { difference(&before, &fake.snapshot()) } else { Vec::new() }
            });
            tour.note(knob.spec().id, &wanted, &changed);
        }
    }
    assert_eq!(difference(&before, &fake.snapshot()), Vec::<String>::new());
    tour
}

impl Tour {
    /// Sets a value, looks at what changed, and undoes it.
    fn set(
        &mut self,
        host: &Host,
        knob: &'static dyn Knob,
        wanted: &Value,
        changed: impl FnOnce() -> Vec<String>,
    ) -> Vec<String> {
        let id = knob.spec().id;
        let mut steps = Vec::new();
        for target in targets(knob, host).into_iter().take(3) {
            match knob.read(host, &target).unwrap_or_else(|error| panic!("{id} on {target}: {error}")) {
                Reading::Value(now) => match knob.normalize(host, &target, wanted) {
                    Ok(wanted) if knob.equals(&now, &wanted) => {}
                    Ok(wanted) => steps.push(step(knob, &target, &now, wanted)),
                    Err(why) => self.say(format!("{id} on {target}: {why}")),
                },
                Reading::Absent(why) => self.say(format!("{id} on {target} is absent: {why}")),
            }
        }
        if steps.is_empty() {
            return Vec::new();
        }
        self.tried += steps.len();
        self.set.insert(id);
        let store = Store::of(&host.root);
        let (unchanged, skipped) = (Vec::new(), Vec::new());
        let plan =
            Plan { profile: "test".to_owned(), variables: Vec::new(), remarks: Vec::new(), steps, unchanged, skipped };
        let applied = apply(host, &store, &plan, &ApplyOptions::at(0));
        let applied = applied.unwrap_or_else(|error| panic!("{id} {wanted}: {error}"));
        assert_eq!(applied.refused, []);
        for Step { target, desired: wanted, .. } in &plan.steps {
            let now = knob.read(host, target).expect("a reading");
            assert!(now.value().is_some_and(|now| knob.equals(now, wanted)), "{id} on {target}");
        }
        let changed = changed();
        let results = roll_back(host, &store, None, OnConflict::Keep).expect("undone");
        let is_complete =
            |result: &Result<RollbackReport, _>| result.as_ref().is_ok_and(|report| report.not_restored.is_empty());
        assert!(results.iter().all(|(_, result)| is_complete(result)), "{results:?}");
        changed
    }

    /// What a value changed, by the files: the trees spell their names by themselves, so a knob that writes another one is seen.
    fn note(&mut self, id: &str, wanted: &Value, changed: &[String]) {
        /// So many are shown: two of a range or of a limit with two files.
        const FILES: usize = 2;
        /// So much is shown of each.
        const WIDTH: usize = 200;
        let shorten = |line: &String| line.chars().take(WIDTH).collect::<String>();
        let shown: Vec<String> = changed.iter().take(FILES).map(shorten).collect();
        match changed.len() {
            0 => {}
            count if count > FILES => {
                self.say(format!("{id} {wanted}: {}; and {} more", shown.join("; "), count - FILES));
            }
            _ => self.say(format!("{id} {wanted}: {}", shown.join("; "))),
        }
    }

    /// Once for each knob and reason: the same is so of all its targets and values.
    fn say(&mut self, line: String) {
        let reason = |line: &str| line.split_once(": ").map(|(_, reason)| reason.to_owned());
        let id = line.split(' ').next().unwrap_or_default();
        let is_said = |said: &String| said.split(' ').next() == Some(id) && reason(said) == reason(&line);
        if !self.lines.iter().any(is_said) {
            self.lines.push(line);
        }
    }
}

fn difference(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let text = |bytes: Option<&Vec<u8>>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    changed.map(|name| format!("{name}: {:?} -> {:?}", text(before.get(name)), text(after.get(name)))).collect()
}

#[test]
#[ignore = "long: cargo xtask test --all"]
fn every_value_is_set_and_put_back_to_the_byte() {
    let mut set = BTreeSet::new();
    for (name, fake, least) in [
        ("small_vm", small_vm(), 100),
        ("two_socket_intel", two_socket_intel(), 300),
        ("amd", amd_with_eight_dies(), 200),
    ] {
        let tour = round_trip(&fake, &set);
        assert!(tour.tried > least, "{name}: {}", tour.tried);
        insta::assert_snapshot!(format!("knobs_on_{name}"), tour.lines.join("\n"));
        set.extend(tour.set);
    }
    let never: Vec<&str> = knobs().iter().map(|knob| knob.spec().id).filter(|id| !set.contains(id)).collect();
    assert_eq!(never, NEVER_SET, "of these hosts none has them");
}

/// What these hosts do not have, or what takes no value that would do everywhere: tests of their own set it.
const NEVER_SET: &[&str] = &[
    "cpu.platform_profile",
    "isolation.workqueue",
    "memory.hugepages_64k",
    "memory.hugepages_32m",
    "memory.hugepages_512m",
    "process.cgroup",
    "process.memory_nodes",
    "process.cpus",
    "process.policy",
    "net.channels_rx",
    "net.channels_tx",
    "net.ring_tx_push",
    "net.eee_tx_lpi",
    "net.rx_usecs_irq",
    "net.rx_frames_irq",
    "net.tx_usecs_irq",
    "net.tx_frames_irq",
    "net.cqe_mode_rx",
    "net.cqe_mode_tx",
    "net.tx_checksum",
    "net.gro_hw",
    "net.rx_vlan",
    "net.tx_vlan",
    "net.rx_udp_gro_forwarding",
    "net.rss_table",
    "net.flow_rule",
    "net.timestamps_held",
];

fn planned(host: &Host, profile: &TuningProfile) -> Plan {
    plan(host, profile, &BTreeMap::new()).expect("a plan")
}

#[test]
fn a_shipped_profile_is_applied_once_and_undone_to_the_byte() {
    for fake in [small_vm(), two_socket_intel(), amd_with_eight_dies()] {
        let before = fake.snapshot();
        for (name, _) in SHIPPED {
            let host = fake.host();
            let store = Store::of(&host.root);
            let profile = TuningProfile::load(name, Path::new("/nonexistent")).expect("a shipped profile");
            let plan = planned(&host, &profile);
            assert!(!plan.steps.is_empty(), "{name}");
            apply(&host, &store, &plan, &ApplyOptions::at(0)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(planned(&fake.host(), &profile).steps, [], "{name}: nothing is left to do");
            roll_back(&host, &store, None, OnConflict::Keep).expect("undone");
            assert_eq!(difference(&before, &fake.snapshot()), Vec::<String>::new(), "{name}");
        }
    }
}

#[test]
fn what_is_mounted_read_only_is_refused_by_name_and_nothing_is_left_changed() {
    let fake = container();
    let before = fake.snapshot();
    let tried = fake.sealed(|| {
        let host = fake.host();
        let knob = by_id("memory.swappiness").expect("the knob");
        let steps = vec![step(knob, &KnobTarget::Host, &Value::Integer(60), Value::Integer(10))];
        let plan = Plan {
            profile: "test".to_owned(),
            variables: Vec::new(),
            remarks: Vec::new(),
            steps,
            unchanged: Vec::new(),
            skipped: Vec::new(),
        };
        apply(&host, &Store::of(&host.root), &plan, &ApplyOptions::at(0))
    });
    match tried {
        Ok(Err(ApplyError::RolledBack { failed, report, .. })) => {
            assert!(failed.to_string().contains("swappiness"), "{failed}");
            assert_eq!(report.not_restored, []);
            assert_eq!(difference(&before, &fake.snapshot()), Vec::<String>::new());
        }
        Ok(other) => panic!("{other:?}"),
        Err(errno) => skip!(&format!("permission to mount ({errno})")),
    }
}

/// Sets one value on a host that is a tree; returns what became of it, and what the knob was set to before and is now.
fn tried(fake: &FakeHost, id: &str, target: &KnobTarget, wanted: &str) -> (Result<Applied, ApplyError>, [Value; 2]) {
    let host = fake.host();
    let knob = by_id(id).unwrap_or_else(|| panic!("there is no {id}"));
    let read = || match knob.read(&host, target) {
        Ok(Reading::Value(value)) => value,
        other => panic!("{id}: {other:?}"),
    };
    let before = read();
    let wanted = knob.normalize(&host, target, &knob.spec().kind.parse(wanted).expect("a value")).expect("possible");
    let steps = vec![step(knob, target, &before, wanted)];
    let (unchanged, skipped) = (Vec::new(), Vec::new());
    let plan =
        Plan { profile: "test".to_owned(), variables: Vec::new(), remarks: Vec::new(), steps, unchanged, skipped };
    let applied = apply(&host, &Store::of(&host.root), &plan, &ApplyOptions::at(0));
    (applied, [before, read()])
}

/// That a value was not taken, with the words of it, and that all is as before.
#[track_caller]
fn assert_not_taken((applied, [before, now]): (Result<Applied, ApplyError>, [Value; 2]), words: &str) {
    match applied {
        Err(ApplyError::RolledBack { failed, report, .. }) => {
            assert!(failed.to_string().ends_with(words), "{failed}");
            assert_eq!(report.not_restored, []);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(now, before);
}

/// Does something on a host with a kernel behind one of its files. An error: this process may not watch files.
fn with_kernel_behind(file: &str, keeps: fn(&str) -> String, act: impl FnOnce(&FakeHost)) -> nix::Result<()> {
    let fake = two_socket_intel();
    let _behind = fake.behind(file, keeps)?;
    act(&fake);
    Ok(())
}

fn to_watch(errno: nix::errno::Errno) -> String {
    format!("permission to watch files ({errno})")
}

#[test]
fn a_driver_that_rounds_is_not_said_to_have_taken_the_value() {
    let rounds =
        |written: &str| written.parse().map_or_else(|_| written.to_owned(), |us: u32| (us / 4 * 4).to_string());
    let watched = with_kernel_behind("/run/quell-fake/ethtool/ens1f0/rx-usecs", rounds, |fake| {
        let tried = tried(fake, "net.rx_usecs", &KnobTarget::Nic("ens1f0".to_owned()), "10");
        assert_not_taken(tried, "wrote `10`, but read back 8");
    });
    if let Err(errno) = watched {
        skip!(&to_watch(errno));
    }
}

#[test]
fn huge_pages_that_the_kernel_does_not_find_are_not_said_to_be_there() {
    let finds_three =
        |written: &str| written.parse().map_or_else(|_| written.to_owned(), |pages: u32| pages.min(3).to_string());
    let file = "/sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages";
    let watched = with_kernel_behind(file, finds_three, |fake| {
        let tried = tried(fake, "memory.hugepages_1g", &KnobTarget::Node(NodeId(1)), "8");
        assert_not_taken(tried, "wrote `8`, but read back 3");
    });
    if let Err(errno) = watched {
        skip!(&to_watch(errno));
    }
}

#[test]
fn a_write_that_succeeds_and_changes_nothing_is_seen() {
    let file = "/sys/kernel/mm/transparent_hugepage/khugepaged/defrag";
    let watched = with_kernel_behind(
        file,
        |_| "1".to_owned(),
        |fake| {
            let tried = tried(fake, "memory.thp_khugepaged_defrag", &KnobTarget::Host, "off");
            assert_not_taken(tried, "wrote `off`, but read back on");
        },
    );
    if let Err(errno) = watched {
        skip!(&to_watch(errno));
    }
}

#[test]
fn shipped_profiles_name_knobs_that_there_are_and_say_why() {
    for (name, _) in SHIPPED {
        let profile = TuningProfile::load(name, Path::new("/nonexistent")).expect("a shipped profile");
        assert!(!profile.summary.is_empty(), "{name}");
        for setting in &profile.settings {
            let knob = by_id(setting.knob).unwrap_or_else(|| panic!("{name}: {}", setting.knob));
            assert!(setting.on.is_some() || knob.spec().scope != Scope::Named, "{name}: {} on what?", setting.knob);
            assert!(setting.reason.len() > 15 && !setting.reason.ends_with('.'), "{name}: {}", setting.reason);
        }
    }
}
