//! What planning and applying each shipped profile costs on a host with 256 CPUs and a card with 128 queues. With TMPDIR on a
//! file system in memory no flush of the journal is waited for.

#![allow(clippy::print_stdout, reason = "it is there to print")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use quell::tune::journal::Store;
use quell::tune::profile::{SHIPPED, TuningProfile};
use quell::tune::{Terms, Unless, apply, planned, rollback};
use quell_tests::fake_host;

fn main() {
    let fake = fake_host::large();
    for (name, _) in SHIPPED {
        let begin = Instant::now();
        let host = fake.host();
        let facts = begin.elapsed();
        let profile = TuningProfile::load(name, Path::new("/nonexistent")).expect("a shipped profile");
        let plan = planned(&host, &profile, &BTreeMap::new()).expect("a plan");
        let (steps, same) = (plan.steps.len(), plan.unchanged.len());
        println!(
            "{name}: planned in {:?}, of which {facts:?} for the host; {steps} steps, {same} values as wanted",
            begin.elapsed()
        );
        let (begin, store) = (Instant::now(), Store::of(&host.root));
        let applied = apply(&host, &store, &plan, &Terms::at(0)).expect("applied");
        let taken = begin.elapsed();
        println!("{name}: applied in {taken:?}, {} steps refused", applied.refused.len());
        let begin = Instant::now();
        let undone = rollback(&host, &store, None, Unless::Changed).expect("rolled back");
        let taken = begin.elapsed();
        assert!(undone.iter().all(|(_, undone)| undone.as_ref().is_ok_and(|undone| undone.left.is_empty())));
        println!("{name}: rolled back in {taken:?}");
    }
}
