//! What is wrong with a profile is said with its file, line and key.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use quell::tune::plan::{Variables, resolve};
use quell::tune::profile::TuningProfile;
use quell_tests::fake_host::{FakeHost, small_vm, two_socket_intel};
use tempfile::TempDir;

/// Writes files into a directory, and loads the profile `a` there.
fn load(files: &[(&str, &str)]) -> (TempDir, Result<TuningProfile, String>) {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    let loaded = TuningProfile::load("a", folder.path());
    let named = |text: String| text.replace(&format!("{}/", folder.path().display()), "");
    let loaded = loaded.map_err(|error| named(error.to_string()));
    (folder, loaded)
}

fn wrong(text: &str) -> String {
    load(&[("a.toml", text)]).1.expect_err("it is wrong")
}

/// A profile that loads, and is wrong on a host with two CPUs.
fn wrong_here(text: &str, given: &[(&str, &str)]) -> String {
    let (folder, profile) = load(&[("a.toml", text)]);
    let profile = profile.expect("a profile");
    let given: BTreeMap<String, String> = given.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
    let fake = small_vm();
    let host = fake.host();
    let error = match Variables::resolve(&host, &profile.variables, &given) {
        Ok(variables) => resolve(&profile, &host, &variables).err(),
        Err(error) => Some(error),
    };
    let error = error.expect("it is wrong here").to_string();
    error.replace(&format!("{}/", folder.path().display()), "")
}

fn setting(lines: &str) -> String {
    format!("summary = \"a test\"\n\n[[set]]\n{lines}\nreason = \"to see what is said\"\n")
}

#[test]
fn an_unknown_knob_with_the_one_that_may_have_been_meant() {
    let error = wrong(&setting("knob = \"cpu.govenor\"\nvalue = \"performance\""));
    assert_eq!(
        error,
        "a.toml:4: knob: there is no knob `cpu.govenor`\nhint: did you mean `cpu.governor`? `quell list knobs` lists all"
    );
    let error = wrong(&setting("knob = \"gpu\"\nvalue = 1"));
    assert_eq!(error, "a.toml:4: knob: there is no knob `gpu`\nhint: `quell list knobs` lists all");
}

#[test]
fn an_unknown_key() {
    let error = wrong(&setting("knob = \"memory.ksm\"\nvalue = 0\nvlaue = 1"));
    assert!(error.starts_with("a.toml:6: unknown field `vlaue`, expected one of `knob`"), "{error}");
    let error = wrong("summary = \"a test\"\ninclud = []\n");
    assert!(error.starts_with("a.toml:2: unknown field `includ`"), "{error}");
    let error = wrong(&setting("knob = \"memory.ksm\"\nvalue = 0\nif = { cpu = 2 }"));
    assert!(error.starts_with("a.toml:6: unknown field `cpu`"), "{error}");
}

#[test]
fn a_setting_without_a_reason() {
    let error = wrong("summary = \"a test\"\n[[set]]\nknob = \"memory.ksm\"\nvalue = 0\n");
    assert_eq!(error, "a.toml:3: knob: memory.ksm has no `reason`");
    let error = wrong("summary = \"a test\"\n[[set]]\nknob = \"memory.ksm\"\nreason = \"to see\"\n");
    assert_eq!(error, "a.toml:3: knob: memory.ksm has no `value`");
    let error = wrong("summary = \"a test\"\n[[set]]\nknob = \"memory.ksm\"\nvalue = 0\nreason = \" \"\n");
    assert_eq!(error, "a.toml:5: reason: the reason is empty: plans display it");
}

#[test]
fn no_toml() {
    let error = wrong("summary = \"a test\"\n[[set]\n");
    assert!(error.starts_with("a.toml:2: "), "{error}");
}

#[test]
fn what_people_write_by_mistake_is_told_from_what_is_right() {
    let error = wrong("summary = \"a test\"\ninclude = \"latency\"\n");
    assert!(error.starts_with("a.toml:2: ") && error.ends_with("include = [\"latency\"]"), "{error}");
    let error = wrong("[main]\nsummary=Optimize\n\n[cpu]\ngovernor=performance\n");
    assert!(error.contains("a profile of tuned: docs/tuned.md"), "{error}");
    let unknown = |name: &str| TuningProfile::load(name, Path::new("/no/such/folder")).expect_err(name).to_string();
    assert!(unknown("latancy").contains("hint: did you mean `latency`? "), "{}", unknown("latancy"));
    assert!(
        unknown("Cargo.lock").starts_with("there is no profile `Cargo.lock`; known profiles are latency,"),
        "{}",
        unknown("Cargo.lock")
    );
}

/// The examples of the page are profiles, with the keys and conditions that it names.
#[test]
fn the_docs_tell_how_to_write_one() {
    let page = include_str!("../../docs/profiles.md");
    let examples: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let (_folder, profile) = load(&[("a.toml", example)]);
        let profile = profile.expect("a profile");
        let used = profile.used_variables();
        assert!(used.contains("nics") && used.contains("log_disk") && !used.contains("isolated"), "{profile:?}");
        let fake = small_vm();
        let variables = Variables::resolve(&fake.host(), &profile.variables, &BTreeMap::new()).expect("variables");
        resolve(&profile, &fake.host(), &variables).expect("wants");
    }
    // What it does not take, and what it would.
    let condition = wrong(&setting("knob = \"memory.ksm\"\nvalue = 0\nif = { none = 2 }"));
    let expected = condition.split("expected one of ").nth(1).expect("names");
    for name in expected.split(", ").map(|name| name.trim_matches('`')) {
        assert!(page.contains(&format!("`{name}`")), "the page does not have {name}");
    }
    for variable in ["nics", "isolated", "housekeeping", "queue_cpus"] {
        assert!(page.contains(&format!("| `{variable}` |")), "the page does not have {variable}");
    }
}

#[test]
fn a_value_that_the_knob_does_not_take() {
    for (lines, said) in [
        ("knob = \"memory.swappiness\"\nvalue = 201", "`201` is not a number from 0 to 200"),
        ("knob = \"sched.timer_migration\"\nvalue = 1", "`1` is not on or off"),
        ("knob = \"memory.thp\"\nvalue = \"sometimes\"", "`sometimes` is not one of always, madvise, never"),
        (
            "knob = \"memory.dirty_limit\"\nvalue = \"101 %\"",
            "`101 %` is not a share such as `10 %`, or a number of bytes",
        ),
        ("knob = \"sched.watchdog_cpumask\"\nvalue = \"3-1\"", "`3-1` is not a list of CPUs such as 2-5,8"),
        (
            "knob = \"net.rss_table\"\nvalue = \"garbage\"",
            "`garbage` is not `equal 4`, `queues 2 3`, or `table` and a queue for each bucket",
        ),
        (
            "knob = \"net.rss_table\"\nvalue = \"queues two\"",
            "`queues two` is not `equal 4`, `queues 2 3`, or `table` and a queue for each bucket",
        ),
        (
            "knob = \"cpu.idle_disabled\"\nvalue = \"above C1\"",
            "`above C1` is not `none`, `above 10` in us, or names of idle states",
        ),
        (
            "knob = \"process.policy\"\non = \"nginx\"\nvalue = \"fifo:200\"",
            "`fifo:200` is not a scheduling policy: fifo:50, rr:10, other:0, batch:0, idle, or \
             deadline:RUNTIME/DEADLINE/PERIOD in ns",
        ),
        (
            "knob = \"process.memory_nodes\"\non = \"/a.slice\"\nvalue = \"near\"",
            "`near` is not a list of NUMA nodes such as 0-1",
        ),
        (
            "knob = \"process.cgroup\"\non = \"nginx\"\nvalue = \"system.slice\"",
            "`system.slice` is not a cgroup from the root of the hierarchy such as /system.slice",
        ),
        (
            "knob = \"net.flow_rule\"\non = \"eth0:1\"\nvalue = \"udp4 dst-port 5000\"",
            "`udp4 dst-port 5000` is not a rule such as `udp4 dst-port 5000 queue 3`, or empty",
        ),
        (
            "knob = \"boot.parameter\"\non = \"init\"\nvalue = \"a b\"",
            "`a b` is not text without spaces and characters that a shell interprets (\"'$`\\;&|<>(){})",
        ),
        (
            "knob = \"cpu.frequency\"\nvalue = [2000, 1000]",
            "`2000 1000` is not a range in kHz such as `1000 2000`, `min 2000` or `max max`",
        ),
    ] {
        let line = if lines.contains("\non = ") { 6 } else { 5 };
        assert_eq!(wrong(&setting(lines)), format!("a.toml:{line}: value: {said}"));
    }
}

#[test]
fn the_same_setting_twice() {
    let twice = format!("{}\n[[set]]\nknob = \"memory.ksm\"\nvalue = 1\nreason = \"another one\"\n", {
        setting("knob = \"memory.ksm\"\nvalue = 0")
    });
    assert_eq!(
        wrong(&twice),
        "a.toml:9: knob: memory.ksm is set twice on the same targets; the first time is on line 4"
    );
}

#[test]
fn profiles_that_include_each_other() {
    let including = |name: &str| format!("summary = \"a test\"\ninclude = [\"{name}\"]\n");
    let files = [("a.toml", including("b")), ("b.toml", including("c")), ("c.toml", including("b"))];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let error = load(&files).1.expect_err("a cycle");
    assert_eq!(error, "c.toml:2: include: b includes itself: b > c > b");
}

#[test]
fn a_profile_that_there_is_not() {
    let error = load(&[("mine.toml", "summary = \"a test\"\n")]).1.expect_err("no such profile");
    let known = "latency, mine, network-latency, throughput, trading";
    assert_eq!(error, format!("there is no profile `a`; known profiles are {known}\nhint: for a file, give its path"));
}

#[test]
fn cpus_and_interfaces_that_the_host_does_not_have() {
    let error = wrong_here(&setting("knob = \"cpu.governor\"\non = \"0-3\"\nvalue = \"performance\""), &[]);
    assert_eq!(error, "a.toml:4: cpu.governor (on): there are no CPUs 2-3: the last is 1");
    let error = wrong_here(&setting("knob = \"memory.hugepages_2m\"\non = \"1\"\nvalue = 8"), &[]);
    assert_eq!(error, "a.toml:4: memory.hugepages_2m (on): there is no NUMA node 1");
    let error = wrong_here(&setting("knob = \"net.mtu\"\non = \"eth7\"\nvalue = 9000"), &[]);
    assert_eq!(error, "a.toml:4: net.mtu (on): there is no network interface eth7; there are eth0");
    let error = wrong_here(&setting("knob = \"sched.watchdog_cpumask\"\nvalue = \"0-500\""), &[]);
    assert_eq!(error, "a.toml:4: sched.watchdog_cpumask (value): there are no CPUs 2-500: the last is 1");
    let uses = setting("knob = \"sched.watchdog_cpumask\"\nvalue = \"${housekeeping}\"");
    let error = wrong_here(&uses, &[("isolated", "1,200")]);
    assert_eq!(error, "--set isolated: there are no CPUs 200: the last is 1");
    let own = format!("{uses}[variables]\nisolated = \"0\"\n");
    assert_eq!(wrong_here(&own, &[("isolated", "1,200")]), error, "given, and not as written");
    let error = wrong_here(&uses, &[("queue_cpus", "some")]);
    assert!(error.starts_with("--set queue_cpus: `some` is not a CPU list"), "{error}");
    let error = wrong_here(&setting("knob = \"cpu.uncore_frequency\"\non = \"die9\"\nvalue = \"max max\""), &[]);
    assert_eq!(error, "a.toml:4: cpu.uncore_frequency (on): this host has no die");
}

#[test]
fn memory_nodes_of_what_is_no_cgroup() {
    let error = wrong_here(&setting("knob = \"process.memory_nodes\"\non = \"nginx\"\nvalue = \"0\""), &[]);
    assert_eq!(
        error,
        "a.toml:4: process.memory_nodes (on): `nginx` is not a cgroup: give its path from the root of the hierarchy such as \
         /system.slice/nginx.service; the nodes of a single process cannot be set"
    );
}

#[test]
fn a_setting_for_hosts_without_smt_is_left_out_with_the_reason_where_cores_have_two_cpus() {
    let (_folder, profile) = load(&[("a.toml", &setting("knob = \"memory.ksm\"\nvalue = 1\nif = { smt = false }"))]);
    let profile = profile.expect("a profile");
    let left_out = |fake: &FakeHost| -> Vec<String> {
        let host = fake.host();
        let variables = Variables::resolve(&host, &profile.variables, &BTreeMap::new()).expect("variables");
        let (_, inapplicable) = resolve(&profile, &host, &variables).expect("wants");
        inapplicable.into_iter().map(|setting| setting.reason).collect()
    };
    assert_eq!(left_out(&small_vm()), Vec::<String>::new());
    assert_eq!(left_out(&two_socket_intel()), ["only for hosts without SMT (two online CPUs per core)"]);
}

#[test]
fn variables_that_are_not_defined_or_use_each_other() {
    let text = setting("knob = \"sched.watchdog_cpumask\"\nvalue = \"${spare}\"");
    assert_eq!(wrong_here(&text, &[]), "a.toml:4: sched.watchdog_cpumask (value): there is no variable `spare`");
    let text = format!("{text}\n[variables]\nspare = \"${{other}}\"\nother = \"${{spare}}\"\n");
    assert!(
        wrong_here(&text, &[]).ends_with("a variable uses itself: other > spare > other"),
        "{}",
        wrong_here(&text, &[])
    );
    let text = setting("knob = \"memory.ksm\"\nvalue = 0");
    let error = wrong_here(&text, &[("isolatd", "1")]);
    assert!(
        error
            == "--set isolatd: the profile has no variable `isolatd`; it has housekeeping, isolated, nics, queue_cpus",
        "{error}"
    );
    let error = wrong_here(&text, &[("isolated", "1"), ("housekeeping", "0-1")]);
    assert_eq!(error, "--set housekeeping: CPUs 1 are in both `housekeeping` (0-1) and `isolated` (1)");
    let error = wrong_here(&text, &[("nics", "eth9")]);
    assert_eq!(error, "--set nics: there is no network interface eth9; there are eth0");
    let error = wrong_here(&text, &[("isolated", "0-1")]);
    assert!(error.starts_with("--set isolated: 0-1 are all CPUs of this host"), "{error}");
}

#[test]
fn a_later_setting_takes_the_place_of_an_included_one() {
    let base = setting("knob = \"memory.swappiness\"\nvalue = 10");
    let own = base.replace("value = 10", "value = 20").replace("\n\n", "\ninclude = [\"base\"]\n\n");
    let (_folder, profile) = load(&[("base.toml", &base), ("a.toml", &own)]);
    let profile = profile.expect("a profile");
    let values: Vec<_> = profile.settings.iter().map(|setting| (setting.knob, setting.value.as_str())).collect();
    assert_eq!(values, [("memory.swappiness", "20")]);
}

#[test]
fn a_shipped_profile_may_be_included_and_a_file_of_its_name_stands_before_it() {
    let (folder, profile) = load(&[("a.toml", "summary = \"a test\"\ninclude = [\"latency\"]\n")]);
    assert!(profile.expect("a profile").settings.iter().any(|setting| setting.knob == "memory.ksm"));
    fs::write(folder.path().join("latency.toml"), "summary = \"mine\"\n").expect("a file");
    let own = TuningProfile::load("latency", Path::new(folder.path())).expect("a profile");
    assert_eq!((own.summary.as_str(), own.settings.len()), ("mine", 0));
}
