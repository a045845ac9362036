//! `cargo xtask vm`: the kernel tests on real kernels, in QEMU.

mod accelerator;
mod archive;
mod boot;
mod disk;
mod guest;
mod image;
mod initramfs;
mod kept;
mod kernel;
mod matrix;
mod power;
mod programs;
mod results;
mod table;
mod tools;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;
use std::{fs, thread};

use anyhow::{Context as _, Result, bail};

use accelerator::Accelerator;
use guest::Guest;
use kernel::Kernel;
use programs::{Programs, Test};
use results::Results;

use crate::{Outcome, docs, machine, root};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A kernel: a series such as 6.1 or 6.1-rt, `newest`, or a release of Debian's (may be repeated)
    ///
    /// Without --kernel, --all and --rt: the oldest, 6.1 and the newest.
    #[arg(long = "kernel", value_name = "NAME")]
    kernels: Vec<String>,
    /// Every kernel of the matrix
    #[arg(long, conflicts_with = "kernels")]
    all: bool,
    /// The kernels with PREEMPT_RT: those of the matrix, or of the series given by --kernel
    #[arg(long, conflicts_with = "all")]
    rt: bool,
    /// How guests' CPUs run [default: kvm where a guest starts under it, else tcg]
    #[arg(long, value_enum)]
    accel: Option<Accelerator>,
    /// CPUs of each guest, in place of its machine's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: Option<u32>,
    /// NUMA nodes of each guest, in place of its machine's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8))]
    numa: Option<u32>,
    /// Appended to the kernels' command line
    #[arg(long, value_name = "WORDS")]
    cmdline: Option<String>,
    /// A network card more, by QEMU's name of its model: igb, e1000e, virtio-net-pci, vmxnet3 (may be repeated)
    #[arg(long = "nic", value_name = "MODEL")]
    nics: Vec<String>,
    /// A prompt in a guest of the first kernel, and no tests
    #[arg(long)]
    shell: bool,
    /// The machine of --shell
    #[arg(long, value_name = "NAME", requires = "shell", default_value = machine::PLAIN.name)]
    machine: String,
    /// Guests at a time [default: as many as this host's CPUs can run]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Keep the verdicts in docs/kernel-support.json, of each kernel on which no test failed
    #[arg(long, conflicts_with_all = ["cpus", "numa", "cmdline", "nics", "filters"])]
    save: bool,
    /// First install what is missing (Debian, as root)
    #[arg(long)]
    install: bool,
    /// Only tests whose names contain one of these
    #[arg(last = true, value_name = "TEST-FILTER")]
    filters: Vec<String>,
}

/// A guest to boot: some tests of one machine, on one kernel.
struct Boot<'a> {
    kernel: &'a Kernel,
    guest: Guest,
    tests: Vec<Test>,
}

pub(crate) fn run_task(args: &Args) -> Result<Outcome> {
    if args.install {
        tools::install()?;
    }
    tools::check()?;
    let root = root();
    let cache = root.join("target/vm");
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let kernels = Kernel::get(&cache, &args.names())?;
    let programs = Programs::build(&root)?;
    let first = kernels.first().context("no kernel was asked for")?;
    let accelerator = match args.accel {
        Some(accelerator) => accelerator,
        None => Accelerator::find(&cache, first)?,
    };
    println!("guests run under {accelerator}");
    if args.shell {
        let named = machine::MACHINES.iter().find(|machine| machine.name == args.machine);
        let machine = named.with_context(|| format!("no machine `{}`", args.machine))?;
        boot::shell(&args.guest(machine), first, accelerator, &cache.join("shell"), &programs)?;
        return Ok(Outcome::Clean);
    }

    let all = programs.list()?;
    let boots = args.boots(&kernels, &all)?;
    let jobs = args.jobs.map_or_else(|| accelerator.guests(), usize::from);
    let results = run_boots(boots, accelerator, &cache.join("boots"), &programs, &all, jobs)?;
    println!("\n{}", table::render(&kernels, &results));
    let mut found = results.failed();
    if args.save {
        kept::write(&root, &kernels, accelerator, &results)?;
    } else if args.as_tested() {
        for difference in kept::differences(&docs::read(&root)?, &results) {
            println!("not as in the docs: {difference}");
            found = true;
        }
    }
    Ok(if found { Outcome::Found } else { Outcome::Clean })
}

impl Args {
    /// The kernels asked for, by name.
    fn names(&self) -> Vec<String> {
        let rt = |name: &str| name.ends_with(matrix::RT);
        let names: Vec<String> = match (&self.kernels[..], self.all, self.rt) {
            ([], true, _) => matrix::MATRIX.map(str::to_owned).to_vec(),
            ([], false, true) => matrix::MATRIX.into_iter().filter(|name| rt(name)).map(str::to_owned).collect(),
            ([], false, false) => matrix::USUAL.map(str::to_owned).to_vec(),
            (named, _, false) => named.to_vec(),
            (named, _, true) => {
                named.iter().map(|name| if rt(name) { name.clone() } else { format!("{name}{}", matrix::RT) }).collect()
            }
        };
        let mut once: Vec<String> = Vec::new();
        for name in names {
            if !once.contains(&name) {
                once.push(name);
            }
        }
        once
    }

    /// The guest of a machine, changed as asked.
    fn guest(&self, machine: &machine::Machine) -> Guest {
        let mut guest = Guest::of(machine);
        guest.cpus = self.cpus.unwrap_or(guest.cpus);
        guest.nodes = self.numa.unwrap_or(guest.nodes);
        if let Some(words) = &self.cmdline {
            guest.command_line = format!("{} {words}", guest.command_line);
        }
        guest.nics.extend(self.nics.iter().cloned());
        guest
    }

    /// Whether the guests are the machines that the tests name, and all tests run.
    fn as_tested(&self) -> bool {
        let as_named = self.cpus.is_none() && self.numa.is_none() && self.cmdline.is_none() && self.nics.is_empty();
        as_named && self.filters.is_empty()
    }

    /// What to boot: each kernel once for each machine that a wanted test needs.
    fn boots<'a>(&self, kernels: &'a [Kernel], all: &[Test]) -> Result<Vec<Boot<'a>>> {
        let wanted = |test: &&Test| {
            self.filters.is_empty() || self.filters.iter().any(|filter| test.name.contains(filter.as_str()))
        };
        let tests: Vec<&Test> = all.iter().filter(wanted).collect();
        if tests.is_empty() {
            let names: Vec<_> = all.iter().map(|test| test.name.as_str()).collect();
            bail!("no test has a name with {:?}; there are: {}", self.filters, names.join(" "));
        }
        let mut boots = Vec::new();
        for kernel in kernels {
            for machine in machine::MACHINES {
                let tests: Vec<Test> = tests.iter().filter(|test| test.machine == machine).copied().cloned().collect();
                let guest = self.guest(machine);
                if !guest.cpus.is_multiple_of(guest.nodes) {
                    bail!("{} CPUs cannot be spread evenly over {} nodes", guest.cpus, guest.nodes);
                }
                if !tests.is_empty() {
                    boots.push(Boot { kernel, guest, tests });
                }
            }
        }
        Ok(boots)
    }
}

/// Boots guests, some at a time, and tells of each as it ends.
fn run_boots(
    boots: Vec<Boot<'_>>,
    accelerator: Accelerator,
    dir: &Path,
    programs: &Programs,
    all: &[Test],
    jobs: usize,
) -> Result<Results> {
    let (queue, results) = (Mutex::new(boots.into_iter()), Mutex::new(Results::default()));
    let next = || queue.lock().expect("no guest's thread panics").next();
    let work = || -> Result<()> {
        while let Some(boot) = next() {
            let begin = Instant::now();
            let dir = dir.join(format!("{}-{}", boot.kernel.name, boot.guest.machine));
            let run = |tests: &[Test], dir: PathBuf| {
                boot::tests(&boot.guest, boot.kernel, accelerator, &dir, programs, tests, all)
            };
            let name = format!("{} {}", boot.kernel.name, boot.guest.machine);
            let first = run(&boot.tests, dir.clone())?;
            let mut added = results::Added::of(boot.kernel, &boot.tests, first);
            if let Some(death) = added.death() {
                println!("{name}: {death}\n{name}: once more, for {} tests", added.lacking().len());
                let again = run(added.lacking(), dir.with_extension("retry"))?;
                if let Some(death) = &again.death {
                    println!("{name}: {death}");
                }
                added.retry(again);
            }
            println!("{name} ({}): {}, {} s", boot.kernel.release, added.summary(), begin.elapsed().as_secs());
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
