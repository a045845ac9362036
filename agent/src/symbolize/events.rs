//! The kernel's own reports of new code: mappings, exec, fork, exit.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use nix::time::{ClockId, clock_gettime};
use perf_event::data::Record;
use perf_event::events::Software;
use perf_event::{Builder, Clock, SampleFlag, Sampler};

use super::files::FileIdentity;
use super::maps::MappedRange;
use crate::units::{Addr, CpuId, CpuSet, Nanos, Pid};

/// Pages of each CPU's ring: 256 KiB with 4 KiB pages. A report takes 100 to 200 bytes and starting a dynamically
/// linked program makes about ten, so that some 200 program starts fit between two calls of
/// [`MappingEvents::drain`].
const RING_PAGES: usize = 64;

/// `PERF_RECORD_MISC_COMM_EXEC` (include/uapi/linux/perf_event.h, since 3.16): the name changed because of an exec.
const MISC_COMM_EXEC: u16 = 1 << 13;

/// What became of the executable mappings of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappingEvent {
    /// It mapped code, or made what it had mapped executable.
    Mapped {
        /// The process.
        pid: Pid,
        /// What, and where.
        range: MappedRange,
    },
    /// It started another program: all that was mapped is gone.
    Exec {
        /// The process.
        pid: Pid,
    },
    /// It was forked: it has the mappings of its parent. Not reported for new threads.
    Fork {
        /// The new process.
        pid: Pid,
        /// The one that it is a copy of.
        parent: Pid,
    },
    /// Its first thread ended.
    Exit {
        /// The process.
        pid: Pid,
    },
}

/// Why the kernel's reports are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum MappingEventsError {
    /// Not allowed.
    #[error(
        "perf_event_open was not permitted on CPU {cpu}\nhint: run as root or with CAP_PERFMON; with CAP_SYS_ADMIN if \
         kernel.perf_event_paranoid is above 2"
    )]
    Permission {
        /// The CPU.
        cpu: CpuId,
        /// What the kernel says.
        source: io::Error,
    },
    /// The kernel cannot.
    #[error("this kernel does not report new mappings by perf events, or CPU {cpu} is offline")]
    Unsupported {
        /// The CPU.
        cpu: CpuId,
        /// What the kernel says.
        source: io::Error,
    },
    /// It failed.
    #[error("perf_event_open or mmap of its ring buffer failed on CPU {cpu}")]
    Failed {
        /// The CPU.
        cpu: CpuId,
        /// What the kernel says.
        source: io::Error,
    },
}

/// The reports of all processes on some CPUs, from a ring of 256 KiB for each CPU.
///
/// # Ordering
/// The rings are merged: over all calls of [`drain`](Self::drain), reports that depend on each other (by the same
/// process, or by a parent before its fork) come in the order in which they happened. A report is in its ring before
/// the call that it reports returns to user space. So a caller that first drains its sample rings, then this,
/// then applies the reports, and only then resolves the samples has every mapping that a sample of its batch can be
/// in. It may then have applied reports that are younger than a sample. [`AddressSpaces::locate`] allows for one exec;
/// who wants to be exact applies reports and resolves samples merged by time.
///
/// [`AddressSpaces::locate`]: super::AddressSpaces::locate
pub struct MappingEvents {
    rings: Vec<Sampler>,
    pending: Vec<(Nanos, MappingEvent)>,
    lost: u64,
}

impl MappingEvents {
    /// Opens the rings and starts the reports. Process ids are those of the agent's PID namespace.
    ///
    /// # Errors
    /// Where the kernel does not allow or does not know it. A capture can go on without: see
    /// [`AddressSpaces`](super::AddressSpaces).
    pub fn open(cpus: &CpuSet) -> Result<Self, MappingEventsError> {
        let rings = cpus.iter().map(|cpu| open_ring(cpu).map_err(|source| explain(cpu, source)));
        Ok(Self { rings: rings.collect::<Result<_, _>>()?, pending: Vec::new(), lost: 0 })
    }

    /// Hands over the reports that came since the last call, in order, with their times (`CLOCK_MONOTONIC`).
    pub fn drain(&mut self, mut each: impl FnMut(Nanos, MappingEvent)) {
        // What happens while the rings are read may be seen in one ring, and what it followed from missed in another
        // that was read before. It waits for the next call.
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Nanos(u64::MAX), |now| {
            Nanos(u64::try_from(now.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec()).unwrap_or(0))
        });
        for ring in &mut self.rings {
            while let Some(record) = ring.next_record() {
                // `sample_id_all` with nothing but a time asked for: the last 8 bytes of every record.
                let time = record.to_contiguous().last_chunk().map(|time| Nanos(u64::from_ne_bytes(*time)));
                match (time, record.parse_record()) {
                    (_, Ok(Record::Lost(lost))) => self.lost += lost.lost,
                    (Some(time), Ok(parsed)) => {
                        self.pending.extend(event(&parsed, record.misc()).map(|event| (time, event)));
                    }
                    (None, _) | (_, Err(_)) => self.lost += 1,
                }
            }
        }
        // Stable, because records of one ring with the same time are in order already.
        self.pending.sort_by_key(|(time, _)| *time);
        let ready = self.pending.partition_point(|(time, _)| *time <= now);
        self.pending.drain(..ready).for_each(|(time, event)| each(time, event));
    }

    /// How many reports were lost since the beginning: no room in a ring, or not understood.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

fn open_ring(cpu: CpuId) -> io::Result<Sampler> {
    let counter = Builder::new(Software::DUMMY)
        .any_pid()
        .one_cpu(cpu.0 as usize)
        .sample(SampleFlag::TIME)
        .sample_id_all(true)
        .clockid(Clock::MONOTONIC)
        .mmap(true)
        .mmap2(true)
        .comm(true)
        .comm_exec(true)
        .task(true)
        .build()?;
    let page = usize::try_from(procfs::page_size()).unwrap_or(4_096);
    let mut ring = counter.sampled(RING_PAGES * page)?;
    ring.enable()?;
    Ok(ring)
}

fn explain(cpu: CpuId, source: io::Error) -> MappingEventsError {
    match source.kind() {
        io::ErrorKind::PermissionDenied => MappingEventsError::Permission { cpu, source },
        io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput | io::ErrorKind::NotFound => {
            MappingEventsError::Unsupported { cpu, source }
        }
        _ if matches!(source.raw_os_error(), Some(libc::ENODEV | libc::ENOSYS)) => {
            MappingEventsError::Unsupported { cpu, source }
        }
        _ => MappingEventsError::Failed { cpu, source },
    }
}

fn event(record: &Record<'_>, misc: u16) -> Option<MappingEvent> {
    match record {
        Record::Mmap2(mmap) => {
            let file = FileIdentity::new(
                (mmap.maj().unwrap_or(0), mmap.min().unwrap_or(0)),
                mmap.ino().unwrap_or(0),
                OsStr::from_bytes(&mmap.filename),
            );
            let (start, end) = (Addr(mmap.addr), Addr(mmap.addr.saturating_add(mmap.len)));
            Some(MappingEvent::Mapped {
                pid: Pid(mmap.pid),
                range: MappedRange { start, end, offset: mmap.pgoff, file },
            })
        }
        Record::Comm(comm) if misc & MISC_COMM_EXEC != 0 => Some(MappingEvent::Exec { pid: Pid(comm.pid) }),
        Record::Fork(fork) if fork.pid != fork.ppid => {
            Some(MappingEvent::Fork { pid: Pid(fork.pid), parent: Pid(fork.ppid) })
        }
        Record::Exit(exit) if exit.pid == exit.tid => Some(MappingEvent::Exit { pid: Pid(exit.pid) }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::AddressSpaces;
    use super::*;
    use crate::recording::{CodeLocator as _, Location, ModuleTable};
    use std::collections::{HashMap, HashSet};
    use std::process::Command;

    #[test]
    fn every_short_lived_process_is_reported_in_order_and_its_code_located_when_it_is_gone() {
        // CPUs of this machine that may be offline are not in the mask of those that this process may use.
        let status = std::fs::read_to_string("/proc/self/status").expect("readable");
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("listed");
        let cpus: CpuSet = allowed.parse().expect("a CPU list");
        let mut events = match MappingEvents::open(&cpus) {
            Ok(events) => events,
            Err(error @ MappingEventsError::Failed { .. }) => panic!("{error}"),
            Err(error) => crate::skip!(&format!("perf events ({error})")),
        };

        let mut spawned = HashSet::new();
        let mut seen: HashMap<Pid, Vec<&'static str>> = HashMap::new();
        let mut last = Nanos(0);
        let (mut spaces, mut modules) =
            (AddressSpaces::new(Box::new(crate::inspect::Direct::default())), ModuleTable::default());
        let mut programs = HashMap::new();
        for _ in 0..100 {
            let mut child = Command::new("/bin/true").spawn().expect("/bin/true runs");
            spawned.insert(Pid(child.id()));
            child.wait().expect("it ends");
        }
        events.drain(|time, event| {
            assert!(time >= last, "{time} after {last}");
            last = time;
            spaces.apply(&event);
            let (pid, what) = match event {
                MappingEvent::Mapped { pid, range } => {
                    let is_program = range.file.path().ends_with("true");
                    if is_program {
                        programs.insert(pid, range.start);
                    }
                    (pid, if is_program { "program" } else { "library" })
                }
                MappingEvent::Exec { pid } => (pid, "exec"),
                MappingEvent::Fork { pid, .. } => (pid, "fork"),
                MappingEvent::Exit { pid } => (pid, "exit"),
            };
            seen.entry(pid).or_default().push(what);
        });
        assert_eq!(events.lost(), 0);
        for pid in spawned {
            let mut steps = seen.remove(&pid).unwrap_or_default();
            steps.retain(|step| *step != "library");
            assert_eq!(steps, ["fork", "exec", "program", "exit"], "process {pid}");
            let Some(Location::Module { module, .. }) = spaces.locate_code(pid, programs[&pid], &mut modules) else {
                panic!("process {pid} is forgotten");
            };
            assert_eq!(modules.get(module).name(), "true");
            spaces.poll(std::time::Duration::ZERO);
            assert!(
                matches!(spaces.holding(module), super::super::files::Holding::Held { .. }),
                "its file is held open"
            );
        }
    }
}
