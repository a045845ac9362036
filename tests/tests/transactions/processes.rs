//! A plan and what is applied are about the same processes.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

use anyhow::Result;
use quell::tune::plan::plan;
use quell::tune::profile::TuningProfile;
use quell::tune::transaction::{self, ApplyOptions};
use quell_tests::fake_host::{FakeHost, small_vm};
use quell_tests::needs;

use crate::case::Case;
use crate::prompt::{answer, asked};

const SETTING: &str = "[[set]]\nknob = \"process.policy\"\non = \"redis*\"\nvalue = \"fifo:50\"\nreason = \"a test\"\n";
const REDIS: u32 = 112;
const MALLORY: u32 = 1000;

fn start(host: &FakeHost, pid: u32, name: &str, user: u32) {
    let stat = format!("{pid} ({name}) S 1 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {} 0 0 0\n", pid * 10);
    host.put(&format!("/proc/{pid}/stat"), &stat);
    host.put(&format!("/proc/{pid}/task/{pid}/stat"), &stat);
    host.put(&format!("/proc/{pid}/status"), format!("Name:\t{name}\nUid:\t{user}\t{user}\t{user}\t{user}\n"));
    host.put(&format!("/proc/{pid}/cgroup"), "0::/system.slice/redis.service\n");
    symlink(format!("/usr/bin/{name}"), host.at(&format!("/proc/{pid}/exe"))).expect("a link");
}

fn redis() -> FakeHost {
    let host = small_vm();
    host.put("/etc/passwd", "root:x:0:0::/:\nredis:x:112:112::/:\nmallory:x:1000:1000::/:\n");
    start(&host, 900, "redis-server", REDIS);
    host
}

fn policy(host: &FakeHost, pid: u32) -> Option<String> {
    let file = format!("/run/quell-fake/threads/{pid}/policy");
    host.at(&file).exists().then(|| host.read(&file).trim().to_owned())
}

#[test]
fn a_plan_lists_every_process_with_its_user_and_executable() -> Result<()> {
    let case = Case::on(redis(), SETTING)?;
    start(&case.host, 901, "redis-sentinel", REDIS);
    let profile = case.apply()[1].to_owned();
    let plan = case.quell(&["plan", &profile])?.expect_code(0)?.stdout;
    for line in
        ["900 (redis-server) of redis, /usr/bin/redis-server", "901 (redis-sentinel) of redis, /usr/bin/redis-sentinel"]
    {
        assert!(plan.contains(line), "{plan}");
    }
    assert!(plan.contains("for example `name=redis*,user=redis`"), "{plan}");
    let json = case.quell(&["plan", &profile, "--json"])?.expect_code(0)?.stdout;
    let json: serde_json::Value = serde_json::from_str(&json)?;
    let processes = json["steps"][0]["processes"].as_array().expect("processes");
    let of = |key: &str| processes.iter().map(|process| process[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("pid"), [900, 901]);
    assert_eq!((of("uid"), of("euid")), (vec![112.into(), 112.into()], vec![112.into(), 112.into()]));
    assert_eq!(of("executable"), ["/usr/bin/redis-server", "/usr/bin/redis-sentinel"]);
    Ok(())
}

#[test]
fn a_users_process_that_is_called_like_the_others_is_refused_and_nothing_is_set() -> Result<()> {
    let case = Case::on(redis(), SETTING)?;
    start(&case.host, 950, "redis-x", MALLORY);
    let before = case.host.snapshot();
    let profile = case.apply()[1].to_owned();
    for verb in [&["plan", &profile][..], &["apply", &profile, "--yes"]] {
        let refused = case.quell(verb)?.expect_code(2)?.stderr;
        assert!(refused.contains("950 (redis-x) of mallory, /usr/bin/redis-x"), "{refused}");
        assert!(refused.contains("900 (redis-server) of redis"), "{refused}");
        assert!(refused.lines().any(|line| line.starts_with("hint: name the user or the cgroup")), "{refused}");
    }
    assert_eq!(case.host.snapshot(), before);
    Ok(())
}

#[test]
fn a_rule_that_names_the_user_sets_the_users_processes_alone_and_undoes_it() -> Result<()> {
    let case = Case::on(
        redis(),
        &format!("{}\n[variables]\nowner = \"redis\"\n", SETTING.replace("redis*", "name=redis*,user=${owner}")),
    )?;
    start(&case.host, 950, "redis-x", MALLORY);
    case.quell(&case.apply())?.expect_code(0)?;
    assert_eq!((policy(&case.host, 900).as_deref(), policy(&case.host, 950)), (Some("fifo:50"), None));
    case.quell(&["rollback"])?.expect_code(0)?;
    assert_eq!(policy(&case.host, 900).as_deref(), Some("other:0"));
    let profile = case.apply()[1].to_owned();
    case.quell(&["apply", &profile, "--yes", "--set", "owner=mallory"])?.expect_code(0)?;
    assert_eq!(policy(&case.host, 950).as_deref(), Some("fifo:50"));
    Ok(())
}

#[test]
fn what_begins_between_a_plan_and_its_apply_is_not_set() -> Result<()> {
    for (user, is_refused) in [(REDIS, false), (MALLORY, true), (0, true)] {
        // By cgroup, so that the users of the rule are not its name's alone.
        for on in ["redis*", "/system.slice/redis.service"] {
            let case = Case::on(redis(), &SETTING.replace("redis*", on))?;
            let profile = TuningProfile::load(case.apply()[1], std::path::Path::new("/nonexistent"))?;
            let plan = plan(&case.host.host(), &profile, &BTreeMap::new())?;
            start(&case.host, 950, "redis-x", user);
            let applied = transaction::apply(&case.host.host(), &case.store()?, &plan, &ApplyOptions::at(0));
            assert_eq!(applied.is_err(), is_refused, "{user} {on}: {applied:?}");
            assert_eq!(policy(&case.host, 950), None, "{user} {on}");
            let expected = (!is_refused).then(|| "fifo:50".to_owned());
            assert_eq!(policy(&case.host, 900), expected, "{user} {on}");
            if let Err(refused) = applied {
                assert!(refused.to_string().contains("950 (redis-x)"), "{refused}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_process_that_takes_the_place_of_the_planned_one_is_not_set() -> Result<()> {
    let case = Case::on(redis(), SETTING)?;
    let profile = TuningProfile::load(case.apply()[1], std::path::Path::new("/nonexistent"))?;
    let plan = plan(&case.host.host(), &profile, &BTreeMap::new())?;
    std::fs::remove_dir_all(case.at("/proc/900"))?;
    start(&case.host, 950, "redis-server", MALLORY);
    let refused =
        transaction::apply(&case.host.host(), &case.store()?, &plan, &ApplyOptions::at(0)).expect_err("another user's");
    assert!(refused.to_string().contains("950 (redis-server) of mallory"), "{refused}");
    assert_eq!(policy(&case.host, 950), None);
    Ok(())
}

#[test]
fn what_begins_while_the_question_is_open_is_not_set() -> Result<()> {
    needs!(Program("script"));
    let case = Case::on(redis(), SETTING)?;
    let child = asked(&case)?;
    // The only one by now: the host would be planned for it alone.
    std::fs::remove_dir_all(case.at("/proc/900"))?;
    start(&case.host, 950, "redis-server", MALLORY);
    let (code, text) = answer(child, "y\n")?;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("950 (redis-server) of mallory"), "{text}");
    assert_eq!(policy(&case.host, 950), None);
    Ok(())
}
