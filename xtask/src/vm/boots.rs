//! Every guest of a run: which there are, and booting them, some at a time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::accelerator::Accelerator;
use super::attempt::Attempt;
use super::boot::{self, Setup};
use super::cache::Cache;
use super::guest::Guest;
use super::interrupt;
use super::kernel::Kernel;
use super::programs::{Programs, Test};
use super::results::{Added, Name, Results};

/// A guest to boot: some tests of one machine, on one kernel.
pub(super) struct Boot<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) guest: Guest,
    pub(super) tests: Vec<Test>,
}

/// What every boot of a run has.
pub(super) struct Host<'a> {
    pub(super) accelerator: Accelerator,
    pub(super) cache: &'a Cache,
    pub(super) programs: &'a Programs,
    /// Every test that there is.
    pub(super) tests: &'a [Test],
}

impl Host<'_> {
    /// Boots guests, so many at a time, and tells of each as it ends.
    pub(super) fn run(&self, boots: Vec<Boot<'_>>, jobs: usize) -> Result<Results> {
        let (queue, results) = (Mutex::new(boots.into_iter()), Mutex::new(Results::default()));
        let next = || queue.lock().expect("no guest's thread panics").next();
        let work = || -> Result<()> {
            while let Some(boot) = next() {
                let begin = Instant::now();
                let added = self.run_one(&boot)?;
                let (release, took) = (&boot.kernel.release, begin.elapsed().as_secs());
                println!("{} ({release}): {}, {took} s", boot.name(), added.summary());
                results.lock().expect("no guest's thread panics").add(added);
            }
            Ok(())
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("a guest's thread does not panic"))
        })?;
        Ok(results.into_inner().expect("no guest's thread panics"))
    }

    /// Boots a guest, and once more where it dies. What this host cannot do for it is a failure of its tests, and none of the
    /// other guests'; only an interruption ends all.
    fn run_one(&self, boot: &Boot<'_>) -> Result<Added> {
        let name = boot.name();
        let no_guest = |error: anyhow::Error| {
            println!("{name}: {error:#}");
            format!("{error:#}")
        };
        let [first, second] = directories(&self.cache.join("boots"), boot);
        let attempt = remove(&second).and_then(|()| self.attempt(boot, &boot.tests, &first)).map_err(no_guest);
        interrupt::check()?;
        let mut added = match attempt {
            Ok(attempt) => Added::of(name.clone(), &boot.tests, attempt),
            Err(why) => Added::of_no_boot(name.clone(), &boot.tests, &why),
        };
        if let Some(death) = added.death() {
            println!("{name}: {death}\n{name}: once more, for {} tests", added.lacking().len());
            let again = self.attempt(boot, added.lacking(), &second).map_err(no_guest);
            interrupt::check()?;
            if let Ok(Attempt { death: Some(death), .. }) = &again {
                println!("{name}: {death}");
            }
            added.retry(again);
        }
        if let Some(fault) = added.fault() {
            println!("{name}: the kernel is not well: {}", fault.how);
        }
        Ok(added)
    }

    fn attempt(&self, boot: &Boot<'_>, tests: &[Test], dir: &Path) -> Result<Attempt> {
        let setup = Setup { guest: &boot.guest, kernel: boot.kernel, accelerator: self.accelerator, cache: self.cache };
        boot::tests(setup, dir, self.programs, tests, self.tests)
    }
}

impl Boot<'_> {
    fn name(&self) -> Name {
        Name { kernel: self.kernel.name.clone(), machine: self.guest.machine }
    }
}

/// Where the boots of a guest leave their files: the first, and the second.
fn directories(boots: &Path, boot: &Boot<'_>) -> [PathBuf; 2] {
    let Name { kernel, machine } = boot.name();
    ["", ".retry"].map(|end| boots.join(format!("{kernel}-{machine}{end}")))
}

/// Removes a directory of an earlier run.
fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::machine::MACHINES;

    #[test]
    fn each_boot_has_a_directory_of_its_own() {
        let kernels = ["6.1", "6.12", "6.1-rt", "newest"].map(Kernel::example);
        let guests = || kernels.iter().flat_map(|kernel| MACHINES.iter().map(move |machine| (kernel, machine)));
        let of = |(kernel, machine)| {
            directories(Path::new("boots"), &Boot { kernel, guest: Guest::of(machine), tests: Vec::new() })
        };
        let directories: BTreeSet<PathBuf> = guests().flat_map(of).collect();
        assert_eq!(directories.len(), 2 * guests().count());
        assert!(directories.contains(Path::new("boots/6.1-plain.retry")));
    }
}
