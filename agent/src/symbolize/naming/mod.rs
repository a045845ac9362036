//! Names for the locations of a recording, after the capture.
//!
//! If a file is deleted, damaged or hostile, only its own frames have no names, and they are counted with the reason. Untrusted
//! files are read by a confined child, which is killed on a timeout ([`ConfinedNamer`]). The files that root needs come first, and then
//! those that other users need in turn, so that the files of one user do not use up the time of another ([`Payer`]).

mod confined;
mod demangle;
mod elf;
mod namer;
mod payer;
mod perf_map;
mod places;
mod protocol;
mod schedule;

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use blazesym::symbolize::Input;
use blazesym::symbolize::source::{self, Source};

use super::file_identity::{VDSO, VDSO_32};
use super::files::Holding;
use super::maps;
use super::unnamed::Unnamed;
use super::{AddressSpaces, KernelSymbols};
use crate::inspect::Owner;
use crate::recording::{FrameId, Location, Recording, Symbol, SymbolizeStats};
use crate::units::{Addr, Pid};
use confined::ConfinedNamer;
pub use confined::Namers;
pub(crate) use namer::serve;
use payer::Payer;
use places::{Frames, Part, Places};
pub(crate) use protocol::{Names, Naming};
pub(crate) use schedule::Effort;
use schedule::{Job, Schedule, Turn};

/// The maximum length of a demangled name, in bytes: a mangled name of a few hundred bytes can expand to gigabytes.
pub(crate) const MAX_NAME: usize = 4_096;

/// The time limit for symbolization.
const DEADLINE: Duration = Duration::from_secs(10);

/// The maximum number of files in remarks.
const MAX_REMARKS: usize = 8;

/// Reads files and symbolizes code.
pub(crate) trait Namer {
    /// Symbolizes kernel addresses with an open `/proc/kallsyms`.
    fn kernel(&mut self, kallsyms: &File, addresses: &[u64], cancelled: &mut dyn FnMut() -> bool) -> Names;

    /// Symbolizes locations in a file of `owner` that is received through a socket.
    fn file(
        &mut self,
        owner: Owner,
        naming: Naming,
        from: UnixStream,
        places: &[u64],
        effort: Effort,
        cancelled: &mut dyn FnMut() -> bool,
    ) -> Names;
}

/// Symbolizes all kernel, module and unmapped frames of `recording` without a name, and adds the build IDs of modules with frames. If
/// `cancelled` returns `true`, and after ten seconds, the remaining frames have no names.
pub fn symbolize(
    recording: &mut Recording,
    spaces: &mut AddressSpaces,
    kernel: &KernelSymbols,
    namers: &mut Namers,
    cancelled: &mut dyn FnMut() -> bool,
) -> SymbolizeStats {
    name(recording, spaces, kernel.file(), &mut ConfinedNamer::new(namers), cancelled)
}

fn name(
    recording: &mut Recording,
    spaces: &mut AddressSpaces,
    kallsyms: Option<&File>,
    namer: &mut dyn Namer,
    cancelled: &mut dyn FnMut() -> bool,
) -> SymbolizeStats {
    let places = Places::of(recording);
    let begin = Instant::now();
    spaces.settle(places.unmapped.keys().copied(), &mut || cancelled() || begin.elapsed() >= DEADLINE / 2);
    let mut cancelled = || cancelled() || begin.elapsed() >= DEADLINE;
    let mut results = Results { recording, stats: places.stats, blamed: Vec::new() };
    let (generated, kernel): (Frames, Frames) =
        places.kernel.into_iter().partition(|(_, addr)| spaces.kernel_code(*addr).is_some());
    let names = generated.iter().map(|(_, addr)| spaces.kernel_code(*addr).ok_or(Unnamed::KernelUnknown)).collect();
    results.take(&generated, names);
    results.take(
        &kernel,
        match kallsyms {
            Some(kallsyms) if !kernel.is_empty() => plain(namer.kernel(kallsyms, &numbers(&kernel), &mut cancelled))
                .into_iter()
                .map(within_function)
                .collect(),
            _ => vec![Err(Unnamed::KernelUnreadable); kernel.len()],
        },
    );
    let mut schedule = Schedule::default();
    for (module, parts) in places.modules {
        let path = &results.recording.modules.get(module).path;
        let frames = || parts.iter().flat_map(|part| part.frames.iter().copied()).collect::<Frames>();
        let immediate = if path.as_os_str() == VDSO {
            Some(vdso_names(&numbers(&frames())))
        } else if path.as_os_str() == VDSO_32 {
            Some(vec![Err(Unnamed::Vdso32); frames().len()])
        } else {
            match spaces.holding(module) {
                Holding::Held { number, owner } => {
                    for (part, Part { requester, frames }) in (0..).zip(parts.clone()) {
                        let (naming, path) = (Naming::File, path.clone());
                        let job = Job { naming, number, owner, part, frames, module: Some(module), path };
                        schedule.add(Payer::of(requester, owner), job);
                    }
                    None
                }
                Holding::Refused(why) => Some(vec![Err(why); frames().len()]),
            }
        };
        if let Some(names) = immediate {
            results.take(&frames(), names);
        }
    }
    for (pid, Part { requester, frames }) in places.unmapped {
        match spaces.perf_map(pid) {
            Some((number, owner)) => {
                let (naming, path) = (Naming::PerfMap, PathBuf::from(format!("/tmp/perf-{pid}.map")));
                let job = Job { naming, number, owner, part: 0, frames, module: None, path };
                schedule.add(Payer::of(requester, owner), job);
            }
            None => {
                let why = |(_, addr): &(FrameId, u64)| Err(spaces.why_unmapped(pid, Addr(*addr)));
                let names = frames.iter().map(why).collect();
                results.take(&frames, names);
            }
        }
    }
    while let Some(turn) = schedule.next() {
        let (names, job) = match turn {
            Turn::Leave(job) => (job.without(Unnamed::OwnerRefused), job),
            Turn::Read(job, _) if cancelled() => (job.without(Unnamed::Skipped), job),
            Turn::Read(job, effort) => {
                let begin = Instant::now();
                let names = ask(spaces, namer, &job, effort, &mut cancelled);
                schedule.took(begin.elapsed());
                if let Some(Err(why)) = names.names.first()
                    && schedule.failed(&job, effort, *why)
                {
                    continue;
                }
                (names, job)
            }
        };
        results.finish(&job, names, spaces);
    }
    results.remark();
    results.stats
}

fn ask(
    spaces: &mut AddressSpaces,
    namer: &mut dyn Namer,
    job: &Job,
    effort: Effort,
    cancelled: &mut dyn FnMut() -> bool,
) -> Names {
    let sent = UnixStream::pair().and_then(|(to, from)| spaces.forward(job.number, to).map(|()| from));
    match sent {
        Ok(from) => namer.file(job.owner, job.naming, from, &numbers(&job.frames), effort, cancelled),
        Err(_) => job.without(Unnamed::FileGone),
    }
}

type Named = Result<Symbol, Unnamed>;

/// `/proc/kallsyms` has no sizes: an address between the last function of the kernel or of a module and whatever comes next has the name of
/// the former.
fn within_function(name: Named) -> Named {
    /// More than the length of any kernel function, in bytes.
    const LONGEST: u64 = 256 << 10;
    name.and_then(|symbol| if symbol.offset < LONGEST { Ok(symbol) } else { Err(Unnamed::KernelUnknown) })
}

struct Results<'a> {
    recording: &'a mut Recording,
    stats: SymbolizeStats,
    blamed: Vec<(PathBuf, Unnamed)>,
}

impl Results<'_> {
    fn take(&mut self, frames: &[(FrameId, u64)], names: Vec<Named>) {
        for ((id, _), name) in frames.iter().zip(names) {
            match name {
                Ok(symbol) => {
                    self.recording.frames.set_symbol(*id, symbol);
                    self.stats.named += 1;
                }
                Err(reason) => *self.stats.unnamed.entry(reason.to_string()).or_default() += 1,
            }
        }
    }

    fn finish(&mut self, job: &Job, names: Names, spaces: &AddressSpaces) {
        if let Some(module) = job.module {
            let known = &mut self.recording.modules.get_mut(module).build_id;
            *known = known.take().or_else(|| names.build_id.clone());
        }
        if let Some(why) = names.names.iter().filter_map(|name| name.as_ref().err()).find(|why| why.blames_file()) {
            self.blamed.push((job.path.clone(), *why));
        }
        let located = |(name, (_, place)): (Named, &(FrameId, u64))| match (name, self.recording_pid(job)) {
            // The process may have a perf map, and also an address that belongs to no known mapping.
            (Err(Unnamed::NotInPerfMap), Some(pid)) => match spaces.why_unmapped(pid, Addr(*place)) {
                Unnamed::RuntimeCode => Err(Unnamed::NotInPerfMap),
                reason => Err(reason),
            },
            (name, _) => name,
        };
        let names = plain(names).into_iter().zip(&job.frames).map(located).collect();
        self.take(&job.frames, names);
    }

    fn recording_pid(&self, job: &Job) -> Option<Pid> {
        let (first, _) = job.frames.first()?;
        match self.recording.frames.get(*first).location {
            Location::Unmapped { pid, .. } => Some(pid),
            _ => None,
        }
    }

    fn remark(&mut self) {
        let more = self.blamed.len().saturating_sub(MAX_REMARKS);
        for (path, why) in self.blamed.drain(..).take(MAX_REMARKS) {
            self.recording.meta.remarks.push(format!("symbols of {}: {why}", path.display()));
        }
        if more > 0 {
            self.recording.meta.remarks.push(format!("symbols of {more} more files could not be read"));
        }
    }
}

fn plain(names: Names) -> Vec<Named> {
    names.names.into_iter().map(|name| name.map(|(name, offset)| Symbol { name, offset })).collect()
}

fn numbers(frames: &[(FrameId, u64)]) -> Vec<u64> {
    frames.iter().map(|(_, place)| *place).collect()
}

/// All processes have the same vDSO, which comes from the kernel: quell reads its own.
fn vdso_names(offsets: &[u64]) -> Vec<Named> {
    let own = std::fs::read("/proc/self/maps").map(|text| maps::executable(&text)).unwrap_or_default();
    let Some(range) = own.iter().find(|range| range.file.path().as_os_str() == VDSO) else {
        return vec![Err(Unnamed::FileGone); offsets.len()];
    };
    let addresses: Vec<u64> = offsets.iter().map(|offset| range.start.0.saturating_add(*offset)).collect();
    let process = source::Process {
        debug_syms: false,
        perf_map: false,
        map_files: false,
        ..source::Process::new(blazesym::Pid::Slf)
    };
    namer::batch(&Source::Process(process), Input::AbsAddr(&addresses), Unnamed::of_error, Unnamed::of_offset)
}

/// Symbolizes locations of one file, like the child process.
#[cfg(feature = "fuzzing")]
pub(super) fn names_for_fuzzing(naming: Naming, file: &File, places: &[u64]) {
    let names = namer::names(naming, file, places);
    assert_eq!(names.names.len(), places.len());
}

#[cfg(test)]
mod tests;
