//! What the docs say that can be held against the code.

use std::fs;
use std::path::Path;

use quell::tune::knob;
use quell::tune::profile::TuningProfile;
use quell::tune::value::Scope;

/// A row's `KNOB(ON) = VALUE`, taken apart.
fn setting(cell: &str) -> (&str, Option<&str>, &str) {
    let (name, value) = cell.trim_matches('`').split_once(" = ").expect(cell);
    let (id, on) = name.split_once('(').map_or((name, None), |(id, on)| (id, on.strip_suffix(')')));
    (id, on, value)
}

#[test]
fn everything_that_tuned_sets_is_a_knob_that_takes_the_value() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tuned.md");
    let page = fs::read_to_string(page).expect("the page").replace("\\|", "/");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    // All that tuned's profiles set: one that goes missing is seen.
    assert_eq!(rows.len(), 58);
    let has = |tuned: &str, quell: &str| rows.iter().any(|row| row[0] == tuned && row[1] == quell);
    assert!(has("`[vm] transparent_hugepages=always`", "`memory.thp = always`"), "hpc-compute");
    for row in rows {
        let &[_, cell, profile] = &row[..] else { panic!("{row:?}") };
        let (id, on, value) = setting(cell);
        let knob = knob::by_id(id).unwrap_or_else(|| panic!("no knob {id}"));
        let spec = knob.spec();
        knob.parse(value).unwrap_or_else(|error| panic!("{id}: {error}"));
        assert!(on.is_some() || spec.scope != Scope::Named, "{id} needs a name");
        if ["latency", "network-latency", "trading", "throughput"].contains(&profile) {
            let profile = TuningProfile::load(profile, Path::new("/nonexistent")).expect("a profile");
            let same = profile
                .settings
                .iter()
                .find(|setting| setting.knob == id && (on.is_none() || setting.on.as_deref() == on));
            assert!(same.is_some(), "{} does not set {id}", profile.name);
        }
    }
}
