//! Measures planning and applying each shipped profile on a host with 256 CPUs and a network card with 128 queues. Set TMPDIR to a
//! tmpfs to exclude the flushes of the journal.

#![allow(clippy::print_stdout, reason = "it prints measurements")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use quell::tune::plan::plan;
use quell::tune::profile::{SHIPPED, TuningProfile};
use quell::tune::transaction::journal::Store;
use quell::tune::transaction::{ApplyOptions, OnConflict, apply, roll_back};
use quell_tests::fake_host;

fn main() {
    let fake = fake_host::large();
    for (name, _) in SHIPPED {
        let begin = Instant::now();
        let host = fake.host();
        let facts = begin.elapsed();
        let profile = TuningProfile::load(name, Path::new("/nonexistent")).expect("a shipped profile");
        let plan = plan(&host, &profile, &BTreeMap::new()).expect("a plan");
        let (steps, same) = (plan.steps.len(), plan.unchanged.len());
        println!(
            "{name}: planned in {:?}, of which {facts:?} for the host; {steps} steps, {same} values unchanged",
            begin.elapsed()
        );
        let (begin, store) = (Instant::now(), Store::of(&host.root));
        let applied = apply(&host, &store, &plan, &ApplyOptions::at(0)).expect("applied");
        let taken = begin.elapsed();
        println!("{name}: applied in {taken:?}, {} steps refused", applied.refused.len());
        let begin = Instant::now();
        let results = roll_back(&host, &store, None, OnConflict::Keep).expect("rolled back");
        let taken = begin.elapsed();
        assert!(results.iter().all(|(_, result)| result.as_ref().is_ok_and(|report| report.not_restored.is_empty())));
        println!("{name}: rolled back in {taken:?}");
    }
}
