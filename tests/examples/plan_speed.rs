//! What a plan of each shipped profile costs on a host with 256 CPUs and a card with 128 queues.

#![allow(clippy::print_stdout, reason = "it is there to print")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use quell::tune::profile::{SHIPPED, TuningProfile};
use quell::tune::{Variables, plan, survey, wants};
use quell_tests::fake_host;

fn main() {
    let fake = fake_host::large();
    for (name, _) in SHIPPED {
        let begin = Instant::now();
        let host = fake.host();
        let facts = begin.elapsed();
        let profile = TuningProfile::load(name, Path::new("/nonexistent")).expect("a shipped profile");
        let variables = Variables::resolve(&host, &profile.variables, &BTreeMap::new()).expect("variables");
        let (wants, inapplicable) = wants(&profile, &host, &variables).expect("wants");
        let count = wants.len();
        let plan = plan(name, Vec::new(), survey(&host, wants), inapplicable);
        let steps = plan.steps.len();
        println!("{name}: {:?}, of which {facts:?} for the host; {count} values, {steps} steps", begin.elapsed());
    }
}
