//! What the guests gave, all together.

use std::collections::BTreeMap;

use super::boot::{Attempt, Death};
use super::kernel::Kernel;
use super::programs::Test;
use crate::verdict::Verdict;

/// Verdicts of tests by kernel.
#[derive(Debug, Default)]
pub(super) struct Results {
    verdicts: BTreeMap<String, BTreeMap<String, Verdict>>,
    retried: Vec<String>,
}

/// What one guest gave, with its second boot where it needed one.
pub(super) struct Added {
    kernel: String,
    verdicts: BTreeMap<String, Verdict>,
    lacking: Vec<Test>,
    death: Option<Death>,
    retried: Option<String>,
}

impl Added {
    /// The verdicts of a guest's first boot.
    pub(super) fn of(kernel: &Kernel, wanted: &[Test], first: Attempt) -> Self {
        let mut lacking = wanted.to_vec();
        lacking.retain(|test| !first.verdicts.contains_key(&test.name));
        Self { kernel: kernel.name.clone(), verdicts: first.verdicts, lacking, death: first.death, retried: None }
    }

    /// What became of the guest, where it did not end as it should.
    pub(super) fn death(&self) -> Option<&Death> {
        self.death.as_ref()
    }

    /// The tests without a verdict.
    pub(super) fn lacking(&self) -> &[Test] {
        &self.lacking
    }

    /// Adds what the second boot gave. What still lacks a verdict has failed.
    pub(super) fn retry(&mut self, again: Attempt) {
        self.retried = self.death.take().map(|death| death.how);
        self.verdicts.extend(again.verdicts);
        let how = again.death.map_or_else(|| "no result".to_owned(), |death| death.brief());
        for test in self.lacking.drain(..) {
            let failed = Verdict::Failed { why: format!("in two boots the guest did not end it: {how}") };
            self.verdicts.entry(test.name).or_insert(failed);
        }
    }

    /// In words.
    pub(super) fn summary(&self) -> String {
        let count = |chosen: fn(&Verdict) -> bool| self.verdicts.values().filter(|verdict| chosen(verdict)).count();
        let (passed, failed) =
            (count(|verdict| *verdict == Verdict::Passed), count(|verdict| matches!(verdict, Verdict::Failed { .. })));
        let skipped = self.verdicts.len() - passed - failed;
        let retried = if self.retried.is_some() { ", in two boots" } else { "" };
        format!("{passed} passed, {failed} failed, {skipped} skipped{retried}")
    }
}

impl Results {
    /// Takes in what a guest gave.
    pub(super) fn add(&mut self, added: Added) {
        for (test, verdict) in added.verdicts {
            self.verdicts.entry(test).or_default().insert(added.kernel.clone(), verdict);
        }
        let kernel = added.kernel;
        self.retried.extend(added.retried.map(|how| format!("{kernel}: {how}")));
    }

    /// Verdicts by test and kernel.
    pub(super) fn verdicts(&self) -> &BTreeMap<String, BTreeMap<String, Verdict>> {
        &self.verdicts
    }

    /// Why guests were booted a second time.
    pub(super) fn retried(&self) -> &[String] {
        &self.retried
    }

    /// Whether any test failed.
    pub(super) fn failed(&self) -> bool {
        self.verdicts.values().flat_map(BTreeMap::values).any(|verdict| matches!(verdict, Verdict::Failed { .. }))
    }
}
