//! `cargo xtask vm`: the kernel tests on real kernels, in QEMU.

mod accelerator;
mod archive;
mod attempt;
mod boot;
mod boots;
mod cache;
mod console;
mod disk;
mod elf;
mod guest;
mod image;
mod initramfs;
mod interrupt;
mod kept;
mod kernel;
mod matrix;
mod power;
mod programs;
mod results;
mod table;
mod terminal;
mod tools;

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use accelerator::Accelerator;
use boot::Setup;
use boots::{Boot, Host};
use cache::Cache;
use guest::Guest;
use kept::Extent;
use kernel::Kernel;
use programs::{Programs, Test};
use results::Results;

use crate::{Outcome, docs, machine, root};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A kernel: a series such as 6.1 or 6.1-rt, `newest`, or a Debian release (may be repeated)
    ///
    /// Without --kernel, --all and --rt, the oldest kernel, 6.1 and the newest kernel are used.
    #[arg(long = "kernel", value_name = "NAME")]
    kernels: Vec<String>,
    /// All kernels of the matrix
    #[arg(long, conflicts_with = "kernels")]
    all: bool,
    /// The kernels with PREEMPT_RT: of the matrix, or of the series given by --kernel
    #[arg(long, conflicts_with = "all")]
    rt: bool,
    /// The accelerator of the guests [default: kvm if it works, else tcg]
    #[arg(long, value_enum)]
    accel: Option<Accelerator>,
    /// The number of CPUs of each guest, instead of that of its machine
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: Option<u32>,
    /// The number of NUMA nodes of each guest, instead of that of its machine
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8))]
    numa: Option<u32>,
    /// Parameters to append to the kernel command line
    #[arg(long, value_name = "WORDS")]
    cmdline: Option<String>,
    /// Add a network card of this QEMU model: igb, e1000e, virtio-net-pci, vmxnet3 (may be repeated)
    #[arg(long = "nic", value_name = "MODEL")]
    nics: Vec<String>,
    /// Open a shell in a guest with the first kernel, and run no tests
    #[arg(long)]
    shell: bool,
    /// The machine for --shell
    #[arg(long, value_name = "NAME", requires = "shell", default_value = machine::PLAIN.name)]
    machine: String,
    /// The number of guests at a time [default: by the number of CPUs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Save the results in docs/kernel-support.json, for each kernel without failures
    #[arg(long, conflicts_with_all = ["cpus", "numa", "cmdline", "nics", "filters"])]
    save: bool,
    /// Install missing tools first (Debian, as root)
    #[arg(long)]
    install: bool,
    /// Run only tests with one of these in their names
    #[arg(last = true, value_name = "TEST-FILTER")]
    filters: Vec<String>,
}

pub(crate) fn run_task(args: &Args) -> Result<Outcome> {
    let root = root();
    let cache = Cache::open(root.join("target/vm"))?;
    interrupt::note_signals()?;
    if args.install {
        tools::install(&cache)?;
    }
    tools::check()?;
    let kernels = Kernel::get(&cache, &args.names())?;
    let programs = Programs::build(&root)?;
    let first = kernels.first().context("no kernel was asked for")?;
    let accelerator = match args.accel {
        Some(accelerator) => accelerator,
        None => Accelerator::find(&cache, first)?,
    };
    interrupt::check()?;
    println!("guests run under {accelerator}");
    if args.shell {
        let named = machine::MACHINES.iter().find(|machine| machine.name == args.machine);
        let machine = named.with_context(|| format!("no machine `{}`", args.machine))?;
        let guest = args.guest(machine);
        let setup = Setup { guest: &guest, kernel: first, accelerator, cache: &cache };
        boot::shell(setup, &cache.join("shell"), &programs)?;
        return Ok(Outcome::Clean);
    }

    let all = programs.list()?;
    let boots = args.boots(&kernels, &all)?;
    let jobs = args.jobs.map_or_else(|| accelerator.guests(), usize::from);
    let host = Host { accelerator, cache: &cache, programs: &programs, tests: &all };
    let results = host.run(boots, jobs)?;
    let names: Vec<&str> = kernels.iter().map(|kernel| kernel.name.as_str()).collect();
    println!("\n{}", table::render(&names, &results));
    let differs = args.compare(&root, &kernels, &results)?;
    if args.save {
        kept::write(&root, &kernels, accelerator, &results)?;
    }
    Ok(if differs || results.failed() { Outcome::Found } else { Outcome::Clean })
}

impl Args {
    /// The selected kernels, by name.
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

    /// Prints the results that differ from the docs, and returns whether there are any.
    fn compare(&self, root: &Path, kernels: &[Kernel], results: &Results) -> Result<bool> {
        if self.cpus.is_some() || self.numa.is_some() || self.cmdline.is_some() || !self.nics.is_empty() {
            println!("not compared with the docs: the guests are not the machines that the tests name");
            return Ok(false);
        }
        let Some(kept) = docs::read(root)? else {
            println!("not compared with the docs: nothing is kept");
            return Ok(false);
        };
        for name in kept::not_kept(&kept, kernels) {
            println!("not compared with the docs: {name} is not kept");
        }
        let extent = if self.filters.is_empty() { Extent::Everything } else { Extent::Chosen };
        let differences = kept::differences(&kept, kernels, results, extent);
        for difference in &differences {
            println!("not as in the docs: {difference}");
        }
        // To keep them is what one does with new tests, but it is news that an old one comes out otherwise.
        Ok(differences.iter().any(|difference| !self.save || difference.is_of_verdicts()))
    }

    /// The guests to boot: each kernel once for each machine of the selected tests.
    fn boots<'a>(&self, kernels: &'a [Kernel], all: &[Test]) -> Result<Vec<Boot<'a>>> {
        let wanted = |test: &&Test| {
            self.filters.is_empty() || self.filters.iter().any(|filter| test.name.contains(filter.as_str()))
        };
        let in_vain = |filter: &&String| !all.iter().any(|test| test.name.contains(filter.as_str()));
        if let Some(filter) = self.filters.iter().find(in_vain) {
            let names: Vec<_> = all.iter().map(|test| test.name.as_str()).collect();
            bail!("no test has a name with `{filter}`; there are: {}", names.join(" "));
        }
        let tests: Vec<&Test> = all.iter().filter(wanted).collect();
        let mut boots = Vec::new();
        for kernel in kernels {
            for machine in machine::MACHINES {
                let tests: Vec<Test> = tests.iter().filter(|test| test.machine == machine).copied().cloned().collect();
                let guest = self.guest(machine);
                let Guest { machine, cpus, threads, nodes, .. } = guest;
                if !cpus.is_multiple_of(nodes * threads) {
                    bail!(
                        "{cpus} CPUs are no whole cores on each of {nodes} nodes of `{machine}`: {threads} to a core"
                    );
                }
                if !tests.is_empty() {
                    boots.push(Boot { kernel, guest, tests });
                }
            }
        }
        Ok(boots)
    }
}
