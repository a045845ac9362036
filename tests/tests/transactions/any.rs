//! Any plan, with any edits by others, cut anywhere: what is undone is as it was, or is named as left with what it was.

use std::fs;

use proptest::prelude::*;
use proptest::sample::Index;
use quell::host::Host;
use quell::tune::plan::{Plan, Step, plan};
use quell::tune::profile::TuningProfile;
use quell::tune::transaction::journal::{Phase, Store, Transaction, TransactionId};
use quell::tune::transaction::{ApplyOptions, BootTime, OnConflict, apply, recover, roll_back};
use quell::tune::value::{KnobTarget, Value};
use quell_tests::fake_host::{FakeHost, small_vm};

use crate::case::{FIRST, JOURNALS, SECOND, THIRD};

const QUEUES: [&str; 2] = ["/sys/class/net/eth0/queues/rx-0/rps_cpus", "/sys/class/net/eth0/queues/rx-1/rps_cpus"];
const FILES: [&str; 5] = [FIRST, SECOND, THIRD, QUEUES[0], QUEUES[1]];

/// What a profile sets each of four things to, where it does: the last has two parts, each with a file.
type Settings = [Option<u32>; 4];

fn small() -> impl Strategy<Value = Option<u32>> {
    // Few, so that they are often the same as what is there, or was.
    prop::option::of(1_u32..4)
}

fn settings() -> impl Strategy<Value = Settings> {
    [small(), small(), small(), small()]
}

fn planned(host: &Host, fake: &FakeHost, settings: Settings) -> Plan {
    let on = |file: &str| match file {
        FIRST => "knob = \"sysctl\"\non = \"vm.stat_interval\"",
        SECOND => "knob = \"sysctl\"\non = \"net.core.busy_poll\"",
        THIRD => "knob = \"memory.swappiness\"",
        _ => "knob = \"net.rps_cpus\"\non = \"eth0\"",
    };
    let mut text = "summary = \"a test\"\n".to_owned();
    for (file, value) in FILES.iter().zip(settings) {
        let Some(value) = value else { continue };
        let value = match *file {
            THIRD => value.to_string(),
            // CPUs as their mask says them.
            file if file == QUEUES[0] => format!("\"{}\"", ["0", "1", "0-1"][value as usize - 1]),
            _ => format!("\"{value}\""),
        };
        text += &format!("[[set]]\n{}\nvalue = {value}\nreason = \"a test\"\n", on(file));
    }
    let path = fake.at("/any.toml");
    fs::write(&path, text).expect("a profile");
    let profile = TuningProfile::load(path.to_str().expect("text"), fake.path()).expect("a profile");
    fs::remove_file(path).expect("it was there");
    plan(host, &profile, &Default::default()).expect("what this host can do")
}

fn now(fake: &FakeHost) -> [String; 5] {
    FILES.map(|file| fake.read(file).trim().to_owned())
}

/// Cuts the newest journal somewhere after its last intent: what comes then may be lost with the power.
fn cut(fake: &FakeHost, id: TransactionId, at: Index) {
    let path = fake.at(&format!("{JOURNALS}/{id}.journal"));
    let text = fs::read(&path).expect("a journal");
    let name = b"\"record\":\"intent\"";
    let last = text.windows(name.len()).rposition(|window| window == name).expect("an intent");
    let end = last + text[last..].iter().position(|byte| *byte == b'\n').expect("its end") + 1;
    fs::write(path, &text[..end + at.index(text.len() - end + 1)]).expect("a shorter one");
}

/// Whether a step sets a file.
fn is_of(index: usize, step: &Step) -> bool {
    match index {
        0 => step.target == KnobTarget::Name("vm.stat_interval".to_owned()),
        1 => step.target == KnobTarget::Name("net.core.busy_poll".to_owned()),
        2 => step.knob == "memory.swappiness",
        _ => step.knob == "net.rps_cpus",
    }
}

/// Whether something that was left is named with what a file said.
fn is_named(store: &Store, index: usize, original: &str) -> bool {
    let transactions = store.transactions().expect("a list").readable;
    let says = |before: &Value| match index.checked_sub(3) {
        None => before.complete() == original,
        // No CPUs.
        Some(queue) => before.complete().contains(&format!("\"rx-{queue}\":{{\"cpus\":\"\"}}")),
    };
    let named = |transaction: &Transaction| {
        transaction.not_restored().any(|(step, before, _)| is_of(index, step) && says(before))
    };
    transactions.iter().any(named)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_undone_is_as_it_was_or_is_named(
        plans in prop::collection::vec(settings(), 1..4),
        edits in [small(), small(), small(), small(), small()],
        cut_at in prop::option::of(any::<Index>()),
    ) {
        let fake = small_vm();
        let (host, before) = (fake.host(), now(&fake));
        let store = Store::of(&host.root);
        let mut last = None;
        for settings in plans {
            let plan = planned(&host, &fake, settings);
            if !plan.steps.is_empty() {
                last = Some(apply(&host, &store, &plan, &ApplyOptions::at(0)).expect("applied").id);
            }
        }
        if let (Some(last), Some(at)) = (last, cut_at) {
            cut(&fake, last, at);
        }
        for (file, edit) in FILES.iter().zip(edits) {
            if let Some(edit) = edit {
                fake.put(file, edit.to_string());
            }
        }
        recover(&host, &store, BootTime(0), OnConflict::Keep).expect("recovered");
        let is_open = || store.transactions().expect("a list").readable.iter().any(|one| one.phase != Phase::RolledBack);
        while is_open() {
            roll_back(&host, &store, None, OnConflict::Keep).expect("rolled back");
        }
        let transactions = store.transactions().expect("a list").readable;
        let was_set = |index: usize| {
            let steps = transactions.iter().flat_map(|transaction| &transaction.steps);
            steps.map(|(step, _)| step).any(|step| is_of(index, step))
        };
        let undone = now(&fake);
        for (index, now) in undone.iter().enumerate() {
            let (file, before) = (FILES[index], &before[index]);
            prop_assert!(now == before || edits[index].is_some(), "{file} was {before}, nobody else has set it, and it is {now}");
            prop_assert!(
                now == before || !was_set(index) || is_named(&store, index, before),
                "{file} was {before}, is {now}, and is not named with that"
            );
        }
        if last.is_some() {
            roll_back(&host, &store, Some(TransactionId(1)), OnConflict::Overwrite).expect("rolled back");
            for (index, now) in now(&fake).iter().enumerate() {
                let wanted = if was_set(index) { &before[index] } else { &undone[index] };
                prop_assert_eq!(now, wanted, "{}", FILES[index]);
            }
            let left = store.transactions().expect("a list").readable;
            prop_assert_eq!(left.iter().map(|transaction| transaction.not_restored().count()).sum::<usize>(), 0);
        }
    }
}
