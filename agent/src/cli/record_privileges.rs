//! The privileges of `quell record` in each phase.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::unistd::{getegid, geteuid};
use quell::host::{Capabilities, Capability};
use quell::inspect::Children;
use quell::output::Output;
use quell::privileges::table::{RECORD, RECORD_AT_START, RECORD_IF_GIVEN, RECORD_TO_WRITE};
use quell::privileges::{Need, PrivilegeError, drop_all, keep_only, put_into_effect, with_perf_events};
use quell::recording::{Recording, SymbolizeStats};
use quell::symbolize::{AddressSpaces, KernelSymbols, Namers, symbolize};
use quell::units::Pid;

/// Everything that must be opened or started before privileges are dropped.
pub(super) struct Prepared {
    kernel_symbols: KernelSymbols,
    /// The symbolizer process.
    namers: Namers,
    /// The processes that read other processes.
    processes: Option<Children>,
    /// The capabilities for writing the results.
    to_write: Vec<Capability>,
}

/// Does what requires more privileges than the capture, and drops these permanently.
pub(super) fn prepare(outputs: &[Output]) -> anyhow::Result<Prepared> {
    put_into_effect(&capabilities(&[RECORD_AT_START, RECORD_IF_GIVEN]))?;
    if Capabilities::permitted().has(Capability::SysResource) {
        // If this fails and the limit is too low, aya and perf_event_open report EPERM or EINVAL.
        let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    }
    let kernel_symbols = KernelSymbols::open();
    let processes = Children::start().context("could not start the processes that read other processes")?;
    let namers = Namers::start().context("could not start the symbolizer process")?;
    let needs_override = outputs.iter().filter_map(Output::path).any(|path| !is_own_to_write(path));
    let to_write = if needs_override { capabilities(&[RECORD_TO_WRITE]) } else { Vec::new() };
    let to_attach = with_perf_events([capabilities(&[RECORD]), vec![Capability::DacReadSearch]].concat());
    keep_only(&[to_attach.as_slice(), &to_write].concat())?;
    put_into_effect(&to_attach)?;
    Ok(Prepared { kernel_symbols, namers, processes: Some(processes), to_write })
}

impl Prepared {
    /// Takes the processes that read other processes.
    pub(super) fn take_processes(&mut self) -> anyhow::Result<Children> {
        self.processes.take().context("the processes that read other processes were taken already")
    }

    /// The process that forks symbolizer processes.
    pub(super) fn namers(&self) -> Pid {
        self.namers.process()
    }

    /// Permanently drops the privileges for attaching probes.
    pub(super) fn attached(&self) -> Result<(), PrivilegeError> {
        let capture = capabilities(&[RECORD]);
        keep_only(&[capture.as_slice(), &self.to_write].concat())?;
        put_into_effect(&capture)
    }

    /// Symbolizes the recording.
    pub(super) fn name(
        &mut self,
        recording: &mut Recording,
        spaces: &mut AddressSpaces,
        cancelled: &mut dyn FnMut() -> bool,
    ) -> SymbolizeStats {
        symbolize(recording, spaces, &self.kernel_symbols, &mut self.namers, cancelled)
    }

    /// Permanently drops the privileges for capturing.
    pub(super) fn finish(&self) -> Result<(), PrivilegeError> {
        if self.to_write.is_empty() { drop_all() } else { keep_only(&self.to_write) }
    }
}

fn capabilities(needs: &[&[Need]]) -> Vec<Capability> {
    needs.iter().copied().flatten().map(|need| need.capability).collect()
}

/// Whether the directory of an output can certainly be written without capabilities.
fn is_own_to_write(path: &Path) -> bool {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // access(2) and faccessat2(2) would take this process's capabilities into account.
    fs::metadata(parent).is_ok_and(|directory| {
        let mode = directory.permissions().mode();
        let shift = if directory.uid() == geteuid().as_raw() {
            6
        } else if directory.gid() == getegid().as_raw() {
            3
        } else {
            0
        };
        mode >> shift & 0o3 == 0o3
    })
}
