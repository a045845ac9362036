//! The tables of knobs.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::knob::Knob;
use super::{boot, cpu, irq, isolation, memory, net, process, sched, sysctl, unit};

/// The families, in the order of listings and documentation.
static FAMILIES: &[&[&'static dyn Knob]] = &[
    cpu::KNOBS,
    isolation::KNOBS,
    memory::KNOBS,
    sched::KNOBS,
    irq::KNOBS,
    process::KNOBS,
    unit::KNOBS,
    sysctl::KNOBS,
    boot::KNOBS,
];

/// The knobs by id: a plan for many CPUs and queues looks up thousands of knobs.
static BY_ID: LazyLock<HashMap<&'static str, &'static dyn Knob>> =
    LazyLock::new(|| all().map(|knob| (knob.spec().id, knob)).collect());

/// Every knob, family by family.
#[must_use]
pub fn knobs() -> Vec<&'static dyn Knob> {
    all().collect()
}

/// The knob with this id.
#[must_use]
pub fn by_id(id: &str) -> Option<&'static dyn Knob> {
    BY_ID.get(id).copied()
}

fn all() -> impl Iterator<Item = &'static dyn Knob> {
    FAMILIES.iter().chain(net::KNOBS).copied().flatten().copied()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::tune::knob::{KnobSpec, Risk};
    use crate::tune::value::{KnobTarget, Scope, ValueKind};

    #[test]
    fn every_knob_is_described() {
        let mut ids = HashSet::new();
        for knob in knobs() {
            let KnobSpec { id, doc, source, kind, scope, .. } = knob.spec();
            assert!(ids.insert(*id), "{id} is there twice");
            let letters = |part: &str| {
                !part.is_empty()
                    && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            };
            assert!(id.split('.').all(letters), "{id}: lower-case words with dots between");
            assert!(id.contains('.') || *scope == Scope::Named, "{id} has no family");
            assert!(doc.len() > 20 && doc.ends_with('.') && !doc.contains("  "), "{id}: `{doc}`");
            assert!(!source.is_empty(), "{id} has no source");
            if let ValueKind::Word(words) = kind {
                assert!(words.len() > 1, "{id}");
            }
            let risk = match knob.spec().risk {
                Risk::Low => "low",
                Risk::Medium(risk) | Risk::High(risk) => risk,
            };
            assert!(!risk.is_empty() && !risk.ends_with('.'), "{id}: `{risk}`");
            assert!(by_id(id).is_some_and(|known| known.spec().id == *id));
        }
        assert!(ids.len() > 50, "{}", ids.len());
    }

    /// Otherwise quell would treat the same file as two values if a profile also sets it with `sysfs`.
    #[test]
    fn knobs_that_do_more_than_write_a_file_name_the_file() {
        for id in ["memory.thp", "cpu.smt", "cpu.platform_profile"] {
            let file = by_id(id).expect(id).file_path(&KnobTarget::Host).expect(id);
            assert!(file.starts_with("/sys/"), "{id}: {file}");
        }
    }
}
