//! Events of the kernel about executable mappings: mmap, exec, fork, exit.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use nix::time::{ClockId, clock_gettime};
use perf_event::data::Record;
use perf_event::{Counter, Sampler};

use super::file_identity::FileIdentity;
use super::maps::MappedRange;
use crate::perf::{CpuEvent, Opener};
use crate::units::{Addr, CpuId, CpuSet, Nanos, Pid, Tid};

/// The number of pages of each ring buffer: 256 KiB with 4 KiB pages. An event takes 100 to 200 bytes, and the start of a
/// dynamically linked program causes about ten events. So about 200 program starts fit between two calls of
/// [`MappingEvents::drain`].
const MAPPING_PAGES: usize = 64;

/// The same for kernel code: 16 KiB. An event of a BPF program takes about 80 bytes, so about 200 fit.
const KERNEL_CODE_PAGES: usize = 4;

/// `PERF_RECORD_MISC_COMM_EXEC` (include/uapi/linux/perf_event.h, since 3.16): the name changed because of an exec.
const MISC_COMM_EXEC: u16 = 1 << 13;

/// A change of the executable mappings of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappingEvent {
    /// The process created an executable mapping, or made one executable.
    Mapped {
        /// The PID of the process.
        pid: Pid,
        /// The mapping.
        range: MappedRange,
    },
    /// The process executes another program, which removes all mappings. The new program is mapped next.
    Exec {
        /// The PID of the process.
        pid: Pid,
    },
    /// The process has executed another program, which is mapped. The programs of quell report this, and perf events the
    /// [`Exec`](Self::Exec) before it, unless it was lost.
    Executed {
        /// The PID of the process.
        pid: Pid,
    },
    /// A thread was created that is not the first one of its process.
    NewThread {
        /// The PID of the process.
        pid: Pid,
        /// The TID of the thread.
        tid: Tid,
    },
    /// The process was forked, with the mappings of its parent. This is not reported for threads.
    Fork {
        /// The new process.
        pid: Pid,
        /// Its parent.
        parent: Pid,
    },
    /// The process exited.
    Exit {
        /// The PID of the process.
        pid: Pid,
    },
    /// The kernel generated code, or is about to remove it: a BPF program, a trampoline (`PERF_RECORD_KSYMBOL`, 5.1).
    KernelCode {
        /// The address of the code.
        start: Addr,
        /// Its length in bytes.
        length: u32,
        /// Its name.
        name: Vec<u8>,
    },
}

/// Who reports that processes are created and exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lives {
    /// The programs of quell, in ring buffers that no process can flood.
    Programs,
    /// Perf events, if the kernel rejects these programs. If a process floods their ring buffers, samples of others may get
    /// names of older processes with the same PID.
    Perf,
}

/// The reason why these events are not available.
#[derive(Debug, thiserror::Error)]
pub enum MappingEventsError {
    /// It is not permitted.
    #[error(
        "perf_event_open was not permitted on CPU {cpu}\nhint: run as root or with CAP_PERFMON; with CAP_SYS_ADMIN if \
         kernel.perf_event_paranoid is above 2"
    )]
    Permission {
        /// The CPU of the event.
        cpu: CpuId,
        /// The error of the kernel.
        source: io::Error,
    },
    /// The kernel does not support it.
    #[error("this kernel does not report new mappings by perf events, or CPU {cpu} is offline")]
    Unsupported {
        /// The CPU of the event.
        cpu: CpuId,
        /// The error of the kernel.
        source: io::Error,
    },
    /// The system call failed.
    #[error("perf_event_open or mmap of its ring buffer failed on CPU {cpu}")]
    Failed {
        /// The CPU of the event.
        cpu: CpuId,
        /// The error of the kernel.
        source: io::Error,
    },
}

/// The events of all processes on some CPUs, from two ring buffers for each CPU: 256 KiB for mappings, of which every user can make
/// any number, and 16 KiB for kernel code.
///
/// # Ordering
/// The ring buffers are merged: over all calls of [`drain`](Self::drain), dependent events (of the same process, or of a parent
/// before its fork) are in the order in which they happened. An event is in its ring buffer before the system call returns to user
/// space. So a caller that reads samples first, then these events, and applies events and resolves samples in order of time, has the
/// mappings of each sample.
pub struct MappingEvents {
    mappings: EventRings,
    kernel_code: EventRings,
    pending: Vec<(Nanos, MappingEvent)>,
}

/// The ring buffers of one event.
struct EventRings {
    event: CpuEvent,
    pages: usize,
    rings: Vec<(CpuId, Sampler)>,
    lost: u64,
}

impl MappingEvents {
    /// Opens the ring buffers and starts the events. PIDs are those of the PID namespace of quell. `lives` tells who reports
    /// [`Fork`](MappingEvent::Fork) and [`Exit`](MappingEvent::Exit).
    ///
    /// # Errors
    /// It is not permitted or not supported. A capture works without it: see
    /// [`AddressSpaces`](super::AddressSpaces).
    pub fn open(cpus: &CpuSet, lives: Lives) -> Result<Self, MappingEventsError> {
        let mappings = EventRings::new(event_of(lives), MAPPING_PAGES);
        let kernel_code = EventRings::new(CpuEvent::KernelCode, KERNEL_CODE_PAGES);
        let mut events = Self { mappings, kernel_code, pending: Vec::new() };
        let mut opener = Opener::direct();
        cpus.iter().try_for_each(|cpu| events.add(cpu, &mut opener))?;
        Ok(events)
    }

    /// The events on each CPU.
    #[must_use]
    pub fn cpu_events(&self) -> [CpuEvent; 2] {
        [self.mappings.event, self.kernel_code.event]
    }

    /// Opens the ring buffers of a CPU that came online. Its [events](Self::cpu_events) are opened by `opener`.
    ///
    /// # Errors
    /// The errors of [`open`](Self::open).
    pub fn add(&mut self, cpu: CpuId, opener: &mut Opener) -> Result<(), MappingEventsError> {
        // Both, even if one fails.
        let added = [&mut self.mappings, &mut self.kernel_code].map(|rings| rings.add(cpu, opener));
        added.into_iter().collect::<io::Result<()>>().map_err(|source| explain(cpu, source))
    }

    /// Passes the events since the last call to a callback, in order, with their times (`CLOCK_MONOTONIC`).
    pub fn drain(&mut self, mut each: impl FnMut(Nanos, MappingEvent)) {
        // While the ring buffers are read, an event may be seen in one, and an earlier event on which it depends missed in
        // another that was already read. So newer events are held back until the next call.
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Nanos(u64::MAX), |now| {
            Nanos(u64::try_from(now.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec()).unwrap_or(0))
        });
        self.mappings.drain(&mut self.pending);
        self.kernel_code.drain(&mut self.pending);
        // Stable, because records of one ring with the same time are in order already.
        self.pending.sort_by_key(|(time, _)| *time);
        let ready = self.pending.partition_point(|(time, _)| *time <= now);
        self.pending.drain(..ready).for_each(|(time, event)| each(time, event));
    }

    /// The number of events about processes that were lost because a ring buffer was full, or that are unknown.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.mappings.lost
    }

    /// The same for events about kernel code.
    #[must_use]
    pub fn lost_kernel_code(&self) -> u64 {
        self.kernel_code.lost
    }
}

impl EventRings {
    fn new(event: CpuEvent, pages: usize) -> Self {
        Self { event, pages, rings: Vec::new(), lost: 0 }
    }

    fn add(&mut self, cpu: CpuId, opener: &mut Opener) -> io::Result<()> {
        let ring = opener.open(self.event, cpu).and_then(|counter| start_ring(counter, self.pages))?;
        // The events of the old ring buffer ended when the CPU went offline.
        self.rings.retain(|(of, _)| *of != cpu);
        self.rings.push((cpu, ring));
        Ok(())
    }

    fn drain(&mut self, into: &mut Vec<(Nanos, MappingEvent)>) {
        for (_, ring) in &mut self.rings {
            while let Some(record) = ring.next_record() {
                // With `sample_id_all` and only the time requested, the time is the last 8 bytes of each record.
                let time = record.to_contiguous().last_chunk().map(|time| Nanos(u64::from_ne_bytes(*time)));
                match (time, record.parse_record()) {
                    (_, Ok(Record::Lost(lost))) => self.lost += lost.lost,
                    (Some(time), Ok(parsed)) => {
                        into.extend(event(&parsed, record.misc()).map(|event| (time, event)));
                    }
                    (None, _) | (_, Err(_)) => self.lost += 1,
                }
            }
        }
    }
}

/// The event that reports mappings.
fn event_of(lives: Lives) -> CpuEvent {
    match lives {
        Lives::Programs => CpuEvent::Mappings,
        Lives::Perf => CpuEvent::MappingsAndProcesses,
    }
}

/// Maps the ring buffer of an event, and starts the event.
fn start_ring(counter: Counter, pages: usize) -> io::Result<Sampler> {
    let page = usize::try_from(procfs::page_size()).unwrap_or(4_096);
    let mut ring = counter.sampled(pages * page)?;
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
        Record::Fork(fork) => Some(MappingEvent::NewThread { pid: Pid(fork.pid), tid: Tid(fork.tid) }),
        Record::KSymbol(symbol) => {
            Some(MappingEvent::KernelCode { start: Addr(symbol.addr), length: symbol.len, name: symbol.name.to_vec() })
        }
        Record::Exit(exit) if exit.pid == exit.tid => Some(MappingEvent::Exit { pid: Pid(exit.pid) }),
        _ => None,
    }
}
