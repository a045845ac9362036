//! The eBPF object, loaded once for a capture, with settings for this kernel.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, Stack};
use aya::programs::{BtfTracePoint, Iter, PerfEvent, ProgramError, links::FdLink};
use aya::sys::SyscallError;
use aya::{Btf, Ebpf, EbpfError, EbpfLoader, Endianness};
use bytemuck::Pod;
use quell_ebpf_common::{HookRuns, INDEXED, Lost, PROBES, Pace, SEEN_IDS, Settings, ThreadState, pace::FULL};

use super::{Hook, ProbeError, thread_table};
use crate::host::{self, lockdown};
use crate::units::{Bytes, CpuId, Pid, Tid};

/// The committed object, aligned as the ELF reader requires.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("QUELL_BPF_OBJECT"));

/// Lets [`Settings`] be written into the object's read-only data.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct SettingsBytes(Settings);

/// The loaded object. Dropping it detaches and unloads all programs.
pub struct BpfObject {
    ebpf: Ebpf,
    btf: Btf,
    hooks: BTreeMap<Hook, FdLink>,
    following: Vec<FdLink>,
}

/// The sizes of maps that depend on the host.
#[derive(Clone, Copy, Debug)]
pub struct Maps {
    /// The maximum number of captured threads at a time.
    pub threads: u32,
    /// The number of thread IDs: `kernel.pid_max`.
    pub ids: u32,
    /// The number of possible CPUs.
    pub cpus: u32,
}

/// The declarations of the probes for the object.
#[derive(Clone, Debug, Default)]
pub struct Declarations {
    /// Globals, with the offsets of the kernel fields that they contain.
    pub offsets: Vec<(&'static str, u32)>,
    /// Maps of probes. A map whose probe is off has one element.
    pub maps: Vec<ProbeMap>,
}

/// A map that only one probe uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeMap {
    /// The name of the map.
    pub name: &'static str,
    /// The size of the map.
    pub entries: Entries,
}

/// The size of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entries {
    /// An array with an element for each captured thread, by [`ThreadState::number`].
    Threads,
    /// A fixed number of elements.
    Fixed(u32),
}

impl BpfObject {
    /// Creates the maps for the kernel with this BTF. Programs are loaded later, by probes.
    ///
    /// # Errors
    /// [`ProbeError::Btf`] if aya cannot parse the kernel's BTF, [`ProbeError::Object`] if the kernel rejects a map.
    pub fn load(
        kernel: &host::Btf,
        settings: Settings,
        maps: Maps,
        declarations: &Declarations,
    ) -> Result<Self, ProbeError> {
        // The BTF is not read from the file again, because reading megabytes from sysfs takes a system call for each page.
        let btf =
            Btf::parse(kernel.blob(), Endianness::default()).map_err(|error| ProbeError::Btf(error.to_string()))?;
        let probes = settings.probes;
        let settings = SettingsBytes(settings);
        let cells = maps.cpus.saturating_mul(PROBES).max(1);
        let mut loader = EbpfLoader::new();
        loader
            .btf(Some(&btf))
            .override_global("SETTINGS", &settings.0, true)
            // A ring buffer for each CPU, and one for the task iterator.
            .map_max_entries("RINGS", maps.cpus + 1)
            .map_max_entries("THREADS", maps.threads)
            .map_max_entries("FREE_THREADS", maps.threads)
            .map_max_entries("INDEX", maps.ids.div_ceil(INDEXED).max(1))
            .map_max_entries("PACES", cells)
            .map_max_entries("ALLOWANCES", cells);
        for (global, offset) in &declarations.offsets {
            loader.override_global(global, offset, true);
        }
        for map in &declarations.maps {
            let entries = match map.entries {
                Entries::Threads => maps.threads,
                Entries::Fixed(entries) => entries,
            };
            loader.map_max_entries(map.name, entries);
        }
        let ebpf = loader.load(OBJECT).map_err(object_error)?;
        let mut object = Self { ebpf, btf, hooks: BTreeMap::new(), following: Vec::new() };
        let mut free = Stack::<_, u32>::try_from(object.map_mut("FREE_THREADS")?)?;
        for element in (0..maps.threads).rev() {
            free.push(element, 0)?;
        }
        for cpu in 0..maps.cpus {
            for probe in (0..PROBES).filter(|probe| probes >> probe & 1 == 1) {
                object.set("PACES", cell(CpuId(cpu), probe), UNLIMITED)?;
                object.set("ALLOWANCES", cell(CpuId(cpu), probe), u64::MAX)?;
            }
        }
        Ok(object)
    }

    /// Loads and verifies the program of a hook, unless another probe has already loaded it.
    ///
    /// # Errors
    /// [`ProbeError::Refused`] with the last lines of the verifier's log.
    pub fn load_hook(&mut self, hook: Hook) -> Result<(), ProbeError> {
        let name = hook.program();
        if self.has_loaded(name) {
            return Ok(());
        }
        match hook.tracepoint() {
            Some(tracepoint) => self.load_tracepoint(name, tracepoint),
            None => {
                let program: &mut PerfEvent = self.program(name)?;
                program.load().map_err(|error| refused(name, error))
            }
        }
    }

    /// Attaches the program of a tracepoint hook, unless another probe has already attached it. It stays attached until
    /// [`detach`](Self::detach).
    ///
    /// # Errors
    /// [`ProbeError::Refused`].
    pub fn attach_hook(&mut self, hook: Hook) -> Result<(), ProbeError> {
        if !self.hooks.contains_key(&hook) {
            let link = self.attach_tracepoint(hook.program())?;
            self.hooks.insert(hook, link);
        }
        Ok(())
    }

    /// Loads and attaches a program that maintains the table of target processes.
    ///
    /// # Errors
    /// [`ProbeError::Refused`].
    pub fn follow(&mut self, program: &'static str, tracepoint: &'static str) -> Result<(), ProbeError> {
        self.load_tracepoint(program, tracepoint)?;
        let link = self.attach_tracepoint(program)?;
        self.following.push(link);
        Ok(())
    }

    /// Detaches all programs from their tracepoints.
    pub fn detach(&mut self) {
        self.hooks.clear();
        self.following.clear();
    }

    fn load_tracepoint(&mut self, name: &'static str, tracepoint: &'static str) -> Result<(), ProbeError> {
        let program = self.ebpf.program_mut(name).ok_or(ProbeError::Missing(name))?;
        let program: &mut BtfTracePoint = program.try_into().map_err(|_| ProbeError::Missing(name))?;
        program.load(tracepoint, &self.btf).map_err(|error| refused(name, error))
    }

    fn attach_tracepoint(&mut self, name: &'static str) -> Result<FdLink, ProbeError> {
        let refused = |error| refused(name, error);
        let program: &mut BtfTracePoint = self.program(name)?;
        let id = program.attach().map_err(refused)?;
        let link = program.take_link(id).map_err(refused)?;
        Ok(link.into())
    }

    /// The descriptor of the loaded program of [`Hook::Interrupt`]. It stays open as long as the object.
    ///
    /// # Errors
    /// [`ProbeError::Refused`].
    pub fn interrupt_program(&mut self) -> Result<RawFd, ProbeError> {
        let name = Hook::Interrupt.program();
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

    /// Whether the program `name` is loaded.
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

    /// Takes the outer map of the ring buffers.
    ///
    /// # Errors
    /// [`ProbeError::Missing`].
    pub fn take_rings(&mut self) -> Result<Map, ProbeError> {
        self.ebpf.take_map("RINGS").ok_or(ProbeError::Missing("RINGS"))
    }

    /// Adds a process to the targets.
    ///
    /// # Errors
    /// [`ProbeError::Map`].
    pub fn add_target(&mut self, pid: Pid) -> Result<(), ProbeError> {
        // The mark comes first: programs that do not see it do not look up the process.
        self.set("SEEN_TARGETS", pid.0 & (SEEN_IDS - 1), 1u64)?;
        let mut map = HashMap::<_, u32, u32>::try_from(self.map_mut("TARGETS")?)?;
        Ok(map.insert(pid.0, 1, 0)?)
    }

    /// Sets an element of an array.
    ///
    /// # Errors
    /// [`ProbeError::Map`]; [`ProbeError::Missing`] for an array that the object does not have.
    pub fn set<T: aya::Pod>(&mut self, array: &'static str, element: u32, value: T) -> Result<(), ProbeError> {
        let mut map = Array::<_, T>::try_from(self.map_mut(array)?)?;
        Ok(map.set(element, value, 0)?)
    }

    /// An element of a per-CPU array, for each possible CPU.
    ///
    /// # Errors
    /// The errors of [`set`](Self::set).
    pub fn per_cpu<T: aya::Pod>(&self, array: &'static str, element: u32) -> Result<Vec<T>, ProbeError> {
        let map = PerCpuArray::<_, T>::try_from(self.map(array)?)?;
        Ok(map.get(&element, 0)?.iter().copied().collect())
    }

    /// All entries of a hash map.
    ///
    /// # Errors
    /// The errors of [`set`](Self::set).
    pub fn entries<K: aya::Pod, V: aya::Pod>(&self, map: &'static str) -> Result<Vec<(K, V)>, ProbeError> {
        let map = HashMap::<_, K, V>::try_from(self.map(map)?)?;
        Ok(map.iter().collect::<Result<_, _>>()?)
    }

    /// The runs of the program of a hook on all CPUs, and the time of those that were measured.
    ///
    /// # Errors
    /// [`ProbeError::Map`].
    pub fn runs(&self, hook: Hook) -> Result<HookRuns, ProbeError> {
        Ok(sum(&self.runs_by_cpu(hook)?))
    }

    /// The same as [`runs`](Self::runs), for each possible CPU.
    ///
    /// # Errors
    /// [`ProbeError::Map`].
    pub fn runs_by_cpu(&self, hook: Hook) -> Result<Vec<HookRuns>, ProbeError> {
        self.per_cpu("HOOKS", hook.element())
    }

    /// Losses because of full buffers and tables, on all CPUs.
    ///
    /// # Errors
    /// [`ProbeError::Map`].
    pub fn lost(&self) -> Result<Lost, ProbeError> {
        Ok(sum(&self.per_cpu::<Lost>("LOSSES", 0)?))
    }

    /// The cost of sampling for a probe on a CPU, and its current scale.
    ///
    /// # Errors
    /// [`ProbeError::Map`].
    pub fn pace(&self, cpu: CpuId, probe: u32) -> Result<Pace, ProbeError> {
        let map = Array::<_, Pace>::try_from(self.map("PACES")?)?;
        Ok(map.get(&cell(cpu, probe), 0)?)
    }

    /// Sets the allowance for samples of a probe on a CPU, in nanoseconds for each window (`quell_ebpf_common::pace`).
    ///
    /// # Errors
    /// [`ProbeError::Map`].
    pub fn set_allowance(&mut self, cpu: CpuId, probe: u32, nanos: u64) -> Result<(), ProbeError> {
        self.set("ALLOWANCES", cell(cpu, probe), nanos)
    }

    /// All threads in the table of the programs. Reading two thousand takes about 0.1 ms.
    ///
    /// # Errors
    /// [`ProbeError::Map`].
    pub fn threads(&self) -> Result<Vec<(Tid, ThreadState)>, ProbeError> {
        const NAME: &str = "THREADS";
        let map = self.map(NAME)?;
        let capacity = Array::<_, ThreadState>::try_from(map)?.len();
        let array = map_data(map).ok_or(ProbeError::Missing(NAME))?.fd().as_fd();
        let failed = |io_error| ProbeError::Map(MapError::SyscallError(SyscallError { call: "mmap", io_error }));
        thread_table::read(array, capacity).map_err(failed)
    }

    /// Kernel memory of the maps, without the ring buffers.
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

/// A pace at the full sampling rate.
const UNLIMITED: Pace =
    Pace { window: 0, spent: 0, samples: 0, nanos: 0, scale: FULL, allowance: 0, debt: 0, purse: 0, demand: 0 };

/// The index in `PACES` and `ALLOWANCES` for a CPU and a probe.
fn cell(CpuId(cpu): CpuId, probe: u32) -> u32 {
    cpu * PROBES + probe
}

/// The sum over CPUs of a struct of counters, word by word.
fn sum<T: Pod>(cpus: &[T]) -> T {
    let mut sum = T::zeroed();
    for cpu in cpus {
        let words: &[u64] = bytemuck::cast_slice(std::slice::from_ref(cpu));
        for (total, word) in bytemuck::cast_slice_mut::<T, u64>(std::slice::from_mut(&mut sum)).iter_mut().zip(words) {
            *total = total.wrapping_add(*word);
        }
    }
    sum
}

/// Kernel memory of a map, from `memlock` in its fdinfo (kernel/bpf/syscall.c `bpf_map_show_fdinfo`).
#[must_use]
pub(super) fn memory_of(map: &MapData) -> Option<u64> {
    let fd = map.fd().as_fd().as_raw_fd();
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    info.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok())
}

fn map_data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data) | Map::HashMap(data) | Map::PerCpuArray(data) | Map::Stack(data) | Map::ArrayOfMaps(data) => {
            Some(data)
        }
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

/// Whether an error is caused by missing privileges.
#[must_use]
pub fn is_permission(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}

/// The last lines of the verifier's log. The last one is the reason of the rejection; statistics that follow it are removed
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
            // The verifier only reports that the program may not call the function (`bpf_tracing_func_proto`, kernel/trace/bpf_trace.c, 5.13).
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
