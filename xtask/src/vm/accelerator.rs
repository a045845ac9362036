//! Hardware virtualization where it works, else translation.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::num::NonZero;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use super::boot::{self, Setup, Started};
use super::cache::Cache;
use super::guest::Guest;
use super::kernel::Kernel;
use crate::machine;
use crate::output_of;

/// How QEMU runs a guest's CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Accelerator {
    /// By the host's CPU.
    Kvm,
    /// By translating its instructions: everywhere, and ten to twenty times slower.
    Tcg,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "KVM",
            Self::Tcg => "TCG",
        })
    }
}

/// How long the first line of a guest may take under KVM: it takes a second where KVM works.
const PATIENCE: Duration = Duration::from_secs(20);

impl Accelerator {
    /// QEMU's words for it.
    pub(super) fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            // One thread for all CPUs: with one for each, some boots hang. Skylake without TSX, which QEMU does not
            // translate, and as a model whose time-stamp counter does not depend on the frequency (model 58).
            Self::Tcg => ["-accel", "tcg,thread=single,tb-size=512", "-cpu", "Skylake-Server,-hle,-rtm,model=58"],
        }
    }

    /// How many guests this host runs at a time: under TCG each keeps one CPU busy, under KVM all that it has.
    pub(super) fn guests(self) -> usize {
        let cpus = thread::available_parallelism().map_or(1, NonZero::get);
        match self {
            Self::Tcg => cpus,
            Self::Kvm => (cpus / machine::PLAIN.cpus as usize).max(1),
        }
    }

    /// KVM where a guest boots under it. What was found is remembered for this host's kernel and QEMU.
    pub(super) fn find(cache: &Cache, kernel: &Kernel) -> Result<Self> {
        if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/kvm") {
            println!("TCG: /dev/kvm: {error}");
            return Ok(Self::Tcg);
        }
        let host = output_of(Command::new("uname").args(["-n", "-r"])).context("`uname` fails")?;
        let qemu = output_of(Command::new("qemu-system-x86_64").arg("--version")).context("QEMU fails")?;
        let remembered = cache.join("accelerator");
        let key = format!("{host}\n{qemu}\n");
        if let Some(answer) = fs::read_to_string(&remembered).ok().as_deref().and_then(|text| text.strip_prefix(&key)) {
            return Ok(if answer == "kvm" { Self::Kvm } else { Self::Tcg });
        }
        let dir = cache.temporary()?;
        let guest = Guest::of(&machine::PLAIN);
        let starts = |accelerator, patience| {
            boot::starts(Setup { guest: &guest, kernel, accelerator, cache }, dir.path(), patience)
        };
        let answer = match starts(Self::Kvm, PATIENCE)? {
            Started::Yes => Self::Kvm,
            Started::No(why) => {
                println!("TCG: /dev/kvm is there, but a guest does not start under it: {why}");
                // Of a guest that does not start under anything one learns nothing about KVM.
                if let Started::No(why) = starts(Self::Tcg, boot::PATIENCE)? {
                    println!("... nor does it under TCG: {why}");
                    return Ok(Self::Tcg);
                }
                Self::Tcg
            }
        };
        fs::write(&remembered, key + if answer == Self::Kvm { "kvm" } else { "tcg" })
            .with_context(|| format!("cannot write {}", remembered.display()))?;
        Ok(answer)
    }
}
