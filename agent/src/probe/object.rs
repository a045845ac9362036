//! The eBPF object: loaded once for a capture, with the settings that it needs on this kernel.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray};
use aya::programs::{BtfTracePoint, Iter, PerfEvent, ProgramError, links::FdLink};
use aya::{Btf, Ebpf, EbpfError, EbpfLoader, Endianness};
use quell_ebpf_common::{Counts, Rates, Settings, ThreadState};

use super::ProbeError;
use crate::host::{self, lockdown};
use crate::units::{Bytes, Pid, Tid};

/// The committed object, aligned as the ELF reader wants it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("QUELL_BPF_OBJECT"));

/// Lets [`Settings`] be written into the object's read-only data.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct SettingsBytes(Settings);

/// The loaded object. Dropping it detaches and unloads everything.
pub struct BpfObject {
    ebpf: Ebpf,
    btf: Btf,
}

/// A program attached to the kernel. Dropping it detaches it.
pub type Link = FdLink;

impl BpfObject {
    /// Creates the maps for the kernel with this BTF, with `threads` entries in the thread table and room for `rings` rings. Programs are loaded as probes attach them.
    ///
    /// # Errors
    /// [`ProbeError::Btf`] where aya does not understand the kernel's BTF, [`ProbeError::Object`] where the kernel refuses a map.
    pub fn load(kernel: &host::Btf, settings: Settings, threads: u32, rings: u32) -> Result<Self, ProbeError> {
        // Not from the file once more: sysfs gives out megabytes by the page.
        let btf =
            Btf::parse(kernel.blob(), Endianness::default()).map_err(|error| ProbeError::Btf(error.to_string()))?;
        let settings = SettingsBytes(settings);
        let ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .override_global("SETTINGS", &settings.0, true)
            .map_max_entries("RINGS", rings)
            .map_max_entries("THREADS", threads)
            .load(OBJECT)
            .map_err(object_error)?;
        Ok(Self { ebpf, btf })
    }

    /// Loads program `name` for the BTF tracepoint `tracepoint`, unless another probe needed it already; so do the others.
    ///
    /// # Errors
    /// [`ProbeError::Refused`] with the verifier's last lines.
    pub fn load_tracepoint(&mut self, name: &'static str, tracepoint: &'static str) -> Result<(), ProbeError> {
        let program = self.ebpf.program_mut(name).ok_or(ProbeError::Missing(name))?;
        let program: &mut BtfTracePoint = program.try_into().map_err(|_| ProbeError::Missing(name))?;
        if program.fd().is_ok() {
            return Ok(());
        }
        program.load(tracepoint, &self.btf).map_err(|error| refused(name, error))
    }

    /// Attaches program `name` to the BTF tracepoint that it was loaded for.
    ///
    /// # Errors
    /// [`ProbeError::Refused`].
    pub fn attach_tracepoint(&mut self, name: &'static str) -> Result<Link, ProbeError> {
        let refused = |error| refused(name, error);
        let program: &mut BtfTracePoint = self.program(name)?;
        let id = program.attach().map_err(refused)?;
        let link = program.take_link(id).map_err(refused)?;
        Ok(link.into())
    }

    /// Loads a perf-event program.
    ///
    /// # Errors
    /// [`ProbeError::Refused`] with the verifier's last lines.
    pub fn load_perf_event(&mut self, name: &'static str) -> Result<(), ProbeError> {
        let program: &mut PerfEvent = self.program(name)?;
        if program.fd().is_ok() {
            return Ok(());
        }
        program.load().map_err(|error| refused(name, error))
    }

    /// The descriptor of a perf-event program that was loaded, which stays open as long as the object.
    ///
    /// # Errors
    /// [`ProbeError::Refused`].
    pub fn perf_event(&mut self, name: &'static str) -> Result<RawFd, ProbeError> {
        let program: &mut PerfEvent = self.program(name)?;
        Ok(program.fd().map_err(|error| refused(name, error))?.as_fd().as_raw_fd())
    }

    /// Loads the task iterator `name`.
    ///
    /// # Errors
    /// [`ProbeError::Refused`].
    pub fn load_iterator(&mut self, name: &'static str) -> Result<(), ProbeError> {
        let program = self.ebpf.program_mut(name).ok_or(ProbeError::Missing(name))?;
        let program: &mut Iter = program.try_into().map_err(|_| ProbeError::Missing(name))?;
        if program.fd().is_ok() {
            return Ok(());
        }
        program.load("task", &self.btf).map_err(|error| refused(name, error))
    }

    /// Whether the kernel has accepted program `name`.
    #[must_use]
    pub fn has_loaded(&self, name: &str) -> bool {
        self.ebpf.program(name).is_some_and(|program| program.fd().is_ok())
    }

    /// Runs a loaded task iterator over all tasks.
    ///
    /// # Errors
    /// [`ProbeError::Refused`], [`ProbeError::Iterator`].
    pub fn run_iterator(&mut self, name: &'static str) -> Result<(), ProbeError> {
        let refused = |error| refused(name, error);
        let program: &mut Iter = self.program(name)?;
        let id = program.attach().map_err(refused)?;
        let link = program.take_link(id).map_err(refused)?;
        let mut output = link.into_file().map_err(|error| ProbeError::Iterator(std::io::Error::other(error)))?;
        let mut nothing = [0; 64];
        while output.read(&mut nothing).map_err(ProbeError::Iterator)? > 0 {}
        Ok(())
    }

    /// Takes the outer map of the rings.
    ///
    /// # Errors
    /// [`ProbeError::Missing`].
    pub fn take_rings(&mut self) -> Result<Map, ProbeError> {
        self.ebpf.take_map("RINGS").ok_or(ProbeError::Missing("RINGS"))
    }

    /// Sets the sampling rates.
    ///
    /// # Errors
    /// [`ProbeError::Map`].
    pub fn set_rates(&mut self, rates: Rates) -> Result<(), ProbeError> {
        let mut map = Array::<_, Rates>::try_from(self.map_mut("RATES")?)?;
        Ok(map.set(0, rates, 0)?)
    }

    /// Adds a process to those that are captured.
    ///
    /// # Errors
    /// [`ProbeError::Map`].
    pub fn add_target(&mut self, pid: Pid) -> Result<(), ProbeError> {
        let mut map = HashMap::<_, u32, u32>::try_from(self.map_mut("TARGETS")?)?;
        Ok(map.insert(pid.0, 1, 0)?)
    }

    /// What the programs counted, summed over the CPUs.
    ///
    /// # Errors
    /// [`ProbeError::Map`].
    pub fn counts(&self) -> Result<Vec<Counts>, ProbeError> {
        let map = PerCpuArray::<_, Counts>::try_from(self.map("COUNTS")?)?;
        Ok(map.get(&0, 0)?.iter().copied().collect())
    }

    /// Every thread in the kernel's table.
    ///
    /// # Errors
    /// [`ProbeError::Map`].
    pub fn threads(&self) -> Result<Vec<(Tid, ThreadState)>, ProbeError> {
        let map = HashMap::<_, u32, ThreadState>::try_from(self.map("THREADS")?)?;
        // A thread may end while its entry is read: then the exit record has its totals.
        Ok(map.iter().filter_map(Result::ok).map(|(tid, state)| (Tid(tid), state)).collect())
    }

    /// Run time and run count of each loaded program, by name. Both stand still unless the kernel's BPF statistics are on.
    #[must_use]
    pub fn run_stats(&self) -> Vec<(String, RunStats)> {
        self.ebpf
            .programs()
            .filter_map(|(name, program)| {
                let info = program.info().ok()?;
                Some((name.to_owned(), RunStats { nanos: info.run_time().as_nanos() as u64, count: info.run_count() }))
            })
            .collect()
    }

    /// Kernel memory of the maps, without the rings.
    #[must_use]
    pub fn map_memory(&self) -> Bytes {
        let bytes = self.ebpf.maps().filter_map(|(_, map)| memory_of(map_data(map)?)).sum();
        Bytes(bytes)
    }

    fn program<'a, P>(&'a mut self, name: &'static str) -> Result<&'a mut P, ProbeError>
    where
        &'a mut P: TryFrom<&'a mut aya::programs::Program>,
    {
        let program = self.ebpf.program_mut(name).ok_or(ProbeError::Missing(name))?;
        program.try_into().map_err(|_| ProbeError::Missing(name))
    }

    fn map(&self, name: &'static str) -> Result<&Map, ProbeError> {
        self.ebpf.map(name).ok_or(ProbeError::Missing(name))
    }

    fn map_mut(&mut self, name: &'static str) -> Result<&mut Map, ProbeError> {
        self.ebpf.map_mut(name).ok_or(ProbeError::Missing(name))
    }
}

/// What the kernel's BPF statistics say of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunStats {
    /// Nanoseconds in the program.
    pub nanos: u64,
    /// Runs.
    pub count: u64,
}

/// Kernel memory of a map, from `memlock` in its fdinfo (kernel/bpf/syscall.c `bpf_map_show_fdinfo`).
#[must_use]
pub fn memory_of(map: &MapData) -> Option<u64> {
    let fd = map.fd().as_fd().as_raw_fd();
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    info.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok())
}

fn map_data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data) | Map::HashMap(data) | Map::PerCpuArray(data) | Map::ArrayOfMaps(data) => Some(data),
        _ => None,
    }
}

fn object_error(error: EbpfError) -> ProbeError {
    match &error {
        EbpfError::MapError(MapError::CreateError { io_error, .. }) if is_permission(io_error) => {
            ProbeError::Permission("CAP_BPF (or CAP_SYS_ADMIN)")
        }
        _ => ProbeError::Object(Box::new(error)),
    }
}

pub(super) fn is_permission(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}

/// The last lines of the verifier's log, the last of all says why it refused. What follows it are statistics
/// (`print_verification_stats`, kernel/bpf/verifier.c; a line for each function was seen in 7.3).
fn last_of(log: &str) -> String {
    const SHOWN: usize = 8;
    const STATISTICS: [&str; 4] = ["processed ", "verification time ", "stack depth ", "subprog "];
    let says = |line: &&str| !line.trim().is_empty() && !STATISTICS.iter().any(|begin| line.starts_with(begin));
    let lines: Vec<&str> = log.lines().filter(says).collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

fn refused(program: &'static str, error: ProgramError) -> ProbeError {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            // The verifier says only that the program may not call it (`bpf_tracing_func_proto`, kernel/trace/bpf_trace.c, 5.13).
            if log.contains("bpf_probe_read") && lockdown::hides_kernel_memory() {
                return ProbeError::LockedDown { program };
            }
            let log = last_of(&log);
            ProbeError::Refused { program, why: io_error.to_string(), log }
        }
        other => ProbeError::Refused { program, why: other.to_string(), log: String::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifiers_reason_is_told_and_not_how_much_work_it_had() {
        let log = "15: R5=trusted_ptr_task_struct() R7=ctx()\naccess beyond struct task_struct at off 1048576 size 4\n\
                   verification time 26108 usec\nstack depth max 0\n\
                   subprog 0 (quell_switch) main insns_self 25 insns_total 25 stack 160\n\
                   processed 25 insns (limit 1000000) max_states_per_insn 0\n\n";
        let said = last_of(log);
        assert_eq!(said.lines().last(), Some("access beyond struct task_struct at off 1048576 size 4"));
        assert_eq!(said.lines().count(), 2);
        assert_eq!(last_of(&"R1 invalid\n".repeat(20)).lines().count(), 8);
    }
}
